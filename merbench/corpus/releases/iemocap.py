"""The labels of IEMOCAP go in, the corpora `iemocap-4` and `iemocap-6` come out: four or six emotions in dialogues.

All samples are in one split, `all`: five sessions of two speakers each are the folds of a cross-validation. An id such
as `Ses01F_impro01_M003` tells of session 1 (`fold`), the dialogue `Ses01F_impro01` and the male speaker of the session
(`speaker` Ses01M). In the four-class form the excited count as happy; in the six-class form they are a class of their
own, as are the frustrated.
"""

from __future__ import annotations

import re

from merbench.corpus.cells import codes
from merbench.corpus.importing import Known, Release, add_release
from merbench.corpus.releases.merbench_labels import REPOSITORY, TRANSCRIPTS, discrete

TURN = re.compile(r"(?P<dialogue>(?P<session>Ses0(?P<fold>[1-5]))[FM]_\w+)_(?P<speaker>[FM])\d+")
FOUR = ("happy", "sad", "neutral", "angry")
SIX = (*FOUR, "excited", "frustrated")
"""In the order of the released codes."""


def turn(name: str) -> Known | None:
    """Return fold, dialogue and speaker of a turn; None for an id of another form."""
    found = TURN.fullmatch(name)
    if found is None:
        return None
    return {
        "dialogue": found["dialogue"],
        "fold": int(found["fold"]),
        "speaker": f"{found['session']}{found['speaker']}",
    }


def _release(emotions: tuple[str, ...], sha256: str) -> Release:
    n = len(emotions)
    labels = discrete(sha256, codes(*emotions), (f"label_{n}way.npz", f"labels-{n}way.csv"), {"whole_corpus": "all"})
    return Release(
        name=f"iemocap-{n}",
        title=f"acted and improvised dialogues in English, {n} emotions, five sessions as folds",
        source=f"IEMOCAP (Busso et al. 2008), released labels of {n} emotions",
        licence="release form of IEMOCAP: research use; labels as prepared by MERTools (Apache-2.0, non-commercial)",
        obtain=f"{REPOSITORY}; media: https://sail.usc.edu/iemocap/",
        layouts=((labels, TRANSCRIPTS),),
        language="en",
        known=turn,
        id_form="Ses0<1 to 5><F or M>_<dialogue>_<F or M><number>",
    )


add_release(_release(FOUR, "0271d837a406f62cd9839bc823391ada6232975e9c3202ba9e078233bc06d86d"))
add_release(_release(SIX, "196fcb41c37d9a663d26e409cf7fb54c3de1b188c2f154f1f6a25686b07a01d4"))
