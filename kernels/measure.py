"""What the kernels cost: time and memory of a run, and what the compiler made of them, read from the machine code.

run   python kernels/attention.py, python kernels/softmax.py     tables of times: they call this file
      python kernels/measure.py compiled                         registers, spills, shared memory, instructions of every kernel; no GPU needed
      python kernels/measure.py memory                           peak memory of attention on the CPU against T
      python kernels/measure.py picture lessons/03_tiles.png     the picture of the tiles in lesson 03
"""
import math
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))      # run as a script: find the package this file belongs to
import kernels


# -------------------------------------------------------------------------------------------------------- times
def seconds(function, device, budget=0.5):
    """Seconds that one call takes. On a CPU the fastest of several, as noise only ever adds; on a GPU the median, timed by events in its queue, its cache
    emptied before each call."""
    if device == "cuda":
        from triton.testing import do_bench
        return do_bench(function, rep=1000 * budget, return_mode="median") / 1000
    function()                                                           # warms caches
    best, deadline = float("inf"), time.perf_counter() + budget
    while best == float("inf") or time.perf_counter() < deadline:
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def limits(device, dtype):
    """What this machine can do: (flops a second of a large matrix product, bytes a second of a large copy), both measured now."""
    n, numbers = (8192, 1 << 28) if device == "cuda" else (1024, 1 << 24)
    a, big = torch.randn(n, n, device=device).to(dtype), torch.randn(numbers, device=device)
    other = torch.empty_like(big)
    return 2 * n ** 3 / seconds(lambda: a @ a, device), 2 * big.nbytes / seconds(lambda: other.copy_(big), device)


def time_table(cases, device, dtype):
    """cases: (size, what, function, flops, bytes), the least that any way to compute it needs. Prints a line each, with its share of what binds:
    arithmetic or memory. What lies in a cache can pass 100% of the memory's speed."""
    rate, bandwidth = limits(device, dtype)
    print(f"{device}, {str(dtype)[6:]}, {torch.get_num_threads()} threads; measured limits: {rate / 1e9:,.0f} GFLOP/s (matmul), {bandwidth / 1e9:,.1f} GB/s (copy)")
    print(f"{'size':20} {'what':38} {'ms':>9} {'MB':>7} {'GFLOP':>7} {'of limit':>9}")
    for size, what, function, flops, moved in cases:
        took = seconds(function, device)
        print(f"{size:20} {what:38} {took * 1e3:9.3f} {moved / 1e6:7.1f} {flops / 1e9:7.3f} {max(flops / rate, moved / bandwidth) / took:9.1%}", flush=True)
    if device == "cpu":
        print("Triton was not timed: no GPU here.")


def here():
    """(device, dtype, backends worth timing on it)."""
    return ("cuda", torch.float16, ("torch", "triton")) if torch.cuda.is_available() else ("cpu", torch.float32, ("numpy", "torch"))


def on_backend(name, function):
    """function, as that backend computes it."""
    def run(*arguments):
        before = kernels.use(name)
        y = function(*arguments)
        kernels.use(before)
        return y
    return run


def forward_and_backward(size, name, function, inputs, gradient, flops, moved):
    """Two cases for time_table. flops and moved: a pair each, (forward, forward and backward)."""
    def both():
        torch.autograd.grad(function(*inputs), [x for x in inputs if x.requires_grad], gradient)
    def forward():
        with torch.no_grad():
            function(*inputs)
    return [(size, name + ", forward", forward, flops[0], moved[0]), (size, name + ", and backward", both, flops[1], moved[1])]


def plain_attention(q, k, v):
    """With its (T, T) matrix, as the formula stands."""
    s = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    return s.masked_fill(torch.ones(s.shape[2:], dtype=torch.bool, device=s.device).triu(1), -math.inf).softmax(-1) @ v


def attention_times():
    device, dtype, backends = here()
    ways = {"plain": plain_attention, "PyTorch's fused operator": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)}
    ways |= {f"kernels, {name}": on_backend(name, kernels.attention) for name in backends}
    cases = []
    for B, H, T, D in ((32, 4, 64, 32), (1, 4, 1024, 64)) if device == "cpu" else ((8, 16, 1024, 64), (8, 16, 4096, 64), (4, 16, 4096, 128)):
        q, k, v = (torch.randn(B, H, T, D, device=device).to(dtype).requires_grad_() for _ in range(3))
        product, tensor = B * H * T * T * D, q.numel() * q.element_size()          # causal: half of 2 T T D operations
        for name, way in ways.items():                                   # forward: 2 products, q k v o; backward: 5 more, and 8 tensors
            cases += forward_and_backward(f"{B} x {H} x {T} x {D}", name, way, (q, k, v), torch.randn_like(q), (2 * product, 7 * product), (4 * tensor, 12 * tensor))
    time_table(cases, device, dtype)


def softmax_times():
    device, dtype, backends = here()
    cases = []
    for rows, V in ((2048, 4096), (2048, 8192)) if device == "cpu" else ((8192, 1024), (8192, 32768)):
        x = torch.randn(rows, V, device=device).to(dtype).requires_grad_()
        targets, tensor = torch.randint(0, V, (rows,), device=device), x.numel() * x.element_size()
        plain = lambda x: (e := (x - x.max(-1, keepdim=True).values).exp()) / e.sum(-1, keepdim=True)
        gather = lambda x, targets: x.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
        ways = {"plain": plain, "torch.softmax": lambda x: x.softmax(-1)} | {f"kernels, {name}": on_backend(name, kernels.softmax) for name in backends}
        for name, way in ways.items():                                   # forward: read x, write y; backward: read y and dy, write dx
            cases += forward_and_backward(f"softmax {rows} x {V}", name, way, (x,), torch.randn_like(x), (5 * x.numel(), 9 * x.numel()), (2 * tensor, 5 * tensor))
        for name, way in ({"log_softmax, gather": gather} | {f"kernels, {name}": on_backend(name, kernels.log_prob) for name in backends}).items():
            gradient = torch.randn_like(way(x, targets))
            cases += forward_and_backward(f"log_prob {rows} x {V}", name, way, (x, targets), gradient, (5 * x.numel(), 9 * x.numel()), (tensor, 3 * tensor))
    time_table(cases, device, dtype)


# -------------------------------------------------------------------------------------------------------- memory
def peak_memory(backend, T, D=64):
    """Peak memory in MB that attention's forward and backward add, one head, in a process of its own (the system counts a process's peak)."""
    program = f"""
import resource, torch, kernels
torch.set_num_threads(1)
kernels.use({backend!r})
def run(T):
    q, k, v = (torch.randn(1, 1, T, {D}).requires_grad_() for _ in range(3))
    kernels.attention(q, k, v).sum().backward()
run(64)                                          # what starting up needs is not attention's
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run({T})
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    root = Path(__file__).resolve().parent.parent
    return float(subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True).stdout)


# -------------------------------------------------------------------------------------------------------- the compiler's work
def compile_spec(spec, arch):
    """Compile one dict of a kernel file's specs() for compute capability arch (80, 90), without a GPU; returns Triton's CompiledKernel."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    names, constexprs = spec["fn"].arg_names, spec["constexprs"]
    signature = {a: "constexpr" if a in constexprs else spec["signature"][a] for a in names}
    aligned = [a for a, t in signature.items() if t.startswith("*") or a in spec.get("divisible", ())]   # PyTorch's memory is aligned to 16 bytes
    source = ASTSource(spec["fn"], signature, constexprs, {(names.index(a),): [["tt.divisibility", 16]] for a in aligned})
    return triton.compile(source, target=GPUTarget("cuda", arch, 32),
                          options={"num_warps": spec["num_warps"], "num_stages": spec["num_stages"], "enable_fp_fusion": True})


def machine_code(compiled):
    """What the binary holds: {"registers", "spilled" (stores and loads of spilled registers), "shared" bytes, "instructions", "matrix"}; the last
    counts tensor-core instructions (HMMA, HGMMA)."""
    from triton import knobs
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(compiled.asm["cubin"])
        code = subprocess.run([knobs.nvidia.cuobjdump.path, "-sass", "--dump-resource-usage", file.name], capture_output=True, text=True, check=True).stdout
    opcodes = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z]\w*)", code)
    return {"registers": int(re.search(r"REG:(\d+)", code)[1]), "spilled": sum(op in ("STL", "LDL") for op in opcodes),
            "shared": compiled.metadata.shared, "instructions": len(opcodes), "matrix": sum(op in ("HMMA", "HGMMA") for op in opcodes)}


def compiled_table(specs):
    """Prints a markdown table: a line a kernel, sm_80 (A100) / sm_90 (H100) in each column."""
    lines = {}                                                           # name -> a row of cells for each chip
    for spec in specs:
        for arch in spec.get("arch", (80, 90)):
            m, c = machine_code(compile_spec(spec, arch)), spec["constexprs"]
            tile = f"{c['BLOCK_M']} x {c['BLOCK_N']}" if "BLOCK_M" in c else f"1 x {c['BLOCK']}"
            cells = [tile, spec["num_warps"], m["registers"], m["spilled"], f"{m['shared'] / 1024:.0f}", m["instructions"], m["matrix"]]
            lines.setdefault(spec["name"], []).append(cells)
    print("| kernel | rows x columns of a tile | warps | registers | spills | shared KB | instructions | tensor-core |\n|---|---|---|---|---|---|---|---|")
    for name, (a, b) in lines.items():
        print(f"| {name} | " + " | ".join(str(x) if x == y else f"{x} / {y}" for x, y in zip(a, b)) + " |")


# -------------------------------------------------------------------------------------------------------- the picture of lesson 03
def draw_tiles(path, tiles=6):
    """Forward and the two backward passes over the tiles of the (T, T) matrix that is never made, and where a tile lives."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.9), layout="constrained")
    row = {(3, 3): "1", (3, 0): "2", (3, 1): "3", (3, 2): "4"}           # tile -> when its program meets it
    column = {(2, 2): "1", (3, 2): "2", (4, 2): "3", (5, 2): "4"}
    for axis, owned, title in ((axes[0], row, "forward, dq: a program owns queries"), (axes[1], column, "dk, dv: a program owns keys")):
        for m, n in ((m, n) for m in range(tiles) for n in range(tiles)):
            color = "white" if n > m else "#f2b84b" if m == n else "#cfe3f5"
            edge = {"edgecolor": "#b03030", "linewidth": 3, "zorder": 3} if (m, n) in owned else {"edgecolor": "gray", "linewidth": 0.8}
            axis.add_patch(plt.Rectangle((n, m), 1, 1, facecolor=color, **edge))
            axis.text(n + 0.5, m + 0.5, owned.get((m, n), ""), ha="center", va="center", fontsize=14, zorder=4)
        axis.set(xlim=(-0.05, tiles + 0.05), ylim=(tiles + 0.05, -0.05), aspect="equal", xticks=[], yticks=[], title=title)
        axis.set_ylabel("tiles of q", fontsize=11)
        axis.spines[:].set_visible(False)
    axes[0].set_xlabel("tiles of k and v\nred: one program; 1, 2, ...: its order", fontsize=11)
    axes[1].set_xlabel("tiles of k and v\nyellow: masked; blue: no mask; white: skipped", fontsize=11)
    boxes = (("slow memory (HBM, RAM)", "q, k, v, o: T x D each; lse: T", 0.72, "#e6e6e6"), ("fast memory (shared, cache)", "one tile of k, one of v", 0.39, "#cfe3f5"),
             ("registers", "tiles of q, of s = q k$^T$, of acc;\ntop and total of each row", 0.06, "#f2b84b"))
    for name, content, y, color in boxes:
        axes[2].add_patch(plt.Rectangle((0.02, y), 0.96, 0.22, facecolor=color, edgecolor="gray"))
        axes[2].text(0.5, y + 0.165, name, ha="center", va="center", fontsize=11, weight="bold")
        axes[2].text(0.5, y + 0.07, content, ha="center", va="center", fontsize=11)
    for y, label in ((0.72, "k, v: once for each tile of q"), (0.39, "two products a tile")):
        axes[2].annotate("", xy=(0.2, y - 0.11), xytext=(0.2, y), arrowprops={"arrowstyle": "-|>", "lw": 2})
        axes[2].text(0.26, y - 0.055, label, va="center", fontsize=10)
    axes[2].set(xlim=(0, 1), ylim=(0, 1))
    axes[2].set_title("where the forward keeps what", y=0.965)
    axes[2].axis("off")
    figure.savefig(path, dpi=110)
    print(path)


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "compiled":
        from kernels.attention import specs as attention_specs
        from kernels.softmax import specs as softmax_specs
        found = attention_specs(head_sizes=(32, 64, 128), dtypes=("fp16",)) + softmax_specs(widths=(4096,), dtypes=("fp16",))
        compiled_table([spec for spec in found if "decode" not in spec["name"]])
    elif what == "memory":
        print(f"{'T':>6} {'numpy MB':>9} {'torch MB':>9}")
        for T in (512, 1024, 2048, 4096, 8192):
            print(f"{T:6} {peak_memory('numpy', T):9.1f} {peak_memory('torch', T):9.1f}", flush=True)
    elif what == "picture" and len(sys.argv) == 3:
        draw_tiles(sys.argv[2])
    else:
        print(__doc__)
        sys.exit(2)


if __name__ == "__main__":
    main()
