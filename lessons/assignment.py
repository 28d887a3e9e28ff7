"""What hand-out, self-check and grading share: an assignment's table, where a student's lines stand
in a file, what a test's end means in plain words.

in    lessons/assignments/N.toml (lessons/lecturer.md says how to change one)
see   a part of kind fill is a hole at an `# exercise:` mark; of kind bug a line that the hand-out
      makes wrong; of kind explain a question that a person grades
"""
import ast
import functools
import re
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

from run import UserError

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "lessons" / "assignments"
GENERATED = ("out", "quick", "trial", "hand_in", ".git", "__pycache__", ".pytest_cache", "venv",
             ".venv")


class Test(NamedTuple):
    node: str               # "tests/test_train_ppo.py::test_gae_with_lambda_one"
    points: int
    wrong: str              # what is wrong when it fails, in plain words


class Part(NamedTuple):
    name: str
    kind: str               # fill, bug or explain
    points: int
    text: str               # for the student
    file: str               # "train_ppo.py"; of fill and bug
    mark: str               # fill: "gae", the function with the hole
    mutant: str             # bug: a title in tests/mutants; "" in the student's tree
    tests: list
    rubric: list            # explain: what earns points
    environment: dict       # of the tests

    @property
    def slug(self):
        """The name as it stands in the names of tests: "ppo loss" -> "ppo_loss"."""
        return re.sub(r"\W+", "_", self.name)


class Assignment(NamedTuple):
    number: str
    title: str
    goal: str
    hours: str
    read: list
    keep: list              # marks of later assignments that this one runs: not cut
    parts: list


def load(number):
    """The assignment of lessons/assignments/<number>.toml. Raises UserError."""
    path = TABLES / f"{number}.toml"
    known = sorted(table.stem for table in TABLES.glob("*.toml"))
    if str(number) not in known:
        raise UserError(f"no assignment {number}: there are {' '.join(known)}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        parts = [read_part(part) for part in table["part"]]
        return Assignment(str(number), table["title"], table["goal"], str(table["hours"]),
                          table["read"], table.get("keep", []), parts)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {error!r}: lessons/lecturer.md says what a table holds") from None


def read_part(part):
    tests = [Test(*test) for test in part.get("tests", [])]
    if part["kind"] not in ("fill", "bug", "explain"):
        raise ValueError(f"part {part['name']}: kind {part['kind']} is not fill, bug or explain")
    file, mark = part.get("file", ""), ""
    if part["kind"] == "fill":
        file, mark = split_mark(part["mark"])
    points = sum(test.points for test in tests) if tests else part["points"]
    return Part(part["name"], part["kind"], points, part.get("text", "").strip(), file, mark,
                part.get("mutant", ""), tests, part.get("rubric", []),
                part.get("environment", {}))


def split_mark(name):
    """"kernels.softmax.softmax_numpy" -> ("kernels/softmax.py", "softmax_numpy")."""
    words = name.split(".")
    for n in range(len(words) - 1, 0, -1):
        file = "/".join(words[:n]) + ".py"
        if (ROOT / file).is_file():
            return file, ".".join(words[n:])
    raise ValueError(f"mark {name}: no file of that name")


# ------------------------------------------------------------------------------------ whole trees
def read_tree(folder):
    """{"kernels/softmax.py": bytes} of all that git keeps, or, without git, of what no run made."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, text=True)
    names = listed.stdout.split("\0")[:-1] if listed.returncode == 0 else [
        str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))]
    return {name: (folder / name).read_bytes() for name in names
            if (folder / name).is_file() and not set(Path(name).parts) & set(GENERATED)}


def write_tree(tree, folder):
    for name, content in tree.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# -------------------------------------------------------------- the lines that a student may change
def lines_of(content):
    """bytes or str -> lines. UTF-8, UTF-16 with its mark, else Latin-1: an editor's choice."""
    if isinstance(content, bytes):
        for encoding in ("utf-8-sig", "utf-16", "latin-1"):
            try:
                content = content.decode(encoding)
                break
            except UnicodeError:
                continue
    return content.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@functools.lru_cache(64)
def nodes_of(text):
    """[(dotted name, node)] of every function, method and class of a file."""
    return list(nodes(ast.parse(text)))


def nodes(tree, inside=""):
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield inside + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from nodes(node, f"{inside}{node.name}.")


def place_of(lines, dotted, comment=None):
    """(start, end) of what a student writes: all of a function or class below its first line, or,
    with the beginning of a comment in it, all below that comment."""
    node = dict(nodes_of("\n".join(lines)))[dotted]
    for at in range(node.lineno, node.end_lineno):
        if comment is None or lines[at].strip().startswith(comment):
            return at + (comment is not None), node.end_lineno
    raise UserError(f"{dotted} has no line that begins with {comment}")


def name_around(lines, at):
    """The dotted name of the innermost function or class around line `at`."""
    around = [(node.lineno, dotted) for dotted, node in nodes_of("\n".join(lines))
              if node.lineno <= at < node.end_lineno]
    return max(around)[1]


def find_place(theirs, handed, place):
    """Where a place of the handed-out file is in a student's file, which need not be Python: from
    the line that stands above it to the one that follows it. None where these are gone."""
    (start, end), bare = place, [line.rstrip() for line in theirs]
    above = handed[start - 1].rstrip()
    earlier = sum(line.rstrip() == above for line in handed[: start - 1])
    found = [i + 1 for i, line in enumerate(bare) if line == above][earlier:]
    following = next((line.rstrip() for line in handed[end:] if line.strip()), None)
    if not found:
        return None
    if following is None:
        return found[0], len(theirs)
    after = [i for i in range(found[0], len(bare)) if bare[i] == following]
    return (found[0], after[0]) if after else None


def answer(lines, part):
    """What a student wrote in ANSWERS.md under a part's name, without the question."""
    under, found = False, []
    for line in lines:
        if line.startswith("## "):
            under = line[3:].partition(" (")[0].strip() == part.name    # its points stand behind
        elif under and not line.startswith(">"):
            found.append(line)
    return "\n".join(found).strip()


# ------------------------------------------------------------------------------- in plain words
def verdict(part, result):
    """(points, [what is wrong]) of a part whose tests ended as the sandbox says."""
    points, failed = 0, []
    for test in part.tests:
        outcome, error, message = result["tests"].get(test.node, ("missing", "", ""))
        if outcome == "passed":
            points += test.points
        elif outcome != "missing":
            failed.append((what(test, error), why(part, outcome, error, message)))
    reasons = {reason for _, reason in failed}
    if len(reasons) == 1 and "" not in reasons and (len(failed) > 1 or "not written yet" in
                                                    failed[0][1]):
        wrong = list(reasons)               # one thing is wrong with all of them
    else:
        wrong = [text + f" ({reason})" * bool(reason) for text, reason in failed]
    if result["end"] != "finished":
        wrong.append(result["end"])
    return points, list(dict.fromkeys(wrong))


def what(test, error):
    """What is wrong where a test fails; one for the time fails of a wrong result, too."""
    if test.wrong.startswith("correct, too slow") and error not in ("TooSlow", "TimeoutError"):
        return "a large input gives a wrong result"
    return test.wrong


def why(part, outcome, error, message):
    """What a test's end says beyond its having failed; "" where an assertion failed."""
    hole = re.search(r"exercise ([\w.]+)", message)
    if hole and "NotImplementedError" in error + message:
        own = part.mark and hole[1].endswith(part.mark)
        return "not written yet" if own else f"it needs {hole[1]}, which is not written yet"
    if error == "MemoryError" or "can't allocate memory" in message:
        return "it takes more memory than it may"
    if error == "TimeoutError":
        return "stopped: it takes too long, is there an endless loop?"
    if outcome == "skipped":
        return "the test was skipped"
    if error in ("AssertionError", "Failed", "GradcheckError", "TooSlow", ""):
        return ""
    if "NoneType" in message:
        return "None stands where a result should: is there a return?"
    return f"{error}: {' '.join(message.split())[:120]}"


def show_points(name, points, most, wrong):
    return f"{name}: {points} of {most}" + "".join(f": {text}" for text in wrong[:1]) + \
        "".join(f"\n    {text}" for text in wrong[1:])
