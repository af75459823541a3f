"""A report goes into a folder.

==================== ========================================================================================
robustness.json      the report: every value, interval, condition, version, digest
robustness.md        the same as tables
curve-<name>.svg     how the first ranking value falls along one parameter, with intervals; the name is the
                     parameter, `<corruption>-<parameter>` where several curves are along it, and
                     `<corruption>-<parameter>-<n>` where several of these are of one corruption
curve-<name>.png     the same
==================== ========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from merbench.charts import Line, condition_curve
from merbench.files import write_text
from merbench.robustness.report import CurveReport, RobustnessReport, numbers_of, shown, values_by_key

JSON, MARKDOWN = "robustness.json", "robustness.md"


def write_report(folder: Path, report: RobustnessReport, ranked_by: str) -> None:
    """Write a report into a folder that is there.

    Args:
        folder: the folder.
        report: the report.
        ranked_by: the metric whose curve is drawn.
    """
    write_text(folder / JSON, report.to_json())
    write_text(folder / MARKDOWN, report.to_markdown())
    for name, curve in zip(_names(report), report.curves, strict=True):
        for suffix in ("svg", "png"):
            _draw(folder / f"curve-{name}.{suffix}", report, curve, ranked_by)


def _names(report: RobustnessReport) -> Iterator[str]:
    """Yield the name of every curve: never that of its step, which may be any text."""
    long = [f"{curve.corruption}-{curve.parameter}" for curve in report.curves]
    for i, curve in enumerate(report.curves):
        if not report.shares_parameter(curve):
            yield curve.parameter
        elif long.count(long[i]) == 1:
            yield long[i]
        else:
            yield f"{long[i]}-{long[: i + 1].count(long[i])}"


def _draw(path: Path, report: RobustnessReport, curve: CurveReport, ranked_by: str) -> None:
    ranked = next(score for score in report.undamaged.scores if score.name == ranked_by)
    systems = {report.baseline: False, **({report.relative_to: True} if report.relative_to else {})}
    lines = []
    for name, relative in systems.items():
        found = values_by_key([report.undamaged, *curve.rows], ranked.key, relative=relative)
        (undamaged, *values), (_, *low), (_, *high) = (list(map(_number, part)) for part in zip(*found, strict=True))
        lines.append(Line(name, values, low, high, undamaged))
    numbers = numbers_of(curve.rows)
    condition_curve(
        path,
        numbers if numbers is not None else [shown(row.value) for row in curve.rows],
        lines,
        x_name=f"{curve.parameter} of {curve.step}" + (f", {curve.unit}" if curve.unit else ""),
        y_name=ranked.name,
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
