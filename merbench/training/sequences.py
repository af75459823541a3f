"""Where the rows of a feature are that belong to each sample, and which dialogue a sample belongs to.

Conventions:
    As in `samples.py`: n samples, float32 values `(m, d)` that stay where they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]

_ROWS_AT_ONCE = 1 << 12
"""How many rows are read at once; bounds memory."""


@dataclass(frozen=True, eq=False, slots=True)
class Sequences:
    """The rows of a feature that belong to each of some samples: frames, tokens, or the one row of a vector.

    Attributes:
        values: `(m, d)` float32, or uint8 of pictures; rows of other samples may be among them.
        starts: `(n,)` the first row of every sample.
        lengths: `(n,)` how many rows every sample has; 0 where it lacks the feature.
        times: `(m,)` float64 seconds from the beginning of each sample's clip, where they are known.
    """

    values: Vectors
    starts: Rows
    lengths: Rows
    times: NDArray[np.float64] | None = None

    @classmethod
    def of_vectors(cls, vectors: Vectors) -> Sequences:
        """Return the `(n, d)` vectors of n samples, in their order."""
        n = len(vectors)
        return cls(vectors, np.arange(n, dtype=np.int64), np.ones(n, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def width(self) -> int:
        """Numbers per row."""
        return int(self.values.shape[1])

    @property
    def present(self) -> NDArray[np.bool_]:
        """`(n,)` which samples have the feature."""
        return np.asarray(self.lengths > 0)

    @property
    def n_values(self) -> int:
        """Number of values of these samples."""
        return int(self.lengths.sum()) * self.width

    def select(self, rows: Rows) -> Sequences:
        """Return some of the samples, -1 for one that lacks the feature; no values are copied."""
        starts, lengths = self.starts[rows], self.lengths[rows]
        if (absent := rows < 0).any():
            starts, lengths = np.where(absent, 0, starts), np.where(absent, 0, lengths)
        return replace(self, starts=starts, lengths=lengths)

    def joined(self, other: Sequences) -> Sequences:
        """Return the samples of both, of the same width; values are copied only where they are stored apart.

        Times are kept where the values are the same.
        """
        lengths = np.concatenate([self.lengths, other.lengths])
        if self.values is other.values:
            return replace(self, starts=np.concatenate([self.starts, other.starts]), lengths=lengths)
        parts = [each.of(row) for each in (self, other) for row in range(len(each))]
        starts = np.cumsum(lengths) - lengths
        return Sequences(np.concatenate(parts) if parts else self.values, starts, lengths)

    def of(self, row: int) -> Vectors:
        """Return the `(length, d)` rows of one sample; no values are copied."""
        return self.values[self.rows_of(row)]

    def rows_of(self, row: int) -> slice:
        """Return where the rows of one sample are."""
        start = int(self.starts[row])
        return slice(start, start + int(self.lengths[row]))

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and population deviation, `(d,)` each, over the rows of all samples; 1 where rows are equal."""
        zeros, count = np.zeros(self.width), max(1, int(self.lengths.sum()))
        mean = sum((block.sum(0, dtype=np.float64) for block in self._blocks()), zeros) / count
        squares = sum((np.square(block - mean).sum(0) for block in self._blocks()), zeros) / count
        deviation = np.sqrt(squares)
        # Rounding leaves a deviation of equal rows: below a millionth of the mean it counts as none.
        return mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)

    def _blocks(self) -> Iterator[Vectors]:
        """Yield the rows of all samples, some at a time."""
        if (self.lengths <= 1).all():
            starts = self.starts[self.present]
            for at in range(0, len(starts), _ROWS_AT_ONCE):
                yield self.values[starts[at : at + _ROWS_AT_ONCE]]
            return
        for row in range(len(self)):
            for at in range(0, int(self.lengths[row]), _ROWS_AT_ONCE):
                yield self.of(row)[at : at + _ROWS_AT_ONCE]

    def vectors(self) -> Vectors:
        """Return one `(n, d)` vector per sample: its only row, the mean of its rows, or zeros where it has none."""
        if (self.lengths == 1).all():
            if len(self.values) == len(self) and (np.diff(self.starts) == 1).all():
                return self.values.astype(np.float32, copy=False)
            return self.values[self.starts].astype(np.float32, copy=False)
        vectors = np.zeros((len(self), self.width), dtype=np.float32)
        single = self.lengths == 1
        vectors[single] = self.values[self.starts[single]]
        for row in np.flatnonzero(self.lengths > 1).tolist():
            parts = [
                self.of(row)[at : at + _ROWS_AT_ONCE].sum(axis=0, dtype=np.float64)
                for at in range(0, int(self.lengths[row]), _ROWS_AT_ONCE)
            ]
            vectors[row] = np.sum(parts, axis=0) / self.lengths[row]
        return vectors


@dataclass(frozen=True, eq=False, slots=True)
class Dialogues:
    """Which dialogue each of n samples belongs to, in which order, and who speaks.

    Attributes:
        dialogue: `(n,)` codes 0 … k - 1.
        position: `(n,)` place in the dialogue, 0, 1, 2, … without gaps.
        speaker: `(n,)` code of the speaker within the dialogue, by first appearance; all 0 where it is not known.
    """

    dialogue: Rows
    position: Rows
    speaker: Rows

    def __len__(self) -> int:
        return int(self.dialogue.max(initial=-1)) + 1

    @classmethod
    def of(cls, dialogue: Rows, position: NDArray[np.float64 | np.int64], speaker: Rows) -> Dialogues:
        """Return dialogues of any codes, and positions in any steps, numbered from 0; speakers within each dialogue."""
        dialogue = np.unique(dialogue, return_inverse=True)[1].reshape(-1).astype(np.int64)
        order = np.lexsort((position, dialogue))
        places, speakers = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
        for rows in _runs(order, dialogue):
            places[rows] = np.arange(len(rows))
            _, first, own = np.unique(speaker[rows], return_index=True, return_inverse=True)
            speakers[rows] = np.argsort(np.argsort(first))[own]
        return cls(dialogue, places, speakers)

    def select(self, rows: Rows) -> Dialogues:
        """Return some of the samples; dialogues, positions and speakers are numbered again."""
        return Dialogues.of(self.dialogue[rows], self.position[rows], self.speaker[rows])

    def units(self) -> list[Rows]:
        """Return, for every dialogue, its samples in their order."""
        order = np.lexsort((self.position, self.dialogue))
        return _runs(order, self.dialogue)


@dataclass(frozen=True, slots=True)
class Windows:
    """Parts of long dialogues, such as the frames of a video, that a network is given one by one.

    Attributes:
        size: samples of a part; the last one of a dialogue may have fewer.
        overlap: how many of them a part shares with the one before it, where it is learned from. Where samples are
            answered, parts do not overlap.
        whole: whether dialogues are answered as a whole, and cut only where they are learned from.

    Raises:
        UsageError: parts overlap entirely.
    """

    size: int
    overlap: int = 0
    whole: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.size:
            raise UsageError(
                f"windows of {self.size:,} samples cannot overlap by {self.overlap:,}; the overlap is less"
            )

    def cut(self, rows: Rows, *, learned: bool) -> list[Rows]:
        """Return the parts of a dialogue's samples, in their order; together they have all samples."""
        if self.whole and not learned:
            return [rows]
        shared = self.overlap if learned else 0
        starts = range(0, max(1, len(rows) - shared), self.size - shared)
        return [rows[start : start + self.size] for start in starts]


def _runs(order: Rows, dialogue: Rows) -> list[Rows]:
    """Return samples that are in the order of their dialogues, split where the next dialogue begins."""
    return np.split(order, np.flatnonzero(np.diff(dialogue[order])) + 1) if len(order) else []
