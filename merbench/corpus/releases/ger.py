"""The reference lists of the GPT-4V study of generalised emotion recognition go in: nineteen corpora `ger-…`.

The study (arXiv:2312.04293) asked a model for a ranked list of labels per picture or clip. Its repository holds, per
data set, `label.csv` (name, gt) with the references and other files with the stored answers; those are submissions, and
are not read. Labels are compared without case, so they are kept in lower case. Where names have folders in front, the
id of a sample is the base name, as the stored answers have it, and the whole name is `media`. References that are
numbers, and sets whose labels have a sign, have a second column `polarity`.
"""

from __future__ import annotations

from dataclasses import dataclass

from merbench.corpus.cells import labels, mapped, number, sign
from merbench.corpus.importing import Release, add_release
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import SPLIT

POLARITY = ("positive", "negative")
SIGNED = {
    **dict.fromkeys(("amusement", "awe", "content", "contentment", "excitement"), "positive"),
    **dict.fromkeys(("anger", "disgust", "fear", "sad"), "negative"),
}
"""Polarity of the eight emotions of artistic pictures."""


@dataclass(frozen=True)
class StudySet:
    """One data set of the study.

    Attributes:
        title: what it holds.
        labels: its labels; none says that references are numbers.
        base_name: whether names have folders in front that the stored answers lack.
        sha256: digest of `label.csv` as released, where it is known.
    """

    title: str
    labels: str = ""
    base_name: bool = False
    sha256: str = ""

    def targets(self) -> tuple[Target, ...]:
        """Return the targets that the released column `gt` becomes."""
        names = self.labels.split()
        if not names:
            return (Target("sentiment", "gt", number()), Target("polarity", "gt", sign(*POLARITY)))
        discrete = Target("discrete", "gt", labels(*names))
        if set(names) <= set(SIGNED):
            return (discrete, Target("polarity", "gt", mapped({name: SIGNED[name] for name in names})))
        return (discrete,)


SETS = {
    "ckplus": StudySet(
        "posed faces (CK+)",
        "anger contempt disgust fear happy sadness surprise",
        sha256="9087bd1ccb891ae8e7f980bbedb05ca8b66626a71ed84aac01d875bb6ea3cc29",
    ),
    "sfew2": StudySet("faces in films (SFEW 2.0)", "angry disgust fear happy neutral sad surprise"),
    "ferplus": StudySet("faces from the web (FER+)", "neutral happiness surprise sadness anger disgust fear contempt"),
    "rafdb": StudySet(
        "faces from the web (RAF-DB)",
        "surprise fear disgust happiness sadness anger neutral",
        sha256="fd8176dfeee1ea842eb7a4cf1a83b01475640304b5e37850609539c1b0dc0ef8",
    ),
    "affectnet": StudySet(
        "faces from the web (AffectNet)",
        "surprise contempt happiness anger neutral sadness fear disgust",
        base_name=True,
        sha256="e128e621fc80dd6411004bfec33f6e79423c48b839d3dabf21ecfc7d443fb6bf",
    ),
    "twitter1": StudySet("pictures of posts (Twitter I)", "positive negative"),
    "twitter2": StudySet("pictures of posts (Twitter II)", "positive negative"),
    "abstract": StudySet(
        "abstract paintings",
        "amusement anger awe content disgust excitement fear sad",
        sha256="00a1f225afb9d40e7d7c7f34ce9cb61fa27b156af96a3375227fd91611dee962",
    ),
    "artphoto": StudySet("artistic photographs", "amusement anger awe contentment disgust excitement fear sad"),
    "casme": StudySet("micro-expressions (CASME)", "tense disgust repression surprise"),
    "casme2": StudySet("micro-expressions (CASME II)", "happiness surprise disgust repression others"),
    "samm": StudySet("micro-expressions (SAMM)", "anger contempt happiness surprise other"),
    "dfew": StudySet(
        "clips of films (DFEW, fold 1)",
        "sad neutral angry fear surprise happy disgust",
        sha256="7ffd2e869027cd8aa9df1880e7dac1d94e1575939aa33fed0c11da31e45aaeb4",
    ),
    "ferv39k": StudySet("clips of films and shows (FERV39k)", "angry disgust fear happy neutral sad surprise"),
    "ravdess": StudySet("acted speech (RAVDESS)", "surprised neutral disgust sad happy calm fearful angry"),
    "enterface": StudySet("acted speech (eNTERFACE'05)", "happiness anger disgust fear surprise sadness"),
    "ch-sims": StudySet("clips of Chinese films and series (CH-SIMS, test split), sentiment from -1 to 1"),
    "cmu-mosi": StudySet(
        "opinions about films (CMU-MOSI, test split), sentiment from -3 to 3",
        sha256="de42a4fbf3104458890aa38b933928664b02e1cbefe652ae575b92889318e4b3",
    ),
    "mer2023": StudySet(
        "clips of Chinese films and series (MER 2023, test1)",
        "worried happy neutral angry surprise sad",
        sha256="11c0aba7f483d68dcc33d195a055079b7b084999a759889ff2346dbd4d69c4b0",
    ),
}
"""By the name after `ger-`."""


def _release(name: str, data: StudySet) -> Release:
    sheet = Sheet(
        files=("label.csv",),
        targets=data.targets(),
        samples={"name": "media"} if data.base_name else {},
        constant={SPLIT: "test"},
        id_is_path=data.base_name,
        released={"label.csv": data.sha256} if data.sha256 else {},
    )
    return Release(
        name=f"ger-{name}",
        title=f"{data.title}, as the GPT-4V study of generalised emotion recognition tests on it",
        source="GPT-4V with emotion (arXiv:2312.04293), reference list",
        licence="none stated for the list; the data set's own terms hold for its media",
        obtain="https://github.com/zeroQiaoba/gpt4v-emotion",
        layouts=((sheet,),),
    )


for _name, _data in SETS.items():
    add_release(_release(_name, _data))
