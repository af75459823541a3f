"""`track.toml` goes in, a frozen `Track` comes out: what is predicted, on which data, how it is scored and ranked."""

from merbench.track.declaration import (
    OVERALL,
    CategoricalTarget,
    ContinuousTarget,
    CorruptionSpec,
    Intervals,
    MetricSpec,
    Ranking,
    Split,
    SubmissionRules,
    Target,
    Track,
)
from merbench.track.finding import find_track, list_tracks, load_track, parse_track
from merbench.track.keys import KEBAB, Declaration, declaration_problems

__all__ = [
    "KEBAB",
    "OVERALL",
    "CategoricalTarget",
    "ContinuousTarget",
    "CorruptionSpec",
    "Declaration",
    "Intervals",
    "MetricSpec",
    "Ranking",
    "Split",
    "SubmissionRules",
    "Target",
    "Track",
    "declaration_problems",
    "find_track",
    "list_tracks",
    "load_track",
    "parse_track",
]
