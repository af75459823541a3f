"""A corpus's labels in the form that the MERBench study released go in; declares the sheets that read them.

MERBench (arXiv:2401.03429) brought several corpora into one form: `label.npz`, a pickled dictionary per split of sample
id -> `{"emo": code, "val": number}`, and a CSV of transcripts in Chinese and English. A corpus has codes of emotions
or a continuous sentiment; the other of the two is a filler (emotion 0, valence -10) and is not read. The same labels as
a CSV (`labels.csv`: name, split, and the target) are read too, and give the same corpus.
"""

from __future__ import annotations

from collections.abc import Mapping

from merbench.corpus.cells import Cells, number
from merbench.corpus.forms import label_archive
from merbench.corpus.sheets import Reader, Sheet, Target
from merbench.corpus.tables import SPLIT

FILES = ("label.npz", "labels.csv")
NO_VALUE = -10
PARTS = {"train_corpus": "train", "val_corpus": "dev", "test_corpus": "test"}
TERMS = (
    "research use, under the terms of the corpus itself; labels as prepared by MERTools (Apache-2.0, non-commercial)"
)
REPOSITORY = "https://github.com/zeroQiaoba/MERTools (MERBench)"

TRANSCRIPTS = Sheet(
    files=("transcription-engchi-polish.csv", "transcripts.csv"),
    samples={"chinese": "transcript_chinese", "english": "transcript"},
    needed=False,
    without="no transcripts",
)
"""Transcripts of a corpus in English, with their translation."""

CHINESE_TRANSCRIPTS = Sheet(
    files=TRANSCRIPTS.files,
    samples={"chinese": "transcript", "english": "transcript_english"},
    needed=False,
    without=TRANSCRIPTS.without,
)
"""Transcripts of a corpus in Chinese, with their translation."""


def discrete(sha256: str, labels: Cells, files: tuple[str, str] = FILES, parts: Mapping[str, str] = PARTS) -> Sheet:
    """Return the sheet of a corpus with codes of emotions.

    Args:
        sha256: digest of the archive as released.
        labels: what the codes stand for.
        files: names of the archive, and of the CSV that may stand for it.
        parts: name of a dictionary -> split.
    """
    return _labels(
        sha256, Target("discrete", "discrete", labels), files, parts, label_archive(parts, emotion="discrete")
    )


def sentiment(sha256: str) -> Sheet:
    """Return the sheet of a corpus with a continuous sentiment; `sha256` is the digest of the archive as released."""
    reader = label_archive(PARTS, valence="sentiment")
    return _labels(sha256, Target("sentiment", "sentiment", number(none=NO_VALUE)), FILES, PARTS, reader)


def _labels(sha256: str, target: Target, files: tuple[str, str], parts: Mapping[str, str], reader: Reader) -> Sheet:
    archive, table = files
    return Sheet(
        files=(archive, f"release/{archive}", table),
        samples={SPLIT: SPLIT},
        targets=(target,),
        reader=reader,
        form=f"dictionaries {', '.join(parts)}, each of sample id -> {{'emo': code, 'val': number}}",
        released={archive: sha256},
    )
