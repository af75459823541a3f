"""Contenders go in, their median times come out: all take turns in one run, so that a busy moment hits each alike."""

from __future__ import annotations

import gc
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path


def race(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return each contender's median time in seconds, over so many rounds after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            gc.collect()
            start = time.perf_counter()
            contender()
            elapsed = time.perf_counter() - start
            if number:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others align right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "| " + " | ".join(f"{cell:{'<' if i == 0 else '>'}{widths[i]}}" for i, cell in enumerate(row)) + " |"
        for row in (head, *rows)
    ]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def seconds(value: float) -> str:
    """Return a time with three digits that matter."""
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def machine(packages: Sequence[str]) -> str:
    """Return one line that says where this was measured, and with which versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    place = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{place}, Python {platform.python_version()}, {versions}"


def peak_bytes() -> int:
    """Return the peak of this process's own resident memory, without what its parent held when it started this one."""
    found = _status_bytes("VmHWM")
    if found is not None:
        return found
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def mapped_bytes() -> int:
    """Return how much of this process's resident memory are pages of files, libraries above all; 0 if unknown."""
    return _status_bytes("RssFile") or 0


def _status_bytes(name: str) -> int | None:
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = status.read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
