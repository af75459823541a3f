"""Fixtures that write a file and read it as a submission."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blind_candidates import blind_candidates, sample_ids

from merbench.corpus.candidates import Candidates
from merbench.errors import InvalidSubmission
from merbench.submission import Submission, read_submission


@pytest.fixture
def make_candidates(tmp_path: Path) -> Callable[..., Candidates]:
    """Return a function from the number of candidates (or their ids), targets and rules to blind candidates."""

    def make(ids: int | list[str] = 12, targets: dict[str, Any] | None = None, **rules: Any) -> Candidates:
        return blind_candidates(tmp_path / "t", sample_ids(ids) if isinstance(ids, int) else ids, targets, **rules)

    return make


@pytest.fixture
def candidates(make_candidates: Callable[..., Candidates]) -> Candidates:
    return make_candidates()


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, candidates: Candidates) -> Callable[..., Submission]:
    """Return a function that writes a file and reads it as a submission."""

    def write_and_read(data: str | bytes, name: str = "submission.csv", of: Candidates | None = None) -> Submission:
        monkeypatch.chdir(tmp_path)
        Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_submission(name, of or candidates)

    return write_and_read


@pytest.fixture
def refused(read: Callable[..., Submission]) -> Callable[..., str]:
    """Return a function that writes a file and returns the message that refuses it."""

    def message(data: str | bytes, name: str = "submission.csv", of: Candidates | None = None) -> str:
        with pytest.raises(InvalidSubmission) as caught:
            read(data, name, of)
        assert all(not problem.is_warning for problem in caught.value.problems)
        return str(caught.value)

    return message
