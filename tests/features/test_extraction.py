"""Features of a corpus: which clip counts, what is reported, the same for any number of workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus import Corpus
from merbench.engine import Done, WorkerDied
from merbench.errors import IntegrityError, InvalidCorpus, OutputError, UsageError
from merbench.features.extraction import Extracted, Request, Unit, extract
from merbench.features.outputs import Recipe
from merbench.features.pictures import picture_vector
from merbench.features.sound import sound_vector
from merbench.files.journal import Journal
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
    for name in ("corpus.toml", "features/voice.arrow", "features/face.arrow"):
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
    first = f"  sample {IDS[0]}: {clips / IDS[0]}.mp4: is not a media file"
    message = f"^corpus 'talk': no sample has a value of voice \\({len(IDS)} problems\\).*:\n{first}"
    with pytest.raises(UsageError, match=message):
        extracted(corpus(tmp_path / "talk"), clips)
    assert not (tmp_path / "talk" / ".extract").exists()  # nothing in it was of use


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


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_how_many_threads_the_environment_allows(clips: Path, tmp_path: Path) -> None:
    """Conftest allows one; a user's own environment as many as there are cores."""
    made = []
    for threads, workers in (("1", "1"), ("4", "1"), ("4", "2")):
        folder = corpus(tmp_path / f"{threads}-{workers}").folder
        allowed = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        words = command(folder, clips, "--workers", workers)
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, **allowed})
        made.append(contents(folder))
    assert made[0] == made[1] == made[2]


def several(clips: Path, n: int) -> list[str]:
    """Copy the clips so that there are `n`, and return their ids."""
    for number in range(len(IDS), n):
        shutil.copy(clips / f"{IDS[number % len(IDS)]}.mp4", clips / f"clip{number}.mp4")
    return [*IDS, *(f"clip{number}" for number in range(len(IDS), n))]


def corpus_of(folder: Path, ids: Sequence[str]) -> Corpus:
    return made_corpus(folder, name="talk", samples=pa.table({"sample_id": ids, "split": ["train"] * len(ids)}))


def command(folder: Path, clips: Path, *words: str) -> list[str]:
    extractors = ["--with", "voice", "--with", "face"]
    return [sys.executable, "-m", "merbench", "extract", str(folder), "--media", str(clips), *extractors, *words]


def kill(words: Sequence[str], is_time: Callable[[], bool]) -> None:
    """Start a command, and kill it and its workers as soon as it is time."""
    with subprocess.Popen(words, start_new_session=True) as process:
        while process.poll() is None and not is_time():
            time.sleep(0.002)
        assert process.poll() is None, "the run ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)


def measured_units(folder: Path) -> int:
    return len(list(folder.glob(".extract/*/*.npz")))


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_the_same_bytes(clips: Path, tmp_path: Path) -> None:
    ids = several(clips, 40)
    expected = contents(extracted(corpus_of(tmp_path / "complete", ids), clips, of=("voice", "face")).corpus.folder)
    for n_done in (1, 25):
        folder = corpus_of(tmp_path / f"killed-{n_done}", ids).folder
        kill(command(folder, clips, "--workers", "2"), lambda: measured_units(folder) >= n_done)  # noqa: B023
        assert list(folder.glob(".extract/*/journal"))
        again = subprocess.run(command(folder, clips), check=True, capture_output=True, text=True)
        assert contents(folder) == expected
    assert int(again.stdout.splitlines()[-1].split()[0]) >= 20  # had been measured before


@pytest.mark.slow
def test_killed_while_texts_are_encoded_it_ends_in_the_same_bytes(
    tmp_path: Path, installed_weights: Callable[[str], Path]
) -> None:
    pytest.importorskip("sentencepiece", reason="sentences: sentencepiece is not installed")
    installed_weights("sentence")
    ids = [f"s{number:04}" for number in range(900)]
    texts = [f"this is text {number}, and nobody has read it" for number in range(900)]
    columns = pa.table({"sample_id": ids, "split": ["train"] * len(ids), "transcript": texts})
    one, two = (made_corpus(tmp_path / name, name="talk", samples=columns).folder for name in ("one", "two"))
    words = [sys.executable, "-m", "merbench", "extract", "--with", "sentence", "--with", "tokens"]
    subprocess.run([*words, str(one)], check=True, capture_output=True)
    kill([*words, str(two), "--workers", "2"], lambda: measured_units(two) >= 1)
    assert not (two / "features").exists()
    subprocess.run([*words, str(two)], check=True, capture_output=True)
    assert contents(two) == contents(one)


@pytest.fixture
def faces_run(
    test_data: Path, tmp_path: Path, installed_weights: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Return a function of a folder that makes a corpus of three talking faces there and returns how to extract them."""
    pytest.importorskip("ai_edge_litert", reason="faces: ai-edge-litert is not installed")
    pytest.importorskip("cv2", reason="faces: OpenCV is not installed")
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    for name in ("face-boxes", "expression"):
        installed_weights(name)
    clips = test_data / "data" / "media" / "video" / "grid"
    ids = sorted(path.stem for path in clips.iterdir())[:3]

    def words(folder: Path, *more: str) -> list[str]:
        corpus_of(folder, ids) if not folder.exists() else None
        extractors = ["--with", "face-boxes", "--with", "expression"]
        return [sys.executable, "-m", "merbench", "extract", str(folder), "--media", str(clips), *extractors, *more]

    return words


@pytest.mark.slow
def test_killed_while_faces_are_followed_it_ends_in_the_same_bytes(
    faces_run: Callable[..., list[str]], tmp_path: Path
) -> None:
    cache = tmp_path / "home" / "cache" / "faces"
    subprocess.run(faces_run(tmp_path / "complete"), check=True, capture_output=True)
    expected, faces = contents(tmp_path / "complete"), contents(cache)
    assert len(faces) == 3
    shutil.rmtree(cache)
    kill(faces_run(tmp_path / "killed", "--workers", "2"), lambda: any(cache.glob("*.zip")))
    assert 1 <= len(list(cache.glob("*.zip"))) < 3  # of the others, at least one was being followed
    subprocess.run(faces_run(tmp_path / "killed"), check=True, capture_output=True)
    assert (contents(tmp_path / "killed"), contents(cache)) == (expected, faces)


@pytest.mark.slow
def test_a_disk_that_is_full_while_faces_are_stored_ends_the_run(
    faces_run: Callable[..., list[str]], tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    done = subprocess.run(
        faces_run(tmp_path / "talk"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (74, "")
    assert done.stderr == f"{tmp_path / 'home' / 'cache' / 'faces'}: cannot be written: File too large\n"
    assert list((tmp_path / "home" / "cache" / "faces").iterdir()) == []


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_done(clips: Path, tmp_path: Path) -> None:
    folder = corpus_of(tmp_path / "talk", several(clips, 80)).folder
    with subprocess.Popen(command(folder, clips), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(folder.glob(".extract/*/*.npz")):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "interrupted\n")
    (work,) = folder.glob(".extract/*")
    n_done = len((work / "journal").read_text().splitlines()) - 1
    assert [path.name for path in work.iterdir() if path.name.startswith(".")] == []
    again = subprocess.run(command(folder, clips), check=True, capture_output=True, text=True)
    assert f"\n{n_done} sample" in again.stdout or not n_done


@pytest.mark.slow
def test_a_cluster_makes_the_bytes_that_one_process_makes(clips: Path, tmp_path: Path, cluster: str) -> None:
    one = extracted(corpus(tmp_path / "one"), clips, of=("voice", "face"))
    many = extracted(corpus(tmp_path / "many"), clips, of=("voice", "face"), engine=cluster)
    assert contents(one.corpus.folder) == contents(many.corpus.folder)


@pytest.fixture
def stopped_run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that extracts, and is stopped before the features are added to the corpus."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def run(*arguments: Any, **settings: Any) -> None:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("merbench.features.extraction.add_features", stop)
            extracted(*arguments, **settings)

    return run


def test_what_changed_is_measured_again_and_the_rest_is_kept(
    clips: Path, tmp_path: Path, stopped_run: Callable[..., None]
) -> None:
    talk = corpus(tmp_path / "talk")
    (clips / f"{IDS[1]}.mp4").rename(tmp_path / "away.mp4")
    stopped_run(talk, clips)
    shutil.copy(clips / f"{IDS[3]}.mp4", clips / f"{IDS[0]}.mp4")  # another clip
    (tmp_path / "away.mp4").rename(clips / f"{IDS[1]}.mp4")  # a new one
    (clips / f"{IDS[2]}.mp4").touch()  # the same one
    work = next(talk.folder.glob(".extract/*"))
    sorted(work.glob("*.npz"))[0].write_bytes(b"")  # never written by rename, but by a disk that failed
    done = extracted(talk, clips)
    assert done.n_kept in (
        2,
        3,
    )  # without the changed one, the new one and the broken one, which may be the changed one
    assert contents(done.corpus.folder) == contents(extracted(corpus(tmp_path / "new"), clips).corpus.folder)


def test_what_was_exchanged_or_overwritten_with_as_many_bytes_is_measured_again(
    clips: Path, tmp_path: Path, stopped_run: Callable[..., None]
) -> None:
    talk = corpus(tmp_path / "talk")
    stopped_run(talk, clips)
    first, second, third = sorted(talk.folder.glob(".extract/*/*.npz"))[:3]
    parts = [path.read_bytes() for path in (first, second, third)]
    assert len(parts[0]) == len(parts[1])
    first.write_bytes(parts[1])
    second.write_bytes(parts[0])
    third.write_bytes(bytes(len(parts[2])))
    done = extracted(talk, clips)
    assert done.n_kept == len(IDS) - 3
    assert contents(done.corpus.folder) == contents(extracted(corpus(tmp_path / "new"), clips).corpus.folder)


def test_a_working_folder_that_cannot_be_used_is_named_with_its_remedy(clips: Path, tmp_path: Path) -> None:
    talk = corpus(tmp_path / "talk")
    hidden = talk.folder / ".extract"
    for make in (hidden.touch, lambda: hidden.symlink_to(tmp_path / "gone")):
        make()
        with pytest.raises(OutputError, match=f"^{hidden}: is not a folder; remove it$"):
            extracted(talk, clips)
        hidden.unlink()


def test_a_run_that_ends_before_anything_is_measured_leaves_no_folder(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: object, units: Iterable[tuple[str, Unit]], **__: object) -> Generator[Done[Any]]:
        for name, _unit in units:
            yield Done(name, error=OutputError("no space"))

    monkeypatch.setattr("merbench.features.extraction.run", run)
    talk = corpus(tmp_path / "talk")
    with pytest.raises(OutputError, match="no space"):
        extracted(talk, clips)
    assert not (talk.folder / ".extract").exists()


def test_a_journal_that_is_not_intact_is_named_with_the_folder_to_be_removed(
    clips: Path, tmp_path: Path, stopped_run: Callable[..., None]
) -> None:
    talk = corpus(tmp_path / "talk")
    stopped_run(talk, clips)
    (journal,) = talk.folder.glob(".extract/*/journal")
    for line in (b"[]\n", b"{\n", b"{}\n", b"x" * (1 << 20)):
        journal.write_bytes(line)
        with pytest.raises(IntegrityError) as caught:
            extracted(talk, clips)
        assert str(caught.value).startswith(f"{journal}: ")
        assert str(caught.value).endswith(f"; remove {journal.parent} and start again")


def test_other_options_or_extractors_are_another_run(
    clips: Path, tmp_path: Path, stopped_run: Callable[..., None]
) -> None:
    talk = corpus(tmp_path / "talk")
    stopped_run(talk, clips)
    stopped_run(talk, clips, of=("voice", "face"))
    stopped_run(talk, clips, of=("face",))
    assert len(list(talk.folder.glob(".extract/*"))) == 3
    assert extracted(talk, clips, of=("face",)).n_kept == 5
    # runs that would have made the same feature have no use any more
    assert len(list(talk.folder.glob(".extract/*"))) == 1
    assert extracted(talk, clips).n_kept == 5
    assert not (talk.folder / ".extract").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # NumPy 2.0 leaves its archive open
def test_the_working_folder_of_a_living_run_stays(
    clips: Path, tmp_path: Path, stopped_run: Callable[..., None]
) -> None:
    talk = corpus(tmp_path / "talk")
    stopped_run(talk, clips)
    (journal,) = talk.folder.glob(".extract/*/journal")
    with Journal(journal, {}):
        extracted(talk, clips, of=("voice", "face"))
        assert journal.exists()


def test_a_full_disk_ends_the_run_which_is_continued_later(clips: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    talk = corpus(tmp_path / "talk")
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    try:
        with pytest.raises(OutputError, match=r"\.extract/.*cannot be written: File too large$"):
            extracted(talk, clips)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in talk.folder.rglob("*.npz")] == []
    assert len(extracted(talk, clips).features["voice"]) == 5


def test_a_second_run_of_the_same_is_refused(clips: Path, tmp_path: Path, stopped_run: Callable[..., None]) -> None:
    talk = corpus(tmp_path / "talk")
    stopped_run(talk, clips)
    (journal,) = talk.folder.glob(".extract/*/journal")
    with Journal(journal, {}), pytest.raises(UsageError, match=r"another run is writing there$"):
        extracted(talk, clips)
