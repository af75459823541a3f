"""`merbench predict` and `merbench runs`: what baselines left behind is used again, listed and compared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from merbench.cli import options
from merbench.cli.options import INPUT, OUTPUT
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_json, print_line, print_list, print_report, print_table
from merbench.errors import WITH_PROBLEMS, UsageError, did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from merbench.report import ReportTable
    from merbench.training import StoredRun

DECIMALS = 4
"""How many decimals of a score are shown."""

LEARNED_FROM = ("training", "cross_validation", "n_train", "label_corruption", "hold_out")
"""Keys of a record: where they differ, cross-validated values are about different samples."""


def predict(
    run: Path = argument("RUN", "Folder of a run."),
    target: str = argument(
        "TRACK|CORPUS", "Name or folder of a track with the targets of the run, or of a corpus with its features."
    ),
    split: str | None = option(
        INPUT, "--split NAME", "Split of the track, or of the corpus. [default: test of a track, all of a corpus]"
    ),
    seed: int | None = option(
        INPUT, "--seed N", "Seed whose models answer. [default: first of the run]", min=0, max=options.MOST_SEED
    ),
    baseline: str | None = option(
        INPUT, "--baseline NAME", "Name or folder of the baseline. [default: recorded by the run]"
    ),
    device: options.Device = "auto",
    intervals: options.Intervals = True,
    output: Path | None = option(
        OUTPUT, "--output -o DIR", "Folder to write. [default: predictions/TRACK|CORPUS in the folder of the run]"
    ),
    force: options.Force = False,
) -> None:
    """Predict other samples with the models of a run."""
    from merbench.training import open_models
    from merbench.training import predict as predicted

    models = open_models(run, seed=seed, baseline=baseline, device=device)
    prediction = predicted(models, target, split=split, output=output, intervals=intervals, replace=force)
    candidates = prediction.candidates
    averaged = f" of {len(models.models)} models" if len(models.models) > 1 else ""
    print_line(
        f"{models.loaded.name} of {models.run.record.track.key}, seed {models.seed}: answers{averaged} for "
        f"{len(candidates):,} samples of corpus '{candidates.corpus.name}', split '{candidates.split}'"
    )
    for warning in prediction.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print_line(f"wrote {prediction.folder}")
    print()
    print_report(prediction.report, prediction.withheld)


def runs(
    track: str | None = argument("TRACK", "Name or folder of a track. [default: all tracks]", None),
    folder: Path = option(INPUT, "--runs DIR", "Folder of the runs, searched with those below it.", Path("runs")),
    diff: tuple[Path, Path] | None = option(
        INPUT, "--diff RUN RUN", "Two folders of runs: show what differs between them instead."
    ),
    form: options.ListFormatOption = options.ListFormat.table,
) -> None:
    """List runs of baselines with scores and options."""
    from merbench.training.records import find_runs, read_run

    if diff is not None:
        _print_differences(read_run(diff[0]), read_run(diff[1]), form)
        return
    known, problems = find_runs(folder)
    if track is not None:
        known = _of_track(known, track, folder)
    if known or form is options.ListFormat.json:
        print_list("runs", known, _table, _record, form)
    else:
        print_line(f"no runs in {folder}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise typer.Exit(WITH_PROBLEMS)


def _of_track(known: Sequence[StoredRun], track: str, folder: Path) -> list[StoredRun]:
    wanted = Path(track).name
    chosen = [run for run in known if wanted in (run.record.track.key, run.record.track.id)]
    if not chosen:
        ids = sorted({run.record.track.id for run in known})
        of_others = f"; it has runs of {listed(ids, 12)}" if ids else ""
        raise UsageError(f"{folder}: no runs of track '{wanted}'{of_others}{did_you_mean(wanted, ids)}")
    return chosen


def _table(known: Sequence[StoredRun]) -> ReportTable:
    from merbench.report import ReportTable

    head = ("run", "track", "baseline", "features", "seeds", "metric", "cross-validated", "test", "options")
    return ReportTable("", head, [_row(run) for run in known])


def _row(run: StoredRun) -> tuple[str, ...]:
    record, (name, key) = run.record, next(iter(run.names().items()), ("", ""))
    return (
        str(run.folder),
        record.track.key,
        record.baseline.name + (f" ({record.baseline.preset})" if record.baseline.preset else ""),
        " ".join(record.widths or record.features),
        " ".join(str(each.seed) for each in record.runs),
        name,
        _shown(record.cross_validated, key),
        _shown(record.test, key),
        " ".join(f"{option}={value}" for option, value in record.options.items()),
    )


def _shown(scores: Mapping[str, Any] | None, key: str) -> str:
    from merbench.training.output import with_deviation

    if scores is None:
        return "withheld"
    value = scores.get(key)
    return "" if value is None else with_deviation(value.mean, value.deviation, DECIMALS)


def _record(run: StoredRun) -> dict[str, Any]:
    return {"run": str(run.folder), **{key: value for key, value in run.content.items() if key != "schema"}}


def _print_differences(left: StoredRun, right: StoredRun, form: options.ListFormat) -> None:
    """Print what differs between two runs, and the scores of both where they are of one track."""
    from merbench.files.journal import short
    from merbench.report import ReportTable
    from merbench.training.records import differences

    differing = differences(left, right)
    if form is options.ListFormat.json:
        items = [{"key": key, "left": first, "right": second} for key, first, second in differing]
        print_json("run-differences", runs=[_record(left), _record(right)], differences=items)
        return
    print_line(f"A: {left.folder}")
    print_line(f"B: {right.folder}")
    print()
    rows = [(key, *("" if value is None else short(value) for value in values)) for key, *values in differing]
    if rows:
        print_table(ReportTable("", ("", "A", "B"), rows))
    else:
        print_line("the configurations are the same")
    print()
    if left.record.track.fingerprint != right.record.track.fingerprint:
        print_line("the runs are of different tracks: their scores are not comparable")
        return
    a, b = left.record, right.record
    sides = (a.cross_validated, b.cross_validated, a.test, b.test)
    scores = [(name, *(_shown(side, key) for side in sides)) for name, key in left.names().items()]
    print_table(ReportTable("", ("", "A, cross-validated", "B, cross-validated", "A, test", "B, test"), scores))
    print()
    if any(key.partition(".")[0] in LEARNED_FROM for key, *_ in differing):
        print_line("what is learned from, or how it is divided, differs: cross-validated values are not comparable")
    command = f"merbench compare {a.track.id} A/submission.csv B/submission.csv"
    print_line(f"`{command}` tests the difference on the test split")
