"""The name of a lexicon that comes with merbench goes in, its content comes out.

Conventions:
    A data file holds `source`, a table `wheels.<name>` of level 1 → level 2 → words of level 3, `synonyms` of wheel
    word → words that mean it, and `forms` of base form → its inflections; lists of words may be one text each,
    separated by commas.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from merbench.lexicon.content import Content, Row

BUILTIN = ("english",)


def read_builtin(name: str) -> tuple[Content, str]:
    """Return the content of a lexicon that comes with merbench, and where its words come from."""
    data = tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8"))
    wheels = {wheel: list(_rows(levels)) for wheel, levels in data["wheels"].items()}
    synonyms = ((word, target) for target, words in data["synonyms"].items() for word in _words(words))
    forms = ((form, base) for base, own in data["forms"].items() for form in _words(own))
    return Content.of(forms, synonyms, wheels), data["source"]


def _rows(levels: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    for one, below in levels.items():
        for two, words in below.items():
            yield from ((one, two, three) for three in _words(words))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]
