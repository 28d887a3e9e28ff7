"""A person ranks answers at the terminal."""
import json
import re
import sys

from run import UserError


def rank_in_person(rows, path, rankings):
    """[{"prompt", "answers"}] -> those that were ranked, with "ranks". Each ranking is written to
    `path` when it is given; rankings: those that stand there, which are not asked for again."""
    rankings = list(rankings)
    done = {json.dumps([ranking["prompt"], ranking["answers"]]) for ranking in rankings}
    with open(path, "a" if rankings else "w", encoding="utf-8") as file:
        for number, row in enumerate(rows, 1):
            if json.dumps([row["prompt"], row["answers"]]) in done:
                continue
            ranks = ask_person(row["prompt"], row["answers"], number, len(rows))
            if ranks is None:
                break
            rankings.append({**row, "ranks": ranks})
            print(json.dumps(rankings[-1], ensure_ascii=False), file=file, flush=True)
    if not rankings:
        raise UserError("nothing was ranked: rank at least one prompt, or use --labeler scripted")
    return rankings


def need_a_terminal():
    if not sys.stdin.isatty():
        raise UserError("--labeler person asks at a terminal: run it in one, or use "
                        "--labeler scripted")


def ask_person(prompt, answers, number, total):
    """Shows the answers; the person types their numbers from best to worst. Returns ranks, None
    for enough. prompt: a text, or the texts of a dialogue up to its last question."""
    texts = [prompt] if isinstance(prompt, str) else prompt
    print(f"\n[{number}/{total}]", "\n   ".join(texts))
    for i, answer in enumerate(answers, 1):
        print(f"   {i}. {answer}")
    while True:
        try:
            line = input("best to worst, such as 2 1=4 3 6 5 (q: enough): ").strip()
        except EOFError:
            return None
        if line == "q":
            return None
        ranks = typed_ranks(line, len(answers))
        if ranks:
            return ranks
        print(f"   each number from 1 to {len(answers)} once, please")


def typed_ranks(line, K):
    """"3 1=2" -> [2, 2, 1], the ranks of answers 1 to K; None where one is missing or twice."""
    levels = [level.split("=") for level in re.sub(r"\s*=\s*", "=", line).split()]
    rank = {number: i for i, level in enumerate(levels, 1) for number in level}
    wanted = [str(number) for number in range(1, K + 1)]
    if sorted(number for level in levels for number in level) != sorted(wanted):
        return None
    return [rank[number] for number in wanted]
