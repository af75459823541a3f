"""What is asked goes in, the parts of an experiment come out: samples, systems, features, clips; each checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from merbench.banks.bank import Bank
from merbench.banks.home import open_bank
from merbench.corpus.candidates import Candidates, candidate_column, open_candidates
from merbench.engine import ShowProgress
from merbench.errors import UnknownName, UsageError, did_you_mean, listed
from merbench.robustness.clips import Clips, read_clips
from merbench.robustness.experiment import Fold, Samples, System
from merbench.robustness.grid import Curve
from merbench.robustness.samples import MODALITIES, OTHER, Source, modality_of, require_texts
from merbench.track import Track
from merbench.training import LoadedBaseline, Setup, training_set
from merbench.training.declaration import Options
from merbench.training.run import no_features, training_candidates, wanted_features


def samples_of(track: Track, split: str, leave_out: str | None) -> Samples:
    """Return what is learned from and what is asked: of two splits, or of each group of a split and the others.

    Args:
        track: the track.
        split: the split that is damaged and scored.
        leave_out: the corpus column whose values are left out in turn; None learns from the training split.

    Raises:
        UsageError: no such split or column; a sample without a group; a group without others.
        WithheldReference: the references of a split are withheld.
    """
    test = open_candidates(track, split)
    train = test if leave_out is not None else training_candidates(track)
    return Samples(train, test, _folds(train, test, leave_out), leave_out or "")


def _folds(train: Candidates, test: Candidates, leave_out: str | None) -> tuple[Fold, ...]:
    """Return what is learned from and what is asked: of the two splits, or of each group and the others."""
    labelled = training_set(train, ())
    rows = np.asarray(pc.index_in(labelled.samples.ids, value_set=train.ids), dtype=np.int64)
    _ = test.references  # told before anything is trained
    everything = np.arange(len(test), dtype=np.int64)
    if leave_out is None:
        return (Fold(rows, everything, labelled),)
    groups = np.array(_groups(test, leave_out))
    folds = []
    for group in sorted(set(groups.tolist())):
        others = np.flatnonzero(groups[rows] != group)
        if not len(others):
            raise UsageError(f"without '{group}' of '{leave_out}' no sample with references is left to learn from")
        folds.append(Fold(rows[others], np.flatnonzero(groups == group), labelled.select(others)))
    return tuple(folds)


def _groups(test: Candidates, column: str) -> list[str]:
    values = candidate_column(test, column, "whose values are left out in turn").to_pylist()
    without = [name for name, value in zip(test.ids.to_pylist(), values, strict=True) if value is None]
    if without:
        raise UsageError(
            f"corpus '{test.corpus.name}': column '{column}' says nothing of {len(without):,} of {len(test):,} samples "
            f"of split '{test.split}': {listed(without)}"
        )
    groups = [str(value) for value in values]
    if len(set(groups)) < 2:
        raise UsageError(f"column '{column}' holds one value alone in split '{test.split}'; there are no others")
    return groups


def require_modalities(test: Candidates, modalities: Mapping[str, str]) -> None:
    """Raise where a feature that is told its modality is none of the corpus, or the modality is none."""
    for name, modality in modalities.items():
        if modality not in (*MODALITIES, OTHER):
            raise UsageError(
                f"a feature is of {', '.join(MODALITIES)} or {OTHER}, not of '{modality}'"
                f"{did_you_mean(modality, MODALITIES)}"
            )
        if name not in test.corpus.features:
            raise UnknownName(f"feature of corpus {test.corpus.name}", name, test.corpus.features)


def made_anew(curves: Sequence[Curve]) -> frozenset[str]:
    """Return the modalities whose features are made of clips or transcripts, since these are damaged."""
    return frozenset(curve.corruption.modality for curve in curves) & set(MODALITIES)


def system_of(
    loaded: LoadedBaseline,
    test: Candidates,
    setup: Setup,
    *,
    fixed: Options,
    features: Sequence[str] | None,
    made: frozenset[str],
    modalities: Mapping[str, str],
) -> System:
    """Return a baseline with what it learns from.

    Args:
        loaded: the baseline.
        test: samples that have the features.
        setup: how it is trained.
        fixed: options that are not chosen.
        features: the features asked for; None takes those declared, else all.
        made: modalities whose features are made anew.
        modalities: feature -> its modality, where its name does not tell.

    Raises:
        UnknownName: no such feature.
        UsageError: the modality of a feature is not known; none of the features is damaged, or there is none.
        DeclarationError: an option is not allowed.
    """
    name = test.track.id
    return System(
        loaded,
        loaded.options(name, fixed),
        loaded.choices(name, fixed),
        _names(loaded, test, features, made, modalities),
        setup,
    )


def _names(
    loaded: LoadedBaseline,
    test: Candidates,
    asked: Sequence[str] | None,
    made: frozenset[str],
    mapped: Mapping[str, str],
) -> tuple[str, ...]:
    """Return the features to learn from; one that is made anew stands in place of those of its modality."""
    if not loaded.declaration.uses_features:
        return ()
    wanted = wanted_features(loaded, test, asked)
    for name in wanted:
        if name not in test.corpus.features and name not in made:
            raise UnknownName(f"feature of corpus {test.corpus.name}", name, test.corpus.features)
    kinds = [modality_of(name, mapped) for name in wanted]
    unknown = [name for name, kind in zip(wanted, kinds, strict=True) if kind is None]
    if unknown:
        raise UsageError(
            f"the modality of {listed(unknown)} is not known by name; say of which one each is, "
            f"{', '.join(MODALITIES)} or {OTHER}, which nothing damages: --feature-of MODALITY={unknown[0]}"
        )
    absent = [modality for modality in MODALITIES if modality in made and modality not in kinds]
    if absent and asked:
        raise UsageError(
            f"damage to {listed(absent)} changes none of the features {listed(list(asked))}; "
            f"ask for feature '{absent[0]}', too, which is made anew"
        )
    names = [kind if kind in made else name for name, kind in zip(wanted, kinds, strict=True)]
    if not (found := tuple(dict.fromkeys([*(name for name in names if name), *absent]))):
        raise no_features(loaded, test)
    return found


def source_of(
    test: Candidates,
    systems: Sequence[System],
    curves: Sequence[Curve],
    made: frozenset[str],
    mapped: Mapping[str, str],
) -> Source:
    """Return where the features of all systems come from, clips left out.

    Raises:
        UsageError: the corpus has no transcripts to damage; curves of features and of text would meet in one feature.
    """
    names = tuple(dict.fromkeys(name for system in systems for name in system.names))
    columns = tuple(dict.fromkeys(name for system in systems for name in system.loaded.declaration.columns))
    kinds = {name: kind for name in names if (kind := modality_of(name, mapped)) is not None}
    of_features = [curve for curve in curves if curve.corruption.modality == "features"]
    if "text" in made:
        require_texts(test)
        if of_features and "text" in names:
            raise UsageError("curves of damaged text and of damaged features do not go into one run; make two")
    read = made & {*names, "text"}
    return Source(names, kinds, read, columns, test.track.seed)


def media_folders(source: Source, media: Sequence[str | Path]) -> list[Path]:
    """Return the folders of clips; raise `UsageError` where clips are needed and none is given."""
    if source.of_clips and not media:
        raise UsageError(f"damage to {listed(source.of_clips)} needs the clips; say where they are: --media DIR")
    return [Path(folder) for folder in media]


def opened_banks(source: Source, curves: Sequence[Curve]) -> dict[str, Bank]:
    """Return every noise bank that damage to clips may draw from, by name.

    Raises:
        UnknownName: there is no bank of a name.
        UsageError: a bank is empty or silent.
    """
    steps = [
        condition.step
        for curve in curves
        if curve.corruption.modality in source.of_clips
        for condition in curve.conditions
    ]
    return {name: open_bank(name) for name in sorted({name for step in steps for name in step.banks})}


def with_clips(
    source: Source,
    curves: Sequence[Curve],
    samples: Samples,
    banks: Mapping[str, Bank],
    folders: Sequence[Path],
    *,
    damaged_training: bool,
    workers: int,
    engine: str,
    show: ShowProgress,
) -> Source:
    """Return where features come from, with the vectors of clips where some are made of these.

    Args:
        source: where the other features come from.
        curves: the conditions.
        samples: what is learned from and asked.
        banks: noise banks, by name.
        folders: of clips.
        damaged_training: whether the clips that are learned from are damaged, too.
        workers: number of processes.
        engine: what they run on.
        show: called with a text and (done, total) steps.

    Raises:
        UsageError: clips cannot be used.
    """
    if not source.of_clips:
        return source

    def clips(candidates: Candidates, *, damaged: bool) -> Clips:
        conditions = {
            modality: [
                condition
                for curve in curves
                if damaged and curve.corruption.modality == modality
                for condition in curve.conditions
            ]
            for modality in source.of_clips
        }
        progress = partial(show, f"clips of {candidates.split}")
        return read_clips(candidates, folders, conditions, banks, workers=workers, engine=engine, progress=progress)

    found = {samples.test.split: clips(samples.test, damaged=True)}
    if samples.train is not samples.test:
        found[samples.train.split] = clips(samples.train, damaged=damaged_training)
    return replace(source, clips=found)
