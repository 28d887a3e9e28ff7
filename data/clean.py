"""From what a crawler saw to what is worth reading: repairs first, then filters, then duplicates.

in    documents (str, or bytes as they came), one at a time, any number
out   for each, in order: (text, None) kept, or (original, "filter's name") dropped
run   python train_pretrain.py, which prints what each filter did

A repair takes rubbish off a good text (markup, menus, garbled quotes). A filter names a text that is rubbish from end to end; it returns True where the
text should go. Each is one short function; REPAIRS and FILTERS are their order. The thresholds are those of Gopher (Rae et al. 2021, appendix A.1.1) and
C4 (Raffel et al. 2020, section 2.2) where a rule fits texts of a few sentences as well as long pages; where ours differs the comment says so.
Memory is bounded: duplicates are looked up in tables of fixed size that forget the oldest documents, never in sets that grow.
"""
import html
import json
import os
import re
import unicodedata
import zlib
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import run
from data.world.dirt import CleaningGrade
from data.duplicates import Duplicates, fingerprint

# ---- repairs: text -> text


def decode_bytes(text):
    """bytes -> str: UTF-8, else Windows-1252, the web's name for everything else (WHATWG Encoding, section 4.2)."""
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


CP1252_BYTE = {bytes([b]).decode("cp1252", "ignore") or chr(b): b for b in range(128, 256)}      # "€" -> 0x80
CONTINUATION = "[\x80-\xbf" + "".join(char for char, byte in CP1252_BYTE.items() if byte < 0xC0 and ord(char) > 255) + "]"
GARBLED_UTF8 = re.compile(f"[ÂÃÄÅ]{CONTINUATION}|â{CONTINUATION}{{2}}|ð{CONTINUATION}{{3}}")     # Latin letters, punctuation and symbols, emoji


def fix_mojibake(text):
    """UTF-8 that was read as Windows-1252 or Latin-1 is read again: 'CafÃ©' -> 'Café'. Up to three times, as it happens more than once."""
    def read_again(match):
        try:
            return bytes(CP1252_BYTE.get(char, ord(char) & 255) for char in match[0]).decode()
        except UnicodeDecodeError:
            return match[0]
    for _ in range(3):
        before, text = text, GARBLED_UTF8.sub(read_again, text)
        if text == before:
            break
    text = re.sub("â€[\x9d\ufffd]?", "\u201d", text)                     # the byte 0x9D, a closing quote's last, has no letter in Windows-1252
    return re.sub(r"Â(?=[\s\ufffd]|$)\ufffd?", "", text)                 # a no-break space whose second byte became a plain one


TAG_NAMES = ("a|abbr|article|b|blockquote|body|br|button|center|code|dd|div|dl|dt|em|figure|figcaption|font|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|"
             "main|meta|nav|object|ol|option|p|pre|s|script|section|select|small|span|strike|strong|style|sub|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|video")
MARKUP = re.compile(rf"</?(?:{TAG_NAMES})\b[^<>]*>|<!--|<!doctype|<\?xml|\[/(?:b|i|u|url|img|quote|code|size|color)\]", re.I)
HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style|head|nav|header|footer|aside|form|noscript|template|svg|button|select|iframe)\b[^<>]*>.*?</\1\s*>", re.I | re.S)
BLOCK_TAG = re.compile(r"</?(?:p|div|br|li|h[1-6]|tr|table|ul|ol|dl|dt|dd|section|article|blockquote|pre|main|figure|hr|body|html)\b[^<>]*>", re.I)
ANY_TAG = re.compile(r"</?[a-z][^<>]*>|<[!?][^<>]*>|\[/?(?:b|i|u|url|img|quote|code|size|color)(?:=[^\]\n]*)?\]", re.I)
ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,5});", re.I)


def strip_markup(text):
    """HTML and forum codes go, with what a reader never sees (scripts, menus, forms); blocks end lines; entities become letters."""
    if MARKUP.search(text):
        text = HIDDEN.sub("\n", text)
        text = ANY_TAG.sub("", BLOCK_TAG.sub("\n", text))
        text = re.sub(r"[ \t]*\n(?:[ \t]*\n)+", "\n\n", text).strip()
    return html.unescape(text) if ENTITY.search(text) else text


INVISIBLE = re.compile("\x1b\\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\ue000-\uf8ff]")


def drop_control_characters(text):
    """Terminal codes, C0 and C1 controls, zero-width and direction marks, lone surrogates; every line ends in one newline."""
    return INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def normalize_unicode(text):
    """One spelling for each letter (NFC), one kind of space; NFKC would also rewrite what the author meant, as 5² to 52."""
    return text if text.isascii() else re.sub("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]", " ", unicodedata.normalize("NFC", text))


LICENCE = re.compile(
    r"(licensed under|permission is hereby granted|permission notice|spdx-license-identifier|redistribut|general public license|free software foundation|free software: you can|(?:apache|mit|bsd|mozilla public|creative commons)[\w .-]* licen[sc]e"
    r"|all rights reserved|copyright (?:\(c\)|©)? ?\d{4}|express or implied|without warrant|as[ -]is\"|this software|the software\b|compliance with the license|copy of the license|required by applicable law"
    r"|limitations under the license|merchantability|/licenses?/|project gutenberg|this (?:file|program|ebook|e-book) is)", re.I)


def strip_licence(text):
    """A run of lines in which two or more different licence phrases stand goes, with the comment marks around it."""
    small = text.lower()
    if not any(word in small for word in ("licen", "copyright", "warrant", "redistribut", "gutenberg")):
        return text
    lines = text.split("\n")
    speaks = [index for index, line in enumerate(lines) if LICENCE.search(line)]
    drop = set()
    while speaks:
        run = [speaks.pop(0)]
        while speaks and speaks[0] - run[-1] <= 3:
            run.append(speaks.pop(0))
        phrases = {phrase.lower() for index in run for phrase in LICENCE.findall(lines[index])}
        if len(phrases) >= 2 or "spdx-license-identifier" in phrases:
            first, last = run[0], run[-1]
            while last + 1 < len(lines) and lines[last + 1].strip() and not lines[last].rstrip().endswith((".", "/")):
                last += 1                                               # the sentence the last phrase stands in
            comment = re.compile(r"\s*(?:/\*|\*|//|#|--|;|<!--|\"\"\"$)") if re.match(r"\s*(?:\*|//|#|--|;)", lines[first]) or "/*" in lines[max(0, first - 1)] else None
            while comment and first > 0 and comment.match(lines[first - 1]):
                first -= 1
            while comment and last + 1 < len(lines) and comment.match(lines[last + 1]):
                last += 1
            drop.update(range(first, last + 1))
    return "\n".join(line for index, line in enumerate(lines) if index not in drop).strip("\n") if drop else text


# These patterns are for text in small letters: four times as fast as re.I.
MENU_ITEM = (r"(?:home(?:page)?|about(?: us)?|contact(?: us)?|news|sign ?(?:in|up|out)|log ?(?:in|out)|register|help|archives?|shop|store|blog|faqs?|site ?map|privacy(?: policy)?|terms(?: (?:of|and) (?:use|service|conditions))?"
             r"|(?:my )?account|search|menu|main menu|cart|basket|checkout|subscribe|forums?|gallery|careers|jobs|support|services|products|categories|tags|next|prev(?:ious)?|skip to (?:main )?content|back to top|top|share|print"
             r"|e-?mail|feedback|press|media|events|donate|downloads?|login / register|close|more|read more|follow us|links|resources|community|settings|english|advertise|copyright|disclaimer|accessibility|cookies?(?: (?:policy|settings|notice))?|rss)")
MENU_LINE = re.compile(rf"\W*{MENU_ITEM}(?:[\W_]+{MENU_ITEM})*\W*")
SEPARATOR = re.compile(r"\s*(?:[|»·•→]|\s[/>]\s|::)\s*")
CHROME = re.compile(                                                    # anywhere in a line of at most 25 words
    r"\b(?:skip to (?:main )?(?:content|navigation)|toggle (?:navigation|menu)|you are here:|all rights reserved|copyright (?:\(c\)|©)? ?\d{4}|(?:subscribe|sign up) (?:to|for) (?:our|the|my)\b.*(?:newsletter|updates|list)"
    r"|share (?:this|on|via) (?:facebook|twitter|linkedin|e-?mail|page|post|story|article)|(?:follow|like|find) us on|back to top|leave a (?:reply|comment)|\d+ comments?\b.*\||you must (?:be logged|log) in"
    r"|(?:enable|turn on|requires?) javascript|powered by \w+$|terms of (?:use|service) (?:and|\|)|privacy policy|print this page|e-?mail this page|404 (?:not found|error)|page not found|access denied|lorem ipsum|your browser (?:is|does|doesn))"
    r"|©\s?\d{4}")
CHROME_START = re.compile(r"\W*(?:posted (?:by|on|in)\b.*(?:\||\d)|(?:read|see) (?:more|next)\b|(?:click|tap) here|related (?:articles|posts|stories)|most popular|advertisement\b|sponsored\b|page \d+ of \d+|loading\b|got it!?$)")
COOKIES = re.compile(
    r"\bcookies? (?:policy|settings|preferences|notice|consent|banner)|\b(?:accept|reject|allow|manage|disable|enable) (?:all|(?:the |all |only )?(?:necessary |our )?cookies)\b|\bwe use (?:\w+ )?cookies|\bour use of cookies"
    r"|we (?:value|respect) your privacy|manage (?:your )?(?:preferences|consent)")
WEB_WORD = re.compile(r"\b(?:(?:web)?(?:sites?|pages?)|browsers?|devices?|consent|privacy|services|partners|analytics|advertis\w+)\b")


CHROME_WORDS = ("cookie", "privacy", "reserved", "copyright", "©", "skip to", "toggle", "you are here", "newsletter", "subscribe", "sign up", "share ", "follow us", "like us", "find us", "back to top", "leave a ", "comment", "log in",
                "logged", "javascript", "powered by", "terms of", "this page", "not found", "404", "denied", "lorem", "browser", "posted", "more", "next", " here", "related", "popular", "advertis", "sponsor", "page ", "loading", "got it", "accept all", "manage ", "reject all")


def is_menu(line):
    if line.endswith((".", "!", "?", ",", ";")) or len(line) > 400:
        return False                                                    # a sentence: "Help, help, help!"
    if MENU_LINE.fullmatch(line):
        return True
    items = [item for item in SEPARATOR.split(line) if item]
    known = sum(bool(MENU_LINE.fullmatch(item)) for item in items)
    return len(items) >= 3 and known * 2 >= len(items) and all(len(item.split()) <= 5 for item in items)


def is_chrome(sentence):
    if COOKIES.search(sentence) or ("cookies" in sentence and WEB_WORD.search(sentence)):
        return True
    return bool(CHROME_START.match(sentence) or CHROME.search(sentence)) and len(sentence.split()) <= 25


def drop_boilerplate(text):
    """Menus, cookie notices and the page's furniture go: whole lines where most of a line is that, else only the sentences."""
    lines, small = [], text.lower()
    suspect = any(word in small for word in CHROME_WORDS)               # most texts have none of these, and are not searched line by line
    for line in text.split("\n"):
        small = line.strip().lower()
        if is_menu(small):
            continue
        if suspect and is_chrome(small):
            sentences = re.split(r"(?<=[.!?|])\s+", line)
            good = " ".join(sentence for sentence in sentences if not is_chrome(sentence.lower()) and not is_menu(sentence.strip().lower()))
            if len(good.split()) * 2 < len(line.split()):
                continue
            line = good
        lines.append(line)
    return "\n".join(lines)


REPAIRS = [fix_mojibake, strip_markup, drop_control_characters, normalize_unicode, strip_licence, drop_boilerplate]


# ---- filters: (text, words) -> True where the whole text should go

ENGLISH = set("the be to of and that have with is are was in a an it you i for on as at by not this do does what which how who from they he she we or but if can your my his her its there their will would has had were when".split())
FOREIGN = set("el la los las de del que y en un una es por con para su se está il lo gli di che è per con non una sono le les des du et est une dans qui pour pas au ce se der die das und ist ein eine den dem von zu mit auf nicht sich im "
              "o os as da do em um uma não com het een van en dat op te zijn niet och att det som på av är".split()) - ENGLISH
SPAM = re.compile(
    r"(?:\b(?:buy (?:now|online|cheap)|order (?:now|today|online)|click here|act (?:now|fast)|limited (?:time )?offer|(?:100%|totally|absolutely) free|free (?:money|trial|gift|iphone)|money[- ]back|risk[- ]free|winners?!|you(?:'ve| have)? won\b|"
    r"casino|poker|jackpot|viagra|cialis|cheap|no prescription|payday|loans?\b|replica|discounts?|weight loss|earn (?:\$|money|up)|(?:work|week|day) from home|make money|bitcoin|crypto|forex|singles|xxx|call now|guaranteed?!?|"
    r"lowest price|best price|special offer|bonus|followers|designer|pills?\b|miracle|save \d+%|\d+% off|https?://\S+|www\.\S+|visit (?:our|http)))|\$\d[\d,]*|!!+|>>+")
SPAM_WORDS = ("!!", ">>", "http", "www.", "$", "free", "buy", "order ", "click", "casino", "poker", "cheap", "offer", "pill", "loan", "money", "bonus", "winner", "discount", "% off", "price", "miracle", "guarantee", "earn ", "singles")
CODE_LINE = re.compile(r"^\s*(?:#include\b|#define\b|import \w[\w.]*;?$|from \w+ import|def \w+\(|class \w+[:({]|return\b.*;$|@\w+$|[{}]\s*;?$)|[{]\s*$|[=()\[\]].*;\s*$", re.M)


LETTERS = re.compile(r"[^\W\d_]+")


def too_short(text, words):
    return len(words) < 5                                               # Gopher: 50; a question with its answer is worth keeping here


def garbled(text, words):
    """Replacement characters, or so many symbols that it was never text (mean word length 3 to 10 in Gopher, here 2 to 12)."""
    letters = sum(map(len, LETTERS.findall(text)))
    lost = text.count("\ufffd") + len(GARBLED_UTF8.findall(text))
    mean_length = sum(map(len, words)) / len(words)
    return lost * 200 > len(text) or letters * 2 < len(text) - text.count(" ") - text.count("\n") or not 2 <= mean_length <= 12


def other_script(text, words):
    """Fewer than four letters in five are Latin."""
    if text.isascii():
        return False
    letters = [char for char in text if char.isalpha()]
    latin = sum(char < "\u0250" or "\u1e00" <= char <= "\u1eff" for char in letters)
    return latin < 0.8 * len(letters)


def other_language(text, words):
    """More function words of our neighbours than English ones (Gopher asks for two of eight English ones)."""
    words = [word.strip(".,;:!?\"'()").lower() for word in words[:5000]]
    english, foreign = sum(word in ENGLISH for word in words), sum(word in FOREIGN for word in words)
    return foreign > english or (len(words) >= 50 and english < 2)


def source_code(text, words):
    """A third of the lines read like a program (C4 drops every page with a brace)."""
    lines = [line for line in text.split("\n") if line.strip()]
    return len(CODE_LINE.findall(text)) * 3 > len(lines)


def spam(text, words):
    """Three different selling phrases or more, one in every twenty words."""
    small = text.lower()
    found = SPAM.findall(small) if any(word in small for word in SPAM_WORDS) else []
    return len(set(found)) >= 3 and len(found) * 20 >= len(words)


def symbols(text, words):
    """Gopher: hashes or dots in more than a tenth of the words, bullets before 90% of the lines, dots after 30%."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    marks = text.count("#") + text.count("...") + text.count("\u2026")
    return (marks * 10 > len(words) or (len(lines) > 3 and sum(line[0] in "•*-" for line in lines) > 0.9 * len(lines))
            or (len(lines) > 3 and sum(line.endswith(("...", "\u2026")) for line in lines) > 0.3 * len(lines)))


def repeated_lines(text, words):
    """Gopher: characters in lines that stood before; more than 30% of them, where there are ten lines or more, or half in shorter texts."""
    lines = [line.strip() for line in text.split("\n") if len(line.split()) > 2]
    twice = sum(len(line) * (count - 1) for line, count in Counter(lines).items())
    return twice > (0.3 if len(lines) >= 10 else 0.5) * sum(map(len, lines)) if lines else False


def repeated_phrases(text, words):
    """One phrase of four words makes up more than 60% of the text, or six words of seven have been said before, or it packs to a tenth of its size (our own rules: Gopher's 16% would
    drop a list of questions that all begin alike)."""
    if len(words) < 20:
        return False
    words = words[:5000]
    phrases = Counter(zip(words, words[1:], words[2:], words[3:]))
    phrase, count = phrases.most_common(1)[0]
    return count > 2 and count * 4 > 0.6 * len(words) or len(set(words)) * 7 < min(len(words), 500) or len(zlib.compress(text[:20000].encode())) * 10 < len(text[:20000])


FILTERS = [too_short, garbled, other_script, other_language, source_code, spam, symbols, repeated_lines, repeated_phrases]


# ---- the whole of cleaning

class Report:
    """How often each repair and filter acted, and the first examples: {name: {"count", "examples"}}; for a repair, before -> after."""

    def __init__(self, examples=2):
        self.examples, self.documents, self.kept = examples, 0, 0
        self.repairs = {repair.__name__: {"count": 0, "examples": []} for repair in REPAIRS}
        self.filters = {name: {"count": 0, "examples": []} for name in [rule.__name__ for rule in FILTERS] + ["exact_duplicate", "near_duplicate"]}

    def add(self, entry, example):
        entry["count"] += 1
        if len(entry["examples"]) < self.examples:
            entry["examples"].append(example)

    def lines(self):
        """One line for each rule that acted, for the screen."""
        for verb, family in (("repaired", self.repairs), ("dropped", self.filters)):
            for name, entry in family.items():
                if entry["count"]:
                    yield f"  {verb:8} {entry['count']:7,}  {name:24} {' '.join(entry['examples'][0].split())[:90]}"


def around_the_change(before, after, width=60):
    """The first place where two texts differ, with a few words before it."""
    at = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    start = max(0, at - 20)
    return f"{before[start : start + width]!r} -> {after[start : start + width]!r}"


def judge(original, language="en"):
    """One document through repairs and filters: -> (text, filter's name or None, [(repair, example)], fingerprint or None)."""
    text = decode_bytes(original)
    repairs = []
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


def judge_many(originals, language):
    return [judge(original, language) for original in originals]


def batches(documents, most=256, size=1 << 20):
    """Lists of at most `most` documents that end when they hold `size` characters or more."""
    batch, room = [], size
    for document in documents:
        batch.append(document)
        room -= len(document)
        if room <= 0 or len(batch) == most:
            yield batch
            batch, room = [], size
    if batch:
        yield batch


def judged(documents, language, workers):
    """(original, judge's answer) for each document, in order, computed by `workers` processes a few batches ahead, never more."""
    if workers < 2:
        yield from ((original, judge(original, language)) for original in documents)
        return
    jobs, waiting = batches(documents), deque()
    with ProcessPoolExecutor(workers) as pool:
        while True:
            waiting.extend((batch, pool.submit(judge_many, batch, language)) for batch in islice(jobs, 2 * workers - len(waiting)))
            if not waiting:
                return
            originals, answer = waiting.popleft()
            yield from zip(originals, answer.result())


def clean(documents, report=None, language="en", workers=1, raw=False):
    """Yields for each document, in order, (text, None) where it is kept, repaired, or (original, "filter's name") where it is dropped.

    documents: iterable of str or bytes; report: a Report to fill; language: "en", or "any" for no filter by script and language;
    workers: processes; raw: keep everything as it is, only decoded.
    """
    report, duplicates = report or Report(), Duplicates()
    answers = ((original, (decode_bytes(original), None, [], None)) for original in documents) if raw else judged(documents, language, workers)
    for original, (text, fault, repairs, print_) in answers:
        fault = fault or (None if raw else duplicates.find(*print_))
        report.documents += 1
        report.kept += fault is None
        for name, example in repairs:
            report.add(report.repairs[name], example)
        if fault:
            report.add(report.filters[fault], decode_bytes(original)[:120])
        yield (text, None) if fault is None else (original, fault)


def clean_to_file(planted_documents, path, config, count_dirt):
    """Cleans Planted documents into `path`, one JSON string a line, and shows what each rule did. Returns figures: documents, kept, characters,
    repairs, filters; with count_dirt (labels are true) also dirt_removed and clean_lost. Raises run.UserError where nothing is left."""
    report, grade, waiting, characters = Report(), CleaningGrade(), deque(), 0

    def texts():
        for planted in planted_documents:
            waiting.append(planted)                                      # until cleaning, which looks ahead, hands it back
            yield planted.text

    with run.atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for text, fault in clean(texts(), report, config.language, workers=os.cpu_count(), raw=config.raw):
            planted = waiting.popleft()
            if count_dirt:
                grade.add(planted, None if fault else text)
            if not fault:
                characters += len(text)
                file.write(json.dumps(text, ensure_ascii=False) + "\n")
        if characters == 0:
            raise run.UserError(f"nothing is left of the text after cleaning ({report.documents} documents): is it English? Try --language any, or --raw")
    figures = {"characters": characters, "documents": report.documents, "kept": report.kept, "repairs": report.repairs, "filters": report.filters}
    print(f"clean: kept {report.kept:,} of {report.documents:,} documents, {characters / 1e6:.1f} million characters", *report.lines(), sep="\n")
    if count_dirt:
        figures |= {"dirt_removed": run.share(grade.gone.total(), grade.dirt.total()), "clean_lost": run.share(grade.words_lost, grade.words),
                    "dirt_removed_by_kind": {kind: run.share(grade.gone[kind], n) for kind, n in grade.dirt.items()}}
        print(f"  planted dirt removed {run.shown(figures['dirt_removed'], 1)}, words of clean text lost {run.shown(figures['clean_lost'], 2)}")
    return figures
