"""A person ranks answers at the terminal, over as many days as it takes.

in    rows {"prompt", "answers"}, a person
out   a line of out/rankings.jsonl for each ranking, written when it is given: the row with "ranks"
      and "labeler": "person"; "again": true where the prompt came back
"""
import contextlib
import json
import random
import re
import sys

import run
from run import UserError
from run.pictures import on_one_line

GUIDELINE = """
   Which answer would you rather get from an assistant? In this order (Ouyang 2022, section 3.4):
   helpful   it does what was asked, in words that the asker understands, and not more
   honest    it says nothing false, and admits what it does not know
   harmless  it helps nobody to hurt others or themselves; where that is at stake, it comes first
   Length is no merit. If two are equally good, or equally bad, say so: A=B."""
KEYS = "best to worst, as B A=C D; s skips, b goes back, ? the guideline (q: enough): "
PLACES = 5          # at least so many prompts lie between a prompt and its return


def need_a_terminal():
    if not sys.stdin.isatty():
        raise UserError("--labeler person asks at a terminal: run it in one, or use "
                        "--labeler scripted")


def earlier_rankings(path, config, read):
    """What new rankings are added to: with --policy those of the first round, with --resume a
    person's of other days. A person's work is never written over."""
    by_a_person = path.exists() and re.search(r'"labeler"\s*:\s*"person"',
                                              path.read_text(encoding="utf-8"))
    if config.policy:
        if not path.exists():
            raise UserError(f"{path} not found: --policy adds a second round to a first one, "
                            "which runs without it")
        return read([path], ties=True)
    if by_a_person and not (config.labeler == "person" and config.resume):
        raise UserError(f"{path} holds a person's rankings: add to them with --labeler person "
                        "--resume, or move the file away")
    return read([path], ties=True) if by_a_person else []


@contextlib.contextmanager
def file_for(path):
    """The file, to read from its beginning and to add to; where it ends empty it goes."""
    try:
        with open(path, "a+", encoding="utf-8") as file:
            file.seek(0)
            yield file
    finally:
        if not path.stat().st_size:
            path.unlink()


def rank_in_person(rows, path, rankings, repeat=0.0):
    """Asks for a ranking of each of [{"prompt", "answers"}] -> all rankings: those that there are,
    which are not asked for again, and the new ones, in `path` too."""
    rankings, place, given = list(rankings), 0, []      # given: (place, where its line begins)
    done = {key(row) for row in rankings}
    rows = [row for row in with_returns(rows, repeat)
            if key(row) not in done and len(set(row["answers"])) > 1]
    with file_for(path) as file:
        scripted = "" if rankings else file.read()
        while place < len(rows):
            ranks = ask_person(rows[place]["prompt"], rows[place]["answers"], place + 1, len(rows))
            if ranks == "q":
                break
            if ranks == "b":
                if not place:
                    print("   nothing lies before this one")
                place = max(0, place - 1)
                if given and given[-1][0] == place:     # a ranking is taken back
                    file.truncate(given.pop()[1])
                    rankings.pop()
                    if not rankings:
                        print(scripted, end="", file=file, flush=True)
                continue
            if ranks != "s":
                if not rankings:
                    file.truncate(0)        # the scripted labeler's, which stayed until now
                given.append((place, file.seek(0, 2)))
                rankings.append({**rows[place], "ranks": ranks, "labeler": "person"})
                print(json.dumps(rankings[-1], ensure_ascii=False), file=file, flush=True)
            place += 1
    if all(len(set(row["ranks"])) == 1 for row in rankings):
        raise UserError("nothing was ranked, or all alike: rank one answer above another at least "
                        "once, or use --labeler scripted")
    return rankings


def key(row):
    return json.dumps([row["prompt"], row["answers"], row.get("again", False)])


def with_returns(rows, repeat):
    """The rows, and a share `repeat` of them once more, later, marked with "again"."""
    rng, due, order = random.Random("what comes back"), [], []
    for i, row in enumerate(rows):
        order.append(row)
        if rng.random() < repeat:
            due.append((i + PLACES, row))
        while due and due[0][0] <= i:
            order.append(due.pop(0)[1] | {"again": True})
    return order + [row | {"again": True} for _, row in due]


def ask_person(prompt, answers, number, total):
    """Shows the answers, each once, shuffled, under letters. Returns ranks, or "s", "b", "q"."""
    texts = list(dict.fromkeys(answers))
    random.Random(f"{prompt} {number}").shuffle(texts)
    print(f"\n[{number}/{total}] {on_one_line(prompt)}")
    for letter, text in zip(letters(len(texts)), texts):
        print(f"   {letter}. {shown_text(text)}")
    while True:
        try:
            line = input(KEYS).strip()
        except EOFError:
            return "q"
        if line.lower() in ("s", "b", "q"):     # one letter ranks no two answers
            return line.lower()
        if line == "?":
            print(GUIDELINE)
            continue
        ranks = typed_ranks(line, letters(len(texts)))
        if ranks:
            return [ranks[texts.index(answer)] for answer in answers]
        print(f"   each letter from A to {letters(len(texts))[-1]} once, please")


def shown_text(text):
    """Later lines under the first; what would move the cursor or ring the bell as a sign."""
    text = "\n      ".join(text.splitlines()) or "(empty)"
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}"
                   for char in text)


def letters(n):
    return [chr(ord("A") + i % 26) + str(i // 26 or "") for i in range(n)]


def typed_ranks(line, names):
    """"c a=b", names A B C -> [2, 2, 1], their ranks; None where one is missing or twice."""
    levels = [level.split("=") for level in re.sub(r"\s*=\s*", "=", line.upper()).split()]
    rank = {name: i for i, level in enumerate(levels, 1) for name in level}
    if sorted(name for level in levels for name in level) != sorted(names):
        return None
    return [rank[name] for name in names]


# --------------------------------------------------------------------------------------- agreement
def agreement(rankings):
    """Of the pairs of answers that both order, the share that they order alike: a person and
    themselves, where a prompt came back, and a person and the rubric, where there is one."""
    first = {key(row): row["ranks"] for row in rankings if not row.get("again")}
    own, rubric = [], []
    for row in rankings:
        if row.get("again") and (before := first.get(key(row | {"again": False}))):
            own += compared(row, before)
        if row.get("labeler") == "person" and row.get("rubric"):
            rubric += compared(row, row["rubric"])
    figures = {name: run.share(*zip(*pairs)) for name, pairs in
               (("agreement_with_oneself", own), ("agreement_with_rubric", rubric)) if pairs}
    for name, figure in figures.items():
        print(f"{name.replace('_', ' ')} {run.shown(figure)}, {figure['n']} pairs of answers")
    return figures


def compared(row, others):
    """[(alike, prompt)] of the pairs of answers that both rankings order."""
    ranks, found = row["ranks"], []
    for i in range(len(ranks)):
        for j in range(i):
            if ranks[i] != ranks[j] and others[i] != others[j]:
                alike = (ranks[i] < ranks[j]) == (others[i] < others[j])
                found.append((alike, json.dumps(row["prompt"])))
    return found
