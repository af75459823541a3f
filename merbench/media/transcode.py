"""One media file with corrupted sound and pictures: decoded once, encoded once, nothing written in between.

Conventions:
    Sound is small and goes first: it is decoded and corrupted as a whole, and encoded in a thread of its own; its
    packets wait in memory. It has a reader of its own, so that the pictures of a long clip need not wait in memory.
    Pictures go through one at a time, so that a long clip takes no more memory than a short one. A stream that is
    neither corrupted nor encoded is copied packet by packet; so are time stamps, the order of streams being pictures,
    then sound. Times begin with the clip at 0. Titles, subtitles, chapters and further streams are left out.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from merbench.corruptions.signals import Audio, EditAudio, Plane, Video
from merbench.errors import Inapplicable, UnreadableMedia
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.files.writing import atomic_path
from merbench.media import writing
from merbench.media.mp4_edits import begin_later
from merbench.media.reading import MediaFile, audio_at_rate, opened, planes_of, skipped_samples, tick_of

if TYPE_CHECKING:
    from av import AudioStream, Packet, VideoStream
    from av.container import OutputContainer

    from merbench.media.writing import Encoding

    Stream = TypeVar("Stream", AudioStream, VideoStream)

EditVideo = Callable[[Video], Video]

_FAULTS_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)

_N_WAITING = 4
"""How many pictures may wait for their digest."""


@dataclass(slots=True)
class MediaRecord:
    """What became of one media file."""

    container: str  # `mp4` or `wav`
    n_frames: int = 0  # pictures written
    video_copied: bool = False  # whether they were copied as they were, undecoded
    n_samples: int = 0  # samples of each channel of the sound, at the rate at which it was corrupted
    sample_rate_hz: int = 0  # that rate
    stored_rate_hz: int = 0  # the rate in the file: another one if the codec does not have that one
    n_channels: int = 0
    audio_copied: bool = False  # whether the sound was copied as it was, undecoded
    # the factor that brought the corrupted sound back to full scale; 1.0 if it did not exceed it
    audio_scale: float = 1.0
    # `pcm_digest` of the corrupted sound after that; None if it was copied, or there is none
    pcm_digest: str | None = None
    # `planes_digest` of the corrupted pictures; None if they were copied, or there are none
    planes_digest: str | None = None
    file_digest: str = ""  # SHA-256 of the file's bytes
    file_bytes: int = 0


def target_suffix(media: MediaFile) -> str:
    """Return the suffix of what becomes of a file: `.mp4` if it has pictures, else `.wav`."""
    return ".wav" if media.video is None else ".mp4"


def write_corrupted(
    media: MediaFile, target: Path, *, edit_audio: EditAudio | None, edit_video: EditVideo | None, encoding: Encoding
) -> MediaRecord:
    """Write a media file with corrupted sound and pictures to `target`, and return what was written.

    A clip with pictures becomes an MP4, sound without pictures a WAV of 16 bits, whatever the name of `target`. Number
    and times of the pictures, their rotation, colours and pixel shape, the sample rate, the channels and the lengths of
    both streams stay as they are. Sound beyond full scale after the corruption is scaled once, to just fit.

    Args:
        media: the source, just opened.
        target: the file that is written, completely or not at all.
        edit_audio: the corruption of the sound; None leaves it untouched. It may be called again.
        edit_video: the corruption of the pictures, one for each that goes in; None leaves them untouched. It may be
            called again.
        encoding: codecs, their quality, and whether an untouched stream is copied or encoded.

    Raises:
        UnreadableMedia: the source is broken or cut off, or has no stream of what is to be corrupted.
        Inapplicable: a codec cannot store the corrupted signal.
        OutputError: the target cannot be written.
    """
    with atomic_path(target) as temporary:
        try:
            may_copy = encoding.unchanged == "copy"
            record = _Transcode(media, encoding, may_copy).write(temporary, edit_audio, edit_video)
        except _Refused:
            with opened(media.path) as again:
                record = _Transcode(again, encoding, may_copy=False).write(temporary, edit_audio, edit_video)
        record.file_digest, record.file_bytes = sha256_file(temporary), temporary.stat().st_size
        return record


class _Refused(Exception):
    """The container refuses packets that are copied, such as some without a time stamp: they must be encoded."""


def as_declared(audio: Audio, encoding: Encoding) -> Audio:
    """Return a sound at the rate and with the channels that a track declares, before it is corrupted."""
    if encoding.channels == 1 and len(audio.samples) > 1:
        audio = audio.with_samples(audio.samples.mean(axis=0, dtype=np.float64, keepdims=True))
    return audio if encoding.sample_rate_hz is None else audio_at_rate(audio, encoding.sample_rate_hz)


def fitted(audio: Audio) -> tuple[Audio, float]:
    """Return a sound within full scale, and the factor by which it was scaled; 1.0 if it fits.

    Raises:
        Inapplicable: values are not numbers.
    """
    peak = float(np.max(np.abs(audio.samples), initial=0.0))
    if not np.isfinite(peak):
        raise Inapplicable("the corrupted sound has values that are not numbers")
    return (audio, 1.0) if peak <= 1.0 else (audio.with_samples(audio.samples / np.float32(peak)), 1.0 / peak)


def pcm_digest(audio: Audio) -> str:
    """Return the SHA-256 of a sound: `channels rate n` and a line end, then float32, little-endian, by channel."""
    n_channels, n_samples = audio.samples.shape
    samples = np.ascontiguousarray(audio.samples, dtype="<f4")
    return sha256_bytes(f"{n_channels} {audio.rate_hz} {n_samples}\n".encode(), samples.data.cast("B"))


def planes_digest(video: Video) -> str:
    """Return the SHA-256 of all planes of all pictures, row by row; the pictures are consumed.

    Before the first picture, and before each of another size or depth than its predecessor, come the sizes of its
    planes and its depth, such as `288x360 144x180 144x180 8`, and a line end. Values of more than 8 bits have two
    bytes, the lower one first.
    """
    with _PlanesDigest() as digest:
        for frame in video.frames:
            digest.add(frame.planes, frame.depth)
        return digest.hexdigest()


class _PlanesDigest:
    """The digest of pictures, computed in a thread of its own while the next ones are made; a few may wait."""

    def __init__(self) -> None:
        self._digest = sha256()
        self._header = ""
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "planes digest")

    def __enter__(self) -> _PlanesDigest:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, planes: tuple[Plane, ...], depth: int) -> None:
        """Take a picture, whose planes must not change any more."""
        if len(self._waiting) > _N_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._update, planes, depth))

    def hexdigest(self) -> str:
        """Return the digest of all pictures."""
        for waiting in self._waiting:
            waiting.result()
        return self._digest.hexdigest()

    def _update(self, planes: tuple[Plane, ...], depth: int) -> None:
        header = " ".join([*(f"{plane.shape[0]}x{plane.shape[1]}" for plane in planes), f"{depth}\n"])
        if header != self._header:
            self._digest.update(header.encode())
            self._header = header
        for plane in planes:
            values = plane if plane.dtype == np.uint8 else plane.astype("<u2", copy=False)
            self._digest.update(np.ascontiguousarray(values).data.cast("B"))


class _Pictures(NamedTuple):
    """The stream of pictures that is written: its packets, made while they are taken, and its ticks per second."""

    packets: Iterator[Packet[Any]]
    ticks: int


class _Sound(NamedTuple):
    """The stream of sound that is written: its packets, which a thread may still be making, and its ticks per second.

    The packets begin with the clip; `begins_s` is when they should.
    """

    packets: Future[list[Packet[Any]]]
    ticks: int
    begins_s: Fraction


class _Transcode:
    """One file on its way; its attributes are what both streams need to know."""

    def __init__(self, media: MediaFile, encoding: Encoding, may_copy: bool) -> None:
        self.media = media
        self.path = media.path
        self.encoding = encoding
        self.may_copy = may_copy
        self.start_s = media.start_s
        self.record = MediaRecord(target_suffix(media)[1:])

    def write(self, path: Path, edit_audio: EditAudio | None, edit_video: EditVideo | None) -> MediaRecord:
        if edit_audio is not None:
            self.media.require_audio()
        if edit_video is not None:
            self.media.require_video()
        with path.open("wb+") as file:
            sound = self._written(file, edit_audio, edit_video)
            if self.record.container == "mp4" and sound is not None and sound.begins_s > 0:
                begin_later(file, sound.begins_s)
        return self.record

    def _written(self, file: BinaryIO, edit_audio: EditAudio | None, edit_video: EditVideo | None) -> _Sound | None:
        import av

        is_mp4 = self.record.container == "mp4"
        options = {"movflags": "+write_colr"} if is_mp4 else {}
        with (
            self._closing(),
            av.open(file, "w", format=self.record.container, container_options=options) as output,
            ThreadPoolExecutor(1, "sound") as aside,
        ):
            pictures = self._pictures(output, edit_video)
            sound = self._sound(output, aside, edit_audio)
            ticks = [stream.ticks for stream in (pictures, sound) if stream is not None]
            if not ticks:
                raise UnreadableMedia(self.path, "has neither sound nor pictures")
            if is_mp4:
                output.container_options["movie_timescale"] = str(writing.clock(*ticks))
            for packet in _interleaved(pictures, sound):
                self._mux(output, packet)
        return sound

    def _mux(self, output: OutputContainer, packet: Packet[Any]) -> None:
        try:
            output.mux_one(packet)
        except ValueError as error:  # FFmpeg's invalid argument; a full disk is an OSError
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> Exception:
        if self.may_copy:
            return _Refused()
        return Inapplicable(f"FFmpeg cannot write this as {self.record.container}: {error}")

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Raise the error for which writing failed, even if FFmpeg raises another one while it closes the file."""
        from av import FFmpegError

        try:
            yield
        except FFmpegError as error:
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, _Refused | Inapplicable | UnreadableMedia):
                    raise cause from None
                if isinstance(cause, OSError) and cause.errno in _FAULTS_OF_THE_DISK:
                    raise OSError(cause.errno, os.strerror(cause.errno)) from error
                cause = cause.__cause__ or cause.__context__
            if isinstance(error, ValueError):
                raise self._refused(error) from error
            raise

    # Sound

    def _sound(self, output: OutputContainer, aside: Executor, edit: EditAudio | None) -> _Sound | None:
        if self.media.audio is None:
            return None
        with opened(self.path) as media:
            stream = media.require_audio()
            self.record.n_channels = stream.codec_context.layout.nb_channels
            copied = self._copied_stream(output, stream, edit)
            if copied is not None:
                return self._copied_sound(media, stream, copied)
            layout = "mono" if self.encoding.channels == 1 else writing.layout_name(stream.codec_context.layout)
            audio, begins_s = media.sound()
        audio = self._corrupted_sound(audio, edit)
        declared = writing.declare_audio(output, self.encoding, self.record.stored_rate_hz, layout)
        packets = aside.submit(writing.encoded_audio, declared, audio)
        return _Sound(packets, self.record.stored_rate_hz, begins_s)

    def _corrupted_sound(self, audio: Audio, edit: EditAudio | None) -> Audio:
        record, audio = self.record, as_declared(audio, self.encoding)
        audio, record.audio_scale = fitted(audio if edit is None else edit(audio))
        record.n_channels, record.n_samples = audio.samples.shape
        record.sample_rate_hz = audio.rate_hz
        record.stored_rate_hz = self.encoding.stored_rate_hz(audio.rate_hz, record.container)
        record.pcm_digest = pcm_digest(audio)
        return audio

    def _copied_sound(self, media: MediaFile, stream: AudioStream, copied: AudioStream) -> _Sound:
        packets = [packet for packet in media.packets(stream) if packet.size]
        if not packets:
            raise UnreadableMedia(self.path, "its audio has no samples")
        tick, rate_hz = tick_of(stream), stream.codec_context.sample_rate
        counted = round(sum(packet.duration or 0 for packet in packets) * tick * rate_hz)
        n_samples = media.declared_samples(stream, skipped_samples(packets[0]))
        record = self.record
        record.audio_copied, record.n_samples = True, counted if n_samples is None else n_samples
        record.sample_rate_hz = record.stored_rate_hz = rate_hz
        start_s = (stream.start_time or 0) * tick
        copies: Future[list[Packet[Any]]] = Future()
        copies.set_result(list(self._restamped(packets, stream, copied, start_s)))
        return _Sound(copies, tick.denominator, max(start_s - self.start_s, Fraction(0)))

    # Pictures

    def _pictures(self, output: OutputContainer, edit: EditVideo | None) -> _Pictures | None:
        if self.media.video is None:
            return None
        stream = self.media.require_video()
        copied = self._copied_stream(output, stream, edit)
        tick = tick_of(stream)
        if copied is not None:
            return _Pictures(self._copied_pictures(stream, copied), tick.denominator)
        declared = writing.declare_video(output, self.encoding, stream.average_rate)
        declared.time_base = tick
        return _Pictures(self._encoded_pictures(stream, declared, edit), tick.denominator)

    def _copied_pictures(self, stream: VideoStream, copied: VideoStream) -> Iterator[Packet[Any]]:
        packets = (packet for packet in self.media.packets(stream) if packet.size)
        n_frames = 0
        for packet in self._restamped(packets, stream, copied, self.start_s):
            n_frames += 1
            yield packet
        if n_frames == 0:
            raise UnreadableMedia(self.path, "its video has no pictures")
        self.record.n_frames, self.record.video_copied = n_frames, True

    def _encoded_pictures(
        self, stream: VideoStream, declared: VideoStream, edit: EditVideo | None
    ) -> Iterator[Packet[Any]]:
        pictures = writing.Pictures(self.media, stream, declared, self.encoding)
        video = Video(pictures.frames(), self.media.video_duration_s)
        frames = (video if edit is None else edit(video)).frames
        stamps = writing.Stamps(tick_of(stream))
        size = None
        with _PlanesDigest() as digest:
            for frame in frames:
                picture = pictures.picture(frame)
                if size is None:
                    size = (frame.height, frame.width)
                    writing.open_video(declared, picture)
                if (frame.height, frame.width) != size:
                    raise UnreadableMedia(self.path, "its pictures change their size on the way")
                digest.add(frame.planes if frame.depth == 8 else planes_of(picture), frame.depth)
                picture.pts, picture.pict_type = stamps.add(frame.time_s), 0
                picture.time_base = declared.codec_context.time_base
                yield from stamps.stamped(declared.encode(picture))
            if size is None:
                raise UnreadableMedia(self.path, "no pictures are left of its video")
            yield from stamps.stamped(declared.encode(None), end_s=pictures.end_s)
            self.record.n_frames, self.record.planes_digest = stamps.n_pictures, digest.hexdigest()

    # Packets

    def _copied_stream(self, output: OutputContainer, stream: Stream, edit: object | None) -> Stream | None:
        """Return a stream for the packets of another as they are; None if they are to be encoded, or must be.

        A WAV contains only PCM, which every program reads; FFmpeg would write other codecs, too.
        """
        is_pcm = stream.codec_context.codec.canonical_name.startswith("pcm_")
        if edit is not None or not self.may_copy or (self.record.container == "wav" and not is_pcm):
            return None
        try:
            return output.add_stream_from_template(stream, opaque=True)
        except ValueError:
            return None

    def _restamped(
        self, packets: Iterable[Packet[Any]], stream: Stream, copied: Stream, start_s: Fraction
    ) -> Iterator[Packet[Any]]:
        """Yield packets for another stream, with `start_s` as time 0, the last one with its length."""
        shift = round(start_s / tick_of(stream))
        previous, time, step, skipped = None, 0, 0, 0
        for packet in packets:
            skipped = skipped if previous is not None else skipped_samples(packet)
            packet.stream = copied
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            if packet.dts is None:
                raise _Refused
            if previous is not None:
                if step == 0 and packet.dts == time:  # as FFmpeg has it for the first two of an MPEG program stream
                    previous.dts = time = time - (packet.duration or 1)
                step = packet.dts - time
                yield previous
            previous, time = packet, packet.dts
        if previous is not None:
            previous.duration = self._remaining(stream, skipped, time) or previous.duration or step
            yield previous

    def _remaining(self, stream: VideoStream | AudioStream, skipped: int, time: int) -> int:
        """Return how many ticks of a sound remain at a time, if the header of an MP4 declares its length; else 0."""
        if not self.media.is_mp4 or stream.type != "audio":
            return 0
        n_samples = self.media.declared_samples(stream, skipped) or 0
        return max(int(Fraction(n_samples, stream.codec_context.sample_rate) / tick_of(stream)) - time, 0)


def _interleaved(pictures: _Pictures | None, sound: _Sound | None) -> Iterator[Packet[Any]]:
    """Yield the packets of both in the order of their times; those of pictures wait while the sound is being made."""
    waiting: deque[Packet[Any]] = deque()
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


def _time(packet: Packet[Any]) -> float:
    assert packet.dts is not None
    return packet.dts * packet.time_base.numerator / packet.time_base.denominator
