"""Beyond PPO, REINFORCE with a leave-one-out baseline: no critic, no ratio, no clip.

in    out/sft.pt, out/rm.pt
out   out/reinforce.pt weights, out/reinforce.json report card, out/reinforce.jsonl a row a step
run   python lessons/train_reinforce.py        (--quick: the same code in seconds)
see   the report card beside PPO's, from as many answers

Each prompt is answered K times. What the others of the K earned on the average is the baseline of
each (Kool 2019; Ahmadian 2024, section 3.3): an answer is likelier afterwards if it was better than
its siblings. The whole answer is one action, with one advantage. Each roll-out serves one update,
so the policy that learns is the one that sampled, and PPO's ratio would be 1.
"""
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import run
import train_ppo
from data import world
from model import save_checkpoint, schedule, take_step, token_log_probs
from run import flag
from run.pictures import print_table
from run.rows import by_length
from train_dpo import report_card
from train_ppo import gold_reward, row_lengths, sample_rollout


@dataclass
class Config(train_ppo.Config):
    steps: int = flag(100, "iterations: each rolls out, then learns from it once", quick=3, least=1)
    episodes: int = flag(64, "answers an iteration", quick=16, least=2)
    siblings: int = flag(4, "answers to each prompt", least=2)
    learning_rate: float = flag(3e-4, "peak; falls to a tenth along a cosine", least=0.0)


def leave_one_out(rewards):
    """(N, K) rewards of K answers to each of N prompts -> (N, K): how much better each is than the
    mean of the K - 1 others."""
    K = rewards.shape[1]
    others = (rewards.sum(1, keepdim=True) - rewards) / (K - 1)
    return rewards - others


def nats_moved(rollout):
    """(B,): log(pi / pi_ref) of each whole answer; its mean is the KL."""
    return ((rollout.log_probs - rollout.ref_log_probs) * rollout.mask).sum(1)


def answer_rewards(rollout, beta):
    """(B,): the score, less beta nats of log(pi / pi_ref) of the whole answer."""
    return rollout.scores - beta * nats_moved(rollout)


def reinforce_loss(log_probs, mask, advantages):
    """(B, T-1), (B, T-1), (B,) -> minus the mean of advantage x log pi(answer), whose gradient is
    that of the expected reward (Williams 1992)."""
    return -(advantages * (log_probs * mask).sum(1)).mean()


def train(state, config):
    """Fills state.rows, a row for each step."""
    state.begin()
    progress = run.Progress(config.steps, 0, name="iteration")
    for step in range(config.steps):
        asked = state.prompts(config.episodes // config.siblings)
        prompts = [prompt for prompt in asked for _ in range(config.siblings)]
        rollout = sample_rollout(state, prompts)
        rewards = answer_rewards(rollout, config.beta)                          # (B,)
        advantages = leave_one_out(rewards.view(len(asked), config.siblings)).view(-1)
        advantages = advantages / (advantages.std() + 1e-8)
        log_probs = by_length(lambda *x: token_log_probs(state.policy, *x), rollout.tokens,
                              row_lengths(rollout.mask), rollout.mask)
        loss = reinforce_loss(log_probs, rollout.mask, advantages)
        take_step(state.policy_optimizer, loss, schedule(step, config.steps, warmup=5))
        row = {"rm_reward": rollout.scores.mean().item(), "kl": nats_moved(rollout).mean().item(),
               **gold_reward(state, prompts, rollout)}
        state.rows.append({"iteration": step, **row})
        progress.report(step + 1, **row)


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    out, device = config.out, run.pick_device(config.device)
    state = train_ppo.Training(config, device)
    train(state, config)
    trained = time.time() - started
    card = report_card(state.policy, state.reference, state.tokenizer, config.quick)
    save_checkpoint(f"{out}/reinforce.pt", state.policy, state.tokenizer, {"stage": "reinforce"})
    run.write_json_lines(f"{out}/reinforce.jsonl", state.rows)
    run.write_json(f"{out}/reinforce.json", {
        **card, "training_seconds": trained, "seconds": time.time() - started})
    print_table("REINFORCE (95% interval)", world.SHOWN, card)


if __name__ == "__main__":
    run.main(main)
