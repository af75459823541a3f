"""Emotion words go in, integer codes come out: base forms, wheel words and sectors of emotion wheels.

A label is looked up in three steps, as the released scorers of MER 2025 and 2026 do: label → base forms → wheel words
→ one sector on each wheel.
"""

from merbench.lexicon.compiled import Ambiguity, Lexicon, Lookup
from merbench.lexicon.content import Content
from merbench.lexicon.home import import_lexicon, lexicons_home, list_lexicons, open_lexicon

__all__ = [
    "Ambiguity",
    "Content",
    "Lexicon",
    "Lookup",
    "import_lexicon",
    "lexicons_home",
    "list_lexicons",
    "open_lexicon",
]
