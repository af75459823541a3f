"""An experiment goes in, its report comes out: rows of scores, and what they say over each curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from merbench.engine import ShowProgress
from merbench.errors import contained
from merbench.report import Score
from merbench.robustness.conditions import Row, scored_rows
from merbench.robustness.experiment import Experiment
from merbench.robustness.grid import Curve
from merbench.robustness.report import ConditionRow, CurveReport, RobustnessReport, Summary, numbers_of
from merbench.robustness.signature import digests, notes, signature, versions
from merbench.robustness.summary import Outcomes, is_missing_rate, mean_errors, summaries


def scored_report(experiment: Experiment, show: ShowProgress) -> RobustnessReport:
    """Train, ask and score all systems under all conditions, and return the report.

    Args:
        experiment: what is done.
        show: called with a text and (done, total) steps.

    A condition that fails is named in its row, and its curve has no summary, which would leave that condition out.

    Raises:
        Exception: that of the first condition, if all conditions failed.
    """
    samples, track = experiment.samples, experiment.samples.test.track
    undamaged, *rows = scored_rows(experiment, show)
    failed = [row.error for row in rows if row.error is not None]
    if failed and len(failed) == len(rows):
        raise failed[0]
    found, told = [], [*notes(experiment)]
    remaining = iter(rows)
    for curve in experiment.curves:
        own = [next(remaining) for _ in curve.conditions]
        found.append(_curve_report(experiment, curve, undamaged, own))
        if not any(row.changed or row.error for row in own):
            told.append(f"no sample is changed by {curve.step} in what is learned from: its curve is flat")
    systems = [system.loaded.name for system in experiment.systems]
    whole = [curve.summary for curve in found if curve.summary]
    first = undamaged.report
    assert first is not None
    n_trained = max(len(fold.learned) for fold in samples.folds)
    return RobustnessReport(
        track=track.key,
        title=track.title,
        corpus=samples.test.corpus.name,
        split=samples.test.split,
        synthetic=samples.test.corpus.synthetic,
        baseline=systems[0],
        relative_to=systems[1] if len(systems) > 1 else "",
        weights=experiment.weights,
        leave_out=samples.leave_out,
        features=experiment.systems[0].names,
        seed=experiment.systems[0].setup.seed,
        signature=signature(experiment, first.signature),
        digests=digests(experiment),
        counts={
            "candidates": len(samples.test),
            **{name: n for name, n in first.counts.items() if name == "scored"},
            # What is left out of a hidden split is learned from its references.
            **({} if samples.test.hidden and samples.leave_out else {"trained": n_trained}),
        },
        undamaged=_condition_row(None, undamaged),
        curves=tuple(found),
        mean_errors=mean_errors(whole) if len(systems) > 1 and len(whole) == len(found) else (),
        uncertainty=first.uncertainty,
        notes=(*told, *(str(warning) for warning in first.warnings)),
        decimals=track.ranking.decimals,
        versions=versions(experiment),
        feature_scale=experiment.feature_scale if experiment.of_features else "",
        folds_by=samples.folds[0].labelled.folds_by,
    )


def _curve_report(experiment: Experiment, curve: Curve, undamaged: Row, rows: Sequence[Row]) -> CurveReport:
    shown_rows = tuple(
        _condition_row(condition.value, row) for condition, row in zip(curve.conditions, rows, strict=True)
    )
    rates = numbers_of(shown_rows) if is_missing_rate(curve.corruption.modality, curve.parameter) else None
    return CurveReport(
        parameter=curve.parameter,
        unit=curve.corruption.declarable[curve.parameter].unit,
        step=curve.step,
        corruption=curve.corruption.name,
        modality=curve.corruption.modality,
        declared=curve.declared,
        rows=shown_rows,
        summary=_summary(experiment, undamaged, rows, rates) if all(row.error is None for row in rows) else (),
    )


def _summary(
    experiment: Experiment, undamaged: Row, rows: Sequence[Row], rates: Sequence[float] | None
) -> tuple[Summary, ...]:
    systems = [
        Outcomes(undamaged.outcomes[i], tuple(row.outcomes[i] for row in rows)) for i in range(len(experiment.systems))
    ]
    other = systems[1] if len(systems) > 1 else None
    return summaries(experiment.samples.test.track, rates, systems[0], other, experiment.how)


def _condition_row(value: Any, row: Row) -> ConditionRow:
    if row.error is not None:
        return ConditionRow(value, (), problem=" ".join(contained(row.error).split()))
    others: tuple[Score, ...] = row.outcomes[1].scores if len(row.outcomes) > 1 else ()
    return ConditionRow(value, row.outcomes[0].scores, others, row.realised, row.options)
