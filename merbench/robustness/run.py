"""Scores a baseline under a grid of conditions, and writes the report: see `docs/robustness.md`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from merbench.charts import Line, condition_curve, require_matplotlib
from merbench.devices import require_device
from merbench.engine import ShowProgress, require_engine
from merbench.files.writing import atomic_folder, write_text
from merbench.report import Score
from merbench.robustness.comparison import ComparedCurve, RobustnessComparison
from merbench.robustness.conditions import Outcome, outcomes
from merbench.robustness.experiment import Experiment, Settings
from merbench.robustness.grid import planned
from merbench.robustness.preparation import Work, load_systems
from merbench.robustness.report import CurveReport, Estimate, RobustnessReport, as_numbers, shown
from merbench.robustness.reports import comparison, system_report
from merbench.track import Track, load_track
from merbench.training.declaration import load_baseline
from merbench.training.output import require_free
from merbench.training.systems import System, named_system, options_of_systems, require_distinct

JSON, MARKDOWN = "robustness.json", "robustness.md"


def robustness(
    track: str | Path | Track,
    baseline: str | Path | System = "attention",
    grids: Mapping[str, Sequence[Any]] | None = None,
    settings: Settings | None = None,
    *,
    output: str | Path | None = None,
    replace: bool = False,
    progress: ShowProgress | None = None,
) -> RobustnessReport:
    """Score one system under grids of conditions: corruptions, with each value of one of their parameters.

    A corruption of features changes the vectors, or the rows of sequences, of the corpus; one of text changes the
    transcripts, one of audio or video the clips in `settings.media`, and features are computed from these. Random
    numbers depend only on (seed of the track, step, sample). Options are selected by cross-validation on the training
    samples.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, a folder, or a system with a name and options of its own.
        grids: parameter -> its values; each grid gives one curve or more.
        settings: everything else; None takes the defaults.
        output: folder to write; None is `runs/<track>/robustness-<baseline>`.
        replace: whether a report that the folder already contains is replaced.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UnknownName: no such track, baseline, corruption, corpus or feature.
        DeclarationError: a value of a grid, or an option, is not allowed.
        UsageError: no corruption fits a grid; clips are missing or unusable; the output folder is not empty.
        Inapplicable: a corruption cannot be applied to a sample.
        WithheldReference: the references of the split, or of the training split, are withheld.
        MissingExtra: a package that is needed is not installed.
    """
    settings = settings or Settings()
    system = baseline if isinstance(baseline, System) else System(name=Path(baseline).resolve().name, baseline=baseline)
    system = dataclasses.replace(system, options={**settings.options, **system.options})
    made = _Asked(track, [system], grids or {}, settings, output, replace)
    experiment, (results, *others) = made.experiment(progress)
    report = system_report(experiment, results, others[0] if others else None)
    with atomic_folder(made.folder, replace=True) as temporary:
        write_report(temporary, report, experiment.test.track.ranked_by[0])
    return report


def compare_robustness(
    track: str | Path | Track,
    systems: Sequence[str | Path | System],
    grids: Mapping[str, Sequence[Any]],
    settings: Settings | None = None,
    *,
    output: str | Path | None = None,
    replace: bool = False,
    progress: ShowProgress | None = None,
) -> RobustnessComparison:
    """Score several systems under the same conditions, each as `robustness` does, and compare them.

    Each sample lacks the same modalities for all systems, and they share the weights of each resample. A system that
    cannot be scored is listed, and the others are finished.

    Args:
        track: a name, a folder, or a loaded track.
        systems: baselines, by name or folder, or systems with names and options of their own.
        grids: parameter -> its values.
        settings: everything else; `options` are those of all systems that have them.
        output: folder to write; None is `runs/<track>/robustness`. Each system's report is in a folder of its name.
        replace: whether a report that the folder already contains is replaced.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UsageError: two systems have one name; and as `robustness` does, like all others.
    """
    settings = settings or Settings()
    named = [named_system(system) for system in systems]
    require_distinct("system", [system.name for system in named])
    options = options_of_systems(named, [load_baseline(system.baseline) for system in named], settings.options)
    given = [dataclasses.replace(system, options=own) for system, own in zip(named, options, strict=True)]
    made = _Asked(track, given, grids, settings, output, replace)
    experiment, results = made.experiment(progress)
    report, reports = comparison(experiment, results)
    ranked_by = experiment.test.track.ranked_by[0]
    with atomic_folder(made.folder, replace=True) as temporary:
        write_comparison(temporary, report)
        for name, own in reports.items():
            (temporary / name).mkdir()
            write_report(temporary / name, own, ranked_by)
    return report


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked for; it is checked before anything is trained."""

    given: str | Path | Track
    systems: Sequence[System]
    grids: Mapping[str, Sequence[Any]]
    settings: Settings
    output: str | Path | None
    replace: bool

    @cached_property
    def track(self) -> Track:
        return self.given if isinstance(self.given, Track) else load_track(self.given)

    @property
    def folder(self) -> Path:
        if self.output is not None:
            return Path(self.output)
        return default_folder(self.track.id, self.systems[0].name if len(self.systems) == 1 else "")

    def experiment(self, progress: ShowProgress | None) -> tuple[Experiment, list[dict[int, Outcome]]]:
        """Return the experiment and the outcomes of its systems."""
        settings = self.settings
        planned(self.track, self.grids, settings.corruption, settings.parameters)
        require_engine(settings.engine)
        require_device(settings.device)
        require_matplotlib()
        load_systems(self.track, self.systems, settings.relative_to)
        require_free(self.folder, JSON, replace=self.replace)
        show = progress or (lambda text, done, total: None)
        work = Work.prepared(self.track, self.systems, self.grids, settings, show)
        return work.experiment, outcomes(work, show)


def default_folder(track_id: str, baseline: str = "") -> Path:
    """Return the folder that is written by default: of one system, or without a name of several."""
    return Path("runs") / track_id / (f"robustness-{baseline}" if baseline else "robustness")


def write_report(folder: Path, report: RobustnessReport, ranked_by: str) -> None:
    """Write a report into a folder that exists, with curves of the metric `ranked_by`."""
    write_text(folder / JSON, report.to_json())
    write_text(folder / MARKDOWN, report.to_markdown())
    ranked = next(score for score in report.clean.scores if score.name == ranked_by)
    systems = {report.baseline: False, **({report.relative_to: True} if report.relative_to else {})}
    for name, curve in zip(_file_names(report.curves), report.curves, strict=True):
        lines = []
        for system, relative in systems.items():
            scores = [row.score(ranked.key, relative=relative) for row in (report.clean, *curve.rows)]
            lines.append(_line(system, scores))
        _draw(folder / f"curve-{name}", curve, [row.value for row in curve.rows], lines, ranked.name)


def write_comparison(folder: Path, report: RobustnessComparison) -> None:
    """Write a comparison into a folder that exists, with the curves of all systems in one picture each."""
    write_text(folder / JSON, report.to_json())
    write_text(folder / MARKDOWN, report.to_markdown())
    for name, curve in zip(_file_names(report.curves), report.curves, strict=True):
        metric = next(metric for metric in curve.metrics if metric.key == report.ranked_by)
        lines = [_line(each.system, each.values) for each in metric.systems]
        _draw(folder / f"curve-{name}", curve, curve.conditions, lines, metric.name)


def _file_names(curves: Sequence[CurveReport | ComparedCurve]) -> Iterator[str]:
    """Yield the name of every curve: never that of its step, which may be any text."""
    long, parameters = (
        [f"{curve.corruption}-{curve.parameter}" for curve in curves],
        [curve.parameter for curve in curves],
    )
    for i, curve in enumerate(curves):
        if parameters.count(curve.parameter) == 1:
            yield curve.parameter
        elif long.count(long[i]) == 1:
            yield long[i]
        else:
            yield f"{long[i]}-{long[: i + 1].count(long[i])}"


def _line(name: str, scores: Sequence[Score | Estimate | None]) -> Line:
    """Return the line of a system, whose scores are those of clean samples, then those under every condition."""
    (clean, *values), (_, *low), (_, *high) = (
        [_number(None if score is None else getattr(score, part)) for score in scores]
        for part in ("value", "low", "high")
    )
    return Line(name, values, low, high, clean)


def _draw(
    path: Path, curve: CurveReport | ComparedCurve, values: Sequence[Any], lines: Sequence[Line], metric: str
) -> None:
    x_name = f"{curve.parameter} of {curve.step}" + (f", {curve.unit}" if curve.unit else "")
    for suffix in (".svg", ".png"):
        picture = path.with_name(f"{path.name}{suffix}")
        condition_curve(
            picture, as_numbers(values) or [shown(value) for value in values], lines, x_name=x_name, y_name=metric
        )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
