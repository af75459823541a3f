"""Reports as LaTeX: tables that a paper can input, whatever the names are."""

from __future__ import annotations

import re

import pytest
from hand_made_boards import board
from hand_made_reports import full_report, three_systems
from test_hostile_text import assert_plain_latex

from merbench.report import Cell, Report, ReportTable, escape_latex
from merbench.report.latex import section_latex

HOSTILE = '\\input{/etc/passwd} $x^2_3$ & 50% #1 ~ "a" `b` <c> |d| -- --- [e] *f {g\n\\end{tabular}^^M\\\\ % z'


@pytest.mark.parametrize("name", ["a name", HOSTILE, "[0, 15)", "*"])
def test_every_table_of_every_report_is_plain(name: str) -> None:
    reports: list[Report] = [full_report(name, 9), three_systems(a=f"{name} 1", b=f"{name} 2"), board(title=name)]
    for report in reports:
        text = report.to_latex()
        assert_plain_latex(text)
        assert text.count("\\begin{tabular}") == len(report.tables())
        assert text == report.to_latex()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5 % of $#1", r"a\_b \& 5 \% of \$\#1"),
        ("\\x{y}", r"\textbackslash{}x\{y\}"),
        ("~^<>|`\"", r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}\textasciigrave{}\symbol{34}"),
        ("-0.5 [-1, +2] wav2vec-2 a - b", "$-$0.5 [$-$1, +2] wav2vec-2 a - b"),
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("0.2–0.3 Δ ± ≈ ≥ ↑", r"0.2--0.3 $\Delta$ $\pm$ $\approx$ $\geq$ $\uparrow$"),
        ("a\nb", r"a\textbackslash{}nb"),
    ],
)  # fmt: skip
def test_text_is_set_as_it_is(text: str, escaped: str) -> None:
    assert escape_latex(text) == escaped


def test_the_best_is_bold_a_dagger_is_defined_and_the_first_caption_says_how_intervals_were_made() -> None:
    text = three_systems().to_latex()
    assert "a & 0.5000$^\\dagger$ \\\\\nb & \\textbf{0.7500} \\\\\nc & 0.7000 \\\\\n" in text
    captions = re.findall(r"\\caption\{(.*)\}", text)
    assert (
        r"Bold: best of a column. $^\dagger$: significantly different from it, p (Holm) \textless{} 0.05."
        in captions[0]
    )
    assert captions[0].endswith(
        r"95\% intervals: percentile from 1,000 Poisson resamples of samples, seed 0.}".rstrip("}")
    )
    assert "intervals:" not in captions[1]
    of_board = board().to_latex()
    assert "1 & first & net & \\textbf{0.7500} & [0.7000, 0.8000] & 0.5000 &" in of_board
    assert "3 & third & net & 0.5000 $\\pm$ 0.0100$^\\dagger$ &" in of_board
    assert "% signature: toy@1.0#0|n:4\n% in the preamble: \\usepackage{booktabs}\n" in of_board


def test_a_row_that_begins_like_an_argument_is_protected() -> None:
    text = section_latex("t", [ReportTable("x", ("a", "b"), [("[0, 1)", "1"), ("*", Cell("2"))])], [])
    assert "\n{}[0, 1) & 1 \\\\\n{}* & 2 \\\\\n" in text


def test_a_name_that_begins_like_a_number_keeps_its_hyphen() -> None:
    text = section_latex("t", [ReportTable("x", ("a", "b"), [("-227", "-0.5"), ("--1", "")])], [])
    assert "\n-227 & $-$0.5 \\\\\n-{}-1 &  \\\\\n" in text
