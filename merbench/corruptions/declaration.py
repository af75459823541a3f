"""A corruption's declaration: its name, what it damages, its parameters and their ranges, and the function.

A corruption is fixed, declared damage at evaluation. Its function is pure: `(signal, rng, parameters) -> signal`;
what a signal is, the module of its modality says. A corruption may be declared without a function, so that a track
that names it can be read and checked where it cannot be applied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from merbench.corruptions.drawing import draw
from merbench.errors import UnknownName, UsageError, did_you_mean, listed
from merbench.registry import Registry

Modality = Literal["audio", "video", "text", "features"]
CorruptionFunction = Callable[[Any, np.random.PCG64, Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What one parameter of a corruption may be.

    Attributes:
        type: a string, a whole number, or any finite number.
        low: smallest value of a number.
        high: largest value of a number.
        unit: printed after the range.
        choices: the only values allowed, where not all of the range are.
        default: what holds where the track says nothing; None where it must say.
    """

    type: Literal["string", "integer", "number"]
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    choices: tuple[int, ...] | None = None
    default: str | float | None = None

    def allows(self, value: object) -> bool:
        """Return whether a plain value is of the type and within the range."""
        if self.type == "string":
            return isinstance(value, str) and value != ""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.choices is not None:
            return value in self.choices
        return isinstance(value, int) if self.type == "integer" else math.isfinite(value)

    @property
    def allowed(self) -> str:
        """What is allowed, in words: `"a number in [-20, 60] dB"`."""
        if self.type == "string":
            return "a string"
        if self.choices is not None:
            text = f"one of {', '.join(map(str, self.choices))}"
        else:
            text = f"{'an integer' if self.type == 'integer' else 'a number'} in [{self.low:g}, {self.high:g}]"
        return f"{text} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Corruption:
    """A registered corruption.

    Attributes:
        name: its name in `track.toml`.
        modality: what it damages.
        summary: one line for cards and `merbench describe`.
        parameters: what each may be, in the order in which they are drawn.
        function: `(signal, rng, parameters) -> signal`; None where it is declared only.
    """

    name: str
    modality: Modality
    summary: str
    parameters: Mapping[str, Parameter]
    function: CorruptionFunction | None = None

    def draw(self, declared: Mapping[str, Any], rng: np.random.PCG64) -> dict[str, Any]:
        """Return one sample's value of every parameter: as declared, drawn from what is declared, or the default.

        The order of drawing is that of `parameters`, so that the order of keys in a file changes nothing.
        """
        return {name: draw(declared.get(name, known.default), rng) for name, known in self.parameters.items()}

    def __call__(self, signal: Any, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Any:
        """Return the damaged signal; `UsageError` where the corruption is declared only."""
        if self.function is None:
            raise UsageError(f"corruption '{self.name}' is declared, but this version of merbench cannot apply it")
        return self.function(signal, rng, parameters)


CORRUPTIONS: Registry[Corruption] = Registry("corruption", "merbench.corruptions", "@corruption")


def corruption(
    *, modality: Modality, summary: str, parameters: Mapping[str, Parameter]
) -> Callable[[CorruptionFunction], CorruptionFunction]:
    """Register a function of `(signal, rng, parameters)` under its own name."""

    def register(function: CorruptionFunction) -> CorruptionFunction:
        name = function.__name__
        CORRUPTIONS.add(name, Corruption(name, modality, summary, parameters, function))
        return function

    return register


def check_parameters(name: str, parameters: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the declaration of corruption `name`, one sentence a problem; empty when nothing is.

    A parameter is a plain value or a distribution: `{choice = [...]}`, `{integers = [low, high]}` (inclusive) or
    `{uniform = [low, high]}`.
    """
    try:
        known = CORRUPTIONS[name].parameters
    except UnknownName as error:
        return [str(error)]
    unknown = [
        f"{name} has no parameter '{key}'{did_you_mean(key, known)} (known: {', '.join(known)})"
        for key in parameters
        if key not in known
    ]
    missing = [
        f"{name} needs {key}, {parameter.allowed}"
        for key, parameter in known.items()
        if parameter.default is None and key not in parameters
    ]
    wrong = [
        f"{key}: {message}; allowed is {known[key].allowed}, or a distribution of such values"
        for key, value in parameters.items()
        if key in known
        for message in _value_problems(known[key], value)
    ]
    return [*unknown, *missing, *wrong]


DISTRIBUTIONS = {
    "choice": "choice = [...]",
    "integers": "integers = [low, high]",
    "uniform": "uniform = [low, high]",
}
"""How each distribution is written."""

_DISTRIBUTIONS_OF = {
    "string": ("choice",),
    "integer": ("choice", "integers"),
    "number": ("choice", "integers", "uniform"),
}


def _value_problems(parameter: Parameter, value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        if not parameter.allows(value):
            yield f"{value!r} is not allowed"
        return
    kinds = _DISTRIBUTIONS_OF[parameter.type]
    kind, values = next(iter(value.items()), ("", None))
    if len(value) != 1 or kind not in kinds:
        found = ", ".join(map(str, value))
        forms = ", ".join(DISTRIBUTIONS[name] for name in kinds)
        yield f"{found or 'an empty table'} is no distribution{did_you_mean(found, kinds)} ({forms})"
    elif not isinstance(values, Sequence) or isinstance(values, str) or not values:
        yield f"{kind} = {values!r} is not a list of values"
    elif wrong := [item for item in values if not parameter.allows(item)]:
        yield f"{kind} holds {listed([repr(item) for item in wrong])}, which is not allowed"
    elif kind != "choice" and (len(values) != 2 or values[0] > values[1]):
        yield f"{kind} = {list(values)} is not [low, high]"
    elif kind == "integers" and not all(isinstance(item, int) for item in values):
        yield f"integers = {list(values)} holds a number that is not whole"
