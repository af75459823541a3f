"""A media file to what is in it, to its sound, and to its pictures one after the other; whatever is wrong is told.

Conventions:
    A file is opened by its content; its name and suffix mean nothing, and nothing else is opened on its behalf, as a
    playlist might ask. Of several streams of one kind the first that is marked as default counts, else the one that
    FFmpeg takes for the best; an attached picture, such as a cover, is no video. Decoders run in one thread and conceal
    nothing: a packet that is damaged or cut off is an `UnreadableMedia`, and so is a file whose end is missing.
    Sound has what the decoder gives after it has taken off the encoder's own delay. Interlaced pictures stay as they
    are. Times are seconds from the beginning of the clip, which is where the first of its streams begins.
"""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.audio.rates import converted
from merbench.corruptions.signals import Audio, Frame, Plane, Video
from merbench.errors import CUT_OFF, MissingExtra, UnreadableMedia, fault
from merbench.media.truncation import is_cut_off

_READ_AHEAD = 1 << 18

_NOT_SHOWN = 1 << 10 | 1 << 11  # disposition: an attached picture, timed thumbnails
_DEFAULT = 1 << 0

_PLANAR = re.compile(r"yuvj?4(?:20|22|44|40|11|10)p(?:(?:9|10|12|14|16)le)?|gray(?:(?:9|10|12|14|16)le)?")
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_COUNTED = ("flac", "wav", "w64", "aiff", "au")
_LONGEST_PACKET = 4096  # samples
_LUMA_WEIGHTS = {1: "bt709", 9: "bt2020", 10: "bt2020"}
_LIMITED, _FULL = 1, 2  # colour ranges as FFmpeg numbers them


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What is in a media file.

    Attributes:
        container: FFmpeg's name of the format.
        has_audio: whether there is a stream of sound.
        audio_codec: name of its codec; empty without sound, as are the other values of a stream that is not there.
        sample_rate_hz: samples per second.
        n_channels: how many channels.
        layout: their arrangement, such as `stereo` or `5.1`.
        has_video: whether there is a stream of pictures.
        video_codec: name of its codec.
        width: columns of the stored picture.
        height: rows of the stored picture.
        pixel_format: FFmpeg's name of it.
        rotation: by how many degrees, clockwise, a player turns the stored picture: 0, 90, 180 or 270.
        average_rate: pictures per second; 0 where it is not known.
        n_frames: how many pictures the header tells of; 0 where it does not.
        duration_s: length in seconds as the header tells it, the longest of its streams; 0.0 where it does not.
    """

    container: str
    has_audio: bool = False
    audio_codec: str = ""
    sample_rate_hz: int = 0
    n_channels: int = 0
    layout: str = ""
    has_video: bool = False
    video_codec: str = ""
    width: int = 0
    height: int = 0
    pixel_format: str = ""
    rotation: int = 0
    average_rate: Fraction = Fraction(0)
    n_frames: int = 0
    duration_s: float = 0.0


def probe(path: Path, *, decode: bool = True) -> MediaInfo:
    """Return what is in a media file.

    Args:
        path: the file.
        decode: whether the first picture is decoded, which alone tells the rotation; without it, that is 0.

    Raises:
        UnreadableMedia: it is no media file, or holds neither sound nor pictures.
    """
    with opened(path) as container:
        audio, video = audio_stream(container), video_stream(container)
        if audio is None and video is None:
            raise UnreadableMedia(path, "holds neither sound nor pictures")
        duration_s = float((container.duration or 0) / 1_000_000)
        known = {"container": container.format.name, "duration_s": duration_s, **_audio_facts(audio)}
        return MediaInfo(**known, **_video_facts(container, video, decode))


def read_audio(path: Path, rate_hz: int | None = None) -> Audio:
    """Return the sound of a media file, `(channels, n)` float32 with full scale 1.0.

    Args:
        path: the file.
        rate_hz: the rate to convert to; None keeps the file's own.

    Raises:
        UnreadableMedia: no media file, no sound in it, damaged or cut off.
    """
    with opened(path) as container:
        audio, _ = decoded_audio(path, container)
    return audio if rate_hz is None else resampled(audio, rate_hz)


def read_video(path: Path) -> Video:
    """Return the pictures of a media file as they are stored: not turned, at their own size, depth and subsampling.

    Pixels that are not stored as planes of luma and colour differences, or of luma alone, are converted to such
    planes. The planes are arrays of the decoder's own memory with rows that may lie apart; they may be edited.
    What is damaged is told when the pictures are gone through.

    Raises:
        UnreadableMedia: no media file, no video in it.
    """
    with opened(path) as container:
        stream = required_video(path, container)
        duration_s = stream_duration_s(container, stream)
    return Video(_frames_of(path), duration_s)


def _frames_of(path: Path) -> Iterator[Frame]:
    with opened(path) as container:
        stream = required_video(path, container)
        start_s = clip_start_s(container)
        for picture in decoded_pictures(path, container, stream):
            rotation = clockwise(picture)
            yield frame_of(writeable(planar(picture)), start_s, rotation)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a media file by its content while the block runs; the block gets PyAV's container.

    Raises:
        MissingExtra: PyAV is not installed.
        UnreadableMedia: there is no such file, it is empty, no media file, or cut off; or the block came upon damage
            that PyAV told.
    """
    av = pyav()
    try:
        file = _MediaFile(path)
    except OSError as error:
        raise UnreadableMedia(path, f"cannot be read: {fault(error)}") from error
    with file:
        if is_cut_off(file):
            raise UnreadableMedia(path, CUT_OFF)
        try:
            options = {"protocol_whitelist": "none"}
            container = av.open(file, "r", container_options=options, buffer_size=_READ_AHEAD, **_tags_of_any_bytes(av))
        except (av.FFmpegError, OSError) as error:
            reason = "is empty" if Path(path).stat().st_size == 0 else "is not a media file that FFmpeg can read"
            raise UnreadableMedia(path, reason) from error
        with container:
            yield container


class _MediaFile(io.FileIO):
    """A file of which FFmpeg may ask for places before its beginning, as it does of short ones; it is told of it."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            return -(error.errno or errno.EINVAL)


def pyav() -> Any:
    """Return the module `av`."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtra("reading and writing media (PyAV)", "media") from error
    return av


def _tags_of_any_bytes(av: Any) -> dict[str, str]:
    """Return what makes `av.open` accept tags that are not UTF-8: PyAV 19 always does, and refuses the argument."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def audio_stream(container: Any) -> Any | None:
    """Return the stream of sound that counts, or None."""
    return _chosen(container, list(container.streams.audio), "audio")


def video_stream(container: Any) -> Any | None:
    """Return the stream of pictures that counts, or None."""
    shown = [stream for stream in container.streams.video if not int(stream.disposition) & _NOT_SHOWN]
    return _chosen(container, shown, "video")


def _chosen(container: Any, streams: list[Any], kind: str) -> Any | None:
    if not streams:
        return None
    marked = [stream for stream in streams if int(stream.disposition) & _DEFAULT]
    best = container.streams.best(kind)
    return next(iter(marked), best if best in streams else streams[0])


def required_audio(path: Path, container: Any) -> Any:
    """Return the stream of sound that counts, made ready for decoding."""
    return _ready(path, audio_stream(container), "audio")


def required_video(path: Path, container: Any) -> Any:
    """Return the stream of pictures that counts, made ready for decoding."""
    return _ready(path, video_stream(container), "video")


def _ready(path: Path, stream: Any | None, kind: str) -> Any:
    if stream is None:
        raise UnreadableMedia(path, f"there is no {kind} stream in it")
    if stream.codec_context is None:
        raise UnreadableMedia(path, f"its {kind} is of a codec that FFmpeg cannot decode")
    stream.codec_context.options = {"err_detect": "crccheck+explode"}
    stream.codec_context.thread_count = 1
    return stream


def _audio_facts(stream: Any | None) -> dict[str, Any]:
    if stream is None or stream.codec_context is None:
        return {}
    context = stream.codec_context
    return {
        "has_audio": True,
        "audio_codec": context.codec.canonical_name,
        "sample_rate_hz": int(context.sample_rate),
        "n_channels": int(context.layout.nb_channels),
        "layout": layout_name(context.layout),
    }


def layout_name(layout: Any) -> str:
    """Return the arrangement of channels, such as `stereo`: the usual one of their number where none is given."""
    name, n_channels = str(layout.name), int(layout.nb_channels)
    return _USUAL_LAYOUTS.get(n_channels, name) if re.fullmatch(r"\d+ channels", name) else name


def _video_facts(container: Any, stream: Any | None, decode: bool) -> dict[str, Any]:
    if stream is None or stream.codec_context is None:
        return {}
    context = stream.codec_context
    return {
        "has_video": True,
        "video_codec": context.codec.canonical_name,
        "width": int(context.width),
        "height": int(context.height),
        "pixel_format": context.pix_fmt or "",
        "rotation": _first_rotation(container, stream) if decode else 0,
        "average_rate": stream.average_rate or Fraction(0),
        "n_frames": int(stream.frames),
    }


def _first_rotation(container: Any, stream: Any) -> int:
    av = pyav()
    stream.codec_context.thread_count = 1
    try:
        picture = next(container.decode(stream), None)
    except av.FFmpegError:  # told when the pictures are asked for
        return 0
    return 0 if picture is None else clockwise(picture)


def clockwise(picture: Any) -> int:
    """Return by how many degrees, clockwise, a player turns a decoded picture: 0, 90, 180 or 270."""
    return int(round(-picture.rotation / 90) % 4 * 90)


def stream_duration_s(container: Any, stream: Any) -> float:
    """Return the length of a stream in seconds, or of its file where that alone is known; 0.0 where neither is."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return float((container.duration or 0) / 1_000_000)


def clip_start_s(container: Any) -> Fraction:
    """Return the time stamp at which the first of the two streams that count begins, in seconds."""
    streams = (stream for stream in (audio_stream(container), video_stream(container)) if stream is not None)
    starts = [stream.start_time * stream.time_base for stream in streams if stream.start_time is not None]
    return min(starts, default=Fraction(0))


def demuxed(path: Path, container: Any, *streams: Any) -> Iterator[Any]:
    """Yield the packets of streams, then one empty packet a stream, each of them whole.

    Raises:
        UnreadableMedia: a packet is damaged, or packets that the file's index tells of are missing.
    """
    av = pyav()
    packets = container.demux(*streams)
    expected = {stream.index: len(stream.index_entries) if is_mp4(container) else 0 for stream in streams}
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            raise UnreadableMedia(path, "damaged: its packets cannot be read one by one") from error
        if packet is None:
            break
        if packet.is_corrupt:
            raise UnreadableMedia(path, f"damaged: a packet of its {packet.stream.type} is not whole")
        if packet.size:
            expected[packet.stream_index] -= 1
        yield packet
    if any(missing > 0 for missing in expected.values()):
        raise UnreadableMedia(path, CUT_OFF)


def decoded(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """Yield PyAV's frames of a stream in the order in which they are shown, none of them concealed.

    Raises:
        UnreadableMedia: a packet cannot be decoded as it stands.
    """
    for packet in demuxed(path, container, stream):
        yield from decoded_packet(path, packet)


def decoded_packet(path: Path, packet: Any) -> list[Any]:
    """Return PyAV's frames that come out of the decoder when a packet goes in.

    Raises:
        UnreadableMedia: it cannot be decoded as it stands.
    """
    av = pyav()
    kind = packet.stream.type
    if packet.stream.codec_context.name == "flac" and packet.has_sidedata("skip_samples"):
        # FLAC adds no samples, but the FFmpeg of PyAV 19 takes some off the end of a sound that begins late in an MP4.
        skipped = packet.get_sidedata("skip_samples")
        skipped.update(bytes(skipped.buffer_size))
        packet.set_sidedata(skipped)
    try:
        frames: list[Any] = packet.decode()
    except av.FFmpegError as error:
        raise UnreadableMedia(path, f"damaged: a packet of its {kind}{_at(packet)} cannot be decoded") from error
    damaged = next((frame for frame in frames if frame.is_corrupt), None)
    if damaged is not None:
        raise UnreadableMedia(path, f"damaged: its {kind}{_at(damaged)} can be decoded in part only")
    return frames


def _at(timed: Any) -> str:
    if timed.pts is None or timed.time_base is None:
        return ""
    return f" at {float(timed.pts * timed.time_base):.2f} s"


def decoded_audio(path: Path, container: Any) -> tuple[Audio, Fraction]:
    """Return the sound of an opened file, and when it begins, in seconds from the beginning of the clip.

    Raises:
        UnreadableMedia: there is none, or it is damaged; or its rate or number of channels changes on the way.
    """
    stream = required_audio(path, container)
    pieces: list[NDArray[np.float32]] = []
    rate_hz, skipped = 0, 0
    begins = Fraction(0)
    for number, packet in enumerate(demuxed(path, container, stream)):
        skipped = skipped if number else skipped_samples(packet)
        for sound in decoded_packet(path, packet):
            piece = _samples(sound)
            if not pieces:
                begins = (sound.pts or 0) * (sound.time_base or stream.time_base) - clip_start_s(container)
            elif sound.sample_rate != rate_hz or piece.shape[0] != pieces[0].shape[0]:
                raise UnreadableMedia(path, "the rate or the channels of its audio change on the way")
            rate_hz = sound.sample_rate
            pieces.append(piece)
    samples = np.concatenate(pieces, axis=1) if pieces else np.zeros((1, 0), np.float32)
    if samples.shape[1] == 0:
        raise UnreadableMedia(path, "its audio has no samples")
    if not np.isfinite(samples).all():
        raise UnreadableMedia(path, "its audio holds values that are no numbers")
    n_samples = told_samples(container, stream, skipped)
    if container.format.name in _COUNTED and n_samples is not None and samples.shape[1] < n_samples:
        raise UnreadableMedia(path, CUT_OFF)
    if is_mp4(container) and n_samples and 0 < samples.shape[1] - n_samples < _LONGEST_PACKET:
        samples = samples[:, :n_samples]  # a lossy codec fills up its last packet
    return Audio(samples, int(rate_hz)), max(begins, Fraction(0))


def skipped_samples(packet: Any) -> int:
    """Return how many samples the decoder takes off the beginning of a packet, since the encoder put them there."""
    data = packet.get_sidedata("skip_samples") if packet.has_sidedata("skip_samples") else b""
    return int.from_bytes(bytes(data)[:4], "little")


def told_samples(container: Any, stream: Any, skipped: int) -> int | None:
    """Return how many samples a sound has by its header; None where that says nothing.

    Args:
        container: the opened file.
        stream: its stream of sound.
        skipped: `skipped_samples` of the first packet. Of an MP4 whose sound begins later than the clip, FFmpeg tells
            a duration that is too long by them, or by the delay where that is shorter.
    """
    if stream.duration is None:
        return None
    rate_hz = stream.codec_context.sample_rate
    delay = round((stream.start_time or 0) * stream.time_base * rate_hz) if is_mp4(container) else 0
    return int(round(stream.duration * stream.time_base * rate_hz) - min(max(delay, 0), skipped))


def is_mp4(container: Any) -> bool:
    """Return whether a file is an MP4, or a relative of it."""
    return "mp4" in container.format.name.split(",")


def _planes(sound: Any, n: int) -> Sequence[Any]:
    """Return the planes of a piece of sound; of eight, PyAV 18 has a ninth, and PyAV 19 says that there is none."""
    try:
        return cast(Sequence[Any], sound.planes[:n])
    except ValueError:
        av = pyav()
        return [av.audio.plane.AudioPlane(sound, i) for i in range(n)]


def _samples(sound: Any) -> NDArray[np.float32]:
    """Return a decoded piece of sound as `(channels, n)` float32 with full scale 1.0."""
    n_channels = sound.layout.nb_channels
    dtype = np.dtype(_SAMPLE_TYPES[sound.format.packed.name])
    width = 1 if sound.format.is_planar else n_channels
    planes = [np.frombuffer(plane, dtype)[: sound.samples * width] for plane in _planes(sound, n_channels // width)]
    values: NDArray[Any] = np.stack(planes).reshape(-1, sound.samples, width).transpose(0, 2, 1)
    values = values.reshape(n_channels, sound.samples)
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    zero = 128.0 if values.dtype == np.uint8 else 0.0
    full_scale = float(1 << (8 * values.dtype.itemsize - 1))
    return ((values.astype(np.float64) - zero) / full_scale).astype(np.float32)


def resampled(audio: Audio, rate_hz: int) -> Audio:
    """Return sound at another rate, as `converted` makes it; sound without samples stays without."""
    if audio.rate_hz == rate_hz or audio.samples.shape[1] == 0:
        return Audio(audio.samples, rate_hz)
    return Audio(np.ascontiguousarray(converted(audio.samples, audio.rate_hz, rate_hz)), rate_hz)


def decoded_pictures(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """Yield PyAV's frames of the pictures, each with a time stamp.

    Raises:
        UnreadableMedia: the video is damaged, or there is no picture in it.
    """
    previous = None
    for picture in decoded(path, container, stream):
        stamped(picture, previous, stream)
        previous = picture.pts
        yield picture
    if previous is None:
        raise UnreadableMedia(path, "its video has no pictures")


def stamped(picture: Any, previous: int | None, stream: Any) -> None:
    """Give a picture that has no time stamp the one after its predecessor's, at the stream's average rate."""
    if picture.pts is not None:
        return
    if picture.time_base is None:
        picture.time_base = stream.time_base
    step = 1 / (stream.average_rate or 25) / picture.time_base
    picture.pts = (stream.start_time or 0) if previous is None else previous + max(round(step), 1)


def planar_format(pixel_format: Any) -> str:
    """Return the name of the format of planes, luma and colour differences or luma alone, that keeps what one holds.

    RGB keeps its full resolution of colour and its depth; what is transparent is dropped.
    """
    if _PLANAR.fullmatch(pixel_format.name):
        return str(pixel_format.name)
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


def planar(picture: Any, wanted: str | None = None) -> Any:
    """Return a decoded picture as planes: itself where it has the format already, else converted by swscale.

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


def _with_grey_colours(picture: Any) -> Any:
    coloured = type(picture)(picture.width, picture.height, "yuv420p")
    luma, *colours = planes_of(coloured)
    luma[:] = planes_of(picture)[0]
    for plane in colours:
        plane[:] = 128
    coloured.pts, coloured.time_base, coloured.color_range = picture.pts, picture.time_base, picture.color_range
    return coloured


def is_full_range(picture: Any) -> bool:
    """Return whether the luma of a decoded picture spans all values."""
    return bool(picture.color_range == _FULL) or picture.format.name.startswith("yuvj")


def writeable(picture: Any) -> Any:
    """Return a decoded picture whose memory nobody else needs; it is copied where the decoder predicts from it."""
    picture.make_writable()
    return picture


def planes_of(picture: Any) -> tuple[Plane, ...]:
    """Return the planes of a picture as `(height, width)` arrays of its own memory, which they keep alive."""
    depth = picture.format.components[0].bits
    dtype: np.dtype[Any] = np.dtype(np.uint8 if depth <= 8 else "<u2")
    return tuple(_plane(plane, dtype) for plane in picture.planes)


def _plane(plane: Any, dtype: np.dtype[Any]) -> Plane:
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, abs(plane.line_size))
    values: Plane = rows[:, : plane.width * dtype.itemsize].view(dtype)
    return values if plane.line_size > 0 else values[::-1]


def frame_of(picture: Any, start_s: Fraction, rotation: int) -> Frame:
    """Return a picture of planes as a `Frame` shown at its time stamp less the clip's first."""
    return Frame(
        planes_of(picture),
        depth=int(picture.format.components[0].bits),
        full_range=is_full_range(picture),
        matrix=_LUMA_WEIGHTS.get(int(picture.colorspace), "bt601"),
        rotation=rotation,
        time_s=seconds(picture.pts, picture.time_base, start_s),
    )


def seconds(ticks: int, tick: Fraction, start_s: Fraction) -> float:
    """Return a time stamp in seconds less the clip's first, rounded once: what `float(ticks * tick - start_s)` is."""
    over = tick.denominator * start_s.denominator
    return (ticks * tick.numerator * start_s.denominator - start_s.numerator * tick.denominator) / over
