"""TOML: read with limits on its size, nesting and numbers, and written by tomli-w."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from merbench.errors import DeclarationError, MalformedFile, Problem, UsageError, examples, fault
from merbench.files.reading import read_bounded

MOST_TOML_BYTES = 1_000_000
"""How many bytes a TOML file may contain."""

_DEEPEST = 32
"""How deep the tables and lists of a TOML file may be nested, by dotted keys too."""

_NOT_KEYS = re.compile(
    rb'''"""(?:[^"\\]++|\\.|"(?!""))*+"{0,5}|"(?:[^"\\\n]++|\\.)*+"?'''
    rb"""|'''(?:[^']++|'(?!''))*+'{0,5}|'[^'\n]*+'?|#[^\n]*+""",
    re.DOTALL,
)
"""Strings and comments of a TOML file, those that are never closed included, so that each byte is read once."""
_NOT_IN_KEYS = re.compile(rb"[^\w. \t-]")


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file contains.

    Raises:
        UsageError: the file cannot be read.
        DeclarationError: see `parse_toml`.
    """
    try:
        data = read_bounded(path, MOST_TOML_BYTES)
    except (OSError, MalformedFile) as error:
        raise UsageError(f"{path}: cannot be read: {fault(error)}") from error
    return parse_toml(str(path), data)


def parse_toml(where: str, data: bytes, syntax: str = "E207", values: str = "E207") -> dict[str, Any]:
    """Return what the bytes of a TOML file contain.

    Args:
        where: the file, for the message.
        data: its bytes.
        syntax: the code of a problem of the whole file.
        values: the code of a problem of one key.

    Raises:
        DeclarationError: it is not TOML in UTF-8, or nested too deeply; or there are integers of more than 64 bits,
            for which TOML asks for an error.
    """
    try:
        # The memory and time of reading a dotted key grow with the square of its parts.
        if any(key.count(b".") > _DEEPEST for key in _NOT_IN_KEYS.split(_NOT_KEYS.sub(b"", data))):
            raise RecursionError
        text = data.decode("utf-8-sig")
        try:
            raw = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            raise
        except ValueError:  # more digits than Python converts; a shorter number leads to the key
            raw = tomllib.loads(re.sub(r"\d[\d_]{999,}", "9" * 20, text))
        problems = examples(
            list(_too_large(raw)), lambda key: Problem(values, "is an integer of more than 64 bits", column=key)
        )
    except (ValueError, RecursionError, MemoryError) as error:
        problems = [Problem(syntax, f"not a TOML file: {fault(error)}")]
    if problems:
        raise DeclarationError(where, problems)
    return raw


def _too_large(value: Any, key: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the keys of integers beyond 64 bits."""
    if depth > _DEEPEST:
        raise RecursionError
    match value:
        case bool():
            pass
        case int() if not -(1 << 63) <= value < 1 << 63:
            yield key
        case dict():
            for name, item in value.items():
                yield from _too_large(item, f"{key}.{name}" if key else name, depth + 1)
        case list():
            for index, item in enumerate(value):
                yield from _too_large(item, f"{key}[{index}]", depth + 1)


def toml_text(content: Mapping[str, Any]) -> str:
    """Return a TOML document that `parse_toml` reads back; raise `UsageError` for text that UTF-8 cannot hold."""
    import tomli_w

    text = tomli_w.dumps(content)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        start, end = text.rfind("\n", 0, error.start) + 1, text.find("\n", error.start)
        raise UsageError(f"{text[start:end]}: is not text in UTF-8") from error
    return text


def toml_key(key: str) -> str:
    """Return a key as TOML writes it: in quotes where it has other characters than A-Z, a-z, 0-9, - and _."""
    return toml_text({key: 0}).removesuffix(" = 0\n")


def toml_value(value: str | Sequence[str]) -> str:
    """Return a text or a list of texts as TOML on one line."""
    if not isinstance(value, str):
        return f"[{', '.join(map(toml_value, value))}]"
    return toml_text({"_": value}).removeprefix("_ = ").removesuffix("\n")
