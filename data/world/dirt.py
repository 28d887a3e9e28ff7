"""The web's dirt, planted and labelled: work for cleaning that can be counted afterwards.

in    clean documents (str)
out   Planted(text, label, good): label None for a clean document, else the dirt's name; good is
      the text worth keeping (the document itself, or the one inside the dirt, or None where all
      of it is rubbish)
run   python -m data.world.dirt     prints one example of each kind

Two families. Wrapped dirt stands around a good text and should be repaired: html, navigation,
cookie_notice, mojibake, control_characters, licence_header. Whole dirt is rubbish from end to end
and should be dropped: spam, other_script, garbled, link_list, source_code, exact_duplicate,
near_duplicate.

How cleaning is graded (`CleaningGrade`): a piece of dirt is gone when its document was dropped, or
kept without one word that its good text does not have; lost are the words of good text that are
missing from what was kept, those inside repaired documents too.
"""
import random
from collections import Counter, defaultdict, deque
from typing import NamedTuple


class Planted(NamedTuple):
    text: str           # what the crawler saw
    label: str | None   # the dirt's name; None: clean
    good: str | None    # what cleaning should keep; None: nothing


# ---------------------- wrapped dirt: (good text, rng) -> the text as the web would serve it

SITES = [
    "Daily Herald", "World Notes", "The Open Reader", "Answer Garden", "Facts and Figures",
    "Village Forum", "Kitchen Table", "Green Atlas",
]
MENU = [
    "Home", "About us", "Contact", "News", "Sign in", "Register", "Help", "Archive", "Shop",
    "Blog", "FAQ", "Sitemap", "Privacy policy", "Terms of use", "My account", "Search",
]
ABOVE_THE_TEXT = [
    "Skip to main content", "Toggle navigation", "You are here: Home > Articles", "Menu", "Search",
]
COOKIES = [
    "We use cookies to improve your experience on this site. "
    "By continuing to browse you agree to our use of cookies.",
    "This website uses cookies to ensure you get the best experience. "
    "Accept all cookies | Cookie settings",
    "{site} and its 214 partners store and access cookies on your device. "
    "Manage preferences. Reject all. Accept all.",
    "Cookies help us deliver our services. "
    "By using our services, you agree to our cookie policy. Got it!",
    "Before you continue: we use cookies and data to measure audience engagement. "
    "Read our cookie notice.",
]
FOOTERS = [
    "Copyright {year} {site}. All rights reserved.",
    "© {year} {site} | Privacy policy | Terms of use",
    "Share on Facebook  Share on Twitter  Email this page",
    "Subscribe to our newsletter to get the latest updates in your inbox.",
    "Back to top",
    "Read more: most popular stories this week",
    "Posted by admin on 12 May {year} | 14 comments | Leave a reply",
]
LICENCES = [
    """\
Copyright {year} The {site} Authors.
Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at
    http://www.apache.org/licenses/LICENSE-2.0
Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.""",
    """\
Copyright (c) {year} {site}
Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files, to deal
in the Software without restriction.
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND.""",
    """\
This program is free software: you can redistribute it and/or modify
it under the terms of the GNU General Public License as published by
the Free Software Foundation, either version 3 of the License.""",
    """\
SPDX-License-Identifier: MIT
Copyright (C) {year} {site}. All rights reserved.""",
]


def fill(template, rng):
    return template.format(site=rng.choice(SITES), year=rng.randint(1998, 2024))


def menu_line(rng):
    separator = rng.choice([" | ", " » ", " · ", " / ", "  •  ", " > "])
    return separator.join(rng.sample(MENU, rng.randint(4, 8)))


def escape(text, apostrophe):
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", apostrophe)):
        text = text.replace(character, entity)
    return text


def paragraphs(text, rng):
    """Each line in a tag, and a word of the first one marked."""
    tags = ["<p>{}</p>", '<div class="text">{}</div>', "<P>{}<BR>"]
    marks = ["<b>{}</b>", '<a href="/wiki/index.php?id=7&amp;x=1">{}</a>',
             "<span style='color:red'>{}</span>"]
    lines = [rng.choice(tags).format(line) for line in text.split("\n") if line.strip()]
    words = lines[0].split(" ")
    at = rng.randrange(len(words))
    if not set(words[at]) & set("<>"):
        words[at] = rng.choice(marks).format(words[at])
    return [" ".join(words), *lines[1:]]


def html(text, rng):
    """A page: head, style or script, menu, the text in paragraphs, a footer."""
    scripts = ["<script>var a = 1; if (a < 2) {track('page');}</script>",
               "<style>p {margin: 0; color: #333}</style>", "<!-- begin content -->"]
    apostrophe = rng.choice(["'", "&#39;", "&#x27;"])
    body = "\n".join(paragraphs(escape(text, apostrophe), rng))
    links = [f"<li><a href='/{i}'>{name}</a></li>" for i, name in enumerate(rng.sample(MENU, 5))]
    head = rng.choice(["<!DOCTYPE html>\n", "", '<?xml version="1.0"?>\n'])
    head += f"<html><head><title>{rng.choice(SITES)}</title>{rng.choice(scripts)}</head>"
    menu = f"<body><nav><ul>{''.join(links)}</ul></nav>"
    footer = f"<footer>{fill(rng.choice(FOOTERS), rng)}</footer></body></html>"
    return f"{head}{menu}\n{body}\n{footer}"


def navigation(text, rng):
    above = [menu_line(rng)] + rng.sample(ABOVE_THE_TEXT, rng.randint(0, 2))
    below = [fill(line, rng) for line in rng.sample(FOOTERS, rng.randint(0, 3))]
    return "\n".join(above + [text] + below)


def cookie_notice(text, rng):
    notice = fill(rng.choice(COOKIES), rng)
    return f"{notice}\n{text}" if rng.random() < 0.5 else f"{text}\n{notice}"


def typeset(text, rng):
    """The text with typographic quotes and a last line: pure ASCII cannot be garbled."""
    lines = ["Source: Caf\u00e9 M\u00fcller \u2014 \u201cnotes\u201d",
             "See \u00a7 4 \u2013 \u00a3 20, 15 \u00b0C", "Jos\u00e9 wrote \u201cyes\u201d\u2026"]
    return text.replace("'", "\u2019").rstrip() + "\n" + rng.choice(lines)


def mojibake(text, rng):
    """UTF-8 bytes read as Latin-1 or as Windows-1252."""
    utf8 = text.encode()
    if rng.random() < 0.5:
        return utf8.decode("latin-1")
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in utf8)


def control_characters(text, rng):
    junk = ["\x00", "\x07", "\x08", "\x1b[0m", "\x7f", "\u200b", "\ufeff", "\u202e", "\x0c",
            "\u00ad", "\x85"]
    characters = list(text)
    for _ in range(rng.randint(3, 12)):
        characters.insert(rng.randrange(len(characters) + 1), rng.choice(junk))
    return "".join(characters)


def licence_header(text, rng):
    lines = fill(rng.choice(LICENCES), rng).split("\n")
    mark = rng.choice(["# ", "// ", " * ", ""])
    body = "\n".join((mark + line).rstrip() for line in lines)
    if mark == " * ":
        body = f"/*\n{body}\n */"
    return f"{body}\n\n{text}"


# ------------------ whole dirt: (recent good texts, rng) -> a document that should not be kept

SPAM_GOODS = [
    "casino bonus", "replica watches", "cheap pills", "payday loans", "weight loss miracle",
    "bitcoin doubler", "hot singles", "followers and likes", "online poker", "designer handbags",
]
SPAM_CALLS = [
    "BUY NOW!!!", "Click here >>>", "100% FREE!!!", "Limited offer, act now!",
    "Order today and save 80%", "No prescription needed", "You are a WINNER!",
    "Earn $5000 a week from home", "Risk free, money back guarantee!", "Call now!!!",
]
SCRIPTS = [
    "Столица этой страны находится на берегу большой реки. "
    "Каждый год туда приезжают люди из разных городов. Зимой там холодно, а летом тепло.",
    "这个国家的首都位于一条大河的岸边。每年都有许多人从不同的城市来到这里。冬天很冷，夏天很热。",
    "この国の首都は大きな川のほとりにあります。毎年たくさんの人が訪れます。冬は寒く、夏は暑いです。",
    "تقع عاصمة هذا البلد على ضفة نهر كبير. "
    "يأتي الناس إليها كل عام من مدن مختلفة. الشتاء بارد والصيف حار.",
    "Η πρωτεύουσα της χώρας βρίσκεται στην όχθη ενός μεγάλου ποταμού. "
    "Κάθε χρόνο έρχονται πολλοί άνθρωποι.",
    "इस देश की राजधानी एक बड़ी नदी के किनारे है। "
    "हर साल कई लोग यहाँ आते हैं। सर्दी में ठंड होती है।",
    "이 나라의 수도는 큰 강가에 있습니다. 해마다 많은 사람들이 찾아옵니다. 겨울은 춥고 여름은 덥습니다.",
    "La capital de este país está a la orilla de un gran río. "
    "Cada año llegan muchas personas de otras ciudades. En invierno hace frío.",
    "Die Hauptstadt dieses Landes liegt am Ufer eines großen Flusses. "
    "Jedes Jahr kommen viele Menschen aus anderen Städten. Im Winter ist es kalt.",
    "La capitale de ce pays se trouve au bord d'un grand fleuve. "
    "Chaque année, beaucoup de gens y viennent. En hiver il fait froid.",
]
CODE = [
    "int {n} = {k};",
    "for (int i = 0; i < {k}; i++) {{",
    "    {n}[i] += buffer[{k}];",
    "}}",
    "if (!{n}) return -{k};",
    "#include <{n}.h>",
    "static void {n}_init(void *p) {{",
    "    free({n});",
    "var {n} = document.getElementById('{n}{k}');",
]


def spam_line(goods, rng):
    site = goods.replace(" ", "-")
    return rng.choice([
        f"{rng.choice(SPAM_CALLS)} Best {goods} online.",
        f"Cheap {goods} {goods} {goods}.",
        f"{goods.upper()}! {rng.choice(SPAM_CALLS)}",
        f"Visit http://www.{site}.example/buy?id={rng.randint(1, 999)}",
    ])


def spam(recent, rng):
    sold = rng.sample(SPAM_GOODS, 3)
    return " ".join(spam_line(goods, rng) for goods in rng.choices(sold, k=rng.randint(6, 14)))


def other_script(recent, rng):
    sentences = rng.choice(SCRIPTS)
    return " ".join([sentences] * rng.randint(1, 2)) + f" {rng.randint(1, 999)}."


def garbled(recent, rng):
    """A file that was never text, or a text that has lost letters."""
    if rng.random() < 0.5:
        alphabet = "\ufffd\ufffdPK\x03\x04\x00ÿþ¤¶§abcXYZ0189;:[}"
        return "".join(rng.choice(alphabet) for _ in range(rng.randint(80, 400)))
    text = rng.choice(recent)
    return "".join("\ufffd" if c.isalpha() and rng.random() < 0.2 else c for c in text)


def link_line(rng):
    lines = [menu_line(rng), fill(rng.choice(FOOTERS), rng), fill(rng.choice(COOKIES), rng)]
    return rng.choice(lines + rng.sample(MENU, 6))


def link_list(recent, rng):
    return "\n".join(link_line(rng) for _ in range(rng.randint(5, 20)))


def source_code(recent, rng):
    names = ["count", "node", "page", "list", "item"]
    lines = [rng.choice(CODE).format(n=rng.choice(names), k=rng.randint(0, 99))
             for _ in range(rng.randint(10, 40))]
    code = "\n".join(lines)
    return licence_header(code, rng) if rng.random() < 0.7 else code


def exact_duplicate(recent, rng):
    return rng.choice(recent)


def shingles(text, n):
    """The set of runs of n words."""
    words = text.lower().split()
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def shingle_jaccard(a, b, n=5):
    """Jaccard similarity of the two texts' sets of n consecutive words (Broder 1997, section 2)."""
    a, b = shingles(a, n), shingles(b, n)
    return len(a & b) / len(a | b)


def one_word_changed(text, rng):
    words = text.split(" ")
    last = len(words) - 1
    at = rng.choice([rng.randrange(len(words)), last])
    word = words[at]
    changes = [[word, "indeed"], ["(update)", word], [word + " again"], ["some"], []]
    words[at : at + 1] = rng.choice(changes)
    return " ".join(words)


def near_duplicate(recent, rng):
    """A recent text, words changed, added or dropped while its similarity stays at 0.8 or more."""
    text = copy = rng.choice(recent)
    for _ in range(50):
        changed = one_word_changed(copy, rng)
        if shingle_jaccard(text, changed) < 0.8:
            break
        copy = changed
    return copy if copy != text else text + " Updated."


# ------------------------------------------------------------------------- planting and grading

WRAPPED = [html, navigation, cookie_notice, mojibake, control_characters, licence_header]
WHOLE = [spam, other_script, garbled, link_list, source_code, exact_duplicate, near_duplicate]


def plant(texts, seed=0, wrapped=0.08, whole=0.11):
    """Yields Planted: every text, and dirt; about 17% of what comes out carries a label.

    texts: iterable of str. seed: moves every choice. wrapped: the share of texts that stand inside
    dirt. whole: so many rubbish documents for each text, between them.
    """
    rng = random.Random(f"dirt {seed}")
    recent = deque(maxlen=300)                       # good texts that duplicates are made of
    for text in texts:
        if rng.random() < wrapped:
            make = rng.choice(WRAPPED)
            good = typeset(text, rng) if make is mojibake else text
            yield Planted(make(good, rng), make.__name__, good)
        else:
            yield Planted(text, None, text)
            recent.append(text)
        if recent and rng.random() < whole:
            make = rng.choice(WHOLE)
            yield Planted(make(recent, rng), make.__name__, None)


class CleaningGrade:
    """Notes, document by document, the dirt that cleaning removed and the words that it lost."""

    def __init__(self):
        self.gone = defaultdict(list)                # label -> for each planted: is it removed?
        self.words = []                              # of good text
        self.lost = []                               # and how many of them are gone

    def add(self, planted, kept):
        """kept: the text that cleaning yielded for this Planted, or None where it was dropped."""
        good, left = Counter((planted.good or "").split()), Counter((kept or "").split())
        self.words.append(good.total())
        self.lost.append((good - left).total())
        if planted.label is not None:
            repaired = planted.good is not None and not left - good
            self.gone[planted.label].append(kept is None or repaired)


if __name__ == "__main__":
    from data.world.documents import documents
    shown = set()
    for text, label, _ in plant(documents(size=0.3)):
        if label not in shown:
            shown.add(label)
            print(f"---- {label or 'clean'}\n{text}")
