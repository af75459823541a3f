"""A name goes in, the thing registered under it comes out: one dictionary per kind of plug-in.

Things shipped with merbench are registered by a decorator in the module that defines them; things from
other packages through the entry-point group `merbench.<plural kind>`, loaded when their name is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import EntryPoints, entry_points
from typing import Generic, TypeVar

from merbench.errors import UnknownName, UsageError

T = TypeVar("T")


@lru_cache
def _entry_points(group: str) -> EntryPoints:
    """Return what other packages register; looked up once, since it reads the metadata of every package."""
    return entry_points(group=group)


class Registry(Generic[T]):
    """Names and what they stand for, of one kind.

    Args:
        kind: singular noun for messages, e.g. `"metric"`.
        group: entry-point group that other packages register under, e.g. `"merbench.metrics"`.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Register `item` under `name` and return it; a name taken twice is a `UsageError`."""
        if name in self._items:
            raise UsageError(f"{self.kind} '{name}' is registered twice")
        self._items[name] = item
        return item

    def __getitem__(self, name: str) -> T:
        """Return what `name` stands for, or raise `UnknownName` with the nearest match."""
        if name in self._items:
            return self._items[name]
        for point in _entry_points(self.group):
            if point.name == name:
                item = point.load()
                # A decorator in the module that was just imported has registered it already.
                return self._items[name] if name in self._items else self.add(name, item)
        raise UnknownName(self.kind, name, self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._items or name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        """Return every known name, sorted; entry points are named without being loaded."""
        return sorted({*self._items, *(point.name for point in _entry_points(self.group))})
