"""`merbench baselines`, `merbench run-baseline` and `merbench ensemble`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merbench.cli import options
from merbench.cli.options import INPUT, OUTPUT, TRAINING
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_json, print_line, print_report, print_table, progress_bar, terminal_width
from merbench.errors import MerbenchError, UnknownName, UsageError, in_a_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from merbench.track import Track
    from merbench.training import BaselineDeclaration, BaselineRun, LoadedBaseline, RunSettings


def baselines(
    for_: str | None = option(
        INPUT, "--for TRACK", "Which can be run on a track, or on every track (all), and why others cannot."
    ),
    form: options.ListFormatOption = options.ListFormat.table,
) -> None:
    """List available baselines, and what they can be run on."""
    from merbench.report import ReportTable
    from merbench.training import list_baselines

    if for_ is not None:
        _print_tracks(for_, form)
        return
    known = list_baselines()
    if form is options.ListFormat.json:
        print_json("baselines", baselines=[_baseline_record(name, declared) for name, declared in known])
        return
    rows = [
        (
            name,
            declared.extra or "",
            " ".join(map(str, declared.seeds)),
            ", ".join([*declared.stages, *(["own loop"] if declared.own_loop else [])]),
            declared.paper,
            declared.title,
        )
        for name, declared in known
    ]
    print_table(ReportTable("", ("baseline", "extra", "seeds", "stages", "paper", "title"), rows))


def _print_tracks(name: str, form: options.ListFormat) -> None:
    """Print which baselines can be run on a track, or on every one."""
    from merbench.report import ReportTable
    from merbench.track import list_tracks, load_track
    from merbench.training.plan import why_not

    tracks = list_tracks() if name == "all" else [load_track(name)]
    loaded, unavailable = _loaded_baselines()
    reasons = [(track, {**why_not(track, loaded), **unavailable}) for track in tracks]
    if form is options.ListFormat.json:
        print_json(
            "baselines",
            tracks=[
                {
                    "track": track.key,
                    "learning": track.training.model_dump(mode="json", exclude_defaults=True),
                    "baselines": {baseline: _line(reason) or None for baseline, reason in sorted(by_name.items())},
                }
                for track, by_name in reasons
            ],
        )
        return
    if name != "all":
        _, by_name = reasons[0]
        rows = [(baseline, "no" if reason else "yes", _line(reason)) for baseline, reason in sorted(by_name.items())]
        print_table(ReportTable("", ("baseline", "runs", "why not"), rows))
        return
    lines = [
        (track.id, " ".join(sorted(each for each, reason in by_name.items() if not reason)), _common(track, by_name))
        for track, by_name in reasons
    ]
    shown = [(track, baselines or f"none: {why}") for track, baselines, why in lines]
    print_table(ReportTable("", ("track", "baselines"), shown))
    print(f"{sum(bool(line[1]) for line in lines)} of {len(lines)} tracks can be learned here")


def _line(reason: MerbenchError | None) -> str:
    return "" if reason is None else in_a_line(str(reason))


def _loaded_baselines() -> tuple[list[LoadedBaseline], dict[str, MerbenchError]]:
    """Return the baselines that can be loaded, and by name why others cannot."""
    from merbench.training import list_baselines, load_baseline

    loaded, unavailable = [], {}
    for name, _ in list_baselines():
        try:
            loaded.append(load_baseline(name))
        except MerbenchError as error:
            unavailable[name] = error
    return loaded, unavailable


def _common(track: Track, reasons: Mapping[str, MerbenchError | None]) -> str:
    """Return why none of the baselines can be run: what most of those say whose kinds of target fit; else empty."""
    from merbench.training.needs import OtherTargets

    errors = [error for error in reasons.values() if error is not None]
    if len(errors) < len(reasons):
        return ""
    fitting = [error for error in errors if not isinstance(error, OtherTargets)]
    if not fitting:
        return next(f"no baseline answers {error.others}" for error in errors if isinstance(error, OtherTargets))
    # The names of all corpora would be in the line of every track whose corpus is not here.
    lines = [error.without_known if isinstance(error, UnknownName) else _line(error) for error in fitting]
    return max(lines, key=lines.count).removeprefix(f"{track.id}: ")


def _baseline_record(name: str, declared: BaselineDeclaration) -> dict[str, Any]:
    return {
        "name": name,
        "title": declared.title,
        "paper": declared.paper,
        "extra": declared.extra,
        "answers": list(declared.answers),
        "seeds": list(declared.seeds),
        "stages": list(declared.stages),
        "own_loop": declared.own_loop,
        "options": declared.defaults,
    }


def run_baseline(
    track: options.Track,
    baseline: options.Baseline = "attention",
    settings: options.Set = None,
    feature: options.Feature = None,
    seed: list[int] | None = option(
        TRAINING, "--seed N", "Training seed; repeatable. [default: from baseline.toml]", min=0, max=options.MOST_SEED
    ),
    preset: options.Preset = None,
    folds: options.Folds = None,
    select: options.Select = None,
    leave_out: options.LeaveOut = None,
    labelled: options.Labelled = None,
    hold_out: list[str] | None = option(
        TRAINING,
        "--hold-out CLASS",
        "Do not learn this class; answer how known each sample looks, scored by ood-emotion; repeatable. each: every "
        "class in turn.",
    ),
    detector: list[str] | None = option(
        TRAINING,
        "--detector NAME",
        "With --hold-out, how known samples look, such as energy or knn:k=20; repeatable. [default: all]",
    ),
    device: options.Device = "auto",
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    intervals: options.Intervals = True,
    output: Path | None = option(OUTPUT, "--output -o DIR", "Folder to write. [default: runs/TRACK/BASELINE]"),
    tensorboard: Path | None = option(
        OUTPUT,
        "--tensorboard DIR",
        "Also write every epoch for TensorBoard, while training goes on; with several processes, after each training.",
    ),
    force: options.Force = False,
) -> None:
    """Train a baseline, write its submission, and score it.

    The same command goes on after it was stopped. Any number of workers writes the same files.
    """
    from merbench.training import RunSettings, TensorBoard
    from merbench.training import run_baseline as train

    how = RunSettings(
        preset=preset,
        learning=options.learning(folds, select, leave_out, labelled),
        device=device,
        seeds=seed,
        features=feature,
        options=options.baseline_options(settings),
        hold_out=hold_out or (),
        detectors=detector or (),
        intervals=intervals,
        workers=workers,
        engine=engine,
    )
    if hold_out is not None and "each" in hold_out:
        if len(hold_out) > 1 or tensorboard is not None:
            raise UsageError("--hold-out each: holds out every class in turn; leave out others, and --tensorboard")
        _run_in_turn(track, baseline, how, output, force)
        return
    with progress_bar() as progress, nullcontext() if tensorboard is None else TensorBoard(tensorboard) as log:
        run = train(track, baseline, how, output=output, replace=force, progress=progress, log=log)
    for warning in run.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(_summary(run))
    print_line(f"wrote {run.folder}")
    print()
    if run.n_resumed:
        total = len(run.seeds) * len(run.parts)
        print(f"went on from an interrupted run: {run.n_resumed} of {total} models had been trained")
    if run.label_corruption:
        parameters = ", ".join(f"{name} {value}" for name, value in run.label_corruption.items())
        print(f"training labels were corrupted: {parameters}")
    if len(run.seeds) > 1:
        print(f"submission.csv: seed {run.seeds[0].seed} of {', '.join(str(each.seed) for each in run.seeds)}")
    print_report(run.report, run.withheld)
    if run.unknown is not None:
        print()
        print(run.unknown.to_text(terminal_width()), end="")


def _run_in_turn(track: str, baseline: str, how: RunSettings, output: Path | None, force: bool) -> None:
    """Train a baseline without each class in turn, and print the report on all."""
    from merbench.training.unknown.in_turn import hold_out_in_turn

    with progress_bar() as progress:
        made = hold_out_in_turn(track, baseline, how, output=output, replace_runs=force, progress=progress)
    print_line(f"wrote {made.folder}: {len(made.runs)} runs, each without a class")
    print()
    print(made.report.to_text(terminal_width()), end="")


def ensemble(
    track: options.Track,
    runs: list[str] = argument("RUN", "Folders of runs, or files with probabilities."),
    weight: list[float] | None = option(
        INPUT, "--weight WEIGHT", "Weight of a run; once per run, in order. [default: equal]"
    ),
    split: options.Split = "test",
    intervals: options.Intervals = True,
    output: Path | None = option(OUTPUT, "--output -o DIR", "Folder to write. [default: runs/TRACK/ensemble]"),
    force: options.Force = False,
) -> None:
    """Average several runs into a submission, and score it."""
    from merbench.training import ensemble as average

    run = average(track, runs, weights=weight, split=split, output=output, intervals=intervals, replace=force)
    print_line(f"{run.folder}: the mean of {run.n_runs} runs")
    print()
    print_report(run.report, run.withheld)


def _summary(run: BaselineRun) -> str:
    """Return what was trained, and the table of cross-validated and test values, mean ± deviation over seeds."""
    from merbench.report import ReportTable
    from merbench.training.output import mean_and_deviation, with_deviation

    track, decimals = run.track, run.track.ranking.decimals
    names = {spec.key: track.metric_label(spec) for spec in track.metrics}
    selected_on = mean_and_deviation([seed.cross_validated for seed in run.seeds])
    tested = [seed.test for seed in run.seeds if seed.test is not None and not run.hold_out]
    test = mean_and_deviation(tested) if tested else {}
    rows = []
    for key, value in sorted(selected_on.items(), key=lambda item: item[0] != "overall"):
        on_test = (
            [] if run.hold_out else [with_deviation(**test[key], decimals=decimals) if key in test else "withheld"]
        )
        rows.append((names.get(key, key), with_deviation(**value, decimals=decimals), *on_test))
    over = f", {len(run.seeds)} seeds: mean ± deviation" if len(run.seeds) > 1 else ""
    on = "development set" if track.training.selection == "dev" else "cross-validated"
    table = ReportTable("", ("", on, *([] if run.hold_out else ["test"])), rows)
    learned = f" on {', '.join(run.features)}" if run.features else ""
    without = f" without {', '.join(run.hold_out)}" if run.hold_out else ""
    sample = " · synthetic sample" if run.synthetic else ""
    return "\n".join([f"{run.baseline}{learned}, {track.key}{without}{over}{sample}", table.to_text(), *_learned(run)])


def _learned(run: BaselineRun) -> list[str]:
    """Return what was learned from, and what was selected on, each in a line."""
    lines, parts, training = [_selection(run.cross_validation)], run.parts, run.track.training
    sizes = _range([part.n_train for part in parts])
    if len(parts) > 1:
        lines = [
            f"{len(parts)} models, means over them: each value of '{training.leave_out}' is answered by a model of the "
            f"others, {sizes} samples",
            *lines,
        ]
    unlabelled = [len(part.ids.get("unlabelled", ())) for part in parts]
    if training.labelled < 1:
        others = (
            f"{_range(unlabelled)} others are used without theirs" if any(unlabelled) else "the others are not used"
        )
        lines.insert(0, f"labels of {sizes} samples, a share of {training.labelled:g}; {others}")
    if training.corpus is not None:
        lines.insert(0, f"learned from corpus {training.corpus}: {parts[0].n_train:,} samples")
    return lines


def _range(numbers: Iterable[int]) -> str:
    every = sorted(numbers)
    return " to ".join(dict.fromkeys(f"{n:,}" for n in (every[0], every[-1])))


def _selection(validation: Mapping[str, Any]) -> str:
    """Return what options and epochs are selected on: how many folds, what they keep together, why they are few."""
    n_folds, by = validation["n_folds"], validation["by"]
    if validation["selection"] == "dev":
        return f"development set: {validation['n_dev']:,} samples"
    if validation["selection"] == "leave-one-group-out":
        return f"cross-validated: each of the {n_folds} values of '{by}' is left out in turn"
    folds = f"cross-validated: {n_folds} folds"
    if by is None:
        return f"{folds} of single samples; the corpus has no speakers or dialogues to keep together"
    fewer = f"; {validation['n_folds_asked']} were asked for" if n_folds < validation["n_folds_asked"] else ""
    return f"{folds}, each of the {validation['n_clusters']} values of '{by}' in one fold{fewer}"
