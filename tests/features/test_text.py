from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from merbench.corpus import Corpus
from merbench.errors import MissingExtra, UsageError
from merbench.features.extraction import Extracted, Request, extract
from merbench.features.outputs import Recipe
from merbench.features.shipped import EXTRACTORS
from merbench.features.text import text_vectors

CHINESE = ["你好吗", "我很好。", "", "我不好!", "你很生气", "我生气了!", "他好", "他很好吗", "你不生气吗", "生气"]
ENGLISH = ["how are you", "i am fine", "", "i am not fine!", "you are angry", "i am angry!", "he is fine", "is he fine",
           "are you not angry", "angry"]  # fmt: skip
TRAIN = np.array([True] * 8 + [False] * 2)


def corpus(folder: Path, chinese: list[str] = CHINESE) -> Corpus:
    return made_corpus(
        folder,
        name="talk",
        samples=pa.table(
            {
                "sample_id": [f"s{i}" for i in range(10)],
                "split": ["train"] * 8 + ["test"] * 2,
                "transcript": pa.array([text or None for text in chinese]),
                "transcript_english": ENGLISH,
                "length": list(map(len, chinese)),
            }
        ),
    )


def extracted(made: Corpus, *columns: str, split: str = "train", replace: bool = False, **options: int) -> Extracted:
    request = Request([Recipe("tfidf", "tfidf-svd", options)], columns=columns or ("transcript",), train_split=split)
    return extract(made, request, replace=replace)


def test_chinese_is_read_by_characters() -> None:
    vectors = text_vectors([CHINESE], TRAIN, dimensions=4, longest=2)
    tfidf = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit(CHINESE[:8])
    svd = TruncatedSVD(4, random_state=0).fit(tfidf.transform(CHINESE[:8]))
    np.testing.assert_allclose(vectors, svd.transform(tfidf.transform(CHINESE)), atol=1e-6)
    assert vectors.dtype == np.float32
    assert not vectors[2].any()  # nothing was said
    assert vectors[8:].any(axis=1).all()


def test_with_all_dimensions_nothing_of_the_table_is_lost() -> None:
    chinese = [*CHINESE[:7], CHINESE[1], *CHINESE[8:]]  # eight training texts, one of them twice and one empty
    vectors = text_vectors([chinese], TRAIN, dimensions=4096)
    assert vectors.shape == (10, 6)
    tfidf = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2).fit(chinese[:8])
    table = tfidf.transform(chinese).toarray()
    np.testing.assert_allclose(vectors @ vectors[:8].T, table @ table[:8].T, atol=1e-6)


def test_few_dimensions_of_many_texts_are_the_first_of_all_of_them() -> None:
    train = np.arange(40) < 36  # 4 * 8 < 36: measured by the randomised algorithm
    several = [a + b for a in CHINESE[:8] for b in CHINESE[:5]]
    np.testing.assert_allclose(
        text_vectors([several], train, dimensions=4), text_vectors([several], train, dimensions=36)[:, :4], atol=1e-4
    )


def test_english_is_read_by_words_and_their_characters() -> None:
    vectors = text_vectors([ENGLISH], TRAIN, dimensions=4)
    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)
    table = np.hstack([kind.fit(ENGLISH[:8]).transform(ENGLISH).toarray() for kind in (words, letters)])
    assert {"i am", "!"} <= set(words.get_feature_names_out())
    svd = TruncatedSVD(4, random_state=0).fit(table[:8])
    # the angles between vectors are what a projection of the same table keeps, however its axes are turned
    wanted = svd.transform(table) / np.sqrt(2)  # words and characters share the weight of the column
    np.testing.assert_allclose(vectors @ vectors.T, wanted @ wanted.T, atol=1e-4)


def test_several_columns_stand_side_by_side() -> None:
    both = text_vectors([CHINESE, ENGLISH], TRAIN, dimensions=7)
    alone = text_vectors([CHINESE], TRAIN, dimensions=7)
    assert both.shape == alone.shape == (10, 7)
    assert not np.allclose(both, alone)


def test_what_is_said_in_the_test_split_changes_no_training_vector(tmp_path: Path) -> None:
    changed = [*CHINESE[:8], "完全不同的话", "你好你好你好"]
    first = extracted(corpus(tmp_path / "a"), dimensions=4).features["tfidf"]
    second = extracted(corpus(tmp_path / "b", changed), dimensions=4).features["tfidf"]
    np.testing.assert_array_equal(first.values[:8], second.values[:8])
    assert (first.values[8:] != second.values[8:]).any()


def test_the_feature_is_stored_in_the_corpus_the_same_every_time(tmp_path: Path) -> None:
    done = extracted(corpus(tmp_path / "a"), "transcript", "transcript_english")
    one, made = done.corpus, done.features["tfidf"]
    two = extracted(corpus(tmp_path / "b"), "transcript", "transcript_english").corpus
    assert one.features == ("tfidf",)
    np.testing.assert_array_equal(one.feature("tfidf").values, made.values)
    assert one.declaration.content.features == two.declaration.content.features
    assert made.width == 7  # as many as eight texts allow
    with pytest.raises(UsageError, match="corpus 'talk' already has a feature 'tfidf'"):
        extracted(one)
    again = extracted(one, dimensions=3, replace=True).corpus
    assert again.feature_shape("tfidf") == (10, 3, False)


def test_what_numbers_depend_on_is_named_by_the_extra_and_so_recorded() -> None:
    """Another SciPy changed the last bits of vectors with all dimensions; its algebra is its own."""
    (extra,) = EXTRACTORS["tfidf-svd"].extras
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = {requirement.partition(">")[0] for requirement in project["optional-dependencies"][extra]}
    assert {"scikit-learn", "scipy"} <= packages


def test_what_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = corpus(tmp_path / "a")
    message = "corpus 'talk' has no column of text 'transkript'; it has transcript, transcript_english; did you mean"
    with pytest.raises(UsageError, match=message):
        extracted(made, "transkript")
    with pytest.raises(
        UsageError, match="corpus 'talk' has no split 'trian'; it has test, train; did you mean 'train'"
    ):
        extracted(made, split="trian")
    with pytest.raises(UsageError, match="no n-gram occurs in two training texts; there is nothing to learn from"):
        text_vectors([["", "", ""]], np.array([True, True, False]), dimensions=2)
    with pytest.raises(UsageError, match="dimensions: 0 is not an integer of at least 1"):
        extracted(made, dimensions=0)
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    message = r"a text feature \(scikit-learn\) needs the extra 'baselines': pip install 'merbench\[baselines\]'"
    with pytest.raises(MissingExtra, match=message):
        extracted(made)
