"""Exercises: every mark makes a file with one hole, and the tests tell an empty or wrong hand-in from ours."""
import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import beside

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("exercise", ROOT / "lessons" / "exercise.py")
exercise = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exercise)
EXERCISES = exercise.exercises()


def grade(tests, *paths):
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, *(word for path in paths for word in ("--submission", str(path)))],
                          cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", EXERCISES)
def test_a_stub_keeps_signature_and_docstring_and_raises(name):
    path, mark, _ = EXERCISES[name]
    ours, stub = ast.parse(path.read_text(encoding="utf-8")), ast.parse(exercise.stub(name))
    dotted = name[len(".".join(path.relative_to(ROOT).with_suffix("").parts)) + 1:]
    before, after = (dict(exercise.functions(tree))[dotted] for tree in (ours, stub))
    assert ast.dump(before.args) == ast.dump(after.args) and ast.get_docstring(before) == ast.get_docstring(after)
    last = after
    while hasattr(last, "body"):                                         # a hole inside a loop ends in that loop
        last = last.body[-1]
    assert isinstance(last, ast.Raise) and name in ast.unparse(last)
    assert [n for n, _ in exercise.functions(ours)] == [n for n, _ in exercise.functions(stub)]


HAND_INS = [("train_rm.ranking_loss", "ranks[:, :, None] < ranks[:, None, :]", "ranks[:, :, None] <= ranks[:, None, :]"), ("train_ppo.gae", "gamma * later_value", "later_value")]


@beside
def test_an_empty_hole_and_a_wrong_line_fail_and_our_own_file_passes(folder):
    def hand_in(source_of):
        """Both exercises at once, each answered by source_of(name, good, bad): (exit code, what the tests printed)."""
        for name, good, bad in HAND_INS:
            (folder / EXERCISES[name][0].name).write_text(source_of(name, good, bad), encoding="utf-8")
        return grade(["tests/test_train_rm.py", "tests/test_train_ppo.py", "-k", "loss or pairs or gradient or gae or behind"], *folder.iterdir())

    def ours(name, good, _):
        source = EXERCISES[name][0].read_text(encoding="utf-8")
        assert good in source
        return source

    code, printed = hand_in(ours)
    assert code == 0, printed
    for wrong in (lambda name, *_: exercise.stub(name), lambda name, good, bad: ours(name, good, bad).replace(good, bad)):
        code, printed = hand_in(wrong)
        assert code == 1 and "FAILED tests/test_train_rm.py" in printed and "FAILED tests/test_train_ppo.py" in printed, printed


def test_a_submission_whose_name_is_none_of_ours_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text("")
    assert grade(["tests/test_run.py"], tmp_path / "mine.py")[0] == 4
