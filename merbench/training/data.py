"""Reads what a baseline learns from and predicts: features, columns, dialogues, and the references of training samples.

Which samples are learned from, and which are the development set, is what `[training]` of the track declares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import Feature, open_corpus
from merbench.corpus.candidates import Candidates, candidate_column, candidates_in
from merbench.corpus.declaration import SPLIT
from merbench.corruptions import Step, generator
from merbench.corruptions.labels import Labels
from merbench.errors import UsageError, counted, listed
from merbench.metrics.lists import Values
from merbench.resampling import cluster_codes
from merbench.targets import types_with
from merbench.track import Track
from merbench.training.samples import Dialogues, FeatureCorruption, FeatureSet, Names, Rows, Sequences, TrainingSet

TRAIN, DEV, TEST = "train", "dev", "test"

POSITION = "position"
"""The corpus column with the place of every sample in its dialogue."""

_OF_DIALOGUES = "that a baseline of dialogues reads"

CLUSTERS = ("speaker", "dialogue")
"""Corpus columns whose values folds keep together where the track declares no cluster."""


def training_candidates(track: Track) -> Candidates:
    """Return the samples that a track is learned from, and the development set where selection uses it.

    Those of another corpus are read with the labels and the scale that `[training]` declares.

    Raises:
        UsageError: the track declares nothing to learn from, or no development set.
        UnknownName: the corpus is not in the data home.
    """
    training = track.training
    sources = dict.fromkeys([*learned_splits(track), *_development_splits(track)])
    corpus = open_corpus(training.corpus or track.corpus, relative_to=track.folder)
    if training.corpus is not None:
        as_learned = {
            name: target.of_another_corpus(training.labels, training.ignored, training.scale)
            for name, target in track.targets.items()
        }
        track = track.model_copy(update={"targets": as_learned})
    return candidates_in(track, TRAIN, corpus, list(sources))


def learned_splits(track: Track) -> tuple[str, ...]:
    """Return the splits of the corpus that are learned from; raise `UsageError` if the track declares none."""
    if track.training.source is not None:
        return track.training.source
    if track.training.corpus is not None:
        return (TRAIN,)
    if track.training.leave_out is not None:
        return track.splits[TEST].source
    if TRAIN in track.splits:
        return track.splits[TRAIN].source
    why = track.training.why_not or f"it declares no split '{TRAIN}', and no [training]"
    raise UsageError(f"{track.id}: there is nothing to learn from: {why}")


def _development_splits(track: Track) -> tuple[str, ...]:
    """Return the splits of the corpus that are the development set; none unless selection is by it."""
    if track.training.selection != "dev":
        return ()
    if track.training.development is not None:
        return track.training.development
    if track.training.corpus is not None:
        return (DEV,)
    if DEV not in track.splits:
        message = f"{track.id} selects on a development set, and declares no split '{DEV}'"
        raise UsageError(f"{message}; `training.development` names splits of the corpus")
    return track.splits[DEV].source


def feature_set(
    candidates: Candidates,
    names: Sequence[str],
    columns: Sequence[str] = (),
    *,
    dialogues: bool = False,
    missing: bool = False,
) -> FeatureSet:
    """Return the features of all candidates of a split, and columns of the corpus.

    Args:
        candidates: the samples.
        names: features, in the order wanted.
        columns: columns of the samples, such as the transcript.
        dialogues: whether the baseline needs the dialogues of the samples.
        missing: whether a sample may lack features; it has no rows of these.

    Raises:
        UnknownName: the corpus has no feature of a name.
        UsageError: a feature has no values for some candidates, which are listed; the corpus has no such column;
            dialogues are not in order.
    """
    return _Read(candidates, names, columns, dialogues, missing).every()


def training_set(
    candidates: Candidates,
    names: Sequence[str],
    columns: Sequence[str] = (),
    *,
    dialogues: bool = False,
    missing: bool = False,
    unlabelled: bool = False,
    partial: bool = False,
) -> TrainingSet:
    """Return the features and references of those candidates that have a reference of every target.

    Candidates in a split of the development set are marked, if the track selects by it. A dialogue consists of those
    of its utterances that have references.

    Args:
        candidates: the samples.
        names: features, in the order wanted.
        columns: columns of the samples, such as the transcript.
        dialogues: whether the baseline needs the dialogues of the samples.
        missing: whether a sample may lack features; it has no rows of these.
        unlabelled: whether the baseline learns from samples without references, too, where the track declares some.
        partial: whether a reference of one target is enough. A label that is not known is -1, a number NaN.

    Raises:
        UnknownName: the corpus has no feature of a name.
        UsageError: a feature has no values for some samples, which are listed; the corpus has no such column; no sample
            has a reference of every target; the labels cannot be corrupted as declared; dialogues are not in order; all
            unlabelled samples, or none or all of the samples of the development set, are learned from.
        WithheldReference: the references of the split are withheld.
    """
    rows, targets, label_corruption = _labelled(candidates, partial=partial)
    cluster, clusters = _clusters(candidates, rows)
    read = _Read(candidates, names, columns, dialogues, missing)
    samples = read.samples(rows)
    others = _unlabelled_candidates(candidates, samples.ids) if unlabelled else None
    return TrainingSet(
        track=candidates.track,
        samples=samples,
        targets=targets,
        label_corruption=label_corruption,
        groups=_groups(candidates, rows),
        cluster=cluster,
        clusters=clusters,
        selection=candidates.track.training.selection,
        development=_development(candidates, rows),
        corruption=_corruption(candidates),
        unlabelled=None if others is None else replace(read, candidates=others).every(),
    )


def _labelled(candidates: Candidates, *, partial: bool) -> tuple[Rows, dict[str, Values], dict[str, Any]]:
    """Return the candidates with references of all targets, or of one, these, and how labels were corrupted.

    Labels of a training split are corrupted where the track declares it, those of the development set are not; a long
    tail leaves samples out.
    """
    references, track = candidates.references, candidates.track
    complete = np.ones(len(references), dtype=np.bool_)
    for mask in () if partial else references.known.values():
        complete &= mask
    rows = np.flatnonzero(complete)
    if not len(rows):
        raise UsageError(f"no sample of split '{candidates.split}' has a reference of every target")
    values = {
        name: _marked(column[rows], references.known[name][rows]) if name in references.known else column[rows]
        for name, column in references.values.items()
    }
    rows = references.index[rows]
    steps = track.steps(candidates.split, "labels")
    if not steps:
        return rows, values, {}
    name, development = _label_target(track, steps[0]), _development(candidates, rows)
    is_known = references.known.get(name, complete)[np.isin(references.index, rows)]
    learned = np.flatnonzero(is_known if development is None else is_known & ~development)
    before = Labels.of(np.asarray(values[name])[learned], track.targets[name].classes)
    labels, corruption = _corrupted(track, steps, before)
    codes = np.array(values[name])
    codes[learned[labels.rows]] = labels.codes
    kept = np.sort(np.concatenate([learned[labels.rows], np.setdiff1d(np.arange(len(rows)), learned)]))
    return rows[kept], {**{key: column[kept] for key, column in values.items()}, name: codes[kept]}, corruption


def _marked(values: Values, known: NDArray[np.bool_]) -> Values:
    """Return references with -1 for each label that is not known, and NaN for each number."""
    if known.all() or not isinstance(values, np.ndarray):
        return values
    marked: NDArray[Any] = values.copy()
    marked[~known] = np.nan if marked.dtype.kind == "f" else -1
    return marked


def _development(candidates: Candidates, rows: Rows) -> NDArray[np.bool_] | None:
    """Return which candidates, of some, are the development set; None unless selection is by it."""
    splits = _development_splits(candidates.track)
    if not splits:
        return None
    of_split = pc.is_in(candidates.samples[SPLIT].combine_chunks(), pa.array(splits)).to_numpy(zero_copy_only=False)
    development: NDArray[np.bool_] = of_split[rows]
    if development.all() or not development.any():
        raise UsageError(
            f"{candidates.track.id}: {int(development.sum()):,} of {len(rows):,} samples with references are in the "
            f"development set, {listed(list(splits))}; needed: some, and others to learn from"
        )
    return development


def _corruption(candidates: Candidates) -> FeatureCorruption | None:
    """Return what is done to the features of training samples; None if the track declares nothing."""
    track, corpus = candidates.track, candidates.corpus
    modalities = {name: modality for name in corpus.features if (modality := corpus.modality(name)) is not None}
    steps = tuple(spec.as_step for spec in track.training.corruptions)
    return FeatureCorruption(steps, track.seed, modalities) if steps else None


def _unlabelled_candidates(candidates: Candidates, labelled: pa.StringArray) -> Candidates | None:
    """Return the samples that a track declares as unlabelled, without those that are learned from with references."""
    track = candidates.track
    names = track.training.unlabelled
    if not names:
        return None
    sources = [source for name in names for source in track.splits[name].source]
    every = candidates_in(track, names[0], open_corpus(track.corpus, relative_to=track.folder), sources)
    if every.corpus.folder != candidates.corpus.folder:
        return every
    others = pc.invert(pc.is_in(every.ids, value_set=labelled))
    if not pc.any(others).as_py():
        raise UsageError(
            f"{track.id}: all {len(every):,} samples of the unlabelled splits, {listed(list(names))}, are learned from "
            "with their references; name another split in `training.unlabelled`"
        )
    return replace(every, ids=every.ids.filter(others), samples=every.samples.filter(others).combine_chunks())


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
    """Return the first column that has two values or more, and their codes; a sample without one is a cluster.

    A group that `[training]` declares must be a column of the corpus.
    """
    track, group = candidates.track, candidates.track.training.group
    if group is not None:
        candidate_column(candidates, group, "whose values folds keep together")
    wanted = [group] if group is not None else [track.intervals.cluster or CLUSTERS[0], *CLUSTERS]
    for name in dict.fromkeys(wanted):
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


@dataclass(frozen=True, slots=True)
class _Read:
    """What is read of every sample; see `training_set`."""

    candidates: Candidates
    names: Sequence[str]
    columns: Sequence[str]
    dialogues: bool
    missing: bool
    # features by folder of the corpus and name: labelled and unlabelled samples have rows of the same arrays
    opened: dict[tuple[Path, str], Feature] = field(default_factory=dict)

    def every(self) -> FeatureSet:
        """Return all candidates."""
        return self.samples(np.arange(len(self.candidates), dtype=np.int64))

    def samples(self, rows: Rows) -> FeatureSet:
        """Return some of the candidates."""
        taken = pa.array(rows)
        ids = self.candidates.ids.take(taken)
        columns = {name: candidate_column(self.candidates, name, "that a baseline reads") for name in self.columns}
        features: dict[str, Sequences] = {}
        for name in self.names:
            corpus = self.candidates.corpus
            if (corpus.folder, name) not in self.opened:
                self.opened[corpus.folder, name] = corpus.feature(name)
            feature = self.opened[corpus.folder, name]
            if self.missing:
                stored = pc.fill_null(pc.index_in(ids, value_set=feature.ids), -1).to_numpy().astype(np.int64)
            else:
                stored = feature_rows(self.candidates, name, feature, ids)
            features[name] = sequences(feature).select(stored)
        dialogues = dialogues_of(self.candidates, rows) if self.dialogues else None
        return FeatureSet(ids, features, {name: column.take(taken) for name, column in columns.items()}, dialogues)


def dialogues_of(candidates: Candidates, rows: Rows) -> Dialogues:
    """Return the dialogues of some candidates, from the columns `dialogue`, `position` and, if there is one, `speaker`.

    Dialogues of two splits of the corpus are two, even if they have the same name. A sample without a dialogue is one
    of its own.

    Raises:
        UsageError: there is no such column; a position is missing, is not a number, or occurs twice in a dialogue.
    """
    where, ids = f"corpus '{candidates.corpus.name}'", candidates.ids.take(pa.array(rows)).to_pylist()
    for name in (CLUSTERS[1], POSITION):
        candidate_column(candidates, name, _OF_DIALOGUES)
    places = candidates.samples[POSITION].combine_chunks().take(pa.array(rows))
    if not (pa.types.is_integer(places.type) or pa.types.is_floating(places.type)):
        raise UsageError(f"{where}: column '{POSITION}' contains {places.type}; positions in a dialogue are numbers")
    names, splits = _column(candidates, CLUSTERS[1], rows), _column(candidates, SPLIT, rows)
    keys = [
        f"#{i}" if name is None else f"={split}={name}"
        for i, (split, name) in enumerate(zip(splits, names, strict=True))
    ]
    dialogue = cluster_codes(keys)
    known = places.is_valid().to_numpy(zero_copy_only=False) | np.array(
        [name is None for name in names], dtype=np.bool_
    )
    position = pc.fill_null(places, 0).to_numpy().astype(np.float64)
    twice = _repeated(dialogue, position) & known
    for what, odd in (
        ("no position in their dialogue", ~known),
        ("the position of another one in their dialogue", twice),
    ):
        if odd.any():
            samples = [ids[row] for row in np.flatnonzero(odd).tolist()]
            raise UsageError(f"{where}: column '{POSITION}': {counted(f'samples with {what}', samples, len(ids))}")
    speakers = cluster_codes([f"={value}" for value in _column(candidates, CLUSTERS[0], rows) or [""] * len(rows)])
    return Dialogues.of(dialogue, position, speakers)


def _repeated(dialogue: Rows, position: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which samples have the same dialogue and position as another one."""
    pairs = np.stack([dialogue.astype(np.float64), position], axis=1)
    _, place, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(counts[place.reshape(-1)] > 1)


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
