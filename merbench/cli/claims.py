"""`merbench claims`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from merbench.cli import options
from merbench.cli.options import EXECUTION, INPUT, OUTPUT
from merbench.cli.parser import argument, option
from merbench.cli.printing import progress_bar
from merbench.cli.scoring import form_of, rendered, write_report
from merbench.errors import WITH_PROBLEMS, UsageError, plural, printable


def claims(
    baselines: list[str] = argument("BASELINE", "Names or folders of baselines. [default: all]", None),
    track: list[str] | None = option(
        INPUT, "--track NAME", "Check only claims about scores on this track; repeatable. [default: all claims]"
    ),
    rerun: bool = option(EXECUTION, "--rerun", "Measure everything again; kept runs are replaced.", False),
    stored: bool = option(EXECUTION, "--stored", "Show what is stored, without training or computing.", False),
    device: options.Device = "auto",
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    runs: Path | None = option(OUTPUT, "--runs DIR", "Folder of the runs. [default: runs/claims]"),
    write: bool = option(OUTPUT, "--write", "Store results in the folders of the baselines, as claims.json.", False),
    form: options.ReportFormatOption = None,
    output: options.ReportOutput = "-",
) -> None:
    """Check what the papers of baselines claim.

    Runs that a claim needs are trained once, and kept. The exit code is 0 whether claims hold or not; 5 if something
    failed that a claim needs.
    """
    from merbench.claims import ROOT, Settings, check_claims, stored_claims, write_results

    if stored and (rerun or write or track):
        raise UsageError("--stored shows what is stored: it is not given with --rerun, --write or --track")
    shape = form or form_of(output)
    settings = Settings(
        rerun=rerun,
        tracks=track or (),
        device=device,
        workers=workers,
        engine=engine,
        root=ROOT if runs is None else runs,
    )
    with progress_bar() as progress:
        report = stored_claims(baselines or ()) if stored else check_claims(baselines or (), settings, progress)
    write_report(output, shape, rendered(report, shape, output))
    for path in write_results(report, baselines or ()) if write else ():
        print(f"wrote {printable(str(path), None)}", file=sys.stderr)
    if report.failures:
        print(f"failed: {plural(len(report.failures), 'check')}", file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)
