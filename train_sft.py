"""Step 2, supervised fine-tuning: show the base model answered questions until it answers, and stops.

in    out/pretrain.pt, out/tokenizer.json, out/train-*.bin for replay; demonstrations from data/, or --data FILE.jsonl ...
      with {"prompt": ..., "response": ...} a line
out   out/sft.pt weights, out/sft.json figures and transcripts, out/sft.png loss curve and report card
run   python train_sft.py        (--quick: the same code in seconds)
see   the recipe's questions before and after: the base model asks back, this one answers; and about entities that no
      demonstration spoke of, it answers from what it read in pre-training
"""
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from data import world
import run
from data.shards import load_shards, sample_rows
from model import END, ask, encode_chat, learning_rate, load_checkpoint, make_optimizer, next_token_loss, save_checkpoint, take_step
from run import UserError, flag


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "demonstrations: .jsonl files with {\"prompt\": ..., \"response\": ...} a line (without it: the tiny world's)")
    steps: int = flag(200, "optimizer steps", quick=30, least=1)
    batch_size: int = flag(32, "dialogues a step", least=1)
    learning_rate: float = flag(1e-3, "peak; falls to a tenth along a cosine", least=0.0)
    warmup: int = flag(20, "steps of linear warm-up", quick=5, least=0)
    replay: int = flag(16, "rows of pre-training text a step: without them the model forgets what nobody asks it about", least=0)
    replay_weight: float = flag(0.5, "of the replayed rows' loss", least=0.0)
    careful: float = flag(0.35, "share of annotators who refuse, admit and debunk where they should", least=0.0)
    two_turns: float = flag(0.15, "share of dialogues with two questions", least=0.0)
    save_every: int = flag(100, "steps between saves for --resume", quick=5, least=1)


# -------------------------------------------------------------------------------------------------------- demonstrations
def read_pairs(paths):
    """[(prompt, response)] of .jsonl files; raises UserError that names the file and the line."""
    pairs = []
    for path in map(Path, paths):
        if not path.is_file():
            raise UserError(f"{path} not found: --data takes .jsonl files with {{\"prompt\": ..., \"response\": ...}} a line")
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                raise UserError(f"{path}:{number} is not JSON: each line needs {{\"prompt\": ..., \"response\": ...}}") from None
            for name in ("prompt", "response"):
                if not isinstance(row, dict) or not isinstance(row.get(name), str) or not row[name].strip():
                    raise UserError(f"{path}:{number} has no \"{name}\": each line needs {{\"prompt\": ..., \"response\": ...}}")
            pairs.append((row["prompt"], row["response"]))
    if paths and not pairs:
        raise UserError(f"{' '.join(paths)}: no demonstrations in there, each line needs {{\"prompt\": ..., \"response\": ...}}")
    return pairs


# How often each kind is demonstrated: those with few entities less often, or the model learns the list by heart and not the way to answer.
KIND_WEIGHTS = {"fact": 3, "howto": 2, "harmful": 2, "remedy": 1, "myth": 1, "advice": 1, "unanswerable": 1}


def draw_dialogue(pairs, pool, rng, config):
    """One dialogue [(question, answer), ...]: from the user's pairs, else a prompt of the SFT split as a random annotator answers it."""
    def turn():
        if pairs:
            return rng.choice(pairs)
        prompt = rng.choice(pool[rng.choices(list(KIND_WEIGHTS), KIND_WEIGHTS.values())[0]])
        return prompt.text, world.demonstrate(prompt, rng, config.careful)
    return [turn() for _ in range(2 if rng.random() < config.two_turns else 1)]


def encode_dialogue(tokenizer, turns):
    """-> (ids, loss_mask), two lists of one length: the mask is 1 on each answer and the token that ends it, 0 on the template and questions."""
    ids, loss_mask = [], []
    for question, answer in turns:
        asked = encode_chat(tokenizer, [(question, None)])
        whole = encode_chat(tokenizer, [(question, answer)])
        ids += whole
        loss_mask += [0] * len(asked) + [1] * (len(whole) - len(asked))
    return ids, loss_mask


def collate(dialogues, tokenizer, block_size):
    """-> tokens (B, T+1) int64 padded with the end token, loss_mask (B, T) float: which targets tokens[:, 1:] count."""
    rows = [encode_dialogue(tokenizer, turns) for turns in dialogues]
    rows = [(ids[:block_size + 1], mask[:block_size + 1]) for ids, mask in rows]
    width = max(len(ids) for ids, _ in rows)
    end = tokenizer.special_tokens[END]
    tokens = torch.tensor([ids + [end] * (width - len(ids)) for ids, _ in rows])             # (B, T+1)
    loss_mask = torch.tensor([mask + [0] * (width - len(mask)) for _, mask in rows])[:, 1:]  # (B, T)
    return tokens, loss_mask.float()


# ---------------------------------------------------------------------------------------------------------------- training
def train(model, tokenizer, config, device):
    """The loop; returns [(answer loss, replay loss)] of every step, nats."""
    pairs = read_pairs(config.data)
    pool = {kind: [p for p in world.prompts("sft") if p.kind == kind] for kind in world.KINDS}
    shards = load_shards(config.out) if config.replay else None
    rng, generator = run.generators(config.seed)
    optimizer = make_optimizer(model, config.learning_rate)
    losses, first_step = [], 0
    if state := run.load_state(config, "sft"):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        rng.setstate(state["rng"])
        generator.set_state(state["generator"])
        losses, first_step = state["losses"], state["step"]
    progress = run.Progress(config.steps, first_step)
    model.train()
    for step in range(first_step, config.steps):
        dialogues = [draw_dialogue(pairs, pool, rng, config) for _ in range(config.batch_size)]
        tokens, loss_mask = collate(dialogues, tokenizer, model.config.block_size)           # (B, T+1), (B, T)
        answer_loss = next_token_loss(model, tokens.to(device), loss_mask.to(device))
        replay_loss = torch.zeros((), device=device)
        if config.replay:                                                # pre-training text, so that nothing is forgotten
            replay_loss = next_token_loss(model, sample_rows(shards, config.replay, model.config.block_size, generator).to(device))
        lr = learning_rate(step, config.steps, config.learning_rate, config.warmup)
        take_step(optimizer, answer_loss + config.replay_weight * replay_loss, lr)
        losses.append((answer_loss.item(), replay_loss.item()))
        done = step + 1
        seen = (loss_mask.numel() + config.replay * model.config.block_size) * (done - first_step)
        progress.report(done, loss=losses[-1][0], replay_loss=losses[-1][1], tokens_per_second=seen / (time.time() - progress.started))
        if done % config.save_every == 0 or done == config.steps:
            run.save_state(config, "sft", model=model.state_dict(), optimizer=optimizer.state_dict(), rng=rng.getstate(),
                           generator=generator.get_state(), losses=losses, step=done)
    model.eval()
    return losses


# -------------------------------------------------------------------------------------------------------------- evaluation
SHOWN = ("heldout_accuracy", "howto_accuracy", "stops", "harmful_refused", "benign_refused", "honest", "myths_named", "answers_with_questions")


def show(before, after, transcripts_before, transcripts_after):
    print(f"\n{'on held-out prompts (95% interval)':36}{'base':>18}{'after SFT':>18}")
    for name in SHOWN:
        print(f"{name:36}{run.shown(before[name]):>18}{run.shown(after[name]):>18}")
    print("\nthe recipe's questions, about entities that no demonstration spoke of:")
    for old, new in zip(transcripts_before, transcripts_after):
        print(f"  {new['prompt']}\n      base  {' / '.join(old['answer'].split(chr(10)))}\n      SFT   {new['answer']}")


def draw(path, losses, before, after):
    figure, (left, right) = run.new_picture(2)
    for label, values in zip(("answers", "replayed pre-training text"), zip(*losses)):
        left.plot(values, label=label, linewidth=1)
    left.set(xlabel="step", ylabel="loss, nats a token", title="SFT: the loss counts answers only")
    left.legend()
    places = range(len(SHOWN))
    for offset, label, figures in ((0.2, "base", before), (-0.2, "SFT", after)):
        right.barh([p + offset for p in places], [figures[n]["value"] for n in SHOWN], height=0.4, label=label)
    right.set(yticks=list(places), yticklabels=SHOWN, xlim=(0, 1), title="held-out prompts, greedy answers")
    right.legend()
    run.save_picture(path, figure)


def main():
    config, started = run.parse_config(Config, __doc__), time.time()
    out, device = Path(config.out), run.pick_device(config.device)
    model, tokenizer, meta = load_checkpoint(out / "pretrain.pt", device)
    before, transcripts_before = world.examine(partial(ask, model, tokenizer, chat=False), config.quick)
    losses = train(model, tokenizer, config, device)
    after, transcripts = world.examine(partial(ask, model, tokenizer), config.quick)
    save_checkpoint(out / "sft.pt", model, tokenizer, {"stage": "sft", "steps": config.steps, "seed": config.seed})
    run.write_json(out / "sft.json", {**after, "base": before, "transcripts": transcripts, "transcripts_base": transcripts_before,
                                      "first_loss": losses[0][0], "loss": losses[-1][0], "seconds": time.time() - started})
    draw(out / "sft.png", losses, before, after)
    show(before, after, transcripts_before, transcripts)
    print(f"\n{out}/sft.pt, sft.json, sft.png   {time.time() - started:.0f} s   talk to it: python model.py {out}/sft.pt   next: python train_rm.py")


if __name__ == "__main__":
    run.main(main)
