"""Every class of a track is held out, one after the other, and the scores of the detectors are averaged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from merbench.engine import ShowProgress, named_progress
from merbench.errors import UsageError, listed
from merbench.targets.categorical import CategoricalTarget
from merbench.track import Track, load_track
from merbench.training.declaration import load_baseline
from merbench.training.hold_out import NothingUnknown, kebab
from merbench.training.records import StoredRun
from merbench.training.run import default_folder, kept_run
from merbench.training.trainings import RunSettings
from merbench.training.unknown.report import UnknownReport, unknown_report
from merbench.training.unknown.runs import EACH, REPORT, stored_held_out, write_report


@dataclass(frozen=True, eq=False)
class RunsInTurn:
    """One run for every class: the folder, the runs in it, and the report on all."""

    folder: Path
    runs: tuple[StoredRun, ...] = field(repr=False)
    report: UnknownReport


def classes_in_turn(track: Track) -> tuple[str, ...]:
    """Return the classes of the only target of a track that is of labels.

    Raises:
        UsageError: there is no such target, or several; or fewer than two classes would be left.
    """
    targets = {name: target for name, target in track.targets.items() if isinstance(target, CategoricalTarget)}
    if len(targets) != 1:
        several = f"several: {listed(list(targets))}; name the classes" if targets else "none"
        raise UsageError(f"{track.id}: classes are held out in turn of one categorical target; it has {several}")
    [target] = targets.values()
    if len(target.classes) < 3:
        raise UsageError(f"{track.id}: without one of {listed(target.classes)}, fewer than two are left to learn")
    return target.classes


def hold_out_in_turn(
    track: str | Path | Track,
    baseline: str | Path = "attention",
    settings: RunSettings | None = None,
    *,
    output: str | Path | None = None,
    replace_runs: bool = False,
    progress: ShowProgress | None = None,
) -> RunsInTurn:
    """Run a baseline without each class of a track in turn, and report the mean scores of the detectors.

    A class without test samples is left out, which is known when all are answered. What an interrupted call has already
    trained is not trained again.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
        settings: as for `run_baseline`; classes that it holds out are ignored.
        output: folder to write; None is `runs/<track>/<baseline>-without-each`.
        replace_runs: whether what the folder already contains is replaced.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UsageError: the track does not allow it, or the folder has something else.
        WithheldReference: the references of the test samples are withheld.
    """
    declared, settings = track if isinstance(track, Track) else load_track(track), settings or RunSettings()
    name, problems = load_baseline(baseline).name, list[str]()
    folder = default_folder(declared, name, [EACH]) if output is None else Path(output)
    folders = {label: folder / kebab(label) for label in classes_in_turn(declared)}
    _require_free(folder, {path.name for path in folders.values()}, replace_runs=replace_runs)
    runs = []
    for label, path in folders.items():
        own = replace(settings, hold_out=[label], intervals=False)
        shown = named_progress(progress, f"without {label}")
        try:
            runs.append(kept_run(declared, baseline, own, output=path, progress=shown))
        except NothingUnknown as error:
            problems.append(str(error))
    if not runs:
        raise UsageError(*problems)
    warnings = [str(each) for run in runs for each in run.content.get("warnings", ())]
    report = unknown_report(
        [stored_held_out(run) for run in runs],
        title=declared.title,
        baseline=name,
        features=list(runs[0].record.widths),
        remarks=list(dict.fromkeys([*warnings, *problems])),
        intervals=settings.intervals,
    )
    write_report(folder, report)
    return RunsInTurn(folder, tuple(runs), report)


def _require_free(folder: Path, own: set[str], *, replace_runs: bool) -> None:
    """Raise `UsageError` if a folder has something else than such runs, or a report that may not be replaced."""
    report = {f"{REPORT}.{suffix}" for suffix in ("json", "md", "html")}
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()
    if others := sorted(found - own - report):
        raise UsageError(f"{folder}: has something else than runs without a class: {listed(others)}")
    if found & report and not replace_runs:
        raise UsageError(f"{folder}: already contains such runs; --force replaces them, --output names another folder")
