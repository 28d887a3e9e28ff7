"""Anybody's material judged by itself: figures worked by hand, none of the tiny world's."""
import json
import math
import sys

import pytest
import torch

import run
import train_rm
from data import example, judging


class Words:
    def encode_ordinary(self, text):
        return text.split()


@pytest.fixture
def examined(monkeypatch):
    """examine_rankings' figures where the score of an answer is the number that it ends with."""
    def call(*rankings):
        monkeypatch.setattr(judging, "score_answers", lambda model, tokenizer, pairs, ended: (
            torch.tensor([float(answer.split()[-1]) for _, answer in pairs])))
        rows = [{"prompt": str(i), "answers": answers, "ranks": ranks}
                for i, (answers, ranks) in enumerate(rankings)]
        return judging.examine_rankings(None, Words(), rows, train_rm.collate)
    return call


def test_right_is_a_pair_that_the_scores_order_as_the_ranks_do_in_rows_of_any_length(examined):
    figures, first, scores = examined((["3", "2", "1"], [1, 3, 2]), (["1", "0"], [1, 2]))
    right = figures["heldout_pair_accuracy"]
    assert (right["value"], right["n"]) == (0.75, 4)
    assert first.tolist() == [True, False, False, True, False]
    assert scores.tolist() == [3, 2, 1, 1, 0]
    assert [row["score"] for row in figures["worst"]] == [1, 0]     # of five answers, not of six


def test_length_alone_is_measured_beside_it_and_only_within_a_prompt(examined):
    figures, *_ = examined((["a long one 2", "short 1"], [1, 2]), (["a b 9", "a 8"], [1, 2]))
    assert figures["longer_is_better"]["value"] == 1 and figures["shorter_is_better"]["value"] == 0
    assert figures["length_correlation"] > 0.9
    figures, *_ = examined((["a 1", "a b c 0"], [1, 2]), (["a b c d e f 9", "a b c d e f g 8"],
                                                         [1, 2]))
    assert figures["length_correlation"] < -0.7         # over prompts it would be positive


def test_calibration_counts_no_place_without_an_answer(examined):
    sure = math.log(3)                                  # a margin that means 75%
    rows = [([f"{sure}", "0"], ranks) for ranks in ([1, 2], [1, 2], [1, 2], [2, 1])]
    figures, *_ = examined(*rows, (["0", "0", "0"], [1, 1, 1]))
    assert figures["calibration_error"] == pytest.approx(0, abs=1e-6)


def test_the_best_and_worst_scored_answers_are_shown_with_their_ranks(examined, capsys):
    figures, *_ = examined((["good 5", "bad -5"], [1, 2]), (["so 1", "la 0"], [2, 1]))
    assert [row["score"] for row in figures["best"]] == [5, 1]
    assert [row["score"] for row in figures["worst"]] == [0, -5]    # none in both lists
    assert figures["worst"][-1] == {"prompt": "0", "answer": "bad -5", "score": -5, "rank": 2}
    six, *_ = examined((["6", "5", "4", "3", "2", "1"], [1, 2, 3, 4, 5, 6]))
    assert [row["score"] for row in six["best"] + six["worst"]] == [6, 5, 4, 3, 2, 1]
    judging.show_rankings(figures)
    shown = capsys.readouterr().out
    assert "+5.00, rank 1: 0 | good 5" in shown and "-5.00, rank 2: 0 | bad -5" in shown


def test_rankings_without_a_preference_measure_nothing_and_no_figure_says_otherwise(examined):
    figures, *_ = examined((["2", "2"], [1, 1]))
    assert set(figures) == {"heldout_rankings", "best", "worst"}


# ------------------------------------------------------------------------------- policies
class State:
    """As much of train_ppo.Training as a report on own prompts needs; the models are what they
    say, and what PPO pays out is half of a score."""
    reference, policy, reward_model, tokenizer, longest = "a", "a b", None, Words(), 5
    config = type("Config", (), {"best_of": 4, "quick": True})
    heldout = ["Why?", ["Hi?", "Yes.", "So?"]]

    def normalised(self, scores, ended):
        return scores / 2

    def fresh(self):
        return None


def test_policies_are_compared_prompt_by_prompt(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(judging, "score_answers", lambda model, tokenizer, pairs, ended: (
        torch.tensor([float(len(answer.split())) for _, answer in pairs])))
    monkeypatch.setattr(judging, "ask", lambda model, tokenizer, asked, **more: [
        (model if prompt == "Why?" else "a", prompt == "Why?" and more["max_new_tokens"] == 5)
        for prompt in asked])
    asked_for_kl = []
    card = judging.report_card(State(), "base", lambda state, answer, asked: [
        (said + " b c", True) for said, _ in answer(asked)], lambda state, asked: (
        asked_for_kl.extend(asked) or 1.5))
    assert list(card) == ["sft", "best_of_n", "ppo"] and asked_for_kl == State.heldout * 32
    assert card["ppo"]["better_than_sft"]["value"] == 0.75 and card["ppo"]["rm_reward"] == 0.75
    assert card["ppo"]["better_than_sft"]["n"] == 64        # few prompts, each several times
    assert card["best_of_n"]["better_than_sft"]["value"] == 1
    assert (card["sft"]["stops"]["value"], card["sft"]["answer_length"]) == (0.5, 1)
    assert (card["sft"]["kl"], card["ppo"]["kl"]) == (0, 1.5)
    assert card["best_of_n"]["kl_at_most"] == pytest.approx(math.log(4) - 3 / 4)
    assert [row["answer"] for row in card["ppo"]["transcripts"]] == ["a b", "a"]
    rows = [{"kl": 0.0}, {"kl": 1.0}]
    judging.show_card(card, tmp_path / "ppo.png", rows, {"how far": {"kl": "nats"}})
    assert (tmp_path / "ppo.png").read_bytes()[:4] == b"\x89PNG"
    shown = capsys.readouterr().out
    assert "Hi? / Yes. / So?" in shown and "proves nothing" in shown and "07_ppo.md" in shown


# ------------------------------------------------------------------------------- the example
def test_the_example_is_read_without_a_word_about_the_tiny_world(tmp_path, monkeypatch, capsys):
    from data.dialogues import read_dialogues, read_prompts, read_rankings
    rows = example.make(tmp_path)
    texts = [json.loads(line)["text"] for line in (tmp_path / "texts.jsonl").open()]
    dialogues = read_dialogues([tmp_path / "dialogues.jsonl"])
    rankings = read_rankings([tmp_path / "rankings.jsonl"])
    prompts = read_prompts([tmp_path / "prompts.txt"])
    assert "left out" not in capsys.readouterr().out
    assert {"texts": len(texts), "dialogues": len(dialogues), "rankings": len(rankings),
            "prompts": len(prompts)} == rows
    everything = " ".join(texts + prompts + [str(dialogues), str(rankings)])
    assert not {"France", "bank", "Paris"} & set(everything.split())
    asked = " ".join(prompts + [str(dialogues), *(row["prompt"] for row in rankings)])
    assert all(name in " ".join(texts) and name not in asked for name in example.ONLY_IN_TEXTS)
    again = tmp_path / "again"
    example.make(again)
    assert all((again / path.name).read_bytes() == path.read_bytes()
               for path in tmp_path.glob("*.jsonl"))
    monkeypatch.setattr(sys, "argv", ["data.example", str(again)])
    with pytest.raises(run.UserError, match="texts.jsonl is there already"):
        example.main()


def test_the_best_answer_of_the_example_is_what_its_texts_say():
    import random
    rng = random.Random(0)
    for plant in example.plants(rng):
        for kind in example.QUESTIONS:
            answers, ranks = example.answers_to(kind, plant, rng)
            assert ranks.count(1) == 1 and ranks[0] == 1 and len(answers) == len(ranks)
            assert plant["name"] in answers[0] and plant[kind] in answers[0]
            assert answers[0] not in answers[1:] and plant["name"] not in answers[4]
