"""Scores a baseline under a grid of conditions, and writes the report: see `docs/robustness.md`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from merbench.charts import Line, condition_curve, require_matplotlib
from merbench.devices import require_device
from merbench.engine import ShowProgress, require_engine
from merbench.errors import listed
from merbench.features.extraction import extra_versions, numeric_versions
from merbench.features.weights import digest_of
from merbench.files.writing import atomic_folder, write_text
from merbench.media.reading import media_versions
from merbench.robustness.conditions import Scored, scored_conditions
from merbench.robustness.experiment import EXTRACTORS, Experiment, Settings, load_systems, prepared
from merbench.robustness.grid import Curve, planned
from merbench.robustness.report import CurveReport, RobustnessReport, shown
from merbench.robustness.samples import Source
from merbench.robustness.summary import Outcomes, mean_errors, summaries
from merbench.track import Track, Training, load_track
from merbench.training.output import require_free

JSON, MARKDOWN = "robustness.json", "robustness.md"


def robustness(
    track: str | Path | Track,
    baseline: str | Path = "attention",
    grids: Mapping[str, Sequence[Any]] | None = None,
    settings: Settings | None = None,
    *,
    output: str | Path | None = None,
    replace: bool = False,
    progress: ShowProgress | None = None,
) -> RobustnessReport:
    """Score one system under grids of conditions: corruptions, with each value of one of their parameters.

    A corruption of features changes the vectors of the corpus; one of text changes the transcripts, one of audio or
    video the clips in `settings.media`, and features are computed from these. Random numbers depend only on (seed of
    the track, step, sample). Options are selected by cross-validation on the training samples.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
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
    declared = track if isinstance(track, Track) else load_track(track)
    settings = settings or Settings()
    curves = planned(declared, grids or {}, settings.corruption, settings.parameters)
    require_engine(settings.engine)
    require_device(settings.device)
    require_matplotlib()
    loaded = load_systems(declared, baseline, settings.relative_to)
    folder = Path(output) if output is not None else default_folder(declared.id, loaded[0].name)
    require_free(folder, JSON, replace=replace)
    show = progress or (lambda text, done, total: None)
    report = scored_report(prepared(declared, curves, loaded, settings, show), show)
    with atomic_folder(folder, replace=True) as temporary:
        write_report(temporary, report, declared.ranked_by[0])
    return report


def default_folder(track_id: str, baseline: str) -> Path:
    """Return the folder that is written by default."""
    return Path("runs") / track_id / f"robustness-{baseline}"


def scored_report(experiment: Experiment, show: ShowProgress) -> RobustnessReport:
    """Train and score all systems under all conditions, and return the report.

    A condition that fails has a problem in its row, and its curve has no summary, which would leave it out. If all
    conditions fail, the first one's exception is raised.
    """
    test, track, settings = experiment.test, experiment.test.track, experiment.settings
    clean, *rows = scored_conditions(experiment, show)
    failed = [row.error for row in rows if row.error is not None]
    if failed and len(failed) == len(rows):
        raise failed[0]
    curves, remarks = [], [*_remarks(experiment)]
    remaining = iter(rows)
    for curve in experiment.curves:
        own = [next(remaining) for _ in curve.conditions]
        curves.append(_curve_report(experiment, curve, clean, own))
        if not any(row.changed or row.error for row in own):
            remarks.append(f"{curve.step} changes none of the inputs: its curve is flat")
    names = [system.loaded.name for system in experiment.systems]
    summaries_of = [curve.summary for curve in curves]
    assert clean.report is not None
    return RobustnessReport(
        track=track.key,
        title=track.title,
        corpus=test.corpus.name,
        split=test.split,
        synthetic=test.corpus.synthetic,
        baseline=names[0],
        relative_to=names[1] if len(names) > 1 else "",
        weights=settings.weights,
        leave_out=experiment.leave_out or "",
        features=experiment.systems[0].names,
        seed=settings.seed,
        signature=signature(experiment, clean.report.signature),
        digests=digests(experiment),
        counts=_counts(experiment, clean.report.counts),
        clean=clean.row,
        curves=tuple(curves),
        mean_errors=mean_errors(summaries_of) if len(names) > 1 and all(summaries_of) else (),
        uncertainty=clean.report.uncertainty,
        remarks=(*remarks, *(str(warning) for warning in clean.report.warnings)),
        decimals=track.ranking.decimals,
        versions=_versions(experiment),
        feature_scale=settings.feature_scale if experiment.of_features else "",
        folds_by=experiment.folds[0].labelled.folds_by,
        extractors=experiment.source.extractors,
    )


def _counts(experiment: Experiment, counts: Mapping[str, int]) -> dict[str, int]:
    shown_counts = {"candidates": len(experiment.test)} | {name: n for name, n in counts.items() if name == "scored"}
    if not (experiment.test.hidden and experiment.leave_out):  # what is left out has a reference
        shown_counts["trained"] = max(len(fold.learned) for fold in experiment.folds)
    return shown_counts


def _curve_report(experiment: Experiment, curve: Curve, clean: Scored, scored: Sequence[Scored]) -> CurveReport:
    report = CurveReport(
        parameter=curve.parameter,
        unit=curve.corruption.declarable[curve.parameter].unit,
        step=curve.step,
        corruption=curve.corruption.name,
        modality=curve.corruption.modality,
        declared=curve.declared,
        rows=tuple(item.row for item in scored),
        summary=(),
    )
    if any(item.error is not None for item in scored):
        return report
    every = [clean, *scored]
    systems = [Outcomes([item.row.scores for item in every], [item.draws[0] for item in every])]
    if len(experiment.systems) > 1:
        systems.append(Outcomes([item.row.relative for item in every], [item.draws[1] for item in every]))
    rates = report.numbers if report.modality == "features" and report.parameter == "rate" else None
    return dataclasses.replace(report, summary=summaries(experiment.test.track, rates, systems, experiment.how))


def signature(experiment: Experiment, scored: str) -> str:
    """Return what must be equal for two reports to be comparable; `scored` is the signature of the clean score."""
    system, source, settings = experiment.systems[0], experiment.source, experiment.settings
    learned = experiment.train.track.training.model_copy(update={"leave_out": None, "source": None})
    libraries = ",".join(f"{name}={text}" for name, text in _versions(experiment).items() if name != "merbench")
    parts = [
        *(f"curve:{curve.signature}" for curve in experiment.curves),
        *(f"clips:{split}#{clips.digest[:8]}" for split, clips in sorted(source.clips.items())),
        *(f"bank:{name}#{bank.digest[:8]}" for name, bank in experiment.banks.items()),
        f"baseline:{system.loaded.name}",
        f"features:{'+'.join(system.names) or 'none'}",
        *([f"made:{'+'.join(sorted(source.computed))}"] if source.computed else []),
        *(f"extractor:{modality}={source.extractors[modality]}" for modality in _unusual(source)),
        *([f"versions:{libraries}"] if libraries else []),
        f"weights:{settings.weights}",
        *([f"feature_scale:{settings.feature_scale}"] if experiment.of_features else []),
        f"leave_out:{experiment.leave_out or 'none'}",
        *([f"training:{learned.digest[:8]}"] if learned != Training() else []),
        f"damage_seed:{source.seed}",  # signatures keep their bytes
        f"training_seed:{settings.seed}",
        *(f"relative_to:{other.loaded.name}" for other in experiment.systems[1:]),
    ]
    return "|".join([scored, *parts])


def _unusual(source: Source) -> list[str]:
    """Return the modalities whose computed features are not extracted as they are by default."""
    return [name for name, text in source.extractors.items() if text != f"{EXTRACTORS[name]}@1"]


def digests(experiment: Experiment) -> dict[str, str]:
    """Return the SHA-256 of all that is read: of a hidden split, neither of the corpus nor of the references."""
    test, source = experiment.test, experiment.source
    features = test.corpus.declaration.content.features
    return {
        "track": test.track.fingerprint,
        **({} if test.hidden else {"corpus": test.corpus.digest, "references": test.references.digest}),
        **{f"feature {name}": features[name] for name in source.names if name not in source.computed},
        **{f"clips of {split}": clips.digest for split, clips in source.clips.items()},
        **{
            f"weights of {source.recipes[modality].extractor.name}": digest
            for modality in source.extractors
            if (digest := digest_of(source.recipes[modality].extractor)) is not None
        },
        **{f"bank {name}": bank.digest for name, bank in experiment.banks.items()},
    }


def _versions(experiment: Experiment) -> dict[str, str]:
    """Return what the bits of computed vectors depend on: libraries and the machine; none of tf-idf."""
    source = experiment.source
    unusual = list(_unusual(source))
    extras = {extra for modality in unusual for extra in source.recipes[modality].extractor.extras}
    own = numeric_versions() if unusual else {}
    own |= {package: text for extra in sorted(extras) for package, text in extra_versions(extra).items()}
    return {**own, **(media_versions() if source.clips else {})}


def _remarks(experiment: Experiment) -> Iterator[str]:
    """Yield what a reader must know of the samples, whatever they score."""
    test = experiment.test
    samples = test.corpus.samples()
    samples = samples.filter(pc.is_in(samples["sample_id"], value_set=test.ids))
    columns = [name for name in samples.column_names if samples[name].null_count < len(samples)]
    steps = dict.fromkeys(spec.step_name for spec in test.track.corruptions)
    before = [step for step in steps if any(name.startswith(f"{step}.") for name in columns)]
    if before and set(experiment.source.names) - experiment.source.computed:
        yield (
            f"the corpus contains features of split '{test.split}' that {listed(before)} already corrupted: "
            "clean means as stored, and the grid's corruption is applied on top"
        )
    if test.hidden:
        yield "a hidden split: only a part of the candidates is scored; values are rounded and have no intervals"


def write_report(folder: Path, report: RobustnessReport, ranked_by: str) -> None:
    """Write a report into a folder that exists, with curves of the metric `ranked_by`."""
    write_text(folder / JSON, report.to_json())
    write_text(folder / MARKDOWN, report.to_markdown())
    for name, curve in zip(_file_names(report), report.curves, strict=True):
        for suffix in ("svg", "png"):
            _draw(folder / f"curve-{name}.{suffix}", report, curve, ranked_by)


def _file_names(report: RobustnessReport) -> Iterator[str]:
    """Yield the name of every curve: never that of its step, which may be any text."""
    long = [f"{curve.corruption}-{curve.parameter}" for curve in report.curves]
    for i, curve in enumerate(report.curves):
        if not report.shares_parameter(curve):
            yield curve.parameter
        elif long.count(long[i]) == 1:
            yield long[i]
        else:
            yield f"{long[i]}-{long[: i + 1].count(long[i])}"


def _draw(path: Path, report: RobustnessReport, curve: CurveReport, ranked_by: str) -> None:
    ranked = next(score for score in report.clean.scores if score.name == ranked_by)
    systems = {report.baseline: False, **({report.relative_to: True} if report.relative_to else {})}
    lines = []
    for name, relative in systems.items():
        scores = [row.score(ranked.key, relative=relative) for row in (report.clean, *curve.rows)]
        (clean, *values), (_, *low), (_, *high) = (
            [_number(None if score is None else getattr(score, part)) for score in scores]
            for part in ("value", "low", "high")
        )
        lines.append(Line(name, values, low, high, clean))
    condition_curve(
        path,
        curve.numbers or [shown(row.value) for row in curve.rows],
        lines,
        x_name=f"{curve.parameter} of {curve.step}" + (f", {curve.unit}" if curve.unit else ""),
        y_name=ranked.name,
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
