from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from merbench.corruptions import CORRUPTIONS, generator
from merbench.errors import UsageError
from merbench.features.extractor import EXTRACTORS, Output, extractor
from merbench.features.outputs import Recipe
from merbench.features.text import text_vectors
from merbench.robustness import RobustnessReport
from merbench.track import Track, load_track
from tests.robustness.conftest import N_TEST, N_TRAIN, CorruptedTrack, classes, ids, scored, values, vectors

FIXED = {"scale": "all", "C": 0.1, "alpha": 10.0}
DELETION = '[[corruptions]]\nname = "word_deletion"\nrate = 0.1\n'


def logistic(track: Track, rates: tuple[float, ...] = (0.0, 1.0), **settings: Any) -> RobustnessReport:
    return scored(track, {"rate": rates}, options=FIXED, **settings)


def transcripts(track: Track) -> list[str]:
    from merbench.corpus import open_corpus

    texts: list[str] = open_corpus(track.corpus, relative_to=track.folder).samples()["transcript"].to_pylist()
    return texts


def by_hand(learned: list[str], asked: list[str], fitted_on: list[str]) -> float:
    """Return weighted F1 of scikit-learn on text vectors that were fitted on some texts."""
    texts = [*fitted_on, *learned, *asked]
    table = text_vectors([texts], np.arange(len(texts)) < len(fitted_on), dimensions=4096).astype(np.float64)
    x, test = table[len(fitted_on) : -len(asked)], table[-len(asked) :]
    scale = np.sqrt(np.mean(x.std(0) ** 2))
    model = LogisticRegression(C=0.1, max_iter=5000).fit((x - x.mean(0)) / scale, classes()[:N_TRAIN])
    answers = model.predict((test - x.mean(0)) / scale)
    return float(f1_score(classes()[N_TRAIN:], answers, average="weighted"))


def deleted(texts: list[str], names: list[str], rate: float) -> list[str]:
    word_deletion = CORRUPTIONS["word_deletion"]
    return [
        word_deletion(text, generator(11, "word_deletion", name), {"rate": rate})
        for text, name in zip(texts, names, strict=True)
    ]


def test_transcripts_are_corrupted_and_their_feature_is_computed_again(corrupted_track: CorruptedTrack) -> None:
    track = corrupted_track(DELETION, features={})
    report = logistic(track, rates=(0.0, 0.4, 1.0))
    texts, names = transcripts(track), ids()
    learned, asked = texts[:N_TRAIN], texts[N_TRAIN:]
    expected = [
        by_hand(learned, asked, learned),
        *(by_hand(learned, deleted(asked, names[N_TRAIN:], rate), learned) for rate in (0.0, 0.4, 1.0)),
    ]
    assert values(report) == pytest.approx(expected, abs=1e-12)
    assert expected[0] == expected[1] != expected[3]
    assert report.features == ("text",)
    none, some, every = (row.realised for row in report.curves[0].rows)
    assert none == {}  # a rate of 0 realises nothing
    # of 5 or 6 words 2 are deleted, of 7 words 3
    lengths = np.array([len(text.split()) for text in asked])
    shares = np.round(np.round(0.4 * lengths) / lengths, 6)  # realised values have six decimals
    assert some["word_deletion.realised_rate"] == pytest.approx(np.mean(shares), abs=1e-12)
    assert every["word_deletion.realised_rate"] == 1
    assert report.curves[0].summary[0].kind == "mean"  # not a missing rate: a deleted word leaves no gap


def test_a_model_for_each_condition_learns_corrupted_texts_in_the_space_of_clean_ones(
    corrupted_track: CorruptedTrack,
) -> None:
    track = corrupted_track(DELETION, features={})
    report = logistic(track, rates=(0.4,), weights="per-condition")
    texts = deleted(transcripts(track), ids(), 0.4)
    expected = by_hand(texts[:N_TRAIN], texts[N_TRAIN:], transcripts(track)[:N_TRAIN])
    assert values(report)[1] == pytest.approx(expected, abs=1e-12)


def test_other_features_stay_as_they_are_stored(corrupted_track: CorruptedTrack) -> None:
    track = corrupted_track(DELETION + '[[corruptions]]\nname = "feature_noise"\nsnr_db = 5\nfactor = 1\n')
    report = logistic(track)
    assert report.features == ("audio", "text", "video")  # instead of text-frames
    assert set(report.digests) == {"track", "corpus", "references", "feature audio", "feature video"}
    assert logistic(track, features=["text-frames", "audio"]).features == ("text", "audio")
    message = (
        "corrupting text changes none of the features audio, video; add feature 'text', which is computed from the "
        "corrupted text"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        logistic(track, features=["audio", "video"])
    message = "corruptions of text and of features cannot be combined in one run; make two"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        scored(track, {"rate": [0.1], "snr_db": [5]})


def test_a_corpus_without_transcripts_is_refused(corrupted_track: CorruptedTrack) -> None:
    track, names = corrupted_track(DELETION), ids()
    labels = [("calm", "glad", "sad")[i] for i in classes()]
    made_corpus(
        track.folder / "corpus",
        name="small",
        samples=pa.table({"sample_id": names, "split": ["train"] * N_TRAIN + ["test"] * N_TEST}),
        reference=pa.table({"sample_id": names, "discrete": labels, "valence": [0.0] * len(names)}),
        features=vectors(),
        replace=True,
    )
    message = "corpus 'small' has no column 'transcript' that corruptions of text change; it has "
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        logistic(load_track(track.folder))


def test_a_baseline_that_reads_the_transcript_reads_the_corrupted_one(
    corrupted_track: CorruptedTrack, tmp_path: Path
) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "baseline.toml").write_text('title = "Reader"\nuses_features = false\ncolumns = ["transcript"]\n')
    (folder / "model.py").write_text(READER)
    report = scored(corrupted_track(DELETION), {"rate": [1.0]}, folder)
    # the third letter gives the class: "the", "what", "all"; without any, all are calm
    assert values(report) == [1.0, pytest.approx(f1_score(classes()[N_TRAIN:], [0] * N_TEST, average="weighted"))]


READER = """
from dataclasses import dataclass
import numpy as np
from merbench.training import Predictions

@dataclass(frozen=True)
class Options:
    pass

class Reader:
    def fit(self, train):
        pass

    def predict(self, test):
        codes = ["eal".find(text[2:3]) if text else 0 for text in test.columns["transcript"].to_pylist()]
        return Predictions({"discrete": np.eye(3)[codes], "valence": np.zeros(len(codes))})

def build(options, setup):
    return Reader()
"""


def test_texts_of_another_extractor_are_each_measured_once(corrupted_track: CorruptedTrack) -> None:
    measured: list[str] = []

    def letters(texts: list[str]) -> list[Output]:
        measured.extend(texts)
        return [Output(np.array([float(text.count(letter)) for letter in "aegilmrs"])) for text in texts]

    before = dict(EXTRACTORS._items)
    try:
        extractor("letters", input="texts", unit="utterance", dimension=8, licence="CC0", source="this test")(letters)
        track = corrupted_track(DELETION, features={})
        report = logistic(track, rates=(0.0, 0.4), extractors={"text": Recipe("text", "letters")})
    finally:
        EXTRACTORS._items.clear()
        EXTRACTORS._items.update(before)
    assert report.extractors == {"text": "letters@1"}
    assert values(report)[0] == values(report)[1]  # a rate of 0 deletes nothing
    texts = transcripts(track)
    assert sorted(measured) == sorted({*texts, *deleted(texts[N_TRAIN:], ids()[N_TRAIN:], 0.4)})
