"""Step 3.2, PPO: the policy answers, the reward model scores, and each token's probability moves
with its advantage.

in    out/sft.pt (the policy starts from it, and it is the reference to stay near), out/rm.pt (the
      reward model; the critic starts from it), out/pretrain.pt (for the report card)
out   out/ppo.pt weights, out/ppo.json report card, out/ppo.jsonl a row an iteration, out/ppo.png
run   python train_ppo.py        (--quick: the same code in seconds; --beta 0 shows what the KL
                                  penalty is for)
see   the report card on held-out prompts: base, SFT, best of n, PPO; and the recipe's own
      questions, before and after
"""
import math
import time
from dataclasses import dataclass
from functools import partial

import torch

import run
from data import world
from data.dialogues import read_prompts
from model import (END, encode_prompt, load_checkpoint, make_optimizer, masked_mean,
                   save_checkpoint, score_answers, take_step, token_log_probs)
from run import pictures
from run.chat import ask
from run.rows import by_length


@dataclass
class Config(run.CommonConfig):
    data: tuple = run.flag((), "prompts: text files, one a line (without it: the tiny world's "
                               "prompts for RM and PPO)")
    steps: int = run.flag(60, "iterations: each rolls out, then learns from it", quick=3, least=1)
    episodes: int = run.flag(128, "prompts answered an iteration", quick=32, least=2)
    ppo_epochs: int = run.flag(2, "passes over a roll-out", least=1)
    minibatch: int = run.flag(64, "episodes an update", quick=16, least=1)
    learning_rate: float = run.flag(2e-4, "of the policy", least=0.0)
    critic_learning_rate: float = run.flag(6e-4, "of the critic", least=0.0)
    beta: float = run.flag(0.2, "price of a nat of KL from the SFT reference", least=0.0)
    gamma: float = run.flag(1.0, "discount: none, an answer is short", least=0.0)
    lam: float = run.flag(0.95, "of GAE: 1 trusts returns only, 0 the critic only", least=0.0)
    clip: float = run.flag(0.2, "the ratio may leave 1 by this much before its gradient stops",
                           least=0.0)
    no_end_penalty: float = run.flag(1.0, "taken off the score of an answer that does not end",
                                     least=0.0)
    max_new_tokens: int = run.flag(32, "the longest answer, in tokens", least=1)
    best_of: int = run.flag(8, "answers to choose from in the report card's best-of-n column",
                            quick=2, least=1)
    save_every: int = run.flag(10, "iterations between saves for --resume", quick=1, least=1)


@dataclass
class Rollout:
    """B answered prompts. Column t of (B, T-1) tensors belongs to the choice of tokens[:, t+1]."""
    tokens: torch.Tensor            # (B, T) int64: prompt, answer, padding
    mask: torch.Tensor              # (B, T-1) 1 on tokens the policy chose, the end token included
    log_probs: torch.Tensor         # (B, T-1) nats, under the policy that sampled
    ref_log_probs: torch.Tensor     # (B, T-1) nats, under the SFT reference
    values: torch.Tensor            # (B, T-1) the critic's guess before the token
    scores: torch.Tensor            # (B,) reward model, less the penalty for not ending
    ended: torch.Tensor             # (B,) bool
    advantages: torch.Tensor = None     # (B, T-1) how much better the token was than expected
    returns: torch.Tensor = None    # (B, T-1) advantages + values: what the critic should have said

    def rows(self, index):
        return Rollout(**{name: tensor[index] for name, tensor in vars(self).items()})


class RewardModel:
    """Its scores are shifted and scaled to mean 0 and deviation 1 on answers of the SFT model
    (Ziegler 2019, section 2.1)."""

    def __init__(self, network):
        self.network, self.mean, self.std = network, 0.0, 1.0

    def normalise(self, scores):
        self.mean, self.std = scores.mean().item(), scores.std().item() + 1e-8

    @torch.no_grad()
    def score(self, tokens, mask):
        """(B, T), (B, T-1) -> (B,): the mean scalar on the tokens that the policy chose."""
        values = by_length(self.network, tokens, last_chosen(mask) + 2)[:, 1:] * mask   # (B, T-1)
        return (values.sum(1) / mask.sum(1) - self.mean) / self.std


def last_chosen(mask):
    """(B, T-1) 0/1 -> (B,): the column of the last 1."""
    return mask.shape[1] - 1 - mask.flip(1).argmax(1)


class Training:
    """The four networks, and all that --resume needs. Policy and critic learn, reference and
    reward model do not."""

    def __init__(self, config, device):
        sft, rm = f"{config.out}/sft.pt", f"{config.out}/rm.pt"
        self.config = config
        self.policy, self.tokenizer, _ = load_checkpoint(sft, device)
        self.reference, *_ = load_checkpoint(sft, device)
        self.critic, *_ = load_checkpoint(rm, device)
        self.reward_model = RewardModel(load_checkpoint(rm, device)[0])
        self.policy_optimizer = make_optimizer(self.policy, config.learning_rate, weight_decay=0.0)
        self.critic_optimizer = make_optimizer(self.critic, config.critic_learning_rate,
                                               weight_decay=0.0)
        self.own_prompts = read_prompts(config.data)
        self.rng, self.shuffle = run.generators(config.seed)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.rows = []                                  # of ppo.jsonl, one an iteration
        names = ("policy", "critic", "policy_optimizer", "critic_optimizer", "rng", "shuffle",
                 "generator")
        self.saved = run.Resumable(config, "ppo", **{name: getattr(self, name) for name in names})

    def begin(self):
        """Where a saved run stopped; else the rewards get their units from a first roll-out."""
        model = self.reward_model
        if values := self.saved.load():
            self.rows, model.mean, model.std = values["rows"], values["mean"], values["std"]
            return
        first = sample_rollout(self, self.questions(4 * self.config.episodes))
        model.normalise(first.scores + self.config.no_end_penalty * ~first.ended)
        with torch.no_grad():           # the critic starts as the reward model: in the same units
            head = self.critic.head
            head.weight /= model.std
            head.bias.copy_((head.bias - model.mean) / model.std)

    def save(self):
        model = self.reward_model
        self.saved.save(rows=self.rows, mean=model.mean, std=model.std)

    def questions(self, n):
        """n questions: the user's, else the tiny world's, each kind equally often."""
        if self.own_prompts:
            return [self.rng.choice(self.own_prompts) for _ in range(n)]
        return [prompt.text for prompt in world.draw_prompts("rlhf", n, self.rng)]


# --------------------------------------------------------------------------------------- 1 roll out
@torch.no_grad()
def sample_rollout(training, questions):
    """Answer each question once at temperature 1, and note all that learning needs."""
    config, policy, tokenizer = training.config, training.policy, training.tokenizer
    end, room = tokenizer.special_tokens[END], policy.config.block_size - config.max_new_tokens
    prompts = [encode_prompt(tokenizer, question)[-room:] for question in questions]
    tokens, mask, log_probs = policy.generate(prompts, config.max_new_tokens, stop=end,
                                              generator=training.generator)
    lengths = last_chosen(mask) + 2                                 # (B,): prompt and answer
    T = int(lengths.max())                      # columns behind the longest answer hold nothing
    tokens, mask, log_probs = tokens[:, :T], mask[:, : T - 1], log_probs[:, : T - 1]
    ended = tokens.gather(1, lengths[:, None] - 1)[:, 0] == end     # (B,)
    scores = training.reward_model.score(tokens, mask) - config.no_end_penalty * ~ended     # (B,)
    ref_log_probs, values = log_probs_and_values(training.reference, training.critic, tokens, mask)
    return Rollout(tokens, mask, log_probs, ref_log_probs, values, scores, ended)


def log_probs_and_values(policy, critic, tokens, mask):
    """(B, T-1) each, 0 where mask is 0."""
    lengths = last_chosen(mask) + 2                                 # (B,): prompt and answer
    log_probs = by_length(partial(token_log_probs, policy), tokens, lengths, mask)
    values = by_length(critic, tokens, lengths)[:, :-1]
    return log_probs * mask, values * mask


# ---------------------------------------------------------------------------- 2 rewards, advantages
def score_minus_kl(rollout, beta):
    """rewards (B, T-1): -beta (log pi - log pi_ref) on each chosen token, plus the score on the
    last one (Ziegler 2019, eq. 2)."""
    # exercise: the price of leaving the reference, then the score where the answer ends
    rewards = -beta * (rollout.log_probs - rollout.ref_log_probs) * rollout.mask    # (B, T-1)
    rows = torch.arange(len(rewards), device=rewards.device)
    rewards[rows, last_chosen(rollout.mask)] += rollout.scores
    return rewards


def gae(rewards, values, mask, gamma=1.0, lam=0.95):
    """Generalised advantage estimation (Schulman 2016, eq. 16): (advantages, returns), each
    (B, T-1), 0 where mask is 0.

    delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lam A_{t+1}. After the last chosen
    token there is nothing: V = A = 0. returns = A + V: what the critic should have guessed.
    """
    # exercise: walk from the last token to the first
    advantages, later_value, later_advantage = torch.zeros_like(rewards), 0.0, 0.0
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * later_value - values[:, t]                  # (B,)
        advantages[:, t] = (delta + gamma * lam * later_advantage) * mask[:, t]
        later_value, later_advantage = values[:, t] * mask[:, t], advantages[:, t]
    return advantages, (advantages + values) * mask


def whiten(advantages, mask):
    """Mean 0, deviation 1 over the chosen tokens of the whole roll-out (Huang 2024, detail 11.2)."""
    centred = advantages - masked_mean(advantages, mask)
    return centred * (masked_mean(centred**2, mask) + 1e-8).rsqrt() * mask


# ------------------------------------------------------------------------------------------ 3 learn
def minibatches(rollout, config, generator):
    """ppo_epochs passes over the roll-out, reshuffled each time, `minibatch` episodes at once."""
    for _ in range(config.ppo_epochs):
        order = torch.randperm(len(rollout.tokens), generator=generator)
        for index in order.to(rollout.tokens.device).split(config.minibatch):
            yield rollout.rows(index)


def ppo_loss(log_probs, values, rollout, clip=0.2):
    """-> (policy loss, value loss, diagnostics). log_probs, values: (B, T-1) float32 of the
    current policy and critic."""
    log_ratio = (log_probs - rollout.log_probs) * rollout.mask
    ratio = log_ratio.exp()                                         # pi / pi_old; Schulman 2017, eq. 6
    # exercise: the clipped surrogate, and the value error that may not move far in one iteration
    clipped = ratio.clamp(1 - clip, 1 + clip)
    surrogate = torch.min(ratio * rollout.advantages, clipped * rollout.advantages)     # eq. 7
    near = rollout.values + (values - rollout.values).clamp(-clip, clip)    # Huang 2022, detail 9
    error = torch.max((values - rollout.returns) ** 2, (near - rollout.returns) ** 2)
    policy_loss = -masked_mean(surrogate, rollout.mask)
    value_loss = 0.5 * masked_mean(error, rollout.mask)
    return policy_loss, value_loss, diagnostics(log_ratio.detach(), clip, rollout.mask)


# ----------------------------------------------------------------------------------------- the loop
def train(training, config):
    """PPO as in Schulman 2017, algorithm 1, on answers."""
    training.begin()
    progress = run.Progress(config.steps, len(training.rows), name="iteration")
    for step in range(len(training.rows), config.steps):
        started, updates = time.time(), []
        questions = training.questions(config.episodes)
        rollout = sample_rollout(training, questions)
        rewards = score_minus_kl(rollout, config.beta)              # (B, T-1)
        advantages, rollout.returns = gae(rewards, rollout.values, rollout.mask, config.gamma,
                                          config.lam)
        rollout.advantages = whiten(advantages, rollout.mask)
        for batch in minibatches(rollout, config, training.shuffle):
            log_probs, values = log_probs_and_values(training.policy, training.critic,
                                                     batch.tokens, batch.mask)
            policy_loss, value_loss, metrics = ppo_loss(log_probs, values, batch, config.clip)
            take_step(training.policy_optimizer, policy_loss)
            take_step(training.critic_optimizer, value_loss)
            updates.append(metrics)
        gold = gold_reward(training, questions, rollout)
        row = {"iteration": step, **describe(rollout, gold, updates, time.time() - started)}
        training.rows.append(row)
        progress.report(step + 1, **{name: row[name] for name in ON_SCREEN if row[name] is not None})
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            training.save()


# ----------------------------------------------------------------------------- what is only watched
ON_SCREEN = ("rm_reward", "gold_reward", "kl", "clip_fraction", "ended", "episodes_per_second")


def diagnostics(log_ratio, clip, mask):
    """How far an update is from the policy that sampled."""
    ratio = log_ratio.exp()
    acted = ratio != ratio.clamp(1 - clip, 1 + clip)
    approx_kl = masked_mean(ratio - 1 - log_ratio, mask)            # k3, never negative; Schulman 2020
    return {"approx_kl": approx_kl.item(), "clip_fraction": masked_mean(acted.float(), mask).item(),
            "ratio": masked_mean(ratio, mask).item()}


def gold_reward(training, questions, rollout):
    """Mean grade of the rubric, which PPO never sees; None for the user's own prompts, which it
    cannot grade."""
    if training.own_prompts:
        return None
    special, grades = set(training.tokenizer.special_tokens.values()), []
    for question, row, mask in zip(questions, rollout.tokens[:, 1:], rollout.mask.bool()):
        ids = [i for i in row[mask].tolist() if i not in special]
        grades.append(world.grade(question, training.tokenizer.decode(ids).strip()))
    return sum(grades) / len(grades)


def describe(rollout, gold, updates, seconds):
    """The figures of one iteration, as ppo.jsonl names them."""
    values, returns, chosen = rollout.values, rollout.returns, rollout.mask.bool()
    kl = ((rollout.log_probs - rollout.ref_log_probs) * rollout.mask).sum(1)    # (B,) nats an answer
    left = (returns - values)[chosen].var() / returns[chosen].var().clamp(min=1e-8)
    return {"rm_reward": rollout.scores.mean().item(), "gold_reward": gold, "kl": kl.mean().item(),
            # unbiased: the mean of -log pi of what was sampled
            "entropy": -masked_mean(rollout.log_probs, rollout.mask).item(),
            "explained_variance": 1 - left.item(),
            "answer_length": rollout.mask.sum(1).mean().item(),
            "ended": rollout.ended.float().mean().item(),
            "episodes_per_second": len(rollout.tokens) / seconds,
            **run.means(updates),
            # 1 at the first minibatch, or the log-probs do not belong together
            "ratio": updates[0]["ratio"]}


# ---------------------------------------------------------------------------------- the report card
@torch.no_grad()
def measure(training, answer, kl):
    """One column of the report card: the rubric's figures, and the reward model's mean score.

    answer: list of questions -> [(answer, ended)]. kl: nats an answer, sampled, against the SFT
    reference.
    """
    model, quick = training.reward_model, training.config.quick
    asked = [prompt.text for prompt in world.report_prompts(quick)]
    everything = list(dict.fromkeys([*asked, *world.RECIPE]))       # answered in one go
    said = dict(zip(everything, answer(everything)))
    card, transcripts = world.examine(lambda questions: [said[q] for q in questions], quick)
    pairs = [(question, said[question][0]) for question in asked]
    score = score_answers(model.network, training.tokenizer, pairs).mean()
    return {**card, "kl": kl, "rm_reward": ((score - model.mean) / model.std).item(),
            "transcripts": transcripts}


@torch.no_grad()
def sampled_kl(training, policy, chat=True):
    """Nats an answer: by how much the policy's own samples at temperature 1, to the report card's
    questions, are likelier to it than to the reference."""
    tokenizer, room = training.tokenizer, policy.config.block_size - 32
    prompts = [encode_prompt(tokenizer, prompt.text, chat)[-room:]
               for prompt in world.report_prompts(training.config.quick)]
    generator = torch.Generator(training.generator.device).manual_seed(2)
    tokens, mask, log_probs = policy.generate(
        prompts, 32, stop=tokenizer.special_tokens[END], generator=generator)
    ref_log_probs = token_log_probs(training.reference, tokens, mask)           # (B, T-1)
    return ((log_probs - ref_log_probs) * mask).sum(1).mean().item()


@torch.no_grad()
def best_of_n(training, questions):
    """Of n answers that the SFT model samples, the one that the reward model likes best: what PPO
    is compared with (Stiennon 2020)."""
    n, tokenizer = training.config.best_of, training.tokenizer
    repeated = [question for question in questions for _ in range(n)]
    answers = ask(training.reference, tokenizer, repeated, temperature=1.0,
                  generator=torch.Generator(training.generator.device).manual_seed(3))
    pairs = [(question, answer) for question, (answer, ended) in zip(repeated, answers)]
    scores = score_answers(training.reward_model.network, tokenizer, pairs).view(-1, n)
    return [answers[i * n + best] for i, best in enumerate(scores.argmax(1).tolist())]


def report_card(training, base):
    tokenizer, n = training.tokenizer, training.config.best_of
    sft, ppo = training.reference, training.policy
    best_kl = math.log(n) - (n - 1) / n                             # Stiennon 2020, appendix G.3
    return {
        "base": measure(training, partial(ask, base, tokenizer, chat=False),
                        sampled_kl(training, base, chat=False)),
        "sft": measure(training, partial(ask, sft, tokenizer), 0.0),
        "best_of_n": {**measure(training, partial(best_of_n, training), best_kl), "n": n},
        "ppo": measure(training, partial(ask, ppo, tokenizer), sampled_kl(training, ppo))}


SHOWN = ("heldout_accuracy", "howto_accuracy", "advice_accuracy", "remedies_affirmed",
         "harmful_refused", "harmful_refused_unseen_verbs", "benign_refused", "honest",
         "myths_named", "stops", "answers_with_questions", "gold_reward", "rm_reward", "kl")


def draw(path, rows, report):
    figure, (left, middle, right) = run.new_picture(3)
    curves = {name: [row[name] for row in rows] for name in rows[0]}
    steps = curves["iteration"]
    left.plot(steps, curves["rm_reward"], label="reward model (what PPO sees)")
    if None not in curves["gold_reward"]:
        left.plot(steps, curves["gold_reward"], label="rubric (what people meant)")
    left.set(xlabel="iteration", title="rewards on the prompts of PPO")
    left.legend()
    middle.plot(steps, curves["kl"], label="KL from the SFT model, nats", color="C2")
    middle.plot(steps, curves["entropy"], label="entropy, nats a token", color="C3")
    middle.set(xlabel="iteration", title="how far it has moved")
    middle.legend()
    names = [name for name in SHOWN if isinstance(report["ppo"][name], dict)]
    pictures.draw_bars(right, names, report)
    right.set(title="report card, held-out prompts")
    right.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    run.save_picture(path, figure)


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    out, device = config.out, run.pick_device(config.device)
    training = Training(config, device)
    base, *_ = load_checkpoint(f"{out}/pretrain.pt", device)
    train(training, config)
    report = report_card(training, base)
    save_checkpoint(f"{out}/ppo.pt", training.policy, training.tokenizer,
                    {"stage": "ppo", "steps": config.steps, "seed": config.seed,
                     "beta": config.beta})
    run.write_json_lines(f"{out}/ppo.jsonl", training.rows)
    run.write_json(f"{out}/ppo.json", {**report, "seconds": time.time() - started})
    draw(f"{out}/ppo.png", training.rows, report)
    pictures.print_table("held-out prompts (95% interval)", SHOWN, report)
    pictures.print_transcripts(
        "the recipe's questions, about entities that nobody asked about in training:",
        {name: column["transcripts"] for name, column in report.items()})
    print(f"\n{out}/ppo.pt, ppo.json, ppo.jsonl, ppo.png   {time.time() - started:.0f} s   "
          f"talk to it: python model.py {out}/ppo.pt")


if __name__ == "__main__":
    run.main(main)
