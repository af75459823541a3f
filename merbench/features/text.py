"""The transcripts of a corpus go in, one tf-idf vector per sample comes out, reduced to a few hundred dimensions.

Everything is fitted on the training split alone: vocabulary, document frequencies, projection. What other splits say
changes no vector of a training sample.

Conventions:
    Texts are strings, one per sample; an empty one becomes a vector of zeros. Vectors are `(n, d)` float32.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import Corpus, Feature, add_feature
from merbench.errors import MissingExtra, UsageError, did_you_mean, listed

DIMENSIONS = 512
CHARACTERS = (1, 3)
WORDS = (1, 2)
CHARACTERS_OF_WORDS = (3, 5)

MIN_COUNT = 2
"""A sequence that fewer training samples hold is left out."""

_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Letters of scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer."""

_TOKEN = r"\w+|[^\w\s]"
"""A word, or a mark such as `!`, which carries emotion."""


def add_text_feature(
    corpus: Corpus,
    name: str,
    *,
    columns: Sequence[str] = ("transcript",),
    train_split: str = "train",
    dimensions: int = DIMENSIONS,
    longest: int = CHARACTERS[1],
    replace: bool = False,
) -> tuple[Corpus, Feature]:
    """Make a text feature of all samples of a corpus, store it there, and return the corpus and the feature.

    Args:
        corpus: the corpus.
        name: name of the new feature.
        columns: columns of text; several, such as a transcript and its translation, are used side by side.
        train_split: split of the corpus that everything is fitted on.
        dimensions: width of the vectors; fewer where the training texts allow no more.
        longest: longest sequence of characters, in scripts without spaces.
        replace: whether a feature of this name may be there already.

    Raises:
        MissingExtra: scikit-learn is not installed.
        UsageError: no such column or split; no text to learn from; the name is taken.
    """
    samples = corpus.samples()
    texts = [_texts(corpus, samples, column) for column in columns]
    train = np.asarray(pc.equal(samples["split"], train_split))
    if not train.any():
        there = sorted(samples["split"].unique().to_pylist())
        near = did_you_mean(train_split, there)
        raise UsageError(f"corpus '{corpus.name}' has no split '{train_split}'; it has {listed(there)}{near}")
    vectors = text_vectors(texts, train, dimensions=dimensions, longest=longest)
    feature = Feature(samples["sample_id"].combine_chunks(), vectors)
    return add_feature(corpus, name, feature, replace=replace), feature


def text_vectors(
    columns: Sequence[Sequence[str]], train: NDArray[np.bool_], *, dimensions: int, longest: int = CHARACTERS[1]
) -> NDArray[np.float32]:
    """Return latent semantic vectors (Deerwester et al., 1990) of texts: tf-idf, then a truncated SVD.

    A column in a script without spaces is read as characters, any other as words and as characters within words,
    as most of its training texts are written; every column has the same weight. Term frequencies are dampened,
    1 + log(count).

    Args:
        columns: texts of all samples, column by column.
        train: which samples to learn from.
        dimensions: width of the vectors; fewer where the training texts allow no more.
        longest: longest sequence of characters, in scripts without spaces.
    """
    try:
        from scipy.sparse import hstack
        from sklearn.decomposition import TruncatedSVD
    except ModuleNotFoundError as error:
        raise MissingExtra("a text feature (scikit-learn)", "baselines") from error

    rows = np.flatnonzero(train).tolist()
    blocks = []
    for texts in columns:
        learned = [texts[row] for row in rows]
        vectorisers = _vectorisers(learned, longest)
        for vectoriser in vectorisers:
            try:
                vectoriser.fit(learned)
            except ValueError as error:  # an empty vocabulary
                raise UsageError("the training texts hold no sequence twice; there is nothing to learn from") from error
            blocks.append(vectoriser.transform(texts) / len(vectorisers) ** 0.5)
    table = hstack(blocks, format="csr")
    width = min(dimensions, table.shape[1] - 1, len(rows) - 1)
    if width < 1:
        raise UsageError(f"{dimensions} dimensions of {len(rows):,} training texts: needed is at least 1 of at least 2")
    projection = TruncatedSVD(width, random_state=0).fit(table[rows])
    vectors: NDArray[np.float32] = projection.transform(table).astype(np.float32)
    return vectors


def _vectorisers(texts: Sequence[str], longest: int) -> list[Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    letters = [letter for text in texts for letter in text if letter.isalpha()]
    unspaced = sum(bool(_UNSPACED.match(letter)) for letter in letters)
    shared = {"sublinear_tf": True, "min_df": MIN_COUNT}
    if 2 * unspaced > len(letters):
        return [TfidfVectorizer(analyzer="char", ngram_range=(CHARACTERS[0], longest), **shared)]
    return [
        TfidfVectorizer(analyzer="word", token_pattern=_TOKEN, ngram_range=WORDS, **shared),
        TfidfVectorizer(analyzer="char_wb", ngram_range=CHARACTERS_OF_WORDS, **shared),
    ]


def _texts(corpus: Corpus, samples: pa.Table, column: str) -> list[str]:
    there = [field.name for field in samples.schema if pa.types.is_string(field.type)]
    there = [name for name in there if name not in ("sample_id", "split")]
    if column not in there:
        raise UsageError(
            f"corpus '{corpus.name}' has no column of text '{column}'; "
            f"it has {listed(there) or 'none'}{did_you_mean(column, there)}"
        )
    texts: list[str] = samples[column].fill_null("").to_pylist()
    return texts
