"""The lessons are true: their Python blocks run and print what stands below them, and every
`file.function` they name exists."""
import contextlib
import doctest
import importlib
import io
import re
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).parent.parent / "lessons").glob("*.md"))
MODULES = ("bpe|model|run|data|kernels|"
           "train_pretrain|train_sft|train_rm|train_ppo")
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.M | re.S)
NAME = re.compile(rf"`((?:{MODULES})\.[\w.]+)`")
FILES = (".py", ".json", ".jsonl", ".pt", ".png", ".md")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_the_blocks_of_a_lesson_print_what_it_says(lesson):
    namespace, printed = {}, ""
    for language, block in BLOCK.findall(lesson.read_text(encoding="utf-8")):
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(block, namespace)
            printed = out.getvalue()
        else:
            right = doctest.OutputChecker().check_output(block, printed, doctest.ELLIPSIS)
            assert right, f"{lesson.name} says\n{block}but it prints\n{printed}"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_what_a_lesson_names_exists(lesson):
    for dotted in set(NAME.findall(lesson.read_text(encoding="utf-8"))):
        if dotted.endswith(FILES):
            continue
        module, _, rest = dotted.partition(".")
        found = importlib.import_module(module)
        for name in rest.split("."):
            if hasattr(found, name):
                found = getattr(found, name)
            else:                           # a module of a package: reached by import
                found = importlib.import_module(f"{found.__name__}.{name}")


def test_every_lesson_is_here():
    numbers = [path.stem[:2] for path in LESSONS if path.stem[0].isdigit()]
    assert numbers == ["00", "01", "02", "03", "04", "05", "06", "07"]
