"""What the kernels refuse, each with a ValueError of one line that names the mend.

Numbers on a GPU are not looked at: that would stop its queue.
"""
import torch


def check_softmax(x):
    if x.dim() == 0 or x.numel() == 0 or not x.is_floating_point():
        raise ValueError("softmax needs float rows with at least one column, "
                         f"not {tuple(x.shape)} {x.dtype}")


def check_log_prob(logits, targets):
    fit = logits.shape[:-1] == targets.shape and logits.numel() > 0
    if not fit or not logits.is_floating_point() or targets.dtype != torch.int64:
        raise ValueError("log_prob needs float logits (..., V) and int64 targets (...), not "
                         f"{tuple(logits.shape)} {logits.dtype} and "
                         f"{tuple(targets.shape)} {targets.dtype}")
    V = logits.shape[-1]
    if not targets.is_cuda and not 0 <= targets.min() <= targets.max() < V:
        raise ValueError(f"targets {targets.min()}..{targets.max()} are not all within 0..{V - 1}")


def check_attention(q, k, v, causal, lengths):
    fit = q.dim() == 4 and q.shape[:2] + q.shape[3:] == k.shape[:2] + k.shape[3:]
    if not fit or k.shape != v.shape:
        raise ValueError("attention needs q (B, H, Tq, D) and k, v (B, H, Tk, D), "
                         f"not {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")
    if not q.dtype == k.dtype == v.dtype or not q.is_floating_point():
        raise ValueError("attention needs q, k and v of one float dtype, "
                         f"not {q.dtype}, {k.dtype}, {v.dtype}: convert with .to(q.dtype)")
    (B, H, Tq, D), Tk = q.shape, k.shape[2]
    if not 1 <= D <= 256:
        raise ValueError(f"head size {D} is not within 1..256: "
                         "use more heads (n_embd = n_head * head size)")
    if min(B, H, Tq, Tk) < 1 or causal and Tq > Tk:
        raise ValueError(f"{Tq} queries over {Tk} keys, {B} rows, {H} heads: each must be 1 or "
                         "more, and causal queries at most as many as keys")
    if lengths is not None:
        check_lengths(q, k, v, causal, lengths)


def check_chip(capability, D):
    """A block has 99 KB of shared memory on some chips (163 and more on the others): too little
    for the tiles of the largest heads."""
    if D > 128 and (capability in ((8, 6), (8, 9)) or capability[0] == 12):
        raise ValueError(f"head size {D} is above 128, for which the Triton kernels need more "
                         "shared memory than this GPU has: use more heads, or KERNELS=torch")


def check_lengths(q, k, v, causal, lengths):
    (B, _, Tq, _), Tk = q.shape, k.shape[2]
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        raise ValueError("attention with lengths has no gradient: call it under torch.no_grad(), "
                         "or pad the rows and leave lengths out")
    if lengths.shape != (B,) or lengths.dtype != torch.int64:
        raise ValueError(f"lengths must be ({B},) int64, one a row, "
                         f"not {tuple(lengths.shape)} {lengths.dtype}")
    fewest = Tq if causal else 1
    if not lengths.is_cuda and not fewest <= lengths.min() <= lengths.max() <= Tk:
        raise ValueError(f"lengths {lengths.tolist()} must lie between the {Tq} queries "
                         f"and the {Tk} keys")


def for_triton(x):
    """The tensor as a kernel takes it: without gaps, and of a dtype that it computes with."""
    if x is None:
        return None
    if x.dtype == torch.float64:
        raise ValueError("the Triton kernels take float32, float16 and bfloat16, not float64: "
                         "convert with .float(), or use KERNELS=torch")
    if x.dtype == torch.bfloat16 and not x.is_cuda:
        x = x.float()  # the interpreter would compute with the raw bits
    return x.contiguous()
