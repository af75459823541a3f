"""Lexicons of emotion words: codes of base forms, wheel words and sectors of emotion wheels.

A label is looked up in three steps, as the released scorers of MER 2025 and 2026 do: label → base forms → wheel words
→ one sector on each wheel.

Conventions:
    The data home contains a folder per lexicon: `lexicon.toml` (name, source, digest of the content, SHA-256 of every
    file) and the canonical files of `merbench.lexicon.content`. Files are checked when they are read. The compiled
    arrays are kept next to them, in `.compiled`, under the digest of those files.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

from merbench.errors import MerbenchError, UsageError
from merbench.files.reading import read_verified, sha256_bytes
from merbench.files.toml import toml_text
from merbench.files.writing import write_bytes, write_text
from merbench.lexicon.compiled import Ambiguity, Lexicon, Lookup
from merbench.lexicon.content import HEADERS, Content, read_content, read_english
from merbench.lexicon.importing import read_release, require_path
from merbench.store import NAME, Store, require_content

__all__ = ["LEXICONS", "Ambiguity", "Content", "Lexicon", "Lookup", "import_lexicon", "open_lexicon"]


def open_lexicon(name: str) -> Lexicon:
    """Return a lexicon of merbench or of the data home by its name.

    Raises:
        UnknownName: no lexicon of this name.
        IntegrityError: a file changed since it was imported.
        UsageError: its `lexicon.toml` cannot be read.
    """
    return LEXICONS.named(name)


def import_lexicon(path: str | Path, name: str | None = None, *, replace: bool = False) -> Lexicon:
    """Store the lexicon of released files in the data home and return it.

    Args:
        path: folder of the release, or `wheel_mapping.npz` of 2026.
        name: name of the lexicon; by default that of the folder.
        replace: whether a lexicon of this name is replaced.

    Raises:
        UsageError: no release at the path, or the name is not valid or already exists.
        InvalidLexicon: the released files do not contain what they should; all problems are listed.
    """
    path = Path(path)
    require_path(path)
    if name is None:
        name = (path if path.is_dir() else path.parent).resolve().name
        if not NAME.fullmatch(name):
            raise UsageError(f"{path}: the folder's name is not valid for a lexicon; --name gives it another")
    folder = LEXICONS.own_folder(name)
    LEXICONS.require_free(folder, replace=replace)
    content, source = read_release(path)
    files = content.files()
    digests = {file: sha256_bytes(data) for file, data in files.items()}
    stated = {"name": name, "source": source, "digest": content.digest, "files": digests}
    with LEXICONS.writing(folder, replace=replace) as temporary:
        for file, data in files.items():
            write_bytes(temporary / file, data)
        write_text(temporary / LEXICONS.file_name, toml_text(stated))
    return LEXICONS.read(folder)


def _load(folder: Path) -> Lexicon:
    """Return the lexicon in a folder, compiled again where there is no compiled form."""
    recorded = LEXICONS.declaration(folder, ("name", "source", "digest"), HEADERS)
    declaration = folder / LEXICONS.file_name
    if recorded["name"] != folder.name:
        raise UsageError(f"{declaration}: the name must be that of the folder, '{folder.name}'")
    files = {name: read_verified(folder / name, recorded["files"][name]) for name in HEADERS}
    compiled = folder.parent / ".compiled" / f"{sha256_bytes(*files.values())}.npz"
    lexicon = Lexicon.from_npz(compiled, name=recorded["name"], source=recorded["source"])
    if lexicon is None:
        lexicon = Lexicon.compile(read_content(files), name=recorded["name"], source=recorded["source"])
        with suppress(MerbenchError):  # a data home that cannot be written can still be read
            write_bytes(compiled, lexicon.to_npz())
    require_content(declaration, lexicon.digest, recorded["digest"])
    return lexicon


@cache
def _english() -> Lexicon:
    content, source = read_english()
    return Lexicon.compile(content, name="english", source=source)


LEXICONS = Store(
    kind="lexicon",
    folder="lexicons",
    file_name="lexicon.toml",
    load=_load,
    hint=lambda _: "import the files released by MER 2025 and 2026 with `merbench lexicon import PATH`",
    shipped={"english": _english},
)
