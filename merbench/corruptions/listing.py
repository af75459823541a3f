"""The table and the reference page of the registered corruptions."""

from __future__ import annotations

from collections.abc import Sequence

from merbench.corruptions.declaration import CORRUPTIONS, SEVERITY, WINDOW, Corruption
from merbench.parameters import definition, meanings, parameter_list, printed
from merbench.report import ReportTable, markdown_of

_PAGE = """\
# Corruptions

<!-- made by `merbench corruptions --markdown`; a test proves that it is current -->

Every corruption that comes with merbench, by what it corrupts. `[[corruptions]]` in a [track file](track-format.md)
declares one, its parameters as further keys: a value, or a distribution that is sampled for every sample. See
[Corruption](corruption.md) for how to apply them and how to add one.

`severity`, 1 to 5, sets the parameters of a published table. Corruptions of sound and pictures take a time window:
`start` and `end` as fractions of the clip, or `start_s` and `end_s` in seconds. Sizes of ImageNet-C (sigma and radius
of blurs) are for pictures 224 pixels high: if a severity sets them they are multiplied by height / 224; explicit ones
are pixels. In Python a parameter that names a noise bank is the sound taken from it, an `Audio`.
"""


def corruptions_table(corruptions: Sequence[Corruption]) -> ReportTable:
    """Return a line per corruption: name, what it corrupts, parameters, severities, what it does."""
    rows = [
        (item.name, item.modality, parameter_list(item.parameters), ", ".join(item.severities), item.summary)
        for item in corruptions
    ]
    return ReportTable("", ("corruption", "of", "parameters", "severity sets", "what it does"), rows)


def corruptions_page() -> str:
    """Return a Markdown page of the corruptions that come with merbench."""
    shipped = [CORRUPTIONS[name] for name in CORRUPTIONS]
    shipped = [item for item in shipped if item.function.__module__.startswith("merbench.")]
    kinds = list(dict.fromkeys(item.modality for item in sorted(shipped, key=lambda item: _ORDER.index(item.modality))))
    return "\n".join([_PAGE, *(_section(kind, [item for item in shipped if item.modality == kind]) for kind in kinds)])


_ORDER = ("audio", "video", "text", "features", "labels")


def _section(kind: str, corruptions: Sequence[Corruption]) -> str:
    return "\n\n".join([f"## {kind}", *map(_entry, corruptions)]) + "\n"


def _entry(corruption: Corruption) -> str:
    texts = meanings(corruption.function)
    rows = [
        (
            f"`{name}`",
            known.allowed,
            "none" if name == SEVERITY else known.default_text,
            ", ".join(map(printed, corruption.severities.get(name, ()))),
            texts.get(name, "") if name != SEVERITY else "",
        )
        for name, known in corruption.declarable.items()
        if name not in WINDOW
    ]
    parts = [f"### `{corruption.name}`", *definition(corruption.function)]
    parts += ["It receives all samples of a split at once."] if corruption.scope == "split" else []
    parts += [f"Source: {corruption.source}."] if corruption.source else []
    header = ("parameter", "value", "default", "at severities 1 to 5", "meaning")
    return "\n\n".join([*parts, *([markdown_of(header, rows)] if rows else [])])
