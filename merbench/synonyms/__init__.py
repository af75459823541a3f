"""Synonyms among the words of a reference and a prediction, as a language model grouped them once.

MER 2024 has a language model put the synonyms of a sample together before two sets of labels are compared. Here its
answers are stored, so that scoring reads files and never asks a model: `fill_groups` asks, once per set of words.
"""

from merbench.synonyms.filling import Asker, Filled, Question, fill_groups
from merbench.synonyms.groups import GROUPS, Groups, answer_key, representatives
from merbench.synonyms.released import import_groups

open_groups = GROUPS.open

__all__ = [
    "GROUPS",
    "Asker",
    "Filled",
    "Groups",
    "Question",
    "answer_key",
    "fill_groups",
    "import_groups",
    "open_groups",
    "representatives",
]
