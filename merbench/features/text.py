"""A feature of a corpus, one tf-idf vector for each sample, projected onto its main directions.

Everything is fitted only on the training split: vocabulary, document frequencies, projection. The texts of other splits
change no vector of a training sample.

Conventions:
    Texts are strings, one per sample; an empty one becomes a vector of zeros. Vectors are `(n, d)` float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.text import UNSPACED
from merbench.engine import suitable_threads
from merbench.errors import MissingExtra, UsageError
from merbench.features.extractor import extractor
from merbench.parameters import Within, declared, parameter_problems

DIMENSIONS = 4096
"""Largest width of the vectors. It is at most the number of training texts, so that a few thousand of them lose
nothing. With fewer dimensions everything is faster, but rare words, which distinguish emotions, are lost first."""

LONGEST = 3
"""Longest n-gram of characters, in scripts without spaces."""

WORDS = (1, 2)
CHARACTERS_OF_WORDS = (3, 5)

MIN_COUNT = 2
"""An n-gram of fewer training samples is left out."""

_ROUNDING = 1e-9
"""A squared singular value below this share of the largest one is an error of rounding."""

_FEW = 8
"""With more training texts than this times the dimensions, a randomised algorithm is faster."""

_TOKEN = r"\w+|[^\w\s]"
"""A word, or a mark such as `!`, which carries emotion."""


@extractor(
    "tfidf-svd",
    input="corpus",
    unit="utterance",
    dimension=None,
    licence="Apache-2.0",
    source="Deerwester et al. 1990",
    extra="baselines",
)
def text_vectors(
    columns: Sequence[Sequence[str]],
    train: NDArray[np.bool_],
    *,
    dimensions: Annotated[int, Within(1)] = DIMENSIONS,
    longest: Annotated[int, Within(1, 8)] = LONGEST,
) -> NDArray[np.float32]:
    """Return latent semantic vectors (Deerwester et al., 1990) of texts: tf-idf, then a truncated SVD.

    A column in a script without spaces, as most of its training texts are, becomes n-grams of characters, any other
    those of words and of characters within words; every column has the same weight. Term frequencies are dampened,
    1 + log(count). With as many dimensions as the training texts span, products of vectors with those of training
    texts are those of the tf-idf table itself, and so are the answers of a linear model with an L2 penalty.

    Args:
        columns: texts of all samples, column by column.
        train: which samples to learn from.
        dimensions: largest width of the vectors; less if the training texts span no more.
        longest: longest n-gram of characters, in scripts without spaces.
    """
    options = {"dimensions": dimensions, "longest": longest}
    if problems := [f"{name}: {text}" for name, text in parameter_problems("text", declared(text_vectors), options)]:
        raise UsageError(*problems)
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
                raise UsageError("no n-gram occurs in two training texts; there is nothing to learn from") from error
            blocks.append(vectoriser.transform(texts) / len(vectorisers) ** 0.5)
    table = hstack(blocks, format="csr")
    width = min(dimensions, *table[rows].shape)
    with suitable_threads(len(rows) * width):
        if _FEW * width < len(rows):
            vectors = TruncatedSVD(width, random_state=0).fit(table[rows]).transform(table)
        else:
            vectors = _exact(table, table[rows], width)
    return np.asarray(vectors, dtype=np.float32)


def _exact(table: Any, learned: Any, width: int) -> NDArray[np.float64]:
    """Return the rows of a table along the main directions of the learned ones, by their products.

    Directions that are errors of rounding are left out. The largest coordinate of a direction is positive.
    """
    from scipy.linalg import eigh

    n = learned.shape[0]
    squares, directions = eigh((learned @ learned.T).toarray(), subset_by_index=(n - width, n - 1))
    kept = np.flatnonzero(squares > _ROUNDING * squares[-1])[::-1]
    squares, directions = squares[kept], directions[:, kept]
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(len(kept))]
    projection = directions / (np.sqrt(squares) * np.sign(largest))
    return np.asarray((table @ learned.T).toarray() @ projection)


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
