"""Baselines of sequences and of dialogues: what they learn from and what they answer under a condition."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from merbench.errors import UsageError
from merbench.robustness import Settings, System, compare_robustness, conditions
from merbench.training import FeatureSet, RunSettings, TrainingSet, run_baseline
from merbench.training.trainings import Trainings
from tests.robustness.conftest import FIXED, N_TRAIN, SPEAKERS, CorruptedTrack, ids, scored, vectors

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
        complete, left = clean.sequences["text-frames"].of(row), dropped.sequences["text-frames"].of(row)
        assert np.array_equal(complete, frames.of(N_TRAIN + row))
        if not len(left):  # nothing is left of it
            shares.append(1.0)
            continue
        is_kept = (left == complete).all(axis=1)
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


SEMI: dict[str, Any] = {
    "corruption": "gcnet_missing",
    "options": {"base": "logistic", "base_options": {"C": 0.1}, "eta": 0.5},
    "features": ["audio", "video"],
}
TRANSDUCTIVE = (
    "transductive: {n} of 36 candidates are learned from without their references, as [training] of the track declares; "
    "scores are not those of new samples; they are learned from like training samples, and not as a condition corrupts "
    "them"
)


def test_unlabelled_samples_are_learned_from_as_they_are_stored_and_a_remark_says_so(
    corrupted_track: CorruptedTrack, learned: list[TrainingSet]
) -> None:
    track = corrupted_track('training = { unlabelled = ["test"] }\n')
    report = scored(track, {"rate": [0.5]}, "pseudo-label", **SEMI)
    (train,) = learned
    assert train.unlabelled is not None
    assert train.unlabelled.ids.to_pylist() == ids()[N_TRAIN:]
    assert np.array_equal(train.unlabelled.features["audio"], vectors()["audio"].values[N_TRAIN:])
    assert report.remarks == (TRANSDUCTIVE.format(n=36),) and TRANSDUCTIVE.format(n=36) in report.to_text(1000)
    with pytest.raises(UsageError) as caught:
        scored(track, {"rate": [0.5]}, "pseudo-label", weights="per-condition", **SEMI)
    assert str(caught.value) == (
        "baseline 'pseudo-label' learns from unlabelled samples, which are not corrupted; give --weights shared, and a "
        "corruption of features"
    )
    # only the system that learns from them is named: the other one, which it is compared with, does not
    relative = scored(
        track, {"rate": [0.5]}, relative_to="majority", corruption="gcnet_missing", features=SEMI["features"]
    )
    assert relative.remarks == ()
    settings = Settings(features=SEMI["features"], corruption="gcnet_missing", intervals=False)
    systems = [
        System(name="logistic", baseline="logistic", options=FIXED),
        System(name="pseudo-label", baseline="pseudo-label", options=SEMI["options"]),
    ]
    with patch("merbench.robustness.run.condition_curve"):
        compared = compare_robustness(track, systems, {"rate": [0.5]}, settings, output="both")
    assert compared.remarks == (f"pseudo-label: {TRANSDUCTIVE.format(n=36)}",)


def test_a_share_of_the_labels_is_learned_from_and_printed(
    corrupted_track: CorruptedTrack, learned: list[TrainingSet]
) -> None:
    track, grid = corrupted_track("training = { labelled = 0.3 }\n"), {"rate": [0.5]}
    semi = scored(track, grid, "pseudo-label", **SEMI)
    plain = scored(track, grid, corruption="gcnet_missing", features=SEMI["features"])
    run = Trainings(track, "logistic", RunSettings(features=SEMI["features"])).learned(0)  # a speaker of three
    assert [each.samples.ids.to_pylist() for each in learned] == [run.samples.ids.to_pylist()] * 2
    assert len(run) == 20 and plain.counts["trained"] == semi.counts["trained"] == 20
    for name in run.targets:
        assert np.array_equal(learned[0].targets[name], run.targets[name])
    assert np.array_equal(learned[1].features["audio"], run.features["audio"])
    assert learned[1].unlabelled is None
    others = learned[0].unlabelled
    assert others is not None
    assert others.ids.to_pylist() == sorted({*ids()[:N_TRAIN]} - {*run.samples.ids.to_pylist()})
    assert plain.remarks == ("labels of 20 samples, a share of 0.3; the others are not used",)
    assert semi.remarks == ("labels of 20 samples, a share of 0.3; 40 others are used without theirs",)
    every = scored(
        corrupted_track("", "two"), grid, labelled=0.3, corruption="gcnet_missing", features=SEMI["features"]
    )
    assert every.clean == plain.clean and every.remarks == plain.remarks
    # of each speaker's model, samples of the others only
    learned.clear()
    apart = scored(track, grid, "pseudo-label", leave_out="speaker", **SEMI)
    assert len(learned) == 3 and not any("transductive" in remark for remark in apart.remarks)
    for each, speaker in zip(learned, SPEAKERS, strict=True):
        assert each.unlabelled is not None
        given = [*each.samples.ids.to_pylist(), *each.unlabelled.ids.to_pylist()]
        assert len(set(given)) == len(given) == 24
        assert not any(int(name[1:]) % 3 == SPEAKERS.index(speaker) for name in given)
