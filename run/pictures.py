"""Pictures and tables in one style. A picture is written like all files: to a temporary name, then
renamed."""
import math

import numpy as np

from run import shown
from run.saving import atomic


def new_picture(columns=1, width=5.0, height=3.4):
    """A matplotlib figure with `columns` axes side by side: (figure, list of axes)."""
    from matplotlib.figure import Figure    # here: a second that not every command should pay
    figure = Figure(figsize=(width * columns, height), layout="constrained", dpi=120)
    axes = [figure.add_subplot(1, columns, i + 1) for i in range(columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    return figure, axes


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
    """How a run went, in panels {title: {name in rows: label}}, and what came of it: a bar for each
    of the names that is a share and each column of the report card."""
    figure, [*lines, bars] = new_picture(len(panels) + 1)
    for ax, (title, labels) in zip(lines, panels.items()):
        for name, label in labels.items():
            if rows[0].get(name) is not None:
                ax.plot([row[name] for row in rows], label=label, linewidth=1)
        ax.set(xlabel=xlabel, title=title)
        ax.legend()
    height = 0.8 / len(card)
    for i, (heading, figures) in enumerate(card.items()):
        shares = {name: figures[name] for name in names if isinstance(figures.get(name), dict)}
        places = [place + 0.4 - (i + 0.5) * height for place in range(len(shares))]
        bars.barh(places, [s["value"] for s in shares.values()], height=height, label=heading)
    bars.set(yticks=range(len(shares)), yticklabels=shares, xlim=(0, 1), title="held-out prompts")
    bars.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    save_picture(path, figure)


def draw_rankings(path, losses, shares, good, scores, names):
    """How a reward model learnt, a bar for each of {name: share right}, and the scores of bad and
    good answers. good, scores: arrays of one shape; names: of the bad and the good."""
    figure, (left, middle, right) = new_picture(3)
    left.plot(losses, linewidth=1)
    left.axhline(math.log(2), color="gray", linestyle=":", label="a coin: log 2")
    left.set(xlabel="step", ylabel="ranking loss, nats a pair", title="learning to rank")
    left.legend()
    shares = {name: share for name, share in shares.items() if isinstance(share, dict)}
    middle.barh(list(shares), [figure["value"] for figure in shares.values()], color="C2")
    middle.axvline(0.5, color="gray", linestyle=":")
    middle.set(xlim=(0, 1), title="right on held-out pairs")
    right.hist(scores[~good], bins=40, alpha=0.6, color="C3", label=names[0])
    right.hist(scores[good], bins=40, alpha=0.6, color="C2", label=names[1])
    right.set(xlabel="score", ylabel="answers", title="scores of held-out answers")
    right.legend()
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
