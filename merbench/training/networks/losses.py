"""Losses by kind of target, and which references count.

Conventions:
    F folds, B samples of a batch. Outputs are `(F, B, K)` scores of labels or `(F, B)` numbers; references `(F, B)`
    int64 codes, `(F, B, K)` shares, `(F, B, K)` int64 of 0 and 1, or `(F, B)` float32 numbers; weights `(F, B)` sum to
    1 in every fold, padding has weight 0. A loss is `(F,)`. A reference that is not known is a code below 0 or NaN; of
    several labels, one may be known and others not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from merbench.errors import UsageError, listed

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Called with outputs, references and weights."""


def cross_entropy(output: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the mean cross-entropy of scores with codes, or with shares of the labels."""
    # PyTorch takes codes `(n,)` and shares `(n, K)` alike.
    each = nn.functional.cross_entropy(output.flatten(0, 1), labels.flatten(0, 1), reduction="none")
    return (each.view_as(weights) * weights).sum(1)


def binary_cross_entropy(output: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of scores of several labels, each of which applies or does not.

    That of a sample is the mean over its labels that are known, 0 or 1.
    """
    counted = labels >= 0
    each = nn.functional.binary_cross_entropy_with_logits(output, labels.clamp_min(0).float(), reduction="none")
    of_samples = (each * counted).sum(-1) / counted.sum(-1).clamp_min(1)
    return (of_samples * weights).sum(1)


def squared_error(output: Tensor, numbers: Tensor, weights: Tensor) -> Tensor:
    """Return the mean squared error."""
    return ((output - numbers).square() * weights).sum(1)


def absolute_error(output: Tensor, numbers: Tensor, weights: Tensor) -> Tensor:
    """Return the mean absolute error."""
    return ((output - numbers).abs() * weights).sum(1)


def ccc(output: Tensor, numbers: Tensor, weights: Tensor) -> Tensor:
    """Return 1 - the concordance correlation coefficient (Lin 1989) over a batch, with population moments.

    A constant output has the loss 1 and still a gradient: 1e-8 is added to the denominator. Of a batch that is computed
    in pieces, it is the weighted mean over the pieces.
    """
    total = weights.sum(1, keepdim=True)
    shares = weights / torch.where(total > 0, total, 1)
    mean, target_mean = (output * shares).sum(1, True), (numbers * shares).sum(1, True)
    centred, target = output - mean, numbers - target_mean
    covariance = (centred * target * shares).sum(1)
    spread = ((centred.square() + target.square()) * shares).sum(1) + (mean - target_mean).square().squeeze(1)
    return total.squeeze(1) * (1 - 2 * covariance / (spread + 1e-8))


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "ccc": ccc,
}
"""The losses by name; a target names the one it is trained with."""

NO_LOSS = "none"
"""The loss of a target of which a network has a loss of its own."""


_OF_LABELS = ("cross_entropy", "binary_cross_entropy")


def kind_of_loss(references: Tensor, n_dimensions: int) -> str:
    """Return the loss of the kind that references have: of labels, of several labels, or of numbers.

    Args:
        references: codes, shares, 0 and 1 of several labels, or numbers.
        n_dimensions: how many dimensions samples have, such as 1 of `(n,)`.
    """
    if references.is_floating_point():
        return "cross_entropy" if references.ndim > n_dimensions else "squared_error"
    return "binary_cross_entropy" if references.ndim > n_dimensions else "cross_entropy"


def mean_loss(loss: str, output: Tensor, references: Tensor, real: Tensor) -> Tensor:
    """Return the mean of one of `LOSSES` over the samples of a network of ordinary layers, for losses of its own.

    Args:
        loss: its name.
        output: scores `(B, K)` or numbers `(B,)`.
        references: codes `(B,)`, shares `(B, K)` or numbers `(B,)`; those that are not known do not count.
        real: `(B,)`, which samples are not padding. Where none counts, the mean is 0.
    """
    counted = (real & known(references)).float()
    weights = counted / counted.sum().clamp_min(1)
    return LOSSES[loss](output.float()[None], _safe(references, loss)[None], weights[None])[0]


def _safe(references: Tensor, loss: str) -> Tensor:
    """Return references without values that a loss cannot be computed of, where they are not known."""
    if loss == "binary_cross_entropy":  # which leaves out the labels of a sample that are not known
        return references
    return references.nan_to_num() if references.is_floating_point() else references.clamp_min(0)


def moment_distance(a: Tensor, b: Tensor, n_moments: int) -> Tensor:
    """Return the central moment discrepancy of rows `(n, d)` and `(m, d)` (Zellinger et al. 2017), unscaled.

    It is the sum of the distances of their means and of their central moments of the orders 2 to `n_moments`. The
    gradient of a distance of 0 is 0; a square root of a sum of squares has none.
    """
    means = a.mean(0), b.mean(0)
    centred = a - means[0], b - means[1]
    higher = [[(x**order).mean(0) for x in centred] for order in range(2, n_moments + 1)]
    return torch.stack([torch.linalg.vector_norm(x - y) for x, y in [means, *higher]]).sum()


def known(references: Tensor) -> Tensor:
    """Return which references are known, `(n,)`; of several labels, one is enough."""
    if references.is_floating_point():
        return ~references.isnan() if references.ndim == 1 else ~references.isnan().any(-1)
    return references >= 0 if references.ndim == 1 else (references >= 0).any(-1)


def balanced_weights(references: Tensor, n_labels: int) -> Tensor:
    """Return one weight per label, n / (K n_k), for codes or shares of the labels; 0 for a label without a sample."""
    if references.is_floating_point():
        counts = references.nansum(0)
    else:
        counts = torch.bincount(references[references >= 0], minlength=n_labels).float()
    return torch.where(counts > 0, counts.sum() / (n_labels * counts.clamp_min(1e-12)), 0.0)


@dataclass(frozen=True, eq=False, slots=True)
class Objective:
    """The losses of some targets, and what every sample weighs in them.

    Attributes:
        references: by target, the references of all samples, `(n,)` or `(n, K)`.
        losses: by target, the name of its loss.
        label_weights: by target, `(F, K)` weights of its labels; those that have none weigh all alike.
        known: by target, `(n,)` which references are known; those of other targets all are.
    """

    references: Mapping[str, Tensor]
    losses: Mapping[str, str]
    label_weights: Mapping[str, Tensor]
    known: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        references: Mapping[str, Tensor],
        losses: Mapping[str, str],
        balanced: Sequence[Tensor] = (),
    ) -> Objective:
        """Return the losses of some targets; `balanced` are the rows of every fold that labels are counted in.

        Raises:
            UsageError: a loss does not exist, or is not one of labels where there are labels, or of numbers.
        """
        for name, values in references.items():
            own = kind_of_loss(values, 1)
            fitting = [own] if own in _OF_LABELS else [loss for loss in LOSSES if loss not in _OF_LABELS]
            fitting.append(NO_LOSS)
            if losses[name] not in fitting:
                raise UsageError(f"target '{name}' cannot have the loss '{losses[name]}'; allowed: {listed(fitting)}")
        references = {name: values for name, values in references.items() if losses[name] != NO_LOSS}
        losses = {name: losses[name] for name in references}
        masks = {name: known(values) for name, values in references.items()}
        weights = {}
        if balanced:
            for name, values in references.items():
                if losses[name] == "cross_entropy":
                    n_labels = values.shape[1] if values.ndim == 2 else int(values.max()) + 1
                    weights[name] = torch.stack([balanced_weights(values[rows], n_labels) for rows in balanced])
        return cls(references, losses, weights, {name: mask for name, mask in masks.items() if not mask.all()})

    def weights(self, rows: Tensor) -> dict[str, Tensor]:
        """Return, by target, what samples `(F, …)` weigh: the sum of a fold is 1, or 0 where nothing is known."""
        real, safe = (rows >= 0).float(), rows.clamp_min(0)
        alike = real / real.flatten(1).sum(1).clamp_min(1).view(-1, *[1] * (rows.ndim - 1))
        weights = dict.fromkeys(self.losses, alike)
        for name in {*self.known, *self.label_weights}:
            own = real
            if name in self.known:
                own = own * self.known[name][safe]
            if name in self.label_weights:
                own = own * _of_labels(self.label_weights[name], self.references[name][safe])
            sums = own.flatten(1).sum(1)
            weights[name] = own / torch.where(sums > 0, sums, 1).view(-1, *[1] * (rows.ndim - 1))
        return weights

    def loss(self, outputs: Mapping[str, Tensor], rows: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the `(F,)` sum over the targets of their losses of samples `(F, …)`."""
        safe = rows.clamp_min(0)
        total = torch.zeros(len(rows), device=rows.device)
        for name, loss in self.losses.items():
            references = self.references[name][safe]
            if name in self.known:
                references = _safe(references, loss)
            parts = [part.flatten(1, rows.ndim - 1) for part in (outputs[name].float(), references, weights[name])]
            total = total + LOSSES[loss](*parts)
        return total


def _of_labels(weights: Tensor, references: Tensor) -> Tensor:
    """Return the weight of every reference: that of its label, or the mean of those that it has shares of."""
    if references.is_floating_point():
        return torch.einsum("f...k,fk->f...", references.nan_to_num(), weights)
    flat = references.clamp_min(0).flatten(1)
    return weights.gather(1, flat).view_as(references)


def loss_of_targets(
    outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], losses: Mapping[str, str], real: Tensor
) -> Tensor:
    """Return the loss of the targets of further outputs of a network, such as those of a teacher: a single number.

    It is the sum over the targets that the loop has of the first outputs, without weights of labels.

    Args:
        outputs: by target, `(B[, L], K)` scores of labels or `(B[, L])` numbers.
        targets: the references of a batch, `Batch.targets`.
        losses: by target, another loss than that of its kind, `Schedule.losses`; at least one is not `none`.
        real: which samples are not padding, `(B[, L])`.
    """
    every = []
    for name, values in targets.items():
        if losses.get(name) == NO_LOSS:
            continue
        kind = kind_of_loss(values, real.ndim)
        every.append(mean_loss(losses.get(name, kind), outputs[name][real], values[real], real[real]))
    return torch.stack(every).sum()
