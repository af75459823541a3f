"""Boards of systems whose true order is known: how often the interval of a rank contains the true rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.populations import Array, SimulatedTestSet, simulated, track
from benchmarks.coverage.simulations import Case, Counts, run
from benchmarks.measuring import table
from merbench.intervals import percentile_interval
from merbench.leaderboard.ranking import RankingKey, competition_ranks, rank_intervals
from merbench.scoring import evaluate
from merbench.scoring.uncertainty import bootstrap
from merbench.track import Track

KEY, DECIMALS = "accuracy(discrete)", 4


@dataclass(frozen=True)
class Systems:
    """Systems that answer the same samples of two classes right with these chances.

    An answer is right where a standard normal number is below the quantile of the chance. Half of its variance is that
    of the sample, for all systems. Of speakers, a tenth is the speaker's, and a tenth that of a speaker and a system.
    """

    accuracies: tuple[float, ...]
    n: int
    n_speakers: int | None = None  # they have equal numbers of samples

    @property
    def track(self) -> Track:
        """The track that scores them."""
        return track(
            {"discrete": {"type": "categorical", "labels": ["no", "yes"]}}, {"name": "accuracy", "target": "discrete"}
        )

    def truth(self) -> dict[str, float]:
        """Return no true scores: those of the systems are their accuracies."""
        return {}

    @property
    def true_ranks(self) -> Counts:
        """The smallest and the largest rank of every system: equal systems share all ranks from one to the other."""
        own = np.array(self.accuracies)
        return np.stack([(own > own[:, None]).sum(axis=1) + 1, (own >= own[:, None]).sum(axis=1)])

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return the test set of the first system."""
        return self.boards(rng)[0]

    def boards(self, rng: np.random.Generator) -> list[SimulatedTestSet]:
        """Return a test set with the answers of every system."""
        size = len(self.accuracies), self.n
        speakers = None if self.n_speakers is None else np.arange(self.n) % self.n_speakers
        parts = [(0.5, rng.standard_normal(self.n))]
        if self.n_speakers is not None and speakers is not None:
            parts.append((0.1, rng.standard_normal(self.n_speakers)[speakers]))
            parts.append((0.1, rng.standard_normal((size[0], self.n_speakers))[:, speakers]))
        latent = sum((np.sqrt(share) * part for share, part in parts), np.zeros(size))
        latent += np.sqrt(1 - sum(share for share, _ in parts)) * rng.standard_normal(size)
        right = latent < np.array([[NormalDist().inv_cdf(chance)] for chance in self.accuracies])
        reference = rng.integers(0, 2, self.n).astype(np.int32)
        answers = np.where(right, reference, 1 - reference).astype(np.int32)
        return [simulated(self.track, speakers, discrete=(reference, own)) for own in answers]


CASES = {
    "5 systems, 74 to 58 %": [Systems((0.74, 0.70, 0.66, 0.62, 0.58), n) for n in (400, 2_000)],
    "5 systems, 70 to 66 %": [Systems((0.70, 0.69, 0.68, 0.67, 0.66), n) for n in (400, 2_000)],
    "5 systems, two equal": [Systems((0.74, 0.70, 0.70, 0.62, 0.58), n) for n in (400, 2_000)],
    "5 equal systems": [Systems((0.70,) * 5, 400), Systems((0.70,) * 5, 400, 12), Systems((0.70,) * 5, 400, 40)],
    "10 systems, 78 to 51 %": [Systems(tuple(round(0.78 - 0.03 * i, 2) for i in range(10)), n) for n in (400, 2_000)],
    "10 systems, groups of 2, 3 and 2 equal": [
        Systems((0.76, 0.72, 0.72, 0.70, 0.70, 0.70, 0.66, 0.62, 0.62, 0.58), *size)
        for size in ((400,), (2_000,), (2_000, 12), (2_000, 40))
    ],
    "10 equal systems": [Systems((0.70,) * 10, 400), Systems((0.70,) * 10, 400, 12)],
}


def contained(systems: Systems, numbers: range) -> Counts:
    """Return counts `(2, 5, S)`, of percentile intervals of the ranks in the resamples, then of merbench's intervals.

    The counts: the interval contains the smallest true rank of the system; it contains all of them; it begins above
    the smallest; it ends below the largest; its number of ranks.
    """
    case, (smallest, largest) = Case(systems), systems.true_ranks
    counts = np.zeros((2, 5, len(smallest)), dtype=np.int64)
    for number in numbers:
        boards = systems.boards(case.rng(number))
        how = case.resampling(boards[0], number)
        draws = np.stack([bootstrap(each.aligned, how)[0][KEY] for each in boards])
        values = np.array([evaluate(each.aligned, np.ones((1, systems.n), np.uint8))[KEY][0] for each in boards])
        for way, (low, high) in enumerate((_of_resamples(draws), _of_pairs(draws, values, how.degrees))):
            is_low, is_high = low <= smallest, high >= largest
            counts[way] += [is_low & (high >= smallest), is_low & is_high, ~is_low, ~is_high, high - low + 1]
    return counts


def _of_resamples(draws: Array) -> Counts:
    ranks = competition_ranks(-np.round(draws, DECIMALS).T)
    ends = [percentile_interval(own, 0.95) for own in ranks.T]
    return np.array([(end.low, end.high) for end in ends], dtype=np.int64).T


def _of_pairs(draws: Array, values: Array, degrees: float) -> Counts:
    made = rank_intervals({KEY: draws}, {KEY: values}, [RankingKey(KEY, True)], DECIMALS, 0.95, degrees)
    return np.array([(0, 0) if each is None else each[:2] for each in made]).T


def ranks(n_simulations: int, workers: int) -> str:
    """Return how often intervals of ranks contain the true ones: the mean over systems, and the lowest of a system."""
    cases = [(title, each) for title, made in CASES.items() for each in made]
    results = run(contained, [each for _, each in cases], n_simulations, workers)
    rows = [
        [title, _size(systems), *_cells(np.sum(parts, axis=0) / n_simulations)]
        for (title, systems), parts in zip(cases, results, strict=True)
    ]
    heads = ("smallest", "all", "lowest", "low end", "high end", "ranks")
    return table(["systems", "n", "all, of resamples", "ranks, of resamples", *heads], rows)


def _size(systems: Systems) -> str:
    return f"{systems.n:,}" + ("" if systems.n_speakers is None else f" of {systems.n_speakers} speakers")


def _cells(shares: NDArray[np.float64]) -> Sequence[str]:
    old, new = shares
    percent = [new[0].mean(), new[1].mean(), new[1].min(), new[2].mean(), new[3].mean()]
    return (
        f"{100 * old[1].mean():.1f}",
        f"{old[4].mean():.1f}",
        *(f"{100 * x:.1f}" for x in percent),
        f"{new[4].mean():.1f}",
    )
