"""Systems that are compared: baselines with their options, each under a name of its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from merbench.declarations import KEBAB
from merbench.errors import UsageError, did_you_mean, listed
from merbench.training.declaration import LoadedBaseline, Options, load_baseline


@dataclass(frozen=True, kw_only=True)
class System:
    """A system: a baseline with its options, under a name of its own.

    Attributes:
        name: lower-case words and digits, such as `no-context`.
        baseline: a name, or a folder.
        preset: a preset of the baseline, such as `paper`.
        options: options that differ from those declared.
    """

    name: str
    baseline: str | Path
    preset: str | None = None
    options: Options = field(default_factory=dict)


def named_system(system: str | Path | System) -> System:
    """Return a system as it is, or a baseline as the system of its own name; raise `UsageError` for other names."""
    named = system if isinstance(system, System) else System(name=Path(system).resolve().name, baseline=system)
    if not re.fullmatch(KEBAB, named.name):
        allowed = "a name is of lower-case words and digits joined by '-'; give it such a name: NAME=BASELINE"
        raise UsageError(f"system '{named.name}': {allowed}")
    return named


def require_distinct(noun: str, names: Sequence[str]) -> None:
    """Raise `UsageError` if there is no name, or one twice."""
    if not names:
        raise UsageError(f"a comparison needs at least one {noun}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        remedy = "; give one of them another name: NAME=BASELINE" if noun == "system" else ""
        raise UsageError(f"two {noun}s are named {listed(twice)}{remedy}")


def options_of_systems(
    systems: Sequence[System], baselines: Sequence[LoadedBaseline], shared: Options
) -> list[dict[str, Any]]:
    """Return the options of every system: those of all that it has, then its own.

    What a wrapper does not have, and the baseline that it trains does, is an option of that baseline.

    Raises:
        UsageError: no system has one of those of all.
        DeclarationError: an option of a system is unknown, or not allowed.
        UnknownName: a baseline has no such preset.
    """
    presets = [loaded.preset(system.preset).options for system, loaded in zip(systems, baselines, strict=True)]
    known = [_names(loaded) for loaded in baselines]
    bases = [
        _bases(loaded, {**preset, **system.options})
        for system, loaded, preset in zip(systems, baselines, presets, strict=True)
    ]
    of_any = sorted({*chain(*known), *chain(*(names for each in bases for names in each.values()))})
    if unknown := [name for name in shared if name not in of_any]:
        hint = f"they have {listed(of_any, 30)}{did_you_mean(unknown[0], of_any)}"
        raise UsageError(f"no system has the option {listed(unknown)}; {hint}")
    chosen = []
    for system, loaded, preset, names, of_bases in zip(systems, baselines, presets, known, bases, strict=True):
        options = {**{name: value for name, value in shared.items() if name in names}, **system.options}
        for option, of_base in of_bases.items():
            if taken := {name: shared[name] for name in shared if name in of_base and name not in names}:
                options[option] = {**preset.get(option, {}), **taken, **system.options.get(option, {})}
        loaded.options("", {**preset, **options})  # an unknown or wrong one raises
        chosen.append(options)
    return chosen


def _names(loaded: LoadedBaseline) -> list[str]:
    return [option.name for option in dataclasses.fields(loaded.module.Options)]


def _bases(loaded: LoadedBaseline, given: Options) -> dict[str, list[str]]:
    """Return the names of the options of every baseline that a wrapper trains, by the option that has them."""
    options = {**loaded.declaration.defaults, **given}
    trains = loaded.declaration.trains.items()
    return {own: _names(load_baseline(options[name])) for name, own in trains if isinstance(options.get(name), str)}


def features_of(features: Mapping[str, Sequence[str]], *places: str) -> Sequence[str] | None:
    """Return the features of the first of some places that has an entry, at last that of all, the empty text."""
    return next((features[place] for place in (*places, "") if place in features), None)
