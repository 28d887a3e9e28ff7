"""Softmax of rows, and the log-probability of one chosen entry of each row.

in    x (..., V) float; for log_prob logits (..., V) and targets (...) int64
out   softmax(x) (..., V); log_prob(logits, targets) (...): -log_prob is cross-entropy
run   python kernels/softmax.py      times, bytes, share of the memory's speed; the plain forms too
see   the same formulas in NumPy, PyTorch, Triton, forward and backward (lessons/03_kernels.md)

Memory binds both, not arithmetic. The kernels read each number once and write it once; log_prob
keeps one number a row for backward, lse = log sum_j exp(x_j), not the (..., V) probabilities.
"""
from __future__ import annotations  # of the kernels: until Triton is loaded, there is no tl

import sys
from pathlib import Path

import numpy as np
import torch

if not __package__:  # run as a script: find the package this file belongs to
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from kernels import choose_backend, load_triton, to_numpy, to_torch, triton_kernel
from kernels.checks import check_log_prob, check_softmax, for_triton

WIDEST = 65536  # columns a Triton program takes; above 16384 registers spill, which costs time


# ------------------------------------------------------------------------ 1 NumPy: the definition
def softmax_numpy(x):
    """y_i = exp(x_i) / sum_j exp(x_j); less the row's greatest number, so that none overflows."""
    # exercise: the definition, safe for x = 1000
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward_numpy(y, dy):
    """dx_i = y_i (dy_i - sum_j y_j dy_j), since dy_i/dx_j = y_i ([i = j] - y_j)."""
    # exercise: the vector-Jacobian product, without making the (V, V) Jacobian
    return y * (dy - (y * dy).sum(-1, keepdims=True))


def log_prob_numpy(logits, targets):
    """log softmax(logits)[target] = logits[target] - lse. Returns lse too, for backward."""
    top = logits.max(-1)  # (...)
    total = np.exp(logits - top[..., None]).sum(-1)  # (...)
    lse = top + np.log(total)
    chosen = np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    return chosen - lse, lse


def log_prob_backward_numpy(logits, targets, lse, dy):
    """dlogits_i = dy ([i = target] - softmax(logits)_i), the softmax made again from lse."""
    # exercise: the gradient (..., V) of the chosen log-probabilities
    hit = np.arange(logits.shape[-1]) == targets[..., None]  # (..., V)
    p = np.exp(logits - lse[..., None])  # (..., V)
    return dy[..., None] * (hit - p)


# ----------------------------------------------------------------------- 2 PyTorch: the same lines
def log_prob_torch(logits, targets):
    lse = logits.logsumexp(-1)
    chosen = logits.gather(-1, targets[..., None])[..., 0]
    return chosen - lse, lse


def log_prob_backward_torch(logits, targets, lse, dy):
    p = (logits - lse[..., None]).exp_()  # (..., V), the only such tensor
    return p.mul_(-dy[..., None]).scatter_add_(-1, targets[..., None], dy[..., None])


# ----------------------------------------------------------------------- 3 Triton: a program a row
@triton_kernel
def softmax_kernel(x_ptr, y_ptr, n_cols, BLOCK: tl.constexpr):
    """Read once, write once: 2 V numbers a row; the NumPy lines read 5 V and write 3 V."""
    log2_e: tl.constexpr = 1.4426950408889634  # exp(x) = exp2(x log2(e))
    # exercise: load the row, its padding as -inf, and store exp over the sum of exp
    row, col = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)  # BLOCK: a power of two
    at, inside = row * n_cols + col, col < n_cols
    x = tl.load(x_ptr + at, mask=inside, other=float("-inf")).to(tl.float32)
    e = tl.math.exp2(x * log2_e - tl.max(x, axis=0) * log2_e)  # padding: exp(-inf) = 0
    tl.store(y_ptr + at, e * (1.0 / tl.sum(e, axis=0)), mask=inside)  # one division a row


@triton_kernel
def softmax_backward_kernel(y_ptr, dy_ptr, dx_ptr, n_cols, BLOCK: tl.constexpr):
    row, col = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    at, inside = row * n_cols + col, col < n_cols
    y = tl.load(y_ptr + at, mask=inside, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + at, mask=inside, other=0.0).to(tl.float32)
    dx = y * (dy - tl.sum(y * dy, axis=0))
    tl.store(dx_ptr + at, dx, mask=inside)


@triton_kernel
def log_prob_kernel(logits_ptr, target_ptr, y_ptr, lse_ptr, n_cols, BLOCK: tl.constexpr):
    log2_e: tl.constexpr = 1.4426950408889634
    row, col = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    at, inside = row * n_cols + col, col < n_cols
    logits = tl.load(logits_ptr + at, mask=inside, other=float("-inf")).to(tl.float32)
    target = tl.load(target_ptr + row)
    known = (target >= 0) & (target < n_cols)  # else nan, not a stray number
    chosen = tl.load(logits_ptr + row * n_cols + target, mask=known, other=float("nan"))
    top = tl.max(logits, axis=0)
    total = tl.sum(tl.math.exp2(logits * log2_e - top * log2_e), axis=0)
    lse = top + tl.math.log2(total) * 0.6931471805599453  # log(x) = log2(x) log(2)
    tl.store(y_ptr + row, chosen.to(tl.float32) - lse)
    tl.store(lse_ptr + row, lse)


@triton_kernel
def log_prob_backward_kernel(logits_ptr, target_ptr, lse_ptr, dy_ptr, dx_ptr, n_cols,
                             BLOCK: tl.constexpr):
    log2_e: tl.constexpr = 1.4426950408889634
    row, col = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    at, inside = row * n_cols + col, col < n_cols
    logits = tl.load(logits_ptr + at, mask=inside, other=0.0).to(tl.float32)
    target = tl.load(target_ptr + row).to(tl.int32)
    lse, dy = tl.load(lse_ptr + row), tl.load(dy_ptr + row)
    p = tl.math.exp2(logits * log2_e - lse * log2_e)
    dx = tl.where(col == target, dy, 0.0) - dy * p
    tl.store(dx_ptr + at, dx, mask=inside)


def launch(kernel, x, *others):
    """Start one program for each row of x, with more warps for longer rows."""
    n_cols = x.shape[-1]
    if n_cols > WIDEST:
        raise ValueError(f"rows of {n_cols} columns: Triton takes {WIDEST}; use KERNELS=torch")
    block = max(128, 1 << (n_cols - 1).bit_length())
    kernel[(x.numel() // n_cols,)](x, *others, n_cols, BLOCK=block, num_warps=warps_for(block),
                                   num_stages=2, enable_fp_fusion=True)


def warps_for(block):
    if block <= 2048:
        return 4
    return 8 if block <= 8192 else 32


def specs(widths=(4096, 8192), dtypes=("fp16", "bf16", "fp32")):
    """Every kernel as it is launched, to be compiled ahead of time: dicts for measure.py."""
    from kernels.measure import spec
    load_triton(globals())
    names = ("softmax", "softmax_backward", "log_prob", "log_prob_backward")
    return [spec(f"{name} V={block} {dtype}", globals()[name + "_kernel"], dtype,
                 {"BLOCK": block}, warps_for(block), divisible=["n_cols"])
            for name in names for dtype in dtypes for block in widths]


# ------------------------------------------------------------------------------------- 4 autograd
class Softmax(torch.autograd.Function):
    """Joins forward and backward. Forward keeps y, which is all that backward needs."""

    @staticmethod
    def forward(ctx, x, backend):
        if backend == "numpy":
            y = to_torch(softmax_numpy(*to_numpy(x)), like=x)
        else:
            y = torch.empty_like(x)
            launch(softmax_kernel, x, y)
        ctx.backend = backend
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        y, = ctx.saved_tensors
        if ctx.backend == "numpy":
            return to_torch(softmax_backward_numpy(*to_numpy(y, dy)), like=y), None
        dx = torch.empty_like(y)
        launch(softmax_backward_kernel, y, dy.contiguous(), dx)
        return dx, None


class LogProb(torch.autograd.Function):
    """For PyTorch too: its own log_softmax would keep a (..., V) tensor for backward."""

    @staticmethod
    def forward(ctx, logits, targets, backend):
        if backend == "numpy":
            y, lse = map(torch.from_numpy, log_prob_numpy(*to_numpy(logits, targets)))
            y, lse = y.to(logits.device), lse.to(logits.device)
        elif backend == "torch":
            half = logits.dtype in (torch.float16, torch.bfloat16)
            y, lse = log_prob_torch(logits.float() if half else logits, targets)
        else:
            y = torch.empty(targets.shape, device=logits.device)  # float32
            lse = torch.empty_like(y)
            launch(log_prob_kernel, logits, targets, y, lse)
        ctx.backend = backend
        ctx.save_for_backward(logits, targets, lse)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        logits, targets, lse = ctx.saved_tensors
        if ctx.backend == "numpy":
            dx = log_prob_backward_numpy(*to_numpy(logits, targets, lse, dy))
            dx = to_torch(dx, like=logits)
        elif ctx.backend == "torch":
            dx = log_prob_backward_torch(logits, targets, lse, dy).to(logits.dtype)
        else:
            dx = torch.empty_like(logits)
            launch(log_prob_backward_kernel, logits, targets, lse, dy.contiguous(), dx)
        return dx, None, None


# ------------------------------------------------------------------------- 5 the public functions
def softmax(x):
    """exp(x_i) / sum_j exp(x_j) over the last axis: x (..., V) float -> (..., V), same dtype."""
    backend = choose_backend(x)
    check_softmax(x)
    if backend == "torch":
        return torch.softmax(x, -1)
    given = for_triton(x) if backend == "triton" else x
    return Softmax.apply(given, backend).to(x.dtype)


def log_prob(logits, targets):
    """log softmax(logits) at the targets, in nats; float32 for half precision too.

    logits (..., V) float, targets (...) int64 -> (...). Targets outside 0..V-1 raise ValueError; on
    a GPU, where looking would stop the queue, Triton gives nan for them.
    """
    backend = choose_backend(logits, targets)
    check_log_prob(logits, targets)
    if backend == "triton":
        logits, targets = for_triton(logits), for_triton(targets)
    return LogProb.apply(logits, targets, backend)


if __name__ == "__main__":
    from kernels.measure import softmax_times
    softmax_times()
