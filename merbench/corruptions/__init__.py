"""Corruptions by modality; importing this package registers every corruption shipped with merbench."""

from merbench.corruptions import audio, features, video
from merbench.corruptions.declaration import CORRUPTIONS, Corruption, Parameter, check_parameters, corruption
from merbench.corruptions.drawing import generator

__all__ = [
    "CORRUPTIONS",
    "Corruption",
    "Parameter",
    "audio",
    "check_parameters",
    "corruption",
    "features",
    "generator",
    "video",
]
