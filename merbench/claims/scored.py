"""Claims about scores: the runs that they need, which are trained once and kept, and what these show.

Conventions:
    A run is trained with the seeds 0, 1, …, n - 1, into `<root>/<track>/<baseline>-<digest of its inputs>`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from merbench.charts import require_matplotlib
from merbench.claims.condition import (
    HOLD_OUT,
    Condition,
    condition_of,
    corrupted_submissions,
    detectors_of,
    require_modalities,
)
from merbench.claims.report import Measured
from merbench.claims.stored import given_options
from merbench.corpus.candidates import Candidates
from merbench.corruptions import Step
from merbench.engine import ShowProgress, named_progress
from merbench.errors import UndefinedMetric, UnknownName, UsageError, WithheldReference, listed, plural
from merbench.files.reading import sha256_bytes
from merbench.scoring import Resampling, SeedDraws, resampling_of, seed_draws, seed_interval, weighted_sum
from merbench.scoring.comparison import with_metric
from merbench.significance import t_ends
from merbench.submission import Submission, read_submission
from merbench.track import OVERALL, Track
from merbench.training.claim import Inequality, Monotone, NonInferiority, Place, Published, Scored, Side
from merbench.training.declaration import Options, read_baseline
from merbench.training.hold_out import require_unknown, without_classes
from merbench.training.plan import Plan, with_learning
from merbench.training.pretraining import PretrainingSettings, pretrain, pretraining_options
from merbench.training.protocol import Setup, Storable
from merbench.training.records import StoredRun, read_run
from merbench.training.run import TRANSDUCTIVE, kept_run, run_baseline
from merbench.training.selection import ranking_signs
from merbench.training.trainings import RunSettings, Trainings
from merbench.training.tuning.result import BEST
from merbench.training.tuning.trials import SearchSettings, require_optuna, tune
from merbench.training.unknown.detectors import detector
from merbench.training.unknown.runs import stored_held_out
from merbench.training.unknown.scores import FIRST


@dataclass(frozen=True, eq=False)
class KeptRun:
    """The training of a system on a track with several seeds; it is done once, wherever it is asked for.

    Attributes:
        track: the track, as it is declared.
        baseline: the folder of the baseline.
        settings: how it is trained.
        trials: how many trials search its options first; 0: they are not searched.
        root: the folder of all such runs.
        pretraining: options of what it begins from, which is learned first, without references; None: from scratch.
    """

    track: Track = field(repr=False)
    baseline: Path
    settings: RunSettings
    trials: int
    root: Path
    pretraining: Options | None = None

    @cached_property
    def trainings(self) -> Trainings:
        """Its trainings."""
        track = with_learning(self.track, self.settings.learning)
        track = without_classes(track, self.settings.hold_out) if self.settings.hold_out else track
        return Trainings(track, self.baseline, self.settings)

    @cached_property
    def folder(self) -> Path:
        """Where it is stored; raises if something that it needs is not available."""
        trainings, space = self.trainings, ""
        if self.trials:
            loaded = trainings.loaded
            space = str(loaded.space(trainings.fixed, loaded.preset(self.settings.preset), {}))
        inputs = [trainings.digest, trainings.seeds, self.trials, space]
        if self.pretraining is not None:
            inputs.append(str(self.weights))
        digest = sha256_bytes(json.dumps(inputs).encode())[:12]
        return (self.root / self.track.id / f"{trainings.loaded.name}-{digest}").absolute()

    @cached_property
    def weights(self) -> Path:
        """Where the weights are that it begins from."""
        loaded, plan = self.trainings.loaded, self.trainings.plan
        options = pretraining_options(loaded, self._pretraining)
        inputs = [loaded.files(options), options, plan.train.corpus.digest, plan.features]
        digest = sha256_bytes(json.dumps(inputs, default=str).encode())[:12]
        return (self.root / "pretrained" / plan.train.corpus.name / f"{loaded.name}-{digest}").absolute()

    @property
    def _pretraining(self) -> PretrainingSettings:
        settings = self.settings
        return PretrainingSettings(
            features=settings.features, preset=settings.preset, options=self.pretraining or {}, device=settings.device
        )

    @property
    def run_folder(self) -> Path:
        """The folder of the run itself."""
        return self.folder / BEST if self.trials else self.folder

    def train(self, progress: ShowProgress | None = None, *, replace: bool = False) -> None:
        """Train it, unless it was; `replace` trains it in any case. `progress` gets a text and (done, total) steps."""
        settings = self.settings
        named = named_progress(progress, f"{self.trainings.loaded.name} on {self.track.id}")
        if self.pretraining is not None:
            if replace or not self.weights.is_dir():
                corpus, how = self.trainings.plan.train.corpus, self._pretraining
                pretrain(self.baseline, corpus, how, output=self.weights, replace=replace, progress=named)
            settings = with_options(settings, pretrained=str(self.weights))
        if not self.trials:
            train = partial(run_baseline, replace=True) if replace else kept_run
            train(self.track, self.baseline, settings, output=self.folder, progress=named)
            return
        search = SearchSettings(
            trials=self.trials,
            options=settings.options,
            preset=settings.preset,
            learning=settings.learning,
            features=settings.features,
            runs=len(settings.seeds or ()),
            device=settings.device,
        )
        report = tune(self.track, self.baseline, search, output=self.folder, replace=replace, progress=named)
        if report is None:
            raise UsageError(f"{self.folder}: another process searches options here; try again when it is done")

    def read(self) -> StoredRun:
        """Return the run, after it was trained."""
        return read_run(self.run_folder)


@dataclass(frozen=True, eq=False)
class Check:
    """A claim at one place: the systems, each with the runs of which the best one is taken.

    Attributes:
        claim: the claim.
        key: the key of the metric; the name of the diagnostic where one is claimed.
        plan: what is learned from and answered at the place.
        condition: what is done to the features of the test samples.
        sides: of the system, then of the control, where there is one, the runs for every value of the condition.
    """

    claim: Scored
    key: str
    plan: Plan = field(repr=False)
    condition: Condition
    sides: tuple[tuple[tuple[KeptRun, ...], ...], ...]

    @property
    def runs(self) -> Iterator[KeptRun]:
        """All runs that are needed."""
        return (run for side in self.sides for runs in side for run in runs)

    @property
    def data_signature(self) -> dict[str, str]:
        """What a result depends on of the corpora: their digests, and those of all features of the sides."""
        plans = [run.trainings.plan for run in self.runs]
        corpora = {each.corpus.name: each.corpus.digest for plan in plans for each in (plan.train, plan.test)}
        devices = {run.settings.device: None for run in self.runs}
        features = {
            name: plan.test.corpus.declaration.content.features[name] for plan in plans for name in plan.features
        }
        return {
            "corpus": " ".join(f"{name}#{digest[:16]}" for name, digest in sorted(corpora.items())),
            "features": " ".join(f"{name}#{digest[:16]}" for name, digest in features.items()),
            "device": " ".join(devices),
        }

    def measured(self) -> Measured:
        """Return what the runs show; they have been trained."""
        chosen = [[self._best(runs) for runs in side] for side in self.sides]
        remarks = [
            f"best feature of the {name}: {listed(list({each: 0 for run in best for each in run.record.features}))}"
            for name, side, best in zip(("system", "control"), self.sides, chosen, strict=False)
            if any(len(runs) > 1 for runs in side)
        ]
        remarks += [
            f"the {name} is {TRANSDUCTIVE}: it learned from candidates without their references"
            for name, best in zip(("system", "control"), chosen, strict=False)
            if any(text.startswith(TRANSDUCTIVE) for run in best for text in run.content.get("warnings", ()))
        ]
        measured = (
            self._over_seeds([best[0] for best in chosen]) if self.claim.is_over_seeds else self._compared(chosen)
        )
        return replace(measured, remark="; ".join(text for text in (measured.remark, *remarks) if text))

    def _compared(self, chosen: Sequence[Sequence[StoredRun]]) -> Measured:
        """Return the difference between the sides; of a monotone claim that between two values of a condition."""
        if self.condition.parameter == HOLD_OUT:
            return self._detected(chosen)
        test = replace(self.plan.test, track=with_metric(self.plan.track, self.key))  # nothing else is resampled
        how = replace(resampling_of(test).in_range(), method="t")
        drawn = [
            [
                seed_draws(self._submissions(n, runs, run, test), name, how)
                for n, (runs, run) in enumerate(zip(side, best, strict=True))
            ]
            for name, side, best in zip(("system", "control"), self.sides, chosen, strict=False)
        ]
        if isinstance(self.claim, Monotone):
            return self._weakest(drawn[0], how)
        sides = [weighted_sum(each, self.condition.summed) for each in drawn]
        n = len(self.condition.values)
        remark = "area over rates" if self.condition.is_area else f"mean of {n} conditions" if n > 1 else ""
        return self._difference(sides, (sides[0].values[self.key], sides[1].values[self.key]), how, remark)

    def _detected(self, chosen: Sequence[Sequence[StoredRun]]) -> Measured:
        """Return the difference between two detectors, or systems, of the mean over classes that are held out in turn.

        Detectors of the same runs are paired by seeds as well.
        """
        claim = self.claim
        assert isinstance(claim, Inequality | NonInferiority) and claim.control is not None
        is_paired = [run.folder for run in chosen[0]] == [run.folder for run in chosen[1]]
        sides, how = list[SeedDraws](), None
        for name, side, runs in zip(("system", "control"), (claim.system, claim.control), chosen, strict=True):
            drawn = []
            for run in runs:
                held_out = stored_held_out(run)
                test = replace(held_out.candidates, track=with_metric(held_out.candidates.track, self.key))
                how = replace(resampling_of(test).in_range(), method="t")
                submissions = held_out.submissions[detector(side.detector or FIRST).label]
                own = [replace(each, candidates=test) for each in submissions]
                drawn.append(seed_draws(own, "system" if is_paired else name, how))
            sides.append(weighted_sum(drawn, self.condition.summed))
        assert how is not None
        values = sides[0].values[self.key], sides[1].values[self.key]
        n = len(self.condition.values)
        remark = f"mean over {n} classes held out in turn" if n > 1 else ""
        return self._difference([weighted_sum(sides, (1.0, -1.0))] if is_paired else sides, values, how, remark)

    def _weakest(self, drawn: Sequence[SeedDraws], how: Resampling) -> Measured:
        """Return the difference between two values of a condition that decides."""
        pairs, values = self.condition.pairs, self.condition.values
        measured = [
            self._difference(
                [weighted_sum([drawn[more], drawn[less]], (1.0, -1.0))],
                (drawn[more].values[self.key], drawn[less].values[self.key]),
                how,
                f"{values[more]} against {values[less]}, which decides of {plural(len(pairs), 'difference')}",
            )
            for more, less in pairs
        ]
        margin = self.claim.margin if isinstance(self.claim, Monotone) else 0.0

        def order(each: Measured) -> tuple[bool, float]:
            is_above = each.high is None or each.high > -margin
            end = each.low if is_above else each.high
            return is_above, -math.inf if end is None else end

        return min(measured, key=order)

    def _difference(
        self, drawn: Sequence[SeedDraws], values: tuple[float, float], how: Resampling, remark: str
    ) -> Measured:
        """Return a difference with its interval, positive where the first of two values is the better one."""
        difference = drawn[0].values[self.key] - sum(each.values[self.key] for each in drawn[1:])
        low, high = seed_interval(self.key, drawn, how)
        is_higher = {spec.key: spec.metric.higher_is_better for spec in how.candidates.track.metrics}
        if not is_higher.get(self.key, True):
            difference, low, high = -difference, None if high is None else -high, None if low is None else -low
        return Measured((difference,), low, high, self.key, *values, remark)

    def _submissions(self, n: int, runs: Sequence[KeptRun], run: StoredRun, test: Candidates) -> list[Submission]:
        """Return what a run answered, one submission a seed, or what it answers under a value of the condition."""
        step = self.condition.steps[n]
        if step is None:
            return [read_submission(path, test) for path in run.submissions]
        (kept,) = (each for each in runs if each.run_folder == run.folder)
        names = [name for each in self.runs for name in each.trainings.plan.features]
        submissions = corrupted_submissions(run, kept.trainings.plan, step, names, kept.settings.device)
        return [replace(each, candidates=test) for each in submissions]

    def _best(self, side: Sequence[KeptRun]) -> StoredRun:
        """Return the run with the best mean of its cross-validated ranking values; of equally good ones the first."""
        runs = [each.read() for each in side]
        ((key, sign), *_) = ranking_signs(self.plan.track)

        def value(run: StoredRun) -> float:
            mean = run.record.cross_validated[key].mean if key in run.record.cross_validated else None
            return -math.inf if mean is None or not math.isfinite(mean) else sign * mean

        return max(runs, key=value)

    def _over_seeds(self, runs: Sequence[StoredRun]) -> Measured:
        """Return the mean over seeds of a score or diagnostic, or its difference from that of the control.

        The interval is for other seeds with the same samples; those of the two sides are independent (Welch, 1947).
        """
        value_of = _score if isinstance(self.claim, Published) else _diagnostic
        values = [[value_of(seed, self.key) for seed in run.content["runs"]] for run in runs]
        means = [fmean(each) for each in values]
        variances = [variance(each) / len(each) if len(each) > 1 else 0.0 for each in values]
        value, total = means[0] - sum(means[1:]), sum(variances)
        system, control = means if len(means) == 2 else (None, None)
        if not total:
            return Measured((value,), value, value, self.key, system, control)
        degrees = total**2 / sum(
            part**2 / (len(each) - 1) for part, each in zip(variances, values, strict=True) if part
        )
        low, high = t_ends(value, math.sqrt(total), self.plan.track.intervals.level, degrees)
        return Measured((value,), low, high, self.key, system, control)


def check_of(
    claim: Scored, place: Place, track: Track, key: str, sides: Sequence[tuple[Path, Side]], how: tuple[str, Path]
) -> Check:
    """Return a claim at a place, with the runs that it needs; nothing is trained.

    Args:
        claim: the claim.
        place: one of its places.
        track: the track there.
        key: the metric, or the diagnostic.
        sides: the folders of the baselines, and how they are run.
        how: the device, and the folder of the runs.

    Raises:
        UnknownName: a corpus, or a feature, is not here.
        MissingExtra: a package is not installed.
        UsageError: a baseline cannot be run there.
        WithheldReference: references are withheld.
    """
    condition, (device, root) = condition_of(claim, place), how

    def runs(folder: Path, side: Side, step: Step | None, held_out: Sequence[str]) -> tuple[KeptRun, ...]:
        declared = read_baseline(folder)
        settings = RunSettings(
            preset=side.preset,
            learning=condition.learning(place, side, step),
            device=device,
            seeds=list(range(claim.seeds if declared.uses_seed else 1)),
            features=side.features or place.features,
            options=given_options(declared, side, place),
            hold_out=held_out,
            detectors=detectors_of(claim) if held_out else (),
            intervals=False,
        )
        run = KeptRun(track, folder.absolute(), settings, side.trials, root, side.pretraining)
        return tuple(_runs(run, side))

    classes: list[tuple[str, ...]] = [(label,) for label in place.hold_out] or [()] * len(condition.steps)
    values = list(zip(condition.steps, classes, strict=True))
    by_side = tuple(tuple(runs(folder, side, *each) for each in values) for folder, side in sides)
    check = Check(claim, key, by_side[0][0][0].trainings.plan, condition, by_side)
    test = check.plan.test
    if test.hidden:
        raise WithheldReference(f"{track.id}: which samples of split '{test.split}' are scored is secret")
    _ = test.references  # withheld ones are reported before anything is trained
    for label in place.hold_out:
        require_unknown(replace(test, track=track), [label])
    if place.hold_out and any(side.trials for _, side in sides):
        raise UsageError("options are not searched where classes are held out")
    if any(side.trials for _, side in sides):
        require_optuna()
        require_matplotlib()
    for run in check.runs:
        _ = run.folder
        if any(condition.steps):
            require_modalities(run.trainings.plan)
            _require_models(run.trainings)
    return check


def _require_models(trainings: Trainings) -> None:
    loaded = trainings.loaded
    if not isinstance(loaded.build(trainings.options, Setup(device_name=trainings.settings.device)), Storable):
        raise UsageError(f"baseline '{loaded.name}' does not store its models, so they cannot answer under a condition")


def with_options(settings: RunSettings, **options: Any) -> RunSettings:
    """Return the settings with options in the place of others."""
    return replace(settings, options={**settings.options, **options})


def _runs(run: KeptRun, side: Side) -> Iterator[KeptRun]:
    """Yield a run, or one of each feature."""
    if not side.best_feature:
        yield run
        return
    for name in run.trainings.plan.features:
        yield replace(run, settings=replace(run.settings, features=[name]))


def metric_key(track: Track, name: str) -> str:
    """Return the key of a metric of a track, by its key or short name; of an empty one, that of the first that ranks.

    Raises:
        UnknownName: the track has no such metric.
    """
    keys = {track.metric_label(spec): spec.key for spec in track.metrics} | {
        spec.key: spec.key for spec in track.metrics
    }
    if any(spec.weight is not None for spec in track.metrics):
        keys[OVERALL] = OVERALL
    wanted = name or track.ranked_by[0]
    if wanted not in keys:
        raise UnknownName(f"metric of {track.id}", wanted, {track.metric_label(spec) for spec in track.metrics})
    return keys[wanted]


def _score(seed: Mapping[str, Any], key: str) -> float:
    """Return the value of a metric on the test split."""
    value = (seed.get("test") or {}).get(key)
    if value is None:
        raise UndefinedMetric(f"{key} has no value with seed {seed['seed']}")
    return float(value)


def _diagnostic(seed: Mapping[str, Any], name: str) -> float:
    """Return the mean, over folds and parts that have a value, of a diagnostic of the networks of a seed."""
    parts = [part.get("details", {}).get("diagnostics", {}) for part in seed.get("parts", [seed])]
    if not all(name in each for each in parts):
        raise UnknownName("diagnostic", name, {key for each in parts for key in each}, "`diagnostics` of the network")
    values = [value for each in parts for value in each[name] if value is not None]
    if not values:
        raise UsageError(f"diagnostic '{name}' has no value in any of {sum(len(each[name]) for each in parts)} folds")
    return fmean(values)
