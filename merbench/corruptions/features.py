"""Corruptions of feature vectors: what stands in for damaged media where only features are at hand.

Conventions:
    signal: a mapping from modality to that sample's vector, `(d,)`, or frames, `(m, d)`, of finite float64;
    returned is a new mapping of the same shapes. Modalities that a corruption does not name pass through as they are,
    and so do those of other names than `MODALITIES`.
    draws: every modality has a stretch of the generator's words of its own, so that neither which modalities a sample
    has nor how wide their vectors are changes what happens to another one.
    Several samples at once: `values` are `(k, n)`, a sample's numbers a row, and `slices` as many draws of 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.drawing import N_SLICES, NORMAL_UNIT, normal_quantiles, normals, one_below, slices
from merbench.corruptions.powers import amplitude_ratio

Vector = NDArray[np.float64]


@corruption(
    modality="features",
    summary="a proxy of noisy media: Gaussian noise on the audio vector, block averages of the video vector",
    parameters={
        "snr_db": Parameter("number", low=-20, high=60, unit="dB"),
        "factor": Parameter("integer", low=1, high=64, unit="neighbouring dimensions"),
    },
)
def feature_noise(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> dict[str, Vector]:
    """Damage the audio and video vectors of one sample; text stays as it is.

    A proxy, by merbench's own definition, of the noise of MER 2023 (speech noise, blurred frames) for those who hold
    vectors instead of media. Audio: `x + N(0, rms(x) / 10^(snr_db / 20))` in every dimension; a vector of zeros stays.
    Video: every run of `factor` neighbouring dimensions is replaced by its mean (the last run may be shorter).

    Args:
        signal: vectors by modality.
        rng: the generator of this sample and step; only noise for audio is drawn.
        parameters: `snr_db`, the expected ratio of the rms of the vector to that of the noise; `factor`, the length
            of the runs, 1 for no damage.
    """
    damaged = dict(signal)
    if "audio" in signal:
        damaged["audio"] = _with_noise(signal["audio"], rng, parameters["snr_db"])
    if "video" in signal:
        damaged["video"] = _block_means(signal["video"], parameters["factor"])
    return damaged


def _with_noise(vector: Vector, rng: np.random.PCG64, snr_db: float) -> Vector:
    rms = math.sqrt(math.fsum(np.square(vector).ravel().tolist()) / vector.size)
    deviation = rms / amplitude_ratio(snr_db)
    return vector + deviation * (normals(rng, vector.size).reshape(vector.shape) * NORMAL_UNIT)


def _block_means(vector: Vector, factor: int) -> Vector:
    n_dimensions = vector.shape[-1]
    starts = np.arange(0, n_dimensions, factor)
    lengths = np.diff(starts, append=n_dimensions)
    means = np.add.reduceat(vector, starts, axis=-1) / lengths
    return np.repeat(means, lengths, axis=-1)


MODALITIES = ("audio", "video", "text", "physiology")
"""What may be damaged; a modality's place here is that of its stretch of a generator's words."""

_STRETCH = 1 << 64

WHICH = Parameter(
    "string",
    choices=("all", "audio", "video", "text", "audio+video", "audio+text", "video+text"),
    default="all",
)
"""The parameter `modalities`: which are damaged."""


def damaged_modalities(signal: Mapping[str, Any], modalities: str) -> list[str]:
    """Return which modalities of a signal the parameter `modalities` means, in the order of `MODALITIES`."""
    named = MODALITIES if modalities == "all" else modalities.split("+")
    return [name for name in MODALITIES if name in named and name in signal]


def own_stretches(rng: np.random.PCG64, names: Sequence[str]) -> Iterator[str]:
    """Go through modalities, and before each set the generator to the beginning of that modality's stretch."""
    at_origin = rng.state if len(names) > 1 else None
    for name in names:
        if at_origin is not None:
            rng.state = at_origin
        if place := MODALITIES.index(name):
            rng.advance(place * _STRETCH)
        yield name


N_DIFFUSION_STEPS = 100
"""Steps of NMER's noise scheduler; step t = 99 leaves next to nothing of a signal."""

_FIRST_BETA, _LAST_BETA = 0.01, 0.5
_LEAST_IMPULSE = math.ceil(0.7 * (N_SLICES // 2))


@cache
def alpha_bar(schedule: str) -> tuple[float, ...]:
    """Return by step t = 0 to 99 the share of a signal's power that is left: the product of all 1 - beta up to t.

    Args:
        schedule: how beta rises, in all but one case from 0.01 to 0.5: `linear` (Ho et al., 2020); `scaled_linear`, in
            its square root (Rombach et al., 2022); `sigmoid`, along a logistic curve from -6 to 6 (Xu et al., 2022);
            or `squaredcos_cap_v2`, whose products follow a squared cosine, with beta at most 0.999 (Nichol and
            Dhariwal, 2021). Where a beta rests on a cosine or an exponential, it is rounded to 12 decimals, so that it
            is the same on every machine.
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
    raise ValueError(f"no schedule named {schedule!r}")


@cache
def _noise_table(kind: str) -> Vector:
    """Return the noise that each draw of 16 bits stands for."""
    if kind == "gaussian":
        return np.asarray(normal_quantiles() * NORMAL_UNIT, dtype=np.float64)
    draws = np.arange(N_SLICES)
    return np.where(draws >> 1 >= _LEAST_IMPULSE, 1.0 - 2.0 * (draws & 1), 0.0)


def _with_scaled_noise(
    values: Vector, draws: NDArray[np.uint16], kind: str, kept: Sequence[float], noise: Sequence[float]
) -> Vector:
    """Return `kept` times the values plus `noise` times the noise, with a factor for each row or one for all."""
    damaged = np.empty(values.shape)
    np.take(_noise_table(kind), draws, out=damaged, mode="clip")  # no draw is outside; this mode writes without a copy
    damaged *= _factor(noise)
    damaged += values * _factor(kept)
    return damaged


def _factor(numbers: Sequence[float]) -> float | Vector:
    return numbers[0] if len(numbers) == 1 else np.array(numbers)[:, None]


DIFFUSION = MappingProxyType(
    {
        "kind": Parameter("string", choices=("gaussian", "impulse"), default="gaussian"),
        "schedule": Parameter(
            "string", choices=("scaled_linear", "linear", "squaredcos_cap_v2", "sigmoid"), default="scaled_linear"
        ),
    }
)
"""The parameters of diffusion noise beside its step."""


@corruption(
    modality="features",
    summary="a mixture of the vector and noise, as in the steps of a diffusion process",
    parameters={
        **DIFFUSION,
        "t": Parameter("integer", low=0, high=N_DIFFUSION_STEPS - 1, unit="of 100 steps"),
        "modalities": WHICH,
    },
    source="Fan et al. 2023 (NMER)",
)
def diffusion_noise(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> dict[str, Vector]:
    """Mix vectors with noise: `sqrt(a) x + sqrt(1 - a) n`, with `a = alpha_bar(schedule)[t]`.

    The noise scheduler of NMER (Fan et al., 2023, arXiv:2311.16114), whose noisy vectors stand for missing modalities.
    Gaussian: n is standard normal. Impulse: n is -1 or 1 with equal chances where a uniform draw is above 0.7, else 0;
    so three tenths of the numbers get an impulse. NMER draws t uniformly for every batch, which is
    `t = { integers = [0, 99] }` here, for every sample; a sample's modalities share their t (steps of their own, with
    one modality each, draw it apart). The noise does not depend on the vector: one of zeros becomes noise.

    Args:
        signal: vectors or frames by modality.
        rng: the generator of this sample and step.
        parameters: `kind` of noise; `schedule`; `t`, the step, from 0 (almost clean) to 99 (almost noise);
            `modalities`, which are damaged.
    """
    return _damaged_each(signal, rng, parameters, _diffused)


def _damaged_each(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any], rule: Rule
) -> dict[str, Vector]:
    damaged = dict(signal)
    for name in own_stretches(rng, damaged_modalities(signal, parameters["modalities"])):
        values = signal[name]
        damaged[name] = rule(values.reshape(1, -1), slices(rng, values.size)[None], [parameters]).reshape(values.shape)
    return damaged


Rule = Callable[[Vector, NDArray[np.uint16], Sequence[Mapping[str, Any]]], Vector]
"""Several samples' values and draws, and the parameters of each or of all -> their damaged values."""


def _diffused(values: Vector, draws: NDArray[np.uint16], parameters: Sequence[Mapping[str, Any]]) -> Vector:
    left = alpha_bar(parameters[0]["schedule"])
    kept, noise = zip(*((math.sqrt(left[p["t"]]), math.sqrt(1 - left[p["t"]])) for p in parameters), strict=True)
    return _with_scaled_noise(values, draws, parameters[0]["kind"], kept, noise)


def _realised_snr(
    before: Mapping[str, Vector], after: Mapping[str, Vector], parameters: Mapping[str, Any]
) -> dict[str, float]:
    """Return by modality the ratio of the rms of the vector to that of the noise; without silent and clean ones."""
    found = {}
    for name in damaged_modalities(before, parameters["modalities"]):
        clean, noise = (float(np.square(values).sum()) for values in (before[name], after[name] - before[name]))
        if clean > 0 and noise > 0:
            found[f"realised_snr_db_{name}"] = 10 * math.log10(clean / noise)
    return found


@corruption(
    modality="features",
    summary="Gaussian noise at a signal-to-noise ratio",
    parameters={"snr_db": Parameter("number", low=-20, high=60, unit="dB"), "modalities": WHICH},
    severities={"snr_db": (20, 15, 10, 5, 0)},
    measured=_realised_snr,
)
def gaussian_noise_features(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> dict[str, Vector]:
    """Add `N(0, rms(x) / 10^(snr_db / 20))` to every number of the vectors or frames.

    The ratio of the rms of the vector to that of the noise is as declared in expectation; a vector of zeros stays.

    Args:
        signal: vectors or frames by modality.
        rng: the generator of this sample and step.
        parameters: `snr_db`; `modalities`, which are damaged.
    """
    return _damaged_each(signal, rng, parameters, _noisy)


def _noisy(values: Vector, draws: NDArray[np.uint16], parameters: Sequence[Mapping[str, Any]]) -> Vector:
    ratios = np.array([amplitude_ratio(p["snr_db"]) for p in parameters])
    deviations = np.sqrt(_sums_of_squares(values) / max(values.shape[1], 1)) / ratios
    return _with_scaled_noise(values, draws, "gaussian", (1.0,), deviations.tolist())


def _sums_of_squares(values: Vector) -> Vector:
    """Return the sum of each row's squares, added by halves: an order that no library chooses."""
    sums = np.square(values)
    while sums.shape[1] > 1:
        half = (sums.shape[1] + 1) // 2
        upper = sums[:, half:]
        sums = sums[:, :half]
        sums[:, : upper.shape[1]] += upper
    return sums[:, 0] if sums.shape[1] else np.zeros(len(values))


def realised_zeros(
    before: Mapping[str, Vector], after: Mapping[str, Vector], parameters: Mapping[str, Any]
) -> dict[str, float]:
    """Return the share of all numbers of the damaged modalities that are zero and were not."""
    names = damaged_modalities(before, parameters["modalities"])
    n = sum(before[name].size for name in names)
    dropped = sum(int(np.count_nonzero((after[name] == 0) & (before[name] != 0))) for name in names)
    return {"realised_rate": dropped / n if n else 0.0}


def leaves_at_rate_0(parameters: Mapping[str, Any]) -> bool:
    """Return whether nothing is dropped."""
    return bool(parameters["rate"] == 0)


RATE = Parameter("number", low=0, high=1)
"""The parameter `rate`: a share, or a probability."""


@corruption(
    modality="features",
    summary="numbers or whole frames set to zero at random",
    parameters={
        "rate": RATE,
        "unit": Parameter("string", choices=("element", "frame"), default="element"),
        "modalities": WHICH,
    },
    source="Yuan et al. 2024 (OpenVNA)",
    leaves=leaves_at_rate_0,
    measured=realised_zeros,
)
def random_drop(signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]) -> dict[str, Vector]:
    """Set each number, or each frame, to zero with a probability, independently (random drop of OpenVNA).

    Args:
        signal: vectors or frames by modality.
        rng: the generator of this sample and step.
        parameters: `rate`, the probability, in steps of 1/65,536; `unit`, `element` or `frame` (a vector is one
            frame); `modalities`, which are damaged.
    """
    if parameters["unit"] == "element":
        return _damaged_each(signal, rng, parameters, _dropped)
    damaged = dict(signal)
    for name in own_stretches(rng, damaged_modalities(signal, parameters["modalities"])):
        frames = np.atleast_2d(signal[name])
        kept = _dropped(np.ones((1, len(frames))), slices(rng, len(frames))[None], [parameters])[0] == 1
        damaged[name] = np.where(kept[:, None], frames, 0.0).reshape(signal[name].shape)
    return damaged


def _dropped(values: Vector, draws: NDArray[np.uint16], parameters: Sequence[Mapping[str, Any]]) -> Vector:
    least = np.array([round(p["rate"] * N_SLICES) for p in parameters])[:, None]
    kept = draws >= np.minimum(least, N_SLICES - 1).astype(np.uint16)
    kept &= least < N_SLICES
    damaged: Vector = values * kept
    damaged += 0.0  # zero times a negative number is a negative zero
    return damaged


@corruption(
    modality="features",
    summary="one contiguous stretch of frames, or of a vector's dimensions, set to zero",
    parameters={"rate": RATE, "modalities": WHICH},
    source="Yuan et al. 2024 (OpenVNA)",
    leaves=leaves_at_rate_0,
    measured=realised_zeros,
)
def structural_drop(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> dict[str, Vector]:
    """Set one stretch to zero: of the frames `(m, d)`, or of the dimensions of a vector (structural drop of OpenVNA).

    Of n frames or dimensions, `rate * n` rounded half to even are lost; every place of the stretch is equally likely.

    Args:
        signal: vectors or frames by modality.
        rng: the generator of this sample and step.
        parameters: `rate`, the share that is lost; `modalities`, which are damaged.
    """
    damaged = dict(signal)
    for name in own_stretches(rng, damaged_modalities(signal, parameters["modalities"])):
        length = len(signal[name])
        lost = round(parameters["rate"] * length)
        start = one_below(rng, length - lost + 1)
        damaged[name] = signal[name].copy()
        damaged[name][start : start + lost] = 0
    return damaged


RULES: Mapping[str, Rule] = MappingProxyType(
    {"diffusion_noise": _diffused, "gaussian_noise_features": _noisy, "random_drop": _dropped}
)
"""Corruptions of which every number takes one draw of 16 bits, so that several samples go through at once."""
