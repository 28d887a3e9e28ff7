"""Step 3.1, the reward model: sample several answers a prompt, rank them, and train a model to
score the better one higher.

in    out/sft.pt, out/tokenizer.json, out/train-*.bin for replay; rankings by the scripted labeler,
      by a person (--labeler person), or from files (--data FILE.jsonl ...) with {"prompt": ...,
      "answers": [...], "ranks": [...]} a line, rank 1 the best
out   out/rankings.jsonl, out/rm.pt weights, out/rm.json figures, out/rm.png
run   python train_rm.py         (--quick: the same code in seconds)
see   how often the model agrees with the rubric on prompts about entities it never saw, by kind
"""
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import run
from data import world
from data.dialogues import read_rankings, those_that_fit
from data.shards import load_shards, sample_rows
from model import (ScalarGPT, as_turns, encode_chat, load_checkpoint, make_optimizer,
                   next_token_loss, save_checkpoint, schedule, score_answers, take_step)
from run import flag
from run.chat import ask
from run.person import need_a_terminal, rank_in_person
from run.pictures import print_table


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "rankings made elsewhere: .jsonl files (without it: answers are sampled "
                           "and ranked here)")
    labeler: str = flag("scripted", "scripted (the rubric, with noise) or person: you rank the "
                                    "answers at the terminal", choices=("scripted", "person"))
    prompts: int = flag(3000, "prompts to rank answers of", quick=96, least=8)
    sampled: int = flag(3, "answers a prompt that the SFT model samples", least=1)
    foreign: int = flag(3, "answers a prompt that belong to other prompts: good elsewhere, wrong "
                           "here", least=0)
    noise: float = flag(0.12, "share of answers that the scripted labeler misjudges", least=0.0)
    heldout_prompts: int = flag(450, "held-out prompts to measure agreement on", quick=45, least=9)
    steps: int = flag(0, "optimizer steps (0: one pass over the rankings; more passes learn the "
                         "labeler's mistakes)", least=0)
    batch_size: int = flag(16, "prompts a step, each with all its answers", least=1)
    learning_rate: float = flag(1e-3, "peak; falls to a tenth along a cosine", least=0.0)
    warmup: int = flag(10, "steps of linear warm-up", quick=2, least=0)
    replay: int = flag(16, "rows of pre-training text a step, so that the model keeps the facts it "
                           "judges by", least=0)
    replay_weight: float = flag(0.5, "of the replayed rows' loss", least=0.0)
    save_every: int = flag(50, "steps between saves for --resume", quick=2, least=1)


# ------------------------------------------------------------------------------- answers, rankings
def gather_answers(model, tokenizer, prompts, config, rng, generator):
    """K answers for each of two prompts or more: config.sampled of its own, at temperature 1, and
    config.foreign of other prompts, half of these of the same kind.

    Without the foreign ones nothing tells the reward model that a good refusal is a bad answer to
    a harmless question.
    """
    n, everything = config.sampled, range(len(prompts))
    by_kind = {kind: [i for i in everything if prompts[i].kind == kind] for kind in world.KINDS}
    questions = [prompt.text for prompt in prompts for _ in range(n)]
    said = ask(model, tokenizer, questions, temperature=1.0, generator=generator)
    own = [said[i * n : (i + 1) * n] for i in everything]
    # exercise: add the foreign answers, never one of the prompt's own
    answers = []
    for i, prompt in enumerate(prompts):
        foreign = []
        while len(foreign) < config.foreign:
            other = rng.choice(by_kind[prompt.kind] if rng.random() < 0.5 else everything)
            if other != i:
                foreign.append(rng.choice(own[other]))
        answers.append(own[i] + foreign)
    return answers


def rank(gold, rng, noise):
    """The scripted labeler: the rubric's grades of K answers -> ranks, 1 the best, equals equal.
    With probability `noise` it takes an answer for a random one of the K."""
    seen = [rng.choice(gold) if rng.random() < noise else grade for grade in gold]
    levels = sorted(set(seen), reverse=True)
    return [levels.index(grade) + 1 for grade in seen]


def make_rankings(model, tokenizer, config, rng, generator):
    """[{"prompt", "answers", "ended", "ranks"}]: those of --data, else new ones, for questions that
    PPO does not ask."""
    if config.data:
        return those_that_fit(read_rankings(config.data), model.config.block_size,
                              lambda row: longest_answer(tokenizer, row))
    path = Path(config.out) / "rankings.jsonl"
    if config.labeler == "person":
        need_a_terminal()
    prompts = world.draw_prompts("rm", config.prompts, rng)
    everyone = gather_answers(model, tokenizer, prompts, config, rng, generator)
    if config.labeler == "person":
        rows = [row_of(prompt, answers) for prompt, answers in zip(prompts, everyone)]
        done = read_rankings([path]) if config.resume and path.exists() else []
        return rank_in_person(rows, path, done)
    rankings = []
    for prompt, answers in zip(prompts, everyone):
        ranks = rank([world.grade(prompt, text) for text, _ in answers], rng, config.noise)
        rankings.append(row_of(prompt, answers) | {"ranks": ranks})
    run.write_json_lines(path, rankings)
    return rankings


def row_of(prompt, answers):
    """A line of rankings.jsonl, but for the ranks."""
    texts, ended = zip(*answers)
    return {"prompt": prompt.text, "answers": list(texts), "ended": list(ended)}


def longest_answer(tokenizer, row):
    """Tokens of a prompt with the longest of its answers, and its end token, if it has one."""
    pairs, ended, _ = collate([row])
    return max(len(encode_chat(tokenizer, as_turns(*pair))) - (not end)
               for pair, end in zip(pairs, ended))


def show_example(rankings, seconds):
    first, answers = rankings[0], sum(len(row["answers"]) for row in rankings)
    print(f"{len(rankings)} prompts ranked, {answers} answers, {seconds:.0f} s; "
          f"for example: {first['prompt']}")
    for place, answer in sorted(zip(first["ranks"], first["answers"])):
        print(f"   {place}. {answer}")


# ------------------------------------------------------------------------------- the loss, the loop
def ranking_loss(scores, ranks=None):
    """Mean -log sigmoid(better - worse) over the pairs of a prompt, then over prompts, which all
    weigh alike (Ouyang 2022, eq. 1), nats; all scores equal: log 2.

    scores (B, K) float; ranks (B, K), 1 the best: pairs of equal rank do not count. Without ranks:
    best first.
    """
    if ranks is None:
        ranks = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
    # exercise: the margin of each better answer over each worse one
    margins = scores[:, :, None] - scores[:, None, :]               # (B, K, K): row minus column
    better = ranks[:, :, None] < ranks[:, None, :]                  # row ranked above column
    pairs = better.sum((1, 2))                                      # (B,)
    losses = -(F.logsigmoid(margins) * better).sum((1, 2)) / pairs.clamp(min=1)
    return losses.sum() / (pairs > 0).sum().clamp(min=1)


def draw_order(n, count, rng):
    """`count` places of n rankings: pass after pass, each in a new order."""
    order = []
    while len(order) < count:
        order += rng.sample(range(n), n)
    return order[:count]


def collate(rankings):
    """-> B K pairs (prompt, answer), whether each answer ended, and ranks (B, K). Where there are
    fewer answers than K, the first stands again, with a rank that is in no pair: nan."""
    K = max(len(row["answers"]) for row in rankings)
    pairs, ended, ranks = [], [], []
    for row in rankings:
        missing = K - len(row["answers"])
        answers = row["answers"] + row["answers"][:1] * missing
        pairs += [(row["prompt"], answer) for answer in answers]
        ended += row.get("ended", [True] * (K - missing)) + [True] * missing
        ranks.append(row["ranks"] + [math.nan] * missing)
    return pairs, ended, torch.tensor(ranks)


def train(model, tokenizer, rankings, config, device):
    """All pairs of a prompt stand in one batch, once (Ouyang 2022, section 3.5). Returns the
    ranking loss of every step, nats a pair."""
    T, B = model.config.block_size, config.batch_size
    steps = config.steps or math.ceil(len(rankings) / B)
    shards = load_shards(config.out) if config.replay else None
    rng, generator = run.generators(config.seed + 1)
    order = draw_order(len(rankings), steps * B, rng)
    optimizer = make_optimizer(model, config.learning_rate)
    files = config.data or [f"{config.out}/rankings.jsonl"]
    made_from = {"sft.pt": run.digest(f"{config.out}/sft.pt"), "ranking": run.digest(*files)}
    saved = run.Resumable(config, "rm", made_from, model=model, optimizer=optimizer,
                          generator=generator)
    losses = saved.load().get("losses", [])
    progress = run.Progress(steps, len(losses))
    for step in range(len(losses), steps):
        batch = [rankings[i] for i in order[step * B : (step + 1) * B]]
        pairs, ended, ranks = collate(batch)                                    # ranks: (B, K)
        scores = score_answers(model, tokenizer, pairs, ended, batch_size=32).view(ranks.shape)
        loss = ranking_loss(scores, ranks.to(device))
        losses.append(loss.item())
        if config.replay:
            rows = sample_rows(shards, config.replay, T, generator).to(device)  # (replay, T+1)
            loss = loss + config.replay_weight * next_token_loss(model.gpt, rows)
        take_step(optimizer, loss, schedule(step, steps, config.warmup))
        speed = progress.per_second((step + 1 - progress.first_step) * B)
        progress.report(step + 1, loss=losses[-1], rankings_per_second=speed)
        if (step + 1) % config.save_every == 0 or step + 1 == steps:
            saved.save(losses=losses)
    return losses


# -------------------------------------------------------------------------------------- evaluation
@torch.no_grad()
def examine(model, tokenizer, policy, config):
    """Agreement with the rubric on held-out prompts -> figures, gold (N, K), scores (N, K)."""
    rng = random.Random("held-out rankings")
    generator = torch.Generator(model.head.weight.device).manual_seed(1)
    prompts = world.draw_prompts("heldout", config.heldout_prompts, rng)
    everyone = gather_answers(policy, tokenizer, prompts, config, rng, generator)
    rows, gold, lengths = [], [], []
    for prompt, answers in zip(prompts, everyone):
        gold.append([world.grade(prompt, text) for text, _ in answers])
        lengths.append([len(tokenizer.encode_ordinary(text)) for text, _ in answers])
        rows.append(row_of(prompt, answers) | {"ranks": rank(gold[-1], rng, config.noise)})
    gold, lengths = np.array(gold), np.array(lengths)                   # (N, K) each
    pairs, ended, ranks = collate(rows)
    noisy = -ranks.numpy()                                              # higher is better, as gold
    scores = score_answers(model, tokenizer, pairs, ended).cpu().numpy().reshape(gold.shape)
    entities = np.array([prompt.entity for prompt in prompts])          # (N,)
    kinds = np.array([prompt.kind for prompt in prompts])               # (N,)
    by_kind = {}
    for kind in world.KINDS:
        of = kinds == kind
        by_kind[kind] = pair_accuracy(scores[of], gold[of], entities[of])
    figures = {"heldout_pair_accuracy": pair_accuracy(scores, gold, entities),
               "heldout_pair_accuracy_noisy": pair_accuracy(scores, noisy, entities),
               "by_kind": by_kind,
               "calibration_error": calibration_error(scores, -noisy),
               "length_correlation": worst_correlation(lengths, scores, kinds)}
    return figures, gold, scores


def pair_accuracy(scores, gold, entities):
    """scores, gold (N, K), entities (N,): of the pairs in a row whose gold differs, the share that
    the scores order alike."""
    n, i, j = np.nonzero(gold[:, :, None] > gold[:, None, :])
    return run.share(scores[n, i] > scores[n, j], entities[n])


def calibration_error(scores, ranks, bins=10):
    """Expected calibration error: |how sure - how often right|, over pairs binned by
    sigmoid(margin), weighted by the bins' sizes."""
    # exercise: how sure and how often right, bin by bin
    n, i, j = np.nonzero(ranks[:, :, None] != ranks[:, None, :])
    sure = 1 / (1 + np.exp(scores[n, j] - scores[n, i]))
    right = ranks[n, i] < ranks[n, j]
    place = np.minimum((sure * bins).astype(int), bins - 1)
    error = 0.0
    for b in np.unique(place):
        here = place == b
        error += abs(sure[here].mean() - right[here].mean()) * here.mean()
    return float(error)


def worst_correlation(lengths, scores, kinds):
    """The largest |r| within a kind between an answer's length in tokens and its score: does the
    model like answers for being long?"""
    worst = 0.0
    for kind in set(kinds):
        x, y = lengths[kinds == kind].ravel(), scores[kinds == kind].ravel()
        if x.std() > 0 and y.std() > 0:
            worst = max(worst, abs(float(np.corrcoef(x, y)[0, 1])))
    return worst


def draw(path, losses, by_kind, gold, scores):
    figure, (left, middle, right) = run.new_picture(3)
    left.plot(losses, linewidth=1)
    left.axhline(np.log(2), color="gray", linestyle=":", label="a coin: log 2")
    left.set(xlabel="step", ylabel="ranking loss, nats a pair", title="learning to rank")
    left.legend()
    middle.barh(list(by_kind), [figure["value"] for figure in by_kind.values()], color="C2")
    middle.axvline(0.5, color="gray", linestyle=":")
    middle.set(xlim=(0, 1), title="right on held-out pairs, by kind of prompt")
    right.hist(scores[gold < 0], bins=40, alpha=0.6, color="C3", label="gold below 0")
    right.hist(scores[gold >= 0], bins=40, alpha=0.6, color="C2", label="gold 0 and above")
    right.set(xlabel="score", ylabel="answers", title="scores of held-out answers")
    right.legend()
    run.save_picture(path, figure)


def show(figures):
    right = {"all, against the rubric": figures["heldout_pair_accuracy"],
             "all, against a noisy labeler": figures["heldout_pair_accuracy_noisy"],
             **figures["by_kind"]}
    print_table("on held-out pairs (95% interval)", right, {"right": right})
    print(f"calibration error {figures['calibration_error']:.3f}, worst correlation of score and "
          f"length within a kind {figures['length_correlation']:.2f}")


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    out, device = Path(config.out), run.pick_device(config.device)
    policy, tokenizer, _ = load_checkpoint(out / "sft.pt", device)
    rng, generator = run.generators(config.seed, device)
    rankings = make_rankings(policy, tokenizer, config, rng, generator)
    sampling_seconds = time.time() - started
    show_example(rankings, sampling_seconds)
    torch.manual_seed(config.seed)          # the new head is drawn from torch's own generator
    model = ScalarGPT(load_checkpoint(out / "sft.pt", device)[0]).to(device)
    losses = train(model, tokenizer, rankings, config, device)
    figures, gold, scores = examine(model, tokenizer, policy, config)
    save_checkpoint(out / "rm.pt", model, tokenizer, {"stage": "rm", "seed": config.seed})
    run.write_json(out / "rm.json", {
        **figures, "loss": losses[-1], "prompts": len(rankings),
        "sampling_seconds": sampling_seconds, "seconds": time.time() - started})
    draw(out / "rm.png", losses, figures["by_kind"], gold, scores)
    show(figures)
    print(f"\n{out}/rm.pt, rm.json, rm.png   {time.time() - started:.0f} s   "
          "next: python train_ppo.py")


if __name__ == "__main__":
    run.main(main)
