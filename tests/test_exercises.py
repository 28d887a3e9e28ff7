"""Exercises: every mark makes a file with one hole, and the tests tell an empty or wrong hand-in from ours."""
import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("exercise", ROOT / "lessons" / "exercise.py")
exercise = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exercise)
EXERCISES = exercise.exercises()


def grade(tests, path):
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests, "--submission", str(path)],
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


@pytest.mark.parametrize("name, tests, good, bad", [
    ("train_rm.ranking_loss", ["tests/test_train_rm.py", "-k", "loss or pairs or gradient"], "ranks[:, :, None] < ranks[:, None, :]", "ranks[:, :, None] <= ranks[:, None, :]"),
    ("train_ppo.gae", ["tests/test_train_ppo.py", "-k", "gae or behind"], "gamma * later_value", "later_value"),
])
def test_an_empty_hole_and_a_wrong_line_fail_and_our_own_file_passes(tmp_path, name, tests, good, bad):
    path = tmp_path / EXERCISES[name][0].name
    ours = EXERCISES[name][0].read_text(encoding="utf-8")
    assert good in ours
    for source, passes in ((ours, True), (exercise.stub(name), False), (ours.replace(good, bad), False)):
        path.write_text(source, encoding="utf-8")
        code, printed = grade(tests, path)
        assert code == (0 if passes else 1), printed


def test_a_submission_whose_name_is_none_of_ours_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text("")
    assert grade(["tests/test_run.py"], tmp_path / "mine.py")[0] == 4
