"""Graph Completion Network (Lian et al., IEEE TPAMI 2023): dialogues in which utterances lack modalities.

A bidirectional LSTM reads the utterances of a dialogue. Two graphs then connect those that are near each other: by
order (past, now, future), and by who speaks (speaker of the target, speaker of the source). What each graph gives is
read by an LSTM of its own, and the sum of both is answered from; it also reconstructs what was missing.

Conventions:
    B dialogues of a batch, L utterances, M features, W places of a window around an utterance, F numbers of its
    state, g of what a graph gives, D = F + g, R relations. Padding comes after the real utterances of a
    dialogue, and has no edges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
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

Window = Annotated[int, Within(0, 1000)]


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: units h of each direction of the first LSTM; a graph gives h / 2 numbers.
        past: how many utterances before an utterance it is connected with.
        future: how many utterances after it.
        temporal: whether there is the graph by order.
        speakers: how many speakers of a dialogue the graph by speakers tells apart, by first appearance; the last of
            them is all further ones. 0: there is no such graph. Without either graph, the LSTM after it reads states.
        reconstruction: weight of the squared error of reconstructed modalities; 0: nothing is reconstructed.
        dropout: share of the states between the two layers of an LSTM that is dropped in training.
    """

    hidden: Width
    past: Window
    future: Window
    temporal: bool
    speakers: Annotated[int, Within(0, 32)]
    reconstruction: Annotated[float, Within(0)]
    dropout: Dropout


@dataclass(frozen=True, eq=False, slots=True)
class Edges:
    """The utterances in the window of every utterance, `(B, L, W)` each.

    Attributes:
        sources: their rows among all utterances of the batch, `(B L)`; arbitrary where there is no edge.
        real: 1 where there is an edge, from a real utterance to a real one; else 0.
        order: the relation by order: 0 past, 1 now, 2 future.
        speakers: the relation by speakers: number of speakers · target's + source's; 0 where there is no edge.
    """

    sources: Tensor
    real: Tensor
    order: Tensor
    speakers: Tensor

    @classmethod
    def of(cls, speaker: Tensor, options: Options) -> Edges:
        """Return the edges of dialogues with these speakers, `(B, L)`, -1 where there is only padding."""
        n_dialogues, length = speaker.shape
        past, future = (min(size, length - 1) for size in (options.past, options.future))
        offsets = torch.arange(-past, future + 1, device=speaker.device)
        places = torch.arange(n_dialogues * length, device=speaker.device).view(-1, length, 1)
        own = speaker.clamp(max=max(1, options.speakers) - 1)
        of_source = nn.functional.pad(own, (past, future), value=-1).unfold(1, len(offsets), 1)
        real = (of_source >= 0) & (own >= 0)[..., None]
        sources = (places + offsets).clamp(0, n_dialogues * length - 1)
        order = (offsets.sign() + 1).expand_as(real)
        return cls(sources, real.float(), order, torch.where(real, options.speakers * own[..., None] + of_source, 0))


def weighted_sums(rows: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """Return Σ_w weights[…, w] · rows[places[…, w]], `(B, L, g)`, of rows `(n, g)`."""
    near = rows.index_select(0, places.flatten()).view(*places.shape, -1)
    return (near * weights[..., None]).sum(2)


class RelationalLayer(nn.Module):
    """Relational graph convolution (Schlichtkrull et al. 2018), `(B, L, F)` to `(B, L, g)`.

    y_i = W x_i + b + Σ_r (mean of W_r x_j over the edges j → i of relation r). It has R F g + F g + g parameters, with
    the initial values of Glorot and Bengio (2010).
    """

    def __init__(self, n_in: int, n_out: int, n_relations: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / (n_in + n_out))
        self.relations = nn.Parameter(torch.empty(n_in, n_relations, n_out).uniform_(-bound, bound))
        self.root = nn.Linear(n_in, n_out)
        nn.init.xavier_uniform_(self.root.weight)
        nn.init.zeros_(self.root.bias)

    def forward(self, x: Tensor, edges: Edges, relation: Tensor) -> Tensor:
        """Return what every utterance is given by itself and its window, of edges of these relations."""
        _, n_relations, n_out = self.relations.shape
        counts = edges.real.new_zeros(*x.shape[:2], n_relations).scatter_add_(2, relation, edges.real)
        shares = edges.real / counts.gather(2, relation).clamp_min(1)
        messages = (x @ self.relations.flatten(1)).view(-1, n_out)
        own: Tensor = self.root(x)
        return own + weighted_sums(messages, edges.sources * n_relations + relation, shares)


class Graph(nn.Module):
    """A relational layer, then y_i = W_1 Σ_j x_j + b + W_2 x_i over edges of any relation (Morris et al. 2019)."""

    def __init__(self, n_in: int, n_out: int, n_relations: int) -> None:
        super().__init__()
        self.relational = RelationalLayer(n_in, n_out, n_relations)
        self.neighbours, self.own = nn.Linear(n_out, n_out), nn.Linear(n_out, n_out, bias=False)

    def forward(self, x: Tensor, edges: Edges, relation: Tensor) -> Tensor:
        """Return what every utterance is given by its window, `(B, L, g)`."""
        x = self.relational(x, edges, relation)
        given: Tensor = self.neighbours(weighted_sums(x.flatten(0, 1), edges.sources, edges.real)) + self.own(x)
        return given


class Reader(nn.Module):
    """A bidirectional LSTM of two layers, `(B, L, n)` to `(B, L, 2 h)`, with dropout between them."""

    def __init__(self, n_in: int, n_hidden: int, dropout: float) -> None:
        super().__init__()
        self.first = Recurrent(n_in, n_hidden, backwards="own", cell=nn.LSTM)
        self.second = Recurrent(2 * n_hidden, n_hidden, backwards="own", cell=nn.LSTM)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Return the states of rows, of which so many of a dialogue are real."""
        states: Tensor = self.second(self.dropout(self.first(rows, lengths)), lengths)
        return states


class Context(nn.Module):
    """States of utterances `(B, L, F)`, with what a graph of R relations gives them, read in order: `(B, L, D)`."""

    def __init__(self, n_states: int, n_graph: int, n_relations: int, dropout: float) -> None:
        super().__init__()
        width = n_states + n_graph
        self.graph = Graph(n_states, n_graph, n_relations) if n_relations else None
        self.reader = Reader(width if n_relations else n_states, width, dropout)
        self.layer = nn.Linear(2 * width, width)

    def forward(self, states: Tensor, lengths: Tensor, edges: Edges, relation: Tensor) -> Tensor:
        """Return what is answered from."""
        if self.graph is not None:
            states = torch.cat([states, self.graph(states, edges, relation)], -1)
        output: Tensor = self.layer(self.reader(states, lengths)).relu()
        return output


class Network(nn.Module):
    """Dialogues of utterances with any number of features to one output per target and utterance.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, self.widths = options, dict(shape.widths)
        n_in, n_states, n_graph = sum(self.widths.values()), 2 * options.hidden, max(1, options.hidden // 2)
        relations = {"order": 3 * options.temporal, "speakers": options.speakers**2}
        relations = {name: n for name, n in relations.items() if n} or {"order": 0}
        self.reader = Reader(n_in, options.hidden, options.dropout)
        self.contexts = nn.ModuleDict(
            {name: Context(n_states, n_graph, n, options.dropout) for name, n in relations.items()}
        )
        self.heads = Heads(n_states + n_graph, shape.labels)
        self.decoder = nn.Linear(n_states + n_graph, n_in) if options.reconstruction else None

    def forward(self, batch: Batch) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the outputs for a batch of dialogues, and in training the loss of reconstruction."""
        x = self._encoded(batch, torch.cat(list(batch.inputs.values()), -1))
        outputs: dict[str, Tensor] = self.heads(x)
        if self.decoder is None or not batch.epoch:
            return outputs
        # of n utterances: Σ over what was removed of the mean squared error of a vector, / n
        removed = torch.stack([batch.removed(name) for name in self.widths]) & batch.real
        loss = (self._errors(x, batch.complete) * removed).sum() / batch.real.sum().clamp_min(1)
        return outputs, {"reconstruction": self.options.reconstruction * loss}

    def diagnostics(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return by how much the mean squared error of reconstruction is below that of zeros, which are the mean.

        Every utterance has one feature hidden: the first of a dialogue the first one, and so on. A single feature is
        hidden in every second utterance.
        """
        if self.decoder is None:
            return {}
        inputs, turns = batch.inputs.values(), torch.arange(batch.samples.shape[1], device=batch.samples.device)
        hidden = torch.stack([own & (turns % max(2, len(inputs)) == n) for n, own in enumerate(batch.present.values())])
        left = [part.masked_fill(own[..., None], 0) for part, own in zip(inputs, hidden, strict=True)]
        errors = self._errors(self._encoded(batch, torch.cat(left, -1)), batch.inputs)
        gains = torch.stack([part.square().mean(-1) for part in inputs]) - errors
        return {"reconstruction": (gains * hidden).sum() / hidden.sum().clamp_min(1)}

    def _encoded(self, batch: Batch, x: Tensor) -> Tensor:
        """Return what every utterance is answered from, `(B, L, D)`."""
        lengths = batch.real.sum(1)
        speaker = torch.where(batch.real, 0, -1) if batch.speaker is None else batch.speaker
        edges, states = Edges.of(speaker, self.options), self.reader(x, lengths)
        every = [net(states, lengths, edges, getattr(edges, name)) for name, net in self.contexts.items()]
        return torch.stack(every).sum(0)

    def _errors(self, x: Tensor, complete: Mapping[str, Tensor]) -> Tensor:
        """Return the mean squared errors of the reconstructed vectors of every feature, `(M, B, L)`."""
        assert self.decoder is not None
        parts = zip(self.decoder(x).split(list(self.widths.values()), -1), complete.values(), strict=True)
        return torch.stack([(part - wanted).square().mean(-1) for part, wanted in parts])


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, kind="dialogues", standardise=True)
