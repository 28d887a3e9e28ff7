"""Pictures and tables in one style. A picture is written like all files: to a temporary name, then
renamed."""
import math

import numpy as np

from run import shown
from run.saving import atomic


def new_picture(columns=1, width=5.0, height=3.4, heights=None):
    """A matplotlib figure with `columns` axes side by side, or with one below the other, as high as
    `heights` say: (figure, list of axes). Inches of 120 pixels; a page shows 800."""
    from matplotlib.figure import Figure    # here: a second that not every command should pay
    heights = heights or [height]
    figure = Figure(figsize=(width * columns, sum(heights)), layout="constrained", dpi=120)
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    return figure, axes.tolist()


def save_picture(path, figure):
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_curves(path, title, xlabel, ylabel, steps, level=None, **curves):
    """Losses by step, on a scale of factors. level: (height, what such a loss means)."""
    figure, [ax] = new_picture()
    for label, values in curves.items():
        ax.plot(steps, values, label=label.replace("_", " "))
    if level:
        ax.axhline(level[0], color="gray", linestyle=":", label=level[1])
    ax.set_yscale("log", subs=[2, 5])
    for write_ticks in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        write_ticks("{x:g}")                # 2, not 2 x 10^0
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend()
    save_picture(path, figure)


def draw_matrix(path, title, xlabel, ylabel, matrix, names):
    """A square matrix, its rows and columns under the same names. Boxed: the greatest number left
    of the diagonal, the first column apart."""
    from matplotlib.patches import Rectangle
    matrix, size = np.asarray(matrix), min(11, 240 / max(1, len(names)))
    figure, [ax] = new_picture(width=7, height=6.4)
    ax.imshow(matrix, cmap="Blues", vmin=0)
    ax.grid(False)
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    ax.set_yticks(range(len(names)), names, fontsize=size)
    inner = np.tril(matrix, -1)[:, 1:]
    if inner.any():
        row, column = np.unravel_index(inner.argmax(), inner.shape)
        ax.add_patch(Rectangle((column + 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00",
                               linewidth=2.5))
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    save_picture(path, figure)


def draw_run(path, xlabel, rows, panels, names, card):
    """One below the other: how a run went, in panels {title: {name in rows: label}}, and what came
    of it, as draw_shares draws the report card."""
    names = [name for name in names if any(measured(column.get(name)) for column in card.values())]
    figure, [*lines, bars] = new_picture(width=6.7, heights=[2] * len(panels)
                                         + [height_of(names, card)])
    for ax, (title, labels) in zip(lines, panels.items()):
        for name, label in labels.items():
            if rows[0].get(name) is not None:
                ax.plot([row[name] for row in rows], label=label, linewidth=1)
        ax.set(xlabel=xlabel)
        legend_above(ax, title)
    draw_shares(bars, "held-out prompts", names, card)
    save_picture(path, figure)


def measured(figure):
    return isinstance(figure, dict) and figure.get("n", 0) > 0


def height_of(names, card):
    """Inches for draw_shares."""
    return 0.8 + len(names) * (0.1 + 0.13 * len(card))


def legend_above(ax, title):
    """Where it covers no curve."""
    ax.set_title(title, loc="left", pad=24, fontsize=11)
    if ax.get_legend_handles_labels()[1]:       # a lone column has no name
        ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=3, frameon=False, fontsize=8.5)


def draw_shares(ax, title, names, card):
    """From top to bottom a bar for each name and each column {name: share} of the card, with its
    interval as a line and its number behind."""
    height, tint = 0.8 / len(card), ["#8DB9D9", "#F4B77A", "#94CB94", "#CCCCCC"]
    for i, (heading, column) in enumerate(card.items()):
        found = [(at, column[name]) for at, name in enumerate(names) if measured(column.get(name))]
        places = [at - 0.4 + (i + 0.5) * height for at, _ in found]
        values, lows, highs = ([share[key] for _, share in found]
                               for key in ("value", "low", "high"))
        ax.barh(places, values, height=height, label=heading, color=tint[i % 4])
        ax.hlines(places, lows, highs, color="#222222", linewidth=1.2)
        for place, value, high in zip(places, values, highs):
            ax.text(high + 0.008, place, f"{value:.0%}", fontsize=8, va="center")
    ax.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1.06))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(False)
    legend_above(ax, title)


def draw_rankings(path, losses, card, good, scores, names):
    """One below the other: how a reward model learnt, the scores of bad and good answers, and a bar
    for each share right of the card {heading: {name: share}}. good, scores: arrays of one shape;
    names: of the bad and the good."""
    shares = [name for name, share in next(iter(card.values())).items() if measured(share)]
    figure, (top, middle, bars) = new_picture(width=6.7,
                                              heights=[2, 2, height_of(shares, card)])
    top.plot(losses, linewidth=0.6, alpha=0.5, label="a step")
    few = min(10, len(losses))
    top.plot(range(few - 1, len(losses)), np.convolve(losses, np.ones(few) / few, "valid"),
             color="C0", linewidth=2, label=f"mean of {few}")
    top.axhline(math.log(2), color="gray", linestyle=":", label="a coin: log 2")
    top.set(xlabel="step", ylabel="nats a pair")
    legend_above(top, "learning to rank: the loss")
    middle.hist(scores[~good], bins=40, alpha=0.6, color="C3", label=names[0])
    middle.hist(scores[good], bins=40, alpha=0.6, color="C2", label=names[1])
    middle.set(xlabel="score", ylabel="answers")
    legend_above(middle, "scores of held-out answers")
    draw_shares(bars, "right on held-out pairs", shares, card)
    bars.axvline(0.5, color="gray", linestyle=":")
    save_picture(path, figure)


def print_table(title, names, columns):
    """A row for each name, a column for each of {heading: figures}; "helpful:" heads a group."""
    print(f"\n{title:36}" + "".join(f"{heading:>18}" for heading in columns))
    for name in names:
        if name.endswith(":"):
            print(name)
        if not any(name in figures for figures in columns.values()):
            continue
        cells = [shown(figures[name]) if name in figures else "" for figures in columns.values()]
        print(f"{name:36}" + "".join(f"{cell:>18}" for cell in cells))


def print_card(names, card):
    """A report card {heading: figures and "transcripts"}: the table, then under each question what
    all of them said."""
    print_table("greedy, held-out (95% interval)", names, card)
    print_answers("the recipe's questions, about entities that nobody asked about in training:",
                  {heading: figures["transcripts"] for heading, figures in card.items()})


def print_answers(title, columns):
    """Under each prompt what stands in each of {heading: transcripts}."""
    print("\n" + title)
    for rows in zip(*columns.values()):
        print("  " + on_one_line(rows[0]["prompt"]))
        for heading, row in zip(columns, rows):
            print(f"      {heading:10} {on_one_line(row['answer'])}")


def print_texts(title, prompts, texts):
    """The first four prompts, each with the text that goes on with it."""
    print(title)
    for prompt, text in list(zip(prompts, texts))[:4]:
        print(f"  {prompt} | {' '.join(text.split())}")


def on_one_line(text):
    """A text, or the texts of a dialogue."""
    return " / ".join((text if isinstance(text, str) else "\n".join(text)).splitlines())
