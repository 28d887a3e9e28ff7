"""What people asked, answered and ranked, read from files in the forms that common tools write.

in    .jsonl, .json (an array too) and .txt, each also .gz or UTF-16; folders and globs of them
out   dialogues [(question, answer), ...], rankings {"prompt", "answers", "ranks"}, prompts; a
      prompt is a text or [question, answer, ..., question]
see   how many rows of which form there are, and what is left out, and why; a row that fits no form
      ends in a UserError that names its line
"""
import json
import re
from collections import Counter
from functools import partial

from bpe import ASSISTANT, END, USER
from data.gather import decode_bytes, files_of, kind_of, opened, whole_characters
from data.shards import place_of
from run import UserError

DIALOGUE = ('a row is {"prompt", "response"}, {"instruction", "input", "output"}, {"messages": '
            '[{"role", "content"}, ...]} or {"conversations": [{"from", "value"}, ...]}')
RANKING = ('a row is {"prompt", "answers": [two texts or more], "ranks": [a number for each, 1 the '
           'best]}, {"prompt", "chosen", "rejected"}, or {"chosen", "rejected"} with whole '
           'dialogues, as messages or as "\\n\\nHuman: ...\\n\\nAssistant: ..."')
PROMPT = ('a row is a line of text, {"prompt": text} or {"messages": [{"role", "content"}, ...]} '
          'that end with the user')
JSON = (".json", ".jsonl", ".ndjson")
ROLES = dict(user="user", human="user", assistant="assistant", gpt="assistant", system="system")
FOUND_AT = {}       # a row as JSON -> "file:line", to name it later


class LeftOut(Exception):
    """A row that is no mistake, but of no use; its text says what it is."""


# ------------------------------------------------------------------------------------------- files
def read_dialogues(paths):
    """[[(question, answer), ...]]: demonstrations."""
    return read_rows(paths, dialogue, DIALOGUE)


def read_rankings(paths, ties=False):
    """[{"prompt", "answers", "ranks"}], rank 1 the best; ties: also where nothing is preferred."""
    return read_rows(paths, partial(ranking, ties=ties), RANKING)


def read_prompts(paths):
    """[text or list of texts]."""
    return read_rows(paths, prompt, PROMPT, plain=True)


def files_in(paths):
    return [file for path in paths for file in
            files_of(str(path), (*JSON, ".txt"), "files, folders and globs")]


def read_rows(paths, read, needs, plain=False):
    """The rows of all files, each once. read(value) -> (name of its form, row)."""
    rows, forms, left_out, first = {}, Counter(), Counter(), ""
    for path in files_in(paths):
        for line, value in values_of(path, needs, plain):
            try:
                form, row = read(value)
                key = json.dumps(row)
                if key in rows:
                    raise LeftOut("double")
                rows[key], forms[form] = row, forms[form] + 1
                FOUND_AT[key] = f"{path}:{line}"
            except LeftOut as why:
                left_out[str(why)] += 1
                first = first or f"{path}:{line} is {why}, and no row is left"
            except ValueError as error:
                raise UserError(f"{path}:{line} {error}: {needs}") from None
    if paths and not rows:
        raise UserError(f"{first or ' '.join(map(str, paths)) + ': nothing in there'}: {needs}")
    if paths:
        print(f"{paths[0]}{' ...' * (len(paths) > 1)}: {len(rows)} rows, {counted(forms)}"
              + (f"; left out: {counted(left_out)}" if left_out else ""))
    return list(rows.values())


def counted(counter):
    return ", ".join(f"{count} {name}" for name, count in counter.items())


def values_of(path, needs, plain):
    """Yields (line number, value): JSON values one after the other, or those of one array; with
    `plain`, where the file's name does not say JSON, a line that begins with no { is a text."""
    text, decode = read_text(path), json.JSONDecoder().raw_decode
    plain = plain and kind_of(path) not in JSON
    array = not plain and re.match(r"\s*\[", text)
    if array:
        text, whole = re.subn(r"]\s*$", "", text)
        if not whole:
            raise UserError(f"{path}:1 opens an array that is not closed: is the file cut short?")
    at, line, between = array.end() if array else 0, 1, re.compile(r"[\s,]*" if array else r"\s*")
    line += text.count("\n", 0, at)
    while (start := between.match(text, at).end()) < len(text):
        line, at = line + text.count("\n", at, start), start
        if plain and text[at] != "{":
            end = re.compile("$", re.MULTILINE).search(text, at).start()   # at no U+2028
            value = text[at:end]
        else:
            try:
                value, end = decode(text, at)
                value = whole_characters(value)
            except (ValueError, RecursionError):
                raise UserError(f"{path}:{line} is not JSON: {needs}") from None
        yield line, value
        line, at = line + text.count("\n", at, end), end


def read_text(path):
    """As pre-training reads it. An odd letter in five is none of Windows-1252's languages."""
    with opened(path) as file:
        content = file.read()
    if content.decode(errors="replace").count("\ufffd") > len(content) / 5:
        raise UserError(f"{path} is not text: give .jsonl, .json or .txt in UTF-8")
    return decode_bytes(content)


# --------------------------------------------------------------------------------------- the forms
def dialogue(row):
    form, messages = messages_in(row)
    if messages is not None:
        texts = texts_of(messages)
        if len(texts) % 2 or not texts:
            raise ValueError("has no answer at its end")
    elif "instruction" in row:
        names = ("instruction", "input") if row.get("input") else ("instruction",)
        asked = "\n".join(text_in(row, name) for name in names)
        form, texts = "Alpaca", [asked, text_in(row, "output")]
    else:
        form, texts = "prompt and response", [*prompt_in(row), text_in(row, "response")]
    texts = checked(texts)
    return form, list(zip(texts[::2], texts[1::2]))


def ranking(row, ties):
    if isinstance(row, dict) and ("chosen" in row or "rejected" in row):
        return preference(row)
    texts = prompt_in(row)
    answers, ranks = row.get("answers"), row.get("ranks")
    lists = answers, ranks, row.get("ended", ranks), row.get("rubric", ranks)
    alike = all(isinstance(x, list) and len(x) == len(answers) > 1 for x in lists)
    if not (alike and all(isinstance(text, str) for text in answers)):
        raise ValueError("is no ranking: not two answers or more, or not a rank for each")
    if not all(type(rank) in (int, float) and abs(rank) < 1e9
               for rank in [*ranks, *row.get("rubric", [])]):
        raise ValueError("has a rank that is no number")    # nan is not smaller than anything
    if not ties and (len(set(ranks)) == 1 or len(set(zip(answers, ranks))) > len(set(answers))):
        raise LeftOut("without a preference")       # or with two ranks for one answer
    checked(texts)                                  # a poor model may write <|user|> in its answers
    return "rankings", row | {"prompt": one_or_list(texts)}


def preference(row):
    """Two answers, one of them chosen, after a prompt or in transcripts with one beginning."""
    chosen, rejected = (transcript(row, name) for name in ("chosen", "rejected"))
    if len(chosen) % 2 or len(rejected) % 2 or not chosen:
        raise ValueError("has no answer at its end")
    *texts, good = chosen
    *others, bad = rejected
    if texts != others:
        raise LeftOut("without a common beginning")
    if good == bad:
        raise LeftOut("without a preference")
    checked(texts)
    refuse_control_tokens([good, bad])
    form = "chosen and rejected" + " transcripts" * ("prompt" not in row)
    return form, {"prompt": one_or_list(texts), "answers": [good, bad], "ranks": [1, 2]}


def transcript(row, name):
    """The texts of the whole dialogue that ends with the answer in this field."""
    if name not in row:
        raise ValueError(f'has no "{name}"')
    answer = row[name]
    if isinstance(answer, str) and "prompt" in row:
        return [*prompt_in(row), answer.strip()]
    if isinstance(answer, str):
        blank, *parts = re.split(r"(?:^|\n\n)(Human|Assistant):", answer)
        if blank.strip() or not parts:
            text_in(row, "prompt")
        answer = [{"role": "user" if who == "Human" else "assistant", "content": text}
                  for who, text in zip(parts[::2], parts[1::2])]
    elif "prompt" in row and first_role(answer) == "assistant":
        return [*prompt_in(row), *texts_of([{"role": "user", "content": ""}, *answer])[1:]]
    return texts_of(answer)


def prompt(value):
    if isinstance(value, str):
        return "texts", checked([value])[0]
    form, messages = messages_in(value)
    texts = prompt_in({"prompt": messages} if messages is not None else value)
    return form or "prompts", one_or_list(checked(texts))


# ------------------------------------------------------------------------------ what they are of
def messages_in(row):
    """-> (name of the form, messages), (None, None) where the row holds none."""
    if not isinstance(row, dict):
        raise ValueError("is no JSON object")
    for name, form in (("messages", "messages"), ("conversations", "ShareGPT")):
        if name in row:
            system = first_role(row[name]) == "system"
            return form + " (system text put before the first question)" * system, row[name]
    return None, None


def first_role(messages):
    return role_of(messages[0]) if isinstance(messages, list) and messages else None


def role_of(message):
    """"user", "assistant" or "system"."""
    if not isinstance(message, dict):
        raise ValueError("has a message that is no JSON object")
    name = message.get("role", message.get("from"))
    if not isinstance(name, str) or name not in ROLES:
        raise ValueError(f"has the role {json.dumps(name)[:40]}, which is none of "
                         f"{', '.join(ROLES)}")
    return ROLES[name]


def texts_of(messages):
    """[question, answer, ...]. The chat template has no place for a system: its text goes before
    the first question."""
    texts, system = [], ""
    if not isinstance(messages, list):
        raise ValueError("has messages that are no list")
    for number, message in enumerate(messages, 1):
        role, text = role_of(message), message.get("content", message.get("value"))
        if not isinstance(text, str):
            raise ValueError(f"has no text in message {number}")
        if role == "system" and number == 1:
            system = text.strip()
            continue
        due = "assistant" if len(texts) % 2 else "user"
        if role != due:
            raise ValueError(f"has message {number} by the {role}, where the {due}'s turn is")
        texts.append(text.strip())
    return [f"{system}\n\n{texts[0]}", *texts[1:]] if system and texts else texts


def prompt_in(row):
    """[question, answer, ..., question] of the field "prompt"."""
    asked = row.get("prompt") if isinstance(row, dict) else None
    if isinstance(asked, list) and asked and isinstance(asked[0], dict):
        asked = texts_of(asked)
    texts = [asked] if isinstance(asked, str) else asked
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError('has no "prompt" that is a text, or texts')
    if not len(texts) % 2:
        raise ValueError("ends with an answer, or is empty, where a question should be")
    return texts


def text_in(row, name):
    if not isinstance(row.get(name), str):
        raise ValueError(f'has no "{name}" that is a text')
    return row[name]


def checked(texts):
    """The texts without blanks around them. An empty one makes the row useless."""
    refuse_control_tokens(texts)
    texts = [text.strip() for text in texts]
    if not all(texts):
        raise LeftOut("empty")
    return texts


def refuse_control_tokens(texts):
    for token in (END, USER, ASSISTANT):
        if any(token in text for text in texts):
            raise ValueError(f"holds {token}: take it out, the chat template puts it in its place")


def one_or_list(texts):
    return texts[0] if len(texts) == 1 else texts


# ------------------------------------------------------------------------------- what becomes of it
def those_that_fit(rows, room, length):
    """The rows whose length(row) is at most `room` tokens; how many are left out is said."""
    fits = [length(row) <= room for row in rows]
    first = FOUND_AT.get(json.dumps(rows[fits.index(False)]), "") if False in fits else ""
    if rows and not any(fits):
        raise UserError(f"--data: none of {len(rows)} rows fits into {room} tokens ({first}): "
                        "shorten them, or pre-train with a larger --block-size")
    if not all(fits):
        print(f"--data: {fits.count(False)} of {len(rows)} rows do not fit into {room} tokens and "
              f"are left out, the first at {first}")
    return [row for row, fit in zip(rows, fits) if fit]


def hold_out(rows, share, question):
    """-> (rows to train on, rows to judge by). What question(row) asks first decides, by its hash:
    a prompt that is held out in one stage is in all."""
    if not rows:
        return [], []
    if not 0 < share < 1:
        raise UserError(f"--heldout-share {share:g} must lie between 0 and 1, as 0.1 for a tenth: "
                        "without held-out rows nothing can be judged")
    asked = [question(row) for row in rows]
    places = [place_of(texts if isinstance(texts, str) else texts[0]) for texts in asked]
    distinct = sorted(set(places))
    if len(distinct) < 2:
        print("--data: all rows ask the same, so the rows to train on judge, too: give two prompts "
              "or more, and some are held out")
        return rows, rows
    if not distinct[0] < share <= distinct[-1]:             # by chance one side would be empty
        share = distinct[min(len(distinct) - 1, max(1, round(share * len(distinct))))]
    kept = [row for row, place in zip(rows, places) if place >= share]
    order = sorted(range(len(rows)), key=lambda i: places[i])       # the first few: of all kinds
    heldout = [rows[i] for i in order if places[i] < share]
    print(f"--data: {len(kept)} rows to train on, {len(heldout)} held out to judge by")
    return kept, heldout


def prompts_of(config, room, encode):
    """-> (prompts of --data for PPO, held-out ones), those that encode into `room` tokens."""
    fit = those_that_fit(read_prompts(config.data), room, lambda prompt: len(encode(prompt)))
    return hold_out(fit, config.heldout_share, lambda prompt: prompt)
