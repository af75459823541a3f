"""What is sent of clips that PyAV writes here, and what becomes of clips that cannot be sent."""

from __future__ import annotations

import base64
import io
import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import Reply, Request, chat_server, completion, failure

cv2 = pytest.importorskip("cv2", reason="media: OpenCV is not installed")
pytest.importorskip("av", reason="media: PyAV is not installed")

from made_media import Pictures, Sound, make_clip  # noqa: E402

from merbench.asking import AskedRun, Files, How, ask, estimate  # noqa: E402
from merbench.asking.media import ClipPart  # noqa: E402
from merbench.errors import UnreadableMedia, UsageError  # noqa: E402
from merbench.files.reading import sha256_file  # noqa: E402
from merbench.language_models import Endpoint  # noqa: E402

Made = Callable[..., Path]

SOUND = Sound(seconds=0.5, rate_hz=48_000, layout="stereo")


def part(path: Path, kind: Any, n: int = 3, longest_side: int = 512) -> ClipPart:
    return ClipPart(kind, path, sha256_file(path), n, longest_side)


def decoded(wire: dict[str, Any]) -> Any:
    data = wire["image_url"]["url"].removeprefix("data:image/jpeg;base64,")
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_frames_at_equal_distances(tmp_path: Path) -> None:
    """Of 10 pictures, each brighter by 5 than the one before it: 0, 3 and 6, so brighter by 15 in luma, 15 * 255 / 219 in RGB."""
    clip = make_clip(tmp_path / "x.mkv", Pictures(n_frames=10))
    wires = part(clip, "frames").encoded()
    pictures = [decoded(wire).astype(float) for wire in wires]
    assert [picture.shape for picture in pictures] == [(48, 64, 3)] * 3
    rows, columns = np.indices((48, 64))
    for number, picture in zip((0, 3, 6), pictures, strict=True):
        luma = 60 + (rows + columns + 3 * number) % 64 + 5 * number
        assert np.abs(cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_BGR2GRAY) - (luma - 16) * 255 / 219).mean() < 8
    (small, *_) = part(clip, "frames", longest_side=32).encoded()
    assert decoded(small).shape == (24, 32, 3)
    assert len(part(clip, "frames", 64).encoded()) == 10
    # A player turns the picture.
    turned = make_clip(tmp_path / "t.mp4", Pictures(clockwise=90), container="mp4")
    assert decoded(part(turned, "frames").encoded()[0]).shape == (64, 48, 3)


def test_a_small_jpeg_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    (wire,) = part(path, "frames").encoded()
    assert base64.b64decode(wire["image_url"]["url"].partition(",")[2]) == path.read_bytes()
    (small,) = part(path, "frames", longest_side=30).encoded()
    assert decoded(small).shape == (20, 30, 3)


def test_sound_is_one_channel_at_16_khz(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "x.mkv", Pictures(), SOUND)
    (wire,) = part(clip, "audio").encoded()
    assert (wire["type"], wire["input_audio"]["format"]) == ("input_audio", "wav")
    with wave.open(io.BytesIO(base64.b64decode(wire["input_audio"]["data"]))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    # Half a second of chirps of amplitude 0.4 and noise, mixed.
    assert len(samples) == 8_000
    assert 0.1 < np.abs(samples).max() < 0.6
    assert part(clip, "audio").n_tokens == 13  # half a second at 25 tokens
    with pytest.raises(UnreadableMedia, match="has no audio stream"):
        part(make_clip(tmp_path / "silent.mkv", Pictures()), "audio").encoded()


def test_a_clip_is_sent_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "x.mp4", Pictures(), container="mp4")
    (wire,) = part(clip, "video").encoded()
    head, _, data = wire["video_url"]["url"].partition(",")
    assert (head, base64.b64decode(data)) == ("data:video/mp4;base64", clip.read_bytes())
    monkeypatch.setattr("merbench.asking.media.MOST_VIDEO_BYTES", 100)
    with pytest.raises(UnreadableMedia, match="are sent as video"):
        part(clip, "video").encoded()


def asked(folder: Path, answer: Callable[[Request, int], Reply], how: How) -> tuple[AskedRun, list[Request]]:
    with chat_server(answer) as server:
        run = ask(
            folder, Endpoint(server.url, "toy"), how, files=Files(output=Path("out"), replace=True, intervals=False)
        )
    return run, server.requests


def kinds(request: Request) -> list[str]:
    content = request.content["messages"][-1]["content"]
    return ["text"] if isinstance(content, str) else [part["type"] for part in content]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Four clips with sound, one broken, one that is missing."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(4):
        make_clip(folder / f"s000{number}.mkv", Pictures(n_frames=4 + number), SOUND)
    (folder / "s0004.mkv").write_bytes((folder / "s0003.mkv").read_bytes()[:900])
    return folder


def test_clips_that_cannot_be_sent_leave_samples_without_an_answer(made: Made, clips: Path) -> None:
    folder = made(missing="dropped")
    how = How(media=[clips], send=["frames", "text"], frames=2)
    run, requests = asked(folder, lambda request, n: completion("happy"), how)
    outcomes = [each.outcome for each in run.given["emotion"]]
    assert outcomes == ["read"] * 4 + ["not answered"] * 2
    assert [problem.message.partition(": ")[2].partition(": ")[2] for problem in run.problems][1:] == ["no clip"]
    assert run.problems[0].message.startswith("s0004: not answered: ")
    assert [kinds(request) for request in requests] == [["text", "image_url", "image_url", "text"]] * 4
    assert run.report is not None
    # Nothing is decoded to find what is stored: the digest of the clip's file is enough.
    again, requests = asked(folder, lambda request, n: failure(500, "never"), how)
    assert (requests, [each.outcome for each in again.given["emotion"]]) == ([], outcomes)
    # What was sent of each clip is recorded by its digest.
    line = json.loads((Path("home/answers/mine/toy/requests.jsonl")).read_text().splitlines()[1])
    assert [name.partition(" ")[0] for name in line["sent"]] == ["frames"]


def test_in_a_batch_only_the_broken_clip_is_left_out(made: Made, clips: Path) -> None:
    def answer(request: Request, n: int) -> Reply:
        return completion("['happy'] " * max(request.text.count("frames of the video"), 1))

    run, requests = asked(
        made("ranking", missing="dropped"), answer, How(media=[clips], send=["frames"], frames=2, batch=5)
    )
    assert [each.outcome for each in run.given["emotion"]] == ["read"] * 4 + ["not answered"] * 2
    assert [kinds(request).count("image_url") for request in requests] == [8]


@pytest.mark.parametrize("takes_it", [True, False])
def test_sound_is_sent_where_a_probe_is_answered(made: Made, clips: Path, takes_it: bool) -> None:
    folder = made(n=4)
    track = folder / "track.toml"
    track.write_text(track.read_text().replace('title = "Mine"', 'title = "Mine"\nmodalities = ["audio", "video"]'))

    def answer(request: Request, n: int) -> Reply:
        if "input_audio" in kinds(request) and not takes_it:
            return failure(400, "audio input is not supported - hint: you may need to provide the mmproj")
        return completion("happy")

    run, requests = asked(folder, answer, How(media=[clips], frames=1))
    assert len(requests) == 5
    assert kinds(requests[0]) == ["input_audio", "text"]
    assert all(("input_audio" in kinds(request)) == takes_it for request in requests[1:])
    assert list(run.not_sent) == ([] if takes_it else ["audio"])
    # The result of the probe is stored, too.
    run, requests = asked(folder, lambda request, n: failure(500, "never"), How(media=[clips], frames=1))
    assert (requests, run.n_new) == ([], 0)
    how = How(media=[clips], send=["audio"], repeat=1)
    if takes_it:
        assert kinds(asked(folder, answer, how)[1][0]) == ["text", "input_audio", "text"]
    else:
        with pytest.raises(UsageError, match=r"^audio cannot be sent: .*audio input is not supported"):
            asked(folder, answer, how)
    how = How(media=[clips], send=["video"], settings={"media_io_kwargs": {"video": {"num_frames": 4}}})
    _, requests = asked(folder, answer, how)
    assert kinds(requests[1]) == ["text", "video_url", "text"]
    assert requests[1].content["media_io_kwargs"] == {"video": {"num_frames": 4}}


def test_tokens_of_clips_are_estimated(made: Made, clips: Path) -> None:
    """Each of the four requests has the same text and 2 pictures of 255 tokens, or half a second of sound at 25 a second."""
    (clips / "s0004.mkv").unlink()
    endpoint = Endpoint("http://localhost:1", "toy")
    frames = estimate(made(n=4), endpoint, How(media=[clips], send=["text", "frames"], frames=2))
    audio = estimate(made(n=4), endpoint, How(media=[clips], send=["text", "audio"]))
    assert frames.n_requests == audio.n_requests == 4
    assert 2000 < frames.n_tokens_in < 2500
    assert 4 * 13 < audio.n_tokens_in < 4 * 13 + 350


def test_examples_have_clips_of_their_own(made: Made, clips: Path) -> None:
    for number in range(4):
        make_clip(clips / f"t{number}.mkv", Pictures(n_frames=5, width=80), SOUND)
    _, requests = asked(
        made(n=4), lambda request, n: completion("sad"), How(media=[clips], send=["frames"], frames=1, n_examples=1)
    )
    turns = requests[0].content["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [part["type"] for part in turns[0]["content"]] == ["text", "image_url", "text"]
    assert turns[1]["content"] == "happy"
    assert turns[0]["content"] != turns[2]["content"]


@pytest.mark.slow
def test_faces_of_a_real_clip(
    test_data: Path, tmp_path: Path, installed_weights: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert", reason="faces: ai-edge-litert is not installed")
    clip = test_data / "data" / "media" / "video" / "grid" / "bbaf2n.mpg"
    if not clip.is_file():
        pytest.skip("real clip: no grid/bbaf2n.mpg")
    installed_weights("face-boxes")
    wires = part(clip, "faces", 2).encoded()
    assert [decoded(wire).shape for wire in wires] == [(256, 256, 3)] * 2
    with pytest.raises(UsageError, match="no face in"):
        part(make_clip(tmp_path / "none.mkv", Pictures()), "faces").encoded()
