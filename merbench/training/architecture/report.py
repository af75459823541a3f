"""The report on a search of architectures: what it found beside random and permuted ones, and what all of them cost.

Conventions:
    As in `merbench.report`. A value is that of the track's first ranking key on the validation samples of a fold, on
    its own scale; differences are positive where the first is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from merbench.errors import plural
from merbench.report import Report, ReportTable
from merbench.report.tables import without_empty_columns
from merbench.training.tuning.report import BestOf

FOUND, PERMUTED = "found", "permuted"

MOST_RANDOM = 10
"""How many random architectures the table shows, the best first; JSON has all."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that was trained with every fold and seed, or, of a search, one for each of these."""

    name: str  # `found`, `permuted`, or `random-1`, …
    genotypes: tuple[str, ...]  # the TOML of each fold and seed; one, where all have the same
    values: tuple[float, ...]  # of each fold and seed, those of the first seed first
    mean: float
    epochs: int  # trained for these values; those of searches are in them
    rank: int | None = None  # among the random ones and itself; None of the random ones
    rank_low: int | None = None
    rank_high: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """The mean difference of what was found to something else over folds and seeds, and its interval."""

    to: str
    difference: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ArchitectureReport(Report):
    """What a search found, and what it is worth.

    Attributes:
        corpus: name of the corpus.
        baseline: name of the system.
        features: the features it learned from.
        space: the id of the space.
        options: all options of the system.
        ranking: name of the first ranking key.
        higher_is_better: whether a larger value of it is better.
        seed: of the search that `genotype` is from, of the folds, and of what is random.
        cross_validation: how samples are divided; see `TrainingSet.described_folds`.
        seeds: with which each fold was trained.
        genotype: the TOML of what was found on all samples that are learned from.
        loss: of every epoch of that search, the loss of the weights.
        value: the ranking value on the half that the alphas learned from; None where it is not defined.
        epochs: what that search cost.
        found: searched for each fold and seed without the validation samples of the fold; None without controls.
        permuted: from the alphas of the same searches in a random order.
        random: drawn uniformly from the same space.
        gaps: what was found against the others.
        best_of: the best of n random ones by their mean value.
        affordable: how many random ones could be trained in the epochs that `found` took.
        remarks: what a reader must know.
        versions: of the libraries that values depend on.
    """

    SCHEMA: ClassVar[str] = "merbench.architecture-search/1"

    corpus: str
    baseline: str
    features: tuple[str, ...]
    space: str
    options: Mapping[str, Any]
    ranking: str
    higher_is_better: bool
    seed: int
    cross_validation: Mapping[str, Any]
    seeds: tuple[int, ...]
    genotype: str
    loss: tuple[float, ...]
    value: tuple[float | None, ...]
    epochs: int
    found: Candidate | None = None
    permuted: Candidate | None = None
    random: tuple[Candidate, ...] = ()
    gaps: tuple[Gap, ...] = ()
    best_of: tuple[BestOf, ...] = ()
    affordable: int = 0
    remarks: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The first line of every form."""
        return f"{super().heading}: architecture of {self.baseline}"

    @property
    def candidate_epochs(self) -> int:
        """What everything cost: epochs of a search or of a training, each of one fold."""
        every = [item for item in (self.found, self.permuted, *self.random) if item is not None]
        return self.epochs + sum(item.epochs for item in every)

    def tables(self) -> list[ReportTable]:
        """Return the architectures, what was found against the others, and the best of n random ones."""
        if self.found is None or self.permuted is None:
            last = self.value[-1]
            row = (str(len(self.loss)), self.number(self.loss[-1]), self.number(last))
            return [ReportTable("the last epoch of the search", ("epoch", "loss", self.ranking), [row], n_text=0)]
        sign = -1 if self.higher_is_better else 1
        ordered = sorted(self.random, key=lambda item: sign * item.mean)[:MOST_RANDOM]
        rows = [self._row(item) for item in (self.found, self.permuted, *ordered)]
        n = len(self.seeds)
        where = f"means over {plural(len(self.found.values) // n, 'fold')} and {plural(n, 'seed')}"
        where += "" if len(ordered) == len(self.random) else f", {len(ordered)} of {len(self.random)} random ones"
        gaps = [(gap.to, self.number(gap.difference), self.interval(gap.low, gap.high)) for gap in self.gaps]
        best_head = ("n", "of the first n", "of any n, mean")
        best = [
            (str(item.n), self.number(item.best), "" if item.expected is None else self.number(item.expected))
            for item in self.best_of
        ]
        return [
            without_empty_columns(
                ReportTable(f"architectures, {where}", ("", self.ranking, "rank", "95% interval", "epochs"), rows)
            ),
            ReportTable("found - other, over folds and seeds", ("other", "difference", "95% interval"), gaps),
            ReportTable(f"the best {self.ranking} of n random ones, by that value", best_head, best),
        ]

    def _row(self, item: Candidate) -> tuple[str, ...]:
        rank = "" if item.rank is None else f"{item.rank} of {len(self.random) + 1}"
        ends = "" if item.rank_low is None else f"[{item.rank_low}, {item.rank_high}]"
        return item.name, self.number(item.mean), rank, ends, f"{item.epochs:,}"

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        lines = [
            f"features: {', '.join(self.features)}; space {self.space}; search with seed {self.seed}",
            f"{self.candidate_epochs:,} candidate-epochs in all, {self.epochs:,} of the search of genotype.toml",
        ]
        if self.found is not None:
            lines += [
                "found and permuted: a search for each fold and seed, which does not see the validation samples of the "
                "fold; its epochs count in those of found",
                "intervals of differences: Student's t with the correction of Nadeau and Bengio (2003) for training "
                "samples that folds share; of ranks: resampled folds and seeds; the architectures are as they are",
                f"the epochs of found are those of {plural(self.affordable, 'random architecture')}; the best of n by "
                "validation is too good: it was selected by this value",
                "no difference is the expected result on small data",
            ]
        return [*lines, *self.remarks, f"signature: {self.signature}"]
