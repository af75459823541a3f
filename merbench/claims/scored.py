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
from merbench.claims.condition import corrupted_submissions, require_vectors, step_of
from merbench.claims.report import Measured
from merbench.claims.stored import given_options
from merbench.corpus.candidates import Candidates
from merbench.corruptions import Step
from merbench.engine import ShowProgress, named_progress
from merbench.errors import UndefinedMetric, UnknownName, UsageError, WithheldReference, listed
from merbench.files.reading import sha256_bytes
from merbench.scoring import resampling_of, seed_differences
from merbench.scoring.comparison import with_metric
from merbench.significance import t_ends
from merbench.submission import Submission, read_submission
from merbench.track import OVERALL, Track
from merbench.training.claim import Inequality, NonInferiority, Place, Published, Side
from merbench.training.declaration import read_baseline
from merbench.training.plan import Plan, with_learning
from merbench.training.records import StoredRun, read_run
from merbench.training.run import kept_run, run_baseline
from merbench.training.selection import ranking_signs
from merbench.training.trainings import RunSettings, Trainings
from merbench.training.tuning.result import BEST
from merbench.training.tuning.trials import SearchSettings, require_optuna, tune

Scored = Inequality | NonInferiority | Published


@dataclass(frozen=True, eq=False)
class KeptRun:
    """The training of a system on a track with several seeds; it is done once, wherever it is asked for.

    Attributes:
        track: the track, as it is declared.
        baseline: the folder of the baseline.
        settings: how it is trained.
        trials: how many trials search its options first; 0: they are not searched.
        root: the folder of all such runs.
    """

    track: Track = field(repr=False)
    baseline: Path
    settings: RunSettings
    trials: int
    root: Path

    @cached_property
    def trainings(self) -> Trainings:
        """Its trainings."""
        return Trainings(with_learning(self.track, self.settings.learning), self.baseline, self.settings)

    @cached_property
    def folder(self) -> Path:
        """Where it is stored; raises if something that it needs is not available."""
        trainings, space = self.trainings, ""
        if self.trials:
            loaded = trainings.loaded
            space = str(loaded.space(trainings.fixed, loaded.preset(self.settings.preset), {}))
        inputs = [trainings.digest, trainings.seeds, self.trials, space]
        digest = sha256_bytes(json.dumps(inputs).encode())[:12]
        return (self.root / self.track.id / f"{trainings.loaded.name}-{digest}").absolute()

    @property
    def run_folder(self) -> Path:
        """The folder of the run itself."""
        return self.folder / BEST if self.trials else self.folder

    def train(self, progress: ShowProgress | None = None, *, replace: bool = False) -> None:
        """Train it, unless it was; `replace` trains it in any case. `progress` gets a text and (done, total) steps."""
        settings = self.settings
        named = named_progress(progress, f"{self.trainings.loaded.name} on {self.track.id}")
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
        sides: the runs of the system, then those of the control, where there is one.
        condition: what is done to the features of the test samples; None: nothing.
    """

    claim: Scored
    key: str
    plan: Plan = field(repr=False)
    sides: tuple[tuple[KeptRun, ...], ...]
    condition: Step | None = None

    @property
    def runs(self) -> Iterator[KeptRun]:
        """All runs that are needed."""
        return (run for side in self.sides for run in side)

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
        claim, chosen = self.claim, [self._best(side) for side in self.sides]
        remark = "; ".join(
            f"best feature of the {name}: {listed(list(run.record.features))}"
            for name, side, run in zip(("system", "control"), self.sides, chosen, strict=False)
            if len(side) > 1
        )
        if claim.is_over_seeds:
            return replace(self._over_seeds(chosen), remark=remark)
        test = replace(self.plan.test, track=with_metric(self.plan.track, self.key))  # nothing else is resampled
        system, control = (self._submissions(side, run, test) for side, run in zip(self.sides, chosen, strict=True))
        differences = seed_differences(system, control, ("system", "control"), resampling_of(test))
        row = next(each for each in differences if each.key == self.key)
        difference, low, high = row.difference, row.low, row.high
        if not row.higher_is_better:
            difference, low, high = -difference, None if high is None else -high, None if low is None else -low
        return Measured((difference,), low, high, self.key, row.value_a, row.value_b, remark)

    def _submissions(self, side: Sequence[KeptRun], run: StoredRun, test: Candidates) -> list[Submission]:
        """Return what a run answered, one submission a seed, or what it answers under the condition."""
        if self.condition is None:
            return [read_submission(path, test) for path in run.submissions]
        (kept,) = (each for each in side if each.run_folder == run.folder)
        submissions = corrupted_submissions(run, kept.trainings.plan, self.condition, kept.settings.device)
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
    runs = tuple(tuple(_runs(claim, place, track, folder, side, *how)) for folder, side in sides)
    check = Check(claim, key, runs[0][0].trainings.plan, runs, step_of(claim, place))
    test = check.plan.test
    if test.hidden:
        raise WithheldReference(f"{track.id}: which samples of split '{test.split}' are scored is secret")
    _ = test.references  # withheld ones are reported before anything is trained
    if any(side.trials for _, side in sides):
        require_optuna()
        require_matplotlib()
    for run in check.runs:
        _ = run.folder
        if check.condition is not None:
            require_vectors(run.trainings.plan)
    return check


def _runs(
    claim: Scored, place: Place, track: Track, folder: Path, side: Side, device: str, root: Path
) -> Iterator[KeptRun]:
    declared = read_baseline(folder)
    settings = RunSettings(
        preset=side.preset,
        learning={} if place.folds is None else {"folds": place.folds},
        device=device,
        seeds=list(range(claim.seeds if declared.uses_seed else 1)),
        features=side.features or place.features,
        options=given_options(declared, side, place),
        intervals=False,
    )
    run = KeptRun(track, folder.absolute(), settings, side.trials, root)
    if not side.best_feature:
        yield run
        return
    for name in run.trainings.plan.features:
        yield replace(run, settings=replace(settings, features=[name]))


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
    """Return the mean, over folds and parts, of a diagnostic of the networks of a seed."""
    parts = [part.get("details", {}).get("diagnostics", {}) for part in seed.get("parts", [seed])]
    if not all(name in each for each in parts):
        raise UnknownName("diagnostic", name, {key for each in parts for key in each}, "`diagnostics` of the network")
    return fmean(value for each in parts for value in each[name])
