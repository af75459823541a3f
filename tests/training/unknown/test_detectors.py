"""Detectors: values worked out by hand, limits in which they become another one, and peers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance
from torch.nn import functional

from merbench.errors import UnknownName, UsageError
from merbench.training.unknown import detectors as d

# f = (1, 0, 2), W = diag(1, 1, 1/2), b = 0: z = (1, 0, 1)
FEATURES = np.array([[1.0, 0.0, 2.0]])
LAYER = d.Layer(np.diag([1.0, 1.0, 0.5]), np.zeros(3))
LOGITS = LAYER.logits(FEATURES)
E = math.e


def made(n: int = 200, seed: int = 0, width: int = 12, n_classes: int = 4) -> d.Known:
    """Return features that are not negative, with classes and a last layer."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_classes, n)
    features = np.maximum(rng.normal(0, 1, (n_classes, width))[codes] + rng.normal(0, 0.5, (n, width)), 0)
    return d.Known(features, codes, d.Layer(rng.normal(0, 1, (n_classes, width)), rng.normal(0, 1, n_classes)))


KNOWN = made()
OTHERS = made(seed=1).features
OTHER_LOGITS = KNOWN.layer.logits(OTHERS)


def score(name: str) -> np.ndarray:
    return d.detector(name).fitted(KNOWN)(OTHERS, OTHER_LOGITS)


def test_values_by_hand() -> None:
    assert d.msp(LOGITS)[0] == pytest.approx(E / (2 * E + 1), abs=1e-12)
    assert d.max_logit(LOGITS)[0] == 1
    assert d.energy(LOGITS)[0] == pytest.approx(math.log(2 * E + 1), abs=1e-12)
    # ‖f‖₁ = 3, and 3 p - 1 is twice 3e / (2e + 1) - 1 and once 3 / (2e + 1) - 1
    terms = 2 * (3 * E / (2 * E + 1) - 1) + 1 - 3 / (2 * E + 1)
    assert d.gradient_norm(FEATURES, LOGITS)[0] == pytest.approx(3 * terms, abs=1e-12)
    # the third feature is 1.5: z = (1, 0, 0.75)
    clipped = math.log(E + 1 + math.exp(0.75))
    assert d.react(FEATURES, LAYER, 1.5)[0] == pytest.approx(clipped, abs=1e-12)
    assert d.vra(FEATURES, LAYER, 0.5, 1.5)[0] == pytest.approx(clipped, abs=1e-12)
    np.testing.assert_array_equal(d.rectified(FEATURES, 0.5, 1.5, 0.6), [[1.6, 0, 1.5]])
    plus = math.log(math.exp(1.6) + 1 + math.exp(0.75))
    assert d.vra(FEATURES, LAYER, 0.5, 1.5, 0.6)[0] == pytest.approx(plus, abs=1e-12)
    # (1 - 4)² + (0 - 4)² + (2 - 4)² = 29
    assert d.squared_distances_from(FEATURES, 4.0)[0] == 29
    # one of three is kept: s1 = 3, s2 = 2
    kept = d.shaped(FEATURES, 65, "s")
    np.testing.assert_allclose(kept, [[0, 0, 2 * math.exp(1.5)]], rtol=1e-15)
    assert d.energy(LAYER.logits(kept))[0] == pytest.approx(math.log(2 + math.exp(math.exp(1.5))), abs=1e-12)
    np.testing.assert_array_equal(d.shaped(FEATURES, 65, "p"), [[0, 0, 2]])
    np.testing.assert_array_equal(d.shaped(FEATURES, 65, "b"), [[0, 0, 3]])
    # contributions 0.5, 1 and 0.5, and six zeros; at 7.2 of 0 … 8: 0.5 + 0.2 · 0.5 = 0.6
    sparse = d.sparse(LAYER, np.array([0.5, 1, 1]), 90)
    np.testing.assert_array_equal(sparse.weight, np.diag([0, 1, 0]))
    assert d.energy(sparse.logits(FEATURES))[0] == pytest.approx(math.log(3), abs=1e-12)
    # |f| clipped at 1.5: a norm of 2.5
    after_rg = math.log(2.5) + math.log(2 * E + 1)
    assert d.clipped_norm_with_energy(FEATURES, LOGITS, 1.5)[0] == pytest.approx(after_rg, abs=1e-9)


def test_the_values_of_the_ledger_of_facts() -> None:
    published = {
        "msp": (d.msp(LOGITS), 0.422319),
        "energy": (d.energy(LOGITS), 1.861995),
        "gradnorm": (d.gradient_norm(FEATURES, LOGITS), 3.203477),
        "react": (d.react(FEATURES, LAYER, 1.5), 1.763923),
        "vra-plus": (d.vra(FEATURES, LAYER, 0.5, 1.5, 0.6), 2.088158),
        "vra-plus-plus": (
            d.vra(FEATURES, LAYER, 0.5, 1.5) - 0.01 * d.squared_distances_from(FEATURES, 4.0),
            1.473923,
        ),
        "ash-s": (d.energy(LAYER.logits(d.shaped(FEATURES, 65, "s"))), 4.504065),
    }
    for name, (values, expected) in published.items():
        assert values[0] == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("name", ["react:quantile=1", "ash-p:percentile=0", "vra:low=0,high=1"])
def test_limits_are_energy(name: str) -> None:
    # quantiles of training features: others are within these, so that nothing is clipped or removed
    inside = OTHERS.clip(KNOWN.features.min(axis=0), KNOWN.features.max(axis=0))
    logits = KNOWN.layer.logits(inside)
    np.testing.assert_allclose(d.detector(name).fitted(KNOWN)(inside, logits), d.energy(logits), rtol=1e-12)


def test_further_limits() -> None:
    # ASH-S without anything removed multiplies by exp(1)
    np.testing.assert_allclose(d.shaped(OTHERS, 0, "s"), OTHERS * E, rtol=1e-12)
    np.testing.assert_allclose(score("vra-plus:added=0,high=0.9"), score("vra"), rtol=1e-12)
    np.testing.assert_allclose(score("vra-plus-plus:scale=0,low=0.6,high=0.9"), score("vra"), rtol=1e-12)
    np.testing.assert_allclose(score("odin:temperature=1"), score("msp"), rtol=1e-12)
    # DICE at percentile 0: only the smallest entry is not above it
    dropped = d.sparse(KNOWN.layer, KNOWN.features.mean(axis=0), 0).weight != KNOWN.layer.weight
    contributions = KNOWN.layer.weight * KNOWN.features.mean(axis=0)
    assert np.flatnonzero(dropped.ravel()).tolist() == [contributions.argmin()]
    # clipping at infinity leaves the norm of the features, and after-rg is a sum of logs
    np.testing.assert_allclose(d.norms(OTHERS), np.abs(OTHERS).sum(axis=1), rtol=1e-12)
    assert (
        np.ptp(
            score("after-rg:quantile=1")
            - score("energy")
            - np.log(np.abs(OTHERS).clip(max=np.abs(KNOWN.features).max()).sum(axis=1))
        )
        < 1e-9
    )


def test_the_gradient_norm_is_that_of_autograd() -> None:
    weight = torch.tensor(KNOWN.layer.weight, requires_grad=True)
    for n in range(5):
        logits = torch.tensor(OTHERS[n]) @ weight.T + torch.tensor(KNOWN.layer.bias)
        uniform = torch.full((4,), 0.25, dtype=torch.float64)
        loss = functional.kl_div(logits.log_softmax(0), uniform, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, weight)
        assert score("gradnorm")[n] == pytest.approx(4 * float(gradient.abs().sum()), rel=1e-12)


def test_distances_to_class_means_are_those_of_scikit_learn() -> None:
    means = np.stack([KNOWN.features[KNOWN.codes == code].mean(axis=0) for code in range(4)])
    tied = EmpiricalCovariance(assume_centered=True).fit(KNOWN.features - means[KNOWN.codes])
    centred = [EmpiricalCovariance(assume_centered=True).fit(np.eye(12)) for _ in means]
    for each in centred:
        each.precision_ = tied.precision_
        each.location_ = np.zeros(12)
    expected = -np.min([each.mahalanobis(OTHERS - mean) for each, mean in zip(centred, means, strict=True)], axis=0)
    np.testing.assert_allclose(score("mahalanobis"), expected, rtol=1e-8)
    # features that never vary count nothing (pseudo-inverse), and an absent class has no mean
    constant = np.hstack([KNOWN.features, np.ones((200, 2))])
    padded = d.ClassMeans.of(constant, KNOWN.codes * 2)
    others = np.hstack([OTHERS, np.full((200, 2), 7.0)])
    np.testing.assert_allclose(-padded.distances(others), expected, rtol=1e-8)


def test_distances_to_neighbours_are_those_of_scipy() -> None:
    stored, others = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (KNOWN.features, OTHERS))
    expected = -np.sort(cdist(others, stored, "sqeuclidean"), axis=1)
    np.testing.assert_allclose(score("knn:k=7"), expected[:, 6], atol=1e-12)
    np.testing.assert_allclose(score("knn:k=9999"), expected[:, -1], atol=1e-12)
    single = d.neighbour_distances(OTHERS.astype(np.float32), stored.astype(np.float32), 7)
    np.testing.assert_allclose(-single, expected[:, 6], atol=1e-5)


def test_a_feature_of_zeros_is_at_a_distance_of_1_from_all() -> None:
    stored = np.vstack([d.normalised(KNOWN.features), np.zeros((1, 12))])
    np.testing.assert_allclose(d.neighbour_distances(np.zeros((1, 12)), stored, 2), 1)
    expected = np.sort(cdist(d.normalised(OTHERS), stored, "sqeuclidean"), axis=1)[:, 6]
    np.testing.assert_allclose(d.neighbour_distances(OTHERS, stored, 7), expected, atol=1e-12)


def test_quantiles_are_those_of_numpy() -> None:
    for share in (0.0, 0.33, 0.9, 1.0):
        np.testing.assert_allclose(KNOWN.quantile(share), np.quantile(KNOWN.features, share, axis=0), rtol=1e-12)


def test_pruned_features_are_the_largest() -> None:
    rng = np.random.default_rng(0)
    features = rng.random((9, 20))
    kept = torch.topk(torch.tensor(features), 20 - round(20 * 0.83), dim=1)
    expected = torch.zeros(9, 20, dtype=torch.float64).scatter(1, kept.indices, kept.values)
    np.testing.assert_array_equal(d.shaped(features, 83, "p"), expected)
    share = features.sum(axis=1) / 3
    np.testing.assert_allclose(d.shaped(features, 83, "b"), (expected.numpy() > 0) * share[:, None], rtol=1e-12)
    np.testing.assert_array_equal(d.shaped(np.zeros((1, 20)), 83, "b"), np.zeros((1, 20)))
    np.testing.assert_array_equal(d.shaped(np.zeros((1, 20)), 83, "s"), np.zeros((1, 20)))


def test_more_samples_at_once_change_nothing() -> None:
    few = made(n=3, width=12)
    rows = np.tile(OTHERS[:5], (4000, 1))
    for name, each in d.DETECTORS.items():
        own = each.fitted(KNOWN)
        logits = KNOWN.layer.logits(rows)
        np.testing.assert_allclose(own(rows, logits), np.tile(score(name)[:5], 4000), rtol=1e-9, err_msg=name)
        assert own(few.features[:0], KNOWN.layer.logits(few.features[:0])).shape == (0,)


def test_settings_are_checked_all_at_once() -> None:
    assert d.detector("knn:k=20").values == {"k": 20}
    assert d.detector("vra: low=0.5, high=1").label == "vra:low=0.5,high=1"
    with pytest.raises(UsageError) as caught:
        d.detector("vra:lo=0.5,high=2")
    assert str(caught.value).splitlines() == [
        "detector 'vra:lo=0.5,high=2': 2 problems",
        "  E207  lo: is not a setting of vra; allowed: low, high; did you mean 'low'?",
        "  E207  high: 2 is not a number in [0, 1]",
    ]
    with pytest.raises(UnknownName, match="no detector named 'energi'; did you mean 'energy'"):
        d.detector("energi")


def test_scores_are_finite_for_features_of_any_sign_and_for_zeros() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 3, (300, 40)).astype(np.float32)
    features[:2] = 0
    layer = d.Layer(rng.normal(0, 1, (3, 40)).astype(np.float32), np.zeros(3, np.float32))
    known = d.Known(features, rng.integers(0, 3, 300), layer)
    # the largest of 40 sum to about what is left of all, which is then divided by almost nothing
    for name, each in d.DETECTORS.items():
        scores = each.fitted(known)(features, layer.logits(features))
        assert scores.shape == (300,) and scores.dtype == np.float64 and np.isfinite(scores).all(), name
    assert (d.shaped(np.array([[-1.0, -2.0, 1e-9]]), 65, "s") <= 1e-9 * math.exp(3)).all()
