"""The transcripts of a corpus go in, one tf-idf vector per sample comes out, turned onto its main directions.

Everything is fitted on the training split alone: vocabulary, document frequencies, projection. What other splits say
changes no vector of a training sample.

Conventions:
    Texts are strings, one per sample; an empty one becomes a vector of zeros. Vectors are `(n, d)` float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import Corpus, Feature, add_feature
from merbench.corruptions.text import UNSPACED
from merbench.engine import suitable_threads
from merbench.errors import MissingExtra, UsageError, did_you_mean, listed
from merbench.features.defaults import DIMENSIONS, LONGEST

WORDS = (1, 2)
CHARACTERS_OF_WORDS = (3, 5)

MIN_COUNT = 2
"""A sequence that fewer training samples hold is left out."""

_ROUNDING = 1e-9
"""A squared singular value below this share of the largest one is an error of rounding."""

_FEW = 8
"""Where there are more training texts than this times the dimensions, a randomised algorithm is faster."""

_TOKEN = r"\w+|[^\w\s]"
"""A word, or a mark such as `!`, which carries emotion."""


def add_text_feature(
    corpus: Corpus,
    name: str,
    *,
    columns: Sequence[str] = ("transcript",),
    train_split: str = "train",
    dimensions: int = DIMENSIONS,
    longest: int = LONGEST,
    replace: bool = False,
) -> tuple[Corpus, Feature]:
    """Make a text feature of all samples of a corpus, store it there, and return the corpus and the feature.

    Args:
        corpus: the corpus.
        name: name of the new feature.
        columns: columns of text; several, such as a transcript and its translation, are used side by side.
        train_split: split of the corpus that everything is fitted on.
        dimensions: largest width of the vectors; fewer where the training texts span no more.
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
    columns: Sequence[Sequence[str]], train: NDArray[np.bool_], *, dimensions: int, longest: int = LONGEST
) -> NDArray[np.float32]:
    """Return latent semantic vectors (Deerwester et al., 1990) of texts: tf-idf, then a truncated SVD.

    A column in a script without spaces is read as characters, any other as words and as characters within words,
    as most of its training texts are written; every column has the same weight. Term frequencies are dampened,
    1 + log(count). With as many dimensions as the training texts span, products of vectors with those of training
    texts are those of the tf-idf table itself, and so are the answers of a linear model with an L2 penalty.

    Args:
        columns: texts of all samples, column by column.
        train: which samples to learn from.
        dimensions: largest width of the vectors; fewer where the training texts span no more.
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
    if dimensions < 1:
        raise UsageError(f"{dimensions} dimensions: at least 1 is needed")
    width = min(dimensions, *table[rows].shape)
    with suitable_threads(len(rows) * width):
        if _FEW * width < len(rows):
            vectors = TruncatedSVD(width, random_state=0).fit(table[rows]).transform(table)
        else:
            vectors = _exact(table, table[rows], width)
    return np.asarray(vectors, dtype=np.float32)


def _exact(table: Any, learned: Any, width: int) -> NDArray[np.float64]:
    """Return the rows of a table along the main directions of some, which come of products of rows.

    Directions that are errors of rounding are left out. The largest coordinate of a direction is positive.
    """
    from scipy.linalg import eigh

    n = learned.shape[0]
    squares, directions = eigh((learned @ learned.T).toarray(), subset_by_index=(n - width, n - 1))
    kept = np.flatnonzero(squares > _ROUNDING * squares[-1])[::-1]
    squares, directions = squares[kept], directions[:, kept]
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(len(kept))]
    found: NDArray[np.float64] = (table @ learned.T).toarray() @ (directions / (np.sqrt(squares) * np.sign(largest)))
    return found


def _vectorisers(texts: Sequence[str], longest: int) -> list[Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    letters = [letter for text in texts for letter in text if letter.isalpha()]
    unspaced = sum(bool(UNSPACED.match(letter)) for letter in letters)
    shared = {"sublinear_tf": True, "min_df": MIN_COUNT}
    if 2 * unspaced > len(letters):
        return [TfidfVectorizer(analyzer="char", ngram_range=(1, longest), **shared)]
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
