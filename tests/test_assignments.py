"""Assignments: what is handed out holds no solution; our own code earns all points, a stub none,
and each seeded bug is caught by the test that is named. The long proofs run with --all."""
import csv
import functools
import json
import os
import re
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "lessons")]
import alike
import almost_right
import assignment as A
import grade
import hand_in
import handout
import made_up_class
from conftest import ENVIRONMENT
from run import UserError

NUMBERS = sorted(path.stem for path in A.TABLES.glob("*.toml"))
TREE = A.read_tree(ROOT)
PARTS = [(number, part) for number in NUMBERS for part in A.load(number).parts]
TESTED = [(number, part) for number, part in PARTS if part.kind != "explain"]
of_each_part = pytest.mark.parametrize(
    "number, part", TESTED, ids=[f"{number} {part.name}" for number, part in TESTED])


@functools.cache
def holes_of(number):
    return hand_in.all_holes(A.load(number), TREE, False)


def hole_of(number, part):
    [hole] = [hole for hole in holes_of(number) if hole.part.name == part.name]
    return hole


@pytest.fixture(scope="module")
def long(request):
    if not request.config.getoption("--all"):
        pytest.skip("takes minutes: --all")


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
        places = sorted((hole.part.file, *hole.place) for hole in holes_of(number))
        for (file, _, end), (other, start, _) in zip(places, places[1:]):
            assert file != other or end <= start


def test_what_a_table_lacks_is_said_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(A, "TABLES", tmp_path)
    (tmp_path / "1.toml").write_text("title = 'x'\n")
    (tmp_path / "2.toml").write_text("title = \n")
    for number, words in (("1", "KeyError"), ("2", "TOMLDecodeError"), ("3", "there are 1 2")):
        with pytest.raises(UserError, match=words):
            A.load(number)


# ------------------------------------------------------------------------------ what is handed out
@pytest.mark.parametrize("number", NUMBERS)
def test_no_line_of_a_solution_is_handed_out(number):
    assignment = A.load(number)
    tree = handout.student_tree(assignment, TREE)
    texts = {name: content.decode(errors="replace") for name, content in tree.items()}
    for hole in holes_of(number):
        if hole.part.kind == "fill":
            rest = set(hand_in.bare(hole.ours[:hole.place[0]] + hole.ours[hole.place[1]:]))
            own = {line.partition("  #")[0].rstrip()        # without what is said behind it
                   for line in hand_in.bare(hole.ours[slice(*hole.place)])}
            telling = {line for line in own if len(line) > 30 and line[0] != "#"
                       and not any(line in other for other in rest)}
            found = {name: line for name, text in texts.items() for line in telling if line in text}
            assert telling and not found, f"{hole.part.name}: {found}"
        else:
            assert not any(hole.part.mutant in text for text in texts.values())
            assert hole.ours != hole.handed
    for name in ("tests/mutants/model.txt", "tests/test_exercises.py", "tests/made_up_class.py",
                 "tests/test_assignments.py", "lessons/grade.py", "lessons/lecturer.md",
                 "lessons/assignments/answers/1.md", "lessons/assignments/hidden/6.py"):
        assert name in TREE and name not in tree
    changed = [handout.parts_to_change(assignment, keep_later) for keep_later in (True, False)]
    assert changed[0] == changed[1][: len(changed[0])] == [
        part for part in assignment.parts if part.kind != "explain"]
    assert (number == NUMBERS[-1]) == (changed[0] == changed[1])


LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_handed_out_links_to_nothing_that_is_not_there(number):
    assignment = A.load(number)
    tree = handout.student_tree(assignment, TREE)
    folders = {str(folder) for name in tree for folder in Path(name).parents}
    links = [(name, target) for name, content in tree.items() if name.endswith(".md")
             for target in LINK.findall(content.decode()) if "://" not in target]
    for name, target in links:
        there = os.path.normpath(os.path.join(os.path.dirname(name), target))
        assert there in tree or there in folders, f"{name}: {target}"
    assert len(links) > 50
    read = [name.split()[0].rstrip(",") for name in assignment.read]
    assert all(name in tree for name in read if name.endswith((".md", ".py")))
    lesson = tree["lessons/01_bpe.md"].decode()
    assert "answers/01_bpe.md (your lecturer has this page)" in lesson


@pytest.mark.parametrize("number", NUMBERS)
def test_each_experiment_that_is_handed_out_could_run_there(number):
    tree = handout.student_tree(A.load(number), TREE)
    all_, left = (tomllib.loads(files["lessons/experiments.toml"].decode())
                  for files in (TREE, tree))
    for name, experiment in left.items():
        assert experiment == all_[name] and set(experiment["stages"]) <= set(tree)
        for variant in experiment["variants"].values():
            assert all(line in tree[file].decode() for file, line, _ in variant.get("edits", ()))
    assert 10 < len(left) < len(all_) and "dpo" not in left


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


# ------------------------------------------------------------------------- in plain words, alike
GAE = next(part for number, part in PARTS if (number, part.name) == ("6", "gae"))


def ends(*outcomes, end="finished"):
    """What the sandbox says of gae's tests, in order; those behind passed."""
    told = [*outcomes, *[["passed", "", ""]] * len(GAE.tests)]
    return {"tests": {test.node: one for test, one in zip(GAE.tests, told)}, "end": end}


def test_points_and_words_of_a_part():
    failed, passed = ["failed", "AssertionError", "assert 1 == 2"], ["passed", "", ""]
    assert A.verdict(GAE, ends()) == (8, [])
    assert A.verdict(GAE, ends(passed, passed, passed, failed)) == (
        6, ["an answer's padding changes its advantages"])
    stub = ["failed", "NotImplementedError", "exercise train_ppo.gae"]
    assert A.verdict(GAE, ends(*[stub] * 6)) == (0, ["not written yet"])
    wrong_type = ["failed", "AttributeError", "'list' object has no attribute 'tolist'"]
    assert A.verdict(GAE, ends(*[wrong_type] * 6)) == (
        0, ["AttributeError: 'list' object has no attribute 'tolist'"])
    assert A.verdict(GAE, {"tests": {}, "end": "it broke"}) == (0, ["it broke"])
    none = ["failed", "TypeError", "cannot unpack non-iterable NoneType object"]
    assert "is there a return?" in A.verdict(GAE, ends(*[none] * 6))[1][0]
    late = ["failed", "TooSlow", ""]
    assert "correct, too slow" in A.verdict(GAE, ends(*[passed] * 5, late))[1][0]
    assert A.verdict(GAE, ends(*[passed] * 5, failed)) == (
        7, ["a large input gives a wrong result"])
    points, wrong = A.verdict(GAE, ends(["skipped", "Skipped", ""], ["failed", "MemoryError", ""]))
    assert points == 6 and "was skipped" in wrong[0] and "more memory" in wrong[1]
    assert A.show_points("gae", 6, 8, ["one", "two"]) == "gae: 6 of 8: one\n    two"


def test_holes_with_other_names_are_alike_and_others_are_not():
    one = {"gae": ["for t in x:", "    y = t + 1", "return y"]}
    same = {"gae": ["    for i in x:  # mine", "", "        z = i + 1", "    return z"]}
    other = {"gae": ["return [t * 2 for t in x]"]}
    assert alike.compare(one, same)[0] == 1.0 > 0.6 > alike.compare(one, other)[0]
    assert alike.compare(one, {"gae": None}) == (0.0, 0)
    assert alike.suspicious(["import os", "sys.exit()", "x = gc.get_objects()"]) == \
        ["gc", "os", "sys"]
    assert alike.suspicious(["return (("]) == [] == alike.suspicious(["return x.sum()"])


def test_days_late_are_days_begun_and_a_bad_date_is_one_line(tmp_path):
    path, due = tmp_path / "dates.csv", datetime(2027, 3, 5)
    path.write_text("a,2027-03-05\nb, 2027-03-05T00:01\n\nc,2027-03-08\nd,2027-03-01\n")
    assert grade.days_late(path, due) == {"a": 0, "b": 1, "c": 3, "d": 0}
    path.write_text("a,Friday\n")
    with pytest.raises(UserError, match="dates.csv:1 is not name,2027-03-05"):
        grade.days_late(path, due)


# ------------------------------------------------------------------------------------ the sandbox
SMALL = {"tests/conftest.py": "def pytest_addoption(parser):\n"
                              "    parser.addoption('--test-seconds')\n",
         "tests/test_it.py": "from hole import work\n\n\ndef test_one():\n    assert work() == 1\n"
                             "\n\ndef test_two():\n    assert work() == 1\n"}
NODES = ["tests/test_it.py::test_one", "tests/test_it.py::test_two"]
FORGED = json.dumps({"tests": {node: ["passed", "", ""] for node in NODES}, "end": "finished"})
SIGNED = json.dumps([NODES[0], "passed", "", ""]) + "\\t" + "0" * 64
ENDS = {                                    # what a hole does: (how its tests end, what is said)
    "return 1": (["passed"] * 2, "finished"),
    "return 2": (["failed"] * 2, "finished"),
    "import os; os._exit(0)": ([], "the code ended Python before the last test"),
    "import pytest; pytest.exit('bye')": ([], "the code ended pytest before the last test"),
    "import pytest; pytest.skip('no')": (["skipped"] * 2, "finished"),
    "while True: pass": ([], "stopped after 2 seconds"),
    "import os; os.fork(); return 1": (["failed"] * 2, "finished"),
    "import socket; socket.create_connection(('127.0.0.1', 9), 1)": (["failed"] * 2, "finished"),
    "import pytest; pytest.approx = lambda x: x; pytest.raises = open; import torch; "
    "torch.equal = lambda *a: True; return 1": ([], "the code changed pytest or torch"),
    "import os; for fd in range(1, 64):;     try:;         "
    f"os.write(fd, b'{FORGED}\\n{SIGNED}\\n');     except OSError:;         pass; os._exit(0)":
        ([], "the code ended Python before the last test"),
    "return (": ([], "the file cannot be read: SyntaxError"),
}
MORE_ENDS = {                               # with --all only: they end as one above does
    "raise SystemExit(0)": (["failed"] * 2, "finished"),
    "import os; os.kill(os.getppid(), 9); return 1": (["failed"] * 2, "finished"),
    "open('/var/tmp/theirs', 'w'); return 1": (["failed"] * 2, "finished"),
    f"open({str(ROOT / 'bpe.py')!r}); return 1": (["failed"] * 2, "finished"),
}


@pytest.mark.parametrize("body, outcomes, words",
                         [(body, *end) for body, end in (ENDS | MORE_ENDS).items()],
                         ids=range(len(ENDS) + len(MORE_ENDS)))
def test_the_sandbox_believes_what_its_harness_signs_and_says_what_happened(
        body, outcomes, words, request, sandboxes, tmp_path):
    if body in MORE_ENDS:
        request.getfixturevalue("long")
    tree = SMALL | {"hole.py": "def work():\n    " + body.replace("; ", "\n    ") + "\n"}
    A.write_tree({name: text.encode() for name, text in tree.items()}, tmp_path / "tree")
    result = sandboxes.run({"tree": str(tmp_path / "tree"), "tests": NODES, "strict": True,
                            "cpu": 2, "private": [str(ROOT)]})
    assert [outcome for outcome, *_ in result["tests"].values()] == outcomes, result
    assert words in result["end"]


# --------------------------------------------------------------------------------- the long proofs
@of_each_part
def test_our_own_code_earns_all_points_and_what_is_handed_out_none(long, sandboxes, number, part):
    hole = hole_of(number, part)
    ours, handed = hole.ours[slice(*hole.place)], hole.handed[slice(*hole.handed_place)]
    code = {name: content for name, content in TREE.items() if name.endswith(".py")}
    hidden = grade.read_hidden(A.TABLES / "hidden")
    options = SimpleNamespace(seconds=60, submissions=ROOT / "hand_in",
                              slugs=[part.slug for part in A.load(number).parts])
    more = code, hidden, 5, sandboxes, options
    assert grade.grade_part(hole, ours, *more) == (part.points, [])
    points, wrong = grade.grade_part(hole, handed, *more)
    assert points == 0 and len(wrong) == 1
    assert wrong[0].startswith("not written yet" if part.kind == "fill" else part.tests[0].wrong)


@pytest.mark.parametrize("number, stages", [("3", "pretrain"), ("4", "pretrain sft"),
                                            ("5", "pretrain sft rm"), ("6", "pretrain sft rm ppo")])
def test_with_its_own_holes_filled_a_hand_out_runs_the_stages_that_it_asks_for(
        long, tmp_path, script, number, stages):
    A.write_tree(handout.student_tree(A.load(number), TREE), tmp_path)
    for file in {hole.part.file for hole in holes_of(number) if hole.part.kind == "fill"}:
        (tmp_path / file).write_bytes(TREE[file])
    for stage in stages.split():
        code, _, errors = script(f"train_{stage}.py", "--quick", cwd=tmp_path,
                                 env=ENVIRONMENT | {"PYTHONPATH": str(tmp_path)})
        assert code == 0, errors


@pytest.mark.parametrize("number, name", almost_right.ANSWERS,
                         ids=map(" ".join, almost_right.ANSWERS))
def test_what_passes_all_that_a_student_sees_and_is_wrong_fails_a_hidden_test(
        long, sandboxes, number, name):
    hole = next(hole for hole in holes_of(number) if hole.part.name == name)
    right = "\n".join(hole.ours[slice(*hole.place)])
    wrong = right.replace(*almost_right.ANSWERS[number, name])
    assert wrong != right
    code = {name: content for name, content in TREE.items() if name.endswith(".py")}
    options = SimpleNamespace(seconds=60, submissions=ROOT / "hand_in",
                              slugs=[part.slug for part in A.load(number).parts])
    all_ = hole.part.points
    for hidden, points in (({}, all_), (grade.read_hidden(A.TABLES / "hidden"), all_ // 2)):
        found = grade.grade_part(hole, wrong.split("\n"), code, hidden, 5, sandboxes, options)
        assert found[0] == points and bool(found[1]) == bool(hidden), found


NOTES = {"bea": "other lines than asked for were changed (1 new, 1 gone)", "quin": "not UTF-8",
         "rosa": "not UTF-8", "emil": "train_ppo.py is missing", "tara": "gae uses os: read it",
         "xena": "gae uses exec, open: read it", "yuri": "gae uses pytest: read it"}
FEEDBACK = {"nora": "correct, too slow", "sam": "endless loop", "tara": "starts or ends processes",
            "udo": "ended Python before the last test", "dina": "ended Python before the last test",
            "vera": "more memory than it may", "will": "changes files outside its folder",
            "xena": "reads files that are none of the student's", "yuri": "changed pytest or torch",
            "zoe": "a test that you have not seen fails", "pia": "SyntaxError",
            "otto": "AttributeError", "fay": "not written yet", "ivo": "padding changes"}


@pytest.mark.parametrize("number", NUMBERS)
def test_an_answer_is_found_under_the_heading_that_was_handed_out(number):
    assignment = A.load(number)
    handed = handout.answers_text(assignment).splitlines()
    for part in assignment.parts:
        if part.kind == "explain":
            place = next(i for i, line in enumerate(handed) if line.startswith(f"## {part.name}"))
            assert A.answer(handed, part) == ""
            assert A.answer([*handed[: place + 3], "Because.", *handed[place + 3 :]],
                            part) == "Because."


def test_a_class_of_thirty_gets_what_it_must_in_every_cell(long, tmp_path):
    made_up_class.write_class(tmp_path)
    before = {path: path.stat().st_mtime for path in ROOT.glob("lessons/*")}
    command = [sys.executable, "lessons/grade.py", "6", tmp_path / "submissions", "--csv",
               tmp_path / "grades.csv", "--alike", tmp_path / "alike.csv", "--feedback",
               tmp_path / "feedback", "--hidden", A.TABLES / "hidden", "--dates",
               tmp_path / "dates.csv", "--due", made_up_class.DUE]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "grades.csv", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(made_up_class.STUDENTS) and len(rows) == 30
    for name, (_, points) in made_up_class.STUDENTS.items():
        wanted = {part: str(points.get(part, 0)) for part in made_up_class.MOST}
        wanted |= {"tested": str(sum(points.values())), "student": name,
                   "over-optimisation": "" if name in ("anna", "ben") else "0",
                   "days late": {"anna": "0", "ben": "1", "chen": "3", "dora": "1"}.get(name, "")}
        notes = rows[name].pop("notes")
        assert rows[name] == wanted and NOTES.get(name, "") in notes
        assert notes == "" or name in {*NOTES, "udo", "dina"}
        words = (tmp_path / "feedback" / f"{name}.txt").read_text(encoding="utf-8")
        assert FEEDBACK.get(name, "") in words
    with open(tmp_path / "alike.csv", encoding="utf-8") as file:
        found = {(row["one"], row["other"]): float(row["likeness"]) for row in csv.DictReader(file)}
    assert found["chen", "dora"] > 0.99 and found["ben", "chen"] < 0.8 > found["anna", "ben"]
    assert found["anna", alike.OURS] == 1.0
    assert {path: path.stat().st_mtime for path in ROOT.glob("lessons/*")} == before
