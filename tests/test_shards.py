"""Shards hold the text as it was written; rows are drawn by the generator alone; pools of processes
start in each of Python's ways."""
import json
import subprocess
import sys
from hashlib import blake2b

import numpy as np
import pytest
import torch

import run
from bpe import train_bpe
from conftest import ENVIRONMENT, ROOT, beside
from data.shards import (Shards, ShardWriter, load_shards, place_of, sample_rows, split_documents,
                         tail_to_hold_out, write_shards)
from model import END, SPECIAL_TOKENS
from run import UserError, saving
from run.saving import dependencies, finished_shards
from run.workers import batches, in_order


@pytest.fixture(scope="module")
def tokenizer():
    text = "the cat sat on the mat. the dog sat on the log. "
    return train_bpe([text] * 9, 300, SPECIAL_TOKENS)


def test_shards_hold_documents_and_their_end_tokens_and_control_strings_stay_text(
        tmp_path, tokenizer):
    train = ["the cat", f"on {END} the mat <|user|>", ""]
    documents = [("train", train[0]), ("heldout", "the dög")]
    documents += [("train", text) for text in train[1:]]
    write_shards(tmp_path, iter(documents), tokenizer, workers=1)
    end = tokenizer.special_tokens[END]
    ids = load_shards(tmp_path, "train")[:].tolist()
    assert ids == [id for text in train for id in [*tokenizer.encode_ordinary(text), end]]
    assert ids.count(end) == 3 and tokenizer.special_tokens["<|user|>"] not in ids
    tokens = len(load_shards(tmp_path, "heldout"))
    assert json.loads((tmp_path / "shards.json").read_text())["heldout"] == {
        "files": [["heldout-00000.bin", tokens]], "tokens": tokens, "documents": 1, "bytes": 8}
    heldout = [*tokenizer.encode_ordinary("the dög"), end]
    assert load_shards(tmp_path, "heldout")[:].tolist() == heldout
    entry = json.loads((tmp_path / "shards.json").read_text())["train"]
    assert entry["documents"] == 3 and entry["bytes"] == sum(map(len, train))


def test_a_row_of_shard_files_reads_like_one_and_a_rerun_leaves_no_old_files(tmp_path):
    for tokens, files in ((100, 3), (10, 1)):
        writer = ShardWriter(tmp_path, "train", shard_tokens=40)
        for start in range(0, tokens, 10):
            writer.add(np.arange(start, start + 10, dtype=np.uint16), 1, 10)
        entry = writer.close()
        assert len(entry["files"]) == files == len(list(tmp_path.glob("train-*.bin")))
        assert entry["files"][0][1] == min(tokens, 40) and entry["tokens"] == tokens
        assert (entry["documents"], entry["bytes"]) == (tokens // 10, tokens)
    shards = Shards([np.arange(0, 40), np.arange(40, 45), np.arange(45, 100)])
    assert len(shards) == 100
    assert shards[38:47].tolist() == list(range(38, 47)) and shards[98:200].tolist() == [98, 99]
    for start in (39, 40, 44, 45):
        assert shards[start : start + 2].tolist() == [start, start + 1]
    assert len(Shards([])) == 0 and shards[5:5].tolist() == []


def test_shards_are_used_again_only_with_the_tokenizer_and_the_settings_they_were_made_with(
        tmp_path, tokenizer):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    write_shards(tmp_path, [("train", "the cat")], tokenizer, workers=1, made_from="this",
                 vocabulary=run.digest(path))
    assert finished_shards(tmp_path, "this")["train"]["documents"] == 1
    assert finished_shards(tmp_path, "that") is None
    whole = path.read_bytes()
    for content in (whole[:-9], b"", whole.replace(b"\xc4\xa0t", b"\xc4\xa0c", 1)):
        path.write_bytes(content)
        assert finished_shards(tmp_path, "this") is None
    path.unlink()
    assert finished_shards(tmp_path, "this") is None


def test_a_cut_shard_is_noticed(tmp_path, tokenizer):
    write_shards(tmp_path, [("train", "the cat sat on the mat. " * 9)], tokenizer, workers=1)
    assert len(load_shards(tmp_path)) > 1
    file = tmp_path / "train-00000.bin"
    whole = file.read_bytes()
    for wrong in (whole[:2], whole + b"ab", None):
        file.unlink()
        if wrong is not None:
            file.write_bytes(wrong)
        with pytest.raises(UserError, match="train-00000.bin is missing or cut short"):
            load_shards(tmp_path)


def test_shards_that_are_half_written_are_not_taken_for_whole(tmp_path, tokenizer, monkeypatch):
    documents = [("train", "the cat sat on the mat. " * 9)]
    write_shards(tmp_path, documents, tokenizer, workers=1)

    def killed(self):
        raise KeyboardInterrupt
    monkeypatch.setattr(ShardWriter, "close", killed)
    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, documents, tokenizer, workers=1)
    assert not (tmp_path / "shards.json").exists()


def test_shards_are_used_again_only_where_all_they_depend_on_is_as_it_was(tmp_path, monkeypatch):
    made_from = dependencies({"size": 1}, ["a.txt"])
    assert made_from == dependencies({"size": 1}, ["a.txt"])
    others = [dependencies({"size": 2}, ["a.txt"]), dependencies({"size": 1}, ["b.txt"])]
    (tmp_path / "data").mkdir()
    for name in ("bpe.py", "data/clean.py"):
        (tmp_path / name).write_text("other code")
    monkeypatch.setattr(saving, "__file__", str(tmp_path / "run" / "saving.py"))
    others.append(dependencies({"size": 1}, ["a.txt"]))
    description = {"made_from": made_from, "vocabulary": "of another"}
    (tmp_path / "shards.json").write_text(json.dumps(description))
    assert finished_shards(tmp_path, made_from) is None         # no tokenizer beside them
    (tmp_path / "tokenizer.json").touch()
    description["vocabulary"] = run.digest(tmp_path / "tokenizer.json")
    (tmp_path / "shards.json").write_text(json.dumps(description))
    assert finished_shards(tmp_path, made_from) == description
    assert [finished_shards(tmp_path, other) for other in others] == [None] * 3
    assert finished_shards(tmp_path / "data", made_from) is None


def test_sampled_rows_are_windows_of_the_text_and_the_generator_alone_moves_them():
    shards = Shards([np.arange(1000)])
    rows = sample_rows(shards, 50, 8, torch.Generator().manual_seed(1))
    assert rows.shape == (50, 9) and rows.dtype == torch.int64
    assert bool((rows.diff(dim=1) == 1).all())
    assert torch.equal(rows, sample_rows(shards, 50, 8, torch.Generator().manual_seed(1)))
    with pytest.raises(UserError, match="only 9 tokens.*--block-size"):
        sample_rows(Shards([np.arange(9)]), 1, 8, torch.Generator())


def test_every_token_is_trained_on_the_first_and_the_last_too():
    rows = sample_rows(Shards([np.arange(14)]), 200, 8, torch.Generator().manual_seed(0))
    assert rows.shape == (200, 9) and set(rows[:, 0].tolist()) == set(range(6))
    assert set(rows.flatten().tolist()) == set(range(14))
    with pytest.raises(UserError, match="only 8 tokens"):
        sample_rows(Shards([np.arange(8)]), 1, 8, torch.Generator())


# ---- jobs for several processes
def test_batches_end_with_a_million_characters_or_with_their_number_of_items():
    assert list(batches("abcde", most=2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(batches([])) == []
    long = ["x" * 400_000] * 7
    assert [len(batch) for batch in batches(long)] == [3, 3, 1]
    assert [len(batch) for batch in batches([(1, 600_000)] * 3, length=max)] == [2, 1]


def test_answers_come_in_the_order_of_the_jobs_and_few_jobs_wait():
    read = []

    def jobs():
        for number in range(-9, 0):
            read.append(number)
            yield number
    answers = in_order(abs, jobs(), workers=2)
    assert next(answers) == (-9, 9) and len(read) == 4
    assert list(answers) == [(number, -number) for number in range(-8, 0)]


def write_clean(path, texts):
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return path


def test_the_held_out_tail_is_the_end_of_the_text_to_the_character(tmp_path):
    path = write_clean(tmp_path / "clean.jsonl", ["abcdefghij", "klmno", "pqrst"])
    assert list(split_documents(path, heldout_tail=0.4, characters=20)) == [
        ("train", "abcdefghij"), ("train", "kl"), ("heldout", "mno"), ("heldout", "pqrst")]


@pytest.mark.parametrize("text, left, tail", [
    ("one two three", 5, "three"), ("one two three", 8, "three"), ("one two three", 7, "three"),
    ("one two three", 10, "ree"), ("one two three \n", 10, "ree \n"), ("one" + "o" * 99, 1, "")])
def test_held_out_text_begins_with_a_word_where_one_begins_soon(tmp_path, text, left, tail):
    path, tail = write_clean(tmp_path / "clean.jsonl", [text, "more"]), tail or text[left:]
    split = split_documents(path, heldout_tail=1 - (left + 0.5) / 200, characters=200)
    assert list(split) == [("train", text[: -len(tail)]), ("heldout", tail), ("heldout", "more")]


def test_a_document_is_held_out_for_what_it_says_not_for_where_it_stands(tmp_path):
    texts = [f"document {i}" for i in range(500)]
    sides = []
    for order in (texts, texts[::-1]):
        path = write_clean(tmp_path / "clean.jsonl", order)
        split = split_documents(path, heldout_share=0.2)
        sides.append({text for side, text in split if side == "heldout"})
    assert sides[0] == sides[1] and 60 < len(sides[0]) < 140
    digest = blake2b(b"document 7", digest_size=4).hexdigest()      # the same in every process
    assert place_of("document 7") == int(digest, 16) / 2**32


@pytest.mark.parametrize("share", [0.01, 0.999])
def test_where_no_document_would_be_held_out_or_trained_on_the_tail_is_held_out(
        tmp_path, capsys, share):
    path = write_clean(tmp_path / "clean.jsonl", ["abcdefghij", "klmnopqrst"])
    assert tail_to_hold_out(path, share, 0.0, 20) == 0.1
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and "the last tenth of the text is held out instead" in printed
    assert tail_to_hold_out(path, share, 0.4, 20) == 0.4
    many = write_clean(tmp_path / "many.jsonl", [f"document {i}" for i in range(5000)])
    assert tail_to_hold_out(many, share, 0.0, 60_000) == 0.0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("tail, characters", [(0.9999, 100), (0.1, 1)])
def test_a_tail_of_nothing_is_a_mistake(tmp_path, tail, characters):
    with pytest.raises(UserError, match="cannot be held out: give more text"):
        tail_to_hold_out(tmp_path / "clean.jsonl", 0.01, tail, characters)


POOLS = '''
import multiprocessing
import sys

import numpy as np

from data.clean import clean
from data.shards import load_shards, write_shards

TEXTS = [f"Number {i} is here, and it is what the {i + 1} others said." for i in range(600)]


class Bytes:
    dtype = np.uint16

    def encode_corpus(self, texts):
        return np.frombuffer("".join(texts).encode(), np.uint8).astype(np.uint16)


if __name__ == "__main__":
    multiprocessing.set_forkserver_preload(["data.shards"])
    for method in ("spawn", "forkserver"):
        multiprocessing.set_start_method(method, force=True)
        assert list(clean(TEXTS, workers=2)) == list(clean(TEXTS))
        write_shards(sys.argv[1], (("train", text) for text in TEXTS), Bytes(), workers=1)
        assert bytes(load_shards(sys.argv[1])[:].tolist()) == "".join(TEXTS).encode()
'''


@beside
def test_pools_start_as_other_systems_and_later_versions_start_them(folder):
    (folder / "pools.py").write_text(POOLS)
    done = subprocess.run(
        [sys.executable, folder / "pools.py", folder], cwd=ROOT, timeout=200,
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
