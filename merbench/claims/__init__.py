"""The ledger of claims: what papers claim of their systems, checked: see `docs/claims.md`."""

from merbench.claims.check import ROOT, Settings, check_claims, stored_claims, write_results
from merbench.claims.exact import computed
from merbench.claims.report import ClaimsReport, Measured, Result, verdict
from merbench.claims.stored import read_stored

__all__ = [
    "ROOT",
    "ClaimsReport",
    "Measured",
    "Result",
    "Settings",
    "check_claims",
    "computed",
    "read_stored",
    "stored_claims",
    "verdict",
    "write_results",
]
