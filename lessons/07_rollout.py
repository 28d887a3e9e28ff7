"""Two rows of a roll-out of a finished run, for the table and the picture of lesson 7.

run   python lessons/07_rollout.py       the flags are those of train_ppo.py: give the run's own
in    out/ppo.state.pt (policy and critic at the end of the run), out/sft.pt, out/rm.pt
out   lessons/07_rollout.json, and the rows on the screen
see   one question, answered 32 times: the answer given most often and the one scored lowest

What learning computes from these numbers, rewards and advantages, is not stored: the lesson calls
train_ppo.py for it.
"""
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import run
import train_ppo
from data import world

QUESTION, ANSWERS = "What time is it now?", 32


def answer_row(state, rollout, i):
    """Row i of a Rollout as plain lists, the columns of the answer alone."""
    chosen, ids = rollout.mask[i].bool(), rollout.tokens[i, 1:]
    row = {"tokens": [state.tokenizer.decode([id]) for id in ids[chosen].tolist()]}
    for name in ("log_probs", "ref_log_probs", "values"):
        row[name] = [round(x, 4) for x in getattr(rollout, name)[i][chosen].tolist()]
    return row | {"score": round(rollout.scores[i].item(), 4)}


def main():
    config = run.parse_config(train_ppo.Config, __doc__)
    config.resume = True
    state = train_ppo.Training(config, run.pick_device(config.device))
    state.begin()
    if len(state.rows) < config.steps:
        raise run.UserError(f"{config.out}/ppo.state.pt holds {len(state.rows)} of {config.steps} "
                            "iterations: run `python train_ppo.py` to its end first")
    state.generator = state.fresh()
    prompts = [world.Prompt("own", QUESTION, {}, QUESTION)] * ANSWERS
    rollout = train_ppo.sample_rollout(state, prompts)
    rows = [answer_row(state, rollout, i) for i in range(ANSWERS)]
    texts = ["".join(row["tokens"]) for row in rows]
    [(usual, times)] = Counter(texts).most_common(1)
    kept = {"question": QUESTION, "answers": ANSWERS, "times": times, "beta": config.beta,
            "gamma": config.gamma, "lam": config.lam,
            "usual": rows[texts.index(usual)], "lowest": min(rows, key=lambda row: row["score"])}
    run.write_json(ROOT / "lessons" / "07_rollout.json", kept)
    for name in ("usual", "lowest"):
        print(f"{name:7} {kept[name]['score']:+.2f}  {''.join(kept[name]['tokens'])}")


if __name__ == "__main__":
    run.main(main)
