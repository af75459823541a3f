"""Features that merbench makes of what a corpus holds."""

from merbench.features.text import add_text_feature, text_vectors

__all__ = ["add_text_feature", "text_vectors"]
