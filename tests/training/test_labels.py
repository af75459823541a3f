"""Labels of a training split, damaged as a track declares before a baseline sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.track import CorruptionSpec, Track, load_track
from merbench.training import run_baseline
from merbench.training.data import training_set


def noisy(*steps: dict[str, Any]) -> Track:
    """Return MER-MULTI on the sample with steps that damage labels of its training split."""
    specs = tuple(CorruptionSpec.model_validate({"split": "train", **step}) for step in steps)
    return load_track("mer-multi").model_copy(update={"corruptions": specs})


def labels(track: Track, split: str = "train") -> Any:
    return training_set(open_candidates(track, split), []).targets["discrete"]


def test_flips_reach_the_training_split_alone(sample_home: Path) -> None:
    track = noisy({"name": "symmetric_flips", "rate": 0.3})
    clean, damaged = labels(load_track("mer-multi")), labels(track)
    # 1,500 labels, each another one with probability 0.3: deviation 1.2 %
    assert np.mean(clean != damaged) == pytest.approx(0.3, abs=0.05)
    assert np.array_equal(labels(track, "dev"), labels(load_track("mer-multi"), "dev"))
    assert np.array_equal(labels(track), damaged)


def test_the_run_card_says_what_was_done_to_the_labels(sample_home: Path, tmp_path: Path) -> None:
    track = noisy({"name": "symmetric_flips", "rate": 0.3})
    done = run_baseline(track, "majority", output=tmp_path / "run", intervals=False)
    card = json.loads((done.folder / "run.json").read_text(encoding="utf-8"))
    clean, damaged = labels(load_track("mer-multi")), labels(track)
    assert card["label_corruption"] == {
        "symmetric_flips.rate": 0.3,
        "symmetric_flips.realised_rate": pytest.approx(np.mean(clean != damaged), abs=1e-6),
    }


def test_a_long_tail_leaves_samples_out_with_all_that_is_theirs(sample_home: Path) -> None:
    track = noisy({"name": "long_tail", "gamma": 10})
    whole = training_set(open_candidates(load_track("mer-multi"), "train"), ["audio"])
    kept = training_set(open_candidates(track, "train"), ["audio"])
    counts = np.sort(np.bincount(kept.targets["discrete"], minlength=6))[::-1]
    most = np.bincount(whole.targets["discrete"]).max()
    # The class at place j of six keeps at most n_max 10^(-j / 5).
    assert all(count <= most * 10 ** (-place / 5) + 1 for place, count in enumerate(counts))
    rows = [whole.samples.ids.to_pylist().index(name) for name in kept.samples.ids.to_pylist()]
    assert len(rows) == len(kept) < len(whole)
    assert np.array_equal(kept.features["audio"], whole.features["audio"][rows])
    assert np.array_equal(kept.targets["valence"], whole.targets["valence"][rows])


def test_candidates_are_nothing_that_a_baseline_learns_from(sample_home: Path) -> None:
    message = r"^mer-multi: partial_labels gives each training sample a set of labels, and a baseline learns from one"
    with pytest.raises(UsageError, match=message):
        labels(noisy({"name": "partial_labels", "q": 0.1}))


def test_labels_of_a_track_without_classes_cannot_be_damaged(sample_home: Path) -> None:
    track = noisy({"name": "symmetric_flips", "rate": 0.3})
    track = track.model_copy(update={"targets": {"valence": track.targets["valence"]}})
    message = r"^mer-multi: symmetric_flips corrupts the labels of exactly one categorical target; the track has none$"
    with pytest.raises(UsageError, match=message):
        training_set(open_candidates(track, "train"), [])
