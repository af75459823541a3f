"""Sudden sounds: a beep, a knock on wood, something of glass that breaks; three of each.

A beep is a tone of two harmonics. A knock is a handful of low modes that die out at once, struck two or three times.
Glass is a burst, and then many high modes that begin at random within a quarter of a second.
"""

from __future__ import annotations

import numpy as np

from merbench.banks.synthetic.arithmetic import RATE_HZ, Integers, at_peak, between, ringing, stream, white

KINDS = ("beep", "knock", "glass")
N_VARIANTS = 3
LEVEL = 16384
"""The peak: half of full scale."""

_MS = RATE_HZ // 1000


def event(kind: str, variant: int) -> Integers:
    """Return one of the sounds of a kind."""
    rng = stream("events", f"{kind} {variant}")
    make = {"beep": _beep, "knock": _knock, "glass": _glass}[kind]
    return at_peak(make(rng), LEVEL)


def _beep(rng: np.random.PCG64) -> Integers:
    n, edge = between(rng, 250, 450) * _MS, 10 * _MS
    frequency = between(rng, 700, 1600)
    tone = ringing(frequency, 0, n) + ringing(2 * frequency, 0, n, 1 << 18)
    at = np.arange(n, dtype=np.int64)
    return tone * np.minimum(np.minimum(at, n - 1 - at), edge) // edge


def _knock(rng: np.random.PCG64) -> Integers:
    n_ring, n_knocks = 120 * _MS, between(rng, 2, 3)
    modes = [
        ringing(between(rng, 140, 1100), between(rng, 25, 90), n_ring, between(rng, 1 << 18, 1 << 20)) for _ in range(6)
    ]
    struck = np.sum(modes, axis=0)
    apart = between(rng, 150, 240) * _MS
    samples = np.zeros(apart * (n_knocks - 1) + n_ring, dtype=np.int64)
    for knock in range(n_knocks):
        samples[knock * apart :][:n_ring] += struck * between(rng, 160, 256) >> 8
    return samples


def _glass(rng: np.random.PCG64) -> Integers:
    n = 700 * _MS
    samples = np.zeros(n, dtype=np.int64)
    n_burst = 25 * _MS
    samples[:n_burst] += np.diff(white(rng, n_burst + 1)) * (n_burst - np.arange(n_burst)) // n_burst << 7
    for _ in range(28):
        begin = between(rng, 0, 250) * _MS
        frequency, bandwidth, amplitude = between(rng, 2000, 7200), between(rng, 6, 30), between(rng, 1 << 16, 1 << 19)
        samples[begin:] += ringing(frequency, bandwidth, n - begin, amplitude)
    fade = np.minimum(np.arange(n, 0, -1), 50 * _MS)
    return samples * fade // (50 * _MS)
