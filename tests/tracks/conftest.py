"""Data homes and folders of releases for the tests of tracks."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a test a data home without corpora."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return the folder of a release."""
    return tmp_path / "released"
