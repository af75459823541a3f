from __future__ import annotations

import re
from pathlib import Path

import pytest

from merbench.charts import Line, condition_curve

NAN = float("nan")


def drawn(path: Path, conditions: list[float], lines: list[Line]) -> bytes:
    condition_curve(path, conditions, lines, x_name="snr_db of noise, dB", y_name="weighted_f1")
    return path.read_bytes()


def flat(conditions: list[float]) -> list[Line]:
    n = len(conditions)
    return [Line("one", [0.5] * n, [NAN] * n, [NAN] * n, NAN)]


TEN = [20.0, 12.5, 7.0, 3.0, 1.0, 0.0, -1.0, -2.5, -6.0, -20.0]
MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("conditions", "ticks"),
    [
        ([20.0, 10.0, 0.0], ["20", "10", "0"]),  # in the order in which they are given
        ([0.0, 10.0, 20.0], ["0", "10", "20"]),
        (["v", "a", "av"], ["v", "a", "av"]),
        ([5.0], ["5"]),
        (TEN, ["20", "12.5", "7", "3", "1", "0", f"{MINUS}1", f"{MINUS}2.5", f"{MINUS}6", f"{MINUS}20"]),
        ([*TEN, -13.0], None),  # too many for a tick each
    ],
)
def test_the_axis_has_a_tick_for_each_of_ten_conditions(
    tmp_path: Path, conditions: list[float], ticks: list[str] | None
) -> None:
    svg = drawn(tmp_path / "a.svg", conditions, flat(conditions))
    tick = rb'<g id="xtick_\d+">.*?<use [^>]*\bx="([\d.]+)".*?<!-- (.*?) -->'
    shown = [text for _, text in sorted((float(x), text.decode()) for x, text in re.findall(tick, svg, re.DOTALL))]
    assert shown == ticks if ticks is not None else len(shown) < 11 and f"{MINUS}13" not in shown
