"""The open sets of the sample: words of the emotion, of the transcript, and words that no lexicon knows."""

from __future__ import annotations

import pandas as pd
import pytest

from merbench.lexicon import open_lexicon
from merbench.sample import sample_values
from merbench.sample.scenes import EMOTION_WORDS, INVENTED, NAMES, SHADES


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    values = sample_values()
    return values.reference.to_pandas().merge(values.samples.to_pandas(), on="sample_id")


def share_known(words: list[str]) -> float:
    sectors = open_lexicon("english").sectors(words)
    return float((sectors >= 0).any(axis=0).mean())


def test_one_to_four_distinct_words(frame: pd.DataFrame) -> None:
    sizes = frame.openset.map(len)
    assert frame.openset.map(lambda words: len(set(words))).equals(sizes)
    assert set(sizes) == {1, 2, 3, 4}
    # the shade, the name in 1 of 2, a said word in 0.6 of the samples that say one, a strange word in 0.3
    assert sizes.mean() == pytest.approx(2.2, abs=0.15)


def test_the_first_word_is_a_shade_that_valence_decides(frame: pd.DataFrame) -> None:
    by_label = dict(zip(EMOTION_WORDS, SHADES.values(), strict=True))
    first = frame.openset.map(lambda words: words[0])
    # -2.25 is the mean of angry: what lies below it is furious rather than annoyed
    angry = frame[(frame.discrete == "angry") & frame.valence.notna()]
    lower = angry.valence < -2.5
    assert set(first[angry.index[lower]]) == set(by_label["angry"][0])
    assert set(first[angry.index[~lower]]) == set(by_label["angry"][1])
    # the first of four is given where a uniform number squared is below 1/4: half of the time
    assert (first[angry.index[lower]] == "furious").mean() == pytest.approx(0.5, abs=0.05)


def test_half_of_the_sets_hold_the_plain_name(frame: pd.DataFrame) -> None:
    names = frame.discrete.map(dict(zip(EMOTION_WORDS, NAMES, strict=True)))
    others = frame[frame.discrete != "neutral"]  # which is a shade of itself
    has_name = [name in words for name, words in zip(names[others.index], others.openset, strict=True)]
    assert sum(has_name) / len(has_name) == pytest.approx(0.5, abs=0.05)


def test_words_of_the_transcript_are_part_of_the_set(frame: pd.DataFrame) -> None:
    emotional = {word for words in EMOTION_WORDS.values() for word in words}
    spoken_words = frame.transcript.map(lambda text: [word for word in text.split() if word in emotional])
    some = spoken_words.map(bool)
    assert 0.4 < some.mean() < 0.8
    first = [words[0] in given for words, given in zip(spoken_words[some], frame.openset[some], strict=True)]
    assert sum(first) / len(first) == pytest.approx(0.65, abs=0.05)  # 0.6, and some by chance
    spoken = [set(words) & set(text.split()) for words, text in zip(frame.openset, frame.transcript, strict=True)]
    assert 0.2 < sum(map(bool, spoken)) / len(spoken) < 0.6


def test_some_words_are_in_no_lexicon(frame: pd.DataFrame) -> None:
    words = frame.openset.explode()
    invented = words.isin(INVENTED)
    assert frame.openset.map(lambda given: bool(set(given) & set(INVENTED))).mean() == pytest.approx(0.15, abs=0.02)
    assert share_known(words[~invented].tolist()) == pytest.approx(0.88, abs=0.03)
    assert share_known(sorted(set(words[invented]))) == 0
    nothing_known = frame.openset.map(lambda given: share_known(list(given)) == 0)
    assert 0 < nothing_known.mean() < 0.05


def test_every_shade_but_neutral_is_in_merbenchs_lexicon() -> None:
    shades = {word for both in SHADES.values() for words in both for word in words} - {"neutral"}
    assert share_known(sorted(shades)) == 1
