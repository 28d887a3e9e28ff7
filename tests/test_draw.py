"""The drawings of the lessons: each is drawn, fits on its page, and no two of its texts overlap."""
import importlib.util
import itertools
from functools import partial
from pathlib import Path

import pytest

from data import world

FOLDER = Path(__file__).resolve().parent.parent / "lessons"
spec = importlib.util.spec_from_file_location("draw", FOLDER / "draw.py")
draw = importlib.util.module_from_spec(spec)
spec.loader.exec_module(draw)


@pytest.mark.parametrize("name", draw.PICTURES)
def test_a_picture_is_there_and_its_texts_stand_on_the_page_and_apart(name, monkeypatch):
    monkeypatch.setattr(world, "documents", partial(world.documents, size=0.05))
    function, height = draw.PICTURES[name]
    ax = draw.page(height)
    function(ax)
    ax.figure.draw_without_rendering()              # now the labels of axes know their places
    texts = [text for axes in (ax, *ax.child_axes) for text in
             (*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label) if text.get_text()]
    spans = {text: text.get_window_extent() for text in texts}
    page = ax.figure.bbox
    for text, span in spans.items():
        assert text.get_fontsize() >= 9, text
        assert page.x0 <= span.x0 and span.x1 <= page.x1, text
        assert page.y0 <= span.y0 and span.y1 <= page.y1, text
    upright = [text for text in texts if not text.get_rotation() % 90]
    for one, other in itertools.combinations(upright, 2):
        assert not spans[one].padded(-2).overlaps(spans[other].padded(-2)), (one, other)
    assert (FOLDER / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_stages_have_colours_of_their_own():
    assert list(draw.STAGES) == ["pretrain", "sft", "rm", "ppo"]
    assert len({*draw.STAGES.values(), draw.ONE, draw.OTHER}) == 6
