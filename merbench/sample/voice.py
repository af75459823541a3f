"""The voice of a sample: a row of syllables from glottal pulses through formants.

Each pulse of the larynx rings in the formants of a vowel (formant wave functions: Rodet, 1984; formants of five
vowels: Peterson and Barney, 1952); between the vowels there is breath. Level, range and course of the pitch, the
number of syllables, loudness and brightness follow the emotion; register, length of the throat and manner are the
speaker's. It does not sound human, but measures of pitch, spectrum and rhythm apply to it as to human voices.

Conventions:
    Sound is int16 at 16 kHz, one channel, 1,280 samples per picture. It is computed with integers, from tables of
    rounded values, so that it is the same on every machine. Pitch is in sixteenths of a semitone, levels are in half
    decibels, an envelope goes from 0 to 256, and the part of a syllable that is over from 0 to 4,095.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.drawing import below, generator, normals, one_below, uniforms
from merbench.sample.scenes import N_SPEAKERS, SEED, Scenes, stream
from merbench.sample.vectors import AUDIO, Expression, scaled

Integers = NDArray[np.int64]

RATE_HZ = 16_000

PICTURE = 1_280  # samples while one picture is shown: 12.5 pictures per second

VOICE = Expression(
    AUDIO,
    ("pitch", "range", "course", "rate", "loudness", "brightness"),
    {
        "neutral": (-1, -4, -2, 1, 0, 0),
        "angry": (5, 4, -7, 4, 9, 9),
        "happy": (6, 7, 7, 5, 4, 3),
        "sad": (-5, -5, -5, -8, -7, -6),
        "worried": (1, -2, 6, 6, -6, -5),
        "surprise": (9, 11, 10, -3, 4, 1),
    },
    pleasant=(1, 2, 2, 0, 0, 1),
    speaker=2,
)

FORMANTS_HZ = (
    (730, 1090, 2440, 3500),
    (530, 1840, 2480, 3600),
    (270, 2290, 3010, 3700),
    (570, 840, 2410, 3400),
    (300, 870, 2240, 3400),
)
"""The first formants of the vowels a, e, i, o, u of men; the fourth is filled in."""

BANDWIDTHS_HZ = (60, 90, 130, 200)

_FORMANT_DB = (0, -14, -28, -40)  # level of each formant in a voice of mean brightness
_BRIGHTENED = (0, 1, 2, 2)  # by how many halves of the brightness each formant is louder
_THROATS = (0.92, 1.0, 1.08, 1.16, 1.24)  # what formants are multiplied by, from the longest throat to the shortest
_RINGING = 320  # samples after which a formant is no longer heard
_FULL = 1 << 12  # amplitude of the first formant in the tables
_PITCH_STEPS = 16  # per semitone
_LOWEST_HZ = 50
_SEMITONES = 48
_PHASE = 1 << 24  # one period
_MARGIN = 1_000  # samples before the first syllable and after the last
_OPEN = 256  # the largest value of an envelope
_BREATH = 3  # level of the breath of a consonant; a sixteenth of it goes with a vowel
_REACH = 80  # largest gain or loss in the table of gains


@dataclass(frozen=True, eq=False)
class Voices:
    """The voice of each sample, one number per scene."""

    n_pictures: Integers  # length of the clip
    pitch: Integers  # mean, above 50 Hz
    range: Integers  # how far a stressed syllable rises
    course: Integers  # how far the pitch rises from the beginning to the end
    n_syllables: Integers
    loudness_db: Integers
    brightness_db: Integers  # how much louder high formants ring than on average
    throat: Integers  # place in the table of throats


def voices(scenes: Scenes) -> Voices:
    """Return the voices of all samples."""
    control = VOICE.of(scenes)
    n_pictures = 15 + below(stream("clip length"), len(scenes), 6)
    is_high = (stream("register").random_raw(N_SPEAKERS) & np.uint64(1)).astype(np.int64)[scenes.speaker]
    per_100_pictures = np.clip(scaled(control["rate"], 34, 4), 16, 60)
    return Voices(
        n_pictures,
        np.clip(scaled(control["pitch"], 14 * _PITCH_STEPS, 21) + 9 * _PITCH_STEPS * is_high, 48, 576),
        np.clip(scaled(control["range"], 36, 12), 4, 128),
        scaled(control["course"], -24, 24),
        np.maximum(n_pictures * per_100_pictures // 100, 2),
        np.clip(scaled(control["loudness"], -4, 5), -36, 16),
        np.clip(scaled(control["brightness"], 0, 5), -24, 24),
        np.clip(scaled(normals(stream("throat"), N_SPEAKERS), 1, 1), 0, 2)[scenes.speaker] + 2 * is_high,
    )


@dataclass(frozen=True, eq=False)
class Speech:
    """The sound of one sample, and how open the mouth is in each picture, from 0 to 256."""

    samples: NDArray[np.int16]
    opening: Integers


def speech(voices: Voices, row: int, sample_id: str) -> Speech:
    """Return the speech of one sample."""
    rng = generator(SEED, "clip speech", sample_id)
    n = int(voices.n_pictures[row]) * PICTURE
    n_syllables = int(voices.n_syllables[row])
    syllable, part = _syllables(n, n_syllables, rng)
    vowel = _vowel_envelope(part)
    pitch = _pitch(voices, row, syllable, part, rng)
    pulses = np.flatnonzero(np.diff(np.cumsum(_phase_steps()[pitch]) // _PHASE))
    vowels = below(rng, n_syllables, len(FORMANTS_HZ))
    brightness = int(voices.brightness_db[row])
    heard = _ringing(pulses, vowel, vowels[syllable], _rings(int(voices.throat[row]), brightness))
    hiss = normals(rng, n + 1)
    breath = (16 * _consonant_envelope(part) + vowel) * _gain(-brightness)
    heard += (_BREATH * breath * np.diff(hiss)) >> 24
    heard = (heard * _gain(int(voices.loudness_db[row])) >> 8) + _background(hiss, rng)
    opening = vowel.reshape(-1, PICTURE).sum(axis=1) // PICTURE
    return Speech(np.clip(heard, -32_768, 32_767).astype(np.int16), opening)


def _background(hiss: Integers, rng: np.random.PCG64) -> Integers:
    """Return background noise, hiss without its highest part: 16 to 43 dB below a voice of mean loudness."""
    summed = np.cumsum(hiss)
    gain_db = -72 + one_below(rng, 57)
    return np.concatenate([summed[:4], summed[4:] - summed[:-4]])[1:] * _gain(gain_db) >> 12


def _syllables(n: int, n_syllables: int, rng: np.random.PCG64) -> tuple[Integers, Integers]:
    """Return the number of each sample's syllable, and how much of it is over; none and all of it in the margins."""
    length = (n - 2 * _MARGIN) // n_syllables
    strayed = ((uniforms(rng, n_syllables) - 0.5) * (length // 3)).astype(np.int64)
    starts = _MARGIN + np.arange(n_syllables + 1) * length
    starts[1:-1] += strayed[1:]
    places = np.arange(n)
    syllable = np.clip(np.searchsorted(starts, places, side="right") - 1, 0, n_syllables - 1)
    part = (places - starts[syllable]) * 4096 // np.diff(starts)[syllable]
    return syllable, np.clip(part, 0, 4095)


def _vowel_envelope(part: Integers) -> Integers:
    """Return the envelope of the vowels: from a quarter of the syllable on, risen and fallen in a fifth of it."""
    envelope: Integers = np.clip(np.minimum(part - 1024, 4095 - part) * 5 // 16, 0, _OPEN)
    return envelope


def _consonant_envelope(part: Integers) -> Integers:
    """Return the envelope of the consonants: a triangle over the first 3 eighths of the syllable."""
    envelope: Integers = np.clip(np.minimum(part, 1536 - part) // 3, 0, _OPEN)
    return envelope


def _pitch(voices: Voices, row: int, syllable: Integers, part: Integers, rng: np.random.PCG64) -> Integers:
    """Return the pitch of each sample: a line, and on it a hill for each syllable, by its stress."""
    n = len(part)
    range_, course = int(voices.range[row]), int(voices.course[row])
    stressed = below(rng, int(syllable[-1]) + 1, 257)
    hill = np.minimum(part, 4095 - part) * range_ * stressed[syllable] >> 19
    line = course * (2 * np.arange(n) - n) // (2 * n)
    return np.clip(int(voices.pitch[row]) - range_ // 4 + line + hill, 0, _SEMITONES * _PITCH_STEPS - 1)


@cache
def _phase_steps() -> Integers:
    """Return the phase of one sample, for every pitch."""
    steps = range(_SEMITONES * _PITCH_STEPS)
    return np.array([round(_PHASE * _LOWEST_HZ * 2 ** (step / _PITCH_STEPS / 12) / RATE_HZ) for step in steps])


def _ringing(pulses: Integers, envelope: Integers, vowel: Integers, rings: Integers) -> Integers:
    """Return the sum of what rings after every pulse."""
    heard = np.zeros(len(envelope) + _RINGING, np.int64)
    loud = pulses[envelope[pulses] > 0]
    for place, level, name in zip(loud.tolist(), envelope[loud].tolist(), vowel[loud].tolist(), strict=True):
        heard[place : place + _RINGING] += level * rings[name]
    return heard[: len(envelope)] >> 8


def _rings(throat: int, brightness_db: int) -> Integers:
    """Return what rings after a pulse in each vowel, `(vowels, samples)`."""
    halves = zip(_FORMANT_DB, _BRIGHTENED, strict=True)
    gains = np.array([_gain(level + brightened * brightness_db // 2) for level, brightened in halves])
    rings: Integers = (_formants()[throat] * gains[:, None]).sum(axis=1) >> 8
    return rings


@cache
def _formants() -> Integers:
    """Return what rings of each formant, `(throats, vowels, formants, samples)`.

    A damped sine follows from its two previous values; its factors are rounded to multiples of 2⁻²⁴.
    """
    shape = (len(_THROATS), len(FORMANTS_HZ), len(BANDWIDTHS_HZ))
    before, now, first, second = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for place in np.ndindex(shape):
        throat, vowel, formant = place
        turn = 2 * math.pi * _THROATS[throat] * FORMANTS_HZ[vowel][formant] / RATE_HZ
        decay = math.exp(-math.pi * BANDWIDTHS_HZ[formant] / RATE_HZ)
        now[place] = _rounded(_FULL * decay * math.sin(turn))
        first[place] = _rounded(2 * decay * math.cos(turn))
        second[place] = _rounded(decay * decay)
    rows = []
    for _ in range(_RINGING):
        rows.append(np.rint(before))
        before, now = now, first * now - second * before
    return np.stack(rows, axis=-1).astype(np.int64)


def _rounded(value: float) -> float:
    return round(value * (1 << 24)) / (1 << 24)


def _gain(half_db: int) -> int:
    """Return 256 times the factor of an amplitude."""
    return _gains()[min(max(half_db, -_REACH), _REACH) + _REACH]


@cache
def _gains() -> tuple[int, ...]:
    return tuple(round(256 * 10 ** (half_db / 40)) for half_db in range(-_REACH, _REACH + 1))
