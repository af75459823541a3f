"""The graph of GCNet over a batch of dialogues, against edges that are listed, and its own memory.

Inputs: 32 dialogues of up to 110 utterances (the longest of IEMOCAP) and of up to 30, half of it at least, of two
speakers; states of 100 and of 400 numbers, h = 50 and 200; both graphs, by order and by speakers, with windows of two
utterances to each side; forwards and backwards, edges included.

Peers take the same parameters and must arrive at the same values and gradients: masks of all pairs of utterances for
every relation, as products (quadratic in the length); a list of all edges, whose messages `index_add_` adds, as graph
libraries do; and a loop over single edges, on some of the dialogues.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import machine, race, seconds, table
from merbench.training import load_baseline

N_DIALOGUES, N_LOOPED, PAST, FUTURE, SPEAKERS = 32, 2, 2, 2, 2
GCNET = load_baseline("gcnet").module
OPTIONS = GCNET.Options(**load_baseline("gcnet").options("", {"past": PAST, "future": FUTURE, "speakers": SPEAKERS}))
RELATIONS = (3, SPEAKERS**2)

Layers = list[Any]
"""A `Graph` by order, and one by speakers."""

Contender = Callable[[Layers, Tensor, Tensor], Tensor]
"""Called with the layers, states `(B, L, F)` and speakers `(B, L)`; returns `(B, L, 2 g)`, arbitrary at padding."""


def dialogues(longest: int, n_states: int) -> tuple[Tensor, Tensor]:
    """Return states, and who speaks, -1 where there is only padding."""
    rng = torch.Generator().manual_seed(0)
    lengths = torch.randint(longest // 2, longest + 1, (N_DIALOGUES, 1), generator=rng)
    speaker = torch.randint(0, SPEAKERS, (N_DIALOGUES, longest), generator=rng)
    states = torch.randn(N_DIALOGUES, longest, n_states, generator=rng)
    return states, speaker.where(torch.arange(longest) < lengths, -1)


def merbench_graphs(layers: Layers, states: Tensor, speaker: Tensor) -> Tensor:
    """Return the outputs of the baseline's own layers."""
    edges = GCNET.Edges.of(speaker, OPTIONS)
    return torch.cat([layers[0](states, edges, edges.order), layers[1](states, edges, edges.speakers)], -1)


def relations_of(source: Tensor, target: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
    """Return the relations of edges by order and by speakers, of rows of the utterances of all dialogues."""
    codes = speaker.flatten()
    return (source - target).sign() + 1, codes[target] * SPEAKERS + codes[source]


def listed_edges(speaker: Tensor) -> tuple[Tensor, Tensor]:
    """Return source and target of every edge, rows of the utterances of all dialogues."""
    length = speaker.shape[1]
    places = torch.arange(length)
    near = (places >= places[:, None] - PAST) & (places <= places[:, None] + FUTURE)  # target, source
    real = speaker >= 0
    dialogue, target, source = (near & real[:, :, None] & real[:, None]).nonzero().T
    return dialogue * length + source, dialogue * length + target


def with_index_add(layers: Layers, states: Tensor, speaker: Tensor) -> Tensor:
    """Add the messages of listed edges; every utterance makes its message for a relation once, as merbench does."""
    source, target = listed_edges(speaker)
    outputs, x = [], states.flatten(0, 1)
    for graph, relation in zip(layers, relations_of(source, target, speaker), strict=True):
        layer = graph.relational
        _, n_relations, n_out = layer.relations.shape
        kinds = target * n_relations + relation
        counts = x.new_zeros(len(x) * n_relations).index_add_(0, kinds, x.new_ones(len(kinds)))
        messages = (x @ layer.relations.flatten(1)).view(-1, n_out)[source * n_relations + relation]
        first = layer.root(x).index_add(0, target, messages / counts[kinds][:, None])
        given = torch.zeros_like(first).index_add(0, target, first[source])
        outputs.append(graph.neighbours(given) + graph.own(first))
    return torch.cat(outputs, -1).view(*speaker.shape, -1)


def with_masks(layers: Layers, states: Tensor, speaker: Tensor) -> Tensor:
    """Multiply by a mask of all pairs of utterances for every relation, with means in its rows."""
    n_dialogues, length = speaker.shape
    source, target = listed_edges(speaker)
    dialogue, outputs = target // length, []
    for graph, relation in zip(layers, relations_of(source, target, speaker), strict=True):
        layer = graph.relational
        _, n_relations, n_out = layer.relations.shape
        masks = states.new_zeros(n_dialogues, length, length, n_relations)
        masks[dialogue, target % length, source % length, relation] = 1
        means = (masks / masks.sum(2, keepdim=True).clamp_min(1)).flatten(2)
        messages = (states @ layer.relations.flatten(1)).view(n_dialogues, length * n_relations, n_out)
        first = layer.root(states) + means @ messages
        outputs.append(graph.neighbours(masks.sum(-1) @ first) + graph.own(first))
    return torch.cat(outputs, -1)


def with_loop(layers: Layers, states: Tensor, speaker: Tensor) -> Tensor:
    """Take one edge after the other."""
    source, target = listed_edges(speaker)
    outputs, x = [], states.flatten(0, 1)
    for graph, relation in zip(layers, relations_of(source, target, speaker), strict=True):
        layer, edges = graph.relational, list(zip(source.tolist(), target.tolist(), relation.tolist(), strict=True))
        counts: dict[tuple[int, int], int] = {}
        for _, to, kind in edges:
            counts[to, kind] = counts.get((to, kind), 0) + 1
        first = list(layer.root(x))
        for origin, to, kind in edges:
            first[to] = first[to] + x[origin] @ layer.relations[:, kind] / counts[to, kind]
        given = [torch.zeros_like(row) for row in first]
        for origin, to, _ in edges:
            given[to] = given[to] + first[origin]
        outputs.append(graph.neighbours(torch.stack(given)) + graph.own(torch.stack(first)))
    return torch.cat(outputs, -1).view(*speaker.shape, -1)


LOOP = "a loop over single edges"
PEERS: dict[str, Contender] = {
    "merbench": merbench_graphs,
    "`index_add_` over listed edges": with_index_add,
    "masks of all pairs": with_masks,
}


def step(contender: Contender, layers: Layers, states: Tensor, speaker: Tensor) -> list[Tensor]:
    """Return outputs of real utterances, and the gradients of their mean square: of the states, and every parameter."""
    parameters = [parameter for graph in layers for parameter in graph.parameters()]
    given = states.detach().requires_grad_()
    outputs = contender(layers, given, speaker)[speaker >= 0]
    return [outputs.detach(), *torch.autograd.grad(outputs.square().mean(), [given, *parameters])]


def measured(longest: int, hidden: int, rounds: int) -> tuple[dict[str, float], float]:
    """Return the times of a step by contender, and the largest difference of values and gradients, as a share of each.

    The loop has few dialogues; its time is that of merbench, times their ratio on these.
    """
    torch.manual_seed(0)
    layers = [GCNET.Graph(2 * hidden, hidden // 2, n) for n in RELATIONS]
    states, speaker = dialogues(longest, 2 * hidden)
    steps = {name: partial(step, peer, layers, states, speaker) for name, peer in PEERS.items()}
    few = states[:N_LOOPED], speaker[:N_LOOPED]
    looped = {"merbench": partial(step, merbench_graphs, layers, *few), LOOP: partial(step, with_loop, layers, *few)}
    differences = [
        float((own - other).abs().max() / own.abs().max().clamp_min(1))
        for contenders in (steps, looped)
        for peer in contenders.values()
        for own, other in zip(contenders["merbench"](), peer(), strict=True)
    ]
    times, own = race(steps, rounds), race(looped, max(1, rounds // 4))
    return times | {LOOP: times["merbench"] * own[LOOP] / own["merbench"]}, max(differences)


def main() -> None:
    """Print the table of times, and the size of the edges of long dialogues."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="steps of each side that count")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, largest = [], 0.0
    for longest, hidden in ((110, 50), (30, 50), (110, 200)):
        times, difference = measured(longest, hidden, arguments.rounds)
        largest = max(largest, difference)
        rows += [
            (f"{longest} utterances, h {hidden}: {name}", seconds(time), f"{time / times['merbench']:.2f}")
            for name, time in times.items()
        ]
    print(f"{machine(['torch'])}, 1 thread; median of {arguments.rounds} rounds\n")
    print(table((f"a step, both graphs of {N_DIALOGUES} dialogues", "time", "merbench = 1"), rows))
    print(f"\nLargest difference of values and gradients, as a share of the largest, or of 1: {largest:.1e}.")
    for longest in (110, 1000, 10_000):
        real = GCNET.Edges.of(torch.zeros(1, longest, dtype=torch.int64), OPTIONS).real
        print(f"A dialogue of {longest:,}: {real.numel():,} places of edges, {longest**2:,} pairs of utterances.")


if __name__ == "__main__":
    main()
