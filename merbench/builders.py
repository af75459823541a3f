"""Builders of what merbench makes itself on first use: handed over by `merbench/__init__.py`, called by the store.

What they build is made by packages above the one that opens it. This module is small: `import merbench` loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Builder(NamedTuple):
    """Something that merbench makes itself."""

    version: str  # dotted numbers; what an older version built is replaced in the data home
    build: Callable[[Path], object]  # writes it into an empty folder
    # of a corpus: columns of its samples that no file has, by name: sample ids -> a value, or None, for each
    columns: Mapping[str, Callable[[Sequence[str]], Sequence[Any]]] = {}


BUILDERS: dict[str, dict[str, Callable[[], Builder]]] = {"banks": {}, "corpora": {}}
"""Folder of the data home -> name -> function that returns the builder; called only when it is asked for."""
