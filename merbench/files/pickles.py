"""Pickles of plain values, as released labels and lexicons come in: built without running anything.

Python's unpickler is not used: it reserves what a pickle asks for, and what NumPy's functions do with a pickle's
arguments is not bounded by its length.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from merbench.errors import MalformedFile, UsageError, printable
from merbench.files.npy import npz_members, plain_dtype, read_npy, read_npy_header, require_characters

_Kind = TypeVar("_Kind")

_SCALARS = (str, bytes, int, float, type(None))


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
            raise MalformedFile("its pickle is not an array of objects")
        array = array.reshape(header.shape)
    except ValueError as error:
        raise UsageError(f"not an .npy file: {printable(str(error), 120)}") from error
    return array.item() if header.shape == () else array


def read_pickled_npz(path: Path, max_bytes: int = 256 << 20) -> dict[str, Any]:
    """Return the members of an `.npz` file by name, each read by `read_pickled_npy`.

    Raises:
        UsageError: not a readable archive; members that would unpack to more than `max_bytes`; a pickle that asks for
            more than plain values.
    """
    values: dict[str, Any] = {}
    try:
        with npz_members(path) as (archive, members):
            free = max_bytes
            for name, info in members.items():
                where = f"{path}, member '{printable(info.filename)}'"
                if info.file_size > free:
                    raise UsageError(f"{where}: unpacks to {info.file_size:,} bytes; allowed: {free:,}")
                free -= info.file_size
                try:
                    values[name] = read_pickled_npy(archive.read(info))
                except UsageError as error:
                    raise UsageError(f"{where}: {error}") from error
    except MalformedFile as error:
        raise UsageError(f"{path}: cannot be read as an NPZ archive: {error}") from error
    return values


class _Pickle:
    """The stack, marks and memo of a pickle's machine."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self, file: BinaryIO) -> Any:
        import pickletools

        for operation, argument, _ in pickletools.genops(file):
            if operation.name not in _OPERATIONS:
                raise MalformedFile(f"the operation {operation.name} is not allowed")
            _OPERATIONS[operation.name](self, argument)
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def constant(self, value: Any) -> None:
        if isinstance(value, str):
            value.encode()  # a lone surrogate is not text
        elif isinstance(value, int) and value.bit_length() > 64:
            raise MalformedFile("an integer of more than 64 bits")
        self.push(value)

    def popped(self, n: int) -> list[Any]:
        if len(self.stack) < n + (self.marks[-1] if self.marks else 0):
            raise MalformedFile("an operation without its operands")
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def top(self, kind: type[_Kind]) -> _Kind:
        return _of_type(self.stack[-1], kind)

    def set_items(self, items: Sequence[Any]) -> None:
        self.top(dict).update(zip(map(_key, items[::2]), items[1::2], strict=True))

    def dictionary(self) -> None:
        items = self.since_mark()
        self.push({})
        self.set_items(items)

    def add_items(self) -> None:
        items = self.since_mark()
        self.top(set).update(map(_key, items))

    def call(self) -> None:
        function, arguments = self.popped(2)
        self.push(_called(function, _of_type(arguments, tuple)))

    def build(self) -> None:
        (state,) = self.popped(1)
        _set_state(self.stack[-1], _of_type(state, tuple))


_CONSTANTS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8"
).split()

_OPERATIONS: dict[str, Callable[[_Pickle, Any], object]] = {
    **dict.fromkeys(_CONSTANTS, _Pickle.constant),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda pickle, key: pickle.memo.update({key: pickle.stack[-1]})),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda pickle, key: pickle.push(pickle.memo[key])),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda pickle, _: None),
    "MEMOIZE": lambda pickle, _: pickle.memo.update({len(pickle.memo): pickle.stack[-1]}),
    "MARK": lambda pickle, _: pickle.marks.append(len(pickle.stack)),
    "NONE": lambda pickle, _: pickle.push(None),
    "NEWTRUE": lambda pickle, _: pickle.push(True),
    "NEWFALSE": lambda pickle, _: pickle.push(False),
    "EMPTY_LIST": lambda pickle, _: pickle.push([]),
    "EMPTY_DICT": lambda pickle, _: pickle.push({}),
    "EMPTY_SET": lambda pickle, _: pickle.push(set()),
    "EMPTY_TUPLE": lambda pickle, _: pickle.push(()),
    "TUPLE1": lambda pickle, _: pickle.push(tuple(pickle.popped(1))),
    "TUPLE2": lambda pickle, _: pickle.push(tuple(pickle.popped(2))),
    "TUPLE3": lambda pickle, _: pickle.push(tuple(pickle.popped(3))),
    "LIST": lambda pickle, _: pickle.push(pickle.since_mark()),
    "TUPLE": lambda pickle, _: pickle.push(tuple(pickle.since_mark())),
    "DICT": lambda pickle, _: pickle.dictionary(),
    "APPEND": lambda pickle, _: _extend(pickle, pickle.popped(1)),
    "APPENDS": lambda pickle, _: _extend(pickle, pickle.since_mark()),
    "SETITEM": lambda pickle, _: pickle.set_items(pickle.popped(2)),
    "SETITEMS": lambda pickle, _: pickle.set_items(pickle.since_mark()),
    "ADDITEMS": lambda pickle, _: pickle.add_items(),
    "GLOBAL": lambda pickle, name: pickle.push(_global(*name.split(" "))),
    "STACK_GLOBAL": lambda pickle, _: pickle.push(_global(*pickle.popped(2))),
    "REDUCE": lambda pickle, _: pickle.call(),
    "BUILD": lambda pickle, _: pickle.build(),
}


def _extend(pickle: _Pickle, items: list[Any]) -> None:
    pickle.top(list).extend(items)


def _of_type(value: Any, kind: type[_Kind]) -> _Kind:
    if type(value) is not kind:
        raise MalformedFile(f"{type(value).__name__} where a {kind.__name__} is needed")
    return value


def _key(value: Any) -> Any:
    """Return a key of a dictionary or an item of a set: containers, which may contain each other, are refused."""
    import numpy as np

    if not isinstance(value, (*_SCALARS, np.generic)):
        raise MalformedFile(f"a key that is a {type(value).__name__}")
    return value


_FUNCTIONS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("_codecs", "encode"),
}


def _global(module: Any, name: Any) -> str:
    where = module.replace("numpy._core", "numpy.core") if isinstance(module, str) else module
    if (where, name) not in _FUNCTIONS:
        raise UsageError(f"the pickle asks for {printable(f'{module}.{name}', 120)}, which is not allowed")
    return f"{where}.{name}"


def _called(function: Any, arguments: tuple[Any, ...]) -> Any:
    import numpy as np

    match function, arguments:
        case "numpy.dtype", (str(text), *_):
            dtype = plain_dtype(text)
            if dtype.kind not in "biufSUO":
                raise MalformedFile(f"items of the type {dtype}")
            return dtype
        case "numpy.core.multiarray._reconstruct", ("numpy.ndarray", *_):
            return np.zeros(0, np.bool_)
        case "numpy.core.multiarray.scalar", (np.dtype() as dtype, bytes(data)):
            if dtype.hasobject or len(data) != dtype.itemsize:
                raise MalformedFile("a scalar of another size than its type")
            item = np.frombuffer(data, dtype)
            require_characters(item)
            return item[0]
        case "_codecs.encode", (str(text), "latin1"):
            return text.encode("latin-1")
    raise MalformedFile("a call with other arguments than NumPy writes")


def _set_state(target: Any, state: tuple[Any, ...]) -> None:
    """Give an array its items, or a type its byte order; raise `MalformedFile` for any other state."""
    import numpy as np

    stateful = target  # NumPy's stubs do not know every state that NumPy writes
    match target, state:
        case np.dtype(), (int(), ("<" | ">" | "|" | "=") as order, None, None, None, *_):
            stateful.__setstate__((3, order, None, None, None, target.itemsize, target.alignment, target.flags))
        case np.ndarray(), (int(), tuple(shape), np.dtype() as dtype, bool() as is_fortran, list() | bytes() as items):
            if not all(type(n) is int and n >= 0 for n in shape) or isinstance(items, list) != dtype.hasobject:
                raise MalformedFile("an array of another state than NumPy writes")
            if math.prod(shape) * (1 if isinstance(items, list) else dtype.itemsize) != len(items):
                raise MalformedFile(f"an array of shape {printable(str(shape))} that is not in the file")
            stateful.__setstate__((1, shape, dtype, is_fortran, items))
            require_characters(target)
        case _:
            raise MalformedFile("a state of another form than NumPy writes")
