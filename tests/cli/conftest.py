"""The command line as tests call it."""

from __future__ import annotations

from collections.abc import Callable

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
