"""The folds of cross-validation, and which samples keep their labels: at random, or those of a speaker together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError

Codes = NDArray[np.int64]

N_STRATA = 5
"""Number of equal parts into which the values of a continuous target are divided, so that folds are alike in it."""

LARGEST_SHARE = 1 / 3
"""The share of the samples that a group of several columns may have: with larger ones, folds are too unequal."""


def kept_together(columns: Mapping[str, Codes], *, joined: bool = True) -> tuple[str, Codes]:
    """Return the column whose values no fold divides, and the group of every sample; empty where no column has two.

    It is the first column with two values or more. Further ones are joined with it: groups that share a value are one
    (the connected components), unless one of them would have more than `LARGEST_SHARE` of the samples, and more than
    before. So both speakers of a session are in the fold of its dialogues; a speaker of nearly all dialogues is not.

    Args:
        columns: by name, in order of precedence, `(n,)` codes.
        joined: whether further columns are joined with the first.

    Returns:
        The names with " and " between them, and `(n,)` codes.
    """
    several = {name: codes for name, codes in columns.items() if len(np.unique(codes)) > 1}
    if not several:
        return "", np.empty(0, dtype=np.int64)
    (first, group), *others = ((name, _numbered(codes)) for name, codes in several.items())
    names = [first]
    for name, codes in others if joined else ():
        wider = _numbered(_components(group, codes))
        if np.bincount(wider).max() <= max(LARGEST_SHARE * len(wider), np.bincount(group).max()):
            names += [name] if wider.max() < group.max() else []
            group = wider
    return " and ".join(names), group


def _components(first: Codes, second: Codes) -> Codes:
    """Return, for every sample, the smallest group of `first` that it is connected with by shared values of both.

    SciPy has this as `connected_components`; baselines that need no extra are run without it.
    """
    component = first
    while True:
        before = component
        for codes in (second, first):
            smallest = np.full(int(codes.max()) + 1, int(first.max()))
            np.minimum.at(smallest, codes, component)
            component = smallest[codes]
        if np.array_equal(component, before):
            return component


def _numbered(codes: NDArray[np.integer[Any]]) -> Codes:
    return np.asarray(np.unique(codes, return_inverse=True)[1].reshape(-1), dtype=np.int64)


def random_folds(n: int, n_folds: int, seed: int) -> Codes:
    """Return a random fold 0 … n_folds - 1 for each of n samples, from raw bits: sizes differ by one at most.

    Raises:
        UsageError: there are fewer than two folds, or more folds than samples.
    """
    if not 2 <= n_folds <= n:
        raise UsageError(f"{n_folds} folds of {n:,} training samples; needed: at least 2 folds and a sample in each")
    folds = np.empty(n, dtype=np.int64)
    folds[_shuffled(n, "folds", seed)] = np.arange(n) % n_folds
    return folds


def _shuffled(n: int, purpose: str, seed: int) -> Codes:
    """Return the numbers 0 … n - 1 in an order that depends only on the arguments."""
    key = hashlib.sha256(f"{purpose}|{seed}".encode()).digest()
    bits = np.random.PCG64(int.from_bytes(key[:16], "little")).random_raw(n)
    return np.argsort(bits, kind="stable")


def grouped_folds(clusters: Codes, strata: Codes, n_folds: int) -> Codes:
    """Return a fold 0 … n_folds - 1 for each sample: those of a cluster in one fold, strata spread evenly.

    The greedy rule of scikit-learn's `StratifiedGroupKFold` without shuffling, for baselines without scikit-learn, too:
    clusters, those of the most uneven strata first, go where the shares of the strata differ least between folds; of
    equally good folds, into the one with fewest samples. Clusters and strata are `(n,)` codes.

    Raises:
        UsageError: there are fewer than two folds, or more folds than clusters.
    """
    names, cluster = np.unique(clusters, return_inverse=True)
    if not 2 <= n_folds <= len(names):
        raise UsageError(f"{n_folds} folds of {len(names):,} clusters; needed: at least 2 folds and a cluster in each")
    kinds, stratum = np.unique(strata, return_inverse=True)
    counts = np.zeros((len(names), len(kinds)))
    np.add.at(counts, (cluster, stratum), 1)
    spread, size = counts.std(axis=1), counts.sum(axis=1)
    totals, sizes = np.zeros((n_folds, len(kinds))), np.zeros(n_folds)
    of_cluster = np.empty(len(names), dtype=np.int64)
    counts /= counts.sum(axis=0)
    for place in np.argsort(-spread, kind="stable"):
        # Variances of the shares between folds, once for each fold that the cluster may go into: their means are equal.
        squares = np.square(totals).sum(axis=0) + np.square(totals + counts[place]) - np.square(totals)
        mean = (totals.sum(axis=0) + counts[place]) / n_folds
        unevenness = np.sqrt(np.maximum(squares / n_folds - np.square(mean), 0)).mean(axis=1)
        equals = unevenness <= unevenness.min() + 1e-9  # not decided by the last bits of a sum
        fold = np.where(equals, sizes, np.inf).argmin()
        totals[fold] += counts[place]
        sizes[fold] += size[place]
        of_cluster[place] = fold
    return np.asarray(of_cluster[cluster], dtype=np.int64)


def labelled_rows(groups: Codes, strata: Codes, share: float, seed: int) -> Codes:
    """Return the rows, sorted, of those samples that keep their labels where a share of them does.

    Groups are kept as a whole, in a random order until the share is reached as closely as possible, and at least one;
    without groups, the share of every stratum, and at least one sample of each. With the same seed, a smaller share
    keeps some of the samples that a larger one keeps.

    Args:
        groups: `(n,)` codes of what is kept together; empty where samples are kept one by one.
        strata: `(n,)` codes, such as labels.
        share: in (0, 1].
        seed: of the order.
    """
    n = len(strata)
    if len(groups):
        names, group = np.unique(groups, return_inverse=True)
        order = _shuffled(len(names), "labelled", seed)
        kept = np.cumsum(np.bincount(group)[order])
        return np.flatnonzero(np.isin(group, order[: int(np.abs(kept - share * n).argmin()) + 1]))
    order = _shuffled(n, "labelled", seed)
    of_strata = [order[strata[order] == stratum] for stratum in np.unique(strata)]
    return np.sort(np.concatenate([rows[: max(1, round(share * len(rows)))] for rows in of_strata]))


def strata(targets: Iterable[Any], n: int) -> Codes:
    """Return the labels of the first target that has some, else fifths of the first one; -1 where one is not known."""
    arrays = [values for values in targets if isinstance(values, np.ndarray) and values.ndim == 1]
    for values in sorted(arrays, key=lambda values: values.dtype.kind == "f"):
        if values.dtype.kind == "f":
            known = values[~np.isnan(values)]
            edges = np.quantile(known, np.arange(1, N_STRATA) / N_STRATA) if len(known) else np.zeros(1)
            return np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right")).astype(np.int64)
        return values.astype(np.int64)
    return np.zeros(n, dtype=np.int64)
