"""SFT: what the loss counts, what the demonstrations are, what a user can get wrong, what a quick
run leaves behind."""
import contextlib
import json
import random
import shutil
import sys
from dataclasses import fields
from unittest import mock

import pytest
import torch

import model as M
import run
import train_sft
from bpe import train_bpe
from data import world
from resuming import forgetting, killed_at_the_first_save
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


def test_a_dialogue_longer_than_the_context_loses_its_end(tokenizer):
    turns = [("word " * 5, "answer " * 9), ("more? " * 9, "yes " * 9)]
    whole, counted = train_sft.encode_dialogue(tokenizer, turns)
    tokens, loss_mask = train_sft.collate([turns], tokenizer, 32)
    assert len(whole) > 33 and tokens.tolist() == [whole[:33]]
    assert loss_mask.tolist() == [counted[1:33]] and 0 < sum(counted[1:33]) < 32


@pytest.fixture
def plain(monkeypatch):
    """Nobody puts words around a question."""
    monkeypatch.setattr(world, "typed", lambda prompt, split, rng: prompt)


def test_the_more_careful_the_more_answers_are_as_they_should_be(plain):
    pool = {kind: [p for p in world.prompts("sft") if p.kind == kind] for kind in world.KINDS}
    rng, right = random.Random(0), {}
    for careful in (0, 0.5, 1):
        config = train_sft.Config(careful=careful, two_turns=0.0)
        turns = [train_sft.draw_dialogue([], pool, rng, config)[0] for _ in range(400)]
        turns = [turn for turn in turns if world.find_prompt(turn[0]).kind == "harmful"]
        right[careful] = sum(world.grade(*turn) > 0 for turn in turns) / len(turns)
    assert right == {0: 0, 0.5: pytest.approx(0.5, abs=0.15), 1: 1}


def test_questions_are_learnt_as_people_type_them_and_a_second_one_with_the_turn_before_it():
    pool = {kind: [p for p in world.prompts("sft") if p.kind == kind] for kind in world.KINDS}
    rng, config = random.Random(0), train_sft.Config(two_turns=0.0)
    drawn = [train_sft.draw_dialogue([], pool, rng, config) for _ in range(600)]
    asked = {p.text for p in world.prompts("sft")}
    assert 0.3 < sum(turns[-1][0] not in asked for turns in drawn) / 600 < 0.6
    seconds = [turns for turns in drawn if len(turns) == 2]
    assert 0.03 < len(seconds) / 600 < 0.15
    for (question, answer), (second, _) in seconds:
        assert world.grade(question, answer) == 1.0 and len(second) < 50


def test_two_turns_is_the_share_of_dialogues_with_two_questions():
    rng, shares = random.Random(0), {}
    for two_turns in (0.0, 0.15, 1.0):
        config = train_sft.Config(two_turns=two_turns)
        drawn = [train_sft.draw_dialogue([[INDIA], [SHIP]], {}, rng, config) for _ in range(1000)]
        assert {len(turns) for turns in drawn} <= {1, 2}
        shares[two_turns] = sum(len(turns) == 2 for turns in drawn) / 1000
    assert shares == {0: 0, 0.15: pytest.approx(0.15, abs=0.04), 1: 1}


def test_the_pairs_of_a_user_take_the_place_of_the_tiny_world():
    config, rng = train_sft.Config(two_turns=0.5), random.Random(0)
    drawn = [train_sft.draw_dialogue([[INDIA], [SHIP]], {}, rng, config) for _ in range(50)]
    assert {len(turns) for turns in drawn} == {1, 2}
    assert {turn for turns in drawn for turn in turns} == {INDIA, SHIP}


# ---- the whole of train(), in this process
@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    """A folder with a base model that has learnt nothing, and text to replay."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    gpt = M.GPT(M.GPTConfig(tokenizer.n_vocab, block_size=48, n_layer=1, n_head=2, n_embd=32))
    tokenizer.save(folder / "tokenizer.json")
    M.save_checkpoint(folder / "pretrain.pt", gpt, tokenizer, {"stage": "pretrain"})
    ids = tokenizer.encode_corpus(["One day it rained all day. " * 9])
    ids.tofile(folder / "train-00000.bin")
    run.write_json(folder / "shards.json", {
        "dtype": ids.dtype.name, "train": {"files": [["train-00000.bin", len(ids)]]}})
    return folder


def train(base, pairs=(), **flags):
    """-> (losses, weights by name, the model)"""
    short = {"steps": 4, "batch_size": 4, "replay": 2, "warmup": 1, "save_every": 2}
    config = train_sft.Config(out=str(base), **short | flags)
    model, tokenizer, _ = M.load_checkpoint(base / "pretrain.pt")
    own = [[pair] for pair in pairs]
    losses = train_sft.train(model, tokenizer, own, config, torch.device("cpu"))
    return losses, {name: p.tolist() for name, p in model.state_dict().items()}, model


def test_it_learns_to_give_three_answers_and_not_to_forget_the_text(base, tokenizer):
    pairs = [INDIA, SHIP, ("Who?", "I am a program.")]
    flags = {"steps": 60, "learning_rate": 1e-2, "batch_size": 4, "two_turns": 0.0}
    losses, _, model = train(base, pairs, **flags)
    assert ask(model, tokenizer, [question for question, _ in pairs]) == \
        [(answer, True) for _, answer in pairs]
    assert losses[0]["replay_loss"] > 5 and losses[-1]["replay_loss"] < 1
    assert losses[0]["loss"] > 5 and losses[-1]["loss"] < 0.3


def test_the_first_losses_are_those_of_the_base_model_on_answers_and_on_replayed_text(base):
    [losses, *_], _, base_model = train(base, [INDIA], steps=1, learning_rate=0.0, two_turns=0.0)
    _, tokenizer, _ = M.load_checkpoint(base / "pretrain.pt")
    log_probs = M.token_log_probs(base_model, torch.tensor([M.encode_chat(tokenizer, [INDIA])]))
    n = len(tokenizer.encode_ordinary(INDIA[1])) + 1
    assert losses["loss"] == pytest.approx(-log_probs[0, -n:].mean().item(), rel=1e-5)
    ignored, _, _ = train(base, [INDIA], steps=1, replay=0)
    assert ignored[0]["replay_loss"] == 0 < losses["replay_loss"]


@contextlib.contextmanager
def learning():
    """`with learning() as turns: train(...)`: what is learnt, [(question, answer)]."""
    turns = []
    with mock.patch.object(train_sft, "encode_dialogue",
                           side_effect=train_sft.encode_dialogue) as encode:
        yield turns
    for call in encode.call_args_list:
        turns += call.args[1]


def test_demonstrations_are_of_the_sft_split_each_kind_as_often_as_its_weight_says(base, plain):
    with learning() as turns:
        train(base, steps=1, batch_size=250, replay=0)
    asked = [world.find_prompt(question) for question, _ in turns]
    assert {p.text for p in asked} <= {p.text for p in world.prompts("sft")}
    assert len({p.text for p in asked}) > 120
    for kind, weight in train_sft.KIND_WEIGHTS.items():
        share = sum(p.kind == kind for p in asked) / len(asked)
        assert share == pytest.approx(weight / sum(train_sft.KIND_WEIGHTS.values()), abs=0.07)


@pytest.fixture(scope="module")
def unbroken(base):
    return train(base)


@pytest.mark.parametrize("forgotten", [None, "model", "optimizer", "rng", "generator", "losses"])
def test_a_killed_run_ends_with_the_same_bits_and_needs_each_part_of_what_it_saved(
        base, unbroken, forgotten):
    with killed_at_the_first_save():
        train(base)
    with forgetting(forgotten):
        resumed = train(base, resume=True)
    assert (resumed[:2] == unbroken[:2]) == (forgotten is None)


def test_resume_refuses_another_base_model_and_other_demonstrations(base, tmp_path):
    out, data = shutil.copytree(base, tmp_path / "out"), tmp_path / "pairs.jsonl"
    data.write_text("one")
    flags = {"data": (str(data),), "steps": 1}
    train(out, [INDIA], **flags)
    train(out, [INDIA], resume=True, **flags)
    data.write_text("two")
    with pytest.raises(run.UserError, match="another --data"):
        train(out, [INDIA], resume=True, **flags)
    data.write_text("one")
    gpt, tokenizer, _ = M.load_checkpoint(out / "pretrain.pt")
    M.save_checkpoint(out / "pretrain.pt", gpt, tokenizer, {"steps": 9})
    with pytest.raises(run.UserError, match="another pretrain.pt"):
        train(out, [INDIA], resume=True, **flags)


LEARNT = {"seed": 1, "steps": 2, "batch_size": 3, "learning_rate": 1e-2, "warmup": 0, "replay": 1,
          "replay_weight": 0.9, "careful": 1.0, "two_turns": 0.9}


@pytest.mark.parametrize("name", LEARNT)
def test_each_flag_of_the_training_changes_what_is_learnt(base, unbroken, name):
    assert train(base, **{name: LEARNT[name]})[:2] != unbroken[:2]


@pytest.fixture
def run_main(base, tmp_path, monkeypatch):
    """main() with flags -> (its folder, what report cards saw: [(answers, quick)], times saved,
    the losses that it draws)."""
    seen, saves, drawn = [], [], []

    def examine(answer, quick):
        said = answer(world.RECIPE[:1])
        seen.append((said, quick))
        card = {name: run.share([len(seen)], "a", [2]) for name in world.SHOWN
                if not name.endswith(":")}
        return card, [{"prompt": "?", "answer": text} for text, _ in said]

    def call(*flags):
        out = shutil.copytree(base, tmp_path / "out")
        monkeypatch.setattr(sys, "argv", ["train_sft.py", "--out", str(out), "--steps", "4",
                                          "--batch-size", "4", "--replay", "2", *flags])
        monkeypatch.setattr(world, "examine", examine)
        monkeypatch.setattr(train_sft, "draw_run", lambda path, x, losses, *_: drawn.extend(losses))
        save = run.Resumable.save
        monkeypatch.setattr(run.Resumable, "save",
                            lambda self, **values: saves.append(save(self, **values)))
        train_sft.main()
        return out, seen, len(saves), drawn
    return call


def test_the_base_model_is_examined_with_bare_questions_and_sft_in_the_template(base, run_main):
    out, [(before, quick), (after, _)], saves, losses = run_main("--save-every", "3")
    for path, said, chat in ((base / "pretrain.pt", before, False), (out / "sft.pt", after, True)):
        model, tokenizer, meta = M.load_checkpoint(path)
        assert said == ask(model, tokenizer, world.RECIPE[:1], chat=chat)
    figures = json.loads((out / "sft.json").read_text())
    assert meta == {"stage": "sft", "steps": 4, "seed": 0} and (quick, saves) == (False, 2)
    assert len(losses) == 4
    assert (figures["first_loss"], figures["loss"]) == (losses[0]["loss"], losses[-1]["loss"])
    assert (figures["base"]["stops"]["value"], figures["stops"]["value"]) == (0.5, 1)
    assert [row["answer"] for row in figures["transcripts"]] == [text for text, _ in after]
    assert [row["answer"] for row in figures["transcripts_base"]] == [text for text, _ in before]


def test_own_demonstrations_that_fit_are_learnt_and_judged_by_those_that_were_held_out(
        run_main, tmp_path, capsys):
    data = tmp_path / "pairs.jsonl"
    pairs = [INDIA, ("long " * 48, "Yes."), SHIP, ("Who?", "I."), ("How?", "So.")]
    data.write_text("\n".join(json.dumps({"prompt": q, "response": a}) for q, a in pairs))
    train_on = train_sft.train
    learnt = []
    with mock.patch.object(train_sft, "train", side_effect=lambda model, tokenizer, own, *more: (
            learnt.extend(own) or train_on(model, tokenizer, own, *more))):
        out, seen, saves, _ = run_main("--data", str(data), "--quick")
    printed, figures = capsys.readouterr().out, json.loads((out / "sft.json").read_text())
    [heldout] = [pair for pair in pairs if [pair] not in learnt and pair != pairs[1]]
    assert (len(learnt), saves, seen) == (3, 1, [])         # the world's card is not asked for
    assert figures["transcripts"][0]["prompt"] == heldout[0]
    assert figures["transcripts"][0]["given"] == heldout[1] and "1 of 5 rows do not" in printed
    assert not {name for name in world.SHOWN if name in figures} - {"stops"}
    assert f"next: python train_rm.py --quick --out {out} --data YOUR_RANKINGS\n" in printed
    assert "France" not in printed and "0.0" not in printed.split("heldout_loss")[-1][:30]
    examples = M.load_checkpoint(out / "sft.pt")[2]["examples"]
    assert examples == [turns[0][0] for turns in learnt]


def test_the_held_out_loss_is_that_of_the_answers_and_their_ends(base, tokenizer):
    model, tokenizer, _ = M.load_checkpoint(base / "pretrain.pt")
    dialogues = [[INDIA, SHIP], [SHIP]] * 20                # more than one batch
    figures, said = train_sft.examine(model, tokenizer, dialogues, quick=False)
    rows = train_sft.collate(dialogues[:2], tokenizer, 64)
    with torch.no_grad():
        loss = M.next_token_loss(model, *rows).item()
    assert figures["heldout_loss"] == pytest.approx(loss, rel=1e-4)
    nats = loss * rows[1].sum().item()
    length = len(INDIA[1]) + 2 * len(SHIP[1])
    assert figures["heldout_bits_per_byte"] == pytest.approx(nats / length / 0.693147, rel=1e-4)
    assert [row["prompt"] for row in said] == [[*INDIA, SHIP[0]], SHIP[0]]      # each once
    assert said[0]["answer"] == ask(model, tokenizer, [[*INDIA, SHIP[0]]],
                                    model.config.block_size // 2)[0][0]


def test_no_flag_is_left_out_of_these_tests():
    elsewhere = {"out", "data", "quick", "save_every",      # run_main; device is refused below
                 "heldout_share", "device", "resume"}
    assert {field.name for field in fields(train_sft.Config)} == elsewhere | set(LEARNT)


# ---- what a user can get wrong, and whole runs
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
