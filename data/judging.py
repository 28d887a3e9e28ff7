"""Anybody's material judged by itself: by the rows that were held out of it.

in    dialogues, rankings, prompts that data.dialogues read and training did not see
out   figures and transcripts, in place of the tiny world's report card: no rubric knows what a good
      answer is here, so the yardsticks are the given answers, the given ranks, the reward model
"""
import json
import math
from functools import partial

import numpy as np
import torch

import run
from data import world
from model import score_answers, token_log_probs
from run.chat import ask
from run.pictures import draw_run, on_one_line, print_answers, print_card, print_table

SHOWN = ("heldout_loss", "heldout_bits_per_byte", "stops", "rm_reward", "better_than_sft",
         "answer_length", "kl", "kl_at_most")
DRAWN = ("stops", "better_than_sft")
RANKED = ("heldout_pair_accuracy", "longer_is_better", "shorter_is_better", "calibration_error",
          "length_correlation")
PLAIN_WORDS = ("a rising score proves nothing by itself: the reward model judges its own pupil, no "
               "gold judge knows your material. Read the answers, and lessons/07_ppo.md.")
MOST = 200          # held-out prompts that are answered


# ---------------------------------------------------------------------------------- demonstrations
@torch.no_grad()
def examine_dialogues(model, tokenizer, dialogues, collate, chat=True):
    """-> (figures, five transcripts). The loss is of the answers and their ends; collate: as in
    train_sft, dialogues -> tokens (B, T+1), loss_mask (B, T). chat=False: a base model is asked
    the bare question."""
    device, nats, count = model.token_embedding.weight.device, 0.0, 0.0
    for start in range(0, len(dialogues), 32):
        tokens, mask = (x.to(device) for x in collate(dialogues[start : start + 32]))
        nats -= (token_log_probs(model, tokens, mask) * mask).sum().item()
        count += mask.sum().item()
    length = sum(len(answer.encode()) for turns in dialogues for _, answer in turns)
    asked = [question_of(turns) for turns in dialogues[:MOST]]
    said = ask(model, tokenizer, asked, model.config.block_size // 2, chat=chat)
    figures = {"heldout_loss": nats / count, "heldout_bits_per_byte": nats / math.log(2) / length,
               "heldout_dialogues": len(dialogues),
               "stops": run.share([ended for _, ended in said],
                                 [on_one_line(question) for question in asked])}
    transcripts = {on_one_line(question): {"kind": "own", "prompt": question,
                                           "given": turns[-1][1], "answer": answer}
                   for question, turns, (answer, _) in zip(asked, dialogues, said)}
    return figures, list(transcripts.values())[:5]


def question_of(turns):
    """The last question of a dialogue, with the turns before it."""
    texts = [text for turn in turns for text in turn][:-1]
    return texts[0] if len(texts) == 1 else texts


def show_dialogues(columns):
    """columns: {heading: figures and transcripts}."""
    print_table("on held-out dialogues (95% interval)", SHOWN, columns)
    transcripts = {heading: column["transcripts"] for heading, column in columns.items()}
    given = [row | {"answer": row["given"]} for row in transcripts["SFT"]]
    print_answers("held-out prompts, and the answer that was given:",
                  {"given": given, **transcripts})


# ---------------------------------------------------------------------------------------- rankings
def pair_accuracy(scores, gold, entities):
    """scores, gold (N, K), entities (N,): of the pairs in a row whose gold differs, the share that
    the scores order alike. Where gold is nan there is no answer."""
    n, i, j = np.nonzero(gold[:, :, None] > gold[:, None, :])
    return run.share(scores[n, i] > scores[n, j], entities[n])


def calibration_error(scores, ranks, bins=10):
    """Expected calibration error: |how sure - how often right|, over pairs binned by
    sigmoid(margin), weighted by the bins' sizes."""
    # exercise: how sure and how often right, bin by bin
    better = ranks[:, :, None] < ranks[:, None, :]
    n, i, j = np.nonzero(better | better.swapaxes(1, 2))
    sure = 1 / (1 + np.exp(scores[n, j] - scores[n, i]))
    right = ranks[n, i] < ranks[n, j]
    place = np.minimum((sure * bins).astype(int), bins - 1)
    error = 0.0
    for b in np.unique(place):
        here = place == b
        error += abs(sure[here].mean() - right[here].mean()) * here.mean()
    return float(error)


def sureness(scores, ranks):
    """Means over the pairs of (N, K): how sure the scores are of an order, and how often right."""
    n, i, j = np.nonzero(ranks[:, :, None] < ranks[:, None, :])
    margins = scores[n, i] - scores[n, j]
    if not len(margins):
        return {}
    sure = 1 / (1 + np.exp(-abs(margins)))
    return {"sure": float(sure.mean()), "right": float((margins > 0).mean())}


def length_correlation(lengths, scores, real=None):
    """(N, K) each -> {"length_correlation"} of an answer's length in tokens and its score, both
    less their prompt's mean: only within one do answers compete. Nothing where one is constant."""
    real = np.ones(scores.shape, bool) if real is None else real
    x, y = (within_prompts(values, real) for values in (lengths, scores))
    if not (x.std() > 0 and y.std() > 0):
        return {}
    return {"length_correlation": float(np.corrcoef(x, y)[0, 1])}


@torch.no_grad()
def examine_rankings(model, tokenizer, rankings, collate):
    """-> figures, and for the picture is-first (N,) bool and scores (N,) of all answers. collate:
    as in train_rm."""
    pairs, ended, ranks = collate(rankings)
    ranks = ranks.numpy()                                       # (N, K); nan: no answer there
    scores = score_answers(model, tokenizer, pairs, ended).cpu().numpy().reshape(ranks.shape)
    lengths = [len(tokenizer.encode_ordinary(answer)) for _, answer in pairs]
    lengths = np.array(lengths, float).reshape(ranks.shape)
    prompts = np.array([json.dumps(row["prompt"]) for row in rankings])                     # (N,)
    figures = {"heldout_rankings": len(rankings),
               "heldout_pair_accuracy": pair_accuracy(scores, -ranks, prompts),
               "longer_is_better": pair_accuracy(lengths, -ranks, prompts),
               "shorter_is_better": pair_accuracy(-lengths, -ranks, prompts)}
    if not figures["heldout_pair_accuracy"]["n"]:               # ties alone measure nothing
        figures = {"heldout_rankings": len(rankings)}
    else:
        figures["calibration_error"] = calibration_error(scores, ranks)
    real = ~np.isnan(ranks)
    figures |= length_correlation(lengths, scores, real)
    rows = [{"prompt": prompt, "answer": answer, "score": float(score), "rank": float(rank)}
            for (prompt, answer), score, rank in zip(pairs, scores.ravel(), ranks.ravel())
            if rank == rank]
    rows.sort(key=lambda row: -row["score"])
    few = min(3, len(rows) // 2)                                # an answer is in one list only
    figures |= {"best": rows[:few], "worst": rows[-few:]}
    first = ranks == np.nanmin(ranks, axis=1, keepdims=True)
    return figures, first[real], scores[real]


def within_prompts(values, real):
    """(N, K) -> those where real, less their prompt's mean."""
    means = np.where(real, values, 0).sum(1, keepdims=True) / real.sum(1, keepdims=True)
    return (values - means)[real]


def show_rankings(figures):
    print_table("on held-out rankings (95% interval)", RANKED, {"": figures})
    for name in ("best", "worst"):
        print(f"scored {name}:")
        for row in figures[name]:
            print(f"  {row['score']:+.2f}, rank {row['rank']:g}: {on_one_line(row['prompt'])} | "
                  f"{on_one_line(row['answer'])}")


# ---------------------------------------------------------------------------------------- policies
@torch.no_grad()
def report_card(state, base, best_of_n, sampled_kl):
    """{"base", "sft", "best_of_n", "ppo"} on held-out prompts, sampled at temperature 1, of which
    PPO's objective and the KL speak; and "greedy", the likeliest answers, as in a filter. On own
    prompts "sft", "best_of_n" and "ppo". state, best_of_n, sampled_kl: those of train_ppo."""
    n, own = state.config.best_of, state.heldout[:MOST]
    asked = own * max(1, 64 // max(1, len(own)))            # few prompts: each several times
    asked = asked or [prompt.text for prompt in world.report_prompts(state.config.quick)]
    models = {"base": base, "sft": state.reference, "ppo": state.policy}

    def answer(name, temperature=1.0):
        return partial(ask, models[name], state.tokenizer, temperature=temperature,
                       generator=state.fresh(), chat=name != "base",
                       max_new_tokens=state.longest if own else 24)

    answers = {"base": answer("base"), "sft": answer("sft"),
               "best_of_n": partial(best_of_n, state, answer("sft")), "ppo": answer("ppo")}
    if own:
        del answers["base"]
        card = by_reward_model(state, asked, answers)
    else:
        card = {name: by_rubric(state, asked, answers[name]) for name in answers}
        card["greedy"] = {name: by_rubric(state, asked, answer(name, 0.0)) for name in models}
    card["sft"]["kl"], card["ppo"]["kl"] = 0.0, sampled_kl(state, asked)
    card["best_of_n"] |= {"n": n, "kl_at_most": math.log(n) - (n - 1) / n}  # Beirami 2024, thm 1
    return card


def by_rubric(state, asked, answer):
    """A column of the tiny world: the rubric's figures, and the mean score. answer: questions ->
    [(answer, ended)]."""
    everything, quick = [*asked, *world.RECIPE], state.config.quick     # answered in one go
    said = dict(zip(everything, answer(everything)))
    card, transcripts = world.examine(lambda questions: [said[q] for q in questions], quick)
    scores = score(state, asked, said.values())
    return card | {"rm_reward": scores.mean().item(), "transcripts": transcripts}


def by_reward_model(state, asked, answers):
    """The columns of own prompts, {name: figures}. answers: {name: as in by_rubric}, first SFT's.
    better_than_sft: equal answers count half, so that 50% means no difference."""
    names, card, columns = [on_one_line(prompt) for prompt in asked], {}, {}
    distinct = min(5, len(set(names)))
    for name, answer in answers.items():
        said = answer(asked)
        scores = score(state, asked, said)
        columns[name] = said, scores.tolist()
        lengths = [len(state.tokenizer.encode_ordinary(text)) for text, _ in said]
        card[name] = {"rm_reward": scores.mean().item(),
                      "stops": run.share([ended for _, ended in said], names),
                      "answer_length": sum(lengths) / len(lengths),
                      "transcripts": [{"kind": "own", "prompt": prompt, "answer": text}
                                      for prompt, (text, _) in zip(asked[:distinct], said)]}
        if name != "sft":
            wins = [0.5 if answer == other else float(value > level) for answer, value, other, level
                    in zip(*columns[name], *columns["sft"])]
            card[name]["better_than_sft"] = run.share(wins, names)
    return card


def score(state, asked, said):
    """Questions, [(answer, ended)] -> (N,), as PPO scores an answer."""
    pairs = [(question, text) for question, (text, _) in zip(asked, said)]
    ended = torch.tensor([end for _, (_, end) in zip(asked, said)])
    scores = score_answers(state.reward_model, state.tokenizer, pairs, ended).cpu()
    return state.normalised(scores, ended)


def show_card(card, picture, rows, curves):
    """Tables and transcripts on screen; the picture: curves of ppo.jsonl's rows, and bars."""
    columns = {name: column for name, column in card.items() if name != "greedy"}
    own = "greedy" not in card
    draw_run(picture, "iteration", rows, curves, DRAWN if own else world.DRAWN,
             {name: column for name, column in columns.items() if name != "base"})
    if own:
        print_table("held-out prompts, temperature 1", SHOWN, columns)
        print_answers("held-out prompts, answers sampled at temperature 1:",
                      {name: column["transcripts"] for name, column in columns.items()})
        print(f"\n{PLAIN_WORDS}")
    else:
        print_table("sampled at temperature 1", world.SHOWN, columns)
        print_card(world.SHOWN, card["greedy"])
