"""A bank goes into a folder and comes out of it: `bank.toml`, `noises.parquet`, and sounds that do not stay elsewhere.

Conventions:
    `bank.toml` holds name, version, source, licence, the digest of what the table says, and `folder` where the sounds
    were left in a folder of their own. `noises.parquet` has a row per sound, in the order of their files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from merbench.banks.bank import Bank, Sound
from merbench.errors import IntegrityError, MalformedFile, UsageError
from merbench.files import arrow_file, atomic_path, read_parquet, read_toml, sha256_bytes, toml_text, write_text

FILE_NAME = "bank.toml"
TABLE = "noises.parquet"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")

_SCHEMA = pa.schema(
    {
        "file": pa.string(),
        "part": pa.string(),
        "class": pa.string(),
        "speaker": pa.string(),
        "licence": pa.string(),
        "rate_hz": pa.int64(),
        "channels": pa.int64(),
        "n_samples": pa.int64(),
        "n_bytes": pa.int64(),
        "rms": pa.float64(),
        "sha256": pa.string(),
    }
)


def write_bank(folder: Path, bank: Bank) -> None:
    """Write the declaration and the table of a bank into a folder; its sounds are there already, or stay elsewhere."""
    rows = [dict(zip(_SCHEMA.names, astuple(sound), strict=True)) for sound in bank.sounds]
    table = pa.Table.from_pylist(rows, _SCHEMA)
    with atomic_path(folder / TABLE) as beside, arrow_file(beside, "wb") as file:
        pq.write_table(table, file)
    stated = {"name": bank.name, "version": bank.version, "source": bank.source, "licence": bank.licence}
    if bank.folder != folder:
        stated["folder"] = str(bank.folder)
    stated["digest"] = _digest(bank.sounds)
    write_text(folder / FILE_NAME, toml_text(stated))


def read_stored(folder: Path) -> Bank:
    """Return the bank in a folder; its sounds are not looked at.

    Raises:
        UsageError: the `bank.toml` cannot be read, or does not say what it should.
        IntegrityError: the table cannot be read, or is not the one that was recorded.
    """
    stated = _declaration(folder / FILE_NAME)
    sounds = _sounds(folder / TABLE)
    if _digest(sounds) != stated["digest"]:
        raise IntegrityError(f"{folder / TABLE}: the table changed since the bank was made; import the bank again")
    return Bank(
        stated["name"],
        Path(stated.get("folder", folder)),
        sounds,
        version=stated["version"],
        source=stated["source"],
        licence=stated["licence"],
    )


def _declaration(path: Path) -> Mapping[str, str]:
    stated = read_toml(path)
    needed = ("name", "version", "source", "licence", "digest")
    if not all(isinstance(stated.get(key), str) for key in needed) or not isinstance(stated.get("folder", ""), str):
        raise UsageError(f"{path}: does not state {', '.join(needed)} as text; import the bank again")
    return stated


MOST_SOUNDS = 1_000_000
"""How many sounds a bank may have."""


def _sounds(path: Path) -> tuple[Sound, ...]:
    try:
        table = read_parquet(path, most_rows=MOST_SOUNDS)
    except MalformedFile as error:
        raise IntegrityError(f"{path}: {error}") from error
    if not table.schema.equals(_SCHEMA) or any(column.null_count for column in table.columns):
        raise IntegrityError(f"{path}: does not hold the columns {', '.join(_SCHEMA.names)}")
    sounds = tuple(Sound(*row.values()) for row in table.to_pylist())
    for sound in sounds:
        place = PurePosixPath(sound.file)
        if place.is_absolute() or ".." in place.parts:
            raise IntegrityError(f"{path}: {sound.file} leads out of the bank's folder")
    return sounds


def _digest(sounds: Sequence[Sound]) -> str:
    rows: list[tuple[Any, ...]] = [astuple(sound) for sound in sounds]
    return sha256_bytes(json.dumps(rows, ensure_ascii=False).encode())
