"""A researcher's own CSV files and features go in, a corpus comes out; or all problems of all files at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as with_fields
from pathlib import Path

from merbench.corpus.declaration import parse_metadata
from merbench.corpus.delimited import Delimited, read_delimited, repeated_columns, to_table
from merbench.corpus.feature import Feature
from merbench.corpus.feature_file import read_feature
from merbench.corpus.folder import Corpus, require_free, write_corpus
from merbench.corpus.tables import ID, SPLIT, Contents
from merbench.errors import InvalidCorpus, Problem, UsageError, did_you_mean, listed


def create_corpus(
    folder: Path,
    *,
    name: str,
    samples: Path,
    reference: Path | None = None,
    features: Mapping[str, str] | None = None,
    targets: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    version: str = "1.0",
    source: str = "not stated",
    licence: str = "not stated",
    language: str | None = None,
    replace: bool = False,
) -> Corpus:
    """Write a corpus of own data, all of it or nothing, and return it.

    Args:
        folder: corpus folder to write.
        name: kebab-case name.
        samples: CSV or TSV with `sample_id`, `split` and whatever else is known of the samples.
        reference: CSV or TSV with `sample_id` and the targets; None takes the `targets` out of `samples`.
        features: name -> path of an NPZ, a Parquet file or a folder (see `merbench.corpus.feature_file`).
        targets: columns that are references; None given means every column of `reference`.
        rename: column of the CSV files -> its name in the corpus.
        version: dotted numbers.
        source: where the data come from.
        licence: who may use them, and how.
        language: language of the transcripts, such as `en`.
        replace: whether a corpus that stands in `folder` goes.

    Raises:
        UsageError: the folder is there already and is not to be replaced.
        DeclarationError: the metadata have problems.
        InvalidCorpus: files have problems; all of them are listed.
        OutputError: the folder cannot be written.
    """
    where = f"corpus '{name}'"
    require_free(folder, replace=replace)
    metadata = parse_metadata(where, name=name, version=version, source=source, licence=licence, language=language)
    problems: list[Problem] = []
    files = _read_renamed([samples, *([reference] if reference else [])], rename or {}, problems)
    loaded = _features(features or {}, problems)
    contents = _contents(files[samples], files[reference or samples], reference is not None, targets, loaded, problems)
    if contents is not None:
        problems += contents.problems()
    if contents is None or problems:
        raise InvalidCorpus(where, problems)
    return write_corpus(folder, metadata, contents, replace=replace)


def _read_renamed(
    paths: Sequence[Path], rename: Mapping[str, str], problems: list[Problem]
) -> dict[Path, Delimited | None]:
    """Return the cells of every file, columns renamed; None for a file that could not be read."""
    files = {path: read_delimited(path, problems) for path in dict.fromkeys(paths)}
    read = {path: file for path, file in files.items() if file is not None}
    columns = [name for file in read.values() for name in file.header]
    for old in rename if len(read) == len(files) else ():
        if old not in columns:
            message = f"there is no column '{old}' to rename; there are {listed(columns, 12)}"
            problems.append(Problem("E611", f"{message}{did_you_mean(old, columns)}"))
    renamed = {path: file.renamed(rename) for path, file in read.items()}
    problems += [problem for file in renamed.values() for problem in repeated_columns(file.origin.name, file.header)]
    return {path: renamed.get(path) for path in files}


def _features(sources: Mapping[str, str], problems: list[Problem]) -> dict[str, Feature]:
    features = {}
    for name, source in sources.items():
        try:
            features[name] = read_feature(source)
        except UsageError as error:
            problems.append(Problem("E616", f"feature '{name}', {source}: {error}"))
    return features


def _contents(
    samples: Delimited | None,
    reference: Delimited | None,
    has_reference_file: bool,
    targets: Sequence[str],
    features: Mapping[str, Feature],
    problems: list[Problem],
) -> Contents | None:
    """Return tables and features; None where the samples cannot be told from what was read."""
    if samples is None or len(set(samples.header)) < len(samples.header):
        return None
    known = to_table(samples, [name for name in samples.header if name not in targets], problems)
    contents = Contents(known, None, features, samples_origin=samples.origin)
    if reference is None or not (has_reference_file or targets) or len(set(reference.header)) < len(reference.header):
        return contents
    absent = [name for name in targets if name not in reference.header]
    if absent:
        there = f"there are {listed(reference.header, 12)}{did_you_mean(absent[0], reference.header)}"
        message = f"{reference.origin.name}: there is no column of the target {listed(absent)}; {there}"
        problems.append(Problem("E611", message))
    if absent or (ID not in reference.header and not has_reference_file):
        return contents
    columns = targets or [name for name in reference.header if name not in (ID, SPLIT)]
    table = to_table(
        reference, [name for name in (ID, *columns) if name in reference.header], problems, numbers_or_text=True
    )
    return with_fields(contents, reference=table, reference_origin=reference.origin)
