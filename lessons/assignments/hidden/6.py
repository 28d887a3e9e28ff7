"""Assignment 6 on random answers, against sums written out; `seed` is the student's own."""
import random

import pytest
import torch

from train_ppo import Rollout, gae, ppo_loss, score_minus_kl


def random_rollout(seed, B=5, T=9):
    """Answers of one to six tokens behind prompts of different length; numbers in the mask only."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    mask = torch.zeros(B, T)
    for row in mask:
        first = rng.randrange(3)
        row[first : first + rng.randint(1, 6)] = 1
    numbers = [torch.randn(B, T, generator=generator) * mask for _ in range(5)]
    return Rollout(torch.zeros(B, T + 1, dtype=torch.int64), mask, *numbers[:3],
                   torch.randn(B, generator=generator), mask[:, 0] > 0, *numbers[3:])


def chosen(row):
    return [t for t, one in enumerate(row.tolist()) if one]


def test_gae_is_the_discounted_sum_of_errors(seed):
    r = random_rollout(seed)
    rewards, values, gamma, lam = r.advantages, r.values, 0.9, 0.7
    advantages, returns = gae(rewards, values + 5 * (1 - r.mask), r.mask, gamma, lam)
    for i, row in enumerate(r.mask):
        places = chosen(row)
        for n, t in enumerate(places):
            wanted = 0.0
            for m, later in enumerate(places[n:]):
                after = values[i, later + 1] if n + m + 1 < len(places) else 0.0
                error = rewards[i, later] + gamma * after - values[i, later]
                wanted += (gamma * lam) ** m * error
            assert advantages[i, t].item() == pytest.approx(float(wanted), abs=1e-4)
            assert returns[i, t].item() == pytest.approx(float(wanted + values[i, t]), abs=1e-4)
        left_out = [t for t in range(len(row)) if t not in places]
        assert not advantages[i, left_out].any() and not returns[i, left_out].any()


def test_rewards_are_the_price_of_each_token_and_the_score_of_the_last(seed):
    r = random_rollout(seed)
    rewards = score_minus_kl(r, 0.3)
    for i, row in enumerate(r.mask):
        for t in range(len(row)):
            wanted = -0.3 * float(r.log_probs[i, t] - r.ref_log_probs[i, t]) * float(row[t])
            wanted += float(r.scores[i]) * (t == chosen(row)[-1])
            assert rewards[i, t].item() == pytest.approx(wanted, abs=1e-5)


def test_ppo_loss_is_the_mean_over_chosen_tokens(seed):
    r, clip = random_rollout(seed), 0.15
    generator = torch.Generator().manual_seed(seed + 1)
    log_probs = r.log_probs + 0.3 * torch.randn(r.mask.shape, generator=generator)
    values = r.values + 0.5 * torch.randn(r.mask.shape, generator=generator)
    policy, value, count = 0.0, 0.0, 0
    for i, row in enumerate(r.mask):
        for t in chosen(row):
            ratio = (log_probs[i, t] - r.log_probs[i, t]).exp().item()
            near = min(max(ratio, 1 - clip), 1 + clip)
            policy -= min(ratio * r.advantages[i, t].item(), near * r.advantages[i, t].item())
            move = min(max((values[i, t] - r.values[i, t]).item(), -clip), clip)
            error = values[i, t].item() - r.returns[i, t].item()
            close = r.values[i, t].item() + move - r.returns[i, t].item()
            value += 0.5 * max(error**2, close**2)
            count += 1
    found = ppo_loss(log_probs, values, r, clip)
    assert found[0].item() == pytest.approx(policy / count, abs=1e-4)
    assert found[1].item() == pytest.approx(value / count, abs=1e-4)
