"""CPM-Net: latent vectors of samples, whatever these lack, and classes by inner products with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from merbench.errors import UsageError
from merbench.track import Track
from merbench.training import FeatureSet, Setup, TrainingSet, load_baseline
from tests.training.conftest import DECLARATION, LABELS, SmallTrack
from tests.training.test_missing import corruption

ONLY_LABELS = DECLARATION.replace("targets.valence", "# targets.valence").replace(
    '    { name = "mse", target = "valence", weight = -0.25 },\n', ""
)
QUICK = {"latent": 3, "epochs": 20, "answer_epochs": 40, "map_rate": 0.02, "latent_rate": 0.02}

module = load_baseline("cpm-net").module


def made(n: int = 40, *, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return two views of latent vectors of three numbers, by maps that are the same for every seed, and classes."""
    maps = np.random.default_rng(7).normal(size=(3, 9))
    rng = np.random.default_rng(seed)
    codes = np.arange(n, dtype=np.int32) % 3
    latents = np.eye(3)[codes] * 2 + rng.normal(size=(n, 3)) * 0.5
    views = (latents @ maps).astype(np.float32)
    return {"audio": views[:, :5], "text": views[:, 5:]}, codes


def samples_of(vectors: dict[str, np.ndarray], lacking: dict[str, list[int]] | None = None) -> FeatureSet:
    n = len(next(iter(vectors.values())))
    samples = FeatureSet.of_vectors(pa.array([f"s{i:03}" for i in range(n)]), vectors)
    sequences = dict(samples.sequences)
    for name, rows in (lacking or {}).items():
        sequences[name] = sequences[name].select(np.where(np.isin(np.arange(n), rows), -1, np.arange(n)))
    return replace(samples, sequences=sequences)


@pytest.fixture
def track(small_track: SmallTrack) -> Track:
    return small_track(declaration=ONLY_LABELS)


def fitted(track: Track, samples: FeatureSet, codes: np.ndarray, step: Any = None, **options: Any) -> Any:
    loaded = load_baseline("cpm-net")
    model = loaded.build(loaded.options("small", {**QUICK, **options}), Setup(device_name="cpu"))
    train = TrainingSet(track, samples, {"discrete": codes})
    model.fit(train if step is None else replace(train, corruption=corruption(step)))
    return model


def test_views_that_are_linear_maps_of_one_vector_are_reconstructed_exactly(track: Track) -> None:
    vectors, codes = made()
    model = fitted(track, samples_of(vectors), codes, separation=0.0, epochs=60, map_rate=0.05, latent_rate=0.05).built
    inputs, _ = made(seed=1)
    batch = module.Data(samples_of(inputs)).batch(torch.arange(40), model.scaling)
    error = float(model.maps.error(model.maps.fitted(batch, 600, 0.05), batch).detach())
    assert error / sum(float(x.square().sum()) for x in batch.inputs.values()) < 1e-4


@pytest.mark.parametrize("lacking", [{}, {"text": list(range(20)), "audio": list(range(30, 40))}])
def test_samples_are_answered_from_what_they_have(track: Track, lacking: dict[str, list[int]]) -> None:
    vectors, codes = made()
    model = fitted(track, samples_of(vectors, lacking), codes)
    inputs, references = made(seed=1)
    answers = model.predict(samples_of(inputs, lacking)).outputs["discrete"]
    assert np.mean(answers.argmax(1) == references) > 0.75  # a third by chance


def test_an_answer_does_not_depend_on_other_samples_or_on_values_that_are_absent(track: Track) -> None:
    vectors, codes = made()
    model = fitted(track, samples_of(vectors), codes)
    lacking = {"text": [0, 1]}
    answers = model.predict(samples_of(vectors, lacking)).outputs["discrete"]
    single = model.predict(samples_of(vectors, lacking).select(np.array([1]))).outputs["discrete"]
    np.testing.assert_allclose(single[0], answers[1], rtol=1e-4)
    other = {**vectors, "text": np.where(np.arange(40)[:, None] < 2, 99, vectors["text"]).astype(np.float32)}
    np.testing.assert_array_equal(model.predict(samples_of(other, lacking)).outputs["discrete"], answers)
    nothing = model.predict(samples_of(vectors, {"text": [0], "audio": [0]})).outputs["discrete"]
    np.testing.assert_allclose(nothing[0], 1 / 3)  # a vector of zeros is as close to every class


def test_gaps_of_training_have_no_part_in_what_is_learned(track: Track) -> None:
    vectors, codes = made()
    # audio is removed of all samples, so that its map stays where it began and a reconstruction costs nothing
    model = fitted(track, samples_of(vectors), codes, ("imbalanced_missing", {"audio": 1.0})).built
    initial = module.Maps(3, {"audio": 5, "text": 4}, module.generator("cpu", 0, "initial"))
    assert torch.equal(model.maps.layers[0].weight, initial.layers[0].weight)
    assert not torch.equal(model.maps.layers[1].weight, initial.layers[1].weight)


def test_a_class_without_samples_is_never_the_closest() -> None:
    latents, members = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.eye(3)[:2]
    similar = module.similarities(latents, members)
    # (1, 0) and (-1, 0) have the product -1, nothing else is of their own classes, and nothing of the third
    assert similar.tolist() == [[0, -1, -torch.inf], [-1, 0, -torch.inf]]
    assert float(module.class_loss(latents, members)) == 0


def test_a_label_without_samples_is_never_answered_and_a_single_one_always(track: Track) -> None:
    vectors, codes = made()
    two = fitted(track, samples_of(vectors), np.minimum(codes, 1)).predict(samples_of(vectors)).outputs["discrete"]
    assert (two[:, 2] == 0).all() and (two[:, :2] > 0).all()
    one = fitted(track, samples_of(vectors), codes * 0).predict(samples_of(vectors)).outputs["discrete"]
    np.testing.assert_array_equal(one, np.eye(len(LABELS))[np.zeros(40, dtype=int)])


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_and_identical_samples_of_one_feature(track: Track, n: int) -> None:
    same = {"audio": np.ones((n, 4), dtype=np.float32)}
    model = fitted(track, samples_of(same), np.arange(n, dtype=np.int32) % 2)
    assert np.isfinite(model.predict(samples_of(same)).outputs["discrete"]).all()


def test_stored_weights_answer_the_same_and_others_are_refused(track: Track) -> None:
    vectors, codes = made()
    model, loaded = fitted(track, samples_of(vectors), codes), load_baseline("cpm-net")
    restored: Any = loaded.build(loaded.options("small", QUICK), Setup(device_name="cpu"))
    restored.restore(model.weights(), track, {"audio": 5, "text": 4})
    answers = model.predict(samples_of(vectors)).outputs["discrete"]
    np.testing.assert_array_equal(restored.predict(samples_of(vectors)).outputs["discrete"], answers)
    with pytest.raises(UsageError, match="the weights are those of other options, features or labels"):
        restored.restore(model.weights(), track, {"audio": 5, "text": 5})
