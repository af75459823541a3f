"""Features are standardised with the moments of what a fold learns from, and nothing else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from merbench.training import FeatureSet, Sequences
from merbench.training.networks.batches import Data
from merbench.training.networks.scaling import Kind, Scaling

LENGTHS = np.array([3, 0, 1, 4, 2, 5])
LEARNED = [np.array([0, 1, 3]), np.array([2, 3, 4, 5])]


def samples() -> FeatureSet:
    values = np.random.default_rng(0).normal(3, 2, (LENGTHS.sum(), 2)).astype(np.float32)
    values[:, 1] = 0.1  # the same everywhere
    sequences = Sequences(values, np.cumsum(LENGTHS) - LENGTHS, LENGTHS)
    return FeatureSet(pa.array([f"s{i}" for i in range(len(LENGTHS))]), {"x": sequences})


@pytest.mark.parametrize("kind", ["vectors", "sequences"])
def test_moments_are_those_of_scikit_learn(kind: Kind) -> None:
    features = samples()
    scaling = Scaling.of(features, kind, LEARNED)
    for fold, rows in enumerate(LEARNED):
        sequences = features.sequences["x"]
        parts = [sequences.of(row) for row in rows if LENGTHS[row]]
        known = np.concatenate(parts) if kind == "sequences" else np.stack([part.mean(0) for part in parts])
        peer = StandardScaler().fit(known.astype(np.float64))
        np.testing.assert_allclose(scaling.means["x"][fold], peer.mean_, rtol=1e-6)
        # scikit-learn has 1, too, where all rows are equal
        np.testing.assert_allclose(scaling.deviations["x"][fold], peer.scale_, rtol=1e-6)


def test_what_is_standardised_keeps_its_zeros_of_padding_and_of_missing_samples() -> None:
    features = samples()
    scaling = Scaling.of(features, "sequences", LEARNED)
    rows = torch.tensor([[0, 1, 3], [2, 5, -1]])
    batch = Data(features, "sequences").batch(rows, scaling)
    raw = Data(features, "sequences").batch(rows)
    for fold in range(2):
        for place in range(3):
            n = int(batch.lengths["x"][fold, place])
            wanted = (raw.inputs["x"][fold, place, :n] - scaling.means["x"][fold]) / scaling.deviations["x"][fold]
            torch.testing.assert_close(batch.inputs["x"][fold, place, :n], wanted)
            assert not batch.inputs["x"][fold, place, n:].any()
    vectors = Data(features).batch(torch.tensor([0, 1]), Scaling.of(features, "vectors", LEARNED).each(lambda m: m[1]))
    assert not vectors.inputs["x"][1].any()
    assert vectors.inputs["x"][0].any()


def test_moments_of_the_same_samples_and_rows_are_computed_once() -> None:
    features = samples()
    first = Scaling.of(features, "sequences", LEARNED)
    assert Scaling.of(features, "sequences", [rows.copy() for rows in LEARNED]) is first
    for others in (Scaling.of(features, "vectors", LEARNED), Scaling.of(features, "sequences", LEARNED[:1])):
        assert others.means["x"].tolist() != first.means["x"].tolist()
    assert Scaling.of(samples(), "sequences", LEARNED) is not first
