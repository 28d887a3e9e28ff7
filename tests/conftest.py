"""Shared by all tests: one thread (small tensors gain nothing from two, and the order of sums stays the same), a tiny tokenizer, the quick run."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")


def run_script(*arguments, stdin=None, timeout=300):
    """A script as a user starts it: (exit code, stdout, stderr)."""
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def script():
    return run_script


@pytest.fixture(scope="session")
def quick_out(tmp_path_factory):
    """A folder in which all four stages ran with --quick, in order."""
    out = tmp_path_factory.mktemp("quick")
    for stage in ("pretrain", "sft", "rm", "ppo"):
        code, printed, errors = run_script(f"train_{stage}.py", "--quick", "--out", out)
        assert code == 0, f"train_{stage}.py --quick failed:\n{printed[-2000:]}{errors[-3000:]}"
    return out
