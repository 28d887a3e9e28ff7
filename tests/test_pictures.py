"""Pictures show the numbers that they were given, tables too, each under its own name."""
import numpy as np
import pytest

from run import pictures

ROWS = [{"kl": 0.0, "loss": 3.0, "none": None}, {"kl": 0.5, "loss": 2.0, "none": None}]


def figure(value):
    return {"value": value, "n": 4, "low": value / 2, "high": (1 + value) / 2}


CARD = {"sft": {"right": figure(0.25), "stops": figure(1.0), "kl": 0.25},
        "ppo": {"right": figure(0.75), "stops": figure(0.5), "kl": 1.5}}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be saved."""
    figures = []
    monkeypatch.setattr(pictures, "save_picture", lambda path, figure: figures.append(figure))
    return figures


def lines(ax):
    return {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines()}


def test_curves_stand_over_their_steps_under_their_names(drawn):
    pictures.draw_curves("x.png", "title", "step", "nats", [10, 20], loss=[3, 2], held_out=[4, 1])
    [ax] = drawn[0].axes
    assert lines(ax) == {"loss": [[10, 3], [20, 2]], "held out": [[10, 4], [20, 1]]}
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("step", "nats", "title")


def test_a_matrix_has_its_rows_below_each_other_and_zero_is_white(drawn):
    pictures.draw_matrix("x.png", "title", "across", "down", [[0.5, 0.25], [1.0, 2.0]], ["a", "b"])
    [ax] = drawn[0].axes
    [image] = ax.get_images()
    assert image.get_array().tolist() == [[0.5, 0.25], [1.0, 2.0]] and image.get_clim() == (0, 2)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("across", "down")
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["a", "b"]


def test_a_run_shows_its_rows_and_a_bar_for_each_share_of_each_column(drawn):
    panels = {"far": {"kl": "distance", "none": "nothing"}, "near": {"loss": "loss in nats"}}
    pictures.draw_run("x.png", "iteration", ROWS, panels, ["right", "kl", "stops"], CARD)
    far, near, bars = drawn[0].axes
    assert lines(far) == {"distance": [[0, 0.0], [1, 0.5]]} and far.get_title("left") == "far"
    assert lines(near) == {"loss in nats": [[0, 3.0], [1, 2.0]]}
    assert [label.get_text() for label in bars.get_yticklabels()] == ["right", "stops"]
    for column, values in zip(bars.containers, ([0.25, 1.0], [0.75, 0.5])):
        assert [bar.get_width() for bar in column] == values
        places = [bar.get_y() + bar.get_height() / 2 for bar in column]
        assert [round(place) for place in places] == [0, 1]
    assert bars.get_ylim() == (1.5, -0.5)       # in the order of the table, from top to bottom
    spans = [(round(bar.get_y(), 6), round(bar.get_y() + bar.get_height(), 6))
             for column in bars.containers for bar in column]
    for (_, end), (start, _) in zip(sorted(spans), sorted(spans)[1:]):
        assert end <= start                     # no bar hides another
    assert [column.get_label() for column in bars.containers] == ["sft", "ppo"]


def test_a_bar_has_its_interval_and_its_number_and_a_nought_is_seen(drawn):
    card = {"sft": {"right": figure(0.5), "refused": figure(0.0), "empty": figure(0.0) | {"n": 0}}}
    pictures.draw_run("x.png", "iteration", ROWS, {}, ["right", "refused", "empty"], card)
    [bars] = drawn[0].axes
    assert [label.get_text() for label in bars.get_yticklabels()] == ["right", "refused"]
    [intervals] = bars.collections
    ends = [[x for x, _ in segment] for segment in intervals.get_segments()]
    assert ends == [[0.25, 0.75], [0, 0.5]]
    assert [text.get_text() for text in bars.texts] == ["50%", "0%"]


def test_rankings_show_the_loss_the_scores_and_each_share_right(drawn):
    scores = np.array([-1.0, 0.0, 2.0])
    card = {"all": {"fact": figure(0.5)}, "sampled": {"fact": figure(0.25)}}
    pictures.draw_rankings("x.png", [0.7, 0.5], card, scores > 0, scores, ("bad", "good"))
    loss, answers, bars = drawn[0].axes
    assert lines(loss)["a step"] == [[0, 0.7], [1, 0.5]]
    assert lines(loss)["mean of 2"] == [[1, pytest.approx(0.6)]]
    assert [sum(bar.get_height() for bar in kind) for kind in answers.containers] == [2, 1]
    assert [[bar.get_width() for bar in column] for column in bars.containers] == [[0.5], [0.25]]


@pytest.mark.filterwarnings("error")
def test_a_lone_column_without_a_name_has_no_legend_and_no_warning(drawn):
    scores = np.array([-1.0, 2.0])
    pictures.draw_rankings("x.png", [0.7], {"": {"all": figure(0.5)}}, scores > 0, scores, "ab")
    assert drawn[0].axes[2].get_legend() is None and drawn[0].axes[0].get_legend()


def test_a_picture_has_its_name_only_when_it_is_whole(tmp_path):
    class Broken:
        def savefig(self, file, format):
            assert format == "png"
            file.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        pictures.save_picture(tmp_path / "x.png", Broken())
    assert list(tmp_path.iterdir()) == []


def test_a_card_tells_each_figure_and_each_answer_under_its_own_column(capsys):
    said = {"sft": "one\ntwo", "ppo": "three"}
    card = {name: {**figures, "transcripts": [{"prompt": "Who?", "answer": said[name]}]}
            for name, figures in CARD.items()}
    pictures.print_card(["right", "kl"], card)
    cells = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert cells[1][-2:] == ["sft", "ppo"]
    assert cells[2][::2] == ["right", "(12-62)", "(38-88)"] and cells[2][1::2] == ["25%", "75%"]
    assert cells[3] == ["kl", "0.25", "1.50"]
    assert cells[-3:] == [["Who?"], ["sft", "one", "/", "two"], ["ppo", "three"]]


def test_a_level_is_drawn_across_and_the_greatest_look_back_is_boxed(drawn):
    pictures.draw_curves("x.png", "", "step", "nats", [10, 20], (8, "knows nothing"), loss=[3, 2])
    matrix = [[1.0, 0, 0, 0], [0.9, 0.1, 0, 0], [0.2, 0.1, 0.7, 0], [0.1, 0.5, 0.3, 0.1]]
    pictures.draw_matrix("y.png", "", "across", "down", matrix, list("abcd"))
    assert lines(drawn[0].axes[0])["knows nothing"] == [[0, 8], [1, 8]]
    [box] = drawn[1].axes[0].patches
    assert box.get_xy() == (0.5, 2.5)           # column 1, row 3: not column 0, nor the diagonal
