"""Features that merbench makes of what a corpus holds."""

from merbench.features.media import MediaFeature, add_media_feature
from merbench.features.pictures import picture_dimensions, picture_vector
from merbench.features.sound import sound_dimensions, sound_vector
from merbench.features.text import add_text_feature, text_vectors

__all__ = [
    "MediaFeature",
    "add_media_feature",
    "add_text_feature",
    "picture_dimensions",
    "picture_vector",
    "sound_dimensions",
    "sound_vector",
    "text_vectors",
]
