"""The tables of a release: where each is, which columns it contains, and how they become the contents of a corpus.

Conventions:
    A sheet with a split, or a column of it, lists samples; any other sheet adds columns to them. Where two sheets list
    a sample, the first of the layout counts, so that a candidate is never a training sample. Cells are read as
    `merbench.corpus.delimited` reads them, references by the `Cells` of their target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.contents import Contents, Origin
from merbench.corpus.declaration import ID, SPLIT
from merbench.corpus.delimited import Delimited, Reader, read_delimited, to_table
from merbench.corpus.feature import Feature, read_feature
from merbench.corpus.release_cells import Cells
from merbench.errors import Problem, UsageError, counted, did_you_mean, listed
from merbench.files.reading import sha256_file
from merbench.targets.segments import segment_lists


@dataclass(frozen=True, kw_only=True)
class ReleaseTable:
    """One table of a release, and what becomes of its columns."""

    # where it may be in the folder of the release, `*` for any name; the first that exists is read
    files: tuple[str, ...]
    id: str = "name"  # column of sample ids
    id_is_path: bool = False  # whether folders in front of a name do not belong to the id
    split: str = ""  # split of all its rows
    samples: Mapping[str, str] = field(default_factory=dict)  # released column -> column of the samples
    constant: Mapping[str, str] = field(default_factory=dict)  # column of the samples -> the value of all its rows
    rest: bool = False  # whether every other column becomes a column of the samples too
    targets: Mapping[str, Cells] = field(default_factory=dict)  # target -> how its references are read
    # feature -> the columns of numbers it consists of, or the array of an NPZ
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repeats: bool = False  # whether it lists samples of earlier sheets again, as lists of decreasing agreement do
    without: str = ""  # what the corpus lacks without it; the empty string where there is no corpus without it
    reader: Reader | None = None  # reads those of `files` that do not end in `.csv`
    form: str = ""  # what those hold, in a few words
    sha256: str = ""  # digest of a file that is named as the first of `files`, as released

    @property
    def lists_samples(self) -> bool:
        """Whether its rows are samples; else they add columns to samples that another sheet lists."""
        return bool(self.split) or SPLIT in self.samples.values()

    @property
    def target_columns(self) -> dict[str, str]:
        """Target -> released column."""
        return {name: cells.column or name for name, cells in self.targets.items()}

    @property
    def columns(self) -> list[str]:
        """The released columns that must exist."""
        numbers = [] if self.reader else [column for columns in self.features.values() for column in columns]
        return list(dict.fromkeys([self.id, *self.samples, *self.target_columns.values(), *numbers]))

    def path(self, release: Path) -> Path | None:
        """Return where it is in a release; None if it is missing."""
        return next((path for name in self.files for path in sorted(release.glob(name))), None)

    def explain(self) -> str:
        """Return where it may be, what it must contain, and what is missing without it."""
        tables = [name for name in self.files if self.reader is None or name.endswith(".csv")]
        others = [name for name in self.files if name not in tables]
        columns = f"{', '.join(self.columns)}{', …' if self.rest else ''}"
        forms = [(others, self.form), (tables, columns)]
        text = "; or ".join(f"{' or '.join(names)}: {form}" for names, form in forms if names)
        return f"{text} (without it: {self.without})" if self.without else text

    def digest_warnings(self, path: Path) -> Iterator[Problem]:
        """Yield a warning when a file with the released name has other content; it is read all the same."""
        if self.sha256 and path.name == Path(self.files[0]).name and (digest := sha256_file(path)) != self.sha256:
            digests = f"sha256 {digest[:12]}…, released {self.sha256[:12]}…"
            yield Problem("W602", f"{path.name}: is not the released file ({digests}); it is read all the same")


@dataclass(frozen=True)
class ReadTable:
    """The content of a sheet; `samples` and `reference` have the same ids in the same order."""

    sheet: ReleaseTable
    origin: Origin
    samples: pa.Table
    reference: pa.Table
    features: Mapping[str, Feature]

    @property
    def ids(self) -> pa.StringArray:
        """Sample ids, one per row, in the order of the file."""
        return self.samples[ID].combine_chunks()

    def take(self, rows: pa.Array) -> ReadTable:
        """Return some of its rows, with all features."""
        lines = self.origin.lines
        kept = None if lines is None else [lines[row] for row in rows.to_pylist()]
        origin = Origin(self.origin.name, kept)
        return replace(self, origin=origin, samples=self.samples.take(rows), reference=self.reference.take(rows))


def read_table(sheet: ReleaseTable, path: Path, problems: list[Problem]) -> ReadTable | None:
    """Return the content of a file; None when `problems` grew instead."""
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
        known = f"the columns are {listed(source.header, 12)}{did_you_mean(missing[0], source.header)}"
        problems.append(Problem("E611", f"{path.name}: no column {listed(missing)}; {known}"))
        return None
    ids = [cell.strip() for cell in source.column(sheet.id)]
    ids = [name.rpartition("/")[2] for name in ids] if sheet.id_is_path else ids
    columns = sheet.target_columns
    used = {sheet.id, *sheet.samples, *columns.values()}
    rest = {name: name for name in source.header if name not in used} if sheet.rest else {}
    table = to_table(source, {**sheet.samples, **rest}, problems)
    samples = {ID: pa.array(ids, pa.string()), **{name: table[name] for name in table.column_names}}
    for name, value in {**({SPLIT: sheet.split} if sheet.split else {}), **sheet.constant}.items():
        samples[name] = pa.array([value] * len(source.rows))
    reference = {name: cells.read(source, columns[name], problems) for name, cells in sheet.targets.items()}
    features = _features(sheet, path, ids, source, problems)
    return ReadTable(sheet, source.origin, pa.table(samples), pa.table({ID: samples[ID], **reference}), features)


def _features(
    sheet: ReleaseTable, path: Path, ids: Sequence[str], source: Delimited, problems: list[Problem]
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
    sheets: Sequence[ReadTable | None], problems: list[Problem], warnings: list[Problem]
) -> Contents | None:
    """Return the contents of all sheets; None when no sheet lists samples, or one of them could not be read.

    Args:
        sheets: those that exist or are needed; None for one that could not be read.
        problems: problems are added here.
        warnings: what the user should know is added here.
    """
    read = [sheet for sheet in sheets if sheet is not None]
    listing = _without_repeats([sheet for sheet in read if sheet.sheet.lists_samples], warnings)
    if not listing or len(read) < len(sheets):
        return None
    adding = [sheet for sheet in read if not sheet.sheet.lists_samples]
    referring = [sheet for sheet in [*listing, *adding] if sheet.sheet.targets]
    samples = _concatenated([sheet.samples for sheet in listing])
    only = referring[0] if len(referring) == 1 else None  # its table becomes the references, which are checked below
    for sheet in adding:
        if sheet is not only:
            problems += _duplicates(sheet.origin, "samples", sheet.ids)
        samples = _joined(samples, sheet, problems)
    for sheet in referring:
        problems += _segment_problems(sheet, samples)
    contents = Contents(
        samples=samples,
        reference=_merged(referring, problems) if referring else None,
        features={name: feature for sheet in read for name, feature in sheet.features.items()},
        samples_origin=listing[0].origin if len(listing) == 1 else Origin("the samples"),
        reference_origin=referring[0].origin if len(referring) == 1 else Origin("the references"),
    )
    problems += dict.fromkeys(contents.problems())  # problems of ids in both tables are reported only once
    return contents


def _segment_problems(sheet: ReadTable, samples: pa.Table) -> Iterator[Problem]:
    """Yield the problems of references that are segments, which must lie within their samples."""
    rows = pc.index_in(sheet.ids, value_set=samples[ID].combine_chunks())
    for name, target in sheet.sheet.targets.items():
        if target.segments is None:
            continue
        durations = samples[target.segments.duration].combine_chunks()
        try:
            durations = durations.cast(pa.float64())
        except pa.ArrowInvalid:
            message = "contains non-numeric values; durations of samples are seconds"
            yield Problem("E614", message, column=target.segments.duration)
            durations = pa.nulls(len(samples), pa.float64())
        cells = sheet.reference[name].combine_chunks()
        _, bad = segment_lists(cells, target.segments.labels, durations.take(rows))
        if bad:
            lines = sheet.origin.lines
            shown = [cell.message if lines is None else f"line {lines[cell.row]}: {cell.message}" for cell in bad]
            message = counted("references that cannot be read", shown, len(cells))
            yield Problem("E614", f"{sheet.origin.name}: {message}", column=name)


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all tables, null in columns that a table lacks; a column of different types becomes text."""
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowTypeError:
        texts = [pa.table({name: table[name].cast(pa.string()) for name in table.column_names}) for table in tables]
        return pa.concat_tables(texts, promote_options="permissive").combine_chunks()


def _without_repeats(sheets: Sequence[ReadTable], warnings: list[Problem]) -> list[ReadTable]:
    """Return sheets without the rows of samples that an earlier one lists."""
    kept: list[ReadTable] = []
    for sheet in sheets:
        earlier = pa.concat_arrays([other.ids for other in kept]) if kept else pa.array([], pa.string())
        again = pc.is_in(sheet.ids, value_set=earlier)
        repeated = sheet.ids.filter(again).to_pylist()
        if repeated:
            message = counted("samples that an earlier file lists are left out", repeated, len(sheet.ids))
            if not sheet.sheet.repeats:
                warnings.append(Problem("W605", f"{sheet.origin.name}: {message}"))
            sheet = sheet.take(pa.array(np.flatnonzero(~again.to_numpy(zero_copy_only=False))))
        kept.append(sheet)
    return kept


def _duplicates(origin: Origin | None, what: str, ids: pa.Array, column: str | None = None) -> Iterator[Problem]:
    duplicates = [name for name, count in Counter(ids.to_pylist()).items() if count > 1]
    if duplicates:
        where = f"{origin.name}: " if origin else ""
        yield Problem("E612", f"{where}{counted(f'duplicate {what}', duplicates, len(ids))}", column=column)


def _merged(sheets: Sequence[ReadTable], problems: list[Problem]) -> pa.Table:
    """Return the references of all sheets, one row per sample; a reference that two sheets give is a problem."""
    if len(sheets) == 1:
        return sheets[0].reference
    ids = pc.unique(pa.concat_arrays([sheet.ids for sheet in sheets]))
    columns = {ID: ids}
    for name in dict.fromkeys(name for sheet in sheets for name in sheet.sheet.targets):
        parts = [sheet.reference.select([ID, name]) for sheet in sheets if name in sheet.sheet.targets]
        table = _concatenated(parts)
        table = table.filter(table[name].is_valid())
        problems += _duplicates(None, "references", table[ID], name)
        columns[name] = table[name].take(pc.index_in(ids, value_set=table[ID].combine_chunks()))
    return pa.table(columns)


def _joined(samples: pa.Table, sheet: ReadTable, problems: list[Problem]) -> pa.Table:
    """Return samples with the columns of one more sheet, whose rows of other samples are ignored."""
    names = [name for name in sheet.samples.column_names if name != ID]
    if not names:
        return samples
    ids = samples[ID].combine_chunks()
    rows = pc.index_in(ids, value_set=sheet.ids)
    if rows.null_count:
        message = counted("samples without a row", ids.filter(rows.is_null()).to_pylist(), len(ids))
        problems.append(Problem("E615", f"{sheet.origin.name}: {message}"))
    for name in names:
        samples = samples.append_column(name, sheet.samples[name].take(rows))
    return samples
