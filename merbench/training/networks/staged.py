"""Networks that begin from a teacher: another network, trained first, by the same divisions, on complete features.

The teacher of a fold learns from the samples of that fold only, before `[[training.corruptions]]` remove anything from
them. It is kept at its best epoch on the samples that the network's own epoch is selected on: a second selection on
them, which a network without a teacher does not have. The network of the fold is then given it, to begin with its
layers, to compare its own with those, or both. What it keeps of the teacher is `Frozen`, in a module called
`remembered`: checkpoints have it; stored weights, and counts of the parameters, do not.

Conventions:
    As in `network.py`; there is a network of ordinary layers per fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import nn

from merbench.training.history import Epochs
from merbench.training.networks.network import Make, NetworkBaseline
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.scaling import Kind
from merbench.training.protocol import NO_LOG, CrossFit, Setup
from merbench.training.samples import TrainingSet

TEACHER = "teacher"
"""The folder of the teacher's state in that of the training."""


@runtime_checkable
class Taught(Protocol):
    """A network that begins from a teacher."""

    def learn_from(self, teacher: Any) -> None:
        """Take what it needs of the teacher of its fold, once, before it is trained."""


class Frozen(nn.Module):
    """A trained network, or a part of one, that stays as it is: without gradients, and in evaluation."""

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        self.trained = trained.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation."""
        return super().train(False)

    def forward(self, *given: Any) -> Any:
        """Return what it returns."""
        return self.trained(*given)


def stages(given: Setup, folder: str, n_first: int, n_second: int) -> tuple[Setup, Setup, list[Epochs]]:
    """Return the setups of two trainings of which the second is the one that is shown, and the epochs of both.

    Args:
        given: the setup of both together.
        folder: of the state of the first.
        n_first: its epochs, at most.
        n_second: those of the second.
    """
    logs, n_epochs = [Epochs(NO_LOG), Epochs(given.log)], n_first + n_second
    first = replace(given.part(folder), log=logs[0], progress=lambda done, _: given.progress(done, n_epochs))
    second = replace(given, log=logs[1], progress=lambda done, _: given.progress(n_first + done, n_epochs))
    return first, second, logs


def sample_epochs(logs: Sequence[Epochs], train: TrainingSet, setup: Setup) -> int:
    """Return how many samples were seen in the epochs of all stages, summed over folds."""
    learned = [len(division.learn) for division in train.divisions(setup.n_folds, setup.seed)]
    return int(sum(np.isfinite(log.arrays()["loss"]).sum(0) for log in logs) @ np.array(learned))


class StagedBaseline(NetworkBaseline):
    """A network per fold that begins from a teacher of the same fold.

    The log has the epochs of the second stage; samples of both stages are counted.

    Args:
        make_teacher: makes a teacher.
        make: makes a network, which is `Taught`.
        schedule: how it is trained.
        setup: seed, folds, device, who follows training, and where its state is stored.
        kind: what both are given: `vectors`, `sequences` or `dialogues`.
        standardise: whether features are standardised with the moments of what a fold learns from.
        teacher_schedule: how the teacher is trained; None: as the network.
    """

    def __init__(
        self,
        make_teacher: Make,
        make: Make,
        schedule: Schedule,
        setup: Setup,
        *,
        kind: Kind = "vectors",
        standardise: bool = True,
        teacher_schedule: Schedule | None = None,
    ) -> None:
        super().__init__(make, schedule, setup, kind=kind, standardise=standardise)
        self.make_teacher, self.teacher_schedule = make_teacher, teacher_schedule or schedule
        self.teachers: list[nn.Module] = []

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train both stages, and return the result of cross-validation of the second."""
        given = self.setup
        first, second, logs = stages(given, TEACHER, self.teacher_schedule.epochs, self.schedule.epochs)
        teacher = NetworkBaseline(
            self.make_teacher, self.teacher_schedule, first, kind=self.kind, standardise=self.standardise
        )
        taught = teacher.fit_folds(replace(train, corruption=None))
        self.teachers = teacher.networks
        self.setup = second
        try:
            result = super().fit_folds(train)
        finally:
            self.setup, self.teachers = given, []
        return replace(
            result,
            notes=tuple(dict.fromkeys((*taught.notes, *result.notes))),
            sample_epochs=sample_epochs(logs, train, given),
        )

    def _make_networks(self, *arguments: Any) -> Any:
        noise = super()._make_networks(*arguments)
        for network, teacher in zip(self.networks, self.teachers, strict=bool(self.teachers)):
            assert isinstance(network, Taught)
            network.learn_from(teacher)
        return noise
