"""Softmax and log-prob: NumPy and PyTorch against float64, finite differences and figures worked
by hand. Triton: test_kernels_compile.py."""
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import kernels
from conftest import ENVIRONMENT, run_script
from test_attention import LIMIT, among_nan, device, greatest_error
from kernels.softmax import (log_prob_backward_numpy, log_prob_numpy, softmax_backward_numpy,
                             softmax_numpy)


def worst_error(x, dy, targets, dl):
    """The greatest relative error of softmax, log_prob and their gradients against float64.

    x, dy (..., V); targets and dl (...). x lies on the device to be tested, all else on the CPU.
    What has one column, and so is known, is measured by 1.
    """
    exact = x.cpu().double().requires_grad_()
    y = exact.softmax(-1)
    chosen = exact.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    truths = [y, chosen, *torch.autograd.grad(y, exact, dy.double()),
              *torch.autograd.grad(chosen, exact, dl.double())]
    given = among_nan(x).requires_grad_()
    y = kernels.softmax(given)
    chosen = kernels.log_prob(given, targets.to(x.device))
    assert y.dtype == x.dtype and chosen.dtype == torch.float32
    found = [y, chosen, *torch.autograd.grad(y, given, among_nan(dy.to(y))),
             *torch.autograd.grad(chosen, given, among_nan(dl.to(x.device)))]
    sizes = [truth.norm() if x.shape[-1] > 1 else 1.0 for truth in truths]
    return greatest_error(found, truths, sizes)


@pytest.mark.parametrize("dtype", LIMIT)
def test_softmax_and_log_prob_agree_with_float64_forward_and_backward(backend, dtype):
    generator = torch.Generator().manual_seed(1)
    for V in (17, 64, 257, 1024):
        x, dy = (torch.randn(2, 3, V, generator=generator).to(dtype) for _ in range(2))
        targets = torch.randint(0, V, (2, 3), generator=generator)
        dl = torch.randn(2, 3, generator=generator)
        assert worst_error(x.to(device(backend)), dy, targets, dl) <= LIMIT[dtype]


def test_two_logits_ln3_apart_have_probabilities_a_quarter_and_three_quarters(backend):
    x = torch.tensor([[0.0, math.log(3)]], device=device(backend))
    assert torch.allclose(kernels.softmax(x).cpu(), torch.tensor([[0.25, 0.75]]), atol=1e-6)
    chosen = kernels.log_prob(x, torch.tensor([1], device=x.device))
    assert chosen.item() == pytest.approx(math.log(0.75), abs=1e-6)


def test_the_gradient_of_a_log_prob_is_one_minus_p_at_the_target_and_minus_p_elsewhere(backend):
    x = torch.tensor([[0.0, math.log(3)]], device=device(backend), requires_grad=True)
    kernels.log_prob(x, torch.tensor([0], device=x.device)).sum().backward()
    assert torch.allclose(x.grad.cpu(), torch.tensor([[0.75, -0.75]]), atol=1e-6)


def test_logits_of_a_thousand_do_not_overflow_and_minus_infinity_has_probability_zero(backend):
    rows = [[1000.0, 1000.0, -math.inf], [-1000.0, -1000.0, -math.inf]]
    x = torch.tensor(rows, device=device(backend))
    assert kernels.softmax(x).tolist() == [[0.5, 0.5, 0.0]] * 2
    chosen = kernels.log_prob(x, torch.tensor([0, 1], device=x.device))
    assert chosen.tolist() == pytest.approx([-math.log(2)] * 2, abs=1e-4)


def test_rows_targets_and_gradients_that_do_not_lie_together_give_the_same(backend):
    generator = torch.Generator().manual_seed(2)
    x, dy = (torch.randn(5, 4, 3, generator=generator).to(device(backend)) for _ in range(2))
    targets = torch.randint(0, 5, (4, 3), generator=generator).to(x.device)
    turned = [t.transpose(0, -1) for t in (x, dy, targets, dy[0])]
    found = []
    for x, dy, targets, dl in (turned, [t.contiguous() for t in turned]):
        x = x.detach().requires_grad_()
        y, chosen = kernels.softmax(x), kernels.log_prob(x, targets)
        found.append([y, chosen, *torch.autograd.grad(y, x, dy)])
        found[-1] += torch.autograd.grad(chosen, x, dl)
    for a, b in zip(*found):
        assert torch.allclose(a, b, atol=1e-6)


def test_numpy_gradients_agree_with_finite_differences():
    random, h = np.random.default_rng(3), 1e-6
    x, dy = random.normal(size=(2, 5)), random.normal(size=(2, 5))
    targets, dl = np.array([1, 4]), random.normal(size=2)
    lse = log_prob_numpy(x, targets)[1]
    cases = [(lambda x: (softmax_numpy(x) * dy).sum(),
              softmax_backward_numpy(softmax_numpy(x), dy)),
             (lambda x: (log_prob_numpy(x, targets)[0] * dl).sum(),
              log_prob_backward_numpy(x, targets, lse, dl))]
    bumps = np.eye(10).reshape(10, 2, 5) * h
    for function, gradient in cases:
        slopes = np.array([(function(x + bump) - function(x - bump)) / (2 * h) for bump in bumps])
        assert np.abs(slopes.reshape(2, 5) - gradient).max() < 1e-8


def test_log_prob_keeps_one_number_a_row_for_backward_and_not_the_probabilities():
    logits = torch.randn(4, 8, 100, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        kernels.log_prob(logits, torch.zeros(4, 8, dtype=torch.int64))
    others = [t for t in kept if t.data_ptr() != logits.data_ptr()]
    assert sum(t.numel() for t in others) == 2 * 32  # targets and lse


@pytest.mark.parametrize("call, words", [
    (lambda: kernels.log_prob(torch.zeros(2, 3), torch.tensor([0, 3])),
     "targets 0..3 are not all within 0..2"),
    (lambda: kernels.log_prob(torch.zeros(2, 3), torch.tensor([-1, 0])), "not all within 0..2"),
    (lambda: kernels.log_prob(torch.zeros(2, 3), torch.tensor([[0]])), "float logits"),
    (lambda: kernels.log_prob(torch.zeros(2, 3), torch.tensor([0, 1, 2])), "float logits"),
    (lambda: kernels.log_prob(torch.zeros(1, 3), torch.tensor([0], dtype=torch.int32)), "int64"),
    (lambda: kernels.log_prob(torch.zeros(1, 3).long(), torch.tensor([0])), "float logits"),
    (lambda: kernels.softmax(torch.zeros(3, 0)), "at least one column"),
    (lambda: kernels.softmax(torch.tensor(1.0)), "at least one column"),
    (lambda: kernels.softmax(torch.zeros(2, 3).long()), "float rows"),
    (lambda: kernels.use("cuda"), "choose one of numpy, torch, triton"),
])
def test_what_cannot_be_served_is_one_line_that_names_the_mend(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_triton_without_a_gpu_or_its_interpreter_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setenv("KERNELS", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET=1 .* or use KERNELS=torch"):
        kernels.softmax(torch.zeros(1, 2))
    monkeypatch.setenv("KERNELS", "cupy")
    with pytest.raises(ValueError, match="KERNELS=cupy"):
        kernels.softmax(torch.zeros(1, 2))


def test_use_is_stronger_than_the_environment_and_tells_what_was_forced_before(monkeypatch):
    x = torch.zeros(1)
    monkeypatch.setenv("KERNELS", "numpy")
    assert kernels.choose_backend(x) == "numpy"
    first = kernels.use("torch")
    assert kernels.choose_backend(x) == "torch"
    assert kernels.use(None) == "torch" and kernels.choose_backend(x) == "numpy"
    monkeypatch.delenv("KERNELS")
    assert kernels.choose_backend(x) == "torch"         # on a CPU
    assert kernels.use(first) is None


def test_a_gpu_older_than_triton_serves_gets_pytorch(monkeypatch):
    monkeypatch.delenv("KERNELS", raising=False)
    monkeypatch.setattr(kernels, "_loaded", True)       # no kernel is launched
    gpu = SimpleNamespace(is_cuda=True, device="cuda:1")
    for capability, name in (((7, 5), "torch"), ((8, 0), "triton"), ((12, 0), "triton")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        assert kernels.choose_backend(gpu) == name


WITHOUT_TRITON = """
import os
import sys
sys.modules["triton"] = None  # any import of it fails
import torch
import kernels
from kernels.softmax import softmax_numpy
kernels.softmax(torch.zeros(1, 2))
kernels.attention(*[torch.zeros(1, 1, 3, 4)] * 3)
os.environ.update(TRITON_INTERPRET="1", KERNELS="triton")
try:
    kernels.softmax(torch.zeros(1, 2))
except RuntimeError as error:
    print(error)
"""


def test_importing_kernels_and_using_them_on_a_cpu_never_imports_triton_and_works_without_it(
        tmp_path):
    (tmp_path / "without.py").write_text(WITHOUT_TRITON)
    environment = ENVIRONMENT | {"KERNELS": ""}
    _, printed, errors = run_script(tmp_path / "without.py", env=environment)
    assert "Triton is not installed" in printed, errors
