"""The registry of extractors, with every one that comes with merbench in it."""

from merbench.features import speech
from merbench.features.extractor import EXTRACTORS

__all__ = ["EXTRACTORS", "speech"]
