"""Reads what a baseline learns from and predicts: features, columns, and the references of a training split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus import Feature
from merbench.corpus.candidates import Candidates, candidate_column, open_candidates
from merbench.corruptions import Step, generator
from merbench.corruptions.labels import Labels
from merbench.errors import UsageError, listed
from merbench.metrics.lists import Values
from merbench.resampling import cluster_codes
from merbench.targets import types_with
from merbench.track import Track
from merbench.training.samples import FeatureSet, Names, Rows, Sequences, TrainingSet

TRAIN = "train"

CLUSTERS = ("speaker", "dialogue")
"""Corpus columns whose values folds keep together where the track declares no cluster."""


def training_candidates(track: Track) -> Candidates:
    """Return the candidates of a track's training split; raise `UsageError` if it declares none."""
    if TRAIN not in track.splits:
        raise UsageError(f"{track.id} declares no split '{TRAIN}', which a baseline learns from")
    return open_candidates(track, TRAIN)


def feature_set(candidates: Candidates, names: Sequence[str], columns: Sequence[str] = ()) -> FeatureSet:
    """Return the features of all candidates of a split, and columns of the corpus.

    Raises:
        UnknownName: the corpus has no feature of a name.
        UsageError: a feature has no values for some candidates, which are listed; the corpus has no such column.
    """
    return _features(candidates, candidates.ids, names, columns)


def training_set(candidates: Candidates, names: Sequence[str], columns: Sequence[str] = ()) -> TrainingSet:
    """Return the features and references of those samples of a split that have a reference of every target.

    Raises:
        UnknownName: the corpus has no feature of a name.
        UsageError: a feature has no values for some samples, which are listed; the corpus has no such column; no sample
            has a reference of every target; the labels cannot be corrupted as declared.
        WithheldReference: the references of the split are withheld.
    """
    rows, targets, label_corruption = _labelled(candidates)
    cluster, clusters = _clusters(candidates, rows)
    return TrainingSet(
        track=candidates.track,
        samples=_features(candidates, candidates.ids.take(pa.array(rows)), names, columns),
        targets=targets,
        label_corruption=label_corruption,
        groups=_groups(candidates, rows),
        cluster=cluster,
        clusters=clusters,
    )


def _labelled(candidates: Candidates) -> tuple[Rows, dict[str, Values], dict[str, Any]]:
    """Return the candidates with a reference of every target, these references, and how labels were corrupted.

    Labels of a training split are corrupted where the track declares it; a long tail leaves samples out.
    """
    references, track = candidates.references, candidates.track
    complete = np.ones(len(references), dtype=np.bool_)
    for mask in references.known.values():
        complete &= mask
    rows = np.flatnonzero(complete)
    if not len(rows):
        raise UsageError(f"no sample of split '{candidates.split}' has a reference of every target")
    values = {name: column[rows] for name, column in references.values.items()}
    steps = track.steps(candidates.split, "labels")
    if not steps:
        return references.index[rows], values, {}
    name = _label_target(track, steps[0])
    labels, corruption = _corrupted(track, steps, Labels.of(np.asarray(values[name]), track.targets[name].classes))
    kept = {key: column[labels.rows] for key, column in values.items()}
    return references.index[rows[labels.rows]], {**kept, name: labels.codes}, corruption


def _label_target(track: Track, step: Step) -> str:
    fitting = [name for name, target in track.targets.items() if target.takes_label_noise]
    if len(fitting) != 1:
        raise UsageError(
            f"{track.id}: {step.step_name} corrupts the labels of exactly one target of type "
            f"{types_with('takes_label_noise')}; the track has {listed(fitting) or 'none'}"
        )
    return fitting[0]


def _corrupted(track: Track, steps: Sequence[Step], labels: Labels) -> tuple[Labels, dict[str, Any]]:
    corruption: dict[str, Any] = {}
    for step in steps:
        rng = generator(track.seed, step.step_name, "")
        sampled = step.draws(track.seed, "", rng)
        before, labels = labels, step.corruption.apply(labels, rng, sampled)
        values = sampled | step.corruption.measure(before, labels, sampled)
        corruption |= {f"{step.step_name}.{key}": value for key, value in values.items()}
        if labels.candidates is not None:
            raise UsageError(
                f"{track.id}: {step.step_name} gives each training sample a set of labels, and a baseline learns from "
                "one; `merbench.corruptions.labels` makes the sets for other systems"
            )
    return labels, corruption


def _groups(candidates: Candidates, rows: Rows) -> dict[str, Names]:
    """Return the columns that metrics are computed `per`; a column unknown for some of these samples is left out."""
    wanted = dict.fromkeys(spec.per for spec in candidates.track.metrics if spec.per is not None)
    known = {name: _column(candidates, name, rows) for name in wanted}
    return {name: np.array(values, dtype=np.str_) for name, values in known.items() if values and None not in values}


def _clusters(candidates: Candidates, rows: Rows) -> tuple[str, Rows]:
    """Return the first column that has two values or more, and their codes; a sample without one is a cluster."""
    for name in dict.fromkeys([candidates.track.intervals.cluster or CLUSTERS[0], *CLUSTERS]):
        values = _column(candidates, name, rows)
        if len(set(values)) > 1:
            return name, cluster_codes([f"#{i}" if value is None else f"={value}" for i, value in enumerate(values)])
    return "", np.empty(0, dtype=np.int64)


def _column(candidates: Candidates, name: str, rows: Rows) -> list[str | None]:
    """Return what the corpus knows of some candidates; an empty list without such a column."""
    if name not in candidates.samples.column_names:
        return []
    values = candidates.samples[name].combine_chunks().take(pa.array(rows)).to_pylist()
    return [None if value is None else str(value) for value in values]


def _features(candidates: Candidates, ids: pa.StringArray, names: Sequence[str], columns: Sequence[str]) -> FeatureSet:
    rows = pc.index_in(ids, value_set=candidates.ids)
    read = {name: candidate_column(candidates, name, "that a baseline reads").take(rows) for name in columns}
    features: dict[str, Sequences] = {}
    for name in names:
        feature = candidates.corpus.feature(name)
        features[name] = sequences(feature).select(feature_rows(candidates, name, feature, ids))
    return FeatureSet(ids, features, read)


def feature_rows(candidates: Candidates, name: str, feature: Feature, ids: pa.StringArray) -> Rows:
    """Return the rows of samples of a split in a feature; raise `UsageError` when it has no values for some."""
    rows = pc.index_in(ids, value_set=feature.ids)
    if rows.null_count:
        missing, corpus = ids.filter(rows.is_null()).to_pylist(), candidates.corpus
        others = [other for other in corpus.default_features if other != name]
        complete = [other for other in others if pc.all(pc.is_in(ids, value_set=corpus.feature(other).ids)).as_py()]
        remedy = f"; learn from others: {' '.join(f'--feature {other}' for other in complete)}" if complete else ""
        raise UsageError(
            f"corpus '{corpus.name}': feature '{name}' has no values for {len(missing):,} of {len(ids):,} "
            f"samples of split '{candidates.split}': {listed(missing)}{remedy}"
        )
    return np.asarray(rows, dtype=np.int64)


def sequences(feature: Feature) -> Sequences:
    """Return the rows of all samples of a feature."""
    if feature.offsets is None:
        return Sequences.of_vectors(feature.values)
    return Sequences(feature.values, feature.offsets[:-1], np.diff(feature.offsets), feature.times)
