"""Corruptions of feature vectors, for those who have only features and no media.

Conventions:
    signal: a mapping from modality to that sample's vector, `(d,)`, or frames, `(m, d)`, of finite float64; returned is
    a new mapping of the same shapes. Modalities that a corruption does not name pass through as they are, and so do
    those of other names than `MODALITIES`.
    rng: every modality uses its own stretch of the generator's words, so that neither which modalities a sample has
    nor the width of their vectors changes the numbers of another one.
    Several samples at once: `values` are `(k, n)`, a sample's numbers in a row, `slices` as many numbers of 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.drawing import (
    N_SLICES,
    NORMAL_UNIT,
    amplitude_ratio,
    normal_quantiles,
    normals,
    one_below,
    slices,
)
from merbench.parameters import Within

Vector = NDArray[np.float64]
Vectors = Mapping[str, Vector]
Rule = Callable[[Vector, NDArray[np.uint16], Sequence[Mapping[str, Any]]], Vector]
"""Values and slices of several samples, and the parameters of each or of all -> their corrupted values."""

MODALITIES = ("audio", "video", "text", "physiology")
"""What may be corrupted; a modality's index is that of its stretch of a generator's words."""

_STRETCH = 1 << 64

Decibels = Annotated[float, Within(-20, 60, "dB")]
Rate = Annotated[float, Within(0, 1)]
Which = Literal["all", "audio", "video", "text", "audio+video", "audio+text", "video+text"]


def chosen_modalities(signal: Mapping[str, Any], modalities: str) -> list[str]:
    """Return which modalities of a signal the parameter `modalities` means, in the order of `MODALITIES`."""
    named = MODALITIES if modalities == "all" else modalities.split("+")
    return [name for name in MODALITIES if name in named and name in signal]


def own_stretches(rng: PCG64, names: Sequence[str]) -> Iterator[str]:
    """Yield modalities, and before each set the generator to the beginning of that modality's stretch."""
    at_origin = rng.state if len(names) > 1 else None
    for name in names:
        if at_origin is not None:
            rng.state = at_origin
        if index := MODALITIES.index(name):
            rng.advance(index * _STRETCH)
        yield name


def edited(signal: Vectors, rng: PCG64, modalities: str, edit: Callable[[str, Vector], Vector]) -> dict[str, Vector]:
    """Return the signal with `edit(modality, values)` for every chosen modality; each uses its own stretch."""
    names = chosen_modalities(signal, modalities)
    return {**signal, **{name: edit(name, signal[name]) for name in own_stretches(rng, names)}}


def _by_rule(rule: Rule, rng: PCG64, parameters: Mapping[str, Any], name: str, values: Vector) -> Vector:
    return rule(values.reshape(1, -1), slices(rng, values.size)[None], [parameters]).reshape(values.shape)


@corruption("features")
def feature_noise(
    signal: Vectors, rng: PCG64, *, snr_db: Decibels, factor: Annotated[int, Within(1, 64, "neighbouring dimensions")]
) -> dict[str, Vector]:
    """Add Gaussian noise to the audio vector and average blocks of the video vector: a proxy of noisy media.

    A proxy, by merbench's own definition, of the noise of MER 2023 (speech noise, blurred frames) for those who have
    vectors instead of media. Audio: `x + N(0, rms(x) / 10^(snr_db / 20))` in every dimension; a vector of zeros stays.
    Video: every run of `factor` neighbouring dimensions is replaced by its mean (the last run may be shorter).

    Args:
        snr_db: expected ratio of the rms of the vector to that of the noise.
        factor: length of the runs; 1 leaves the video vector as it is.
    """
    corrupted = dict(signal)
    if "audio" in signal:
        corrupted["audio"] = _with_noise(signal["audio"], rng, snr_db)
    if "video" in signal:
        corrupted["video"] = _block_means(signal["video"], factor)
    return corrupted


def _with_noise(vector: Vector, rng: PCG64, snr_db: float) -> Vector:
    rms = math.sqrt(math.fsum(np.square(vector).ravel().tolist()) / vector.size)
    deviation = rms / amplitude_ratio(snr_db)
    return vector + deviation * (normals(rng, vector.size).reshape(vector.shape) * NORMAL_UNIT)


def _block_means(vector: Vector, factor: int) -> Vector:
    n_dimensions = vector.shape[-1]
    starts = np.arange(0, n_dimensions, factor)
    lengths = np.diff(starts, append=n_dimensions)
    means = np.add.reduceat(vector, starts, axis=-1) / lengths
    return np.repeat(means, lengths, axis=-1)


N_DIFFUSION_STEPS = 100
"""Steps of NMER's noise scheduler; step t = 99 leaves next to nothing of a signal."""

_FIRST_BETA, _LAST_BETA = 0.01, 0.5
_LEAST_IMPULSE = math.ceil(0.7 * (N_SLICES // 2))

NoiseKind = Literal["gaussian", "impulse"]
Schedule = Literal["scaled_linear", "linear", "squaredcos_cap_v2", "sigmoid"]
DiffusionStep = Annotated[int, Within(0, N_DIFFUSION_STEPS - 1, "of 100 steps")]


@cache
def alpha_bar(schedule: str) -> tuple[float, ...]:
    """Return by step t = 0 to 99 the share of a signal's power that is left: the product of all 1 - beta up to t.

    Args:
        schedule: how beta rises, in all but one case from 0.01 to 0.5: `linear` (Ho et al., 2020); `scaled_linear`, in
            its square root (Rombach et al., 2022); `sigmoid`, along a logistic curve from -6 to 6 (Xu et al., 2022);
            or `squaredcos_cap_v2`, whose products follow a squared cosine, with beta at most 0.999 (Nichol and
            Dhariwal, 2021). A beta that depends on a cosine or an exponential is rounded to 12 decimals, so that it is
            the same on every machine.
    """
    left, product = [], 1.0
    for beta in _betas(schedule):
        product *= 1.0 - beta
        left.append(product)
    return tuple(left)


def _betas(schedule: str) -> list[float]:
    shares = [t / (N_DIFFUSION_STEPS - 1) for t in range(N_DIFFUSION_STEPS)]
    match schedule:
        case "linear":
            return [_FIRST_BETA + share * (_LAST_BETA - _FIRST_BETA) for share in shares]
        case "scaled_linear":
            first, last = math.sqrt(_FIRST_BETA), math.sqrt(_LAST_BETA)
            return [(first + share * (last - first)) * (first + share * (last - first)) for share in shares]
        case "sigmoid":
            rises = [1 / (1 + math.exp(6 - 12 * share)) for share in shares]
            return [round(_FIRST_BETA + rise * (_LAST_BETA - _FIRST_BETA), 12) for rise in rises]
        case "squaredcos_cap_v2":
            times = [t / N_DIFFUSION_STEPS for t in range(N_DIFFUSION_STEPS + 1)]
            left = [math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2 for time in times]
            ratios = zip(left[1:], left, strict=False)
            return [round(min(1 - after / before, 0.999), 12) for after, before in ratios]
    raise ValueError(f"schedule must be one of {', '.join(get_args(Schedule))}, not {schedule!r}")


@cache
def _noise_table(kind: str) -> Vector:
    """Return the noise of each number of 16 bits."""
    if kind == "gaussian":
        return np.asarray(normal_quantiles() * NORMAL_UNIT, dtype=np.float64)
    numbers = np.arange(N_SLICES)
    return np.where(numbers >> 1 >= _LEAST_IMPULSE, 1.0 - 2.0 * (numbers & 1), 0.0)


def _with_scaled_noise(
    values: Vector, numbers: NDArray[np.uint16], kind: str, kept: Sequence[float], noise: Sequence[float]
) -> Vector:
    """Return `kept` times the values plus `noise` times the noise, with a factor for each row or one for all."""
    corrupted = np.empty(values.shape)
    np.take(_noise_table(kind), numbers, out=corrupted, mode="clip")  # none is outside; this mode writes without a copy
    corrupted *= _factor(noise)
    corrupted += values * _factor(kept)
    return corrupted


def _factor(numbers: Sequence[float]) -> float | Vector:
    return numbers[0] if len(numbers) == 1 else np.array(numbers)[:, None]


@corruption("features", source="Fan et al. 2023 (NMER)")
def diffusion_noise(
    signal: Vectors,
    rng: PCG64,
    *,
    kind: NoiseKind = "gaussian",
    schedule: Schedule = "scaled_linear",
    t: DiffusionStep,
    modalities: Which = "all",
) -> dict[str, Vector]:
    """Mix vectors with noise: `sqrt(a) x + sqrt(1 - a) n`, with `a = alpha_bar(schedule)[t]`.

    The noise scheduler of NMER (Fan et al., 2023, arXiv:2311.16114), whose noisy vectors replace missing modalities.
    Gaussian: n is standard normal. Impulse: n is -1 or 1 with equal chances where a uniform number is above 0.7, else
    0; so three tenths of the numbers get an impulse. NMER samples t uniformly for every batch, which is
    `t = { integers = [0, 99] }` here, for every sample; a sample's modalities share their t (separate steps, with one
    modality each, sample it separately). The noise does not depend on the vector: one of zeros becomes noise.

    Args:
        kind: kind of noise.
        schedule: how fast the noise rises with t.
        t: the step, from 0 (almost clean) to 99 (almost noise).
        modalities: which are corrupted.
    """
    parameters = {"kind": kind, "schedule": schedule, "t": t}
    return edited(signal, rng, modalities, partial(_by_rule, _diffused, rng, parameters))


def _diffused(values: Vector, numbers: NDArray[np.uint16], parameters: Sequence[Mapping[str, Any]]) -> Vector:
    left = alpha_bar(parameters[0]["schedule"])
    kept, noise = zip(*((math.sqrt(left[p["t"]]), math.sqrt(1 - left[p["t"]])) for p in parameters), strict=True)
    return _with_scaled_noise(values, numbers, parameters[0]["kind"], kept, noise)


def _realised_snr(before: Vectors, after: Vectors, *, modalities: Which) -> dict[str, float]:
    """Return by modality the ratio of the rms of the vector to that of the noise; without silent and clean ones."""
    ratios = {}
    for name in chosen_modalities(before, modalities):
        clean, noise = (float(np.square(values).sum()) for values in (before[name], after[name] - before[name]))
        if clean > 0 and noise > 0:
            ratios[f"realised_snr_db_{name}"] = 10 * math.log10(clean / noise)
    return ratios


@corruption("features", severities={"snr_db": (20, 15, 10, 5, 0)}, measured=_realised_snr)
def gaussian_noise_features(
    signal: Vectors, rng: PCG64, *, snr_db: Decibels, modalities: Which = "all"
) -> dict[str, Vector]:
    """Add Gaussian noise at a signal-to-noise ratio: `N(0, rms(x) / 10^(snr_db / 20))` to every number.

    Args:
        snr_db: expected ratio of the rms of the vector to that of the noise; a vector of zeros stays.
        modalities: which are corrupted.
    """
    return edited(signal, rng, modalities, partial(_by_rule, _noisy, rng, {"snr_db": snr_db}))


def _noisy(values: Vector, numbers: NDArray[np.uint16], parameters: Sequence[Mapping[str, Any]]) -> Vector:
    ratios = np.array([amplitude_ratio(p["snr_db"]) for p in parameters])
    deviations = np.sqrt(_sums_of_squares(values) / max(values.shape[1], 1)) / ratios
    return _with_scaled_noise(values, numbers, "gaussian", (1.0,), deviations.tolist())


def _sums_of_squares(values: Vector) -> Vector:
    """Return the sum of each row's squares, added by halves: an order that no library chooses."""
    sums = np.square(values)
    while sums.shape[1] > 1:
        half = (sums.shape[1] + 1) // 2
        upper = sums[:, half:]
        sums = sums[:, :half]
        sums[:, : upper.shape[1]] += upper
    return sums[:, 0] if sums.shape[1] else np.zeros(len(values))


def _realised_zeros(before: Vectors, after: Vectors, *, modalities: Which) -> dict[str, float]:
    """Return the share of all numbers of the corrupted modalities that are zero and were not."""
    names = chosen_modalities(before, modalities)
    n = sum(before[name].size for name in names)
    dropped = sum(int(np.count_nonzero((after[name] == 0) & (before[name] != 0))) for name in names)
    return {"realised_rate": dropped / n if n else 0.0}


@corruption("features", source="Yuan et al. 2024 (OpenVNA)", unchanged_at={"rate": 0}, measured=_realised_zeros)
def random_drop(
    signal: Vectors, rng: PCG64, *, rate: Rate, unit: Literal["element", "frame"] = "element", modalities: Which = "all"
) -> dict[str, Vector]:
    """Set each number, or each frame, to zero with a probability, independently.

    Args:
        rate: the probability, in steps of 1/65,536.
        unit: what is set to zero; a vector is one frame.
        modalities: which are corrupted.
    """
    if unit == "element":
        return edited(signal, rng, modalities, partial(_by_rule, _dropped, rng, {"rate": rate}))

    def without_frames(name: str, values: Vector) -> Vector:
        frames = np.atleast_2d(values)
        kept = _dropped(np.ones((1, len(frames))), slices(rng, len(frames))[None], [{"rate": rate}])[0] == 1
        return np.where(kept[:, None], frames, 0.0).reshape(values.shape)

    return edited(signal, rng, modalities, without_frames)


def _dropped(values: Vector, numbers: NDArray[np.uint16], parameters: Sequence[Mapping[str, Any]]) -> Vector:
    least = np.array([round(p["rate"] * N_SLICES) for p in parameters])[:, None]
    kept = numbers >= np.minimum(least, N_SLICES - 1).astype(np.uint16)
    kept &= least < N_SLICES
    corrupted: Vector = values * kept
    corrupted += 0.0  # zero times a negative number is a negative zero
    return corrupted


@corruption("features", source="Yuan et al. 2024 (OpenVNA)", unchanged_at={"rate": 0}, measured=_realised_zeros)
def structural_drop(signal: Vectors, rng: PCG64, *, rate: Rate, modalities: Which = "all") -> dict[str, Vector]:
    """Set one contiguous stretch to zero: of the frames `(m, d)`, or of the dimensions of a vector.

    Of n frames or dimensions, `rate * n` rounded half to even are lost; every position of the stretch is equally
    likely.

    Args:
        rate: share that is lost.
        modalities: which are corrupted.
    """

    def without_stretch(name: str, values: Vector) -> Vector:
        lost = round(rate * len(values))
        start = one_below(rng, len(values) - lost + 1)
        corrupted = values.copy()
        corrupted[start : start + lost] = 0
        return corrupted

    return edited(signal, rng, modalities, without_stretch)


RULES: Mapping[str, Rule] = MappingProxyType(
    {"diffusion_noise": _diffused, "gaussian_noise_features": _noisy, "random_drop": _dropped}
)
"""Corruptions that use one number of 16 bits for every number, so that several samples are corrupted at once."""
