"""`corpus.toml`: what a corpus is and which files it has; read, checked and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from merbench.declarations import KEBAB, Declaration, declaration_problems
from merbench.errors import DeclarationError, Problem, examples
from merbench.files.toml import read_toml, toml_text

FILE_NAME = "corpus.toml"
SAMPLES_FILE = "samples.parquet"
REFERENCE_FILE = "reference.parquet"
ID, SPLIT = "sample_id", "split"

MEDIA = "media"
"""The column of the samples with the path of each one's clip in the folder of clips."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Modality = Literal["audio", "video", "text"]

MODALITIES: tuple[Modality, ...] = ("audio", "video", "text")

NAMED: dict[str, Modality] = {
    "audio": "audio",
    "voice": "audio",
    "speech": "audio",
    "video": "video",
    "face": "video",
    "text": "text",
}
"""How the name of a feature without a record begins -> its modality."""


class Metadata(Declaration):
    """What a corpus is, where it comes from and who may use it."""

    name: str = Field(pattern=KEBAB, max_length=64)
    version: str = Field(pattern=r"^\d+(\.\d+)*$")
    source: str
    licence: str
    language: str | None = None
    synthetic: bool = False


class ContentDigests(Declaration):
    """SHA-256 over the values of every table and feature, as `merbench.corpus.contents` computes them."""

    samples: Digest
    reference: Digest | None = None
    features: dict[str, Digest] = Field(default={})


Text = Annotated[str, Field(min_length=1, max_length=1000)]


def _option(value: Any) -> Any:
    """Return the value of an option, a tuple as a list; raise `ValueError` if it is not a plain one."""
    items = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, str | int | float) and (isinstance(item, str) or isfinite(item)) for item in items):
        raise ValueError("only texts, finite numbers, true, false, and lists of these are allowed")
    return list(value) if isinstance(value, tuple) else value


class ExtractionRecord(Declaration):
    """How a feature was extracted: with what, and from what."""

    extractor: Text
    version: Text  # of its definition
    modality: Modality
    unit: Literal["utterance", "segment", "frame", "token"]
    rate_hz: float | None = Field(default=None, gt=0)  # frames per second, where that is constant
    sample_rate_hz: float | None = Field(default=None, gt=0)  # of the sound that was read
    frame_rate_hz: float | None = Field(default=None, gt=0)  # of the pictures that were read; None: every one
    options: dict[str, Annotated[Any, AfterValidator(_option)]] = Field(default={})
    weights: Digest | None = None  # over the trained numbers
    faces: Digest | None = None  # over how faces were found and cropped
    media: Digest | None = None  # over the digests of the clips
    pictures: Literal[True] | None = None  # whether its rows are pixels, which only baselines of pictures learn from
    versions: dict[str, Text] = Field(default={})  # of what it ran on, and Python


class CorpusDeclaration(Metadata):
    """The whole `corpus.toml`: metadata, the SHA-256 of every file's bytes and of every table's values, records."""

    files: dict[str, Digest]
    content: ContentDigests
    extracted: dict[str, ExtractionRecord] = Field(default={})  # feature -> how it was extracted

    def feature_file(self, name: str) -> str:
        """Return the path of a feature's file in the corpus folder; older corpora have Parquet files."""
        older = f"features/{name}.parquet"
        return older if older in self.files and feature_file(name) not in self.files else feature_file(name)


def sequence_name(name: str, unit: str) -> str:
    """Return what the sequence is called that a feature was pooled from: `wavlm.frames`, `sentence.tokens`."""
    return f"{name}.tokens" if unit == "token" else f"{name}.frames"


def feature_file(name: str) -> str:
    """Return the path that a feature is written to in the corpus folder."""
    return f"features/{name}.arrow"


def parse_metadata(where: str, **metadata: Any) -> Metadata:
    """Return checked metadata; raise `DeclarationError` with all problems."""
    try:
        return Metadata.model_validate(metadata)
    except ValidationError as error:
        raise DeclarationError(where, declaration_problems(error, lambda _: list(Metadata.model_fields))) from error


def read_declaration(folder: Path) -> CorpusDeclaration:
    """Return the declaration of a corpus folder.

    Raises:
        UsageError: it has no `corpus.toml` that can be read.
        DeclarationError: the `corpus.toml` has problems; all of them are listed.
    """
    path = folder / FILE_NAME
    raw = read_toml(path)
    problems = examples(list(_path_problems(raw)), lambda problem: problem)
    try:
        declaration = CorpusDeclaration.model_validate(raw)
    except ValidationError as error:
        raise DeclarationError(str(path), [*declaration_problems(error, _allowed_keys), *problems]) from error
    problems += examples(list(_pairing_problems(declaration)), lambda problem: problem)
    if problems:
        raise DeclarationError(str(path), problems)
    return declaration


def _allowed_keys(location: Sequence[int | str]) -> list[str]:
    kinds: dict[str, type[Declaration]] = {"content": ContentDigests, "extracted": ExtractionRecord}
    return list(kinds.get(str(location[0]) if location else "", CorpusDeclaration).model_fields)


def _path_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for every recorded path that is not a plain posix path inside the folder."""
    files = raw.get("files")
    for member in files if isinstance(files, dict) else ():
        path = PurePosixPath(member)
        plain = member == str(path) and member.isprintable() and not set(member) & set('\\:*?"<>|')
        if not plain or path.is_absolute() or {".", ".."} & set(path.parts):
            message = "is not a plain path inside the corpus folder, with '/' between its parts"
            yield Problem("E207", message, column=f"files.{member}")
        elif member == FILE_NAME:
            yield Problem("E207", "cannot contain its own digest", column=f"files.{member}")


def _pairing_problems(declaration: CorpusDeclaration) -> Iterator[Problem]:
    """Yield a problem for every table with a digest of its bytes and none of its values, or vice versa."""
    content = declaration.content
    tables = {SAMPLES_FILE, REFERENCE_FILE}
    valued = {*map(declaration.feature_file, content.features), *(tables if content.reference else {SAMPLES_FILE})}
    stored = {
        member
        for member in declaration.files
        if member in tables or (member.startswith("features/") and member.endswith((".arrow", ".parquet")))
    }
    for member in sorted(valued - stored):
        yield Problem("E207", f"{member} is missing: its values have a digest in [content]", column="files")
    for member in sorted(stored - valued):
        yield Problem("E207", f"the values of {member} have no digest", column="content")
    for name in sorted(set(declaration.extracted) - set(content.features)):
        yield Problem("E207", "the corpus has no feature of this name", column=f"extracted.{name}")


def to_toml(declaration: CorpusDeclaration) -> str:
    """Return the text of `corpus.toml`: the same bytes for the same declaration."""
    metadata = declaration.model_dump(include=set(Metadata.model_fields), exclude_none=True)
    content = declaration.content.model_dump(exclude={"features"}, exclude_none=True)
    if declaration.content.features:
        content["features"] = dict(sorted(declaration.content.features.items()))
    document = {**metadata, "files": dict(sorted(declaration.files.items())), "content": content}
    records = {
        name: {key: value for key, value in record.model_dump(exclude_none=True).items() if value != {}}
        for name, record in sorted(declaration.extracted.items())
    }
    return toml_text({**document, "extracted": records} if records else document)
