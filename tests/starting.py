"""Starts scripts that need not wait for their imports: this process has PyTorch and matplotlib in
memory, and forks for each script.

in    on stdin, which is a socket, one end of a new socket for each script
      on that a line of JSON: run's arguments
out   on that the script's process id, a line, and when it has ended its exit code, another
A fork has imported none of our files, and finds what `python script.py` would find.
"""
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

IMPORTED = ("torch", "regex", "matplotlib.figure", "matplotlib.backends.backend_agg", "pytest")
FORK = multiprocessing.get_context("fork")


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


def serve(connection):
    stream = connection.makefile("rw")
    fork = FORK.Process(target=run, kwargs=json.loads(stream.readline()))
    fork.start()
    print(fork.pid, file=stream, flush=True)
    fork.join()
    print(fork.exitcode, file=stream, flush=True)


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()                             # nobody need look through this again
    orders = socket.socket(fileno=0)
    while ends := socket.recv_fds(orders, 1, 1)[1]:
        with socket.socket(fileno=ends[0]) as connection:
            FORK.Process(target=serve, args=(connection,)).start()
