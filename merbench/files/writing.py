"""Files and folders that appear complete or not at all, and locks that processes hold on them.

Conventions:
    A path `-` means standard output. Regular files are written next to their place and renamed; devices, pipes and `-`
    are written directly.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from merbench.errors import OutputError, UsageError, fault


def _output_error(path: Path | str, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {fault(error)}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path` that takes its place when the block ends without an error.

    The temporary name ends as `path` does, for writers that look at the suffix. A device or pipe is yielded itself.
    Missing parent folders are made. An `OSError` while writing becomes an `OutputError`; what was there before stays.
    """
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            yield path
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    except OSError as error:
        raise _output_error(path, error) from error


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder next to `path` that takes its place when the block ends without an error.

    `path` must not exist, or be an empty folder, unless `replace` is true. What a killed process left half written
    next to it is removed first.
    """
    try:
        if path.parent.is_dir():
            sweep(path.parent)
        if not replace and path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OutputError(f"{path}: already exists")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path, folder=True) as temporary:
            try:
                yield temporary
            except OutputError as error:  # names the temporary folder; the user knows the final path
                raise OutputError(str(error).replace(str(temporary), str(path))) from error
            temporary.chmod(0o777 & ~_umask())
            if replace and path.exists():
                _replace_folder(path, temporary)
            else:
                if path.exists():
                    path.rmdir()
                temporary.rename(path)
    except OSError as error:
        raise _output_error(path, error) from error


def _replace_folder(path: Path, temporary: Path) -> None:
    """Rename `temporary` to `path`; the old folder is moved aside first, and comes back when the rename fails."""
    with _temporary(path, folder=True, mark="old-") as aside:
        path.replace(aside / path.name)
        try:
            temporary.rename(path)
        except OSError:
            (aside / path.name).replace(path)
            raise


@contextmanager
def _temporary(path: Path, *, folder: bool = False, mark: str = "") -> Iterator[Path]:
    """Yield an empty hidden file or folder next to `path`, which is removed if it still exists at the end.

    It is locked as long as this process lives, so that `sweep` in another one leaves it. It has its name only when it
    is locked; until then, `sweep` looks at its age.
    """
    start = f".{(path.name if folder else path.stem)[:40]}.merbench-"
    prefix = f"{start}new-"
    if folder:
        new = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
        descriptor = None if sys.platform == "win32" else os.open(new, os.O_RDONLY)
    else:
        descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        new = Path(name)
    temporary = path.parent / f"{start}{mark}{new.name.removeprefix(prefix)}"
    try:
        if sys.platform == "win32":  # a lock would keep this process, too, from writing and renaming
            if descriptor is not None:
                os.close(descriptor)
            descriptor = None
        elif descriptor is not None:
            with suppress(OSError):  # file systems without locks
                _try_lock(descriptor)
        new.rename(temporary)
        yield temporary
    finally:
        for left in (new, temporary):
            if folder:
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)


_HALF_WRITTEN = re.compile(r"\..*\.merbench-(?P<mark>old-|new-)?[a-z0-9_]{8}(?:\.\w+)?", re.DOTALL)

_LOCKED_AFTER_S = 60.0
"""Seconds after which a living process has long locked what it made."""


def sweep(folder: Path, suffixes: Collection[str] = (), *, deep: bool = False) -> None:
    """Remove what a killed process left half written in a folder, and put back what it had moved aside.

    Files of a living process are kept. Where files cannot be locked (Windows, some network folders), only files with
    one of the suffixes are removed.

    Args:
        folder: where to look.
        suffixes: files with these, such as `.mp4`, are always removed: no other process may write them there.
        deep: whether to look in the folders below, too.
    """
    for path in list(folder.rglob(".*.merbench-*") if deep else folder.glob(".*.merbench-*")):
        name = _HALF_WRITTEN.fullmatch(path.name)
        if not name or path.is_symlink() or not (path.suffix in suffixes or _is_abandoned(path, name["mark"])):
            continue
        if path.is_dir():
            for old in path.iterdir() if name["mark"] == "old-" else ():
                if not (path.parent / old.name).exists():
                    old.replace(path.parent / old.name)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path, mark: str | None) -> bool:
    """Return whether no living process has locked what `_temporary` made, or is about to lock it."""
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        is_young = mark == "new-" and time.time() - os.fstat(descriptor).st_mtime < _LOCKED_AFTER_S
        return not is_young and _try_lock(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; another process that asks for it waits until then.

    The operating system frees the lock of a process that ends in any way; the empty file stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise _output_error(path, error) from error
    with file:
        _lock(file.fileno())
        yield


def is_locked(path: Path) -> bool:
    """Return whether a living process has locked a file, which is made."""
    with path.open("ab") as file:
        return not _try_lock(file.fileno())


def require_alone(descriptor: int, message: str) -> None:
    """Lock an open file until it is closed; raise `UsageError` if another process has locked it."""
    if not _try_lock(descriptor):
        raise UsageError(message)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _lock(descriptor: int) -> None:
        while True:
            try:
                return msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
            except OSError as error:  # it gives up after ten seconds
                if error.errno != errno.EDEADLOCK:
                    raise
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to a file, atomically, or directly to a device, a pipe or (`-`) standard output."""
    if str(path) == "-":
        try:
            sys.stdout.flush()  # what was printed before comes first
            if (buffer := getattr(sys.stdout, "buffer", None)) is None:  # a notebook's output takes only text
                sys.stdout.write(data.decode())
            else:
                buffer.write(data)
                buffer.flush()
        except OSError as error:
            raise _output_error("standard output", error) from error
        return
    path = Path(path)
    with atomic_path(path) as target, target.open("wb") as file:
        file.write(data)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 with its line ends as they are, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))
