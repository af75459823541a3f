"""Annotations of the ABAW challenges go in: frames of videos with valence and arousal, expression, action units.

A frame is a sample, with the id `<recording>/<frame>.jpg`: column `recording` is the video, `position` the frame. The
marks for no annotation (-5 of valence and arousal, -1 of expression and action units) are no references.
"""

from __future__ import annotations

from merbench.corpus.cells import Cells, integer, mapped, number
from merbench.corpus.forms import recordings
from merbench.corpus.importing import Known, Release, add_release
from merbench.corpus.releases.plain import plain
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import SPLIT

EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
"""In the order of the released codes."""
ACTION_UNITS = tuple(f"AU{unit}" for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))

AFFECT = {"valence": number(none=-5), "arousal": number(none=-5)}
EXPRESSION: dict[str, Cells] = {
    "expression": mapped({"-1": None, **{str(code): name for code, name in enumerate(EXPRESSIONS)}})
}
UNITS = {unit: integer(none=-1) for unit in ACTION_UNITS}


def frame(name: str) -> Known | None:
    """Return recording and number of the frame `<recording>/<number>.jpg`; None for another form."""
    recording, _, picture = name.rpartition("/")
    number = picture.partition(".")[0]
    return {"recording": recording, "position": int(number)} if recording and number.isdecimal() else None


def _targets(cells: dict[str, Cells]) -> tuple[Target, ...]:
    return tuple(Target(name, name, how) for name, how in cells.items())


def _folders(cells: dict[str, Cells]) -> tuple[Sheet, ...]:
    """Return the sheets of folders with one text file per video, and of the list of frames to be predicted."""
    parts = [
        Sheet(
            (folder, folder.lower()),
            id="image",
            targets=_targets(cells),
            constant={SPLIT: split},
            needed=split == "dev",
            without=f"no split '{split}'",
            reader=recordings(tuple(cells)),
            form=f"<video>.txt each, a header and a line with {', '.join(cells)} per frame",
        )
        for folder, split in (("Train_Set", "train"), ("Validation_Set", "dev"))
    ]
    return (*parts, TEST_FRAMES)


def _files(cells: dict[str, Cells]) -> tuple[Sheet, ...]:
    """Return the sheets of one text file per part, and of the list of frames to be predicted."""
    parts = [
        Sheet(
            (file,),
            id="image",
            targets=_targets(cells),
            constant={SPLIT: split},
            needed=split == "dev",
            without=f"no split '{split}'",
        )
        for file, split in (("training_set_annotations.txt", "train"), ("validation_set_annotations.txt", "dev"))
    ]
    return (*parts, TEST_FRAMES)


TEST_FRAMES = Sheet(("test_frames.csv",), id="image", constant={SPLIT: "test"}, needed=False, without="no split 'test'")


def _add(name: str, title: str, source: str, obtain: str, sheets: tuple[Sheet, ...], cells: dict[str, Cells]) -> None:
    add_release(
        Release(
            name=name,
            title=title,
            source=f"{source}, released annotations; the test split's are withheld",
            licence="end-user licence agreement of Aff-Wild2: academic research, no redistribution",
            obtain=obtain,
            layouts=(sheets, plain(cells)),
            known=frame,
            id_form="<video>/<number>.jpg",
        )
    )


_add(
    "abaw4-mtl",
    "frames of videos from the web: valence, arousal, eight expressions, twelve action units",
    "ABAW 2022, multi-task (s-Aff-Wild2, arXiv:2207.01138)",
    "https://ibug.doc.ic.ac.uk/resources/eccv-2023-4th-abaw/",
    _files({**AFFECT, **EXPRESSION, **UNITS}),
    {**AFFECT, **EXPRESSION, **UNITS},
)
_add(
    "abaw6-va",
    "frames of videos from the web: valence and arousal",
    "ABAW 2024, sixth challenge (Aff-Wild2)",
    "https://affective-behavior-analysis-in-the-wild.github.io/6th/",
    _folders(AFFECT),
    AFFECT,
)
_add(
    "abaw6-expr",
    "frames of videos from the web: eight expressions",
    "ABAW 2024, sixth challenge (Aff-Wild2)",
    "https://affective-behavior-analysis-in-the-wild.github.io/6th/",
    _folders(EXPRESSION),
    EXPRESSION,
)
