"""The equal error rate of 1,000,000 scores under 1,000 resamples against drawing their weights and a sweep of each.

Inputs: scores of a detector with an error rate of about 16 %, 40 % of them genuine, in memory and ranked once; weights
of single samples, and of 200 clusters (speakers, say), drawn block by block as resampling does. The peer evaluates a
resample as ASVspoof's code does: it repeats the scores, sorts them, and takes both rates behind every one; it does one
resample, and the table gives a thousand times that. The values must be the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import machine, race, seconds, table
from merbench.metrics.detection import equal_error_rate, ranking
from merbench.metrics.sums import Weights, spread
from merbench.resampling import poisson_weights

N, N_CLUSTERS, N_RESAMPLES, ROUNDS = 1_000_000, 200, 1_000, 3

Floats = NDArray[np.float64]


def swept(reference: NDArray[np.int8], prediction: Floats, weights: Weights) -> list[float]:
    """Return the rate of every row of weights from the samples repeated as often as they count."""
    values = []
    for row in spread(weights):
        positive, scores = np.repeat(reference, row) == 1, np.repeat(prediction, row)
        scores = np.concatenate([scores[positive], scores[~positive]])
        n, m = np.count_nonzero(positive), np.count_nonzero(~positive)
        missed = np.cumsum(np.argsort(scores, kind="stable") < n)
        miss = np.concatenate([[0.0], missed / n])
        alarm = np.concatenate([[1.0], (m - (np.arange(1, n + m + 1) - missed)) / m])
        step = np.abs(miss - alarm).argmin()
        values.append(float((miss[step] + alarm[step]) / 2))
    return values


def main() -> None:
    """Check that both give the same, race them and print the table."""
    rng = np.random.default_rng(2023)
    reference = (rng.random(N) < 0.4).astype(np.int8)
    prediction = rng.normal(size=N) + 2 * reference
    clusters = rng.integers(0, N_CLUSTERS, N)
    ranked = ranking(reference, prediction)

    def drawn(of: NDArray[np.int64] | None, n_resamples: int = N_RESAMPLES) -> Iterator[Weights]:
        return poisson_weights("bench|test|0", N, n_resamples, clusters=of)

    def evaluate(of: NDArray[np.int64] | None) -> None:
        for weights in drawn(of):
            equal_error_rate(ranked, weights)

    for few in (next(drawn(None, 1)), next(drawn(clusters, 2))):
        found, expected = equal_error_rate(ranked, few).tolist(), swept(reference, prediction, few)
        if found != expected:
            raise SystemExit(f"merbench {found} and the sweep {expected} do not agree")

    one = next(drawn(None, 1))
    times = race(
        {
            "rank": lambda: ranking(reference, prediction),
            "draw": lambda: [None for _ in drawn(None)],
            "draw, evaluate": lambda: evaluate(None),
            "draw clusters": lambda: [None for _ in drawn(clusters)],
            "draw clusters, evaluate": lambda: evaluate(clusters),
            "sweep": lambda: swept(reference, prediction, one),
        },
        ROUNDS,
    )
    rows = []
    for name, drawing in (("samples one by one", "draw"), (f"{N_CLUSTERS} clusters", "draw clusters")):
        draw, both = times[drawing], times[f"{drawing}, evaluate"]
        share = f"{both / draw:.1f} ×" if drawing == "draw" else ""
        rows.append([name, seconds(draw), seconds(both), share, seconds(times["sweep"] * N_RESAMPLES)])
    print(f"Equal error rate of {N:,} scores, {N_RESAMPLES:,} resamples, one process, medians of {ROUNDS} rounds\n")
    print(table(["resampled", "drawing", "drawing and merbench", "of drawing", "a sweep each"], rows))
    print(f"\nRanking the scores, once: {seconds(times['rank'])}. {machine(['numpy'])}")


if __name__ == "__main__":
    main()
