"""What a search gives in the end: the best options and the default ones, trained with several seeds and scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from merbench.charts import SearchCurve, search_chart
from merbench.engine import ShowProgress, named_progress
from merbench.errors import UsageError, listed, plural
from merbench.files.reading import sha256_bytes
from merbench.files.writing import write_text
from merbench.report import Difference
from merbench.scoring import Resampling, mean_differences, resampling_of, signature
from merbench.submission import read_submission
from merbench.track import OVERALL, Track
from merbench.training.declaration import Options
from merbench.training.output import versions
from merbench.training.records import StoredRun
from merbench.training.run import kept_run
from merbench.training.selection import ranking_signs
from merbench.training.tuning.report import Compared, Search, Spread, TrialRow, TuningReport, best_of
from merbench.training.tuning.study import TrialRecord
from merbench.training.tuning.trials import JSON, MARKDOWN, Trials

BEST, DEFAULT = "best", "default"

N_PERMUTATIONS = 10_000

PartOptions = Mapping[str | None, Options]
"""Options by the value that is left out."""


def finished(trials: Trials, wall_time_s: float, progress: ShowProgress | None) -> TuningReport:
    """Train and score the best options and the default ones; write and return the report.

    Raises:
        UsageError: no trial of a part has a value.
    """
    plan, settings = trials.plan, trials.settings
    searches = tuple(_search(trials, part) for part in range(len(plan.parts)))
    best, default = _trained(trials, searches, progress)
    is_scored = best.record.test is not None
    how = resampling_of(plan.test) if is_scored and not plan.test.hidden else None
    differences = {} if how is None else _differences(best, default, how)
    how = None if how is None else replace(how, method="t")  # that of differences
    report = TuningReport(
        track=plan.track.key,
        title=plan.track.title,
        split=plan.test.split,
        synthetic=plan.test.corpus.synthetic,
        signature=_signature(trials, None if how is None else signature(plan.test, how)),
        uncertainty=None if how is None else how.uncertainty,
        decimals=plan.track.ranking.decimals,
        corpus=plan.test.corpus.name,
        baseline=plan.loaded.name,
        features=plan.features,
        ranking=plan.track.ranked_by,
        higher_is_better=ranking_signs(plan.track)[0][1] > 0,
        space={name: str(searched) for name, searched in trials.space.items()},
        options=trials.fixed,
        sampler=settings.sampler,
        seed=settings.seed,
        pruning=settings.pruning,
        cross_validation=trials.inputs(0)["folds"],
        leave_out=plan.track.training.leave_out or "",
        searches=searches,
        seeds=tuple(range(settings.runs)),
        n_scored=_times_scored(trials.folder, searches) if is_scored else 0,
        compared=tuple(_compared(plan.track, best.content, default.content, differences)),
        remarks=tuple(_remarks(trials, searches)),
        versions=versions(),
        wall_time_s=wall_time_s,
    )
    _write(trials.folder, report)
    return report


def _search(trials: Trials, part: int) -> Search:
    """Return the trials of a part as the report has them, the first of equal draws as the one that was trained."""
    study, left_out = trials.study(part), trials.plan.parts[part].left_out
    records = study.records()
    complete = [record for record in records if record.result.value is not None]
    if not complete:
        where = "" if left_out is None else f" of {trials.plan.track.training.leave_out} {left_out}"
        problems = list(dict.fromkeys(record.result.problem for record in records if record.result.problem))
        raise UsageError(f"none of {plural(len(records), 'trial')}{where} has a value", *problems[:5])
    best = max(complete, key=lambda record: (record.result.value, -record.draw))
    signs = [sign for _, sign in ranking_signs(trials.track)]
    rows: list[TrialRow] = []
    for record in records:
        rows.append(_row(record, signs, [row for row in rows if row.same_as is None]))
    return Search(
        left_out=left_out,
        n_train=len(trials.defaults.learned(part)),
        trials=tuple(rows),
        best=best.draw,
        best_of=best_of(
            [row.value[0] if row.value else None for row in rows],
            higher_is_better=signs[0] > 0,
            independent=trials.settings.sampler == "random",
        ),
        importances={name: round(share, 6) for name, share in study.importances().items()},
    )


def _row(record: TrialRecord, signs: Sequence[int], before: Sequence[TrialRow]) -> TrialRow:
    result = record.result
    value = tuple(
        sign * own if abs(own) < float("inf") else None for sign, own in zip(signs, result.value or (), strict=False)
    )
    same = next((row.draw for row in before if row.options == record.options and row.state == record.state), None)
    if record.state != "complete":
        same = None
    return TrialRow(
        draw=record.draw,
        options=dict(record.options),
        state=record.state,
        value=value,
        problem=result.problem,
        epochs=result.epochs,
        sample_epochs=0 if same is not None else result.sample_epochs,
        same_as=same,
    )


def _trained(trials: Trials, searches: Sequence[Search], progress: ShowProgress | None) -> tuple[StoredRun, StoredRun]:
    """Return the runs of the best options and of the default ones."""
    best = {search.left_out: {**trials.options, **search.best_trial.options} for search in searches}

    def run(name: str, options: PartOptions) -> StoredRun:
        folder, show = trials.folder / name, named_progress(progress, f"{name} options")
        how = trials.settings.of_runs(options)
        return kept_run(trials.track, trials.loaded.folder, how, output=folder, progress=show)

    return run(BEST, best), run(DEFAULT, {})


def _differences(best: StoredRun, default: StoredRun, how: Resampling) -> dict[str, Difference]:
    """Return best - default by metric key, of the means over seeds."""
    runs = [[read_submission(path, how.candidates) for path in run.submissions] for run in (best, default)]
    made = mean_differences(runs[0], runs[1], (BEST, DEFAULT), how, N_PERMUTATIONS)
    return {difference.key: difference for difference in made}


def _compared(
    track: Track, best: Mapping[str, Any], default: Mapping[str, Any], differences: Mapping[str, Difference]
) -> Iterator[Compared]:
    names = {OVERALL: OVERALL, **{spec.key: track.metric_label(spec) for spec in track.metrics}}
    for key, name in names.items():
        if key not in best["cross_validated"]:
            continue
        test = None
        if best["test"] is not None and key in best["test"]:
            test = (Spread(**best["test"][key]), Spread(**default["test"][key]))
        cross_validated = (Spread(**best["cross_validated"][key]), Spread(**default["cross_validated"][key]))
        difference = differences.get(key)
        if difference is None:
            yield Compared(key, name, cross_validated, test)
        else:
            ends = difference.low, difference.high, difference.p
            yield Compared(key, name, cross_validated, test, difference.difference, *ends)


def _times_scored(folder: Path, searches: Sequence[Search]) -> int:
    """Return how often a search in this folder has been scored, this time included: once for each choice of options."""
    path = folder / JSON
    if not path.is_file():
        return 1
    before = TuningReport.from_json(path.read_text("utf-8"))
    same = [search.best_trial.options for search in before.searches] == [item.best_trial.options for item in searches]
    return before.n_scored + (not same)


def _remarks(trials: Trials, searches: Sequence[Search]) -> Iterator[str]:
    """Yield what a reader must know."""
    default = {name: trials.options[name] for name in trials.space}
    if all(search.best_trial.options == default for search in searches):
        yield "the best options are the default ones"
    if selected := list(trials.defaults.choices):
        yield f"of the default options, {listed(selected)} are selected by cross-validation, as `run-baseline` does"
    if trials.plan.test.hidden:
        yield "a hidden split: only a part of the candidates is scored; values are rounded and have no intervals"
    for search in searches:
        where = "" if search.left_out is None else f" ({search.left_out})"
        failed = [trial for trial in search.trials if trial.state == "failed"]
        for trial in failed[:5]:
            yield f"draw {trial.draw}{where} failed: {trial.problem}"
        if len(failed) > 5:
            yield f"and {len(failed) - 5:,} more failed{where}"
    yield from trials.plan.warnings


def _signature(trials: Trials, scored: str | None) -> str:
    """Return what must be equal for two searches to be comparable; `scored` is None without intervals."""
    inputs = [trials.inputs(part) for part in range(len(trials.plan.parts))]
    digest = sha256_bytes(json.dumps(inputs, sort_keys=True).encode())
    settings = trials.settings
    return "|".join(
        [
            scored or f"{trials.track.key}#{trials.track.fingerprint[:8]}|split:{trials.plan.test.split}|ci:none",
            f"training:{trials.track.training.digest[:8]}",
            f"baseline:{trials.loaded.name}",
            f"search:{digest[:8]}",
            f"trials:{settings.trials}",
            f"training_seeds:{settings.runs}",
        ]
    )


def _write(folder: Path, report: TuningReport) -> None:
    write_text(folder / JSON, report.to_json())
    write_text(folder / MARKDOWN, report.to_markdown())
    for n, search in enumerate(report.searches):
        values = [
            float("nan") if not trial.value or trial.value[0] is None else trial.value[0] for trial in search.trials
        ]
        curve = SearchCurve(values, [(item.n, item.expected) for item in search.best_of if item.expected is not None])
        suffix = "" if len(report.searches) == 1 else f"-{n}"
        for form in ("svg", "png"):
            path = folder / f"tuning{suffix}.{form}"
            value_name = f"{report.ranking[0]}, {report.selected_on}"
            search_chart(path, curve, search.importances, value_name, higher_is_better=report.higher_is_better)
