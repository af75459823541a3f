"""Registered things by name: one dictionary per kind of plug-in.

Things shipped with merbench are registered by a decorator in the module that defines them; things from
other packages through the entry-point group `merbench.<plural kind>`, loaded when their name is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Generic, TypeVar

from merbench.errors import TRACEBACK, UnknownName, UsageError, exception_text

T = TypeVar("T")


@lru_cache
def _entry_points(group: str) -> EntryPoints:
    """Return what other packages register; looked up once, since it reads the metadata of every package."""
    return entry_points(group=group)


class Registry(Generic[T]):
    """Registered things of one kind, by name.

    Args:
        kind: singular noun for messages, e.g. `"metric"`.
        group: entry-point group that other packages register under, e.g. `"merbench.metrics"`.
        decorator: the decorator that registers things of this kind, e.g. `"@metric"`; without one, the object that an
            entry point names is the thing itself.
    """

    def __init__(self, kind: str, group: str, decorator: str = "") -> None:
        self.kind = kind
        self.group = group
        self.decorator = decorator
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Register `item` under `name` and return it; a name taken twice is a `UsageError`."""
        if name in self._items:
            raise UsageError(f"{self.kind} '{name}' is registered twice")
        self._items[name] = item
        return item

    @contextmanager
    def collecting(self) -> Iterator[dict[str, T]]:
        """Give what the block registers to the block only."""
        registered, self._items = self._items, {}
        try:
            yield self._items
        finally:
            self._items = registered

    def __getitem__(self, name: str) -> T:
        """Return what is registered under `name`.

        Raises:
            UnknownName: nothing is registered under it; the nearest name is given.
            UsageError: another package registers it, and its object cannot be loaded, or has another name.
        """
        if name in self._items:
            return self._items[name]
        for point in _entry_points(self.group):
            if point.name == name:
                return self._loaded(point)
        raise UnknownName(self.kind, name, self.names())

    def _loaded(self, point: EntryPoint) -> T:
        """Return the item of an entry point, which the decorator has registered once its module is imported."""
        try:
            item: T = point.load()
        except Exception as error:
            text = f"{self._described(point)} cannot be loaded: {exception_text(error)}"
            raise UsageError(f"{text}; {TRACEBACK}=1 shows the traceback") from error
        if point.name in self._items:
            return self._items[point.name]
        if not self.decorator:
            return self.add(point.name, item)
        what, name = ("class", "the type") if isinstance(item, type) else ("function", "that")
        raise UsageError(
            f"{self._described(point)} registers no {self.kind} of that name: its name must equal {name} of the "
            f"{what}, '{getattr(item, '__name__', item)}', and the {what} needs the decorator {self.decorator}"
        )

    def _described(self, point: EntryPoint) -> str:
        package = f" of package '{point.dist.name}'" if point.dist is not None else ""
        return f'entry point {point.name} = "{point.value}" ({self.group}){package}'

    def __contains__(self, name: object) -> bool:
        return name in self._items or name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        """Return every known name, sorted; entry points are named without being loaded."""
        return sorted({*self._items, *(point.name for point in _entry_points(self.group))})
