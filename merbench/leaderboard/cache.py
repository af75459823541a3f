"""What was computed once is remembered under everything it depends on, so that nothing stale can be read back.

Conventions:
    A key is a list of strings: digests of content, versions, parameters. A value is what JSON holds. A file of the
    cache that is damaged, or belongs to another key, is computed anew; a cache that cannot be written is no error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import merbench
from merbench.errors import OutputError
from merbench.files import data_home, read_bounded, sha256_bytes, sha256_file, write_text

MOST_BYTES = 64_000_000
"""How large a cached value may be; a larger one is computed again."""


class Cache:
    """A folder of remembered values; without a folder, nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @classmethod
    def at_home(cls) -> Cache:
        """Return the cache in the data home."""
        return cls(data_home() / "cache" / "leaderboard")

    def remembered(self, key: Sequence[str], compute: Callable[[], Any]) -> Any:
        """Return the value stored under `key`, else what `compute` returns; both have passed through JSON."""
        path = self.folder / f"{sha256_bytes(_canonical(list(key)).encode())}.json" if self.folder else None
        if path is not None:
            try:
                stored = json.loads(read_bounded(path, MOST_BYTES))
                if stored["key"] == list(key) and stored["digest"] == _digest(stored["value"]):
                    return stored["value"]
            except Exception:  # whatever is wrong with the file, the value can be computed
                pass
        value = json.loads(_canonical(compute()))
        if path is not None:
            try:
                write_text(path, _canonical({"key": list(key), "digest": _digest(value), "value": value}))
            except OutputError:
                pass
        return value


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the SHA-256 over merbench's own modules: other code, other results."""
    root = Path(merbench.__file__).parent
    modules = sorted(root.rglob("*.py"))
    return sha256_bytes(*(f"{path.relative_to(root).as_posix()} {sha256_file(path)}\n".encode() for path in modules))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _digest(value: Any) -> str:
    return sha256_bytes(_canonical(value).encode())
