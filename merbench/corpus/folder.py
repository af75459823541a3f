"""A corpus and its folder: found by name or path, checked as it is read, verified and summarised.

Conventions:
    Samples and references are sorted by `sample_id`. Every file is checked against its recorded SHA-256 when it is
    read.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from merbench.builders import BUILDERS, Builder
from merbench.corpus.contents import feature_digest, table_digest, type_name
from merbench.corpus.declaration import (
    FILE_NAME,
    ID,
    NAMED,
    REFERENCE_FILE,
    SAMPLES_FILE,
    SPLIT,
    CorpusDeclaration,
    Metadata,
    Modality,
    read_declaration,
    sequence_name,
)
from merbench.corpus.feature import MOST_FEATURE_BYTES, Feature, shape_of_schema
from merbench.errors import DeclarationError, IntegrityError, Problem, UnknownName, UsageError, did_you_mean, listed
from merbench.files.arrow import rows_and_schema, table_in, verified_file
from merbench.files.paths import is_path, resolve_inside
from merbench.files.reading import read_parquet, read_verified, sha256_bytes
from merbench.registry import Registry
from merbench.store import Store, file_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from merbench.corpus.importing import Importer

MOST_TABLE_BYTES = 2_000_000_000
"""How large the samples, or the references, of a corpus may be when unpacked."""

MAX_LABELS = 50
"""A target with more different values than this is summarised without them."""


@dataclass(frozen=True)
class Corpus:
    """The data of one or more tracks: samples, references, features, in one folder.

    Reading raises `IntegrityError` if a file changed on disk.
    """

    folder: Path
    declaration: CorpusDeclaration = field(repr=False)

    @property
    def name(self) -> str:
        """Kebab-case name."""
        return self.declaration.name

    @property
    def version(self) -> str:
        """Version of the content, such as `1.0`."""
        return self.declaration.version

    @property
    def source(self) -> str:
        """Where the data come from."""
        return self.declaration.source

    @property
    def licence(self) -> str:
        """Who may use them, and how."""
        return self.declaration.licence

    @property
    def language(self) -> str | None:
        """Language of the transcripts, such as `zh`."""
        return self.declaration.language

    @property
    def synthetic(self) -> bool:
        """Whether the data are made up, so that scores on them only test software."""
        return self.declaration.synthetic

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, sorted."""
        return tuple(sorted(self.declaration.content.features))

    @property
    def default_features(self) -> tuple[str, ...]:
        """The features to learn from where none are named: not pictures, nor sequences that others were pooled from."""
        others = {sequence_name(name, unit) for name in self.features for unit in ("frame", "token")}
        others |= {name for name, record in self.declaration.extracted.items() if record.pictures}
        return tuple(name for name in self.features if name not in others)

    def extracted_by(self, extractors: Collection[str], unit: str) -> tuple[str, ...]:
        """Return the features of some extractors that have a row for every `unit`, such as `frame`."""
        records = self.declaration.extracted
        wanted = {name for name, each in records.items() if each.extractor in extractors and each.unit == unit}
        return tuple(name for name in self.features if name in wanted)

    @property
    def default_sequences(self) -> tuple[str, ...]:
        """The features to learn from where sequences are wanted: instead of a pooled one, what it was pooled from."""
        return tuple(map(self.sequence, self.default_features))

    def sequence(self, name: str) -> str:
        """Return the sequences that a feature was pooled from, where the corpus has them, else the feature itself."""
        sequences = [sequence_name(name, unit) for unit in ("frame", "token")]
        return next((own for own in sequences if own in self.features), name)

    def modality(self, name: str) -> Modality | None:
        """Return the modality of a feature: of what it was extracted from, else the one its name begins with."""
        record = self.declaration.extracted.get(name)
        named = (modality for word, modality in NAMED.items() if name.startswith(word))
        return next(named, None) if record is None else record.modality

    def modalities(self, names: Iterable[str]) -> dict[str, Modality]:
        """Return the modality of every feature that has one."""
        return {name: modality for name in names if (modality := self.modality(name)) is not None}

    @property
    def digest(self) -> str:
        """SHA-256 over the values of samples and references, the same on every machine."""
        content = self.declaration.content
        return sha256_bytes(f"samples {content.samples}\nreference {content.reference}\n".encode())

    @property
    def made_columns(self) -> Mapping[str, Callable[[Sequence[str]], Sequence[Any]]]:
        """Columns of its samples that no file has; merbench computes them, of the corpora that it makes itself."""
        if not self.synthetic or self.name not in CORPORA.builders:
            return {}
        builder = CORPORA.builders[self.name]()
        return builder.columns if builder.version == self.version else {}

    def column(self, name: str, samples: pa.Table) -> pa.Array | None:
        """Return a column of some of its samples, from its files or made; None if it has none of this name."""
        if name in samples.column_names:
            return samples[name].combine_chunks()
        make = self.made_columns.get(name)
        return None if make is None else pa.array(make(samples[ID].to_pylist()))

    @property
    def remedy(self) -> str:
        """How to restore a corpus whose files changed."""
        if not self.synthetic:
            return "import or create the corpus again, with --force"
        at_home = self.folder.resolve() == (CORPORA.home / self.name).resolve()
        output = "" if at_home else f" --output {shlex.quote(str(self.folder))}"
        return f"rebuild: `merbench corpus build {self.name}{output} --force`"

    def samples(self) -> pa.Table:
        """Return the samples."""
        with self._remedied():
            return self._table(SAMPLES_FILE, (ID, SPLIT), self.declaration.content.samples)

    def texts(self, column: str) -> list[str]:
        """Return the text of every sample in a column; raise `UsageError` if that is not a column of text."""
        samples = self.samples()
        fields = [item.name for item in samples.schema if pa.types.is_string(item.type)]
        columns = [name for name in fields if name not in (ID, SPLIT)]
        if column not in columns:
            available = listed(columns) or "none"
            near = did_you_mean(column, columns)
            raise UsageError(f"corpus '{self.name}' has no column of text '{column}'; it has {available}{near}")
        texts: list[str] = samples[column].fill_null("").to_pylist()
        return texts

    def reference(self) -> pa.Table | None:
        """Return the known references; a null is a target without one. None is returned where no sample has any."""
        recorded = self.declaration.content.reference
        with self._remedied():
            return None if recorded is None else self._table(REFERENCE_FILE, (ID,), recorded)

    def feature(self, name: str) -> Feature:
        """Return a feature; raise `UnknownName` if the corpus has none of this name."""
        with self._remedied():
            return self._feature(name)

    def feature_shape(self, name: str) -> tuple[int, int, bool]:
        """Return a feature's number of samples, its width, and whether it contains frames; reads no values."""
        with self._remedied():
            path, _ = self._feature_path(name)
            with _integrity(path):
                n_samples, schema = rows_and_schema(path)
                return (n_samples, *shape_of_schema(schema))

    @contextmanager
    def _remedied(self) -> Iterator[None]:
        """Add the remedy to the message of an `IntegrityError`."""
        try:
            yield
        except IntegrityError as error:
            raise IntegrityError(f"{error}; {self.remedy}") from error

    def _feature(self, name: str) -> Feature:
        path, recorded = self._feature_path(name)
        with _integrity(path):
            if path.suffix == ".arrow":
                table = table_in(verified_file(path, recorded))
            else:
                table = read_parquet(read_verified(path, recorded), most_bytes=MOST_FEATURE_BYTES)
            feature = Feature.from_table(table)
            if problem := feature.shape_problem():
                raise ValueError(problem)
        _require_sorted(path, feature.ids)
        return feature

    def _feature_path(self, name: str) -> tuple[Path, str]:
        """Return the file of a feature, and the recorded digest of its bytes."""
        if name not in self.features:
            raise UnknownName(f"feature of corpus {self.name}", name, self.features)
        member = self.declaration.feature_file(name)
        return resolve_inside(self.folder, member), self.declaration.files[member]

    def _table(self, member: str, required: tuple[str, ...], recorded: str) -> pa.Table:
        path = resolve_inside(self.folder, member)
        with _integrity(path):
            data = read_verified(path, self.declaration.files[member])
            table = read_parquet(data, most_bytes=MOST_TABLE_BYTES)
        for name in required:
            if name not in table.column_names or table[name].type != pa.string():
                raise IntegrityError(f"{path}: no column '{name}' of strings")
        _require_sorted(path, table[ID].combine_chunks())
        try:
            digest = table_digest(table)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise IntegrityError(f"{path}: contains a column of a type that corpora do not have") from error
        _require_content(self.folder, member, digest, recorded)
        return table


@contextmanager
def _integrity(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise IntegrityError(f"{path}: {error}") from error


def _require_sorted(path: Path, ids: pa.StringArray) -> None:
    if ids.null_count or not pc.all(pc.greater(ids[1:], ids[:-1]), min_count=0).as_py():
        raise IntegrityError(f"{path}: the sample ids are not sorted, or not unique")


def _require_content(folder: Path, member: str, digest: str, recorded: str) -> None:
    if digest != recorded:
        raise IntegrityError(f"{folder / FILE_NAME}: the recorded digest of the values of {member} differs")


def _load(folder: Path) -> Corpus:
    return Corpus(folder, read_declaration(folder))


def _hint(name: str) -> str:
    if name in IMPORTERS:
        return f"import the released files with `merbench corpus import {name} PATH`"
    return "add your own data with `merbench corpus create`"


IMPORTERS: Registry[Importer] = Registry("importer", "merbench.importers")
"""Importers by the name of the corpus they make."""

_builders: Registry[Callable[[], Builder]] = Registry("corpus builder", "merbench.corpora")
for _name, _builder in BUILDERS["corpora"].items():
    _builders.add(_name, _builder)

CORPORA = Store(
    "corpus",
    "corpora",
    FILE_NAME,
    _load,
    _hint,
    _builders,
    version_of=lambda corpus: corpus.version if corpus.synthetic else None,
)
"""The corpora of the data home."""


def open_corpus(name_or_path: str | Path, relative_to: Path | None = None) -> Corpus:
    """Return a corpus by its name in the data home, or by the path of its folder; only `corpus.toml` is read.

    A `Path`, and text with a separator in it (`./corpus`), is a path. A corpus that merbench makes itself is built on
    first use.

    Args:
        name_or_path: name, or path.
        relative_to: folder that a relative path starts from; the working directory when None.

    Raises:
        UnknownName: the data home has no corpus of this name.
        UsageError: the path is not a corpus folder.
        DeclarationError: its `corpus.toml` has problems.
    """
    corpus = CORPORA.open(name_or_path, relative_to)
    if not is_path(name_or_path) and corpus.name != str(name_or_path):
        message = f"'{corpus.name}' differs from the folder's name, '{name_or_path}'; they must be equal"
        raise DeclarationError(str(corpus.folder / FILE_NAME), [Problem("E207", message, column="name")])
    return corpus


def own_folder(name: str) -> Path:
    """Return where the data home keeps a corpus of the user's own; raise `UsageError` for one that merbench builds."""
    if name in CORPORA.builders:
        raise UsageError(f"'{name}' is a corpus that merbench builds itself; choose another name")
    return CORPORA.home / name


def verify_corpus(corpus: Corpus) -> list[Problem]:
    """Return what differs between a corpus folder and its `corpus.toml`: bytes of every file, values of every table.

    A file that is not recorded is a warning; hidden files are ignored.
    """
    problems = []
    for member, recorded in sorted(corpus.declaration.files.items()):
        try:
            problem = file_problem(resolve_inside(corpus.folder, member), member, recorded)
        except UsageError:
            problem = Problem("E604", f"{member}: leads out of the folder, through a link")
        problems.append(problem or _value_problem(corpus, member))
    names = sorted(path.relative_to(corpus.folder) for path in corpus.folder.rglob("*") if not path.is_dir())
    members = [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]
    unrecorded = [name for name in members if name not in {FILE_NAME, *corpus.declaration.files}]
    return [
        *(problem for problem in problems if problem is not None),
        *(Problem("W601", f"{name}: the file is not recorded in {FILE_NAME}") for name in unrecorded),
    ]


def _value_problem(corpus: Corpus, member: str) -> Problem | None:
    """Return a problem when a table whose bytes are as recorded does not contain the recorded values."""
    content = corpus.declaration.content
    try:
        if member == SAMPLES_FILE:
            corpus._table(member, (ID, SPLIT), content.samples)
        elif member == REFERENCE_FILE and content.reference is not None:
            corpus._table(member, (ID,), content.reference)
        for name, recorded in content.features.items():
            if member == corpus.declaration.feature_file(name):
                _require_content(corpus.folder, member, feature_digest(corpus._feature(name)), recorded)
    except IntegrityError as error:
        return Problem("E603", str(error))
    return None


@dataclass(frozen=True)
class TargetSummary:
    """A column of the references."""

    name: str  # name of the target
    type: str  # type of its values
    known: Mapping[str, int]  # split -> number of references
    labels: Mapping[str, int]  # value -> references, most frequent first; empty for numbers, and for very many values
    range: tuple[float, float] | None  # smallest and largest number; None for labels


@dataclass(frozen=True)
class CorpusSummary:
    """What a corpus contains."""

    corpus: Corpus  # the corpus
    splits: Mapping[str, int]  # split -> number of samples
    # column of the samples -> type of its values, and number of samples with one
    columns: Mapping[str, tuple[str, int]]
    targets: tuple[TargetSummary, ...]  # the columns of the references
    features: Mapping[str, tuple[int, int, bool]]  # feature -> number of samples, width, and whether it contains frames

    def records(self) -> dict[str, Any]:
        """Return the summary as plain values: metadata, splits, columns, targets and features, each a list."""
        corpus, extracted = self.corpus, self.corpus.declaration.extracted
        metadata = corpus.declaration.model_dump(include=set(Metadata.model_fields))
        return {
            "corpora": [{**metadata, "folder": str(corpus.folder), "digest": corpus.digest}],
            "splits": [{"split": split, "samples": count} for split, count in self.splits.items()],
            "columns": [{"column": name, "type": kind, "known": n} for name, (kind, n) in self.columns.items()],
            "targets": [{"target": item.pop("name"), **item} for item in map(asdict, self.targets)],
            "features": [
                {
                    "feature": name,
                    "samples": n_samples,
                    "dimension": width,
                    "frames": frames,
                    "modality": corpus.modality(name),
                    "extracted": extracted[name].model_dump(exclude_none=True) if name in extracted else None,
                }
                for name, (n_samples, width, frames) in self.features.items()
            ],
        }


def summarise(corpus: Corpus) -> CorpusSummary:
    """Return what a corpus contains: counts, types and shapes."""
    samples, reference = corpus.samples(), corpus.reference()
    targets: list[TargetSummary] = []
    if reference is not None:
        splits = samples[SPLIT].take(pc.index_in(reference[ID], value_set=samples[ID].combine_chunks()))
        targets = [_target(name, reference[name], splits) for name in reference.column_names if name != ID]
    return CorpusSummary(
        corpus,
        _counts(samples[SPLIT]),
        {name: _column(samples[name]) for name in samples.column_names if name not in (ID, SPLIT)},
        tuple(targets),
        {name: corpus.feature_shape(name) for name in corpus.features},
    )


def _type(column: pa.ChunkedArray) -> str:
    name = type_name(column.type)
    return {"string": "text", "int64": "integers", "double": "numbers", "bool": "true or false"}.get(name, name)


def _column(column: pa.ChunkedArray) -> tuple[str, int]:
    """Return the type of a column, and how many values are neither null nor an empty string."""
    empty = pc.sum(pc.equal(column, "")).as_py() or 0 if column.type == pa.string() else 0
    return _type(column), len(column) - int(column.null_count) - int(empty)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return dict(sorted(Counter(column.to_pylist()).items()))


def _target(name: str, column: pa.ChunkedArray, splits: pa.ChunkedArray) -> TargetSummary:
    known = _counts(splits.filter(column.is_valid()))
    values = column.drop_null()
    is_text = pa.types.is_string(values.type) or pa.types.is_boolean(values.type)
    counts = Counter(map(str, values.to_pylist())) if is_text or pa.types.is_integer(values.type) else Counter()
    labels = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))) if len(counts) <= MAX_LABELS else {}
    is_number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    extent = pc.min_max(values).as_py() if is_number and len(values) else None
    span = None if extent is None else (float(extent["min"]), float(extent["max"]))
    return TargetSummary(name, _type(values), known, labels, span)
