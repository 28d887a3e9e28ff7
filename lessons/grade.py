"""Grades a class: each part of each student in a process of its own, against our own tests.

in    SUBMISSIONS/: one folder (or one file) a student, named as the student
out   a table (--csv), a text of feedback a student (--feedback), who wrote alike (--alike)
run   python lessons/grade.py 3 SUBMISSIONS/ --csv grades.csv
      ... --hidden FOLDER               more tests: test_<part>_... in FOLDER/*.py
      ... --dates dates.csv --due 2027-03-05      "name,2027-03-06" a line: days late
see   what a student wrote goes into our own file, and everything else is ours; lecturer.md says
      what this guards against, and what it does not
"""
import argparse
import csv
import hashlib
import json
import math
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lessons")]
import alike
import assignment as A
import handout
import run
from hand_in import all_holes, changed_elsewhere, read_work, written


# ------------------------------------------------------------------------------------ running tests
class Sandboxes:
    """Servers of sandbox.py, `workers` of them; one that breaks is started anew."""

    def __init__(self, workers):
        self.free = Queue()
        for _ in range(workers):
            self.free.put(self.start())

    @staticmethod
    def start():
        return subprocess.Popen([sys.executable, str(ROOT / "lessons" / "sandbox.py")],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")

    def run(self, job):
        server = self.free.get()
        try:
            print(json.dumps(job), file=server.stdin, flush=True)
            return json.loads(server.stdout.readline())
        except (OSError, ValueError):
            server.kill()
            server = self.start()
            return {"tests": {}, "end": "the code broke the grader's own process"}
        finally:
            self.free.put(server)

    def close(self):
        while not self.free.empty():
            server = self.free.get()
            server.stdin.close()
            server.wait()


def grade_part(hole, lines, tree, hidden, seed, sandboxes, options):
    """-> (points, [what is wrong]): our file with the student's lines in it, among our files."""
    part, (start, end) = hole.part, hole.place
    text = "\n".join([*hole.ours[:start], *lines, *hole.ours[end:]])
    nodes = hidden_tests(part, hidden, options)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        A.write_tree(tree | {part.file: text.encode("utf-8", "replace")}, f"{folder}/tree")
        for name, content in hidden.items():
            Path(folder, "tree", "tests", name).write_text(content, encoding="utf-8")
        job = {"tree": f"{folder}/tree", "tests": [t.node for t in part.tests] + nodes,
               "cpu": options.seconds, "strict": True, "environment": part.environment,
               "private": [str(ROOT), str(options.submissions.resolve())], "seed": seed}
        result = sandboxes.run(job)
    points, wrong = A.verdict(part, result)
    failed = [node for node in nodes if result["tests"].get(node, ["missing"])[0] != "passed"]
    if failed and points:
        points = min(points, part.points // 2)
        wrong.append("at most half: a test that you have not seen fails: "
                     + failed[0].partition("::test_")[2].replace("_", " "))
    return points, wrong


def read_hidden(folder):
    """{name in our tests: text} of a folder's tests."""
    return {f"test_hidden_{path.stem.removeprefix('test_')}.py": path.read_text(encoding="utf-8")
            for path in sorted(folder.glob("*.py"))}


def hidden_tests(part, hidden, options):
    """Nodes of the tests whose names begin with the name of this part, and of no longer one."""
    slugs = sorted(options.slugs, key=len, reverse=True)
    nodes = []
    for name, content in hidden.items():
        for test in re.findall(r"(?m)^def (test_\w+)\(", content):
            of = [slug for slug in slugs if f"{test}_".startswith(f"test_{slug}_")]
            if of[:1] == [part.slug]:
                nodes.append(f"tests/{name}::{test}")
    return nodes


def grade_student(name, work, assignment, holes, sandboxes, options, tree, hidden):
    """-> {part: (points, most, [what is wrong])}; points None: a person reads it."""
    seed = int(hashlib.sha256(f"{options.salt} {name}".encode()).hexdigest()[:8], 16)
    grades, places = {}, {hole.part.name: hole for hole in holes}
    for part in assignment.parts:
        if part.kind == "explain":
            wrote = A.answer(work.files.get("ANSWERS.md", []), part)
            grades[part.name] = (None, part.points, []) if wrote else (0, part.points,
                                                                        ["no answer"])
            continue
        lines, why = written(places[part.name], work)
        points, wrong = (0, [why]) if lines is None else grade_part(
            places[part.name], lines, tree, hidden, seed, sandboxes, options)
        grades[part.name] = points, part.points, wrong
        suspicious = alike.suspicious(lines or [])
        if suspicious:
            work.notes.append(f"{part.name} uses {', '.join(suspicious)}: read it")
    print(f"{name}: {sum(points or 0 for points, *_ in grades.values())}", flush=True)
    return grades


# ----------------------------------------------------------------------------------------- results
def days_late(path, due):
    """{name: days} of a file with "name,date" a line; {} without one."""
    late = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path else (), 1):
        if not line.strip():
            continue
        try:
            name, date = line.rsplit(",", 1)
            over = datetime.fromisoformat(date.strip()) - due
        except ValueError:
            raise run.UserError(f"{path}:{number} is not name,2027-03-05: {line}") from None
        late[name.strip()] = max(0, math.ceil(over / timedelta(days=1)))
    return late


def write_csv(path, assignment, graded, late):
    with run.atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["student", *(part.name for part in assignment.parts), "tested", "days late",
                        "notes"])
        for name, (work, grades) in graded.items():
            points = ["" if p is None else p for p, *_ in grades.values()]
            tested = sum(grades[part.name][0] for part in assignment.parts
                         if part.kind != "explain")
            table.writerow([name, *points, tested, late.get(name, ""), "; ".join(work.notes)])


def feedback(name, assignment, work, grades, late):
    lines = [f"Assignment {assignment.number}: {assignment.title}", name, ""]
    for part, (points, most, wrong) in grades.items():
        lines.append(f"{part}: {most} points, a person reads it" if points is None else
                     A.show_points(part, points, most, wrong or ["right"]))
    lines += [f"note: {note}" for note in work.notes]
    return "\n".join([*lines, *([f"days late: {late}"] if late else []), ""])


def main():
    options = parse()
    assignment, tree = A.load(options.number), A.read_tree(ROOT)
    options.slugs = [part.slug for part in assignment.parts]
    hidden = read_hidden(options.hidden) if options.hidden else {}
    holes = all_holes(assignment, tree, options.keep_later)
    late = days_late(options.dates, options.due)
    names = sorted({hole.part.file for hole in holes})
    answers = ["ANSWERS.md"] * any(part.kind == "explain" for part in assignment.parts)
    students = {path.stem if path.is_file() else path.name:
                read_work(path, [*names, *answers] if path.is_dir() else names)
                for path in sorted(options.submissions.iterdir()) if path.name[0] != "."}
    needed = {name: content for name, content in tree.items()
              if not handout.LECTURERS.match(name) or name.endswith(".py")
              and name.startswith("lessons/assignments/")}
    sandboxes = Sandboxes(options.workers)
    with ThreadPoolExecutor(options.workers) as pool:
        done = pool.map(lambda item: grade_student(*item, assignment, holes, sandboxes, options,
                                                   needed, hidden), students.items())
        graded = {name: (work, grades) for (name, work), grades in zip(students.items(), done)}
    sandboxes.close()
    for work, _ in graded.values():
        work.notes.extend(changed_elsewhere(work, holes))
    pieces = {name: {hole.part.name: written(hole, work)[0] for hole in holes
                     if hole.part.kind == "fill"} for name, work in students.items()}
    ours = {hole.part.name: hole.ours[slice(*hole.place)] for hole in holes
            if hole.part.kind == "fill"}
    alike.report(pieces, ours, options.alike)
    if options.csv:
        write_csv(options.csv, assignment, graded, late)
    if options.feedback:
        for name, (work, grades) in graded.items():
            text = feedback(name, assignment, work, grades, late.get(name))
            options.feedback.mkdir(parents=True, exist_ok=True)
            (options.feedback / f"{name}.txt").write_text(text, encoding="utf-8")


def parse():
    parser = run.OneLineParser(description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", help="of the assignment")
    parser.add_argument("submissions", type=Path, help="a folder or a file a student")
    for name in ("csv", "alike"):
        parser.add_argument(f"--{name}", type=Path, help="table to write")
    for name in ("hidden", "feedback"):
        parser.add_argument(f"--{name}", type=Path, help="folder")
    parser.add_argument("--dates", type=Path, help="file with name,date a line")
    parser.add_argument("--due", type=datetime.fromisoformat, help="the last date: 2027-03-05")
    parser.add_argument("--salt", default="", help="any word: moves the random inputs")
    parser.add_argument("--workers", type=int, default=2, help="parts graded at once (2)")
    parser.add_argument("--seconds", type=int, default=40, help="CPU time of a part's tests (40)")
    parser.add_argument("--keep-later", action="store_true", help="as it was handed out")
    options = parser.parse_args()
    if not options.submissions.is_dir():
        raise run.UserError(f"{options.submissions} is no folder of submissions")
    if options.dates and not options.due:
        raise run.UserError("--dates needs --due, the last date: --due 2027-03-05")
    if options.hidden and not any(options.hidden.glob("*.py")):
        raise run.UserError(f"{options.hidden} holds no tests")
    return options


if __name__ == "__main__":
    run.main(main)
