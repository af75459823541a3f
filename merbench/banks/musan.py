"""MUSAN (Snyder, Chen and Povey, 2015, arXiv:1510.08484) is imported as a bank of three parts.

The release has `music`, `noise` and `speech`, each with a folder per source, in which sounds are next to `LICENSE` and
usually `ANNOTATIONS`: lines of a sound's name, then the genres, whether someone sings, and the artist (music), or the
speaker's gender and the language (speech). The class of a piece of music is its genres, of speech its language, and of
noise its source. Speakers are not named, so that each file counts as a voice of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from merbench.banks.importing import Imported, Terms, require_folder, sounds_in, store
from merbench.banks.sounds import Sound
from merbench.errors import MalformedFile, UsageError
from merbench.files.reading import read_bounded

MOST_TEXT_BYTES = 4_000_000
"""How large the list of licences of a folder may be."""

NAME = "musan"
PARTS = ("music", "noise", "speech")

TERMS = Terms(
    version="1.0",
    source="MUSAN (Snyder, Chen and Povey, 2015), arXiv:1510.08484, openslr.org/17",
    licence="CC BY 4.0 as a collection; each sound its own, see the LICENSE files",
)

_TEXTS = ("ANNOTATIONS", "LICENSE", "README")
_LICENCE = re.compile(
    r"https?://creativecommons\.org/\S+[^\s.,;)]|public domain|CC0|CC[ -]BY(?:-\w+)*(?: \d\.\d)?", re.I
)


def import_musan(path: str | Path, *, in_place: bool = False, replace: bool = False) -> Imported:
    """Store MUSAN, or those of its three parts that exist, as the bank `musan` of the data home.

    Args:
        path: the folder `musan`, or the one that contains it.
        in_place: leave the sounds where they are, instead of copying 11 GB.
        replace: whether an existing bank `musan` is replaced.

    Raises:
        UsageError: no such folder, none of the parts in it, no usable sound, or a bank that already exists.
    """
    root = require_folder(path)
    if not _parts(root) and (root / NAME).is_dir():
        root = root / NAME
    parts = _parts(root)
    if not parts:
        raise UsageError(f"{root}: has none of the folders {', '.join(PARTS)} that MUSAN has")
    files = [f"{part}/{file}" for part in parts for file in sounds_in(root / part)]
    folders = sorted({str(PurePosixPath(file).parent) for file in files})
    texts = {folder: (_annotations(root / folder), _licences(root / folder)) for folder in folders}
    sounds = [_described(file, *texts[str(PurePosixPath(file).parent)]) for file in files]
    places = sorted({PurePosixPath("."), *map(PurePosixPath, folders), *map(PurePosixPath, parts)})
    copied = [str(place / name) for place in places for name in _TEXTS if (root / place / name).is_file()]
    return store(NAME, root, sounds, in_place=in_place, terms=TERMS, replace=replace, texts=copied)


def _parts(root: Path) -> list[str]:
    return [part for part in PARTS if (root / part).is_dir()]


def _described(file: str, annotations: Mapping[str, list[str]], licences: Mapping[str, str]) -> Sound:
    path = PurePosixPath(file)
    part, words = path.parts[0], annotations.get(path.stem, [])
    label = {"music": words[0:1], "speech": words[1:2], "noise": [path.parent.name]}[part]
    licence = licences.get(path.stem, "") or (f"see {path.parent}/LICENSE" if licences else "")
    return Sound(file, part, "".join(label), licence=licence)


def _annotations(folder: Path) -> dict[str, list[str]]:
    lines = (line.split() for line in _text(folder / "ANNOTATIONS").splitlines())
    return {words[0]: words[1:] for words in lines if words}


def _licences(folder: Path) -> dict[str, str]:
    """Return the licence that is named in the paragraph of a sound's name; the key `""` where there is any text."""
    text = _text(folder / "LICENSE")
    licences = {"": ""} if text.strip() else {}
    for paragraph in re.split(r"\n\s*\n", text):
        named = re.findall(r"\b(?:music|noise|speech)-[a-z-]+-\d{4}\b", paragraph)
        licence = _LICENCE.search(paragraph)
        if licence and len(set(named)) == 1:
            licences[named[0]] = licence[0]
    return licences


def _text(path: Path) -> str:
    try:
        return read_bounded(path, MOST_TEXT_BYTES).decode(errors="replace")
    except (OSError, MalformedFile):
        return ""
