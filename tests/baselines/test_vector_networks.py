"""What holds for every network of vectors: degenerate inputs, independence of the batch, and weights that are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from merbench.corpus.candidates import open_candidates
from merbench.training import Setup, Storable, feature_set, load_baseline, training_set
from merbench.training.networks import checkpoints
from merbench.training.networks.batches import Batch
from merbench.training.protocol import NO_LOG, Log
from tests.baselines.networks import batch_of, network_of
from tests.training.conftest import SmallTrack

NETWORKS: dict[str, dict[str, Any]] = {
    "ae": {"hidden": 8, "embedding": 4, "layers": [6, 3]},
    "attention-topn": {"hidden": 8},
    "bm-nas": {"hidden": 8, "channels": 4, "length": 2, "search_epochs": 2},
    "cra": {"hidden": 8, "embedding": 4, "layers": [6, 3]},
    "lf-dnn": {"hidden": 8},
    "lmf": {"hidden": 8},
    "misa": {"hidden": 8, "feed_forward": 16},
    "mmin": {"hidden": 8, "embedding": 4, "layers": [6, 3], "blocks": 2},
    "mmim": {"hidden": 8},
    "self-mm": {"hidden": 8},
    "tfn": {"hidden": 4},
}
"""Small options of every network that is given vectors."""

WIDTHS = {"audio": 5, "video": 3, "text": 4}
LABELS = {"discrete": 3, "valence": None, "only": 1}

every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
@pytest.mark.parametrize("features", [["audio"], ["audio", "text"], ["audio", "video", "text"]])
def test_it_answers_any_targets_from_any_features(name: str, features: list[str]) -> None:
    widths = {feature: WIDTHS[feature] for feature in features}
    outputs = network_of(name, widths, LABELS, **NETWORKS[name])(batch_of(widths))
    assert {target: tuple(output.shape) for target, output in outputs.items()} == {
        "discrete": (6, 3),
        "valence": (6,),
        "only": (6, 1),
    }
    assert all(output.isfinite().all() for output in outputs.values())


@every_network
def test_an_output_does_not_depend_on_the_other_samples(name: str) -> None:
    network, batch = network_of(name, WIDTHS, LABELS, **NETWORKS[name]), batch_of(WIDTHS)
    outputs = network(batch)
    for row in range(6):
        single = Batch({key: x[[row]] for key, x in batch.inputs.items()}, {}, {}, batch.samples[[row]])
        for target, output in network(single).items():
            torch.testing.assert_close(output[0], outputs[target][row])  # products of other sizes round differently


@every_network
@pytest.mark.parametrize("n", [1, 6])
def test_gradients_of_identical_rows_are_finite(name: str, n: int) -> None:
    network = network_of(name, WIDTHS, LABELS, **NETWORKS[name]).train()
    batch = batch_of(WIDTHS, 1)
    same = replace(
        batch, inputs={key: x.expand(n, -1) for key, x in batch.inputs.items()}, samples=torch.zeros(n).long()
    )
    sum(output.square().sum() for output in network(same).values()).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_network
def test_it_learns_and_its_stored_weights_predict_the_same(name: str, small_track: SmallTrack) -> None:
    track, loaded = small_track(), load_baseline(name)
    train = training_set(open_candidates(track, "train"), ["quiet", "loud"])
    test = feature_set(open_candidates(track), ["quiet", "loud"])
    options = loaded.options("small", {**NETWORKS[name], "epochs": 3, "batch_size": 8})
    fitted, restored = (loaded.build(options, Setup(device_name="cpu")) for _ in range(2))
    fitted.fit(train)
    assert isinstance(fitted, Storable) and isinstance(restored, Storable)
    restored.restore(fitted.weights(), track, test.widths)
    for target, values in fitted.predict(test).outputs.items():
        assert np.ptp(values, axis=0).max() > 0
        np.testing.assert_array_equal(restored.predict(test).outputs[target], values)


@pytest.mark.parametrize("name", ["ae", "misa", "mmim", "self-mm"])
def test_its_own_losses_are_finite_in_half_precision(name: str) -> None:
    network, batch = (
        network_of(name, WIDTHS, {"discrete": 3, "valence": None}, **NETWORKS[name]).train(),
        batch_of(WIDTHS),
    )
    targets = {"discrete": torch.arange(6) % 3, "valence": torch.linspace(-1, 1, 6)}
    if hasattr(network, "remember"):
        network.remember(6, targets, torch.arange(6))
    with torch.autocast("cpu", torch.bfloat16):
        for epoch in (1, 2, 3):
            _, losses = network(replace(batch, targets=targets, epoch=epoch))
    torch.stack(list(losses.values())).float().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


class Interrupting:
    """A log that interrupts training after an epoch."""

    def __init__(self, after: int) -> None:
        self.after = after

    def epoch(self, epoch: int, values: object) -> None:
        if epoch == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["mmim", "mmin", "self-mm"])
def test_what_is_remembered_of_samples_outlives_an_interruption(
    name: str, small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    train = training_set(open_candidates(small_track(), "train"), ["quiet", "loud"])
    loaded = load_baseline(name)
    options = loaded.options("small", {**NETWORKS[name], "epochs": 5, "batch_size": 8})

    def trained(state: Path | None, log: Log = NO_LOG) -> Any:
        baseline: Any = loaded.build(options, Setup(n_folds=2, device_name="cpu", state=state, log=log))
        baseline.fit(train)
        return baseline.weights()

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, Interrupting(4))
    expected, resumed = trained(None), trained(tmp_path)
    assert not any("remembered" in part for part in expected)
    for part, values in expected.items():
        np.testing.assert_array_equal(resumed[part], values)
