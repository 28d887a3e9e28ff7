"""Softmax of rows, and the log-probability of one chosen entry of each row.

in    x (..., V) float, targets (...) int64               out   softmax(x) (..., V), log_prob(logits, targets) (...)
"""
import sys
from pathlib import Path

import numpy as np
import torch

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))       # run as a script: find the package this file belongs to
from kernels import choose_backend


# ------------------------------------------------------------------------------------------------- 1 NumPy: the definition
def softmax_numpy(x):
    """y_i = exp(x_i) / sum_j exp(x_j); taking the row's maximum off first changes nothing but the overflow."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward_numpy(y, dy):
    """dx_i = y_i (dy_i - sum_j y_j dy_j)."""
    return y * (dy - (y * dy).sum(-1, keepdims=True))


def log_prob_numpy(logits, targets):
    """log softmax(logits)[target] = logits[target] - lse, lse = log sum_j exp(logits_j). Returns both: lse is all that backward needs."""
    top = logits.max(-1)
    lse = top + np.log(np.exp(logits - top[..., None]).sum(-1))
    return np.take_along_axis(logits, targets[..., None], -1)[..., 0] - lse, lse


def log_prob_backward_numpy(logits, targets, lse, dy):
    """dlogits_i = dy ([i = target] - softmax(logits)_i), the softmax made again from lse."""
    hit = np.arange(logits.shape[-1]) == targets[..., None]
    return dy[..., None] * (hit - np.exp(logits - lse[..., None]))


# ------------------------------------------------------------------------------------------------- 2 PyTorch: the same lines
def softmax_torch(x):
    return torch.softmax(x, -1)


def log_prob_torch(logits, targets):
    lse = logits.logsumexp(-1)
    return logits.gather(-1, targets[..., None])[..., 0] - lse, lse


def log_prob_backward_torch(logits, targets, lse, dy):
    minus = (logits - lse[..., None]).exp_().mul_(-dy[..., None])
    return minus.scatter_add_(-1, targets[..., None], dy[..., None])


# ------------------------------------------------------------------------------------------------- 4 autograd
class Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.from_numpy(softmax_numpy(x.numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        return torch.from_numpy(softmax_backward_numpy(ctx.saved_tensors[0].numpy(), dy.numpy()))


class LogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, backend):
        ctx.backend = backend
        if backend == "numpy":
            y, lse = map(torch.from_numpy, log_prob_numpy(logits.numpy(), targets.numpy()))
        else:
            y, lse = log_prob_torch(logits, targets)
        ctx.save_for_backward(logits, targets, lse)
        return y

    @staticmethod
    def backward(ctx, dy):
        if ctx.backend == "numpy":
            return torch.from_numpy(log_prob_backward_numpy(*(t.numpy() for t in (*ctx.saved_tensors, dy)))), None, None
        return log_prob_backward_torch(*ctx.saved_tensors, dy), None, None


# ------------------------------------------------------------------------------------------------- 5 the public functions
def softmax(x):
    """Softmax over the last axis: x (..., V) -> (..., V)."""
    return Softmax.apply(x) if choose_backend(x) == "numpy" else softmax_torch(x)


def log_prob(logits, targets):
    """log softmax(logits) at the targets, in nats: logits (..., V), targets (...) int64 -> (...)."""
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} do not fit: targets need the shape {tuple(logits.shape[:-1])}")
    return LogProb.apply(logits, targets, choose_backend(logits, targets))
