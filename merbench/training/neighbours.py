"""The means of the nearest samples: k-nearest-neighbours imputation of numbers that samples lack.

Conventions:
    n samples whose numbers are taken, q samples that lack some, D numbers of each. Values are float64; a number that is
    lacking is 0 there, and False in a mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

_PATTERNS = 64
"""Up to so many pairs of masks, each has a product of its own, over only the numbers that both have."""

_DISTANCES = 1 << 22
"""How many distances are computed at once; bounds memory."""


_BLOCK = 16
"""How many values there are in a block, of which one is compared with those of other blocks."""


def patterns(has: Mask) -> list[Rows]:
    """Return the rows of a mask `(n, D)` that are alike, for every mask that occurs."""
    packed = np.ascontiguousarray(np.packbits(has, axis=1))
    if not packed.size:
        return [np.arange(len(has))] if len(has) else []
    if (packed == packed[0]).all():
        return [np.arange(len(has))]
    _, of_row = np.unique(packed.view(f"V{packed.shape[1]}").reshape(-1), return_inverse=True)
    order = np.argsort(of_row, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(of_row[order])) + 1)


def smallest(values: Numbers, k: int) -> Rows:
    """Return the columns of the `k` smallest of `(q, n)` values, `(q, k)`, in their order; of equal ones, the first.

    Each row is divided into blocks: the k-th smallest of their least values bounds the k-th smallest of all, so that
    one pass finds the few that are sorted.
    """
    n_rows, n = values.shape
    n_blocks = n // _BLOCK
    if n_blocks < 2 * k:
        return np.argsort(values, axis=1, kind="stable")[:, :k]
    least = values[:, : _BLOCK * n_blocks].reshape(n_rows, _BLOCK, n_blocks).min(axis=1)
    bounds = np.partition(least, k - 1, axis=1)[:, k - 1, None]
    places = np.flatnonzero(values <= bounds)
    rows = places // n
    order = np.lexsort((values.reshape(-1)[places], rows))
    starts = np.searchsorted(rows, np.arange(n_rows))
    return np.asarray((places % n)[order][starts[:, None] + np.arange(k)])


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Samples whose numbers are given to others that lack them (Troyanskaya et al., 2001; here unweighted).

    The squared distance of two samples is that over the numbers that both have, divided by the share of these among all
    numbers. Samples that share none are no neighbours.

    Attributes:
        values: `(n, D)`.
        has: `(n, D)`.
        k: how many of the nearest samples that have a number are averaged; all of them where there are fewer.
    """

    values: Numbers
    has: Mask
    k: int
    _kept: dict[tuple[int, bytes], Numbers] = field(default_factory=dict, repr=False)
    _given: dict[bytes, list[tuple[Rows, Rows, Neighbours]]] = field(default_factory=dict, repr=False)

    def filled(self, values: Numbers, has: Mask, own: Rows | None = None) -> Numbers:
        """Return `(q, D)` values with each lacking one as the mean of the nearest samples that have it.

        What no neighbour has is the mean of all samples that have it, 0 where there are none.

        Args:
            values: `(q, D)`.
            has: `(q, D)`.
            own: `(q,)` which of the n samples each one is, since a sample is not its own neighbour; -1: none of them.
        """
        filled, at_once = values.copy(), max(1, _DISTANCES // max(1, len(self.values)))
        rows = np.flatnonzero(~has.all(axis=1))
        groups = patterns(has[rows])
        if len(groups) * len(self._patterns) > _PATTERNS:
            groups = [np.arange(len(rows))]
        for group in groups:
            columns = np.flatnonzero(~has[rows[group]].all(axis=0))
            given = self._givers(columns)
            for start in range(0, len(group), at_once):
                part = rows[group[start : start + at_once]]
                squared = self.squared_distances(filled[part], has[part])
                if own is not None:
                    known = np.flatnonzero(own[part] >= 0)
                    squared[known, own[part][known]] = np.inf
                for own_columns, givers, neighbours in given:
                    where = np.ix_(part, own_columns)
                    lacking = ~has[where]
                    to_givers = squared if len(givers) == len(self.values) else np.take(squared, givers, axis=1)
                    means = neighbours.means(to_givers, lacking)
                    filled[where] = means if lacking.all() else np.where(lacking, means, filled[where])
        return filled

    def _givers(self, columns: Rows) -> list[tuple[Rows, Rows, Neighbours]]:
        """Return columns that the same samples have, these samples, and their numbers; all at once of scattered ones.

        What was returned is kept, since the samples of an epoch are filled a batch at a time.
        """
        key, every = columns.tobytes(), np.arange(len(self.values))
        if key in self._given:
            return self._given[key]
        givers = list[tuple[Rows, Rows, Neighbours]]()
        if len(self._patterns) > _PATTERNS:
            values, has = np.take(self.values, columns, axis=1), np.take(self.has, columns, axis=1)
            return [(columns, every, Neighbours(values, has, self.k))]
        of_patterns = self.has[np.ix_([rows[0] for rows in self._patterns], columns)]
        for places in patterns(of_patterns.T):
            own = columns[places]
            rows = np.flatnonzero(self.has[:, own[0]])
            if len(rows):
                values = np.take(self.values if len(rows) == len(every) else self.values[rows], own, axis=1)
                givers.append((own, rows, Neighbours(values, np.ones(values.shape, dtype=np.bool_), self.k)))
        if len(self._given) >= _PATTERNS:
            self._given.clear()
        self._given[key] = givers
        return givers

    @cached_property
    def _patterns(self) -> list[Rows]:
        return patterns(self.has)

    @cached_property
    def _mean(self) -> Numbers:
        return np.asarray(np.where(self.has, self.values, 0).sum(axis=0) / self.has.sum(axis=0).clip(min=1))

    def squared_distances(self, values: Numbers, has: Mask) -> Numbers:
        """Return `(q, n)` squared distances up to rounding; infinity where two samples share no number."""
        if len(self._patterns) > _PATTERNS or not (has == has[:1]).all():
            return self._distances_by_number(values, has)
        squared = np.empty((len(values), len(self.values)))
        for number, rows in enumerate(self._patterns):
            shared = has[0] & self.has[rows[0]]
            own = np.compress(shared, values, axis=1)
            factor = np.column_stack([own, np.square(own).sum(axis=1), np.ones(len(own))])
            product = factor @ self._factor(number, rows, shared) if shared.any() else np.inf
            if len(rows) == len(self.values) and shared.any():
                return np.asarray(product)
            squared[:, rows] = product
        return squared

    def _factor(self, number: int, rows: Rows, shared: Mask) -> Numbers:
        """Return `(D' + 2, m)` what products with are the distances to samples that have the same numbers."""
        key = number, np.packbits(shared).tobytes()
        if key not in self._kept:
            if len(self._kept) >= _PATTERNS:
                self._kept.clear()
            own = np.compress(shared, self.values[rows], axis=1)
            squares = np.square(own).sum(axis=1)
            share = shared.mean()
            self._kept[key] = np.ascontiguousarray(np.column_stack([-2 * own, np.ones(len(own)), squares]).T / share)
        return self._kept[key]

    def _distances_by_number(self, values: Numbers, has: Mask) -> Numbers:
        has_number = has.astype(np.float64)
        squared = np.concatenate([np.square(values), has_number, values], axis=1) @ self._factor_by_number
        shared = has.astype(np.float32) @ self._has_transposed
        with np.errstate(divide="ignore", invalid="ignore"):
            squared *= has.shape[1] / shared.astype(np.float64)
        squared[shared == 0] = np.inf
        return squared

    @cached_property
    def _factor_by_number(self) -> Numbers:
        return np.concatenate([self.has.T, np.square(self.values).T, -2 * self.values.T])

    @cached_property
    def _has_transposed(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.has.T, dtype=np.float32)

    def means(self, squared: Numbers, wanted: Mask) -> Numbers:
        """Return `(q, D)` the means of the nearest samples that have a number, where wanted.

        Args:
            squared: `(q, n)` squared distances; infinity to what is no neighbour.
            wanted: `(q, D)`; other values are arbitrary.
        """
        n, has_all = len(self.values), bool(self.has.all())
        pending, n_near = np.arange(len(squared)), self.k if has_all else 4 * self.k
        means = np.empty(wanted.shape)
        while len(pending):
            n_near = min(n_near, n)
            distances = squared if len(pending) == len(squared) else squared[pending]
            nearest = smallest(distances, n_near)
            is_near = np.isfinite(np.take_along_axis(distances, nearest, axis=1))
            if has_all and is_near.all():
                return np.asarray(sum(self.values[nearest[:, place]] for place in range(n_near)) / n_near)
            lacking = wanted[pending]
            sums, counts = np.zeros(lacking.shape), np.zeros(lacking.shape, np.int32)
            for place in range(min(self.k, n_near)):  # none has more than k numbers yet; what is lacking is 0
                near, takes = nearest[:, place], is_near[:, place, None]
                sums += np.where(takes, self.values[near], 0)
                counts += self.has[near] & takes
            left = np.flatnonzero(lacking & (counts < self.k))
            flat_sums, flat_counts = sums.reshape(-1), counts.reshape(-1)
            for place in range(self.k, n_near):
                rows, columns = np.divmod(left, lacking.shape[1])
                near = nearest[rows, place]
                takes = self.has[near, columns] & is_near[rows, place]
                flat_sums[left[takes]] += self.values[near[takes], columns[takes]]
                flat_counts[left] += takes
                left = left[flat_counts[left] < self.k]
            means[pending] = np.where(counts > 0, sums / counts.clip(min=1), self._mean)
            if n_near == n:
                break
            pending, n_near = pending[(lacking & (counts < self.k)).any(axis=1)], 4 * n_near
        return means
