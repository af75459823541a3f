"""Networks that learn from unlabelled samples, too, around the network of another baseline, their base.

The base is trained as it always is, by its own schedule, with further losses of unlabelled samples; with weights of 0
it is the base, bit for bit. Instead of its last parameters, a running mean of those after all steps may answer.

Views of vectors are definitions of merbench, since the papers have some of images only. Features are standardised, so
that a deviation is 1 and a mean 0. A weak view has Gaussian noise. A strong one has more of it, some numbers are set to
0, and one of the modalities that a sample has, drawn at random, is missing, if it has several.

Conventions:
    As in `learner.py`, on vectors: … is F for a base of fold layers, and nothing for any other; B samples of a batch, K
    labels, n unlabelled samples in all. Losses are `(…)`, means over the real samples of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training.declaration import LoadedBaseline
from merbench.training.networks.around import AroundNetwork, network_base
from merbench.training.networks.batches import Batch
from merbench.training.networks.learner import Labels, Losses, Remembers
from merbench.training.networks.network import NetworkBaseline, Shape, probabilities
from merbench.training.protocol import CrossFit, Setup
from merbench.training.pseudo_labels import HIDDEN, KEPT, PseudoLabels, codes_of, of_kept
from merbench.training.samples import TrainingSet
from merbench.training.wrapping import BaseOptions

Noise = Annotated[float, Within(0)]
"""A deviation of noise, in those of the features, as an option of a baseline."""

Share = Annotated[float, Within(0, 1)]
"""A share, as an option of a baseline."""


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """The views of samples.

    Attributes:
        weak_noise: deviation of the noise of the weak view.
        strong_noise: deviation of the noise of the strong view.
        strong_dropout: share of the numbers of the strong view that are set to 0.
        drop_modality: whether the strong view lacks a modality, of samples that have several.
    """

    weak_noise: Noise
    strong_noise: Noise
    strong_dropout: Share
    drop_modality: bool


@dataclass(frozen=True, kw_only=True)
class SemiOptions(BaseOptions):
    """What is trained, and what unlabelled samples are to it.

    Attributes:
        base: name or folder of the baseline that is trained: a network of vectors.
        base_options: options of the base that differ from those it declares; it standardises features.
        weight: of the loss of unlabelled samples; with 0 the base is trained as it is.
        ratio: unlabelled samples for each labelled one of a full batch.
        warmup: share of the epochs in which the weight grows linearly from 0.
        average: largest weight of the past in the running mean of parameters that answers; 0: the last ones answer.
    """

    weight: Annotated[float, Within(0)]
    ratio: Annotated[int, Within(1)]
    warmup: Share
    average: Share

    @property
    def uses_unlabelled(self) -> bool:
        """Whether unlabelled samples are learned from."""
        return self.weight > 0


def weak_view(batch: Batch, noise: float) -> Batch:
    """Return samples with Gaussian noise of this deviation in the features that they have."""
    inputs = {
        name: x + noise * torch.randn_like(x) * batch.present[name][..., None] for name, x in batch.inputs.items()
    }
    return replace(batch, inputs=inputs, complete={})


def strong_view(batch: Batch, noise: float, dropout: float, modalities: Sequence[Sequence[str]]) -> Batch:
    """Return samples with noise, numbers set to 0, and, of those that have several modalities, without one of them.

    Args:
        batch: the samples.
        noise: deviation of the Gaussian noise.
        dropout: share of the numbers that are set to 0.
        modalities: the features of every modality, of which one may be left out; empty leaves out none.
    """
    view = weak_view(batch, noise)
    inputs = {name: x * (torch.rand_like(x) >= dropout) for name, x in view.inputs.items()}
    present = dict(view.present)
    if len(modalities) > 1:
        has = torch.stack([torch.stack([present[name] for name in names]).any(0) for names in modalities], -1)
        # a number in (0, 1] for each modality that a sample has: the largest one decides
        chosen = ((1 - torch.rand(has.shape, device=has.device)) * has).argmax(-1)
        for number, names in enumerate(modalities):
            left = (chosen != number) | (has.sum(-1) < 2)
            for name in names:
                inputs[name], present[name] = inputs[name] * left[..., None], present[name] & left
    return replace(view, inputs=inputs, present=present, complete={})


def two_views(batch: Batch, options: ViewOptions, modalities: Sequence[Sequence[str]]) -> tuple[Batch, Batch]:
    """Return the weak view of samples, and the strong one."""
    return (
        weak_view(batch, options.weak_noise),
        strong_view(batch, options.strong_noise, options.strong_dropout, modalities if options.drop_modality else ()),
    )


@dataclass(frozen=True, eq=False, slots=True)
class Mix:
    """Mixes of samples of a batch with each other (Zhang et al. 2018).

    Attributes:
        weight: of a sample in its mix, at least a half (Berthelot et al. 2019); its partner has the rest.
        partner: the place in the batch of every sample's partner, `(…, B)`.
    """

    weight: float
    partner: Tensor

    @classmethod
    def drawn(cls, chosen: Tensor, parameter: float) -> Mix:
        """Return mixes of the chosen samples in a random order; what the others are mixed with is arbitrary.

        Args:
            chosen: which are mixed, `(…, B)`.
            parameter: both of the Beta distribution that the weight is drawn from, or one minus it.
        """
        weight = float(torch.distributions.Beta(parameter, parameter).sample())
        here = (~chosen).byte().argsort(dim=-1, stable=True)  # the chosen ones first, here, and in a random order
        order = (torch.rand(chosen.shape, device=chosen.device) + ~chosen).argsort(-1)
        return cls(max(weight, 1 - weight), torch.empty_like(here).scatter_(-1, here, order))

    def of(self, x: Tensor) -> Tensor:
        """Return `(…, B, d)` values of the mixes."""
        return self.weight * x + (1 - self.weight) * x.gather(-2, self.partner[..., None].expand_as(x))

    def of_batch(self, batch: Batch) -> Batch:
        """Return the mixes as a batch; one has a feature if the sample or its partner has it."""
        inputs = {name: self.of(x) for name, x in batch.inputs.items()}
        present = {name: has | has.gather(-1, self.partner) for name, has in batch.present.items()}
        return replace(batch, inputs=inputs, present=present, complete={})


def features_by_modality(shape: Shape) -> list[list[str]]:
    """Return the features of every modality; one of which it is not known is a modality of its own."""
    modality_of = {name: shape.modalities.get(name, name) for name in shape.widths}
    modalities = dict.fromkeys(modality_of.values())
    return [[name for name, own in modality_of.items() if own == modality] for modality in modalities]


def mean_over(values: Tensor, real: Tensor) -> Tensor:
    """Return the mean of `(…, B)` values over the real samples: `(…)`; 0 without any."""
    return (values * real).sum(-1) / real.sum(-1).clamp_min(1)


def running_weight(average: float, step: int) -> float:
    """Return the weight of the past in the running mean after a step, from 1: that of a plain mean, until it is larger.

    As in the code of Tarvainen and Valpola (2017): with a fixed weight, the initial parameters would count for long.
    """
    return min(average, 1 - 1 / step)


@torch.no_grad()
def follow(mean: nn.Module, network: nn.Module, weight: float) -> None:
    """Make the parameters of a running mean `weight` times themselves and `1 - weight` times those of a network."""
    for own, new in zip(mean.parameters(), network.parameters(), strict=True):
        own.lerp_(new, 1 - weight)
    for buffer, now in zip(mean.buffers(), network.buffers(), strict=True):
        buffer.copy_(now)


class SemiSupervised(nn.Module):
    """The network of the base, with further losses of unlabelled samples.

    Subclasses define `losses`, and, where they keep only what they are sure of, `thresholds`.

    Args:
        base: the base.
        options: what unlabelled samples are to it.
        shape: what it is made for.
    """

    def __init__(self, base: NetworkBaseline, options: Any, shape: Shape) -> None:
        super().__init__()
        self.options, self.labels, self.n_epochs = options, shape.labels, base.schedule.epochs
        self.network = base.make(shape)
        if isinstance(self.network, Remembers):
            raise UsageError(
                "the base remembers the samples that it learns from, and has nothing to remember of others"
            )
        self.mean: nn.Module | None = None
        if options.average:
            self.mean = base.make(shape).requires_grad_(False)
            self.mean.load_state_dict(self.network.state_dict())
        self.modalities = features_by_modality(shape)

    def forward(self, batch: Batch) -> Any:
        """Return what the base does, and in training the losses of unlabelled samples."""
        if not self.training:
            return (self.network if self.mean is None else self.mean)(batch)
        returned = self.network(batch)
        if batch.unlabelled is None:
            return returned
        outputs, own = returned if isinstance(returned, tuple) else (returned, {})
        return outputs, {**own, **self.losses(batch.unlabelled, self.ramp(batch.epoch))}

    def losses(self, batch: Batch, ramp: float) -> Losses:
        """Return the weighted losses of unlabelled samples by name.

        Args:
            batch: the samples.
            ramp: what the weight is multiplied by in this epoch.
        """
        raise NotImplementedError

    def thresholds(self, name: str) -> Tensor | None:
        """Return above which confidence predictions are kept, `(…, K)` or `(K,)`; None where all count."""

    def remember_unlabelled(self, n: int, folds: Sequence[int]) -> None:
        """Make buffers of n samples, in a module called `remembered`, with leading dimensions `folds`."""

    def stepped(self, step: int) -> None:
        """Follow a step of the optimiser with the running mean."""
        if self.mean is not None:
            follow(self.mean, self.network, running_weight(self.options.average, step))

    def ramp(self, epoch: int) -> float:
        """Return which share of its weight the loss has in an epoch, from 1: 0 at first, 1 after the warm-up."""
        length = self.options.warmup * self.n_epochs
        return min(1.0, (epoch - 1) / length) if length else 1.0

    @staticmethod
    def answers(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs of a network, without losses of its own."""
        returned = network(batch)
        outputs: dict[str, Tensor] = returned[0] if isinstance(returned, tuple) else returned
        return {name: output.float() for name, output in outputs.items()}


class SemiSupervisedBaseline(AroundNetwork):
    """A network around that of a base, with its schedule; it shows what the network keeps, and how often that is right.

    Args:
        loaded: the base.
        base: what it built.
        kind: the class of the network.
        options: what unlabelled samples are to it.
        setup: as `build` was given it.
    """

    def __init__(
        self,
        loaded: LoadedBaseline,
        base: NetworkBaseline,
        kind: type[SemiSupervised],
        options: SemiOptions,
        setup: Setup,
    ) -> None:
        super().__init__(loaded, base, kind, options, setup)
        self.network_kind = kind
        self.unlabelled = options.ratio if options.uses_unlabelled else 0
        self.n_unlabelled = 0

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train as any network does, and add what it keeps of unlabelled and of validation samples.

        Raises:
            UsageError: the base does not answer the targets of the track; there are no unlabelled samples.
        """
        if not self.unlabelled:
            return super().fit_folds(train)
        self.n_unlabelled = 0 if train.unlabelled is None else len(train.unlabelled)
        result = super().fit_folds(train)
        learned = [len(division.learn) for division in train.divisions(self.setup.n_folds, self.setup.seed)]
        assert result.curve is not None
        n_seen = int(np.isfinite(result.curve.loss).sum(0) @ np.array(learned)) * (1 + self.unlabelled)
        predicted = self._pseudo_labels(train)
        shown, kept_nothing = self._kept(train, result, predicted)
        details = {"n_unlabelled": self.n_unlabelled, **({"diagnostics": shown} if shown else {})}
        notes = (*result.notes, *kept_nothing)
        return replace(result, details=details, notes=notes, sample_epochs=n_seen, pseudo_labels=predicted)

    def measured(self, labels: Labels) -> list[str]:
        """Return the names of the diagnostics of a track with these targets, with those that need hidden labels."""
        sure = self.network_kind.thresholds is not SemiSupervised.thresholds
        return [f"{what}.{name}" for name, n in labels.items() if n and sure for what in (*KEPT, *HIDDEN)]

    def _make_networks(self, *arguments: Any) -> list[torch.Generator]:
        noise = super()._make_networks(*arguments)
        folds = [self.n_folds] if self.together else []
        for network in self.networks if self.n_unlabelled else ():
            assert isinstance(network, SemiSupervised)
            network.remember_unlabelled(self.n_unlabelled, folds)
            network.to(self.device)
        return noise

    def _pseudo_labels(self, train: TrainingSet) -> dict[str, PseudoLabels]:
        """Return by target what the networks predict for unlabelled samples and are sure of; none where all count."""
        if self.network_kind.thresholds is SemiSupervised.thresholds or train.unlabelled is None:
            return {}
        outputs, predicted = [probabilities(own).outputs for own in self.outputs(train.unlabelled)], {}
        for name in (name for name, n in self.labels.items() if n):
            kept = [above(own[name], self._thresholds(fold, name)) for fold, own in enumerate(outputs)]
            predicted[name] = PseudoLabels(np.stack([own[name].argmax(1) for own in outputs]), np.stack(kept))
        return predicted

    def _kept(
        self, train: TrainingSet, result: CrossFit, predicted: Mapping[str, PseudoLabels]
    ) -> tuple[dict[str, list[float | None]], list[str]]:
        """Return the values of `KEPT` by name and fold, and notes about folds that keep nothing."""
        shown: dict[str, list[float | None]] = {}
        divisions = train.divisions(self.setup.n_folds, self.setup.seed)
        every = np.sort(np.concatenate([division.validate for division in divisions]))
        for fold, division in enumerate(divisions):
            rows = np.searchsorted(every, division.validate)
            for name, own in predicted.items():
                outputs = result.out_of_fold.outputs[name][rows]
                right = outputs.argmax(1) == codes_of(train.targets[name][division.validate])
                _, *accuracies = of_kept(right, above(outputs, self._thresholds(fold, name)))
                for what, value in zip(KEPT, (float(own.kept[fold].mean()), *accuracies), strict=True):
                    shown.setdefault(f"{what}.{name}", []).append(value)
        folds = [fold.any() for own in predicted.values() for fold in own.kept]
        if all(folds):
            return shown, []
        return shown, [
            f"in {len(folds) - sum(folds)} of {len(folds)} folds the network is sure of no unlabelled sample"
        ]

    def _thresholds(self, fold: int, name: str) -> NDArray[np.float64]:
        network = self.networks[0 if self.together else fold]
        assert isinstance(network, SemiSupervised)
        limits = network.thresholds(name)
        assert limits is not None
        own = limits[fold] if limits.ndim == 2 else limits
        return np.asarray(own.cpu().numpy(), dtype=np.float64)


def above(outputs: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which `(n, K)` probabilities have a largest one of at least the threshold of its label, `(K,)`."""
    return np.asarray(outputs.max(1) >= thresholds[outputs.argmax(1)])


def semi_supervised(
    kind: type[SemiSupervised], options: SemiOptions, setup: Setup, name: str
) -> SemiSupervisedBaseline:
    """Return a semi-supervised baseline around the base that its options name.

    Args:
        kind: the class of the network.
        options: which base, with which options; the network is given them.
        setup: as `build` was given it.
        name: of the baseline.

    Raises:
        UnknownName: there is no such base.
        UsageError: it cannot be the base; those that can are listed.
        DeclarationError: an option of the base is not allowed.
    """
    loaded, base = network_base(options, setup, name, standardised="what is done to unlabelled samples")
    return SemiSupervisedBaseline(loaded, base, kind, options, setup)
