"""Features and texts of a corpus are corrupted as a track declares, with the same manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.cli import run
from merbench.corpus import CORPORA, ExtractionRecord, Feature, add_features, verify_corpus
from merbench.corrupt.features_and_texts import corrupt_corpus, modality_features
from merbench.corrupt.manifest import MANIFEST, read_manifest
from merbench.corrupt.steps import corrupt
from merbench.corruptions import CORRUPTIONS, generator
from merbench.errors import UsageError
from merbench.scoring import score
from merbench.track import Track, load_track

IDS = [f"s{number}" for number in range(8)]
SPLITS = ["train"] * 4 + ["test"] * 4
TEXTS = ["one two three four five six seven eight nine ten"] * 8


def vectors(width: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(8, width)).astype(np.float32)


VALUES = {"audio": vectors(4, 1), "video-frames": vectors(3, 2), "text": vectors(5, 3)}


def track_of(tmp_path: Path, steps: str, features: dict[str, Feature] | None = None) -> Track:
    from media_track import DECLARATION

    folder = tmp_path / "toy-noise"
    folder.mkdir()
    declared = DECLARATION.replace("STEPS", steps).replace('test = "test"', 'train = "train"\ntest = "test"')
    (folder / "track.toml").write_text(declared, encoding="utf-8")
    made_corpus(
        folder / "corpus",
        name="toy",
        samples=pa.table({"sample_id": IDS, "split": SPLITS, "transcript": TEXTS}),
        reference=pa.table({"sample_id": IDS, "discrete": ["calm", "glad"] * 4}),
        features=features or {name: Feature.from_vectors(IDS, values) for name, values in VALUES.items()},
    )
    return load_track(folder)


PROXY = '\n[[corruptions]]\nname = "feature_noise"\nsnr_db = { integers = [5, 10] }\nfactor = 1\n'
WORDS = '\n[[corruptions]]\nname = "word_deletion"\nrate = 0.3\n'


def test_only_the_test_split_is_corrupted(tmp_path: Path) -> None:
    track = track_of(tmp_path, PROXY + WORDS)
    done = corrupt_corpus(track, tmp_path / "out")
    assert done.problems == {}
    corpus = CORPORA.read(tmp_path / "out" / "corpus")
    assert verify_corpus(corpus) == []
    audio = corpus.feature("audio").values
    assert np.array_equal(audio[:4], VALUES["audio"][:4]) and not (audio[4:] == VALUES["audio"][4:]).any()
    for name in ("video-frames", "text"):
        assert np.array_equal(corpus.feature(name).values, VALUES[name])
    samples = corpus.samples().to_pylist()
    assert [len(row["transcript"].split()) for row in samples] == [10] * 4 + [7] * 4
    # One sample by hand: the function with the sample's own generator.
    rng = generator(track.seed, "feature_noise", "s5")
    drawn = CORRUPTIONS["feature_noise"].draw(track.corruptions[0].parameters, rng)
    expected = CORRUPTIONS["feature_noise"]({"audio": VALUES["audio"][5].astype(np.float64)}, rng, drawn)["audio"]
    assert np.array_equal(audio[5], expected.astype(np.float32))
    assert samples[5]["feature_noise.snr_db"] == drawn["snr_db"]
    assert samples[0]["feature_noise.snr_db"] is None
    rows = read_manifest(tmp_path / "out" / MANIFEST).rows
    assert set(rows) == set(IDS[4:])
    assert rows["s5"]["feature_noise.snr_db"] == drawn["snr_db"]
    assert rows["s5"]["word_deletion.realised_rate"] == 0.3
    assert len(rows["s5"]["values_sha256"]) == 64


def test_the_same_is_made_again(tmp_path: Path) -> None:
    track = track_of(tmp_path, PROXY + WORDS)
    first, second = (corrupt_corpus(track, tmp_path / name) for name in ("a", "b"))
    assert first.corpus.declaration.content == second.corpus.declaration.content
    assert (tmp_path / "a" / MANIFEST).read_bytes() == (tmp_path / "b" / MANIFEST).read_bytes()
    with pytest.raises(UsageError, match=r"already exists; --force replaces it$"):
        corrupt_corpus(track, tmp_path / "a")
    corrupt_corpus(track, tmp_path / "a", replace=True)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / MANIFEST).write_text("of clips")
    with pytest.raises(UsageError, match=r"clips: already has the manifest\.parquet of something else"):
        corrupt_corpus(track, tmp_path / "clips", replace=True)


def test_missing_modalities_are_zeros_and_the_pattern_is_stored(tmp_path: Path) -> None:
    steps = '\n[[corruptions]]\nname = "modality_pattern"\npattern = { choice = ["a", "v", "t", "at"] }\n'
    done = corrupt_corpus(track_of(tmp_path, steps), tmp_path / "out")
    names = {"a": "audio", "v": "video-frames", "t": "text"}
    for sample_id, row in done.manifest.rows.items():
        kept = {names[letter] for letter in row["modality_pattern.pattern"]}
        place = IDS.index(sample_id)
        there = {name for name in names.values() if done.corpus.feature(name).values[place].any()}
        assert there == kept


def test_frames_are_dropped_for_the_split_at_once(tmp_path: Path) -> None:
    frames = {"audio": Feature.from_frames(IDS, [np.ones((3 + place % 2, 2)) for place in range(8)])}
    steps = '\n[[corruptions]]\nname = "tfrnet_drop"\nrate = 0.5\n'
    done = corrupt_corpus(track_of(tmp_path, steps, frames), tmp_path / "out")
    audio = done.corpus.feature("audio")
    assert audio.offsets is not None
    kept = np.random.RandomState(1111).uniform(size=(4, 4)) > 0.5
    for row, place in enumerate(range(4, 8)):
        values = audio.values[audio.offsets[place] : audio.offsets[place + 1], 0]
        assert np.array_equal(values > 0, kept[row, : len(values)])


def test_a_training_split_is_corrupted_if_the_track_declares_it(tmp_path: Path) -> None:
    steps = '\n[[corruptions]]\nname = "modality_absence"\nmodality = "audio"\nsplit = "train"\n'
    corpus = corrupt_corpus(track_of(tmp_path, steps), tmp_path / "out").corpus
    assert not corpus.feature("audio").values[:4].any() and corpus.feature("audio").values[4:].all()


def test_a_bug_that_one_sample_meets_is_its_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(signal: Any, steps: Any, **given: Any) -> Any:
        if given["sample_id"] == IDS[5]:
            raise ZeroDivisionError("a bug")
        return corrupt(signal, steps, **given)

    monkeypatch.setattr("merbench.corrupt.features_and_texts.corrupt", broken)
    frames = {"audio": Feature.from_frames(IDS, [np.ones((3, 2)) for _ in range(8)])}
    steps = '\n[[corruptions]]\nname = "step_drop"\nrate = 0.5\n'
    assert corrupt_corpus(track_of(tmp_path, steps, frames), tmp_path / "out").problems == {
        IDS[5]: "ZeroDivisionError: a bug"
    }


def test_a_sample_that_fails_late_keeps_nothing_of_earlier_steps(tmp_path: Path) -> None:
    steps = '\n[[corruptions]]\nname = "random_drop"\nrate = 1.0\n\n[[corruptions]]\nname = "step_drop"\nrate = 0.5\n'
    done = corrupt_corpus(track_of(tmp_path, steps), tmp_path / "out")
    assert set(done.problems) == set(IDS[4:])
    assert np.array_equal(done.corpus.feature("audio").values, VALUES["audio"])
    assert all(set(row) == {"sample_id", "problem"} for row in done.manifest.rows.values())


def test_measured_values_of_several_columns_are_named_by_column(tmp_path: Path) -> None:
    track = track_of(tmp_path, WORDS)
    corpus = CORPORA.read(track.folder / "corpus")
    samples = corpus.samples().append_column("translation", pa.array(["a b c"] * 8))
    made_corpus(track.folder / "corpus", name="toy", samples=samples, reference=corpus.reference(), replace=True)  # fmt: skip
    rows = corrupt_corpus(track, tmp_path / "out", columns=["transcript", "translation"]).manifest.rows
    # 0.3 of ten words are three; 0.3 of three words are one.
    assert rows["s5"]["word_deletion.realised_rate.transcript"] == pytest.approx(0.3, abs=1e-6)
    assert rows["s5"]["word_deletion.realised_rate.translation"] == pytest.approx(1 / 3, abs=1e-6)
    assert rows["s5"]["word_deletion.rate"] == 0.3


def test_scores_break_down_by_what_was_drawn(tmp_path: Path) -> None:
    track = track_of(tmp_path, PROXY)
    submission = pa.table({"sample_id": IDS[4:], "discrete": ["calm"] * 4})
    report = score(track, submission, intervals=False, by="snr_db")
    drawn = sorted({track.corruptions[0].as_step.draws(track.seed, name)["snr_db"] for name in IDS[4:]})
    assert [group.value for group in report.groups] == [str(value) for value in drawn]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": {"sound": "audio"}}, "'sound' is not a modality of features; allowed: audio, video, text"),
        ({"features": {"audio": "hubert"}}, "no feature of corpus toy named 'hubert'"),
        ({"columns": ["words"]}, "corpus 'toy' has no column of text 'words'; it has transcript"),
    ],
)
def test_unknown_names_are_errors(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        corrupt_corpus(track_of(tmp_path, PROXY + WORDS), tmp_path / "out", **options)
    assert str(raised.value).startswith(message)
    assert not (tmp_path / "out").exists()


def test_which_feature_belongs_to_a_modality(tmp_path: Path) -> None:
    track = track_of(tmp_path, PROXY)
    corpus = CORPORA.read(track.folder / "corpus")
    assert modality_features(corpus) == {"audio": "audio", "video": "video-frames", "text": "text"}
    assert modality_features(corpus, {"audio": "text"}) == {"audio": "text"}
    record = ExtractionRecord(extractor="x", version="1", modality="text", unit="utterance")
    feature = corpus.feature("audio")
    corpus = add_features(corpus, {"hubert": feature, "video-frames": feature}, {"video-frames": record}, replace=True)
    assert modality_features(corpus) == {"audio": "audio", "text": "text"}  # the record counts, not the name
    named = {"hubert": record.model_copy(update={"modality": "video"})}
    corpus = add_features(corpus, {"hubert": feature}, named, replace=True)
    assert modality_features(corpus) == {"audio": "audio", "video": "hubert", "text": "text"}
    corpus = add_features(corpus, {"wavlm": feature}, {"wavlm": named["hubert"]})
    several = "several features of corpus 'toy' are of the modality video: hubert, wavlm; name one, video=hubert"
    with pytest.raises(UsageError, match=f"^{re.escape(several)}$"):
        modality_features(corpus)


def test_a_corrupted_feature_keeps_its_record(tmp_path: Path) -> None:
    track = track_of(tmp_path, PROXY)
    corpus = CORPORA.read(track.folder / "corpus")
    record = ExtractionRecord(extractor="x", version="1", modality="audio", unit="utterance")
    add_features(corpus, {"audio": corpus.feature("audio")}, {"audio": record}, replace=True)
    corrupt_corpus(track, tmp_path / "out")
    assert CORPORA.read(tmp_path / "out" / "corpus").declaration.extracted == {"audio": record}


def test_dimensions_of_unequal_scale_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scales = np.array([0.01, 0.1, 1.0, 1000.0], dtype=np.float32)
    features = {
        "audio": Feature.from_vectors(IDS, VALUES["audio"][:, :4] * scales),
        "video": Feature.from_vectors(IDS, VALUES["video-frames"]),
    }
    track = track_of(tmp_path, PROXY, features)
    assert corrupt_corpus(track, tmp_path / "a").uneven == ("audio",)
    assert run(["corrupt", str(track.folder), "-o", str(tmp_path / "b")]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  W652  audio: dimensions differ in scale so much that noise at 20 dB drowns half of them; store the feature "
        "standardised by the training split"
    ]
