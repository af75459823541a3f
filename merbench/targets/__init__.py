"""The kinds of target: one module per kind, which contains everything about it.

A kind declares its keys in `track.toml`, its columns, how a cell of a submission is read and checked, how references
are read, its example and description, the loss it is trained with, and what a baseline may answer. To add one, write a
module with a class that `target_type` registers; nothing elsewhere asks which kind a target is.
"""

from importlib import import_module
from pkgutil import iter_modules

from merbench.targets.target import (
    TARGETS,
    Answers,
    ReferenceColumn,
    Target,
    TargetValues,
    declared_target,
    names_of_other_types,
    target_type,
    types_with,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "TARGETS",
    "Answers",
    "ReferenceColumn",
    "Target",
    "TargetValues",
    "declared_target",
    "names_of_other_types",
    "target_type",
    "types_with",
]
