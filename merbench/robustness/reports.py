"""Outcomes become reports: one for each system, and one that compares them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.declaration import MODALITIES
from merbench.errors import contained, in_a_line, listed
from merbench.features.extraction import extra_versions, numeric_versions
from merbench.features.weights import digest_of
from merbench.media.reading import media_versions
from merbench.report import Score
from merbench.robustness.comparison import (
    ComparedCurve,
    ComparedMetric,
    ComparedSystem,
    Equity,
    PairedDifference,
    RobustnessComparison,
    SystemValues,
)
from merbench.robustness.conditions import Outcome
from merbench.robustness.equity import absences, drops_of, equity
from merbench.robustness.experiment import Experiment, Prepared
from merbench.robustness.grid import Curve
from merbench.robustness.preparation import EXTRACTORS
from merbench.robustness.report import ConditionRow, CurveReport, Estimate, RobustnessReport, conditions_of
from merbench.robustness.samples import Source
from merbench.robustness.summary import Outcomes, Values, estimate, mean_errors, over, summaries
from merbench.scoring import Resampling
from merbench.significance import holm, pair_deviations, pairwise_p, t_ends
from merbench.track import Training
from merbench.training.run import transductive


def system_report(
    experiment: Experiment, results: Mapping[int, Outcome], relative: Mapping[int, Outcome] | None = None
) -> RobustnessReport:
    """Return the report on one system, with corruption errors relative to another one.

    A condition that fails has a problem in its row, and its curve has no summary, which would leave it out. If all
    conditions fail, the first one's exception is raised.
    """
    system, test, track, settings = experiment.systems[0], experiment.test, experiment.test.track, experiment.settings
    clean, *rows = [
        _Scored(
            None if number == 0 else experiment.conditions[number - 1].value,
            results[number],
            None if relative is None else relative[number],
        )
        for number in range(1 + len(experiment.conditions))
    ]
    failed = [row.error for row in rows if row.error is not None]
    if failed and len(failed) == len(rows):
        raise failed[0]
    curves, remarks = [], [*_remarks(experiment)]
    remaining = iter(rows)
    for curve in experiment.curves:
        own = [next(remaining) for _ in curve.conditions]
        curves.append(_curve_report(experiment, curve, clean, own))
        if not any(row.outcome.changed or row.error for row in own):
            remarks.append(f"{curve.step} changes none of the inputs: its curve is flat")
    summaries_of = [curve.summary for curve in curves]
    reported = results[0].report
    assert reported is not None
    return RobustnessReport(
        track=track.key,
        title=track.title,
        corpus=test.corpus.name,
        split=test.split,
        synthetic=test.corpus.synthetic,
        baseline=system.name,
        relative_to=experiment.reference.name if experiment.reference else "",
        weights=settings.weights,
        leave_out=experiment.leave_out or "",
        features=system.names,
        seed=settings.seed,
        signature=signature(experiment, reported.signature),
        digests=digests(experiment),
        counts=_counts(experiment, reported.counts),
        clean=clean.row,
        curves=tuple(curves),
        mean_errors=mean_errors(summaries_of) if experiment.reference and all(summaries_of) else (),
        uncertainty=reported.uncertainty,
        remarks=(*remarks, *(str(warning) for warning in reported.warnings)),
        decimals=track.ranking.decimals,
        versions=_versions(experiment),
        feature_scale=settings.feature_scale if experiment.of_features else "",
        folds_by=system.folds[0].labelled.folds_by,
        extractors=experiment.source.extractors,
        training_corruptions=tuple(
            conditions_of(spec.name, spec.as_step.step_name, spec.as_step.parameters)
            for spec in experiment.train.track.training.corruptions
        ),
    )


@dataclass(frozen=True, eq=False)
class _Scored:
    """The outcomes of a system and of its reference, if it has one, under one condition."""

    value: Any
    outcome: Outcome
    relative: Outcome | None

    @property
    def error(self) -> Exception | None:
        """Why there is no row."""
        return self.outcome.error or (self.relative.error if self.relative is not None else None)

    @property
    def row(self) -> ConditionRow:
        """What the report has of it."""
        if self.error is not None:
            return ConditionRow(self.value, (), problem=in_a_line(contained(self.error)))
        relative = () if self.relative is None else self.relative.scores
        return ConditionRow(self.value, self.outcome.scores, relative, self.outcome.realised, self.outcome.options)


def _counts(experiment: Experiment, counts: Mapping[str, int]) -> dict[str, int]:
    shown_counts = {"candidates": len(experiment.test)} | {name: n for name, n in counts.items() if name == "scored"}
    if not (experiment.test.hidden and experiment.leave_out):  # what is left out has a reference
        shown_counts["trained"] = max(len(fold.learned) for fold in experiment.systems[0].folds)
    return shown_counts


def _curve_report(experiment: Experiment, curve: Curve, clean: _Scored, scored: Sequence[_Scored]) -> CurveReport:
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
    systems = [outcomes_of([item.outcome for item in every])]
    if clean.relative is not None:
        systems.append(outcomes_of([item.relative for item in every if item.relative is not None]))
    return dataclasses.replace(report, summary=summaries(experiment.test.track, report.rates, systems, experiment.how))


def outcomes_of(scored: Sequence[Outcome]) -> Outcomes:
    """Return the scores and draws of one system: those on clean samples, then those under the conditions of a curve."""
    return Outcomes([item.scores for item in scored], [item.draws for item in scored])


def signature(experiment: Experiment, scored: str) -> str:
    """Return what must be equal for two reports to be comparable; `scored` is the signature of the clean score."""
    source, settings = experiment.source, experiment.settings
    drawn = source.compared - set(source.modalities.values())
    learned = experiment.train.track.training.model_copy(update={"leave_out": None, "source": None})
    libraries = ",".join(f"{name}={text}" for name, text in _versions(experiment).items() if name != "merbench")
    parts = [
        *(f"curve:{curve.signature}" for curve in experiment.curves),
        *(f"clips:{split}#{clips.digest[:8]}" for split, clips in sorted(source.clips.items())),
        *(f"bank:{name}#{bank.digest[:8]}" for name, bank in experiment.banks.items()),
        *(f"baseline:{_signed(system)}" for system in experiment.compared),
        *dict.fromkeys(f"features:{'+'.join(system.names) or 'none'}" for system in experiment.compared),
        *([f"compared_with:{'+'.join(sorted(drawn))}"] if drawn else []),
        *([f"made:{'+'.join(sorted(source.computed))}"] if source.computed else []),
        *(f"extractor:{modality}={source.extractors[modality]}" for modality in _unusual(source)),
        *([f"versions:{libraries}"] if libraries else []),
        f"weights:{settings.weights}",
        *([f"feature_scale:{settings.feature_scale}"] if experiment.of_features else []),
        f"leave_out:{experiment.leave_out or 'none'}",
        *([f"training:{learned.digest[:8]}"] if learned != Training() else []),
        f"damage_seed:{source.seed}",  # signatures keep their bytes
        f"training_seed:{settings.seed}",
        *([f"relative_to:{experiment.reference.name}"] if experiment.reference else []),
    ]
    return "|".join([scored, *parts])


def _signed(system: Prepared) -> str:
    name = system.loaded.name
    return name if system.name == name else f"{system.name}={name}"


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
    for system in experiment.systems:
        of_reference = f"{system.name}: " if system is experiment.reference else ""
        yield from (f"{of_reference}{remark}" for remark in _learning(experiment, system))


def _learning(experiment: Experiment, system: Prepared) -> Iterator[str]:
    """Yield what a reader must know of the samples that a system learns from, of their labels, and of those without."""
    test, declared = experiment.test, system.loaded.declaration
    # networks that are given what corruption removed in training; those of other loops, or around others, are not
    is_given_removed = declared.handles_missing and declared.corrupts_per_epoch
    is_given_removed = is_given_removed and not (declared.own_loop or declared.trains)
    is_complete = experiment.settings.weights == "shared" and not experiment.train.track.training.corruptions
    if is_given_removed and is_complete and experiment.of_features:
        yield (
            "no corruption in training: a loss of reconstruction, where the system has one, learns nothing; "
            "--weights per-condition and mixed corrupt training samples"
        )
    share = test.track.training.labelled
    unlabelled = [None if (part := fold.labelled.unlabelled) is None else part.ids for fold in system.folds]
    if share < 1:
        n_labelled, n = max(len(fold.learned) for fold in system.folds), max(len(ids or ()) for ids in unlabelled)
        others = f"{n:,} others are used without theirs" if n else "the others are not used"
        yield f"labels of {n_labelled:,} samples, a share of {share:g}; {others}"
    answered = [test.ids.take(pa.array(fold.predicted)) for fold in system.folds]
    for warning in transductive(list(zip(unlabelled, answered, strict=True)), test):
        yield f"{warning}; they are learned from like training samples, and not as a condition corrupts them"


@dataclass(frozen=True, eq=False)
class _Compared:
    """A system that has a report, with the scores and draws of every curve, None where a condition failed."""

    prepared: Prepared
    report: RobustnessReport
    curves: Sequence[Outcomes | None]


def comparison(
    experiment: Experiment, results: Sequence[Mapping[int, Outcome]]
) -> tuple[RobustnessComparison, dict[str, RobustnessReport]]:
    """Return the report that compares all systems, and that of each one, by its name.

    A system that cannot be scored on clean samples, or under any condition, has a problem and no report; if this is
    true of all, the first one's exception is raised.
    """
    relative = results[-1] if experiment.reference else None
    compared, problems, errors = list[_Compared](), dict[str, str](), list[Exception]()
    for system, own in zip(experiment.compared, results, strict=False):
        try:
            if (error := own[0].error) is not None:
                raise error
            report = system_report(experiment.of(system), own, relative)
        except Exception as error:
            problems[system.name] = in_a_line(contained(error))
            errors.append(error)
        else:
            compared.append(_Compared(system, report, _by_curve(experiment, report, own)))
    if not compared:
        raise errors[0]
    first = compared[0].report
    remarks: dict[str, list[str]] = {}
    for each in compared:
        for remark in each.report.remarks:
            remarks.setdefault(remark, []).append(each.prepared.name)
    return RobustnessComparison(
        track=first.track,
        title=first.title,
        corpus=first.corpus,
        split=first.split,
        synthetic=first.synthetic,
        weights=first.weights,
        seed=first.seed,
        ranked_by=next(score.key for score in first.clean.scores if score.name == experiment.test.track.ranked_by[0]),
        relative_to=first.relative_to,
        systems=tuple(_compared_system(system, problems) for system in experiment.compared),
        curves=tuple(_compared_curve(experiment, compared, number) for number in range(len(experiment.curves))),
        equity=tuple(index for each in compared for index in _indices(experiment, each)),
        signature=signature(experiment, next(own[0].report.signature for own in results if own[0].report is not None)),
        counts=first.counts,
        uncertainty=first.uncertainty,
        failures=tuple(
            f"{each.prepared.name}: {line.removeprefix('not scored: ')}"
            for each in compared
            for line in each.report.problems
        ),
        remarks=tuple(
            remark if len(names) == len(compared) else f"{listed(names, 12)}: {remark}"
            for remark, names in remarks.items()
        ),
        decimals=first.decimals,
        feature_scale=first.feature_scale,
        leave_out=first.leave_out,
        training_corruptions=first.training_corruptions,
    ), {each.prepared.name: each.report for each in compared}


def _by_curve(
    experiment: Experiment, report: RobustnessReport, results: Mapping[int, Outcome]
) -> list[Outcomes | None]:
    curves, begin = [], 1
    for curve in report.curves:
        own = [results[0], *(results[number] for number in range(begin, begin + len(curve.rows)))]
        curves.append(outcomes_of(own) if curve.summary else None)
        begin += len(curve.rows)
    return curves


def _compared_system(system: Prepared, problems: Mapping[str, str]) -> ComparedSystem:
    name = system.loaded.name
    return ComparedSystem(system.name, name, system.names, system.given, problems.get(system.name, ""))


def _compared_curve(experiment: Experiment, compared: Sequence[_Compared], number: int) -> ComparedCurve:
    curve = compared[0].report.curves[number]
    return ComparedCurve(
        parameter=curve.parameter,
        unit=curve.unit,
        step=curve.step,
        corruption=curve.corruption,
        declared=curve.declared,
        conditions=tuple(row.value for row in curve.rows),
        metrics=tuple(
            _compared_metric(experiment, compared, number, score) for score in compared[0].report.clean.scores
        ),
    )


def _compared_metric(
    experiment: Experiment, compared: Sequence[_Compared], number: int, score: Score
) -> ComparedMetric:
    sign, rates = 1 if score.higher_is_better else -1, compared[0].report.curves[number].rates
    summaries_of = {
        each.prepared.name: item
        for each in compared
        for item in each.report.curves[number].summary
        if item.key == score.key
    }
    totals = [sign * item.over.value for item in summaries_of.values()]
    rows = []
    for each in compared:
        item = summaries_of.get(each.prepared.name)
        scores = [row.score(score.key, relative=False) for row in (each.report.clean, *each.report.curves[number].rows)]
        values = tuple(
            None if own is None or own.value is None else Estimate(own.value, own.low, own.high) for own in scores
        )
        rank = None if item is None else 1 + sum(total > sign * item.over.value for total in totals)
        error = None if item is None else item.corruption_error
        rows.append(SystemValues(each.prepared.name, values, None if item is None else item.over, rank, error))
    draws = {
        each.prepared.name: over(rates)(own.table_of_draws(score.key))
        for each in compared
        if (own := each.curves[number]) is not None and each.prepared.name in summaries_of and own.has_draws(score.key)
    }
    kind: Literal["auilc", "mean"] = "mean" if rates is None else "auilc"
    of_pairs = differences(experiment.how, rows, draws)
    return ComparedMetric(score.key, score.name, score.higher_is_better, kind, tuple(rows), tuple(of_pairs))


def differences(
    how: Resampling | None, rows: Sequence[SystemValues], draws: Mapping[str, Values]
) -> Iterator[PairedDifference]:
    """Yield what every system's area or mean differs from the best one's, in the order of `rows`.

    Args:
        how: how samples were resampled; without, there are only the differences.
        rows: the systems; one without a value is left out.
        draws: by system, `(B,)` areas or means of the same resamples.
    """
    values = {row.system: row.over.value for row in rows if row.over is not None}
    best = next((row.system for row in rows if row.rank == 1), None)
    names = [name for name in values if name in draws]
    pairs = list(combinations(range(len(names)), 2))
    tested: dict[frozenset[str], tuple[float, float, float]] = {}
    if how is not None and pairs:
        table, estimates = np.stack([draws[name] for name in names]), np.array([values[name] for name in names])
        p, deviations = pairwise_p(table, estimates, how.degrees), pair_deviations(table, estimates)
        for pair, p_holm in zip(pairs, holm([float(p[pair]) for pair in pairs]), strict=True):
            tested[frozenset(names[i] for i in pair)] = float(deviations[pair]), float(p[pair]), p_holm
    for name, value in values.items():
        if best is None or name == best:
            continue
        difference = value - values[best]
        if how is None or (test := tested.get(frozenset((name, best)))) is None:
            yield PairedDifference(name, best, difference)
            continue
        deviation, own_p, p_holm = test
        low, high = t_ends(difference, deviation, how.level, how.degrees)
        yield PairedDifference(name, best, difference, low, high, own_p, p_holm)


def _indices(experiment: Experiment, compared: _Compared) -> Iterator[Equity]:
    """Yield the modality equity indices of a system, for every metric and every corruption that shows the drops."""
    report, source = compared.report, compared.prepared.source
    modalities = sorted({source.modalities[name] for name in compared.prepared.names} & set(MODALITIES))
    for group in absences(report.curves, modalities):
        numbers = sorted({curve for own in group.places.values() for curve, _ in own})
        outcomes_by_curve = [compared.curves[number] for number in numbers]
        if any(own is None for own in outcomes_by_curve):
            continue
        known = [own for own in outcomes_by_curve if own is not None]
        places = {name: [(numbers.index(curve), at) for curve, at in own] for name, own in group.places.items()}
        for score in report.clean.scores:
            sign = 1.0 if score.higher_is_better else -1.0

            def index(*tables: Values, places: Any = places, sign: float = sign) -> Values:
                return equity(drops_of(tables, places, sign))

            drops = drops_of([own.values(score.key) for own in known], places, sign)[:, 0]
            yield Equity(
                system=compared.prepared.name,
                corruption=group.title,
                key=score.key,
                name=score.name,
                index=estimate(index, score.key, known, experiment.how),
                drops=dict(zip(places, drops.tolist(), strict=True)),
            )
