"""The words of a sample go in, the prompt for a language model comes out; its answer goes in, groups come out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from merbench.errors import printable
from merbench.files import sha256_bytes
from merbench.synonyms.groups import Answer, normal

FORM = "a JSON array of arrays of the given words is needed"

_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A model's answer.

    Attributes:
        groups: groups of words that were asked for.
        n_dropped: how many words it gave that were not.
    """

    groups: Answer
    n_dropped: int


@lru_cache
def template() -> str:
    """Return the text of the prompt, in which `{words}` stands for the words."""
    return (Path(__file__).parent / "prompt.txt").read_text(encoding="utf-8")


def prompt_digest() -> str:
    """Return the SHA-256 of the prompt's text."""
    return sha256_bytes(template().encode())


def prompt(words: Sequence[str]) -> str:
    """Return the prompt for some words, which stand in it as a JSON array."""
    return template().replace("{words}", json.dumps(list(words), ensure_ascii=False))


def parse_answer(text: str, words: Sequence[str]) -> Parsed | str:
    """Return the groups of an answer, or why it cannot be used.

    A code fence around the array is taken off. Words nobody asked for are dropped and counted, and so is a group
    without any other; words that the answer leaves out are in no group.
    """
    content = text.strip()
    fenced = _FENCED.fullmatch(content)
    try:
        told = json.loads(fenced[1] if fenced else content)
    except (ValueError, RecursionError):
        return f"'{printable(content)}' is not JSON; {FORM}"
    if not _are_groups(told):
        return f"'{printable(content)}' is something else; {FORM}"
    asked = set(words)
    known = [[word for item in group if (word := normal(item)) in asked] for group in told]
    groups = tuple(tuple(group) for group in known if group)
    if not groups:
        return f"'{printable(content)}' holds none of the words; {FORM}"
    return Parsed(groups, sum(map(len, told)) - sum(map(len, groups)))


def _are_groups(told: Any) -> bool:
    return isinstance(told, list) and all(
        isinstance(group, list) and all(isinstance(word, str) for word in group) for group in told
    )
