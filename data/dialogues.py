"""What people asked, answered and ranked, read from files.

in    .jsonl and text files with one row a line
out   demonstrations, rankings, prompts; what cannot be read ends in a UserError that names the line
"""
import gzip
import json
from pathlib import Path

from data.gather import whole_characters
from run import UserError

PAIR = 'each line needs {"prompt": ..., "response": ...}'
RANKING = ('each line needs {"prompt": text or [question, answer, question], '
           '"answers": [two texts or more], '
           '"ranks": [a number for each, 1 the best]}')
PROMPT = "each line needs a prompt"


# ------------------------------------------------------------------------------------------- files
def read_pairs(paths):
    """[(prompt, response)]: demonstrations."""
    return read_rows(paths, pair, f".jsonl files, {PAIR}", f"no demonstrations in there, {PAIR}")


def read_rankings(paths):
    """[{"prompt", "answers", "ranks"}], rank 1 the best; a prompt is a text or a list of texts, a
    dialogue that ends in a question."""
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
        row = whole_characters(json.loads(line))
    except (ValueError, RecursionError):
        raise ValueError(f"is not JSON: {needs}") from None
    return row if isinstance(row, dict) else {}


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
    lists = answers, ranks, row.get("ended", ranks)
    alike = all(isinstance(x, list) and len(x) == len(answers) > 1 for x in lists)
    turns = prompt if isinstance(prompt, list) else [prompt]        # a dialogue's texts, or one
    if not (alike and len(turns) % 2 and all(isinstance(text, str) for text in (*turns, *answers))
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
