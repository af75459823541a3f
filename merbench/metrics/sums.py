"""Weighted sums and counts of per-sample values: the same bits on every machine.

Conventions:
    weights: `(b, n)` non-negative integers (counts or 0/1 masks) of any real dtype; uint8 is the smallest and fastest.
        Or `Clustered`, where whole clusters of samples share their weight, `Exchanges`, where pairs of systems exchange
        their predictions, or `LeftOut`, where one sample at a time is left out.
    values: `(n,)` float64. cells: `(n,)` integers 0 … `n_cells` − 1, or `(j, n)` where every sample is in j cells.
    returns: float64.

Matrix products do the work, and yet neither the BLAS kernel nor the number of threads can change a bit, since every
product and every partial sum is an integer that the product's float type holds exactly. Values are first cut into such
integers on a grid of powers of two, until nothing is left of any of them (error-free extraction: Rump, Ogita & Oishi,
2008, *Accurate floating-point summation*); the sums of the pieces are put together by `math.fsum`, which rounds once.
Memory stays bounded: the work goes through tiles of `ROWS` weightings and `SAMPLES` samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.metric import Array

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Clustered:
    """Weightings `(b, n)` under which the samples of a cluster share their weight.

    Sums under them go through one sum per cluster, whatever the number of samples.
    """

    counts: Array  # `(b, m)` weight of every cluster
    clusters: NDArray[np.integer]  # `(n,)` codes 0 … m − 1: the cluster of every sample

    @property
    def shape(self) -> tuple[int, int]:
        """Number of weightings and of samples."""
        return len(self.counts), len(self.clusters)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, key: tuple[slice, Any]) -> Clustered:
        """Return some of the weightings, for some of the samples: `weights[:, rows]`."""
        rows, samples = key
        return Clustered(self.counts[rows], self.clusters[samples])

    def spread(self) -> Array:
        """Return the `(b, n)` array of weights."""
        return self.counts.take(self.clusters, axis=1)

    def cell_counts(self, codings: Array, n_cells: int) -> NDArray[np.intp]:
        """Return the `(m, n_cells)` number of every cluster's samples in each cell."""
        m = self.counts.shape[1]
        counts = np.bincount((self.clusters * n_cells + codings).ravel(), minlength=m * n_cells)
        return counts.reshape(m, n_cells)

    def sums(self, column: Floats) -> Floats:
        """Return the `(m,)` sum over every cluster's samples, added in their order."""
        return np.asarray(np.bincount(self.clusters, column, self.counts.shape[1]), dtype=np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class Exchanges:
    """Weightings `(p · d, n)` of the rows of several systems, under which pairs of systems exchange their predictions.

    Row i is pair i // d under draw i % d: a row of the pair's first system counts where the draw is 0 for its unit, one
    of its second system where it is 1, and a row of any other system does not. So whatever is a sum is made once per
    system and draw, and added once per pair.
    """

    draws: NDArray[np.uint8]  # `(d, u)` 0 or 1 for every unit, which is a sample or a cluster
    units: NDArray[np.integer]  # `(n,)` the unit of every row, plus u times the number of its system
    n_systems: int
    first: NDArray[np.integer]  # `(p,)` number of the first system of every pair
    second: NDArray[np.integer]  # likewise of the second

    @property
    def shape(self) -> tuple[int, int]:
        """Number of weightings and of rows."""
        return len(self), len(self.units)

    def __len__(self) -> int:
        return len(self.first) * len(self.draws)

    def __getitem__(self, key: tuple[slice, Any]) -> Exchanges | Array:
        """Return the weightings for some of the rows, `weights[:, rows]`; an array where only some are asked for."""
        weightings, rows = key
        units = self.units[rows]
        if weightings == slice(None):
            return replace(self, units=units)
        chosen = np.arange(len(self))[weightings, None]
        pair, draw = chosen // len(self.draws), chosen % len(self.draws)
        system, unit = np.divmod(units, self.draws.shape[1])
        moved = self.draws[draw, unit]
        return np.asarray(np.where(moved, system == self.second[pair], system == self.first[pair]).astype(np.uint8))

    def both_sides(self) -> Exchanges:
        """Return the weightings of both sides of every pair: of all pairs as they are, then of all pairs reversed."""
        first, second = np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])
        return replace(self, first=first, second=second)

    def cell_counts(self, codings: Array, n_cells: int) -> Floats:
        """Return the same as `cell_counts`, with the values of a cell next to each other in memory."""
        n_units = self.draws.shape[1]
        system, unit = np.divmod(self.units, n_units)
        places = (codings * self.n_systems + system).ravel()
        units, n_places = np.tile(unit, len(codings)), n_cells * self.n_systems
        if n_places * n_units > MOST_EMPTY * len(places):
            moved = _sorted_counts(self.draws, units, places, n_places)
        else:
            table = np.bincount(places * n_units + units, minlength=n_places * n_units)
            # Whole numbers up to the number of rows, which float32 holds and multiplies twice as fast.
            kind = np.float32 if len(places) < 2**24 else np.float64
            moved = (table.reshape(-1, n_units).astype(kind) @ self.draws.T.astype(kind)).astype(np.float64)
        shape = n_cells, self.n_systems, -1
        kept = np.bincount(places, minlength=n_places)[:, None] - moved
        return np.asarray(self._paired(kept.reshape(shape), moved.reshape(shape)).T)

    def sums(self, column: Floats) -> Floats:
        """Return the `(p · d,)` sums, within rounding and the same bits on every machine."""
        n_units = self.draws.shape[1]
        of_units = np.bincount(self.units, column, self.n_systems * n_units).astype(np.float64, copy=False)
        grid = _grid(of_units, 53 - math.frexp(n_units)[1])
        pieces, complete = _cut(of_units, grid)
        if not (complete and len(grid)):
            rows = of_units.reshape(self.n_systems, 1, n_units)
            kept, moved = (np.where(self.draws == side, rows, 0.0).sum(axis=2) for side in (0, 1))
            return np.asarray(self._paired(kept[None], moved[None])[0])
        kept, moved = np.zeros((2, 1, self.n_systems, len(self.draws)))
        for unit, piece in reversed(list(zip(grid, pieces, strict=False))):
            table = piece.reshape(self.n_systems, n_units)
            part = table @ self.draws.T.astype(np.float64)
            moved += part * unit
            kept += (table.sum(axis=1)[:, None] - part) * unit
        return np.asarray(self._paired(kept, moved)[0])

    def _paired(self, kept: Floats, moved: Floats) -> Floats:
        """Return `(k, p · d)` sums of pairs from the `(k, m, d)` sums of systems."""
        return (kept[:, self.first] + moved[:, self.second]).reshape(len(kept), -1)


@dataclass(frozen=True, eq=False, slots=True)
class LeftOut:
    """Weightings `(b, n)` under each of which one sample is left out and every other one counts once.

    Sums under them are the sum of all samples without the value of that one, whatever the number of weightings.
    """

    rows: NDArray[np.integer]  # `(b,)` the sample that is left out; −1 for one that is not among the n
    n: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of weightings and of samples."""
        return len(self.rows), self.n

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[slice, Any]) -> LeftOut:
        """Return some of the weightings, for some of the samples: `weights[:, rows]`."""
        weightings, samples = key
        chosen = np.arange(self.n)[samples]
        places = np.full(self.n + 1, -1)  # the last one is that of −1
        places[chosen] = np.arange(len(chosen))
        return LeftOut(places[self.rows[weightings]], len(chosen))

    def spread(self) -> Array:
        """Return the `(b, n)` array of weights."""
        weights = np.ones(self.shape, dtype=np.uint8)
        present = self.rows >= 0
        weights[present, self.rows[present]] = 0
        return weights

    def cell_counts(self, codings: Array, n_cells: int) -> Floats:
        """Return the same as `cell_counts`."""
        total = np.bincount(codings.ravel(), minlength=n_cells).astype(np.float64)
        counts, present = np.repeat(total[None], len(self), axis=0), self.rows >= 0
        for coding in codings:
            counts[present, coding[self.rows[present]]] -= 1
        return counts

    def sums(self, column: Floats) -> Floats:
        """Return the `(b,)` sums, to the last bit or next to it: what rounding took from the total is added again."""
        everything = np.ones((1, self.n + 1), dtype=np.uint8)
        total = float(weighted_sum(everything[:, 1:], column)[0])
        with np.errstate(invalid="ignore"):
            lost = float(weighted_sum(everything, np.append(column, -total))[0])
            own = np.append(column, 0.0)[self.rows]
            rest = total - own
            # What the subtraction loses (Knuth, 1969, theorem 4.2.2 B).
            taken = rest - total
            lost = lost + ((total - (rest - taken)) - (own + taken))
            return np.asarray(rest + lost)


Weights = Array | Clustered | Exchanges | LeftOut


def spread(weights: Weights) -> Array:
    """Return weightings as a `(b, n)` array."""
    if isinstance(weights, Exchanges):
        weights = weights[0 : len(weights), :]
    assert not isinstance(weights, Exchanges)
    return weights.spread() if isinstance(weights, (Clustered, LeftOut)) else weights


ROWS, SAMPLES = 64, 1 << 15
"""A tile of weights in float64 takes at most 16 MB: it stays in the cache, and matrix products run at full speed."""

MOST_PIECES = 12
"""Values that need more pieces than this (they span some 400 binary digits) are summed one by one."""

FEW_ROWS, MANY_CELLS = 8, 128
"""With fewer rows or more cells than this, counting row by row is faster than a matrix product."""

MOST_EMPTY = 24
"""Places in the table per row, beyond which sorting the rows is faster than a product with the table, and smaller."""

LARGEST_TABLE = 1 << 24
"""Clusters times cells beyond which counting row by row saves memory: 128 MB of them."""


def weighted_sum(weights: Weights, values: Floats) -> Floats:
    """Return the `(b,)` sums of weight times value, each correctly rounded.

    The sum of a row equals `math.fsum` over every value repeated as often as it counts, bit for bit; so it does not
    depend on the order of samples. A sum beyond the range of float64 is infinite or NaN, as are sums of such values.
    Under `Clustered` weights the samples of a cluster are added in their order first, and under `Exchanges` those of a
    system: the same bits on every machine, and within rounding of the sum, which is what resampling needs.
    """
    return weighted_sums(weights, values)[0]


def weighted_sums(weights: Weights, *columns: Floats) -> list[Floats]:
    """Return the `(b,)` sums of each of several columns, as `weighted_sum` does, from one pass over the weights."""
    if isinstance(weights, (Exchanges, LeftOut)):
        return [weights.sums(column) for column in columns]
    if isinstance(weights, Clustered):
        return weighted_sums(weights.counts, *(weights.sums(column) for column in columns))
    b, n = weights.shape
    # Every |sum of weight times piece| stays below heaviest * n * 2**bits <= 2**53.
    bits = 53 - math.frexp(_heaviest(weights) * n)[1]
    grids = [_grid(column, bits) for column in columns]
    on_grid, depths = [len(grid) > 0 for grid in grids], [0] * len(grids)
    sums = np.zeros((b, len(columns) * MOST_PIECES))
    for samples in _slices(n, SAMPLES):
        pieces: list[Floats] = []
        places: list[int] = []
        for index, (column, grid) in enumerate(zip(columns, grids, strict=True)):
            cut, complete = _cut(column[samples], grid)
            on_grid[index] &= complete
            depths[index] = max(depths[index], len(cut))
            pieces += cut
            places += range(index * MOST_PIECES, index * MOST_PIECES + len(cut))
        if pieces:
            if b == 1:  # no copy of the pieces pays for itself
                row = weights[0, samples].astype(np.float64, copy=False)
                sums[0, places] += [row @ piece for piece in pieces]
                continue
            stacked = np.stack(pieces)
            for rows in _slices(b, ROWS):
                sums[rows, places] += weights[rows, samples].astype(np.float64, copy=False) @ stacked.T
    return [
        _joined(sums[:, index * MOST_PIECES :][:, :depth], grid[:depth]) if fits else _one_by_one(column, weights)
        for index, (column, grid, depth, fits) in enumerate(zip(columns, grids, depths, on_grid, strict=True))
    ]


def weighted_mean(weights: Weights, values: Floats) -> Floats:
    """Return the `(b,)` weighted means; NaN for a row whose total weight is 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(weighted_sum(weights, values) / total_weight(weights))


def total_weight(weights: Weights) -> Floats:
    """Return the `(b,)` total weights, exact: every partial sum is an integer that float64 holds."""
    if isinstance(weights, LeftOut):
        return np.where(weights.rows >= 0, weights.n - 1.0, weights.n)
    if isinstance(weights, Exchanges):
        return weights.sums(np.ones(len(weights.units)))
    if isinstance(weights, Clustered):
        sizes = np.bincount(weights.clusters, minlength=weights.counts.shape[1])
        return np.asarray(weights.counts.astype(np.float64) @ sizes.astype(np.float64))
    wide = np.float64 if weights.dtype.kind == "f" else np.int64
    return np.asarray(weights.sum(axis=1, dtype=wide), dtype=np.float64)


def cell_counts(weights: Weights, cells: Array, n_cells: int) -> Floats:
    """Return the `(b, n_cells)` total weight of the samples in each cell, exact."""
    codings = np.atleast_2d(cells)
    if isinstance(weights, (Exchanges, LeftOut)):
        return weights.cell_counts(codings, n_cells)
    if isinstance(weights, Clustered) and weights.counts.shape[1] * n_cells <= LARGEST_TABLE:
        of_clusters = weights.cell_counts(codings, n_cells).astype(np.float64)
        # Products of a few rows at a time: with many, a BLAS starts threads that take longer than they save.
        tiles = [weights.counts[rows].astype(np.float64) @ of_clusters for rows in _slices(len(weights), ROWS)]
        return np.concatenate(tiles)
    counts = np.zeros((len(weights), n_cells))
    present = np.flatnonzero(np.bincount(codings.ravel(), minlength=n_cells))
    if isinstance(weights, Clustered) or len(weights) < FEW_ROWS or len(present) > MANY_CELLS:
        for row in range(len(weights)):
            weighting = spread(weights[row : row + 1, :])[0]
            for coding in codings:
                counts[row] += np.bincount(coding, weights=weighting, minlength=n_cells)
        return counts
    column = np.zeros(n_cells, dtype=np.intp)
    column[present] = np.arange(len(present))
    # Small counts are exact in float32, which is twice as fast.
    small = np.can_cast(weights.dtype, np.float32) and _heaviest(weights) * SAMPLES < 2**24
    one_hot = np.eye(len(present), dtype=np.float32 if small else np.float64)
    for samples in _slices(codings.shape[1], SAMPLES):
        indicators = sum(one_hot.take(column[coding[samples]], axis=0) for coding in codings)
        for rows in _slices(len(weights), ROWS):
            counts[rows, present] += weights[rows, samples].astype(one_hot.dtype, copy=False) @ indicators
    return counts


def _sorted_counts(draws: NDArray[np.uint8], units: Array, places: Array, n_places: int) -> Floats:
    """Return the `(n_places, d)` number of rows in every place whose unit has a 1 under a draw, exact.

    Time and memory grow with the number of rows, `(n,)` units and places each, and not with units times places. Several
    draws are added in one word: a part of it holds the number of rows in a place, so nothing is carried to the next.
    """
    order = np.argsort(places, kind="stable")
    occurring, starts, sizes = np.unique(places[order], return_index=True, return_counts=True)
    used, unit = np.unique(units[order], return_inverse=True)
    part = np.uint16 if sizes.max(initial=0) < 2**16 else np.uint32
    n_parts = np.dtype(np.uint64).itemsize // np.dtype(part).itemsize
    sums = np.zeros((n_places, len(draws)))
    # So many that the words of all rows stay in the cache.
    for rows in _slices(len(draws), n_parts * max(1, SAMPLES // max(1, len(unit)))):
        block = draws[rows].take(used, axis=1)
        parts = np.zeros((len(used), -(-len(block) // n_parts) * n_parts), dtype=part)
        parts[:, : len(block)] = block.T
        words = np.ascontiguousarray(parts.view(np.uint64).T)
        added = np.ascontiguousarray(np.add.reduceat(words.take(unit, axis=1), starts, axis=1).T)
        sums[occurring, rows] = added.view(part)[:, : len(block)]
    return sums


def _heaviest(weights: Array) -> float:
    return float(weights.max(initial=1))


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))


def _grid(values: Floats, bits: int) -> Floats:
    """Return descending units such that a piece is at most 2**bits of them; none where no grid fits the values."""
    largest = largest_magnitude(values)
    exponent = math.frexp(largest)[1]
    # Beyond these limits (or at infinity or NaN), a unit or a multiple of it could leave the range of float64.
    if bits < 24 or abs(exponent) > 400 or not math.isfinite(largest):
        return np.empty(0)
    return np.asarray(np.ldexp(1.0, exponent - bits * np.arange(1, MOST_PIECES + 1)))


def largest_magnitude(values: Floats) -> float:
    """Return the largest absolute value, 0 of none; NaN if one is not a number."""
    return max(float(values.max(initial=0)), -float(values.min(initial=0)))


def _cut(values: Floats, grid: Floats) -> tuple[list[Floats], bool]:
    """Return integers whose multiples of the grid's units add up to the values, and whether nothing is left over."""
    pieces: list[Floats] = []
    rest = values
    for unit in grid:
        if not rest.any():
            break
        piece = rest * (1 / unit)  # a power of two: nothing is rounded
        np.rint(piece, out=piece)
        pieces.append(piece)
        rest = rest - piece * unit
    return pieces, not rest.any()


def _joined(sums: Floats, grid: Floats) -> Floats:
    """Return the sum over the pieces of every row, rounded once as `math.fsum` does.

    Errors of the sum are summed themselves (Knuth's two-sum); where those sums are exact, one rounding is left.
    """
    parts = sums * grid
    if len(parts) < FEW_ROWS:
        return np.array([math.fsum(row) for row in parts.tolist()])
    total, rest, is_lost = np.zeros(len(parts)), np.zeros(len(parts)), np.zeros(len(parts), dtype=np.bool_)
    for column in parts.T:
        total, error = _two_sum(total, column)
        rest, lost = _two_sum(rest, error)
        is_lost |= lost != 0
    result: Floats = total + rest
    for row in np.flatnonzero(is_lost):
        result[row] = math.fsum(parts[row].tolist())
    return result


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the rounded sums and what rounding took from them (Knuth, 1969)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _one_by_one(values: Floats, weights: Array) -> Floats:
    return np.array([_fsum(np.repeat(values, weighting.astype(np.intp))) for weighting in weights])


def _fsum(values: Floats) -> float:
    try:
        return math.fsum(values.tolist())
    except (OverflowError, ValueError):
        with np.errstate(over="ignore", invalid="ignore"):
            return float(values.sum())
