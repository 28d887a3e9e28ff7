"""A run that is killed at its first save and goes on, in this process; and one that forgets a part
of what it had saved."""
import contextlib
from unittest import mock

import pytest

import run


class Killed(Exception):
    """Nothing that a script would catch."""


@contextlib.contextmanager
def killed_at_the_first_save():
    """`with killed_at_the_first_save(): train(...)`"""
    save = run.Resumable.save

    def save_and_die(self, **values):
        save(self, **values)
        raise Killed

    with mock.patch.object(run.Resumable, "save", save_and_die), pytest.raises(Killed):
        yield


@contextlib.contextmanager
def forgetting(name, fresh=None):
    """Who goes on meanwhile misses this part (a model, a generator), or has the value of this name
    as in a fresh run (fresh, else an empty one); name None: nothing is missed."""
    load = run.Resumable.load

    def load_without(self):
        parts = self.parts
        self.parts = {known: part for known, part in parts.items() if known != name}
        values = load(self)
        self.parts = parts
        assert name is None or name in parts or name in values
        if name not in values:
            return values
        return values | {name: type(values[name])() if fresh is None else fresh}

    with mock.patch.object(run.Resumable, "load", load_without):
        yield
