"""Attention: NumPy and PyTorch against a plain float64 softmax(q k^T) v, finite differences and
hand-made cases. Triton: test_kernels_compile.py."""
import importlib
import itertools
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import kernels
from kernels.checks import check_chip

ROOM = 1 << 14  # numbers: the largest tile here has as many
LIMIT = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}


def device(backend):
    return "cuda" if backend == "triton" else "cpu"


def random_tensors(seed, *shapes, **kind):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, **kind) for shape in shapes]


def among_nan(t):
    """The tensor with nan before and behind it: a kernel that reads beyond it takes them along."""
    return F.pad(t.flatten(), (ROOM, ROOM), value=math.nan)[ROOM:-ROOM].view(t.shape)


def plain(q, k, v, causal):
    """The definition with its (Tq, Tk) matrix; the queries are the last of the keys' places."""
    s = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    hidden = torch.ones(s.shape[2:], dtype=torch.bool).triu(1 + s.shape[3] - s.shape[2])
    return (s.masked_fill(hidden, -math.inf) if causal else s).softmax(-1) @ v


def worst_error(Tq, Tk, D, dtype, causal, where="cpu", rows=(2, 2)):
    """The greatest relative error of o, dq, dk, dv against float64.

    A gradient that is zero in truth (one key) is measured by do instead.
    """
    tensors = random_tensors(Tq + Tk + D, *[(*rows, T, D) for T in (Tq, Tk, Tk, Tq)])
    q, k, v, do = (t.to(dtype) for t in tensors)
    exact = [t.double().requires_grad_() for t in (q, k, v)]
    o = plain(*exact, causal)
    truths = [o, *torch.autograd.grad(o, exact, do.double())]
    q, k, v, do = (among_nan(t.to(where)) for t in (q, k, v, do))
    given = [t.requires_grad_() for t in (q, k, v)]
    o = kernels.attention(*given, causal=causal)
    found = [o, *torch.autograd.grad(o, given, do)]
    sizes = [truth.norm() if Tk > 1 else do.double().norm() for truth in truths]
    return greatest_error(found, truths, sizes)


def greatest_error(found, truths, sizes):
    """nan if one of them is: PyTorch's max keeps it, where Python's may drop it."""
    errors = [(a.cpu().double() - b).norm() / size for a, b, size in zip(found, truths, sizes)]
    return torch.stack(errors).max().item()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_nan_among_the_errors_is_the_greatest(place):
    found = [torch.ones(2), torch.ones(2), torch.ones(2)]
    found[place][1] = math.nan
    assert math.isnan(greatest_error(found, [torch.zeros(2)] * 3, [1.0] * 3))


@pytest.mark.parametrize("dtype", LIMIT)
def test_output_and_gradients_agree_with_float64_for_any_length_and_head_size(backend, dtype):
    shapes = [(1, 1, 16), (17, 17, 80), (64, 64, 32), (100, 100, 128), (257, 257, 64),
              (1, 70, 32), (65, 130, 40)]
    for shape, causal in itertools.product(shapes, (True, False)):
        error = worst_error(*shape, dtype, causal, device(backend))
        assert error <= LIMIT[dtype], (shape, causal)


@pytest.mark.parametrize("causal", [True, False])
def test_numpy_gradients_agree_with_finite_differences(causal):
    before = kernels.use("numpy")
    q, k, v = random_tensors(4, *[(1, 2, T, 3) for T in (4, 6, 6)], dtype=torch.float64,
                             requires_grad=True)
    assert torch.autograd.gradcheck(lambda *t: kernels.attention(*t, causal=causal), (q, k, v))
    kernels.use(before)


def test_equal_scores_average_the_values_seen_so_far(backend):
    q = torch.zeros(1, 1, 4, 16, device=device(backend))
    v = torch.tensor([1.0, 2, 3, 6], device=q.device)[None, None, :, None].expand(1, 1, 4, 16)
    assert kernels.attention(q, q, v)[0, 0, :, 0].tolist() == pytest.approx([1, 1.5, 2, 3])
    whole = kernels.attention(q, q, v, causal=False)
    assert whole[0, 0, :, 0].tolist() == pytest.approx([3] * 4)


@pytest.mark.parametrize("dtype", LIMIT)
def test_the_key_of_a_score_of_hundreds_takes_all_and_nothing_overflows(backend, dtype):
    # scores of -200, equal, until query 40: from there on 200 for key 40
    T, loud = 100, 40
    q = torch.full((1, 1, T, 16), 5.0, dtype=dtype, device=device(backend))
    k = torch.full_like(q, -10)
    k[:, :, loud] = 10
    v, do = (t.to(q) for t in random_tensors(9, *[(1, 1, T, 16)] * 2))
    p = torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]
    p[loud:] = torch.eye(T)[loud]
    p, truth_v, truth_do = (t.cpu().double() for t in (p, v, do))
    truths = [p @ truth_v, p.T @ truth_do]
    o = kernels.attention(q.requires_grad_(), k.requires_grad_(), v.requires_grad_())
    found = [o, *torch.autograd.grad(o, v, do)]
    assert greatest_error(found, truths, [t.norm() for t in truths]) <= max(LIMIT[dtype], 1e-4)


def test_a_later_key_never_changes_an_earlier_query(backend):
    q, k, v = (t.to(device(backend)) for t in random_tensors(5, *[(1, 2, 150, 16)] * 3))
    before = kernels.attention(q, k, v)
    k[:, :, 100:] = 50.0
    v[:, :, 100:] = -7.0
    assert torch.equal(kernels.attention(q, k, v)[:, :, :100], before[:, :, :100])


def test_the_last_queries_alone_give_what_they_gave_among_all(backend):
    q, k, v = (t.to(device(backend)) for t in random_tensors(6, *[(2, 2, 600, 16)] * 3))
    whole = kernels.attention(q, k, v)
    for last in (1, 3, 550):  # one new token; a few; more than PyTorch's path masks at once
        alone = kernels.attention(q[:, :, -last:], k, v)
        assert torch.allclose(alone, whole[:, :, -last:], atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_with_lengths_each_row_gives_what_it_gives_alone_without_its_padding(backend, causal):
    lengths = torch.tensor([3, 9, 20], device=device(backend))
    for Tq in (1, 3):
        tensors = random_tensors(7, *[(3, 2, T, 16) for T in (Tq, 20, 20)])
        q, k, v = (t.to(lengths.device) for t in tensors)
        together = kernels.attention(q, k, v, causal=causal, lengths=lengths)
        for b, n in enumerate(lengths.tolist()):
            row = slice(b, b + 1)
            alone = kernels.attention(q[row], k[row, :, :n], v[row, :, :n], causal=causal)
            assert torch.allclose(together[row], alone, atol=1e-5)


def test_tensors_that_do_not_lie_together_in_memory_give_the_same(backend):
    qkv, = random_tensors(8, (2, 33, 3, 2, 16))  # as the model makes it
    qkv = qkv.to(device(backend)).permute(2, 0, 3, 1, 4)
    given = [t.detach().requires_grad_() for t in qkv]
    tidy = [t.detach().contiguous().requires_grad_() for t in qkv]
    gradients = [torch.autograd.grad(kernels.attention(*tensors).square().sum(), tensors)
                 for tensors in (given, tidy)]
    for a, b in zip(*gradients):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("backend_name", ["numpy", "torch"])
def test_peak_memory_grows_in_proportion_to_length_and_not_to_its_square(
        backend_name, script, tmp_path):
    from kernels.measure import MEMORY_PROGRAM
    (tmp_path / "peak.py").write_text(MEMORY_PROGRAM.format(backend=backend_name, T=2048))
    code, printed, errors = script(tmp_path / "peak.py")
    assert code == 0, errors
    # a float32 (T, T) matrix alone would be 16 MB, and three are needed
    assert float(printed) < 20


def test_a_chip_with_little_shared_memory_is_told_before_a_large_head_is_launched():
    fine = (((8, 0), 256), ((9, 0), 256), ((10, 0), 200), ((8, 9), 128), ((12, 0), 64))
    for capability, D in fine:
        check_chip(capability, D)
    for capability in ((8, 6), (8, 9), (12, 0)):
        with pytest.raises(ValueError, match="head size 160 is above 128.*use more heads"):
            check_chip(capability, 160)


def test_every_function_of_the_kernels_that_lesson_3_names_is_in_its_file():
    lesson = Path(__file__).parent.parent / "lessons" / "03_kernels.md"
    found = re.findall(r"`(attention|softmax)\.(\w+)`", lesson.read_text(encoding="utf-8"))
    named = {(file, name) for file, name in found if name != "py"}
    assert len(named) > 10
    for file, name in named:
        assert hasattr(importlib.import_module("kernels." + file), name), name


def q(*shape, **kind):
    return torch.zeros(*shape, **kind)


def with_lengths(lengths, causal=True, needs_gradient=None, dtype=torch.int64):
    """Arguments of attention: two queries over three keys."""
    tensors = [q(1, 1, T, 8, requires_grad=i == needs_gradient) for i, T in enumerate((2, 3, 3))]
    return *tensors, causal, torch.tensor(lengths, dtype=dtype)


def test_what_can_just_be_served_is(backend):
    where = device(backend)
    assert kernels.attention(*[q(1, 1, 1, 256, device=where)] * 3).shape == (1, 1, 1, 256)
    few, many = q(1, 1, 2, 8, device=where), q(1, 1, 3, 8, device=where)
    assert kernels.attention(many, few, few, causal=False).shape == many.shape
    one = torch.ones(1, dtype=torch.int64, device=where)
    assert kernels.attention(few, many, many, causal=False, lengths=one).shape == few.shape
    with torch.no_grad():
        learnt = many.clone().requires_grad_()
        assert kernels.attention(few, learnt, learnt, lengths=one * 2).shape == few.shape


@pytest.mark.parametrize("arguments, words", [
    ((q(1, 2, 3, 4), q(1, 1, 3, 4), q(1, 1, 3, 4)), "q (B, H, Tq, D)"),
    ((q(1, 1, 3, 4), q(1, 1, 3, 8), q(1, 1, 3, 8)), "q (B, H, Tq, D)"),
    ((q(1, 1, 3, 8), q(1, 1, 4, 8), q(1, 1, 3, 8)), "q (B, H, Tq, D)"),
    ((q(1, 3, 8),) * 3, "q (B, H, Tq, D)"),
    ((q(1, 1, 3, 257),) * 3, "head size 257 is not within 1..256"),
    ((q(1, 1, 4, 8), q(1, 1, 3, 8), q(1, 1, 3, 8)), "at most as many as keys"),
    ((q(1, 1, 0, 8), *[q(1, 1, 0, 8)] * 2), "each must be 1 or more"),
    ((q(1, 1, 3, 8), q(1, 1, 3, 8), q(1, 1, 3, 8, dtype=torch.float16)), "one float dtype"),
    ((q(1, 1, 3, 8, dtype=torch.int64),) * 3, "one float dtype"),
    ((q(1, 1, 3, 8), q(1, 1, 3, 8, device="meta"), q(1, 1, 3, 8)), "different devices"),
    (with_lengths([4]), "between the 2 queries and the 3 keys"),
    (with_lengths([1]), "between the 2 queries and the 3 keys"),
    (with_lengths([0], causal=False), "between the 2 queries and the 3 keys"),
    (with_lengths([3, 3]), "lengths must be (1,) int64"),
    (with_lengths([3], dtype=torch.int32), "lengths must be (1,) int64"),
    (with_lengths([3], needs_gradient=0), "no gradient"),
    (with_lengths([3], needs_gradient=1), "no gradient"),
    (with_lengths([3], needs_gradient=2), "no gradient"),
])
def test_what_cannot_be_served_is_one_line_that_names_the_mend(arguments, words):
    with pytest.raises(ValueError) as caught:
        kernels.attention(*arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
