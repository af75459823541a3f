"""A submission, from any source: opened, read, checked, and aligned with the candidates.

Conventions:
    `row_of` is the row of every candidate, `candidate_of` the candidate of every row, -1 for none. The values of a
    `Submission` have one item per candidate, in the order of the candidates, and are those of
    `merbench.metrics.metric`. Checks gather every problem of a stage before the next one starts: the file, its columns,
    then ids and cells together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, candidate_column, open_candidates, values_digest
from merbench.errors import InvalidSubmission, Problem, examples
from merbench.metrics.lists import Lists, Segments, Values, concatenated, offsets_of
from merbench.submission.columns import header_problems, read_sheet, undeclared_warning, unlike_header
from merbench.submission.content import Budget
from merbench.submission.ids import Alignment, Rows, align
from merbench.submission.wrong_track import columns_of, made_for
from merbench.targets import Answers, TargetValues
from merbench.targets.sheet import BrokenRow, Sheet
from merbench.track import Track

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]
Columns = dict[str, pa.Array]


@dataclass(frozen=True, eq=False)
class Submission:
    """One checked table of predictions, one row per candidate."""

    candidates: Candidates  # what was to be predicted
    source: str  # where it was read from
    values: dict[str, Values] = field(repr=False)  # predictions per target
    # per target that came with them, one column per label; not a number where missing
    probabilities: dict[str, NDArray[np.float64]] = field(repr=False)
    dropped: dict[str, Mask] = field(repr=False)  # per target that has such, the candidates whose answer does not count
    warnings: tuple[Problem, ...]  # what a reader must know; never a reason to refuse it
    n_rows: int
    n_extra: int  # rows that are of no candidate and were ignored

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
        candidates: what is to be predicted; of a track, or its name, the test split.
        rename: new names of columns: old name -> new name.

    Raises:
        InvalidSubmission: it has problems; all of them are listed.
        UsageError: no such file.
    """
    if not isinstance(candidates, Candidates):
        candidates = open_candidates(candidates)
    track = candidates.track
    repeated = _repeated_columns(candidates)
    also_read = list(chain.from_iterable(repeated.values()))
    wanted = {**_wanted(track), **dict.fromkeys(also_read, pa.string())}
    where, sheet, warnings = read_sheet(source, wanted, track.submission, Budget.of(candidates), rename)
    problems = _column_problems(where, sheet, candidates)
    alignment = align(sheet, candidates.ids, track.submission)
    if alignment.problems:
        _require_track(where, candidates, made_for(sheet, candidates, int((alignment.candidate_of >= 0).sum())))
    values, cell_problems = _read_targets(sheet, candidates, alignment, repeated)
    problems += cell_problems
    if problems:
        raise InvalidSubmission(where, problems)
    aligned = _aligned(values, alignment, candidates)
    return Submission(
        candidates,
        where,
        {name: item.values for name, item in aligned.items()},
        {name: item.probabilities for name, item in aligned.items() if item.probabilities is not None},
        {name: item.dropped for name, item in aligned.items() if item.dropped is not None},
        (
            *warnings,
            *undeclared_warning(sheet, track, also_read),
            *alignment.warnings,
            *chain.from_iterable(item.warnings for item in values.values()),
        ),
        sheet.n_rows,
        alignment.n_extra,
    )


def _wanted(track: Track) -> dict[str, pa.DataType]:
    """Return the columns to read, each with the type it is best read as."""
    types = {column: target.cell_type for name, target in track.targets.items() for column in target.columns(name)}
    chances = {name: pa.float64() for names in track.probability_columns.values() for name in names}
    return {track.submission.id: pa.string(), **types, **chances}


def _repeated_columns(candidates: Candidates) -> dict[str, Columns]:
    """Return, by target, the columns of the corpus that a submission may repeat; each once, a null as an empty text."""
    columns: dict[str, Columns] = {}
    samples = candidates.samples
    for name, target in candidates.track.targets.items():
        names = target.repeated_columns(samples.column_names)
        if names and list(names) not in [list(other) for other in columns.values()]:
            columns[name] = {x: samples[x].combine_chunks().cast(pa.string()).fill_null("") for x in names}
    return columns


def _column_problems(where: str, sheet: Sheet, candidates: Candidates) -> list[Problem]:
    """Return the problems of rows and columns; raise them if the ids of the rows cannot be read."""
    track = candidates.track
    unread = unlike_header(sheet, track)
    if unread:
        raise InvalidSubmission(where, [unread])
    problems = [*examples(sheet.broken, _broken_row), *header_problems(sheet, candidates), *sheet.problems]
    if problems:
        _require_track(where, candidates, columns_of(sheet, candidates))
    no_ids = track.submission.id not in sheet.columns or any(problem.code == "E201" for problem in problems)
    if no_ids or sheet.names.count(track.submission.id) != 1 or not sheet.n_rows:
        raise InvalidSubmission(where, problems or [Problem("E111", "there are no rows")])
    return problems


def _broken_row(row: BrokenRow) -> Problem:
    return Problem("E206", row.message, line=row.line, id=row.id)


def _require_track(where: str, candidates: Candidates, other: str | None) -> None:
    """Raise where a submission appears to be for another track or split."""
    if other:
        here = f"this is track '{candidates.track.id}', split '{candidates.split}'"
        raise InvalidSubmission(where, [Problem("E112", f"appears to be for {other}; {here}")])


def _read_targets(
    sheet: Sheet, candidates: Candidates, alignment: Alignment, repeated: Mapping[str, Columns]
) -> tuple[dict[str, TargetValues], list[Problem]]:
    """Return the values of every target whose columns exist, row by row, and all problems of ids and cells."""
    track, candidate_of = candidates.track, alignment.candidate_of
    places = pa.array(candidate_of, mask=candidate_of < 0)
    relevant = candidate_of >= 0 if alignment.n_extra else np.ones(sheet.n_rows, dtype=np.bool_)
    problems: list[Problem] = []
    for name, columns in repeated.items():
        of_rows = {column: cells.take(places) for column, cells in columns.items()}
        problems += track.targets[name].repeated_problems(sheet, of_rows)
    problems += alignment.problems

    def of_samples(column: str, use: str) -> pa.Array:
        return candidate_column(candidates, column, use).take(places)

    values: dict[str, TargetValues] = {}
    chances_of = track.probability_columns
    for name, target in track.targets.items():
        chances = chances_of.get(name, ())
        chances = chances if all(column in sheet.columns for column in chances) else ()
        if chances or all(column in sheet.columns for column in target.columns(name)):
            answers = Answers(sheet, name, relevant, chances, track.submission.missing_ids, of_samples)
            values[name] = target.read(answers)
            problems += values[name].problems
    if alignment.has_views:
        message = "several rows of an id are averaged, which needs the probabilities of its labels: columns p_<label>"
        problems += [
            Problem("E202", message, column=name)
            for name, item in values.items()
            if track.targets[name].row_average == "probabilities" and item.probabilities is None
        ]
    return values, problems


def _aligned(
    values: Mapping[str, TargetValues], alignment: Alignment, candidates: Candidates
) -> dict[str, TargetValues]:
    """Return values in the order of the candidates, read-only."""
    missing_ids = candidates.track.submission.missing_ids
    if alignment.in_order:
        return {name: _placed(item, None, missing_ids) for name, item in values.items()}
    row_of = alignment.row_of
    if alignment.has_views:
        n = len(candidates)
        values = {name: _averaged(item, alignment.candidate_of, n) for name, item in values.items()}
        row_of = np.where(row_of < 0, -1, np.arange(n))
    return {name: _placed(item, row_of, missing_ids) for name, item in values.items()}


def _placed(values: TargetValues, row_of: Rows | None, missing_ids: str) -> TargetValues:
    """Return values in the order of the candidates; without `row_of`, row i is candidate i's.

    A candidate without a row is outside the vocabulary, not a number, or an empty list; where missing rows are dropped
    it does not count.
    """
    chances = values.probabilities
    if row_of is None:
        return replace(values, values=_read_only(values.values), probabilities=_read_only(chances))
    missing = row_of < 0
    dropped = values.dropped[row_of] & ~missing if values.dropped is not None else None
    if missing.any() and missing_ids == "dropped":
        dropped = missing if dropped is None else dropped | missing
    return replace(
        values,
        values=_read_only(_taken(values.values, row_of, missing)),
        probabilities=None if chances is None else _read_only(_taken(chances, row_of, missing)),
        dropped=dropped if dropped is not None and dropped.any() else None,
    )


def _averaged(values: TargetValues, candidate_of: Rows, n: int) -> TargetValues:
    """Return one row per candidate: the mean of its rows' probabilities and numbers; the label is the most probable."""
    counts = np.bincount(candidate_of[candidate_of >= 0], minlength=n)
    if values.probabilities is not None:
        table = np.stack([_means(column, candidate_of, counts) for column in values.probabilities.T], axis=1)
        return replace(values, values=table.argmax(1).astype(np.int32), probabilities=table, dropped=None)
    return replace(values, values=_means(np.asarray(values.values), candidate_of, counts), dropped=None)


def _means(column: NDArray[np.float64], candidate_of: Rows, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of every candidate's rows, added in an order that does not depend on that of the file."""
    order = np.lexsort((column, candidate_of))
    order = order[candidate_of[order] >= 0]
    sums = np.bincount(candidate_of[order], weights=column[order], minlength=len(counts))
    return np.asarray(sums / np.maximum(counts, 1))


def _taken(values: Any, row_of: Rows, missing: Mask) -> Any:
    if missing.any() and isinstance(values, (Lists, Segments)):
        nothing, offsets = np.empty(0), offsets_of([0])
        codes = nothing.astype(np.int32)
        segments = Segments(codes, nothing, nothing, offsets)
        empty = Lists(values.words, codes, offsets) if isinstance(values, Lists) else segments
        return concatenated(values, empty)[np.where(missing, len(values), row_of)]
    taken = values[row_of]
    if isinstance(taken, np.ndarray) and missing.any():
        taken[missing] = -1 if taken.dtype.kind == "i" else np.nan
    return taken


def _read_only(values: Any) -> Any:
    """Return values that nobody writes to; -0.0 and 0.0, which are equal, have one digest."""
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "f":
        values = values + 0.0
    values.setflags(write=False)
    return values
