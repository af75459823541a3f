"""A track and a submission become a `ScoreReport`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from merbench.corpus.candidates import Candidates
from merbench.errors import IntegrityError, InvalidSubmission, MerbenchError, UndefinedMetric, WithheldReference
from merbench.intervals import Interval
from merbench.lexicon import open_lexicon
from merbench.metrics.categorical import PerClass
from merbench.metrics.label_set import coverage
from merbench.report import (
    Bin,
    Calibration,
    Ceiling,
    ClassRow,
    Confusion,
    CoverageRow,
    Group,
    Score,
    ScoreReport,
)
from merbench.resampling import group_masks
from merbench.scoring.aligned import Aligned, Grouping, align, candidates_of, grouping_of, read_for, with_confusion
from merbench.scoring.calibration import SCORES, bin_key, impossible_labels, reliabilities, with_calibration
from merbench.scoring.ceilings import ONE_ANNOTATOR, annotated, ceiling_key, ceiling_values
from merbench.scoring.evaluation import (
    CLASS_MEASURES,
    Draws,
    class_key,
    classes_of,
    evaluate,
    joined,
    label_counts,
    metric_values,
    ones,
    plain_values,
    portions,
)
from merbench.scoring.samples import worst_samples
from merbench.scoring.signatures import signature
from merbench.scoring.uncertainty import Resampling, intervals_of, resampling_of, warnings_of
from merbench.submission import Submission
from merbench.track import OVERALL, Track

if TYPE_CHECKING:
    from merbench.scoring.aligned import Source

Bounds = Mapping[str, Interval]
_NO_INTERVAL = Interval(np.nan, np.nan)


def score(  # noqa: PLR0913
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
        split: which split of the track; ignored where candidates are given.
        intervals: whether to resample; without, there are only values: no worst samples either.
        method: how intervals are made: `default` (each metric's own way), `jackknife_t`, `bca_t`, `bca` or
            `percentile`; None takes what the track declares, as do the next three.
        level: level of the intervals, such as 0.95.
        n_resamples: number of bootstrap resamples.
        cluster: corpus column whose samples are resampled together (`speaker`); `none` resamples them one by one.
        seed: seed of the resamples.
        by: a corpus column, or several, to break the scores down by; continuous ones are binned.

    Raises:
        UsageError: an argument of another type, or a name that does not exist.
        InvalidSubmission: the file has problems; all are listed.
        WithheldReference: the references are withheld.
        UndefinedMetric: a metric has no value on these data.
    """
    candidates = candidates_of(track, split)
    how = resampling_of(candidates, method, level, n_resamples, cluster, seed)
    read = read_for(candidates, submission)
    return score_and_draws(read, how.in_range() if intervals else None, [by] if isinstance(by, str) else by)[0]


def score_and_draws(read: Submission, how: Resampling | None, by: Sequence[str] = ()) -> tuple[ScoreReport, Draws]:
    """Return the scores of a submission, and the draws that their intervals are of, by key; empty without intervals."""
    candidates, track, aligned = read.candidates, read.candidates.track, align(read, detailed=True)
    groupings = [grouping_of(candidates, column) for column in by]
    classes = classes_of(aligned, ones(aligned))
    plain = plain_values(aligned, classes)
    selections = [rows for grouping in groupings for rows in grouping.rows()]
    (bounds, *of_groups), draws = intervals_of(aligned, how, selections)
    if how is not None:
        bounds = with_calibration(aligned, bounds, draws, how.level, how.degrees + 1)
    report = ScoreReport(
        track=track.key,
        title=track.title,
        corpus=candidates.corpus.name,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        hidden=candidates.hidden,
        signature=signature(candidates, how),
        formula=track.formula,
        scores=tuple(scores_of(track, plain, bounds, aligned)),
        counts=_counts(read, aligned),
        digests={
            "submission": read.digest,
            "references": candidates.references.digest,
            "track": track.fingerprint,
            **{f"groups of {name}": synonyms.digest for name, synonyms in aligned.synonyms.items()},
        },
        per_class=tuple(_class_rows(aligned, {**classes, **label_counts(aligned, ones(aligned))}, bounds)),
        confusions=tuple(_confusions(aligned)),
        coverage=tuple(_coverage_rows(read, aligned)),
        groups=tuple(_groups(aligned, groupings, iter(of_groups))),
        worst=() if how is None else worst_samples(candidates, aligned, plain),
        calibration=tuple(_calibrations(aligned, bounds)),
        ceilings=tuple(_ceilings(aligned, bounds)),
        uncertainty=None if how is None else how.uncertainty,
        warnings=(
            *read.warnings,
            *candidates.references.warnings,
            *impossible_labels(aligned),
            *warnings_of(aligned, how, bounds),
        ),
        decimals=track.ranking.decimals,
        source=read.source,
    )
    return report, draws


def public_score(read: Submission) -> ScoreReport:
    """Return what a participant may see of a submission's scores; no error quotes references of a hidden split.

    Raises:
        WithheldReference: the references are withheld.
        UndefinedMetric: a metric has no value on these data; or, of a hidden split, it cannot be scored.
    """
    return public_score_and_draws(read)[0]


def public_score_and_draws(read: Submission) -> tuple[ScoreReport, Draws]:
    """Return what `public_score` returns, and the draws of its intervals, by key; none of a hidden split."""
    with reasons_withheld(read.candidates):
        how = None if read.candidates.hidden else resampling_of(read.candidates).in_range()
        report, draws = score_and_draws(read, how)
        return report.public(), draws


@contextmanager
def reasons_withheld(candidates: Candidates, what: str = "no value for these predictions") -> Iterator[None]:
    """Keep an error from quoting the references of a hidden split.

    Raises:
        UndefinedMetric: of a hidden split, for an error of merbench's own: `what`, and no reason.
        RuntimeError: of a hidden split, for any other exception: only its type.
    """
    try:
        yield
    except (WithheldReference, InvalidSubmission, IntegrityError):
        raise
    except Exception as error:
        if not candidates.hidden:
            raise
        if isinstance(error, MerbenchError):
            raise UndefinedMetric(f"{what}; a hidden split does not show why") from error
        raise RuntimeError(f"{type(error).__name__}; a hidden split does not show why") from error


def scores_of(
    track: Track, plain: Mapping[str, float], bounds: Bounds, aligned: Aligned | None = None
) -> Iterator[Score]:
    """Yield the overall score, where there is one, then the metrics in the order of the track.

    With `aligned` every metric has the number of its rows that count.
    """
    for key, spec in [(OVERALL, None), *((spec.key, spec) for spec in track.metrics)]:
        if key not in plain:
            continue
        interval = bounds.get(key, _NO_INTERVAL)
        yield Score(
            key=key,
            name=track.metric_label(spec) if spec else OVERALL,
            target=spec.target if spec else None,
            value=_finite(plain[key]),
            low=_finite(interval.low),
            high=_finite(interval.high),
            weight=spec.weight if spec else None,
            higher_is_better=spec is None or spec.metric.higher_is_better,
            n_left_out=interval.n_left_out,
            n_scored=aligned.n_scored(spec.target) if aligned and spec else None,
            method=interval.method,
        )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _counts(read: Submission, aligned: Aligned) -> dict[str, int]:
    # Of ranked answers, the first counts as outside the vocabulary.
    outside = (aligned.codes(name).prediction < 0 for name, _ in with_confusion(aligned.track))
    counts = {
        "candidates": len(read.candidates),
        "scored": aligned.n_counting,
        "rows": read.n_rows,
        "extra": read.n_extra,
        "out_of_vocabulary": sum(int(mask.sum()) for mask in outside),
    }
    rows = read.candidates.references.index
    dropped = sum(int(mask[rows].sum()) for mask in read.dropped.values())
    return {**counts, "dropped": dropped} if dropped else counts


def _class_rows(aligned: Aligned, classes: Mapping[str, PerClass], bounds: Bounds) -> Iterator[ClassRow]:
    for name, rows in classes.items():
        for code, label in enumerate(aligned.track.targets[name].scored_labels):
            n = int(rows.n[0, code])
            values: dict[str, Any] = {}
            for measure in CLASS_MEASURES:
                interval = bounds.get(class_key(measure, name, label), _NO_INTERVAL) if n else _NO_INTERVAL
                values[measure] = float(getattr(rows, measure)[0, code])
                values[f"{measure}_low"], values[f"{measure}_high"] = _finite(interval.low), _finite(interval.high)
            yield ClassRow(name, label, n, **values)


def _confusions(aligned: Aligned) -> Iterator[Confusion]:
    for name, labels in with_confusion(aligned.track):
        part, columns = aligned.codes(name), len(labels) + 1
        answers = np.where(part.prediction < 0, columns - 1, part.prediction)
        cells, counts = np.unique(part.reference.astype(np.int64) * columns + answers, return_counts=True)
        rows = zip(*(values.tolist() for values in (*np.divmod(cells, columns), counts)), strict=True)
        yield Confusion(name, labels, tuple(rows))


def _coverage_rows(read: Submission, aligned: Aligned) -> Iterator[CoverageRow]:
    """Yield how much of the references, and of the answers for all candidates, the lexicon of a target knows."""
    for name, target in aligned.track.targets.items():
        if (lexicon := target.lexicon_name) is None:
            continue
        sides: dict[Literal["reference", "prediction"], Any]
        sides = {"reference": aligned.part(name).reference, "prediction": read.values[name]}
        for side, values in sides.items():
            n = coverage(values, open_lexicon(lexicon))
            yield CoverageRow(name, side, n.n_labels, n.n_unknown, n.n_unknown / max(n.n_labels, 1), n.frequent)


def _calibrations(aligned: Aligned, bounds: Bounds) -> Iterator[Calibration]:
    for target, reliability in reliabilities(aligned):
        values, n = reliability.values, len(reliability.values.order)
        plain = {spec.key: float(metric_values(aligned, spec, ones(aligned))[0]) for spec in reliability.specs}
        track = aligned.track.model_copy(update={"metrics": reliability.specs})
        names = SCORES if target in aligned.probabilities else {}
        scores = [
            replace(item, name=names.get(item.name, item.name), weight=None, n_scored=n)
            for item in scores_of(track, plain, bounds)
        ]
        bins = []
        for place, (start, stop) in enumerate(pairwise(reliability.starts.tolist())):
            if start < stop:
                low, high = reliability.ends[place : place + 2].tolist()
                probability, right = (math.fsum(part[start:stop]) for part in (values.probability, values.right))
                size, ends = stop - start, _ends(bounds.get(bin_key(target, place), _NO_INTERVAL))
                bins.append(Bin(low, high, size, probability / size, right / size, *ends))
        yield Calibration(target, n, tuple(scores), tuple(bins))


def _ceilings(aligned: Aligned, bounds: Bounds) -> Iterator[Ceiling]:
    plain = ceiling_values(aligned, ones(aligned))
    for key, target in [(OVERALL, None), *((spec.key, spec.target) for spec in aligned.track.metrics)]:
        if (own := ceiling_key(key)) in plain and np.isfinite(plain[own][0]):
            n = None if target is None else len(annotated(aligned, target))
            yield Ceiling(key, ONE_ANNOTATOR, float(plain[own][0]), *_ends(bounds.get(own, _NO_INTERVAL)), n)


def _ends(interval: Interval) -> tuple[float | None, float | None]:
    return _finite(interval.low), _finite(interval.high)


def _groups(aligned: Aligned, groupings: Sequence[Grouping], bounds: Iterator[Bounds]) -> Iterator[Group]:
    for grouping in groupings:
        blocks = group_masks(grouping.codes, len(grouping.names))
        values = joined([evaluate(aligned, masks) for block in blocks for masks in portions(aligned, block)])
        for code, name in enumerate(grouping.names):
            plain = {key: float(column[code]) for key, column in values.items()}
            scores = tuple(scores_of(aligned.track, plain, next(bounds)))
            yield Group(grouping.column, name, int((grouping.codes == code).sum()), scores)
