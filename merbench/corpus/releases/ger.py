"""The reference lists of the GPT-4V study of generalised emotion recognition: nineteen corpora `ger-…`.

The study (arXiv:2312.04293) asked a model for a ranked list of labels per picture or clip. Its repository holds, per
data set, `label.csv` (name, gt) with the references; the other files are stored answers, which are submissions and not
read. Twitter I has three lists of references, each a part of the next one: a picture is in the split of the first list
that names it. Labels are compared without case, so they are kept in lower case. Where names have folders in front, the
id of a sample is the base name, as in the stored answers, and the whole name is `media`. References that are numbers,
and sets whose labels have a sign, have a second column `polarity`.
"""

from __future__ import annotations

from merbench.corpus.cells import Cells, labels, mapped, number, sign
from merbench.corpus.importing import Release
from merbench.corpus.sheets import Sheet

SETS = {
    "ckplus": ("posed faces (CK+)", "anger contempt disgust fear happy sadness surprise"),
    "sfew2": ("faces in films (SFEW 2.0)", "angry disgust fear happy neutral sad surprise"),
    "ferplus": ("faces from the web (FER+)", "neutral happiness surprise sadness anger disgust fear contempt"),
    "rafdb": ("faces from the web (RAF-DB)", "surprise fear disgust happiness sadness anger neutral"),
    "affectnet": ("faces from the web (AffectNet)", "surprise contempt happiness anger neutral sadness fear disgust"),
    "twitter1": ("pictures of posts (Twitter I)", "positive negative"),
    "twitter2": ("pictures of posts (Twitter II)", "positive negative"),
    "abstract": ("abstract paintings", "amusement anger awe content disgust excitement fear sad"),
    "artphoto": ("artistic photographs", "amusement anger awe contentment disgust excitement fear sad"),
    "casme": ("micro-expressions (CASME)", "tense disgust repression surprise"),
    "casme2": ("micro-expressions (CASME II)", "happiness surprise disgust repression others"),
    "samm": ("micro-expressions (SAMM)", "anger contempt happiness surprise other"),
    "dfew": ("clips of films (DFEW, fold 1)", "sad neutral angry fear surprise happy disgust"),
    "ferv39k": ("clips of films and shows (FERV39k)", "angry disgust fear happy neutral sad surprise"),
    "ravdess": ("acted speech (RAVDESS)", "surprised neutral disgust sad happy calm fearful angry"),
    "enterface": ("acted speech (eNTERFACE'05)", "happiness anger disgust fear surprise sadness"),
    "ch-sims": ("clips of Chinese films and series (CH-SIMS, test split), sentiment from -1 to 1", ""),
    "cmu-mosi": ("opinions about films (CMU-MOSI, test split), sentiment from -3 to 3", ""),
    "mer2023": ("clips of Chinese films and series (MER 2023, test1)", "worried happy neutral angry surprise sad"),
}
"""Name after `ger-` -> what it holds, and its labels; without labels, references are numbers."""

SHA256 = {
    "ckplus": "9087bd1ccb891ae8e7f980bbedb05ca8b66626a71ed84aac01d875bb6ea3cc29",
    "rafdb": "fd8176dfeee1ea842eb7a4cf1a83b01475640304b5e37850609539c1b0dc0ef8",
    "affectnet": "e128e621fc80dd6411004bfec33f6e79423c48b839d3dabf21ecfc7d443fb6bf",
    "abstract": "00a1f225afb9d40e7d7c7f34ce9cb61fa27b156af96a3375227fd91611dee962",
    "casme": "fcf6fc797669d73b0155654ffd7328aba2ba27b64775ba3a3589a455e8b6ac34",
    "dfew": "7ffd2e869027cd8aa9df1880e7dac1d94e1575939aa33fed0c11da31e45aaeb4",
    "ferv39k": "82bb81fb12f4d9bd26edb495db64f042c3acd2aeda075b5862e7ba442de240d7",
    "ravdess": "ac74d0922b7d6745a9df9f6b68d8eedcef8b253c13ccdb9049c79c1deb3318bb",
    "enterface": "83c565dfcb6cef146ee00c6b162db710913fa4960b80e7098a84837964f904a0",
    "cmu-mosi": "de42a4fbf3104458890aa38b933928664b02e1cbefe652ae575b92889318e4b3",
    "mer2023": "11c0aba7f483d68dcc33d195a055079b7b084999a759889ff2346dbd4d69c4b0",
}
"""Digests of `label.csv` as released, where they are known."""

TWITTER1 = {
    "five_agree": "4abd05c98f64197410cf7d09b2f66c92e4caa3055d57a653e6fd01892914f28e",
    "at_least_four_agree": "36967e28d06434b37b8556cdb5526e05f822a43dfaaa9944d37059dfecf8ee42",
    "at_least_three_agree": "6f38a656af8e10a6048e654cb4777c4a5be275e09c86634426146d34543c32c7",
}
"""Digests of the three lists `label_….csv`."""

POSITIVE = ("amusement", "awe", "content", "contentment", "excitement")
NEGATIVE = ("anger", "disgust", "fear", "sad")
POLARITY = {**dict.fromkeys(POSITIVE, "positive"), **dict.fromkeys(NEGATIVE, "negative")}
"""Polarity of the emotions of artistic pictures."""


def _targets(names: list[str]) -> dict[str, Cells]:
    """Return the targets that the released column `gt` becomes."""
    if not names:
        return {"sentiment": number().of("gt"), "polarity": sign("positive", "negative").of("gt")}
    targets = {"discrete": labels(*names).of("gt")}
    if set(names) <= set(POLARITY):
        targets["polarity"] = mapped({name: POLARITY[name] for name in names}).of("gt")
    return targets


def _sheets(name: str, names: str) -> tuple[Sheet, ...]:
    targets = _targets(names.split())
    if name == "twitter1":
        return tuple(
            Sheet(
                files=(f"label_{part}.csv",),
                split=part.removeprefix("at_least_"),
                targets=targets,
                repeats=True,
                sha256=sha256,
            )
            for part, sha256 in TWITTER1.items()
        )
    has_folders = name == "affectnet"
    media = {"name": "media"} if has_folders else {}
    return (
        Sheet(
            files=("label.csv",),
            id_is_path=has_folders,
            split="test",
            samples=media,
            targets=targets,
            sha256=SHA256.get(name, ""),
        ),
    )


RELEASES = tuple(
    Release(
        name=f"ger-{name}",
        title=f"{title}, as the GPT-4V study of generalised emotion recognition tests on it",
        source="GPT-4V with emotion (arXiv:2312.04293), reference list",
        licence="none stated for the list; the data set's own terms hold for its media",
        obtain="https://github.com/zeroQiaoba/gpt4v-emotion",
        layouts=(_sheets(name, names),),
    )
    for name, (title, names) in SETS.items()
)
