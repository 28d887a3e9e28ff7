"""What people asked, answered and ranked: read from files, or typed at the terminal.

in    .jsonl and text files with one row a line
out   demonstrations, rankings, prompts; what cannot be read ends in a UserError that names the line
"""
import gzip
import json
import re
import sys
from pathlib import Path

from run import UserError

PAIR = 'each line needs {"prompt": ..., "response": ...}'
RANKING = ('each line needs {"prompt": text, "answers": [two texts or more], '
           '"ranks": [a number for each, 1 the best]}')
PROMPT = "each line needs a prompt"


# ------------------------------------------------------------------------------------------- files
def read_pairs(paths):
    """[(prompt, response)]: demonstrations."""
    return read_rows(paths, pair, f".jsonl files, {PAIR}", f"no demonstrations in there, {PAIR}")


def read_rankings(paths):
    """[{"prompt", "answers", "ranks"}], rank 1 the best."""
    return read_rows(paths, ranking, f".jsonl files, {RANKING}", f"no rankings in there; {RANKING}")


def read_prompts(paths):
    """[str], of text files or of .jsonl files with {"prompt": ...} a line."""
    return read_rows(paths, prompt, f"text or .jsonl files, {PROMPT}",
                     f"no prompts in there, {PROMPT}")


def read_rows(paths, read, takes, empty):
    """[read(line)] of all lines that are not blank; what `read` raises is said with the line."""
    rows = []
    for path in map(Path, paths):
        if not path.is_file():
            raise UserError(f"{path} not found: --data takes {takes}")
        text = read_text(path)
        for number, line in enumerate(text.split("\n"), 1):     # splitlines would break a string
            try:                                                # at its U+2028
                rows += [read(line)] if line.strip() else []
            except ValueError as error:
                raise UserError(f"{path}:{number} {error}") from None
    if paths and not rows:
        raise UserError(f"{' '.join(map(str, paths))}: {empty}")
    return rows


def read_text(path):
    """UTF-8, or UTF-16 with its mark, also packed by gzip. Bytes that are neither become U+FFFD."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError):
            raise UserError(f"{path} cannot be unpacked: it is cut short; fetch it again") from None
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def read_json(line, needs):
    try:
        row = json.loads(line)
        text = json.dumps(row, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise ValueError(f"is not JSON: {needs}") from None
    if not isinstance(row, dict):
        return {}
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # no half characters
    return json.loads(whole)


def prompt(line):
    if not line.lstrip().startswith("{"):
        return line.strip()
    text = read_json(line, PROMPT).get("prompt")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'has no "prompt": {PROMPT}')
    return text.strip()


def pair(line):
    row = read_json(line, PAIR)
    for name in ("prompt", "response"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f'has no "{name}": {PAIR}')
    return row["prompt"], row["response"]


def ranking(line):
    row = read_json(line, RANKING)
    prompt, answers, ranks = (row.get(name) for name in ("prompt", "answers", "ranks"))
    lists = isinstance(answers, list) and isinstance(ranks, list) and len(answers) == len(ranks) > 1
    if not (lists and all(isinstance(text, str) for text in (prompt, *answers))
            and all(isinstance(rank, (int, float)) for rank in ranks)):
        raise ValueError(f"is no ranking: {RANKING}")
    return row


def those_that_fit(rows, room, length):
    """The rows whose length(row) is at most `room` tokens; how many are left out is said."""
    fit = [row for row in rows if length(row) <= room]
    if rows and not fit:
        raise UserError(f"--data: none of {len(rows)} rows fits into {room} tokens: shorten them, "
                        "or pre-train with a larger --block-size")
    if len(fit) < len(rows):
        print(f"--data: {len(rows) - len(fit)} of {len(rows)} rows do not fit into {room} tokens "
              "and are left out")
    return fit


# ---------------------------------------------------------------------------------------- a person
def rank_in_person(rows, path, resume):
    """[{"prompt", "answers"}] -> those that were ranked, with "ranks". Each ranking is written when
    it is given; with resume those in `path` are not asked again."""
    rankings = read_rankings([path]) if resume and path.exists() else []
    done = {(ranking["prompt"], *ranking["answers"]) for ranking in rankings}
    with open(path, "a" if rankings else "w", encoding="utf-8") as file:
        for number, row in enumerate(rows, 1):
            if (row["prompt"], *row["answers"]) in done:
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
    for enough."""
    print(f"\n[{number}/{total}] {prompt}")
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
