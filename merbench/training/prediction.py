"""Predicts with the models that a run stored: on another split, on another track, on the samples of another corpus.

The weights come from the run's folder, the code from the baseline of its name; the digests of both are recorded.
Nothing is learned, and references are read, where there are any, only to score what was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import CORPORA, Corpus, open_corpus
from merbench.corpus.candidates import Candidates, candidates_in, open_candidates
from merbench.corpus.declaration import FILE_NAME, SPLIT
from merbench.devices import require_device
from merbench.engine import suitable_threads
from merbench.errors import IntegrityError, MalformedFile, UnknownName, UsageError, json_text, listed
from merbench.files.paths import expanded, is_path, list_folders, resolve_inside
from merbench.files.reading import read_verified, sha256_file
from merbench.files.tensors import Arrays, read_tensors
from merbench.files.writing import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.targets import Target
from merbench.track import Track, load_track
from merbench.track.declaration import Split
from merbench.training.data import TEST, feature_set
from merbench.training.declaration import LoadedBaseline, load_baseline
from merbench.training.hold_out import KNOWN_TRACK, known_scores, without_classes, write_known_track
from merbench.training.output import (
    ANSWERED,
    MODEL_SCHEMA,
    SAMPLES,
    SUBMISSION,
    require_free,
    score_where_known,
    write_predictions,
)
from merbench.training.protocol import Baseline, Predictions, Setup, Storable
from merbench.training.records import StoredRun, read_run
from merbench.training.samples import FeatureSet

RECORD = "prediction.json"

SCHEMA = "merbench.prediction/1"

SEEN = {
    "learned": "were learned from",
    "validated": "are of the development set that epochs and options were selected on",
    "unlabelled": "were learned from without references",
}
"""By use of samples in a run, what a reader of their score must know."""


@dataclass(frozen=True, eq=False, slots=True)
class Model:
    """One model of a run: of all samples, or of those without a value that was left out.

    Attributes:
        baseline: the model.
        options: its options.
        ids: of the samples of the run, by use: `answered`, and those of `SEEN`.
    """

    baseline: Baseline
    options: Mapping[str, Any]
    ids: Mapping[str, pa.Array]

    def used(self, use: str, ids: pa.StringArray) -> NDArray[np.bool_]:
        """Return which samples the run used in some way for this model."""
        if use not in self.ids:
            return np.zeros(len(ids), dtype=np.bool_)
        known: NDArray[np.bool_] = pc.is_in(ids, value_set=self.ids[use]).to_numpy(zero_copy_only=False)
        return known


@dataclass(frozen=True, eq=False, slots=True)
class Models:
    """The models of a run with one seed, ready to predict.

    Attributes:
        run: the run.
        track: the track that it was trained for.
        loaded: the baseline.
        seed: the seed that they were trained with.
        digests: SHA-256 of their files, by name in the folder of the run.
        models: one for all samples, or one for each value that the run left out in turn.
    """

    run: StoredRun
    track: Track
    loaded: LoadedBaseline = field(repr=False)
    seed: int
    digests: Mapping[str, str] = field(repr=False)
    models: tuple[Model, ...] = field(repr=False)

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of the files of the baseline, and of another one that it trains, as they are now."""
        return self.loaded.files(*(model.options for model in self.models))

    def samples(self, candidates: Candidates) -> FeatureSet:
        """Return what the models see of candidates; raise `UsageError` if a feature has another width."""
        declared, widths = self.loaded.declaration, self.run.record.widths
        samples = feature_set(candidates, list(widths), declared.columns, **declared.reads)
        others = [
            f"{name} ({width}, not {widths[name]})" for name, width in samples.widths.items() if width != widths[name]
        ]
        if others:
            raise UsageError(
                f"corpus '{candidates.corpus.name}': features have another width than those that {self.run.folder} "
                f"learned from ({len(others)} of {len(widths)}): {listed(others)}; extract them as they were"
            )
        return samples

    def answering(self, ids: pa.StringArray) -> NDArray[np.bool_]:
        """Return `(models, n)` which models answer each sample.

        A sample, known by its id, is answered by the one of several models that answered it in the run, else by those
        that did not learn from it. Where there are none, all answer it.
        """
        answered = np.stack([model.used(ANSWERED, ids) for model in self.models])
        learned = np.stack([model.used("learned", ids) | model.used("validated", ids) for model in self.models])
        others = np.where(learned.all(axis=0), True, ~learned)
        return np.where(answered.any(axis=0), answered, others)

    def predict(self, samples: FeatureSet) -> Predictions:
        """Return the answers for samples."""
        patterns, of_samples = np.unique(self.answering(samples.ids), axis=1, return_inverse=True)
        parts = []
        for n, pattern in enumerate(patterns.T):
            rows = np.flatnonzero(of_samples.reshape(-1) == n)
            own, chosen = samples.select(rows), np.flatnonzero(pattern).tolist()
            parts.append((rows, _mean([self.models[model].baseline.predict(own) for model in chosen])))
        return Predictions.gathered(parts)

    def seen(self, use: str, ids: pa.StringArray) -> NDArray[np.bool_]:
        """Return which samples a model was given in some way that answers them now."""
        used = np.stack([model.used(use, ids) for model in self.models])
        return np.asarray((used & self.answering(ids)).any(axis=0))


def _mean(answers: Sequence[Predictions]) -> Predictions:
    if len(answers) == 1:
        return answers[0]
    if answers[0].sets:
        raise UsageError("sets of words of several models cannot be averaged")
    return Predictions({name: np.mean([each.outputs[name] for each in answers], axis=0) for name in answers[0].outputs})


def open_models(
    run: str | Path, *, seed: int | None = None, baseline: str | Path | None = None, device: str = "auto"
) -> Models:
    """Return the models that a run stored.

    Args:
        run: the folder of the run.
        seed: the seed whose models are opened; None is the first of the run.
        baseline: name or folder of the baseline; None is the name that the run recorded.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …

    Raises:
        UnknownName: no such baseline.
        UsageError: there is no such run or seed, or the baseline does not store its models.
        IntegrityError: a file of weights is missing, changed, or cannot be read.
    """
    require_device(device)
    stored = read_run(expanded(run))
    track, seeds = stored.track(), {each.seed: each.models for each in stored.record.runs}
    chosen = stored.record.runs[0].seed if seed is None else seed
    if chosen not in seeds:
        raise UsageError(f"{stored.folder}: no seed {chosen}; it has {listed([str(each) for each in seeds])}")
    digests = seeds[chosen]
    if not digests:
        raise UsageError(f"{stored.folder}: has no models: baseline '{stored.record.baseline.name}' stored none")
    loaded = load_baseline(stored.record.baseline.name if baseline is None else baseline)
    setup = Setup(chosen, device_name=device)
    models = []
    for name, digest in digests.items():
        weights, ids, options = _stored(stored, name, digest)
        built = loaded.build(options, setup)
        if not isinstance(built, Storable):
            raise UsageError(f"baseline '{loaded.name}' has no weights() and restore(): it does not store its models")
        built.restore(weights, track, stored.record.widths)
        models.append(Model(built, options, ids))
    return Models(stored, track, loaded, chosen, digests, tuple(models))


def _stored(run: StoredRun, name: str, digest: str) -> tuple[Arrays, dict[str, pa.Array], Mapping[str, Any]]:
    """Return the weights of a model, the ids of its samples by use, and its options."""
    path = resolve_inside(run.folder, name)
    try:
        arrays, metadata = read_tensors(read_verified(path, digest))
    except MalformedFile as error:
        raise IntegrityError(f"{path}: {error}") from error
    if metadata.get("schema") != MODEL_SCHEMA:
        raise IntegrityError(f"{path}: its form is {metadata.get('schema')!r}; this version reads {MODEL_SCHEMA!r}")
    texts = {name.removeprefix(SAMPLES): arrays.pop(name) for name in list(arrays) if name.startswith(SAMPLES)}
    try:
        ids = {use: pa.array(values.tolist(), pa.string()) for use, values in texts.items()}
    except (pa.ArrowException, UnicodeError, TypeError) as error:
        raise IntegrityError(f"{path}: ids of samples are not texts") from error
    return arrays, ids, metadata.get("options", run.record.options)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the models of a run answered.

    Attributes:
        folder: what was written.
        candidates: the samples.
        report: the score; None where there are no references for it.
        withheld: why there is no score.
        warnings: what a reader of the score must know.
    """

    folder: Path
    candidates: Candidates = field(repr=False)
    report: ScoreReport | None
    withheld: str = ""
    warnings: tuple[str, ...] = ()


def predict(
    models: Models,
    target: str | Path,
    *,
    split: str | None = None,
    output: str | Path | None = None,
    intervals: bool = True,
    replace: bool = False,
) -> Prediction:
    """Predict with the models of a run, write the answers as a submission, and score them where that is possible.

    Args:
        models: see `open_models`.
        target: a track (a name or a folder) whose targets the run answers, or a corpus with its features; a name that
            both have is the track's.
        split: split of the track, or of the corpus; None is `test` of a track, and all samples of a corpus.
        output: folder to write; None is `predictions/<track or corpus>[-<split>]` in the folder of the run.
        intervals: whether to resample when the answers are scored.
        replace: whether a prediction that the folder already contains is replaced.

    Raises:
        UnknownName: no such track, corpus or feature.
        UsageError: there is no such split; targets or widths of features differ; the output folder is not empty.
    """
    opened, stored = _opened(target), models.run
    if isinstance(opened, Track):
        _require_targets(models, opened)
        name, candidates = opened.id, open_candidates(opened, split or TEST)
    else:
        name, candidates = opened.name, _of_corpus(models.track, opened, split)
    place = stored.folder / "predictions" / (name if split is None else f"{name}-{split}")
    folder = place if output is None else Path(output)
    require_free(folder, RECORD, replace=replace)
    samples = models.samples(candidates)
    with suitable_threads(samples.n_values):
        answers = models.predict(samples)
    warnings = tuple(_warnings(models, candidates))
    with atomic_folder(folder, replace=True) as temporary:
        scored = candidates
        if stored.record.hold_out and isinstance(opened, Track):
            scored = write_known_track(temporary / KNOWN_TRACK, candidates, stored.record.hold_out)
            answers = known_scores(answers)
        digest = write_predictions(temporary, scored, answers)
        try:
            report, withheld = score_where_known(scored, temporary / SUBMISSION, intervals)
        except UsageError as error:
            if isinstance(opened, Track):
                raise
            report, withheld = None, f"not scored: {error}"
        record = _record(models, candidates, digest, report, warnings)
        write_text(temporary / RECORD, json_text(record))
        report = None if report is None else replaced(report, source=str(folder / SUBMISSION))
    return Prediction(folder, candidates, report, withheld, warnings)


def _opened(target: str | Path) -> Track | Corpus:
    """Return the track or the corpus of a name or a folder."""
    if is_path(target):
        return open_corpus(target) if (expanded(target) / FILE_NAME).is_file() else load_track(target)
    tracks, corpora = [folder.name for folder in list_folders("track")], CORPORA.names()
    if target not in tracks and target in corpora:
        return open_corpus(target)
    if target not in tracks:
        raise UnknownName("track or corpus", str(target), {*tracks, *corpora})
    return load_track(target)


def _of_corpus(own: Track, corpus: Corpus, split: str | None) -> Candidates:
    """Return samples of a corpus as candidates of a track that is like the run's, but for its corpus and splits."""
    splits = sorted(set(corpus.samples()[SPLIT].to_pylist())) if split is None else [split]
    name = split or "all"
    declared = {"corpus": corpus.name, "splits": {name: Split(source=tuple(splits))}, "corruptions": ()}
    return candidates_in(own.model_copy(update=declared), name, corpus, splits)


def _require_targets(models: Models, track: Track) -> None:
    """Raise `UsageError` unless a run answers every target of a track, but for the classes that it holds out."""
    hold_out = models.run.record.hold_out

    def kind(target: Target | None) -> tuple[Any, ...]:
        return () if target is None else (target.type, tuple(target.classes))

    if hold_out and track.id == KNOWN_TRACK:
        raise UsageError(
            f"{track.id} has no features to answer from; name the track that its samples are of, such as "
            f"{models.track.id}"
        )
    own, wanted = models.track.targets, (without_classes(track, hold_out) if hold_out else track).targets
    if others := [name for name, target in wanted.items() if kind(own.get(name)) != kind(target)]:
        answers = listed([f"{name} ({_described(target)})" for name, target in own.items()])
        declares = listed([f"{name} ({_described(wanted[name])})" for name in others])
        without = f" without {listed(hold_out)}" if hold_out else ""
        raise UsageError(f"{models.run.folder} answers {answers}; {track.id}{without} declares {declares}")


def _described(target: Target) -> str:
    labels = f" of {len(target.classes)} labels: {listed(target.classes)}" if target.classes else ""
    return f"{target.type}{labels}"


def _warnings(models: Models, candidates: Candidates) -> list[str]:
    """Return what a reader of the score must know: samples that the run has seen, code that changed."""
    run, files = models.run.record, models.files
    own = {run.corpus.name, models.track.training.corpus}
    by_id = "" if candidates.corpus.name in own else ", if they are the ones of the same id in the run"
    counted = {use: int(models.seen(use, candidates.ids).sum()) for use in SEEN}
    warnings = [f"{n:,} of {len(candidates):,} samples {SEEN[use]}{by_id}" for use, n in counted.items() if n]
    if changed := [name for name, digest in files.items() if run.baseline.files.get(name) != digest]:
        warnings.append(f"baseline '{models.loaded.name}' changed since the run: {listed(changed)}")
    return warnings


def _record(
    models: Models, candidates: Candidates, submission: str, report: ScoreReport | None, warnings: Sequence[str]
) -> dict[str, Any]:
    corpus, run = candidates.corpus, models.run
    scores = () if report is None else report.public().scores
    return {
        "schema": SCHEMA,
        "run": {"record": sha256_file(run.path), "track": run.record.track.key, "seed": models.seed},
        "baseline": {"name": models.loaded.name, "files": models.files},
        "models": dict(models.digests),
        "track": {"key": candidates.track.key, "fingerprint": candidates.track.fingerprint},
        "corpus": {"name": corpus.name, "version": corpus.version, "synthetic": corpus.synthetic},
        "features": {name: corpus.declaration.content.features[name] for name in run.record.widths},
        "split": candidates.split,
        "n_test": len(candidates),
        "submission": submission,
        "test": {item.key: item.value for item in scores} if scores else None,
        "warnings": list(warnings),
    }
