"""The table and the reference page of the registered metrics, from the docstrings of their functions.

An entry `as in ...` of a docstring refers to a metric of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from merbench.metrics.metric import METRICS, NO_WEIGHT, Metric
from merbench.parameters import definition, meanings, parameter_list
from merbench.report import ReportTable, markdown_of

_PAGE = """\
# Metrics

<!-- made by `merbench metrics --markdown`; a test proves that it is current -->

Every metric that comes with merbench, by the kind of target that it scores. `merbench tracks --metric NAME` lists the
tracks that use one; `[[metrics]]` in a [track file](track-format.md) declares it, its parameters as further keys. The
column "interval" has the method of its [intervals](uncertainty.md). See [Write a metric](adding-a-metric.md) for how to
add one.
"""

_KINDS = {
    "categorical": "Also for targets of type `preference`",
    "continuous": "Also for targets of type `trajectory`",
    "distribution": "Also for targets of type `categorical`, from the columns `p_<label>` of a submission",
    "label_set": "Also for targets of type `text`, with the words of the lexicon in a description",
}


def metrics_table(metrics: Sequence[Metric]) -> ReportTable:
    """Return a line per metric: name, kind of target, direction, range, parameters, formula."""
    rows = [
        (
            item.name,
            item.target,
            _direction(item),
            bounds_text(item.bounds),
            parameter_list(item.parameters),
            item.formula,
        )
        for item in metrics
    ]
    return ReportTable("", ("metric", "kind", "better", "range", "parameters", "formula"), rows)


def metrics_page() -> str:
    """Return a Markdown page of the metrics that come with merbench."""
    shipped = [item for item in map(METRICS.__getitem__, METRICS) if _module(item).startswith("merbench.")]
    kinds = sorted({item.target for item in shipped})
    return "\n".join([_PAGE, *(_section(kind, [item for item in shipped if item.target == kind]) for kind in kinds)])


def parameter_meanings(metrics: Sequence[Metric]) -> dict[str, str]:
    """Return what the parameters of metrics of one kind mean; an empty text where no docstring says it."""
    texts = {name: "" for item in metrics for name in item.parameters}
    for item in metrics:
        for name, text in {**meanings(item.prepare), **meanings(item.function)}.items():
            if name in item.parameters and not text.startswith("as in "):
                texts[name] = texts[name] or text
    return texts


def bounds_text(bounds: tuple[float, float]) -> str:
    """Return a range as it is written: `[0, 1]`, `[0, ∞)`."""
    low, high = bounds
    left = "(-∞" if math.isinf(low) else f"[{low:g}"
    return f"{left}, ∞)" if math.isinf(high) else f"{left}, {high:g}]"


def _section(kind: str, metrics: Sequence[Metric]) -> str:
    parts = [f"## {kind}", *([f"{_KINDS[kind]}."] if kind in _KINDS else [])]
    rows = [
        (
            f"`{item.name}`",
            _direction(item),
            bounds_text(item.bounds),
            f"`{item.formula}`",
            item.interval,
            _codes(item.parameters),
        )
        for item in metrics
    ]
    parts.append(markdown_of(("metric", "better", "range", "formula", "interval", "parameters"), rows))
    texts = parameter_meanings(metrics)
    known = {name: parameter for item in metrics for name, parameter in item.parameters.items()}
    if texts:
        explained = [(f"`{name}`", known[name].allowed, known[name].default_text, texts[name]) for name in texts]
        parts.append(markdown_of(("parameter", "value", "default", "meaning"), explained))
    parts.append("\n".join(f"* `{item.name}`: {_definition(item)}" for item in metrics))
    return "\n\n".join(parts) + "\n"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _direction(metric: Metric) -> str:
    return "higher" if metric.higher_is_better else "lower"


def _module(metric: Metric) -> str:
    return (metric.from_classes or metric.function).__module__


def _definition(metric: Metric) -> str:
    """Return the text of a metric's docstring on one line, and when it has no value."""
    text = " ".join(definition(metric.function))
    return text if metric.undefined == NO_WEIGHT else f"{text} No value where {metric.undefined}."
