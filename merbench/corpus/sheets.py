"""The files of a release go in, tables and features of a corpus come out; all problems at once.

Conventions:
    A sheet that states a split, or has a column of it, names samples; any other sheet says more of them. Where two
    sheets name a sample, the first of the layout counts: so no candidate is ever a training sample. Cells are read
    as `merbench.corpus.delimited` reads them, references by the `Cells` of their target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.cells import Cells
from merbench.corpus.delimited import Delimited, read_delimited, to_table
from merbench.corpus.feature import Feature
from merbench.corpus.feature_file import read_feature
from merbench.corpus.tables import ID, SPLIT, Contents, Origin
from merbench.errors import Problem, UsageError, did_you_mean, listed
from merbench.targets.segments import segment_lists

Reader = Callable[[Path, list[Problem]], Delimited | None]


@dataclass(frozen=True)
class Target:
    """A column of references: its name in the corpus, the released column it comes from, how its cells are read."""

    name: str
    column: str
    cells: Cells


@dataclass(frozen=True)
class Sheet:
    """One table of a release, and what becomes of its columns.

    Attributes:
        files: where it may stand in the folder of the release; the first that is there is read.
        id: column of sample ids.
        id_is_path: whether folders in front of a name do not belong to the id.
        samples: released column -> column of the samples.
        targets: the references.
        features: feature -> the columns of numbers it consists of, or the array of an NPZ.
        constant: column of the samples -> the value that all its rows have, such as the split.
        repeats: whether it names the samples of the sheets before it again, as lists of less and less agreement do.
        rest: whether every other column is a column of the samples too.
        needed: whether there is no corpus without it.
        without: what the corpus lacks without it.
        form: what it holds where `reader` reads it, in a few words.
        reader: reads whatever of `files` does not end in `.csv`.
        released: name of a file -> its SHA-256 as released.
    """

    files: tuple[str, ...]
    id: str = "name"
    id_is_path: bool = False
    samples: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constant: Mapping[str, str] = field(default_factory=dict)
    repeats: bool = False
    rest: bool = False
    needed: bool = True
    without: str = ""
    form: str = ""
    reader: Reader | None = None
    released: Mapping[str, str] = field(default_factory=dict)

    @property
    def names_samples(self) -> bool:
        """Whether its rows are samples; else they say more of samples that another sheet names."""
        return SPLIT in self.constant or SPLIT in self.samples.values()

    @property
    def columns(self) -> list[str]:
        """The released columns that must be there."""
        numbers = [] if self.reader else [column for columns in self.features.values() for column in columns]
        return list(dict.fromkeys([self.id, *self.samples, *(target.column for target in self.targets), *numbers]))

    def path(self, release: Path) -> Path | None:
        """Return where it stands in a release; None where it is not there."""
        return next((release / name for name in self.files if (release / name).exists()), None)

    def explain(self) -> str:
        """Return where it may stand, what it must hold, and what lacks without it."""
        tables = [name for name in self.files if self.reader is None or name.endswith(".csv")]
        others = [name for name in self.files if name not in tables]
        columns = f"{', '.join(self.columns)}{', …' if self.rest else ''}"
        forms = [(others, self.form), (tables, columns)]
        told = "; or ".join(f"{' or '.join(names)}: {form}" for names, form in forms if names)
        return told if self.needed else f"{told} (without it: {self.without})"


@dataclass(frozen=True)
class ReadSheet:
    """A sheet as it was read.

    Attributes:
        sheet: the sheet.
        origin: the file.
        samples: sample ids, and what it says of the samples.
        reference: the same ids, and one column per target.
        features: features of its own.
    """

    sheet: Sheet
    origin: Origin
    samples: pa.Table
    reference: pa.Table
    features: Mapping[str, Feature]

    @property
    def ids(self) -> pa.StringArray:
        """Sample ids, one per row, as they stand."""
        return self.samples[ID].combine_chunks()

    def take(self, rows: pa.Array) -> ReadSheet:
        """Return some of its rows; features are kept whole."""
        lines = self.origin.lines
        kept = None if lines is None else [lines[row] for row in rows.to_pylist()]
        origin = Origin(self.origin.name, kept)
        return replace(self, origin=origin, samples=self.samples.take(rows), reference=self.reference.take(rows))


def read_sheet(sheet: Sheet, path: Path, problems: list[Problem]) -> ReadSheet | None:
    """Return what a file holds; None when `problems` grew instead."""
    read = read_delimited if sheet.reader is None or path.suffix == ".csv" else sheet.reader
    try:
        source = read(path, problems)
    except UsageError as error:
        problems.append(Problem("E610", str(error)))
        return None
    if source is None:
        return None
    missing = [name for name in sheet.columns if name not in source.header]
    if missing:
        there = f"there are {listed(source.header, 12)}{did_you_mean(missing[0], source.header)}"
        problems.append(Problem("E611", f"{path.name}: there is no column {listed(missing)}; {there}"))
        return None
    ids = pa.array([_id(cell, sheet) for cell in source.column(sheet.id)], pa.string())
    samples = {ID: ids, **_samples(sheet, source, problems)}
    reference = {target.name: target.cells.read(source, target.column, problems) for target in sheet.targets}
    features = _features(sheet, path, ids.to_pylist(), source, problems)
    return ReadSheet(sheet, source.origin, pa.table(samples), pa.table({ID: ids, **reference}), features)


def _id(cell: str, sheet: Sheet) -> str:
    name = cell.strip()
    return name.rpartition("/")[2] if sheet.id_is_path else name


def _samples(sheet: Sheet, source: Delimited, problems: list[Problem]) -> dict[str, pa.Array]:
    """Return the columns that a sheet says of samples."""
    used = {sheet.id, *sheet.samples, *(target.column for target in sheet.targets)}
    rest = {name: name for name in source.header if name not in used} if sheet.rest else {}
    columns = {**sheet.samples, **rest}
    table = to_table(source.selected(columns), list(columns.values()), problems)
    known = {name: table[name] for name in table.column_names}
    return {**known, **{name: pa.array([value] * len(source.rows)) for name, value in sheet.constant.items()}}


def _features(
    sheet: Sheet, path: Path, ids: Sequence[str], source: Delimited, problems: list[Problem]
) -> dict[str, Feature]:
    features = {}
    for name, columns in sheet.features.items():
        try:
            if path.suffix == ".npz":
                features[name] = read_feature(f"{path}:{columns[0]}")
            else:
                numbers = np.array([[float(cell) for cell in source.column(column)] for column in columns]).T
                features[name] = Feature.from_vectors(ids, numbers)
        except (UsageError, ValueError) as error:
            problems.append(Problem("E616", f"feature '{name}' of {path.name}: {error}"))
    return features


def contents_of(
    sheets: Sequence[ReadSheet | None], problems: list[Problem], warnings: list[Problem]
) -> Contents | None:
    """Return what sheets hold together; None when no sheet names samples, or one of them could not be read.

    Args:
        sheets: those that are there or needed; None for one that could not be read.
        problems: what is wrong is added here.
        warnings: what should be known is added here.
    """
    read = [sheet for sheet in sheets if sheet is not None]
    naming = _without_repeats([sheet for sheet in read if sheet.sheet.names_samples], warnings)
    if not naming or len(read) < len(sheets):
        return None
    adding = [sheet for sheet in read if not sheet.sheet.names_samples]
    samples = _concatenated([sheet.samples for sheet in naming])
    referring = [sheet for sheet in [*naming, *adding] if sheet.sheet.targets]
    whole = referring[0] if len(referring) == 1 else None  # becomes the references as it stands, checked below
    for sheet in adding:
        if sheet is not whole:
            problems += _repeat_problems(sheet)
        samples = _joined(samples, sheet, problems)
    for sheet in referring:
        problems += _unscorable(sheet, samples)
    features = {name: feature for sheet in read for name, feature in sheet.features.items()}
    contents = Contents(
        samples=samples,
        reference=_merged(referring, problems) if referring else None,
        features=features,
        samples_origin=naming[0].origin if len(naming) == 1 else Origin("the samples"),
        reference_origin=referring[0].origin if len(referring) == 1 else Origin("the references"),
    )
    problems += dict.fromkeys(contents.problems())  # ids that samples and references share are told once
    return contents


def _unscorable(sheet: ReadSheet, samples: pa.Table) -> Iterator[Problem]:
    """Yield what is wrong with references that are segments, which must lie within their samples."""
    place = pc.index_in(sheet.ids, value_set=samples[ID].combine_chunks())
    for target in sheet.sheet.targets:
        within = target.cells.stretches
        if within is None:
            continue
        durations = samples[within.duration].combine_chunks()
        try:
            durations = durations.cast(pa.float64())
        except pa.ArrowInvalid:
            message = "holds what is no number; lengths of samples are seconds"
            yield Problem("E614", message, column=within.duration)
            durations = pa.nulls(len(samples), pa.float64())
        cells = sheet.reference[target.name].combine_chunks()
        _, bad = segment_lists(cells, within.labels, durations.take(place))
        if bad:
            lines = sheet.origin.lines
            shown = [cell.message if lines is None else f"line {lines[cell.row]}: {cell.message}" for cell in bad]
            message = f"references that cannot be read ({len(bad):,} of {len(cells):,})"
            yield Problem("E614", f"{sheet.origin.name}: {message}: {listed(shown)}", column=target.name)


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all tables, null in columns that a table lacks; a column of unlike types becomes text."""
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowTypeError:
        texts = [pa.table({name: table[name].cast(pa.string()) for name in table.column_names}) for table in tables]
        return pa.concat_tables(texts, promote_options="permissive").combine_chunks()


def _without_repeats(sheets: Sequence[ReadSheet], warnings: list[Problem]) -> list[ReadSheet]:
    """Return sheets without the rows of samples that an earlier one names."""
    kept: list[ReadSheet] = []
    for sheet in sheets:
        earlier = pa.concat_arrays([other.ids for other in kept]) if kept else pa.array([], pa.string())
        again = pc.is_in(sheet.ids, value_set=earlier)
        n_again = pc.sum(again).as_py() or 0
        if n_again:
            names = sheet.ids.filter(again).to_pylist()
            message = f"samples that an earlier file names are left out ({n_again:,} of {len(sheet.ids):,})"
            if not sheet.sheet.repeats:
                warnings.append(Problem("W605", f"{sheet.origin.name}: {message}: {listed(names)}"))
            sheet = sheet.take(pa.array(np.flatnonzero(~again.to_numpy(zero_copy_only=False))))
        kept.append(sheet)
    return kept


def _repeat_problems(sheet: ReadSheet) -> Iterator[Problem]:
    twice = [name for name, count in Counter(sheet.ids.to_pylist()).items() if count > 1]
    if twice:
        message = f"samples given more than once ({len(twice):,} of {len(sheet.ids):,}): {listed(twice)}"
        yield Problem("E612", f"{sheet.origin.name}: {message}")


def _merged(sheets: Sequence[ReadSheet], problems: list[Problem]) -> pa.Table:
    """Return the references of all sheets, one row per sample; a target that two sheets give is a problem."""
    if len(sheets) == 1:
        return sheets[0].reference
    ids = pc.unique(pa.concat_arrays([sheet.ids for sheet in sheets]))
    columns = {ID: ids}
    for name in dict.fromkeys(target.name for sheet in sheets for target in sheet.sheet.targets):
        parts = [sheet.reference.select([ID, name]) for sheet in sheets if name in sheet.reference.column_names]
        held = _concatenated(parts)
        held = held.filter(held[name].is_valid())
        twice = [name for name, count in Counter(held[ID].to_pylist()).items() if count > 1]
        if twice:
            message = f"references given more than once ({len(twice):,} of {len(held):,}): {listed(twice)}"
            problems.append(Problem("E612", message, column=name))
        columns[name] = held[name].take(pc.index_in(ids, value_set=held[ID].combine_chunks()))
    return pa.table(columns)


def _joined(samples: pa.Table, sheet: ReadSheet, problems: list[Problem]) -> pa.Table:
    """Return samples with what one more sheet says of them; rows of other samples say nothing."""
    said = [name for name in sheet.samples.column_names if name != ID]
    if not said:
        return samples
    ids = samples[ID].combine_chunks()
    rows = pc.index_in(ids, value_set=sheet.ids)
    if rows.null_count:
        untold = ids.filter(rows.is_null()).to_pylist()
        message = f"samples without a row ({len(untold):,} of {len(ids):,}): {listed(untold)}"
        problems.append(Problem("E615", f"{sheet.origin.name}: {message}"))
    for name in said:
        samples = samples.append_column(name, sheet.samples[name].take(rows))
    return samples
