"""Detectors of unknown classes on 20,000 × 768 features and six classes, against the product of the last layer.

One thread. Each detector is timed from features to scores, the product that makes the logits included where it uses
them; what it is fitted on is timed by itself. Its own product: features by last weights, by the matrix of Mahalanobis,
or by all stored features (20,000, or `--stored N`). Passes that a detector needs besides are timed next to it, alone:
to clip features, to find a quantile of all of them or of each, and to partition those of each sample. The largest
allowed time is 1.5 products for those of logits only, 1.3 products and the passes for others, and 1.2 for neighbours.
Distances to neighbours are equal to those of float64 to 1e-5; they are timed on a fifth of the features, times 5.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measuring import machine, race, seconds, table
from merbench.training.unknown.detectors import DETECTORS, DISTANCES, Known, Layer, normalised

N, D, K = 20_000, 768, 6
LOGITS = ("msp", "max-logit", "energy", "odin")
PASSES = {
    "react": ("clip",),
    "gradnorm": ("absolute",),
    "after-rg": ("absolute", "clip"),
    "vra": ("clip", "mask"),
    "vra-plus": ("clip", "mask", "mask"),
    "vra-plus-plus": ("clip", "mask", "squares"),
    "ash-p": ("partition", "mask"),
    "ash-s": ("partition", "mask", "mask"),
    "ash-b": ("partition", "mask", "mask"),
}
"""What a detector needs besides the product, each once over all features."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stored", type=int, default=N, help="features whose neighbours are found")
    parser.add_argument("--rounds", type=int, default=21)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    features, stored = (
        np.maximum(rng.standard_normal((n, D), dtype=np.float32), 0) for n in (N, max(chosen.stored, N))
    )
    layer = Layer((rng.standard_normal((K, D)) / np.sqrt(D)).astype(np.float32), np.zeros(K, np.float32))
    known = Known(stored[: chosen.stored], rng.integers(0, K, chosen.stored), layer)
    ceiling = np.quantile(features[:500], 0.9, axis=0).astype(np.float32)
    square = rng.standard_normal((D, D), dtype=np.float32)
    turned = np.ascontiguousarray(normalised(known.features).T)
    logits = layer.logits(features)
    scores = {name: each.fitted(known) for name, each in DETECTORS.items()}

    def scored(name: str) -> Callable[[], object]:
        if name in (*LOGITS, "gradnorm", "after-rg"):
            return lambda: scores[name](features, layer.logits(features))
        return lambda: scores[name](features, logits)  # these make products of their own

    def neighbours() -> None:
        step = DISTANCES // len(turned.T)
        for start in range(0, N // 5, step):
            features[start : min(start + step, N // 5)] @ turned

    with threadpool_limits(1):
        passes: dict[str, Callable[[], object]] = {
            "clip": lambda: np.minimum(features, ceiling),
            "absolute": lambda: np.abs(features).sum(axis=1),
            "mask": lambda: features * (features >= ceiling),
            "squares": lambda: np.square(features).sum(axis=1),
            "partition": lambda: np.partition(features, D - D // 10, axis=1),
        }
        products: dict[str, Callable[[], object]] = {
            "product": lambda: features @ layer.weight.T + layer.bias,
            "product of mahalanobis": lambda: features @ square,
        }
        times = race(
            {**products, **passes, **{each: scored(each) for each in DETECTORS if each != "knn"}}, chosen.rounds
        )
        fifth = {"product of knn": neighbours, "knn": lambda: scores["knn"](features[: N // 5], logits)}
        times |= {name: 5 * time for name, time in race(fifth, 5).items()}
        quantiles = race(
            {"of all": lambda: np.quantile(known.features, 0.9), "of each": lambda: np.sort(known.features.T, axis=1)},
            1,
        )
        fits = race({name: partial(each.fitted, known) for name, each in DETECTORS.items()}, 1)
    exact = 2 - 2 * normalised(features[:50].astype(np.float64)) @ normalised(known.features.astype(np.float64)).T
    expected = -np.sort(exact, axis=1)[:, DETECTORS["knn"].values["k"] - 1]
    furthest = np.abs(scores["knn"](features[:50], layer.logits(features[:50])) - expected).max()
    assert furthest < 1e-5, furthest
    lines = []
    for name in DETECTORS:
        product = times.get(f"product of {name}", times["product"])
        factor = 1.5 if name in LOGITS else 1.2 if name == "knn" else 1.3
        needed = PASSES.get(name, ())
        own = sum(times[each] for each in needed)
        share = f"{times[name] / (factor * product + own):.2f}"
        alone = seconds(own) if needed else ""
        lines.append(
            (name, seconds(times[name]), seconds(product), ", ".join(needed), alone, share, seconds(fits[name]))
        )
    print(machine(["numpy"]))
    print(table(("detector", "features to scores", "product", "passes", "alone", "of the most", "fitted once"), lines))
    print("quantiles: " + ", ".join(f"{name} {seconds(time)}" for name, time in quantiles.items()))
    print(f"squared distances to neighbours: within {furthest:.1e} of float64")


if __name__ == "__main__":
    main()
