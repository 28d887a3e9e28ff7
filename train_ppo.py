"""Step 3.2, PPO: the policy answers, the reward model scores, and each token's probability moves with its advantage.

in    out/sft.pt (the policy to start from, and the reference it must stay near), out/rm.pt (the reward model; the critic starts from it)
out   out/ppo.pt weights, out/ppo.json report card, out/ppo.jsonl a row an iteration, out/ppo.png
run   python train_ppo.py        (--quick: the same code in seconds; --beta 0 shows what the KL penalty is for)
see   the report card on held-out prompts: base, SFT, best of n, PPO; and the recipe's own questions, before and after
"""
import json
import math
import time
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import torch

from data import world
import run
from model import END, ask, by_length, encode_prompt, load_checkpoint, make_optimizer, masked_mean, save_checkpoint, score_answers, take_step, token_log_probs
from run import UserError, flag


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "prompts: text files, one a line (without it: the tiny world's prompts for RM and PPO)")
    steps: int = flag(60, "iterations: each rolls out, then learns from it", quick=3, least=1)
    episodes: int = flag(128, "prompts answered an iteration", quick=32, least=2)
    ppo_epochs: int = flag(2, "passes over a roll-out", least=1)
    minibatch: int = flag(64, "episodes an update", quick=16, least=1)
    learning_rate: float = flag(2e-4, "of the policy", least=0.0)
    critic_learning_rate: float = flag(6e-4, "of the critic", least=0.0)
    beta: float = flag(0.2, "price of a nat of KL from the SFT reference", least=0.0)
    gamma: float = flag(1.0, "discount: none, an answer is short", least=0.0)
    lam: float = flag(0.95, "of GAE: 1 trusts returns only, 0 the critic only", least=0.0)
    clip: float = flag(0.2, "the ratio may leave 1 by this much before its gradient stops", least=0.0)
    no_end_penalty: float = flag(1.0, "taken off the score of an answer that does not end", least=0.0)
    max_new_tokens: int = flag(32, "the longest answer, in tokens", least=1)
    best_of: int = flag(8, "answers to choose from in the best-of-n column of the report card", quick=2, least=1)
    save_every: int = flag(10, "iterations between saves for --resume", quick=1, least=1)


@dataclass
class Rollout:
    """B answered prompts. Column t of the (B, T-1) tensors belongs to the choice of tokens[:, t+1]."""
    tokens: torch.Tensor            # (B, T) int64: prompt, answer, padding
    mask: torch.Tensor              # (B, T-1) 1 on tokens the policy chose, the end token included
    log_probs: torch.Tensor         # (B, T-1) nats, under the policy that sampled
    ref_log_probs: torch.Tensor     # (B, T-1) nats, under the SFT reference
    values: torch.Tensor            # (B, T-1) the critic's guess before the token
    scores: torch.Tensor            # (B,) reward model, normalised, less the penalty for not ending
    ended: torch.Tensor             # (B,) bool
    rewards: torch.Tensor = None    # (B, T-1), the rest likewise: filled in below
    advantages: torch.Tensor = None
    returns: torch.Tensor = None

    def rows(self, index):
        return Rollout(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass
class Judge:
    """The reward model, its scores shifted and scaled to mean 0 and deviation 1 on answers of the SFT model (Ziegler 2019, section 2.1)."""
    model: torch.nn.Module
    mean: float = 0.0
    std: float = 1.0

    def normalise(self, scores):
        self.mean, self.std = scores.mean().item(), scores.std().item() + 1e-8

    @torch.no_grad()
    def score(self, tokens, mask):
        """(B, T), (B, T-1) -> (B,): the mean scalar on the tokens that the policy chose."""
        values = by_length(self.model, tokens, last_chosen(mask) + 2)[:, 1:] * mask                      # (B, T-1)
        return (values.sum(1) / mask.sum(1) - self.mean) / self.std


def last_chosen(mask):
    """(B, T-1) 0/1 -> (B,): the column of the last 1."""
    return mask.shape[1] - 1 - mask.flip(1).argmax(1)


# ------------------------------------------------------------------------------------------------------ 1 roll out
@torch.no_grad()
def sample_rollout(policy, critic, reference, judge, prompts, tokenizer, config, generator):
    """Answer each question once at temperature 1 and note all that learning needs. prompts: list of str."""
    end = tokenizer.special_tokens[END]
    rows = [encode_prompt(tokenizer, p)[-(policy.config.block_size - config.max_new_tokens):] for p in prompts]
    tokens, mask, log_probs = policy.generate(rows, config.max_new_tokens, stop=end, generator=generator)
    lengths = last_chosen(mask) + 2                                      # (B,): prompt and answer
    T = int(lengths.max())                                               # columns behind the longest answer hold nothing
    tokens, mask, log_probs = tokens[:, :T], mask[:, :T - 1], log_probs[:, :T - 1]
    ended = tokens.gather(1, lengths[:, None] - 1)[:, 0] == end                                           # (B,)
    scores = judge.score(tokens, mask) - config.no_end_penalty * ~ended                                   # (B,)
    ref_log_probs = by_length(partial(token_log_probs, reference), tokens, lengths, mask) * mask
    values = by_length(critic, tokens, lengths)[:, :-1] * mask
    return Rollout(tokens, mask, log_probs, ref_log_probs, values, scores, ended)


# ------------------------------------------------------------------------------------------------------ 2 rewards, advantages
def score_minus_kl(rollout, beta):
    """rewards (B, T-1): -beta (log pi - log pi_ref) on each chosen token, plus the score on the last one (Ziegler 2019, eq. 2)."""
    # exercise: the price of leaving the reference, then the score where the answer ends
    rewards = -beta * (rollout.log_probs - rollout.ref_log_probs) * rollout.mask                         # (B, T-1)
    rows = torch.arange(len(rewards), device=rewards.device)
    rewards[rows, last_chosen(rollout.mask)] += rollout.scores
    return rewards


def gae(rewards, values, mask, gamma=1.0, lam=0.95):
    """Generalised advantage estimation (Schulman 2016, eq. 16): (advantages, returns), each (B, T-1), 0 where mask is 0.

    delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lam A_{t+1}. After the last chosen token there is nothing: V = A = 0.
    """
    # exercise: walk from the last token to the first
    advantages, later_value, later_advantage = torch.zeros_like(rewards), 0.0, 0.0
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * later_value - values[:, t]                                       # (B,)
        advantages[:, t] = (delta + gamma * lam * later_advantage) * mask[:, t]
        later_value, later_advantage = values[:, t] * mask[:, t], advantages[:, t]
    return advantages, (advantages + values) * mask


def whiten(advantages, mask):
    """Mean 0, deviation 1 over the chosen tokens of the whole roll-out (Huang 2024, detail 11.2)."""
    mean = masked_mean(advantages, mask)
    return (advantages - mean) * (masked_mean((advantages - mean) ** 2, mask) + 1e-8).rsqrt() * mask


# ------------------------------------------------------------------------------------------------------ 3 learn
def minibatches(rollout, config, generator):
    """ppo_epochs passes over the roll-out, reshuffled each time, `minibatch` episodes at once."""
    for _ in range(config.ppo_epochs):
        order = torch.randperm(len(rollout.tokens), generator=generator).to(rollout.tokens.device)
        for index in order.split(config.minibatch):
            yield rollout.rows(index)


def ppo_loss(log_probs, values, rollout, clip=0.2):
    """-> (policy loss, value loss, metrics). log_probs, values: (B, T-1) float32 of the current policy and critic."""
    log_ratio = (log_probs - rollout.log_probs) * rollout.mask
    ratio = log_ratio.exp()                                                                              # pi / pi_old; Schulman 2017, eq. 6
    # exercise: the clipped surrogate, and the value error that may not move far in one iteration
    clipped = ratio.clamp(1 - clip, 1 + clip)
    surrogate = torch.min(ratio * rollout.advantages, clipped * rollout.advantages)                      # Schulman 2017, eq. 7
    near = rollout.values + (values - rollout.values).clamp(-clip, clip)                                 # value clipping; Huang 2022, detail 9
    value_error = torch.max((values - rollout.returns) ** 2, (near - rollout.returns) ** 2)
    policy_loss, value_loss = -masked_mean(surrogate, rollout.mask), 0.5 * masked_mean(value_error, rollout.mask)
    approx_kl = masked_mean(ratio - 1 - log_ratio, rollout.mask)                                         # k3, never negative; Schulman 2020
    return policy_loss, value_loss, {"approx_kl": approx_kl.item(), "clip_fraction": masked_mean((ratio != clipped).float(), rollout.mask).item(),
                                     "ratio": masked_mean(ratio, rollout.mask).item()}


def describe(rollout, gold, seconds):
    """The figures of one roll-out, as ppo.jsonl names them."""
    values, returns, chosen = rollout.values, rollout.returns, rollout.mask.bool()
    kl = ((rollout.log_probs - rollout.ref_log_probs) * rollout.mask).sum(1)                             # (B,) nats an answer
    left = (returns - values)[chosen].var() / returns[chosen].var().clamp(min=1e-8)
    return {"rm_reward": rollout.scores.mean().item(), "gold_reward": gold, "kl": kl.mean().item(),
            "entropy": -masked_mean(rollout.log_probs, rollout.mask).item(),                             # its unbiased estimate: mean of -log pi of the samples
            "explained_variance": 1 - left.item(), "answer_length": rollout.mask.sum(1).mean().item(),
            "ended": rollout.ended.float().mean().item(), "episodes_per_second": len(rollout.tokens) / seconds}


# ------------------------------------------------------------------------------------------------------ the loop
def read_prompts(paths):
    prompts = []
    for path in map(Path, paths):
        if not path.is_file():
            raise UserError(f"{path} not found: --data takes text files with a prompt a line")
        prompts += [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if paths and not prompts:
        raise UserError(f"{' '.join(paths)}: no prompts in there, one a line is needed")
    return prompts


def draw_questions(own, n, rng):
    """n questions: the user's, else the tiny world's, each kind equally often."""
    return [rng.choice(own) for _ in range(n)] if own else [p.text for p in world.draw_prompts("rlhf", n, rng)]


def decode_answers(rollout, tokenizer):
    """The text of each answer, control tokens removed."""
    special = set(tokenizer.special_tokens.values())
    return [tokenizer.decode([i for i in row[chosen].tolist() if i not in special]).strip()
            for row, chosen in zip(rollout.tokens[:, 1:], rollout.mask.bool())]


def gold_reward(own, questions, rollout, tokenizer):
    """Mean grade of the rubric, which PPO never sees; None for the user's own prompts, which it cannot grade."""
    return None if own else sum(map(world.grade, questions, decode_answers(rollout, tokenizer))) / len(questions)


def train(policy, critic, reference, judge, tokenizer, config):
    """PPO as in Schulman 2017, algorithm 1, on answers. Returns the rows of ppo.jsonl: row 0 is the policy before its first update."""
    own = read_prompts(config.data)
    device = policy.token_embedding.weight.device
    rng, shuffle = run.generators(config.seed)
    generator = torch.Generator(device).manual_seed(config.seed)
    optimizers = [make_optimizer(policy, config.learning_rate, weight_decay=0.0), make_optimizer(critic, config.critic_learning_rate, weight_decay=0.0)]
    parts = {"policy": policy, "critic": critic, "policy_optimizer": optimizers[0], "critic_optimizer": optimizers[1]}
    rows, first_step = [], 0
    if state := run.load_state(config, "ppo"):
        for name, part in parts.items():
            part.load_state_dict(state[name])
        rng.setstate(state["rng"])
        shuffle.set_state(state["shuffle"])
        generator.set_state(state["generator"])
        judge.mean, judge.std, rows, first_step = state["mean"], state["std"], state["rows"], state["step"]
    else:
        first = sample_rollout(policy, critic, reference, judge, draw_questions(own, 4 * config.episodes, rng), tokenizer, config, generator)
        judge.normalise(first.scores + config.no_end_penalty * ~first.ended)
        with torch.no_grad():                                            # the critic starts as the reward model: in the same units
            critic.head.weight /= judge.std
            critic.head.bias.copy_((critic.head.bias - judge.mean) / judge.std)
    progress = run.Progress(config.steps, first_step, name="iteration")
    for step in range(first_step, config.steps):
        started, updates = time.time(), []
        questions = draw_questions(own, config.episodes, rng)
        rollout = sample_rollout(policy, critic, reference, judge, questions, tokenizer, config, generator)
        rollout.rewards = score_minus_kl(rollout, config.beta)
        rollout.advantages, rollout.returns = gae(rollout.rewards, rollout.values, rollout.mask, config.gamma, config.lam)
        rollout.advantages = whiten(rollout.advantages, rollout.mask)
        for batch in minibatches(rollout, config, shuffle):
            lengths = last_chosen(batch.mask) + 2                        # (B,)
            log_probs = by_length(partial(token_log_probs, policy), batch.tokens, lengths, batch.mask)    # (B, T-1)
            values = by_length(critic, batch.tokens, lengths)[:, :-1]                                     # (B, T-1)
            policy_loss, value_loss, metrics = ppo_loss(log_probs, values, batch, config.clip)
            take_step(optimizers[0], policy_loss)
            take_step(optimizers[1], value_loss)
            updates.append(metrics)
        row = {"iteration": step, **describe(rollout, gold_reward(own, questions, rollout, tokenizer), time.time() - started),
               **run.means(updates), "ratio": updates[0]["ratio"]}           # 1 at the first minibatch, or the log-probs do not belong together
        rows.append(row)
        progress.report(step + 1, **{k: row[k] for k in ("rm_reward", "gold_reward", "kl", "clip_fraction", "ended", "episodes_per_second") if row[k] is not None})
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            run.save_state(config, "ppo", **{name: part.state_dict() for name, part in parts.items()}, rng=rng.getstate(), shuffle=shuffle.get_state(),
                           generator=generator.get_state(), mean=judge.mean, std=judge.std, rows=rows, step=step + 1)
    return rows


# ------------------------------------------------------------------------------------------------------ the report card
@torch.no_grad()
def measure(judge, tokenizer, answer, kl, quick=False):
    """One column of the report card: the rubric's figures and the judge's mean score on the answers.

    answer: list of questions -> [(answer, ended)]. kl: nats an answer, sampled, against the SFT reference.
    """
    asked = [p.text for p in world.report_prompts(quick)]
    everything = list(dict.fromkeys([*asked, *world.RECIPE]))             # answered in one go
    said = dict(zip(everything, answer(everything)))
    card, transcripts = world.examine(lambda questions: [said[q] for q in questions], quick)
    scores = score_answers(judge.model, tokenizer, [(q, said[q][0]) for q in asked])
    return {**card, "kl": kl, "rm_reward": ((scores.mean() - judge.mean) / judge.std).item(), "transcripts": transcripts}


@torch.no_grad()
def sampled_kl(policy, reference, tokenizer, quick=False, chat=True):
    """Nats an answer: what the policy's own samples at temperature 1, to the report card's questions, have in log-probability over the reference's."""
    end, generator = tokenizer.special_tokens[END], torch.Generator(policy.token_embedding.weight.device).manual_seed(2)
    asked = [p.text for p in world.report_prompts(quick)]
    rows = [encode_prompt(tokenizer, q, chat)[-(policy.config.block_size - 32):] for q in asked]       # question and answer fit into the context
    tokens, mask, log_probs = policy.generate(rows, 32, stop=end, generator=generator)
    return ((log_probs - token_log_probs(reference, tokens, mask)) * mask).sum(1).mean().item()


@torch.no_grad()
def best_of_n(sft, tokenizer, judge, n, questions):
    """Sample n answers from the SFT model and keep the one the reward model likes best: what PPO is compared with (Stiennon 2020)."""
    repeated = [q for q in questions for _ in range(n)]
    answers = ask(sft, tokenizer, repeated, temperature=1.0, generator=torch.Generator(sft.token_embedding.weight.device).manual_seed(3))
    scores = score_answers(judge.model, tokenizer, [(q, text) for q, (text, _) in zip(repeated, answers)])
    return [answers[i * n + best] for i, best in enumerate(scores.view(-1, n).argmax(1).tolist())]


SHOWN = ("heldout_accuracy", "howto_accuracy", "advice_accuracy", "remedies_affirmed", "harmful_refused", "harmful_refused_unseen_verbs", "benign_refused",
         "honest", "myths_named", "stops", "answers_with_questions", "gold_reward", "rm_reward", "kl")


def show(report):
    print(f"\n{'held-out prompts (95% interval)':30}" + "".join(f"{name:>18}" for name in report))
    for name in SHOWN:
        print(f"{name:30}" + "".join(f"{run.shown(column[name]):>18}" for column in report.values()))
    print("\nthe recipe's questions, about entities that nobody asked about in training:")
    for rows in zip(*(column["transcripts"] for column in report.values())):
        print("  " + rows[0]["prompt"])
        for name, row in zip(report, rows):
            print(f"      {name:10} {' / '.join(row['answer'].splitlines())}")


def draw(path, rows, report):
    picture, (left, middle, right) = run.new_picture(3)
    steps = [row["iteration"] for row in rows]
    left.plot(steps, [row["rm_reward"] for row in rows], label="reward model (what PPO sees)")
    if rows[0]["gold_reward"] is not None:
        left.plot(steps, [row["gold_reward"] for row in rows], label="rubric (what people meant)")
    left.set(xlabel="iteration", title="rewards on the prompts of PPO")
    left.legend()
    middle.plot(steps, [row["kl"] for row in rows], label="KL from the SFT model, nats", color="C2")
    middle.plot(steps, [row["entropy"] for row in rows], label="entropy, nats a token", color="C3")
    middle.set(xlabel="iteration", title="how far it has moved")
    middle.legend()
    names = [name for name in SHOWN if isinstance(report["ppo"][name], dict)]
    for offset, (name, column) in zip((0.3, 0.1, -0.1, -0.3), report.items()):
        right.barh([i + offset for i in range(len(names))], [column[n]["value"] for n in names], height=0.2, label=name)
    right.set(yticks=list(range(len(names))), yticklabels=names, xlim=(0, 1), title="report card, held-out prompts")
    right.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    run.save_picture(path, picture)


def main():
    config, started = run.parse_config(Config, __doc__), time.time()
    out, device = Path(config.out), run.pick_device(config.device)
    policy, tokenizer, _ = load_checkpoint(out / "sft.pt", device)
    reference, critic, judge = load_checkpoint(out / "sft.pt", device)[0], load_checkpoint(out / "rm.pt", device)[0], Judge(load_checkpoint(out / "rm.pt", device)[0])
    base = load_checkpoint(out / "pretrain.pt", device)[0]
    rows = train(policy, critic, reference, judge, tokenizer, config)
    column, n = partial(measure, judge, tokenizer, quick=config.quick), config.best_of
    distance = partial(sampled_kl, reference=reference, tokenizer=tokenizer, quick=config.quick)
    report = {"base": column(partial(ask, base, tokenizer, chat=False), distance(base, chat=False)),
              "sft": column(partial(ask, reference, tokenizer), 0.0),
              "best_of_n": column(partial(best_of_n, reference, tokenizer, judge, n), math.log(n) - (n - 1) / n) | {"n": n},   # Stiennon 2020, appendix G.3
              "ppo": column(partial(ask, policy, tokenizer), distance(policy))}
    save_checkpoint(out / "ppo.pt", policy, tokenizer, {"stage": "ppo", "steps": config.steps, "seed": config.seed, "beta": config.beta})
    with run.atomic(out / "ppo.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.write_json(out / "ppo.json", {**report, "seconds": time.time() - started})
    draw(out / "ppo.png", rows, report)
    show(report)
    print(f"\n{out}/ppo.pt, ppo.json, ppo.jsonl, ppo.png   {time.time() - started:.0f} s   talk to it: python model.py {out}/ppo.pt")


if __name__ == "__main__":
    run.main(main)
