"""Corruptions by modality; importing this package registers every corruption shipped with merbench."""

from merbench.corruptions import audio, features, labels, missing, text, video
from merbench.corruptions.declaration import (
    CORRUPTIONS,
    Corruption,
    FromBank,
    FromColumn,
    Step,
    check_parameters,
    corruption,
    window_s,
)
from merbench.corruptions.drawing import generator, shared_draw
from merbench.corruptions.listing import corruptions_page, corruptions_table
from merbench.corruptions.signals import Audio, Frame, Video

__all__ = [
    "CORRUPTIONS",
    "Audio",
    "Corruption",
    "Frame",
    "FromBank",
    "FromColumn",
    "Step",
    "Video",
    "audio",
    "check_parameters",
    "corruption",
    "corruptions_page",
    "corruptions_table",
    "features",
    "generator",
    "labels",
    "missing",
    "shared_draw",
    "text",
    "video",
    "window_s",
]
