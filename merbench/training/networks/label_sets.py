"""Losses of sets of labels of which one is right, of noisy labels and of long tails, around the network of a baseline.

A set of one label is a label: `cc`, `rc`, `proden`, and without a prior `adjusted` are then its cross-entropy. What the
losses weigh the labels of a set by are the confidences of a sample, which are 0 outside the set and sum to 1. They are
buffers of the network, by sample, begin as equal shares, and are renewed when the sample is seen.

Conventions:
    As in `learner.py`, on vectors: … is F for a base of fold layers, and nothing for any other; B samples of a batch, K
    labels, n samples in all. Scores z and confidences q are `(…, B, K)`, sets `(…, B, K)` bool, p = softmax(z). A loss
    of sets is `(…, B)`. A sample without a set, such as padding, is treated as if all labels were in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training.history import Epochs
from merbench.training.networks.around import AroundNetwork
from merbench.training.networks.batches import Batch, Data
from merbench.training.networks.learner import Labels, Outputs, Remembers
from merbench.training.networks.losses import NO_LOSS
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.semi_supervised import mean_over
from merbench.training.protocol import CrossFit
from merbench.training.samples import TrainingSet
from merbench.training.sequences import Rows


def _some(sets: Tensor) -> Tensor:
    return sets | ~sets.any(-1, keepdim=True)


def confidences(scores: Tensor, sets: Tensor) -> Tensor:
    """Return q ∝ p within the sets, without a gradient."""
    return scores.detach().masked_fill(~_some(sets), -torch.inf).softmax(-1)


def shared(sets: Tensor) -> Tensor:
    """Return confidences that are the same for all labels of a set; 0 where a set is empty."""
    return sets / sets.sum(-1, keepdim=True).clamp_min(1)


def cc_loss(scores: Tensor, sets: Tensor) -> Tensor:
    """Return -log Σ p over the set (Jin and Ghahramani 2002; Feng et al. 2020); a set of all labels has no gradient."""
    own = -scores.log_softmax(-1).masked_fill(~_some(sets), -torch.inf).logsumexp(-1)
    return own.where(~_some(sets).all(-1), 0)


def weighted_cross_entropy(scores: Tensor, q: Tensor) -> Tensor:
    """Return -Σ q log p: of `rc` (Feng et al. 2020), `proden` (Lv et al. 2020), or of shares of labels."""
    return -(q * scores.log_softmax(-1)).sum(-1)


def exp_loss(scores: Tensor, sets: Tensor) -> Tensor:
    """Return exp(-Σ p) over the set (Feng et al. 2020)."""
    return (-(scores.softmax(-1) * _some(sets)).sum(-1)).exp()


def leveraged_loss(
    scores: Tensor, q: Tensor, q_outside: Tensor, weights: tuple[float, float], *, sigmoid: bool
) -> Tensor:
    """Return the leveraged weighted loss (Wen et al. 2021): labels of the set are raised, the others lowered.

    Args:
        scores: z.
        q: the confidences.
        q_outside: what the labels outside of the set weigh, 0 within it.
        weights: of the labels inside and outside.
        sigmoid: whether a label is raised by σ(-z) and lowered by σ(z); else by -log p and -log(1 - p).
    """
    if sigmoid:
        raised, lowered = (-scores).sigmoid(), scores.sigmoid()
    else:
        raised, lowered = -scores.log_softmax(-1), -torch.log1p(-scores.softmax(-1).clamp_max(1 - 1e-6))
    return weights[0] * (q * raised).sum(-1) + weights[1] * (q_outside * lowered).sum(-1)


def outside_confidences(scores: Tensor, sets: Tensor, *, equal: bool) -> Tensor:
    """Return what the labels outside of the sets weigh: 1 / K each, or p normalised over them; 0 where there are none.

    Args:
        scores: z.
        sets: the sets.
        equal: whether all weigh 1 / K, as in the code of IRNet and ALIM.
    """
    others = ~_some(sets)
    if equal:
        return others / scores.shape[-1]
    return torch.where(others, confidences(scores, others), 0.0)


def sce_loss(scores: Tensor, q: Tensor, alpha: float, beta: float, *, floor_all: bool = False) -> Tensor:
    """Return α · cross-entropy + β · reverse cross-entropy, -Σ p log max(q, 1e-4) (Wang et al. 2019).

    Args:
        scores: z.
        q: the confidences.
        alpha: α.
        beta: β.
        floor_all: whether the cross-entropy is with max(q, 1e-4), too, as in the code of IRNet.
    """
    floored = q.clamp_min(1e-4)
    reverse = -(scores.softmax(-1) * floored.log()).sum(-1)
    return alpha * weighted_cross_entropy(scores, floored if floor_all else q) + beta * reverse


def gce_loss(scores: Tensor, q: Tensor, power: float) -> Tensor:
    """Return Σ q (1 - p^power) / power (Zhang and Sabuncu 2018): cross-entropy as the power goes to 0."""
    return (q * (1 - (power * scores.log_softmax(-1)).exp())).sum(-1) / power


def adjusted_scores(scores: Tensor, prior: Tensor, tau: float) -> Tensor:
    """Return z + τ log prior (Menon et al. 2021), whose cross-entropy is the logit-adjusted loss.

    Args:
        scores: z.
        prior: the share of every label, `(K,)` or `(…, 1, K)`.
        tau: τ; at 0 nothing is adjusted.
    """
    return scores + tau * prior.log()


def estimated_prior(q: Tensor) -> Tensor:
    """Return the share of every label in the confidences `(…, n, K)` of all samples: `(…, 1, K)`.

    A label of less than one sample counts as one: its logarithm stays finite. Samples whose confidences are 0 do not
    count.
    """
    return q.sum(-2, keepdim=True).clamp_min(1) / q.sum((-2, -1), keepdim=True).clamp_min(1)


class Samples(nn.Module):
    """What a network remembers of the samples it learns from, by target: `sets_…` and `q_…`, `(…, n, K)`."""


class SetNetwork(nn.Module):
    """The network of the base, with losses of its own for the targets with labels; subclasses define `set_loss`.

    Args:
        base: the base.
        options: of the baseline.
        shape: what it is made for.
    """

    def __init__(self, base: NetworkBaseline, options: Any, shape: Shape) -> None:
        super().__init__()
        self.options, self.labels, self.n_epochs = options, shape.labels, base.schedule.epochs
        self.network = base.make(shape)
        if isinstance(self.network, Remembers):
            raise UsageError("the base remembers the samples that it learns from, and changes what it learns itself")
        self.remembered: Any = Samples()

    def remember_sets(self, sets: Mapping[str, Tensor], learned: Sequence[Tensor], *, layered: bool) -> None:
        """Make the buffers of samples; those that are not learned from have empty sets, and confidences of 0.

        Args:
            sets: by target, `(n, K)`.
            learned: for every fold that the network has, the rows that it learns from.
            layered: whether buffers have a leading fold dimension.
        """
        for name, every in sets.items():
            own = every.new_zeros(len(learned), *every.shape)
            for fold, rows in enumerate(learned):
                own[fold, rows] = every[rows]
            own = own if layered else own[0]
            self.remembered.register_buffer(f"sets_{name}", own)
            self.remembered.register_buffer(f"q_{name}", shared(own))

    @property
    def targets(self) -> list[str]:
        """The targets whose labels may be sets."""
        return [name for name in self.labels if hasattr(self.remembered, f"sets_{name}")]

    def all_sets(self, name: str) -> Tensor:
        """Return the sets of a target as they are now, `(…, n, K)`."""
        sets: Tensor = getattr(self.remembered, f"sets_{name}")
        return sets

    def all_confidences(self, name: str) -> Tensor:
        """Return the confidences of all samples, `(…, n, K)`."""
        q: Tensor = getattr(self.remembered, f"q_{name}")
        return q

    def of_batch(self, every: Tensor, batch: Batch) -> Tensor:
        """Return the rows of a buffer `(…, n, K)` for the samples of a batch, `(…, B, K)`; those of padding are 0."""
        rows = every.flatten(0, -2)[self._places(every, batch).clamp_min(0)]
        return rows * batch.real[..., None]

    def store(self, every: Tensor, batch: Batch, values: Tensor) -> None:
        """Write `(…, B, K)` values for the samples of a batch into a buffer `(…, n, K)`."""
        every.view(-1, every.shape[-1])[self._places(every, batch)[batch.real]] = values[batch.real].to(every.dtype)

    def _places(self, every: Tensor, batch: Batch) -> Tensor:
        if every.ndim == 2:
            return batch.samples
        folds = torch.arange(len(every), device=batch.samples.device)[:, None] * every.shape[1]
        return torch.where(batch.real, batch.samples + folds, -1)

    def forward(self, batch: Batch) -> Any:
        """Return what the base does, and in training the losses of sets."""
        returned = self.network(batch)
        if not self.training:
            return returned
        outputs, own = returned if isinstance(returned, tuple) else (returned, {})
        return outputs, {**own, "loss": own.get("loss", 0.0) + self.loss_of_sets(outputs, batch)}

    def loss_of_sets(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Return the sum over the targets of the mean losses of samples that have a set: `(…)`."""
        losses = []
        for name in self.targets:
            sets = self.of_batch(self.all_sets(name), batch)
            losses.append(mean_over(self.set_loss(name, outputs[name].float(), sets, batch), sets.any(-1)))
        return torch.stack(losses).sum(0)

    def set_loss(self, name: str, scores: Tensor, sets: Tensor, batch: Batch) -> Tensor:
        """Return the loss of every sample, `(…, B)`, and renew what is remembered of it.

        Args:
            name: of the target.
            scores: z.
            sets: the sets of the samples, as they are now.
            batch: the samples.
        """
        raise NotImplementedError


SET_MEASURES = ("set_size", "true_within", "identified", "accuracy", "many", "medium", "few")
"""Diagnostics against the right labels. Of what is learned from: the mean size of the sets, the share of these with the
right label, and the share of samples of which it is the most confident one. Of the samples that epochs are selected on:
accuracy, and recall of the classes with many, fewer and few samples."""


class SetBaseline(AroundNetwork):
    """A network of the class `SetNetwork` around that of a base; `SET_MEASURES` are logged in every epoch."""

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train as any network does, and add the diagnostics of the last epoch.

        Raises:
            UsageError: the base does not answer the targets of the track, or weighs labels; nothing can be learned.
        """
        if self.schedule.class_weights != "none":
            raise UsageError(
                f"base '{self.loaded.name}': class_weights are of its cross-entropy, which other losses replace here"
            )
        n_full = {name: np.count_nonzero(sets[train.learned].all(axis=1)) for name, sets in train.sets.items()}
        n_sets = {name: np.count_nonzero(sets[train.learned].any(axis=1)) for name, sets in train.sets.items()}
        if useless := [name for name, n in n_sets.items() if n_full[name] == n]:
            raise UsageError(f"target '{useless[0]}': every set has all labels; nothing can be learned from them")
        own = dict.fromkeys(set_targets(train), NO_LOSS)
        self.schedule = replace(self.schedule, losses={**self.schedule.losses, **own})
        log = Epochs(self.setup.log)
        self.setup = replace(self.setup, log=log)
        result = super().fit_folds(train)
        logged = {name: values for name, values in log.arrays().items() if name in SET_MEASURES}
        last = {name: [_last(of_fold) for of_fold in values.T] for name, values in logged.items()}
        diagnostics = {**result.details.get("diagnostics", {}), **last}
        notes = [
            f"target '{name}': {n:,} of {n_sets[name]:,} sets have all labels, and say nothing about their samples"
            for name, n in n_full.items()
            if n
        ]
        details = {**result.details, **({"diagnostics": diagnostics} if diagnostics else {})}
        return replace(result, details=details, notes=(*result.notes, *notes))

    def measured(self, labels: Labels) -> list[str]:
        """Return the names of the diagnostics, where a track has one target with labels."""
        return list(SET_MEASURES) if sum(n is not None for n in labels.values()) == 1 else []

    def epoch_measures(self, train: TrainingSet, fold: int, rows: Rows, outputs: Outputs) -> Mapping[str, float]:
        """Return the diagnostics of an epoch; see `SET_MEASURES`."""
        measure, targets = train.measure_labels, set_targets(train)
        name = next(iter(train.sets), targets[0])
        if measure is None or (len(targets) > 1 and not train.sets):
            return {}
        network = self.networks[0 if self.together else fold]
        assert isinstance(network, SetNetwork)
        parts = network.all_sets(name), network.all_confidences(name)
        sets, q = (self._of_fold(part, fold) for part in parts)
        learned = np.flatnonzero(sets.any(1))
        of_sets, best = measure(sets[learned], learned), measure(q.argmax(1)[learned], learned)
        of_answers = measure(outputs[name].argmax(1), rows)
        values = of_sets.get("size"), of_sets.get("right"), best.get("right"), of_answers.get("right")
        shares = (of_answers.get(third) for third in SET_MEASURES[4:])
        return {what: item for what, item in zip(SET_MEASURES, (*values, *shares), strict=True) if item is not None}

    def _of_fold(self, part: Tensor, fold: int) -> NDArray[Any]:
        return np.asarray((part[fold] if self.together else part).cpu().numpy())

    def _remember(self, data: Data, learned: Sequence[Rows]) -> None:
        sets = {}
        for name, codes in data.targets.items():
            if self.labels[name] and not codes.is_floating_point():
                labels = torch.arange(self.labels[name] or 0, device=codes.device)
                sets[name] = data.sets[name] if name in data.sets else codes[:, None] == labels
        rows = [torch.from_numpy(own).to(self.device) for own in learned]
        for network, folds in zip(self.networks, self._folds_of_networks(), strict=True):
            assert isinstance(network, SetNetwork)
            network.remember_sets(sets, [rows[fold] for fold in folds], layered=self.together)


def _last(values: NDArray[np.float64]) -> float | None:
    """Return the last value that is defined; None without any."""
    defined = values[np.isfinite(values)]
    return float(defined[-1]) if len(defined) else None


def set_targets(train: TrainingSet) -> list[str]:
    """Return the targets whose references are one label or a set of labels."""
    classes = {name: target.classes for name, target in train.track.targets.items()}
    return [name for name, values in train.targets.items() if classes[name] and np.asarray(values).dtype.kind == "i"]
