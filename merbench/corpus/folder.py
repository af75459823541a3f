"""A corpus folder goes in, a `Corpus` comes out that checks its files as it reads them; and tables become a folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from merbench.corpus.declaration import (
    FILE_NAME,
    REFERENCE_FILE,
    SAMPLES_FILE,
    ContentDigests,
    CorpusDeclaration,
    Metadata,
    feature_file,
    read_declaration,
    to_toml,
)
from merbench.corpus.feature import MOST_FEATURE_BYTES, Feature, shape_of_schema
from merbench.corpus.tables import ID, SPLIT, Contents, feature_digest, name_problems, table_digest
from merbench.errors import IntegrityError, InvalidCorpus, MalformedFile, Problem, UnknownName, UsageError
from merbench.files import (
    arrow_file,
    atomic_folder,
    atomic_path,
    data_home,
    exclusive,
    read_parquet,
    read_verified,
    resolve_inside,
    sha256_bytes,
    sha256_file,
    write_text,
)

MOST_TABLE_BYTES = 2_000_000_000
"""What the samples, or the references, of a corpus may unpack to."""


@dataclass(frozen=True)
class Corpus:
    """The data of one or more tracks: samples, references, features, in one folder.

    Every file is checked against its recorded SHA-256 when it is read.
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
        """Whether the data are made up, so that no score on them means anything outside."""
        return self.declaration.synthetic

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, sorted."""
        return tuple(sorted(self.declaration.content.features))

    @property
    def digest(self) -> str:
        """SHA-256 over the values of samples and references, the same on every machine."""
        content = self.declaration.content
        return sha256_bytes(f"samples {content.samples}\nreference {content.reference}\n".encode())

    @property
    def remedy(self) -> str:
        """How a corpus whose files changed is had anew."""
        if not self.synthetic:
            return "import or create the corpus again, with --force"
        at_home = self.folder.resolve() == (data_home() / "corpora" / self.name).resolve()
        elsewhere = "" if at_home else f" --output {shlex.quote(str(self.folder))}"
        return f"rebuild: `merbench corpus build {self.name}{elsewhere} --force`"

    def samples(self) -> pa.Table:
        """Return the samples, sorted by `sample_id`; raise `IntegrityError` when they changed on disk."""
        with self._remedied():
            return self._samples()

    def reference(self) -> pa.Table | None:
        """Return the references that are held, sorted by `sample_id`; a null is a target that is not held.

        None says that the corpus holds no reference at all.

        Raises:
            IntegrityError: they changed on disk.
        """
        with self._remedied():
            return self._reference()

    def feature(self, name: str) -> Feature:
        """Return a feature.

        Raises:
            UnknownName: the corpus has no feature of this name.
            IntegrityError: its file changed on disk.
        """
        with self._remedied():
            return self._feature(name)

    def feature_shape(self, name: str) -> tuple[int, int, bool]:
        """Return a feature's number of samples, its width, and whether it holds frames; reads no values."""
        with self._remedied():
            return self._feature_shape(self._feature_path(name))

    @contextmanager
    def _remedied(self) -> Iterator[None]:
        """Add to the message of an `IntegrityError` how the corpus is had anew."""
        try:
            yield
        except IntegrityError as error:
            raise IntegrityError(f"{error}; {self.remedy}") from error

    def _samples(self) -> pa.Table:
        return self._table(SAMPLES_FILE, (ID, SPLIT), self.declaration.content.samples)

    def _reference(self) -> pa.Table | None:
        recorded = self.declaration.content.reference
        return None if recorded is None else self._table(REFERENCE_FILE, (ID,), recorded)

    def _feature(self, name: str) -> Feature:
        path = self._feature_path(name)
        data = read_verified(path, self.declaration.files[feature_file(name)])
        table = _parse(path, data, MOST_FEATURE_BYTES)
        try:
            feature = Feature.from_table(table)
        except ValueError as error:
            raise IntegrityError(f"{path}: {error}") from error
        _require_sorted(path, feature.ids)
        return feature

    def _feature_shape(self, path: Path) -> tuple[int, int, bool]:
        try:
            with arrow_file(path) as source, pq.ParquetFile(source) as file:
                n_samples, schema = file.metadata.num_rows, file.schema_arrow
        except (OSError, ValueError, pa.ArrowException) as error:
            raise IntegrityError(f"{path}: not a readable Parquet file") from error
        try:
            return (n_samples, *shape_of_schema(schema))
        except ValueError as error:
            raise IntegrityError(f"{path}: {error}") from error

    def _feature_path(self, name: str) -> Path:
        if name not in self.features:
            raise UnknownName(f"feature of corpus {self.name}", name, self.features)
        return resolve_inside(self.folder, feature_file(name))

    def _table(self, member: str, required: tuple[str, ...], recorded: str) -> pa.Table:
        path = resolve_inside(self.folder, member)
        table = _parse(path, read_verified(path, self.declaration.files[member]))
        for name in required:
            if name not in table.column_names or table[name].type != pa.string():
                raise IntegrityError(f"{path}: there is no column '{name}' of strings")
        _require_sorted(path, table[ID].combine_chunks())
        try:
            digest = table_digest(table)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise IntegrityError(f"{path}: holds a column of a type that no corpus has") from error
        if digest != recorded:
            raise IntegrityError(f"{self.folder / FILE_NAME}: the digest recorded of the values of {member} is another")
        return table


def _parse(path: Path, data: bytes, most_bytes: int = MOST_TABLE_BYTES) -> pa.Table:
    try:
        return read_parquet(data, most_bytes=most_bytes)
    except MalformedFile as error:
        raise IntegrityError(f"{path}: {error}") from error


def _require_sorted(path: Path, ids: pa.StringArray) -> None:
    if ids.null_count or not pc.all(pc.greater(ids[1:], ids[:-1]), min_count=0).as_py():
        raise IntegrityError(f"{path}: the sample ids are not sorted, each once")


def read_corpus(folder: Path) -> Corpus:
    """Return the corpus in a folder; only its `corpus.toml` is read.

    Raises:
        UsageError: there is no such folder, or it has no `corpus.toml`.
        DeclarationError: the `corpus.toml` has problems.
    """
    return Corpus(folder, read_declaration(folder))


def write_corpus(folder: Path, metadata: Metadata, contents: Contents, *, replace: bool = False) -> Corpus:
    """Write a corpus folder, all of it or nothing, and return it.

    Tables may be in any order of rows and of similar types (32-bit floats, dictionaries); they are stored sorted
    and in plain types. A row of the references that holds nothing is left out.

    Raises:
        UsageError: the folder already exists and is not to be replaced.
        InvalidCorpus: the tables or features have problems; all of them are listed.
        OutputError: the folder cannot be written.
    """
    require_free(folder, replace=replace)
    problems = contents.problems()
    if problems:
        raise InvalidCorpus(f"corpus '{metadata.name}'", problems)
    with atomic_folder(folder, replace=replace) as beside:
        _write_folder(beside, metadata, contents.normalised())
    return read_corpus(folder)


def require_free(folder: Path, *, replace: bool) -> None:
    """Raise `UsageError` when a corpus would be written over what stands in `folder` and must not be."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not replace:
        raise UsageError(f"{folder}: is there already; --force replaces it")
    if not (folder / FILE_NAME).is_file():
        raise UsageError(f"{folder}: is not a corpus, and only a corpus is replaced by one")


def _write_folder(folder: Path, metadata: Metadata, contents: Contents) -> None:
    features = contents.features
    members = [SAMPLES_FILE, *map(feature_file, features)]
    _write_parquet(contents.samples, folder / SAMPLES_FILE, "zstd")
    if contents.reference is not None:
        members.append(REFERENCE_FILE)
        _write_parquet(contents.reference, folder / REFERENCE_FILE, "zstd")
    for name, feature in features.items():
        _write_feature(feature, folder / feature_file(name))
    content = ContentDigests(
        samples=table_digest(contents.samples),
        reference=None if contents.reference is None else table_digest(contents.reference),
        features={name: feature_digest(feature) for name, feature in features.items()},
    )
    files = {member: sha256_file(folder / member) for member in members}
    fields = metadata.model_dump(include=set(Metadata.model_fields))
    declaration = CorpusDeclaration(**fields, files=files, content=content)
    write_text(folder / FILE_NAME, to_toml(declaration))


def _write_feature(feature: Feature, path: Path) -> None:
    """Write a feature, not compressed: that would save a tenth of its size and cost half the speed of reading."""
    _write_parquet(feature.to_table(), path, "none")


def _write_parquet(table: pa.Table, path: Path, compression: str) -> None:
    with atomic_path(path) as beside, arrow_file(beside, "wb") as file:
        pq.write_table(table.replace_schema_metadata(None), file, compression=compression, use_dictionary=False)


def add_feature(corpus: Corpus, name: str, feature: Feature, *, replace: bool = False) -> Corpus:
    """Write one more feature into a corpus folder and return the corpus that has it.

    Raises:
        UsageError: the corpus has a feature of this name already and it is not to be replaced.
        InvalidCorpus: the feature has problems; all of them are listed.
        OutputError: the folder cannot be written.
    """
    with exclusive(corpus.folder / ".lock"):
        current = read_corpus(corpus.folder)
        require_feature_name(current, name, replace=replace)
        problems = Contents(current.samples(), None, {name: feature}).problems()
        if problems:
            raise InvalidCorpus(f"corpus '{corpus.name}'", problems)
        feature = feature.sorted()
        _write_feature(feature, corpus.folder / feature_file(name))
        declared = current.declaration
        content = declared.content
        content = content.model_copy(update={"features": {**content.features, name: feature_digest(feature)}})
        files = {**declared.files, feature_file(name): sha256_file(corpus.folder / feature_file(name))}
        write_text(corpus.folder / FILE_NAME, to_toml(declared.model_copy(update={"files": files, "content": content})))
    return read_corpus(corpus.folder)


def require_feature_name(corpus: Corpus, name: str, *, replace: bool = False) -> None:
    """Raise where a corpus cannot be given a feature of this name, before anything is computed for it.

    Raises:
        UsageError: the corpus has one already, and it is not to be replaced.
        InvalidCorpus: it is not a name of a feature.
    """
    alike = [other for other in corpus.features if other.casefold() == name.casefold()]
    if alike and not (replace and alike == [name]):
        raise UsageError(f"corpus '{corpus.name}' has a feature '{alike[0]}' already")
    problems = list(name_problems([name]))
    if problems:
        raise InvalidCorpus(f"corpus '{corpus.name}'", problems)


def verify_corpus(corpus: Corpus) -> list[Problem]:
    """Return what differs between a corpus folder and its `corpus.toml`: bytes of every file, values of every table.

    A file that is not recorded is a warning; hidden files are not looked at.
    """
    problems = {member: _file_problem(corpus, member) for member in sorted(corpus.declaration.files)}
    found = [problem for problem in problems.values() if problem is not None]
    for member in (member for member, problem in problems.items() if problem is None):
        try:
            _check_values(corpus, member)
        except IntegrityError as error:
            found.append(Problem("E603", str(error)))
    return [*found, *_unrecorded(corpus)]


def _file_problem(corpus: Corpus, member: str) -> Problem | None:
    try:
        path = resolve_inside(corpus.folder, member)
    except UsageError:
        return Problem("E604", f"{member}: leads out of the folder, through a link")
    if not path.is_file():
        return Problem("E601", f"{member}: the file is recorded but missing")
    try:
        same = sha256_file(path) == corpus.declaration.files[member]
    except OSError as error:
        return Problem("E601", f"{member}: cannot be read: {error.strerror}")
    return None if same else Problem("E602", f"{member}: the file changed")


def _check_values(corpus: Corpus, member: str) -> None:
    """Raise `IntegrityError` when a table whose bytes are as recorded does not hold the recorded values."""
    if member == SAMPLES_FILE:
        corpus._samples()
    elif member == REFERENCE_FILE:
        corpus._reference()
    for name, recorded in corpus.declaration.content.features.items():
        if member == feature_file(name) and feature_digest(corpus._feature(name)) != recorded:
            raise IntegrityError(f"{FILE_NAME}: the digest recorded of the values of {member} is another")


def _unrecorded(corpus: Corpus) -> list[Problem]:
    names = sorted(path.relative_to(corpus.folder) for path in corpus.folder.rglob("*") if not path.is_dir())
    members = [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]
    return [
        Problem("W601", f"{member}: the file is not recorded in {FILE_NAME}")
        for member in members
        if member not in {FILE_NAME, *corpus.declaration.files}
    ]
