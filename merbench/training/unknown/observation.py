"""What a network computes of samples besides its answers: the features before its last layer, and that layer.

The last layer of a target is the linear one whose output is what the network returns for it, wherever it is in the
network. So nothing has to be known of a network, and one that returns something else has no last layer.

Conventions:
    As in `learner.py` and `detectors.py`; one target, of labels. A pass is one of all samples through one fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import FoldLinear
from merbench.training.networks.learner import array
from merbench.training.networks.network import WATCHING, NetworkBaseline
from merbench.training.protocol import Baseline
from merbench.training.samples import FeatureSet
from merbench.training.unknown.detectors import Floats, Layer, NoLastLayer

FEATURES, LOGITS = "features", "logits"

TOLERANCE = 1e-3
"""How far logits may be from the product of features and last layer, relative to the largest one."""


@dataclass(frozen=True, eq=False)
class Observed:
    """What the network of one fold computes of samples.

    Attributes:
        features: before the last layer, `(n, d)`.
        logits: what it returns, `(n, K)`.
        layer: the last layer.
        forward: forward passes, counted.
        backward: backward passes, counted.
    """

    features: Floats
    logits: Floats
    layer: Layer
    forward: float
    backward: float


class Probe(nn.Module):
    """A network that returns the logits of a target and the features before its last layer, and counts its passes.

    Args:
        network: the network.
        target: a target of labels.
        epsilon: how far inputs are moved first, towards a larger softmax probability of the most probable label; 0:
            they are not. Zeros of what is missing, or padding, stay.
        temperature: of that probability.
    """

    def __init__(self, network: nn.Module, target: str, epsilon: float = 0.0, temperature: float = 1.0) -> None:
        super().__init__()
        self.network, self.target, self.epsilon, self.temperature = network, target, epsilon, temperature
        self.layer: nn.Linear | FoldLinear | None = None
        self.forward_passes = self.backward_passes = 0  # of samples

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return `(…, d)` features and `(…, K)` logits."""
        if self.epsilon:
            batch = self._moved(batch)
        calls = list[tuple[nn.Module, Tensor, Tensor]]()
        linear = [module for module in self.network.modules() if isinstance(module, nn.Linear | FoldLinear)]
        hooks = [
            module.register_forward_hook(lambda own, given, output: calls.append((own, given[0], output)))
            for module in linear
        ]
        try:
            logits = self._logits(batch)
        finally:
            for hook in hooks:
                hook.remove()
        last = [(module, given) for module, given, output in calls if output is logits]
        if not last:
            raise NoLastLayer("what its network returns is not the output of a linear layer")
        self.layer, features = last[-1]  # type: ignore[assignment]
        return {FEATURES: features, LOGITS: logits}

    def _logits(self, batch: Batch) -> Tensor:
        returned = self.network(batch)
        outputs: dict[str, Tensor] = returned[0] if isinstance(returned, tuple) else returned
        self.forward_passes += int(batch.real.sum())
        return outputs[self.target]

    def _moved(self, batch: Batch) -> Batch:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            inputs = {name: x.detach().clone().requires_grad_() for name, x in batch.inputs.items()}
            logits = self._logits(replace(batch, inputs=inputs, complete={}))
            logits.register_hook(lambda _: self._count(batch))
            largest = (logits.float() / self.temperature).log_softmax(-1).amax(-1)[batch.real].sum()
            gradients: Sequence[Tensor | None] = torch.autograd.grad(largest, list(inputs.values()), allow_unused=True)
        moved = dict[str, Tensor]()
        for (name, x), gradient in zip(batch.inputs.items(), gradients, strict=True):
            step = torch.zeros_like(x) if gradient is None else gradient.sign()
            moved[name] = x + self.epsilon * step * (x != 0).any(-1, keepdim=True)
        return replace(batch, inputs=moved, complete={})

    def _count(self, batch: Batch) -> None:
        self.backward_passes += int(batch.real.sum())

    def layers(self, n_folds: int) -> list[Layer]:
        """Return the last layer of every fold."""
        layer = self.layer
        assert layer is not None
        if isinstance(layer, FoldLinear):
            weights, biases = array(layer.weight), array(layer.bias)
            return [Layer(weights[fold].T, biases[fold, 0]) for fold in range(n_folds)]
        given: Tensor | None = layer.bias
        bias = np.zeros(layer.out_features, np.float32) if given is None else array(given)
        return [Layer(array(layer.weight), bias)]


@contextmanager
def watched(watch: Callable[[NetworkBaseline, FeatureSet], None]) -> Iterator[None]:
    """Call a function with every network that predicts in a block, and what it is given."""
    token = WATCHING.set(watch)
    try:
        yield
    finally:
        WATCHING.reset(token)


def observed(
    baseline: Baseline, samples: FeatureSet, target: str, epsilon: float = 0.0, temperature: float = 1.0
) -> list[Observed]:
    """Return what the network of every fold computes of samples, in the order of the divisions.

    Whatever the baseline is, those networks are observed that it predicts with, on what it gives them.

    Args:
        baseline: a fitted or restored baseline.
        samples: n samples.
        target: a target of labels.
        epsilon: see `Probe`.
        temperature: see `Probe`.

    Raises:
        NoLastLayer: it does not predict all samples with networks that have a last linear layer.
    """
    given = list[tuple[NetworkBaseline, FeatureSet]]()
    with watched(lambda network, own: given.append((network, own))):
        baseline.predict(samples)
    if not given:
        raise NoLastLayer("it is not a network")
    if any(len(own) != len(samples) for _, own in given):
        raise NoLastLayer("its networks answer some of the samples each")
    return [each for network, own in given for each in _of_folds(network, own, target, epsilon, temperature)]


def _of_folds(
    baseline: NetworkBaseline, samples: FeatureSet, target: str, epsilon: float, temperature: float
) -> Iterator[Observed]:
    probes = list[Probe]()

    def probe(network: nn.Module) -> nn.Module:
        probes.append(Probe(network, target, epsilon, temperature))
        return probes[-1]

    outputs = iter(baseline.outputs(samples, probe))
    n_folds = baseline.n_folds if baseline.together else 1
    for each in probes:
        # A batch of fold layers has the samples of every fold.
        passes = [count / max(1, n_folds * len(samples)) for count in (each.forward_passes, each.backward_passes)]
        for layer in each.layers(n_folds):
            own: dict[str, Any] = next(outputs)
            product = layer.logits(own[FEATURES])
            if np.abs(product - own[LOGITS]).max(initial=0) > TOLERANCE * (1 + np.abs(own[LOGITS]).max(initial=0)):
                raise NoLastLayer("what its network returns is not the product of a linear layer")
            yield Observed(own[FEATURES], own[LOGITS], layer, *passes)
