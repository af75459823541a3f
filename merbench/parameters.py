"""Declared parameters: keyword arguments of a function or fields of a dataclass, with what each may be.

Metrics, corruptions and baselines all declare what can be set by annotations and defaults. pydantic checks values
against them, pages and signatures print them. In an annotation, `Annotated` adds a range (`Within`) or words (`Named`).
pydantic is imported when the first value is checked: lists, and processes that receive checked values, do not need it.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from merbench.errors import UsageError, brief, did_you_mean

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

REQUIRED = inspect.Parameter.empty
"""The default of a parameter that must be given."""

Mark = TypeVar("Mark")


@dataclass(frozen=True, slots=True)
class Within:
    """The range of a number, in an annotation such as `Annotated[float, Within(-20, 60, "dB")]`."""

    low: float
    high: float = math.inf
    unit: str = ""  # printed after the range

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        ends = {"ge": self.low, **({"le": self.high} if math.isfinite(self.high) else {})}
        return cast("CoreSchema", {**handler(source), **ends})

    def __str__(self) -> str:
        extent = f"in [{self.low:g}, {self.high:g}]" if math.isfinite(self.high) else f"of at least {self.low:g}"
        return f"{extent} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Described:
    """What is allowed, in words, where an annotation does not say it."""

    words: str  # the end of the message "... is not", such as `a table of shares`.
    check: Callable[[Any], bool] | None = None  # what a value of the right type must pass, too


@dataclass(frozen=True, slots=True)
class Named(Described):
    """Declared by a name; the function receives what has that name: a label's code, a sound of a noise bank."""


@dataclass(frozen=True)
class Parameter:
    """What one parameter may be."""

    name: str
    annotation: Any  # its type, with marks such as `Within`
    default: Any = REQUIRED  # what holds where nothing is given; `REQUIRED` where something must be
    # whether values must be of the type and finite (integers are numbers), or may be converted to it
    strict: bool = True

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.default is REQUIRED

    @cached_property
    def is_named(self) -> bool:
        """Whether it is declared by a name."""
        return self.mark(Named) is not None

    @cached_property
    def options(self) -> tuple[Any, ...]:
        """The only values allowed, of a `Literal`; empty of another type."""
        kind = _bare(self.annotation)
        return get_args(kind) if get_origin(kind) is Literal else ()

    @cached_property
    def kind(self) -> Any:
        """The type of a declared value: of a `Literal` that of its options, `str` of something declared by name."""
        return str if self.is_named else type(self.options[0]) if self.options else _bare(self.annotation)

    def mark(self, wanted: type[Mark]) -> Mark | None:
        """Return the mark of a type in the annotation; None without one."""
        return next((mark for mark in _marks(self.annotation) if isinstance(mark, wanted)), None)

    @property
    def unit(self) -> str:
        """The unit of a number; empty without one."""
        within = self.mark(Within)
        return within.unit if within is not None else ""

    def allows(self, value: object) -> bool:
        """Return whether a value is of the type and within the range."""
        return self._is_valid(value)

    @cached_property
    def _is_valid(self) -> Callable[[object], bool]:
        if self.options:
            types, options = {type(option) for option in self.options}, set(self.options)
            return lambda value: type(value) in types and value in options
        from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

        described = self.mark(Described)
        annotation: Any = Annotated[str, Field(min_length=1)] if self.is_named else self.annotation
        config = ConfigDict(strict=True, allow_inf_nan=False) if self.strict else None
        adapter = TypeAdapter(annotation, config=config)

        def is_valid(value: object) -> bool:
            try:
                adapter.validate_python(value)
            except ValidationError:
                return False
            return described is None or described.check is None or described.check(value)

        return is_valid

    @cached_property
    def allowed(self) -> str:
        """What is allowed, in words: `a number in [-20, 60] dB`."""
        return _words(self.annotation)

    def problem(self, value: object, alternative: str = "") -> str:
        """Return the problems of a value, what is allowed instead, the nearest match; empty if there is none."""
        if self.allows(value):
            return ""
        near = did_you_mean(value, [str(option) for option in self.options]) if isinstance(value, str) else ""
        return f"{brief(value)} is not {self.allowed}{alternative}{near}"

    @property
    def default_text(self) -> str:
        """The default as a page shows it."""
        return "required" if self.is_required else "none" if self.default is None else f"`{printed(self.default)}`"

    def __str__(self) -> str:
        """Return the parameter as it is printed in a signature: `snr_db`, `form=population`."""
        return self.name if self.is_required or self.default is None else f"{self.name}={printed(self.default)}"


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _marks(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


_WORDS = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def _words(annotation: Any) -> str:
    kind, marks = _bare(annotation), _marks(annotation)
    for mark in marks:
        if isinstance(mark, Described):
            return mark.words
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin in (Union, UnionType):
        return " or ".join(_words(part) for part in parts if part is not NoneType)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a table of values, each {_words(parts[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence | set | frozenset):
        return f"a list of values, each {_words(parts[0])}"
    ranges = [str(mark) for mark in marks if isinstance(mark, Within)]
    return " ".join([_WORDS.get(kind, getattr(kind, "__name__", str(kind))), *ranges])


def printed(value: object) -> str:
    """Return a value as signatures show it: `true`, `0.5`, `concatenate`."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


@cache
def declared(source: Callable[..., Any] | None, strict: bool = True) -> Mapping[str, Parameter]:
    """Return what a function or dataclass declares, by name: its keyword-only arguments, or its fields.

    Raises:
        UsageError: an argument of a function has a default but is not keyword-only, has no annotation, or one that
            cannot be evaluated.
    """
    if source is None:
        return {}
    if isinstance(source, type) and dataclasses.is_dataclass(source):
        hints = get_type_hints(source, include_extras=True)
        fields = [item for item in dataclasses.fields(source) if item.init]
        return {item.name: Parameter(item.name, hints[item.name], _default(item), strict) for item in fields}
    require_declarable(source)
    try:
        hints = get_type_hints(source, include_extras=True)
    except NameError as error:
        raise UsageError(f"{source.__name__}: an annotation cannot be evaluated: {error}") from error
    keywords = [item for item in inspect.signature(source).parameters.values() if item.kind is item.KEYWORD_ONLY]
    return {item.name: Parameter(item.name, hints[item.name], item.default, strict) for item in keywords}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED if field.default is dataclasses.MISSING else field.default


def require_declarable(function: Callable[..., Any]) -> None:
    """Raise `UsageError` if an argument of a function could not be declared; its annotations are not evaluated."""
    for name, item in inspect.signature(function).parameters.items():
        if item.kind is item.POSITIONAL_OR_KEYWORD and item.default is not item.empty:
            raise UsageError(f"{function.__name__}: parameter '{name}' must follow a '*': parameters go by name")
        if item.kind is item.KEYWORD_ONLY and item.annotation is item.empty:
            raise UsageError(
                f"{function.__name__}: parameter '{name}' needs an annotation, which values are checked by"
            )


def taken(function: Callable[..., Any] | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the values that a function takes as keyword arguments."""
    names = _keyword_names(function)
    return {name: value for name, value in values.items() if name in names}


@cache
def _keyword_names(function: Callable[..., Any] | None) -> frozenset[str]:
    if function is None:
        return frozenset()
    parameters = inspect.signature(function).parameters
    return frozenset(name for name, item in parameters.items() if item.kind is item.KEYWORD_ONLY)


def unknown_problems(
    owner: str, allowed: Collection[str], given: Iterable[str], noun: str = "parameter"
) -> Iterator[tuple[str, str]]:
    """Yield each name that its owner does not have, and a message with the allowed ones and the nearest match."""
    a_or_an = "an" if noun[0] in "aeiou" else "a"
    for name in given:
        if name not in allowed:
            listing = ", ".join(allowed) or "none"
            yield name, f"is not {a_or_an} {noun} of {owner}; allowed: {listing}{did_you_mean(name, allowed)}"


def parameter_problems(
    owner: str,
    parameters: Mapping[str, Parameter],
    given: Mapping[str, Any],
    further: Collection[str] = (),
    noun: str = "parameter",
) -> Iterator[tuple[str, str]]:
    """Yield everything that is wrong with given values, as name and message: unknown, not allowed, missing.

    The owner is what has the parameters, such as `ccc`; `further` names are allowed, too, and checked elsewhere.
    Messages call one by the noun, `parameter` or `option`.
    """
    yield from unknown_problems(owner, [*further, *parameters], given, noun)
    for name, value in given.items():
        if name in parameters and (message := parameters[name].problem(value)):
            yield name, message
    for name, parameter in parameters.items():
        if parameter.is_required and name not in given:
            yield name, f"is missing: {owner} needs it, {parameter.allowed}"


def parameter_list(parameters: Mapping[str, Parameter]) -> str:
    """Return parameters as lists and pages print them: `snr_db, fill=concatenate`."""
    return ", ".join(map(str, parameters.values()))


_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def definition(function: Callable[..., Any]) -> list[str]:
    """Return the paragraphs of a function's docstring above its arguments, each on one line."""
    text = re.split(r"\n(?:Args|Raises|Returns):\n", inspect.getdoc(function) or "")[0]
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def meanings(function: Callable[..., Any] | None) -> dict[str, str]:
    """Return the description of each argument in a function's docstring, on one line."""
    _, _, arguments = ((inspect.getdoc(function) or "") if function else "").partition("\nArgs:\n")
    return {name: " ".join(text.split()) for name, text in _ENTRY.findall(arguments.split("\n\n")[0])}
