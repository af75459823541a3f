from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hand_made_boards import board
from hand_made_reports import SCORES, full_report

from merbench.charts import training_curve
from merbench.errors import MissingExtra, UsageError
from merbench.report import Ceiling

LOSS = np.linspace(2, 1, 12).reshape(4, 3)
VALUE = np.linspace(0, 1, 12).reshape(4, 3)


def draw(path: Path, value: np.ndarray = VALUE) -> bytes:
    training_curve(path, LOSS, value, (4, 3, 4), value_name="overall")
    return path.read_bytes()


@pytest.mark.slow
def test_the_curve_is_a_picture_and_its_bytes_depend_only_on_the_numbers(tmp_path: Path) -> None:
    svg = draw(tmp_path / "a.svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert svg == draw(tmp_path / "b.svg")
    assert svg != draw(tmp_path / "c.svg", VALUE / 2)
    png = draw(tmp_path / "a.png")
    assert png.startswith(b"\x89PNG")
    assert png == draw(tmp_path / "b.png")


def test_values_that_are_not_finite_leave_a_gap(tmp_path: Path) -> None:
    value = VALUE.copy()
    value[0] = -np.inf
    assert draw(tmp_path / "a.svg", value)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for drawn in (lambda: draw(tmp_path / "a.svg"), full_report().plot, board().plot):
        with pytest.raises(MissingExtra, match=r"a chart \(matplotlib\) needs the extra 'charts': pip install"):
            drawn()


def test_a_report_is_plotted_by_scale_with_ceilings_classes_reliability_and_confusions() -> None:
    figure = full_report("a $\\foo$ \x1b name").plot()
    accuracy, error, classes, reliability, matrix = figure.axes
    # A share from 0 to 1, and an error of at most 0.43, whose scale has steps of 0.2.
    assert (accuracy.get_xlim(), error.get_xlim()) == ((0, 1), (0, 0.6))
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["accuracy"]
    bar, ceiling = accuracy.collections
    assert bar.get_segments()[0][:, 0].tolist() == [0.5, 0.75]
    assert ceiling.get_segments()[0][:, 0].tolist() == [0.8, 0.8]
    assert accuracy.get_legend().get_texts()[0].get_text() == "a $\\foo$ \\x1b name, a ceiling"
    assert (len(classes.get_yticklabels()), classes.get_xlabel()) == (3, "F1 of emotion")
    points = full_report().calibration[0].bins
    assert reliability.lines[1].get_ydata().tolist() == [place.share_right for place in points]
    # 3 of 4 are right and one is outside the vocabulary.
    assert matrix.images[0].get_array()[0].tolist() == [0.75, 0, 0, 0.25]
    assert matrix.get_xticklabels()[0].get_text() == "a $\\foo$ \\x1b name 0"
    figure.canvas.draw()
    bare = full_report(confusions=(), scores=SCORES[:1], groups=(), per_class=(), calibration=(), ceilings=())
    assert len(bare.plot().axes) == 1


def test_a_board_is_plotted_by_rank_and_needs_rows() -> None:
    (axes,) = board().plot().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "1  net (first)",
        "2  net (second)",
        "3  net (third)",
    ]
    (axes,) = board(ceilings=(Ceiling("overall", "one annotator", 0.6),)).plot().axes
    assert [line[0][0] for line in axes.collections[1].get_segments()] == [0.6, 0.6, 0.6]
    with pytest.raises(UsageError, match="a board without rows has nothing to plot"):
        board([], uncertainty=None).plot()
