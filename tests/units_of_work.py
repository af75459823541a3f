"""Functions that worker processes of the tests run; they stand in a module of their own, so that a process finds them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from merbench.errors import InvalidCorpus, Problem, UnknownName


def square(x: int) -> int:
    return x * x


def process_id(_: object) -> int:
    time.sleep(0.02)
    return os.getpid()


def threads_told(_: object) -> dict[str, str | None]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    return {name: os.environ.get(name) for name in names}


def threads_of_opencv(_: object) -> int:
    import cv2

    return int(cv2.getNumThreads())


def kill_once(unit: tuple[int, str]) -> int:
    """Square a number; the one process that comes first to the marker file kills itself."""
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


class Odd(Exception):
    """An exception whose constructor takes what its arguments do not say, and that holds what cannot be pickled."""

    def __init__(self, *, held: Any) -> None:
        super().__init__("odd")
        self.held = held


def fail(kind: str) -> str:
    match kind:
        case "value":
            raise ValueError("a value")
        case "name":
            raise UnknownName("bank", "muzan", ["musan"])
        case "corpus":
            raise InvalidCorpus("a corpus", [Problem("E601", "gone")])
        case "odd":
            raise Odd(held=lambda: None)
        case "exit":
            sys.exit(3)
        case "unpicklable":
            return lambda: None  # type: ignore[return-value]
    return kind


def sleep_with_half_a_file(folder: str) -> None:
    """Tell one's process id by a file, and hold a half-written one that is removed on the way out."""
    half = Path(folder) / f"half-{os.getpid()}"
    try:
        half.touch()
        (Path(folder) / f"pid-{os.getpid()}").touch()
        time.sleep(60)
    finally:
        half.unlink()
