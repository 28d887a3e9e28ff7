"""Attention of queries over keys and values: softmax(q k^T / sqrt(D)) v, without ever holding a (T, T) matrix."""
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))       # run as a script: find the package this file belongs to
from kernels import choose_backend


def visible_numpy(row, col, length, shift, causal):
    see = col < length
    return see & (col <= row + shift) if causal else see


def attention_torch(q, k, v, causal, lengths):
    Tq, Tk = q.shape[2], k.shape[2]
    if lengths is None and (Tq == Tk or not causal):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    length = torch.full((1,), Tk, device=q.device) if lengths is None else lengths     # (B,) or (1,)
    col = torch.arange(Tk, device=q.device)                               # (Tk,)
    mask = col < length[:, None, None]                                    # (B, 1, Tk)
    if causal:
        row = length[:, None] - Tq + torch.arange(Tq, device=q.device)    # (B, Tq): the place of each query among the keys
        mask = mask & (col <= row[:, :, None])                            # (B, Tq, Tk)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])


def attention(q, k, v, causal=True, lengths=None):
    """Attention of q (B, H, Tq, D) over k, v (B, H, Tk, D) -> (B, H, Tq, D); the queries are the last Tq positions."""
    choose_backend(q, k, v)
    return attention_torch(q, k, v, causal, lengths)
