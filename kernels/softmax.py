"""Softmax of rows, and the log-probability of one chosen entry of each row.

in    x (..., V) float; for log_prob logits (..., V) and targets (...) int64
out   softmax(x) (..., V); log_prob(logits, targets) (...), the loss of every stage: -log_prob is cross-entropy
run   python kernels/softmax.py            times, bytes, share of the memory's speed, against the plain forms
see   the same formulas three times: NumPy, PyTorch, Triton; forward and backward. lessons/03_kernels.md walks along.

Both are bound by memory, not arithmetic. The Triton kernels read each number once and write it once; log_prob keeps one number a row for backward,
lse = log sum_j exp(x_j), instead of the (..., V) probabilities.
"""
from __future__ import annotations   # Triton reads the annotations of its kernels; until it is loaded, there is no tl

import sys
from pathlib import Path

import numpy as np
import torch

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))      # run as a script: find the package this file belongs to
from kernels import choose_backend, load_triton, to_numpy, to_torch, triton_kernel

WIDEST = 65536                  # columns a Triton program takes; above 16384 registers begin to spill, which costs time, not accuracy


# -------------------------------------------------------------------------------------------------------- 1 NumPy: the definition
def softmax_numpy(x):
    """y_i = exp(x_i) / sum_j exp(x_j). Taking the row's greatest number off first changes nothing, except that nothing overflows."""
    # exercise: the definition, safe for x = 1000
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward_numpy(y, dy):
    """dx_i = y_i (dy_i - sum_j y_j dy_j), since dy_i/dx_j = y_i ([i = j] - y_j)."""
    # exercise: the vector-Jacobian product, without making the (V, V) Jacobian
    return y * (dy - (y * dy).sum(-1, keepdims=True))


def log_prob_numpy(logits, targets):
    """log softmax(logits)[target] = logits[target] - lse. Returns both (...): lse is all that backward needs."""
    top = logits.max(-1)
    lse = top + np.log(np.exp(logits - top[..., None]).sum(-1))
    return np.take_along_axis(logits, targets[..., None], -1)[..., 0] - lse, lse


def log_prob_backward_numpy(logits, targets, lse, dy):
    """dlogits_i = dy ([i = target] - softmax(logits)_i), the softmax made again from lse."""
    # exercise: the gradient (..., V) of the chosen log-probabilities
    hit = np.arange(logits.shape[-1]) == targets[..., None]              # (..., V)
    return dy[..., None] * (hit - np.exp(logits - lse[..., None]))


# -------------------------------------------------------------------------------------------------------- 2 PyTorch: the same lines
def log_prob_torch(logits, targets):
    lse = logits.logsumexp(-1)
    return logits.gather(-1, targets[..., None])[..., 0] - lse, lse


def log_prob_backward_torch(logits, targets, lse, dy):
    minus = (logits - lse[..., None]).exp_().mul_(-dy[..., None])        # (..., V); in place, so that only one such tensor is made
    return minus.scatter_add_(-1, targets[..., None], dy[..., None])


# -------------------------------------------------------------------------------------------------------- 3 Triton: a program a row
@triton_kernel
def softmax_kernel(x_ptr, y_ptr, n_cols, BLOCK: tl.constexpr):
    """Read once, write once: 2 V numbers a row; the NumPy lines read 5 V and write 3 V. BLOCK is n_cols up to a power of two."""
    row, col = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    at, inside = row * n_cols + col, col < n_cols
    x = tl.load(x_ptr + at, mask=inside, other=float("-inf")).to(tl.float32)     # padding adds exp(-inf) = 0 to the sum
    e = tl.math.exp2(x * 1.4426950408889634 - tl.max(x, axis=0) * 1.4426950408889634)   # exp(x) = exp2(x log2(e)): one fused multiply-add
    tl.store(y_ptr + at, e * (1.0 / tl.sum(e, axis=0)), mask=inside)     # one division a row


@triton_kernel
def softmax_backward_kernel(y_ptr, dy_ptr, dx_ptr, n_cols, BLOCK: tl.constexpr):
    row, col = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    at, inside = row * n_cols + col, col < n_cols
    y = tl.load(y_ptr + at, mask=inside, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(dx_ptr + at, y * (dy - tl.sum(y * dy, axis=0)), mask=inside)


@triton_kernel
def log_prob_kernel(logits_ptr, target_ptr, y_ptr, lse_ptr, n_cols, BLOCK: tl.constexpr):
    row, col = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    x = tl.load(logits_ptr + row * n_cols + col, mask=col < n_cols, other=float("-inf")).to(tl.float32)
    target = tl.load(target_ptr + row)
    known = (target >= 0) & (target < n_cols)
    chosen = tl.load(logits_ptr + row * n_cols + target, mask=known, other=float("nan")).to(tl.float32)   # no such token: nan, not a stray number
    top = tl.max(x, axis=0)
    total = tl.sum(tl.math.exp2(x * 1.4426950408889634 - top * 1.4426950408889634), axis=0)
    lse = top + tl.math.log2(total) * 0.6931471805599453
    tl.store(y_ptr + row, chosen - lse)
    tl.store(lse_ptr + row, lse)


@triton_kernel
def log_prob_backward_kernel(logits_ptr, target_ptr, lse_ptr, dy_ptr, dx_ptr, n_cols, BLOCK: tl.constexpr):
    row, col = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    at, inside = row * n_cols + col, col < n_cols
    target, lse, dy = tl.load(target_ptr + row).to(tl.int32), tl.load(lse_ptr + row), tl.load(dy_ptr + row)
    x = tl.load(logits_ptr + at, mask=inside, other=0.0).to(tl.float32)
    p = tl.math.exp2(x * 1.4426950408889634 - lse * 1.4426950408889634)
    tl.store(dx_ptr + at, tl.where(col == target, dy, 0.0) - dy * p, mask=inside)


def launch(kernel, rows, *tensors, n_cols):
    """Start one program a row: more warps for longer rows, so that a thread holds 8 numbers until the warps run out."""
    if n_cols > WIDEST:
        raise ValueError(f"rows of {n_cols} columns: the Triton kernels take up to {WIDEST}; use KERNELS=torch")
    block = max(128, 1 << (n_cols - 1).bit_length())
    kernel[(rows,)](*tensors, n_cols, BLOCK=block, num_warps=warps_for(block), num_stages=2, enable_fp_fusion=True)


def warps_for(block):
    return 4 if block <= 2048 else 8 if block <= 8192 else 32


def specs(widths=(4096, 8192), dtypes=("fp16", "bf16", "fp32")):
    """Every kernel at the model's vocabulary sizes, to be compiled ahead of time: a list of dicts for kernels/measure.py."""
    load_triton(globals())
    found = []
    for fn in (softmax_kernel, softmax_backward_kernel, log_prob_kernel, log_prob_backward_kernel):
        fixed = {"target_ptr": "*i64", "lse_ptr": "*fp32", "n_cols": "i32"} | ({"y_ptr": "*fp32", "dy_ptr": "*fp32"} if "log_prob" in fn.__name__ else {})
        for dtype, block in [(dtype, block) for dtype in dtypes for block in widths]:
            found.append({"name": f"{fn.__name__[:-7]} V={block} {dtype}", "fn": fn, "constexprs": {"BLOCK": block}, "num_warps": warps_for(block), "num_stages": 2,
                          "signature": {a: fixed.get(a, "*" + dtype) for a in fn.arg_names if a != "BLOCK"}, "divisible": ["n_cols"]})
    return found


# -------------------------------------------------------------------------------------------------------- 4 autograd
class Softmax(torch.autograd.Function):
    """Joins forward and backward. Forward keeps y, which is all that backward needs."""

    @staticmethod
    def forward(ctx, x, backend):
        ctx.backend = backend
        if backend == "numpy":
            y = to_torch(softmax_numpy(*to_numpy(x)), like=x)
        else:
            x = x.contiguous()
            y = torch.empty_like(x)
            launch(softmax_kernel, x.numel() // x.shape[-1], x, y, n_cols=x.shape[-1])
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        y, = ctx.saved_tensors
        if ctx.backend == "numpy":
            return to_torch(softmax_backward_numpy(*to_numpy(y, dy)), like=y), None
        dx = torch.empty_like(y)
        launch(softmax_backward_kernel, y.numel() // y.shape[-1], y, dy.contiguous(), dx, n_cols=y.shape[-1])
        return dx, None


class LogProb(torch.autograd.Function):
    """Joins forward and backward, for PyTorch too: its own log_softmax would keep a (..., V) tensor for backward."""

    @staticmethod
    def forward(ctx, logits, targets, backend):
        ctx.backend = backend
        if backend == "numpy":
            y, lse = (torch.from_numpy(a).to(logits.device) for a in log_prob_numpy(*to_numpy(logits, targets)))
        elif backend == "torch":
            y, lse = log_prob_torch(logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits, targets)
        else:
            logits, targets = logits.contiguous(), targets.contiguous()
            y, lse = (torch.empty(targets.shape, device=logits.device) for _ in range(2))    # float32
            launch(log_prob_kernel, targets.numel(), logits, targets, y, lse, n_cols=logits.shape[-1])
        ctx.save_for_backward(logits, targets, lse)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        logits, targets, lse = ctx.saved_tensors
        if ctx.backend == "numpy":
            dx = to_torch(log_prob_backward_numpy(*to_numpy(logits, targets, lse, dy)), like=logits)
        elif ctx.backend == "torch":
            dx = log_prob_backward_torch(logits, targets, lse, dy).to(logits.dtype)
        else:
            dx = torch.empty_like(logits)
            launch(log_prob_backward_kernel, targets.numel(), logits, targets, lse, dy.contiguous(), dx, n_cols=logits.shape[-1])
        return dx, None, None


# -------------------------------------------------------------------------------------------------------- 5 the public functions
def softmax(x):
    """exp(x_i) / sum_j exp(x_j) over the last axis: x (..., V) float -> (..., V), same dtype. Raises ValueError for an x without columns."""
    if x.dim() == 0 or x.numel() == 0 or not x.is_floating_point():
        raise ValueError(f"softmax needs float rows with at least one column, not {tuple(x.shape)} {x.dtype}")
    backend = choose_backend(x)
    if backend == "torch":
        return torch.softmax(x, -1)
    return Softmax.apply(x, backend) if backend == "numpy" else on_triton(Softmax, x)


def log_prob(logits, targets):
    """log softmax(logits) at the targets, in nats: logits (..., V) float, targets (...) int64 -> (...), float32 also for half precision.

    Raises ValueError for shapes that do not fit and for targets outside 0..V-1 (on a GPU, where looking would stop the queue, these give nan on Triton).
    """
    if logits.shape[:-1] != targets.shape or logits.numel() == 0 or not logits.is_floating_point() or targets.dtype != torch.int64:
        raise ValueError(f"log_prob needs float logits (..., V) and int64 targets (...), not {tuple(logits.shape)} {logits.dtype} and {tuple(targets.shape)} {targets.dtype}")
    backend = choose_backend(logits, targets)
    if not targets.is_cuda and not 0 <= targets.min() <= targets.max() < logits.shape[-1]:
        raise ValueError(f"targets {targets.min()}..{targets.max()} are not all within 0..{logits.shape[-1] - 1}")
    return LogProb.apply(logits, targets, backend) if backend != "triton" else on_triton(LogProb, logits, targets)


def on_triton(function, x, *others):
    """Apply an autograd function on Triton; what Triton cannot take raises ValueError."""
    if x.dtype == torch.float64:
        raise ValueError("the Triton kernels take float32, float16 and bfloat16, not float64: convert with .float(), or use KERNELS=torch")
    if not x.is_cuda and x.dtype == torch.bfloat16:                      # the interpreter computes with the raw bits of bfloat16
        y = function.apply(x.float(), *others, "triton")
        return y.bfloat16() if function is Softmax else y
    return function.apply(x, *others, "triton")


if __name__ == "__main__":
    from kernels.measure import softmax_times
    softmax_times()
