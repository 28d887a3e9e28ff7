"""The form of the source: what a lecturer can project and a reader can follow."""
import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (".", "kernels", "data", "data/world", "run", "lessons", "lessons/assignments",
           "lessons/assignments/hidden", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.py"))
STORY = [*ROOT.glob("*.py"), *(ROOT / "kernels" / name for name in
                               ("__init__.py", "softmax.py", "attention.py"))]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path):
    return str(path.relative_to(ROOT))


def count_lines(paths):
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_line_is_over_100_columns(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 100] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_line_holds_one_statement(path):
    source = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    semicolons = [token.start[0] for token in tokens if token.string == ";"]
    tuples = [node.lineno for node in ast.walk(ast.parse(source))
              if isinstance(node, ast.Expr) and isinstance(node.value, ast.Tuple)]
    assert semicolons + tuples == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_function_fits_on_a_slide(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTION)]
    assert [f.name for f in functions if f.end_lineno - f.lineno + 1 > 40] == []


@pytest.mark.parametrize("script", ["train_sft.py", "train_rm.py", "train_ppo.py"])
def test_a_train_script_has_at_most_320_lines(script):
    assert count_lines([ROOT / script]) <= 320


def test_the_story_and_the_plumbing_stay_within_their_length():
    assert count_lines(STORY) <= 2940
    assert count_lines((ROOT / "data" / "world").glob("*.py")) <= 2260
    assert count_lines((ROOT / "data").glob("*.py")) <= 1830
    assert count_lines((ROOT / "run").glob("*.py")) <= 1400


def test_the_readme_holds_the_two_commands_that_ci_takes_from_it():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    [job] = [line for line in lines if line.startswith("    pip install -r requirements.txt")]
    assert [f"python train_{stage}.py" in job for stage in ("pretrain", "sft", "rm", "ppo")] == [
        True] * 4
    assert "    python -m pytest" in lines
