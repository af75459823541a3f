"""What holds for every metric: rows of weights are independent, order means nothing, bounds, no weight, clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from merbench.lexicon import open_lexicon
from merbench.metrics import METRICS
from merbench.metrics.categorical import per_class
from merbench.metrics.lists import Lists, Segments, offsets_of
from merbench.metrics.sums import Clustered

N, LABELS = 60, ("a", "b", "c", "d")
WORDS = ("happy", "sad", "angry", "surprised", "worried", "unheard-of")
NAMES = METRICS.names()
REQUIRED = {"label": 1, "k": 2}
NOT_PERFECT = ("mean_prediction", "sims_mae", "cross_entropy", "majority_agreement", "set_size")


def lists(rng: np.random.Generator, words: tuple[str, ...], at_least: int, outside: bool = False) -> Lists:
    counts = rng.integers(at_least, 4, N)
    codes = np.concatenate([rng.permutation(len(words))[:count] for count in counts]).astype(np.int32)
    if outside:
        codes[rng.random(len(codes)) < 0.1] = -1
    return Lists(words, codes, offsets_of(counts))


def segments(rng: np.random.Generator) -> Segments:
    counts = rng.integers(0, 3, N)
    starts = np.concatenate([np.arange(count) * 2.0 for count in counts]) + rng.random(int(counts.sum()))
    return Segments(rng.integers(0, 2, len(starts)).astype(np.int32), starts, starts + 0.5, offsets_of(counts))


def sides(kind: str, seed: int = 0) -> tuple[Any, Any]:
    """Return references and predictions of N samples of a kind of target."""
    rng = np.random.default_rng(seed)
    match kind:
        case "categorical":
            return rng.integers(0, 4, N).astype(np.int32), rng.integers(-1, 4, N).astype(np.int32)
        case "continuous":
            return rng.normal(0, 1.5, N).round(1), rng.normal(0, 1.5, N).round(1)
        case "multilabel":
            return rng.integers(-1, 2, (N, 4)).astype(np.int8), rng.integers(0, 2, (N, 4)).astype(np.int8)
        case "distribution":
            votes, scores = (
                rng.integers(0, 9, (N, 4)) + np.eye(4)[rng.integers(0, 4, N)],
                rng.random((N, 4)).round(1) + 0.1,
            )
            return votes / votes.sum(1, keepdims=True), scores / scores.sum(1, keepdims=True)
        case "scores":
            return rng.integers(0, 2, N).astype(np.int8), rng.normal(0, 1, N).round(1)
        case "label_set":
            return lists(rng, WORDS, 1), lists(rng, WORDS, 0)
        case "ranked":
            return lists(rng, LABELS, 1), lists(rng, LABELS, 0, outside=True)
    return segments(rng), segments(rng)


def keywords(name: str) -> dict[str, Any]:
    metric = METRICS[name]
    supplied = {"n_labels": 4, "lexicon": open_lexicon("english"), "grouped": None}
    required = {key: REQUIRED[key] for key, known in metric.parameters.items() if known.is_required}
    return required | {key: supplied[key] for key in metric.supplied}


def values(name: str, weights: Any, rows: Any = slice(None), seed: int = 0) -> np.ndarray:
    reference, prediction = sides(METRICS[name].target, seed)
    return METRICS[name](reference[rows], prediction[rows], weights, **keywords(name))


WEIGHTS = np.random.default_rng(1).integers(0, 4, (9, N)).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_weights_is_a_sample_of_its_own(name: str) -> None:
    together = values(name, WEIGHTS)
    order = np.random.default_rng(2).permutation(N)
    for row, value in zip(WEIGHTS, together, strict=True):
        for weights, rows in ((row[None], slice(None)), (row[order][None], order), (row[row > 0][None], row > 0)):
            np.testing.assert_allclose(values(name, weights, np.arange(N)[rows]), [value], rtol=1e-12, atol=1e-14)
        repeated = np.repeat(np.arange(N), row)
        one = np.ones((1, len(repeated)), dtype=np.uint8)
        np.testing.assert_allclose(values(name, one, repeated), [value], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_within_bounds_and_undefined_without_weight(name: str) -> None:
    low, high = METRICS[name].bounds
    for seed in range(5):
        result = values(name, WEIGHTS, seed=seed)
        assert result.shape == (9,) and result.dtype == np.float64
        assert ((result >= low) & (result <= high)).all()
    assert np.isnan(values(name, np.zeros((2, N), np.uint8))).all()


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_clusters_and_of_any_type_give_the_same(name: str) -> None:
    clusters = np.random.default_rng(3).integers(0, 7, N)
    counts = np.random.default_rng(4).integers(0, 4, (9, 7)).astype(np.uint8)
    expected = values(name, counts[:, clusters])
    np.testing.assert_allclose(values(name, Clustered(counts, clusters)), expected, rtol=1e-12, atol=1e-14)
    for kind in (np.int64, np.float32):
        np.testing.assert_array_equal(values(name, counts[:, clusters].astype(kind)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_equal_sides_are_perfect(name: str) -> None:
    metric = METRICS[name]
    reference, _ = sides(metric.target)
    if metric.target in ("scores", "multilabel") or name in NOT_PERFECT:
        return  # its two sides are of different kinds, or perfect is not its bound
    value = metric(reference, reference, WEIGHTS, **keywords(name))
    best = metric.bounds[1] if metric.higher_is_better else metric.bounds[0]
    np.testing.assert_allclose(value, 1.0 if np.isinf(best) else best, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_prepared_once_serves_all_weightings(name: str) -> None:
    metric, given = METRICS[name], keywords(name)
    reference, prediction = sides(metric.target)
    if metric.prepare is not None:
        prepared = metric.prepare(reference, prediction, **metric.preparing(given))
        shared = metric.function(prepared, WEIGHTS, **metric.finishing(given))
    elif metric.from_classes is not None:
        classes = per_class(reference, prediction, WEIGHTS, n_labels=4)
        shared = metric.from_classes(classes, **{key: given[key] for key in metric.parameters if key in given})
    else:
        return
    np.testing.assert_array_equal(shared, values(name, WEIGHTS))


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_says_what_it_is(name: str) -> None:
    metric = METRICS[name]
    assert metric.function.__name__ == name and metric.formula and metric.undefined
    assert (metric.function.__doc__ or "").strip()
    assert metric.bounds[0] < metric.bounds[1]
