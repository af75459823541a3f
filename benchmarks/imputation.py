"""Imputation by nearest neighbours against the matrix products that its distances need, and against scikit-learn's.

Inputs: samples to learn from and as many to fill, three features of 512 numbers that depend on 20 common ones, five
neighbours, one thread. Whole features are missing: one of three in every sample to fill, or each by chance at 0.3 on
both sides; or single numbers are, scattered at 0.2 on both sides. Its own product: the products of distances on the
same shapes, of numbers that all share, or of values, squares and masks, and their counts; nothing else. Values are
equal to those of scikit-learn to 1e-9; `--peer` times it, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import KNNImputer
from threadpoolctl import threadpool_limits

from benchmarks.measuring import machine, race, seconds, table
from merbench.training.neighbours import Neighbours, patterns

WIDTHS, K = (512, 512, 512), 5
Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


def masks(kind: str, n: int, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Return which numbers the samples to learn from have, and the samples to fill."""
    if kind == "scattered":
        return rng.random((n, sum(WIDTHS))) > 0.2, rng.random((n, sum(WIDTHS))) > 0.2
    known, given = np.ones((n, 3), dtype=np.bool_), np.ones((n, 3), dtype=np.bool_)
    if kind == "one feature":
        given[:, 0] = False
    else:
        for each in (known, given):
            each[:] = rng.random((n, 3)) > 0.3
            each[~each.any(axis=1), 0] = True
    return np.repeat(known, WIDTHS, axis=1), np.repeat(given, WIDTHS, axis=1)


def products(values: Numbers, has: Mask, donors: Numbers, donors_has: Mask) -> Callable[[], object]:
    """Return what computes only the products of the distances."""
    groups, of_donors = patterns(has[~has.all(axis=1)]), patterns(donors_has)
    rows = np.flatnonzero(~has.all(axis=1))
    if len(groups) * len(of_donors) > 64:
        left = np.concatenate([np.square(values), has, values], axis=1)
        right = np.concatenate([donors_has.T, np.square(donors).T, donors.T])
        counts = has.astype(np.float32), np.ascontiguousarray(donors_has.T.astype(np.float32))
        return lambda: (left @ right, counts[0] @ counts[1])
    pairs = []
    for group in groups:
        for other in of_donors:
            shared = has[rows[group[0]]] & donors_has[other[0]]
            own = np.compress(shared, values[rows[group]], axis=1)
            pairs.append((own, np.ascontiguousarray(np.compress(shared, donors[other], axis=1).T)))
    return lambda: [left @ right for left, right in pairs]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", action="store_true", help="time scikit-learn, too: minutes")
    parser.add_argument("--samples", type=int, default=2000)
    chosen, lines = parser.parse_args(), []
    for kind in ("one feature", "features by chance", "scattered"):
        rng, n = np.random.default_rng(0), chosen.samples
        mixing = rng.standard_normal((20, sum(WIDTHS)))
        donors, values = (
            rng.standard_normal((n, 20)) @ mixing + rng.standard_normal((n, sum(WIDTHS))) for _ in range(2)
        )
        known, given = masks(kind, n, rng)
        donors, values = np.where(known, donors, 0), np.where(given, values, 0)
        neighbours = Neighbours(donors, known, K)
        contenders: dict[str, Callable[[], object]] = {
            "ours": lambda: neighbours.filled(values, given),  # noqa: B023 # run in this iteration
            "product": products(values, given, donors, known),
        }
        peer = KNNImputer(n_neighbors=K).fit(np.where(known, donors, np.nan))
        with threadpool_limits(1):
            part = slice(0, 20)
            expected = peer.transform(np.where(given, values, np.nan)[part])
            np.testing.assert_allclose(neighbours.filled(values, given)[part], expected, atol=1e-9)
            times = race(contenders, rounds=5)
            if chosen.peer:
                incomplete = np.where(given, values, np.nan)
                times["peer"] = race({"peer": lambda: peer.transform(incomplete)}, rounds=1)["peer"]  # noqa: B023
        peer_time = seconds(times["peer"]) if chosen.peer else ""
        ratio = f"{times['ours'] / times['product']:.2f}"
        lines.append((kind, seconds(times["ours"]), seconds(times["product"]), ratio, peer_time))
    print(machine(["numpy", "scikit-learn"]) + "\n")
    print(table(("missing", "ours", "its product", "ratio", "scikit-learn"), lines))


if __name__ == "__main__":
    main()
