"""Corpora are written: from tables, or from a researcher's own CSV files and features; all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from merbench.corpus.clips import with_clips
from merbench.corpus.contents import Contents, feature_digest, name_problems, repeated_columns, table_digest
from merbench.corpus.declaration import (
    FILE_NAME,
    ID,
    REFERENCE_FILE,
    SAMPLES_FILE,
    SPLIT,
    ContentDigests,
    CorpusDeclaration,
    ExtractionRecord,
    Metadata,
    feature_file,
    to_toml,
)
from merbench.corpus.delimited import Delimited, read_delimited, to_table
from merbench.corpus.feature import Feature, read_feature
from merbench.corpus.folder import CORPORA, Corpus
from merbench.errors import InvalidCorpus, Problem, UsageError, did_you_mean, listed
from merbench.files.arrow import write_arrow
from merbench.files.reading import arrow_file, sha256_file
from merbench.files.writing import atomic_path, exclusive, write_text


def write_corpus(folder: Path, metadata: Metadata, contents: Contents, *, replace: bool = False) -> Corpus:
    """Write a corpus folder, all of it or nothing, and return it.

    Tables may be in any order of rows and of similar types (32-bit floats, dictionaries); they are stored sorted
    and in plain types. A row of the references that contains nothing is left out.

    Raises:
        UsageError: the folder already exists and is not to be replaced.
        InvalidCorpus: the tables or features have problems; all of them are listed.
        OutputError: the folder cannot be written.
    """
    CORPORA.require_free(folder, replace=replace)
    problems = contents.problems()
    if problems:
        raise InvalidCorpus(f"corpus '{metadata.name}'", problems)
    with CORPORA.writing(folder, replace=replace) as temporary:
        _write_folder(temporary, metadata, contents.normalised())
    return CORPORA.load(folder)


def _write_folder(folder: Path, metadata: Metadata, contents: Contents) -> None:
    features = contents.features
    members = [SAMPLES_FILE, *map(feature_file, features)]
    _write_parquet(contents.samples, folder / SAMPLES_FILE)
    if contents.reference is not None:
        members.append(REFERENCE_FILE)
        _write_parquet(contents.reference, folder / REFERENCE_FILE)
    for name, feature in features.items():
        (folder / feature_file(name)).parent.mkdir(exist_ok=True)
        write_arrow(feature.to_table(), folder / feature_file(name))
    content = ContentDigests(
        samples=table_digest(contents.samples),
        reference=None if contents.reference is None else table_digest(contents.reference),
        features={name: feature_digest(feature) for name, feature in features.items()},
    )
    declared = CorpusDeclaration(
        **metadata.model_dump(include=set(Metadata.model_fields)),
        files={member: sha256_file(folder / member) for member in members},
        content=content,
        extracted=dict(contents.extracted),
    )
    write_text(folder / FILE_NAME, to_toml(declared))


def _write_parquet(table: pa.Table, path: Path) -> None:
    plain = table.replace_schema_metadata(None)
    with arrow_file(path, "wb") as file:
        pq.write_table(plain, file, compression="zstd", use_dictionary=False)


def add_features(
    corpus: Corpus,
    features: Mapping[str, Feature],
    records: Mapping[str, ExtractionRecord] | None = None,
    *,
    replace: bool = False,
) -> Corpus:
    """Write features into a corpus folder, all of them or none, and return the corpus that has them.

    Everything is written next to its place before anything is renamed; `corpus.toml`, which lists what belongs to the
    corpus, comes last.

    Args:
        corpus: where to write.
        features: name -> feature, in any order of ids.
        records: name -> how the feature was extracted.
        replace: whether features of these names may be replaced.

    Raises:
        UsageError: the corpus already has features of these names and they are not to be replaced.
        InvalidCorpus: the features have problems; all of them are listed.
        OutputError: the folder cannot be written.
    """
    folder = corpus.folder
    with exclusive(folder / ".lock"):
        declared = CORPORA.read(folder).declaration
        current = Corpus(folder, declared)
        require_feature_names(current, features, replace=replace)
        problems = Contents(current.samples(), None, features).problems()
        if problems:
            raise InvalidCorpus(f"corpus '{corpus.name}'", problems)
        files, digests = dict(declared.files), dict(declared.content.features)
        with ExitStack() as stack:  # which renames in the opposite order
            toml = stack.enter_context(atomic_path(folder / FILE_NAME))
            for name, feature in ((name, features[name].sorted()) for name in sorted(features)):
                path = stack.enter_context(atomic_path(folder / feature_file(name)))
                write_arrow(feature.to_table(), path)
                files.pop(declared.feature_file(name), None)
                files[feature_file(name)], digests[name] = sha256_file(path), feature_digest(feature)
            others = {name: record for name, record in declared.extracted.items() if name not in features}
            update = {
                "files": files,
                "content": declared.content.model_copy(update={"features": digests}),
                "extracted": {**others, **(records or {})},
            }
            toml.write_bytes(to_toml(declared.model_copy(update=update)).encode())
        for member in declared.files.keys() - files.keys():  # a feature in Parquet that was replaced
            (folder / member).unlink(missing_ok=True)
    return CORPORA.load(folder)


def require_feature_names(corpus: Corpus, names: Iterable[str], *, replace: bool = False) -> None:
    """Raise where a corpus cannot be given features of these names, before anything is computed for them.

    Raises:
        UsageError: the corpus already has some, and they are not to be replaced.
        InvalidCorpus: some are not names of a feature.
    """
    names = list(names)
    existing = {name.casefold(): name for name in corpus.features}
    taken = [existing[name.casefold()] for name in names if name.casefold() in existing]
    if taken and not (replace and set(taken) <= set(names)):
        noun = f"a feature '{taken[0]}'" if len(taken) == 1 else f"features {listed(taken)}"
        raise UsageError(f"corpus '{corpus.name}' already has {noun}")
    problems = list(name_problems(names))
    if problems:
        raise InvalidCorpus(f"corpus '{corpus.name}'", problems)


@dataclass(frozen=True)
class OwnFiles:
    """A user's own files, from which a corpus is created; CSV, or TSV where the name ends in `.tsv`."""

    samples: Path  # `sample_id`, `split` and any other columns of the samples
    reference: Path | None = None  # `sample_id` and the targets; None takes the `targets` out of `samples`
    targets: Sequence[str] = ()  # columns that are references; if empty, every column of `reference`
    rename: Mapping[str, str] = field(default_factory=dict)  # column of the files -> its name in the corpus
    features: Mapping[str, str] = field(default_factory=dict)  # name -> source (see `feature.read_feature`)
    media: Path | None = None  # the folder of clips that the samples name
    media_column: str | None = None  # of the names of clips in `samples`; see `clips.with_clips`


def create_corpus(folder: Path, metadata: Metadata, own: OwnFiles, *, replace: bool = False) -> Corpus:
    """Write a corpus of the user's own data, all of it or nothing, and return it.

    Raises:
        UsageError: the folder already exists and is not to be replaced; the folder of clips does not exist.
        InvalidCorpus: files have problems; all of them are listed.
        OutputError: the folder cannot be written.
    """
    CORPORA.require_free(folder, replace=replace)
    problems: list[Problem] = []
    files = _read_renamed([own.samples, *([own.reference] if own.reference else [])], own.rename, problems)
    samples = files[own.samples]
    if own.media is not None and samples is not None and len(set(samples.header)) == len(samples.header):
        files[own.samples] = with_clips(samples, own.media, own.media_column, problems)
    features: dict[str, Feature] = {}
    for name, source in own.features.items():
        try:
            features[name] = read_feature(source)
        except UsageError as error:
            problems.append(Problem("E616", f"feature '{name}', {source}: {error}"))
    contents = _tables(own, files, problems)
    if contents is not None:
        contents = with_fields(contents, features=features)
        problems += contents.problems()
    if contents is None or problems:
        distinct = list(dict.fromkeys(problems))  # of one table, the ids are those of the samples and of the references
        raise InvalidCorpus(f"corpus '{metadata.name}'", distinct)
    return write_corpus(folder, metadata, contents, replace=replace)


def _read_renamed(
    paths: Iterable[Path], rename: Mapping[str, str], problems: list[Problem]
) -> dict[Path, Delimited | None]:
    """Return the cells of every file, columns renamed; None for a file that could not be read."""
    files = {path: read_delimited(path, problems) for path in dict.fromkeys(paths)}
    read = {path: file for path, file in files.items() if file is not None}
    columns = [name for file in read.values() for name in file.header]
    for old in rename if len(read) == len(files) else ():
        if old not in columns:
            message = f"no column '{old}' to rename; the columns are {listed(columns, 12)}"
            problems.append(Problem("E611", f"{message}{did_you_mean(old, columns)}"))
    renamed = {path: file.renamed(rename) for path, file in read.items()}
    problems += [problem for file in renamed.values() for problem in repeated_columns(file.origin.name, file.header)]
    return {path: renamed.get(path) for path in files}


def _tables(own: OwnFiles, files: Mapping[Path, Delimited | None], problems: list[Problem]) -> Contents | None:
    """Return the tables; None if the samples could not be read."""
    targets, samples = own.targets, files[own.samples]
    if samples is None or len(set(samples.header)) < len(samples.header):
        return None
    known = {name: name for name in samples.header if name not in targets}
    contents = Contents(to_table(samples, known, problems), samples_origin=samples.origin)
    reference = files[own.reference] if own.reference else samples if targets else None
    if reference is None or len(set(reference.header)) < len(reference.header):
        return contents
    absent = [name for name in targets if name not in reference.header]
    if absent:
        hint = f"the columns are {listed(reference.header, 12)}{did_you_mean(absent[0], reference.header)}"
        problems.append(Problem("E611", f"{reference.origin.name}: no column of the target {listed(absent)}; {hint}"))
    if absent or (own.reference is None and ID not in reference.header):
        return contents
    columns = [name for name in (ID, *(targets or reference.header)) if name in reference.header and name != SPLIT]
    table = to_table(reference, {name: name for name in columns}, problems, numbers_or_text=True)
    return with_fields(contents, reference=table, reference_origin=reference.origin)
