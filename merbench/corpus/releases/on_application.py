"""Corpora available on application, in forms that differ from copy to copy: what each is and what it consists of.

Owners of the data write two CSV files: `samples.csv` has `sample_id`, `split`, and any other columns of the samples;
`reference.csv` has `sample_id` and one column per target, and lists the samples with a known reference. The released
files of ADD 2023 (`label.txt`) and of the ABAW challenges are read too. Class lists are those that papers print; labels
are kept in lower case. Those of MSP-IMPROV, the dimensions of Werewolf-XL and the classes of ADD 2023's attribution
were not read in a source.

A frame of ABAW is a sample with the id `<video>/<frame>.jpg`: column `recording` is the video, `position` the frame.
The marks for no annotation (-5 for valence and arousal, -1 for expression and action units) are not references.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from merbench.corpus.importing import Known, Release
from merbench.corpus.release_cells import TEXT, Cells, integer, labels, mapped, number, segments
from merbench.corpus.release_readers import recordings, spaced
from merbench.corpus.release_tables import ReleaseTable

WITHHELD = "the references of the test split are withheld"
AGREEMENT = "agreement with the authors: academic research, no redistribution"

Layout = tuple[ReleaseTable, ...]


def own_tables(targets: Mapping[str, Cells], *columns: str) -> Layout:
    """Return the sheets of `samples.csv`, with some columns that it must have, and `reference.csv`."""
    samples = {name: name for name in ("split", *columns)}
    return (
        ReleaseTable(files=("samples.csv",), id="sample_id", samples=samples, rest=True),
        ReleaseTable(files=("reference.csv",), id="sample_id", targets=targets, without=WITHHELD),
    )


def _label_file(folder: str, target: str, cells: Cells, without: str = "", **constant: str) -> ReleaseTable:
    """Return the sheet of a `label.txt`."""
    return ReleaseTable(
        files=(f"{folder}label.txt",),
        id="utterance",
        split="test",
        constant=constant,
        targets={target: cells.of("label")},
        without=without,
        reader=spaced("utterance", "label"),
        form="an utterance and its label on every line, with a space between them",
    )


ADD2023 = "ADD 2023 (arXiv:2305.13774)"
ADD2023_SITE = "http://addchallenge.cn/add2023"
UNIBENCH, UNIBENCH_SITE = "MER-UniBench (arXiv:2501.16566)", "https://github.com/zeroQiaoba/AffectGPT"
SPOOF = labels("genuine", "fake")


def _of_clips(known: Mapping[str, str]) -> Layout:
    targets = dict.fromkeys(known.get("numbers", "").split(), number())
    if "labels" in known:
        targets = {"discrete": labels(*known["labels"].split())}
    return own_tables(targets, *known.get("columns", "").split())


_TEXTS = Path(__file__).parent / "on_application.toml"
CORPORA: dict[str, tuple[str, str, str, tuple[Layout, ...]]] = {
    **{
        name: (known["title"], known["source"], known["obtain"], (_of_clips(known),))
        for name, known in tomllib.loads(_TEXTS.read_text(encoding="utf-8")).items()
    },
    "mer-unibench-mer2024": (
        "labelled clips of MER 2024 as MER-UniBench tests on them, six emotions",
        f"{UNIBENCH}, MER2024",
        UNIBENCH_SITE,
        (own_tables({"discrete": labels("neutral", "angry", "happy", "sad", "worried", "surprise")}),),
    ),
    "mer-unibench-ov-merd-plus": (
        "clips with sets of words for the emotion",
        f"{UNIBENCH}, OV-MERD+",
        UNIBENCH_SITE,
        (own_tables({"openset": TEXT}),),
    ),
    "add2023-fgd": (
        "speech in Chinese, genuine or fake, in two rounds",
        f"{ADD2023}, track 1.2",
        ADD2023_SITE,
        (
            (
                _label_file("round1/", "score", SPOOF, round="R1"),
                _label_file("round2/", "score", SPOOF, "not all rounds", round="R2"),
            ),
            own_tables({"score": SPOOF}, "round"),
        ),
    ),
    "add2023-fgg": (
        "fake speech in Chinese and detectors: a sample is a pair of an utterance and a detector",
        f"{ADD2023}, track 1.1",
        ADD2023_SITE,
        (own_tables({"score": SPOOF}, "detector"),),
    ),
    "add2023-rl": (
        "speech in Chinese with fake segments: whether there are any, and where they are",
        f"{ADD2023}, track 2; segments as label-start-end, separated by spaces, in seconds; empty without any",
        ADD2023_SITE,
        (
            own_tables(
                {"discrete": SPOOF, "segments": segments("genuine", "fake", duration="duration_s")}, "duration_s"
            ),
        ),
    ),
    "add2023-ar": (
        "speech in Chinese: which generator made it, or whether an unknown one did",
        f"{ADD2023}, track 3",
        ADD2023_SITE,
        ((_label_file("", "discrete", TEXT),), own_tables({"discrete": TEXT})),
    ),
}
"""Name -> title, source, where to apply, layouts."""

EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
"""In the order of the released codes."""
ACTION_UNITS = tuple(f"AU{unit}" for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))

AFFECT = {"valence": number(missing=-5), "arousal": number(missing=-5)}
EXPRESSION = {"expression": mapped({"-1": None, **{str(code): name for code, name in enumerate(EXPRESSIONS)}})}
ABAW_TARGETS = {**AFFECT, **EXPRESSION, **dict.fromkeys(ACTION_UNITS, integer(missing=-1))}
ABAW6 = "ABAW 2024, sixth challenge (Aff-Wild2)"
ABAW6_SITE = "https://affective-behavior-analysis-in-the-wild.github.io/6th/"


def frame(name: str) -> Known | None:
    """Return recording and number of the frame `<recording>/<number>.jpg`; None for another form."""
    recording, _, picture = name.rpartition("/")
    number = picture.partition(".")[0]
    return {"recording": recording, "position": int(number)} if recording and number.isdecimal() else None


def _frames(targets: Mapping[str, Cells], train: str, dev: str) -> Layout:
    """Return the sheets of two parts, each a text file or a folder of one per video, and of the frames to predict."""
    lines = f"<video>.txt each, a header and a line with {', '.join(targets)} per frame"
    parts = [
        ReleaseTable(
            files=(part,) if part.endswith(".txt") else (part, part.lower()),
            id="image",
            split=split,
            targets=targets,
            without=without,
            reader=None if part.endswith(".txt") else recordings(tuple(targets)),
            form="" if part.endswith(".txt") else lines,
        )
        for part, split, without in ((train, "train", "no split 'train'"), (dev, "dev", ""))
    ]
    return (*parts, ReleaseTable(files=("test_frames.csv",), id="image", split="test", without="no split 'test'"))


ABAW = {
    "abaw4-mtl": (
        "frames of videos from the web: valence, arousal, eight expressions, twelve action units",
        "ABAW 2022, multi-task (s-Aff-Wild2, arXiv:2207.01138)",
        "https://ibug.doc.ic.ac.uk/resources/eccv-2023-4th-abaw/",
        (
            _frames(ABAW_TARGETS, "training_set_annotations.txt", "validation_set_annotations.txt"),
            own_tables(ABAW_TARGETS),
        ),
    ),
    "abaw6-va": (
        "frames of videos from the web: valence and arousal",
        ABAW6,
        ABAW6_SITE,
        (_frames(AFFECT, "Train_Set", "Validation_Set"), own_tables(AFFECT)),
    ),
    "abaw6-expr": (
        "frames of videos from the web: eight expressions",
        ABAW6,
        ABAW6_SITE,
        (_frames(EXPRESSION, "Train_Set", "Validation_Set"), own_tables(EXPRESSION)),
    ),
}
"""As above."""

RELEASES = (
    *(
        Release(name=name, title=title, source=source, licence=AGREEMENT, obtain=obtain, layouts=layouts)
        for name, (title, source, obtain, layouts) in CORPORA.items()
    ),
    *(
        Release(
            name=name,
            title=title,
            source=f"{source}, released annotations; the test split's are withheld",
            licence="end-user licence agreement of Aff-Wild2: academic research, no redistribution",
            obtain=obtain,
            layouts=layouts,
            known=frame,
            id_form="<video>/<number>.jpg",
        )
        for name, (title, source, obtain, layouts) in ABAW.items()
    ),
)
