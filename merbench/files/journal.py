"""The journal of a run: one line of JSON for its header, the inputs of the run, then one for each unit of work.

A run that was interrupted, in any way, leaves complete lines and at most one that was cut off, which is not read.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from merbench.errors import IntegrityError, OutputError, UsageError, fault, listed
from merbench.files.writing import require_alone

MOST_LINES = 2_000_000
"""How many units of work a journal may have."""

MOST_LINE_BYTES = 1 << 20
"""How many bytes a line may have."""


def journal_lines(path: Path, is_row: Callable[[Mapping[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """Yield the header of a journal, then its other lines; nothing if there is no journal.

    Args:
        path: of the journal.
        is_row: whether a line after the header is one of this kind of run.

    Raises:
        IntegrityError: a line is not of this kind of run, or too long; or there are too many.
    """
    if not path.is_file():
        return
    remedy = f"remove {path.parent} and start again"
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MOST_LINE_BYTES), b"")):
            if len(line) == MOST_LINE_BYTES or number > MOST_LINES:
                limits = f"{MOST_LINES:,} lines of {MOST_LINE_BYTES:,} bytes are allowed"
                raise IntegrityError(f"{path}: has too long a line, or too many; {limits}; {remedy}")
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise IntegrityError(f"{path}: a line is not JSON; {remedy}") from error
            if not isinstance(row, dict) or (number and not is_row(row)):
                raise IntegrityError(f"{path}: a line is not from a run of merbench; {remedy}")
            yield {sys.intern(key): value for key, value in row.items()}


class Journal:
    """The journal that a run appends to: open it in a `with` block; the folder is made if it is missing."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self._path = path
        self._header = header
        self._file: TextIO | None = None
        self._is_bare = False

    def __enter__(self) -> Journal:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            cut_unfinished_line(self._path)
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {fault(error)}") from error
        try:
            require_alone(self._file.fileno(), f"{self._path.parent}: another run is writing there")
        except UsageError:
            self._file.close()
            raise
        if not self._file.tell():
            self.add(self._header)
            self._is_bare = True
        return self

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one line, at once."""
        assert self._file is not None
        self._is_bare = False
        try:
            self._file.write(json.dumps(row, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {fault(error)}") from error

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()
        is_alone = self._is_bare and list(self._path.parent.iterdir()) == [self._path]
        if is_alone and exception[0] is not None:  # nothing was done: no run is left to be continued
            self._path.unlink()


def cut_unfinished_line(path: Path) -> None:
    """Remove the end of a file that is not a complete line, which a process that was killed has left."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        while size:
            begin = max(size - 65_536, 0)
            file.seek(begin)
            place = file.read(size - begin).rfind(b"\n")
            if place >= 0:
                file.truncate(begin + place + 1)
                return
            size = begin
        file.truncate(0)


def require_same_run(
    folder: Path,
    previous: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    first: Sequence[str] = (),
    remedy: str = "name another output, or remove it",
) -> None:
    """Raise `IntegrityError` if the header of the run in a folder differs from the one of the run to come.

    Args:
        folder: of the run, for the message.
        previous: the header of its journal.
        current: the header of the run to come.
        first: keys that all others follow from; where one of them differs, only these are reported.
        remedy: what the user can do.
    """
    differing = [key for key in sorted({*previous, *current}) if previous.get(key) != current.get(key)]
    if differing:
        shown = [key for key in first if key in differing] or differing
        pairs = [f"{key}: {short(previous.get(key))}, now {short(current.get(key))}" for key in shown]
        raise IntegrityError(f"{folder} has a run with different inputs ({listed(pairs)}); {remedy}")


def short(value: Any) -> str:
    """Return a value of a header for a message, long digests cut."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1…", text)
    return text if len(text) <= 160 else f"{text[:159]}…"
