"""Cleaning keeps what people wrote and drops what the web put around it; each claim on small texts
worked by hand, then on planted dirt."""
import json
import random
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest

from data import world
from data.clean import (FILTERS, REPAIRS, Report, clean, clean_to_file, drop_control_characters,
                        fix_mojibake, normalize_unicode, repair_and_filter)
from data.duplicates import SKETCH, Duplicates, fingerprint, shingle_hashes, similar
from data.world.dirt import WHOLE, WRAPPED, CleaningGrade, Planted, plant, shingle_jaccard
from run import UserError

GOOD = ("The capital of France is Paris. People in France speak French, and they are proud of it. "
        "It's a country in Europe with a long coast.")
RUSSIAN = "Столица этой страны находится на берегу большой реки."


def kept(text):
    text, reason, *_ = repair_and_filter(text)
    return text if reason is None else None


@pytest.mark.parametrize("dirty, good", [
    ("CafÃ© MÃ¼ller â€” â€œyesâ€\x9d, itâ€™s 20 Â°C", "Café Müller — “yes”, it’s 20 °C"),
    ("CafÃƒÂ©", "Café"),  # garbled twice
    ("naïve café, 20 °C, “quoted”…", "naïve café, 20 °C, “quoted”…"),  # right already: stays
])
def test_garbled_utf8_is_read_again_and_right_text_stays(dirty, good):
    assert fix_mojibake(dirty) == good


@pytest.mark.parametrize("dirty", [
    "<html><head><title>x</title><script>if (a < b) { c(); }</script></head><body><nav>"
    f"<a href='/'>Home</a></nav><p>{GOOD}</p><!-- end --></body></html>",
    "Home | About us | Contact | Sign in\n"
    f"{GOOD}\nShare on Facebook  Share on Twitter  Email this page",
    f"{GOOD}\nWe use cookies to improve your experience. "
    "By continuing you agree to our use of cookies. Got it!",
    "/*\n * Copyright (c) 2019 Some Body. All rights reserved.\n"
    f" * Licensed under the Apache License, Version 2.0\n */\n\n{GOOD}",
    GOOD.replace("capital", "cap\u200bi\x00tal\x07"),
    f"[b]{GOOD}[/b]",
    GOOD.replace("'", "&#39;"),
])
def test_what_the_web_wraps_around_a_text_goes_and_the_text_stays(dirty):
    assert kept(dirty) == GOOD


@pytest.mark.parametrize("text", [
    "You need butter, sugar and flour to bake cookies. "
    "Use cookies with little sugar for the base.",
    "Keeper:\nHelp, help, help!\n\n"
    "KING RICHARD II:\nHow now! what means death in this rude assault?",
    "If a < b and c > d, then a * c < b * d for positive numbers; that is not hard to see.",
    "1. What is the capital of France?\n2. Which language do people speak in France?\n"
    "3. Where in the world is France?",
    "He asked for his driving licence at the office and was told to come again on Monday.",
    # markup that is none, or is spoken of
    "The ratio is $p(a_t | a_{<t})$, and it is written out below, where the loss is > 0.",
    "The claim holds where a<b and c>d, or a<i>b, for every pair of numbers.",
    "A note begins with `<!--` in such a file, and all that follows is left out.",
    "A note begins with <!-- in such a file and ends with --> some lines below.",
    "To make a word bold, write <b> before it and </b> after it, or use a style.",
    "For a page, write:\n```html\n<html><body><p>Hello</p></body></html>\n```\nThat is all.",
    "The map is a Map<String, List> here, and x[i] is the first of them; [b] is a note.",
    "Write `&amp;` for the sign &, and see https://example.org/?a=1&copy=2 for the rest.",
    # letters
    "The unit cell has an area of 52.3 Å² and a volume of 410 Å³, as it was measured.",
    "The paper had the word “AMANHÃ” on its front page, and a photo of the city.",
    # licences and furniture in sentences
    "The Free Software Foundation wrote the GNU General Public License, under which you may "
    "redistribute a program free of charge, but without any warranty.",
    "See more of the world before you are old. The privacy policy of the firm was criticised.",
    "A site uses cookies to know who has come back. In our kitchen we use cookies with nuts.",
    "## Help\n\nAsk on the list, or write to the people who made it.\n\n## Links\n\nThere are two.",
    "| News | Events | Price |\n|---|---|---|\n| the fair | a walk | 3 |\n"
    "| the film | a talk | 7 |",
    # prices, statutes, lists, dots, tables
    "Its revenue rose to $120 million from $95 million, and its profit was $14 million, so the "
    "board will pay a dividend; see https://example.org/a and https://example.org/b for it.",
    "The tenant shall:\n(a) pay the rent on time;\n(b) keep the rooms clean, as in (a);\n"
    "(c) give notice under section 4(b);\n(d) leave the keys with the owner.",
    "# Bird songs\n\n## Install\n\nRun it once.\n\n## Use\n\n### Options\n\nThere is one.",
    "- buy milk\n- call the plumber\n- mend the bike\n- water the plants\n- pay the bill",
    "Well... I don't know...\nYou mean...\nYes... it was him...\nAnd I thought...",
    "City 1990 2000 2010\nBern 12.5 14.0 15.1\nOslo 45.8 50.9 58.7\nRome 27.9 26.6 26.2",
    "No, no. Die, villain, by the sword of a man!",
    "Loading the dishwasher is an art. Put the plates at the bottom, the cups on top of them.",
    "Milk $2.50\nBread $3.10\nEggs $4.00\nButter $5.25\nCheese $7.80",
    "## 1.2.0\n\n- fix #12\n- fix #14\n- close #15\n\n## 1.1.0\n\n- fix #3\n- add #5",
    "Chapter One ........ 3\nChapter Two ........ 17\nThe End .... 42\nIndex ...... 99",
    "Copyright 1999 was the year in which the law changed; all rights reserved is an old phrase.",
    "We accept cookies and cakes as payment at the fair, and you can read our list of prices.",
    "Best price for a loan? The bank gives discounts to students; ask for the bonus.",
    "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\n"
    "Life is but a dream.\nRow, row, row your boat,\nGently down the stream.",
])
def test_clean_text_that_looks_like_dirt_stays_as_it_is(text):
    assert kept(text) == text


@pytest.mark.parametrize("page, text", [
    (f'<form id="f" method="post"><p>{GOOD}</p></form>', GOOD),
    (f"<html><body><header><p>{GOOD}</p></header></body></html>", GOOD),
    (f'<p><img alt="A > B" src="x.png">{GOOD}</p>', GOOD),
    (f"{GOOD}<!-- a note -->", GOOD),
    (f"This site uses cookies to give you the best experience. Accept all. {GOOD}", GOOD),
    (f"<p>{GOOD}\n<p>{GOOD}", f"{GOOD}\n\n{GOOD}"),
    ("<table><tr><td>Paris</td><td>is in France</td></tr><tr><td>Rome</td><td>is in Italy</td></tr>"
     "</table>", "Paris\tis in France\n\nRome\tis in Italy"),
    (f"<html><body><p>Where a[i] is 3 and [b]bold[/b] is set: {GOOD}</p></body></html>",
     f"Where a[i] is 3 and bold is set: {GOOD}"),
])
def test_markup_and_notices_go_and_their_text_stays(page, text):
    assert kept(page) == text


@pytest.mark.parametrize("text", [
    f"News\n{GOOD}",                            # one word is no menu
    "The chanson La Vie de Bohème was known to all who were in the hall.",
    "Call now!! Buy now!! That is what was written of weightlessness at the fair.",
    f"{GOOD}\nreturn answer;\n{GOOD.replace('France', 'Spain')}",
    "\n".join(f"What is the capital of {name}?" for name in
              "Peru Chad Togo Mali Iran Iraq Cuba Fiji Laos Oman Chile Egypt".split()),
    "An element such as <note>this</note> has two ends, and what is between them counts.",
    "For all i<p>q it holds that the sum of both is three, and so on for the others.",
])
def test_one_sign_of_dirt_alone_is_none(text):
    assert kept(text) == text


@pytest.mark.parametrize("page, text", [
    (f"<html><body><script>var a = 1;</script><p>{GOOD}</p></body></html>", GOOD),
    (f"<html><body><my-note>{GOOD}</my-note></body></html>", GOOD),
    (GOOD.replace(" is", "<!-- a note --> is"), GOOD),
    (f"<html><body><nav>Home<nav>News</nav>Shop</nav><p>{GOOD}</p></body></html>", GOOD),
    (f"<p>{GOOD}</p><p></p><p></p><p>{GOOD}</p>", f"{GOOD}\n\n{GOOD}"),
    (f"{GOOD}<button>Buy it</button>{GOOD}", f"{GOOD}\n{GOOD}"),
    ("<html><body><script>" + "\na = f(1);" * 60 + f"</script><p>{GOOD}</p></body></html>", GOOD),
])
def test_of_a_page_stays_what_a_reader_sees(page, text):
    assert kept(page) == text


def test_every_line_ends_in_one_newline_and_every_space_is_a_plain_one():
    assert drop_control_characters("a\r\nb\rc\nd\x00\u200be") == "a\nb\nc\nde"
    assert normalize_unicode("a\u00a0b\u3000c 5² e\u0301") == "a b c 5² é"


@pytest.mark.parametrize("unit", [
    "\n", " ", "\t\n", "<button class=a>", "<!-- ", "<script>", "<a b='", "`", "[b]", "-->", "Â ",
    "login / register | ", "home ", "home\n\n", "copyright 2004 ", "subscribe to our ",
    "# licence\n",
    "; ", "a = ", "... ", "word ", "\x1b[0", "&amp", "cookies ", "a.b!", "e\u0301\u0323", "(", "x(",
])
def test_cleaning_takes_time_in_proportion_to_the_text(unit):
    def seconds(n):
        text = "The book begins here." + unit * n + "And it ends here, on the last page."
        started = time.process_time()
        repair_and_filter(text)
        return time.process_time() - started

    few = max(seconds(5_000), 0.01)
    assert any(seconds(40_000) < 25 * few for _ in range(2))


@pytest.mark.parametrize("text, reason", [
    ("Home", "too_short"),
    ("\ufffd\ufffdPK\x03\x04 \ufffd;;[]{}1230 9;;\ufffd 00[[ a;1 ;;", "garbled"),
    (RUSSIAN, "other_script"),
    ("La capital de este país está a la orilla de un gran río y es la ciudad de los reyes.",
     "other_language"),
    ("int a = 3;\nfor (int i = 0; i < 9; i++) {\n  a[i] = f(i);\n}\nreturn a;", "source_code"),
    ("BUY NOW!!! Cheap pills online, no prescription, click here >>> 100% free bonus!!!", "spam"),
    ("the best of all is this: " * 50, "repeated_phrases"),
    ("it is so good " * 8, "repeated_phrases"),  # two traits of the three
    ("This line is said again and again.\n" * 12, "repeated_lines"),
    ("#sun #sea #travel ... #food #love ... #photo #city", "symbols"),
    (RUSSIAN.encode("cp1251").decode("cp1252"), "other_script"),
])
def test_each_filter_drops_its_kind_and_says_so(text, reason):
    assert repair_and_filter(text)[1] == reason


def test_a_long_menu_is_read_once():
    started = time.process_time()
    repair_and_filter("login / register / sign in / " * 13 + "and the words of others")
    assert time.process_time() - started < 0.1


def test_dirt_of_an_untuned_seed_goes_and_clean_text_stays():
    grade, planted = CleaningGrade(), list(plant(world.documents(seed=411, size=0.2), seed=975))
    for one, (text, reason) in zip(planted, clean(one.text for one in planted)):
        grade.add(one, None if reason else text)
    assert set(grade.gone) == {make.__name__ for make in WRAPPED + WHOLE}
    assert 0.14 < sum(one.label is not None for one in planted) / len(planted) < 0.21
    gone = sum(grade.gone.values(), [])
    assert sum(gone) / len(gone) >= 0.99
    assert sum(grade.lost) / sum(grade.words) <= 0.005


def test_the_grade_sees_dirt_that_stays_and_text_that_goes():
    grade = CleaningGrade()
    grade.add(Planted("menu good text", "navigation", "good text"), "menu good text")
    grade.add(Planted("good old text", None, "good old text"), "good text")
    assert grade.gone["navigation"] == [False]
    assert (sum(grade.lost), sum(grade.words)) == (1, 5)


@pytest.mark.parametrize("planted, left, gone, lost", [
    (Planted("buy buy", "spam", None), None, 1, 0),
    (Planted("buy buy", "spam", None), "", 0, 0),               # kept, if only its place
    (Planted("menu a b b", "navigation", "a b b"), None, 1, 3),
    (Planted("menu a b b", "navigation", "a b b"), "a b b", 1, 0),
    (Planted("menu a b b", "navigation", "a b b"), "a b", 1, 1),
    (Planted("menu a b b", "navigation", "a b b"), "a b b b", 0, 0),
    (Planted("a b b", None, "a b b"), "menu b", None, 2),
])
def test_dirt_is_gone_when_nothing_of_it_is_left_and_each_lost_word_counts(
        planted, left, gone, lost):
    grade = CleaningGrade()
    grade.add(planted, left)
    assert dict(grade.gone) == ({} if gone is None else {planted.label: [gone]})
    assert (grade.lost, grade.words) == ([lost], [3 if planted.good else 0])


def test_the_similarity_is_that_of_jaccard_worked_by_hand():
    assert shingle_jaccard("a b c d e f", "A b c d e g") == 1 / 3       # abcde; bcdef, bcdeg
    assert shingle_jaccard("a b c d e", "a b c d e f g") == 1 / 3       # one of three
    assert shingle_jaccard("a b", "a b") == 1 and shingle_jaccard("a b", "b a") == 0
    assert shingle_jaccard("a b c", "b c d", n=1) == 1 / 2


@pytest.fixture(scope="module")
def planted():
    texts = [f"{GOOD} It is number {i}, where a < b & c > {i}." for i in range(3000)]
    return texts, list(plant(texts, seed=1))


def by_label(planted, label):
    return [one for one in planted[1] if one.label == label]


def test_each_text_is_planted_once_in_order_clean_or_wrapped_and_rubbish_between(planted):
    texts, found = planted
    place = {text: i for i, text in enumerate(texts)}
    good = [place[one.good] for one in found if one.good and one.label != "mojibake"]
    assert good == sorted(set(good))
    assert len(good) + len(by_label(planted, "mojibake")) == len(texts)
    assert all(one.text == one.good for one in found if one.label is None)
    wrapped = [one for one in found if one.label and one.good is not None]
    whole = [one for one in found if one.good is None]
    assert len(wrapped) / len(texts) == pytest.approx(0.08, abs=0.02)
    assert len(whole) / len(texts) == pytest.approx(0.11, abs=0.02)
    assert {one.label for one in wrapped} == {make.__name__ for make in WRAPPED}
    assert {one.label for one in whole} == {make.__name__ for make in WHOLE}


def test_duplicates_are_planted_of_clean_texts_and_are_as_near_as_they_should_be(planted):
    clean_texts = {one.text for one in planted[1] if one.label is None}
    assert all(one.text in clean_texts for one in by_label(planted, "exact_duplicate"))
    for one in by_label(planted, "near_duplicate"):
        assert one.text not in clean_texts
        number = one.text.split("number ")[-1].split(",")[0]
        originals = [text for text in clean_texts if f"number {number}," in text] or clean_texts
        assert max(shingle_jaccard(one.text, text) for text in originals) >= 0.8


def test_what_wraps_a_text_can_be_taken_off_again(planted):
    for one in by_label(planted, "html"):
        assert one.good not in one.text and "&lt;" in one.text and "&amp;lt;" not in one.text
        assert re.search("&lt;.*&amp;.*&gt;", one.text)
    for one in by_label(planted, "mojibake"):
        raw = b"".join(c.encode("cp1252" if ord(c) > 255 else "latin-1") for c in one.text)
        assert one.text != one.good and raw.decode() == one.good
    for one in by_label(planted, "licence_header"):
        assert one.text.endswith(f"\n\n{one.good}") and len(one.text) > len(one.good) + 60
    at_the_end = [one.text.startswith(one.good) for one in by_label(planted, "control_characters")]
    assert at_the_end.count(True) <= 1
    for label in ("navigation", "cookie_notice"):
        assert all(one.good in one.text != one.good for one in by_label(planted, label))


def test_planting_is_moved_by_its_seed_alone():
    texts = [f"{GOOD} Number {i}." for i in range(200)]
    assert list(plant(texts, 3)) == list(plant(texts, 3)) != list(plant(texts, 4))


def some_words(rng, n):
    consonants, vowels = "bcdfgklmnprst", "aeiou"
    return [f"{rng.choice(consonants)}{rng.choice(vowels)}{rng.randrange(400)}" for _ in range(n)]


def change_words(original, rng, least=0.8):
    """A copy with so many words changed that its similarity is just above `least`."""
    copy, similarity = original, 1
    while similarity > least + 0.02:
        changed = list(copy)
        changed[rng.randrange(len(copy))] = "changed"
        similarity = shingle_jaccard(" ".join(original), " ".join(changed))
        if similarity < least:
            break
        copy = changed
    return copy


def sets_of(jaccard, union, seed):
    """Two random sets of hashes whose union and similarity are so large, as sorted arrays."""
    hashes = np.random.default_rng(seed).integers(0, 2**63, union).astype(np.uint64)
    both = round(jaccard * union)
    half = both + (union - both) // 2
    return np.unique(hashes[:half]), np.unique(np.r_[hashes[:both], hashes[half:]])


def are_similar(one, other):
    return bool(similar(one[:SKETCH], len(one), other[:SKETCH], len(other)))


@pytest.mark.parametrize("union", [100, 200, 3000])
def test_two_texts_are_near_duplicates_from_a_jaccard_similarity_of_0_8_on(union):
    for seed in range(20):
        for jaccard, alike in ((1.0, True), (0.9, True), (0.8, True), (0.65, False), (0.5, False)):
            assert are_similar(*sets_of(jaccard, union, seed)) == alike


@pytest.mark.parametrize("size", [100, 200, 3000])
def test_a_text_is_a_duplicate_of_one_that_holds_it_and_little_more_and_not_much_more(size):
    whole, _ = sets_of(1.0, size, 0)
    mixed = np.random.default_rng(1).permutation(whole)
    for share, alike in ((0.82, True), (0.5, False)):
        part = np.sort(mixed[: int(share * size)])
        assert are_similar(part, whole) == are_similar(whole, part) == alike


def test_the_similarity_of_short_texts_is_exact():
    whole = np.arange(200, dtype=np.uint64)
    for n, alike in ((158, True), (157, False)):                # 0.79 of 200, and one less
        assert are_similar(whole[:n], whole) == are_similar(whole, whole[:n]) == alike
    assert not are_similar(whole[:170], whole[30:])             # 140 of 200, though of 170 each


def test_shingles_are_runs_of_five_words_without_case_and_signs():
    words = "one two three four five six seven".split()
    text = " ".join(words)
    assert len(shingle_hashes(text)) == 3 and len(shingle_hashes("one two")) == 1
    for same in (text.upper(), "One, two; three (four) five - six: seven!"):
        assert np.array_equal(shingle_hashes(same), shingle_hashes(text))
    for place, shared in ((0, 2), (1, 1), (3, 0), (6, 2)):      # how many do not hold that word
        other = " ".join([*words[:place], "other", *words[place + 1 :]])
        assert len(np.intersect1d(shingle_hashes(other), shingle_hashes(text))) == shared
    turned = "two one three four five"
    assert not np.intersect1d(shingle_hashes(turned), shingle_hashes(" ".join(words[:5]))).size


def test_a_sketch_holds_the_least_hashes_of_a_text_and_its_size_counts_all():
    text = " ".join(some_words(random.Random(2), 400))
    hashes = shingle_hashes(text)
    _, _, sketch, size = fingerprint(text)
    assert len(sketch) == SKETCH and size == len(hashes) == 396
    assert set(sketch) == set(hashes[hashes <= sketch.max()])


def test_the_last_words_of_a_long_text_count_as_the_others_do():
    words = some_words(random.Random(3), 2200)
    duplicates = Duplicates(window=64)
    assert is_new(duplicates, words[:2054])     # 2,050 shingles: 2,048 are hashed at once, and two
    assert duplicates.find(*fingerprint(" ".join(words[4:2054]))) == "near_duplicate"
    assert is_new(duplicates, words[1000:])


def test_each_new_text_is_remembered_and_a_duplicate_is_not():
    rng, duplicates = random.Random(4), Duplicates(window=256)
    originals = [some_words(rng, 100) for _ in range(20)]
    assert all(is_new(duplicates, words) for words in originals)
    for words in originals:
        copy = " ".join([*words[:-1], "changed"])
        assert [duplicates.find(*fingerprint(copy)) for _ in range(2)] == ["near_duplicate"] * 2
        spaced = "  ".join(words).title()
        assert duplicates.find(*fingerprint(spaced)) == "exact_duplicate"
    assert duplicates.count == 20


def is_new(duplicates, words):
    return duplicates.find(*fingerprint(" ".join(words))) is None


def test_near_duplicates_at_jaccard_0_8_are_found_and_others_are_not_merged():
    rng, duplicates, found = random.Random(5), Duplicates(window=4096), 0
    lengths = [60, 120, 250, 600] * 50
    for length in lengths:
        original = some_words(rng, length)
        copy = change_words(original, rng)
        assert is_new(duplicates, original)
        found += not is_new(duplicates, copy)
    assert found >= 0.95 * len(lengths)


def test_texts_that_share_their_wording_but_not_their_subject_are_not_merged():
    template = (
        "The capital of {0} is {1}. In {0} people speak {2}. Visitors to {0} mostly land in {1}, "
        "its capital. {2} is the language of {0}. On the map you find {0} in {3}.")
    rng, duplicates = random.Random(1), Duplicates(window=8192)
    texts = {template.format(*some_words(rng, 4)) for _ in range(2000)}
    merged = sum(duplicates.find(*fingerprint(text)) is not None for text in texts)
    assert merged <= 2  # 0.1%


def test_a_full_table_forgets_old_documents_but_never_invents_duplicates():
    duplicates, rng = Duplicates(window=64), random.Random(2)
    assert all(is_new(duplicates, some_words(rng, 30)) for _ in range(400))


def test_clean_answers_in_order_with_the_original_and_a_reason_on_any_number_of_processes():
    cafe = "Café is what this is called, and it is old."
    others = "Here is what the others said."
    documents = [GOOD, "Home", GOOD.upper(), f"<p>{others}</p>", cafe.encode("cp1252"),
                 "\ud800 a lone surrogate is in this text."]
    report = Report()
    answers = list(clean(documents, report))
    assert answers == [
        (GOOD, None), ("Home", "too_short"), (GOOD.upper(), "exact_duplicate"), (others, None),
        (cafe, None), (" a lone surrogate is in this text.", None)]
    assert (report.documents, report.kept) == (6, 4)
    assert report.repairs["strip_markup"]["count"] == 1
    assert report.filters["too_short"]["examples"] == ["Home"]
    assert list(clean(documents, workers=2)) == answers


def test_what_is_dropped_comes_as_it_came_and_two_of_it_are_shown():
    documents = ["<b>Home</b>", b"\xffNews", "Shop", "Help"]
    report = Report()
    assert list(clean(documents, report)) == [(one, "too_short") for one in documents]
    assert report.filters["too_short"] == {"count": 4, "examples": ["<b>Home</b>", "ÿNews"]}
    assert (report.documents, report.kept) == (4, 0)


def test_the_figures_of_cleaning_are_counted_on_what_was_kept(tmp_path, capsys):
    menu = "Home | About us | Contact | Sign in"
    planted = [Planted(f"{menu}\n{GOOD}", "navigation", GOOD), Planted("Home", None, "Home"),
               Planted("Buy", "spam", None), Planted(f"{RUSSIAN} x y", "spam", None)]
    config = SimpleNamespace(language="any", raw=False)
    figures = clean_to_file(iter(planted), tmp_path / "x", config, count_dirt=True)
    written = [json.loads(line) for line in (tmp_path / "x").read_text().splitlines()]
    assert written == [GOOD, f"{RUSSIAN} x y"]
    assert (figures["documents"], figures["kept"]) == (4, 2)
    assert figures["characters"] == sum(map(len, written))
    assert f"2 of 4 documents, {figures['characters']} characters\n" in capsys.readouterr().out
    assert (figures["dirt_removed"]["value"], figures["dirt_removed"]["n"]) == (2 / 3, 3)
    n = len(GOOD.split()) + 1
    assert figures["clean_lost"]["value"] == 1 / n
    by_kind = figures["dirt_removed_by_kind"]
    assert {kind: share["value"] for kind, share in by_kind.items()} == {
        "navigation": 1, "spam": 0.5}


@pytest.mark.parametrize("content, text", [
    (RUSSIAN.encode() + b"\xff", RUSSIAN + "\ufffd"),
    (RUSSIAN.encode()[:-2] + b".", RUSSIAN[:-2] + "\ufffd."),
    (RUSSIAN.encode("utf-16"), RUSSIAN),
    ("\ufeff".encode("utf-16-be") + RUSSIAN.encode("utf-16-be"), RUSSIAN),
    (b"\xef\xbb\xbf" + RUSSIAN.encode(), RUSSIAN),
    ("Café is old, and “so” is this.".encode("cp1252"), "Café is old, and “so” is this."),
])
def test_a_bad_byte_costs_one_letter_and_utf_16_is_told_by_its_mark(content, text):
    assert list(clean([content], language="any")) == [(text, None)]


def test_any_language_keeps_other_scripts_and_raw_keeps_everything():
    assert list(clean([RUSSIAN], language="any")) == [(RUSSIAN, None)]
    documents = ["x", "<p>", RUSSIAN]
    assert list(clean(documents, raw=True)) == [(text, None) for text in documents]


def test_cleaning_a_clean_text_again_changes_nothing():
    planted = plant(world.documents(seed=8, size=0.05), seed=8)
    texts = [text for text, reason in clean(one.text for one in planted) if reason is None]
    assert [text for text, reason in clean(texts) if reason is None] == texts


def clean_all(texts, path, **settings):
    config = SimpleNamespace(**{"language": "en", "raw": False} | settings)
    planted = [Planted(text, None, None) for text in texts]
    return clean_to_file(iter(planted), path, config, count_dirt=False)


def test_where_all_is_dropped_one_line_says_by_what_and_which_flag_helps(tmp_path):
    mistake = (r'all of the 3 documents, by too_short 1 \("Home"\), other_script 2 '
               r'\("Столица этой.*"\): try --language any, or --raw')
    with pytest.raises(UserError, match=mistake) as raised:
        clean_all([RUSSIAN, "Home", RUSSIAN + " Зимой там холодно."], tmp_path / "x")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300
    with pytest.raises(UserError, match=r'by too_short 1 \("Home"\): try --raw'):
        clean_all(["Home"], tmp_path / "x", language="any")
    assert clean_all(["Home"], tmp_path / "x", raw=True)["kept"] == 1


def test_every_rule_is_named_in_the_report():
    report = Report()
    assert set(report.repairs) == {rule.__name__ for rule in REPAIRS}
    assert set(report.filters) >= {rule.__name__ for rule in FILTERS}
