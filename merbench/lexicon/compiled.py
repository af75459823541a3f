"""A compiled lexicon: arrays that look up many words at once.

Conventions:
    labels, bases, wheel_words: tables of words in alphabetical order; a code is a position in one, −1 means none.
    Sectors are int8 codes into `sector_names(wheel, level)`, in the order in which the wheel lists them; −1 where the
    wheel does not know the word, so that the label vanishes there.

The rules are those of the released scorers (MER 2025 and 2026, fine-grained track). Level 1 of a wheel: each word of a
row → the row's level-1 word. Level 2: a level-2 or level-3 word → the row's level-2 word; any other level-1 word → the
alphabetically first level-2 word below it. Where a word is in several sectors, the last row wins. A label → all its
base forms → all their wheel words, sorted; the first that the wheel knows gives the sector.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import UnknownName
from merbench.files.npy import read_npz
from merbench.lexicon.content import Content, normal

Codes = NDArray[np.int32]
Sectors = NDArray[np.int8]
Words = tuple[str, ...]
Level = Literal[1, 2]

NPZ_FORMAT = 1
"""Rises when the stored arrays change, or the rules by which they are made."""

_TABLES = ("wheels", "labels", "bases", "wheel_words")
_LINKS = ("label_bases", "base_words")


class Ambiguity(NamedTuple):
    """A word that is in several sectors of a wheel at one level, in the order of the rows; it counts for `chosen`."""

    word: str
    wheel: str
    level: Level
    sectors: Words
    chosen: str


class Lookup(NamedTuple):
    """Every step of a word through a lexicon."""

    word: str  # the word as it is looked up
    wheel_words: Mapping[str, Words]  # base form → its wheel words; empty for an unknown word
    # wheel → the wheel word that decides, its level-1 and its level-2 sector; None if the word vanishes
    sectors: Mapping[str, tuple[str, str, str] | None]


@dataclass(frozen=True, eq=False, slots=True)
class Linked:
    """Items and what each is linked to, in alphabetical order: `codes[offsets[i]:offsets[i + 1]]` belongs to item i."""

    offsets: Codes
    codes: Codes

    @classmethod
    def of(cls, targets: Iterable[Words], table: Words) -> Linked:
        """Return the links of every item to words of a table."""
        code_of = {word: code for code, word in enumerate(table)}
        linked = [sorted(code_of[word] for word in words) for words in targets]
        offsets = np.cumsum([0, *map(len, linked)], dtype=np.int32)
        return cls(offsets, np.array([code for codes in linked for code in codes], dtype=np.int32))

    def __getitem__(self, item: int) -> list[int]:
        return [int(code) for code in self.codes[self.offsets[item] : self.offsets[item + 1]]]

    @property
    def first(self) -> Codes:
        """The first code of every item, −1 for an item without any."""
        filled = np.diff(self.offsets) > 0
        return np.where(filled, np.append(self.codes, -1)[self.offsets[:-1]], -1).astype(np.int32)

    def through(self, others: Linked) -> tuple[NDArray[np.int64], Codes]:
        """Return (item, code) of everything that items are linked to through the links of others."""
        items = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        counts = np.diff(others.offsets)[self.codes]
        ends = np.cumsum(counts)
        within = np.arange(counts.sum()) - np.repeat(ends - counts, counts)
        return np.repeat(items, counts), others.codes[np.repeat(others.offsets[:-1][self.codes], counts) + within]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """A compiled lexicon."""

    name: str
    digest: str  # SHA-256 of its content (`Content.digest`)
    source: str  # where its words come from
    wheels: Words  # their names
    labels: Words  # every surface form
    bases: Words  # every base form
    wheel_words: Words  # every word on a wheel
    label_bases: Linked  # label → base forms
    base_words: Linked  # base form → wheel words
    rows: tuple[Codes, ...]  # per wheel, int32 `(n_rows, 3)` codes of wheel words at levels 1, 2, 3
    word_sectors: Sectors  # int8 `(2, n_wheels, n_wheel_words)` sectors of wheel words at either level

    @classmethod
    def compile(cls, content: Content, *, name: str, source: str) -> Lexicon:
        """Return the arrays of a content without problems."""
        bases = tuple(sorted({base for own in content.forms.values() for base in own}))
        wheel_words = tuple(sorted(content.wheel_words))
        code_of = {word: code for code, word in enumerate(wheel_words)}
        wheels = content.wheels.values()
        return cls(
            name=name,
            digest=content.digest,
            source=source,
            wheels=tuple(content.wheels),
            labels=tuple(content.forms),
            bases=bases,
            wheel_words=wheel_words,
            label_bases=Linked.of(content.forms.values(), bases),
            base_words=Linked.of((content.synonyms.get(base, ()) for base in bases), wheel_words),
            rows=tuple(np.array([[code_of[w] for w in row] for row in rows], dtype=np.int32) for rows in wheels),
            word_sectors=_word_sectors(content, wheel_words),
        )

    def label_codes(self, words: Sequence[str]) -> Codes:
        """Return the `(n,)` codes of words in `labels`; −1 for an unknown word."""
        # Arrow's hashing of contiguous text is twice as fast as a dictionary whose strings lie scattered in memory.
        codes = pc.index_in(pa.array(words, pa.string()), value_set=self._label_table)
        return np.asarray(codes.fill_null(-1))

    def base_forms(self, words: Sequence[str]) -> Codes:
        """Return the `(n,)` code of every word's alphabetically first base form."""
        return _of_known(self.label_bases.first, self.label_codes(words))

    def synonyms(self, words: Sequence[str]) -> Codes:
        """Return the `(n,)` code of the alphabetically first wheel word of every word's first base form."""
        return _of_known(self.base_words.first, self.base_forms(words))

    def sectors(self, words: Sequence[str], level: Level = 1) -> Sectors:
        """Return the `(n_wheels, n)` sectors of words at one level of every wheel."""
        return _of_known(self._label_sectors[level - 1], self.label_codes(words))

    def wheel_index(self, name: str) -> int:
        """Return the position of a wheel; raise `UnknownName` for one that the lexicon does not have."""
        if name not in self.wheels:
            raise UnknownName(f"wheel of the lexicon '{self.name}'", name, self.wheels)
        return self.wheels.index(name)

    def sector_names(self, wheel: str, level: Level) -> Words:
        """Return the sectors of a wheel at one level, in the order of its rows."""
        codes = self.rows[self.wheel_index(wheel)][:, level - 1]
        return tuple(dict.fromkeys(self.wheel_words[code] for code in codes.tolist()))

    @property
    def vocabulary(self) -> Words:
        """Every surface form that has a sector on at least one wheel, for matching in text."""
        known = np.flatnonzero((self._deciders >= 0).any(axis=0))
        return tuple(self.labels[label] for label in known.tolist())

    def lookup(self, word: str) -> Lookup:
        """Return every step of a word: base forms, wheel words, and a sector on each wheel."""
        word = normal(word)
        code = int(self.label_codes([word])[0])
        bases = self.label_bases[code] if code >= 0 else []
        words = {self.bases[base]: tuple(self.wheel_words[w] for w in self.base_words[base]) for base in bases}
        return Lookup(word, words, {wheel: self._decision(number, code) for number, wheel in enumerate(self.wheels)})

    def _decision(self, wheel: int, label: int) -> tuple[str, str, str] | None:
        decider = int(self._deciders[wheel, label]) if label >= 0 else -1
        if decider < 0:
            return None
        upper, lower = (
            self.sector_names(self.wheels[wheel], level)[self.word_sectors[level - 1, wheel, decider]]
            for level in (1, 2)
        )
        return self.wheel_words[decider], upper, lower

    def ambiguous(self) -> tuple[Ambiguity, ...]:
        """Return the words that are in several sectors, by wheel, word and level."""
        items = []
        for number, wheel in enumerate(self.wheels):
            for level in (1, 2):
                names = self.sector_names(wheel, level)
                for word, sectors in _sectors_of_words(self.rows[number], level).items():
                    if len(sectors) > 1:
                        chosen = names[self.word_sectors[level - 1, number, word]]
                        all_names = tuple(self.wheel_words[sector] for sector in sectors)
                        items.append(Ambiguity(self.wheel_words[word], wheel, level, all_names, chosen))
        return tuple(sorted(items, key=lambda item: (self.wheels.index(item.wheel), item.word, item.level)))

    def to_npz(self) -> bytes:
        """Return the arrays as the bytes of an NPZ file without pickles; name and source are not in them."""
        arrays: dict[str, Any] = {"format": np.array(NPZ_FORMAT), "digest": _packed((self.digest,))}
        arrays |= {table: _packed(getattr(self, table)) for table in _TABLES}
        for name in _LINKS:
            links: Linked = getattr(self, name)
            arrays |= {f"{name}.offsets": links.offsets, f"{name}.codes": links.codes}
        arrays |= {f"rows.{wheel}": rows for wheel, rows in enumerate(self.rows)}
        file = io.BytesIO()
        np.savez(file, **arrays, word_sectors=self.word_sectors)  # NumPy 2.0 would write `allow_pickle` as an array
        return file.getvalue()

    @classmethod
    def from_npz(cls, path: Path, *, name: str, source: str) -> Lexicon | None:
        """Return the lexicon in a file of `to_npz`; None if there is no such file, or it cannot be used."""
        try:
            arrays = read_npz(path)
            if arrays["format"] != NPZ_FORMAT:
                return None
            tables: dict[str, Any] = {table: _unpacked(arrays[table]) for table in _TABLES}
            links: dict[str, Any] = {
                item: Linked(arrays[f"{item}.offsets"], arrays[f"{item}.codes"]) for item in _LINKS
            }
            rows = tuple(arrays[f"rows.{wheel}"] for wheel in range(len(tables["wheels"])))
            (digest,) = _unpacked(arrays["digest"])
            sectors = arrays["word_sectors"]
            return cls(name=name, digest=digest, source=source, rows=rows, word_sectors=sectors, **tables, **links)
        except (OSError, ValueError, KeyError):
            return None

    @cached_property
    def _label_table(self) -> pa.Array:
        return pa.array(self.labels, pa.string())

    @cached_property
    def _deciders(self) -> Codes:
        """The wheel word that gives a label its sector, `(n_wheels, n_labels)`; −1 where the wheel knows none."""
        labels, words = self.label_bases.through(self.base_words)
        deciders = np.full((len(self.wheels), len(self.labels)), len(self.wheel_words), dtype=np.int32)
        for wheel, sectors in enumerate(self.word_sectors[0]):
            known = sectors[words] >= 0
            np.minimum.at(deciders[wheel], labels[known], words[known])
        return np.where(deciders < len(self.wheel_words), deciders, -1)

    @cached_property
    def _label_sectors(self) -> Sectors:
        """Sectors of labels, `(2, n_wheels, n_labels)`."""
        wheels = [_of_known(self.word_sectors[:, wheel], deciders) for wheel, deciders in enumerate(self._deciders)]
        return np.stack(wheels, axis=1)


def _of_known(values: NDArray[Any], codes: Codes) -> NDArray[Any]:
    """Return the values at codes, along the last axis; −1 at a code of −1."""
    none = np.full((*values.shape[:-1], 1), -1, dtype=values.dtype)
    return np.concatenate([values, none], axis=-1)[..., codes]


def _sectors_of_words(rows: Codes, level: Level) -> dict[int, list[int]]:
    """Return word → its sectors; at level 2, a word that is only on level 1 has none."""
    sectors: dict[int, dict[int, None]] = {}
    for row in rows.tolist():
        for word in row[level - 1 :]:
            sectors.setdefault(word, {})[row[level - 1]] = None
    return {word: list(names) for word, names in sectors.items()}


def _word_sectors(content: Content, wheel_words: Words) -> Sectors:
    sectors = np.full((2, len(content.wheels), len(wheel_words)), -1, dtype=np.int8)
    place = {word: code for code, word in enumerate(wheel_words)}
    for wheel, (name, rows) in enumerate(content.wheels.items()):
        for level in (0, 1):
            code_of = {sector: code for code, sector in enumerate(dict.fromkeys(row[level] for row in rows))}
            for word, pair in content.sectors(name).items():
                sectors[level, wheel, place[word]] = code_of[pair[level]]
    return sectors


def _packed(words: Words) -> NDArray[np.uint8]:
    return np.frombuffer("\0".join(words).encode(), dtype=np.uint8)


def _unpacked(packed: NDArray[np.uint8]) -> Words:
    return tuple(packed.tobytes().decode().split("\0"))
