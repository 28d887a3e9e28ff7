"""Step 2, supervised fine-tuning: show the base model answered questions until it answers, and
stops.

in    out/pretrain.pt, out/tokenizer.json, out/train-*.bin for replay; demonstrations from the tiny
      world, or --data FILES FOLDERS ... with dialogues, some of them held out to judge by
out   out/sft.pt weights, out/sft.json figures and transcripts, out/sft.png loss curve, report card
run   python train_sft.py        (--quick: the same code in seconds)
see   the recipe's questions before and after: the base model asks back, this one answers; and
      about entities that no demonstration spoke of, it answers from what it read in pre-training
"""
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

import run
from data import judging, world
from data.dialogues import files_in, hold_out, read_dialogues, those_that_fit
from data.shards import load_shards, sample_rows
from model import (END, as_turns, encode_chat, load_checkpoint, make_optimizer, masked_mean,
                   next_token_loss, save_checkpoint, schedule, take_step, token_log_probs)
from run import flag
from run.chat import ask
from run.pictures import draw_run, print_card
from run.rows import by_length


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "demonstrations: .jsonl, .json with {prompt, response}, Alpaca's, "
                           "messages or ShareGPT's (without it: the tiny world's)")
    heldout_share: float = flag(0.1, "of --data, by which it is judged", least=0.0)
    steps: int = flag(240, "optimizer steps", quick=30, least=1)
    batch_size: int = flag(32, "dialogues a step", least=1)
    learning_rate: float = flag(2e-3, "peak; falls to zero along a line", least=0.0)
    warmup: int = flag(20, "steps of linear warm-up", quick=5, least=0)
    replay: int = flag(24, "rows of pre-training text a step: without them the model forgets what "
                           "nobody asks it about", quick=8, least=0)
    replay_weight: float = flag(0.5, "of the replayed rows' loss", least=0.0)
    careful: float = flag(0.35, "share of annotators who refuse, admit and debunk where they "
                                "should", least=0.0)
    two_turns: float = flag(0.1, "share of dialogues about two things", least=0.0)
    save_every: int = flag(100, "steps between saves for --resume", quick=5, least=1)


# ---------------------------------------------------------------------------------- demonstrations
# How often each kind is demonstrated: those with few entities less often, or the model learns the
# list by heart and not the way to answer.
KIND_WEIGHTS = {"fact": 3, "howto": 2, "harmful": 2, "remedy": 1, "myth": 1, "advice": 1,
                "smalltalk": 1, "unanswerable": 1, "beyond": 1}


def draw_turns(own, pool, rng, careful):
    """[(question, answer), ...]: one of the user's own dialogues, else a prompt, as somebody types
    it and a random annotator answers it; a second question brings the turn that it leans on.
    pool: {kind: prompts} of the tiny world."""
    if own:
        return rng.choice(own)
    [kind] = rng.choices(list(KIND_WEIGHTS), KIND_WEIGHTS.values())
    prompt = world.typed(rng.choice(pool[kind]), "sft", rng)
    return as_turns(prompt.text, world.demonstrate(prompt, rng, careful))


def draw_dialogue(own, pool, rng, config):
    """[(question, answer), ...]: of one subject, or of two that have nothing to do with one
    another."""
    subjects = 2 if rng.random() < config.two_turns else 1
    return sum((draw_turns(own, pool, rng, config.careful) for _ in range(subjects)), [])


def encode_dialogue(tokenizer, turns):
    """-> (ids, loss_mask), lists of one length: the mask is 1 on each answer and the token that
    ends it, 0 on questions and template."""
    # exercise: turn by turn, what is asked with 0, what is answered with 1
    ids, loss_mask = [], []
    for question, answer in turns:
        asked = encode_chat(tokenizer, [(question, None)])
        whole = encode_chat(tokenizer, [(question, answer)])
        ids += whole
        loss_mask += [0] * len(asked) + [1] * (len(whole) - len(asked))
    return ids, loss_mask


def collate(dialogues, tokenizer, block_size):
    """-> tokens (B, T+1) int64, padded with the end token, and loss_mask (B, T) float: which of
    the targets tokens[:, 1:] count."""
    rows = [encode_dialogue(tokenizer, turns) for turns in dialogues]
    width = min(block_size + 1, max(len(ids) for ids, _ in rows))
    tokens = torch.full((len(rows), width), tokenizer.special_tokens[END])      # (B, T+1)
    loss_mask = torch.zeros(len(rows), width)                                   # (B, T+1)
    for i, (ids, mask) in enumerate(rows):
        T = min(width, len(ids))
        tokens[i, :T] = torch.tensor(ids[:T])
        loss_mask[i, :T] = torch.tensor(mask[:T])
    return tokens, loss_mask[:, 1:]


# ---------------------------------------------------------------------------------------- training
def dialogue_loss(model, tokens, loss_mask):
    """next_token_loss of tokens (B, T+1), with little padding computed."""
    T = loss_mask.shape[1]
    lengths = T - loss_mask.flip(1).argmax(1) + 1                               # (B,)
    log_probs = by_length(partial(token_log_probs, model), tokens, lengths, loss_mask)
    return -masked_mean(log_probs, loss_mask)                                   # (B, T) both


def train(model, tokenizer, own, config, device):
    """The loss counts answers only, and, at a smaller weight, pre-training text, so that nothing
    is forgotten. Returns [{"loss": of answers, "replay_loss"}] of every step, nats a token."""
    T = model.config.block_size
    pool = world.of_kind("sft")
    shards = load_shards(config.out) if config.replay else None
    rng, generator = run.generators(config.seed)
    optimizer = make_optimizer(model, config.learning_rate)
    made_from = {"pretrain.pt": run.digest(f"{config.out}/pretrain.pt"),
                 "--data": run.digest(*files_in(config.data))}
    saved = run.Resumable(config, "sft", made_from, model=model, optimizer=optimizer, rng=rng,
                          generator=generator)
    losses = saved.load().get("losses", [])
    progress = run.Progress(config.steps, len(losses))
    for step in range(len(losses), config.steps):
        dialogues = [draw_dialogue(own, pool, rng, config) for _ in range(config.batch_size)]
        tokens, loss_mask = collate(dialogues, tokenizer, T)                    # (B, T+1), (B, T)
        answer_loss = dialogue_loss(model, tokens.to(device), loss_mask.to(device))
        replay_loss = torch.zeros((), device=device)
        if config.replay:
            rows = sample_rows(shards, config.replay, T, generator).to(device)  # (replay, T+1)
            replay_loss = next_token_loss(model, rows)
        loss = answer_loss + config.replay_weight * replay_loss
        take_step(optimizer, loss, schedule(step, config.steps, config.warmup, "linear"))
        losses.append({"loss": answer_loss.item(), "replay_loss": replay_loss.item()})
        speed = progress.per_second((step + 1 - progress.first_step) * config.batch_size)
        progress.report(step + 1, **losses[-1], dialogues_per_second=speed)
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            saved.save(losses=losses)
    return losses


# -------------------------------------------------------------------------------------- evaluation
CURVES = {"SFT: the loss counts answers only": {
    "loss": "answers, nats a token", "replay_loss": "replayed pre-training text, nats a token"}}


def examine(model, tokenizer, heldout, quick, chat=True):
    """-> (figures, transcripts): by the user's held-out dialogues, or the tiny world's card."""
    if heldout:
        batch = partial(collate, tokenizer=tokenizer, block_size=model.config.block_size)
        return judging.examine_dialogues(model, tokenizer, heldout, batch, chat)
    return world.examine(partial(ask, model, tokenizer, chat=chat), quick)


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    out, device = Path(config.out), run.pick_device(config.device)
    model, tokenizer, _ = load_checkpoint(out / "pretrain.pt", device)
    own = those_that_fit(read_dialogues(config.data), model.config.block_size,
                         lambda turns: len(encode_chat(tokenizer, turns)))
    own, heldout = hold_out(own, config.heldout_share, lambda turns: turns[0][0])
    base, said_before = examine(model, tokenizer, heldout, config.quick, chat=False)
    losses = train(model, tokenizer, own, config, device)
    sft, said = examine(model, tokenizer, heldout, config.quick)
    save_checkpoint(out / "sft.pt", model, tokenizer,
                    {"stage": "sft", "steps": config.steps, "seed": config.seed}
                    | ({"examples": [turns[0][0] for turns in own[:3]]} if own else {}))
    seconds = time.time() - started
    run.write_json(out / "sft.json", {
        **sft, "base": base, "transcripts": said, "transcripts_base": said_before,
        "first_loss": losses[0]["loss"], "loss": losses[-1]["loss"], "seconds": seconds})
    card = {"base": base | {"transcripts": said_before}, "SFT": sft | {"transcripts": said}}
    draw_run(out / "sft.png", "step", losses, CURVES, judging.DRAWN if own else world.DRAWN, card)
    judging.show_dialogues(card) if own else print_card(world.SHOWN, card)
    print(f"\n{out}/sft.pt, sft.json, sft.png   {seconds:.0f} s   "
          f"talk to it: python model.py {out}/sft.pt   "
          f"next: {run.next_command('train_rm.py', config, 'YOUR_RANKINGS')}")


if __name__ == "__main__":
    run.main(main)
