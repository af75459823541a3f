"""A track and values of a parameter go in, curves come out: conditions of one corruption, each checked.

A condition is a corruption with its parameters. All conditions of a curve share the name of their step, and so the
draws of every sample: along a curve the same noise grows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from merbench.corruptions import CORRUPTIONS, Corruption, Step, check_parameters
from merbench.corruptions.declaration import SEVERITY
from merbench.errors import DeclarationError, Problem, UnknownName, UsageError, did_you_mean, listed
from merbench.files import parse_toml
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
        value = parse_toml(item, f"value = {item}".encode(errors="surrogateescape"))["value"]
    except DeclarationError:
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
    corruption: str | Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> tuple[Curve, ...]:
    """Return the curves of every grid, one for each corruption that has its parameter.

    Args:
        track: its corruptions say what a parameter belongs to, and the values of all others.
        grids: parameter -> values.
        corruption: names of corruptions, or of steps of the track; without any, each grid is of the one corruption that
            the track declares with the parameter.
        parameters: values that hold beside those of the grids, in place of what the track declares: `NAME` of every
            corruption that has the parameter, `CORRUPTION.NAME` of one of them, which goes before.

    Raises:
        UsageError: there is no grid, a value twice, no corruption or several that fit; no curve takes a parameter.
        UnknownName: there is no such corruption.
        DeclarationError: a value is not allowed; all problems of a curve are listed.
    """
    if not grids:
        raise UsageError("a curve needs a grid, such as snr_db=20,10,5,0")
    for name, values in grids.items():
        _require_values(f"grid {name}", tuple(values))
    pairs = _pairs(track, grids, [corruption] if isinstance(corruption, str) else corruption or ())
    steps = list({step.step_name: step for _, step in pairs}.values())
    settings = [_setting(steps, key, value) for key, value in (parameters or {}).items()]
    curves = tuple(_curve(name, tuple(grids[name]), step, _given(settings, step)) for name, step in pairs)
    _require_taken(settings, curves)
    return curves


def _pairs(track: Track, grids: Mapping[str, Values], names: Sequence[str]) -> list[tuple[str, Step]]:
    """Return parameter and declaration of every curve: grid by grid, corruptions as they are named."""
    if not names:
        return [(parameter, _declaring(track, parameter)) for parameter in grids]
    steps = [_named(track, name) for name in names]
    found = [step.step_name for step in steps]
    if twice := [name for name in dict.fromkeys(found) if found.count(name) > 1]:
        raise UsageError(f"corruption given twice: {listed(twice)}")
    for step in steps:
        if not any(parameter in step.corruption.declarable for parameter in grids):
            raise UsageError(f"no grid fits {step.step_name}; {_what_there_is([step.corruption], next(iter(grids)))}")
    pairs = [(parameter, step) for parameter in grids for step in steps if parameter in step.corruption.declarable]
    for parameter in grids:
        if not any(parameter == name for name, _ in pairs):
            there_is = _what_there_is([step.corruption for step in steps], parameter)
            raise UsageError(f"grid {parameter}: there is no such parameter; {there_is}")
    return pairs


def _what_there_is(corruptions: Sequence[Corruption], wanted: str) -> str:
    """Return which parameters corruptions have, and which of them is nearest to another name."""
    names = sorted({corruption.name for corruption in corruptions})
    known = sorted({key for corruption in corruptions for key in corruption.declarable})
    verb = "has" if len(names) == 1 else "have"
    return f"{listed(names, 12)} {verb} {listed(known, 12)}{did_you_mean(wanted, known)}"


@dataclass(frozen=True, slots=True)
class _Setting:
    """A value that holds beside the grids, of one step or, where that is None, of every one that has the parameter."""

    key: str
    parameter: str
    value: Any
    step: str | None


def _setting(steps: Sequence[Step], key: str, value: Any) -> _Setting:
    owner, dot, parameter = key.rpartition(".")
    if not dot:
        return _Setting(key, key, value, None)
    found = [step.step_name for step in steps if step.step_name == owner]
    found = found or [step.step_name for step in steps if step.name == owner]
    if len(found) > 1:
        raise UsageError(f"{key}: several curves are of '{owner}', name a step: {listed(found)}")
    if not found:
        known = [step.step_name for step in steps]
        raise UsageError(
            f"{key}: no curve is of '{owner}'{did_you_mean(owner, known)} (there are curves of {listed(known, 12)})"
        )
    return _Setting(key, parameter, value, found[0])


def _given(settings: Sequence[_Setting], step: Step) -> dict[str, Any]:
    """Return what is set of a step: for all that have the parameter, then for this one alone."""
    for_all = {one.parameter: one.value for one in settings if one.step is None}
    alone = {one.parameter: one.value for one in settings if one.step == step.step_name}
    return {name: value for name, value in {**for_all, **alone}.items() if name in step.corruption.declarable}


def _require_taken(settings: Sequence[_Setting], curves: Sequence[Curve]) -> None:
    """Raise where a value that was set reaches no curve."""

    def concerned(one: _Setting) -> list[Curve]:
        return [curve for curve in curves if one.step in (None, curve.step)]

    unused = [one for one in settings if not any(one.parameter in curve.declared for curve in concerned(one))]
    if unused:
        alike = [one.key for one in unused if one.step == unused[0].step]
        corruptions = [curve.corruption for curve in concerned(unused[0])]
        raise UsageError(
            f"{listed(alike)}: no curve takes this parameter beside its grid; "
            f"{_what_there_is(corruptions, unused[0].parameter)}"
        )


def _curve(parameter: str, values: Values, spec: Step, given: Mapping[str, Any]) -> Curve:
    place = f"grid {parameter}"
    known = spec.corruption
    if known.modality == "labels":
        raise UsageError(
            f"{place}: {known.name} damages the labels of training samples; a curve is of what a system is given"
        )
    declared = {**spec.parameters, **given}
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


def _declaring(track: Track, parameter: str) -> Step:
    """Return the one corruption that the track declares with a parameter."""
    declared = [spec.as_step for spec in track.corruptions]
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
    """Return the track's declaration of a step or corruption, else a bare one of the corruption."""
    declared = [spec.as_step for spec in track.corruptions]
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
