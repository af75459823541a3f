"""Named folders with digests in the data home: corpora, noise banks, lexicons, synonym groups, weights of extractors.

Conventions:
    The data home has a folder for each kind, such as `banks`, and in it a folder for each item, which has its name. An
    item has a declaration, such as `bank.toml`, and the files whose digests the declaration records. It is written
    next to its place and renamed, so that it exists completely or not at all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from merbench.builders import Builder
from merbench.errors import IntegrityError, Problem, UnknownName, UsageError, printable
from merbench.files.paths import data_home, expanded, is_path
from merbench.files.reading import sha256_file
from merbench.files.toml import read_toml
from merbench.files.writing import atomic_folder, exclusive
from merbench.registry import Registry

Item = TypeVar("Item")
Builders = Mapping[str, Callable[[], Builder]] | Registry[Callable[[], Builder]]

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
"""What an item may be called."""


@dataclass(frozen=True, eq=False)
class Store(Generic[Item]):
    """The items of one kind."""

    kind: str  # what messages call an item, such as `noise bank`
    folder: str  # the folder of the data home that holds them
    file_name: str  # the file that makes a folder an item
    load: Callable[[Path], Item]  # returns the item in a folder that has this file
    hint: Callable[[str], str]  # name that is not known -> how an item of this name gets into the data home
    # name -> function that returns the builder of an item that merbench makes on first use
    builders: Builders = field(default_factory=dict)
    # name -> function that returns an item that comes with merbench and has no folder
    shipped: Mapping[str, Callable[[], Item]] = field(default_factory=dict)
    # the version of an item, if a newer version of its builder replaces it, else None
    version_of: Callable[[Item], str | None] = lambda _: None

    @property
    def home(self) -> Path:
        """The folder of the data home that holds the items, one folder each."""
        return data_home() / self.folder

    def holds(self, name: str) -> bool:
        """Return whether the data home has a folder of an item of this name."""
        return bool(NAME.fullmatch(name)) and (self.home / name / self.file_name).is_file()

    def names(self) -> tuple[str, ...]:
        """Return the names of all items, sorted: those of the data home, and those that merbench has or makes."""
        folders = (path.parent.name for path in self.home.glob(f"*/{self.file_name}"))
        return tuple(sorted({*self.builders, *self.shipped, *(name for name in folders if not name.startswith("."))}))

    def open(self, name_or_path: str | Path, relative_to: Path | None = None) -> Item:
        """Return an item by its name, or by the path of its folder: a `Path`, or text with a separator (`./bank`).

        A relative path starts from `relative_to`, or from the working directory when that is None.

        Raises:
            UnknownName: no item of this name.
            UsageError: the path is not the folder of an item, or its declaration has problems.
            IntegrityError: what was recorded of the item is not so any more.
        """
        if is_path(name_or_path):
            return self.read((relative_to or Path()) / expanded(name_or_path))
        here = f"the working directory has a folder of this name: write ./{name_or_path}"
        return self.named(str(name_or_path), hint=here if Path(name_or_path, self.file_name).is_file() else None)

    def named(self, name: str, hint: str | None = None) -> Item:
        """Return an item by its name, built first where merbench makes it itself; see `open`."""
        if name in self.shipped:
            return self.shipped[name]()
        item = self.load(self.home / name) if self.holds(name) else None
        if (item is None or self.version_of(item) is not None) and name in self.builders:
            return self._current(name, item)
        if item is None:
            raise UnknownName(self.kind, name, self.names(), hint=hint or self.hint(name))
        return item

    def read(self, folder: Path) -> Item:
        """Return the item in a folder; see `open`."""
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder")
        if not (folder / self.file_name).is_file():
            raise UsageError(f"{folder}: no {self.file_name} in this folder; {self.hint(folder.name)}")
        return self.load(folder)

    def _current(self, name: str, item: Item | None) -> Item:
        """Return the stored item when it is as new as its builder, else one that is built now."""
        newest = self.builders[name]().version
        if item is not None and self._is_as_new(item, newest):
            return item
        with exclusive(self.home / f".{name}.lock"):
            # Another process may have built it meanwhile.
            item = self.load(self.home / name) if self.holds(name) else None
            return item if item is not None and self._is_as_new(item, newest) else self.build(name, replace=True)

    def _is_as_new(self, item: Item, newest: str) -> bool:
        version = self.version_of(item)
        return version is None or _version_key(version) >= _version_key(newest)

    def build(self, name: str, folder: Path | None = None, *, replace: bool = False) -> Item:
        """Build an item that merbench makes itself, in the data home or another folder; says so on stderr.

        Raises:
            UnknownName: merbench does not build an item of this name.
            UsageError: the folder already exists and may not be replaced.
            OutputError: the folder cannot be written.
        """
        if name not in self.builders:
            raise UnknownName(f"{self.kind} builder", name, self.builders)
        folder = folder or self.home / name
        with self.writing(folder, replace=replace) as temporary:
            print(f"building the {name} {self.kind} in {folder}", file=sys.stderr)
            self.builders[name]().build(temporary)
        return self.load(folder)

    def own_folder(self, name: str) -> Path:
        """Return where the data home keeps an item of the user's own; raise `UsageError` for a name it may not have."""
        if not NAME.fullmatch(name):
            allowed = "a-z, 0-9 and - are allowed, 64 characters at most"
            raise UsageError(f"{self.kind} name '{printable(name)}' is not valid; {allowed}")
        if name in self.builders or name in self.shipped:
            raise UsageError(f"{self.kind} '{name}' comes with merbench; choose another name")
        return self.home / name

    def require_free(self, folder: Path, *, replace: bool) -> None:
        """Raise `UsageError` if writing an item would replace something that must not be replaced."""
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder}: is a file; remove it")
        if not folder.is_dir() or not any(folder.iterdir()):
            return
        if not (folder / self.file_name).is_file():
            raise UsageError(f"{folder}: already exists and has no {self.file_name}; not replaced")
        if not replace:
            raise UsageError(f"{folder}: already exists; --force replaces it")

    @contextmanager
    def writing(self, folder: Path, *, replace: bool) -> Iterator[Path]:
        """Yield an empty folder that takes the place of `folder` when the block ends without an error; see `build`."""
        self.require_free(folder, replace=replace)
        with atomic_folder(folder, replace=replace) as temporary:
            yield temporary

    def declaration(self, folder: Path, texts: Collection[str], files: Collection[str] = ()) -> dict[str, Any]:
        """Return what an item declares; raise `UsageError` if it lacks one of `texts`, or the digest of a file."""
        stated = read_toml(folder / self.file_name)
        digests = stated.get("files", {})
        lacking = [key for key in texts if not isinstance(stated.get(key), str)]
        lacking += [name for name in files if not isinstance(digests, dict) or not isinstance(digests.get(name), str)]
        if lacking:
            raise UsageError(f"{folder / self.file_name}: no text for {', '.join(lacking)}; {self.hint(folder.name)}")
        return stated


def require_content(path: Path, digest: str, recorded: str) -> None:
    """Raise `IntegrityError` if the digest of what a file says is not the recorded one."""
    if digest != recorded:
        raise IntegrityError(f"{path}: the content has the digest {digest[:12]}…, recorded {recorded[:12]}…")


def file_problem(path: Path, name: str, recorded: str) -> Problem | None:
    """Return the problem of a file whose digest was recorded; None if it has none."""
    try:
        if not path.is_file():
            return Problem("E601", f"{printable(name)}: the file is recorded but missing")
        same = sha256_file(path) == recorded
    except OSError as error:
        return Problem("E601", f"{printable(name)}: cannot be read: {error.strerror}")
    return None if same else Problem("E602", f"{printable(name)}: the file changed")


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]+", version))
