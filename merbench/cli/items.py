"""`merbench items`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merbench.cli import options
from merbench.cli.options import INPUT, OUTPUT
from merbench.cli.parser import argument, option
from merbench.cli.scoring import form_of, rendered, require_track_first, write_report
from merbench.errors import (
    DeclarationError,
    InvalidSubmission,
    MerbenchError,
    UnreadableMedia,
    UsageError,
    plural,
    problem_list,
)
from merbench.files.paths import require_apart

if TYPE_CHECKING:
    from merbench.corpus.candidates import Candidates
    from merbench.report import ItemReport

ItemFormat = StrEnum("ItemFormat", "table json csv markdown html latex")


def items(
    track: options.Track,
    files: list[str] | None = argument("FILE", "Submissions. [default: the entries of the track]", None),
    names: list[str] | None = option(
        INPUT, "--name NAME", "Name of a system; once per file, in order. [default: from the path]"
    ),
    submissions: options.Submissions = Path("submissions"),
    split: options.Split = "test",
    rename: options.Rename = None,
    media: Path | None = option(INPUT, "--media DIR", "Folder of clips, for --preview."),
    target: str | None = option(
        OUTPUT, "--target NAME", "Target of the track. [default: that of the first metric that ranks]"
    ),
    top: int = option(OUTPUT, "--top N", "Samples of each list.", 10, min=1, max=100_000),
    columns: list[str] | None = option(OUTPUT, "--column NAME", "Column of the corpus to show; repeatable."),
    preview: Path | None = option(
        OUTPUT, "--preview FILE", "Draw the clips worth a second look, else those missed by all, as .png or .svg."
    ),
    form: ItemFormat | None = option(
        OUTPUT, "--format", "Format of the report. [default: by the suffix of --output, else table]"
    ),
    output: options.ReportOutput = "-",
) -> None:
    """Show what many systems make of single samples.

    Which samples all systems miss, which separate good systems from bad, and which references they contradict.
    """
    from merbench.scoring import items as items_of
    from merbench.scoring.aligned import candidates_of
    from merbench.scoring.samples import require_visible

    require_track_first("items", track, files or [])
    require_apart(output, files or [], "one of the submissions")
    if names and not files:
        raise UsageError("--name names files of submissions, and none is given")
    if (preview is None) != (media is None):
        raise UsageError("--media DIR and --preview FILE are given together")
    if preview is not None and preview.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--preview {preview}: unknown suffix '{preview.suffix}'; allowed: .png, .svg")
    as_csv = form is ItemFormat.csv or (form is None and Path(output).suffix.lower() == ".csv")
    shape = None if as_csv else options.ReportFormat(form.value) if form else form_of(output)
    candidates = candidates_of(track, split)
    require_visible(candidates, "what systems make of single samples")
    systems = _given(candidates, files, names, rename) if files else dict(_entries(candidates, submissions))
    report = items_of(candidates, systems, target=target, top=top, columns=columns or [])
    text = report.to_csv() if shape is None else rendered(report, shape, output)
    if preview is not None and media is not None:
        _draw(report, candidates, media, preview)
    write_report(output, shape, text)


def _given(
    candidates: Candidates, files: list[str], names: list[str] | None, rename: list[str] | None
) -> dict[str, Any]:
    from merbench.scoring.aligned import read_for
    from merbench.scoring.comparison import named_sources

    columns, systems, failures = options.renamed(rename), dict[str, Any](), list[MerbenchError]()
    for name, source in named_sources(files, names).items():
        try:
            systems[name] = read_for(candidates, source, columns)
        except (InvalidSubmission, UsageError) as error:
            failures.append(error)
    for failure in failures[:-1]:
        print(failure, file=sys.stderr)
    if failures:
        raise failures[-1]
    return systems


def _entries(candidates: Candidates, submissions: Path) -> Iterator[tuple[str, Any]]:
    """Yield the valid entries of the track by team and run; the others are named on standard error."""
    from merbench.leaderboard.entry import failure, place_of, read_entry, run_folders
    from merbench.submission import read_submission

    folders = run_folders(submissions, candidates.track.id)
    if not folders:
        raise UsageError(f"{submissions}: no entry of {candidates.track.id}; name files of submissions")
    for folder in folders:
        try:
            entry = read_entry(submissions, folder)
            yield f"{entry.team}/{entry.run}", read_submission(entry.submission, candidates, rename=entry.card.rename)
        except Exception as error:  # the other entries are used
            problems = error.problems if isinstance(error, (DeclarationError, InvalidSubmission)) else [failure(error)]
            print(problem_list(place_of(submissions, folder), problems), file=sys.stderr)


SHOWN = 12
"""How many clips a contact sheet shows at most."""


def _draw(report: ItemReport, candidates: Candidates, media: Path, preview: Path) -> None:
    """Draw the clips of the samples worth a second look, or, without any, of those that all systems miss."""
    from merbench.charts import Specimen, contact_sheet, require_matplotlib
    from merbench.corpus.clips import find_clips
    from merbench.corrupt.preview import specimen_of

    require_matplotlib()
    clips, specimens = find_clips(candidates.samples, [media]), list[Specimen]()
    for item in report.contradicted or report.missed:
        path = clips.paths.get(item.id)
        if path is None or len(specimens) == SHOWN:
            continue
        say = f", the systems say {item.answer}" if item.answer else ""
        try:
            specimens.append(specimen_of(path, item.id, f"reference {item.reference}{say}"))
        except UnreadableMedia as error:
            print(error, file=sys.stderr)
    if not specimens:
        raise UsageError(f"{media}: has no clip of the samples listed")
    contact_sheet(preview, specimens)
    print(f"{preview}: {plural(len(specimens), 'clip')}", file=sys.stderr)
