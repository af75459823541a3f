"""Files of weights: read back as they were written, and hostile ones refused in one message."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from merbench.errors import MalformedFile
from merbench.files.tensors import read_tensors, write_tensors

ARRAYS = {
    "weight": np.arange(6.0).reshape(2, 3).T,  # not contiguous
    "rate": np.asarray(np.float32(0.5)),
    "codes": np.array([3, 1], dtype=np.int32),
    "kept": np.array([True, False]),
    "words": np.array(["calm", "fröhlich", ""]),
    "none": np.array([], dtype=np.str_),
}


def test_arrays_and_metadata_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "models" / "seed-0.safetensors"
    write_tensors(path, ARRAYS, {"b": [1, None], "a": "ü"})
    arrays, metadata = read_tensors(path)
    assert metadata == {"a": "ü", "b": [1, None]}
    assert sorted(arrays) == sorted(ARRAYS)
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], values)
        assert arrays[name].dtype.kind == values.dtype.kind and arrays[name].shape == values.shape
    first = path.read_bytes()
    write_tensors(path, dict(reversed(ARRAYS.items())), {"a": "ü", "b": [1, None]})
    assert path.read_bytes() == first
    # the library itself reads what is written
    np.testing.assert_array_equal(load_file(path)["weight"], ARRAYS["weight"])


def _own(texts: object, metadata: object = None) -> bytes:
    header = {"metadata": {} if metadata is None else metadata, "texts": texts}
    return save({"x": np.frombuffer(b'["a", "b"]', dtype=np.uint8)}, {"merbench": json.dumps(header)})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        pickle.dumps({"weight": [1.0]}),
        save({"x": np.zeros(2)}),  # of another program
        _own(["x"])[:-1],
        _own(["y"]),
        _own([["x"]]),
        _own(3),
        _own(["x"], [1]),
    ],
    ids=["empty", "no-header", "pickle", "without-metadata", "cut-off", "no-text", "nested", "number", "metadata"],
)
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedFile, match="not a safetensors file of merbench"):
        read_tensors(data)


def test_texts_are_bounded_before_they_are_built() -> None:
    # 20,000 texts, the longest of 20,000 letters, would take 1.6 GB as an array
    texts = np.frombuffer(json.dumps(["a"] * 20_000 + ["a" * 20_000]).encode(), dtype=np.uint8)
    data = save({"x": texts}, {"merbench": json.dumps({"metadata": {}, "texts": ["x"]})})
    with pytest.raises(MalformedFile, match="or cut off"):
        read_tensors(data)


@given(st.binary(max_size=60), st.integers(0, 300))
def test_any_change_is_refused_or_read(piece: bytes, place: int) -> None:
    data = _own(["x"])
    try:
        arrays, metadata = read_tensors(data[:place] + piece + data[place + len(piece) :])
    except MalformedFile:
        return
    assert all(isinstance(values, np.ndarray) for values in arrays.values()) and isinstance(metadata, dict)
