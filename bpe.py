"""Lesson 1, the tokenizer: text <-> token ids by byte pair encoding (BPE), written by hand.

in    any text: files, or any iterable of strings (streamed, never all in memory)
out   tokenizer.json: vocabulary and merges, in the file format of the `tokenizers` package
run   python bpe.py FILE... --vocab-size 1024 --out tokenizer.json      trains on the files
      python bpe.py tokenizer.json "some text"                          shows the tokens of a text
see   the first merges, the compression (bytes a token), a sentence cut into coloured tokens

Training (Sennrich et al. 2016, algorithm 1; on bytes, as in GPT-2): cut the text into pieces, roughly words; write each
piece as a row of single bytes; again and again make the most frequent pair of neighbours one new token.
Encoding replays these merges, the earliest learnt first. Names follow `tiktoken`.
"""
import heapq
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack
from functools import lru_cache, partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import regex

# A piece: a contraction; a run of letters, of digits or of signs, each with one space in front; a run of spaces (Radford 2019).
GPT2_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
END, USER, ASSISTANT = "<|endoftext|>", "<|user|>", "<|assistant|>"


# ------------------------------------------------------------------------------------------------------ text -> pieces
# Chunks are larger, and faster to find; each, cut on its own, gives the pieces of the whole text. The GPT-2 pattern with letters,
# digits and signs thrown together cuts a text into chunks. (\x1c-\x1f are signs to `regex` and spaces to `re`.)
SPACE, VISIBLE = r"[^\S\x1c-\x1f]", r"[\S\x1c-\x1f]"
CHUNKS = re.compile(rf" ?{VISIBLE}+|{SPACE}+(?!{VISIBLE})|{SPACE}+")
IDLE_SPACE = re.compile(r" (?!\S)(?<=\s )")
# GPT2_PATTERN as it is on ASCII text, from Python's own `re` in two thirds of the time.
ASCII_PIECES = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?(?:[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]+)|\s+(?!\S)|\s+", re.ASCII)


def to_chunks(text):
    """str -> list of str. A cut before each space is right, and `split` faster than any pattern, unless white space stands on both of its sides (the end counts)."""
    if "\0" in text or IDLE_SPACE.search(text):
        return CHUNKS.findall(text)
    return text.replace(" ", "\0 ").split("\0")


@lru_cache
def splitters(pattern):
    """pattern -> two functions, str -> list of str: text to chunks, chunk to pieces. Raises ValueError on a bad pattern."""
    try:
        find_pieces = regex.compile(pattern).findall
    except regex.error as error:
        raise ValueError(f"bad split pattern {pattern!r}: {error}") from None
    if pattern == GPT2_PATTERN:
        def to_pieces(chunk):
            if chunk.isascii():
                return [chunk] if chunk.removeprefix(" ").isalpha() else ASCII_PIECES.findall(chunk)
            return find_pieces(chunk)
        return to_chunks, to_pieces

    def find_all(text):
        pieces = find_pieces(text)
        if "".join(pieces) != text:
            raise ValueError(f"the split pattern {pattern!r} has a (group), write (?:group), or loses a part of {text[:40]!r}")
        return pieces
    return find_all, lambda chunk: [chunk]


@lru_cache
def special_finder(names):
    """frozenset of names -> compiled pattern; `.split(text)` gives text, name, text, ... The longest of several wins."""
    return re.compile("(" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + ")" if names else "((?!))")


def to_bytes(text):
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20):error.start + 20]
        raise ValueError(f"lone surrogate {text[error.start]!r} in {near!r}: not a character, cannot be encoded") from None


# ------------------------------------------------------------------------------------------------------------- training
OTHER, LETTER, SIGN, WHITE, BLANK, STOP = range(6)                              # kinds of bytes; find_chunks compares them, so the order matters


def byte_kind(byte):
    """bytes of length one -> OTHER: of a character beyond ASCII; SIGN: also digits and controls; WHITE: white space but " ", which is BLANK; STOP: zero."""
    return (STOP if byte == b"\0" else BLANK if byte == b" " else LETTER if byte.isalpha() else WHITE if byte.isspace()
            else SIGN if byte.isascii() else OTHER)


BYTE_KINDS = bytes(byte_kind(bytes([byte])) for byte in range(256))
WIDE_SPACE = re.compile(r"[^\S\0-\x7f]")                                        # white space beyond ASCII
FIRST_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], "<u8")             # masks for the first n of eight


def find_chunks(joined):
    """bytes, texts without WIDE_SPACE, a zero around each -> (n,) uint64, the chunks of up to eight bytes, each read as a number (the zeros
    around the texts, too, as 0), and an iterator of bytes, the longer ones."""
    padded = joined + bytes(8)                                                  # so that eight bytes can be read from every place
    kinds = np.frombuffer(padded.translate(BYTE_KINDS), np.uint8)
    before, here, after = kinds[:-2], kinds[1:-1], kinds[2:]                    # `here` starts at place 1
    behind_word = (before == LETTER) & (here > LETTER)                          # OTHER may be one more letter
    before_space = (here == BLANK) & ((before < WHITE) | (after < WHITE))       # something visible beside it
    cut = behind_word | before_space | (before == STOP) | (here == STOP)
    bounds = np.flatnonzero(cut[:len(joined)]) + 1
    starts, ends = bounds[:-1], bounds[1:]
    short = ends - starts <= 8
    eight_bytes = np.ndarray(len(joined), "<u8", padded, strides=1)             # at each place, the eight bytes from there on
    numbers = eight_bytes[starts[short]] & FIRST_BYTES[(ends - starts)[short]]
    return numbers, (joined[start:end] for start, end in zip(starts[~short].tolist(), ends[~short].tolist()))


def count_batch(texts, pattern, special_tokens, size=1 << 20):
    """list of str -> Counter of pieces (bytes). Equal chunks are counted first and cut into pieces once."""
    to_chunks, to_pieces = splitters(pattern)
    parts = chain.from_iterable(special_finder(special_tokens).split(text)[::2] for text in texts)     # nothing merges across a special token
    numbers, counts = [np.zeros(0, "<u8")], Counter()
    for batch in batched(parts, size):
        simple = []
        for part in batch:
            encoded = to_bytes(part)                                            # refuses lone surrogates on both ways
            if pattern == GPT2_PATTERN and "\0" not in part and (part.isascii() or not WIDE_SPACE.search(part)):
                simple.append(encoded)
            else:
                counts.update(map(str.encode, to_chunks(part)))
        short, longer = find_chunks(b"\0".join([b"", *simple, b""]))
        numbers.append(short)
        counts.update(longer)
    different, times = np.unique(np.concatenate(numbers), return_counts=True)   # equal numbers are found by sorting
    counts.update(dict(zip(different.view("S8").tolist(), times.tolist())))     # S8: bytes, without the zeros at their end
    for chunk in [chunk for chunk in counts if not chunk.removeprefix(b" ").isalpha()]:     # a single word is a piece already
        count = counts.pop(chunk)                                               # b"", the zeros around the texts, has no pieces
        for piece in to_pieces(chunk.decode()):
            counts[piece.encode()] += count
    return counts


def batched(texts, size):
    """Lists of texts, `size` characters or little more in each."""
    batch, length = [], 0
    for text in texts:
        batch.append(text)
        length += len(text)
        if length >= size:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def count_pieces(texts, pattern, special_tokens, workers, report, share=1 << 23):
    """Iterable of str -> Counter of pieces (bytes), the same with any number of workers. They count rounds of text, each a share of so many
    characters; the round being counted and the next one being read are in memory."""
    count, total = partial(count_batch, pattern=pattern, special_tokens=frozenset(special_tokens)), Counter()
    with ExitStack() as stack:
        pool = None
        for batch in batched(texts, workers * share):
            if not pool and workers > 1 and len(batch) > 1 and sum(map(len, batch)) > share // 2:   # else processes would not pay
                ignore_interrupts = (signal.SIGINT, signal.SIG_IGN)             # Ctrl-C is the parent's to report
                pool = stack.enter_context(multiprocessing.get_context("fork").Pool(workers - 1, signal.signal, ignore_interrupts))
            ours, *others = [batch[k::workers] for k in range(workers)] if pool else [batch]
            theirs = pool.imap_unordered(count, others) if pool else []         # they start now, while this process counts its own
            for counts in chain([count(ours)], theirs):
                total.update(counts)
            report(f"counting pieces: {len(total):,} different ones")
    return total


GAP = -1                                                                        # before, between and after the pieces


def lay_out(pieces):
    """dict bytes: count -> row (N,) uint8, all pieces with a 0xFF (no byte of UTF-8) around each; weight (N,), the counts."""
    row = np.frombuffer(b"\xff".join([b"", *pieces, b""]), np.uint8)
    counts = np.fromiter(pieces.values(), np.int64, len(pieces))
    small = np.int32 if counts.max(initial=0) < 1 << 31 else np.int64
    ends = np.flatnonzero(row == 0xFF)
    return row, np.repeat(np.append(0, counts).astype(small), np.diff(ends, prepend=-1))


class TokenRow:
    """All different pieces in one row of tokens, a gap around each: a linked list in arrays, so that a merge moves nothing.

    ids (N,) int16, or int32 for more than 16,384 tokens: the token that starts here, or GAP; left, right (N,): places of its
    neighbours; weight (N,): how often its piece is in the text. A pair's places are those of its first token, an array (n,), rising.
    """

    def __init__(self, row, weight, n_tokens):
        self.index = np.int64 if len(row) < 1 << 22 else np.int32               # half the memory, a little slower
        small = n_tokens <= 1 << 14                                             # NumPy sorts 16 bits without comparing them
        self.mark = 1 << (14 if small else 30)                                  # a bit that no id has; GAP, all bits set, stays itself with it
        self.ids = row.astype(np.int16 if small else np.int32)
        self.weight = weight
        self.ids[row == 0xFF] = GAP
        self.left, self.right = (np.arange(step, len(row) + step, dtype=self.index) for step in (-1, 1))

    def byte_pairs(self):
        """Tally of the pairs a b while all tokens are bytes; the id of a pair is 256 a + b."""
        apart = self.ids == GAP
        i = np.flatnonzero(~(apart[:-1] | apart[1:])).astype(self.index, copy=False)
        ids = self.ids.astype(np.uint16)                                        # pairs of 16 bits: NumPy sorts them without comparing
        return tally((ids[:-1] << 8 | ids[1:])[i], i, self.weight[i])

    def merge(self, a, b, places, new):
        """Makes a b one token, `new`, wherever it still stands. Returns the Tally of its neighbours, an id before it with the bit `mark`."""
        ids, left, right = self.ids, self.left, self.right
        i = places[ids[places] == a]                                            # (n,) where a stands
        j = right[i]                                                            # (n,) where b stands
        both = ids[j] == b
        i, j = i[both], j[both]
        if a == b:
            apart = every_other(i, j)
            i, j = i[apart], j[apart]
        before, after, weight = left[i], right[j], self.weight[i]
        ids[i], ids[j] = new, GAP
        right[i], left[after] = after, i
        neighbours = np.concatenate([ids[after], ids[before] | self.mark])      # a gap before: a new ended there, and counts this one as after
        return tally(neighbours, np.concatenate([i, before]), np.concatenate([weight, weight]))


class Tally(NamedTuple):
    """Different ids, how often they are in the text, and places[start:end] of each: lists (k,), the most frequent last; places (n,)."""
    counts: list
    ids: list
    starts: list
    ends: list
    places: np.ndarray


def tally(ids, places, weight):
    """Three (n,) arrays -> Tally of all but GAP. The places of an id stay in their order."""
    if not len(ids):                                                            # no piece has two bytes
        return Tally([], [], [], [], places)
    order = ids.argsort(kind="stable")                                          # gaps, being -1, come first
    ids = ids[order]
    cuts = np.concatenate([[0], (ids[1:] != ids[:-1]).nonzero()[0] + 1, [len(ids)]])
    if ids[0] == GAP:
        cuts = cuts[1:]
    counts = np.add.reduceat(weight[order], cuts[:-1], dtype=np.int64)
    rising = counts.argsort()
    starts, ends = cuts[:-1][rising], cuts[1:][rising]
    return Tally(counts[rising].tolist(), ids[starts].tolist(), starts.tolist(), ends.tolist(), places[order])


def every_other(i, j):
    """aaa has two pairs a a, one can merge. Pairs from i to j (both rising) -> mask: in a run the first, third, fifth ..."""
    # exercise: which pairs merge when they overlap, from left to right
    index = np.arange(len(i))
    starts = np.append(True, j[:-1] != i[1:])[:len(i)]                          # no pair ends where this one begins
    return (index - np.maximum.accumulate(np.where(starts, index, 0))) % 2 == 0


FALLING = bytes(range(255, -1, -1))


def falling(token):
    """A key that puts the greater byte string first, since heapq gives the least: 255 - byte, and at the end more than any byte."""
    return token.translate(FALLING).decode("latin-1") + "\u0100"


class PairQueue:
    """Pairs of tokens, the most frequent first, of equals the greater pair of byte strings. A pair is counted once, when it comes into being."""

    def __init__(self, mark):
        self.mark = mark                                                        # TokenRow's
        self.keys = [falling(bytes([byte])) for byte in range(256)]             # of each token
        self.heap = []                                                          # pairs that may be the best
        self.rare = []                                                          # heap of tallies: what is left of each, when its most frequent pairs went to `heap`
        self.lost = {}                                                          # (a, b) -> what merges took from its count since it was counted

    def push(self, count, a, b, places):
        heapq.heappush(self.heap, (self.lost.pop((a, b), 0) - count, self.keys[a], self.keys[b], a, b, places))

    def push_best(self, new, found):
        """Of the pairs with the token `new` in a Tally, the most frequent; the others wait. In a large text most of them are too rare to be merged ever."""
        counts, ids, starts, ends, places = found
        best = counts[-1]
        while counts and counts[-1] == best:
            count, x, span = counts.pop(), ids.pop(), slice(starts.pop(), ends.pop())
            self.push(count, *((x ^ self.mark, new) if x & self.mark else (new, x)), places[span])
        if counts:
            heapq.heappush(self.rare, (-counts[-1], new, found))

    def pop(self):
        """The best pair: (count, a, b, places). None where no pair is left."""
        while self.heap or self.rare:
            while self.rare and (not self.heap or self.rare[0][0] <= self.heap[0][0]):
                self.push_best(*heapq.heappop(self.rare)[1:])
            minus_count, _, _, a, b, places = heapq.heappop(self.heap)
            if (a, b) not in self.lost:
                return (-minus_count, a, b, places) if minus_count else None
            self.push(-minus_count, a, b, places)                               # its count fell: back into the line

    def merged(self, a, b, token, found):
        """a b became the next token: the pairs that a or b made with its neighbours become rarer, those that it makes, a Tally, wait for their turn."""
        new = len(self.keys)
        self.keys.append(falling(token))
        for x, less in zip(found.ids, found.counts):                            # x new was x a; new x was b x; new new was b a
            pair = (x ^ self.mark, a) if x & self.mark else (b, a if x == new else x)
            self.lost[pair] = self.lost.get(pair, 0) + less
        if found.counts:
            self.push_best(new, found)


def learn_merges(pieces, n_tokens, report=lambda text: None):
    """dict bytes: count -> list of (bytes, bytes), the merges that lead from 256 bytes to n_tokens tokens (or to no pair left).

    The most frequent pair first, of equals the greater pair of byte strings. Each merge touches only the pairs it changes.
    """
    row, weight = lay_out(pieces)
    del pieces                                                                  # the row holds them in a third of the memory
    row, tokens, merges = TokenRow(row, weight, n_tokens), [bytes([byte]) for byte in range(256)], []
    queue = PairQueue(row.mark)
    counts, ids, starts, ends, places = row.byte_pairs()
    for count, pair, start, end in zip(counts, ids, starts, ends):
        queue.push(count, *divmod(pair, 256), places[start:end])
    # exercise: take the best pair, merge it, tell the queue what this changed, until there are n_tokens or no pair is left
    while len(tokens) < n_tokens and (best := queue.pop()):
        count, a, b, places = best
        merges.append((tokens[a], tokens[b]))
        tokens.append(tokens[a] + tokens[b])                                    # new: no other pair ever makes the same string
        queue.merged(a, b, tokens[-1], row.merge(a, b, places, len(tokens) - 1))
        if len(merges) % 100 == 0:
            report(f"merge {len(merges):,}: {tokens[-1]!r} stands {count:,} times")
    return merges


def train_bpe(texts, vocab_size, special_tokens=(), pattern=GPT2_PATTERN, workers=None, report=lambda text: None):
    """Iterable of str -> Tokenizer of at most vocab_size tokens: 256 bytes, the merges, the special tokens, ids in this order.

    texts is read once; memory follows the number of different pieces. workers: processes that count (default: one a core, 8 at most,
    where the system can fork), the result is the same. report takes a line of progress now and then. Raises ValueError.
    """
    special_tokens = list(dict.fromkeys(special_tokens))
    smallest = 256 + len(special_tokens)
    if isinstance(texts, str):
        raise ValueError("train_bpe takes an iterable of texts, this is one str: write [text]")
    if vocab_size < smallest:
        raise ValueError(f"vocab_size {vocab_size} is too small: bytes and special tokens alone are {smallest}")
    if short := [name for name in special_tokens if len(to_bytes(name)) < 2]:
        raise ValueError(f"special token {short[0]!r} is too short: two bytes or more, as a single byte is a token already")
    if workers is None:
        can_fork = "fork" in multiprocessing.get_all_start_methods() and not multiprocessing.current_process().daemon
        workers = min(8, os.cpu_count() or 1) if can_fork else 1
    merges = learn_merges(count_pieces(texts, pattern, special_tokens, workers, report), vocab_size - len(special_tokens), report)
    vocab = {token: id for id, token in enumerate([bytes([byte]) for byte in range(256)] + [a + b for a, b in merges])}
    return Tokenizer(vocab, merges, {name: len(vocab) + i for i, name in enumerate(special_tokens)}, pattern)


# ------------------------------------------------------------------------------------------------- encoding and decoding
def merge_piece(piece, ranks):
    """bytes -> list of bytes, its tokens: again and again the pair learnt first merges, of equals the leftmost. O(n log n).

    >>> merge_piece(b"lower", {(b"w", b"e"): 0, (b"l", b"o"): 1, (b"lo", b"we"): 2})
    [b'lowe', b'r']
    """
    tokens, n = [piece[i:i + 1] for i in range(len(piece))], len(piece)
    left, right = list(range(-1, n - 1)), list(range(1, n + 1))
    queue = [(ranks[pair], i) for i, pair in enumerate(zip(tokens, tokens[1:])) if pair in ranks]
    heapq.heapify(queue)
    # exercise: merge the best pair, link its neighbours, queue the two pairs it makes with them
    while queue:
        rank, i = heapq.heappop(queue)
        j = right[i]
        if tokens[i] is None or j >= n or ranks.get((tokens[i], tokens[j])) != rank:
            continue                                                            # one of the two was merged since
        tokens[i], tokens[j] = tokens[i] + tokens[j], None
        right[i] = right[j]
        if right[i] < n:
            left[right[i]] = i
        for first, second in (left[i], i), (i, right[i]):
            if first >= 0 and second < n and (tokens[first], tokens[second]) in ranks:
                heapq.heappush(queue, (ranks[tokens[first], tokens[second]], first))
    return [token for token in tokens if token is not None]


class ChunkCache(dict):
    """chunk -> its ids as bytes of a numpy array; a missing chunk is encoded when first asked for. Bounded."""

    def __init__(self, encode, most=1 << 19):
        self.encode, self.most = encode, most

    def __missing__(self, chunk):
        ids = self.encode(chunk)
        if len(self) >= self.most:
            self.clear()
        if len(chunk) < 64:
            self[chunk] = ids
        return ids


class Tokenizer:
    """vocab: dict bytes -> id; merges: list of (bytes, bytes), first learnt first; special_tokens: dict name -> id."""

    def __init__(self, vocab, merges, special_tokens=None, pattern=GPT2_PATTERN):
        self.vocab, self.merges, self.special_tokens, self.pattern = vocab, merges, dict(special_tokens or {}), pattern
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.tokens = {id: token for token, id in vocab.items()} | {id: to_bytes(name) for name, id in self.special_tokens.items()}
        self.n_vocab = max(self.tokens) + 1
        self.dtype = np.uint16 if self.n_vocab <= 1 << 16 else np.uint32
        self.raw_ids = {token: np.array(id, self.dtype).tobytes() for token, id in vocab.items()}
        self.to_chunks, self.to_pieces = splitters(pattern)
        self.cache = ChunkCache(self.encode_chunk)

    def encode_chunk(self, chunk):
        pieces = self.to_pieces(chunk)
        if len(pieces) > 1:
            return b"".join(map(self.cache.__getitem__, pieces))
        return b"".join(map(self.raw_ids.__getitem__, merge_piece(to_bytes(chunk), self.ranks)))

    def encode_to_bytes(self, text):
        """The fast path: a text in Python touches each chunk three times in C (find, look up, join) and no token at all."""
        return b"".join(map(self.cache.__getitem__, self.to_chunks(text)))

    def encode_ordinary(self, text):
        """str -> list of int. A control string in the text is ordinary text. Raises ValueError on a lone surrogate."""
        return np.frombuffer(self.encode_to_bytes(text), self.dtype).tolist()

    def allowed(self, allowed_special):
        names = frozenset(self.special_tokens if allowed_special == "all" else allowed_special)
        if isinstance(allowed_special, str) and allowed_special != "all" or not names <= set(self.special_tokens):
            raise ValueError(f'allowed_special {allowed_special!r}: "all", or a collection out of {list(self.special_tokens)}')
        return names

    def encode(self, text, allowed_special=()):
        """str -> list of int. Only the special tokens in allowed_special ("all", or names) become control ids; the longest wins."""
        ids = []
        for i, part in enumerate(special_finder(self.allowed(allowed_special)).split(text)):
            ids += [self.special_tokens[part]] if i % 2 else self.encode_ordinary(part)
        return ids

    def encode_iterable(self, texts, allowed_special=()):
        """Iterable of str, consecutive parts of one text -> iterator of int: lazily, the ids of the joined text."""
        names = self.allowed(allowed_special)
        held, fresh = "", []
        for text in texts:
            fresh.append(text)
            if sum(map(len, fresh)) >= len(held):                               # a long rest is looked at again when it doubled
                held, fresh = held + "".join(fresh), []
                cut = self.safe_cut(held, names)
                yield from self.encode(held[:cut], names)
                held = held[cut:]
        yield from self.encode(held + "".join(fresh), names)

    def safe_cut(self, text, names):
        """The last place where `text` is cut whatever follows it: after a whole special token, or after a word, before a space."""
        limit = len(text) - max(map(len, names), default=1) + 1                 # a special token may begin from here on
        ends = [match.end() for match in special_finder(names).finditer(text) if match.start() < limit]
        start = ends[-1] if ends else 0
        word_end = VISIBLE if self.pattern == GPT2_PATTERN else r"[^\W_]"       # GPT-4's signs take the line's end with them
        match = re.compile(rf"(?s:.*){word_end}(?={SPACE})").match(text, start, max(limit + 1, start))
        return match.end() if match else start

    def encode_corpus(self, documents):
        """Iterable of str -> (n,) numpy uint16, uint32 from 65,537 tokens on: each document's ordinary ids and the end token."""
        if isinstance(documents, str):
            raise ValueError("encode_corpus takes an iterable of documents, this is one str: write [text]")
        if END not in self.special_tokens:
            raise ValueError(f"this tokenizer has no {END}: train it with special_tokens=[{END!r}]")
        ids, end = bytearray(), np.array(self.special_tokens[END], self.dtype).tobytes()
        for document in documents:
            ids += self.encode_to_bytes(document)
            ids += end
        return np.frombuffer(ids, self.dtype)

    def decode_bytes(self, ids):
        """Iterable of int (list, array, tensor) -> bytes, exactly. Raises ValueError on an unknown id."""
        try:
            return b"".join([self.tokens[id] for id in (ids.tolist() if hasattr(ids, "tolist") else ids)])
        except KeyError as error:
            raise ValueError(f"unknown token id {error.args[0]!r}: this vocabulary has 0 to {self.n_vocab - 1}") from None

    def decode(self, ids):
        """Iterable of int -> str; bytes that are no UTF-8 become U+FFFD. Raises ValueError on an unknown id."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    # --------------------------------------------------------------------------------------------------------- files
    def save(self, path):
        """Writes tokenizer.json: the `tokenizers` package reads it and gives the same ids."""
        vocab = {to_chars(token): id for token, id in self.vocab.items()}
        content = file_content(vocab, [[to_chars(a), to_chars(b)] for a, b in self.merges], self.special_tokens, self.pattern)
        temporary = f"{path}.{os.getpid()}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
        os.replace(temporary, path)                                             # never half a file

    @classmethod
    def load(cls, path):
        """tokenizer.json -> Tokenizer. Raises ValueError where it is broken, or is more than byte-level BPE."""
        content = read_json(path)
        try:
            split, post = (content.get(name) or {"type": None} for name in ("pre_tokenizer", "post_processor"))
            pattern = split["pretokenizers"][0]["pattern"]["Regex"] if split["type"] == "Sequence" else GPT2_PATTERN
            specials = {token["content"]: token["id"] for token in content["added_tokens"]}
            content |= {"pre_tokenizer": split, "post_processor": None if post["type"] == "ByteLevel" else post}  # it only moves offsets
            ours = dict(settings(file_content({}, [], specials, pattern)))
            for name, value in settings(content):
                if (value or None) != (ours.get(name) or None):
                    raise ValueError(f"{path} is not plain byte-level BPE: {name} is {json.dumps(value)}")
            merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in content["model"]["merges"]]
            return cls.from_chars(content["model"]["vocab"], merges, specials, pattern, path)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"{path} is not a tokenizer.json: {type(error).__name__} {error}") from None

    @classmethod
    def from_gpt2(cls, vocab_json, merges_txt):
        """The two files GPT-2 is published as, vocab.json (or encoder.json) and merges.txt (or vocab.bpe) -> Tokenizer."""
        with open(merges_txt, encoding="utf-8") as file:
            lines = file.read().split("\n")
        merges = [line.split(" ") for line in lines[lines[0].startswith("#version"):] if line]
        vocab, made = read_json(vocab_json), {*CHAR_TO_BYTE, *map("".join, merges)}
        specials = {token: id for token, id in vocab.items() if token not in made}  # what no merge makes: <|endoftext|>
        return cls.from_chars(vocab, merges, specials, GPT2_PATTERN, merges_txt)

    @classmethod
    def from_chars(cls, vocab, merges, specials, pattern, path):
        """Vocabulary and merges as the files write them -> Tokenizer."""
        for number, pair in enumerate(merges, start=1):
            if len(pair) != 2:
                raise ValueError(f"{path}: merge {number} is {pair}, not two tokens")
            if missing := [token for token in (*pair, "".join(pair)) if token not in vocab]:
                raise ValueError(f"{path}: merge {number} needs {missing[0]!r}, which is not in the vocabulary")
        for token in [token for token in vocab if token not in specials]:
            if foreign := [char for char in token if char not in CHAR_TO_BYTE]:
                raise ValueError(f"{path}: token {token!r} has {foreign[0]!r}, which stands for no byte: not byte-level BPE")
        if missing := [byte for byte, char in enumerate(BYTE_TO_CHAR) if char not in vocab]:
            raise ValueError(f"{path}: byte {missing[0]} has no token, texts with it would lose it")
        if len({id for id in vocab.values() if type(id) is int and id >= 0}) < len(vocab):
            raise ValueError(f"{path}: ids are not all different whole numbers")
        tokens = {to_raw(token): id for token, id in vocab.items() if token not in specials}
        return cls(tokens, [(to_raw(a), to_raw(b)) for a, b in merges], specials, pattern)


# GPT-2 writes any byte string as visible characters (its encoder.py): a printable byte as itself, the others from U+0100 on.
HIDDEN = [*range(0, 0x21), *range(0x7F, 0xA1), 0xAD]
BYTE_TO_CHAR = [chr(256 + HIDDEN.index(byte)) if byte in HIDDEN else chr(byte) for byte in range(256)]
CHAR_TO_BYTE = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}


def to_chars(token):
    return "".join(BYTE_TO_CHAR[byte] for byte in token)


def to_raw(chars):
    return bytes(CHAR_TO_BYTE[char] for char in chars)


def file_content(vocab, merges, specials, pattern):
    """What tokenizer.json says, as Python values."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": pattern == GPT2_PATTERN}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None, "decoder": level,
            "added_tokens": [{"id": id, "content": name, **flags} for name, id in specials.items()],
            "pre_tokenizer": level if level["use_regex"] else {"type": "Sequence", "pretokenizers": [split, level]},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {**vocab, **specials}, "merges": merges}}


def settings(content, where=""):
    """Nested dicts and lists -> (name, value) of each setting that changes ids: "model dropout", None."""
    if not isinstance(content, (dict, list)):
        yield where.strip(), content
        return
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if key not in ("version", "decoder", "trim_offsets", "special", "normalized", "unk_token", "fuse_unk", "vocab", "merges"):
            yield from settings(value, f"{where} {key}")


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


# --------------------------------------------------------------------------------------------------------- command line
def read_texts(paths):
    """Files -> str of about a million characters each; what is no UTF-8 becomes U+FFFD, much of it raises ValueError."""
    for path in paths:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            while text := file.read(1 << 20):
                if text.count("\ufffd") + text.count("\0") > len(text) / 10:
                    raise ValueError(f"{path} is not text in UTF-8: give it as that")
                yield text + file.readline(1 << 16)


def painted(tokenizer, ids):
    """A text as its tokens: on a terminal coloured, elsewhere with bars between."""
    tokens = [tokenizer.decode_bytes([id]).decode(errors="backslashreplace").replace("\n", "\\n") for id in ids]
    if not sys.stdout.isatty():
        return "|".join(tokens)
    return "".join(f"\033[30;48;5;{(223, 158, 189, 225, 195)[i % 5]}m{token}" for i, token in enumerate(tokens)) + "\033[0m"


def train_command(args):
    def report(line):
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    if any(os.path.exists(args.out) and os.path.samefile(args.out, path) for path in args.input):
        raise ValueError(f"--out {args.out} is one of the texts: give another name")
    if os.path.isdir(args.out) or not os.path.isdir(os.path.dirname(args.out) or "."):      # before the work, not after it
        raise ValueError(f"--out {args.out}: a file in a folder that exists, please")
    start = time.perf_counter()
    tokenizer = train_bpe(read_texts(args.input), args.vocab_size, args.special, report=report)
    seconds = time.perf_counter() - start
    report("")
    sample = next(read_texts(args.input), "")
    if not tokenizer.merges:
        raise ValueError(f"{' '.join(args.input)}: nothing to learn, no text has two letters side by side")
    ids = tokenizer.encode_ordinary(sample)
    tokenizer.save(args.out)
    print("first merges:", " ".join(repr(to_chars(a + b)) for a, b in tokenizer.merges[:12]), "(Ġ is a space, Ċ a line's end)")
    print(f"{tokenizer.n_vocab} tokens in {seconds:.1f} s, {len(sample.encode()) / len(ids):.2f} bytes a token -> {args.out}")
    print(painted(tokenizer, tokenizer.encode_ordinary(" ".join(sample.split())[:100])))


def main():
    import run                                                                  # here alone: encoding and training need no torch
    parser = run.OneLineParser(prog="bpe.py", description=__doc__, formatter_class=run.argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="+", help="text files to train on; or one tokenizer.json and a text to show")
    parser.add_argument("--vocab-size", type=int, default=1024, help="bytes, merges and special tokens (default 1024)")
    parser.add_argument("--out", default="tokenizer.json", help="where the tokenizer goes (default tokenizer.json)")
    parser.add_argument("--special", nargs="*", default=[END, USER, ASSISTANT], help=f"default {END} {USER} {ASSISTANT}")
    args = parser.parse_args()
    try:
        if len(args.input) == 2 and args.input[0].endswith(".json") and not os.path.exists(args.input[1]):
            tokenizer = Tokenizer.load(args.input[0])
            ids = tokenizer.encode_ordinary(args.input[1])
            print(painted(tokenizer, ids), f"\n{len(ids)} tokens:", *ids)
        else:
            train_command(args)
    except ValueError as error:
        raise run.UserError(error) from None


if __name__ == "__main__":
    import run
    run.main(main)
