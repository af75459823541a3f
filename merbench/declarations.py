"""What every TOML declaration shares: frozen tables without unknown keys, and their errors as problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from merbench.errors import Problem, brief, did_you_mean, examples, plural

KEBAB = r"^[a-z0-9]+(-[a-z0-9]+)*$"
VERSION = r"^\d+\.\d+$"
STEP = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


AllowedKeys = Callable[[Sequence[int | str]], Sequence[str]]
"""From the location of a table to the keys that it may contain."""


class Declaration(BaseModel):
    """A table of a declaration: frozen, and without keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def as_several(value: Any) -> Any:
    """Return a text as a list of one; anything else as it is."""
    return (value,) if isinstance(value, str) else value


def refused(*problems: tuple[tuple[int | str, ...], str]) -> ValidationError:
    """Return the error that a validator raises to report problems in its own words, each as (location, message)."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("problem", "{message}", {"message": message}), loc=location, input=None
        )
        for location, message in problems
    ]
    return ValidationError.from_exception_data("declaration", details)


def declaration_problems(error: ValidationError, allowed_keys: AllowedKeys, *, union: str = "") -> list[Problem]:
    """Return a pydantic error as problems: key path, what was found, what is allowed, the nearest match.

    Of many problems of one kind, the first are shown and the others counted.

    Args:
        error: the error.
        allowed_keys: which keys a table may contain.
        union: a list of tables of several kinds. pydantic puts the kind after the index of such a table, as if it were
            a key; it is given to `allowed_keys`, and is not shown.
    """
    kinds: dict[object, list[ErrorDetails]] = {}
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # pydantic does not count items that have problems of their own
        # Each key that is known has problems of its own; a file may have thousands of items, and of unknown keys.
        is_unknown_key = item["type"] == "extra_forbidden" and len(item["loc"]) == 1
        kinds.setdefault((item["type"], () if is_unknown_key else item["loc"][:1]), []).append(item)
    return [
        problem
        for items in kinds.values()
        for problem in examples(items, lambda item: _problem(item, allowed_keys, union))
    ]


def _problem(item: ErrorDetails, allowed_keys: AllowedKeys, union: str) -> Problem:
    location, given, context = item["loc"], item["input"], item.get("ctx", {})
    match item["type"]:
        case "missing":
            message = "is missing"
        case "problem":
            message = item["msg"]
        case "extra_forbidden":
            allowed = list(allowed_keys(location[:-1]))
            message = f"is not a known key; allowed: {', '.join(allowed)}{did_you_mean(str(location[-1]), allowed)}"
        case "literal_error":
            message = _not_one_of(given, context["expected"].replace(" or ", ", "))
        case "union_tag_invalid":
            location = (*location, context["discriminator"].strip("'"))
            message = _not_one_of(context["tag"], context["expected_tags"])
        case "union_tag_not_found":
            location, message = (*location, context["discriminator"].strip("'")), "is missing"
        case _:
            message = _value_problem(item)
    if union and location[0] == union and item["type"] not in ("union_tag_invalid", "union_tag_not_found"):
        location = location[:2] + location[3:]
    return Problem("E207", message, column=_key_path(location))


def _not_one_of(given: Any, expected: str) -> str:
    options = [part.strip("'") for part in expected.split(", ")]
    return f"{brief(given)} is not one of {', '.join(options)}{did_you_mean(str(given), options)}"


def _value_problem(item: ErrorDetails) -> str:
    wrong = _wrong_value(item["type"], item.get("ctx", {}))
    if wrong:
        return f"{short(item['input'])} {wrong}"
    text = item["msg"].removeprefix("Value error, ")
    return f"{short(item['input'])}: {text[:1].lower()}{text[1:]}"


_NOT_OF_TYPE = {
    "string_type": "is not a text in quotes",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "finite_number": "is not a finite number",
    "bool_type": "is not true or false",
    "bool_parsing": "is not true or false",
    "datetime_type": "is not a date with a time and an offset, such as 2026-01-31T12:00:00Z",
    "timezone_aware": "is not a date with a time and an offset, such as 2026-01-31T12:00:00Z",
    "tuple_type": "is not a list",
    "list_type": "is not a list",
    "dict_type": "is not a table",
    "model_type": "is not a table",
    "model_attributes_type": "is not a table",
}

_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}

_PATTERNS = {
    KEBAB: "lower-case words and digits joined by '-'",
    VERSION: "two numbers such as '1.0'",
    STEP: "a word of letters, digits, '_' and '-'",
}


def _wrong_value(kind: str, context: Mapping[str, Any]) -> str:
    """Return the problems of a value, from pydantic's kind of error and what the value was checked against."""
    if kind in _NOT_OF_TYPE:
        return _NOT_OF_TYPE[kind]
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return f"is not {word} {context[key]:,}"
    match kind:
        case "literal_error":
            return f"is not one of {context['expected'].replace(' or ', ', ')}"
        case "string_pattern_mismatch":
            return f"is not {_PATTERNS.get(context['pattern'], 'of the form ' + context['pattern'])}"
        case "string_too_short":
            return "is an empty text"
        case "string_too_long":
            return f"is longer than {context['max_length']:,} characters"
        case "too_short":
            return f"has {plural(context['actual_length'], 'item')}; at least {context['min_length']:,} are needed"
        case "too_long":
            return f"has more than {plural(context['max_length'], 'item')}"
    return ""


def short(value: Any) -> str:
    """Return a value as it is written in Python, dates and times as in TOML, cut after 60 characters."""
    text = str(value) if isinstance(value, (date, time)) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _key_path(location: Sequence[int | str]) -> str:
    """Return `metrics[1].weight`."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else (f".{step}" if path else step)
    return path
