"""Corruptions of training labels: sets of candidates, wrong labels, classes with few samples. Never of references.

Conventions:
    signal: `Labels`, those of all samples of a training split in the order of their sorted ids; returned are other
    `Labels`. A sample without a label, code -1, keeps none: it is never flipped, has no candidates and is never left
    out. Everything is drawn sample by sample, a fixed number of words each, so that samples that are added behind the
    last one change nothing for the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.drawing import permutation, uniforms
from merbench.corruptions.powers import power
from merbench.errors import Inapplicable, did_you_mean, listed

Codes = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of a training split.

    Attributes:
        codes: `(n,)` places of the labels in `names`, -1 for none.
        names: all labels of the target.
        rows: `(n,)` places of the samples in the split that all began with, ascending.
        candidates: `(n, K)` bool, which labels may be the right one; None where there is one label each. `codes` are
            then the labels before, for diagnostics: who learns from candidates does not look at them.
    """

    codes: Codes = field(repr=False)
    names: tuple[str, ...]
    rows: NDArray[np.int64] = field(repr=False)
    candidates: NDArray[np.bool_] | None = field(repr=False, default=None)

    @classmethod
    def of(cls, codes: Sequence[int] | NDArray[Any], names: Sequence[str]) -> Labels:
        """Return undamaged labels.

        Raises:
            ValueError: a code is none of the labels', nor -1.
        """
        own = np.asarray(codes, dtype=np.int32).reshape(-1)
        wrong = own[(own < -1) | (own >= len(names))]
        if wrong.size:
            raise ValueError(f"{wrong[0]} is no code of {len(names)} labels, nor -1")
        return cls(own, tuple(names), np.arange(len(own)))

    @property
    def n_labels(self) -> int:
        """Number of labels, K."""
        return len(self.names)


def realised_shares(before: Labels, after: Labels, parameters: Mapping[str, Any]) -> dict[str, float]:
    """Return what the damage came to, over the samples that have a label.

    Of flips, `realised_rate`, the share of labels that changed; of candidates, `mean_candidates`, the mean size of a
    set, and `realised_eta`, the share of sets without the label; of a long tail, `realised_gamma`, the ratio of the
    largest to the smallest class that is left, and `n_kept`. Nothing where no sample has a label.
    """
    codes = before.codes[np.isin(before.rows, after.rows)]
    labelled = codes >= 0
    if not labelled.any():
        return {}
    if after.candidates is not None:
        sets, own = after.candidates[labelled], after.codes[labelled]
        n_missed = np.count_nonzero(~sets[np.arange(len(own)), own])
        return {"mean_candidates": float(sets.sum() / len(sets)), "realised_eta": float(n_missed / len(sets))}
    if "gamma" in parameters:
        counts = _counts(after)
        return {"realised_gamma": float(counts.max() / counts[counts > 0].min()), "n_kept": len(after.codes)}
    return {"realised_rate": float(np.count_nonzero((after.codes != codes)[labelled]) / np.count_nonzero(labelled))}


def _counts(labels: Labels) -> NDArray[np.int64]:
    return np.bincount(labels.codes[labels.codes >= 0], minlength=labels.n_labels)


def _refuse_candidates(labels: Labels) -> None:
    if labels.candidates is not None:
        raise Inapplicable(
            "the labels are sets of candidates already; declare this step before the one that makes them"
        )


_Q = Parameter("number", low=0, high=1)


@corruption(
    modality="labels",
    summary="each wrong label a candidate with probability q, beside the right one",
    parameters={"q": _Q},
    source="Lv et al. 2020 (PRODEN)",
    scope="split",
    measured=realised_shares,
)
def partial_labels(signal: Labels, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Labels:
    """Return sets of candidates: the label, and each other one independently with probability `q`.

    Partial labels (Lv et al., 2020); of K labels a set has 1 + (K - 1) q in expectation: 1 + 5 q of six.

    Args:
        signal: the labels of the split.
        rng: the generator of this split and step.
        parameters: `q`; 0 gives sets of the label alone, 1 sets of all labels.

    Raises:
        Inapplicable: there are sets of candidates already.
    """
    return _with_candidates(signal, rng, parameters["q"], 0.0)


@corruption(
    modality="labels",
    summary="partial labels of which a share eta does not hold the right one",
    parameters={"q": _Q, "eta": Parameter("number", low=0, high=1)},
    source="Lian et al. 2022 (IRNet)",
    scope="split",
    measured=realised_shares,
)
def noisy_partial_labels(signal: Labels, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Labels:
    """Return partial labels, from which the label is taken away with probability `eta`.

    The noise of IRNet (Lian et al., 2022): in place of the label comes one that is no candidate yet, each equally
    likely, so that the size of the set stays; a set of all labels stays as it is. The same `q` draws the same sets as
    `partial_labels`.

    Args:
        signal: the labels of the split.
        rng: the generator of this split and step.
        parameters: `q`, the probability of each other label to be a candidate; `eta`.

    Raises:
        Inapplicable: there are sets of candidates already.
    """
    return _with_candidates(signal, rng, parameters["q"], parameters["eta"])


def _with_candidates(labels: Labels, rng: np.random.PCG64, q: float, eta: float) -> Labels:
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
    modality="labels",
    summary="labels replaced by any other one, each equally likely",
    parameters={"rate": _Q},
    source="Natarajan et al. 2013; Patrini et al. 2017",
    scope="split",
    leaves=lambda parameters: bool(parameters["rate"] == 0),
    measured=realised_shares,
)
def symmetric_flips(signal: Labels, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Labels:
    """Replace each label, with probability `rate`, by one of the K - 1 others, each equally likely.

    Symmetric noise in the sense that the label itself is not among what it is replaced by (Patrini et al., 2017).

    Args:
        signal: the labels of the split.
        rng: the generator of this split and step.
        parameters: `rate`.

    Raises:
        Inapplicable: there is one label only; or there are sets of candidates already.
    """
    _refuse_candidates(signal)
    if signal.n_labels < 2:
        raise Inapplicable(f"{listed(signal.names) or 'no label'} cannot be flipped: there is no other label")
    draws = uniforms(rng, 2 * len(signal.codes)).reshape(-1, 2)
    shifts = 1 + (draws[:, 1] * (signal.n_labels - 1)).astype(np.int32)
    flipped = (signal.codes + shifts) % signal.n_labels
    is_flipped = (draws[:, 0] < parameters["rate"]) & (signal.codes >= 0)
    return replace(signal, codes=np.where(is_flipped, flipped, signal.codes).astype(np.int32))


@corruption(
    modality="labels",
    summary="labels replaced by the ones they are taken for, in declared shares",
    parameters={"flips": Parameter("table")},
    source="Patrini et al. 2017",
    scope="split",
    measured=realised_shares,
)
def class_flips(signal: Labels, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Labels:
    """Replace labels by others in shares that depend on the label (Patrini et al., 2017).

    Args:
        signal: the labels of the split.
        rng: the generator of this split and step.
        parameters: `flips`, label -> label in its place -> probability, such as `{ happy = { surprise = 0.3 } }`; what
            a row leaves of 1 keeps the label, and so do labels without a row.

    Raises:
        Inapplicable: a name is none of the labels; or there are sets of candidates already.
    """
    _refuse_candidates(signal)
    flips = parameters["flips"]
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


def _unknown_names(flips: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys([*flips, *(other for shares in flips.values() for other in shares)]):
        if name not in names:
            yield f"flips: '{name}' is none of the labels {listed(names)}{did_you_mean(name, names)}"


@corruption(
    modality="labels",
    summary="an exponential long tail: classes cut down to sizes that fall by a factor gamma in all",
    parameters={"gamma": Parameter("number", low=1, high=10_000)},
    source="Wang et al. 2022 (SoLar); Cui et al. 2019",
    scope="split",
    leaves=lambda parameters: bool(parameters["gamma"] == 1),
    measured=realised_shares,
)
def long_tail(signal: Labels, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Labels:
    """Leave out samples, so that the classes make an exponential long tail (Cui et al., 2019; Wang et al., 2022).

    The classes in the order of decreasing size, those of one size in the order of the labels, keep
    `n_max * gamma^(-j / (K - 1))` samples for j = 0 to K - 1, rounded down, where n_max is the size of the largest and
    K counts the classes with samples. A class that has fewer keeps them all, and every class keeps at least one, so
    that `realised_gamma` may differ from `gamma` where the classes are not of one size. Which samples stay is drawn.
    At a gamma of 1 all stay, whatever the sizes.

    Args:
        signal: the labels of the split.
        rng: the generator of this split and step.
        parameters: `gamma`, the ratio of the largest class to the smallest.
    """
    order = permutation(rng, len(signal.codes))
    kept = signal.codes < 0
    for code, size in _tail_sizes(_counts(signal), parameters["gamma"]).items():
        kept[order[signal.codes[order] == code][:size]] = True
    candidates = None if signal.candidates is None else signal.candidates[kept]
    return replace(signal, codes=signal.codes[kept], rows=signal.rows[kept], candidates=candidates)


def _tail_sizes(counts: NDArray[np.int64], gamma: float) -> dict[int, int]:
    """Return code -> how many samples its class keeps, the same on every machine."""
    there = [code for code in np.argsort(-counts, kind="stable").tolist() if counts[code]]
    if gamma == 1:
        return {code: int(counts[code]) for code in there}
    sizes = {}
    for j, code in enumerate(there):
        exact = int(counts[there[0]]) * power(gamma, -j, max(len(there) - 1, 1))
        wanted = int(round(exact, 9).to_integral_value(ROUND_FLOOR))
        sizes[code] = min(max(wanted, 1), int(counts[code]))
    return sizes
