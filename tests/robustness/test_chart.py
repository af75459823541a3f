from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from merbench.charts import Line, condition_curve
from merbench.errors import MissingExtra

NAN = float("nan")
LINES = [
    Line("logistic", [0.8, 0.6, 0.5], [0.7, 0.5, 0.4], [0.9, 0.7, 0.6], 0.85),
    Line("majority", [0.2, 0.2, 0.2], [NAN] * 3, [NAN] * 3, 0.2),
]


def drawn(path: Path, conditions: list[float] | list[str], lines: list[Line] = LINES) -> bytes:
    condition_curve(path, conditions, lines, x_name="snr_db of noise, dB", y_name="weighted_f1")
    return path.read_bytes()


@pytest.mark.parametrize("conditions", [[20.0, 10.0, 0.0], ["a", "v", "av"]])
def test_a_curve_is_a_picture_and_its_bytes_depend_on_the_numbers_alone(
    conditions: list[float] | list[str], tmp_path: Path
) -> None:
    svg = drawn(tmp_path / "a.svg", conditions)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert svg == drawn(tmp_path / "b.svg", conditions)
    assert svg != drawn(tmp_path / "c.svg", conditions, LINES[:1])
    assert drawn(tmp_path / "a.png", conditions).startswith(b"\x89PNG")


def ticks(svg: bytes) -> list[str]:
    """Return what stands along the axis of conditions, from left to right."""
    tick = rb'<g id="xtick_\d+">.*?<use [^>]*\bx="([\d.]+)".*?<!-- (.*?) -->'
    found = [(float(x), text.decode()) for x, text in re.findall(tick, svg, re.DOTALL)]
    return [text for _, text in sorted(found)]


def test_the_axis_runs_as_the_conditions_do(tmp_path: Path) -> None:
    falling = ticks(drawn(tmp_path / "a.svg", [20.0, 10.0, 0.0]))
    rising = ticks(drawn(tmp_path / "b.svg", [0.0, 10.0, 20.0]))
    assert rising == ["0", "10", "20"]
    assert falling == ["20", "10", "0"]
    assert ticks(drawn(tmp_path / "c.svg", ["v", "a", "av"])) == ["v", "a", "av"]


def test_one_condition_is_drawn(tmp_path: Path) -> None:
    alone = ticks(drawn(tmp_path / "a.svg", [5.0], [Line("one", [0.5], [NAN], [NAN], NAN)]))
    assert alone == ["5"]


def flat(conditions: list[float]) -> list[Line]:
    n = len(conditions)
    return [Line("one", [0.5] * n, [NAN] * n, [NAN] * n, NAN)]


def test_up_to_ten_conditions_have_a_tick_each(tmp_path: Path) -> None:
    ten = [20.0, 12.5, 7.0, 3.0, 1.0, 0.0, -1.0, -2.5, -6.0, -20.0]
    minus = "\N{MINUS SIGN}"
    found = ticks(drawn(tmp_path / "a.svg", ten, flat(ten)))
    assert found == ["20", "12.5", "7", "3", "1", "0", f"{minus}1", f"{minus}2.5", f"{minus}6", f"{minus}20"]
    eleven = [*ten, -13.0]
    assert f"{minus}13" not in (few := ticks(drawn(tmp_path / "b.svg", eleven, flat(eleven))))
    assert len(few) < 11


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"a chart \(matplotlib\) needs the extra 'baselines': pip install"):
        drawn(tmp_path / "a.svg", [1.0, 2.0, 3.0])
