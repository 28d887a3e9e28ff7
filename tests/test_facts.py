"""The tables of facts keep the promises that documents, prompts and rubric are built on.

Sizes, one answer a question, no remedy on both sides.
"""
import re
from collections import Counter

import pytest

from data.world.facts import ADVICE, COUNTRIES, ILLNESSES, OTHER_NAMES, UNKNOWABLE, rows

TREATMENTS = {remedy for treatments, _ in ILLNESSES.values() for remedy in treatments}
MYTHS = {remedy for _, myths in ILLNESSES.values() for remedy in myths}
TIPS = [tip for tips in ADVICE.values() for tip in tips]
CELLS = [text for row in COUNTRIES + UNKNOWABLE for text in row]
STRINGS = CELLS + list(ILLNESSES) + list(ADVICE) + TIPS


def repeated(items):
    return [item for item, count in Counter(items).items() if count > 1]


def test_a_table_is_cut_at_its_bars_and_an_indented_line_goes_on_with_its_row():
    assert rows("""
# a heading
one | two
three |
    four, five,
    six
""") == [("one", "two"), ("three", "four, five, six")]


@pytest.mark.parametrize("table, least", [
    (COUNTRIES, 100),
    (ILLNESSES, 22),
    (TREATMENTS, 30),
    (MYTHS, 36),
    (ADVICE, 40),
    (UNKNOWABLE, 60),
    ({row.topic for row in UNKNOWABLE}, 40),
])
def test_every_table_is_large_enough_to_split_three_ways(table, least):
    assert len(table) >= least


def test_all_text_is_ascii_without_stray_spaces():
    for text in STRINGS + sorted(TREATMENTS | MYTHS):
        assert text and text.isascii() and text == " ".join(text.split()), repr(text)


def test_a_remedys_other_names_are_its_own():
    assert set(OTHER_NAMES) <= TREATMENTS | MYTHS
    names = [name for names in OTHER_NAMES.values() for name in names]
    assert len(names) >= 80 and not repeated([*names, *(TREATMENTS | MYTHS), *ILLNESSES])


def test_no_country_and_no_capital_stands_twice():
    assert repeated(row.name for row in COUNTRIES) == []
    assert repeated(row.capital for row in COUNTRIES) == []


def test_no_capital_gives_away_its_country():
    for row in COUNTRIES:
        assert row.name not in row.capital and row.capital not in row.name, row


def test_continents_are_the_six_that_have_countries():
    assert {row.continent for row in COUNTRIES} == {
        "Europe", "Asia", "Africa", "North America", "South America", "Oceania"}


def test_the_countries_that_lessons_name_are_there():
    named = "France India Japan Italy Spain Germany Brazil Egypt Kenya Peru".split()
    assert set(named) <= {row.name for row in COUNTRIES}


def test_no_remedy_is_both_treatment_and_myth():
    assert TREATMENTS & MYTHS == set()


def test_every_illness_has_one_to_three_treatments_and_two_to_four_myths():
    for illness, (treatments, myths) in ILLNESSES.items():
        assert 1 <= len(treatments) <= 3 and 2 <= len(myths) <= 4, illness
        assert repeated(treatments + myths) == [], illness


def test_every_remedy_is_a_noun_phrase_of_at_most_three_words_without_article():
    for remedy in TREATMENTS | MYTHS:
        assert len(remedy.split()) <= 3 and not re.match(r"(a|an|the) ", remedy), remedy


def test_every_topic_has_three_tips_of_three_to_seven_lower_case_words():
    for topic, tips in ADVICE.items():
        assert len(tips) == 3, topic
        for tip in tips:
            assert 3 <= len(tip.split()) <= 7 and tip[0].islower() and tip[-1].isalpha(), tip


def test_every_tip_belongs_to_one_topic():
    assert repeated(TIPS) == []


def test_every_unknowable_question_is_short_single_and_ends_as_a_question():
    assert repeated(row.question for row in UNKNOWABLE) == []
    assert repeated(row.unknown for row in UNKNOWABLE) == []
    for row in UNKNOWABLE:
        assert row.question[0].isupper() and row.question.endswith("?"), row
        assert len(row.question.split()) <= 9, row


def test_every_topic_of_the_unknowable_has_one_to_three_questions():
    assert max(Counter(row.topic for row in UNKNOWABLE).values()) <= 3
    assert "How is the weather outside?" in {row.question for row in UNKNOWABLE}


def test_every_unknowable_thing_comes_with_a_sentence_on_how_to_find_it_out():
    for row in UNKNOWABLE:
        assert row.how.startswith(f"To know {row.unknown}, ") and row.how.endswith("."), row


def test_the_thing_a_program_cannot_know_is_told_to_the_asker():
    """The asker's "my", "I" and "we" have become "your" and "you"."""
    for row in UNKNOWABLE:
        assert not set(row.unknown.lower().split()) & {"i", "my", "me", "we"}, row
