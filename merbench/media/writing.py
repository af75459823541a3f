"""Sound and pictures in memory to the packets of an encoder, and the settings that make its bytes the same every time.

Conventions:
    Encoders run in one thread and without pictures that are predicted from later ones, so that one version of FFmpeg
    always writes the same bytes. Pictures are numbered for the encoder, and the time stamps of the source are put back
    on its packets: MPEG-4 part 2 knows no finer clock than 1/65535 s, and a variable frame rate must survive.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from merbench.corruptions.signals import Audio, Frame, Plane
from merbench.errors import Inapplicable, UsageError
from merbench.media.reading import planes_of, pyav, resampled

if TYPE_CHECKING:  # tracks bring Arrow along, which a worker that passes media has no need of
    from merbench.media.encoding import Encoding

AAC_RATES_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""The sample rates of MPEG-4 AAC (ISO/IEC 14496-3, table 1.18)."""

_MPEG4_TICKS = 65535
_MPEG4_GROUP = 12  # pictures from one key frame to the next
_H264_FORMATS = frozenset(f"{kind}{depth}" for kind in ("yuv420p", "yuv422p", "yuv444p") for depth in ("", "10le"))
_SUBSAMPLED = {"420": "420", "410": "420", "422": "422", "411": "422", "440": "444", "444": "444"}
_AAC = {"aac_coder": "fast", "aac_pns": "0", "aac_is": "0", "aac_tns": "0"}
"""How AAC is made. Noise substitution and intensity stereo, which put other noise in the place of the declared one, are
off; the fast search then comes as near to the sound at the same rate as the thorough one, in a quarter of the time."""

_CLOCK = 1 << 30


def stored_format(planar_format: str, spec: Encoding) -> str:
    """Return the format of planes that the declared codec stores, nearest to that of the source.

    MPEG-4 part 2 has 8 bits and 4:2:0 alone. H.264 has 4:2:0, 4:2:2 and 4:4:4, at 8 and 10 bits. Luma alone gets grey
    colours of 4:2:0, which is how players decode it in any case.
    """
    if spec.video_codec == "mpeg4":
        return "yuv420p"
    name = planar_format.replace("yuvj", "yuv")
    if name in _H264_FORMATS:
        return name
    kind = "yuv420p" if name.startswith("gray") else f"yuv{_SUBSAMPLED[name[3:6]]}p"
    return f"{kind}10le" if name.endswith("le") else kind


def declare_video(container: Any, spec: Encoding, rate: Fraction | None) -> Any:
    """Add the stream of pictures to a container that is written; `open_video` opens its encoder."""
    quality = video_quality(spec)
    rate = encoder_rate(rate)
    if spec.video_codec == "mpeg4":
        stream = container.add_stream("mpeg4", rate=rate)
        stream.codec_context.gop_size = _MPEG4_GROUP
        stream.codec_context.qmin = stream.codec_context.qmax = quality
    else:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "superfast"})
    stream.codec_context.time_base = 1 / rate
    stream.codec_context.thread_count = 1
    stream.codec_context.max_b_frames = 0
    return stream


def video_quality(spec: Encoding) -> int:
    """Return the quantiser of MPEG-4 part 2, 3 by default, or the rate factor of H.264, 18 by default."""
    if spec.quality is None:
        return 3 if spec.video_codec == "mpeg4" else 18
    return spec.quality


def encoder_rate(rate: Fraction | None) -> Fraction:
    """Return a frame rate near to the given one whose clock MPEG-4 part 2 can write; 25 where there is none."""
    if not rate or rate <= 0:
        return Fraction(25)
    while rate.numerator > _MPEG4_TICKS and rate.denominator > 1:
        rate = rate.limit_denominator(max(rate.denominator // 2, 1))
    return min(rate, Fraction(_MPEG4_TICKS))


@dataclass(frozen=True, slots=True)
class Looks:
    """How a player is to show stored pictures; the numbers are those of ITU-T H.273.

    Attributes:
        full_range: whether luma spans all values.
        matrix: the luma weights.
        primaries: the primary colours.
        transfer: the transfer characteristics.
        aspect: width of a pixel over its height; None where it is not known.
        display: the matrix that turns or mirrors the picture, row by row as FFmpeg stores it; None where it stays.
    """

    full_range: bool
    matrix: int
    primaries: int
    transfer: int
    aspect: Fraction | None
    display: tuple[int, ...] | None


def open_video(stream: Any, picture: Any, looks: Looks, spec: Encoding) -> None:
    """Open the encoder for the size and format of the first picture.

    Raises:
        Inapplicable: the declared codec has no such pictures.
    """
    av = pyav()
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = picture.width, picture.height, picture.format.name
    context.color_range = 2 if looks.full_range else 1
    context.colorspace, context.color_primaries, context.color_trc = looks.matrix, looks.primaries, looks.transfer
    if looks.aspect:
        context.sample_aspect_ratio = looks.aspect
    if looks.display is not None:
        stream.set_display_matrix(looks.display)
    try:
        context.open()
    except av.FFmpegError as error:
        size = f"{picture.width} × {picture.height} pixels of {picture.format.name}"
        advice = "; mpeg4 has every size" if spec.video_codec == "h264" else ""
        raise Inapplicable(f"{spec.video_codec} cannot store pictures of {size}{advice}") from error


class Canvas:
    """Turns damaged frames into PyAV's pictures for an encoder, in the memory they came in where they still lie there.

    Args:
        pixel_format: the format of planes that the encoder takes.
    """

    def __init__(self, pixel_format: str) -> None:
        self.pixel_format = pixel_format
        self._taken: tuple[Any, Frame] | None = None

    def taken_from(self, picture: Any, frame: Frame) -> Frame:
        """Remember that a frame's planes are the memory of a picture, and return it."""
        self._taken = (picture, frame) if picture.format.name == self.pixel_format else None
        return frame

    def picture(self, frame: Frame) -> Any:
        """Return a picture of the frame's planes, without its time.

        Values beyond the depth become the greatest of it: an encoder may end the process that hands it others.

        Raises:
            UsageError: the planes are not of the shapes that the format has.
        """
        picture, stored = self._own(frame)
        if [plane.shape for plane in stored] != [plane.shape for plane in frame.planes]:
            shapes = ", ".join(f"{plane.shape[0]} × {plane.shape[1]}" for plane in frame.planes)
            raise UsageError(f"a corruption gave planes of {shapes}, which are not those of {self.pixel_format}")
        for ours, theirs in zip(stored, frame.planes, strict=True):
            if ours is not theirs:
                np.copyto(ours, theirs, casting="unsafe")
            if ours.dtype != np.uint8:
                np.minimum(ours, (1 << frame.depth) - 1, out=ours)
        return picture

    def _own(self, frame: Frame) -> tuple[Any, tuple[Plane, ...]]:
        """Return the picture in whose memory the frame still lies, in part at least, else a new one; and its planes."""
        if self._taken is not None:
            picture, taken = self._taken
            kept = [ours is theirs for ours, theirs in zip(taken.planes, frame.planes, strict=False)]
            others = (plane for plane, is_kept in zip(frame.planes, kept, strict=False) if not is_kept)
            mixed = any(np.may_share_memory(plane, ours) for plane in others for ours in taken.planes)
            if any(kept) and not mixed and taken.planes[0].shape == frame.planes[0].shape:
                return picture, taken.planes
        picture = pyav().VideoFrame(frame.width, frame.height, self.pixel_format)
        return picture, planes_of(picture)


def declare_audio(container: Any, spec: Encoding, rate_hz: int, layout: str) -> Any:
    """Add the stream of sound to a container that is written: PCM of 16 bits to WAV, the declared codec to MP4.

    Of two surround layouts that differ in the name of their last pair alone, MP4 players know the one with the
    speakers at the back; a pair at the side is stored as that one.
    """
    if container.format.name == "wav":
        codec, sample_format = "pcm_s16le", "s16"
    elif spec.audio_codec == "flac":
        codec, sample_format = "flac", "s32"
    else:
        codec, sample_format = "aac", "fltp"
    stream = container.add_stream(codec, rate=rate_hz)
    context = stream.codec_context
    context.format, context.layout = sample_format, layout if codec == "pcm_s16le" else layout.replace("(side)", "")
    context.thread_count = 1
    context.time_base = stream.time_base = Fraction(1, rate_hz)
    if codec == "aac":
        context.bit_rate = spec.audio_bit_rate * int(context.layout.nb_channels)
        context.options = dict(_AAC)
    return stream


def stored_rate_hz(rate_hz: int, container: str, spec: Encoding) -> int:
    """Return the sample rate at which sound is stored: its own, or for AAC the next that AAC has."""
    if container == "wav" or spec.audio_codec == "flac":
        return rate_hz
    return next((rate for rate in AAC_RATES_HZ if rate >= rate_hz), AAC_RATES_HZ[-1])


def encoded_audio(stream: Any, audio: Audio) -> list[Any]:
    """Return the packets of a sound, ready to be written, its first sample at time 0.

    Raises:
        Inapplicable: the codec has no such arrangement of channels.
    """
    av = pyav()
    context = stream.codec_context
    audio = resampled(audio, int(context.sample_rate))
    try:
        context.open()
    except av.FFmpegError as error:
        raise Inapplicable(f"{context.codec.name} cannot store sound of {context.layout.name}") from error
    packets = [packet for piece in _pieces(audio, context) for packet in stream.encode(piece)]
    packets += stream.encode(None)
    return [packet for packet in packets if packet.size]


def _pieces(audio: Audio, context: Any) -> Iterator[Any]:
    """Yield the sound in PyAV's frames, a second each, in values as wide as the encoder's."""
    av = pyav()
    for begin in range(0, audio.samples.shape[1], audio.rate_hz):
        samples = audio.samples[:, begin : begin + audio.rate_hz]
        kind = context.format.packed.name
        match kind:
            case "s16":
                values: Any = _packed(samples, 16, np.int16)
            case "s32":
                values = _packed(samples, 24, np.int32) << 8
            case _:
                values = np.ascontiguousarray(samples.T).reshape(1, -1)
        piece = av.AudioFrame.from_ndarray(values, format=kind, layout=context.layout.name)
        piece.sample_rate, piece.pts, piece.time_base = audio.rate_hz, begin, Fraction(1, audio.rate_hz)
        yield piece


def _packed(samples: Any, bits: int, dtype: Any) -> Any:
    """Return whole numbers of so many bits, the channels of one moment side by side."""
    full_scale = 1 << (bits - 1)
    values = np.rint(samples.T.astype(np.float64) * full_scale)
    return np.clip(values, -full_scale, full_scale - 1).astype(dtype).reshape(1, -1)


def clock(*rates: int) -> int:
    """Return ticks a second for the header of an MP4 in which the ends of all streams are whole numbers, if it can."""
    common = math.lcm(*rates)
    return common if common <= _CLOCK else max(rates)


def is_held(codec: str, container: str) -> bool:
    """Return whether packets of a codec may go into a container as they are, where FFmpeg's muxer would take them.

    A WAV holds PCM alone, which every program reads.
    """
    return container != "wav" or re.match(r"pcm_", codec) is not None
