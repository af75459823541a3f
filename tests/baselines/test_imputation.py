"""Controls of missing modalities around complete systems: what they fill, what they leave alone, what they learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from merbench.corpus.candidates import open_candidates
from merbench.training import FeatureSet, Setup, TrainingSet, feature_set, load_baseline, training_set
from merbench.training.data import training_candidates
from merbench.training.selection import fit
from tests.training.conftest import SmallTrack

NAMES = ("loud", "quiet")
MODALITIES = {"loud": "audio", "quiet": "video"}
SHORT: dict[str, dict[str, Any]] = {
    "attention": {"hidden": [8], "epochs": 3},
    "misa": {"hidden": 8, "epochs": 2},
    "logistic": {"C": 1.0, "alpha": 1.0},
}
METHODS = ("zero", "mean", "knn", "ridge")


def given(track: Any) -> TrainingSet:
    train = training_set(training_candidates(track), NAMES, missing=True)
    return replace(train, samples=replace(train.samples, modalities=MODALITIES))


def to_answer(track: Any) -> FeatureSet:
    return feature_set(open_candidates(track), NAMES, missing=True)


def without(samples: FeatureSet, name: str, rows: Any) -> FeatureSet:
    """Return samples of which some lack a feature."""
    order = np.arange(len(samples))
    order[rows] = -1
    return replace(samples, sequences={**samples.sequences, name: samples.sequences[name].select(order)})


def fitted(baseline: str, train: TrainingSet, setup: Setup, **options: Any) -> tuple[Any, Any]:
    loaded = load_baseline(baseline)
    chosen = loaded.options("any", options)
    return fit(lambda own: loaded.build(chosen, own), train, setup)


def around(name: str, base: str, train: TrainingSet, setup: Setup, **options: Any) -> tuple[Any, Any]:
    return fitted(name, train, setup, base=base, base_options=SHORT[base], **options)


def equal(first: Any, second: Any) -> bool:
    return all(np.array_equal(values, second.outputs[name]) for name, values in first.outputs.items())


@pytest.mark.parametrize("base", ["attention", "logistic", "misa"])
@pytest.mark.parametrize(
    "how", [("imputation", {"method": name}) for name in METHODS] + [("modality-dropout", {"rate": 0.0})]
)
def test_where_nothing_is_missing_it_is_the_base_bit_for_bit(small_track: SmallTrack, base: str, how: Any) -> None:
    track, setup = small_track(), Setup(seed=3, n_folds=3)
    train, test = given(track), to_answer(track)
    alone, of_alone = fitted(base, train, setup, **SHORT[base])
    ours, of_ours = around(how[0], base, train, setup, **how[1])
    assert equal(alone.predict(test), ours.predict(test))
    assert equal(of_alone.out_of_fold, of_ours.out_of_fold)
