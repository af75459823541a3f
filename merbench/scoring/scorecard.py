"""A track and a submission go in, a `ScoreReport` comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from merbench.corpus.candidates import Candidates
from merbench.lexicon import open_lexicon
from merbench.metrics.categorical import PerClass, per_class
from merbench.metrics.label_set import coverage
from merbench.metrics.lists import Lists
from merbench.report import ClassRow, Confusion, CoverageRow, Group, Score, ScoreReport
from merbench.resampling import (
    Interval,
    group_masks,
)
from merbench.scoring.aligned import Pair, scored_pair, with_confusion
from merbench.scoring.arguments import asked
from merbench.scoring.breakdown import Grouping, grouping_of
from merbench.scoring.draws import joined
from merbench.scoring.evaluation import class_key, classes_of, evaluate, ones, plain_values, portions
from merbench.scoring.inputs import candidates_of, read_for, reasons_withheld
from merbench.scoring.uncertainty import (
    clusters_of,
    intervals_of,
    resampling_of,
    signature,
    stream_name,
    uncertainty_of,
    warnings_of,
)
from merbench.submission import Submission
from merbench.track import OVERALL, Track

if TYPE_CHECKING:
    from merbench.scoring.inputs import Source


def score(
    track: str | Path | Track | Candidates,
    submission: Source,
    *,
    split: str = "test",
    intervals: bool = True,
    method: str | None = None,
    level: float | None = None,
    n_resamples: int | None = None,
    cluster: str | None = None,
    seed: int = 0,
    by: str | Sequence[str] = (),
) -> ScoreReport:
    """Return the scores of a submission with their uncertainty.

    Args:
        track: a name, a folder, a loaded track, or its opened candidates (the fastest, when many files are scored).
        submission: a file, `-` for standard input, a table, or a submission that was read before.
        split: which split of the track; ignored where opened candidates say it.
        intervals: whether to resample.
        method: `percentile` or `bca`; None takes what the track declares, as do the next three.
        level: level of the intervals, such as 0.95.
        n_resamples: number of bootstrap draws.
        cluster: corpus column whose samples are drawn together (`speaker`); `none` draws them one by one.
        seed: seed of the draws.
        by: a corpus column, or several, to break the scores down by; continuous ones are binned.

    Raises:
        UsageError: an argument is of another type, or names nothing that is there.
        InvalidSubmission: the file has problems; all are listed.
        WithheldReference: the references are not held here.
        UndefinedMetric: a metric has no value on these data.
    """
    draws = asked(method, level, n_resamples, cluster, seed)
    read = read_for(candidates_of(track, split), submission)
    candidates, pair = read.candidates, scored_pair(read)
    how = resampling_of(candidates.track, *draws) if intervals else None
    clusters = clusters_of(candidates, how)
    groupings = [grouping_of(candidates, column) for column in ([by] if isinstance(by, str) else by)]
    selections = [rows for grouping in groupings for rows in grouping.rows]

    classes = classes_of(pair, ones(pair))
    plain = plain_values(pair, classes)
    bounds, *group_bounds = intervals_of(pair, how, clusters, selections, stream_name(candidates, seed))
    return ScoreReport(
        track=candidates.track.key,
        title=candidates.track.title,
        corpus=candidates.corpus.name,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        hidden=candidates.hidden,
        signature=signature(candidates, how),
        formula=candidates.track.formula,
        scores=tuple(scores_of(candidates.track, plain, bounds, pair)),
        counts=_counts(read, pair),
        digests={
            "submission": read.digest,
            "references": candidates.references.digest,
            "track": candidates.track.fingerprint,
            **{f"groups of {name}": digest for name, digest in pair.group_digests.items()},
        },
        per_class=(*_class_rows(pair, classes, bounds), *_label_rows(pair)),
        confusions=tuple(_confusions(pair)),
        coverage=tuple(_coverage_rows(read, pair)),
        groups=tuple(_groups(pair, groupings, group_bounds)),
        uncertainty=uncertainty_of(how, clusters),
        warnings=(*read.warnings, *warnings_of(pair, how, clusters, bounds)),
        decimals=candidates.track.ranking.decimals,
        source=read.source,
    )


def public_score(read: Submission) -> ScoreReport:
    """Return what a participant may see of a submission's scores; no error quotes references of a hidden split.

    Raises:
        WithheldReference: the references are not held here.
        UndefinedMetric: a metric has no value on these data; or, of a hidden split, it cannot be scored.
    """
    with reasons_withheld(read.candidates):
        return score(read.candidates, read, intervals=not read.candidates.hidden).public()


def scores_of(
    track: Track, plain: Mapping[str, float], bounds: Mapping[str, Interval], pair: Pair | None = None
) -> Iterator[Score]:
    """Yield the overall score, where there is one, then the metrics in the order of the track.

    With `pair` every metric says how many of its rows count.
    """
    if OVERALL in plain:
        yield _score(OVERALL, OVERALL, None, plain, bounds, None, True)
    for spec in track.metrics:
        better = spec.metric.higher_is_better
        score = _score(spec.key, track.metric_label(spec), spec.target, plain, bounds, spec.weight, better)
        yield score if pair is None else replace(score, n_scored=pair.n_scored(spec.target))


def _score(
    key: str,
    name: str,
    target: str | None,
    plain: Mapping[str, float],
    bounds: Mapping[str, Interval],
    weight: float | None,
    higher_is_better: bool,
) -> Score:
    interval, value = bounds.get(key), plain[key]
    return Score(
        key=key,
        name=name,
        target=target,
        value=value if np.isfinite(value) else None,
        low=_end(interval.low) if interval else None,
        high=_end(interval.high) if interval else None,
        weight=weight,
        higher_is_better=higher_is_better,
        n_left_out=interval.n_left_out if interval else 0,
    )


def _end(value: float) -> float | None:
    """Return the end of an interval; None where it has none."""
    return value if np.isfinite(value) else None


def _counts(read: Submission, pair: Pair) -> dict[str, int]:
    counts = {
        "candidates": len(read.candidates),
        "scored": pair.n_counting,
        "rows": read.n_rows,
        "extra": read.n_extra,
        "out_of_vocabulary": sum(_n_outside(pair, name) for name in pair.track.targets),
    }
    rows = read.candidates.references.index
    dropped = sum(int(mask[rows].sum()) for mask in read.dropped.values())
    return {**counts, "dropped": dropped} if dropped else counts


def _n_outside(pair: Pair, name: str) -> int:
    """Return how many answers, of ranked ones the first, are outside the vocabulary of a target that has one."""
    if name not in dict(with_confusion(pair.track)):
        return 0
    return int((pair.codes(name).prediction < 0).sum())


def _class_rows(pair: Pair, classes: Mapping[str, PerClass], bounds: Mapping[str, Interval]) -> Iterator[ClassRow]:
    for name, labels in with_confusion(pair.track):
        rows = classes[name]
        for code, label in enumerate(labels):
            interval = bounds.get(class_key(name, label)) if rows.n[0, code] else None
            yield ClassRow(
                target=name,
                label=label,
                n=int(rows.n[0, code]),
                precision=float(rows.precision[0, code]),
                recall=float(rows.recall[0, code]),
                f1=float(rows.f1[0, code]),
                f1_low=_end(interval.low) if interval else None,
                f1_high=_end(interval.high) if interval else None,
            )


def _label_rows(pair: Pair) -> Iterator[ClassRow]:
    """Yield a row for every label of multilabel targets, of the samples in which the label is known."""
    for name, target in pair.track.targets.items():
        part = pair.part(name)
        for column, label in enumerate(target.label_columns):
            known = part.reference[:, column] >= 0
            both = part.reference[known, column], part.prediction[known, column]
            rows = per_class(*both, np.ones((1, int(known.sum())), dtype=np.uint8), n_labels=2)
            values = (float(column_values[0, 1]) for column_values in (rows.precision, rows.recall, rows.f1))
            yield ClassRow(name, label, int(rows.n[0, 1]), *values)


def _confusions(pair: Pair) -> Iterator[Confusion]:
    for name, labels in with_confusion(pair.track):
        part, columns = pair.codes(name), len(labels) + 1
        answers = np.where(part.prediction < 0, columns - 1, part.prediction)
        cells, counts = np.unique(part.reference.astype(np.int64) * columns + answers, return_counts=True)
        rows = zip(*(values.tolist() for values in (*np.divmod(cells, columns), counts)), strict=True)
        yield Confusion(name, labels, tuple(rows))


def _coverage_rows(read: Submission, pair: Pair) -> Iterator[CoverageRow]:
    """Yield how much of the references, and of the answers for all candidates, the lexicon of a target knows."""
    for name, target in pair.track.targets.items():
        if (named := target.lexicon_name) is None:
            continue
        sides: dict[Literal["reference", "prediction"], Any]
        sides = {"reference": pair.part(name).reference, "prediction": read.values[name]}
        for side, values in sides.items():
            assert isinstance(values, Lists)
            found = coverage(values, open_lexicon(named))
            share = found.n_unknown / max(found.n_labels, 1)
            yield CoverageRow(name, side, found.n_labels, found.n_unknown, share, found.frequent)


def _groups(pair: Pair, groupings: Iterable[Grouping], bounds: Sequence[Mapping[str, Interval]]) -> Iterator[Group]:
    remaining = iter(bounds)
    for grouping in groupings:
        blocks = group_masks(grouping.codes, len(grouping.names))
        values = joined([evaluate(pair, masks) for block in blocks for masks in portions(pair, block)])
        for code, name in enumerate(grouping.names):
            plain = {key: float(column[code]) for key, column in values.items()}
            scores = tuple(scores_of(pair.track, plain, next(remaining)))
            yield Group(grouping.column, name, len(grouping.rows[code]), scores)
