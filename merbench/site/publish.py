"""A board goes in, the files of the published board come out, or what differs between them and those of a folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

from merbench.errors import DeclarationError, printable
from merbench.files import write_text
from merbench.leaderboard.board import Board
from merbench.leaderboard.entry import output_problems
from merbench.site.page import board_page

FORMS = {
    "markdown": ("leaderboard.md", Board.to_markdown),
    "csv": ("leaderboard.csv", Board.to_csv),
    "json": ("leaderboard.json", Board.to_json),
    "html": ("leaderboard.html", board_page),
}
"""The forms of a published board: the name of the file and what renders it."""


def board_files(board: Board, forms: Collection[str] = tuple(FORMS)) -> dict[str, str]:
    """Return the contents of a board's files by name."""
    return {name: render(board) for form, (name, render) in FORMS.items() if form in forms}


def require_writable(folder: Path, files: Collection[str]) -> None:
    """Raise `DeclarationError` where a board's file would be written through a link, or where something else is."""
    if problems := list(output_problems(folder, files)):
        raise DeclarationError(printable(str(folder), 300), problems)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a board, each as a whole or not at all.

    Raises:
        DeclarationError: the folder is a link, or something that is not a plain file is where one belongs.
        OutputError: a file cannot be written.
    """
    require_writable(folder, files)
    for name, text in files.items():
        write_text(folder / name, text)


def stale_files(folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for every file of a folder that does not have the bytes it should have.

    Raises:
        DeclarationError: as for `write_files`.
    """
    require_writable(folder, files)
    for name, text in files.items():
        path = folder / name
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            yield f"{path}: is missing"
            continue
        if found != text.encode():
            yield f"{path}: {_first_difference(found.decode(errors='replace'), text)}"


def _first_difference(found: str, expected: str) -> str:
    lines = zip_longest(found.split("\n"), expected.split("\n"))
    number, (old, new) = next((n, pair) for n, pair in enumerate(lines, 1) if pair[0] != pair[1])
    return f"line {number} is {_quoted(old)}, should be {_quoted(new)}"


def _quoted(line: str | None) -> str:
    if line is None:
        return "missing"
    return repr(line if len(line) <= 80 else f"{line[:79]}…")
