"""Missing data: modalities, or time steps of them, that a sample does not have.

Conventions:
    signal: as in `merbench.corruptions.features`; what is missing becomes zero. Masks are bool, True for what is kept.
    The numbers of one sample and step are the same for every system and every run, and so are the gaps of a test set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.drawing import below, scaled, uniforms
from merbench.corruptions.features import (
    DiffusionStep,
    NoiseKind,
    Rate,
    Schedule,
    Vector,
    Vectors,
    Which,
    diffusion_noise,
    edited,
)
from merbench.errors import Inapplicable
from merbench.parameters import Within

Mask = NDArray[np.bool_]
Steps = Annotated[int, Within(0, 100_000)]

_LEAST_ROWS = 32
_TOLERANCE = 0.005
_ATTEMPTS = 300
_MANY_ROWS = 10_000


def gcnet_masks(n: int, n_views: int, rate: float, rng: PCG64) -> Mask:
    """Return which of its views each of `n` samples has, at least one each: `(n, n_views)`.

    The masks of CPM-Nets (Zhang et al., 2019), which GCNet (Lian et al., 2023) uses. One view of each sample is kept;
    others are added with a chance, in whole percent, that is corrected once for those that hit the kept one; all is
    sampled again until the share of missing views is within 0.005 of `rate`, from 0 to 1. At least 32 samples are made
    together. From a rate of `1 - 1 / n_views` on, each sample has exactly one view. Whole percents miss some rates by
    more than 0.005 in every attempt (0.3 of three views, for very many samples), where the original would never end:
    after 300 attempts the nearest is taken, and of more than 10,000 samples as soon as the error is not by chance (four
    standard deviations).
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
        if error < _TOLERANCE or (rows > _MANY_ROWS and error > _TOLERANCE + 4 * math.sqrt(0.25 / masks.size)):
            break
    return nearest[:n]


def _attempt(rows: int, n_views: int, wanted: float, rng: PCG64) -> Mask:
    kept = _one_view_each(rows, n_views, rng)
    further = n_views * rows * wanted - rows
    overlapping = np.count_nonzero(_bits(kept.shape, further / kept.size, rng) & kept)
    if overlapping >= further:
        return kept
    corrected = further / (1 - overlapping / further)
    return kept | _bits(kept.shape, corrected / kept.size, rng)


def _one_view_each(rows: int, n_views: int, rng: PCG64) -> Mask:
    return np.asarray(below(rng, rows, n_views)[:, None] == np.arange(n_views))


def _bits(shape: tuple[int, ...], chance: float, rng: PCG64) -> Mask:
    """Return bits that are set with a chance in whole percent."""
    return (below(rng, math.prod(shape), 100) < math.floor(100 * chance)).reshape(shape)


_PERCENTS = np.array([-(-(percent << 53) // 100) for percent in range(101)], dtype=np.uint64)
"""By percent, the smallest number of 53 bits that is not below it."""

_STREAM = 2048


def gcnet_rows(n_views: int, rates: NDArray[np.float64], rngs: Sequence[PCG64]) -> Mask:
    """Return `gcnet_masks(1, n_views, rate, rng)[0]` for many samples, `(k, n_views)`, which try again together.

    One by one, a sample takes a millisecond, because few attempts of 32 rows have the share.
    """
    masks, size, rows = np.ones((len(rates), n_views), dtype=np.bool_), _LEAST_ROWS * n_views, _LEAST_ROWS
    wanted, least = 1 - rates, np.full(len(rates), math.inf)
    for i in np.flatnonzero(wanted <= 1 / n_views).tolist():
        masks[i] = _one_view_each(1, n_views, rngs[i])[0]
    pending = np.flatnonzero((wanted > 1 / n_views) & (wanted != 1))
    further = n_views * rows * wanted - rows
    words, place = np.empty((len(rates), max(_STREAM, 4 * size)), dtype=np.uint64), np.full(len(rates), -1)
    reach = np.arange(rows + 2 * size)
    for _ in range(_ATTEMPTS):
        for i in pending[(place[pending] < 0) | (place[pending] + len(reach) > words.shape[1])].tolist():
            rest = words[i, place[i] :].copy() if place[i] >= 0 else words[i, :0]
            words[i] = np.concatenate([rest, rngs[i].random_raw(words.shape[1] - len(rest))])
            place[i] = 0
        own = words[pending[:, None], place[pending][:, None] + reach]
        kept = (scaled(own[:, :rows], n_views)[..., None] == np.arange(n_views)).reshape(-1, size)
        own >>= np.uint64(11)
        more = further[pending]
        overlapping = (kept & _below_percent(own[:, rows : rows + size], more / size)).sum(axis=1)
        is_full = overlapping >= more
        corrected = more / (1 - np.where(is_full, 0, overlapping) / np.where(is_full, 1, more))
        kept |= _below_percent(own[:, rows + size :], np.where(is_full, 0, corrected / size))
        place[pending] += np.where(is_full, rows + size, len(reach))
        error = np.abs(wanted[pending] - kept.sum(axis=1) / size)
        better = error < least[pending]
        masks[pending[better]], least[pending] = kept[better, :n_views], np.minimum(error, least[pending])
        pending = pending[error >= _TOLERANCE]
        if not len(pending):
            break
    return masks


def _below_percent(numbers: NDArray[np.uint64], chances: NDArray[np.float64]) -> Mask:
    """Return the bits that `_bits` makes of numbers of 53 bits, with a chance for each row."""
    percents = np.minimum(np.floor(100 * chances), 100).astype(np.int64)
    return np.asarray(numbers < _PERCENTS[percents][:, None])


ORDER = ("audio", "text", "video")
"""The order in which modalities are drawn."""

_LETTERS = MappingProxyType({"audio": "a", "video": "v", "text": "t"})


def kept_share(before: Vectors, after: Vectors) -> dict[str, Any]:
    """Return what is left of one sample.

    `realised_rate` is the share of time steps that are zero throughout, averaged over the audio, text and video that
    the sample has (a vector is one time step); `available` names the modalities of which something is left, such as
    `at`, in the order audio, video, text, or `none`.
    """
    zero = {name: _share_of_zeros(after[name]) for name in _LETTERS if name in before}
    available = "".join(_LETTERS[name] for name, share in zero.items() if share < 1)
    rate = math.fsum(zero.values()) / len(zero) if zero else 0.0
    return {"realised_rate": rate, "available": available or "none"}


def _share_of_zeros(values: Vector) -> float:
    frames = np.atleast_2d(values)
    return 1 - np.count_nonzero(frames.any(axis=1)) / len(frames) if len(frames) else 1.0


@corruption("features", source="Lian et al. 2023 (GCNet)", unchanged_at={"rate": 0}, measured=kept_share)
def gcnet_missing(signal: Vectors, rng: PCG64, *, rate: Annotated[float, Within(0, 0.7)]) -> dict[str, Vector]:
    """Set whole modalities to zero by GCNet's masks, which keep at least one.

    GCNet makes new masks for every batch and epoch, also at test time; here each sample has its own: the first row of
    32 that `gcnet_masks` makes from the sample's generator, so that shares over a test set are those of 32 rows. With
    three modalities a rate of 0.1 gives 0.104 (71 % of the samples are complete), 0.3 gives 0.302, 0.5 gives 0.5 (56 %
    have one modality). **0.7 gives 0.667**: one modality each, always, as no higher rate leaves one to every sample. A
    sample of one modality is complete at any rate. Audio, text and video take part, in this order.

    Args:
        rate: share of the modalities that are missing.
    """
    names = [name for name in ORDER if name in signal]
    if not names:
        return dict(signal)
    kept = gcnet_masks(1, len(names), rate, rng)[0]
    return _without(signal, [name for name, is_kept in zip(names, kept, strict=True) if not is_kept])


def _without(signal: Vectors, missing: Sequence[str]) -> dict[str, Vector]:
    return {name: np.zeros_like(values) if name in missing else values for name, values in signal.items()}


TFRNET_SEEDS = MappingProxyType({"text": 111, "audio": 1111, "video": 11111})
"""The seeds of TFR-Net's masks of time steps."""


@corruption(
    "features", source="Yuan et al. 2021 (TFR-Net)", scope="split", unchanged_at={"rate": 0}, measured=kept_share
)
def tfrnet_drop(
    signal: Sequence[Vectors],
    _rng: PCG64,
    *,
    rate: Rate,
    text_ends: bool = True,
    text_steps: Steps = 0,
    audio_steps: Steps = 0,
    video_steps: Steps = 0,
) -> list[dict[str, Vector]]:
    """Set time steps of every modality to zero, by the masks of TFR-Net over a whole split.

    The missing data of TFR-Net (Yuan et al., 2021) and EMT-DLFR (Sun et al., 2023): NumPy's legacy generator, with seed
    111 for text, 1111 for audio and 11111 for video, is called once for the whole split, padding included. The masks
    are those of the original if its samples, too, are in the order of their ids and padded at their end, and `longest`
    is the width that they are padded to. TFR-Net puts the word piece [UNK] in place of a missing one, which vectors do
    not have: they become zero. Inapplicable if a sample has a vector, which has no time steps, or more of them than
    the width.

    Args:
        rate: probability of each time step to be missing.
        text_ends: whether the first and the last step of a text ([CLS] and [SEP]) are always kept.
        text_steps: width that texts are padded to in the release; 0 for the longest sample of the split.
        audio_steps: the same of audio.
        video_steps: the same of video.
    """
    corrupted = [dict(sample) for sample in signal]
    widths = {"text": text_steps, "audio": audio_steps, "video": video_steps}
    for name, seed in TFRNET_SEEDS.items():
        lengths = [_n_steps(sample[name], name) if name in sample else 0 for sample in signal]
        longest = max(lengths, default=0)
        width = widths[name] or longest
        if longest > width:
            raise Inapplicable(f"{name} has {longest} time steps, more than {name}_steps = {width}")
        kept = np.random.RandomState(seed).uniform(size=(len(signal), width)) > rate
        for sample, length, row in zip(corrupted, lengths, kept, strict=True):
            if length:
                sample[name] = _with_steps(sample[name], row[:length], name == "text" and text_ends)
    return corrupted


def _n_steps(values: Vector, name: str) -> int:
    if values.ndim != 2:
        raise Inapplicable(f"{name} has one vector per sample and no time steps that could be missing")
    return len(values)


def _with_steps(frames: Vector, kept: Mask, are_ends_kept: bool) -> Vector:
    if are_ends_kept:
        kept = kept.copy()
        kept[[0, -1]] = True
    return np.where(kept[:, None], frames, 0.0)


@corruption("features", source="Yuan et al. 2021 (TFR-Net)", unchanged_at={"rate": 0}, measured=kept_share)
def step_drop(
    signal: Vectors, rng: PCG64, *, rate: Rate, text_ends: bool = True, modalities: Which = "all"
) -> dict[str, Vector]:
    """Set each time step of each modality to zero with a probability, independently.

    What TFR-Net does (Yuan et al., 2021), with numbers of each sample's own, so that they depend neither on the other
    samples of the split nor on padding. Inapplicable if a modality is a vector, which has no time steps.

    Args:
        rate: the probability.
        text_ends: whether the first and the last step of a text ([CLS] and [SEP]) are always kept.
        modalities: which are corrupted.
    """

    def without_steps(name: str, values: Vector) -> Vector:
        n_steps = _n_steps(values, name)
        kept = uniforms(rng, n_steps) >= rate
        return _with_steps(values, kept, name == "text" and text_ends) if n_steps else values

    return edited(signal, rng, modalities, without_steps)


def _kept_pattern(before: Vectors, after: Vectors, *, pattern: str) -> dict[str, Any]:
    """Return `kept_share` as if noise were the zeros that it replaces."""
    missing = [name for name, letter in _LETTERS.items() if letter not in pattern]
    return kept_share(before, _without(after, missing))


@corruption("features", source="Fan et al. 2023 (NMER)", unchanged_at={"pattern": "avt"}, measured=_kept_pattern)
def modality_pattern(
    signal: Vectors,
    rng: PCG64,
    *,
    pattern: Literal["a", "v", "t", "av", "at", "vt", "avt"],
    absent: Literal["zeros", "noise"] = "zeros",
    kind: NoiseKind = "gaussian",
    schedule: Schedule = "scaled_linear",
    t: DiffusionStep = 99,
) -> dict[str, Vector]:
    """Keep only the modalities of a pattern: `a`, audio, `v`, video, and `t`, text.

    The test conditions of missing modalities (Zhao et al., 2021, *MMIN*): `a`, `v`, `t`, `av`, `at` and `vt`; `avt`
    changes nothing. The others are zero there; in NMER (Fan et al., 2023) they are what `diffusion_noise` makes of
    them, at a t from `{ integers = [0, 99] }`. Inapplicable if the signal has none of the modalities of the pattern.

    Args:
        pattern: the modalities that are kept.
        absent: what replaces the others.
        kind: kind of noise.
        schedule: how fast the noise rises with t.
        t: step of the noise.
    """
    present = {name: letter for name, letter in _LETTERS.items() if name in signal}
    if not any(letter in pattern for letter in present.values()):
        named = " or ".join(name for name, letter in _LETTERS.items() if letter in pattern)
        raise Inapplicable(f"pattern '{pattern}' would leave nothing: the sample has no {named}")
    missing = [name for name, letter in present.items() if letter not in pattern]
    if absent == "zeros" or not missing:
        return _without(signal, missing)
    which: Any = "+".join(missing)
    return dict(diffusion_noise(signal, rng, kind=kind, schedule=schedule, t=t, modalities=which))


@corruption("features", unchanged_at={"rate": 0}, measured=kept_share)
def modality_absence(
    signal: Vectors, rng: PCG64, *, modality: Literal["audio", "video", "text"], rate: Rate = 1.0
) -> dict[str, Vector]:
    """Set one modality to zero with a probability; a sample that has no other is left without any.

    Args:
        modality: which; a sample without it stays as it is.
        rate: probability that it is absent.
    """
    is_absent = uniforms(rng, 1)[0] < rate
    return _without(signal, [modality] if is_absent else [])


@corruption("features", unchanged_at={"audio": 0, "text": 0, "video": 0}, measured=kept_share)
def imbalanced_missing(
    signal: Vectors, rng: PCG64, *, audio: Rate = 0.0, text: Rate = 0.0, video: Rate = 0.0
) -> dict[str, Vector]:
    """Set each modality to zero with a probability of its own, and keep at least one.

    Imbalanced missing rates, as MissBench (2026, arXiv:2603.09874) has them, by merbench's own definition: modalities
    are missing independently of each other, given that one of those that the sample has is left. So fewer are missing
    than the rates say: at 0.5 each of three, 3/7 of them. Inapplicable if the rate of every modality that the sample
    has is 1.

    Args:
        audio: probability that sound is missing.
        text: probability that text is missing.
        video: probability that the pictures are missing.
    """
    rates = {"audio": audio, "text": text, "video": video}
    names = [name for name in ORDER if name in signal]
    patterns = [missing for n in range(len(names)) for missing in combinations(names, n)]
    chances = [math.prod(rates[name] if name in missing else 1 - rates[name] for name in names) for missing in patterns]
    if not any(chances):
        if not names:
            return dict(signal)
        raise Inapplicable(f"a rate of 1 for {' and '.join(names)} would leave nothing of the sample")
    limits = np.cumsum(chances)
    drawn = int(np.searchsorted(limits, float(uniforms(rng, 1)[0]) * limits[-1], side="right"))
    return _without(signal, patterns[min(drawn, len(patterns) - 1)])
