"""The Tensor Fusion Network (Zadeh et al. 2017): all products of units of the encodings, one of every modality.

The tensor of m encodings of h units is the outer product of [1, z] over the modalities, so that its entries are also
the products of fewer than m units, and a 1. One linear layer reads it; it has nearly all of the parameters.

Conventions:
    B samples of a batch, m modalities in the order of the features, d numbers of a vector, h hidden units. Outputs are
    `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Encoder, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.tensor_fusion import TensorLinear

MOST_WEIGHTS = 1 << 29
"""How many weights the layer that reads the tensor may have: 2 GiB, of which training needs five times as many."""


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: width h of every layer.
        dropout: share of the inputs, and of the tensor's entries, that is dropped in training.
        standardise: whether features are standardised by what a fold learns from.
    """

    hidden: Width
    dropout: Dropout
    standardise: bool


class Network(nn.Module):
    """Vectors `(B, d)` to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.

    Raises:
        UsageError: the tensor is too large.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        h, m = options.hidden, len(shape.widths)
        if h * (h + 1) ** m > MOST_WEIGHTS:
            raise UsageError(
                f"tfn: the tensor of {m} features has (hidden + 1)^{m} = {(h + 1) ** m:,} entries, and the layer that "
                f"reads it {h * (h + 1) ** m:,} weights, more than {MOST_WEIGHTS:,}; lower hidden, which is {h}, use "
                "fewer features, or lmf, whose parameters grow with their sum"
            )
        self.encoders = nn.ModuleList(Encoder(width, h, options.dropout) for width in shape.widths.values())
        self.fusion = nn.Sequential(TensorLinear(m, h, h, options.dropout), nn.ReLU(), nn.Linear(h, h), nn.ReLU())
        self.heads = Heads(h, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch."""
        encodings = [encoder(x) for encoder, x in zip(self.encoders, batch.inputs.values(), strict=True)]
        outputs: dict[str, Tensor] = self.heads(self.fusion(encodings))
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, standardise=options.standardise)
