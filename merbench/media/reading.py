"""A media file: what is in it, its sound, and its pictures one after the other; every fault of the file is an error.

Conventions:
    A file is opened by its content; its name and suffix mean nothing, and nothing else is opened on its behalf, as a
    playlist might ask. Of several streams of one kind the first that is marked as default counts, else the one that
    FFmpeg thinks best; an attached picture, such as a cover, is not video. Decoders run in one thread and conceal
    nothing: a packet that is broken or cut off is an `UnreadableMedia`, and so is a file without its end.
    Sound is what the decoder returns after removing the encoder's own delay. Interlaced pictures stay as they are.
    Times are seconds from the beginning of the clip, which is where the first of its streams begins.
"""

from __future__ import annotations

import errno
import io
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.signals import Audio, Frame, Plane, Video, at_rate
from merbench.errors import CUT_OFF, MissingExtra, UnreadableMedia, fault
from merbench.media.truncation import is_cut_off
from merbench.own_code import installed_version

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet, VideoFormat, VideoFrame, VideoStream
    from av.audio.plane import AudioPlane
    from av.container import InputContainer
    from av.video.plane import VideoPlane

    Stream = TypeVar("Stream", AudioStream, VideoStream)

_READ_AHEAD = 1 << 18

_NOT_SHOWN = 1 << 10 | 1 << 11  # disposition: an attached picture, timed thumbnails
_DEFAULT = 1 << 0

_PLANAR = re.compile(r"yuvj?4(?:20|22|44|40|11|10)p(?:(?:9|10|12|14|16)le)?|gray(?:(?:9|10|12|14|16)le)?")
_SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_COUNTED = ("flac", "wav", "w64", "aiff", "au")
_LONGEST_PACKET = 4096  # samples
_LUMA_WEIGHTS = {1: "bt709", 9: "bt2020", 10: "bt2020"}
_LIMITED, _FULL = 1, 2  # colour ranges as FFmpeg numbers them


def read_audio(path: Path, rate_hz: int | None = None) -> Audio:
    """Return the sound of a media file, `(channels, n)` float32 with full scale 1.0.

    Args:
        path: the file.
        rate_hz: the rate to convert to; None keeps the file's own.

    Raises:
        UnreadableMedia: not a media file, without sound, broken or cut off.
    """
    with opened(path) as media:
        audio, _ = media.sound()
    return audio if rate_hz is None else audio_at_rate(audio, rate_hz)


def read_video(path: Path) -> Video:
    """Return the pictures of a media file as they are stored: not turned, at their own size, depth and subsampling.

    Pixels that are not stored as planes of luma and colour differences, or of luma only, are converted to such
    planes. The planes are arrays of the decoder's own memory with rows that may lie apart; they may be edited.
    A broken picture is an error when it is its turn.

    Raises:
        UnreadableMedia: not a media file, or without video.
    """
    with opened(path) as media:
        media.require_video()
        duration_s = media.video_duration_s
    return Video(_frames_of(path), duration_s)


def _frames_of(path: Path) -> Iterator[Frame]:
    with opened(path) as media:
        for picture in media.pictures(media.require_video()):
            rotation = clockwise(picture)
            yield frame_of(writeable(planar(picture)), media.start_s, rotation)


@contextmanager
def opened(path: Path) -> Iterator[MediaFile]:
    """Open a media file by its content while the block runs.

    Raises:
        MissingExtra: PyAV is not installed.
        UnreadableMedia: the file does not exist, is empty, not a media file, or cut off.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtra("reading and writing media (PyAV)", "media") from error
    # PyAV 19 always accepts tags that are not UTF-8, and refuses the argument.
    tags: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    try:
        file = _ReadAnywhere(path)
    except OSError as error:
        raise UnreadableMedia(path, f"cannot be read: {fault(error)}") from error
    with file:
        if is_cut_off(file):
            raise UnreadableMedia(path, CUT_OFF)
        try:
            options = {"protocol_whitelist": "none"}
            container = av.open(file, "r", container_options=options, buffer_size=_READ_AHEAD, **tags)
        except (av.FFmpegError, OSError) as error:
            reason = "is empty" if Path(path).stat().st_size == 0 else "is not a media file that FFmpeg can read"
            raise UnreadableMedia(path, reason) from error
        with container:
            yield MediaFile(path, container)


class _ReadAnywhere(io.FileIO):
    """A file in which FFmpeg may seek to before the beginning, as it does in short ones; it gets an error code."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            return -(error.errno or errno.EINVAL)


class MediaFile:
    """A media file that is open; `audio` and `video` are the streams that count, None without one."""

    def __init__(self, path: Path, container: InputContainer) -> None:
        self.path = path
        self.container = container
        shown = [stream for stream in container.streams.video if not int(stream.disposition) & _NOT_SHOWN]
        self.audio = self._chosen(list(container.streams.audio))
        self.video = self._chosen(shown)
        self.is_mp4 = "mp4" in container.format.name.split(",")  # or a relative of it
        self.duration_s = float((container.duration or 0) / 1_000_000)  # of the longest stream; 0.0 if unknown

    def _chosen(self, streams: Sequence[Stream]) -> Stream | None:
        marked = [stream for stream in streams if int(stream.disposition) & _DEFAULT]
        if marked or not streams:
            return next(iter(marked), None)
        best = self.container.streams.best(streams[0].type)
        return next((stream for stream in streams if stream == best), streams[0])

    @property
    def start_s(self) -> Fraction:
        """The time stamp at which the first of the two streams that count begins, in seconds."""
        starts = [
            stream.start_time * stream.time_base
            for stream in (self.audio, self.video)
            if stream is not None and stream.start_time is not None and stream.time_base is not None
        ]
        return min(starts, default=Fraction(0))

    @property
    def video_duration_s(self) -> float:
        """Length of the pictures in seconds, or of the file if only that is known."""
        stream = self.video
        if stream is not None and stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return self.duration_s

    def require_audio(self) -> AudioStream:
        """Return the stream of sound, ready for decoding, or raise `UnreadableMedia`."""
        return self._ready(self.audio, "audio")

    def require_video(self) -> VideoStream:
        """Return the stream of pictures, ready for decoding, or raise `UnreadableMedia`."""
        return self._ready(self.video, "video")

    def _ready(self, stream: Stream | None, kind: str) -> Stream:
        if stream is None:
            raise UnreadableMedia(self.path, f"it has no {kind} stream")
        if stream.codec_context is None:
            raise UnreadableMedia(self.path, f"its {kind} is of a codec that FFmpeg cannot decode")
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
        stream.codec_context.thread_count = 1
        return stream

    def packets(self, stream: Stream) -> Iterator[Packet[Stream]]:
        """Yield the packets of a stream, then an empty one, each of them complete.

        Raises:
            UnreadableMedia: a packet is broken, or packets that the file's index lists are missing.
        """
        from av import FFmpegError

        packets: Iterator[Packet[Stream]] = self.container.demux(stream)
        n_missing = len(stream.index_entries) if self.is_mp4 else 0
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError) as error:
                raise UnreadableMedia(self.path, "broken: its packets cannot be read one by one") from error
            if packet is None:
                break
            if packet.is_corrupt:
                raise UnreadableMedia(self.path, f"broken: a packet of its {stream.type} is not complete")
            n_missing -= bool(packet.size)
            yield packet
        if n_missing > 0:
            raise UnreadableMedia(self.path, CUT_OFF)

    def decoded(self, packet: Packet[Any]) -> list[Any]:
        """Return PyAV's frames that come out of the decoder when a packet goes in, none of them concealed.

        Raises:
            UnreadableMedia: it cannot be decoded as it is.
        """
        from av import FFmpegError

        kind = packet.stream.type
        if packet.stream.codec_context.name == "flac" and packet.has_sidedata("skip_samples"):
            # FLAC adds no samples, but the FFmpeg of PyAV 19 removes some at the end of a sound that begins late in an
            # MP4.
            skipped = packet.get_sidedata("skip_samples")
            skipped.update(bytes(skipped.buffer_size))
            packet.set_sidedata(skipped)
        try:
            frames: list[Any] = packet.decode()
        except FFmpegError as error:
            raise UnreadableMedia(
                self.path, f"broken: a packet of its {kind}{_at(packet)} cannot be decoded"
            ) from error
        broken = next((frame for frame in frames if frame.is_corrupt), None)
        if broken is not None:
            raise UnreadableMedia(self.path, f"broken: only part of its {kind}{_at(broken)} can be decoded")
        return frames

    def sound(self) -> tuple[Audio, Fraction]:
        """Return the sound, and when it begins, in seconds from the beginning of the clip.

        Raises:
            UnreadableMedia: there is none, or it is broken; or its rate or number of channels changes.
        """
        stream = self.require_audio()
        pieces: list[NDArray[np.float32]] = []
        rate_hz, skipped = 0, 0
        begins = Fraction(0)
        for number, packet in enumerate(self.packets(stream)):
            skipped = skipped if number else skipped_samples(packet)
            for sound in self.decoded(packet):
                piece = _samples(sound)
                if not pieces:
                    begins = (sound.pts or 0) * (sound.time_base or tick_of(stream)) - self.start_s
                elif sound.sample_rate != rate_hz or piece.shape[0] != pieces[0].shape[0]:
                    raise UnreadableMedia(self.path, "the rate or the channels of its audio change on the way")
                rate_hz = sound.sample_rate
                pieces.append(piece)
        samples = np.concatenate(pieces, axis=1) if pieces else np.zeros((1, 0), np.float32)
        if samples.shape[1] == 0:
            raise UnreadableMedia(self.path, "its audio has no samples")
        if not np.isfinite(samples).all():
            raise UnreadableMedia(self.path, "its audio contains values that are not numbers")
        n_samples = self.declared_samples(stream, skipped)
        if self.container.format.name in _COUNTED and n_samples is not None and samples.shape[1] < n_samples:
            raise UnreadableMedia(self.path, CUT_OFF)
        if self.is_mp4 and n_samples and 0 < samples.shape[1] - n_samples < _LONGEST_PACKET:
            samples = samples[:, :n_samples]  # a lossy codec fills up its last packet
        return Audio(samples, int(rate_hz)), max(begins, Fraction(0))

    def declared_samples(self, stream: AudioStream, skipped: int) -> int | None:
        """Return how many samples a sound has by its header; None if unknown.

        Args:
            stream: the stream of sound.
            skipped: `skipped_samples` of the first packet. Of an MP4 whose sound begins later than the clip, FFmpeg
                declares a duration that is too long by them, or by the delay if that is shorter.
        """
        if stream.duration is None or stream.time_base is None:
            return None
        rate_hz = stream.codec_context.sample_rate
        delay = round((stream.start_time or 0) * stream.time_base * rate_hz) if self.is_mp4 else 0
        return int(round(stream.duration * stream.time_base * rate_hz) - min(max(delay, 0), skipped))

    def pictures(self, stream: VideoStream) -> Iterator[VideoFrame]:
        """Yield the pictures in the order in which they are shown, each with a time stamp.

        Raises:
            UnreadableMedia: the video is broken, or has no pictures.
        """
        previous = None
        for packet in self.packets(stream):
            for picture in self.decoded(packet):
                _stamp(picture, previous, stream)
                previous = picture.pts
                yield picture
        if previous is None:
            raise UnreadableMedia(self.path, "its video has no pictures")


def tick_of(stream: AudioStream | VideoStream) -> Fraction:
    """Return the length of a stream's tick in seconds; every file that is read gives one."""
    assert stream.time_base is not None
    return stream.time_base


def clockwise(picture: VideoFrame) -> int:
    """Return by how many degrees, clockwise, a player turns a decoded picture: 0, 90, 180 or 270."""
    return int(round(-picture.rotation / 90) % 4 * 90)


def _at(timed: Packet[Any] | VideoFrame | AudioFrame) -> str:
    if timed.pts is None or timed.time_base is None:
        return ""
    return f" at {float(timed.pts * timed.time_base):.2f} s"


def skipped_samples(packet: Packet[AudioStream]) -> int:
    """Return how many samples the decoder removes at the beginning of a packet, since the encoder put them there."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")


def _planes(sound: AudioFrame, n: int) -> Sequence[AudioPlane]:
    """Return the planes of a piece of sound; of eight, PyAV 18 has a ninth, and PyAV 19 says that there is none."""
    from av.audio.plane import AudioPlane

    try:
        return sound.planes[:n]
    except ValueError:
        return [AudioPlane(sound, i) for i in range(n)]


def _samples(sound: AudioFrame) -> NDArray[np.float32]:
    """Return a decoded piece of sound as `(channels, n)` float32 with full scale 1.0."""
    n_channels = sound.layout.nb_channels
    dtype = np.dtype(_SAMPLE_TYPES[sound.format.packed.name])
    width = 1 if sound.format.is_planar else n_channels
    planes = [
        np.frombuffer(memoryview(plane), dtype)[: sound.samples * width]
        for plane in _planes(sound, n_channels // width)
    ]
    values: NDArray[Any] = np.stack(planes).reshape(-1, sound.samples, width).transpose(0, 2, 1)
    values = values.reshape(n_channels, sound.samples)
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    zero = 128.0 if values.dtype == np.uint8 else 0.0
    full_scale = float(1 << (8 * values.dtype.itemsize - 1))
    return ((values.astype(np.float64) - zero) / full_scale).astype(np.float32)


def audio_at_rate(audio: Audio, rate_hz: int) -> Audio:
    """Return sound at another rate, as `at_rate` makes it; sound without samples stays so."""
    if audio.rate_hz == rate_hz or audio.samples.shape[1] == 0:
        return Audio(audio.samples, rate_hz)
    return Audio(np.ascontiguousarray(at_rate(audio.samples, audio.rate_hz, rate_hz)), rate_hz)


def _stamp(picture: VideoFrame, previous: int | None, stream: VideoStream) -> None:
    """Give a picture that has no time stamp the one after its predecessor's, at the stream's average rate."""
    if picture.pts is not None:
        return
    if picture.time_base is None:
        picture.time_base = stream.time_base
    assert picture.time_base is not None
    step = 1 / (stream.average_rate or 25) / picture.time_base
    picture.pts = (stream.start_time or 0) if previous is None else previous + max(round(step), 1)


def planar_format(pixel_format: VideoFormat) -> str:
    """Return the format of planes, luma and colour differences or luma only, that keeps what another one contains.

    RGB keeps its full resolution of colour and its depth; transparency is dropped.
    """
    if _PLANAR.fullmatch(pixel_format.name):
        return pixel_format.name
    parts = [part for part in pixel_format.components if not part.is_alpha]
    bits = next((depth for depth in (8, 10, 12, 16) if depth >= parts[0].bits), 16)
    suffix = "" if bits == 8 else f"{bits}le"
    if pixel_format.has_palette or pixel_format.is_rgb or pixel_format.name.startswith("xyz"):
        return f"yuv444p{suffix}"
    if len(parts) < 3:
        return f"gray{suffix}"
    measured = type(pixel_format)(pixel_format.name, 64, 64)
    halved = (measured.chroma_width() == 32, measured.chroma_height() == 32)
    return f"yuv{ {(True, True): '420', (True, False): '422', (False, True): '440'}.get(halved, '444') }p{suffix}"


def planar(picture: VideoFrame, wanted: str | None = None) -> VideoFrame:
    """Return a decoded picture as planes: itself if it has the format, else converted by swscale.

    The range of its values stays as it is; RGB becomes BT.601 of limited range.

    Args:
        picture: PyAV's frame.
        wanted: name of the format; None is the nearest.
    """
    target = planar_format(picture.format) if wanted is None else wanted
    if picture.format.name in (target, target.replace("yuv", "yuvj")):
        return picture
    if picture.format.name == "gray" and target == "yuv420p":
        return _with_grey_colours(picture)
    if picture.format.is_rgb or picture.format.has_palette:
        converted = picture.reformat(format=target, dst_colorspace="ITU601", dst_color_range=_LIMITED)
        converted.color_range = _LIMITED
        return converted
    color_range = _FULL if is_full_range(picture) else _LIMITED
    return picture.reformat(format=target, src_color_range=color_range, dst_color_range=color_range)


def _with_grey_colours(picture: VideoFrame) -> VideoFrame:
    coloured = type(picture)(picture.width, picture.height, "yuv420p")
    luma, *colours = planes_of(coloured)
    luma[:] = planes_of(picture)[0]
    for plane in colours:
        plane[:] = 128
    coloured.pts, coloured.time_base, coloured.color_range = picture.pts, picture.time_base, picture.color_range
    return coloured


def is_full_range(picture: VideoFrame) -> bool:
    """Return whether the luma of a decoded picture spans all values."""
    return picture.color_range == _FULL or picture.format.name.startswith("yuvj")


def writeable(picture: VideoFrame) -> VideoFrame:
    """Return a decoded picture whose memory nothing else needs; it is copied if the decoder predicts from it."""
    picture.make_writable()
    return picture


def planes_of(picture: VideoFrame) -> tuple[Plane, ...]:
    """Return the planes of a picture as `(height, width)` arrays of its own memory, which they keep alive."""
    depth = picture.format.components[0].bits
    dtype: np.dtype[Any] = np.dtype(np.uint8 if depth <= 8 else "<u2")
    return tuple(_plane(plane, dtype) for plane in picture.planes)


def _plane(plane: VideoPlane, dtype: np.dtype[Any]) -> Plane:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, abs(plane.line_size))
    values: Plane = rows[:, : plane.width * dtype.itemsize].view(dtype)
    return values if plane.line_size > 0 else values[::-1]


def frame_of(picture: VideoFrame, start_s: Fraction, rotation: int) -> Frame:
    """Return a picture of planes as a `Frame` shown at its time stamp less the clip's first."""
    assert picture.pts is not None and picture.time_base is not None
    return Frame(
        planes_of(picture),
        depth=picture.format.components[0].bits,
        full_range=is_full_range(picture),
        matrix=_LUMA_WEIGHTS.get(int(picture.colorspace), "bt601"),
        rotation=rotation,
        time_s=seconds(picture.pts, picture.time_base, start_s),
    )


def seconds(ticks: int, tick: Fraction, start_s: Fraction) -> float:
    """Return a time stamp in seconds less the clip's first, rounded once, as `float(ticks * tick - start_s)`."""
    over = tick.denominator * start_s.denominator
    return (ticks * tick.numerator * start_s.denominator - start_s.numerator * tick.denominator) / over


_OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")

PACKAGES = {"av": ("av",), "numpy": ("numpy",), "opencv": _OPENCV, "scipy": ("scipy",), "soxr": ("soxr",)}
"""Library -> the packages that it may come in."""


def media_versions() -> dict[str, str]:
    """Return what the bits of corrupted clips and of vectors of clips depend on: versions, and the kind of machine.

    One version of PyAV may come with several versions of FFmpeg's libraries.
    """
    installed = {name: text for name, packages in PACKAGES.items() if (text := _installed(packages))}
    if "av" in installed:
        import av

        for name in ("libavcodec", "libavformat", "libswscale"):
            installed[name] = ".".join(map(str, av.library_versions[name]))
    return {"merbench": version("merbench"), "machine": platform.machine(), **installed}


def _installed(packages: tuple[str, ...]) -> str:
    return next(filter(None, map(installed_version, packages)), "")
