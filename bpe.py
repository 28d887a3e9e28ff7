"""Lesson 1, the tokenizer: text <-> token ids by byte-level byte pair encoding (BPE), written by hand.

in    any text: files, or any iterable of strings (streamed, never all in memory)
out   tokenizer.json: the vocabulary and the merges, in the file format of the `tokenizers` package
run   python bpe.py FILE... --vocab-size 1024 --out tokenizer.json       trains on FILE...
      python bpe.py tokenizer.json "some text"                           shows the tokens of a text
see   the first merges, the compression (bytes a token), and a sentence cut into coloured tokens

Training (Sennrich et al. 2016, algorithm 1, on bytes as in GPT-2): cut the text into pieces, roughly words; take each
piece as a row of single bytes; again and again merge the most frequent pair of neighbours into one new token.
Encoding replays those merges, the earliest learnt first. The names follow `tiktoken`.
"""
import heapq
import json
import multiprocessing
import os
import re
import sys
import time
from collections import Counter, defaultdict
from functools import lru_cache, partial
from itertools import chain, islice

import numpy as np
import regex

# A piece is a contraction, a word, a number or a run of signs (each with one space in front), or a run of spaces (Radford 2019).
GPT2_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
GPT4_PATTERN = (r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|"""
                r"""\s*[\r\n]|\s+(?!\S)|\s+""")
END = "<|endoftext|>"


# ---------------------------------------------------------------------------------------------------------------------
# Text -> pieces

# The GPT-2 pattern with letters, digits and signs thrown together: it cuts only where the full one cuts too, at twice the
# speed, since `re` beats `regex`. For `re` the four controls \x1c-\x1f are spaces, for `regex` they are signs.
SPACE, VISIBLE = r"[^\S\x1c-\x1f]", r"[\S\x1c-\x1f]"
COARSE_PATTERN = rf" ?{VISIBLE}+|{SPACE}+(?!{VISIBLE})|{SPACE}+"


@lru_cache
def splitters(pattern):
    """pattern -> (coarse, fine): two functions str -> list of str; fine of each coarse chunk gives the pieces of the text."""
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"bad split pattern: {error}") from None
    if compiled.groups:
        raise ValueError("bad split pattern: it has a capturing group; write (?:...) for (...)")
    if pattern == GPT2_PATTERN:
        return re.compile(COARSE_PATTERN).findall, compiled.findall
    return partial(split_all, compiled), lambda piece: [piece]


def split_all(compiled, text):
    pieces = compiled.findall(text)
    if sum(map(len, pieces)) != len(text):
        raise ValueError(f"the split pattern leaves out parts of {text[:40]!r}: tokens could not give the text back")
    return pieces


def special_pattern(names):
    """Compiled pattern that finds the control strings; where several start at one place, the longest wins."""
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True)))) if names else re.compile(r"(?!)")


def to_bytes(piece):
    try:
        return piece.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"lone surrogate {piece[error.start]!r} in {piece[:40]!r}: not a character; "
                         "read the text with errors='replace'") from None


# ---------------------------------------------------------------------------------------------------------------------
# Training

def count_batch(texts, pattern, special_tokens):
    """list of str -> Counter of pieces. Each distinct chunk is split finely once, however often it stands in the text."""
    coarse, fine = splitters(pattern)
    chunks, pieces = Counter(), Counter()
    specials = special_pattern(special_tokens)
    for text in texts:
        for part in specials.split(text) if special_tokens else [text]:
            chunks.update(coarse(part))
    for chunk, count in chunks.items():
        for piece in fine(chunk):
            pieces[piece] += count
    return pieces


def batched(texts, size=1 << 21):
    """Lists of texts of about `size` characters together."""
    batch, length = [], 0
    for text in texts:
        batch.append(text)
        length += len(text)
        if length >= size:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def count_pieces(texts, pattern, special_tokens, workers):
    """Iterable of str -> Counter of pieces, the same for any number of workers; holds a few batches of text at a time."""
    batches, total = batched(texts), Counter()
    count = partial(count_batch, pattern=pattern, special_tokens=tuple(special_tokens))
    first = list(islice(batches, 2))
    if len(first) < 2 or workers < 2:                       # too little to pay for starting processes
        for batch in chain(first, batches):
            total.update(count(batch))
        return total
    batches = chain(first, batches)
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        while group := list(islice(batches, 4 * workers)):
            for counts in pool.imap_unordered(count, group):
                total.update(counts)
    return total


def falling(token):
    """A key that sorts byte strings backwards, the greater first: heapq gives the smallest."""
    return token.translate(bytes(range(255, -1, -1))).decode("latin-1") + "\u0100"


def learn_merges(pieces, n_tokens):
    """Counter of byte strings -> list of (bytes, bytes), the merges that bring 256 bytes to n_tokens distinct tokens.

    All pieces lie in one row, None between them; `left` and `right` link the tokens that are alive.
    """
    tokens, weight = [None], [0]                                                # one entry a byte: token starting there
    for piece, count in pieces.items():
        tokens.extend([piece[i:i + 1] for i in range(len(piece))])
        weight.extend([count] * len(piece))
        tokens.append(None)
        weight.append(0)
    left, right = list(range(-1, len(tokens) - 1)), list(range(1, len(tokens) + 1))
    counts, places = Counter(), defaultdict(list)
    for i, pair in enumerate(zip(tokens, tokens[1:])):
        if weight[i] and weight[i + 1]:
            counts[pair] += weight[i]
            places[pair].append(i)
    key = lru_cache(None)(falling)
    heap = [(-count, key(a), key(b), (a, b)) for (a, b), count in counts.items()]
    heapq.heapify(heap)
    known, merges = {bytes([i]) for i in range(256)}, []
    while heap and len(known) < n_tokens:
        count, _, _, pair = heapq.heappop(heap)
        if counts.get(pair) != -count:                      # the count fell since: back into the line with the true one
            if counts.get(pair, 0) > 0:
                heapq.heappush(heap, (-counts[pair], key(pair[0]), key(pair[1]), pair))
            continue
        a, b = pair
        merged = a + b
        merges.append(pair)
        known.add(merged)
        grown = set()
        for i in sorted(places.pop(pair)):
            j = right[i]
            if tokens[i] != a or tokens[j] != b:
                continue
            before, after, n = left[i], right[j], weight[i]
            if tokens[before] is not None:
                counts[tokens[before], a] -= n
                new = (tokens[before], merged)
                counts[new] += n
                places[new].append(before)
                grown.add(new)
            if tokens[after] is not None:
                counts[b, tokens[after]] -= n
                new = (merged, tokens[after])
                counts[new] += n
                places[new].append(i)
                grown.add(new)
            tokens[i], tokens[j] = merged, None
            right[i], left[after] = after, i
        counts.pop(pair, None)
        for new in grown:
            if counts.get(new, 0) > 0:
                heapq.heappush(heap, (-counts[new], key(new[0]), key(new[1]), new))
    return merges


def train_bpe(texts, vocab_size, special_tokens=(), pattern=GPT2_PATTERN, workers=None):
    """Iterable of str -> Tokenizer with at most `vocab_size` tokens: 256 bytes, merges, special tokens, in this order.

    The most frequent pair merges, of equals the greater pair of byte strings. Raises ValueError.
    """
    if isinstance(texts, str):
        raise ValueError("train_bpe takes an iterable of texts, not one str: write [text]")
    special_tokens = list(dict.fromkeys(special_tokens))
    if "" in special_tokens:
        raise ValueError("a special token cannot be the empty string")
    if vocab_size < 256 + len(special_tokens):
        raise ValueError(f"vocab_size {vocab_size} is too small: 256 bytes and {len(special_tokens)} special tokens "
                         f"need {256 + len(special_tokens)}")
    if workers is None:
        can_fork = "fork" in multiprocessing.get_all_start_methods() and not multiprocessing.current_process().daemon
        workers = os.cpu_count() if can_fork else 1
    counts = count_pieces(texts, pattern, special_tokens, workers)
    pieces = {to_bytes(piece): count for piece, count in counts.items()}
    merges = learn_merges(pieces, vocab_size - len(special_tokens))
    vocab = {bytes([i]): i for i in range(256)}
    for a, b in merges:
        vocab.setdefault(a + b, len(vocab))
    specials = {name: len(vocab) + i for i, name in enumerate(special_tokens)}
    return Tokenizer(vocab, merges, specials, pattern)


# ---------------------------------------------------------------------------------------------------------------------
# Encoding and decoding

class PieceCache(dict):
    """chunk of text -> its ids as bytes; what is missing is encoded when first asked for."""

    def __init__(self, encode, limit=1 << 20):
        self.encode, self.limit = encode, limit

    def __missing__(self, chunk):
        if len(self) >= self.limit:
            self.clear()                                    # bounded memory on endless text
        ids = self.encode(chunk)
        if len(chunk) <= 64:
            self[chunk] = ids
        return ids


class Tokenizer:
    """vocab: bytes -> id. merges: list of (bytes, bytes) in the order learnt. special_tokens: str -> id."""

    def __init__(self, vocab, merges, special_tokens=None, pattern=GPT2_PATTERN):
        self.vocab, self.merges, self.pattern = dict(vocab), list(merges), pattern
        self.special_tokens = dict(special_tokens or {})
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.n_vocab = 1 + max(chain(self.vocab.values(), self.special_tokens.values()))
        self.dtype = np.uint16 if self.n_vocab <= 1 << 16 else np.uint32
        self._bytes = {id: token for token, id in self.vocab.items()}
        self._bytes.update((id, name.encode()) for name, id in self.special_tokens.items())
        self._coarse, self._fine = splitters(pattern)
        self._cache = PieceCache(self._encode_chunk)

    def _encode_chunk(self, chunk):
        ids = [self.vocab[token] for piece in self._fine(chunk) for token in self.merge(to_bytes(piece))]
        return np.array(ids, self.dtype).tobytes()

    def merge(self, piece):
        """bytes -> list of bytes, its tokens: always the pair learnt earliest merges, of equals the leftmost. O(n log n)."""
        tokens = [piece[i:i + 1] for i in range(len(piece))]
        ranks, n = self.ranks, len(tokens)
        left, right = list(range(-1, n - 1)), list(range(1, n + 1))
        heap = [(ranks[pair], i) for i, pair in enumerate(zip(tokens, tokens[1:])) if pair in ranks]
        heapq.heapify(heap)
        while heap:
            rank, i = heapq.heappop(heap)
            j = right[i]
            if tokens[i] is None or j >= n or ranks.get((tokens[i], tokens[j])) != rank:
                continue                                    # one of the two was merged away since
            tokens[i], tokens[j] = tokens[i] + tokens[j], None
            before, after = left[i], right[j]
            right[i] = after
            if after < n:
                left[after] = i
                if (rank := ranks.get((tokens[i], tokens[after]))) is not None:
                    heapq.heappush(heap, (rank, i))
            if before >= 0 and (rank := ranks.get((tokens[before], tokens[i]))) is not None:
                heapq.heappush(heap, (rank, before))
        return [token for token in tokens if token is not None]

    def _encode_bytes(self, text):
        return b"".join(map(self._cache.__getitem__, self._coarse(text)))

    def encode_ordinary(self, text):
        """str -> list of int; control strings in the text are ordinary text."""
        return np.frombuffer(self._encode_bytes(text), self.dtype).tolist()

    def _allowed(self, allowed_special):
        if allowed_special == "all":
            return set(self.special_tokens)
        if isinstance(allowed_special, str):
            raise ValueError(f'allowed_special is "all" or a collection of names, not the str {allowed_special!r}')
        for name in allowed_special:
            if name not in self.special_tokens:
                raise ValueError(f"{name!r} is not a special token of this tokenizer: {sorted(self.special_tokens)}")
        return set(allowed_special)

    def encode(self, text, allowed_special=()):
        """str -> list of int; the allowed special tokens ("all", or a collection of names) become their ids."""
        allowed, ids, start = self._allowed(allowed_special), [], 0
        if not allowed:
            return self.encode_ordinary(text)
        for match in special_pattern(allowed).finditer(text):
            ids += self.encode_ordinary(text[start:match.start()])
            ids.append(self.special_tokens[match.group()])
            start = match.end()
        return ids + self.encode_ordinary(text[start:])

    def encode_iterable(self, texts, allowed_special=()):
        """Iterable of str, consecutive parts of one text -> iterator of int, the ids of the joined text, lazily."""
        allowed = self._allowed(allowed_special)
        specials, longest = special_pattern(allowed), max(map(len, allowed), default=1)
        held, fresh, length = "", [], 0
        for text in texts:
            fresh.append(text)
            length += len(text)
            if length < len(held):                          # look at a long rest again only when it has doubled
                continue
            held, fresh, length = held + "".join(fresh), [], 0
            cut = self._safe_cut(held, specials, len(held) - longest + 1)
            yield from self.encode(held[:cut], allowed)
            held = held[cut:]
        yield from self.encode(held + "".join(fresh), allowed)

    def _safe_cut(self, text, specials, limit):
        """The last place up to `limit` where any continuation of the text is split, whatever follows."""
        start = 0
        for match in specials.finditer(text):
            if match.start() < limit:
                start = match.end()
        before = r"[\S\x1c-\x1f]" if self.pattern == GPT2_PATTERN else r"[^\W_]"
        match = re.compile(rf"(?s:.*){before}(?={SPACE})").match(text, start, max(limit + 1, 0))
        return match.end() if match else start

    def encode_corpus(self, documents):
        """Iterable of str -> numpy uint16 (uint32 from 65,537 tokens on), each document ended by <|endoftext|>."""
        if isinstance(documents, str):
            raise ValueError("encode_corpus takes an iterable of documents, not one str: write [text]")
        if END not in self.special_tokens:
            raise ValueError(f"this tokenizer has no {END}: train it with special_tokens=[{END!r}]")
        end, ids = np.array([self.special_tokens[END]], self.dtype).tobytes(), bytearray()
        for document in documents:
            ids += self._encode_bytes(document)
            ids += end
        return np.frombuffer(ids, self.dtype)

    def decode_bytes(self, ids):
        """Iterable of int -> bytes, exactly. Raises ValueError on an unknown id."""
        try:
            return b"".join([self._bytes[id] for id in (ids.tolist() if hasattr(ids, "tolist") else ids)])
        except KeyError as error:
            raise ValueError(f"unknown token id {error.args[0]}: this tokenizer has 0 to {self.n_vocab - 1}") from None

    def decode(self, ids):
        """Iterable of int -> str; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    # -----------------------------------------------------------------------------------------------------------------
    # Files

    def save(self, path):
        """Writes tokenizer.json as `tokenizers` reads it."""
        show = lambda token: "".join(BYTE_TO_CHAR[byte] for byte in token)
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        split = byte_level
        if self.pattern != GPT2_PATTERN:
            split = {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": self.pattern}, "behavior": "Isolated", "invert": False},
                {**byte_level, "use_regex": False}]}
        added = [{"id": id, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                  "special": True} for name, id in self.special_tokens.items()]
        vocab = {show(token): id for token, id in self.vocab.items()} | self.special_tokens
        model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                 "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                 "vocab": vocab, "merges": [[show(a), show(b)] for a, b in self.merges]}
        data = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
                "pre_tokenizer": split, "post_processor": None, "decoder": byte_level, "model": model}
        with open(f"{path}.tmp", "w", encoding="utf-8") as file:
            json.dump(data, file, ensure_ascii=False, indent=1)
        os.replace(f"{path}.tmp", path)

    @classmethod
    def load(cls, path):
        """Reads tokenizer.json. Raises ValueError in one line where the file is broken or asks for more than byte-level BPE."""
        data = read_json(path)
        try:
            model, split = data["model"], data["pre_tokenizer"]
            if split["type"] == "Sequence":
                pattern, split = split["pretokenizers"][0]["pattern"]["Regex"], split["pretokenizers"][1]
            else:
                pattern = GPT2_PATTERN
            if model["type"] != "BPE" or split["type"] != "ByteLevel" or split["add_prefix_space"]:
                raise ValueError(f"{path} is no byte-level BPE tokenizer")
            if data.get("normalizer") is not None:
                raise ValueError(f"{path} has a normalizer, which changes the text: not supported")
            specials = {token["content"]: token["id"] for token in data["added_tokens"]}
            merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
            return cls._from_chars(model["vocab"], merges, specials, pattern, path)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{path} is no tokenizer.json: {type(error).__name__} {error}") from None

    @classmethod
    def from_gpt2(cls, vocab_json, merges_txt):
        """GPT-2's published vocab.json and merges.txt (paths) -> Tokenizer. What no merge makes is a special token."""
        vocab = read_json(vocab_json)
        with open(merges_txt, encoding="utf-8") as file:
            lines = file.read().split("\n")
        merges = []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or number == 1 and line.startswith("#version"):
                continue
            pair = tuple(line.rstrip("\r").split(" "))
            if len(pair) != 2:
                raise ValueError(f"{merges_txt}:{number} is no merge: each line needs two tokens and a space between")
            merges.append(pair)
        made = set(CHAR_TO_BYTE) | {a + b for a, b in merges}
        specials = {token: id for token, id in vocab.items() if token not in made}
        return cls._from_chars(vocab, merges, specials, GPT2_PATTERN, vocab_json)

    @classmethod
    def _from_chars(cls, vocab, merges, specials, pattern, path):
        read = lambda token: bytes(CHAR_TO_BYTE[char] for char in token)
        for token in chain(CHAR_TO_BYTE, (token for a, b in merges for token in (a, b, a + b))):
            if token not in vocab:
                raise ValueError(f"{path} has no token {token!r}")
        tokens = {read(token): id for token, id in vocab.items() if token not in specials}
        return cls(tokens, [(read(a), read(b)) for a, b in merges], specials, pattern)


def byte_characters():
    """256 characters that can be seen, one a byte: GPT-2's way to write any byte string as text (encoder.py)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


BYTE_TO_CHAR = byte_characters()
CHAR_TO_BYTE = {char: byte for byte, char in BYTE_TO_CHAR.items()}


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
