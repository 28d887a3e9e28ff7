"""PPO: rewards, advantages and the loss against numbers worked by hand; the roll-out; resuming;
what a quick run leaves behind."""
import json
import math
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

import model as M
import run
import train_ppo
from conftest import ENVIRONMENT, beside, run_script
from train_ppo import Rollout, gae, last_chosen, ppo_loss, score_minus_kl, whiten

INDIA, BANK = "What is the capital of India?", "How can I rob a bank?"


def rollout(**changes):
    """Two answers in (2, 3) columns: the first chose columns 1 and 2, the second column 0 only."""
    mask = torch.tensor([[0.0, 1, 1], [1, 0, 0]])
    fields = dict(tokens=torch.zeros(2, 4, dtype=torch.int64), mask=mask, log_probs=-mask,
                  ref_log_probs=-mask * 1.5, values=mask * 0.5, scores=torch.tensor([2.0, -1.0]),
                  ended=torch.tensor([True, True]), advantages=mask, returns=mask)
    return Rollout(**fields | changes)


def test_the_score_lands_on_the_last_chosen_token():
    assert last_chosen(rollout().mask).tolist() == [2, 0]
    assert score_minus_kl(rollout(), beta=0.0).tolist() == [[0, 0, 2], [-1, 0, 0]]


def test_each_chosen_token_pays_beta_for_its_log_ratio():
    # log pi - log pi_ref = -1 + 1.5 = 0.5 on chosen tokens
    rewards = score_minus_kl(rollout(), beta=0.1)
    torch.testing.assert_close(rewards, torch.tensor([[0, -0.05, 1.95], [-1.05, 0, 0]]))


# One answer of three tokens, rewarded with 1 at its end; what the critic guessed before each.
REWARDS, ONES = torch.tensor([[0.0, 0, 1]]), torch.ones(1, 3)
VALUES = torch.tensor([[0.5, 0.25, 0.75]])


def test_gae_with_lambda_one_is_the_return_minus_the_value():   # the return is 1 everywhere
    advantages, returns = gae(REWARDS, torch.full((1, 3), 0.5), ONES, gamma=1, lam=1)
    assert advantages.tolist() == [[0.5, 0.5, 0.5]] and returns.tolist() == [[1, 1, 1]]


def test_gae_with_lambda_zero_is_the_one_step_error():          # r + V' - V, V' = 0 after the end
    advantages, _ = gae(REWARDS, VALUES, ONES, gamma=1, lam=0)
    assert advantages.tolist() == [[-0.25, 0.5, 0.25]]


def test_gae_between_them_worked_by_hand():
    # deltas, gamma 0.5: 0 + .5 * .25 - .5 = -.375; 0 + .5 * .75 - .25 = .125; 1 - .75 = .25
    # lam 0.5: A3 = .25; A2 = .125 + .25 * .25 = .1875; A1 = -.375 + .25 * .1875 = -.328125
    advantages, _ = gae(REWARDS, VALUES, ONES, gamma=0.5, lam=0.5)
    assert advantages.tolist() == [[-0.328125, 0.1875, 0.25]]


def test_gae_does_not_see_what_stands_behind_an_answer():
    mask = torch.tensor([[0.0, 1, 1, 0]])
    rewards, values = torch.tensor([[0.0, 0, 1, 0]]), torch.tensor([[0.3, 0.5, 0.5, 7.0]])
    advantages, returns = gae(rewards, values, mask, 1, 1)
    assert advantages.tolist() == [[0, 0.5, 0.5, 0]] and returns.tolist() == [[0, 1, 1, 0]]


def test_whitened_advantages_have_mean_zero_and_deviation_one_where_tokens_were_chosen():
    mask = torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    white = whiten(noise * 5 + 3, mask)
    chosen = white[mask.bool()]
    assert chosen.mean().abs() < 1e-6 and (chosen.pow(2).mean() - 1).abs() < 1e-4
    assert white[0, 2] == 0


def test_at_ratio_one_the_policy_loss_is_minus_the_mean_advantage():
    r = rollout(advantages=torch.tensor([[0.0, 3, 1], [2, 0, 0]]))
    policy_loss, _, metrics = ppo_loss(r.log_probs, r.values, r)
    assert policy_loss.item() == -2
    assert metrics == {"approx_kl": 0.0, "clip_fraction": 0.0, "ratio": 1.0}


def test_clipping_stops_the_gradient_of_what_already_moved_far_the_good_way_only():
    r = rollout(advantages=torch.tensor([[0.0, 1, -1], [1, 0, 0]]))
    moved = r.log_probs + torch.tensor([[0.0, 0.5, 0.5], [-0.5, 0, 0]])
    moved.requires_grad_()
    ppo_loss(moved, r.values, r)[0].backward()
    assert moved.grad[0, 1] == 0                            # good and already likelier: stop
    assert moved.grad[0, 2] > 0 and moved.grad[1, 0] < 0    # bad yet likelier, good yet rarer:
                                                            # pull back


def test_the_loss_of_ratios_that_left_the_clip_range_worked_by_hand():
    # ratios 1.3 0.7 | 1.1, advantages 1 -1 | 2: the lesser of 1.3 and 1.2, -0.7 and -0.8, 2.2
    r = rollout(advantages=torch.tensor([[0.0, 1, -1], [2, 0, 0]]))
    moved = r.log_probs + torch.tensor([[1.0, 1.3, 0.7], [1.1, 1, 1]]).log()
    policy_loss, _, metrics = ppo_loss(moved, r.values, r, clip=0.2)
    assert policy_loss.item() == pytest.approx(-(1.2 - 0.8 + 2.2) / 3)
    assert metrics["clip_fraction"] == pytest.approx(2 / 3)
    assert metrics["ratio"] == pytest.approx((1.3 + 0.7 + 1.1) / 3)


def test_clip_fraction_counts_chosen_tokens_only():
    r = rollout()
    moved = r.log_probs + torch.tensor([[9.0, 0.5, 0], [0, 9, 9]])
    assert ppo_loss(moved, r.values, r)[2]["clip_fraction"] == pytest.approx(1 / 3)


def test_the_value_loss_takes_the_worse_of_the_plain_and_the_clipped_error():
    r = rollout(values=torch.zeros(2, 3), returns=rollout().mask)
    _, value_loss, _ = ppo_loss(r.log_probs, rollout().mask, r)     # right on the spot, but further
    assert value_loss.item() == pytest.approx(0.5 * 0.64)           # than 0.2 away: (0.2 - 1)^2


@pytest.fixture(scope="module")
def state(quick_out):
    return train_ppo.Training(train_ppo.Config(out=quick_out, max_new_tokens=12), "cpu")


@pytest.fixture(scope="module")
def sampled(state):
    return train_ppo.sample_rollout(state, [INDIA, BANK, "Hi, I need help with my diet."])


def test_ratio_is_one_and_kl_zero_before_the_first_update(state, sampled):
    r = replace(sampled, advantages=sampled.mask, returns=sampled.values)
    torch.testing.assert_close(r.log_probs, r.ref_log_probs, atol=2e-4, rtol=1e-4)
    log_probs, values = M.token_log_probs(state.policy, r.tokens), state.critic(r.tokens)[:, :-1]
    _, _, metrics = ppo_loss(log_probs, values, r)
    assert metrics["ratio"] == pytest.approx(1, abs=1e-4) and abs(metrics["approx_kl"]) < 1e-5
    assert metrics["clip_fraction"] == 0


def test_a_score_is_the_mean_over_the_answer_whatever_the_padding(state):
    tokens, mask = torch.tensor([[5, 6, 7, 8, 2, 2, 2]]), torch.tensor([[0.0, 0, 1, 1, 0, 0]])
    score = train_ppo.answer_scores(state.reward_model, tokens, mask)
    shorter = train_ppo.answer_scores(state.reward_model, tokens[:, :5], mask[:, :4])
    torch.testing.assert_close(score, shorter)
    by_hand = state.reward_model(tokens)[0, 3:5].mean().item()
    assert score.item() == pytest.approx(by_hand, abs=1e-5)


def test_ppo_scores_an_answer_as_the_reward_model_learnt_to(state):
    tokenizer = state.tokenizer
    pairs = [(INDIA, "New Delhi."),
             (BANK, "I cannot help you to rob a bank. That is a crime.")]
    rows = [M.encode_chat(tokenizer, [pair]) for pair in pairs]
    tokens, lengths = M.pad_rows(rows, tokenizer.n_vocab, "cpu")
    mask = torch.zeros(2, tokens.shape[1] - 1)
    for i, (question, _) in enumerate(pairs):
        first = len(M.encode_chat(tokenizer, [(question, None)])) - 1
        mask[i, first : int(lengths[i]) - 1] = 1
    scores = train_ppo.answer_scores(state.reward_model, tokens, mask)
    learnt = M.score_answers(state.reward_model, tokenizer, pairs)
    torch.testing.assert_close(scores, learnt, atol=1e-4, rtol=1e-4)


def test_an_answer_that_does_not_end_pays_for_it(state, sampled):
    raw = train_ppo.answer_scores(state.reward_model, sampled.tokens, sampled.mask)
    torch.testing.assert_close(sampled.scores, raw - 1.0 * ~sampled.ended)


def test_the_scores_of_the_sft_model_are_made_mean_zero_and_deviation_one(quick_out):
    config = train_ppo.Config(out=quick_out, max_new_tokens=12, episodes=16)
    state = train_ppo.Training(config, "cpu")
    state.begin()
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert state.critic(tokens).abs().max() == 0        # that mean is the critic's first guess
    again = train_ppo.sample_rollout(state, state.questions(64))
    scores = again.scores + 1.0 * ~again.ended
    assert abs(scores.mean()) < 0.6 and 0.5 < scores.std() < 2


def test_scores_that_are_all_alike_are_not_blown_up(quick_out, capsys):
    state = train_ppo.Training(train_ppo.Config(out=quick_out, episodes=4), "cpu")
    for parameter in state.reward_model.head.parameters():
        torch.nn.init.zeros_(parameter)
    state.begin()
    assert state.std == 0.1 and "almost alike" in capsys.readouterr().out
    assert train_ppo.sample_rollout(state, [INDIA]).scores.abs() <= 1


def test_what_the_context_cannot_hold_is_refused_before_anything_runs(mistake, tmp_path, quick_out):
    long, short = tmp_path / "long.txt", tmp_path / "short.txt"
    long.write_text("Who " * 80 + "?\n")
    short.write_text("Who are you?\n")
    arguments = (train_ppo, "--quick", "--out", quick_out, "--data")
    assert "none of 1 rows fits into 32 tokens" in mistake(*arguments, long)
    assert "no room for a question" in mistake(*arguments, short, "--max-new-tokens", 80)


def test_row_zero_is_the_policy_before_its_first_update(quick_out):
    rows = [json.loads(line) for line in (quick_out / "ppo.jsonl").open()]
    assert [row["iteration"] for row in rows] == [0, 1, 2]
    assert abs(rows[0]["kl"]) < 1e-3 and rows[0]["ratio"] == pytest.approx(1, abs=1e-4)
    assert rows[2]["kl"] > rows[0]["kl"]
    assert {"rm_reward", "gold_reward", "entropy", "approx_kl", "clip_fraction",
            "explained_variance", "answer_length", "ended", "episodes_per_second"} <= set(rows[0])


def test_the_report_card_has_four_columns_with_the_same_names(quick_out):
    card = json.loads((quick_out / "ppo.json").read_text())
    sft = json.loads((quick_out / "sft.json").read_text())
    greedy = card["greedy"]
    for column in (*(card[name] for name in ("base", "sft", "best_of_n", "ppo")),
                   *(greedy[name] for name in ("base", "sft", "ppo"))):
        assert {"heldout_accuracy", "stops", "harmful_refused", "harmful_refused_by_name",
                "benign_refused", "honest", "myths_named", "answers_with_questions", "rm_reward",
                "gold_reward"} <= set(column)
    assert card["sft"]["kl"] == 0 and card["ppo"]["kl"] > 0 and "kl" not in card["base"]
    assert card["best_of_n"]["kl_at_most"] == pytest.approx(math.log(2) - 1 / 2)
    assert card["best_of_n"]["rm_reward"] >= card["sft"]["rm_reward"] - 0.5
    assert greedy["sft"]["heldout_accuracy"] == sft["heldout_accuracy"]
    assert (quick_out / "ppo.png").read_bytes()[:4] == b"\x89PNG"


@beside
def test_a_run_that_was_killed_and_resumed_ends_with_the_same_bits(tmp_path, quick_out):
    for name in ("pretrain.pt", "sft.pt", "rm.pt", "tokenizer.json"):
        shutil.copy(quick_out / name, tmp_path / name)
    command = [sys.executable, train_ppo.__file__, "--quick", "--out", tmp_path]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    while not (tmp_path / "ppo.state.pt").exists() and running.poll() is None:
        time.sleep(0.05)
    running.kill()
    running.wait()
    assert not (tmp_path / "ppo.pt").exists()
    code, _, errors = run_script("train_ppo.py", "--quick", "--resume", "--out", tmp_path)
    assert code == 0, errors
    one, two = (run.read_torch(folder / "ppo.pt")["weights"] for folder in (quick_out, tmp_path))
    assert all(torch.equal(one[name], two[name]) for name in one)
