"""Has this text been seen before, exactly or nearly? In memory that does not grow with the corpus.

in    texts, one after the other
out   for each "exact_duplicate", "near_duplicate" or None
how   MinHash with banding (Broder 1997) finds candidates; the Jaccard similarity of their shingles
      (runs of 5 words) decides
"""
import re
import zlib
from collections import Counter
from hashlib import blake2b

import numpy as np

N_BANDS, BAND_ROWS, SHINGLE, SKETCH = 32, 4, 5, 256
N_HASHES = N_BANDS * BAND_ROWS
JACCARD = 0.79  # two texts are near duplicates from here on
DRAWN = np.random.default_rng(0).integers(1, 2**63, (2, N_HASHES)).astype(np.uint64)
MULTIPLIERS, OFFSETS = DRAWN * np.uint64(2) + np.uint64(1)  # odd


def shingle_hashes(text):
    """The text's hashed shingles, blind to case and punctuation: sorted set, (S,) uint64."""
    words = " ".join(re.findall(r"\w+", text.lower())).encode().split(b" ")
    hashes = np.fromiter(map(zlib.crc32, words), np.uint64, len(words))  # (W,)
    shingles = np.zeros(max(1, len(hashes) - SHINGLE + 1), np.uint64)  # (S,)
    for place in range(min(SHINGLE, len(hashes))):
        added = hashes[place : place + len(shingles)]
        shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + added
    return np.unique((shingles ^ (shingles >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9))


def fingerprint(text):
    """text -> (exact uint64, bands (32,) uint64, sketch (<= 256,) uint64, number of shingles).
    exact: a hash of the words. bands: each joins 4 MinHashes, so two texts of Jaccard similarity J
    share a band with probability J^4 (Broder 1997; Leskovec et al., Mining of Massive Datasets,
    section 3.4). sketch: the least 256 shingle hashes, from which J itself is found.
    """
    words = " ".join(text.lower().split()).encode()
    exact = int.from_bytes(blake2b(words, digest_size=8).digest(), "little")
    shingles = shingle_hashes(text)
    least = np.full(N_HASHES, 2**64 - 1, np.uint64)  # (128,)
    for start in range(0, len(shingles), 1024):  # not all at once: a book would need gigabytes
        some = shingles[start : start + 1024, None]
        least = np.minimum(least, (some * MULTIPLIERS + OFFSETS).min(0))
    joined = (least.reshape(N_BANDS, BAND_ROWS) * MULTIPLIERS[:BAND_ROWS]).sum(1)  # (32,)
    bands = joined * np.uint64(0x94D049BB133111EB)
    return exact, bands ^ (bands >> np.uint64(32)), shingles[:SKETCH], len(shingles)


def similar(sketch, size, other, other_size):
    """Are two texts, given by sketch and number of shingles, near duplicates?
    Exact up to 256 shingles; beyond, the Jaccard similarity is estimated from the least 256 of the
    union (Broder 1997, section 4) with a standard error of 0.025, so two of them are allowed for.
    """
    both = np.intersect1d(sketch, other, assume_unique=True)
    if size <= SKETCH and other_size <= SKETCH:
        return len(both) >= JACCARD * (size + other_size - len(both))
    union = np.union1d(sketch, other)[:SKETCH]
    both = np.intersect1d(both, union, assume_unique=True)
    return len(both) >= (JACCARD - 0.05) * len(union)


class Duplicates:
    """Remembers about the last `window` documents; 1.2 kB for each place, all taken at once. A slot
    holds one document and the newcomer wins it: a full table forgets, and calls none old that is
    new."""

    def __init__(self, window=1 << 16):
        self.window, self.count = window, 0
        self.exact = np.full(window * 16, 1, np.uint64)
        self.bands = np.full((N_BANDS, window), -1, np.int32)  # its hash -> newest document with it
        self.sketches = np.full((window, SKETCH), 1, np.uint32)
        self.sizes = np.full(window, -1, np.int64)

    def find(self, exact, bands, sketch, size):
        """-> "exact_duplicate", "near_duplicate", or None for a new text, which it remembers."""
        slot, here = exact % len(self.exact), self.count % self.window
        if self.exact[slot] == exact:
            return "exact_duplicate"
        sketch = (sketch >> np.uint64(32)).astype(np.uint32)  # half is enough to tell 256 apart
        places = np.arange(N_BANDS), (bands % np.uint64(self.window)).astype(np.int64)  # each (32,)
        shared = Counter(self.bands[places].tolist())
        for other, n_bands in shared.most_common(8):
            if other < 0 or n_bands < 3:
                continue
            other_size = self.sizes[other]
            if similar(sketch, size, self.sketches[other, :other_size], other_size):
                return "near_duplicate"
        self.exact[slot], self.bands[places] = exact, here
        self.sketches[here, : len(sketch)], self.sizes[here] = sketch, size
        self.count += 1
        return None
