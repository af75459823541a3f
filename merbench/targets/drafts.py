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
    """A column of references that a target may be declared for."""

    name: str
    cells: pa.Array = field(repr=False)  # all references
    shown: pa.Array = field(repr=False)  # those of the training split, whose values may be in a file that is published
    duration: str = ""  # the column of samples that contains their length in seconds; empty without one
    # whether it only shows what a declaration looks like; else its values need not be all that may be predicted
    is_example: bool = False


class Alternative(NamedTuple):
    """Metrics for a special case: what the case is; whether they are added to the others, or replace them."""

    comment: str
    metrics: tuple[str, ...]
    is_added: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A target to declare."""

    lines: str  # the lines of its table in `track.toml` below `type`
    metrics: tuple[str, ...]  # the names of its metrics; the first one gets a weight
    label: str = ""  # the label that metrics of one label are computed for
    alternative: Alternative | None = None  # metrics that the declaration proposes in comments
    name: str = ""  # the name of a target that takes the place of several
    replaces: tuple[str, ...] = ()  # the columns of these
    comment: str = ""  # what these columns hold, and what they may mean


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
