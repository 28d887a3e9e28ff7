"""The GPT of all four stages: the network, its KV cache and sampling, the variant with a scalar head, optimizers, checkpoints, a chat.

in    token ids (B, T)                    out   logits (B, T, V), or one number a position from ScalarGPT
run   python model.py out/ppo.pt                   talk to it (the dialogue is kept; an empty line starts a new one)
      python model.py out/pretrain.pt "prompt"     one answer, then the shell again
      python model.py out/sft.pt < questions.txt   a filter: one prompt a line in, one answer a line out
see   the architecture of GPT-2 (Radford 2019; the decoder of Vaswani 2017 with the norm before each sub-layer): learned positions,
      GELU, one matrix for both embedding and output
"""
import argparse
import hashlib
import inspect
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F

import kernels
import run
from bpe import Tokenizer

END, USER, ASSISTANT = "<|endoftext|>", "<|user|>", "<|assistant|>"
SPECIAL_TOKENS = (END, USER, ASSISTANT)


@dataclass
class GPTConfig:
    vocab_size: int = 4096
    block_size: int = 64        # the context: the most tokens that attention looks back on
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128


# ---------------------------------------------------------------------------------------------------------- the network
class Attention(nn.Module):
    """Causal self-attention with H heads (Vaswani 2017, section 3.2). (B, T, C) -> (B, T, C)."""

    def __init__(self, config, layer):
        super().__init__()
        self.n_head, self.layer = config.n_head, layer
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.out = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x, cache=None):                                    # (B, T, C)
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)   # each (B, H, T, D)
        lengths = None
        if cache is not None:                                            # decoding: keys and values of all tokens so far
            k, v, lengths = cache.extend(self.layer, k, v)               # each (B, H, S, D), S >= T
        y = kernels.attention(q, k, v, causal=True, lengths=lengths)     # (B, H, T, D)
        return self.out(y.transpose(1, 2).reshape(B, T, C))              # heads side by side: (B, T, C)


class Block(nn.Module):
    """Pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x)). The residual stream x is never normalised itself."""

    def __init__(self, config, layer):
        super().__init__()
        C = config.n_embd
        self.norm1, self.attention = nn.LayerNorm(C), Attention(config, layer)
        self.norm2, self.up, self.down = nn.LayerNorm(C), nn.Linear(C, 4 * C), nn.Linear(4 * C, C)

    def forward(self, x, cache=None):                                    # (B, T, C) -> (B, T, C)
        x = x + self.attention(self.norm1(x), cache)
        return x + self.down(F.gelu(self.up(self.norm2(x))))             # GPT-2's tanh form of it differs by 0.0005 and takes a CPU twice the time


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(f"n_embd {config.n_embd} is not a multiple of n_head {config.n_head}")
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd)
        self.init_weights()

    def init_weights(self):
        """GPT-2: normal(0, 0.02), biases 0; what writes into the residual stream is scaled down by sqrt(2 n_layer)."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("attention.out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.n_layer) if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def hidden(self, tokens, cache=None):
        """(B, T) int64 -> (B, T, C): the residual stream after the last norm. With a cache, tokens are the next T of each row."""
        B, T = tokens.shape
        positions = torch.arange(T, device=tokens.device) if cache is None else cache.place(T)   # (T,), or (B, T): rows may stand at different places
        longest = T if cache is None else cache.longest
        if longest > self.config.block_size:
            raise ValueError(f"{longest} tokens do not fit into the context of {self.config.block_size}")
        x = self.token_embedding(tokens) + self.position_embedding(positions)   # (B, T, C)
        for block in self.blocks:
            x = block(x, cache)
        if cache is not None:
            cache.lengths = cache.lengths + T
        return self.norm(x)

    def forward(self, tokens, cache=None):
        """(B, T) int64 -> logits (B, T, V); column t speaks of token t+1. Raises ValueError where T exceeds block_size."""
        return self.logits(self.hidden(tokens, cache))

    def logits(self, x):
        """(..., C), what hidden returns or any part of it -> (..., V). Two fifths of a small model's multiplications are here."""
        return F.linear(x, self.token_embedding.weight)                  # tied weights

    # ------------------------------------------------------------------------------------------------------- sampling
    @torch.no_grad()
    def stream(self, tokens, max_new_tokens, temperature=1.0, top_k=None, top_p=None, stop=None, generator=None):
        """Yields one step at a time (token, log_prob, alive), each (B,): alive is False for rows that had ended before this step.

        The arguments are generate's. A row longer than the context goes on with its last block_size tokens.
        """
        device = self.token_embedding.weight.device
        text, lengths = pad_rows(tokens, self.config.vocab_size, device)   # (B, P), (B,)
        B, P = text.shape
        text = F.pad(text, (0, max_new_tokens))                          # (B, P + N)
        ends = torch.tensor([] if stop is None else [stop] if isinstance(stop, int) else sorted(stop), device=device)
        alive, rows = torch.ones(B, dtype=torch.bool, device=device), torch.arange(B, device=device)   # rows: those still computed
        cache, slides = KVCache(self.config, B, min(P + max_new_tokens, self.config.block_size), self.token_embedding.weight), False
        for step in range(max_new_tokens):
            slides = slides or int(lengths[rows].max()) > self.config.block_size
            if slides:
                logits = self.last_logits(text[rows], lengths[rows])     # the window slides, so cached positions are void
            elif step == 0:
                logits = self.logits(self.hidden(text[:, :P], cache)[rows, lengths - 1])   # (B, V): what follows the last token of each prompt
                cache.lengths = lengths.clone()                          # the padding behind shorter prompts is overwritten
            else:
                logits = self(text[rows, lengths[rows] - 1][:, None], cache)[:, 0]   # (rows, V)
            chosen, log_prob = torch.zeros_like(lengths), torch.zeros(B, device=device)   # (B,)
            chosen[rows] = choose(logits, temperature, top_k, top_p, generator)
            log_prob[rows] = kernels.log_prob(logits, chosen[rows]).float()
            text[rows, lengths[rows]] = chosen[rows]
            yield chosen, log_prob, alive
            lengths = lengths + 1
            alive = alive & ~torch.isin(chosen, ends)
            if not alive.any():
                return
            if 2 * int(alive.sum()) <= len(rows):                        # most rows have ended: compute the others only
                cache.keep(alive[rows])
                rows = rows[alive[rows]]

    def last_logits(self, text, lengths):
        """(B, V): each row's logits after its last block_size tokens, computed afresh."""
        width = min(int(lengths.max()), self.config.block_size)
        first = (lengths - width).clamp(min=0)                           # (B,)
        window = text.gather(1, first[:, None] + torch.arange(width, device=text.device))   # (B, width)
        return self.logits(self.hidden(window)[torch.arange(len(text), device=text.device), lengths - first - 1])

    def generate(self, tokens, max_new_tokens, temperature=1.0, top_k=None, top_p=None, stop=None, generator=None):
        """Sample up to N = max_new_tokens more tokens for each row.

        tokens: (B, P) int64, or a list of B id lists of different lengths. temperature 0 takes the likeliest token. top_k keeps the k
        likeliest, top_p the fewest that hold p of the probability (Holtzman 2020). stop: an id or several that end a row; None: never.
        Returns Generation(tokens (B, P+N) int64, each row followed by padding; mask (B, P+N-1) 0/1: column t is 1 where tokens[:, t+1] was
        chosen, the end token included; log_probs (B, P+N-1) nats, of the unchanged distribution (temperature 1, all tokens), 0 where mask is 0).
        Raises ValueError for an empty prompt or ids outside the vocabulary.
        """
        text, lengths = pad_rows(tokens, self.config.vocab_size, self.token_embedding.weight.device)
        B, P = text.shape
        text = F.pad(text, (0, max_new_tokens))                          # (B, P + N)
        mask = torch.zeros(B, P + max_new_tokens - 1, device=text.device)   # (B, P + N - 1)
        log_probs = torch.zeros_like(mask)
        rows = torch.arange(B, device=text.device)
        steps = self.stream(tokens, max_new_tokens, temperature, top_k, top_p, stop, generator)
        for step, (chosen, log_prob, alive) in enumerate(steps):
            at = (rows[alive], lengths[alive] + step)
            text[at] = chosen[alive]
            mask[at[0], at[1] - 1] = 1.0
            log_probs[at[0], at[1] - 1] = log_prob[alive]
        return Generation(text, mask, log_probs)


class Generation(NamedTuple):
    tokens: torch.Tensor        # (B, P + N) int64
    mask: torch.Tensor          # (B, P + N - 1) 0/1
    log_probs: torch.Tensor     # (B, P + N - 1) nats


def choose(logits, temperature, top_k, top_p, generator):
    """One token a row: (B, V) -> (B,). The filters set what is not kept to -inf before the softmax."""
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -math.inf)
    if top_p is not None and top_p < 1:
        ordered, index = logits.sort(descending=True)                    # (B, V)
        probabilities = kernels.softmax(ordered)
        beyond = probabilities.cumsum(-1) - probabilities >= top_p       # what stands before this token already holds top_p
        logits = logits.masked_fill(beyond.scatter(1, index, beyond), -math.inf)
    below = kernels.softmax(logits).cumsum(-1)                           # (B, V): the probability of this token and all before it
    level = (1 - torch.rand(len(below), 1, generator=generator, device=below.device)) * below[:, -1:]   # (B, 1), above 0 and at most the whole
    return (below < level).sum(-1)                                       # the token whose share of the line holds that level


def pad_rows(tokens, vocab_size, device):
    """Id lists of different lengths (or a (B, P) tensor) -> right-padded (B, P) int64 and lengths (B,)."""
    rows = [list(map(int, row)) for row in (tokens.tolist() if torch.is_tensor(tokens) else tokens)]
    if not rows or not all(rows):
        raise ValueError("each prompt needs at least one token")
    wrong = next((id for row in rows for id in row if not 0 <= id < vocab_size), None)
    if wrong is not None:
        raise ValueError(f"token id {wrong} is outside the vocabulary of {vocab_size}")
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device), lengths


class KVCache:
    """Keys and values of the tokens seen so far, so that the next token costs one column, not the whole square."""

    def __init__(self, config, B, S, like):
        shape = (config.n_layer, B, config.n_head, S, config.n_embd // config.n_head)   # S: room for that many tokens
        self.k, self.v = (torch.zeros(shape, dtype=like.dtype, device=like.device) for _ in range(2))
        self.lengths = torch.zeros(B, dtype=torch.int64, device=like.device)            # tokens so far, row by row
        self.rows = self.at = self.longest = self.new_lengths = None                    # `place` tells `extend`

    def keep(self, rows):
        """Forget the rows (B,) that are False."""
        self.k, self.v, self.lengths = self.k[:, rows], self.v[:, rows], self.lengths[rows]

    def place(self, T):
        """Where the next T tokens of each row go: (B, T). Called once for all layers: reading `lengths` makes a GPU wait."""
        device = self.lengths.device
        self.rows = torch.arange(len(self.lengths), device=device)[:, None]                     # (B, 1)
        self.at = self.lengths[:, None] + torch.arange(T, device=device)                        # (B, T)
        shortest, self.longest = (n + T for n in torch.stack(self.lengths.aminmax()).tolist())
        self.new_lengths = None if shortest == self.longest else self.lengths + T               # (B,), the new tokens included; None where rows agree
        return self.at

    def extend(self, layer, k, v):
        """Store k, v (B, H, T, D) where `place` said; returns all keys and values (B, H, S, D), S the longest row, and `new_lengths`."""
        self.k[layer][self.rows, :, self.at], self.v[layer][self.rows, :, self.at] = k.transpose(1, 2), v.transpose(1, 2)   # (B, T, H, D)
        return self.k[layer][:, :, :self.longest], self.v[layer][:, :, :self.longest], self.new_lengths


class ScalarGPT(nn.Module):
    """A GPT whose output is one number a position instead of V logits: the reward model, and PPO's critic (Ouyang 2022, section 3.5)."""

    def __init__(self, gpt):
        super().__init__()
        self.gpt, self.config, self.head = gpt, gpt.config, nn.Linear(gpt.config.n_embd, 1)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(gpt.config.n_embd + 1))   # Stiennon 2020: unit outputs from unit inputs

    def forward(self, tokens):
        """(B, T) int64 -> (B, T): the value of each prefix tokens[:, :t+1]."""
        return self.head(self.gpt.hidden(tokens))[:, :, 0]


# -------------------------------------------------------------------------------------------- losses, optimizer, schedule
def token_log_probs(model, tokens, mask=None):
    """(B, T) -> (B, T-1) nats: column t is log pi(tokens[t+1] given tokens[:t+1]).

    mask (B, T-1) 0/1: where it is 0 anything may stand in the result, and no logits are made; model is then a GPT itself, not one wrapped for several processes.
    """
    if mask is None or not mask.any():                                   # without a one there is nothing to save: log_prob takes no empty tensor
        return kernels.log_prob(model(tokens[:, :-1]), tokens[:, 1:])
    wanted = mask.bool()
    log_probs = kernels.log_prob(model.logits(model.hidden(tokens[:, :-1])[wanted]), tokens[:, 1:][wanted])   # (N,), N ones in the mask
    return log_probs.new_zeros(mask.shape).masked_scatter(wanted, log_probs)


def by_length(function, tokens, lengths, *more, parts=4):
    """function(tokens, *more) -> (b, t) or (b, t-1), applied to rows of like length together, cut to the longest of them: little padding is computed.

    tokens (B, T) int64, right-padded; lengths (B,); more: (B, T) or (B, T-1) each. Returns what the function would, (B, T) or (B, T-1), up to each
    row's end; behind it anything.
    """
    order, T = lengths.argsort(stable=True), tokens.shape[1]
    done = []
    for rows in order.tensor_split(min(parts, len(order))):
        t = int(lengths[rows].max())
        done.append(F.pad(function(tokens[rows, :t], *(x[rows, :t + x.shape[1] - T] for x in more)), (0, T - t)))   # t or t-1 columns, as x has T or T-1
    return torch.cat(done)[order.argsort()]


def next_token_loss(model, tokens, mask=None):
    """Mean -log p of the next token, nats. tokens (B, T+1); mask (B, T) 0/1: which targets count, all without it."""
    log_probs = token_log_probs(model, tokens, mask)                     # (B, T)
    return -log_probs.mean() if mask is None else -masked_mean(log_probs, mask)


def masked_mean(x, mask):
    """Mean of x over the ones of mask (same shape); 0 where there are none."""
    return (x * mask).sum() / mask.sum().clamp(min=1)


class AdamW:
    """Adam (Kingma 2015, algorithm 1) with weight decay apart from the gradient (Loshchilov 2019, algorithm 2); torch.optim.AdamW steps alike.

    groups: dicts with "params" and "weight_decay"; "lr" may be changed between steps. By hand because it is short, and because torch's loads, when it is
    made, a compiler that a CPU has no use for: two seconds in each script.
    """

    def __init__(self, groups, lr, betas=(0.9, 0.95), eps=1e-8):
        self.param_groups = [{"lr": lr, **group} for group in groups]
        self.betas, self.eps = betas, eps
        self.state = {p: {} for group in self.param_groups for p in group["params"]}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            self.step_group(group)

    def step_group(self, group):
        beta1, beta2 = self.betas
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
            state["t"] += 1
            m, v, t = state["m"], state["v"], state["t"]
            m.lerp_(p.grad, 1 - beta1)                                   # m = beta1 m + (1 - beta1) g: the mean of recent gradients
            v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)      # v = beta2 v + (1 - beta2) g^2: how large they are
            size = (v / (1 - beta2**t)).sqrt_().add_(self.eps)           # both began at zero, which 1 - beta^t makes up for
            p.mul_(1 - group["lr"] * group["weight_decay"]).addcdiv_(m, size, value=-group["lr"] / (1 - beta1**t))

    def zero_grad(self):
        for p in self.state:
            p.grad = None

    def state_dict(self):
        """One dict a parameter, in the order of the groups. Learning rates are the schedule's: they are not kept."""
        return {"moments": list(self.state.values())}

    def load_state_dict(self, saved):
        for p, state in zip(self.state, saved["moments"], strict=True):
            self.state[p] = {name: value.to(p, copy=True) if torch.is_tensor(value) else value for name, value in state.items()}


def make_optimizer(model, lr, weight_decay=0.1):
    """AdamW that pulls matrices towards zero, not gains and biases: those have no scale to control."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return AdamW([{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}], lr)


def learning_rate(step, steps, peak, warmup, floor=0.1):
    """Linear warm-up to `peak`, then a cosine down to floor * peak at the last step (step counts from 0)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def take_step(optimizer, loss, lr=None, clip=1.0):
    """One update: backward, gradients clipped to norm `clip`, step at learning rate lr (None: as it is). Returns the norm before clipping."""
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
    if lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
    optimizer.step()
    return float(norm)


# ----------------------------------------------------------------------------------------------- chat template, checkpoints
def encode_chat(tokenizer, turns):
    """[(question, answer), ...] -> ids of <|user|>question<|assistant|>answer<|endoftext|>...; an answer None leaves its place open.

    Text goes through encode_ordinary, so a control token can enter only here, never through what a user typed.
    """
    special, ids = tokenizer.special_tokens, []
    for question, answer in turns:
        ids += [special[USER], *tokenizer.encode_ordinary(question), special[ASSISTANT]]
        if answer is not None:
            ids += [*tokenizer.encode_ordinary(answer), special[END]]
    return ids


def encode_prompt(tokenizer, question, chat=True):
    """ids of a question that waits for its answer: in the chat template, or, for a base model, bare at the start of a document."""
    return encode_chat(tokenizer, [(question, None)]) if chat else [tokenizer.special_tokens[END], *tokenizer.encode_ordinary(question)]


def ask(model, tokenizer, questions, max_new_tokens=32, temperature=0.0, generator=None, chat=True, batch_size=512):
    """Each question on its own -> [(answer, ended)]; ended: the model itself closed the answer with <|endoftext|>.

    chat=False asks a base model: the bare question stands at the start of a document and the model goes on with it.
    """
    end, answers = tokenizer.special_tokens[END], []
    for start in range(0, len(questions), batch_size):
        rows = [encode_prompt(tokenizer, q, chat) for q in questions[start:start + batch_size]]
        tokens, mask, _ = model.generate(rows, max_new_tokens, temperature, stop=end, generator=generator)
        for row, chosen in zip(tokens[:, 1:], mask.bool()):
            ids = row[chosen].tolist()
            answers.append((tokenizer.decode([i for i in ids if i != end]).strip(), ids[-1] == end))
    return answers


def score_answers(model, tokenizer, pairs, batch_size=512):
    """[(question, answer)] -> (N,) float: the mean of a ScalarGPT's numbers on the answer's tokens, the end token included.

    Each number judges a token where it stands; one number at the end (Ouyang 2022) would have to gather all of that first.
    """
    device, T = model.head.weight.device, model.config.block_size
    rows = [encode_chat(tokenizer, [pair]) for pair in pairs]
    answers = [len(row) - len(encode_chat(tokenizer, [(question, None)])) for row, (question, _) in zip(rows, pairs)]
    tokens, lengths = pad_rows([row[-T:] for row in rows], model.config.vocab_size, device)    # (N, T), (N,)
    behind = lengths[:, None] - torch.arange(tokens.shape[1], device=device)                   # (N, T): tokens from here to the row's end
    mask = (behind > 0) & (behind <= torch.tensor(answers, device=device)[:, None])            # (N, T)
    values = by_length(model, tokens, lengths, parts=-(-len(rows) // batch_size))              # (N, T)
    return (values * mask).sum(1) / mask.sum(1)


def fingerprint(tokenizer):
    """Sixteen hex digits that differ when any token of the vocabulary does."""
    return hashlib.sha256(b"\0".join(tokenizer.decode_bytes([i]) for i in range(tokenizer.n_vocab))).hexdigest()[:16]


def save_checkpoint(path, model, tokenizer, meta):
    """Weights, sizes and meta (plain values) to `path`, with the fingerprint of the tokenizer that must lie beside it."""
    run.save_torch(path, {"config": asdict(model.config), "scalar": isinstance(model, ScalarGPT), "tokenizer": fingerprint(tokenizer),
                          "meta": meta, "weights": {k: v.detach().cpu() for k, v in model.state_dict().items()}})


def load_checkpoint(path, device="cpu"):
    """path -> (model in eval mode, tokenizer, meta). The tokenizer is tokenizer.json in the same folder.

    Raises run.UserError where a file is missing, broken, or the weights were trained with another vocabulary.
    """
    path = Path(path)
    made_by = f"train_{path.stem}.py" if path.stem in ("pretrain", "sft", "rm", "ppo") else None
    saved = run.read_torch(path, made_by, device)
    if not isinstance(saved, dict) or not {"config", "weights", "tokenizer", "meta", "scalar"} <= set(saved):
        raise run.UserError(f"{path} holds no model: give a checkpoint such as out/pretrain.pt")
    vocabulary = path.parent / "tokenizer.json"
    if not vocabulary.is_file():
        raise run.UserError(f"{vocabulary} not found: it belongs beside {path.name}; `python train_pretrain.py` makes both")
    try:
        tokenizer = Tokenizer.load(vocabulary)
    except ValueError as error:
        raise run.UserError(f"{vocabulary}: {error}") from None
    if fingerprint(tokenizer) != saved["tokenizer"]:
        raise run.UserError(f"{path} was trained with another vocabulary than {vocabulary} ({tokenizer.n_vocab} tokens): "
                            "put the two that belong together into one folder, or train again from `python train_pretrain.py`")
    model = GPT(GPTConfig(**saved["config"]))
    model = ScalarGPT(model) if saved["scalar"] else model
    model.load_state_dict(saved["weights"])
    return model.to(device).eval(), tokenizer, saved["meta"]


# -------------------------------------------------------------------------------------------------------------- the chat
class Talker:
    """A checkpoint that answers: with the chat template, or (a base model) by going on with the text."""

    def __init__(self, model, tokenizer, meta, options):
        if isinstance(model, ScalarGPT):
            raise run.UserError("this checkpoint scores answers, it does not write any: talk to pretrain.pt, sft.pt or ppo.pt")
        self.model, self.tokenizer, self.options, self.chat = model, tokenizer, options, meta.get("stage") != "pretrain"
        device = model.token_embedding.weight.device
        self.generator, self.turns = torch.Generator(device).manual_seed(options.seed), []

    def prompt_ids(self, prompt):
        """The dialogue so far and the new prompt; the oldest turns go where the context is full."""
        if not self.chat:
            return encode_prompt(self.tokenizer, prompt, chat=False)
        room = self.model.config.block_size - self.options.max_new_tokens
        while self.turns and len(encode_chat(self.tokenizer, [*self.turns, (prompt, None)])) > room:
            self.turns.pop(0)
        return encode_chat(self.tokenizer, [*self.turns, (prompt, None)])

    def pieces(self, prompt):
        """The answer, piece by piece as it is sampled; a character split over two tokens waits for its second half."""
        ids, told = [], ""
        stop = self.tokenizer.special_tokens[END]
        options = {"temperature": self.options.temperature, "top_k": self.options.top_k, "top_p": self.options.top_p}
        for token, _, _ in self.model.stream([self.prompt_ids(prompt)], self.options.max_new_tokens, stop=stop, generator=self.generator, **options):
            if int(token) != stop:
                ids.append(int(token))
            text = self.tokenizer.decode(ids)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text[len(told):]
                told = text
        yield self.tokenizer.decode(ids)[len(told):]

    def answer(self, prompt):
        return "".join(self.pieces(prompt)).strip()


def chat(talker, name):
    print(f"{name}: " + ("ask; an empty line starts a new dialogue, Ctrl-D ends" if talker.chat else
                         "a base model, it goes on with your text; Ctrl-D ends"))
    while True:
        try:
            prompt = input("> ").strip()
        except EOFError:
            return print()
        if not prompt:
            talker.turns = []
            continue
        answer = ""
        for piece in talker.pieces(prompt):
            print(piece, end="", flush=True)
            answer += piece
        print()
        talker.turns.append((prompt, answer.strip()))


def main():
    parser = run.OneLineParser(description=inspect.cleandoc(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="out/pretrain.pt, out/sft.pt or out/ppo.pt")
    parser.add_argument("prompt", nargs="?", help="answer this once; without it: a chat at a terminal, a filter with a pipe on stdin")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 (default): the likeliest token; 1: sample as trained")
    parser.add_argument("--top-k", type=int, default=None, help="sample among the k likeliest tokens only")
    parser.add_argument("--top-p", type=float, default=None, help="sample among the fewest tokens that hold this much probability")
    parser.add_argument("--max-new-tokens", type=int, default=40, help="the longest answer, in tokens (default 40)")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps or auto")
    options = parser.parse_args()
    for name, bad in (("temperature", options.temperature < 0), ("top-k", options.top_k is not None and options.top_k < 1),
                      ("top-p", options.top_p is not None and not 0 < options.top_p <= 1), ("max-new-tokens", options.max_new_tokens < 1)):
        if bad:
            parser.error(f"--{name} is out of range")
    talker = Talker(*load_checkpoint(options.checkpoint, run.pick_device(options.device)), options)
    if options.prompt is not None:
        print(talker.answer(options.prompt))
    elif sys.stdin.isatty():
        chat(talker, options.checkpoint)
    else:
        sys.stdin.reconfigure(errors="replace")
        for line in sys.stdin:                                           # each line a dialogue of its own
            print(" ".join(talker.answer(line.strip()).split()) if line.strip() else "", flush=True)


if __name__ == "__main__":
    run.main(main)
