"""Makes the student's tree of an assignment: the whole project with holes where the assignment asks
for something, its bugs put in, and no solution anywhere.

run   python lessons/handout.py 3 FOLDER            FOLDER must not exist, or be empty
      python lessons/handout.py 3 FOLDER --keep-later     what later assignments ask for stays
see   FOLDER/ASSIGNMENT.md: goal, hours, what to read, parts, how to check; ANSWERS.md, to be filled
"""
import argparse
import json
import posixpath
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lessons"), str(ROOT / "tests")]
import assignment as A
import exercise
import mutants
import run

# What only a lecturer may see. The tests of these files hold solutions, too.
LECTURERS = re.compile(r"tests/(mutants|made_up_class|almost_right|test_exercises|"
                       r"test_assignments|test_dpo)|lessons/(handout|grade|alike|hand_in|lecturer|"
                       r"answers/|assignments/|train_dpo|train_reinforce|08_)")


def find_mutant(part):
    """The Mutant of a part of kind bug."""
    path = mutants.LISTS / (part.file.removesuffix(".py").replace("/", ".") + ".txt")
    found = [m for m in (mutants.read_list(path) if path.exists() else ())
             if m.title == part.mutant]
    if len(found) != 1:
        raise run.UserError(f"part {part.name}: {path} has {len(found)} bugs with the title "
                            f"{part.mutant!r}")
    return found[0]


def parts_to_change(assignment, keep_later):
    """Parts of kind fill and bug; and the holes of later assignments, whose parts are not yet."""
    own = [part for part in assignment.parts if part.kind != "explain"]
    if keep_later:
        return own
    taken = {(part.file, part.mark) for part in own}
    taken |= {A.split_mark(mark) for mark in assignment.keep}
    later = [part for path in sorted(A.TABLES.glob("*.toml")) if path.stem > assignment.number
             for part in A.load(path.stem).parts if part.kind == "fill"]
    return own + [part for part in later if (part.file, part.mark) not in taken]


def handed_out(assignment, tree, keep_later=False):
    """-> {file: text with holes and bugs}"""
    texts, parts = {}, parts_to_change(assignment, keep_later)
    for file in dict.fromkeys(part.file for part in parts):
        text, holes = tree[file].decode(), {}
        for part in parts:
            if part.file == file and part.kind == "bug":
                text = mutants.mutate(text, find_mutant(part))
        module = file.removesuffix(".py").replace("/", ".")
        for part in parts:
            if part.file == file and part.kind == "fill":
                holes[f"{module}.{part.mark}"] = exercise.marks(text)[part.mark]
        texts[file] = exercise.cut(text, holes)
    return texts


def places(part, ours, handed):
    """Where the lines of a part stand in our file and in the one that was handed out; both (start,
    end). ours, handed: lines."""
    if part.kind == "fill":
        mark, end = exercise.marks("\n".join(ours))[part.mark]
        task = exercise.MARK.match(ours[mark])[2]
        return (mark + 1, end), A.place_of(handed, part.mark, f"# {task} (about ")
    before, bare = find_mutant(part).before, [line.strip() for line in ours]
    at = next(i for i in range(len(ours)) if bare[i : i + len(before)] == before)
    dotted = A.name_around(ours, at)
    return A.place_of(ours, dotted), A.place_of(handed, dotted)


def solutions(parts, tree):
    """The lines that fill the holes, but for short ones: no lesson may print them."""
    found = set()
    for part in parts:
        if part.kind == "fill":
            lines = tree[part.file].decode().splitlines()
            mark, end = exercise.marks("\n".join(lines))[part.mark]
            found |= {line.strip() for line in lines[mark + 1 : end] if len(line.strip()) > 30}
    return found


def student_tree(assignment, tree, keep_later=False):
    """{name: bytes} of the student's tree."""
    own = {part.file for part in assignment.parts}      # with its tests: of files in lessons/, too
    own |= {test.node.partition("::")[0] for part in assignment.parts for test in part.tests}
    kept = {name: content for name, content in tree.items()
            if not LECTURERS.match(name) or name in own}
    for file, text in handed_out(assignment, tree, keep_later).items():
        if file in kept:
            kept[file] = text.encode()
    secret = solutions(parts_to_change(assignment, keep_later), tree)
    for name in [name for name in kept if re.fullmatch(r"lessons/.*\.md", name)]:
        lines = kept[name].decode().splitlines()
        kept[name] = "".join(f"{'...' if line.strip() in secret else line}\n"
                             for line in lines).encode()
    kept["lessons/experiments.toml"] = experiments_left(kept).encode()
    left = tomllib.loads(kept["lessons/experiments.toml"].decode())
    for name in kept:
        if re.fullmatch(r"lessons/experiments/\w+\.json", name) and Path(name).stem not in left:
            kept[name] = without_changes(kept[name])
    table = f"lessons/assignments/{assignment.number}.toml"
    kept[table] = re.sub(r"(?m)^(mutant|rubric) = .*\n", "", tree[table].decode()).encode()
    kept["ASSIGNMENT.md"] = assignment_text(assignment).encode()
    if any(part.kind == "explain" for part in assignment.parts):
        kept["ANSWERS.md"] = answers_text(assignment).encode()
    return {name: with_links_to(kept, name) if name.endswith(".md") else content
            for name, content in kept.items()}


LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)[^)\s]*\)")


def with_links_to(kept, name):
    """A text whose links to files that are not handed out say so instead."""
    def link(match):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[2]))
        there = ":" in match[2] or any(f"{file}/".startswith(f"{target}/") for file in kept)
        return match[0] if there else f"{match[1]} (your lecturer has this page)"
    return LINK.sub(link, kept[name].decode()).encode()


def experiments_left(kept):
    """lessons/experiments.toml without what cannot run there: a script is not handed out, or a line
    to be changed stands in a hole, which it would tell."""
    text, lines, left, ours = kept["lessons/experiments.toml"].decode(), [], set(), ""
    for name, experiment in tomllib.loads(text).items():
        edits = [edit for variant in experiment["variants"].values()
                 for edit in variant.get("edits", ())]
        if set(experiment["stages"]) <= set(kept) and all(
                line.encode() in kept[file] for file, line, _ in edits):
            left.add(name)
    for line in text.splitlines():
        header = re.match(r"\[([\w-]+)", line)
        ours = header[1] if header else ours
        if ours in left or line.startswith("#"):
            lines.append(f"{line}\n")
    return "".join(lines)


def without_changes(content):
    """What an experiment measured, without the lines of code that it changed."""
    result = json.loads(content)
    for rows in result["variants"].values():
        for row in rows:
            row["changes"] = []
    return json.dumps(result).encode()


def assignment_text(assignment):
    files = sorted({part.file for part in assignment.parts if part.file})
    lines = [f"# Assignment {assignment.number}: {assignment.title}", "", assignment.goal.strip(),
             "", f"About {assignment.hours} hours. Read first:", "",
             *(f"- {name}" for name in assignment.read), "",
             "| part | what to do | where | points |", "|---|---|---|---|"]
    for part in assignment.parts:
        where = {"fill": f"`{part.file}`, `{part.mark}`", "bug": f"`{part.file}`",
                 "explain": "`ANSWERS.md`"}[part.kind]
        verb = {"fill": "fill in", "bug": "find the bug", "explain": "explain"}[part.kind]
        lines.append(f"| {part.name} | {verb} | {where} | {part.points} |")
    for part in assignment.parts:
        lines += ["", f"## {part.name}", "", part.text]
    how = HOW.replace("FILES", ", ".join(f"`{name}`" for name in files))
    return "\n".join([*lines, "", "## How to check and hand in", "", how])


HOW = """\
    python lessons/check.py                 all parts, with their points, in half a minute
    python lessons/check.py "NAME"          one part

Hand in FILES and, where there are questions, `ANSWERS.md`, in one folder. *Fill in*: write below
the comment, to the end of the function; whatever you need (imports, helpers) goes there, too.
*Find the bug*: mend it in the function where it is. Other lines are taken from our files when it is
graded. Each part is graded alone, beside right code for all others, and with more tests than yours;
`check.py` runs your files as they are: a bug that is still there may make a right part fail, and a
bug beside an empty hole shows once that is filled.
Questions that train need in `out/` what the stages before leave there: of the four commands in
README.md, run those that come before yours.
"""


def answers_text(assignment):
    lines = [f"# Answers to assignment {assignment.number}", ""]
    for part in assignment.parts:
        if part.kind == "explain":
            lines += [f"## {part.name} ({part.points} points)", "",
                      *(f"> {line}" for line in part.text.splitlines()), "", ""]
    return "\n".join(lines)


def start_git(folder):
    """A repository with one commit: what the student changes is a diff. Without git, none."""
    identity = ["-c", "user.name=handout", "-c", "user.email=handout@localhost"]
    try:
        for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "handed out"]):
            subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no git repository was made ({error})")


def main():
    parser = run.OneLineParser(description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", help="of the assignment: lessons/assignments/<number>.toml")
    parser.add_argument("folder", type=Path, help="the student's tree; must be new or empty")
    parser.add_argument("--keep-later", action="store_true",
                        help="leave in what later assignments ask for")
    options = parser.parse_args()
    assignment = A.load(options.number)
    if options.folder.exists() and (options.folder.is_file() or any(options.folder.iterdir())):
        raise run.UserError(f"{options.folder} is not empty: give a new folder")
    tree = student_tree(assignment, A.read_tree(ROOT), options.keep_later)
    A.write_tree(tree, options.folder)
    start_git(options.folder)
    print(f"{options.folder}: assignment {assignment.number}, {assignment.title}, "
          f"{len(assignment.parts)} parts, {sum(p.points for p in assignment.parts)} points")


if __name__ == "__main__":
    run.main(main)
