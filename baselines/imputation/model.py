"""Imputation around any complete system: missing features are imputed by zeros, means, neighbours or ridge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from merbench.parameters import Described, Within
from merbench.training import Setup
from merbench.training.declaration import BaselineDeclaration
from merbench.training.imputation import OF_VECTORS, How, Imputing, ImputingFolds, Method
from merbench.training.wrapping import BaseOptions, not_complete, wrapped

Penalty = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Options(BaseOptions):
    """What is trained, and how missing features are imputed.

    Attributes:
        base: name or folder of the baseline that reads the imputed features.
        base_options: options of the base that differ from those it declares.
        method: `zero`, `mean`, `knn`, `ridge`.
        k: number of neighbours.
        penalties: of ridge regression, from which leave-one-out cross-validation selects.
    """

    method: Method = "mean"
    k: Annotated[int, Within(1, 10_000)] = 5
    penalties: Annotated[
        tuple[Penalty, ...], Field(min_length=1), Described("a list of numbers above 0, one or more")
    ] = (1.0,)

    def refusal(self, declared: BaselineDeclaration) -> str:
        """Return why a baseline cannot be the base; empty where it can."""
        if self.method in OF_VECTORS and declared.samples == "sequences":
            return f"reads sequences, and method '{self.method}' fills vectors; zero and mean fill these, too"
        return not_complete(declared)


class Imputation(Imputing):
    """The base, one model of all samples."""

    options: Options

    @property
    def how(self) -> How:
        """How features are filled."""
        return How(self.options.method, self.options.k, self.options.penalties)


class ImputationOfFolds(Imputation, ImputingFolds):
    """The base, one model per division."""


def build(options: Options, setup: Setup) -> Imputation:
    return wrapped(ImputationOfFolds, options, setup, options.refusal, "imputation", single=Imputation)
