"""Attention, the FlashAttention way: softmax(q k^T / sqrt(D)) v, tile by tile.

in    q (B, H, Tq, D), k and v (B, H, Tk, D); the queries are the last Tq positions
out   (B, H, Tq, D); no (Tq, Tk) matrix is ever in memory, forward or backward
run   python kernels/attention.py      times, bytes, operations; the plain form, PyTorch's own
see   the same formulas in NumPy, PyTorch, Triton (lessons/03_kernels.md walks along)

A tile of queries meets one tile of keys after another and keeps, a row, the greatest score (top),
the sum of exponentials (total) and the weighted sum of values (acc); a greater score shrinks both
sums (Milakov & Gimelshein 2018, algorithm 3). Backward makes p again from lse = log sum_j exp(s_j).
"""
from __future__ import annotations  # of the kernels: until Triton is loaded, there is no tl

import itertools
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

if not __package__:  # run as a script: find the package this file belongs to
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from kernels import choose_backend, load_triton, to_numpy, to_torch, triton_kernel
from kernels.checks import check_attention, check_chip, for_triton

TILE = 64  # rows and columns of a tile in NumPy; the kernels' tiles stand in BLOCKS
MOST_HEADS = 65535  # of all rows together, in one launch: a grid's second axis ends there


# -------------------------------------------------------------- 1 NumPy: the definition, in tiles
def last_keys_numpy(Tq, Tk, causal, lengths):
    """The last key each query sees: (B or 1, 1, Tq, 1)."""
    length = np.array([Tk]) if lengths is None else lengths  # (B,) or (1,)
    last_key = np.repeat(length[:, None] - 1, Tq, axis=1)  # (B or 1, Tq)
    if causal:
        last_key += np.arange(1 - Tq, 1)  # the last query stands there
    return last_key[:, None, :, None]


def scores_numpy(q, k, first, last_key):
    """s of one tile, its keys counted from first; -inf where a query must not see the key."""
    s = q @ k.swapaxes(2, 3) / q.shape[3] ** 0.5  # (B, H, tile, tile)
    return np.where(np.arange(first, first + s.shape[3]) <= last_key, s, -np.inf)


def attention_numpy(q, k, v, causal, lengths):
    """Returns o (B, H, Tq, D) and lse (B, H, Tq), the only statistic kept for backward."""
    last_key = last_keys_numpy(q.shape[2], k.shape[2], causal, lengths)
    o, lse = np.empty_like(q), np.empty_like(q[..., 0])
    for m in range(0, q.shape[2], TILE):
        rows = slice(m, m + TILE)
        acc = np.zeros_like(q[:, :, rows])  # (B, H, tile, D)
        total = np.zeros_like(q[:, :, rows, :1])  # (B, H, tile, 1)
        top = np.full_like(total, -np.inf)  # (B, H, tile, 1)
        # exercise: meet one tile of keys after another, keeping top, total and acc up to date
        for n in range(0, last_key[:, :, rows].max() + 1, TILE):
            cols = slice(n, n + TILE)
            s = scores_numpy(q[:, :, rows], k[:, :, cols], n, last_key[:, :, rows])
            new_top = np.maximum(top, s.max(3, keepdims=True))
            p = np.exp(s - new_top)
            shrink = np.exp(top - new_top)  # from the old top to the new one
            total = total * shrink + p.sum(3, keepdims=True)
            acc = acc * shrink + p @ v[:, :, cols]
            top = new_top
        o[:, :, rows] = acc / total
        lse[:, :, rows] = (top + np.log(total))[..., 0]
    return o, lse


def attention_backward_numpy(q, k, v, o, lse, do, causal):
    """p = softmax(s) again, from lse; then, with dp = do v^T (Dao 2023, algorithm 2):

    dv = p^T do, ds = p (dp - delta), dq = ds k, dk = ds^T q, delta = sum_j p_j dp_j = o . do.
    """
    (Tq, D), Tk = q.shape[2:], k.shape[2]
    last_key = last_keys_numpy(Tq, Tk, causal, None)
    delta = (o * do).sum(3, keepdims=True)  # (B, H, Tq, 1)
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for n in range(0, Tk, TILE):
        cols = slice(n, n + TILE)
        first_query = max(0, n - (Tk - Tq)) if causal else 0  # earlier ones see none of them
        for m in range(first_query // TILE * TILE, Tq, TILE):
            rows = slice(m, m + TILE)
            # exercise: the five lines of the docstring, on one tile
            s = scores_numpy(q[:, :, rows], k[:, :, cols], n, last_key[:, :, rows])
            p = np.exp(s - lse[:, :, rows, None])  # (B, H, tile, tile)
            dv[:, :, cols] += p.swapaxes(2, 3) @ do[:, :, rows]
            dp = do[:, :, rows] @ v[:, :, cols].swapaxes(2, 3)
            ds = p * (dp - delta[:, :, rows]) / D ** 0.5
            dq[:, :, rows] += ds @ k[:, :, cols]
            dk[:, :, cols] += ds.swapaxes(2, 3) @ q[:, :, rows]
    return dq, dk, dv


# ------------------------------------------------------------------ 2 PyTorch: its fused operator
def attention_torch(q, k, v, causal, lengths):
    # is_causal aligns the first query with the first key: where Tq != Tk the mask is written out,
    # for 512 queries at a time, so that memory stays linear in T
    Tq, Tk = q.shape[2], k.shape[2]
    if lengths is None and (not causal or Tq in (1, Tk)):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal and Tq > 1)
    length = torch.full((1,), Tk, device=q.device) if lengths is None else lengths
    last_key = (length - 1).reshape(-1, 1, 1, 1).repeat(1, 1, Tq, 1)  # as last_keys_numpy
    if causal:
        last_key += torch.arange(1 - Tq, 1, device=q.device)[:, None]
    col = torch.arange(Tk, device=q.device)
    o = [F.scaled_dot_product_attention(rows, k, v, attn_mask=col <= last)
         for rows, last in zip(q.split(512, 2), last_key.split(512, 2))]
    return torch.cat(o, dim=2)


# ---------------------------------------------------------------------- 3 Triton: a program a tile
@triton_kernel
def load_tile(base, start, n_rows, BLOCK: tl.constexpr,
              D: tl.constexpr, BLOCK_D: tl.constexpr, EDGE: tl.constexpr):
    """Rows start .. start + BLOCK of a (n_rows, D) matrix, D padded with zeros to BLOCK_D."""
    row, col = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK_D)[None, :]
    if EDGE:
        row = tl.minimum(row, n_rows - 1 - start)  # past the end the last one again, masked later
    at = base + (start + row) * D + col  # (BLOCK, BLOCK_D)
    if D < BLOCK_D:
        return tl.load(at, mask=col < D, other=0.0)
    return tl.load(at)


@triton_kernel
def store_tile(base, start, n_rows, tile, D: tl.constexpr):
    row = start + tl.arange(0, tile.shape[0])[:, None]
    col = tl.arange(0, tile.shape[1])[None, :]
    tile = tile.to(base.dtype.element_ty)
    tl.store(base + row * D + col, tile, mask=(row < n_rows) & (col < D))


@triton_kernel
def dot(a, b, acc=None):
    """a @ b + acc, added up in float32; of float32 inputs three tf32 products, as exact."""
    return tl.dot(a, b, acc, input_precision="tf32x3")


@triton_kernel
def keys_seen(row, start, Tq, length,
              BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """The last key of each query, the edge before which all of them see all keys, and the stop."""
    last_key, edge, stop = tl.zeros_like(row) + length - 1, length, length
    if CAUSAL:
        last_key = tl.minimum(row + length - Tq, last_key)
        # -1: of the tile behind the edge, met first, each query sees a key (-inf - -inf is nan)
        edge = tl.minimum(start + length - Tq + 1, length) - 1
        stop = tl.minimum(start + length - Tq + BLOCK_M, length)
    return last_key, edge // BLOCK_N * BLOCK_N, stop


@triton_kernel
def see_keys(seen, q, keys, first, stop, last_key, length,
             D: tl.constexpr, BLOCK_N: tl.constexpr, EDGE: tl.constexpr):
    """Queries meet keys first .. stop: the loop of attention_numpy. Only an EDGE has a mask."""
    scale: tl.constexpr = 1.4426950408889634 / D ** 0.5  # exp(x) = exp2(x log2(e))
    acc, total, top = seen
    k_base, v_base = keys
    for start in range(first, stop, BLOCK_N):
        k = load_tile(k_base, start, length, BLOCK_N, D, q.shape[1], EDGE)
        s = dot(q, tl.trans(k))  # (BLOCK_M, BLOCK_N)
        if EDGE:
            inside = start + tl.arange(0, BLOCK_N)[None, :] <= last_key[:, None]
            s = tl.where(inside, s, float("-inf"))
        new_top = tl.maximum(top, tl.max(s, 1) * scale)  # in base 2
        p = tl.math.exp2(s * scale - new_top[:, None])
        shrink = tl.math.exp2(top - new_top)
        # eight sums a row, added up after the loop: so threads need no exchange inside it
        sums = tl.sum(tl.reshape(p, [q.shape[0], BLOCK_N // 8, 8]), 1)
        total = total * shrink[:, None] + sums  # (BLOCK_M, 8)
        v = load_tile(v_base, start, length, BLOCK_N, D, q.shape[1], EDGE)
        acc = dot(p.to(v.dtype), v, acc * shrink[:, None])  # (BLOCK_M, BLOCK_D)
        top = new_top
    return acc, total, top


@triton_kernel
def attention_kernel(q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, lengths_ptr, H, Tq, Tk,
                     D: tl.constexpr, BLOCK_D: tl.constexpr,
                     BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """BLOCK_M queries of one head (Dao 2023, algorithm 1)."""
    start, head = tl.program_id(0) * BLOCK_M, tl.program_id(1).to(tl.int64)
    q_at, k_at, row = head * Tq * D, head * Tk * D, start + tl.arange(0, BLOCK_M)
    length = Tk
    if lengths_ptr is not None:
        length = tl.minimum(tl.load(lengths_ptr + head // H), Tk).to(tl.int32)
    last_key, edge, stop = keys_seen(row, start, Tq, length, BLOCK_M, BLOCK_N, CAUSAL)
    q = load_tile(q_ptr + q_at, start, Tq, BLOCK_M, D, BLOCK_D, True)
    acc = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    total = tl.zeros([BLOCK_M, 8], tl.float32)
    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    seen, keys = (acc, total, top), (k_ptr + k_at, v_ptr + k_at)
    # masked tiles first: fewer values then stay alive in the long loop
    seen = see_keys(seen, q, keys, edge, stop, last_key, length, D, BLOCK_N, True)
    acc, total, top = see_keys(seen, q, keys, 0, edge, last_key, length, D, BLOCK_N, False)
    total = tl.sum(total, 1)
    store_tile(o_ptr + q_at, start, Tq, acc / total[:, None], D)
    lse = top + tl.math.log2(total)  # in base 2, unlike NumPy's
    tl.store(lse_ptr + head * Tq + row, lse, mask=row < Tq)


@triton_kernel
def add_dq(dq, queries, keys, first, stop, last_key, Tk,
           D: tl.constexpr, BLOCK_N: tl.constexpr, EDGE: tl.constexpr):
    scale: tl.constexpr = 1.4426950408889634 / D ** 0.5
    q, do, lse, delta = queries
    k_base, v_base = keys
    for start in range(first, stop, BLOCK_N):
        k = load_tile(k_base, start, Tk, BLOCK_N, D, q.shape[1], EDGE)
        v = load_tile(v_base, start, Tk, BLOCK_N, D, q.shape[1], EDGE)
        p = tl.math.exp2(dot(q, tl.trans(k)) * scale - lse[:, None])  # (BLOCK_M, BLOCK_N)
        if EDGE:
            inside = start + tl.arange(0, BLOCK_N)[None, :] <= last_key[:, None]
            p = tl.where(inside, p, 0.0)
        ds = p * (dot(do, tl.trans(v)) - delta[:, None])
        dq = dot(ds.to(k.dtype), k, dq)
    return dq


@triton_kernel
def dq_kernel(q_ptr, k_ptr, v_ptr, o_ptr, do_ptr, lse_ptr, delta_ptr, dq_ptr, Tq, Tk,
              D: tl.constexpr, BLOCK_D: tl.constexpr,
              BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """dq of BLOCK_M queries, and their delta, which dkdv_kernel reads afterwards."""
    start, head = tl.program_id(0) * BLOCK_M, tl.program_id(1).to(tl.int64)
    q_at, k_at, row = head * Tq * D, head * Tk * D, start + tl.arange(0, BLOCK_M)
    last_key, edge, stop = keys_seen(row, start, Tq, Tk, BLOCK_M, BLOCK_N, CAUSAL)
    do = load_tile(do_ptr + q_at, start, Tq, BLOCK_M, D, BLOCK_D, True)
    o = load_tile(o_ptr + q_at, start, Tq, BLOCK_M, D, BLOCK_D, True)
    delta = tl.sum(o.to(tl.float32) * do.to(tl.float32), 1)  # (BLOCK_M,)
    tl.store(delta_ptr + head * Tq + row, delta, mask=row < Tq)
    lse = tl.load(lse_ptr + head * Tq + row, mask=row < Tq, other=0.0)
    q = load_tile(q_ptr + q_at, start, Tq, BLOCK_M, D, BLOCK_D, True)
    queries, keys = (q, do, lse, delta), (k_ptr + k_at, v_ptr + k_at)
    dq = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    dq = add_dq(dq, queries, keys, edge, stop, last_key, Tk, D, BLOCK_N, True)
    dq = add_dq(dq, queries, keys, 0, edge, last_key, Tk, D, BLOCK_N, False)
    store_tile(dq_ptr + q_at, start, Tq, dq * D ** -0.5, D)


@triton_kernel
def add_dkdv(sums, keys, queries, first, stop, first_query, Tq,
             D: tl.constexpr, BLOCK_M: tl.constexpr, EDGE: tl.constexpr):
    """Everything transposed, a row a key: p^T then is the left factor of dv as it comes."""
    scale: tl.constexpr = 1.4426950408889634 / D ** 0.5
    dk, dv = sums
    k, v = keys
    q_base, do_base, lse_base, delta_base = queries
    for start in range(first, stop, BLOCK_M):
        q = load_tile(q_base, start, Tq, BLOCK_M, D, k.shape[1], EDGE)
        row = start + tl.arange(0, BLOCK_M)
        at = tl.minimum(row, Tq - 1) if EDGE else row
        lse, delta = tl.load(lse_base + at), tl.load(delta_base + at)  # (BLOCK_M,)
        pT = tl.math.exp2(dot(k, tl.trans(q)) * scale - lse[None, :])  # (BLOCK_N, BLOCK_M)
        if EDGE:
            inside = (row >= first_query[:, None]) & (row < Tq)[None, :]
            pT = tl.where(inside, pT, 0.0)
        do = load_tile(do_base, start, Tq, BLOCK_M, D, k.shape[1], EDGE)
        dv = dot(pT.to(do.dtype), do, dv)
        dsT = pT * (dot(v, tl.trans(do)) - delta[None, :])
        dk = dot(dsT.to(q.dtype), q, dk)
    return dk, dv


@triton_kernel
def dkdv_kernel(q_ptr, k_ptr, v_ptr, do_ptr, lse_ptr, delta_ptr, dk_ptr, dv_ptr, Tq, Tk,
                D: tl.constexpr, BLOCK_D: tl.constexpr,
                BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """dk and dv of BLOCK_N keys: the diagonal, the ragged last queries, then the tiles between."""
    start, head = tl.program_id(0) * BLOCK_N, tl.program_id(1).to(tl.int64)
    q_at, k_at, row_at = head * Tq * D, head * Tk * D, head * Tq
    k = load_tile(k_ptr + k_at, start, Tk, BLOCK_N, D, BLOCK_D, True)
    v = load_tile(v_ptr + k_at, start, Tk, BLOCK_N, D, BLOCK_D, True)
    first_query = start + tl.arange(0, BLOCK_N) - Tk  # below 0: all queries see it
    first, for_all = 0, 0
    if CAUSAL:
        first_query += Tq
        first = tl.maximum(start + Tq - Tk, 0) // BLOCK_M * BLOCK_M  # sees any of the keys
        for_all = tl.cdiv(tl.maximum(start + Tq - Tk + BLOCK_N - 1, 0), BLOCK_M) * BLOCK_M
        for_all = tl.minimum(for_all, tl.cdiv(Tq, BLOCK_M) * BLOCK_M)  # from here on, all
    tail = tl.maximum(Tq // BLOCK_M * BLOCK_M, for_all)
    keys, queries = (k, v), (q_ptr + q_at, do_ptr + q_at, lse_ptr + row_at, delta_ptr + row_at)
    zeros = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    sums = (zeros, zeros)
    sums = add_dkdv(sums, keys, queries, first, for_all, first_query, Tq, D, BLOCK_M, True)
    sums = add_dkdv(sums, keys, queries, tail, Tq, first_query, Tq, D, BLOCK_M, True)
    dk, dv = add_dkdv(sums, keys, queries, for_all, tail, first_query, Tq, D, BLOCK_M, False)
    store_tile(dv_ptr + k_at, start, Tk, dv, D)
    store_tile(dk_ptr + k_at, start, Tk, dk * D ** -0.5, D)


# (BLOCK_M queries, BLOCK_N keys, warps): as large as registers and shared memory hold; up to
# D = 128 nothing spills.
BLOCKS = {  # D up to: 32          64             128             256
    ("attention", "half"): ((128, 128, 8), (128, 128, 8), (128, 128, 8), (64, 32, 8)),
    ("dq", "half"): ((128, 32, 4), (128, 32, 4), (128, 64, 8), (64, 32, 8)),
    ("dkdv", "half"): ((32, 128, 4), (32, 128, 8), (16, 128, 8), (16, 64, 8)),
    # more shared memory, larger tensor-core instructions
    ("attention", "half sm_90"): ((128, 128, 8), (128, 128, 8), (128, 128, 8), (64, 32, 8)),
    ("dq", "half sm_90"): ((128, 64, 4), (128, 64, 4), (128, 128, 8), (64, 32, 8)),
    ("dkdv", "half sm_90"): ((32, 128, 4), (64, 64, 4), (32, 128, 8), (16, 64, 8)),
    ("attention", "float32"): ((64, 32, 4), (64, 32, 4), (32, 32, 4), (32, 16, 8)),
    ("dq", "float32"): ((64, 32, 4), (32, 32, 4), (16, 32, 4), (16, 16, 8)),
    ("dkdv", "float32"): ((32, 64, 4), (32, 16, 4), (32, 16, 4), (16, 16, 8)),
}


def constants(name, D, Tq, itemsize, arch):
    """What the kernel "attention", "dq" or "dkdv" is compiled with: (constexprs, num_warps)."""
    half = "half sm_90" if arch in (90, 100) else "half"
    padded = 1 << (D - 1).bit_length()
    column = max(0, padded.bit_length() - 6)
    M, N, warps = BLOCKS[name, "float32" if itemsize == 4 else half][column]
    if Tq <= 16 and name == "attention":  # decoding: few queries, many keys
        M, N, warps = 16, 64 if D <= 128 else 32, 4
    return {"D": D, "BLOCK_D": max(16, padded), "BLOCK_M": M, "BLOCK_N": N}, warps


def specs(head_sizes=(16, 32, 64, 80, 128), dtypes=("fp16", "bf16", "fp32")):
    """Every kernel as the model launches it, to be compiled ahead of time: dicts for measure.py."""
    from kernels.measure import spec
    load_triton(globals())
    launches = (("attention", 1024), ("attention", 1), ("dq", 1024), ("dkdv", 1024))
    found = []
    for dtype, D, (name, Tq), arch in itertools.product(dtypes, head_sizes, launches, (80, 90)):
        block, warps = constants(name, D, Tq, 4 if dtype == "fp32" else 2, arch)
        block["CAUSAL"] = True
        if name == "attention" and Tq > 1:
            block["lengths_ptr"] = None
        found.append(spec(f"{name} D={D} {dtype}" + " decode" * (Tq == 1),
                          globals()[name + "_kernel"], dtype, block, warps,
                          arch=[arch], scores=block["BLOCK_M"] * block["BLOCK_N"]))
    return found


# ------------------------------------------------------------------------------------- 4 autograd
def launch(name, kernel, causal, q, k, *others):
    """Start one program for each head and each tile of its queries (dkdv: of its keys)."""
    (B, H, Tq, D), Tk = q.shape, k.shape[2]
    if B * H > MOST_HEADS:
        axis = 0 if B > 1 else 1  # half the rows at a time; of a single row, half the heads
        for half in (0, 1):
            some = [t.chunk(2, axis)[half] if torch.is_tensor(t) and t.dim() > axis else t
                    for t in (q, k, *others)]
            launch(name, kernel, causal, *some)
        return
    capability = torch.cuda.get_device_capability(q.device) if q.is_cuda else (8, 0)
    check_chip(capability, D)
    block, warps = constants(name, D, Tq, q.element_size(), 10 * capability[0])
    rows, tile = (Tk, block["BLOCK_N"]) if name == "dkdv" else (Tq, block["BLOCK_M"])
    kernel[(-(-rows // tile), B * H)](q, k, *others, Tq, Tk, **block, CAUSAL=causal,
                                      num_warps=warps, num_stages=2, enable_fp_fusion=True)


class Attention(torch.autograd.Function):
    """Joins forward and backward; NumPy and Triton need it, PyTorch's operator has its own."""

    @staticmethod
    def forward(ctx, q, k, v, lengths, causal, backend):
        if backend == "numpy":
            lengths = None if lengths is None else lengths.cpu().numpy()
            o, lse = attention_numpy(*to_numpy(q, k, v), causal, lengths)
            o, lse = to_torch(o, like=q), torch.from_numpy(lse)  # lse: never in half precision
        else:
            o, lse = torch.empty_like(q), torch.empty(q.shape[:3], device=q.device)
            launch("attention", attention_kernel, causal, q, k, v, o, lse, lengths, q.shape[1])
        ctx.causal, ctx.backend = causal, backend
        ctx.save_for_backward(q, k, v, o, lse)
        return o

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, do):
        q, k, v, o, lse = ctx.saved_tensors
        if ctx.backend == "numpy":
            arrays = attention_backward_numpy(*to_numpy(q, k, v, o, lse, do), ctx.causal)
            dq, dk, dv = (to_torch(a, like=q) for a in arrays)
        else:
            do = do.contiguous()
            delta, dq, dk, dv = (torch.empty_like(t) for t in (lse, q, k, v))
            launch("dq", dq_kernel, ctx.causal, q, k, v, o, do, lse, delta, dq)
            launch("dkdv", dkdv_kernel, ctx.causal, q, k, v, do, lse, delta, dk, dv)
        return dq, dk, dv, None, None, None


# -------------------------------------------------------------------------- 5 the public function
def attention(q, k, v, causal=True, lengths=None):
    """softmax(q k^T / sqrt(D)) v for each row and head, float32 sums inside (Vaswani 2017, eq. 1).

    q (B, H, Tq, D); k, v (B, H, Tk, D), one dtype, D up to 256 -> (B, H, Tq, D) of that dtype. The
    queries are the last Tq of the Tk positions; causal: query i sees keys up to its own place.
    lengths (B,) int64: row b has only its first lengths[b] keys and its queries are the last of
    those, so that rows of different length share one KV cache; forward only.
    """
    backend = choose_backend(q, k, v, *([] if lengths is None else [lengths]))
    check_attention(q, k, v, causal, lengths)
    if backend == "torch":
        return attention_torch(q, k, v, causal, lengths)
    given = [for_triton(t) if backend == "triton" else t for t in (q, k, v, lengths)]
    return Attention.apply(*given, causal, backend).to(q.dtype)


if __name__ == "__main__":
    from kernels.measure import attention_times
    attention_times()
