"""Mean teacher (Tarvainen and Valpola, NeurIPS 2017) on vectors, around a network.

The teacher has the running mean of the student's parameters. Both read every unlabelled sample with independent
noise, and the student learns the teacher's probabilities:

    λ(epoch) · mean over unlabelled samples and labels of (softmax(student) - softmax(teacher))²

The weight grows linearly from 0; the teacher makes the predictions.

Conventions:
    As in `merbench.training.networks.semi_supervised`: … is F or nothing, B samples, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.semi_supervised import (
    Noise,
    SemiOptions,
    SemiSupervised,
    SemiSupervisedBaseline,
    mean_over,
    semi_supervised,
    weak_view,
)


@dataclass(frozen=True, kw_only=True)
class Options(SemiOptions):
    """Besides those of all semi-supervised systems, the noise.

    Attributes:
        noise: standard deviation of the noise, independent for student and teacher.
        numbers: how much the squared difference of two numbers counts, next to that of probabilities.
    """

    noise: Noise
    numbers: Annotated[float, Within(0)]

    def __post_init__(self) -> None:
        """Raise `UsageError` where there is no teacher."""
        if not self.average:
            raise UsageError("mean-teacher: average: 0 leaves no running mean, which is the teacher; allowed: above 0")


def distance(student: Tensor, teacher: Tensor, n_labels: int | None) -> Tensor:
    """Return how far answers lie apart, `(…, B)`: the mean squared difference of probabilities, or of two numbers.

    Args:
        student: `(…, B, K)` scores, or `(…, B)` numbers.
        teacher: the same.
        n_labels: K; None for numbers.
    """
    if n_labels is None:
        return (student - teacher).square()
    return (student.softmax(-1) - teacher.softmax(-1)).square().mean(-1)


class Network(SemiSupervised):
    """The student, its running mean, and the loss of their difference."""

    options: Options

    def losses(self, batch: Batch, ramp: float) -> dict[str, Tensor]:
        """Return the weighted loss of unlabelled samples, the sum over the targets."""
        assert self.mean is not None
        student = self.answers(self.network, weak_view(batch, self.options.noise))
        with torch.no_grad():
            teacher = self.answers(self.mean, weak_view(batch, self.options.noise))
        each = [
            mean_over(distance(student[name], teacher[name], n), batch.real) * (1 if n else self.options.numbers)
            for name, n in self.labels.items()
        ]
        return {"unlabelled": self.options.weight * ramp * torch.stack(each).sum(0)}


def build(options: Options, setup: Setup) -> SemiSupervisedBaseline:
    return semi_supervised(Network, options, setup, "mean-teacher")
