"""Assignments: what is handed out holds no solution; our own code earns all points, a stub none, and
each seeded bug is caught by the test that is named. The long proofs run with --assignments."""
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "lessons")]
import assignment as A
import grade
import hand_in
import handout
from run import UserError

NUMBERS = sorted(path.stem for path in A.TABLES.glob("*.toml"))
TREE = A.read_tree(ROOT)
PARTS = [(number, part) for number in NUMBERS for part in A.load(number).parts]
TESTED = [(number, part) for number, part in PARTS if part.kind != "explain"]
of_each_part = pytest.mark.parametrize(
    "number, part", TESTED, ids=[f"{number} {part.name}" for number, part in TESTED])
OPTIONS = SimpleNamespace(seconds=60, slugs=[], submissions=ROOT / "hand_in")


def hole_of(number, part):
    assignment = A.load(number)
    [hole] = [h for h in hand_in.all_holes(assignment, TREE, False) if h.part.name == part.name]
    return hole


@pytest.fixture(scope="module")
def long(request):
    if not request.config.getoption("--assignments"):
        pytest.skip("takes minutes: --assignments")


@pytest.fixture(scope="module")
def sandboxes():
    boxes = grade.Sandboxes(1)
    yield boxes
    boxes.close()


# ------------------------------------------------------------------------------------- the tables
def test_there_are_eight_assignments_with_three_kinds_of_parts_and_thirty_bugs():
    assert NUMBERS == list("12345678")
    for number in NUMBERS:
        assert {part.kind for n, part in PARTS if n == number} == {"fill", "bug", "explain"}
        names = [part.slug for n, part in PARTS if n == number]
        assert len(names) == len(set(names))
    assert sum(part.kind == "bug" for _, part in PARTS) >= 30


@of_each_part
def test_each_test_that_gives_points_exists(number, part):
    for test in part.tests:
        file, _, name = test.node.partition("::")
        assert re.search(rf"(?m)^def {name.partition('[')[0]}\(", TREE[file].decode()), test.node
        assert test.points > 0 and test.wrong


def test_each_open_question_has_a_rubric_that_adds_up_and_a_model_answer():
    for number, part in PARTS:
        if part.kind == "explain":
            assert sum(int(line.partition(":")[0]) for line in part.rubric) == part.points
            answers = TREE[f"lessons/assignments/answers/{number}.md"].decode()
            assert f"## {part.name}\n" in answers


def test_no_two_bugs_of_an_assignment_stand_in_one_function_and_none_in_a_hole():
    for number in NUMBERS:
        holes = hand_in.all_holes(A.load(number), TREE, False)
        places = sorted((hole.part.file, *hole.place) for hole in holes)
        for (file, _, end), (other, start, _) in zip(places, places[1:]):
            assert file != other or end <= start


def test_what_a_table_lacks_is_said_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(A, "TABLES", tmp_path)
    (tmp_path / "1.toml").write_text("title = 'x'\n")
    (tmp_path / "2.toml").write_text("title = \n")
    for number, words in (("1", "KeyError"), ("2", "TOMLDecodeError"), ("3", "there are 1 2")):
        with pytest.raises(UserError, match=words):
            A.load(number)


# -------------------------------------------------------------------------------- what is handed out
@pytest.mark.parametrize("number", NUMBERS)
def test_no_line_of_a_solution_is_handed_out(number):
    assignment = A.load(number)
    tree = handout.student_tree(assignment, TREE)
    texts = {name: content.decode(errors="replace") for name, content in tree.items()}
    lines = {name: {line.strip() for line in text.splitlines()} for name, text in texts.items()}
    for hole in hand_in.all_holes(assignment, TREE, False):
        if hole.part.kind == "fill":
            rest = set(hand_in.bare(hole.ours[:hole.place[0]] + hole.ours[hole.place[1]:]))
            telling = {line for line in hand_in.bare(hole.ours[slice(*hole.place)])
                       if len(line) > 30 and not line.startswith("#") and line not in rest}
            found = {name: telling & there for name, there in lines.items() if telling & there}
            assert telling and not found, f"{hole.part.name}: {found}"
        else:
            assert not any(hole.part.mutant in text for text in texts.values())
            assert hole.ours != hole.handed
    for name in ("tests/mutants/model.txt", "tests/test_exercises.py", "lessons/grade.py",
                 "lessons/lecturer.md", "lessons/assignments/answers/1.md"):
        assert name in TREE and name not in tree
    assert set(handout.parts_to_change(assignment, True)) <= set(
        handout.parts_to_change(assignment, False))


def test_a_folder_is_made_with_git_and_a_full_one_is_left_alone(monkeypatch, tmp_path, capsys):
    out = tmp_path / "student"
    monkeypatch.setattr(sys, "argv", ["handout.py", "6", str(out)])
    handout.main()
    assert "9 parts, 45 points" in capsys.readouterr().out
    commits = subprocess.run(["git", "log", "--oneline"], cwd=out, capture_output=True, text=True)
    assert commits.stdout.count("\n") == 1
    assert 'NotImplementedError("exercise train_ppo.gae")' in (out / "train_ppo.py").read_text()
    assert "| gae | fill in | `train_ppo.py`, `gae` | 8 |" in (out / "ASSIGNMENT.md").read_text()
    assert "## over-optimisation" in (out / "ANSWERS.md").read_text()
    with pytest.raises(UserError, match="not empty"):
        handout.main()


# ------------------------------------------------------------------- where a student's lines stand
HANDED = '''def one(x):
    """Doc."""
    # do it (about 2 lines)
    raise NotImplementedError("exercise m.one")


def two(x):
    return x
'''.split("\n")
PLACE = (3, 4)


@pytest.mark.parametrize("text, wrote", [
    ("\n".join(HANDED), ["raise NotImplementedError(\"exercise m.one\")"]),
    ("\n".join(HANDED).replace("raise Not", "y = x\n    return (\ny)\n#"), ["y = x", "return ("]),
    ("import os\n\n" + "\n".join(HANDED).replace("    raise", "    if (:\n    raise"), ["if (:"]),
])
def test_a_hole_is_found_in_a_file_that_need_not_be_python(text, wrote):
    lines = text.split("\n")
    start, end = A.find_place(lines, HANDED, PLACE)
    assert hand_in.bare(lines[start:end])[: len(wrote)] == wrote
    assert lines[end].rstrip() == "def two(x):"


def test_a_hole_whose_comment_is_gone_is_not_found():
    assert A.find_place(["def one(x):", "    return 2"], HANDED, PLACE) is None
    assert A.find_place([], HANDED, PLACE) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_lines_are_read_in_the_encoding_that_an_editor_chose(encoding):
    assert A.lines_of("x = 'é'\r\ny = 1\n".encode(encoding)) == ["x = 'é'", "y = 1", ""]


# --------------------------------------------------------------------------------- the long proofs
@of_each_part
def test_our_own_code_earns_all_points_and_what_is_handed_out_none(long, sandboxes, number, part):
    hole = hole_of(number, part)
    ours, handed = hole.ours[slice(*hole.place)], hole.handed[slice(*hole.handed_place)]
    code = {name: content for name, content in TREE.items() if name.endswith(".py")}
    assert grade.grade_part(hole, ours, code, {}, 0, sandboxes, OPTIONS) == (part.points, [])
    points, wrong = grade.grade_part(hole, handed, code, {}, 0, sandboxes, OPTIONS)
    assert points == 0 and len(wrong) == 1
    assert wrong[0].startswith("not written yet" if part.kind == "fill" else part.tests[0].wrong)
