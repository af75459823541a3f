"""A model's answers in free text go in, which of two descriptions it prefers comes out: a1, a2 or same.

Conventions:
    A column is an Arrow array of strings; what comes out is another of its length, a null where an answer is not there.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CHOICES = ("a1", "a2", "same")
"""What an answer may be read as; the last is what an answer without any of them counts as."""


def preference_answers(column: pa.Array) -> pa.Array:
    """Return each answer as `a1`, `a2` or `same`, by the rule of the MER 2026 baseline.

    In lower case: what the answer starts with, else the earliest of the three in it, else `same`. What it starts with
    is the earliest, so one search does both. It looks within words, too: "data2" holds `a2`.
    """
    text = pc.utf8_lower(column.cast(pa.string()))
    places = np.stack([np.asarray(pc.fill_null(pc.find_substring(text, choice), -1)) for choice in CHOICES])
    earliest = np.where(places < 0, np.iinfo(places.dtype).max, places).argmin(axis=0)
    choice = np.where((places < 0).all(axis=0), len(CHOICES) - 1, earliest)
    return pc.if_else(column.is_valid(), pa.array(CHOICES).take(pa.array(choice)), pa.scalar(None, pa.string()))
