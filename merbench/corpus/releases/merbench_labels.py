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
from collections.abc import Mapping
from dataclasses import replace

from merbench.corpus.cells import Cells, codes, number
from merbench.corpus.forms import label_archive
from merbench.corpus.importing import Known, Release
from merbench.corpus.sheets import Sheet

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

TRANSCRIPTS = Sheet(
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
) -> Sheet:
    """Return the sheet of the labels: `files` are the archive, whose released digest is given, and the CSV."""
    archive, table = files
    return Sheet(
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


SENTIMENT = {
    "cmu-mosi": (
        "opinions about films in English, one speaker per video; sentiment from -3 to 3",
        f"{MOSI_SOURCE}; released labels and transcripts",
        "http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/",
        "09baab4d3004872de622d1b3879ef084d0f8e0bf1ef8d8807e954ae541a42d99",
    ),
    "cmu-mosei": (
        "opinions about many subjects in English, one speaker per video; sentiment from -3 to 3",
        "CMU-MOSEI (ACL 2018, P18-1208), sentiment from -3 to 3; released labels",
        "http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/",
        "57bb2f213aece35769253bcc1ddfcd6340658b78da17af2caa7a9408e717da8d",
    ),
    "ch-sims": (
        "clips of Chinese films and series; sentiment from -1 to 1",
        "CH-SIMS (ACL 2020, 2020.acl-main.343), sentiment from -1 to 1 (not CMU-MOSI's -3 to 3); released labels and "
        "transcripts. All its clips are in CH-SIMS v2 too, in the same splits",
        "https://github.com/thuiar/MMSA",
        "55b5708d2493c8a2653cb9e0a0a585320bfaf29f25eb26898e99441619c656b5",
    ),
    "ch-sims-v2": (
        "clips of Chinese films and series, more than CH-SIMS; sentiment from -1 to 1",
        "CH-SIMS v2 (arXiv:2209.02604), supervised part, sentiment from -1 to 1 (not CMU-MOSI's -3 to 3); released "
        "labels and transcripts. Contains all 2,281 clips of CH-SIMS with the same splits and values: the two are no "
        "independent sets",
        "https://github.com/thuiar/ch-sims-v2",
        "6611a787648198fae4d9588be32d75ac17b674b7e40b0f448812e16697989883",
    ),
}
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
            title=title,
            source=source,
            licence=TERMS,
            obtain=f"{REPOSITORY}; media: {media}",
            layouts=(
                (
                    _labels(sha256, "sentiment", number(missing=-10)),
                    CHINESE_TRANSCRIPTS if name.startswith("ch-") else TRANSCRIPTS,
                ),
            ),
            language="zh" if name.startswith("ch-") else "en",
            known=utterance,
            id_form=VIDEO_UTTERANCE,
        )
        for name, (title, source, media, sha256) in SENTIMENT.items()
    ),
)
