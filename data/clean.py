"""From what a crawler saw to what is worth reading: repairs first, then filters, then duplicates.

in    documents (str, or bytes as they came), one at a time, any number
out   for each, in order: (text, None) kept, or (original, "filter's name") dropped
run   python train_pretrain.py, which prints what each filter did

A repair takes rubbish off a good text (markup, menus, garbled quotes). A filter names a text that
is rubbish from end to end: it returns True where the text should go. The ideas are those of Gopher
(Rae et al. 2021, appendix A.1.1) and C4 (Raffel et al. 2020, section 2.2), but where one trait is
found in good texts too (prices, headings, a refrain) ours ask for a second, independent one.
"""
import json
import os
import re
import unicodedata
import zlib
from collections import Counter
from functools import partial
from itertools import groupby, tee

import run
from data.duplicates import Duplicates, fingerprint
from data.gather import decode_bytes
from data.markup import strip_markup
from data.world.dirt import CleaningGrade
from run.workers import batches, in_order


def any_of(*phrases):
    return "(?:" + "|".join(phrases) + ")"


# ---- repairs: text -> text
CP1252_BYTE = {bytes([b]).decode("cp1252", "ignore") or chr(b): b for b in range(128, 256)}
MOVED = [char for char, byte in CP1252_BYTE.items() if byte < 0xC0 and ord(char) > 255]
CONTINUATION = "[\x80-\xbf" + "".join(MOVED) + "]"
LETTER, SIGN = f"[ÃÄÅ]{CONTINUATION}", f"Â{CONTINUATION}"
OTHERS = f"â{CONTINUATION}{{2}}|ð{CONTINUATION}{{3}}"  # punctuation and symbols, emoji
LOST_SPACE = r"(?<=[a-z\d.,;:!?])Â(?=[\s\ufffd]|$)\ufffd?"  # a no-break one became a plain one
GARBLED_UTF8 = re.compile(f"{LETTER}|{SIGN}|{OTHERS}")
SURELY_GARBLED = re.compile("|".join([  # not Å², nor a word in capitals that ends in Ã”
    f"(?<=[a-z]){LETTER}|{LETTER}(?=[a-zÃÂâ])", f"(?<![A-ZÀ-Þ]){SIGN}", OTHERS, LOST_SPACE]))


def read_again(match):
    try:
        return bytes(CP1252_BYTE.get(char, ord(char) & 255) for char in match[0]).decode()
    except UnicodeDecodeError:
        return match[0]


def fix_mojibake(text):
    """UTF-8 that was read as Windows-1252 or Latin-1 is read again: 'CafÃ©' -> 'Café'."""
    if text.isascii() or not SURELY_GARBLED.search(text):
        return text
    for _ in range(3):  # as it happens more than once
        text = GARBLED_UTF8.sub(read_again, text)
    # the byte 0x9D, a closing quote's last, has no letter in Windows-1252
    text = re.sub("â€[\x9d\ufffd]?", "\u201d", text)
    return re.sub(LOST_SPACE, "", text)


INVISIBLE = re.compile(
    "\x1b\\[[0-9;]*[A-Za-z]|"  # terminal codes
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1 controls
    "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # no width, direction
    "\ufffe\uffff\ud800-\udfff\ue000-\uf8ff]")  # no characters, halves of one, private ones


def drop_control_characters(text):
    """What nobody sees goes; every line ends in one newline."""
    return INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def normalize_unicode(text):
    """One spelling for each letter, one kind of space. NFKC would also make 52 of 5²."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    return re.sub("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]", " ", text)


# This pattern and those below are for text in small letters: four times as fast as re.I.
FORMULA = re.compile(any_of(
    "licensed under the|permission is hereby granted|permission notice|spdx-license-identifier",
    "redistribute it and/or|redistribution and use|license as published by|all rights reserved",
    r"copyright (?:\(c\) |© )?\d{4}|express or implied|merchantability|fitness for a particular",
    r"without warrant(?:y|ies) o[fr]|without any warranty|\"as[ -]is\"|above copyright notice",
    "compliance with the license|copy of the license|limitations under the license|/licenses?/",
    "required by applicable law|this (?:program|file|software) is (?:free|distributed|provided)",
    "in the hope that it will be|to any person obtaining|associated documentation files",
    "without restriction|copies or substantial portions|the project gutenberg e?book",
))
COMMENT = re.compile(r"\s*(?:/?\*|//|#|--|;|<!--|\"\"\"$)")


def strip_licence(text):
    """Paragraphs and comments full of a licence's formulas go: three, one in every 20 words."""
    small = text.lower()
    if not any(hint in small for hint in ("licen", "copyright", "redistribut", "gutenberg")):
        return text
    kept, lines = [], text.split("\n")
    for _, group in groupby(lines, lambda line: (not line.strip(), bool(COMMENT.match(line)))):
        group = list(group)
        whole = " ".join(group).lower()
        found = FORMULA.findall(whole)
        if len(set(found)) < 3 or len(found) * 20 < len(whole.split()):
            kept += group
    return text if len(kept) == len(lines) else "\n".join(kept).strip("\n")


MENU_ITEM = any_of(
    "home(?:page)?|(?:about|contact)(?: us)?|news|(?:sign|log) ?(?:in|up|out)|register|help|next",
    "archives?|shop|store|blog|faqs?|site ?map|privacy(?: policy)?|(?:my )?account|search|tags|top",
    "terms(?: (?:of|and) (?:use|service|conditions))?|(?:main )?menu|basket|checkout|subscribe",
    "forums?|gallery|careers|jobs|support|services|products|categories|prev(?:ious)?|share|print",
    "e-?mail|feedback|press|media|events|donate|downloads?|close|(?:read )?more|follow us|links",
    "resources|community|settings|english|advertise(?:ment)?|copyright|disclaimer|accessibility",
    "cookies?(?: (?:policy|settings|notice))?|(?:accept|reject) all(?: cookies)?|loading|got it",
    "manage preferences|rss|cart",
) + r"\b"
MENU_LINE = re.compile(rf"(?:[\W_]*+{MENU_ITEM})++[\W_]*+")  # ++, *+: never tried another way
MENU_ITEM = re.compile(rf"\b{MENU_ITEM}")
SEPARATOR = re.compile(r"\s*(?:[|»·•→]|\s[/>]\s|::)\s*")

# the page's furniture: these phrases make up half a sentence, or three signs of a cookie notice
FURNITURE = re.compile(r"(?<!\w)" + any_of(
    "skip to (?:main )?(?:content|navigation)|toggle (?:navigation|menu)|you are here: .*",
    r"all rights reserved|(?:copyright (?:\(c\) |© ?)?|© ?)\d{4}(?:\W.{0,30}$)?|powered by \w+$",
    "(?:subscribe|sign up) (?:to|for) (?:our|my) .{0,60}(?:newsletter|updates|list)",
    "share (?:this|on|via) (?:facebook|twitter|linkedin|e-?mail|page|post|story|article)",
    r"(?:follow|like|find) us on \w+|back to top|(?:e-?mail|print) this page",
    r"posted (?:by|on|in) .{0,60}\d|\d+ comments?(?= \|)|leave a (?:reply|comment)",
    "you must (?:be logged|log) in.*|please (?:enable|turn on) javascript.*",
    "(?:read|see) more: .*|related (?:articles|posts|stories)|most popular (?:posts|stories)",
    "(?:read|see|view) our (?:cookie|privacy) (?:notice|policy)",
    r"click here(?: to \w+)?|404 (?:not found|error)|page not found|access denied",
    r"lorem ipsum dolor.*|page \d+ of \d+|terms of use|your browser does(?:n't| not) support.*",
))
COOKIES = re.compile(
    r"(?=.*(?:use[sd]?|use of|accept|access|set|allow) (?:\w+ )?cookies|.*cookies (?:help|to)"
    r"|.*cookie (?:policy|notice|settings))(?=.*\b(?:we|us|our|your?|this (?:web)?site)\b)"
    r"(?=.*\b(?:experience|(?:web)?site|device|browser?|services|agree|continue|audience"
    r"|analytics|advertis\w+|consent|partners|preferences|traffic)\b)")
HINTS = ("cookie|reserved|copyright|©|skip to|toggle|you are here|subscribe|sign up|share |us on|"
         "more:|back to|this page|posted|comment|leave a |must |javascript|powered|related|popular|"
         "click|404|not found|denied|lorem|page |terms of|browser").split("|")
def menu_items(line):
    """How many there are in a line in small letters; 0: it is no menu."""
    if len(line) > 400 or line.endswith((".", "!", "?", ",", ";")) or line[:1] in "#|":
        return 0  # a sentence ("Help, help, help!"), a title, a table's row
    if MENU_LINE.fullmatch(line):
        return len(MENU_ITEM.findall(line))
    items = [item for item in SEPARATOR.split(line) if item]
    if len(items) < 3 or any(len(item.split()) > 5 for item in items):
        return 0
    known = sum(bool(MENU_LINE.fullmatch(item)) for item in items)
    return len(items) if known * 2 >= len(items) else 0


def is_furniture(sentence):
    found = " ".join(match[0] for match in FURNITURE.finditer(sentence))
    return (bool(found) and len(found.split()) * 2 >= len(sentence.split())
            or "cookie" in sentence and bool(COOKIES.match(sentence)))


def without_furniture(line):
    """The line's other sentences, where they are more than a remnant."""
    sentences = re.split(r"(?<=[.!?|])\s+", line)
    small = [sentence.lower() for sentence in sentences]
    bad = [is_furniture(low) for low in small]
    if not any(bad):
        return line
    good = " ".join(sentence for sentence, low, furniture in zip(sentences, small, bad)
                    if not furniture and not MENU_LINE.fullmatch(low))
    return good if len(good.split()) >= min(8, len(line.split()) / 2) else ""


def drop_boilerplate(text):
    """Cookie notices and furniture go, and menus: lines that hold three items together, as one
    such word may well be a title."""
    small = text.lower()
    suspect = any(hint in small for hint in HINTS)  # most texts have none: not searched
    kept, doubtful, items = [], [], 0
    for line in [*text.split("\n"), "the end"]:
        found, rest = menu_items(line.strip().lower()), line
        if suspect and not found:
            rest = without_furniture(line)
            found = 3 * (rest != line and not rest)
        if found or not line.strip():
            doubtful.append(line)
            items += found
            continue
        kept += doubtful if items < 3 else [line for line in doubtful if not line.strip()]
        kept.append(rest)
        doubtful, items = [], 0
    return "\n".join(kept[:-1])


REPAIRS = [fix_mojibake, strip_markup, drop_control_characters, normalize_unicode, strip_licence,
           drop_boilerplate]


# ---- filters: (text, words) -> True where the whole text should go

ENGLISH = set("""the be to of and that have with is are was in a an it you i for on as at by not
    this do does what which how who from they he she we or but if can your my his her its there
    their will would has had were when""".split())
FOREIGN = set("""el la los las de del que y en un una es por con para su se está il lo gli di che è
    per non sono le les des du et est une dans qui pour pas au ce der die das und ist ein eine den
    dem von zu mit auf nicht sich im o os as da do em um uma não com het een van dat op te zijn niet
    och att det som på av är""".split()) - ENGLISH
SPAM_CALLS = re.compile(any_of(
    r"\bbuy (?:now|online|cheap)|\border (?:now|today|online)|\bclick here|\bact (?:now|fast)",
    r"\blimited (?:time )?offer|100% free|\bfree (?:money|trial|gift|iphone)|\bmoney[- ]back",
    r"\brisk[- ]free|\bno prescription|\bearn (?:\$|money|up)|\bfrom home\b|\bmake money|!!+|>>+",
    r"\bcall now|\b(?:lowest|best) price|\bspecial offer|\bsave \d+%|\d+% off|\bvisit (?:our|http)",
    r"\byou(?: are a winner|(?:'ve| have)? won)\b",
))
SOLD = """casino poker jackpot viagra cialis cheap payday loan replica discount weight bonus
    bitcoin crypto forex single xxx follower designer pill miracle""".split()
SPAM_GOODS = re.compile(rf"\b{any_of(*SOLD)}s?\b")
CODE_LINE = re.compile(any_of(
    r"#(?:include|define)\b|import [\w.]+;?$|from [\w.]+ import|def \w+\(|class \w+[:({]|@\w+$",
    r"[{}()\[\];,]+$|.*[{]$|return(?: \S+)?;$",
    r"(?:if|for|while) ?\(.*;$|[\w.>:*&-]+\(.*\);$",  # not "(a) pay the rent;"
    r"(?:[\w.*&<>\[\]:]+ ){0,3}[\w.*&>\[\]-]+ ?[-+*/|&^%]?= ?.*;$",
))
LETTERS = re.compile(r"[^\W_]+")


def bare(words):
    return [word.strip(".,;:!?\"'()").lower() for word in words[:5000]]


def no_sentences(words):
    """Fewer than one word in ten is a small one, of English or a neighbour."""
    small = sum(word in ENGLISH or word in FOREIGN for word in bare(words))
    return small * 10 < min(len(words), 5000)


def too_short(text, words):
    return len(words) < 5  # Gopher: 50; a question with its answer is worth keeping here


def garbled(text, words):
    """A letter in thirty is lost; or no sentences, and mostly signs or words of over 12 letters."""
    lost = text.count("\ufffd") + len(SURELY_GARBLED.findall(text))
    if lost * 30 > len(text):
        return True
    visible = sum(map(len, words))
    letters = sum(map(len, LETTERS.findall(text)))
    long = visible > 12 * len(words) and text.isascii()  # Chinese has no spaces
    return (letters * 2 < visible or long) and no_sentences(words)


def other_script(text, words):
    """Fewer than four letters in five are Latin, or most have an accent: Cyrillic, misread."""
    if text.isascii():
        return False
    letters = [char for char in text if char.isalpha()]
    latin = sum(char < "\u0250" or "\u1e00" <= char <= "\u1eff" for char in letters)
    plain = sum(char < "\x80" for char in letters)
    return latin < 0.8 * len(letters) or plain * 2 < latin


def other_language(text, words):
    """Three function words of our neighbours, more than English ones; or sentences without any."""
    words = bare(words)
    english = sum(word in ENGLISH for word in words)
    foreign = [word for word in words if word in FOREIGN]
    if len(foreign) > english and len(set(foreign)) >= 3 and len(foreign) * 10 >= len(words):
        return True
    if english >= 2 or len(words) < 50:
        return False
    written = sum(word.isalpha() for word in words)
    return written >= 7 * (text.count("\n") + 1)  # a line: not a table, nor a list


def source_code(text, words):
    """A third of the lines and words read like a program (C4 drops every page with a brace)."""
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    code = [line for line in lines if CODE_LINE.match(line)]
    return len(code) * 3 > len(lines) and len(" ".join(code).split()) * 3 > len(words)


def spam(text, words):
    """What is sold and two different calls to buy it: one such phrase in ten words."""
    small = text.lower()
    if not any(word in small for word in SOLD):  # most texts: not searched
        return False
    calls, goods = SPAM_CALLS.findall(small), SPAM_GOODS.findall(small)
    many = len(calls + goods) * 10 >= len(words)
    return many and len(set(calls)) >= 2 and bool(goods)


def symbols(text, words):
    """No sentences, and dots or a hashtag for every second word (Gopher: for every tenth)."""
    marks = len(re.findall(r"\.{3,}|\u2026|#[^\W\d]", text))
    return marks * 2 > len(words) and no_sentences(words)


def repeated_lines(text, words):
    """Lines that stood before hold half the characters, and a word comes three times (Gopher: 30%
    of the characters, but so does a refrain)."""
    # exercise: count the lines of three words or more, then ask for both signs
    lines = [line.strip() for line in text.split("\n") if len(line.split()) > 2]
    again = sum(len(line) * (count - 1) for line, count in Counter(lines).items())
    return again * 2 > sum(map(len, lines)) and len(set(words)) * 3 < len(words)


def repeated_phrases(text, words):
    """Two of: one phrase of four words makes up 60% of the text, six words of seven stood before,
    it packs to a tenth (our rules: Gopher's 16% drops lists of questions that begin alike)."""
    if len(words) < 20:
        return False
    words, start = words[:5000], text[:20000]
    most = max(Counter(zip(words, words[1:], words[2:], words[3:])).values())
    phrase = most > 2 and most * 4 > 0.6 * len(words)
    few = len(set(words)) * 7 < min(len(words), 500)
    return phrase + few + (len(zlib.compress(start.encode())) * 10 < len(start)) >= 2


FILTERS = [too_short, garbled, other_script, other_language, source_code, spam, symbols,
           repeated_lines, repeated_phrases]
NEED_ENGLISH = ("other_script", "other_language", "spam")


# ---- the whole of cleaning
class Report:
    """How often each repair and filter acted, with two examples: {name: {"count", "examples"}}."""

    def __init__(self):
        self.documents = self.kept = 0
        dropped = [rule.__name__ for rule in FILTERS] + ["exact_duplicate", "near_duplicate"]
        self.repairs = {rule.__name__: {"count": 0, "examples": []} for rule in REPAIRS}
        self.filters = {name: {"count": 0, "examples": []} for name in dropped}

    def add(self, original, repairs, reason):
        self.documents += 1
        self.kept += not reason
        acted = [(self.repairs[name], example) for name, example in repairs]
        if reason:
            acted.append((self.filters[reason], decode_bytes(original)[:120]))
        for entry, example in acted:
            entry["count"] += 1
            if len(entry["examples"]) < 2:
                entry["examples"].append(example)

    def lines(self):
        """(repaired or dropped, count, name, example) for each rule that acted."""
        for verb, family in (("repaired", self.repairs), ("dropped", self.filters)):
            for name, entry in family.items():
                if entry["count"]:
                    yield verb, entry["count"], name, " ".join(entry["examples"][0].split())[:90]

    def why_nothing_is_left(self):
        dropped = [line[1:] for line in self.lines() if line[0] == "dropped"]
        by = ", ".join(f'{name} {count:,} ("{example[:40]}")' for count, name, example in dropped)
        flags = "--language any, or " * any(name in NEED_ENGLISH for _, name, _ in dropped)
        return (f"cleaning dropped all of the {self.documents:,} documents, by {by}: "
                f"try {flags}--raw, which takes the text as it is")


def around_the_change(before, after):
    """The first place where two texts differ, with a few words before it."""
    start = max(0, len(os.path.commonprefix([before, after])) - 20)
    return f"{before[start : start + 60]!r} -> {after[start : start + 60]!r}"


def repair_and_filter(original, language="en"):
    """-> (text, name of the filter that fires or None, [(repair, example)], fingerprint or None)"""
    text, repairs = decode_bytes(original), []
    for repair in REPAIRS:
        before, text = text, repair(text)
        if text != before:
            repairs.append((repair.__name__, around_the_change(before, text)))
    if repairs:
        text = text.strip("\n")
    words = text.split()
    for rule in FILTERS:
        if (language == "en" or rule.__name__ not in NEED_ENGLISH) and rule(text, words):
            return text, rule.__name__, repairs, None
    return text, None, repairs, fingerprint(text)


def repair_and_filter_all(originals, language):
    return [repair_and_filter(original, language) for original in originals]


def clean(documents, report=None, language="en", workers=1, raw=False):
    """Yields for each document (text, None), kept and repaired, or (original, "filter's name").
    documents: iterable of str or bytes; report: a Report to fill; language: "en", or "any" for no
    filter by script and language; workers: processes; raw: keep everything as it is, only decoded.
    """
    report, duplicates = report or Report(), Duplicates()
    work = partial(repair_and_filter_all, language=language)
    jobs = batches(documents, most=256)
    if raw:
        answers = ((job, [(decode_bytes(text), None, [], None) for text in job]) for job in jobs)
    else:
        pool = in_order(work, jobs, workers) if workers > 1 else None
        answers = pool or ((job, work(job)) for job in jobs)
    for job, cleaned in answers:
        for original, (text, reason, repairs, print_) in zip(job, cleaned):
            if print_:
                reason = duplicates.find(*print_)
            report.add(original, repairs, reason)
            yield (original, reason) if reason else (text, None)


def clean_to_file(planted_documents, path, config, count_dirt):
    """Cleans Planted documents into `path`, one JSON string a line, and shows what each rule did.
    Returns figures: documents, kept, characters, repairs, filters; with count_dirt (the labels are
    true) also those of `dirt_figures`. Raises run.UserError where nothing is left."""
    report, grade, characters = Report(), CleaningGrade(), 0
    planted_documents, ahead = tee(planted_documents)  # for cleaning, which looks ahead
    texts = (document.text for document in ahead)
    answers = clean(texts, report, config.language, workers=os.cpu_count(), raw=config.raw)
    with run.atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for (text, reason), planted in zip(answers, planted_documents):
            if count_dirt:
                grade.add(planted, None if reason else text)
            if not reason:
                characters += len(text)
                file.write(json.dumps(text, ensure_ascii=False) + "\n")
        if characters == 0:
            raise run.UserError(report.why_nothing_is_left())
    print(f"clean: kept {report.kept:,} of {report.documents:,} documents, "
          f"{characters:,} characters")
    for verb, count, name, example in report.lines():
        print(f"  {verb:8} {count:7,}  {name:24} {example}")
    figures = {"characters": characters, "documents": report.documents, "kept": report.kept,
               "repairs": report.repairs, "filters": report.filters}
    return figures | dirt_figures(grade) if count_dirt else figures


def dirt_figures(grade):
    """Shares, shown and returned: of the planted dirt what is gone, of the good words what is."""
    def share(parts, wholes=None):                      # a document is an entity of its own
        return run.share(parts, range(len(parts)), wholes)

    removed, lost = share(sum(grade.gone.values(), [])), share(grade.lost, grade.words)
    by_kind = {kind: share(gone) for kind, gone in grade.gone.items()}
    print(f"  planted dirt removed {run.shown(removed, 1)}, "
          f"words of clean text lost {run.shown(lost, 2)}")
    return {"dirt_removed": removed, "clean_lost": lost, "dirt_removed_by_kind": by_kind}
