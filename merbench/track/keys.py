"""What every TOML declaration shares: frozen tables without unknown keys, and their errors as problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from merbench.errors import Problem, did_you_mean

KEBAB = r"^[a-z0-9]+(-[a-z0-9]+)*$"


LATER_TARGETS = ("label_set", "ranked", "multilabel", "preference", "scores", "segments", "trajectory", "text")
"""Target types that the format knows and this version does not score."""


class Declaration(BaseModel):
    """A table of a declaration: frozen, and without keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def declaration_problems(error: ValidationError, allowed_keys: Any) -> list[Problem]:
    """Return a pydantic error as problems: key path, what was found, what is allowed, the nearest match.

    Args:
        error: what `model_validate` raised.
        allowed_keys: function from a location to the keys its table may hold.
    """
    problems = []
    for item in error.errors(include_url=False):
        location, found, context = item["loc"], item["input"], item.get("ctx", {})
        match item["type"]:
            case "missing":
                message = "is missing"
            case "extra_forbidden":
                allowed = list(allowed_keys(location[:-1]))
                message = f"is not a known key; allowed: {', '.join(allowed)}{did_you_mean(str(location[-1]), allowed)}"
            case "union_tag_not_found":
                message = "is missing"
                location = (*location, "type")
            case "union_tag_invalid":
                allowed = [tag.strip("'") for tag in context["expected_tags"].split(", ")]
                message, location = _unknown_target(str(context["tag"]), allowed), (*location, "type")
            case "literal_error":
                options = [str(part).strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")]
                message = f"{found!r} is not one of {', '.join(options)}{did_you_mean(str(found), options)}"
            case _:
                text = item["msg"].removeprefix("Value error, ")
                message = f"{short(found)}: {text[:1].lower()}{text[1:]}"
        problems.append(Problem("E207", message, column=_key_path(location)))
    return problems


def _unknown_target(tag: str, allowed: Sequence[str]) -> str:
    if tag in LATER_TARGETS:
        return f"'{tag}' is a target type that this version does not score yet; it scores {', '.join(allowed)}"
    return f"'{tag}' is not a target type; allowed: {', '.join(allowed)}{did_you_mean(tag, allowed)}"


def short(value: Any) -> str:
    """Return a value as it is written in Python, cut after 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _key_path(location: Sequence[int | str]) -> str:
    """Return `metrics[1].weight`; the tag that a target's type adds to the location is left out."""
    steps = list(location)
    if len(steps) > 2 and steps[0] == "targets" and steps[2] in ("categorical", "continuous"):
        del steps[2]
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else (f".{step}" if path else step)
    return path
