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
from merbench.training.data import feature_set
from merbench.training.declaration import LoadedBaseline, load_baseline
from merbench.training.output import MODEL_SCHEMA, SUBMISSION, require_free, score_where_known, write_predictions
from merbench.training.protocol import Baseline, Predictions, Setup, Storable
from merbench.training.records import StoredRun, read_run
from merbench.training.samples import FeatureSet, Names

RECORD = "prediction.json"

SCHEMA = "merbench.prediction/1"

TEST, TRAIN = "test", "train"


@dataclass(frozen=True, eq=False, slots=True)
class Models:
    """The models of a run with one seed, ready to predict.

    Attributes:
        run: the run.
        track: the track that it was trained for.
        loaded: the baseline.
        seed: the seed that they were trained with.
        digests: SHA-256 of their files, by name in the folder of the run.
        baselines: by the value that the model did not learn from, where the run left each out in turn, else "".
    """

    run: StoredRun
    track: Track
    loaded: LoadedBaseline = field(repr=False)
    seed: int
    digests: Mapping[str, str] = field(repr=False)
    baselines: Mapping[str, Baseline] = field(repr=False)

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

    def predict(self, samples: FeatureSet, groups: Names | None = None) -> Predictions:
        """Return the answers for samples.

        Args:
            samples: the samples.
            groups: `(n,)` their values of the column that the run left out in turn, "" where it is not known: a sample
                with one of these values is answered by the model that did not learn from it, any other by the mean of
                all models.
        """
        if len(self.baselines) == 1:
            return next(iter(self.baselines.values())).predict(samples)
        of_groups = np.full(len(samples), "") if groups is None else groups
        others = np.flatnonzero(~np.isin(of_groups, list(self.baselines)))
        parts = [(np.flatnonzero(of_groups == value), [model]) for value, model in self.baselines.items()]
        parts.append((others, list(self.baselines.values())))
        return Predictions.gathered(
            [
                (rows, _mean([model.predict(samples.select(rows)) for model in models]))
                for rows, models in parts
                if len(rows)
            ]
        )


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
    baselines = {}
    for name, digest in digests.items():
        arrays, metadata = _weights(stored, name, digest)
        built = loaded.build(metadata.get("options", stored.record.options), setup)
        if not isinstance(built, Storable):
            raise UsageError(f"baseline '{loaded.name}' has no weights() and restore(): it does not store its models")
        built.restore(arrays, track, stored.record.widths)
        baselines[str(metadata.get("left_out") or "")] = built
    return Models(stored, track, loaded, chosen, digests, baselines)


def _weights(run: StoredRun, name: str, digest: str) -> tuple[Arrays, dict[str, Any]]:
    path = resolve_inside(run.folder, name)
    try:
        arrays, metadata = read_tensors(read_verified(path, digest))
    except MalformedFile as error:
        raise IntegrityError(f"{path}: {error}") from error
    if metadata.get("schema") != MODEL_SCHEMA:
        raise IntegrityError(f"{path}: its form is {metadata.get('schema')!r}; this version reads {MODEL_SCHEMA!r}")
    return arrays, metadata


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
        _require_targets(stored, models.track.targets, opened)
        name, candidates = opened.id, open_candidates(opened, split or TEST)
    else:
        name, candidates = opened.name, _of_corpus(models.track, opened, split)
    place = stored.folder / "predictions" / (name if split is None else f"{name}-{split}")
    folder = place if output is None else Path(output)
    require_free(folder, RECORD, replace=replace)
    samples, column = models.samples(candidates), models.track.training.leave_out
    groups = None if column is None else _values(candidates, column)
    with suitable_threads(samples.n_values):
        answers = models.predict(samples, groups)
    warnings = tuple(_warnings(models, candidates, groups))
    with atomic_folder(folder, replace=True) as temporary:
        digest = write_predictions(temporary, candidates, answers)
        try:
            report, withheld = score_where_known(candidates, temporary / SUBMISSION, intervals)
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


def _require_targets(run: StoredRun, own: Mapping[str, Target], track: Track) -> None:
    """Raise `UsageError` unless a run answers every target of a track."""

    def kind(target: Target | None) -> tuple[Any, ...]:
        return () if target is None else (target.type, tuple(target.classes))

    others = [name for name, target in track.targets.items() if kind(own.get(name)) != kind(target)]
    if others:
        described = [f"{name} ({_described(target)})" for name, target in own.items()]
        wanted = [f"{name} ({_described(track.targets[name])})" for name in others]
        raise UsageError(f"{run.folder} answers {listed(described)}; {track.id} declares {listed(wanted)}")


def _described(target: Target) -> str:
    labels = f" of {len(target.classes)} labels: {listed(target.classes)}" if target.classes else ""
    return f"{target.type}{labels}"


def _values(candidates: Candidates, column: str) -> Names:
    """Return the candidates' values of a column as text; "" where there is none."""
    if column not in candidates.samples.column_names:
        return np.full(len(candidates), "")
    values = candidates.samples[column].to_pylist()
    return np.array(["" if value is None else str(value) for value in values])


def _warnings(models: Models, candidates: Candidates, groups: Names | None) -> list[str]:
    """Return what a reader of the score must know: samples that were learned from, code that changed."""
    record, training, splits = models.run.record, models.track.training, models.track.splits
    warnings = []
    first = TRAIN if TRAIN in splits else TEST  # without the former, groups of the latter are left out in turn
    sources = training.source or splits[first].source
    if candidates.corpus.name == (training.corpus or record.corpus.name):
        learned = np.isin(candidates.samples[SPLIT].to_pylist(), sources)
        if groups is not None:
            learned &= ~np.isin(groups, list(models.baselines))
        if n := int(learned.sum()):
            warnings.append(f"{n:,} of {len(candidates):,} samples are in splits that the run learned from")
    changed = [name for name, digest in models.loaded.digests.items() if record.baseline.files.get(name) != digest]
    if changed:
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
        "baseline": {"name": models.loaded.name, "files": models.loaded.digests},
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
