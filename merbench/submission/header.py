"""The column names of a submission and its track go in, what is wrong with them comes out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from merbench.corpus.candidates import Candidates
from merbench.errors import Problem, did_you_mean, examples, listed, nearest, plural, printable
from merbench.targets.sheet import Sheet
from merbench.track import Track

COLUMNS_COMPARED = 100
"""For how many columns of a file a near name is searched for."""


def declared_columns(track: Track) -> tuple[str, ...]:
    """Return every column that a submission to a track may use: the id, the targets, the probabilities."""
    chances = track.probability_columns
    return (track.submission.id, *track.columns, *(name for target in chances.values() for name in target))


def header_problems(sheet: Sheet, candidates: Candidates) -> list[Problem]:
    """Return what is wrong with the columns: the id is not first, one is there twice, a target is missing."""
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
        message = f"there is no id column '{id_column}'; columns: {_shown(written)}{did_you_mean(id_column, names)}"
        problems.append(Problem("E201", message))
    counts = Counter(names)
    twice = [name for name in declared_columns(track) if counts[name] > 1]
    problems += examples(twice, lambda name: _repeated(names, name))
    chances = track.probability_columns
    columns = [column for name, target in track.targets.items() for column in target.columns(name)]
    partial = [name for name in columns if any(chance in counts for chance in chances.get(name, ()))]
    absent = [name for name in columns if name not in counts and name not in partial]
    for name in partial:
        problems += _partial_chances(names, name, chances[name])
    undeclared = (
        [name for name in names if name not in declared_columns(track)] if len(absent) == 1 and not problems else []
    )
    other = undeclared[0] if len(undeclared) == 1 else ""
    # Searching for near names is slow: a track and a file may have thousands of columns each.
    problems += examples(absent, lambda name: _absent(names, written, name, chances.get(name, ()), other))
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
    if id_column not in names:
        message = f"the first column is '{first}', it must be the id column '{id_column}'"
        return f"{message}{did_you_mean(id_column, names[1:])}; columns: {_shown(written)}"
    place = list(names).index(id_column) + 1
    hint = "; leave out the index (pandas: to_csv(index=False))" if first in ("", "index", "Unnamed: 0") else ""
    return f"the first column is '{first}', it must be the id column '{id_column}', which is column {place}{hint}"


def _partial_chances(names: Sequence[str], target: str, chances: Sequence[str]) -> list[Problem]:
    """Return what is wrong with the probability columns of a target, some of which are there."""
    absent = [name for name in chances if name not in names]
    if not absent:
        return []
    message = f"of the probability columns, {listed(absent)} are not there; give all {len(chances)} or none"
    others = [name for name in names if name not in chances][:COLUMNS_COMPARED]
    meant = {name: nearest(name, absent) for name in others}
    message += "".join(f"; '{printable(name)}': did you mean '{near}'?" for name, near in meant.items() if near)
    return [Problem("E202", message, column=target)]


def _absent(names: Sequence[str], written: Sequence[str], target: str, chances: Sequence[str], other: str) -> Problem:
    """Return that a target is missing; `other` is the only column that the track does not declare, or empty."""
    instead = f" (nor are its probabilities, {listed(chances)})" if chances else ""
    message = f"the column is missing{instead}; columns: {_shown(written)}"
    message += (
        f"; if '{printable(other)}' holds it: {rename_option(other, target)}" if other else did_you_mean(target, names)
    )
    return Problem("E202", message, column=target)


def rename_option(old: str, new: str) -> str:
    """Return the option that gives a column another name, as a shell reads it."""
    return f"--rename {shlex.quote(f'{printable(old)}={printable(new)}')}"


def undeclared_warning(sheet: Sheet, track: Track, checked: Iterable[str] = ()) -> tuple[Problem, ...]:
    """Return one warning that names every column that the track does not declare and that was not checked either."""
    declared = {*declared_columns(track), *checked}
    undeclared = [name for name in sheet.names if name not in declared]
    if not undeclared:
        return ()
    return (Problem("W201", f"columns that the track does not declare are not used: {_shown(undeclared)}"),)


def _shown(names: Sequence[str]) -> str:
    return listed([f"'{printable(name)}'" for name in names], 12)
