"""Runs tests on a hand-in, in a process of its own, and believes only what the harness signs.

run   `run_job(job)` from check.py; as a script a server for grade.py: a job a line on stdin, a
      result a line on stdout
job   {"tree": folder, "tests": [node, ...]} and limits: "seconds" a test, "cpu" seconds and
      "memory" more bytes a job; "strict": nothing outside the tree's folder is written, no process
      started, no socket opened, nothing under "private" read; "seed" of the tests' fixture `seed`
out   {"tests": {node: [outcome, error, message]}, "end": "finished" or what happened}

A process that ends is no pass: each test's end comes through a pipe, signed with a key that is
drawn for this job. One more test, which must fail, tells whether pytest and torch are still
themselves. This keeps honest people honest; lecturer.md says what a determined cheat can do.
"""
import contextlib
import ctypes
import gc
import hmac
import json
import os
import resource
import secrets
import select
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

torch.testing.assert_close(torch.ones(1), torch.ones(1))   # loads what it needs, once for all jobs
gc.freeze()

LIMITS = {"seconds": 10, "cpu": 60, "memory": 2 << 30, "strict": False, "private": [], "seed": 0,
          "environment": {}}
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000     # of unshare(2)
DIE_WITH_PARENT = 1                                                 # of prctl(2)
STARTS = ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "subprocess.Popen",
          "os.kill", "os.killpg", "pty.spawn", "socket.connect", "socket.bind")
WRITES = ("os.remove", "os.rmdir", "os.rename", "os.truncate", "os.chmod", "os.chown", "os.link",
          "os.symlink", "os.mkdir", "shutil.rmtree", "shutil.move", "os.utime")


# --------------------------------------------------------------------- outside: starts, reads, ends
def run_job(job):
    """Forks, runs the job there, and returns its result."""
    job, keys = LIMITS | job, [secrets.token_bytes(32)]
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        leave = os._exit                    # before anybody can replace it
        try:
            work(job, keys, send)       # which takes the key out of its list
        finally:
            leave(0)
    os.close(send)
    try:
        wait = 10 + 3 * job["cpu"]      # a sleeper has its end, a busy machine its time
        result, over = listen(receive, keys[0], time.monotonic() + wait)
    finally:
        os.close(receive)
        status = end(child)
    if result["end"] is None:
        result["end"] = what_happened(status, over, job)
    return result


def listen(receive, key, deadline):
    """Gathers what the harness signs -> (result, whether the time was over)."""
    result, rest, count = {"tests": {}, "end": None}, b"", 0
    while result["end"] is None:
        ready, _, _ = select.select([receive], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return result, True
        more = os.read(receive, 1 << 16)
        if not more:
            return result, False
        *lines, rest = (rest + more).split(b"\n")
        for line in lines:
            text, _, signature = line.rpartition(b"\t")
            if hmac.compare_digest(sign(key, count, text), signature):
                count += 1
                note(result, *json.loads(text))
    return result, False


def sign(key, count, text):
    return hmac.new(key, b"%d " % count + text, "sha256").hexdigest().encode()


def note(result, node, outcome, error, message):
    if node == "end":
        result["end"] = outcome
        if outcome != "finished":
            result["tests"] = {}
        return
    for name in {node, node.partition("[")[0]}:     # of several parameters the worst counts
        before = result["tests"].get(name, ["passed", "", ""])
        result["tests"][name] = before if before[0] != "passed" else [outcome, error, message]


def end(child):
    """Ends a job's processes and returns how its first one had ended."""
    waited, deadline = (0, 0), time.monotonic() + 1
    while waited[0] == 0 and time.monotonic() < deadline:
        waited = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return waited[1] if waited[0] else os.waitpid(child, 0)[1]


def what_happened(status, over, job):
    if over or os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        return f"stopped after {job['cpu']} seconds: is there an endless loop?"
    if os.WIFSIGNALED(status):
        return f"Python was ended by signal {os.WTERMSIG(status)}"
    return "the code ended Python before the last test"


# ------------------------------------------------------------------------ inside: limits, the tests
def work(job, keys, send):
    """In the forked process: alone as far as the system can, then pytest."""
    tree = Path(job["tree"])
    os.setsid()
    if job["strict"] and alone():
        return
    limit(job)
    os.chdir(tree)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.dup2(send, 3)
    os.closerange(4, 1024)                  # what leads to the grader and to other jobs
    sys.dont_write_bytecode, sys.argv, sys.path[0] = True, ["pytest"], str(tree)
    for name, module in list(sys.modules.items()):      # the tree's own files are to be read
        path = Path(getattr(module, "__file__", None) or "/")
        if path.is_relative_to(tree) and not path.is_relative_to(sys.prefix):
            del sys.modules[name]
    arguments = ["-q", "-p", "no:cacheprovider", "--assert=plain", "--rootdir", str(tree),
                 "--test-seconds", str(job["seconds"])]
    if job["strict"]:
        home = tree.parent / "home"
        home.mkdir(exist_ok=True)
        for name in set(os.environ) - {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH"}:
            del os.environ[name]
        os.environ.update(HOME=str(home), TMPDIR=str(home))
        arguments += ["--basetemp", str(home / "pytest")]
        sys.addaudithook(refuse(tree.parent, job["private"]))
    os.environ.update(job["environment"], PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    harness = Harness(keys.pop(), 3, job["seed"])
    pytest.main([*arguments, *job["tests"]], plugins=[harness])
    harness.finish()


def limit(job):
    """Time, memory beyond what Python and torch have taken so far, the size of a file."""
    taken = 0
    with contextlib.suppress(OSError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, value in ((resource.RLIMIT_CPU, job["cpu"]), (resource.RLIMIT_FSIZE, 1 << 26),
                        (resource.RLIMIT_AS, taken + job["memory"]), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):      # not on every system
            resource.setrlimit(kind, (value, value))


def alone():
    """Into new namespaces, without processes and network of others. True in the process that only
    waits for the one that does the work."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return False                        # no Linux
    if libc.unshare(NEW_PID | NEW_NET) and libc.unshare(NEW_USER | NEW_PID | NEW_NET):
        return False                        # not allowed here
    inner = os.fork()
    if inner:
        status = os.waitpid(inner, 0)[1]
        if os.WIFSIGNALED(status):          # end as it ended
            os.kill(os.getpid(), os.WTERMSIG(status))
        return True
    libc.prctl(DIE_WITH_PARENT, signal.SIGKILL)
    return False


def refuse(folder, private):
    """An audit hook: what a hole has no business to do is an error that says so."""
    folder, private = str(folder), tuple(map(str, private))
    python = tuple({sys.prefix, sys.base_prefix})
    write = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    off = []                                # while the hook itself works

    def path_of(value):
        return os.path.abspath(os.fsdecode(value)) if isinstance(value, (str, bytes)) else folder

    def hook(event, arguments):
        if off:
            return
        off.append(True)
        try:
            if event in STARTS:
                raise RuntimeError(f"the code starts or ends processes, or connects ({event})")
            if event in WRITES and not path_of(arguments[0]).startswith(folder):
                raise RuntimeError(f"the code changes files outside its folder ({event})")
            if event == "open":
                path, flags = path_of(arguments[0]), arguments[2] or 0
                if path.startswith(private) and not path.startswith((folder, *python)):
                    raise PermissionError("the code reads files that are none of the student's")
                if flags & write and not path.startswith((folder, os.devnull)):
                    raise PermissionError("the code writes files outside its folder")
                if path.startswith("/proc/") and path[6:7].isdigit():
                    raise PermissionError("the code reads other processes")
        finally:
            off.clear()
    return hook


class Harness:
    """pytest's plugin: reports each test's end once its last assertion is behind it, adds a test
    that must fail, and gives the fixture `seed`."""

    def __init__(self, key, send, seed):
        state = {"count": 0, "canary": None}
        write = os.write                    # as it is now

        def report(*values):
            text = json.dumps(values).encode()
            write(send, text + b"\t" + sign(key, state["count"], text) + b"\n")
            state["count"] += 1

        self.report, self.state, self.seed_value, self.ends = report, state, seed, {}

    @pytest.fixture
    def seed(self):
        return self.seed_value

    def pytest_collection_modifyitems(self, items):
        if items:
            name = items[-1].originalname
            canary = pytest.Function.from_parent(items[-1].parent, name=name, callobj=must_fail)
            self.state["canary"] = canary
            items.insert(secrets.randbelow(len(items)) + 1, canary)

    def pytest_collectreport(self, report):
        if report.failed:
            lines = str(report.longrepr).strip().splitlines()
            text = next((line for line in reversed(lines) if line.startswith("E ")), lines[-1])
            self.state["broken"] = " ".join(text.removeprefix("E ").split())[:200]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        error = call.excinfo
        if report.outcome != "passed":
            self.ends[item] = [report.outcome, error.typename if error else "",
                               str(error.value)[:300] if error else ""]
        if call.when == "teardown":
            outcome, name, message = self.ends.get(item, ["passed", "", ""])
            if item is self.state["canary"]:
                self.state["sound"] = outcome == "failed" and name == "CanaryFailed"
            else:
                self.report(item.nodeid, outcome, name, message)
        return report

    def finish(self):
        state = self.state
        if "broken" in state:
            self.report("end", f"the file cannot be read: {state['broken']}", "", "")
        elif state["canary"] is None:
            self.report("end", "no test was found", "", "")
        elif "sound" not in state:
            self.report("end", "the code ended pytest before the last test", "", "")
        else:
            self.report("end", "finished" if state["sound"] else
                        "the code changed pytest or torch: nothing counts", "", "")


class CanaryFailed(Exception):
    pass


def must_fail():
    """Fails where pytest and torch compare as they should."""
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    wrong = [one.tolist() == [2.0], one.item() == 2, torch.equal(one, two), bool(one == two),
             torch.allclose(one, two), 1 == pytest.approx(2), [1.0] == pytest.approx([2.0])]
    for check in (lambda: torch.testing.assert_close(one, two), lambda: raised_nothing()):
        try:
            check()
            wrong.append(True)
        except BaseException:               # pytest's own Failed is no Exception
            pass
    if not any(wrong):
        raise CanaryFailed


def raised_nothing():
    with pytest.raises(ValueError):
        pass


def main():
    """The server: it holds nothing of the lecturer's, so that a hand-in finds nothing in it."""
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(run_job(json.loads(line))), file=results, flush=True)


if __name__ == "__main__":
    main()
