"""The plumbing: flags, errors, saving, intervals, the progress line."""
import io
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import model as M
import run
from bpe import train_bpe
from conftest import ON_GPU, run_stages
from run import UserError, chat
from run.rows import share_context


@dataclass
class Config(run.CommonConfig):
    data: tuple = run.flag((), "files")
    steps: int = run.flag(400, "optimizer steps", quick=4, least=1)
    rate: float = run.flag(0.5, "how fast", least=0.0)
    kind: str = run.flag("a", "which", choices=("a", "b"))


def test_the_dataclass_is_the_command_line():
    arguments = "--steps 7 --data x y --kind b --rate 2".split()
    config = run.parse_config(Config, "doc", arguments)
    assert (config.steps, config.data, config.kind) == (7, ("x", "y"), "b")
    assert (config.rate, config.out) == (2.0, "out")


def test_quick_changes_only_what_was_not_given():
    assert run.parse_config(Config, "doc", ["--quick"]).steps == 4
    assert run.parse_config(Config, "doc", ["--quick", "--steps", "9"]).steps == 9


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--steps", "x"], ["--kind", "c"],
                                       ["--rate", "inf"], ["--unknown"], ["--data"]])
def test_a_bad_flag_is_one_line_and_exit_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        run.parse_config(Config, "doc", arguments)
    errors = capsys.readouterr().err
    assert stop.value.code == 2 and errors.startswith("error: ") and errors.count("\n") == 1


def test_help_prints_the_docstring_and_each_flag_with_its_defaults(capsys):
    with pytest.raises(SystemExit):
        run.parse_config(Config, "what this stage does", ["--help"])
    printed = capsys.readouterr().out
    assert "what this stage does" in printed and "--steps" in printed
    assert "(default 400; quick 4)" in printed


def test_what_a_user_can_mend_is_one_line_and_exit_code_2(capsys):
    def broken():
        raise run.UserError("out/sft.pt not found:\n run train_sft.py")
    with pytest.raises(SystemExit) as stop:
        run.main(broken)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: out/sft.pt not found: run train_sft.py\n"


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path):
    run.write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError):
        run.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_broken_file_is_named_with_its_mend(tmp_path, content):
    (tmp_path / "sft.pt").write_bytes(content)
    with pytest.raises(run.UserError, match="sft.pt .*train_sft.py"):
        run.read_torch(tmp_path / "sft.pt", "train_sft.py")


def test_resume_refuses_other_flags_and_says_when_nothing_is_saved(tmp_path, capsys):
    config = Config(out=str(tmp_path), resume=True)
    assert run.Resumable(config, "sft").load() == {}
    assert "starting afresh" in capsys.readouterr().err
    run.Resumable(config, "sft", {"text": "one"}).save(step=3)
    assert run.Resumable(config, "sft", {"text": "one"}).load() == {"step": 3}
    other = Config(out=str(tmp_path), resume=True, seed=1)
    with pytest.raises(run.UserError, match="seed = 0, now it is 1"):
        run.Resumable(other, "sft", {"text": "one"}).load()
    with pytest.raises(run.UserError, match="another text than there is now"):
        run.Resumable(config, "sft", {"text": "two"}).load()


def test_what_was_saved_goes_on_where_it_was(tmp_path):
    config = Config(out=str(tmp_path), resume=True)
    rng, generator = run.generators(1)
    linear = torch.nn.Linear(2, 2)
    parts = {"rng": rng, "generator": generator, "model": linear}
    run.Resumable(config, "sft", **parts).save(rows=[{"kl": 0.5}])
    after = rng.random(), torch.rand(2, generator=generator).tolist()
    weight = linear.weight.detach().clone()
    linear.weight.data.zero_()
    assert run.Resumable(config, "sft", **parts).load() == {"rows": [{"kl": 0.5}]}
    assert (rng.random(), torch.rand(2, generator=generator).tolist()) == after
    assert torch.equal(linear.weight, weight)


def test_the_interval_of_a_share_is_over_entities_and_not_over_answers():
    apart = run.share([1, 0] * 50, range(100))
    assert apart["value"] == 0.5 and apart["n"] == 100
    assert 0.38 < apart["low"] < 0.42 and 0.58 < apart["high"] < 0.62      # 0.5 -+ 1.96 x 0.05
    together = run.share([1, 0] * 50, ["right", "wrong"] * 50)             # two entities say little
    assert (together["low"], together["high"]) == (0, 1)
    assert run.share([1, 3], "ab", wholes=[4, 4])["value"] == 0.5


def test_where_all_answers_are_alike_the_interval_is_wilsons_for_the_entities():
    none, all_of_them = run.share([0] * 30, "abcde" * 6), run.share([True] * 10, range(10))
    assert (none["low"], round(none["high"], 4)) == (0, 0.4345)             # 0 of 5, z = 1.96
    assert (round(all_of_them["low"], 4), all_of_them["high"]) == (0.7225, 1)   # 10 of 10
    assert run.share([], [])["n"] == 0


def test_progress_prints_ten_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    progress = run.Progress(200, out=out)
    for step in range(1, 201):
        progress.report(step, loss=1.25, tokens_per_second=16000.0)
    lines = out.getvalue().splitlines()
    assert 10 <= len(lines) <= 11 and lines[-1].startswith("step 200/200")
    assert "loss 1.250 nats" in lines[-1] and "16,000 tokens/s" in lines[-1]


def test_a_device_that_is_not_here_is_named():
    with pytest.raises(run.UserError, match="--device tpu9"):
        run.pick_device("tpu9")


@pytest.mark.parametrize("name, words", [("abacus", "KERNELS=abacus"),
                                         ("triton", "Triton kernels need a GPU")])
def test_kernels_that_cannot_run_here_are_named_before_anything_starts(monkeypatch, name, words):
    monkeypatch.setenv("KERNELS", name)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(run.UserError, match=words):
        run.pick_device("cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told so")
def test_memory_that_is_freed_stays_with_the_process():
    code = """
import ctypes, resource, run
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def step():
    blocks = [libc.malloc(20 << 20) for _ in range(6)]  # 120 MB: 30,000 faults a step if given back
    for block in blocks:
        ctypes.memset(block, 1, 20 << 20)
    for block in reversed(blocks):
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def main():
    first = step()                                      # finds out how much it needs
    for _ in range(5):
        last = step()
    print(last - first)
run.main(main)
"""
    root = Path(run.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert int(done.stdout) < 1000, done.stdout + done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_all_four_stages_run_on_a_gpu(tmp_path):
    run_stages(tmp_path, "--device", "cuda", env=ON_GPU)
    for stage in ("pretrain", "sft", "rm", "ppo"):
        assert (tmp_path / f"{stage}.json").exists()
    curve = json.loads((tmp_path / "pretrain.json").read_text())["curve"]
    assert curve[-1][1] < curve[0][1] - 1       # nats: in bfloat16 and compiled, it still learns


class Dialogue:
    """What the chat needs of a model: it says the ids it is told to."""
    config = M.GPTConfig(block_size=64)

    def stream(self, rows, max_new_tokens, pick, stop):
        self.asked = rows[0]
        yield torch.tensor([97]), torch.zeros(1), torch.ones(1, dtype=torch.bool)


def test_the_chat_keeps_the_last_turn_as_long_as_a_short_answer_fits():
    tokenizer = train_bpe(["abc"], 259, M.SPECIAL_TOKENS)
    talker = object.__new__(chat.Talker)
    talker.model, talker.tokenizer, talker.chat = Dialogue(), tokenizer, True
    talker.options = SimpleNamespace(max_new_tokens=40, temperature=0, top_k=None, top_p=None)
    talker.generator, talker.turns = None, [("old", "x"), ("last one", "y" * 10)]
    assert talker.answer("and now?") == "a"
    wanted = M.encode_chat(tokenizer, [("last one", "y" * 10), ("and now?", None)])
    assert talker.model.asked == wanted
    talker.answer("z" * 40)                     # nothing else fits beside that
    assert talker.model.asked == M.encode_chat(tokenizer, [("z" * 40, None)])


def test_a_terminal_with_fewer_letters_shows_signs_in_their_place(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    run.main(lambda: print("München, Москва", flush=True))
    assert written.getvalue().decode("cp1252").strip() == "München, ??????"


def test_answer_and_prompt_share_the_context():
    assert share_context(0, 64) == (32, 32) and share_context(0, 32) == (16, 16)
    assert share_context(24, 32) == (24, 8)
    for longest, context in ((25, 32), (80, 64), (0, 8)):
        with pytest.raises(UserError, match="no room for a question"):
            share_context(longest, context)


def test_a_file_is_known_by_what_it_says(tmp_path):
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).write_text(text)
    a, b, c = (run.digest(tmp_path / name) for name in "abc")
    assert a == b != c and run.digest() != a
