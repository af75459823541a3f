"""Inputs go into readers, findings come out: whatever is neither a value nor one bounded, printable message."""

from __future__ import annotations

import json
import mmap
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from peak_memory import peak_bytes

from fuzzing.formats import Format, formats
from merbench.errors import MerbenchError
from merbench.submission import wrong_track
from merbench.track import load_track

LONGEST_MESSAGE = 20_000
"""The most characters a message may have: five examples of each kind of problem, each of bounded length."""

MOST_MEMORY = 4 << 30
MOST_GROWTH = 400 << 20
LONGEST_READING_S = 20.0


@dataclass(frozen=True)
class Finding:
    """An input that was not refused as it must be.

    Attributes:
        format: what was read.
        number: number of the input.
        what: what happened.
    """

    format: str
    number: int
    what: str


def verdict(made: Format) -> tuple[str, str | None]:
    """Read the file of a format; return `value` or the class of the error, and what is wrong with the outcome."""
    try:
        made.read(made.path)
    except MerbenchError as error:
        return type(error).__name__, message_fault(str(error))
    except Exception as error:
        places = [
            f"{Path(f.filename).name}:{f.name}"
            for f in traceback.extract_tb(error.__traceback__)
            if "merbench" in f.filename
        ]
        return "crash", f"{type(error).__name__} in {places[-1] if places else '?'}: {ascii(str(error))[:100]}"
    return "value", None


def message_fault(text: str) -> str | None:
    """Return why a message is too long or not printable; None for one that is neither."""
    if len(text) > LONGEST_MESSAGE:
        return f"a message of {10 ** (len(str(len(text))) - 1):,} characters or more: {text[:200]!a}"
    if not text.replace("\n", "").isprintable():
        bad = next(c for c in text if c != "\n" and not c.isprintable())
        at = text.index(bad)
        return f"a message with {bad!a}: {text[max(at - 60, 0) : at + 20]!a}"
    return None


def run_here(name: str, made: Format, seed: int, numbers: range) -> Iterator[tuple[int, str, str | None]]:
    """Yield the number, outcome and fault of every input, read in this process."""
    for number in numbers:
        made.path.write_bytes(made.input(name, seed, number))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield (number, *verdict(made))


def work(name: str, seed: int, start: int, stop: int, folder: Path) -> None:
    """Read inputs of one format in a separate process: the current input lies in the folder, its number in a map."""
    wrong_track.load_track = cache(load_track)  # the shipped tracks stay as they are
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    made = formats(folder / "files")[name]
    (folder / "number").write_bytes(start.to_bytes(8, "little"))
    with (folder / "number").open("r+b") as file, mmap.mmap(file.fileno(), 8) as place:
        peak = peak_bytes()
        for number, outcome, fault in run_here(name, made, seed, range(start, stop)):
            now = peak_bytes()
            if now - peak > MOST_GROWTH and fault is None:
                fault = f"memory: {(now - peak) >> 20} MB more than before ({outcome})"
            peak = max(peak, now)
            print(json.dumps([number, outcome, fault]), flush=True)
            place[:] = (number + 1).to_bytes(8, "little")


def run_apart(name: str, seed: int, numbers: range, kept: Path | None = None) -> tuple[Counter[str], list[Finding]]:
    """Read inputs of one format in a child process, which may abort or hang; return outcomes and findings."""
    outcomes: Counter[str] = Counter()
    findings: list[Finding] = []
    start = numbers.start
    while start < numbers.stop:
        with tempfile.TemporaryDirectory(prefix="fuzzing-") as temporary:
            folder = Path(temporary)
            (folder / "files").mkdir()
            start = _one_child(name, seed, start, numbers.stop, folder, outcomes, findings)
    if kept is not None:
        _keep(kept, seed, findings)
    return outcomes, findings


def _one_child(
    name: str, seed: int, start: int, stop: int, folder: Path, outcomes: Counter[str], findings: list[Finding]
) -> int:
    """Run a child until it ends; return the number of the input that is next."""
    arguments = [sys.executable, "-m", "fuzzing", "--work", name, str(seed), str(start), str(stop), str(folder)]
    with (folder / "outcomes").open("w+b") as output, (folder / "errors").open("w+b") as errors:
        child = subprocess.Popen(arguments, stdout=output, stderr=errors)
        at, since = -1, time.monotonic()
        status = None
        while child.poll() is None:
            time.sleep(0.05)
            now = _number(folder / "number")
            at, since = (now, time.monotonic()) if now != at or now < 0 else (at, since)
            if time.monotonic() - since > LONGEST_READING_S:
                child.kill()
                status = f"hang: more than {LONGEST_READING_S:g} s"
        output.seek(0)
        for line in output.read().splitlines():
            try:
                number, outcome, fault = json.loads(line)
            except ValueError:
                continue  # the last line of a child that died
            outcomes[outcome] += 1
            if fault:
                findings.append(Finding(name, number, fault))
        if child.returncode == 0:
            return stop
        at = max(_number(folder / "number"), start)
        errors.seek(0)
        reported = errors.read()[-300:].decode(errors="replace")
        findings.append(Finding(name, at, status or f"abort: exit status {child.returncode}: {reported[-200:]!a}"))
        outcomes["abort"] += 1
        return at + 1


def _number(place: Path) -> int:
    """Return the number of the input that a child reads; -1 for one that has not begun."""
    data = place.read_bytes() if place.exists() else b""
    return int.from_bytes(data, "little") if len(data) == 8 else -1


def _keep(kept: Path, seed: int, findings: list[Finding]) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzzing-") as temporary:
        made = formats(Path(temporary))
        for finding in findings:
            item = made[finding.format]
            target = kept / f"{finding.format.replace(' ', '-').replace('/', '-')}-{seed}-{finding.number}"
            target.write_bytes(item.input(finding.format, seed, finding.number))
