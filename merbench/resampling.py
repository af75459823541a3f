"""Random weightings of samples, by the name of their stream.

Conventions:
    n samples are in the order of sorted sample ids. Weights come as an iterator over blocks `(b, n)` of uint8
    whose rows are counts or 0/1 masks; b depends only on the number of units, and row r is the same in whatever block
    it comes. Where clusters are resampled the units are clusters and a block is `Clustered`; else they are samples.
    clusters: `(n,)` integer codes 0 … m − 1 in the order of sorted cluster names (`cluster_codes`), or None if the
    samples are resampled one by one.
    key: the name of a random stream, such as `"mer-multi@1.0|test|0"`. All systems that share a key share the weights,
    so their differences are paired.

Everything comes from raw PCG64 bits and exactly rounded arithmetic: the same bytes on every machine, with every version
of NumPy, whatever the threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from merbench.metrics.sums import Clustered

Codes = NDArray[np.integer]
Values = NDArray[np.float64]
Counts = NDArray[np.uint8]
Weights = Counts | Clustered

DECIMALS = 10
"""Resampled values are rounded to this many decimals before they are compared, sorted or written."""

MOST_LEFT_OUT = 0.2
"""The largest share of resamples without a value that an interval may leave out; the rest would be biased."""

JACKKNIFE_GROUPS = 200
"""The jackknife leaves out at most this many groups, one at a time."""

_BLOCK = 1 << 20
"""Weights in a block (about 16 MB with a float32 copy and the bits they come from); a longer row is its own block."""

_PART = 1 << 16
"""Weights made at once: their bits and indices stay in the cache."""

# How many of 65,536 equally likely words mean 0, 1, … 8: Poisson(1) rounded so that mean and variance are exactly 1.
_POISSON = np.repeat(np.arange(9, dtype=np.uint8), (24109, 24109, 12056, 4018, 1005, 200, 33, 5, 1))

_ONE = np.uint8(1)


def poisson_weights(key: str, n: int, n_resamples: int, *, clusters: Codes | None = None) -> Iterator[Weights]:
    """Yield blocks of bootstrap counts: every sample, or every cluster, counts Poisson(1) times in every resample.

    Hanley & MacGibbon, 2006, *Creating non-parametric bootstrap samples using Poisson frequencies*. With `clusters`,
    all samples of a cluster share its count, which keeps what they have in common (Field & Welsh, 2007).
    """
    source, stream = _units(clusters, n), _stream("poisson", key)
    for rows in _blocks(source, n_resamples):
        counts = np.empty((rows, source), dtype=np.uint8)
        for part in _parts(rows, source):
            words = _words(stream, len(counts[part]), -(-source // 4)).view("<u2")
            # Every index is in range, so "wrap" changes nothing but to save the check.
            _POISSON.take(words[:, :source], mode="wrap", out=counts[part])
        yield _shared(counts, clusters)


def n_swaps(n_units: int, n_permutations: int) -> int:
    """Return how many permutations `swaps` yields: `n_permutations`, or if there are no more all but the identity."""
    return 2**n_units - 1 if n_units < 63 and 2**n_units <= n_permutations else n_permutations


def swaps(key: str, n: int, n_permutations: int, *, clusters: Codes | None = None) -> Iterator[Weights]:
    """Yield blocks of fair 0/1 draws: 1 where two systems exchange their predictions for a sample (or cluster).

    Where there are no more permutations than `n_permutations`, each is yielded once, except the identity, which
    `permutation_p` counts: the test is exact.
    """
    source, stream = _units(clusters, n), _stream("swaps", key)
    total, start = n_swaps(source, n_permutations), 1
    for rows in _blocks(source, total):
        if total < n_permutations:
            octets = np.arange(start, start + rows, dtype="<u8")[:, None].view(np.uint8)
            start += rows
        else:
            octets = _words(stream, rows, -(-source // 64)).view(np.uint8)
        yield _shared(np.unpackbits(octets, axis=1, count=source, bitorder="little"), clusters)


def uniforms(key: str, rows: int, n: int) -> Values:
    """Return `(rows, n)` numbers between 0 and 1, both left out."""
    return ((_words(_stream("uniforms", key), rows, n) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def swapped_pair(exchange: Weights) -> tuple[Weights, Weights]:
    """Return two weightings `(b, 2n)` of two systems' concatenated predictions, one for each system after the exchange.

    `metric(concat(reference, reference), concat(a, b), weights)` under the first is the score of a system that takes
    a's prediction where `exchange` is 0 and b's where it is 1; under the second, the score of the other one.
    """
    if not isinstance(exchange, Clustered):
        return _beside(exchange ^ _ONE, exchange), _beside(exchange, exchange ^ _ONE)
    moved, kept = exchange.counts, exchange.counts ^ _ONE
    clusters = np.concatenate([exchange.clusters, exchange.clusters + moved.shape[1]])
    return Clustered(_beside(kept, moved), clusters), Clustered(_beside(moved, kept), clusters)


def _beside(left: Counts, right: Counts) -> Counts:
    return np.concatenate([left, right], axis=1)


def group_masks(groups: Codes, n_groups: int) -> Iterator[Counts]:
    """Yield blocks of masks, one row a group: 1 for its samples, 0 for the others; a code of −1 is in no group."""
    for numbers in _numbered_blocks(len(groups), n_groups):
        yield (groups == numbers).view(np.uint8)


def jackknife_weights(n: int, *, clusters: Codes | None = None, with_plain: bool = False) -> Iterator[Weights]:
    """Yield blocks of masks that leave out one group of samples (or of whole clusters) each, at most 200 in all.

    Sample (or cluster) i is in group i mod 200, so that neighbours are not left out together. `with_plain`, the first
    row leaves nothing out.
    """
    source = _units(clusters, n)
    groups = np.arange(source) % JACKKNIFE_GROUPS
    if clusters is None and n > JACKKNIFE_GROUPS:
        # A sum per group serves all masks.
        source, groups, clusters = JACKKNIFE_GROUPS, np.arange(JACKKNIFE_GROUPS), groups
    for numbers in _numbered_blocks(source, min(source, JACKKNIFE_GROUPS) + with_plain):
        yield _shared((groups != numbers - with_plain).view(np.uint8), clusters)


def cluster_codes(names: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
    """Return the `(n,)` codes of cluster names, numbered in the order of the sorted names."""
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)


def _stream(purpose: str, key: str) -> np.random.PCG64:
    digest = hashlib.sha256(f"{purpose}|{key}".encode()).digest()
    return np.random.PCG64(int.from_bytes(digest, "little"))


def _words(stream: np.random.PCG64, rows: int, words_per_row: int) -> NDArray[np.uint64]:
    """Return raw bits `(rows, words_per_row)`, little-endian; whole words a row, so that no block splits a word."""
    return stream.random_raw(rows * words_per_row).astype("<u8", copy=False).reshape(rows, words_per_row)


def _parts(rows: int, row_length: int) -> Iterator[slice]:
    """Return slices of rows whose bits and indices fit the cache."""
    step = max(1, _PART // max(row_length, 1))
    return (slice(start, start + step) for start in range(0, rows, step))


def _units(clusters: Codes | None, n: int) -> int:
    return n if clusters is None else int(clusters.max(initial=-1)) + 1


def _shared(counts: Counts, clusters: Codes | None) -> Weights:
    return counts if clusters is None else Clustered(counts, clusters)


def _blocks(source: int, total: int) -> Iterator[int]:
    """Yield the number of rows of each block."""
    rows = max(1, _BLOCK // max(source, 1))
    for start in range(0, total, rows):
        yield min(rows, total - start)


def _numbered_blocks(n: int, total: int) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of each block as a column."""
    start = 0
    for rows in _blocks(n, total):
        yield np.arange(start, start + rows)[:, None]
        start += rows


def rounded(values: ArrayLike) -> Values:
    """Return values at the decimals of resampled ones."""
    # Adding 0 turns −0.0 into 0.0, so that equal values have equal bytes.
    return np.asarray(np.rint(np.asarray(values, dtype=np.float64) * 10**DECIMALS) / 10**DECIMALS + 0.0)
