"""What commands share: help by -h, completion, lists as JSON, tables as wide as the terminal, progress in a log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from merbench.cli import run
from merbench.cli.printing import progress_bar
from merbench.report import ReportTable

Capture = pytest.CaptureFixture[str]

WIDE = ReportTable(
    "",
    ("track", "score", "title"),
    [
        ("a-rather-long-track", "weighted_f1 - 0.25 * mse", "MER 2023 · MER-MULTI"),
        ("b", "accuracy", "[red]not markup[/] of 60 letters, and one of a single row at that"),
    ],
)


@pytest.mark.parametrize("words", [(), ("score",), ("corpus", "import")])
def test_h_is_help(words: tuple[str, ...], capsys: Capture) -> None:
    assert run([*words, "-h"]) == 0
    short = capsys.readouterr().out
    assert run([*words, "--help"]) == 0
    assert short == capsys.readouterr().out != ""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("merbench val", ["validate", "validate-entries"]),
        ("merbench score mer-n", ["mer-noise", "mer-noise-media"]),
        ("merbench run-baseline mer-multi --baseline maj", ["majority"]),
    ],
)
def test_a_shell_completes_commands_and_names(typed: str, completed: list[str]) -> None:
    answers = {"_MERBENCH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'merbench'; from merbench.__main__ import main; main()"],
        env={**os.environ, **answers},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == completed


@pytest.mark.parametrize(
    ("words", "name", "key", "one"),
    [
        ("tracks", "tracks", "id", "mer-multi"),
        ("metrics", "metrics", "name", "weighted_f1"),
        ("baselines", "baselines", "name", "majority"),
        ("corruptions", "corruptions", "name", "packet_loss"),
        ("corpus list", "releases", "release", "mer2023"),
        ("bank list", "banks", "bank", "synthetic"),
        ("lexicon list", "lexicons", "lexicon", "english"),
    ],
)
def test_a_list_is_printed_as_json(words: str, name: str, key: str, one: str, capsys: Capture) -> None:
    assert run([*words.split(), "--format", "json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert content["schema"] == f"merbench.{'corpora' if name == 'releases' else name}/1"
    assert one in [record[key] for record in content[name]]
    assert run(words.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {record[key] for record in content[name]} <= {line.split()[0] for line in lines if line}


def test_a_table_fits_its_width_and_loses_no_letter() -> None:
    for width in (50, 60, 80):
        text = WIDE.to_text(align="left", width=width)
        assert max(map(len, text.splitlines())) <= width
        # Cells continue below: the letters of each column, from top to bottom, are still all there.
        letters = sorted(text.replace(" ", "").replace("\n", ""))
        assert letters == sorted("".join(cell for row in (WIDE.head, *WIDE.rows) for cell in row).replace(" ", ""))
        assert "a-rather-long-track  " in text
    assert "weighted_f1" in WIDE.to_text(align="left", width=60)  # no word is divided while lines fit without


def test_a_number_is_never_divided() -> None:
    rows = [("system", "[-0.8752, -0.0150]", "-0.8752"), ("other", "[0.0001, 0.0002]", "0.0001")]
    lines = ReportTable("", ("name", "interval", "difference"), rows).to_text(width=25).splitlines()
    assert [line.split() for line in lines] == [
        ["name", "interval", "difference"],
        ["system", "[-0.8752,", "-0.8752"],
        ["-0.0150]"],
        ["other", "[0.0001,", "0.0001"],
        ["0.0002]"],
    ]
    assert WIDE.to_text(align="left", width=200) == WIDE.to_text(align="left")


def test_output_that_is_no_terminal_is_not_folded(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    assert run(["tracks", "--family", "mer"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) > 70
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run(["tracks", "--family", "mer"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 70


def test_a_log_gets_a_line_of_progress_now_and_then(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with progress_bar() as show:
        for done in range(1, 41):
            show("clips", done, 40)
            now += 1.0  # a clip a second: 11, 21 and 31 are done after 10 s, 20 s and 30 s
    assert capsys.readouterr().err.splitlines() == [
        "clips: 11 of 40, 1.0/s, 29 s left",
        "clips: 21 of 40, 1.0/s, 19 s left",
        "clips: 31 of 40, 1.0/s, 9 s left",
    ]
    with progress_bar() as show:
        for done in range(3):
            show("runs", done, 3)
            now += 20.0  # a rate of 0.05 would be shown as 0.1, or 0.0
    assert capsys.readouterr().err.splitlines() == [
        "runs: 1 of 3, 20 s each, 40 s left",
        "runs: 2 of 3, 20 s each, 20 s left",
    ]
