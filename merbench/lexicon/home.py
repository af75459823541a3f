"""A lexicon's name goes in, the compiled lexicon comes out: from the data home, or one that comes with merbench.

Conventions:
    The data home holds a folder per lexicon: `lexicon.toml` (name, source, digest of what it says, SHA-256 of every
    file) and the canonical files of `merbench.lexicon.content`. Files are checked when they are read. The compiled
    arrays are kept beside them, in `.compiled`, under the digest of those files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from merbench.errors import IntegrityError, MerbenchError, UnknownName, UsageError, printable
from merbench.files import (
    atomic_folder,
    data_home,
    read_toml,
    read_verified,
    sha256_bytes,
    toml_text,
    write_bytes,
    write_text,
)
from merbench.lexicon.builtin import BUILTIN, read_builtin
from merbench.lexicon.compiled import Lexicon
from merbench.lexicon.content import HEADERS, Content, read_content
from merbench.lexicon.importing import read_release, require_there
from merbench.lexicon.storing import from_bytes, to_bytes

FILE_NAME = "lexicon.toml"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")


def lexicons_home() -> Path:
    """Return the folder of the data home that holds lexicons, one folder each."""
    return data_home() / "lexicons"


def list_lexicons() -> tuple[str, ...]:
    """Return the names that `open_lexicon` knows, sorted."""
    there = (path.parent.name for path in lexicons_home().glob(f"*/{FILE_NAME}"))
    return tuple(sorted({*BUILTIN, *(name for name in there if not name.startswith("."))}))


def open_lexicon(name: str) -> Lexicon:
    """Return a lexicon by its name.

    Raises:
        UnknownName: neither merbench nor the data home has a lexicon of this name.
        IntegrityError: a file changed since it was imported.
        UsageError: its `lexicon.toml` cannot be read.
    """
    if name in BUILTIN:
        return _built_in(name)
    folder = lexicons_home() / name
    if not _NAME.fullmatch(name) or not (folder / FILE_NAME).is_file():
        hint = "the files released by MER 2025 and 2026 come in with `merbench lexicon import PATH`"
        raise UnknownName("lexicon", name, list_lexicons(), hint=hint)
    return _stored(folder)


def import_lexicon(path: str | Path, name: str | None = None, *, replace: bool = False) -> Lexicon:
    """Store the lexicon of released files in the data home and return it.

    Args:
        path: folder of the release, or `wheel_mapping.npz` of 2026.
        name: name of the lexicon; by default that of the folder.
        replace: whether a lexicon of this name goes.

    Raises:
        UsageError: there is no release at the path, or the name is no name or is taken.
        InvalidLexicon: the released files do not hold what they should; all problems are listed.
    """
    path = Path(path)
    require_there(path)
    remedy = "" if name else "; --name gives it another than the folder's"
    name = name or (path if path.is_dir() else path.parent).resolve().name
    if not _NAME.fullmatch(name):
        allowed = "a-z, 0-9 and - are allowed, 39 at most"
        raise UsageError(f"'{printable(name)}' is no name of a lexicon; {allowed}{remedy}")
    if name in BUILTIN:
        raise UsageError(f"'{name}' is a lexicon that comes with merbench; choose another name")
    folder = lexicons_home() / name
    if (folder / FILE_NAME).is_file() and not replace:
        raise UsageError(f"lexicon '{name}' is there already, in {folder}; replace it with --force")
    content, source = read_release(path)
    _write(folder, content, name=name, source=source)
    return _stored(folder)


@lru_cache
def _built_in(name: str) -> Lexicon:
    content, source = read_builtin(name)
    return Lexicon.compile(content, name=name, source=source)


def _write(folder: Path, content: Content, *, name: str, source: str) -> None:
    files = content.files()
    digests = {file: sha256_bytes(data) for file, data in files.items()}
    stated = {"name": name, "source": source, "digest": content.digest, "files": digests}
    with atomic_folder(folder, replace=True) as beside:
        for file, data in files.items():
            write_bytes(beside / file, data)
        write_text(beside / FILE_NAME, toml_text(stated))


def _stored(folder: Path) -> Lexicon:
    """Return the lexicon of a folder, compiled anew where the compiled form is not there."""
    recorded = _declaration(folder / FILE_NAME)
    files = {name: read_verified(folder / name, recorded["files"][name]) for name in HEADERS}
    compiled = folder.parent / ".compiled" / f"{sha256_bytes(*files.values())}.npz"
    lexicon = from_bytes(compiled, name=recorded["name"], source=recorded["source"])
    if lexicon is None:
        lexicon = Lexicon.compile(read_content(files), name=recorded["name"], source=recorded["source"])
        with suppress(MerbenchError):  # a data home that cannot be written is read all the same
            write_bytes(compiled, to_bytes(lexicon))
    if lexicon.digest != recorded["digest"]:
        told = f"what the files say has the digest {lexicon.digest[:12]}…, recorded {recorded['digest'][:12]}…"
        raise IntegrityError(f"{folder / FILE_NAME}: {told}")
    return lexicon


def _declaration(path: Path) -> Mapping[str, Any]:
    match read_toml(path):
        case {"name": path.parent.name, "source": str(), "digest": str(), "files": dict(files)} as recorded:
            if all(isinstance(files.get(name), str) for name in HEADERS):
                return recorded
    needed = f"name (the folder's), source, digest and the digests of {', '.join(HEADERS)}"
    raise UsageError(f"{path}: does not state {needed}; import the lexicon again")
