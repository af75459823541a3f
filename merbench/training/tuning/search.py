"""Search spaces: which values of a baseline's options are tried, and by which sampler.

`[search]` of `baseline.toml` and `--search` declare, for each option, a list of values or a range.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, model_validator

from merbench.declarations import Declaration, refused

JOURNAL, LOCKS = "study.jsonl", "locks"
"""The names, in the folder of a search, of its trials and of what processes lock."""

SamplerName = Literal["random", "tpe"]
"""`random` draws every option by itself, with replacement; `tpe` learns from earlier trials (Bergstra et al., 2011)."""


class Searched(Declaration):
    """The values of one option that are tried: those of a list, or all of a range."""

    values: tuple[Any, ...] | None = Field(default=None, min_length=1, strict=False)
    low: int | float | None = None
    high: int | float | None = None
    # whether the logarithm of the value is drawn uniformly, not the value
    log: bool = False
    # the distance of neighbouring values; None: 1 of whole numbers, and any value of others
    step: int | float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        if not isinstance(value, list | tuple):
            raise refused(((), f"{value!r:.40} is neither a list of values nor a range {{ low = …, high = … }}"))
        return {"values": value}

    @model_validator(mode="after")
    def _is_list_or_range(self) -> Searched:
        given = [name for name in ("low", "high", "log", "step") if name in self.model_fields_set]
        if self.values is not None:
            if given:
                raise refused(((), f"has a list of values, and {given[0]} of a range"))
            return self
        if self.low is None or self.high is None or not self.low < self.high:
            raise refused(((), "is a list of values, or a range with low below high"))
        if self.log and (self.low <= 0 or self.step is not None):
            raise refused(((), "a logarithmic range begins above 0, and has no step"))
        return self

    @property
    def is_whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step if self.step is not None else 1))

    @property
    def examples(self) -> tuple[Any, ...]:
        """All values of a list; of a range its ends, and what lies between."""
        if self.values is not None:
            return self.values
        assert self.low is not None and self.high is not None
        between = () if self.is_whole else (self.low + 0.381966 * (self.high - self.low),)
        return (self.low, self.high, *between)

    def rounded(self, value: float) -> float:
        """Return a value of the range as it would be written: 0.6 instead of 0.1 + 5 x 0.1, 0.6000000000000001."""
        if self.step is None or self.is_whole:
            return value
        assert self.low is not None
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        return float(low + round((Decimal(value) - low) / step) * step)

    def __str__(self) -> str:
        if self.values is not None:
            return ", ".join(json.dumps(value, ensure_ascii=False) for value in self.values)
        assert self.low is not None and self.high is not None
        how = " (log)" if self.log else f" by {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{how}"


Space = Mapping[str, Searched]
"""By option, in the order declared, where its values are searched."""
