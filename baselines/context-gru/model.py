"""Utterances in the context of their dialogue, after the contextual GRU that Poria et al. (ICDM 2017) released.

A bidirectional GRU per feature reads the utterances of a dialogue in order, a layer with tanh makes a short vector of
each state; these are concatenated, read by another bidirectional GRU, and go through layers with ReLU. Every utterance
is answered.

Conventions:
    As in `merbench.training.networks.recurrent`; a row is the vector of an utterance, L utterances a dialogue. Outputs
    are `(B, L, K)` scores of labels or `(B, L)` numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import Recurrent


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: width of the state of a GRU, for each direction.
        encoded: width of what is kept of a feature after its own GRU, with tanh.
        layers: widths of the layers after the GRU of all features, with ReLU.
        shared: whether the cell of a GRU that reads a dialogue backwards is the one that reads it forwards.
        context: whether utterances are read in their dialogue; if not, each is a dialogue of its own.
        speakers: how many speakers of a dialogue the GRU of all features tells apart, by first appearance; 0: none.
        state_dropout: share of the states that is dropped in training.
        dropout: share of the other units that is dropped in training.
    """

    hidden: Width
    encoded: Width
    layers: tuple[Width, ...]
    shared: bool
    context: bool
    speakers: Annotated[int, Within(0, 1000)]
    state_dropout: Dropout
    dropout: Dropout


class Reader(nn.Module):
    """A bidirectional GRU over utterances, and dropout of its states."""

    def __init__(self, width: int, options: Options) -> None:
        super().__init__()
        self.gru = Recurrent(width, options.hidden, backwards="same" if options.shared else "own")
        self.dropout = nn.Dropout(options.state_dropout)

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Return the states of rows."""
        states: Tensor = self.dropout(self.gru(rows, lengths))
        return states


class Network(nn.Module):
    """Dialogues of utterances with any number of features to one output per target and utterance.

    A feature that an utterance lacks is the mean of those that were learned from.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        widths = shape.widths.values()
        self.context, self.speakers = options.context, options.speakers
        self.readers = nn.ModuleList(Reader(width, options) for width in widths)
        self.encoders = nn.ModuleList(nn.Linear(2 * options.hidden, options.encoded) for _ in widths)
        self.fusion = Reader(len(widths) * options.encoded + options.speakers, options)
        sizes = (2 * options.hidden, *options.layers)
        hidden = [nn.Sequential(nn.Linear(*pair), nn.ReLU()) for pair in pairwise(sizes)]
        self.layers = nn.Sequential(*hidden, nn.Dropout(options.dropout))
        self.dropout = nn.Dropout(options.dropout)
        self.heads = Heads(sizes[-1], shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of dialogues."""
        lengths = self._dialogues(batch.real).sum(1)
        parts = [
            self.dropout(encoder(reader(self._dialogues(vectors), lengths)).tanh())
            for reader, encoder, vectors in zip(self.readers, self.encoders, batch.inputs.values(), strict=True)
        ]
        if self.speakers and batch.speaker is not None:
            codes = self._dialogues(batch.speaker).clamp(0, self.speakers - 1)
            parts.append(nn.functional.one_hot(codes, self.speakers).to(parts[0].dtype))
        x = self.layers(self.fusion(torch.cat(parts, -1), lengths))
        outputs: dict[str, Tensor] = self.heads(x.view(*batch.samples.shape, -1))
        return outputs

    def _dialogues(self, values: Tensor) -> Tensor:
        """Return values `(B, L, …)` as they are, or `(B L, 1, …)` where utterances are read without context."""
        return values if self.context else values.flatten(0, 1)[:, None]


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, kind="dialogues", standardise=True)
