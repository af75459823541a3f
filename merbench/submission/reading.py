"""Any source of a submission goes in, its `Sheet` comes out, with the name it has in messages.

Conventions:
    A column has the name it has in the file until the file is read; from then on it has the track's name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from merbench.errors import InvalidSubmission, Problem, UsageError, did_you_mean, listed, printable
from merbench.submission.content import Budget, Content, Format, read_content
from merbench.submission.delimited import read_delimited
from merbench.submission.header import rename_option
from merbench.submission.jsonl import read_jsonl
from merbench.submission.npz import read_npz
from merbench.submission.parquet import read_parquet
from merbench.submission.sheet import Wanted, decoded_bytes, frame_table, is_list, table_sheet
from merbench.targets.sheet import ITEMS, Sheet
from merbench.track import SubmissionRules

if TYPE_CHECKING:
    import pandas as pd

_READERS: dict[Format, Callable[[Content, Wanted], Sheet]] = {
    "a delimited table": read_delimited,
    "JSON lines": read_jsonl,
    "NPZ": read_npz,
    "Parquet": read_parquet,
}


RELEASED_ARRAYS = ("filenames", "fileitems")
"""Names of the arrays in released open-vocabulary archives: that of the ids, that of the sets of words."""


def read_sheet(
    source: str | Path | pa.Table | pd.DataFrame,
    wanted: Wanted,
    rules: SubmissionRules,
    budget: Budget,
    rename: Mapping[str, str] | None = None,
) -> tuple[str, Sheet, tuple[Problem, ...]]:
    """Return the name of a source, its sheet under the track's names of columns, and warnings about the file.

    Args:
        source: a file, `-` for standard input, an Arrow table or a pandas data frame.
        wanted: the track's columns.
        rules: the track's rules, with other names of its columns.
        budget: what a file may ask for.
        rename: new names of columns, which count as if they were in the file: old name -> new name.

    Raises:
        UsageError: there is no such file, or the source is of no kind that is read.
        InvalidSubmission: the file is refused, or a column cannot be renamed.
    """
    rename = rename or {}
    content = read_content(source, budget) if isinstance(source, (str, Path)) else None
    aliases = rules.aliases
    if content is not None and content.format == "NPZ" and list(wanted.values())[1:] == [ITEMS]:
        aliases = {**dict(zip(RELEASED_ARRAYS, wanted, strict=True)), **aliases}

    def track_name(name: str) -> str:
        new = rename.get(name, name)
        return aliases.get(new, new)

    columns = {name: wanted[track_name(name)] for name in (*wanted, *aliases, *rename) if track_name(name) in wanted}
    if content is not None:
        where, sheet = content.where, _READERS[content.format](content, columns)
    elif isinstance(source, pa.Table) or (
        not isinstance(source, (str, Path)) and hasattr(source, "iloc") and hasattr(source, "columns")
    ):
        where = "table" if isinstance(source, pa.Table) else "data frame"
        n_rows, n_columns = source.shape
        budget.require(where, rows=n_rows, columns=n_columns, cells=n_rows * n_columns)
        ids = [name for name in columns if track_name(name) == rules.id]
        table = source if isinstance(source, pa.Table) else frame_table(source, ids)
        _require_valid(where, table, columns)
        budget.require(where, unpacked_bytes=decoded_bytes(table, columns))
        # pandas reads the blank cells of a text table as nulls, so that they mean the same in a data frame.
        sheet = replace(table_sheet(table, columns), has_blanks=table is not source)
    else:
        raise UsageError(f"a submission is a path, an Arrow table or a pandas data frame, not {type(source).__name__}")
    sheet = _within(where, sheet, budget)
    _require_renamable(where, sheet.names, rename, (*wanted, *aliases))
    sheet, notes = _under_track_names(where, sheet, {name: track_name(name) for name in sheet.names}, rename)
    warnings = content.warnings if content is not None else ()
    return where, replace(sheet, id_column=rules.id), (*warnings, *notes)


def _within(where: str, sheet: Sheet, budget: Budget) -> Sheet:
    """Return a sheet without the columns that have too long a cell, each a problem; raise if there are too many cells.

    All formats are checked here; most readers have counted rows and cells before they build any.
    """
    n_cells, long = 0, {}
    for name, column in sheet.columns.items():
        n_cells += len(column)
        holds_lists = is_list(column.type)
        items = column.flatten() if holds_lists else column
        n_cells += len(items) if holds_lists else 0
        if pa.types.is_string(items.type) or pa.types.is_large_string(items.type):
            lengths = pc.fill_null(pc.binary_length(items), 0)
            longest = pc.max(lengths).as_py() or 0
            if longest > budget.cell_bytes:
                message = f"a cell of {longest:,} bytes; {budget.cell_bytes:,} are allowed"
                row = None if holds_lists else pc.index(lengths, longest).as_py()
                place = Problem("E104", message, column=name)
                long[name] = place if row is None else sheet.row_problem("E104", row, message, name)
    budget.require(where, rows=sheet.n_rows, columns=len(sheet.names), cells=n_cells)
    if not long:
        return sheet
    kept = {name: column for name, column in sheet.columns.items() if name not in long}
    return replace(sheet, columns=kept, problems=(*sheet.problems, *long.values()))


def _require_valid(where: str, table: pa.Table, names: Collection[str]) -> None:
    """Raise `InvalidSubmission` where Arrow's values are not those of their type, which Arrow itself does not check."""
    problems = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            if name in names:
                column.validate(full=True)
        except pa.ArrowException:
            problems.append(Problem("E208", "holds text that is not UTF-8, or an invalid array", column=name))
    if problems:
        raise InvalidSubmission(where, problems)


def _require_renamable(where: str, names: Sequence[str], rename: Mapping[str, str], known: Sequence[str]) -> None:
    """Raise `InvalidSubmission` where a column to be renamed does not exist, or its new name is taken or unknown.

    `known` are the names of columns that the track reads; a column of such a name may be renamed to any other.
    """
    problems = []
    for old, new in rename.items():
        if old not in names and new in names and old in known:
            fault = f"did you mean {rename_option(new, old)}?"
        elif old not in names:
            shown = listed([f"'{printable(name)}'" for name in names], 12)
            fault = f"there is no such column; columns: {shown}{did_you_mean(old, names)}"
        elif names.count(old) > 1:
            fault = f"it occurs {names.count(old)} times"
        elif new in names and new not in rename:
            fault = f"column '{printable(new)}' already exists"
        elif list(rename.values()).count(new) > 1:
            fault = "another column gets this name, too"
        elif new not in known and old not in known:
            shown = listed([f"'{printable(name)}'" for name in known], 12)
            fault = f"the track has no such column; its columns: {shown}{did_you_mean(new, known)}"
        else:
            continue
        problems.append(Problem("E202", f"cannot be renamed to '{printable(new)}': {fault}", column=printable(old)))
    if problems:
        raise InvalidSubmission(where, problems)


def _under_track_names(
    where: str, sheet: Sheet, track_names: Mapping[str, str], rename: Mapping[str, str]
) -> tuple[Sheet, tuple[Problem, ...]]:
    """Return a sheet with the track's names of its columns, and a warning that lists those read under other names.

    Raises:
        InvalidSubmission: the file has a column under two names; without the track's names, all else would be wrong.
    """
    written: dict[str, list[str]] = {}
    for name, column in track_names.items():
        written.setdefault(column, []).append(f"'{printable(name)}'")
    twice = [
        Problem("E202", f"the file has this column under {len(names)} names, {listed(names)}; keep one", column=column)
        for column, names in written.items()
        if len(names) > 1
    ]
    if twice:
        raise InvalidSubmission(where, twice)
    also_read = [
        f"'{printable(name)}' as {column}"
        for name, column in track_names.items()
        if name not in RELEASED_ARRAYS and column != rename.get(name, name)
    ]
    notes = (Problem("W204", f"columns read under other names that the track declares: {listed(also_read)}"),)
    return sheet.renamed(track_names), notes if also_read else ()
