"""The only room that touches the disk on everyone's behalf: data home, atomic writes, digests, limits, safe pickles.

Conventions:
    A path `-` means standard input or output. Regular files are written beside their place and renamed;
    devices, pipes and `-` are written directly. Digests are SHA-256, in hexadecimal.
"""

from __future__ import annotations

import errno
import hashlib
import io
import lzma
import math
import os
import re
import shutil
import stat
import struct
import sys
import tempfile
import time
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

from merbench.errors import (
    Damage,
    DeclarationError,
    IntegrityError,
    OutputError,
    Problem,
    UnknownName,
    UsageError,
    examples,
    fault,
    printable,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def data_home() -> Path:
    """Return the folder that holds corpora: `$MERBENCH_HOME`, else the platform's user data folder."""
    chosen = os.environ.get("MERBENCH_HOME")
    if chosen:
        return expanded(chosen)
    from platformdirs import user_data_path

    return user_data_path("merbench", appauthor=False)


def expanded(path: str | Path) -> Path:
    """Return a path with `~` and `~user` replaced; raise `UsageError` where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path}: the home folder of this user is not known") from error


def sha256_bytes(*parts: bytes | memoryview) -> str:
    """Return the SHA-256 of the parts, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_verified(path: Path, expected: str) -> bytes:
    """Return the bytes of `path`; raise `IntegrityError` when they do not have the SHA-256 `expected`.

    What is checked is what is returned: the file is read once.
    """
    if not path.is_file():
        raise IntegrityError(f"{path}: the file is recorded but not there")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    _require_digest(path, sha256_bytes(data), expected)
    return data


Stamp = tuple[tuple[int, ...], ...]

_CLOCK_STEP = 2_000_000_000
"""Nanoseconds within which a file system may give two changes one time."""


def stamp(paths: Sequence[Path]) -> Stamp | None:
    """Return what changes when any of the files does: its identity, size and times.

    None where one is not there, or was touched so recently that another change might leave the same times.
    """
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return None
    if any(abs(time.time_ns() - max(s.st_mtime_ns, s.st_ctime_ns)) < _CLOCK_STEP for s in found):
        return None
    return tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found)


def _require_digest(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise IntegrityError(f"{path}: the file changed: sha256 {found[:12]}…, recorded {expected[:12]}…")


def _output_error(path: Path | str, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {fault(error)}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends without an error.

    The temporary name ends as `path` does, for writers that look at the suffix. A device or pipe is yielded
    itself. Missing parent folders are made. An `OSError` while writing becomes an `OutputError`, which leaves
    what was there before.
    """
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            yield path
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as beside:
            yield beside
            beside.chmod(0o666 & ~_umask())
            beside.replace(path)
    except OSError as error:
        raise _output_error(path, error) from error


_HALF_WRITTEN = re.compile(r"\..*\.merbench-(?P<mark>old-|new-)?[a-z0-9_]{8}(?:\.\w+)?", re.DOTALL)

_LOCKED_AFTER_S = 60.0
"""Seconds after which a process that still lives has long locked what it made."""


@contextmanager
def _beside(path: Path, *, folder: bool = False, mark: str = "") -> Iterator[Path]:
    """Yield an empty hidden file or folder beside `path`, which is removed if it is still there at the end.

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
    beside = path.parent / f"{start}{mark}{new.name.removeprefix(prefix)}"
    try:
        if sys.platform == "win32":  # a lock would keep this process, too, from writing and renaming
            if descriptor is not None:
                os.close(descriptor)
            descriptor = None
        elif descriptor is not None:
            with suppress(OSError):  # file systems without locks
                _try_lock(descriptor)
        new.rename(beside)
        yield beside
    finally:
        for left in (new, beside):
            if folder:
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)


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
        found = _HALF_WRITTEN.fullmatch(path.name)
        if not found or path.is_symlink() or not (path.suffix in suffixes or _is_abandoned(path, found["mark"])):
            continue
        if path.is_dir():
            for old in path.iterdir() if found["mark"] == "old-" else ():
                if not (path.parent / old.name).exists():
                    old.replace(path.parent / old.name)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path, mark: str | None) -> bool:
    """Return whether no living process holds the lock of what `_beside` made, or is about to lock it."""
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
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that takes its place when the block ends without an error.

    `path` must not exist, or be an empty folder, unless `replace` is true. What a killed process left half written
    next to it is removed first.
    """
    try:
        if path.parent.is_dir():
            sweep(path.parent)
        if not replace and path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OutputError(f"{path}: is there already")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path, folder=True) as beside:
            try:
                yield beside
            except OutputError as error:  # names the temporary folder; the user knows the final path
                raise OutputError(str(error).replace(str(beside), str(path))) from error
            beside.chmod(0o777 & ~_umask())
            if replace and path.exists():
                _replace_folder(path, beside)
            else:
                if path.exists():
                    path.rmdir()
                beside.rename(path)
    except OSError as error:
        raise _output_error(path, error) from error


def _replace_folder(path: Path, beside: Path) -> None:
    """Rename `beside` to `path`; what was there is moved aside first, and comes back when the rename fails."""
    with _beside(path, folder=True, mark="old-") as aside:
        path.replace(aside / path.name)
        try:
            beside.rename(path)
        except OSError:
            (aside / path.name).replace(path)
            raise


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


def require_alone(descriptor: int, message: str) -> None:
    """Lock an open file until it is closed; raise `UsageError` where another process holds it."""
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


def require_apart(output: Path | str, inputs: Iterable[Path | str], what: str) -> None:
    """Raise `UsageError` where writing `output` would replace one of the inputs, or the folder that one lies in.

    Args:
        output: the file or folder that is to be written.
        inputs: the files or folders that are read; `-` is none.
        what: what an input is, such as `the submission itself`.
    """
    place = Path(output)
    if str(output) == "-" or not (place.is_file() or place.is_dir()):
        return
    for path in (Path(source).resolve() for source in inputs if str(source) != "-"):
        if path.exists() and path.samefile(place):
            raise UsageError(f"{output} is {what}; name another output")
        if place.resolve() in path.parents:
            raise UsageError(f"{output} holds {what}; name another output")


def require_outside(output: Path, inputs: Path, what: str) -> None:
    """Raise `UsageError` where an output is a folder of inputs, or lies in it.

    Args:
        output: the folder that is to be written.
        inputs: the folder that is read.
        what: what that is, such as `the folder of clips`.
    """
    inner, outer = output.resolve(), inputs.resolve()
    if inner == outer or outer in inner.parents:
        raise UsageError(f"{output} lies in {inputs}, {what}; name an output outside")


def size_text(n_bytes: float) -> str:
    """Return a number of bytes in the unit that fits: `"1.2 GB"`, `"340 kB"`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes / 1e3:,.0f} kB"


_DEEPEST = 32
"""How deep the tables and lists of a TOML file may be nested, by dotted keys too."""

MOST_TOML_BYTES = 1_000_000
"""How many bytes a TOML file may hold."""

_NOT_KEYS = re.compile(
    rb'''"""(?:[^"\\]++|\\.|"(?!""))*+"{0,5}|"(?:[^"\\\n]++|\\.)*+"?'''
    rb"""|'''(?:[^']++|'(?!''))*+'{0,5}|'[^'\n]*+'?|#[^\n]*+""",
    re.DOTALL,
)
"""Strings and comments of a TOML file, those that are never closed included, so that each byte is read once."""
_NOT_IN_KEYS = re.compile(rb"[^\w. \t-]")


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a file; raise `Damage` where there are more than `most_bytes`, or `OSError`."""
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise Damage(f"holds more than {most_bytes:,} bytes")
    return data


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        UsageError: the file cannot be read.
        DeclarationError: see `parse_toml`.
    """
    try:
        data = read_bounded(path, MOST_TOML_BYTES)
    except (OSError, Damage) as error:
        raise UsageError(f"{path}: cannot be read: {fault(error)}") from error
    return parse_toml(str(path), data)


def parse_toml(where: str, data: bytes, syntax: str = "E207", values: str = "E207") -> dict[str, Any]:
    """Return what the bytes of a TOML file hold.

    Args:
        where: the file, for the message.
        data: its bytes.
        syntax: the code of a problem of the whole file.
        values: the code of a problem of one key.

    Raises:
        DeclarationError: it is not TOML in UTF-8, or nested too deeply; or there are whole numbers of more than 64
            bits, for which TOML asks for an error.
    """
    try:
        # The memory and time of reading a dotted key grow with the square of its parts.
        if any(key.count(b".") > _DEEPEST for key in _NOT_IN_KEYS.split(_NOT_KEYS.sub(b"", data))):
            raise RecursionError
        text = data.decode("utf-8-sig")
        try:
            raw = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            raise
        except ValueError:  # more digits than Python converts; a shorter number leads to the key
            raw = tomllib.loads(re.sub(r"\d[\d_]{999,}", "9" * 20, text))
        problems = examples(
            list(_too_large(raw)), lambda key: Problem(values, "is a whole number of more than 64 bits", column=key)
        )
    except (ValueError, RecursionError, MemoryError) as error:
        problems = [Problem(syntax, f"not a TOML file: {fault(error)}")]
    if problems:
        raise DeclarationError(where, problems)
    return raw


def _too_large(value: Any, key: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the keys of whole numbers beyond 64 bits."""
    if depth > _DEEPEST:
        raise RecursionError
    match value:
        case bool():
            pass
        case int() if not -(1 << 63) <= value < 1 << 63:
            yield key
        case dict():
            for name, item in value.items():
                yield from _too_large(item, f"{key}.{name}" if key else name, depth + 1)
        case list():
            for index, item in enumerate(value):
                yield from _too_large(item, f"{key}[{index}]", depth + 1)


def arrow_file(path: Path, mode: Literal["rb", "wb"] = "rb") -> pa.NativeFile:
    """Open a file for Arrow, whose own functions refuse a path that is not text in UTF-8."""
    import pyarrow as pa

    return pa.OSFile(os.fsencode(path), mode)


def toml_text(content: Mapping[str, Any]) -> str:
    """Return a TOML document that `parse_toml` reads back; raise `UsageError` for text that UTF-8 cannot hold."""
    import tomli_w

    text = tomli_w.dumps(content)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        start, end = text.rfind("\n", 0, error.start) + 1, text.find("\n", error.start)
        raise UsageError(f"{text[start:end]}: is not text in UTF-8") from error
    return text


def toml_key(key: str) -> str:
    """Return a key as a line of TOML needs it: in quotes where it has other characters than A-Z, a-z, 0-9, - and _."""
    return toml_text({key: 0}).removesuffix(" = 0\n")


def toml_value(value: str | Sequence[str]) -> str:
    """Return a text or a list of texts as TOML on one line."""
    if not isinstance(value, str):
        return f"[{', '.join(map(toml_value, value))}]"
    return toml_text({"_": value}).removeprefix("_ = ").removesuffix("\n")


def resolve_inside(folder: Path, member: str) -> Path:
    """Return the path of `member` in `folder`; raise `UsageError` where it leads out, through a link or `..`."""
    root = folder.resolve()
    path = (root / member).resolve()
    if not path.is_relative_to(root):
        raise UsageError(f"{member}: leads out of {folder}")
    return path


UNREADABLE_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    KeyError,
    IndexError,
)
"""What `zipfile` raises for archives that are corrupted, encrypted, or packed in ways that Python does not know."""

_NPY_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 14
_NPY_HEADER = re.compile(
    r"\{\s*'descr':\s*(?:'(?P<type>[^']{1,40})'|\[.*\]),\s*'fortran_order':\s*(?P<fortran>True|False),"
    r"\s*'shape':\s*\((?P<shape>(?:\d{1,19}L?,\s*)*(?:\d{1,19}L?)?)\)\s*,?\s*\}\s*",
    re.ASCII,
)
_DTYPE = re.compile(r"[<>|=]?(?:[?biufcSUOmMV]\d{0,9}(?:\[\d{0,9}\w+\])?)", re.ASCII)
_SURROGATES, _AFTER_SURROGATES, _LAST_CHARACTER = 0xD800, 0xE000, 0x10FFFF


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What the header of an `.npy` file states.

    Attributes:
        shape: length of every dimension.
        dtype: type of an item; a void type of size 0 where items have fields.
        is_fortran: whether the first index changes fastest.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @property
    def n_bytes(self) -> int:
        """How many bytes the items take."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def asks_for(self) -> int:
        """How many bytes there must be at least: items and dimensions without a size count for one."""
        return math.prod(max(n, 1) for n in self.shape) * max(self.dtype.itemsize, 1)


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """Return the header of an `.npy` file; what is read next are the items.

    Only the form that NumPy and other writers give it is read: NumPy's own reader evaluates a header as Python.

    Raises:
        Damage: it does not begin as an `.npy` file does.
    """
    import numpy as np

    head = file.read(8)
    n_length = 2 if head[6:7] == b"\1" else 4
    length = int.from_bytes(file.read(n_length), "little")
    if head[:6] != _NPY_MAGIC or head[6:] not in (b"\1\0", b"\2\0", b"\3\0") or length > _LONGEST_HEADER:
        raise Damage("does not begin as an .npy file does")
    text = file.read(length).decode("latin-1")
    found = _NPY_HEADER.fullmatch(text)
    if len(text) != length or found is None:
        raise Damage("its header is not that of an .npy file")
    shape = tuple(int(n.strip(" L")) for n in found["shape"].split(",") if n.strip())
    dtype = np.dtype("V0") if found["type"] is None else _plain_dtype(found["type"])
    return NpyHeader(shape, dtype, found["fortran"] == "True")


def _plain_dtype(text: str) -> np.dtype[Any]:
    """Return the type without fields that a text such as `<f4` names; raise `Damage` for any other text."""
    import numpy as np

    try:
        if _DTYPE.fullmatch(text):
            return np.dtype(text, copy=True)
    except (TypeError, ValueError, OverflowError):
        pass
    raise Damage(f"'{printable(text, 20)}' is not a type of items")


def read_npy_items(file: IO[bytes], header: NpyHeader) -> NDArray[Any]:
    """Return the array whose header has been read; raise `Damage` where items are missing or are not characters."""
    import numpy as np

    data = file.read(header.n_bytes)
    if len(data) < header.n_bytes:
        raise Damage(f"ends after {len(data):,} of {header.n_bytes:,} bytes")
    if not data:
        return np.zeros(header.shape, header.dtype)
    array = np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.is_fortran else "C")
    _require_characters(array)
    return array


def _require_characters(array: NDArray[Any]) -> None:
    """Raise `Damage` where the text of an array holds numbers that are not characters; NumPy does not check."""
    import numpy as np

    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        codes = np.ravel(array, order="K").view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if ((codes >= _SURROGATES) & (codes < _AFTER_SURROGATES) | (codes > _LAST_CHARACTER)).any():
            raise Damage("its text holds numbers that are not characters")


def read_npy(file: IO[bytes], n_bytes: int) -> NDArray[Any]:
    """Return the array in an `.npy` file of `n_bytes` bytes; raise `Damage` for one that is broken or a pickle."""
    header = read_npy_header(file)
    if header.dtype.hasobject:
        raise Damage("holds Python objects (a pickle), which are not read")
    if header.dtype.kind == "V":
        raise Damage("holds an array with fields; plain numbers or text are needed")
    if header.asks_for > n_bytes:
        raise Damage(f"its header asks for an array of shape {header.shape}, which is not in the file")
    return read_npy_items(file, header)


_SCALARS = (str, bytes, int, float, type(None))
_CONSTANTS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8".split()
)


class _Pickle:
    """Builds the value of a pickle without running it: NumPy's arrays and scalars are made by functions of our own.

    Python's unpickler is not used: it reserves what a pickle asks for, and what NumPy's functions do with a pickle's
    arguments is not bounded by its length.
    """

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self, file: BinaryIO) -> Any:
        import pickletools

        for operation, argument, _ in pickletools.genops(file):
            self._run(operation.name, argument)
        return self._stack.pop()

    def _run(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case _ if name in _CONSTANTS:
                if isinstance(argument, str):
                    argument.encode()  # a lone surrogate is not text
                elif isinstance(argument, int) and argument.bit_length() > 64:
                    raise Damage("a whole number of more than 64 bits")
                stack.append(argument)
            case "PUT" | "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                self._marks.append(len(stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_SET" | "EMPTY_TUPLE":
                stack.append({"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}[name]())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._popped(int(name[-1]))))
            case "LIST":
                stack.append(self._since_mark())
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "DICT":
                items = self._since_mark()
                stack.append({})
                self._set_items(items)
            case "APPEND" | "APPENDS":
                items = self._popped(1) if name == "APPEND" else self._since_mark()
                _of_type(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                self._set_items(self._popped(2) if name == "SETITEM" else self._since_mark())
            case "ADDITEMS":
                items = self._since_mark()
                _of_type(stack[-1], set).update(_key(item) for item in items)
            case "GLOBAL" | "STACK_GLOBAL":
                module, item = argument.split(" ") if name == "GLOBAL" else self._popped(2)
                stack.append(_global(module, item))
            case "REDUCE":
                function, arguments = self._popped(2)
                stack.append(_called(function, _of_type(arguments, tuple)))
            case "BUILD":
                (state,) = self._popped(1)
                _set_state(stack[-1], _of_type(state, tuple))
            case _:
                raise Damage(f"the operation {name} is not allowed")

    def _popped(self, n: int) -> list[Any]:
        if len(self._stack) < n + (self._marks[-1] if self._marks else 0):
            raise Damage("an operation without its operands")
        items = self._stack[-n:]
        del self._stack[-n:]
        return items

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _set_items(self, items: Sequence[Any]) -> None:
        target = _of_type(self._stack[-1], dict)
        target.update(zip(map(_key, items[::2]), items[1::2], strict=True))


_Kind = TypeVar("_Kind")


def _of_type(value: Any, kind: type[_Kind]) -> _Kind:
    if type(value) is not kind:
        raise Damage(f"{type(value).__name__} where a {kind.__name__} is needed")
    return value


def _key(value: Any) -> Any:
    """Return a key of a dictionary or an item of a set: containers, which may hold each other, are refused."""
    import numpy as np

    if not isinstance(value, (*_SCALARS, np.generic)):
        raise Damage(f"a key that is a {type(value).__name__}")
    return value


def _global(module: Any, name: Any) -> str:
    where = module.replace("numpy._core", "numpy.core") if isinstance(module, str) else module
    if (where, name) not in _FUNCTIONS:
        raise UsageError(f"the pickle asks for {printable(f'{module}.{name}', 120)}, which is not allowed")
    return f"{where}.{name}"


_FUNCTIONS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("_codecs", "encode"),
}


def _called(function: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what a function that a pickle may call returns."""
    import numpy as np

    match function, arguments:
        case "numpy.dtype", (str(text), *_):
            dtype = _plain_dtype(text)
            if dtype.kind not in "biufSUO":
                raise Damage(f"items of the type {dtype}")
            return dtype
        case "numpy.core.multiarray._reconstruct", ("numpy.ndarray", *_):
            return np.zeros(0, np.bool_)
        case "numpy.core.multiarray.scalar", (np.dtype() as dtype, bytes(data)):
            if dtype.hasobject or len(data) != dtype.itemsize:
                raise Damage("a scalar of another size than its type")
            item = np.frombuffer(data, dtype)
            _require_characters(item)
            return item[0]
        case "_codecs.encode", (str(text), "latin1"):
            return text.encode("latin-1")
    raise Damage("a call with other arguments than NumPy writes")


def _set_state(target: Any, state: tuple[Any, ...]) -> None:
    """Give an array its items, or a type its byte order; raise `Damage` for any other state."""
    import numpy as np

    stateful = target  # NumPy's stubs do not know every state that NumPy writes
    match target, state:
        case np.dtype(), (int(), ("<" | ">" | "|" | "=") as order, None, None, None, *_):
            stateful.__setstate__((3, order, None, None, None, target.itemsize, target.alignment, target.flags))
        case np.ndarray(), (int(), tuple(shape), np.dtype() as dtype, bool() as is_fortran, list() | bytes() as items):
            if not all(type(n) is int and n >= 0 for n in shape) or isinstance(items, list) != dtype.hasobject:
                raise Damage("an array of another state than NumPy writes")
            if math.prod(shape) * (1 if isinstance(items, list) else dtype.itemsize) != len(items):
                raise Damage(f"an array of shape {printable(str(shape))} that is not in the file")
            stateful.__setstate__((1, shape, dtype, is_fortran, items))
            _require_characters(target)
        case _:
            raise Damage("a state of another form than NumPy writes")


def restricted_unpickle(file: BinaryIO) -> Any:
    """Return the object pickled in `file`, made of builtin containers, strings, numbers and NumPy values only.

    Raises:
        UsageError: the pickle asks for any other global, which is named, or is broken.
    """
    try:
        return _Pickle().load(file)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the pickle cannot be read: {printable(str(error), 120)}") from error


def read_pickled_npy(data: bytes) -> Any:
    """Return the array in the bytes of an `.npy` file whose items may be pickled plain objects.

    A zero-dimensional object array is returned as its only item. See `restricted_unpickle`.
    """
    import numpy as np

    file = io.BytesIO(data)
    try:
        header = read_npy_header(file)
        if not header.dtype.hasobject:
            return read_npy(io.BytesIO(data), len(data))
        array = restricted_unpickle(file)
        if not isinstance(array, np.ndarray) or array.dtype != object:
            raise Damage("its pickle is not an array of objects")
        array = array.reshape(header.shape)
    except ValueError as error:
        raise UsageError(f"not an .npy file: {printable(str(error), 120)}") from error
    return array.item() if header.shape == () else array


@contextmanager
def _npz_members(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Yield an archive and its members by the names of their arrays; raise `Damage` where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            if len(set(names)) < len(names):
                twice = printable(next(name for name in names if names.count(name) > 1))
                raise Damage(f"holds two members for the array '{twice}'")
            yield archive, dict(zip(names, archive.infolist(), strict=True))
    except UNREADABLE_ARCHIVE as error:
        raise Damage(fault(error)) from error


def read_npz(
    path: Path,
    choose: Callable[[Sequence[str]], Iterable[str]] = list,
    most_arrays: int = 1000,
    most_bytes: int = 2_000_000_000,
) -> dict[str, NDArray[Any]]:
    """Return arrays of an `.npz` file by name; a pickled one is never read.

    Args:
        path: the file.
        choose: returns the names of the arrays to read, from all names.
        most_arrays: how many arrays the file may hold.
        most_bytes: what those that are read may unpack to.

    Raises:
        Damage: not a readable archive, or an array is broken or a pickle; `TooLarge` where it is larger.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with _npz_members(path) as (archive, members):
        if len(members) > most_arrays:
            raise TooLarge(f"holds {len(members):,} arrays; {most_arrays:,} are allowed")
        names = list(choose(list(members)))
        n_bytes = sum(members[name].file_size for name in names)
        if n_bytes > most_bytes:
            raise TooLarge(f"asks for {n_bytes:,} bytes; {most_bytes:,} are allowed")
        for name in names:
            try:
                with archive.open(members[name]) as file:
                    arrays[name] = read_npy(file, members[name].file_size)
            except Damage as error:
                raise Damage(f"array '{printable(name)}': {error}") from error
    return arrays


def read_pickled_npz(path: Path, max_bytes: int = 256 << 20) -> dict[str, Any]:
    """Return the members of an `.npz` file by name, each read by `read_pickled_npy`.

    Raises:
        UsageError: not a readable archive; members that would unpack to more than `max_bytes`; a pickle
            that asks for more than plain values.
    """
    values: dict[str, Any] = {}
    try:
        with _npz_members(path) as (archive, members):
            free = max_bytes
            for name, info in members.items():
                where = f"{path}, member '{printable(info.filename)}'"
                if info.file_size > free:
                    raise UsageError(f"{where}: unpacks to {info.file_size:,} bytes; allowed are {free:,}")
                free -= info.file_size
                try:
                    values[name] = read_pickled_npy(archive.read(info))
                except UsageError as error:
                    raise UsageError(f"{where}: {error}") from error
    except Damage as error:
        raise UsageError(f"{path}: cannot be read as an NPZ archive: {error}") from error
    return values


class TooLarge(Damage):
    """A file asks for more than is read."""


def read_parquet(
    source: Path | bytes,
    *,
    most_rows: int = 10_000_000,
    most_cells: int = 100_000_000,
    most_bytes: int = 2_000_000_000,
) -> pa.Table:
    """Return the table in a Parquet file, checked to the last value.

    Args:
        source: the file, or its bytes.
        most_rows: how many rows it may have.
        most_cells: rows times columns.
        most_bytes: what its columns unpack to, by its footer.

    Raises:
        Damage: it cannot be read; `TooLarge` where it is larger.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pa.BufferReader(source) if isinstance(source, bytes) else arrow_file(source)
        with opened, pq.ParquetFile(opened) as file:
            footer = file.metadata
            n_bytes = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
            asked = (
                (footer.num_rows, most_rows, "rows"),
                (footer.num_rows * footer.num_columns, most_cells, "cells"),
                (n_bytes, most_bytes, "bytes"),
            )
            for n, most, noun in asked:
                if n > most:
                    raise TooLarge(f"asks for {n:,} {noun}; {most:,} are allowed")
            table = file.read()
        table.validate(full=True)
    except TooLarge:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, IndexError) as error:
        raise Damage("not a readable Parquet file") from error
    return table


def shipped_folder(plural: str) -> Path:
    """Return the folder of shipped declarations: `tracks/` of a checkout, `merbench/_tracks` of an installed wheel."""
    package = Path(__file__).parent
    installed = package / f"_{plural}"
    return installed if installed.is_dir() else package.parent / plural


def search_folders(noun: str) -> list[Path]:
    """Return where a `"track"` (or `"baseline"`) is looked for: `$MERBENCH_TRACKS` (`…_BASELINES`), then shipped."""
    named = os.environ.get(f"MERBENCH_{noun.upper()}S", "")
    return [expanded(part) for part in named.split(os.pathsep) if part] + [shipped_folder(f"{noun}s")]


def list_folders(noun: str) -> list[Path]:
    """Return every folder with a `<noun>.toml` in the places that are searched, by name."""
    found = [path.parent for place in search_folders(noun) for path in place.glob(f"*/{noun}.toml")]
    return sorted(found, key=lambda folder: folder.name)


def is_path(name_or_path: str | Path) -> bool:
    """Return whether an argument is a path: a `Path`, or text with a separator; a bare name is looked up elsewhere."""
    if not isinstance(name_or_path, str):
        return True
    return name_or_path in (".", "..") or name_or_path.startswith("~") or "/" in name_or_path or "\\" in name_or_path


def find_folder(noun: str, name_or_path: str | Path) -> Path:
    """Return the one folder of a name, or of a path to a folder or its declaration.

    A bare name never means a folder of the working directory, which may hold untrusted files.

    Raises:
        UnknownName: no such folder; the nearest name is given.
        UsageError: the name is found twice; both folders are named. Or the folder holds no declaration.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise UsageError(f"a {noun} is named by text or by the path of its folder, not by {name_or_path!r}")
    file_name = f"{noun}.toml"
    if is_path(name_or_path):
        path = expanded(name_or_path)
        if path.name == file_name and path.is_file():
            return path.parent
        if not (path / file_name).is_file():
            raise UsageError(
                f"{path}: there is no {file_name} in this folder" if path.is_dir() else f"{path}: no such folder"
            )
        return path
    name = str(name_or_path)
    places = [place / name for place in search_folders(noun) if name]
    found = [folder for folder in places if (folder / file_name).is_file()]
    if len({folder.resolve() for folder in found}) > 1:
        raise UsageError(f"{noun} '{name}' is found twice: {' and '.join(str(folder) for folder in found)}")
    if not found:
        for folder in places:
            if folder.is_dir():
                raise UsageError(f"{folder}: there is no {file_name} in this folder")
        here = Path(name, file_name).is_file() or (name == file_name and Path(name).is_file())
        hint = f"the working directory has one: write ./{name}" if here else ""
        raise UnknownName(noun, name, {folder.name for folder in list_folders(noun)}, hint)
    return found[0]
