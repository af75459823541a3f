"""Where things are found: the data home, folders of tracks and baselines, and paths that must not overlap."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from merbench.errors import UnknownName, UsageError


def data_home() -> Path:
    """Return the folder that contains corpora: `$MERBENCH_HOME`, else the platform's user data folder."""
    chosen = os.environ.get("MERBENCH_HOME")
    if chosen:
        return expanded(chosen)
    from platformdirs import user_data_path

    return user_data_path("merbench", appauthor=False)


def expanded(path: str | Path) -> Path:
    """Return a path with `~` and `~user` replaced; raise `UsageError` if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path}: the home folder of this user is not known") from error


def is_path(name_or_path: str | Path) -> bool:
    """Return whether an argument is a path: a `Path`, or text with a separator. A bare name is looked up by name."""
    if not isinstance(name_or_path, str):
        return True
    return name_or_path in (".", "..") or name_or_path.startswith("~") or "/" in name_or_path or "\\" in name_or_path


def shipped_folder(plural: str) -> Path:
    """Return the folder of shipped declarations: `tracks/` of a checkout, `merbench/_tracks` of an installed wheel."""
    package = Path(__file__).parents[1]
    installed = package / f"_{plural}"
    return installed if installed.is_dir() else package.parent / plural


def search_folders(noun: str) -> list[Path]:
    """Return where a `"track"` (or `"baseline"`) is looked for: `$MERBENCH_TRACKS` (`…_BASELINES`), then shipped."""
    named = os.environ.get(f"MERBENCH_{noun.upper()}S", "")
    return [expanded(part) for part in named.split(os.pathsep) if part] + [shipped_folder(f"{noun}s")]


def list_folders(noun: str) -> list[Path]:
    """Return every folder with a `<noun>.toml` in the places that are searched, by name."""
    folders = [path.parent for place in search_folders(noun) for path in place.glob(f"*/{noun}.toml")]
    return sorted(folders, key=lambda folder: folder.name)


def find_folder(noun: str, name_or_path: str | Path) -> Path:
    """Return the one folder of a name, or of a path to a folder or its declaration.

    A bare name never means a folder of the working directory, which may contain untrusted files.

    Raises:
        UnknownName: no such folder; the nearest name is given.
        UsageError: two folders have the name; both are given. The folder has no declaration. The name is too long.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise UsageError(f"a {noun} is named by text or by the path of its folder, not by {name_or_path!r}")
    try:
        return _found(noun, name_or_path)
    except OSError as error:
        raise UsageError(f"{noun} '{name_or_path}': {error.strerror}") from error


def _found(noun: str, name_or_path: str | Path) -> Path:
    file_name = f"{noun}.toml"
    if is_path(name_or_path):
        path = expanded(name_or_path)
        if path.name == file_name and path.is_file():
            return path.parent
        if not (path / file_name).is_file():
            raise UsageError(f"{path}: no {file_name} in this folder" if path.is_dir() else f"{path}: no such folder")
        return path
    name = str(name_or_path)
    places = [place / name for place in search_folders(noun) if name]
    folders = [folder for folder in places if (folder / file_name).is_file()]
    if len({folder.resolve() for folder in folders}) > 1:
        raise UsageError(f"two folders have the name of the {noun} '{name}': {' and '.join(map(str, folders))}")
    if not folders:
        for folder in places:
            if folder.is_dir():
                raise UsageError(f"{folder}: no {file_name} in this folder")
        here = Path(name, file_name).is_file() or (name == file_name and Path(name).is_file())
        hint = f"the working directory has one: write ./{name}" if here else ""
        raise UnknownName(noun, name, {folder.name for folder in list_folders(noun)}, hint)
    return folders[0]


def resolve_inside(folder: Path, member: str) -> Path:
    """Return the path of `member` in `folder`; raise `UsageError` if it leads out, through a link or `..`."""
    root = folder.resolve()
    path = (root / member).resolve()
    if not path.is_relative_to(root):
        raise UsageError(f"{member}: leads out of {folder}")
    return path


def require_apart(output: Path | str, inputs: Iterable[Path | str], what: str) -> None:
    """Raise `UsageError` if writing `output` would replace one of the inputs, or the folder that one lies in.

    Args:
        output: the file or folder that is to be written.
        inputs: the files or folders that are read; `-` is ignored.
        what: what an input is, such as `the submission itself`.
    """
    place = Path(output)
    if str(output) == "-" or not (place.is_file() or place.is_dir()):
        return
    for path in (Path(source).resolve() for source in inputs if str(source) != "-"):
        if path.exists() and path.samefile(place):
            raise UsageError(f"{output} is {what}; name another output")
        if place.resolve() in path.parents:
            raise UsageError(f"{output} contains {what}; name another output")


def require_outside(output: Path, inputs: Path, what: str) -> None:
    """Raise `UsageError` if an output is the folder of inputs, or lies in it; `what` says what that folder is."""
    inner, outer = output.resolve(), inputs.resolve()
    if inner == outer or outer in inner.parents:
        raise UsageError(f"{output} is inside {inputs}, {what}; name an output outside")
