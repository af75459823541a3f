"""What is seen of networks: the features before the last layer of all shipped ones, and passes that are counted."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from merbench.training import Setup, load_baseline
from merbench.training.declaration import list_baselines
from merbench.training.networks.batches import Batch
from merbench.training.networks.counts import Size, one_network, one_sample
from merbench.training.networks.layers import Heads
from merbench.training.networks.network import NetworkBaseline
from merbench.training.unknown.detectors import NoLastLayer
from merbench.training.unknown.observation import FEATURES, LOGITS, Probe

NO_NETWORK = {"boosting", "lexicon-ov", "logistic", "majority", "cpm-net", "dcca"}
BY_PROMPTS = {"after-emocapclip"}  # compares with prompts of the labels of a track, without a last layer
AROUND = {"after-rg", "imputation", "modality-dropout", "pseudo-label"}  # what they train is among the others
WIDTHS, LABELS = {"audio": 5, "video": 4, "text": 3}, {"discrete": 3, "valence": None}
OF_EXTRACTORS = {"face-crops": {"video": 3 * 64**2}, "log-mel": {"audio": 128}}

NETWORKS = [name for name, _ in list_baselines() if name not in NO_NETWORK | AROUND | BY_PROMPTS]


def built(name: str) -> Any:
    loaded = load_baseline(name)
    made: Any = loaded.build(loaded.declaration.defaults, Setup(device_name="cpu"))
    made = getattr(made, "built", made)
    return made if isinstance(made, NetworkBaseline) else made.network(Setup(device_name="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_of_every_shipped_network_is_seen(name: str) -> None:
    baseline = built(name)
    assert isinstance(baseline, NetworkBaseline), f"{name} has no network; the list of this test names those without"
    extracted = [OF_EXTRACTORS[extractor] for extractor in load_baseline(name).declaration.extracts]
    size = Size({key: width for widths in extracted for key, width in widths.items()} or WIDTHS, LABELS)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = one_network(baseline, size).eval()
    batch, probe = one_sample(baseline, size), Probe(network, "discrete")
    if name == "abaw-mtl":  # multiplies by parameters of its own, without a layer
        with pytest.raises(NoLastLayer):
            probe(batch)
        return
    with torch.no_grad():
        seen, outputs = probe(batch), network(batch)
    [layer] = probe.layers(1)
    features = seen[FEATURES].reshape(-1, layer.weight.shape[1]).numpy()
    np.testing.assert_array_equal(seen[LOGITS].numpy(), outputs["discrete"].numpy())
    np.testing.assert_allclose(layer.logits(features), seen[LOGITS].reshape(-1, 3).numpy(), rtol=1e-4, atol=1e-5)
    assert (probe.forward_passes, probe.backward_passes) == (batch.samples.numel(), 0)


class Scaled(nn.Module):
    """A network that does something to what its last layer returns."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.heads = scale, Heads(5, {"discrete": 3})

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        outputs = self.heads(batch.inputs["audio"])
        return outputs if self.scale == 1 else {name: self.scale * each for name, each in outputs.items()}


def batch_of(n: int) -> Batch:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n, 5, generator=rng)
    x[1] = 0  # is missing
    return Batch({"audio": x}, {}, {"audio": torch.ones(n, dtype=torch.bool)}, torch.arange(n))


def test_what_changes_the_output_of_the_last_layer_is_not_taken_for_it() -> None:
    Probe(Scaled(1), "discrete")(batch_of(4))
    with pytest.raises(NoLastLayer, match="what its network returns is not the output of a linear layer"):
        Probe(Scaled(2), "discrete")(batch_of(4))


def test_inputs_are_moved_towards_a_larger_probability() -> None:
    network, batch = Scaled(1), batch_of(4)
    last = cast(nn.Linear, network.heads.layers[0])
    weight, bias = last.weight.detach(), last.bias.detach()
    probe = Probe(network, "discrete", epsilon=0.25, temperature=10.0)
    with torch.no_grad():
        moved = probe(batch)
    x = batch.inputs["audio"]
    # ∇ log p_max = (w_max - Σ p_k w_k) / T, of which only the sign counts
    p = ((x @ weight.T + bias) / 10).softmax(-1)
    gradient = weight[p.argmax(-1)] - p @ weight
    expected = x + 0.25 * gradient.sign()
    expected[1] = 0
    torch.testing.assert_close(moved[FEATURES], expected)
    # one pass for the gradient, one for the answer
    assert (probe.forward_passes, probe.backward_passes) == (8, 4)
    assert x.grad is None and last.weight.grad is None
