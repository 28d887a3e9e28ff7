"""Attention: NumPy and PyTorch against a plain float64 softmax(q k^T) v, finite differences and hand-made cases. Triton: test_kernels_compile.py."""
import math
import re
from pathlib import Path

import pytest
import torch

import kernels

LIMIT = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}


def plain(q, k, v, causal):
    """The definition with its (Tq, Tk) matrix; the queries are the last of the keys' places."""
    s = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    hidden = torch.ones(s.shape[2:], dtype=torch.bool).triu(1 + s.shape[3] - s.shape[2])
    return (s.masked_fill(hidden, -math.inf) if causal else s).softmax(-1) @ v


def worst_error(Tq, Tk, D, dtype, causal, where="cpu", rows=(2, 2)):
    """The greatest relative error of o, dq, dk, dv against float64. A gradient that is zero in truth (one key) is judged against dout."""
    generator = torch.Generator().manual_seed(Tq + Tk + D)
    q, k, v, do = (torch.randn(*rows, T, D, generator=generator).to(dtype) for T in (Tq, Tk, Tk, Tq))
    exact = [t.double().requires_grad_() for t in (q, k, v)]
    o = plain(*exact, causal)
    truths = [o, *torch.autograd.grad(o, exact, do.double())]
    given = [t.to(where).requires_grad_() for t in (q, k, v)]
    o = kernels.attention(*given, causal=causal)
    found = [o, *torch.autograd.grad(o, given, do.to(where))]
    return max(((a.cpu().double() - b).norm() / (b.norm() if Tk > 1 else do.double().norm())).item() for a, b in zip(found, truths))


@pytest.mark.parametrize("dtype", LIMIT)
def test_output_and_gradients_agree_with_float64_for_any_length_and_head_size(backend, dtype):
    where = "cuda" if backend == "triton" else "cpu"
    shapes = [(1, 1, 16), (17, 17, 80), (64, 64, 32), (100, 100, 128), (257, 257, 64), (1, 70, 32), (65, 130, 40)]
    for (Tq, Tk, D), causal in [(shape, causal) for shape in shapes for causal in (True, False)]:
        assert worst_error(Tq, Tk, D, dtype, causal, where) <= LIMIT[dtype], (Tq, Tk, D, causal)


@pytest.mark.parametrize("causal", [True, False])
def test_numpy_gradients_agree_with_finite_differences(causal):
    before = kernels.use("numpy")
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(1, 2, T, 3, generator=generator, dtype=torch.float64, requires_grad=True) for T in (4, 6, 6))
    assert torch.autograd.gradcheck(lambda *t: kernels.attention(*t, causal=causal), (q, k, v))
    kernels.use(before)


def test_equal_scores_average_the_values_seen_so_far(backend):
    where = "cuda" if backend == "triton" else "cpu"
    q = torch.zeros(1, 1, 4, 16, device=where)
    v = torch.tensor([1.0, 2, 3, 6], device=where)[None, None, :, None].expand(1, 1, 4, 16)
    assert kernels.attention(q, q, v)[0, 0, :, 0].tolist() == pytest.approx([1, 1.5, 2, 3])
    assert kernels.attention(q, q, v, causal=False)[0, 0, :, 0].tolist() == pytest.approx([3] * 4)


def test_a_later_key_never_changes_an_earlier_query(backend):
    where = "cuda" if backend == "triton" else "cpu"
    q, k, v = (torch.randn(1, 2, 150, 16, generator=torch.Generator().manual_seed(5)).to(where) for _ in range(3))
    before = kernels.attention(q, k, v)
    k[:, :, 100:], v[:, :, 100:] = 50.0, -7.0
    assert torch.equal(kernels.attention(q, k, v)[:, :, :100], before[:, :, :100])


def test_the_last_queries_alone_give_what_they_gave_among_all(backend):
    where = "cuda" if backend == "triton" else "cpu"
    q, k, v = (torch.randn(2, 2, 600, 16, generator=torch.Generator().manual_seed(6)).to(where) for _ in range(3))
    whole = kernels.attention(q, k, v)
    for last in (1, 3, 550):                                             # one new token; a few; more than PyTorch's path masks at once
        assert torch.allclose(kernels.attention(q[:, :, -last:], k, v), whole[:, :, -last:], atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_with_lengths_each_row_gives_what_it_gives_alone_without_its_padding(backend, causal):
    where = "cuda" if backend == "triton" else "cpu"
    generator, lengths = torch.Generator().manual_seed(7), [3, 9, 20]
    for Tq in (1, 3):
        q, k, v = (torch.randn(3, 2, T, 16, generator=generator).to(where) for T in (Tq, 20, 20))
        together = kernels.attention(q, k, v, causal=causal, lengths=torch.tensor(lengths, device=where))
        for row, n in enumerate(lengths):
            alone = kernels.attention(q[row:row + 1], k[row:row + 1, :, :n], v[row:row + 1, :, :n], causal=causal)
            assert torch.allclose(together[row:row + 1], alone, atol=1e-5)


def test_tensors_that_do_not_lie_together_in_memory_give_the_same(backend):
    where = "cuda" if backend == "triton" else "cpu"
    qkv = torch.randn(2, 33, 3, 2, 16, generator=torch.Generator().manual_seed(8)).to(where).permute(2, 0, 3, 1, 4)   # as the model makes it
    given = [t.detach().requires_grad_() for t in qkv]
    tidy = [t.detach().contiguous().requires_grad_() for t in qkv]
    for a, b in zip(torch.autograd.grad(kernels.attention(*given).square().sum(), given), torch.autograd.grad(kernels.attention(*tidy).square().sum(), tidy)):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("backend_name", ["numpy", "torch"])
def test_peak_memory_grows_in_proportion_to_length_and_not_to_its_square(backend_name):
    from kernels.measure import peak_memory
    assert peak_memory(backend_name, 2048) < 20                          # a float32 (T, T) matrix alone would be 16 MB, and three are needed


def test_every_function_of_the_kernels_that_lesson_3_names_is_in_its_file():
    import importlib
    text = (Path(__file__).parent.parent / "lessons" / "03_kernels.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(attention|softmax)\.(\w+)`", text)) - {("attention", "py"), ("softmax", "py")}
    assert len(named) > 10 and [name for file, name in named if not hasattr(importlib.import_module("kernels." + file), name)] == []


def q(*shape, **kind):
    return torch.zeros(*shape, **kind)


@pytest.mark.parametrize("arguments, words", [
    ((q(1, 2, 3, 4), q(1, 1, 3, 4), q(1, 1, 3, 4)), "q (B, H, Tq, D)"),
    ((q(1, 1, 3, 257),) * 3, "head size 257 is not within 1..256"),
    ((q(1, 1, 4, 8), q(1, 1, 3, 8), q(1, 1, 3, 8)), "at most as many as keys"),
    ((q(1, 1, 3, 8), q(1, 1, 3, 8), q(1, 1, 3, 8, dtype=torch.float16)), "one float dtype"),
    ((q(1, 1, 3, 8), q(1, 1, 3, 8, device="meta"), q(1, 1, 3, 8)), "different devices"),
    ((q(1, 1, 2, 8), q(1, 1, 3, 8), q(1, 1, 3, 8), True, torch.tensor([4])), "between the 2 queries and the 3 keys"),
    ((q(1, 1, 2, 8, requires_grad=True), q(1, 1, 3, 8), q(1, 1, 3, 8), True, torch.tensor([3])), "no gradient"),
])
def test_what_cannot_be_served_is_one_line_that_names_the_mend(arguments, words):
    with pytest.raises(ValueError) as caught:
        kernels.attention(*arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
