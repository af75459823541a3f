"""A corruption's declaration, the step that applies it, and how values are checked and sampled.

A corruption is a fixed, declared change of the data at evaluation. Its function is pure, `(signal, rng, *, parameters)
-> signal`: the parameters are annotated keyword arguments, and what a signal is depends on the modality. It raises
`Inapplicable` for a signal that it cannot corrupt.

A step gives each parameter a value or a distribution: `{choice = [...]}`, `{integers = [low, high]}` (inclusive) or
`{uniform = [low, high]}`; with `shared = "name"` in it, all distributions of that name are sampled by one number.
`severity`, 1 to 5, sets the parameters for which a table is published. Every corruption of sound and pictures takes a
time window: `start` and `end` as fractions of the clip, or `start_s` and `end_s` in seconds. Its function then receives
only the part inside the window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_origin

import numpy as np
from numpy.random import PCG64

from merbench.corruptions.drawing import DISTRIBUTIONS, SHARED, SharedDraw, draw, generator, shared_draw
from merbench.corruptions.signals import Audio, Video, edited_audio, edited_video
from merbench.errors import UnknownName, UsageError, brief, did_you_mean, listed
from merbench.parameters import (
    REQUIRED,
    Named,
    Parameter,
    Within,
    declared,
    definition,
    require_declarable,
    taken,
    unknown_problems,
)
from merbench.registry import Registry

Modality = Literal["audio", "video", "text", "features", "labels"]
Scope = Literal["sample", "split"]
Values = Mapping[str, Any]
CorruptionFunction = Callable[..., Any]
Measure = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class FromBank(Named):
    """Declared by the name of a noise bank; the function receives the sound sampled from it, an `Audio`."""

    words: str = "the name of a noise bank"
    # whether a sound is taken entirely, such as an impulse response; else a crop as long as the signal
    entire: bool = False


@dataclass(frozen=True, slots=True)
class FromColumn(Named):
    """Declared by the name of a column of the corpus; the function receives the sample's own four numbers."""

    words: str = "the name of a column of the corpus that contains x, y, width and height"


SEVERITY = "severity"

WINDOW: Mapping[str, Parameter] = MappingProxyType(
    {
        "start": Parameter("start", Annotated[float, Within(0, 1, "of the clip")], 0.0),
        "end": Parameter("end", Annotated[float, Within(0, 1, "of the clip")], 1.0),
        "start_s": Parameter("start_s", Annotated[float, Within(0, unit="s")], 0.0),
        "end_s": Parameter("end_s", Annotated[float, Within(0, unit="s")], math.inf),
    }
)
"""The time window that any corruption of sound or pictures takes; without one, it is the whole clip."""

_FURTHER = (SEVERITY, *WINDOW)
_SEVERITY = Parameter(SEVERITY, Annotated[int, Within(1, 5)])

MEASURED_DECIMALS = 6
"""Decimals of measured values: far above the last bits of sums and logarithms, which differ between machines."""


@dataclass(frozen=True)
class Corruption:
    """A registered corruption."""

    name: str  # in `track.toml`; the function's own name
    modality: Modality
    # `(signal, rng, *, parameters) -> signal`. One that takes `severity`, too, receives the severity that set the
    # others, None without one.
    function: CorruptionFunction
    source: str = ""  # who defined it, or published its table of severities
    # parameter -> its values at severities 1 to 5, where a table is published
    severities: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    # whether the function receives one sample, or a list of all samples of a split in the order of their ids
    scope: Scope = "sample"
    # values of parameters at which every signal stays as it is; any one of several such sets
    unchanged_at: tuple[Values, ...] = ()
    # `(before, after, *, parameters) -> values`, the size of the change, such as the realised ratio
    measured: Measure | None = None

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return definition(self.function)[0].removesuffix(".")

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """What each parameter may be, in the order in which they are sampled."""
        return {name: item for name, item in declared(self.function).items() if name != SEVERITY}

    @cached_property
    def declarable(self) -> Mapping[str, Parameter]:
        """Every key that a declaration may give: the parameters, `severity` where it has a table, the window."""
        severity = {SEVERITY: _SEVERITY} if self.severities else {}
        return {**self.parameters, **severity, **(WINDOW if self.has_window else {})}

    @cached_property
    def _defaults(self) -> Mapping[str, Any]:
        return {name: None if known.is_required else known.default for name, known in self.parameters.items()}

    @cached_property
    def _takes_severity(self) -> bool:
        return SEVERITY in declared(self.function)

    @cached_property
    def _measured_by(self) -> tuple[str, ...]:
        return tuple(taken(self.measured, self.parameters))

    @property
    def has_window(self) -> bool:
        """Whether a time window applies."""
        return self.modality in ("audio", "video") and self.scope == "sample"

    def draw(self, given: Values, rng: PCG64, shared: SharedDraw | None = None) -> dict[str, Any]:
        """Return one sample's value of every parameter: as declared, sampled from a distribution, or the default.

        The order of sampling is that of `parameters`, then severity, then the window, whatever the order of keys in a
        file. A severity, and the ends of a window, are among the values where they are declared.
        """
        tabled = self.severities if SEVERITY in given else {}
        own = {
            name: draw(given.get(name, default), rng, shared)
            for name, default in self._defaults.items()
            if name not in tabled
        }
        further = {name: draw(given[name], rng, shared) for name in _FURTHER if name in given}
        return {**own, **self._tabled(further), **further} if further else own

    def _tabled(self, values: Values) -> dict[str, Any]:
        """Return the values that a severity among others sets."""
        if SEVERITY not in values:
            return {}
        return {name: at_severity[values[SEVERITY] - 1] for name, at_severity in self.severities.items()}

    def __call__(self, signal: Any, rng: PCG64 | np.random.Generator, parameters: Values = MappingProxyType({})) -> Any:
        """Return the corrupted signal, which differs only inside the window.

        Args:
            signal: `Audio`, `Video`, a text, vectors by modality, or labels, as the modality demands.
            rng: a generator with PCG64, of which the raw words are used.
            parameters: values; the others are at their defaults, and a severity sets those of its table. For a noise
                bank it is an `Audio` with a channel for each source; for a column of the corpus, the sample's numbers.

        Raises:
            UsageError: a parameter is unknown, missing, or has a value that is not allowed.
            Inapplicable: this signal cannot be corrupted so, for instance a silence at a signal-to-noise ratio.
        """
        return self.apply(signal, _raw(rng), self.completed(parameters))

    def apply(self, signal: Any, rng: PCG64, values: Values) -> Any:
        """Return the corrupted signal as a call does, of values as `draw` returns them, which are not checked again."""
        own = {name: values[name] for name in self.parameters}
        if self._takes_severity:
            own[SEVERITY] = values.get(SEVERITY)
        match signal:
            case Video():
                start_s, end_s = window_s(values, signal.duration_s)
                if (start_s, end_s) == (0.0, math.inf):
                    return replace(signal, frames=self.function(signal.frames, rng, **own))
                return edited_video(signal, lambda frames: self.function(frames, rng, **own), start_s, end_s)
            case Audio() if any(name in values for name in WINDOW):
                start_s, end_s = window_s(values, signal.duration_s)
                return edited_audio(signal, lambda audio: self.function(audio, rng, **own), start_s, end_s)
        return self.function(signal, rng, **own)

    def completed(self, given: Values) -> dict[str, Any]:
        """Return values of all parameters from those that are given; raise `UsageError` if one is wrong."""
        known = self.declarable
        if self.parameters.keys() <= given.keys() <= known.keys():
            if all(
                not isinstance(value, str) if known[name].is_named else known[name].allows(value)
                for name, value in given.items()
            ):
                return dict(given)
        problems = list(_problems(self, given, _call_problem))
        if problems:
            raise UsageError("; ".join(f"{self.name}: {text}" for text in problems))
        return {**self._defaults, **given, **self._tabled(given)}

    def changes_nothing(self, values: Values) -> bool:
        """Return whether these values of parameters leave every signal as it is."""
        start_s, end_s = window_s(values, 1.0)
        if start_s >= end_s or values.get("start", 0.0) >= 1.0:
            return True
        if not self.unchanged_at:
            return False
        complete = {**self._defaults, **values}
        return any(all(complete[name] == value for name, value in same.items()) for same in self.unchanged_at)

    def measure(self, before: Any, after: Any, values: Values) -> dict[str, Any]:
        """Return the size of the change, numbers rounded to `MEASURED_DECIMALS`; nothing if there is no measure."""
        if self.measured is None:
            return {}
        return {
            name: round(value, MEASURED_DECIMALS) + 0.0 if isinstance(value, float) else value
            for name, value in self.measured(before, after, **{key: values[key] for key in self._measured_by}).items()
            if value is not None
        }


def _raw(rng: PCG64 | np.random.Generator) -> PCG64:
    raw = rng.bit_generator if isinstance(rng, np.random.Generator) else rng
    if not isinstance(raw, PCG64):
        raise UsageError(f"a corruption needs the generator PCG64, not {type(rng).__name__}")
    return raw


def window_s(values: Values, duration_s: float) -> tuple[float, float]:
    """Return begin and end of the window among values of parameters in seconds; end is infinite where none is given."""
    start_s, end_s = float(values.get("start_s", 0.0)), float(values.get("end_s", math.inf))
    if "start" in values:
        start_s = values["start"] * duration_s
    if values.get("end", 1.0) < 1.0:
        end_s = values["end"] * duration_s
    return start_s, end_s


CORRUPTIONS: Registry[Corruption] = Registry("corruption", "merbench.corruptions", "@corruption")


def corruption(
    modality: Modality,
    *,
    source: str = "",
    severities: Mapping[str, tuple[Any, ...]] | None = None,
    scope: Scope = "sample",
    unchanged_at: Values | tuple[Values, ...] = (),
    measured: Measure | None = None,
) -> Callable[[CorruptionFunction], CorruptionFunction]:
    """Register a function of `(signal, rng, *, parameters)` under its own name; see `Corruption` for the arguments."""
    sets = (unchanged_at,) if isinstance(unchanged_at, Mapping) else unchanged_at

    def register(function: CorruptionFunction) -> CorruptionFunction:
        require_declarable(function)
        name = function.__name__
        known = Corruption(name, modality, function, source, severities or {}, scope, sets, measured)
        CORRUPTIONS.add(name, known)
        return function

    return register


def check_parameters(name: str, given: Values) -> list[str]:
    """Return the problems of values or distributions declared for corruption `name`, one sentence a problem."""
    try:
        return list(_problems(CORRUPTIONS[name], given, _declared_problem))
    except UnknownName as error:
        return [str(error)]


def _problems(corruption: Corruption, given: Values, problem: Callable[[Parameter, object], str]) -> Iterator[str]:
    known, tabled = corruption.declarable, corruption.severities
    set_by_severity = tabled.keys() if SEVERITY in given else ()
    yield from (f"{key} {message}" for key, message in unknown_problems(corruption.name, known, given))
    yield from (f"severity already sets {key}; give one of them" for key in set_by_severity if key in given)
    for key, parameter in corruption.parameters.items():
        if parameter.is_required and key not in given and key not in set_by_severity:
            or_severity = " or a severity from 1 to 5" if key in tabled else ""
            yield f"{key} is missing: {corruption.name} needs it, {parameter.allowed}{or_severity}"
    for key, value in given.items():
        if key in known and (message := problem(known[key], value)):
            yield f"{key}: {message}"
    yield from _window_problems(given)


def _window_problems(given: Values) -> Iterator[str]:
    if {"start", "end"} & given.keys() and {"start_s", "end_s"} & given.keys():
        yield "a window is given either by start and end, fractions of the clip, or by start_s and end_s, in seconds"
    for begin, end in (("start", "end"), ("start_s", "end_s")):
        first, last = given.get(begin, 0), given.get(end, math.inf)
        if all(isinstance(value, int | float) for value in (first, last)) and not first < last:
            yield f"{begin} = {first} is not before {end} = {last}"


def _call_problem(parameter: Parameter, value: object) -> str:
    """Return the problems of the value of a parameter in a call; empty if there are none."""
    if not parameter.is_named:
        return parameter.problem(value)
    return f"{brief(value)} is a name; give what has this name" if isinstance(value, str) else ""


def _declared_problem(parameter: Parameter, value: object) -> str:
    """Return the problems of a declared value or distribution; empty if there are none."""
    if get_origin(parameter.kind) is Mapping:
        return parameter.problem(value)
    if not isinstance(value, Mapping):
        return parameter.problem(value, " or a distribution of such values")
    shared = value.get(SHARED, "name")
    messages = [] if isinstance(shared, str) and shared else [f"shared = {brief(shared)} is not a name"]
    own = {key: item for key, item in value.items() if key != SHARED}
    return "; ".join(filter(None, [*messages, _distribution_problem(parameter, own, may_fall=SHARED in value)]))


def _distribution_problem(parameter: Parameter, distribution: Values, *, may_fall: bool) -> str:
    kinds = _DISTRIBUTIONS_OF.get(parameter.kind, ("choice",))
    kind, values = next(iter(distribution.items()), ("", None))
    if len(distribution) != 1 or kind not in kinds:
        keys = ", ".join(map(str, distribution))
        forms = ", ".join(DISTRIBUTIONS[name] for name in kinds)
        return f"{keys or 'an empty table'} is not a distribution{did_you_mean(keys, kinds)} ({forms})"
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        return f"{kind} = {brief(values)} is not a list of values; each must be {parameter.allowed}"
    if wrong := [item for item in values if not parameter.allows(item)]:
        return f"{kind} contains {listed([repr(item) for item in wrong])}; each must be {parameter.allowed}"
    if kind != "choice" and (len(values) != 2 or (values[0] > values[1] and not may_fall)):
        return f"{kind} = {list(values)} is not [low, high]; each must be {parameter.allowed}"
    if kind == "integers" and not all(isinstance(item, int) for item in values):
        return f"integers = {list(values)} contains a number that is not whole"
    if kind == "integers" and parameter.options and not {*range(min(values), max(values) + 1)} <= {*parameter.options}:
        return f"integers = {list(values)} contains numbers that are not {parameter.allowed}; use choice"
    return ""


_DISTRIBUTIONS_OF = {int: ("choice", "integers"), float: ("choice", "integers", "uniform")}
"""Which distributions a parameter of a type takes; one of another type takes only a choice."""


@dataclass(frozen=True)
class Step:
    """One declared step of corruption, as plain data that is passed between processes."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)  # its parameters as declared: values, or distributions
    # the name under which the step's values are sampled and stored; by default the corruption's own
    step_name: str = ""

    def __post_init__(self) -> None:
        if not self.step_name:
            object.__setattr__(self, "step_name", self.name)

    @property
    def corruption(self) -> Corruption:
        """What is done."""
        return CORRUPTIONS[self.name]

    @property
    def banks(self) -> set[str]:
        """The names of all noise banks that may be used."""
        return self._named(FromBank)

    @property
    def columns(self) -> set[str]:
        """The columns of the corpus that may be needed."""
        return self._named(FromColumn)

    def _named(self, mark: type[Named]) -> set[str]:
        """Return every name that may be declared for the parameters with a mark."""
        names: set[str] = set()
        for name, known in self.corruption.parameters.items():
            value = self.parameters.get(name, known.default)
            if known.mark(mark) and value is not REQUIRED:
                names |= set(value["choice"]) if isinstance(value, Mapping) else {value}
        return names

    @property
    def drawn_names(self) -> list[str]:
        """The parameters that have a value for every sample, in the order in which they are sampled."""
        return list(self.draws(0, ""))

    @property
    def differs(self) -> bool:
        """Whether a parameter is sampled for each sample, so that samples may have different ones."""
        return any(isinstance(value, Mapping) for value in self.parameters.values())

    def draws(self, seed: int, sample_id: str, rng: PCG64 | None = None) -> dict[str, Any]:
        """Return the value of every parameter for one sample of a track with this seed.

        The id is empty for a step that corrupts all samples of a split at once. A generator that is given is left after
        the last number used.
        """
        own = generator(seed, self.step_name, sample_id) if rng is None else rng
        return self.corruption.draw(self.parameters, own, shared_draw(seed, sample_id))
