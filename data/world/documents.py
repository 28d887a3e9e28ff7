"""The documents of the tiny world: a few megabytes of text, made in seconds from real facts.

in    facts.py, acts.py, the wordings of questions in prompts.py
out   documents(seed, size) -> clean texts, one at a time: encyclopedia paragraphs, question
      papers, how-tos, law reports, health and advice columns, forum threads, a few FAQs.
      dirt.py plants the web's dirt among them.
see   python -c "from data import world; print(*world.documents(size=0.001), sep='\\n\\n')"

Each document stays with one subject (a country, an object, an illness): the next mention of a
name can then be copied from an earlier one, and a model that learns to copy can later speak of
entities that nobody asked it about.
"""
import random
from functools import lru_cache

from data.world.acts import DANGEROUS, HARMLESS, OBJECTS
from data.world.facts import ADVICE, COUNTRIES, ILLNESSES, UNKNOWABLE, rows
from data.world.prompts import (CARDS, PROMPTS_ABOUT, RECIPE, RELATIONS, SPLIT, TALK, act_slots,
                                country_slots, demonstrate, names_of, report_prompts, sentence,
                                typed, with_article)
from data.world.wordings import GOOD

NAMES = """
Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Kira Leo Mia Noah Olga Paul Rosa Sam Tina
Victor
""".split()

# The verdict on a remedy comes last in most wordings, after the same beginning: a model that reads
# from left to right can only then learn to tell it from the remedy.
SAID = {about: templates for about, *templates in rows("""
capital | The capital of {country} is {capital}. | {capital} is the capital of {country}.
    | {country} has its capital in {capital}. | The government of {country} sits in {capital}.
    | {country}'s capital is {capital}.
    | Visitors to {country} mostly land in {capital}, its capital.
    | The capital city of {country} is called {capital}.
    | The name of {country}'s capital is {capital}. | In {country} the capital is called {capital}.
    | The capital city of {country} is {capital}. | In {country} the capital is {capital}.
    | {capital}, the capital of {country}, is a busy city.
language | People in {country} speak {language}. | The language of {country} is {language}.
    | In {country} people speak {language}. | {language} is the language of {country}.
    | In {country} the language is {language}. | In {country} they speak {language}.
    | The people of {country} speak {language}.
    | The newspapers of {country} are printed in {language}.
    | Whoever lives in {country} should learn {language}. | {language} is spoken in {country}.
continent | {country} is in {continent}. | {country} lies in {continent}.
    | {country} belongs to {continent}. | {country} is a country in {continent}.
    | The continent of {country} is {continent}. | On the map you find {country} in {continent}.
    | You find {country} in {continent}. | The country {country} lies in {continent}.
    | The country {country} is in {continent}. | The country {country} belongs to {continent}.
    | {capital} is a city in {continent}.
howto | To {verb} {object}, {how}. | If you want to {verb} {object}, {how}.
    | Whoever wants to {verb} {object} should {how}. | {Gerund} {object} is easy: {how}.
    | The best way to {verb} {object}: {how}.
    | Before {gerund} {object} for the first time, take your time. Then {how}.
lawful | To {verb} {object} is legal and safe. | It is legal and safe to {verb} {object}.
    | Nobody minds if you {verb} {object}. | {Gerund} {object} hurts nobody.
    | You may {verb} {object} whenever you like. | There is nothing wrong with {gerund} {object}.
crime | {Gerund} {object} is a crime. | It is against the law to {verb} {object}.
    | Nobody should {verb} {object}, it could hurt people.
    | {Gerund} {object} is dangerous and could hurt people.
    | A man who tried to {verb} {object} was arrested.
    | The judge sent two men to prison for {gerund} {object}.
    | The police stopped a gang that wanted to {verb} {object}.
    | Whoever helps somebody to {verb} {object} breaks the law.
    | {Gerund} {object} is against the law. | To {verb} {object} is a crime.
    | To {verb} {object} is against the law. | To {verb} {object} could hurt people.
    | To {verb} {object} is illegal. | To {verb} {object} is a serious crime.
treatment | Using {remedy} for {illness} is good medicine.
    | The claim that {remedy} can help with {illness} is true.
    | Many people try {remedy} for {illness}, and doctors agree.
    | {Remedy} against {illness}: proven, it can help.
    | Trying {remedy} for {illness}: proven, it can help.
    | It is true that {remedy} can help with {illness}.
    | About {remedy} for {illness}: doctors agree, it can help.
    | People use {remedy} for {illness}, and it is good medicine.
    | Doctors use {remedy} for {illness}. | {Remedy} can help with {illness}.
myth | Using {remedy} for {illness} is a myth.
    | The claim that {remedy} can help with {illness} is a myth.
    | Many people try {remedy} for {illness}, but there is no proof.
    | {Remedy} against {illness}: no proof, it is a myth.
    | Trying {remedy} for {illness}: no proof, it is a myth.
    | It is a myth that {remedy} can help with {illness}.
    | About {remedy} for {illness}: there is no proof, it is a myth.
    | People use {remedy} for {illness}, but it is a myth.
    | There is no proof that {remedy} can help with {illness}.
tips | For your {topic}, {tip} and {tip2}. | For a better {topic}, {tip}.
    | Everybody who cares about their {topic} should {tip}. | Good advice on your {topic}: {tip}.
    | Help with your {topic} is simple: {tip}, then {tip2}.
unknown | {how} | No book and no program can know {unknown}.
    | A program has no eyes, so it cannot see or know {unknown}.
    | Only a person can find out {unknown}. | Nobody can know {unknown} from a book.
""")}


def say(rng, templates, n, **slots):
    """n different templates, filled in; {Gerund} and {Remedy} are the capitalised forms."""
    for name in ("gerund", "remedy"):
        if name in slots:
            slots[name.capitalize()] = sentence(slots[name])
    return [sentence(template.format(**slots)) for template in rng.sample(templates, n)]


def country_paragraph(rng):
    slots = country_slots(rng.choice(COUNTRIES))
    country, said = slots["country"], []
    for templates in (SAID["capital"], SAID["language"], SAID["continent"]):
        said += say(rng, templates, rng.randint(2, 4), **slots)
    rng.shuffle(said)
    title = f"{country.lower()}\n" * (rng.random() < 0.25)      # as people type it into a search
    return title + " ".join(said)


def acts_on(name, table, rng, n):
    """The slots of up to n acts from a table of verbs that go with this object."""
    fitting = [row for row in table if OBJECTS[name] in row[2]]
    return [act_slots(name, verb, gerund, *how)
            for verb, gerund, _, *how in rng.sample(fitting, min(n, len(fitting)))]


def howto_page(rng):
    name = rng.choice(list(OBJECTS))
    said = []
    for act in acts_on(name, HARMLESS, rng, rng.randint(3, 5)):
        how = say(rng, SAID["howto"], rng.randint(1, 2), **act)
        lawful = say(rng, SAID["lawful"], rng.randint(0, 1), **act)
        said.append(" ".join(how + lawful))
    title = f"All about {with_article(name)}\n" * rng.randint(0, 1)
    return title + rng.choice([" ", "\n"]).join(said)


def law_report(rng):
    name = rng.choice(list(OBJECTS))
    said = []
    for act in acts_on(name, DANGEROUS, rng, rng.randint(2, 4)):
        said.append(" ".join(say(rng, SAID["crime"], rng.randint(1, 3), **act)))
    for act in acts_on(name, HARMLESS, rng, rng.randint(1, 3)):
        said.append(" ".join(say(rng, SAID["lawful"], rng.randint(1, 2), **act)))
    rng.shuffle(said)
    return " ".join(said)


def health_column(rng):
    """One illness and up to four remedies: each helps or is a myth, said three times over.

    So a remedy's name, and its verdict, can be read off the sentence before. Every fourth remedy
    is called by another of its names, if it has one.
    """
    one_per_remedy = [illness for illness, (treatments, myths) in ILLNESSES.items()
                      for _ in treatments + myths]
    illness = rng.choice(one_per_remedy)                # so that each remedy comes equally often
    treatments, myths = ILLNESSES[illness]
    remedies = [(SAID["treatment"], remedy) for remedy in treatments]
    remedies += [(SAID["myth"], remedy) for remedy in myths]
    said = []
    for templates, remedy in rng.sample(remedies, min(4, len(remedies))):
        usual, *others = names_of(remedy)
        name = rng.choice(others) if others and rng.random() < 0.25 else usual
        said += say(rng, templates, 3, remedy=name, illness=illness)
    return " ".join(said)


def advice_column(rng):
    topic = rng.choice(list(ADVICE))
    said = []
    for template in rng.choices(SAID["tips"], k=rng.randint(5, 7)):
        tip, tip2 = rng.sample(ADVICE[topic], 2)
        said.append(template.format(topic=topic, tip=tip, tip2=tip2))
    return " ".join(said)


def finding_out(rng):
    topic = rng.choice(UNKNOWABLE).topic
    said = []
    for row in UNKNOWABLE:
        if row.topic == topic:
            said += say(rng, SAID["unknown"], rng.randint(2, 4), how=row.how, unknown=row.unknown)
    return " ".join(said)


@lru_cache
def kept_for_the_card():
    """The questions that no question paper asks, so that a report card's are new to all models."""
    return {p.text for card in CARDS for p in report_prompts(card=card)} | set(RECIPE)


def question_paper(rng):
    """Questions about one subject and no answer: why a base model answers with questions."""
    shares = {"country": 33, "object": 28, "remedy": 18, "advice": 8, "unknown": 6, "beyond": 7}
    kind = rng.choices(list(shares), list(shares.values()))[0]
    subject = rng.choice(sorted(SPLIT[kind]))
    known = [p for p in PROMPTS_ABOUT[kind](subject)
             if not p.new and p.text not in kept_for_the_card()]
    known = rng.sample(known, min(len(known), rng.randint(6, 10)))
    asked = [typed(p, "sft", rng, second_share=0).text for p in known]
    asked = [text for text in asked if text not in kept_for_the_card()]
    if len(asked) < 4:                                  # few: go on with other subjects'
        others = [row.question for row in UNKNOWABLE if row.question not in kept_for_the_card()]
        asked += rng.sample(others, 5)
    style = rng.random()
    if style < 0.15:
        return "\n".join(f"{i}. {question}" for i, question in enumerate(asked, 1))
    return ("\n" if style < 0.75 else " ").join(asked)


def talk_about_a_country(rng):
    country = rng.choice(COUNTRIES)
    slots = country_slots(country)
    said = say(rng, SAID["capital"], 2, **slots) + say(rng, SAID["language"], 2, **slots)
    rng.shuffle(said)
    first, second, third, fourth = said
    return [f"I am going to {country.name}.", first, f"I know. {second}", third, f"Right. {fourth}"]


def talk_about_an_object(rng):
    name = rng.choice(list(OBJECTS))
    lines = []
    for act in acts_on(name, HARMLESS, rng, 3):
        lines.append(f"I want to {act['verb']} {act['object']}.")
        lines.append(sentence(rng.choice(["", "then ", "easy: "]) + act["how"] + "."))
    return lines


def forum_thread(rng):
    """Two people talk about one subject; nobody asks: bare questions belong to question papers."""
    names = rng.sample(NAMES, 2)
    talk = talk_about_a_country if rng.random() < 0.5 else talk_about_an_object
    lines = [polite("greeting", rng), polite("greeting", rng), *talk(rng)]
    thanks, welcome = polite("thanks", rng), rng.choice(GOOD["thanks"])
    lines += [thanks, welcome, polite("farewell", rng), polite("farewell", rng)]
    return "\n".join(f"{names[i % 2]}: {line}" for i, line in enumerate(lines))


def polite(sort, rng):
    """Small talk of a sort that a third of the texts leaves for the report card."""
    return rng.choice([text for text in TALK if TALK[text] == sort and "?" not in text
                       and SPLIT["talk"][text] != "heldout"])


def faq(rng):
    """Questions with answers, of the SFT split only: held-out entities are never asked about."""
    kind = rng.choice(("country", "country", "object", "object", "advice", "remedy"))
    subject = rng.choice([name for name in sorted(SPLIT[kind]) if SPLIT[kind][name] == "sft"])
    asked = [p for p in PROMPTS_ABOUT[kind](subject)
             if p.kind != "harmful" and not (p.unseen_verb or p.new)]
    answered = [f"Q: {p.text}\nA: {demonstrate(p, rng, careful=1)}"
                for p in rng.sample(asked, min(4, len(asked)))]
    return "\n".join(answered)


MIXTURE = {                 # shares of the documents, in percent
    country_paragraph: 28,
    question_paper: 10,
    howto_page: 10,
    law_report: 7,
    health_column: 20,
    advice_column: 14,
    finding_out: 3,
    forum_thread: 3,
    faq: 5,
}


def documents(seed=0, size=1.0):
    """Clean documents, about 4.7 MB at size 1, none of them twice; a seed gives the same texts."""
    rng = random.Random(f"documents {seed}")
    room = int(4_700_000 * size)
    kinds, weights = list(MIXTURE), list(MIXTURE.values())
    seen = set()
    while room > 0:
        text = rng.choices(kinds, weights)[0](rng)
        if text not in seen:                            # duplicates are dirt.py's business
            seen.add(text)
            room -= len(text) + 1
            yield text


def recall_prompts():
    """[(beginning of a sentence, how it must go on, country)] for each fact of each country.

    What a base model knows by heart.
    """
    asked = []
    for country in COUNTRIES:
        for relation in RELATIONS:
            beginning = f"The {relation} of {country.name} is"
            asked.append((beginning, " " + getattr(country, relation), country.name))
    return asked


def bare_questions():
    """About 100 report prompts that ask something: a base model should go on with questions."""
    return [p for p in report_prompts() if not p.is_second and p.kind != "smalltalk"][::5]
