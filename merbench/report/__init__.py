"""Reports as frozen values that show themselves: `document` is what they share, `tables` renders their tables."""

from merbench.report.comparison import Comparison, Difference
from merbench.report.document import Ceiling, Report, Score, Uncertainty
from merbench.report.scorecard import (
    Bin,
    Calibration,
    ClassRow,
    Confusion,
    CoverageRow,
    Group,
    ScoreReport,
    WorstSample,
)
from merbench.report.tables import (
    ReportTable,
    csv_cell,
    displayed,
    escape_html,
    escape_markdown,
    markdown_code,
    markdown_of,
)

__all__ = [
    "Bin",
    "Calibration",
    "Ceiling",
    "ClassRow",
    "Comparison",
    "Confusion",
    "CoverageRow",
    "Difference",
    "Group",
    "Report",
    "ReportTable",
    "Score",
    "ScoreReport",
    "Uncertainty",
    "WorstSample",
    "csv_cell",
    "displayed",
    "escape_html",
    "escape_markdown",
    "markdown_code",
    "markdown_of",
]
