"""A pair and a stream of weightings go in, the values of every key under all of them come out.

Conventions:
    As in `evaluation`. A stream's name stands for the same weights whatever the system, so differences of draws are
    paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from merbench.resampling import jackknife_weights, poisson_weights, swapped_pair, swaps
from merbench.scoring.evaluation import Draws, evaluate, with_classes
from merbench.scoring.pair import Codes, Pair


def bootstrap(
    pair: Pair, n_resamples: int, clusters: Codes | None, stream: str, selections: Sequence[Codes] = ()
) -> list[Draws]:
    """Return the draws of all rows, then those of every selection of rows, from the same weights in one pass."""
    parts = [pair, *(pair.select(rows) for rows in selections)]
    blocks: list[list[Draws]] = [[] for _ in parts]
    for weights in poisson_weights(stream, pair.n, n_resamples, clusters=clusters):
        blocks[0].append(with_classes(pair, weights))
        for found, part, rows in zip(blocks[1:], parts[1:], selections, strict=True):
            found.append(evaluate(part, weights[:, rows]))
    return [joined(found) for found in blocks]


def permuted_differences(a: Pair, b: Pair, n_permutations: int, clusters: Codes | None, stream: str) -> Draws:
    """Return the differences a - b of every key after random exchanges of the two systems' predictions."""
    both = a.beside(b)
    found: list[Draws] = []
    for exchange in swaps(stream, a.n, n_permutations, clusters=clusters):
        first, second = (evaluate(both, weights) for weights in swapped_pair(exchange))
        found.append({key: first[key] - second[key] for key in first})
    return joined(found)


def jackknifed(pair: Pair, clusters: Codes | None) -> Draws:
    """Return the values of every key, of classes too, with one group of rows left out at a time."""
    return joined([with_classes(pair, masks) for masks in jackknife_weights(pair.n, clusters=clusters)])


def joined(blocks: Sequence[Draws]) -> Draws:
    """Return the draws of several blocks as one."""
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def mean_draws(runs: Sequence[Draws]) -> Draws:
    """Return the mean over runs of draws that share their weights."""
    return {key: sum((run[key] for run in runs), np.zeros(len(runs[0][key]))) / len(runs) for key in runs[0]}
