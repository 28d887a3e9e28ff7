"""The lessons are true: their Python and console blocks print what stands below them, every
`file.function` they name exists, and so does every picture.

A lesson that teaches in full (WHOLE) has also the length, and its new words in the glossary.
"""
import contextlib
import doctest
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import run_script

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "lessons"
LESSONS = sorted(FOLDER.glob("0*.md"))
TEXTS = [*sorted(FOLDER.glob("*.md")), *sorted(FOLDER.glob("*/*.md"))]
WHOLE = [path.stem for path in LESSONS]
LONG = ["01_bpe", "02_model", "03_kernels", "05_sft"]       # blocks of 4 to 9 seconds each
MODULES = ("bpe|model|run|data|kernels|"
           "train_pretrain|train_sft|train_rm|train_ppo|train_dpo|train_reinforce")
sys.path.append(str(FOLDER))                # where train_dpo and train_reinforce stand
BLOCK = re.compile(r"^( *)```(python|text|console)\n(.*?)^ *```", re.M | re.S)
NAME = re.compile(rf"`((?:{MODULES})\.[\w.]+)`")
FILES = (".py", ".json", ".jsonl", ".pt", ".png", ".md")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^):#]+)\)")
TERM = re.compile(r"^- \*\*(.+?)\*\*.*? \(lesson (\d)\): \S", re.M)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_-]+")
CODE_FILE = re.compile(r"`([\w/]+\.py)`")
IGNORED = {"out", "trial", "quick", "hand_in", ".git", ".venv", "venv"}

every_text = pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(FOLDER)))
whole_lesson = pytest.mark.parametrize("name", WHOLE)


def same(said, printed):
    said, printed = ("".join(line.rstrip() + "\n" for line in text.splitlines())
                     for text in (said, printed))
    return doctest.OutputChecker().check_output(said, printed, doctest.ELLIPSIS)


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like the repository, with an out/ of its own."""
    for path in ROOT.iterdir():
        if path.name not in IGNORED:
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def run_commands(block, folder):
    """A console block -> the same with what its commands print now."""
    printed = ""
    for line in block.splitlines():
        if line.startswith("$ "):
            code, said, errors = run_command(line[2:], folder)
            assert code == 0, errors
            printed += f"{line}\n{said}"
    return printed


def run_command(line, folder):
    """-> (exit code, stdout, stderr)."""
    words = shlex.split(line)
    if words[0] == "python" and words[1].endswith(".py") and not set("><|") & set(line):
        return run_script(folder / words[1], *words[2:], cwd=folder)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(["bash", "-c", line], cwd=folder, text=True, capture_output=True,
                          env=os.environ | {"PATH": path})
    return done.returncode, done.stdout, done.stderr


def blocks_of(lesson, answers):
    """(language, block) of a lesson and then of its model answers, which use its names."""
    paths = [lesson, FOLDER / "answers" / lesson.name][: 1 + answers]
    for source in (path.read_text(encoding="utf-8") for path in paths):
        for _, language, block in BLOCK.findall(source):
            yield language, textwrap.dedent(block)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_the_blocks_of_a_lesson_print_what_it_says(lesson, checkout, monkeypatch, pytestconfig):
    """Those of its model answers, and of lessons whose blocks take long, with --all."""
    everything = pytestconfig.getoption("--all")
    if lesson.stem in LONG and not everything:
        pytest.skip("takes long: --all runs it")
    monkeypatch.chdir(checkout)
    namespace, printed = {}, ""
    for language, block in blocks_of(lesson, everything):
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(block, namespace)
            printed = out.getvalue()
            continue
        if language == "console":
            printed = run_commands(block, checkout)
        assert same(block, printed), f"{lesson.name} says\n{block}but it prints\n{printed}"


@every_text
def test_what_a_text_names_exists(text):
    for dotted in set(NAME.findall(text.read_text(encoding="utf-8"))):
        if dotted.endswith(FILES):
            continue
        module, _, rest = dotted.partition(".")
        found = importlib.import_module(module)
        for name in rest.split("."):
            if hasattr(found, name):
                found = getattr(found, name)
            else:                           # a module of a package: reached by import
                found = importlib.import_module(f"{found.__name__}.{name}")


@every_text
def test_the_flags_and_files_that_a_text_names_are_ours(text):
    source = text.read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("**/*.py")
                   if path.relative_to(ROOT).parts[0] not in IGNORED)
    for flag in set(FLAG.findall(source)):
        field = flag[2:].replace("-", "_")
        assert flag in code or re.search(rf"^    {field}: \w+ = flag\(", code, re.M), flag
    for name in set(CODE_FILE.findall(source)):
        assert name.startswith("hand_in/") or (ROOT / name).exists(), name


@every_text
def test_pictures_are_there_and_small_and_told_in_words_and_links_lead_somewhere(text):
    source = text.read_text(encoding="utf-8")
    for words, name in PICTURE.findall(source):
        assert (text.parent / name).stat().st_size < 150_000, name
        assert len(words.split()) >= 4, f"{name} has no alternative text"
    for name in LINK.findall(source):
        assert (text.parent / name).exists(), name


@whole_lesson
def test_a_whole_lesson_has_1500_to_3000_words_beside_its_code(name):
    source = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    words = re.findall(r"\S*\w\S*", re.sub(r"^ *```.*?^ *```", "", source, flags=re.M | re.S))
    assert 1500 <= len(words) <= 3000


@whole_lesson
def test_a_sentence_has_at_most_30_words(name):
    source = (FOLDER / f"{name}.md").read_text(encoding="utf-8").split("\n## Further reading")[0]
    source = re.sub(r"^ *```.*?^ *```|^ {4}.*?$|^\|.*?$|^>", "", source, flags=re.M | re.S)
    sentences = re.split(r"[.?!]\W|\n *\n|\n *(?:-|\d\.) ", PICTURE.sub("", source))
    assert [s for s in sentences if len(re.findall(r"\w+", re.sub("`.*?`", "code", s))) > 30] == []


@whole_lesson
def test_a_whole_lesson_has_a_model_answer_to_each_exercise(name):
    exercises = (FOLDER / f"{name}.md").read_text(encoding="utf-8").partition("## Exercises")[2]
    titles = re.findall(r"^\d\. \*\*(.+?)\*\*", exercises, re.M)
    answers = (FOLDER / "answers" / f"{name}.md").read_text(encoding="utf-8")
    assert titles and titles == re.findall(r"^\*\*\d\. (.+?)\.\*\*", answers, re.M)
    assert exercises.count("<details>") == exercises.count("</details>") == len(titles)


def test_the_glossary_is_in_order_and_its_lessons_hold_its_words():
    glossary = (FOLDER / "glossary.md").read_text(encoding="utf-8")
    terms = TERM.findall(glossary)
    assert len(terms) == glossary.count("\n- ")
    assert [term for term, _ in terms] == sorted((term for term, _ in terms), key=str.lower)
    for term, number in terms:
        [lesson] = FOLDER.glob(f"0{number}_*.md")
        assert term.lower() in lesson.read_text(encoding="utf-8").lower(), (term, lesson.name)


def test_every_lesson_is_here():
    numbers = [path.stem[:2] for path in LESSONS if path.stem[0].isdigit()]
    assert numbers == ["00", "01", "02", "03", "04", "05", "06", "07", "08"]
