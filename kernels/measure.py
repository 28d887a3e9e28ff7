"""What the kernels cost: time and memory of a run, and what the compiler made of them.

run   python kernels/attention.py, python kernels/softmax.py    tables of times; they call this file
      python kernels/measure.py compiled                     registers, spills, shared memory and
                                        instructions of every kernel, from its machine code; no GPU
      python kernels/measure.py memory                       peak memory of attention on a CPU
      python kernels/measure.py picture lessons/03_tiles.png     the picture of lesson 03
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

ROOT = Path(__file__).resolve().parent.parent
if not __package__:    # run as a script: find the package this file belongs to
    sys.path.insert(0, str(ROOT))
import kernels


# ------------------------------------------------------------------------------------------ times
def seconds(function, device, budget=0.5):
    """Seconds of one call. On a CPU the fastest of several, as noise only ever adds.

    On a GPU the median, timed by events in its queue, its cache emptied before each call.
    """
    if device == "cuda":
        from triton.testing import do_bench
        return do_bench(function, rep=1000 * budget, return_mode="median") / 1000
    function()    # warms caches
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
    """Prints a line a case: (size, what, function, flops, bytes), the least that any way needs.

    "of limit" is its share of what binds, arithmetic or memory. What lies in a cache can pass 100%.
    """
    rate, bandwidth = limits(device, dtype)
    print(f"{device}, {str(dtype)[6:]}, {torch.get_num_threads()} threads; measured limits: "
          f"{rate / 1e9:,.0f} GFLOP/s (matmul), {bandwidth / 1e9:,.1f} GB/s (copy)")
    print(f"{'size':20} {'what':38} {'ms':>9} {'MB':>7} {'GFLOP':>7} {'of limit':>9}")
    for size, what, function, flops, moved in cases:
        took = seconds(function, device)
        share = max(flops / rate, moved / bandwidth) / took
        print(f"{size:20} {what:38} {took * 1e3:9.3f} {moved / 1e6:7.1f} {flops / 1e9:7.3f} "
              f"{share:9.1%}", flush=True)
    if device == "cpu":
        print("Triton was not timed: no GPU here.")


def here():
    """(device, dtype, backends worth timing on it)."""
    if torch.cuda.is_available():
        return "cuda", torch.float16, ("torch", "triton")
    return "cpu", torch.float32, ("numpy", "torch")


def on_backends(names, function):
    """{what to print: the function as that backend computes it}."""
    def on(name):
        def run(*arguments):
            before = kernels.use(name)
            y = function(*arguments)
            kernels.use(before)
            return y
        return run
    return {f"kernels, {name}": on(name) for name in names}


def forward_and_backward(size, ways, inputs, flops, moved):
    """Two cases for time_table of each way. flops, moved: (forward, forward and backward)."""
    def two_cases(name, function):
        gradient = torch.randn_like(function(*inputs))

        def both():
            learnt = [x for x in inputs if x.requires_grad]
            torch.autograd.grad(function(*inputs), learnt, gradient)

        def forward():
            with torch.no_grad():
                function(*inputs)

        return [(size, name + ", forward", forward, flops[0], moved[0]),
                (size, name + ", and backward", both, flops[1], moved[1])]
    return [case for name, function in ways.items() for case in two_cases(name, function)]


def plain_attention(q, k, v):
    """With its (T, T) matrix, as the formula stands."""
    s = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    hidden = torch.ones(s.shape[2:], dtype=torch.bool, device=s.device).triu(1)
    return s.masked_fill(hidden, -math.inf).softmax(-1) @ v


def fused_attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def attention_times():
    device, dtype, backends = here()
    ways = {"plain": plain_attention, "PyTorch's fused operator": fused_attention}
    ways |= on_backends(backends, kernels.attention)
    shapes = ((8, 16, 1024, 64), (8, 16, 4096, 64), (4, 16, 4096, 128))
    cases = []
    for B, H, T, D in shapes if device == "cuda" else ((32, 4, 64, 32), (1, 4, 1024, 64)):
        qkv = [torch.randn(B, H, T, D, device=device).to(dtype).requires_grad_() for _ in range(3)]
        product = B * H * T * T * D    # causal: half of 2 T T D operations
        # forward: 2 products, q k v o; backward: 5 products more, and 8 tensors
        flops, moved = (2 * product, 7 * product), (4 * qkv[0].nbytes, 12 * qkv[0].nbytes)
        cases += forward_and_backward(f"{B} x {H} x {T} x {D}", ways, qkv, flops, moved)
    time_table(cases, device, dtype)


def plain_softmax(x):
    e = (x - x.max(-1, keepdim=True).values).exp()
    return e / e.sum(-1, keepdim=True)


def plain_log_prob(logits, targets):
    return logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]


def softmax_times():
    device, dtype, backends = here()
    softmaxes = {"plain": plain_softmax, "torch.softmax": lambda x: x.softmax(-1)}
    softmaxes |= on_backends(backends, kernels.softmax)
    log_probs = {"log_softmax, gather": plain_log_prob} | on_backends(backends, kernels.log_prob)
    cases = []
    for rows, V in ((8192, 1024), (8192, 32768)) if device == "cuda" else ((2048, 4096), (2048, 8192)):
        x = torch.randn(rows, V, device=device).to(dtype).requires_grad_()
        targets = torch.randint(0, V, (rows,), device=device)
        flops = (5 * x.numel(), 9 * x.numel())
        moved = (2 * x.nbytes, 5 * x.nbytes)    # read x, write y; read y and dy, write dx
        cases += forward_and_backward(f"softmax {rows} x {V}", softmaxes, (x,), flops, moved)
        moved = (x.nbytes, 3 * x.nbytes)    # read logits; read them again, write their gradient
        inputs = (x, targets)
        cases += forward_and_backward(f"log_prob {rows} x {V}", log_probs, inputs, flops, moved)
    time_table(cases, device, dtype)


# ----------------------------------------------------------------------------------------- memory
MEMORY_PROGRAM = """
import resource, torch, kernels

def run(T):
    q, k, v = (torch.randn(1, 1, T, 64).requires_grad_() for _ in range(3))
    kernels.attention(q, k, v).sum().backward()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

torch.set_num_threads(1)
kernels.use({backend!r})
run(64)    # what starting up needs is not attention's
before = peak()
run({T})
print(peak() - before)
"""


def peak_memory(backend, T):
    """MB that attention's forward and backward of one head, D = 64, add to a process's peak.

    In a process of its own, as it is the process's peak that the system counts.
    """
    program = MEMORY_PROGRAM.format(backend=backend, T=T)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    return float(done.stdout)


def memory_table():
    print(f"{'T':>6} {'numpy MB':>9} {'torch MB':>9}")
    for T in (512, 1024, 2048, 4096, 8192):
        print(f"{T:6} {peak_memory('numpy', T):9.1f} {peak_memory('torch', T):9.1f}", flush=True)


# ----------------------------------------------------------------------------- the compiler's work
def spec(name, kernel, dtype, constexprs, warps, **more):
    """One dict of specs(): a kernel, and what it is compiled for; pointers are of dtype or fixed."""
    types = {"H": "i32", "Tq": "i32", "Tk": "i32", "n_cols": "i32"}
    types |= {"lengths_ptr": "*i64", "target_ptr": "*i64"}
    types |= {"lse_ptr": "*fp32", "delta_ptr": "*fp32"}
    if name.startswith("log_prob"):    # a number a row, as lse
        types |= {"y_ptr": "*fp32", "dy_ptr": "*fp32"}
    signature = {a: types.get(a, "*" + dtype) for a in kernel.arg_names if a not in constexprs}
    return {"name": name, "fn": kernel, "signature": signature, "constexprs": constexprs,
            "num_warps": warps, "num_stages": 2, **more}


def compile_spec(spec, arch):
    """Compile one dict of specs() for compute capability arch (80, 90): a CompiledKernel; no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    names, constexprs = spec["fn"].arg_names, spec["constexprs"]
    signature = {a: "constexpr" if a in constexprs else spec["signature"][a] for a in names}
    pointers = [a for a, t in signature.items() if t.startswith("*")]    # PyTorch aligns memory
    aligned = {(names.index(a),): [["tt.divisibility", 16]]
               for a in (*pointers, *spec.get("divisible", ()))}
    options = {name: spec[name] for name in ("num_warps", "num_stages")}
    return triton.compile(ASTSource(spec["fn"], signature, constexprs, aligned),
                          target=GPUTarget("cuda", arch, 32),
                          options=options | {"enable_fp_fusion": True})


def machine_code(compiled):
    """What the binary holds. spilled: stores and loads of registers that did not suffice;
    shared: bytes; matrix: tensor-core instructions (HMMA, HGMMA).
    """
    from triton import knobs
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(compiled.asm["cubin"])
        command = [knobs.nvidia.cuobjdump.path, "-sass", "--dump-resource-usage", file.name]
        code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    opcodes = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z]\w*)", code)
    return {"registers": int(re.search(r"REG:(\d+)", code)[1]),
            "spilled": sum(op in ("STL", "LDL") for op in opcodes),
            "shared": compiled.metadata.shared, "instructions": len(opcodes),
            "matrix": sum(op in ("HMMA", "HGMMA") for op in opcodes)}


def compiled_table(specs):
    """Prints a markdown table: a line a kernel, sm_80 (A100) / sm_90 (H100) in each column."""
    lines = {}    # name -> a row of cells for each chip
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
        cells = (str(x) if x == y else f"{x} / {y}" for x, y in zip(a, b))
        print(f"| {name} | " + " | ".join(cells) + " |")


# ----------------------------------------------------------------------- the picture of lesson 03
def draw_tiles(path):
    """The tiles of the (T, T) matrix that is never made, forward and backward; where they live."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.9), layout="constrained")
    row = {(3, 3): "1", (3, 0): "2", (3, 1): "3", (3, 2): "4"}    # tile -> when a program meets it
    column = {(2, 2): "1", (3, 2): "2", (4, 2): "3", (5, 2): "4"}
    draw_matrix(axes[0], row, "forward, dq: a program owns queries",
                "red: one program; 1, 2, ...: its order")
    draw_matrix(axes[1], column, "dk, dv: a program owns keys",
                "yellow: masked; blue: no mask; white: skipped")
    draw_memory(axes[2])
    figure.savefig(path, dpi=110)
    print(path)


def draw_matrix(axis, owned, title, legend, tiles=6):
    for m in range(tiles):
        for n in range(tiles):
            color = "#f2b84b" if m == n else "#cfe3f5"
            edge = {"edgecolor": "gray", "linewidth": 0.8}
            if (m, n) in owned:
                edge = {"edgecolor": "#b03030", "linewidth": 3, "zorder": 3}
            box((n, m), 1, 1, axis, "white" if n > m else color, **edge)
            axis.text(n + 0.5, m + 0.5, owned.get((m, n), ""), ha="center", va="center",
                      fontsize=14, zorder=4)
    axis.set(xlim=(-0.05, tiles + 0.05), ylim=(tiles + 0.05, -0.05), aspect="equal",
             xticks=[], yticks=[], title=title)
    axis.set_ylabel("tiles of q", fontsize=11)
    axis.set_xlabel("tiles of k and v\n" + legend, fontsize=11)
    axis.spines[:].set_visible(False)


def box(corner, width, height, axis, color, **edge):
    from matplotlib.patches import Rectangle
    axis.add_patch(Rectangle(corner, width, height, facecolor=color, **edge))


def draw_memory(axis):
    places = (("slow memory (HBM, RAM)", "q, k, v, o: T x D each; lse: T", 0.72, "#e6e6e6"),
              ("fast memory (shared, cache)", "one tile of k, one of v", 0.39, "#cfe3f5"),
              ("registers", "tiles of q, of s = q k$^T$, of acc;\ntop and total of each row",
               0.06, "#f2b84b"))
    centre = {"ha": "center", "va": "center", "fontsize": 11}
    for name, content, y, color in places:
        box((0.02, y), 0.96, 0.22, axis, color, edgecolor="gray")
        axis.text(0.5, y + 0.165, name, weight="bold", **centre)
        axis.text(0.5, y + 0.07, content, **centre)
    for y, label in ((0.72, "k, v: once for each tile of q"), (0.39, "two products a tile")):
        arrow = {"arrowstyle": "-|>", "lw": 2}
        axis.annotate("", xy=(0.2, y - 0.11), xytext=(0.2, y), arrowprops=arrow)
        axis.text(0.26, y - 0.055, label, va="center", fontsize=10)
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.set_title("where the forward keeps what", y=0.965)
    axis.axis("off")


def main():
    what = sys.argv[1:]
    if what == ["compiled"]:
        from kernels.attention import specs as attention_specs
        from kernels.softmax import specs as softmax_specs
        specs = attention_specs((32, 64, 128), ("fp16",)) + softmax_specs((4096,), ("fp16",))
        compiled_table([spec for spec in specs if "decode" not in spec["name"]])
    elif what == ["memory"]:
        memory_table()
    elif what[:1] == ["picture"] and len(what) == 2:
        draw_tiles(what[1])
    else:
        print(__doc__)
        sys.exit(2)


if __name__ == "__main__":
    main()
