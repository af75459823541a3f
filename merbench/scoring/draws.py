"""A pair and a stream of weightings go in, the values of every key under all of them come out.

Conventions:
    As in `evaluation`. A stream's name stands for the same weights whatever the system, so differences of draws are
    paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from merbench.metrics.metric import Metric
from merbench.metrics.sums import Clustered, Exchanges, Weights
from merbench.resampling import jackknife_weights, poisson_weights, swapped_pair, swaps
from merbench.scoring.aligned import Codes, Pair
from merbench.scoring.evaluation import Draws, evaluate, n_at_once, portions, with_classes

AT_ONCE = 1 << 17
"""Values of a permutation test that are computed at once: two of every pair under every draw."""


def bootstrap(
    pair: Pair, n_resamples: int, clusters: Codes | None, stream: str, selections: Sequence[Codes] = ()
) -> list[Draws]:
    """Return the draws of all rows, then those of every selection of rows, from the same weights in one pass."""
    parts = [pair, *(pair.select(rows) for rows in selections)]
    blocks: list[list[Draws]] = [[] for _ in parts]
    for block in poisson_weights(stream, pair.n, n_resamples, clusters=clusters):
        for weights in portions(pair, block):
            blocks[0].append(with_classes(pair, weights))
            for found, part, rows in zip(blocks[1:], parts[1:], selections, strict=True):
                found.append(evaluate(part, weights[:, rows]))
    return [joined(found) for found in blocks]


def permuted_differences(
    systems: Sequence[Pair], pairs: Sequence[tuple[int, int]], n_permutations: int, clusters: Codes | None, stream: str
) -> Iterator[Draws]:
    """Yield blocks of differences of every key, `(pairs, draws)`, after random exchanges of predictions.

    Args:
        systems: the systems, aligned.
        pairs: numbers of two systems each; the difference is that of the first and the second.
        n_permutations: draws in all, shared by all pairs.
        clusters: the cluster of every row; None where rows are exchanged one by one.
        stream: name of the random stream.
    """
    blocks = swaps(stream, systems[0].n, n_permutations, clusters=clusters)
    if not all(_is_made_of_sums(spec.metric) for spec in systems[0].track.metrics):
        both = [systems[a].beside([systems[b]]) for a, b in pairs]
        for block in blocks:
            one_by_one = [_difference(pair, *swapped_pair(block)) for pair in both]
            yield {key: np.stack([values[key] for values in one_by_one]) for key in one_by_one[0]}
        return
    everything, n = systems[0].beside(systems[1:]), systems[0].n
    first, second = np.array(pairs, dtype=np.intp).T
    for block in blocks:
        draws, unit = (block, np.arange(n)) if not isinstance(block, Clustered) else (block.counts, block.clusters)
        units = (np.arange(len(systems))[:, None] * draws.shape[1] + unit).ravel()
        step = max(1, min(AT_ONCE, n_at_once(everything.track)) // (2 * len(pairs)))
        for start in range(0, len(draws), step):
            weights = Exchanges(draws[start : start + step], units, len(systems), first, second).both_sides()
            sides = {key: values.reshape(2, len(pairs), -1) for key, values in evaluate(everything, weights).items()}
            yield {key: one - other for key, (one, other) in sides.items()}


def _is_made_of_sums(metric: Metric) -> bool:
    """Return whether a metric needs only sums of weights; metrics of other packages may need more."""
    return metric.from_classes is not None or (
        metric.target != "scores" and metric.function.__module__.startswith("merbench.metrics.")
    )


def _difference(both: Pair, weights: Weights, exchanged: Weights) -> Draws:
    first, second = evaluate(both, weights), evaluate(both, exchanged)
    return {key: first[key] - second[key] for key in first}


def jackknifed(pair: Pair, clusters: Codes | None) -> Draws:
    """Return the values of every key, of classes too, with one group of rows left out at a time."""
    blocks = jackknife_weights(pair.n, clusters=clusters)
    return joined([with_classes(pair, masks) for block in blocks for masks in portions(pair, block)])


def joined(blocks: Sequence[Draws]) -> Draws:
    """Return the draws of several blocks as one."""
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def mean_draws(runs: Sequence[Draws]) -> Draws:
    """Return the mean over runs of draws that share their weights."""
    return {key: sum((run[key] for run in runs), np.zeros(len(runs[0][key]))) / len(runs) for key in runs[0]}
