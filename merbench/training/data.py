"""The samples that a track is learned from, with their references, and how they are divided.

Which samples are learned from, and which are the development set, is what `[training]` of the track declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import open_corpus
from merbench.corpus.candidates import Candidates, candidate_column, candidates_in
from merbench.corpus.declaration import SPLIT
from merbench.corruptions import Step, generator
from merbench.corruptions.labels import Labels
from merbench.errors import UsageError, listed
from merbench.metrics.lists import Values
from merbench.targets import types_with
from merbench.track import Track
from merbench.training.reading import DIALOGUE, SPEAKER, Reader, column_of, group_codes
from merbench.training.samples import FeatureCorruption, FeatureSet, Names, TrainingSet
from merbench.training.sequences import Rows

TRAIN, DEV, TEST = "train", "dev", "test"

CLUSTERS = (SPEAKER, DIALOGUE)
"""Corpus columns whose values folds keep together, besides what the track declares."""


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
    return Reader(candidates, names, columns, dialogues, missing).every()


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

    Candidates in a split of the development set are marked, if the track selects by it. With `dialogues` and
    `partial`, the other utterances of their dialogues are there, too, as they are at test, without references; without
    `partial`, a dialogue consists of those of its utterances that have references.

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
    if dialogues and partial:
        rows, targets = _whole_dialogues(candidates, rows, targets)
    read = Reader(candidates, names, columns, dialogues, missing)
    samples = read.samples(rows)
    others = _unlabelled_candidates(candidates, samples.ids) if unlabelled else None
    return TrainingSet(
        track=candidates.track,
        samples=samples,
        targets=targets,
        label_corruption=label_corruption,
        groups=_groups(candidates, rows),
        clusters=_clusters(candidates, rows, dialogues=dialogues),
        joins=candidates.track.training.group is None or dialogues,
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


def _whole_dialogues(
    candidates: Candidates, rows: Rows, targets: Mapping[str, Values]
) -> tuple[Rows, dict[str, Values]]:
    """Return also the other candidates of the same dialogues, with references that are marked as not known."""
    codes = group_codes(candidates, DIALOGUE, np.arange(len(candidates)))
    arrays = {name: values for name, values in targets.items() if isinstance(values, np.ndarray)}
    if codes is None or len(arrays) < len(targets):
        return rows, dict(targets)
    every = np.flatnonzero(np.isin(codes, codes[rows]))
    spread: dict[str, Values] = {}
    for name, values in arrays.items():
        mark = np.nan if values.dtype.kind == "f" else -1
        wider: NDArray[Any] = np.full((len(every), *values.shape[1:]), mark, dtype=values.dtype)
        wider[np.searchsorted(every, rows)] = values
        spread[name] = wider
    return every, spread


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
    steps = tuple(spec.as_step for spec in track.training.corruptions)
    return FeatureCorruption(steps, track.seed, corpus.modalities(corpus.features)) if steps else None


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
    known = {name: column_of(candidates, name, rows) for name in wanted}
    return {name: np.array(values, dtype=np.str_) for name, values in known.items() if values and None not in values}


def _clusters(candidates: Candidates, rows: Rows, *, dialogues: bool) -> dict[str, Rows]:
    """Return the columns whose values folds keep together, in order of precedence: dialogues where they are read whole.

    A group that `[training]` declares must be a column of the corpus.
    """
    track, group = candidates.track, candidates.track.training.group
    if group is not None:
        candidate_column(candidates, group, "whose values folds keep together")
    wanted = [DIALOGUE if dialogues else None, group, track.intervals.cluster, *CLUSTERS]
    codes = {name: group_codes(candidates, name, rows) for name in dict.fromkeys(wanted) if name is not None}
    return {name: own for name, own in codes.items() if own is not None}
