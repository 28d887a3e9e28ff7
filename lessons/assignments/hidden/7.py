"""Assignment 7 on random shapes, against whole matrices in float64; `seed` is the student's own."""
import random

import numpy as np
import torch

import kernels
from kernels.attention import attention_backward_numpy, attention_numpy
from kernels.softmax import log_prob_backward_numpy, softmax_backward_numpy, softmax_numpy


def shapes(seed):
    """One axis to four, the last the longest."""
    rng = random.Random(seed)
    return [(*(rng.randint(1, 4) for _ in range(axes)), rng.randint(5, 90)) for axes in range(4)]


def by_definition(x):
    e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_softmax_of_rows_that_lie_thousands_apart(seed):
    random_numbers = np.random.default_rng(seed)
    for shape in shapes(seed):
        x = random_numbers.normal(size=shape)
        x += random_numbers.choice([-3000, 0, 3000], size=(*shape[:-1], 1))
        x[..., random_numbers.integers(5)] = -np.inf
        before = x.copy()
        np.testing.assert_allclose(softmax_numpy(x), by_definition(x), atol=1e-9)
        assert (x == before).all()


def test_softmax_backward_is_the_jacobian_s_product(seed):
    random_numbers = np.random.default_rng(seed)
    for shape in shapes(seed):
        y, dy = by_definition(random_numbers.normal(size=shape)), random_numbers.normal(size=shape)
        wanted = np.empty(shape)
        for place in np.ndindex(shape[:-1]):
            row = y[place]
            wanted[place] = (np.diag(row) - np.outer(row, row)) @ dy[place]
        np.testing.assert_allclose(softmax_backward_numpy(y, dy), wanted, atol=1e-9)


def test_log_prob_backward_row_by_row(seed):
    random_numbers = np.random.default_rng(seed)
    for shape in shapes(seed):
        logits = 3 * random_numbers.normal(size=shape) + 2000
        targets = random_numbers.integers(shape[-1], size=shape[:-1])
        dy = random_numbers.normal(size=shape[:-1])
        p = by_definition(logits)
        lse = logits[..., 0] - np.log(p[..., 0])
        wanted = -p * dy[..., None]
        for place in np.ndindex(shape[:-1]):
            wanted[(*place, targets[place])] += dy[place]
        found = log_prob_backward_numpy(logits, targets, lse, dy)
        np.testing.assert_allclose(found, wanted, atol=1e-9)


def scores(q, k, causal, lengths):
    """The whole (B, H, Tq, Tk) matrix; the queries are the last of each row's keys."""
    s = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[3])
    Tq, Tk = s.shape[2:]
    for b, n in enumerate(lengths or [Tk] * len(s)):
        for t in range(Tq):
            s[b, :, t, n - Tq + t + 1 if causal else n:] = -np.inf
    return s


def random_heads(seed, Tq, Tk):
    """Keys that are the louder the later: the greatest score rises from tile to tile."""
    random_numbers = np.random.default_rng(seed)
    q, k, v, do = (random_numbers.normal(size=(2, 3, T, 5)) for T in (Tq, Tk, Tk, Tq))
    return q, k * np.linspace(1, 9, Tk)[:, None], v, do


def test_attention_over_many_tiles(seed):
    rng = random.Random(seed)
    for causal in (True, False):
        Tk = rng.randint(200, 300)
        Tq = rng.randint(70, 150)
        for lengths in (None, [rng.randint(Tq, Tk), rng.randint(Tq, Tk)]):
            q, k, v, _ = random_heads(seed, Tq, Tk)
            s = scores(q, k, causal, lengths)
            given = None if lengths is None else np.array(lengths)
            o, lse = attention_numpy(q, k, v, causal, given)
            np.testing.assert_allclose(o, by_definition(s) @ v, atol=1e-8)
            np.testing.assert_allclose(np.exp(s - lse[..., None]).sum(-1), 1, rtol=1e-8)


def test_attention_backward_over_many_tiles(seed):
    rng = random.Random(seed)
    for causal in (True, False):
        Tk = rng.randint(200, 260)
        q, k, v, do = random_heads(seed, rng.randint(70, 150), Tk)
        s = scores(q, k, causal, None)
        p = by_definition(s)
        dp = do @ v.swapaxes(2, 3)
        ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / np.sqrt(q.shape[3])
        top = s.max(-1)
        lse = top + np.log(np.exp(s - top[..., None]).sum(-1))
        found = attention_backward_numpy(q, k, v, p @ v, lse, do, causal)
        for one, wanted in zip(found, (ds @ k, ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ do)):
            np.testing.assert_allclose(one, wanted, atol=1e-7)


def test_triton_softmax_of_rows_that_lie_thousands_apart(seed):
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    before = kernels.use("triton")
    for V in (rng.randint(2, 60), rng.randint(130, 300)):
        x = torch.randn(5, V, generator=generator) + torch.tensor([[-900.0], [0], [90], [900], [7]])
        x[1, V // 2] = -torch.inf
        torch.testing.assert_close(kernels.softmax(x), torch.softmax(x, -1), atol=1e-5, rtol=1e-4)
    kernels.use(before)
