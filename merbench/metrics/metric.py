"""A metric is a function of weights: it returns `b` values for `b` weightings of the same `n` samples.

Conventions:
    reference, prediction: n values each, in the order of sorted sample ids, by kind of target:
        categorical: `(n,)` int32 codes of the declared labels; a prediction of −1 lies outside the vocabulary (never
        right, no class of its own), a reference is never −1.
        continuous: `(n,)` float64, finite.
        label_set, ranked: `Lists`; words of a set are trimmed and lower-cased, codes of ranked answers are those of
        the declared labels, −1 outside the vocabulary.
        multilabel: `(n, K)` int8, 0 or 1 a label; −1 in a reference: not known whether it has the label.
        distribution: `(n, K)` float64 shares of the declared labels, or probabilities of them; every row sums to 1.
        scores: predictions `(n,)` float64, higher is more positive; references `(n,)` int8, 1 is positive.
        segments: `Segments`.
    weights: `(b, n)` array of non-negative small integers (counts or 0/1 masks), any real dtype, or `Clustered`;
        a metric made of sums also gets the other kinds of `merbench.metrics.sums`.
    returns: `(b,)` float64; NaN if the samples that carry weight leave the metric undefined, which they always do
    when the total weight is 0. Resampling leaves such a draw out and counts it; a plain score of NaN is an error.
    Lengths and types have been checked already; a row without a valid reference never gets here.

A plain score is one row of ones; a bootstrap is rows of counts; a breakdown is rows of masks. What does not depend on
weights (per-sample precision, a sort) may be done once, by a metric's `prepare`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError
from merbench.parameters import Named, Parameter, declared, require_declarable, taken
from merbench.registry import Registry

Array = NDArray[Any]
MetricFunction = Callable[..., NDArray[np.float64]]
PrepareFunction = Callable[..., Any]
TargetKind = Literal[
    "categorical", "continuous", "distribution", "label_set", "ranked", "multilabel", "scores", "segments"
]
IntervalMethod = Literal["jackknife_t", "bca_t", "bca", "percentile"]
"""A method of `merbench.intervals` that makes an interval from a metric's draws."""
OwnMethod = IntervalMethod | Literal["distance"]
"""The method of a metric; `distance` is only for distances between means and cannot be replaced by another."""
Label = Annotated[int, Named("one of the labels")]
"""A label, declared by its name; scoring passes its code."""


@dataclass(frozen=True)
class Metric:
    """A registered metric."""

    name: str  # its name in `track.toml` and in signatures, the function's own name
    # `(reference, prediction, weights, **parameters) -> (b,)`, or with `prepare` `(prepared, weights, **parameters) ->
    # (b,)`
    function: MetricFunction
    target: TargetKind  # the kind of target it scores
    higher_is_better: bool  # the direction of improvement
    bounds: tuple[float, float]  # lowest and highest possible value
    formula: str  # one line for cards and `merbench describe`
    undefined: str  # when the metric has no value, as the end of a message
    # of categorical metrics, `(PerClass, **parameters) -> (b,)`: metrics of a target share counts
    from_classes: MetricFunction | None
    # `(reference, prediction, **parameters) -> prepared`, what does not depend on weights; None without
    prepare: PrepareFunction | None
    # whether it needs nothing of weights but `merbench.metrics.sums` of them; pairs of systems are then compared by
    # sums of every system, otherwise pair by pair
    sums_only: bool
    squares: bool  # whether it sums squared errors, which are heavy-tailed where a few errors are large
    over_classes: bool  # whether it is a mean over classes or labels, in which rare ones count as much as frequent ones
    interval: OwnMethod  # how its interval is made where neither track nor caller names a method

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """What a track may declare, by name."""
        return {name: item for name, item in self._keywords.items() if name not in SUPPLIED}

    @cached_property
    def supplied(self) -> tuple[str, ...]:
        """The keyword arguments that scoring supplies from the target."""
        return tuple(name for name in SUPPLIED if name in {**self._keywords, **declared(self.function)})

    @property
    def _keywords(self) -> Mapping[str, Parameter]:
        return {**declared(self.prepare), **declared(self.from_classes or self.function)}

    def __call__(self, reference: Any, prediction: Any, weights: Any, **parameters: Any) -> NDArray[np.float64]:
        """Return the metric's `(b,)` values."""
        if self.prepare is None:
            return self.function(reference, prediction, weights, **parameters)
        prepared = self.prepare(reference, prediction, **self.preparing(parameters))
        return self.function(prepared, weights, **self.finishing(parameters))

    def preparing(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the parameters that `prepare` takes."""
        return taken(self.prepare, parameters)

    def finishing(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the parameters that `function` takes."""
        return taken(self.function, parameters) if self.prepare else dict(parameters)


METRICS: Registry[Metric] = Registry("metric", "merbench.metrics", "@metric")

SUPPLIED = ("n_labels", "lexicon", "grouped")
"""Keyword arguments that scoring supplies from the target, never declared in a track."""

NO_WEIGHT = "no sample carries weight"
"""When any metric has no value."""


def metric(  # noqa: PLR0913
    *,
    target: TargetKind,
    formula: str,
    higher_is_better: bool = True,
    bounds: tuple[float, float] = (0, 1),
    undefined: str = NO_WEIGHT,
    from_classes: MetricFunction | None = None,
    prepare: PrepareFunction | None = None,
    sums_only: bool = False,
    squares: bool = False,
    over_classes: bool = False,
    interval: OwnMethod | None = None,
) -> Callable[[MetricFunction], MetricFunction]:
    """Register a function of `(reference, prediction, weights, *, parameters)` under its own name.

    With `prepare`, a function of `(reference, prediction, *, parameters)`, the decorated function is one of
    `(prepared, weights, *, parameters)`; either takes those of the parameters that it names. With `sums_only`, it must
    leave its weights to the functions of `merbench.metrics.sums`. With `squares`, the report warns where a few errors
    are much larger than all others. `interval` is the method of its intervals: by default `jackknife_t` for a metric of
    sums, which changes smoothly with its weights, and `bca_t` for any other.
    """
    if target not in get_args(TargetKind):
        raise UsageError(f"a metric scores one of {', '.join(get_args(TargetKind))}, not '{target}'")
    methods = (*get_args(IntervalMethod), "distance")
    if interval is not None and interval not in methods:
        raise UsageError(f"the interval of a metric is one of {', '.join(methods)}, not '{interval}'")

    def register(function: MetricFunction) -> MetricFunction:
        for part in (prepare, from_classes or function):
            if part is not None:
                require_declarable(part)
        of_sums = sums_only or from_classes is not None
        record = Metric(
            name=function.__name__,
            function=function,
            target=target,
            higher_is_better=higher_is_better,
            bounds=bounds,
            formula=formula,
            undefined=undefined,
            from_classes=from_classes,
            prepare=prepare,
            sums_only=of_sums,
            squares=squares,
            over_classes=over_classes,
            interval=interval or ("jackknife_t" if of_sums else "bca_t"),
        )
        METRICS.add(record.name, record)
        return function

    return register
