"""Mean and deviation of features in the samples that each fold learns from; test samples have no part in them.

Conventions:
    F folds, d numbers of a row. Moments are computed in float64 and stored in float32, over the rows that samples have.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from merbench.training.samples import FeatureSet
from merbench.training.sequences import Rows, Sequences

Kind = Literal["vectors", "sequences", "dialogues"]
"""A vector per sample and feature; its rows; or dialogues of samples with vectors."""


@dataclass(frozen=True, eq=False, slots=True)
class Scaling:
    """The moments of every feature.

    Attributes:
        means: by feature, `(F, d)`, or `(d,)` for a network of ordinary layers.
        deviations: by feature, of the same shape; 1 where all rows are equal.
    """

    means: Mapping[str, Tensor]
    deviations: Mapping[str, Tensor]

    @classmethod
    def of(cls, samples: FeatureSet, kind: Kind, learned: Sequence[Rows]) -> Scaling:
        """Return the means and population deviations over all rows of the samples of every fold.

        They are computed once for the same object and rows, of which many networks may learn in turn.
        """
        known = _COMPUTED.setdefault(samples, {})
        key = (kind, *(rows.tobytes() for rows in learned))
        if key not in known:
            known[key] = cls._of(samples, kind, learned)
        return known[key]

    @classmethod
    def _of(cls, samples: FeatureSet, kind: Kind, learned: Sequence[Rows]) -> Scaling:
        sequences = samples.sequences if kind == "sequences" else vectors_of(samples)
        moments = {name: [part.select(rows).moments() for rows in learned] for name, part in sequences.items()}
        means, deviations = (
            {
                name: torch.from_numpy(np.stack([pair[own] for pair in pairs]).astype(np.float32))
                for name, pairs in moments.items()
            }
            for own in (0, 1)
        )
        return cls(means, deviations)

    def each(self, change: Callable[[Tensor], Tensor]) -> Scaling:
        """Return moments that were changed alike: moved to a device, or those of one fold."""
        return Scaling(
            {name: change(mean) for name, mean in self.means.items()},
            {name: change(deviation) for name, deviation in self.deviations.items()},
        )

    def stored(self) -> dict[str, Tensor]:
        """Return the moments by the names that they are stored under."""
        moments = {"mean": self.means, "deviation": self.deviations}
        return {f"{moment}.{name}": part for moment, parts in moments.items() for name, part in parts.items()}

    def apply(self, name: str, values: Tensor) -> Tensor:
        """Standardise the values `([F, ]…, d)` of a feature in place."""
        return values.sub_(_along(self.means[name], values)).div_(_along(self.deviations[name], values))

    def undo(self, name: str, values: Tensor) -> Tensor:
        """Return standardised values `([F, ]…, d)` on their own scale, in place."""
        return values.mul_(_along(self.deviations[name], values)).add_(_along(self.means[name], values))


_COMPUTED: WeakKeyDictionary[FeatureSet, dict[tuple[Any, ...], Scaling]] = WeakKeyDictionary()


def _along(moment: Tensor, values: Tensor) -> Tensor:
    """Return moments `([F, ]d)` in the shape that fits the values `([F, ]…, d)`."""
    return moment if moment.ndim == 1 else moment.view(-1, *[1] * (values.ndim - 2), values.shape[-1])


def tensors_under(prefix: str, weights: Mapping[str, NDArray[Any]], device: torch.device) -> dict[str, Tensor]:
    """Return the stored arrays whose names begin with a prefix and a dot, by the rest of their names."""
    start = f"{prefix}."
    own = {name.removeprefix(start): part for name, part in weights.items() if name.startswith(start)}
    return {name: torch.tensor(part, device=device) for name, part in own.items()}


def vectors_of(samples: FeatureSet) -> Mapping[str, Sequences]:
    """Return features of which every sample has one row at most: the mean of its rows."""
    sequences = samples.sequences
    if all((part.lengths <= 1).all() for part in sequences.values()):
        return sequences
    return {
        name: Sequences(vectors, np.arange(len(vectors)), sequences[name].lengths.clip(max=1))
        for name, vectors in samples.features.items()
    }


def mapped(values: NDArray[Any]) -> Tensor:
    """Return an array as a tensor; one mapped from a file stays there, though torch warns that it is read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(values))
