"""Features that merbench makes of what a corpus holds; each is loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_FILES = {
    "MediaFeature": "media",
    "add_media_feature": "media",
    "add_text_feature": "text",
    "picture_dimensions": "pictures",
    "picture_vector": "pictures",
    "sound_dimensions": "sound",
    "sound_vector": "sound",
    "text_vectors": "text",
}


def __getattr__(name: str) -> Any:
    """Load a name from its file."""
    if name not in _FILES:
        raise AttributeError(f"module 'merbench.features' has no attribute '{name}'")
    return getattr(import_module(f"merbench.features.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
