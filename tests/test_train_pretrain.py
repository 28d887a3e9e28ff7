"""Pre-training: it learns, goes on after a kill with the same bits, two processes are like one."""
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import run
import train_pretrain
from conftest import ENVIRONMENT, beside
from data.shards import Shards
from model import GPT, GPTConfig
from run import read_torch
from train_pretrain import Config, heldout_loss

ROOT = Path(__file__).parent.parent
TINY = ("--quick", "--size", "0.02", "--n-layer", "1", "--n-embd", "32", "--vocab-size", "300",
        "--batch-size", "4", "--save-every", "5", "--heldout-share", "0.1")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def start(out, *more, command=(sys.executable,)):
    arguments = [*command, "train_pretrain.py", *TINY, "--out", *map(str, (out, *more))]
    return subprocess.Popen(arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=ENVIRONMENT | {"OMP_NUM_THREADS": "1"})


def finish(out, *more, **options):
    process = start(out, *more, **options)
    printed, errors = process.communicate(timeout=200)
    return process.returncode, printed, errors


def wait_for_a_save(out, process):
    while not (out / "pretrain.state.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)


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
    assert (preset.learning_rate, preset.warmup, preset.n_layer) == (6e-4, 700, 12)
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


def test_attention_rows_are_probabilities_over_earlier_tokens():
    maps = train_pretrain.attention_maps(GPT(GPTConfig(50, 8, 2, 2, 16)), torch.arange(6))
    assert maps.shape == (2, 2, 6, 6)
    assert torch.allclose(maps.sum(-1), torch.ones(2, 2, 6)) and float(maps.triu(1).sum()) == 0


def test_the_head_that_copies_looks_from_a_token_at_what_followed_its_last_occurrence():
    ids = [7, 8, 9, 7, 5, 7]
    maps = torch.zeros(2, 3, 6, 6)
    maps[1, 2, 3, 1] = maps[1, 2, 5, 4] = 0.9           # from 7 to the 8, then to the 5 behind it
    maps[0, 1, 3, 0] = maps[0, 1, 5, 3] = 1.0           # looks at the 7 itself
    assert train_pretrain.copying_head(maps, ids) == (1, 2)


def one_update(batch_size, accumulate):
    config = Config(device="cpu", batch_size=batch_size, accumulate=accumulate, n_layer=1,
                    n_embd=16, n_head=2, block_size=8, warmup=0)
    torch.manual_seed(0)
    model = GPT(GPTConfig(50, 8, 1, 2, 16))
    # AdamW would hide a factor; so would clipping, but the gradient's norm is 0.94.
    plain = torch.optim.SGD(model.parameters(), 1.0)
    optimizer = SimpleNamespace(step=lambda share: plain.step(), zero_grad=plain.zero_grad)
    team = run.Team(config)
    state = SimpleNamespace(config=config, team=team, model=model, optimizer=optimizer, step=0,
                            generator=torch.Generator().manual_seed(0),
                            clock=run.Clock(config.steps, 0, time.time(), team))
    train_pretrain.update(state, model, Shards([np.arange(1000) % 50]))
    return model.state_dict()


def test_accumulated_batches_are_one_large_batch():
    one, parts = one_update(8, 1), one_update(4, 2)
    assert all(torch.allclose(one[name], parts[name], atol=2e-5) for name in one)


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
    process = start(tmp_path, "--steps", 40)
    wait_for_a_save(tmp_path, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "pretrain.pt").exists()
    code, printed, errors = finish(tmp_path, "--steps", 40, "--resume")
    assert code == 0 and "using them again" in printed, errors
    assert same(weights(unbroken[0]), weights(tmp_path))
    one, other = (folder / "pretrain.pt" for folder in (unbroken[0], tmp_path))
    assert one.read_bytes() == other.read_bytes()       # `cmp` sees no difference either


@beside
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    process = start(tmp_path, "--steps", 4000)
    wait_for_a_save(tmp_path, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in errors and "Traceback" not in errors
    code, _, errors = finish(tmp_path, "--steps", 9, "--resume")
    assert code == 2 and "steps = 4000, now it is 9" in errors


@beside
def two_processes(out):
    code, printed, errors = finish(out, "--steps", 40, command=TORCHRUN)
    assert code == 0, errors[-2000:]
    return out, printed


@beside
def test_ctrl_c_in_one_of_two_processes_stops_both_and_saves(tmp_path):
    process = start(tmp_path, "--steps", 4000, command=TORCHRUN)
    wait_for_a_save(tmp_path, process)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    os.kill(int(children.stdout.split()[-1]), signal.SIGINT)        # one rank, not the first
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and "--resume" in errors
    step = read_torch(tmp_path / "pretrain.state.pt")["values"]["step"]
    assert 0 < step < 4000


def test_two_processes_train_like_one(unbroken, two_processes):
    one, two = (figures_of(out)["curve"] for out, _ in (unbroken, two_processes))
    assert two_processes[1].count("clean: kept") == 1
    assert np.abs(np.array(one) - np.array(two)).max() < 2e-3


@beside
def test_own_text_is_split_at_its_tail_and_the_minutes_are_kept(tmp_path):
    text = "".join(f"Line {i} says that {i} and {i + 1} are {2 * i + 1}. " for i in range(3000))
    (tmp_path / "own.txt").write_text(text)
    begun = time.time()
    code, _, errors = finish(tmp_path, "--data", tmp_path / "own.txt", "--heldout-tail", 0.1,
                             "--minutes", 0.1, "--optimizer", "adamw", "--schedule", "cosine")
    assert code == 0, errors
    shards = json.loads((tmp_path / "shards.json").read_text())
    assert shards["heldout"]["bytes"] == len(text.strip()) - int(len(text.strip()) * 0.9)
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


@beside
def test_resume_with_nothing_saved_says_so_and_starts_afresh(tmp_path, unbroken):
    for name in ("tokenizer.json", "shards.json", "train-00000.bin", "heldout-00000.bin"):
        (tmp_path / name).write_bytes((unbroken[0] / name).read_bytes())
    code, printed, errors = finish(tmp_path, "--steps", 1, "--resume")
    assert code == 0 and "starting afresh" in errors and "using them again" in printed
    assert figures_of(tmp_path)["steps"] == 1
