"""Assignment 4 on random dialogues; `seed` is the student's own."""
import random

import numpy as np
import pytest
import torch

import model as M
import train_sft
from bpe import train_bpe
from data.shards import Shards, sample_rows


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["one two three four five six seven"] * 2, 280, M.SPECIAL_TOKENS)


def random_turns(seed):
    rng = random.Random(seed)
    words = "one two three <|user|> four <|endoftext|> five".split()
    return [tuple(" ".join(rng.choices(words, k=rng.randint(1, 5))) for _ in range(2))
            for _ in range(rng.randint(1, 4))]


def test_template_of_a_random_dialogue(tokenizer, seed):
    turns, special, wanted = random_turns(seed), tokenizer.special_tokens, []
    for question, answer in turns:
        wanted += [special[M.USER], *tokenizer.encode_ordinary(question), special[M.ASSISTANT],
                   *tokenizer.encode_ordinary(answer), special[M.END]]
    assert M.encode_chat(tokenizer, turns) == wanted


def test_mask_of_a_random_dialogue(tokenizer, seed):
    turns, wanted = random_turns(seed), []
    for question, answer in turns:
        wanted += [0] * (2 + len(tokenizer.encode_ordinary(question)))
        wanted += [1] * (1 + len(tokenizer.encode_ordinary(answer)))
    assert list(train_sft.encode_dialogue(tokenizer, turns)[1]) == wanted


def test_replay_rows_come_from_random_numbers_alone(seed):
    shards = Shards([np.arange(40), np.arange(40, 57)])
    starts = torch.randint(57 - 6, (30,), generator=torch.Generator().manual_seed(seed))
    rows = sample_rows(shards, 30, 6, torch.Generator().manual_seed(seed))
    assert rows.tolist() == [list(range(s, s + 7)) for s in starts.tolist()]
