"""PiCO around networks of both kinds of layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.training import FeatureSet, Setup, feature_set, load_baseline
from merbench.training.data import training_candidates, training_set
from merbench.training.networks import checkpoints
from tests.baselines.test_label_loss import BASES, PARTIAL, learned
from tests.training.conftest import SmallTrack
from tests.training.networks.test_checkpoints import Epochs, Interrupted


def made(
    base: str = "lf-dnn", setup: Setup | None = None, base_options: dict[str, Any] | None = None, **options: Any
) -> Any:
    loaded = load_baseline("pico")
    of_base = {**BASES[base], "standardise": True, **(base_options or {})}
    own = {"base": base, "base_options": of_base, "queue": 40, "width": 8, **options}
    return loaded.build(loaded.options("small", own), setup or Setup(n_folds=2, device_name="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_it_goes_on_after_an_interruption_and_stores_no_queue(
    base: str, small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    train = learned(small_track, PARTIAL)
    setup = Setup(n_folds=2, device_name="cpu", state=tmp_path)
    through = made(base)
    wanted = through.fit_folds(train)
    with pytest.raises(Interrupted):
        made(base, replace(setup, log=Epochs(2))).built.fit_folds(train)
    log = Epochs()
    resumed = made(base, replace(setup, log=log))
    assert resumed.fit_folds(train).details == wanted.details
    weights = through.weights()
    assert {key: part.tobytes() for key, part in resumed.weights().items()} == {
        key: part.tobytes() for key, part in weights.items()
    }
    contrast = np.array([epoch["contrast"] for epoch in log.values])
    assert np.isfinite(contrast).all() and (contrast > 0).all()
    assert not any("remembered" in key for key in weights)
    test = feature_set(open_candidates(train.track), ["loud", "quiet"])
    restored = made(base)
    restored.restore(weights, train.track, test.widths)
    for target, outputs in through.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[target], outputs)


@pytest.mark.slow
def test_prototypes_identify_the_labels_of_sets(small_track: SmallTrack) -> None:
    train = learned(small_track, {"name": "partial_labels", "q": 0.5})
    right = training_set(training_candidates(small_track("clean")), []).targets["discrete"]
    noise = np.random.default_rng(0).normal(0, 0.3, (len(right), 3))
    seen = FeatureSet.of_vectors(train.samples.ids, {"loud": (np.eye(3)[right] + noise).astype(np.float32)})
    more = {"epochs": 20, "hidden": 16, "dropout": 0.0}
    result = made(base_options=more).fit_folds(replace(train, samples=seen))
    assert np.mean(result.out_of_fold.outputs["discrete"].argmax(1) == right) > 0.6
    share = np.mean([1 / sets.sum() for sets in train.sets["discrete"]])  # of a guess
    assert min(result.details["diagnostics"]["identified"]) > share + 0.15


def test_bases_and_tracks_it_cannot_contrast_are_refused(small_track: SmallTrack) -> None:
    with pytest.raises(UsageError, match="base 'lf-dnn' does not standardise features, and what views change is"):
        made(base_options={"standardise": False})
    loaded = load_baseline("pico")
    with pytest.raises(UsageError, match="pico: base 'gru' is not a network of vectors"):
        loaded.build(loaded.options("small", {"base": "gru", "base_options": {}}), Setup(device_name="cpu"))
