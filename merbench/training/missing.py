"""Missing modalities, missing steps and noise in the features that are learned from, drawn again for every epoch.

Conventions:
    Values are standardised. Those of k samples are float32, vectors `(k, d)` or padded sequences `(k, T, d)`, by
    feature; `lengths` are `(k,)` by feature: how many rows are real, 1 for vectors, 0 where a sample lacks the feature.
    The draws of a sample depend on the seeds of track and training, the step, the epoch and the sample's id, whatever
    batch or fold it is in. Epoch 0 is that of the samples an epoch is selected on: their draws depend only on the seed
    of the track, the step and the id, as those of a test set do. Several features of a modality are missing together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corruptions import Step, generator
from merbench.corruptions.batches import corrupted_vectors, removed_modalities, removes_modalities
from merbench.errors import Inapplicable, UsageError, listed
from merbench.training.samples import FeatureCorruption, FeatureSet, TrainingSet
from merbench.training.sequences import Rows, Sequences, Vectors

Mask = NDArray[np.bool_]
Values = Mapping[str, Vectors]
Lengths = Mapping[str, Rows]
Values64 = NDArray[np.float64]
Moments = Mapping[str, tuple[Values64, Values64]]
"""Mean and deviation, `(d,)` each, by feature."""

_ROWS_AT_ONCE = 256


class Draws:
    """What the corruptions of one training draw.

    Args:
        corruption: what is done to which features.
        samples: the samples, to which rows refer.
        seed: seed of the training.
        what: what the steps are, for messages.

    Raises:
        UsageError: no feature has a known modality, or a step cannot be applied to such features.
    """

    def __init__(
        self, corruption: FeatureCorruption, samples: FeatureSet, seed: int = 0, what: str = "training corruption"
    ) -> None:
        self.corruption, self.seed, self._what = corruption, seed, what
        self.steps = (*corruption.steps, *corruption.learned)
        self.ids: list[str] = samples.ids.to_pylist()
        self.features: dict[str, list[str]] = {}  # by modality
        for name in samples.sequences:
            if name in corruption.modalities:
                self.features.setdefault(corruption.modalities[name], []).append(name)
        if not self.features:
            raise UsageError(
                f"{what}s: no feature has a known modality: {listed(list(samples.sequences))}; its name "
                "begins with audio, video or text, or merbench extracted it"
            )
        sequences = samples.sequences
        self.present = {
            modality: np.any([sequences[name].present for name in names], axis=0)
            for modality, names in self.features.items()
        }
        self._removed: dict[tuple[int, int], dict[str, Mask]] = {}
        self._kept = {
            number: self._kept_steps(step, samples)
            for number, step in enumerate(self.steps)
            if step.corruption.scope == "split"
        }
        self._applied = set[int]()  # the steps that were applicable to a sample

    def corrupted(
        self, epoch: int, rows: Rows, values: Values, lengths: Lengths
    ) -> tuple[dict[str, Vectors], dict[str, Rows]]:
        """Return the values of some samples in an epoch, changed in place, and lengths, 0 where nothing is left.

        A sequence that is filled has one row.

        Raises:
            UsageError: a step cannot be applied to such features.
        """
        given = {name: array for name, array in values.items() if any(name in own for own in self.features.values())}
        for number, step in enumerate(self.steps if epoch else self.corruption.steps):
            if removes_modalities(step):
                for modality, removed in self._removed_in(number, step, epoch).items():
                    for name in self.features[modality]:
                        given[name][removed[rows]] = 0
            elif number in self._kept:
                self._drop(step, self._kept[number], rows, given)
            else:
                for names in self._rounds():
                    self._apply(number, step, epoch, rows, {m: (given[f], lengths[f]) for m, f in names.items()})
        left = {name: np.where(_is_left(array, lengths[name]), lengths[name], 0) for name, array in given.items()}
        after, lengths_left = {**values, **given}, {**lengths, **left}
        if (filling := self.corruption.filling) is not None:
            lacking = {name: own == 0 for name, own in lengths_left.items()}
            filling.fill(after, lacking, pa.array([self.ids[row] for row in rows.tolist()], pa.string()))
            lengths_left = {name: np.where(lacking[name], 1, own) for name, own in lengths_left.items()}
        return after, lengths_left

    def _rounds(self) -> Iterator[dict[str, str]]:
        """Yield modality -> feature: first features, second ones, and so on."""
        for i in range(max(map(len, self.features.values()))):
            yield {modality: own[i] for modality, own in self.features.items() if i < len(own)}

    def _removed_in(self, number: int, step: Step, epoch: int) -> Mapping[str, Mask]:
        """Return by modality which of all samples lack it after a step in an epoch."""
        if (number, epoch) not in self._removed:
            self._removed = {key: masks for key, masks in self._removed.items() if key[1] in (0, epoch)}
            seed = self.corruption.epoch_seed(epoch, self.seed)
            removed = {modality: np.zeros(len(self.ids), dtype=np.bool_) for modality in self.present}
            for names, rows in _alike(self.present):
                try:
                    masks = removed_modalities(step, names, [self.ids[row] for row in rows.tolist()], seed=seed)
                except Inapplicable as error:
                    if len(rows) == len(self.ids):
                        raise self._inapplicable(step, error) from error
                    continue
                for place, name in enumerate(names):
                    removed[name][rows] = masks[:, place]
            self._removed[number, epoch] = removed
        return self._removed[number, epoch]

    def _kept_steps(self, step: Step, samples: FeatureSet) -> dict[str, Mask]:
        """Return by feature which of its rows, one sample after the other, a step for all samples at once keeps."""
        kept = dict[str, Mask]()
        for names in self._rounds():
            parts = {modality: samples.sequences[name] for modality, name in names.items()}
            ones = [
                {
                    modality: np.ones((length, 1)) if part.lengths.max() > 1 else np.ones(1)
                    for modality, part in parts.items()
                    if (length := int(part.lengths[row]))
                }
                for row in range(len(self.ids))
            ]
            rng = generator(self.corruption.seed, step.step_name, "")
            try:
                after = step.corruption.apply(ones, rng, step.draws(self.corruption.seed, "", rng))
            except Inapplicable as error:
                raise self._inapplicable(step, error) from error
            for modality, name in names.items():
                width = int(parts[modality].lengths.max())
                kept[name] = np.ones((len(self.ids), width), dtype=np.bool_)
                for row, signal in enumerate(after):
                    if modality in signal:
                        kept[name][row, : len(signal[modality])] = signal[modality][:, 0] != 0
        return kept

    def _drop(self, step: Step, kept: Mapping[str, Mask], rows: Rows, values: Mapping[str, Vectors]) -> None:
        for name, array in values.items():
            if array.ndim != 3:
                raise UsageError(f"{self._what} {step.step_name}: '{name}' is read as one vector per sample")
            array *= kept[name][rows][:, : array.shape[1], None]

    def _apply(
        self, number: int, step: Step, epoch: int, rows: Rows, given: Mapping[str, tuple[Vectors, Rows]]
    ) -> None:
        """Corrupt the values of one feature of every modality by a step for single samples, in place."""
        seed, problem = self.corruption.epoch_seed(epoch, self.seed), None
        has_frames = any(values.ndim == 3 for values, _ in given.values())
        for names, places in _alike({modality: lengths > 0 for modality, (_, lengths) in given.items()}):
            ids = [self.ids[row] for row in rows[places].tolist()]
            if not has_frames:
                done = corrupted_vectors(step, {name: given[name][0][places] for name in names}, ids, seed=seed)
                for name in names:
                    given[name][0][places] = done.vectors[name]
                problem = next(iter(done.problems.values()), problem)
                self._applied |= {number} if len(done.problems) < len(ids) else set()
                continue
            for place, sample_id in zip(places.tolist(), ids, strict=True):
                own = {name: _sample(*given[name], place) for name in names}
                rng = generator(seed, step.step_name, sample_id)
                sampled = step.draws(seed, sample_id, rng)
                try:
                    signal = {name: values.astype(np.float64) for name, values in own.items()}
                    after = step.corruption.apply(signal, rng, sampled)
                except Inapplicable as error:
                    problem = f"{step.step_name}: {error}"
                    continue
                self._applied.add(number)
                for name, values in own.items():
                    values[...] = after[name]
        if problem is not None and number not in self._applied:
            raise UsageError(f"{self._what} {problem}")

    def _inapplicable(self, step: Step, error: Inapplicable) -> UsageError:
        return UsageError(f"{self._what} {step.step_name}: {error}")


def _sample(values: Vectors, lengths: Rows, place: int) -> Vectors:
    """Return the values of one sample, which can be written to: a vector, or its frames."""
    return values[place] if values.ndim == 2 else values[place, : lengths[place]]


def _alike(present: Mapping[str, Mask]) -> Iterator[tuple[list[str], Rows]]:
    """Yield modalities, and the samples that have exactly these; not the samples that have none."""
    patterns, of_row = np.unique(np.stack(list(present.values()), axis=1), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.any():
            names = [name for name, has in zip(present, pattern.tolist(), strict=True) if has]
            yield names, np.flatnonzero(of_row.reshape(-1) == number)


def _is_left(values: Vectors, lengths: Rows) -> Mask:
    """Return which samples have a value other than 0."""
    if values.ndim == 2:
        return np.asarray(values.any(axis=1))
    return np.asarray((values.any(axis=2) & (np.arange(values.shape[1]) < lengths[:, None])).any(axis=1))


def frozen(train: TrainingSet, *, of_folds: bool = False) -> TrainingSet:
    """Return samples whose features are corrupted once, unless the baseline draws itself for every epoch.

    Features are standardised by the samples that are learned from. The mean of samples that a model is validated on, or
    that it answers, would show in what it learns from: this is called with what one model learns from and its
    development set.

    Args:
        train: the samples.
        of_folds: whether a baseline divides them itself, into what each of several models learns from.

    Raises:
        UsageError: the samples would be corrupted once for several models.
    """
    if train.corruption is None or train.corruption.per_epoch:
        return train
    if not train.samples.sequences:  # a baseline that reads no features
        return replace(train, corruption=None)
    if of_folds and train.development is None:
        raise UsageError(
            "training corruptions: the baseline trains a model per fold by itself (`fit_folds`), for which features "
            "cannot be corrupted once; corrupt them in every epoch, and declare corrupts_per_epoch = true in "
            "baseline.toml, or leave fit_folds out"
        )
    moments = {name: part.select(train.learned).moments() for name, part in train.samples.sequences.items()}
    draws = Draws(train.corruption, train.samples)
    samples = corrupted(draws, train.samples, [moments])
    if train.corruption.learned:
        own, rows = corrupted(draws, train.samples, [moments], epoch=1), np.arange(len(train), dtype=np.int64)
        rows[train.learned] += len(train)
        parts = {name: part.joined(own.sequences[name]).select(rows) for name, part in samples.sequences.items()}
        samples = replace(samples, sequences=parts)
    return replace(train, samples=samples, corruption=None)


def corrupted(
    draws: Draws, samples: FeatureSet, moments: Sequence[Moments], of_row: Rows | None = None, epoch: int = 0
) -> FeatureSet:
    """Return samples with the features of an epoch, on the scale on which they are stored.

    Where nothing of a feature is left, it has the mean, or, where the corruption says so, the sample lacks it or it is
    filled, as is what a sample lacks itself. Values that are not changed keep all of their bits.

    Args:
        draws: what is done to these samples.
        samples: the samples.
        moments: mean and deviation of every feature, by which it is standardised; several for models of several parts.
        of_row: `(n,)` which of the moments are those of a sample; None: the first.
        epoch: whose draws these are.
    """
    of_row = np.zeros(len(samples), dtype=np.int64) if of_row is None else of_row
    fills = draws.corruption.filling is not None
    changed = {name: _like(part, part.lengths.clip(min=int(fills))) for name, part in samples.sequences.items()}
    kept = {name: np.arange(len(samples), dtype=np.int64) for name in changed}
    for start in range(0, len(samples), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(samples)))
        scales = [moments[number] for number in of_row[rows].tolist()]
        parts = samples.sequences.items()
        before = {name: _standardised(part, rows, [scale[name] for scale in scales]) for name, part in parts}
        lengths = {name: part.lengths[rows] for name, part in parts}
        after, left = draws.corrupted(epoch, rows, {name: values.copy() for name, values in before.items()}, lengths)
        for name, part in parts:
            if draws.corruption.absent:
                kept[name][rows[_is_left(before[name], lengths[name]) & (left[name] == 0)]] = -1
            n = left[name] if fills else lengths[name]
            changed[name].lengths[rows] = n
            for place, row in enumerate(rows.tolist()):
                (mean, deviation), own = scales[place][name], _sample(after[name], n, place)
                values = own * deviation + mean
                if part.lengths[row]:
                    is_same = own == _sample(before[name], n, place)
                    values = np.where(is_same, part.of(row)[: n[place]], values)
                changed[name].of(row)[...] = values
    return replace(samples, sequences={name: part.select(kept[name]) for name, part in changed.items()})


def _like(part: Sequences, lengths: Rows) -> Sequences:
    """Return a feature whose samples have so many rows, with arbitrary values; times are kept where all lengths are."""
    times = None
    if part.times is not None and (lengths == part.lengths).all():
        times = np.concatenate([part.times[part.rows_of(row)] for row in range(len(part))])
    values = np.empty((int(lengths.sum()), part.width), dtype=np.float32)
    return Sequences(values, np.cumsum(lengths) - lengths, lengths, times)


def _standardised(part: Sequences, rows: Rows, moments: Sequence[tuple[Values64, Values64]]) -> Vectors:
    """Return the standardised vectors `(k, d)` of some samples, or padded sequences where a sample has several rows."""
    values = np.zeros((len(rows), int(part.lengths[rows].max(initial=1)), part.width), dtype=np.float32)
    for place, (row, (mean, deviation)) in enumerate(zip(rows.tolist(), moments, strict=True)):
        values[place, : part.lengths[row]] = (part.of(row) - mean) / deviation
    return values if part.lengths.max(initial=1) > 1 else values[:, 0]
