"""Systems that learn with missing modalities: as the track declares, or those of each condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from merbench.robustness import conditions
from merbench.training import FeatureSet, TrainingSet
from merbench.training.networks.batches import Batch, Data
from merbench.training.samples import FeatureCorruption
from tests.robustness.conftest import CorruptedTrack, scored, values

ABSENT = '[[training.corruptions]]\nname = "imbalanced_missing"\naudio = 1.0\n'


def test_a_model_that_never_had_a_modality_does_not_need_it(corrupted_track: CorruptedTrack) -> None:
    given = {"corruption": "modality_absence", "parameters": {"modality": "audio"}}
    clean, without = values(scored(corrupted_track(ABSENT), {"rate": [1.0]}, **given))
    assert clean == without
    clean, without = values(scored(corrupted_track("", "two"), {"rate": [1.0]}, **given))
    assert clean != without


NETWORK = {"epochs": 2, "hidden": [4], "batch_size": 16}


def test_a_network_draws_the_missing_modalities_of_each_condition_for_every_epoch(
    corrupted_track: CorruptedTrack, learned: list[TrainingSet]
) -> None:
    given = {"corruption": "gcnet_missing", "weights": "per-condition", "options": NETWORK}
    scored(corrupted_track(""), {"rate": [0.3, 0.5]}, "attention", **given)
    clean, *missing = learned
    assert clean.corruption is None
    for train, rate in zip(missing, (0.3, 0.5), strict=True):
        assert isinstance(train.corruption, FeatureCorruption)
        assert [dict(step.parameters) for step in train.corruption.steps] == [{"rate": rate}]
        assert train.corruption.seed == 11
        for name, vectors in clean.features.items():
            np.testing.assert_array_equal(train.features[name], vectors)
    learned.clear()
    # noise in frames is learned as their mean is corrupted, and so is anything by a system without epochs
    noise = {"corruption": "gaussian_noise_features", "weights": "per-condition", "options": NETWORK}
    scored(corrupted_track("", "two"), {"snr_db": [0]}, "attention", **noise)
    scored(corrupted_track("", "three"), {"rate": [0.5]}, **{**given, "options": {"C": 0.1}})
    assert [train.corruption for train in learned] == [None] * 4
    for clean, corrupted in (learned[:2], learned[2:]):
        assert any(not np.array_equal(clean.features[name], corrupted.features[name]) for name in clean.features)


RARELY = '[[training.corruptions]]\nname = "gcnet_missing"\nrate = 0.1\n'
GRU = {"epochs": 1, "hidden": 4, "batch_size": 16}


@pytest.mark.parametrize(
    ("baseline", "training", "settings", "is_shown"),
    [
        ("gru", "", {"options": GRU}, True),
        ("gru", "", {"options": GRU, "weights": "mixed"}, False),
        ("gru", RARELY, {"options": GRU}, False),
        ("attention", "", {"options": NETWORK}, False),  # does not know what a sample lacks
        ("modality-dropout", "", {"options": {"base": "gru", "base_options": GRU}}, False),  # removes some by itself
    ],
)
def test_a_network_that_learned_from_complete_samples_did_not_learn_to_reconstruct(
    corrupted_track: CorruptedTrack, baseline: str, training: str, settings: dict[str, Any], is_shown: bool
) -> None:
    report = scored(corrupted_track(training), {"rate": [0.5]}, baseline, corruption="gcnet_missing", **settings)
    remark = "no corruption in training: a loss of reconstruction, where the system has one, learns nothing; "
    assert any(line.startswith(remark) for line in report.to_text().splitlines()) is is_shown


@pytest.mark.parametrize(
    ("baseline", "features", "condition"),
    [
        ("attention", ["audio", "video"], ("gaussian_noise_features", "snr_db", 0)),
        ("emt-dlfr", ["text-frames"], ("step_drop", "rate", 0.5)),
        ("emt-dlfr", ["text-frames"], ("tfrnet_drop", "rate", 0.5)),
    ],
)
def test_a_network_learns_the_complete_features_of_each_condition(
    corrupted_track: CorruptedTrack,
    learned: list[TrainingSet],
    monkeypatch: pytest.MonkeyPatch,
    baseline: str,
    features: list[str],
    condition: tuple[str, str, float],
) -> None:
    batches = list[Batch]()
    batch = Data.batch

    def spy(*arguments: Any) -> Batch:
        batches.append(batch(*arguments))
        return batches[-1]

    monkeypatch.setattr(Data, "batch", spy)
    corruption, parameter, value = condition
    options = {"epochs": 1, "batch_size": 16} | ({"hidden": [4]} if baseline == "attention" else {})
    settings = {"corruption": corruption, "weights": "per-condition", "options": options, "features": features}
    scored(corrupted_track(""), {parameter: [value]}, baseline, **settings)
    clean, corrupted = learned
    assert clean.corruption is None and corrupted.corruption is not None
    assert [dict(step.parameters) for step in corrupted.corruption.steps] == [{parameter: value}]
    for name in features:
        np.testing.assert_array_equal(corrupted.features[name], clean.features[name])
        changed = [bool(each.removed(name).any()) for each in batches if each.epoch]
        assert not any(changed[: len(changed) // 2]) and all(changed[len(changed) // 2 :])


def test_a_baseline_that_handles_missing_features_is_given_none(
    corrupted_track: CorruptedTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[FeatureSet] = []
    sets = conditions._Trials._feature_sets

    def spy(*arguments: Any) -> Any:
        both = sets(*arguments)
        given.append(both[1])
        return both

    monkeypatch.setattr(conditions._Trials, "_feature_sets", spy)
    settings = {"corruption": "modality_pattern", "options": {"epochs": 1, "hidden": 4, "batch_size": 16}}
    scored(corrupted_track(""), {"pattern": ["a"]}, "gru", **settings)
    clean, without = given
    assert all(part.present.all() for part in clean.sequences.values())
    assert {name: part.present.any() for name, part in without.sequences.items()} == {
        name: name == "audio" for name in without.sequences
    }
