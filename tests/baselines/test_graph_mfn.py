from __future__ import annotations

import torch
from torch import nn

from merbench.training import load_baseline
from merbench.training.networks.optimisation import optimiser
from tests.baselines.test_mfn import WIDTHS, batch, mlp, network, random

GRAPH = {"hidden": 4, "memory": 3, "inner": 5}


def linear(layers: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        x = layer.weight @ x + layer.bias
    return x


def test_a_vertex_is_computed_from_those_with_fewer_of_its_features() -> None:
    model = network("graph-mfn", WIDTHS, **GRAPH).graph
    a, b, c = random(3, 4)
    output, e = model([a, b, c])
    torch.testing.assert_close(e, linear(model.efficacies, torch.cat([a, b, c])))
    ab, ac, bc, every = model.networks
    pairs = [
        linear(ab, torch.cat([e[0] * a, e[1] * b])),
        linear(ac, torch.cat([e[2] * a, e[3] * c])),
        linear(bc, torch.cat([e[4] * b, e[5] * c])),
    ]
    six = [a, b, c, *pairs]
    triple = linear(every, torch.cat([own * value for own, value in zip(e[6:12], six, strict=True)]))
    seven = torch.cat([own * value for own, value in zip(e[12:], [*six, triple], strict=True)])
    torch.testing.assert_close(output, linear(model.output, seven), rtol=1e-5, atol=1e-6)


def test_the_graph_is_of_the_states_before_and_after_a_step() -> None:
    model = network("graph-mfn", {"audio": 5, "video": 2}, **GRAPH)
    own = batch([1], {"audio": 5, "video": 2})
    states = [lstm(rows)[0][0] for lstm, rows in zip(model.lstms, own.inputs.values(), strict=True)]
    memory = torch.zeros(3)
    for step in range(3):
        singles = [
            layer(torch.cat([values[step - 1] if step else torch.zeros(4), values[step]])).relu()
            for layer, values in zip(model.singles, states, strict=True)
        ]
        fused, _ = model.graph(singles)
        gates = [mlp(layers, torch.cat([fused, memory])) for layers in (model.memory.retain, model.memory.update)]
        memory = gates[0].sigmoid() * memory + gates[1].sigmoid() * mlp(model.memory.proposal, fused).tanh()
    features = mlp(model.output, torch.cat([states[0][2], states[1][2], memory]))
    torch.testing.assert_close(model(own)["discrete"][0], model.heads.layers[0](features), rtol=1e-5, atol=1e-6)


def changed(model: nn.Module) -> set[str]:
    """Return the beginnings of the names of parameters that a step of training changes."""
    schedule = load_baseline("graph-mfn").module.Options(**load_baseline("graph-mfn").options("any", {}))
    steps = optimiser(model, schedule)
    before = {name: own.detach().clone() for name, own in model.named_parameters()}
    model(batch([0, 1]))["valence"].square().sum().backward()
    steps.step()
    return {name.rpartition(".")[0] for name, own in model.named_parameters() if not torch.equal(own, before[name])}


def test_pairs_and_triple_are_trained_unless_they_are_frozen() -> None:
    # of three pairs and the triple, two layers each
    fused = {f"graph.networks.{vertex}.{layer}" for vertex in range(4) for layer in range(2)}
    assert fused <= changed(network("graph-mfn", WIDTHS, **GRAPH))
    frozen = changed(network("graph-mfn", WIDTHS, **GRAPH, frozen=True))
    assert not fused & frozen and "graph.output.0" in frozen


def test_efficacies_are_bounded_and_the_graph_is_not_linear_where_this_is_asked_for() -> None:
    features = list(100 * random(3, 4))
    free, bounded = (network("graph-mfn", WIDTHS, **GRAPH, bounded=bounded).graph for bounded in (False, True))
    torch.testing.assert_close(bounded(features)[1], free(features)[1].sigmoid())
    assert free(features)[1].abs().max() > 1
    # f(2 x) - f(0) is 2 (f(x) - f(0)) of a linear map only
    for nonlinear in (False, True):
        layers = network("graph-mfn", WIDTHS, **GRAPH, nonlinear=nonlinear).graph.networks[3]
        x = random(layers[0].in_features)
        once, twice = layers(x) - layers(0 * x), layers(2 * x) - layers(0 * x)
        assert torch.allclose(twice, 2 * once, atol=1e-6) != nonlinear


def test_it_shows_how_much_of_every_vertex_it_uses() -> None:
    model = network("graph-mfn", WIDTHS, **GRAPH)
    with torch.no_grad():
        model.graph.efficacies[-1].weight.zero_()
        model.graph.efficacies[-1].bias.copy_(torch.arange(-18.0, 1.0))
        own = model.diagnostics(batch([0, 1, 2]))
    shown = {name: float(value) for name, value in own.items()}
    vertices = ["audio", "text", "video", "audio+text", "audio+video", "text+video", "audio+text+video"]
    assert shown == {f"efficacy of {vertex}": 6.0 - n for n, vertex in enumerate(vertices)}
