"""`merbench features audio | video` and `merbench corpus build --clips` as they are typed."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.cli import run
from merbench.corpus import open_corpus
from merbench.features.text import add_text_feature
from merbench.sample import WrittenClips, clip
from merbench.sample.clips import write_clip

Capture = pytest.CaptureFixture[str]
Command = Callable[..., tuple[int, str, str]]
IDS = [f"sample_{number:08d}" for number in range(1, 8)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a corpus and the clips of its seven samples."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    samples = pa.table({"sample_id": [*IDS, "x"], "split": ["train"] * 5 + ["test"] * 2 + ["other"]})
    made_corpus(Path("talk"), name="talk", samples=samples)
    made = clip(IDS[0])
    write_clip(made, Path("clips") / f"{IDS[0]}.mp4")
    for sample_id in IDS[1:]:
        shutil.copy(Path("clips") / f"{IDS[0]}.mp4", Path("clips") / f"{sample_id}.mp4")
    return tmp_path


@pytest.mark.slow
def test_features_of_sound_and_pictures_are_made_and_named(here: Path, merbench: Command) -> None:
    code, out, err = merbench("features audio ./talk --media clips --name audio-clips")
    assert (code, err) == (0, "")
    assert out == "talk: feature 'audio-clips', 7 samples × 184; no clip of other (1)\n"
    code, out, err = merbench("features video ./talk --media clips --media clips --name video-clips --workers 2")
    assert (code, err) == (0, "")
    assert out == "talk: feature 'video-clips', 7 samples × 140; no clip of other (1)\n"
    assert open_corpus("./talk").features == ("audio-clips", "video-clips")
    assert merbench("features audio ./talk --media clips --name audio-clips") == (
        2,
        "",
        "corpus 'talk' already has a feature 'audio-clips'\n",
    )
    assert merbench("features audio ./talk --media clips --name audio-clips --force")[0] == 0


def test_clips_that_cannot_be_read_are_reported_and_leave_with_5(here: Path, merbench: Command) -> None:
    for sample_id in IDS[:6]:
        (here / "clips" / f"{sample_id}.mp4").write_bytes(b"no clip")
    code, out, err = merbench("features audio ./talk --media clips --name voice")
    assert code == 5
    assert out == "talk: feature 'voice', 1 sample × 184; no clip of other (1)\n"
    assert err == (
        "feature 'voice': 6 problems\n"
        + "".join(
            f"  E653  {sample_id}: clips/{sample_id}.mp4: is not a media file that FFmpeg can read\n"
            for sample_id in IDS[:5]
        )
        + "  E653  … and 1 more\n"
    )


def test_the_defaults_of_a_text_feature_are_those_of_the_library(capsys: Capture) -> None:
    assert run(["features", "text", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    asked = inspect.signature(add_text_feature).parameters
    assert f"[default: {asked['dimensions'].default}]" in out
    assert f"[default: {asked['longest'].default}]" in out


def test_wrong_arguments_are_reported(here: Path, merbench: Command) -> None:
    assert merbench("features audio ./talk --media gone --name voice") == (2, "", "gone: no such folder of media\n")
    assert merbench("features video ./talk --media clips --name v --engine dask") == (
        2,
        "",
        "'dask' is not an engine; allowed: local and dask://host:port\n",
    )
    code, _, err = merbench("features video ./talk --name v")
    assert (code, "--media" in err) == (2, True)


@pytest.mark.parametrize(
    ("n_written", "n_kept", "expected"),
    [(2350, 0, "2,350 clips written"), (1, 2349, "1 clip written; 2,349 existed before")],
)
def test_the_sample_is_given_clips(
    here: Path, merbench: Command, monkeypatch: pytest.MonkeyPatch, n_written: int, n_kept: int, expected: str
) -> None:
    asked: dict[str, Any] = {}

    def write_clips(folder: Path, **given: Any) -> WrittenClips:
        asked.update(given)
        return WrittenClips(folder, n_written, n_kept)

    monkeypatch.setattr("merbench.sample.write_clips", write_clips)
    assert merbench("corpus build sample --clips new/clips --workers 3") == (0, f"new/clips: {expected}\n", "")
    assert asked["workers"] == 3


@pytest.mark.parametrize("beside", ["--force", "--output there"])
def test_clips_are_written_alone(here: Path, merbench: Command, beside: str) -> None:
    assert merbench(f"corpus build sample --clips clips {beside}") == (
        2,
        "",
        "--clips DIR: applies only to the corpus 'sample', without --output and --force\n",
    )
