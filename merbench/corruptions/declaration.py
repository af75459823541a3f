"""A corruption's declaration: its name, what it damages, its parameters and their ranges, and the function.

A corruption is fixed, declared damage at evaluation. Its function is pure: `(signal, rng, parameters) -> signal`;
what a signal is, the module of its modality says. `merbench.corruptions.signals` has the classes.

A time window may be declared with every corruption of sound and pictures: `start` and `end` as fractions of the clip,
or `start_s` and `end_s` in seconds. The function then sees the part inside the window alone.
`severity`, 1 to 5, stands for parameters where a table of them is published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from merbench.corruptions.drawing import SharedDraw, draw
from merbench.corruptions.signals import Audio, Video, edited_audio, edited_video
from merbench.errors import UnknownName, UsageError, brief, did_you_mean, listed
from merbench.registry import Registry

Modality = Literal["audio", "video", "text", "features", "labels"]
Parameters = Mapping[str, Any]
CorruptionFunction = Callable[[Any, np.random.PCG64, Parameters], Any]
Measure = Callable[[Any, Any, Parameters], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What one parameter of a corruption may be.

    Attributes:
        type: a string; the name of a noise bank, which reaches the function as the sound drawn from it; the name of a
            column of the corpus, which reaches it as the sample's own four numbers; true or false; a whole number; any
            finite number; or a table of shares, `{ from = { to = share } }`.
        low: smallest value of a number.
        high: largest value of a number.
        unit: printed after the range.
        choices: the only values allowed, where not all of the type or range are.
        default: what holds where the track says nothing; None where it must say.
        whole: of a bank: whether one of its sounds is drawn whole, such as an impulse response; otherwise a crop as
            long as the signal is.
    """

    type: Literal["string", "bank", "column", "boolean", "integer", "number", "table"]
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    choices: tuple[int | float | str, ...] | None = None
    default: Any = None
    whole: bool = False

    def allows(self, value: object) -> bool:
        """Return whether a plain value is of the type and within the range."""
        match self.type:
            case "string" | "bank" | "column":
                fits = isinstance(value, str) and value != ""
            case "boolean":
                return isinstance(value, bool)
            case "table":
                return isinstance(value, Mapping) and bool(value) and all(map(_is_row_of_shares, value.values()))
            case "integer":
                fits = isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high
            case "number":
                fits = (
                    isinstance(value, int | float)
                    and not isinstance(value, bool)
                    and math.isfinite(value)
                    and self.low <= value <= self.high
                )
        return fits and (self.choices is None or value in self.choices)

    @property
    def allowed(self) -> str:
        """What is allowed, in words: `"a number in [-20, 60] dB"`."""
        if self.choices is not None:
            return f"one of {', '.join(map(str, self.choices))} {self.unit}".rstrip()
        match self.type:
            case "string":
                return "a string"
            case "bank":
                return "the name of a noise bank"
            case "column":
                return "the name of a column of the corpus that holds x, y, width and height"
            case "boolean":
                return "true or false"
            case "table":
                return "a table of shares by label, { from = { to = share } }, of which no row sums to more than 1"
        kind = "an integer" if self.type == "integer" else "a number"
        bounded = math.isfinite(self.high)
        extent = f"in [{self.low:g}, {self.high:g}]" if bounded else f"of at least {self.low:g}"
        return f"{kind} {extent} {self.unit}".rstrip()


def _is_row_of_shares(row: object) -> bool:
    if not isinstance(row, Mapping) or not row:
        return False
    shares = list(row.values())
    are_numbers = all(isinstance(share, int | float) and not isinstance(share, bool) for share in shares)
    return are_numbers and all(0 <= share <= 1 for share in shares) and math.fsum(shares) <= 1 + 1e-9


SEVERITY = "severity"

WINDOW = MappingProxyType(
    {
        "start": Parameter("number", low=0, high=1, unit="of the clip", default=0.0),
        "end": Parameter("number", low=0, high=1, unit="of the clip", default=1.0),
        "start_s": Parameter("number", low=0, high=math.inf, unit="s", default=0.0),
        "end_s": Parameter("number", low=0, high=math.inf, unit="s", default=math.inf),
    }
)
"""The window of time that any corruption of sound or pictures may be given; left out, it is the whole clip."""


@dataclass(frozen=True, slots=True)
class Corruption:
    """A registered corruption.

    Attributes:
        name: its name in `track.toml`.
        modality: what it damages.
        summary: one line for cards and `merbench describe`.
        parameters: what each may be, in the order in which they are drawn.
        function: `(signal, rng, parameters) -> signal`.
        source: who defined it, or tabled its severities.
        severities: parameter -> its values at severities 1 to 5, where a table is published.
        scope: whether the function sees one sample, or a list of all samples of a split in the order of their ids.
        leaves: whether parameters leave every signal as it is, such as a factor of 1; None where none do.
        measured: `(before, after, parameters) -> values`, what the damage came to, such as the realised ratio; numbers
            are rounded to `MEASURED_DECIMALS`.
    """

    name: str
    modality: Modality
    summary: str
    parameters: Mapping[str, Parameter]
    function: CorruptionFunction
    source: str = ""
    severities: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    scope: Literal["sample", "split"] = "sample"
    leaves: Callable[[Parameters], bool] | None = None
    measured: Measure | None = None

    @property
    def declarable(self) -> dict[str, Parameter]:
        """Every key that a declaration may give: the parameters, `severity` where it has a table, the window."""
        severity = {SEVERITY: Parameter("integer", low=1, high=5)} if self.severities else {}
        window = dict(WINDOW) if self.has_window else {}
        return {**self.parameters, **severity, **window}

    @property
    def has_window(self) -> bool:
        """Whether a window of time means something."""
        return self.modality in ("audio", "video") and self.scope == "sample"

    def draw(
        self, declared: Mapping[str, Any], rng: np.random.PCG64, shared: SharedDraw | None = None
    ) -> dict[str, Any]:
        """Return one sample's value of every parameter: as declared, drawn from what is declared, or the default.

        The order of drawing is that of `parameters`, then severity, then the window, so that the order of keys in a
        file changes nothing. A severity, and the ends of a window, are among the values where they are declared.

        Args:
            declared: what the track gives, already checked.
            rng: the generator of the sample and step.
            shared: name -> a number from [0, 1) that all distributions which name it take instead of their own.
        """
        tabled = self.severities if SEVERITY in declared else {}
        drawn = {
            name: draw(declared.get(name, known.default), rng, shared)
            for name, known in self.parameters.items()
            if name not in tabled
        }
        beside = {name: draw(declared[name], rng, shared) for name in (SEVERITY, *WINDOW) if name in declared}
        stood_for = {name: values[beside[SEVERITY] - 1] for name, values in tabled.items()}
        return {**drawn, **stood_for, **beside}

    def __call__(
        self, signal: Any, rng: np.random.PCG64 | np.random.Generator, parameters: Parameters = MappingProxyType({})
    ) -> Any:
        """Return the damaged signal, of which only what lies in the window is damaged.

        Args:
            signal: `Audio`, `Video`, a text, vectors by modality, or labels, as the corruption's modality asks.
            rng: the generator, of which the raw words of a `PCG64` are used.
            parameters: one value each; what is left out stands at its default, and a severity for those of its table.
                Of a noise bank it is the sound drawn from it, an `Audio` with a channel for each source; of a column
                of the corpus, the sample's own numbers.

        Raises:
            UsageError: a parameter is unknown, missing, or has a value that is not allowed.
            Inapplicable: this signal cannot be damaged so, for instance a silence at a signal-to-noise ratio.
        """
        parameters, rng = self.completed(parameters), _raw(rng)
        function = self.function
        match signal:
            case Video():
                start_s, end_s = window_s(parameters, signal.duration_s)
                if (start_s, end_s) == (0.0, math.inf):
                    return replace(signal, frames=function(signal.frames, rng, parameters))
                return edited_video(signal, lambda frames: function(frames, rng, parameters), start_s, end_s)
            case Audio() if any(name in parameters for name in WINDOW):
                start_s, end_s = window_s(parameters, signal.duration_s)
                return edited_audio(signal, lambda audio: function(audio, rng, parameters), start_s, end_s)
        return function(signal, rng, parameters)

    def completed(self, given: Parameters) -> dict[str, Any]:
        """Return values of all parameters, from those that are given; raise `UsageError` where something is wrong."""
        if len(given) >= len(self.parameters) and self._are_drawn(given):
            return dict(given)
        problems = _call_problems(self, given)
        if problems:
            raise UsageError(
                "; ".join(text if text.startswith(f"{self.name} ") else f"{self.name}: {text}" for text in problems)
            )
        tabled = self.severities if SEVERITY in given else {}
        stood_for = {name: values[given[SEVERITY] - 1] for name, values in tabled.items()}
        defaults = {name: known.default for name, known in self.parameters.items()}
        return {**defaults, **given, **stood_for}

    def _are_drawn(self, given: Parameters) -> bool:
        """Return whether values are as `draw` leaves them, which a declaration has been checked for."""
        known = self.declarable
        return self.parameters.keys() <= given.keys() and all(
            name in known
            and (not isinstance(value, str) if known[name].type in _SUPPLIED else known[name].allows(value))
            for name, value in given.items()
        )

    def is_left(self, parameters: Parameters) -> bool:
        """Return whether these parameters leave every signal as it is."""
        start_s, end_s = window_s(parameters, 1.0)
        is_empty = start_s >= end_s or parameters.get("start", 0.0) >= 1.0
        return is_empty or (self.leaves is not None and self.leaves(parameters))


_SUPPLIED = ("bank", "column")
"""Types of parameters for whose names something of the sample is supplied."""


def _raw(rng: np.random.PCG64 | np.random.Generator) -> np.random.PCG64:
    """Return the generator of raw words."""
    found = rng.bit_generator if isinstance(rng, np.random.Generator) else rng
    if not isinstance(found, np.random.PCG64):
        raise UsageError(f"a corruption draws from a PCG64, not from {type(rng).__name__}")
    return found


def _call_problems(corruption: Corruption, given: Parameters) -> list[str]:
    """Return what is wrong with parameters that are given to a corruption alone."""
    supplied = {name for name, known in corruption.parameters.items() if known.type in _SUPPLIED}
    named = [name for name in supplied if isinstance(given.get(name), str)]
    missing = [name for name in supplied if name not in given]
    plain = {name: value for name, value in given.items() if name not in supplied}
    stand_in = {name: "any" for name in supplied}
    drawn = [name for name, value in plain.items() if isinstance(value, Mapping) and name in corruption.parameters]
    drawn = [name for name in drawn if corruption.parameters[name].type != "table"]
    return [
        *(f"{name} is what was drawn or stored, not a name" for name in sorted(named)),
        *(f"{name} is missing" for name in sorted(missing)),
        *(f"{name} is one value, not a distribution" for name in drawn),
        *check_parameters(corruption.name, {**plain, **stand_in}),
    ]


def window_s(parameters: Parameters, duration_s: float) -> tuple[float, float]:
    """Return begin and end of the window of drawn parameters in seconds; end is infinite where none is given."""
    start_s, end_s = float(parameters.get("start_s", 0.0)), float(parameters.get("end_s", math.inf))
    if "start" in parameters:
        start_s = parameters["start"] * duration_s
    if parameters.get("end", 1.0) < 1.0:
        end_s = parameters["end"] * duration_s
    return start_s, end_s


MEASURED_DECIMALS = 6
"""Decimals of what damage came to: far above the last bits of sums and logarithms, which differ between machines."""


def _rounded(measured: Measure) -> Measure:
    def rounded(before: Any, after: Any, parameters: Parameters) -> dict[str, Any]:
        found = measured(before, after, parameters)
        return {
            name: round(value, MEASURED_DECIMALS) + 0.0 if isinstance(value, float) else value
            for name, value in found.items()
        }

    return rounded


CORRUPTIONS: Registry[Corruption] = Registry("corruption", "merbench.corruptions", "@corruption")


def corruption(
    *,
    modality: Modality,
    summary: str,
    parameters: Mapping[str, Parameter],
    source: str = "",
    severities: Mapping[str, tuple[Any, ...]] | None = None,
    scope: Literal["sample", "split"] = "sample",
    leaves: Callable[[Parameters], bool] | None = None,
    measured: Measure | None = None,
) -> Callable[[CorruptionFunction], CorruptionFunction]:
    """Register a function of `(signal, rng, parameters)` under its own name; see `Corruption` for the arguments."""

    def register(function: CorruptionFunction) -> CorruptionFunction:
        name = function.__name__
        rounded = None if measured is None else _rounded(measured)
        known = Corruption(
            name, modality, summary, parameters, function, source, severities or {}, scope, leaves, rounded
        )
        CORRUPTIONS.add(name, known)
        return function

    return register


def check_parameters(name: str, parameters: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the declaration of corruption `name`, one sentence a problem; empty when nothing is.

    A parameter is a plain value or a distribution: `{choice = [...]}`, `{integers = [low, high]}` (inclusive) or
    `{uniform = [low, high]}`; with `shared = "name"` in it, all distributions of that name are drawn by one number.
    """
    try:
        declared = CORRUPTIONS[name]
    except UnknownName as error:
        return [str(error)]
    known = declared.declarable
    unknown = [
        f"{name} has no parameter '{key}'{did_you_mean(key, known)} (known: {', '.join(known)})"
        for key in parameters
        if key not in known
    ]
    known_severities = declared.severities
    tabled = known_severities if SEVERITY in parameters else {}
    twice = [
        f"{key} stands beside severity, which says it, too; give one of them" for key in tabled if key in parameters
    ]
    missing = [
        f"{name} needs {key}, {parameter.allowed}{' or a severity from 1 to 5' if key in known_severities else ''}"
        for key, parameter in declared.parameters.items()
        if parameter.default is None and key not in parameters and key not in tabled
    ]
    wrong = [
        f"{key}: {message}; allowed is {known[key].allowed}{_OR_DISTRIBUTION[known[key].type == 'table']}"
        for key, value in parameters.items()
        if key in known
        for message in _value_problems(known[key], value)
    ]
    return [*unknown, *twice, *missing, *wrong, *_window_problems(parameters)]


_OR_DISTRIBUTION = (", or a distribution of such values", "")


def _window_problems(parameters: Mapping[str, Any]) -> Iterator[str]:
    if {"start", "end"} & parameters.keys() and {"start_s", "end_s"} & parameters.keys():
        yield "a window is given either by start and end, fractions of the clip, or by start_s and end_s, in seconds"
    for begin, end in (("start", "end"), ("start_s", "end_s")):
        first, last = parameters.get(begin, 0), parameters.get(end, math.inf)
        if all(isinstance(value, int | float) for value in (first, last)) and not first < last:
            yield f"{begin} = {first} is not before {end} = {last}"


DISTRIBUTIONS = {
    "choice": "choice = [...]",
    "integers": "integers = [low, high]",
    "uniform": "uniform = [low, high]",
}
"""How each distribution is written."""

SHARED = "shared"
"""The key of a distribution that names the number which it shares with others."""

_DISTRIBUTIONS_OF = {
    "string": ("choice",),
    "bank": ("choice",),
    "column": ("choice",),
    "boolean": ("choice",),
    "integer": ("choice", "integers"),
    "number": ("choice", "integers", "uniform"),
}


def _value_problems(parameter: Parameter, value: object) -> Iterator[str]:
    if not isinstance(value, Mapping) or parameter.type == "table":
        if not parameter.allows(value):
            yield f"{brief(value)} is not allowed"
        return
    kinds = _DISTRIBUTIONS_OF[parameter.type]
    name = value.get(SHARED, "name")
    if not isinstance(name, str) or not name:
        yield f"shared = {brief(name)} is not a name"
    is_shared = SHARED in value
    value = {key: item for key, item in value.items() if key != SHARED}
    kind, values = next(iter(value.items()), ("", None))
    if len(value) != 1 or kind not in kinds:
        found = ", ".join(map(str, value))
        forms = ", ".join(DISTRIBUTIONS[name] for name in kinds)
        yield f"{found or 'an empty table'} is no distribution{did_you_mean(found, kinds)} ({forms})"
    elif not isinstance(values, Sequence) or isinstance(values, str) or not values:
        yield f"{kind} = {brief(values)} is not a list of values"
    elif wrong := [item for item in values if not parameter.allows(item)]:
        yield f"{kind} holds {listed([repr(item) for item in wrong])}, which is not allowed"
    elif kind != "choice" and (len(values) != 2 or (values[0] > values[1] and not is_shared)):
        yield f"{kind} = {list(values)} is not [low, high]"
    elif kind == "integers" and not all(isinstance(item, int) for item in values):
        yield f"integers = {list(values)} holds a number that is not whole"
