"""What the kernels cost: time and memory of a run, and what the compiler made of them.

run   python kernels/attention.py, python kernels/softmax.py   tables of times: they call this file
      python kernels/measure.py compiled      registers, spills, shared memory, instructions; no GPU
      python kernels/measure.py memory        peak memory of attention on the CPU against T
"""
import math
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
if not __package__:  # run as a script: find the package this file belongs to
    sys.path.insert(0, str(ROOT))
import kernels


# ------------------------------------------------------------------------------------------ times
def seconds(function, device, budget=0.5):
    """Seconds of one call: on a CPU the fastest of several, as noise only ever adds."""
    if device == "cuda":  # the median, timed by its queue, its cache emptied before each call
        from triton.testing import do_bench
        return do_bench(function, rep=1000 * budget, return_mode="median") / 1000
    function()  # warms caches
    best, deadline = float("inf"), time.perf_counter() + budget
    while best == float("inf") or time.perf_counter() < deadline:
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def limits(device, dtype):
    """What this machine can do, measured now: (flops a second of a product, bytes of a copy)."""
    n, numbers = (8192, 1 << 28) if device == "cuda" else (1024, 1 << 24)
    a = torch.randn(n, n, device=device).to(dtype)
    big = torch.randn(numbers, device=device)
    other = torch.empty_like(big)
    rate = 2 * n ** 3 / seconds(lambda: a @ a, device)
    return rate, 2 * big.nbytes / seconds(lambda: other.copy_(big), device)


def time_table(cases, device, dtype):
    """A line a case: (size, what, function, flops, bytes); the two are the least any way needs."""
    rate, bandwidth = limits(device, dtype)
    print(f"{device}, {str(dtype)[6:]}, {torch.get_num_threads()} threads; measured limits: "
          f"{rate / 1e9:,.0f} GFLOP/s (matmul), {bandwidth / 1e9:,.1f} GB/s (copy)")
    print(f"{'size':20} {'what':38} {'ms':>9} {'MB':>7} {'GFLOP':>7} {'of limit':>9}")
    for size, what, function, flops, moved in cases:
        took = seconds(function, device)
        share = max(flops / rate, moved / bandwidth) / took  # over 1 if it lies in a cache
        print(f"{size:20} {what:38} {took * 1e3:9.3f} {moved / 1e6:7.1f} {flops / 1e9:7.3f} "
              f"{share:9.1%}", flush=True)
    if device == "cpu":
        print("Triton was not timed: no GPU here.")


def here():
    if torch.cuda.is_available():
        return "cuda", torch.float16, ("torch", "triton")
    return "cpu", torch.float32, ("numpy", "torch")


def on_backends(names, function):
    def on(name, *arguments):
        before = kernels.use(name)
        y = function(*arguments)
        kernels.use(before)
        return y
    return {f"kernels, {name}": partial(on, name) for name in names}


def both_ways(function, inputs, gradient):
    learnt = [x for x in inputs if x.requires_grad]
    torch.autograd.grad(function(*inputs), learnt, gradient)


def forward_and_backward(size, ways, inputs, flops, moved):
    """Two cases for time_table of each way. flops, moved: (forward, forward and backward)."""
    cases = []
    for name, function in ways.items():
        gradient = torch.randn_like(function(*inputs))
        forward = partial(torch.no_grad()(function), *inputs)
        both = partial(both_ways, function, inputs, gradient)
        cases.append((size, name + ", forward", forward, flops[0], moved[0]))
        cases.append((size, name + ", and backward", both, flops[1], moved[1]))
    return cases


def plain_attention(q, k, v):
    s = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    hidden = torch.ones(s.shape[2:], dtype=torch.bool, device=s.device).triu(1)
    return s.masked_fill(hidden, -math.inf).softmax(-1) @ v


def attention_times():
    device, dtype, backends = here()
    fused = partial(torch.nn.functional.scaled_dot_product_attention, is_causal=True)
    ways = {"plain": plain_attention, "PyTorch's fused operator": fused}
    ways |= on_backends(backends, kernels.attention)
    shapes = ((8, 16, 1024, 64), (8, 16, 4096, 64), (4, 16, 4096, 128))
    cases = []
    for B, H, T, D in shapes if device == "cuda" else ((32, 4, 64, 32), (1, 4, 1024, 64)):
        qkv = [torch.randn(B, H, T, D, device=device).to(dtype).requires_grad_() for _ in range(3)]
        product = B * H * T * T * D  # causal: half of 2 T T D operations
        # forward: 2 products, q k v o; backward: 5 products more, and 8 tensors
        flops, moved = (2 * product, 7 * product), (4 * qkv[0].nbytes, 12 * qkv[0].nbytes)
        cases += forward_and_backward(f"{B} x {H} x {T} x {D}", ways, qkv, flops, moved)
    time_table(cases, device, dtype)


def plain_softmax(x):
    e = (x - x.max(-1, keepdim=True).values).exp()
    return e / e.sum(-1, keepdim=True)


def softmax_times():
    device, dtype, backends = here()
    softmaxes = {"plain": plain_softmax, "torch.softmax": lambda x: x.softmax(-1)}
    softmaxes |= on_backends(backends, kernels.softmax)
    gather = lambda x, targets: x.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    log_probs = {"log_softmax, gather": gather} | on_backends(backends, kernels.log_prob)
    rows, widths = (8192, (1024, 32768)) if device == "cuda" else (2048, (4096, 8192))
    cases = []
    for V in widths:
        x = torch.randn(rows, V, device=device).to(dtype).requires_grad_()
        targets = torch.randint(0, V, (rows,), device=device)
        flops = (5 * x.numel(), 9 * x.numel())
        moved = (2 * x.nbytes, 5 * x.nbytes)  # read x, write y; read y and dy, write dx
        cases += forward_and_backward(f"softmax {rows} x {V}", softmaxes, (x,), flops, moved)
        moved = (x.nbytes, 3 * x.nbytes)  # read logits; read them again, write their gradient
        inputs = (x, targets)
        cases += forward_and_backward(f"log_prob {rows} x {V}", log_probs, inputs, flops, moved)
    time_table(cases, device, dtype)


# ----------------------------------------------------------------------------------------- memory
def output_of(command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


MEMORY_PROGRAM = """
import resource, torch, kernels
torch.set_num_threads(1)
kernels.use({backend!r})
peaks = []
for T in (64, {T}):    # what starting up needs is not attention's
    q, k, v = (torch.randn(1, 1, T, 64).requires_grad_() for _ in range(3))
    kernels.attention(q, k, v).sum().backward()
    del q, k, v
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(peaks[1] - peaks[0])
"""


def peak_memory(backend, T):
    """MB that forward and backward of one head, D = 64, add to the peak of a process of its own."""
    program = MEMORY_PROGRAM.format(backend=backend, T=T)
    return float(output_of([sys.executable, "-c", program]))


# ----------------------------------------------------------------------------- the compiler's work
def spec(name, kernel, dtype, constexprs, warps, **more):
    """One dict of specs(): a kernel and what it is compiled for. Most pointers are of dtype."""
    types = {"H": "i32", "Tq": "i32", "Tk": "i32", "n_cols": "i32", "lengths_ptr": "*i64",
             "target_ptr": "*i64", "lse_ptr": "*fp32", "delta_ptr": "*fp32"}
    if name.startswith("log_prob"):  # a number a row, as lse
        types |= {"y_ptr": "*fp32", "dy_ptr": "*fp32"}
    signature = {a: types.get(a, "*" + dtype) for a in kernel.arg_names if a not in constexprs}
    return {"name": name, "fn": kernel, "signature": signature, "constexprs": constexprs,
            "num_warps": warps, "num_stages": 2, **more}


def compile_spec(spec, arch):
    """Compile one dict of specs() for compute capability arch, without a GPU: a CompiledKernel."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    names, constexprs = spec["fn"].arg_names, spec["constexprs"]
    signature = dict.fromkeys(names, "constexpr") | spec["signature"]
    aligned = [a for a, t in signature.items() if t.startswith("*")]  # as PyTorch's memory is
    aligned += spec.get("divisible", ())
    attributes = {(names.index(a),): [["tt.divisibility", 16]] for a in aligned}
    options = {option: spec[option] for option in ("num_warps", "num_stages")}
    return triton.compile(ASTSource(spec["fn"], signature, constexprs, attributes),
                          GPUTarget("cuda", arch, 32), options | {"enable_fp_fusion": True})


def machine_code(compiled):
    """What the binary holds; spilled counts stores and loads, matrix tensor-core instructions."""
    from triton import knobs
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(compiled.asm["cubin"])
        flags = ["-sass", "--dump-resource-usage"]
        code = output_of([knobs.nvidia.cuobjdump.path, *flags, file.name])
    opcodes = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z]\w*)", code)
    return {"registers": int(re.search(r"REG:(\d+)", code)[1]),
            "spilled": sum(op in ("STL", "LDL") for op in opcodes),
            "shared": compiled.metadata.shared, "instructions": len(opcodes),
            "matrix": sum(op in ("HMMA", "HGMMA") for op in opcodes)}


def compiled_table(specs):
    """Prints a markdown table: a line a kernel, sm_80 (A100) / sm_90 (H100) in each column."""
    lines = {}  # name -> a row of cells for each chip
    for spec in specs:
        c = spec["constexprs"]
        tile = f"{c['BLOCK_M']} x {c['BLOCK_N']}" if "BLOCK_M" in c else f"1 x {c['BLOCK']}"
        for arch in spec.get("arch", (80, 90)):
            m = machine_code(compile_spec(spec, arch))
            cells = [tile, spec["num_warps"], m["registers"], m["spilled"],
                     f"{m['shared'] / 1024:.0f}", m["instructions"], m["matrix"]]
            lines.setdefault(spec["name"], []).append(cells)
    print("| kernel | rows x columns of a tile | warps | registers | spills | shared KB "
          "| instructions | tensor-core |\n|---|---|---|---|---|---|---|---|")
    for name, (a, b) in lines.items():
        cells = [str(x) if x == y else f"{x} / {y}" for x, y in zip(a, b)]
        print("|", " | ".join([name, *cells]), "|")


def main():
    what = sys.argv[1:]
    if what == ["compiled"]:
        from kernels.attention import specs as attention_specs
        from kernels.softmax import specs as softmax_specs
        specs = attention_specs((32, 64, 128), ("fp16",)) + softmax_specs((4096,), ("fp16",))
        compiled_table([spec for spec in specs if "decode" not in spec["name"]])
    elif what == ["memory"]:
        print(f"{'T':>6} {'numpy MB':>9} {'torch MB':>9}")
        for T in (512, 1024, 2048, 4096, 8192):
            numpy, torch = peak_memory("numpy", T), peak_memory("torch", T)
            print(f"{T:6} {numpy:9.1f} {torch:9.1f}", flush=True)
    else:
        print(__doc__)
        sys.exit(2)


if __name__ == "__main__":
    main()
