"""Single samples: what was answered, how right that is, and how much each sample moves every metric.

Conventions:
    Rows are the scored samples, in the order of sorted sample ids. The influence of a sample on a value is the value on
    all scored samples minus the value on all of them but this one (leave-one-out); NaN, in a table null, if either has
    no value. A sample that does not count for a metric has no influence on it: 0.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates
from merbench.corpus.declaration import ID
from merbench.errors import PolicyError, UsageError
from merbench.files.writing import atomic_path, write_text
from merbench.metrics.sums import LeftOut
from merbench.report import WorstSample, csv_cell
from merbench.report.scorecard import MOST_WORST
from merbench.scoring.aligned import Aligned, align, candidates_of, read_for
from merbench.scoring.evaluation import (
    MOST_VALUES,
    Draws,
    Values,
    evaluate,
    metric_values,
    ones,
    prepared_of,
)
from merbench.targets import Target
from merbench.track import OVERALL, MetricSpec, Track

if TYPE_CHECKING:
    from merbench.scoring.aligned import Source

DECIMALS = 12
"""Influences are rounded to this many decimals, so that equal ones are equal."""

MOST_JUDGED, MOST_WEIGHTS = 100_000, 1 << 22
"""With more samples than this, or more weights in all passes through them, a report has no worst samples."""


def per_sample(track: str | Path | Track | Candidates, submission: Source, *, split: str = "test") -> pa.Table:
    """Return a table of the scored samples of a submission; `to_pandas()` makes a data frame of it.

    Its columns are `sample_id`; of every target `<target>.reference` and `<target>.prediction` (null for an answer
    outside the vocabulary), and how right the answer is: `correct`, `rank`, `error`, `precision`, `recall`, `f1` or
    `ranked_right`, by kind of target; and `influence.<metric>` for every metric and for the overall score. Cells of a
    target for which a sample does not count are null.

    Args:
        track: as for `score`, as are the other two.
        submission: a file, a table, or a submission that was read before.
        split: which split of the track.

    Raises:
        PolicyError: it is secret which samples of the split are scored.
        WithheldReference: the references are withheld.
        InvalidSubmission: the file has problems; all are listed.
    """
    candidates = candidates_of(track, split)
    require_visible(candidates, "values of single samples")
    aligned = align(read_for(candidates, submission))
    columns: dict[str, Any] = {ID: candidates.ids.take(pa.array(candidates.references.index))}
    for name, target in aligned.track.targets.items():
        columns |= {f"{name}.{key}": column for key, column in _answer_columns(aligned, name, target)}
    labels = {spec.key: aligned.track.metric_label(spec) for spec in aligned.track.metrics}
    for key, values in influences(aligned).items():
        columns[f"influence.{labels.get(key, key)}"] = _column(values)
    return pa.table(columns)


def require_visible(candidates: Candidates, what: str) -> None:
    """Raise `PolicyError` for `what` of a split of which it is secret which samples are scored."""
    if candidates.hidden:
        raise PolicyError(
            f"{candidates.track.key}: split '{candidates.split}' keeps secret which candidates are scored, and {what} "
            "would show it; name a split without a hidden part: --split NAME"
        )


def _answer_columns(aligned: Aligned, name: str, target: Target) -> Iterator[tuple[str, pa.Array]]:
    """Yield reference, prediction and how right it is as columns of all rows; null where a row does not count."""
    part = aligned.part(name)
    places = None
    if part.rows is not None:
        at = np.full(aligned.n, -1)
        at[part.rows] = np.arange(len(part.rows))
        places = pa.array(np.ma.masked_less(at, 0))
    columns = {"reference": target.shown(part.reference), "prediction": target.shown(part.prediction)}
    columns |= {key: _column(values) for key, values in how_right(aligned, name).items()}
    for key, column in columns.items():
        yield key, column if places is None else column.take(places)


def _column(values: NDArray[Any]) -> pa.Array:
    shown = [round(value, DECIMALS) for value in values.tolist()] if values.dtype.kind == "f" else values
    return pa.array(shown, mask=~np.isfinite(values))


def how_right(aligned: Aligned, name: str) -> Mapping[str, NDArray[Any]]:
    """Return the `sample_columns` of a target, of the rows that count for it, as its first metric prepares them."""
    part = aligned.part(name)
    first = next((spec for spec in aligned.track.metrics if spec.target == name), None)
    prepared = None if first is None else prepared_of(aligned, first)
    return aligned.track.targets[name].sample_columns(part.reference, part.prediction, prepared)


def influences(aligned: Aligned) -> Draws:
    """Return the `(n,)` influences on all metrics, by key, and on the overall score where weights declare it."""
    plain, specs = evaluate(aligned, ones(aligned)), aligned.track.metrics
    moved = {spec.key: _influence(aligned, spec, float(plain[spec.key][0])) for spec in specs}
    weighted = [(spec.weight, moved[spec.key]) for spec in specs if spec.weight is not None]
    if weighted:
        overall = sum((weight * values for weight, values in weighted), np.zeros(aligned.n))
        moved = {OVERALL: np.round(overall, DECIMALS) + 0.0, **moved}
    return moved


def _influence(aligned: Aligned, spec: MetricSpec, plain: float) -> Values:
    """Return the `(n,)` influences on one metric, whose value on all samples is known."""
    rows, places = _distinct(aligned, spec)
    widest = len(aligned.track.targets[spec.target].scored_labels)
    if spec.per is not None:
        widest = max(widest, len(aligned.groupings[spec.per].names))
    step = max(1, MOST_VALUES // max(1, widest if spec.metric.sums_only else aligned.n))
    without = []
    for start in range(0, len(rows), step):
        weights = LeftOut(rows[start : start + step], aligned.n)
        without.append(metric_values(aligned, spec, weights if spec.metric.sums_only else weights.spread()))
    with np.errstate(invalid="ignore"):
        moved = np.round(plain - np.concatenate(without), DECIMALS) + 0.0
    return np.asarray(moved[places])


def _distinct(aligned: Aligned, spec: MetricSpec) -> tuple[NDArray[np.intp], Any]:
    """Return the rows to leave out, and where among them each row is: of rows that are alike, one is enough."""
    part, alike = aligned.part(spec.target), None
    if spec.per is None and spec.metric.from_classes is not None:
        n_labels = len(aligned.track.targets[spec.target].scored_labels)
        alike = part.reference.astype(np.int64) * (n_labels + 1) + part.prediction + 1
    elif spec.per is None:
        alike = getattr(prepared_of(aligned, spec), "alike", None)
    if alike is None:
        return np.arange(aligned.n), slice(None)
    codes = np.full(aligned.n, -1)
    codes[slice(None) if part.rows is None else part.rows] = alike
    if codes.max() > len(codes):
        _, first, places = np.unique(codes, return_index=True, return_inverse=True)
        return first, places
    first = np.full(codes.max() + 2, -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    present = np.flatnonzero(first >= 0)
    numbers = np.empty(len(first), dtype=np.intp)
    numbers[present] = np.arange(len(present))
    return first[present], numbers[codes]


def _n_passes(aligned: Aligned, spec: MetricSpec) -> int:
    """Return about how often the influences on a metric go through all samples; a group costs as much as 16 times."""
    if not spec.metric.sums_only:
        return len(_distinct(aligned, spec)[0])
    return 1 if spec.per is None else 16 * len(aligned.groupings[spec.per].names)


def worst_samples(candidates: Candidates, aligned: Aligned, plain: Mapping[str, float]) -> tuple[WorstSample, ...]:
    """Return the answers that cost the score by which a track ranks first most, the costliest first.

    `plain` are the values of the metrics on all samples. Of an overall score an answer's influence is that through the
    metrics of its target. Equal ones are in the order of ids. There are none in very large sets: see `MOST_JUDGED`.
    """
    track, first = aligned.track, aligned.track.ranked_by[0]
    ranking = {spec.key: spec.weight if first == OVERALL else 1.0 for spec in track.metrics}
    specs = [spec for spec in track.metrics if ranking[spec.key] and first in (OVERALL, track.metric_label(spec))]
    if aligned.n > MOST_JUDGED or any(aligned.n * _n_passes(aligned, spec) > MOST_WEIGHTS for spec in specs):
        return ()
    sign = 1.0 if first == OVERALL or specs[0].metric.higher_is_better else -1.0
    worst: list[tuple[float, int, str]] = []
    for name in dict.fromkeys(spec.target for spec in specs):
        moved = np.zeros(aligned.n)
        for spec in (spec for spec in specs if spec.target == name):
            moved = moved + (ranking[spec.key] or 0.0) * _influence(aligned, spec, plain[spec.key])
        moved = np.round(moved, DECIMALS) + 0.0
        rows = _costliest(-sign * moved)
        worst += zip(moved[rows].tolist(), rows.tolist(), repeat(name))
    worst.sort(key=lambda item: (sign * item[0], item[1]))
    made: dict[tuple[int, str], WorstSample] = {}
    for name in {name for *_, name in worst[:MOST_WORST]}:
        moves = {row: moved for moved, row, own in worst[:MOST_WORST] if own == name}
        rows = np.array(list(moves))
        ids = candidates.ids.take(pa.array(candidates.references.index[rows])).to_pylist()
        shown = [track.targets[name].shown(side[name][rows]) for side in (aligned.reference, aligned.prediction)]
        true, given = ([cell_text(cell) for cell in side.to_pylist()] for side in shown)
        for (row, moved_by), *texts in zip(moves.items(), ids, true, given, strict=True):
            made[row, name] = WorstSample(texts[0], name, texts[1], texts[2], moved_by)
    return tuple(made[row, name] for _, row, name in worst[:MOST_WORST])


def _costliest(cost: Values) -> NDArray[np.intp]:
    """Return the rows of the highest costs above 0, `MOST_WORST` at most, the highest first and equal ones in order."""
    least = 0.0 if len(cost) <= MOST_WORST else max(0.0, float(np.partition(cost, -MOST_WORST)[-MOST_WORST]))
    rows = np.flatnonzero((cost >= least) & (cost > 0))
    return rows[np.argsort(-cost[rows], kind="stable")][:MOST_WORST]


def cell_text(value: Any) -> str:
    """Return what a cell of a table shows: a number by six digits, the items of a list with commas between them."""
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


SUFFIXES = (".csv", ".parquet", ".jsonl")


def require_samples_file(path: Path, report: str = "-") -> None:
    """Raise `UsageError` for a file that `write_samples` cannot write, or that the report is written to, too."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: unknown suffix '{path.suffix}'; allowed: {', '.join(SUFFIXES)}")
    if path.resolve() == Path(report).resolve():
        raise UsageError(f"{path} is the file of the report; name another one for the samples")


def write_samples(table: pa.Table, path: Path) -> None:
    """Write a table of `per_sample` as CSV, Parquet or JSON Lines, by the suffix.

    In CSV, text that a spreadsheet would run is made harmless, and lists are text.

    Raises:
        UsageError: an unknown suffix.
        OutputError: the file cannot be written.
    """
    require_samples_file(path)
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        with atomic_path(path) as target:
            pq.write_table(table, target)
        return
    if path.suffix.lower() == ".jsonl":
        write_text(path, "".join(f"{json.dumps(row)}\n" for row in table.to_pylist()))
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_cell, table.column_names))
    writer.writerows(zip(*(_csv_column(column) for column in table.columns), strict=True))
    write_text(path, text.getvalue())


def _csv_column(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return values
    return [csv_cell(cell_text(value)) for value in values]
