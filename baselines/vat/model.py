"""Virtual adversarial training (Miyato et al., TPAMI 2019) on vectors, around a network.

Every unlabelled sample is perturbed by a vector of a given length in the direction in which the prediction changes
most, and the network learns to predict the same there:

    λ · mean KL(p(x), stopped ‖ p(x + r)),    r = ε · direction of the gradient of KL(p(x) ‖ p(x + ξ d)) at a random d

which is one step of the power method. The entropy of the predictions is minimised, too. All features of a sample are
one vector. The network is in evaluation mode meanwhile, so that only r changes the prediction.

Conventions:
    As in `merbench.training.networks.semi_supervised`: … is F or nothing, B samples, K labels. A move is by feature,
    `(…, B, d)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from merbench.parameters import Described, Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.semi_supervised import (
    SemiOptions,
    SemiSupervised,
    SemiSupervisedBaseline,
    mean_over,
    semi_supervised,
)

Answers = Mapping[str, Tensor]
Move = Mapping[str, Tensor]

Length = Annotated[float, Field(gt=0), Described("a number above 0")]


@dataclass(frozen=True, kw_only=True)
class Options(SemiOptions):
    """Besides those of all semi-supervised systems, the move, and the weight of the entropy.

    Attributes:
        epsilon: length of the perturbation, in standard deviations of the features.
        xi: length of the first perturbation, by which the direction is found.
        entropy: weight of the entropy of the predictions for unlabelled samples, which has no warm-up.
    """

    epsilon: Length
    xi: Length
    entropy: Annotated[float, Within(0)]

    @property
    def uses_unlabelled(self) -> bool:
        """Whether unlabelled samples are learned from."""
        return self.weight > 0 or self.entropy > 0


def divergence(answers: Answers, moved: Answers, labels: Mapping[str, int | None]) -> Tensor:
    """Return the sum over the targets of KL(answer ‖ moved answer), `(…, B)`.

    Numbers are means of normal distributions with variance 1, so that it is half the squared difference.
    """
    each = []
    for name, n_labels in labels.items():
        if n_labels is None:
            each.append((answers[name] - moved[name]).square() / 2)
        else:
            log = answers[name].log_softmax(-1)
            each.append((log.exp() * (log - moved[name].log_softmax(-1))).sum(-1))
    return torch.stack(each).sum(0)


def entropy(answers: Answers, labels: Mapping[str, int | None]) -> Tensor:
    """Return the sum over the targets with labels of the entropy of the answers, `(…, B)`; 0 without such targets."""
    logs = [answers[name].log_softmax(-1) for name, n_labels in labels.items() if n_labels]
    if not logs:
        return torch.zeros_like(next(iter(answers.values())))
    return torch.stack([-(log.exp() * log).sum(-1) for log in logs]).sum(0)


def of_length(move: Move, length: float) -> dict[str, Tensor]:
    """Return moves in the same direction, of this length over all features of a sample; 0 stays 0."""
    norm = torch.stack([part.square().sum(-1) for part in move.values()]).sum(0).sqrt()[..., None]
    return {name: torch.where(norm > 0, part / norm, 0) * length for name, part in move.items()}


class Network(SemiSupervised):
    """The base, and the losses of unlabelled samples."""

    options: Options

    def losses(self, batch: Batch, ramp: float) -> dict[str, Tensor]:
        """Return the weighted divergence and entropy of unlabelled samples."""
        self.network.eval()
        answers = self.answers(self.network, batch)
        stopped = {name: answer.detach() for name, answer in answers.items()}
        moved = self.moved(batch, self.adversarial(batch, stopped))
        self.network.train()
        distance = mean_over(divergence(stopped, moved, self.labels), batch.real)
        losses = {"divergence": self.options.weight * ramp * distance}
        return losses | {"entropy": self.options.entropy * mean_over(entropy(answers, self.labels), batch.real)}

    def moved(self, batch: Batch, move: Move) -> Answers:
        """Return the answers for samples that are moved."""
        inputs = {name: x + move[name] for name, x in batch.inputs.items()}
        return self.answers(self.network, replace(batch, inputs=inputs, complete={}))

    def adversarial(self, batch: Batch, answers: Answers) -> dict[str, Tensor]:
        """Return the moves of length ε that change these answers most, after one step of the power method."""
        present = {name: mask[..., None] for name, mask in batch.present.items()}
        random = {name: torch.randn_like(x) * present[name] for name, x in batch.inputs.items()}
        first = {name: part.requires_grad_() for name, part in of_length(random, self.options.xi).items()}
        total = divergence(answers, self.moved(batch, first), self.labels).sum()
        gradients = torch.autograd.grad(total, [*first.values()], allow_unused=True, materialize_grads=True)
        return of_length(
            {name: part * present[name] for name, part in zip(first, gradients, strict=True)}, self.options.epsilon
        )


def build(options: Options, setup: Setup) -> SemiSupervisedBaseline:
    return semi_supervised(Network, options, setup, "vat")
