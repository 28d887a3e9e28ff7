"""Exercises from the real source: prints one of our files with a hole where the marked function
does its work.

run   python lessons/exercise.py                    lists the exercises
      python lessons/exercise.py train_rm.ranking_loss > hand_in/train_rm.py
                                                    writes the file to be completed
      python -m pytest tests/test_train_rm.py --submission hand_in/train_rm.py
                                                    grades it
see   signature and docstring stay; from `# exercise:` to the end of the function stands what you
      are to write
"""
import ast
import functools
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for pattern in ("*.py", "kernels/*.py", "data/**/*.py", "lessons/*/*.py")
               for path in ROOT.glob(pattern))
MARK = re.compile(r"^(\s*)# exercise: (.*)$")


def exercises():
    """{"train_rm.ranking_loss": (path, line of the mark, last line)}, lines counted from 0."""
    found = {}
    for path in FILES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for dotted, (mark, end) in marks(path.read_text(encoding="utf-8")).items():
            found[f"{module}.{dotted}"] = path, mark, end
    return found


@functools.lru_cache(64)
def marks(source):
    """{"ranking_loss": (line of the mark, last line)} of one file."""
    lines, found = [i for i, line in enumerate(source.splitlines()) if MARK.match(line)], {}
    for dotted, function in functions(ast.parse(source)) if lines else ():
        for mark in lines:
            if function.lineno <= mark < function.end_lineno:
                found[dotted] = mark, function.end_lineno
    return found


def functions(tree, inside=""):
    """(dotted name, node) of every function, methods included."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{inside}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield inside + node.name, node


def stub(name):
    """The text of the file of exercise `name`, with the hole. Raises KeyError for no exercise."""
    path, mark, end = exercises()[name]
    return cut(path.read_text(encoding="utf-8"), {name: (mark, end)})


def cut(source, holes):
    """The source with these holes, {name: (line of the mark, last line)}."""
    lines = source.splitlines()
    for name, (mark, end) in sorted(holes.items(), key=lambda hole: -hole[1][0]):
        indent, task = MARK.match(lines[mark]).groups()
        solution = [line.strip() for line in lines[mark + 1 : end]]
        size = sum(line != "" and not line.startswith("#") for line in solution)
        lines[mark:end] = [f"{indent}# {task} (about {size} lines)",
                           f'{indent}raise NotImplementedError("exercise {name}")']
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) == 2 and sys.argv[1] in exercises():
        print(stub(sys.argv[1]), end="")
    elif len(sys.argv) == 1:
        for name, (path, mark, _) in exercises().items():
            line = path.read_text(encoding="utf-8").splitlines()[mark]
            print(f"{name:42} {MARK.match(line)[2]}")
    else:
        print(f"error: no exercise {' '.join(sys.argv[1:])}: `python lessons/exercise.py` lists "
              "them", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
