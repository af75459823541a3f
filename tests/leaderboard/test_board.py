"""Hand-made boards in every form but HTML."""

from __future__ import annotations

import csv
import html
import io
import json
from dataclasses import replace

import pytest
from hand_made_boards import an_invalid_entry, board, row, three_rows, with_ranks

from merbench.errors import UsageError
from merbench.leaderboard.board import NEEDED, Board, Scheme
from merbench.report import Ceiling
from merbench.site.page import board_page

NOTES = """\
ranked by overall, then mse, compared as displayed; ties share a rank; the earlier submission is listed first
overall = weighted_f1 - 0.25 * mse
95% intervals: percentile from 1,000 Poisson resamples of samples, seed 0, shared by all rows
p: paired permutation test of overall against the best row, two-sided, 10,000 permutations, Holm over the rows; \
≈: p ≥ 0.05
±: mean and standard deviation over the runs of a system, one per seed
signature: toy@1.0#0|n:4
"""


def test_text() -> None:
    assert board().to_text() == (
        "Toy (toy@1.0, split test) · synthetic sample\n"
        "\n"
        "rank  team    system        overall ↑      95% interval   mse ↓  Δ vs best       p  ≈  runs\n"
        "1     first   net              0.7500  [0.7000, 0.8000]  0.5000                           1\n"
        "2     second  net              0.7400  [0.6900, 0.7900]  0.2500    -0.0100  0.4000  ≈     1\n"
        "3     third   net     0.5000 ± 0.0100  [0.4500, 0.5500]  1.0000    -0.2500  0.0002        2\n"
        "\n" + NOTES
    )


def test_a_board_without_alike_rows_does_not_explain_them() -> None:
    rows = three_rows()
    assert not any("≈" in note for note in board([rows[0], replace(rows[2], rank=2)]).notes())


def test_markdown() -> None:
    lines = board().to_markdown().splitlines()
    assert lines[0] == "# Toy (toy\\@1.0, split test) · synthetic sample"
    assert lines[2] == "| rank | team | system | overall ↑ | 95% interval | mse ↓ | Δ vs best | p | ≈ | runs |"
    assert lines[3] == "|---|---|---|---:|---:|---:|---:|---:|---:|---:|"
    assert lines[5] == "| 2 | second | net | 0.7400 | \\[0.6900, 0.7900\\] | **0.2500** | -0.0100 | 0.4000 | ≈ | 1 |"
    assert lines[6].startswith("| 3 | third | net | 0.5000 ± 0.0100† |")
    assert lines[8] == "Bold: best of a column. †: significantly different from the best row, p &lt; 0.05."


def test_csv_has_unrounded_values() -> None:
    lines = list(csv.DictReader(io.StringIO(board().to_csv())))
    assert [line["rank"] for line in lines] == ["1", "2", "3"]
    assert lines[2] == {
        "rank": "3",
        "team": "third",
        "team_name": "third",
        "system": "net",
        "title": "a title",
        "runs": "s0 s1",
        "seeds": "0 1",
        "received": "2026-01-01T00:00:00Z",
        "overall": "0.5",
        "overall_deviation": "0.01",
        "overall_low": "0.45",
        "overall_high": "0.55",
        "mse": "1.0",
        "mse_deviation": "",
        "mse_low": "",
        "mse_high": "",
        "difference": "-0.25",
        "p": "0.0001",
        "p_holm": "0.0002",
        "separable": "True",
        "needed": "",
        "needed_unit": "",
        "rank_low": "",
        "rank_high": "",
        "first_share": "",
        "group": "",
        "signature": "toy@1.0#0|n:4",
    }


@pytest.mark.parametrize("prefix", ["=", "+", "-", "@", "\uff1d"])
def test_a_formula_in_a_name_is_text_in_csv(prefix: str) -> None:
    name = f'{prefix}HYPERLINK("http://x","y")'
    hostile = replace(row(overall=-0.5, mse=0.1), team_name=name, system=name, title=name, rank=1)
    (line,) = csv.DictReader(io.StringIO(board([hostile]).to_csv()))
    assert (line["team_name"], line["system"], line["title"]) == (f"'{name}",) * 3
    assert line["overall"] == "-0.5"


def test_json_is_canonical() -> None:
    text = board(invalid=(an_invalid_entry(),)).to_json()
    content = json.loads(text)
    assert text == json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    assert content["schema"] == "merbench.leaderboard/1"
    assert content["rows"][0]["received"] == "2026-01-01T00:00:00Z"
    gap = {"value": -0.01, "p": 0.4, "p_holm": 0.4, "separable": False, "needed": None, "needed_unit": None}
    assert content["rows"][1]["gap"] == gap
    assert content["invalid"][0]["place"] == "toy/team/run"


def test_an_invalid_entry_is_listed_with_its_reason() -> None:
    with_one = board(invalid=(an_invalid_entry(),))
    line = "toy/team/run: E404  exactly one file 'submission.*' is required, not none"
    assert with_one.to_text() == board().to_text() + f"\nInvalid entries\n  {line}\n"
    markdown = line.replace("*", "\\*")
    assert with_one.to_markdown() == board().to_markdown() + f"\n## Invalid entries\n\n* {markdown}\n"
    assert f"<li>{html.escape(line)}</li>" in with_one.to_html()


def test_a_board_without_entries() -> None:
    empty: Board = board([], uncertainty=None, signature="")
    assert empty.to_text() == "Toy (toy@1.0, split test) · synthetic sample\n\nno entries yet\n"
    assert "no entries yet" in empty.to_markdown()
    assert empty.to_csv().count("\n") == 1


def test_a_row_without_rank_is_explained() -> None:
    rows = [replace(each, rank=None, ranks=False) if each.team == "third" else each for each in three_rows()]
    text = board(rows).to_text()
    assert "\n–     third " in text
    assert "–: not ranked, shown for comparison" in text


def test_a_hidden_split_and_a_single_row_have_no_tests() -> None:
    rows = [replace(row(overall=0.5, mse=0.1), rank=1)]
    text = board(rows, hidden=True, uncertainty=None).to_text()
    assert "interval" not in text.partition("ranked by")[0]
    assert "only part of the candidates is scored, and which part is secret: no intervals, no tests" in text
    text = board(rows).to_text()
    assert "95% intervals" in text and "p: paired" not in text and "≈" not in text


def test_how_many_samples_are_needed_and_what_people_reach() -> None:
    first, second, third = three_rows()
    assert second.gap is not None
    second = replace(second, gap=replace(second.gap, needed=12345, needed_unit="samples"))
    ceilings = (Ceiling("overall", "one annotator", 0.6, 0.55, 0.65), Ceiling("kappa", "one annotator", 0.5))
    shown = board([first, second, third], ceilings=ceilings)
    needed = next(column for column in shown.columns() if column.head == "samples needed")
    assert (needed.cells, needed.hint) == (["", "12,345", ""], NEEDED)
    bars = next(column for column in shown.columns() if column.head == shown.interval_head).cells
    assert [cell.drawn.line for cell in bars] == [0.6, 0.6, 0.6]
    assert {
        f"samples needed: {NEEDED}",
        "ceiling of overall: one annotator reaches 0.6000 [0.5500, 0.6500]",
        "ceiling of kappa: one annotator reaches 0.5000",
    } <= set(shown.notes())
    line = list(csv.DictReader(io.StringIO(shown.to_csv())))[1]
    assert (line["needed"], line["needed_unit"]) == ("12345", "samples")


def test_ranks_groups_and_schemes() -> None:
    lines = with_ranks().to_text().splitlines()
    assert lines[2:6] == [
        "rank  ranks  team    system        overall ↑      95% interval   mse ↓  Δ vs best  group       p  ≈  runs",
        "1     1–2    first   net              0.7500  [0.7000, 0.8000]  0.5000                 a                1",
        "2     1–2    second  net              0.7400  [0.6900, 0.7900]  0.2500    -0.0100      a  0.4000  ≈     1",
        "3     3      third   net     0.5000 ± 0.0100  [0.4500, 0.5500]  1.0000    -0.2500      b  0.0002        2",
    ]
    assert lines[7:13] == [
        "Ranking schemes",
        "team         system  this board  mean rank  test then rank",
        "first        net              1          1               1",
        "second       net              2          1               1",
        "third        net              3          3               1",
        "Kendall's τ                         0.8165               –",
    ]
    assert (
        "ranks: 95% interval, after the rows that are significantly better and before those that are significantly "
        "worse (t test as for groups, Holm over the pairs of a row)"
    ) in lines
    assert lines[-3:-1] == [
        "EuroEval's score is not offered: no resamples",
        "±: mean and standard deviation over the runs of a system, one per seed",
    ]
    markdown = with_ranks().to_markdown().splitlines()
    assert markdown[3] == "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    assert "| second | net | 2 | 1 | 1 |" in markdown
    line = list(csv.DictReader(io.StringIO(with_ranks().to_csv())))[1]
    assert [line[name] for name in ("rank_low", "rank_high", "first_share", "group")] == ["1", "2", "0.25", "a"]
    assert (line["mean_rank"], line["test_then_rank"]) == ("1", "1")


@pytest.mark.parametrize(
    ("group", "shown"), [("", ""), ("a", "a"), ("a b", "a b"), ("a b c e", "a–c e"), ("d x y z aa ab", "d x–ab")]
)
def test_letters_that_follow_each_other_are_shown_as_a_range(group: str, shown: str) -> None:
    assert replace(row(overall=0.5, mse=0.1), group=group).shown_group == shown


def test_json_of_before_ranks_had_intervals_is_read() -> None:
    content = json.loads(board().to_json())
    del content["schemes"], content["schemes_missing"]
    for each in content["rows"]:
        del each["rank_low"], each["rank_high"], each["group"], each["first_share"]
    assert Board.from_json(json.dumps(content)) == board()
    assert Board.from_json(with_ranks().to_json()) == with_ranks()


def test_a_scheme_has_a_rank_for_every_row() -> None:
    with pytest.raises(ValueError, match="without a rank for every row"):
        board(schemes=(Scheme("mean_rank", (1, 2), (1.0, 2.0), 1.0),))


def test_schemes_that_rank_as_the_board_does_are_only_named() -> None:
    same = [Scheme(name, (1, 2, 3), (1.0, 2.0, 3.0), 1.0) for name in ("mean_rank", "borda")]
    other = Scheme("median_rank", (1, 1, 1), (2.0, 2.0, 2.0), None)
    made = board(schemes=(*same, other))
    assert made.tables()[1].head == ("team", "system", "this board", "median rank")
    assert {
        "mean rank, borda: rank the rows as this board does",
        "ranking schemes: median rank (by the median rank in all metrics); Kendall's τ is τ-b with this board; –: all rows share a rank",
    } <= set(made.notes())
    only = board(schemes=tuple(same))
    assert len(only.tables()) == 1 and "Ranking schemes" not in board_page(only)
    assert len(json.loads(only.to_json())["schemes"]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 10**30}, "1 to 3 are possible"),
        ({"rank_low": 0, "rank_high": 1}, "1 to 3 are possible"),
        ({"group": "a" * 100_000}, "a group is letters"),
        ({"group": "a b c d"}, "at most as many as rows"),
        ({"first_share": 2.0}, r"not in \[0, 1\]"),
        ({"gap": {"value": 0.0, "p": 1.0, "p_holm": 1e308}}, r"not in \[0, 1\]"),
    ],
)
def test_a_stored_board_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    content = json.loads(board().to_json())
    content["rows"][1] |= changes
    with pytest.raises(UsageError, match=message):
        Board.from_json(json.dumps(content))


def test_a_tested_difference_needs_the_level_of_the_test() -> None:
    content = json.loads(board().to_json()) | {"uncertainty": None}
    with pytest.raises(UsageError, match="without the level of the test"):
        Board.from_json(json.dumps(content))


def test_a_huge_value_is_a_power_of_ten() -> None:
    assert board().number(-1e308) == "-1.0000e+308"
    assert board().number(123456789012345.25) == "123456789012345.2500"


def test_a_team_is_shown_with_its_folder_where_the_names_differ() -> None:
    rows = [replace(row("ours", overall=0.5, mse=0.1), team_name="Winners"), row("theirs", overall=0.5, mse=0.1)]
    assert board(rows).columns()[1].cells == ["Winners (ours)", "theirs"]
