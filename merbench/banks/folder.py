"""Noise banks of the data home: their folders, written, opened by name and verified.

Conventions:
    `bank.toml` contains name, version, source, licence, the digest of the table's content, and `folder` if the sounds
    stayed in a folder of their own. `noises.parquet` has a row per sound, in the order of their files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from merbench.banks.bank import Bank
from merbench.banks.sounds import SILENCE, Sound
from merbench.builders import BUILDERS
from merbench.errors import IntegrityError, MalformedFile, Problem, UsageError, examples, printable, problem_lines
from merbench.files.paths import expanded
from merbench.files.reading import arrow_file, read_parquet, sha256_bytes
from merbench.files.toml import toml_text
from merbench.files.writing import atomic_path, write_text
from merbench.store import Store, file_problem, require_content

TABLE = "noises.parquet"
MOST_SOUNDS = 1_000_000
"""How many sounds a bank may have."""

RELEASES = ("musan",)
"""Names of public releases, which have an importer of their own."""

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("file", "part", "class", "speaker", "licence")),
        *((name, pa.int64()) for name in ("rate_hz", "channels", "n_samples", "n_bytes")),
        ("rms", pa.float64()),
        ("sha256", pa.string()),
    ]
)


def open_bank(name: str | Path, relative_to: Path | None = None) -> Bank:
    """Return a bank, or one part or class of it, ready for sampling.

    A name such as `musan` or `musan/speech` is looked up in the data home; a `Path`, and text that begins with `.`,
    `~` or `/`, is the path of a bank's folder, which a part may follow.

    Args:
        name: name, or path.
        relative_to: folder that a relative path starts from; the working directory when None.

    Raises:
        UnknownName: no bank, part or class of this name.
        UsageError: the path is not a bank, or all sounds of what it names are silent.
        IntegrityError: sounds are missing, or changed their size.
    """
    text = str(name)
    if isinstance(name, Path) or text.startswith((".", "~", "/", "\\")) or Path(text).is_absolute():
        path = (relative_to or Path()) / expanded(text)
        is_part = not (path / BANKS.file_name).is_file() and (path.parent / BANKS.file_name).is_file()
        bank, part = (BANKS.read(path.parent), path.name) if is_part else (BANKS.read(path), "")
    else:
        bank_name, _, part = text.partition("/")
        bank = BANKS.open(bank_name)
    if part:
        bank = bank.of(part)
    _require_sounds(bank)
    return bank


def verify_bank(bank: Bank) -> list[Problem]:
    """Return which sounds of a bank are missing, or are not what was recorded; every file is read."""
    problems = (file_problem(bank.folder / sound.file, sound.file, sound.sha256) for sound in bank.sounds)
    return [problem for problem in problems if problem is not None]


def write_bank(folder: Path, bank: Bank) -> None:
    """Write the declaration and the table of a bank into a folder, which has its sounds unless they stay elsewhere."""
    rows = [dict(zip(_SCHEMA.names, astuple(sound), strict=True)) for sound in bank.sounds]
    with atomic_path(folder / TABLE) as temporary, arrow_file(temporary, "wb") as file:
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), file)
    stated = {"name": bank.name, "version": bank.version, "source": bank.source, "licence": bank.licence}
    if bank.folder != folder:
        stated["folder"] = str(bank.folder)
    write_text(folder / BANKS.file_name, toml_text({**stated, "digest": _digest(bank.sounds)}))


def _load(folder: Path) -> Bank:
    """Return the bank in a folder; its sounds are not read."""
    stated = BANKS.declaration(folder, ("name", "version", "source", "licence", "digest"))
    if not isinstance(stated.get("folder", ""), str):
        raise UsageError(f"{folder / BANKS.file_name}: folder is not text; import the bank again")
    sounds = _read_sounds(folder / TABLE)
    require_content(folder / TABLE, _digest(sounds), stated["digest"])
    place = Path(stated.get("folder", folder))
    return Bank(stated["name"], place, sounds, stated["version"], stated["source"], stated["licence"])


def _read_sounds(path: Path) -> tuple[Sound, ...]:
    try:
        table = read_parquet(path, most_rows=MOST_SOUNDS)
    except MalformedFile as error:
        raise IntegrityError(f"{path}: {error}") from error
    if not table.schema.equals(_SCHEMA) or any(column.null_count for column in table.columns):
        raise IntegrityError(f"{path}: does not contain the columns {', '.join(_SCHEMA.names)}")
    sounds = tuple(Sound(*row.values()) for row in table.to_pylist())
    for sound in sounds:
        place = PurePosixPath(sound.file)
        if place.is_absolute() or ".." in place.parts:
            raise IntegrityError(f"{path}: {sound.file} leads out of the bank's folder")
    return sounds


def _digest(sounds: Sequence[Sound]) -> str:
    return sha256_bytes(json.dumps([astuple(sound) for sound in sounds], ensure_ascii=False).encode())


def _require_sounds(bank: Bank) -> None:
    if not bank.sounds:
        raise UsageError(f"noise bank {bank.name}: no sound in it")
    if all(sound.rms < SILENCE for sound in bank.sounds):
        raise UsageError(f"noise bank {bank.name}: all of its sounds are silent")
    changes = [f"{printable(sound.file)}: {change}" for sound in bank.sounds if (change := _change(bank, sound))]
    if changes:
        problems = examples(changes, lambda text: Problem("E602", text))
        raise IntegrityError(*problem_lines(f"noise bank {bank.name} in {bank.folder}", problems))


def _change(bank: Bank, sound: Sound) -> str:
    try:
        size = (bank.folder / sound.file).stat().st_size
    except OSError:
        return "the file is recorded but missing"
    return "" if size == sound.n_bytes else f"the file changed: {size:,} bytes, recorded {sound.n_bytes:,}"


def _hint(name: str) -> str:
    if name in RELEASES:
        return f"import the released files with `merbench bank import {name} PATH`"
    return "import a folder of sounds with `merbench bank import NAME FOLDER`"


BANKS = Store("noise bank", "banks", "bank.toml", _load, _hint, BUILDERS["banks"], version_of=lambda bank: bank.version)
