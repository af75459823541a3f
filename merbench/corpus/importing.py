"""Importers: the folder of a public release becomes a corpus, or one message lists every missing file and column.

Conventions:
    A release declares for each of its files where it is, which columns it contains and what becomes of them
    (`merbench.corpus.release_tables`). Of a release with several layouts, the most complete one is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from merbench.corpus.contents import Contents
from merbench.corpus.create import write_corpus
from merbench.corpus.declaration import ID, Metadata
from merbench.corpus.feature import Feature, read_feature
from merbench.corpus.folder import CORPORA, Corpus
from merbench.corpus.release_tables import ReadTable, ReleaseTable, contents_of, read_table
from merbench.errors import InvalidCorpus, Problem, UsageError, counted, printable

Known = Mapping[str, str | int]
"""The values that a sample's id contains, by column."""


@dataclass(frozen=True)
class Imported:
    """An imported corpus, and what the user should know about its files."""

    corpus: Corpus
    warnings: tuple[Problem, ...] = ()


class Importer(Protocol):
    """Reads one public release, and describes what it expects."""

    def __call__(self, release: Path, folder: Path, *, features: Path | None = None, replace: bool = False) -> Imported:
        """Write the corpus of a release into a folder.

        Args:
            release: folder of the released files.
            folder: corpus folder to write.
            features: folder of released features, one folder each with one `.npy` per sample.
            replace: whether an existing corpus in `folder` is replaced.
        """

    @property
    def expects(self) -> str:
        """The files on one line, optional ones in brackets."""

    def explain(self) -> str:
        """Return what the release is, who may have it, and every file and column that is read."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A public release: what it is, where to get it, which files it consists of."""

    name: str  # name of the corpus that is made of it
    title: str  # what the data are
    source: str  # where they come from, and what should be known about them
    licence: str  # who may use them, and how
    obtain: str  # where to download the files or apply for them
    # sheets that belong together, for every form in which the release comes
    layouts: tuple[tuple[ReleaseTable, ...], ...] = field(repr=False)
    language: str | None = None  # language of the transcripts
    version: str = "1.0"  # version of the corpus; increases when the same files give another one
    # the values that a sample's id contains; None for an id of another form than `id_form`
    known: Callable[[str], Known | None] | None = None
    id_form: str = ""  # form of the ids, where `known` reads them

    def __call__(self, release: Path, folder: Path, *, features: Path | None = None, replace: bool = False) -> Imported:
        """Write the corpus of the release; see `Importer`.

        Raises:
            UsageError: no such folder, or the corpus folder already exists.
            InvalidCorpus: files or columns are missing or have unexpected content; all problems are listed.
        """
        CORPORA.require_free(folder, replace=replace)
        if not release.is_dir():
            raise UsageError(f"{release}: no such folder; `merbench corpus import {self.name}` describes the files")
        problems: list[Problem] = []
        warnings: list[Problem] = []
        contents = contents_of(self._sheets(release, problems, warnings), problems, warnings)
        if contents is not None and self.known is not None:
            contents = self._with_known(contents, self.known, problems)
        if contents is not None and features is not None:
            loaded = _features(features, contents.samples[ID].to_pylist(), problems, warnings)
            contents = with_fields(contents, features={**contents.features, **loaded})
        if contents is None or problems:
            raise InvalidCorpus(f"{release}, release of {self.name}", problems)
        metadata = Metadata(
            name=self.name, version=self.version, source=self.source, licence=self.licence, language=self.language
        )
        return Imported(write_corpus(folder, metadata, contents, replace=replace), tuple(warnings))

    @property
    def expects(self) -> str:
        """The files on one line, optional ones in brackets."""
        return "; or ".join(map(_files, self.layouts))

    def explain(self) -> str:
        """Return what the release is, who may have it, and every file and column that is read."""
        lines = [
            f"{self.name}: {self.title}",
            f"source: {self.source}",
            f"licence: {self.licence}",
            f"obtain: {self.obtain}",
            *([f"sample ids: {self.id_form}"] if self.id_form else []),
        ]
        for index, layout in enumerate(self.layouts):
            lines += ["", "or instead" if index else "files", *(f"  {sheet.explain()}" for sheet in layout)]
        return "\n".join(lines)

    def _sheets(self, release: Path, problems: list[Problem], warnings: list[Problem]) -> list[ReadTable | None]:
        """Return the sheets of the most complete layout; None for one that could not be read."""
        layout = max(self.layouts, key=lambda layout: _presence(layout, release))
        sheets: list[ReadTable | None] = []
        missing = [sheet for sheet in layout if not sheet.without and sheet.path(release) is None]
        problems += [Problem("E601", f"missing: {sheet.explain()}") for sheet in missing]
        for sheet in layout:
            path = sheet.path(release)
            read = None if path is None else read_table(sheet, path, problems)
            if path is not None or not sheet.without:
                sheets.append(read)
            if path is not None and read is not None:
                warnings += sheet.digest_warnings(path)
            elif path is None and sheet.without:
                warnings.append(Problem("W604", f"missing: {' or '.join(sheet.files)}: {sheet.without}"))
        others = [_files(other) for other in self.layouts if other is not layout]
        if missing and others:
            problems.append(Problem("E601", f"these files can be used instead: {'; or '.join(others)}"))
        return sheets

    def _with_known(
        self, contents: Contents, known: Callable[[str], Known | None], problems: list[Problem]
    ) -> Contents:
        """Return contents with the values that the ids contain, except for columns that already exist."""
        samples = contents.samples
        ids = samples[ID].to_pylist()
        values = [known(name) for name in ids]
        odd = [f"'{printable(name)}'" for name, row in zip(ids, values, strict=True) if row is None]
        if odd:
            problems.append(Problem("E612", counted(f"sample ids that are not {self.id_form}", odd, len(ids))))
            return contents
        rows = [row for row in values if row is not None]
        for name in rows[0] if rows else ():
            if name not in samples.column_names:
                samples = samples.append_column(name, pa.array([row[name] for row in rows]))
        return with_fields(contents, samples=samples)


def _files(layout: Sequence[ReleaseTable]) -> str:
    needed = ", ".join(sheet.files[0] for sheet in layout if not sheet.without)
    others = ", ".join(sheet.files[0] for sheet in layout if sheet.without)
    return f"{needed} [{others}]" if others else needed


def _presence(layout: Sequence[ReleaseTable], release: Path) -> tuple[bool, int]:
    """Return whether all files exist that a layout needs, and how many of its files do."""
    present = [sheet for sheet in layout if sheet.path(release) is not None]
    return all(sheet in present for sheet in layout if not sheet.without), len(present)


def _features(root: Path, names: Sequence[str], problems: list[Problem], warnings: list[Problem]) -> dict[str, Feature]:
    """Return the features in the folders of `root`; a sample without a file is a warning."""
    folders = sorted(path for path in root.glob("*/") if not path.name.startswith("."))
    if not folders:
        problems.append(Problem("E616", f"{root}: no folder of a feature in it, with one .npy per sample"))
    features = {}
    for folder in folders:
        try:
            feature = features[folder.name] = read_feature(str(folder), wanted=names)
        except UsageError as error:
            problems.append(Problem("E616", f"feature '{folder.name}': {error}"))
            continue
        covered = set(feature.ids.to_pylist())
        absent = [name for name in names if name not in covered]
        if absent:
            message = counted("samples without a file", absent, len(names))
            warnings.append(Problem("W603", f"feature '{folder.name}': {message}"))
    return features
