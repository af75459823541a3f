"""Tracks: what is predicted, on which data, how it is scored and ranked, as a `track.toml` declares it."""

from merbench.track.declaration import (
    OVERALL,
    SELECTED_BY,
    CorruptionSpec,
    MediaSpec,
    MetricSpec,
    Selection,
    SubmissionRules,
    Track,
    Training,
    metric_labels,
)
from merbench.track.folder import find_track, list_tracks, load_track, readable_tracks, tracks_page, tracks_table
from merbench.track.validation import keys_of_training, parse_track, training_problems

__all__ = [
    "OVERALL",
    "SELECTED_BY",
    "CorruptionSpec",
    "MediaSpec",
    "MetricSpec",
    "Selection",
    "SubmissionRules",
    "Track",
    "Training",
    "find_track",
    "keys_of_training",
    "list_tracks",
    "load_track",
    "metric_labels",
    "parse_track",
    "readable_tracks",
    "tracks_page",
    "tracks_table",
    "training_problems",
]
