"""The columns of a submission: read under the track's names, renamed, and their problems.

Conventions:
    A column has the name it has in the file until the file is read; from then on it has the track's name.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.candidates import Candidates
from merbench.errors import (
    InvalidSubmission,
    Problem,
    UsageError,
    did_you_mean,
    examples,
    listed,
    nearest,
    plural,
    printable,
)
from merbench.submission.arrays import Wanted, decoded_bytes, frame_table, read_npz, table_sheet
from merbench.submission.content import Budget, Content, Format, read_content
from merbench.submission.parquet import read_parquet
from merbench.submission.text_files import read_delimited, read_jsonl
from merbench.targets.sheet import ITEMS, Sheet, is_list, is_text
from merbench.track import SubmissionRules, Track

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

COLUMNS_COMPARED = 100
"""For how many columns of a file a near name is searched for."""

COLUMNS_SHOWN = 12


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
        UsageError: no such file, or the source is of no kind that is read.
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
        where, sheet, warnings = content.where, _READERS[content.format](content, columns), content.warnings
    else:
        ids = [name for name in columns if track_name(name) == rules.id]
        where, sheet = _table_sheet(source, columns, ids, budget)
        warnings = ()
    sheet = _within(where, sheet, budget)
    _require_renamable(where, sheet.names, rename, (*wanted, *aliases))
    sheet, notes = _under_track_names(where, sheet, {name: track_name(name) for name in sheet.names}, rename)
    return where, replace(sheet, id_column=rules.id), (*warnings, *notes)


def _table_sheet(
    source: pa.Table | pd.DataFrame, columns: Wanted, ids: Collection[str], budget: Budget
) -> tuple[str, Sheet]:
    is_table = isinstance(source, pa.Table)
    if not is_table and not (hasattr(source, "iloc") and hasattr(source, "columns")):
        raise UsageError(f"a submission is a path, an Arrow table or a pandas data frame, not {type(source).__name__}")
    where = "table" if is_table else "data frame"
    n_rows, n_columns = source.shape
    budget.require(where, rows=n_rows, columns=n_columns, cells=n_rows * n_columns)
    table = source if is_table else frame_table(source, ids)
    _require_valid(where, table, columns)
    budget.require(where, unpacked_bytes=decoded_bytes(table, columns))
    # pandas reads the blank cells of a text table as nulls, so that they mean the same in a data frame.
    return where, replace(table_sheet(table, columns), has_blanks=not is_table)


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
        if is_text(items.type):
            lengths = pc.fill_null(pc.binary_length(items), 0)
            longest = pc.max(lengths).as_py() or 0
            if longest > budget.cell_bytes:
                message = f"a cell of {longest:,} bytes; {budget.cell_bytes:,} are allowed"
                row = None if holds_lists else pc.index(lengths, longest).as_py()
                problem = Problem("E104", message, column=name)
                long[name] = problem if row is None else sheet.row_problem("E104", row, message, name)
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
            problems.append(Problem("E208", "contains text that is not UTF-8, or an invalid array", column=name))
    if problems:
        raise InvalidSubmission(where, problems)


def _require_renamable(where: str, names: Sequence[str], rename: Mapping[str, str], known: Sequence[str]) -> None:
    """Raise `InvalidSubmission` if a column to be renamed does not exist, or its new name is taken or unknown.

    `known` are the names of columns that the track reads; a column of such a name may be renamed to any other.
    """
    problems = []
    for old, new in rename.items():
        if old not in names and new in names and old in known:
            fault = f"did you mean {rename_option(new, old)}?"
        elif old not in names:
            fault = f"no such column; columns: {_shown(names)}{did_you_mean(old, names)}"
        elif names.count(old) > 1:
            fault = f"it occurs {names.count(old)} times"
        elif new in names and new not in rename:
            fault = f"column '{printable(new)}' already exists"
        elif list(rename.values()).count(new) > 1:
            fault = "another column gets this name, too"
        elif new not in known and old not in known:
            fault = f"the track has no such column; its columns: {_shown(known)}{did_you_mean(new, known)}"
        else:
            continue
        problems.append(Problem("E202", f"cannot be renamed to '{printable(new)}': {fault}", column=printable(old)))
    if problems:
        raise InvalidSubmission(where, problems)


def rename_option(old: str, new: str) -> str:
    """Return the option that gives a column another name, as a shell reads it."""
    return f"--rename {shlex.quote(f'{printable(old)}={printable(new)}')}"


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


def header_problems(sheet: Sheet, candidates: Candidates) -> list[Problem]:
    """Return the problems of the columns: the id is not first, one occurs twice, a target is missing."""
    names, written, track = list(sheet.names), sheet.written or sheet.names, candidates.track
    id_column = track.submission.id
    problems = []
    if not names:
        return []
    if sheet.ordered and names[0] != id_column and candidates.ids.index(names[0]).as_py() >= 0:
        message = f"the first line is a row ('{printable(names[0])}'); above it, a header must name the columns"
        return [Problem("E201", f"{message}: {','.join((id_column, *track.targets))}")]
    if sheet.ordered and names[:1] != [id_column]:
        problems.append(Problem("E201", _wrong_first(names, written, id_column)))
    elif id_column not in names:
        message = f"no id column '{id_column}'; columns: {_shown(written)}{did_you_mean(id_column, names)}"
        problems.append(Problem("E201", message))
    counts, declared = Counter(names), track.submission_columns
    problems += examples([name for name in declared if counts[name] > 1], lambda name: _repeated(names, name))
    chances = track.probability_columns
    columns = [column for name, target in track.targets.items() for column in target.columns(name)]
    partial = [name for name in columns if any(chance in counts for chance in chances.get(name, ()))]
    absent = [name for name in columns if name not in counts and name not in partial]
    for name in partial:
        problems += _partial_chances(names, name, chances[name])
    for name, metric in track.scored_by_probabilities.items():
        if name not in absent and name not in partial:
            message = f"the columns of its probabilities are missing: {listed(chances[name])}; {metric} needs them"
            problems.append(Problem("E202", message, column=name))
    undeclared = [name for name in names if name not in declared] if len(absent) == 1 and not problems else []
    other = undeclared[0] if len(undeclared) == 1 else ""
    # Columns with one label each may be named as those of a categorical target's probabilities are.
    as_chances = {
        column: f"p_{column.removeprefix(f'{name}_')}"
        for name, target in track.targets.items()
        for column in target.columns(name)
    }
    meant = {column: chance for column, chance in as_chances.items() if chance in counts and chance not in declared}
    # Searching for near names is slow: a track and a file may have thousands of columns each.
    problems += examples(
        absent, lambda name: _absent(names, written, name, chances.get(name, ()), meant.get(name, other))
    )
    return problems


def _repeated(names: Sequence[str], name: str) -> Problem:
    places = [str(i) for i, other in enumerate(names, 1) if other == name]
    return Problem("E202", f"occurs {len(places)} times (columns {listed(places)})", column=name)


def unlike_header(sheet: Sheet, track: Track) -> Problem | None:
    """Return what is wrong where every row has a cell per column of the track, and the header another number of names.

    So it is where a challenge's form names the classes in the header, and has one label per row.
    """
    columns = (track.submission.id, *track.columns)
    fits = all(row.n_cells == len(columns) for row in sheet.broken)
    if sheet.n_rows or not sheet.broken or not fits:
        return None
    per_row = "one label" if len(columns) == 2 else f"{len(columns) - 1} answers"
    message = f"the header has {plural(len(sheet.names), 'cell')} and every row {len(columns)}: {per_row} per row"
    return Problem("E206", f"{message}; write the header {','.join(columns)}", line=1)


def _wrong_first(names: Sequence[str], written: Sequence[str], id_column: str) -> str:
    first = printable(written[0]) if written else ""
    message = f"the first column is '{first}', it must be the id column '{id_column}'"
    if id_column not in names:
        return f"{message}{did_you_mean(id_column, names[1:])}; columns: {_shown(written)}"
    hint = "; leave out the index (pandas: to_csv(index=False))" if first in ("", "index", "Unnamed: 0") else ""
    return f"{message}, which is column {names.index(id_column) + 1}{hint}"


def _partial_chances(names: Sequence[str], target: str, chances: Sequence[str]) -> list[Problem]:
    """Return the problems of the probability columns of a target, some of which exist."""
    absent = [name for name in chances if name not in names]
    if not absent:
        return []
    message = f"of the probability columns, {listed(absent)} are missing; give all {len(chances)} or none"
    others = [name for name in names if name not in chances][:COLUMNS_COMPARED]
    meant = {name: nearest(name, absent) for name in others}
    message += "".join(f"; '{printable(name)}': did you mean '{near}'?" for name, near in meant.items() if near)
    return [Problem("E202", message, column=target)]


def _absent(names: Sequence[str], written: Sequence[str], target: str, chances: Sequence[str], other: str) -> Problem:
    """Return that a target is missing; `other` is the only column that the track does not declare, or empty."""
    instead = f" (nor are its probabilities, {listed(chances)})" if chances else ""
    option = f"; if it is '{printable(other)}': {rename_option(other, target)}"
    hint = option if other else did_you_mean(target, names)
    return Problem("E202", f"the column is missing{instead}; columns: {_shown(written)}{hint}", column=target)


def undeclared_warning(sheet: Sheet, track: Track, checked: Iterable[str] = ()) -> tuple[Problem, ...]:
    """Return one warning that names every column that the track does not declare and that was not checked either."""
    declared = {*track.submission_columns, *checked}
    undeclared = [name for name in sheet.names if name not in declared]
    if not undeclared:
        return ()
    return (Problem("W201", f"columns that the track does not declare are not used: {_shown(undeclared)}"),)


def _shown(names: Sequence[str]) -> str:
    return listed([f"'{printable(name)}'" for name in names], COLUMNS_SHOWN)
