r"""Reports as LaTeX: one table each, for `\input` in a paper that loads `booktabs`, every name escaped.

Conventions:
    The best value of a column is bold; a dagger marks what is significantly different, and the caption says from what.
    Letters outside Latin scripts need XeLaTeX or LuaLaTeX and a font that has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from merbench.errors import printable
from merbench.report.tables import Cell, ReportTable

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\symbol{34}",  # some languages of babel make it a command
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "−": "$-$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "Δ": r"$\Delta$",
    "α": r"$\alpha$",
    "κ": r"$\kappa$",
    "ρ": r"$\rho$",
    "τ": r"$\tau$",
    "†": r"$^\dagger$",
    **{character: f"\\{character}" for character in "{}$&#_%"},
}
_NAME = re.compile(rf"[{re.escape(''.join(_COMMANDS))}]|-(?=-)")
_SPECIAL = re.compile(rf"{_NAME.pattern}|(?<![\w-])-(?=\d)")

MOST_COLUMNS = 8
"""With more columns than this, a table is set in a smaller type, closer together."""


def escape_latex(text: str, *, is_name: bool = False) -> str:
    """Return text that LaTeX sets as it is; a minus before a number is one, unless the text is a name."""
    return (_NAME if is_name else _SPECIAL).sub(_command, printable(text, None))


def _command(match: re.Match[str]) -> str:
    if match[0] == "-":  # two in a row would be a dash
        return "-{}" if match.string[match.end()] == "-" else "$-$"
    return _COMMANDS[match[0]]


def section_latex(heading: str, tables: Sequence[ReportTable], notes: Sequence[str], legend: str = "") -> str:
    """Return tables as LaTeX, the notes as comments.

    Args:
        heading: what every caption begins with.
        tables: headed tables.
        notes: lines about them.
        legend: what the first caption ends with.
    """
    lines = [f"% {printable(line, None)}" for line in (heading, *notes, r"in the preamble: \usepackage{booktabs}")]
    captions = [f"{heading}{': ' if table.title else ''}{table.title}. {table.legend}".strip() for table in tables]
    if captions and legend:
        captions[0] += f" {legend}"
    parts = [_table(table, caption) for table, caption in zip(tables, captions, strict=True)]
    return "\n\n".join(["\n".join(lines), *parts]) + "\n"


def _table(table: ReportTable, caption: str) -> str:
    n = len(table.head)
    close = "\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n" if n > MOST_COLUMNS else ""
    lines = [
        [escape_latex(name) for name in table.head],
        *([_cell(cell, is_name=i == 0) for i, cell in enumerate(row)] for row in table.cells),
    ]
    # At the start of a line these two would be an argument of the end of the line before.
    head, *rows = [
        " & ".join([f"{{}}{first}" if first[:1] in ("[", "*") else first, *cells]) for first, *cells in lines
    ]
    columns = "l" * table.n_text + "r" * (n - table.n_text)
    body = "".join(f"{row} \\\\\n" for row in rows)
    return (
        f"\\begin{{table}}\n\\centering\n{close}\\caption{{{escape_latex(caption)}}}\n"
        f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\\bottomrule\n"
        "\\end{tabular}\n\\end{table}"
    )


def _cell(cell: Cell, *, is_name: bool) -> str:
    text = escape_latex(cell, is_name=is_name)
    return (f"\\textbf{{{text}}}" if cell.best else text) + (r"$^\dagger$" if cell.differs else "")
