"""Assignment 8 on random pairs, sums written out; `seed` is the student's own."""
import math
import random

import pytest
import torch

import model as M
from lessons.assignments import dpo


def random_pairs(seed):
    """N pairs of log-probabilities under the policy and the reference, and a beta."""
    rng = random.Random(seed)
    N = rng.randint(3, 9)
    policy, ref = ([[rng.uniform(-30, -1) for _ in range(2)] for _ in range(N)] for _ in range(2))
    return policy, ref, rng.uniform(0.02, 0.3)


def extra(policy, ref):
    """How much more than the reference the policy prefers the better answer, a pair."""
    return [a - b - (c - d) for (a, b), (c, d) in zip(policy, ref)]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@torch.no_grad()
def test_answer_log_probs_token_by_token(seed):
    rng, V, T = random.Random(seed), 30, 11
    torch.manual_seed(seed)
    gpt = M.GPT(M.GPTConfig(vocab_size=V, block_size=T, n_layer=1, n_head=2, n_embd=8))
    tokens = torch.tensor([[rng.randrange(V) for _ in range(T)] for _ in range(5)])
    spans = [sorted(rng.sample(range(T), 2)) for _ in range(4)] + [(3, 3)]      # the last: none
    mask = torch.tensor([[float(a <= t < b) for t in range(T - 1)] for a, b in spans])
    mask[0] = torch.tensor([t % 2 for t in range(T - 1)])       # of a dialogue: answers apart
    logits = gpt(tokens).tolist()
    wanted = []
    for row, ids, chosen in zip(logits, tokens.tolist(), mask.tolist()):
        total = 0.0
        for t in range(T - 1):
            if chosen[t]:
                lse = math.log(sum(math.exp(x) for x in row[t]))
                total += row[t][ids[t + 1]] - lse
        wanted.append(total)
    found = dpo.answer_log_probs(gpt, tokens, mask).tolist()
    assert found == pytest.approx(wanted, abs=1e-4)


def test_dpo_loss_pair_by_pair(seed):
    policy, ref, beta = random_pairs(seed)
    losses = [math.log(1 + math.exp(-beta * more)) for more in extra(policy, ref)]
    found = dpo.dpo_loss(torch.tensor(policy), torch.tensor(ref), beta).item()
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_dpo_gradient_pair_by_pair(seed):
    policy, ref, beta = random_pairs(seed)
    pulls = [beta / len(policy) * sigmoid(-beta * more) for more in extra(policy, ref)]
    found = dpo.dpo_gradient(torch.tensor(policy), torch.tensor(ref), beta)
    assert found.flatten().tolist() == pytest.approx(
        [pull * sign for pull in pulls for sign in (-1, 1)], rel=1e-4)


def test_toy_run_step_by_step(seed):
    rng = random.Random(seed)
    n, beta, rate, steps = rng.randint(3, 6), rng.uniform(0.3, 1.5), rng.uniform(0.2, 1.0), 25
    pairs = [tuple(rng.sample(range(n), 2)) for _ in range(rng.randint(4, 9))]
    logits = [0.0] * n
    for _ in range(steps):
        # the softmax's own sum is in both log-probabilities: it falls out of the margin
        pulls = [beta / len(pairs) * sigmoid(-beta * (logits[a] - logits[b])) for a, b in pairs]
        for (a, b), pull in zip(pairs, pulls):
            logits[a] += rate * pull
            logits[b] -= rate * pull
    whole = sum(map(math.exp, logits))
    wanted = [math.exp(x) / whole for x in logits]
    probabilities, kl = dpo.learn_from_pairs(pairs, n, beta, steps, rate)
    assert probabilities.tolist() == pytest.approx(wanted, abs=1e-4)
    assert kl == pytest.approx(sum(p * math.log(p * n) for p in wanted), abs=1e-4)
