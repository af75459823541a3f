"""Importing this module registers every extractor that comes with merbench."""

from merbench.features import pictures, sound, speech, text
from merbench.features.extractor import EXTRACTORS

__all__ = ["EXTRACTORS", "pictures", "sound", "speech", "text"]
