"""What `checked` of a shipped track may claim, and which tests make that comparison.

A test says so itself, `@pytest.mark.checks(KIND, "track", …)` or, with a track for each of its parameters,
`@pytest.mark.checks(KIND, of="ger-{name}")`; a fixture in `conftest` fails it where it does not score them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

SCORER = "the organizers' scorer"
FORMULAS = "the organizers' formulas"
PUBLISHED = "the published value"
CONFUSION = "a published confusion matrix"
KNOWN = "known"
LIBRARY = "scikit-learn"
BY_HAND = "values worked out by hand"
STORED = "regression test only (synthetic data)"

KINDS = (SCORER, FORMULAS, PUBLISHED, CONFUSION, KNOWN, LIBRARY, BY_HAND, STORED)
"""How every part of `checked` begins."""


def kinds_of(checked: str) -> list[str | None]:
    """Return the kind of every part of a claim; None for a part that is of none."""
    return [next((kind for kind in KINDS if part.startswith(kind)), None) for part in checked.split("; ")]


def tracks_of(mark: Any, parameters: dict[str, Any]) -> set[str]:
    """Return the tracks that a mark of a test names, for some parameters of the test."""
    of = mark.kwargs.get("of")
    return {*mark.args[1:], *([of.format(**parameters)] if of else [])}


def claims_of(test: Any) -> Iterator[tuple[str, str]]:
    """Yield every kind and track that a test function checks."""
    marks = getattr(test, "pytestmark", [])
    values = [list(_parameters(mark)) for mark in marks if mark.name == "parametrize"]
    for mark in marks:
        if mark.name == "checks":
            for chosen in product(*values):
                parameters = {name: value for given in chosen for name, value in given.items()}
                yield from ((mark.args[0], track) for track in tracks_of(mark, parameters))


def _parameters(mark: Any) -> Iterator[dict[str, Any]]:
    """Yield the values that a mark gives to the parameters of a test, one set after the other."""
    names, values = mark.args[:2]
    if isinstance(names, str):
        yield from ({names: value} for value in values)
    else:
        yield from (dict(zip(names, value, strict=True)) for value in values)
