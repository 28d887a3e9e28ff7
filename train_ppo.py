"""Step 3.2, PPO: the policy answers, the reward model scores, and each token's probability moves
with its advantage.

in    out/sft.pt (the policy to start from, and the reference to stay near), out/rm.pt (the reward
      model; the critic starts from it), out/pretrain.pt; prompts of the tiny world, or --data ...
out   out/ppo.pt weights, out/ppo.json report card, out/ppo.jsonl a row an iteration, out/ppo.png
run   python train_ppo.py        (--quick: in seconds; --beta 0 shows what the KL penalty is for)
see   the report card on held-out prompts: base, SFT, best of n, PPO; the recipe's own questions
      (on --data better_than_sft: where PPO, or best of n, says what SFT says, it counts half)
"""
import time
from dataclasses import dataclass
from functools import partial

import torch

import run
from data import judging, world
from data.dialogues import files_in, prompts_of
from model import (END, encode_prompt, load_checkpoint, make_optimizer, masked_mean,
                   save_checkpoint, schedule, score_answers, take_step, token_log_probs)
from run import flag
from run.rows import by_length, last_chosen, row_lengths, share_context


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "prompts: .txt, .jsonl, .json files (without it: the tiny world's)")
    heldout_share: float = flag(0.1, "of --data, by which it is judged", least=0.0)
    steps: int = flag(50, "iterations: each rolls out, then learns from it", quick=3, least=1)
    episodes: int = flag(128, "prompts answered an iteration", quick=32, least=2)
    ppo_epochs: int = flag(2, "passes over a roll-out", least=1)
    minibatch: int = flag(64, "episodes an update", quick=16, least=1)
    learning_rate: float = flag(3e-4, "peak of the policy's, after five iterations; then falls to "
                                      "a tenth along a cosine", least=0.0)
    critic_learning_rate: float = flag(6e-4, "peak of the critic's; likewise", least=0.0)
    beta: float = flag(0.2, "price of a nat of KL from the SFT reference", least=0.0)
    gamma: float = flag(1.0, "discount: none, an answer is short", least=0.0)
    lam: float = flag(0.95, "of GAE: 1 trusts returns only, 0 the next guess", least=0.0)
    clip: float = flag(0.2, "how far the ratio may leave 1 before its gradient stops", least=0.0)
    no_end_penalty: float = flag(1.0, "off the score of an answer that does not end", least=0.0)
    max_new_tokens: int = flag(0, "the longest answer (0: 24; of --data half the context)", least=0)
    best_of: int = flag(8, "answers to choose from in the best-of-n column", quick=2, least=1)
    save_every: int = flag(10, "iterations between saves for --resume", quick=1, least=1)


@dataclass
class Rollout:
    """B answered prompts. Column t of (B, T-1) tensors belongs to the choice of tokens[:, t+1]."""
    tokens: torch.Tensor            # (B, T) int64: prompt, answer, padding
    mask: torch.Tensor              # (B, T-1) 1 on tokens the policy chose, the end token included
    log_probs: torch.Tensor         # (B, T-1) nats, under the policy that sampled
    ref_log_probs: torch.Tensor     # (B, T-1) nats, under the SFT reference
    values: torch.Tensor            # (B, T-1) the critic's guess before the token
    scores: torch.Tensor            # (B,) normalised, less the penalty for not ending
    ended: torch.Tensor             # (B,) bool
    advantages: torch.Tensor = None     # (B, T-1) how much better the token was than expected
    returns: torch.Tensor = None        # (B, T-1) what the critic should have guessed

    def rows(self, index):
        return Rollout(**{name: tensor[index] for name, tensor in vars(self).items()})


def answer_scores(reward_model, tokens, mask):
    """(B, T), (B, T-1) -> (B,): the mean of the reward model's numbers on the chosen tokens."""
    worth = by_length(reward_model, tokens, row_lengths(mask))[:, 1:]   # once the token is read
    return (worth * mask).sum(1) / mask.sum(1)


class Training:
    """The four networks (policy and critic learn, reference and reward model do not), and how far
    they are."""

    def __init__(self, config, device):
        sft, rm = f"{config.out}/sft.pt", f"{config.out}/rm.pt"
        self.config = config
        self.policy, self.tokenizer, _ = load_checkpoint(sft, device)
        context = self.policy.config.block_size
        self.longest, self.room = share_context(config.max_new_tokens, context, bool(config.data))
        self.own_prompts, self.heldout = prompts_of(config, self.room, partial(
            encode_prompt, self.tokenizer))
        self.reference, *_ = load_checkpoint(sft, device)
        self.critic, *_ = load_checkpoint(rm, device)
        self.reward_model, *_ = load_checkpoint(rm, device)
        self.policy_optimizer = make_optimizer(self.policy, config.learning_rate, 0.0)
        self.critic_optimizer = make_optimizer(self.critic, config.critic_learning_rate, 0.0)
        self.rng, self.shuffle = run.generators(config.seed)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        made_from = {"sft.pt": run.digest(sft), "rm.pt": run.digest(rm),
                     "--data": run.digest(*files_in(config.data))}
        self.saved = run.Resumable(
            config, "ppo", made_from, policy=self.policy, policy_optimizer=self.policy_optimizer,
            critic=self.critic, critic_optimizer=self.critic_optimizer,
            rng=self.rng, shuffle=self.shuffle, generator=self.generator)
        self.rows, self.mean, self.std = [], 0.0, 1.0       # of ppo.jsonl; of scores

    def begin(self):
        """Goes on where a saved run stopped. A new one draws a first roll-out: mean and deviation
        of the SFT model's scores become 0 and 1 (Ziegler 2019, section 2.1)."""
        if values := self.saved.load():
            self.rows, self.mean, self.std = values["rows"], values["mean"], values["std"]
            return
        first = sample_rollout(self, self.prompts(4 * self.config.episodes))
        scores = first.scores + self.config.no_end_penalty * ~first.ended   # without the penalty
        self.mean, self.std = scores.mean().item(), scores.std().item() + 1e-8
        if self.std < 0.1:              # to divide by less would make a reward of noise
            print(f"the answers' scores are almost alike, deviation {self.std:.4f}: 0.1 is used")
            self.std = 0.1
        for parameter in self.critic.head.parameters():     # its first guess is 0, the mean score;
            torch.nn.init.zeros_(parameter)                 # what the reward model reads, it keeps

    def fresh(self):
        """A generator for the report card, which no seed moves."""
        return torch.Generator(self.generator.device).manual_seed(2)

    def normalised(self, scores, ended):
        """The reward model's scores (B,), ended (B,) bool -> those that PPO pays out (B,)."""
        return (scores - self.mean) / self.std - self.config.no_end_penalty * ~ended

    def prompts(self, n):
        """n Prompts: the user's, of kind "own", else the tiny world's."""
        if self.own_prompts:
            drawn = [self.rng.choice(self.own_prompts) for _ in range(n)]
            return [world.Prompt("own", text, {}, text) for text in drawn]
        return world.draw_prompts("ppo", n, self.rng)


# --------------------------------------------------------------------------------------- 1 roll out
@torch.no_grad()
def sample_rollout(state, prompts):
    """Answer each prompt once at temperature 1, and note what is known before learning."""
    end = state.tokenizer.special_tokens[END]
    rows = [encode_prompt(state.tokenizer, prompt.text)[-state.room:] for prompt in prompts]
    tokens, mask, log_probs = state.policy.generate(rows, state.longest, stop=end,
                                                    generator=state.generator)
    lengths = row_lengths(mask)                                     # (B,)
    T = int(lengths.max())                      # columns behind the longest answer hold nothing
    tokens, mask, log_probs = tokens[:, :T], mask[:, : T - 1], log_probs[:, : T - 1]
    ended = tokens.gather(1, lengths[:, None] - 1)[:, 0] == end     # (B,)
    scores = state.normalised(answer_scores(state.reward_model, tokens, mask), ended)       # (B,)
    ref_log_probs, values = evaluate(state.reference, state.critic, tokens, mask)
    return Rollout(tokens, mask, log_probs, ref_log_probs, values, scores, ended)


def evaluate(policy, critic, tokens, mask):
    """-> (log_probs, values), each (B, T-1), 0 where mask is 0."""
    lengths = row_lengths(mask)                                     # (B,)
    log_probs = by_length(partial(token_log_probs, policy), tokens, lengths, mask)
    values = by_length(critic, tokens, lengths)[:, :-1]             # before the token is chosen
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
    """Mean 0, deviation 1 over all chosen tokens of the roll-out (Huang 2024, detail 11.2)."""
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
    ratio = log_ratio.exp()                                     # pi / pi_old; Schulman 2017, eq. 6
    # exercise: the clipped surrogate, and the value error that may not move far in one iteration
    clipped = ratio.clamp(1 - clip, 1 + clip)
    surrogate = torch.min(ratio * rollout.advantages, clipped * rollout.advantages)     # eq. 7
    near = rollout.values + (values - rollout.values).clamp(-clip, clip)    # Huang 2022, detail 9:
    error = torch.max((values - rollout.returns) ** 2, (near - rollout.returns) ** 2)
    policy_loss = -masked_mean(surrogate, rollout.mask)
    value_loss = 0.5 * masked_mean(error, rollout.mask)
    return policy_loss, value_loss, diagnostics(log_ratio, ratio, clipped, rollout.mask)


# ----------------------------------------------------------------------------------------- the loop
def train(state, config):
    """PPO as in Schulman 2017, algorithm 1, on answers."""
    state.begin()
    progress = run.Progress(config.steps, len(state.rows), name="iteration")
    for step in range(len(state.rows), config.steps):
        started, updates = time.time(), []
        share = schedule(step, config.steps, warmup=5)
        prompts = state.prompts(config.episodes)
        rollout = sample_rollout(state, prompts)
        rewards = score_minus_kl(rollout, config.beta)                          # (B, T-1)
        rollout.advantages, rollout.returns = gae(rewards, rollout.values, rollout.mask,
                                                  config.gamma, config.lam)
        rollout.advantages = whiten(rollout.advantages, rollout.mask)
        for batch in minibatches(rollout, config, state.shuffle):
            log_probs, values = evaluate(state.policy, state.critic, batch.tokens, batch.mask)
            policy_loss, value_loss, metrics = ppo_loss(log_probs, values, batch, config.clip)
            take_step(state.policy_optimizer, policy_loss, share)
            take_step(state.critic_optimizer, value_loss, share)
            updates.append(metrics)
        gold = gold_reward(state, prompts, rollout)
        row = {"iteration": step, **describe(rollout, gold, updates, time.time() - started)}
        state.rows.append(row)
        progress.report(step + 1, **{name: row[name] for name in ON_SCREEN if name in row})
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            state.saved.save(rows=state.rows, mean=state.mean, std=state.std)


# ----------------------------------------------------------------------------- what is only watched
ON_SCREEN = ("rm_reward", "gold_reward", "kl", "clip_fraction", "ended", "episodes_per_second")
CURVES = {"rewards on the prompts of PPO": {"rm_reward": "reward model (what PPO sees)",
                                            "gold_reward": "rubric (what people meant)"},
          "how far it has moved": {"kl": "KL from the SFT model, nats",
                                   "entropy": "entropy, nats a token"}}


def diagnostics(log_ratio, ratio, clipped, mask):
    """How far the policy is from the one that sampled."""
    k3 = ratio - 1 - log_ratio                  # estimates the KL, and is >= 0 (Schulman 2020)
    return {"approx_kl": masked_mean(k3, mask).item(),
            "clip_fraction": masked_mean((ratio != clipped).float(), mask).item(),
            "ratio": masked_mean(ratio, mask).item()}


def gold_reward(state, prompts, rollout):
    """{"gold_reward": mean grade of the rubric, which PPO never sees}; {} for own prompts."""
    if state.own_prompts:
        return {}
    special, grades = set(state.tokenizer.special_tokens.values()), []
    for prompt, row, mask in zip(prompts, rollout.tokens[:, 1:], rollout.mask.bool()):
        ids = [i for i in row[mask].tolist() if i not in special]
        grades.append(world.grade(prompt, state.tokenizer.decode(ids).strip()))
    return {"gold_reward": sum(grades) / len(grades)}


def describe(rollout, gold, updates, seconds):
    """The figures of one iteration, as ppo.jsonl names them."""
    mask, values, returns = rollout.mask, rollout.values, rollout.returns
    kl = ((rollout.log_probs - rollout.ref_log_probs) * mask).sum(1)        # (B,) nats an answer
    unexplained = (returns - values)[mask.bool()].var() / returns[mask.bool()].var().clamp(min=1e-8)
    return {"rm_reward": rollout.scores.mean().item(), **gold, "kl": kl.mean().item(),
            "entropy": -masked_mean(rollout.log_probs, mask).item(),    # estimated by the samples
            "explained_variance": 1 - unexplained.item(),
            "answer_length": mask.sum(1).mean().item(),
            "ended": rollout.ended.float().mean().item(),
            "episodes_per_second": len(rollout.tokens) / seconds, **run.means(updates),
            "ratio": updates[0]["ratio"]}       # 1, or the log-probs do not belong together


# ---------------------------------------------------------------------------------- the report card
def sampled_kl(state, questions):
    """Nats an answer: how much likelier the policy's samples are to it than to the reference."""
    prompts = [encode_prompt(state.tokenizer, text)[-state.room:] for text in questions]
    tokens, mask, log_probs = state.policy.generate(
        prompts, state.longest, stop=state.tokenizer.special_tokens[END], generator=state.fresh())
    ref_log_probs = token_log_probs(state.reference, tokens, mask)                  # (B, T-1)
    return ((log_probs - ref_log_probs) * mask).sum(1).mean().item()


def best_of_n(state, answer, questions):
    """Of n answers that the SFT model samples, the one that the reward model likes best: what PPO
    is compared with (Stiennon 2020). answer: what it says to questions, [(answer, ended)]."""
    n = state.config.best_of
    repeated = [question for question in questions for _ in range(n)]
    answers = answer(repeated)
    pairs = [(question, text) for question, (text, _) in zip(repeated, answers)]
    ended = [end for _, end in answers]
    scores = score_answers(state.reward_model, state.tokenizer, pairs, ended).view(-1, n)
    return [answers[i * n + best] for i, best in enumerate(scores.argmax(1).tolist())]


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    out, device = config.out, run.pick_device(config.device)
    state = Training(config, device)
    base, *_ = load_checkpoint(f"{out}/pretrain.pt", device)
    train(state, config)
    card = judging.report_card(state, base, best_of_n, sampled_kl)
    save_checkpoint(f"{out}/ppo.pt", state.policy, state.tokenizer, {
        "stage": "ppo", "steps": config.steps, "seed": config.seed, "beta": config.beta,
        "examples": [run.pictures.on_one_line(prompt) for prompt in state.own_prompts[:3]]})
    run.write_json_lines(f"{out}/ppo.jsonl", state.rows)
    run.write_json(f"{out}/ppo.json", {**card, "seconds": time.time() - started})
    judging.show_card(card, f"{out}/ppo.png", state.rows, CURVES)
    print(f"\n{out}/ppo.pt, ppo.json, ppo.jsonl, ppo.png   {time.time() - started:.0f} s   "
          f"talk to it: python model.py {out}/ppo.pt")


if __name__ == "__main__":
    run.main(main)
