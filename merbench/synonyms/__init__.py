"""Words of a reference and a prediction go in, who stands for whom comes out, as a language model grouped them once.

MER 2024 has a language model put the synonyms of a sample together before two sets of labels are compared. Here its
answers are stored, so that scoring reads files and never asks a model: `fill_groups` asks, once per set of words.
"""

from merbench.synonyms.filling import Asker, Filled, Question, fill_groups
from merbench.synonyms.groups import Groups, answer_key, representatives
from merbench.synonyms.released import RELEASES, import_groups
from merbench.synonyms.storing import groups_home, list_groups, open_groups

__all__ = [
    "RELEASES",
    "Asker",
    "Filled",
    "Groups",
    "Question",
    "answer_key",
    "fill_groups",
    "groups_home",
    "import_groups",
    "list_groups",
    "open_groups",
    "representatives",
]
