"""What becomes of a clip: times, sizes, colours, channels and lengths survive; files are complete or do not exist."""

from __future__ import annotations

import hashlib
import io
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_media import Pictures, Sound, chirps, headers, make_clip

from merbench.corruptions.signals import Audio, Frame, Video
from merbench.errors import Inapplicable, OutputError, UnreadableMedia, UsageError
from merbench.media.mp4_edits import begin_later
from merbench.media.reading import MediaFile, opened, read_audio, read_video
from merbench.media.transcode import MediaRecord, fitted, pcm_digest, planes_digest, target_suffix, write_corrupted
from merbench.media.writing import Encoding, encoder_rate
from merbench.track.declaration import MediaSpec

MP4 = Pictures(tick=Fraction(1, 12800))
AAC_CODEC = {"codec": "aac", "sample_format": "fltp"}
AAC = Sound(0.5, 44100, "stereo", **AAC_CODEC)
H264 = MediaSpec(video_codec="h264")


def same(signal: Any) -> Any:
    return signal


def each(edit: Any) -> Any:
    """Return an edit of videos that edits each of the frames."""
    return lambda video: replace(video, frames=map(edit, video.frames))


def brighter(frame: Frame) -> Frame:
    np.add(frame.planes[0], 20, out=frame.planes[0])
    return frame


def passed(source: Path, spec: MediaSpec | None = None, audio: Any = same, video: Any = same) -> tuple[Path, Any]:
    """Return what becomes of a clip whose streams are both decoded, edited (by default not at all) and encoded."""
    with opened(source) as media:
        target = source.with_name(f"out-{source.stem}{target_suffix(media)}")
        edits = (audio if media.audio is not None else None, video if media.video is not None else None)
        return target, written(source, target, *edits, spec=spec)


def written(
    source: Path, target: Path, audio: Any = same, video: Any = same, spec: MediaSpec | None = None
) -> MediaRecord:
    with opened(source) as media:
        encoding = Encoding.of(spec or MediaSpec())
        return write_corrupted(media, target, edit_audio=audio, edit_video=video, encoding=encoding)


def times(clip: Path) -> list[float]:
    return [frame.time_s for frame in read_video(clip).frames]


def lag(before: Any, after: Any) -> int:
    """Return by how many samples the second is later than the first, by cross-correlation."""
    n = min(before.size, after.size)
    spectrum = np.fft.rfft(after[:n], 2 * n) * np.conj(np.fft.rfft(before[:n], 2 * n))
    shift = int(np.argmax(np.fft.irfft(spectrum)))
    return shift if shift < n else shift - 2 * n


def psnr(before: Any, after: Any, peak: int = 255) -> float:
    error = np.mean((before.astype(np.float64) - after.astype(np.float64)) ** 2)
    return float(10 * np.log10(peak**2 / max(error, 1e-9)))


def copied(clip: Path) -> list[tuple[np.ndarray, ...]]:
    return [tuple(plane.copy() for plane in frame.planes) for frame in read_video(clip).frames]


def test_frames_times_sizes_and_digests(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(13), Sound(0.52, 16000))
    target, record = passed(source)
    assert (record.container, record.n_frames, record.n_samples, record.sample_rate_hz) == ("mp4", 13, 8320, 16000)
    assert (record.video_copied, record.audio_copied, record.audio_scale, record.n_channels) == (False, False, 1.0, 1)
    assert times(target) == times(source)
    assert read_video(target).duration_s == pytest.approx(0.52)
    for before, after in zip(copied(source), copied(target), strict=True):
        assert psnr(before[0], after[0]) > 36  # the quantiser of 3 on a ramp whose edges are sharp
    assert record.file_digest == hashlib.sha256(target.read_bytes()).hexdigest()
    assert record.file_bytes == target.stat().st_size
    assert record.planes_digest == planes_digest(read_video(source))
    assert record.pcm_digest == pcm_digest(read_audio(source))


GAP = (0, 40, 41, 200, 1201, 61000)  # a gap of a minute is beyond MPEG-4's own clock at this rate


@pytest.mark.parametrize(
    ("pictures", "spec", "video"),
    [
        (Pictures(times=GAP), MediaSpec(), same),
        (Pictures(times=GAP), H264, same),
        (Pictures(times=GAP), MediaSpec(), None),
        (Pictures(12, tick=Fraction(1, 30000), times=tuple(1001 * n for n in range(12))), MediaSpec(), same),
        (Pictures(times=(500, 540, 580)), MediaSpec(), same),  # later than the sound
        (Pictures(24, codec="libx264", b_frames=2), MediaSpec(), same),  # predicted from later ones
    ],
)
def test_times_of_pictures_survive_to_the_tick(tmp_path: Path, pictures: Pictures, spec: MediaSpec, video: Any) -> None:
    container = "mp4" if pictures.tick == Fraction(1, 30000) else "matroska"
    source = make_clip(
        tmp_path / "clip", pictures, Sound(1.0, **({} if container == "matroska" else AAC_CODEC)), container
    )
    target, _ = passed(source, spec, video=video)
    assert (
        times(target) == times(source) == [pytest.approx(float(n * pictures.tick), abs=1e-12) for n in pictures.stamps]
    )
    assert lag(read_audio(source).samples[0], read_audio(target).samples[0]) == 0
    if video is same and pictures.b_frames:
        assert all(psnr(b[0], a[0]) > 33 for b, a in zip(copied(source), copied(target), strict=True))


@pytest.mark.parametrize("edit", [same, None])
def test_rotation_and_the_shape_of_pixels_survive_corruption_and_copying(tmp_path: Path, edit: Any) -> None:
    made = replace(MP4, clockwise=270, aspect=Fraction(16, 11))
    source = make_clip(tmp_path / "clip.mp4", made, container="mp4")
    target, record = passed(source, video=edit)
    assert record.video_copied is (edit is None)
    assert {frame.rotation for clip in (source, target) for frame in read_video(clip).frames} == {270}
    with opened(target) as media:
        assert media.require_video().sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("spec", [MediaSpec(), H264])
def test_range_and_colours_survive(tmp_path: Path, spec: MediaSpec) -> None:
    made = Pictures(4, codec="libx264", full_range=True, matrix=1, primaries=1, transfer=1)
    source = make_clip(tmp_path / "clip.mp4", made, container="mp4")
    target, _ = passed(source, spec)
    before, after = (list(read_video(clip).frames) for clip in (source, target))
    assert [(f.full_range, f.matrix) for f in after] == [(True, "bt709")] * 4
    assert psnr(before[2].planes[0], after[2].planes[0]) > 36  # the values are not stretched


@pytest.mark.parametrize(("width", "height", "n_frames"), [(1, 1, 4), (33, 47, 4), (64, 48, 1)])
def test_odd_sizes_single_pixels_and_single_frames_survive(
    tmp_path: Path, width: int, height: int, n_frames: int
) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(n_frames, width, height), Sound(0.04))
    target, record = passed(source)
    before, after = copied(source), copied(target)
    assert record.n_frames == len(after) == n_frames
    assert [plane.shape for plane in after[0]] == [plane.shape for plane in before[0]]
    assert abs(int(before[-1][0][0, 0]) - int(after[-1][0][0, 0])) < 12


@pytest.mark.parametrize(
    ("pixel_format", "by_h264"),
    [
        ("yuv420p", "yuv420p"),
        ("yuvj444p", "yuv444p"),
        ("yuv422p10le", "yuv422p10le"),
        ("gray", "yuv420p"),
        ("yuv444p12le", "yuv444p10le"),
        ("yuv411p", "yuv422p"),
        ("yuv440p", "yuv444p"),
        ("gray16le", "yuv420p10le"),
    ],
)
def test_the_stored_format_is_the_nearest_that_the_codec_has(pixel_format: str, by_h264: str) -> None:
    assert Encoding.of(MediaSpec()).stored_format(pixel_format) == "yuv420p"
    assert Encoding.of(H264).stored_format(pixel_format) == by_h264


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv444p", "gray"])
def test_ten_bits_and_full_colour_reach_the_corruption_and_the_file(tmp_path: Path, pixel_format: str) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(4, 64, 48, pixel_format, "ffv1"))
    seen: list[Frame] = []  # frames that nothing edits afterwards may be kept
    target, _ = passed(source, H264, video=each(lambda frame: seen.append(frame) or frame))
    before, after = [frame.planes for frame in seen], list(read_video(target).frames)
    peak = (1 << seen[0].depth) - 1
    assert [plane.shape for plane in after[0].planes] == [plane.shape for plane in before[0]]
    assert after[0].depth == seen[0].depth == (10 if "10" in pixel_format else 8)
    assert min(psnr(b, a, peak) for b, a in zip(before[2], after[2].planes, strict=True)) > 33
    narrow, _ = passed(source)
    assert [plane.shape for plane in next(iter(read_video(narrow).frames)).planes] == [(48, 64), (24, 32), (24, 32)]


def test_values_beyond_the_depth_become_the_greatest(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(3, pixel_format="yuv420p10le", codec="ffv1"))

    def beyond(frame: Frame) -> Frame:
        return frame.with_planes([np.full_like(plane, 65535) for plane in frame.planes])

    target, _ = passed(source, H264, video=each(beyond))
    assert int(next(iter(read_video(target).frames)).planes[0].max()) == 1023


def test_h264_refuses_odd_sizes_of_halved_colour_and_names_the_codec_that_does_not(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(2, 33, 48, codec="ffv1"))
    with pytest.raises(Inapplicable, match="h264 cannot store pictures of 33 × 48 pixels of yuv420p; mpeg4 has every"):
        passed(source, H264)
    assert not list(tmp_path.glob("*out-*"))


@pytest.mark.parametrize("codec", ["aac", "flac"])
@pytest.mark.parametrize(("rate_hz", "seconds"), [(8000, 0.1), (44100, 0.7), (96000, 0.7)])
def test_sound_keeps_its_length_and_rate_without_a_shift(
    tmp_path: Path, codec: str, rate_hz: int, seconds: float
) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(3), Sound(seconds, rate_hz))
    target, record = passed(source, MediaSpec(audio_codec=codec))
    before, after = read_audio(source), read_audio(target)
    assert (after.rate_hz, record.stored_rate_hz) == (rate_hz, rate_hz)
    assert after.samples.shape == before.samples.shape
    assert lag(before.samples[0], after.samples[0]) == 0
    assert len(times(target)) == 3
    if codec == "flac":
        np.testing.assert_allclose(after.samples, before.samples, atol=2**-23)


@pytest.mark.parametrize("layout", ["stereo", "5.1(side)", "7.1"])
def test_channels_survive_in_their_order(tmp_path: Path, layout: str) -> None:
    made = Sound(0.5, 48000, layout)
    source = make_clip(tmp_path / "clip.mkv", Pictures(3), made)
    target, record = passed(source)
    expected = chirps(made)
    after = read_audio(target).samples
    assert record.n_channels == after.shape[0] == expected.shape[0]
    assert headers(target).layout == headers(source).layout.replace("(side)", "")
    for channel in range(after.shape[0]):
        similar = [float(np.corrcoef(expected[channel], other)[0, 1]) for other in after]
        assert int(np.argmax(similar)) == channel


@pytest.mark.parametrize(
    ("made", "tolerance"),
    [(Sound(0.2, 8000, "mono", "pcm_u8", "u8"), 0), (Sound(0.2, 48000, "5.1", "pcm_s24le", "s32"), 2**-16 + 1e-9)],
)
def test_sound_without_pictures_becomes_sixteen_bits_of_wav(tmp_path: Path, made: Sound, tolerance: float) -> None:
    source = make_clip(tmp_path / "clip.wav", None, made, "wav")
    target, record = passed(source)
    assert (target.suffix, record.container, headers(target).audio_codec) == (".wav", "wav", "pcm_s16le")
    assert headers(target).layout == made.layout
    np.testing.assert_allclose(read_audio(target).samples, read_audio(source).samples, atol=tolerance)


def test_a_rate_that_aac_lacks_is_stored_at_the_next_and_corrupted_at_its_own(tmp_path: Path) -> None:
    rates = [Encoding.of(MediaSpec()).stored_rate_hz(rate, "mp4") for rate in (8000, 9000, 192000)]
    assert rates == [8000, 11025, 96000]
    source = make_clip(tmp_path / "clip.mkv", Pictures(3), Sound(0.5, 37800))
    seen = []
    target, record = passed(source, audio=lambda audio: seen.append(audio.rate_hz) or audio)
    assert (seen, record.sample_rate_hz, record.stored_rate_hz) == ([37800], 37800, 44100)
    assert read_audio(target).samples.shape == (1, 22050)


def test_sound_is_converted_before_the_corruption_as_the_track_declares(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(3), Sound(0.5, 44100, "stereo"))
    seen: list[Any] = []
    spec = MediaSpec(sample_rate_hz=16000, channels=1)
    target, record = passed(source, spec, audio=lambda audio: seen.append(audio.samples.shape) or audio)
    assert (seen, record.n_samples, read_audio(target).rate_hz) == ([(1, 8000)], 8000, 16000)


@pytest.mark.parametrize("codec", ["aac", "flac"])
@pytest.mark.parametrize("begins_s", [0.01, 0.3])
def test_sound_that_begins_later_begins_as_late_in_every_generation(
    tmp_path: Path, codec: str, begins_s: float
) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(10), Sound(0.5, 44100, begins_s=begins_s))
    once, _ = passed(source, MediaSpec(audio_codec=codec))
    twice, _ = passed(once, MediaSpec(), audio=None, video=None)
    thrice, _ = passed(twice, MediaSpec(audio_codec=codec))
    expected = read_audio(source).samples
    for clip in (once, twice, thrice):
        assert read_audio(clip).samples.shape == expected.shape
        assert lag(expected[0], read_audio(clip).samples[0]) == 0
        assert times(clip) == times(source)
        with opened(clip) as media:
            stream = media.require_audio()
            assert float(stream.start_time * stream.time_base) == pytest.approx(begins_s, abs=1 / 44100)


MPEG2_TS = Pictures(12, codec="libx264", b_frames=2, tick=Fraction(1, 90000))
MPEG1_PS = Pictures(12, codec="mpeg1video", tick=Fraction(1, 25))


@pytest.mark.parametrize(
    ("container", "pictures", "sound"),
    [
        ("mp4", replace(MP4, n_frames=12), AAC),
        ("mpegts", MPEG2_TS, replace(AAC, rate_hz=16000, layout="mono")),
        ("mpeg", MPEG1_PS, Sound(0.5, 44100, codec="mp2")),
    ],
)
def test_untouched_streams_are_copied_packet_by_packet(
    tmp_path: Path, container: str, pictures: Pictures, sound: Sound
) -> None:
    source = make_clip(tmp_path / "clip", pictures, sound, container)
    target, record = passed(source, audio=None, video=None)
    assert (record.video_copied, record.audio_copied, record.n_frames) == (True, True, 12)
    assert (record.pcm_digest, record.planes_digest) == (None, None)
    assert planes_digest(read_video(target)) == planes_digest(read_video(source))
    assert times(target) == pytest.approx(times(source), abs=1e-4)
    assert headers(target).average_rate == 25
    if container == "mp4":
        np.testing.assert_array_equal(read_audio(target).samples, read_audio(source).samples)


@pytest.mark.parametrize("which", ["audio", "video"])
def test_one_stream_is_corrupted_while_the_other_is_copied(tmp_path: Path, which: str) -> None:
    source = make_clip(tmp_path / "clip.mp4", MP4, AAC, "mp4")
    target, record = passed(source, **({"audio": None, "video": None} | {which: same}))
    assert (record.audio_copied, record.video_copied) == (which == "video", which == "audio")
    if which == "audio":
        assert planes_digest(read_video(target)) == planes_digest(read_video(source))
    else:
        np.testing.assert_array_equal(read_audio(target).samples, read_audio(source).samples)


def test_packets_without_usable_times_are_encoded_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_clip(tmp_path / "clip.mp4", MP4, AAC, "mp4")
    original = MediaFile.packets
    calls: list[str] = []

    def backwards(media: MediaFile, stream: Any) -> Iterator[Any]:
        calls.append(stream.type)
        is_first = stream.type == "video" and calls.count("video") == 1
        for packet in original(media, stream):
            if packet.size and is_first:
                packet.pts = packet.dts = -packet.dts
            yield packet

    monkeypatch.setattr(MediaFile, "packets", backwards)
    target, record = passed(source, audio=None, video=None)
    assert (record.video_copied, record.audio_copied) == (False, False)
    assert times(target) == times(source)


@pytest.mark.parametrize(
    ("container", "pictures", "sound", "video"),
    [
        (
            "avi",
            Pictures(4, codec="libvpx", tick=Fraction(1, 25)),
            Sound(0.5, 44100, "mono", "adpcm_ima_wav", "s16p"),
            None,
        ),
        ("matroska", Pictures(4), Sound(0.2, 8000, "stereo"), same),  # FFmpeg refuses stereo PCM when it closes the MP4
    ],
)
def test_what_an_mp4_cannot_contain_is_encoded(
    tmp_path: Path, container: str, pictures: Pictures, sound: Sound, video: Any
) -> None:
    target, record = passed(make_clip(tmp_path / "clip", pictures, sound, container), audio=None, video=video)
    assert (record.video_copied, record.audio_copied, record.n_frames) == (False, False, 4)
    assert (headers(target).video_codec, headers(target).audio_codec) == ("mpeg4", "aac")


def test_untouched_streams_are_encoded_if_all_clips_must_look_alike(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mp4", MP4, AAC, "mp4")
    target, record = passed(source, MediaSpec(unchanged="encode", video_codec="h264"), audio=None, video=None)
    assert (record.video_copied, record.audio_copied, headers(target).video_codec) == (False, False, "h264")
    assert record.planes_digest == planes_digest(read_video(source))
    assert record.pcm_digest == pcm_digest(read_audio(source))


def test_digests_of_sound_and_planes_by_hand() -> None:
    samples = np.array([[0.5, -1.0], [0.25, 1.0]], np.float32)
    assert pcm_digest(Audio(samples, 8000)) == hashlib.sha256(b"2 8000 2\n" + samples.tobytes()).hexdigest()

    def digest(*shapes: tuple[int, int], dtype: Any = np.uint8, depth: int = 8) -> str:
        planes = tuple(np.zeros(shape, dtype) for shape in shapes)
        return planes_digest(Video(iter([Frame(planes, depth=depth)] * 2), 1.0))

    # the header once, and twelve zeros for each of the two pictures
    assert digest((2, 4), (1, 2), (1, 2)) == hashlib.sha256(b"2x4 1x2 1x2 8\n" + bytes(24)).hexdigest()
    assert digest((2, 3), dtype=np.uint16, depth=10) == hashlib.sha256(b"2x3 10\n" + bytes(24)).hexdigest()
    with pytest.raises(AttributeError, match="'str' object has no attribute 'shape'"):  # and nothing waits
        planes_digest(Video((Frame(("no plane",)) for _ in range(20)), 1.0))  # type: ignore[arg-type]


def test_the_same_corruption_gives_the_same_bytes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(30, 160, 120), Sound(1.2))
    for spec in (MediaSpec(), H264):
        first, record = passed(source, spec, video=each(brighter))
        assert written(source, tmp_path / "again.mp4", same, each(brighter), spec) == record
        assert (tmp_path / "again.mp4").read_bytes() == first.read_bytes()


PLANE_EDITS = {"swapped": lambda y, u, v: (255 - y, v, u), "mirrored": lambda y, u, v: (y[:, ::-1], u, v)}


@pytest.mark.parametrize("name", PLANE_EDITS)
def test_planes_may_be_edited_replaced_swapped_and_mirrored(tmp_path: Path, name: str) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(6, codec="ffv1"))
    edit = PLANE_EDITS[name]
    frames = [Frame(edit(*planes)) for planes in copied(source)]
    _, record = passed(source, video=each(lambda frame: frame.with_planes(edit(*frame.planes))))
    assert record.planes_digest == planes_digest(Video(iter(frames), 1.0))


def test_a_lagging_edit_may_keep_the_frames_that_it_took(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(8, codec="libx264", b_frames=2))
    before = copied(source)

    def one_behind(video: Video) -> Video:
        def frames() -> Iterator[Frame]:
            previous = None
            for frame in video.frames:
                if previous is not None:
                    yield previous
                previous = frame
            if previous is not None:
                yield previous

        return replace(video, frames=frames())

    target, record = passed(source, video=one_behind)
    assert record.planes_digest == planes_digest(Video((Frame(planes) for planes in before), 1.0))
    assert times(target) == times(source)


def test_an_edit_may_give_all_pictures_another_size_but_one_for_all(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(4))

    def padded(frame: Frame, *widths: int) -> Frame:
        planes = zip(frame.planes, widths, strict=True)
        return frame.with_planes([np.pad(plane, ((0, n), (0, n)), "edge") for plane, n in planes])

    message = r"a corruption returned planes of 50 × 66, 26 × 34, 26 × 34, which are not those of"
    with pytest.raises(UsageError, match=message):
        passed(source, video=each(lambda frame: padded(frame, 2, 2, 2)))
    target, _ = passed(source, video=each(lambda frame: padded(frame, 2, 1, 1)))
    assert (headers(target).width, headers(target).height) == (66, 50)
    with pytest.raises(UnreadableMedia, match="its pictures change their size on the way"):
        passed(source, video=each(lambda frame: padded(frame, 2, 1, 1) if frame.time_s > 0.05 else frame))


def test_sound_beyond_full_scale_is_scaled_once(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.wav", None, Sound(), "wav")
    peak = float(np.abs(read_audio(source).samples).max())
    target, record = passed(source, audio=lambda audio: audio.with_samples(audio.samples * 4))
    assert record.audio_scale == pytest.approx(1 / (4 * peak))
    np.testing.assert_allclose(read_audio(target).samples, read_audio(source).samples / peak, atol=2**-15)
    with pytest.raises(Inapplicable, match="the corrupted sound has values that are not numbers"):
        passed(source, audio=lambda audio: audio.with_samples(audio.samples * np.nan))


@given(arrays(np.float32, (2, 7), elements=st.floats(-1000, 1000, width=32)))
def test_fitted_sound_is_within_full_scale_and_as_loud_as_possible(samples: Any) -> None:
    audio, scale = fitted(Audio(samples, 8000))
    peak = float(np.abs(samples).max())
    assert float(np.abs(audio.samples).max()) == (1.0 if peak > 1 else peak)
    assert scale == (1 / peak if peak > 1 else 1.0)


def test_a_broken_packet_or_a_missing_end_leaves_no_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mp4", Pictures(30, 160, 128, tick=Fraction(1, 12800)), container="mp4")
    with opened(source) as media:
        position, size = [(packet.pos, packet.size) for packet in media.container.demux(video=0)][20]
    data = bytearray(source.read_bytes())
    data[position + 8 : position + size] = np.random.Generator(np.random.PCG64(0)).bytes(size - 8)
    source.write_bytes(data)
    with pytest.raises(UnreadableMedia, match=r"clip\.mp4: broken: .* video at 0\.80 s can"):
        passed(source)
    source.write_bytes(data[:-400])
    for edit in (same, None):
        with pytest.raises(UnreadableMedia, match=r"clip\.mp4: cut off: the end of the file is missing"):
            passed(source, video=edit)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_several_streams_and_covers_leave_one_of_each(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", [Pictures()], [Sound(seed=1, is_default=False), Sound(seed=2)])
    target, _ = passed(source, MediaSpec(audio_codec="flac"))
    np.testing.assert_allclose(read_audio(target).samples, chirps(Sound(seed=2)), atol=2**-14)
    cover = Pictures(1, codec="mjpeg", pixel_format="yuvj420p", is_cover=True, width=32, height=32)
    target, record = passed(make_clip(tmp_path / "song.mp4", cover, AAC, "mp4"))
    assert (target.suffix, record.n_frames) == (".wav", 0)
    with opened(target) as media:
        assert len(media.container.streams) == 1


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mp4", Pictures(30, 320, 240, tick=Fraction(1, 12800)), container="mp4")
    with pytest.raises(OutputError, match=r"/dev/full: cannot be written: No space left on device"):
        written(source, Path("/dev/full"), None, same)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        written(source, tmp_path / "file" / "out.mp4", None, same)


def test_a_failing_edit_leaves_nothing_and_no_thread(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(12), Sound())

    def failing(frame: Frame) -> Frame:
        if frame.time_s > 0.2:
            raise Inapplicable("no")
        return frame

    before = set(threading.enumerate())
    with pytest.raises(Inapplicable, match="no"):
        passed(source, video=each(failing))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]
    assert set(threading.enumerate()) <= before


def test_quality_is_a_constant_quantiser(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mkv", Pictures(24, 160, 120))
    sizes = [passed(source, MediaSpec(quality=quality))[1].file_bytes for quality in (2, 3, 12, 31)]
    assert sizes == sorted(set(sizes), reverse=True)
    assert (Encoding.of(MediaSpec()).video_quality, Encoding.of(H264).video_quality) == (3, 18)


@given(st.fractions(Fraction(1, 100), 1_000))
def test_every_frame_rate_has_a_clock_near_it_that_mpeg4_has(rate: Fraction) -> None:
    assert [encoder_rate(rate) for rate in (None, Fraction(0), Fraction(30000, 1001))] == [
        25,
        25,
        Fraction(30000, 1001),
    ]
    assert encoder_rate(Fraction(90000)) == 65535
    near = encoder_rate(rate)
    assert near.numerator <= 65535
    assert abs(near - min(rate, 65535)) <= min(rate, Fraction(1, 2))


def test_an_empty_edit_is_put_before_the_others_in_sixty_four_bits() -> None:
    def box(kind: bytes, *content: bytes) -> bytes:
        inner = b"".join(content)
        return struct.pack(">I4s", 8 + len(inner), kind) + inner

    movie_header = struct.pack(">4I", 0, 0, 0, 1000) + struct.pack(">I", 500) + bytes(80)
    track_header = struct.pack(">5I", 0, 0, 0, 1, 0) + struct.pack(">I", 500) + bytes(60)
    handler = box(b"mdia", box(b"hdlr", bytes(8), b"soun", bytes(12)))
    edits = box(b"edts", box(b"elst", struct.pack(">II", 0, 1), struct.pack(">Ii4s", 500, 1024, b"\0\1\0\0")))
    file = io.BytesIO(
        box(b"ftyp", b"isom")
        + box(b"moov", box(b"mvhd", movie_header), box(b"trak", box(b"tkhd", track_header), edits, handler))
    )
    begin_later(file, Fraction(1, 4))
    data = file.getvalue()
    start = data.index(b"elst") + 4
    assert struct.unpack_from(">II", data, start) == (1 << 24, 2)
    assert struct.unpack_from(">Qq", data, start + 8) == (250, -1)
    assert struct.unpack_from(">Qq", data, start + 28) == (500, 1024)
    assert struct.unpack_from(">I", data, data.index(b"tkhd") + 24) == (750,)
    assert struct.unpack_from(">I", data, data.index(b"mvhd") + 20) == (750,)
    assert struct.unpack_from(">I", data, 12)[0] == len(data) - 12  # the length of moov
    with pytest.raises(ValueError, match="the last box of the MP4 is not moov"):
        begin_later(io.BytesIO(box(b"moov", b"") + box(b"mdat", b"")), Fraction(1))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["bbaf2n.mpg", "retalking_3.mp4"])
def test_real_clips_pass_with_their_times_and_sound(test_data: Path, tmp_path: Path, name: str) -> None:
    source = next((test_data / "data/media/video").rglob(name))
    target = tmp_path / "out.mp4"
    record = written(source, target)
    assert times(target) == times(source)
    before, after = read_audio(source).samples, read_audio(target).samples
    assert before.shape == after.shape == (record.n_channels, record.n_samples)
    assert lag(before[0], after[0]) == 0
    assert record.planes_digest == planes_digest(read_video(source))
