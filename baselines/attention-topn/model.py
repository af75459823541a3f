"""Attention over the best features of each modality: the baseline of MER 2024 (arXiv:2404.17113).

Features are ranked by the cross-validated value of attention over each alone. The best of each modality are encoded,
and their sum is weighted by attention, as in MERBench (arXiv:2401.03429): one network of all.

Conventions:
    As in `merbench.training.networks.layers`: all tensors have a leading fold dimension F.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.track import Track
from merbench.training import CrossFit, FeatureSet, Predictions, Setup, TrainingSet
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, FoldEncoder, FoldLinear, Heads, Width, slots
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.protocol import NO_LOG, Progress
from merbench.training.selection import ranking_signs, validated_value


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        n_best: how many features of each modality are fused, the best ones.
        hidden: width h of every layer.
        dropout: share of the input of every encoder that is dropped in training.
        standardise: whether features are standardised by what each fold learns from (MERBench: not).
    """

    n_best: Annotated[int, Within(1, 6)]
    hidden: Width
    dropout: Dropout
    standardise: bool


class Network(nn.Module):
    """Vectors `(F, B, d)` of any number of features to one output per target: `(F, B, K)` scores or `(F, B)` numbers.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        h, rngs, widths = options.hidden, shape.rngs, slots(list(shape.widths.values()))

        def encoder(width: int) -> FoldEncoder:
            return FoldEncoder(width, h, options.dropout, rngs, shape.noise)

        self.encoders = nn.ModuleList(encoder(width) for width in widths)
        self.attention = nn.Sequential(encoder(h * len(widths)), FoldLinear(h, len(widths), rngs))
        self.heads = Heads(h, shape.labels, lambda n_in, n_out: FoldLinear(n_in, n_out, rngs))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch."""
        inputs = slots(list(batch.inputs.values()))
        encoded = [encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True)]
        weights = self.attention(torch.cat(encoded, -1))  # without softmax, as in the released code
        outputs: dict[str, Tensor] = self.heads((torch.stack(encoded, -2) * weights.unsqueeze(-1)).sum(-2))
        return outputs


class TopN:
    """The features in the order of what each does alone, and one network per fold of the best of each modality.

    A feature is ranked by the ranking value of the track in cross-validation, with the samples and folds that the
    network of the best ones learns from; samples that are predicted are not used.
    """

    def __init__(self, options: Options, setup: Setup) -> None:
        self.options, self.setup = options, setup
        self.best: list[str] = []
        self.fusion = self.network(setup)

    def network(self, setup: Setup) -> NetworkBaseline:
        """Return the network that a feature is ranked by, and that the best are fused by."""
        own = self.options
        return NetworkBaseline(partial(Network, own), own, setup, together=True, standardise=own.standardise)

    def fit(self, train: TrainingSet) -> None:
        self.fit_folds(train)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        names = list(train.samples.sequences)
        ranked = names if len(names) > 1 else []
        n_learned = [len(division.learn) for division in train.divisions(self.setup.n_folds, self.setup.seed)]
        n_seen, values = 0, dict[str, tuple[float, ...]]()
        for n, name in enumerate(ranked):
            # Corruptions are left out: where the only modality is missing, nothing would be left to rank.
            alone = replace(train, samples=only(train.samples, [name]), corruption=None)
            setup = replace(self.setup.part(f"ranking-{n}"), progress=self.progress(n, len(ranked)), log=NO_LOG)
            result = self.network(setup).fit_folds(alone)
            values[name], n_seen = validated_value(alone, result.out_of_fold), n_seen + seen(result, n_learned)
        ranking = by_modality(train, values)
        best = {name for own in ranking.values() for name in list(own)[: self.options.n_best]} or names
        self.best = [name for name in names if name in best]
        setup = replace(self.setup.part("fusion"), progress=self.progress(len(ranked), len(ranked)))
        self.fusion = self.network(setup)
        result = self.fusion.fit_folds(replace(train, samples=only(train.samples, self.best)))
        details = {**result.details, "ranking": ranking, "fused": self.best}
        return replace(result, details=details, sample_epochs=n_seen + seen(result, n_learned))

    def progress(self, n: int, n_ranked: int) -> Progress:
        """Return what follows training n, from 0, of one for every feature that is ranked and one of the best."""
        return lambda done, total: self.setup.progress(n * total + done, (n_ranked + 1) * total)

    def predict(self, test: FeatureSet) -> Predictions:
        return self.fusion.predict(only(test, self.best))

    def weights(self) -> dict[str, NDArray[Any]]:
        return {"fused": np.array(self.best), **self.fusion.weights()}

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        best = [str(name) for name in weights["fused"]] if "fused" in weights else []
        if not best or len(set(best)) < len(best) or not set(best) <= set(widths):
            raise UsageError("the weights do not name features that are fused, each once, of those given")
        self.best, own = best, {name: values for name, values in weights.items() if name != "fused"}
        self.fusion.restore(own, track, {name: widths[name] for name in best})


def only(samples: FeatureSet, names: Sequence[str]) -> FeatureSet:
    """Return the samples with some of their features."""
    return replace(samples, sequences={name: samples.sequences[name] for name in names})


def by_modality(train: TrainingSet, values: Mapping[str, tuple[float, ...]]) -> dict[str, dict[str, float | None]]:
    """Return by modality its features, the best first, with the value of the metric that the track ranks by first.

    Of equally good features the first given is better. Features of unknown modality are ranked together.
    """
    sign, ranking = ranking_signs(train.track)[0][1], dict[str, dict[str, float | None]]()
    for name in sorted(values, key=values.__getitem__, reverse=True):
        own = ranking.setdefault(train.samples.modalities.get(name, "unknown"), {})
        own[name] = sign * values[name][0] if np.isfinite(values[name][0]) else None
    return ranking


def seen(result: CrossFit, n_learned: Sequence[int]) -> int:
    """Return how many samples a training was given, times epochs, over the folds of these sizes."""
    assert result.curve is not None
    n_epochs = (~np.isnan(result.curve.loss)).sum(0)
    return int(n_epochs @ np.asarray(n_learned))


def build(options: Options, setup: Setup) -> TopN:
    return TopN(options, setup)
