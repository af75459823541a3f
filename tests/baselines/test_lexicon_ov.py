from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from merbench.corpus import IMPORTERS
from merbench.lexicon import import_lexicon, open_lexicon
from merbench.metrics import METRICS
from merbench.metrics.lists import Lists
from merbench.scoring import compare
from merbench.targets.label_set import read_label_lists
from merbench.targets.text import words_in_text
from merbench.training import RunSettings, load_baseline, run_baseline

MODEL = load_baseline("lexicon-ov").module


def test_a_class_is_the_sector_of_most_words() -> None:
    lexicon = open_lexicon("english")  # on the first wheel: joy, anger, sadness, ...
    names = lexicon.sector_names(lexicon.wheels[0], 1)
    sets = Lists.of([["happy"], ["sad", "happy", "unhappy"], ["sad", "happy"], ["blendrix"], [], ["angry", "blendrix"]])
    codes = MODEL.classes_of(sets, lexicon).tolist()
    # of equals, the sector that the wheel lists first
    assert [names[code] if code >= 0 else "-" for code in codes] == ["joy", "sadness", "joy", "-", "-", "anger"]


def test_words_become_a_table_and_chances_are_drawn_to_their_mean() -> None:
    words = ("a", "b", "c")
    said = MODEL.indicators(Lists.of([["a", "b"], ["a"], [], ["a", "a"]]), words)
    np.testing.assert_array_equal(said, [[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0]])
    present = MODEL.indicators(Lists.of([["a"], ["c", "z"], ["a"], ["a"]]), words)
    # four words are said and two of them present: a 2 of 3, b 0 of 1, c never said
    np.testing.assert_allclose(MODEL.chances_if_said(present, said), [(2 + 5) / 13, 5 / 11, 0.5], rtol=1e-15)


def test_what_is_answered_follows_from_classes_and_words_said() -> None:
    lexicon = open_lexicon("english")
    sets = Lists.of([["happy", "glad"], ["happy"], ["sad"], ["sad", "lonely"]] * 10)
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]] * 10)
    said = Lists.of([["glad"], [], [], ["down"]] * 10)
    part = MODEL.Words(MODEL.Options(C=1e4, threshold=0.6), lexicon)
    part.fit(sets, x, said)
    # the classes are as good as certain: happy is in all sets of its class, glad in half of them. Said ten times, glad
    # was right ten times, down never: 10 of 20 on the whole, so (10 + 5) / 20 and (0 + 5) / 20.
    np.testing.assert_allclose(part.if_said[[part.words.index(word) for word in ("glad", "down")]], [0.75, 0.25])
    answers = part.answers(np.array([[1.0], [1.0], [-1.0], [-1.0]]), Lists.of([[], ["glad"], ["down"], ["glad"]]))
    # glad, said in joy: 1 - (1 - 0.5) (1 - 0.75) = 0.875; said in sadness: 0.75
    assert [sorted(words) for words in answers] == [["happy"], ["glad", "happy"], ["sad"], ["glad", "sad"]]
    rare = MODEL.Words(MODEL.Options(C=1e4, threshold=1.0), lexicon)
    rare.fit(sets, x, said)
    assert [len(words) for words in rare.answers(np.zeros((3, 1)), Lists.of([[], [], []]))] == [1, 1, 1]


@pytest.mark.slow
def test_on_the_sample_it_beats_the_most_frequent_words(sample_home: Path, tmp_path: Path) -> None:
    options = {"C": 0.01, "threshold": 0.1}
    ours = run_baseline(
        "mer-ov", "lexicon-ov", RunSettings(options=options, intervals=False), output=tmp_path / "lexicon-ov"
    )
    # three words are the best number of them on the training split
    three = run_baseline(
        "mer-ov", "majority", RunSettings(options={"n_words": 3}, intervals=False), output=tmp_path / "three"
    )
    assert ours.report is not None and three.report is not None
    assert ours.report["overall"].value == pytest.approx(0.7206, abs=0.005)
    files = {"ours": ours.folder / "submission.csv", "three": three.folder / "submission.csv"}
    difference = next(
        item for item in compare("mer-ov", files, n_permutations=1000).differences if item.key == "overall"
    )
    assert difference.difference > 0.3
    assert difference.p < 0.01


@pytest.mark.real_data
@pytest.mark.slow
def test_words_of_translated_transcripts_are_worth_little(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path))
    lexicon = import_lexicon(test_data / "data" / "emotion-wheel" / "mer2025")
    corpus = IMPORTERS["mer2024-ov"](test_data / "data", tmp_path / "corpus").corpus
    references = corpus.reference()
    assert references is not None
    reference = read_label_lists(references["openset"].combine_chunks()).lists
    transcripts: pa.Array = corpus.samples()["transcript_english"].combine_chunks()
    said = words_in_text(transcripts, lexicon)
    counts = np.diff(said.offsets)
    assert (len(said), int((counts > 0).sum()), int(counts.sum())) == (332, 167, 264)
    value = METRICS["emotion_wheel_f1"](reference, said, np.ones((1, 332), np.uint8), lexicon=lexicon)
    assert value[0] == pytest.approx(0.1240, abs=5e-5)
