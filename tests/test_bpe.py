"""bpe.py: the fast trainer against the plain algorithm, the fast encoder against the slow rule, files against `tokenizers`.

run   pytest tests/test_bpe.py
      python tests/test_bpe.py FILE...       the comparison with `tokenizers` and `tiktoken` (pip install tokenizers tiktoken)
"""
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
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
from conftest import beside

SPECIALS = ["<|endoftext|>", "<|user|>", "<|assistant|>"]
GPT4_PATTERN = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]+"
                r"|\s+(?!\S)|\s+")


# ------------------------------------------------------------------------------------------------------------- texts
def english(characters, seed=0, n_words=70_000):
    """Documents of English-like text, made word by word: Zipf-Mandelbrot frequencies, short words frequent, signs and numbers."""
    rng = random.Random(seed)
    starts, vowels = "b c d f g h j k l m n p r s t v w br ch cl cr st th tr sh sp".split() + [""] * 6, "a e i o u ea ai ou".split()
    ends, tails = "d g l m n p r s t ck ld nd ng nt rk st".split() + [""] * 20, ["", "", "", "", "s", "ed", "ing", "er", "ly", "ness"]
    words = {}
    while len(words) < n_words:
        syllables = rng.choices((1, 2, 3, 4), (3, 5, 3, 1))[0]
        words["".join(map(rng.choice, (starts, vowels, ends) * syllables)) + rng.choice(tails)] = None
    words = sorted(words, key=lambda word: len(word) + rng.gauss(0, 3))
    chances = list(itertools.accumulate(1 / (k + 2.7) for k in range(n_words)))
    while characters > 0:
        sentences = []
        for _ in range(rng.randint(8, 30)):
            some = rng.choices(words, cum_weights=chances, k=rng.randint(5, 25))
            some[0] = some[0].capitalize()
            for i in range(len(some)):
                chance = rng.random()
                some[i] = (some[i].capitalize() if chance < .04 else str(rng.randint(1, 9999)) if chance < .06 else some[i] + "'s"
                           if chance < .07 else some[i] + "," if chance < .13 else f'"{some[i]}"' if chance < .14 else some[i])
            sentences.append(" ".join(some) + rng.choice(".....?!") + rng.choice([" ", " ", " ", "\n\n"]))
        yield "".join(sentences)
        characters -= sum(map(len, sentences))


def random_text(rng, longest=40):
    """Strings from all of Unicode, with what splits and joins: spaces of all kinds, controls, emoji with joiners, contractions."""
    kinds = [lambda: chr(rng.randrange(32, 127)), lambda: chr(rng.randrange(0x20)), lambda: rng.choice(" \n\t\r\x1c\x85\xa0\u2028\u3000 "),
             lambda: chr(rng.randrange(0xD800)), lambda: chr(rng.randrange(0xE000, 0x110000)), lambda: rng.choice(["'s", "'ll", "'", "  "]),
             lambda: "👩\u200d👧\u200d👦", lambda: "🇫🇷", lambda: rng.choice(SPECIALS), lambda: "e\u0301", lambda: rng.choice("aab")]
    return "".join(rng.choice(kinds)() for _ in range(rng.randint(0, longest)))


@pytest.fixture(scope="module")
def text():
    return "".join(english(300_000, n_words=5_000))


@pytest.fixture(scope="module")
def tokenizer(text):
    return train_bpe([text], 1024, SPECIALS)


# ------------------------------------------------------------------------------------------------- the plain algorithm
def plain_merge(word, pair):
    out = []
    for token in word:
        if out and (out[-1], token) == pair:                    # a merged token is longer than pair[0]: it never fits again
            out[-1] += token
        else:
            out.append(token)
    return tuple(out)


def plain_train(words, n_tokens):
    """Sennrich et al. 2016, algorithm 1. words: dict bytes -> count. Counts all pairs anew before each merge."""
    words = Counter({tuple(word[i:i + 1] for i in range(len(word))): count for word, count in words.items()})
    merges = []
    while len(merges) < n_tokens - 256:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        merges.append(max(pairs, key=lambda pair: (pairs[pair], pair)))
        merged = Counter()
        for word, count in words.items():
            merged[plain_merge(word, merges[-1])] += count
        words = merged
    return merges


def plain_encode(text, tokenizer):
    """Cut by the pattern, then apply every merge in the order learnt to the whole piece."""
    ids = []
    for piece in regex.findall(tokenizer.pattern, text):
        word = tuple(bytes([byte]) for byte in piece.encode())
        for pair in tokenizer.merges:
            word = plain_merge(word, pair)
        ids += [tokenizer.vocab[token] for token in word]
    return ids


# ------------------------------------------------------------------------------------------------------------- training
def test_merges_worked_by_hand():
    # u g 20 times, u n 16, h ug 15, p un 12, then p ug 5 and hug s 5: "p" is the greater first half
    words = {b"hug": 10, b"pug": 5, b"pun": 12, b"bun": 4, b"hugs": 5}
    assert bpe.learn_merges(words, 261) == [(b"u", b"g"), (b"u", b"n"), (b"h", b"ug"), (b"p", b"un"), (b"p", b"ug")]


def test_of_equal_pairs_the_greater_bytes_merge_first():
    assert train_bpe(["ab cd zz"], 257).merges == [(b"z", b"z")]
    assert bpe.learn_merges({b"xa": 1, b"xab": 1, b"xabc": 0}, 257) == [(b"x", b"a")]
    assert sorted([b"", b"a", b"ab", b"b", b"\xff", b"\xff\xff", b"a\x00"], key=bpe.falling) == \
        sorted([b"", b"a", b"ab", b"b", b"\xff", b"\xff\xff", b"a\x00"], reverse=True)


def test_fast_and_plain_training_give_the_same_merges_on_every_drawn_text():
    rng = random.Random(1)
    for alphabet in ["a", "ab", "abc", "abcdé ", "the and 'll \n12.,", "日本語 \u3000x"] * 40:
        texts = ["".join(rng.choices(alphabet, k=rng.randint(0, 60))) for _ in range(rng.randint(1, 5))]
        n_tokens = 256 + rng.randint(0, 60)
        words = Counter(piece.encode() for text in texts for piece in regex.findall(GPT2_PATTERN, text))
        merges = train_bpe(texts, n_tokens).merges
        assert merges == plain_train(words, n_tokens), texts
        assert train_bpe(texts, 20_000).merges[:len(merges)] == merges          # the same where ids take 32 bits
        assert len({a + b for a, b in merges}) == len(merges)                   # no two merges make the same token


def test_counts_may_pass_two_thousand_millions():
    assert bpe.learn_merges({b"ab": 1 << 31, b"cd": 1 << 31, b"xab": 1}, 258) == [(b"a", b"b"), (b"c", b"d")]


def test_the_last_ids_of_sixteen_bits_merge_as_with_32():
    rng, limit = random.Random(3), 1 << 14
    text = " ".join("".join(rng.choices("abcdefghij", k=7)) for _ in range(12_000))
    merges = train_bpe([text], limit).merges
    assert len(merges) == limit - 256 and merges == train_bpe([text], limit + 1).merges[:-1]


def test_fast_and_plain_training_agree_on_english(text):
    text = text[:100_000]
    words = Counter(piece.encode() for piece in regex.findall(GPT2_PATTERN, text))
    assert train_bpe([text], 330).merges == plain_train(words, 330)


def test_nothing_merges_across_a_special_token_and_none_is_learnt():
    tokenizer = train_bpe(["ab<|user|>cd", "<|user|><|endoftext|>"] * 50, 400, SPECIALS)
    assert set(tokenizer.merges) == {(b"a", b"b"), (b"c", b"d")}
    assert tokenizer.n_vocab == 256 + 2 + 3 and list(tokenizer.special_tokens) == SPECIALS


def test_bytes_come_first_then_merges_then_special_tokens(tokenizer):
    assert tokenizer.n_vocab == 1024 and tokenizer.special_tokens == dict(zip(SPECIALS, (1021, 1022, 1023)))
    assert [tokenizer.decode_bytes([id]) for id in range(256)] == [bytes([id]) for id in range(256)]
    assert tokenizer.decode_bytes([256]) == b"".join(tokenizer.merges[0])


def test_any_number_of_workers_learns_the_same():
    texts = list(english(600_000, seed=3, n_words=3_000)) * 4                   # 2.4 MB: five to fifteen rounds
    counts = [bpe.count_pieces(iter(texts), GPT2_PATTERN, SPECIALS, workers, lambda line: None, share=1 << 17) for workers in (1, 2, 3)]
    assert counts[0] == counts[1] == counts[2] and counts[0][b" a"] == sum(len(regex.findall(r" a(?!\p{L})", text)) for text in texts)


def test_training_memory_follows_the_different_pieces_not_the_text():
    def texts():
        for _ in range(300):
            yield (" " + "somewordswithoutendthatcomebackagain" * 4) * 1_000    # 43 MB together, one piece
    tracemalloc.start()
    train_bpe(texts(), 300, workers=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6                                                          # two rounds of 8 million characters and some


@pytest.mark.parametrize("arguments, words", [((["a"], 255), "255 is too small"), ((["a"], 258, SPECIALS), "3 special|are 259"),
    (("one text", 300), "iterable"), ((["a"], 300, ["x"]), "'x' is too short"), ((["a\ud800"], 300), r"surrogate '\\ud800'"),
    ((["ab"], 300, (), "(a)|b"), r"group"), ((["ab"], 300, (), "a"), "loses"), ((["ab"], 300, (), "("), "bad split pattern")])
def test_what_cannot_be_trained_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        train_bpe(*arguments)


# ------------------------------------------------------------------------------------------------------------- encoding
def test_chunks_cut_again_are_the_pieces_of_the_whole_text():
    cut = regex.compile(GPT2_PATTERN).findall
    to_chunks, to_pieces = bpe.splitters(GPT2_PATTERN)
    rng = random.Random(4)
    spaces = [chr(c) for c in range(0x3001) if chr(c).isspace() or regex.match(r"\s", chr(c))] + ["\u180e", "\u200b", "\ufeff"]
    texts = [a + s + t + b for a in ("", "a", "1", ".", " ") for b in ("", "a", "1", "'s", " ") for s in spaces for t in (*spaces, "")]
    texts += ["".join(rng.choices(["a", "é", "1", "²", ".", "'", "'s", "'ll", *" \n\t\x1c", " "], k=12)) for _ in range(10_000)]
    for text in texts + [random_text(rng) for _ in range(3_000)]:
        pieces = cut(text)
        assert [piece for chunk in to_chunks(text) for piece in to_pieces(chunk)] == pieces, repr(text)
        assert all(cut(piece) == [piece] for piece in pieces), repr(text)       # so that pieces can share the cache with chunks
    for text in texts[:300] + [random_text(rng) for _ in range(3_000)]:
        counts = Counter(piece.encode() for part in bpe.special_finder(frozenset(SPECIALS)).split(text)[::2] for piece in cut(part))
        assert bpe.count_batch([text], GPT2_PATTERN, frozenset(SPECIALS)) == counts, repr(text)
    counts = Counter(piece.encode() for text in texts for piece in cut(text))
    joined = [SPECIALS[0].join(texts[i:i + 5]) for i in range(0, len(texts), 5)]
    for size in (1_000, 1 << 20):
        assert bpe.count_batch(joined, GPT2_PATTERN, frozenset(SPECIALS), size) == counts


def test_encoding_is_every_merge_in_the_order_learnt(tokenizer, text):
    rng = random.Random(5)
    small = train_bpe([text], 400)
    for sample in [text[:3_000], *(random_text(rng) for _ in range(300)), "aaaaaaa  aaaa a", "the the"]:
        assert small.encode_ordinary(sample) == plain_encode(sample, small), repr(sample)


def test_random_strings_and_random_bytes_come_back(tokenizer):
    rng = random.Random(6)
    for _ in range(4_000):
        text = random_text(rng)
        assert tokenizer.decode(tokenizer.encode(text)) == text, repr(text)
        assert tokenizer.decode(tokenizer.encode(text, "all")) == text, repr(text)
        raw = rng.randbytes(rng.randint(0, 30))
        ids = [tokenizer.vocab[token] for token in bpe.merge_piece(raw, tokenizer.ranks)]
        assert tokenizer.decode_bytes(ids) == raw and tokenizer.decode(ids) == raw.decode(errors="replace")


def test_a_cache_that_overflows_changes_nothing(tokenizer, text):
    ids = tokenizer.encode(text)
    small = Tokenizer(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)
    small.cache.most = 10
    assert small.encode(text) == ids and len(small.cache) <= 10


@pytest.mark.parametrize("piece", ["a" * 1_000_000, "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz", k=1_000_000))],
                         ids=["one letter", "random letters"])
def test_a_megabyte_without_a_space_takes_seconds(tokenizer, piece):
    start = time.process_time()
    assert tokenizer.decode(tokenizer.encode(piece)) == piece
    trained = train_bpe([piece], 300, workers=1)
    assert trained.n_vocab > 260
    assert list(itertools.islice(trained.encode_iterable(piece[i:i + 100] for i in range(0, 200_000, 100)), 3))
    assert time.process_time() - start < 20


def test_a_control_string_is_ordinary_text_unless_allowed(tokenizer):
    end, user = tokenizer.special_tokens["<|endoftext|>"], tokenizer.special_tokens["<|user|>"]
    text = "<|user|>hi<|endoftext|>"
    assert not {end, user} & set(tokenizer.encode(text)) and tokenizer.encode(text) == tokenizer.encode_ordinary(text)
    assert tokenizer.encode(text, "all") == [user, *tokenizer.encode_ordinary("hi"), end]
    assert tokenizer.encode(text, {"<|user|>"}) == [user, *tokenizer.encode_ordinary("hi<|endoftext|>")]
    for wrong in ["<|user|>", {"<|system|>"}]:
        with pytest.raises(ValueError, match="allowed_special"):
            tokenizer.encode(text, wrong)


def test_of_overlapping_special_tokens_the_longest_wins():
    tokenizer = train_bpe(["a"], 260, ["<|a|>", "<|a|><|a|>", "<|a", "(.*)"])
    ids = tokenizer.special_tokens
    assert tokenizer.encode("<|a|><|a|><|a|><|a(.*)", "all") == [ids[name] for name in ("<|a|><|a|>", "<|a|>", "<|a", "(.*)")]


@pytest.mark.parametrize("pattern", [GPT2_PATTERN, GPT4_PATTERN], ids=["gpt2", "gpt4"])
def test_parts_of_a_text_give_the_ids_of_the_joined_text(text, pattern):
    tokenizer, rng = train_bpe([text], 500, SPECIALS + ["<|user|>\n"], pattern), random.Random(8)
    for k in range(600):
        whole = random_text(rng, 60) if k % 2 else "".join(rng.choices(["a", " ", "\n", "don't ", "it'", "s", ".", "<|user|>", "<|us", "<"], k=30))
        cuts = sorted(rng.randint(0, len(whole)) for _ in range(rng.randint(0, 20)))
        parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)])]
        for allowed in ((), "all", ["<|user|>"]):
            assert list(tokenizer.encode_iterable(parts, allowed)) == tokenizer.encode(whole, allowed), parts


def test_an_endless_text_is_encoded_lazily_in_constant_memory(tokenizer):
    tokenizer = Tokenizer(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)  # its cache is empty
    lines = (f"line {n % 1000} of a text without end\n" for n in itertools.count())
    assert next(tokenizer.encode_iterable(lines)) is not None and next(lines).startswith("line ") and int(next(lines).split()[1]) < 5
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
    assert ids.dtype == np.uint16 and ids.tolist() == [id for d in documents for id in (*tokenizer.encode_ordinary(d), end)]
    assert tokenizer.encode_corpus([]).tolist() == []
    wide = Tokenizer(tokenizer.vocab, tokenizer.merges, {"<|endoftext|>": 65_536})
    assert wide.encode_corpus(["a"]).dtype == np.uint32 and wide.encode_corpus(["a"]).tolist() == [97, 65_536]
    with pytest.raises(ValueError, match="iterable"):
        tokenizer.encode_corpus("one document")
    with pytest.raises(ValueError, match=r"no <\|endoftext\|>"):
        train_bpe(["ab"], 257).encode_corpus(["ab"])


def test_decoding_replaces_broken_utf8_and_refuses_unknown_ids(tokenizer):
    assert tokenizer.decode([0xF0, 0x9F, 97]) == "\ufffda" and tokenizer.decode_bytes([0xF0, 0x9F, 97]) == b"\xf0\x9fa"
    assert tokenizer.decode(np.array([104, 105], np.uint16)) == "hi"
    for unknown in (1024, -1, 99999):
        with pytest.raises(ValueError, match=f"unknown token id {unknown}"):
            tokenizer.decode([97, unknown])


@pytest.mark.parametrize("encode", [Tokenizer.encode, Tokenizer.encode_ordinary, lambda t, s: list(t.encode_iterable([s])),
                                    lambda t, s: t.encode_corpus([s])])
def test_lone_surrogates_are_refused_by_name(tokenizer, encode):
    with pytest.raises(ValueError, match=r"surrogate '\\udcff'"):
        encode(tokenizer, "good text \udcff")


# ---------------------------------------------------------------------------------------------------------------- files
@pytest.mark.parametrize("pattern", [GPT2_PATTERN, GPT4_PATTERN], ids=["gpt2", "gpt4"])
def test_a_saved_tokenizer_comes_back_and_tokenizers_reads_it(tmp_path, text, pattern):
    tokenizer, rng = train_bpe([text], 700, SPECIALS, pattern), random.Random(9)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (again.vocab, again.merges, again.special_tokens, again.pattern) == \
        (tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens, tokenizer.pattern)
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for sample in [text[:100_000], *(old_letters(random_text(rng)) for _ in range(2_000))]:
        ids = tokenizer.encode(sample, "all")
        assert theirs.encode(sample).ids == ids and theirs.decode(ids, skip_special_tokens=False) == sample, repr(sample)


def old_letters(text):
    """Without letters so new that packages differ on whether they are letters: planes 1 and 3 up."""
    return "".join(char for char in text if ord(char) < 0xA700 or 0xAC00 <= ord(char) < 0xD7A4 or 0x1F300 <= ord(char) < 0x1FA00)


def test_a_file_that_tokenizers_trained_gives_the_same_ids(tmp_path, text):
    tokenizers = pytest.importorskip("tokenizers")
    level = tokenizers.pre_tokenizers.ByteLevel
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = level(add_prefix_space=False)
    theirs.train_from_iterator([text], tokenizers.trainers.BpeTrainer(
        vocab_size=700, special_tokens=SPECIALS, initial_alphabet=level.alphabet(), show_progress=False))
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = Tokenizer.load(tmp_path / "tokenizer.json")
    assert ours.n_vocab == 700 and ours.special_tokens == dict(zip(SPECIALS, range(3)))
    assert ours.encode("<|user|>" + text, "all") == theirs.encode("<|user|>" + text).ids


def write_gpt2_files(folder, tokenizer, version="#version: 0.2\n"):
    """The layout of GPT-2's published files: printable bytes first, ids of merges from 256 on, <|endoftext|> last."""
    chars = [char for char in bpe.BYTE_TO_CHAR if ord(char) < 256] + [char for char in bpe.BYTE_TO_CHAR if ord(char) >= 256]
    lines = [f"{bpe.to_chars(a)} {bpe.to_chars(b)}" for a, b in tokenizer.merges]
    vocab = [*chars, *dict.fromkeys(line.replace(" ", "") for line in lines), "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: id for id, token in enumerate(vocab)}), encoding="utf-8")
    (folder / "merges.txt").write_text(version + "\n".join(lines) + "\n", encoding="utf-8")
    return folder / "vocab.json", folder / "merges.txt"


@pytest.mark.parametrize("version", ["#version: 0.2\n", ""])
def test_gpt2s_two_files_encode_as_tiktoken_and_tokenizers_do(tmp_path, text, tokenizer, version):
    vocab_json, merges_txt = write_gpt2_files(tmp_path, tokenizer, version)
    ours = Tokenizer.from_gpt2(vocab_json, merges_txt)
    assert ours.merges == tokenizer.merges and ours.special_tokens == {"<|endoftext|>": ours.n_vocab - 1}
    assert ours.encode("!<|endoftext|>", "all") == [0, ours.n_vocab - 1]        # GPT-2's id 0 is the exclamation mark
    tiktoken, tokenizers = pytest.importorskip("tiktoken"), pytest.importorskip("tokenizers")
    theirs = tiktoken.Encoding("gpt2-like", pat_str=GPT2_PATTERN, mergeable_ranks=ours.vocab, special_tokens=ours.special_tokens)
    others = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(str(vocab_json), str(merges_txt)))
    others.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    rng = random.Random(10)
    for sample in [text[:50_000], *(old_letters(random_text(rng)) for _ in range(1_500))]:
        assert ours.encode(sample) == theirs.encode_ordinary(sample) == others.encode(sample).ids, repr(sample)
        assert ours.encode(sample, "all") == theirs.encode(sample, allowed_special="all"), repr(sample)


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
    (broken(lambda c: c["pre_tokenizer"].update(add_prefix_space=True)), "add_prefix_space is true"),
    (broken(lambda c: c.update(pre_tokenizer=None)), "pre_tokenizer type is null"),
    (broken(lambda c: c.update(post_processor={"type": "TemplateProcessing"})), "post_processor type"),
    (broken(lambda c: c["model"]["merges"].append(["a", "qqq"])), "merge 766 needs 'qqq'"),
    (broken(lambda c: c["model"]["merges"].append(["a"])), "merge 766 is"),
    (broken(lambda c: c["model"]["vocab"].pop("Ā")), "byte 0 has no token"),
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


# --------------------------------------------------------------------------------------------------------- command line
def command(*arguments):
    done = subprocess.run([sys.executable, bpe.__file__, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8",
                          cwd=Path(__file__).parent.parent)
    return done.returncode, done.stdout, done.stderr


@beside
def test_the_command_line_trains_and_shows_tokens(tmp_path):
    (tmp_path / "text.txt").write_text("".join(english(100_000)), encoding="utf-8")
    code, printed, errors = command(tmp_path / "text.txt", "--vocab-size", 500, "--out", tmp_path / "new.json")
    assert code == 0 and not errors and "first merges" in printed and "500 tokens" in printed and "bytes a token" in printed
    code, printed, errors = command(tmp_path / "new.json", "some more")
    assert code == 0 and not errors and printed.splitlines()[0].replace("|", "").strip() == "some more"
    assert Tokenizer.load(tmp_path / "new.json").decode(map(int, printed.split("tokens:")[1].split())) == "some more"


def test_a_mistake_on_the_command_line_ends_in_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch):
    run = pytest.importorskip("run")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "text.txt").write_text("some text, some text")
    (tmp_path / "wide.txt").write_text("some text, some text", encoding="utf-16")
    (tmp_path / "noise.bin").write_bytes(random.Random(11).randbytes(5_000))
    for arguments, words in [(["no_such_file.txt"], "no_such_file.txt"), ([tmp_path / "empty.txt", "--out", tmp_path / "x"], "nothing to learn"),
                             ([tmp_path / "text.txt", "--vocab-size", 10], "too small"), ([tmp_path], "Is a directory"), ([], "required"),
                             ([tmp_path / "noise.bin", "--out", tmp_path / "x"], "not text in UTF-8"), ([tmp_path / "wide.txt"], "not text in UTF-8"),
                             ([tmp_path / "text.txt", "--out", tmp_path / "text.txt"], "another name"),
                             ([tmp_path / "text.txt", "--out", tmp_path], "--out"), ([tmp_path / "text.txt", "--out", tmp_path / "no/x"], "--out")]:
        monkeypatch.setattr(sys, "argv", ["bpe.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run.main(bpe.main)
        printed, errors = capsys.readouterr()
        assert ended.value.code == 2 and errors.count("\n") == 1 and words in errors and not printed
    assert (tmp_path / "text.txt").read_text() == "some text, some text" and len(list(tmp_path.iterdir())) == 4


# ----------------------------------------------------------------------------------------- by hand: comparison, picture
def seconds_of(function, *arguments, times=1):
    """-> (result, least wall seconds, least processor seconds of all threads and processes)."""
    walls, works = [], []
    for _ in range(times):
        wall, before = time.perf_counter(), sum(os.times()[:4])
        result = function(*arguments)
        walls.append(time.perf_counter() - wall)
        works.append(sum(os.times()[:4]) - before)
    return result, min(walls), min(works)


def compare(paths):
    """Training, and encoding warm on one thread, side by side with `tokenizers` and `tiktoken` on the same text."""
    import tiktoken
    import tokenizers
    whole = "".join(bpe.read_texts(paths) if paths else english(10_000_000))
    documents, megabytes = [whole[i:i + 4096] for i in range(0, len(whole), 4096)], len(whole.encode()) / 1e6
    level = tokenizers.pre_tokenizers.ByteLevel
    show = lambda name, wall, work: print(f"  {name:30} {wall:6.2f} s, {work:6.2f} s of processor time", flush=True)

    def train_theirs():
        theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
        theirs.pre_tokenizer = level(add_prefix_space=False)
        theirs.train_from_iterator(documents, tokenizers.trainers.BpeTrainer(
            vocab_size=4096, initial_alphabet=level.alphabet(), show_progress=False))

    print(f"training on {megabytes:.1f} MB, V=4096 (best of 3)")
    ours, *figures = seconds_of(train_bpe, documents, 4096, ["<|endoftext|>"], times=3)
    show("bpe.py", *figures)
    show("tokenizers", *seconds_of(train_theirs, times=3)[1:])
    show("bpe.py, 130 KB, V=500", *seconds_of(train_bpe, [whole[:130_000]], 500, times=3)[1:])
    with tempfile.TemporaryDirectory() as folder:
        ours.save(f"{folder}/tokenizer.json")
        hf = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    tik = tiktoken.Encoding("ours", pat_str=GPT2_PATTERN, mergeable_ranks=ours.vocab, special_tokens=ours.special_tokens)
    print("encoding the same text, MB a second of processor time, one thread")
    for name, encode, times in [("bpe.py, cold", ours.encode_ordinary, 1), ("bpe.py, warm, list", ours.encode_ordinary, 5),
                                ("bpe.py, warm, encode_corpus", lambda text: ours.encode_corpus(documents), 5),
                                ("tiktoken, warm", tik.encode_ordinary, 5), ("tokenizers", lambda text: hf.encode(text).ids, 1)]:
        ids, wall, work = seconds_of(encode, whole, times=times)
        print(f"  {name:30} {megabytes / work:6.2f}", flush=True)
        assert "corpus" in name or ids == ours.encode_ordinary(whole)


def draw(path):
    """Left: bytes a token against vocabulary size, on text not trained on. Right: processor time of plain and fast training."""
    from data import world
    import run
    documents = list(world.documents())
    train, held_out = [text for i, text in enumerate(documents) if i % 10], "\n".join(documents[::10])
    figure, (left, right) = run.new_picture(columns=2)
    for name, texts, sample in [("the tiny world", train, held_out), ("English-like, 70,000 words", list(english(4_000_000)),
                                                                   "".join(english(400_000, seed=1)))]:
        merges, sizes = train_bpe(texts, 8192).merges, [256 << k for k in range(6)]
        bytes_a_token = []
        for size in sizes:
            vocab = {bytes([byte]): byte for byte in range(256)} | {a + b: 256 + i for i, (a, b) in enumerate(merges[:size - 256])}
            ids = Tokenizer(vocab, merges[:size - 256]).encode(sample)
            bytes_a_token.append(len(sample.encode()) / len(ids))
        left.plot(sizes, bytes_a_token, "o-", label=name)
        print(name, dict(zip(sizes, bytes_a_token)))
    left.set(xscale="log", xticks=sizes, xticklabels=sizes, xlabel="vocabulary size", ylabel="bytes a token, held-out text")
    left.minorticks_off()
    left.legend()
    text = "".join(english(4_000_000))
    for name, learn, lengths in [("plain", plain_train, (10_000, 40_000, 160_000)),
                                 ("bpe.py", bpe.learn_merges, (10_000, 40_000, 160_000, 4_000_000))]:
        seconds = []
        for length in lengths:
            words = Counter(piece.encode() for piece in regex.findall(GPT2_PATTERN, text[:length]))
            start = time.process_time()
            learn(words, 512)
            seconds.append(time.process_time() - start)
        right.plot([length / 1000 for length in lengths], seconds, "o-", label=name)
        print(name, seconds)
    right.set(xscale="log", yscale="log", xlabel="KB of text", ylabel="seconds to learn 256 merges")
    right.legend()
    run.save_picture(path, figure)


if __name__ == "__main__":
    draw(sys.argv[2]) if sys.argv[1:2] == ["--picture"] else compare(sys.argv[1:])
