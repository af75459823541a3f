"""What `merbench init` proposes for columns of references: the kinds are asked, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from merbench.files.toml import toml_value

MADE_UP_LABELS = ("other", "another")


@dataclass(frozen=True, slots=True)
class DraftColumn:
    """A column of references that a target may be declared for.

    Attributes:
        name: its name.
        cells: all references.
        shown: those of the training split, whose values may be in a file that is published.
        duration: the column of samples that holds their length in seconds; empty without one.
        is_example: whether it only shows what a declaration looks like; else its values need not be all that may be
            predicted.
    """

    name: str
    cells: pa.Array = field(repr=False)
    shown: pa.Array = field(repr=False)
    duration: str = ""
    is_example: bool = False


class Alternative(NamedTuple):
    """Metrics for a special case: what the case is; whether they are added to the others, or replace them."""

    comment: str
    metrics: tuple[str, ...]
    is_added: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A target to declare.

    Attributes:
        lines: the lines of its table in `track.toml` below `type`.
        metrics: the names of its metrics; the first one gets a weight.
        label: the label that metrics of one label are computed for.
        alternative: metrics that the declaration proposes in comments.
        name: the name of a target that takes the place of several.
        replaces: the columns of these.
    """

    lines: str
    metrics: tuple[str, ...]
    label: str = ""
    alternative: Alternative | None = None
    name: str = ""
    replaces: tuple[str, ...] = ()


def label_lines(labels: Sequence[str], note: str) -> tuple[str, tuple[str, ...]]:
    """Return the line that declares labels, and these, with made-up ones where they are fewer than two."""
    further = [label for label in MADE_UP_LABELS if label not in labels][: max(0, 2 - len(labels))]
    declared = (*labels, *further)
    text = f"labels = {toml_value(declared)}  # {note}\n"
    if further:
        n = len(labels) or "none"
        comment = f"# The references for training hold {n} of the labels, and at least two are needed; the others here"
        text = f"{comment} are made up.\n{text}"
    return text, declared
