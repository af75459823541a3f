"""IRNet and ALIM around networks of both kinds of layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.training import FeatureSet, Setup, TrainingSet, feature_set, load_baseline
from merbench.training.data import training_candidates, training_set
from merbench.training.history import Epochs as Kept
from merbench.training.networks import checkpoints
from tests.baselines.test_label_loss import BASES, learned
from tests.training.conftest import SmallTrack
from tests.training.networks.test_checkpoints import Epochs, Interrupted

NOISY = {"name": "noisy_partial_labels", "q": 0.3, "eta": 0.3}
EARLY = {"start_epoch": 2, "eta": 0.3}
PLAIN = {"mixup": 0.0, "loss": "cross_entropy"}


def made(
    name: str,
    base: str = "lf-dnn",
    setup: Setup | None = None,
    base_options: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    loaded = load_baseline(name)
    of_base = {**BASES[base], "standardise": True, **(base_options or {})}
    own = {"base": base, "base_options": of_base, "queue": 40, "width": 8, **options}
    return loaded.build(loaded.options("small", own), setup or Setup(n_folds=2, device_name="cpu"))


def plain(small_track: SmallTrack, *steps: dict[str, Any]) -> TrainingSet:
    """Return samples whose labels are plain to see, with sets."""
    train = learned(small_track, *steps)
    right = training_set(training_candidates(small_track("clean")), []).targets["discrete"]
    noise = np.random.default_rng(0).normal(0, 0.3, (len(right), 3))
    seen = FeatureSet.of_vectors(train.samples.ids, {"loud": (np.eye(3)[right] + noise).astype(np.float32)})
    return replace(train, samples=seen)


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("name", "options"), [("irnet", {"mixup": 0.5}), ("alim", {"estimate_eta": True})])
def test_it_goes_on_after_an_interruption_and_stores_nothing_of_samples(
    name: str,
    options: dict[str, Any],
    base: str,
    small_track: SmallTrack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    train, options = learned(small_track, NOISY), {**EARLY, **options}
    setup = Setup(n_folds=2, device_name="cpu", state=tmp_path)
    through = made(name, base, **options)
    wanted = through.fit_folds(train)
    with pytest.raises(Interrupted):
        made(name, base, replace(setup, log=Epochs(2)), **options).built.fit_folds(train)
    resumed = made(name, base, setup, **options)
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
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("alim", {**EARLY, "importance": "fixed", "fixed_importance": 0.0}),
        ("alim", {"eta": 0.0, "start_epoch": 2}),
        ("irnet", {**EARLY, "corrects": False}),
        ("irnet", {"eta": 0.0, "start_epoch": 2, "test": "automatic", "other_views": 0}),
    ],
)
def test_without_what_it_adds_it_is_pico(
    name: str, options: dict[str, Any], base: str, small_track: SmallTrack
) -> None:
    train = learned(small_track, NOISY)
    wanted = made("pico", base).fit_folds(train)
    result = made(name, base, **PLAIN, **options).fit_folds(train)
    for target, values in wanted.out_of_fold.outputs.items():
        np.testing.assert_array_equal(result.out_of_fold.outputs[target], values)
    assert result.details["diagnostics"] == wanted.details["diagnostics"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"removes": True}, {"test": "automatic"}, {"other_views": 3}])
def test_correction_raises_the_share_of_sets_with_the_right_label(
    options: dict[str, Any], small_track: SmallTrack
) -> None:
    log = Kept()
    setup = Setup(n_folds=2, device_name="cpu", log=log)
    more = {"epochs": 30, "hidden": 16, "dropout": 0.0}
    made("irnet", setup=setup, base_options=more, start_epoch=12, eta=0.3, **options).fit_folds(
        plain(small_track, NOISY)
    )
    logged = log.arrays()
    right, size = logged["true_within"], logged["set_size"]
    assert (right[:11] == right[0]).all() and (size[:11] == size[0]).all()
    assert right[-1].mean() > right[0].mean() + 0.1
    if options.get("removes"):
        assert (size == size[0]).all()
    else:
        assert (size[-1] > size[0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"variant": "scaled"}, {"mixup": 0.0}, {"estimate_eta": True}])
def test_alim_finds_labels_outside_of_their_sets(options: dict[str, Any], small_track: SmallTrack) -> None:
    train = plain(small_track, {**NOISY, "eta": 0.2})
    right = training_set(training_candidates(small_track("again")), []).targets["discrete"]
    more = {"epochs": 40, "hidden": 16, "dropout": 0.0}
    result = made("alim", base_options=more, start_epoch=20, eta=0.2, **options).fit_folds(train)
    within = train.sets["discrete"][np.arange(len(right)), right].mean()
    assert within + 0.1 < min(result.details["diagnostics"]["identified"])
    assert np.mean(result.out_of_fold.outputs["discrete"].argmax(1) == right) > 0.8


@pytest.mark.parametrize("name", ["irnet", "alim"])
def test_a_plateau_of_validation_starts_it_and_right_labels_do_not(name: str, small_track: SmallTrack) -> None:
    train = learned(small_track, NOISY)
    options = {"start_epoch": 0, "plateau_window": 3, "eta": 0.3}
    with_measure, without = made(name, **options), made(name, **options)
    with_measure.fit_folds(train)
    without.fit_folds(replace(train, measure_labels=None))
    for key, part in with_measure.weights().items():
        assert part.tobytes() == without.weights()[key].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["irnet", "alim"])
def test_sets_that_are_wrong_or_say_nothing(name: str, small_track: SmallTrack) -> None:
    every = learned(small_track, {"name": "partial_labels", "q": 1.0})
    with pytest.raises(UsageError, match="target 'discrete': every set has all labels; nothing can be learned"):
        made(name, **EARLY).fit_folds(every)
    empty = {"discrete": np.zeros_like(every.sets["discrete"])}
    with pytest.raises(UsageError, match="discrete"):
        replace(every, sets=empty)
    none_right = learned(small_track, {**NOISY, "eta": 1.0}, name="none")
    result = made(name, **EARLY).fit_folds(none_right)
    assert all(np.isfinite(values).all() for values in result.out_of_fold.outputs.values())
    only = replace(none_right, targets={**none_right.targets, "discrete": np.zeros(60, np.int32)}, sets={})
    result = made(name, **EARLY).fit_folds(only)  # of single labels, all the same
    assert (result.out_of_fold.outputs["discrete"].argmax(1) == 0).mean() > 0.9
    with pytest.raises(UsageError, match=f"{name}: base 'gru' is not a network of vectors"):
        loaded = load_baseline(name)
        loaded.build(loaded.options("small", {"base": "gru", "base_options": {}}), Setup(device_name="cpu"))
