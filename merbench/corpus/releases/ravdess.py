"""Features of RAVDESS clips go in, the corpus `ravdess` comes out: eight acted emotions, folds of four actors each.

The file holds folds 1 to 4, 16 of the 24 actors. All samples are in one split, `all`.
"""

from merbench.corpus.cells import labels
from merbench.corpus.forms import arrays
from merbench.corpus.importing import Release, add_release
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import SPLIT

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""In the order of the codes in RAVDESS's file names, from 01."""

add_release(
    Release(
        name="ravdess",
        title="acted speech in English, eight emotions, 16 actors in four folds, with features of audio and face",
        source="RAVDESS (Livingstone and Russo 2018), folds 1 to 4 of six by actor; audio 88 numbers in the manner of "
        "eGeMAPS, face 8 numbers",
        licence="CC BY-NC-SA 4.0",
        obtain="the file ravdess_av_folds1-4.npz; media: https://zenodo.org/records/1188976",
        layouts=(
            (
                Sheet(
                    files=("ravdess_av_folds1-4.npz",),
                    samples={"actor": "speaker", "fold": "fold", "sentence": "transcript", "intensity": "intensity"},
                    targets=(Target("discrete", "label", labels(*EMOTIONS)),),
                    features={"audio": ("audio",), "face": ("face",)},
                    constant={SPLIT: "all"},
                    reader=arrays,
                    form="arrays name, actor, fold, sentence, intensity, label; matrices audio, face",
                ),
            ),
        ),
        language="en",
    )
)
