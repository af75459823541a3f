"""The power that `merbench power` claims, and the p of pairs from their draws, against simulated test sets.

First table: the smallest difference that is claimed to show with 80 %; then test sets are simulated in which two
systems differ by exactly that, and the share of them is counted in which merbench's permutation test has p ≤ 5 %.
Second table: two systems of one true score, and the share of p ≤ 5 %, by the permutation test and by Student's t from
the draws, as boards use it for all pairs. Systems are those of `Target.simulated`; or, of speakers, systems that are
right with the probability logistic(c + 0.9 z), where z ~ N(0,1) belongs to a system and a speaker, and speakers have
round(exp(3 + 1.2 N(0,1))) samples, 1 to 600. `python -m benchmarks.power 2000` simulates 2,000 test sets a row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import machine, table
from merbench.intervals import effective_number
from merbench.resampling import n_swaps
from merbench.scoring.aligned import Aligned
from merbench.scoring.evaluation import plain_values
from merbench.scoring.power import RATES, Design, Pilot, Simulation, size_around, smallest_difference
from merbench.scoring.uncertainty import bootstrap, permuted_differences
from merbench.significance import n_as_large, pair_deviations, pairwise_p, permutation_p
from merbench.track import Track

Array = NDArray[Any]
Pair = list[Aligned]

N_SIMULATIONS, N_PERMUTATIONS, N_RESAMPLES, LEVEL, POWER = 300, 999, 1_000, 0.95, 0.8
SHARES = np.array([123, 98, 87, 40, 52, 12]) / 412
LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
TARGETS = {
    "discrete": {"type": "categorical", "labels": LABELS},
    "valence": {"type": "continuous"},
    "deceptive": {"type": "scores", "positive": "yes", "negative": "no"},
}

POPULATION = 100_000
"""Samples from which those of a test set are chosen."""


def track(metric: str, target: str) -> Track:
    """Return a track of one metric."""
    declaration = {
        "id": "population",
        "version": "1.0",
        "title": "A simulated population",
        "corpus": "none",
        "splits": {"test": "test"},
        "targets": {target: TARGETS[target]},
        "metrics": [{"name": metric, "target": target}],
        "ranking": {"by": [metric]},
        "folder": Path(),
    }
    return Track.model_validate(declaration)


class Population(Simulation):
    """The simulation of `merbench power`, with references that are written down here."""

    def __init__(self, metric: str, target: str) -> None:
        self.track = track(metric, target)
        self.key = self.track.metrics[0].key
        self.stream, self.rows = f"benchmark|{self.key}", np.arange(POPULATION)
        rng = np.random.default_rng(2023)
        values: dict[str, Array] = {
            "discrete": rng.choice(6, POPULATION, p=SHARES).astype(np.int32),
            "valence": rng.normal(0, 1.5, POPULATION),
            "deceptive": (rng.random(POPULATION) < 0.2).astype(np.int8),
        }
        of_target: dict[str, Any] = {target: values[target]}
        self.like = Aligned(self.track, of_target, of_target)


def how(stream: str, n: int, clusters: Array | None = None) -> Any:
    """Return how to resample and exchange n samples."""
    units = n if clusters is None else int(clusters.max()) + 1
    return SimpleNamespace(stream=stream, clusters=clusters, n_resamples=N_RESAMPLES, n_units=units)


def scores(pair: Pair) -> Array:
    """Return the scores of two systems."""
    return np.array([plain_values(each)[each.track.metrics[0].key] for each in pair])


def permuted_p(pair: Pair, made: Any) -> float:
    """Return the p of merbench's permutation test."""
    key, (a, b) = pair[0].track.metrics[0].key, scores(pair)
    blocks = permuted_differences(pair, [(0, 1)], N_PERMUTATIONS, made)
    n_large = sum(int(n_as_large(a - b, block[key][0])) for block in blocks)
    return permutation_p(n_large, n_swaps(made.n_units, N_PERMUTATIONS))


def draws(pair: Pair, made: Any) -> Array:
    """Return the draws of two systems."""
    return np.stack([bootstrap(each, made)[0][each.track.metrics[0].key] for each in pair])


def drawn_p(pair: Pair, made: Any) -> float:
    """Return the p of Student's t from draws."""
    degrees = effective_number(pair[0].n, made.clusters) - 1
    return float(pairwise_p(draws(pair, made), scores(pair), degrees)[0, 1])


def share(p_of: Callable[[Pair, Any], float], simulated: Callable[[int], tuple[Pair, Any]], n: int) -> float:
    """Return the share of simulations in which p ≤ 5 %."""
    return sum(p_of(*simulated(number)) <= 1 - LEVEL for number in range(n)) / n


def samples(population: Population, n: int, qualities: tuple[float, float], shared: float) -> Callable[[int], Any]:
    """Return what simulates two systems on n samples."""

    def simulated(number: int) -> tuple[Pair, Any]:
        rows = np.random.default_rng(number).integers(0, POPULATION, n)
        return population.pair(rows, qualities, shared, f"{number}"), how(f"{number}", n)

    return simulated


CONSTANTS = np.polynomial.hermite_e.hermegauss(40)


def accuracy(constant: float) -> float:
    """Return the mean accuracy of logistic(c + 0.9 z)."""
    z, weights = CONSTANTS
    return float(weights @ (1 / (1 + np.exp(-constant - 0.9 * z))) / weights.sum())


def constant_of(wanted: float) -> float:
    """Return c of an accuracy."""
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if accuracy(middle) < wanted else (low, middle)
    return low


def speakers(n_speakers: int, accuracies: tuple[float, float]) -> Callable[[int], tuple[Pair, Any]]:
    """Return what simulates two systems on the samples of some speakers."""
    scored_by, constants = track("accuracy", "discrete"), [constant_of(each) for each in accuracies]

    def simulated(number: int) -> tuple[Pair, Any]:
        rng = np.random.default_rng([number, n_speakers])
        sizes = np.clip(np.rint(np.exp(3 + 1.2 * rng.normal(size=n_speakers))), 1, 600).astype(int)
        of = np.repeat(np.arange(n_speakers), sizes)
        reference = np.zeros(len(of), dtype=np.int32)
        pair = []
        for constant in constants:
            right = rng.random(len(of)) < 1 / (1 + np.exp(-constant - 0.9 * rng.normal(size=n_speakers)))[of]
            pair.append(Aligned(scored_by, {"discrete": reference}, {"discrete": (~right).astype(np.int32)}))
        return pair, how(f"{number}", len(of), of)

    return simulated


def measured(pair: Pair, made: Any) -> Pilot:
    """Return what a large pilot shows."""
    n, values = pair[0].n, scores(pair)
    deviation = float(pair_deviations(draws(pair, how(made.stream, n)), values)[0, 1])
    intraclass = None
    if made.clusters is not None:
        together = float(pair_deviations(draws(pair, made), values)[0, 1])
        intraclass = ((together / deviation) ** 2 - 1) / (size_around(made.clusters) - 1)
    return Pilot(tuple(values.tolist()), (), deviation * n**0.5, intraclass)


def typical(n_speakers: int) -> Design:
    """Return the mean size of test sets of some speakers."""
    made = [speakers(n_speakers, (0.65, 0.65))(number)[1].clusters for number in range(100)]
    n, size = np.mean([len(of) for of in made]), np.mean([size_around(of) for of in made])
    return Design(float(n), n_speakers, float(size * n_speakers / n))


CASES = (
    ("accuracy", "discrete", 0.6, 0.75, (60, 200, 800)),
    ("weighted_f1", "discrete", 0.65, 0.75, (400,)),
    ("unweighted_average_recall", "discrete", 0.55, 0.75, (400,)),
    ("macro_f1", "discrete", 0.5, 0.75, (400,)),
    ("ccc", "valence", 0.6, 0.7, (200,)),
    ("mse", "valence", 1.5, 0.7, (50, 200)),
    ("rmse", "valence", 1.2, 0.7, (200,)),
    ("auroc", "deceptive", 0.85, 0.5, (300,)),
)


def main() -> None:
    """Simulate, and print both tables."""
    n_simulations = int(sys.argv[1]) if len(sys.argv) > 1 else N_SIMULATIONS
    claimed, equal = [], []
    for metric, target, score, agreement, sizes in CASES:
        population = Population(metric, target)
        quality, shared = population.systems(score, agreement)
        pair = population.pair(population.rows, (quality, quality), shared, "pilot")
        pilot, design = measured(pair, how("pilot", POPULATION)), Design(POPULATION, None, 1.0)
        for n in sizes:
            difference = smallest_difference(pilot, design.resized(n, None), LEVEL, POWER, metric in RATES)
            assert difference is not None
            ends = (population.systems(score + side * difference / 2, None)[0] for side in (1, -1))
            qualities = next(ends), next(ends)
            _, common = population.systems(None, agreement, qualities)
            observed = share(permuted_p, samples(population, n, qualities, common), n_simulations)
            claimed.append([metric, f"{n}", f"{score}", f"{agreement}", f"{difference:.4f}", f"{100 * observed:.1f}"])
            same = samples(population, n, (quality, quality), shared)
            false = [share(p_of, same, n_simulations) for p_of in (permuted_p, drawn_p)]
            equal.append([metric, f"{n}", *(f"{100 * each:.1f}" for each in false)])
    pilot = measured(*speakers(2_000, (0.65, 0.65))(0))
    for n_speakers in (12, 30, 60, 200):
        difference = smallest_difference(pilot, typical(n_speakers), LEVEL, POWER, is_rate=True)
        name, size = "accuracy, speakers", f"{n_speakers} speakers"
        if difference is not None:
            apart = speakers(n_speakers, (0.65 + difference / 2, 0.65 - difference / 2))
            observed = share(permuted_p, apart, n_simulations)
            claimed.append([name, size, "0.65", "measured", f"{difference:.4f}", f"{100 * observed:.1f}"])
        false = [share(p_of, speakers(n_speakers, (0.65, 0.65)), n_simulations) for p_of in (permuted_p, drawn_p)]
        equal.append([name, size, *(f"{100 * each:.1f}" for each in false)])
    print(table(["metric", "n", "score", "agreement", "difference claimed to show with 80 %", "shown in %"], claimed))
    print()
    print(table(["metric", "n", "p ≤ 5 % by permutation, in %", "by Student's t from draws"], equal))
    print(f"\n{n_simulations:,} simulations a row. {machine(['numpy'])}")


if __name__ == "__main__":
    main()
