"""Pre-training: shards hold the text, training learns, goes on after a kill with the same bits, and is the same on two processes."""
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import train_pretrain
from conftest import ENVIRONMENT, beside
from data.shards import Shards
from model import GPT, GPTConfig
from run import read_torch
from train_pretrain import Config, Muon, heldout_loss, orthogonalize, rate

ROOT = Path(__file__).parent.parent
TINY = ("--quick", "--size", "0.02", "--n-layer", "1", "--n-embd", "32", "--vocab-size", "300", "--batch-size", "4", "--save-every", "5", "--heldout-share", "0.1")


def start(out, *more, command=(sys.executable,), **options):
    return subprocess.Popen([*command, "train_pretrain.py", *TINY, "--out", str(out), *map(str, more)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=ENVIRONMENT | {"OMP_NUM_THREADS": "1"}, **options)


def finish(out, *more, **options):
    process = start(out, *more, **options)
    printed, errors = process.communicate(timeout=200)
    return process.returncode, printed, errors


@beside
def unbroken(out):
    """A tiny run of 40 steps, never interrupted."""
    code, printed, errors = finish(out, "--steps", 40)
    assert code == 0, errors
    return out, printed


def weights(out):
    return read_torch(out / "pretrain.pt")["weights"]                     # not load_checkpoint: GPT() draws from torch's generator, and others are at work


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# ---- the pieces of training

def test_a_preset_fills_in_what_was_not_set_by_hand():
    preset, own = Config(preset="gpu"), Config(preset="gpu", learning_rate=1e-3, warmup=0, n_layer=2)
    assert (preset.learning_rate, preset.warmup, preset.n_layer, preset.vocab_size) == (6e-4, 700, 12, 50304)
    assert (own.learning_rate, own.warmup, own.n_layer, own.vocab_size) == (1e-3, 0, 2, 50304)


def test_the_learning_rate_warms_up_and_falls_to_a_tenth_or_to_zero():
    for schedule, middle, end in (("cosine", 0.55, 0.1), ("linear", 0.5, 0)):
        config = Config(schedule=schedule, warmup=10)
        assert rate(0, 0, config) == pytest.approx(0.1) and rate(9, 0, config) == 1
        assert rate(500, 0.5, config) == pytest.approx(middle) and rate(999, 1, config) == pytest.approx(end)


def test_orthogonalize_keeps_directions_and_levels_their_lengths():
    G = torch.randn(2, 16, 40, generator=torch.Generator().manual_seed(0))
    for matrix in (G, G.mT):
        U, S, V = torch.linalg.svd(orthogonalize(matrix))
        assert bool((S > 0.6).all() and (S < 1.3).all())
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        assert float((orthogonalize(matrix) * (left @ right)).sum() / orthogonalize(matrix).norm() / (left @ right).norm()) > 0.98


def test_muon_gives_each_matrix_its_momentum_made_orthogonal_and_leaves_the_rest_to_adamw():
    draw = torch.Generator().manual_seed(0)
    shapes = {"qkv": (12, 4), "out": (4, 4), "up": (16, 4), "down": (4, 16), "bias": (4,)}
    ours = {name: torch.nn.Parameter(torch.randn(shape, generator=draw)) for name, shape in shapes.items()}
    wanted, momentum = ({name: make(p.detach()) for name, p in ours.items()} for make in (torch.clone, torch.zeros_like))
    matrices, bias = [ours[name] for name in list(shapes)[:4]], ours["bias"]
    optimizer = Muon([{"params": matrices, "muon": True, "weight_decay": 0.1}, {"params": [bias], "muon": False, "weight_decay": 0.0}], 0.02)
    for _ in range(2):
        for name, p in ours.items():
            p.grad = torch.randn(p.shape, generator=draw)
            momentum[name] = 0.95 * momentum[name] + 0.05 * p.grad
            ahead = 0.05 * p.grad + 0.95 * momentum[name]
            if p.dim() == 2:                                             # q, k and v are three matrices
                parts = [orthogonalize(part[None])[0] * max(1, part.size(0) / part.size(1)) ** 0.5 for part in ahead.split(4 if name == "qkv" else 99)]
                wanted[name] = wanted[name] * (1 - 0.02 * 0.1) - 0.02 * torch.cat(parts)
        optimizer.step()
    for name, p in list(ours.items())[:4]:
        torch.testing.assert_close(p.detach(), wanted[name])
    assert "momentum" not in optimizer.state[bias] and not torch.equal(bias.detach(), wanted["bias"])


def test_held_out_loss_judges_every_token_once_with_the_context_that_fits():
    model, shards = GPT(GPTConfig(50, 8, 1, 2, 16)).eval(), Shards([np.random.default_rng(0).integers(0, 50, 101)])
    model.requires_grad_(False)
    tokens, total = torch.from_numpy(shards[:]), 0.0
    starts, judged = [*range(0, 92, 4), 92], 0                            # by hand: one token after the other, each in the first window that reaches it
    for begin in starts:
        log_probs = model(tokens[begin : begin + 8][None])[0].log_softmax(-1)
        for t in range(8):
            if begin + t + 1 > judged:
                total, judged = total - float(log_probs[t, tokens[begin + t + 1]]), begin + t + 1
    assert judged == 100 and heldout_loss(model, shards, 8, "cpu") == pytest.approx(total / 100, rel=1e-5)


def test_attention_rows_are_probabilities_over_earlier_tokens():
    maps = train_pretrain.attention_maps(GPT(GPTConfig(50, 8, 2, 2, 16)), torch.arange(6))
    assert maps.shape == (2, 2, 6, 6) and torch.allclose(maps.sum(-1), torch.ones(2, 2, 6)) and float(maps.triu(1).sum()) == 0


# ---- whole runs

def test_a_run_learns_and_writes_every_file_and_figure(unbroken):
    out, printed = unbroken
    figures = json.loads((out / "pretrain.json").read_text())
    assert {"val_loss", "val_bits_per_byte", "tokens_per_second", "fact_recall", "answers_with_questions", "dirt_removed", "clean_lost", "seconds"} <= set(figures)
    assert figures["val_loss"] < 0.85 * math.log(300) and set(figures["fact_recall"]) == {"value", "n", "low", "high"}
    assert figures["curve"][-1][0] == 40 and figures["filters"]["near_duplicate"]["count"] > 0
    for name in ("pretrain.png", "attention.png", "tokenizer.json", "clean.jsonl"):
        assert (out / name).stat().st_size > 1000
    assert "dropped" in printed and "questions, continued:" in printed and not list(out.glob("*.tmp"))


@beside
def test_a_killed_run_ends_with_the_same_bits_as_an_unbroken_one(tmp_path, unbroken):
    process = start(tmp_path, "--steps", 40)
    while not (tmp_path / "pretrain.state.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "pretrain.pt").exists()
    code, printed, errors = finish(tmp_path, "--steps", 40, "--resume")
    assert code == 0 and "using them again" in printed, errors
    assert same(weights(unbroken[0]), weights(tmp_path))
    assert (unbroken[0] / "pretrain.pt").read_bytes() == (tmp_path / "pretrain.pt").read_bytes()     # `cmp` sees no difference either


@beside
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    process = start(tmp_path, "--steps", 4000)
    while not (tmp_path / "pretrain.state.pt").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in errors and "Traceback" not in errors
    code, _, errors = finish(tmp_path, "--steps", 9, "--resume")
    assert code == 2 and "steps = 4000, now it is 9" in errors


@beside
def two_processes(out):
    code, printed, errors = finish(out, "--steps", 40, command=(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"))
    assert code == 0, errors[-2000:]
    return out, printed


def test_two_processes_train_like_one(unbroken, two_processes):
    one, two = (json.loads((out / "pretrain.json").read_text())["curve"] for out, _ in (unbroken, two_processes))
    assert two_processes[1].count("clean: kept") == 1
    assert np.abs(np.array(one) - np.array(two)).max() < 2e-3


@beside
def test_own_text_is_split_at_its_tail_and_the_minutes_are_kept(tmp_path):
    text = "".join(f"Line {i} says that {i} and {i + 1} are {2 * i + 1}. " for i in range(3000))
    (tmp_path / "own.txt").write_text(text)
    begun = time.time()
    code, printed, errors = finish(tmp_path, "--data", tmp_path / "own.txt", "--heldout-tail", 0.1, "--minutes", 0.1, "--optimizer", "adamw", "--schedule", "cosine")
    assert code == 0, errors
    figures, shards = json.loads((tmp_path / "pretrain.json").read_text()), json.loads((tmp_path / "shards.json").read_text())
    assert shards["heldout"]["bytes"] == len(text.strip()) - int(len(text.strip()) * 0.9)
    assert time.time() - begun > 6 and figures["val_loss"] < figures["curve"][0][2] and "dirt_removed" not in figures   # it learned


@beside
def test_minutes_that_are_over_before_the_first_step_still_get_one(tmp_path):
    code, _, errors = finish(tmp_path, "--minutes", 0.001)
    assert code == 0, errors
    assert json.loads((tmp_path / "pretrain.json").read_text())["steps"] == 1


def test_accumulated_batches_are_one_large_batch():
    def step(batch_size, accumulate):
        config = Config(device="cpu", batch_size=batch_size, accumulate=accumulate, n_layer=1, n_embd=16, n_head=2, block_size=8, warmup=0)
        team = train_pretrain.Team(config)
        torch.manual_seed(0)
        state = type("State", (), {"config": config, "team": team, "model": GPT(GPTConfig(50, 8, 1, 2, 16)), "step": 0, "generator": torch.Generator().manual_seed(0), "progress": lambda self: 0.0})()
        state.optimizer = torch.optim.SGD([{"params": state.model.parameters(), "peak": 1.0}])      # AdamW would hide a factor; so would clipping, but the norm is 0.94
        train_pretrain.update(state, state.model, Shards([np.arange(1000) % 50]))
        return state.model.state_dict()
    one, parts = step(8, 1), step(4, 2)
    assert all(torch.allclose(one[name], parts[name], atol=2e-5) for name in one)


@pytest.mark.parametrize("arguments, words", [
    (("--data", "none.txt"), "none.txt not found"), (("--heldout-tail", "1.5"), "--heldout-tail"), (("--n-head", "3"), "not a multiple of --n-head 3"),
    (("--vocab-size", "100"), "--vocab-size 100 is too small"), (("--schedule", "square"), "invalid choice"), (("--device", "abacus"), "no such device"),
    (("--batch-size", "-1"), "--batch-size"), (("--heldout-share", "0"), "nothing can be judged"), (("--size", "0"), "--size"),
])
def test_a_mistake_ends_in_one_line_before_anything_is_written(mistake, tmp_path, arguments, words):
    assert words in mistake(train_pretrain, *TINY, "--out", tmp_path / "out", *arguments) and not (tmp_path / "out").exists()


def test_text_that_cleaning_drops_whole_and_an_empty_file_are_said_in_one_line(mistake, tmp_path):
    for content in ("", "Столица этой страны находится на берегу реки. " * 9):
        (tmp_path / "own.txt").write_text(content)
        errors = mistake(train_pretrain, *TINY, "--out", tmp_path / "out", "--data", tmp_path / "own.txt")
        assert "nothing is left of" in errors and "--language any" in errors and not list((tmp_path / "out").glob("*"))


@beside
def test_resume_with_nothing_saved_says_so_and_starts_afresh(tmp_path, unbroken):
    for name in ("tokenizer.json", "shards.json", "train-00000.bin", "heldout-00000.bin"):
        (tmp_path / name).write_bytes((unbroken[0] / name).read_bytes())
    code, printed, errors = finish(tmp_path, "--steps", 1, "--resume")
    assert code == 0 and "starting afresh" in errors and "using them again" in printed
    assert json.loads((tmp_path / "pretrain.json").read_text())["steps"] == 1
