"""One vector of the sound of a clip: spectrum, loudness, pitch and pauses.

Everything is measured on one channel, the mean of all, at 16 kHz, in frames of 25 ms (40 ms for pitch) every 10 ms,
and summarised over the clip: means, deviations, percentiles, slopes. Nothing is learned from data.

Conventions:
    Powers are relative to full scale and never below 10⁻¹⁰, so that silence has finite logarithms. The ends of a clip
    are not padded; one that is shorter than a frame is filled with zeros to one frame, and one without samples counts
    as a frame of zeros. Statistics of pitch are zero if no frame is voiced. Bits are the same for the same versions
    of NumPy, SciPy and soxr on the same kind of processor.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.signals import Audio, at_rate
from merbench.errors import MissingExtra
from merbench.features.extractor import Floats, Output, extractor

RATE_HZ = 16_000
"""Everything is measured at this rate; sound of another is converted to it."""

HOP = 160
FRAME = 400
"""Samples from frame to frame, and in a frame: 10 and 25 ms."""

PITCH_RATE_HZ = 8_000
PITCH_HOP = 80
PITCH_FRAME = 320
"""The same of pitch, which is found at half the rate, in 40 ms."""

N_BANDS = 32
N_CEPSTRA = 13

PITCH_HZ = (60, 500)
"""The lowest and the highest pitch of a voice."""

_FFT = 512
_PITCH_FFT = 512
_POWER_FLOOR = 1e-10
_ROLLOFF = 0.85

_VOICED = 0.5
"""The normalised autocorrelation from which a frame counts as voiced."""

_AUDIBLE_DB = 30
"""How far below the clip's loud frames, its 95th percentile, a frame must be to be a pause."""

_AS_GOOD = 0.9
"""The first peak as high as this share of the highest is taken, so that none of its octaves is."""

_MIDDLE = (PITCH_FRAME * RATE_HZ // PITCH_RATE_HZ - FRAME) // 2 // HOP
"""How many frames the middle of a frame of pitch lies behind that of a frame of the same number."""

_BLOCK = 4096
"""How many frames are transformed at once: the memory of a long recording stays small."""

_N_PITCH_STATISTICS = 7
"""Mean, deviation, percentiles 10, 50 and 90, slope, change."""

N_LOG_MEL = 128
_LOG_MEL_HZ = (20, RATE_HZ // 2)
_LOG_MEL_FLOOR = np.finfo(np.float32).eps
_PREEMPHASIS = np.float32(0.97)
"""Of `log_mel`: how many bands, their range and least power, and the share of the sample before that is taken off."""


@extractor(
    "voice",
    input="sound",
    unit="utterance",
    dimension=184,
    licence="Apache-2.0",
    source="merbench",
    extra="media",
)
def voice(audio: Audio) -> Output:
    """Statistics of spectrum, loudness, pitch and pauses; see `sound_vector`."""
    return Output(sound_vector(audio))


def sound_vector(audio: Audio) -> Floats:
    """Return the sound of a clip as one float32 vector of 184 numbers.

    * `mel_*`: natural logarithm of the power in 32 bands, triangles of the same width on the mel scale (O'Shaughnessy,
      1987: 2595 log₁₀(1 + f / 700)) from 0 to 8 kHz with peaks of 1.
    * `mfcc_*`, `delta_mfcc_*`: their cosine transform (Davis and Mermelstein, 1980), orthonormal, 13 coefficients
      from 0; the change from 20 ms before to 20 ms after.
    * `level_db`: rms of a frame; `centroid` and `rolloff` (85 %): of the power spectrum, in kHz; `flux`: the distance
      between the magnitude spectra, scaled to a sum of 1, of neighbouring frames.
    * `pitch`: semitones above 60 Hz, from the first high peak of the autocorrelation normalised by that of the window
      (Boersma, 1993), 60 to 500 Hz, median of five frames, over voiced frames; `voicing`: the mean height of peaks.
    * A run of voiced frames, and a pause, a run of frames 30 dB below the loud ones: how many a second, how long.
    * `slope`: of a straight line, per second; `change`: mean absolute difference of neighbouring frames.

    Statistic by statistic: of bands mean and deviation; of cepstra these and percentiles 10, 50 and 90, of their
    changes the deviation; of the spectrum and the pitch those five, slope and change.

    Args:
        audio: any number of channels and samples, at any rate.

    Raises:
        MissingExtra: SciPy or soxr is not installed.
    """
    mono = one_channel(audio, RATE_HZ).samples[0]
    power = _power_spectra(_frames(mono, FRAME, HOP))
    level_db = 10 * np.log10(np.maximum(np.square(_frames(mono, FRAME, HOP)).mean(axis=1), _POWER_FLOOR))
    bands = np.log(np.maximum(power @ _mel_triangles(), _POWER_FLOOR))
    cepstra = bands @ _cosines()
    shapes = np.column_stack([level_db, *_spectral_shapes(power)])
    return np.concatenate(
        [
            bands.mean(axis=0),
            bands.std(axis=0),
            *_spread(cepstra),
            _deltas(cepstra).std(axis=0),
            *_spread(shapes),
            _slopes(np.arange(len(shapes)), shapes),
            _changes(shapes),
            _voice(mono, level_db),
        ]
    ).astype(np.float32)


@extractor(
    "log-mel",
    input="sound",
    unit="frame",
    dimension=N_LOG_MEL,
    licence="Apache-2.0",
    source="Gong et al., 2021",
    extra="media",
    rate_hz=RATE_HZ / HOP,
)
def log_mel(audio: Audio) -> Output:
    """Logarithms of the power in 128 mel bands every 10 ms, as transformers of spectrograms read them.

    Those of AST (arXiv:2104.01778), Audio-MAE and HiCMAE, which are Kaldi's: of frames of 25 ms, less their mean, with
    a pre-emphasis of 0.97, in a Hann window of 400 samples, the power spectrum of 512; triangles on the mel scale
    1127 ln(1 + f / 700) from 20 Hz to 8 kHz; powers of at least 2⁻²³. Samples are from -1 to 1.
    """
    mono = one_channel(audio, RATE_HZ).samples[0]
    frames = _frames(mono, FRAME, HOP)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / (FRAME - 1))).astype(np.float32)
    blocks = []
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        centred = block - block.mean(axis=1, keepdims=True)
        before = np.concatenate([centred[:, :1], centred[:, :-1]], axis=1)
        blocks.append(_squared(_transform(centred - _PREEMPHASIS * before, window, _FFT)) @ _kaldi_triangles())
    times = (np.arange(len(frames)) * HOP + FRAME / 2) / RATE_HZ
    return Output(np.log(np.maximum(np.concatenate(blocks), _LOG_MEL_FLOOR)), times)


@cache
def _kaldi_triangles() -> Floats:
    """Return the weights of the bands of `log_mel`, `(bins, bands)`."""
    mel = 1127 * np.log1p(np.arange(_FFT // 2 + 1)[:, None] * RATE_HZ / _FFT / 700)
    lowest, highest = (1127 * math.log1p(hz / 700) for hz in _LOG_MEL_HZ)
    corners = np.linspace(lowest, highest, N_LOG_MEL + 2)
    low, centre, high = (corners[i : N_LOG_MEL + i] for i in range(3))
    weights = np.maximum(np.minimum((mel - low) / (centre - low), (high - mel) / (high - centre)), 0)
    return np.asarray(weights, np.float32)


def one_channel(audio: Audio, rate_hz: int) -> Audio:
    """Return the mean of all channels at a rate, at least one sample."""
    samples = audio.samples
    mono = samples.mean(axis=0, dtype=np.float32) if samples.size else np.zeros(1, np.float32)
    return Audio(at_rate(mono[None], audio.rate_hz, rate_hz), rate_hz)


def _frames(mono: Floats, length: int, hop: int) -> Floats:
    """Return the frames of a signal, `(m, length)`, at least one."""
    if len(mono) < length:
        mono = np.pad(mono, (0, length - len(mono)))
    return np.lib.stride_tricks.sliding_window_view(mono, length)[::hop]


def _transform(frames: Floats, window: Floats, size: int) -> NDArray[np.complex64]:
    try:
        from scipy.fft import rfft
    except ModuleNotFoundError as error:
        raise MissingExtra("a feature of sound (SciPy)", "media") from error
    transformed: NDArray[np.complex64] = rfft(frames * window, size, axis=1)
    return transformed


def _power_spectra(frames: Floats) -> Floats:
    """Return the power spectra; a sine of full scale on a bin's frequency has a power of 1 there."""
    window = _hann(FRAME)
    scale = np.float32(4 / float(window.sum()) ** 2)
    blocks = [
        _squared(_transform(frames[start : start + _BLOCK], window, _FFT)) for start in range(0, len(frames), _BLOCK)
    ]
    return np.concatenate(blocks) * scale


def _squared(spectra: NDArray[np.complex64]) -> Floats:
    return np.square(spectra.real) + np.square(spectra.imag)


def _hann(length: int) -> Floats:
    return (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(length) + 0.5) / length)).astype(np.float32)


@cache
def _mel_triangles() -> Floats:
    """Return the weights of the bands, `(bins, bands)`."""
    highest = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, N_BANDS + 2) / 2595) - 1)
    low, centre, high = (corners[i : N_BANDS + i] for i in range(3))
    bins = (np.arange(_FFT // 2 + 1) * RATE_HZ / _FFT)[:, None]
    return np.maximum(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0).astype(np.float32)


@cache
def _cosines() -> Floats:
    """Return the first vectors of the orthonormal cosine transform, `(bands, cepstra)`."""
    numbers = np.arange(N_CEPSTRA)
    waves = np.cos(np.pi * (np.arange(N_BANDS)[:, None] + 0.5) * numbers / N_BANDS)
    return (waves * np.sqrt(np.where(numbers == 0, 1, 2) / N_BANDS)).astype(np.float32)


def _spectral_shapes(power: Floats) -> tuple[Floats, Floats, Floats]:
    """Return centroid and rolloff of every frame in kHz, and the flux, 0 of the first; silence has zeros."""
    khz = np.arange(power.shape[1], dtype=np.float32) * np.float32(RATE_HZ / _FFT / 1000)
    total = power.sum(axis=1)
    audible = total > _POWER_FLOOR
    divisor = np.where(audible, total, 1)
    centroid = np.where(audible, power @ khz / divisor, 0)
    running = np.cumsum(power, axis=1)
    rolloff = np.where(audible, khz[np.argmax(running >= _ROLLOFF * running[:, -1:], axis=1)], 0)
    magnitude = np.where(audible[:, None], np.sqrt(power), 0)
    magnitude /= np.maximum(magnitude.sum(axis=1, keepdims=True), np.float32(_POWER_FLOOR))
    flux = np.zeros(len(power), np.float32)
    flux[1:] = np.sqrt(np.square(np.diff(magnitude, axis=0)).sum(axis=1))
    return centroid, rolloff, flux


def _spread(values: Floats) -> list[Floats]:
    """Return mean, deviation and three percentiles of every column."""
    return [values.mean(axis=0), values.std(axis=0), *np.percentile(values, (10, 50, 90), axis=0)]


def _deltas(values: Floats) -> Floats:
    """Return the slope over five frames (Furui, 1986) at each; the ends are repeated."""
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    n = len(values)
    return (2 * (padded[4 : n + 4] - padded[:n]) + padded[3 : n + 3] - padded[1 : n + 1]) / np.float32(10)


def _slopes(positions: NDArray[np.intp], values: Floats) -> NDArray[np.float64]:
    """Return the slope of every column over the positions of its frames, per second; 0 for a single frame."""
    centred = (positions - positions.mean()) * (HOP / RATE_HZ)
    extent = float(centred @ centred)
    return centred @ values / extent if extent else np.zeros(values.shape[1])


def _changes(values: Floats) -> Floats:
    return np.abs(np.diff(values, axis=0)).mean(axis=0) if len(values) > 1 else np.zeros(values.shape[1], np.float32)


def _voice(mono: Floats, level_db: Floats) -> NDArray[np.float64]:
    """Return the statistics of pitch, and how much of the clip is voiced and paused, in how many runs."""
    pitch, strength = pitch_track(mono)
    quietest_db = max(float(np.percentile(level_db, 95)) - _AUDIBLE_DB, -90.0)
    audible = level_db > quietest_db
    middle = np.minimum(np.arange(len(pitch)) + _MIDDLE, len(audible) - 1)
    voiced = (strength > _VOICED) & audible[middle]
    return np.concatenate(
        [
            _pitch_statistics(pitch, voiced),
            [float(voiced.mean()), float(strength[voiced].mean()) if voiced.any() else 0.0],
            _runs(voiced),
            [float((~audible).mean())],
            _runs(~audible),
        ]
    )


def _pitch_statistics(pitch: Floats, voiced: NDArray[np.bool_]) -> NDArray[np.float64]:
    positions = np.flatnonzero(voiced)
    if not len(positions):
        return np.zeros(_N_PITCH_STATISTICS)
    values = pitch[positions, None]
    beside = np.diff(positions) == 1
    changes = np.abs(np.diff(values[:, 0]))[beside]
    change = float(changes.mean()) if len(changes) else 0.0
    return np.concatenate([*_spread(values), _slopes(positions, values), [change]])


def _runs(inside: NDArray[np.bool_]) -> list[float]:
    """Return how many runs of frames there are a second, and how long they are on average in seconds."""
    n_runs = int(np.count_nonzero(np.diff(inside, prepend=False) & inside))
    frames_per_s = RATE_HZ / HOP
    return [n_runs * frames_per_s / len(inside), float(inside.sum()) / frames_per_s / max(n_runs, 1)]


def pitch_track(mono: Floats) -> tuple[Floats, Floats]:
    """Return pitch, in semitones above 60 Hz, and its strength from 0 to 1, of every frame of 40 ms.

    The pitch is that of the first peak of the normalised autocorrelation that is nearly as high as the highest, found
    between lags by a parabola, and the median of five frames.

    Args:
        mono: one channel at 16 kHz.
    """
    from scipy.ndimage import median_filter

    halved = (mono[: len(mono) // 2 * 2].reshape(-1, 2)).mean(axis=1) if len(mono) > 1 else mono
    frames = _frames(halved, PITCH_FRAME, PITCH_HOP)
    blocks = [_pitch_block(frames[start : start + _BLOCK]) for start in range(0, len(frames), _BLOCK)]
    lags, strength = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    pitch = 12 * np.log2(PITCH_RATE_HZ / PITCH_HZ[0] / lags)
    return median_filter(pitch, 5, mode="nearest").astype(np.float32), strength


def _pitch_block(frames: Floats) -> tuple[Floats, Floats]:
    """Return the lag of the pitch of every frame, and the height of its peak."""
    from scipy.fft import irfft

    window = _hann(PITCH_FRAME)
    centred = frames - frames.mean(axis=1, keepdims=True)
    first, last = PITCH_RATE_HZ // PITCH_HZ[1], PITCH_RATE_HZ // PITCH_HZ[0]
    products = irfft(_squared(_transform(centred, window, _PITCH_FFT)), _PITCH_FFT, axis=1)[:, : last + 2]
    power = products[:, :1]
    normalised = products / np.maximum(power, np.float32(_POWER_FLOOR)) / _window_correlation()
    inner = normalised[:, first : last + 1]
    is_peak = (inner >= normalised[:, first - 1 : last]) & (inner > normalised[:, first + 1 : last + 2])
    heights = np.where(is_peak, inner, 0)
    highest = heights.max(axis=1, keepdims=True)
    place = np.argmax(heights >= np.maximum(_AS_GOOD * highest, np.float32(_POWER_FLOOR)), axis=1)
    rows = np.arange(len(frames))
    before, at, after = (normalised[rows, first + place + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.where(bend < 0, (before - after) / np.where(bend < 0, 2 * bend, 1), 0)
    lags = first + place + np.clip(shift, -0.5, 0.5)
    return lags.astype(np.float32), np.clip(heights[rows, place], 0, 1)


@cache
def _window_correlation() -> Floats:
    """Return the window's own autocorrelation, 1 at lag 0, by which that of a windowed signal is divided."""
    window = _hann(PITCH_FRAME).astype(np.float64)
    n_lags = PITCH_RATE_HZ // PITCH_HZ[0] + 2
    products = np.array([window[: PITCH_FRAME - lag] @ window[lag:] for lag in range(n_lags)])
    normalised: Floats = (products / products[0]).astype(np.float32)
    return normalised
