"""Corruptions of training labels: sets of candidates, wrong labels, classes with few samples. Never of references.

Conventions:
    signal: `Labels`, those of all samples of a training split in the order of their sorted ids; returned are other
    `Labels`. A sample without a label, code -1, keeps none: it is never flipped, has no candidates and is never left
    out. Every sample uses a fixed number of words of the generator, so that samples added after the last one change
    nothing for the others. A corruption of single labels raises `Inapplicable` if there are sets of candidates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR
from typing import Annotated, Any

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.drawing import permutation, power, uniforms
from merbench.errors import Inapplicable, did_you_mean, listed
from merbench.parameters import Described, Within

Codes = NDArray[np.int32]
Probability = Annotated[float, Within(0, 1)]
Shares = Mapping[str, Mapping[str, Probability]]


def _are_shares(flips: Shares) -> bool:
    return bool(flips) and all(row and math.fsum(row.values()) <= 1 + 1e-9 for row in flips.values())


Flips = Annotated[
    Shares,
    Described(
        "a table of shares by label, { from = { to = share } }, of which no row sums to more than 1", _are_shares
    ),
]


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of a training split."""

    codes: Codes = field(repr=False)  # `(n,)` indices of the labels in `names`, -1 for none
    names: tuple[str, ...]  # all labels of the target
    rows: NDArray[np.int64] = field(repr=False)  # `(n,)` indices of the samples in the original split, ascending
    # `(n, K)` bool, which labels may be the right one; None if there is one label each. `codes` are then the labels
    # before, for diagnostics only: a learner must not use them.
    candidates: NDArray[np.bool_] | None = field(repr=False, default=None)

    @classmethod
    def of(cls, codes: Sequence[int] | NDArray[Any], names: Sequence[str]) -> Labels:
        """Return uncorrupted labels; raise `ValueError` for a code that is neither that of a label nor -1."""
        own = np.asarray(codes, dtype=np.int32).reshape(-1)
        wrong = own[(own < -1) | (own >= len(names))]
        if wrong.size:
            raise ValueError(f"{wrong[0]} is not a code of {len(names)} labels, nor -1")
        return cls(own, tuple(names), np.arange(len(own)))

    @property
    def n_labels(self) -> int:
        """Number of labels, K."""
        return len(self.names)


def realised_shares(before: Labels, after: Labels) -> dict[str, float]:
    """Return the size of the change, over the samples that have a label.

    Of flips, `realised_rate`, the share of labels that changed; of candidates, `mean_candidates`, the mean size of a
    set, and `realised_eta`, the share of sets without the label. Nothing where no sample has a label.
    """
    codes = before.codes[np.isin(before.rows, after.rows)]
    labelled = codes >= 0
    if not labelled.any():
        return {}
    if after.candidates is not None:
        sets, own = after.candidates[labelled], after.codes[labelled]
        n_missed = np.count_nonzero(~sets[np.arange(len(own)), own])
        return {"mean_candidates": float(sets.sum() / len(sets)), "realised_eta": float(n_missed / len(sets))}
    return {"realised_rate": float(np.count_nonzero((after.codes != codes)[labelled]) / np.count_nonzero(labelled))}


def _realised_tail(before: Labels, after: Labels) -> dict[str, float]:
    """Return the ratio of the largest to the smallest class that is left, and the number of samples."""
    counts = _counts(after)
    if after.candidates is not None or not counts.any():
        return realised_shares(before, after)
    return {"realised_gamma": float(counts.max() / counts[counts > 0].min()), "n_kept": len(after.codes)}


def _counts(labels: Labels) -> NDArray[np.int64]:
    return np.bincount(labels.codes[labels.codes >= 0], minlength=labels.n_labels)


def _refuse_candidates(labels: Labels) -> None:
    if labels.candidates is not None:
        raise Inapplicable(
            "the labels already are sets of candidates; declare this step before the one that makes them"
        )


@corruption("labels", source="Lv et al. 2020 (PRODEN)", scope="split", measured=realised_shares)
def partial_labels(signal: Labels, rng: PCG64, *, q: Probability) -> Labels:
    """Return sets of candidates: the label, and each other one independently with probability `q`.

    Partial labels (Lv et al., 2020); of K labels a set has 1 + (K - 1) q in expectation: 1 + 5 q of six.

    Args:
        q: probability of each other label; 0 gives sets of only the label, 1 sets of all labels.
    """
    return _with_candidates(signal, rng, q, 0.0)


@corruption("labels", source="Lian et al. 2022 (IRNet)", scope="split", measured=realised_shares)
def noisy_partial_labels(signal: Labels, rng: PCG64, *, q: Probability, eta: Probability) -> Labels:
    """Return partial labels, from which the label is removed with probability `eta`.

    The noise of IRNet (Lian et al., 2022): the label is replaced by one that is not yet a candidate, each equally
    likely, so that the size of the set stays; a set of all labels stays as it is. The same `q` gives the same sets as
    in `partial_labels`.

    Args:
        q: probability of each other label to be a candidate.
        eta: probability that the label is removed.
    """
    return _with_candidates(signal, rng, q, eta)


def _with_candidates(labels: Labels, rng: PCG64, q: float, eta: float) -> Labels:
    _refuse_candidates(labels)
    n, n_labels = len(labels.codes), labels.n_labels
    draws = uniforms(rng, n * (n_labels + 2)).reshape(n, n_labels + 2)
    is_labelled = (labels.codes >= 0)[:, None]
    is_own = labels.codes[:, None] == np.arange(n_labels)
    sets = (is_own | (draws[:, :n_labels] < q)) & is_labelled
    n_others = np.count_nonzero(~sets, axis=1)
    is_noisy = is_labelled[:, 0] & (draws[:, n_labels] < eta) & (n_others > 0)
    picked = (draws[:, n_labels + 1] * n_others).astype(np.int64)
    is_picked = ~sets & (np.cumsum(~sets, axis=1) == picked[:, None] + 1)
    return replace(labels, candidates=np.where(is_noisy[:, None], (sets & ~is_own) | is_picked, sets))


@corruption(
    "labels",
    source="Natarajan et al. 2013; Patrini et al. 2017",
    scope="split",
    unchanged_at={"rate": 0},
    measured=realised_shares,
)
def symmetric_flips(signal: Labels, rng: PCG64, *, rate: Probability) -> Labels:
    """Replace each label, with probability `rate`, by one of the K - 1 others, each equally likely.

    Symmetric noise in the sense that the label itself is not among its replacements (Patrini et al., 2017).
    Inapplicable if there is only one label.

    Args:
        rate: probability of a flip.
    """
    _refuse_candidates(signal)
    if signal.n_labels < 2:
        raise Inapplicable(f"{listed(signal.names) or 'no label'} cannot be flipped: there is no other label")
    draws = uniforms(rng, 2 * len(signal.codes)).reshape(-1, 2)
    shifts = 1 + (draws[:, 1] * (signal.n_labels - 1)).astype(np.int32)
    flipped = (signal.codes + shifts) % signal.n_labels
    is_flipped = (draws[:, 0] < rate) & (signal.codes >= 0)
    return replace(signal, codes=np.where(is_flipped, flipped, signal.codes).astype(np.int32))


@corruption("labels", source="Patrini et al. 2017", scope="split", measured=realised_shares)
def class_flips(signal: Labels, rng: PCG64, *, flips: Flips) -> Labels:
    """Replace labels by others in declared shares that depend on the label.

    Inapplicable if a name is not one of the labels.

    Args:
        flips: label -> label that replaces it -> probability, such as `{ happy = { surprise = 0.3 } }`; with the rest
            of 1 the label stays, and so do labels without a row.
    """
    _refuse_candidates(signal)
    problems = list(_unknown_names(flips, signal.names))
    if problems:
        raise Inapplicable("; ".join(problems))
    draws = uniforms(rng, len(signal.codes))
    codes = signal.codes.copy()
    for name, shares in flips.items():
        rows = np.flatnonzero(signal.codes == signal.names.index(name))
        targets = [code for code, other in enumerate(signal.names) if other in shares]
        bounds = [math.fsum(shares[signal.names[code]] for code in targets[: i + 1]) for i in range(len(targets))]
        places = np.searchsorted(bounds, draws[rows], side="right")
        codes[rows] = np.array([*targets, signal.names.index(name)], dtype=np.int32)[places]
    return replace(signal, codes=codes)


def _unknown_names(flips: Shares, names: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys([*flips, *(other for shares in flips.values() for other in shares)]):
        if name not in names:
            yield f"flips: '{name}' is not one of the labels {listed(names)}{did_you_mean(name, names)}"


@corruption(
    "labels",
    source="Wang et al. 2022 (SoLar); Cui et al. 2019",
    scope="split",
    unchanged_at={"gamma": 1},
    measured=_realised_tail,
)
def long_tail(signal: Labels, rng: PCG64, *, gamma: Annotated[float, Within(1, 10_000)]) -> Labels:
    """Leave out samples so that the sizes of the classes form an exponential long tail.

    The classes in the order of decreasing size, those of one size in the order of the labels, keep
    `n_max * gamma^(-j / (K - 1))` samples for j = 0 to K - 1, rounded down, where n_max is the size of the largest and
    K counts the classes with samples. A class that has fewer keeps them all, and every class keeps at least one, so
    that `realised_gamma` may differ from `gamma` where the classes are not of one size. Which samples stay is random.
    At a gamma of 1 all stay, whatever the sizes.

    Args:
        gamma: ratio of the largest class to the smallest.
    """
    order = permutation(rng, len(signal.codes))
    kept = signal.codes < 0
    for code, size in _tail_sizes(_counts(signal), gamma).items():
        kept[order[signal.codes[order] == code][:size]] = True
    candidates = None if signal.candidates is None else signal.candidates[kept]
    return replace(signal, codes=signal.codes[kept], rows=signal.rows[kept], candidates=candidates)


def _tail_sizes(counts: NDArray[np.int64], gamma: float) -> dict[int, int]:
    """Return code -> how many samples its class keeps, the same on every machine."""
    codes = [code for code in np.argsort(-counts, kind="stable").tolist() if counts[code]]
    if gamma == 1:
        return {code: int(counts[code]) for code in codes}
    sizes = {}
    for j, code in enumerate(codes):
        exact = int(counts[codes[0]]) * power(gamma, -j, max(len(codes) - 1, 1))
        wanted = int(round(exact, 9).to_integral_value(ROUND_FLOOR))
        sizes[code] = min(max(wanted, 1), int(counts[code]))
    return sizes
