"""Predicts with the models that a run stored: on another split, on another track, on the samples of another corpus.

The weights come from the run's folder, the code from the baseline of its name; the digests of both are recorded.
Nothing is learned, and references are read, where there are any, only to score what was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

from merbench.corpus import CORPORA, Corpus, open_corpus
from merbench.corpus.candidates import Candidates, candidates_in, open_candidates
from merbench.corpus.declaration import FILE_NAME, SPLIT
from merbench.engine import suitable_threads
from merbench.errors import UnknownName, UsageError, json_text, listed
from merbench.files.paths import expanded, is_path, list_folders
from merbench.files.reading import sha256_file
from merbench.files.writing import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.targets import Target
from merbench.track import Track, load_track
from merbench.track.declaration import Split
from merbench.training.data import TEST
from merbench.training.hold_out import KNOWN_TRACK, known_scores, without_classes, write_known_track
from merbench.training.output import (
    SUBMISSION,
    require_free,
    score_where_known,
    write_predictions,
)
from merbench.training.stored_models import SEEN, Models

RECORD = "prediction.json"

SCHEMA = "merbench.prediction/1"


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
        return () if target is None else (target.type, target.classes or target.label_columns)

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
    labels = target.classes or target.label_columns
    return target.type + (f" of {len(labels)} labels: {listed(labels)}" if labels else "")


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
