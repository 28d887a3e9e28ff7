"""Exercises: every mark makes a file with one hole; the tests tell an empty or wrong hand-in from
ours."""
import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from conftest import beside, file_of_ours, run_script

ROOT = Path(__file__).resolve().parent.parent
PYTEST = Path(pytest.__file__).with_name("__main__.py")
spec = importlib.util.spec_from_file_location("exercise", ROOT / "lessons" / "exercise.py")
exercise = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exercise)
EXERCISES = exercise.exercises()


def grade(tests, *paths):
    """(exit code, what the tests printed) for these hand-ins."""
    hand_ins = [word for path in paths for word in ("--submission", path)]
    return run_script(PYTEST, "-q", "-p", "no:cacheprovider", *tests, *hand_ins)[:2]


@pytest.mark.parametrize("name", EXERCISES)
def test_a_stub_keeps_signature_and_docstring_and_raises(name):
    path, mark, _ = EXERCISES[name]
    ours, stub = ast.parse(path.read_text(encoding="utf-8")), ast.parse(exercise.stub(name))
    dotted = name[len(".".join(path.relative_to(ROOT).with_suffix("").parts)) + 1:]
    before, after = (dict(exercise.functions(tree))[dotted] for tree in (ours, stub))
    assert ast.dump(before.args) == ast.dump(after.args)
    assert ast.get_docstring(before) == ast.get_docstring(after)
    last = after
    while hasattr(last, "body"):            # a hole inside a loop ends in that loop
        last = last.body[-1]
    assert isinstance(last, ast.Raise) and name in ast.unparse(last)
    assert [n for n, _ in exercise.functions(ours)] == [n for n, _ in exercise.functions(stub)]


MARKED = '''def before():
    """No exercise."""
    return 0


class Numbers:
    def twice(self, x):
        """Two x."""
        y = x
        # exercise: as much again
        for _ in range(1):

            y = y + x           # once more
        # what stands here is the answer's too
        return y

    def after(self):
        return 1


def other(x):
    if x:
        # exercise: the rest
        x = 2
        return x
'''
WITH_A_HOLE = MARKED[: MARKED.index("        # exercise: as much")] + '''\
        # as much again (about 3 lines)
        raise NotImplementedError("exercise kernels.numbers.Numbers.twice")

''' + MARKED[MARKED.index("    def after"):]


@pytest.fixture
def marked(tmp_path, monkeypatch):
    path = tmp_path / "kernels" / "numbers.py"
    path.parent.mkdir()
    path.write_text(MARKED)
    monkeypatch.setattr(exercise, "ROOT", tmp_path)
    monkeypatch.setattr(exercise, "FILES", [path])


def test_a_hole_reaches_from_the_mark_to_the_end_of_its_function(marked):
    assert list(exercise.exercises()) == ["kernels.numbers.Numbers.twice", "kernels.numbers.other"]
    assert exercise.stub("kernels.numbers.Numbers.twice") == WITH_A_HOLE
    assert exercise.stub("kernels.numbers.other").endswith("""    if x:
        # the rest (about 2 lines)
        raise NotImplementedError("exercise kernels.numbers.other")
""")


def test_the_command_line_lists_the_tasks_writes_a_file_and_refuses_what_it_does_not_know(
        marked, monkeypatch, capsys):
    def printed(*arguments):
        monkeypatch.setattr(sys, "argv", ["exercise.py", *arguments])
        exercise.main()
        return capsys.readouterr().out

    rows = [line.split(maxsplit=1) for line in printed().splitlines()]
    assert rows == [["kernels.numbers.Numbers.twice", "as much again"],
                    ["kernels.numbers.other", "the rest"]]
    assert printed("kernels.numbers.Numbers.twice") == WITH_A_HOLE
    for wrong in (["numbers.twice"], ["kernels.numbers.other", "more"]):
        with pytest.raises(SystemExit) as stopped:
            printed(*wrong)
        said = capsys.readouterr()
        assert (stopped.value.code, said.out, said.err.count("\n")) == (2, "", 1)


HAND_INS = [                                # exercise, good line, wrong line
    ("train_rm.ranking_loss", "ranks[:, :, None] < ranks[:, None, :]",
     "ranks[:, :, None] <= ranks[:, None, :]"),
    ("train_ppo.gae", "gamma * later_value", "later_value"),
]


def ours(name, good, wrong):
    source = EXERCISES[name][0].read_text(encoding="utf-8")
    assert good in source
    return source


def empty(name, good, wrong):
    return exercise.stub(name)


def mistaken(name, good, wrong):
    return ours(name, good, wrong).replace(good, wrong)


@beside
def test_an_empty_hole_and_a_wrong_line_fail_and_our_own_file_passes(folder):
    tests = ["tests/test_train_rm.py", "tests/test_train_ppo.py",
             "-k", "mean_over_pairs or pairs_of_equal_rank or gae"]

    def hand_in(source_of):                 # both exercises at once
        for name, good, wrong in HAND_INS:
            path = folder / EXERCISES[name][0].name
            path.write_text(source_of(name, good, wrong), encoding="utf-8")
        return grade(tests, *folder.iterdir())

    code, printed = hand_in(ours)
    assert code == 0, printed
    for source_of in (empty, mistaken):
        code, printed = hand_in(source_of)
        assert code == 1 and "FAILED tests/test_train_rm.py" in printed, printed
        assert "FAILED tests/test_train_ppo.py" in printed, printed


def test_a_hand_in_replaces_the_file_whose_name_it_bears_wherever_it_lies():
    for folder in (ROOT / "hand_in", Path("hand_in"), Path("/elsewhere"), Path(".")):
        assert file_of_ours(folder / "train_ppo.py") == "train_ppo.py"
        assert file_of_ours(folder / "kernels" / "softmax.py") == "kernels/softmax.py"
        assert file_of_ours(folder / "mine.py") is None


def test_a_submission_whose_name_is_none_of_ours_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text("")
    assert grade(["tests/test_run.py"], tmp_path / "mine.py")[0] == 4


TRICKS = {                                  # a hand-in, and what is said of it
    "import os\nos._exit(0)\n": "ended Python before the last test",
    "def (\n": "SyntaxError",
    f"exec(open({str(ROOT / 'kernels' / 'softmax.py')!r}).read())\n": "reads our own kernels",
}


@beside
def test_a_hand_in_that_plays_tricks_fails_and_says_why(folder):
    path = folder / "kernels" / "softmax.py"
    path.parent.mkdir()
    for source, words in TRICKS.items():
        path.write_text(source)
        code, printed = grade(["tests/test_softmax.py", "-k", "finite_differences"], path)
        assert code != 0 and words in printed, printed


@beside
def test_an_endless_loop_in_a_hand_in_is_a_test_that_failed(folder):
    path = folder / "kernels" / "softmax.py"
    path.parent.mkdir()
    stub = exercise.stub("kernels.softmax.softmax_backward_numpy")
    path.write_text(re.sub("raise NotImplementedError.*", "while True: pass", stub))
    tests = ["tests/test_softmax.py", "-k", "finite_differences", "--test-seconds", "2"]
    code, printed = grade(tests, path)
    assert code == 1 and "is there an endless loop?" in printed, printed


@beside
def test_a_hand_in_that_no_test_looks_at_has_not_passed(folder):
    (folder / "link").mkdir()
    (folder / "link" / "train_rm.py").symlink_to(ROOT / "train_rm.py")
    code, printed = grade(["tests/test_facts.py"], folder / "link" / "train_rm.py")
    assert code == 1 and "looked at the hand-in train_rm.py" in printed
