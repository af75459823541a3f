"""The values of the sample corpus: the same on every machine, of the stated sizes, shares and words."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from merbench.corruptions import CORRUPTIONS, generator
from merbench.lexicon import open_lexicon
from merbench.sample import SampleValues, sample_values
from merbench.sample.scenes import EMOTION_WORDS, INVENTED, KNOWN, PLAIN
from merbench.track import load_track

LABELS = ["neutral", "angry", "happy", "sad", "worried", "surprise"]

DIGEST = "9ffb86ffac4fdce1ebd12a7fbb776846759aaa3297c3113c6895f9925ffd77ee"
"""Over every value: when it moves, `merbench.sample.VERSION` moves with it."""

DIGEST_WITHOUT_OPENSET = "ca1f310e975b05659ae3a265037cf116c689233249edb91008702183cd8438e3"
"""Over the values that version 1.0 had."""


@pytest.fixture(scope="module")
def values() -> SampleValues:
    return sample_values()


@pytest.fixture(scope="module")
def frame(values: SampleValues) -> pd.DataFrame:
    """Samples with their references, missing where none is known."""
    return values.samples.to_pandas().merge(values.reference.to_pandas(), on="sample_id", how="left")


def digest(values: SampleValues, without: tuple[str, ...] = ()) -> str:
    """SHA-256 over all values, written out here so that it depends on no code of merbench."""
    digest = hashlib.sha256()
    for table in (values.samples, values.reference):
        for name in (name for name in table.column_names if name not in without):
            digest.update(f"{name}\n".encode())
            digest.update("".join(f"{value}\n" for value in table[name].to_pylist()).encode())
    for modality in sorted(values.features):
        digest.update(modality.encode())
        digest.update(np.ascontiguousarray(values.features[modality], dtype="<i4").tobytes())
    return digest.hexdigest()


def test_the_values_are_the_same_on_every_machine_and_twice(values: SampleValues) -> None:
    assert digest(values) == digest(sample_values()) == DIGEST
    assert digest(values, without=("openset",)) == DIGEST_WITHOUT_OPENSET


def test_sizes(frame: pd.DataFrame) -> None:
    assert frame.split.value_counts().to_dict() == {
        "train": 1500,
        "dev": 250,
        "test_multi": 600,
        "test_noise": 600,
        "test_semi": 2400,
    }
    scored = frame[frame.discrete.notna()].split.value_counts().to_dict()
    assert scored == {"train": 1500, "dev": 250, "test_multi": 600, "test_noise": 600, "test_semi": 600}
    assert frame[frame.split == "test_semi"].valence.isna().all()
    assert frame.valence.notna().sum() == 1500 + 250 + 600 + 600


def test_six_unequal_classes_with_shares_like_those_of_mer_2023(frame: pd.DataFrame) -> None:
    # MER 2023, training split: 0.258, 0.244, 0.204, 0.114, 0.137, 0.043
    expected = {"neutral": 0.26, "angry": 0.24, "happy": 0.20, "sad": 0.11, "worried": 0.14, "surprise": 0.05}
    known = frame[frame.discrete.notna()]
    assert list(EMOTION_WORDS) == LABELS
    shares = known.discrete.value_counts(normalize=True)
    assert {label: pytest.approx(share, abs=0.02) for label, share in expected.items()} == shares.to_dict()
    assert known.groupby("split").discrete.value_counts().min() >= 10


def test_valence_is_tied_to_the_emotion(frame: pd.DataFrame) -> None:
    known = frame[frame.valence.notna()]
    assert known.valence.between(-5, 5).all()
    assert (known.valence * 4 % 1 == 0).all()
    means = known.groupby("discrete").valence.mean()
    assert means["happy"] > 1 > means["neutral"] > means["worried"] > means["sad"] > -3 < means["angry"] < -2
    between = (known.discrete.map(means) - known.valence.mean()).var() / known.valence.var()
    assert 0.6 < between < 0.9


def test_fifty_speakers_in_dialogues_of_two(frame: pd.DataFrame) -> None:
    assert frame.speaker.nunique() == 50
    by_split = frame[frame.discrete.notna()].groupby("split").speaker.nunique()
    assert (by_split.drop("dev") == 50).all()
    dialogues = frame.groupby("dialogue")
    assert (dialogues.split.nunique() == 1).all()
    assert dialogues.speaker.nunique().max() == 2
    assert dialogues.size().max() == 14
    for _, dialogue in dialogues:
        assert sorted(dialogue.position) == list(range(len(dialogue)))


def test_three_in_ten_words_are_known_to_no_lexicon(frame: pd.DataFrame) -> None:
    words = Counter(word for transcript in frame.transcript for word in transcript.split())
    known = set(PLAIN).union(*EMOTION_WORDS.values())
    unknown = sum(count for word, count in words.items() if word not in known)
    assert unknown / words.total() == pytest.approx(0.30, abs=0.005)
    assert set(words) <= {*KNOWN, *INVENTED}


@pytest.mark.real_data
def test_no_emotion_wheel_knows_an_invented_word(test_data: Path) -> None:
    known: set[str] = set()
    for sheet in sorted((test_data / "data" / "emotion-wheel" / "mer2025").glob("*.csv")):
        known.update(sheet.read_text(encoding="utf-8").lower().replace(",", " ").replace('"', " ").split())
    assert "happy" in known
    assert not known & set(INVENTED)


def test_the_corruption_is_what_mer_noise_declares(frame: pd.DataFrame, values: SampleValues) -> None:
    track = load_track("mer-noise")
    assert track.splits["test"].source == ("test_noise",)
    noisy = (frame.split == "test_noise").to_numpy()
    for modality, corrupted in values.features.items():
        assert np.array_equal(corrupted[~noisy], values.clean[modality][~noisy])
    assert frame.loc[~noisy, "feature_noise.snr_db"].isna().all()
    assert set(frame.loc[noisy, "feature_noise.snr_db"]) == {5, 6, 7, 8, 9, 10}
    assert set(frame.loc[noisy, "feature_noise.factor"]) == {1, 2, 4}
    row = int(np.flatnonzero(noisy)[-1])
    rng = generator(track.seed, "feature_noise", frame.sample_id[row])
    parameters = CORRUPTIONS["feature_noise"].draw(track.corruptions[0].parameters, rng)
    signal = {modality: vectors[row] / 1024 for modality, vectors in values.clean.items()}
    corrupted = CORRUPTIONS["feature_noise"](signal, rng, parameters)
    assert parameters == {key: frame[f"feature_noise.{key}"][row] for key in ("snr_db", "factor")}
    for modality, vector in corrupted.items():
        assert np.array_equal(np.rint(vector * 1024), values.features[modality][row])


@pytest.fixture(scope="module")
def sets(frame: pd.DataFrame) -> pd.DataFrame:
    """Samples with an open set: words of the emotion, of the transcript, and words that no lexicon knows."""
    return frame[frame.openset.notna()]


def share_known(words: list[str]) -> float:
    sectors = open_lexicon("english").sectors(words)
    return float((sectors >= 0).any(axis=0).mean())


def test_some_words_are_in_no_lexicon(sets: pd.DataFrame) -> None:
    words = sets.openset.explode()
    invented = words.isin(INVENTED)
    assert sets.openset.map(lambda given: bool(set(given) & set(INVENTED))).mean() == pytest.approx(0.15, abs=0.02)
    assert share_known(words[~invented].tolist()) == pytest.approx(0.88, abs=0.03)
    assert share_known(sorted(set(words[invented]))) == 0
    nothing_known = sets.openset.map(lambda given: share_known(list(given)) == 0)
    assert 0 < nothing_known.mean() < 0.05
