"""The name of a module goes in, the extra of merbench that brings it comes out, read from merbench's own metadata."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import metadata, requires

MODULES = {"scikit-learn": ("sklearn", "scipy", "joblib"), "opencv-python-headless": ("cv2",)}
"""Modules of the distributions whose module has another name, or that bring more than one."""

FOR_DEVELOPERS, EVERYTHING = "dev", "all"

_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+).*;\s*extra\s*==\s*["'](?P<extra>[\w.-]+)["']""")


@cache
def modules_by_extra() -> dict[str, frozenset[str]]:
    """Return the modules that every extra brings, by its name; the extra for developers of merbench is left out."""
    names = metadata("merbench").get_all("Provides-Extra") or []
    found: dict[str, set[str]] = {name: set() for name in names if name != FOR_DEVELOPERS}
    for match in filter(None, map(_REQUIREMENT.match, requires("merbench") or [])):
        if match["extra"] in found:
            found[match["extra"]].update(MODULES.get(match["name"], (match["name"],)))
    return {name: frozenset(modules) for name, modules in found.items()}


def extra_of(module: str, declared: str | None = None) -> str | None:
    """Return the extra that brings a module: the declared one where it does, else the first by name; None without any.

    The extra that brings everything comes last.
    """
    brought = [name for name, modules in modules_by_extra().items() if module in modules]
    return declared if declared in brought else min(brought, key=lambda name: (name == EVERYTHING, name), default=None)
