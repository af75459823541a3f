"""Problems as text, as JSON and as GitHub annotations; suggestions of similar names."""

from __future__ import annotations

import difflib
import json
import os
import tomllib

import pytest

from merbench.errors import (
    InvalidSubmission,
    Problem,
    UsageError,
    did_you_mean,
    examples,
    fault,
    github_annotations,
    json_text,
    nearest,
    printable,
    problem_list,
    problems_json,
)

PROBLEMS = [
    Problem("E203", "'100%' is\nnot a label", line=5, column="discrete", id="a"),
    Problem("E301", "2 of 9 candidates missing: b, c"),
    Problem("E204", "… and 7 more", column="valence", count=7),
]


def test_the_heading_counts_what_is_not_shown() -> None:
    assert problem_list("a.csv", PROBLEMS[1:]) == (
        "a.csv: 8 problems\n  E301  2 of 9 candidates missing: b, c\n  E204  valence: … and 7 more"
    )


def test_only_warnings_are_called_warnings() -> None:
    assert problem_list("a.csv", [Problem("W201", "x")]).startswith("a.csv: 1 warning\n")


def test_github_reads_one_command_per_problem() -> None:
    assert github_annotations("runs/a,b:c.csv", [*PROBLEMS[:2], Problem("W201", "unused")]) == (
        "::error file=runs/a%2Cb%3Ac.csv,line=5,title=E203::discrete: '100%25' is\\nnot a label\n"
        "::error file=runs/a%2Cb%3Ac.csv,title=E301::2 of 9 candidates missing: b, c\n"
        "::warning file=runs/a%2Cb%3Ac.csv,title=W201::unused\n"
    )
    assert github_annotations("a.csv", []) == ""


def test_json_has_every_field() -> None:
    content = json.loads(problems_json("a.csv", PROBLEMS[:1]))
    assert content == {
        "schema": "merbench.problems/1",
        "where": "a.csv",
        "valid": False,
        "problems": [
            {
                "code": "E203",
                "severity": "error",
                "message": "'100%' is\\nnot a label",
                "line": 5,
                "column": "discrete",
                "id": "a",
                "count": 1,
            }
        ],
    }


def test_json_of_warnings_is_valid() -> None:
    content = json.loads(problems_json("a.csv", [Problem("W201", "x")]))
    assert (content["valid"], content["problems"][0]["severity"]) == (True, "warning")
    assert json.loads(problems_json("a.csv", []))["valid"] is True


def test_five_examples_and_how_many_more() -> None:
    found = examples(range(8), lambda i: Problem("E204", f"item {i}", column="valence"))
    assert [problem.message for problem in found] == [*(f"item {i}" for i in range(5)), "… and 3 more"]
    assert (found[-1].column, found[-1].count) == ("valence", 3)
    assert examples([], lambda i: Problem("E204", i)) == []


def test_the_nearest_name() -> None:
    assert nearest("Happy ", ["angry", "happy"]) == "happy"
    assert nearest("hapy", ["angry", "happy"]) == "happy"
    assert nearest("xyz", ["angry", "happy"]) is None


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("hap", ["HAP", "Hap"], "HAP"),
        ("tax", ["tab", "tar", "tan"], "tar"),
        ("tax", ["tar", "tan", "tab"], "tar"),
    ],
)
def test_of_equally_near_names_one_is_suggested_whatever_their_order(
    name: str, options: list[str], expected: str
) -> None:
    """Names that differ only in case: the first; others: the last by alphabet, which `difflib` prefers, too."""
    assert nearest(name, options) == expected
    if name == "tax":
        assert difflib.get_close_matches(name, options, n=1) == [expected]
    assert did_you_mean("hap\u200bpy", ["ha\u200bppy"]) == "; did you mean 'ha\\u200bppy'?"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\x1b[31m\u202e", r"a\nb\x1b[31m\u202e"),
        ("a\u200bb\U000e0041\ufe0f\u3164\ud800\u00a0", r"a\u200bb\U000e0041\ufe0f\u3164\ud800\xa0"),
        ("::error::x", r"\x3a:error::x"),
        (" \t::stop-commands::x", r" \t\x3a:stop-commands::x"),
        ("a ##[error]b ##vso[c", r"a \x23#[error]b \x23#vso[c"),
        ("a::b # c ## d", "a::b # c ## d"),
        ("می‌خواهم ශ්‍රී", "می‌خواهم ශ්‍රී"),
        ("a\u200cb", r"a\u200cb"),
    ],
)
def test_what_a_stranger_wrote_is_shown_on_one_line(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_what_a_stranger_wrote_is_cut() -> None:
    assert printable("x" * 100) == "x" * 59 + "…"
    assert printable("x" * 100, None) == "x" * 100


def test_json_is_printable_and_read_back_as_it_was() -> None:
    content = {"a\u202e": ["\x7f\x1b\ud800\U000e0041 ##[x] é 张 \u2028", "::"]}
    text = json_text(content)
    assert json.loads(text) == content
    assert all(line.isprintable() for line in text.split("\n"))
    assert "##[" not in text
    assert "é 张" in text


def test_a_message_of_several_lines_is_made_of_lines() -> None:
    assert str(UsageError("a\nb: x", "  c\u202e")) == "a\\nb: x\n  c\\u202e"
    error = InvalidSubmission("a\n::error::b", [Problem("E208", "c\nd", column="e\nf")])
    assert str(error) == "a\\n::error::b: 1 problem\n  E208  e\\nf: c\\nd"
    assert fault(error) == "a\\n::error::b: 1 problem; E208  e\\nf: c\\nd"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\na = 2\n", "line 2, column 6: duplicate key"),
        ("[a]\n[a]\n", "line 2, column 3: duplicate table"),
        ("a\n", "line 1, column 2: a key without '='"),
        ("a = x\n", "line 1, column 5: not a TOML value (text needs quotes)"),
        ("= 1\n", "line 1, column 1: neither a key nor a table"),
        ("a = 1 b\n", "line 1, column 7: unexpected text after a value (text needs quotes)"),
        ("a = [1 2]\n", "line 1, column 8: a list without ']'"),
        ("[a\n", "line 1, column 3: a table name without ']'"),
        ("a = '\x01'\n", "line 1, column 6: invalid TOML syntax"),
    ],
)
def test_what_is_wrong_with_toml_is_reported_in_plain_words(text: str, message: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert fault(caught.value) == message


def test_why_a_file_cannot_be_read_or_written() -> None:
    assert fault(OSError(28, "a library's words")) == os.strerror(28)
    assert fault(ValueError("a library's words")) == "corrupted: its content cannot be unpacked"
    assert fault(RecursionError("a library's words")) == "nested too deeply"


def test_a_line_of_a_message_is_bounded() -> None:
    assert len(Problem("E207", "x" * 10_000, column="y" * 10_000).message) == 4000
    assert [len(line) for line in str(UsageError("a" * 10_000, "b")).split("\n")] == [4000, 1]
