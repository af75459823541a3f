"""Values that hold several items per sample: lists of labels, and segments of time.

Conventions:
    n samples hold m items; the items of sample i are `offsets[i]:offsets[i + 1]`, and `offsets` is int64 `(n + 1,)`,
    from 0 to m. Indexing by rows gives the same kind of value of those samples, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Lists:
    """A list of labels per sample: a set in which order means nothing, or answers with the best one first."""

    words: tuple[str, ...]  # the distinct labels
    codes: NDArray[np.int32]  # int32 `(m,)` positions in `words`; −1 is a label outside a declared vocabulary
    offsets: Offsets  # see the module's conventions

    @classmethod
    def of(cls, lists: Sequence[Sequence[str]]) -> Lists:
        """Return lists of words, the distinct words in the order of their first use."""
        words = list(dict.fromkeys(word for labels in lists for word in labels))
        code_of = {word: code for code, word in enumerate(words)}
        codes = np.array([code_of[word] for labels in lists for word in labels], dtype=np.int32)
        return cls(tuple(words), codes, offsets_of([len(labels) for labels in lists]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: NDArray[Any]) -> Lists:
        """Return the lists of some samples."""
        items, offsets = selected(self.offsets, rows)
        return Lists(self.words, self.codes[items], offsets)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """Yield the words of every sample; labels outside the vocabulary are left out."""
        for start, end in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True):
            yield tuple(self.words[code] for code in self.codes[start:end].tolist() if code >= 0)

    def first(self) -> NDArray[np.int32]:
        """Return the first code of every sample, −1 for one without any."""
        filled = np.diff(self.offsets) > 0
        codes = np.full(len(self), -1, dtype=np.int32)
        codes[filled] = self.codes[self.offsets[:-1][filled]]
        return codes

    def recoded(self, words: Sequence[str]) -> NDArray[np.int32]:
        """Return the codes of the labels as positions in other words; −1 for those that are not among them."""
        code_of = {word: code for code, word in enumerate(words)}
        table = np.array([*(code_of.get(word, -1) for word in self.words), -1], dtype=np.int32)
        return table[self.codes]

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """The arrays that a digest covers, words by what they are and not by their code."""
        order = np.argsort(np.array(self.words, dtype=object), kind="stable") if self.words else np.empty(0, np.int64)
        rank = np.full(len(self.words) + 1, -1, dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        text = "\n".join(self.words[code] for code in order.tolist()).encode()
        return {"codes": rank[self.codes], "offsets": self.offsets, "words": np.frombuffer(text, dtype=np.uint8)}


@dataclass(frozen=True, eq=False, slots=True)
class Segments:
    """Labelled stretches of time per sample."""

    codes: NDArray[np.int32]  # int32 `(m,)` positions in the declared labels
    start_s: NDArray[np.float64]  # float64 `(m,)` where a segment begins, in seconds
    end_s: NDArray[np.float64]  # float64 `(m,)` where it ends
    offsets: Offsets  # see the module's conventions

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: NDArray[Any]) -> Segments:
        """Return the segments of some samples."""
        items, offsets = selected(self.offsets, rows)
        return Segments(self.codes[items], self.start_s[items], self.end_s[items], offsets)

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """The arrays that a digest covers."""
        return {"codes": self.codes, "start_s": self.start_s, "end_s": self.end_s, "offsets": self.offsets}


Values = NDArray[Any] | Lists | Segments
"""The values of one target: an array with one row per sample, or several items per sample."""


def concatenated(*parts: Any) -> Any:
    """Return the values of the samples of every part in turn; all parts are of the same kind."""
    first = parts[0]
    if not isinstance(first, (Lists, Segments)):
        return np.concatenate(parts)
    offsets = offsets_of(np.concatenate([np.diff(part.offsets) for part in parts]))
    if isinstance(first, Segments):
        codes, start_s, end_s = (np.concatenate([getattr(part, name) for part in parts]) for name in _TIMES)
        return Segments(codes, start_s, end_s, offsets)
    words = tuple(dict.fromkeys(word for part in parts for word in part.words))
    return Lists(words, np.concatenate([part.recoded(words) for part in parts]), offsets)


_TIMES = ("codes", "start_s", "end_s")


def offsets_of(counts: Sequence[int] | NDArray[np.integer]) -> Offsets:
    """Return the offsets of samples that hold so many items each."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


def selected(offsets: Offsets, rows: NDArray[Any]) -> tuple[NDArray[np.int64], Offsets]:
    """Return the items of some samples, sample by sample, and the offsets among them."""
    rows = np.arange(len(offsets) - 1)[rows]
    counts = (offsets[1:] - offsets[:-1])[rows]
    chosen = offsets_of(counts)
    items = np.arange(chosen[-1]) + np.repeat(offsets[:-1][rows] - chosen[:-1], counts)
    return items, chosen
