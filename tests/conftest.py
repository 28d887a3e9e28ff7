"""Shared by all tests; `--submission hand_in/train_rm.py` tests a student's file in place of ours.

One thread a process: small tensors gain nothing from two, and the order of sums stays the same.
What takes long, such as a quick run of all four stages, starts with the session, in processes
beside the tests.
"""
import functools
import importlib.util
import inspect
import json
import multiprocessing
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Of the processes, whatever a test does to its own meanwhile. What the tests compare is claimed
# for the CPU, so most do not see a GPU.
ON_GPU = os.environ | {"PYTHONPATH": str(ROOT)}
ENVIRONMENT = ON_GPU | {"CUDA_VISIBLE_DEVICES": ""}

# A fork has what is imported already; Windows has none.
FORK_OR_SPAWN = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")

SUBMITTED = {}                              # our file's path -> the student's
USED = set()                                # those that were imported, or run as a script


# ------------------------------------------------------------------------------- hand-ins
def pytest_addoption(parser):
    parser.addoption("--submission", action="append", default=[],
                     help="a student's file; the longest tail of its path that is a file of ours "
                          "says which one it replaces")
    parser.addoption("--test-seconds", type=int, default=0,
                     help="the longest that a test may take (with --submission 60, else no limit)")


    parser.addoption("--all", action="store_true",
                     help="what takes long, too: each part of each assignment, a made-up class of "
                          "30, all blocks of lessons and model answers (some fifteen minutes)")


def file_of_ours(path):
    """"kernels/softmax.py" for any/folder/kernels/softmax.py; None where no tail is ours. Only the
    rooms of the house count: a hand-in may lie in a folder of its own beside them."""
    for start in range(len(path.parts)):
        tail = Path(*path.parts[start:])
        in_a_room = len(tail.parts) == 1 or tail.parts[0] in ("kernels", "data", "run")
        if in_a_room and (ROOT / tail).is_file():
            return str(tail)
    return None


def pytest_configure(config):
    for path in map(Path, config.getoption("--submission")):
        if not path.is_file():
            raise pytest.UsageError(f"--submission {path}: no such file")
        ours = file_of_ours(path)
        if ours is None:
            raise pytest.UsageError(f"--submission {path}: its name is none of ours")
        SUBMITTED[ours] = path.resolve()
    sys.meta_path.insert(0, Submissions)


class Submissions:
    """Finds a submitted module before ours is found, for the tests and for our other files."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        ours = name.replace(".", os.sep) + ".py"
        if ours not in SUBMITTED:
            return None
        USED.add(ours)
        return importlib.util.spec_from_file_location(name, SUBMITTED[ours])


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """With a submission the tests run in a process of their own: only the word that it writes
    after the last test counts, so a hand-in that ends Python, or never ends, has failed."""
    if not config.getoption("--submission") or "SPEAKS_TO" in os.environ:
        return None
    with tempfile.TemporaryDirectory() as folder:
        word = Path(folder) / "word"
        os.environ["SPEAKS_TO"] = str(word)
        sys.argv = ["pytest", *map(str, config.invocation_params.args)]
        limit = 20 * (config.getoption("--test-seconds") or 60)
        again = FORK_OR_SPAWN.Process(target=runpy.run_module, args=("pytest", None, "__main__"))
        again.start()
        again.join(limit)
        if again.exitcode is None:
            again.kill()
            print(f"the hand-in was stopped after {limit} seconds")
            return 1
        if again.exitcode == 0 and not word.exists():
            print("the hand-in ended Python before the last test: not passed")
            return 1
        return again.exitcode


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A test of a hand-in that takes too long, as an endless loop does, fails."""
    seconds = item.config.getoption("--test-seconds") or 60 * bool(SUBMITTED)
    if not seconds:
        return (yield)

    def too_long(*_):
        raise TimeoutError(f"this test took over {seconds} seconds: is there an endless loop?")

    before = [signal.signal(alarm, too_long) for alarm in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, seconds)       # of work; and, if it sleeps,
    signal.alarm(5 * seconds)                           # on the clock of a busy machine
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for alarm, handler in zip((signal.SIGPROF, signal.SIGALRM), before):
            signal.signal(alarm, handler)


def pytest_sessionfinish(session, exitstatus):
    unused = sorted(set(SUBMITTED) - USED)
    if unused and exitstatus == 0:
        session.exitstatus = 1
        print(f"\nno test chosen here looked at the hand-in {' '.join(unused)}: not passed")
    elif "SPEAKS_TO" in os.environ:
        Path(os.environ["SPEAKS_TO"]).touch()


def refuse_the_reference(event, arguments):
    """A hand-in that reads the file which it stands for has not been written by its student."""
    if event == "open" and SUBMITTED and isinstance(arguments[0], str):
        for ours, path in SUBMITTED.items():
            reference = str(ROOT / ours)
            if arguments[0] == reference and str(path) != reference:
                raise RuntimeError(f"the hand-in reads our own {ours}")


sys.addaudithook(refuse_the_reference)


class TooSlow(AssertionError):
    """A right result that took too long: lessons/check.py says so."""


def within(limit, function, *arguments):
    """The function's result; TooSlow where it takes more seconds of work."""
    started = time.process_time()
    result = function(*arguments)
    if time.process_time() - started > limit:
        raise TooSlow
    return result


# ------------------------------------------------------------------------------- processes
STARTER = threading.Lock()                  # of starter(): its first caller makes it


@functools.cache
def starter():
    """The process of starting.py: a socket to it. It ends when this process does."""
    ours, theirs = socket.socketpair()
    subprocess.Popen([sys.executable, ROOT / "tests" / "starting.py"], cwd=ROOT, stdin=theirs,
                     env=ON_GPU)
    theirs.close()
    return ours


def run_script(*arguments, stdin="", timeout=300, env=ENVIRONMENT, cwd=ROOT, meanwhile=None):
    """A script as a user starts it, see starting.py: (exit code, stdout, stderr).

    meanwhile(process id) is called while it runs, and may end it.
    """
    USED.add(str(arguments[0]))
    script = SUBMITTED.get(str(arguments[0]), arguments[0])
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin)
        job = {"arguments": [str(script), *map(str, arguments[1:])], "environment": env,
               "files": [str(file) for file in files], "seconds": timeout, "folder": str(cwd)}
        ours, theirs = socket.socketpair()
        with STARTER, theirs:
            socket.send_fds(starter(), [b"."], [theirs.fileno()])
        with ours, ours.makefile("rw") as stream:
            print(json.dumps(job), file=stream, flush=True)
            process = int(stream.readline())
            if meanwhile:
                meanwhile(process)
            code = int(stream.readline())
        return code, *(file.read_text() for file in files[1:])


def sending(number, file):
    """For run_script's meanwhile: this signal, as soon as the script has written the file."""
    def meanwhile(process):
        while not file.exists():
            os.kill(process, 0)             # fails where the script has ended
            time.sleep(0.01)
        os.kill(process, number)
    return meanwhile


@pytest.fixture
def mistake(monkeypatch, capsys):
    """A script's main() with flags that are wrong, in this process: what it says, one line, on its
    way out with exit code 2."""
    def call(script, *arguments, silent=False):
        import run
        monkeypatch.setattr(sys, "argv", [script.__name__ + ".py", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            run.main(script.main)
        printed, errors = capsys.readouterr()
        assert not (silent and printed)
        assert stopped.value.code == 2 and errors.count("\n") == 1 and errors.endswith("\n")
        return errors
    return call


@pytest.fixture(params=["numpy", "torch", "triton"])
def backend(request):
    """Each backend of the kernels in turn, forced while the test runs."""
    import torch                            # here: the number of threads is set above, and a
    import kernels                          # submission may take the kernels' place
    if request.param == "triton" and not torch.cuda.is_available():
        pytest.skip("no CUDA device: Triton runs in its interpreter, see test_kernels_compile.py")
    before = kernels.use(request.param)
    yield request.param
    kernels.use(before)


@pytest.fixture(scope="session")
def script():
    return run_script


BESIDE = {}                                 # name -> what makes a fixture's value, or is a test


def beside(function):
    """Turns function(folder, *others), which runs processes of its own, into a session fixture, or
    a test, whose work begins with the session and not with its turn.

    folder: a fresh one. others: fixtures made by `beside`. It runs in a thread: hands off torch's
    own generator, which the tests use meanwhile.
    """
    name = function.__name__
    assert name not in BESIDE, name
    BESIDE[name] = function

    def wait(running):
        return running[name].result()

    if name.startswith("test_"):
        return lambda running: wait(running)        # pytest wants a test to return nothing
    return pytest.fixture(scope="session", name=name)(wait)


def needs_of(item):
    """What `beside` made and this test uses."""
    return {*item.fixturenames, item.name} & {*BESIDE}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: bool(needs_of(item)))   # those that may have to wait come last


@pytest.fixture(scope="session", autouse=True)
def running(request, tmp_path_factory):
    """{name: Future} of what `beside` made and this session uses, two at a time, first the quick
    run, which takes longest. What another needs is started before it, so nobody waits for what has
    not begun."""
    pool, started = ThreadPoolExecutor(2), {}

    def start(name):
        if name not in started:
            needs = list(inspect.signature(BESIDE[name]).parameters)[1:]
            others = [start(other) for other in needs]
            folder = tmp_path_factory.mktemp(name)
            started[name] = pool.submit(work, BESIDE[name], folder, others)
        return started[name]

    needed = set().union(*map(needs_of, request.session.items))
    for name in BESIDE:
        if name in needed:
            start(name)
    yield started
    pool.shutdown(cancel_futures=True)


def work(function, folder, others):
    return function(folder, *(other.result() for other in others))


def run_stages(out, *flags, env=ENVIRONMENT):
    """All four stages with --quick and more flags, in order; returns the folder."""
    for stage in ("pretrain", "sft", "rm", "ppo"):
        arguments = (f"train_{stage}.py", "--quick", "--out", out, *flags)
        code, printed, errors = run_script(*arguments, env=env)
        assert code == 0, f"{arguments[0]} failed:\n{printed[-2000:]}{errors[-3000:]}"
    return out


@beside
def quick_out(out):
    """A folder in which all four stages ran."""
    return run_stages(out)


# ------------------------------------------------------------------------------- a small model
@pytest.fixture(scope="session")
def small_out(tmp_path_factory):
    """A folder with what the stages of step 3 read, made in no time: a tokenizer of 300 tokens, a
    shard, and models of 1 layer and 16 channels that have learnt nothing. The SFT model ends an
    answer at each token with a probability of about a tenth."""
    import torch                            # here, as above
    import model as M
    from bpe import train_bpe
    from data import world
    from run import write_json
    out = tmp_path_factory.mktemp("small")
    texts = [prompt.text for prompt in world.prompts("rlhf")[::9]]
    tokenizer = train_bpe(texts, 300, M.SPECIAL_TOKENS)
    tokenizer.save(out / "tokenizer.json")
    ids = tokenizer.encode_corpus(texts)
    ids.tofile(out / "train-00000.bin")
    write_json(out / "shards.json", {
        "dtype": ids.dtype.name, "train": {"files": [["train-00000.bin", len(ids)]]}})
    config = M.GPTConfig(vocab_size=300, block_size=64, n_layer=1, n_head=2, n_embd=16)
    with torch.random.fork_rng(), torch.no_grad():
        for seed, stage in enumerate(("pretrain", "sft", "rm")):
            torch.manual_seed(seed)
            gpt = M.GPT(config)
            gpt.token_embedding.weight *= 10            # as far apart as those of a trained one
            end = gpt.token_embedding.weight[tokenizer.special_tokens[M.END]]
            gpt.norm.bias.copy_(4 * end / end.norm() ** 2)
            network = M.ScalarGPT(gpt) if stage == "rm" else gpt
            if stage == "rm":
                network.head.bias.fill_(0.7)
            M.save_checkpoint(out / f"{stage}.pt", network, tokenizer, {"stage": stage})
    return out


@pytest.fixture
def small(small_out, tmp_path):
    """The folder of small_out, to write into."""
    return shutil.copytree(small_out, tmp_path / "small")
