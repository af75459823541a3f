"""Sound that goes through a codec that saves bits."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.audio.rates import converted, of_length
from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable, MissingExtra


@dataclass(frozen=True, slots=True)
class Codec:
    """How sound is coded.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        container: FFmpeg's name of the file format, which is kept in memory.
        rates_hz: the sampling rates that it takes, in ascending order.
        lowest: fewest bits per second of one channel.
        highest: most bits per second of one channel.
        delay: by how many samples the decoded sound is late where the file format does not tell it: the look-ahead of
            AMR, the filters of G.722.
    """

    encoder: str
    container: str
    rates_hz: tuple[int, ...]
    lowest: int
    highest: int
    delay: int = 0


_MPEG_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

CODECS: Mapping[str, Codec] = {
    "mp3": Codec("libmp3lame", "matroska", _MPEG_RATES_HZ, 8000, 320_000),
    "aac": Codec("aac", "matroska", (*_MPEG_RATES_HZ, 64000, 88200, 96000), 8000, 256_000),
    "opus": Codec("libopus", "matroska", (48000,), 6000, 256_000),
    "amr_nb": Codec("libopencore_amrnb", "amr", (8000,), 4750, 12_200, delay=40),
    "g722": Codec("g722", "wav", (16000,), 64_000, 64_000, delay=22),
}
"""The codecs that sound may go through."""


@corruption(
    modality="audio",
    summary="the sound goes through a codec that loses some of it, and back",
    parameters={
        "codec": Parameter("string", choices=tuple(CODECS)),
        "bit_rate": Parameter("integer", low=4750, high=320_000, unit="bit/s and channel"),
    },
    source="MP3: ISO 11172-3; AAC: ISO 14496-3; Opus: RFC 6716; AMR: 3GPP TS 26.071; ITU-T G.722",
)
def lossy_codec(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Encode and decode the sound in memory; its length is kept and the codec's delay is taken out.

    Every channel is coded on its own. A sound whose rate the codec does not take is converted to the next higher one
    that it does, or its highest, and back: AMR leaves nothing above 4 kHz, G.722 above 8 kHz. A sound beyond full scale
    is coded at full scale and made as loud again. A codec takes the nearest of the bit rates that it has at a sampling
    rate. Bits rest on FFmpeg and its libraries.

    Args:
        signal: the sound; one without samples stays as it is.
        rng: unused.
        parameters: `codec` and `bit_rate`, in bits per second of one channel: 8,000 to 320,000 for `mp3`, 8,000 to
            256,000 for `aac`, 6,000 to 256,000 for `opus`, 4,750 to 12,200 for `amr_nb`, 64,000 for `g722`.

    Raises:
        Inapplicable: the codec does not have this bit rate, or FFmpeg as installed does not have the codec.
        MissingExtra: PyAV or soxr is not installed.
    """
    name, bit_rate = parameters["codec"], parameters["bit_rate"]
    codec = CODECS[name]
    if not codec.lowest <= bit_rate <= codec.highest:
        extent = f"{codec.lowest:,}" if codec.lowest == codec.highest else f"{codec.lowest:,} to {codec.highest:,}"
        raise Inapplicable(f"{name} takes {extent} bit/s and channel, not {bit_rate:,}")
    samples, n = signal.samples, signal.samples.shape[1]
    if samples.size == 0:
        return signal
    full_scale = max(float(np.abs(samples).max()), 1.0)
    rate_hz = next((rate for rate in codec.rates_hz if rate >= signal.rate_hz), codec.rates_hz[-1])
    sent = converted(samples / np.float32(full_scale), signal.rate_hz, rate_hz)
    heard = np.stack([_coded(channel, rate_hz, name, bit_rate) for channel in sent])
    return signal.with_samples(of_length(converted(heard, rate_hz, signal.rate_hz), n) * np.float32(full_scale))


def _coded(channel: NDArray[np.float32], rate_hz: int, name: str, bit_rate: int) -> NDArray[np.float32]:
    """Return one channel, `(n,)`, as it comes out of a file that the codec made of it."""
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
    heard: NDArray[np.float32] = of_length(_decoded(file, rate_hz)[None, codec.delay :], len(channel))[0]
    return heard


def _encoded(channel: NDArray[np.float32], rate_hz: int, codec: Codec, bit_rate: int) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as output:
        stream: Any = output.add_stream(codec.encoder, rate=rate_hz, layout="mono", bit_rate=bit_rate)
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
