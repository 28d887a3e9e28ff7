"""Attention, softmax and the log-probability of a token, each written three times: NumPy, PyTorch, Triton.

in    torch tensors, on every backend                        out   torch tensors on the same device, gradients included
run   KERNELS=numpy python train_pretrain.py --quick         (or triton, torch; in a program: kernels.use("numpy"))
see   the same losses from all three: only the time differs

Unless told otherwise, tensors on a CUDA GPU go to Triton and all others to PyTorch. Triton also runs on a CPU, slowly, in its
interpreter: TRITON_INTERPRET=1 KERNELS=triton python ...   Read softmax.py first, then attention.py; lessons/03_kernels.md goes along.
"""
import os
import sys

import torch

BACKENDS = ("numpy", "torch", "triton")
_forced, _loaded = None, False


def use(name):
    """Force a backend ("numpy", "torch", "triton") for all later calls, or None: choose anew. Returns what was forced before."""
    global _forced
    if name is not None and name not in BACKENDS:
        raise ValueError(f"no kernels called {name!r}: choose one of {', '.join(BACKENDS)}")
    before, _forced = _forced, name
    return before


def choose_backend(*tensors):
    """The backend for these tensors, Triton imported if it is that: what use() or the environment variable KERNELS says, else triton on a GPU, torch elsewhere.

    Raises ValueError for tensors on different devices or an unknown name, RuntimeError where Triton has nothing to run on or is not installed.
    """
    global _loaded
    devices = {str(t.device) for t in tensors}
    if len(devices) > 1:
        raise ValueError(f"tensors on different devices ({', '.join(sorted(devices))}): move them to one with .to(device)")
    on_gpu = tensors[0].is_cuda
    name = _forced or os.environ.get("KERNELS") or ("triton" if on_gpu else "torch")
    if name not in BACKENDS:
        raise ValueError(f"KERNELS={name} in the environment: choose one of {', '.join(BACKENDS)}")
    if name == "triton" and not on_gpu and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("Triton kernels need a GPU: move the tensors there, or set TRITON_INTERPRET=1 before Python starts, or use KERNELS=torch")
    if name == "triton" and not _loaded:                         # run.pick_device comes by here, before torch.compile reads what launches the kernels
        for file in ("kernels.attention", "kernels.softmax"):
            load_triton(vars(sys.modules[file]))
        _loaded = True
    return name


def triton_kernel(function):
    """Marks a function for load_triton. Until then it is plain Python, so that a system without Triton can import its file."""
    function.is_kernel = True
    return function


def load_triton(names):
    """Import Triton and put triton.jit around every marked function in names, a module's globals(). Importing it takes some tenths of a
    second that the CPU path should not pay, and Triton exists for Linux only. Raises RuntimeError where it is not installed."""
    if "tl" in names:
        return                                                   # done before
    try:
        import triton.language
    except ImportError:
        raise RuntimeError("Triton is not installed: pip install triton (Linux only), or use KERNELS=torch") from None
    names.update(triton=triton, tl=triton.language)
    names.update({name: triton.jit(f) for name, f in names.items() if getattr(f, "is_kernel", False)})


def to_numpy(*tensors):
    """Tensors to NumPy arrays on the CPU; half precision becomes float32, in which all three backends add up."""
    half = (torch.float16, torch.bfloat16)
    return [(t.float() if t.dtype in half else t).detach().cpu().numpy() for t in tensors]


def to_torch(array, like):
    """A NumPy array to a tensor with the dtype and device of another tensor."""
    return torch.from_numpy(array).to(device=like.device, dtype=like.dtype)


from kernels.attention import attention                          # noqa: E402  (below, because both files import the functions above)
from kernels.softmax import log_prob, softmax                    # noqa: E402  from now on kernels.softmax is the function;
                                                                 # `from kernels.softmax import ...` still finds the module
