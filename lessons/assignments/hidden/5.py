"""Assignment 5 on random rankings, pair by pair; `seed` is the student's own."""
import math
import random

import numpy as np
import pytest
import torch

import train_rm


def random_rankings(seed, N=6, K=5):
    rng = random.Random(seed)
    scores = [[rng.gauss(0, 2) for _ in range(K)] for _ in range(N)]
    ranks = [[rng.randint(1, 4) for _ in range(K)] for _ in range(N)]
    return scores, ranks


def test_ranking_loss_pair_by_pair(seed):
    scores, ranks = random_rankings(seed)
    ranks[1] = [2, 2, 2, 2, 2]
    ranks[2][4] = math.nan
    means = []
    for row, places in zip(scores, ranks):
        losses = [math.log(1 + math.exp(row[j] - row[i])) for i in range(5) for j in range(5)
                  if places[i] < places[j]]
        means += [sum(losses) / len(losses)] if losses else []
    loss = train_rm.ranking_loss(torch.tensor(scores), torch.tensor(ranks))
    assert loss.item() == pytest.approx(sum(means) / len(means), abs=1e-4)


def test_calibration_pair_by_pair(seed):
    scores, ranks = random_rankings(seed)
    bins = {}
    for row, places in zip(scores, ranks):
        for i in range(5):
            for j in range(5):
                if places[i] != places[j]:
                    sure = 1 / (1 + math.exp(row[j] - row[i]))
                    pair = sure, places[i] < places[j]
                    bins.setdefault(min(int(sure * 10), 9), []).append(pair)
    n = sum(map(len, bins.values()))
    wanted = sum(abs(sum(sure for sure, _ in found) - sum(right for _, right in found))
                 for found in bins.values()) / n
    found = train_rm.calibration_error(np.array(scores), np.array(ranks))
    assert found == pytest.approx(wanted, abs=1e-6)
