"""Cleaning keeps what people wrote and drops what the web put around it; each claim on small texts worked by hand, then on planted dirt."""
import random

import pytest

from data import world
from data.clean import FILTERS, REPAIRS, Report, clean, fix_mojibake, judge
from data.world.dirt import WHOLE, WRAPPED, CleaningGrade, Planted, plant, shingle_jaccard
from data.duplicates import Duplicates, fingerprint

GOOD = "The capital of France is Paris. People in France speak French, and they are proud of it. It's a country in Europe with a long coast."


def kept(text):
    return judge(text)[0] if judge(text)[1] is None else None


@pytest.mark.parametrize("dirty, good", [
    ("CafÃ© MÃ¼ller â€” â€œyesâ€\x9d, itâ€™s 20 Â°C", "Café Müller — “yes”, it’s 20 °C"),
    ("CafÃƒÂ©", "Café"),                                                # garbled twice
    ("naïve café, 20 °C, “quoted”…", "naïve café, 20 °C, “quoted”…"),    # right already: stays
])
def test_garbled_utf8_is_read_again_and_right_text_stays(dirty, good):
    assert fix_mojibake(dirty) == good


@pytest.mark.parametrize("dirty", [
    f"<html><head><title>x</title><script>if (a < b) {{ c(); }}</script></head><body><nav><a href='/'>Home</a></nav><p>{GOOD}</p><!-- end --></body></html>",
    f"Home | About us | Contact | Sign in\n{GOOD}\nShare on Facebook  Share on Twitter  Email this page",
    f"{GOOD}\nWe use cookies to improve your experience. By continuing you agree to our use of cookies. Got it!",
    f"/*\n * Copyright (c) 2019 Some Body. All rights reserved.\n * Licensed under the Apache License, Version 2.0\n */\n\n{GOOD}",
    GOOD.replace("capital", "cap\u200bi\x00tal\x07"),
    f"[b]{GOOD}[/b]",
    GOOD.replace("'", "&#39;"),
])
def test_what_the_web_wraps_around_a_text_goes_and_the_text_stays(dirty):
    assert kept(dirty) == GOOD


@pytest.mark.parametrize("text", [
    "You need butter, sugar and flour to bake cookies. Use cookies with little sugar for the base.",
    "Keeper:\nHelp, help, help!\n\nKING RICHARD II:\nHow now! what means death in this rude assault?",
    "If a < b and c > d, then a * c < b * d for positive numbers; that is not hard to see.",
    "1. What is the capital of France?\n2. Which language do people speak in France?\n3. Where in the world is France?",
    "He asked for his driving licence at the office and was told to come again on Monday.",
])
def test_clean_text_that_looks_like_dirt_stays_as_it_is(text):
    assert kept(text) == text


@pytest.mark.parametrize("text, reason", [
    ("Home", "too_short"), ("\ufffd\ufffdPK\x03\x04 \ufffd;;[]{}1230 9;;\ufffd 00[[ a;1 ;;", "garbled"),
    ("Столица этой страны находится на берегу большой реки.", "other_script"),
    ("La capital de este país está a la orilla de un gran río y es la ciudad de los reyes.", "other_language"),
    ("int a = 3;\nfor (int i = 0; i < 9; i++) {\n  a[i] = f(i);\n}\nreturn a;", "source_code"),
    ("BUY NOW!!! Cheap pills online, no prescription, click here >>> 100% free bonus!!!", "spam"),
    ("the best of all is this: " * 50, "repeated_phrases"), ("This line is said again and again.\n" * 12, "repeated_lines"),
])
def test_each_filter_drops_its_kind_and_says_so(text, reason):
    assert judge(text)[1] == reason


def test_dirt_of_an_untuned_seed_goes_and_clean_text_stays():
    grade, planted = CleaningGrade(), list(plant(world.documents(seed=411, size=0.2), seed=975))
    for one, (text, fault) in zip(planted, clean(one.text for one in planted)):
        grade.add(one, None if fault else text)
    assert set(grade.dirt) == {make.__name__ for make in WRAPPED + WHOLE}
    assert 0.14 < sum(one.label is not None for one in planted) / len(planted) < 0.21
    assert grade.gone.total() / grade.dirt.total() >= 0.99
    assert grade.words_lost / grade.words <= 0.005


def test_the_grade_sees_dirt_that_stays_and_text_that_goes():
    grade = CleaningGrade()
    grade.add(Planted("menu good text", "navigation", "good text"), "menu good text")
    grade.add(Planted("good old text", None, "good old text"), "good text")
    assert grade.gone["navigation"] == 0 and (grade.words_lost, grade.words) == (1, 5)


def test_planting_is_moved_by_its_seed_alone():
    texts = [f"{GOOD} Number {i}." for i in range(200)]
    assert list(plant(texts, 3)) == list(plant(texts, 3)) != list(plant(texts, 4))


def words(rng, n):
    return [f"{rng.choice('bcdfgklmnprst')}{rng.choice('aeiou')}{rng.randrange(400)}" for _ in range(n)]


def test_near_duplicates_at_jaccard_0_8_are_found_and_others_are_not_merged():
    rng, duplicates, found, pairs = random.Random(5), Duplicates(window=4096), 0, 0
    for length in [60, 120, 250, 600] * 50:
        original = words(rng, length)
        copy = list(original)
        while shingle_jaccard(" ".join(original), " ".join(copy)) > 0.82 and pairs < 1000:
            changed = list(copy)
            changed[rng.randrange(length)] = "changed"
            if shingle_jaccard(" ".join(original), " ".join(changed)) < 0.8:
                break
            copy = changed
        assert duplicates.find(*fingerprint(" ".join(original))) is None
        found, pairs = found + (duplicates.find(*fingerprint(" ".join(copy))) is not None), pairs + 1
    assert found >= 0.95 * pairs


def test_texts_that_share_their_wording_but_not_their_subject_are_not_merged():
    template = "The capital of {0} is {1}. In {0} people speak {2}. Visitors to {0} mostly land in {1}, its capital. {2} is the language of {0}. On the map you find {0} in {3}."
    rng, duplicates = random.Random(1), Duplicates(window=8192)
    texts = {template.format(*words(rng, 4)) for _ in range(2000)}
    assert sum(duplicates.find(*fingerprint(text)) is not None for text in texts) <= 2      # 0.1%


def test_a_full_table_forgets_old_documents_but_never_invents_duplicates():
    duplicates, rng = Duplicates(window=64), random.Random(2)
    assert all(duplicates.find(*fingerprint(" ".join(words(rng, 30)))) is None for _ in range(400))


def test_clean_answers_in_order_with_the_original_and_a_reason_on_any_number_of_processes():
    documents = [GOOD, "Home", GOOD.upper(), "<p>Here is what the others said.</p>", b"Caf\xe9 is what this is called, and it is old.", "\ud800 a lone surrogate is in this text."]
    report = Report()
    answers = list(clean(documents, report))
    assert answers == [(GOOD, None), ("Home", "too_short"), (GOOD.upper(), "exact_duplicate"), ("Here is what the others said.", None),
                       ("Café is what this is called, and it is old.", None), (" a lone surrogate is in this text.", None)]
    assert (report.documents, report.kept, report.repairs["strip_markup"]["count"], report.filters["too_short"]["examples"]) == (6, 4, 1, ["Home"])
    assert list(clean(documents, workers=2)) == answers


def test_any_language_keeps_other_scripts_and_raw_keeps_everything():
    russian = "Столица этой страны находится на берегу большой реки."
    assert list(clean([russian], language="any")) == [(russian, None)]
    assert list(clean(["x", "<p>", russian], raw=True)) == [("x", None), ("<p>", None), (russian, None)]


def test_cleaning_a_clean_text_again_changes_nothing():
    texts = [text for text, fault in clean(one.text for one in plant(world.documents(seed=8, size=0.05), seed=8)) if fault is None]
    assert [text for text, fault in clean(texts) if fault is None] == texts


def test_every_rule_is_short_and_named_in_the_report():
    report = Report()
    assert set(report.repairs) == {rule.__name__ for rule in REPAIRS} and set(report.filters) >= {rule.__name__ for rule in FILTERS}
