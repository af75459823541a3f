"""What a sample lacks is reconstructed: AE, and CRA, which has another autoencoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from merbench.training import Setup, load_baseline
from merbench.training.networks.autoencoders import ResidualAutoencoder
from merbench.training.networks.batches import Batch
from tests.baselines.networks import batch_of, network_of
from tests.training.conftest import SmallTrack
from tests.training.test_missing import small

WIDTHS = {"audio": 5, "video": 3, "text": 4}
LABELS = {"discrete": 3, "valence": None}
SMALL: dict[str, Any] = {"hidden": 8, "embedding": 4, "layers": [6, 3], "reconstruction": 1.0}

every_network = pytest.mark.parametrize("name", ["ae", "cra"])


def lacking(n: int = 6, *, missing: str = "text") -> Batch:
    """Return a batch of training, of which every second sample lacks a feature."""
    batch, lacks = batch_of(WIDTHS, n), torch.arange(n) % 2 == 0
    inputs = {**batch.inputs, missing: batch.inputs[missing].masked_fill(lacks[:, None], 0)}
    targets = {"discrete": torch.zeros(n, dtype=torch.int64), "valence": torch.zeros(n)}
    return replace(batch, inputs=inputs, complete=batch.inputs, targets=targets, epoch=1)


@every_network
def test_only_the_decoder_of_what_is_missing_learns(name: str) -> None:
    network = network_of(name, WIDTHS, LABELS, **SMALL).train()
    network(lacking())[1]["reconstruction"].backward()
    learns = [bool(decoder[-1].weight.grad.any()) for decoder in network.decoders]
    assert learns == [False, False, True]
    assert all(encoder[0].weight.grad.isfinite().all() for encoder in network.encoders)


@every_network
def test_padding_is_no_part_of_the_loss_and_batches_of_any_size_have_its_mean(name: str) -> None:
    network, batch = network_of(name, WIDTHS, LABELS, **SMALL), lacking()
    whole = network(batch)[1]["reconstruction"]
    padded = network(replace(batch, samples=torch.tensor([0, 1, 2, 3, -1, -1])))[1]["reconstruction"]
    halves = [network(_rows(batch, rows))[1]["reconstruction"] for rows in (slice(0, 4), slice(4, 6))]
    torch.testing.assert_close(padded, halves[0])
    torch.testing.assert_close(whole, (4 * halves[0] + 2 * halves[1]) / 6)
    assert network(_rows(batch, slice(1, 2)))[1]["reconstruction"] == 0  # the second sample lacks nothing


def _rows(batch: Batch, rows: slice) -> Batch:
    parts = ("inputs", "present", "targets", "complete")
    own = {part: {name: x[rows] for name, x in getattr(batch, part).items()} for part in parts}
    return replace(batch, samples=batch.samples[rows], **own)


@every_network
def test_without_a_weight_it_has_no_loss_of_its_own(name: str) -> None:
    outputs = network_of(name, WIDTHS, LABELS, **{**SMALL, "reconstruction": 0.0})(lacking())
    assert set(outputs) == set(LABELS)


@every_network
@torch.no_grad()
def test_what_is_explained_is_1_for_what_is_reconstructed_and_0_for_the_mean(name: str) -> None:
    network, batch = network_of(name, WIDTHS, LABELS, **SMALL), batch_of(WIDTHS)
    for decoder in network.decoders:
        nn.init.zeros_(decoder[-1].weight)
        nn.init.zeros_(decoder[-1].bias)
    assert network.diagnostics(batch)["explained"] == 0
    constant = replace(batch, inputs={feature: torch.full_like(x, 2.0) for feature, x in batch.inputs.items()})
    for decoder in network.decoders[:2]:
        nn.init.constant_(decoder[-1].bias, 2.0)
    assert float(network.diagnostics(constant)["explained"]) == pytest.approx(2 / 3)  # two of three features
    assert network_of(name, {"text": 4}, LABELS, **SMALL).diagnostics(batch_of({"text": 4})) == {}


def test_a_cascade_is_that_of_plain_sums() -> None:
    torch.manual_seed(0)
    cascade, x = ResidualAutoencoder(4, (3, 2), 3).double(), torch.randn(5, 4, dtype=torch.float64)
    reconstruction, codes = cascade(x)

    def layer(linear: Any, rows: np.ndarray) -> np.ndarray:
        return rows @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()

    read, made, expected = x.numpy(), np.zeros((5, 4)), []
    for encoder, decoder in zip(cascade.encoders, cascade.decoders, strict=True):
        read = read + made
        hidden = layer(encoder[0], read)
        expected.append(layer(encoder[2], np.where(hidden > 0, hidden, 0.01 * hidden)))
        made = layer(decoder[2], np.maximum(layer(decoder[0], expected[-1]), 0))
    last = layer(cascade.transition[2], np.maximum(layer(cascade.transition[0], read + made), 0))
    np.testing.assert_allclose(codes.detach().numpy(), np.hstack(expected), rtol=1e-12)
    np.testing.assert_allclose(reconstruction.detach().numpy(), last, rtol=1e-12)


@every_network
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_it_trains_with_gaps_and_without(name: str, rate: float, small_track: SmallTrack) -> None:
    train, test = small(small_track, {"name": "gcnet_missing", "rate": rate})
    train = replace(train, corruption=replace(train.corruption, per_epoch=True))
    loaded = load_baseline(name)
    baseline: Any = loaded.build(
        loaded.options("small", {**SMALL, "epochs": 3, "batch_size": 8}), Setup(n_folds=2, device_name="cpu")
    )
    result = baseline.fit_folds(train)
    assert all(np.isfinite(values).all() for values in baseline.predict(test).outputs.values())
    assert np.isfinite(result.details["diagnostics"]["explained"]).all()
