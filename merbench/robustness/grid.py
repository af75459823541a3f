"""A track and values of a parameter go in, curves come out: conditions of one corruption, each checked.

A condition is a corruption with its parameters. All conditions of a curve share the name of their step, and so the
draws of every sample: along a curve the same noise grows.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from merbench.corruptions import CORRUPTIONS, Corruption, Step, check_parameters
from merbench.corruptions.declaration import SEVERITY
from merbench.errors import DeclarationError, Problem, UnknownName, UsageError, did_you_mean, listed
from merbench.track import Track

MOST_CONDITIONS = 1000
"""The largest number of conditions of a curve."""

_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::({_NUMBER}))?")

Values = Sequence[Any]


@dataclass(frozen=True, eq=False)
class Condition:
    """One point of a curve.

    Attributes:
        value: the value of the curve's parameter.
        step: the damage.
    """

    value: Any
    step: Step


@dataclass(frozen=True, eq=False)
class Curve:
    """The conditions of one corruption, along one of its parameters.

    Attributes:
        parameter: what varies.
        step: name of the step, from which draws come.
        corruption: the corruption.
        declared: the other parameters.
        conditions: one for each value, in the order asked for.
    """

    parameter: str
    step: str
    corruption: Corruption
    declared: Mapping[str, Any]
    conditions: tuple[Condition, ...]

    @property
    def values(self) -> list[Any]:
        """The values of the parameter."""
        return [condition.value for condition in self.conditions]

    @property
    def signature(self) -> str:
        """The curve in one line: `feature_noise(snr_db=20,10;factor=1)`."""
        others = [f"{name}={_text(self.declared[name])}" for name in sorted(self.declared)]
        varied = f"{self.parameter}={','.join(map(_text, self.values))}"
        step = self.step if self.step == self.corruption.name else f"{self.step}:{self.corruption.name}"
        return f"{step}({';'.join([varied, *others])})"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in sorted(value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    return str(value)


def parse_grid(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return name and values of `NAME=VALUES`: values set apart by commas, and ranges `1..5` and `0..0.7:0.1`.

    Both ends of a range belong to it; without a step its ends are whole numbers, and the step is 1. A value is read as
    TOML, and as text where it is none.

    Raises:
        UsageError: it is of another form, or names more values than a curve may have.
    """
    name, separator, values = (part.strip() for part in text.partition("="))
    if not (name and separator and values):
        raise UsageError(
            f"grid '{text}': write NAME=VALUES, such as snr_db=20,10,5,0 or severity=1..5 or rate=0..0.7:0.1"
        )
    found = [value for item in values.split(",") for value in _values(text, item.strip())]
    return name, tuple(found)


def _values(text: str, item: str) -> list[Any]:
    if not item:
        raise UsageError(f"grid '{text}': a value between commas is missing")
    if (match := _RANGE.fullmatch(item)) is not None:
        return _range(text, item, *match.groups())
    try:
        value = tomllib.loads(f"value = {item}")["value"]
    except tomllib.TOMLDecodeError:
        return [item]
    return [value if isinstance(value, bool | int | float | str) else item]


def _range(text: str, item: str, first: str, last: str, step: str | None) -> list[Any]:
    begin, end, by = Decimal(first), Decimal(last), Decimal(step or 1)
    if step is None and (begin % 1 or end % 1):
        raise UsageError(f"grid '{text}': {item} needs a step, such as {item}:0.1")
    if by <= 0:
        raise UsageError(f"grid '{text}': the step of {item} is not above 0")
    n = int(abs(end - begin) / by) + 1
    if n > MOST_CONDITIONS:
        raise UsageError(f"grid '{text}': {item} holds {n:,} values; a curve has at most {MOST_CONDITIONS:,}")
    direction = 1 if begin <= end else -1
    numbers = [begin + direction * i * by for i in range(n)]
    whole = all(number % 1 == 0 for number in (begin, by))
    return [int(number) if whole else float(number) for number in numbers]


def planned(
    track: Track,
    grids: Mapping[str, Values],
    corruption: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> tuple[Curve, ...]:
    """Return the curve of every grid.

    Args:
        track: its corruptions say what a parameter belongs to, and the values of all others.
        grids: parameter -> values.
        corruption: name of a corruption, or of a step of the track; None takes the one corruption that the track
            declares with the parameter.
        parameters: values that hold beside those of the grids, in place of what the track declares.

    Raises:
        UsageError: there is no grid, a value twice, no corruption or several that fit.
        UnknownName: there is no such corruption.
        DeclarationError: a value is not allowed; all problems are listed.
    """
    if not grids:
        raise UsageError("a curve needs a grid, such as snr_db=20,10,5,0")
    given = dict(parameters or {})
    curves = tuple(_curve(track, name, tuple(values), corruption, given) for name, values in grids.items())
    unused = [name for name in given if not any(name in curve.declared for curve in curves)]
    if unused:
        known = sorted({key for curve in curves for key in curve.corruption.declarable})
        raise UsageError(
            f"{listed(unused)}: no curve takes this parameter beside its grid; "
            f"{listed(sorted({curve.corruption.name for curve in curves}))} has {listed(known, 12)}"
            f"{did_you_mean(unused[0], known)}"
        )
    return curves


def _curve(track: Track, parameter: str, values: Values, corruption: str | None, given: Mapping[str, Any]) -> Curve:
    place = f"grid {parameter}"
    _require_values(place, values)
    spec = _spec(track, parameter, corruption)
    known = spec.corruption
    if known.modality == "labels":
        raise UsageError(
            f"{place}: {known.name} damages the labels of training samples; a curve is of what a system is given"
        )
    declared = {**spec.parameters, **{name: value for name, value in given.items() if name in known.declarable}}
    declared.pop(parameter, None)
    if parameter == SEVERITY:
        declared = {name: value for name, value in declared.items() if name not in known.severities}
    if parameter in known.severities and SEVERITY not in given:
        declared.pop(SEVERITY, None)
    messages = dict.fromkeys(
        message for value in values for message in check_parameters(known.name, {**declared, parameter: value})
    )
    if messages:
        raise DeclarationError(f"{place} of {spec.step_name}", [Problem("E207", message) for message in messages])
    conditions = (Condition(value, Step(spec.name, {**declared, parameter: value}, spec.step_name)) for value in values)
    return Curve(parameter, spec.step_name, known, declared, tuple(conditions))


def _require_values(place: str, values: Values) -> None:
    if not values:
        raise UsageError(f"{place}: there is no value")
    if len(values) > MOST_CONDITIONS:
        raise UsageError(f"{place}: {len(values):,} values; a curve has at most {MOST_CONDITIONS:,}")
    twice = [str(value) for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise UsageError(f"{place}: given twice: {listed(twice)}")


def _spec(track: Track, parameter: str, corruption: str | None) -> Step:
    """Return the declaration that a grid varies: the track's, else a bare one of the corruption named."""
    if corruption is not None:
        return _named(track, corruption)
    declared = [spec.damage for spec in track.corruptions]
    fitting = [step for step in declared if parameter in step.corruption.declarable]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            f"grid {parameter}: {track.id} declares several corruptions with this parameter, name one: "
            f"{listed([step.step_name for step in fitting])}"
        )
    able = [name for name in sorted(CORRUPTIONS) if parameter in CORRUPTIONS[name].declarable]
    if not able:
        every = sorted({key for name in CORRUPTIONS for key in CORRUPTIONS[name].declarable})
        raise UsageError(f"grid {parameter}: no corruption has this parameter{did_you_mean(parameter, every)}")
    raise UsageError(
        f"grid {parameter}: {track.id} declares no corruption with this parameter, name one that has it: "
        f"{listed(able, 12)}"
    )


def _named(track: Track, name: str) -> Step:
    declared = [spec.damage for spec in track.corruptions]
    steps = [step for step in declared if step.step_name == name]
    steps = steps or [step for step in declared if step.name == name]
    if len(steps) > 1:
        raise UsageError(
            f"{track.id} declares corruption '{name}' several times, name a step: "
            f"{listed([step.step_name for step in steps])}"
        )
    if steps:
        return steps[0]
    if name not in CORRUPTIONS:
        raise UnknownName("corruption", name, [*CORRUPTIONS, *(step.step_name for step in declared)])
    return Step(name)
