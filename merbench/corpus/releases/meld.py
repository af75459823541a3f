"""The labels and transcripts of MELD go in, the corpus `meld` comes out: seven emotions of utterances in dialogues."""

from __future__ import annotations

import re

from merbench.corpus.cells import codes
from merbench.corpus.importing import Known, Release, add_release
from merbench.corpus.releases.merbench_labels import REPOSITORY, TRANSCRIPTS, discrete

UTTERANCE = re.compile(r"(?P<dialogue>(train|val|test)_dia\d+)_utt(?P<position>\d+)")
EMOTIONS = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
"""In the order of the released codes."""


def utterance(name: str) -> Known | None:
    """Return dialogue and place in it of the utterance `train_dia0_utt0`; None for another form."""
    found = UTTERANCE.fullmatch(name)
    return {"dialogue": found["dialogue"], "position": int(found["position"])} if found else None


add_release(
    Release(
        name="meld",
        title="dialogues of the series Friends in English, seven emotions",
        source="MELD (arXiv:1810.02508), released labels and transcripts",
        licence="GPL-3.0 as its repository states; labels as prepared by MERTools (Apache-2.0, non-commercial)",
        obtain=f"{REPOSITORY}; media: https://affective-meld.github.io",
        layouts=(
            (
                discrete("f7c752e2fbeed33015ca8a34b4f3a70b0f7430356593a049c930c555b3ba5765", codes(*EMOTIONS)),
                TRANSCRIPTS,
            ),
        ),
        language="en",
        known=utterance,
        id_form="<train, val or test>_dia<number>_utt<number>",
    )
)
