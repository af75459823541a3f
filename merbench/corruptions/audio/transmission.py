"""Sound that is transmitted: at a lower sampling rate, through a lossy codec, in packets of which some are lost."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.drawing import uniforms
from merbench.corruptions.signals import Audio, at_rate, of_length
from merbench.errors import Inapplicable, MissingExtra
from merbench.parameters import Within


@corruption("audio", source="soxr, the resampler of SoX, at its high quality")
def resampling_loss(signal: Audio, _rng: PCG64, *, rate_hz: Annotated[int, Within(1000, 96_000, "Hz")]) -> Audio:
    """Convert to a lower sampling rate and back; nothing above half of it is left, and nothing is delayed.

    Args:
        rate_hz: the rate in between; a sound at that rate or a lower one stays as it is.
    """
    if rate_hz >= signal.rate_hz:
        return signal
    between = at_rate(signal.samples, signal.rate_hz, rate_hz)
    return signal.with_samples(of_length(at_rate(between, rate_hz, signal.rate_hz), signal.samples.shape[1]))


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec of sound."""

    encoder: str  # FFmpeg's name of the encoder
    container: str  # FFmpeg's name of the file format, which is kept in memory
    rates_hz: tuple[int, ...]  # its sampling rates, in ascending order
    lowest: int  # fewest bits per second of one channel
    highest: int  # most bits per second of one channel
    delay: int = 0  # by how many samples the decoded sound is late, where the file format does not say so


_MPEG_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

CODECS: Mapping[str, Codec] = {
    "mp3": Codec("libmp3lame", "matroska", _MPEG_RATES_HZ, 8000, 320_000),
    "aac": Codec("aac", "matroska", (*_MPEG_RATES_HZ, 64000, 88200, 96000), 8000, 256_000),
    "opus": Codec("libopus", "matroska", (48000,), 6000, 256_000),
    "amr_nb": Codec("libopencore_amrnb", "amr", (8000,), 4750, 12_200, delay=40),
    "g722": Codec("g722", "wav", (16000,), 64_000, 64_000, delay=22),
}
"""The codecs that sound may go through."""


@corruption("audio", source="MP3: ISO 11172-3; AAC: ISO 14496-3; Opus: RFC 6716; AMR: 3GPP TS 26.071; ITU-T G.722")
def lossy_codec(
    signal: Audio,
    _rng: PCG64,
    *,
    codec: Literal["mp3", "aac", "opus", "amr_nb", "g722"],
    bit_rate: Annotated[int, Within(4750, 320_000, "bit/s and channel")],
) -> Audio:
    """Encode and decode the sound in memory; its length is kept and the codec's delay is removed.

    Every channel is coded separately. A sound whose rate the codec does not take is converted to the next higher one
    that it does, or its highest, and back: AMR leaves nothing above 4 kHz, G.722 above 8 kHz. A sound beyond full scale
    is coded at full scale and made as loud again. A codec takes the nearest of the bit rates that it has at a sampling
    rate. A sound without samples stays as it is. Bits depend on FFmpeg and its libraries. Inapplicable if the codec
    does not have the bit rate, or FFmpeg as installed does not have the codec.

    Args:
        codec: the codec.
        bit_rate: bits per second of one channel: 8,000 to 320,000 for `mp3`, 8,000 to 256,000 for `aac`, 6,000 to
            256,000 for `opus`, 4,750 to 12,200 for `amr_nb`, 64,000 for `g722`.
    """
    known = CODECS[codec]
    if not known.lowest <= bit_rate <= known.highest:
        extent = f"{known.lowest:,}" if known.lowest == known.highest else f"{known.lowest:,} to {known.highest:,}"
        raise Inapplicable(f"{codec} takes {extent} bit/s and channel, not {bit_rate:,}")
    samples, n = signal.samples, signal.samples.shape[1]
    if samples.size == 0:
        return signal
    full_scale = max(float(np.abs(samples).max()), 1.0)
    rate_hz = next((rate for rate in known.rates_hz if rate >= signal.rate_hz), known.rates_hz[-1])
    sent = at_rate(samples / np.float32(full_scale), signal.rate_hz, rate_hz)
    received = np.stack([_coded(channel, rate_hz, codec, bit_rate) for channel in sent])
    return signal.with_samples(of_length(at_rate(received, rate_hz, signal.rate_hz), n) * np.float32(full_scale))


def _coded(channel: NDArray[np.float32], rate_hz: int, name: str, bit_rate: int) -> NDArray[np.float32]:
    """Return one channel, `(n,)`, encoded and decoded."""
    try:
        from av.codec import Codec as Installed
        from av.codec.codec import UnknownCodecError
    except ModuleNotFoundError as error:
        raise MissingExtra("a lossy codec (PyAV)", "media") from error
    codec = CODECS[name]
    try:
        Installed(codec.encoder, "w")
    except UnknownCodecError as error:
        raise Inapplicable(f"FFmpeg as installed has no encoder for {name}") from error
    file = _encoded(np.pad(channel, (0, codec.delay)), rate_hz, codec, bit_rate)
    return np.asarray(of_length(_decoded(file, rate_hz)[None, codec.delay :], len(channel))[0])


def _encoded(channel: NDArray[np.float32], rate_hz: int, codec: Codec, bit_rate: int) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as output:
        stream = output.add_stream(codec.encoder, rate=rate_hz, layout="mono", bit_rate=bit_rate)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(channel[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def _decoded(file: bytes, rate_hz: int) -> NDArray[np.float32]:
    import av

    to_float = av.AudioResampler(format="fltp", layout="mono", rate=rate_hz)
    with av.open(io.BytesIO(file), "r") as received:
        parts = [part for frame in received.decode(audio=0) for part in to_float.resample(frame)]
    samples: NDArray[np.float32] = np.concatenate([np.zeros(0, np.float32), *(part.to_ndarray()[0] for part in parts)])
    return samples


def _measured_loss(before: Audio, after: Audio, *, frame_ms: float) -> Mapping[str, float]:
    changed = (before.samples != after.samples).any(axis=0)
    starts = np.arange(0, len(changed), _frame_length(before, frame_ms))
    lost = np.logical_or.reduceat(changed, starts) if len(starts) else changed
    return {"realised_loss": float(lost.mean()) if len(lost) else 0.0}


@corruption(
    "audio",
    source="Gilbert 1960; Elliott 1963; Hasslinger and Hohlfeld 2008",
    unchanged_at={"loss_rate": 0},
    measured=_measured_loss,
)
def packet_loss(
    signal: Audio,
    rng: PCG64,
    *,
    loss_rate: Annotated[float, Within(0, 0.95, "of the packets")],
    mean_burst: Annotated[float, Within(1, 100, "packets")] = 2,
    frame_ms: Annotated[float, Within(1, 1000, "ms")] = 20,
    concealment: Literal["zero", "repeat"] = "zero",
) -> Audio:
    """Lose packets of equal length in bursts (Gilbert-Elliott), in all channels at once.

    The model has two states, in one of which every packet arrives and in the other none (Gilbert 1960, with h = 0 and k
    = 1). A burst ends with the probability r = 1 / mean_burst after each packet, and begins with p = r π / (1 − π), so
    that the share π = loss_rate is lost in the long run; the first packet is lost with probability π. `realised_loss`
    is the share of packets that changed: a lost packet that was silent, or like the repeated one, does not count.
    Inapplicable if bursts as short as these cannot reach the loss rate.

    Args:
        loss_rate: share of packets that are lost.
        mean_burst: mean number of packets in a burst.
        frame_ms: length of a packet.
        concealment: what replaces a lost packet: zeros, or the last packet that arrived (zeros before the first).
    """
    ends = 1 / mean_burst
    begins = ends * loss_rate / (1 - loss_rate)
    if begins > 1:
        shortest = loss_rate / (1 - loss_rate)
        raise Inapplicable(f"a loss rate of {loss_rate:g} needs bursts of at least {shortest:.4g} packets on average")
    length = _frame_length(signal, frame_ms)
    samples, n = signal.samples.copy(), signal.samples.shape[1]
    arrived: int | None = None
    is_lost, threshold = False, loss_rate
    for start, u in zip(range(0, n, length), uniforms(rng, -(-n // length)).tolist(), strict=True):
        is_lost = u < threshold
        threshold = 1 - ends if is_lost else begins
        if not is_lost:
            arrived = start
            continue
        end = min(start + length, n)
        is_repeated = concealment == "repeat" and arrived is not None
        samples[:, start:end] = signal.samples[:, arrived : arrived + end - start] if is_repeated else 0
    return signal.with_samples(samples)


def _frame_length(audio: Audio, frame_ms: float) -> int:
    return max(round(audio.rate_hz * frame_ms / 1000), 1)
