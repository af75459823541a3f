"""Votes about CREMA-D's clips go in, the corpus `crema-d` comes out: six acted emotions, folds of 18 actors each.

People who heard, saw, or heard and saw a clip said which emotion it shows. How many of them said each of six emotions
is a feature of the clip, one for each of the three conditions; the reference is the emotion that was to be acted. The
mean strength that people gave besides (`*_level_*`) is not read. All samples are in one split, `all`.
"""

from merbench.corpus.cells import labels
from merbench.corpus.importing import Release, add_release
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import SPLIT

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad")
"""In the order of the letters below, which are those of the columns."""
LETTERS = "ADFHNS"

add_release(
    Release(
        name="crema-d",
        title="acted speech in English, six emotions, 72 actors in four folds, with votes of people as features",
        source="CREMA-D (Cao et al. 2014), 72 actors in four folds; features are counts of votes for "
        f"{', '.join(EMOTIONS)}",
        licence="Open Database License 1.0",
        obtain="the file cremad_votes.csv; media: https://github.com/CheyneyComputerScience/CREMA-D",
        layouts=(
            (
                Sheet(
                    files=("cremad_votes.csv",),
                    id="clip",
                    samples={"actor": "speaker", "fold": "fold", "sentence": "transcript", "intensity": "intensity"},
                    targets=(Target("discrete", "emotion", labels(*EMOTIONS)),),
                    features={
                        f"{condition}-votes": tuple(f"{condition}_votes_{letter}" for letter in LETTERS)
                        for condition in ("voice", "face", "av")
                    },
                    constant={SPLIT: "all"},
                ),
            ),
        ),
        language="en",
    )
)
