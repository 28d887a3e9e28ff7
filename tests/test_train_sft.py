"""SFT: what the loss counts, what the demonstrations are, what a user can get wrong, what a quick
run leaves behind."""
import json
import random

import pytest
import torch

import model as M
import train_sft
from bpe import train_bpe
from data import world
from run.chat import ask

INDIA = ("What is the capital of India?", "New Delhi.")
SHIP = ("How can I draw a ship?", "Take a pencil.")


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(world.documents(size=0.005), 400, M.SPECIAL_TOKENS)


def test_the_loss_mask_covers_exactly_the_answers_and_their_ends(tokenizer):
    dialogues = [[INDIA, SHIP], [INDIA]]
    tokens, loss_mask = train_sft.collate(dialogues, tokenizer, 64)
    end = tokenizer.special_tokens[M.END]
    for turns, row, mask in zip(dialogues, tokens[:, 1:], loss_mask.bool()):
        wanted = []
        for _, answer in turns:
            wanted += [*tokenizer.encode_ordinary(answer), end]
        assert row[mask].tolist() == wanted
    assert loss_mask.shape == (2, tokens.shape[1] - 1)


def test_padding_is_the_end_token_and_is_never_counted(tokenizer):
    short, long = [("Hi?", "Yes.")], [("Hi? " * 8, "Yes, I can help you with that.")]
    alone, counted = train_sft.collate([short], tokenizer, 64)
    tokens, loss_mask = train_sft.collate([short, long], tokenizer, 64)
    padding = tokens[0, alone.shape[1]:]
    assert loss_mask[0].sum() == counted.sum()
    assert len(padding) > 0 and set(padding.tolist()) == {tokenizer.special_tokens[M.END]}


def test_a_dialogue_longer_than_the_context_is_cut_to_it(tokenizer):
    tokens, loss_mask = train_sft.collate([[("word " * 50, "answer " * 50)]], tokenizer, 32)
    assert tokens.shape == (1, 33) and loss_mask.shape == (1, 32)


def test_the_model_learns_to_give_an_answer_back(tokenizer):
    torch.manual_seed(0)
    sizes = dict(block_size=48, n_layer=1, n_head=2, n_embd=32)
    gpt = M.GPT(M.GPTConfig(vocab_size=tokenizer.n_vocab, **sizes))
    optimizer = M.make_optimizer(gpt, 1e-2)
    tokens, loss_mask = train_sft.collate([[INDIA], [SHIP]], tokenizer, 48)
    for _ in range(60):
        M.take_step(optimizer, M.next_token_loss(gpt, tokens, loss_mask))
    said = ask(gpt, tokenizer, [INDIA[0], SHIP[0]])
    assert said == [("New Delhi.", True), ("Take a pencil.", True)]


def test_demonstrations_speak_only_of_the_sft_split():
    config, rng = train_sft.Config(), random.Random(0)
    pool = {kind: [p for p in world.prompts("sft") if p.kind == kind] for kind in world.KINDS}
    elsewhere = {p.text for split in ("rlhf", "heldout") for p in world.prompts(split)}
    asked = set()
    for _ in range(500):
        asked |= {question for question, _ in train_sft.draw_dialogue([], pool, rng, config)}
    assert len(asked) > 200 and not asked & elsewhere


def test_the_pairs_of_a_user_take_the_place_of_the_tiny_world():
    config, rng = train_sft.Config(two_turns=0.5), random.Random(0)
    drawn = [train_sft.draw_dialogue([INDIA, SHIP], {}, rng, config) for _ in range(50)]
    assert {len(turns) for turns in drawn} == {1, 2}
    assert {turn for turns in drawn for turn in turns} == {INDIA, SHIP}


def test_without_a_base_model_it_says_which_command_makes_one(mistake, tmp_path):
    folder = tmp_path / "nothing"
    assert "train_pretrain.py" in mistake(train_sft, "--out", folder)
    assert not folder.exists()


@pytest.mark.parametrize("arguments, word", [
    (["--steps", "0"], "--steps"),
    (["--steps", "many"], "--steps"),
    (["--device", "tpu9"], "tpu9"),
    (["--stepz", "1"], "stepz"),
    (["--learning-rate", "nan"], "learning-rate"),
])
def test_a_flag_that_makes_no_sense_ends_in_one_line_and_exit_code_2(
        mistake, tmp_path, arguments, word):
    assert word in mistake(train_sft, "--out", tmp_path, *arguments)


def test_a_quick_run_learns_and_leaves_weights_figures_and_a_picture(quick_out):
    figures = json.loads((quick_out / "sft.json").read_text())
    for name in ("heldout_accuracy", "stops", "harmful_refused", "benign_refused", "honest",
                 "myths_named", "answers_with_questions"):
        figure = figures[name]
        assert {"value", "n", "low", "high"} <= set(figure)
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    transcripts = figures["transcripts"]
    assert [said["prompt"] for said in transcripts] == world.RECIPE
    assert {"kind", "prompt", "answer"} <= set(transcripts[0])
    assert figures["seconds"] > 0 and figures["loss"] < figures["first_loss"] - 0.2
    assert (quick_out / "sft.png").read_bytes()[:4] == b"\x89PNG"
    assert (quick_out / "sft.pt").exists()
