"""Step 3.1, the reward model: sample several answers a prompt, rank them, and train a model to
score the better one higher.

in    out/sft.pt, out/tokenizer.json, out/train-*.bin for replay; rankings by the scripted labeler,
      by a person (--labeler person), or from files (--data FILES FOLDERS ...), some of them held
      out to judge by
out   out/rankings.jsonl, out/rm.pt weights, out/rm.json figures, out/rm.png
run   python train_rm.py         (--quick: the same code in seconds)
see   how often the model agrees with the rubric on prompts about entities it never saw, by kind
"""
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import run
from data import judging, world
from data.dialogues import files_in, hold_out, read_prompts, read_rankings, those_that_fit
from data.judging import calibration_error, length_correlation, pair_accuracy, sureness
from data.shards import load_shards, sample_rows
from model import (ScalarGPT, as_turns, encode_chat, encode_prompt, load_checkpoint,
                   make_optimizer, next_token_loss, save_checkpoint, schedule, score_answers,
                   take_step)
from run import flag
from run.chat import ask
from run.person import agreement, earlier_rankings, need_a_terminal, rank_in_person
from run.pictures import draw_rankings, on_one_line, print_table


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "rankings made elsewhere (.jsonl, .json); with --labeler person, the "
                           "prompts (without it: the tiny world's)")
    heldout_share: float = flag(0.1, "of --data, by which it is judged", least=0.0)
    labeler: str = flag("scripted", "scripted (the rubric, with noise) or person: you rank the "
                                    "answers at the terminal", choices=("scripted", "person"))
    repeat: float = flag(0.1, "share of prompts that come back, to see how far a person agrees "
                              "with themselves", least=0.0)
    policy: str = flag("", "a checkpoint such as out/ppo.pt that answers in place of sft.pt: its "
                           "rankings are added to those of the first round")
    prompts: int = flag(3000, "prompts to rank answers of", quick=96, least=8)
    sampled: int = flag(3, "answers a prompt that the SFT model samples", least=1)
    foreign: int = flag(3, "answers a prompt that belong to other prompts: good elsewhere, wrong "
                           "here", least=0)
    noise: float = flag(0.12, "share of answers that the scripted labeler misjudges", least=0.0)
    heldout_prompts: int = flag(450, "held-out prompts to measure agreement on", quick=45, least=9)
    steps: int = flag(0, "optimizer steps (0: one pass over the rankings; many passes learn the "
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
    """K answers for each prompt: config.sampled of its own, at temperature 1, and config.foreign
    of other prompts, half of these of the same kind.

    Without the foreign ones nothing tells the reward model that a good refusal is a bad answer to
    a harmless question.
    """
    n, everything = config.sampled, range(len(prompts))
    by_kind = {kind: [i for i in everything if prompts[i].kind == kind]
               for kind in {prompt.kind for prompt in prompts}}
    questions = [prompt.text for prompt in prompts for _ in range(n)]
    longest = {"max_new_tokens": model.config.block_size // 2} if config.data else {}
    said = ask(model, tokenizer, questions, temperature=1.0, generator=generator, **longest)
    own = [said[i * n : (i + 1) * n] for i in everything]
    # exercise: add the foreign answers, never one of the prompt's own
    answers = []
    for i, prompt in enumerate(prompts):
        foreign = []
        while len(foreign) < config.foreign and len(prompts) > 1:
            other = rng.choice(by_kind[prompt.kind] if rng.random() < 0.5 else everything)
            if other != i:
                foreign.append(rng.choice(own[other]))
        answers.append(own[i] + foreign)
    return answers


def rank(gold, rng, noise):
    """The scripted labeler: the rubric's grades of K answers -> ranks, 1 the best, equals equal.
    With probability `noise` it takes an answer for a random one of the K."""
    return ranks_of([rng.choice(gold) if rng.random() < noise else grade for grade in gold])


def ranks_of(grades):
    levels = sorted(set(grades), reverse=True)
    return [levels.index(grade) + 1 for grade in grades]


def make_rankings(model, tokenizer, config, rng, generator):
    """[{"prompt", "answers", "ended", "ranks"}]: those of --data, else new ones, for questions that
    PPO does not ask; a person's other days and, with --policy, the first round come before them."""
    if isinstance(model, ScalarGPT):
        raise run.UserError(f"--policy {config.policy} scores answers: give one that writes them")
    in_person, path = config.labeler == "person", Path(config.out) / "rankings.jsonl"
    if config.data and not in_person:
        return those_that_fit(read_rankings(config.data), model.config.block_size,
                              lambda row: longest_answer(tokenizer, row))
    if in_person:
        need_a_terminal()
    rankings = earlier_rankings(path, config, read_rankings)
    prompts = prompts_to_rank(model, tokenizer, config, rng)
    everyone = gather_answers(model, tokenizer, prompts, config, rng, generator)
    rows = [row_of(prompt, answers) for prompt, answers in zip(prompts, everyone)]
    grades = [[world.grade(prompt, text) for text in row["answers"]]
              for prompt, row in zip(prompts, rows) if prompt.kind in world.KINDS]
    if in_person:
        for row, gold in zip(rows, grades):
            row["rubric"] = ranks_of(gold)
        ranked = rank_in_person(rows, path, rankings, config.repeat)
        config.resume &= len(ranked) == len(rankings)   # with more of them it learns from the start
        return ranked
    new = [row | {"ranks": rank(gold, rng, config.noise)} for row, gold in zip(rows, grades)]
    known = {json.dumps(row) for row in rankings}
    rankings += [row for row in new if json.dumps(row) not in known]
    run.write_json_lines(path, rankings)
    return rankings


def prompts_to_rank(model, tokenizer, config, rng):
    """The user's own, for a person to rank answers to, or the tiny world's."""
    if not config.data:
        return world.draw_prompts("rm", config.prompts, rng)
    texts = those_that_fit(read_prompts(config.data), model.config.block_size // 2,
                           lambda prompt: len(encode_prompt(tokenizer, prompt)))
    return [world.Prompt("own", text, {}, str(text)) for text in texts]


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
          f"for example: {on_one_line(first['prompt'])}")
    for place, answer in sorted(zip(first["ranks"], first["answers"])):
        print(f"   {place}. {on_one_line(answer)}")


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
    given = config.labeler == "scripted" and files_in(config.data)
    made_from = {"sft.pt": run.digest(f"{config.out}/sft.pt"),
                 "ranking": run.digest(*(given or [f"{config.out}/rankings.jsonl"]))}
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
    own = slice(config.sampled)                 # PPO's policy will choose among its own answers
    figures = {"heldout_pair_accuracy": pair_accuracy(scores, gold, entities),
               "heldout_pair_accuracy_noisy": pair_accuracy(scores, noisy, entities),
               "sampled_pair_accuracy": pair_accuracy(scores[:, own], gold[:, own], entities),
               "by_kind": {}, "sampled_by_kind": {}, "sureness_by_kind": {}}
    for kind in world.KINDS:
        of = kinds == kind
        figures["by_kind"][kind] = pair_accuracy(scores[of], gold[of], entities[of])
        figures["sampled_by_kind"][kind] = pair_accuracy(scores[of, own], gold[of, own],
                                                         entities[of])
        figures["sureness_by_kind"][kind] = sureness(scores[of], -noisy[of])
    figures |= {"calibration_error": calibration_error(scores, -noisy),
                "longer_is_better": pair_accuracy(lengths, gold, entities),
                **length_correlation(lengths, scores)}
    return figures, gold, scores


def show(figures):
    columns = {"all pairs": {"all, against the rubric": figures["heldout_pair_accuracy"],
                             "all, against a noisy labeler": figures["heldout_pair_accuracy_noisy"],
                             "the longer one": figures["longer_is_better"], **figures["by_kind"]},
               "sampled answers": {"all, against the rubric": figures["sampled_pair_accuracy"],
                                   **figures["sampled_by_kind"]}}
    names = list(columns["all pairs"])
    columns = {heading: {name: share for name, share in column.items() if share["n"]}
               for heading, column in columns.items()}
    print_table("on held-out pairs (95% interval)", names, columns)
    print(f"calibration error {figures['calibration_error']:.3f}, correlation of score and length "
          f"within a prompt {figures.get('length_correlation', 0):.2f}")


def main():
    started = time.time()
    config = run.parse_config(Config, __doc__)
    out, device = Path(config.out), run.pick_device(config.device)
    policy, tokenizer, _ = load_checkpoint(config.policy or out / "sft.pt", device)
    other = 100 if config.policy else 0     # prompts than those of the first round
    rng, generator = run.generators(config.seed + other, device)
    rankings = make_rankings(policy, tokenizer, config, rng, generator)
    sampling_seconds = time.time() - started
    show_example(rankings, sampling_seconds)
    agreed = agreement(rankings)
    kept, heldout = hold_out(rankings, config.heldout_share, lambda row: row["prompt"]) \
        if config.data else (rankings, [])
    torch.manual_seed(config.seed)          # the new head is drawn from torch's own generator
    model = ScalarGPT(load_checkpoint(out / "sft.pt", device)[0]).to(device)
    losses = train(model, tokenizer, kept, config, device)
    if heldout:
        figures, good, scores = judging.examine_rankings(model, tokenizer, heldout, collate)
        right, names = {"": figures}, ("ranked below another", "ranked first")
    else:
        figures, gold, scores = examine(model, tokenizer, policy, config)
        right = {"all": figures["by_kind"], "of sampled answers": figures["sampled_by_kind"]}
        good, names = gold >= 0, ("gold below 0", "gold 0 and above")
    save_checkpoint(out / "rm.pt", model, tokenizer, {"stage": "rm", "seed": config.seed})
    run.write_json(out / "rm.json", {
        **figures, **agreed, "loss": losses[-1], "prompts": len(kept),
        "sampling_seconds": sampling_seconds, "seconds": time.time() - started})
    draw_rankings(out / "rm.png", losses, right, good, scores, names)
    judging.show_rankings(figures) if heldout else show(figures)
    print(f"\n{out}/rm.pt, rm.json, rm.png   {time.time() - started:.0f} s   "
          f"next: {run.next_command('train_ppo.py', config, 'YOUR_PROMPTS')}")


if __name__ == "__main__":
    run.main(main)
