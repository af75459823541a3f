"""What a baseline learns from and what it answers on a track, and why it cannot, where it cannot.

Conventions:
    Rows of samples to learn from are those of `Plan.labelled`, the samples that have references; rows of samples to
    answer are those of `Plan.test`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow.compute as pc
from pydantic import ValidationError

from merbench.corpus.candidates import Candidates, candidate_column, open_candidates
from merbench.declarations import declaration_problems
from merbench.errors import DeclarationError, MerbenchError, UsageError, listed
from merbench.track import SELECTED_BY, Track, Training, keys_of_training, training_problems
from merbench.training.data import (
    CLUSTERS,
    TEST,
    TRAIN,
    feature_set,
    learned_splits,
    training_candidates,
    training_set,
)
from merbench.training.declaration import LoadedBaseline
from merbench.training.needs import (
    no_features,
    require_answers,
    require_features,
    require_number_of_features,
    require_samples,
    wanted_features,
)
from merbench.training.reading import POSITION, column_of, dialogue_column, group_keys
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.sequences import Rows


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """Samples that are answered by one model, and those that it learns from."""

    left_out: str | None  # the value whose samples are answered; None if all samples are answered by one model
    learned: Rows = field(repr=False)
    answered: Rows = field(repr=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class Learnable:
    """What a track is learned from and what is answered, by any baseline.

    Attributes:
        track: the track, with `[training]` as it is in this run.
        train: the candidates to learn from, those of the development set among them.
        labelled: those with references, and the other utterances of their dialogues, without features.
        test: the candidates to answer.
        parts: what is answered by which model.
    """

    track: Track
    train: Candidates
    labelled: TrainingSet = field(repr=False)
    test: Candidates
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan(Learnable):
    """How a baseline is run on a track.

    Attributes:
        loaded: the baseline.
        features: the features it learns from.
    """

    loaded: LoadedBaseline
    features: tuple[str, ...]

    def training_set(self) -> TrainingSet:
        """Return all samples to learn from, with their features."""
        declared, corpus = self.loaded.declaration, self.train.corpus
        learned = [name for name in declared.learned_columns if corpus.column(name, self.train.samples) is not None]
        train = training_set(
            self.train,
            self.features,
            (*declared.columns, *learned),
            **declared.reads,
            unlabelled=declared.uses_unlabelled,
            partial=declared.handles_unknown,
            sets=declared.learns_sets,
        )
        if train.corruption is not None:
            per_epoch, absent = declared.corrupts_per_epoch, declared.handles_missing
            train = replace(train, corruption=replace(train.corruption, per_epoch=per_epoch, absent=absent))
        return replace(train, track=self.track)

    def test_set(self) -> FeatureSet:
        """Return the samples to answer, with their features."""
        declared = self.loaded.declaration
        return feature_set(self.test, self.features, declared.columns, **declared.reads)

    @property
    def warnings(self) -> list[str]:
        """What a reader of the scores must know: a split that is not used, and groups on both sides.

        Groups of data that only test software are not counted.
        """
        track, learns_from_test = self.track, self.track.training.source is None and self.track.training.corpus is None
        unused = track.training.leave_out is not None and learns_from_test and TRAIN in track.splits
        warnings = [
            f"split '{TRAIN}' is not used: each value of '{track.training.leave_out}' is answered by a model of the "
            f"others in split '{TEST}'; `training.source` names other splits of the corpus to learn from"
        ]
        return [*(warnings if unused else []), *([] if self.test.corpus.synthetic else _straddling(self))]


def make_plan(track: Track, loaded: LoadedBaseline, features: Sequence[str] | None = None) -> Plan:
    """Return how a baseline is run on a track, after everything but the values of features has been checked.

    Raises:
        UnknownName: the corpus, or the one that is learned from, is not in the data home; no such feature.
        UsageError: the baseline does not answer the track's targets; there is nothing to learn from, or no features.
        WithheldReference: the references that would be learned from are withheld.
    """
    learned_splits(track)
    require_answers(loaded, track)
    return _plan(learnable(track, *_labelled_as(loaded)), loaded, features)


def _labelled_as(loaded: LoadedBaseline) -> tuple[bool, bool, bool]:
    """Return whether one reference of a sample is enough, whether dialogues are read, and sets of labels learned."""
    declared = loaded.declaration
    return declared.handles_unknown, declared.samples == "dialogues", declared.learns_sets


def learnable(track: Track, partial: bool, dialogues: bool, sets: bool = False) -> Learnable:
    """Return what a track is learned from and what is answered; the other arguments are those of `training_set`.

    Raises:
        UnknownName: the corpus, or the one that is learned from, is not in the data home.
        UsageError: there is nothing to learn from, or what is left out cannot be.
        WithheldReference: the references that would be learned from are withheld.
    """
    train, test = training_candidates(track), open_candidates(track, TEST)
    if test.hidden and track.training.leave_out is not None and train.corpus.folder == test.corpus.folder:
        raise UsageError(
            f"{track.id}: which samples of split '{TEST}' are scored is secret, and a model of them would "
            "show it; groups are left out only where all references are public"
        )
    in_order = {dialogue_column(train), POSITION}  # else `require_samples` reports it
    has_dialogues = in_order <= set(train.samples.column_names)
    labelled = training_set(train, (), partial=partial, dialogues=dialogues and has_dialogues, sets=sets)
    made = parts(labelled, train, test, track.training.leave_out)
    return Learnable(track=track, train=train, labelled=labelled, test=test, parts=made)


def _plan(data: Learnable, loaded: LoadedBaseline, features: Sequence[str] | None) -> Plan:
    test, train = data.test, data.train
    names = wanted_features(loaded, test, features, train)
    if loaded.declaration.uses_features and not names:
        raise no_features(loaded, test, train)
    if names:
        require_number_of_features(loaded, data.track, names)
    require_features(train.corpus, test.corpus, names)
    require_samples(loaded, train, test)
    return Plan(
        track=data.track,
        train=train,
        labelled=data.labelled,
        test=test,
        parts=data.parts,
        loaded=loaded,
        features=tuple(names),
    )


def why_not(track: Track, baselines: Sequence[LoadedBaseline]) -> dict[str, MerbenchError | None]:
    """Return by the name of every baseline why it cannot be run on a track; None where it can."""

    @cache
    def data(partial: bool, dialogues: bool, sets: bool) -> Learnable:
        return learnable(track, partial, dialogues, sets)

    def reason(loaded: LoadedBaseline) -> MerbenchError | None:
        try:
            loaded = loaded.resolved(track.id, {})
            learned_splits(track)
            require_answers(loaded, track)
            _plan(data(*_labelled_as(loaded)), loaded, None)
        except MerbenchError as error:
            return error
        return None

    return {loaded.name: reason(loaded) for loaded in baselines}


def with_learning(track: Track, learning: Mapping[str, Any]) -> Track:
    """Return a track with some keys of its `[training]` replaced, without those that another selection does not use.

    Raises:
        DeclarationError: a key is unknown, or has a value that is not allowed; all problems are listed.
    """
    if not learning:
        return track
    own = track.training.model_dump(exclude_defaults=True)
    selection = learning.get("selection", own.get("selection", "folds"))
    own = {key: value for key, value in own.items() if selection in SELECTED_BY.get(key, (selection,))}
    content = {**own, **learning}
    try:
        training = Training.model_validate(content)
    except ValidationError as error:
        problems = declaration_problems(error, keys_of_training)
        raise DeclarationError(f"{track.id}: [training]", problems) from error
    if problems := training_problems(content, track):
        raise DeclarationError(f"{track.id}: [training]", problems)
    return track.model_copy(update={"training": training})


def parts(labelled: TrainingSet, train: Candidates, test: Candidates, leave_out: str | None) -> tuple[Part, ...]:
    """Return what is answered by which model: all samples by one, or those of each group by a model of the others.

    Raises:
        UsageError: there is no such column, a sample has no value in it, or without a group nothing is left.
    """
    learned, answered = (np.arange(len(samples), dtype=np.int64) for samples in (labelled, test))
    if leave_out is None:
        return (Part(None, learned, answered),)
    groups = _groups(test, leave_out)
    if len(set(groups)) < 2:
        raise UsageError(
            f"column '{leave_out}' has only one value in split '{test.split}'; leaving it out leaves nothing"
        )
    rows = pc.index_in(labelled.samples.ids, value_set=train.ids)
    own, of_test = np.array(_groups(train, leave_out))[np.asarray(rows)], np.array(groups)
    every = []
    for group in sorted(set(groups), key=_numbers_first):
        others = learned[own != group]
        if not len(others):
            raise UsageError(f"without '{group}' of '{leave_out}' no sample with references is left to learn from")
        every.append(Part(group, others, answered[of_test == group]))
    return tuple(every)


def _numbers_first(text: str) -> tuple[bool, int, str]:
    return (not text.isdecimal(), int(text) if text.isdecimal() else 0, text)


def _groups(candidates: Candidates, column: str) -> list[str]:
    values = candidate_column(candidates, column, "whose values are left out in turn").to_pylist()
    without = [name for name, value in zip(candidates.ids.to_pylist(), values, strict=True) if value is None]
    if without:
        raise UsageError(
            f"corpus '{candidates.corpus.name}': column '{column}' has no values for {len(without):,} of "
            f"{len(candidates):,} samples of split '{candidates.split}': {listed(without)}"
        )
    return [str(value) for value in values]


def divided_groups(described: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a warning for every column with values that folds divide, in the part where these are most.

    Args:
        described: `TrainingSet.described_folds` of every part.
    """
    most: dict[str, list[int]] = {}
    for folds in described:
        for column, counts in folds.get("divided", {}).items():
            most[column] = max(counts, most.get(column, counts))
    return [
        f"folds divide {n:,} of {total:,} values of '{column}': cross-validated values are better than those of others"
        for column, (n, total) in most.items()
    ]


def _straddling(plan: Plan) -> list[str]:
    """Return a warning for every column of groups with values in what is learned from, and in what is predicted.

    These are the candidates, unless they are of another corpus, and the development set.
    """
    labelled, is_own = plan.labelled, plan.train.corpus.folder == plan.test.corpus.folder
    rows = np.asarray(pc.index_in(labelled.samples.ids, value_set=plan.train.ids), dtype=np.int64)
    development = np.zeros(len(labelled), np.bool_) if labelled.development is None else labelled.development
    every, warnings = np.arange(len(plan.test)), []
    for column in CLUSTERS:
        train, test = group_keys(plan.train, column, rows), group_keys(plan.test, column, every)
        if train and test and is_own:
            pairs = [([train[row] for row in part.learned], part.answered) for part in plan.parts]
            if shared := _shared(pairs, test, column_of(plan.test, column, every)):
                warnings.append(
                    f"{len(shared):,} of {len(test):,} candidates are of values of '{column}' that are learned from "
                    f"({_values(shared)}); a system does better on them than on others"
                )
        if train and development.any():
            learned = [train[row] for row in np.flatnonzero(~development)]
            if shared := _shared([(learned, np.flatnonzero(development))], train, column_of(plan.train, column, rows)):
                warnings.append(
                    f"{len(shared):,} of {int(development.sum()):,} samples of the development set are of values of "
                    f"'{column}' that are learned from ({_values(shared)}); selection is not made for others"
                )
    return warnings


def _shared(
    pairs: Sequence[tuple[Sequence[str | None], Rows]], keys: Sequence[str | None], values: Sequence[str | None]
) -> dict[int, str]:
    """Return the values of those predicted samples whose key is among the keys that their model learned from.

    Args:
        pairs: for every model, the keys that it learned from, and the rows that it predicts.
        keys: of all samples, None where one is not known.
        values: what is shown of them.
    """
    shared: dict[int, str] = {}
    for learned, rows in pairs:
        known = set(learned) - {None}
        shared |= {row: str(values[row]) for row in rows.tolist() if keys[row] in known}
    return shared


def _values(shared: Mapping[int, str]) -> str:
    names = sorted(set(shared.values()))
    return f"{len(names):,}: {listed(names)}"
