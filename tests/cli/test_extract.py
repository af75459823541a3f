"""`merbench extract` and `merbench corpus build --clips` as they are typed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus
from media_track import NOISE, write_media_track

from merbench.corpus import open_corpus
from merbench.features.extractor import Extractor, Picture
from merbench.features.shipped import EXTRACTORS
from merbench.sample import WrittenClips, clip
from merbench.sample.clips import write_clip

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
    assert merbench("extract ./talk --media clips --media clips --with sound=voice --with face --workers 2") == (
        0,
        "talk: feature 'sound', 7 samples × 184\ntalk: feature 'face', 7 samples × 140\nno clip of other (1)\n",
        "",
    )
    assert open_corpus("./talk").features == ("face", "sound")
    assert merbench("extract ./talk --media clips --with sound=voice") == (
        2,
        "",
        "corpus 'talk' already has a feature 'sound'\n",
    )
    assert merbench("extract ./talk --media clips --with sound=voice --force")[0] == 0


def test_a_rate_of_pictures_is_that_of_a_feature_or_of_all_others(
    here: Path, merbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip has 18 pictures, one every 80 ms: at 6.25 Hz every second one is read, 9, and at 2.5 Hz every fifth, 4."""

    def light(pictures: list[Picture]) -> Any:
        return [[picture.rgb.mean()] for picture in pictures]

    toy = Extractor("light", light, "pictures", "frame", 1, licence="MIT", source="Maker, 2020")
    monkeypatch.setattr(EXTRACTORS, "_items", {**EXTRACTORS._items, "light": toy})
    command = "extract ./talk --media clips --with fast=light --with slow=light --only frames"
    assert merbench(f"{command} --frame-rate slow=2.5 --frame-rate 6.25")[0] == 0
    corpus = open_corpus("./talk")
    recorded = corpus.declaration.extracted
    assert [recorded[name].frame_rate_hz for name in ("fast.frames", "slow.frames")] == [6.25, 2.5]
    assert [len(corpus.feature(name).of(0)) for name in ("fast.frames", "slow.frames")] == [9, 4]
    assert merbench(f"{command} --frame-rate slow=2.5 --force")[0] == 0
    again = open_corpus("./talk")
    assert again.declaration.extracted["fast.frames"].frame_rate_hz is None
    assert [len(again.feature(name).of(0)) for name in ("fast.frames", "slow.frames")] == [18, 4]


def test_problems_are_those_of_samples_and_all_of_them_are_written(here: Path, merbench: Command) -> None:
    for sample_id in IDS[:6]:
        (here / "clips" / f"{sample_id}.mp4").write_bytes(b"no clip")
    reason = "is not a media file that FFmpeg can read"
    code, out, err = merbench("extract ./talk --media clips --with voice --with again=voice")
    assert code == 5
    assert out == (
        "talk: feature 'voice', 1 sample × 184\ntalk: feature 'again', 1 sample × 184\nno clip of other (1)\n"
    )
    assert err == (
        "features voice, again: 6 problems\n"
        + "".join(f"  E653  {sample_id}: clips/{sample_id}.mp4: {reason}\n" for sample_id in IDS[:5])
        + "  E653  … and 1 more\n--problems FILE writes all of them\n"
    )
    code, _, err = merbench("extract ./talk --media clips --with voice --force --problems problems.csv")
    assert code == 5 and err.startswith("feature 'voice': 6 problems\n") and not err.endswith("all of them\n")
    rows = [f"{sample_id},voice,clips/{sample_id}.mp4: {reason}" for sample_id in IDS[:6]]
    assert Path("problems.csv").read_text(encoding="utf-8").splitlines() == ["sample_id,features,problem", *rows]
    assert merbench("extract ./talk --media clips --with a=voice --problems problems.txt") == (
        2,
        "",
        "problems.txt: unknown suffix '.txt'; allowed: .csv, .parquet, .jsonl\n",
    )


def test_problems_are_written_where_nothing_could_be_extracted(here: Path, merbench: Command) -> None:
    for sample_id in IDS:
        (here / "clips" / f"{sample_id}.mp4").write_bytes(b"no clip")
    code, _, err = merbench("extract ./talk --media clips --with voice --with face --problems problems.jsonl")
    lines = [f"clips/{sample_id}.mp4: is not a media file that FFmpeg can read" for sample_id in IDS]
    assert (code, err.splitlines()) == (
        2,
        [
            "corpus 'talk': no sample has a value of voice, face (7 problems); the first 5:",
            *(f"  sample {sample_id}: {line}" for sample_id, line in zip(IDS[:5], lines, strict=False)),
        ],
    )
    read = [json.loads(line) for line in Path("problems.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = zip(IDS, lines, strict=True)
    assert read == [
        {"sample_id": sample_id, "features": ["voice", "face"], "problem": line} for sample_id, line in expected
    ]


@pytest.mark.slow
def test_corrupted_clips_of_another_suffix_are_read_and_those_without_a_sample_reported(
    here: Path, data_home: Path, merbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(data_home))
    write_media_track(here, IDS, NOISE, media=[f"a/{sample_id}.mpg" for sample_id in IDS])
    Path("clean/a").mkdir(parents=True)
    for sample_id in IDS:
        shutil.copy(Path("clips") / f"{sample_id}.mp4", Path("clean/a") / f"{sample_id}.mpg")
    assert merbench("corrupt ./toy-noise --media clean --output corrupted")[0] == 0
    assert sorted(path.name for path in Path("corrupted/a").iterdir()) == [f"{sample_id}.mp4" for sample_id in IDS]
    for name, media in (("clean", ["clean"]), ("corrupted", ["corrupted"]), ("both", ["clean", "corrupted"])):
        folders = " ".join(f"--media {folder}" for folder in media)
        assert merbench(f"extract ./toy-noise/corpus {folders} --with {name}=voice")[0] == 0
    corpus = open_corpus("./toy-noise/corpus")
    clean, corrupted, both = (corpus.feature(name).values for name in ("clean", "corrupted", "both"))
    np.testing.assert_array_equal(both, corrupted)
    assert not (both == clean).all(axis=1).any()
    shutil.copy(Path("clips") / f"{IDS[0]}.mp4", Path("corrupted/left-over.mp4"))
    code, _, err = merbench("extract ./toy-noise/corpus --media clean --media corrupted --with both=voice --force")
    assert (code, err) == (0, "corrupted: 1 warning\n  W651  1 media file without a sample: left-over.mp4\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--media gone --with voice", "gone: no such folder of media\n"),
        ("--media clips --with voice --engine dask", "'dask' is not an engine; allowed: local and dask://host:port\n"),
        ("--with voice", "voice: the extractor reads clips, and needs their folder: --media DIR\n"),
        ("--with tfidf-svd --media clips", "no extractor reads clips; --media applies only to those that do\n"),
        ("--media clips --with =voice", "--with =voice: write EXTRACTOR or NAME=EXTRACTOR, such as voice\n"),
        (
            "--media clips --with voice --with voice",
            "--with voice: a second feature 'voice'; name it otherwise: NAME=voice\n",
        ),
        (
            "--media clips --with voice --with face --option x.y=1",
            "--option x.y: write NAME.KEY=VALUE; NAME is one of the features: voice, face\n",
        ),
        ("--media clips --with voice --option y=1", "voice.y: is not an option of extractor 'voice'; allowed: none\n"),
        (
            "--with tfidf-svd --option dimension=7",
            "tfidf-svd.dimension: is not an option of extractor 'tfidf-svd'; allowed: dimensions, longest; did you mean "
            "'dimensions'?\n",
        ),
        (
            "--with tfidf-svd --option dimensions=0",
            "tfidf-svd.dimensions: 0 is not an integer of at least 1\n",
        ),
        (
            "--with tfidf-svd --option dimensions=2 --option tfidf-svd.dimensions=3",
            "--option tfidf-svd.dimensions: duplicate 'tfidf-svd.dimensions'\n",
        ),
        ("--with tfidf-svd --option a=2 --option a=3", "--option a=3: duplicate 'a'\n"),
        (
            "--media clips --with voice --split train",
            "--split: applies only to extractors that learn from a split, such as tfidf-svd\n",
        ),
        ("--media clips --with voice --column x", "--column: applies only to extractors that read texts\n"),
        (
            "--with tfidf-svd --column transcript --column transcript",
            "--column: a column is named twice: transcript, transcript\n",
        ),
        (
            "--media clips --with voice --frame-rate 5",
            "--frame-rate: applies only to extractors that read pictures or faces\n",
        ),
        (
            "--media clips --with voice --with face --frame-rate voice=5",
            "--frame-rate voice=5: applies only to extractors that read pictures or faces\n",
        ),
        (
            "--media clips --with voice --with look=face --frame-rate loook=5",
            "--frame-rate loook=5: NAME is one of the features: voice, look; did you mean 'look'?\n",
        ),
        (
            "--media clips --with face --frame-rate face=0",
            "--frame-rate face=0: write HZ or NAME=HZ, such as 5 or mesh=10; at least 0.001\n",
        ),
        (
            "--media clips --with face --frame-rate =5",
            "--frame-rate =5: write HZ or NAME=HZ, such as 5 or mesh=10; at least 0.001\n",
        ),
        (
            "--media clips --with face --frame-rate inf",
            "--frame-rate inf: write HZ or NAME=HZ, such as 5 or mesh=10; at least 0.001\n",
        ),
        (
            "--media clips --with face --frame-rate 5 --frame-rate 6",
            "--frame-rate 6: duplicate rate of all features\n",
        ),
        (
            "--media clips --with face --frame-rate face=5 --frame-rate face=6",
            "--frame-rate face=6: duplicate 'face'\n",
        ),
        (
            "--media clips --with voice --only frames",
            "voice: the extractor returns one vector for each sample, and no sequence\n",
        ),
    ],
)
def test_wrong_arguments_are_reported(here: Path, merbench: Command, arguments: str, message: str) -> None:
    assert merbench(f"extract ./talk {arguments}") == (2, "", message)


def test_texts_without_a_known_word_are_counted(here: Path, merbench: Command) -> None:
    texts = ["a day", "a day", "", "a night", "a night", None, "night"]
    samples = pa.table({"sample_id": IDS, "split": ["train"] * 5 + ["test"] * 2, "transcript": texts})
    made_corpus(Path("said"), name="said", samples=samples)
    code, out, err = merbench("extract ./said --with tfidf-svd --option dimensions=2")
    assert (code, out, err) == (
        0,
        "said: feature 'tfidf-svd', 7 samples × 2; 2 samples without a known word: zeros\n",
        "",
    )


def test_the_nearest_extractor_is_named(here: Path, merbench: Command) -> None:
    code, _, err = merbench("extract ./talk --media clips --with vioce")
    assert (code, err.partition(" (known: ")[0]) == (2, "no extractor named 'vioce'; did you mean 'voice'?")


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
