"""The reference model of MER 2023 (arXiv:2304.08981): encoded modalities, weighted by attention and summed.

Every modality has an encoder with two hidden layers. Another such network maps the concatenated encodings to one weight
per modality; the weighted sum of the encodings feeds one linear head per target. The released code has no softmax over
the weights, which the paper's equation 5 has; by default there is none here either.

Conventions:
    As in `merbench.training.batched`: all tensors have a leading fold dimension F.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.track import Track
from merbench.training import CrossFit, FeatureSet, Predictions, Setup, TrainingSet, ranking_value
from merbench.training.batched import (
    FoldData,
    FoldHidden,
    FoldLinear,
    Schedule,
    generator,
    predict_folds,
    train_folds,
)

SLOTS = 3
"""A single feature fills as many slots, as in the challenge's unimodal runs."""


@dataclass(frozen=True)
class Options:
    """Architecture and training.

    Attributes:
        hidden: widths of the hidden layers of every encoder; the last is the paper's h.
        dropout: share of hidden units dropped in training.
        softmax: whether the weights of the modalities are normalised (the paper) or not (the released code).
        learning_rate: of Adam.
        weight_decay: of Adam, added to the gradient.
        batch_size: samples per step and fold.
        epochs: how often every sample is seen.
    """

    hidden: tuple[int, ...]
    dropout: float
    softmax: bool
    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int


class Network(nn.Module):
    """Inputs `(F, B, d)`, one per slot, to one output per target: `(F, B, K)` scores or `(F, B)` numbers.

    Args:
        widths: width of every input.
        heads: number of labels per target; None for a number.
        options: the architecture.
        rngs: one generator per fold, for initial values.
        noise: generator of dropout.
    """

    def __init__(
        self,
        widths: Sequence[int],
        heads: Mapping[str, int | None],
        options: Options,
        rngs: Sequence[torch.Generator],
        noise: torch.Generator,
    ) -> None:
        super().__init__()
        last = options.hidden[-1]

        def encoder(width: int) -> nn.Sequential:
            sizes = (width, *options.hidden)
            layers = [
                FoldHidden(n_in, n_out, rngs, dropout=options.dropout, noise=noise)
                for n_in, n_out in zip(sizes, options.hidden, strict=False)
            ]
            return nn.Sequential(*layers)

        self.encoders = nn.ModuleList(encoder(width) for width in widths)
        self.attention = nn.Sequential(encoder(last * len(widths)), FoldLinear(last, len(widths), rngs))
        self.heads = nn.ModuleList(FoldLinear(last, n_labels or 1, rngs) for n_labels in heads.values())
        self.kinds = dict(heads)
        self.softmax = options.softmax

    def forward(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        encoded = torch.cat([encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True)], -1)
        weights = self.attention(encoded)
        if self.softmax:
            weights = weights.softmax(-1)
        fused = (encoded.unflatten(-1, (weights.shape[-1], -1)) * weights.unsqueeze(-1)).sum(-2)
        outputs = zip(self.kinds.items(), [head(fused) for head in self.heads], strict=True)
        return {name: output if n_labels else output.squeeze(-1) for (name, n_labels), output in outputs}


class Attention:
    """One network per fold, kept at its epoch with the best ranking value on the samples it was not trained on."""

    def __init__(self, options: Options, setup: Setup) -> None:
        self.options = options
        self.setup = setup
        self.device = setup.device

    def fit(self, train: TrainingSet) -> None:
        self.fit_folds(train)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        seed, track = self.setup.seed, train.track
        divisions = train.divisions(self.setup.n_folds, seed)
        heads = {name: len(t.classes) or None for name, t in track.targets.items()}
        features = self.slots(train.features)
        self.network = Network(
            [x.shape[1] for x in features],
            heads,
            self.options,
            [generator("cpu", seed, "initial", fold) for fold in range(len(divisions))],
            generator(self.device, seed, "dropout"),
        ).to(self.device)
        outputs, curve = train_folds(
            self.network,
            FoldData(
                features,
                {name: self.target(values) for name, values in train.targets.items()},
                {name: target.loss for name, target in track.targets.items()},
            ),
            divisions,
            Schedule(
                self.options.epochs,
                self.options.batch_size,
                self.options.learning_rate,
                self.options.weight_decay,
                seed,
            ),
            value=lambda rows, outputs: value(track, train, rows, outputs),
            progress=self.setup.progress,
        )
        return CrossFit(probabilities(outputs), curve, str(self.device))

    def predict(self, test: FeatureSet) -> Predictions:
        return probabilities(predict_folds(self.network, self.slots(test.features), self.setup.n_folds))

    def slots(self, features: Mapping[str, NDArray[np.float32]]) -> list[Tensor]:
        """Return one tensor per slot of the network, on the device."""
        tensors = [torch.from_numpy(np.ascontiguousarray(x)).to(self.device) for x in features.values()]
        return tensors * SLOTS if len(tensors) == 1 else tensors

    def target(self, values: NDArray[np.generic]) -> Tensor:
        """Return codes as int64, numbers and shares as float32, on the device."""
        kind = torch.int64 if values.dtype.kind == "i" else torch.float32
        return torch.tensor(values, dtype=kind, device=self.device)


def value(
    track: Track, train: TrainingSet, rows: NDArray[np.int64], outputs: Mapping[str, NDArray[np.float32]]
) -> tuple[float, ...]:
    """Return the track's ranking value of raw outputs for some rows of the training set."""
    reference = {name: values[rows] for name, values in train.targets.items()}
    groups = {name: values[rows] for name, values in train.groups.items()}
    predicted = probabilities(outputs)
    return ranking_value(track, reference, predicted.answers(track), groups, predicted.outputs)


def probabilities(outputs: Mapping[str, NDArray[np.float32]]) -> Predictions:
    """Return predictions from raw outputs: scores of labels through a softmax, numbers as they are."""
    chances = {}
    for name, output in outputs.items():
        exact = output.astype(np.float64)
        if exact.ndim == 2:
            exact = np.exp(exact - exact.max(1, keepdims=True))
            exact /= exact.sum(1, keepdims=True)
        chances[name] = exact
    return Predictions(chances)


def build(options: Options, setup: Setup) -> Attention:
    return Attention(options, setup)
