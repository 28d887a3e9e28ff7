"""The list of experiments: its edits still fit the code, its flags exist, its figures are found."""
import importlib
import json
import re
import sys
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import experiments

TABLE = experiments.load_list()


@pytest.fixture
def code(tmp_path):
    experiments.copy(experiments.CODE, ROOT, tmp_path)
    return tmp_path


def test_every_edit_changes_one_line_of_today_s_code_into_another_that_compiles(code):
    for name, experiment in TABLE.items():
        for variant in experiment["variants"].values():
            for file, before, after in variant.get("edits", []):
                source = (code / file).read_text(encoding="utf-8")
                assert experiments.change(code, [[file, before, after]])
                changed = (code / file).read_text(encoding="utf-8")
                compile(changed, file, "exec")
                assert changed != source, name
                (code / file).write_text(source, encoding="utf-8")


def test_an_edit_that_fits_nowhere_is_told(code):
    with pytest.raises(run.UserError, match="holds 0 times"):
        experiments.change(code, [["model.py", "no such line", "pass"]])


@pytest.mark.parametrize("name", TABLE)
def test_the_flags_of_an_experiment_are_its_stages(name):
    for stage in TABLE[name]["stages"]:
        config = importlib.import_module(Path(stage).stem).Config
        for variant in TABLE[name]["variants"].values():
            run.parse_config(config, "", variant.get(experiments.key(stage), "").split())
    known = {experiments.key(stage) for stage in TABLE[name]["stages"]} | {"edits"}
    assert all(set(variant) <= known for variant in TABLE[name]["variants"].values())


def test_a_figure_is_a_number_a_value_with_an_interval_or_a_column_of_rows(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"x": {"y": {"value": 0.5, "n": 2}}, "z": 3}))
    (tmp_path / "a.jsonl").write_text('{"kl": 1.23456, "step": 0}\n{"kl": 2, "step": 1}\n')
    found = [experiments.figure_of(tmp_path, place)
             for place in ("a.json x y", "a.json z", "a.jsonl kl", "a.jsonl")]
    assert found == [0.5, 3, [1.235, 2], {"kl": [1.235, 2], "step": [0, 1]}]


def test_an_experiment_leaves_out_and_the_code_as_they_are_and_writes_what_came_out(
        tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "sft.json").write_text('{"a": 1}')
    stage = tmp_path / "stage.py"
    stage.write_text("import json, sys; json.dump({'a': len(sys.argv)}, open('out/sft.json', 'w'))")
    monkeypatch.setattr(experiments, "CODE", ("stage.py",))
    monkeypatch.setattr(experiments, "ROOT", tmp_path)
    monkeypatch.setattr(experiments, "FOLDER", tmp_path)
    table = {"lesson": 5, "shows": "s", "minutes": 1, "stages": ["stage.py"],
             "figures": {"words": "sft.json a"}, "keeps": ["sft.json"],
             "variants": {"few": {}, "many": {"stage": "--x 1"},
                          "edited": {"edits": [["stage.py", stage.read_text().strip(),
                                                "open('out/sft.json', 'w').write('{\"a\": 9}')"]]}}}
    options = type("Options", (), {"seeds": [0, 1], "out": out, "quick": False})
    experiments.conduct("words", table, options)
    result = json.loads((tmp_path / "words.json").read_text())
    assert {label: [row["figures"]["words"] for row in rows]
            for label, rows in result["variants"].items()} == {
                "few": [3, 3], "many": [5, 5], "edited": [9, 9]}
    assert [row["seed"] for row in result["variants"]["few"]] == [0, 1]
    assert result["variants"]["edited"][0]["kept"] == {"sft.json": {"a": 9}}
    assert (out / "sft.json").read_text() == '{"a": 1}' and "9" not in stage.read_text()
    assert (tmp_path / "words.png").stat().st_size > 0


def test_a_table_shows_the_mean_and_range_of_the_seeds_and_of_a_curve_its_end(
        tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "FOLDER", tmp_path)
    curve = [9.0] * 45 + [1.0] * 5
    rows = [{"figures": {"kl": [at * share for at in curve], "facts": share}, "seconds": 10}
            for share in (0.25, 0.75)]
    (tmp_path / "x.json").write_text(json.dumps({"variants": {"default": rows}}))
    assert experiments.table("x") == [
        "| x | kl | facts | seeds | seconds |",
        "|---|---|---|---|---|",
        "| default | 0.50 (0.25 to 0.75) | 0.50 (0.25 to 0.75) | 2 | 10 |"]


def tables_in(path):
    """[(name, lines)] of the tables of experiments in a text; such a table names it first."""
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    return [(lines[0].split(" | ")[0].removeprefix("| "), lines)
            for lines in (block.splitlines() for block in blocks)
            if lines and lines[0].endswith("| seeds | seconds |")]


@pytest.mark.parametrize("path", sorted((ROOT / "lessons").rglob("*.md")), ids=lambda p: p.name)
def test_a_lesson_s_tables_of_experiments_are_what_came_out(path):
    for name, lines in tables_in(path):
        assert lines == experiments.table(name), f"{path.name}: {name}"


@pytest.mark.parametrize("name", TABLE)
def test_an_experiment_that_was_run_has_every_variant_of_today(name):
    path = experiments.FOLDER / f"{name}.json"
    if path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))
        assert list(result["variants"]) == list(TABLE[name]["variants"])
        assert all(rows for rows in result["variants"].values())
        assert not result["quick"] and path.with_suffix(".png").exists()


def test_the_gallery_quotes_what_the_policies_said():
    gallery = (ROOT / "lessons" / "07_ppo.md").read_text(encoding="utf-8")
    gallery = gallery.split("1. **No price")[1].split("Some mistakes do not show")[0]
    said = [answer[part] for name in ("beta", "rate", "epochs")
            for rows in json.loads((experiments.FOLDER / f"{name}.json").read_text())[
                "variants"].values()
            for row in rows for answer in row["kept"].get("ppo.json ppo transcripts", [])
            for part in ("prompt", "answer")]
    quoted = [" ".join(part.split()) for quote in re.findall(r'"([^"]+)"', gallery)
              for part in quote.split("...")]
    assert len(quoted) >= 6
    assert [part for part in quoted if not any(part in text for text in said)] == []
