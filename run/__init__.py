"""What every run shares and no reader came to learn: flags, errors, the progress line, saving, resuming, intervals, pictures.

in    a dataclass of settings, the command line
out   files under --out, each written to a temporary name and then renamed: a killed run never leaves half a file
see   `python train_pretrain.py --help` is parse_config; the line that moves while a script trains is Progress
"""
import argparse
import contextlib
import ctypes
import dataclasses
import json
import math
import os
import random
import sys
import time
import typing
from pathlib import Path

import torch


class UserError(Exception):
    """Something the user can mend. The text is one line: the thing, then the mend. `main` prints it and exits with 2."""


def main(function):
    """Run a script's main(); what a user can cause ends in one line and exit code 2, Ctrl-C in one line and 130."""
    with contextlib.suppress(AttributeError, OSError, TypeError):        # glibc only: it hands freed memory back to the system, and asking
        mallopt = ctypes.CDLL(None).mallopt                              # for it again is a tenth of a training step, so let it keep it
        mallopt(-3, 1 << 25), mallopt(-1, 2**31 - 1)                     # M_MMAP_THRESHOLD: 32 MB, the most; M_TRIM_THRESHOLD
    try:
        function()
    except UserError as error:
        fail(error)
    except BrokenPipeError:                                              # `... | head`: whoever read us has gone; not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print("\nstopped: the same command with --resume goes on from the last save", file=sys.stderr)
        sys.exit(130)


def fail(text):
    print("error: " + " ".join(str(text).split()), file=sys.stderr)
    sys.exit(2)


# ---------------------------------------------------------------------------------------------------------------- flags
def flag(default, help, quick=None, least=None, choices=None):
    """A dataclass field that is also a --flag. quick: its value under --quick; least: the smallest value allowed."""
    return dataclasses.field(default=default, metadata={"help": help, "quick": quick, "least": least, "choices": choices})


@dataclasses.dataclass
class CommonConfig:
    """The flags that every train script has; a script adds its own below them."""
    out: str = flag("out", "folder for weights, figures and pictures")
    seed: int = flag(0, "moves everything random; the same seed on the same machine gives the same bits")
    device: str = flag("auto", "cpu, cuda, mps, or auto: a GPU where there is one")
    resume: bool = flag(False, "go on from the last save in --out")
    quick: bool = flag(False, "the same code in seconds, with less of everything: to try it, not to judge it")


class OneLineParser(argparse.ArgumentParser):
    def error(self, message):
        fail(f"{message} (`python {self.prog} --help` lists the flags)")


def parse_config(Config, doc, argv=None):
    """The dataclass is the command line: each field made by `flag` is a --flag of its name. Returns a Config.

    A flag that was not given takes its quick value under --quick. Exits with 2 and one line where a value is not allowed.
    """
    parser = OneLineParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in (fields := dataclasses.fields(Config)):
        name, help, kind = "--" + field.name.replace("_", "-"), field.metadata["help"], field.type
        help += f" (default {field.default}" + (f"; quick {field.metadata['quick']})" if field.metadata["quick"] is not None else ")")
        if kind is bool:
            parser.add_argument(name, action="store_true", default=None, help=help.split(" (default")[0])
        elif typing.get_origin(kind) is tuple or kind is tuple:
            parser.add_argument(name, nargs="+", default=None, help=help, metavar="X")
        else:
            parser.add_argument(name, type=kind, default=None, help=help, choices=field.metadata["choices"], metavar=kind.__name__.upper())
    given, values = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}, {}
    for field in fields:
        quick, least, name = field.metadata["quick"], field.metadata["least"], "--" + field.name.replace("_", "-")
        value = given.get(field.name, quick if given.get("quick") and quick is not None else field.default)
        values[field.name] = value = tuple(value) if isinstance(value, list) else value
        if isinstance(value, float) and not math.isfinite(value):
            parser.error(f"{name} {value}: not a finite number")
        if least is not None and value < least:
            parser.error(f"{name} {value}: must be {least} or more")
    return Config(**values)


def pick_device(name):
    """--device -> torch.device; raises UserError for one that this machine does not have, or that the kernels asked for cannot use."""
    import kernels
    name = name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tensor = torch.empty(1, device=name)
    except (RuntimeError, AssertionError, ImportError):
        raise UserError(f"--device {name}: no such device here; --device cpu always works") from None
    try:
        kernels.choose_backend(tensor)
    except (RuntimeError, ValueError) as error:                          # KERNELS=triton and no GPU, KERNELS=abacus
        raise UserError(error) from None
    return tensor.device


# --------------------------------------------------------------------------------------------------------------- saving
@contextlib.contextmanager
def atomic(path):
    """`with atomic(path) as temporary:` write there; the file gets its name only when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, figures):
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path, made_by=None):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} not found" + (f": run `python {made_by}` first" if made_by else "")) from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from None


def save_torch(path, content):
    with atomic(path) as temporary, open(temporary, "wb") as file:       # given a path, torch would write its name into the file
        torch.save(content, file)


def read_torch(path, made_by=None, device="cpu"):
    """torch.load of tensors and plain values only; raises UserError that names the script which makes the file."""
    mend = f"run `python {made_by}` first" if made_by else "check the path"
    if not Path(path).is_file():
        raise UserError(f"{path} not found: {mend}")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception:                                                    # torch raises a dozen kinds for a file that is not its own
        raise UserError(f"{path} is not a file that this project saved (empty, cut short or foreign): {mend}") from None


def load_state(config, stage):
    """What `save_state` last wrote for this stage, or None: without --resume, or (with a line that says so) where nothing is saved."""
    path = Path(config.out) / f"{stage}.state.pt"
    if not config.resume:
        return None
    if not path.exists():
        print(f"nothing saved in {path}: starting afresh", file=sys.stderr)
        return None
    state = read_torch(path)
    for name, before in state["config"].items():
        now = getattr(config, name, None)
        if name not in ("out", "resume") and (list(now) if isinstance(now, tuple) else now) != before:
            raise UserError(f"{path} was made with {name} = {before}, now it is {now}: give the same flags, or start afresh without --resume")
    return state


def save_state(config, stage, **state):
    """Everything a killed run needs to end with the same bits: weights, optimizer, step, generator states."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(config).items()}
    save_torch(Path(config.out) / f"{stage}.state.pt", {"config": plain, **state})


# ------------------------------------------------------------------------------------------------------ figures, progress
def share(successes, n):
    """A share with its 95% interval (Wilson 1927): {"value", "n", "low", "high"}, all in [0, 1]; n = 0 gives the whole interval."""
    if n == 0:
        return {"value": 0.0, "n": 0, "low": 0.0, "high": 1.0}
    z, p = 1.96, successes / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"value": p, "n": n, "low": max(0.0, min(low, p)), "high": min(1.0, max(high, p))}


def shown(figure, digits=0):
    """A share as people read it: "98% (95-99)"; a plain number as it is."""
    if not isinstance(figure, dict):
        return f"{figure:.{max(2, digits)}f}"
    return f"{figure['value']:.{digits}%} ({100 * figure['low']:.{digits}f}-{100 * figure['high']:.{digits}f})"


class Progress:
    """One line that is rewritten in place on a terminal, ten plain lines elsewhere: `step 40/200  loss 1.21 nats  ...  0:31 left`."""
    UNITS = {"kl": " nats", "loss": " nats", "entropy": " nats"}

    def __init__(self, total, first_step=0, name="step", out=None):
        self.total, self.first_step, self.name, self.out = total, first_step, name, out or sys.stdout
        self.started, self.tenth = time.time(), None

    def report(self, step, **figures):
        """step counts from 1. A figure called tokens_per_second prints as `16,000 tokens/s`."""
        elapsed, done = time.time() - self.started, step - self.first_step
        left = elapsed / max(1, done) * (self.total - step)
        words = [f"{self.name} {step:{len(str(self.total))}d}/{self.total}", *(self.word(*item) for item in figures.items()),
                 f"{int(left) // 60}:{int(left) % 60:02d} left" if step < self.total else f"{elapsed:.0f} s"]
        line, last = "  ".join(words), step == self.total
        if self.out.isatty():
            print("\r\033[K" + line, end="\n" if last else "", file=self.out, flush=True)
        elif last or self.tenth != (10 * step) // self.total:
            self.tenth = (10 * step) // self.total
            print(line, file=self.out, flush=True)

    def word(self, name, value):
        if name.endswith("_per_second"):
            return f"{value:,.0f} {name[:-len('_per_second')]}/s"
        return f"{name} {value:.3f}{self.UNITS.get(name, '')}" if isinstance(value, float) else f"{name} {value}"


def means(rows):
    """[{name: number}, ...] -> {name: mean}: a report speaks of all batches of a step, not of the last one."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def generators(seed, device="cpu"):
    """(random.Random, torch.Generator) of one seed: all chance in a run comes from such a pair, never from global state."""
    return random.Random(seed), torch.Generator(device).manual_seed(seed)


# -------------------------------------------------------------------------------------------------------------- pictures
def new_picture(columns=1, width=5.0, height=3.4):
    """A matplotlib figure with `columns` axes side by side, in one style for all pictures: (figure, list of axes)."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width * columns, height), layout="constrained", dpi=120)
    axes = [figure.add_subplot(1, columns, i + 1) for i in range(columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    return figure, axes


def save_picture(path, figure):
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")
