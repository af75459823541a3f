"""The report on unknown classes: how well each detector finds them, and how it differs from `msp`, with intervals.

Several sets of classes that were held out in turn are averaged, under weights of the samples that all share. Scores of
all detectors are of the same networks, so differences are paired by samples and by seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from merbench.corpus.candidates import Candidates
from merbench.report import Report, ReportTable, Score
from merbench.scoring import (
    Resampling,
    SeedDraws,
    align,
    resampling_of,
    seed_draws,
    seed_interval,
    seed_intervals,
    signature,
    weighted_sum,
)
from merbench.scoring.evaluation import plain_values
from merbench.scoring.scorecard import scores_of
from merbench.submission import Submission


@dataclass(frozen=True, slots=True)
class DetectorRow:
    """A detector: its mean scores over what was held out, and their differences from those of the first detector."""

    name: str
    says: str
    forward: float  # forward passes of a sample through the network of a fold, counted
    backward: float
    scores: tuple[Score, ...]
    differences: tuple[Score, ...] = ()  # none of the first detector


@dataclass(frozen=True, slots=True)
class ClassesRow:
    """Classes that were held out together: their test samples, and the first ranking value of every detector."""

    classes: tuple[str, ...]
    n_known: int
    n_unknown: int
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class UnknownReport(Report):
    """How well detectors find classes that a baseline did not learn.

    Attributes:
        baseline: the baseline.
        features: the features it learned from.
        n_seeds: how many trainings are averaged.
        detectors: one row each, `msp` first.
        held_out: one row for every set of classes.
        first: the name of the metric in `held_out`.
        remarks: what must be known besides.
    """

    SCHEMA: ClassVar[str] = "merbench.unknown/1"

    baseline: str
    features: tuple[str, ...]
    n_seeds: int
    detectors: tuple[DetectorRow, ...]
    held_out: tuple[ClassesRow, ...]
    first: str
    remarks: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The first line of every form."""
        each = "each class in turn" if len(self.held_out) > 1 else ", ".join(self.held_out[0].classes)
        return f"{super().heading}: {self.baseline} without {each}"

    def tables(self) -> list[ReportTable]:
        """Return scores, differences from the first detector, and the classes one by one if they are several."""
        names = [f"{item.name} {'↑' if item.higher_is_better else '↓'}" for item in self.detectors[0].scores]
        scored = [
            (each.name, f"{each.forward:g} + {each.backward:g}" if each.forward else "–", *map(self._cell, each.scores))
            for each in self.detectors
        ]
        tables = [ReportTable("Detectors", ("detector", "passes", *names), scored)]
        if others := [each for each in self.detectors if each.differences]:
            rows = [(each.name, *map(self._difference, each.differences)) for each in others]
            title = f"Difference from {self.detectors[0].name}"
            tables.append(ReportTable(title, ("detector", *names), rows))
        if len(self.held_out) > 1:
            head = ("held out", "known", "unknown", *(each.name for each in self.detectors))
            of_classes = [
                (", ".join(each.classes), f"{each.n_known:,}", f"{each.n_unknown:,}", *map(self.number, each.values))
                for each in self.held_out
            ]
            tables.append(ReportTable(self.first, head, of_classes))
        return tables

    def _cell(self, item: Score) -> Any:
        return self.estimated(item.value, item.low, item.high)

    def _difference(self, item: Score) -> Any:
        text = f"{item.value or 0.0:+.{self.decimals}f}"
        if item.low is not None and item.high is not None:
            text += f" [{item.low:+.{self.decimals}f}, {item.high:+.{self.decimals}f}]"
        return text

    def cautions(self) -> list[str]:
        """Return the remarks."""
        return list(self.remarks)

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        (row, *_), several = self.held_out, len(self.held_out) > 1
        samples = f"{row.n_known:,} known and {row.n_unknown:,} unknown test samples"
        seeds = f" of {self.n_seeds} seeds" if self.n_seeds > 1 else ""
        return [
            f"means{seeds} over {len(self.held_out)} trainings without a class" if several else f"{samples}{seeds}",
            "passes: forward + backward of a sample through the network of a fold, counted",
            "scores of the folds are averaged; detectors are fitted on training samples of known classes only",
            *([note] if (note := self.interval_note()) else []),
            *self.remarks,
            f"signature: {self.signature}",
        ]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a run without some classes answered.

    Attributes:
        classes: the classes.
        candidates: the test samples, known or unknown.
        submissions: by detector, one a seed.
        about: by detector, what it says, forward and backward passes.
    """

    classes: tuple[str, ...]
    candidates: Candidates = field(repr=False)
    submissions: Mapping[str, Sequence[Submission]] = field(repr=False)
    about: Mapping[str, tuple[str, float, float]] = field(repr=False)

    @cached_property
    def values(self) -> dict[str, dict[str, float]]:
        """The mean over seeds by detector and key."""
        means = {}
        for name, runs in self.submissions.items():
            plain = [plain_values(align(run)) for run in runs]
            means[name] = {key: math.fsum(each[key] for each in plain) / len(plain) for key in plain[0]}
        return means

    def row(self, key: str) -> ClassesRow:
        """Return its row."""
        [codes] = map(np.asarray, self.candidates.references.values.values())
        n_known = int((codes == 1).sum())
        values = tuple(self.values[name][key] for name in self.submissions)
        return ClassesRow(self.classes, n_known, len(codes) - n_known, values)


def unknown_report(
    runs: Sequence[HeldOut],
    *,
    title: str,
    baseline: str,
    features: Sequence[str],
    remarks: Sequence[str] = (),
    intervals: bool = True,
) -> UnknownReport:
    """Return the report on one run, or on several whose scores are averaged.

    Args:
        runs: runs that differ in what they hold out; of the same detectors and samples.
        title: title of the track.
        baseline: name of the baseline.
        features: what it learned from.
        remarks: what must be known besides.
        intervals: whether samples are resampled.
    """
    candidates = runs[0].candidates
    track, names = candidates.track, list(runs[0].submissions)
    plain = resampling_of(candidates).in_range()
    how = replace(plain, method="t") if intervals else None
    drawn = {} if how is None else {name: _drawn(runs, name) for name in names}
    rows, (first, *_) = [], names
    for name in names:
        means = _mean([run.values[name] for run in runs])
        bounds = {} if how is None else seed_intervals(runs[0].submissions[name], drawn[name], plain)
        scores, differences = tuple(scores_of(track, means, bounds)), list[Score]()
        if name != first:
            control = _mean([run.values[first] for run in runs])
            pair = None if how is None else weighted_sum([drawn[name], drawn[first]], (1.0, -1.0))
            for item in scores:
                ends = (None, None) if pair is None or how is None else seed_interval(item.key, [pair], how)
                value = means[item.key] - control[item.key]
                differences.append(replace(item, value=value, low=ends[0], high=ends[1], method=None))
        rows.append(DetectorRow(name, *runs[0].about[name], scores, tuple(differences)))
    key = rows[0].scores[0].key
    signatures = [signature(run.candidates, how) for run in runs]
    return UnknownReport(
        track=track.key,
        title=title,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        signature=" & ".join(dict.fromkeys(signatures)),
        uncertainty=None if how is None else how.uncertainty,
        baseline=baseline,
        features=tuple(features),
        n_seeds=len(runs[0].submissions[first]),
        detectors=tuple(rows),
        held_out=tuple(run.row(key) for run in runs),
        first=rows[0].scores[0].name,
        remarks=tuple(remarks),
        decimals=track.ranking.decimals,
    )


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: math.fsum(each[key] for each in values) / len(values) for key in values[0]}


def _drawn(runs: Sequence[HeldOut], name: str) -> SeedDraws:
    """Return the draws of the mean over runs; the weights of samples, and the seeds that are taken, are the same."""

    def resampled(candidates: Candidates) -> Resampling:
        return replace(resampling_of(candidates).in_range(), method="t")

    each = [seed_draws(run.submissions[name], "system", resampled(run.candidates)) for run in runs]
    return weighted_sum(each, (1 / len(each),) * len(each))
