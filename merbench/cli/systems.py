"""Options of commands that compare systems: which there are, with their options, presets and features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merbench.cli.options import baseline_options
from merbench.errors import UsageError, did_you_mean, listed

if TYPE_CHECKING:
    from merbench.training.systems import System


def named_systems(
    baselines: Sequence[str], settings: Sequence[str] | None, presets: Sequence[str] | None
) -> tuple[dict[str, Any], list[System]]:
    """Return the options of all systems, and the systems with those of their own.

    Args:
        baselines: `[NAME=]BASELINE`.
        settings: `[SYSTEM.]NAME=VALUE`.
        presets: `[SYSTEM=]NAME`.

    Raises:
        UsageError: a text has another form, or names another system.
    """
    from merbench.training.systems import System

    sources = [text.partition("=") for text in baselines]
    named = [(left, right) if equals else (Path(left).resolve().name, left) for left, equals, right in sources]
    if empty := [text for text, (name, source) in zip(baselines, named, strict=True) if not (name and source)]:
        raise UsageError(f"--baseline {empty[0]}: write BASELINE or NAME=BASELINE, such as no-context=context-gru")
    names = [name for name, _ in named]
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in baseline_options(settings).items():
        system, dot, name = key.rpartition(".")
        if dot:
            _require_system(f"--set {key}", system, names)
        (own[system] if dot else shared)[name] = value
    by_system: dict[str, str] = {}
    for text in presets or ():
        system, _, preset = text.rpartition("=")
        if system:
            _require_system(f"--preset {text}", system, names)
        if system in by_system or not preset:
            raise UsageError(f"--preset {text}: write NAME or SYSTEM=NAME, once for each system")
        by_system[system] = preset
    return shared, [
        System(name=name, baseline=source, preset=by_system.get(name, by_system.get("")), options=own[name])
        for name, source in named
    ]


def _require_system(option: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise UsageError(
            f"{option}: no system '{name}'; the systems are {listed(names, 12)}{did_you_mean(name, names)}"
        )


def features_by_place(texts: Sequence[str] | None) -> dict[str, list[str]]:
    """Return the features by where they are learned from; under the empty text those of all other places."""
    by_place: dict[str, list[str]] = {}
    for text in texts or ():
        place, equals, name = text.rpartition("=")
        if not name or (equals and not place):
            raise UsageError(f"--feature {text}: write NAME or WHERE=NAME, such as meld=sentence")
        by_place.setdefault(place, []).append(name)
    return by_place
