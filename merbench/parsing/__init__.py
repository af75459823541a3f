"""The text of one cell goes in, its values come out; used for references and for predictions alike."""

from merbench.parsing.label_lists import BadCell, LabelLists, Split, read_label_lists

__all__ = ["BadCell", "LabelLists", "Split", "read_label_lists"]
