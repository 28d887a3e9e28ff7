"""The plumbing: flags, errors, saving, intervals, the progress line."""
import io
import json
import platform
import random
import shlex
import signal
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import model as M
import run
from bpe import train_bpe
from conftest import ON_GPU, run_stages
from run import UserError, chat
from run import team as team_module
from run.rows import by_length, pad_rows, share_context
from run.saving import read_checkpoint
from run.team import matmul_flops


@dataclass
class Config(run.CommonConfig):
    data: tuple = run.flag((), "files")
    steps: int = run.flag(400, "optimizer steps", quick=4, least=1)
    rate: float = run.flag(0.5, "how fast", least=0.0)
    kind: str = run.flag("a", "which", choices=("a", "b"))
    save_every: int = run.flag(5, "how often", quick=0, least=0)


def test_the_dataclass_is_the_command_line():
    arguments = "--steps 7 --data x y --kind b --rate 2".split()
    config = run.parse_config(Config, "doc", arguments)
    assert (config.steps, config.data, config.kind) == (7, ("x", "y"), "b")
    assert (config.rate, config.out) == (2.0, "out")


def test_quick_changes_only_what_was_not_given():
    default, quick = (run.parse_config(Config, "doc", flags) for flags in ([], ["--quick"]))
    assert (default.steps, default.save_every, default.rate) == (400, 5, 0.5)
    assert (quick.steps, quick.save_every, quick.rate) == (4, 0, 0.5)
    assert run.parse_config(Config, "doc", ["--quick", "--steps", "9"]).steps == 9
    assert (default.quick, quick.quick, quick.resume) == (False, True, False)


def test_the_least_value_is_allowed():
    config = run.parse_config(Config, "doc", "--steps 1 --rate 0 --save-every 0".split())
    assert (config.steps, config.rate, config.save_every) == (1, 0.0, 0)


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--steps", "x"], ["--kind", "c"],
                                       ["--rate", "inf"], ["--rate", "nan"],
                                       ["--rate", "-1"], ["--save-every", "-1"],
                                       ["--unknown"], ["--data"]])
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


@pytest.mark.parametrize("flags, said", [
    ("", "python train_rm.py"),
    ("--quick --out q", "python train_rm.py --quick --out q"),
    ("--data mine.jsonl more.jsonl", "python train_rm.py --data YOUR_RANKINGS")])
def test_the_next_stage_is_named_with_the_flags_that_it_needs(flags, said):
    config = run.parse_config(Config, "doc", flags.split())
    assert run.next_command("train_rm.py", config, "YOUR_RANKINGS") == said
    config.out = "a folder"
    assert shlex.split(run.next_command("train_rm.py", config, "x"))[-1] in ("a folder", "x")


def test_what_a_user_can_mend_is_one_line_and_exit_code_2(capsys):
    def broken():
        raise run.UserError("out/sft.pt not found:\n run train_sft.py")
    with pytest.raises(SystemExit) as stop:
        run.main(broken)
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", "error: out/sft.pt not found: run train_sft.py\n")


@pytest.mark.parametrize("mistake, code, words", [
    (FileNotFoundError(2, "No such file", "x.txt"), 2, "error: x.txt: No such file\n"),
    (OSError(28, "No space left"), 2, "error: a file: No space left\n"),
    (KeyboardInterrupt(), 130, "--resume goes on from the last save"),
])
def test_a_broken_file_and_ctrl_c_end_in_a_line_and_a_code_of_their_own(
        capsys, mistake, code, words):
    def broken():
        raise mistake
    with pytest.raises(SystemExit) as stop:
        run.main(broken)
    assert stop.value.code == code and words in capsys.readouterr().err


def test_a_reader_who_has_gone_is_no_mistake(monkeypatch, capfd):
    def broken():
        raise BrokenPipeError
    with monkeypatch.context() as patched:
        patched.setattr(run.os, "dup2", lambda *_: None)
        with pytest.raises(SystemExit) as stop:
            run.main(broken)
    assert stop.value.code == 0 and capfd.readouterr().err == ""


def test_ctrl_c_waits_inside_the_block_and_works_again_after_it():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)   # a job behind & ignores it
    with run.ctrl_c_waits() as stopped:
        assert not stopped
        signal.raise_signal(signal.SIGINT)
        assert stopped
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


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
    assert (round(apart["low"], 4), round(apart["high"], 4)) == (0.4038, 0.5962)   # Wilson's, 100
    together = run.share([1, 0] * 50, ["right", "wrong"] * 50)      # Wilson's for 2: says little
    assert (round(together["low"], 4), round(together["high"], 4)) == (0.0945, 0.9055)
    assert run.share([1, 3], "ab", wholes=[4, 4])["value"] == 0.5


def test_where_all_answers_are_alike_the_interval_is_wilsons_for_the_entities():
    none, all_of_them = run.share([0] * 30, "abcde" * 6), run.share([True] * 10, range(10))
    assert (round(none["low"], 9), round(none["high"], 4)) == (0, 0.4345)       # 0 of 5, z = 1.96
    assert (round(all_of_them["low"], 4), round(all_of_them["high"], 9)) == (0.7225, 1)  # 10 of 10
    assert run.share([], [])["n"] == 0


def test_one_answer_more_moves_an_interval_a_little():
    """From none of 200 to one, as from ten to eleven."""
    entities = [i % 20 for i in range(200)]
    highs = [run.share([i < k for i in range(200)], entities)["high"] for k in range(12)]
    assert all(abs(later - one) < 0.03 for one, later in zip(highs, highs[1:]))


def test_an_interval_holds_the_share_in_19_of_20_worlds_near_nothing_too():
    """13 entities with ten answers each; how often one is right is drawn for each entity."""
    rng, held = np.random.default_rng(0), 0
    entities = [i % 13 for i in range(130)]
    for _ in range(400):
        right = rng.beta(0.1 * 2.3, 0.9 * 2.3, 13)              # mean 0.1, within an entity alike
        figure = run.share(rng.random(130) < right[entities], entities)
        held += figure["low"] <= 0.1 <= figure["high"]
    assert held > 0.94 * 400


def test_figures_are_shown_as_people_read_them():
    figure = {"value": 0.8, "n": 10, "low": 0.4902, "high": 0.9433}
    assert run.shown(figure) == "80% (49-94)"
    assert run.shown(figure, digits=1) == "80.0% (49.0-94.3)"
    assert run.shown(0.5) == "0.50"
    assert run.means([{"a": 1, "b": 5}, {"a": 2, "b": 6}]) == {"a": 1.5, "b": 5.5}


def test_a_seed_moves_both_generators_and_nobody_elses():
    def drawn(seed):
        rng, generator = run.generators(seed)
        return rng.random(), float(torch.rand(1, generator=generator))
    before = random.getstate(), torch.get_rng_state()
    one, again, other = drawn(1), drawn(1), drawn(2)
    assert one == again and one[0] != other[0] and one[1] != other[1]
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


def test_progress_prints_ten_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    progress = run.Progress(200, out=out)
    for step in range(1, 201):
        progress.report(step, loss=1.25, tokens_per_second=16000.0)
    lines = out.getvalue().splitlines()
    assert 10 <= len(lines) <= 11 and lines[-1].startswith("step 200/200")
    steps = [int(line.split("/")[0].removeprefix("step ")) for line in lines]
    assert steps == [1, *range(20, 201, 20)]
    assert "loss 1.250 nats" in lines[-1] and "16,000 tokens/s" in lines[-1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_line_is_written_over_and_the_last_one_stays():
    out = Terminal()
    progress = run.Progress(3, out=out)
    for step in (1, 2, 3):
        progress.report(step, loss=1.0)
    lines = out.getvalue().split("\r\033[K")
    assert [line[:8] for line in lines] == ["", "step 1/3", "step 2/3", "step 3/3"]
    assert out.getvalue().count("\n") == 1 and out.getvalue().endswith("\n")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until its `now` is set."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "time", lambda: clock.now)
    return clock


@pytest.mark.parametrize("step, seconds, words", [
    (60, 10, "0:20 left"),                      # 20 steps in 10 seconds, 40 to come
    (41, 5, "4:55 left"),                       # one in 5, 59 to come
    (90, 325, "1:05 left"),
    (100, 30, "30 s"),
])
def test_the_time_left_is_told_from_the_steps_since_the_resume(clock, step, seconds, words):
    out = io.StringIO()
    progress = run.Progress(100, first_step=40, out=out)
    clock.now += seconds
    progress.report(step)
    assert out.getvalue() == f"step {step:3}/100  {words}\n"
    assert progress.per_second(4 * seconds) == 4


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
def test_memory_that_is_freed_stays_with_the_process(script, tmp_path):
    (tmp_path / "steps.py").write_text("""
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
""")
    code, printed, errors = script(tmp_path / "steps.py")
    assert code == 0 and int(printed) < 1000, printed + errors


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
    assert share_context(0, 64) == (24, 40) and share_context(0, 32) == (16, 16)
    assert share_context(24, 32) == (24, 8) == share_context(24, 32, own=True)
    assert share_context(0, 64, own=True) == (32, 32)
    for longest, context in ((25, 32), (80, 64), (0, 8)):
        with pytest.raises(UserError, match="no room for a question"):
            share_context(longest, context)


def test_a_file_is_known_by_what_it_says(tmp_path):
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).write_text(text)
    a, b, c = (run.digest(tmp_path / name) for name in "abc")
    assert a == b != c and run.digest() != a
    both = [run.digest(tmp_path / one, tmp_path / other) for one, other in ("ab", "ac", "ca")]
    assert len({*both, a}) == 4


# ------------------------------------------------------------------------------- saving
def test_rows_are_written_a_line_each_into_a_folder_that_is_made(tmp_path):
    rows = [{"kl": 0.5, "text": "é"}, {"kl": 1.5}]
    path = tmp_path / "new" / "one" / "rows.jsonl"
    run.write_json_lines(path, rows)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == rows
    run.write_json(path, rows)
    assert run.read_json(path) == rows and "é" in path.read_text(encoding="utf-8")


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    (tmp_path / "a").write_text("old")
    with run.atomic(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    with pytest.raises(KeyError), run.atomic(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert (tmp_path / "a").read_text() == "new" and list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_json_that_is_missing_or_broken_is_named_with_the_script_that_makes_it(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(run.UserError, match="a.json not found: run `python train_x.py` first"):
        run.read_json(path, "train_x.py")
    path.write_text("{")
    with pytest.raises(run.UserError, match="a.json cannot be read as JSON"):
        run.read_json(path)


def test_a_stage_goes_on_from_its_own_save_in_any_folder_and_only_with_resume(tmp_path):
    config = Config(out=str(tmp_path / "one"))
    run.Resumable(config, "sft").save(step=3)
    assert run.Resumable(config, "sft").load() == {}
    (tmp_path / "one").rename(tmp_path / "two")
    moved = Config(out=str(tmp_path / "two"), resume=True)
    assert run.Resumable(moved, "sft").load() == {"step": 3}
    assert run.Resumable(moved, "rm").load() == {}


def test_what_is_no_checkpoint_of_ours_is_named_with_its_mend(tmp_path, monkeypatch):
    parts = dict.fromkeys(("config", "weights", "tokenizer", "meta", "scalar"), 1)
    path = tmp_path / "there" / "ppo.pt"
    for content, words in [
            (None, "ppo.pt not found: run `python train_ppo.py` first"),
            ({"step": 3}, "ppo.pt holds no model"),
            ({**parts, "meta": SimpleNamespace()}, "not a file that this project saved"),
            (parts, "tokenizer.json not found: it belongs beside ppo.pt")]:
        if content:
            run.save_torch(path, content)
        (tmp_path / "tokenizer.json").touch()   # here, not there
        monkeypatch.chdir(tmp_path)
        with pytest.raises(run.UserError, match=words):
            read_checkpoint(path, "cpu")
    with pytest.raises(run.UserError, match="mine.pt not found: check the path"):
        read_checkpoint(path.with_name("mine.pt"), "cpu")
    path.with_name("tokenizer.json").touch()
    assert read_checkpoint(path, "cpu") == (parts, path.with_name("tokenizer.json"))


# ------------------------------------------------------------------------------- rows
def test_rows_are_padded_behind_their_end():
    rows, lengths = pad_rows([[7], [3, 4, 5]], 8, "cpu")
    assert rows.tolist() == [[7, 0, 0], [3, 4, 5]] and lengths.tolist() == [1, 3]
    for bad in ([[7], []], [[7], [8]], [[7], [-1]]):
        with pytest.raises(ValueError):
            pad_rows(bad, 8, "cpu")


def test_rows_of_like_length_are_computed_together_without_the_padding_of_others():
    tokens, shapes = torch.arange(48).view(4, 12), []

    def function(rows, whole, chosen):
        shapes.append((rows.shape, whole.shape, chosen.shape))
        return chosen

    lengths = torch.tensor([12, 2, 12, 3])
    answer = by_length(function, tokens, lengths, tokens, tokens[:, 1:], parts=2)
    assert shapes == [((2, 3), (2, 3), (2, 2)), ((2, 12), (2, 12), (2, 11))]
    for row, found, n in zip(tokens[:, 1:], answer, lengths):
        assert torch.equal(found[: n - 1], row[: n - 1])


# ------------------------------------------------------------------------------- team
class Alone:
    """A team of one process; with `first` the answer is that of another one, the first."""
    rank = 0

    def __init__(self, first=None):
        self.first = first

    def agree(self, value, how="mean"):
        return self.first if self.first is not None and how == "first" else value


def test_a_run_by_steps_is_over_after_the_last_and_not_before(clock):
    steps = run.Clock(4, 0, clock.now, Alone())
    assert [steps.way(step) for step in (0, 1, 4)] == [0, 0.25, 1]
    assert [steps.over(step) for step in (0, 3, 4, 5)] == [False, False, True, True]


def test_a_run_by_minutes_makes_a_step_and_goes_by_the_first_ones_clock(clock):
    minutes = run.Clock(4, 2, clock.now - 60, Alone())      # a minute before it was resumed
    assert minutes.way(1) == 0.5 and not minutes.over(99)
    clock.now += 90
    assert minutes.way(1) == 1 and minutes.over(1) and not minutes.over(0)
    assert run.Clock(4, 2, clock.now, Alone(first=0.75)).way(1) == 0.75


@pytest.mark.parametrize("minutes, start, middle, end", [
    (0, 0, "step 70/100", "step 100/100"),
    (2, 30, "second  75/120", "second 120/120"),
])
def test_the_line_on_screen_counts_what_ends_the_run(clock, capsys, minutes, start, middle, end):
    watch = run.Clock(100, minutes, clock.now - start, Alone())
    watch.start(50)
    clock.now += 45
    watch.report(70, over=False)
    watch.report(100, over=False)               # not yet: the line ends with the run
    clock.now += 60
    watch.report(100, over=True)
    printed = capsys.readouterr().out
    assert printed.replace("step  ", "step ").startswith(middle) and f"\n{end}" in printed
    left = {0: "1:07 left", 2: "0:45 left"}[minutes]        # 20 steps took 45 s, or 45 s are left
    assert left in printed and printed.count(end) == 1
    watch.team.rank = 1
    watch.report(100, over=True)
    assert capsys.readouterr().out == ""


def test_a_stopwatch_counts_the_seconds_inside_its_blocks_and_those_before_the_resume(clock):
    watch = run.Stopwatch(torch.device("cpu"), seconds=10.0)
    for seconds in (2, 3):
        with watch:
            clock.now += seconds
        clock.now += 100
    assert watch.seconds == 15 and watch.per_second(30) == 2
    watch.rates = [400.0, 600.0]
    speed = watch.speed(30, 50, processes=2)    # 2 tokens a second, 50 operations each, of 500
    assert speed["share_of_matmul_rate"] == pytest.approx(0.2)
    assert speed["matmul_flops_per_second"] == 500 and speed["tokens_per_second"] == 2


def test_a_product_of_two_squares_of_n_counts_2_n_cubed_operations(monkeypatch):
    ticks = iter(range(9))
    monkeypatch.setattr(time, "time", lambda: next(ticks))
    rate = matmul_flops(torch.device("cpu"), seconds=2.5)   # two products; looked at after 4 s
    assert rate == 2 * 2 * 1024**3 / 4


class Others:
    """Stands for torch.distributed: beside this process there are some that hold `values`."""

    def __init__(self, values=()):
        self.values = values

    def all_reduce(self, shared):
        shared += sum(self.values)

    def broadcast(self, shared, source):
        assert source == 0
        shared.fill_(self.values[0])

    def init_process_group(self, backend):
        pass

    def new_group(self, backend, timeout):
        pass


def team_of(monkeypatch, size, rank=0, values=()):
    monkeypatch.setenv("WORLD_SIZE", str(size))
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(team_module, "dist", Others(values))
    return run.Team(SimpleNamespace(batch_size=6, device="cpu"))


def test_the_processes_share_the_rows_of_a_batch_and_each_row_has_one(monkeypatch):
    rows = torch.arange(12).view(6, 2)
    shares = [team_of(monkeypatch, 3, rank).own(rows) for rank in range(3)]
    assert all(share.shape == (2, 2) for share in shares)
    assert sorted(torch.cat(shares)[:, 0].tolist()) == rows[:, 0].tolist()
    with pytest.raises(run.UserError, match="--batch-size 6 cannot be shared by 4.*multiple of 4"):
        team_of(monkeypatch, 4)


def test_processes_agree_on_the_mean_or_on_the_first_and_one_is_enough_to_stop(monkeypatch):
    assert team_of(monkeypatch, 1).agree(0.3) == 0.3
    team = team_of(monkeypatch, 3, 1, values=(0.5, 0.0))
    assert team.agree(2.5) == 1.0 and team.agree(2.5, how="first") == 0.5
    assert team_of(monkeypatch, 3, 1, values=(0.0, 1.0)).any(False)
    assert team_of(monkeypatch, 3, 1, values=(0.0, 0.0)).any([True])
    assert not team_of(monkeypatch, 3, 1, values=(0.0, 0.0)).any([])


def test_auto_is_a_gpu_where_there_is_one():
    assert run.pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert run.pick_device("cpu").type == "cpu"
