"""Assignment 3 on random gradients, steps, lines and maps; `seed` is the student's own."""
import math
import random

import pytest
import torch

import model as M
import train_pretrain
from data import clean


def test_adamw_by_the_formulas_with_gradients_that_come_and_go(seed):
    rng = random.Random(seed)
    beta1, beta2, eps, peak, decay = 0.8, 0.9, 0.01, 0.05, 0.3
    weights = [rng.gauss(0, 1) for _ in range(3)]
    params = [torch.nn.Parameter(torch.tensor([w])) for w in weights]
    optimizer = M.AdamW([{"params": params, "peak": peak, "weight_decay": decay}],
                        betas=(beta1, beta2), eps=eps)
    t, m, v = [0] * 3, [0.0] * 3, [0.0] * 3
    for _ in range(12):
        share = rng.uniform(0.2, 1)
        for i, p in enumerate(params):
            gradient = None if rng.random() < 0.4 else rng.gauss(0, 0.1)
            p.grad = None if gradient is None else torch.tensor([gradient])
            if gradient is None:
                continue
            t[i] += 1
            m[i] = beta1 * m[i] + (1 - beta1) * gradient
            v[i] = beta2 * v[i] + (1 - beta2) * gradient**2
            step = m[i] / (1 - beta1 ** t[i]) / (math.sqrt(v[i] / (1 - beta2 ** t[i])) + eps)
            weights[i] -= share * peak * (decay * weights[i] + step)
        optimizer.step(share)
        assert [p.item() for p in params] == pytest.approx(weights, abs=1e-5)


def test_schedule_at_random_steps(seed):
    rng = random.Random(seed)
    for _ in range(20):
        steps, warmup = rng.randint(30, 200), rng.choice([0, 1, rng.randint(2, 20)])
        step = rng.randrange(steps)
        along = (step - warmup) / (steps - 1 - warmup)
        cosine = 0.1 + 0.45 * (1 + math.cos(math.pi * along))
        for fall, down in (("linear", 1 - along), ("cosine", cosine)):
            wanted = (step + 1) / warmup if step < warmup else down
            assert M.schedule(step, steps, warmup, fall) == pytest.approx(wanted)


def signs(text):
    """(share of the characters in lines that stood before, share of different words)"""
    seen, again, whole = set(), 0, 0
    for line in map(str.strip, text.split("\n")):
        if len(line.split()) >= 3:
            whole += len(line)
            again += len(line) * (line in seen)
            seen.add(line)
    words = text.split()
    return again / max(1, whole), len(set(words)) / max(1, len(words))


def test_repeated_lines_of_random_texts_near_both_limits(seed):
    rng, found = random.Random(seed), []
    vocabulary = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 9))) for _ in range(20)]
    while len(found) < 400:
        lines = [" ".join(rng.choices(vocabulary, k=rng.randint(2, 6))) for _ in range(5)]
        drawn = rng.choices(lines, k=rng.randint(5, 14))
        text = "\n".join(" " * rng.randrange(3) + line + " " * rng.randrange(2) for line in drawn)
        again, different = signs(text)
        if abs(again - 0.5) < 0.1 and different < 0.5 or abs(different - 1 / 3) < 0.05:
            found.append(again > 0.5 and different < 1 / 3)
            assert bool(clean.repeated_lines(text, text.split())) == found[-1], text
    assert 40 < sum(found) < 360


def test_copying_head_on_random_maps(seed):
    generator = torch.Generator().manual_seed(seed)
    rng = random.Random(seed)
    for T in (8, 15, 30):
        ids = [rng.randrange(5) for _ in range(T)]
        maps = torch.rand(2, 3, T, T, generator=generator).tril()
        maps = maps / maps.sum(-1, keepdim=True)
        sums = {(layer, head): 0.0 for layer in range(2) for head in range(3)}
        for t in range(T):
            earlier = [s for s in range(t) if ids[s] == ids[t]]
            for place in sums if earlier else ():
                sums[place] += float(maps[place][t, earlier[-1] + 1])
        found = train_pretrain.copying_head(maps, ids)
        assert tuple(found) == max(sums, key=sums.get)
