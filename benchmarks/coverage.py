"""Coverage of intervals and false positives of p values on populations with known true scores: the tables of
`docs/uncertainty.md`.

Inputs: simulated speakers with a difficulty, an offset of their valence and a favourite class each; six classes,
equal or in the shares of MER 2023's test2; a system that is wrong more often on difficult speakers, and whose valence
follows its answer, so that the errors of both targets are correlated. Where samples are independent, each has its own
speaker. The true scores are arithmetic on the population's confusion matrix and moments. Weights, metrics, intervals
and p values are merbench's own, with fresh weights for every simulation. No peers.

A run without options is quick and only prints; `--full` takes 10,000 simulations a row and rewrites the tables.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import table
from merbench.files.writing import write_text
from merbench.resampling import (
    DECIMALS,
    Weights,
    bca_interval,
    jackknife_weights,
    percentile_interval,
    poisson_weights,
    swapped_pair,
    swaps,
)
from merbench.scoring import Aligned, evaluate
from merbench.track import OVERALL, Track

Array = NDArray[Any]
Counts = NDArray[np.int64]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "uncertainty.md"
FULL, QUICK, CHUNK = 10_000, 300, 50
LEVEL, N_RESAMPLES, ALPHA, N_PERMUTATIONS = 0.95, 1_000, 0.05, 10_000
METHODS = ("percentile", "bca")

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
SHARES = {"equal": np.full(6, 1 / 6), "as test2": np.array([123, 98, 87, 40, 52, 12]) / 412}
VALENCE = np.array([0.0, -1.5, 1.8, -1.2, -0.8, 0.4])
REFERENCE_NOISE, PREDICTION_NOISE, SHRINKAGE = 0.8, 0.6, 0.8

# How often each class is answered right on the easiest and on the most difficult speaker, and where the others go.
EASY, DIFFICULT = np.array([0.90, 0.88, 0.90, 0.75, 0.80, 0.70]), np.array([0.60, 0.55, 0.60, 0.40, 0.45, 0.35])
CONFUSED = np.array(
    [
        [0, 3, 3, 2, 2, 1],
        [4, 0, 1, 2, 3, 1],
        [5, 1, 0, 1, 1, 1],
        [4, 2, 1, 0, 3, 0.5],
        [4, 3, 1, 3, 0, 0.5],
        [3, 2, 3, 1, 2, 0],
    ]
)


def track(*metrics: dict[str, Any]) -> Track:
    """Return a track of these metrics."""
    declaration = {
        "id": "population",
        "version": "1.0",
        "title": "A simulated population",
        "corpus": "none",
        "splits": {"test": "test"},
        "targets": {
            "discrete": {"type": "categorical", "labels": LABELS},
            "valence": {"type": "continuous"},
        },
        "metrics": metrics,
        "ranking": {"by": ["overall"]},
        "folder": Path(),
    }
    return Track.model_validate(declaration)


ACCURACY = {"name": "accuracy", "target": "discrete"}
WAF = {"name": "weighted_f1", "target": "discrete", "weight": 1.0}
UAR = {"name": "unweighted_average_recall", "target": "discrete"}
F1 = {"name": "f1", "target": "discrete", "parameters": {"label": "surprise"}}
MSE = {"name": "mse", "target": "valence", "weight": -0.25}
CCC = {"name": "ccc", "target": "valence"}
COVERED, COMPARED = track(ACCURACY, WAF, UAR, F1, MSE, CCC), track(ACCURACY, WAF, MSE)
NAMES = ("accuracy", "WAF", "UAR", "F1 of *surprise*", "MSE", "CCC", "WAF − 0.25·MSE")
COLUMNS = dict(zip([*(spec.key for spec in COVERED.metrics), OVERALL], NAMES, strict=True))
TESTED = ("accuracy(discrete)", "weighted_f1(discrete)", OVERALL)


def answers(right: Array) -> Array:
    """Return the chances of every answer (columns) for every class (rows)."""
    elsewhere = CONFUSED / CONFUSED.sum(axis=1, keepdims=True)
    return np.asarray(np.diag(right) + elsewhere * (1 - right)[:, None])


ANSWERS = np.stack([answers(EASY), answers(DIFFICULT)])


@dataclass(frozen=True)
class Population:
    """Speakers of a kind.

    Attributes:
        shares: key of `SHARES`.
        concentration: speakers' difficulties follow Beta(c, c): the smaller c, the more they differ.
        offset: standard deviation of the offsets that speakers bring to the valence of a prediction.
        favourite: share of a speaker's samples that are of the speaker's favourite class.
    """

    shares: str
    concentration: float = 2.0
    offset: float = 0.5
    favourite: float = 0.3

    def truth(self) -> dict[str, float]:
        """Return the true scores: what a sample of endless size would score."""
        shares = SHARES[self.shares]
        joint = shares[:, None] * ANSWERS.mean(axis=0)
        answered, right = joint.sum(axis=0), np.diag(joint)
        f1 = 2 * right / (shares + answered)
        means = VALENCE, SHRINKAGE * VALENCE
        reference_mean, prediction_mean = shares @ means[0], answered @ means[1]
        reference_variance = shares @ means[0] ** 2 - reference_mean**2 + REFERENCE_NOISE**2
        noise = PREDICTION_NOISE**2 + self.offset**2
        prediction_variance = answered @ means[1] ** 2 - prediction_mean**2 + noise
        covariance = means[0] @ joint @ means[1] - reference_mean * prediction_mean
        apart = reference_variance + prediction_variance + (reference_mean - prediction_mean) ** 2
        mse = apart - 2 * covariance
        values = (right.sum(), shares @ f1, (right / shares).mean(), f1[-1], mse, 2 * covariance / apart)
        return dict(zip(COLUMNS, (*values, shares @ f1 - 0.25 * mse), strict=True))

    def references(self, rng: np.random.Generator, speakers: Array) -> tuple[Array, Array]:
        """Return classes and valences of the speakers' samples."""
        edges = np.cumsum(SHARES[self.shares])[:-1]
        own = np.searchsorted(edges, rng.random(speakers.max() + 1), "right")[speakers]
        any_class = np.searchsorted(edges, rng.random(len(speakers)), "right")
        classes = np.where(rng.random(len(speakers)) < self.favourite, own, any_class)
        return classes.astype(np.int32), VALENCE[classes] + REFERENCE_NOISE * rng.standard_normal(len(speakers))

    def difficulties(self, rng: np.random.Generator, speakers: Array) -> Array:
        """Return the difficulty of every sample's speaker."""
        of_speakers: Array = rng.beta(self.concentration, self.concentration, speakers.max() + 1)
        return of_speakers[speakers]

    def offsets(self, rng: np.random.Generator, speakers: Array) -> Array:
        """Return the offset of every sample's speaker."""
        of_speakers: Array = self.offset * rng.standard_normal(speakers.max() + 1)
        return of_speakers[speakers]

    def pair(self, rng: np.random.Generator, speakers: Array) -> Aligned:
        """Return references and one system's predictions."""
        classes, valence = self.references(rng, speakers)
        difficult = rng.random(len(speakers)) < self.difficulties(rng, speakers)
        answer = _answer(classes, difficult, rng.random(len(speakers)))
        noise = PREDICTION_NOISE * rng.standard_normal(len(speakers)) + self.offsets(rng, speakers)
        return _pair(COVERED, classes, valence, answer, SHRINKAGE * VALENCE[answer] + noise)

    def equals(self, rng: np.random.Generator, speakers: Array) -> tuple[Aligned, Aligned]:
        """Return two systems of one quality, whose errors are correlated: half of their answers have one cause.

        Each has difficulties and offsets of its own for every speaker.
        """
        n = len(speakers)
        classes, valence = self.references(rng, speakers)
        shared, common = rng.random(n) < 0.5, 0.4 * rng.standard_normal(n)
        difficult, chance = rng.random(n) < self.difficulties(rng, speakers), rng.random(n)

        def system() -> Aligned:
            own = rng.random(n) < self.difficulties(rng, speakers)
            answer = _answer(classes, np.where(shared, difficult, own), np.where(shared, chance, rng.random(n)))
            noise = common + 0.45 * rng.standard_normal(n) + self.offsets(rng, speakers)
            return _pair(COMPARED, classes, valence, answer, SHRINKAGE * VALENCE[answer] + noise)

        return system(), system()


@dataclass(frozen=True)
class Cell:
    """One simulated situation: n samples (about n, where there are speakers), by how many speakers."""

    population: Population
    n: int
    n_speakers: int | None = None

    def speakers(self, rng: np.random.Generator) -> Array:
        """Return every sample's speaker; speakers have between half and one and a half times the mean of samples."""
        if self.n_speakers is None:
            return np.arange(self.n)
        mean = self.n / self.n_speakers
        sizes = rng.integers(round(0.5 * mean), round(1.5 * mean) + 1, self.n_speakers)
        return np.repeat(np.arange(self.n_speakers), sizes)

    def rng(self, number: int) -> np.random.Generator:
        """Return the generator of one simulation: it depends only on the cell and the number."""
        return np.random.default_rng([number, *repr(self).encode()])


def covered(cell: Cell, numbers: range) -> Counts:
    """Return how often the true score lay within the interval: resampled by sample or speaker, by method, by key."""
    truth = cell.population.truth()
    counts = np.zeros((2, len(METHODS), len(COLUMNS)), dtype=np.int64)
    for number in numbers:
        rng = cell.rng(number)
        speakers = cell.speakers(rng)
        pair = cell.population.pair(rng, speakers)
        plain = evaluate(pair, np.ones((1, pair.n), np.uint8))
        for way, clusters in enumerate((None, speakers) if cell.n_speakers else (None,)):
            stream = f"coverage|{cell}|{number}"
            draws = _joined(pair, poisson_weights(stream, pair.n, N_RESAMPLES, clusters=clusters))
            left_out = _joined(pair, jackknife_weights(pair.n, clusters=clusters))
            for column, key in enumerate(COLUMNS):
                intervals = (
                    percentile_interval(draws[key], LEVEL),
                    bca_interval(draws[key], LEVEL, float(plain[key][0]), left_out[key]),
                )
                for method, found in enumerate(intervals):
                    counts[way, method, column] += found.low <= truth[key] <= found.high
    return counts


def rejected(cell: Cell, numbers: range) -> Counts:
    """Return how often two equal systems differed significantly at 5 %: exchanged by sample or by speaker, by key."""
    counts = np.zeros((2, len(TESTED)), dtype=np.int64)
    for number in numbers:
        rng = cell.rng(number)
        speakers = cell.speakers(rng)
        a, b = cell.population.equals(rng, speakers)
        for way, clusters in enumerate((None, speakers) if cell.n_speakers else (None,)):
            counts[way] += significant(a, b, f"nulls|{cell}|{number}", clusters)
    return counts


def significant(a: Aligned, b: Aligned, stream: str, clusters: Array | None) -> NDArray[np.bool_]:
    """Return for each tested key whether p ≤ 5 %; draws end as soon as that is settled, which changes no answer."""
    plain = [evaluate(system, np.ones((1, a.n), np.uint8)) for system in (a, b)]
    observed = _magnitudes(*plain)
    both = a.beside([b])
    most = math.floor(round(ALPHA * (N_PERMUTATIONS + 1), 6)) - 1
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


def _answer(classes: Array, difficult: Array, chance: Array) -> Array:
    edges = np.cumsum(ANSWERS, axis=2)[difficult.astype(np.intp), classes, :-1]
    return np.asarray((chance[:, None] >= edges).sum(axis=1), dtype=np.int32)


def _pair(scored_by: Track, classes: Array, valence: Array, answer: Array, prediction: Array) -> Aligned:
    return Aligned(scored_by, {"discrete": classes, "valence": valence}, {"discrete": answer, "valence": prediction})


def _joined(pair: Aligned, blocks: Iterator[Weights]) -> dict[str, Array]:
    values = [evaluate(pair, weights) for weights in blocks]
    return {key: np.concatenate([block[key] for block in values]) for key in COLUMNS}


def _magnitudes(first: Mapping[str, Array], second: Mapping[str, Array]) -> Array:
    return np.abs(np.round([first[key] - second[key] for key in TESTED], DECIMALS))


def run(
    count: Callable[[Cell, range], Counts], cells: Sequence[Cell], n_simulations: int, workers: int
) -> dict[Cell, Array]:
    """Return every cell's counts in percent of its simulations."""
    found: dict[Cell, Array] = {}
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for cell in cells:
            start = time.monotonic()
            parts = [range(i, min(i + CHUNK, n_simulations)) for i in range(0, n_simulations, CHUNK)]
            counts = np.stack(pool.map(partial(count, cell), parts, chunksize=1))
            found[cell] = counts.sum(axis=0) * 100 / n_simulations
            print(f"{count.__name__}: {cell}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return found


def independent(n_simulations: int, workers: int) -> str:
    """Return the coverage of both methods where samples are independent."""
    cells = [Cell(Population(shares), n) for shares in SHARES for n in (100, 400, 834, 2000)]
    found = run(covered, cells, n_simulations, workers)
    rows = [
        [f"{cell.n:,}", cell.population.shares, method, *_percent(values[0, index])]
        for index, method in enumerate(METHODS)
        for cell, values in found.items()
    ]
    return table(["n", "classes", "method", *NAMES], rows)


def speakers(n_simulations: int, workers: int) -> str:
    """Return the coverage where speakers differ, resampled by sample and by speaker."""
    return _by_speakers([Cell(Population("as test2"), 834, m) for m in (24, 50, 200)], n_simulations, workers)


def extreme(n_simulations: int, workers: int) -> str:
    """Return the same where few speakers make most of the squared error."""
    population = Population("as test2", concentration=0.5, offset=1.0)
    return _by_speakers([Cell(population, 834, m) for m in (50, 200)], n_simulations, workers)


def _by_speakers(cells: Sequence[Cell], n_simulations: int, workers: int) -> str:
    rows = [
        [f"{cell.n_speakers}", unit, method, *_percent(values[way, index])]
        for cell, values in run(covered, cells, n_simulations, workers).items()
        for way, unit in enumerate(("samples", "speakers"))
        for index, method in enumerate(METHODS)
    ]
    return table(["speakers", "resampled", "method", *NAMES], rows)


def nulls(n_simulations: int, workers: int) -> str:
    """Return how often the paired permutation test rejects two systems of equal quality."""
    population = Population("as test2")
    cells = [Cell(population, 400), Cell(population, 834), Cell(population, 834, 50)]
    rows = [
        [f"{cell.n:,}", f"{cell.n_speakers or 'none'}", exchanged, *_percent(values[way])]
        for cell, values in run(rejected, cells, n_simulations, workers).items()
        for way, exchanged in enumerate(("samples", "speakers") if cell.n_speakers else ("samples",))
    ]
    return table(["n", "speakers", "exchanged", *(COLUMNS[key] for key in TESTED)], rows)


def _percent(values: Array) -> list[str]:
    return [f"{value:.1f}" for value in values]


TABLES = {made.__name__: made for made in (independent, speakers, extreme, nulls)}


def written_into(page: str, name: str, text: str) -> str:
    """Return the page with the text between the markers of a table replaced."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.partition(start)
    return f"{before}{start}\n{text}\n\n{end}{rest.partition(end)[2]}"


def main() -> None:
    """Simulate, print the tables, and with `--full` write them into the page."""
    parser = argparse.ArgumentParser(description="Coverage of intervals and false positives of p values.")
    parser.add_argument("tables", nargs="*", help=f"some of {', '.join(TABLES)}; all without a name")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} simulations a row; rewrites docs/uncertainty.md")
    parser.add_argument("--workers", type=int, default=1, help="processes (the numbers do not depend on it)")
    options = parser.parse_args()
    n_simulations = FULL if options.full else QUICK
    for name in options.tables or TABLES:
        made = TABLES[name](n_simulations, options.workers)
        text = f"{made}\n\n{n_simulations:,} simulations a row, numpy {version('numpy')}."
        print(f"### {name}\n\n{text}\n", flush=True)
        if options.full:
            write_text(PAGE, written_into(PAGE.read_text(encoding="utf-8"), name, text))


if __name__ == "__main__":
    main()
