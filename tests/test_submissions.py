"""The entries and boards that are shipped, and what `submissions/README.md` says about entries."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from merbench.cli import run
from merbench.leaderboard.entry import EntryCard

SUBMISSIONS = Path(__file__).parent.parent / "submissions"

pytestmark = pytest.mark.skipif(not SUBMISSIONS.is_dir(), reason="submissions: this is not a checkout")


def test_the_card_in_the_readme_names_every_key() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (SUBMISSIONS / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    raw = tomllib.loads(block)
    assert list(raw) == list(EntryCard.model_fields)
    EntryCard.model_validate(raw)


def test_the_shipped_entries_are_valid(sample_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate-entries", "--submissions", str(SUBMISSIONS)]) == 0
    assert "E4" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_shipped_boards_are_not_stale(sample_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["leaderboard", "--submissions", str(SUBMISSIONS), "--check"]) == 0, capsys.readouterr().err
