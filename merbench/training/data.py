"""The samples that a track is learned from, with their references, and how they are divided.

Which samples are learned from, and which are the development set, is what `[training]` of the track declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import open_corpus
from merbench.corpus.candidates import Candidates, candidate_column, candidates_in
from merbench.corpus.declaration import SPLIT
from merbench.corruptions import Step, generator
from merbench.corruptions.drawing import uniforms
from merbench.corruptions.labels import Codes, Labels
from merbench.errors import UsageError, listed
from merbench.metrics.lists import Values
from merbench.targets import types_with
from merbench.track import Track
from merbench.training.declaration import list_baselines
from merbench.training.reading import DIALOGUE, SPEAKER, Reader, column_of, dialogue_column, group_codes
from merbench.training.samples import FeatureCorruption, FeatureSet, Names, Sets, TrainingSet, label_measure
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


def training_set(  # noqa: PLR0913
    candidates: Candidates,
    names: Sequence[str],
    columns: Sequence[str] = (),
    *,
    dialogues: bool = False,
    missing: bool = False,
    unlabelled: bool = False,
    partial: bool = False,
    sets: bool = False,
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
        sets: whether the baseline learns from sets of labels, of which the right one may be any; it is then given
            `TrainingSet.measure_labels`, too.

    Raises:
        UnknownName: the corpus has no feature of a name.
        UsageError: a feature has no values for some samples, which are listed; the corpus has no such column; no sample
            has a reference of every target; the labels cannot be corrupted as declared, or become sets that the
            baseline does not learn from; dialogues are not in order; all unlabelled samples, or none or all of the
            samples of the development set, are learned from.
        WithheldReference: the references of the split are withheld.
    """
    labelled = _labelled(candidates, partial=partial, sets=sets)
    if dialogues and partial:
        labelled = _whole_dialogues(candidates, labelled)
    rows, development = labelled.rows, _development(candidates, labelled.rows)
    read = Reader(candidates, names, columns, dialogues, missing)
    samples = read.samples(rows)
    others = _unlabelled_candidates(candidates, samples.ids) if unlabelled else None
    return TrainingSet(
        track=candidates.track,
        samples=samples,
        targets=labelled.targets,
        sets=labelled.sets,
        measure_labels=_measure(candidates.track, labelled, development) if sets else None,
        label_corruption=labelled.corruption,
        groups=_groups(candidates, rows),
        clusters=_clusters(candidates, rows, dialogues=dialogues),
        joins=candidates.track.training.group is None or dialogues,
        selection=candidates.track.training.selection,
        development=development,
        corruption=_corruption(candidates),
        unlabelled=None if others is None else replace(read, candidates=others).every(),
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Labelled:
    """The candidates that are learned from or selected on, with their references.

    Attributes:
        rows: of the candidates.
        targets: their references, corrupted where the track declares it.
        sets: by target whose labels became sets, these: `(n, K)`; of the development set those of only the label.
        before: by target whose labels were corrupted, these before: `(n,)` codes.
        corruption: how labels were corrupted; empty if they were not.
    """

    rows: Rows
    targets: Mapping[str, Values]
    sets: Mapping[str, Sets] = field(default_factory=dict)
    before: Mapping[str, Codes] = field(default_factory=dict)
    corruption: Mapping[str, Any] = field(default_factory=dict)


def _labelled(candidates: Candidates, *, partial: bool, sets: bool) -> _Labelled:
    """Return the candidates with references of all targets, or of one.

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
    steps = _label_steps(candidates)
    if not steps:
        return _Labelled(rows, values)
    name, development = _label_target(track, steps[0]), _development(candidates, rows)
    is_known = references.known.get(name, complete)[np.isin(references.index, rows)]
    learned = np.flatnonzero(is_known if development is None else is_known & ~development)
    before = Labels.of(np.asarray(values[name])[learned], track.targets[name].classes)
    labels, corruption = _corrupted(track, steps, before, sets=sets)
    codes, places = np.array(values[name]), learned[labels.rows]
    own = codes.copy()
    codes[places] = labels.codes if labels.candidates is None else drawn_candidates(labels.candidates, track.seed)
    kept = np.sort(np.concatenate([places, np.setdiff1d(np.arange(len(rows)), learned)]))
    made: dict[str, Sets] = {}
    if labels.candidates is not None:
        made[name] = codes[:, None] == np.arange(len(track.targets[name].classes))
        made[name][places] = labels.candidates
    every = {**values, name: codes}
    return _Labelled(
        rows[kept],
        {key: column[kept] for key, column in every.items()},
        {key: mask[kept] for key, mask in made.items()},
        {name: own[kept]},
        corruption,
    )


def drawn_candidates(sets: Sets, seed: int) -> Codes:
    """Return one label of each set, `(n,)` codes, each equally likely; -1 for a sample without a set.

    Args:
        sets: `(n, K)`, which labels may be the right one.
        seed: of the track.
    """
    sizes = np.count_nonzero(sets, axis=1)
    place = (uniforms(generator(seed, "drawn_candidates", ""), len(sets)) * sizes).astype(np.int64)
    is_drawn = sets & (np.cumsum(sets, axis=1) == place[:, None] + 1)
    return np.where(sizes > 0, is_drawn.argmax(axis=1), -1).astype(np.int32)


def _measure(track: Track, labelled: _Labelled, development: NDArray[np.bool_] | None) -> Any:
    """Return what measures labels of the one target that may be corrupted; None if there is no such target."""
    fitting = [name for name, target in track.targets.items() if target.takes_label_noise]
    name = next(iter(labelled.before), fitting[0] if len(fitting) == 1 else None)
    if name is None:
        return None
    right = np.asarray(labelled.before.get(name, labelled.targets[name]))
    learned = slice(None) if development is None else ~development
    return label_measure(right, right[learned], len(track.targets[name].classes))


def _whole_dialogues(candidates: Candidates, labelled: _Labelled) -> _Labelled:
    """Return also the other candidates of the same dialogues, with references that are marked as not known."""
    rows, targets = labelled.rows, labelled.targets
    codes = group_codes(candidates, dialogue_column(candidates), np.arange(len(candidates)))
    arrays = {name: values for name, values in targets.items() if isinstance(values, np.ndarray)}
    if codes is None or len(arrays) < len(targets):
        return labelled
    every = np.flatnonzero(np.isin(codes, codes[rows]))

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        mark = {"f": np.nan, "b": False}.get(values.dtype.kind, -1)
        wider: NDArray[Any] = np.full((len(every), *values.shape[1:]), mark, dtype=values.dtype)
        wider[np.searchsorted(every, rows)] = values
        return wider

    targets, sets, before = (
        {name: spread(values) for name, values in part.items()} for part in (arrays, labelled.sets, labelled.before)
    )
    return _Labelled(every, targets, sets, before, labelled.corruption)


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
    steps = tuple(step for step in track.training.steps if step.corruption.modality != "labels")
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


def _label_steps(candidates: Candidates) -> tuple[Step, ...]:
    """Return what is done to the labels of a split: by the track, then, to learn from, by its `[training]`."""
    track = candidates.track
    own = track.training.steps if candidates.split == TRAIN else ()
    return (*track.steps(candidates.split, "labels"), *(step for step in own if step.corruption.modality == "labels"))


def _label_target(track: Track, step: Step) -> str:
    fitting = [name for name, target in track.targets.items() if target.takes_label_noise]
    if len(fitting) != 1:
        raise UsageError(
            f"{track.id}: {step.step_name} corrupts the labels of exactly one target of type "
            f"{types_with('takes_label_noise')}; the track has {listed(fitting) or 'none'}"
        )
    return fitting[0]


def _corrupted(track: Track, steps: Sequence[Step], labels: Labels, *, sets: bool) -> tuple[Labels, dict[str, Any]]:
    corruption: dict[str, Any] = {}
    for step in steps:
        rng = generator(track.seed, step.step_name, "")
        sampled = step.draws(track.seed, "", rng)
        before, labels = labels, step.corruption.apply(labels, rng, sampled)
        values = sampled | step.corruption.measure(before, labels, sampled)
        corruption |= {f"{step.step_name}.{key}": value for key, value in values.items()}
        if labels.candidates is not None and not sets:
            able = [name for name, declared in list_baselines() if declared.learns_sets]
            raise UsageError(
                f"{track.id}: {step.step_name} gives each training sample a set of labels, and a baseline learns from "
                f"one; those that learn from sets: {listed(able) or 'none'}"
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
    wanted = [dialogue_column(candidates) if dialogues else None, group, track.intervals.cluster, *CLUSTERS]
    codes = {name: group_codes(candidates, name, rows) for name in dict.fromkeys(wanted) if name is not None}
    return {name: own for name, own in codes.items() if own is not None}
