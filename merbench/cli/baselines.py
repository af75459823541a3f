"""`merbench baselines`, `merbench run-baseline` and `merbench ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merbench.cli.options import (
    MOST_SEED,
    BaselineOption,
    ListFormat,
    ListFormatOption,
    TrackArgument,
    print_json,
    print_line,
    print_table,
    terminal_width,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from merbench.report import ScoreReport
    from merbench.training import BaselineDeclaration, BaselineRun

IntervalsOption = Annotated[bool, typer.Option("--intervals/--no-intervals", help="Resample for intervals.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a run that already exists.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("baselines")(baselines)
    app.command("run-baseline")(run_baseline)
    app.command("ensemble")(ensemble)


def baselines(form: ListFormatOption = ListFormat.table) -> None:
    """List the baselines that are found by name."""
    from merbench.report import ReportTable
    from merbench.training import list_baselines

    known = list_baselines()
    if form is ListFormat.json:
        print_json("baselines", baselines=[_baseline_record(name, declared) for name, declared in known])
        return
    rows = [
        (name, declared.extra or "", " ".join(map(str, declared.seeds)), declared.paper, declared.title)
        for name, declared in known
    ]
    print_table(ReportTable("", ("baseline", "extra", "seeds", "paper", "title"), rows))


def _baseline_record(name: str, declared: BaselineDeclaration) -> dict[str, Any]:
    return {
        "name": name,
        "title": declared.title,
        "paper": declared.paper,
        "extra": declared.extra,
        "answers": list(declared.answers),
        "seeds": list(declared.seeds),
        "options": declared.defaults,
    }


def run_baseline(
    track: TrackArgument,
    baseline: BaselineOption = "attention",
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto (CUDA where there is one), cpu, cuda, cuda:1, …")
    ] = "auto",
    seed: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed; repeatable. The baseline declares the default."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Folds of cross-validation. The baseline declares the default."),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Feature to learn from; repeatable. The baseline declares the default, else all."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Option in the baseline's baseline.toml; repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to write; runs/TRACK/BASELINE.")
    ] = None,
    intervals: IntervalsOption = True,
    force: ForceOption = False,
) -> None:
    """Train a baseline, write its submission, and score it."""
    from merbench.cli.progress import progress_bar
    from merbench.training import run_baseline as run

    with progress_bar() as progress:
        found = run(
            track,
            baseline,
            device=device,
            seeds=seed,
            folds=folds,
            features=feature,
            options=dict(map(named_value, option or [])),
            output=output,
            intervals=intervals,
            replace=force,
            progress=progress,
        )
    print(_summary(found))
    print_line(f"wrote {found.folder}")
    print()
    if found.label_damage:
        told = ", ".join(f"{name} {value}" for name, value in found.label_damage.items())
        print(f"training labels were damaged: {told}")
    if len(found.seeds) > 1:
        print(f"submission.csv: seed {found.seeds[0].seed} of {', '.join(str(run.seed) for run in found.seeds)}")
    _print_report(found.report, found.withheld)


def ensemble(
    track: TrackArgument,
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Folders of runs, or files with probabilities.")],
    weight: Annotated[
        list[float] | None,
        typer.Option(metavar="WEIGHT", help="Weight of a run, one for each in their order; repeatable."),
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the track.")] = "test",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to write; runs/TRACK/ensemble.")
    ] = None,
    intervals: IntervalsOption = True,
    force: ForceOption = False,
) -> None:
    """Average several runs into a submission, and score it."""
    from merbench.training import ensemble as average

    found = average(track, runs, weights=weight, split=split, output=output, intervals=intervals, replace=force)
    print_line(f"{found.folder}: the mean of {found.n_runs} runs")
    print()
    _print_report(found.report, found.withheld)


def named_value(text: str, option: str = "--set", example: str = "learning_rate=0.0001") -> tuple[str, Any]:
    """Return name and value of NAME=VALUE; the value is read as TOML, and as text where it is none."""
    from merbench.errors import DeclarationError, UsageError
    from merbench.files import parse_toml

    name, separator, value = text.partition("=")
    if not (separator and name.strip()):
        raise UsageError(f"{option} {text}: write NAME=VALUE, such as {example}")
    try:
        return name.strip(), parse_toml(text, f"value = {value}".encode(errors="surrogateescape"))["value"]
    except DeclarationError:
        return name.strip(), value.strip()


def _summary(run: BaselineRun) -> str:
    """Return what was trained, and the table of cross-validated and test values, mean ± deviation over seeds."""
    from merbench.report import ReportTable
    from merbench.training.card import mean_and_deviation

    track = run.track
    names = {spec.key: track.metric_label(spec) for spec in track.metrics}
    cross_validated = mean_and_deviation([seed.cross_validated for seed in run.seeds])
    tested = [seed.test for seed in run.seeds if seed.test is not None]
    test = mean_and_deviation(tested) if tested else {}
    rows = [
        (
            names.get(key, key),
            _with_deviation(found, track.ranking.decimals),
            _with_deviation(test[key], track.ranking.decimals) if key in test else "withheld",
        )
        for key, found in cross_validated.items()
    ]
    over = f", {len(run.seeds)} seeds: mean ± deviation" if len(run.seeds) > 1 else ""
    table = ReportTable("", ("", "cross-validated", "test"), sorted(rows, key=lambda row: row[0] != "overall"))
    learned = f" on {', '.join(run.features)}" if run.features else ""
    sample = " · synthetic sample" if run.synthetic else ""
    title = f"{run.baseline}{learned}, {track.key}{over}{sample}"
    return f"{title}\n{table.to_text()}\ncross-validated: {_folds(run.cross_validation)}"


def _folds(found: Mapping[str, Any]) -> str:
    """Return how many folds there were, what they keep together, and why they are fewer than asked for."""
    n_folds, by = found["n_folds"], found["by"]
    if by is None:
        return f"{n_folds} folds of single samples; the corpus has no speakers or dialogues to keep together"
    fewer = f"; {found['n_folds_asked']} were asked for" if n_folds < found["n_folds_asked"] else ""
    return f"{n_folds} folds, each of the {found['n_clusters']} values of '{by}' in one fold{fewer}"


def _with_deviation(found: dict[str, float | None], decimals: int) -> str:
    mean, deviation = found["mean"], found["deviation"]
    return f"{mean:.{decimals}f}" + ("" if deviation is None else f" ± {deviation:.{decimals}f}")


def _print_report(report: ScoreReport | None, withheld: str) -> None:
    print(report.to_text(terminal_width()) if report is not None else withheld, end="" if report is not None else "\n")
