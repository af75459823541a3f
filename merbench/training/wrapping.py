"""Baselines around another one, their base: which it may be, one training of it per division, several models as one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError, listed
from merbench.parameters import Described
from merbench.track import Track
from merbench.training.declaration import BaselineDeclaration, LoadedBaseline, list_baselines, load_baseline
from merbench.training.history import Epochs, joined
from merbench.training.needs import require_answers
from merbench.training.protocol import (
    NO_LOG,
    Baseline,
    CrossFit,
    FoldEnsemble,
    Log,
    Predictions,
    Setup,
    Storable,
    silent,
)
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.selection import Build, fit

Trained = tuple[Baseline, CrossFit]
"""The base after a training, and the result of that training."""


@dataclass(frozen=True)
class BaseOptions:
    """The options of every baseline that is made around another one.

    Attributes:
        base: name or folder of the baseline that is trained.
        base_options: options of the base that differ from those it declares.
    """

    base: str
    base_options: Annotated[Mapping[str, Any], Described("a table of options of the base")] = field(
        default_factory=dict
    )


Refusal = Callable[[BaselineDeclaration], str]
"""Returns why a baseline cannot be a base, such as "reads sequences"; empty where it can."""


def not_of_vectors(declared: BaselineDeclaration) -> str:
    """Return why a baseline is not the base of one that gives it vectors, and labels of its own."""
    others = is_around_another(declared) or declared.uses_unlabelled or _reads_columns(declared)
    others = others or not declared.uses_features
    return "is not given one vector per feature only" if others or declared.samples != "vectors" else ""


def not_complete(declared: BaselineDeclaration) -> str:
    """Return why a baseline is not the base of one that gives it features, whatever samples lack."""
    if is_around_another(declared) or declared.uses_unlabelled:
        return "is itself around another baseline, or learns from unlabelled samples"
    return "" if declared.uses_features and not _reads_columns(declared) else "reads something else than features"


def _reads_columns(declared: BaselineDeclaration) -> bool:
    return bool(declared.columns or declared.learned_columns)


def is_around_another(declared: BaselineDeclaration) -> bool:
    """Return whether a baseline is made around another one."""
    return bool(declared.trains)


class Around:
    """A baseline around another one, whose models it trains and stores; it answers the mean of them.

    Args:
        name: name of the baseline, as its folder has it.
        base: the base.
        options: which options of the base differ.
        setup: as `build` was given it.
    """

    def __init__(self, name: str, base: LoadedBaseline, options: BaseOptions, setup: Setup) -> None:
        self.name, self.base, self.options, self.setup = name, base, options, setup
        self.models: list[Baseline] = []

    def predict(self, test: FeatureSet) -> Predictions:
        """Return the mean of the answers of all models."""
        return averaged([model.predict(test) for model in self.models])

    def built(self, track: Track) -> Build:
        """Return the function that builds the base for a track."""
        return partial(self.base.build, self.base.options(track.id, self.options.base_options))

    def own_weights(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that it stores besides those of the models, by names that begin with a letter."""
        return {}

    def restore_own(self, weights: Mapping[str, NDArray[Any]], widths: Mapping[str, int]) -> None:
        """Take what `own_weights` returned; the models are restored."""


class Wrapper(Around):
    """A baseline around another one, which it trains once per division.

    Subclasses define `fit_folds`.
    """

    sample_epochs = 0

    def fit(self, train: TrainingSet) -> None:
        """Learn as `fit_folds` does."""
        self.fit_folds(train)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train `models`, one for every division of the training set, and return the result of cross-validation."""
        raise NotImplementedError

    def divided(self, train: TrainingSet) -> list[TrainingSet]:
        """Return what the base learns from in every division, with the samples to validate as the development set.

        Raises:
            UsageError: the base does not answer the targets of the track.
        """
        require_answers(self.base, train.track)
        if train.corruption is not None:  # the base draws, or is given features corrupted once for its division
            per_epoch = self.base.declaration.corrupts_per_epoch
            train = replace(train, corruption=replace(train.corruption, per_epoch=per_epoch))
        return [train.of_division(division) for division in train.divisions(self.setup.n_folds, self.setup.seed)]

    def trained(self, parts: Sequence[TrainingSet], stage: str = "", stages: Sequence[str] = ("",)) -> list[Trained]:
        """Return the base trained on every part, and its predictions for the part's development set.

        Args:
            parts: what `divided` returned, or made of it.
            stage: which of the stages this is; the epochs of the last one are logged.
            stages: the names of all, in their order.
        """
        trained, n_before, is_last = list[Trained](), stages.index(stage) * len(parts), stage == stages[-1]
        if not n_before:
            self.sample_epochs = 0
        for n, part in enumerate(parts):
            epochs = Epochs(_OfDivision(self.setup.log, n, len(parts)) if is_last else NO_LOG)
            setup = replace(
                self.setup.part("-".join([*filter(None, [stage]), str(n)])),
                seed=self.division_seed(n),
                n_folds=1,
                progress=silent,
                log=epochs,
            )
            trained.append(fit(self.built(part.track), part, setup))
            n_epochs = len(next(iter(epochs.arrays().values()), [None]))  # without epochs, samples are seen once
            self.sample_epochs += n_epochs * len(part.learned)
            self.setup.progress(n_before + n + 1, len(stages) * len(parts))
        return trained

    def division_seed(self, n: int) -> int:
        """Return the seed of a division's training, so that no two divisions begin with the same model."""
        return int.from_bytes(hashlib.sha256(f"{self.name}|{self.setup.seed}|{n}".encode()).digest()[:4], "little")

    def cross_fit(
        self,
        train: TrainingSet,
        trained: Sequence[Trained],
        before: Sequence[Trained] = (),
        details: Mapping[str, Any] | None = None,
    ) -> CrossFit:
        """Keep the models of every division, and return the result of cross-validation.

        Args:
            train: what the divisions are of.
            trained: what `trained` returned for the models that answer.
            before: what it returned for other stages, whose notes are kept.
            details: values of JSON for the run record.
        """
        self.models, results = [model for model, _ in trained], [result for _, result in trained]
        rows = [division.validate for division in train.divisions(self.setup.n_folds, self.setup.seed)]
        curves = [result.curve for result in results if result.curve is not None]
        return CrossFit(
            Predictions.gathered(list(zip(rows, (result.out_of_fold for result in results), strict=True))),
            joined(curves) if curves else None,
            results[0].device,
            tuple(dict.fromkeys(note for _, result in (*before, *trained) for note in result.notes)),
            details or {},
            self.sample_epochs,
        )


class _StoredModels(Around):
    """A baseline around one that can be stored: the arrays of every model, by its number, and its own."""

    def weights(self) -> dict[str, NDArray[Any]]:
        stored = [model.weights() for model in self.models if isinstance(model, Storable)]
        numbered = {f"{n}.{name}": values for n, own in enumerate(stored) for name, values in own.items()}
        return numbered | self.own_weights()

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        of_models: dict[str, dict[str, NDArray[Any]]] = {}
        own: dict[str, NDArray[Any]] = {}
        for name, values in weights.items():
            number, _, rest = name.partition(".")
            if number[:1].isalpha():
                own[name] = values
            else:
                of_models.setdefault(number, {})[rest] = values
        if not of_models or set(of_models) != {str(n) for n in range(len(of_models))}:
            raise UsageError("the weights are not those of models with the numbers 0, 1, 2, …")
        build, setup = self.built(track), replace(self.setup, n_folds=1)
        self.models = [build(setup) for _ in of_models]
        for n, model in enumerate(self.models):
            assert isinstance(model, Storable)
            model.restore(of_models[str(n)], track, widths)
        self.restore_own(own, widths)


W = TypeVar("W", bound=Around)


def wrapped(
    kind: type[W], options: BaseOptions, setup: Setup, refusal: Refusal, name: str, single: type[W] | None = None
) -> W:
    """Return a baseline around the one that its options name, which can be stored if that one can.

    Args:
        kind: the class of the wrapper; its arguments are those of `Around`.
        options: which base, with which options; the wrapper is given them.
        setup: as `build` was given it.
        refusal: why a baseline cannot be the base.
        name: name of the wrapper's baseline.
        single: its class around a base that is not one model per division; None: the same.

    Raises:
        UnknownName: there is no such base.
        UsageError: it cannot be the base; those that can are listed.
        DeclarationError: an option of the base is not allowed.
    """
    base = load_baseline(options.base)
    if why := refusal(base.declaration):
        able = [other for other, each in list_baselines() if not refusal(each)]
        raise UsageError(f"{name}: base '{base.name}' {why}; those that can be: {listed(able)}")
    first = base.build(base.options("", options.base_options), setup)
    chosen = kind if single is None or isinstance(first, FoldEnsemble) else single
    bases = (_StoredModels, chosen) if isinstance(first, Storable) else (chosen,)
    made: type[W] = type(chosen.__name__, bases, {})
    return made(name, base, options, setup)


def averaged(answers: Sequence[Predictions]) -> Predictions:
    """Return the mean of the answers of several models."""
    if len(answers) == 1:
        return answers[0]
    outputs = [each.outputs for each in answers]
    return Predictions({name: np.mean([each[name] for each in outputs], axis=0) for name in outputs[0]})


class _OfDivision:
    """Passes on the log of one division of several: the others' values of the epoch are NaN."""

    def __init__(self, log: Log, n: int, n_divisions: int) -> None:
        self.log, self.n, self.n_divisions = log, n, n_divisions

    def epoch(self, epoch: int, values: Mapping[str, NDArray[np.float64]]) -> None:
        own = np.arange(self.n_divisions) == self.n
        self.log.epoch(epoch, {name: np.where(own, value, np.nan) for name, value in values.items()})
