"""Whole numbers that ring, are random, and are brought to a level: what the parts of the synthetic bank are made of.

Conventions:
    Samples are `(n,)` int64. Coefficients are rounded to multiples of 2⁻³⁰ before they are used, so that the last bit
    of a cosine or an exponential, which differs between machines, changes nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions import generator
from merbench.corruptions.drawing import normals, one_below

RATE_HZ = 16_000

Integers = NDArray[np.int64]

_SHIFT = 30
_SEED = 1


def stream(purpose: str, item: str) -> np.random.PCG64:
    """Return the generator of one purpose and item."""
    return generator(_SEED, f"synthetic bank, {purpose}", item)


def between(rng: np.random.PCG64, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`, both included, of one word."""
    return low + one_below(rng, high - low + 1)


def white(rng: np.random.PCG64, n: int) -> Integers:
    """Return white noise of a standard deviation of 4,096."""
    return normals(rng, n)


def resonated(samples: list[int], frequency_hz: float, bandwidth_hz: float) -> list[int]:
    """Return samples after a resonator of two poles with a gain of 1 at 0 Hz (Klatt, 1980)."""
    b, c = _poles(frequency_hz, bandwidth_hz)
    a = (1 << _SHIFT) - b - c
    before = last = 0
    result = []
    for sample in samples:
        last, before = (a * sample + b * last + c * before) >> _SHIFT, last
        result.append(last)
    return result


def ringing(frequency_hz: float, bandwidth_hz: float, n: int, amplitude: int = 1 << 20) -> Integers:
    """Return a decaying oscillation, the impulse response of two poles; one of bandwidth 0 goes on."""
    b, c = _poles(frequency_hz, bandwidth_hz)
    last, before = 0, -amplitude
    result = []
    for _ in range(n):
        last, before = (b * last + c * before) >> _SHIFT, last
        result.append(last)
    peak = max(1, *map(abs, result))
    return np.array(result, dtype=np.int64) * amplitude // peak


def _poles(frequency_hz: float, bandwidth_hz: float) -> tuple[int, int]:
    radius = math.exp(-math.pi * bandwidth_hz / RATE_HZ)
    b = 2 * radius * math.cos(2 * math.pi * frequency_hz / RATE_HZ)
    return round(b * (1 << _SHIFT)), round(-radius * radius * (1 << _SHIFT))


def decay(n: int, time_ms: int) -> Integers:
    """Return an envelope that falls by 60 dB in a time, from 2³⁰ on."""
    factor = round(10 ** (-3 / (time_ms / 1000 * RATE_HZ)) * (1 << 40))
    value, result = 1 << 40, []
    for _ in range(n):
        result.append(value >> 10)
        value = value * factor >> 40
    return np.array(result, dtype=np.int64)


def convolved(samples: Integers, taps: Integers) -> Integers:
    """Return as many samples, each of them the exact sum of products with those before it.

    A transform of floats computes it; its error is far below a half, and the sums, being whole, are found by rounding.
    """
    n = len(samples) + len(taps) - 1
    size = 1 << (n - 1).bit_length()
    spectrum = np.fft.rfft(samples.astype(np.float64), size) * np.fft.rfft(taps.astype(np.float64), size)
    return np.rint(np.fft.irfft(spectrum, size)[: len(samples)]).astype(np.int64)


def at_rms(samples: Integers, rms: int) -> Integers:
    """Return the samples at a level, in steps of 16 bits; what would go beyond those is clipped."""
    # Sums of squares stay whole: samples are first brought to 20 bits.
    samples = _shrunk(samples)
    found = math.isqrt(sum(int(part @ part) for part in np.array_split(samples, 64)) // len(samples))
    return np.clip(samples * rms // max(found, 1), -32768, 32767)


def at_peak(samples: Integers, peak: int) -> Integers:
    """Return the samples with their largest at a level, in steps of 16 bits."""
    samples = _shrunk(samples)
    return samples * peak // max(int(np.abs(samples).max()), 1)


def _shrunk(samples: Integers) -> Integers:
    excess = int(np.abs(samples).max()).bit_length() - 20
    return samples >> excess if excess > 0 else samples
