"""Captions of the sample describe what its faces are drawn with, and nothing else."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from merbench.corpus.candidates import candidate_column, open_candidates
from merbench.errors import UsageError
from merbench.sample import captions
from merbench.sample.build import shuffled
from merbench.sample.captions import CAPTIONED, _caption
from merbench.sample.face import Faces, faces
from merbench.sample.scenes import EMOTION_WORDS, EMOTIONS, NAMES, SHADES, Scenes, scenes

DRAWN = ("brows", "slant", "eyes", "smile", "opening")


@pytest.fixture(scope="module")
def drama() -> Scenes:
    return scenes()


@pytest.fixture(scope="module")
def drawn(drama: Scenes) -> Faces:
    return faces(drama)


@pytest.fixture(scope="module")
def by_row(drama: Scenes) -> dict[int, str]:
    """Captions by scene."""
    order, ids = shuffled(len(drama))
    return {row: text for row, text in zip(order.tolist(), captions(ids), strict=True) if text is not None}


def test_only_samples_that_are_learned_from_have_captions(drama: Scenes, by_row: dict[int, str]) -> None:
    assert {drama.split[row] for row in by_row} == set(CAPTIONED) == {"train", "dev"}
    assert len(by_row) == 1750
    assert captions(["sample_00000000", "another"]) == [None, None]


def test_no_word_of_an_emotion_occurs(by_row: dict[int, str]) -> None:
    named = {word for words in EMOTION_WORDS.values() for word in words} | {*NAMES, *EMOTIONS}
    named |= {word for pair in SHADES.values() for words in pair for word in words}
    said = {word for text in by_row.values() for word in re.findall("[a-z]+", text.lower())}
    assert said & named == set()
    assert len(said) > 50


@pytest.mark.parametrize(
    ("parameter", "least", "wordings"),
    [
        ("smile", 4 + 1.5 * 26, ("The corners of the mouth are pulled far up.", "The mouth bends steeply upwards.")),
        ("brows", 1.5 * 20, ("The brows are raised high.", "The brows are lifted far above the eyes.")),
        ("opening", 40 + 1.5 * 12, ("The lips are wide apart.", "The mouth is wide open, and the jaw drops.")),
    ],
)
def test_the_highest_degree_is_said_of_those_that_have_it(
    drawn: Faces, by_row: dict[int, str], parameter: str, least: float, wordings: tuple[str, ...]
) -> None:
    values = getattr(drawn, parameter)
    said = [any(text in caption for text in wordings) for caption in by_row.values()]
    assert said == [bool(values[row] > least) for row in by_row]
    assert 100 < sum(said) < 1000


def test_a_caption_depends_on_what_is_drawn_only(drawn: Faces) -> None:
    others = {each.name: np.zeros_like(getattr(drawn, each.name)) for each in fields(drawn) if each.name not in DRAWN}
    assert _caption(replace(drawn, **others), 3, "sample_00000001") == _caption(drawn, 3, "sample_00000001")
    assert _caption(drawn, 3, "sample_00000001") != _caption(drawn, 4, "sample_00000001")


@pytest.mark.slow
def test_captions_do_not_tell_more_of_the_emotion_than_the_parameters(
    drama: Scenes, drawn: Faces, by_row: dict[int, str]
) -> None:
    rows = np.array(list(by_row))
    table = np.stack([getattr(drawn, name)[rows] for name in DRAWN], axis=1)
    model = LogisticRegression(max_iter=2000)
    by_parameters = cross_val_score(make_pipeline(StandardScaler(), model), table, drama.emotion[rows]).mean()
    words = CountVectorizer(ngram_range=(1, 2), binary=True).fit_transform(by_row.values())
    by_words = cross_val_score(LogisticRegression(C=0.1, max_iter=2000), words, drama.emotion[rows]).mean()
    assert 0.4 < by_words < by_parameters < 0.75


def test_the_column_is_computed_when_it_is_asked_for(sample_home: object) -> None:
    train, test = (open_candidates("mer-noise-media", split) for split in ("train", "test"))
    column = candidate_column(train, "caption", "that is read")
    assert column.null_count == 0
    assert column.to_pylist() == captions(train.ids.to_pylist())
    assert candidate_column(test, "caption", "that is read").null_count == len(test) == 600
    assert "caption" not in train.samples.column_names
    with pytest.raises(UsageError, match=r"no column 'captions' that is read; .*caption; did you mean 'caption'"):
        candidate_column(train, "captions", "that is read")
