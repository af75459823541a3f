"""Arrays by name in a safetensors file: the weights of a model, which nothing executes when they are read.

Conventions:
    Arrays of text are stored as the UTF-8 bytes of a JSON list. The file's metadata is one JSON object under the key
    `merbench`, sorted, so that the same arrays and metadata are the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import MalformedFile
from merbench.files.reading import read_bounded
from merbench.files.writing import atomic_path

Arrays = Mapping[str, NDArray[Any]]

MOST_MODEL_BYTES = 4_000_000_000
"""The largest file of weights that is read."""

MOST_LETTERS = 100_000_000
"""How many letters an array of text may have: its length times the longest text."""

_KEY = "merbench"

_KINDS = {"b": "BOOL", "f": "F", "i": "I", "u": "U"}
"""By kind of array, how safetensors names it; the number of bits follows."""


def write_tensors(path: Path | str, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Write arrays and metadata, which is ready for JSON; the file appears complete or not at all.

    Arrays go into the file one after the other: safetensors' own writer holds two further copies of all.
    """
    texts = sorted(name for name, values in arrays.items() if values.dtype.kind == "U")
    stored = {
        name: _encoded(values) if name in texts else np.asarray(values, order="C") for name, values in arrays.items()
    }
    text = json.dumps({"metadata": metadata, "texts": texts}, sort_keys=True, allow_nan=False)
    header: dict[str, Any] = {"__metadata__": {_KEY: text}}
    names, end = sorted(stored, key=lambda name: (-stored[name].itemsize, name)), 0
    for name in names:
        start, end = end, end + stored[name].nbytes
        kind = _KINDS[stored[name].dtype.kind] + (
            "" if stored[name].dtype.kind == "b" else f"{8 * stored[name].itemsize}"
        )
        header[name] = {"dtype": kind, "shape": stored[name].shape, "data_offsets": [start, end]}
    head = json.dumps(header, ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in names:
            file.write(
                stored[name].astype(stored[name].dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data
            )


def read_tensors(source: Path | bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and the metadata of a file, or of its bytes.

    Raises:
        MalformedFile: it was not written by `write_tensors`, or was cut off, or is larger than `MOST_MODEL_BYTES`.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = source if isinstance(source, bytes) else read_bounded(source, MOST_MODEL_BYTES)
    try:
        arrays = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        own = json.loads(header["__metadata__"][_KEY])
        metadata, texts = own["metadata"], own["texts"]
        arrays |= {name: _decoded(arrays[name]) for name in texts}
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, MemoryError, RecursionError) as error:
        raise MalformedFile("not a safetensors file of merbench, or cut off") from error
    if not isinstance(metadata, dict):
        raise MalformedFile("not a safetensors file of merbench: its metadata is not an object")
    return arrays, metadata


def _encoded(values: NDArray[np.str_]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(values.tolist(), ensure_ascii=False).encode(), dtype=np.uint8)


def _decoded(values: NDArray[Any]) -> NDArray[np.str_]:
    texts = [str(text) for text in json.loads(values.tobytes())]
    if len(texts) * max(map(len, texts), default=0) > MOST_LETTERS:
        raise ValueError("an array of texts is too large")
    return np.array(texts, dtype=np.str_)
