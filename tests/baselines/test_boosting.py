from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.track import load_track
from merbench.training import FeatureSet, Setup, TrainingSet, feature_set, load_baseline, training_set
from tests.training.conftest import SmallTrack


def boosting(seed: int = 0, **options: Any) -> Any:
    loaded = load_baseline("boosting")
    chosen = loaded.module.Options(**loaded.options("any", {"iterations": 5, **options}))
    return loaded.module.build(chosen, Setup(seed))


def samples(n: int = 60, *, absent: int = 0, width: int = 3) -> FeatureSet:
    """Return samples of two features, the first of which the first samples lack."""
    rng = np.random.default_rng(0)
    ids = pa.array([f"s{i:03}" for i in range(n)])
    vectors = {name: rng.normal(size=(n, width)).astype(np.float32) for name in ("loud", "quiet")}
    given = FeatureSet.of_vectors(ids, vectors)
    rows = np.where(np.arange(n) < absent, -1, np.arange(n))
    return replace(given, sequences={**given.sequences, "loud": given.sequences["loud"].select(rows)})


def training_samples(track_id: str = "mer-multi", **given: int) -> TrainingSet:
    features = samples(**given)
    rng, n = np.random.default_rng(1), len(features)
    codes = rng.integers(0, 6, n).astype(np.int32)
    return TrainingSet(load_track(track_id), features, {"discrete": codes, "valence": codes + rng.normal(size=n)})


@pytest.mark.parametrize("absent", [0, 20])
def test_it_predicts_as_scikit_learn_does(absent: int) -> None:
    train = training_samples(absent=absent)
    model = boosting(samples_of_a_leaf=5)
    model.fit(train)
    loud, quiet = (train.features[name].astype(float) for name in ("loud", "quiet"))
    loud[:absent] = np.nan
    x, settings = np.hstack([loud, quiet]), {"max_iter": 5, "min_samples_leaf": 5, "early_stopping": False}
    labels = HistGradientBoostingClassifier(**settings, random_state=0).fit(x, train.targets["discrete"])
    numbers = HistGradientBoostingRegressor(**settings, random_state=0).fit(x, train.targets["valence"])
    outputs = model.predict(train.samples).outputs
    np.testing.assert_allclose(outputs["discrete"], labels.predict_proba(x), rtol=1e-12)
    np.testing.assert_array_equal(outputs["valence"], numbers.predict(x))


@pytest.mark.parametrize("labels", [[4], [1, 4]])
def test_labels_without_a_training_sample_have_no_probability(labels: list[int]) -> None:
    train = training_samples()
    codes = np.resize(labels, len(train)).astype(np.int32)
    model = boosting()
    model.fit(replace(train, targets={**train.targets, "discrete": codes}))
    table = model.predict(train.samples).outputs["discrete"]
    assert np.flatnonzero(table.sum(0)).tolist() == labels
    np.testing.assert_allclose(table.sum(1), 1.0)


def test_shares_of_labels_count_as_so_many_samples() -> None:
    train = training_samples()
    codes = train.targets["discrete"]
    whole, shares = boosting(), boosting()
    whole.fit(train)
    shares.fit(replace(train, targets={**train.targets, "discrete": np.eye(6)[codes]}))
    expected, outputs = (model.predict(train.samples).outputs["discrete"] for model in (whole, shares))
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)  # gradients are float32


def test_wide_features_are_projected_onto_components_of_what_is_learned_from() -> None:
    train = training_samples(width=40, absent=10)
    model = boosting(components=5)
    model.fit(train)
    assert model.fused(train.samples).shape == (60, 10)
    centred = train.features["quiet"].astype(float) - train.features["quiet"].mean(0, dtype=float)
    spread = np.linalg.svd(centred, compute_uv=False)[:5] ** 2 / 60  # variances of principal components
    np.testing.assert_allclose(model.fused(train.samples)[:, 5:].var(0), spread, rtol=1e-6)
    assert np.isnan(model.fused(train.samples)[:10, :5]).all()


def test_the_seed_changes_nothing() -> None:
    # Of so many samples and numbers, scikit-learn would choose a solver that depends on a seed.
    train = training_samples(n=600, width=80)
    models = [boosting(seed, components=20) for seed in (0, 1)]
    for model in models:
        model.fit(train)
    first, second = (model.predict(train.samples).outputs for model in models)
    for name, values in first.items():
        assert values.tolist() == second[name].tolist()


def test_stored_trees_predict_the_same(small_track: SmallTrack) -> None:
    track = small_track()
    train = training_set(open_candidates(track, "train"), ["quiet", "loud"])
    test = feature_set(open_candidates(track), ["quiet", "loud"])
    fitted, restored = boosting(components=5), boosting(components=5)
    fitted.fit(train)
    restored.restore(fitted.weights(), track, test.widths)
    for target, values in fitted.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[target], values)


CORRUPTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a number that is compared and does not exist": lambda w: w["nodes.valence"].__setitem__((0, 0), 10),
    "a child that does not exist": lambda w: w["nodes.valence"].__setitem__((0, 3), 1e6),
    "a child before its parent": lambda w: w["nodes.valence"].__setitem__((2, 4), 0),
    "an index that is not a number": lambda w: w["nodes.valence"].__setitem__((0, 0), np.nan),
    "a root that does not exist": lambda w: w["roots.valence"].__setitem__((0, 0), -1),
    "a label that is not declared": lambda w: w["labels.discrete"].__setitem__(0, 3),
    "other sums": lambda w: w.update({"start.valence": np.zeros(2)}),
    "nodes of another type": lambda w: w.update({"nodes.valence": w["nodes.valence"].astype(np.float32)}),
    "another width": lambda w: w.update({"axes.loud": np.zeros((5, 7))}),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_trees_that_cannot_be_followed_are_refused(small_track: SmallTrack, corruption: str) -> None:
    track = small_track()
    fitted, restored = boosting(components=5, samples_of_a_leaf=5), boosting(components=5)
    fitted.fit(training_set(open_candidates(track, "train"), ["quiet", "loud"]))
    weights = {name: np.array(values) for name, values in fitted.weights().items()}
    restored.restore(weights, track, {"quiet": 4, "loud": 6})
    CORRUPTIONS[corruption](weights)
    with pytest.raises(UsageError):
        restored.restore(weights, track, {"quiet": 4, "loud": 6})
