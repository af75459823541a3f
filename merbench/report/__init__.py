"""Reports as frozen values that show themselves: `document` is what they share; `tables`, `html`, `latex` show it."""

from merbench.report.comparison import Comparison, Difference
from merbench.report.document import Ceiling, Document, Report, Score, Uncertainty
from merbench.report.html import escape_html, inline_digest
from merbench.report.items import Item, ItemReport
from merbench.report.latex import escape_latex
from merbench.report.power import Agreement, Power, PowerRow
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
    Bar,
    Cell,
    ReportTable,
    csv_cell,
    displayed,
    escape_markdown,
    markdown_code,
    markdown_of,
)

__all__ = [
    "Agreement",
    "Bar",
    "Bin",
    "Calibration",
    "Ceiling",
    "Cell",
    "ClassRow",
    "Comparison",
    "Confusion",
    "CoverageRow",
    "Difference",
    "Document",
    "Group",
    "Item",
    "ItemReport",
    "Power",
    "PowerRow",
    "Report",
    "ReportTable",
    "Score",
    "ScoreReport",
    "Uncertainty",
    "WorstSample",
    "csv_cell",
    "displayed",
    "escape_html",
    "escape_latex",
    "escape_markdown",
    "inline_digest",
    "markdown_code",
    "markdown_of",
]
