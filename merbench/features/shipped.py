"""Importing this module registers every extractor that comes with merbench."""

from merbench.features import speech
from merbench.features.extractor import EXTRACTORS

__all__ = ["EXTRACTORS", "speech"]
