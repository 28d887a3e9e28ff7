"""PPO: rewards, advantages and the loss against numbers worked by hand; the roll-out; resuming;
what a quick run leaves behind."""
import copy
import json
import math
import random
import shutil
import signal
import sys
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import model as M
import run
import train_ppo
from conftest import sending
from data import judging, world
from resuming import forgetting, killed_at_the_first_save
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
    # ratio - 1 - log ratio: 0.3 - 0.262364, -0.3 + 0.356675, 0.1 - 0.095310
    assert metrics["approx_kl"] == pytest.approx((0.037636 + 0.056675 + 0.00469) / 3, abs=1e-6)


def test_clip_fraction_counts_chosen_tokens_only():
    r = rollout()
    moved = r.log_probs + torch.tensor([[9.0, 0.5, 0], [0, 9, 9]])
    assert ppo_loss(moved, r.values, r)[2]["clip_fraction"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("side", [1, -1])
def test_the_value_loss_takes_the_worse_of_the_plain_and_the_clipped_error(side):
    mask = rollout().mask
    r = rollout(values=3 * mask, returns=(3 + side) * mask)     # a guess of 3, 1 off
    _, value_loss, _ = ppo_loss(r.log_probs, r.returns, r)      # right on the spot, but further
    assert value_loss.item() == pytest.approx(0.5 * 0.64)       # than 0.2 away: (0.2 - 1)^2
    _, value_loss, _ = ppo_loss(r.log_probs, r.values - 0.5 * side, r)
    assert value_loss.item() == pytest.approx(0.5 * 2.25)       # the wrong way: (-0.5 - 1)^2


def test_the_figures_of_an_iteration_worked_by_hand():
    r = rollout(log_probs=torch.tensor([[0.0, -1, -2], [-3, 0, 0]]),
                ref_log_probs=torch.tensor([[0.0, -1.5, -3], [-2, 0, 0]]),
                values=torch.tensor([[0.0, 1, 2], [3, 0, 0]]),
                returns=torch.tensor([[0.0, 2, 2], [5, 0, 0]]), ended=torch.tensor([True, False]))
    updates = [{"ratio": 1.0, "approx_kl": 0.1, "clip_fraction": 0.0},
               {"ratio": 1.5, "approx_kl": 0.3, "clip_fraction": 0.5}]
    # kl 0.5 + 1 and -1 an answer; errors 1, 0, 2: variance 1; returns 2, 2, 5: variance 3
    assert train_ppo.describe(r, {"gold_reward": 0.25}, updates, seconds=4) == pytest.approx({
        "rm_reward": 0.5, "gold_reward": 0.25, "kl": 0.25, "entropy": 2.0, "answer_length": 1.5,
        "ended": 0.5, "explained_variance": 1 - 1 / 3, "episodes_per_second": 0.5, "ratio": 1.0,
        "approx_kl": 0.2, "clip_fraction": 0.25})


def test_each_pass_over_a_roll_out_learns_from_each_episode_once_in_a_new_order():
    mask = torch.tensor([[0.0, 1, 1]]).repeat(7, 1)
    numbers = torch.arange(7)[:, None] * mask
    seven = Rollout(numbers.long(), *[numbers] * 4, numbers[:, 1], mask[:, 1] > 0, numbers, numbers)
    config = train_ppo.Config(ppo_epochs=3, minibatch=3)
    batches = list(train_ppo.minibatches(seven, config, torch.Generator().manual_seed(0)))
    assert [len(batch.tokens) for batch in batches] == [3, 3, 1] * 3
    for batch in batches:                           # all that belongs to an episode moves with it
        assert all(torch.equal(x.float().view(len(x), -1)[:, -1], batch.scores)
                   for name, x in vars(batch).items() if name != "ended")
    seen = torch.cat([batch.scores for batch in batches]).view(3, 7).tolist()
    assert all(sorted(order) == list(range(7)) for order in seen)
    assert len({tuple(order) for order in seen}) == 3


def prompts(*texts):
    return [world.Prompt("own", text, {}, text) for text in texts]


@pytest.fixture(scope="module", autouse=True)
def each_checkpoint_is_read_once():
    """For the time it takes; who loads the same file again gets a copy of the model."""
    known, load = {}, train_ppo.load_checkpoint

    def load_once(path, device):
        content = Path(path).read_bytes()
        if content not in known:
            known[content] = load(path, device)
        model, *others = known[content]
        return copy.deepcopy(model), *others

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train_ppo, "load_checkpoint", load_once)
        yield


@pytest.fixture(scope="module")
def state(small_out):
    return train_ppo.Training(train_ppo.Config(out=small_out, max_new_tokens=12), "cpu")


@pytest.fixture(scope="module")
def sampled(state):
    return train_ppo.sample_rollout(state, prompts(INDIA, BANK, "Hi, I need help with my diet."))


def test_ratio_is_one_and_kl_zero_before_the_first_update(state, sampled):
    r = replace(sampled, advantages=sampled.mask, returns=sampled.values)
    torch.testing.assert_close(r.log_probs, r.ref_log_probs, atol=2e-4, rtol=1e-4)
    log_probs, values = M.token_log_probs(state.policy, r.tokens), state.critic(r.tokens)[:, :-1]
    _, _, metrics = ppo_loss(log_probs, values, r)
    assert metrics["ratio"] == pytest.approx(1, abs=1e-4) and abs(metrics["approx_kl"]) < 1e-5
    assert metrics["clip_fraction"] == 0


@pytest.fixture(scope="module")
def moved(small_out):
    """A training whose four networks all differ, and whose scores are not yet normalised ones."""
    config = train_ppo.Config(out=small_out, max_new_tokens=20, no_end_penalty=0.7)
    state = train_ppo.Training(config, "cpu")
    with torch.no_grad():
        state.policy.norm.weight *= 1.5
        state.critic.head.weight *= -2
    state.mean, state.std = 0.3, 2.0
    return state


def test_a_roll_out_holds_prompts_answers_and_what_each_network_says_of_them(moved):
    asked = world.draw_prompts("ppo", 24, random.Random(0))
    r, end = train_ppo.sample_rollout(moved, asked), moved.tokenizer.special_tokens[M.END]
    lengths = r.mask.sum(1).long()
    for row, mask, length, ended, p in zip(r.tokens, r.mask, lengths, r.ended, asked):
        prompt = M.encode_prompt(moved.tokenizer, p.text)[-44:]         # 64 less 20 for the answer
        answer = row[len(prompt) : len(prompt) + length].tolist()
        assert row[: len(prompt)].tolist() == prompt and ended == (answer[-1] == end)
        assert end not in answer[:-1] and (ended or length == 20)
        assert mask.nonzero()[:, 0].tolist() == list(range(len(prompt) - 1,
                                                           len(prompt) - 1 + length))
    assert 0 < r.ended.sum() < 24 and r.mask[:, -1].any()
    for model, log_probs in ((moved.policy, r.log_probs), (moved.reference, r.ref_log_probs)):
        torch.testing.assert_close(log_probs, M.token_log_probs(model, r.tokens) * r.mask,
                                   atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(r.values, moved.critic(r.tokens)[:, :-1] * r.mask)
    raw = train_ppo.answer_scores(moved.reward_model, r.tokens, r.mask)
    torch.testing.assert_close(r.scores, (raw - 0.3) / 2 - 0.7 * ~r.ended)
    assert not any(x.requires_grad for x in (r.log_probs, r.values, r.scores))


def test_a_question_longer_than_the_room_keeps_its_end(moved):
    long = "word " * 60
    r = train_ppo.sample_rollout(moved, prompts(long))
    whole = M.encode_prompt(moved.tokenizer, long)
    assert r.tokens[0, :44].tolist() == whole[-44:] and r.mask[0, :43].sum() == 0


def test_the_gold_reward_is_the_mean_grade_of_what_was_answered(state, monkeypatch):
    monkeypatch.setattr(world, "grade", lambda prompt, answer: {
        (INDIA, "New Delhi."): 1, (BANK, "No, never!"): 3, (BANK, "Take a gun"): -1
    }[prompt.text, answer])
    asked = [(INDIA, "New Delhi."), (BANK, "No, never!"), (BANK, "Take a gun")]
    rows = [M.encode_chat(state.tokenizer, [pair]) for pair in asked]
    rows[2].pop()                                           # an answer that did not end
    tokens, lengths = M.pad_rows(rows, 300, "cpu")
    mask = torch.zeros(3, tokens.shape[1] - 1)
    for i, (question, _) in enumerate(asked):
        mask[i, len(M.encode_prompt(state.tokenizer, question)) - 1 : int(lengths[i]) - 1] = 1
    r = rollout(tokens=tokens, mask=mask)
    assert train_ppo.gold_reward(state, prompts(INDIA, BANK, BANK), r) == {"gold_reward": 1}


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


def test_the_scores_of_the_sft_model_are_made_mean_zero_and_deviation_one(small_out):
    config = train_ppo.Config(out=small_out, max_new_tokens=12, episodes=16)
    state, other = (train_ppo.Training(config, "cpu") for _ in range(2))
    state.begin()
    first = train_ppo.sample_rollout(other, other.prompts(64))        # the same 64 answers
    raw = train_ppo.answer_scores(other.reward_model, first.tokens, first.mask)
    assert not first.ended.all()            # the penalty for it is no part of the mean
    assert state.mean == pytest.approx(raw.mean().item(), abs=1e-5)
    assert state.std == pytest.approx(raw.std().item(), abs=1e-5)
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert state.critic(tokens).abs().max() == 0        # that mean is the critic's first guess


def test_scores_that_are_all_alike_are_not_blown_up(small_out, capsys):
    state = train_ppo.Training(train_ppo.Config(out=small_out, episodes=2, max_new_tokens=4), "cpu")
    state.reward_model = lambda tokens: torch.full(tokens.shape, 3.0)
    state.begin()
    assert (state.mean, state.std) == (3.0, 0.1) and "almost alike" in capsys.readouterr().out


def test_what_the_context_cannot_hold_is_refused_before_anything_runs(mistake, tmp_path, small_out):
    long, short = tmp_path / "long.txt", tmp_path / "short.txt"
    long.write_text("Who " * 80 + "?\n")
    short.write_text("Who are you?\n")
    arguments = (train_ppo, "--quick", "--out", small_out, "--data")
    assert "none of 1 rows fits into 32 tokens" in mistake(*arguments, long)
    assert "no room for a question" in mistake(*arguments, short, "--max-new-tokens", 80)


def test_questions_are_the_users_or_those_of_the_tiny_world_for_this_step(small, state):
    (small / "mine.txt").write_text("Is it so?\nWhy?\nWho can tell?\n")
    config = train_ppo.Config(out=small, data=(small / "mine.txt",))
    own = train_ppo.Training(config, "cpu")
    asked = own.prompts(30)
    assert {p.text for p in asked} | {*own.heldout} == {"Is it so?", "Why?", "Who can tell?"}
    assert len(own.heldout) == 1 and not {p.text for p in asked} & {*own.heldout}
    assert {p.kind for p in asked} == {"own"} and (own.longest, own.room) == (32, 32)
    asked = state.prompts(87)
    assert {str(p.slots) for p in asked} <= {str(p.slots) for p in world.prompts("ppo")}
    kinds = Counter(p.kind for p in asked)
    assert set(kinds) == set(world.KINDS) and set(kinds.values()) == {9, 12}


# ------------------------------------------------------------------------------- the loop
def ppo(folder, reward_model=None, **flags):
    """A training that ran, with settings that take it no time."""
    mine = folder / "mine.txt"
    if not mine.exists():
        mine.write_text("Is it so?\nWhy?\nWho can tell?\n")
    config = train_ppo.Config(**dict(
        out=str(folder), data=(str(mine),), steps=1, episodes=2, minibatch=2, max_new_tokens=3,
        learning_rate=1e-2, critic_learning_rate=1e-2) | flags)
    state = train_ppo.Training(config, "cpu")
    state.reward_model = reward_model or state.reward_model
    if config.steps < config.save_every:
        state.saved.save = lambda **values: None        # for the time it takes
    train_ppo.train(state, config)
    return state


def test_the_ratio_is_to_the_policy_that_sampled_in_all_updates_of_an_iteration(small):
    [row] = ppo(small, episodes=4, ppo_epochs=4).rows
    assert row["ratio"] == pytest.approx(1, abs=1e-4) and row["approx_kl"] > 1e-5


def test_policy_and_critic_move_by_the_share_of_their_rates_that_the_schedule_gives(
        small, monkeypatch):
    asked = []
    monkeypatch.setattr(train_ppo, "schedule", lambda *of, **more: asked.append((of, more)) or 0.0)
    state = ppo(small, steps=2)
    assert asked == [((0, 2), {"warmup": 5}), ((1, 2), {"warmup": 5})]
    for learnt, start in ((state.policy, state.reference), (state.critic.gpt,
                                                            state.reward_model.gpt)):
        assert all(map(torch.equal, learnt.parameters(), start.parameters()))
    assert not any(p.any() for p in state.critic.head.parameters())


def bits(state):
    """All that a run is promised to repeat: rows but for the time, both networks that learn."""
    rows = [{name: x for name, x in row.items() if name != "episodes_per_second"}
            for row in state.rows]
    return rows, *(torch.cat([p.flatten() for p in network.parameters()]).tolist()
                   for network in (state.policy, state.critic))


@pytest.fixture(scope="module")
def plain(small_out, tmp_path_factory):
    """bits of a run with ppo's own settings."""
    return bits(ppo(shutil.copytree(small_out, tmp_path_factory.mktemp("plain") / "small")))


def test_ppo_finds_out_what_is_rewarded(small):
    state = ppo(small, lambda tokens: (tokens % 2 == 0).float(),        # half of the tokens
                steps=6, episodes=32, minibatch=32, ppo_epochs=3, max_new_tokens=2, beta=0.02,
                no_end_penalty=0.0, learning_rate=3e-2, critic_learning_rate=3e-2)
    rewarded = [state.mean + state.std * row["rm_reward"] for row in state.rows]
    assert rewarded[0] < 0.65 and rewarded[-1] > 0.85
    assert state.rows[0]["explained_variance"] == 0     # a critic that says 0 to all
    kl = [row["kl"] for row in state.rows]
    assert abs(kl[0]) < 1e-4 and kl[-1] > 1


def test_the_critic_finds_out_what_is_to_be_expected(small):
    state = ppo(small, no_end_penalty=9.0, learning_rate=0.0, critic_learning_rate=3e-2, clip=9.0,
                steps=6, episodes=8, minibatch=4)
    r = train_ppo.sample_rollout(state, state.prompts(32))
    assert r.scores.mean() < -4             # as many answers do not end; the first guess was 0
    assert -14 < r.values.sum() / r.mask.sum() < -4


CHANGES = dict(seed=1, steps=2, episodes=3, ppo_epochs=1, minibatch=1, learning_rate=2e-2,
               critic_learning_rate=2e-2, gamma=0.5, lam=0.5, clip=0.01, no_end_penalty=3.0,
               max_new_tokens=4)
TESTED_ELSEWHERE = {"out", "device", "data", "resume", "quick", "beta", "best_of", "save_every",
                    "heldout_share"}


def test_no_setting_is_without_a_test():
    assert {field.name for field in fields(train_ppo.Config)} == {*CHANGES} | TESTED_ELSEWHERE


@pytest.mark.parametrize("name", CHANGES)
def test_another_value_of_a_setting_makes_another_run(name, plain, small):
    assert bits(ppo(small, **{name: CHANGES[name]})) != plain


def test_the_same_settings_make_the_same_run(plain, small):
    torch.manual_seed(5)                    # chance does not come from torch's own generator
    assert bits(ppo(small)) == plain


def test_prompts_minibatches_and_samples_hang_on_the_seed(small_out):
    one, two, again = (train_ppo.Training(train_ppo.Config(out=small_out, seed=seed), "cpu")
                       for seed in (0, 1, 0))
    for state, same in ((two, False), (again, True)):
        assert (state.rng.getstate() == one.rng.getstate()) is same
        for name in ("shuffle", "generator"):
            states = [getattr(x, name).get_state() for x in (state, one)]
            assert torch.equal(*states) is same


def test_each_learning_rate_moves_its_own_network(small):
    start = train_ppo.Training(train_ppo.Config(out=small), "cpu")
    state = ppo(small, learning_rate=0.0)
    assert bits(state)[1] == bits(start)[1]
    assert not torch.equal(state.critic.gpt.norm.bias, start.critic.gpt.norm.bias)
    state = ppo(small, critic_learning_rate=0.0)
    assert bits(state)[1] != bits(start)[1]
    assert torch.equal(state.critic.gpt.norm.bias, start.critic.gpt.norm.bias)


def test_without_discounted_future_lambda_has_no_part(small):
    one, two = (bits(ppo(small, gamma=0.0, lam=lam, steps=2)) for lam in (0.1, 0.9))
    assert one == two


def test_what_is_learnt_from_are_whitened_advantages_and_the_returns_of_the_roll_out(
        small, monkeypatch):
    seen, minibatches = [], train_ppo.minibatches
    monkeypatch.setattr(train_ppo, "minibatches", lambda rollout, *more: (
        seen.append(rollout) or minibatches(rollout, *more)))
    ppo(small, beta=0.5, gamma=1.0, lam=1.0, episodes=8, steps=2)
    for r in seen:
        kl = (r.log_probs - r.ref_log_probs) * r.mask
        to_come = kl.flip(1).cumsum(1).flip(1)              # what the rest of the answer costs
        returns = (r.scores[:, None] - 0.5 * to_come) * r.mask
        torch.testing.assert_close(r.returns, returns, atol=1e-5, rtol=1e-4)
        chosen = (returns - r.values)[r.mask.bool()]
        white = (chosen - chosen.mean()) / chosen.std(correction=0)
        torch.testing.assert_close(r.advantages[r.mask.bool()], white, atol=1e-4, rtol=1e-4)


def test_however_large_the_rewards_the_gradients_are_clipped(small):
    state = ppo(small, no_end_penalty=1000.0, clip=1e9)
    for network in (state.policy, state.critic):
        norm = torch.cat([p.grad.flatten() for p in network.parameters()
                          if p.grad is not None]).norm()
        assert norm < 1.001
    assert norm > 0.999                     # the critic's would have been larger


def test_the_reference_and_the_reward_model_do_not_learn(small):
    state = ppo(small)
    for name, learnt, kept in (("sft.pt", state.policy, state.reference),
                               ("rm.pt", state.critic, state.reward_model)):
        before = M.load_checkpoint(small / name)[0].state_dict()
        assert all(torch.equal(x, before[part]) for part, x in kept.state_dict().items())
        assert any(not torch.equal(x, before[part]) for part, x in learnt.state_dict().items())


def test_what_no_loss_pulls_at_does_not_decay(small):
    state = train_ppo.Training(train_ppo.Config(out=small), "cpu")
    before = bits(state)
    for network, optimizer in ((state.policy, state.policy_optimizer),
                               (state.critic, state.critic_optimizer)):
        M.take_step(optimizer, sum((p * 0).sum() for p in network.parameters()))
    assert bits(state) == before


# ------------------------------------------------------------------------------- resuming
LONG = dict(steps=2, save_every=1, ppo_epochs=1, minibatch=1)


@pytest.fixture(scope="module")
def unbroken(small_out, tmp_path_factory):
    return bits(ppo(shutil.copytree(small_out, tmp_path_factory.mktemp("whole") / "small"), **LONG))


@pytest.fixture(scope="module")
def broken(small_out, tmp_path_factory):
    """The folder of the same run, stopped after its first iteration, and what it holds."""
    folder = shutil.copytree(small_out, tmp_path_factory.mktemp("broken") / "small")
    with killed_at_the_first_save():
        ppo(folder, **LONG)
    return folder, {path: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def half(broken):
    """That folder, whatever another test has written there."""
    folder, files = broken
    for path, content in files.items():
        path.write_bytes(content)
    return folder


def test_a_resumed_run_ends_with_the_same_bits(unbroken, half):
    assert [row["iteration"] for row in unbroken[0]] == [0, 1]
    assert bits(ppo(half, resume=True, **LONG)) == unbroken
    assert bits(ppo(half, resume=True, **LONG)) == unbroken         # nothing is left to be done


FRESH = dict(policy=None, policy_optimizer=None, critic=None, critic_optimizer=None, rng=None,
             shuffle=None, generator=None, rows=[], mean=0.0, std=1.0)


@pytest.mark.parametrize("name", FRESH)
def test_a_run_resumed_without_a_part_of_its_state_ends_otherwise(name, unbroken, half):
    with forgetting(name, FRESH[name]):
        assert bits(ppo(half, resume=True, **LONG)) != unbroken


def test_a_run_that_was_killed_and_resumed_ends_with_the_same_bits(small, script, tmp_path):
    whole, prompts = shutil.copytree(small, tmp_path / "whole"), tmp_path / "prompts.txt"
    prompts.write_text("Who?\nWhy?\nIs it so?\nSince when?\n")
    command = ("train_ppo.py", "--quick", "--steps", 8, "--episodes", 4, "--minibatch", 4,
               "--max-new-tokens", 8, "--data", prompts, "--out")
    assert script(*command, whole)[0] == 0
    kill = sending(signal.SIGKILL, small / "ppo.state.pt")
    assert script(*command, small, meanwhile=kill)[0] == -signal.SIGKILL
    assert not (small / "ppo.pt").exists()
    code, _, errors = script(*command, small, "--resume")
    assert code == 0, errors
    assert (whole / "ppo.pt").read_bytes() == (small / "ppo.pt").read_bytes()


@pytest.mark.parametrize("other", ["sft.pt", "rm.pt", "mine.txt"])
def test_a_run_is_not_resumed_with_another_model_or_other_prompts(other, half):
    if other == "mine.txt":
        (half / other).write_text("Who else?\nWhy?\nIs it so?\n")
    else:
        saved = run.read_torch(half / other)
        run.save_torch(half / other, saved | {"meta": {"stage": "another"}})
    with pytest.raises(run.UserError, match="made from another"):
        ppo(half, resume=True, **LONG)


def test_a_run_saves_each_few_iterations_and_at_its_end(small, monkeypatch):
    saves, save = [], run.Resumable.save
    monkeypatch.setattr(run.Resumable, "save", lambda self, **values: (
        saves.append(len(values["rows"])) or save(self, **values)))
    ppo(small, steps=3, save_every=2, episodes=2, ppo_epochs=1)
    assert saves == [2, 3]


# ------------------------------------------------------------------------------- best of n, KL
def test_best_of_n_is_the_answer_that_the_reward_model_likes_best(state, monkeypatch):
    said = iter("b a c f d e".split())
    monkeypatch.setattr(train_ppo, "score_answers", lambda model, tokenizer, pairs, ended: (
        torch.tensor([float(ord(answer)) for _, answer in pairs])))
    monkeypatch.setattr(state.config, "best_of", 3)
    best = train_ppo.best_of_n(state, lambda questions: [(next(said), True) for _ in questions],
                               ["one", "two"])
    assert best == [("c", True), ("f", True)]


def test_the_report_card_scores_an_answer_as_ppo_does(moved, monkeypatch):
    monkeypatch.setattr(world, "examine", lambda answer, quick: ({}, []))
    monkeypatch.setattr(judging, "score_answers", lambda m, t, pairs, ended: torch.tensor(
        [3.0 for _ in pairs]))
    for ended, wanted in ((True, 1.35), (False, 1.35 - 0.7)):       # (3 - 0.3) / 2, the penalty
        column = judging.by_rubric(moved, [INDIA, BANK], lambda questions: [
            ("so", ended) for _ in questions])
        assert column["rm_reward"] == pytest.approx(wanted)


def test_the_kl_of_the_reference_is_zero_and_that_of_another_policy_above_it(
        moved, monkeypatch):
    asked = [prompt.text for prompt in world.report_prompts(quick=True)[:12]]
    with torch.no_grad():
        assert train_ppo.sampled_kl(moved, asked) > 0.05
        monkeypatch.setattr(moved, "policy", moved.reference)
        assert abs(train_ppo.sampled_kl(moved, asked)) < 1e-3


# ------------------------------------------------------------------------------- one's own prompts
def test_own_prompts_are_judged_by_those_held_out_and_the_world_is_not_in_it(
        small, monkeypatch, capsys):
    (small / "mine.jsonl").write_text("\n".join(
        json.dumps({"prompt": prompt}) for prompt in (["Hi?", "Yes.", "So?"], "Why?", "Who?")))
    monkeypatch.setattr(sys, "argv", [
        "train_ppo.py", "--quick", "--steps", "1", "--episodes", "4", "--minibatch", "4", "--out",
        str(small), "--data", str(small / "mine.jsonl"), "--heldout-share", "0.5"])
    train_ppo.main()
    printed, card = capsys.readouterr().out, json.loads((small / "ppo.json").read_text())
    assert set(card) == {"sft", "best_of_n", "ppo", "seconds"}
    for name in ("sft", "best_of_n", "ppo"):
        assert {"rm_reward", "stops", "answer_length", "transcripts"} <= set(card[name])
        assert not {*card[name]} & ({*world.SHOWN} - {"rm_reward", "stops", "kl", "kl_at_most"})
    assert card["sft"]["kl"] == 0 < card["ppo"]["better_than_sft"]["n"]
    assert "better_than_sft" not in card["sft"] and card["best_of_n"]["n"] == 2
    assert card["best_of_n"]["rm_reward"] > card["sft"]["rm_reward"]
    [row] = [json.loads(line) for line in (small / "ppo.jsonl").open()]
    assert "gold_reward" not in row and "gold" not in printed.replace("no gold judge", "")
    assert "proves nothing" in printed and "France" not in printed
    learnt = M.load_checkpoint(small / "ppo.pt")[2]["examples"]
    heldout = [judging.on_one_line(said["prompt"]) for said in card["ppo"]["transcripts"]]
    assert sorted(learnt + heldout) == ["Hi? / Yes. / So?", "Who?", "Why?"]


# ------------------------------------------------------------------------------- a quick run
def test_row_zero_is_the_policy_before_its_first_update(quick_out):
    rows = [json.loads(line) for line in (quick_out / "ppo.jsonl").open()]
    assert [row["iteration"] for row in rows] == [0, 1, 2]
    assert abs(rows[0]["kl"]) < 1e-3 and rows[0]["ratio"] == pytest.approx(1, abs=1e-4)
    assert abs(rows[2]["kl"]) > 100 * abs(rows[0]["kl"])    # a mean of samples may be below 0
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


def test_ppo_asks_none_of_the_questions_that_were_ranked():
    asks = type("Asks", (), {"own_prompts": [], "rng": random.Random(0)})
    asked = {prompt.text for prompt in train_ppo.Training.prompts(asks, 200)
             if not prompt.is_second}
    ours, ranked = ({p.text for p in world.prompts(half)} for half in ("ppo", "rm"))
    assert len(asked & ours) > 50 and not asked & ranked
