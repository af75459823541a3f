"""Corruptions by absence: modalities, or time steps of them, that a sample does not have.

Conventions:
    signal: a mapping from modality to that sample's vector, `(d,)`, or frames, `(m, d)`, of finite float64; returned is
    a new mapping of the same shapes, in which what is missing is zero. Masks are bool, True for what is kept.
    draws: those of one sample for one step, so that a test set has the same gaps for every system and every run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.drawing import below, uniforms
from merbench.corruptions.features import (
    DIFFUSION,
    N_DIFFUSION_STEPS,
    RATE,
    WHICH,
    Vector,
    damaged_modalities,
    diffusion_noise,
    leaves_at_rate_0,
    own_stretches,
)
from merbench.errors import Inapplicable

Mask = NDArray[np.bool_]

_LEAST_ROWS = 32
_TOLERANCE = 0.005
_ATTEMPTS = 300


def gcnet_masks(n: int, n_views: int, rate: float, rng: np.random.PCG64) -> Mask:
    """Return which of its views each of `n` samples has, at least one each: `(n, n_views)`.

    The masks of CPM-Nets (Zhang et al., 2019), which GCNet (Lian et al., 2023) uses. One view of each sample is kept;
    to it come others with a chance that is corrected once for those that hit the kept one, in whole percent; all is
    drawn again until the share of missing views is within 0.005 of `rate`. At least 32 samples are drawn together, of
    which the first `n` are returned. No rate above `1 - 1 / n_views` can be had: from there on each sample has exactly
    one view. Chances in whole percent miss some rates by more than 0.005 however often they are drawn (0.3 of three
    views, for very many samples), where the original would never end: after 300 attempts the nearest is taken.

    Args:
        n: number of samples.
        n_views: number of views, of at least 1.
        rate: share of the views that are to be missing, from 0 to 1.
        rng: the generator.
    """
    rows = max(_LEAST_ROWS, n)
    wanted = 1 - rate
    if wanted <= 1 / n_views:
        return _one_view_each(rows, n_views, rng)[:n]
    if wanted == 1:
        return np.ones((n, n_views), dtype=bool)
    nearest, least = np.zeros((0, n_views), dtype=bool), math.inf
    for _ in range(_ATTEMPTS):
        masks = _attempt(rows, n_views, wanted, rng)
        error = abs(wanted - np.count_nonzero(masks) / masks.size)
        if error < least:
            nearest, least = masks, error
        if error < _TOLERANCE:
            break
    return nearest[:n]


def _attempt(rows: int, n_views: int, wanted: float, rng: np.random.PCG64) -> Mask:
    kept = _one_view_each(rows, n_views, rng)
    further = n_views * rows * wanted - rows
    overlapping = np.count_nonzero(_bits(kept.shape, further / kept.size, rng) & kept)
    if overlapping >= further:
        return kept
    corrected = further / (1 - overlapping / further)
    return kept | _bits(kept.shape, corrected / kept.size, rng)


def _one_view_each(rows: int, n_views: int, rng: np.random.PCG64) -> Mask:
    return np.asarray(below(rng, rows, n_views)[:, None] == np.arange(n_views))


def _bits(shape: tuple[int, ...], chance: float, rng: np.random.PCG64) -> Mask:
    """Return bits that are set with a chance in whole percent."""
    return (below(rng, math.prod(shape), 100) < math.floor(100 * chance)).reshape(shape)


_ORDER = ("audio", "text", "video")
_LETTERS = MappingProxyType({"audio": "a", "video": "v", "text": "t"})


def kept_share(
    before: Mapping[str, Vector], after: Mapping[str, Vector], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is left of one sample.

    `realised_rate` is the share of time steps that are zero throughout, averaged over audio, text and video as far as
    the sample has them (a vector is one time step); `available` names the modalities of which something is left, such
    as `at`, in the order audio, video, text, or `none`.
    """
    zero = {name: _share_of_zeros(after[name]) for name in _LETTERS if name in before}
    available = "".join(_LETTERS[name] for name, share in zero.items() if share < 1)
    rate = math.fsum(zero.values()) / len(zero) if zero else 0.0
    return {"realised_rate": rate, "available": available or "none"}


def _share_of_zeros(values: Vector) -> float:
    frames = np.atleast_2d(values)
    return 1 - np.count_nonzero(frames.any(axis=1)) / len(frames) if len(frames) else 1.0


@corruption(
    modality="features",
    summary="whole modalities missing at a rate, at least one kept in every sample",
    parameters={"rate": Parameter("number", low=0, high=0.7)},
    source="Lian et al. 2023 (GCNet)",
    leaves=leaves_at_rate_0,
    measured=kept_share,
)
def gcnet_missing(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> dict[str, Vector]:
    """Set modalities to zero by GCNet's masks, at least one of which is kept.

    GCNet draws masks anew for every batch and epoch, in its test as well; here each sample has one of its own: the
    first row of 32 that `gcnet_masks` draws from the sample's generator, so that shares over a test set are those of 32
    rows. With three modalities a rate of 0.1 gives 0.104 (71 % of the samples are complete), 0.3 gives 0.302, 0.5
    gives 0.5 (56 % have one modality). **0.7 gives 0.667**: one modality each, always, as no higher rate leaves one to
    every sample. A sample of one modality is complete at any rate.

    Args:
        signal: vectors or frames by modality; audio, text and video, in this order, as far as they are there.
        rng: the generator of this sample and step.
        parameters: `rate`, from 0 to 0.7.
    """
    names = [name for name in _ORDER if name in signal]
    if not names:
        return dict(signal)
    kept = gcnet_masks(1, len(names), parameters["rate"], rng)[0]
    return _without(signal, [name for name, is_kept in zip(names, kept, strict=True) if not is_kept])


def _without(signal: Mapping[str, Vector], missing: Sequence[str]) -> dict[str, Vector]:
    return {name: np.zeros_like(values) if name in missing else values for name, values in signal.items()}


TFRNET_SEEDS = MappingProxyType({"text": 111, "audio": 1111, "video": 11111})
"""The seeds of TFR-Net's masks of time steps."""

_ENDS = Parameter("boolean", default=True)


@corruption(
    modality="features",
    summary="time steps of every modality set to zero, by the masks of TFR-Net over a whole split",
    parameters={
        "rate": RATE,
        "text_ends": _ENDS,
        **{f"{name}_steps": Parameter("integer", low=0, high=100_000, default=0) for name in TFRNET_SEEDS},
    },
    source="Yuan et al. 2021 (TFR-Net)",
    scope="split",
    leaves=leaves_at_rate_0,
    measured=kept_share,
)
def tfrnet_drop(
    signal: Sequence[Mapping[str, Vector]], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> list[dict[str, Vector]]:
    """Set time steps to zero where `RandomState(seed).uniform(size=(n, longest)) <= rate`, in each modality apart.

    The missing data of TFR-Net (Yuan et al., 2021) and EMT-DLFR (Sun et al., 2023): NumPy's legacy generator, with
    seed 111 for text, 1111 for audio and 11111 for video, draws once for the whole split, padding included. The masks
    are those of the original where its samples, too, are in the order of their ids and padded behind their end, and
    `longest` is the width that they are padded to. TFR-Net puts the word piece [UNK] in place of a missing one, which
    vectors do not have: they become zero.

    Args:
        signal: frames by modality of every sample of the split, in the order of sorted ids.
        rng: not used: the seeds are TFR-Net's.
        parameters: `rate`, the chance of each time step to be missing; `text_ends`, whether the first and the last step
            of a text ([CLS] and [SEP]) are always kept; `text_steps`, `audio_steps` and `video_steps`, the width that
            the release is padded to, 0 for the longest sample of the split.

    Raises:
        Inapplicable: a sample has a vector, which has no time steps, or more of them than the width.
    """
    damaged = [dict(sample) for sample in signal]
    for name, seed in TFRNET_SEEDS.items():
        lengths = [_n_steps(sample[name], name) if name in sample else 0 for sample in signal]
        longest = max(lengths, default=0)
        width = parameters[f"{name}_steps"] or longest
        if longest > width:
            raise Inapplicable(f"{name} has {longest} time steps, more than {name}_steps = {width}")
        kept = np.random.RandomState(seed).uniform(size=(len(signal), width)) > parameters["rate"]
        for sample, length, row in zip(damaged, lengths, kept, strict=True):
            if length:
                sample[name] = _with_steps(sample[name], row[:length], name == "text" and parameters["text_ends"])
    return damaged


def _n_steps(values: Vector, name: str) -> int:
    if values.ndim != 2:
        raise Inapplicable(f"{name} has one vector per sample and no time steps that could be missing")
    return len(values)


def _with_steps(frames: Vector, kept: Mask, are_ends_kept: bool) -> Vector:
    if are_ends_kept:
        kept = kept.copy()
        kept[[0, -1]] = True
    return np.where(kept[:, None], frames, 0.0)


@corruption(
    modality="features",
    summary="time steps set to zero at random",
    parameters={"rate": RATE, "text_ends": _ENDS, "modalities": WHICH},
    source="Yuan et al. 2021 (TFR-Net)",
    leaves=leaves_at_rate_0,
    measured=kept_share,
)
def step_drop(signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]) -> dict[str, Vector]:
    """Set each time step of each modality to zero with a probability, independently.

    What TFR-Net does (Yuan et al., 2021), with draws of each sample's own, so that they depend neither on the other
    samples of the split nor on padding.

    Args:
        signal: frames by modality.
        rng: the generator of this sample and step.
        parameters: `rate`, the probability; `text_ends`, whether the first and the last step of a text ([CLS] and
            [SEP]) are always kept; `modalities`, which are damaged.

    Raises:
        Inapplicable: a modality is a vector, which has no time steps.
    """
    damaged = dict(signal)
    for name in own_stretches(rng, damaged_modalities(signal, parameters["modalities"])):
        n_steps = _n_steps(signal[name], name)
        kept = uniforms(rng, n_steps) >= parameters["rate"]
        if n_steps:
            damaged[name] = _with_steps(signal[name], kept, name == "text" and parameters["text_ends"])
    return damaged


def _kept_pattern(
    before: Mapping[str, Vector], after: Mapping[str, Vector], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `kept_share` as if noise were zeros, which it stands for."""
    missing = [name for name, letter in _LETTERS.items() if letter not in parameters["pattern"]]
    return kept_share(before, _without(after, missing), parameters)


def _leaves_all(parameters: Mapping[str, Any]) -> bool:
    return bool(parameters["pattern"] == "avt")


@corruption(
    modality="features",
    summary="only the modalities of a pattern available, the others zero or noise",
    parameters={
        "pattern": Parameter("string", choices=("a", "v", "t", "av", "at", "vt", "avt")),
        "absent": Parameter("string", choices=("zeros", "noise"), default="zeros"),
        **DIFFUSION,
        "t": Parameter("integer", low=0, high=N_DIFFUSION_STEPS - 1, unit="of 100 steps", default=99),
    },
    source="Fan et al. 2023 (NMER)",
    leaves=_leaves_all,
    measured=_kept_pattern,
)
def modality_pattern(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> dict[str, Vector]:
    """Keep the modalities of a pattern, by their first letters: audio, video, text (`l`, language, in papers).

    The test conditions of missing modalities (Zhao et al., 2021, *MMIN*): `a`, `v`, `t`, `av`, `at` and `vt`; `avt`
    damages nothing. The others are zero there; in NMER (Fan et al., 2023) they are what `diffusion_noise` makes of
    them, at a t from `{ integers = [0, 99] }`.

    Args:
        signal: vectors or frames by modality.
        rng: the generator of this sample and step; only noise is drawn.
        parameters: `pattern`; `absent`, what takes the place of the others; of noise, `kind`, `schedule` and `t`.

    Raises:
        Inapplicable: the signal has none of the modalities of the pattern.
    """
    pattern = parameters["pattern"]
    there = {name: letter for name, letter in _LETTERS.items() if name in signal}
    if not any(letter in pattern for letter in there.values()):
        named = " or ".join(name for name, letter in _LETTERS.items() if letter in pattern)
        raise Inapplicable(f"pattern '{pattern}' would leave nothing: the sample has no {named}")
    missing = [name for name, letter in there.items() if letter not in pattern]
    if parameters["absent"] == "zeros" or not missing:
        return _without(signal, missing)
    return dict(diffusion_noise(signal, rng, {**parameters, "modalities": "+".join(missing)}))


@corruption(
    modality="features",
    summary="one modality absent altogether, always or in a share of the samples",
    parameters={
        "modality": Parameter("string", choices=tuple(_LETTERS)),
        "rate": Parameter("number", low=0, high=1, default=1.0),
    },
    leaves=leaves_at_rate_0,
    measured=kept_share,
)
def modality_absence(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> dict[str, Vector]:
    """Set one modality to zero with a probability; a sample that has no other is left without any.

    Args:
        signal: vectors or frames by modality; without the modality it stays as it is.
        rng: the generator of this sample and step.
        parameters: `modality`; `rate`, the probability that it is absent.
    """
    is_absent = uniforms(rng, 1)[0] < parameters["rate"]
    return _without(signal, [parameters["modality"]] if is_absent else [])
