"""docs/claims.md shows what is stored; no shipped claim names what does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_values import pages_of_claims

from merbench.claims import stored_claims
from merbench.training.declaration import list_baselines


@pytest.mark.parametrize(("path", "text"), pages_of_claims().items(), ids=lambda path: str(path)[-30:])
def test_pages_of_claims_are_current(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "make golden writes it again"


def test_every_claim_of_a_shipped_baseline_is_on_the_page() -> None:
    declared = {(name, claim.name) for name, known in list_baselines() for claim in known.claims}
    assert {(row.baseline, row.claim) for row in stored_claims().results} == declared
