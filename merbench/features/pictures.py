"""One vector of the pictures of a clip: brightness, edges and movement by region.

No face is detected: the centred square of the picture, as a player shows it, is taken for a face, and its regions are
bands of that square where brows, eyes, nose and mouth of a face that fills it would be. If faces are elsewhere, crop
the clips first. Nothing is learned from data.

Conventions:
    Luma is scaled to a grid of 64 × 64 values in every frame, from 0 to 1, and then, frame by frame, to mean 0 and
    deviation 1, so that a brighter or flatter picture gives the same numbers; a picture of one grey is all zeros. A
    clip without a frame counts as one such picture. Bits are the same for the same versions of NumPy and OpenCV on
    the same kind of processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from merbench.errors import MissingExtra
from merbench.features.extractor import Floats, Output, Picture, extractor

if TYPE_CHECKING:
    from merbench.corruptions.signals import Frame, Video

GRID = 64

REGIONS = {
    "all": (0, 64, 0, 64),
    "brows": (16, 27, 12, 52),
    "eyes": (24, 35, 12, 52),
    "nose": (33, 42, 12, 52),
    "mouth": (40, 55, 12, 52),
}
"""First row, row after the last, first column, column after the last of each region in the grid."""

N_CELLS = 6
"""The square is also cut into as many rows and columns of cells, which give a mean each."""

_DARK = 1.0
"""How far below the mean of its region, in deviations of the picture, a value is called dark."""

_FAINT = np.float32(1e-2)
"""How much darker than its region a value must be; less is rounding."""

_FLAT = 1e-3
"""The least deviation that is scaled to 1: a quarter of a step of 8 bits is noise."""

_BLOCK = 128
"""How many frames are measured at once: the memory of a long clip stays small."""


def picture_vector(video: Video) -> Floats:
    """Return the pictures of a clip as one float32 vector of 140 numbers.

    Of every frame, `brightness` and `contrast` (deviation) of the square, from 0 to 1. Of every region, after scaling:

    * `mean` and `contrast`; `across` and `down`: mean absolute difference of neighbours in a row and in a column;
      `movement`: mean absolute difference from the frame before.
    * `dark_share`: the share of values that are dark, such as an open mouth; `dark_row` and `dark_height`: the mean
      row of what is darker than the region, weighted by how much, and its deviation, both as fractions of the region.
    * `bend`: that mean row in the middle third of the columns, minus that in the outer thirds: positive in a smile,
      negative in raised inner brows; `tilt`: that of the right half minus that of the left.

    First come the means over the frames of all of these, region by region in the order of `REGIONS` and as listed, then
    their deviations. Of the cells, row by row, the mean over the frames follows.

    Args:
        video: its frames are consumed, one after the other.

    Raises:
        MissingExtra: OpenCV is not installed.
    """
    measured = Measures()
    for frame in video.frames:
        measured.add(Picture(frame))
    return measured.output().values


@extractor(
    "face", input="pictures", unit="utterance", dimension=140, licence="Apache-2.0", source="merbench", extra="media"
)
class FaceRegions:
    """Statistics of brightness, edges and movement in regions of the centred square; see `picture_vector`."""

    def start(self) -> Measures:
        """Return what measures one clip."""
        return Measures()


class Measures:
    """What is measured of the pictures of a clip, some of them at once."""

    def __init__(self) -> None:
        self._waiting: list[Floats] = []
        self._before: Floats | None = None
        self._by_frame: list[Floats] = []
        self._cells = np.zeros((N_CELLS, N_CELLS), np.float64)

    def add(self, picture: Picture, /) -> None:
        """Take the next picture."""
        self._waiting.append(_square(picture.frame))
        if len(self._waiting) == _BLOCK:
            self._measure()

    def _measure(self) -> None:
        scaled, levels = _scaled(np.stack(self._waiting))
        first = scaled[:1] if self._before is None else self._before
        movement = np.abs(np.diff(np.concatenate([first, scaled]), axis=0))
        regions = [_region(scaled[place], movement[place]) for place in map(_place, REGIONS)]
        self._by_frame.append(np.column_stack([levels, *regions]))
        self._cells += _cell_sums(scaled)
        self._before = scaled[-1:]
        self._waiting = []

    def output(self) -> Output:
        """Return the vector; a clip without a frame counts as one picture of a single grey."""
        if not self._by_frame and not self._waiting:
            self._waiting = [np.zeros((GRID, GRID), np.float32)]
        if self._waiting:
            self._measure()
        by_frame = np.concatenate(self._by_frame)
        cells = (self._cells / len(by_frame)).ravel()
        return Output(np.concatenate([by_frame.mean(axis=0), by_frame.std(axis=0), cells]).astype(np.float32))


def _place(region: str) -> tuple[slice, slice, slice]:
    top, bottom, left, right = REGIONS[region]
    return slice(None), slice(top, bottom), slice(left, right)


def _square(frame: Frame) -> Floats:
    """Return the luma of the centred square of a picture as it is shown, from 0 to 1 as long as it keeps its range."""
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingExtra("a feature of pictures (OpenCV)", "media") from error
    luma = frame.planes[0]
    side = min(luma.shape)
    top, left = ((length - side) // 2 for length in luma.shape)
    # The square is small enough to be turned after it is scaled, and scaling does the same in every direction.
    square = np.ascontiguousarray(luma[top : top + side, left : left + side], dtype=np.float32)
    shown = np.rot90(cv2.resize(square, (GRID, GRID), interpolation=cv2.INTER_AREA), -(frame.rotation // 90))
    if frame.full_range:
        return shown / np.float32((1 << frame.depth) - 1)
    return (shown / np.float32(1 << (frame.depth - 8)) - np.float32(16)) / np.float32(219)


def _scaled(squares: Floats) -> tuple[Floats, Floats]:
    """Return squares of mean 0 and deviation 1, and what mean and deviation they had, `(m, 2)`."""
    means = squares.mean(axis=(1, 2), keepdims=True)
    deviations = squares.std(axis=(1, 2), keepdims=True)
    is_flat = deviations < _FLAT
    scaled = np.where(is_flat, 0, (squares - means) / np.where(is_flat, 1, deviations))
    return scaled, np.column_stack([means.ravel(), deviations.ravel()])


def _region(values: Floats, movement: Floats) -> Floats:
    """Return the measures of one region in every frame, `(m, 10)`."""
    means = values.mean(axis=(1, 2))
    below = means[:, None, None] - values
    below[below < _FAINT] = 0
    n_columns = values.shape[2]
    from_side = np.minimum(np.arange(n_columns), np.arange(n_columns)[::-1])
    outer = from_side < n_columns // 3
    row = _dark_row(below)
    return np.column_stack(
        [
            means,
            values.std(axis=(1, 2)),
            np.abs(np.diff(values, axis=2)).mean(axis=(1, 2)),
            np.abs(np.diff(values, axis=1)).mean(axis=(1, 2)),
            movement.mean(axis=(1, 2)),
            (below > _DARK).mean(axis=(1, 2)),
            row,
            _dark_height(below, row),
            _dark_row(below[:, :, ~outer]) - _dark_row(below[:, :, outer]),
            _dark_row(below[:, :, n_columns // 2 :]) - _dark_row(below[:, :, : n_columns // 2]),
        ]
    )


def _rows(n_rows: int) -> Floats:
    return (np.arange(n_rows, dtype=np.float32) + np.float32(0.5)) / np.float32(n_rows)


def _dark_row(below: Floats) -> Floats:
    """Return the mean row of darkness, as a fraction of the rows; the middle where nothing is darker."""
    by_row = below.sum(axis=2)
    total = by_row.sum(axis=1)
    return np.where(total > 0, by_row @ _rows(below.shape[1]) / np.where(total > 0, total, 1), np.float32(0.5))


def _dark_height(below: Floats, row: Floats) -> Floats:
    """Return the deviation of the rows of darkness; 0 if nothing is darker."""
    by_row = below.sum(axis=2)
    total = by_row.sum(axis=1)
    squares = np.square(_rows(below.shape[1]) - row[:, None])
    heights: Floats = np.sqrt((by_row * squares).sum(axis=1) / np.where(total > 0, total, 1))
    return heights


def _cell_sums(scaled: Floats) -> NDArray[np.float64]:
    """Return the mean of each cell, summed over the frames."""
    total = scaled.sum(axis=0, dtype=np.float64)
    starts = np.arange(N_CELLS) * GRID // N_CELLS
    lengths = np.diff(starts, append=GRID)
    sums = np.add.reduceat(np.add.reduceat(total, starts, axis=0), starts, axis=1)
    return np.asarray(sums / np.outer(lengths, lengths))
