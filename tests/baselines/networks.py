"""Networks of baselines, and batches for them, without a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from merbench.corpus.candidates import open_candidates
from merbench.track import Track
from merbench.training import Setup, Storable, feature_set, load_baseline, training_set
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import FoldLinear, generator
from merbench.training.networks.network import Shape


def network_of(name: str, widths: Mapping[str, int], labels: Mapping[str, int | None], **options: Any) -> Any:
    """Return the untrained network of a baseline, of one fold, in evaluation."""
    loaded = load_baseline(name)
    chosen = TypeAdapter(loaded.module.Options).validate_python(loaded.options("any", options))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        shape = Shape(widths, labels, [generator("cpu", 0)], generator("cpu", "noise"))
        network = loaded.module.Network(chosen, shape).eval()
    return OneFold(network) if any(isinstance(layer, FoldLinear) for layer in network.modules()) else network


class OneFold(torch.nn.Module):
    """A network of fold layers as one of ordinary layers."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the outputs, without the fold dimension."""
        inputs = {name: x[None] for name, x in batch.inputs.items()}
        present = {name: x[None] for name, x in batch.present.items()}
        outputs = self.network(replace(batch, inputs=inputs, present=present, samples=batch.samples[None]))
        return {name: output[0] for name, output in outputs.items()}


def batch_of(widths: Mapping[str, int], n: int = 6, *, seed: int = 0) -> Batch:
    """Return a batch of vectors."""
    rng = torch.Generator().manual_seed(seed)
    inputs = {name: torch.randn(n, width, generator=rng) for name, width in widths.items()}
    return Batch(inputs, {}, {name: torch.ones(n, dtype=torch.bool) for name in widths}, torch.arange(n))


def require_restored(name: str, track: Track, **options: Any) -> None:
    """Train a baseline on two features of a small track, and check that its stored weights predict the same."""
    loaded = load_baseline(name)
    train = training_set(open_candidates(track, "train"), ["quiet", "loud"])
    test = feature_set(open_candidates(track), ["quiet", "loud"])
    chosen = loaded.options("small", {**options, "epochs": 2, "batch_size": 16})
    fitted, restored = (loaded.build(chosen, Setup(n_folds=2, device_name="cpu")) for _ in range(2))
    fitted.fit(train)
    assert isinstance(fitted, Storable) and isinstance(restored, Storable)
    restored.restore(fitted.weights(), track, test.widths)
    for target, values in fitted.predict(test).outputs.items():
        assert np.ptp(values, axis=0).max() > 0
        np.testing.assert_array_equal(restored.predict(test).outputs[target], values)
