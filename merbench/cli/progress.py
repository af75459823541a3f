"""What commands show while they work: a bar on a terminal, a line from time to time elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from merbench.errors import printable

LINE_EVERY_S = 10.0
"""Seconds between two lines of progress, where output is no terminal; shorter work prints none."""


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is done, the rate and the time left, on standard error.

    On a terminal that is a bar for each text, elsewhere, such as in the log of a job, a line every `LINE_EVERY_S`.
    """
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.1f}/s")

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), Rate(), TimeLeft())
    with Progress(*columns, console=Console(file=sys.__stderr__), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(text: str, done: int, total: int) -> None:
            if text not in tasks:
                tasks[text] = bar.add_task(printable(text, None), total=total)
            bar.update(tasks[text], completed=done, total=total)

        yield show


class _Lines:
    """Prints how far the work has come, at most once every `LINE_EVERY_S`."""

    def __init__(self) -> None:
        self._printed = time.monotonic()
        self._begun: dict[str, tuple[float, int]] = {}

    def __call__(self, text: str, done: int, total: int) -> None:
        now = time.monotonic()
        since, before = self._begun.setdefault(text, (now, done))
        if now - self._printed < LINE_EVERY_S:
            return
        self._printed = now
        rate = (done - before) / (now - since) if now > since else 0.0
        left = f", {rate:,.1f}/s, {(total - done) / rate:,.0f} s left" if rate > 0 else ""
        print(f"{text}: {done:,} of {total:,}{left}", file=sys.stderr, flush=True)
