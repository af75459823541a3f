"""The name of stored groups goes in, a `Groups` comes out of its folder in the data home, and back.

Conventions:
    A folder holds `groups.toml` (what a `Groups` states, the digest of its answers, SHA-256 of the file) and
    `answers.parquet`: `run` int32, `key` string, `groups` list of lists of strings, sorted by run and key. Both are
    replaced together or not at all, and the file is checked when it is read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from merbench.errors import IntegrityError, MalformedFile, UnknownName, UsageError, plural, printable
from merbench.files import (
    atomic_folder,
    data_home,
    expanded,
    is_path,
    read_parquet,
    read_toml,
    read_verified,
    sha256_bytes,
    toml_text,
    write_bytes,
    write_text,
)
from merbench.synonyms.groups import KEYS, Answer, Groups

FILE_NAME = "groups.toml"
ANSWERS = "answers.parquet"

MOST_ANSWERS, MOST_BYTES = 1_000_000, 1_000_000_000
"""How many answers stored groups may have, and what they may unpack to."""

_SCHEMA = pa.schema([("run", pa.int32()), ("key", pa.string()), ("groups", pa.list_(pa.list_(pa.string())))])
_TEXTS = ("name", "source", "model", "prompt_digest", "decoding", "keys", "digest")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")


def groups_home() -> Path:
    """Return the folder of the data home that holds stored groups, one folder each."""
    return data_home() / "groups"


def list_groups() -> tuple[str, ...]:
    """Return the names of the stored groups of the data home, sorted."""
    there = (path.parent.name for path in groups_home().glob(f"*/{FILE_NAME}"))
    return tuple(sorted(name for name in there if not name.startswith(".")))


def folder_of(name: str) -> Path:
    """Return where the data home keeps groups of this name; raise `UsageError` where it is no name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{printable(name)}' is no name of groups; a-z, 0-9 and - are allowed, 39 at most")
    return groups_home() / name


def open_groups(name_or_path: str | Path, relative_to: Path | None = None) -> Groups:
    """Return stored groups by their name in the data home, or by the path of their folder.

    A `Path`, and text with a separator in it (`./groups`), is a path.

    Args:
        name_or_path: name, or path.
        relative_to: folder that a relative path starts from; the working directory when None.

    Raises:
        UnknownName: the data home has no groups of this name.
        IntegrityError: a file changed since it was written.
        UsageError: the path is no folder of groups, or its `groups.toml` cannot be read.
    """
    if is_path(name_or_path):
        folder = (relative_to or Path()) / expanded(name_or_path)
        if not (folder / FILE_NAME).is_file():
            raise UsageError(f"{folder}: there is no {FILE_NAME} in it")
        return read_groups(folder)
    name, folder = str(name_or_path), groups_home() / name_or_path
    if not _NAME.fullmatch(name) or not (folder / FILE_NAME).is_file():
        hint = "`merbench groups import` and `merbench groups fill` make them"
        raise UnknownName("groups", name, list_groups(), hint=hint)
    return read_groups(folder)


def read_groups(folder: Path) -> Groups:
    """Return the groups of a folder; see `open_groups`."""
    path = folder / FILE_NAME
    stated = _declaration(path)
    n_runs, digest = len(stated["dropped"]), stated["digest"]
    runs = _runs(read_verified(folder / ANSWERS, stated["files"][ANSWERS]), n_runs, folder / ANSWERS)
    texts = {key: stated[key] for key in _TEXTS if key != "digest"}
    groups = Groups(**texts, runs=runs, dropped=tuple(stated["dropped"]))
    if groups.digest != digest:
        raise IntegrityError(f"{path}: the answers have the digest {groups.digest[:12]}…, recorded {digest[:12]}…")
    return groups


def write_groups(folder: Path, groups: Groups) -> None:
    """Write groups to a folder; what stood there goes at once, when all is written."""
    data = _parquet(groups)
    stated = {**{key: getattr(groups, key) for key in _TEXTS}, "dropped": list(groups.dropped)}
    with atomic_folder(folder, replace=True) as beside:
        write_bytes(beside / ANSWERS, data)
        write_text(beside / FILE_NAME, toml_text({**stated, "files": {ANSWERS: sha256_bytes(data)}}))


def _parquet(groups: Groups) -> bytes:
    rows = [(run, key, answers[key]) for run, answers in enumerate(groups.runs) for key in sorted(answers)]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    file = io.BytesIO()
    pq.write_table(pa.table(columns, schema=_SCHEMA), file, compression="zstd")
    return file.getvalue()


def _runs(data: bytes, n_runs: int, path: Path) -> tuple[Mapping[str, Answer], ...]:
    try:
        table = read_parquet(data, most_rows=MOST_ANSWERS, most_bytes=MOST_BYTES)
    except MalformedFile as error:
        raise UsageError(f"{path}: {error}") from error
    if not table.schema.equals(_SCHEMA) or any(map(_holds_null, table.columns)):
        raise UsageError(f"{path}: does not hold the columns {', '.join(_SCHEMA.names)}")
    runs: tuple[dict[str, Answer], ...] = tuple({} for _ in range(n_runs))
    for run, key, groups in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if not 0 <= run < n_runs:
            raise IntegrityError(f"{path}: holds answers of run {run}; {FILE_NAME} states {plural(n_runs, 'run')}")
        runs[run][key] = tuple(tuple(group) for group in groups)
    return runs


def _holds_null(column: pa.ChunkedArray) -> bool:
    """Return whether an item of a column, or of a list in it, is missing."""
    while pa.types.is_list(column.type):
        if column.null_count:
            return True
        column = pc.list_flatten(column)
    return bool(column.null_count)


def _declaration(path: Path) -> dict[str, Any]:
    stated = read_toml(path)
    match stated:
        case {"dropped": [int(), *_] as dropped, "files": {"answers.parquet": str()}}:
            if all(isinstance(n, int) for n in dropped) and all(isinstance(stated.get(key), str) for key in _TEXTS):
                if stated["keys"] in KEYS:
                    return stated
    needed = f"{', '.join(_TEXTS)}, dropped (a number per run) and the digest of {ANSWERS}"
    raise UsageError(f"{path}: does not state {needed}; keys is {' or '.join(KEYS)}")
