"""A small release, and a data home of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from lexicon_release import write_release


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a folder of a release."""
    return write_release(tmp_path / "tiny")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where lexicons are kept."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "lexicons"
