"""Cross partial multi-view networks (CPM-Net, Zhang et al. 2019): a latent vector for every sample, whatever it lacks.

Nothing maps features to a latent vector: it is what the features that a sample has are best reconstructed from, by a
linear map for each feature. Latent vectors of training samples are also moved towards those of their class, and away
from those of others; those of new samples are fitted only to their features, and the prediction is the class whose
training samples have the largest mean inner product with it.

Conventions:
    n samples, l numbers of a latent vector, d numbers of a feature, K labels of a target. Features are standardised; a
    missing feature is in no sum. Training sees all samples in every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.devices import deterministic
from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.track import Track
from merbench.training import FeatureSet, Predictions, Setup, TrainingSet
from merbench.training.missing import Draws
from merbench.training.networks.batches import Batch, Data, DrawnCorruption
from merbench.training.networks.layers import Width, generator
from merbench.training.networks.network import probabilities
from merbench.training.networks.optimisation import Rate
from merbench.training.networks.scaling import Scaling, tensors_under

Count = Annotated[int, Within(1)]


@dataclass(frozen=True)
class Options:
    """The latent space, and how long and how fast it is fitted.

    Attributes:
        latent: numbers l of a latent vector.
        separation: weight of the loss of classes.
        epochs: how often maps and latent vectors are fitted in turn.
        answer_epochs: the same for latent vectors of samples to be predicted.
        steps: steps of an epoch, of the maps and of the latent vectors each.
        map_rate: learning rate of the maps, and of latent vectors of samples to be predicted.
        latent_rate: learning rate of latent vectors of training samples.
    """

    latent: Width
    separation: Annotated[float, Within(0)]
    epochs: Count
    answer_epochs: Count
    steps: Count
    map_rate: Rate
    latent_rate: Rate


class Maps(nn.Module):
    """A linear map for each feature, from latent vectors `(n, l)`: `d l + d` parameters, weights by Xavier's rule."""

    def __init__(self, n_latent: int, widths: Mapping[str, int], rng: torch.Generator) -> None:
        super().__init__()
        layers = [nn.Linear(n_latent, width) for width in widths.values()]
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight, generator=rng)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)

    def error(self, latents: Tensor, batch: Batch) -> Tensor:
        """Return the sum of the squared errors of all numbers of the features that samples have."""
        pairs = zip(self.layers, batch.inputs.items(), strict=True)
        return sum_of(((layer(latents) - x).square().sum(1) * batch.present[name]).sum() for layer, (name, x) in pairs)

    @torch.no_grad()
    def fitted(self, batch: Batch, n_steps: int, rate: float) -> Tensor:
        """Return the latent vectors that reconstruct the features best, by so many steps of Adam from zero.

        The error is a quadratic form of a latent vector h: its gradient is 2 Σ (h G - r), with G = W Wᵀ and
        r = (x - b) Wᵀ of each feature that is present, where W is `(l, d)`. So no step depends on d.
        """
        present = [batch.present[name][:, None].float() for name in batch.inputs]
        layers = [cast(nn.Linear, layer) for layer in self.layers]
        squares = [layer.weight.T @ layer.weight for layer in layers]
        pairs = zip(layers, batch.inputs.values(), present, strict=True)
        wanted = sum_of(((x - layer.bias) @ layer.weight) * has for layer, x, has in pairs)
        latents = torch.zeros_like(wanted, requires_grad=True)
        optimiser = torch.optim.Adam([latents], lr=rate)
        for _ in range(n_steps):
            products = (latents @ square * has for square, has in zip(squares, present, strict=True))
            latents.grad = 2 * (sum_of(products) - wanted)
            optimiser.step()
        return latents.detach()


def similarities(latents: Tensor, members: Tensor) -> Tensor:
    """Return the mean inner product of each sample with the other samples of every class.

    Args:
        latents: `(n, l)`.
        members: `(n, K)`, 1 where a sample is of a class.

    Returns:
        `(n, K)`; 0 for a class without other samples, and minus infinity for one without any.
    """
    products = latents @ (members.T @ latents).T - members * latents.square().sum(1, keepdim=True)
    counts = members.sum(0)
    return (products / (counts - members).clamp_min(1)).masked_fill(counts == 0, -torch.inf)


def class_loss(latents: Tensor, members: Tensor) -> Tensor:
    """Return the sum over the samples of how much closer the closest class is than their own, and 1 if it is another.

    Of a sample of class y that is closest to class c this is max(0, [c ≠ y] + F_c - F_y), F as `similarities` has it.
    """
    similar = similarities(latents, members)
    closest, of_closest = similar.max(1)
    own = similar.gather(1, members.argmax(1, keepdim=True)).squeeze(1)
    return ((of_closest != members.argmax(1)).float() + closest - own).relu().sum()


def sum_of(tensors: Any) -> Tensor:
    """Return the sum of tensors of one shape."""
    return torch.stack(list(tensors)).sum(0)


class CpmNet:
    """The maps, and the mean latent vector of every class, with which new samples are compared."""

    def __init__(self, options: Options, setup: Setup) -> None:
        self.options, self.setup, self.device = options, setup, setup.device

    def fit(self, train: TrainingSet) -> None:
        options, setup, n = self.options, self.setup, len(train)
        rng = generator("cpu", setup.seed, "initial")
        data = Data(train.samples, device=self.device, targets=train.targets)
        if train.corruption is not None:  # a latent vector is of one sample with one gap, so gaps are drawn once
            data = data.corrupted(DrawnCorruption(Draws(train.corruption, train.samples, setup.seed)))
        self.scaling = Scaling.of(train.samples, "vectors", [np.arange(n)]).each(lambda part: part[0].to(self.device))
        self.maps = Maps(options.latent, train.samples.widths, rng).to(self.device)
        members = {
            name: nn.functional.one_hot(data.targets[name], len(target.classes)).float()
            for name, target in train.track.targets.items()
        }
        with deterministic(self.device):
            batch = data.batch(torch.arange(n, device=self.device), self.scaling, epoch=1)
            latents = nn.init.xavier_uniform_(torch.empty(n, options.latent), generator=rng)
            latents = latents.to(self.device).requires_grad_()
            of_maps = torch.optim.Adam(self.maps.parameters(), lr=options.map_rate)
            of_latents = torch.optim.Adam([latents], lr=options.latent_rate)
            for epoch in range(1, options.epochs + 1):
                for _ in range(options.steps):
                    stepped(of_maps, self.maps.error(latents.detach(), batch))
                for _ in range(options.steps):
                    error = self.maps.error(latents, batch)
                    classes = sum_of(class_loss(latents, each) for each in members.values())
                    loss = stepped(of_latents, error + options.separation * classes)
                setup.log.epoch(epoch, {"loss": np.array([loss / n])})
                setup.progress(epoch, options.epochs)
        own = latents.detach()
        self.centres = {name: (each.T @ own) / each.sum(0)[:, None] for name, each in members.items()}

    def predict(self, test: FeatureSet) -> Predictions:
        options = self.options
        with deterministic(self.device):
            batch = Data(test, device=self.device).batch(torch.arange(len(test), device=self.device), self.scaling)
            latents = self.maps.fitted(batch, options.answer_epochs * options.steps, options.map_rate)
            similar = {name: (latents @ centres.T).nan_to_num(-torch.inf) for name, centres in self.centres.items()}
        return probabilities({name: each.cpu().numpy() for name, each in similar.items()})

    def weights(self) -> dict[str, NDArray[Any]]:
        parts = {f"maps.{name}": each for name, each in self.maps.state_dict().items()}
        parts |= {f"centres.{name}": each for name, each in self.centres.items()}
        parts |= self.scaling.stored()
        return {name: each.cpu().numpy() for name, each in parts.items()}

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        n = self.options.latent
        self.maps = Maps(n, widths, generator("cpu", 0)).to(self.device)
        empty = {name: torch.empty(width) for name, width in widths.items()}
        self.scaling = Scaling(empty, empty)
        self.centres = {name: torch.empty(len(target.classes), n) for name, target in track.targets.items()}
        wanted = {name: (part.shape, part.dtype) for name, part in self.weights().items()}
        if wanted != {name: (part.shape, part.dtype) for name, part in weights.items()}:
            raise UsageError("the weights are those of other options, features or labels")
        part = partial(tensors_under, weights=weights, device=self.device)
        self.maps.load_state_dict(part("maps"))
        self.scaling, self.centres = Scaling(part("mean"), part("deviation")), part("centres")


def stepped(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    """Take a step down a loss, and return the loss."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def build(options: Options, setup: Setup) -> CpmNet:
    return CpmNet(options, setup)
