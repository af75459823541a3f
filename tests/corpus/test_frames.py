"""Frames of clips become samples: ids, places, references of the clip, and other features at their times."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus import Corpus, Feature, frame_corpus, verify_corpus
from merbench.corpus.frames import means_at
from merbench.errors import UnknownName, UsageError

#               a: three pictures, b: one, c: no face; b has no sound
PICTURES = [np.array([[1.0], [2], [3]]), np.array([[4.0]])]
SOUND = np.arange(7.0)[:, None]


@pytest.fixture
def clips(tmp_path: Path) -> Corpus:
    ids = ["a", "b", "c"]
    return made_corpus(
        tmp_path / "clips",
        name="clips",
        samples=pa.table(
            {
                "sample_id": ids,
                "split": ["train", "test", "train"],
                "speaker": ["Ann", "Bo", "Cy"],
                "dialogue": ["d"] * 3,
                "position": [0, 1, 2],
            }
        ),
        reference=pa.table({"sample_id": ["a", "c"], "valence": [0.5, 0.1]}),
        features={
            "look.frames": Feature.from_frames(ids[:2], PICTURES, [np.array([0.0, 0.2, 0.4]), np.array([0.1])]),
            "sound.frames": Feature.from_frames(["a"], [SOUND], [np.array([0.0, 0.05, 0.1, 0.15, 0.25, 0.31, 0.9])]),
            "voice": Feature.from_vectors(ids, np.array([[7.0], [8], [9]])),
            "tokens.tokens": Feature.from_frames(ids, [np.ones((1, 2))] * 3),
        },
    )


def test_a_frame_has_the_references_of_its_clip_and_features_at_its_time(clips: Corpus, tmp_path: Path) -> None:
    made = frame_corpus(tmp_path / "f", clips, ["look.frames", "sound.frames", "voice"], "f")
    assert verify_corpus(made) == []
    assert made.samples().to_pylist() == [
        {"sample_id": "a/00001", "split": "train", "speaker": "Ann", "recording": "a", "position": 1},
        {"sample_id": "a/00002", "split": "train", "speaker": "Ann", "recording": "a", "position": 2},
        {"sample_id": "a/00003", "split": "train", "speaker": "Ann", "recording": "a", "position": 3},
        {"sample_id": "b/00001", "split": "test", "speaker": "Bo", "recording": "b", "position": 1},
    ]
    reference = made.reference()
    assert reference is not None
    assert reference.to_pylist() == [{"sample_id": f"a/0000{n}", "valence": 0.5} for n in (1, 2, 3)]
    assert made.features == ("look", "sound", "voice")
    assert made.feature("look").values.ravel().tolist() == [1, 2, 3, 4]
    assert made.feature("voice").values.ravel().tolist() == [7, 7, 7, 8]
    # nearest to 0: those at 0, .05 and .1 (as near to .2, but first); to .2: .15 and .25; to .4: .31 and .9
    assert made.feature("sound").ids.to_pylist() == ["a/00001", "a/00002", "a/00003"]
    assert made.feature("sound").values.ravel().tolist() == [1, 3.5, 5.5]


def test_a_frame_without_a_row_near_it_has_the_nearest() -> None:
    rows, times = np.array([[1.0], [5.0]], np.float32), np.array([0.0, 1.0])
    assert means_at(np.array([0.0, 0.3, 0.6, 1.0]), rows, times).ravel().tolist() == [1, 1, 5, 5]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (["voice", "look.frames"], "corpus 'clips': voice: frames need their times, and the first feature has to have"),
        (["look.frames", "tokens.tokens"], "corpus 'clips': tokens.tokens: frames need their times"),
        (["look.frames", "look.frames"], "several would be called look"),
        (["look"], "no feature of corpus clips named 'look'"),
    ],
)
def test_features_that_have_no_frames_are_reported(
    clips: Corpus, tmp_path: Path, features: list[str], message: str
) -> None:
    with pytest.raises((UsageError, UnknownName), match=re.escape(message)):
        frame_corpus(tmp_path / "f", clips, features, "f")
    assert not (tmp_path / "f").exists()
