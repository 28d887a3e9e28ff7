"""What every run shares and no reader came to learn: flags, one-line errors, the progress line.

in    a dataclass of settings, the command line
see   `python train_pretrain.py --help` is parse_config; the line that moves while a script trains
      is Progress. Beside this file: saving.py (files, resuming), team.py (devices, several
      processes), pictures.py, chat.py (`python model.py out/ppo.pt`)
"""
import argparse
import contextlib
import dataclasses
import math
import os
import random
import shlex
import signal
import sys
import time
import typing

import numpy as np
import torch


# ------------------------------------------------------------------------------------------ errors
class UserError(Exception):
    """Something the user can mend. The text is one line: the thing, then the mend."""


def fail(text):
    print("error: " + " ".join(str(text).split()), file=sys.stderr)
    sys.exit(2)


def main(function):
    """Run a script's main(): what a user can cause ends in one line and exit code 2, Ctrl-C in
    one line and 130."""
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):     # a terminal or a file that knows fewer letters
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")
    try:
        function()
    except UserError as error:
        fail(error)
    except BrokenPipeError:                 # `... | head`: whoever read us has gone; not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print("\nstopped: the same command with --resume goes on from the last save",
              file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def ctrl_c_waits():
    """`with ctrl_c_waits() as stopped:` Ctrl-C breaks nothing off, it puts True into that list."""
    stopped = []
    before = signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


# ------------------------------------------------------------------------------------------- flags
def flag(default, help, quick=None, least=None, choices=None):
    """A dataclass field that is also a --flag. quick: its value under --quick; least: the
    smallest value allowed."""
    more = {"help": help, "quick": quick, "least": least, "choices": choices}
    return dataclasses.field(default=default, metadata=more)


@dataclasses.dataclass
class CommonConfig:
    """The flags that every train script has; a script adds its own below them."""
    out: str = flag("out", "folder for weights, figures and pictures")
    seed: int = flag(0, "of all that is random; same seed, same machine: the same bits")
    device: str = flag("auto", "cpu, cuda, mps, or auto: a GPU where there is one")
    resume: bool = flag(False, "go on from the last save in --out")
    quick: bool = flag(False, "the same code in seconds, with less of everything: learns nothing")


class OneLineParser(argparse.ArgumentParser):
    def error(self, message):
        fail(f"{message} (`python {self.prog} --help` lists the flags)")


def flag_name(field):
    return "--" + field.name.replace("_", "-")


def add_flag(parser, field):
    """One field of the dataclass -> one --flag of the parser."""
    name, help, kind = flag_name(field), field.metadata["help"], field.type
    quick = field.metadata["quick"]
    default = f" (default {field.default}" + ("" if quick is None else f"; quick {quick}") + ")"
    if kind is bool:
        parser.add_argument(name, action="store_true", default=None, help=help)
    elif kind is tuple or typing.get_origin(kind) is tuple:
        parser.add_argument(name, nargs="+", metavar="X", help=help + default)
    else:
        parser.add_argument(name, type=kind, metavar=kind.__name__.upper(), help=help + default,
                            choices=field.metadata["choices"])


def check_value(parser, field, value):
    least = field.metadata["least"]
    if isinstance(value, float) and not math.isfinite(value):
        parser.error(f"{flag_name(field)} {value}: not a finite number")
    if least is not None and value < least:
        parser.error(f"{flag_name(field)} {value}: must be {least} or more")


def parse_config(Config, doc, argv=None):
    """The dataclass is the command line: each field made by `flag` is a --flag of its name.

    A flag that was not given takes its quick value under --quick. Returns a Config. Exits with 2
    and one line where a value is not allowed.
    """
    parser = OneLineParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields = dataclasses.fields(Config)
    for field in fields:
        add_flag(parser, field)
    given = vars(parser.parse_args(argv))
    values = {}
    for field in fields:
        value, quick = given[field.name], field.metadata["quick"]
        if value is None:
            value = quick if given["quick"] and quick is not None else field.default
        check_value(parser, field, value)
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return Config(**values)


def check_sizes(config, n_special):
    """Raises UserError for sizes that no model here has."""
    if config.n_embd % config.n_head:
        raise UserError(f"--n-embd {config.n_embd} is not a multiple of --n-head {config.n_head}")
    if config.n_embd > 256 * config.n_head:
        raise UserError(f"--n-embd {config.n_embd} is over 256 channels a head: raise --n-head")
    least = 256 + n_special
    if config.vocab_size < least:
        raise UserError(f"--vocab-size {config.vocab_size} is too small: 256 bytes and "
                        f"{n_special} control tokens need {least}")


# ----------------------------------------------------------------------------------------- figures
def share(parts, entities, wholes=None):
    """sum(parts) / sum(wholes), the latter 1 each unless given, with its 95% interval: {"value",
    "n", "low", "high"}, in [0, 1].

    What belongs to one entity (a country, a verb, a document) stands or falls together. So the
    interval is Wilson's (1927) for as many answers, `sure`, as would vary like these entities if
    each stood alone. A quarter of an entity all right and of one all wrong are added to measure
    that: where all or nothing counts, `sure` comes out as the number of entities.
    """
    names = {entity: i for i, entity in enumerate(dict.fromkeys(entities))}
    which = [names[entity] for entity in entities]
    n, wholes = len(names), [1] * len(parts) if wholes is None else wholes
    if not sum(wholes):
        return {"value": 0.0, "n": 0, "low": 0.0, "high": 1.0}
    part, whole = (np.bincount(which, x, n) for x in (parts, wholes))           # (n,) each
    p, size = part.sum() / whole.sum(), (whole**2).sum() / whole.sum()
    total = whole.sum() + size / 2
    q = (part.sum() + size / 4) / total
    squares = ((part - q * whole) ** 2).sum() + size**2 * (q**2 + (1 - q) ** 2) / 4
    sure = q * (1 - q) * total**2 / squares - 1 / 2
    far = 1.96**2 / sure
    middle, half = p + far / 2, math.sqrt(far * (p * (1 - p) + far / 4))
    low, high = (middle - half) / (1 + far), (middle + half) / (1 + far)
    return {"value": float(p), "n": len(parts), "low": float(max(0, min(low, p))),
            "high": float(min(1, max(high, p)))}


def shown(figure, digits=0):
    """A share as people read it, "98% (95-99)"; a plain number as it is."""
    if not isinstance(figure, dict):
        return f"{figure:.{max(2, digits)}f}"
    low, high = 100 * figure["low"], 100 * figure["high"]
    return f"{figure['value']:.{digits}%} ({low:.{digits}f}-{high:.{digits}f})"


def means(rows):
    """[{name: number}, ...] -> {name: mean}."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def generators(seed, device="cpu"):
    """(random.Random, torch.Generator) of one seed: all chance in a run comes from such a pair,
    never from global state."""
    return random.Random(seed), torch.Generator(device).manual_seed(seed)


def next_command(script, config, files):
    """What to type for the next stage; files: what stands for those that it needs, on own data."""
    words = ["python", script] + ["--quick"] * config.quick
    words += ["--out", config.out] * (config.out != "out") + ["--data", files] * bool(config.data)
    return shlex.join(words)


# ---------------------------------------------------------------------------------------- progress
class Progress:
    """One line that is rewritten in place on a terminal, ten plain lines elsewhere:
    `step 40/200  loss 1.21 nats  ...  0:31 left`."""
    UNITS = {"kl": " nats", "loss": " nats", "entropy": " nats"}

    def __init__(self, total, first_step=0, name="step", out=None):
        self.total, self.first_step, self.name = total, first_step, name
        self.out = out or sys.stdout
        self.started = time.time()
        self.tenth = None                   # of the way, when a plain line was printed last

    def report(self, step, **figures):
        """step counts from 1. A figure called tokens_per_second prints as `16,000 tokens/s`."""
        words = [f"{self.name} {step:{len(str(self.total))}d}/{self.total}"]
        words += [self.word(name, value) for name, value in figures.items()]
        line = "  ".join([*words, self.time_left(step)])
        last = step == self.total
        if self.out.isatty():
            print("\r\033[K" + line, end="\n" if last else "", file=self.out, flush=True)
        elif last or self.tenth != (10 * step) // self.total:
            self.tenth = (10 * step) // self.total
            print(line, file=self.out, flush=True)

    def time_left(self, step):
        elapsed = time.time() - self.started
        if step >= self.total:
            return f"{elapsed:.0f} s"
        left = int(elapsed / max(1, step - self.first_step) * (self.total - step))
        return f"{left // 60}:{left % 60:02d} left"

    def per_second(self, count):
        return count / (time.time() - self.started)

    def word(self, name, value):
        if name.endswith("_per_second"):
            return f"{value:,.0f} {name.removesuffix('_per_second')}/s"
        if isinstance(value, float):
            return f"{name} {value:.3f}{self.UNITS.get(name, '')}"
        return f"{name} {value}"


# Below, because these files import the names above.
from run.pictures import new_picture, save_picture                              # noqa: E402
from run.saving import (Resumable, atomic, digest, read_checkpoint, read_json,     # noqa: E402
                        read_torch, save_torch, write_json, write_json_lines)
from run.team import Clock, Stopwatch, Team, keep_freed_memory, pick_device     # noqa: E402
