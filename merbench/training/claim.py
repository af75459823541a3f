"""What the paper of a baseline claims, as `[[claims]]` of its `baseline.toml` declares it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from merbench.declarations import KEBAB, Declaration, refused

FEWEST_SEEDS = 5
"""How many seeds a claim about scores needs at least."""


Weights = Literal["shared", "per-condition", "mixed"]
"""What answers under conditions: one model, one for each that is trained under it, or one that is trained under all."""


class Side(Declaration):
    """One of two systems that are compared."""

    baseline: str = ""  # empty: the baseline that claims
    preset: str | None = None
    options: dict[str, Any] = Field(default={})  # besides those of the place
    features: tuple[str, ...] | None = Field(default=None, min_length=1, strict=False)  # None: those of the place
    # each feature of the place alone is trained, and the best one by cross-validation is taken
    best_feature: bool = False
    # options are searched first with so many trials, as by `merbench tune`; 0: they are not
    trials: int = Field(default=0, ge=0)
    # keys of the track's `[training]` that differ, besides those of the place
    training: dict[str, Any] = Field(default={})
    weights: Weights | None = None  # None: those of the condition
    # options of `merbench pretrain` on the corpus that is learned from, whose weights it begins from; None: none
    pretraining: dict[str, Any] | None = None
    detector: str = ""  # where classes are held out: how known samples look, such as `energy`; empty: `msp`


class Place(Declaration):
    """Where a claim is checked."""

    track: str
    features: tuple[str, ...] | None = Field(default=None, min_length=1, strict=False)  # None: as `run-baseline` does
    options: dict[str, Any] = Field(default={})  # of both sides: the budget, such as the number of epochs
    folds: int | None = Field(default=None, ge=2)
    # keys of the track's `[training]` that differ, such as the share of labels or corruptions of features
    training: dict[str, Any] = Field(default={})
    # `corruption` and its parameters, one of which may have several values: done to the features of the test samples;
    # and `weights`; empty: nothing is done
    condition: dict[str, Any] = Field(default={})
    # each of these classes is held out in turn, and the metric is that of `ood-emotion`; the mean over them is claimed
    hold_out: tuple[str, ...] = Field(default=(), strict=False)


class _Claim(Declaration):
    name: Annotated[str, Field(pattern=KEBAB)]
    says: str = Field(min_length=1)  # what is claimed, in one sentence
    source: str = Field(min_length=1)  # where: paper and table, or code


def _several(value: Any) -> Any:
    return [value] if isinstance(value, int | float) else value


class Exact(_Claim):
    """A number that code computes: a count, a value worked out by hand, or 0 where an identity holds.

    `computes` is `parameters` or `multiply_accumulates` of the network that `options`, `widths` and `labels` make, or a
    function of the baseline's `claims.py`, which is given the module `model.py` and returns a number or several.
    """

    check: Literal["exact"]
    computes: str
    value: Annotated[tuple[float, ...], BeforeValidator(_several), Field(min_length=1, strict=False)]
    tolerance: float = Field(default=0.0, ge=0)
    options: dict[str, Any] = Field(default={})  # besides the defaults
    widths: dict[str, int] = Field(default={})  # numbers of a vector or row, by feature
    labels: dict[str, int] = Field(default={})  # by target, how many labels; 0 for a number
    rows: dict[str, int] = Field(default={})  # rows of a sequence by feature, for multiply_accumulates; 1 by default


class _Scored(_Claim):
    on: tuple[Place, ...] = Field(min_length=1, strict=False)
    system: Side = Side()
    metric: str = ""  # a metric of the tracks, by key or short name; empty: the first that a track ranks by
    seeds: int = Field(default=FEWEST_SEEDS, ge=FEWEST_SEEDS)  # 0, 1, …

    @property
    def is_over_seeds(self) -> bool:
        """Whether its interval is for other seeds alone, and not for other samples as well."""
        return bool(getattr(self, "diagnostic", "")) or isinstance(self, Published)


class Inequality(_Scored):
    """A system is better than its control; or a diagnostic of its network is above that of the control, or above 0."""

    check: Literal["inequality"]
    control: Side | None = None
    diagnostic: str = ""  # in place of a metric: a name that the network's `diagnostics` return

    @model_validator(mode="after")
    def _is_compared(self) -> Inequality:
        if self.control is None and not self.diagnostic:
            raise refused(((), "needs a control, or a diagnostic that is to be above 0"))
        return self


class NonInferiority(_Scored):
    """A system is worse than its control by less than a margin."""

    check: Literal["non-inferiority"]
    control: Side
    margin: float = Field(gt=0)


class Monotone(_Scored):
    """A system is better with every modality more, or at each value of a condition than at the next."""

    check: Literal["monotone"]
    margin: float = Field(default=0.0, ge=0)


class Published(_Scored):
    """A published value is reached on the samples that it was published for, within a tolerance."""

    check: Literal["number"]
    value: float
    tolerance: float = Field(gt=0)


KINDS: dict[str, type[_Claim]] = {
    "exact": Exact,
    "inequality": Inequality,
    "non-inferiority": NonInferiority,
    "monotone": Monotone,
    "number": Published,
}
"""What a claim may be, by its `check`."""

Scored = Inequality | NonInferiority | Monotone | Published
"""A claim about scores."""

Claim = Annotated[Exact | Scored, Field(discriminator="check")]
