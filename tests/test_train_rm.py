"""The reward model: its loss, the labeler, the files of rankings, what a quick run leaves behind."""
import json
import random

import numpy as np
import pytest
import torch

from data import world
import train_rm
from conftest import beside, run_script


def test_equal_scores_cost_log_two():
    assert train_rm.ranking_loss(torch.zeros(2, 4)).item() == pytest.approx(0.693147, abs=1e-5)


def test_the_ranking_loss_is_the_mean_over_pairs_worked_by_hand():
    # scores 2 1 0, best first: margins 1, 2, 1; -log sigmoid: 0.313262, 0.126928, 0.313262
    assert train_rm.ranking_loss(torch.tensor([[2.0, 1.0, 0.0]])).item() == pytest.approx((0.313262 * 2 + 0.126928) / 3, abs=1e-5)


def test_pairs_of_equal_rank_do_not_count():
    scores = torch.tensor([[2.0, 1.0, 0.0]])
    assert train_rm.ranking_loss(scores, torch.tensor([[1, 2, 2]])).item() == pytest.approx((0.313262 + 0.126928) / 2, abs=1e-5)
    assert train_rm.ranking_loss(scores, torch.tensor([[1, 1, 1]])).item() == 0.0


def test_the_order_of_the_answers_does_not_matter():
    scores, ranks, order = torch.tensor([[0.3, -1.0, 2.0, 0.5]]), torch.tensor([[2, 4, 1, 3]]), [3, 0, 2, 1]
    assert train_rm.ranking_loss(scores, ranks).item() == pytest.approx(train_rm.ranking_loss(scores[:, order], ranks[:, order]).item())


def test_the_gradient_lifts_the_better_answer():
    scores = torch.zeros(1, 2, requires_grad=True)
    train_rm.ranking_loss(scores).backward()
    assert scores.grad[0, 0] < 0 < scores.grad[0, 1]


def test_a_careful_labeler_ranks_by_the_rubric_and_calls_equals_equal():
    assert train_rm.rank([0.5, 1.0, -1.0, 1.0], random.Random(0), noise=0.0) == [2, 1, 3, 1]


def test_a_noisy_labeler_is_wrong_about_as_often_as_it_misjudges():
    rng = random.Random(0)
    wrong = sum(train_rm.rank([1.0, -1.0], rng, noise=0.2) != [1, 2] for _ in range(4000)) / 4000
    assert 0.15 < wrong < 0.22                                           # either may be misjudged, half of the time as itself: 1 - 0.9^2 = 0.19


def test_calibration_error_is_zero_where_sureness_is_right_and_large_where_it_is_not():
    ranks = np.tile([[1, 2]], (1000, 1))
    ranks[:250] = [2, 1]                                                 # the first answer is better three times in four
    honest = np.tile([[np.log(3.0), 0.0]], (1000, 1))                    # sigmoid(log 3) = 3/4
    assert train_rm.calibration_error(honest, ranks) < 1e-6
    assert train_rm.calibration_error(honest * 20, ranks) > 0.2


def test_the_length_correlation_is_taken_within_a_kind():
    lengths, kinds = np.array([[1, 2], [1, 2], [11, 12], [11, 12]]), np.array(["a", "a", "b", "b"])
    scores = np.array([[0.0, 0], [1, 1], [5, 5], [6, 6]])                # longer kinds score higher, within a kind length says nothing
    assert train_rm.worst_correlation(lengths, scores, kinds) < 1e-6
    assert train_rm.worst_correlation(lengths, lengths * 2.0, kinds) == pytest.approx(1.0)


@pytest.mark.parametrize("line", ["nonsense", '{"prompt": "a"}', '{"prompt": "a", "answers": ["b"], "ranks": [1]}', '{"prompt": "a", "answers": ["b", "c"], "ranks": [1]}',
                                  '{"prompt": "a", "answers": ["b", 3], "ranks": [1, 2]}'])
def test_a_bad_ranking_is_named_with_its_line(tmp_path, line):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a", "answers": ["b", "c"], "ranks": [1, 2]}\n' + line + "\n")
    with pytest.raises(train_rm.UserError, match="mine.jsonl:2"):
        train_rm.read_rankings([path])


def test_a_person_ranks_by_typing_numbers(monkeypatch, capsys):
    typed = iter(["1 2", "3 1=2", "q"])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    prompt = world.find_prompt("How can I rob a bank?")
    assert train_rm.ask_person(prompt, ["a", "b", "c"], 1, 1) == [2, 2, 1]
    assert train_rm.ask_person(prompt, ["a", "b", "c"], 1, 1) is None
    assert "each number from 1 to 3 once" in capsys.readouterr().out


def test_a_quick_run_leaves_rankings_figures_and_a_picture(quick_out):
    rankings = [json.loads(line) for line in (quick_out / "rankings.jsonl").read_text().splitlines()]
    assert all(len(r["answers"]) == len(r["ranks"]) == 6 and min(r["ranks"]) == 1 for r in rankings)
    about = {p.text for p in world.prompts("rlhf")}
    assert all(r["prompt"] in about for r in rankings)
    figures = json.loads((quick_out / "rm.json").read_text())
    assert {"heldout_pair_accuracy", "heldout_pair_accuracy_noisy", "by_kind", "calibration_error", "length_correlation", "seconds"} <= set(figures)
    assert 0 <= figures["heldout_pair_accuracy"]["value"] <= 1 and 0 <= figures["calibration_error"] <= 1
    assert (quick_out / "rm.png").read_bytes()[:4] == b"\x89PNG"


@beside
def test_rankings_made_elsewhere_are_used_in_place(tmp_path, quick_out):
    mine = tmp_path / "mine.jsonl"
    mine.write_text("".join((quick_out / "rankings.jsonl").read_text().splitlines(True)[:20]))
    for name in ("sft.pt", "tokenizer.json", "shards.json", *[p.name for p in quick_out.glob("*.bin")]):
        (tmp_path / name).write_bytes((quick_out / name).read_bytes())
    code, printed, errors = run_script("train_rm.py", "--quick", "--out", tmp_path, "--data", mine, "--steps", "1")
    assert code == 0, errors
    assert json.loads((tmp_path / "rm.json").read_text())["prompts"] == 20
