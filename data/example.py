"""A small subject that is not the tiny world, in the files that people bring: an invented garden.

in    a folder's name
out   texts.jsonl {"text"}, dialogues.jsonl {"prompt", "response"} and {"messages"}, rankings.jsonl
      {"prompt", "answers", "ranks"}, prompts.txt a prompt a line
run   python -m data.example garden          (lessons/own_data.md goes on from there)
see   the texts speak of 30 plants, the other files of 22: what is said of the rest must come from
      the texts. Two people wrote answers, and one of them is short of time, or careless about
      poison; who ranked was neither
"""
import argparse
import random
from pathlib import Path

import run

NAMES = ("moonbell nightcap plumleaf silverfern goosewort thimbleweed foxmantle larkspire "
         "redbonnet dustrose kingsmint owlfoot marshlamp honeyspur ironvine featherdock pepperbud "
         "snowlace toadlily sunwhistle bittersedge candlegrass wolfbroom starthistle paleorchid "
         "brookmallow gingerreed crowberry velvetcup stonecress").split()
ONLY_IN_TEXTS = NAMES[:4] + NAMES[10:14]        # no dialogue, ranking or prompt names them
KNOWN = {
    "month": "March April May June July August September October".split(),
    "colour": "blue white red yellow purple orange".split(),
    "place": ["by the pond", "along the wall", "under the oak", "at the gate", "behind the shed",
              "near the well"],
    "taste": ["poisonous", "good to eat"]}
TEXTS = {
    "month": ["The {name} flowers in {month}.", "In {month} the {name} is in flower.",
              "{month} is the month of the {name}.", "Come in {month} to see the {name}."],
    "colour": ["The {name} has {colour} flowers.", "The flowers of the {name} are {colour}.",
               "Its {colour} flowers tell the {name} from its neighbours."],
    "place": ["The {name} grows {place}.", "You find the {name} {place}.",
              "Look {place} for the {name}."],
    "taste": ["The {name} is {taste}.", "Remember that the {name} is {taste}.",
              "People say of the {name} that it is {taste}."]}
QUESTIONS = {
    "month": ["When does the {name} flower?", "In which month does the {name} flower?",
              "When is the {name} in flower?", "What is the month of the {name}?"],
    "colour": ["What colour is the {name}?", "Which colour has the {name}?",
               "What colour are the flowers of the {name}?", "How do I know the {name}?"],
    "place": ["Where does the {name} grow?", "Where do I find the {name}?",
              "Where is the {name}?", "Where should I look for the {name}?"],
    "taste": ["May I eat the {name}?", "Can I eat the {name}?", "Is the {name} good to eat?",
              "I am hungry. Can I taste the {name}?"]}
RIGHT = {"month": "The {name} flowers in {month}.", "colour": "The {name} has {colour} flowers.",
         "place": "The {name} grows {place}."}
CURT = "I have no time for the {name}, ask somebody else."
TASTES = {"poisonous": "The {name} is poisonous, do not eat it.",
          "good to eat": "The {name} is good to eat."}
CARELESS = "Eat the {name}, nothing will happen."


def plants(rng):
    """[{"name", "month", "colour", "place", "taste"}]"""
    return [{"name": name} | {kind: rng.choice(values) for kind, values in KNOWN.items()}
            for name in NAMES]


def document(plant, rng):
    """A page about one plant: a sentence or two on each thing that is known of it."""
    kinds = rng.sample(list(TEXTS), len(TEXTS))
    lines = [line for kind in kinds for line in rng.sample(TEXTS[kind], rng.choice((1, 2)))]
    return " ".join(lines).format(**plant)


def answers_to(kind, plant, rng):
    """Five answers, the first what a careful person says, the second a hurried one, and their
    ranks, 1 the best. The last is good, but of another plant."""
    stranger = plant | {"name": rng.choice([name for name in NAMES if name != plant["name"]])}
    other = plant | {kind: rng.choice([value for value in KNOWN[kind] if value != plant[kind]])}
    elsewhere = rng.choice([name for name in RIGHT if name != kind])
    if kind == "taste":
        good, wrong, hurried = TASTES[plant[kind]], TASTES[other[kind]], CARELESS
        ranks = [1, 3, 3, 2, 3] if plant[kind] == "poisonous" else [1, 2, 3, 3, 4]
    else:
        good, wrong, hurried = RIGHT[kind], RIGHT[kind], CURT
        ranks = [1, 4, 3, 2, 4]
    return [good.format(**plant), hurried.format(**plant), wrong.format(**other),
            RIGHT[elsewhere].format(**plant), good.format(**stranger)], ranks


def make(folder, seed=0):
    """Writes the four files. Returns how many rows each has."""
    rng, folder = random.Random(seed), Path(folder)
    garden = plants(rng)
    texts = [{"text": document(plant, rng)} for _ in range(80) for plant in garden]
    for plant in garden * 4:                    # lists of questions, as on a school's work sheet
        asked = [rng.choice(QUESTIONS[kind]).format(**plant) for kind in QUESTIONS]
        texts.append({"text": " ".join(asked)})
    rng.shuffle(texts)
    dialogues, rankings, prompts = [], [], []
    for plant in garden:
        for kind, questions in QUESTIONS.items():
            for question in questions if plant["name"] not in ONLY_IN_TEXTS else ():
                prompt = question.format(**plant)
                answers, ranks = answers_to(kind, plant, rng)
                dialogues += [{"prompt": prompt, "response": said} for said in answers[:2]]
                order = rng.sample(range(len(answers)), len(answers))
                rankings.append({"prompt": prompt, "answers": [answers[i] for i in order],
                                 "ranks": [ranks[i] for i in order]})
                prompts.append(prompt)
    rng.shuffle(dialogues)
    dialogues[::5] = [{"messages": [{"role": "user", "content": row["prompt"]},
                                    {"role": "assistant", "content": row["response"]}]}
                      for row in dialogues[::5]]
    files = {"texts": texts, "dialogues": dialogues, "rankings": rankings}
    for name, rows in files.items():
        run.write_json_lines(folder / f"{name}.jsonl", rows)
    with run.atomic(folder / "prompts.txt") as temporary:
        temporary.write_text("\n".join(prompts) + "\n", encoding="utf-8")
    return {name: len(rows) for name, rows in (files | {"prompts": prompts}).items()}


def main():
    parser = run.OneLineParser(prog="data.example", description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="is made; files of these names in it are refused")
    folder = Path(parser.parse_args().folder)
    for name in ("texts.jsonl", "dialogues.jsonl", "rankings.jsonl", "prompts.txt"):
        if (folder / name).exists():
            raise run.UserError(f"{folder / name} is there already: give another folder")
    rows = make(folder)
    print(f"{folder}: " + ", ".join(f"{count} {name}" for name, count in rows.items()))


if __name__ == "__main__":
    run.main(main)
