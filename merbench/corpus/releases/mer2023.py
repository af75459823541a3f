"""The released files of MER 2023 go in, the corpus `mer2023` comes out.

The release (arXiv:2304.08981) holds `label-6way.npz`, four pickled dictionaries of sample id -> emotion and valence,
and `transcription-engchi-polish.csv`, the transcripts in Chinese and English. A valence of -10 stands for none: the
samples of test3 (MER-SEMI) have only an emotion. 217 transcripts are empty. Features were released as folders, one
per extractor, with one `<sample>.npy` each. The labels as a CSV (`labels.csv`: name, split, discrete, valence; an empty
valence for none) are read too, and give the same corpus.
"""

from merbench.corpus.cells import TEXT, number
from merbench.corpus.forms import label_archive
from merbench.corpus.importing import Release, add_release
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import SPLIT

NO_VALENCE = -10

PARTS = {f"{split}_corpus": split for split in ("train", "test1", "test2", "test3")}
LABELS = Sheet(
    files=("label-6way.npz", "release/label-6way.npz", "labels.csv"),
    samples={SPLIT: SPLIT},
    targets=(Target("discrete", "discrete", TEXT), Target("valence", "valence", number(none=NO_VALENCE))),
    reader=label_archive(PARTS, emotion="discrete", valence="valence"),
    form=f"dictionaries {', '.join(PARTS)}, each of sample id -> {{'emo': label, 'val': number}}",
    released={"label-6way.npz": "171a22252df46c3586f4a796ed6ab48ca63c019e822f8b5d016f032cd92ae01a"},
)
TRANSCRIPTS = Sheet(
    files=("transcription-engchi-polish.csv", "release/transcription-engchi-polish.csv"),
    samples={"chinese": "transcript", "english": "transcript_english"},
    released={"transcription-engchi-polish.csv": "8f773eab800f8f3080a7551f25b5bfb17e3e78cd39742414256f32901bb0be97"},
)

MER2023 = add_release(
    Release(
        name="mer2023",
        title="clips of Chinese films and series, six emotions and valence; the four parts of the MER 2023 challenge",
        source="MER 2023 (arXiv:2304.08981), released labels and transcripts",
        licence="end-user licence agreement of MER 2023: academic research, no redistribution",
        obtain="signed agreement to the organisers, https://github.com/zeroQiaoba/MERTools",
        layouts=((LABELS, TRANSCRIPTS),),
        language="zh",
    )
)
