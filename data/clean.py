"""From what a crawler saw to what is worth reading: repairs first, then filters, then duplicates.

in    documents (str, or bytes as they came), one at a time, any number
out   for each, in order: (text, None) kept, or (original, "filter's name") dropped
run   python train_pretrain.py, which prints what each filter did

A repair takes rubbish off a good text (markup, menus, garbled quotes). A filter names a text that
is rubbish from end to end: it returns True where the text should go. Thresholds are those of Gopher
(Rae et al. 2021, appendix A.1.1) and C4 (Raffel et al. 2020, section 2.2) where a rule fits texts
of a few sentences as well as long pages; where ours differs the comment says so.
"""
import html
import json
import os
import re
import unicodedata
import zlib
from collections import Counter
from functools import partial
from itertools import tee

import run
from data.duplicates import Duplicates, fingerprint
from data.workers import batches, in_order
from data.world.dirt import CleaningGrade


def any_of(*phrases):
    return "(?:" + "|".join(phrases) + ")"


# ---- repairs: text -> text
def decode_bytes(text):
    """UTF-8, else Windows-1252, the web's word for all the rest (WHATWG Encoding, section 4.2)."""
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


CP1252_BYTE = {bytes([b]).decode("cp1252", "ignore") or chr(b): b for b in range(128, 256)}
MOVED = [char for char, byte in CP1252_BYTE.items() if byte < 0xC0 and ord(char) > 255]
CONTINUATION = "[\x80-\xbf" + "".join(MOVED) + "]"
GARBLED_UTF8 = re.compile("|".join([
    f"[ÂÃÄÅ]{CONTINUATION}",  # Latin letters
    f"â{CONTINUATION}{{2}}",  # punctuation and symbols
    f"ð{CONTINUATION}{{3}}",  # emoji
]))


def read_again(match):
    try:
        return bytes(CP1252_BYTE.get(char, ord(char) & 255) for char in match[0]).decode()
    except UnicodeDecodeError:
        return match[0]


def fix_mojibake(text):
    """UTF-8 that was read as Windows-1252 or Latin-1 is read again: 'CafÃ©' -> 'Café'."""
    for _ in range(3):  # as it happens more than once
        before, text = text, GARBLED_UTF8.sub(read_again, text)
        if text == before:
            break
    # the byte 0x9D, a closing quote's last, has no letter in Windows-1252
    text = re.sub("â€[\x9d\ufffd]?", "\u201d", text)
    # a no-break space whose second byte became a plain one
    return re.sub(r"Â(?=[\s\ufffd]|$)\ufffd?", "", text)


TAG_NAMES = any_of(
    "a|abbr|article|b|blockquote|body|br|button|center|code|dd|div|dl|dt|em|figure|figcaption|font",
    "form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|meta|nav|object|ol",
    "option|p|pre|s|script|section|select|small|span|strike|strong|style|sub|sup|svg|table|tbody",
    "td|textarea|tfoot|th|thead|title|tr|tt|u|ul|video",
)
HIDDEN_NAMES = any_of("script|style|head|nav|header|footer|aside|form|noscript|template|svg|button",
                      "select|iframe")
BLOCK_NAMES = any_of("p|div|br|li|h[1-6]|tr|table|ul|ol|dl|dt|dd|section|article|blockquote|pre",
                     "main|figure|hr|body|html")
FORUM_CODES = any_of("b|i|u|url|img|quote|code|size|color")
MARKUP = re.compile(rf"</?{TAG_NAMES}\b[^<>]*>|<!--|<!doctype|<\?xml|\[/{FORUM_CODES}\]", re.I)
HIDDEN = re.compile(rf"<!--.*?(?:-->|\Z)|<({HIDDEN_NAMES})\b[^<>]*>.*?</\1\s*>", re.I | re.S)
BLOCK_TAG = re.compile(rf"</?{BLOCK_NAMES}\b[^<>]*>", re.I)
ANY_TAG = re.compile(rf"</?[a-z][^<>]*>|<[!?][^<>]*>|\[/?{FORUM_CODES}(?:=[^\]\n]*)?\]", re.I)
ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,5});", re.I)


def strip_markup(text):
    """HTML, forum codes and what no reader sees (scripts, menus) go; entities become letters."""
    if MARKUP.search(text):
        text = HIDDEN.sub("\n", text)
        text = ANY_TAG.sub("", BLOCK_TAG.sub("\n", text))
        text = re.sub(r"[ \t]*\n(?:[ \t]*\n)+", "\n\n", text).strip()
    return html.unescape(text) if ENTITY.search(text) else text


INVISIBLE = re.compile(any_of(
    "\x1b\\[[0-9;]*[A-Za-z]",  # terminal codes
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1 controls
    "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # no width, direction
    "\ufffe\uffff\ud800-\udfff\ue000-\uf8ff]",  # no characters, halves of one, private ones
))


def drop_control_characters(text):
    """What nobody sees goes; every line ends in one newline."""
    return INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def normalize_unicode(text):
    """One spelling for each letter, one kind of space. NFKC would also make 52 of 5²."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    return re.sub("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]", " ", text)


LICENCE_HINTS = ("licen", "copyright", "warrant", "redistribut", "gutenberg")
LICENCE = re.compile(any_of(
    "licensed under|permission is hereby granted|permission notice|spdx-license-identifier",
    "redistribut|general public license|free software foundation|free software: you can",
    r"(?:apache|mit|bsd|mozilla public|creative commons)[\w .-]* licen[sc]e|all rights reserved",
    r"copyright (?:\(c\)|©)? ?\d{4}|express or implied|without warrant|as[ -]is\"|this software",
    r"the software\b|compliance with the license|copy of the license|required by applicable law",
    "limitations under the license|merchantability|/licenses?/|project gutenberg",
    "this (?:file|program|ebook|e-book) is",
), re.I)
COMMENTED = re.compile(r"\s*(?:\*|//|#|--|;)")
COMMENT_MARK = re.compile(r"\s*(?:/\*|\*|//|#|--|;|<!--|\"\"\"$)")


def strip_licence(text):
    """Lines with two or more different licence phrases go, with the comment around them."""
    small = text.lower()
    if not any(hint in small for hint in LICENCE_HINTS):
        return text
    lines = [*text.split("\n"), ""]  # where every comment ends
    drop = set()
    for places in licence_places(lines):
        phrases = {phrase.lower() for place in places for phrase in LICENCE.findall(lines[place])}
        if len(phrases) >= 2 or "spdx-license-identifier" in phrases:
            drop.update(whole_licence(lines, places[0], places[-1]))
    if not drop:
        return text
    return "\n".join(line for place, line in enumerate(lines) if place not in drop).strip("\n")


def licence_places(lines):
    """Lists of lines with a licence phrase, each at most three after the one before it."""
    runs = []
    for place, line in enumerate(lines):
        if not LICENCE.search(line):
            continue
        if runs and place - runs[-1][-1] <= 3:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def whole_licence(lines, first, last):
    """These lines with the rest of the last sentence and the comment around them."""
    while lines[last + 1].strip() and not lines[last].rstrip().endswith((".", "/")):
        last += 1
    if COMMENTED.match(lines[first]) or "/*" in lines[max(0, first - 1)]:
        while first > 0 and COMMENT_MARK.match(lines[first - 1]):
            first -= 1
        while COMMENT_MARK.match(lines[last + 1]):
            last += 1
    return range(first, last + 1)


# These patterns are for text in small letters: four times as fast as re.I.
MENU_ITEM = any_of(
    "home(?:page)?|about(?: us)?|contact(?: us)?|news|sign ?(?:in|up|out)|log ?(?:in|out)|register",
    "help|archives?|shop|store|blog|faqs?|site ?map|privacy(?: policy)?",
    "terms(?: (?:of|and) (?:use|service|conditions))?|(?:my )?account|search|menu|main menu|cart",
    "basket|checkout|subscribe|forums?|gallery|careers|jobs|support|services|products|categories",
    "tags|next|prev(?:ious)?|skip to (?:main )?content|back to top|top|share|print|e-?mail",
    "feedback|press|media|events|donate|downloads?|login / register|close|more|read more|follow us",
    "links|resources|community|settings|english|advertise|copyright|disclaimer|accessibility",
    "cookies?(?: (?:policy|settings|notice))?|rss",
)
MENU_LINE = re.compile(rf"\W*{MENU_ITEM}(?:[\W_]+{MENU_ITEM})*\W*")
SEPARATOR = re.compile(r"\s*(?:[|»·•→]|\s[/>]\s|::)\s*")

# the page's furniture: a whole line, or a sentence in one, of at most 25 words
CHROME = re.compile(r"\b" + any_of(
    "skip to (?:main )?(?:content|navigation)|toggle (?:navigation|menu)|you are here:",
    r"all rights reserved|copyright (?:\(c\)|©)? ?\d{4}",
    r"(?:subscribe|sign up) (?:to|for) (?:our|the|my)\b.*(?:newsletter|updates|list)",
    "share (?:this|on|via) (?:facebook|twitter|linkedin|e-?mail|page|post|story|article)",
    r"(?:follow|like|find) us on|back to top|leave a (?:reply|comment)|\d+ comments?\b.*\|",
    r"you must (?:be logged|log) in|(?:enable|turn on|requires?) javascript|powered by \w+$",
    r"terms of (?:use|service) (?:and|\|)|privacy policy|print this page|e-?mail this page",
    "404 (?:not found|error)|page not found|access denied|lorem ipsum",
    "your browser (?:is|does|doesn)",
) + r"|©\s?\d{4}")
CHROME_START = re.compile(r"\W*" + any_of(
    r"posted (?:by|on|in)\b.*(?:\||\d)|(?:read|see) (?:more|next)\b|(?:click|tap) here",
    r"related (?:articles|posts|stories)|most popular|advertisement\b|sponsored\b",
    r"page \d+ of \d+|loading\b|got it!?$",
))
COOKIES = re.compile(any_of(
    r"\bcookies? (?:policy|settings|preferences|notice|consent|banner)",
    r"\b(?:accept|reject|allow|manage|disable|enable) "
    r"(?:all|(?:the |all |only )?(?:necessary |our )?cookies)\b",
    r"\bwe use (?:\w+ )?cookies", r"\bour use of cookies",
    "we (?:value|respect) your privacy", "manage (?:your )?(?:preferences|consent)",
))
WEB_WORD = re.compile(r"\b" + any_of(
    "(?:web)?(?:sites?|pages?)|browsers?|devices?|consent|privacy|services|partners|analytics",
    r"advertis\w+",
) + r"\b")
CHROME_HINTS = (
    "cookie|privacy|reserved|copyright|©|skip to|toggle|you are here|newsletter|subscribe|sign up|"
    "share |follow us|like us|find us|back to top|leave a |comment|log in|logged|javascript|"
    "powered by|terms of|this page|not found|404|denied|lorem|browser|posted|more|next| here|"
    "related|popular|advertis|sponsor|page |loading|got it|accept all|manage |reject all"
).split("|")


def is_menu(line):
    if line.endswith((".", "!", "?", ",", ";")) or len(line) > 400:
        return False  # a sentence: "Help, help, help!"
    if MENU_LINE.fullmatch(line):
        return True
    items = [item for item in SEPARATOR.split(line) if item]
    known = sum(bool(MENU_LINE.fullmatch(item)) for item in items)
    short = all(len(item.split()) <= 5 for item in items)
    return len(items) >= 3 and known * 2 >= len(items) and short


def is_chrome(sentence):
    if COOKIES.search(sentence) or ("cookies" in sentence and WEB_WORD.search(sentence)):
        return True
    found = CHROME_START.match(sentence) or CHROME.search(sentence)
    return bool(found) and len(sentence.split()) <= 25


def drop_boilerplate(text):
    """Menus, cookie notices and furniture go: a line if most of it is that, else sentences."""
    small = text.lower()
    suspect = any(hint in small for hint in CHROME_HINTS)  # most texts have none: not searched
    lines = []
    for line in text.split("\n"):
        small = line.strip().lower()
        if is_menu(small):
            continue
        if suspect and is_chrome(small):
            good = good_sentences(line)
            if len(good.split()) * 2 < len(line.split()):
                continue
            line = good
        lines.append(line)
    return "\n".join(lines)


def good_sentences(line):
    good = []
    for sentence in re.split(r"(?<=[.!?|])\s+", line):
        small = sentence.lower()
        if not is_chrome(small) and not is_menu(small.strip()):
            good.append(sentence)
    return " ".join(good)


REPAIRS = [fix_mojibake, strip_markup, drop_control_characters, normalize_unicode, strip_licence,
           drop_boilerplate]


# ---- filters: (text, words) -> True where the whole text should go

ENGLISH = set("""
    the be to of and that have with is are was in a an it you i for on as at by not this do does
    what which how who from they he she we or but if can your my his her its there their will would
    has had were when""".split())
FOREIGN = set("""
    el la los las de del que y en un una es por con para su se está il lo gli di che è per non sono
    le les des du et est une dans qui pour pas au ce der die das und ist ein eine den dem von zu mit
    auf nicht sich im o os as da do em um uma não com het een van dat op te zijn niet och att det
    som på av är""".split()) - ENGLISH
SPAM = re.compile(r"\b" + any_of(
    "buy (?:now|online|cheap)|order (?:now|today|online)|click here|act (?:now|fast)",
    "limited (?:time )?offer|(?:100%|totally|absolutely) free|free (?:money|trial|gift|iphone)",
    r"money[- ]back|risk[- ]free|winners?!|you(?:'ve| have)? won\b|casino|poker|jackpot|viagra",
    r"cialis|cheap|no prescription|payday|loans?\b|replica|discounts?|weight loss",
    r"earn (?:\$|money|up)|(?:work|week|day) from home|make money|bitcoin|crypto|forex|singles|xxx",
    "call now|guaranteed?!?|lowest price|best price|special offer|bonus|followers|designer",
    r"pills?\b|miracle|save \d+%|\d+% off|https?://\S+|www\.\S+|visit (?:our|http)",
) + r"|\$\d[\d,]*|!!+|>>+")
SPAM_HINTS = (
    "!!|>>|http|www.|$|free|buy|order |click|casino|poker|cheap|offer|pill|loan|money|bonus|winner|"
    "discount|% off|price|miracle|guarantee|earn |singles"
).split("|")
CODE_LINE = re.compile(r"^\s*" + any_of(
    r"#include\b|#define\b|import \w[\w.]*;?$|from \w+ import|def \w+\(|class \w+[:({]",
    r"return\b.*;$|@\w+$|[{}]\s*;?$",
) + r"|[{]\s*$|[=()\[\]].*;\s*$", re.M)
LETTERS = re.compile(r"[^\W\d_]+")


def too_short(text, words):
    return len(words) < 5  # Gopher: 50; a question with its answer is worth keeping here


def garbled(text, words):
    """Lost characters, or never text (mean word length 3 to 10 in Gopher, here 2 to 12)."""
    visible = len(text) - text.count(" ") - text.count("\n")
    letters = sum(map(len, LETTERS.findall(text)))
    lost = text.count("\ufffd") + len(GARBLED_UTF8.findall(text))
    mean_length = sum(map(len, words)) / len(words)
    return lost * 200 > len(text) or letters * 2 < visible or not 2 <= mean_length <= 12


def other_script(text, words):
    """Fewer than four letters in five are Latin."""
    if text.isascii():
        return False
    letters = [char for char in text if char.isalpha()]
    latin = sum(char < "\u0250" or "\u1e00" <= char <= "\u1eff" for char in letters)
    return latin < 0.8 * len(letters)


def other_language(text, words):
    """More function words of our neighbours than English ones (Gopher asks for two of eight)."""
    words = [word.strip(".,;:!?\"'()").lower() for word in words[:5000]]
    english = sum(word in ENGLISH for word in words)
    foreign = sum(word in FOREIGN for word in words)
    return foreign > english or (len(words) >= 50 and english < 2)


def source_code(text, words):
    """A third of the lines read like a program (C4 drops every page with a brace)."""
    lines = [line for line in text.split("\n") if line.strip()]
    return len(CODE_LINE.findall(text)) * 3 > len(lines)


def spam(text, words):
    """Three different selling phrases or more, one in every twenty words."""
    small = text.lower()
    if not any(hint in small for hint in SPAM_HINTS):
        return False
    found = SPAM.findall(small)
    return len(set(found)) >= 3 and len(found) * 20 >= len(words)


def symbols(text, words):
    """Gopher: a hash or dots for ten words, bullets before 90% of the lines, dots after 30%."""
    marks = text.count("#") + text.count("...") + text.count("\u2026")
    if marks * 10 > len(words):
        return True
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    bullets = sum(line[0] in "•*-" for line in lines)
    cut_off = sum(line.endswith(("...", "\u2026")) for line in lines)
    return len(lines) > 3 and (bullets > 0.9 * len(lines) or cut_off > 0.3 * len(lines))


def repeated_lines(text, words):
    """Gopher: lines that stood before hold over 30% of the characters; half, below ten lines."""
    lines = [line.strip() for line in text.split("\n") if len(line.split()) > 2]
    again = sum(len(line) * (count - 1) for line, count in Counter(lines).items())
    return again > (0.3 if len(lines) >= 10 else 0.5) * sum(map(len, lines))


def repeated_phrases(text, words):
    """One phrase of four words makes up 60% of the text, or six words of seven stood before, or it
    packs to a tenth (our rules: Gopher's 16% drops lists of questions that all begin alike)."""
    if len(words) < 20:
        return False
    words, start = words[:5000], text[:20000]
    most = max(Counter(zip(words, words[1:], words[2:], words[3:])).values())
    if most > 2 and most * 4 > 0.6 * len(words):
        return True
    if len(set(words)) * 7 < min(len(words), 500):
        return True
    return len(zlib.compress(start.encode())) * 10 < len(start)


FILTERS = [too_short, garbled, other_script, other_language, source_code, spam, symbols,
           repeated_lines, repeated_phrases]


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
        for name, example in repairs:
            self.count(self.repairs[name], example)
        if reason:
            self.count(self.filters[reason], decode_bytes(original)[:120])

    def count(self, entry, example):
        entry["count"] += 1
        if len(entry["examples"]) < 2:
            entry["examples"].append(example)

    def lines(self):
        """One line for each rule that acted, for the screen."""
        for verb, family in (("repaired", self.repairs), ("dropped", self.filters)):
            for name, entry in family.items():
                if entry["count"]:
                    example = " ".join(entry["examples"][0].split())[:90]
                    yield f"  {verb:8} {entry['count']:7,}  {name:24} {example}"


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
    text = text.strip("\n")
    words = text.split()
    for rule in FILTERS:
        if language != "en" and rule in (other_script, other_language, spam):
            continue
        if rule(text, words):
            return text, rule.__name__, repairs, None
    return text, None, repairs, fingerprint(text)


def repair_and_filter_all(originals, language):
    return [repair_and_filter(original, language) for original in originals]


def all_cleaned(documents, language, workers):
    """(original, what became of it) for each document, in order."""
    if workers < 2:
        yield from ((original, repair_and_filter(original, language)) for original in documents)
        return
    work = partial(repair_and_filter_all, language=language)
    for batch, cleaned in in_order(work, batches(documents, most=256), workers):
        yield from zip(batch, cleaned)


def clean(documents, report=None, language="en", workers=1, raw=False):
    """Yields for each document (text, None), kept and repaired, or (original, "filter's name").

    documents: iterable of str or bytes; report: a Report to fill; language: "en", or "any" for no
    filter by script and language; workers: processes; raw: keep everything as it is, only decoded.
    """
    report, duplicates = report or Report(), Duplicates()
    if raw:
        answers = ((original, (decode_bytes(original), None, [], None)) for original in documents)
    else:
        answers = all_cleaned(documents, language, workers)
    for original, (text, reason, repairs, print_) in answers:
        if print_:
            reason = duplicates.find(*print_)
        report.add(original, repairs, reason)
        yield (original, reason) if reason else (text, None)


def clean_to_file(planted_documents, path, config, count_dirt):
    """Cleans Planted documents into `path`, one JSON string a line, and shows what each rule did.

    Returns figures: documents, kept, characters, repairs, filters; with count_dirt (the labels are
    true) also those of `dirt_figures`. Raises run.UserError where nothing is left.
    """
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
            raise run.UserError(
                f"nothing is left of the text after cleaning ({report.documents} documents): "
                "is it English? Try --language any, or --raw")
    print(f"clean: kept {report.kept:,} of {report.documents:,} documents, "
          f"{characters / 1e6:.1f} million characters", *report.lines(), sep="\n")
    figures = {"characters": characters, "documents": report.documents, "kept": report.kept,
               "repairs": report.repairs, "filters": report.filters}
    return figures | dirt_figures(grade) if count_dirt else figures


def dirt_figures(grade):
    """Shares, shown and returned: of the planted dirt what is gone, of the good words what is."""
    removed = run.share(grade.gone.total(), grade.dirt.total())
    lost = run.share(grade.words_lost, grade.words)
    by_kind = {kind: run.share(grade.gone[kind], n) for kind, n in grade.dirt.items()}
    print(f"  planted dirt removed {run.shown(removed, 1)}, "
          f"words of clean text lost {run.shown(lost, 2)}")
    return {"dirt_removed": removed, "clean_lost": lost, "dirt_removed_by_kind": by_kind}
