"""SoLar, RECORDS and regularised pseudo-labels around networks of both kinds of layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corpus.candidates import open_candidates
from merbench.errors import DeclarationError, UsageError
from merbench.training import FeatureSet, Setup, feature_set, load_baseline
from merbench.training.data import training_candidates, training_set
from merbench.training.history import Epochs as Kept
from merbench.training.networks import checkpoints
from merbench.training.networks.label_sets import SET_MEASURES
from tests.baselines.test_label_loss import BASES, PARTIAL, learned
from tests.training.conftest import SmallTrack
from tests.training.networks.test_checkpoints import Epochs, Interrupted

NAMES = ("solar", "after-pl-regularisation", "records")
QUICK = {"queue": 2, "ramp": 2, "prior_epochs": 2}


def made(name: str, base: str = "lf-dnn", setup: Setup | None = None, **options: Any) -> Any:
    loaded = load_baseline(name)
    of_base = {**BASES[base], "standardise": True, **options.pop("base_options", {})}
    own = {"base": base, "base_options": of_base, **({} if name == "records" else QUICK), **options}
    return loaded.build(loaded.options("small", own), setup or Setup(n_folds=2, device_name="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_after_an_interruption_and_stores_nothing_of_samples(
    name: str, base: str, small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    train = learned(small_track, {"name": "long_tail", "gamma": 4}, PARTIAL)
    setup = Setup(n_folds=2, device_name="cpu", state=tmp_path)
    through = made(name, base)
    wanted = through.fit_folds(train)
    with pytest.raises(Interrupted):
        made(name, base, replace(setup, log=Epochs(2))).built.fit_folds(train)
    resumed = made(name, base, setup)
    assert resumed.fit_folds(train).details == wanted.details
    weights = through.weights()
    assert {key: part.tobytes() for key, part in resumed.weights().items()} == {
        key: part.tobytes() for key, part in weights.items()
    }
    assert not any("remembered" in key for key in weights)
    test = feature_set(open_candidates(train.track), ["loud", "quiet"])
    restored = made(name, base)
    restored.restore(weights, train.track, test.widths)
    for target, outputs in through.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[target], outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_identifies_the_labels_of_sets_and_measures_them(name: str, small_track: SmallTrack) -> None:
    train = learned(small_track, {"name": "partial_labels", "q": 0.4})
    right = training_set(training_candidates(small_track("clean")), []).targets["discrete"]
    noise = np.random.default_rng(0).normal(0, 0.3, (len(right), 3))
    seen = FeatureSet.of_vectors(train.samples.ids, {"loud": (np.eye(3)[right] + noise).astype(np.float32)})
    log = Kept()
    more = {"epochs": 20, "hidden": 16, "dropout": 0.0}
    model = made(name, setup=Setup(n_folds=2, device_name="cpu", log=log), base_options=more)
    result = model.fit_folds(replace(train, samples=seen))
    assert np.mean(result.out_of_fold.outputs["discrete"].argmax(1) == right) > 0.6
    share = np.mean([1 / sets.sum() for sets in train.sets["discrete"]])  # of a guess
    assert min(result.details["diagnostics"]["identified"]) > share + 0.1
    assert set(SET_MEASURES) <= set(log.arrays()) and log.arrays()["few"].shape == (20, 2)


@pytest.mark.slow
def test_at_a_power_of_one_regularised_pseudo_labels_are_those_of_solar(small_track: SmallTrack) -> None:
    train = learned(small_track, {"name": "long_tail", "gamma": 4}, PARTIAL)
    solar, same, other = (
        made("solar"),
        made("after-pl-regularisation", tau=1.0),
        made("after-pl-regularisation", tau=0.0),
    )
    wanted = solar.fit_folds(train)
    assert same.fit_folds(train).details == wanted.details
    other.fit_folds(train)
    parts = [model.weights() for model in (solar, same, other)]
    assert all(part.tobytes() == parts[1][name].tobytes() for name, part in parts[0].items())
    assert any(part.tobytes() != parts[2][name].tobytes() for name, part in parts[0].items())
    with pytest.raises(DeclarationError, match=r"tau: 1.5 is not a number in \[0, 1\]"):
        made("after-pl-regularisation", tau=1.5)


def test_a_first_training_estimates_the_prior_and_its_samples_are_counted(small_track: SmallTrack) -> None:
    train = learned(small_track, {"name": "long_tail", "gamma": 10}, PARTIAL)
    counts = np.bincount(training_set(training_candidates(train.track), [], sets=True).targets["discrete"])
    two_stages = made("solar", prior_epochs=6, first_momentum=0.5, prior_momentum=1.0)
    result = two_stages.fit_folds(train)
    priors = two_stages.built.networks[0].remembered.prior.numpy()
    np.testing.assert_allclose(priors.sum(-1), 1, atol=1e-6)
    assert (priors.argmax(-1) == counts.argmax()).all() and (priors.max(-1) > 0.5).all()
    n = sum(len(division.learn) for division in train.divisions(2, 0))
    assert result.sample_epochs == n * (6 + 4)
    alone = made("solar", prior_epochs=0, prior_momentum=1.0)
    alone.fit_folds(train)
    assert (alone.built.networks[0].remembered.prior == 1 / 3).all()


@pytest.mark.parametrize("name", NAMES)
def test_sets_without_the_right_label_and_a_single_class_are_learned(name: str, small_track: SmallTrack) -> None:
    noisy = learned(small_track, {"name": "noisy_partial_labels", "q": 0.3, "eta": 0.5})
    assert min(made(name).fit_folds(noisy).details["diagnostics"]["true_within"]) < 0.8
    only = np.zeros_like(noisy.sets["discrete"])
    only[:, 1] = True
    one_class = replace(noisy, sets={"discrete": only}, targets={**noisy.targets, "discrete": np.ones(len(only), int)})
    result = made(name).fit_folds(one_class)
    assert np.isfinite(result.curve.loss).all() and (result.out_of_fold.outputs["discrete"].argmax(1) == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_it_cannot_learn_from_is_refused(name: str, small_track: SmallTrack) -> None:
    every = learned(small_track, {"name": "partial_labels", "q": 1.0})
    with pytest.raises(UsageError, match="target 'discrete': every set has all labels; nothing can be learned"):
        made(name).fit_folds(every)
    with pytest.raises(UsageError, match="base 'lf-dnn' does not standardise features, and what views change is"):
        made(name, base_options={"standardise": False})
