"""A corpus's name goes in, the corpus of the data home comes out, built first where merbench can build it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from merbench.corpus.declaration import FILE_NAME
from merbench.corpus.folder import Corpus, read_corpus, require_free
from merbench.corpus.importing import IMPORTERS
from merbench.errors import DeclarationError, Problem, UnknownName, UsageError
from merbench.files import atomic_folder, data_home, exclusive, expanded, is_path
from merbench.registry import Registry


@dataclass(frozen=True)
class Builder:
    """A corpus that merbench makes itself.

    Attributes:
        version: version of what is built; an older corpus in the data home is replaced.
        build: writes the corpus into an empty folder.
    """

    version: str
    build: Callable[[Path], Corpus]


BUILDERS: Registry[Callable[[], Builder]] = Registry("corpus builder", "merbench.corpora")
"""Functions that return the builder of a corpus; called only when the corpus is asked for."""


def _sample_builder() -> Builder:
    sample = importlib.import_module("merbench.sample")  # a higher room, known here by name alone
    return Builder(sample.VERSION, sample.build_sample)


BUILDERS.add("sample", _sample_builder)


def corpora_home() -> Path:
    """Return the folder of the data home that holds corpora, one folder each."""
    return data_home() / "corpora"


def own_folder(name: str) -> Path:
    """Return where the data home keeps a corpus of one's own; raise `UsageError` for a name that merbench builds."""
    if name in BUILDERS:
        raise UsageError(f"'{name}' is a corpus that merbench builds itself; choose another name")
    return corpora_home() / name


def open_corpus(name_or_path: str | Path, relative_to: Path | None = None) -> Corpus:
    """Return a corpus by its name in the data home, or by the path of its folder.

    A `Path`, and text with a separator in it (`./corpus`), is a path.

    Args:
        name_or_path: name, or path.
        relative_to: folder that a relative path starts from; the working directory when None.

    Raises:
        UnknownName: the data home has no corpus of this name.
        UsageError: the path is not a corpus folder.
        DeclarationError: its `corpus.toml` has problems.
    """
    if is_path(name_or_path):
        return read_corpus((relative_to or Path()) / expanded(name_or_path))
    name, folder = str(name_or_path), corpora_home() / name_or_path
    corpus = _stored(folder)
    if (corpus is None or corpus.synthetic) and name in BUILDERS:
        corpus = _current(name, folder)
    if corpus is None:
        raise UnknownName("corpus", name, list_corpora(), hint=_hint(name))
    if corpus.name != name:
        message = f"'{corpus.name}' is not the folder's name, '{name}'; they must be equal"
        raise DeclarationError(str(folder / FILE_NAME), [Problem("E207", message, column="name")])
    return corpus


def _hint(name: str) -> str:
    if (Path(name) / FILE_NAME).is_file():
        return f"there is a corpus folder of this name here: write ./{name}"
    if name in IMPORTERS:
        return f"import the released files with `merbench corpus import {name} PATH`"
    return "own data come in with `merbench corpus create`"


def list_corpora() -> tuple[str, ...]:
    """Return the names that `open_corpus` knows, sorted: the corpora of the data home and those it can build."""
    there = (path.parent.name for path in corpora_home().glob(f"*/{FILE_NAME}"))
    return tuple(sorted({*BUILDERS, *(name for name in there if not name.startswith("."))}))


def _stored(folder: Path) -> Corpus | None:
    return read_corpus(folder) if (folder / FILE_NAME).is_file() else None


def _current(name: str, folder: Path) -> Corpus:
    """Return the stored corpus when it is as new as its builder, else a newly built one."""
    version = _version_key(BUILDERS[name]().version)
    corpus = _stored(folder)
    if corpus is not None and _version_key(corpus.version) >= version:
        return corpus
    with exclusive(folder.parent / f".{name}.lock"):
        corpus = _stored(folder)  # another process may have built it meanwhile
        if corpus is not None and _version_key(corpus.version) >= version:
            return corpus
        return build_corpus(name, folder, replace=True)


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def build_corpus(name: str, folder: Path, *, replace: bool = False) -> Corpus:
    """Build a corpus that merbench makes itself into a folder, all of it or nothing; says so on stderr.

    Raises:
        UnknownName: merbench builds no corpus of this name.
        UsageError: the folder is there already and is not to be replaced.
        OutputError: the folder cannot be written.
    """
    builder = BUILDERS[name]()
    require_free(folder, replace=replace)
    print(f"building the synthetic {name} corpus in {folder}", file=sys.stderr)
    with atomic_folder(folder, replace=replace) as beside:
        builder.build(beside)
    return read_corpus(folder)
