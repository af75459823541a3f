"""Features of a corpus: which clip counts, what is reported, the same for any number of workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus import Corpus
from merbench.engine import Done, WorkerDied
from merbench.errors import InvalidCorpus, OutputError, UsageError
from merbench.features.extraction import Extracted, Request, Unit, extract
from merbench.features.outputs import Recipe
from merbench.features.pictures import picture_vector
from merbench.features.sound import sound_vector
from merbench.media import read_audio, read_video
from merbench.sample import clip
from merbench.sample.clips import write_clip

IDS = [f"sample_{number:08d}" for number in range(1, 6)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the clips of five samples."""
    folder = tmp_path_factory.mktemp("clips")
    for sample_id in IDS:
        write_clip(clip(sample_id), folder / f"{sample_id}.mp4")
    return folder


@pytest.fixture
def clips(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "clips")


def corpus(folder: Path, **columns: list[str | None]) -> Corpus:
    return made_corpus(
        folder,
        name="talk",
        samples=pa.table(
            {"sample_id": [*IDS, "x1", "x2"], "split": ["train"] * 3 + ["test"] * 2 + ["other"] * 2, **columns}
        ),
    )


def extracted(corpus: Corpus, *folders: Path, of: Sequence[str] = ("voice",), **settings: Any) -> Extracted:
    return extract(corpus, Request([Recipe(name, name) for name in of], media=folders), **settings)


def test_each_clip_becomes_the_vector_of_its_sound_and_of_its_pictures(clips: Path, tmp_path: Path) -> None:
    done = extracted(corpus(tmp_path / "talk"), clips, of=("voice", "face"))
    assert done.corpus.features == ("face", "voice")
    assert done.features["voice"].ids.to_pylist() == IDS
    for row, sample_id in enumerate(IDS):
        path = clips / f"{sample_id}.mp4"
        assert np.array_equal(done.features["voice"].values[row], sound_vector(read_audio(path)))
        assert np.array_equal(done.features["face"].values[row], picture_vector(read_video(path)))
    assert np.array_equal(done.corpus.feature("voice").values, done.features["voice"].values)
    assert (done.problems, done.without) == ({}, {"other": 2})
    assert not (done.corpus.folder / ".extract").exists()


@pytest.mark.slow
def test_two_workers_give_the_same_numbers(clips: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    one = extracted(corpus(tmp_path / "a"), clips, of=("voice", "face"))
    two = extracted(
        corpus(tmp_path / "b"), clips, of=("voice", "face"), workers=2, progress=lambda *call: calls.append(call)
    )
    for name in ("corpus.toml", "features/voice.parquet", "features/face.parquet"):
        assert (one.corpus.folder / name).read_bytes() == (two.corpus.folder / name).read_bytes()
    assert calls == [("extracting", number, 5) for number in range(1, 6)]


def test_a_sample_without_a_readable_clip_is_named_and_left_out(clips: Path, tmp_path: Path) -> None:
    (clips / f"{IDS[0]}.mp4").unlink()
    data = (clips / f"{IDS[1]}.mp4").read_bytes()
    (clips / f"{IDS[1]}.mp4").write_bytes(data[: len(data) // 2])
    shutil.copy(clips / f"{IDS[2]}.mp4", clips / f"{IDS[2]}.mkv")
    measured = extracted(corpus(tmp_path / "talk"), clips)
    assert measured.features["voice"].ids.to_pylist() == IDS[3:]
    assert measured.problems["voice"] == {
        IDS[0]: "it has no clip",
        IDS[1]: f"{clips / IDS[1]}.mp4: cut off: the end of the file is missing",
        IDS[2]: f"2 files could belong to this sample: {IDS[2]}.mkv, {IDS[2]}.mp4",
    }


def test_a_broken_clip_of_a_later_folder_is_not_replaced_by_an_earlier_one(clips: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    later.mkdir()
    (later / f"{IDS[0]}.mp4").write_bytes(b"not a clip")
    (later / f"{IDS[1]}.mp4").write_bytes(b"")
    (later / f"{IDS[1]}.avi").write_bytes(b"")
    measured = extracted(corpus(tmp_path / "talk"), clips, later)
    assert sorted(measured.problems["voice"]) == IDS[:2]
    # a folder after them settles it
    shutil.copytree(clips, tmp_path / "last")
    measured = extracted(measured.corpus, clips, later, tmp_path / "last", replace=True)
    assert measured.problems == {}


def test_mistakes_are_reported_before_any_clip_is_read(clips: Path, tmp_path: Path) -> None:
    talk = corpus(tmp_path / "talk")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=f"^{empty}: no clip belongs to a sample of corpus 'talk'$"):
        extracted(talk, empty)
    with pytest.raises(UsageError, match=f"^{tmp_path / 'gone'}: no such folder of media$"):
        extracted(talk, tmp_path / "gone")
    with pytest.raises(UsageError, match=r"^'lokal' is not an engine; did you mean 'local'\?; allowed: local and dask"):
        extracted(talk, clips, engine="lokal")
    with pytest.raises(InvalidCorpus, match=r"feature 'a/b': not a name of a feature; allowed: up to 100 of"):
        extract(talk, Request([Recipe("a/b", "voice")], media=[clips]))
    made = extracted(talk, clips).corpus
    with pytest.raises(UsageError, match=r"^corpus 'talk' already has a feature 'voice'$"):
        extracted(made, clips)


def test_without_one_readable_clip_there_is_no_feature(clips: Path, tmp_path: Path) -> None:
    for sample_id in IDS:
        (clips / f"{sample_id}.mp4").write_bytes(b"no clip")
    message = f"^corpus 'talk': 'voice' of no sample: sample {IDS[0]}: {clips / IDS[0]}.mp4: is not a media file"
    with pytest.raises(UsageError, match=message):
        extracted(corpus(tmp_path / "talk"), clips)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (
            WorkerDied(IDS[0]),
            "its worker process was killed each time it ran; it may need more memory than is available",
        ),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
        (OutputError("no space"), None),
    ],
)
def test_the_error_of_one_clip_is_a_problem_of_its_sample_unless_every_clip_would_meet_it(
    error: Exception, problem: str | None, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(function: Callable[[Any], Any], units: Iterable[tuple[str, Unit]], **_: object) -> Generator[Done[Any]]:
        for name, unit in units:
            is_first = IDS[0] in unit.samples
            yield Done(name, error=error) if is_first else Done(name, function(unit))

    monkeypatch.setattr("merbench.features.extraction.run", run)
    talk = corpus(tmp_path / "talk")
    if problem is None:
        with pytest.raises(OutputError, match="no space"):
            extracted(talk, clips)
    else:
        done = extracted(talk, clips)
        assert (done.problems, len(done.features["voice"])) == ({"voice": {IDS[0]: problem}}, len(IDS) - 1)
