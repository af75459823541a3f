"""`track.toml` goes in, a frozen `Track` comes out: what is predicted, on which data, how it is scored and ranked."""

from merbench.track.declaration import (
    OVERALL,
    CorruptionSpec,
    Intervals,
    MetricSpec,
    Ranking,
    Split,
    SubmissionRules,
    Track,
)
from merbench.track.finding import find_track, list_tracks, load_track, parse_track
from merbench.track.keys import KEBAB, Declaration, declaration_problems
from merbench.track.listing import tracks_page, tracks_table
from merbench.track.targets import (
    CategoricalTarget,
    ContinuousTarget,
    LabelSetTarget,
    MultilabelTarget,
    Number,
    PreferenceTarget,
    RankedTarget,
    ScoresTarget,
    SegmentsTarget,
    Target,
    TextTarget,
    TrajectoryTarget,
    Vocabulary,
)

__all__ = [
    "KEBAB",
    "OVERALL",
    "CategoricalTarget",
    "ContinuousTarget",
    "CorruptionSpec",
    "Declaration",
    "Intervals",
    "LabelSetTarget",
    "MetricSpec",
    "MultilabelTarget",
    "Number",
    "PreferenceTarget",
    "RankedTarget",
    "Ranking",
    "ScoresTarget",
    "SegmentsTarget",
    "Split",
    "SubmissionRules",
    "Target",
    "TextTarget",
    "Track",
    "TrajectoryTarget",
    "Vocabulary",
    "declaration_problems",
    "find_track",
    "list_tracks",
    "load_track",
    "parse_track",
    "tracks_page",
    "tracks_table",
]
