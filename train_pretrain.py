"""Step 1, pre-training: gather text, clean it, tokenize it, and train a GPT to predict the next token.

in    nothing (the tiny world of data/, with the web's dirt planted in it), or --data FILES FOLDERS GLOBS URLS
out   out/pretrain.pt weights, out/tokenizer.json, out/clean.jsonl the cleaned text, out/train-*.bin and out/heldout-*.bin token ids
      (described in out/shards.json), out/pretrain.json figures, out/pretrain.png loss curve, out/attention.png one head at work
run   python train_pretrain.py                                          (--quick: the same code in seconds)
      python train_pretrain.py --data my_texts/ --minutes 30            your text, and a schedule that fits the clock
      torchrun --nproc_per_node=2 train_pretrain.py                     several processes or GPUs
see   what each cleaning rule threw away; the loss fall; a base model that knows facts, but answers a question with questions
"""
import json
import math
import os
import signal
import sys
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import data
import run
from bpe import Tokenizer, train_bpe
from data.clean import Report, clean
from data.dirt import CleaningGrade, Planted, plant
from data.gather import gather, inputs
from data.shards import load_shards, sample_rows, write_shards
from model import END, GPT, SPECIAL_TOKENS, GPTConfig, fingerprint, make_optimizer, next_token_loss, save_checkpoint, take_step
from run import UserError, flag

PRESETS = {   # "gpu" is the shape of GPT-2 124M (Radford 2019) with the batch of half a million tokens of GPT-3 (Brown 2020, table 2.1)
    "laptop": dict(n_layer=4, n_head=4, n_embd=128, block_size=64, vocab_size=1024, batch_size=32, accumulate=1, steps=1400, learning_rate=2e-3),
    "desktop": dict(n_layer=6, n_head=6, n_embd=384, block_size=256, vocab_size=8192, batch_size=64, accumulate=1, steps=5000, learning_rate=1e-3),
    "gpu": dict(n_layer=12, n_head=12, n_embd=768, block_size=1024, vocab_size=50304, batch_size=32, accumulate=16, steps=19000, learning_rate=6e-4),
}


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "files, folders, globs or http(s) addresses of .txt .md .html .jsonl .parquet, also .gz (without it: the tiny world)")
    text_field: str = flag("text", "the field of .jsonl and .parquet that holds the text")
    language: str = flag("en", "en drops texts in other languages and scripts, any keeps them", choices=("en", "any"))
    raw: bool = flag(False, "take the text as it is, without cleaning")
    size: float = flag(1.0, "of the tiny world; 1 is 4.7 MB", quick=0.1)
    heldout_share: float = flag(0.01, "share of the documents held out for evaluation", quick=0.05, least=0.0)
    heldout_tail: float = flag(0.0, "hold out the last part of the text instead, as 0.1 for the last tenth", least=0.0)
    preset: str = flag("laptop", "sizes for a machine: laptop, desktop, gpu; the flags below change single ones", choices=tuple(PRESETS))
    n_layer: int = flag(0, "transformer blocks (0, here and below: as the preset has it)", quick=2)
    n_head: int = flag(0, "attention heads")
    n_embd: int = flag(0, "channels", quick=64)
    block_size: int = flag(0, "context in tokens")
    vocab_size: int = flag(0, "tokens in the vocabulary", quick=512)
    batch_size: int = flag(0, "rows in a batch, all processes together")
    accumulate: int = flag(0, "batches whose gradients are added before a step")
    steps: int = flag(0, "optimizer steps", quick=60, least=0)
    minutes: float = flag(0.0, "stop after so many minutes from the start, tokenizer included, and fit the schedule to that", least=0.0)
    learning_rate: float = flag(0.0, "peak", least=0.0)
    warmup: int = flag(100, "steps until the peak", quick=10, least=0)
    schedule: str = flag("cosine", "how the learning rate falls to a tenth", choices=("cosine", "linear"))
    save_every: int = flag(200, "steps between saves", quick=10, least=1)

    def __post_init__(self):
        for name, value in PRESETS[self.preset].items():
            if not getattr(self, name):
                setattr(self, name, value)
        if self.heldout_tail >= 1 or self.heldout_share >= 1:
            raise UserError("--heldout-tail and --heldout-share are shares below 1, as 0.1 for a tenth")
        if self.n_embd % self.n_head:
            raise UserError(f"--n-embd {self.n_embd} is not a multiple of --n-head {self.n_head}")


# ---- gather and clean

def raw_documents(config):
    """Planted(text, label, good) one at a time: the tiny world with dirt in it, or what --data names (nobody knows what is dirt there)."""
    if config.data:
        return (Planted(document, None, None) for document in gather(config.data, config.text_field, Path(config.out) / "downloads"))
    return plant(data.documents(config.seed, config.size), config.seed)


def clean_to_file(config, path):
    """Cleans everything into `path`, one JSON string a line, and shows what each rule did. Returns figures for pretrain.json."""
    report, grade, waiting, kept_characters = Report(), CleaningGrade(), deque(), 0

    def texts():
        for planted in raw_documents(config):
            waiting.append(planted)
            yield planted.text

    documents = ((text if isinstance(text, str) else text.decode("utf-8", "replace"), None) for text in texts()) if config.raw else clean(
        texts(), report, config.language, workers=os.cpu_count())
    with run.atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for text, fault in documents:
            planted = waiting.popleft()
            if not config.data:
                grade.add(planted, None if fault else text)
            if not fault:
                kept_characters += len(text)
                file.write(json.dumps(text, ensure_ascii=False) + "\n")
    if kept_characters == 0:
        raise UserError(f"nothing is left of {' '.join(config.data)} after cleaning ({report.documents} documents): is it English text? Try --language any, or --raw")
    figures = {"characters": kept_characters, "documents": report.documents, "kept": report.kept, "repairs": report.repairs, "filters": report.filters}
    if grade.dirt:
        figures |= {"dirt_removed": run.share(grade.gone.total(), grade.dirt.total()), "clean_lost": run.share(grade.words_lost, grade.words),
                    "dirt_removed_by_kind": {kind: run.share(grade.gone[kind], n) for kind, n in grade.dirt.items()}}
    show_cleaning(figures)
    return figures


def show_cleaning(figures):
    print(f"clean: kept {figures['kept']:,} of {figures['documents']:,} documents, {figures['characters'] / 1e6:.1f} million characters")
    for family in ("repairs", "filters"):
        for name, entry in figures[family].items():
            if entry["count"]:
                example = " ".join(entry["examples"][0].split())[:70] if family == "filters" else entry["examples"][0][:110]
                print(f"  {'repaired' if family == 'repairs' else 'dropped ':8} {entry['count']:7,}  {name:24} {example}")
    if "dirt_removed" in figures:
        print(f"  planted dirt removed {run.shown(figures['dirt_removed'], 1)}, words of clean text lost {run.shown(figures['clean_lost'], 2)}")


# ---- tokenize

def split_documents(path, config, characters):
    """Reads the cleaned text and yields (split, text): by a hash of the document, or the tail of the whole text, cut to the character."""
    cut, at = int(characters * (1 - config.heldout_tail)), 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            text = json.loads(line)
            if not config.heldout_tail:
                place = int.from_bytes(blake2b(text.encode(), digest_size=4).digest()) / 2**32
                yield ("heldout" if place < config.heldout_share else "train"), text
                continue
            head, tail = text[: max(0, cut - at)], text[max(0, cut - at) :]
            at += len(text)
            if head:
                yield "train", head
            if tail:
                yield "heldout", tail


def tokenizer_sample(path, config, characters, most=100_000_000):
    """Training text for the tokenizer: all of it, or evenly spread documents with about `most` characters."""
    every = max(1, characters // most)
    train = (text for split, text in split_documents(path, config, characters) if split == "train")
    return (text for index, text in enumerate(train) if index % every == 0)


def dependencies(config):
    """What the shards were made from, as text: settings, input files, and the code that made them."""
    code = blake2b(b"".join(path.read_bytes() for path in [Path("bpe.py"), *sorted(Path("data").glob("*.py"))] if path.exists()), digest_size=8)
    names = ("data", "text_field", "language", "raw", "size", "seed", "heldout_share", "heldout_tail", "vocab_size")
    return json.dumps({**{name: getattr(config, name) for name in names}, "inputs": inputs(config.data), "code": code.hexdigest()})


def prepare(config):
    """Gather, clean, tokenize. Returns (tokenizer, the description in shards.json); finished work is reused when nothing it depends on has changed."""
    out, made_from = Path(config.out), dependencies(config)
    if (out / "shards.json").exists() and (out / "tokenizer.json").exists():
        description, tokenizer = run.read_json(out / "shards.json"), Tokenizer.load(out / "tokenizer.json")
        if description.get("made_from") == made_from and description.get("vocabulary") == fingerprint(tokenizer):
            load_shards(out, "train"), load_shards(out, "heldout")
            print(f"using the shards in {out}/ (nothing they depend on has changed)")
            return tokenizer, description
    cleaning = clean_to_file(config, out / "clean.jsonl")
    tokenizer = train_bpe(tokenizer_sample(out / "clean.jsonl", config, cleaning["characters"]), config.vocab_size, SPECIAL_TOKENS)
    tokenizer.save(out / "tokenizer.json")
    split = split_documents(out / "clean.jsonl", config, cleaning["characters"])
    description = write_shards(out, split, tokenizer, workers=os.cpu_count(), made_from=made_from, vocabulary=fingerprint(tokenizer), cleaning=cleaning)
    return tokenizer, description


# ---- train

class Team:
    """The processes of this run: one, or those that torchrun started. Only the first speaks and writes."""

    def __init__(self, config):
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.device = run.pick_device(config.device)
        if self.size > 1:
            if self.device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        if config.batch_size % self.size:
            raise UserError(f"--batch-size {config.batch_size} cannot be shared by {self.size} processes: give a multiple of {self.size}")

    def first_does(self, function, *arguments):
        """The first process runs the function; then the others do, and find its work done."""
        if self.size > 1 and self.rank > 0:
            dist.barrier()
        answer = function(*arguments)
        if self.size > 1 and self.rank == 0:
            dist.barrier()
        return answer

    def mean(self, value):
        """Mean of a float over the processes."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total) / self.size


def rate(step, progress, config):
    """Learning rate: linear warm-up, then a cosine or a line from the peak to a tenth of it; progress in [0, 1] is the part of steps or time that is over."""
    fall = 0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else 1 - progress
    return config.learning_rate * min(1, (step + 1) / max(1, config.warmup)) * (0.1 + 0.9 * fall)


@torch.no_grad()
def heldout_loss(model, shards, T, device, most=8192):
    """Mean nats a token over the first `most` held-out tokens. Windows overlap by half, so that each token is judged once and with half a context before it."""
    last = min(most, len(shards)) - 1
    T, total, judged = min(T, last), 0.0, 0
    starts = [*range(0, last - T, max(1, T // 2)), last - T]
    for first in range(0, len(starts), 32):
        rows, mask = [], []
        for start in starts[first : first + 32]:
            rows.append(torch.from_numpy(shards[start : start + T + 1]))            # (T+1,)
            mask.append(torch.arange(start, start + T) >= judged)                   # (T,): targets that no window had before
            judged = start + T
        mask = torch.stack(mask).float().to(device)                                 # (B, T)
        total += float(next_token_loss(model, torch.stack(rows).to(device), mask) * mask.sum())
    return total / last


class Clock:
    """How much of the run is over, in steps or, with --minutes, in time since the start. The first process' clock counts for all."""

    def __init__(self, config, started, spent=0.0):
        self.config, self.started, self.spent = config, started, spent

    def seconds(self):
        return self.spent + time.time() - self.started

    def progress(self, step, team):
        """In [0, 1]; 1 means stop."""
        if not self.config.minutes:
            return step / self.config.steps
        progress = torch.tensor(min(1.0, self.seconds() / (60 * self.config.minutes)), device=team.device)
        if team.size > 1:
            dist.broadcast(progress, 0)
        return float(progress)


def train(config, team, tokenizer, train_shards, heldout, started):
    """Returns (model, curve); curve is a list of [step, train loss, held-out loss], nats a token."""
    torch.manual_seed(config.seed)                                      # the one global seed: weights are initialised from it
    sizes = GPTConfig(tokenizer.n_vocab, config.block_size, config.n_layer, config.n_head, config.n_embd)
    model = GPT(sizes).to(team.device)
    optimizer = make_optimizer(model, config.learning_rate)
    generator = torch.Generator().manual_seed(config.seed)
    state = run.load_state(config, "pretrain") or {"step": 0, "curve": [], "seconds": time.time() - started}
    if "model" in state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
    network = torch.compile(model) if team.device.type == "cuda" else model
    network = DistributedDataParallel(network) if team.size > 1 else network
    autocast = torch.autocast("cuda", torch.bfloat16) if team.device.type == "cuda" else nullcontext()
    step, curve, clock = state["step"], state["curve"], Clock(config, time.time(), state["seconds"])
    progress = run.Progress(config.steps, step)
    while clock.progress(step, team) < 1:
        loss = 0.0
        tokens = sample_rows(train_shards, config.batch_size, config.block_size, generator)     # (B, T+1): all processes draw the same rows,
        tokens = tokens[team.rank :: team.size].to(team.device)                                 # each keeps its own part of them
        with autocast:
            loss = next_token_loss(network, tokens)
        take_step(optimizer, loss, rate(step, clock.progress(step, team), config))
        step += 1
        if step % 50 == 0 or step == config.steps:
            curve.append([step, team.mean(float(loss)), heldout_loss(model, heldout, config.block_size, team.device)])
            progress.report(step, loss=curve[-1][1], heldout=curve[-1][2])
        if step % config.save_every == 0:
            run.save_state(config, "pretrain", step=step, curve=curve, seconds=clock.seconds(), model=model.state_dict(),
                           optimizer=optimizer.state_dict(), generator=generator.get_state())
    return model, curve


# ---- look

@torch.no_grad()
def go_on(model, tokenizer, prompts, n, temperature=0.0, generator=None):
    """The n tokens with which a base model continues each prompt, as text; every prompt stands at the beginning of a document."""
    end = tokenizer.special_tokens[END]
    rows = [[end, *tokenizer.encode_ordinary(prompt)] for prompt in prompts]
    answers = []
    for first in range(0, len(rows), 64):
        part = rows[first : first + 64]
        tokens = model.generate(part, n, temperature=temperature, generator=generator).tokens.tolist()
        answers += [tokenizer.decode(tokens[i][len(row) : len(row) + n]) for i, row in enumerate(part)]
    return answers


def look(model, tokenizer):
    prompts = data.recall_prompts()
    answers = go_on(model, tokenizer, [prompt for prompt, _ in prompts], 12)
    recalled = sum(answer.startswith(wanted) for answer, (_, wanted) in zip(answers, prompts))
    questions = data.bare_questions("heldout")
    asked = go_on(model, tokenizer, [q + "\n" for q in questions], 24)
    asked2 = go_on(model, tokenizer, questions, 24)
    for q, a in zip(questions[:8], asked2): print(repr(q), repr(a))
    print([ (p,a) for a,(p,w) in zip(answers,prompts) if not a.startswith(w)][:10])
    return {"fact_recall": run.share(recalled, len(prompts)), "answers_with_questions": run.share(sum(map(data.asks_back, asked2)), len(questions)), "nl": run.share(sum(map(data.asks_back, asked)), len(questions))}


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    team = Team(config)
    tokenizer, description = team.first_does(prepare, config)
    print("prepared", time.time()-started)
    shards, heldout = load_shards(config.out, "train"), load_shards(config.out, "heldout")
    model, curve = train(config, team, tokenizer, shards, heldout, started)
    model.eval()
    save_checkpoint(Path(config.out) / "pretrain.pt", model, tokenizer, {"stage": "pretrain", "seed": config.seed, "steps": curve[-1][0]})
    loss = heldout_loss(model, heldout, config.block_size, team.device, 1 << 20)
    bits = loss * len(heldout) / math.log(2) / description["heldout"]["bytes"]
    figures = {"val_loss": loss, "val_bits_per_byte": bits, **look(model, tokenizer), "seconds": time.time() - started}
    run.write_json(Path(config.out) / "pretrain.json", figures)
    print(figures)


if __name__ == "__main__":
    run.main(main)
