"""A bank's name goes in, the bank of the data home comes out, built first where merbench makes it itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from merbench.banks.bank import Bank, Sound
from merbench.banks.sounds import SILENCE
from merbench.banks.storing import FILE_NAME, NAME, read_stored
from merbench.errors import IntegrityError, Problem, UnknownName, UsageError, examples, printable, problem_lines
from merbench.files import atomic_folder, data_home, exclusive, expanded, sha256_file


@dataclass(frozen=True)
class Builder:
    """A bank that merbench makes itself.

    Attributes:
        version: version of what is made; an older bank in the data home is replaced.
        build: writes the bank into an empty folder.
    """

    version: str
    build: Callable[[Path], None]


def _synthetic() -> Builder:
    from merbench.banks.synthetic import VERSION, build_synthetic

    return Builder(VERSION, build_synthetic)


BUILDERS: Mapping[str, Callable[[], Builder]] = MappingProxyType({"synthetic": _synthetic})
"""Functions that return the builder of a bank; called only when the bank is asked for."""

RELEASES = ("musan",)
"""Names of public releases, which are imported in a way of their own."""


def banks_home() -> Path:
    """Return the folder of the data home that holds noise banks, one folder each."""
    return data_home() / "banks"


def list_banks() -> tuple[str, ...]:
    """Return the names that `open_bank` knows, sorted: the banks of the data home and those it can build."""
    there = (path.parent.name for path in banks_home().glob(f"*/{FILE_NAME}"))
    return tuple(sorted({*BUILDERS, *(name for name in there if not name.startswith("."))}))


def require_name(name: str) -> str:
    """Return a name that a bank of one's own may have; raise `UsageError` for any other."""
    if not NAME.fullmatch(name):
        raise UsageError(f"'{printable(name)}' is no name of a noise bank; a-z, 0-9 and - are allowed, 39 at most")
    if name in BUILDERS:
        raise UsageError(f"'{name}' is a noise bank that merbench builds itself; choose another name")
    return name


def open_bank(name: str | Path, relative_to: Path | None = None) -> Bank:
    """Return a bank, or one part or class of it, ready to be drawn from.

    A name such as `musan` or `musan/speech` is looked for in the data home; a `Path`, and text that begins with `.`,
    `~` or `/`, is the path of a bank's folder, behind which a part may stand.

    Args:
        name: name, or path.
        relative_to: folder that a relative path starts from; the working directory when None.

    Raises:
        UnknownName: there is no bank, part or class of this name.
        UsageError: the path is no bank, or what it names holds nothing but silence.
        IntegrityError: sounds are not there any more, or changed their size.
    """
    bank, part = _found(name, relative_to or Path())
    if part:
        bank = bank.of(part)
    _require_sounds(bank)
    return bank


def read_bank(folder: Path) -> Bank:
    """Return the bank in a folder, whose sounds are not looked at.

    Raises:
        UsageError: the folder is no bank, or its `bank.toml` cannot be read.
        IntegrityError: its table is not the one that was recorded.
    """
    if not (folder / FILE_NAME).is_file():
        raise UsageError(f"{folder}: is no noise bank, it has no {FILE_NAME}; `merbench bank import` makes one")
    return read_stored(folder)


def build_bank(name: str, folder: Path | None = None, *, replace: bool = False) -> Bank:
    """Build a bank that merbench makes itself into a folder, all of it or nothing; says so on stderr.

    Args:
        name: name of the bank.
        folder: the folder; that of the data home when None.
        replace: whether a bank that stands there goes.

    Raises:
        UnknownName: merbench builds no bank of this name.
        UsageError: the folder is there already and is not to be replaced.
        OutputError: the folder cannot be written.
    """
    if name not in BUILDERS:
        raise UnknownName("noise bank that merbench builds", name, BUILDERS)
    folder = folder or banks_home() / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / FILE_NAME).is_file():
            raise UsageError(f"{folder}: is no noise bank, and only a noise bank is replaced by one")
        if not replace:
            raise UsageError(f"{folder}: is there already; --force replaces it")
    print(f"building the {name} noise bank in {folder}", file=sys.stderr)
    with atomic_folder(folder, replace=True) as beside:
        BUILDERS[name]().build(beside)
    return read_bank(folder)


def verify_bank(bank: Bank) -> list[Problem]:
    """Return which sounds of a bank are gone, or are not what was recorded; every file is read."""
    return [problem for sound in bank.sounds if (problem := _file_problem(bank.folder, sound))]


def _file_problem(folder: Path, sound: Sound) -> Problem | None:
    try:
        same = sha256_file(folder / sound.file) == sound.sha256
    except OSError as error:
        return Problem("E601", f"{printable(sound.file)}: cannot be read: {error.strerror}")
    return None if same else Problem("E602", f"{printable(sound.file)}: the file changed")


def _found(name: str | Path, start: Path) -> tuple[Bank, str]:
    """Return a bank and the name of the part that is meant; empty for all of it."""
    text = str(name)
    if isinstance(name, Path) or text.startswith((".", "~", "/", "\\")) or Path(text).is_absolute():
        path = start / expanded(text)
        if not (path / FILE_NAME).is_file() and (path.parent / FILE_NAME).is_file():
            return read_bank(path.parent), path.name
        return read_bank(path), ""
    bank_name, _, part = text.partition("/")
    folder = banks_home() / bank_name
    bank = _current(bank_name, folder) if bank_name in BUILDERS else None
    if bank is None and (not NAME.fullmatch(bank_name) or not (folder / FILE_NAME).is_file()):
        raise UnknownName("noise bank", bank_name, list_banks(), hint=_hint(text, bank_name))
    return bank or read_bank(folder), part


def _hint(text: str, name: str) -> str:
    if (Path(text) / FILE_NAME).is_file():
        return f"there is a bank's folder here: write ./{text}"
    if name in RELEASES:
        return f"import the released files with `merbench bank import {name} PATH`"
    return "a folder of sounds comes in with `merbench bank import NAME FOLDER`"


def _current(name: str, folder: Path) -> Bank:
    """Return the stored bank when it is as new as its builder, else a newly built one."""
    version = _version_key(BUILDERS[name]().version)

    def stored() -> Bank | None:
        bank = read_bank(folder) if (folder / FILE_NAME).is_file() else None
        return bank if bank is not None and _version_key(bank.version) >= version else None

    bank = stored()
    if bank is not None:
        return bank
    with exclusive(folder.parent / f".{name}.lock"):
        return stored() or build_bank(name, folder, replace=True)  # another process may have built it meanwhile


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _require_sounds(bank: Bank) -> None:
    if not bank.sounds:
        raise UsageError(f"noise bank {bank.name}: there is no sound in it")
    if all(sound.rms < SILENCE for sound in bank.sounds):
        raise UsageError(f"noise bank {bank.name}: all of its sounds are silent")
    changed = [
        f"{printable(sound.file)}: {what}"
        for sound in bank.sounds
        if (what := _change(bank.folder / sound.file, sound.n_bytes))
    ]
    if changed:
        problems = examples(changed, lambda text: Problem("E602", text))
        raise IntegrityError(*problem_lines(f"noise bank {bank.name} in {bank.folder}", problems))


def _change(path: Path, n_bytes: int) -> str:
    try:
        found = path.stat().st_size
    except OSError:
        return "the file is recorded but missing"
    return "" if found == n_bytes else f"the file changed: {found:,} bytes, recorded {n_bytes:,}"
