"""Which file of a folder belongs to which sample."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from merbench.corpus.clips import Clips, find_clips
from merbench.errors import UsageError


def find(tmp_path: Path, names: list[str], ids: list[str], listed: list[str | None] | None = None) -> Clips:
    """Find the clips of samples in a folder of files with these names."""
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    columns = {"sample_id": ids} if listed is None else {"sample_id": ids, "media": listed}
    return find_clips(pa.table(columns), [tmp_path])


def relative(clips: Clips, folder: Path) -> dict[str, str]:
    return {sample_id: str(path.relative_to(folder)) for sample_id, path in clips.paths.items()}


@pytest.mark.parametrize(
    ("names", "ids", "expected"),
    [
        (["x.mp4", "a/y.avi", "b/z.wav"], ["x", "a/y", "b/z.wav"], ["x.mp4", "a/y.avi", "b/z.wav"]),
        (["a/clip.mp4", "b/clip.mp4"], ["a/clip", "b/clip"], ["a/clip.mp4", "b/clip.mp4"]),
        *(([f"{name}.mp4"], [name], [f"{name}.mp4"]) for name in ("-rf", "it's", "new\nline", "笑顔", "100%", "a.b.c")),
    ],
)
def test_a_file_is_found_by_its_name_its_path_and_its_path_without_suffix(
    tmp_path: Path, names: list[str], ids: list[str], expected: list[str]
) -> None:
    clips = find(tmp_path, names, ids)
    assert relative(clips, tmp_path) == dict(zip(ids, expected, strict=True))
    assert (clips.several, clips.missing, clips.unused) == ({}, (), {tmp_path: ()})


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("b/clip.mp4", "b/clip.mp4"),
        ("b/clip", "b/clip.mp4"),
        ("c/clip.mp4", None),
        ("", "clip.wav"),
        (None, "clip.wav"),
    ],
)
def test_what_the_corpus_lists_decides(tmp_path: Path, listed: str | None, expected: str | None) -> None:
    clips = find(tmp_path, ["a/clip.mp4", "b/clip.mp4", "clip.wav"], ["clip"], [listed])
    assert relative(clips, tmp_path) == ({"clip": expected} if expected else {})
    assert clips.missing == (() if expected else ("clip",))


def test_several_files_samples_without_one_and_files_without_a_sample_are_reported(tmp_path: Path) -> None:
    names = ["a/clip.mp4", "b/clip.mp4", "more.WAV", "labels.csv", ".hidden.mp4", "x.mp4"]
    clips = find(tmp_path, names, ["clip", "x", "y"])
    assert clips.several == {"clip": "2 files could belong to this sample: a/clip.mp4, b/clip.mp4"}
    assert (relative(clips, tmp_path), clips.missing, list(map(str, clips.unused[tmp_path]))) == (
        {"x": "x.mp4"},
        ("y",),
        ["more.WAV"],
    )


def test_the_last_folder_with_a_clip_counts(tmp_path: Path) -> None:
    find(tmp_path / "clean", ["x.mp4", "y.mp4", "z.mp4", "z.avi", "v.mp4"], [])
    find(tmp_path / "corrupted", ["a/x.mp4", "y.mp4", "y.avi", "z.mp4"], [])
    samples = pa.table({"sample_id": ["v", "w", "x", "y", "z"]})
    clips = find_clips(samples, [tmp_path / "clean", tmp_path / "corrupted"])
    expected = {"v": "clean/v.mp4", "x": "corrupted/a/x.mp4", "z": "corrupted/z.mp4"}
    assert relative(clips, tmp_path) == expected
    assert list(clips.paths) == ["v", "x", "z"]
    assert clips.several == {"y": "2 files could belong to this sample: y.avi, y.mp4"}
    assert clips.missing == ("w",)
    assert find_clips(samples, []).missing == ("v", "w", "x", "y", "z")


@pytest.mark.parametrize(
    ("files", "listed", "expected"),
    [
        (["a/x.mp4"], ["a/x.mpg", None], {"x": "a/x.mp4"}),
        (["b/x.mp4"], ["a/x.mpg", None], {}),
        (["a/x.mp4"], ["a/x.MPG", "a/x.mp4"], {"y": "a/x.mp4"}),  # the file that the corpus lists for another sample
        (["a/x.mkv"], ["a/x.mpg", "a/x.mp4"], {}),  # either sample could be meant
        (["a/x.mpg.mp4", "a/x.wav.mp4"], ["a/x.mpg", "a/x.wav"], {"x": "a/x.mpg.mp4", "y": "a/x.wav.mp4"}),
        (["a/x.csv", "a/x.mp4"], ["a/x.mpg", None], {"x": "a/x.mp4"}),
        (["a/x.mp4"], ["a/x.1", None], {}),  # not a suffix of media, so a part of the name
    ],
)
def test_a_clip_may_have_another_suffix_than_the_corpus_lists(
    tmp_path: Path, files: list[str], listed: list[str | None], expected: dict[str, str]
) -> None:
    assert relative(find(tmp_path, files, ["x", "y"], listed), tmp_path) == expected


def test_a_folder_that_does_not_exist_is_an_error_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone: no such folder of media$"):
        find_clips(pa.table({"sample_id": ["x"]}), [tmp_path / "gone"])
    (tmp_path / "loop").symlink_to(tmp_path)
    assert relative(find(tmp_path, ["real/x.mp4"], ["x"]), tmp_path) == {"x": "real/x.mp4"}
