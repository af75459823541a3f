"""Many test sets of one case: how often the interval contains the true score, and how often equal systems differ."""

from __future__ import annotations

import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.populations import Array, Population, SimulatedTestSet
from benchmarks.coverage.speakers import Speakers
from merbench.errors import Problem
from merbench.resampling import DECIMALS, Weights, n_swaps, swapped_pair, swaps
from merbench.scoring import Aligned, Resampling, evaluate, percentile_bounds
from merbench.scoring.calibration import with_calibration
from merbench.scoring.uncertainty import intervals_of, warnings_of
from merbench.track import OVERALL

Counts = NDArray[np.int64]

N_RESAMPLES, CHUNK = 1_000, 25

FEWEST = 100
"""Coverage among the simulations without a warning is shown if there are so many."""

ALPHA, N_PERMUTATIONS, TESTED = 0.05, 1_999, ("accuracy(discrete)", "weighted_f1(discrete)", OVERALL)


@dataclass(frozen=True)
class Case:
    """One simulated situation."""

    population: Population
    level: float = 0.95
    is_clustered: bool = True  # whether clusters are resampled, where there are any, and not samples

    @property
    def keys(self) -> dict[str, str]:
        """The key of every metric with a true score, by the metric's name."""
        keys = {spec.name: spec.key for spec in self.population.track.metrics}
        return {name: keys.get(name, name) for name in self.population.truth()}

    def rng(self, number: int) -> np.random.Generator:
        """Return the generator of one simulation: it depends only on the case and the number."""
        return np.random.default_rng([number, *repr(self).encode()])

    def resampling(self, test_set: SimulatedTestSet, number: int, method: str = "default") -> Resampling:
        """Return how merbench resamples the test set, with weights of this simulation."""
        clusters = test_set.clusters if self.is_clustered else None
        references = range(test_set.aligned.n)
        candidates = cast(Any, SimpleNamespace(track=self.population.track, split="test", references=references))
        cluster = None if clusters is None else "speaker"
        return Simulated(candidates, method, self.level, N_RESAMPLES, cluster, 0, f"{self}|{number}", clusters)


@dataclass(frozen=True, eq=False)
class Simulated(Resampling):
    """Resampling of samples that are in no corpus."""

    name: str = ""
    given: Array | None = None

    @property
    def stream(self) -> str:
        """The name of the random stream."""
        return self.name

    @property
    def clusters(self) -> Array | None:
        """The cluster of every sample."""
        return self.given


@dataclass(frozen=True)
class Coverage:
    """Coverage of the intervals of one metric, in percent.

    Attributes:
        percentile: of the percentile method.
        default: of merbench's default.
        method: the name of that.
        warned: how often the report warned, in percent of the simulations.
        unwarned: coverage of the default in the simulations without a warning; NaN if there are fewer than 100.
    """

    percentile: float
    default: float
    method: str
    warned: float
    unwarned: float


def covered(case: Case, numbers: range) -> tuple[Counts, list[str]]:
    """Return counts `(metrics, 5)` of simulations, and the methods of the metrics.

    The counts: the true score is within the percentile interval; it is within that of the default method; the report
    warns; the score is within the default interval and the report does not warn; there is an interval, which only a bin
    of few samples does not have.
    """
    truth, keys = case.population.truth(), case.keys
    counts, methods = np.zeros((len(keys), 5), dtype=np.int64), dict.fromkeys(keys, "")
    for number in numbers:
        test_set = case.population.draw(case.rng(number))
        intervals, draws = intervals_of(test_set.aligned, how := case.resampling(test_set, number), test_set.groups)
        percentile = {key: percentile_bounds(values, case.level) for key, values in draws.items()}
        if test_set.groups:
            old = case.resampling(test_set, number, "percentile")
            percentile = intervals_of(test_set.aligned, old, test_set.groups)[0][-1]
        warnings = list(warnings_of(test_set.aligned, how, intervals[0]))
        intervals[-1] = with_calibration(test_set.aligned, intervals[-1], draws, case.level, how.degrees + 1)
        for row, (name, key) in enumerate(keys.items()):
            if key not in intervals[-1]:
                continue
            interval, is_warned = intervals[-1][key], any(applies(problem, key, intervals[0]) for problem in warnings)
            methods[name] = interval.method or methods[name]
            inside = [each.low <= truth[name] <= each.high for each in (percentile[key], interval)]
            counts[row] += [*inside, is_warned, inside[1] and not is_warned, True]
    return counts, list(methods.values())


def applies(problem: Problem, key: str, keys: Iterable[str]) -> bool:
    """Return whether a warning is about a key: about those that it names, else about its target, or about all."""
    named = [each for each in keys if each in problem.message]
    target = key.partition("(")[2].rstrip(")").split(",")[0]
    return key in named if named else key == OVERALL or problem.column in (None, target)


def rejected(population: Speakers, numbers: range) -> Counts:
    """Return how often two equal systems differed significantly at 5 %: exchanged by sample or by speaker, by key."""
    counts = np.zeros((2, len(TESTED)), dtype=np.int64)
    for number in numbers:
        a, b = population.equals(np.random.default_rng([number, *repr(population).encode()]))
        for way, clusters in enumerate((None, a.clusters) if population.n_speakers else (None,)):
            counts[way] += significant(a.aligned, b.aligned, f"nulls|{population}|{number}", clusters)
    return counts


def significant(a: Aligned, b: Aligned, stream: str, clusters: Array | None) -> NDArray[np.bool_]:
    """Return for each tested key whether p ≤ 5 %; draws end as soon as that is settled, which changes no answer."""
    plain = [evaluate(system, np.ones((1, a.n), np.uint8)) for system in (a, b)]
    observed = _magnitudes(*plain)
    both = a.beside([b])
    n_units = a.n if clusters is None else int(clusters.max()) + 1
    most = math.floor(round(ALPHA * (n_swaps(n_units, N_PERMUTATIONS) + 1), 6)) - 1
    as_large = np.zeros(len(TESTED), dtype=np.int64)
    for exchange in _small_blocks(swaps(stream, a.n, N_PERMUTATIONS, clusters=clusters)):
        first, second = (evaluate(both, weights) for weights in swapped_pair(exchange))
        as_large += (_magnitudes(first, second) >= observed).sum(axis=1)
        if (as_large > most).all():
            break
    return as_large <= most


def _small_blocks(blocks: Iterator[Weights]) -> Iterator[Weights]:
    """Yield the same rows in blocks small enough to stop soon."""
    for block in blocks:
        yield from (block[start : start + 256, :] for start in range(0, len(block), 256))


def _magnitudes(first: Mapping[str, Array], second: Mapping[str, Array]) -> Array:
    return np.abs(np.round([first[key] - second[key] for key in TESTED], DECIMALS))


def coverages(cases: Sequence[Case], n_simulations: int, workers: int) -> list[dict[str, Coverage]]:
    """Return the coverage of the intervals of every metric of every case, by the metric's name."""
    results = []
    for case, parts in zip(cases, run(covered, cases, n_simulations, workers), strict=True):
        names = [name.partition("(")[0] for name in case.keys]  # of all bins together
        counts, methods = dict.fromkeys(names, np.zeros(5, dtype=np.int64)), dict.fromkeys(names, "none")
        for of_metrics, used in parts:
            for name, row, method in zip(names, of_metrics, used, strict=True):
                counts[name], methods[name] = counts[name] + row, methods[name] if method in ("", "exact") else method
        results.append({name: _coverage(counts[name].tolist(), methods[name]) for name in counts})
    return results


def _coverage(counts: Sequence[int], method: str) -> Coverage:
    percentile, default, warned, unwarned, n = counts
    share = 100 * unwarned / (n - warned) if n - warned >= FEWEST else math.nan
    return Coverage(100 * percentile / n, 100 * default / n, method, 100 * warned / n, share)


def run(count: Callable[[Any, range], Any], cases: Sequence[Any], n_simulations: int, workers: int) -> list[list[Any]]:
    """Return what `count` returns for the parts of the simulations of every case."""
    parts = [range(i, min(i + CHUNK, n_simulations)) for i in range(0, n_simulations, CHUNK)]
    results = []
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for case in cases:
            start = time.monotonic()
            results.append(pool.map(partial(count, case), parts, chunksize=1))
            print(f"{count.__name__}: {case}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return results
