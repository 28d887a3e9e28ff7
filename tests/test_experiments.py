"""The list of experiments: its edits still fit the code, its flags exist, its figures are found."""
import importlib
import json
import sys
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import experiments

TABLE = experiments.load_table()


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
    (tmp_path / "a.jsonl").write_text('{"kl": 1}\n{"kl": 2}\n')
    found = [experiments.figure_of(tmp_path, place)
             for place in ("a.json x y", "a.json z", "a.jsonl kl")]
    assert found == [0.5, 3, [1, 2]]


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
             "figures": {"words": "sft.json a"},
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
    assert (out / "sft.json").read_text() == '{"a": 1}' and "9" not in stage.read_text()
    assert (tmp_path / "words.png").stat().st_size > 0
