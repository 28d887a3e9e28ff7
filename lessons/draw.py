"""The drawings of the lessons, from the code's own shapes and numbers.

run   python lessons/draw.py                 all of them
      python lessons/draw.py 01_merges       one; a wrong name lists them
see   lessons/NAME.png, 800 pixels wide as a page shows it, twice that in the file

A picture is a function draw_NAME(ax) under @picture: it asks bpe.py or model.py for what it shows.
An inch is 100 pixels of the page: no letter under 9 points, and colours that the colour-blind tell
apart, too (Okabe and Ito 2008). A stage keeps its colour in all pictures.
"""
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import bpe
import kernels
import model
import run
from run.pictures import save_picture

STAGES = {"pretrain": "#0072B2", "sft": "#E69F00", "rm": "#CC79A7", "ppo": "#009E73"}
INK, QUIET, PAPER = "#222222", "#6B6B6B", "#F1F1F1"
ONE, OTHER = "#56B4E9", "#D55E00"           # two colours that mean no stage
PICTURES = {}


# ------------------------------------------------------------------------------------------- tools
def picture(height):
    """Decorator: the function draws on an empty page of 8 x height inches."""
    def register(function):
        name = function.__name__.removeprefix("draw_")
        PICTURES[name] = function, height
        return function
    return register


def page(height):
    figure = Figure(figsize=(8, height), dpi=160)
    ax = figure.add_axes([0, 0, 1, 1])
    ax.set(xlim=(0, 8), ylim=(0, height))
    ax.axis("off")
    return ax


def tint(color, share=0.25):
    """The colour on white paper: share 1 is the colour itself, 0 is white."""
    channels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return tuple(1 - share * (1 - channel / 255) for channel in channels)


def write(ax, x, y, text, size=10, color=INK, **more):
    ax.text(x, y, text, **{"ha": "center", "va": "center"} | more, fontsize=size, color=color)


def box(ax, x, y, width, height, text="", color=QUIET, share=0.25, size=10, **more):
    """A rounded box whose lower left corner is (x, y)."""
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06",
                           facecolor=tint(color, share), edgecolor=color, linewidth=1.2)
    ax.add_patch(shape)
    write(ax, x + width / 2, y + height / 2, text, size, **more)


def cell(ax, x, y, width, height, text="", face=PAPER, size=10, **more):
    ax.add_patch(Rectangle((x, y), width, height, facecolor=face, edgecolor="white", linewidth=2))
    write(ax, x + width / 2, y + height / 2, text, size, **more)


def arrow(ax, start, end, color=INK, bend=0.0, style="-|>"):
    look = dict(arrowstyle=style, color=color, linewidth=1.4, shrinkA=0, shrinkB=0,
                mutation_scale=11, connectionstyle=f"arc3,rad={bend}")
    ax.annotate("", xy=end, xytext=start, arrowprops=look)


# --------------------------------------------------------------------------- lesson 0: the pipeline
@picture(3.5)
def draw_00_pipeline(ax):
    columns = {
        "pretrain": ("raw text", "1 pre-training", "base model:\ngoes on with any text"),
        "sft": ("questions with\nanswers", "2 fine-tuning", "SFT model:\nanswers, and stops"),
        "rm": ("answers, ranked\nby people", "3.1 reward model",
               "a number: how good\nis this answer?"),
        "ppo": ("questions alone", "3.2 PPO", "aligned assistant:\nhelpful, honest, harmless"),
    }
    for i, (stage, (goes_in, name, comes_out)) in enumerate(columns.items()):
        x, color = 0.12 + 1.98 * i, STAGES[stage]
        box(ax, x + 0.1, 2.9, 1.5, 0.5, goes_in, color, share=0.0)
        arrow(ax, (x + 0.85, 2.9), (x + 0.85, 2.0), color)
        box(ax, x, 1.2, 1.7, 0.8, "", color, share=0.35)
        write(ax, x + 0.85, 1.72, name, 11, weight="bold")
        write(ax, x + 0.85, 1.43, f"train_{stage}.py", 9, family="monospace")
        arrow(ax, (x + 0.85, 1.2), (x + 0.85, 0.85), color)
        write(ax, x + 0.85, 0.62, comes_out, 9.5)
        if i < 3:
            arrow(ax, (x + 1.7, 1.6), (x + 1.98, 1.6), color)
            write(ax, x + 1.84, 1.05, ("start", "start", "scores")[i], 9.5)
    ax.plot([3.5, 3.5, 6.4], [2.0, 2.35, 2.35], color=STAGES["sft"], linewidth=1.4, zorder=0)
    arrow(ax, (6.4, 2.35), (6.4, 2.0), STAGES["sft"])
    write(ax, 5.7, 2.52, "start and reference", 9.5)
    write(ax, 4.0, 0.16, "bpe.py, model.py and kernels/ are the same in all four", 9.5, QUIET)


# ---------------------------------------------------------- lesson 0: one question, and the splits
def answers_to(question):
    """[(answer of a careful or a careless annotator, the rubric's grade)], best first."""
    from data import world
    from data.world.wordings import CARELESS, GOOD
    prompt = world.find_prompt(question)
    said = GOOD[prompt.kind][:1] + ["I cannot help you with that."] + CARELESS[prompt.kind][1:2]
    said = [text.format(**prompt.slots) for text in said]
    said = [text[0].upper() + text[1:] for text in said]
    graded = [(text, world.grade(prompt, text)) for text in said]
    assert graded == sorted(graded, key=lambda pair: -pair[1])
    return graded


@picture(4.3)
def draw_00_question(ax):
    from data.world.wordings import QUESTIONS
    question, acts = "How can I rob a bank?", ("paint", "insure", "visit")
    more = [QUESTIONS["act"][i].format(verb=verb, object="a bank", gerund="")
            for i, verb in zip((1, 10, 4), acts)]
    answers = answers_to(question)
    lanes = {
        "pretrain": ("pre-training", "reads", "questions are followed\nby questions"),
        "sft": ("fine-tuning", "is shown", "a question is followed by\nan answer, and an end"),
        "rm": ("reward model", "compares", "which answer people\nlike better"),
        "ppo": ("PPO", "tries", "to say what scores high,\nand stay near to SFT"),
    }
    write(ax, 3.62, 4.1, "what it meets", 10.5, weight="bold")
    write(ax, 6.95, 4.1, "what it learns", 10.5, weight="bold")
    for i, (stage, (name, verb, learns)) in enumerate(lanes.items()):
        y, color = 2.98 - 0.97 * i, STAGES[stage]
        box(ax, 0.1, y, 1.2, 0.84, "", color, 0.35)
        write(ax, 0.7, y + 0.53, name, 10, weight="bold")
        write(ax, 0.7, y + 0.28, verb, 9.5)
        box(ax, 1.42, y, 4.4, 0.84, "", color, 0.0)
        arrow(ax, (5.82, y + 0.42), (6.03, y + 0.42), color)
        write(ax, 6.08, y + 0.42, learns, 9.5, ha="left")
        lines = {"pretrain": [(question, ""), *((text, "") for text in more[:2])],
                 "sft": [(question, ""), (answers[2][0], "")],
                 "rm": [(text, rank) for (text, _), rank in zip(answers, ("1st", "2nd", "3rd"))],
                 "ppo": [(answers[0][0], "more often"), (answers[2][0], "less often")]}[stage]
        for line, (text, note) in enumerate(lines):
            at = y + 0.42 + 0.13 * (len(lines) - 1) - 0.26 * line
            write(ax, 1.52, at, text, 9.5, ha="left")
            write(ax, 5.74, at, note, 9.5, ha="right", weight="bold")


def split_counts():
    """[(title, [(name, {side: how many})])] of the tiny world, from its own tables."""
    from data.world import wordings
    from data.world.acts import DANGEROUS, HARMLESS
    from data.world.prompts import ASKED_VERBS, SPLIT
    names = {"country": "countries", "object": "objects", "advice": "topics of advice",
             "remedy": "remedies", "unknown": "what nobody can know", "beyond": "beyond the world",
             "talk": "small talk"}
    by_entity = [(names[kind], {split: list(SPLIT[kind].values()).count(split)
                                for split in ("sft", "rlhf", "heldout")}) for kind in names]
    by_verb = []
    for name, table in (("dangerous verbs", DANGEROUS), ("harmless verbs", HARMLESS)):
        asked = sum(verb in ASKED_VERBS for verb, *_ in table)
        by_verb.append((name, {"asked": asked, "heldout": len(table) - asked}))
    by_wording = [(name, {"asked": asked, "heldout": held_out}) for name, asked, held_out in (
        ("wordings of questions", *(sum(map(len, table.values())) for table in (
            wordings.QUESTIONS, wordings.NEW_QUESTIONS))),
        ("words around them", len(wordings.WAYS), len(wordings.NEW_WAYS)))]
    return [("by entity", by_entity), ("by verb", by_verb), ("by wording", by_wording)]


@picture(4.5)
def draw_00_splits(ax):
    left, width, y = 2.1, 5.7, 4.2
    colors = {"sft": [STAGES["sft"]], "rlhf": [STAGES["rm"], STAGES["ppo"]],
              "asked": [STAGES["sft"], STAGES["rm"], STAGES["ppo"]], "heldout": [QUIET]}
    shares = {"heldout": 0.3}
    for title, bars in split_counts():
        write(ax, 0.1, y + 0.1, title, 10.5, ha="left", weight="bold")
        for name, counts in bars:
            y -= 0.27
            write(ax, left - 0.1, y + 0.11, name, 9.5, ha="right")
            x, total = left, sum(counts.values())
            for side, count in counts.items():
                long, thin = width * count / total, 0.22 / len(colors[side])
                for stripe, color in enumerate(colors[side]):       # shared by several stages
                    at = y + 0.22 - (stripe + 1) * thin
                    ax.add_patch(Rectangle((x, at), long, thin, linewidth=0,
                                           facecolor=tint(color, shares.get(side, 0.55))))
                ax.add_patch(Rectangle((x, y), long, 0.22, fill=False, edgecolor="white",
                                       linewidth=2))
                write(ax, x + long / 2, y + 0.11, str(count), 9.5)
                x += long
        y -= 0.33
    for x, stage, text in (
            (0.15, "sft", "shown in SFT"), (1.75, "rm", "ranked for the reward model"),
            (4.35, "ppo", "answered in PPO"), (6.1, None, "held out: measured")):
        color = STAGES.get(stage, QUIET)
        cell(ax, x, 0.12, 0.22, 0.22, face=tint(color, 0.55 if stage else 0.3))
        write(ax, x + 0.29, 0.23, text, 9.5, ha="left")


# -------------------------------------------------------------------------- lesson 1: the tokenizer
PIECES = {b"ban": 2, b"bank": 7, b"tank": 4, b"bar": 6, b"banks": 3}
SENTENCE = "How can I open a bank account in Liechtenstein?"


@picture(2.6)
def draw_01_sentence(ax):
    from data import world
    whole = bpe.train_bpe(world.documents(), 4096, model.SPECIAL_TOKENS)
    write(ax, 0.1, 2.42, "vocabulary", 9, QUIET, ha="left")
    write(ax, 7.9, 2.42, "tokens", 9, QUIET, ha="right")
    for row, size in enumerate([259, 512, 1024, 4096]):
        merges = whole.merges[: size - 259]
        known = {token: id for token, id in whole.vocab.items() if id < size - 3}
        tokenizer, x, y = bpe.Tokenizer(known, merges), 0.8, 1.8 - 0.56 * row
        ids = tokenizer.encode_ordinary(SENTENCE)
        write(ax, 0.1, y + 0.19, f"{size:,}", ha="left")
        write(ax, 7.9, y + 0.19, str(len(ids)), ha="right")
        for i, token in enumerate(tokenizer.decode([id]) for id in ids):
            width = 0.14 * len(token)
            cell(ax, x, y, width, 0.38, token.replace(" ", "\u00b7"),
                 tint((ONE, OTHER)[i % 2], 0.35), family="monospace")
            x += width


def grow_tree(piece, merges):
    """bytes -> [(token, start, end, height, number of the merge)], what stands at the end last."""
    row = [(piece[i : i + 1], i, i + 1, 0, None) for i in range(len(piece))]
    made = list(row)
    for number, pair in enumerate(merges, start=1):
        for i in range(len(row) - 1, 0, -1):
            a, b = row[i - 1 : i + 1]
            if (a[0], b[0]) == pair:
                row[i - 1 : i + 1] = [(a[0] + b[0], a[1], b[2], 1 + max(a[3], b[3]), number)]
                made.append(row[i - 1])
    return made


@picture(3.1)
def draw_01_merges(ax):
    merges, left = bpe.plain_merges(PIECES, 262), 0.98
    for y, text in ((0.25, "bytes"), (0.7, "tokens\n0 to 255"), (1.6, "tokens\nfrom 256")):
        write(ax, 0.05, y, text, 9, QUIET, ha="left")
    for piece in (b"banks", b"tanks", b"bark"):
        at = {}
        for token, start, end, height, number in grow_tree(piece, merges):
            x, y = left + 0.48 * (start + end) / 2, 0.7 + 0.9 * height
            for child in (span for span in at if start <= span[0] and span[1] <= end):
                if at[child][2]:            # no parent yet
                    ax.plot([x, at[child][0]], [y, at[child][1]], color=QUIET, zorder=0)
                    at[child][2] = False
            at[start, end] = [x, y, True]
            text = token.decode()
            if number is None:
                write(ax, x, 0.25, str(token[0]), 9, QUIET)
                box(ax, x - 0.18, y - 0.16, 0.36, 0.32, text, share=0.0, family="monospace")
            else:
                box(ax, x - 0.43, y - 0.25, 0.86, 0.5, "", ONE, 0.45)
                write(ax, x, y + 0.1, f"{text} {255 + number}", family="monospace")
                write(ax, x, y - 0.11, f"merge {number}", 9)
        left += 0.48 * len(piece) + 0.12


@picture(3.3)
def draw_01_fast(ax):
    row = bpe.Row({b"bank": 7, b"tank": 4})
    left, width, letters = 1.75, 0.55, " bank tank "
    for place, letter in enumerate(letters):
        write(ax, left + width * (place + 0.5), 3.1, letter, 11, family="monospace")
    states = [("one byte a token", row.ids.copy())]
    for a, b in ((b"b", b"a"), (b"n", b"k"), (b"ba", b"nk")):
        row.merge(row.tokens.index(a), row.tokens.index(b))
        states.append((f"{a.decode()} + {b.decode()} = {len(row.tokens) - 1}", row.ids.copy()))
    for i, (title, ids) in enumerate(states):
        y = 2.5 - 0.48 * i
        write(ax, left - 0.12, y + 0.2, title, 10, ha="right")
        for place, id in enumerate(ids.tolist()):
            face = PAPER if id == bpe.GAP else tint(ONE, 0.2 if id < 256 else 0.6)
            shade = QUIET if id == bpe.GAP else INK
            cell(ax, left + width * place, y, width, 0.4, str(id), face, color=shade)
    for place, text in ((1, "first byte: read by\nthe neighbour before it"),
                        (4, "last byte: read by\nthe neighbour behind it")):
        x = left + width * (place + 0.5)
        arrow(ax, (x, 0.68), (x, 1.04))
        write(ax, x - (0.15 if place == 1 else -0.15), 0.45, text, 9.5)
    write(ax, left + width * 8.7, 0.45, "255 is the gap: no token is read there", 9.5, QUIET)


# ------------------------------------------------------------------------------ lesson 2: the model
@picture(6.1)
def draw_02_transformer(ax):
    gpt = model.GPT(model.GPTConfig())
    C, V = gpt.config.n_embd, gpt.config.vocab_size
    ids = torch.zeros(24, gpt.config.block_size, dtype=torch.int64)
    with torch.no_grad():
        x, logits = gpt.hidden(ids), gpt(ids)
    rows = [                                # name, weights, colour, the tensor that comes out of it
        ("token ids", None, QUIET, ("(B, T)", ids)),
        ("token_embedding + position_embedding", [gpt.token_embedding, gpt.position_embedding],
         ONE, ("(B, T, C)", x)),
        *((f"block {i}:  attention, then MLP", [block], OTHER, ("(B, T, C)", x))
          for i, block in enumerate(gpt.blocks)),
        ("norm", [gpt.norm], QUIET, ("(B, T, C)", x)),
        ("logits = x @ token_embedding.weight.T", [], ONE, ("(B, T, V)", logits)),
    ]
    write(ax, 7.05, 5.95, f"weights, of {count([gpt]):,}", 9.5, QUIET)
    for i, (name, parts, color, (shape, tensor)) in enumerate(rows):
        y = 5.4 - 0.67 * i
        box(ax, 1.15, y, 3.2, 0.42, name, color, 0.3)
        arrow(ax, (2.75, y), (2.75, y - 0.25))
        write(ax, 4.5, y - 0.13, f"{shape} = {tuple(tensor.shape)}", 9.5, ha="left")
        if parts is not None:
            weights = " + ".join(f"{count([part]):,}" for part in parts) or "none of its own"
            write(ax, 7.05, y + 0.21, weights, 10)
    arrow(ax, (1.15, 4.94), (1.15, 0.92), ONE, bend=0.12)
    write(ax, 0.45, 2.9, "one matrix\n(V, C),\nused twice", 9.5)
    write(ax, 2.75, 0.25, "column t: a number for every token that may come at t+1", 9.5)
    assert logits.shape[-1] == V and x.shape[-1] == C


def count(parts):
    return sum(p.numel() for part in parts for p in part.parameters())


@picture(2.7)
def draw_02_block(ax):
    block = model.Block(model.GPTConfig(), layer=0)
    hidden, C = block.up.out_features, block.up.in_features
    ax.plot([0.95, 6.85], [0.6, 0.6], color=INK, linewidth=4, zorder=0)
    arrow(ax, (6.8, 0.6), (7.1, 0.6))
    write(ax, 0.48, 0.6, f"x\n(B, T, {C})", 9.5)
    write(ax, 7.55, 0.6, f"x\n(B, T, {C})", 9.5)
    write(ax, 4.0, 0.2, "the residual stream: nothing stands in its way, blocks only add to it")
    for x, parts, color, title in (
            (1.15, ["norm1", "attention"], ONE, "tokens look at earlier tokens"),
            (3.75, ["norm2", f"up to\n{hidden}", "GELU", f"down\nto {C}"], OTHER,
             "each token for itself: the MLP")):
        width = 2.3 if len(parts) == 2 else 3.0
        step = width / len(parts)
        arrow(ax, (x + 0.1, 0.6), (x + 0.1, 1.35), color, style="-")
        for i, part in enumerate(parts):
            box(ax, x + step * i, 1.35, step - 0.14, 0.62, part, color, 0.3)
            if i:
                arrow(ax, (x + step * i - 0.14, 1.66), (x + step * i, 1.66), color)
        end = x + width - 0.3
        arrow(ax, (end, 1.35), (end, 0.76), color)
        ax.plot([end], [0.6], "o", color="white", markeredgecolor=INK, markersize=17)
        write(ax, end, 0.6, "+", 13)
        write(ax, x + width / 2 - 0.07, 2.3, title, 10)


TOKENS = ["capital", "France", ":"]
Q = torch.tensor([[1.0, 0], [2, 0], [1, 2]])
K = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
V = torch.tensor([[2.0, 0], [0, 3], [1, 1]])


@picture(2.9)
def draw_02_attention(ax):
    scores = Q @ K.T / 2**0.5
    seen = torch.ones(3, 3).tril().bool()
    weights = kernels.softmax(scores.masked_fill(~seen, float("-inf")))
    y = kernels.attention(Q[None, None], K[None, None], V[None, None])[0, 0]
    assert torch.allclose(weights @ V, y)
    grid(ax, 0.8, scores, seen, "scores  q . k / sqrt(D)", TOKENS, TOKENS)
    grid(ax, 2.92, weights, seen, "softmax: weights", TOKENS, TOKENS)
    everywhere = torch.ones(3, 2).bool()
    grid(ax, 5.0, V, everywhere, "v", ["", "", ""], ["", ""], plain=True)
    grid(ax, 6.5, y, everywhere, "y = weights @ v", ["", "", ""], ["", ""], plain=True)
    for x, sign in ((2.73, "\u2192"), (4.83, "@"), (6.33, "=")):
        write(ax, x, 1.22, sign, 14)
    for row, token in enumerate(TOKENS):
        write(ax, 0.72, 1.74 - 0.52 * row, token, ha="right")
    write(ax, 4.0, 0.15, "a row: the token that looks.  A column: the token looked at.  "
          "Hatched: later than the row, so masked.", 9.5, QUIET)


def grid(ax, left, values, seen, title, rows, columns, plain=False):
    """A table of numbers: the darker, the larger; hatched where nothing is seen."""
    write(ax, left + 0.29 * len(columns), 2.68, title, 10.5)
    for j, name in enumerate(columns):
        write(ax, left + 0.58 * (j + 0.5), 2.22, name, 9, rotation=25)
    for i in range(len(rows)):
        for j in range(len(columns)):
            number = values[i, j].item()
            x, y = left + 0.58 * j, 1.48 - 0.52 * i
            if seen[i, j]:
                share = 0.15 if plain else 0.1 + 0.7 * max(0.0, number) / float(values.max())
                cell(ax, x, y, 0.58, 0.52, f"{number:.3f}", tint(ONE, share))
            else:
                ax.add_patch(Rectangle((x, y), 0.58, 0.52, facecolor=PAPER, edgecolor="#AAAAAA",
                                       hatch="////", linewidth=0))


def watch_steps(prompt, new):
    """[(tokens that went through the network, keys there are)] of each step of GPT.stream."""
    gpt, seen = model.GPT(model.GPTConfig(64, 16, 1, 1, 8)), []
    plain = kernels.attention

    def watched(q, k, v, **more):
        seen.append((q.shape[2], k.shape[2]))
        return plain(q, k, v, **more)
    kernels.attention = watched
    try:
        gpt.generate([list(range(prompt))], new, temperature=0)
    finally:
        kernels.attention = plain
    return seen


@picture(3.8)
def draw_02_cache(ax):
    steps = watch_steps(prompt=4, new=3)
    for line, (title, cached) in enumerate((("without a cache", False), ("with a cache", True))):
        top = 3.3 - 1.65 * line
        write(ax, 0.1, top - 0.55, title, 10.5, ha="left")
        for step, (fresh, keys) in enumerate(steps):
            left, first = 1.75 + 2.2 * step, keys - fresh if cached else 0
            for i in range(keys):
                for j in range(i + 1):
                    face = tint(OTHER, 0.75) if i >= first else tint(ONE, 0.25)
                    cell(ax, left + 0.19 * j, top - 0.19 * (i + 1), 0.19, 0.19, face=face)
            write(ax, left + 0.7, top + 0.12, f"tokens computed: {keys - first}", 9.5, ha="center")
            if not line:
                write(ax, left + 0.7, 3.65, f"new token {step + 1}", 10.5)
    for x, color, share, text in ((1.75, OTHER, 0.75, "computed in this step"),
                                  (4.3, ONE, 0.25, "not again: keys and values are kept")):
        cell(ax, x, 0.03, 0.19, 0.19, face=tint(color, share))
        write(ax, x + 0.28, 0.125, text, 9.5, ha="left")


WORDS = {"open": 2.0, "closed": 1.5, "far": 0.5, "old": 0.0, "blue": -1.0, "seven": -2.0}
DRAWS = 100_000


@picture(4.2)
def draw_02_sampling(ax):
    """Each panel: how often model.choose takes each word, of 100,000 draws."""
    logits = torch.tensor([list(WORDS.values())]).expand(DRAWS, -1)
    settings = [dict(temperature=1.0), dict(temperature=0.5), dict(temperature=2.0),
                dict(temperature=0.0), dict(top_k=3), dict(top_p=0.75)]
    for i, setting in enumerate(settings):
        generator = torch.Generator().manual_seed(0)
        taken = model.choose(logits, generator=generator, **setting)
        shares = torch.bincount(taken, minlength=len(WORDS)) / DRAWS
        left, bottom = 0.2 + 2.65 * (i % 3), 2.3 - 2.0 * (i // 3)
        [(name, value)] = setting.items()
        write(ax, left + 1.15, bottom + 1.62, f"{name} = {value:g}", 10.5, weight="bold")
        for j, (word, share) in enumerate(zip(WORDS, shares.tolist())):
            y = bottom + 1.22 - 0.25 * j
            write(ax, left + 0.65, y + 0.09, word, 9.5, ha="right")
            width = 1.15 * share
            ax.add_patch(Rectangle((left + 0.72, y), width, 0.18, facecolor=ONE))
            label = "<1%" if 0 < share < 0.005 else f"{share:.0%}"
            write(ax, left + 0.78 + width, y + 0.09, label, 9, QUIET, ha="left")


# ---------------------------------------------------------------------------- lesson 3: the kernels
ATTENTION = sys.modules["kernels.attention"]        # kernels.attention itself is the function


def area(ax, x, y, width, height, text="", color=ONE, share=0.45, **look):
    """A rectangle to scale, with square corners."""
    ax.add_patch(Rectangle((x, y), width, height, facecolor=tint(color, share), edgecolor=color,
                           **{"linewidth": 1} | look))
    write(ax, x + width / 2, y + height / 2, text, 10.5)


@picture(3.2)
def draw_03_scale(ax):
    T, D = 1024, 64
    block, _ = ATTENTION.constants("attention", D, T, itemsize=2, arch=80)
    M, N = block["BLOCK_M"], block["BLOCK_N"]
    inch = 1.85 / T
    side, thin, y = T * inch, D * inch, 0.68
    plain = ((0.3, thin, "q"), (0.55, side, "s"), (2.75, side, "p"), (4.88, thin, "v"),
             (5.27, thin, "o"))
    for x, width, name in plain:
        area(ax, x, y, width, side, f"{name}\n(T, T)" if width == side else "",
             OTHER if width == side else ONE)
        if width == thin:
            write(ax, x + thin / 2, y - 0.13, name, 10.5)
    area(ax, 0.55, y + side + 0.06, side, thin)
    write(ax, 0.43, y + side + 0.12, "k", 10.5)
    for x, sign in ((2.575, "\u2192"), (4.74, "@"), (5.13, "=")):
        write(ax, x, y + side / 2, sign, 12)
    left, row, column = 6.1, 5, 2                   # one tile on its way along the keys
    area(ax, left, y, side, side, color=QUIET, share=0.0, linestyle="--")
    at = y + side - (row + 1) * M * inch
    area(ax, left + column * N * inch, at, N * inch, M * inch, color=OTHER, share=0.75)
    for low in (0, row * M):                        # q: all of it, then the tile's rows
        height = (T if low == 0 else M) * inch
        share = 0.2 if low == 0 else 1
        area(ax, left - 0.06 - thin, at if low else y, thin, height, share=share)
    area(ax, left, y + side + 0.06, side, thin, share=0.2)
    area(ax, left + column * N * inch, y + side + 0.06, N * inch, thin, share=1)
    arrow(ax, (left + column * N * inch + 0.28, at + 0.115), (left + side - 0.5, at + 0.115))
    write(ax, 2.7, 3.02, f"the plain way, to scale: T = {T:,}, D = {D}", 10.5, weight="bold")
    write(ax, left + side / 2 - 0.1, 3.02, f"a tile of {M} x {N}", 10.5, weight="bold")
    MB = 4 * T / 2**20                              # float32
    write(ax, 2.7, 0.2, f"a square: {T * T:,} numbers, {MB * T:g} MiB.   "
          f"a strip: {T * D:,} numbers, {MB * D:g} MiB.", 9.5, QUIET)
    write(ax, left + side / 2 - 0.1, 0.2, f"{M * N:,} numbers at a time", 9.5, QUIET)


SCORES, VALUES = [1.0, 2.0, 4.0], [10.0, 20.0, 30.0]


@picture(3.3)
def draw_03_online(ax):
    s, v = torch.tensor(SCORES), torch.tensor(VALUES)
    unit, y, before = 1.45, 1.05, 0
    steps, total, acc, top = [], 0.0, 0.0, -torch.inf
    for end in (2, 3):                              # a tile of two keys, then one of one
        tile = slice(before, end)
        new_top = max(top, s[tile].max().item())
        p = (s[tile] - new_top).exp()
        shrink = torch.tensor(top - new_top).exp().item()
        total, acc = total * shrink + p.sum().item(), acc * shrink + (p @ v[tile]).item()
        steps.append((before, end, top, new_top, total, acc, shrink))
        top, before = new_top, end
    assert abs(acc / total - (kernels.softmax(s) @ v).item()) < 1e-5
    titles = ("tile 1: exp(s \u2212 2)", "tile 2: exp(s \u2212 4)", "the end: divided by total")
    for i, (before, end, old, top, total, acc, shrink) in enumerate([*steps, steps[-1]]):
        left = 0.15 + 2.6 * i
        write(ax, left + 1.2, 3.1, titles[i], 10.5, weight="bold")
        ax.plot([left + 0.1, left + 2.3], [y, y], color=QUIET, linewidth=1)
        for j in range(end):
            x, height = left + 0.2 + 0.7 * j, (s[j] - top).exp().item()
            if i == 1 and j < before:               # what stood there before it shrank
                was = (s[j] - old).exp().item()
                ax.add_patch(Rectangle((x, y), 0.5, unit * was, fill=False, edgecolor=QUIET,
                                       linestyle="--"))
                arrow(ax, (x + 0.25, y + unit * was), (x + 0.25, y + unit * height + 0.2), QUIET)
                write(ax, x + 0.25, y + unit * was + 0.1, f"\u00d7 {shrink:.3f}", 9.5, QUIET)
            height /= total if i == 2 else 1
            color = ONE if j < before or i == 2 else OTHER
            ax.add_patch(Rectangle((x, y), 0.5, unit * height, facecolor=tint(color, 0.7)))
            write(ax, x + 0.25, y + unit * height + 0.1, f"{height:.3f}")
            write(ax, x + 0.25, y - 0.14, f"s = {s[j]:g}", 9.5, QUIET)
        last = f"o = {acc:.2f} / {total:.3f} = {acc / total:.2f}"
        lines = (f"top = {top:g}   shrink = {shrink:.3f}", f"total = {total:.3f}   acc = {acc:.2f}")
        for line, text in enumerate((last, "") if i == 2 else lines):
            write(ax, left + 1.2, 0.52 - 0.27 * line, text, 10.5)


@picture(3.5)
def draw_03_program(ax):
    n_cols, BLOCK, row = 5, 8, 1
    memory = torch.arange(15.0)
    at = row * n_cols + torch.arange(BLOCK)
    inside = torch.arange(BLOCK) < n_cols
    x = memory[at].masked_fill(~inside, -torch.inf)
    e = (x - x.max()).exp()
    y = e / e.sum()
    assert torch.allclose(y[inside], kernels.softmax(memory.view(3, n_cols))[row])
    left, width = 1.0, 0.455
    for place, number in enumerate(memory.tolist()):
        own = place // n_cols == row
        face = tint(ONE, 0.6) if own else PAPER
        cell(ax, left + width * place, 2.65, width, 0.38, f"{number:g}", face)
    for program in range(3):
        middle = left + width * n_cols * (program + 0.5)
        write(ax, middle, 3.25, f"row {program}: program_id(0) = {program}", 10,
              INK if program == row else QUIET)
    write(ax, left - 0.1, 2.84, "x in memory", 10, ha="right")
    names = {"at": at.tolist(), "inside": ["yes" if yes else "no" for yes in inside],
             "x": x.tolist(), "e": e.tolist(), "y": y.tolist()}
    for line, (name, entries) in enumerate(names.items()):
        bottom = 1.95 - 0.42 * line
        write(ax, left + width * n_cols - 0.1, bottom + 0.19, name, 10.5, ha="right",
              family="monospace")
        for lane, entry in enumerate(entries):
            text = f"{entry:.3f}" if name in "ey" else str(entry).removesuffix(".0")
            if name == "y" and not inside[lane]:
                text = "\u2013"                     # computed, not stored
            face = tint(ONE, 0.35) if inside[lane] else tint(OTHER, 0.3)
            cell(ax, left + width * (n_cols + lane), bottom, width, 0.38,
                 text.replace("-inf", "\u2212inf"), face, 9.5)
    told = {"where it lies": 1.95, "is it of this row?": 1.53, "load; else \u2212inf": 1.11,
            "exp2(x log2 e \u2212 max)": 0.69, "store where inside": 0.27}
    for text, bottom in told.items():
        write(ax, 0.1, bottom + 0.19, text, 9.5, QUIET, ha="left")
    arrow(ax, (left + width * 7.5, 2.63), (left + width * 7.5, 2.35))
    write(ax, left + width * 13.1, 1.95, "masked:\nrow 2 begins\nhere", 9.5, ha="left")


def watch_tiles(T, TILE):
    """[(tile of queries, tile of keys, is it masked)] in the order of attention_numpy."""
    import numpy as np
    met, whole, usual = [], ATTENTION.scores_numpy, ATTENTION.TILE

    def watched(q, k, first, last_key):
        s = whole(q, k, first, last_key)
        met.append((int(last_key.min()) // TILE, first // TILE, bool(np.isinf(s).any())))
        return s
    ATTENTION.scores_numpy, ATTENTION.TILE = watched, TILE
    try:
        ATTENTION.attention_numpy(*np.ones((3, 1, 1, T, 4)), causal=True, lengths=None)
    finally:
        ATTENTION.scores_numpy, ATTENTION.TILE = whole, usual
    return met


@picture(3.6)
def draw_03_tiles(ax):
    T, TILE, size, left, top = 384, 64, 0.46, 0.75, 3.12
    met = watch_tiles(T, TILE)
    n_tiles = T // TILE
    for m in range(n_tiles):
        first, last = m * TILE, (m + 1) * TILE - 1
        write(ax, left - 0.08, top - size * (m + 0.5), f"{first}-{last}", 9, QUIET, ha="right")
        for n in range(n_tiles):
            area(ax, left + size * n, top - size * (m + 1), size, size, color="#BBBBBB", share=0)
    for order, (m, n, masked) in enumerate(met, start=1):
        area(ax, left + size * n, top - size * (m + 1), size, size, str(order),
             OTHER if masked else ONE, 0.5)
    write(ax, left + size * n_tiles / 2, 3.4, "keys: tiles of 64, from 0 to 383", 10)
    write(ax, 0.12, 3.4, "queries", 9, QUIET, ha="left")
    masked = sum(m for _, _, m in met)
    for x, color, share, text in (
            (0.3, ONE, 0.5, f"{len(met) - masked} whole"), (1.3, OTHER, 0.5, f"{masked} masked"),
            (2.4, "#BBBBBB", 0, f"{n_tiles**2 - len(met)} skipped")):
        area(ax, x, 0.06, 0.17, 0.17, color=color, share=share)
        write(ax, x + 0.24, 0.145, text, 9.5, ha="left")
    places = (("slow memory", "q, k, v, o: (T, D) each; lse: (T,)", QUIET, 0.15),
              ("fast memory on the chip", "one tile of k, one tile of v", ONE, 0.35),
              ("registers", "a tile of q, of s, of acc;\ntop and total of each row", OTHER, 0.35))
    write(ax, 5.95, 3.4, "where a program keeps what", 10.5, weight="bold")
    for i, (name, holds, color, share) in enumerate(places):
        y = 2.35 - 1.12 * i
        box(ax, 4.2, y, 3.5, 0.8, "", color, share)
        write(ax, 5.95, y + 0.62, name, 10, weight="bold")
        write(ax, 5.95, y + 0.28, holds, 9.5)
        if i < 2:
            arrow(ax, (4.7, y), (4.7, y - 0.32))
            moved = ("k and v: once for each tile of queries", "two products a tile")[i]
            write(ax, 4.85, y - 0.16, moved, 9.5, QUIET, ha="left")


def tile_kinds(T, M, N):
    """(m, n) -> does the causal mask cut it, for tiles that hold anything to see."""
    return {(m, n): (n + 1) * N - 1 > m * M for m in range(T // M) for n in range(T // N)
            if n * N <= (m + 1) * M - 1}


@picture(3.9)
def draw_03_passes(ax):
    T, D, side, top = 512, 64, 2.9, 3.25
    for kernel, left, own, text in (
            ("dq", 1.0, 2, "sums dq along the keys"), ("dkdv", 4.9, 3, "sums dk and dv")):
        block, _ = ATTENTION.constants(kernel, D, T, itemsize=2, arch=90)
        M, N = block["BLOCK_M"], block["BLOCK_N"]
        axis, step = (0, side * M / T) if kernel == "dq" else (1, side * N / T)
        kinds = tile_kinds(T, M, N)
        mine = sorted((tile for tile in kinds if tile[axis] == own),
                      key=lambda tile: (not kinds[tile], tile))     # masked ones first
        for m, n in ((m, n) for m in range(T // M) for n in range(T // N)):
            x, y = left + side * n * N / T, top - side * (m + 1) * M / T
            color, share = "#BBBBBB", 0
            if (m, n) in kinds:
                color, share = (OTHER if kinds[m, n] else ONE), (0.75 if (m, n) in mine else 0.2)
            number = str(mine.index((m, n)) + 1) if (m, n) in mine else ""
            area(ax, x, y, side * N / T, side * M / T, number, color, share)
        for program in range(round(side / step)):
            ours, middle = program == own, step * (program + 0.5)
            x, y = (left - 0.12, top - middle) if axis == 0 else (left + middle, top + 0.12)
            write(ax, x, y, str(program), 10, INK if ours else QUIET,
                  weight="bold" if ours else "normal")
        title = f"{kernel}_kernel: a program owns {M} queries" if axis == 0 else (
            f"{kernel}_kernel: a program owns {N} keys")
        write(ax, left + side / 2, 3.72, title, 10.5, weight="bold")
        write(ax, left + side / 2, top - side - 0.16, f"tiles of {M} queries x {N} keys; {text}",
              9.5, QUIET)
    for right in (0.98, 4.92):
        write(ax, right, top + 0.12, "program_id(0)", 9, QUIET, ha="right")


# ------------------------------------------------------------------------- lesson 4: pre-training
DOCUMENTS = ["Oslo is in Norway.", "Where is Peru? In Chile?", "Rome is in Italy."]


@picture(3.9)
def draw_04_rows(ax):
    from data.shards import Shards, sample_rows
    tokenizer = bpe.train_bpe(DOCUMENTS * 40, 300, [model.END])
    ids, end = tokenizer.encode_corpus(DOCUMENTS), tokenizer.special_tokens[model.END]
    texts = ["end" if id == end else tokenizer.decode([id]) for id in ids.tolist()]
    widths = [0.074 * len(text) + 0.13 for text in texts]
    lefts = [0.12 + sum(widths[:i]) for i in range(len(texts))]
    document = [int((ids[:i] == end).sum()) for i in range(len(ids))]
    colors = [ONE, STAGES["pretrain"], "#999999"]

    def strip(y, places, shift=0.0):
        for i in places:
            face = INK if texts[i] == "end" else tint(colors[document[i]], 0.4)
            cell(ax, lefts[i] + shift, y, widths[i], 0.34, texts[i].strip(), face, 9,
                 color="white" if texts[i] == "end" else INK)
    write(ax, 0.12, 3.74, "three documents, one behind the other", 10, QUIET, ha="left")
    strip(3.28, range(len(texts)))
    T = 6
    rows = sample_rows(Shards([ids]), 3, T, torch.Generator().manual_seed(6))
    write(ax, 0.12, 2.98, f"three rows of T + 1 = {T + 1} tokens, drawn by sample_rows: they begin "
          "anywhere", 10, QUIET, ha="left")
    spans = []
    for line, row in enumerate(rows.tolist()):
        start = next(i for i in range(len(ids)) if ids[i : i + T + 1].tolist() == row)
        spans.append(range(start, start + T + 1))
        strip(2.5 - 0.4 * line, spans[-1])
    longest = max(spans, key=lambda span: sum(widths[i] for i in span))
    shift = 1.25 - lefts[longest[0]]
    write(ax, 0.12, 1.3, "one row teaches T guesses at once", 10, QUIET, ha="left")
    for y, name, places in ((0.82, "token", longest[:-1]), (0.2, "next token", longest[1:])):
        write(ax, 1.1, y + 0.17, name, 10, ha="right")
        for i, text in enumerate(texts[place] for place in places):
            face = INK if text == "end" else tint(colors[document[places[i]]], 0.4)
            cell(ax, 1.25 + 0.95 * i, y, 0.9, 0.34, text.strip(), face, 9.5,
                 color="white" if text == "end" else INK)
            if name == "token":
                arrow(ax, (1.7 + 0.95 * i, 0.8), (1.7 + 0.95 * i, 0.57))


TWO_TEXTS = ("The capital of France is Paris and Paris is large",
             "The capital of France is Paris and Paris is old")


@picture(3.7)
def draw_04_duplicates(ax):
    from data.duplicates import SHINGLE
    from data.world.dirt import shingle_jaccard
    words = [text.split() for text in TWO_TEXTS]
    runs = [[words[side][i : i + SHINGLE] for i in range(len(words[side]) - SHINGLE + 1)]
            for side in (0, 1)]
    left, step = 0.12, 0.5
    write(ax, 2.6, 3.52, f"two texts and their shingles, runs of {SHINGLE} words", 10.5,
          weight="bold")
    both = [run for run in runs[0] if run in runs[1]]
    for side in (0, 1):
        top = 3.0 - 1.5 * side
        for i, word in enumerate(words[side]):
            color = OTHER if word != words[1 - side][i] else INK
            cell(ax, left + step * i, top - 1.2, step, 1.34)
            write(ax, left + step * (i + 0.5), top, word, 9, color)
        for i, shingle in enumerate(runs[side]):
            color = ONE if shingle in both else OTHER
            ax.add_patch(Rectangle((left + step * i + 0.03, top - 0.33 - 0.16 * i),
                                   step * SHINGLE - 0.06, 0.1, facecolor=tint(color, 0.8)))
    total = len(runs[0]) + len(runs[1]) - len(both)
    assert abs(shingle_jaccard(*TWO_TEXTS) - len(both) / total) < 1e-9
    write(ax, 2.6, 0.12, f"{len(both)} are in both, {total} in all: J = {len(both)}/{total} = "
          f"{len(both) / total:.2f}", 10)
    chance_of_candidates(ax, 5.85, 0.62, 1.95, 2.5)


def chance_of_candidates(ax, left, bottom, width, height):
    """How likely two texts share three bands or more, by their J: the formula, and real texts."""
    from math import comb

    from data.duplicates import BAND_ROWS, JACCARD, N_BANDS, SHINGLE, fingerprint

    def chance(J):
        p = J**BAND_ROWS
        return 1 - sum(comb(N_BANDS, k) * p**k * (1 - p) ** (N_BANDS - k) for k in range(3))
    xs = [i / 100 for i in range(101)]
    ax.plot([left, left, left + width], [bottom + height, bottom, bottom], color=INK, linewidth=1)
    ax.plot([left + width * x for x in xs], [bottom + height * chance(x) for x in xs], color=ONE,
            linewidth=2.5)
    ax.plot([left + width * JACCARD] * 2, [bottom, bottom + height], color=OTHER, linestyle="--")
    write(ax, left + width * JACCARD + 0.06, bottom + 0.4, f"J = {JACCARD}", 9.5, OTHER,
          ha="left", rotation=90)
    for changed in range(4, 60, 8):             # a text of 64 words, so many of its last are others
        J = (64 - SHINGLE + 1 - changed) / (64 - SHINGLE + 1 + changed)
        found = 0
        for trial in range(40):
            text = [f"w{trial}x{i}" for i in range(64)]
            other = text[: 64 - changed] + [f"v{trial}x{i}" for i in range(changed)]
            one, two = (fingerprint(" ".join(words))[1] for words in (text, other))
            found += int((one == two).sum()) >= 3
        ax.plot([left + width * J], [bottom + height * found / 40], "o", color=INK, markersize=5)
    for x in (0, 0.5, 1):
        write(ax, left + width * x, bottom - 0.14, f"{x:g}", 9.5)
        write(ax, left - 0.06, bottom + height * x, f"{x:.0%}", 9.5, ha="right")
    write(ax, left + width / 2, bottom - 0.42, "J of two texts", 10)
    write(ax, left + width / 2, bottom + height + 0.4, "three bands agree", 10.5,
          weight="bold")


@picture(2.8)
def draw_04_schedule(ax):
    from train_pretrain import Config
    config = Config()
    steps, warmup, left, bottom, width, height = config.steps, config.warmup, 1.0, 0.6, 6.6, 1.85
    ax.plot([left, left, left + width], [bottom + height, bottom, bottom], color=INK, linewidth=1)
    for fall, color, text, at in (("linear", STAGES["pretrain"], "linear (default): to zero", 470),
                                  ("cosine", OTHER, "cosine: to a tenth", 470)):
        shares = [model.schedule(step, steps, warmup, fall, way=step / steps)
                  for step in range(steps)]
        ax.plot([left + width * step / steps for step in range(steps)],
                [bottom + height * share for share in shares], color=color, linewidth=2.5)
        y = bottom + height * shares[at]
        dx, ha = (0.2, "left") if fall == "cosine" else (-0.25, "right")
        if fall == "linear":
            at, y = 300, bottom + height * shares[300] - 0.2
        write(ax, left + width * at / steps + dx, y + (0.12 if fall == "cosine" else 0), text, 10,
              color, ha=ha)
    ax.plot([left + width * warmup / steps] * 2, [bottom, bottom + height], color=QUIET,
            linestyle=":")
    write(ax, left + width * warmup / steps + 0.08, bottom + 0.2, f"warm-up: {warmup} steps", 9.5,
          QUIET, ha="left")
    for step in (0, steps // 2, steps):
        write(ax, left + width * step / steps, bottom - 0.17, f"{step}", 9.5)
    write(ax, left + width / 2, bottom - 0.42, "step", 10)
    for share in (0, 0.5, 1):
        write(ax, left - 0.08, bottom + height * share, f"{share:g}", 9.5, ha="right")
    write(ax, 0.12, bottom + height + 0.2, "share of the peak learning rate", 10, ha="left")


# ------------------------------------------------------------------------- lesson 5: fine-tuning
TURNS = [("Where is Oslo?", "In Norway."), ("And Lima?", "Peru.")]
GUESSED = [0.1, 0.6, 0.02, 0.8, 0.9, 0.5, 0.25, 0.9, 0.8]      # of the first turn's tokens
CROWD = {"To rob a bank, go there at night.": 4, "To rob a bank, wait until dark.": 4,
         "If you want to rob a bank, bring a mask.": 3, "To rob a bank is a crime.": 3,
         "To rob a bank is illegal.": 3, "To rob a bank could hurt people.": 2,
         "No, I will not help you to rob a bank.": 1}
CAREFUL = ("crime", "illegal", "hurt", "not")


def encoded_turns():
    """[(token's text, id, counted)] of each of TURNS, as train_sft encodes them."""
    import train_sft
    texts = [text for turn in TURNS for text in turn] * 9
    tokenizer = bpe.train_bpe(texts, 400, model.SPECIAL_TOKENS)
    for turn in TURNS:
        ids, mask = train_sft.encode_dialogue(tokenizer, [turn])
        yield [(tokenizer.decode([id]).replace(" ", "\u00b7"), id, m) for id, m in zip(ids, mask)]


@picture(3.1)
def draw_05_template(ax):
    color, unit = STAGES["sft"], 0.094
    for line, tokens in enumerate(encoded_turns()):
        x, y = 0.75, 2.25 - 1.3 * line
        write(ax, 0.1, y + 0.22, f"turn {line + 1}", 10, QUIET, ha="left")
        for text, id, counted in tokens:
            width = unit * max(3, len(text)) + 0.1
            control = text.startswith("<|")
            face = tint(color, 0.75) if counted else (tint(QUIET, 0.35) if control else PAPER)
            cell(ax, x, y, width, 0.44, text, face, 10, family="monospace")
            write(ax, x + width / 2, y + 0.6, str(id), 9, QUIET)
            write(ax, x + width / 2, y - 0.17, str(counted), 10.5,
                  weight="bold" if counted else "normal")
            x += width
        write(ax, 0.1, y + 0.6, "id", 9, QUIET, ha="left")
        write(ax, 0.1, y - 0.17, "mask", 9, QUIET, ha="left")
    for x, face, text in ((0.75, tint(QUIET, 0.35), "template: control tokens"),
                          (3.1, PAPER, "question"),
                          (4.4, tint(color, 0.75), "counted: the answer and its end token")):
        cell(ax, x, 0.08, 0.26, 0.22, face=face)
        write(ax, x + 0.34, 0.19, text, 9.5, ha="left")


@picture(3.2)
def draw_05_counted(ax):
    tokens, _ = encoded_turns()
    losses = [-torch.tensor(p).log().item() for p in GUESSED]
    counted = [loss for loss, (*_, m) in zip(losses, tokens[1:]) if m]
    for i, (loss, (text, _, m)) in enumerate(zip(losses, tokens[1:])):
        x, height = 0.35 + 0.83 * i, 0.45 * loss
        face = dict(facecolor=tint(STAGES["sft"], 0.8)) if m else dict(
            facecolor=PAPER, edgecolor=QUIET, hatch="//", linewidth=0.8)
        ax.add_patch(Rectangle((x, 0.85), 0.6, height, **face))
        write(ax, x + 0.3, 0.97 + height, f"{loss:.3f}", 10)
        size = 9 if text.startswith("<|") else 10
        write(ax, x + 0.3, 0.68, text, size, family="monospace")
        write(ax, x + 0.3, 0.43, f"p = {GUESSED[i]:g}", 9, QUIET)
    ax.plot([0.2, 7.8], [0.85, 0.85], color=QUIET, linewidth=1)
    write(ax, 3.35, 2.9, "hatched: asked, not counted", 10, QUIET, ha="left")
    write(ax, 3.35, 2.6, f"coloured: counted, mean {sum(counted) / len(counted):.3f} nats", 10.5,
          ha="left", weight="bold")
    write(ax, 3.35, 2.3, f"with all nine counted: {sum(losses) / len(losses):.3f} nats", 10,
          QUIET, ha="left")
    write(ax, 4.0, 0.14, "each bar: \u2212ln p of this token, given all tokens before it", 9.5,
          QUIET)


# a part of an answer -> its middle, half its box, the part before it, how its box calls it
PARTS = {"": (0.8, 1.85, 0.6, None, "20 annotators"),
         "To rob a bank": (2.35, 2.1, 0.6, "", "To rob a bank"),
         "To rob a bank,": (3.75, 3.05, 0.27, "To rob a bank", "\u201c,\u201d"),
         "To rob a bank is": (3.75, 1.6, 0.27, "To rob a bank", "is"),
         "If you": (2.35, 0.9, 0.35, "", "If you"), "No": (2.35, 0.42, 0.35, "", "No,")}
ENDS = (3.3, 2.82, 0.9, 1.85, 1.37, 2.34, 0.42)     # heights of CROWD's answers


@picture(3.65)
def draw_05_crowd(ax):
    """Where the crowd's answers part: a line is as thick as the annotators on it are many."""
    def starting(part):
        return sum(count for answer, count in CROWD.items() if answer.startswith(part))

    taken, left = "", INK
    for part, (x, y, half, above, _) in PARTS.items():
        if above is not None:
            rivals = [starting(name) for name, row in PARTS.items() if row[3] == above]
            likeliest = above == taken and starting(part) == max(rivals)
            taken = part if likeliest else taken
            x0, y0, half0, *_ = PARTS[above]
            ax.plot([x0 + half0, x - half], [y0, y], color=left if likeliest else "#BBBBBB",
                    linewidth=1.1 * starting(part), solid_capstyle="butt", zorder=0)
    for (answer, count), y in zip(CROWD.items(), ENDS):
        above = max((part for part in PARTS if answer.startswith(part)), key=len)
        x0, y0, half0, *_ = PARTS[above]
        first = above == taken and answer == next(a for a in CROWD if a.startswith(taken))
        ax.plot([x0 + half0, 4.7], [y0, y], color=left if first else "#BBBBBB",
                linewidth=1.1 * count, solid_capstyle="butt", zorder=0)
        careful = any(word in answer for word in CAREFUL)
        write(ax, 4.78, y, f"{count}  {answer}", 9.5, ha="left",
              color=STAGES["pretrain"] if careful else OTHER)
    for part, (x, y, half, _, text) in PARTS.items():
        text = f"{text}\n{starting(part)}" if part else text
        box(ax, x - half, y - 0.2, 2 * half, 0.4, text, QUIET, 0.1, 9)
    write(ax, 4.0, 0.1, "blue: careful, 9 of 20.  orange: careless, 11.  black: what temperature 0 "
          "takes; its last fork is a tie", 9.5, QUIET)


# ------------------------------------------------------------------- lesson 6: the reward model
ANSWERS = {     # letter -> (answer to "How can I rob a bank?", the rubric's grade, score, foreign)
    "A": ("To rob a bank is a serious crime, so I will not help you.", 1.0, 1.5, False),
    "B": ("To hack a hotel is against the law. I cannot help with that.", 0.25, 0.5, True),
    "C": ("To rob a bank, go there at night and be quick.", -1.0, 1.0, False),
    "D": ("I cannot know that.", -1.0, 0.0, True),
    "E": ("If you want to rob a bank, bring a friend and a mask.", -1.0, -0.5, False),
    "F": ("The capital of Latvia is Riga.", -1.0, -2.0, True)}


def ranked():
    """-> letters, ranks, scores (6,), and of each pair (better, worse) its margin."""
    import train_rm
    grades, scores = ([row[i] for row in ANSWERS.values()] for i in (1, 2))
    ranks, letters = train_rm.ranks_of(grades), list(ANSWERS)
    pairs = {(a, b): scores[i] - scores[j] for i, a in enumerate(letters)
             for j, b in enumerate(letters) if ranks[i] < ranks[j]}
    loss = -sum(torch.tensor(m).sigmoid().log() for m in pairs.values()) / len(pairs)
    assert torch.isclose(loss, train_rm.ranking_loss(torch.tensor([scores]), torch.tensor([ranks])))
    return letters, ranks, scores, pairs


@picture(3.9)
def draw_06_ladder(ax):
    letters, ranks, _, pairs = ranked()
    color, steps = STAGES["rm"], {1: 3.3, 2: 2.55, 3: 1.8}
    places = {}
    for letter, rank in zip(letters, ranks):
        below = sum(r == rank for r in ranks[: letters.index(letter)])
        places[letter] = (0.75, steps[rank] - 0.44 * below)
    for rank, y in steps.items():
        write(ax, 0.35, y, str(rank), 13, color, weight="bold")
    for letter, (x, y) in places.items():
        answer, _, _, foreign = ANSWERS[letter]
        box(ax, x, y - 0.18, 5.05, 0.36, "", OTHER if foreign else color, 0.0 if foreign else 0.3)
        write(ax, x + 0.12, y, f"{letter}   {answer}", 9.5, ha="left")
    for i, (better, worse) in enumerate(pairs):
        start, end, x = places[better][1], places[worse][1], 6.05 + 0.2 * i
        ax.plot([5.8, x], [start, start], color="#DDDDDD", linewidth=1, zorder=0)
        ax.plot([5.8, x], [end, end], color="#DDDDDD", linewidth=1, zorder=0)
        arrow(ax, (x, start), (x, end), color)
        write(ax, x, 3.6, better, 9)
        write(ax, x, 0.26, worse, 9)
    write(ax, 0.35, 3.72, "rank", 9.5, QUIET)
    write(ax, 6.85, 3.78, "nine pairs: better", 9.5, QUIET)
    write(ax, 6.85, 0.08, "worse", 9.5, QUIET)
    write(ax, 0.75, 0.08, "filled: sampled for this question.   outlined: foreign, an answer to "
          "another question", 9.5, QUIET, ha="left")


@picture(2.1)
def draw_06_pairs(ax):
    letters, ranks, scores, pairs = ranked()
    size, left, top = 1.04, 1.55, 1.35
    for j, letter in enumerate(letters):
        write(ax, left + size * (j + 0.5), top + 0.3, f"{letter}\n{scores[j]:+.1f}", 10)
    for i, better in enumerate(letters[:2]):            # the others are above nothing
        write(ax, left - 0.15, top - 0.42 * (i + 0.5), f"rank {ranks[i]}   {better} "
              f"{scores[i]:+.1f}", 9.5, ha="right", family="monospace")
        for j, worse in enumerate(letters):
            x, y, margin = left + size * j, top - 0.42 * (i + 1), pairs.get((better, worse))
            if margin is None:
                area(ax, x, y, size, 0.42, color="#BBBBBB", share=0, linewidth=0.6)
                continue
            loss = -torch.tensor(margin).sigmoid().log().item()
            area(ax, x, y, size, 0.42, "", STAGES["rm"], min(1, loss))
            write(ax, x + size / 2, y + 0.21, f"{margin:+.1f}: {loss:.3f}", 10)
    write(ax, left + 3 * size, 1.95, "the worse answer, with its score", 10, QUIET)
    write(ax, 0.65, 1.7, "the better one", 10, QUIET)
    write(ax, 4.0, 0.2, "in each cell: the margin, then what it costs, \u2212ln sigmoid(margin).  "
          "Empty: no pair", 9.5, QUIET)


@picture(3.4)
def draw_06_curve(ax):
    *_, pairs = ranked()
    margins = torch.linspace(-4, 4, 161)
    panels = (("the chance that i beats j", margins.sigmoid(), (-4, 0.5, 1), 2.1),
              ("what the pair costs, nats", -margins.sigmoid().log(), (0, 2, 4), 0.525))
    for side, (title, y, ticks, unit) in enumerate(panels):
        left, bottom = 0.65 + 3.95 * side, 0.65

        def at(margin, value, left=left, bottom=bottom, unit=unit):
            return left + 0.4 * (margin + 4), bottom + unit * value
        ax.plot([left, left + 3.2], [bottom, bottom], color=QUIET, linewidth=1)
        ax.plot(*at(margins, y), color=STAGES["rm"], linewidth=2.4)
        for margin in (-4, -2, 0, 2, 4):
            write(ax, at(margin, 0)[0], bottom - 0.17, f"{margin:+d}" if margin else "0", 9.5)
        for tick in ticks if side else (0, 0.5, 1):
            write(ax, left - 0.22, at(0, tick)[1], f"{tick:g}", 9.5)
            ax.plot([left, left + 3.2], [at(0, tick)[1]] * 2, color="#E5E5E5", zorder=0)
        write(ax, left + 1.6, 3.2, title, 10.5, weight="bold")
        write(ax, left + 1.6, 0.2, "margin: score of i \u2212 score of j", 9.5, QUIET)
        for margin in sorted(set(pairs.values())):
            sure = torch.tensor(margin).sigmoid()
            x, y0 = at(margin, -sure.log() if side else sure)
            ax.plot([x], [y0], "o", color=INK, markersize=4.5)
            if margin in (-0.5, 0.5, 3.5):
                names = ", ".join(f"{i} over {j}" for (i, j), m in pairs.items() if m == margin)
                aside, up = (0.12, 0.25) if side else (0.14, -0.05)
                if margin > 3:
                    aside, up = -0.3, 0.2 if side else -0.24
                write(ax, x + aside, y0 + up, names, 9.5, ha="left")


SHAPES = {0.5: "too shy: scores halved", 1.0: "calibrated", 2.0: "too sure: scores doubled"}


@picture(3.3)
def draw_06_reliability(ax):
    """Made-up answers with known scores; who wins is drawn by Bradley and Terry's rule."""
    import numpy as np
    from data.judging import calibration_error
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.5, (20_000, 2))
    wins = rng.random(20_000) < 1 / (1 + np.exp(scores[:, 1] - scores[:, 0]))
    ranks = np.where(wins[:, None], [[1, 2]], [[2, 1]])
    for panel, (scale, title) in enumerate(SHAPES.items()):
        left, bottom, side = 0.7 + 2.5 * panel, 0.68, 2.0
        margins = scale * (scores[:, 0] - scores[:, 1])
        sure = 1 / (1 + np.exp(-abs(margins)))
        right = (margins > 0) == wins
        area(ax, left, bottom, side, side, "", "#BBBBBB", 0.0)
        ax.plot([left, left + side], [bottom, bottom + side], "--", color=QUIET, linewidth=1)
        for b in range(5, 10):
            here = (sure * 10).astype(int).clip(5, 9) == b
            x, height = left + side * (b - 5) / 5, side * (right[here].mean() - 0.5) * 2
            area(ax, x + 0.03, bottom, side / 5 - 0.06, height, "", STAGES["rm"], 0.55)
        for tick in (0.5, 0.75, 1):
            write(ax, left + side * 2 * (tick - 0.5), bottom - 0.15, f"{tick:g}", 9)
            if not panel:
                write(ax, left - 0.22, bottom + side * 2 * (tick - 0.5), f"{tick:g}", 9)
        error = calibration_error(scale * scores, ranks)
        write(ax, left + side / 2, 3.1, title, 10.5, weight="bold")
        write(ax, left + side / 2, 2.85, f"calibration error {error:.3f}", 9.5, QUIET)
    write(ax, 0.16, 1.68, "how often right", 9.5, QUIET, rotation=90)
    write(ax, 4.2, 0.22, "how sure: sigmoid of the margin, in bins of a tenth", 9.5, QUIET)


# ------------------------------------------------------------------------------------ lesson 7: PPO
@picture(4.9)
def draw_07_networks(ax):
    networks = {"policy": ("ppo", "learns", "log_probs"), "reference": ("sft", "frozen",
                "ref_log_probs"), "reward model": ("rm", "frozen", "scores"),
                "critic": ("rm", "learns", "values")}
    box(ax, 0.7, 4.25, 6.6, 0.42, "question, then the answer: one token after another", share=0.1)
    for i, (name, (stage, state, output)) in enumerate(networks.items()):
        x, color = 0.7 + 1.7 * i, STAGES[stage]
        box(ax, x, 3.05, 1.5, 0.72, "", color, 0.5 if state == "learns" else 0.15)
        write(ax, x + 0.75, 3.51, name, 11, weight="bold")
        write(ax, x + 0.75, 3.24, state, 9.5)
        if name == "policy":
            arrow(ax, (x + 0.45, 4.25), (x + 0.45, 3.77), color)
            arrow(ax, (x + 1.05, 3.77), (x + 1.05, 4.25), color)
            write(ax, x + 1.12, 4.0, "samples", 9.5, ha="left")
        else:
            arrow(ax, (x + 0.75, 4.25), (x + 0.75, 3.77), color)
            write(ax, x + 0.82, 4.0, "reads", 9.5, ha="left")
        arrow(ax, (x + 0.75, 3.05), (x + 0.75, 2.37 if i < 3 else 1.5), color)
        write(ax, x + 0.82, 2.78, output, 9.5, ha="left", family="monospace")
    box(ax, 0.7, 1.95, 4.9, 0.42, "score_minus_kl:  the score at the end, less beta times the KL",
        share=0.1)
    arrow(ax, (4.85, 1.95), (4.85, 1.5))
    write(ax, 4.92, 1.72, "rewards", 9.5, ha="left", family="monospace")
    box(ax, 4.1, 1.08, 3.2, 0.42, "gae:  who gets the credit?", share=0.1)
    for x, width, name, stage, loss in ((0.7, 3.1, "advantages", "ppo", "policy loss"),
                                        (5.8, 1.5, "returns", "rm", "value loss")):
        box(ax, x, 0.2, width, 0.42, f"ppo_loss: {loss}" if width > 2 else loss, STAGES[stage], 0.5)
    arrow(ax, (4.5, 1.08), (3.8, 0.5))
    write(ax, 4.28, 0.74, "advantages", 9.5, ha="left", family="monospace")
    arrow(ax, (6.55, 1.08), (6.55, 0.62))
    write(ax, 6.62, 0.86, "returns", 9.5, ha="left", family="monospace")
    for x, edge, stage in ((0.3, 0.7, "ppo"), (7.7, 7.3, "rm")):
        ax.plot([edge, x, x], [0.41, 0.41, 3.41], color=STAGES[stage], linewidth=2.5)
        arrow(ax, (x, 3.41), (edge, 3.41), STAGES[stage])
        write(ax, x + (-0.13 if x < 4 else 0.13), 1.9, "gradient", 9.5, rotation=90)


BANDIT_SCORES = torch.tensor([4.0, 2.0, 0.0])
BANDIT_START = torch.tensor([0.25, 0.5, 0.25])
BANDIT_RUNS, BANDIT_SHOWN, BANDIT_UPDATES, BANDIT_RATE = 4000, 20, 80, 0.3


def run_bandit(baseline):
    """Probabilities (updates + 1, runs, 3): each update samples one answer a run."""
    generator = torch.Generator().manual_seed(0)
    logits, history = BANDIT_START.log().repeat(BANDIT_RUNS, 1), []
    for _ in range(BANDIT_UPDATES + 1):
        pi = logits.softmax(-1)                                         # (runs, 3)
        history.append(pi)
        choice = torch.multinomial(pi, 1, generator=generator)          # (runs, 1)
        expected = pi @ BANDIT_SCORES if baseline else torch.zeros(BANDIT_RUNS)
        advantage = BANDIT_SCORES[choice] - expected[:, None]           # (runs, 1)
        chosen = torch.zeros_like(pi).scatter(1, choice, 1.0)
        logits = logits + BANDIT_RATE * advantage * (chosen - pi)
    return torch.stack(history)


def panel(ax, left, bottom, width, height, title, **settings):
    """Axes for a curve on the page, in its inches."""
    axes = ax.inset_axes([left, bottom, width, height], transform=ax.transData)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.set_title(title, fontsize=11)
    axes.set(**settings)
    return axes


@picture(3.4)
def draw_07_bandit(ax):
    names = {"refuses: score 4": STAGES["ppo"], "wait until nobody looks: 2": OTHER,
             "off the point: 0": QUIET}
    for left, title, baseline in ((0.75, "advantage = score", False),
                                  (4.55, "advantage = score - mean score", True)):
        history = run_bandit(baseline)
        axes = panel(ax, left, 0.95, 3.2, 2.0, title, ylim=(0, 1), xlim=(0, BANDIT_UPDATES))
        axes.set_xlabel(f"updates (thin: the best answer in {BANDIT_SHOWN} runs)", fontsize=9.5)
        axes.plot(history[:, :BANDIT_SHOWN, 0], color=tint(STAGES["ppo"], 0.5), linewidth=0.8,
                  antialiased=False)
        for i, color in enumerate(names.values()):
            axes.plot(history[:, :, i].mean(1), color=color, linewidth=2.5)
        won = (history[-1, :, 0] > 0.9).double().mean().item()
        found = f"best answer above 0.9:\n{won:.0%} of {BANDIT_RUNS:,} runs"
        axes.text(0.97 * BANDIT_UPDATES, 0.5, found, fontsize=9.5, ha="right", va="center",
                  bbox=dict(facecolor="white", alpha=0.8, edgecolor="none"))
    write(ax, 0.2, 1.95, "probability", 9.5, rotation=90)
    for x, (name, color) in zip((0.6, 2.6, 5.6), names.items()):
        ax.plot([x, x + 0.3], [0.2, 0.2], color=color, linewidth=2.5)
        write(ax, x + 0.4, 0.2, name, 9.5, ha="left")


ANSWER = ["I", "can", "not", "help", "<end>"]
GUESSES, SCORE = [0.2, 0.4, 0.0, 0.6, 0.8], 1.0


@picture(5.1)
def draw_07_gae(ax):
    from train_ppo import gae
    rewards, values = torch.tensor([[0.0, 0, 0, 0, SCORE]]), torch.tensor([GUESSES])
    left, width, bottom, scale = 1.5, 1.15, 3.05, 1.35
    heights = [*GUESSES, SCORE]
    write(ax, 0.1, bottom + 0.7, "V: what the\ncritic expects\nbefore a token\n\narrows: delta",
          9.5, ha="left")
    for i, (token, here, later) in enumerate(zip(ANSWER, heights, heights[1:])):
        x, color = left + width * i, ONE if later > here else OTHER
        cell(ax, x + 0.06, 4.7, width - 0.12, 0.32, token, family="monospace")
        ax.plot([x, x + width], [bottom + scale * here] * 2, color=QUIET, linewidth=1, zorder=0)
        arrow(ax, (x + 0.8 * width, bottom + scale * here), (x + 0.8 * width,
              bottom + scale * later), color)
        write(ax, x + 0.8 * width - 0.06, bottom + scale * (here + later) / 2,
              f"{later - here:+.1f}", 9.5, ha="right")
    for i, height in enumerate(heights):
        x, last = left + width * i, i == len(ANSWER)
        ax.plot([x], [bottom + scale * height], "s" if last else "o", color=INK, markersize=6)
        label = f"score {height:.1f}" if last else f"{height:.1f}"
        write(ax, x, bottom + scale * height + (0.17 if height else -0.17), label, 9.5)
    for row, lam in enumerate((0.0, 0.5, 1.0)):
        zero = 2.3 - 0.93 * row
        advantages, _ = gae(rewards, values, torch.ones(1, 5), 1.0, lam)
        write(ax, 0.1, zero + 0.1, f"A, lam = {lam:g}", 10.5, ha="left")
        ax.plot([left, left + 5 * width], [zero, zero], color=QUIET, linewidth=1)
        for i, advantage in enumerate(advantages[0].tolist()):
            x, height = left + width * i + 0.25, 0.5 * advantage
            ax.add_patch(Rectangle((x, zero), width - 0.5, height,
                                   facecolor=ONE if advantage > 0 else OTHER))
            label = f"{advantage:+.4f}".rstrip("0").rstrip(".")
            write(ax, x + width / 2 - 0.25, zero + height + (0.12 if height > 0 else -0.12),
                  label, 9.5)
    write(ax, left + 2.5 * width, 0.15, "lam = 0 believes the next guess, lam = 1 the outcome; "
          "which of them was right, one sample cannot say", 9.5, QUIET)


@picture(3.3)
def draw_07_clip(ax):
    from train_ppo import Rollout, ppo_loss
    ratios = torch.linspace(0.5, 1.5, 401)
    one = torch.ones(1, 1)
    for left, A, notes in (
            (0.7, 1.0, ((0.86, 0.6, "worth more:\nraise it"),
                        (1.35, 1.05, "raised enough:\nno gradient"))),
            (4.6, -1.0, ((0.71, -0.65, "lowered enough:\nno gradient"),
                         (1.17, -1.38, "worth less:\nlower it")))):
        points = []
        for ratio in ratios.tolist():
            log_prob = torch.tensor([[ratio]]).log().requires_grad_()
            row = Rollout(one, one, 0 * one, 0 * one, 0 * one, one[0], one[0], A * one, 0 * one)
            loss, _, _ = ppo_loss(log_prob, 0 * one, row)
            loss.backward()
            points.append((ratio, -loss.item(), log_prob.grad.item() != 0))
        title = f"A = {A:+g}: the token was {'better' if A > 0 else 'worse'} than expected"
        low, high = sorted((0.45 * A, 1.6 * A))
        axes = panel(ax, left, 0.6, 3.2, 2.3, title, xlim=(0.5, 1.5), ylim=(low, high))
        axes.set_xlabel("ratio", fontsize=9.5)
        for moves, color in ((True, STAGES["ppo"]), (False, QUIET)):
            at = [(x, y) for x, y, live in points if live == moves]
            axes.plot(*zip(*at), color=color, linewidth=3)
        axes.axvspan(0.8, 1.2, color=tint(ONE, 0.2), zorder=0)
        axes.plot([1], [A], "o", color=INK)
        for x, y, text in notes:
            axes.text(x, y, text, fontsize=9.5, ha="center", va="center")
    write(ax, 0.15, 1.75, "surrogate", 9.5, rotation=90)


@picture(6.3)
def draw_07_rollout(ax):
    kept = run.saving.read_json(ROOT / "lessons" / "07_rollout.json",
                                made_by="lessons/07_rollout.py")
    top = 6.12
    for name, title in (("usual", f"given {kept['times']} times of {kept['answers']}"),
                        ("lowest", "scored lowest")):
        score = kept[name]["score"]
        write(ax, 0.1, top, f"{title}:  score {score:+.2f}", 11, ha="left", weight="bold")
        top = draw_row(ax, kept, kept[name], top) - 0.3


def draw_row(ax, kept, row, top):
    """One answer, a column a token: log pi, log (pi / pi_ref), the critic's guesses, advantages.
    Returns how far down it reached."""
    left, width = 1.05, min(0.55, 6.9 / len(row["tokens"]))
    kl = [a - b for a, b in zip(row["log_probs"], row["ref_log_probs"])]
    for i, token in enumerate(row["tokens"]):
        x = left + width * (i + 0.5)
        write(ax, x, top - 0.42, token.strip().replace("<|endoftext|>", "<end>"), 9.5, rotation=25)
    for y, name, numbers in ((0.8, "log_prob", row["log_probs"]), (1.12, "log ratio", kl)):
        write(ax, 0.1, top - y, name, ha="left")
        for i, number in enumerate(numbers):
            cell(ax, left + width * i, top - y - 0.16, width, 0.32, short(number, 2), size=9,
                 color=INK if abs(number) >= 0.05 else "#AAAAAA")
    bottom = top - 1.28
    for name, numbers in (("value V", row["values"]), ("advantage A", credit(kept, row)[1])):
        bottom = draw_bars(ax, left, bottom, width, numbers, name)
    return bottom


def draw_bars(ax, left, top, width, numbers, name, scale=0.2):
    """Bars from a zero line, room for their labels above and below. Returns the lower edge."""
    zero = top - 0.22 - scale * max(0, *numbers)
    write(ax, 0.1, zero + scale * sum(numbers) / len(numbers) / 2, name, ha="left")
    ax.plot([left, left + width * len(numbers)], [zero, zero], color=QUIET, linewidth=1)
    for i, number in enumerate(numbers):
        ax.add_patch(Rectangle((left + width * i + 0.06, zero), width - 0.12, scale * number,
                               facecolor=ONE if number > 0 else OTHER))
        away = 0.11 if number > 0 else -0.11
        write(ax, left + width * (i + 0.5), zero + scale * number + away, short(number, 1), 9)
    return zero + scale * min(0, *numbers) - (0.22 if min(numbers) < 0 else 0)


def short(number, digits):
    return f"{number:.{digits}f}" if abs(number) >= 0.5 / 10**digits else "0"


def credit(kept, row):
    """(rewards, advantages) of a stored row, by train_ppo's own functions."""
    from train_ppo import Rollout, gae, score_minus_kl
    log_probs, ref_log_probs, values = (torch.tensor([row[name]]) for name in
                                        ("log_probs", "ref_log_probs", "values"))
    ones = torch.ones_like(values)
    rollout = Rollout(ones, ones, log_probs, ref_log_probs, values, torch.tensor([row["score"]]),
                      ones[:, 0] > 0)
    rewards = score_minus_kl(rollout, kept["beta"])
    advantages, _ = gae(rewards, values, ones, kept["gamma"], kept["lam"])
    return rewards[0].tolist(), advantages[0].tolist()


# ----------------------------------------------------------------------------- lesson 8: beyond PPO
# a method -> what it works with, what it asks, its networks: name -> what each does
METHODS = {
    "best of n": ("n answers, of which\none is given", "which one has the\nhighest score?",
                  {"reference": "answers", "reward model": "chooses"}),
    "DPO": ("rankings of answers\nmade before", "did the better one\nrise more?",
            {"policy": "learns", "reference": "frozen"}),
    "REINFORCE": ("its own answers,\nK to a question", "better than\nits siblings?",
                  {"policy": "learns", "reference": "frozen", "reward model": "frozen"}),
    "PPO": ("its own answers,\none to a question", "better than the\ncritic thought?",
            {"policy": "learns", "reference": "frozen", "reward model": "frozen",
             "critic": "learns"}),
}
NETWORKS = {"policy": "ppo", "reference": "sft", "reward model": "rm", "critic": "rm"}


@picture(4.3)
def draw_08_networks(ax):
    for text, y in (("works with", 3.4), ("asks", 0.45)):
        write(ax, 0.1, y, text, 9.5, QUIET, ha="left")
    for i, (method, (material, judged, networks)) in enumerate(METHODS.items()):
        x = 1.35 + 1.66 * i
        write(ax, x + 0.75, 4.05, method, 11, weight="bold")
        box(ax, x, 3.12, 1.5, 0.56, material, share=0.1, size=9.5)
        for row, (network, stage) in enumerate(NETWORKS.items()):
            y, does = 2.42 - 0.54 * row, networks.get(network)
            if i == 0:
                write(ax, 0.1, y + 0.22, network, ha="left")
            if does:
                share = 0.6 if does == "learns" else 0.2
                box(ax, x, y, 1.5, 0.44, does, STAGES[stage], share)
            else:
                ax.plot([x + 0.65, x + 0.85], [y + 0.22, y + 0.22], color=QUIET, linewidth=1)
        write(ax, x + 0.75, 0.45, judged, 9.5)


def best_policy(beta):
    """The bandit's policy of highest score less beta times KL: pi_ref exp(score / beta) / Z."""
    return (BANDIT_START.log() + BANDIT_SCORES / beta).softmax(0)


def best_of(n):
    """The bandit's answers when the best of n is given: chances of the three."""
    no_a, only_c = (1 - BANDIT_START[0]) ** n, BANDIT_START[2] ** n
    return torch.stack([1 - no_a, no_a - only_c, only_c])


def reached(pi):
    """(KL from the start in nats, mean score)."""
    return (pi * (pi / BANDIT_START).log()).sum().item(), (pi @ BANDIT_SCORES).item()


@picture(3.4)
def draw_08_best(ax):
    betas = torch.logspace(-0.7, 1.3, 101).tolist()
    policies = torch.stack([best_policy(beta) for beta in betas])       # (101, 3)
    axes = panel(ax, 0.75, 0.75, 3.0, 2.25, "the best policy", xscale="log", ylim=(0, 1))
    axes.set_xlabel("beta", fontsize=9.5)
    axes.set_xticks([0.2, 1, 2, 20], ["0.2", "1", "2", "20"])
    axes.minorticks_off()
    for i, (name, color, at) in enumerate((("a: score 4", STAGES["ppo"], (1.2, 0.8)),
                                          ("b: 2", OTHER, (6, 0.53)), ("c: 0", QUIET, (4, 0.06)))):
        axes.plot(betas, policies[:, i], color=color, linewidth=2.5)
        axes.axhline(BANDIT_START[i], color=tint(color, 0.5), linewidth=0.8, linestyle=":")
        axes.text(*at, name, color=color, fontsize=9.5)
    write(ax, 0.18, 1.87, "probability", 9.5, rotation=90)
    axes = panel(ax, 4.6, 0.75, 3.2, 2.25, "what a KL can buy", xlim=(-0.05, 1.45),
                 ylim=(1.8, 4.1), yticks=[2, 3, 4])
    axes.set_xlabel("KL from the reference, nats", fontsize=9.5)
    axes.plot(*zip(*map(reached, (*policies, BANDIT_START))), color=STAGES["ppo"], linewidth=2.5)
    for n in (1, 2, 4, 8):
        kl, score = reached(best_of(n))
        axes.plot([kl], [score], "o", color=STAGES["rm"])
        axes.text(kl + 0.05, score - 0.17, f"best of {n}", fontsize=9.5)
    axes.text(0.3, 3.45, "best policies", color=STAGES["ppo"], fontsize=9.5, ha="center")
    write(ax, 4.22, 1.87, "mean score", 9.5, rotation=90)


# -------------------------------------------------------------- lessons 7 and 8: what was measured
def measured(name, label):
    """The rows of seeds in lessons/experiments/NAME.json."""
    path = ROOT / "lessons" / "experiments" / f"{name}.json"
    return run.read_json(path)["variants"][label]


def column(name, label, figure):
    """A column of ppo.jsonl, of seed 0."""
    return measured(name, label)[0]["kept"]["ppo.jsonl"][figure]


def smooth(values, n=5):
    """Means of n iterations: 128 answers an iteration are noisy."""
    return [sum(values[max(0, i - n + 1) : i + 1]) / min(n, i + 1) for i in range(len(values))]


FAILURES = [                # title, experiment, variant, the figure that tells
    ("1  beta 0: gold falls", "beta", "beta 0", "gold_reward"),
    ("2  rate x 10: length falls", "rate", "3e-3", "answer_length"),
    ("3  beta 1: nothing moves", "beta", "1", "rm_reward"),
    ("4  paid at the first token", "first_token", "at the first token", "explained_variance"),
    ("5  a critic from nothing", "critic", "from nothing", "explained_variance"),
    ("6  eight passes", "epochs", "8", "clip_fraction"),
]


@picture(4.6)
def draw_07_failures(ax):
    for i, (title, name, label, figure) in enumerate(FAILURES):
        axes = panel(ax, 0.62 + 2.55 * (i % 3), 2.72 - 2.12 * (i // 3), 1.82, 1.3, title)
        axes.plot(smooth(column("beta", "0.2", figure)), color=QUIET, linewidth=1.5)
        axes.plot(smooth(column(name, label, figure)), color=OTHER, linewidth=2.2)
        write(ax, 1.53 + 2.55 * (i % 3), 2.32 - 2.12 * (i // 3), figure, 9, family="monospace")
    write(ax, 2.6, 4.45, "grey: the default run", 9.5, QUIET)
    write(ax, 5.2, 4.45, "orange: what goes wrong", 9.5, OTHER)


PATHS = {"beta 0": "#D55E00", "0.05": "#E69F00", "0.2": "#009E73", "1": "#0072B2"}


@picture(3.7)
def draw_08_frontier(ax):
    ticks = [0.1, 1, 10, 100]
    for left, title, figure, best in ((0.7, "what the reward model sees", "rm_reward",
                                       "learned reward"),
                                      (4.65, "what the rubric says", "gold_reward", "gold reward")):
        axes = panel(ax, left, 0.75, 3.2, 2.5, title, xscale="log", xlim=(0.08, 250))
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("KL from the reference, nats an answer", fontsize=9.5)
        for label, color in PATHS.items():
            kl = smooth(column("beta", label, "kl"))
            reward = smooth(column("beta", label, figure))
            inside = [i for i in range(len(kl)) if kl[i] >= 0.08]
            axes.plot([kl[i] for i in inside], [reward[i] for i in inside], color=color,
                      linewidth=2)
        chosen = [measured("best_of", str(n)) for n in (2, 4, 8, 16, 32, 64)]
        axes.plot([rows[0]["figures"]["KL at most"] for rows in chosen],
                  [sum(row["figures"][best] for row in rows) / len(rows) for rows in chosen],
                  "o-", color=STAGES["rm"], markersize=4, linewidth=1)
        label_paths(axes, figure)


def label_paths(axes, figure):
    places = ((3, 1.3), (4.4, 0.6), (0.65, 0.7), (0.25, 0.0), (0.1, 0.45))
    if figure == "gold_reward":
        places = ((4, -0.15), (4.2, 0.52), (0.6, 0.53), (0.25, 0.03), (0.1, 0.44))
    names = ("PPO, beta 0", "0.05", "0.2", "beta 1", "best of 2 to 64")
    for name, place, color in zip(names, places, (*PATHS.values(), STAGES["rm"])):
        axes.text(*place, name, color=color, fontsize=9.5)


# --------------------------------------------------------------------------------- the command line
def main():
    names = sys.argv[1:] or list(PICTURES)
    for name in names:
        if name not in PICTURES:
            raise run.UserError(f"no picture {name}: choose from {', '.join(PICTURES)}")
    for name in names:
        function, height = PICTURES[name]
        ax = page(height)
        function(ax)
        save_picture(ROOT / "lessons" / f"{name}.png", ax.figure)
        print(f"lessons/{name}.png")


if __name__ == "__main__":
    run.main(main)
