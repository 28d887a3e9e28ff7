"""Lesson 1, the tokenizer: text <-> token ids by byte pair encoding (BPE), written by hand.

in    any text: files, or any iterable of strings (streamed, never all in memory)
out   tokenizer.json: vocabulary and merges, in the file format of the `tokenizers` package
run   python bpe.py FILE... --vocab-size 1024 --out tokenizer.json      trains on the files
      python bpe.py tokenizer.json "some text"                          shows the tokens of a text
see   the first merges, the compression (bytes a token), a sentence cut into coloured tokens

Training (Sennrich et al. 2016, algorithm 1; on bytes, as in GPT-2): cut the text into pieces,
roughly words; write each piece as a row of single bytes; again and again make the most frequent
pair of neighbours one new token. Encoding replays these merges, the earliest learnt first.
`# exercise:` marks what a student may write anew: to the function's end (lessons/exercise.py).
"""
import heapq
import json
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import regex

END, USER, ASSISTANT = "<|endoftext|>", "<|user|>", "<|assistant|>"
BYTES = [bytes([byte]) for byte in range(256)]


# ---------------------------------------------------------------------------------- text -> pieces
GPT2_PATTERN = "|".join([               # what a piece is (Radford et al. 2019), the first that fits
    "'s|'t|'re|'ve|'m|'ll|'d",          # the end of a contraction
    r" ?\p{L}+",                        # letters, digits, or other signs,
    r" ?\p{N}+",                        # each with one space in front
    r" ?[^\s\p{L}\p{N}]+",
    r"\s+(?!\S)|\s+"])                  # white space, but for the last before something visible
# On ASCII text Python's own `re` finds the same, in two thirds of the time.
ASCII_PATTERN = GPT2_PATTERN.replace(r"\p{L}\p{N}", "A-Za-z0-9")
ASCII_PATTERN = ASCII_PATTERN.replace(r"\p{L}", "[A-Za-z]").replace(r"\p{N}", "[0-9]")
FIND_ASCII = re.compile(ASCII_PATTERN, re.ASCII)


def find_pieces(text, pattern):
    """str -> list of str. Raises ValueError on a pattern that is none, or loses text."""
    if pattern == GPT2_PATTERN and text.isascii():
        return FIND_ASCII.findall(text)
    try:
        pieces = regex.findall(pattern, text)
    except regex.error as error:
        raise ValueError(f"bad split pattern {pattern!r}: {error}") from None
    if not all(isinstance(piece, str) for piece in pieces[:1]) or "".join(pieces) != text:
        raise ValueError(f"split pattern {pattern!r} loses text, or has (groups): use (?:)")
    return pieces


def special_pattern(names):
    """Pattern of any of these names; of those that begin at one place the longest wins."""
    longest_first = sorted(names, key=len, reverse=True)
    return "(" + "|".join(map(re.escape, longest_first)) + ")" if names else "((?!))"  # never fits


def count_pieces(texts, pattern, special_tokens, report):
    """Iterable of str -> dict bytes: count. No piece reaches across a special token."""
    names = special_pattern(special_tokens)
    counts = Counter()
    for text in texts:
        refuse_surrogates(text)
        for between in re.split(names, text)[::2]:      # without the names
            counts.update(find_pieces(between, pattern))
        report(f"counting pieces: {len(counts):,} different ones")
    return {piece.encode(): count for piece, count in counts.items()}


# -------------------------------------------------------------------------- training, as it is told
def plain_merges(pieces, n_tokens):
    """dict bytes: count -> list of (bytes, bytes), the merges from 256 to n_tokens tokens; fewer
    if no pair is left. Of equally frequent pairs the greater one, as byte strings.

    >>> plain_merges({b"hug": 10, b"pug": 5, b"pun": 12, b"bun": 4}, 258)
    [(b'u', b'n'), (b'u', b'g')]
    """
    rows = {tuple(BYTES[byte] for byte in piece): count for piece, count in pieces.items()}
    merges = []
    # exercise: count all pairs of neighbours, merge the most frequent in every row, again
    while len(merges) < n_tokens - 256 and (counts := count_pairs(rows)):
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        rows = {merge_row(row, best): count for row, count in rows.items()}
    return merges


def count_pairs(rows):
    """dict row: how often it is in the text -> dict pair of neighbours: how often."""
    counts = defaultdict(int)
    for row, count in rows.items():
        for pair in zip(row, row[1:]):
            counts[pair] += count
    return counts


def merge_row(row, pair):
    """(b"a", b"b", b"a"), (b"a", b"b") -> (b"ab", b"a"): from left to right."""
    merged = []
    for token in row:
        if merged and (merged[-1], token) == pair:
            merged[-1] += token             # longer than pair[0] now, so it is not merged again
        else:
            merged.append(token)
    return tuple(merged)


# -------------------------------------------------------- training, the same a hundred times faster
GAP = 0xFF                                  # no byte of any UTF-8 text: here no token is read


class GreatestFirst(bytes):
    """heapq gives the least first; of equally frequent pairs the greatest one is to merge."""
    __lt__ = bytes.__gt__


class Row:
    """All different pieces in one row, a GAP around each, so that a merge moves nothing.

    ids (N,): a token writes its id at its first and its last byte, where both neighbours can read
    it; between the two stands GAP. weight (N,): how often the piece is in the text. places: for
    each token where it was made, an array (n,), rising; where it was merged since, ids tells.
    tokens: the bytes of each.
    """

    def __init__(self, pieces):
        row = np.frombuffer(b"\xff".join([b"", *pieces, b""]), np.uint8)
        self.ids = row.astype(np.int32)
        self.weight = np.repeat([0, *pieces.values()], [1, *(len(piece) + 1 for piece in pieces)])
        self.places = [np.flatnonzero(row == byte) for byte in range(256)]
        self.tokens = [GreatestFirst(byte) for byte in BYTES]

    def merge(self, a, b):
        """x a b y -> x new y, everywhere -> list of (pair that was, pair that is, how often)."""
        ids, new = self.ids, len(self.tokens)
        length = len(self.tokens[a])
        a_at = self.places[a]
        a_at = self.places[a] = a_at[ids[a_at] == a]        # here those merged since are weeded out
        a_at = a_at[ids[a_at + length] == b]                # those with b behind them
        if a == b:
            a_at = without_overlaps(a_at, 2 * length)
        b_at = a_at + length
        y_at = b_at + len(self.tokens[b])
        weight = self.weight[a_at].tolist()
        # The right neighbours are read before writing, the left ones after. In abab, 97 98 97 98
        # to 256 256 256 256, the pair between goes from 98 97 to 256 97, then to 256 256.
        after = tally(ids[y_at], weight)
        ids[b_at - 1] = ids[b_at] = GAP                     # the inner ends first: a token of one
        ids[a_at] = ids[y_at - 1] = new                     # byte is both, its first and its last
        before = tally(ids[a_at - 1], weight)
        self.places.append(a_at)
        self.tokens.append(GreatestFirst(self.tokens[a] + self.tokens[b]))
        return ([((b, y), (new, y), count) for y, count in after.items()] +
                [((x, a), (x, new), count) for x, count in before.items()])


def without_overlaps(places, size):
    """Rising places of pairs of this size -> those that can merge: in aaa only the first a a."""
    # exercise: from left to right, leave out what begins before the last one taken has ended
    taken = []
    for place in places.tolist():
        if not taken or place >= taken[-1] + size:
            taken.append(place)
    return np.array(taken, np.int64)


def tally(ids, weights):
    """Array (n,), list (n,) -> dict id: the sum of its weights, without GAP."""
    sums = defaultdict(int)
    for id, weight in zip(ids.tolist(), weights):
        sums[id] += weight
    sums.pop(GAP, None)
    return sums


def learn_merges(pieces, n_tokens, report=lambda line: None):
    """What plain_merges gives. Each pair is counted once; then a merge corrects the counts of the
    few pairs that it changes. In the heap a count may be out of date: too high, never too low."""
    row, merges, counts = Row(pieces), [], count_pairs(pieces)      # pieces are bytes, so of ids

    def entry(a, b):
        return -counts[a, b], row.tokens[a], row.tokens[b], a, b

    heap = sorted(entry(a, b) for a, b in counts)       # what is sorted is a heap, too
    while len(row.tokens) < n_tokens and heap and heap[0][0] < 0:
        minus_count, a_bytes, b_bytes, a, b = heap[0]
        if counts[a, b] != -minus_count:        # its count fell: back into the line
            heapq.heapreplace(heap, entry(a, b))
            continue
        heapq.heappop(heap)                     # it is gone, and so is its count
        merges.append((bytes(a_bytes), bytes(b_bytes)))
        for pair_was, pair_is, count in row.merge(a, b):
            counts[pair_was] -= count
            counts[pair_is] += count
            heapq.heappush(heap, entry(*pair_is))
        if len(merges) % 100 == 0:
            report(f"merge {len(merges):,}: {a_bytes + b_bytes!r} stands {-minus_count:,} times")
    return merges


def train_bpe(texts, vocab_size, special_tokens=(), pattern=GPT2_PATTERN, report=lambda line: None):
    """Iterable of str -> Tokenizer of at most vocab_size tokens: bytes, merges, special tokens.

    texts is read once; memory follows its different pieces. Raises ValueError.
    """
    special_tokens = list(dict.fromkeys(special_tokens))
    check_sizes(texts, vocab_size, special_tokens)
    pieces = count_pieces(texts, pattern, special_tokens, report)
    merges = learn_merges(pieces, vocab_size - len(special_tokens), report)
    vocab = {token: id for id, token in enumerate(BYTES + [a + b for a, b in merges])}
    specials = {name: len(vocab) + i for i, name in enumerate(special_tokens)}
    return Tokenizer(vocab, merges, specials, pattern)


# --------------------------------------------------------------------------- encoding and decoding
def merge_piece(piece, ranks):
    """bytes -> list of bytes, its tokens: again and again the pair learnt first. O(n log n).

    >>> merge_piece(b"lower", {(b"w", b"e"): 0, (b"l", b"o"): 1, (b"lo", b"we"): 2})
    [b'lowe', b'r']
    """
    tokens = [piece[i : i + 1] for i in range(len(piece) + 1)]  # each at its first byte; b"" last
    ends = tokens.copy()                                        # each at its last byte
    pairs = enumerate(zip(tokens, tokens[1:]))
    heap = sorted((ranks[pair], i, i + 1) for i, pair in pairs if pair in ranks)
    # exercise: merge the best pair, write it at its first and last byte, queue the pairs it makes
    while heap:
        rank, i, j = heapq.heappop(heap)
        if ranks.get((tokens[i], tokens[j])) != rank:
            continue                                # one was merged since, and is longer now
        new, k = tokens[i] + tokens[j], j + len(tokens[j])
        tokens[i] = ends[k - 1] = new
        tokens[j] = b""                             # no token begins here any more
        before, after = ends[i - 1], tokens[k]      # b"" where there is none: ends[-1] is b""
        if (before, new) in ranks:
            heapq.heappush(heap, (ranks[before, new], i - len(before), i))
        if (new, after) in ranks:
            heapq.heappush(heap, (ranks[new, after], i, k))
    return [token for token in tokens if token]


# A stretch of text goes from one space with something visible behind it to the next. GPT2_PATTERN
# ends a piece there, whatever stands around, so a stretch is a piece or a few, and to look up
# stretches is three times as fast as to find the pieces again.
STRETCH_BORDER = re.compile(r" (?=\S)")


class Memory(dict):
    """str -> function(str), worked out when first asked for; when full it empties itself."""

    def __init__(self, function, most=1 << 19):
        self.function, self.most = function, most

    def __missing__(self, text):
        value = self.function(text)
        if len(self) >= self.most:
            self.clear()
        if len(text) < 64:
            self[text] = value
        return value


class Tokenizer:
    """vocab: dict bytes -> id; merges: list of (bytes, bytes); special_tokens: dict name -> id."""

    def __init__(self, vocab, merges, special_tokens=None, pattern=GPT2_PATTERN):
        self.vocab, self.merges, self.pattern = vocab, merges, pattern
        self.special_tokens = dict(special_tokens or {})
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.tokens = {id: token for token, id in vocab.items()}
        self.tokens |= {id: name.encode() for name, id in self.special_tokens.items()}
        self.n_vocab = max(self.tokens) + 1
        self.dtype = np.uint16 if self.n_vocab <= 1 << 16 else np.uint32
        self.packed = {token: np.array(id, self.dtype).tobytes() for token, id in vocab.items()}
        self.memory = Memory(self.encode_after_space)

    def encode_stretch(self, stretch):
        """str -> its ids as the bytes of a numpy array: these are quick to join."""
        packed = []
        for piece in find_pieces(stretch, self.pattern):
            packed += [self.packed[token] for token in merge_piece(piece.encode(), self.ranks)]
        return b"".join(packed)

    def encode_after_space(self, text):
        return self.encode_stretch(" " + text)

    def encode_ordinary(self, text):
        """str -> list of int. A control string in the text is ordinary text."""
        refuse_surrogates(text)
        first, *stretches = STRETCH_BORDER.split(text) if self.pattern == GPT2_PATTERN else [text]
        packed = self.encode_stretch(first) + b"".join(map(self.memory.__getitem__, stretches))
        return np.frombuffer(packed, self.dtype).tolist()

    def allowed(self, allowed_special):
        names = frozenset(self.special_tokens if allowed_special == "all" else allowed_special)
        if not names <= set(self.special_tokens):
            raise ValueError(f"allowed_special {allowed_special!r} is not 'all', nor names of mine")
        return names

    def encode(self, text, allowed_special=()):
        """str -> list of int; of special tokens only those in allowed_special ("all", or names)."""
        names, ids = self.allowed(allowed_special), []
        for part in re.split(special_pattern(names), text):
            ids += [self.special_tokens[part]] if part in names else self.encode_ordinary(part)
        return ids

    def encode_iterable(self, texts, allowed_special=()):
        """Iterable of str, parts of one text -> iterator of int: the joined text's ids. Lazily;
        under another pattern than GPT-2's only from special token to special token."""
        names = self.allowed(allowed_special)
        for text in cut_safely(texts, names, self.pattern):
            yield from self.encode(text, names)

    def encode_corpus(self, documents):
        """Iterable of str -> (n,) numpy array, uint16 if the ids fit: an END after each text."""
        if isinstance(documents, str):
            raise ValueError("encode_corpus takes an iterable of texts, this is one: write [text]")
        if END not in self.special_tokens:
            raise ValueError(f"this tokenizer has no {END}: train it with special_tokens=[{END!r}]")
        end = self.special_tokens[END]
        arrays = [np.array([*self.encode_ordinary(text), end], self.dtype) for text in documents]
        return np.concatenate([np.zeros(0, self.dtype), *arrays])

    def decode_bytes(self, ids):
        """Iterable of int (list, array, tensor) -> bytes. Raises ValueError on an unknown id."""
        try:
            return b"".join([self.tokens[int(id)] for id in ids])
        except KeyError as error:
            raise ValueError(f"unknown token id {error}: not in 0 to {self.n_vocab - 1}") from None

    def decode(self, ids):
        """Iterable of int -> str; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def save(self, path):
        """Writes tokenizer.json: the `tokenizers` package reads it and gives the same ids."""
        vocab = {to_chars(token): id for token, id in self.vocab.items()}
        merges = [[to_chars(a), to_chars(b)] for a, b in self.merges]
        content = file_content(vocab, merges, self.special_tokens, self.pattern)
        temporary = Path(f"{path}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
        temporary.replace(path)             # never half a file

    @classmethod
    def load(cls, path):
        """tokenizer.json -> Tokenizer. Raises ValueError where it is not byte-level BPE alone."""
        content = read_json(path)
        try:
            return cls(*parsed(content))
        except ValueError as error:
            raise ValueError(f"{path} is not plain byte-level BPE: {error}") from None
        except (LookupError, TypeError, AttributeError) as error:
            error = f"{type(error).__name__} {error}"
            raise ValueError(f"{path} is not a tokenizer.json: {error}") from None

    @classmethod
    def from_gpt2(cls, vocab_json, merges_txt):
        """GPT-2's two published files, vocab.json and merges.txt -> Tokenizer."""
        vocab, lines = read_json(vocab_json), Path(merges_txt).read_text("utf-8").split("\n")
        merges = [line.split(" ") for line in lines if line and not line.startswith("#version:")]
        made = {*CHAR_TO_BYTE, *map("".join, merges)}
        specials = {token: id for token, id in vocab.items() if token not in made}
        try:
            return cls(*from_chars(vocab, merges, specials, GPT2_PATTERN))
        except ValueError as error:
            raise ValueError(f"{merges_txt}: {error}") from None


# ---------------------------------------------------------------------- what no text may do to us
def check_sizes(texts, vocab_size, special_tokens):
    least = 256 + len(special_tokens)
    if isinstance(texts, str):
        raise ValueError("train_bpe takes an iterable of texts, this is one str: write [text]")
    if vocab_size < least:
        raise ValueError(f"vocab_size {vocab_size} is too small: bytes, special tokens: {least}")
    if short := [name for name in special_tokens if len(name.encode()) < 2]:
        raise ValueError(f"special token {short[0]!r} is too short: one byte is a token already")


def refuse_surrogates(text):
    try:
        text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.start + 20]
        surrogate = text[error.start]
        raise ValueError(f"lone surrogate {surrogate!r} in {near!r} is no character") from None


def cut_safely(texts, names, pattern):
    """A text in parts as they come -> in parts that can be encoded one by one: cut behind a special
    token, or, under GPT-2's pattern, at a stretch's border."""
    held, fresh, longest = "", "", max(map(len, names), default=0)
    for text in texts:
        refuse_surrogates(text)
        fresh += text
        if len(fresh) < len(held):
            continue                        # too early to look again
        held, fresh = held + fresh, ""
        limit = len(held) - longest         # a name that begins behind this may go on
        found = [name.span() for name in re.finditer(special_pattern(names), held)]
        cuts = [0, *(end for start, end in found if start <= limit)]
        if pattern == GPT2_PATTERN:
            borders = STRETCH_BORDER.finditer(held, cuts[-1], max(cuts[-1], limit + 2))
            cuts += [border.start() for border in borders]
        yield held[: cuts[-1]]
        held = held[cuts[-1] :]
    yield held + fresh


# ------------------------------------------------------------------------------------------- files
# GPT-2 writes any bytes as visible characters: a printable byte as itself, others from U+0100 on.
HIDDEN = [*range(0, 0x21), *range(0x7F, 0xA1), 0xAD]
BYTE_TO_CHAR = [chr(256 + HIDDEN.index(b)) if b in HIDDEN else chr(b) for b in range(256)]
CHAR_TO_BYTE = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}


def to_chars(token):
    return "".join(BYTE_TO_CHAR[byte] for byte in token)


def to_raw(chars):
    if foreign := [char for char in chars if char not in CHAR_TO_BYTE]:
        raise ValueError(f"token {chars!r} has {foreign[0]!r}, which stands for no byte")
    return bytes(CHAR_TO_BYTE[char] for char in chars)


def read_json(path):
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


def file_content(vocab, merges, specials, pattern):
    """What tokenizer.json says, as Python values."""
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    added = [{"id": id, "content": name, **flags, "special": True} for name, id in specials.items()]
    gpt2 = pattern == GPT2_PATTERN
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=gpt2)
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    none = ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"]
    false = ["fuse_unk", "byte_fallback", "ignore_merges"]
    return {"version": "1.0", **dict.fromkeys(["truncation", "padding", "normalizer"]),
            "post_processor": None, "decoder": level, "added_tokens": added,
            "pre_tokenizer": level if gpt2 else {"type": "Sequence", "pretokenizers": [cut, level]},
            "model": {"type": "BPE", **dict.fromkeys(none), **dict.fromkeys(false, False),
                      "vocab": {**vocab, **specials}, "merges": merges}}


def parsed(content):
    """-> vocab, merges, specials, pattern. Each setting must be as we would write it ourselves."""
    split = content.get("pre_tokenizer") or {"type": None}
    post = content.get("post_processor") or {"type": None}
    model, pattern = content["model"], GPT2_PATTERN
    if split["type"] == "Sequence":
        pattern = split["pretokenizers"][0]["pattern"]["Regex"]
    specials = {token["content"]: token["id"] for token in content["added_tokens"]}
    post = None if post["type"] == "ByteLevel" else post    # that one only moves offsets
    for part in split.get("pretokenizers", [split]):
        part.setdefault("use_regex", part["type"] == "ByteLevel")
    ours = dict(settings(file_content({}, [], specials, pattern)))
    for name, value in settings(content | {"pre_tokenizer": split, "post_processor": post}):
        if (value or None) != (ours.get(name) or None):
            raise ValueError(f"{name} is {json.dumps(value)}")
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    return from_chars(model["vocab"], merges, specials, pattern)


def settings(content, where=""):
    """Nested dicts and lists -> (name, value) of each setting that changes ids:
    {"model": {"dropout": None}} -> ("model dropout", None). parsed compares them with ours."""
    if not isinstance(content, (dict, list)):
        yield where.strip(), content
        return
    no_matter = "version decoder trim_offsets special normalized unk_token fuse_unk vocab merges"
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if key not in no_matter.split():
            yield from settings(value, f"{where} {key}")


def from_chars(vocab, merges, specials, pattern):
    """Vocabulary and merges as files write them -> vocab, merges, specials, pattern as we do."""
    for number, pair in enumerate(merges, start=1):
        if len(pair) != 2:
            raise ValueError(f"merge {number} is {pair}, not two tokens")
        if missing := [token for token in (*pair, "".join(pair)) if token not in vocab]:
            raise ValueError(f"merge {number} needs {missing[0]!r}, which is not in the vocabulary")
    tokens = {to_raw(token): id for token, id in vocab.items() if token not in specials}
    if missing := [byte for byte in range(256) if BYTES[byte] not in tokens]:
        raise ValueError(f"byte {missing[0]} has no token, texts with it would lose it")
    if len({id for id in vocab.values() if type(id) is int and id >= 0}) < len(vocab):
        raise ValueError("ids are not all different whole numbers")
    return tokens, [(to_raw(a), to_raw(b)) for a, b in merges], specials, pattern


if __name__ == "__main__":
    from run.tokens import main             # the command line, which needs torch; the rest does not
    main()
