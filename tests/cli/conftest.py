"""The command line as tests call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from merbench.cli import run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def merbench(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command, given as one line or as words: exit code, output, messages."""

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(words[0].split() if len(words) == 1 else words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def submission(sample_home: Path, tmp_path: Path) -> Path:
    """Return a valid file for mer-multi."""
    path = tmp_path / "submission.csv"
    assert run(["describe", "mer-multi", "--template", str(path)]) == 0
    return path


@pytest.fixture
def here(sample_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
