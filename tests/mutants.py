"""Wrong lines on purpose: puts each into a copy of the project and runs the tests that should
notice. For development only; pytest does not run it.

run   python tests/mutants.py                       all of them
      python tests/mutants.py train_ppo bpe         those of these files
      python tests/mutants.py train_ppo -k clip     those whose title holds the word
see   what survived, then a table by file: caught, survived, equivalent

The mistakes stand in tests/mutants/FILE.txt (kernels.softmax.txt for kernels/softmax.py):

    tests: tests/test_train_ppo.py
    # the title of a mistake; "# = title" for one that changes nothing and is not tried
    - the line as it is, without its indentation
    + the wrong line
      a line between that stays, to make the place the only one of its kind
"""
import argparse
import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "tests" / "mutants"
LEFT_OUT = ("out", ".git", "hand_in", "__pycache__", ".pytest_cache")


class Mutant(NamedTuple):
    file: str           # "kernels/softmax.py"
    title: str
    before: list        # consecutive lines without their indentation
    after: list
    tests: list         # files of tests that should notice

    @property
    def equivalent(self):
        return self.title.startswith("=")


def read_list(path):
    """The Mutants of one list, in order."""
    file = path.stem.replace(".", "/") + ".py"
    tests, found = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark, text = line[:1], line[2:]
        if line.startswith("tests:"):
            tests = line.removeprefix("tests:").split()
        elif mark == "#":
            found.append(Mutant(file, text, [], [], tests))
        elif mark in ("-", "+", " ") and found:
            if mark in "- ":
                found[-1].before.append(text.strip())
            if mark in "+ ":
                found[-1].after.append(text)
        elif line.strip():
            raise SystemExit(f"{path}:{number} begins with none of # - + and space: {line}")
    return found


def mutate(source, mutant):
    """The source with the mistake in it; ValueError where its lines are not there just once."""
    lines, length = source.splitlines(), len(mutant.before)
    bare = [line.strip() for line in lines]
    places = [i for i in range(len(lines)) if bare[i : i + length] == mutant.before]
    if len(places) != 1 or not length:
        raise ValueError(f"{mutant.file}: {mutant.title}: found {len(places)} times")
    at = places[0]
    indent = re.match(r"\s*", lines[at]).group()
    wrong = "\n".join([*lines[:at], *(indent + line for line in mutant.after),
                       *lines[at + length :], ""])
    compile(wrong, mutant.file, "exec")
    return wrong


def notice(mutant, copy, seconds):
    """Who notices the mistake in this copy of the project: the name of the first test that fails,
    words for another end; None where all pass."""
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    path.write_text(mutate(source, mutant), encoding="utf-8")
    command = [sys.executable, "-B", "-m", "pytest", "-v", "-p", "no:cacheprovider", *mutant.tests]
    process = subprocess.Popen(command, cwd=copy, stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.STDOUT, start_new_session=True)
    over = threading.Timer(seconds, stop, [process])
    over.start()
    try:
        for line in process.stdout:
            if failed := re.match(r"\S+?::(.*) (?:FAILED|ERROR)\b", line):
                return failed[1]
        if process.wait() < 0:
            return f"over {seconds} seconds"
        return None if process.returncode == 0 else "pytest could not run the tests"
    finally:
        over.cancel()
        stop(process)
        path.write_text(source, encoding="utf-8")


def stop(process):
    """With all that it has started: what takes long runs beside the tests."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check_lists(mutants):
    for mutant in mutants:
        mutate((ROOT / mutant.file).read_text(encoding="utf-8"), mutant)


def run_all(mutants, workers, seconds):
    """[(mutant, noticed)] in order; each worker has a copy of its own."""
    copies = queue.Queue()

    def work(mutant):
        copy, started = copies.get(), time.time()
        by = notice(mutant, copy, seconds)
        copies.put(copy)
        word, end = ("SURVIVED", "") if by is None else ("caught", f": {by}")
        took = time.time() - started
        print(f"{word:8} {took:3.0f} s  {mutant.file}: {mutant.title}{end}", flush=True)
        return mutant, by is not None

    with tempfile.TemporaryDirectory() as folder:
        for i in range(workers):
            copy = Path(folder) / str(i)
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
            copies.put(copy)
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, mutants))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="train_ppo, kernels.softmax, ... (all)")
    parser.add_argument("-k", default="", help="only titles that hold this")
    parser.add_argument("--workers", type=int, default=2, help="copies tried at once (2)")
    parser.add_argument("--seconds", type=int, default=120, help="the longest for one (120)")
    options = parser.parse_args()
    names = options.files or sorted(path.stem for path in LISTS.glob("*.txt"))
    listed = [mutant for name in names for mutant in read_list(LISTS / f"{name}.txt")]
    listed = [mutant for mutant in listed if options.k in mutant.title]
    check_lists(listed)
    tried = run_all([m for m in listed if not m.equivalent], options.workers, options.seconds)
    caught = Counter(mutant.file for mutant, noticed in tried if noticed)
    survived = Counter(mutant.file for mutant, noticed in tried if not noticed)
    equivalent = Counter(mutant.file for mutant in listed if mutant.equivalent)
    print(f"\n{'file':28}{'caught':>10}{'survived':>10}{'equivalent':>12}")
    for file in dict.fromkeys(mutant.file for mutant in listed):
        print(f"{file:28}{caught[file]:10}{survived[file]:10}{equivalent[file]:12}")
    print(f"{'all':28}{sum(caught.values()):10}{sum(survived.values()):10}"
          f"{sum(equivalent.values()):12}")
    sys.exit(bool(survived))


if __name__ == "__main__":
    main()
