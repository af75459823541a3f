"""Deep canonical correlation analysis (DCCA, Andrew et al. 2013), and its autoencoders (DCCAE, Wang et al. 2015).

A network for each feature maps it to a few components, so that those of every two features are correlated. A linear
model reads the components of all features. With `reconstruction`, a second network maps the components of each feature
back to it.

Conventions:
    n samples, B of a batch, d numbers of a feature, c components. Features are standardised; a missing feature is its
    mean. The networks do not use references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from merbench.devices import deterministic
from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.track import Track
from merbench.training import FeatureSet, Predictions, Setup, TrainingSet
from merbench.training.networks.batches import Data
from merbench.training.networks.layers import BatchNorm, Width, generator, seed_of
from merbench.training.networks.network import probabilities
from merbench.training.networks.optimisation import Rate
from merbench.training.networks.scaling import Scaling, tensors_under

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """The networks, how they are trained, and the linear model.

    Attributes:
        hidden: width of hidden layers.
        layers: hidden layers, each with batch normalisation and ReLU; without any, components are linear.
        components: numbers c that a feature is mapped to.
        ridge: added to the variances of components.
        reconstruction: weight of the squared error of features that are mapped back (DCCAE); 0 is DCCA.
        epochs: how often every sample is seen.
        batch_size: samples of a batch, at least; correlations are those of a batch.
        learning_rate: of Adam.
        weight_decay: of Adam, added to the gradient.
        C: inverse strength of the penalty of the support vector machine for labels.
        alpha: strength of the penalty of ridge regression for numbers.
    """

    hidden: Width
    layers: Annotated[int, Within(0, 64)]
    components: Width
    ridge: Annotated[float, Within(1e-12)]
    reconstruction: Annotated[float, Within(0)]
    epochs: Annotated[int, Within(1)]
    batch_size: Annotated[int, Within(2)]
    learning_rate: Rate
    weight_decay: Annotated[float, Within(0)]
    C: Annotated[float, Within(1e-12, 1e12)]
    alpha: Annotated[float, Within(0)]


def network(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers of these widths, with batch normalisation and ReLU after all but the last."""
    layers = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), BatchNorm(pair[1]), nn.ReLU())]
    return nn.Sequential(*layers[:-2])


class Views(nn.Module):
    """An encoder for each feature, and with `reconstruction` a decoder, of its own widths."""

    def __init__(self, options: Options, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.options, hidden = options, [options.hidden] * options.layers
        ways = [(width, *hidden, options.components) for width in widths.values()]
        self.encoders = nn.ModuleList(network(way) for way in ways)
        self.decoders = nn.ModuleList(network(way[::-1]) for way in ways if options.reconstruction)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the components `(n, c)` of every feature."""
        return [encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True)]

    def loss(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return minus the correlations of every two features, and the weighted errors of those mapped back."""
        views = self(inputs)
        loss = -torch.stack([correlation(a, b, self.options.ridge) for a, b in combinations(views, 2)]).sum()
        for decoder, view, x in zip(self.decoders, views, inputs, strict=False):
            loss = loss + self.options.reconstruction * nn.functional.mse_loss(decoder(view), x)
        return loss


def correlation(a: Tensor, b: Tensor, ridge: float) -> Tensor:
    """Return the sum of the canonical correlations of two views, `(B, c)` each: at most c, and 0 of a single row.

    It is the trace norm of S_aa^(-1/2) S_ab S_bb^(-1/2), S the covariances with B - 1 in the denominator and the ridge
    on both diagonals. Here the roots are those of Cholesky, which differ by a rotation: singular values are the same,
    and, unlike those of eigenvectors, gradients are finite where variances are equal, as those of constant rows are.
    """
    a, b = (x - x.mean(0) for x in (a, b))
    n, eye = max(1, len(a) - 1), ridge * torch.eye(a.shape[1], device=a.device, dtype=a.dtype)
    roots = [torch.linalg.cholesky(x.T @ x / n + eye) for x in (a, b)]
    left = torch.linalg.solve_triangular(roots[0], a.T @ b / n, upper=False)
    whitened = torch.linalg.solve_triangular(roots[1], left.T, upper=False)
    total: Tensor = torch.linalg.svdvals(whitened).sum()
    return total


class Dcca:
    """The networks, and a linear model for each target on the components of all features."""

    def __init__(self, options: Options, setup: Setup) -> None:
        self.options, self.setup, self.device = options, setup, setup.device

    def fit(self, train: TrainingSet) -> None:
        self.track, n, widths = train.track, len(train), train.samples.widths
        self.scaling = Scaling.of(train.samples, "vectors", [np.arange(n)]).each(lambda part: part[0].to(self.device))
        with torch.random.fork_rng([]):
            torch.manual_seed(seed_of(self.setup.seed, "initial"))
            self.views = Views(self.options, widths).to(self.device)
        inputs = self.inputs(train.samples)
        with deterministic(self.device):
            self.correlate(inputs, n)
        x = self.components(inputs)
        self.models = {name: fitted(self.model(name), x, train.targets[name]) for name in train.track.targets}

    def correlate(self, inputs: Sequence[Tensor], n: int) -> None:
        """Train the networks."""
        options, setup, rng = self.options, self.setup, generator("cpu", self.setup.seed, "shuffle")
        optimiser = torch.optim.Adam(self.views.parameters(), options.learning_rate, weight_decay=options.weight_decay)
        self.views.train()
        for epoch in range(1, options.epochs + 1):
            losses = []
            # No batch is smaller than the others by more than one sample: of few samples, correlations are arbitrary.
            for rows in torch.randperm(n, generator=rng).to(self.device).tensor_split(max(1, n // options.batch_size)):
                optimiser.zero_grad()
                loss = self.views.loss([x[rows] for x in inputs])
                loss.backward()
                optimiser.step()
                losses.append(float(loss.detach()))
            setup.log.epoch(epoch, {"loss": np.array([np.mean(losses)])})
            setup.progress(epoch, options.epochs)

    def inputs(self, samples: FeatureSet) -> list[Tensor]:
        """Return the standardised features, `(n, d)` each, zeros where a sample lacks one."""
        every = torch.arange(len(samples), device=self.device)
        return list(Data(samples, device=self.device).batch(every, self.scaling).inputs.values())

    @torch.no_grad()
    def components(self, inputs: Sequence[Tensor]) -> Array:
        """Return the components of all features, `(n, M c)`."""
        joined: Array = torch.cat(self.views.eval()(inputs), 1).cpu().numpy().astype(np.float64)
        return joined

    def model(self, target: str) -> Any:
        """Return the untrained linear model of a target."""
        if self.track.targets[target].classes:
            return LinearSVC(C=self.options.C, dual=False)
        return Ridge(alpha=self.options.alpha)

    def predict(self, test: FeatureSet) -> Predictions:
        x, outputs = self.components(self.inputs(test)), dict[str, NDArray[np.float32]]()
        for name, model in self.models.items():
            labels = self.track.targets[name].classes
            outputs[name] = np.asarray(scores(model, x, len(labels)) if labels else model.predict(x), np.float32)
        return probabilities(outputs)

    def weights(self) -> dict[str, NDArray[Any]]:
        parts = {f"views.{name}": each for name, each in self.views.state_dict().items()}
        parts |= self.scaling.stored()
        arrays = {name: each.cpu().numpy() for name, each in parts.items()}
        for name, model in self.models.items():
            arrays |= {f"targets.{name}.{part}": np.asarray(getattr(model, part)) for part in self.parts(name)}
        return arrays

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        self.track, n = track, len(widths) * self.options.components
        self.views = Views(self.options, widths).to(self.device)
        wanted = {f"views.{name}": tuple(each.shape) for name, each in self.views.state_dict().items()}
        wanted |= {f"{part}.{name}": (width,) for part in ("mean", "deviation") for name, width in widths.items()}
        others = [name for name, shape in wanted.items() if name not in weights or weights[name].shape != shape]
        if others:
            raise UsageError(f"the weights are those of other options or features: {', '.join(others[:5])}")
        part = partial(tensors_under, weights=weights, device=self.device)
        self.views.load_state_dict(part("views"))
        self.scaling = Scaling(part("mean"), part("deviation"))
        self.models = {name: self.model(name) for name in track.targets}
        for name, model in self.models.items():
            for own in self.parts(name):
                setattr(model, own, weights[f"targets.{name}.{own}"])
            if model.coef_.shape[-1] != n:
                raise UsageError(f"the weights of target '{name}' are those of other components")

    def parts(self, target: str) -> tuple[str, ...]:
        """Return the attributes that a trained linear model of a target predicts with."""
        return ("coef_", "intercept_", "classes_") if self.track.targets[target].classes else ("coef_", "intercept_")


def fitted(model: Any, x: Array, values: NDArray[Any]) -> Any:
    """Return a linear model that learned from rows; shares of labels count as so many samples of each label."""
    if isinstance(model, Ridge):
        return model.fit(x, values)
    rows, codes = np.nonzero(values) if values.ndim == 2 else (np.arange(len(x)), values)
    if len(labels := np.unique(codes)) == 1:  # which scikit-learn refuses
        model.coef_, model.intercept_, model.classes_ = np.zeros((1, x.shape[1])), np.zeros(1), labels
        return model
    return model.fit(x[rows], codes, sample_weight=values[rows, codes] if values.ndim == 2 else None)


def scores(model: Any, x: Array, n_labels: int) -> Array:
    """Return how far rows are on a label's side of its hyperplane, `(n, K)`; minus infinity for labels not learned."""
    table = np.full((len(x), n_labels), -np.inf)
    if len(model.classes_) == 1:
        table[:, model.classes_] = 0.0
        return table
    distances = model.decision_function(x)
    table[:, model.classes_] = distances if distances.ndim == 2 else np.column_stack([-distances, distances]) / 2
    return table


def build(options: Options, setup: Setup) -> Dcca:
    return Dcca(options, setup)
