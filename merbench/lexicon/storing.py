"""A compiled lexicon goes in, the bytes of an NPZ file without pickles come out, and the other way round."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.files import read_npz
from merbench.lexicon.compiled import Lexicon, Linked

FORMAT = 1
"""Rises when the arrays change, or the rules by which they are made."""

_TABLES = ("wheels", "labels", "bases", "wheel_words")
_LINKS = ("label_bases", "base_words")


def to_bytes(lexicon: Lexicon) -> bytes:
    """Return the bytes of a compiled lexicon; its name and source are not in them."""
    arrays: dict[str, NDArray[Any]] = {"format": np.array(FORMAT), "digest": _packed((lexicon.digest,))}
    arrays |= {table: _packed(getattr(lexicon, table)) for table in _TABLES}
    for links in _LINKS:
        linked: Linked = getattr(lexicon, links)
        arrays |= {f"{links}.offsets": linked.offsets, f"{links}.codes": linked.codes}
    arrays |= {f"rows.{wheel}": rows for wheel, rows in enumerate(lexicon.rows)}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays, word_sectors=lexicon.word_sectors)
    return file.getvalue()


def from_bytes(path: Path, *, name: str, source: str) -> Lexicon | None:
    """Return the lexicon of a file that `to_bytes` made; None where there is no such file, or it cannot be used."""
    try:
        arrays = read_npz(path)
        if arrays["format"] != FORMAT:
            return None
        wheels, labels, bases, wheel_words = (_unpacked(arrays[table]) for table in _TABLES)
        label_bases, base_words = (Linked(arrays[f"{item}.offsets"], arrays[f"{item}.codes"]) for item in _LINKS)
        return Lexicon(
            name=name,
            digest=_unpacked(arrays["digest"])[0],
            source=source,
            wheels=wheels,
            labels=labels,
            bases=bases,
            wheel_words=wheel_words,
            label_bases=label_bases,
            base_words=base_words,
            rows=tuple(arrays[f"rows.{wheel}"] for wheel in range(len(wheels))),
            word_sectors=arrays["word_sectors"],
        )
    except (OSError, ValueError, KeyError):
        return None


def _packed(words: tuple[str, ...]) -> NDArray[np.uint8]:
    return np.frombuffer("\0".join(words).encode(), dtype=np.uint8)


def _unpacked(packed: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(packed.tobytes().decode().split("\0"))
