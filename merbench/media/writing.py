"""Encoders of sound and pictures, and the settings with which they write the same bytes every time.

Conventions:
    Encoders run in one thread and without pictures that are predicted from later ones, so that one version of FFmpeg
    always writes the same bytes. Pictures are numbered for the encoder, and the time stamps of the source are put back
    on its packets: MPEG-4 part 2 has no finer clock than 1/65535 s, and a variable frame rate must survive.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.signals import Audio, Frame, Plane
from merbench.errors import Inapplicable, UsageError
from merbench.media.reading import (
    MediaFile,
    audio_at_rate,
    clockwise,
    frame_of,
    is_full_range,
    planar,
    planar_format,
    planes_of,
    writeable,
)

if TYPE_CHECKING:  # tracks import Arrow, which a worker that corrupts clips does not need
    from av import AudioCodecContext, AudioFrame, AudioLayout, AudioStream, Packet, VideoFrame, VideoStream
    from av.container import OutputContainer

    from merbench.track import MediaSpec

AAC_RATES_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""The sample rates of MPEG-4 AAC (ISO/IEC 14496-3, table 1.18)."""

_MPEG4_TICKS = 65535
_MPEG4_GROUP = 12  # pictures from one key frame to the next
_H264_FORMATS = frozenset(f"{kind}{depth}" for kind in ("yuv420p", "yuv422p", "yuv444p") for depth in ("", "10le"))
_SUBSAMPLED = {"420": "420", "410": "420", "422": "422", "411": "422", "440": "444", "444": "444"}
_AAC = {"aac_coder": "fast", "aac_pns": "0", "aac_is": "0", "aac_tns": "0"}
"""How AAC is made. Noise substitution and intensity stereo, which replace the declared noise by another one, are off;
the fast search then comes as near to the sound at the same rate as the thorough one, in a quarter of the time."""

_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_CLOCK = 1 << 30


@dataclass(frozen=True)
class Encoding:
    """How corrupted media are written, as plain data that travels between processes.

    What a track declares in `[media]`; `merbench.track.MediaSpec` says what each value means, and has the defaults.
    """

    video_codec: Literal["mpeg4", "h264"]
    quality: int | None
    audio_codec: Literal["aac", "flac"]
    audio_bit_rate: int
    sample_rate_hz: int | None
    channels: Literal[1] | None
    unchanged: Literal["copy", "encode"]

    @classmethod
    def of(cls, spec: MediaSpec) -> Encoding:
        """Return what a track declares."""
        return cls(**{item.name: getattr(spec, item.name) for item in fields(cls)})

    @property
    def video_quality(self) -> int:
        """The quantiser of MPEG-4 part 2, 3 by default, or the rate factor of H.264, 18 by default."""
        if self.quality is None:
            return 3 if self.video_codec == "mpeg4" else 18
        return self.quality

    def stored_format(self, planar_format: str) -> str:
        """Return the format of planes that the codec stores, nearest to that of the source.

        MPEG-4 part 2 has only 8 bits and 4:2:0. H.264 has 4:2:0, 4:2:2 and 4:4:4, at 8 and 10 bits. Luma without
        colour gets grey colours of 4:2:0, which is how players decode it in any case.
        """
        if self.video_codec == "mpeg4":
            return "yuv420p"
        name = planar_format.replace("yuvj", "yuv")
        if name in _H264_FORMATS:
            return name
        kind = "yuv420p" if name.startswith("gray") else f"yuv{_SUBSAMPLED[name[3:6]]}p"
        return f"{kind}10le" if name.endswith("le") else kind

    def stored_rate_hz(self, rate_hz: int, container: str) -> int:
        """Return the sample rate at which sound is stored: its own, or for AAC the next that AAC has."""
        if container == "wav" or self.audio_codec == "flac":
            return rate_hz
        return next((rate for rate in AAC_RATES_HZ if rate >= rate_hz), AAC_RATES_HZ[-1])


def declare_video(container: OutputContainer, encoding: Encoding, rate: Fraction | None) -> VideoStream:
    """Add the stream of pictures to a container that is written; `Pictures` opens its encoder."""
    rate = encoder_rate(rate)
    if encoding.video_codec == "mpeg4":
        stream = container.add_stream("mpeg4", rate=rate)
        stream.codec_context.gop_size = _MPEG4_GROUP
        stream.codec_context.qmin = stream.codec_context.qmax = encoding.video_quality
    else:
        options = {"crf": str(encoding.video_quality), "preset": "superfast"}
        stream = container.add_stream("libx264", rate=rate, options=options)
    stream.codec_context.time_base = 1 / rate
    stream.codec_context.thread_count = 1
    stream.codec_context.max_b_frames = 0
    return stream


def encoder_rate(rate: Fraction | None) -> Fraction:
    """Return a frame rate near the given one whose clock MPEG-4 part 2 can write; 25 without one."""
    if not rate or rate <= 0:
        return Fraction(25)
    while rate.numerator > _MPEG4_TICKS and rate.denominator > 1:
        rate = rate.limit_denominator(max(rate.denominator // 2, 1))
    return min(rate, Fraction(_MPEG4_TICKS))


def show_alike(stream: VideoStream, source: VideoStream, decoded: VideoFrame, converted: VideoFrame) -> None:
    """Let players show the pictures of a stream as they show those of its source.

    Args:
        stream: the stream that is written.
        source: the stream of the source.
        decoded: a picture of the source.
        converted: the same picture as planes of the format that is stored.
    """
    from av.sidedata.sidedata import Type

    context = stream.codec_context
    context.color_range = 2 if is_full_range(converted) else 1
    context.colorspace = int(converted.colorspace)
    context.color_primaries, context.color_trc = int(decoded.color_primaries), int(decoded.color_trc)
    if source.sample_aspect_ratio:
        context.sample_aspect_ratio = source.sample_aspect_ratio
    side_data: Mapping[Any, Any] = decoded.side_data
    if (display := side_data.get(Type.DISPLAYMATRIX)) is not None:  # turns or mirrors the picture
        stream.set_display_matrix(np.frombuffer(bytes(display), "<i4").tolist())


def open_video(stream: VideoStream, picture: VideoFrame) -> None:
    """Open the encoder for the size and format of the first picture.

    Raises:
        Inapplicable: the codec has no such pictures.
    """
    from av import FFmpegError

    context = stream.codec_context
    context.width, context.height, context.pix_fmt = picture.width, picture.height, picture.format.name
    try:
        context.open()
    except FFmpegError as error:
        size = f"{picture.width} × {picture.height} pixels of {picture.format.name}"
        codec, advice = ("h264", "; mpeg4 has every size") if context.name == "libx264" else ("mpeg4", "")
        raise Inapplicable(f"{codec} cannot store pictures of {size}{advice}") from error


class Pictures:
    """The pictures of a stream as frames to be corrupted, and corrupted frames as pictures for the encoder.

    Corrupted frames stay in the memory of the source if they still lie there. The encoder learns how players are to
    show them.
    """

    def __init__(self, media: MediaFile, stream: VideoStream, written: VideoStream, encoding: Encoding) -> None:
        self._pictures = media.pictures(stream)
        self._start_s = media.start_s
        self._first = next(self._pictures)
        self._format = encoding.stored_format(planar_format(self._first.format))
        self._source: tuple[VideoFrame, Frame] | None = None
        self.end_s = Fraction(0)  # when the last picture that was decoded ends
        show_alike(written, stream, self._first, planar(self._first, self._format))

    def frames(self) -> Iterator[Frame]:
        """Yield one frame for each picture, in memory that nothing else needs."""
        rotation = clockwise(self._first)
        for picture in chain([self._first], self._pictures):
            assert picture.pts is not None and picture.time_base is not None
            self.end_s = (picture.pts + (picture.duration or 0)) * picture.time_base - self._start_s
            ours = writeable(planar(picture, self._format))
            frame = frame_of(ours, self._start_s, rotation)
            self._source = (ours, frame) if ours.format.name == self._format else None
            yield frame

    def picture(self, frame: Frame) -> VideoFrame:
        """Return a picture of the frame's planes, without its time.

        Values beyond the depth become the greatest of it: an encoder may end the process that gives it others.

        Raises:
            UsageError: the planes are not of the shapes of the format.
        """
        picture, stored = self._memory(frame)
        if [plane.shape for plane in stored] != [plane.shape for plane in frame.planes]:
            shapes = ", ".join(f"{plane.shape[0]} × {plane.shape[1]}" for plane in frame.planes)
            raise UsageError(f"a corruption returned planes of {shapes}, which are not those of {self._format}")
        for ours, theirs in zip(stored, frame.planes, strict=True):
            if ours is not theirs:
                np.copyto(ours, theirs, casting="unsafe")
            if ours.dtype != np.uint8:
                np.minimum(ours, (1 << frame.depth) - 1, out=ours)
        return picture

    def _memory(self, frame: Frame) -> tuple[VideoFrame, tuple[Plane, ...]]:
        """Return the picture in whose memory part of the frame still lies, else a new one; and its planes."""
        from av import VideoFrame

        if self._source is not None:
            picture, source = self._source
            kept = [ours is theirs for ours, theirs in zip(source.planes, frame.planes, strict=False)]
            others = (plane for plane, is_kept in zip(frame.planes, kept, strict=False) if not is_kept)
            mixed = any(np.may_share_memory(plane, ours) for plane in others for ours in source.planes)
            if any(kept) and not mixed and source.planes[0].shape == frame.planes[0].shape:
                return picture, source.planes
        picture = VideoFrame(frame.width, frame.height, self._format)
        return picture, planes_of(picture)


class Stamps:
    """The times of pictures that an encoder knows by number; each packet waits for the next to know its duration."""

    def __init__(self, tick: Fraction) -> None:
        self._tick = tick
        self._ticks_per_s = tick.denominator / tick.numerator
        self._times: list[int] = []
        self._waiting: Packet[VideoStream] | None = None

    @property
    def n_pictures(self) -> int:
        """How many pictures have a time."""
        return len(self._times)

    def add(self, time_s: float) -> int:
        """Note the time of a picture and return its number. No two have one time: the later one is a tick later."""
        time = round(time_s * self._ticks_per_s)
        self._times.append(time if not self._times else max(time, self._times[-1] + 1))
        return len(self._times) - 1

    def stamped(self, packets: Iterable[Packet[Any]], end_s: Fraction | None = None) -> Iterator[Packet[Any]]:
        """Yield packets with the times of their pictures; the last one of all if the end of the clip is given."""
        for packet in packets:
            number = packet.pts
            assert number is not None
            packet.pts = packet.dts = time = self._times[number]
            packet.time_base = self._tick
            if self._waiting is not None and self._waiting.pts is not None:
                self._waiting.duration = time - self._waiting.pts
                yield self._waiting
            self._waiting = packet
        if end_s is not None and self._waiting is not None and self._waiting.pts is not None:
            self._waiting.duration = max(round(end_s / self._tick) - self._waiting.pts, 1)
            yield self._waiting


def declare_audio(container: OutputContainer, encoding: Encoding, rate_hz: int, layout: str) -> AudioStream:
    """Add the stream of sound to a container that is written: PCM of 16 bits to WAV, the declared codec to MP4.

    Of two surround layouts that differ only in the name of their last pair, MP4 players know the one with the
    speakers at the back; a pair at the side is stored as that one.
    """
    if container.format.name == "wav":
        codec, sample_format = "pcm_s16le", "s16"
    elif encoding.audio_codec == "flac":
        codec, sample_format = "flac", "s32"
    else:
        codec, sample_format = "aac", "fltp"
    stream: AudioStream = container.add_stream(codec, rate=rate_hz)  # type: ignore[assignment]
    context = stream.codec_context
    context.format, context.layout = sample_format, layout if codec == "pcm_s16le" else layout.replace("(side)", "")
    context.thread_count = 1
    context.time_base = stream.time_base = Fraction(1, rate_hz)
    if codec == "aac":
        context.bit_rate = encoding.audio_bit_rate * context.layout.nb_channels
        context.options = dict(_AAC)
    return stream


def layout_name(layout: AudioLayout) -> str:
    """Return the arrangement of channels, such as `stereo`: the usual one of their number if none is given."""
    is_unnamed = re.fullmatch(r"\d+ channels", layout.name)
    return _USUAL_LAYOUTS.get(layout.nb_channels, layout.name) if is_unnamed else layout.name


def encoded_audio(stream: AudioStream, audio: Audio) -> list[Packet[Any]]:
    """Return the packets of a sound, ready to be written, its first sample at time 0.

    Raises:
        Inapplicable: the codec has no such arrangement of channels.
    """
    from av import FFmpegError

    context = stream.codec_context
    audio = audio_at_rate(audio, context.sample_rate)
    try:
        context.open()
    except FFmpegError as error:
        raise Inapplicable(f"{context.codec.name} cannot store sound of {context.layout.name}") from error
    packets = [packet for piece in _pieces(audio, context) for packet in stream.encode(piece)]
    packets += stream.encode(None)
    return [packet for packet in packets if packet.size]


def _pieces(audio: Audio, context: AudioCodecContext) -> Iterator[AudioFrame]:
    """Yield the sound in PyAV's frames, a second each, in values as wide as the encoder's."""
    from av import AudioFrame

    kind = context.format.packed.name
    for begin in range(0, audio.samples.shape[1], audio.rate_hz):
        samples = audio.samples[:, begin : begin + audio.rate_hz]
        match kind:
            case "s16":
                values: NDArray[Any] = _packed(samples, 16).astype(np.int16)
            case "s32":
                values = _packed(samples, 24).astype(np.int32) << 8
            case _:
                values = np.ascontiguousarray(samples.T).reshape(1, -1)
        piece = AudioFrame.from_ndarray(values, format=kind, layout=context.layout.name)
        piece.sample_rate, piece.pts, piece.time_base = audio.rate_hz, begin, Fraction(1, audio.rate_hz)
        yield piece


def _packed(samples: NDArray[np.float32], bits: int) -> NDArray[np.float64]:
    """Return whole numbers of so many bits, the channels of one moment next to each other."""
    full_scale = 1 << (bits - 1)
    values = np.rint(samples.T.astype(np.float64) * full_scale)
    return np.clip(values, -full_scale, full_scale - 1).reshape(1, -1)


def clock(*rates: int) -> int:
    """Return ticks per second for the header of an MP4 in which the ends of all streams are integers, if possible."""
    common = math.lcm(*rates)
    return common if common <= _CLOCK else max(rates)
