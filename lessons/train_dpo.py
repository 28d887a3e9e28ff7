"""Beyond PPO, DPO: the rankings train the policy itself. No reward model, no critic, no roll-outs.

in    out/sft.pt, out/rankings.jsonl (train_rm.py makes them), out/train-*.bin for replay
out   out/dpo.pt weights, out/dpo.json report card
run   python lessons/train_dpo.py        (--quick: the same code in seconds)
see   the report card beside PPO's: what it gains, and how far it moves for that

The reward that a policy is best for, under PPO's own penalty, is beta log(pi / pi_ref) and
something that the prompt alone decides (Rafailov 2023, eq. 5). So lesson 6's ranking loss, with
beta log(pi / pi_ref) as the score of an answer, trains the policy (eq. 7).
"""
import math
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import run
from data import world
from data.dialogues import read_rankings
from data.shards import load_shards, sample_rows
from model import (as_turns, encode_chat, encode_prompt, load_checkpoint, make_optimizer,
                   next_token_loss, save_checkpoint, schedule, take_step, token_log_probs)
from run import flag
from run.chat import ask
from run.pictures import print_table
from run.rows import by_length, pad_rows, share_context
from train_ppo import sampled_kl
from train_rm import collate, draw_order, ranking_loss


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "rankings (without it: out/rankings.jsonl)")
    steps: int = flag(0, "optimizer steps (0: one pass over the rankings)", quick=6, least=0)
    batch_size: int = flag(16, "prompts a step, each with all its answers", least=1)
    learning_rate: float = flag(3e-4, "peak; falls to a tenth along a cosine", least=0.0)
    warmup: int = flag(10, "steps of linear warm-up", quick=2, least=0)
    beta: float = flag(0.1, "nats of log(pi / pi_ref) weigh so much: smaller moves further",
                       least=0.0)
    replay: int = flag(16, "rows of pre-training text a step", least=0)
    replay_weight: float = flag(0.5, "of the replayed rows' loss", least=0.0)


def answer_log_probs(model, tokenizer, pairs, ended):
    """[(prompt, answer)], whether each answer has its end token -> (N,): log pi(answer given
    prompt), nats. Of a row that passes the context the beginning is left away."""
    rows = [encode_chat(tokenizer, as_turns(*pair)) for pair in pairs]
    rows = [row if end else row[:-1] for row, end in zip(rows, ended)]
    device, T = model.token_embedding.weight.device, model.config.block_size
    answers = [len(row) - len(encode_prompt(tokenizer, q)) for row, (q, _) in zip(rows, pairs)]
    answers = torch.tensor(answers, device=device)
    rows = [row[-T - 1 :] for row in rows]                  # the last token is a target only
    tokens, lengths = pad_rows(rows, model.config.vocab_size, device)       # (N, T+1), (N,)
    to_end = lengths[:, None] - torch.arange(1, tokens.shape[1], device=device)     # of targets
    mask = (to_end > 0) & (to_end <= answers[:, None])                      # (N, T)
    log_probs = by_length(partial(token_log_probs, model), tokens, lengths, mask.float())
    return (log_probs * mask).sum(1)


def dpo_loss(log_probs, ref_log_probs, ranks, beta):
    """(B, K) nats of K answers under the policy and the reference, (B, K) ranks, 1 the best -> the
    ranking loss of their implicit rewards beta log(pi / pi_ref)."""
    return ranking_loss(beta * (log_probs - ref_log_probs), ranks)


def train(policy, reference, tokenizer, rankings, config, device):
    """Returns the loss of every step, nats a pair; log 2 before the first."""
    T, B, losses = policy.config.block_size, config.batch_size, []
    steps = config.steps or math.ceil(len(rankings) / B)
    shards = load_shards(config.out) if config.replay else None
    rng, generator = run.generators(config.seed + 1)
    order = draw_order(len(rankings), steps * B, rng)
    optimizer = make_optimizer(policy, config.learning_rate)
    progress = run.Progress(steps, 0)
    for step in range(steps):
        batch = [rankings[i] for i in order[step * B : (step + 1) * B]]
        pairs, ended, ranks = collate(batch)                                # ranks: (B, K)
        log_probs = answer_log_probs(policy, tokenizer, pairs, ended).view(ranks.shape)
        with torch.no_grad():
            ref_log_probs = answer_log_probs(reference, tokenizer, pairs, ended).view(ranks.shape)
        loss = dpo_loss(log_probs, ref_log_probs, ranks.to(device), config.beta)
        losses.append(loss.item())
        if config.replay:
            rows = sample_rows(shards, config.replay, T, generator).to(device)
            loss = loss + config.replay_weight * next_token_loss(policy, rows)
        take_step(optimizer, loss, schedule(step, steps, config.warmup))
        progress.report(step + 1, loss=losses[-1])
    return losses


@torch.no_grad()
def report_card(policy, reference, tokenizer, quick):
    """{"greedy", "sampled"}: the tiny world's figures, and the KL as PPO's card has it."""
    def fresh():
        return torch.Generator(policy.token_embedding.weight.device).manual_seed(2)

    card = {}
    for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        answer = partial(ask, policy, tokenizer, temperature=temperature, generator=fresh())
        card[name], card[name]["transcripts"] = world.examine(answer, quick)
    longest, room = share_context(0, policy.config.block_size)
    state = SimpleNamespace(policy=policy, reference=reference, tokenizer=tokenizer, room=room,
                            longest=longest, fresh=fresh)
    asked = [prompt.text for prompt in world.report_prompts(quick)]
    card["sampled"]["kl"] = sampled_kl(state, asked)
    return card


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    device = run.pick_device(config.device)
    policy, tokenizer, _ = load_checkpoint(f"{config.out}/sft.pt", device)
    reference, *_ = load_checkpoint(f"{config.out}/sft.pt", device)
    rankings = read_rankings(config.data or [f"{config.out}/rankings.jsonl"], ties=not config.data)
    losses = train(policy, reference, tokenizer, rankings, config, device)
    trained = time.time() - started
    card = report_card(policy, reference, tokenizer, config.quick)
    save_checkpoint(f"{config.out}/dpo.pt", policy, tokenizer, {"stage": "dpo"})
    run.write_json(f"{config.out}/dpo.json", {
        **card, "loss": losses[-1], "training_seconds": trained,
        "seconds": time.time() - started})
    print_table("DPO (95% interval)", world.SHOWN, card)


if __name__ == "__main__":
    run.main(main)
