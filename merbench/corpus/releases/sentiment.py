"""The labels of four corpora of sentiment go in: `cmu-mosi`, `cmu-mosei`, `ch-sims`, `ch-sims-v2`.

Each is read from the form that MERBench released (see `merbench_labels`). Utterances are cut from videos: `dialogue` is
the video, `position` the number of the utterance in it. `cmu-mosi-trimodal` is CMU-MOSI with features of all three
modalities; they were fitted on a training part of their own, `split_feature`, which is the split of that corpus: on any
other split a model would be tested on utterances that its features have seen.
"""

from __future__ import annotations

from merbench.corpus.cells import number
from merbench.corpus.forms import arrays
from merbench.corpus.importing import Known, Release, add_release
from merbench.corpus.releases.merbench_labels import CHINESE_TRANSCRIPTS, REPOSITORY, TERMS, TRANSCRIPTS, sentiment
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import SPLIT


def utterance(name: str) -> Known | None:
    """Return video and number of the utterance `<video>_<number>`; None for another form."""
    video, _, number = name.rpartition("_")
    return {"dialogue": video, "position": int(number)} if video and number.isdecimal() else None


MOSI_SOURCE = "CMU-MOSI (arXiv:1606.06259), sentiment from -3 to 3"

add_release(
    Release(
        name="cmu-mosi",
        title="opinions about films in English, one speaker a video; sentiment from -3 to 3",
        source=f"{MOSI_SOURCE}; released labels and transcripts",
        licence=TERMS,
        obtain=f"{REPOSITORY}; media: http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/",
        layouts=((sentiment("09baab4d3004872de622d1b3879ef084d0f8e0bf1ef8d8807e954ae541a42d99"), TRANSCRIPTS),),
        language="en",
        known=utterance,
        id_form="<video>_<number>",
    )
)
add_release(
    Release(
        name="cmu-mosei",
        title="opinions about many subjects in English, one speaker a video; sentiment from -3 to 3",
        source="CMU-MOSEI (ACL 2018, P18-1208), sentiment from -3 to 3; released labels",
        licence=TERMS,
        obtain=f"{REPOSITORY}; media: http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/",
        layouts=((sentiment("57bb2f213aece35769253bcc1ddfcd6340658b78da17af2caa7a9408e717da8d"), TRANSCRIPTS),),
        language="en",
        known=utterance,
        id_form="<video>_<number>",
    )
)
add_release(
    Release(
        name="ch-sims",
        title="clips of Chinese films and series; sentiment from -1 to 1",
        source="CH-SIMS (ACL 2020, 2020.acl-main.343), sentiment from -1 to 1 (not CMU-MOSI's -3 to 3); released "
        "labels and transcripts. All its clips are in CH-SIMS v2 too, in the same splits",
        licence=TERMS,
        obtain=f"{REPOSITORY}; media: https://github.com/thuiar/MMSA",
        layouts=((sentiment("55b5708d2493c8a2653cb9e0a0a585320bfaf29f25eb26898e99441619c656b5"), CHINESE_TRANSCRIPTS),),
        language="zh",
        known=utterance,
        id_form="<video>_<number>",
    )
)
add_release(
    Release(
        name="ch-sims-v2",
        title="clips of Chinese films and series, more than CH-SIMS; sentiment from -1 to 1",
        source="CH-SIMS v2 (arXiv:2209.02604), supervised part, sentiment from -1 to 1 (not CMU-MOSI's -3 to 3); "
        "released labels and transcripts. Contains all 2,281 clips of CH-SIMS with the same splits and values: the two "
        "are no independent sets",
        licence=TERMS,
        obtain=f"{REPOSITORY}; media: https://github.com/thuiar/ch-sims-v2",
        layouts=((sentiment("6611a787648198fae4d9588be32d75ac17b674b7e40b0f448812e16697989883"), CHINESE_TRANSCRIPTS),),
        language="zh",
        known=utterance,
        id_form="<video>_<number>",
    )
)
add_release(
    Release(
        name="cmu-mosi-trimodal",
        title="CMU-MOSI with utterance-level features of text, audio and video, in the split they were fitted for",
        source=f"{MOSI_SOURCE}; contextual utterance-level features, fitted on the training part of this split and "
        "on no other",
        licence="features MIT; CMU-MOSI: research use",
        obtain="the files mosi_trimodal.npz and mosi_meta.csv",
        layouts=(
            (
                Sheet(
                    files=("mosi_meta.csv",),
                    id="id",
                    samples={"split_feature": SPLIT, "text_eng": "transcript", "text_chi": "transcript_chinese"},
                    targets=(Target("sentiment", "sentiment", number()),),
                ),
                Sheet(
                    files=("mosi_trimodal.npz",),
                    id="id",
                    features={name: (name,) for name in ("text", "audio", "video")},
                    reader=arrays,
                    form="an array of ids and a matrix per modality",
                ),
            ),
        ),
        language="en",
        known=utterance,
        id_form="<video>_<number>",
    )
)
