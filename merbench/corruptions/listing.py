"""The registered corruptions go in, a table and a reference page come out that show all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

from merbench.corruptions.declaration import CORRUPTIONS, SEVERITY, WINDOW, Corruption, Parameter
from merbench.report import ReportTable, markdown_of

_PAGE = """\
# Corruptions

<!-- made by `merbench corruptions --markdown`; a test proves that it is current -->

Every corruption that comes with merbench, by what it damages. `[[corruptions]]` in a [track file](track-format.md)
declares one, its parameters as further keys: a value, or a distribution that is drawn for every sample. How to apply
them, and to add one, stands in [Damage](corruption.md).

`severity`, 1 to 5, stands for the parameters of a published table. Corruptions of sound and pictures take a window of
time: `start` and `end` as fractions of the clip, or `start_s` and `end_s` in seconds. Sizes of ImageNet-C (sigma and
radius of blurs) are of pictures 224 pixels high: where a severity stands for them they are multiplied by height / 224;
explicit ones are pixels. From Python a parameter that names a noise bank is the sound drawn from it, an `Audio`.
"""


def corruptions_table(corruptions: Sequence[Corruption]) -> ReportTable:
    """Return a line per corruption: name, what it damages, parameters, severities, what it does."""
    rows = [
        (item.name, item.modality, _parameters(item), ", ".join(item.severities), item.summary) for item in corruptions
    ]
    return ReportTable("", ("corruption", "of", "parameters", "severity sets", "what it does"), rows)


def corruptions_page() -> str:
    """Return a Markdown page of the corruptions that come with merbench."""
    shipped = [CORRUPTIONS[name] for name in CORRUPTIONS]
    shipped = [item for item in shipped if item.function.__module__.startswith("merbench.")]
    kinds = list(dict.fromkeys(item.modality for item in sorted(shipped, key=lambda item: _ORDER.index(item.modality))))
    return "\n".join([_PAGE, *(_section(kind, [item for item in shipped if item.modality == kind]) for kind in kinds)])


_ORDER = ("audio", "video", "text", "features", "labels")


def _parameters(corruption: Corruption) -> str:
    return ", ".join(
        name if known.default is None else f"{name}={_shown(known.default)}"
        for name, known in corruption.parameters.items()
    )


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _section(kind: str, corruptions: Sequence[Corruption]) -> str:
    return "\n\n".join([f"## {kind}", *map(_entry, corruptions)]) + "\n"


def _entry(corruption: Corruption) -> str:
    keys = {name: known for name, known in corruption.declarable.items() if name not in WINDOW}
    rows = [
        (f"`{name}`", known.allowed, _default(known, name), _severities(corruption, name))
        for name, known in keys.items()
    ]
    parts = [f"### `{corruption.name}`", _definition(corruption)]
    if rows:
        parts.append(markdown_of(("parameter", "value", "default", "at severities 1 to 5"), rows))
    return "\n\n".join(parts)


def _default(known: Parameter, name: str) -> str:
    if name == SEVERITY:
        return "none"
    return "must be given" if known.default is None else f"`{_shown(known.default)}`"


def _severities(corruption: Corruption, name: str) -> str:
    return ", ".join(_shown(value) for value in corruption.severities.get(name, ()))


def _definition(corruption: Corruption) -> str:
    """Return the text of a corruption's docstring, above its arguments, and where it comes from."""
    text = re.split(r"\n(?:Args|Raises|Returns):\n", inspect.getdoc(corruption.function) or corruption.summary)[0]
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    source = f"Source: {corruption.source}." if corruption.source else ""
    scope = "It sees all samples of a split at once." if corruption.scope == "split" else ""
    return "\n\n".join(part for part in (*paragraphs, scope, source) if part)
