"""Networks that begin from a teacher of the same fold, which learned from complete features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from merbench.corruptions import Step
from merbench.training import Setup, TrainingSet
from merbench.training.networks import checkpoints
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import BatchNorm, Heads
from merbench.training.networks.losses import loss_of_targets
from merbench.training.networks.network import Shape
from merbench.training.networks.staged import Frozen, StagedBaseline
from merbench.training.samples import FeatureCorruption
from tests.training.networks.test_checkpoints import Epochs, Interrupted
from tests.training.networks.test_network import SCHEDULE, training_set

SHORT = replace(SCHEDULE, epochs=3)


class Linear(nn.Module):
    """A linear network that counts what is missing in what it is trained with."""

    missing: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = Heads(sum(shape.widths.values()), shape.labels)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("missing", torch.zeros(()))

    def learn_from(self, teacher: nn.Module) -> None:
        self.heads.load_state_dict(teacher.heads.state_dict())
        self.remembered = Frozen(teacher)

    def forward(self, batch: Batch) -> Any:
        if batch.targets:
            self.missing += sum(int((~present).sum()) for present in batch.present.values())
        outputs = self.heads(self.dropout(torch.cat([*batch.inputs.values()], -1)))
        if not batch.targets or not hasattr(self, "remembered"):
            return outputs
        taught = self.remembered(replace(batch, inputs=batch.complete, targets={}))
        gaps = [(outputs[name] - values).square().mean() for name, values in taught.items()]
        return outputs, {"gap": torch.stack(gaps).sum()}


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)


def corrupted() -> TrainingSet:
    train = training_set("vectors")
    step = Step("modality_absence", {"modality": "audio", "rate": 0.5})
    return replace(train, corruption=FeatureCorruption((step,), 1, {"x": "audio"}, per_epoch=True))


def staged(log: Epochs, state: Path | None = None) -> StagedBaseline:
    return StagedBaseline(Linear, Linear, SHORT, Setup(0, 3, "cpu", log=log, state=state))


def test_the_teacher_learns_from_complete_features_and_stays_as_it_was() -> None:
    baseline, log, train = staged(Epochs()), Epochs(), corrupted()
    baseline.setup = replace(baseline.setup, log=log)
    result = baseline.fit_folds(train)
    assert len(log.values) == 3 and "gap" in log.values[0]
    learned = sum(len(division.learn) for division in train.divisions(3, 0))
    assert result.sample_epochs == 2 * 3 * learned  # two stages of three epochs
    teachers = StagedBaseline(Linear, Linear, SHORT, Setup(0, 3, "cpu"))
    alone = super(StagedBaseline, teachers)
    alone.fit_folds(replace(train, corruption=None))
    for network, teacher in zip(baseline.networks, teachers.networks, strict=True):
        kept = network.remembered.trained.state_dict()
        assert all(torch.equal(kept[name], values) for name, values in teacher.state_dict().items())
        assert kept["missing"] == 0 < network.missing
        assert not network.train().remembered.trained.dropout.training
    assert not any("remembered" in name for name in baseline.weights())


def test_an_interrupted_training_of_either_stage_ends_in_the_same_weights(tmp_path: Path) -> None:
    wanted, train = staged(Epochs()), corrupted()
    result = wanted.fit_folds(train)

    class Stopped(Linear):
        n = 0

        def forward(self, batch: Batch) -> Any:
            Stopped.n += 1
            if Stopped.n == 20:
                raise Interrupted
            return super().forward(batch)

    with pytest.raises(Interrupted):
        StagedBaseline(Stopped, Linear, SHORT, Setup(0, 3, "cpu", state=tmp_path)).fit(train)
    with pytest.raises(Interrupted):
        staged(Epochs(interrupt=2), tmp_path).fit(train)
    resumed = staged(Epochs(), tmp_path)
    again = resumed.fit_folds(train)
    assert again.sample_epochs == result.sample_epochs
    for own, other in zip(resumed.networks, wanted.networks, strict=True):
        assert all(torch.equal(own.state_dict()[name], values) for name, values in other.state_dict().items())
    restored = staged(Epochs())
    restored.restore(resumed.weights(), train.track, train.samples.widths)
    for name, values in wanted.predict(train.samples).outputs.items():
        np.testing.assert_array_equal(restored.predict(train.samples).outputs[name], values)


def test_the_loss_of_further_outputs_is_that_of_the_loop() -> None:
    outputs = {"label": torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]]), "number": torch.tensor([1.0, 9.0, 2.0])}
    targets = {"label": torch.tensor([0, 1, 1]), "number": torch.tensor([0.0, torch.nan, 7.0])}
    real = torch.tensor([True, True, False])
    # cross-entropies log 2 and log(1 + e); the square of 1, since the other number is not known
    wanted = (np.log(2) + np.log1p(np.e)) / 2 + 1
    assert float(loss_of_targets(outputs, targets, {}, real)) == pytest.approx(wanted)
    absolute = {"number": torch.tensor([3.0, 9.0, 2.0])}
    only = {"number": targets["number"]}
    assert float(loss_of_targets(absolute, only, {"number": "absolute_error"}, real)) == pytest.approx(3)
    unknown = {"number": torch.full((3,), torch.nan)}
    assert float(loss_of_targets(absolute, unknown, {}, real)) == 0


def test_a_batch_of_one_row_is_normalised_by_the_running_moments() -> None:
    layer = BatchNorm(2)
    layer(
        torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    )  # running means .1 · 2 and .1 · 4; variances .9 + .1 · 2 and .9 + .1 · 8
    moments = [part.clone() for part in layer.buffers()]
    torch.testing.assert_close(
        layer(torch.ones(1, 2)), torch.tensor([[0.8 / 1.1**0.5, 0.6 / 1.7**0.5]]), rtol=1e-4, atol=0
    )
    assert all(torch.equal(own, before) for own, before in zip(layer.buffers(), moments, strict=True))
