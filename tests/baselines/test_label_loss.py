"""Losses of sets of labels around networks of both kinds of layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.claims.scored import _diagnostic
from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.training import FeatureSet, RunSettings, Setup, TrainingSet, feature_set, load_baseline, run_baseline
from merbench.training.data import training_candidates, training_set
from merbench.training.history import Epochs as Kept
from merbench.training.networks import checkpoints
from merbench.training.networks.label_sets import SET_MEASURES
from merbench.training.plan import with_learning
from tests.training.conftest import SmallTrack
from tests.training.networks.test_checkpoints import Epochs, Interrupted

LOSSES = ("cc", "rc", "exp", "proden", "lws", "lwc", "sce", "gce", "adjusted")
QUICK: dict[str, Any] = {"hidden": 8, "epochs": 4, "batch_size": 16, "patience": 0, "learning_rate": 0.01}
BASES = {"lf-dnn": QUICK, "misa": {**QUICK, "epochs": 3}}  # of fold layers; of torch's own, with losses of its own
PARTIAL = {"name": "partial_labels", "q": 0.3}


def made(loss: str, base: str = "lf-dnn", setup: Setup | None = None, **options: Any) -> Any:
    loaded = load_baseline("label-loss")
    own = {"base": base, "base_options": {**BASES[base], **options.pop("base_options", {})}, "loss": loss, **options}
    return loaded.build(loaded.options("small", own), setup or Setup(n_folds=2, device_name="cpu"))


def learned(small_track: SmallTrack, *steps: dict[str, Any], name: str = "one") -> TrainingSet:
    track = with_learning(small_track(name), {"corruptions": list(steps)})
    return training_set(training_candidates(track), ["loud", "quiet"], sets=True)


@pytest.mark.parametrize("base", BASES)
def test_of_single_labels_it_is_the_base(base: str, small_track: SmallTrack) -> None:
    train = learned(small_track)
    loaded = load_baseline(base)
    alone: Any = loaded.build(loaded.options("small", BASES[base]), Setup(n_folds=2, device_name="cpu"))
    wanted = alone.fit_folds(train)
    for loss, options in (("cc", {}), ("proden", {}), ("adjusted", {"tau": 0.0}), ("sce", {"alpha": 1.0, "beta": 0.0})):
        result = made(loss, base, **options).fit_folds(train)
        for target, values in wanted.out_of_fold.outputs.items():
            np.testing.assert_allclose(result.out_of_fold.outputs[target], values, atol=1e-4)
        # the logged loss is that of all targets, as the base has it
        np.testing.assert_allclose(result.curve.loss, wanted.curve.loss, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns_from_sets_and_measures_them(loss: str, small_track: SmallTrack) -> None:
    train = learned(small_track, PARTIAL)
    right = training_set(training_candidates(small_track("clean")), []).targets["discrete"]
    log = Kept()
    setup = Setup(n_folds=2, device_name="cpu", log=log)
    # 30 samples for each fold, whose right labels are plain to see
    noise = np.random.default_rng(0).normal(0, 0.3, (len(right), 3))
    seen = FeatureSet.of_vectors(train.samples.ids, {"loud": (np.eye(3)[right] + noise).astype(np.float32)})
    train = replace(train, samples=seen)
    result = made(loss, setup=setup, base_options={"epochs": 20, "hidden": 16, "dropout": 0.0}).fit_folds(train)
    answers = result.out_of_fold.outputs["discrete"].argmax(1)
    assert np.mean(answers == right) > 0.6  # of three classes
    every = log.arrays()
    assert set(SET_MEASURES) <= set(every) and every["set_size"].shape == (20, 2)
    for fold, division in enumerate(train.divisions(2, 0)):
        sets = train.sets["discrete"][division.learn]
        assert every["set_size"][:, fold] == pytest.approx(sets.sum(1).mean())
        assert (every["true_within"][:, fold] == 1).all()
        assert result.details["diagnostics"]["accuracy"][fold] == every["accuracy"][-1, fold]
    if loss not in ("cc", "exp"):
        assert (every["identified"][-1] > 0.7).all()
    assert _diagnostic({"details": result.details}, "many") == pytest.approx(every["many"][-1].mean())


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("loss", ["rc", "adjusted"])
def test_confidences_go_on_after_an_interruption_and_are_not_stored_with_the_model(
    loss: str, base: str, small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    train = learned(small_track, PARTIAL)
    setup = Setup(n_folds=2, device_name="cpu", state=tmp_path)
    through = made(loss, base)
    wanted = through.fit_folds(train)
    with pytest.raises(Interrupted):
        made(loss, base, replace(setup, log=Epochs(2))).built.fit_folds(train)
    resumed = made(loss, base, setup)
    assert resumed.fit_folds(train).details == wanted.details
    weights = through.weights()
    assert {key: part.tobytes() for key, part in resumed.weights().items()} == {
        key: part.tobytes() for key, part in weights.items()
    }
    assert not any("remembered" in key for key in weights)
    test = feature_set(open_candidates(train.track), ["loud", "quiet"])
    restored = made(loss, base)
    restored.restore(weights, train.track, test.widths)
    for target, outputs in through.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[target], outputs)


def test_the_right_labels_change_nothing_but_diagnostics(small_track: SmallTrack) -> None:
    train = learned(small_track, {"name": "noisy_partial_labels", "q": 0.3, "eta": 0.3})
    with_measure, without = made("rc"), made("rc")
    assert with_measure.fit_folds(train).details["diagnostics"]
    assert "diagnostics" not in without.fit_folds(replace(train, measure_labels=None)).details
    for name, part in with_measure.weights().items():
        assert part.tobytes() == without.weights()[name].tobytes()


def test_a_prior_raises_the_recall_of_the_class_with_few_samples(small_track: SmallTrack) -> None:
    train = learned(small_track, {"name": "long_tail", "gamma": 10})
    few = {
        tau: made("adjusted", tau=tau, base_options={"epochs": 8}).fit_folds(train).out_of_fold.outputs["discrete"]
        for tau in (0.0, 3.0)
    }
    counts = np.bincount(train.targets["discrete"])
    rare = int(counts.argmin())
    assert few[3.0][:, rare].mean() > few[0.0][:, rare].mean() + 0.05


def test_sets_that_say_nothing_and_weights_of_labels_are_refused(small_track: SmallTrack) -> None:
    every = learned(small_track, {"name": "partial_labels", "q": 1.0})
    with pytest.raises(UsageError, match="target 'discrete': every set has all labels; nothing can be learned"):
        made("rc").fit_folds(every)
    some = learned(small_track, {"name": "partial_labels", "q": 0.6}, name="two")
    n = int(some.sets["discrete"].all(1).sum())
    notes = made("cc", base_options={"epochs": 1}).fit_folds(some).notes
    assert f"target 'discrete': {n} of 60 sets have all labels, and say nothing about their samples" in notes
    with pytest.raises(UsageError, match="base 'lf-dnn': class_weights are of its cross-entropy"):
        made("cc", base_options={"class_weights": "balanced"}).fit_folds(some)


@pytest.mark.parametrize("base", ["gru", "majority"])
def test_other_baselines_cannot_be_the_base(base: str) -> None:
    loaded = load_baseline("label-loss")
    options = loaded.options("small", {"base": base, "base_options": {}})
    with pytest.raises(UsageError, match=f"label-loss: base '{base}' is not a network of vectors"):
        loaded.build(options, Setup(device_name="cpu"))


def test_a_run_warns_that_it_is_selected_by_drawn_labels(small_track: SmallTrack, tmp_path: Path) -> None:
    options = {"base_options": {**QUICK, "epochs": 2}}
    learning = {"corruptions": [PARTIAL], "folds": 2}
    settings = RunSettings(options=options, learning=learning, intervals=False, device="cpu")
    run = run_baseline(small_track(), "label-loss", settings, output=tmp_path / "run")
    assert any("go by one label of each set that is drawn at random" in text for text in run.warnings)
    assert run.label_corruption["partial_labels.q"] == 0.3
    assert set(run.seeds[0].parts[0].history) >= set(SET_MEASURES)
