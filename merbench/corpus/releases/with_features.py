"""Corpora released with features: CREMA-D, RAVDESS, and CMU-MOSI with features of all three modalities.

The first two are acted speech; all their samples are in one split, `all`. In CREMA-D, the number of people who heard,
saw, or heard and saw a clip and voted for each of six emotions is a feature of the clip, one for each of the three
conditions; the reference is the emotion that the actor was asked for. `crema-d-votes` is the same clips with the votes
of those who heard and saw them as references, and without them as a feature. The mean strengths of votes (`*_level_*`)
are not read. The features of CMU-MOSI were fitted on a training part of their own, `split_feature`, which is the split
of that corpus: on any other split a model would be tested on utterances that its features have seen.
`cmu-mosi-polarity` is the same utterances with two classes as references, negative and non-negative.
"""

from merbench.corpus.importing import Release
from merbench.corpus.release_cells import labels, number, sign
from merbench.corpus.release_readers import arrays
from merbench.corpus.release_tables import ReleaseTable
from merbench.corpus.releases.merbench_labels import MOSI_SOURCE, VIDEO_UTTERANCE, utterance

CREMA_D = ("angry", "disgust", "fear", "happy", "neutral", "sad")
"""The emotions, in the order of the letters ADFHNS of the columns of votes."""
RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""In the order of the codes in RAVDESS's file names, from 01."""
ABOUT_A_CLIP = {"actor": "speaker", "fold": "fold", "sentence": "transcript", "intensity": "intensity"}
NOT_NEGATIVE = sign("non-negative", "negative", zero="non-negative")
CREMA_D_LICENCE = "Open Database License 1.0"
CREMA_D_FILE = "the file cremad_votes.csv; media: https://github.com/CheyneyComputerScience/CREMA-D"


def _votes(condition: str) -> tuple[str, ...]:
    """Return the columns of votes of one condition, in the order of the emotions."""
    return tuple(f"{condition}_votes_{letter}" for letter in "ADFHNS")


RELEASES = (
    Release(
        name="crema-d",
        title="acted speech in English, six emotions, 72 actors in four folds, with votes of people as features",
        source="CREMA-D (Cao et al. 2014), 72 actors in four folds; features are counts of votes for "
        f"{', '.join(CREMA_D)}",
        licence=CREMA_D_LICENCE,
        obtain=CREMA_D_FILE,
        layouts=(
            (
                ReleaseTable(
                    files=("cremad_votes.csv",),
                    id="clip",
                    split="all",
                    samples=ABOUT_A_CLIP,
                    targets={"discrete": labels(*CREMA_D).of("emotion")},
                    features={f"{condition}-votes": _votes(condition) for condition in ("voice", "face", "av")},
                ),
            ),
        ),
        language="en",
    ),
    Release(
        name="crema-d-votes",
        title="the clips of CREMA-D with the votes of people who heard and saw them as references",
        source="CREMA-D (Cao et al. 2014), 72 actors in four folds; features are counts of votes of people who only "
        f"heard, or only saw, a clip for {', '.join(CREMA_D)}",
        licence=CREMA_D_LICENCE,
        obtain=CREMA_D_FILE,
        layouts=(
            (
                ReleaseTable(
                    files=("cremad_votes.csv",),
                    id="clip",
                    split="all",
                    samples={**ABOUT_A_CLIP, "emotion": "intended"},
                    targets={
                        f"emotion_{label}": number().of(column)
                        for label, column in zip(CREMA_D, _votes("av"), strict=True)
                    },
                    features={f"{condition}-votes": _votes(condition) for condition in ("voice", "face")},
                ),
            ),
        ),
        language="en",
    ),
    Release(
        name="ravdess",
        title="acted speech in English, eight emotions, 16 actors in four folds, with features of audio and face",
        source="RAVDESS (Livingstone and Russo 2018), folds 1 to 4 of six by actor; audio 88 numbers like "
        "eGeMAPS, face 8 numbers",
        licence="CC BY-NC-SA 4.0",
        obtain="the file ravdess_av_folds1-4.npz; media: https://zenodo.org/records/1188976",
        layouts=(
            (
                ReleaseTable(
                    files=("ravdess_av_folds1-4.npz",),
                    split="all",
                    samples=ABOUT_A_CLIP,
                    targets={"discrete": labels(*RAVDESS).of("label")},
                    features={"audio": ("audio",), "face": ("face",)},
                    reader=arrays,
                    form="arrays name, actor, fold, sentence, intensity, label; matrices audio, face",
                ),
            ),
        ),
        language="en",
    ),
    *(
        Release(
            name=f"cmu-mosi-{name}",
            title=f"CMU-MOSI with utterance-level features of text, audio and video{what}, in the split they were "
            "fitted for",
            source=f"{MOSI_SOURCE}; contextual utterance-level features, fitted on the training part of this split and "
            "on no other",
            licence="features MIT; CMU-MOSI: research use",
            obtain="the files mosi_trimodal.npz and mosi_meta.csv",
            layouts=(
                (
                    ReleaseTable(
                        files=("mosi_meta.csv",),
                        id="id",
                        samples={"split_feature": "split", "text_eng": "transcript", "text_chi": "transcript_chinese"},
                        targets=targets,
                    ),
                    ReleaseTable(
                        files=("mosi_trimodal.npz",),
                        id="id",
                        features={modality: (modality,) for modality in ("text", "audio", "video")},
                        reader=arrays,
                        form="an array of ids and a matrix per modality",
                    ),
                ),
            ),
            language="en",
            known=utterance,
            id_form=VIDEO_UTTERANCE,
        )
        for name, what, targets in (
            ("trimodal", "", {"sentiment": number()}),
            ("polarity", ", negative or not", {"polarity": NOT_NEGATIVE.of("sentiment")}),
        )
    ),
)
