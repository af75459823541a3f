"""Corruptions of transcripts: words deleted, replaced, misspelt, or written as others that sound the same.

Conventions:
    signal: a text, of which a new one is returned. A **word** is a run of characters without white space that begins
    and ends with a letter or digit (`don't`, `well-known`), and in scripts that put no spaces between words (Chinese,
    Japanese, Thai, Lao, Burmese, Khmer) every single letter. Marks stay attached to the word before them, opening ones
    to the word after; detached marks are not words and stay.
    rate: share of words that are corrupted. Of n words, `rate * n` rounded half to even are chosen, each subset of that
    size equally likely, so that a transcript's own rate is as near as its length allows. Where fewer words can be
    corrupted (few have a homophone), fewer are. A higher rate corrupts the words of a lower one in the same way, and
    more. A text without words stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.random import PCG64

from merbench.corruptions.declaration import CorruptionFunction, corruption
from merbench.corruptions.drawing import permutation, uniforms
from merbench.parameters import Within

UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Letters of scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer."""

RATES = MappingProxyType({"rate": (0.05, 0.1, 0.2, 0.3, 0.4)})
"""Word error rates at severities 1 to 5."""

WordRate = Annotated[float, Within(0, 1, "of the words")]

_TOKEN = re.compile(r"\S+")
_PIECE = re.compile(rf"{UNSPACED.pattern}|(?:(?!{UNSPACED.pattern}).)+")
_CORE = re.compile(r"\w(?:.*\w)?")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word and its surroundings."""

    gap: str  # white space before it, with the detached marks there
    opening: str  # marks attached before it
    core: str
    closing: str  # marks attached after it

    @property
    def is_spaced(self) -> bool:
        return not UNSPACED.match(self.core)


def words(text: str) -> list[str]:
    """Return the words of a text, without the marks around them."""
    return [word.core for word in _split(text)[0]]


def _split(text: str) -> tuple[list[_Word], str]:
    """Return the words of a text, and what follows the last one."""
    originals: list[_Word] = []
    end = 0
    for token in _TOKEN.finditer(text):
        cores = list(_cores(token[0]))
        if not cores:
            continue
        starts = [0, *(begin for begin, _ in cores[1:])]
        ends = [*starts[1:], len(token[0])]
        for start, (begin, stop), last in zip(starts, cores, ends, strict=True):
            parts = (token[0][start:begin], token[0][begin:stop], token[0][stop:last])
            originals.append(_Word(text[end : token.start() + start], *parts))
            end = token.start() + last
    return originals, text[end:]


def _cores(token: str) -> Iterator[tuple[int, int]]:
    for piece in _PIECE.finditer(token):
        core = _CORE.search(piece[0])
        if core is not None:
            yield piece.start() + core.start(), piece.start() + core.end()


def _joined(kept: Sequence[_Word | None], original: Sequence[_Word], rest: str) -> str:
    """Return the text of the words that are left, where None is a deleted one.

    White space before a deleted word is deleted with it; detached marks there stay.
    """
    text, between = "", ""
    last: _Word | None = None
    for word, before in zip(kept, original, strict=True):
        if word is None:
            between += before.gap.rstrip()
            continue
        between += word.gap
        if last is not None and last.is_spaced and word.is_spaced and not re.search(r"\s", between):
            between += " "
        text += between + word.opening + word.core + word.closing
        last, between = word, ""
    text += between
    is_first_deleted = bool(kept) and kept[0] is None
    return (text.lstrip() if is_first_deleted else text) + rest


Replacement = Callable[[str, float], str | None]
"""A word and a number from [0, 1) -> what replaces it; None if nothing can."""


def _replaced(text: str, rng: PCG64, rate: float, replacement: Replacement) -> str:
    """Return a text of which a share of the words is replaced, of those for which there is a replacement."""
    originals, rest = _split(text)
    order, draws = permutation(rng, len(originals)), uniforms(rng, len(originals))
    new: list[_Word | None] = list(originals)
    left = round(rate * len(originals))
    for position in order.tolist():
        if left == 0:
            break
        other = replacement(originals[position].core, draws[position])
        if other is not None:
            new[position] = replace(originals[position], core=other)
            left -= 1
    return _joined(new, originals, rest)


def realised_rate(before: str, after: str) -> dict[str, float]:
    """Return the word error rate of the corrupted text.

    That is the least number of words to delete, insert or replace (Levenshtein, 1966) over the number of words of the
    original; 0 for a text without words. It may be lower than the share of corrupted words, where one that replaces
    another equals a neighbour.
    """
    original = words(before)
    return {"realised_rate": _edit_distance(original, words(after)) / len(original) if original else 0.0}


def _edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    codes = {word: code for code, word in enumerate(dict.fromkeys([*a, *b]))}
    columns = np.array([codes[word] for word in b], dtype=np.int64)
    steps = np.arange(len(b) + 1)
    row = steps
    for number, word in enumerate(a, start=1):
        replaced = row[:-1] + (columns != codes[word])
        reached = np.concatenate([[number], np.minimum(row[1:] + 1, replaced)])
        row = np.minimum.accumulate(reached - steps) + steps  # insertions, from left to right
    return int(row[-1])


def _word_corruption(source: str = "") -> Callable[[CorruptionFunction], CorruptionFunction]:
    return corruption("text", source=source, severities=RATES, unchanged_at={"rate": 0}, measured=realised_rate)


@_word_corruption()
def word_deletion(signal: str, rng: PCG64, *, rate: WordRate) -> str:
    """Delete words; marks attached to a word are deleted with it.

    Word deletion as an error of recognition: Morris, Maier and Green (2004), *From WER and RIL to MER and WIL*.

    Args:
        rate: share of words that are deleted; at 1 only detached marks are left.
    """
    originals, rest = _split(signal)
    order = permutation(rng, len(originals))
    deleted = set(order[: round(rate * len(originals))].tolist())
    return _joined([None if i in deleted else word for i, word in enumerate(originals)], originals, rest)


@_word_corruption()
def word_substitution(signal: str, rng: PCG64, *, rate: WordRate) -> str:
    """Replace words by words they are mistaken for, else by other words of the same transcript.

    A word of merbench's list of English confusions (`confusions.txt`: short words spoken weakly, forms of one word,
    words that differ in one sound) is replaced by one of those it is mistaken for, any other by another word of the
    same text, each equally likely. So the rate is the same for every language, but only English has likely confusions.
    Capitals are carried over. A text of a single word that is not in the list stays as it is.

    Args:
        rate: share of words that are replaced.
    """
    own = list(dict.fromkeys(words(signal)))

    def replacement(word: str, u: float) -> str | None:
        from_list = _from_sets(word, u, "confusions")
        if from_list is not None:
            return from_list
        others = [other for other in own if other.casefold() != word.casefold()]
        return _spelled(others[int(u * len(others))], word, "I") if others else None

    return _replaced(signal, rng, rate, replacement)


@_word_corruption("Belinkov and Bisk 2018")
def character_swaps(signal: str, rng: PCG64, *, rate: WordRate) -> str:
    """Swap two neighbouring letters in each of the chosen words, as hasty typing does.

    Every pair of neighbouring letters that differ is equally likely, the first one included. A word without such a
    pair (`a`, `oo`, `42`; every word of a script without spaces) cannot be chosen.

    Args:
        rate: share of words with a swap.
    """
    return _replaced(signal, rng, rate, _swapped)


def _swapped(word: str, u: float) -> str | None:
    pairs = [i for i, (a, b) in enumerate(pairwise(word)) if a != b and a.isalpha() and b.isalpha()]
    if not pairs:
        return None
    first = pairs[int(u * len(pairs))]
    return word[:first] + word[first + 1] + word[first] + word[first + 2 :]


@_word_corruption()
def homophones(signal: str, rng: PCG64, *, rate: WordRate) -> str:
    """Replace English words by words that sound the same.

    The list is merbench's own (`homophones.txt`: 300 sets, in General American or Southern British English). A word
    without a homophone there cannot be chosen; texts in other languages mostly stay as they are. Capitals are carried
    over.

    Args:
        rate: share of words that are replaced, as far as they have homophones.
    """
    return _replaced(signal, rng, rate, lambda word, u: _from_sets(word, u, "homophones"))


def _from_sets(word: str, u: float, name: str) -> str | None:
    """Return one of the words that a list gives for this one; None if the list has none."""
    curly = "’" in word
    plain = word.replace("’", "'")
    known = word_sets(name).get(plain.casefold())
    if known is None:
        return None
    listed, others = known
    other = _spelled(others[int(u * len(others))], plain, listed)
    return other.replace("'", "’") if curly else other


def _spelled(other: str, word: str, listed: str) -> str:
    """Return a word with the capitals of the one that it replaces, unless that is always written so."""
    if word == listed:
        return other
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[0].upper() + other[1:] if word[0].isupper() else other


@cache
def word_sets(name: str) -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """Return a list of merbench, `homophones` or `confusions`: case-folded word -> its spelling, and the others."""
    lines = (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    spelling: dict[str, str] = {}
    others: dict[str, list[str]] = {}
    for line in lines:
        alike = [] if line.startswith("#") else line.split()
        for word in alike:
            key = word.casefold()
            spelling[key] = word
            others.setdefault(key, []).extend(other for other in alike if other != word)
    return {key: (word, tuple(dict.fromkeys(others[key]))) for key, word in spelling.items()}
