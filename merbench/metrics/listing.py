"""The registered metrics go in, a table and a reference page come out that show all of them.

Conventions:
    What a metric and its parameters mean is read from the docstrings of its functions: the text above `Args:` defines
    the metric, an entry below it one parameter. An entry `as in ...` refers to a metric of the same kind.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from merbench.metrics.metric import METRICS, NO_WEIGHT, Metric
from merbench.report import ReportTable, markdown_of

_PAGE = """\
# Metrics

<!-- made by `merbench metrics --markdown`; a test proves that it is current -->

Every metric that comes with merbench, by the kind of target that it scores. `merbench tracks --metric NAME` lists the
tracks that use one; `[[metrics]]` in a [track file](track-format.md) declares it, its parameters as further keys. How
to add one stands in [Write a metric](metrics.md).
"""

_KINDS = {
    "categorical": "Targets of type `preference`, too, are scored by these",
    "continuous": "Targets of type `trajectory`, too, are scored by these",
    "label_set": "Targets of type `text`, too, are scored by these, with the words found in a description",
}

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def metrics_table(metrics: Sequence[Metric]) -> ReportTable:
    """Return a line per metric: name, kind of target, direction, range, parameters, formula."""
    rows = [
        (item.name, item.target, _direction(item), bounds_text(item.bounds), _parameters(item), item.formula)
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
    meanings = {name: "" for item in metrics for name in item.parameters}
    for item in metrics:
        for function in (item.function, item.prepare):
            for name, text in _entries(function):
                if name in item.parameters and not text.startswith("as in "):
                    meanings[name] = meanings[name] or text
    return meanings


def bounds_text(bounds: tuple[float, float]) -> str:
    """Return a range as it is written: `[0, 1]`, `[0, ∞)`."""
    low, high = bounds
    left = "(-∞" if math.isinf(low) else f"[{low:g}"
    return f"{left}, ∞)" if math.isinf(high) else f"{left}, {high:g}]"


def _section(kind: str, metrics: Sequence[Metric]) -> str:
    parts = [f"## {kind}", *([f"{_KINDS[kind]}."] if kind in _KINDS else [])]
    rows = [
        (f"`{item.name}`", _direction(item), bounds_text(item.bounds), f"`{item.formula}`", _codes(item.parameters))
        for item in metrics
    ]
    parts.append(markdown_of(("metric", "better", "range", "formula", "parameters"), rows))
    meanings = parameter_meanings(metrics)
    declared = {name: parameter for item in metrics for name, parameter in item.parameters.items()}
    if meanings:
        explained = [
            (f"`{name}`", _allowed(declared[name]), _default(declared[name]), meanings[name]) for name in meanings
        ]
        parts.append(markdown_of(("parameter", "value", "default", "meaning"), explained))
    parts.append("\n".join(f"* `{item.name}`: {_definition(item)}" for item in metrics))
    return "\n\n".join(parts) + "\n"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _direction(metric: Metric) -> str:
    return "higher" if metric.higher_is_better else "lower"


def _parameters(metric: Metric) -> str:
    return ", ".join(
        name if item.default is item.empty or item.default is None else f"{name}={item.default}"
        for name, item in metric.parameters.items()
    )


def _allowed(parameter: inspect.Parameter) -> str:
    """Return what a parameter may be, in words; a label goes by its name in a track."""
    return "one of the labels" if parameter.name == "label" else _type_words(parameter.annotation)


def _type_words(annotation: Any) -> str:
    origin, options = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'`"{option}"`' if isinstance(option, str) else f"`{option}`" for option in options)
    if origin in (Union, UnionType):
        return " or ".join(_type_words(option) for option in options if option is not NoneType)
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return "a table of texts"
    return _WORDS.get(annotation, str(annotation))


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "must be given"
    if parameter.default is None:
        return "none"
    return f'`"{parameter.default}"`' if isinstance(parameter.default, str) else f"`{parameter.default}`"


def _module(metric: Metric) -> str:
    return (metric.from_classes or metric.function).__module__


def _definition(metric: Metric) -> str:
    """Return the text of a metric's docstring on one line, and when it has no value."""
    text = " ".join(re.split(r"\n(?:Args|Raises|Returns):\n", inspect.getdoc(metric.function) or "")[0].split())
    return text if metric.undefined == NO_WEIGHT else f"{text} No value where {metric.undefined}."


def _entries(function: Callable[..., Any] | None) -> Iterator[tuple[str, str]]:
    """Yield the parameters that the docstring of a function explains, and their meaning on one line."""
    text = (inspect.getdoc(function) or "") if function else ""
    _, _, explained = text.partition("\nArgs:\n")
    for name, meaning in _ENTRY.findall(explained.split("\n\n")[0]):
        yield name, " ".join(meaning.split())
