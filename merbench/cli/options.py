"""Options that several commands take, and options of two parts with = between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

Workers = Annotated[int, typer.Option(metavar="N", min=1, help="Processes on this machine.")]
Engine = Annotated[str, typer.Option(metavar="ENGINE", help="local, or dask://host:port, a running cluster.")]

TWO_PARTS = "two parts with = between them are needed"
MODALITY_NAME = "write MODALITY=NAME, such as audio=hubert"


def pairs(
    option: str, items: Sequence[str] | None, wanted: str = TWO_PARTS, *, by_right: bool = False
) -> dict[str, str]:
    """Return what is left of each = -> what is right of it.

    Args:
        option: the option, as it is typed.
        items: what was given to it.
        wanted: what is told where an item has no two parts.
        by_right: whether what is right is the key, which leads to what is left.

    Raises:
        UsageError: an item has no two parts; a key is given twice.
    """
    from merbench.errors import UsageError

    found: dict[str, str] = {}
    for item in items or ():
        left, equals, right = item.partition("=")
        if not (left and equals and right):
            raise UsageError(f"{option} {item}: {wanted}")
        key, value = (right, left) if by_right else (left, right)
        if key in found:
            raise UsageError(f"{option} {item}: '{key}' is given twice")
        found[key] = value
    return found
