"""Fills the features that samples lack: by zeros, by means, by the means of neighbours, or by ridge regression.

Conventions:
    n samples that are learned from, q samples to fill, D numbers of all features of a sample, side by side. Inside,
    values are float64 and standardised by the samples that are learned from, so that distances and penalties treat all
    numbers alike; what is lacking is 0 there. What a sample has keeps its bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import UsageError, listed
from merbench.training.missing import frozen
from merbench.training.needs import require_answers
from merbench.training.neighbours import Mask, Neighbours, Numbers, patterns
from merbench.training.protocol import CrossFit, FoldEnsemble, Predictions
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.sequences import Rows, Sequences, Vectors
from merbench.training.wrapping import Around, Wrapper, averaged

Method = Literal["zero", "mean", "knn", "ridge"]
"""What a lacking feature is filled by."""


@dataclass(frozen=True, slots=True)
class How:
    """How features are filled.

    Attributes:
        method: by what.
        k: number of neighbours.
        penalties: of ridge regression, from which leaving one out selects.
    """

    method: Method
    k: int = 5
    penalties: tuple[float, ...] = (1.0,)


OF_VECTORS = ("knn", "ridge")
"""Methods that fill vectors only: of sequences, neither which rows are near nor how many are lacking is defined."""


def ridge_of(x: Numbers, y: Numbers, penalties: Sequence[float]) -> tuple[Numbers, Numbers, Numbers]:
    """Return the ridge regression of y on x whose leave-one-out error is smallest.

    Its intercept has no penalty. Leaving a sample out changes its residual by the factor 1 / (1 - h), with h its
    diagonal entry of the hat matrix (Allen, 1974), so that no model is fitted again.

    Args:
        x: `(n, p)`.
        y: `(n, c)`.
        penalties: what the sum of squared coefficients is multiplied by, one or more numbers above 0.

    Returns:
        Coefficients `(p, c)`, intercept `(c,)`, and the diagonal of the hat matrix, `(n,)`.
    """
    means, target = x.mean(axis=0), y.mean(axis=0)
    x, y = x - means, y - target
    if len(x) < x.shape[1]:
        squares, left = np.linalg.eigh(x @ x.T)
        kept = squares > squares.max(initial=0) * 1e-12
        squares, left = squares[kept], left[:, kept]
        right = x.T @ left / np.sqrt(squares)
    else:
        squares, right = np.linalg.eigh(x.T @ x)
        kept = squares > squares.max(initial=0) * 1e-12
        squares, right = squares[kept], right[:, kept]
        left = x @ right / np.sqrt(squares)
    projected, best = left.T @ y, (np.inf, 0.0, np.zeros(len(x)))
    for penalty in penalties:
        shrunk = squares / (squares + penalty)
        hat = np.square(left) @ shrunk + 1 / len(x)
        residual = y - left @ (shrunk[:, None] * projected)
        error = float(np.square(residual / (1 - hat).clip(min=1e-9)[:, None]).sum())
        best = min(best, (error, penalty, hat), key=lambda each: each[0])
    coefficients = right @ ((np.sqrt(squares) / (squares + best[1]))[:, None] * projected)
    return coefficients, target - means @ coefficients, best[2]


@dataclass(frozen=True, eq=False)
class Imputer:
    """Fills what samples lack with what was learned from other samples.

    Attributes:
        how: how features are filled.
        widths: numbers of every feature.
        means: `(D,)` over the samples that have a number.
        deviations: `(D,)` the same; 1 where all are equal.
        ids: ids of the samples that are learned from; of `knn` and `ridge` only.
        values: `(n, D)` their standardised values; of `knn` and `ridge` only.
        present: `(n, features)` which features they have; of `knn` and `ridge` only.
    """

    how: How
    widths: Mapping[str, int]
    means: Numbers
    deviations: Numbers
    ids: pa.StringArray = field(repr=False)
    values: Numbers = field(repr=False)
    present: Mask = field(repr=False)
    _fitted: dict[tuple[bytes, int], tuple[Numbers, Numbers, Numbers]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, how: How, samples: FeatureSet, *, rows: bool = False) -> Imputer:
        """Return what is learned from samples, and no others.

        Args:
            how: how features are filled.
            samples: the samples that are learned from.
            rows: whether features are rows of sequences; else their vectors, means of rows, are taken.
        """
        parts = samples.sequences if rows else _vectors(samples)
        moments = [part.moments() for part in parts.values()]
        means, deviations = (np.concatenate([pair[own] for pair in moments]) for own in (0, 1))
        made = cls.restored(how, {"means": means, "deviations": deviations}, samples.widths)
        if how.method not in OF_VECTORS:
            return made
        present = np.stack([part.present for part in parts.values()], axis=1)
        values = made._standardised({name: part.vectors() for name, part in parts.items()}, present)
        return replace(made, ids=samples.ids, values=values, present=present)

    def _standardised(self, vectors: Mapping[str, Vectors], present: Mask) -> Numbers:
        values = np.concatenate([vectors[name] for name in self.widths], axis=1, dtype=np.float64)
        return np.where(self._numbers(present), (values - self.means) / self.deviations, 0.0)

    def _numbers(self, present: Mask) -> Mask:
        """Return which numbers samples have, `(q, D)`, from which features they have, `(q, features)`."""
        return np.repeat(present, list(self.widths.values()), axis=1)

    @cached_property
    def columns(self) -> dict[str, slice]:
        """The columns of every feature."""
        ends = np.cumsum([0, *self.widths.values()]).tolist()
        return {name: slice(*ends[n : n + 2]) for n, name in enumerate(self.widths)}

    def completed(self, values: Numbers, present: Mask, ids: pa.StringArray) -> Numbers:
        """Return standardised values `(q, D)` of some samples, with what they lack filled.

        A sample that is learned from is never filled by itself.
        """
        if self.how.method == "zero":
            return np.where(self._numbers(present), values, -self.means / self.deviations)
        if self.how.method == "mean":
            return np.where(self._numbers(present), values, 0.0)
        own = pc.fill_null(pc.index_in(ids, value_set=self.ids), -1).to_numpy().astype(np.int64)
        if self.how.method == "knn":
            return self._neighbours.filled(values, self._numbers(present), own)
        completed = np.where(self._numbers(present), values, 0.0)
        for rows in patterns(present):
            pattern = present[rows[0]]
            for number in np.flatnonzero(~pattern).tolist() if pattern.any() else ():
                columns = list(self.columns.values())[number]
                completed[rows, columns] = self._predicted(pattern, number, values[rows], own[rows])
        return completed

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self.values, self._numbers(self.present), self.how.k)

    def _predicted(self, pattern: Mask, number: int, values: Numbers, own: Rows) -> Numbers:
        """Return a feature predicted from those of a pattern, by ridge regression over samples that have all of them.

        Samples that are among these get what the others predict for them.
        """
        from_columns, columns = self._numbers(pattern[None])[0], list(self.columns.values())[number]
        rows = np.flatnonzero((self.present | ~pattern).all(axis=1) & self.present[:, number])
        if len(rows) < 2:
            return np.zeros((len(values), columns.stop - columns.start))
        x, y = np.compress(from_columns, self.values[rows], axis=1), self.values[rows, columns]
        key = pattern.tobytes(), number
        if key not in self._fitted:
            self._fitted[key] = ridge_of(x, y, self.how.penalties)
        coefficients, intercept, hat = self._fitted[key]
        predicted = np.compress(from_columns, values, axis=1) @ coefficients + intercept
        place = np.searchsorted(rows, own).clip(max=len(rows) - 1)
        known = np.flatnonzero(rows[place] == own)
        leverage = hat[place[known], None].clip(max=1 - 1e-9)
        predicted[known] = (predicted[known] - leverage * y[place[known]]) / (1 - leverage)
        return np.asarray(predicted)

    def filled(self, samples: FeatureSet, *, rows: bool = False) -> FeatureSet:
        """Return samples that have all features; a filled sequence has one row."""
        parts = samples.sequences if rows else _vectors(samples)
        present = np.stack([part.present for part in parts.values()], axis=1)
        lacking = np.flatnonzero(~present.all(axis=1))
        if not len(lacking):
            return samples
        vectors = {name: part.select(lacking).vectors() for name, part in parts.items()}
        fill = self.completed(
            self._standardised(vectors, present[lacking]), present[lacking], samples.ids.take(pa.array(lacking))
        )
        if self.how.method != "zero":  # whose zeros are exact
            fill = fill * self.deviations + self.means
        else:
            fill = np.zeros_like(fill)
        sequences = dict(samples.sequences)
        for number, (name, part) in enumerate(parts.items()):
            own = np.flatnonzero(~present[lacking, number])
            if len(own):
                sequences[name] = _with_rows(part, lacking[own], fill[own, self.columns[name]].astype(np.float32))
        return replace(samples, sequences=sequences)

    def fill(self, values: Mapping[str, Vectors], lacking: Mapping[str, Mask], ids: pa.StringArray) -> None:
        """Fill standardised features of samples in place: vectors `(q, d)`, or the first of padded rows `(q, T, d)`.

        Args:
            values: by feature.
            lacking: by feature, which samples lack it.
            ids: of the samples.
        """
        present = np.stack([~lacking[name] for name in self.widths], axis=1)
        given = {name: part if part.ndim == 2 else part[:, 0] for name, part in values.items()}
        every = np.concatenate([given[name] for name in self.widths], axis=1, dtype=np.float64)
        completed = self.completed(np.where(self._numbers(present), every, 0.0), present, ids)
        for name, own in lacking.items():
            given[name][own] = completed[own, self.columns[name]]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `restored` needs, by name."""
        arrays: dict[str, NDArray[Any]] = {"means": self.means, "deviations": self.deviations}
        if self.how.method in OF_VECTORS:
            ids = np.array(self.ids.to_pylist(), dtype=np.str_)
            arrays |= {"ids": ids, "values": self.values, "present": self.present}
        return arrays

    @classmethod
    def restored(cls, how: How, arrays: Mapping[str, NDArray[Any]], widths: Mapping[str, int]) -> Imputer:
        """Return an imputer from its arrays."""
        return cls(
            how,
            widths,
            arrays["means"],
            arrays["deviations"],
            pa.array(arrays["ids"].tolist() if "ids" in arrays else [], pa.string()),
            arrays.get("values", np.zeros((0, sum(widths.values())))),
            arrays.get("present", np.zeros((0, len(widths)), dtype=np.bool_)),
        )


def require_arrays(how: How, arrays: Mapping[str, NDArray[Any]], widths: Mapping[str, int]) -> None:
    """Raise `UsageError` unless arrays are those of an imputer of some features."""
    total, n = sum(widths.values()), arrays["ids"].size if "ids" in arrays else 0
    needed: dict[str, tuple[tuple[int, ...], str]] = {"means": ((total,), "f"), "deviations": ((total,), "f")}
    if how.method in OF_VECTORS:
        needed |= {"ids": ((n,), "U"), "values": ((n, total), "f"), "present": ((n, len(widths)), "b")}
    given = {name: (values.shape, values.dtype.kind) for name, values in arrays.items()}
    if others := [name for name in {**needed, **given} if needed.get(name) != given.get(name)]:
        raise UsageError(f"the weights are those of another imputation ({listed(others)} differ)")


def _vectors(samples: FeatureSet) -> dict[str, Sequences]:
    """Return features of which every sample has one row at most: the mean of its rows."""
    return {
        name: part
        if (part.lengths <= 1).all()
        else replace(Sequences.of_vectors(part.vectors()), lengths=part.lengths.clip(max=1))
        for name, part in samples.sequences.items()
    }


def _with_rows(part: Sequences, rows: Rows, vectors: Vectors) -> Sequences:
    """Return a feature whose samples of some rows have these vectors, one row each."""
    order = np.arange(len(part), dtype=np.int64)
    order[rows] = len(part) + np.arange(len(rows))
    return part.joined(Sequences.of_vectors(vectors)).select(order)


class Imputing(Around):
    """A baseline around another one that lacks no feature: what samples lack is filled.

    What fills a sample was learned from samples that the model learned from, too.
    """

    imputers: Sequence[Imputer] = ()

    @property
    def how(self) -> How | None:
        """How features are filled; None: samples may lack some."""
        raise NotImplementedError

    @property
    def _reads_rows(self) -> bool:
        return self.base.declaration.samples == "sequences"

    def as_learned(self, train: TrainingSet) -> TrainingSet:
        """Return what the base learns from."""
        return train

    def fit(self, train: TrainingSet) -> None:
        """Learn from samples, none of which are for selection."""
        require_answers(self.base, train.track)
        self.imputers, self.models = self._imputers([train]), [self.built(train.track)(self.setup)]
        train = frozen(self.as_learned(train))
        self.models[0].fit(replace(train, samples=self._filled(0, train.samples)))

    def predict(self, test: FeatureSet) -> Predictions:
        """Return the mean of the answers of all models, each to what its imputer fills."""
        return averaged([model.predict(self._filled(n, test)) for n, model in enumerate(self.models)])

    def _imputers(self, parts: Sequence[TrainingSet]) -> list[Imputer]:
        how = self.how
        learned = [part.samples.select(part.learned) for part in parts]
        return [] if how is None else [Imputer.of(how, samples, rows=self._reads_rows) for samples in learned]

    def _filled(self, n: int, samples: FeatureSet) -> FeatureSet:
        return self.imputers[n].filled(samples, rows=self._reads_rows) if self.imputers else samples

    def own_weights(self) -> dict[str, NDArray[Any]]:
        """Return what the imputers learned."""
        every = enumerate(self.imputers)
        return {f"imputer-{n}.{name}": values for n, each in every for name, values in each.arrays().items()}

    def restore_own(self, weights: Mapping[str, NDArray[Any]], widths: Mapping[str, int]) -> None:
        """Take what `own_weights` returned; raise `UsageError` where it is of another imputation."""
        how, own = self.how, dict[str, dict[str, NDArray[Any]]]()
        for name, values in weights.items():
            number, _, rest = name.partition(".")
            own.setdefault(number, {})[rest] = values
        wanted = [] if how is None else [f"imputer-{n}" for n in range(len(self.models))]
        if set(own) != set(wanted):
            raise UsageError(f"the weights are those of another imputation; needed: {listed(wanted) or 'none'}")
        for name in wanted:
            assert how is not None
            require_arrays(how, own[name], widths)
        self.imputers = [] if how is None else [Imputer.restored(how, own[name], widths) for name in wanted]


class ImputingFolds(Imputing, Wrapper):
    """The same around a base that is one model per division.

    The base is trained as it is by itself where nothing has to be filled in what it learns from. Else there is one
    training of it per division, whose features are filled by what was learned from this division.
    """

    fills_drawn = True  # whether what corruption removes is filled even if samples lack nothing else

    def fit(self, train: TrainingSet) -> None:
        """Learn as `fit_folds` does."""
        self.fit_folds(train)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train the base, and return the result of cross-validation."""
        require_answers(self.base, train.track)
        train = self.as_learned(train)
        lacks = any(not part.present.all() for part in train.samples.sequences.values())
        if self.how is None or not (lacks or (self.fills_drawn and train.corruption is not None)):
            model = self.built(train.track)(self.setup)
            assert isinstance(model, FoldEnsemble)
            self.models, self.imputers = [model], self._imputers([train])
            return model.fit_folds(frozen(train, of_folds=True))
        parts = self.divided(train)
        self.imputers = self._imputers(parts)
        for n, part in enumerate(parts):
            if part.corruption is None:
                parts[n] = replace(part, samples=self._filled(n, part.samples))
                continue
            # What was filled first would still show what is removed after that.
            samples = part.samples if self._reads_rows else replace(part.samples, sequences=_vectors(part.samples))
            parts[n] = replace(part, samples=samples, corruption=replace(part.corruption, filling=self.imputers[n]))
        return self.cross_fit(train, self.trained(parts))
