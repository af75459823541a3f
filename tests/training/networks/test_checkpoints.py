"""A training that was interrupted goes on and ends in the same weights, byte for byte."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from merbench.errors import UsageError
from merbench.files.tensors import read_tensors, write_tensors
from merbench.training import Setup, TrainingSet
from merbench.training.networks import checkpoints
from merbench.training.networks.checkpoints import STATE
from merbench.training.networks.learner import Learner
from merbench.training.networks.network import Make, NetworkBaseline
from merbench.training.networks.scaling import Kind
from tests.training.networks.test_network import KINDS, SCHEDULE, Layered, Recurrent, Remembering, training_set

LONG = replace(SCHEDULE, epochs=5, decay="cosine", patience=4)


class Interrupted(Exception):
    """What stops a training from outside."""


class Epochs:
    """A log of what it is given; it interrupts, or kills the process, after an epoch."""

    def __init__(self, interrupt: int = 0, kill: int = 0) -> None:
        self.interrupt, self.kill = interrupt, kill
        self.values: list[dict[str, list[float]]] = []

    def epoch(self, epoch: int, values: Mapping[str, np.ndarray]) -> None:
        assert epoch == len(self.values) + 1
        self.values.append({name: part.tolist() for name, part in values.items()})
        if epoch == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if epoch == self.interrupt:
            raise Interrupted


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)


def baseline(kind: Kind, log: Epochs, state: Path | None, seed: int = 0, network: Make = Recurrent) -> NetworkBaseline:
    setup = Setup(seed, 3, "cpu", log=log, state=state)
    if kind == "vectors":
        return NetworkBaseline(Layered, LONG, setup, together=True, standardise=True)
    return NetworkBaseline(network, LONG, setup, kind=kind)


@pytest.mark.parametrize(
    ("kind", "network"), [*((kind, Recurrent) for kind in KINDS), *((kind, Remembering) for kind in KINDS[1:])]
)
def test_an_interrupted_training_ends_in_the_same_weights(kind: Kind, network: Make, tmp_path: Path) -> None:
    train = training_set(kind)
    whole = baseline(kind, Epochs(), None, network=network)
    wanted = whole.fit_folds(train)
    for interrupt in (3, 4):  # the state of the epoch before is there; then once more
        with pytest.raises(Interrupted):
            baseline(kind, Epochs(interrupt), tmp_path, network=network).fit(train)
    log = Epochs()
    resumed = baseline(kind, log, tmp_path, network=network)
    result = resumed.fit_folds(train)
    for own, other in zip(resumed.networks, whole.networks, strict=True):  # what they remember, too
        assert {name: tensor.numpy().tobytes() for name, tensor in own.state_dict().items()} == {
            name: tensor.numpy().tobytes() for name, tensor in other.state_dict().items()
        }
    assert {name: part.tobytes() for name, part in resumed.weights().items()} == {
        name: part.tobytes() for name, part in whole.weights().items()
    }
    assert wanted.curve is not None
    assert result.curve is not None
    np.testing.assert_array_equal(result.curve.loss, wanted.curve.loss)
    assert result.curve.best_epoch == wanted.curve.best_epoch
    for name, values in wanted.out_of_fold.outputs.items():
        np.testing.assert_array_equal(result.out_of_fold.outputs[name], values)
    assert [epoch["loss"] for epoch in log.values] == wanted.curve.loss.tolist()  # those before the interruption, too


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    train = training_set("vectors")
    first = baseline("vectors", Epochs(), tmp_path)
    first.fit(train)
    again = baseline("vectors", Epochs(), tmp_path)
    again._make_networks(train.samples.widths, train.track, 3)
    before = (tmp_path / STATE).read_bytes()
    again.fit(train)
    assert (tmp_path / STATE).read_bytes() == before
    for name, values in first.weights().items():
        np.testing.assert_array_equal(again.weights()[name], values)


def test_the_state_is_not_written_more_often_than_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 1000.0)
    baseline("vectors", Epochs(), tmp_path).fit(training_set("vectors"))
    assert not (tmp_path / STATE).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself an interrupt")
@pytest.mark.parametrize("kind", ["vectors", "sequences"])
def test_ctrl_c_ends_after_the_epoch_and_keeps_it(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 1000.0)
    train, whole, log = training_set(kind), baseline(kind, Epochs(), None), Epochs()
    whole.fit(train)
    learned = Learner.epoch

    interrupts = [3]

    def interrupted(self: Learner, epoch: int) -> dict[str, NDArray[np.float64]]:
        if epoch in interrupts:
            interrupts.remove(epoch)
            os.kill(os.getpid(), signal.SIGINT)
        return learned(self, epoch)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Learner, "epoch", interrupted)
        baseline(kind, log, tmp_path).fit(train)
    assert len(log.values) == 3
    monkeypatch.setattr(Learner, "epoch", lambda self, epoch: learned(self, epoch) if epoch > 3 else pytest.fail())
    resumed = baseline(kind, Epochs(), tmp_path)
    resumed.fit(train)
    for name, values in whole.weights().items():
        assert resumed.weights()[name].tobytes() == values.tobytes()


def stored(tmp_path: Path) -> tuple[TrainingSet, Path]:
    train = training_set("vectors")
    with pytest.raises(Interrupted):
        baseline("vectors", Epochs(3), tmp_path).fit(train)
    return train, tmp_path / STATE


@pytest.mark.parametrize("how", ["cut off", "a pickle", "empty"])
def test_a_file_that_is_not_a_state_is_refused(how: str, tmp_path: Path) -> None:
    train, path = stored(tmp_path)
    data = path.read_bytes()
    contents = {"cut off": data[: len(data) // 2], "a pickle": pickle.dumps({"network": 1}), "empty": b""}
    path.write_bytes(contents[how])
    with pytest.raises(
        UsageError, match=r"not the state of a training: .*; delete it to train from the beginning"
    ) as e:
        baseline("vectors", Epochs(), tmp_path).fit(train)
    assert str(path) in str(e.value)


def test_the_state_of_another_version_or_training_or_network_is_refused(tmp_path: Path) -> None:
    train, path = stored(tmp_path)
    with pytest.raises(UsageError, match=r"another training; what differs: network, seed|seed, network"):
        baseline("vectors", Epochs(), tmp_path, seed=1).fit(train)
    other = replace(train, targets={**train.targets, "valence": train.targets["valence"] + 1})
    with pytest.raises(UsageError, match="another training; what differs: references; delete it"):
        baseline("vectors", Epochs(), tmp_path).fit(other)
    arrays, metadata = read_tensors(path)
    write_tensors(path, arrays, metadata | {"schema": "merbench.training/0"})
    with pytest.raises(UsageError, match="the state of another version of merbench; delete it"):
        baseline("vectors", Epochs(), tmp_path).fit(train)
    arrays.pop("0.generator.0")
    write_tensors(path, arrays, metadata)
    with pytest.raises(UsageError, match="the state of another network; delete it"):
        baseline("vectors", Epochs(), tmp_path).fit(train)


@pytest.mark.slow
def test_a_killed_training_ends_in_the_same_weights(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; import sys; import torch; torch.set_num_threads(1)\n"
        "from merbench.training.networks import checkpoints; checkpoints.SECONDS = 0.0\n"
        "from tests.training.networks.test_checkpoints import Epochs, baseline, training_set\n"
        "baseline('sequences', Epochs(kill=3), Path(sys.argv[1])).fit(training_set('sequences'))\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=Path(__file__).parents[3])
    assert killed.returncode == -signal.SIGKILL
    train = training_set("sequences")
    resumed, whole = baseline("sequences", Epochs(), tmp_path), baseline("sequences", Epochs(), None)
    resumed.fit(train)
    whole.fit(train)
    for name, values in whole.weights().items():
        assert resumed.weights()[name].tobytes() == values.tobytes()
