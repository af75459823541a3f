"""What speech sounds like, and how well: eGeMAPS by openSMILE, speaker vectors, voice activity, speech quality.

Conventions:
    Sound has one channel at 16 kHz, full scale 1. Samples that are not finite numbers, and sound that is too short to
    measure, are `Inapplicable`. Silence and sound without speech have values: low probabilities of speech, low
    quality, no pitch. Only a speaker's vector is not defined for digital silence, which has no level to be raised.
    Nothing is remembered from one clip to the next. Networks run on one thread and in blocks: beyond the sound itself
    they need little memory, whatever its length. openSMILE keeps all that it measured, about 35 MB for a minute.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from merbench.corruptions.signals import Audio
from merbench.engine import suitable_threads
from merbench.errors import Inapplicable, MissingExtra, plural
from merbench.features.extractor import Floats, Output, extractor
from merbench.features.networks import onnx_session, samples_of
from merbench.features.weights import OPENSMILE, RESEMBLYZER, SILERO_VAD, SPEECHMOS

RATE_HZ = 16_000

DESCRIPTORS = (
    *("Loudness_sma3", "alphaRatio_sma3", "hammarbergIndex_sma3", "slope0-500_sma3", "slope500-1500_sma3"),
    *("spectralFlux_sma3", "mfcc1_sma3", "mfcc2_sma3", "mfcc3_sma3", "mfcc4_sma3"),
    *("F0semitoneFrom27.5Hz_sma3nz", "jitterLocal_sma3nz", "shimmerLocaldB_sma3nz", "HNRdBACF_sma3nz"),
    *("logRelF0-H1-H2_sma3nz", "logRelF0-H1-A3_sma3nz"),
    *(f"F{n}{of}_sma3nz" for n in (1, 2, 3) for of in ("frequency", "bandwidth", "amplitudeLogRelF0")),
)
"""The 25 low-level descriptors, as openSMILE names them."""

_SPREAD = ("amean", "stddevNorm")
_SLOPES = ("meanRisingSlope", "stddevRisingSlope", "meanFallingSlope", "stddevFallingSlope")
_PERCENTILES = ("percentile20.0", "percentile50.0", "percentile80.0", "pctlrange0-2")
_CEPSTRA = ("mfcc1", "mfcc2", "mfcc3", "mfcc4")

FUNCTIONALS = (
    *(f"{name}_{of}" for name in (DESCRIPTORS[10], "loudness_sma3") for of in (*_SPREAD, *_PERCENTILES, *_SLOPES)),
    *(f"{name}_sma3_{of}" for name in ("spectralFlux", *_CEPSTRA) for of in _SPREAD),
    *(f"{name}_{of}" for name in DESCRIPTORS[11:] for of in _SPREAD),
    *(
        f"{name}_sma3nz_{of}"
        for name in ("alphaRatioV", "hammarbergIndexV", "slopeV0-500", "slopeV500-1500", "spectralFluxV")
        for of in _SPREAD
    ),
    *(f"{name}V_sma3nz_{of}" for name in _CEPSTRA for of in _SPREAD),
    *(
        f"{name}_sma3nz_amean"
        for name in ("alphaRatioUV", "hammarbergIndexUV", "slopeUV0-500", "slopeUV500-1500", "spectralFluxUV")
    ),
    *("loudnessPeaksPerSec", "VoicedSegmentsPerSec", "MeanVoicedSegmentLengthSec", "StddevVoicedSegmentLengthSec"),
    *("MeanUnvoicedSegmentLength", "StddevUnvoicedSegmentLength", "equivalentSoundLevel_dBp"),
)
"""The 88 functionals, as openSMILE names them."""

_SHORTEST_OF_SMILE = 960
"""Samples of the frame in which openSMILE finds the pitch, 60 ms: of shorter sound it returns nothing."""

_HIGHEST_OF_SMILE = np.float32(1 - 2**-15)
"""The largest sample that 16 bits have; openSMILE's package would turn a larger one into a negative one."""

_HOP = 160
"""Samples from one spectrum to the next, 10 ms, of both mel spectrograms."""

_BLOCK = 4096
"""Spectra that are computed at once."""

_PARTIAL_FRAMES, _PARTIAL_STEP = 160, 77
"""Frames of a part of an utterance, 1.6 s, and from one part to the next: 1.3 parts a second."""

_COVERED = 0.75
"""The share of its last part that an utterance must fill."""

_PARTIALS_AT_ONCE = 32

_SPEECH_LEVEL = 10 ** (-30 / 20)
"""The rms to which quieter sound is raised, −30 dB."""

_WINDOW, _CONTEXT = 512, 64
"""Samples of a window of voice activity, and how many before it the network sees as well."""

_WINDOWS_AT_ONCE = 512

_SEGMENT = 144_160
"""Samples of a segment whose quality is rated, 9.01 s; one begins every second."""

_OPINIONS = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)
"""Polynomials from the network's output to the scale of listeners, of speech, background and the whole."""


def _smile(level: str) -> Any:
    """Return openSMILE, configured for a level of eGeMAPSv02."""
    try:
        import opensmile
    except ModuleNotFoundError as error:
        raise MissingExtra("eGeMAPS (openSMILE)", "opensmile") from error
    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel[level])


def _measured(smile: Any, audio: Audio) -> tuple[Any, Any, Floats]:
    """Return the beginnings and ends of frames, as pandas has them, and what openSMILE measured, `(t, d)`."""
    samples = np.clip(samples_of(audio, _SHORTEST_OF_SMILE), -1, _HIGHEST_OF_SMILE)
    starts, ends, values = smile.process(samples[None], audio.rate_hz)
    return starts, ends, np.asarray(values, dtype=np.float32)


@extractor(
    "egemaps",
    input="sound",
    unit="utterance",
    dimension=len(FUNCTIONALS),
    licence="audEERING Research License",
    source="Eyben et al., 2016",
    extra="opensmile",
    weights=OPENSMILE,
    columns=FUNCTIONALS,
)
class Egemaps:
    """The 88 functionals of eGeMAPSv02, the extended Geneva minimalistic set of acoustic parameters, by openSMILE.

    Means, deviations, percentiles and slopes of loudness, spectrum, cepstrum, pitch, voice quality and formants (Eyben
    et al., 2016, *The Geneva Minimalistic Acoustic Parameter Set*): bit for bit what the package `opensmile` measures
    of the same samples. Samples beyond full scale are clipped first, as a writer of 16-bit files does; the package
    lets them wrap around. Sound shorter than 60 ms has no functionals.
    """

    def __init__(self, _accepted: Path) -> None:
        self._smile = _smile("Functionals")

    def __call__(self, audio: Audio) -> Output:
        """Return the vector of a clip, `(88,)`."""
        return Output(_measured(self._smile, audio)[2][0])


@extractor(
    "egemaps-frames",
    input="sound",
    unit="frame",
    dimension=len(DESCRIPTORS),
    licence="audEERING Research License",
    source="Eyben et al., 2016",
    extra="opensmile",
    weights=OPENSMILE,
    rate_hz=100,
    columns=DESCRIPTORS,
)
class EgemapsFrames:
    """The 25 low-level descriptors of eGeMAPSv02 every 10 ms, smoothed over three frames, by openSMILE.

    As `egemaps`. The time of a row is the middle of the 20 ms that openSMILE gives it; pitch, voice quality and
    harmonics are of the 60 ms that begin there, and 0 where there is no voice. The last 40 ms have no row of their own.
    """

    def __init__(self, _accepted: Path) -> None:
        self._smile = _smile("LowLevelDescriptors")

    def __call__(self, audio: Audio) -> Output:
        """Return the descriptors of a clip, `(t, 25)`, with their times."""
        starts, ends, values = _measured(self._smile, audio)
        times = (starts.total_seconds().to_numpy() + ends.total_seconds().to_numpy()) / 2
        return Output(values, times.astype(np.float64))


@extractor(
    "speaker",
    input="sound",
    unit="utterance",
    dimension=256,
    licence="Apache-2.0",
    source="Wan et al., 2018",
    extra="speaker",
    weights=RESEMBLYZER,
)
class Speaker:
    """A vector of who speaks, of length 1: the voice, whatever is said, by a network trained to verify speakers.

    Three LSTM layers (Wan et al., 2018, *Generalized end-to-end loss for speaker verification*; weights of Resemblyzer)
    read 40 mel bands in parts of 1.6 s, 1.3 a second; the mean of the vectors of all parts is scaled to length 1. Sound
    that is quieter than −30 dB is raised to it. Sound shorter than a part is filled with zeros. Pauses are not cut out;
    Resemblyzer does so before, by a detector of WebRTC. Digital silence has no vector.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import torch
        except ModuleNotFoundError as error:
            raise MissingExtra("a speaker's vector (torch)", "speaker") from error
        stored = torch.load(folder / "resemblyzer/pretrained.pt", map_location="cpu", weights_only=True)
        self._layers = torch.nn.ModuleDict(
            {"lstm": torch.nn.LSTM(40, 256, num_layers=3, batch_first=True), "linear": torch.nn.Linear(256, 256)}
        )
        names = self._layers.state_dict()
        self._layers.load_state_dict({name: stored["model_state"][name] for name in names})

    def __call__(self, audio: Audio) -> Output:
        """Return the vector of a clip, `(256,)`, no number of which is negative."""
        samples = samples_of(audio)
        level = float(np.sqrt(np.einsum("i,i", samples, samples, dtype=np.float64) / len(samples)))
        if level == 0:
            raise Inapplicable(f"the sound is silent: {plural(len(samples), 'sample')}, all 0")
        gain = np.float32(max(_SPEECH_LEVEL / level, 1) ** 2)
        starts = _partial_starts(len(samples))
        with suitable_threads(0):
            bands = _mel_spectrogram(samples, 400, 40, starts[-1] + _PARTIAL_FRAMES)
            bands *= gain
            vectors = [
                self._vectors(np.stack([bands[start : start + _PARTIAL_FRAMES] for start in block]))
                for block in (starts[k : k + _PARTIALS_AT_ONCE] for k in range(0, len(starts), _PARTIALS_AT_ONCE))
            ]
        mean = np.concatenate(vectors).mean(axis=0)
        return Output(mean / np.linalg.norm(mean))

    def _vectors(self, parts: Floats) -> Floats:
        """Return the vectors, of length 1, of parts `(b, 160, 40)`."""
        import torch

        with torch.inference_mode():
            _, (hidden, _) = self._layers["lstm"](torch.from_numpy(parts))
            outputs = torch.relu(self._layers["linear"](hidden[-1]))
            vectors: Floats = (outputs / outputs.norm(dim=1, keepdim=True)).numpy()
        return vectors


@extractor(
    "voice-activity",
    input="sound",
    unit="frame",
    dimension=1,
    licence="MIT",
    source="Silero Team, 2024",
    extra="speech",
    weights=SILERO_VAD,
    rate_hz=RATE_HZ / _WINDOW,
    columns=("speech",),
)
class VoiceActivity:
    """How probable speech is in each window of 32 ms, by Silero VAD; the mean over a clip is the share of speech.

    The network sees the 4 ms before each window too, and remembers what it heard of the clip. The last window is filled
    with zeros. A clip without speech has low probabilities, and is not a problem.
    """

    def __init__(self, folder: Path) -> None:
        self._network = onnx_session(folder / "silero_vad/data/silero_vad_16k_sequence.onnx")

    def __call__(self, audio: Audio) -> Output:
        """Return the probabilities of a clip, `(t, 1)`, with the middle of each window, or of what it has of it."""
        samples = samples_of(audio)
        hidden = cell = np.zeros((1, 1, 128), np.float32)
        probabilities = []
        for first in range(0, len(samples), _WINDOWS_AT_ONCE * _WINDOW):
            n = min(-(-(len(samples) - first) // _WINDOW), _WINDOWS_AT_ONCE)
            windows = _frames(samples, first - _CONTEXT, _CONTEXT + _WINDOW, _WINDOW, n)
            inputs = {"input": np.ascontiguousarray(windows), "h": hidden, "c": cell}
            answers, hidden, cell = self._network.run(["speech_probs", "hn", "cn"], inputs)
            probabilities.append(answers)
        starts = np.arange(0, len(samples), _WINDOW)
        times = (starts + np.minimum(starts + _WINDOW, len(samples))) / (2 * RATE_HZ)
        return Output(np.concatenate(probabilities)[:, None], times)


@extractor(
    "speech-quality",
    input="sound",
    unit="segment",
    dimension=4,
    licence="MIT",
    source="Reddy et al., 2021 and 2022",
    extra="speech",
    weights=SPEECHMOS,
    rate_hz=1,
    columns=("speech", "background", "overall", "p808"),
)
class SpeechQuality:
    """What listeners would say of the sound of speech, from 1 to 5, by DNSMOS: a proof of corruption, not a feature.

    Mean opinions of speech, background and the whole (Reddy et al., 2022, *DNSMOS P.835*), and of the whole by the
    older rules of ITU-T P.808 (Reddy et al., 2021, *DNSMOS*), of segments of 9.01 s, one beginning every second. Sound
    that is shorter is repeated until it is long enough, and is one row: the mean of its segments. Samples beyond full
    scale are clipped. The package `speechmos` leaves out segments that begin after 7 to 23 s, which its rounding makes
    too short; here none is left out.
    """

    def __init__(self, folder: Path) -> None:
        models = folder / "speechmos/dnsmos_models"
        self._opinions = onnx_session(models / "sig_bak_ovr.onnx")
        self._overall = onnx_session(models / "model_v8.onnx")

    def __call__(self, audio: Audio) -> Output:
        """Return the ratings of a clip's segments, `(t, 4)`, with the middle of each."""
        samples = samples_of(audio)
        is_short = len(samples) < _SEGMENT
        repeated = samples
        while len(repeated) < _SEGMENT:
            repeated = np.concatenate([repeated, repeated])
        starts = range(0, max(len(repeated) // RATE_HZ - 9, 1) * RATE_HZ, RATE_HZ)
        values = np.stack([self._rated(repeated[start : start + _SEGMENT]) for start in starts])
        if is_short:
            return Output(values.mean(axis=0, keepdims=True), np.array([len(samples) / (2 * RATE_HZ)]))
        return Output(values, (np.array(starts) + _SEGMENT / 2) / RATE_HZ)

    def _rated(self, segment: Floats) -> Floats:
        """Return the four ratings of a segment."""
        segment = np.clip(segment, -1, 1)
        raw = self._opinions.run(None, {"input_1": segment[None]})[0][0]
        power = _mel_spectrogram(segment[:-_HOP], 321, 120, 900)
        level_db = 10 * np.log10(np.maximum(power, 1e-10))
        level_db = np.maximum(level_db - level_db.max(), -80)
        overall = self._overall.run(None, {"input_1": ((level_db + 40) / 40)[None]})[0][0]
        return np.array([*map(np.polyval, _OPINIONS, raw), overall[0]], dtype=np.float32)


def _partial_starts(n_samples: int) -> range:
    """Return the first frames of the parts of an utterance; the last one only if enough of it is filled."""
    n_frames = n_samples // _HOP + 1
    starts = range(0, max(1, n_frames - _PARTIAL_FRAMES + _PARTIAL_STEP + 1), _PARTIAL_STEP)
    covered = (n_samples - starts[-1] * _HOP) / (_PARTIAL_FRAMES * _HOP)
    return starts[:-1] if len(starts) > 1 and covered < _COVERED else starts


def _mel_spectrogram(samples: Floats, size: int, n_bands: int, n_frames: int) -> Floats:
    """Return the power in mel bands every 10 ms, `(n_frames, n_bands)`; the middle of the first frame is at time 0.

    Args:
        samples: of sound; zeros are around it.
        size: samples of a frame, weighted by a periodic Hann window.
        n_bands: number of bands.
        n_frames: number of frames.
    """
    from scipy.fft import rfft

    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
    triangles = _mel_triangles(size, n_bands)
    bands = []
    for k in range(0, n_frames, _BLOCK):
        frames = _frames(samples, k * _HOP - size // 2, size, _HOP, min(_BLOCK, n_frames - k))
        spectra = rfft(frames * window, axis=1)
        bands.append((np.square(spectra.real) + np.square(spectra.imag)) @ triangles)
    return np.concatenate(bands)


def _frames(samples: Floats, begin: int, size: int, hop: int, n: int) -> Floats:
    """Return frames of a signal, `(n, size)`, the first of which begins at `begin`; zeros are around the signal."""
    end = begin + (n - 1) * hop + size
    inside = samples[max(begin, 0) : max(end, 0)]
    before = max(-begin, 0)
    padded = np.pad(inside, (before, end - begin - before - len(inside)))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


@cache
def _mel_triangles(size: int, n_bands: int) -> Floats:
    """Return the weights of bands of equal area, `(bins, bands)` (Slaney, 1998, *Auditory Toolbox*).

    The scale is linear up to 1 kHz, 15 mel, and logarithmic above, 27 mel for a factor of 6.4.
    """
    highest = 15 + 27 * np.log(RATE_HZ / 2 / 1000) / np.log(6.4)
    mel = np.linspace(0, highest, n_bands + 2)
    corners = np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
    low, centre, high = (corners[i : n_bands + i] for i in range(3))
    bins = (np.arange(size // 2 + 1) * RATE_HZ / size)[:, None]
    heights = np.maximum(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0)
    weights: Floats = (heights * 2 / (high - low)).astype(np.float32)
    return weights
