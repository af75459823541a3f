"""What a baseline is given: sequences, dialogues, a development set, unlabelled samples, and missing features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus import Feature
from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.track import Track, load_track
from merbench.training import Division, feature_set, load_baseline, training_set
from merbench.training.data import training_candidates
from merbench.training.needs import wanted_features
from tests.training.test_declaration import write

DECLARATION = """
id = "talk"
version = "1.0"
title = "Talk"
corpus = "./corpus"
splits = {{ train = "train", dev = "dev", test = "test" }}
targets.emotion = {{ type = "categorical", labels = ["calm", "glad"] }}
metrics = [{{ name = "accuracy", target = "emotion" }}]
ranking = {{ by = ["accuracy"] }}
{further}
"""

#          s0       s1       s2     s3       s4     s5     s6       s7
SPLITS = ["train", "train", "dev", "train", "dev", "dev", "train", "test"]
DIALOGUE = ["b", "a", "b", "b", "b", None, "b", "x"]
POSITION = [7, 0, 1, 2, 0, None, 9, 0]
SPEAKER = ["Ann", "Bo", "Cy", "Bo", "Di", "Di", "Ann", "Cy"]
EMOTION = ["calm", "glad", "calm", "glad", "calm", "glad", "glad", "calm"]
IDS = [f"s{i}" for i in range(8)]

LENGTHS = [3, 1, 2, 0, 4, 1, 2]
FRAMES = [np.full((n, 2), i) + np.arange(n)[:, None] for i, n in enumerate(LENGTHS)]
"""The frames of s0 to s6; s3 has none, and s7 is not in the feature."""

Talk = Callable[..., Track]


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    """Return a function that writes the track and its corpus, with other columns or a `[training]` where given."""

    def write(further: str = "", emotion: Sequence[str | None] = EMOTION, **columns: list[Any]) -> Track:
        folder = tmp_path / "talk"
        own = {"dialogue": DIALOGUE, "position": POSITION, "speaker": SPEAKER, **columns}
        made_corpus(
            folder / "corpus",
            name="talk",
            samples=pa.table(
                {"sample_id": IDS, "split": SPLITS, **{name: pa.array(v) for name, v in own.items() if v}}
            ),
            reference=pa.table({"sample_id": IDS, "emotion": pa.array(emotion, pa.string())}),
            features={
                "voice": Feature.from_vectors(IDS, np.arange(16).reshape(8, 2)),
                "voice.frames": Feature.from_frames(IDS[:7], FRAMES),
            },
            replace=True,
        )
        (folder / "track.toml").write_text(DECLARATION.format(further=further), encoding="utf-8")
        return load_track(folder)

    return write


def test_a_sequence_is_the_rows_of_a_sample_where_the_feature_is_stored(talk: Talk) -> None:
    candidates = training_candidates(talk())
    assert candidates.corpus.default_features == ("voice",)
    assert candidates.corpus.default_sequences == ("voice.frames",)
    train = training_set(candidates, ["voice.frames", "voice"])
    assert train.samples.ids.to_pylist() == ["s0", "s1", "s3", "s6"]
    frames, vectors = train.samples.sequences.values()
    assert frames.lengths.tolist() == [3, 1, 0, 2] and frames.present.tolist() == [True, True, False, True]
    assert [frames.of(row).tolist() for row in range(4)] == [FRAMES[i].tolist() for i in (0, 1, 3, 6)]
    assert (vectors.lengths.tolist(), vectors.of(3).tolist()) == ([1] * 4, [[12, 13]])
    some = train.select(np.array([3, 1])).samples.sequences["voice.frames"]
    assert some.values.base is frames.values.base
    assert [some.of(row).tolist() for row in range(2)] == [FRAMES[6].tolist(), FRAMES[1].tolist()]
    # means of 0, 1, 2 · 1 · nothing · 6, 7
    np.testing.assert_array_equal(train.features["voice.frames"][:, 0], [1, 1, 0, 6.5])


def test_a_declared_feature_is_read_as_the_sequences_it_was_pooled_from(talk: Talk, tmp_path: Path) -> None:
    candidates = training_candidates(talk())
    for samples, expected in (("sequences", ["voice.frames"]), ("dialogues", ["voice"])):
        toml = f'title = "Own"\nsamples = "{samples}"\ntracks.talk.features = ["voice"]\n'
        loaded = load_baseline(write(tmp_path / samples, toml))
        assert wanted_features(loaded, candidates, None) == expected
        assert wanted_features(loaded, candidates, ["voice"]) == ["voice"]  # as it is asked for


def test_a_sample_without_a_feature_has_no_rows_where_the_baseline_allows_it(talk: Talk) -> None:
    test = open_candidates(talk())
    message = r"^corpus 'talk': feature 'voice.frames' has no values for 1 of 1 samples of split 'test': s7;"
    with pytest.raises(UsageError, match=message):
        feature_set(test, ["voice.frames"])
    samples = feature_set(test, ["voice.frames", "voice"], missing=True)
    assert [part.present.tolist() for part in samples.sequences.values()] == [[False], [True]]
    assert samples.features["voice.frames"].tolist() == [[0, 0]]


def test_dialogues_are_in_the_order_of_positions_and_those_of_two_splits_differ(talk: Talk) -> None:
    track = talk('training.selection = "dev"')
    every = training_set(training_candidates(track), [], dialogues=True)
    dialogues = every.samples.dialogues
    assert dialogues is not None and len(dialogues) == 4
    ids = np.array(every.samples.ids.to_pylist())
    # by position: b is s3 (2, Bo), s0 (7, Ann), s6 (9, Ann); a is s1; b of dev is s4 (0, Di), s2 (1, Cy); s5 has none
    units = sorted(ids[rows].tolist() for rows in dialogues.units())
    assert units == [["s1"], ["s3", "s0", "s6"], ["s4", "s2"], ["s5"]]
    speakers = sorted(dialogues.speaker[rows].tolist() for rows in dialogues.units())
    assert speakers == [[0], [0], [0, 1], [0, 1, 1]]
    assert sorted(dialogues.position.tolist()) == [0, 0, 0, 0, 1, 1, 2]
    # without s3, which spoke first, Ann is the first speaker
    part = dialogues.select(np.flatnonzero(np.isin(ids, ["s0", "s6"])))
    assert (len(part), part.position.tolist(), part.speaker.tolist()) == (1, [0, 1], [0, 0])
    alone = training_set(training_candidates(talk(speaker=[])), [], dialogues=True).samples.dialogues
    assert alone is not None and not alone.speaker.any()


def test_without_dialogues_the_frames_of_a_recording_are_in_their_order(talk: Talk) -> None:
    frames = training_set(training_candidates(talk(dialogue=[], recording=DIALOGUE)), [], dialogues=True)
    dialogues = frames.samples.dialogues
    assert dialogues is not None
    ids = np.array(frames.samples.ids.to_pylist())
    # out of order, and with gaps: b is s3 (2), s0 (7), s6 (9); a is a recording of one frame
    assert sorted(ids[rows].tolist() for rows in dialogues.units()) == [["s1"], ["s3", "s0", "s6"]]
    assert frames.folds_by == "recording"
    twice = talk(dialogue=[], recording=DIALOGUE, position=[7, 0, 1, 7, 0, None, 9, 0])
    message = r"'position': samples with the position of another one in their recording \(2 of 4\): s0, s3$"
    with pytest.raises(UsageError, match=message):
        training_set(training_candidates(twice), [], dialogues=True)
    message = r"'position': samples with no position in their recording \(1 of 4\): s6$"
    with pytest.raises(UsageError, match=message):
        gap = talk(dialogue=[], recording=DIALOGUE, position=[7, 0, 1, 2, 0, None, None, 0])
        training_set(training_candidates(gap), [], dialogues=True)


def test_utterances_without_references_stay_in_their_dialogue(talk: Talk) -> None:
    # of the dialogue b, s3 has no reference; of a, s1 has none, and no other utterance is there
    some = [None if i in (1, 3) else label for i, label in enumerate(EMOTION)]
    candidates = training_candidates(talk(emotion=some))
    train = training_set(candidates, ["voice"], dialogues=True, partial=True)
    assert train.samples.ids.to_pylist() == ["s0", "s3", "s6"]
    assert train.targets["emotion"].tolist() == [0, -1, 1]
    assert train.samples.dialogues is not None and train.samples.dialogues.position.tolist() == [1, 0, 2]
    assert (train.n_learned, len(train.learned)) == (2, 3)
    assert training_set(candidates, ["voice"], dialogues=True).samples.ids.to_pylist() == ["s0", "s6"]
    assert training_set(candidates, ["voice"], partial=True).samples.ids.to_pylist() == ["s0", "s6"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"position": []}, "corpus 'talk' has no column 'position' that a baseline of dialogues reads; it has"),
        ({"dialogue": []}, "corpus 'talk' has no column 'dialogue' that a baseline of dialogues reads; it has"),
        ({"position": list("01234567")}, "corpus 'talk': column 'position' contains string; positions in a dialogue"),
        (
            {"position": [7, 0, 1, None, 0, 0, 9, 0]},
            r"'position': samples with no position in their dialogue \(1 of 4\): s3",
        ),
        (
            {"position": [7, 7, 1, 9, 0, 0, 9, 9]},
            r"'position': samples with the position of another one in their dialogue \(2 of 4\): s3, s6",
        ),
    ],
)
def test_dialogues_out_of_order_are_reported(talk: Talk, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        training_set(training_candidates(talk(**columns)), [], dialogues=True)


def test_the_development_set_is_marked_and_keeps_its_labels(talk: Talk) -> None:
    noise = '[[corruptions]]\nname = "symmetric_flips"\nrate = 1.0\nsplit = "train"\n'
    train = training_set(training_candidates(talk(f'training.selection = "dev"\n{noise}')), ["voice"])
    assert train.development is not None
    ids = np.array(train.samples.ids.to_pylist())
    assert ids[train.learned].tolist() == ["s0", "s1", "s3", "s6"]
    assert ids[train.validated].tolist() == ["s2", "s4", "s5"]
    # at rate 1 each label is the other one of two
    wanted = np.array([EMOTION[int(name[1:])] == "glad" for name in ids])
    assert np.array_equal(train.targets["emotion"], wanted ^ ~train.development)
    (division,) = train.divisions(5, seed=0)
    assert (division.learn.tolist(), division.validate.tolist()) == (train.learned.tolist(), train.validated.tolist())


@pytest.mark.parametrize(
    ("further", "emotion", "message"),
    [
        (
            'training = { selection = "dev", development = ["devv"] }',
            EMOTION,
            "talk: 0 of 4 samples with references are",
        ),
        (
            'training = { selection = "dev", source = ["dev"] }',
            EMOTION,
            "talk: 3 of 3 samples with references are in the development set, dev; needed: some, and others to learn",
        ),
        (
            'training.selection = "dev"',
            [*EMOTION[:2], None, "calm", None, None, "calm", "calm"],
            "talk: 0 of 4 samples",
        ),
        (
            'training.unlabelled = ["train"]',
            EMOTION,
            "talk: all 4 samples of the unlabelled splits, train, are learned from with their references; name another",
        ),
        (
            'training.group = "scene"',
            EMOTION,
            "corpus 'talk' has no column 'scene' whose values folds keep together",
        ),
    ],
)
def test_a_declaration_that_does_not_fit_the_corpus_is_reported(
    talk: Talk, further: str, emotion: Sequence[str | None], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        training_set(training_candidates(talk(further, emotion)), [], unlabelled=True)


def test_unlabelled_samples_are_those_without_references_in_the_declared_splits(talk: Talk) -> None:
    some = [None if i in (1, 7) else label for i, label in enumerate(EMOTION)]
    candidates = training_candidates(talk('training.unlabelled = ["train", "test"]', some))
    train = training_set(candidates, ["voice"], ["speaker"], unlabelled=True)
    assert train.samples.ids.to_pylist() == ["s0", "s3", "s6"]
    assert train.unlabelled is not None
    assert train.unlabelled.ids.to_pylist() == ["s1", "s7"]
    np.testing.assert_array_equal(train.unlabelled.features["voice"], [[2, 3], [14, 15]])
    assert train.unlabelled.columns["speaker"].to_pylist() == ["Bo", "Cy"]
    assert training_set(candidates, ["voice"]).unlabelled is None


def test_folds_keep_the_declared_group_together(talk: Talk) -> None:
    train = training_set(training_candidates(talk('training.group = "dialogue"')), [])
    assert (train.folds_by, train.n_clusters) == ("dialogue", 2)
    by_default = training_set(training_candidates(talk()), [])
    assert by_default.folds_by == "speaker"
    left_out = training_set(training_candidates(talk('training.selection = "leave-one-group-out"')), [])
    parts = [division.validate.tolist() for division in left_out.divisions(5, seed=0)]
    assert sorted(parts) == [[0, 3], [1, 2]]  # Ann: s0, s6; Bo: s1, s3


def test_a_division_is_a_development_set_and_further_samples_are_only_learned_from(talk: Talk) -> None:
    some = [None if i == 1 else label for i, label in enumerate(EMOTION)]
    candidates = training_candidates(talk('training.unlabelled = ["train", "test"]', some))
    train = training_set(candidates, ["voice", "voice.frames"], unlabelled=True, missing=True)
    part = train.of_division(Division(np.array([0, 2]), np.array([1])))
    assert (part.learned.tolist(), part.validated.tolist(), part.n_folds(5)) == ([0, 2], [1], 1)
    unlabelled = part.unlabelled
    assert unlabelled is not None and unlabelled.ids.to_pylist() == ["s1", "s7"]
    joined = part.joined(unlabelled, {"emotion": np.array([1, 0], dtype=np.int32)})
    # sorted by id: s0 calm, s1 glad as it is given, s3 glad (the development set), s6 glad, s7 calm as it is given
    assert joined.samples.ids.to_pylist() == ["s0", "s1", "s3", "s6", "s7"]
    assert joined.targets["emotion"].tolist() == [0, 1, 1, 1, 0]
    assert (joined.learned.tolist(), joined.validated.tolist()) == ([0, 1, 3, 4], [2])
    frames = joined.samples.sequences["voice.frames"]
    assert [frames.of(row).tolist() for row in range(4)] == [FRAMES[i].tolist() for i in (0, 1, 3, 6)]
    assert frames.lengths.tolist() == [3, 1, 0, 2, 0]
    assert frames.values is train.samples.sequences["voice.frames"].values  # no value was copied
    apart = replace(frames, values=frames.values.copy()).joined(frames)
    assert len(apart.values) == 12 and [apart.of(row).tolist() for row in range(10)] == [
        frames.of(row % 5).tolist() for row in range(10)
    ]
