"""The report on a search of options: every trial, what they cost, and the best options beside the default ones.

Conventions:
    As in `merbench.report`. Values of trials are those of the track's ranking keys on the samples that options are
    selected on. Values on the split are means over trainings with several seeds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from merbench.errors import plural
from merbench.report import Report, ReportTable
from merbench.report.tables import without_empty_columns

MOST_TRIALS = 10
"""How many trials tables show, the best first; JSON has all."""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A draw of options, and what it gave."""

    draw: int  # its number, from 0
    options: Mapping[str, Any]  # the options that are searched
    state: Literal["complete", "pruned", "failed"]
    value: tuple[float | None, ...]  # of the ranking keys; None where one is not defined; empty unless it is complete
    problem: str = ""  # why it failed
    epochs: int = 0  # how many epochs it trained; 0 of a baseline without epochs
    sample_epochs: int = 0  # samples that it learned from times epochs, summed over folds; 0 if it was not trained
    same_as: int | None = None  # an earlier draw with the same options, whose result it has


@dataclass(frozen=True, slots=True)
class BestOf:
    """The best value of n trials."""

    n: int
    best: float | None  # of the first n; None if none of them has a value
    # the mean over all choices of n among the trials (Dodge et al., 2019); None unless all draws are independent and
    # have a value
    expected: float | None


@dataclass(frozen=True, slots=True)
class Search:
    """The trials of one part of the data."""

    left_out: str | None  # the value whose samples are answered; None if all samples are answered by one model
    n_train: int
    trials: tuple[TrialRow, ...]  # in the order of their draws
    best: int  # the draw with the best options: of equally good ones, the first
    best_of: tuple[BestOf, ...]
    importances: Mapping[str, float]  # share of each option in the variance of the value; empty if unknown

    @property
    def best_trial(self) -> TrialRow:
        """The trial with the best options."""
        return next(trial for trial in self.trials if trial.draw == self.best)

    @property
    def sample_epochs(self) -> int:
        """What all trials cost."""
        return sum(trial.sample_epochs for trial in self.trials)

    def count(self, state: str) -> int:
        """Return how many trials ended so."""
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation (n - 1; None of one training) over seeds."""

    mean: float
    deviation: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of the best options and of the default ones."""

    key: str
    name: str
    cross_validated: tuple[Spread, Spread]  # best, default
    test: tuple[Spread, Spread] | None  # None if the references are withheld
    # best - default on the split, of the means over seeds; its interval over samples, and p of the permutation test
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True, kw_only=True)
class TuningReport(Report):
    """A search of options, and what the best ones are worth.

    Attributes:
        corpus: name of the corpus.
        baseline: name of the system.
        features: the features it learned from.
        ranking: names of the ranking keys, the deciding one first.
        higher_is_better: whether a larger value of the deciding key is better.
        space: by option, where it was searched.
        options: the options that were not searched.
        sampler: how options were drawn.
        seed: seed of the draws and of the trials.
        pruning: whether trials were stopped early.
        cross_validation: how samples are divided for selection; see `TrainingSet.described_folds`.
        leave_out: the corpus column whose values were left out in turn; empty if there was one model for all samples.
        searches: one for each part of the data.
        seeds: of the trainings in the end.
        n_scored: how often this search has been scored on the split, this time included, as far as its folder knows:
            not before `--force`, nor in other folders; 0 if withheld.
        compared: the metrics, the overall score first.
        remarks: what a reader must know.
        versions: of the libraries that draws and values depend on.
        wall_time_s: how long the trials of this call took; 0 if all were there before.
    """

    SCHEMA: ClassVar[str] = "merbench.tuning/1"

    corpus: str
    baseline: str
    features: tuple[str, ...]
    ranking: tuple[str, ...]
    higher_is_better: bool
    space: Mapping[str, str]
    options: Mapping[str, Any]
    sampler: Literal["random", "tpe"]
    seed: int
    pruning: bool
    cross_validation: Mapping[str, Any]
    leave_out: str
    searches: tuple[Search, ...]
    seeds: tuple[int, ...]
    n_scored: int
    compared: tuple[Compared, ...]
    remarks: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    wall_time_s: float = 0.0

    def __repr__(self) -> str:
        n = sum(len(search.trials) for search in self.searches)
        return f"<TuningReport {self.track}: {self.baseline}, {n} trials>"

    @property
    def heading(self) -> str:
        """The first line of every form."""
        return f"{super().heading}: options of {self.baseline}"

    @property
    def selected_on(self) -> str:
        """What the values are of that options are selected by."""
        return "development set" if self.cross_validation.get("selection") == "dev" else "cross-validated"

    @property
    def n_failed(self) -> int:
        """How many trials failed."""
        return sum(search.count("failed") for search in self.searches)

    def tables(self) -> list[ReportTable]:
        """Return the trials, the best of n, the importance of options, and the best options beside the default."""
        single = len(self.searches) == 1
        own = [self._trials(self.searches[0]), self._best_of(self.searches[0])] if single else [self._parts()]
        return [*own, *self._importances(), self._comparison()]

    def _trials(self, search: Search) -> ReportTable:
        sign = -1 if self.higher_is_better else 1
        complete = [trial for trial in search.trials if trial.value]
        ranked = sorted(complete, key=lambda trial: (trial.draw != search.best, sign * (trial.value[0] or 0.0)))
        ranked = ranked[:MOST_TRIALS]
        rows = [
            (str(trial.draw), *map(option_text, trial.options.values()), *map(self.number, trial.value))
            for trial in ranked
        ]
        n = plural(len(search.trials), "trial")
        shown = n if len(ranked) == len(search.trials) else f"the best {len(ranked)} of {n}"
        return ReportTable(f"{shown}, {self.selected_on}", ("draw", *self.space, *self.ranking), rows, n_text=1)

    def _parts(self) -> ReportTable:
        rows = [
            (
                search.left_out or "",
                *map(option_text, search.best_trial.options.values()),
                *map(self.number, search.best_trial.value),
                f"{len(search.trials):,}",
            )
            for search in self.searches
        ]
        head = (self.leave_out, *self.space, *self.ranking, "trials")
        return ReportTable(f"the best options for each part, {self.selected_on} on the others", head, rows)

    def _best_of(self, search: Search) -> ReportTable:
        rows = [
            (str(item.n), self.number(item.best), "" if item.expected is None else self.number(item.expected))
            for item in search.best_of
        ]
        head = ("n", "of the first n", "of any n, mean")
        return without_empty_columns(
            ReportTable(f"the best {self.ranking[0]} of n trials, {self.selected_on}", head, rows)
        )

    def _importances(self) -> list[ReportTable]:
        known = [search for search in self.searches if search.importances]
        if not known:
            return []
        shares = {name: math.fsum(search.importances[name] for search in known) / len(known) for name in self.space}
        rows = [(name, f"{shares[name]:.2f}") for name in sorted(shares, key=lambda name: -shares[name])]
        return [ReportTable(f"share of each option in the variance of {self.ranking[0]}", ("", "share"), rows)]

    def _comparison(self) -> ReportTable:
        rows = []
        for item in self.compared:
            test = ("withheld", "withheld") if item.test is None else tuple(map(self._spread, reversed(item.test)))
            rows.append(
                (
                    item.name,
                    *map(self._spread, reversed(item.cross_validated)),
                    *test,
                    "" if item.difference is None else self.number(item.difference),
                    self.interval(item.low, item.high),
                    "" if item.p is None else f"{item.p:.4f}",
                )
            )
        on = "dev" if self.selected_on == "development set" else "cv"
        head = ("", f"default, {on}", f"best, {on}", f"default, {self.split}", f"best, {self.split}")
        title = f"the best options and the default ones, mean ± deviation over {plural(len(self.seeds), 'seed')}"
        return without_empty_columns(ReportTable(title, (*head, "best - default", self.interval_head, "p"), rows))

    def _spread(self, spread: Spread) -> str:
        mean = self.number(spread.mean)
        return mean if spread.deviation is None else f"{mean} ± {self.number(spread.deviation)}"

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        n = sum(len(search.trials) for search in self.searches)
        states = [
            f"{count:,} {state}"
            for state in ("complete", "pruned", "failed")
            if (count := sum(search.count(state) for search in self.searches))
        ]
        cost = sum(search.sample_epochs for search in self.searches)
        fixed = ", ".join(f"{name} {option_text(value)}" for name, value in self.options.items())
        how = f"{self.sampler} sampler, seed {self.seed}" + (", stopped early below the median" if self.pruning else "")
        has_ends = self.uncertainty is not None
        lines = [
            f"{plural(n, 'trial')} ({', '.join(states)}), {cost:,} sample-epochs; {how}",
            *(f"searched: {name}: {text}" for name, text in self.space.items()),
            *([f"not searched: {fixed}"] if fixed else []),
            f"features: {', '.join(self.features) or 'none'}",
            f"values of the best trial ({self.selected_on}) are too good: it was selected by them",
            *(["intervals and p are over samples, with the trainings as they are; ± is over trainings"] * has_ends),
        ]
        if self.leave_out:
            lines.append(
                f"each '{self.leave_out}' was answered by a model of the others, with options of a search of its own"
            )
        if self.uncertainty is not None:
            lines.append(self.interval_note())
        if self.n_scored:
            lines.append(
                f"scored on {self.split} {plural(self.n_scored, 'time')} in this folder; not counted: what --force "
                "removed, and other folders"
            )
        return [*lines, *self.remarks, f"signature: {self.signature}"]

    def interval_note(self) -> str:
        """Return how the intervals were made."""
        return self.uncertainty.note("trainings") if self.uncertainty else ""


def option_text(value: Any) -> str:
    """Return the value of an option as tables show it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def best_of(values: Sequence[float | None], *, higher_is_better: bool, independent: bool) -> tuple[BestOf, ...]:
    """Return the best of n trials for n = 1, 2, 5, 10, 20, 50, …, and of all.

    Args:
        values: by draw; None where a trial has none.
        higher_is_better: what the best is.
        independent: whether draws do not depend on one another.
    """
    total, sign = len(values), 1 if higher_is_better else -1
    steps = sorted({*(m * 10**k for k in range(7) for m in (1, 2, 5) if m * 10**k < total), total} - {0})
    known = [sign * value for value in values if value is not None]
    ordered = sorted(known) if independent and len(known) == total else []
    made = []
    for n in steps:
        first = [sign * value for value in values[:n] if value is not None]
        best = sign * max(first) if first else None
        made.append(BestOf(n, best, sign * _mean_of_best(ordered, n) if ordered else None))
    return tuple(made)


def _mean_of_best(ordered: Sequence[float], n: int) -> float:
    """Return the mean of the largest of n of these values, over all choices: the sum of v_i C(i - 1, n - 1) / C(N, n).

    `ordered` are all N values, v_1 the smallest.
    """
    share, parts = n / len(ordered), []
    for i in range(len(ordered) - 1, n - 2, -1):
        parts.append(share * ordered[i])
        share *= (i - n + 1) / max(i, 1)
    return math.fsum(parts)
