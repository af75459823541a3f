"""What a run without some classes leaves of its detectors: a submission of each, by seed, and the report.

`run.json` lists the detectors with the passes that were counted; `detectors/` has their submissions to `ood-emotion`,
which is next to them. Everything that compares detectors reads these files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import UsageError
from merbench.files.writing import write_text
from merbench.submission import read_submission
from merbench.track import load_track
from merbench.training.hold_out import KNOWN_TRACK, SCORE
from merbench.training.output import write_submission
from merbench.training.protocol import Predictions
from merbench.training.records import StoredRun
from merbench.training.results import BaselineRun
from merbench.training.unknown.report import HeldOut, UnknownReport, unknown_report
from merbench.training.unknown.scores import RunDetected

FOLDER, REPORT = "detectors", "unknown"

EACH = "each"
"""In place of a class: every class is held out, one after the other."""


def file_of(label: str) -> str:
    """Return the name of the submission of a detector: its label, with - for what names of files may not have."""
    return f"{re.sub(r'[^a-z0-9.]+', '-', label.lower())}.csv"


def write_detected(folder: Path, candidates: Candidates, run: BaselineRun, found: RunDetected) -> list[dict[str, Any]]:
    """Write the submissions of all detectors, and return what the run record has of them."""
    several = len(run.seeds) > 1
    places = [folder / f"seed-{seed.seed}" if several else folder for seed in run.seeds]
    pairs = [*zip(places, found.seeds, strict=True), *([(folder, found.seeds[0])] if several else [])]
    for place, detectors in pairs:
        for each in detectors:
            path = place / FOLDER / file_of(each.detector.label)
            write_submission(path, candidates, Predictions({SCORE: each.scores}))
    return [
        {
            "name": each.detector.label,
            "says": each.detector.title,
            "settings": each.detector.values,
            "forward": each.forward,
            "backward": each.backward,
        }
        for each in found.seeds[0]
    ]


def held_out(folder: Path, classes: Sequence[str], seeds: Sequence[int], detectors: Sequence[Any]) -> HeldOut:
    """Return what a run left in its folder.

    Args:
        folder: of the run.
        classes: that were held out.
        seeds: of the run.
        detectors: `detectors` of its record.

    Raises:
        WithheldReference: the references of the test samples are withheld.
    """
    candidates = open_candidates(load_track(folder / KNOWN_TRACK))
    places = [folder / f"seed-{seed}" for seed in seeds] if len(seeds) > 1 else [folder]
    submissions = {
        each["name"]: [read_submission(place / FOLDER / file_of(each["name"]), candidates) for place in places]
        for each in detectors
    }
    about = {each["name"]: (each["says"], each["forward"], each["backward"]) for each in detectors}
    _ = candidates.references  # withheld ones are reported here, before anything is scored
    return HeldOut(tuple(classes), candidates, submissions, about)


def stored_held_out(run: StoredRun) -> HeldOut:
    """Return what a stored run left; raise `UsageError` if it has no detectors."""
    if "detectors" not in run.content:
        raise UsageError(f"{run.path}: no class was held out, or by an earlier version of merbench; run it again")
    seeds = [each.seed for each in run.record.runs]
    return held_out(run.folder, run.record.hold_out, seeds, run.content["detectors"])


def report_of(folder: Path, run: BaselineRun, detectors: Sequence[Any], remark: str, intervals: bool) -> UnknownReport:
    """Return the report on a run, which is written next to it as JSON, Markdown and a page."""
    own = held_out(folder, run.hold_out, [seed.seed for seed in run.seeds], detectors)
    report = unknown_report(
        [own],
        title=run.track.title,
        baseline=run.baseline,
        features=run.features,
        remarks=[remark] if remark else [],
        intervals=intervals,
    )
    write_report(folder, report)
    return report


def write_report(folder: Path, report: UnknownReport) -> None:
    """Write a report as JSON, Markdown and a page."""
    for suffix, text in (("json", report.to_json()), ("md", report.to_markdown()), ("html", report.to_html())):
        write_text(folder / f"{REPORT}.{suffix}", text)
