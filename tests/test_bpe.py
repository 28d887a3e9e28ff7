"""bpe.py: the fast trainer against the plain one, the encoder against the rule, files against
`tokenizers`.

run   pytest tests/test_bpe.py
      python tests/test_bpe.py FILE...       beside `tokenizers` and `tiktoken`, if installed
      python tests/test_bpe.py --picture lessons/01_bpe.png
"""
import itertools
import json
import pickle
import random
import re
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import regex

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bpe
from bpe import GPT2_PATTERN, Tokenizer, train_bpe
from conftest import beside, run_script
from run.tokens import read_texts

SPECIALS = ["<|endoftext|>", "<|user|>", "<|assistant|>"]
GPT4_PATTERN = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"
                r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


# -------------------------------------------------------------------------------------------- texts
STARTS = "b c d f g h j k l m n p r s t v w br ch cl cr st th tr sh sp".split() + [""] * 6
VOWELS = "a e i o u ea ai ou".split()
ENDS = "d g l m n p r s t ck ld nd ng nt rk st".split() + [""] * 20
TAILS = ["", "", "", "", "s", "ed", "ing", "er", "ly", "ness"]


def made_up_words(rng, n):
    """n different words, the short ones first."""
    words = {}
    while len(words) < n:
        syllables = rng.choices((1, 2, 3, 4), (3, 5, 3, 1))[0]
        word = "".join(map(rng.choice, (STARTS, VOWELS, ENDS) * syllables)) + rng.choice(TAILS)
        words[word] = None
    return sorted(words, key=lambda word: len(word) + rng.gauss(0, 3))


def dressed(word, rng):
    """A word as it may stand in a sentence."""
    chance = rng.random()
    if chance < .04:
        return word.capitalize()
    if chance < .06:
        return str(rng.randint(1, 9999))
    if chance < .07:
        return word + "'s"
    if chance < .13:
        return word + ","
    return f'"{word}"' if chance < .14 else word


def english(characters, seed=0, n_words=70_000):
    """Documents of English-like text, made word by word: Zipf-Mandelbrot frequencies, short words
    frequent, signs and numbers."""
    rng = random.Random(seed)
    words = made_up_words(rng, n_words)
    chances = list(itertools.accumulate(1 / (k + 2.7) for k in range(n_words)))
    while characters > 0:
        sentences = []
        for _ in range(rng.randint(8, 30)):
            some = rng.choices(words, cum_weights=chances, k=rng.randint(5, 25))
            some[0] = some[0].capitalize()
            sentence = " ".join(dressed(word, rng) for word in some)
            sentences.append(sentence + rng.choice(".....?!") + rng.choice([" "] * 3 + ["\n\n"]))
        yield "".join(sentences)
        characters -= sum(map(len, sentences))


def random_text(rng, longest=40):
    """Strings from all of Unicode, with what splits and joins: spaces of all kinds, controls, emoji
    with joiners, contractions."""
    kinds = [
        lambda: chr(rng.randrange(32, 127)),
        lambda: chr(rng.randrange(0x20)),
        lambda: rng.choice(" \n\t\r\x1c\x85\xa0\u2028\u3000 "),
        lambda: chr(rng.randrange(0xD800)),
        lambda: chr(rng.randrange(0xE000, 0x110000)),
        lambda: rng.choice(["'s", "'ll", "'", "  "]),
        lambda: "👩\u200d👧\u200d👦",
        lambda: "🇫🇷",
        lambda: rng.choice(SPECIALS),
        lambda: "e\u0301",
        lambda: rng.choice("aab"),
    ]
    return "".join(rng.choice(kinds)() for _ in range(rng.randint(0, longest)))


def pieces_of(*texts, pattern=GPT2_PATTERN):
    """Counter of the pieces, by the pattern alone."""
    return Counter(piece.encode() for text in texts for piece in regex.findall(pattern, text))


@pytest.fixture(scope="module")
def text():
    return "".join(english(300_000, n_words=5_000))


@pytest.fixture(scope="module")
def tokenizer(text):
    return train_bpe([text], 1024, SPECIALS)


def plain_encode(text, tokenizer):
    """Cut by the pattern, then apply every merge in the order learnt to the whole piece."""
    ids = []
    for piece in regex.findall(tokenizer.pattern, text):
        row = tuple(bytes([byte]) for byte in piece.encode())
        for pair in tokenizer.merges:
            row = bpe.merge_row(row, pair)
        ids += [tokenizer.vocab[token] for token in row]
    return ids


# ----------------------------------------------------------------------------------------- training
LEARN = pytest.mark.parametrize("learn", [bpe.plain_merges, bpe.learn_merges])


@LEARN
def test_merges_worked_by_hand(learn):
    # u g 20 times, u n 16, h ug 15, p un 12, then p ug 5 and hug s 5: "p" is the greater half
    pieces = {b"hug": 10, b"pug": 5, b"pun": 12, b"bun": 4, b"hugs": 5}
    assert learn(pieces, 261) == [(b"u", b"g"), (b"u", b"n"), (b"h", b"ug"), (b"p", b"un"),
                                  (b"p", b"ug")]


@LEARN
def test_of_equal_pairs_the_greater_bytes_merge_first(learn):
    assert learn({b"ab": 1, b" cd": 1, b" zz": 1}, 257) == [(b"z", b"z")]
    assert learn({b"xa": 1, b"xab": 1}, 257) == [(b"x", b"a")]
    assert learn({b"ab": 2, b"abc": 1, b"a\xff": 3}, 257) == [(b"a", b"\xff")]


@LEARN
def test_in_a_run_of_one_letter_every_other_pair_merges(learn):
    # aaaaa: 4 pairs, 2 merges -> aa aa a: then (aa, aa) once and (aa, a) once, the greater first
    assert learn({b"aaaaa": 1}, 300) == [(b"a", b"a"), (b"aa", b"aa"), (b"aaaa", b"a")]


def test_a_merge_from_left_to_right_leaves_the_odd_one_behind():
    assert bpe.merge_row((b"a",) * 3 + (b"b",), (b"a", b"a")) == (b"aa", b"a", b"b")
    both = (b"a", b"bc", b"ab", b"c")           # the same bytes from other halves are no such pair
    assert bpe.merge_row(both, (b"ab", b"c")) == (b"a", b"bc", b"abc")
    assert bpe.without_overlaps(np.array([0, 1, 2, 7, 8]), 2).tolist() == [0, 2, 7]
    assert bpe.without_overlaps(np.array([0, 2, 4, 6]), 4).tolist() == [0, 4]


def test_fast_and_plain_training_give_the_same_merges_on_every_drawn_text():
    rng = random.Random(1)
    for alphabet in ["a", "ab", "abc", "abcdé ", "the and 'll \n12.,", "日本語 \u3000x"] * 40:
        texts = ["".join(rng.choices(alphabet, k=rng.randint(0, 60)))
                 for _ in range(rng.randint(1, 5))]
        n_tokens = 256 + rng.randint(0, 60)
        merges = train_bpe(texts, n_tokens).merges
        assert merges == bpe.plain_merges(pieces_of(*texts), n_tokens), texts
        assert train_bpe(texts, 20_000).merges[:len(merges)] == merges
        assert len({a + b for a, b in merges}) == len(merges)   # no two make the same token


def test_counts_may_pass_two_thousand_millions():
    pieces = {b"ab": 1 << 31, b"cd": 1 << 31, b"xab": 1}
    assert bpe.learn_merges(pieces, 258) == [(b"a", b"b"), (b"c", b"d")]
    pieces = {b"abab": 1 << 31, b"xy": 1}
    assert bpe.learn_merges(pieces, 259) == [(b"a", b"b"), (b"ab", b"ab"), (b"x", b"y")]


def test_ids_may_pass_sixteen_bits():
    row = bpe.Row({b"abab": 1})
    row.tokens += [b""] * 70_000
    row.places += [np.zeros(0, np.int64)] * 70_000
    ab = len(row.tokens)
    row.merge(ord("a"), ord("b"))
    assert row.merge(ab, ab) == [] and row.tokens[-2:] == [b"ab", b"abab"]
    assert row.places[-1].tolist() == [1] and ab > 1 << 16


def test_fast_and_plain_training_agree_on_english(text):
    text = text[:50_000]
    assert train_bpe([text], 330).merges == bpe.plain_merges(pieces_of(text), 330)


def test_nothing_merges_across_a_special_token_and_none_is_learnt():
    tokenizer = train_bpe(["ab<|user|>cd", "<|user|><|endoftext|>"] * 50, 400, SPECIALS)
    assert set(tokenizer.merges) == {(b"a", b"b"), (b"c", b"d")}
    assert tokenizer.n_vocab == 256 + 2 + 3 and list(tokenizer.special_tokens) == SPECIALS


def test_bytes_come_first_then_merges_then_special_tokens(tokenizer):
    assert tokenizer.n_vocab == 1024
    assert tokenizer.special_tokens == dict(zip(SPECIALS, (1021, 1022, 1023)))
    assert [tokenizer.decode_bytes([id]) for id in range(256)] == [bytes([id]) for id in range(256)]
    assert tokenizer.decode_bytes([256]) == b"".join(tokenizer.merges[0])


def test_a_special_token_counts_once_and_may_be_one_character_of_two_bytes():
    tokenizer = train_bpe(["ab"], 258, ["é", "é", "ü"])
    assert tokenizer.special_tokens == {"é": 256, "ü": 257} and not tokenizer.merges
    assert tokenizer.decode(tokenizer.encode("éaü", "all")) == "éaü"


def test_training_memory_follows_the_different_pieces_not_the_text():
    def texts():
        for _ in range(100):
            yield (" " + "somewordswithoutendthatcomebackagain" * 4) * 1_000    # 14 MB in all
    tracemalloc.start()
    train_bpe(texts(), 300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 7e6


@pytest.mark.parametrize("arguments, words", [
    ((["a"], 255), "255 is too small"),
    ((["a"], 258, SPECIALS), "special tokens: 259"),
    (("one text", 300), "iterable"),
    ((["a"], 300, ["x"]), "'x' is too short"),
    ((["a text with a\ud800"], 300), r"surrogate '\\ud800' in 'a text with a"),
    ((["ab"], 300, (), "(a)|b"), r"group"),
    ((["ab"], 300, (), "a"), "loses"),
    ((["ab"], 300, (), "("), "bad split pattern"),
])
def test_what_cannot_be_trained_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        train_bpe(*arguments)


# ----------------------------------------------------------------------------------------- encoding
def odd_texts(rng):
    """Every kind of space in every neighbourhood, and drawn ones."""
    spaces = [chr(c) for c in range(0x3001) if chr(c).isspace() or regex.match(r"\s", chr(c))]
    spaces += ["\u180e", "\u200b", "\ufeff"]
    around = itertools.product(("", "a", "1", ".", " "), spaces, (*spaces, ""),
                               ("", "a", "1", "'s", " "))
    yield from map("".join, around)
    alphabet = ["a", "é", "1", "²", ".", "'", "'s", "'ll", *" \n\t\x1c", " "]
    for _ in range(10_000):
        yield "".join(rng.choices(alphabet, k=12))
    for _ in range(3_000):
        yield random_text(rng)


@pytest.mark.parametrize("letter", ["c", "é"])         # é: the way of text that is not ASCII
def test_pieces_worked_by_hand(letter):
    pieces = [letter, "'m", " 12", "th", " We", "'ve", " don", "'t", " IT", "'s", " you", "'re",
              " he", "'ll", " she", "'d", " '", "So", "',", " 7", ".", " ", " x", " $%", "9", "\n",
              "\n", "y", "  ", "\n", "z", " \t\n"]
    assert bpe.find_pieces("".join(pieces), GPT2_PATTERN) == pieces


def test_the_stretches_of_a_text_have_the_pieces_of_the_whole_text():
    for text in odd_texts(random.Random(4)):
        first, *rest = bpe.STRETCH_BORDER.split(text)
        found = bpe.find_pieces(first, GPT2_PATTERN)
        for stretch in rest:
            found += bpe.find_pieces(" " + stretch, GPT2_PATTERN)
        assert found == regex.findall(GPT2_PATTERN, text), repr(text)


def test_pieces_are_counted_between_special_tokens():
    rng = random.Random(4)
    for text in (random_text(rng) for _ in range(1_500)):
        between = re.split("|".join(map(re.escape, SPECIALS)), text)
        counts = bpe.count_pieces([text], GPT2_PATTERN, SPECIALS, lambda line: None)
        assert counts == pieces_of(*between), repr(text)


def test_encoding_is_every_merge_in_the_order_learnt(tokenizer, text):
    rng = random.Random(5)
    small = train_bpe([text], 400)
    samples = [text[:3_000], "aaaaaaa  aaaa a", "the the"]
    for sample in samples + [random_text(rng) for _ in range(300)]:
        assert small.encode_ordinary(sample) == plain_encode(sample, small), repr(sample)


def test_random_strings_and_random_bytes_come_back(tokenizer):
    rng = random.Random(6)
    for _ in range(2_000):
        text = random_text(rng)
        assert tokenizer.decode(tokenizer.encode(text)) == text, repr(text)
        assert tokenizer.decode(tokenizer.encode(text, "all")) == text, repr(text)
        raw = rng.randbytes(rng.randint(0, 30))
        ids = [tokenizer.vocab[token] for token in bpe.merge_piece(raw, tokenizer.ranks)]
        assert tokenizer.decode_bytes(ids) == raw
        assert tokenizer.decode(ids) == raw.decode(errors="replace")


def test_a_cache_that_overflows_changes_nothing(tokenizer, text):
    ids = tokenizer.encode(text)
    small = Tokenizer(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)
    small.memory.most = 10
    assert small.encode(text) == ids and len(small.memory) <= 10
    assert small.encode("a b" + "c" * 1_000) and max(map(len, small.memory)) < 64


def test_a_stretch_that_comes_again_is_not_worked_out_again():
    asked = []
    memory = bpe.Memory(lambda text: asked.append(text) or text.upper())
    assert [memory[text] for text in ("a", "b", "a", "a\n", "b")] == ["A", "B", "A", "A\n", "B"]
    assert asked == ["a", "b", "a\n"]


def test_a_tokenizer_survives_pickling(tokenizer, text):
    assert pickle.loads(pickle.dumps(tokenizer)).encode(text) == tokenizer.encode(text)


LETTERS = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz", k=300_000))


@pytest.mark.parametrize("piece", ["a" * 300_000, LETTERS], ids=["one letter", "random letters"])
def test_a_long_text_without_a_space_takes_seconds(tokenizer, piece):
    start = time.process_time()
    assert tokenizer.decode(tokenizer.encode(piece)) == piece
    trained = train_bpe([piece], 300)
    assert trained.n_vocab > 260
    parts = (piece[i : i + 10] for i in range(0, 200_000, 10))
    assert list(itertools.islice(trained.encode_iterable(parts), 3))
    assert time.process_time() - start < 6


def test_a_control_string_is_ordinary_text_unless_allowed(tokenizer):
    ordinary = tokenizer.encode_ordinary
    end, user = (tokenizer.special_tokens[name] for name in SPECIALS[:2])
    text = "<|user|>hi<|endoftext|>"
    assert not {end, user} & set(tokenizer.encode(text))
    assert tokenizer.encode(text) == ordinary(text)
    assert tokenizer.encode(text, "all") == [user, *ordinary("hi"), end]
    assert tokenizer.encode(text, {"<|user|>"}) == [user, *ordinary("hi<|endoftext|>")]
    for wrong in ["<|user|>", {"<|system|>"}, {"<|user|>", "<|system|>"}]:
        with pytest.raises(ValueError, match="allowed_special"):
            tokenizer.encode(text, wrong)


def test_of_overlapping_special_tokens_the_longest_wins():
    tokenizer = train_bpe(["a"], 260, ["<|a|>", "<|a|><|a|>", "<|a", "(.*)"])
    ids = tokenizer.special_tokens
    names = ("<|a|><|a|>", "<|a|>", "<|a", "(.*)")
    assert tokenizer.encode("<|a|><|a|><|a|><|a(.*)", "all") == [ids[name] for name in names]


@pytest.mark.parametrize("pattern", [GPT2_PATTERN, GPT4_PATTERN], ids=["gpt2", "gpt4"])
def test_parts_of_a_text_give_the_ids_of_the_joined_text(text, pattern):
    names = [*SPECIALS, "<|user|>\n", "<|a b|>"]
    tokenizer, rng = train_bpe([text], 500, names, pattern), random.Random(8)
    odd = ["a", " ", "\n", "don't ", "it'", "s", ".", "<|user|>", "<|us", "<", "<|a b|>", "b|>"]
    for k in range(300):
        whole = random_text(rng, 60) if k % 2 else "".join(rng.choices(odd, k=30))
        cuts = sorted(rng.randint(0, len(whole)) for _ in range(rng.randint(0, 20)))
        parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)])]
        for allowed in ((), "all", ["<|user|>"]):
            ids = list(tokenizer.encode_iterable(parts, allowed))
            assert ids == tokenizer.encode(whole, allowed), parts


def test_an_endless_text_is_encoded_lazily_in_constant_memory(tokenizer):
    tokenizer = Tokenizer(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)
    lines = (f"line {n % 1000} of a text without end\n" for n in itertools.count())
    assert next(tokenizer.encode_iterable(lines)) is not None
    assert int(next(lines).split()[1]) < 5
    tracemalloc.start()
    for _ in itertools.islice(tokenizer.encode_iterable(lines, "all"), 200_000):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_a_corpus_is_its_documents_each_with_the_end_token(tokenizer, text):
    documents = [text[:1000], "", "<|endoftext|> is ordinary here"]
    ids = tokenizer.encode_corpus(iter(documents))
    end = tokenizer.special_tokens["<|endoftext|>"]
    wanted = [id for d in documents for id in (*tokenizer.encode_ordinary(d), end)]
    assert ids.dtype == np.uint16 and ids.tolist() == wanted
    assert tokenizer.encode_corpus([]).tolist() == []
    wide = Tokenizer(tokenizer.vocab, tokenizer.merges, {"<|endoftext|>": 65_536})
    ids = wide.encode_corpus(["a"])
    assert ids.dtype == np.uint32 and ids.tolist() == [97, 65_536]
    widest = Tokenizer(tokenizer.vocab, tokenizer.merges, {"<|endoftext|>": 65_535})
    ids = widest.encode_corpus(["a"])
    assert ids.dtype == np.uint16 and ids.tolist() == [97, 65_535]
    with pytest.raises(ValueError, match="iterable"):
        tokenizer.encode_corpus("one document")
    with pytest.raises(ValueError, match=r"no <\|endoftext\|>"):
        train_bpe(["ab"], 257).encode_corpus(["ab"])


def test_decoding_replaces_broken_utf8_and_refuses_unknown_ids(tokenizer):
    assert tokenizer.decode([0xF0, 0x9F, 97]) == "\ufffda"
    assert tokenizer.decode_bytes([0xF0, 0x9F, 97]) == b"\xf0\x9fa"
    assert tokenizer.decode(np.array([104, 105], np.uint16)) == "hi"
    for unknown in (1024, -1, 99999):
        with pytest.raises(ValueError, match=f"unknown token id {unknown}"):
            tokenizer.decode([97, unknown])


@pytest.mark.parametrize("encode", [
    Tokenizer.encode, Tokenizer.encode_ordinary, lambda t, s: list(t.encode_iterable([s])),
    lambda t, s: t.encode_corpus([s])])
def test_a_lone_surrogate_is_refused_with_its_neighbourhood(tokenizer, encode):
    with pytest.raises(ValueError, match=r"surrogate '\\udcff' in '[a-z ]{9,} good text "):
        encode(tokenizer, "lorem ipsum " * 9 + "good text \udcff")


# -------------------------------------------------------------------------------------------- files
@pytest.mark.parametrize("pattern", [GPT2_PATTERN, GPT4_PATTERN], ids=["gpt2", "gpt4"])
def test_a_saved_tokenizer_comes_back_and_tokenizers_reads_it(tmp_path, text, pattern):
    tokenizer, rng = train_bpe([text], 700, SPECIALS, pattern), random.Random(9)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (again.vocab, again.merges, again.special_tokens, again.pattern) == \
        (tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens, tokenizer.pattern)
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for sample in [text[:100_000], *(old_letters(random_text(rng)) for _ in range(800))]:
        ids = tokenizer.encode(sample, "all")
        assert theirs.encode(sample).ids == ids, repr(sample)
        assert theirs.decode(ids, skip_special_tokens=False) == sample, repr(sample)


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path, tokenizer, monkeypatch):
    path, new = tmp_path / "tokenizer.json", train_bpe(["ab ab"], 257)
    tokenizer.save(path)
    before = path.read_bytes()

    def full_disk(self, text, *_, **__):
        self.write_bytes(text.encode()[:100])
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(Path, "write_text", full_disk)
        new.save(path)
    assert path.read_bytes() == before
    new.save(path)
    assert Tokenizer.load(path).merges == new.merges
    new.save(tmp_path / "new.json")
    assert (tmp_path / "new.json").exists() and len(list(tmp_path.glob("new*"))) == 1


def test_merges_may_stand_in_a_file_as_pairs_or_with_a_space_between(tmp_path, tokenizer):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    path.write_text(json.dumps(content))
    assert Tokenizer.load(path).merges == tokenizer.merges


def old_letters(text):
    """Without letters so new that packages differ on whether they are letters."""
    known = [range(0xA700), range(0xAC00, 0xD7A4), range(0x1F300, 0x1FA00)]
    return "".join(char for char in text if any(ord(char) in block for block in known))


def test_a_file_that_tokenizers_trained_gives_the_same_ids(tmp_path, text):
    tokenizers = pytest.importorskip("tokenizers")
    level = tokenizers.pre_tokenizers.ByteLevel
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = level(add_prefix_space=False)
    theirs.train_from_iterator([text], tokenizers.trainers.BpeTrainer(
        vocab_size=700, special_tokens=SPECIALS, initial_alphabet=level.alphabet(),
        show_progress=False))
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = Tokenizer.load(tmp_path / "tokenizer.json")
    assert ours.n_vocab == 700 and ours.special_tokens == dict(zip(SPECIALS, range(3)))
    assert ours.encode("<|user|>" + text, "all") == theirs.encode("<|user|>" + text).ids
    ours.save(tmp_path / "again.json")
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "again.json"))
    assert again.encode("<|user|>hi").ids == ours.encode("<|user|>hi", "all")


def test_a_piece_may_hold_spaces_under_a_pattern_of_one_s_own():
    pattern = "[a-z ]+|[^a-z ]+"
    tokenizer = train_bpe(["out of the way."] * 3, 300, SPECIALS, pattern)
    assert (b"out of the way") in tokenizer.vocab
    for sample in ("out of the way. out of the way", "the  way out", ". way of. out"):
        ids = plain_encode(sample, tokenizer)
        assert tokenizer.pattern == pattern and tokenizer.encode(sample) == ids
        assert list(tokenizer.encode_iterable(sample)) == ids       # a character at a time


def write_gpt2_files(folder, tokenizer, version="#version: 0.2\n"):
    """The layout of GPT-2's published files: printable bytes first, ids of merges from 256 on,
    <|endoftext|> last."""
    chars = sorted(bpe.BYTE_TO_CHAR, key=lambda char: ord(char) >= 256)
    lines = [f"{bpe.to_chars(a)} {bpe.to_chars(b)}" for a, b in tokenizer.merges]
    tokens = [*chars, *dict.fromkeys(line.replace(" ", "") for line in lines), "<|endoftext|>"]
    vocab = json.dumps({token: id for id, token in enumerate(tokens)})
    (folder / "vocab.json").write_text(vocab, encoding="utf-8")
    (folder / "merges.txt").write_text(version + "\n".join(lines) + "\n", encoding="utf-8")
    return folder / "vocab.json", folder / "merges.txt"


@pytest.mark.parametrize("version", ["#version: 0.2\n", ""])
def test_gpt2s_two_files_encode_as_tiktoken_and_tokenizers_do(tmp_path, text, tokenizer, version):
    vocab_json, merges_txt = write_gpt2_files(tmp_path, tokenizer, version)
    ours = Tokenizer.from_gpt2(vocab_json, merges_txt)
    last = ours.n_vocab - 1
    assert ours.merges == tokenizer.merges and ours.special_tokens == {"<|endoftext|>": last}
    assert ours.encode("!<|endoftext|>", "all") == [0, last]    # GPT-2's id 0 is the "!"
    tiktoken, tokenizers = pytest.importorskip("tiktoken"), pytest.importorskip("tokenizers")
    theirs = tiktoken.Encoding("gpt2-like", pat_str=GPT2_PATTERN, mergeable_ranks=ours.vocab,
                               special_tokens=ours.special_tokens)
    others = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(str(vocab_json), str(merges_txt)))
    others.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    rng = random.Random(10)
    for sample in [text[:50_000], *(old_letters(random_text(rng)) for _ in range(1_500))]:
        ids = ours.encode(sample)
        assert ids == theirs.encode_ordinary(sample) == others.encode(sample).ids, repr(sample)
        with_end = theirs.encode(sample, allowed_special="all")
        assert ours.encode(sample, "all") == with_end, repr(sample)


def test_a_merge_in_gpt2s_file_may_begin_with_the_sign_of_a_comment(tmp_path):
    tokenizer = train_bpe(["## ##"], 258)
    files = write_gpt2_files(tmp_path, tokenizer)
    assert tokenizer.merges[0] == (b"#", b"#")
    assert Tokenizer.from_gpt2(*files).merges == tokenizer.merges


def broken(change):
    def write(path, content):
        change(content)
        path.write_text(json.dumps(content))
    return write


@pytest.mark.parametrize("break_it, words", [
    (lambda path, content: path.write_text(""), "is not JSON"),
    (lambda path, content: path.write_bytes(b"\xff\xfe"), "is not JSON"),
    (lambda path, content: path.write_text('{"a": 1}'), "not a tokenizer.json"),
    (lambda path, content: path.write_text("[]"), "not a tokenizer.json"),
    (broken(lambda c: c.update(normalizer={"type": "NFC"})), 'normalizer type is "NFC"'),
    (broken(lambda c: c["model"].update(type="WordPiece")), 'model type is "WordPiece"'),
    (broken(lambda c: c["model"].update(dropout=0.1)), "model dropout is 0.1"),
    (broken(lambda c: c["model"].pop("merges")), "KeyError 'merges'"),
    (broken(lambda c: c["pre_tokenizer"].update(add_prefix_space=True)), "prefix_space is true"),
    (broken(lambda c: c.update(pre_tokenizer=None)), "pre_tokenizer type is null"),
    (broken(lambda c: c["pre_tokenizer"].update(use_regex=False)), "use_regex is false"),
    (broken(lambda c: c.update(post_processor={"type": "Template"})), "post_processor type"),
    (broken(lambda c: c["model"]["merges"].append(["a", "qqq"])), "merge 766 needs 'qqq'"),
    (broken(lambda c: c["model"]["merges"].append(["a"])), "merge 766 is"),
    (broken(lambda c: c["model"]["merges"].append(["Z", "Z"])), "merge 766 needs 'ZZ'"),
    (broken(lambda c: c["model"]["vocab"].pop("Ā")), "byte 0 has no token"),
    (broken(lambda c: c["model"]["vocab"].pop("ÿ")), "byte 255 has no token"),
    (broken(lambda c: c["model"]["vocab"].update({"a": -1})), "whole numbers"),
    (broken(lambda c: c["model"]["vocab"].update({"a": 2000.5})), "whole numbers"),
    (broken(lambda c: c["model"]["vocab"].update({"a": 5})), "not all different"),
    (broken(lambda c: c["model"]["vocab"].update({"▁the": 5000})), "'▁the'"),
    (broken(lambda c: c["added_tokens"][0].update(lstrip=True)), "lstrip is true")])
def test_a_broken_or_foreign_file_is_named_with_what_is_wrong(tmp_path, tokenizer, break_it, words):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    break_it(path, json.loads(path.read_text(encoding="utf-8")))
    with pytest.raises(ValueError, match=words) as error:
        Tokenizer.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_byte_level_that_does_not_say_use_regex_uses_it(tmp_path, tokenizer, text):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["pre_tokenizer"]["use_regex"]
    path.write_text(json.dumps(content))
    assert Tokenizer.load(path).encode(text[:1_000]) == tokenizer.encode(text[:1_000])
    train_bpe([text], 300, (), GPT4_PATTERN).save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["pre_tokenizer"]["pretokenizers"][1]["use_regex"]   # cuts once more, as GPT-2 does
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="use_regex is true"):
        Tokenizer.load(path)


# ------------------------------------------------------------------------------------- command line
@beside
def test_the_command_line_trains_and_shows_tokens(tmp_path):
    text, new = tmp_path / "text.txt", tmp_path / "new.json"
    text.write_text("".join(english(100_000)), encoding="utf-8")
    code, printed, errors = run_script("bpe.py", text, "--vocab-size", 500, "--out", new)
    assert code == 0 and not errors, errors
    assert "first merges" in printed and "500 tokens" in printed and "bytes a token" in printed
    code, printed, errors = run_script("bpe.py", new, "some more")
    assert code == 0 and not errors
    assert printed.splitlines()[0].replace("|", "").strip() == "some more"
    ids = list(map(int, printed.split("tokens:")[1].split()))
    assert Tokenizer.load(new).decode(ids) == "some more"
    assert printed.splitlines()[1].startswith(f"{len(ids)} tokens:")
    assert len(printed.splitlines()[0].split("|")) == len(ids) > 1


def bpe_command(monkeypatch, capsys, *arguments):
    """What `python bpe.py ...` prints, in this process."""
    from run import tokens
    monkeypatch.setattr(sys, "argv", ["bpe.py", *map(str, arguments)])
    tokens.main()
    printed, errors = capsys.readouterr()
    assert not errors                       # no progress where no terminal is
    return printed


def test_what_training_prints_is_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = "żółw żółwie ślimak, ślimaka; gżegżółka\n" * 20
    Path("text.txt").write_text(text, encoding="utf-8")
    printed = bpe_command(monkeypatch, capsys, "text.txt", "--vocab-size", 279)
    tokenizer = Tokenizer.load("tokenizer.json")
    assert list(tokenizer.special_tokens) == SPECIALS and len(tokenizer.merges) == 20
    first, line, sample = printed.splitlines()
    assert first.split("): ")[1].split() == [
        bpe.to_chars(a + b) for a, b in tokenizer.merges[:12]]
    per_token = len(text.encode()) / len(tokenizer.encode(text))
    assert line.startswith("279 tokens in ")
    assert line.endswith(f" s, {per_token:.2f} bytes a token -> tokenizer.json")
    assert sample.replace("|", "").startswith("żółw ") and "\\x" not in sample.split("|")[-1]


def test_only_a_tokenizer_and_a_text_that_is_no_file_show_tokens(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("aaaa ")
    Path("b").write_text("xyxy ")
    assert "first merges" in bpe_command(monkeypatch, capsys, "a", "b")     # of both together
    assert set(Tokenizer.load("tokenizer.json").merges) >= {(b"a", b"a"), (b"x", b"y")}
    printed = bpe_command(monkeypatch, capsys, "tokenizer.json", "<|user|>\naaxéé")
    ids = Tokenizer.load("tokenizer.json").encode_ordinary("<|user|>\naaxéé")
    assert printed.endswith(f"\n{len(ids)} tokens: {' '.join(map(str, ids))}\n")
    assert printed.splitlines()[0].strip() == r"<|||u|s|e|r|||>|\n|aa|x|\xc3|\xa9|\xc3|\xa9"
    assert "first merges" in bpe_command(monkeypatch, capsys, "tokenizer.json", "a", "--out", "c")


def test_on_a_terminal_each_token_differs_in_colour_from_the_next(tokenizer, monkeypatch):
    from run.tokens import painted
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    text = "seven tokens, \nor more!"
    ids = tokenizer.encode(text)
    *colours, reset = re.findall("\033\\[[0-9;]*m", painted(tokenizer, ids))
    assert re.sub("\033\\[[0-9;]*m", "", painted(tokenizer, ids)) == text.replace("\n", r"\n")
    assert len(colours) == len(ids) and reset == "\033[0m"
    assert all(one != other for one, other in itertools.pairwise(colours))


def test_files_are_read_line_by_line_and_character_for_character(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    content = b"17 signs a line\r\n" * 70_000 + b"caf\xe9\r\n"     # 1.2 MB
    first.write_bytes(content)
    second.write_bytes(b"the end\n")
    texts = list(read_texts([first, second]))
    assert "".join(texts) == content.decode(errors="replace") + "the end\n"
    assert len(texts) == 3 and all(text.endswith("\n") for text in texts)


def test_a_mistake_on_the_command_line_ends_in_one_line_and_exit_code_2(tmp_path, capsys,
                                                                       monkeypatch):
    from run import tokens
    text, empty, wide, noise = (tmp_path / name for name in ("text", "empty", "wide", "noise"))
    text.write_text("some text, some text")
    empty.write_text("")
    wide.write_text("some text, some text", encoding="utf-16")
    noise.write_bytes(random.Random(11).randbytes(5_000))
    for arguments, words in [
            (["no_such_file.txt"], "no_such_file.txt"),
            ([text, "no_such_file.txt"], "no_such_file.txt"),
            ([empty, "--out", tmp_path / "x"], "nothing to learn"),
            ([text, "--vocab-size", 10], "too small"),
            ([tmp_path], "Is a directory"),
            ([], "required"),
            ([noise, "--out", tmp_path / "x"], "not text in UTF-8"),
            ([wide], "not text in UTF-8"),
            ([text, "--out", text], "another name"),
            ([text, "--out", tmp_path], "--out"),
            ([text, "--out", tmp_path / "no/x"], "--out")]:
        monkeypatch.setattr(sys, "argv", ["bpe.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            tokens.main()
        printed, errors = capsys.readouterr()
        assert ended.value.code == 2 and errors.count("\n") == 1, errors
        assert words in errors and not printed
    assert text.read_text() == "some text, some text" and len(list(tmp_path.iterdir())) == 4


# ------------------------------------------------------------------- by hand: comparison, picture
def least(function, *arguments, times=3, clock=time.perf_counter):
    """-> (result, the least seconds of several runs)."""
    seconds = []
    for _ in range(times):
        start = clock()
        result = function(*arguments)
        seconds.append(clock() - start)
    return result, min(seconds)


def train_theirs(documents):
    import tokenizers
    level = tokenizers.pre_tokenizers.ByteLevel
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = level(add_prefix_space=False)
    theirs.train_from_iterator(documents, tokenizers.trainers.BpeTrainer(
        vocab_size=4096, initial_alphabet=level.alphabet(), show_progress=False))


def compare(name, whole):
    """Training, and encoding on one thread, beside `tokenizers` and `tiktoken` on the same text."""
    import tiktoken
    documents = [whole[i : i + 4096] for i in range(0, len(whole), 4096)]
    megabytes = len(whole.encode()) / 1e6
    ours, seconds = least(train_bpe, documents, 4096, ["<|endoftext|>"])
    _, others = least(train_theirs, documents)
    print(f"{name}, {megabytes:.1f} MB: training to 4,096 tokens {seconds:.2f} s, tokenizers "
          f"{others:.2f} s: {seconds / others:.2f}x", flush=True)
    theirs = tiktoken.Encoding("ours", pat_str=GPT2_PATTERN, mergeable_ranks=ours.vocab,
                               special_tokens=ours.special_tokens)

    def by_document(tokenizer):
        return [tokenizer.encode_ordinary(document) for document in documents]

    def first_time(tokenizer):
        fresh = Tokenizer(ours.vocab, ours.merges) if tokenizer is ours else tokenizer
        return fresh.encode_ordinary(whole[:2_000_000])

    for title, encode in (("by document, warm", by_document), ("2 MB, first time", first_time)):
        ids, seconds = least(encode, ours, times=4, clock=time.process_time)
        same, others = least(encode, theirs, times=4, clock=time.process_time)
        assert ids == same
        print(f"  encoding {title}: {others / seconds:.2f} of tiktoken's speed", flush=True)


def compare_all(paths):
    from data import world
    compare("English-like", "".join(english(10_000_000)))
    compare("the tiny world", "\n".join(world.documents()))
    if paths:
        compare(" ".join(paths), "".join(read_texts(paths)))


def bytes_a_token(merges, sizes, sample):
    found = []
    for size in sizes:
        some = merges[: size - 256]
        tokens = bpe.BYTES + [a + b for a, b in some]
        tokenizer = Tokenizer({token: id for id, token in enumerate(tokens)}, some)
        found.append(len(sample.encode()) / len(tokenizer.encode(sample)))
    return found


def draw(path):
    """Left: bytes a token against vocabulary size, on text not trained on. Right: processor time
    of plain and fast training."""
    import run
    from data import world
    documents = list(world.documents())
    train = [text for i, text in enumerate(documents) if i % 10]
    figure, (left, right) = run.new_picture(columns=2)
    sizes = [256 << k for k in range(6)]
    for name, texts, sample in [
            ("the tiny world", train, "\n".join(documents[::10])),
            ("English-like, 70,000 words", english(4_000_000), "".join(english(400_000, seed=1)))]:
        found = bytes_a_token(train_bpe(texts, 8192).merges, sizes, sample)
        left.plot(sizes, found, "o-", label=name)
        print(name, dict(zip(sizes, found)))
    left.set(xscale="log", xticks=sizes, xticklabels=sizes, xlabel="vocabulary size",
             ylabel="bytes a token, held-out text")
    left.minorticks_off()
    left.legend()
    text = "".join(english(4_000_000))
    for name, learn, lengths in [
            ("plain_merges", bpe.plain_merges, (10_000, 40_000, 160_000)),
            ("learn_merges", bpe.learn_merges, (10_000, 40_000, 160_000, 4_000_000))]:
        seconds = [least(learn, pieces_of(text[:length]), 512, times=1, clock=time.process_time)[1]
                   for length in lengths]
        right.plot([length / 1000 for length in lengths], seconds, "o-", label=name)
        print(name, seconds)
    right.set(xscale="log", yscale="log", xlabel="KB of text", ylabel="seconds to learn 256 merges")
    right.legend()
    run.save_picture(path, figure)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--picture"]:
        draw(sys.argv[2])
    else:
        compare_all(sys.argv[1:])
