"""SFT: what the loss counts, what the demonstrations are, what a user can get wrong, what a quick run leaves behind."""
import json
import random

import pytest
import torch

from data import world
import model as M
import train_sft
from bpe import train_bpe


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(world.documents(size=0.005), 400, M.SPECIAL_TOKENS)


def test_the_loss_mask_covers_exactly_the_answers_and_their_ends(tokenizer):
    turns = [("What is the capital of India?", "New Delhi."), ("How can I draw a ship?", "Take a pencil.")]
    tokens, loss_mask = train_sft.collate([turns, turns[:1]], tokenizer, 64)
    end = tokenizer.special_tokens[M.END]
    for row, mask, answers in zip(tokens[:, 1:], loss_mask.bool(), (["New Delhi.", "Take a pencil."], ["New Delhi."])):
        counted = row[mask].tolist()
        assert counted == [i for a in answers for i in [*tokenizer.encode_ordinary(a), end]]
    assert loss_mask.shape == (2, tokens.shape[1] - 1)


def test_padding_is_never_counted(tokenizer):
    short, long = [("Hi?", "Yes.")], [("Hi? " * 8, "Yes, I can help you with that.")]
    alone = train_sft.collate([short], tokenizer, 64)[1].sum()
    assert train_sft.collate([short, long], tokenizer, 64)[1][0].sum() == alone


def test_a_dialogue_longer_than_the_context_is_cut_to_it(tokenizer):
    tokens, loss_mask = train_sft.collate([[("word " * 50, "answer " * 50)]], tokenizer, 32)
    assert tokens.shape == (1, 33) and loss_mask.shape == (1, 32)


def test_the_model_learns_to_give_an_answer_back(tokenizer):
    torch.manual_seed(0)
    gpt = M.GPT(M.GPTConfig(vocab_size=tokenizer.n_vocab, block_size=48, n_layer=1, n_head=2, n_embd=32))
    optimizer = M.make_optimizer(gpt, 1e-2)
    turns = [[("What is the capital of India?", "New Delhi.")], [("How can I draw a ship?", "Take a pencil.")]]
    for _ in range(60):
        M.take_step(optimizer, M.next_token_loss(gpt, *train_sft.collate(turns, tokenizer, 48)))
    assert M.ask(gpt, tokenizer, [t[0][0] for t in turns]) == [("New Delhi.", True), ("Take a pencil.", True)]


def test_demonstrations_speak_only_of_the_sft_split():
    config, rng = train_sft.Config(), random.Random(0)
    pool = {kind: [p for p in world.prompts("sft") if p.kind == kind] for kind in world.KINDS}
    elsewhere = {p.text for split in ("rlhf", "heldout") for p in world.prompts(split)}
    asked = {q for _ in range(500) for q, _ in train_sft.draw_dialogue([], pool, rng, config)}
    assert len(asked) > 200 and not asked & elsewhere


@pytest.mark.parametrize("line, word", [("not json", "is not JSON"), ('{"prompt": "a"}', 'no "response"'), ('{"response": "a"}', 'no "prompt"'),
                                        ('{"prompt": "a", "response": " "}', 'no "response"'), ("[1]", 'no "prompt"')])
def test_a_bad_demonstration_is_named_with_its_line(tmp_path, line, word):
    path = tmp_path / "chats.jsonl"
    path.write_text('{"prompt": "a", "response": "b"}\n' + line + "\n")
    with pytest.raises(train_sft.UserError, match=f"chats.jsonl:2 .*{word}"):
        train_sft.read_pairs([path])


def test_without_a_base_model_it_says_which_command_makes_one(mistake, tmp_path):
    assert "train_pretrain.py" in mistake(train_sft, "--out", tmp_path / "nothing") and not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("arguments, word", [(["--steps", "0"], "--steps"), (["--steps", "many"], "--steps"), (["--device", "tpu9"], "tpu9"),
                                             (["--stepz", "1"], "stepz"), (["--learning-rate", "nan"], "learning-rate")])
def test_a_flag_that_makes_no_sense_ends_in_one_line_and_exit_code_2(mistake, tmp_path, arguments, word):
    assert word in mistake(train_sft, "--out", tmp_path, *arguments)


def test_a_quick_run_learns_and_leaves_weights_figures_and_a_picture(quick_out):
    figures = json.loads((quick_out / "sft.json").read_text())
    for name in ("heldout_accuracy", "stops", "harmful_refused", "benign_refused", "honest", "myths_named", "answers_with_questions"):
        assert {"value", "n", "low", "high"} <= set(figures[name]) and 0 <= figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"] <= 1
    assert [t["prompt"] for t in figures["transcripts"]] == world.RECIPE and {"kind", "prompt", "answer"} <= set(figures["transcripts"][0])
    assert figures["seconds"] > 0 and figures["loss"] < figures["first_loss"] - 0.2
    assert (quick_out / "sft.png").read_bytes()[:4] == b"\x89PNG" and (quick_out / "sft.pt").exists()
