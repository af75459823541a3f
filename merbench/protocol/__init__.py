"""A track's corruptions applied to media, features and texts, with a manifest from which the same is made again."""

from merbench.protocol.corpus import DamagedCorpus, damage_corpus, modality_features
from merbench.protocol.manifest import MANIFEST, Manifest, manifest_columns, read_manifest
from merbench.protocol.media import (
    DamagedMedia,
    Estimate,
    MediaPlan,
    damage_split_media,
    estimate,
    plan_media,
)
from merbench.protocol.preview import SHOWN, write_preview
from merbench.protocol.steps import Damaged, damage, damage_split, drawn_values, steps_of

__all__ = [
    "MANIFEST",
    "SHOWN",
    "Damaged",
    "DamagedCorpus",
    "DamagedMedia",
    "Estimate",
    "Manifest",
    "MediaPlan",
    "damage",
    "damage_corpus",
    "damage_split",
    "damage_split_media",
    "drawn_values",
    "estimate",
    "manifest_columns",
    "modality_features",
    "plan_media",
    "read_manifest",
    "steps_of",
    "write_preview",
]
