"""The content of a lexicon: words and the rows of wheels, in one canonical form with files and a digest.

Conventions:
    Words are trimmed and lower-cased; empty ones are dropped. Forms: surface form → its base forms; every base form is
    a form of itself. Synonyms: base form → its wheel words; every wheel word is its own base form and synonym.
    Wheels: name → rows of three words (level 1, level 2, level 3), in the order of the file they came from: where a
    word is in several sectors, the last row wins.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merbench.errors import Problem, listed, plural, printable
from merbench.files.reading import sha256_bytes

WheelRow = tuple[str, str, str]
Links = Mapping[str, tuple[str, ...]]

HEADERS = {
    "forms.csv": ("form", "base"),
    "synonyms.csv": ("base", "wheel_word"),
    "wheels.csv": ("wheel", "level1", "level2", "level3"),
}
"""The canonical files and their columns."""

MOST_SECTORS = 64
"""A wheel has at most this many sectors per level: a bit each in one 64-bit word."""


@dataclass(frozen=True)
class Content:
    """The content of a lexicon in canonical form; make one with `Content.of`."""

    forms: Links  # surface form → base forms
    synonyms: Links  # base form → wheel words
    wheels: Mapping[str, tuple[WheelRow, ...]]  # name → rows

    @classmethod
    def of(
        cls,
        forms: Iterable[tuple[str, str]],
        synonyms: Iterable[tuple[str, str]],
        wheels: Mapping[str, Iterable[Sequence[str]]],
    ) -> Content:
        """Return the content of pairs (form, base), pairs (base, wheel word) and the rows of wheels."""
        rows = {name: tuple(_row(row) for row in wheel) for name, wheel in wheels.items()}
        on_wheels = {word for wheel in rows.values() for row in wheel for word in row}
        synonyms = [*_pairs(synonyms), *((word, word) for word in on_wheels)]
        forms = [*_pairs(forms), *((base, base) for base, _ in synonyms)]
        return cls(_links([*forms, *((base, base) for _, base in forms)]), _links(synonyms), rows)

    @property
    def wheel_words(self) -> set[str]:
        """Every word on any wheel."""
        return {word for rows in self.wheels.values() for row in rows for word in row}

    def sectors(self, wheel: str) -> dict[str, tuple[str, str]]:
        """Return the level-1 and the level-2 sector of every word on a wheel."""
        rows = self.wheels[wheel]
        below: dict[str, str] = {}
        for upper, lower, _ in rows:
            below[upper] = min(lower, below.get(upper, lower))
        first = {word: row[0] for row in rows for word in row}
        second = below | {word: row[1] for row in rows for word in row[1:]}
        return {word: (sector, second[word]) for word, sector in first.items()}

    @property
    def digest(self) -> str:
        """SHA-256 over forms, synonyms and the sectors of words: equal where every word has the same value."""
        sectors = ((wheel, word, *pair) for wheel in self.wheels for word, pair in sorted(self.sectors(wheel).items()))
        return sha256_bytes(_csv(_linked(self.forms)), _csv(_linked(self.synonyms)), _csv(sectors))

    def problems(self) -> list[Problem]:
        """Return everything that keeps the content from being a lexicon."""
        problems = [] if self.wheels else [Problem("E624", "no wheel; at least one is needed")]
        for name, rows in self.wheels.items():
            if not rows:
                problems.append(Problem("E624", f"{printable(name)} has no rows"))
            for level in (1, 2):
                n = len({row[level - 1] for row in rows})
                if n > MOST_SECTORS:
                    message = f"{printable(name)} has {n} sectors at level {level}; at most {MOST_SECTORS} are allowed"
                    problems.append(Problem("E624", message))
        unknown = sorted({word for words in self.synonyms.values() for word in words} - self.wheel_words)
        if unknown:
            shown = listed([f"'{printable(word)}'" for word in unknown])
            message = f"{plural(len(unknown), 'word')} given as wheel words are on no wheel: {shown}"
            problems.append(Problem("E625", message, count=len(unknown)))
        return problems

    def files(self) -> dict[str, bytes]:
        """Return the canonical files by name; equal contents have equal bytes."""
        wheels = ((name, *row) for name, rows in self.wheels.items() for row in rows)
        tables = {"forms.csv": _linked(self.forms), "synonyms.csv": _linked(self.synonyms), "wheels.csv": wheels}
        return {name: _csv([HEADERS[name]]) + _csv(rows) for name, rows in tables.items()}


def read_content(files: Mapping[str, bytes]) -> Content:
    """Return the content of canonical files, which have been checked against their digests."""
    tables = {name: list(csv.reader(io.StringIO(data.decode(), newline="")))[1:] for name, data in files.items()}
    wheels: dict[str, list[list[str]]] = {}
    for name, *row in tables["wheels.csv"]:
        wheels.setdefault(name, []).append(row)
    forms, synonyms = ([(a, b) for a, b in tables[name]] for name in ("forms.csv", "synonyms.csv"))
    return Content.of(forms, synonyms, wheels)


def read_english() -> tuple[Content, str]:
    """Return the content of the lexicon that comes with merbench (`english.toml`), and where its words come from."""
    data = tomllib.loads((Path(__file__).parent / "english.toml").read_text(encoding="utf-8"))
    wheels = {
        wheel: [
            (first, second, w) for first, below in levels.items() for second in below for w in below[second].split(",")
        ]
        for wheel, levels in data["wheels"].items()
    }
    synonyms = ((word, target) for target, words in data["synonyms"].items() for word in words.split(","))
    forms = ((form, base) for base, inflections in data["forms"].items() for form in inflections.split(","))
    return Content.of(forms, synonyms, wheels), data["source"]


def normal(word: str) -> str:
    """Return a word as lexicons hold it."""
    return word.strip().lower()


def _row(words: Sequence[str]) -> WheelRow:
    first, second, third = map(normal, words)
    return first, second, third


def _pairs(links: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for source, target in links:
        pair = normal(source), normal(target)
        if all(pair):
            yield pair


def _links(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    linked: dict[str, set[str]] = {}
    for source, target in pairs:
        linked.setdefault(source, set()).add(target)
    return {source: tuple(sorted(linked[source])) for source in sorted(linked)}


def _linked(links: Links) -> Iterator[tuple[str, str]]:
    return ((source, target) for source, targets in links.items() for target in targets)


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
