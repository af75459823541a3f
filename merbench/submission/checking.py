"""A source and the candidates go in, the checked predictions come out, aligned with the candidates.

Conventions:
    Values have one item per candidate, in the order of the candidates, and are those of `merbench.metrics.metric`.
    Checks gather every problem of a stage before the next one starts: the file, its columns, then ids and cells
    together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, candidate_column, open_candidates, values_digest
from merbench.errors import InvalidSubmission, Problem, examples
from merbench.metrics.lists import Values
from merbench.submission.alignment import aligned, averaged
from merbench.submission.content import Budget
from merbench.submission.header import header_problems, undeclared_warning, unlike_header
from merbench.submission.ids import Rows, align
from merbench.submission.reading import read_sheet
from merbench.submission.sheet import Wanted
from merbench.submission.wrong_track import columns_of, made_for
from merbench.targets import Answers, TargetValues
from merbench.targets.sheet import BrokenRow, Sheet
from merbench.track import Track

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Submission:
    """One checked table of predictions, one row per candidate.

    Attributes:
        candidates: what was to be predicted.
        source: where it was read from.
        values: predictions per target.
        probabilities: per categorical target that came with them, one column per label; not a number where missing.
        dropped: per target that has such, the candidates whose answer does not count.
        warnings: what a reader must know; never a reason to refuse it.
        n_rows: rows of the file.
        n_extra: rows that are of no candidate and were ignored.
    """

    candidates: Candidates
    source: str
    values: dict[str, Values] = field(repr=False)
    probabilities: dict[str, NDArray[np.float64]] = field(repr=False)
    dropped: dict[str, Mask] = field(repr=False)
    warnings: tuple[Problem, ...]
    n_rows: int
    n_extra: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, values and probabilities: neither row order nor file format change it."""
        chances = {f"p_{name}": table for name, table in self.probabilities.items()}
        masks = {f"dropped {name}": mask.view(np.uint8) for name, mask in self.dropped.items()}
        return values_digest(self.candidates.ids_digest, {**self.values, **chances, **masks})


def read_submission(
    source: str | Path | pa.Table | pd.DataFrame,
    candidates: Candidates | Track | str | Path,
    *,
    rename: Mapping[str, str] | None = None,
) -> Submission:
    """Return a participant's predictions after every check.

    Args:
        source: a file, `-` for standard input, an Arrow table or a pandas data frame.
        candidates: what is to be predicted; a track, or its name, stands for its test split.
        rename: new names of columns: old name -> new name.

    Raises:
        InvalidSubmission: it has problems; all of them are listed.
        UsageError: there is no such file.
    """
    if not isinstance(candidates, Candidates):
        candidates = open_candidates(candidates)
    track = candidates.track
    rules = track.submission
    repeated = _repeated_columns(candidates)
    wanted = {**_wanted(track), **dict.fromkeys(chain.from_iterable(repeated.values()), pa.string())}
    where, sheet, warnings = read_sheet(source, wanted, rules, Budget.of(candidates), rename)
    problems = _column_problems(where, sheet, candidates)
    alignment = align(sheet, candidates.ids, rules)
    elsewhere = made_for(sheet, candidates, int((alignment.candidate_of >= 0).sum())) if alignment.problems else None
    if elsewhere:
        raise _misdirected(where, candidates, elsewhere)
    places = pa.array(alignment.candidate_of, mask=alignment.candidate_of < 0)
    relevant = alignment.candidate_of >= 0 if alignment.n_extra else np.ones(sheet.n_rows, dtype=np.bool_)
    found = _target_values(sheet, candidates, alignment.candidate_of, relevant)
    for name, columns in repeated.items():
        of_rows = {column: cells.take(places) for column, cells in columns.items()}
        problems += track.targets[name].repeated_problems(sheet, of_rows)
    problems += [*alignment.problems, *(problem for values in found.values() for problem in values.problems)]
    known = alignment.candidate_of[alignment.candidate_of >= 0]
    several = rules.duplicate_ids == "mean" and np.bincount(known, minlength=1).max() > 1
    if several:
        problems += _unaveraged(track, found)
    if problems:
        raise InvalidSubmission(where, problems)
    if several:
        found = {name: averaged(values, alignment.candidate_of, len(candidates)) for name, values in found.items()}
        row_of: Rows | None = np.where(alignment.row_of < 0, -1, np.arange(len(candidates)))
    else:
        row_of = None if alignment.in_order else alignment.row_of
    placed = {name: aligned(values, row_of, rules.missing_ids) for name, values in found.items()}
    undeclared = undeclared_warning(sheet, track, chain.from_iterable(repeated.values()))
    of_cells = (warning for values in found.values() for warning in values.warnings)
    return Submission(
        candidates,
        where,
        {name: values.values for name, values in placed.items()},
        {name: values.probabilities for name, values in placed.items() if values.probabilities is not None},
        {name: values.dropped for name, values in placed.items() if values.dropped is not None},
        (*warnings, *undeclared, *alignment.warnings, *of_cells),
        sheet.n_rows,
        alignment.n_extra,
    )


def _repeated_columns(candidates: Candidates) -> dict[str, dict[str, pa.Array]]:
    """Return, by target, the columns of the corpus that a submission may repeat; each once, a null as an empty text."""
    columns: dict[str, dict[str, pa.Array]] = {}
    for name, target in candidates.track.targets.items():
        names = target.repeated_columns(candidates.samples.column_names)
        if names and list(names) not in [list(other) for other in columns.values()]:
            samples = candidates.samples
            columns[name] = {x: samples[x].combine_chunks().cast(pa.string()).fill_null("") for x in names}
    return columns


def _unaveraged(track: Track, found: dict[str, TargetValues]) -> list[Problem]:
    """Return the targets whose rows of one id cannot be averaged: labels without probabilities."""
    message = "several rows of an id are averaged, which needs the probabilities of its labels"
    return [
        Problem("E202", f"{message}: columns p_<label>", column=name)
        for name, values in found.items()
        if track.targets[name].row_average == "probabilities" and values.probabilities is None
    ]


def _column_problems(where: str, sheet: Sheet, candidates: Candidates) -> list[Problem]:
    """Return what is wrong with rows and columns; raise it where the ids of the rows cannot be looked at."""
    track = candidates.track
    unread = unlike_header(sheet, track)
    if unread:
        raise InvalidSubmission(where, [unread])
    problems = [*examples(sheet.broken, _broken_row), *header_problems(sheet, candidates), *sheet.problems]
    elsewhere = columns_of(sheet, candidates) if problems else None
    if elsewhere:
        raise _misdirected(where, candidates, elsewhere)
    no_ids = track.submission.id not in sheet.columns or any(problem.code == "E201" for problem in problems)
    if no_ids or sheet.names.count(track.submission.id) != 1 or not sheet.n_rows:
        raise InvalidSubmission(where, problems or [Problem("E111", "there are no rows")])
    return problems


def _misdirected(where: str, candidates: Candidates, elsewhere: str) -> InvalidSubmission:
    here = f"this is track '{candidates.track.id}', split '{candidates.split}'"
    return InvalidSubmission(where, [Problem("E112", f"looks made for {elsewhere}; {here}")])


def _wanted(track: Track) -> Wanted:
    """Return the columns to read, each with the type it is best read as."""
    types = {column: target.cell_type for name, target in track.targets.items() for column in target.columns(name)}
    chances = {name: pa.float64() for names in track.probability_columns.values() for name in names}
    return {track.submission.id: pa.string(), **types, **chances}


def _broken_row(row: BrokenRow) -> Problem:
    return Problem("E206", row.message, line=row.line, id=row.id)


def _target_values(sheet: Sheet, candidates: Candidates, candidate_of: Rows, relevant: Mask) -> dict[str, TargetValues]:
    """Return the values of every target whose columns are there; the others are problems of the header."""
    track, values = candidates.track, dict[str, TargetValues]()
    places = pa.array(candidate_of, mask=candidate_of < 0)

    def of_samples(column: str, use: str) -> pa.Array:
        return candidate_column(candidates, column, use).take(places)

    for name, target in track.targets.items():
        chances = track.probability_columns.get(name, ())
        chances = chances if all(column in sheet.columns for column in chances) else ()
        if chances or all(column in sheet.columns for column in target.columns(name)):
            values[name] = target.read(
                Answers(sheet, name, relevant, chances, track.submission.missing_ids, of_samples)
            )
    return values
