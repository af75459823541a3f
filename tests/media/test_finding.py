"""Which file of a folder belongs to which sample."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pyarrow as pa
import pytest

from merbench.errors import UsageError
from merbench.media.finding import find_clips, find_media, listed_media


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_a_file_is_found_by_its_name_its_path_and_its_path_without_suffix(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "x.mp4", "a/y.avi", "b/z.wav")
    found = find_media(folder, ["x", "a/y", "b/z.wav"])
    assert {name: str(path) for name, path in found.paths.items()} == {
        "x": "x.mp4",
        "a/y": "a/y.avi",
        "b/z.wav": "b/z.wav",
    }
    assert (found.missing, found.ambiguous, found.unused) == ((), {}, ())
    assert found.path("a/y") == folder / "a" / "y.avi"


def test_two_files_of_one_stem_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    found = find_media(folder_of(tmp_path, "a/clip.mp4", "b/clip.mp4"), ["a/clip", "b/clip", "clip"])
    assert set(found.paths) == {"a/clip", "b/clip"}
    assert found.ambiguous == {"clip": (PurePosixPath("a/clip.mp4"), PurePosixPath("b/clip.mp4"))}


def test_what_the_corpus_lists_decides(tmp_path: Path) -> None:
    found = find_media(folder_of(tmp_path, "a/clip.mp4", "b/clip.mp4"), ["clip"], {"clip": "b/clip.mp4"})
    assert str(found.paths["clip"]) == "b/clip.mp4"
    assert found.unused == (PurePosixPath("a/clip.mp4"),)
    assert find_media(tmp_path, ["clip"], {"clip": "b/clip"}).paths["clip"] == PurePosixPath("b/clip.mp4")
    assert find_media(tmp_path, ["clip"], {"clip": "c/clip.mp4"}).missing == ("clip",)


def test_an_empty_cell_lists_nothing() -> None:
    samples = pa.table({"sample_id": ["x", "y", "z"], "media": ["a/x.mp4", "", None]})
    assert listed_media(samples) == {"x": "a/x.mp4"}
    assert listed_media(samples.drop_columns("media")) == {}


def test_of_several_folders_the_last_that_has_a_clip_gives_it(tmp_path: Path) -> None:
    clean = folder_of(tmp_path / "clean", "x.mp4", "y.mp4", "z.mp4", "z.avi", "v.mp4")
    damaged = folder_of(tmp_path / "damaged", "a/x.mp4", "y.mp4", "y.avi", "z.mp4")
    samples = pa.table({"sample_id": ["v", "w", "x", "y", "z"], "media": ["", None, None, None, None]})
    found = find_clips(samples, [clean, damaged])
    assert found.paths == {"v": clean / "v.mp4", "x": damaged / "a" / "x.mp4", "z": damaged / "z.mp4"}
    assert list(found.paths) == ["v", "x", "z"]
    assert found.several == {"y": "2 files could belong to this sample: y.avi, y.mp4"}
    assert found.missing == ("w",)
    back = find_clips(samples, [damaged, clean])
    assert back.paths == {"v": clean / "v.mp4", "x": clean / "x.mp4", "y": clean / "y.mp4"}
    assert back.several == {"z": "2 files could belong to this sample: z.avi, z.mp4"}
    none = find_clips(samples, [])
    assert (none.paths, none.several, none.missing) == ({}, {}, ("v", "w", "x", "y", "z"))


def test_samples_without_a_file_and_files_without_a_sample_are_told(tmp_path: Path) -> None:
    found = find_media(folder_of(tmp_path, "x.mp4", "more.WAV", "labels.csv", ".hidden.mp4"), ["x", "y"])
    assert found.missing == ("y",)
    assert found.unused == (PurePosixPath("more.WAV"),)


def test_odd_names_are_names(tmp_path: Path) -> None:
    names = ["-rf", "it's", 'a "quote"', "new\nline", "笑顔", "100%", "a.b.c"]
    found = find_media(folder_of(tmp_path, *(f"{name}.mp4" for name in names)), names)
    assert {name: path.name for name, path in found.paths.items()} == {name: f"{name}.mp4" for name in names}


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone: there is no such folder of media$"):
        find_media(tmp_path / "gone", ["x"])


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    folder_of(tmp_path, "real/x.mp4")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert str(find_media(tmp_path, ["x"]).paths["x"]) == "real/x.mp4"
