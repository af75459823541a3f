"""Exact claims of LF-DNN."""

from __future__ import annotations

from types import ModuleType

import torch

from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape

WIDTHS = {"audio": 5, "video": 3, "text": 4}
ORDER = ("text", "audio", "video")


@torch.no_grad()
def difference_of_permuted(model: ModuleType) -> float:
    """Return the largest difference of the outputs where modalities, and the weights for them, are permuted.

    All numbers are whole, so nothing is rounded.
    """
    rng, h = generator("cpu", "permuted"), 6
    options = model.Options(**load_baseline("lf-dnn").options("", {"hidden": h}))

    def network(names: tuple[str, ...]) -> torch.nn.Module:
        shape = Shape({name: WIDTHS[name] for name in names}, {"label": 3, "number": None}, [rng], rng)
        made: torch.nn.Module = model.Network(options, shape).double().eval()
        return made

    plain, permuted = network(tuple(WIDTHS)), network(ORDER)
    for parameter in plain.parameters():
        parameter.copy_(torch.randint(-3, 4, parameter.shape, generator=rng))
    weights, places = plain.state_dict(), [list(WIDTHS).index(name) for name in ORDER]
    permuted.load_state_dict(
        {
            f"encoders.{new}.{part}": weights[f"encoders.{old}.{part}"]
            for new, old in enumerate(places)
            for part in (name.split(".", 2)[2] for name in weights if name.startswith("encoders.0."))
        }
        | {name: values for name, values in weights.items() if not name.startswith("encoders.")}
        | {"fusion.1.weight": torch.cat([weights["fusion.1.weight"].split(h, 1)[place] for place in places], 1)}
    )
    inputs = {name: torch.randint(-2, 3, (1, 7, width), generator=rng).double() for name, width in WIDTHS.items()}
    expected = plain(Batch(inputs, {}, {}, torch.arange(7)[None]))
    outputs = permuted(Batch({name: inputs[name] for name in ORDER}, {}, {}, torch.arange(7)[None]))
    return max(float((outputs[name] - values).abs().max()) for name, values in expected.items())
