"""Assignment 2 on random sizes and weights, number by number; `seed` is the student's own."""
import math
import random

import pytest
import torch
import torch.nn.functional as F

import model as M


def random_config(seed):
    rng = random.Random(seed)
    H, D = rng.choice([1, 3, 4]), rng.choice([2, 4, 6])
    return M.GPTConfig(vocab_size=40, block_size=20, n_layer=3, n_head=H, n_embd=H * D)


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def shake(module, seed):
    """Random numbers for all weights, those of the norms too."""
    for i, p in enumerate(module.parameters()):
        p.copy_(draw(seed + i, *p.shape) / math.sqrt(p.shape[-1]))
    return module


def head_by_head(attention, x, H):
    """Attention of (T, C), with loops over heads and queries."""
    T, C = x.shape
    D = C // H
    q, k, v = (x @ attention.qkv.weight.T + attention.qkv.bias).split(C, 1)     # each (T, C)
    mixed = torch.zeros(T, C)
    for h in range(H):
        own = slice(h * D, (h + 1) * D)
        for t in range(T):
            scores = k[: t + 1, own] @ q[t, own] / math.sqrt(D)
            mixed[t, own] = torch.softmax(scores, 0) @ v[: t + 1, own]
    return mixed @ attention.out.weight.T + attention.out.bias


@torch.no_grad()
def test_attention_head_by_head(seed):
    config = random_config(seed)
    attention, x = shake(M.Attention(config, 1), seed), draw(seed, 2, 7, config.n_embd)
    for row, found in zip(x, attention(x)):
        wanted = head_by_head(attention, row, config.n_head)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_attention_with_a_cache_of_rows_that_differ_in_length(seed):
    config, rng = random_config(seed), random.Random(seed)
    attention, x = shake(M.Attention(config, 1), seed), draw(seed, 3, 12, config.n_embd)
    cache = M.KVCache(config, 3, 12, x)
    attention(x[:, :6], cache.reserve(6))
    cache.lengths = torch.tensor(rng.sample(range(1, 7), 3))
    starts = cache.lengths.tolist()
    found = attention(x[:, 6:9], cache.reserve(3))
    for row, start, three in zip(x, starts, found):
        wanted = head_by_head(attention, torch.cat([row[:start], row[6:9]]), config.n_head)
        torch.testing.assert_close(three, wanted[-3:], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_block_with_gains_and_biases_of_its_own_in_each_norm(seed):
    config = random_config(seed)
    block, x = shake(M.Block(config, 0), seed), 3 * draw(seed, 2, 5, config.n_embd)
    C = (config.n_embd,)
    normed = F.layer_norm(x, C, block.norm1.weight, block.norm1.bias)
    middle = x + block.attention(normed)
    hidden = block.up(F.layer_norm(middle, C, block.norm2.weight, block.norm2.bias))
    bent = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    wanted = middle + bent @ block.down.weight.T + block.down.bias
    torch.testing.assert_close(block(x), wanted, atol=1e-4, rtol=1e-4)


def shares_of(row, top_p):
    """The probabilities that top_p leaves of a list of logits."""
    weights = [math.exp(x) for x in row]
    order, kept, held = sorted(range(len(row)), key=lambda i: -row[i]), [], 0.0
    while held < top_p * sum(weights) - 1e-9:
        kept.append(order[len(kept)])
        held += weights[kept[-1]]
    return [weights[i] / held if i in kept else 0.0 for i in range(len(row))]


def test_top_p_of_rows_that_differ_leaves_each_its_own_odds(monkeypatch, seed):
    rng, n = random.Random(seed), 2000
    line = (torch.arange(n) + 0.5) / n          # for random numbers, each as often as the others
    for top_p in (rng.uniform(0.3, 0.6), rng.uniform(0.6, 0.95), 1.0):
        rows = [[rng.gauss(0, scale) for _ in range(9)] for scale in (0.3, 1.0, 3.0)]
        logits = torch.tensor(rows).repeat_interleave(n, 0)                 # (3 n, 9)
        monkeypatch.setattr(torch, "rand", lambda *size, **_: line.repeat(3).reshape(size))
        drawn = M.choose(logits, top_p=top_p).view(3, n)
        for row, tokens in zip(rows, drawn):
            counts = torch.bincount(tokens, minlength=9)
            wanted = shares_of(row, top_p)
            assert (counts / n).tolist() == pytest.approx(wanted, abs=2e-3)
            assert all(share > 0 or count == 0 for share, count in zip(wanted, counts.tolist()))


def test_reserve_counts_each_row_by_itself(seed):
    rng = random.Random(seed)
    starts = rng.sample(range(1, 9), 4) + [5]
    starts += starts[:1]                        # the first and the last are alike
    cache = M.KVCache(M.GPTConfig(n_layer=1, n_head=1, n_embd=2), 6, 20, torch.zeros(1))
    cache.lengths = torch.tensor(starts)
    for T in (rng.randint(2, 4), 1):
        places = cache.reserve(T)
        assert places.positions.tolist() == [[n + t for t in range(T)] for n in starts]
        starts = [n + T for n in starts]
        assert places.lengths.tolist() == cache.lengths.tolist() == starts
        assert places.longest == max(starts)
    cache.lengths = torch.full((6,), 7)
    places = cache.reserve(2)
    assert places.lengths is None and places.longest == 9


def test_store_writes_several_tokens_behind_rows_of_different_length(seed):
    rng = random.Random(seed)
    H, D, S = rng.choice([1, 3]), rng.choice([2, 5]), 12
    cache = M.KVCache(M.GPTConfig(n_layer=3, n_head=H, n_embd=H * D), 3, S, torch.zeros(1))
    starts, T = rng.sample(range(8), 3), rng.randint(2, 4)
    old = draw(seed, 2, 3, 3, H, S, D)
    cache.k.copy_(old[0])
    cache.v.copy_(old[1])
    lengths = torch.tensor([start + T for start in starts])
    positions = torch.tensor([[start + t for t in range(T)] for start in starts])
    places = M.Places(cache, positions, max(starts) + T, lengths)
    new = draw(seed + 1, 2, 3, H, T, D)
    found = places.store(1, *new)
    for kept, before, added, came in zip((cache.k, cache.v), old, new, found):
        wanted = before.clone()
        for b, start in enumerate(starts):
            wanted[1, b, :, start : start + T] = added[b]
        assert torch.equal(kept, wanted)
        assert torch.equal(came, wanted[1][:, :, : max(starts) + T])
    assert found[2] is lengths or torch.equal(found[2], lengths)
