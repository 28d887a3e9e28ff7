"""Step 1, pre-training: gather text, clean it, tokenize it, train a GPT to predict the next token, look at what it does.

in    nothing (the tiny world of data/, with the web's dirt planted in it), or --data FILES FOLDERS GLOBS ADDRESSES
out   out/pretrain.pt weights, out/tokenizer.json, out/clean.jsonl cleaned text, out/train-*.bin and out/heldout-*.bin token ids (described in
      out/shards.json), out/pretrain.json figures, out/pretrain.png loss curves, out/attention.png one attention head at work
run   python train_pretrain.py                                          (--quick: the same code in seconds)
      python train_pretrain.py --data my_texts/ --minutes 30            your text, and a schedule that fits the clock
      torchrun --nproc_per_node=2 train_pretrain.py                     several processes or GPUs
see   what each cleaning rule threw away; the loss fall; a base model that knows facts and answers a question with questions
"""
import math
import os
import signal
import time
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from data import world
import run
from bpe import Tokenizer, train_bpe
from data.clean import clean, clean_to_file                             # clean(documents): the rules by themselves, for anybody's documents
from data.world.dirt import Planted, plant
from data.gather import gather, inputs
from data.shards import dependencies, load_shards, sample_rows, split_documents, write_shards
from model import END, GPT, SPECIAL_TOKENS, AdamW, GPTConfig, fingerprint, next_token_loss, save_checkpoint
from run import UserError, flag

PRESETS = {   # "gpu" is the shape of GPT-2 124M (Radford 2019) with batch, rate and warm-up of GPT-3's smallest (Brown 2020, table 2.1 and appendix B)
    "laptop": dict(n_layer=4, n_head=4, n_embd=128, block_size=64, vocab_size=4096, batch_size=24, accumulate=1, steps=780, learning_rate=4e-3, warmup=30),
    "desktop": dict(n_layer=6, n_head=6, n_embd=384, block_size=256, vocab_size=8192, batch_size=64, accumulate=1, steps=5000, learning_rate=2e-3, warmup=100),
    "gpu": dict(n_layer=12, n_head=12, n_embd=768, block_size=1024, vocab_size=50304, batch_size=32, accumulate=16, steps=19000, learning_rate=6e-4, warmup=700),
}


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "files, folders, globs, http(s) addresses: .txt .md .html .jsonl .parquet, also .gz (none: the tiny world)")
    text_field: str = flag("text", "the field of .jsonl and .parquet that holds the text")
    language: str = flag("en", "en drops texts in other languages and scripts, any keeps them", choices=("en", "any"))
    raw: bool = flag(False, "take the text as it is, without cleaning")
    size: float = flag(1.0, "of the tiny world; 1 is 4.7 MB", quick=0.1, least=0.001)
    heldout_share: float = flag(0.01, "share of the documents held out for evaluation", quick=0.05, least=0.0)
    heldout_tail: float = flag(0.0, "hold out the end of the text instead: 0.1 is the last tenth", least=0.0)
    preset: str = flag("laptop", "sizes for a machine; the flags below change single ones", choices=tuple(PRESETS))
    n_layer: int = flag(0, "transformer blocks (0, here and below: as the preset has it)", quick=2, least=0)
    n_head: int = flag(0, "attention heads", least=0)
    n_embd: int = flag(0, "channels", quick=64, least=0)
    block_size: int = flag(0, "context in tokens", least=0)
    vocab_size: int = flag(0, "tokens in the vocabulary", quick=512, least=0)
    batch_size: int = flag(0, "rows in a batch, all processes together", least=0)
    accumulate: int = flag(0, "batches whose gradients are added up for one step", least=0)
    steps: int = flag(0, "optimizer steps", quick=60, least=0)
    minutes: float = flag(0.0, "stop training so many minutes after the start, and fit the schedule to that", least=0.0)
    optimizer: str = flag("muon", "what turns matrices' gradients into steps", choices=("adamw", "muon"))
    learning_rate: float = flag(0.0, "AdamW's peak (0: as the preset has it)", least=0.0)
    muon_rate: float = flag(0.02, "Muon's peak", least=0.0)
    weight_decay: float = flag(0.1, "pulls matrices towards zero", least=0.0)
    warmup: int = flag(-1, "steps until the peak (-1: as the preset has it)", quick=10, least=-1)
    schedule: str = flag("linear", "how the learning rate falls: linear, a line to zero; cosine, to a tenth of the peak", choices=("linear", "cosine"))
    save_every: int = flag(200, "steps between saves", quick=10, least=1)

    def __post_init__(self):
        for name, value in PRESETS[self.preset].items():
            if getattr(self, name) == getattr(Config, name):             # not set by hand
                setattr(self, name, value)
        if self.heldout_tail >= 1 or self.heldout_share >= 1 or not (self.heldout_tail or self.heldout_share):
            raise UserError("--heldout-share and --heldout-tail lie between 0 and 1, as 0.1 for a tenth: without held-out text nothing can be judged")
        if self.n_embd % self.n_head:
            raise UserError(f"--n-embd {self.n_embd} is not a multiple of --n-head {self.n_head}")
        if self.vocab_size < 256 + len(SPECIAL_TOKENS):
            raise UserError(f"--vocab-size {self.vocab_size} is too small: 256 bytes and {len(SPECIAL_TOKENS)} control tokens need {256 + len(SPECIAL_TOKENS)}")


# --------------------------------------------------------------------------------------------------------- gather, clean
def raw_documents(config):
    """Planted(text, label, good) one at a time: the tiny world with dirt in it, or what --data names, where nobody knows what is dirt."""
    if config.data:
        return (Planted(document, None, None) for document in gather(config.data, config.text_field, Path(config.out) / "downloads"))
    return plant(world.documents(config.seed, config.size), config.seed)


# -------------------------------------------------------------------------------------------------------------- tokenize
def prepare(config):
    """Gather, clean, tokenize. Returns (tokenizer, shards.json's content); finished work is used again when nothing it depends on has changed."""
    out, names = Path(config.out), ("text_field", "language", "raw", "size", "seed", "heldout_share", "heldout_tail", "vocab_size")
    made_from = dependencies({name: getattr(config, name) for name in names}, inputs(config.data))
    if (out / "shards.json").exists() and (out / "tokenizer.json").exists():
        description, tokenizer = run.read_json(out / "shards.json"), Tokenizer.load(out / "tokenizer.json")
        if description.get("made_from") == made_from and description.get("vocabulary") == fingerprint(tokenizer):
            print(f"{out}/shards.json: nothing that the token ids depend on has changed, using them again")
            return tokenizer, description
    cleaning = clean_to_file(raw_documents(config), out / "clean.jsonl", config, count_dirt=not config.data)
    documents = lambda: split_documents(out / "clean.jsonl", config.heldout_share, config.heldout_tail, cleaning["characters"])
    every = 1 + cleaning["characters"] // 100_000_000                    # 100 MB, evenly spread, teach a tokenizer all it can learn
    train_texts = (text for split, text in documents() if split == "train")
    tokenizer = train_bpe((text for i, text in enumerate(train_texts) if i % every == 0), config.vocab_size, SPECIAL_TOKENS)
    tokenizer.save(out / "tokenizer.json")
    description = write_shards(out, documents(), tokenizer, made_from=made_from, vocabulary=fingerprint(tokenizer), cleaning=cleaning)
    print(f"tokenize: {tokenizer.n_vocab:,} tokens in the vocabulary, {description['train']['tokens']:,} to train on, {description['heldout']['tokens']:,} held out")
    return tokenizer, description


# ----------------------------------------------------------------------------------------------------------------- train
def orthogonalize(G, steps=5):
    """(k, m, n) -> about U V^T of each matrix's singular value decomposition G = U S V^T: every direction gets the same length. A quintic Newton-Schulz
    iteration, X <- a X + (b A + c A A) X with A = X X^T, pushes all singular values to within [0.7, 1.2] (Jordan 2024, "Muon"; its a, b, c)."""
    X = G.mT if G.size(-2) > G.size(-1) else G                           # the smaller side first: (k, m, n), m <= n
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        A = X @ X.mT                                                     # (k, m, m)
        B = torch.baddbmm(A, A, A, beta=-4.7750, alpha=2.0315)           # b A + c A A in one go: half the time of writing it out
        X = torch.baddbmm(X, B, X, beta=3.4445)                          # a X + B X
    return X.mT if G.size(-2) > G.size(-1) else X


class Muon(AdamW):
    """AdamW for embeddings and vectors; for the matrices inside the blocks, in groups with muon=True, momentum whose singular values are all set to one
    (Jordan 2024). A fused q, k, v matrix (3C, C) is three matrices to it."""

    def step_group(self, group):
        if not group["muon"]:
            return super().step_group(group)
        alike = defaultdict(list)                                        # matrices of one size go through the iteration together
        for p in group["params"]:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            momentum = state["momentum"]
            momentum.lerp_(p.grad, 1 - 0.95)
            wanted = p.grad.lerp(momentum, 0.95)                         # Nesterov: one step ahead
            wanted = wanted.view(3, -1, p.size(1)) if p.size(0) == 3 * p.size(1) else wanted[None]     # (1 or 3, m, n)
            alike[wanted.shape[1:]].append((p, wanted))
        for (m, n), rows in alike.items():
            updates = orthogonalize(torch.cat([wanted for _, wanted in rows])) * max(1, m / n) ** 0.5  # (k, m, n)
            for (p, wanted), update in zip(rows, updates.split([len(wanted) for _, wanted in rows])):
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.reshape_as(p), alpha=-group["lr"])


def make_optimizer(model, config):
    """AdamW or Muon; weight decay on matrices only: gains and biases have no scale to control."""
    blocks = [p for p in model.blocks.parameters() if p.dim() == 2]
    embeddings = [p for name, p in model.named_parameters() if p.dim() == 2 and not name.startswith("blocks.")]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    muon = config.optimizer == "muon"
    groups = [{"params": blocks, "muon": muon, "weight_decay": config.weight_decay, "peak": config.muon_rate if muon else config.learning_rate},
              {"params": embeddings, "muon": False, "weight_decay": config.weight_decay, "peak": config.learning_rate},
              {"params": vectors, "muon": False, "weight_decay": 0.0, "peak": config.learning_rate}]
    return (Muon if muon else AdamW)(groups, config.learning_rate)


def rate(step, progress, config):
    """The share of the peak learning rate: linear warm-up, then a line down to zero (Bergsma 2025) or a cosine down to a tenth (Brown 2020); progress in
    [0, 1] is what is over, in steps or in time."""
    fall = 1 - progress if config.schedule == "linear" else 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress))
    return min(1, (step + 1) / max(1, config.warmup)) * fall


class Team:
    """The processes of this run: one, or those that torchrun started. Only the first speaks and writes."""

    def __init__(self, config):
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        if config.batch_size % self.size:
            raise UserError(f"--batch-size {config.batch_size} cannot be shared by {self.size} processes: give a multiple of {self.size}")
        self.device = run.pick_device(config.device)
        if self.size > 1:
            if self.device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=timedelta(days=7))   # cleaning may take days

    def first_does(self, function, *arguments):
        """The first process runs the function; then the others do, and find its work done."""
        if self.rank > 0:
            dist.barrier()
        answer = function(*arguments)
        if self.size > 1 and self.rank == 0:
            dist.barrier()
        return answer

    def agree(self, value, how="mean"):
        """The mean of a float over the processes, or, with how="first", the first one's."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64 if self.device.type != "mps" else torch.float32, device=self.device)
        dist.broadcast(shared, 0) if how == "first" else dist.all_reduce(shared)
        return float(shared) if how == "first" else float(shared) / self.size


@torch.no_grad()
def heldout_loss(model, shards, T, device, most=4096):
    """Mean nats a token over the first `most` held-out tokens. Windows overlap by half, so that each token is judged once, with half a context before it."""
    last = min(most, len(shards)) - 1
    T, total, judged = min(T, last), 0.0, 0
    starts = [*range(0, last - T, max(1, T // 2)), last - T]
    size = max(1, min(32, 8192 // T))                                               # windows at a time: about 8192 tokens, for the memory that their logits take
    for first in range(0, len(starts), size):
        rows, mask = [], []
        for start in starts[first : first + size]:
            rows.append(torch.from_numpy(shards[start : start + T + 1]))            # (T+1,)
            mask.append(torch.arange(start, start + T) >= judged)                   # (T,): targets that no window had before
            judged = start + T
        mask = torch.stack(mask).float().to(device)                                 # (B, T)
        total += float(next_token_loss(model, torch.stack(rows).to(device), mask) * mask.sum())
    return total / last


class Run:
    """The state of training: everything that --resume needs to end with the same bits, and the clock."""

    def __init__(self, config, team, tokenizer, description, started):
        torch.manual_seed(config.seed)                                   # GPT() draws its weights from torch's own generator
        self.config, self.team, self.made_from = config, team, description["made_from"]
        self.model = GPT(GPTConfig(tokenizer.n_vocab, config.block_size, config.n_layer, config.n_head, config.n_embd)).to(team.device)
        self.optimizer = make_optimizer(self.model, config)
        self.generator = torch.Generator().manual_seed(config.seed)      # where in the text each row begins
        self.step, self.curve, self.started, self.training_seconds = 0, [], started, 0.0
        self.matmul_rates = []                                           # a matter of the machine and the hour: not saved
        if state := run.load_state(config, "pretrain"):
            if state["made_from"] != self.made_from:
                raise UserError(f"{config.out}/pretrain.state.pt was trained on other text than there is now: start afresh without --resume")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.generator.set_state(state["generator"])
            self.step, self.curve, self.training_seconds = state["step"], state["curve"], state["training_seconds"]
            self.started = time.time() - state["seconds"]                # --minutes counts what was spent before

    def save(self):
        if self.team.rank == 0:
            run.save_state(self.config, "pretrain", made_from=self.made_from, step=self.step, curve=self.curve, training_seconds=self.training_seconds,
                           seconds=time.time() - self.started, model=self.model.state_dict(), optimizer=self.optimizer.state_dict(), generator=self.generator.get_state())

    def progress(self):
        """What is over of the steps, or of the time with --minutes, in [0, 1]; the first process' clock counts."""
        if not self.config.minutes:
            return self.step / self.config.steps
        return self.team.agree(min(1.0, (time.time() - self.started) / (60 * self.config.minutes)), how="first")


def mixed_precision(device):
    """Context in which a GPU multiplies matrices in bfloat16; weights, optimizer and everything on a CPU stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def update(state, network, shards):
    """One optimizer step on `accumulate` batches. Returns the mean loss of this process' rows, nats a token."""
    config, team, total = state.config, state.team, 0.0
    for part in range(config.accumulate):
        tokens = sample_rows(shards, config.batch_size, config.block_size, state.generator)     # (B, T+1): all processes draw the same rows,
        tokens = tokens[team.rank :: team.size].to(team.device)                                 # each trains on its own part of them
        last = part == config.accumulate - 1
        with nullcontext() if last or team.size == 1 else network.no_sync():                    # gradients meet once a step
            with mixed_precision(team.device):
                loss = next_token_loss(network, tokens)
            (loss / config.accumulate).backward()
        total += loss.detach() / config.accumulate
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    share = rate(state.step, state.progress(), config)
    for group in state.optimizer.param_groups:
        group["lr"] = share * group["peak"]
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1
    return total


def matmul_flops(device, seconds=0.05):
    """Floating-point operations a second of matrix products here and now, in the dtype of the training: what the machine could do at best."""
    n, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    a, count = torch.randn(n, n, device=device, generator=torch.Generator(device).manual_seed(0)).to(dtype), 0
    float((a @ a)[0, 0])                                                 # reading a number waits for a GPU to finish
    started = time.time()
    while time.time() - started < seconds:
        float((a @ a)[0, 0])
        count += 1
    return count * 2 * n**3 / (time.time() - started)


def make_gpu_repeatable():
    """The same seed, the same bits, on a GPU too. Before its first matrix product: cuBLAS reads its variable once."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)             # else the compiled embedding, for one, adds up its gradient in any order
    torch.utils.deterministic.fill_uninitialized_memory = False          # a search for bugs, and it takes time


def compile_now(state, network):
    """Sends one batch of zeros through a compiled network, so that tokens_per_second does not count half a minute of compiling (--minutes does)."""
    config, team = state.config, state.team
    zeros = torch.zeros(config.batch_size // team.size, config.block_size + 1, dtype=torch.int64, device=team.device)
    with (network.no_sync() if team.size > 1 else nullcontext()), mixed_precision(team.device):
        next_token_loss(network, zeros).backward()
    state.optimizer.zero_grad()


def train(state, shards, heldout, tokenizer):
    """Runs until the steps or the minutes are over; Ctrl-C saves first. state.curve gets [step, train loss, held-out loss] rows, means since the row before."""
    config, team, stop = state.config, state.team, []
    on_gpu = team.device.type == "cuda"
    network = torch.compile(state.model) if on_gpu else state.model
    network = DistributedDataParallel(network) if team.size > 1 else network
    if on_gpu:
        make_gpu_repeatable()
        compile_now(state, network)
    before = signal.signal(signal.SIGINT, lambda *_: stop.append(True))  # a step is never left half done
    total, now = (config.steps, lambda: state.step) if not config.minutes else (max(1, int(60 * config.minutes)), lambda: int(time.time() - state.started))
    progress, losses, every = run.Progress(total, now(), "step" if not config.minutes else "second"), [], max(1, min(100, config.steps // 14))
    while (state.progress() < 1 or not state.step) and not stop:         # --minutes that are over before the first step still get one
        started = time.time()
        losses.append(update(state, network, shards))
        done = state.progress() >= 1
        if due := (state.step % every == 0 or done):
            loss = team.agree(float(torch.stack(losses).mean()))         # waits for a GPU to finish: its work belongs to the time of training
        state.training_seconds += time.time() - started
        if due:
            state.curve.append([state.step, loss, heldout_loss(state.model, heldout, config.block_size, team.device)])
            state.matmul_rates.append(matmul_flops(team.device))
            losses = []
            if team.rank == 0:
                speed = state.step * config.batch_size * config.accumulate * config.block_size / state.training_seconds
                progress.report(total if done else min(now(), total - 1), loss=loss, heldout_loss=state.curve[-1][2], tokens_per_second=speed)
        if team.rank == 0 and state.step % (every * 2) == 0 and not done:
            print("  sample: " + " ".join(go_on(state.model, tokenizer, [""], 40, 0.8, torch.Generator(team.device).manual_seed(0))[0].split()))
        if state.step % config.save_every == 0 or done or stop:
            state.save()
    signal.signal(signal.SIGINT, before)
    if stop:
        raise KeyboardInterrupt


# ------------------------------------------------------------------------------------------------------------------ look
def go_on(model, tokenizer, prompts, n, temperature=0.0, generator=None):
    """The n tokens with which a base model continues each prompt, as text; every prompt stands at the beginning of a document."""
    end, answers = tokenizer.special_tokens[END], []
    rows = [[end, *tokenizer.encode_ordinary(prompt)] for prompt in prompts]
    for first in range(0, len(rows), 64):
        part = rows[first : first + 64]
        tokens = model.generate(part, n, temperature=temperature, generator=generator).tokens.tolist()
        answers += [tokenizer.decode(tokens[i][len(row) : len(row) + n]) for i, row in enumerate(part)]
    return answers


def look(model, tokenizer, generator, quick=False):
    """What a base model is: figures on the tiny world's facts and questions (quick: every eighth), and what it says, printed. It knows, but it neither answers nor stops."""
    every = 8 if quick else 1
    facts, questions = world.recall_prompts()[::every], world.bare_questions("heldout")[::every]
    answers = go_on(model, tokenizer, [prompt for prompt, _ in facts], 12)
    asked = go_on(model, tokenizer, questions, 24)
    recalled = [answer.startswith(wanted) for answer, (_, wanted) in zip(answers, facts)]
    print("\nfacts, continued:")
    for (prompt, _), answer in list(zip(facts, answers))[:4]:
        print(f"  {prompt} |{' '.join(answer.split())}")
    print("questions, continued:")
    for question, answer in list(zip(questions, asked))[:4]:
        print(f"  {question} | {' '.join(answer.split())}")
    for temperature in (0.5, 1.0, 1.5):
        print(f"from nothing, temperature {temperature}: {' '.join(go_on(model, tokenizer, [''], 40, temperature, generator)[0].split())}")
    return {"fact_recall": run.share(sum(recalled), len(facts)), "answers_with_questions": run.share(sum(map(world.asks_back, asked)), len(questions))}


@torch.no_grad()
def attention_maps(model, tokens):
    """tokens: (T,) int64 -> (n_layer, H, T, T): how much each token (row) looks at each earlier one (column)."""
    inputs, maps = [], []
    hooks = [block.attention.register_forward_pre_hook(lambda module, x: inputs.append(x[0])) for block in model.blocks]
    model(tokens[None])
    for hook in hooks:
        hook.remove()
    for block, x in zip(model.blocks, inputs):
        _, T, C = x.shape
        q, k, _ = block.attention.qkv(x)[0].view(T, 3, model.config.n_head, -1).permute(1, 2, 0, 3)             # each (H, T, D)
        scores = q @ k.mT / math.sqrt(q.size(-1))                                                               # (H, T, T)
        maps.append(scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf).softmax(-1))
    return torch.stack(maps)


def draw(state, tokenizer, text):
    """out/pretrain.png: the two losses. out/attention.png: the head that copies most, that is, looks from a token at what came after its last occurrence."""
    out = Path(state.config.out)
    figure, [ax] = run.new_picture()
    steps, losses, heldout = zip(*state.curve)
    ax.plot(steps, losses, label="train"), ax.plot(steps, heldout, label="held out")
    ax.set(xlabel="step", ylabel="loss (nats a token)", title="Pre-training"), ax.legend()
    run.save_picture(out / "pretrain.png", figure)

    ids = tokenizer.encode_ordinary(text)[: state.config.block_size]
    maps = attention_maps(state.model, torch.tensor(ids, device=state.team.device)).cpu()                       # (L, H, T, T)
    copies = [(t, max(s for s in range(t) if ids[s] == ids[t]) + 1) for t in range(len(ids)) if ids[t] in ids[:t]]
    strength = sum((maps[:, :, t, s] for t, s in copies), torch.zeros(maps.shape[:2]))                          # (L, H)
    layer, head = divmod(int(strength.argmax()), maps.size(1))
    figure, [ax] = run.new_picture(width=7, height=6.4)
    ax.imshow(maps[layer, head], cmap="Blues", vmin=0), ax.grid(False)
    names = [tokenizer.decode([i]).replace("\n", "\\n") for i in ids]
    ax.set_xticks(range(len(ids)), names, rotation=90, fontsize=7), ax.set_yticks(range(len(ids)), names, fontsize=7)
    ax.set(xlabel="looks at", ylabel="token", title=f"Attention: block {layer + 1}, head {head + 1}")
    run.save_picture(out / "attention.png", figure)


def judge(state, heldout, description):
    """Figures on the held-out text and on speed."""
    config, parameters = state.config, sum(p.numel() for p in state.model.parameters())
    loss = heldout_loss(state.model, heldout, config.block_size, state.team.device, most=1 << 20)
    tokens_a_byte = description["heldout"]["tokens"] / description["heldout"]["bytes"]
    speed = state.step * config.batch_size * config.accumulate * config.block_size / max(1e-9, state.training_seconds)
    flops = 6 * parameters + 12 * config.n_layer * config.n_embd * config.block_size    # a token, forward and backward (Chowdhery 2022, appendix B)
    gpus = state.team.size if state.team.device.type == "cuda" else 1                   # each measured its own rate
    rate = sum(state.matmul_rates) / len(state.matmul_rates) if state.matmul_rates else matmul_flops(state.team.device)
    return {"steps": state.step, "parameters": parameters, "val_loss": loss, "val_bits_per_byte": loss / math.log(2) * tokens_a_byte,
            "tokens_per_second": speed, "flops_per_token": flops, "matmul_flops_per_second": rate, "share_of_matmul_rate": speed * flops / rate / gpus}


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    team = Team(config)
    tokenizer, description = team.first_does(prepare, config)
    shards, heldout = load_shards(config.out, "train"), load_shards(config.out, "heldout")
    state = Run(config, team, tokenizer, description, started)
    train(state, shards, heldout, tokenizer)
    if team.rank > 0:
        return
    out, generator = Path(config.out), torch.Generator(team.device).manual_seed(config.seed)
    state.model.eval()
    save_checkpoint(out / "pretrain.pt", state.model, tokenizer, {"stage": "pretrain", "seed": config.seed, "steps": state.step})
    figures = judge(state, heldout, description) | look(state.model, tokenizer, generator, config.quick) | description["cleaning"]
    draw(state, tokenizer, "Paris is the capital of France. The language of France is French. France is in Europe. Visitors to France mostly land in Paris.")
    run.write_json(out / "pretrain.json", figures | {"curve": state.curve, "seconds": time.time() - started})
    for name in ("val_loss", "val_bits_per_byte", "tokens_per_second", "share_of_matmul_rate", "fact_recall", "answers_with_questions"):
        print(f"{name:24} {run.shown(figures[name])}")
    print(f"written: {out}/pretrain.pt pretrain.json pretrain.png attention.png tokenizer.json, in {time.time() - started:.0f} s")


if __name__ == "__main__":
    run.main(main)
