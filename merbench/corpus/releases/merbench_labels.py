"""Corpora in the form of the MERBench study: MELD, IEMOCAP, CMU-MOSI, CMU-MOSEI, CH-SIMS and CH-SIMS v2.

MERBench (arXiv:2401.03429) brought several corpora into one form: `label.npz`, a pickled dictionary per split of sample
id -> `{"emo": code, "val": number}`, and a CSV of transcripts in Chinese and English. A corpus has codes of emotions
or a continuous sentiment; the other of the two is a filler (emotion 0, valence -10) and is not read. The same labels as
a CSV (`labels.csv`: name, split, and the target) are read too, and give the same corpus.

Utterances have columns `dialogue`, the dialogue or video, and `position`, their number in it. All samples of IEMOCAP
are in one split, `all`: five sessions of two speakers each are the folds of a cross-validation. With four classes,
excited counts as happy; with six, excited and frustrated are classes of their own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from merbench.corpus.importing import Known, Release
from merbench.corpus.release_cells import Cells, codes, number
from merbench.corpus.release_readers import label_archive
from merbench.corpus.release_tables import ReleaseTable

REPOSITORY = "https://github.com/zeroQiaoba/MERTools (MERBench)"
TERMS = (
    "research use, under the terms of the corpus itself; labels as prepared by MERTools (Apache-2.0, non-commercial)"
)
PARTS = {"train_corpus": "train", "val_corpus": "dev", "test_corpus": "test"}
MELD = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
IEMOCAP = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
"""Emotions in the order of the released codes."""
MOSI_SOURCE = "CMU-MOSI (arXiv:1606.06259), sentiment from -3 to 3"
VIDEO_UTTERANCE = "<video>_<number>"

TRANSCRIPTS = ReleaseTable(
    files=("transcription-engchi-polish.csv", "transcripts.csv"),
    samples={"chinese": "transcript_chinese", "english": "transcript"},
    without="no transcripts",
)
"""Transcripts of a corpus in English, with their translation."""
CHINESE_TRANSCRIPTS = replace(TRANSCRIPTS, samples={"chinese": "transcript", "english": "transcript_english"})


def utterance(name: str) -> Known | None:
    """Return video and number of the utterance `<video>_<number>`; None for another form."""
    video, _, number = name.rpartition("_")
    return {"dialogue": video, "position": int(number)} if video and number.isdecimal() else None


def _meld_utterance(name: str) -> Known | None:
    match = re.fullmatch(r"((?:train|val|test)_dia\d+)_utt(\d+)", name)
    return {"dialogue": match[1], "position": int(match[2])} if match else None


def _iemocap_turn(name: str) -> Known | None:
    match = re.fullmatch(r"((Ses0([1-5]))[FM]_\w+)_([FM])\d+", name)
    return {"dialogue": match[1], "fold": int(match[3]), "speaker": f"{match[2]}{match[4]}"} if match else None


def _labels(
    sha256: str,
    target: str,
    cells: Cells,
    files: tuple[str, str] = ("label.npz", "labels.csv"),
    parts: Mapping[str, str] = PARTS,
) -> ReleaseTable:
    """Return the sheet of the labels: `files` are the archive, whose released digest is given, and the CSV."""
    archive, table = files
    return ReleaseTable(
        files=(archive, f"release/{archive}", table),
        samples={"split": "split"},
        targets={target: cells},
        reader=label_archive(parts, **{"emotion" if target == "discrete" else "valence": target}),
        form=f"dictionaries {', '.join(parts)}, each of sample id -> {{'emo': code, 'val': number}}",
        sha256=sha256,
    )


def _iemocap(n: int, sha256: str) -> Release:
    files = (f"label_{n}way.npz", f"labels-{n}way.csv")
    labels = _labels(sha256, "discrete", codes(*IEMOCAP[:n]), files, {"whole_corpus": "all"})
    return Release(
        name=f"iemocap-{n}",
        title=f"acted and improvised dialogues in English, {n} emotions, five sessions as folds",
        source=f"IEMOCAP (Busso et al. 2008), released labels of {n} emotions",
        licence="release form of IEMOCAP: research use; labels as prepared by MERTools (Apache-2.0, non-commercial)",
        obtain=f"{REPOSITORY}; media: https://sail.usc.edu/iemocap/",
        layouts=((labels, TRANSCRIPTS),),
        language="en",
        known=_iemocap_turn,
        id_form="Ses0<1 to 5><F or M>_<dialogue>_<F or M><number>",
    )


_TEXTS = Path(__file__).parent / "merbench_labels.toml"
SENTIMENT: dict[str, dict[str, str]] = tomllib.loads(_TEXTS.read_text(encoding="utf-8"))
"""Name -> title, source, where the media are, digest of the labels; -10 marks a missing sentiment."""

RELEASES = (
    Release(
        name="meld",
        title="dialogues of the series Friends in English, seven emotions",
        source="MELD (arXiv:1810.02508), released labels and transcripts",
        licence="GPL-3.0 as its repository states; labels as prepared by MERTools (Apache-2.0, non-commercial)",
        obtain=f"{REPOSITORY}; media: https://affective-meld.github.io",
        layouts=(
            (
                _labels("f7c752e2fbeed33015ca8a34b4f3a70b0f7430356593a049c930c555b3ba5765", "discrete", codes(*MELD)),
                TRANSCRIPTS,
                ReleaseTable(files=("dialogues.csv",), samples={"speaker": "speaker"}, without="no speakers"),
            ),
        ),
        language="en",
        known=_meld_utterance,
        id_form="<train, val or test>_dia<number>_utt<number>",
    ),
    _iemocap(4, "0271d837a406f62cd9839bc823391ada6232975e9c3202ba9e078233bc06d86d"),
    _iemocap(6, "196fcb41c37d9a663d26e409cf7fb54c3de1b188c2f154f1f6a25686b07a01d4"),
    *(
        Release(
            name=name,
            title=known["title"],
            source=known["source"],
            licence=TERMS,
            obtain=f"{REPOSITORY}; media: {known['media']}",
            layouts=(
                (
                    _labels(known["sha256"], "sentiment", number(missing=-10)),
                    CHINESE_TRANSCRIPTS if name.startswith("ch-") else TRANSCRIPTS,
                ),
            ),
            language="zh" if name.startswith("ch-") else "en",
            known=utterance,
            id_form=VIDEO_UTTERANCE,
        )
        for name, known in SENTIMENT.items()
    ),
)
