"""One media file through the damage declared for it: decoded once, encoded once, nothing written in between.

Conventions:
    Sound is small and goes first: it is decoded and damaged as a whole, and encoded in a thread of its own; its packets
    wait in memory.
    Pictures go through one at a time, so that a long clip takes no more memory than a short one. A stream that is
    neither damaged nor encoded is copied packet by packet; so are time stamps, the order of streams being pictures,
    then sound. Times begin with the clip at 0. Titles, subtitles, chapters and further streams are left behind.
"""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from merbench.corruptions.signals import Audio, Frame, Plane, Video
from merbench.errors import Inapplicable, UnreadableMedia
from merbench.files import atomic_path, sha256_bytes, sha256_file
from merbench.media import writing
from merbench.media.mp4_edits import begin_later
from merbench.media.reading import (
    MediaInfo,
    audio_stream,
    clip_start_s,
    clockwise,
    decoded_audio,
    decoded_pictures,
    demuxed,
    frame_of,
    is_full_range,
    is_mp4,
    layout_name,
    opened,
    planar,
    planar_format,
    planes_of,
    pyav,
    required_audio,
    required_video,
    resampled,
    skipped_samples,
    stream_duration_s,
    told_samples,
    video_stream,
    writeable,
)

if TYPE_CHECKING:  # tracks bring Arrow along, which a worker that passes media has no need of
    from merbench.media.encoding import Encoding

EditAudio = Callable[[Audio], Audio]
EditVideo = Callable[[Video], Video]


@dataclass(frozen=True, slots=True)
class MediaRecord:
    """What became of one media file.

    Attributes:
        container: `mp4` or `wav`.
        n_frames: pictures written.
        video_copied: whether they were copied as they were, undecoded.
        n_samples: samples of each channel of the sound, at the rate at which it was damaged.
        sample_rate_hz: that rate.
        stored_rate_hz: the rate in the file: another one where the codec does not have that one.
        n_channels: channels of the sound.
        audio_copied: whether the sound was copied as it was, undecoded.
        audio_scale: the factor that brought the damaged sound back to full scale; 1.0 where it did not go beyond.
        pcm_digest: `pcm_digest` of the damaged sound after that; None where it was copied, or there is none.
        planes_digest: `planes_digest` of the damaged pictures; None where they were copied, or there are none.
        file_digest: SHA-256 of the file's bytes.
        file_bytes: its size.
    """

    container: str
    n_frames: int = 0
    video_copied: bool = False
    n_samples: int = 0
    sample_rate_hz: int = 0
    stored_rate_hz: int = 0
    n_channels: int = 0
    audio_copied: bool = False
    audio_scale: float = 1.0
    pcm_digest: str | None = None
    planes_digest: str | None = None
    file_digest: str = ""
    file_bytes: int = 0


def target_suffix(info: MediaInfo) -> str:
    """Return the suffix of what becomes of a file: `.mp4` where there are pictures, else `.wav`."""
    return ".mp4" if info.has_video else ".wav"


def write_damaged(
    source: Path,
    target: Path,
    *,
    edit_audio: EditAudio | None,
    edit_video: EditVideo | None,
    spec: Encoding,
) -> MediaRecord:
    """Write `source` with damaged sound and pictures to `target`, and return what was written.

    A clip with pictures becomes an MP4, sound alone a WAV of 16 bits, whatever `target` is called. Number and times of
    the pictures, their rotation, colours and pixel shape, the sample rate, the channels and the lengths of both streams
    stay as they are. Sound that goes beyond full scale after the damage is scaled once, to just fit.

    Args:
        source: the media file; it is opened by its content.
        target: the file that is written, whole or not at all.
        edit_audio: the damage to the sound; None leaves it untouched.
        edit_video: the damage to the pictures, one for each that goes in; None leaves them untouched.
        spec: codecs, their quality, and whether an untouched stream is copied or encoded.

    Raises:
        UnreadableMedia: the source is no media file, is damaged or cut off, or has no stream of what is to be damaged.
        Inapplicable: a codec cannot store what came out of the damage.
        OutputError: the target cannot be written.
    """
    with atomic_path(target) as beside:
        try:
            record = _written(source, beside, edit_audio, edit_video, spec, may_copy=spec.unchanged == "copy")
        except _Refused:
            record = _written(source, beside, edit_audio, edit_video, spec, may_copy=False)
        return replace(record, file_digest=sha256_file(beside), file_bytes=beside.stat().st_size)


class _Refused(Exception):
    """The container refuses packets that are copied, such as some without a time stamp: they must be encoded."""


def _written(
    source: Path,
    beside: Path,
    edit_audio: EditAudio | None,
    edit_video: EditVideo | None,
    spec: Encoding,
    *,
    may_copy: bool,
) -> MediaRecord:
    with opened(source) as container, beside.open("wb+") as file:
        if edit_audio is not None:
            required_audio(source, container)
        if edit_video is not None:
            required_video(source, container)
        return _Pass(source, container, spec, may_copy).write(file, edit_audio, edit_video)


def as_declared(audio: Audio, encoding: Encoding) -> Audio:
    """Return a sound at the rate and with the channels that a track declares, before it is damaged."""
    if encoding.channels == 1 and len(audio.samples) > 1:
        audio = audio.with_samples(audio.samples.mean(axis=0, dtype=np.float64, keepdims=True))
    return audio if encoding.sample_rate_hz is None else resampled(audio, encoding.sample_rate_hz)


def pcm_digest(audio: Audio) -> str:
    """Return the SHA-256 of a sound: `channels rate n` and a line end, then float32, little-endian, by channel."""
    n_channels, n_samples = audio.samples.shape
    samples = np.ascontiguousarray(audio.samples, dtype="<f4")
    return sha256_bytes(f"{n_channels} {audio.rate_hz} {n_samples}\n".encode(), samples.data.cast("B"))


def planes_digest(video: Video) -> str:
    """Return the SHA-256 of all planes of all pictures, row by row; the pictures are consumed.

    Before the first picture, and before each of another size or depth than its predecessor, go the sizes of its planes
    and its depth, such as `288x360 144x180 144x180 8`, and a line end. Values of more than 8 bits have two bytes, the
    lower one first.
    """
    with _PlanesDigest() as digest:
        for frame in video.frames:
            digest.add(frame.planes, frame.depth)
    return digest.hexdigest()


class _PlanesDigest:
    """The digest of pictures, taken in a thread of its own while the next ones are made; a few may wait."""

    def __init__(self, n_waiting: int = 4) -> None:
        self._digest = sha256()
        self._header = ""
        self._waiting: queue.Queue[tuple[tuple[Plane, ...], int] | None] = queue.Queue(n_waiting)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="planes digest", daemon=True)

    def __enter__(self) -> _PlanesDigest:
        self._thread.start()
        return self

    def __exit__(self, raised: object, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._error is not None and raised is None:
            raise self._error

    def add(self, planes: tuple[Plane, ...], depth: int) -> None:
        """Take a picture, whose planes must not change any more."""
        self._waiting.put((planes, depth))

    def hexdigest(self) -> str:
        """Return the digest of all pictures, once the block has ended."""
        return self._digest.hexdigest()

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            if self._error is None:  # what comes after an error is taken all the same, so that nobody waits for ever
                try:
                    self._update(*waiting)
                except Exception as error:
                    self._error = error

    def _update(self, planes: tuple[Plane, ...], depth: int) -> None:
        header = " ".join([*(f"{plane.shape[0]}x{plane.shape[1]}" for plane in planes), f"{depth}\n"])
        if header != self._header:
            self._digest.update(header.encode())
            self._header = header
        for plane in planes:
            values = plane if plane.dtype == np.uint8 else plane.astype("<u2", copy=False)
            self._digest.update(np.ascontiguousarray(values).data.cast("B"))


@dataclass(frozen=True, eq=False)
class _Pictures:
    """The stream of pictures that is written: its packets, made while they are taken, and its ticks a second."""

    packets: Iterator[Any]
    ticks: int


@dataclass(frozen=True, eq=False)
class _Sound:
    """The stream of sound that is written: its packets, which a thread may still be making, and its ticks a second.

    The packets begin with the clip; `begins_s` is when they should.
    """

    packets: Future[list[Any]]
    ticks: int
    begins_s: Fraction


@contextmanager
def _faults_of_the_disk() -> Iterator[None]:
    """Raise the `OSError` for which writing failed, also where FFmpeg wraps it, as it does while a file is closed."""
    av = pyav()
    try:
        yield
    except av.FFmpegError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
                raise OSError(cause.errno, os.strerror(cause.errno)) from error
            cause = cause.__cause__ or cause.__context__
        raise


class _Pass:
    """The pass of one file; its attributes are what both streams need to know."""

    def __init__(self, source: Path, container: Any, spec: Encoding, may_copy: bool) -> None:
        self.source = source
        self.container = container
        self.spec = spec
        self.may_copy = may_copy
        self.start_s = clip_start_s(container)
        self.record = MediaRecord("wav" if video_stream(container) is None else "mp4")

    def write(self, file: BinaryIO, edit_audio: EditAudio | None, edit_video: EditVideo | None) -> MediaRecord:
        options = {"movflags": "+write_colr"} if self.record.container == "mp4" else {}
        with (
            _faults_of_the_disk(),
            pyav().open(file, "w", format=self.record.container, container_options=options) as output,
            ThreadPoolExecutor(1, "sound") as aside,
        ):
            pictures = self._pictures(output, edit_video)
            sound = self._sound(output, aside, edit_audio)
            ticks = [stream.ticks for stream in (pictures, sound) if stream is not None]
            if not ticks:
                raise UnreadableMedia(self.source, "holds neither sound nor pictures")
            if self.record.container == "mp4":
                output.container_options["movie_timescale"] = str(writing.clock(*ticks))
            for packet in _interleaved(pictures, sound):
                self._mux(output, packet)
        if self.record.container == "mp4" and sound is not None and sound.begins_s > 0:
            begin_later(file, sound.begins_s)
        return self.record

    def _mux(self, output: Any, packet: Any) -> None:
        try:
            output.mux_one(packet)
        except ValueError as error:  # FFmpeg's invalid argument; a full disk is an OSError
            if self.may_copy:
                raise _Refused from error
            raise Inapplicable(f"FFmpeg cannot write this as {self.record.container}: {error}") from error

    def _note(self, **values: Any) -> None:
        self.record = replace(self.record, **values)

    # Sound

    def _sound(self, output: Any, aside: Executor, edit: EditAudio | None) -> _Sound | None:
        if audio_stream(self.container) is None:
            return None
        with opened(self.source) as container:
            stream = required_audio(self.source, container)
            self._note(n_channels=int(stream.codec_context.layout.nb_channels))
            copied = self._copied_stream(output, stream, edit)
            if copied is not None:
                return self._copied_sound(container, stream, copied)
            layout = "mono" if self.spec.channels == 1 else layout_name(stream.codec_context.layout)
            audio, begins_s = decoded_audio(self.source, container)
        audio = self._damaged_sound(audio, edit)
        stored_rate_hz = self.record.stored_rate_hz
        declared = writing.declare_audio(output, self.spec, stored_rate_hz, layout)
        return _Sound(aside.submit(writing.encoded_audio, declared, audio), stored_rate_hz, begins_s)

    def _damaged_sound(self, audio: Audio, edit: EditAudio | None) -> Audio:
        audio = as_declared(audio, self.spec)
        if edit is not None:
            audio = edit(audio)
        audio, scale = fitted(audio)
        n_channels, n_samples = audio.samples.shape
        self._note(
            n_samples=n_samples,
            sample_rate_hz=audio.rate_hz,
            stored_rate_hz=writing.stored_rate_hz(audio.rate_hz, self.record.container, self.spec),
            n_channels=n_channels,
            audio_scale=scale,
            pcm_digest=pcm_digest(audio),
        )
        return audio

    def _copied_sound(self, container: Any, stream: Any, copied: Any) -> _Sound:
        packets = [packet for packet in demuxed(self.source, container, stream) if packet.size]
        if not packets:
            raise UnreadableMedia(self.source, "its audio has no samples")
        rate_hz = int(stream.codec_context.sample_rate)
        counted = round(sum(packet.duration or 0 for packet in packets) * stream.time_base * rate_hz)
        n_samples = told_samples(container, stream, skipped_samples(packets[0]))
        n_samples = counted if n_samples is None else n_samples
        self._note(audio_copied=True, n_samples=n_samples, sample_rate_hz=rate_hz, stored_rate_hz=rate_hz)
        copies: Future[list[Any]] = Future()
        start_s = (stream.start_time or 0) * stream.time_base
        copies.set_result(list(self._restamped(packets, stream, copied, start_s)))
        return _Sound(copies, stream.time_base.denominator, max(start_s - self.start_s, Fraction(0)))

    # Pictures

    def _pictures(self, output: Any, edit: EditVideo | None) -> _Pictures | None:
        if video_stream(self.container) is None:
            return None
        stream = required_video(self.source, self.container)
        copied = self._copied_stream(output, stream, edit)
        ticks = stream.time_base.denominator
        if copied is not None:
            return _Pictures(self._copied_pictures(stream, copied), ticks)
        declared = writing.declare_video(output, self.spec, stream.average_rate)
        declared.time_base = stream.time_base
        return _Pictures(self._encoded_pictures(stream, declared, edit), ticks)

    def _copied_pictures(self, stream: Any, copied: Any) -> Iterator[Any]:
        packets = (packet for packet in demuxed(self.source, self.container, stream) if packet.size)
        n_frames = 0
        for packet in self._restamped(packets, stream, copied, self.start_s):
            n_frames += 1
            yield packet
        if n_frames == 0:
            raise UnreadableMedia(self.source, "its video has no pictures")
        self._note(n_frames=n_frames, video_copied=True)

    def _encoded_pictures(self, stream: Any, declared: Any, edit: EditVideo | None) -> Iterator[Any]:
        decoded = _Decoded(self.source, self.container, stream, self.spec, self.start_s)
        video = Video(decoded.frames(), stream_duration_s(self.container, stream))
        frames = (video if edit is None else edit(video)).frames
        clock = _Stamps(stream.time_base)
        encoder = declared.codec_context
        size = None
        with _PlanesDigest() as digest:
            for frame in frames:
                picture = decoded.canvas.picture(frame)
                if size is None:
                    size = (frame.height, frame.width)
                    writing.open_video(declared, picture, decoded.looks, self.spec)
                if (frame.height, frame.width) != size:
                    raise UnreadableMedia(self.source, "its pictures change their size on the way")
                digest.add(frame.planes if frame.depth == 8 else planes_of(picture), frame.depth)
                picture.pts, picture.time_base, picture.pict_type = clock.add(frame.time_s), encoder.time_base, 0
                yield from clock.stamped(declared.encode(picture))
            if size is None:
                raise UnreadableMedia(self.source, "no pictures are left of its video")
            yield from clock.stamped(declared.encode(None), end_s=decoded.end_s)
        self._note(n_frames=clock.n_pictures, planes_digest=digest.hexdigest())

    # Packets

    def _copied_stream(self, output: Any, stream: Any, edit: object | None) -> Any | None:
        """Return a stream for the packets of another as they are; None where they are to be encoded, or must be."""
        codec = stream.codec_context.codec.canonical_name
        if edit is not None or not self.may_copy or not writing.is_held(codec, self.record.container):
            return None
        try:
            return output.add_stream_from_template(stream, opaque=True)
        except ValueError:
            return None

    def _restamped(self, packets: Iterable[Any], stream: Any, copied: Any, start_s: Fraction) -> Iterator[Any]:
        """Yield packets for another stream, with `start_s` as time 0, the last one with its length."""
        shift = round(start_s / stream.time_base)
        previous, step, skipped = None, 0, 0
        for packet in packets:
            skipped = skipped if previous is not None else skipped_samples(packet)
            packet.stream = copied
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            if packet.dts is None:
                raise _Refused
            if previous is not None:
                if step == 0 and packet.dts == previous.dts:  # as FFmpeg tells the first two of an MPEG program stream
                    previous.dts -= packet.duration or 1
                step = packet.dts - previous.dts
                yield previous
            previous = packet
        if previous is not None:
            previous.duration = self._left(stream, skipped, previous.dts) or previous.duration or step
            yield previous

    def _left(self, stream: Any, skipped: int, time: int) -> int:
        """Return how many ticks of a sound are left at a time, where the header of an MP4 tells its length; else 0."""
        if not is_mp4(self.container) or stream.type != "audio":
            return 0
        n_samples = told_samples(self.container, stream, skipped) or 0
        return max(int(Fraction(n_samples, stream.codec_context.sample_rate) / stream.time_base) - time, 0)


class _Decoded:
    """The pictures of a stream as frames to be damaged, and what their encoder must know of them."""

    def __init__(self, source: Path, container: Any, stream: Any, spec: Encoding, start_s: Fraction) -> None:
        self._pictures = decoded_pictures(source, container, stream)
        self._start_s = start_s
        first = next(self._pictures)
        pixel_format = writing.stored_format(planar_format(first.format), spec)
        self._first = first
        self.canvas = writing.Canvas(pixel_format)
        self.looks = _looks(first, planar(first, pixel_format), stream)
        self._end = 0
        self._tick = Fraction(0)

    @property
    def end_s(self) -> Fraction:
        """When the last picture that was decoded ends."""
        return self._end * self._tick - self._start_s

    def frames(self) -> Iterator[Frame]:
        """Yield one frame for each picture, in memory that nobody else needs."""
        rotation = clockwise(self._first)
        for picture in self._all():
            self._end, self._tick = picture.pts + (picture.duration or 0), picture.time_base
            ours = writeable(planar(picture, self.canvas.pixel_format))
            yield self.canvas.taken_from(ours, frame_of(ours, self._start_s, rotation))

    def _all(self) -> Iterator[Any]:
        first, self._first = self._first, None
        yield first
        yield from self._pictures


def _looks(decoded: Any, converted: Any, stream: Any) -> writing.Looks:
    from av.sidedata.sidedata import Type

    display = decoded.side_data.get(Type.DISPLAYMATRIX)
    return writing.Looks(
        full_range=is_full_range(converted),
        matrix=int(converted.colorspace),
        primaries=int(decoded.color_primaries),
        transfer=int(decoded.color_trc),
        aspect=stream.sample_aspect_ratio,
        display=None if display is None else tuple(np.frombuffer(bytes(display), "<i4").tolist()),
    )


class _Stamps:
    """The times of pictures that an encoder knows by number; each packet waits for the next to know its duration."""

    def __init__(self, tick: Fraction) -> None:
        self._tick = tick
        self._ticks_a_second = tick.denominator / tick.numerator
        self._times: list[int] = []
        self._waiting: Any | None = None

    @property
    def n_pictures(self) -> int:
        return len(self._times)

    def add(self, time_s: float) -> int:
        """Note the time of a picture and return its number. No two have one time: the later one is a tick later."""
        time = round(time_s * self._ticks_a_second)
        self._times.append(time if not self._times else max(time, self._times[-1] + 1))
        return len(self._times) - 1

    def stamped(self, packets: Iterable[Any], end_s: Fraction | None = None) -> Iterator[Any]:
        """Yield packets with the times of their pictures; the last one of all where the end of the clip is given."""
        for packet in packets:
            number = packet.pts
            packet.pts = packet.dts = self._times[number]
            packet.time_base = self._tick
            if self._waiting is not None:
                self._waiting.duration = packet.pts - self._waiting.pts
                yield self._waiting
            self._waiting = packet
        if end_s is not None and self._waiting is not None:
            self._waiting.duration = max(round(end_s / self._tick) - self._waiting.pts, 1)
            yield self._waiting


def fitted(audio: Audio) -> tuple[Audio, float]:
    """Return a sound that does not go beyond full scale, and the factor that it was scaled by; 1.0 where it fits.

    Raises:
        Inapplicable: values are no numbers.
    """
    peak = float(np.max(np.abs(audio.samples), initial=0.0))
    if not np.isfinite(peak):
        raise Inapplicable("the damaged sound has values that are no numbers")
    return (audio, 1.0) if peak <= 1.0 else (audio.with_samples(audio.samples / np.float32(peak)), 1.0 / peak)


def _interleaved(pictures: _Pictures | None, sound: _Sound | None) -> Iterator[Any]:
    """Yield the packets of both in the order of their times; those of pictures wait while the sound is being made."""
    waiting: deque[Any] = deque()
    for picture in () if pictures is None else pictures.packets:
        waiting.append(picture)
        if sound is None or sound.packets.done():
            break
    sounds = deque(() if sound is None else sound.packets.result())
    for picture in chain(waiting, () if pictures is None else pictures.packets):
        while sounds and _time(sounds[0]) <= _time(picture):
            yield sounds.popleft()
        yield picture
    yield from sounds


def _time(packet: Any) -> float:
    tick = packet.time_base
    return float(packet.dts * tick.numerator / tick.denominator)
