"""Options that several commands take, options of two parts with = between them, and how lists are printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from merbench.report import ReportTable

Workers = Annotated[int, typer.Option(metavar="N", min=1, help="Processes on this machine.")]
Engine = Annotated[str, typer.Option(metavar="ENGINE", help="local, or dask://host:port, a running cluster.")]


def _completed(noun: str, incomplete: str) -> list[str]:
    """Return the names of tracks or baselines that begin as what was typed; folders are left to the shell."""
    from merbench.files import list_folders

    return [folder.name for folder in list_folders(noun) if folder.name.startswith(incomplete)]


TrackArgument = Annotated[
    str,
    typer.Argument(
        metavar="TRACK",
        help="Name or folder of a track.",
        autocompletion=lambda incomplete: _completed("track", incomplete),
    ),
]
BaselineOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Name or folder of a baseline.",
        autocompletion=lambda incomplete: _completed("baseline", incomplete),
    ),
]


class ListFormat(StrEnum):
    """Forms of a list."""

    table = "table"
    json = "json"


ListFormatOption = Annotated[ListFormat, typer.Option("--format", help="A table, or JSON for programs.")]

MOST_SEED = (1 << 63) - 1
"""The largest seed, which TOML and every library can hold."""

TWO_PARTS = "two parts with = between them are needed"
MODALITY_NAME = "write MODALITY=NAME, such as audio=hubert"


def pairs(
    option: str, items: Sequence[str] | None, wanted: str = TWO_PARTS, *, by_right: bool = False, at_last: bool = False
) -> dict[str, str]:
    """Return what is left of each = -> what is right of it.

    Args:
        option: the option, as it is typed.
        items: what was given to it.
        wanted: what is told where an item has no two parts.
        by_right: whether what is right is the key, which leads to what is left.
        at_last: whether the last = parts them, so that what is left may have others.

    Raises:
        UsageError: an item has no two parts; a key is given twice.
    """
    from merbench.errors import UsageError

    found: dict[str, str] = {}
    for item in items or ():
        left, equals, right = item.rpartition("=") if at_last else item.partition("=")
        if not (left and equals and right):
            raise UsageError(f"{option} {item}: {wanted}")
        key, value = (right, left) if by_right else (left, right)
        if key in found:
            raise UsageError(f"{option} {item}: '{key}' is given twice")
        found[key] = value
    return found


def terminal_width() -> int | None:
    """Return how many characters fit on a line of the terminal; None where output is no terminal."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_line(text: str) -> None:
    """Print one line: a line end in it, which a path may hold, is escaped."""
    from merbench.errors import printable

    print(printable(text, None))


def print_table(table: ReportTable) -> None:
    """Print a table of text, as wide as the terminal at most."""
    print(table.to_text(align="left", width=terminal_width()))


def print_json(name: str, **lists: Sequence[Mapping[str, Any]]) -> None:
    """Print lists of records as JSON that names what it is: `{"schema": "merbench.tracks/1", "tracks": [...]}`."""
    from merbench.errors import json_text
    from merbench.files import write_text

    write_text("-", json_text({"schema": f"merbench.{name}/1", **lists}))


def print_rows(name: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]], form: ListFormat) -> None:
    """Print rows of text as a table, or as JSON with a record for each."""
    from merbench.report import ReportTable

    if form is ListFormat.json:
        print_json(name, **{name: [dict(zip(columns, row, strict=True)) for row in rows]})
    else:
        print_table(ReportTable("", tuple(columns), rows))
