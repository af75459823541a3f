"""The reference lists of the GPT-4V study of generalised emotion recognition go in: nineteen corpora `ger-…`.

The study (arXiv:2312.04293) asked a model for a ranked list of labels per picture or clip. Its repository holds, per
data set, `label.csv` (name, gt) with the references and other files with the stored answers; those are submissions, and
are not read. Twitter I has three lists of references, each a part of the next one. Labels are compared without case, so
they are kept in lower case. Where names have folders in front, the id of a sample is the base name, as the stored
answers have it, and the whole name is `media`. References that are numbers, and sets whose labels have a sign, have a
second column `polarity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
        lists: instead of `label.csv`, the files of several lists: file -> split and digest. A picture is in the split
            of the first list that names it.
    """

    title: str
    labels: str = ""
    base_name: bool = False
    sha256: str = ""
    lists: Mapping[str, tuple[str, str]] = field(default_factory=dict)

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
    "twitter1": StudySet(
        "pictures of posts (Twitter I)",
        "positive negative",
        lists={
            "label_five_agree.csv": (
                "five_agree",
                "4abd05c98f64197410cf7d09b2f66c92e4caa3055d57a653e6fd01892914f28e",
            ),
            "label_at_least_four_agree.csv": (
                "four_agree",
                "36967e28d06434b37b8556cdb5526e05f822a43dfaaa9944d37059dfecf8ee42",
            ),
            "label_at_least_three_agree.csv": (
                "three_agree",
                "6f38a656af8e10a6048e654cb4777c4a5be275e09c86634426146d34543c32c7",
            ),
        },
    ),
    "twitter2": StudySet("pictures of posts (Twitter II)", "positive negative"),
    "abstract": StudySet(
        "abstract paintings",
        "amusement anger awe content disgust excitement fear sad",
        sha256="00a1f225afb9d40e7d7c7f34ce9cb61fa27b156af96a3375227fd91611dee962",
    ),
    "artphoto": StudySet("artistic photographs", "amusement anger awe contentment disgust excitement fear sad"),
    "casme": StudySet(
        "micro-expressions (CASME)",
        "tense disgust repression surprise",
        sha256="fcf6fc797669d73b0155654ffd7328aba2ba27b64775ba3a3589a455e8b6ac34",
    ),
    "casme2": StudySet("micro-expressions (CASME II)", "happiness surprise disgust repression others"),
    "samm": StudySet("micro-expressions (SAMM)", "anger contempt happiness surprise other"),
    "dfew": StudySet(
        "clips of films (DFEW, fold 1)",
        "sad neutral angry fear surprise happy disgust",
        sha256="7ffd2e869027cd8aa9df1880e7dac1d94e1575939aa33fed0c11da31e45aaeb4",
    ),
    "ferv39k": StudySet(
        "clips of films and shows (FERV39k)",
        "angry disgust fear happy neutral sad surprise",
        sha256="82bb81fb12f4d9bd26edb495db64f042c3acd2aeda075b5862e7ba442de240d7",
    ),
    "ravdess": StudySet(
        "acted speech (RAVDESS)",
        "surprised neutral disgust sad happy calm fearful angry",
        sha256="ac74d0922b7d6745a9df9f6b68d8eedcef8b253c13ccdb9049c79c1deb3318bb",
    ),
    "enterface": StudySet(
        "acted speech (eNTERFACE'05)",
        "happiness anger disgust fear surprise sadness",
        sha256="83c565dfcb6cef146ee00c6b162db710913fa4960b80e7098a84837964f904a0",
    ),
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
    sheets = tuple(
        Sheet(
            files=(file,),
            targets=data.targets(),
            samples={"name": "media"} if data.base_name else {},
            constant={SPLIT: split},
            id_is_path=data.base_name,
            repeats=bool(data.lists),
            released={file: sha256} if sha256 else {},
        )
        for file, (split, sha256) in (data.lists or {"label.csv": ("test", data.sha256)}).items()
    )
    return Release(
        name=f"ger-{name}",
        title=f"{data.title}, as the GPT-4V study of generalised emotion recognition tests on it",
        source="GPT-4V with emotion (arXiv:2312.04293), reference list",
        licence="none stated for the list; the data set's own terms hold for its media",
        obtain="https://github.com/zeroQiaoba/gpt4v-emotion",
        layouts=(sheets,),
    )


for _name, _data in SETS.items():
    add_release(_release(_name, _data))
