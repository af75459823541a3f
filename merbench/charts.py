"""Charts of numbers: figures, or files of SVG or PNG by the suffix of the path.

Conventions:
    The same numbers give the same bytes with one version of matplotlib: no date, no random ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import MissingExtra, printable
from merbench.files.writing import atomic_path

LOSS, VALUE, SPREAD = "#b3531c", "#1f5f99", 0.18


def training_curve(
    path: Path, loss: NDArray[np.float64], value: NDArray[np.float64], best_epoch: Sequence[int], *, value_name: str
) -> None:
    """Draw how folds trained: mean and range of the loss, and of the value on the folds left out, with the epochs kept.

    Args:
        path: `.svg` or `.png` file to write.
        loss: `(epochs, folds)` training loss.
        value: `(epochs, folds)` value on the fold left out.
        best_epoch: the epoch kept of every fold, from 1.
        value_name: what the value is.

    Raises:
        MissingExtra: matplotlib is not installed, as in all functions here.
    """
    figure = _figure(6.4, 3.6)
    axes = figure.add_subplot()
    epochs = np.arange(1, len(loss) + 1)
    _band(axes, epochs, loss, LOSS)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss", color=LOSS)
    right = axes.twinx()
    _band(right, epochs, value, VALUE)
    kept = [value[epoch - 1, fold] for fold, epoch in enumerate(best_epoch)]
    right.plot(best_epoch, kept, "o", color=VALUE, markersize=4, label="epoch kept, per fold")
    right.set_ylabel(f"{value_name} on the fold left out", color=VALUE)
    right.legend(loc="center right", frameon=False, fontsize="small")
    _save(figure, path)


@dataclass(frozen=True, slots=True)
class SearchCurve:
    """The trials of a search."""

    values: Sequence[float]  # by number of the trial; NaN of one that has none
    expected: Sequence[tuple[int, float]]  # (n, mean of the best of any n trials); empty if unknown


def search_chart(
    path: Path, curve: SearchCurve, importances: Mapping[str, float], value_name: str, *, higher_is_better: bool
) -> None:
    """Draw a search: every trial and the best so far, with the best of any n, and the importance of every option."""
    figure = _figure(6.4 + 2.8 * bool(importances), 3.6)
    columns = figure.add_gridspec(1, 2 if importances else 1, width_ratios=[6.4, 2.8] if importances else None)
    axes = figure.add_subplot(columns[0, 0])
    values = np.asarray(curve.values, dtype=np.float64)
    numbers = np.arange(1, len(values) + 1)
    best = (np.fmax if higher_is_better else np.fmin).accumulate(values)
    axes.plot(numbers, values, "o", color=VALUE, markersize=4, alpha=0.6, label="trial")
    axes.step(numbers, best, where="post", color=VALUE, label="best so far")
    if curve.expected:
        axes.plot(*zip(*curve.expected, strict=True), "--", color=LOSS, label="best of any n, mean")
    axes.set_xlabel("trials")
    axes.set_ylabel(value_name)
    axes.legend(loc="lower right" if higher_is_better else "upper right", frameon=False, fontsize="small")
    if importances:
        right = figure.add_subplot(columns[0, 1])
        shares = sorted(importances.items(), key=lambda item: item[1])
        right.barh([printable(name, None) for name, _ in shares], [share for _, share in shares], color=VALUE)
        right.set_xlim(0, 1)
        right.set_xlabel("share of the variance")
        _without_frame(right)
    _save(figure, path)


@dataclass(frozen=True, eq=False)
class Specimen:
    """One clip on a contact sheet."""

    name: str  # its heading
    caption: str  # what was done to it
    # rows of RGB pictures `(height, width, 3)` uint8: before, after, or only as it is; empty without video
    pictures: Sequence[Sequence[NDArray[np.uint8]]] = field(repr=False)
    # `(n,)` samples and their rate in Hz, likewise; empty without audio
    sounds: Sequence[tuple[NDArray[np.float32], int]] = field(repr=False)


def contact_sheet(path: Path, specimens: Sequence[Specimen]) -> None:
    """Draw clips one below the other: frames before and after in two rows, spectrograms next to them."""
    n_columns = max((len(row) for specimen in specimens for row in specimen.pictures), default=0)
    n_rows = max(max(len(specimen.pictures), len(specimen.sounds)) for specimen in specimens)
    figure = _figure(2.2 * max(n_columns, 1) + 4.2, (0.6 + 1.5 * n_rows) * len(specimens))
    for part, specimen in zip(np.atleast_1d(figure.subfigures(len(specimens), 1)), specimens, strict=True):
        part.suptitle(f"{specimen.name}\n{specimen.caption}", fontsize="small")
        grid = part.add_gridspec(n_rows, n_columns + 2)
        for row, when in enumerate(("before", "after") if n_rows > 1 else ("",)):
            for column, picture in enumerate(specimen.pictures[row] if specimen.pictures else ()):
                axes = part.add_subplot(grid[row, column])
                axes.imshow(picture, interpolation="nearest")
                axes.set_axis_off()
                axes.set_title(when if not column else "", fontsize="x-small", loc="left")
            if specimen.sounds:
                _spectrogram(part.add_subplot(grid[row, n_columns:]), *specimen.sounds[row], title=when)
    _save(figure, path)


def _spectrogram(axes: Any, samples: NDArray[np.float32], rate_hz: int, *, title: str) -> None:
    window = min(512, max(len(samples), 1))
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, window)), window)[:: max(window // 4, 1)]
    level = 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)).T + 1e-6)
    extent = (0, len(samples) / rate_hz, 0, rate_hz / 2000)
    axes.imshow(level, origin="lower", aspect="auto", cmap="magma", vmin=-60, vmax=40, extent=extent)
    axes.set_title(f"{title}, kHz over s".removeprefix(", "), fontsize="x-small", loc="left")
    axes.tick_params(labelsize="xx-small")


@dataclass(frozen=True, slots=True)
class Line:
    """The values of one system under several conditions and on clean samples, with intervals; NaN for none."""

    name: str
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    clean: float


def condition_curve(
    path: Path, conditions: Sequence[float] | Sequence[str], lines: Sequence[Line], *, x_name: str, y_name: str
) -> None:
    """Draw how performance drops as corruption increases: a line with its intervals; the clean value is dashed.

    Conditions that are numbers are placed by value on an axis that runs in the order in which they are given; up to ten
    of them are its ticks. Names are placed side by side, as points with the intervals as bars. Of more than two systems
    the clean values are left out, and the names are next to the axes.
    """
    are_many = len(lines) > 2
    figure = _figure(9.0, max(4.2, 1.0 + 0.22 * len(lines))) if are_many else _figure(6.4, 3.6)
    axes = figure.add_subplot()
    names = [condition for condition in conditions if isinstance(condition, str)]
    at = np.arange(len(names), dtype=np.float64) if names else np.asarray(conditions, dtype=np.float64)
    for number, line in enumerate(lines):
        colour = f"C{number % 10}" if are_many else (VALUE, LOSS)[number]
        marker = _MARKERS[number // 10 % len(_MARKERS)]
        if names:
            aside = min(_ASIDE, _WIDEST / len(lines))
            _points(axes, at + aside * (number - (len(lines) - 1) / 2), line, colour, marker)
        else:
            _line(axes, at, line, colour, marker)
        if not are_many:
            axes.axhline(line.clean, color=colour, linestyle="--", linewidth=1, label=f"{line.name}, clean")
    if names:
        axes.set_xticks(at, [printable(name, None) for name in names])
    elif len(at) <= _MOST_TICKS:
        axes.set_xticks(at, [f"{number:g}".replace("-", "\N{MINUS SIGN}") for number in at])
    if not names and len(at) > 1 and at[0] > at[-1]:
        axes.invert_xaxis()
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if are_many else {}
    axes.legend(frameon=False, fontsize="small", **place)
    _save(figure, path)


def rank_chart(
    path: Path, ranks: Sequence[tuple[str, float]], groups: Sequence[tuple[int, int]], critical_difference: float
) -> None:
    """Draw mean ranks on a line, the critical difference above it, and a bar under systems that do not differ by it.

    The critical-difference diagram of Demšar, 2006: the best half of the systems is named on the left.

    Args:
        path: `.svg` or `.png` file to write.
        ranks: names and mean ranks, ascending.
        groups: the first and the last number of systems that a bar joins.
        critical_difference: in ranks.
    """
    n, n_left = len(ranks), (len(ranks) + 1) // 2
    bars = 0.25 * len(groups)
    figure = _figure(8.0, 1.2 + bars / 2 + 0.3 * n_left)
    axes = figure.add_subplot()
    axes.hlines(0, 1, n, color="black", linewidth=1)
    for tick in range(1, n + 1):
        axes.vlines(tick, 0, 0.15, color="black", linewidth=1)
        axes.text(tick, 0.25, f"{tick}", ha="center", va="bottom", fontsize="small")
    half = critical_difference / 2
    axes.errorbar(1 + half, 1.2, xerr=half, color="black", capsize=4, linewidth=1.2)
    axes.text(1 + half, 1.3, f"CD = {critical_difference:.2f}", ha="center", va="bottom", fontsize="small")
    for row, (first, last) in enumerate(groups):
        ends = ranks[first][1] - 0.03, ranks[last][1] + 0.03
        axes.hlines(-0.25 * (row + 1), *ends, color=VALUE, linewidth=4)
    margin = 0.06 * max(n - 1, 1)
    for number, (name, rank) in enumerate(ranks):
        is_left = number < n_left
        depth = -(bars + 0.5 + 0.6 * (number if is_left else n - 1 - number))
        edge = 1 - margin if is_left else n + margin
        axes.plot([rank, rank, edge], [0, depth, depth], color="0.35", linewidth=1)
        side = {"ha": "right"} if is_left else {"ha": "left"}
        text = f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}"
        axes.text(edge + (-margin / 4 if is_left else margin / 4), depth, text, va="center", fontsize="small", **side)
    axes.set_xlim(1 - margin, max(n + margin, 1.05 + critical_difference))
    axes.set_ylim(-(bars + 0.6 * n_left + 0.3), 1.9)
    axes.set_axis_off()
    _save(figure, path)


@dataclass(frozen=True, slots=True)
class Panel:
    """Values with intervals, one below the other on one axis: names, values, and ends, None where there are none.

    `lines` are what each row is compared with, None where there is nothing; they are drawn dashed, as `line_name`.
    """

    x_name: str
    rows: Sequence[tuple[str, float | None, float | None, float | None]]
    limits: tuple[float, float] | None = None
    lines: Sequence[float | None] = ()
    line_name: str = ""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Shares of right answers with their ends by mean probability, and how many samples each is of."""

    title: str
    points: Sequence[tuple[float, float, float | None, float | None, int]]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix: rows are references, columns predictions, of which the first are the same labels."""

    title: str
    labels: Sequence[str]
    counts: Sequence[Sequence[int]]


def interval_chart(
    title: str,
    panels: Sequence[Panel],
    matrix: Matrix | None = None,
    reliability: Reliability | None = None,
) -> Any:
    """Return a figure of values with intervals, panels below each other; next to them reliability and confusions."""
    sizes = [len(panel.rows) + 1 for panel in panels]
    aside = [part for part in (reliability, matrix) if part is not None]
    height = max(1.2 + 0.3 * sum(sizes), 4.6 if aside else 0.0)
    figure = _figure(6.4 + 4.4 * len(aside), height)
    grid = figure.add_gridspec(
        len(panels), 1 + len(aside), height_ratios=sizes, width_ratios=[6.4, *[4.4] * len(aside)]
    )
    for number, panel in enumerate(panels):
        is_first = not any(line is not None for earlier in panels[:number] for line in earlier.lines)
        _intervals(figure.add_subplot(grid[number, 0]), panel, has_legend=is_first)
    for column, part in enumerate(aside, 1):
        axes = figure.add_subplot(grid[:, column])
        _shaded(axes, part) if isinstance(part, Matrix) else _reliable(axes, part)
    figure.suptitle(title, fontsize="medium", fontweight="bold", x=0.01, ha="left")
    _make_plain(figure)
    return figure


def _intervals(axes: Any, panel: Panel, *, has_legend: bool) -> None:
    at = np.arange(len(panel.rows))
    value, low, high = np.array([row[1:] for row in panel.rows], dtype=np.float64).T
    axes.hlines(at, low, high, color=VALUE, alpha=0.45, linewidth=5)
    axes.plot(value, at, "o", color=VALUE, markersize=6)
    places = [(line, row) for row, line in enumerate(panel.lines) if line is not None]
    if places:
        lines, rows = np.array(places).T
        axes.vlines(lines, rows - 0.4, rows + 0.4, color="0.25", linestyle="--", linewidth=1.2)
    if places and has_legend:
        axes.plot([], [], "--", color="0.25", linewidth=1.2, label=panel.line_name)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize="small", borderpad=0)
    axes.set_yticks(at, [printable(name, None) for name, *_ in panel.rows])
    axes.set_ylim(len(at) - 0.5, -0.5)
    axes.set_xlim(panel.limits)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(panel.x_name)
    axes.grid(axis="x", alpha=0.3)
    _without_frame(axes)


def _reliable(axes: Any, reliability: Reliability) -> None:
    x, share, low, high, n = np.array(reliability.points, dtype=np.float64).T
    axes.bar(x, 0.18 * n / n.max(), width=0.03, color=VALUE, alpha=SPREAD)
    axes.plot([0, 1], [0, 1], "--", color="0.25", linewidth=1)
    axes.vlines(x, low, high, color=VALUE, alpha=0.45, linewidth=4)
    axes.plot(x, share, "o", color=VALUE, markersize=5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean probability", ylabel="share right", aspect="equal")
    axes.set_title(reliability.title, fontsize="small")
    axes.grid(alpha=0.3)
    _without_frame(axes)


def _without_frame(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)


def _shaded(axes: Any, matrix: Matrix) -> None:
    counts = np.asarray(matrix.counts, dtype=np.float64)[:, : len(matrix.labels)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts) if len(counts) <= _MOST_NUMBERED else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]:,.0f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    names = [printable(name, None) for name in matrix.labels]
    axes.set_xticks(np.arange(len(names)), names, rotation=90)
    axes.set_yticks(np.arange(len(counts)), names[: len(counts)])
    axes.set_xlabel("prediction")
    axes.set_ylabel("reference")
    axes.set_title(matrix.title, fontsize="small")


_MOST_NUMBERED = 12
"""The largest number of labels with counts in their cells."""

_MOST_TICKS = 10
"""The largest number of conditions of which each has a tick."""

_ASIDE, _WIDEST = 0.15, 0.7
"""The distance of the points of two systems, and at most of the first and the last, where that of conditions is 1."""

_MARKERS = "os^Dv"
"""Systems of one colour, of more than ten, differ in their markers."""


def _points(axes: Any, at: NDArray[np.float64], line: Line, colour: str, marker: str) -> None:
    value, low, high = (np.asarray(part, dtype=np.float64) for part in (line.values, line.low, line.high))
    errors = np.clip(np.nan_to_num([value - low, high - value]), 0, None)
    axes.errorbar(at, value, yerr=errors, fmt=marker, color=colour, capsize=3, label=line.name)


def _line(axes: Any, at: NDArray[np.float64], line: Line, colour: str, marker: str) -> None:
    order = np.argsort(at, kind="stable")
    value, low, high = (np.asarray(part, dtype=np.float64)[order] for part in (line.values, line.low, line.high))
    axes.fill_between(at[order], low, high, color=colour, alpha=SPREAD, linewidth=0)
    axes.plot(at[order], value, f"{marker}-", color=colour, markersize=4, label=line.name)


def _band(axes: Any, x: NDArray[Any], values: NDArray[np.float64], colour: str) -> None:
    finite = np.where(np.isfinite(values), values, np.nan)
    has_value = ~np.isnan(finite).all(1)
    x, finite = x[has_value], finite[has_value]
    axes.plot(x, np.nanmean(finite, 1), color=colour)
    axes.fill_between(x, np.nanmin(finite, 1), np.nanmax(finite, 1), color=colour, alpha=SPREAD, linewidth=0)


def require_matplotlib() -> None:
    """Raise `MissingExtra` without matplotlib: before long work whose result is to be drawn."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingExtra("a chart (matplotlib)", "charts")


def _figure(width: float, height: float) -> Any:
    """Return an empty figure, in inches, without pyplot and its global state."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _make_plain(figure: Any) -> None:
    """Make all text printable, and none of it a formula."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text("\n".join(printable(line, None) for line in text.get_text().split("\n")))


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    _make_plain(figure)
    form = path.suffix.removeprefix(".")
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": "merbench"}), atomic_path(path) as target:
        figure.savefig(target, format=form, dpi=150, metadata=metadata)
