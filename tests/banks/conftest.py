"""A data home of its own for every test of noise banks; without the library that reads sounds there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("soundfile")
pytest.importorskip("soxr")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of banks of a data home."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "banks"
