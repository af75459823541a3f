"""What is read of a media file: its sound, its pictures, and what is wrong with it."""

from __future__ import annotations

import platform
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from made_media import Pictures, Sound, chirps, headers, make_clip, ramp

from merbench.errors import UnreadableMedia
from merbench.media import reading
from merbench.media.reading import opened, planar, planar_format, read_audio, read_video

FFMPEG = ("libavcodec", "libavformat", "libswscale")


def clip_of(tmp_path: Path, name: str = "clip.mkv") -> Path:
    return make_clip(tmp_path / name, Pictures(), Sound())


@pytest.mark.parametrize(
    "name",
    ["two\nlines.mkv", "-y.mkv", "Größe 感情.mkv", "%03d.mkv", "file:pipe:0.mkv", "a|b;c.mkv", "lies.jpg", "lies.m3u8"],
)
def test_a_file_is_opened_by_its_content_whatever_its_name(tmp_path: Path, name: str) -> None:
    clip = clip_of(tmp_path, name)
    assert headers(clip).layout == "mono"
    assert read_audio(clip).samples.shape == (1, 3840)
    assert len(list(read_video(clip).frames)) == 6


def test_a_clip_with_a_tag_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)
    written = clip.read_bytes()
    assert b"Lavf" in written  # the tag that names the program which wrote the file
    clip.write_bytes(written.replace(b"Lavf", b"\xff\xf6\xdff"))
    assert read_audio(clip).samples.shape == (1, 3840)


@pytest.mark.parametrize(
    ("codec", "sample_format", "layout", "step"),
    [  # one quantisation step of the stored samples
        ("pcm_u8", "u8", "mono", 2**-7),
        ("pcm_s16le", "s16", "stereo", 2**-15),
        ("pcm_s24le", "s32", "5.1", 2**-23),
        ("pcm_f64le", "dbl", "5.1", 2**-23),
    ],
)
def test_samples_of_every_width_have_full_scale_one(
    tmp_path: Path, codec: str, sample_format: str, layout: str, step: float
) -> None:
    made = Sound(0.1, 11025, layout, codec, sample_format)
    audio = read_audio(make_clip(tmp_path / "clip", None, made, "mov" if codec != "pcm_u8" else "matroska"))
    assert (audio.samples.dtype, audio.rate_hz) == (np.float32, 11025)
    # FFmpeg truncates, rounds or dithers by at most one step when it stores them
    np.testing.assert_allclose(audio.samples, chirps(made), atol=1.01 * step)


def test_the_encoders_delay_is_removed_and_the_last_packet_is_not_filled_up(tmp_path: Path) -> None:
    made = Sound(0.5, 44100, "stereo", "aac", "fltp")
    audio = read_audio(make_clip(tmp_path / "clip.mp4", None, made, "mp4"))
    expected = chirps(made)
    assert abs(audio.samples.shape[1] - expected.shape[1]) <= 44  # an MP4 has lengths in milliseconds by default
    lags = [float(np.sum(audio.samples[0][2000:8000] * expected[0][2000 + k : 8000 + k])) for k in range(-50, 51)]
    assert int(np.argmax(lags)) - 50 == 0


def test_an_attached_picture_is_not_video(tmp_path: Path) -> None:
    cover = Pictures(1, codec="mjpeg", pixel_format="yuvj420p", is_cover=True, width=32, height=32)
    sound = Sound(codec="aac", sample_format="fltp")
    song = make_clip(tmp_path / "song.mp4", cover, sound, "mp4")
    assert not headers(song).video_codec
    with pytest.raises(UnreadableMedia, match=r"song\.mp4: it has no video stream"):
        read_video(song)
    clip = make_clip(tmp_path / "clip.mp4", [cover, Pictures()], sound, "mp4")
    assert (headers(clip).width, len(list(read_video(clip).frames))) == (64, 6)


@pytest.mark.parametrize(
    ("pixel_format", "depth", "chroma"),
    [
        ("yuv420p", 8, (24, 17)),
        ("yuv444p12le", 12, (47, 33)),
        ("gray16le", 16, None),
    ],
)
def test_planes_are_those_that_are_stored(
    tmp_path: Path, pixel_format: str, depth: int, chroma: tuple[int, int] | None
) -> None:
    made = Pictures(3, 33, 47, pixel_format, "ffv1")
    frames = list(read_video(make_clip(tmp_path / "clip.mkv", made)).frames)
    assert len(frames) == 3
    for number, frame in enumerate(frames):
        shapes = [(47, 33)] if chroma is None else [(47, 33), chroma, chroma]
        assert [plane.shape for plane in frame.planes] == shapes
        assert frame.depth == depth
        for index, (plane, shape) in enumerate(zip(frame.planes, shapes, strict=True)):
            np.testing.assert_array_equal(plane, ramp(made, number, shape, index, depth))


def test_editing_a_frame_in_place_changes_no_other(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", Pictures(12, codec="libx264", b_frames=2))
    untouched = [[plane.copy() for plane in frame.planes] for frame in read_video(clip).frames]
    for frame, expected in zip(read_video(clip).frames, untouched, strict=True):
        for plane, before in zip(frame.planes, expected, strict=True):
            np.testing.assert_array_equal(plane, before)
            plane[:] = 0
    frames = list(read_video(clip).frames)  # they outlive their file
    assert int(frames[0].planes[0][10, 10]) != int(frames[5].planes[0][10, 10])


def test_times_begin_with_the_clip_and_vary_as_they_do(tmp_path: Path) -> None:
    times = (500, 540, 555, 700, 701, 1400)
    clip = make_clip(tmp_path / "clip.mkv", Pictures(times=times), Sound(1.0, begins_s=0.4))
    assert [frame.time_s for frame in read_video(clip).frames] == pytest.approx(
        [0.1, 0.14, 0.155, 0.3, 0.301, 1.0], abs=1e-9
    )


@pytest.mark.parametrize(
    ("stored", "planes"),
    [
        ("nv12", "yuv420p"),
        ("p010le", "yuv420p10le"),
        ("yuyv422", "yuv422p"),
        ("rgb24", "yuv444p"),
        ("gbrp10le", "yuv444p10le"),
        ("pal8", "yuv444p"),
        ("yuva420p", "yuv420p"),
        ("ya8", "gray"),
        ("monow", "gray"),
        ("yuv420p10be", "yuv420p10le"),
        ("gray10be", "gray10le"),
        ("yuvj422p", "yuvj422p"),
        ("yuv410p", "yuv410p"),
        ("bgr48le", "yuv444p16le"),
    ],
)
def test_other_pixels_become_the_planes_that_keep_their_content(stored: str, planes: str) -> None:
    av = pytest.importorskip("av")
    assert planar_format(av.VideoFormat(stored)) == planes


def test_white_and_black_of_rgb_become_those_of_limited_luma() -> None:
    av = pytest.importorskip("av")
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    converted = planar(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
    luma = np.frombuffer(converted.planes[0], np.uint8).reshape(16, -1)
    assert (int(luma[2, 2]), int(luma[13, 2]), converted.color_range) == (235, 16, 1)  # BT.601, limited


@pytest.mark.parametrize("color_range", [1, 2])
def test_grey_pictures_keep_their_values_when_they_get_colours(color_range: int) -> None:
    av = pytest.importorskip("av")
    picture = av.VideoFrame.from_ndarray(np.arange(256, dtype=np.uint8).reshape(16, 16), format="gray")
    picture.pts, picture.time_base, picture.color_range = 3, Fraction(1, 25), color_range
    coloured = planar(picture, "yuv420p")
    luma = np.frombuffer(coloured.planes[0], np.uint8).reshape(16, -1)[:, :16]
    np.testing.assert_array_equal(luma.ravel(), np.arange(256))
    assert set(bytes(coloured.planes[1])[:8]) == {128}
    assert (coloured.pts, coloured.color_range) == (3, color_range)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("gone.mp4", None, "cannot be read: No such file or directory"),
        ("", None, "cannot be read: Is a directory"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"these are words\n" * 100, "is not a media file that FFmpeg can read"),
    ],
)
def test_what_is_not_a_media_file_is_an_error(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableMedia) as caught:
        read_audio(tmp_path / name)
    assert str(caught.value).endswith(f"{name}: {message}")


def test_a_missing_stream_and_sound_of_zero_length_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match=r"silent\.mkv: it has no audio stream"):
        read_audio(make_clip(tmp_path / "silent.mkv", Pictures()))
    sound = make_clip(tmp_path / "sound.wav", None, Sound(0.01), "wav")
    with pytest.raises(UnreadableMedia, match=r"sound\.wav: it has no video stream"):
        read_video(sound)
    header = sound.read_bytes()
    (tmp_path / "none.wav").write_bytes(header[: header.index(b"data") + 4] + bytes(4))
    with pytest.raises(UnreadableMedia, match=r"none\.wav: its audio has no samples"):
        read_audio(tmp_path / "none.wav")


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", Pictures(codec="libx264", tick=Fraction(1, 90000)), None, "mpegts")
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n")
    with pytest.raises(UnreadableMedia, match=r"list\.m3u8: "):
        list(read_video(tmp_path / "list.m3u8").frames)


def _packets(clip: Path, kind: str) -> list[tuple[int, int]]:
    with opened(clip) as media:
        stream = media.container.streams.best(kind)
        return [(packet.pos, packet.size) for packet in media.container.demux(stream) if packet.size]


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_broken_packet_of_pictures_is_an_error_and_not_concealed(tmp_path: Path, codec: str) -> None:
    made = Pictures(12, 160, 128, codec=codec, tick=Fraction(1, 12800))
    clip = make_clip(tmp_path / "clip.mp4", made, container="mp4")
    assert len(list(read_video(clip).frames)) == 12
    position, size = _packets(clip, "video")[6]
    data = bytearray(clip.read_bytes())
    rng = np.random.Generator(np.random.PCG64(3))
    data[position + 8 : position + size] = rng.bytes(size - 8)
    clip.write_bytes(data)
    with pytest.raises(UnreadableMedia, match=r"clip\.mp4: broken: .* video at 0\.24 s can"):
        list(read_video(clip).frames)


@pytest.mark.parametrize(("codec", "sample_format"), [("aac", "fltp"), ("flac", "s16")])
def test_a_broken_packet_of_sound_is_an_error_and_not_concealed(tmp_path: Path, codec: str, sample_format: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4", None, Sound(1.0, 44100, "mono", codec, sample_format), "mp4")
    position, size = _packets(clip, "audio")[4]
    data = bytearray(clip.read_bytes())
    data[position + size // 2 : position + size] = bytes(255 for _ in range(size - size // 2))
    clip.write_bytes(data)
    with pytest.raises(UnreadableMedia, match=r"clip\.mp4: broken: a packet of its audio at .* s cannot be decoded"):
        read_audio(clip)


@pytest.mark.parametrize("container", ["mp4", "matroska", "flac"])  # `test_truncation` has the others
def test_a_file_that_is_cut_off_is_an_error_in_every_container(tmp_path: Path, container: str) -> None:
    pictures = None if container in ("wav", "ogg", "flac") else Pictures(12, tick=Fraction(1, 25))
    codec = {"mp4": "aac", "ogg": "flac", "flac": "flac"}.get(container, "pcm_s16le")
    sound = Sound(0.5, codec=codec, sample_format="fltp" if codec == "aac" else "s16")
    clip = make_clip(tmp_path / "clip", pictures, sound, container)
    read_audio(clip)
    data = clip.read_bytes()
    clip.write_bytes(data[: int(len(data) * 0.98)])
    with pytest.raises(
        UnreadableMedia, match=r"clip: (cut off: the end of the file is missing|broken: a packet of its audio)"
    ):
        read_audio(clip)


def test_an_mp4_whose_index_comes_first_is_an_error_if_its_data_end_early(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    clip = make_clip(tmp_path / "clip.mp4", Pictures(12, tick=Fraction(1, 12800)), None, "mp4")
    moved = tmp_path / "moved.mp4"
    with (
        av.open(str(clip)) as source,
        av.open(str(moved), "w", container_options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                target.mux_one(packet)
    data = moved.read_bytes()
    offset = data.index(b"mdat") - 4
    shorter = bytearray(data[: offset + 2000])
    shorter[offset : offset + 4] = (2000).to_bytes(4, "big")  # even if the box agrees with the file
    (tmp_path / "first.mp4").write_bytes(shorter)
    with pytest.raises(UnreadableMedia, match=r"first\.mp4: "):
        list(read_video(tmp_path / "first.mp4").frames)


def test_versions_name_the_libraries_of_media(monkeypatch: pytest.MonkeyPatch) -> None:
    av, cv2 = pytest.importorskip("av"), pytest.importorskip("cv2")
    versions = reading.media_versions()
    assert list(versions) == ["merbench", "machine", "av", "numpy", "opencv", "scipy", "soxr", *FFMPEG]
    assert versions["libavcodec"] == ".".join(map(str, av.library_versions["libavcodec"]))
    assert (versions["numpy"], versions["machine"]) == (np.__version__, platform.machine())
    assert versions["opencv"].startswith(cv2.__version__)

    def installed(package: str) -> str:
        if package in ("opencv-python-headless", "soxr"):
            return ""
        return "4.9.1" if package == "opencv-python" else version(package)

    monkeypatch.setattr(reading, "installed_version", installed)
    assert reading.media_versions()["opencv"] == "4.9.1"
    assert "soxr" not in reading.media_versions()


@pytest.mark.real_data
def test_real_clips_are_read_as_their_list_says(test_data: Path) -> None:
    listed = {"bbaf2n.mpg": (360, 288, 75, 44100), "retalking_4.mp4": (700, 700, 199, 44100)}
    for name, (width, height, n_frames, rate_hz) in listed.items():
        clip = next((test_data / "data/media/video").rglob(name))
        audio, frames = read_audio(clip), list(read_video(clip).frames)
        assert (frames[0].width, frames[0].height, len(frames)) == (width, height, n_frames)
        assert (audio.rate_hz, audio.samples.shape[0]) == (rate_hz, 2)
        level = 20 * np.log10(np.sqrt(np.mean(audio.samples.astype(np.float64) ** 2)))
        # mean_db of data/media/video_index.csv
        assert level == pytest.approx({"bbaf2n.mpg": -21.8, "retalking_4.mp4": -35.5}[name], abs=0.06)
