"""Starts scripts that need not wait for their imports: this process has PyTorch and matplotlib in
memory, and forks for each script.

in    on stdin a line of JSON for each: run's arguments
out   its process id, a line, and its exit code when it has ended, another
A fork has imported none of our files, and finds what `python script.py` would find.
"""
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

IMPORTED = ("torch", "regex", "matplotlib.figure", "matplotlib.backends.backend_agg", "pytest")


def run(arguments, environment, files, seconds, folder):
    """files: the names of stdin, stdout and stderr."""
    for number, name in enumerate(files):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    sys.stdin = open(0)
    os.environ.clear()
    os.environ.update(environment)
    signal.alarm(seconds)                   # ends it
    os.chdir(folder)
    sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()                             # nobody need look through this again
    for line in sys.stdin:
        fork = multiprocessing.get_context("fork").Process(target=run, kwargs=json.loads(line))
        fork.start()
        print(fork.pid, flush=True)
        fork.join()
        print(fork.exitcode, flush=True)
