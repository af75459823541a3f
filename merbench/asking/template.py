"""What a language model is asked, as TOML: one file a protocol, with the text of each step and its paraphrases.

Conventions:
    A text has places in braces, such as `{candidates}`, that are filled in one pass: what is filled in is never read
    for places again. `baselines/ask` has the shipped protocols, and `parts.toml`, the texts around what a model sees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator

from merbench.declarations import Declaration, declaration_problems, refused
from merbench.errors import DeclarationError, UnknownName, UsageError, did_you_mean, listed
from merbench.files.paths import expanded, is_path, shipped_folder
from merbench.files.reading import sha256_file
from merbench.files.toml import read_toml
from merbench.targets import Target

PLACES = {
    "candidates": "labels of the target, in the order in which they are shown",
    "what": "emotion, or sentiment where labels are positive and negative",
    "target": "name of the target",
    "low": "the least number that may be answered",
    "high": "the largest one",
    "text": "transcript of the sample",
    "pair": "the two descriptions that are compared, in the order in which they are shown",
    "answer": "what the model answered in the step before",
    "samples": "the sample, or how many there are",
    "n": "how many frames, faces or samples",
    "reference": "of an example, what is right",
    "name": "what a sample is called",
}
"""What can stand in braces."""

Form = Literal["ranking", "label", "words", "number", "shares", "choice", "description"]

_PLACE = re.compile(r"\{(\w+)\}")

Declared = TypeVar("Declared", bound=Declaration)


def _with_known_places(text: str) -> str:
    unknown = [name for name in _PLACE.findall(text) if name not in PLACES]
    if unknown:
        hint = did_you_mean(unknown[0], PLACES)
        raise refused(((), f"'{{{unknown[0]}}}' is not known; allowed: {', '.join(PLACES)}{hint}"))
    return text


class Step(Declaration):
    """One request about a sample; the next step is given its answer."""

    texts: tuple[str, ...] = Field(min_length=1, strict=False)  # the question, then paraphrases of it
    sees: bool = True  # whether the model is given the sample
    form: str = ""  # how to answer about one sample, added to every text
    form_of_several: str = ""  # how to answer about several; empty: it is always asked about one
    settings: dict[str, Any] = Field(default={})  # of the request, such as `temperature`

    @field_validator("texts")
    @classmethod
    def _known(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_with_known_places, texts))

    @field_validator("form", "form_of_several")
    @classmethod
    def _known_form(cls, text: str) -> str:
        return _with_known_places(text)

    @field_validator("settings")
    @classmethod
    def _no_content(cls, settings: dict[str, Any]) -> dict[str, Any]:
        taken = [name for name in ("model", "messages", "stream", "n") if name in settings]
        if taken:
            raise refused(((taken[0],), "is set by merbench"))
        return settings


class BatchSizes(Declaration):
    """How many samples one request has, by what the model is given of each."""

    text: int = Field(default=1, ge=1, le=100)
    pictures: int = Field(default=1, ge=1, le=100)
    pictures_and_text: int = Field(default=1, ge=1, le=100)


class Protocol(Declaration):
    """The content of a protocol's file."""

    title: str = Field(min_length=1)  # one line
    source: str = ""  # what it follows
    answers: Form  # the form of answer of the targets that it asks about
    by_default: bool = False  # whether targets of this form are asked by it unless another one is named
    frames: int = Field(default=8, ge=1, le=64)  # how many frames, or faces, are sent of a clip
    batch: BatchSizes = BatchSizes()
    example: str = "{reference}"  # the answer of an example
    system: str = ""  # the first message, if any
    steps: tuple[Step, ...] = Field(min_length=1, max_length=4, strict=False)

    @field_validator("example", "system")
    @classmethod
    def _known(cls, text: str) -> str:
        return _with_known_places(text)

    @field_validator("steps")
    @classmethod
    def _several_in_one_step(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        if len(steps) > 1 and any(step.form_of_several for step in steps):
            raise refused(((), "only a protocol of one step can ask about several samples at once"))
        return steps


class Parts(Declaration):
    """The content of `parts.toml`: texts before what a model is given of a sample."""

    sample: str  # the name of a sample, where there are several
    frames: str
    picture: str  # where there is only one
    faces: str
    audio: str
    video: str
    text: str
    pair: str

    @field_validator("*")
    @classmethod
    def _known(cls, text: str) -> str:
        return _with_known_places(text)


@dataclass(frozen=True)
class Template:
    """A protocol, its name, and the digest of its file."""

    name: str
    protocol: Protocol
    digest: str


def filled(text: str, values: Mapping[str, object]) -> str:
    """Return a text with its places filled; one without a value stays."""
    return _PLACE.sub(lambda match: str(values.get(match[1], match[0])), text)


def templates_folder() -> Path:
    """Return the folder of the shipped protocols."""
    return shipped_folder("baselines") / "ask"


PARTS = "parts"


def protocol_names() -> list[str]:
    """Return the names of the shipped protocols."""
    return sorted(path.stem for path in templates_folder().glob("*.toml") if path.stem != PARTS)


def load_template(name_or_path: str) -> Template:
    """Return a protocol by its name, or by the path of its file.

    Raises:
        UnknownName: no such protocol.
        UsageError: the file cannot be read.
        DeclarationError: it has problems; all are listed.
    """
    if is_path(name_or_path):
        path = expanded(name_or_path)
    elif name_or_path in protocol_names():
        path = templates_folder() / f"{name_or_path}.toml"
    else:
        raise UnknownName("protocol", name_or_path, protocol_names())
    return Template(path.stem, _read(path, Protocol), sha256_file(path))


@cache
def parts() -> Parts:
    """Return the texts before what a model is given of a sample."""
    return _read(templates_folder() / f"{PARTS}.toml", Parts)


def templates_of(targets: Mapping[str, Target], wanted: Sequence[str] = ()) -> dict[str, Template]:
    """Return the protocol by which each target is asked.

    Args:
        targets: the targets, by name.
        wanted: names or files of protocols, each for the targets of its form of answer; other targets are asked by the
            default of their form.

    Raises:
        UsageError: a target is of a kind that no model is asked for, a protocol is for none of them, or two are for the
            same.
    """
    if none := [f"{name} ({target.type})" for name, target in targets.items() if not target.answer_form]:
        raise UsageError(f"a language model cannot be asked for {listed(none)}")
    loaded = [load_template(name) for name in wanted]
    chosen: dict[str, Template] = {}
    for template in loaded:
        fitting = [name for name, target in targets.items() if target.answer_form == template.protocol.answers]
        if not fitting or fitting[0] in chosen:
            forms = {target.answer_form for target in targets.values()}
            names = [each for each in protocol_names() if load_template(each).protocol.answers in forms]
            wrong = "is for the same targets as another one" if fitting else "fits no target"
            raise UsageError(f"protocol '{template.name}' {wrong}; the targets can be asked by {listed(names, 12)}")
        chosen |= dict.fromkeys(fitting, template)
    defaults = {
        each.protocol.answers: each for each in map(load_template, protocol_names()) if each.protocol.by_default
    }
    return {name: chosen.get(name) or defaults[_form(target)] for name, target in targets.items()}


def _form(target: Target) -> Form:
    assert target.answer_form
    return target.answer_form


def _read(path: Path, kind: type[Declared]) -> Declared:
    content = read_toml(path)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise DeclarationError(
            str(path), declaration_problems(error, lambda location: _keys(kind, location))
        ) from error


def _keys(kind: type[Declaration], location: Any) -> list[str]:
    """Return the keys of the table at a location."""
    below: dict[str, type[Declaration]] = {"steps": Step, "batch": BatchSizes}
    table = below.get(str(location[0]), kind) if location else kind
    return list(table.model_fields)
