"""Assignment 1 on random texts, against merging by hand; `seed` is the student's own."""
import random
from collections import Counter

import numpy as np

import bpe


def merged(row, pair):
    out, i = [], 0
    while i < len(row):
        both = tuple(row[i : i + 2]) == pair
        out.append(row[i] + row[i + 1] if both else row[i])
        i += 1 + both
    return out


def test_plain_merges_of_a_random_text(seed):
    rng = random.Random(seed)
    pieces = {bytes(rng.choices(b"abc", k=rng.randint(1, 9))): rng.randint(1, 5) for _ in range(20)}
    rows = [([bytes([byte]) for byte in piece], count) for piece, count in pieces.items()]
    wanted = []
    for _ in range(8):
        counts = Counter()
        for row, count in rows:
            for pair in zip(row, row[1:]):
                counts[pair] += count
        if not counts:
            break
        wanted.append(max(counts, key=lambda pair: (counts[pair], pair)))
        rows = [(merged(row, wanted[-1]), count) for row, count in rows]
    assert bpe.plain_merges(pieces, 264) == wanted


def test_merge_piece_replays_every_merge_in_order(seed):
    rng = random.Random(seed)
    known, merges = [b"a", b"b", b"c"], []
    while len(merges) < 12:
        pair = rng.choice(known), rng.choice(known)
        if pair not in merges and pair[0] + pair[1] not in known:
            merges.append(pair)
            known.append(pair[0] + pair[1])
    piece = bytes(rng.choices(b"abc", k=200))
    row = [bytes([byte]) for byte in piece]
    for pair in merges:
        row = merged(row, pair)
    assert bpe.merge_piece(piece, {pair: rank for rank, pair in enumerate(merges)}) == row


def test_overlaps_of_random_places(seed):
    rng = random.Random(seed)
    places = sorted(rng.sample(range(300), 120))
    for size in (2, 3, 5):
        wanted, free = [], 0
        for place in places:
            if place >= free:
                wanted.append(place)
                free = place + size
        assert bpe.without_overlaps(np.array(places), size).tolist() == wanted
