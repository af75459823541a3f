"""The files of sounds go in, the rows of a bank's table come out, and a problem for each that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merbench.banks.bank import Sound
from merbench.banks.sounds import measure
from merbench.errors import Problem, printable
from merbench.files import sha256_file


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a sound beside what its file tells; empty where it is not."""

    part: str = ""
    label: str = ""
    speaker: str = ""
    licence: str = ""


def measured(root: Path, known: Mapping[str, Known]) -> tuple[tuple[Sound, ...], tuple[Problem, ...]]:
    """Return the sounds that can be used, in the order of their files, and why the others cannot.

    Args:
        root: what files start from.
        known: file -> what is known of it.
    """
    found = [_measured(root, file, known[file]) for file in sorted(known)]
    sounds = tuple(item for item in found if isinstance(item, Sound))
    return sounds, tuple(item for item in found if isinstance(item, Problem))


def _measured(root: Path, file: str, known: Known) -> Sound | Problem:
    if not _is_text(file):
        return Problem("E644", f"{printable(file)}: the name is not text in UTF-8")
    path = root / file
    measures = measure(path, file)
    if isinstance(measures, Problem):
        return measures
    return Sound(
        file,
        known.part,
        known.label,
        known.speaker,
        known.licence,
        measures.rate_hz,
        measures.channels,
        measures.n_samples,
        path.stat().st_size,
        measures.rms,
        sha256_file(path),
    )


def _is_text(file: str) -> bool:
    try:
        file.encode()
    except UnicodeEncodeError:
        return False
    return True
