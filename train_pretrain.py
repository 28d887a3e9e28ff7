"""Step 1, pre-training: gather text, clean it, tokenize it, train a GPT to predict the next token,
look at what it does.

in    nothing (the tiny world, with the web's dirt planted in it), or --data FILES FOLDERS GLOBS ...
out   out/pretrain.pt weights, out/tokenizer.json, out/clean.jsonl cleaned text, out/train-*.bin and
      out/heldout-*.bin token ids (described in out/shards.json), out/pretrain.json figures,
      out/pretrain.png loss curves, out/attention.png one attention head at work
run   python train_pretrain.py                                (--quick: the same code in seconds)
      python train_pretrain.py --data my_texts/ --minutes 30  your text, a schedule by the clock
      torchrun --nproc_per_node=2 train_pretrain.py           several processes or GPUs
see   what each cleaning rule threw away; the loss fall; a base model that knows, and asks back
"""
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import run
from bpe import END, Tokenizer, train_bpe
from data import world
from data.clean import clean, clean_to_file     # clean(documents): the rules by themselves
from data.gather import gather, inputs
from data.shards import (load_shards, need_a_row, sample_rows, split_documents, tail_to_hold_out,
                         write_shards)
from data.world.dirt import Planted, plant
from model import (GPT, SPECIAL_TOKENS, GPTConfig, make_optimizer, next_token_loss,
                   save_checkpoint, schedule)
from run import UserError, flag
from run.chat import go_on
from run.pictures import draw_curves, draw_matrix, print_texts
from run.saving import dependencies, finished_shards

PRESETS = {
    "laptop": dict(n_layer=4, n_head=4, n_embd=128, block_size=64, vocab_size=4096, batch_size=24,
                   accumulate=1, steps=780, learning_rate=4e-3, warmup=30),
    "desktop": dict(n_layer=6, n_head=6, n_embd=384, block_size=256, vocab_size=8192,
                    batch_size=64, accumulate=1, steps=5000, learning_rate=2e-3, warmup=100),
    # GPT-2 124M (Radford 2019); batch, rate and warm-up as GPT-3's smallest (Brown 2020, table 2.1)
    "gpu": dict(n_layer=12, n_head=12, n_embd=768, block_size=1024, vocab_size=50304,
                batch_size=32, accumulate=16, steps=19000, learning_rate=6e-4, warmup=700),
}


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "files, folders, globs, addresses: .txt .md .html .jsonl .parquet, .gz")
    text_field: str = flag("text", "the field of .jsonl and .parquet that holds the text")
    language: str = flag("en", "en drops other languages and scripts", choices=("en", "any"))
    raw: bool = flag(False, "take the text as it is, without cleaning")
    size: float = flag(1.0, "of the tiny world; 1 is 4.7 MB", quick=0.1, least=0.001)
    heldout_share: float = flag(0.01, "share of the documents held out", quick=0.05, least=0.0)
    heldout_tail: float = flag(0.0, "hold out the text's end instead: 0.1, a tenth", least=0.0)
    preset: str = flag("laptop", "sizes; flags below change single ones", choices=tuple(PRESETS))
    n_layer: int = flag(0, "transformer blocks (0, here and below: the preset's)", quick=2, least=0)
    n_head: int = flag(0, "attention heads", least=0)
    n_embd: int = flag(0, "channels", quick=64, least=0)
    block_size: int = flag(0, "context in tokens", least=0)
    vocab_size: int = flag(0, "tokens in the vocabulary", quick=512, least=0)
    batch_size: int = flag(0, "rows in a batch, all processes together", least=0)
    accumulate: int = flag(0, "batches whose gradients are added up for one step", least=0)
    steps: int = flag(0, "optimizer steps", quick=60, least=0)
    minutes: float = flag(0.0, "train until so long after the start, not for steps", least=0.0)
    optimizer: str = flag("muon", "of the blocks' matrices", choices=("adamw", "muon"))
    learning_rate: float = flag(0.0, "AdamW's peak (0: the preset's; beside Muon four times that)",
                                least=0.0)
    muon_rate: float = flag(0.02, "Muon's peak", least=0.0)
    weight_decay: float = flag(0.1, "pulls matrices towards zero", least=0.0)
    warmup: int = flag(-1, "steps until the peak (-1: the preset's)", quick=10, least=-1)
    schedule: str = flag("linear", "to zero; cosine: to a tenth", choices=("linear", "cosine"))
    save_every: int = flag(200, "steps between saves", quick=10, least=1)

    def __post_init__(self):
        by_hand = self.learning_rate > 0
        for name, value in PRESETS[self.preset].items():
            if getattr(self, name) == getattr(Config, name):        # not set by hand
                setattr(self, name, value)
        if self.optimizer == "muon" and not by_hand:
            self.learning_rate *= 4         # the matrices, which could not bear that, are Muon's
        if not 0 < max(self.heldout_tail, self.heldout_share) < 1:
            raise UserError("--heldout-share and --heldout-tail lie between 0 and 1, as 0.1 for a "
                            "tenth: without held-out text nothing can be judged")
        run.check_sizes(self, len(SPECIAL_TOKENS))


# ------------------------------------------------------------------------- gather, clean, tokenize
def raw_documents(config):
    """Planted(text, label, good) one at a time: the tiny world with dirt in it, or what --data
    names, where nobody knows what is dirt."""
    if not config.data:
        return plant(world.documents(config.seed, config.size), config.seed)
    documents = gather(config.data, config.text_field, Path(config.out) / "downloads")
    return (Planted(document, None, None) for document in documents)


def prepare(config):
    """Gather, clean, tokenize -> (tokenizer, shards.json's content)."""
    out = Path(config.out)
    names = ("text_field", "language", "raw", "size", "seed", "heldout_share", "heldout_tail",
             "vocab_size")
    made_from = dependencies({name: getattr(config, name) for name in names}, inputs(config.data))
    if description := finished_shards(out, made_from):
        print(f"{out}/shards.json: nothing it depends on has changed, using them again")
        return Tokenizer.load(out / "tokenizer.json"), description
    with run.atomic(out / "clean.jsonl") as cleaned:        # too little text replaces no file
        cleaning = clean_to_file(raw_documents(config), cleaned, config, not config.data)
        characters = cleaning["characters"]
        tail = tail_to_hold_out(cleaned, config.heldout_share, config.heldout_tail, characters)

        def documents():                                            # (split, text) one at a time
            return split_documents(cleaned, config.heldout_share, tail, characters)

        every = 1 + characters // 100_000_000           # 100 MB, evenly spread, teach a tokenizer
        texts = (text for split, text in documents() if split == "train")   # all it can learn
        texts = (text for i, text in enumerate(texts) if i % every == 0)
        tokenizer = train_bpe(texts, config.vocab_size, SPECIAL_TOKENS)
        need_a_row((text for split, text in documents() if split == "train"), tokenizer,
                   config.block_size)
        tokenizer.save(out / "tokenizer.json")
        description = write_shards(out, documents(), tokenizer, made_from=made_from,
                                   vocabulary=run.digest(out / "tokenizer.json"), cleaning=cleaning)
    print(f"tokenize: {tokenizer.n_vocab:,} tokens in the vocabulary, "
          f"{description['train']['tokens']:,} to train on, "
          f"{description['heldout']['tokens']:,} held out")
    return tokenizer, description


# ------------------------------------------------------------------------------------------- train
class Training:
    """The model, its optimizer, and how far they are: all that --resume needs, and the clock."""

    def __init__(self, config, team, tokenizer, description, started):
        torch.manual_seed(config.seed)      # GPT() draws its weights from torch's own generator
        sizes = (config.block_size, config.n_layer, config.n_head, config.n_embd)
        self.config, self.team = config, team
        self.model = GPT(GPTConfig(tokenizer.n_vocab, *sizes)).to(team.device)
        muon_rate = config.muon_rate if config.optimizer == "muon" else None
        self.optimizer = make_optimizer(self.model, config.learning_rate, config.weight_decay,
                                        muon_rate)
        self.generator = torch.Generator().manual_seed(config.seed)     # where each row begins
        self.saved = run.Resumable(config, "pretrain", {"text": description["made_from"]},
                                   model=self.model, optimizer=self.optimizer,
                                   generator=self.generator)
        values = self.saved.load() or {"step": 0, "curve": [], "losses": [], "training": 0.0,
                                       "seconds": time.time() - started}
        self.step, self.curve = values["step"], values["curve"]
        self.losses = [loss.to(team.device) for loss in values["losses"]]   # since the last row
        self.stopwatch = run.Stopwatch(team.device, values["training"])
        self.clock = run.Clock(config.steps, config.minutes, time.time() - values["seconds"], team)

    def tokens(self):
        config = self.config
        return self.step * config.accumulate * config.batch_size * config.block_size

    def save(self):
        if self.team.rank == 0:
            self.saved.save(step=self.step, curve=self.curve, losses=self.losses,
                            training=self.stopwatch.seconds,
                            seconds=time.time() - self.clock.started)


def update(state, network, shards):
    """One optimizer step on `accumulate` batches. Returns the mean loss of this process' rows,
    nats a token."""
    config, team, total = state.config, state.team, 0.0
    for batch in range(config.accumulate):
        rows = sample_rows(shards, config.batch_size, config.block_size, state.generator)
        with team.gradients(network, meet=batch == config.accumulate - 1):
            with team.precision():
                loss = next_token_loss(network, team.own(rows))     # rows: (B, T+1)
            (loss / config.accumulate).backward()
        total += loss.detach() / config.accumulate
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    way = state.clock.way(state.step)
    state.optimizer.step(schedule(state.step, config.steps, config.warmup, config.schedule, way))
    state.optimizer.zero_grad()
    state.step += 1
    return total


def train(state, shards, heldout, tokenizer):
    """Runs until the steps or the minutes are over; Ctrl-C saves first."""
    config, team, clock = state.config, state.team, state.clock
    batch_shape = (config.batch_size, config.block_size + 1)
    network = team.network(state.model, next_token_loss, batch_shape)
    every, over = max(1, min(100, config.steps // 14)), clock.over(state.step)
    clock.start(state.step)
    with run.ctrl_c_waits() as pressed:     # a step is never left half done
        stopped = False
        while not over and not stopped:
            with state.stopwatch:
                state.losses.append(update(state, network, shards))
                over, stopped = clock.over(state.step), team.any(pressed)
                due = over or state.step % every == 0
                if due:                     # waits for a GPU: its work is part of the training
                    loss = team.agree(float(torch.stack(state.losses).mean()))
            if due:
                report(state, loss, heldout, over)
            if state.step % (2 * every) == 0 and not over:
                show_sample(state, tokenizer)
            if over or stopped or state.step % config.save_every == 0:
                state.save()
    if stopped:
        raise KeyboardInterrupt


def report(state, loss, heldout, over):
    """A row of the curve: step, mean loss since the row before, held-out loss; on screen, too."""
    heldout = heldout_loss(state.model, heldout, state.config.block_size, state.team.device)
    state.curve.append([state.step, loss, heldout])
    state.losses.clear()
    state.stopwatch.measure()
    speed = state.stopwatch.per_second(state.tokens())
    state.clock.report(state.step, over, loss=loss, heldout_loss=heldout, tokens_per_second=speed)


def show_sample(state, tokenizer):
    if state.team.rank == 0:
        generator = torch.Generator(state.team.device).manual_seed(0)
        text = go_on(state.model, tokenizer, [""], 40, 0.8, generator)[0]
        print("  sample: " + " ".join(text.split()))


@torch.no_grad()
def heldout_loss(model, shards, T, device, most=4096):
    """Mean nats a token over the first `most` held-out tokens. Windows overlap by half, so that
    each token is judged once, with half a context before it."""
    last = min(most, len(shards)) - 1
    T, total, judged = min(T, last), 0.0, 0
    starts = [*range(0, last - T, max(1, T // 2)), last - T]
    at_once = max(1, min(32, 8192 // T))        # windows: their logits take much memory
    for first in range(0, len(starts), at_once):
        rows, mask = [], []
        for start in starts[first : first + at_once]:
            rows.append(torch.from_numpy(shards[start : start + T + 1]))    # (T+1,)
            mask.append(torch.arange(start, start + T) >= judged)           # (T,) not judged yet
            judged = start + T
        mask = torch.stack(mask).float().to(device)                         # (B, T)
        loss = next_token_loss(model, torch.stack(rows).to(device), mask)
        total += float(loss * mask.sum())
    return total / last


# -------------------------------------------------------------------------------------------- look
def look(model, tokenizer, generator, quick=False, own=()):
    """What a base model is, on the tiny world's facts and questions (quick: every eighth): it
    knows, but it neither answers nor stops. own: beginnings of the user's held-out texts."""
    for temperature in (0.5, 1.0, 1.5) if own else ():
        print_texts(f"held-out text, continued at temperature {temperature}:", own,
                    go_on(model, tokenizer, own, 40, temperature, generator))
    if own:
        return {}
    every = 8 if quick else 1
    facts, asking = world.recall_prompts()[::every], world.bare_questions()[::every]
    beginnings, questions = [beginning for beginning, *_ in facts], [p.text for p in asking]
    said, asked = go_on(model, tokenizer, beginnings, 12), go_on(model, tokenizer, questions, 24)
    print_texts("\nfacts, continued:", beginnings, said)
    print_texts("questions, continued:", questions, asked)
    for temperature in (0.5, 1.0, 1.5):
        print_texts(f"from nothing, temperature {temperature}:", [""],
                    go_on(model, tokenizer, [""], 40, temperature, generator))
    recalled = [text.startswith(fact) for text, (_, fact, _) in zip(said, facts)]
    asks_back = [world.asks_back(text) for text in asked]
    return {"fact_recall": run.share(recalled, [country for *_, country in facts]),
            "answers_with_questions": run.share(asks_back, [prompt.entity for prompt in asking])}


@torch.no_grad()
def attention_maps(model, tokens):
    """(T,) int64 -> (n_layer, H, T, T): how much each token (row) looks at each earlier one."""
    maps = []

    def keep(attention, inputs):
        x = inputs[0][0]                                                    # (T, C)
        q, k, _ = attention.qkv(x).view(len(x), 3, attention.n_head, -1).permute(1, 2, 0, 3)
        scores = q @ k.mT / math.sqrt(q.size(-1))                           # (H, T, T)
        later = torch.ones_like(scores).triu(1).bool()
        maps.append(scores.masked_fill(later, -math.inf).softmax(-1))

    hooks = [block.attention.register_forward_pre_hook(keep) for block in model.blocks]
    model(tokens[None])
    for hook in hooks:
        hook.remove()
    return torch.stack(maps)


def copying_head(maps, ids):
    """(layer, head) that looks most from a token at what came after its last occurrence."""
    # exercise: add up, over all tokens that stood before, the weight on what followed them
    strength = torch.zeros(maps.shape[:2])                                  # (L, H)
    for t in range(len(ids)):
        if ids[t] in ids[:t]:
            last = max(s for s in range(t) if ids[s] == ids[t])
            strength = strength + maps[:, :, t, last + 1]
    return divmod(int(strength.argmax()), maps.size(1))


def draw(out, state, tokenizer, text):
    """out/pretrain.png: the losses. out/attention.png: the head that copies most, on a text."""
    steps, losses, heldout = zip(*state.curve)
    V = tokenizer.n_vocab
    draw_curves(out / "pretrain.png", "Pre-training", "step", "loss (nats a token)", steps,
                level=(math.log(V), f"knows nothing: ln {V}"), train=losses, held_out=heldout)
    ids = tokenizer.encode_ordinary(text)[: state.config.block_size]
    maps = attention_maps(state.model, torch.tensor(ids, device=state.team.device)).cpu()
    layer, head = copying_head(maps, ids)
    names = [tokenizer.decode([i]).replace("\n", "\\n") for i in ids]
    title = f"Attention: block {layer + 1}, head {head + 1}"
    draw_matrix(out / "attention.png", title, "looks at", "token", maps[layer, head], names)


def measure(state, heldout, description):
    """Figures on the held-out text and on speed."""
    config = state.config
    loss = heldout_loss(state.model, heldout, config.block_size, state.team.device, most=1 << 20)
    tokens_a_byte = description["heldout"]["tokens"] / description["heldout"]["bytes"]
    parameters = sum(p.numel() for p in state.model.parameters())
    # forward and backward of one token (Chowdhery 2022, appendix B)
    flops = 6 * parameters + 12 * config.n_layer * config.n_embd * config.block_size
    return {"steps": state.step, "parameters": parameters, "val_loss": loss,
            "val_bits_per_byte": loss / math.log(2) * tokens_a_byte,
            **state.stopwatch.speed(state.tokens(), flops, state.team.size)}


SHOWN = ("val_loss", "val_bits_per_byte", "tokens_per_second", "share_of_matmul_rate",
         "fact_recall", "answers_with_questions")


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    team = run.Team(config)
    tokenizer, description = team.first_does(prepare, config)
    shards, heldout = load_shards(config.out, "train"), load_shards(config.out, "heldout")
    state = Training(config, team, tokenizer, description, started)
    train(state, shards, heldout, tokenizer)
    if team.rank > 0:
        return
    out, generator = Path(config.out), torch.Generator(team.device).manual_seed(config.seed)
    state.model.eval()
    save_checkpoint(out / "pretrain.pt", state.model, tokenizer,
                    {"stage": "pretrain", "seed": config.seed, "steps": state.step})
    figures = measure(state, heldout, description)
    own = tokenizer.decode(heldout[:4096].tolist()).split(END) if config.data else []
    own = [text.strip() for text in own if text.strip()][:4]
    figures |= look(state.model, tokenizer, generator, config.quick,
                    [" ".join(text.split()[:6]) for text in own]) | description["cleaning"]
    draw(out, state, tokenizer, own[0] if own else
         "The capital of France is Paris. The language of France is")
    seconds = time.time() - started
    run.write_json(out / "pretrain.json", figures | {"curve": state.curve, "seconds": seconds})
    for name in (name for name in SHOWN if name in figures):
        print(f"{name:24} {run.shown(figures[name])}")
    print(f"written: {out}/pretrain.pt .json .png, attention.png, tokenizer.json, {seconds:.0f} s")
    print("next:", run.next_command("train_sft.py", config, "YOUR_DIALOGUES"))


if __name__ == "__main__":
    run.main(main)
