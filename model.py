"""The GPT of all four stages: the network, its KV cache and sampling, the scalar head, the losses,
the optimizers, the chat template, checkpoints.

in    token ids (B, T)
out   logits (B, T, V), or one number a position from ScalarGPT
run   python model.py out/ppo.pt                   talk to it; an empty line: a new dialogue
      python model.py out/pretrain.pt "prompt"     one answer, then the shell again
      python model.py out/sft.pt < questions.txt   a filter: prompts in, answers out, a line each
see   the architecture of GPT-2 (Radford 2019; the decoder of Vaswani 2017 with the norm before
      each sub-layer): learned positions, GELU, one matrix for both embedding and output
`# exercise:` marks what a student may write anew, to the function's end (lessons/exercise.py)
"""
import hashlib
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F

import kernels
import run
from bpe import ASSISTANT, END, USER, Tokenizer
from run.rows import by_length, pad_rows

SPECIAL_TOKENS = (END, USER, ASSISTANT)


@dataclass
class GPTConfig:
    vocab_size: int = 4096
    block_size: int = 64        # the context: the most tokens that attention looks back on
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128


# ------------------------------------------------------------------------------------- the network
class Attention(nn.Module):
    """Causal self-attention with H heads (Vaswani 2017, section 3.2). (B, T, C) -> (B, T, C)."""

    def __init__(self, config, layer):
        super().__init__()
        self.n_head, self.layer = config.n_head, layer
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.out = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x, places=None):                              # (B, T, C)
        B, T, C = x.shape
        # exercise: q, k, v of each head, attention, the heads side by side again
        qkv = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)    # (B, T, 3, H, D) -> three times (B, H, T, D)
        lengths = None
        if places is not None:          # decoding: keys and values of all tokens so far
            k, v, lengths = places.store(self.layer, k, v)          # each (B, H, S, D), S >= T
        y = kernels.attention(q, k, v, causal=True, lengths=lengths)
        return self.out(y.transpose(1, 2).reshape(B, T, C))         # heads side by side


class Block(nn.Module):
    """Pre-norm transformer block. What it adds to, the residual stream x, is never normalised."""

    def __init__(self, config, layer):
        super().__init__()
        C = config.n_embd
        self.norm1, self.attention = nn.LayerNorm(C), Attention(config, layer)
        self.norm2, self.up, self.down = nn.LayerNorm(C), nn.Linear(C, 4 * C), nn.Linear(4 * C, C)

    def forward(self, x, places=None):                              # (B, T, C) -> (B, T, C)
        # exercise: attention, then the two-layer network, each normed before and added after
        x = x + self.attention(self.norm1(x), places)
        # GPT-2's tanh form of GELU differs by 0.0005 and takes a CPU twice the time.
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Generation(NamedTuple):
    tokens: torch.Tensor        # (B, P + N) int64: each row followed by padding
    mask: torch.Tensor          # (B, P + N - 1) 0/1: column t is 1 where tokens[:, t+1] was chosen
    log_probs: torch.Tensor     # (B, P + N - 1) nats, at temperature 1; 0 where mask is 0


def choose(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """One token a row: (B, V) -> (B,). What the filters do not keep becomes -inf."""
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k).values[:, -1:]                           # (B, 1)
        logits = logits.masked_fill(logits < least, -math.inf)
    # exercise: the fewest that hold p of the probability, then one token by chance
    if top_p is not None and top_p < 1:
        ordered, index = logits.sort(descending=True)                       # (B, V)
        probabilities = kernels.softmax(ordered)
        beyond = probabilities.cumsum(-1) - probabilities >= top_p      # enough stands before it
        logits = logits.masked_fill(beyond.scatter(1, index, beyond), -math.inf)
    # The tokens' probabilities side by side make a line of length 1; a random place on it falls
    # into one. torch.multinomial takes 1.0 ms for this, on 64 x 1,024 and two cores, not 0.06.
    ends = kernels.softmax(logits).cumsum(-1)                               # (B, V)
    place = 1 - torch.rand(len(ends), 1, generator=generator, device=ends.device)   # above 0
    return (ends < place * ends[:, -1:]).sum(-1)


class KVCache:
    """Keys and values of the tokens seen so far, so that the next token costs one column of the
    attention matrix and not the whole square. Has room for S tokens in each of B rows."""

    def __init__(self, config, B, S, like):
        shape = (config.n_layer, B, config.n_head, S, config.n_embd // config.n_head)
        self.k = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.v = torch.zeros_like(self.k)
        self.lengths = torch.zeros(B, dtype=torch.int64, device=like.device)    # tokens so far

    def keep(self, rows):
        """Forget the rows (B,) that are False."""
        self.k, self.v, self.lengths = self.k[:, rows], self.v[:, rows], self.lengths[rows]

    def reserve(self, T):
        """Places for the next T tokens of each row; every layer stores its keys and values there.
        Once for all layers, as reading the lengths makes a GPU wait."""
        # exercise: count the new tokens, say where they stand
        start, self.lengths = self.lengths, self.lengths + T
        positions = start[:, None] + torch.arange(T, device=start.device)       # (B, T)
        shortest, longest = torch.stack(self.lengths.aminmax()).tolist()
        lengths = None if shortest == longest else self.lengths
        return Places(self, positions, longest, lengths)


class Places(NamedTuple):
    """Where T new tokens of each row stand in a KVCache."""
    cache: KVCache
    positions: torch.Tensor     # (B, T)
    longest: int                # of the rows, the new tokens included
    lengths: torch.Tensor       # (B,) of the rows; None where all are alike

    def store(self, layer, k, v):
        """New k, v (B, H, T, D) -> all keys and values so far (B, H, S, D), and the lengths."""
        # exercise: write the new columns, hand back all that are filled
        all_k, all_v = self.cache.k[layer], self.cache.v[layer]                 # (B, H, S, D)
        rows = torch.arange(len(all_k), device=all_k.device)[:, None]           # (B, 1)
        # Two index arrays with : between: their (B, T) comes first, so this takes (B, T, H, D).
        all_k[rows, :, self.positions] = k.transpose(1, 2)
        all_v[rows, :, self.positions] = v.transpose(1, 2)
        return all_k[:, :, : self.longest], all_v[:, :, : self.longest], self.lengths


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
        """GPT-2: normal(0, 0.02), biases 0; what writes into the residual stream is scaled down
        by sqrt(2 n_layer), as so many of them are added up."""
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.out.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.n_layer))
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def hidden(self, tokens, cache=None):
        """(B, T) int64 -> (B, T, C): the residual stream after the last norm. With a cache, the
        tokens are the next T of each row. Raises ValueError where they exceed the context."""
        longest = T = tokens.shape[1]
        places, positions = None, torch.arange(T, device=tokens.device)     # (T,)
        if cache is not None:
            places = cache.reserve(T)
            longest, positions = places.longest, places.positions           # (B, T)
        if longest > self.config.block_size:
            raise ValueError(f"{longest} tokens exceed the context of {self.config.block_size}")
        x = self.token_embedding(tokens) + self.position_embedding(positions)
        for block in self.blocks:
            x = block(x, places)
        return self.norm(x)

    def logits(self, x):
        """(..., C), what hidden returns or a part of it -> (..., V). The matrix is the embedding's
        (tied weights); two fifths of a small model's multiplications are here."""
        return F.linear(x, self.token_embedding.weight)

    def forward(self, tokens, cache=None):
        """(B, T) int64 -> logits (B, T, V); column t speaks of token t+1."""
        return self.logits(self.hidden(tokens, cache))

    # ---------------------------------------------------------------------------------- sampling
    @torch.no_grad()
    def stream(self, tokens, max_new_tokens, pick, stop=None):
        """Yields a step at a time (token, log_prob, alive), each (B,); alive is False for rows
        that had ended before. pick: logits (B, V) -> tokens (B,); the rest as in generate."""
        device, context = self.token_embedding.weight.device, self.config.block_size
        text, lengths = pad_rows(tokens, self.config.vocab_size, device)    # (B, P), (B,)
        B, P = text.shape
        text = F.pad(text, (0, max_new_tokens))                             # (B, P + N)
        ends = torch.tensor([] if stop is None else stop, device=device)
        alive = torch.ones(B, dtype=torch.bool, device=device)
        rows = torch.arange(B, device=device)                   # those that are still computed
        cache = KVCache(self.config, B, min(text.shape[1], context), self.token_embedding.weight)
        slides = False
        for step in range(max_new_tokens):
            slides = slides or int(lengths[rows].max()) > context
            if slides:                  # the window moves on, so what the cache holds is void
                logits = self.last_logits(text[rows], lengths[rows])
            elif step == 0:
                logits = self.logits(self.hidden(text[:, :P], cache)[rows, lengths - 1])
                cache.lengths = lengths.clone()         # padding behind a prompt is overwritten
            else:
                logits = self(text[rows, lengths[rows] - 1][:, None], cache)[:, 0]
            chosen, log_prob = torch.zeros_like(lengths), torch.zeros(B, device=device)
            chosen[rows] = pick(logits)
            log_prob[rows] = kernels.log_prob(logits, chosen[rows]).float()
            text[rows, lengths[rows]] = chosen[rows]
            yield chosen, log_prob, alive
            lengths, alive = lengths + 1, alive & ~torch.isin(chosen, ends)
            if not alive.any():
                return
            if 2 * int(alive.sum()) <= len(rows):       # most have ended: compute the others only
                cache.keep(alive[rows])
                rows = rows[alive[rows]]

    def last_logits(self, text, lengths):
        """(B, V): each row's logits after its last block_size tokens, computed afresh."""
        width = min(int(lengths.max()), self.config.block_size)
        first = (lengths - width).clamp(min=0)                              # (B,)
        window = text.gather(1, first[:, None] + torch.arange(width, device=text.device))
        rows = torch.arange(len(text), device=text.device)
        return self.logits(self.hidden(window)[rows, lengths - first - 1])

    def generate(self, tokens, max_new_tokens, temperature=1.0, top_k=None, top_p=None, stop=None,
                 generator=None):
        """Sample up to N = max_new_tokens more tokens for each row -> Generation.

        tokens: (B, P) int64, or B lists of ids; a row longer than the context goes on with its
        last block_size tokens. temperature 0 takes the likeliest token. top_k keeps the k
        likeliest, top_p the fewest that hold p of the probability (Holtzman 2020). stop: an id or
        several that end a row. Raises ValueError for an empty prompt or ids out of vocabulary.
        """
        pick = partial(choose, temperature=temperature, top_k=top_k, top_p=top_p,
                       generator=generator)
        device = self.token_embedding.weight.device
        text, lengths = pad_rows(tokens, self.config.vocab_size, device)    # (B, P), (B,)
        text = F.pad(text, (0, max_new_tokens))                             # (B, P + N)
        mask = torch.zeros(len(text), text.shape[1] - 1, device=device)     # (B, P + N - 1)
        log_probs, rows = torch.zeros_like(mask), torch.arange(len(text), device=device)
        for chosen, log_prob, alive in self.stream(tokens, max_new_tokens, pick, stop):
            text[rows, lengths] = chosen * alive
            mask[rows, lengths - 1] = alive.float()
            log_probs[rows, lengths - 1] = log_prob * alive
            lengths = lengths + 1
        return Generation(text, mask, log_probs)


class ScalarGPT(nn.Module):
    """A GPT with one number a position instead of V logits: the reward model, and PPO's critic
    (Ouyang 2022, section 3.5)."""

    def __init__(self, gpt):
        super().__init__()
        self.gpt, self.config, self.head = gpt, gpt.config, nn.Linear(gpt.config.n_embd, 1)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(gpt.config.n_embd + 1))  # Stiennon 2020

    def forward(self, tokens):
        """(B, T) int64 -> (B, T): the value of each prefix tokens[:, :t+1]."""
        return self.head(self.gpt.hidden(tokens))[:, :, 0]


# ----------------------------------------------------------------------------------------- losses
def masked_mean(x, mask):
    """Mean of x over the ones of mask (same shape); 0 where there are none."""
    return (x * mask).sum() / mask.sum().clamp(min=1)


def token_log_probs(model, tokens, mask=None):
    """(B, T) -> (B, T-1) nats: column t is log pi(tokens[t+1] given tokens[:t+1]).

    mask (B, T-1): where it is 0 anything may stand in the result, and no logits are made.
    """
    if mask is None or not mask.any():
        return kernels.log_prob(model(tokens[:, :-1]), tokens[:, 1:])
    wanted = mask.bool()
    logits = model.logits(model.hidden(tokens[:, :-1])[wanted])             # (ones of the mask, V)
    log_probs = kernels.log_prob(logits, tokens[:, 1:][wanted])
    return log_probs.new_zeros(mask.shape).masked_scatter(wanted, log_probs)


def next_token_loss(model, tokens, mask=None):
    """Mean -log p of the next token, nats. tokens (B, T+1); mask (B, T): which targets count."""
    log_probs = token_log_probs(model, tokens, mask)                        # (B, T)
    return -log_probs.mean() if mask is None else -masked_mean(log_probs, mask)


# ------------------------------------------------------------------------------------- optimizers
class AdamW:
    """Adam (Kingma 2015, algorithm 1) with weight decay apart from the gradient (Loshchilov 2019,
    algorithm 2); torch.optim.AdamW steps alike.

    groups: dicts with "params", "peak" (the highest learning rate), "weight_decay".
    """

    def __init__(self, groups, betas=(0.9, 0.95), eps=1e-8):
        self.groups, self.betas, self.eps = groups, betas, eps
        self.state = {p: {} for group in groups for p in group["params"]}

    @torch.no_grad()
    def step(self, share=1.0):
        """One step at this share of each group's peak learning rate."""
        for group in self.groups:
            self.step_group(group, share * group["peak"])

    def step_group(self, group, rate):
        beta1, beta2 = self.betas
        # exercise: one step of each weight that has a gradient
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
            state["t"] += 1
            m, v, t = state["m"], state["v"], state["t"]
            m.lerp_(p.grad, 1 - beta1)                              # the mean of recent gradients
            v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)     # and of their squares
            size = (v / (1 - beta2**t)).sqrt_().add_(self.eps)      # both began at zero, which
            p.mul_(1 - rate * group["weight_decay"])                # 1 - beta^t makes up for
            p.addcdiv_(m, size, value=-rate / (1 - beta1**t))

    def zero_grad(self):
        for p in self.state:
            p.grad = None

    def state_dict(self):
        return {"moments": list(self.state.values())}

    def load_state_dict(self, saved):
        for p, state in zip(self.state, saved["moments"], strict=True):
            self.state[p] = {name: value.to(p, copy=True) if torch.is_tensor(value) else value
                             for name, value in state.items()}


class Muon(AdamW):
    """AdamW for embeddings and vectors; for the groups with "muon", momentum whose singular
    values are all set to one (Jordan 2024). A fused q, k, v matrix (3C, C) is three to it."""

    def step_group(self, group, rate):
        if not group.get("muon"):
            return super().step_group(group, rate)
        by_size = defaultdict(list)             # matrices of one size are made one tensor
        for p in group["params"]:
            direction = self.nesterov(p)
            fused = p.size(0) == 3 * p.size(1)
            direction = direction.view(3, -1, p.size(1)) if fused else direction[None]
            by_size[direction.shape[1:]].append((p, direction))     # (1 or 3, m, n)
        for (m, n), rows in by_size.items():
            directions = torch.cat([direction for _, direction in rows])            # (k, m, n)
            steps = orthogonalize(directions) * max(1, m / n) ** 0.5
            for (p, _), step in zip(rows, steps.split([len(d) for _, d in rows])):
                p.mul_(1 - rate * group["weight_decay"])
                p.add_(step.reshape_as(p), alpha=-rate)

    def nesterov(self, p, beta=0.95):
        """The mean of recent gradients, one step ahead."""
        if not self.state[p]:
            self.state[p]["momentum"] = torch.zeros_like(p)
        momentum = self.state[p]["momentum"].lerp_(p.grad, 1 - beta)
        return p.grad.lerp(momentum, beta)


def orthogonalize(G, steps=5):
    """(k, m, n) -> about U V^T of each matrix's singular value decomposition G = U S V^T.

    A quintic Newton-Schulz iteration, X <- a X + (b A + c A A) X with A = X X^T, takes most
    singular values to within [0.7, 1.2] (Jordan 2024, "Muon", with its a, b, c).
    """
    tall = G.size(-2) > G.size(-1)
    X = G.mT if tall else G                     # the smaller side first: (k, m, n), m <= n
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        A = X @ X.mT                                                        # (k, m, m)
        B = torch.baddbmm(A, A, A, beta=-4.7750, alpha=2.0315)              # b A + c A A
        X = torch.baddbmm(X, B, X, beta=3.4445)                             # a X + B X
    return X.mT if tall else X


def make_optimizer(model, learning_rate, weight_decay=0.1, muon_rate=None):
    """AdamW for all weights, or, with a muon_rate, Muon for the matrices. Weight decay pulls on
    matrices and embeddings only: gains and biases have no scale to control."""
    embeddings, matrices, vectors = [], [], []
    for name, p in model.named_parameters():
        if p.dim() < 2:
            vectors.append(p)
        else:
            (embeddings if name.endswith("embedding.weight") else matrices).append(p)
    groups = [{"params": params, "peak": learning_rate, "weight_decay": decay} for params, decay in
              ((embeddings, weight_decay), (matrices, weight_decay), (vectors, 0.0))]
    if muon_rate is None:
        return AdamW(groups)
    groups[1] |= {"muon": True, "peak": muon_rate}
    return Muon(groups)


FALLS = {                                       # share of the way, 0 to 1 -> share of the peak
    "linear": lambda way: 1 - way,                                          # Bergsma 2025
    "cosine": lambda way: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * way)),  # Brown 2020
}


def schedule(step, steps, warmup, fall="cosine", way=None):
    """The share of the peak learning rate: a linear warm-up, then a fall to zero (linear) or to a
    tenth (cosine) at the last step. step counts from 0; way: share of the training done, 0 to 1."""
    # exercise: the way down, then the lesser of warm-up and fall
    if way is None:
        way = max(0, step - warmup) / max(1, steps - 1 - warmup)
    return min(1, (step + 1) / max(1, warmup)) * FALLS[fall](way)


def take_step(optimizer, loss, share=1.0, clip=1.0):
    """One update: backward, gradients clipped to norm `clip`, a step at this share of the rate."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(list(optimizer.state), clip)
    optimizer.step(share)


# --------------------------------------------------------------------- chat template, checkpoints
def encode_chat(tokenizer, turns):
    """[(question, answer), ...] -> ids of <|user|>question<|assistant|>answer<|endoftext|>...; an
    answer None leaves its place open.

    Text goes through encode_ordinary, so a control token can enter only here, never through what
    a user typed.
    """
    # exercise: user, question, assistant, and, where there is one, the answer and its end
    special, ids = tokenizer.special_tokens, []
    for question, answer in turns:
        ids += [special[USER], *tokenizer.encode_ordinary(question), special[ASSISTANT]]
        if answer is not None:
            ids += [*tokenizer.encode_ordinary(answer), special[END]]
    return ids


def as_turns(question, answer=None):
    """-> turns for encode_chat. question: a text, or (question, answer, ..., question), the texts
    of a dialogue that waits for its next answer."""
    texts = [question] if isinstance(question, str) else question
    return list(zip(texts[::2], [*texts[1::2], answer]))


def encode_prompt(tokenizer, question, chat=True):
    """ids of a question (as in as_turns) that waits for its answer: in the chat template, or, for
    a base model, bare at the start of a document."""
    if chat:
        return encode_chat(tokenizer, as_turns(question))
    bare = question if isinstance(question, str) else "\n".join(question)
    return [tokenizer.special_tokens[END], *tokenizer.encode_ordinary(bare)]


def score_answers(model, tokenizer, pairs, ended=None, batch_size=512):
    """[(question, answer)] -> (N,) float: the mean of a ScalarGPT's numbers on the answer's
    tokens, the end token included where it has one. ended: N bools (None: all have).

    Each number says what a token is worth where it stands; one number at the end (Ouyang 2022)
    would have to gather all of that first.
    """
    device, T = model.head.weight.device, model.config.block_size
    ended = [True] * len(pairs) if ended is None else ended
    rows = [encode_chat(tokenizer, as_turns(*pair)) for pair in pairs]
    rows = [row if end else row[:-1] for row, end in zip(rows, ended)]
    answers = [len(row) - len(encode_prompt(tokenizer, q)) for row, (q, _) in zip(rows, pairs)]
    rows = [row[-T:] for row in rows]
    tokens, lengths = pad_rows(rows, model.config.vocab_size, device)           # (N, T), (N,)
    to_end = lengths[:, None] - torch.arange(tokens.shape[1], device=device)    # (N, T)
    mask = (to_end > 0) & (to_end <= torch.tensor(answers, device=device)[:, None])
    values = by_length(model, tokens, lengths, parts=-(-len(rows) // batch_size))
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)


def fingerprint(tokenizer):
    """Sixteen hex digits that differ when any token of the vocabulary does."""
    tokens = b"\0".join(tokenizer.decode_bytes([i]) for i in range(tokenizer.n_vocab))
    return hashlib.sha256(tokens).hexdigest()[:16]


def save_checkpoint(path, model, tokenizer, meta):
    """Weights, sizes and meta (plain values), with the fingerprint of the tokenizer that must lie
    beside it."""
    weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    run.save_torch(path, {
        "config": asdict(model.config), "scalar": isinstance(model, ScalarGPT),
        "tokenizer": fingerprint(tokenizer), "meta": meta, "weights": weights})


def load_checkpoint(path, device="cpu"):
    """path -> (model in eval mode, tokenizer, meta). The tokenizer is tokenizer.json in the same
    folder. Raises run.UserError where a file is missing, broken, or does not belong."""
    saved, vocabulary = run.read_checkpoint(Path(path), device)
    try:
        tokenizer = Tokenizer.load(vocabulary)
    except ValueError as error:
        raise run.UserError(f"{vocabulary}: {error}") from None
    if fingerprint(tokenizer) != saved["tokenizer"]:
        raise run.UserError(
            f"{path} was trained with another vocabulary than {vocabulary} ({tokenizer.n_vocab} "
            "tokens): put the two that belong together into one folder, or train again")
    model = GPT(GPTConfig(**saved["config"]))
    model = ScalarGPT(model) if saved["scalar"] else model
    model.load_state_dict(saved["weights"])
    return model.to(device).eval(), tokenizer, saved["meta"]


if __name__ == "__main__":
    from run.chat import main       # the chat at a terminal: nothing in it that a reader came for
    run.main(main)
