"""Clips made by PyAV for tests: pictures of a moving ramp and chirps, of every kind that corpora hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from merbench.media import opened
from merbench.media.writing import layout_name


@dataclass(frozen=True)
class Pictures:
    """A stream of pictures; `times` are in `tick`s, one after the other at 25 a second where they are not given."""

    n_frames: int = 6
    width: int = 64
    height: int = 48
    pixel_format: str = "yuv420p"
    codec: str = "mpeg4"
    times: tuple[int, ...] | None = None
    tick: Fraction = Fraction(1, 1000)
    clockwise: int = 0
    full_range: bool = False
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    aspect: Fraction | None = None
    b_frames: int = 0
    is_cover: bool = False

    @property
    def stamps(self) -> tuple[int, ...]:
        return self.times or tuple(round(n / 25 / self.tick) for n in range(self.n_frames))


@dataclass(frozen=True)
class Sound:
    """A stream of sound: a chirp on each channel, another one for each `seed`."""

    seconds: float = 0.24
    rate_hz: int = 16000
    layout: str = "mono"
    codec: str = "pcm_s16le"
    sample_format: str = "s16"
    begins_s: float = 0.0
    is_default: bool = True
    seed: int = 0

    @property
    def n_samples(self) -> int:
        return round(self.seconds * self.rate_hz)


def chirps(sound: Sound) -> Any:
    """Return `(channels, n)` float64 of at most 0.6: a rising tone, and a little noise that makes it unmistakable."""
    import av

    n_channels = av.AudioLayout(sound.layout).nb_channels
    rng = np.random.Generator(np.random.PCG64(sound.seed))
    time = np.arange(sound.n_samples) / sound.rate_hz
    tones = [0.4 * np.sin(2 * np.pi * (200 + 60 * k + 400 * time) * time) for k in range(n_channels)]
    return np.stack(tones) + 0.05 * rng.uniform(-1, 1, (n_channels, sound.n_samples))


def ramp(pictures: Pictures, number: int, shape: tuple[int, int], plane: int, depth: int) -> Any:
    """Return one plane of a picture: a diagonal ramp that moves, brighter with every picture."""
    rows, columns = np.indices(shape)
    values = 60 + 10 * plane + (rows + columns + 3 * number) % 64 + 5 * (number % 10)
    return (values << (depth - 8)).astype(np.uint8 if depth == 8 else np.uint16)


def make_clip(
    path: Path,
    pictures: Pictures | Sequence[Pictures] | None = None,
    sound: Sound | Sequence[Sound] | None = None,
    container: str = "matroska",
) -> Path:
    """Write a clip with the given streams, pictures first."""
    import av

    shown = [pictures] if isinstance(pictures, Pictures) else list(pictures or ())
    heard = [sound] if isinstance(sound, Sound) else list(sound or ())
    with path.open("wb") as file, av.open(file, "w", format=container) as output:
        declared = [(_declare_pictures(output, made), made, _picture_packets) for made in shown]
        declared += [(_declare_sound(output, made), made, _sound_packets) for made in heard]
        packets = [packet for stream, made, encode in declared for packet in encode(stream, made)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux_one(packet)
    return path


def _declare_pictures(output: Any, made: Pictures) -> Any:
    from av.stream import Disposition

    stream = output.add_stream(made.codec, rate=25)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = made.width, made.height, made.pixel_format
    context.time_base, stream.time_base = made.tick, made.tick
    context.thread_count, context.max_b_frames = 1, made.b_frames
    context.color_range = 2 if made.full_range else 1
    context.colorspace, context.color_primaries, context.color_trc = made.matrix, made.primaries, made.transfer
    if made.codec == "mpeg4":
        context.qmin = context.qmax = 2
    if made.codec == "libx264":
        context.options = {"crf": "6", "preset": "superfast"}
    if made.aspect:
        context.sample_aspect_ratio = made.aspect
    if made.clockwise:
        stream.set_display_rotation(-made.clockwise)
    if made.is_cover:
        stream.disposition = Disposition.attached_pic
    return stream


def _picture_packets(stream: Any, made: Pictures) -> list[Any]:
    import av

    packets = []
    stamps = made.stamps
    for number, time in enumerate(stamps):
        picture = av.VideoFrame(made.width, made.height, made.pixel_format)
        depth = picture.format.components[0].bits
        for index, plane in enumerate(picture.planes):
            dtype = np.dtype(np.uint8 if depth == 8 else np.uint16)
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            cells = plane.width * (3 if picture.format.name == "rgb24" else 1)
            stored = rows[:, : cells * dtype.itemsize].view(dtype)
            stored[:] = ramp(made, number, stored.shape, index, depth)
        picture.pts, picture.time_base = time, made.tick
        picture.color_range = 2 if made.full_range else 1
        packets += stream.encode(picture)
    packets += stream.encode(None)
    if not made.b_frames:
        ends = (*stamps[1:], 2 * stamps[-1] - stamps[-2] if len(stamps) > 1 else round(1 / 25 / made.tick))
        for packet, time, end in zip(packets, stamps, ends, strict=True):
            packet.pts = packet.dts = time
            packet.duration = end - time
    return packets


def _declare_sound(output: Any, made: Sound) -> Any:
    from av.stream import Disposition

    stream = output.add_stream(made.codec, rate=made.rate_hz)
    context = stream.codec_context
    context.format, context.layout, context.time_base = made.sample_format, made.layout, Fraction(1, made.rate_hz)
    stream.time_base = Fraction(1, made.rate_hz)
    if made.codec == "aac":
        context.bit_rate = 96000
    stream.disposition = Disposition.default if made.is_default else Disposition(0)
    return stream


def _sound_packets(stream: Any, made: Sound) -> list[Any]:
    import av

    samples = np.ascontiguousarray(chirps(made).T, dtype=np.float32).reshape(1, -1)
    packed = av.AudioFrame.from_ndarray(samples, format="flt", layout=made.layout)
    packed.sample_rate, packed.pts, packed.time_base = made.rate_hz, 0, Fraction(1, made.rate_hz)
    packets = [*stream.encode(packed), *stream.encode(None)]
    shift = round(made.begins_s * made.rate_hz)
    for packet in packets:
        packet.pts += shift
        packet.dts += shift
    return [packet for packet in packets if packet.size]


class Headers(NamedTuple):
    """What the headers of a file say; zeros and empty texts for a stream that does not exist."""

    audio_codec: str
    sample_rate_hz: int
    layout: str
    video_codec: str
    width: int
    height: int
    average_rate: Fraction
    n_frames: int
    duration_s: float


def headers(path: Path) -> Headers:
    with opened(path) as media:
        audio, video = media.audio, media.video
        return Headers(
            audio.codec_context.codec.canonical_name if audio else "",
            audio.codec_context.sample_rate if audio else 0,
            layout_name(audio.codec_context.layout) if audio else "",
            video.codec_context.codec.canonical_name if video else "",
            video.width if video else 0,
            video.height if video else 0,
            (video.average_rate or Fraction(0)) if video else Fraction(0),
            video.frames if video else 0,
            media.duration_s,
        )
