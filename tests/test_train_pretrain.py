"""Pre-training: it learns, goes on after a kill with the same bits, two processes are like one."""
import json
import math
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch

import data.clean
import data.shards
import run
import train_pretrain
from bpe import Tokenizer
from conftest import ENVIRONMENT, beside, run_script, sending
from data import world
from data.shards import Shards
from model import GPT, GPTConfig, load_checkpoint, next_token_loss, schedule
from resuming import forgetting, killed_at_the_first_save
from run import read_torch
from train_pretrain import Config, heldout_loss

ROOT = Path(__file__).parent.parent
TINY = ("--quick", "--size", "0.02", "--n-layer", "1", "--n-embd", "32", "--vocab-size", "300",
        "--batch-size", "4", "--save-every", "5", "--heldout-share", "0.1")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def finish(out, *more, **options):
    return run_script("train_pretrain.py", *TINY, "--out", out, *more, **options)


def after_a_save(out, number):
    return sending(number, out / "pretrain.state.pt")


def figures_of(out):
    return json.loads((out / "pretrain.json").read_text())


@beside
def unbroken(out):
    """A tiny run of 40 steps, never interrupted."""
    code, printed, errors = finish(out, "--steps", 40)
    assert code == 0, errors
    return out, printed


def weights(out):
    """Not by load_checkpoint: GPT() draws from torch's generator, and others are at work."""
    return read_torch(out / "pretrain.pt")["weights"]


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# ---- the parts of training
def test_a_preset_fills_in_what_was_not_set_by_hand():
    preset = Config(preset="gpu")
    assert (preset.learning_rate, preset.warmup, preset.n_layer) == (4 * 6e-4, 700, 12)
    assert Config(preset="gpu", optimizer="adamw").learning_rate == 6e-4
    assert preset.vocab_size == 50304
    own = Config(preset="gpu", learning_rate=1e-3, warmup=0, n_layer=2)
    assert (own.learning_rate, own.warmup, own.n_layer) == (1e-3, 0, 2)
    assert own.vocab_size == 50304


def test_held_out_loss_judges_every_token_once_with_the_context_that_fits():
    model = GPT(GPTConfig(50, 8, 1, 2, 16)).eval().requires_grad_(False)
    shards = Shards([np.random.default_rng(0).integers(0, 50, 101)])
    tokens, total, judged = torch.from_numpy(shards[:]), 0.0, 0
    for begin in [*range(0, 92, 4), 92]:    # by hand: each token in the first window it is in
        log_probs = model(tokens[begin : begin + 8][None])[0].log_softmax(-1)
        for t in range(8):
            if begin + t + 1 > judged:
                total -= float(log_probs[t, tokens[begin + t + 1]])
                judged = begin + t + 1
    assert judged == 100
    assert heldout_loss(model, shards, 8, "cpu") == pytest.approx(total / 100, rel=1e-5)


def test_the_held_out_loss_of_one_window_is_its_mean_and_more_than_asked_for_is_not_read():
    model = GPT(GPTConfig(50, 8, 1, 2, 16)).requires_grad_(False)
    ids = torch.tensor([3, 9, 27, 31, 2, 7])
    for most in (6, 4):
        wanted = next_token_loss(model, ids[None, :most]).item()
        assert heldout_loss(model, Shards([ids.numpy()]), 8, "cpu", most) == pytest.approx(wanted)


@torch.no_grad()
def test_attention_maps_are_those_of_pytorch_s_own_attention():
    torch.manual_seed(0)
    gpt, ids = GPT(GPTConfig(50, 8, 2, 2, 16)), torch.arange(6)
    for p in gpt.parameters():
        p.add_(0.3 * torch.randn_like(p))
    x, maps = gpt.token_embedding(ids) + gpt.position_embedding(ids), []
    later = torch.ones(6, 6).triu(1).bool()
    for block in gpt.blocks:
        theirs = torch.nn.MultiheadAttention(16, 2)
        theirs.in_proj_weight.copy_(block.attention.qkv.weight)
        theirs.in_proj_bias.copy_(block.attention.qkv.bias)
        inside = block.norm1(x)
        maps.append(theirs(inside, inside, inside, attn_mask=later, average_attn_weights=False)[1])
        x = block(x[None])[0]
    torch.testing.assert_close(train_pretrain.attention_maps(gpt, ids), torch.stack(maps))
    assert not any(block.attention._forward_pre_hooks for block in gpt.blocks)


def test_the_head_that_copies_looks_from_a_token_at_what_followed_its_last_occurrence():
    ids = [7, 8, 9, 7, 5, 7]
    maps = torch.zeros(2, 3, 6, 6)
    maps[1, 2, 3, 1] = maps[1, 2, 5, 4] = 0.9           # from 7 to the 8, then to the 5 behind it
    maps[0, 1, 3, 0] = maps[0, 1, 5, 3] = 1.0           # looks at the 7 itself
    maps[0, 0, 3, 1] = maps[0, 0, 5, 1] = 1.0           # at the 8 behind the first 7, twice
    assert train_pretrain.copying_head(maps, ids) == (1, 2)


# ---- train(), in this process
SMALL = dict(n_layer=1, n_head=2, n_embd=16, block_size=8, batch_size=4, accumulate=1, steps=4,
             learning_rate=4e-3, warmup=2, save_every=2, minutes=0.0, preset="laptop",
             vocab_size=300, device="cpu")
COUNTING, HELD_OUT = Shards([np.arange(1000) % 50]), Shards([np.arange(60) % 50])


@pytest.fixture(scope="module", autouse=True)
def quickly():
    """What is only shown costs nothing here, and no processes are started for a page of text."""
    def in_order(function, jobs, workers, initializer=lambda: None, initargs=()):
        initializer(*initargs)
        for job in jobs:
            yield job, function(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.team, "matmul_flops", lambda device: 1e9)
        patch.setattr(train_pretrain, "go_on", lambda m, t, prompts, *_: [""] * len(prompts))
        patch.setattr(data.clean, "in_order", in_order)
        patch.setattr(data.shards, "in_order", in_order)
        yield


def training(out, made_from="a text", **flags):
    config = Config(out=str(out), **SMALL | flags)
    return train_pretrain.Training(config, run.Team(config), SimpleNamespace(n_vocab=50),
                                   {"made_from": made_from}, time.time())


def train(out, **flags):
    """-> (curve, weights, the state)"""
    state = training(out, **flags)
    train_pretrain.train(state, COUNTING, HELD_OUT, None)
    return state.curve, {name: p.tolist() for name, p in state.model.state_dict().items()}, state


def test_weights_and_rows_depend_on_the_seed_alone(tmp_path):
    starts = []
    for chance, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(chance)
        state = training(tmp_path, seed=seed)
        rows = data.shards.sample_rows(COUNTING, 4, 8, state.generator)
        starts.append((state.model.position_embedding.weight.tolist(), rows.tolist()))
    assert starts[0] == starts[1]
    assert starts[0][0] != starts[2][0] and starts[0][1] != starts[2][1]


def test_it_learns_to_count_on(tmp_path):
    _, _, state = train(tmp_path, steps=50, learning_rate=4e-2)
    tokens = state.model.generate([[3, 4, 5], [27]], 5, temperature=0).tokens.tolist()
    assert tokens[0] == [3, 4, 5, 6, 7, 8, 9, 10] and tokens[1][:6] == [27, 28, 29, 30, 31, 32]


@pytest.mark.parametrize("size, clipped", [(1, False), (4, True)])
def test_updates_are_clipped_steps_along_the_mean_gradient_of_all_their_rows(
        tmp_path, size, clipped):
    state = training(tmp_path, accumulate=3, steps=9, warmup=1, schedule="cosine")
    with torch.no_grad():
        for p in state.model.parameters():
            p.mul_(size)
    plain = torch.optim.SGD(state.model.parameters())   # AdamW would hide a factor

    def step(share):
        plain.param_groups[0]["lr"] = share
        plain.step()
    state.optimizer = SimpleNamespace(step=step, zero_grad=plain.zero_grad)
    by_hand = GPT(state.model.config)
    by_hand.load_state_dict(state.model.state_dict())
    generator = torch.Generator().manual_seed(0)
    for number in range(2):
        rows = torch.cat([data.shards.sample_rows(COUNTING, 4, 8, generator) for _ in range(3)])
        loss = next_token_loss(by_hand, rows)
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        norm = torch.stack([g.norm() for g in gradients]).norm()
        with torch.no_grad():
            for p, g in zip(by_hand.parameters(), gradients):
                p.sub_(schedule(number, 9, 1, "cosine", number / 9) * g / norm.clamp(min=1))
        returned = train_pretrain.update(state, state.model, COUNTING)
        assert (norm > 1) == clipped and float(returned) == pytest.approx(loss.item(), rel=1e-5)
    assert state.step == 2
    for p, other in zip(state.model.parameters(), by_hand.parameters()):
        torch.testing.assert_close(p, other, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """A run with a row of the curve every other step, and the loss of each of its updates."""
    losses, update = [], train_pretrain.update

    def recorded(*arguments):
        losses.append(update(*arguments))
        return losses[-1]
    with mock.patch.object(train_pretrain, "update", recorded):
        return *train(tmp_path_factory.mktemp("longer"), steps=29), losses


def test_a_row_of_the_curve_is_the_mean_loss_since_the_row_before_and_the_held_out_loss(longer):
    curve, _, state, losses = longer
    assert [step for step, _, _ in curve] == [*range(2, 29, 2), 29]
    means = [(losses[i] + losses[i + 1]) / 2 for i in range(0, 28, 2)] + [losses[28]]
    assert [loss for _, loss, _ in curve] == pytest.approx([float(mean) for mean in means])
    assert curve[-1][2] == heldout_loss(state.model, HELD_OUT, 8, "cpu")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return train(tmp_path_factory.mktemp("short"))


@pytest.mark.parametrize("forgotten", [None, "model", "optimizer", "generator", "step", "curve"])
def test_a_killed_run_goes_on_with_the_same_bits_and_needs_each_part_of_what_it_saved(
        tmp_path, short, forgotten):
    with killed_at_the_first_save():
        train(tmp_path)
    with forgetting(forgotten):
        resumed = train(tmp_path, resume=True)
    assert (resumed[:2] == short[:2]) == (forgotten is None)


def test_ctrl_c_between_two_rows_of_the_curve_loses_nothing(tmp_path, longer):
    update = train_pretrain.update

    def interrupted(state, *arguments):
        if state.step == 18:
            signal.raise_signal(signal.SIGINT)
        return update(state, *arguments)
    flags = {"steps": 29, "save_every": 999}
    with mock.patch.object(train_pretrain, "update", interrupted):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, **flags)
    assert read_torch(tmp_path / "pretrain.state.pt")["values"]["step"] == 19
    curve, weights, _ = train(tmp_path, **flags, resume=True)
    assert (curve, weights) == longer[:2]


def test_resume_knows_another_text_and_counts_the_time_that_was_spent(tmp_path):
    train(tmp_path)
    with pytest.raises(run.UserError, match="another text"):
        training(tmp_path, made_from="another", resume=True)
    path = tmp_path / "pretrain.state.pt"
    saved = read_torch(path)
    assert 0 < saved["values"]["training"] <= saved["values"]["seconds"] < 60
    saved["values"] |= {"training": 100.0, "seconds": 1000.0}
    run.save_torch(path, saved)
    state = training(tmp_path, resume=True)
    assert state.stopwatch.seconds == 100
    assert 1000 <= time.time() - state.clock.started < 1060


LEARNT = {"seed": 1, "n_layer": 2, "n_head": 1, "n_embd": 32, "block_size": 6, "batch_size": 3,
          "accumulate": 2, "steps": 3, "minutes": 1e-9, "optimizer": "adamw",
          "learning_rate": 1e-3, "muon_rate": 0.05, "weight_decay": 0.5, "warmup": 0,
          "schedule": "cosine"}


@pytest.mark.parametrize("name", LEARNT)
def test_each_flag_of_the_training_changes_what_is_learnt(tmp_path, short, name):
    assert train(tmp_path, **{name: LEARNT[name]})[:2] != short[:2]


@pytest.mark.parametrize("save_every, times", [(1, 4), (3, 2)])
def test_a_run_is_saved_every_so_many_steps_and_at_its_end(
        tmp_path, monkeypatch, save_every, times):
    saves = []
    monkeypatch.setattr(run.Resumable, "save", lambda self, **values: saves.append(values["step"]))
    train(tmp_path, save_every=save_every)
    assert len(saves) == times and saves[-1] == 4


# ---- from texts to tokens
LINES = [*[*world.documents(0, 0.003)][:24], "buy now!!! click here http://a.b $$$ " * 3,
         "La capitale de ce pays se trouve au bord d'un grand fleuve. " * 3]


def write_lines(path, lines):
    path.write_text("".join(json.dumps({"text": line, "other": line.lower()}) + "\n"
                            for line in lines))
    return str(path)


def prepared(out, **flags):
    """The bytes of what prepare() leaves to train on."""
    config = Config(out=str(out), **{"vocab_size": 300, "heldout_share": 0.2} | flags)
    train_pretrain.prepare(config)
    names = ("clean.jsonl", "tokenizer.json", "train-00000.bin", "heldout-00000.bin")
    return [(out / name).read_bytes() for name in names]


TEXT = {"text_field": "other", "language": "any", "raw": True, "heldout_share": 0.5,
        "heldout_tail": 0.3, "vocab_size": 280}
WORLD = {"seed": 1, "size": 0.006}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Flags of two texts, own and of the world, each with what they leave to train on."""
    folder = tmp_path_factory.mktemp("texts")
    own = {"data": (write_lines(folder / "own.jsonl", LINES),)}
    return [(flags, prepared(folder / str(len(flags)), **flags))
            for flags in (own, {"size": 0.004, "raw": True})]


@pytest.mark.parametrize("name", [*TEXT, "data", *WORLD])
def test_each_flag_of_the_text_changes_what_is_trained_on(tmp_path, texts, name):
    flags, left = texts[name in WORLD]
    fewer = write_lines(tmp_path / "fewer.jsonl", LINES[4:])
    changed = TEXT | WORLD | {"data": (fewer,)}
    assert prepared(tmp_path, **flags | {name: changed[name]}) != left


def test_no_flag_is_left_out_of_these_tests():
    elsewhere = {"preset", "save_every", "resume", "out", "device", "quick"}
    assert {field.name for field in fields(Config)} == \
        elsewhere | {"data"} | set(LEARNT) | set(TEXT) | set(WORLD)


def test_the_tokenizer_does_not_learn_from_held_out_text(tmp_path):
    (tmp_path / "own.txt").write_text("abab " * 140 + "qxqx " * 60)
    prepared(tmp_path, data=(str(tmp_path / "own.txt"),), raw=True, heldout_tail=0.3)
    tokenizer = Tokenizer.load(tmp_path / "tokenizer.json")
    assert len(tokenizer.encode_ordinary("abab")) == 1
    assert len(tokenizer.encode_ordinary("qxqx")) == 4


def test_texts_are_prepared_anew_only_where_flags_files_or_the_vocabulary_have_changed(tmp_path):
    own, cleaned = tmp_path / "own.jsonl", tmp_path / "clean.jsonl"
    flags = {"data": (write_lines(own, LINES),), "heldout_share": 0.2}
    first = prepared(tmp_path, **flags)

    def anew(**more):
        cleaned.write_text("as it is")
        prepared(tmp_path, **flags | more)
        return cleaned.read_bytes() == first[0]
    assert not anew() and prepared(tmp_path, **flags)[1:] == first[1:]
    prepared(tmp_path / "other", **flags | {"vocab_size": 290})
    (tmp_path / "other" / "tokenizer.json").replace(tmp_path / "tokenizer.json")
    assert anew() and not anew()
    assert anew(heldout_share=0.5) and not anew(heldout_share=0.5)
    with open(own, "a") as file:
        file.write("\n")                        # no other text, but another file
    assert anew(heldout_share=0.5)


# ---- the look at what came of it
def test_a_look_counts_the_facts_that_follow_at_once_and_the_questions_that_follow_questions(
        monkeypatch):
    facts = {beginning: fact for beginning, fact, _ in world.recall_prompts()}
    asking = len(world.bare_questions())
    asked = []

    def go_on(model, tokenizer, prompts, n, *_):
        asked.extend(prompts)
        texts = [facts.get(prompt, " So what is it?") for prompt in prompts]
        return [text if i % 4 else " I " + text for i, text in enumerate(texts[:-1])] + ["No."]
    monkeypatch.setattr(train_pretrain, "go_on", go_on)
    for quick, every in ((False, 1), (True, 8)):
        figures = train_pretrain.look(None, None, None, quick)
        for name, n in (("fact_recall", len(facts)), ("answers_with_questions", asking)):
            n = -(-n // every)
            assert figures[name]["n"] == n
        right = sum(i % 4 > 0 for i in range(-(-len(facts) // every) - 1))
        assert figures["fact_recall"]["value"] == right / -(-len(facts) // every)
        n = -(-asking // every)
        assert figures["answers_with_questions"]["value"] == (n - 1) / n
    assert set(facts) | {p.text for p in world.bare_questions()} == set(asked) - {""}


def test_bits_a_byte_are_the_nats_a_token_over_log_2_times_the_tokens_a_byte(tmp_path):
    state = training(tmp_path, accumulate=3)
    state.step, state.stopwatch.seconds = 10, 2.0
    figures = train_pretrain.measure(state, HELD_OUT, {"heldout": {"tokens": 30, "bytes": 120}})
    loss = heldout_loss(state.model, HELD_OUT, 8, "cpu")
    assert figures["val_loss"] == loss
    assert figures["val_bits_per_byte"] == pytest.approx(loss / math.log(2) / 4)
    weights = sum(p.numel() for p in state.model.parameters())
    assert (figures["parameters"], figures["steps"]) == (weights, 10)
    assert figures["flops_per_token"] == 6 * weights + 12 * 16 * 8
    assert figures["tokens_per_second"] == 10 * 3 * 4 * 8 / 2


def test_a_run_writes_and_draws_what_its_model_does_on_held_out_text(tmp_path, monkeypatch):
    pictures = {}
    monkeypatch.setattr(train_pretrain, "draw_curves", lambda path, *words, **curves:
                        pictures.update({path.name: (words[-1], curves)}))
    monkeypatch.setattr(train_pretrain, "draw_matrix", lambda path, *words:
                        pictures.update({path.name: words}))
    flags = ("--quick --raw --size 0.003 --heldout-share 0.5 --n-layer 2 --n-embd 16 --n-head 4 "
             "--vocab-size 300 --steps 4 --warmup 1 --batch-size 4 --seed 3").split()
    monkeypatch.setattr(sys, "argv", ["train_pretrain.py", "--out", str(tmp_path), *flags])
    train_pretrain.main()
    model, tokenizer, meta = load_checkpoint(tmp_path / "pretrain.pt")
    assert meta == {"stage": "pretrain", "seed": 3, "steps": 4}
    assert model.config == GPTConfig(300, 64, n_layer=2, n_head=4, n_embd=16)
    figures, heldout = figures_of(tmp_path), data.shards.load_shards(tmp_path, "heldout")
    assert len(heldout) > 4100
    loss = heldout_loss(model, heldout, 64, "cpu", most=len(heldout))
    assert figures["val_loss"] == pytest.approx(loss, rel=1e-6)
    size = json.loads((tmp_path / "shards.json").read_text())["heldout"]["bytes"]
    bits = loss / math.log(2) * len(heldout) / size
    assert figures["val_bits_per_byte"] == pytest.approx(bits, rel=1e-6)
    assert figures["fact_recall"]["n"] == len(world.recall_prompts()[::8])
    assert figures["dirt_removed"]["value"] == 0            # --raw
    steps, losses, heldout_losses = (list(column) for column in zip(*figures["curve"]))
    drawn_steps, curves = pictures["pretrain.png"]
    assert curves.pop("level")[0] == pytest.approx(math.log(300))
    assert list(drawn_steps) == steps == [1, 2, 3, 4]
    assert {name: list(values) for name, values in curves.items()} == {
        "train": losses, "held_out": heldout_losses}
    title, _, _, matrix, names = pictures["attention.png"]
    ids = tokenizer.encode_ordinary("".join(names))
    maps = train_pretrain.attention_maps(model, torch.tensor(ids))
    assert 20 < len(ids) <= 64
    layer, head = train_pretrain.copying_head(maps, ids)
    assert title == f"Attention: block {layer + 1}, head {head + 1}"
    torch.testing.assert_close(matrix, maps[layer, head])


# ---- whole runs

def test_a_run_learns_and_writes_every_file_and_figure(unbroken):
    out, printed = unbroken
    figures = figures_of(out)
    assert {"val_loss", "val_bits_per_byte", "tokens_per_second", "fact_recall", "dirt_removed",
            "answers_with_questions", "clean_lost", "seconds"} <= set(figures)
    assert figures["val_loss"] < 0.85 * math.log(300)
    assert set(figures["fact_recall"]) == {"value", "n", "low", "high"}
    assert figures["curve"][-1][0] == 40 and figures["filters"]["near_duplicate"]["count"] > 0
    for name in ("pretrain.png", "attention.png", "tokenizer.json", "clean.jsonl"):
        assert (out / name).stat().st_size > 1000
    assert "dropped" in printed and "questions, continued:" in printed
    assert not list(out.glob("*.tmp"))


@beside
def test_a_killed_run_ends_with_the_same_bits_as_an_unbroken_one(tmp_path, unbroken):
    kill = after_a_save(tmp_path, signal.SIGKILL)
    assert finish(tmp_path, "--steps", 40, meanwhile=kill)[0] == -signal.SIGKILL
    assert not (tmp_path / "pretrain.pt").exists()
    code, printed, errors = finish(tmp_path, "--steps", 40, "--resume")
    assert code == 0 and "using them again" in printed, errors
    assert same(weights(unbroken[0]), weights(tmp_path))
    one, other = (folder / "pretrain.pt" for folder in (unbroken[0], tmp_path))
    assert one.read_bytes() == other.read_bytes()       # `cmp` sees no difference either


@beside
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    ctrl_c = after_a_save(tmp_path, signal.SIGINT)
    code, _, errors = finish(tmp_path, "--steps", 4000, meanwhile=ctrl_c)
    assert code == 130 and "--resume" in errors and "Traceback" not in errors
    code, _, errors = finish(tmp_path, "--steps", 9, "--resume")
    assert code == 2 and "steps = 4000, now it is 9" in errors


def two_ranks(out, *more, meanwhile=None):
    """A run in two processes, with what torchrun tells them: how each ended. meanwhile: of the
    second."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    with ThreadPoolExecutor(2) as pool:
        ranks = [pool.submit(finish, out, *more, env=ENVIRONMENT | told | {"RANK": str(rank)},
                             meanwhile=meanwhile if rank else None) for rank in range(2)]
    return [rank.result() for rank in ranks]


@beside
def two_processes(out):
    """The run of `unbroken` in two processes."""
    printed = ""
    for code, said, errors in two_ranks(out, "--steps", 40):
        assert code == 0, errors[-2000:]
        printed += said
    return out, printed


@beside
def test_ctrl_c_in_one_of_two_processes_stops_both_and_saves(tmp_path):
    ctrl_c = after_a_save(tmp_path, signal.SIGINT)
    (code, _, errors), (other, *_) = two_ranks(tmp_path, "--steps", 4000, meanwhile=ctrl_c)
    assert code == other == 130 and "--resume" in errors
    step = read_torch(tmp_path / "pretrain.state.pt")["values"]["step"]
    assert 0 < step < 4000


def test_torchrun_tells_its_two_processes_what_they_need(tmp_path, pytestconfig):
    if not pytestconfig.getoption("--all"):
        pytest.skip("two_ranks does as torchrun: --all")
    command = [*TORCHRUN, "train_pretrain.py", *TINY, "--steps", "5", "--out", tmp_path]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, env=ENVIRONMENT)
    assert done.returncode == 0 and done.stdout.count("clean: kept") == 1, done.stderr
    assert figures_of(tmp_path)["steps"] == 5


def test_two_processes_train_like_one(unbroken, two_processes):
    one, two = (figures_of(out)["curve"] for out, _ in (unbroken, two_processes))
    assert two_processes[1].count("clean: kept") == 1
    assert np.abs(np.array(one) - np.array(two)).max() < 2e-3


@beside
def test_own_text_is_split_at_its_tail_and_the_minutes_are_kept(tmp_path):
    text = "".join(f"Line {i} says that {i} and {i + 1} are {2 * i + 1}. " for i in range(3000))
    (tmp_path / "own.txt").write_text(text)
    begun = time.time()
    code, printed, errors = finish(tmp_path, "--data", tmp_path / "own.txt", "--heldout-tail", 0.1,
                                   "--minutes", 0.1, "--optimizer", "adamw", "--schedule", "cosine")
    assert code == 0, errors
    assert f"next: python train_sft.py --quick --out {tmp_path} --data YOUR_DIALOGUES" in printed
    shards = json.loads((tmp_path / "shards.json").read_text())
    cut = text.index(" ", int(len(text) * 0.9) - 1) + 1                     # at the next word
    assert shards["heldout"]["bytes"] == len(text) - cut
    figures = figures_of(tmp_path)
    assert time.time() - begun > 6 and "dirt_removed" not in figures
    assert figures["val_loss"] < figures["curve"][0][2]                     # it learned


@beside
def test_minutes_that_are_over_before_the_first_step_still_get_one(tmp_path):
    code, _, errors = finish(tmp_path, "--minutes", 0.001)
    assert code == 0, errors
    assert figures_of(tmp_path)["steps"] == 1


@pytest.mark.parametrize("arguments, words", [
    (("--data", "none.txt"), "none.txt not found"),
    (("--heldout-tail", "1.5"), "--heldout-tail"),
    (("--heldout-share", "0"), "nothing can be judged"),
    (("--n-head", "3"), "not a multiple of --n-head 3"),
    (("--n-embd", "1280", "--n-head", "4"), "raise --n-head"),
    (("--vocab-size", "100"), "--vocab-size 100 is too small"),
    (("--vocab-size", "256"), "--vocab-size 256 is too small"),
    (("--batch-size", "-1"), "--batch-size"),
    (("--size", "0"), "--size"),
    (("--schedule", "square"), "invalid choice"),
    (("--device", "abacus"), "no such device"),
])
def test_a_mistake_ends_in_one_line_before_anything_is_written(mistake, tmp_path, arguments, words):
    out = tmp_path / "out"
    assert words in mistake(train_pretrain, *TINY, "--out", out, *arguments)
    assert not out.exists()


def test_text_that_cleaning_drops_whole_and_an_empty_file_are_said_in_one_line(mistake, tmp_path):
    out, own = tmp_path / "out", tmp_path / "own.txt"
    for content, words in (("", ("own.txt", "empty")),
                           ("Столица этой страны находится на берегу реки. " * 9,
                            ("other_script", "Столица", "--language any"))):
        own.write_text(content)
        errors = mistake(train_pretrain, *TINY, "--out", out, "--data", own)
        assert all(word in errors for word in words), errors
        assert not list(out.glob("*"))


def test_too_little_text_leaves_every_file_of_an_earlier_run(mistake, tmp_path):
    (tmp_path / "own.txt").write_text("One short row of text.")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("clean.jsonl", "tokenizer.json", "shards.json", "train-00000.bin"):
        (out / name).write_text("{}")
    assert "only 6 tokens" in mistake(train_pretrain, *TINY, "--out", out, "--data",
                                      tmp_path / "own.txt")
    assert [file.read_text() for file in out.iterdir()] == ["{}"] * 4


@beside
def test_resume_with_nothing_saved_says_so_and_starts_afresh(tmp_path, unbroken):
    for name in ("tokenizer.json", "shards.json", "train-00000.bin", "heldout-00000.bin"):
        (tmp_path / name).write_bytes((unbroken[0] / name).read_bytes())
    code, printed, errors = finish(tmp_path, "--steps", 1, "--resume")
    assert code == 0 and "starting afresh" in errors and "using them again" in printed
    assert figures_of(tmp_path)["steps"] == 1
