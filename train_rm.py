"""Step 3.1, the reward model: sample several answers a prompt, rank them, and train a model to score the better one higher.

in    out/sft.pt, out/tokenizer.json, out/train-*.bin for replay; rankings by the scripted labeler, by a person (--labeler person),
      or from files (--data FILE.jsonl ...) with {"prompt": ..., "answers": [...], "ranks": [...]} a line, rank 1 the best
out   out/rankings.jsonl, out/rm.pt weights, out/rm.json figures, out/rm.png
run   python train_rm.py         (--quick: the same code in seconds)
see   how often the model agrees with the rubric on prompts about entities it never saw, kind by kind
"""
import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from data import world
import run
from data.shards import load_shards, sample_rows
from model import ScalarGPT, ask, learning_rate, load_checkpoint, make_optimizer, next_token_loss, save_checkpoint, score_answers, take_step
from run import UserError, flag


@dataclass
class Config(run.CommonConfig):
    data: tuple = flag((), "rankings made elsewhere: .jsonl files (without it: answers are sampled and ranked here)")
    labeler: str = flag("scripted", "scripted (the rubric, with noise) or person: you rank the answers at the terminal", choices=("scripted", "person"))
    prompts: int = flag(3000, "prompts to rank answers of", quick=96, least=8)
    sampled: int = flag(3, "answers a prompt that the SFT model samples", least=1)
    foreign: int = flag(3, "answers a prompt that belong to other prompts: good elsewhere, wrong here", least=0)
    noise: float = flag(0.12, "share of answers that the scripted labeler misjudges", least=0.0)
    heldout_prompts: int = flag(420, "held-out prompts to measure agreement on", quick=42, least=7)
    steps: int = flag(0, "optimizer steps (0: one pass over the rankings; more passes learn the labeler's mistakes)", least=0)
    batch_size: int = flag(16, "prompts a step, each with all its answers", least=1)
    learning_rate: float = flag(1e-3, "peak; falls to a tenth along a cosine", least=0.0)
    warmup: int = flag(10, "steps of linear warm-up", quick=2, least=0)
    replay: int = flag(16, "rows of pre-training text a step, so that the model keeps the facts it judges by", least=0)
    replay_weight: float = flag(0.5, "of the replayed rows' loss", least=0.0)
    save_every: int = flag(50, "steps between saves for --resume", quick=2, least=1)


# --------------------------------------------------------------------------------------------------------- answers, rankings
def gather_answers(model, tokenizer, prompts, config, rng, generator):
    """K answers for each prompt: config.sampled of its own at temperature 1, config.foreign of other prompts, half of these of the same kind.

    Without the foreign ones nothing tells the reward model that a good refusal is a bad answer to a harmless question.
    """
    questions = [p.text for p in prompts for _ in range(config.sampled)]
    said = [text for text, _ in ask(model, tokenizer, questions, temperature=1.0, generator=generator)]
    own = [said[i * config.sampled:(i + 1) * config.sampled] for i in range(len(prompts))]
    by_kind = {kind: [i for i, p in enumerate(prompts) if p.kind == kind] for kind in world.KINDS}
    everything, answers = range(len(prompts)), []
    for i, prompt in enumerate(prompts):
        foreign = []
        while len(foreign) < config.foreign and len(prompts) > 1:
            other = rng.choice(by_kind[prompt.kind] if rng.random() < 0.5 else everything)
            if other != i or len(by_kind[prompt.kind]) == 1 == len(everything):
                foreign.append(rng.choice(own[other]))
        answers.append(own[i] + foreign)
    return answers


def rank(gold, rng, noise):
    """Gold grades of K answers -> ranks, 1 the best, equals equal. With probability `noise` an answer gets the grade of a random one of the K."""
    seen = [rng.choice(gold) if rng.random() < noise else g for g in gold]
    levels = sorted(set(seen), reverse=True)
    return [levels.index(g) + 1 for g in seen]


def ask_person(prompt, answers, number, total):
    """Show the answers; the person types their numbers from best to worst, '=' between equals, or q. Returns ranks, None for q."""
    print(f"\n[{number}/{total}] {prompt.text}")
    for i, answer in enumerate(answers, 1):
        print(f"   {i}. {answer}")
    while True:
        try:
            line = input("best to worst, such as 2 1=4 3 6 5 (q: enough): ").strip()
        except EOFError:
            return None
        if line == "q":
            return None
        levels = [level.split("=") for level in line.replace(" =", "=").replace("= ", "=").split()]
        order = [int(i) for level in levels for i in level if i.isdigit()]
        if sorted(order) == list(range(1, len(answers) + 1)) and len(order) == sum(map(len, levels)):
            return [next(r for r, level in enumerate(levels, 1) if str(i) in level) for i in range(1, len(answers) + 1)]
        print(f"   each number from 1 to {len(answers)} once, please")


def make_rankings(model, tokenizer, config, rng, generator):
    """[{"prompt", "answers", "ranks"}] for prompts of the rlhf split."""
    prompts = world.draw_prompts("rlhf", config.prompts, rng)
    answers, rankings = gather_answers(model, tokenizer, prompts, config, rng, generator), []
    if config.labeler == "person" and not sys.stdin.isatty():
        raise UserError("--labeler person asks at a terminal: run it in one, or use --labeler scripted")
    for number, (prompt, given) in enumerate(zip(prompts, answers), 1):
        if config.labeler == "person":
            ranks = ask_person(prompt, given, number, len(prompts))
            if ranks is None:
                break
        else:
            ranks = rank([world.grade(prompt, answer) for answer in given], rng, config.noise)
        rankings.append({"prompt": prompt.text, "answers": given, "ranks": ranks})
    return rankings


def read_rankings(paths):
    """Rankings of .jsonl files; raises UserError that names file and line."""
    rankings, needs = [], 'each line needs {"prompt": text, "answers": [two texts or more], "ranks": [a number for each, 1 the best]}'
    for path in map(Path, paths):
        if not path.is_file():
            raise UserError(f"{path} not found: --data takes .jsonl files, {needs}")
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            try:
                row = json.loads(line) if line.strip() else None
                if row and not (isinstance(row["prompt"], str) and len(row["answers"]) == len(row["ranks"]) > 1
                                and all(isinstance(a, str) for a in row["answers"]) and all(isinstance(r, (int, float)) for r in row["ranks"])):
                    raise ValueError
            except (ValueError, KeyError, TypeError):
                raise UserError(f"{path}:{number} is no ranking: {needs}") from None
            rankings += [row] if row else []
    if not rankings:
        raise UserError(f"{' '.join(map(str, paths))}: no rankings in there; {needs}")
    return rankings


# -------------------------------------------------------------------------------------------------------- the loss, the loop
def ranking_loss(scores, ranks=None):
    """Mean -log sigmoid(better - worse) over all pairs (Ouyang 2022, eq. 1), nats; all scores equal: log 2.

    scores (B, K) float; ranks (B, K), 1 the best: pairs of equal rank do not count. Without ranks: best first.
    """
    ranks = torch.arange(scores.shape[1], device=scores.device).expand_as(scores) if ranks is None else ranks
    # exercise: the margin of each better answer over each worse one
    margins = scores[:, :, None] - scores[:, None, :]                    # (B, K, K): row minus column
    better = ranks[:, :, None] < ranks[:, None, :]                       # row ranked above column
    return -F.logsigmoid(margins[better]).sum() / better.sum().clamp(min=1)


def train(model, tokenizer, rankings, config, device):
    """One pass over the rankings (all pairs of a prompt in one batch: Ouyang 2022, section 3.5). Returns the ranking loss of every step, nats."""
    rng, generator = run.generators(config.seed + 1)
    shards = load_shards(config.out) if config.replay else None
    optimizer = make_optimizer(model, config.learning_rate)
    steps = config.steps or -(-len(rankings) // config.batch_size)
    losses, first_step = [], 0
    if state := run.load_state(config, "rm"):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        losses, first_step = state["losses"], state["step"]
    order = [i for _ in range(-(-steps * config.batch_size // len(rankings))) for i in rng.sample(range(len(rankings)), len(rankings))]
    progress = run.Progress(steps, first_step)
    model.train()
    for step in range(first_step, steps):
        batch = [rankings[i] for i in order[step * config.batch_size:(step + 1) * config.batch_size]]
        K = max(len(row["answers"]) for row in batch)
        filled = [(r["prompt"], a) for r in batch for a in (r["answers"] + r["answers"][:1] * K)[:K]]      # fewer answers: the first again, unranked
        ranks = torch.tensor([(r["ranks"] + [float("nan")] * K)[:K] for r in batch], device=device)       # (B, K); nan is in no pair
        scores = score_answers(model, tokenizer, filled, batch_size=32).view(len(batch), K)               # (B, K)
        loss = ranking_loss(scores, ranks)
        losses.append(loss.item())
        if config.replay:
            rows = sample_rows(shards, config.replay, model.config.block_size, generator).to(device)
            loss = loss + config.replay_weight * next_token_loss(model.gpt, rows)
        take_step(optimizer, loss, learning_rate(step, steps, config.learning_rate, config.warmup))
        progress.report(step + 1, loss=losses[-1], rankings_per_second=config.batch_size * (step + 1 - first_step) / (time.time() - progress.started))
        if (step + 1) % config.save_every == 0 or step + 1 == steps:
            run.save_state(config, "rm", model=model.state_dict(), optimizer=optimizer.state_dict(), generator=generator.get_state(), losses=losses, step=step + 1)
    model.eval()
    return losses


# ---------------------------------------------------------------------------------------------------------------- evaluation
def examine(model, tokenizer, policy, config):
    """Agreement with the rubric on held-out prompts -> (figures, [(kind, gold, score)] of every answer)."""
    rng, generator = random.Random("held-out rankings"), torch.Generator(policy.token_embedding.weight.device).manual_seed(1)
    prompts = world.draw_prompts("heldout", config.heldout_prompts, rng)
    answers = gather_answers(policy, tokenizer, prompts, config, rng, generator)
    K = len(answers[0])
    gold = np.array([[world.grade(p, a) for a in given] for p, given in zip(prompts, answers)])             # (N, K)
    noisy = np.array([rank(list(row), rng, config.noise) for row in gold])                                 # (N, K), 1 the best
    with torch.no_grad():
        scores = score_answers(model, tokenizer, [(p.text, a) for p, given in zip(prompts, answers) for a in given]).cpu().numpy().reshape(-1, K)
    lengths = np.array([[len(tokenizer.encode_ordinary(a)) for a in given] for given in answers])
    kinds = np.array([p.kind for p in prompts])

    def agreement(value, rows):
        """Share of pairs, of different value, that the scores order alike."""
        n, i, j = np.nonzero((value[:, :, None] > value[:, None, :]) & rows[:, None, None])
        return run.share(int((scores[n, i] > scores[n, j]).sum()), len(n))

    everyone = np.ones(len(prompts), bool)
    figures = {"heldout_pair_accuracy": agreement(gold, everyone), "heldout_pair_accuracy_noisy": agreement(-noisy, everyone),
               "by_kind": {kind: agreement(gold, kinds == kind) for kind in world.KINDS},
               "calibration_error": calibration_error(scores, noisy), "length_correlation": worst_correlation(lengths, scores, kinds)}
    return figures, [(kind, float(g), float(s)) for kind, gs, ss in zip(kinds, gold, scores) for g, s in zip(gs, ss)]


def calibration_error(scores, ranks, bins=10):
    """Expected calibration error: |how sure - how often right|, over pairs binned by sigmoid(margin), weighted by the bins' sizes."""
    n, i, j = np.nonzero(ranks[:, :, None] != ranks[:, None, :])
    sure, right = 1 / (1 + np.exp(scores[n, j] - scores[n, i])), ranks[n, i] < ranks[n, j]
    place = np.minimum((sure * bins).astype(int), bins - 1)
    return float(sum(abs(sure[place == b].mean() - right[place == b].mean()) * (place == b).mean() for b in range(bins) if (place == b).any()))


def worst_correlation(lengths, scores, kinds):
    """The largest |r| within a kind between an answer's length in tokens and its score: does the model like answers for being long?"""
    worst = 0.0
    for kind in set(kinds):
        x, y = lengths[kinds == kind].ravel(), scores[kinds == kind].ravel()
        if x.std() > 0 and y.std() > 0:
            worst = max(worst, abs(float(np.corrcoef(x, y)[0, 1])))
    return worst


def draw(path, losses, figures, judged):
    picture, (left, middle, right) = run.new_picture(3)
    left.plot(losses, linewidth=1)
    left.axhline(np.log(2), color="gray", linestyle=":", label="a coin: log 2")
    left.set(xlabel="step", ylabel="ranking loss, nats a pair", title="learning to rank")
    left.legend()
    middle.barh(list(figures["by_kind"]), [f["value"] for f in figures["by_kind"].values()], color="C2")
    middle.axvline(0.5, color="gray", linestyle=":")
    middle.set(xlim=(0, 1), title="right on held-out pairs, by kind of prompt")
    for color, label, where in (("C3", "gold below 0", lambda g: g < 0), ("C2", "gold 0 and above", lambda g: g >= 0)):
        right.hist([s for _, g, s in judged if where(g)], bins=40, alpha=0.6, color=color, label=label)
    right.set(xlabel="score", ylabel="answers", title="scores of held-out answers")
    right.legend()
    run.save_picture(path, picture)


def main():
    config, started = run.parse_config(Config, __doc__), time.time()
    out, device = Path(config.out), run.pick_device(config.device)
    policy, tokenizer, _ = load_checkpoint(out / "sft.pt", device)
    rng, _ = run.generators(config.seed)
    generator = torch.Generator(device).manual_seed(config.seed)
    if config.data:
        rankings = read_rankings(config.data)
    else:
        rankings = make_rankings(policy, tokenizer, config, rng, generator)
        if not rankings:
            raise UserError("nothing was ranked: rank at least one prompt, or use --labeler scripted")
        with run.atomic(out / "rankings.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rankings), encoding="utf-8")
    sampling_seconds = time.time() - started
    print(f"{len(rankings)} prompts ranked, {sum(len(r['answers']) for r in rankings)} answers, {sampling_seconds:.0f} s; for example: {rankings[0]['prompt']}")
    for place, answer in sorted(zip(rankings[0]["ranks"], rankings[0]["answers"])):
        print(f"   {place}. {answer}")
    torch.manual_seed(config.seed)                                       # only the new head is drawn from it
    model = ScalarGPT(load_checkpoint(out / "sft.pt", device)[0]).to(device)
    losses = train(model, tokenizer, rankings, config, device)
    figures, judged = examine(model, tokenizer, policy, config)
    save_checkpoint(out / "rm.pt", model, tokenizer, {"stage": "rm", "seed": config.seed})
    run.write_json(out / "rm.json", {**figures, "loss": losses[-1], "prompts": len(rankings), "sampling_seconds": sampling_seconds, "seconds": time.time() - started})
    draw(out / "rm.png", losses, figures, judged)
    print("\nright on held-out pairs (95% interval)")
    for name, figure in [("all, against the rubric", figures["heldout_pair_accuracy"]), ("all, against a noisy labeler", figures["heldout_pair_accuracy_noisy"]),
                         *figures["by_kind"].items()]:
        print(f"  {name:30} {run.shown(figure)}")
    print(f"  calibration error {figures['calibration_error']:.3f}, worst correlation of score and length within a kind {figures['length_correlation']:.2f}")
    print(f"\n{out}/rm.pt, rm.json, rm.png   {time.time() - started:.0f} s   next: python train_ppo.py")


if __name__ == "__main__":
    run.main(main)
