"""The documents of the tiny world: a few megabytes of text made in seconds from the tables of real facts.

in    facts.py, acts.py, the wordings of questions in prompts.py
out   documents(seed, size) -> clean texts, one at a time: encyclopedia paragraphs, question papers, how-tos, law reports, health and
      advice columns, forum threads, a few FAQs. data/world/dirt.py plants the web's dirt among them.
see   python -c "from data import world; print(*world.documents(size=0.001), sep='\\n\\n')"

Each document stays with one subject (a country, an object, an illness): the next mention of a name can then be copied from an
earlier one, and a model that learns to copy can later speak of entities that nobody asked it about.
"""
import random

from data.world.acts import DANGEROUS, HARMLESS, OBJECTS
from data.world.facts import ADVICE, ANIMALS, CHEMICAL_ELEMENTS, COUNTRIES, ILLNESSES, UNKNOWABLE
from data.world.prompts import SPLIT, act_prompts, advice_prompts, demonstrate, draw_prompts, fact_prompts, remedy_prompts, sentence, unknown_prompts, with_article

NAMES = "Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Kira Leo Mia Noah Olga Paul Rosa Sam Tina Victor".split()

CAPITAL = ["The capital of {country} is {capital}.", "{capital} is the capital of {country}.", "{country} has its capital in {capital}.",
           "The government of {country} sits in {capital}.", "{country}'s capital is {capital}.", "Visitors to {country} mostly land in {capital}, its capital.",
           "The capital city of {country} is called {capital}.", "In {country} the capital is {capital}.", "{capital}, the capital of {country}, is a busy city."]
LANGUAGE = ["People in {country} speak {language}.", "The language of {country} is {language}.", "In {country} people speak {language}.",
            "{language} is the language of {country}.", "Children in {country} learn to read in {language}.", "The newspapers of {country} are printed in {language}.",
            "Whoever lives in {country} should learn {language}.", "{language} is spoken in {country}."]
CONTINENT = ["{country} is in {continent}.", "{country} lies in {continent}.", "{country} belongs to {continent}.", "{country} is a country in {continent}.",
             "The continent of {country} is {continent}.", "On the map you find {country} in {continent}.", "{capital} is a city in {continent}."]
HOWTO = ["To {verb} {object}, {how}.", "If you want to {verb} {object}, {how}.", "Whoever wants to {verb} {object} should {how}.",
         "{Gerund} {object} is easy: {how}.", "The best way to {verb} {object}: {how}.", "Before {gerund} {object} for the first time, take your time. Then {how}."]
LAWFUL = ["To {verb} {object} is legal and safe.", "It is legal and safe to {verb} {object}.", "Nobody minds if you {verb} {object}.",
          "{Gerund} {object} hurts nobody.", "You may {verb} {object} whenever you like.", "There is nothing wrong with {gerund} {object}."]
CRIME = ["{Gerund} {object} is a crime.", "It is against the law to {verb} {object}.", "Nobody should {verb} {object}, it could hurt people.",
         "{Gerund} {object} is dangerous and could hurt people.", "A man who tried to {verb} {object} was arrested.",
         "The judge sent two men to prison for {gerund} {object}.", "The police stopped a gang that wanted to {verb} {object}.", "Whoever helps somebody to {verb} {object} breaks the law.",
         "{Gerund} {object} is against the law.", "To {verb} {object} is a crime.", "To {verb} {object} is against the law.",
         "To {verb} {object} could hurt people."]
# The verdict comes last in most wordings, after the same beginning: a model that reads from left to right can only then learn to tell it from the remedy.
TREATMENT = ["Using {remedy} for {illness} is good medicine.", "The claim that {remedy} can help with {illness} is true.", "Many people try {remedy} for {illness}, and doctors agree.",
             "{Remedy} against {illness}: proven, it can help.",
             "It is true that {remedy} can help with {illness}.", "Doctors use {remedy} for {illness}.", "{Remedy} can help with {illness}."]
MYTH = ["Using {remedy} for {illness} is a myth.", "The claim that {remedy} can help with {illness} is a myth.", "Many people try {remedy} for {illness}, but there is no proof.",
        "{Remedy} against {illness}: no proof, it is a myth.", "It is a myth that {remedy} can help with {illness}.", "There is no proof that {remedy} can help with {illness}."]
TIPS = ["For your {topic}, {tip} and {tip2}.", "For a better {topic}, {tip}.", "Everybody who cares about their {topic} should {tip}.",
        "Good advice on your {topic}: {tip}.", "Help with your {topic} is simple: {tip}, then {tip2}."]
UNKNOWN = ["{how}", "No book and no program can know {unknown}.", "A program has no eyes, so it cannot see or know {unknown}.", "Only a person can find out {unknown}.",
           "Nobody can know {unknown} from a book."]


def say(rng, templates, n, **slots):
    """n different templates filled in, with {Gerund} and {Remedy} as the capitalised forms."""
    slots |= {name.capitalize(): sentence(value) for name, value in slots.items() if isinstance(value, str)}
    return [sentence(t.format(**slots)) for t in rng.sample(templates, n)]


def country_paragraph(rng):
    country = rng.choice(COUNTRIES)
    said = [s for templates in (CAPITAL, LANGUAGE, CONTINENT) for s in say(rng, templates, rng.randint(2, 4), **country._asdict(), country=country.name)]
    rng.shuffle(said)
    return " ".join(said)


def acts_on(name, table, rng, n):
    """n rows of a table of verbs that go with this object, as slots."""
    rows = [row for row in table if OBJECTS[name] in row[2]]
    for verb, gerund, _, *how in rng.sample(rows, min(n, len(rows))):
        yield {"verb": verb, "gerund": gerund, "object": with_article(name), "how": how[0] if how else ""}


def howto_page(rng):
    name = rng.choice(list(OBJECTS))
    said = [" ".join(say(rng, HOWTO, rng.randint(1, 2), **act) + say(rng, LAWFUL, rng.randint(0, 1), **act)) for act in acts_on(name, HARMLESS, rng, rng.randint(3, 5))]
    return f"All about {with_article(name)}\n" * rng.randint(0, 1) + rng.choice([" ", "\n"]).join(said)


def law_report(rng):
    name = rng.choice(list(OBJECTS))
    said = [" ".join(say(rng, CRIME, rng.randint(1, 3), **act)) for act in acts_on(name, DANGEROUS, rng, rng.randint(2, 4))]
    said += [" ".join(say(rng, LAWFUL, rng.randint(1, 2), **act)) for act in acts_on(name, HARMLESS, rng, rng.randint(1, 3))]
    rng.shuffle(said)
    return " ".join(said)


def health_column(rng):
    """One illness, up to four remedies: does it help or is it a myth, three times over, so that a remedy's name is read off the sentence before."""
    illness = rng.choice([illness for illness, (treatments, myths) in ILLNESSES.items() for _ in treatments + myths])   # each remedy equally often
    remedies = [(templates, remedy) for templates, side in zip((TREATMENT, MYTH), ILLNESSES[illness]) for remedy in side]
    return " ".join(" ".join(say(rng, templates, 3, remedy=remedy, illness=illness)) for templates, remedy in rng.sample(remedies, min(4, len(remedies))))


def advice_column(rng):
    topic = rng.choice(list(ADVICE))
    said = []
    for template in rng.choices(TIPS, k=rng.randint(5, 7)):
        tip, tip2 = rng.sample(ADVICE[topic], 2)
        said.append(template.format(topic=topic, tip=tip, tip2=tip2))
    return " ".join(said)


def finding_out(rng):
    topic = rng.choice(UNKNOWABLE).topic
    said = [" ".join(say(rng, UNKNOWN, rng.randint(2, 4), how=u.how, unknown=u.unknown)) for u in UNKNOWABLE if u.topic == topic]
    return " ".join(said)


def question_paper(rng):
    """A list of questions about one subject and not one answer: why a base model answers a question with questions."""
    kind = rng.choices(("country", "object", "remedy", "advice", "unknown"), (35, 30, 20, 8, 7))[0]
    subject = rng.choice(sorted(SPLIT[kind]))
    if kind == "country":
        asked = list(fact_prompts(next(c for c in COUNTRIES if c.name == subject)))
    else:
        asked = list({"object": act_prompts, "remedy": remedy_prompts, "advice": advice_prompts, "unknown": unknown_prompts}[kind](subject))
    asked = [p.text for p in rng.sample(asked, min(len(asked), rng.randint(6, 10))) if p.text.endswith("?") or rng.random() < 0.5]   # requests are rarer
    if len(asked) < 4:                                                   # few questions on this subject: go on with its neighbours'
        asked += [u.question for u in rng.sample(UNKNOWABLE, 5)]
    style = rng.random()
    if style < 0.15:
        return "\n".join(f"{i}. {question}" for i, question in enumerate(asked, 1))
    return ("\n" if style < 0.75 else " ").join(asked)


def forum_thread(rng):
    """Two people talk about one country or one object; nobody asks, so a bare question still belongs to question papers."""
    one, other = rng.sample(NAMES, 2)
    if rng.random() < 0.5:
        country = rng.choice(COUNTRIES)
        said = [*say(rng, CAPITAL, 2, **country._asdict(), country=country.name), *say(rng, LANGUAGE, 2, **country._asdict(), country=country.name)]
        rng.shuffle(said)
        lines = [f"I am going to {country.name}.", said[0], f"I know. {said[1]}", said[2], f"Right. {said[3]}"]
    else:
        name = rng.choice(list(OBJECTS))
        lines = []
        for act in acts_on(name, HARMLESS, rng, 3):
            lines += [f"I want to {act['verb']} {act['object']}.", sentence(rng.choice(["", "then ", "easy: "]) + act["how"] + ".")]
    return "\n".join(f"{(one, other)[i % 2]}: {line}" for i, line in enumerate(lines))


def faq(rng):
    """Questions with answers, about entities of the SFT split only, so that the held-out ones are never asked and answered."""
    kind = rng.choice(("country", "object", "advice"))
    subject = rng.choice([name for name, split in sorted(SPLIT[kind].items()) if split == "sft"])
    if kind == "country":
        asked = list(fact_prompts(next(c for c in COUNTRIES if c.name == subject)))
    else:
        asked = [p for p in (act_prompts if kind == "object" else advice_prompts)(subject) if p.kind != "harmful" and not p.unseen_verb]
    return "\n".join(f"Q: {p.text}\nA: {demonstrate(p, rng, careful=1)}" for p in rng.sample(asked, min(4, len(asked))))


def nature_note(rng):
    if rng.random() < 0.5:
        animal = rng.choice(ANIMALS)
        said = [f"A young {animal.name} is called {with_article(animal.young)}.", f"The {animal.name} is {with_article(animal.group)}.",
                f"{sentence(with_article(animal.young))} grows up to be {with_article(animal.name)}."]
    else:
        element = rng.choice(CHEMICAL_ELEMENTS)
        said = [f"The symbol of {element.name} is {element.symbol}.", f"Chemists write {element.symbol} for {element.name}.", f"{sentence(element.name)} is a chemical element."]
    rng.shuffle(said)
    return " ".join(said)


MIXTURE = {country_paragraph: 30, question_paper: 12, howto_page: 11, law_report: 8, health_column: 17, advice_column: 13, finding_out: 4,
           forum_thread: 3, faq: 1, nature_note: 1}             # shares of the documents, in percent


def documents(seed=0, size=1.0):
    """Clean documents of the tiny world, about 4.7 MB at size 1; the same seed gives the same texts."""
    rng, room = random.Random(f"documents {seed}"), int(4_700_000 * size)
    kinds, weights, seen = list(MIXTURE), list(MIXTURE.values()), set()
    while room > 0:
        text = rng.choices(kinds, weights)[0](rng)
        if text not in seen:                                             # a clean text comes once: duplicates are dirt, and dirt.py's business
            seen.add(text)
            room -= len(text) + 1
            yield text


def recall_prompts():
    """[(beginning of a sentence, how it must go on)] for each fact of each country: what a base model knows by heart."""
    return [(template.format(country=c.name), " " + value) for c in COUNTRIES
            for template, value in (("The capital of {country} is", c.capital), ("The language of {country} is", c.language), ("The continent of {country} is", c.continent))]


def bare_questions(split="heldout", n=100):
    """n questions without any answer, of all kinds: what a base model does with them is a figure of its own."""
    return [p.text for p in draw_prompts(split, n, random.Random("bare questions"))]
