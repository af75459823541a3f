"""What a caller asks of resampling goes in, the same in plain types comes out, or one message about what is wrong."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

from merbench.errors import UsageError


class Asked(NamedTuple):
    """What is asked of resampling, in the order of `resampling_of`; None takes what the track declares."""

    method: str | None
    level: float | None
    n_resamples: int | None
    cluster: str | None
    seed: int


def asked(method: Any, level: Any, n_resamples: Any, cluster: Any, seed: Any) -> Asked:
    """Return the arguments of `score` and `compare` about resampling; raise `UsageError` for one of another type."""
    return Asked(
        method=None if method is None else _name("method", "a method", method),
        level=None if level is None else _number("level", level),
        n_resamples=None if n_resamples is None else whole("n_resamples", n_resamples),
        cluster=None if cluster is None else _name("cluster", "one column, or 'none'", cluster),
        seed=whole("seed", seed),
    )


def whole(argument: str, value: Any) -> int:
    """Return a whole number from 0 on, of whichever integer type; anything else is a `UsageError`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise UsageError(f"{argument} is a whole number from 0 on, not {value!r}")
    return int(value)


def _number(argument: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"{argument} is a number, not {value!r}")
    return float(value)


def _name(argument: str, of: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{argument} is the name of {of}, not {value!r}")
    return value
