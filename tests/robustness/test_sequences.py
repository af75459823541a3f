"""Baselines of sequences and of dialogues: what they learn from and what they answer under a condition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.errors import UsageError
from merbench.robustness import conditions
from merbench.training import FeatureSet, RunSettings, TrainingSet, run_baseline
from tests.robustness.conftest import N_TRAIN, CorruptedTrack, ids, scored, vectors

GRU: dict[str, Any] = {"epochs": 1, "hidden": 4, "batch_size": 16}
CONTEXT: dict[str, Any] = {"epochs": 2, "hidden": 4, "encoded": 4, "layers": [4], "batch_size": 4}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[FeatureSet, FeatureSet]]:
    """Return what systems learn from and answer, one pair for each condition, which grows as they are scored."""
    seen: list[tuple[FeatureSet, FeatureSet]] = []
    before = conditions._Trials._feature_sets

    def spy(*arguments: Any) -> tuple[FeatureSet, FeatureSet]:
        seen.append(before(*arguments))
        return seen[-1]

    monkeypatch.setattr(conditions._Trials, "_feature_sets", spy)
    return seen


def test_sequences_stay_sequences_and_dropped_steps_are_the_mean(
    corrupted_track: CorruptedTrack, given: list[tuple[FeatureSet, FeatureSet]]
) -> None:
    settings = {"corruption": "step_drop", "parameters": {"text_ends": False}, "features": ["text-frames"]}
    report = scored(corrupted_track(""), {"rate": [0.5]}, "gru", options=GRU, **settings)
    (learned, clean), (_, dropped) = given
    frames = vectors()["text-frames"]
    assert frames.offsets is not None
    lengths = np.diff(frames.offsets)
    assert learned.sequences["text-frames"].lengths.tolist() == lengths[:N_TRAIN].tolist()
    mean = frames.values[: frames.offsets[N_TRAIN]].mean(axis=0, dtype=np.float64)
    shares = []
    for row in range(len(clean)):
        whole, left = clean.sequences["text-frames"].of(row), dropped.sequences["text-frames"].of(row)
        assert np.array_equal(whole, frames.of(N_TRAIN + row))
        if not len(left):  # nothing is left of it
            shares.append(1.0)
            continue
        is_kept = (left == whole).all(axis=1)
        assert left[~is_kept] == pytest.approx(np.tile(mean, (int((~is_kept).sum()), 1)), abs=1e-6)
        shares.append(1 - is_kept.mean())
    (realised,) = report.curves[0].rows[0].realised.values()
    assert realised == pytest.approx(np.mean(shares), abs=5e-7)
    assert 0.3 < np.mean(shares) < 0.7


def test_a_dialogue_is_given_with_the_gaps_of_its_utterances(
    corrupted_track: CorruptedTrack, given: list[tuple[FeatureSet, FeatureSet]], tmp_path: Path
) -> None:
    track = corrupted_track("", dialogues=True)
    features = ["audio", "video"]
    report = scored(
        track, {"rate": [0.5]}, "context-gru", corruption="gcnet_missing", options=CONTEXT, features=features, folds=2
    )
    (learned, _), (_, missing) = given
    assert learned.dialogues is not None and len(learned.dialogues) == N_TRAIN // 4
    assert missing.dialogues is not None and missing.dialogues.position.tolist() == [0, 1, 2, 3] * 9
    present = np.array([part.present for part in missing.sequences.values()])
    assert present.any(axis=0).all()
    assert 0.3 < 1 - present.mean() <= 0.5
    settings = RunSettings(options=CONTEXT, features=features, learning={"folds": 2}, seeds=[0], intervals=False)
    run = run_baseline(track, "context-gru", settings, output=tmp_path / "run")
    assert run.report is not None
    assert report.clean.scores == run.report.scores


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[TrainingSet]:
    seen: list[TrainingSet] = []
    fit = conditions._fitted

    def spy(system: Any, train: TrainingSet) -> Any:
        seen.append(train)
        return fit(system, train)

    monkeypatch.setattr(conditions, "_fitted", spy)
    return seen


UNLABELLED = 'training = { unlabelled = ["test"] }\n'


def test_unlabelled_samples_are_learned_from_as_they_are_stored(
    corrupted_track: CorruptedTrack, learned: list[TrainingSet]
) -> None:
    track = corrupted_track(UNLABELLED)
    options = {"base": "logistic", "base_options": {"C": 0.1}, "eta": 0.5}
    settings: dict[str, Any] = {"corruption": "gcnet_missing", "options": options, "features": ["audio"]}
    scored(track, {"rate": [0.5]}, "pseudo-label", **settings)
    (train,) = learned
    assert train.unlabelled is not None
    assert train.unlabelled.ids.to_pylist() == ids()[N_TRAIN:]
    assert np.array_equal(train.unlabelled.features["audio"], vectors()["audio"].values[N_TRAIN:])
    with pytest.raises(UsageError) as caught:
        scored(track, {"rate": [0.5]}, "pseudo-label", weights="per-condition", **settings)
    assert str(caught.value) == (
        "baseline 'pseudo-label' learns from unlabelled samples, which are not corrupted; give --weights shared, and a "
        "corruption of features"
    )
