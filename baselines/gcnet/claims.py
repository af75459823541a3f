"""Exact claims of GCNet: a relational layer on a dialogue of three utterances, worked out by hand."""

from __future__ import annotations

from types import ModuleType

import torch

from merbench.training import load_baseline


def relational_layer(model: ModuleType) -> list[float]:
    """Return the outputs of both graphs, utterance by utterance, where the states are unit vectors and W = I, b = 0.

    Speakers are 0, 1, 0, and the window is one utterance to each side. By order all neighbours have relations of their
    own: rows (2, 1, 0), (1, 2, 1), (0, 1, 2), where 2 is the utterance itself, twice. By speaker, both neighbours
    of the second utterance are of one relation, and count half each: (½, 2, ½).
    """
    options = model.Options(**load_baseline("gcnet").options("", {"past": 1, "future": 1}))
    edges = model.Edges.of(torch.tensor([[0, 1, 0]]), options)
    values = []
    for relation, n_relations in ((edges.order, 3), (edges.speakers, 4)):
        layer = model.RelationalLayer(3, 3, n_relations)
        with torch.no_grad():
            layer.relations.copy_(torch.eye(3)[:, None].expand(3, n_relations, 3))
            layer.root.weight.copy_(torch.eye(3))
            values += layer(torch.eye(3)[None], edges, relation).flatten().tolist()
    return values
