"""EMO-DB, which is released as clips alone: their names say who speaks what, and how.

A name such as `03a01Fa.wav` has, in this order, two digits of the speaker, the code of the sentence, the letter of the
emotion (the first of its German name) and, where there are several versions, the letter of the version. The clips of
the four emotions that most publications take are the split `four`, those of the other three the split `other`.
"""

from __future__ import annotations

import re
from pathlib import Path

from merbench.corpus.contents import Origin
from merbench.corpus.declaration import MEDIA, SPLIT
from merbench.corpus.delimited import Delimited
from merbench.corpus.importing import Release
from merbench.corpus.release_cells import TEXT
from merbench.corpus.release_tables import ReleaseTable
from merbench.errors import Problem, counted, printable

FOUR = {"W": "angry", "F": "happy", "N": "neutral", "T": "sad"}
OTHER = {"L": "bored", "E": "disgust", "A": "fearful"}
NAME = re.compile(r"(\d\d)([ab]\d\d)([WFNTLEA])[a-z]?\.wav", re.ASCII)


def _clips(clip: Path, problems: list[Problem]) -> Delimited | None:
    """Read the names of all clips in the folder of one of them."""
    names = sorted(path.name for path in clip.parent.glob("[!.]*.wav"))
    matches = [(name, match) for name in names if (match := NAME.fullmatch(name))]
    if len(matches) < len(names):
        odd = [f"'{printable(name)}'" for name in names if not NAME.fullmatch(name)]
        form = "the form is 03a01Fa.wav: speaker, sentence, emotion, version"
        problems.append(Problem("E612", f"{counted('clips whose names are of another form', odd, len(names))}; {form}"))
        return None
    rows = []
    for name, match in matches:
        speaker, sentence, letter = match.groups()
        split = "four" if letter in FOUR else "other"
        rows.append((name.removesuffix(".wav"), name, split, speaker, sentence, (FOUR | OTHER)[letter]))
    return Delimited(Origin("the names of the clips"), ("name", MEDIA, SPLIT, "speaker", "sentence", "emotion"), rows)


RELEASES = (
    Release(
        name="emodb",
        title="acted speech in German, seven emotions, ten actors who say the same ten sentences in each",
        source="EMO-DB (Burkhardt et al. 2005); split four: angry, happy, neutral, sad, split other: bored, disgust, "
        "fearful",
        licence="CC0 1.0, as the copy of audEERING states (github.com/audeering/emodb)",
        obtain="http://emodb.bilderbar.info/download/download.zip",
        layouts=(
            (
                ReleaseTable(
                    files=("wav/*.wav", "*.wav"),
                    samples={name: name for name in (MEDIA, SPLIT, "speaker", "sentence")},
                    targets={"discrete": TEXT.of("emotion")},
                    reader=_clips,
                    form="clips named as 03a01Fa.wav: speaker, sentence, emotion (W, F, N, T, L, E, A), version",
                ),
            ),
        ),
        language="de",
    ),
)
