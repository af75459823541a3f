from __future__ import annotations

import torch

from merbench.training.networks.batches import Batch
from tests.baselines.networks import batch_of, network_of

WIDTHS = {"audio": 5, "video": 3, "text": 4}


def test_permuted_modalities_are_permuted_weights() -> None:
    labels, order = {"discrete": 3, "valence": None}, ["text", "audio", "video"]
    network = network_of("lf-dnn", WIDTHS, labels, hidden=8)
    permuted = network_of("lf-dnn", {name: WIDTHS[name] for name in order}, labels, hidden=8)
    weights, places = network.network.state_dict(), [list(WIDTHS).index(name) for name in order]
    blocks = weights["fusion.1.weight"].split(8, 1)  # (folds, inputs, outputs)
    weights["fusion.1.weight"] = torch.cat([blocks[place] for place in places], 1)
    for name in [name for name in weights if name.startswith("encoders.")]:
        del weights[name]
    for new, old in enumerate(places):
        encoder = network.network.encoders[old].state_dict()
        weights |= {f"encoders.{new}.{name}": part for name, part in encoder.items()}
    permuted.network.load_state_dict(weights)

    batch = batch_of(WIDTHS)
    outputs = permuted(Batch({name: batch.inputs[name] for name in order}, {}, {}, batch.samples))
    for name, expected in network(batch).items():
        torch.testing.assert_close(outputs[name], expected)  # sums in another order
