"""Voices that speak no language: pulses through the formants of vowels, in syllables and phrases.

Each talker has a pitch that wanders and falls over a phrase, a vocal tract of its own length, and syllables of a vowel
that glides into the next, half of them after a hiss. Formants are the averages of Peterson and Barney (1952) for men,
bandwidths after Klatt (1980).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merbench.banks.synthetic.arithmetic import RATE_HZ, Integers, at_rms, between, resonated, stream, white

N_SAMPLES = 7 * RATE_HZ
LEVEL = 1966
"""The rms of speech: 6 % of full scale."""

_VOWELS_HZ = (
    (270, 2290, 3010),
    (530, 1840, 2480),
    (660, 1720, 2410),
    (730, 1090, 2440),
    (570, 840, 2410),
    (300, 870, 2240),
)
_BANDWIDTHS_HZ = (60, 90, 150)
_N_RESPONSE = 480
_MS = RATE_HZ // 1000


@dataclass(frozen=True, slots=True)
class Talker:
    """A voice.

    Attributes:
        name: such as `talker-01`.
        pitch_hz: its mean.
        tract: by how many percent formants lie above those of an average man.
    """

    name: str
    pitch_hz: int
    tract: int


TALKERS = tuple(
    Talker(f"talker-{number + 1:02}", pitch_hz, tract)
    for number, (pitch_hz, tract) in enumerate(
        (
            (98, -6), (205, 14), (112, 0), (188, 11), (124, 4), (232, 19), (105, -3), (196, 16),
            (131, 2), (215, 12), (118, -1), (176, 9), (92, -8), (243, 22), (140, 6), (165, 8),
        )
    )
)  # fmt: skip


def speech(talker: Talker) -> Integers:
    """Return seven seconds of a talker."""
    rng = stream("babble", talker.name)
    responses = [_response(formants, talker.tract) for formants in _VOWELS_HZ]
    samples = np.zeros(N_SAMPLES + 4 * RATE_HZ, dtype=np.int64)
    place, vowel = between(rng, 0, 200) * _MS, between(rng, 0, len(_VOWELS_HZ) - 1)
    while place < N_SAMPLES:
        n_syllables = between(rng, 4, 9)
        for syllable in range(n_syllables):
            place = _consonant(samples, place, rng)
            following = between(rng, 0, len(_VOWELS_HZ) - 1)
            falling = 110 - 25 * syllable // n_syllables
            pitch = talker.pitch_hz * falling * between(rng, 94, 106) // 100
            place = _syllable(samples, place, rng, responses[vowel], responses[following], pitch)
            vowel = following
        place += between(rng, 120, 380) * _MS
    return at_rms(samples[:N_SAMPLES], LEVEL)


def _response(formants_hz: tuple[int, ...], tract: int) -> Integers:
    """Return what one pulse of the glottis sounds like through a vowel."""
    response = resonated([1 << 20, *([0] * (_N_RESPONSE - 1))], 0, 500)
    for frequency, bandwidth in zip(formants_hz, _BANDWIDTHS_HZ, strict=True):
        response = resonated(response, frequency * (100 + tract) / 100, bandwidth)
    return np.array(response, dtype=np.int64)


def _consonant(samples: Integers, place: int, rng: np.random.PCG64) -> int:
    """Add a hiss, or leave a gap, and return where it ends."""
    if between(rng, 0, 1):
        return place + between(rng, 15, 45) * _MS
    n = between(rng, 45, 95) * _MS
    hiss = np.diff(white(rng, n + 1))
    samples[place : place + n] += hiss * _arch(n) >> 9
    return place + n


def _syllable(
    samples: Integers, place: int, rng: np.random.PCG64, vowel: Integers, following: Integers, pitch: int
) -> int:
    """Add the pulses of a syllable and return where it ends; `pitch` is in hundredths of a hertz."""
    n, loudness = between(rng, 110, 250) * _MS, between(rng, 150, 256)
    arch, at = _arch(n), 0
    while at < n:
        glide = max(0, 256 * at // n - 128)
        response = ((256 - glide) * vowel + glide * following) >> 8
        samples[place + at : place + at + _N_RESPONSE] += response * (int(arch[at]) * loudness >> 8) >> 8
        at += RATE_HZ * 10_000 // (pitch * between(rng, 98, 102))
    return place + n


def _arch(n: int) -> Integers:
    """Return a parabola over `n` samples, 256 at its top."""
    at = np.arange(n, dtype=np.int64)
    return 1024 * at * (n - at) // (n * n)
