"""Importing this module registers every extractor that comes with merbench."""

from merbench.features import face_models, pictures, sentences, sound, speech, text
from merbench.features.extractor import EXTRACTORS

__all__ = ["EXTRACTORS", "face_models", "pictures", "sentences", "sound", "speech", "text"]
