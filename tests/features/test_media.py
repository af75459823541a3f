"""A feature from the clips of a corpus: which clip counts, what is reported, the same for any number of workers."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus import Corpus
from merbench.engine import Done, WorkerDied
from merbench.errors import InvalidCorpus, OutputError, UsageError
from merbench.features.media import add_media_feature
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


def test_each_clip_becomes_the_vector_of_its_sound_or_its_pictures(clips: Path, tmp_path: Path) -> None:
    talk = corpus(tmp_path / "talk")
    voice = add_media_feature(talk, "voice", "audio", [clips])
    face = add_media_feature(voice.corpus, "face", "video", [clips])
    assert face.corpus.features == ("face", "voice")
    assert voice.feature.ids.to_pylist() == IDS
    for row, sample_id in enumerate(IDS):
        path = clips / f"{sample_id}.mp4"
        assert np.array_equal(voice.feature.values[row], sound_vector(read_audio(path)))
        assert np.array_equal(face.feature.values[row], picture_vector(read_video(path)))
    assert np.array_equal(face.corpus.feature("voice").values, voice.feature.values)
    assert (voice.problems, voice.without) == ({}, {"other": 2})


@pytest.mark.slow
def test_two_workers_give_the_same_numbers(clips: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    one = add_media_feature(corpus(tmp_path / "a"), "voice", "audio", [clips])
    two = add_media_feature(
        corpus(tmp_path / "b"), "voice", "audio", [clips], workers=2, progress=lambda *call: calls.append(call)
    )
    assert np.array_equal(one.feature.values, two.feature.values)
    assert calls == [(number, 5) for number in range(1, 6)]


def test_a_sample_without_a_readable_clip_is_named_and_left_out(clips: Path, tmp_path: Path) -> None:
    (clips / f"{IDS[0]}.mp4").unlink()
    data = (clips / f"{IDS[1]}.mp4").read_bytes()
    (clips / f"{IDS[1]}.mp4").write_bytes(data[: len(data) // 2])
    shutil.copy(clips / f"{IDS[2]}.mp4", clips / f"{IDS[2]}.mkv")
    measured = add_media_feature(corpus(tmp_path / "talk"), "voice", "audio", [clips])
    assert measured.feature.ids.to_pylist() == IDS[3:]
    assert measured.problems == {
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
    measured = add_media_feature(corpus(tmp_path / "talk"), "voice", "audio", [clips, later])
    assert sorted(measured.problems) == IDS[:2]
    # a folder after them settles it
    shutil.copytree(clips, tmp_path / "last")
    measured = add_media_feature(measured.corpus, "voice", "audio", [clips, later, tmp_path / "last"], replace=True)
    assert measured.problems == {}


def test_mistakes_are_reported_before_any_clip_is_read(clips: Path, tmp_path: Path) -> None:
    talk = corpus(tmp_path / "talk")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=f"^{empty}: no clip belongs to a sample of corpus 'talk'$"):
        add_media_feature(talk, "voice", "audio", [empty])
    with pytest.raises(UsageError, match=f"^{tmp_path / 'gone'}: no such folder of media$"):
        add_media_feature(talk, "voice", "audio", [tmp_path / "gone"])
    with pytest.raises(UsageError, match=r"^'lokal' is not an engine; did you mean 'local'\?; allowed: local and dask"):
        add_media_feature(talk, "voice", "audio", [clips], engine="lokal")
    with pytest.raises(InvalidCorpus, match=r"feature 'a/b': not a name of a feature; allowed: up to 100 of"):
        add_media_feature(talk, "a/b", "audio", [clips])
    made = add_media_feature(talk, "voice", "audio", [clips]).corpus
    with pytest.raises(UsageError, match=r"^corpus 'talk' already has a feature 'voice'$"):
        add_media_feature(made, "voice", "audio", [clips])


def test_without_one_readable_clip_there_is_no_feature(clips: Path, tmp_path: Path) -> None:
    for sample_id in IDS:
        (clips / f"{sample_id}.mp4").write_bytes(b"no clip")
    message = f"^corpus 'talk': no clip can be read: sample {IDS[0]}: {clips / IDS[0]}.mp4: is not a media file"
    with pytest.raises(UsageError, match=message):
        add_media_feature(corpus(tmp_path / "talk"), "voice", "audio", [clips])


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
    def run(function: object, units: Iterable[tuple[str, Path]], **_: object) -> Generator[Done[np.ndarray]]:
        for name, path in units:
            yield Done(name, error=error) if name == IDS[0] else Done(name, sound_vector(read_audio(path)))

    monkeypatch.setattr("merbench.features.media.run", run)
    talk = corpus(tmp_path / "talk")
    if problem is None:
        with pytest.raises(OutputError, match="no space"):
            add_media_feature(talk, "voice", "audio", [clips])
    else:
        feature = add_media_feature(talk, "voice", "audio", [clips])
        assert (feature.problems, len(feature.feature.ids)) == ({IDS[0]: problem}, len(IDS) - 1)
