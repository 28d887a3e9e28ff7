"""Your points in this assignment so far, part by part, in plain words.

run   python lessons/check.py                   all parts
      python lessons/check.py gae "bug 1"       these parts
see   each part: its points, and what is wrong; the same tests grade it, and a few that you do not
      see
"""
import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lessons")]
import assignment as A
import run


def words_in_answer(part):
    """How many words of the student's own stand under a question in ANSWERS.md."""
    path = ROOT / "ANSWERS.md"
    lines = A.lines_of(path.read_bytes()) if path.exists() else []
    return len(A.answer(lines, part).split())


def check(part):
    """-> (points, most that tests give, line to show)"""
    from sandbox import run_job             # here: it needs a system that can fork
    if part.kind == "explain":
        words = words_in_answer(part)
        return 0, 0, f"{part.name}: " + (f"{words} words in ANSWERS.md, a person will grade them"
                                         if words else "no answer in ANSWERS.md yet")
    job = {"tree": str(ROOT), "tests": [test.node for test in part.tests], "cpu": 30, "seconds": 5,
           "environment": part.environment}
    points, wrong = A.verdict(part, run_job(job))
    return points, part.points, A.show_points(part.name, points, part.points, wrong)


def main():
    parser = run.OneLineParser(description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="names of parts (all)")
    parser.add_argument("--assignment", help="its number, where there are several here")
    options = parser.parse_args()
    if not hasattr(os, "fork"):
        raise run.UserError("this needs Linux, macOS or, on Windows, WSL")
    tables = sorted(path.stem for path in A.TABLES.glob("*.toml"))
    if options.assignment is None and len(tables) != 1:
        raise run.UserError(f"--assignment says which: there are {' '.join(tables)}")
    parts = A.load(options.assignment or tables[0]).parts
    unknown = set(options.parts) - {part.name for part in parts}
    if unknown:
        raise run.UserError(f"no part {sorted(unknown)[0]!r}: there are "
                            + ", ".join(part.name for part in parts))
    total = most = 0
    for part in parts:
        if not options.parts or part.name in options.parts:
            points, of, line = check(part)
            total, most = total + points, most + of
            print(line, flush=True)
    print(f"together {total} of {most}")


if __name__ == "__main__":
    run.main(main)
