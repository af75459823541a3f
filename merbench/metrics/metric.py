"""A metric is a function of weights: `b` weightings of the same `n` samples go in, `b` values come out.

Conventions:
    reference, prediction: `(n,)` arrays in the order of sorted sample ids. Continuous: float64, finite.
    Categorical: int32 codes of the declared labels; a prediction of −1 lies outside the vocabulary (never right,
    no class of its own), a reference is never −1.
    weights: `(b, n)` array of non-negative small integers (counts or 0/1 masks), any real dtype.
    returns: `(b,)` float64; NaN where the samples that carry weight leave the metric undefined, which they always do
    when the total weight is 0. Resampling leaves such a draw out and counts it; a plain score of NaN is an error.
    Lengths and types have been checked already.

A plain score is one row of ones; a bootstrap is rows of counts; a breakdown is rows of masks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from merbench.registry import Registry

Array = NDArray[Any]
MetricFunction = Callable[..., NDArray[np.float64]]
TargetKind = Literal["categorical", "continuous"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A registered metric.

    Attributes:
        name: its name in `track.toml` and in signatures, the function's own name.
        function: `(reference, prediction, weights, **parameters) -> (b,)`.
        target: the kind of target it scores.
        higher_is_better: the direction of improvement.
        bounds: lowest and highest possible value.
        formula: one line for cards and `merbench describe`.
        undefined: when the metric has no value, as the end of a message.
        from_confusion: for categorical metrics, `(confusion (b, K, K + 1), **parameters) -> (b,)`, so that metrics
            of one target share one confusion; the last column counts predictions outside the vocabulary.
        parameters: declared keyword parameters and their annotations and defaults (`n_labels` is not declared).
    """

    name: str
    function: MetricFunction
    target: TargetKind
    higher_is_better: bool
    bounds: tuple[float, float]
    formula: str
    undefined: str
    from_confusion: MetricFunction | None
    parameters: Mapping[str, inspect.Parameter]

    def __call__(self, reference: Array, prediction: Array, weights: Array, **parameters: Any) -> NDArray[np.float64]:
        """Return the metric's `(b,)` values."""
        return self.function(reference, prediction, weights, **parameters)


METRICS: Registry[Metric] = Registry("metric", "merbench.metrics")

SUPPLIED = ("n_labels",)
"""Keyword arguments that scoring supplies from the target, never declared in a track."""


def metric(
    *,
    target: TargetKind,
    higher_is_better: bool,
    bounds: tuple[float, float],
    formula: str,
    undefined: str = "no sample carries weight",
    from_confusion: MetricFunction | None = None,
) -> Callable[[MetricFunction], MetricFunction]:
    """Register a function of `(reference, prediction, weights, *, parameters)` under its own name."""

    def register(function: MetricFunction) -> MetricFunction:
        keywords = {
            name: parameter
            for name, parameter in inspect.signature(from_confusion or function, eval_str=True).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in SUPPLIED
        }
        record = Metric(
            name=function.__name__,
            function=function,
            target=target,
            higher_is_better=higher_is_better,
            bounds=bounds,
            formula=formula,
            undefined=undefined,
            from_confusion=from_confusion,
            parameters=MappingProxyType(keywords),
        )
        METRICS.add(record.name, record)
        return function

    return register
