"""The command line prints what it printed: every golden transcript is run again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from golden_values import TRANSCRIPTS
from transcripts import Step, replay, run

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="transcripts: no bash")


@pytest.mark.slow
@needs_bash
@pytest.mark.parametrize("path", sorted(TRANSCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_transcript_is_printed_again(path: Path, own_home: Path, tmp_path: Path) -> None:
    recorded = path.read_text(encoding="utf-8")
    assert replay(recorded, tmp_path, own_home) == recorded


@needs_bash
def test_output_and_exit_code_are_recorded(tmp_path: Path) -> None:
    assert run("echo out; echo err >&2; exit 3", tmp_path, tmp_path) == "out\nerr\n[exit 3]\n"
    assert run("true", tmp_path, tmp_path) == ""


def test_an_elision_matches_any_lines_and_nothing_else() -> None:
    expected = Step("x", "first\n...\nlast\n")
    assert expected.matches("first\nlast\n")
    assert expected.matches("first\nsecond\nthird\nlast\n")
    assert not expected.matches("first\nsecond\n")
    assert not expected.matches("zero\nfirst\nlast\n")
