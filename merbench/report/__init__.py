"""What scoring found, as frozen values that render themselves."""

from merbench.report.comparison import Comparison, Difference
from merbench.report.scorecard import ClassRow, Confusion, CoverageRow, Group, Score, ScoreReport, Uncertainty
from merbench.report.tables import ReportTable, displayed, escape_html, escape_markdown, markdown_code, markdown_of

__all__ = [
    "ClassRow",
    "Comparison",
    "Confusion",
    "CoverageRow",
    "Difference",
    "Group",
    "ReportTable",
    "Score",
    "ScoreReport",
    "Uncertainty",
    "displayed",
    "escape_html",
    "escape_markdown",
    "markdown_code",
    "markdown_of",
]
