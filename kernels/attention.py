"""Attention, the FlashAttention way: softmax(q k^T / sqrt(D)) v, tile by tile, no (T, T) matrix in memory, forward and backward.

in    q (B, H, Tq, D), k and v (B, H, Tk, D); the queries are the last Tq positions
out   (B, H, Tq, D)
run   python kernels/attention.py          times, bytes, operations, against the plain form and PyTorch's own
see   the same formulas three times: NumPy to step through, PyTorch for the CPU, Triton for the GPU. lessons/03_kernels.md walks along.

The plain form makes a (Tq, Tk) matrix of scores, its softmax, and a product. Here a tile of queries meets one tile of keys after another and keeps
three things a row: the greatest score so far (top), the sum of exponentials (total) and the weighted sum of values (acc). A greater score shrinks
the other two (Milakov & Gimelshein 2018, algorithm 3). Backward makes each tile of probabilities again from q, k and one number a row,
lse = log sum_j exp(s_j) (Dao et al. 2022; Dao 2023, algorithms 1 and 2).
"""
from __future__ import annotations   # Triton reads the annotations of its kernels; until it is loaded, there is no tl

import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))      # run as a script: find the package this file belongs to
from kernels import choose_backend, load_triton, to_numpy, to_torch, triton_kernel

TILE = 64                       # rows and columns of a tile in NumPy; the kernels' tiles stand in BLOCKS


# -------------------------------------------------------------------------------------------------------- 1 NumPy: the definition, in tiles
def last_keys_numpy(Tq, Tk, causal, lengths):
    """The last key each query sees: (B or 1, 1, Tq, 1). Query i of a row with `length` keys stands at place length - Tq + i among them."""
    length = np.array([Tk]) if lengths is None else lengths              # (B,) or (1,)
    place = length[:, None] - (Tq if causal else 1) + np.arange(Tq) * causal   # (B, Tq); not causal: the last key, for every query
    return place[:, None, :, None]


def attention_numpy(q, k, v, causal, lengths):
    """Returns o (B, H, Tq, D) and lse (B, H, Tq), the only statistic kept for backward."""
    (Tq, D), Tk = q.shape[2:], k.shape[2]
    last_key = last_keys_numpy(Tq, Tk, causal, lengths)
    o, lse = np.empty_like(q), np.empty_like(q[..., 0])
    for m in range(0, Tq, TILE):
        rows = slice(m, m + TILE)
        acc = np.zeros_like(q[:, :, rows])                               # (B, H, tile, D)
        total = np.zeros_like(q[:, :, rows, :1])                         # (B, H, tile, 1)
        top = np.full_like(total, -np.inf)                               # (B, H, tile, 1)
        # exercise: meet one tile of keys after another, keeping top, total and acc up to date
        for n in range(0, last_key[:, :, rows].max() + 1, TILE):
            s = q[:, :, rows] @ k[:, :, n:n + TILE].swapaxes(2, 3) / math.sqrt(D)          # (B, H, tile, tile)
            s = np.where(np.arange(n, n + s.shape[3]) <= last_key[:, :, rows], s, -np.inf)
            new_top = np.maximum(top, s.max(3, keepdims=True))
            p = np.exp(s - new_top)
            shrink = np.exp(top - new_top)                               # what was summed under the old top, under the new one
            total = total * shrink + p.sum(3, keepdims=True)
            acc = acc * shrink + p @ v[:, :, n:n + TILE]
            top = new_top
        o[:, :, rows] = acc / total
        lse[:, :, rows] = (top + np.log(total))[..., 0]
    return o, lse


def attention_backward_numpy(q, k, v, o, lse, do, causal):
    """With p = softmax(s) made again from lse: dv = p^T do, dp = do v^T, ds = p (dp - delta), dq = ds k, dk = ds^T q (Dao 2023, algorithm 2).
    delta = sum_j p_j dp_j, and that is the row sum of o * do: the softmax's backward needs no second look at the row."""
    (Tq, D), Tk = q.shape[2:], k.shape[2]
    last_key = last_keys_numpy(Tq, Tk, causal, None)
    delta = (o * do).sum(3, keepdims=True)                               # (B, H, Tq, 1)
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for n in range(0, Tk, TILE):
        cols = slice(n, n + TILE)
        for m in range(max(0, n - (Tk - Tq)) // TILE * TILE if causal else 0, Tq, TILE):   # tiles of queries that see these keys
            rows = slice(m, m + TILE)
            # exercise: the five lines of the docstring, on one tile
            s = q[:, :, rows] @ k[:, :, cols].swapaxes(2, 3) / math.sqrt(D)                # (B, H, tile, tile)
            p = np.exp(s - lse[:, :, rows, None]) * (np.arange(n, n + s.shape[3]) <= last_key[:, :, rows])
            dv[:, :, cols] += p.swapaxes(2, 3) @ do[:, :, rows]
            ds = p * (do[:, :, rows] @ v[:, :, cols].swapaxes(2, 3) - delta[:, :, rows]) / math.sqrt(D)
            dq[:, :, rows] += ds @ k[:, :, cols]
            dk[:, :, cols] += ds.swapaxes(2, 3) @ q[:, :, rows]
    return dq, dk, dv


# -------------------------------------------------------------------------------------------------------- 2 PyTorch: its fused operator
def attention_torch(q, k, v, causal, lengths):
    """scaled_dot_product_attention also works in tiles; autograd knows its backward. Its is_causal aligns the first query with the first
    key, so where Tq != Tk the mask is written out, for 512 queries at a time: memory stays linear in T."""
    Tq, Tk = q.shape[2], k.shape[2]
    if lengths is None and (not causal or Tq in (1, Tk)):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal and Tq > 1)
    length = torch.full((1,), Tk, device=q.device) if lengths is None else lengths        # (B,) or (1,)
    col, parts = torch.arange(Tk, device=q.device), []                                    # (Tk,)
    for part in q.split(512, dim=2):
        place = length[:, None] - (Tq if causal else 1) + torch.arange(part.shape[2], device=q.device) * causal   # (B, part): last key seen
        parts.append(F.scaled_dot_product_attention(part, k, v, attn_mask=col <= place[:, None, :, None]))
        Tq -= 512
    return torch.cat(parts, dim=2)


# -------------------------------------------------------------------------------------------------------- 3 Triton: a program a tile
@triton_kernel
def load_tile(base, start, n_rows, BLOCK: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, EDGE: tl.constexpr):
    """Rows start .. start + BLOCK of a (n_rows, D) matrix. D is padded with zeros to BLOCK_D, a power of two. At an EDGE, rows past the end
    repeat the last one: finite numbers, which the mask takes out of every sum (a repeated row costs less than a conditional load)."""
    row, col = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK_D)[None, :]
    if EDGE:
        row = tl.minimum(row, n_rows - 1 - start)
    at = base + (start + row) * D + col                                  # (BLOCK, BLOCK_D)
    if D < BLOCK_D:
        return tl.load(at, mask=col < D, other=0.0)
    return tl.load(at)


@triton_kernel
def store_tile(base, start, n_rows, tile, D: tl.constexpr):
    row, col = start + tl.arange(0, tile.shape[0])[:, None], tl.arange(0, tile.shape[1])[None, :]
    tl.store(base + row * D + col, tile.to(base.dtype.element_ty), mask=(row < n_rows) & (col < D))


@triton_kernel
def dot(a, b, acc=None):
    """a @ b + acc on the tensor cores, added up in float32. float32 inputs are split into three tf32 products, as exact as float32."""
    return tl.dot(a, b, acc, input_precision="tf32x3")


@triton_kernel
def see_keys(acc, total, top, q, k_base, v_base, first, stop, last_key, length, scale, D: tl.constexpr, BLOCK_N: tl.constexpr, EDGE: tl.constexpr):
    """One tile of queries meets keys first .. stop; the loop of attention_numpy. Only at an EDGE (the diagonal, the last keys) is there a mask."""
    for start in range(first, stop, BLOCK_N):
        k = load_tile(k_base, start, length, BLOCK_N, D, q.shape[1], EDGE)
        s = dot(q, tl.trans(k))                                          # (BLOCK_M, BLOCK_N)
        if EDGE:
            s = tl.where(start + tl.arange(0, BLOCK_N)[None, :] <= last_key[:, None], s, float("-inf"))
        new_top = tl.maximum(top, tl.max(s, 1) * scale)                  # in base 2: scale holds log2(e), as exp(x) = exp2(x log2(e))
        p = tl.math.exp2(s * scale - new_top[:, None])
        shrink = tl.math.exp2(top - new_top)
        # eight sums a row, added up after the loop: the sum then needs no exchange between threads inside it
        total = total * shrink[:, None] + tl.sum(tl.reshape(p, [q.shape[0], BLOCK_N // 8, 8]), 1)
        v = load_tile(v_base, start, length, BLOCK_N, D, q.shape[1], EDGE)
        acc = dot(p.to(v.dtype), v, acc * shrink[:, None])               # (BLOCK_M, BLOCK_D)
        top = new_top
    return acc, total, top


@triton_kernel
def attention_kernel(q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, lengths_ptr, H, Tq, Tk,
                     D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """One program: BLOCK_M queries of one head (Dao 2023, algorithm 1). The masked tiles come first: fewer values stay alive in the long loop."""
    scale: tl.constexpr = 1.4426950408889634 / D ** 0.5                  # log2(e) / sqrt(D); no argument: torch.compile would pass it as float64
    start, head = tl.program_id(0) * BLOCK_M, tl.program_id(1).to(tl.int64)
    q_at, k_at, row = head * Tq * D, head * Tk * D, start + tl.arange(0, BLOCK_M)
    length = Tk
    if lengths_ptr is not None:
        length = tl.minimum(tl.load(lengths_ptr + head // H), Tk).to(tl.int32)
    last_key, for_all, stop = tl.zeros_like(row) + length - 1, length, length
    if CAUSAL:
        last_key = tl.minimum(row + length - Tq, last_key)
        for_all = tl.minimum(start + length - Tq + 1, length)            # keys that every query of this tile sees
        stop = tl.minimum(start + length - Tq + BLOCK_M, length)         # keys that any of them sees
    edge = for_all // BLOCK_N * BLOCK_N
    q = load_tile(q_ptr + q_at, start, Tq, BLOCK_M, D, BLOCK_D, True)
    acc = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    total = tl.zeros([BLOCK_M, 8], tl.float32)
    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    acc, total, top = see_keys(acc, total, top, q, k_ptr + k_at, v_ptr + k_at, edge, stop, last_key, length, scale, D, BLOCK_N, True)
    acc, total, top = see_keys(acc, total, top, q, k_ptr + k_at, v_ptr + k_at, 0, edge, last_key, length, scale, D, BLOCK_N, False)
    sums = tl.sum(total, 1)
    store_tile(o_ptr + q_at, start, Tq, acc / sums[:, None], D)
    tl.store(lse_ptr + head * Tq + row, top + tl.math.log2(sums), mask=row < Tq)          # in base 2, unlike NumPy's


@triton_kernel
def add_dq(dq, q, do, lse, delta, k_base, v_base, first, stop, last_key, Tk, scale, D: tl.constexpr, BLOCK_N: tl.constexpr, EDGE: tl.constexpr):
    for start in range(first, stop, BLOCK_N):
        k = load_tile(k_base, start, Tk, BLOCK_N, D, q.shape[1], EDGE)
        v = load_tile(v_base, start, Tk, BLOCK_N, D, q.shape[1], EDGE)
        p = tl.math.exp2(dot(q, tl.trans(k)) * scale - lse[:, None])     # (BLOCK_M, BLOCK_N)
        if EDGE:
            p = tl.where(start + tl.arange(0, BLOCK_N)[None, :] <= last_key[:, None], p, 0.0)
        ds = p * (dot(do, tl.trans(v)) - delta[:, None])
        dq = dot(ds.to(k.dtype), k, dq)
    return dq


@triton_kernel
def dq_kernel(q_ptr, k_ptr, v_ptr, o_ptr, do_ptr, lse_ptr, delta_ptr, dq_ptr, Tq, Tk,
              D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """dq of BLOCK_M queries, and their delta, which dkdv_kernel reads afterwards."""
    scale: tl.constexpr = 1.4426950408889634 / D ** 0.5                  # log2(e) / sqrt(D)
    start, head = tl.program_id(0) * BLOCK_M, tl.program_id(1).to(tl.int64)
    q_at, k_at, row = head * Tq * D, head * Tk * D, start + tl.arange(0, BLOCK_M)
    last_key, for_all, stop = tl.zeros_like(row) + Tk - 1, Tk, Tk
    if CAUSAL:
        last_key = tl.minimum(row + Tk - Tq, last_key)
        for_all = tl.minimum(start + Tk - Tq + 1, Tk)
        stop = tl.minimum(start + Tk - Tq + BLOCK_M, Tk)
    edge = for_all // BLOCK_N * BLOCK_N
    do = load_tile(do_ptr + q_at, start, Tq, BLOCK_M, D, BLOCK_D, True)
    o = load_tile(o_ptr + q_at, start, Tq, BLOCK_M, D, BLOCK_D, True)
    delta = tl.sum(o.to(tl.float32) * do.to(tl.float32), 1)              # (BLOCK_M,)
    tl.store(delta_ptr + head * Tq + row, delta, mask=row < Tq)
    lse = tl.load(lse_ptr + head * Tq + row, mask=row < Tq, other=0.0)
    q = load_tile(q_ptr + q_at, start, Tq, BLOCK_M, D, BLOCK_D, True)
    dq = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    dq = add_dq(dq, q, do, lse, delta, k_ptr + k_at, v_ptr + k_at, edge, stop, last_key, Tk, scale, D, BLOCK_N, True)
    dq = add_dq(dq, q, do, lse, delta, k_ptr + k_at, v_ptr + k_at, 0, edge, last_key, Tk, scale, D, BLOCK_N, False)
    store_tile(dq_ptr + q_at, start, Tq, dq * (scale * 0.6931471805599453), D)            # scale without log2(e): 1 / sqrt(D)


@triton_kernel
def add_dkdv(dk, dv, k, v, q_base, do_base, lse_base, delta_base, first, stop, first_query, Tq, scale, D: tl.constexpr, BLOCK_M: tl.constexpr, EDGE: tl.constexpr):
    """Everything transposed, a row a key: p^T then is the left factor of dv as it comes."""
    for start in range(first, stop, BLOCK_M):
        q = load_tile(q_base, start, Tq, BLOCK_M, D, k.shape[1], EDGE)
        row = start + tl.arange(0, BLOCK_M)
        at = tl.minimum(row, Tq - 1) if EDGE else row
        lse, delta = tl.load(lse_base + at), tl.load(delta_base + at)    # (BLOCK_M,)
        pT = tl.math.exp2(dot(k, tl.trans(q)) * scale - lse[None, :])    # (BLOCK_N, BLOCK_M)
        if EDGE:
            pT = tl.where((row >= first_query[:, None]) & (row < Tq)[None, :], pT, 0.0)
        do = load_tile(do_base, start, Tq, BLOCK_M, D, k.shape[1], EDGE)
        dv = dot(pT.to(do.dtype), do, dv)
        dsT = pT * (dot(v, tl.trans(do)) - delta[None, :])
        dk = dot(dsT.to(q.dtype), q, dk)
    return dk, dv


@triton_kernel
def dkdv_kernel(q_ptr, k_ptr, v_ptr, do_ptr, lse_ptr, delta_ptr, dk_ptr, dv_ptr, Tq, Tk,
                D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """dk and dv of BLOCK_N keys: the diagonal, the ragged last queries, then all tiles between, which need no mask."""
    scale: tl.constexpr = 1.4426950408889634 / D ** 0.5                  # log2(e) / sqrt(D)
    start, head = tl.program_id(0) * BLOCK_N, tl.program_id(1).to(tl.int64)
    q_at, k_at, row_at = head * Tq * D, head * Tk * D, head * Tq
    k = load_tile(k_ptr + k_at, start, Tk, BLOCK_N, D, BLOCK_D, True)
    v = load_tile(v_ptr + k_at, start, Tk, BLOCK_N, D, BLOCK_D, True)
    first_query = start + tl.arange(0, BLOCK_N) - Tk                     # not causal: below 0, every query sees every key
    first, for_all = 0, 0
    if CAUSAL:
        first_query += Tq
        first = tl.maximum(start + Tq - Tk, 0) // BLOCK_M * BLOCK_M      # the first tile of queries that sees any of these keys
        for_all = tl.cdiv(tl.maximum(start + Tq - Tk + BLOCK_N - 1, 0), BLOCK_M) * BLOCK_M   # from here on, they see all of them
        for_all = tl.minimum(for_all, tl.cdiv(Tq, BLOCK_M) * BLOCK_M)
    tail = tl.maximum(Tq // BLOCK_M * BLOCK_M, for_all)
    dk = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    dv = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    q_ptr, do_ptr, lse_ptr, delta_ptr = q_ptr + q_at, do_ptr + q_at, lse_ptr + row_at, delta_ptr + row_at
    dk, dv = add_dkdv(dk, dv, k, v, q_ptr, do_ptr, lse_ptr, delta_ptr, first, for_all, first_query, Tq, scale, D, BLOCK_M, True)
    dk, dv = add_dkdv(dk, dv, k, v, q_ptr, do_ptr, lse_ptr, delta_ptr, tail, Tq, first_query, Tq, scale, D, BLOCK_M, True)
    dk, dv = add_dkdv(dk, dv, k, v, q_ptr, do_ptr, lse_ptr, delta_ptr, for_all, tail, first_query, Tq, scale, D, BLOCK_M, False)
    store_tile(dv_ptr + k_at, start, Tk, dv, D)
    store_tile(dk_ptr + k_at, start, Tk, dk * (scale * 0.6931471805599453), D)            # scale without log2(e): 1 / sqrt(D)


# (BLOCK_M queries, BLOCK_N keys, warps) for half precision, by padded head size: as large as registers and shared memory hold without spilling.
BLOCKS = {"attention": {32: (128, 128, 8), 64: (128, 128, 8), 128: (128, 128, 8), 256: (64, 32, 8)},
          "dq": {32: (128, 32, 4), 64: (128, 32, 4), 128: (128, 64, 8), 256: (64, 32, 8)},
          "dkdv": {32: (32, 128, 4), 64: (32, 128, 8), 128: (16, 128, 8), 256: (16, 64, 8)}}
BLOCKS_90 = {"dq": {32: (128, 64, 4), 64: (128, 64, 4), 128: (128, 128, 8)},             # more shared memory, larger tensor-core instructions
             "dkdv": {64: (64, 64, 4), 128: (32, 128, 8)}}
BLOCKS_FLOAT32 = {"attention": {32: (64, 32, 4), 64: (64, 32, 4), 128: (32, 32, 4), 256: (32, 16, 8)},
                  "dq": {32: (64, 32, 4), 64: (32, 32, 4), 128: (16, 32, 4), 256: (16, 16, 8)},
                  "dkdv": {32: (32, 64, 4), 64: (32, 16, 4), 128: (32, 16, 4), 256: (16, 16, 8)}}


def constants(kernel, D, Tq, itemsize, arch):
    """The compile-time arguments of a kernel: kernel "attention", "dq" or "dkdv"; arch 80, 90, ... -> (dict of constexprs, num_warps)."""
    size = max(32, 1 << (D - 1).bit_length())
    M, N, warps = BLOCKS_FLOAT32[kernel][size] if itemsize == 4 else BLOCKS[kernel][size]
    if itemsize == 2 and arch in (90, 100):
        M, N, warps = BLOCKS_90.get(kernel, {}).get(size, (M, N, warps))
    if Tq <= 16 and kernel == "attention":                               # decoding: one new query, long past
        M, N, warps = 16, 64 if size < 256 else 32, 4
    return {"D": D, "BLOCK_D": max(16, 1 << (D - 1).bit_length()), "BLOCK_M": M, "BLOCK_N": N}, warps


def specs(head_sizes=(16, 32, 64, 80, 128), dtypes=("fp16", "bf16", "fp32")):
    """Every kernel as the model launches it, to be compiled ahead of time: a list of dicts for kernels/measure.py."""
    load_triton(globals())
    found, kernels = [], {"attention": attention_kernel, "dq": dq_kernel, "dkdv": dkdv_kernel}
    numbers = {"H": "i32", "Tq": "i32", "Tk": "i32", "lse_ptr": "*fp32", "delta_ptr": "*fp32", "lengths_ptr": "*i64"}
    for dtype, D, (name, fn), arch in [(t, D, item, a) for t in dtypes for D in head_sizes for item in kernels.items() for a in (80, 90)]:
        for Tq in (1024, 1) if name == "attention" else (1024,):
            constexprs, warps = constants(name, D, Tq, 4 if dtype == "fp32" else 2, arch)
            constexprs["CAUSAL"] = True
            if name == "attention" and Tq > 1:
                constexprs["lengths_ptr"] = None
            found.append({"name": f"{name} D={D} {dtype}" + " decode" * (Tq == 1), "fn": fn, "arch": [arch], "constexprs": constexprs, "num_warps": warps, "num_stages": 2,
                          "signature": {a: numbers.get(a, "*" + dtype) for a in fn.arg_names if a not in constexprs}, "scores": constexprs["BLOCK_M"] * constexprs["BLOCK_N"]})
    return found


# -------------------------------------------------------------------------------------------------------- 4 autograd
def launch(name, kernel, q, rows, n_heads, *arguments, causal):
    """Start one program for each tile of `rows` rows and each of n_heads heads."""
    arch = torch.cuda.get_device_capability(q.device)[0] * 10 if q.is_cuda else 80
    block, warps = constants(name, q.shape[3], q.shape[2], q.element_size(), arch)
    tile = block["BLOCK_N" if name == "dkdv" else "BLOCK_M"]
    kernel[(-(-rows // tile), n_heads)](*arguments, **block, CAUSAL=causal, num_warps=warps, num_stages=2, enable_fp_fusion=True)


def attention_triton(q, k, v, causal, lengths):
    (B, H, Tq, D), Tk = q.shape, k.shape[2]
    o, lse = torch.empty_like(q), torch.empty(B, H, Tq, device=q.device)
    launch("attention", attention_kernel, q, Tq, B * H, q, k, v, o, lse, lengths, H, Tq, Tk, causal=causal)
    return o, lse


def attention_backward_triton(q, k, v, o, lse, do, causal):
    (B, H, Tq, D), Tk = q.shape, k.shape[2]
    delta, dq, dk, dv = torch.empty_like(lse), torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    launch("dq", dq_kernel, q, Tq, B * H, q, k, v, o, do, lse, delta, dq, Tq, Tk, causal=causal)
    launch("dkdv", dkdv_kernel, q, Tk, B * H, q, k, v, do, lse, delta, dk, dv, Tq, Tk, causal=causal)
    return dq, dk, dv


class Attention(torch.autograd.Function):
    """Joins a forward and its backward for autograd; NumPy and Triton need it, PyTorch's operator has its own."""

    @staticmethod
    def forward(ctx, q, k, v, causal, lengths, backend):
        ctx.causal, ctx.backend = causal, backend
        if backend == "numpy":
            lengths = None if lengths is None else lengths.cpu().numpy()
            o, lse = attention_numpy(*to_numpy(q, k, v), causal, lengths)
            o, lse = to_torch(o, like=q), torch.from_numpy(lse)          # lse is never rounded to half precision
        else:
            q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
            o, lse = attention_triton(q, k, v, causal, lengths)
        ctx.save_for_backward(q, k, v, o, lse)
        return o

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, do):
        q, k, v, o, lse = ctx.saved_tensors
        if ctx.backend == "numpy":
            gradients = [to_torch(a, like=q) for a in attention_backward_numpy(*to_numpy(q, k, v, o, lse, do), ctx.causal)]
        else:
            gradients = attention_backward_triton(q, k, v, o, lse, do.contiguous(), ctx.causal)
        return *gradients, None, None, None


# -------------------------------------------------------------------------------------------------------- 5 the public function
def attention(q, k, v, causal=True, lengths=None):
    """softmax(q k^T / sqrt(D)) v for each row and head, float32 sums inside (Vaswani 2017, eq. 1).

    q (B, H, Tq, D); k, v (B, H, Tk, D), one dtype -> (B, H, Tq, D) of that dtype. The queries are the last Tq of the Tk positions; causal:
    query i sees keys up to its own place. lengths (B,) int64: row b has only its first lengths[b] keys and its queries are the last of those, so that
    rows of different length share one KV cache; forward only. D up to 256. Raises ValueError for what does not fit, RuntimeError for Triton with nothing to run on.
    """
    backend = choose_backend(q, k, v, *([] if lengths is None else [lengths]))
    check(q, k, v, causal, lengths)
    if backend == "torch":
        return attention_torch(q, k, v, causal, lengths)
    if backend == "triton":
        if q.dtype == torch.float64:
            raise ValueError("the Triton kernels take float32, float16 and bfloat16, not float64: convert with .float(), or use KERNELS=torch")
        if not q.is_cuda and q.dtype == torch.bfloat16:                  # the interpreter multiplies the raw bits of bfloat16
            return Attention.apply(q.float(), k.float(), v.float(), causal, lengths, backend).bfloat16()
    return Attention.apply(q, k, v, causal, lengths, backend)


def check(q, k, v, causal, lengths):
    """ValueError, in one line, for inputs that no backend can serve."""
    if q.dim() != 4 or k.shape != v.shape or q.shape[:2] + q.shape[3:] != k.shape[:2] + k.shape[3:]:
        raise ValueError(f"attention needs q (B, H, Tq, D) and k, v (B, H, Tk, D), not {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")
    (B, H, Tq, D), Tk = q.shape, k.shape[2]
    if q.dtype != k.dtype or q.dtype != v.dtype or not q.is_floating_point():
        raise ValueError(f"attention needs q, k and v of one float dtype, not {q.dtype}, {k.dtype}, {v.dtype}: convert with .to(q.dtype)")
    if not 1 <= D <= 256:
        raise ValueError(f"head size {D} is not within 1..256: use more heads (n_embd = n_head * head size)")
    if min(B, H, Tq, Tk) < 1 or causal and Tq > Tk:
        raise ValueError(f"{Tq} queries over {Tk} keys, {B} rows, {H} heads: each must be 1 or more, and causal queries at most as many as keys")
    if lengths is None:
        return
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        raise ValueError("attention with lengths has no gradient: call it under torch.no_grad(), or pad the rows and leave lengths out")
    if lengths.shape != (B,) or lengths.dtype != torch.int64:
        raise ValueError(f"lengths must be ({B},) int64, one a row, not {tuple(lengths.shape)} {lengths.dtype}")
    if not lengths.is_cuda and not (Tq if causal else 1) <= lengths.min() <= lengths.max() <= Tk:   # on a GPU, looking would stop the queue
        raise ValueError(f"lengths {lengths.tolist()} must lie between the {Tq} queries and the {Tk} keys")


if __name__ == "__main__":
    from kernels.measure import attention_times
    attention_times()
