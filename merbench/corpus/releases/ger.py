"""The reference lists of the GPT-4V study of generalised emotion recognition: nineteen corpora `ger-…`.

The study (arXiv:2312.04293) asked a model for a ranked list of labels per picture or clip. Its repository contains, per
data set, `label.csv` (name, gt) with the references; the other files are stored answers, which are submissions and not
read. Twitter I has three lists of references, each a part of the next one: a picture is in the split of the first list
that names it. Labels are compared without case, so they are kept in lower case. Where names have folders in front, the
id of a sample is the base name, as in the stored answers, and the whole name is `media`. References that are numbers,
and sets whose labels have a sign, have a second column `polarity`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merbench.corpus.importing import Release
from merbench.corpus.release_cells import Cells, labels, mapped, number, sign
from merbench.corpus.release_tables import ReleaseTable

SETS: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "ger.toml").read_text(encoding="utf-8"))
"""What each contains, its labels, its digests, by its name after `ger-`."""

POSITIVE = ("amusement", "awe", "content", "contentment", "excitement")
NEGATIVE = ("anger", "disgust", "fear", "sad")
POLARITY = {**dict.fromkeys(POSITIVE, "positive"), **dict.fromkeys(NEGATIVE, "negative")}
"""Polarity of the emotions of artistic pictures."""


def _targets(names: list[str]) -> dict[str, Cells]:
    if not names:
        return {"sentiment": number().of("gt"), "polarity": sign("positive", "negative").of("gt")}
    targets = {"discrete": labels(*names).of("gt")}
    if set(names) <= set(POLARITY):
        targets["polarity"] = mapped({name: POLARITY[name] for name in names}).of("gt")
    return targets


def _sheets(name: str, known: Mapping[str, Any]) -> tuple[ReleaseTable, ...]:
    targets = _targets(known.get("labels", "").split())
    if "lists" in known:
        return tuple(
            ReleaseTable(
                files=(f"label_{part}.csv",),
                split=part.removeprefix("at_least_"),
                targets=targets,
                repeats=True,
                sha256=sha256,
            )
            for part, sha256 in known["lists"].items()
        )
    has_folders = name == "affectnet"
    media = {"name": "media"} if has_folders else {}
    return (
        ReleaseTable(
            files=("label.csv",),
            id_is_path=has_folders,
            split="test",
            samples=media,
            targets=targets,
            sha256=known.get("sha256", ""),
        ),
    )


RELEASES = tuple(
    Release(
        name=f"ger-{name}",
        title=f"{known['title']}, as the GPT-4V study of generalised emotion recognition tests on it",
        source="GPT-4V with emotion (arXiv:2312.04293), reference list",
        licence="none stated for the list; the data set's own terms hold for its media",
        obtain="https://github.com/zeroQiaoba/gpt4v-emotion",
        layouts=(_sheets(name, known),),
    )
    for name, known in SETS.items()
)
