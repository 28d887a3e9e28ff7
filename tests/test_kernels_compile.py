"""Triton without a GPU: every kernel runs in Triton's interpreter and agrees with float64, and
compiles to machine code that spills nothing.

An interpreted kernel cannot be compiled, nor the reverse, so each runs in a process of its own:
this file, as a script.
"""
import inspect
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

if __name__ == "__main__":
    beside = lambda function: function  # as a script this file has no fixtures
else:
    from conftest import beside, run_script

ROOT = Path(__file__).resolve().parent.parent
SHARED_LIMIT = {80: 166912, 90: 232448}  # bytes of shared memory a block may have
triton_needed = pytest.mark.skipif(not sys.platform.startswith("linux"),
                                   reason="Triton exists for Linux only")
gpu_needed = pytest.mark.skipif(not torch.cuda.is_available(), reason=(
    "no CUDA device here: the kernels ran in the interpreter and were compiled, not run"))


def in_its_own_process(what, **environment):
    """Run this file as a script and read the JSON on its last line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERNELS": "", **environment}
    code, printed, errors = run_script(__file__, what, env=environment)
    assert code == 0, errors[-2000:]
    return json.loads(printed.splitlines()[-1])


@beside
def interpreted(_):
    return in_its_own_process("interpret", TRITON_INTERPRET="1")


@beside
def compiled_80(_):
    return in_its_own_process("80", TRITON_INTERPRET="")


@beside
def compiled_90(_):
    return in_its_own_process("90", TRITON_INTERPRET="")


@pytest.fixture
def compiled(compiled_80, compiled_90):
    return compiled_80 + compiled_90


def wrong(cases):
    return [case for case in cases if not case["error"] <= case["limit"]]  # also catches nan


@triton_needed
def test_interpreted_attention_agrees_with_float64_forward_and_backward(interpreted):
    assert wrong(interpreted["attention"]) == []
    assert len(interpreted["attention"]) == len(SHAPES)


@triton_needed
def test_a_tile_of_keys_that_ends_where_a_tile_of_queries_begins_makes_no_nan(interpreted):
    assert wrong(interpreted["ends"]) == []
    assert len(interpreted["ends"]) == len(ENDS)


@triton_needed
def test_no_kernel_writes_beside_its_tensors(interpreted):
    assert interpreted["outputs"] > 100 and interpreted["written_beside"] == 0


@triton_needed
def test_what_holds_on_the_other_backends_holds_on_interpreted_kernels(interpreted):
    assert interpreted["claims"] >= 10 and interpreted["broken_claims"] == []


@triton_needed
def test_what_the_triton_kernels_cannot_take_is_refused(interpreted):
    for words, refusal in zip(("not float64", "not float64", "65537 columns"),
                              interpreted["refusals"], strict=True):
        assert words in refusal and "KERNELS=torch" in refusal


@triton_needed
def test_interpreted_attention_with_lengths_never_reads_past_a_row_s_length(interpreted):
    assert interpreted["lengths"] <= 1e-5


@triton_needed
def test_more_heads_than_a_launch_takes_are_shared_among_several(interpreted):
    assert interpreted["many_heads"]["error"] <= 1e-5
    assert 1 <= interpreted["many_heads"]["heads"] <= 3


@triton_needed
def test_interpreted_softmax_and_log_prob_agree_with_float64_forward_and_backward(interpreted):
    assert wrong(interpreted["softmax"]) == []
    assert len(interpreted["softmax"]) == 12


@triton_needed
def test_an_unknown_target_gives_nan_on_triton_where_python_could_not_look(interpreted):
    assert interpreted["unknown_target_is_nan"]


@triton_needed
def test_a_model_on_interpreted_kernels_has_the_loss_and_gradient_it_has_on_pytorch(interpreted):
    assert interpreted["model"] <= 1e-5


@triton_needed
def test_every_kernel_compiles_for_both_chips_without_spilling_a_register(compiled):
    assert len(compiled) >= 40
    assert [kernel for kernel in compiled if kernel["stack"] != 0] == []


@triton_needed
def test_machine_code_counts_what_the_compiler_and_its_ptx_say(compiled_80, compiled_90):
    for kernel in (compiled_80[0], compiled_90[0]):
        code = kernel["machine_code"]
        assert code["spilled"] == kernel["stack"] == 0
        assert code["matrix"] == kernel["matrix"] > 0 and code["shared"] == kernel["shared"]


@triton_needed
def test_every_kernel_s_shared_memory_fits_the_chip(compiled):
    assert [kernel for kernel in compiled if kernel["shared"] > SHARED_LIMIT[kernel["arch"]]] == []


@triton_needed
def test_attention_in_half_precision_uses_the_tensor_cores(compiled):
    assert [kernel for kernel in compiled if "D=" in kernel["name"] and not kernel["matrix"]] == []


@gpu_needed
def test_on_a_gpu_triton_is_what_attention_runs_on():
    import kernels
    assert kernels.choose_backend(torch.zeros(1, device="cuda")) == "triton"


# ------------------------------------------------------------------------ what the processes do
SHAPES = [(1, 1, 16, "float32", True), (17, 17, 80, "float16", True),
          (64, 64, 64, "bfloat16", False), (100, 100, 32, "float32", True),
          (193, 193, 16, "float32", True), (140, 140, 128, "float16", True),
          (1, 70, 32, "float32", True), (65, 130, 40, "float16", True),
          (33, 150, 16, "float32", False), (130, 20, 16, "float32", False)]


# causal, Tq < Tk, around the places where a tile of keys ends at a tile's first query
ENDS = [(2, 64, 16, "float32", True), (2, 65, 16, "float32", True), (2, 66, 16, "float32", True),
        (16, 79, 16, "float32", True), (17, 48, 16, "float32", True), (33, 63, 16, "float32", True),
        (33, 64, 16, "float32", True), (33, 65, 16, "float32", True), (64, 65, 16, "float32", True),
        (65, 128, 16, "float32", True), (100, 131, 16, "float32", True),
        (17, 144, 16, "float16", True)]


def interpret():
    torch.set_num_threads(1)
    import kernels
    from kernels.softmax import LogProb
    kernels.use("triton")
    kernels.choose_backend(torch.zeros(1))  # loads Triton
    borders = lay_outputs_among_nan()
    unknown = LogProb.apply(torch.zeros(2, 3), torch.tensor([3, -1]), "triton")
    claims, broken = other_claims()
    found = {"attention": attention_errors(SHAPES), "ends": attention_errors(ENDS),
             "softmax": softmax_errors(), "claims": claims, "broken_claims": broken,
             "unknown_target_is_nan": bool(unknown.isnan().all()), "refusals": refusals(),
             "lengths": lengths_error(), "many_heads": many_heads_error(), "model": model_error()}
    written = sum(not border.isnan().all() for border in borders)
    return {**found, "outputs": len(borders) // 2, "written_beside": written}


def lay_outputs_among_nan():
    """From now on what torch.empty and empty_like give is nan between nan: so what no program
    writes is seen, and what one writes beside its tensor. Returns the list of these borders."""
    from test_attention import ROOM
    empty, borders = torch.empty, []

    def laid(shape, dtype=None, device=None):
        count = empty(shape, device="meta").numel()
        whole = torch.full((2 * ROOM + count,), math.nan, dtype=dtype)
        borders.extend([whole[:ROOM], whole[-ROOM:]])
        return whole[ROOM:-ROOM].view(shape)

    torch.empty, torch.empty_like = laid, lambda like: laid(like.shape, like.dtype)
    return borders


def other_claims():
    """Runs the tests of the other backends, but one of 600 queries: (how many, those that fail)."""
    import test_attention
    import test_softmax
    tests = {**vars(test_attention), **vars(test_softmax)}
    slow = "test_the_last_queries_alone_give_what_they_gave_among_all"
    calls = [(name, ()) for name, test in tests.items() if name.startswith("test_")
             and list(inspect.signature(test).parameters) == ["backend"] and name != slow]
    loud = "test_the_key_of_a_score_of_hundreds_takes_all_and_nothing_overflows"
    calls += [(loud, (dtype,)) for dtype in (torch.float32, torch.float16)]
    broken = []
    for name, dtype in calls:
        try:
            tests[name]("cpu", *dtype)
        except AssertionError:
            broken.append(name)
    return len(calls), broken


def refusals():
    import kernels
    double = torch.zeros(1, 1, 2, 16, dtype=torch.float64)
    found = []
    for call in (lambda: kernels.attention(double, double, double),
                 lambda: kernels.softmax(double), lambda: kernels.softmax(torch.zeros(1, 65537))):
        try:
            found.append(call() and "")
        except ValueError as error:
            found.append(str(error))
    return found


def attention_errors(shapes):
    from test_attention import LIMIT, worst_error
    found = []
    for case in shapes:
        Tq, Tk, D, name, causal = case
        dtype = getattr(torch, name)
        error = worst_error(Tq, Tk, D, dtype, causal, rows=(1, 2 if Tq < 20 else 1))
        found.append({"case": case, "error": error, "limit": LIMIT[dtype]})
    return found


def lengths_error():
    import kernels
    from test_attention import plain, random_tensors
    q, k, v = random_tensors(2, *[(4, 2, T, 16) for T in (2, 80, 80)])
    lengths = [3, 64, 65, 80]
    exact = [t.double().split(1) for t in (q, k, v)]
    alone = [plain(q1, k1[:, :, :n], v1[:, :, :n], True)
             for q1, k1, v1, n in zip(*exact, lengths)]
    for b, n in enumerate(lengths):  # what an old roll-out may have left in the cache
        k[b, :, n:] = float("nan")
        v[b, :, n:] = float("nan")
    strided = torch.tensor(lengths).repeat_interleave(2)[::2]  # with gaps
    together = kernels.attention(q, k, v, lengths=strided)
    return (together - torch.cat(alone)).abs().max().item()


def many_heads_error():
    """Where a launch may take three heads: the error, and the most heads that one took."""
    from test_attention import worst_error
    file = sys.modules["kernels.attention"]
    kernel, heads = file.attention_kernel, []

    class Watched:
        def __getitem__(self, grid):
            heads.append(grid[1])
            return kernel[grid]

    before, file.MOST_HEADS, file.attention_kernel = file.MOST_HEADS, 3, Watched()
    errors = [worst_error(5, 9, 16, torch.float32, True, rows=rows) for rows in ((3, 2), (1, 4))]
    errors.append(lengths_error())
    file.MOST_HEADS, file.attention_kernel = before, kernel
    return {"error": torch.tensor(errors).max().item(), "heads": max(heads)}


def softmax_errors():
    from test_softmax import LIMIT, worst_error
    found = []
    for V in (1, 17, 257, 1000):
        for dtype, limit in LIMIT.items():
            generator = torch.Generator().manual_seed(V)
            x, dy = (torch.randn(3, V, generator=generator).to(dtype) for _ in range(2))
            targets = torch.randint(0, V, (3,), generator=generator)
            error = worst_error(x, dy, targets, torch.randn(3, generator=generator))
            found.append({"case": (V, str(dtype)), "error": error, "limit": limit})
    return found


def model_error():
    import kernels
    from model import GPT, GPTConfig
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=40, block_size=12, n_layer=1, n_head=2, n_embd=32))
    tokens = torch.arange(26).view(2, 13)
    gradients = []
    for backend in ("triton", "torch"):
        kernels.use(backend)
        model.zero_grad()
        loss = -kernels.log_prob(model(tokens[:, :-1]), tokens[:, 1:]).mean()
        loss.backward()
        gradients.append(torch.cat([loss.view(1), *(p.grad.flatten() for p in model.parameters())]))
    return ((gradients[0] - gradients[1]).norm() / gradients[1].norm()).item()


def compile_all(arch):
    """As the model launches them: D = 32, V = 4096, bfloat16 to train and float32 to sample. And
    the larger heads of attention."""
    from kernels.attention import specs as attention_specs
    from kernels.measure import compile_spec, machine_code
    from kernels.softmax import specs as softmax_specs
    specs = attention_specs((32,), ("bf16", "fp32")) + softmax_specs((4096,), ("bf16", "fp32"))
    specs += attention_specs((64, 128), ("fp16",))
    found = []
    for spec in specs:
        half_decode = "decode" in spec["name"] and "fp32" not in spec["name"]
        if arch in spec.get("arch", (80, 90)) and not half_decode:
            compiled = compile_spec(spec, arch)
            found.append({"name": spec["name"], "arch": arch, **resources(compiled)})
            if len(found) == 1:             # it takes a second
                found[0]["machine_code"] = machine_code(compiled)
    return found


def resources(compiled):
    """stack: bytes of a thread, where a spilled register would lie. matrix: instructions for the
    tensor cores, each of which becomes one of the machine's."""
    from triton import knobs
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(compiled.asm["cubin"])
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        used = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ptx = compiled.asm["ptx"]
    return {"stack": int(re.search(r"STACK:(\d+)", used)[1]), "shared": compiled.metadata.shared,
            "matrix": ptx.count("mma.sync") + ptx.count("wgmma.mma")}


if __name__ == "__main__":
    what = sys.argv[1]
    print(json.dumps(interpret() if what == "interpret" else compile_all(int(what))))
