"""docs/claims.md shows what is stored; no shipped claim names what does not exist."""

from __future__ import annotations

from pathlib import Path

from golden_values import claims_page

from merbench.claims import stored_claims
from merbench.training.declaration import list_baselines

ROOT = Path(__file__).parents[2]


def test_the_page_of_claims_is_current() -> None:
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert page == claims_page(page), "make golden writes it again"


def test_every_claim_of_a_shipped_baseline_is_on_the_page() -> None:
    declared = {(name, claim.name) for name, known in list_baselines() for claim in known.claims}
    assert {(row.baseline, row.claim) for row in stored_claims().results} == declared
