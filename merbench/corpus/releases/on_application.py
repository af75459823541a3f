"""Corpora whose files are had on application, in forms that differ from copy to copy: what each is and consists of.

Whoever has the data writes two CSV files (see `plain`); for ADD 2023 the released `label.txt` are read too. Class lists
are those that papers print; labels are kept in lower case. Those of MSP-IMPROV, the dimensions of Werewolf-XL and the
classes of ADD 2023's attribution were not read in a source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from merbench.corpus.cells import TEXT, Cells, labels, number, segments
from merbench.corpus.forms import spaced
from merbench.corpus.importing import Release, add_release
from merbench.corpus.releases.plain import plain
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import SPLIT

AGREEMENT = "agreement with the authors: academic research, no redistribution"
SPOOF = labels("genuine", "fake")


@dataclass(frozen=True)
class Elsewhere:
    """One corpus.

    Attributes:
        title: what it holds.
        source: where it is described.
        obtain: where it is applied for.
        targets: target -> how its cells are read.
        columns: columns of the samples that its protocol needs.
        released: sheets of the released files, where they are read.
        licence: who may use it.
    """

    title: str
    source: str
    obtain: str
    targets: Mapping[str, Cells]
    columns: tuple[str, ...] = ()
    released: tuple[Sheet, ...] = ()
    licence: str = AGREEMENT


def _discrete(names: str) -> dict[str, Cells]:
    return {"discrete": labels(*names.split())}


def _label_file(folder: str, target: Target, needed: bool = True, **constant: str) -> Sheet:
    """Return the sheet of a `label.txt`: an utterance and its label on every line."""
    return Sheet(
        (f"{folder}label.txt",),
        id="utterance",
        targets=(target,),
        constant={SPLIT: "test", **constant},
        needed=needed,
        without="not all rounds",
        reader=spaced("utterance", target.column),
        form="an utterance and its label on every line, with a space between them",
    )


ADD2023 = "ADD 2023 (arXiv:2305.13774)"
ADD2023_SITE = "http://addchallenge.cn/add2023"

CORPORA = {
    "dfew": Elsewhere(
        "clips of films, seven emotions, five folds",
        "DFEW (arXiv:2008.05924), 11,697 clips with one label",
        "https://dfew-dataset.github.io",
        _discrete("happy sad neutral angry surprise disgust fear"),
        ("fold",),
    ),
    "ferv39k": Elsewhere(
        "clips of films and shows, seven emotions",
        "FERV39k (arXiv:2203.09463), 31,088 training and 7,847 test clips",
        "https://wangyanckxx.github.io/Proj_CVPR2022_FERV39k.html",
        _discrete("angry disgust fear happy neutral sad surprise"),
    ),
    "mafw": Elsewhere(
        "clips of films and shows, eleven emotions, five folds",
        "MAFW (arXiv:2208.00847), 9,172 clips with one label",
        "https://mafw-database.github.io/MAFW/",
        _discrete("anger disgust fear happiness neutral sadness surprise contempt anxiety helplessness disappointment"),
        ("fold",),
    ),
    "enterface": Elsewhere(
        "acted speech in English, six emotions, five folds by speaker",
        "eNTERFACE'05 (Martin et al. 2006)",
        "http://www.enterface.net/enterface05/",
        _discrete("happiness anger disgust fear surprise sadness"),
        ("speaker", "fold"),
    ),
    "werewolf-xl": Elsewhere(
        "players of the game Werewolf in Chinese: valence, arousal and dominance, five folds",
        "Werewolf-XL (Zhang et al. 2021), 14,457 clips",
        "the authors of Werewolf-XL",
        dict.fromkeys(("valence", "arousal", "dominance"), number()),
        ("fold",),
    ),
    "msp-improv": Elsewhere(
        "acted dialogues in English, four emotions, six sessions as folds",
        "MSP-IMPROV (Busso et al. 2017)",
        "https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html",
        _discrete("angry happy neutral sad"),
        ("speaker", "fold"),
    ),
    "add2023-fgd": Elsewhere(
        "speech in Chinese, genuine or fake, in two rounds",
        f"{ADD2023}, track 1.2",
        ADD2023_SITE,
        {"score": SPOOF},
        ("round",),
        (
            _label_file("round1/", Target("score", "label", SPOOF), round="R1"),
            _label_file("round2/", Target("score", "label", SPOOF), needed=False, round="R2"),
        ),
    ),
    "add2023-fgg": Elsewhere(
        "fake speech in Chinese that detectors are asked about: a sample is what one of them is asked of one utterance",
        f"{ADD2023}, track 1.1",
        ADD2023_SITE,
        {"score": SPOOF},
        ("detector",),
    ),
    "add2023-rl": Elsewhere(
        "speech in Chinese with fake stretches: where they are, and whether there are any",
        f"{ADD2023}, track 2; segments as label-start-end, separated by spaces, in seconds; empty without any",
        ADD2023_SITE,
        {"discrete": SPOOF, "segments": segments("genuine", "fake", duration="duration_s")},
        ("duration_s",),
    ),
    "add2023-ar": Elsewhere(
        "speech in Chinese: by which generator it was made, or by an unknown one",
        f"{ADD2023}, track 3",
        ADD2023_SITE,
        {"discrete": TEXT},
        (),
        (_label_file("", Target("discrete", "label", TEXT)),),
    ),
}
"""By name."""

for _name, _corpus in CORPORA.items():
    add_release(
        Release(
            name=_name,
            title=_corpus.title,
            source=_corpus.source,
            licence=_corpus.licence,
            obtain=_corpus.obtain,
            layouts=(
                *((_corpus.released,) if _corpus.released else ()),
                plain(_corpus.targets, _corpus.columns),
            ),
        )
    )
