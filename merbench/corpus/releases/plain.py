"""Two CSV files that anybody can write, for a release whose own files merbench does not read: the sheets of them.

`samples.csv` has `sample_id`, `split`, and whatever else is known of the samples; `reference.csv` has `sample_id` and
one column per target, and lists the samples whose references are held.
"""

from __future__ import annotations

from collections.abc import Mapping

from merbench.corpus.cells import Cells
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import ID, SPLIT

WITHHELD = "the references of the test split are withheld"


def plain(targets: Mapping[str, Cells], columns: tuple[str, ...] = ()) -> tuple[Sheet, Sheet]:
    """Return the two sheets.

    Args:
        targets: target -> how its cells are read.
        columns: columns of `samples.csv` that must be there beside `sample_id` and `split`.
    """
    samples = Sheet(("samples.csv",), id=ID, samples={name: name for name in (SPLIT, *columns)}, rest=True)
    reference = Sheet(
        ("reference.csv",),
        id=ID,
        targets=tuple(Target(name, name, cells) for name, cells in targets.items()),
        needed=False,
        without=WITHHELD,
    )
    return samples, reference
