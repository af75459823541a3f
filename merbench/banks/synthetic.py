"""The noise bank that merbench makes itself, so that everything runs without downloads; none of it is a recording.

Four parts, 16 kHz, 16 bits, mono: `babble`, sixteen voices that speak no language; `coloured`, noise of five colours;
`events`, beeps, knocks and breaking glass; `rooms`, impulse responses of seven reverberation times. A result on it says
nothing about recorded noise.

Conventions:
    Samples are `(n,)` int64. Everything is computed in whole numbers, so that every machine makes the same files, byte
    for byte: coefficients are rounded to multiples of 2⁻³⁰ before they are used, so that the last bit of a cosine or
    an exponential, which differs between machines, changes nothing.
"""

from __future__ import annotations

import math
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.banks.bank import Bank
from merbench.banks.folder import write_bank
from merbench.banks.sounds import Sound, measured
from merbench.corruptions import generator
from merbench.corruptions.drawing import normals, one_below

Integers = NDArray[np.int64]

VERSION = "1.0"
NAME = "synthetic"
RATE_HZ = 16_000

_MS = RATE_HZ // 1000
_SHIFT = 30
_SEED = 1


def build_synthetic(folder: Path) -> None:
    """Write the bank into an empty folder."""
    sounds = []
    for sound, samples in _sounds():
        sounds.append(sound)
        path = folder / sound.file
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(samples.astype("<i2").tobytes())
    bank = Bank(NAME, folder, measured(folder, sounds)[0], VERSION, "made by merbench, synthetic", "CC0-1.0")
    write_bank(folder, bank)


def _sounds() -> Iterator[tuple[Sound, Integers]]:
    """Yield the sounds, and their samples in steps of 16 bits."""
    for talker in TALKERS:
        yield Sound(f"babble/{talker.name}.wav", "babble", "voice", talker.name), speech(talker)
    for colour in COLOURS:
        yield Sound(f"coloured/{colour}.wav", "coloured", colour), noise(colour)
    for kind in EVENTS:
        for variant in range(N_VARIANTS):
            yield Sound(f"events/{kind}-{variant + 1}.wav", "events", kind), event(kind, variant)
    for time_ms in DECAY_TIMES_MS:
        sound = Sound(f"rooms/decay-{time_ms:04}-ms.wav", "rooms", f"{time_ms / 1000:g} s")
        yield sound, impulse_response(time_ms)


# Babble: pulses through the formants of vowels, in syllables and phrases. Each talker has a pitch that falls over a
# phrase, a vocal tract of its own length, and syllables of vowels that glide into the next, half of them after a hiss.
# Formants are the averages of Peterson and Barney (1952) for men, bandwidths after Klatt (1980).

N_SPEECH = 7 * RATE_HZ
SPEECH_RMS = 1966
"""6 % of full scale."""

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


class Talker(NamedTuple):
    """A voice: its name, its mean pitch, and by how many percent its formants lie above those of an average man."""

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
    rng = _stream("babble", talker.name)
    responses = [_glottal_pulse(formants, talker.tract) for formants in _VOWELS_HZ]
    samples = np.zeros(N_SPEECH + 4 * RATE_HZ, dtype=np.int64)
    place, vowel = _between(rng, 0, 200) * _MS, _between(rng, 0, len(_VOWELS_HZ) - 1)
    while place < N_SPEECH:
        n_syllables = _between(rng, 4, 9)
        for syllable in range(n_syllables):
            place = _consonant(samples, place, rng)
            following = _between(rng, 0, len(_VOWELS_HZ) - 1)
            falling = 110 - 25 * syllable // n_syllables
            pitch = talker.pitch_hz * falling * _between(rng, 94, 106) // 100
            place = _syllable(samples, place, rng, responses[vowel], responses[following], pitch)
            vowel = following
        place += _between(rng, 120, 380) * _MS
    return _at_rms(samples[:N_SPEECH], SPEECH_RMS)


def _glottal_pulse(formants_hz: tuple[int, ...], tract: int) -> Integers:
    """Return what one pulse of the glottis sounds like through a vowel."""
    response = _resonated([1 << 20, *([0] * (_N_RESPONSE - 1))], 0, 500)
    for frequency, bandwidth in zip(formants_hz, _BANDWIDTHS_HZ, strict=True):
        response = _resonated(response, frequency * (100 + tract) / 100, bandwidth)
    return np.array(response, dtype=np.int64)


def _consonant(samples: Integers, place: int, rng: np.random.PCG64) -> int:
    """Add a hiss, or leave a gap, and return where it ends."""
    if _between(rng, 0, 1):
        return place + _between(rng, 15, 45) * _MS
    n = _between(rng, 45, 95) * _MS
    hiss = np.diff(normals(rng, n + 1))
    samples[place : place + n] += hiss * _arch(n) >> 9
    return place + n


def _syllable(
    samples: Integers, place: int, rng: np.random.PCG64, vowel: Integers, following: Integers, pitch: int
) -> int:
    """Add the pulses of a syllable and return where it ends; `pitch` is in hundredths of a hertz."""
    n, loudness = _between(rng, 110, 250) * _MS, _between(rng, 150, 256)
    arch, at = _arch(n), 0
    while at < n:
        glide = max(0, 256 * at // n - 128)
        response = ((256 - glide) * vowel + glide * following) >> 8
        samples[place + at : place + at + _N_RESPONSE] += response * (int(arch[at]) * loudness >> 8) >> 8
        at += RATE_HZ * 10_000 // (pitch * _between(rng, 98, 102))
    return place + n


def _arch(n: int) -> Integers:
    """Return a parabola over `n` samples, 256 at its top."""
    at = np.arange(n, dtype=np.int64)
    return 1024 * at * (n - at) // (n * n)


# Coloured noise: its power goes with the frequency to the power of 0, −1, −2, 1 or 2. White noise is differenced by a
# fraction of an order (Kasdin, 1995): by −1/2 for pink, 1/2 for blue, 1 for violet, and by −1 for brown, whose sum
# leaks, so that it stays near zero. Below about 2 Hz all of them are flat.

N_NOISE = 16 * RATE_HZ
NOISE_RMS = 3277
"""A tenth of full scale."""

COLOURS = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5, "violet": 1.0}
"""Colour -> the order of the difference."""

_N_TAPS = RATE_HZ
_LEAK = 1 - 2.0**-11


def noise(colour: str) -> Integers:
    """Return sixteen seconds of a colour."""
    taps = _fractional_difference(COLOURS[colour])
    samples = normals(_stream("coloured", colour), N_NOISE + len(taps))
    return _at_rms(convolved(samples, taps)[len(taps) :], NOISE_RMS)


def _fractional_difference(order: float) -> Integers:
    """Return the series of a fractional difference, in units of 2⁻¹⁶: `h[k] = h[k-1] * (k - 1 - order) / k`."""
    taps, value = [1.0], 1.0
    leak = _LEAK if order < 0 else 1.0
    for k in range(1, _N_TAPS):
        value = value * (k - 1 - order) / k * leak
        taps.append(value)
    rounded: Integers = np.rint(np.array(taps) * 65536).astype(np.int64)
    n_taps = int(np.flatnonzero(rounded)[-1]) + 1
    return rounded[:n_taps]


# Events: a beep is a tone of two harmonics. A knock is a handful of low modes that die out quickly, struck two or three
# times. Glass is a burst, and then many high modes that begin at random within a quarter of a second.

EVENTS = ("beep", "knock", "glass")
N_VARIANTS = 3
PEAK = 16384
"""The peak of events and of impulse responses: half of full scale."""


def event(kind: str, variant: int) -> Integers:
    """Return one of the sounds of a kind."""
    rng = _stream("events", f"{kind} {variant}")
    make = {"beep": _beep, "knock": _knock, "glass": _glass}[kind]
    return _at_peak(make(rng), PEAK)


def _beep(rng: np.random.PCG64) -> Integers:
    n, edge = _between(rng, 250, 450) * _MS, 10 * _MS
    frequency = _between(rng, 700, 1600)
    tone = ringing(frequency, 0, n) + ringing(2 * frequency, 0, n, 1 << 18)
    at = np.arange(n, dtype=np.int64)
    return tone * np.minimum(np.minimum(at, n - 1 - at), edge) // edge


def _knock(rng: np.random.PCG64) -> Integers:
    n_ring, n_knocks = 120 * _MS, _between(rng, 2, 3)
    modes = [
        ringing(_between(rng, 140, 1100), _between(rng, 25, 90), n_ring, _between(rng, 1 << 18, 1 << 20))
        for _ in range(6)
    ]
    struck = np.sum(modes, axis=0)
    apart = _between(rng, 150, 240) * _MS
    samples = np.zeros(apart * (n_knocks - 1) + n_ring, dtype=np.int64)
    for knock in range(n_knocks):
        samples[knock * apart :][:n_ring] += struck * _between(rng, 160, 256) >> 8
    return samples


def _glass(rng: np.random.PCG64) -> Integers:
    n = 700 * _MS
    samples = np.zeros(n, dtype=np.int64)
    n_burst = 25 * _MS
    samples[:n_burst] += np.diff(normals(rng, n_burst + 1)) * (n_burst - np.arange(n_burst)) // n_burst << 7
    for _ in range(28):
        begin = _between(rng, 0, 250) * _MS
        frequency, bandwidth, peak = _between(rng, 2000, 7200), _between(rng, 6, 30), _between(rng, 1 << 16, 1 << 19)
        samples[begin:] += ringing(frequency, bandwidth, n - begin, peak)
    fade = np.minimum(np.arange(n, 0, -1), 50 * _MS)
    return samples * fade // (50 * _MS)


# Artificial impulse responses: a direct path, then noise that dies out (Polack, 1988). They have one decay time for all
# frequencies, no single reflections and no modes: enough to smear a sound by a known time, not to place it in a room.

DECAY_TIMES_MS = (150, 300, 450, 600, 900, 1200, 1800)
"""Reverberation times: after them, the tail is 60 dB below its beginning."""

_GAP_MS = 4
"""From the direct path to the first reflection."""

_DIRECT = 1 << 20
"""The direct path, in units in which the tail begins with a standard deviation of 2¹⁶."""


def impulse_response(time_ms: int) -> Integers:
    """Return the response of a decay time; the direct path is its first sample."""
    n = time_ms * RATE_HZ // 1000
    tail = normals(_stream("rooms", str(time_ms)), n) * decay(n, time_ms) >> 26
    samples = np.concatenate([np.zeros(_GAP_MS * _MS, dtype=np.int64), tail])
    samples[0] = _DIRECT
    return _at_peak(samples, PEAK)


# The arithmetic of all four; `normals` is white noise of a standard deviation of 4,096.


def _stream(purpose: str, item: str) -> np.random.PCG64:
    return generator(_SEED, f"synthetic bank, {purpose}", item)


def _between(rng: np.random.PCG64, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`, both included, of one word of the generator."""
    return low + one_below(rng, high - low + 1)


def _resonated(samples: list[int], frequency_hz: float, bandwidth_hz: float) -> list[int]:
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
    """Return a decaying oscillation, the impulse response of two poles; one of bandwidth 0 does not decay."""
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

    They are computed by a transform of floats, whose error is far below a half; the sums are whole, so rounding gives
    them exactly.
    """
    n = len(samples) + len(taps) - 1
    size = 1 << (n - 1).bit_length()
    spectrum = np.fft.rfft(samples.astype(np.float64), size) * np.fft.rfft(taps.astype(np.float64), size)
    return np.rint(np.fft.irfft(spectrum, size)[: len(samples)]).astype(np.int64)


def _at_rms(samples: Integers, rms: int) -> Integers:
    """Return the samples at a level, in steps of 16 bits and clipped to them."""
    samples = _shrunk(samples)
    level = math.isqrt(sum(int(part @ part) for part in np.array_split(samples, 64)) // len(samples))
    return np.clip(samples * rms // max(level, 1), -32768, 32767)


def _at_peak(samples: Integers, peak: int) -> Integers:
    samples = _shrunk(samples)
    return samples * peak // max(int(np.abs(samples).max()), 1)


def _shrunk(samples: Integers) -> Integers:
    """Return the samples brought to 20 bits, so that sums of their squares are exact."""
    excess = int(np.abs(samples).max()).bit_length() - 20
    return samples >> excess if excess > 0 else samples
