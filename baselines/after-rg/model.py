"""A network, of which it is asked how known samples look: by the norm of clipped features, and energy.

After the abstract of "Reactivate GradNorm" (arXiv:2302.11716, version 1). Nothing is trained but the base, and nothing
else is answered: with `--hold-out`, the score of every detector of `merbench.training.unknown` is computed of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from merbench.training import CrossFit, FoldEnsemble, Setup, TrainingSet
from merbench.training.declaration import BaselineDeclaration
from merbench.training.needs import require_answers
from merbench.training.wrapping import Around, BaseOptions, is_around_another, wrapped


@dataclass(frozen=True)
class Options(BaseOptions):
    """What is trained.

    Attributes:
        base: name or folder of the baseline that is trained: a network with a last linear layer.
        base_options: options of the base that differ from those it declares.
    """


class Open(Around):
    """The base, one model per division, as it is by itself."""

    def fit(self, train: TrainingSet) -> None:
        self.fit_folds(train)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        require_answers(self.base, train.track)
        model = self.built(train.track)(self.setup)
        assert isinstance(model, FoldEnsemble)
        self.models = [model]
        return model.fit_folds(train)


def no_network(declared: BaselineDeclaration) -> str:
    """Return why a baseline cannot be the base."""
    if is_around_another(declared) or declared.uses_unlabelled:
        return "is itself around another baseline, or learns from unlabelled samples"
    return "" if "epochs" in declared.defaults else "is not a network that is trained in epochs"


def build(options: Options, setup: Setup) -> Open:
    return wrapped(Open, options, setup, no_network, "after-rg")
