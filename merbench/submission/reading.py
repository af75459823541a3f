"""Any source of a submission goes in, its `Sheet` comes out, with the name it has in messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from merbench.errors import Problem, UsageError
from merbench.submission.content import Budget, Content, Format, read_content
from merbench.submission.delimited import read_delimited
from merbench.submission.jsonl import read_jsonl
from merbench.submission.npz import read_npz
from merbench.submission.parquet import read_parquet
from merbench.submission.sheet import Sheet, Wanted, frame_table, table_sheet

if TYPE_CHECKING:
    import pandas as pd

_READERS: dict[Format, Callable[[Content, Wanted], Sheet]] = {
    "a delimited table": read_delimited,
    "JSON lines": read_jsonl,
    "NPZ": read_npz,
    "Parquet": read_parquet,
}


def read_sheet(
    source: str | Path | pa.Table | pd.DataFrame, wanted: Wanted, id_column: str, budget: Budget
) -> tuple[str, Sheet, tuple[Problem, ...]]:
    """Return the name of a source, its sheet, and warnings about the file.

    Raises:
        UsageError: there is no such file, or the source is of no kind that is read.
        InvalidSubmission: the file is refused.
    """
    warnings: tuple[Problem, ...] = ()
    if isinstance(source, (str, Path)):
        content = read_content(source, budget)
        where, warnings = content.where, content.warnings
        sheet = _READERS[content.format](content, wanted)
    elif isinstance(source, pa.Table):
        where = "table"
        sheet = table_sheet(source, wanted)
    elif hasattr(source, "iloc"):
        where = "data frame"
        sheet = table_sheet(frame_table(source, id_column), wanted)
    else:
        raise UsageError(f"a submission is a path, an Arrow table or a pandas data frame, not {type(source).__name__}")
    return where, replace(sheet, id_column=id_column), warnings
