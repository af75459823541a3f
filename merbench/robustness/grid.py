"""Turns a track and the values of a parameter into curves: conditions of one corruption, each of them checked.

All conditions of a curve share the name of their step, and therefore the random numbers of every sample: along a curve
the same noise grows.
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
from merbench.files.toml import parse_toml
from merbench.track import Track

MOST_CONDITIONS = 1000
"""The largest number of conditions of a curve."""

_MOST_DIGITS = 20
"""Before or after the point, of the first digit of a number of a range: sums of such numbers are exact enough."""

_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::({_NUMBER}))?")


@dataclass(frozen=True, eq=False)
class Condition:
    """One point of a curve: the value of its parameter, and the corruption with all of its parameters."""

    value: Any
    step: Step


@dataclass(frozen=True, eq=False)
class Curve:
    """The conditions of one corruption, along one of its parameters."""

    parameter: str  # what varies
    step: str  # name of the step, which seeds the random numbers
    corruption: Corruption
    declared: Mapping[str, Any]  # the other parameters
    conditions: tuple[Condition, ...]  # one per value, in the order given

    @property
    def signature(self) -> str:
        """The curve in one line: `feature_noise(snr_db=20,10;factor=1)`."""
        varied = f"{self.parameter}={','.join(_text(condition.value) for condition in self.conditions)}"
        others = [f"{name}={_text(self.declared[name])}" for name in sorted(self.declared)]
        step = self.step if self.step == self.corruption.name else f"{self.step}:{self.corruption.name}"
        return f"{step}({';'.join([varied, *others])})"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in sorted(value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    return str(value)


def parse_grid(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return name and values of `NAME=VALUES`: values separated by commas, and ranges `1..5` and `0..0.7:0.1`.

    A range includes both ends; without a step its ends are integers and the step is 1. A value is parsed as TOML, and
    taken as text where it is not valid TOML.

    Raises:
        UsageError: the text has another form, or gives more values than a curve may have.
    """
    name, separator, values = (part.strip() for part in text.partition("="))
    if not (name and separator and values):
        raise UsageError(
            f"grid '{text}': write NAME=VALUES, such as snr_db=20,10,5,0 or severity=1..5 or rate=0..0.7:0.1"
        )
    return name, tuple(value for item in values.split(",") for value in _values(text, item.strip()))


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


def _range(text: str, item: str, first: str, last: str, step: str | None) -> list[int] | list[float]:
    begin, end, by = Decimal(first), Decimal(last), Decimal(step or 1)
    if any(number and abs(number.adjusted()) > _MOST_DIGITS for number in (begin, end, by)):
        raise UsageError(f"grid '{text}': {item} has a number outside of 1e-{_MOST_DIGITS} to 1e{_MOST_DIGITS}")
    if step is None and (begin % 1 or end % 1):
        raise UsageError(f"grid '{text}': {item} needs a step, such as {item}:0.1")
    if by <= 0:
        raise UsageError(f"grid '{text}': the step of {item} must be above 0")
    n = int(abs(end - begin) / by) + 1
    if n > MOST_CONDITIONS:
        raise UsageError(f"grid '{text}': {item} gives {n:,} values; a curve has at most {MOST_CONDITIONS:,}")
    numbers = [begin + (by if begin <= end else -by) * i for i in range(n)]
    return list(map(float if begin % 1 or by % 1 else int, numbers))


def planned(
    track: Track,
    grids: Mapping[str, Sequence[Any]],
    corruption: str | Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
) -> tuple[Curve, ...]:
    """Return the curves of every grid, one for each corruption that has its parameter.

    Of the arguments, `grids` is parameter -> values; for the others see `Settings`. A value for one corruption takes
    precedence over one for all.

    Raises:
        UsageError: no grid; a value is given twice; no corruption fits, or several; no curve has a parameter.
        UnknownName: no such corruption.
        DeclarationError: a value is not allowed; all problems of a curve are listed.
    """
    if not grids:
        raise UsageError("give at least one grid, such as snr_db=20,10,5,0")
    for name, values in grids.items():
        _require_values(f"grid {name}", values)
    pairs = _pairs(track, grids, [corruption] if isinstance(corruption, str) else corruption)
    steps = list({step.step_name: step for _, step in pairs}.values())
    settings = [_setting(steps, key, value) for key, value in (parameters or {}).items()]
    curves = tuple(_curve(name, grids[name], step, settings) for name, step in pairs)
    _require_used(settings, curves)
    return curves


def _require_values(place: str, values: Sequence[Any]) -> None:
    if not values:
        raise UsageError(f"{place}: no values given")
    if len(values) > MOST_CONDITIONS:
        raise UsageError(f"{place}: {len(values):,} values; a curve has at most {MOST_CONDITIONS:,}")
    if twice := [str(value) for i, value in enumerate(values) if value in values[:i]]:
        raise UsageError(f"{place}: duplicate: {listed(twice)}")


def _pairs(track: Track, grids: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, Step]]:
    """Return parameter and declaration of every curve: grid by grid, corruptions in the order given."""
    if not names:
        return [(parameter, _declaring(track, parameter)) for parameter in grids]
    steps = [_named(track, name) for name in names]
    step_names = [step.step_name for step in steps]
    if twice := [name for name in dict.fromkeys(step_names) if step_names.count(name) > 1]:
        raise UsageError(f"duplicate corruption: {listed(twice)}")
    for step in steps:
        if not any(parameter in step.corruption.declarable for parameter in grids):
            known = _known_parameters([step.corruption], next(iter(grids)))
            raise UsageError(f"no grid fits {step.step_name}; {known}")
    pairs = [(parameter, step) for parameter in grids for step in steps if parameter in step.corruption.declarable]
    for parameter in grids:
        if not any(parameter == name for name, _ in pairs):
            known = _known_parameters([step.corruption for step in steps], parameter)
            raise UsageError(f"grid {parameter}: unknown parameter; {known}")
    return pairs


def _known_parameters(corruptions: Sequence[Corruption], wanted: str) -> str:
    names = sorted({corruption.name for corruption in corruptions})
    known = sorted({key for corruption in corruptions for key in corruption.declarable})
    verb = "has" if len(names) == 1 else "have"
    return f"{listed(names, 12)} {verb} {listed(known, 12)}{did_you_mean(wanted, known)}"


def _declaring(track: Track, parameter: str) -> Step:
    """Return the one corruption that the track declares with a parameter."""
    fitting = [step for step in _declared(track) if parameter in step.corruption.declarable]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = listed([step.step_name for step in fitting])
        raise UsageError(
            f"grid {parameter}: {track.id} declares several corruptions with this parameter; name one: {names}"
        )
    able = [name for name in sorted(CORRUPTIONS) if parameter in CORRUPTIONS[name].declarable]
    if not able:
        every = sorted({key for name in CORRUPTIONS for key in CORRUPTIONS[name].declarable})
        raise UsageError(f"grid {parameter}: no corruption has this parameter{did_you_mean(parameter, every)}")
    raise UsageError(
        f"grid {parameter}: {track.id} declares no corruption with this parameter; name one that has it: "
        f"{listed(able, 12)}"
    )


def _named(track: Track, name: str) -> Step:
    """Return the track's declaration of a step or corruption, else the corruption without parameters."""
    declared = _declared(track)
    steps = [step for step in declared if step.step_name == name] or [step for step in declared if step.name == name]
    if len(steps) > 1:
        names = listed([step.step_name for step in steps])
        raise UsageError(f"{track.id} declares corruption '{name}' several times; name a step: {names}")
    if steps:
        return steps[0]
    if name not in CORRUPTIONS:
        raise UnknownName("corruption", name, [*CORRUPTIONS, *(step.step_name for step in declared)])
    return Step(name)


def _declared(track: Track) -> list[Step]:
    return [spec.as_step for spec in track.corruptions]


@dataclass(frozen=True, slots=True)
class _Setting:
    """A parameter's value, for one step, or for every step that has the parameter (`step` is None)."""

    key: str
    parameter: str
    value: Any
    step: str | None


def _setting(steps: Sequence[Step], key: str, value: Any) -> _Setting:
    owner, dot, parameter = key.rpartition(".")
    if not dot:
        return _Setting(key, key, value, None)
    known = [step.step_name for step in steps]
    owners = [name for name in known if name == owner] or [step.step_name for step in steps if step.name == owner]
    if len(owners) > 1:
        raise UsageError(f"{key}: several curves use '{owner}'; name a step: {listed(owners)}")
    if not owners:
        raise UsageError(f"{key}: no curve uses '{owner}'{did_you_mean(owner, known)} (curves use {listed(known, 12)})")
    return _Setting(key, parameter, value, owners[0])


def _curve(parameter: str, values: Sequence[Any], spec: Step, settings: Sequence[_Setting]) -> Curve:
    place, known = f"grid {parameter}", spec.corruption
    if known.modality == "labels":
        raise UsageError(f"{place}: {known.name} corrupts training labels; a curve needs a corruption of the inputs")
    for_all = {setting.parameter: setting.value for setting in settings if setting.step is None}
    for_this = {setting.parameter: setting.value for setting in settings if setting.step == spec.step_name}
    given = {name: value for name, value in {**for_all, **for_this}.items() if name in known.declarable}
    declared = {**spec.parameters, **given}
    declared.pop(parameter, None)
    if parameter == SEVERITY:
        declared = {name: value for name, value in declared.items() if name not in known.severities}
    if parameter in known.severities and SEVERITY not in given:
        declared.pop(SEVERITY, None)
    steps = [Step(spec.name, {**declared, parameter: value}, spec.step_name) for value in values]
    messages = dict.fromkeys(message for step in steps for message in check_parameters(known.name, step.parameters))
    if messages:
        raise DeclarationError(f"{place} of {spec.step_name}", [Problem("E207", message) for message in messages])
    conditions = tuple(Condition(value, step) for value, step in zip(values, steps, strict=True))
    return Curve(parameter, spec.step_name, known, declared, conditions)


def _require_used(settings: Sequence[_Setting], curves: Sequence[Curve]) -> None:
    """Raise `UsageError` if a setting reaches no curve."""

    def reached(setting: _Setting) -> list[Curve]:
        return [curve for curve in curves if setting.step in (None, curve.step)]

    unused = [
        setting for setting in settings if not any(setting.parameter in curve.declared for curve in reached(setting))
    ]
    if unused:
        keys = [setting.key for setting in unused if setting.step == unused[0].step]
        known = _known_parameters([curve.corruption for curve in reached(unused[0])], unused[0].parameter)
        raise UsageError(f"{listed(keys)}: no curve has this parameter besides its grid; {known}")
