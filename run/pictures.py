"""Pictures in one style, written like all files: to a temporary name, then renamed."""
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


def draw_curves(path, title, xlabel, ylabel, steps, **curves):
    figure, [ax] = new_picture()
    for label, values in curves.items():
        ax.plot(steps, values, label=label.replace("_", " "))
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend()
    save_picture(path, figure)


def draw_matrix(path, title, xlabel, ylabel, matrix, names):
    """A square matrix, its rows and columns under the same names."""
    figure, [ax] = new_picture(width=7, height=6.4)
    ax.imshow(matrix, cmap="Blues", vmin=0)
    ax.grid(False)
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    save_picture(path, figure)
