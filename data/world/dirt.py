"""The web's dirt, planted and labelled, so that cleaning has work to do and its work can be counted.

in    clean documents (str)
out   Planted(text, label, good): label None for a clean document, else the dirt's name; good is the text worth keeping
      (the document itself, the document inside the markup, or None where the whole document is rubbish)
run   python -m data.dirt     prints one example of each kind

Two families. Wrapped dirt stands around a good text and should be repaired: html, navigation, cookie_notice, mojibake,
control_characters, licence_header. Whole dirt is rubbish from end to end and should be dropped: spam, other_script,
garbled, link_list, source_code, exact_duplicate, near_duplicate.

How cleaning is judged (`grade_cleaning`): a piece of dirt is gone when its document was dropped, or kept without one word
that its good text does not have; what was lost is counted in words of good text that are missing from what was kept, those
inside repaired documents too.
"""
import random
from collections import Counter, deque
from typing import NamedTuple


class Planted(NamedTuple):
    text: str               # what the crawler saw
    label: str | None       # the dirt's name; None: clean
    good: str | None        # what cleaning should keep; None: nothing


# ---- wrapped dirt: (good text, rng) -> the text as the web would serve it

SITES = ["Daily Herald", "World Notes", "The Open Reader", "Answer Garden", "Facts and Figures", "Village Forum", "Kitchen Table", "Green Atlas"]
MENU = ["Home", "About us", "Contact", "News", "Sign in", "Register", "Help", "Archive", "Shop", "Blog", "FAQ", "Sitemap", "Privacy policy", "Terms of use", "My account", "Search"]
COOKIES = [
    "We use cookies to improve your experience on this site. By continuing to browse you agree to our use of cookies.",
    "This website uses cookies to ensure you get the best experience. Accept all cookies | Cookie settings",
    "{site} and its 214 partners store and access cookies on your device. Manage preferences. Reject all. Accept all.",
    "Cookies help us deliver our services. By using our services, you agree to our cookie policy. Got it!",
    "Before you continue: we use cookies and data to measure audience engagement. Read our cookie notice.",
]
FOOTERS = [
    "Copyright {year} {site}. All rights reserved.", "© {year} {site} | Privacy policy | Terms of use",
    "Share on Facebook  Share on Twitter  Email this page", "Subscribe to our newsletter to get the latest updates in your inbox.",
    "Back to top", "Read more: most popular stories this week", "Posted by admin on 12 May {year} | 14 comments | Leave a reply",
]
LICENCES = [
    "Copyright {year} The {site} Authors.\nLicensed under the Apache License, Version 2.0 (the \"License\");\nyou may not use this file except in compliance with the License.\n"
    "You may obtain a copy of the License at\n    http://www.apache.org/licenses/LICENSE-2.0\nUnless required by applicable law or agreed to in writing, software\n"
    "distributed under the License is distributed on an \"AS IS\" BASIS,\nWITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.",
    "Copyright (c) {year} {site}\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof this software and associated documentation files, to deal\n"
    "in the Software without restriction.\nTHE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND.",
    "This program is free software: you can redistribute it and/or modify\nit under the terms of the GNU General Public License as published by\n"
    "the Free Software Foundation, either version 3 of the License.",
    "SPDX-License-Identifier: MIT\nCopyright (C) {year} {site}. All rights reserved.",
]


def fill(template, rng):
    return template.format(site=rng.choice(SITES), year=rng.randint(1998, 2024))


def menu_line(rng):
    separator = rng.choice([" | ", " » ", " · ", " / ", "  •  ", " > "])
    return separator.join(rng.sample(MENU, rng.randint(4, 8)))


def html(text, rng):
    """A page: head, style, script, menu, the text in paragraphs with links and bold words, a footer."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", rng.choice(["'", "&#39;", "&#x27;"]))
    paragraphs = [rng.choice(["<p>{}</p>", "<div class=\"text\">{}</div>", "<P>{}<BR>"]).format(line) for line in escaped.split("\n") if line.strip()]
    words = paragraphs[0].split(" ")
    at = rng.randrange(len(words))
    if not set(words[at]) & set("<>"):
        words[at] = rng.choice(["<b>{}</b>", "<a href=\"/wiki/index.php?id=7&amp;x=1\">{}</a>", "<span style='color:red'>{}</span>"]).format(words[at])
    paragraphs[0] = " ".join(words)
    links = "".join(f"<li><a href='/{i}'>{name}</a></li>" for i, name in enumerate(rng.sample(MENU, 5)))
    head = rng.choice(["<!DOCTYPE html>\n", "", "<?xml version=\"1.0\"?>\n"]) + f"<html><head><title>{rng.choice(SITES)}</title>"
    script = rng.choice(["<script>var a = 1; if (a < 2) {track('page');}</script>", "<style>p {margin: 0; color: #333}</style>", "<!-- begin content -->"])
    return f"{head}{script}</head><body><nav><ul>{links}</ul></nav>\n" + "\n".join(paragraphs) + f"\n<footer>{fill(rng.choice(FOOTERS), rng)}</footer></body></html>"


def navigation(text, rng):
    top = [menu_line(rng)] + rng.sample(["Skip to main content", "Toggle navigation", "You are here: Home > Articles", "Menu", "Search"], rng.randint(0, 2))
    bottom = [fill(line, rng) for line in rng.sample(FOOTERS, rng.randint(0, 3))]
    return "\n".join(top + [text] + bottom)


def cookie_notice(text, rng):
    notice = fill(rng.choice(COOKIES), rng)
    return f"{notice}\n{text}" if rng.random() < 0.5 else f"{text}\n{notice}"


def mojibake(text, rng):
    """UTF-8 bytes read as Windows-1252 or Latin-1. English text has little to garble, so it is given typographic quotes first; returns the pair (seen, good)."""
    good = text.replace("'", "\u2019").rstrip() + rng.choice(["\nSource: Caf\u00e9 M\u00fcller \u2014 \u201cnotes\u201d", "\nSee \u00a7 4 \u2013 \u00a3 20, 15 \u00b0C", "\nJos\u00e9 wrote \u201cyes\u201d\u2026"])
    if rng.random() < 0.5:
        return good.encode().decode("latin-1"), good
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in good.encode()), good


def control_characters(text, rng):
    junk = ["\x00", "\x07", "\x08", "\x1b[0m", "\x7f", "\u200b", "\ufeff", "\u202e", "\x0c", "\u00ad", "\x85"]
    pieces = list(text)
    for _ in range(rng.randint(3, 12)):
        pieces.insert(rng.randrange(len(pieces) + 1), rng.choice(junk))
    return "".join(pieces)


def licence_header(text, rng):
    lines = fill(rng.choice(LICENCES), rng).split("\n")
    mark = rng.choice(["# ", "// ", " * ", ""])
    body = "\n".join((mark + line).rstrip() for line in lines)
    return (f"/*\n{body}\n */" if mark == " * " else body) + "\n\n" + text


# ---- whole dirt: (recent good texts, rng) -> a document that should not be kept

SPAM_GOODS = ["casino bonus", "replica watches", "cheap pills", "payday loans", "weight loss miracle", "bitcoin doubler", "hot singles", "followers and likes", "online poker", "designer handbags"]
SPAM_CALLS = ["BUY NOW!!!", "Click here >>>", "100% FREE!!!", "Limited offer, act now!", "Order today and save 80%", "No prescription needed", "You are a WINNER!", "Earn $5000 a week from home", "Risk free, money back guarantee!", "Call now!!!"]
SCRIPTS = [
    "Столица этой страны находится на берегу большой реки. Каждый год туда приезжают люди из разных городов. Зимой там холодно, а летом тепло.",
    "这个国家的首都位于一条大河的岸边。每年都有许多人从不同的城市来到这里。冬天很冷，夏天很热。", "この国の首都は大きな川のほとりにあります。毎年たくさんの人が訪れます。冬は寒く、夏は暑いです。",
    "تقع عاصمة هذا البلد على ضفة نهر كبير. يأتي الناس إليها كل عام من مدن مختلفة. الشتاء بارد والصيف حار.", "Η πρωτεύουσα της χώρας βρίσκεται στην όχθη ενός μεγάλου ποταμού. Κάθε χρόνο έρχονται πολλοί άνθρωποι.",
    "इस देश की राजधानी एक बड़ी नदी के किनारे है। हर साल कई लोग यहाँ आते हैं। सर्दी में ठंड होती है।", "이 나라의 수도는 큰 강가에 있습니다. 해마다 많은 사람들이 찾아옵니다. 겨울은 춥고 여름은 덥습니다.",
    "La capital de este país está a la orilla de un gran río. Cada año llegan muchas personas de otras ciudades. En invierno hace frío.",
    "Die Hauptstadt dieses Landes liegt am Ufer eines großen Flusses. Jedes Jahr kommen viele Menschen aus anderen Städten. Im Winter ist es kalt.",
    "La capitale de ce pays se trouve au bord d'un grand fleuve. Chaque année, beaucoup de gens y viennent. En hiver il fait froid.",
]
CODE = ["int {n} = {k};", "for (int i = 0; i < {k}; i++) {{", "    {n}[i] += buffer[{k}];", "}}", "if (!{n}) return -{k};", "#include <{n}.h>", "static void {n}_init(void *p) {{", "    free({n});", "var {n} = document.getElementById('{n}{k}');"]


def spam(recent, rng):
    goods = rng.sample(SPAM_GOODS, 3)
    return " ".join(rng.choice([f"{rng.choice(SPAM_CALLS)} Best {g} online.", f"Cheap {g} {g} {g}.", f"{g.upper()}! {rng.choice(SPAM_CALLS)}", f"Visit http://www.{g.replace(' ', '-')}.example/buy?id={rng.randint(1, 999)}"])
                    for g in rng.choices(goods, k=rng.randint(6, 14)))


def other_script(recent, rng):
    sentences = rng.choice(SCRIPTS)
    return " ".join([sentences] * rng.randint(1, 2)) + f" {rng.randint(1, 999)}."


def garbled(recent, rng):
    """A file that was never text, or text whose letters are lost: replacement characters and stray bytes."""
    if rng.random() < 0.5:
        return "".join(rng.choice("\ufffd\ufffdPK\x03\x04\x00ÿþ¤¶§abcXYZ0189;:[}") for _ in range(rng.randint(80, 400)))
    return "".join("\ufffd" if c.isalpha() and rng.random() < 0.2 else c for c in rng.choice(recent))


def link_list(recent, rng):
    return "\n".join(rng.choice([menu_line(rng), fill(rng.choice(FOOTERS), rng), fill(rng.choice(COOKIES), rng)] + rng.sample(MENU, 6)) for _ in range(rng.randint(5, 20)))


def source_code(recent, rng):
    lines = [rng.choice(CODE).format(n=rng.choice(["count", "node", "page", "list", "item"]), k=rng.randint(0, 99)) for _ in range(rng.randint(10, 40))]
    return licence_header("\n".join(lines), rng) if rng.random() < 0.7 else "\n".join(lines)


def exact_duplicate(recent, rng):
    return rng.choice(recent)


def shingle_jaccard(a, b, n=5):
    """Jaccard similarity of the two texts' sets of n consecutive words (Broder 1997, section 2)."""
    a, b = ({tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} for words in (a.lower().split(), b.lower().split()))
    return len(a & b) / len(a | b)


def near_duplicate(recent, rng):
    """A recent text with words changed, added or dropped, as often as its Jaccard similarity stays at 0.8 or more."""
    text = copy = rng.choice(recent)
    for _ in range(50):
        words = copy.split(" ")
        at = rng.choice([rng.randrange(len(words)), len(words) - 1])
        words[at : at + 1] = rng.choice([[words[at], "indeed"], ["(update)", words[at]], [words[at] + " again"], ["some"], []])
        changed = " ".join(words)
        if shingle_jaccard(text, changed) < 0.8:
            break
        copy = changed
    return copy if copy != text else text + " Updated."


WRAPPED = [html, navigation, cookie_notice, mojibake, control_characters, licence_header]
WHOLE = [spam, other_script, garbled, link_list, source_code, exact_duplicate, near_duplicate]


def plant(texts, seed=0, wrapped=0.08, whole=0.11):
    """Yields every text, a share `wrapped` of them inside repairable dirt, and a share `whole` as many rubbish documents between them.

    texts: iterable of str; seed: int, moves every choice. Yields Planted; about 17% of what comes out carries a label.
    """
    rng = random.Random(f"dirt {seed}")
    recent = deque(maxlen=300)                                          # good texts that duplicates are made of
    for text in texts:
        if rng.random() < wrapped:
            make = rng.choice(WRAPPED)
            seen, good = make(text, rng) if make is mojibake else (make(text, rng), text)
            yield Planted(seen, make.__name__, good)
        else:
            yield Planted(text, None, text)
            recent.append(text)
        if recent and rng.random() < whole:
            make = rng.choice(WHOLE)
            yield Planted(make(recent, rng), make.__name__, None)


# ---- the judge

class CleaningGrade:
    """Counts, one document at a time, what cleaning removed and what it lost; see the file's docstring for the rule."""

    def __init__(self):
        self.dirt, self.gone = Counter(), Counter()                     # by label
        self.words = self.words_lost = 0                                # of good text

    def add(self, planted, kept):
        """planted: Planted; kept: the text cleaning yielded for it, or None where it was dropped."""
        good, left = Counter((planted.good or "").split()), Counter((kept or "").split())
        self.words += good.total()
        self.words_lost += (good - left).total()
        if planted.label is not None:
            self.dirt[planted.label] += 1
            self.gone[planted.label] += kept is None or (planted.good is not None and not left - good)


if __name__ == "__main__":
    shown = set()
    for text, label, good in plant([f"Number {i} is a fine number. Many people's houses have the number {i}, and it's easy to say." for i in range(2000)]):
        if label not in shown:
            shown.add(label)
            print(f"---- {label}\n{text}")
