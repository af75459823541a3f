"""What commands print: lines, tables and lists, and the progress of long work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from merbench.cli.options import ListFormat
from merbench.errors import Problem, listed, plural, printable

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from merbench.report import ReportTable, ScoreReport
    from merbench.store import Store

Item = TypeVar("Item")


def terminal_width() -> int | None:
    """Return how many characters fit on a line of the terminal; None if the output is not a terminal."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_line(text: str) -> None:
    """Print one line: a line end in it, which a path may contain, is escaped."""
    print(printable(text, None))


def heading(title: str, **values: object) -> list[str]:
    """Return the first lines of a description: the title, and `key: value` for every value that is known."""
    return [printable(line, None) for line in (title, *(f"{key}: {value}" for key, value in values.items() if value))]


def print_report(report: ScoreReport | None, withheld: str) -> None:
    """Print a score, or why there is none."""
    print(report.to_text(terminal_width()) if report is not None else withheld, end="" if report is not None else "\n")


def print_table(table: ReportTable) -> None:
    """Print a table of text, as wide as the terminal at most."""
    print(table.to_text(align="left", width=terminal_width()))


def without_a_sample(files: Sequence[PurePosixPath]) -> Problem:
    """Return the warning about media files that belong to no sample."""
    names = [printable(str(path)) for path in files]
    return Problem("W651", f"{plural(len(names), 'media file')} without a sample: {listed(names)}", count=len(names))


def print_data(text: str) -> None:
    """Print text for programs: in UTF-8 and unchanged, whatever the terminal shows."""
    from merbench.files.writing import write_text

    write_text("-", text)


def print_json(name: str, **lists: Sequence[Mapping[str, Any]]) -> None:
    """Print lists of records as JSON that names what it is: `{"schema": "merbench.tracks/1", "tracks": [...]}`."""
    from merbench.errors import json_text

    print_data(json_text({"schema": f"merbench.{name}/1", **lists}))


def print_list(
    name: str,
    items: Sequence[Item],
    table_of: Callable[[Sequence[Item]], ReportTable],
    record_of: Callable[[Item], Mapping[str, Any]],
    form: ListFormat,
) -> None:
    """Print items as a table, or as JSON with a record for each."""
    if form is ListFormat.json:
        print_json(name, **{name: [record_of(item) for item in items]})
    else:
        print_table(table_of(items))


def stored_items(store: Store[Item], group: str) -> Iterator[tuple[str, Item | None, str]]:
    """Yield the name of every item of a store, the item, and why there is none.

    Args:
        store: where the items are.
        group: the group of commands that shows one item, such as `bank`.
    """
    from merbench.errors import MerbenchError

    for name in store.names():
        if name not in store.shipped and not store.holds(name):
            yield name, None, "built on first use"
            continue
        try:
            yield name, store.shipped[name]() if name in store.shipped else store.read(store.home / name), ""
        except MerbenchError:
            yield name, None, f"cannot be opened; see `merbench {group} info {name}`"


def print_stored(
    store: Store[Item], name: str, columns: Sequence[str], row: Callable[[Item], tuple[str, ...]], form: ListFormat
) -> None:
    """Print the items of a store.

    Args:
        store: where the items are.
        name: what they are called in JSON, such as `banks`.
        columns: names of the columns: first the group of commands that shows one item, last what says where it is from.
        row: returns the columns of an item after its name.
        form: table or JSON.
    """
    from merbench.report import ReportTable

    empty = ("",) * (len(columns) - 2)
    items = stored_items(store, columns[0])
    rows = [(key, *row(item)) if item is not None else (key, *empty, reason) for key, item, reason in items]
    head = tuple(columns)
    print_list(
        name, rows, lambda rows: ReportTable("", head, rows), lambda row: dict(zip(head, row, strict=True)), form
    )


LINE_EVERY_S = 10.0
"""Seconds between two lines of progress, if output is not a terminal; shorter work prints none."""


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show progress, rate and time left on standard error.

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
            return Text(_rate(task.speed) if task.speed else "")

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), Rate(), TimeLeft())
    with Progress(*columns, console=Console(file=sys.__stderr__), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(text: str, done: int, total: int) -> None:
            if text not in tasks:
                tasks[text] = bar.add_task(printable(text, None), total=total)
            bar.update(tasks[text], completed=done, total=total)

        yield show


def _rate(per_s: float) -> str:
    """Return a rate above 0, or the time that one takes where that is long."""
    return f"{per_s:,.1f}/s" if per_s >= 0.1 else f"{1 / per_s:,.0f} s each"


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
        left = f", {_rate(rate)}, {(total - done) / rate:,.0f} s left" if rate > 0 else ""
        print(f"{text}: {done:,} of {total:,}{left}", file=sys.stderr, flush=True)
