"""A target that is labelled stretches of a sample's time: `segments`.

Conventions:
    A cell is text (`real-0.00-1.25 fake-1.25-2.5`, in any order), or a list of structs with the fields `label`,
    `start_s` and `end_s`, in seconds. A label may contain hyphens, but no space, comma or semicolon. Segments keep the
    order of their cell. An empty cell has no segments, and is not wrong. A cell with an error has no segments either,
    and one message, about its first error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import Problem, UsageError, did_you_mean, listed, printable
from merbench.files.toml import toml_value
from merbench.metrics.lists import Offsets, Segments, concatenated, offsets_of
from merbench.metrics.segments import Located
from merbench.targets.cells import MOST_CELLS, BadCell, cell_problems, require_readable, shifted
from merbench.targets.drafts import Draft, DraftColumn, label_lines
from merbench.targets.sheet import SEGMENT_FIELDS, STRETCHES, blocks, is_list, is_text
from merbench.targets.target import LABELS_SHOWN, Answers, Labels, ReferenceColumn, Target, TargetValues, target_type

END_TOLERANCE_S = 0.01
"""How far a segment may pass the end of its sample: ends are written with two decimals."""

CELLS_OF_SEGMENT = 3
"""How many cells a segment counts for: its label, where it begins and where it ends."""

FORM = "segments are written label-start-end in seconds, such as {0}-0.00-1.25, with spaces between them"

_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_SEGMENT = rf"^(?P<label>[^,;]+?)-(?P<start_s>{_NUMBER})-(?P<end_s>{_NUMBER})$"


@target_type
class SegmentsTarget(Target):
    """Labelled stretches of a sample's time."""

    metric_kind = "segments"
    cell_type = STRETCHES
    draft_order = 4

    type: Literal["segments"]
    labels: Labels  # the vocabulary
    duration: str | None = None  # the corpus column that contains a sample's length in seconds; no segment may pass it

    def described(self) -> str:
        return f"segments label-start-end in seconds, separated by spaces, or none; labels: {', '.join(self.labels)}"

    def example(self, row: int) -> tuple[str | float, ...]:
        return (f"{self.labels[0]}-0.00-0.50 {self.labels[1]}-0.50-1.00",)

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return the F1 of the seconds of every sample, of the label that the metric is about."""
        return self.sample_columns(reference, prediction, prepared).get("f1")

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        return prepared.sample_columns if isinstance(prepared, Located) else {}

    def read(self, answers: Answers) -> TargetValues:
        """Return the segments, none of which passes the end of its sample."""
        column, durations = answers.column, None
        if self.duration is not None and answers.of_samples is not None:
            durations = answers.of_samples(self.duration, "with the durations of samples")
        parts: list[Segments] = []
        n_cells = 0
        bad: list[BadCell] = []
        for block in blocks(column):
            segments, wrong = segment_lists(column[block], self.labels, None if durations is None else durations[block])
            parts.append(segments)
            n_cells += CELLS_OF_SEGMENT * len(segments.codes)
            if n_cells > MOST_CELLS:
                message = f"asks for more than {MOST_CELLS // CELLS_OF_SEGMENT:,} segments"
                nothing = np.empty(0)
                offsets = offsets_of(np.zeros(len(column), np.int64))
                empty = Segments(nothing.astype(np.int32), nothing, nothing, offsets)
                return TargetValues(empty, problems=(Problem("E104", message, column=answers.name),))
            bad += shifted(wrong, block.start, answers.relevant, len(bad))
        return TargetValues(concatenated(*parts), problems=tuple(cell_problems(answers, bad, "E212")))

    @classmethod
    def drafted(cls, column: DraftColumn) -> Draft | None:
        """Return a target for a column of segments, bounded by the samples' length where it is known."""
        labels = _labels_in(column.cells) if pa.types.is_string(column.cells.type) else ()
        if not labels or segment_lists(column.cells, labels)[1]:
            return None
        lines, declared = label_lines(_labels_in(column.shown), "what a segment may be")
        duration = f"duration = {toml_value(column.duration)}" if column.duration else '# duration = "duration_s"'
        lines += f"{duration}  # a corpus column with a sample's length in seconds, which no segment may pass\n"
        return Draft(lines, ("segment_f1", "sentence_accuracy"), label=declared[0])

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        segments, bad = segment_lists(columns[0], self.labels)
        require_readable(where, columns[0], bad)
        return ReferenceColumn(segments, np.asarray(columns[0].is_valid()))


def _labels_in(cells: pa.Array) -> tuple[str, ...]:
    """Return what is before the two times of every segment; nothing if a piece has no times."""
    pieces = {tuple(piece.rsplit("-", 2)) for cell in cells.to_pylist() for piece in cell.split()}
    return tuple(sorted({piece[0] for piece in pieces})) if all(len(piece) == 3 for piece in pieces) else ()


class _Items(NamedTuple):
    """The segments of all cells, one after the other."""

    sample: NDArray[np.int64]  # `(m,)` the cell of each
    labels: pa.Array  # Arrow strings, null where there is none
    start_s: NDArray[np.float64]  # `(m,)` seconds; not a number where there is none
    end_s: NDArray[np.float64]  # the same
    text: pa.Array | None  # Arrow strings as they were written; None if they were not written as text
    offsets: Offsets  # `(n + 1,)` the segments of every cell


def segment_lists(
    column: pa.Array, labels: Sequence[str], durations: pa.Array | None = None
) -> tuple[Segments, tuple[BadCell, ...]]:
    """Return the segments of every cell, labels as codes of `labels`, and the cells that are wrong, by row.

    Args:
        column: the cells.
        labels: the declared labels.
        durations: length of every sample in seconds, which no segment may pass; null where it is not known.

    Raises:
        UsageError: the column contains neither text nor lists of segments.
    """
    items = _items(column)
    codes = np.asarray(pc.fill_null(pc.index_in(items.labels, value_set=pa.array(labels, pa.string())), -1))
    lengths = np.full(len(column), np.inf)
    if durations is not None:
        lengths = np.asarray(pc.fill_null(durations.cast(pa.float64()), np.inf))
    bad = _bad_rows(items, codes, labels, lengths)
    kept = np.ones(len(column), dtype=bool)
    kept[list(bad)] = False
    taken = kept[items.sample]
    segments = Segments(
        codes[taken].astype(np.int32),
        items.start_s[taken],
        items.end_s[taken],
        offsets_of(np.where(kept, np.diff(items.offsets), 0)),
    )
    return segments, tuple(BadCell(row, bad[row]) for row in sorted(bad))


def _items(column: pa.Array) -> _Items:
    kind = column.type
    if is_text(kind) or pa.types.is_null(kind):
        cells = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), "")))
        # A blank cell is split into one blank piece, which is not a segment.
        blank = np.asarray(pc.equal(pc.list_element(cells, 0), "")) if len(cells) else np.empty(0, dtype=bool)
        text = cells.filter(pa.array(~blank)).flatten()
        return _parted(np.where(blank, 0, pc.list_value_length(cells)), pc.extract_regex(text, _SEGMENT), text)
    if is_list(kind) and _is_segment(kind.value_type):
        return _parted(np.asarray(pc.fill_null(pc.list_value_length(column), 0)), column.flatten(), None)
    raise UsageError(
        f"a column of {kind} does not contain segments: text, or lists of structs of label, start_s, end_s are needed"
    )


def _is_segment(kind: pa.DataType) -> bool:
    fields = {field.name for field in kind} if pa.types.is_struct(kind) else set()
    return set(SEGMENT_FIELDS) <= fields


def _parted(counts: NDArray[np.int64], parts: pa.Array, text: pa.Array | None) -> _Items:
    def seconds(field: str) -> NDArray[np.float64]:
        return np.asarray(pc.fill_null(pc.struct_field(parts, field).cast(pa.float64()), np.nan))

    sample = np.repeat(np.arange(len(counts)), counts)
    label = pc.struct_field(parts, "label").cast(pa.string())
    return _Items(sample, label, seconds("start_s"), seconds("end_s"), text, offsets_of(counts))


def _bad_rows(
    items: _Items, codes: NDArray[np.integer], labels: Sequence[str], lengths: NDArray[np.float64]
) -> dict[int, str]:
    """Return the first thing that is wrong with each cell."""
    form, allowed = FORM.format(labels[0]), f"one of {listed(labels, LABELS_SHOWN)}"
    start, end, sample = items.start_s, items.end_s, items.sample
    bad: dict[int, str] = {}

    def note(wrong: NDArray[np.bool_], message: Callable[[int], str]) -> None:
        places = np.flatnonzero(wrong)
        rows, firsts = np.unique(sample[places], return_index=True)
        for row, item in zip(rows.tolist(), places[firsts].tolist(), strict=True):
            if row not in bad:
                bad[row] = f"{_written(items, item)} {message(item)}"

    def unknown(item: int) -> str:
        label = items.labels[item].as_py()
        return f"has the label '{printable(label)}', which is not {allowed}{did_you_mean(label, labels)}"

    read = np.asarray(items.labels.is_valid()) & np.isfinite(start) & np.isfinite(end)
    note(~read, lambda item: f"is not a segment; {form}")
    note(read & (codes < 0), unknown)
    note(read & (start < 0), lambda item: f"begins at {start[item]:g} s, before 0")
    note(read & (end <= start), lambda item: f"ends at {end[item]:g} s, not after it begins at {start[item]:g} s")
    note(
        read & (end > lengths[sample] + END_TOLERANCE_S),
        lambda item: f"ends at {end[item]:g} s, past the end of the sample at {lengths[sample[item]]:g} s",
    )
    before = _overlapped(items)
    note(read & (before >= 0), lambda item: f"overlaps {_written(items, int(before[item]))}")
    return bad


def _overlapped(items: _Items) -> NDArray[np.int64]:
    """Return, for each segment, the one before it in time that it overlaps; −1 for none."""
    order = np.lexsort((items.end_s, items.start_s, items.sample))
    earlier, later = order[:-1], order[1:]
    with np.errstate(invalid="ignore"):
        overlap = (items.sample[earlier] == items.sample[later]) & (items.start_s[later] < items.end_s[earlier])
    before = np.full(len(order), -1)
    before[later[overlap]] = earlier[overlap]
    return before


def _written(items: _Items, item: int) -> str:
    if items.text is not None:
        return f"'{printable(items.text[item].as_py())}'"
    return f"'{printable(str(items.labels[item].as_py()))}-{items.start_s[item]:g}-{items.end_s[item]:g}'"
