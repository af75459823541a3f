"""Functions that worker processes of the tests run, in a module that each process can import."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from merbench.errors import InvalidCorpus, Problem, UnknownName
from merbench.files.writing import atomic_path


def square(x: int) -> int:
    return x * x


def process_id(_: object) -> int:
    time.sleep(0.02)
    return os.getpid()


def threads(_: object) -> dict[str, str | None]:
    import cv2

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    return {**{name: os.environ.get(name) for name in names}, "cv2": str(cv2.getNumThreads())}


def kill_once(unit: tuple[int, str]) -> int:
    """Square a number; the process that is the first to make the marker file kills itself."""
    x, marker = unit
    if marker:
        try:
            Path(marker).touch(exist_ok=False)
        except FileExistsError:
            return x * x
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def kill_always(x: int) -> int:
    if x < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def verify_and_die(task: tuple[Any, Any], banks: Any) -> dict[str, Any]:
    from merbench.corrupt.clip import verify_clip

    if task[0].sample_id == "clip-4":
        os.kill(os.getpid(), signal.SIGKILL)
    return verify_clip(task, banks)


class Odd(Exception):
    """An exception whose constructor wants more than its arguments, with an attribute that cannot be pickled."""

    def __init__(self, *, attribute: Any) -> None:
        super().__init__("odd")
        self.attribute = attribute


def fail(kind: str) -> str:
    match kind:
        case "value":
            raise ValueError("a value")
        case "name":
            raise UnknownName("bank", "muzan", ["musan"])
        case "corpus":
            raise InvalidCorpus("a corpus", [Problem("E601", "gone")])
        case "odd":
            raise Odd(attribute=lambda: None)
        case "exit":
            sys.exit(3)
        case "unpicklable":
            return (item for item in ())  # type: ignore[return-value]
    return kind


def sleep_with_half_a_file(folder: str) -> None:
    """Write a file named for this process, and a half-written one that is removed on the way out."""
    half = Path(folder) / f"half-{os.getpid()}"
    try:
        half.touch()
        (Path(folder) / f"pid-{os.getpid()}").touch()
        time.sleep(60)
    finally:
        half.unlink()


def sleep_in_a_native_callback(folder: str) -> None:
    """Write what was computed after a native library swallowed whatever was raised in its callback."""
    callback = ctypes.CFUNCTYPE(None)(lambda: _sleep_in(folder))
    callback()
    with atomic_path(Path(folder) / f"stored-{os.getpid()}") as target:
        target.touch()


def sleep_and_swallow(folder: str) -> None:
    """Write what was computed after a library swallowed whatever was raised, without a word."""
    with suppress(BaseException):
        _sleep_in(folder)
    with atomic_path(Path(folder) / f"stored-{os.getpid()}") as target:
        target.touch()


def _sleep_in(folder: str) -> None:
    (Path(folder) / f"pid-{os.getpid()}").touch()
    time.sleep(60)
