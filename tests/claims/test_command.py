"""`merbench claims`: forms, exit codes, what is written, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

from merbench.claims import ClaimsReport
from tests.claims.conftest import BETTER, MODEL, Claimant
from tests.cli.conftest import Command, merbench

__all__ = ["merbench"]


def test_results_are_printed_written_and_stored(claimant: Claimant, merbench: Command, tmp_path: Path) -> None:
    folder = claimant(BETTER, BETTER.replace("small", "ravdess"))
    code, out, err = merbench("claims means --write")
    assert (code, err.splitlines()[-1]) == (0, f"wrote {folder / 'claims.json'}")
    lines = out.splitlines()
    assert lines[:7] == [
        "2 claims of 1 system", "", "means", "", "It is so.", "  source: Table 0", "  check: difference of overall > 0"
    ]  # fmt: skip
    assert re.fullmatch(
        r"    small  0\.\d{4} \[0\.\d{4}, 0\.\d{4}\], (-?\d\.\d{4}) against (-?\d\.\d{4})  holds", lines[7]
    )
    assert lines[12].startswith("    ravdess  cannot be checked here: no corpus named 'ravdess'")
    assert "holds: 1, does not hold: 0, undecided: 0, cannot be checked here: 1" in out
    code, stored, _ = merbench("claims means --stored --format json")
    report = ClaimsReport.from_json(stored)
    assert [row.verdict for row in report.results] == ["holds", "cannot be checked here"]
    for suffix, begin in ((".md", "## 2 claims"), (".html", "<!doctype html>"), (".tex", "% 2 claims"), (".json", "{")):
        assert merbench(f"claims means --output report{suffix}")[0] == 0
        assert (tmp_path / f"report{suffix}").read_text().lower().startswith(begin), suffix
    assert json.loads((tmp_path / "report.json").read_text())["schema"] == "merbench.claims-report/1"


def test_a_finding_is_no_error_and_a_failure_is(claimant: Claimant, merbench: Command) -> None:
    claimant(BETTER.replace("0.0", "1.0"))
    assert merbench("claims means")[0] == 0
    claimant(BETTER, model=MODEL.replace("self.track, codes =", "1 / 0; self.track, codes ="))
    code, _, err = merbench("claims means")
    assert (code, err.splitlines()[-1]) == (5, "failed: 1 check")


def test_what_contradicts_is_refused(claimant: Claimant, merbench: Command) -> None:
    claimant(BETTER)
    assert merbench("claims means --stored --rerun")[::2] == (
        2,
        "--stored shows what is stored: it is not given with --rerun, --write or --track\n",
    )
    assert merbench("claims meens")[0] == 2
    assert merbench("claims means --engine dusk")[0] == 2
    assert merbench("claims means --output report.docx")[0] == 2


def test_other_folders_of_runs_are_used(claimant: Claimant, merbench: Command, tmp_path: Path) -> None:
    claimant(BETTER)
    assert merbench("claims means --runs kept --track small")[0] == 0
    assert len(list((tmp_path / "kept" / "small").glob("means-*/run.json"))) == 2
    assert not (tmp_path / "runs").exists()
