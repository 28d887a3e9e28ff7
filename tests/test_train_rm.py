"""The reward model: its loss, the scripted labeler, the answers to rank, what a quick run leaves
behind."""
import json
import math
import random
import re
import shutil
import sys
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch

import model as M
import run
import train_rm
from conftest import beside, run_script
from data import world
from data.shards import load_shards
from resuming import forgetting, killed_at_the_first_save


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
    two = train_rm.ranking_loss(scores.repeat(2, 1), torch.tensor([[1, 2, 2], [1, 1, 1]])).item()
    assert two == pytest.approx(loss)       # nor does a prompt that has no others


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


def test_a_row_that_fills_itself_up_pulls_at_no_score():
    scores = torch.zeros(1, 4, requires_grad=True)
    *_, ranks = train_rm.collate([{"prompt": "p", "answers": ["a", "b"], "ranks": [1, 2]},
                                  {"prompt": "q", "answers": list("cdef"), "ranks": [1, 2, 3, 4]}])
    train_rm.ranking_loss(scores, ranks[:1]).backward()
    assert scores.grad.tolist() == [[-0.5, 0.5, 0, 0]]


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
    # each prompt's answer: its place; those of even places end
    monkeypatch.setattr(train_rm, "ask", lambda model, tokenizer, questions, **more: [
        (f"{i // 3}", i // 3 % 2 == 0) for i in range(len(questions))])
    answers = train_rm.gather_answers(None, None, prompts, train_rm.Config(), random.Random(0),
                                      None)
    same_kind = 0
    for i, row in enumerate(answers):
        six = [text for text, _ in row]
        assert all(ended == (int(text) % 2 == 0) for text, ended in row)
        assert six[:3] == [str(i)] * 3 and len(six) == 6 and str(i) not in six[3:]
        same_kind += sum(prompts[int(j)].kind == prompts[i].kind for j in six[3:])
    assert 0.4 < same_kind / (3 * 28) < 0.75            # half, and some of the others by chance


def test_a_prompt_has_answers_that_differ_as_they_are_sampled(small_out):
    gpt, tokenizer, _ = M.load_checkpoint(small_out / "sft.pt")
    prompts, config = world.draw_prompts("rm", 7, random.Random(0)), train_rm.Config(sampled=2)

    def gather(seed):
        return train_rm.gather_answers(gpt, tokenizer, prompts, config, random.Random(0),
                                       torch.Generator().manual_seed(seed))

    own = [answers[:2] for answers in gather(0)]
    assert sum(one != two for one, two in own) > 4
    assert gather(0) == gather(0) != gather(1)


def test_pairs_of_equal_gold_are_not_judged_and_equal_scores_are_not_right():
    gold = np.array([[1.0, 0, 0], [-1, 1, -1]])
    scores = np.array([[3.0, 2, 4], [0, 1, 2]])
    accuracy = train_rm.pair_accuracy(scores, gold, np.array(["one", "other"]))
    assert (accuracy["n"], accuracy["value"]) == (4, 0.5)       # right: 3 > 2, 1 > 0
    assert train_rm.pair_accuracy(np.zeros((2, 3)), gold, np.array(["one", "other"]))["value"] == 0


def test_the_interval_of_pairs_counts_entities_not_pairs():     # Wilson's, where all are right
    gold = np.array([[1.0, 0, 0], [-1, 1, -1]])
    for names, n in ((["one", "one"], 1), (["one", "other"], 2)):
        accuracy = train_rm.pair_accuracy(gold, gold, np.array(names))
        assert accuracy["low"] == pytest.approx(1 - 1.96**2 / (n + 1.96**2))


def test_calibration_error_is_zero_where_sureness_is_right_and_large_where_it_is_not():
    ranks = np.tile([[1, 2]], (1000, 1))
    ranks[:250] = [2, 1]                                # the first is better three times in four
    honest = np.tile([[np.log(3.0), 0.0]], (1000, 1))   # sigmoid(log 3) = 3/4
    assert train_rm.calibration_error(honest, ranks) < 1e-6
    assert train_rm.calibration_error(honest * 20, ranks) == pytest.approx(0.25, abs=1e-3)
    # a coin's sureness, half of the pairs of a model that is right with 3/4 and says 3/5
    scores = np.array([[0.0, 0]] * 4 + [[np.log(1.5), 0]] * 4)
    ranks = np.array([[1, 2], [2, 1]] * 2 + [[1, 2]] * 3 + [[2, 1]])
    assert train_rm.calibration_error(scores, ranks) == pytest.approx(0.15 / 2)
    assert train_rm.calibration_error(scores, np.ones_like(ranks)) == 0     # no pair at all


def test_the_length_correlation_is_signed_and_taken_within_a_prompt():
    lengths = np.array([[1, 2], [11, 12]])
    cases = ([[0.0, 2], [7, 9]], 1), ([[2.0, 0], [9, 7]], -1), ([[5.0, 5], [6, 6]], None)
    for scores, r in cases:
        found = train_rm.length_correlation(lengths, np.array(scores))
        assert found.get("length_correlation") == (r and pytest.approx(r))      # constant: nothing


def test_sureness_is_the_mean_chance_of_the_order_and_right_how_often_the_labeler_agrees():
    scores = np.array([[np.log(3.0), 0.0]] * 2 + [[0.0, np.log(4.0)]] * 2)      # 75%, 75%, 80%, 80%
    ranks = np.array([[1, 2], [1, 2], [1, 2], [2, 1]])
    assert train_rm.sureness(scores, ranks) == {"sure": pytest.approx(0.775), "right": 0.75}
    assert train_rm.sureness(scores, np.ones_like(ranks)) == {}


# ------------------------------------------------------------------------------- the examination
@pytest.fixture
def plain_prompts(monkeypatch):
    """Nobody puts words around a question, so that find_prompt knows them all."""
    monkeypatch.setattr(sys.modules["data.world.prompts"], "typed",
                        lambda prompt, split, rng: prompt)


def examine_by(monkeypatch, score, spoil=lambda scores: scores, **flags):
    """examine's figures, gold and scores where the score of an answer is score(prompt, answer) and
    the answers are those of annotators and "No", which does not end."""
    def gather(model, tokenizer, prompts, config, rng, generator):
        said = [(world.demonstrate(prompt, rng), True) for prompt in prompts]
        return [[said[i], ("No", False), said[i - 1]] for i in range(len(prompts))]

    def scores(model, tokenizer, pairs, ended):
        assert ended == [answer != "No" for _, answer in pairs]
        return spoil(torch.tensor([float(score(world.find_prompt(question), answer))
                                   for question, answer in pairs]))

    class Words:
        encode_ordinary = staticmethod(str.split)

    monkeypatch.setattr(train_rm, "gather_answers", gather)
    monkeypatch.setattr(train_rm, "score_answers", scores)
    head = torch.nn.Linear(1, 1)
    config = train_rm.Config(**{"heldout_prompts": 70} | flags)
    model = type("Model", (), {"head": head})
    return train_rm.examine(model, Words, None, config)


def test_a_model_that_scores_as_the_rubric_is_right_about_all_pairs(
        monkeypatch, plain_prompts):
    figures, gold, scores = examine_by(monkeypatch, world.grade, noise=0.0)
    assert gold.shape == scores.shape == (70, 3) and (gold == scores).all()
    pairs = sum(int((row[:, None] > row).sum()) for row in gold)
    for name in ("heldout_pair_accuracy", "heldout_pair_accuracy_noisy"):
        assert (figures[name]["value"], figures[name]["n"]) == (1, pairs)
        assert figures[name]["low"] > 0.9               # of dozens of entities, not of seven kinds
    assert all(figure["value"] == 1 for figure in figures["by_kind"].values())
    assert sum(figure["n"] for figure in figures["by_kind"].values()) == pairs
    margins = [1 / (1 + np.exp(b - a)) for row in gold for a in row for b in row if a > b]
    assert figures["calibration_error"] == pytest.approx(1 - np.mean(margins))


def test_a_model_that_is_wrong_about_one_kind_shows_it_there(monkeypatch, plain_prompts):
    figures, _, _ = examine_by(monkeypatch, lambda prompt, answer: (
        world.grade(prompt, answer) * (-1 if prompt.kind == "myth" else 1)), noise=0.0)
    wrong = {kind for kind, figure in figures["by_kind"].items() if figure["value"] == 0}
    assert set(figures["by_kind"]) == set(world.KINDS) and wrong == {"myth"}
    n = figures["by_kind"]["myth"]["n"]
    assert n > 5 and figures["heldout_pair_accuracy"]["value"] == pytest.approx(
        1 - n / figures["heldout_pair_accuracy"]["n"])


def test_a_noisy_labeler_agrees_less_than_the_rubric(monkeypatch, plain_prompts):
    figures, *_ = examine_by(monkeypatch, world.grade, noise=0.3)
    again, *_ = examine_by(monkeypatch, world.grade, noise=0.3)
    assert again == figures and figures["heldout_pair_accuracy"]["value"] == 1
    assert 0.6 < figures["heldout_pair_accuracy_noisy"]["value"] < 0.95


def test_a_score_that_is_the_length_in_tokens_correlates_with_it(
        monkeypatch, plain_prompts):
    figures, *_ = examine_by(monkeypatch, lambda prompt, answer: len(answer.split()))
    assert figures["length_correlation"] == pytest.approx(1)


def test_pairs_of_sampled_answers_are_judged_apart_from_those_with_a_foreign_one(
        monkeypatch, plain_prompts):
    """The policy will choose among its own answers: here the first two of three. The model is
    right about them, and wrong about the third, which gets the highest score always."""
    figures, gold, scores = examine_by(
        monkeypatch, world.grade, noise=0.0, sampled=2,
        spoil=lambda scores: scores + 9 * (torch.arange(len(scores)) % 3 == 2))
    sampled, by_kind = figures["sampled_pair_accuracy"], figures["sampled_by_kind"].values()
    assert sampled["value"] == 1 > figures["heldout_pair_accuracy"]["value"]
    assert sampled["n"] == (gold[:, 0] != gold[:, 1]).sum() == sum(share["n"] for share in by_kind)
    assert all(share["value"] == 1 for share in by_kind if share["n"])
    assert set(figures["sureness_by_kind"]) == set(world.KINDS)


def test_held_out_pairs_are_of_held_out_prompts_of_every_kind(monkeypatch, plain_prompts):
    seen = {}
    examine_by(monkeypatch, lambda prompt, answer: seen.setdefault(prompt.text, prompt) and 0,
               heldout_prompts=29)
    assert set(seen) <= {prompt.text for prompt in world.prompts("heldout")}
    kinds = Counter(prompt.kind for prompt in seen.values())
    assert set(kinds) == set(world.KINDS) and set(kinds.values()) == {3, 4}


# ------------------------------------------------------------------------------- the rankings
def make_rankings(folder, **flags):
    config = train_rm.Config(**{"out": str(folder), "prompts": 14} | flags)
    gpt, tokenizer, _ = M.load_checkpoint(folder / "sft.pt")
    rankings = train_rm.make_rankings(gpt, tokenizer, config, *run.generators(config.seed))
    if not config.data:
        lines = (folder / "rankings.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == json.loads(json.dumps(rankings))
    return rankings


def test_a_second_question_is_ranked_with_the_turn_before_it(small, monkeypatch):
    module = sys.modules["data.world.prompts"]
    monkeypatch.setattr(module, "typed", lambda prompt, split, rng: module.second_question(
        prompt, split, rng) or prompt)
    rankings = train_rm.read_rankings([write_rankings(small, noise=0.0)])
    dialogues = [row for row in rankings if isinstance(row["prompt"], list)]
    assert len(dialogues) > 5 and all(len(row["prompt"]) == 3 for row in dialogues)
    model, _ = train(small, data=(str(small / "rankings.jsonl"),), steps=1)
    tokenizer = M.load_checkpoint(small / "sft.pt")[1]
    for row in dialogues[:2]:
        first, answer, second = row["prompt"]
        whole = M.encode_chat(tokenizer, [(first, answer), (second, row["answers"][0])])
        assert train_rm.longest_answer(tokenizer, row) >= len(whole) - 1
        score = M.score_answers(model, tokenizer, [(row["prompt"], row["answers"][0])])
        n = len(tokenizer.encode_ordinary(row["answers"][0])) + 1
        tokens = torch.tensor([whole[-64:]])
        torch.testing.assert_close(score, model(tokens)[:, -n:].mean(1), atol=1e-5, rtol=1e-4)


def write_rankings(folder, **flags):
    make_rankings(folder, **flags)
    return folder / "rankings.jsonl"


def test_rankings_are_of_prompts_for_this_step_and_by_the_rubric_without_noise(
        small, plain_prompts):
    rankings = make_rankings(small, noise=0.0, sampled=2, foreign=1)
    asked = {prompt.text: prompt for prompt in world.prompts("rm")}
    assert len(rankings) == 14
    for row in rankings:
        prompt, answers, ranks = asked[row["prompt"]], row["answers"], row["ranks"]
        assert len(answers) == len(ranks) == len(row["ended"]) == 3
        gold = [world.grade(prompt, answer) for answer in answers]
        assert ranks == [1 + sorted(set(gold), reverse=True).index(grade) for grade in gold]


def test_a_second_round_comes_after_the_first_and_the_same_round_adds_nothing(small):
    first = json.loads(json.dumps(make_rankings(small)))
    assert json.loads(json.dumps(make_rankings(small, policy="any"))) == first
    more = json.loads(json.dumps(make_rankings(small, policy="any", seed=1)))
    assert more[:14] == first and len(more) > 20


def test_the_example_of_a_ranking_is_shown_as_text_a_line_each(capsys):
    train_rm.show_example([{"prompt": ["Hi?", "Hello.", "So\nwhat?"], "ranks": [2, 1],
                            "answers": ["No\nidea.", "Yes."]}], 1.0)
    assert capsys.readouterr().out == ("1 prompts ranked, 2 answers, 1 s; for example: "
                                       "Hi? / Hello. / So / what?\n   1. Yes.\n   2. No / idea.\n")


def test_rankings_with_an_answer_that_is_too_long_are_left_out(small, capsys):
    row = {"prompt": "Why?", "answers": ["No.", "Yes. " * 60], "ranks": [1, 2]}
    rows = [row, row | {"answers": ["No.", "Yes."]}, row | {"answers": ["Yes. " * 60, "No."]}]
    run.write_json_lines(small / "mine.jsonl", rows)
    assert make_rankings(small, data=(str(small / "mine.jsonl"),)) == rows[1:2]
    assert "2 of 3 rows do not fit" in capsys.readouterr().out


def test_an_answer_that_did_not_end_needs_no_room_for_its_end(small_out):
    tokenizer = M.load_checkpoint(small_out / "sft.pt")[1]
    row = {"prompt": "Why?", "answers": ["No.", "A!" * 9], "ranks": [1, 2]}
    tokens = len(M.encode_prompt(tokenizer, "Why?")) + len(tokenizer.encode_ordinary("A!" * 9))
    assert train_rm.longest_answer(tokenizer, row) == tokens + 1
    assert train_rm.longest_answer(tokenizer, row | {"ended": [False, True]}) == tokens + 1
    assert train_rm.longest_answer(tokenizer, row | {"ended": [True, False]}) == tokens


# ------------------------------------------------------------------------------- the loop
def opinions(count, seed=0):
    """Rankings of one who always likes the first of two answers better, in either order."""
    rng, rows = random.Random(seed), []
    for prompt in rng.sample(world.prompts("rm"), count):
        row = [("Yes, I can help you with it.", 1), ("No, I will not tell anybody.", 2)]
        rng.shuffle(row)
        answers, ranks = zip(*row)
        rows.append({"prompt": prompt.text, "answers": list(answers), "ranks": list(ranks),
                     "ended": [rng.random() < 0.5 for _ in row]})
    return rows


def train(folder, rankings=opinions(16), **flags):
    """(model, losses) of a training with settings that take it no time."""
    if not (folder / "rankings.jsonl").exists():
        run.write_json_lines(folder / "rankings.jsonl", rankings)
    config = train_rm.Config(**dict(out=str(folder), batch_size=4, replay=2, warmup=2, steps=3,
                                    save_every=50, learning_rate=5e-3) | flags)
    torch.manual_seed(0)
    gpt, tokenizer, _ = M.load_checkpoint(folder / "sft.pt")
    model = M.ScalarGPT(gpt)
    return model, train_rm.train(model, tokenizer, rankings, config, "cpu")


def bits(trained):
    model, losses = trained
    return losses, torch.cat([p.flatten() for p in model.parameters()]).tolist()


@pytest.fixture(scope="module")
def plain(small_out, tmp_path_factory):
    """bits of a run with train's own settings."""
    return bits(train(shutil.copytree(small_out, tmp_path_factory.mktemp("plain") / "small")))


def agreement(model, tokenizer, rankings):
    """The share of pairs of a better and a worse answer that the model orders alike."""
    right = []
    for row in rankings:
        pairs = [(row["prompt"], answer) for answer in row["answers"]]
        worse, better = M.score_answers(model, tokenizer, pairs).tolist()
        right.append((worse < better) == (row["ranks"] == [2, 1]))
    return sum(right) / len(right)


def test_in_thirty_steps_it_learns_which_of_two_answers_people_like(small):
    tokenizer = M.load_checkpoint(small / "sft.pt")[1]
    others = opinions(20, seed=1)
    model, losses = train(small, steps=30, replay=1)
    assert agreement(model, tokenizer, others) == 1.0
    assert losses[0] > 0.5 and sum(losses[-5:]) / 5 < 0.1


def test_the_replayed_text_is_learnt_beside_the_ranking(small):
    rows = torch.from_numpy(load_shards(small)[:640]).view(10, 64)
    after = {}
    for replay_weight in (0.0, 5.0):
        model, losses = train(small, replay_weight=replay_weight, steps=8)
        after[replay_weight] = M.next_token_loss(model.gpt, rows).item()
    assert after[5.0] < after[0.0] - 0.1


def test_the_loss_that_is_reported_is_of_the_ranking_alone(small):
    _, with_replay = train(small, steps=1, replay_weight=9.0)
    model, without = train(small, steps=1, replay=0, learning_rate=0.0)
    assert with_replay == without
    tokenizer, rows = M.load_checkpoint(small / "sft.pt")[1], opinions(16)
    order = train_rm.draw_order(16, 4, run.generators(1)[0])        # of the seed 0, plus 1
    losses = []
    for row in [rows[i] for i in order]:
        pairs = [(row["prompt"], answer) for answer in row["answers"]]
        scores = M.score_answers(model, tokenizer, pairs, row["ended"])
        better, worse = scores if row["ranks"] == [1, 2] else scores.flip(0)
        losses.append(-torch.sigmoid(better - worse).log().item())
    assert with_replay[0] == pytest.approx(sum(losses) / 4, abs=1e-5)


def test_whether_an_answer_ended_is_learnt_from_and_without_a_word_all_have(small):
    rows = [{name: x for name, x in row.items() if name != "ended"} for row in opinions(14)]
    whole, cut = ([row | {"ended": [end, end]} for row in rows] for end in (True, False))
    assert train(small, whole, replay=0)[1] == train(small, rows, replay=0)[1]
    assert train(small, cut, replay=0)[1] != train(small, whole, replay=0)[1]


def test_without_a_number_of_steps_every_ranking_is_learnt_from_once(small, monkeypatch):
    seen, collate = [], train_rm.collate
    monkeypatch.setattr(train_rm, "collate", lambda batch: seen.append(batch) or collate(batch))
    _, losses = train(small, opinions(14), steps=0, replay=0)
    prompts = [row["prompt"] for batch in seen for row in batch]
    assert [len(batch) for batch in seen] == [4] * 4 and len(losses) == 4
    assert len(set(prompts[:14])) == 14 and prompts[:14] != [row["prompt"] for row in opinions(14)]


def test_the_learning_rate_warms_up_and_falls_to_a_tenth_at_the_last_step(small, monkeypatch):
    shares = []
    monkeypatch.setattr(train_rm, "take_step", lambda optimizer, loss, share: shares.append(share))
    train(small, steps=6, warmup=2, replay=0)
    assert shares[:2] == [0.5, 1] and shares[-1] == pytest.approx(0.1)
    assert shares[2:] == sorted(shares[2:], reverse=True)


CHANGES = dict(seed=1, steps=4, batch_size=8, learning_rate=1e-2, warmup=3, replay=4,
               replay_weight=2.0)
TESTED_ELSEWHERE = {"out", "device", "data", "resume", "quick", "labeler", "save_every",
                    "heldout_share", "repeat", "policy"}        # test_person, test_dialogues
RANKINGS = dict(seed=1, prompts=21, sampled=2, foreign=2, noise=1.0)
FIGURES = dict(heldout_prompts=35, sampled=2, foreign=2, noise=1.0)


def test_no_setting_is_without_a_test():
    known = {*CHANGES, *RANKINGS, *FIGURES} | TESTED_ELSEWHERE
    assert {field.name for field in fields(train_rm.Config)} == known


@pytest.mark.parametrize("name", CHANGES)
def test_another_value_of_a_setting_makes_another_model(name, plain, small):
    assert bits(train(small, **{name: CHANGES[name]})) != plain


@pytest.fixture
def parrot(monkeypatch):
    """Whoever is asked says one of four things, by chance of the generator; two of them end."""
    words = ["Yes.", "No, that is a myth.", "I cannot help you. That is a crime.", "Who knows?"]

    def ask(model, tokenizer, questions, temperature, generator):
        drawn = torch.randint(4, (len(questions),), generator=generator)
        return [(words[i], i % 2 == 0) for i in drawn.tolist()]

    monkeypatch.setattr(train_rm, "ask", ask)


def test_other_settings_make_other_rankings(small, parrot):
    plain = make_rankings(small)
    assert plain == make_rankings(small)
    assert all(make_rankings(small, **{name: x}) != plain for name, x in RANKINGS.items())


def test_other_settings_make_other_figures(small_out, parrot):
    model, tokenizer, _ = M.load_checkpoint(small_out / "rm.pt")

    def figures(**flags):
        config = train_rm.Config(**dict(heldout_prompts=18, sampled=1, foreign=1) | flags)
        return train_rm.examine(model, tokenizer, None, config)[0]

    plain = figures()
    assert plain == figures()
    assert all(figures(**{name: x}) != plain for name, x in FIGURES.items())


def test_the_same_settings_make_the_same_model(plain, small):
    assert bits(train(small)) == plain


def test_with_the_learning_rate_zero_the_model_stays_as_it_was(small):
    model, _ = train(small, learning_rate=0.0)
    before = M.load_checkpoint(small / "sft.pt")[0].state_dict()
    assert all(torch.equal(x, before[name]) for name, x in model.gpt.state_dict().items())


def test_however_large_the_loss_the_gradients_are_clipped(small):
    model, _ = train(small, steps=1, replay_weight=1000.0)
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert norm == pytest.approx(1, abs=1e-3)


# ------------------------------------------------------------------------------- resuming
LONG = dict(steps=4, save_every=2)


@pytest.fixture(scope="module")
def unbroken(small_out, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "small"
    return bits(train(shutil.copytree(small_out, folder), **LONG))


@pytest.fixture
def half(small):
    """The folder of the same run, stopped half way."""
    with killed_at_the_first_save():
        train(small, **LONG)
    return small


def test_a_resumed_run_ends_with_the_same_bits(unbroken, half):
    assert bits(train(half, resume=True, **LONG)) == unbroken
    assert bits(train(half, resume=True, **LONG)) == unbroken       # nothing is left to be done


@pytest.mark.parametrize("name", ["model", "optimizer", "generator", "losses"])
def test_a_run_resumed_without_a_part_of_its_state_ends_otherwise(name, unbroken, half):
    with forgetting(name):
        assert bits(train(half, resume=True, **LONG)) != unbroken


@pytest.mark.parametrize("other", ["sft.pt", "rankings.jsonl"])
def test_a_run_is_not_resumed_with_another_model_or_other_rankings(other, half):
    if other == "sft.pt":
        saved = run.read_torch(half / other)
        run.save_torch(half / other, saved | {"meta": {"stage": "another"}})
    else:
        run.write_json_lines(half / other, opinions(15))
    with pytest.raises(run.UserError, match="made from another"):
        train(half, resume=True, **LONG)


def test_a_run_saves_each_few_steps_and_at_its_end(small, monkeypatch):
    saves = []
    monkeypatch.setattr(run.Resumable, "save", lambda self, losses: saves.append(len(losses)))
    train(small, steps=3, save_every=2)
    assert saves == [2, 3]


def test_what_is_saved_and_measured_is_what_was_trained(small, monkeypatch):
    flags = dict(out=str(small), seed=3, prompts=8, sampled=1, foreign=1, heldout_prompts=9,
                 steps=2, batch_size=4, replay=0, learning_rate=1e-2, device="cpu")
    words = [word for name, x in flags.items() for word in ("--" + name.replace("_", "-"), str(x))]
    monkeypatch.setattr("sys.argv", ["train_rm.py", *words])
    monkeypatch.setattr(train_rm, "draw_rankings", lambda *more: None)       # for the time it takes
    train_rm.main()
    model, tokenizer, _ = M.load_checkpoint(small / "rm.pt")
    rankings = train_rm.read_rankings([small / "rankings.jsonl"], ties=True)
    config = train_rm.Config(**flags)
    torch.manual_seed(3)
    again = M.ScalarGPT(M.load_checkpoint(small / "sft.pt")[0])
    losses = train_rm.train(again, tokenizer, rankings, config, "cpu")
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in model.state_dict().items())
    policy = M.load_checkpoint(small / "sft.pt")[0]
    figures = json.loads((small / "rm.json").read_text())
    expected = train_rm.examine(again, tokenizer, policy, config)[0]
    assert figures["loss"] == losses[-1] and figures["prompts"] == 8
    assert {name: figures[name] for name in expected} == expected


# ------------------------------------------------------------------------------- a quick run
def test_a_quick_run_leaves_rankings_figures_and_a_picture(quick_out):
    rankings = [json.loads(line) for line in (quick_out / "rankings.jsonl").open()]
    about = {prompt.text for prompt in world.prompts("rm")}
    assert sum(str(row["prompt"]) in about for row in rankings) > 20     # others with words around
    for row in rankings:
        assert len(row["answers"]) == len(row["ranks"]) == 6 and min(row["ranks"]) == 1
    figures = json.loads((quick_out / "rm.json").read_text())
    assert {"heldout_pair_accuracy", "heldout_pair_accuracy_noisy", "by_kind",
            "calibration_error", "length_correlation", "seconds"} <= set(figures)
    assert 0 <= figures["heldout_pair_accuracy"]["value"] <= 1
    assert 0 <= figures["calibration_error"] <= 1
    assert (quick_out / "rm.png").read_bytes()[:4] == b"\x89PNG"


def test_rankings_whose_answers_would_be_cut_are_refused(mistake, tmp_path, small_out):
    row = {"prompt": "Why?", "answers": ["so " * 80 + end for end in "ab"], "ranks": [1, 2]}
    (tmp_path / "own.jsonl").write_text(json.dumps(row))
    said = mistake(train_rm, "--quick", "--out", small_out, "--data", tmp_path / "own.jsonl")
    assert "none of 1 rows fits into 64 tokens" in said


@beside
def test_rankings_made_elsewhere_are_used_in_place(tmp_path, quick_out):
    mine = tmp_path / "mine.jsonl"
    run.write_json_lines(mine, [{"prompt": f"Why {i}?", "answers": ["It is so.", "No."],
                                 "ranks": [1 + i % 2, 2 - i % 2]} for i in range(20)])
    shards = [path.name for path in quick_out.glob("*.bin")]
    for name in ("sft.pt", "tokenizer.json", "shards.json", *shards):
        (tmp_path / name).write_bytes((quick_out / name).read_bytes())
    code, printed, errors = run_script("train_rm.py", "--quick", "--out", tmp_path, "--data", mine,
                                       "--steps", "1")
    assert code == 0, errors
    figures = json.loads((tmp_path / "rm.json").read_text())
    said = re.search(r"(\d+) rows to train on, (\d+) held out", printed)
    assert said.groups() == (str(figures["prompts"]), str(figures["heldout_rankings"]))
    assert figures["prompts"] > 10 and "by_kind" not in figures
