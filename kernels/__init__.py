"""Attention, softmax and the log-probability of a token, each written in NumPy, PyTorch, Triton.

in    torch tensors, on every backend
out   torch tensors on the same device, gradients included
run   KERNELS=numpy python train_pretrain.py --quick      (in a program: kernels.use("numpy"))
see   the same losses from all three: only the time differs

CUDA tensors go to Triton (from compute capability 8.0 on) and others to PyTorch, unless told
otherwise. Triton also runs on a CPU, slowly: TRITON_INTERPRET=1 KERNELS=triton python ...
Read softmax.py first, then attention.py.
"""
import os
import sys

import torch

BACKENDS = ("numpy", "torch", "triton")
_forced = None
_loaded = False


def use(name):
    """Force a backend for all later calls; None: choose anew. Returns what was forced before."""
    global _forced
    if name is not None and name not in BACKENDS:
        raise ValueError(f"no kernels called {name!r}: choose one of {', '.join(BACKENDS)}")
    before, _forced = _forced, name
    return before


def choose_backend(*tensors):
    """What use() or the environment's KERNELS says, else triton on a GPU and torch elsewhere.

    Triton is loaded here: run.pick_device comes by before torch.compile reads what launches it.
    Raises ValueError for tensors on different devices or an unknown name, RuntimeError without it.
    """
    global _loaded
    devices = sorted({str(t.device) for t in tensors})
    if len(devices) > 1:
        raise ValueError(f"tensors on different devices ({', '.join(devices)}): "
                         "move them to one with .to(device)")
    on_gpu, device = tensors[0].is_cuda, tensors[0].device
    served = on_gpu and torch.cuda.get_device_capability(device) >= (8, 0)  # by Triton
    name = _forced or os.environ.get("KERNELS") or ("triton" if served else "torch")
    if name not in BACKENDS:
        raise ValueError(f"KERNELS={name} in the environment: choose one of {', '.join(BACKENDS)}")
    if name == "triton" and not on_gpu and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("Triton kernels need a GPU: move the tensors there, or set "
                           "TRITON_INTERPRET=1 before Python starts, or use KERNELS=torch")
    if name == "triton" and not _loaded:
        for file in ("kernels.attention", "kernels.softmax"):
            load_triton(vars(sys.modules[file]))
        _loaded = True
    return name


def triton_kernel(function):
    """Marks a function for load_triton; until then it is plain Python, and needs no Triton."""
    function.is_kernel = True
    return function


def load_triton(names):
    """Import Triton (slow, and for Linux only) and put triton.jit around a file's marked functions.

    names: the file's globals(). Raises RuntimeError where Triton is not installed.
    """
    if "tl" in names:
        return
    try:
        import triton.language
    except ImportError:
        raise RuntimeError("Triton is not installed: pip install triton (Linux only), "
                           "or use KERNELS=torch") from None
    names.update(triton=triton, tl=triton.language)
    marked = {name: f for name, f in names.items() if getattr(f, "is_kernel", False)}
    names.update({name: triton.jit(f) for name, f in marked.items()})


def to_numpy(*tensors):
    """Tensors to NumPy arrays. Half precision becomes float32, in which all backends add up."""
    half = (torch.float16, torch.bfloat16)
    return [(t.float() if t.dtype in half else t).detach().cpu().numpy() for t in tensors]


def to_torch(array, like):
    """A NumPy array to a tensor with the dtype and device of another tensor."""
    return torch.from_numpy(array).to(device=like.device, dtype=like.dtype)


# Last, as both import what stands above. `from kernels.softmax import ...` still finds the file.
from kernels.attention import attention  # noqa: E402
from kernels.softmax import log_prob, softmax  # noqa: E402
