"""What a local worker process does: the units it is given, until it is told to end or its parent is no more.

A worker leaves interrupts to its parent. Told to end (SIGTERM), it leaves the unit that it holds through the unit's own
`finally`, so that no half-written file stays.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event
from typing import Any

from merbench.engine.tasks import run_units

GRACE_S = 5.0
"""How long a worker that was told to end may take to clean up."""

_TOLD_TO_END = 143


class _ToldToEnd(BaseException):
    pass


_payload = b""
_function: Callable[[Any], Any] | None = None
_holds_units = False


def initialise(payload: bytes, has_begun: Event) -> None:
    """Make this process a worker.

    Args:
        payload: the pickled function, which is unpickled with the first unit, so that what is wrong with it is told as
            that unit's error.
        has_begun: set here, so that the parent knows that workers can start at all.
    """
    global _payload
    has_begun.set()
    _payload = payload
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _told_to_end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # blocked until now, see `merbench.engine.local`
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def run_task(units: Sequence[Any]) -> list[Any]:
    """Return what the function of this worker makes of each unit; see `run_units`."""
    global _function, _holds_units
    try:
        _holds_units = True
        if _function is None:
            _function = pickle.loads(_payload)
        return run_units(_function, units)
    except _ToldToEnd:
        os._exit(_TOLD_TO_END)
    finally:
        _holds_units = False


def _told_to_end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _holds_units:
        raise _ToldToEnd
    os._exit(_TOLD_TO_END)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(_TOLD_TO_END)
