"""The reward model: its loss, the scripted labeler, the answers to rank, what a quick run leaves
behind."""
import json
import math
import random

import numpy as np
import pytest
import torch

import train_rm
from conftest import beside, run_script
from data import world


def test_equal_scores_cost_log_two():
    assert train_rm.ranking_loss(torch.zeros(2, 4)).item() == pytest.approx(0.693147, abs=1e-5)


def test_the_ranking_loss_is_the_mean_over_pairs_worked_by_hand():
    # scores 2 1 0, best first: margins 1, 2, 1; -log sigmoid: 0.313262, 0.126928, 0.313262
    loss = train_rm.ranking_loss(torch.tensor([[2.0, 1.0, 0.0]])).item()
    assert loss == pytest.approx((0.313262 * 2 + 0.126928) / 3, abs=1e-5)


def test_pairs_of_equal_rank_do_not_count():
    scores = torch.tensor([[2.0, 1.0, 0.0]])
    loss = train_rm.ranking_loss(scores, torch.tensor([[1, 2, 2]])).item()
    assert loss == pytest.approx((0.313262 + 0.126928) / 2, abs=1e-5)
    assert train_rm.ranking_loss(scores, torch.tensor([[1, 1, 1]])).item() == 0.0


def test_every_prompt_weighs_alike_however_many_pairs_it_has():
    many, one = torch.tensor([[3.0, 1.0, 0.5]]), torch.tensor([[0.0, 2.0, 0.0]])
    ranks = torch.tensor([[1.0, 2, 3], [1, 2, math.nan]])
    alone = [train_rm.ranking_loss(scores, row[None]) for scores, row in zip((many, one), ranks)]
    both = train_rm.ranking_loss(torch.cat([many, one]), ranks)
    assert both.item() == pytest.approx((alone[0] + alone[1]).item() / 2)


def test_the_order_of_the_answers_does_not_matter_to_the_loss():
    scores, ranks = torch.tensor([[0.3, -1.0, 2.0, 0.5]]), torch.tensor([[2, 4, 1, 3]])
    order = [3, 0, 2, 1]
    loss = train_rm.ranking_loss(scores, ranks).item()
    again = train_rm.ranking_loss(scores[:, order], ranks[:, order]).item()
    assert loss == pytest.approx(again)


def test_the_gradient_lifts_the_better_answer():
    scores = torch.zeros(1, 2, requires_grad=True)
    train_rm.ranking_loss(scores).backward()
    assert scores.grad[0, 0] < 0 < scores.grad[0, 1]


def test_a_place_that_only_fills_a_row_is_in_no_pair_and_changes_no_loss():
    two = {"prompt": "p", "answers": ["a", "b"], "ranks": [2, 1]}
    three = {"prompt": "q", "answers": ["c", "d", "e"], "ranks": [1, 2, 2]}
    pairs, ended, ranks = train_rm.collate([two | {"ended": [True, False]}, three])
    assert ended == [True, False, True, True, True, True]
    assert pairs == [("p", "a"), ("p", "b"), ("p", "a"), ("q", "c"), ("q", "d"), ("q", "e")]
    scores = torch.tensor([[0.3, -1.0, 9.0]])
    filled = train_rm.ranking_loss(scores, ranks[:1]).item()
    assert filled == train_rm.ranking_loss(scores[:, :2], torch.tensor([[2, 1]])).item()


def test_each_pass_takes_every_ranking_once():
    order = train_rm.draw_order(10, 25, random.Random(0))
    assert len(order) == 25
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert order[:10] != order[10:20]


def test_a_careful_labeler_ranks_by_the_rubric_and_calls_equals_equal():
    ranks = train_rm.rank([0.5, 1.0, -1.0, 1.0], random.Random(0), noise=0.0)
    assert ranks == [2, 1, 3, 1]


def test_a_noisy_labeler_is_wrong_about_as_often_as_it_misjudges():
    rng = random.Random(0)
    wrong = sum(train_rm.rank([1.0, -1.0], rng, noise=0.2) != [1, 2] for _ in range(4000)) / 4000
    assert 0.15 < wrong < 0.22              # either may be misjudged, half of the time as itself:
                                            # 1 - 0.9^2 = 0.19


def test_foreign_answers_come_from_other_prompts(monkeypatch):
    prompts = world.draw_prompts("rm", 28, random.Random(0))
    monkeypatch.setattr(train_rm, "ask", lambda model, tokenizer, questions, **more: [
        (f"{i // 3}", True) for i in range(len(questions))])    # each prompt's answer: its place
    answers = train_rm.gather_answers(None, None, prompts, train_rm.Config(), random.Random(0),
                                      None)
    same_kind = 0
    for i, row in enumerate(answers):
        six = [text for text, _ in row]
        assert six[:3] == [str(i)] * 3 and len(six) == 6 and str(i) not in six[3:]
        same_kind += sum(prompts[int(j)].kind == prompts[i].kind for j in six[3:])
    assert 0.4 < same_kind / (3 * 28) < 0.75            # half, and some of the others by chance


def test_pairs_of_equal_gold_are_not_judged():
    gold = np.array([[1.0, 0, 0], [-1, 1, -1]])
    scores = np.array([[3.0, 2, 4], [0, 1, 2]])
    accuracy = train_rm.pair_accuracy(scores, gold, np.array(["one", "other"]))
    assert (accuracy["n"], accuracy["value"]) == (4, 0.5)       # right: 3 > 2, 1 > 0


def test_calibration_error_is_zero_where_sureness_is_right_and_large_where_it_is_not():
    ranks = np.tile([[1, 2]], (1000, 1))
    ranks[:250] = [2, 1]                                # the first is better three times in four
    honest = np.tile([[np.log(3.0), 0.0]], (1000, 1))   # sigmoid(log 3) = 3/4
    assert train_rm.calibration_error(honest, ranks) < 1e-6
    assert train_rm.calibration_error(honest * 20, ranks) > 0.2


def test_the_length_correlation_is_taken_within_a_kind():
    lengths, kinds = np.array([[1, 2], [1, 2], [11, 12], [11, 12]]), np.array(list("aabb"))
    scores = np.array([[0.0, 0], [1, 1], [5, 5], [6, 6]])   # the longer kind scores higher; within
    assert train_rm.worst_correlation(lengths, scores, kinds) < 1e-6    # a kind it says nothing
    assert train_rm.worst_correlation(lengths, lengths * 2.0, kinds) == pytest.approx(1.0)


def test_a_quick_run_leaves_rankings_figures_and_a_picture(quick_out):
    rankings = [json.loads(line) for line in (quick_out / "rankings.jsonl").open()]
    about = {prompt.text for prompt in world.prompts("rm")}
    for row in rankings:
        assert len(row["answers"]) == len(row["ranks"]) == 6 and min(row["ranks"]) == 1
        assert row["prompt"] in about
    figures = json.loads((quick_out / "rm.json").read_text())
    assert {"heldout_pair_accuracy", "heldout_pair_accuracy_noisy", "by_kind",
            "calibration_error", "length_correlation", "seconds"} <= set(figures)
    assert 0 <= figures["heldout_pair_accuracy"]["value"] <= 1
    assert 0 <= figures["calibration_error"] <= 1
    assert (quick_out / "rm.png").read_bytes()[:4] == b"\x89PNG"


def test_rankings_whose_answers_would_be_cut_are_refused(mistake, tmp_path, quick_out):
    row = {"prompt": "Why?", "answers": ["so " * 80 + end for end in "ab"], "ranks": [1, 2]}
    (tmp_path / "own.jsonl").write_text(json.dumps(row))
    said = mistake(train_rm, "--quick", "--out", quick_out, "--data", tmp_path / "own.jsonl")
    assert "none of 1 rows fits into 64 tokens" in said


@beside
def test_rankings_made_elsewhere_are_used_in_place(tmp_path, quick_out):
    mine = tmp_path / "mine.jsonl"
    lines = (quick_out / "rankings.jsonl").read_text().splitlines(True)
    mine.write_text("".join(lines[:20]))
    shards = [path.name for path in quick_out.glob("*.bin")]
    for name in ("sft.pt", "tokenizer.json", "shards.json", *shards):
        (tmp_path / name).write_bytes((quick_out / name).read_bytes())
    code, printed, errors = run_script("train_rm.py", "--quick", "--out", tmp_path, "--data", mine,
                                       "--steps", "1")
    assert code == 0, errors
    assert json.loads((tmp_path / "rm.json").read_text())["prompts"] == 20
