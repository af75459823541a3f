"""Spaces of architectures, genotypes, and what a search of them does; expected values are worked out by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from merbench.errors import DeclarationError, UsageError
from merbench.track import load_track
from merbench.training import FeatureSet, Setup, TrainingSet, load_baseline
from merbench.training.architecture import fusion
from merbench.training.architecture.cells import Cells, Operations, cells_of, weight_parameters
from merbench.training.architecture.fusion import fusion_operations, fusion_space
from merbench.training.architecture.searched import AlternatingLearner, only_trained
from merbench.training.architecture.space import (
    CellSpace,
    Genotype,
    Node,
    Space,
    alpha_shapes,
    canonical,
    decoded,
    parse_genotype,
    permuted,
    random_genotypes,
)
from merbench.training.networks.batches import Batch
from merbench.training.networks.learner import Learner
from merbench.training.networks.network import NetworkBaseline

GRAPH = CellSpace(inputs=("x",), nodes=("a", "b", "c"), edges=("none", "relu", "tanh"))
FUSION = Space("fused", {"fusion": fusion_space(["p", "q", "r", "s"], steps=2, nodes=1)})


def chance(*shares: float) -> list[float]:
    """Return alphas whose softmax these shares are."""
    return np.log(shares).tolist()


def test_a_genotype_is_decoded_from_alphas_by_hand() -> None:
    # Upper edges are (none, skip); step-1 has the inputs p q r s, and step-2 also step-1, which is never kept.
    skip = [0.2, 0.8, 0.6, 0.1, 0.9, 0.7, 0.6, 0.2, 0.99]
    alphas = {name: np.zeros(shape) for name, shape in alpha_shapes(FUSION).items()}
    assert {name: values.shape for name, values in alphas.items()} == {
        "fusion/edges": (9, 2),
        "fusion/step-1/edges": (2, 2),
        "fusion/step-1/ops": (1, 4),
        "fusion/step-2/edges": (2, 2),
        "fusion/step-2/ops": (1, 4),
    }
    alphas["fusion/edges"] = np.array([chance(1 - share, share) for share in skip])
    alphas["fusion/step-1/ops"] = np.array([[0.0, 0.3, 0.2, 0.1]])
    alphas["fusion/step-2/ops"] = np.array([[-1.0, -2.0, -3.0, -0.5]])
    found = decoded(FUSION, alphas).cells["fusion"]
    # .8 · .6 is the largest product of step-1. Of step-2 it would be p q, .63, which has p that step-1 does not read.
    assert [node.inputs for node in found] == [("q", "r"), ("p", "q")]
    assert [node.inside[0].op for node in found] == ["attention", "concat_fc"]
    # where q and r are the best of step-2, too, this pair has nothing new: r p (.7 · .5) is next after q r (.7 · .9)
    alphas["fusion/edges"][4:8] = [chance(1 - share, share) for share in (0.5, 0.7, 0.9, 0.2)]
    assert decoded(FUSION, alphas).cells["fusion"][1].inputs == ("p", "r")


def test_the_best_edge_is_that_of_the_best_operation_but_none() -> None:
    # a reads x; b reads x or a; c reads x, a or b
    rows = [
        (0.9, 0.06, 0.04),
        (0.1, 0.5, 0.4),
        (0.2, 0.2, 0.6),
        (0.0001, 0.5, 0.4999),
        (0.3, 0.1, 0.6),
        (1, 1e-9, 1e-9),
    ]
    found = decoded(Space("graph", {"cell": GRAPH}), {"cell/edges": np.array([chance(*row) for row in rows])})
    kept = [(node.inputs, node.edges) for node in found.cells["cell"]]
    assert kept == [(("x",), ("relu",)), (("a",), ("tanh",)), (("a",), ("tanh",))]


def test_a_genotype_is_stored_and_read() -> None:
    for space in (FUSION, Space("graph", {"cell": GRAPH})):
        for genotype in random_genotypes(space, 5, seed=1):
            assert parse_genotype("file", genotype.toml(space).encode(), space) == genotype


BROKEN = """
space = "fused"
cell = 1
[cells.fusion.step-1]
inputs = ["p", "step-2"]
[cells.fusion.step-1.inside.node-1]
inputs = ["x", "y"]
op = "summ"
[cells.fusion.step-2]
inputs = ["step-1", "qq"]
edges = ["skip", "tanh"]
op = "sum"
[cells.fusion.step-2.inside.node-2]
inputs = ["x", "x"]
"""


def test_all_problems_of_a_genotype_are_in_one_message() -> None:
    with pytest.raises(DeclarationError) as error:
        parse_genotype("file.toml", BROKEN.encode(), FUSION)
    text = str(error.value)
    for part in (
        "cell: is unknown; allowed: space, cells",
        "cells.fusion: has a cycle: step-1 → step-2 → step-1",
        "cells.fusion.step-1.inside.node-1.op: 'summ' is not an operation; allowed: sum, attention, linear_glu, "
        "concat_fc; did you mean 'sum'?",
        "cells.fusion.step-2.inputs: reads qq; it may read p, q, r, s",
        "cells.fusion.step-2.edges: 'tanh' is not an operation; allowed: skip",
        "cells.fusion.step-2.op: is not chosen in this space",
        "cells.fusion.step-2.inside.node-2: is unknown; allowed: node-1",
        "cells.fusion.step-2.inside.node-1: is missing",
    ):
        assert part in text, text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": "other"}, "space: is a genotype of 'other', not of 'fused'"),
        ({"space": 3}, "space: is a genotype of 3"),
        ({"cells": 1}, "cells: is not a table of the cells fusion"),
        ({"cells": {}}, "cells.fusion: is not a table of the nodes step-1, step-2"),
    ],
)
def test_a_genotype_of_another_space_is_refused(change: dict[str, Any], message: str) -> None:
    from merbench.files.toml import toml_text

    inner = {"node-1": {"inputs": ["x", "y"], "op": "sum"}}
    nodes = {name: {"inputs": pair, "inside": inner} for name, pair in (("step-1", ["p", "q"]), ("step-2", ["p", "r"]))}
    content = {"space": "fused", "cells": {"fusion": nodes}}
    assert parse_genotype("file", toml_text(content).encode(), FUSION).space == "fused"
    with pytest.raises(DeclarationError, match=message.replace(".", r"\.")):
        parse_genotype("file", toml_text({**content, **change}).encode(), FUSION)
    nodes["step-2"]["inputs"] = ["q", "p"]
    with pytest.raises(DeclarationError, match="has nothing that no node before it reads"):
        parse_genotype("file", toml_text(content).encode(), FUSION)


def test_a_node_that_reads_a_later_one_without_a_cycle_is_refused() -> None:
    text = 'space = "graph"\n' + "".join(
        f'[cells.cell.{name}]\ninputs = ["{read}"]\nedges = ["relu"]\n'
        for name, read in (("a", "b"), ("b", "x"), ("c", "x"))
    )
    with pytest.raises(DeclarationError, match="reads b; it may read x") as error:
        parse_genotype("file", text.encode(), Space("graph", {"cell": GRAPH}))
    assert "cycle" not in str(error.value)


def cell(*nodes: tuple[str, str]) -> tuple[Node, ...]:
    return tuple(Node((read,), (edge,)) for read, edge in nodes)


def test_cells_that_differ_in_the_order_of_nodes_have_one_canonical_form() -> None:
    # relu(x), tanh(x), and tanh of the first
    first = cell(("x", "relu"), ("x", "tanh"), ("a", "tanh"))
    second = cell(("x", "tanh"), ("x", "relu"), ("b", "tanh"))
    third = cell(("x", "relu"), ("a", "tanh"), ("x", "tanh"))
    assert canonical(GRAPH, first) == canonical(GRAPH, second) == canonical(GRAPH, third)
    # another graph: tanh of the other one
    assert canonical(GRAPH, first) != canonical(GRAPH, cell(("x", "relu"), ("x", "tanh"), ("b", "tanh")))
    # two equal nodes that one further node, or two, read are two graphs
    space = replace(GRAPH, nodes=("a", "b", "c", "d"))
    equal = [("x", "relu"), ("x", "relu")]
    shared, apart = (cell(*equal, ("a", "tanh"), (last, "tanh")) for last in "ab")
    assert canonical(space, shared) != canonical(space, apart)


def test_what_is_added_has_no_order_and_what_is_combined_has_one() -> None:
    two = CellSpace(inputs=("x", "y"), nodes=("a",), takes=2, edges=("relu", "tanh"))
    pair, swapped = Node(("x", "y"), ("relu", "tanh")), Node(("y", "x"), ("tanh", "relu"))
    assert canonical(two, (pair,)) == canonical(two, (swapped,))
    assert canonical(replace(two, ops=("glu",)), (pair,)) != canonical(replace(two, ops=("glu",)), (swapped,))


def test_steps_of_fusion_that_change_places_are_the_same_network() -> None:
    inner = [(Node(("x", "y"), ("skip", "skip"), op),) for op in ("sum", "attention")]
    steps = [Node(("p", "q"), ("skip", "skip"), inside=inner[0]), Node(("r", "s"), ("skip", "skip"), inside=inner[1])]
    every = [Genotype("fused", {"fusion": tuple(own)}).key(FUSION) for own in (steps, steps[::-1])]
    assert every[0] == every[1]
    other = [replace(step, inside=own) for step, own in zip(steps, inner[::-1], strict=True)]
    assert Genotype("fused", {"fusion": tuple(other)}).key(FUSION) != every[0]


def test_random_genotypes_are_different_and_all_that_there_are() -> None:
    # c of three inputs: x (one edge of two operations), and so on: 2 · 4 · 6 = 48 cells in all
    space = Space("graph", {"cell": replace(GRAPH, nodes=("a", "b"))})
    # of two nodes, 2 · 4 = 8 cells; those that read x with different operations are the same in either order: 7
    drawn = random_genotypes(space, 7, seed=0)
    assert len({genotype.key(space) for genotype in drawn}) == 7
    assert random_genotypes(space, 3, seed=0) == drawn[:3]
    with pytest.raises(UsageError, match="the space 'graph' has only 7 different networks, 8 are wanted"):
        random_genotypes(space, 8, seed=0)


def test_random_genotypes_are_uniform() -> None:
    # pairs of step-1 are 6, those of step-2 with something new 5: each pair of step-1 has a sixth
    first = Counter(random_genotypes(FUSION, 1, seed)[0].cells["fusion"][0].inputs for seed in range(600))
    assert len(first) == 6
    assert all(60 < count < 140 for count in first.values())  # 100 ± 9


def test_permuted_alphas_are_the_same_numbers() -> None:
    alphas = {"a": np.arange(12.0).reshape(4, 3), "b": np.arange(2.0).reshape(1, 2)}
    changed = permuted(alphas, 0)
    for name, values in alphas.items():
        assert sorted(changed[name].reshape(-1)) == sorted(values.reshape(-1))
        assert changed[name].shape == values.shape
    assert not np.array_equal(changed["a"], alphas["a"])
    np.testing.assert_array_equal(permuted(alphas, 0)["a"], changed["a"])
    assert not np.array_equal(permuted(alphas, 1)["a"], changed["a"])


@pytest.mark.parametrize(
    ("name", "count"),
    [("sum", lambda c: 0), ("attention", lambda c: 2 * c), ("linear_glu", lambda c: 4 * c**2 + 2 * c + 4 * c),
     ("concat_fc", lambda c: 2 * c**2 + c + 2 * c)],
)  # fmt: skip
@pytest.mark.parametrize("channels", [3, 192])
def test_parameters_of_the_operations_of_fusion(name: str, count: Any, channels: int) -> None:
    layer = fusion_operations(channels, 4, 0.1).of_node("node-1")(name)
    assert sum(parameter.numel() for parameter in layer.parameters()) == count(channels)
    x, y = torch.randn(2, 5, channels, 4, generator=torch.Generator().manual_seed(0))
    assert layer(x, y).shape == x.shape


def test_attention_of_fusion_by_hand() -> None:
    layer = fusion.ScaledDotAttention(2, 0.0)
    x, y = torch.tensor([[[1.0], [0.0]]]), torch.tensor([[[2.0, 0.0], [0.0, 4.0]]])  # y has positions (2, 0), (0, 4)
    share = float(np.exp(2 / np.sqrt(2)) / (np.exp(2 / np.sqrt(2)) + 1))
    taken = np.array([2 * share, 4 * (1 - share)])
    expected = (taken - taken.mean()) / np.sqrt(taken.var() + 1e-5)
    np.testing.assert_allclose(layer(x, y)[0, :, 0].detach(), expected, rtol=1e-5)


class Times(nn.Module):
    """A layer with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.randn(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.factor).tanh()


def test_one_hot_alphas_are_the_operation() -> None:
    space = Space("graph", {"cell": replace(GRAPH, nodes=("a", "b"))})
    torch.manual_seed(0)
    mixed = Cells(space, {"cell": Operations.named({"relu": Times, "tanh": Times})}, None)
    x = torch.randn(3, 4)
    with torch.no_grad():
        # a = tanh-like of x; b = relu-like of a, and nothing of x
        mixed.alphas["cell/edges"].copy_(1000 * torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]))
    a, b = mixed("cell", {"x": x}, mixed.weights())
    edges = mixed.cells[0].edges
    assert torch.equal(a, edges[0][0].layers[1](x))
    assert torch.equal(b, edges[1][1].layers[0](a))


def test_half_and_half_is_the_mean() -> None:
    space = Space("graph", {"cell": CellSpace(inputs=("x",), nodes=("a",), edges=("none", "relu", "tanh"))})
    mixed = Cells(space, {"cell": Operations.named({"relu": Times, "tanh": Times})}, None)
    with torch.no_grad():
        mixed.alphas["cell/edges"].copy_(torch.tensor([[-1000.0, 0, 0]]))
    x = torch.randn(3)
    relu, tanh = (layer(x) for layer in mixed.cells[0].edges[0][0].layers)
    torch.testing.assert_close(mixed("cell", {"x": x}, mixed.weights())[0], (relu + tanh) / 2)


def test_a_found_cell_reads_what_was_kept() -> None:
    makers = {"relu": nn.ReLU, "tanh": nn.Tanh}
    genotype = Genotype("graph", {"cell": cell(("x", "relu"), ("a", "tanh"), ("x", "tanh"))})
    found = Cells(Space("graph", {"cell": GRAPH}), {"cell": Operations.named(makers)}, genotype)
    x = torch.tensor([-1.0, 2.0])
    a, b, c = found("cell", {"x": x}, found.weights())
    assert torch.equal(a, x.relu())
    assert torch.equal(b, x.relu().tanh())
    assert torch.equal(c, x.tanh())
    assert not [*found.alphas.parameters()]


# --- a search


SMALL = {
    "hidden": 6, "channels": 3, "length": 2, "search_epochs": 3, "epochs": 2, "batch_size": 8, "dropout": 0.1, "patience": 0
}  # fmt: skip


def samples(n: int = 64) -> TrainingSet:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n).astype(np.int32)
    vectors = {name: (labels[:, None] + rng.normal(0, 1, (n, 4))).astype(np.float32) for name in ("audio", "text")}
    ids = pa.array([f"{i:03}" for i in range(n)])
    return TrainingSet(load_track("mer2023-semi"), FeatureSet.of_vectors(ids, vectors), {"discrete": labels})


def built(setup: Setup = Setup(0, 2, "cpu"), **options: Any) -> Any:  # noqa: B008
    loaded = load_baseline("bm-nas")
    chosen = loaded.options("any", {**SMALL, **options})
    return getattr(loaded.build(chosen, setup), "built")  # noqa: B009


class Stopped(Exception):
    """Raised where a step would be taken."""


def test_the_gradient_of_alphas_is_that_of_the_validation_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def step(self: AlternatingLearner, *arguments: Any) -> Any:
        network, other = self.network, self.architecture
        rows = next(other.order.epoch(self.data.device))
        network.eval()
        with torch.no_grad():
            for alphas in self.alphas:  # away from 0, where everything is nearly alike
                alphas.copy_(torch.randn(alphas.shape, generator=torch.Generator().manual_seed(3)))

        def loss() -> float:
            with torch.no_grad():
                return sum(float(part["loss"]) for part in other._losses((rows, None), 1, 1))

        with only_trained(self.alphas, self.weights):
            for part in other._losses((rows, None), 1, 1):
                part["loss"].sum().backward()
        assert all(parameter.grad is None for parameter in self.weights)
        for alphas in self.alphas:
            assert alphas.grad is not None
            for place in np.ndindex(*alphas.shape):
                ends = []
                with torch.no_grad():
                    for shift in (0.004, -0.008):
                        alphas[place] += shift
                        ends.append(loss())
                    alphas[place] += 0.004
                compared.append((float(alphas.grad[place]), (ends[0] - ends[1]) / 0.008))
        raise Stopped

    monkeypatch.setattr(AlternatingLearner, "_step", step)
    with pytest.raises(Stopped):
        built(dropout=0.0).search(samples())
    gradients, differences = np.array(compared).T
    assert np.abs(gradients).max() > 0.01
    np.testing.assert_allclose(gradients, differences, atol=2e-4)


def test_alphas_learn_from_the_other_half_and_weights_from_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, set[int]] = {}
    own = Learner._step

    def step(self: Learner, steps: Any, epoch: int, pieces: int) -> Any:
        alphas = isinstance(self, AlternatingLearner)
        state = {name: values.clone() for name, values in self.network.state_dict().items()}
        for rows, _ in steps:
            seen.setdefault(int(alphas), set()).update(rows[rows >= 0].tolist())
        losses = own(self, steps, epoch, pieces)
        changed = {name for name, values in self.network.state_dict().items() if not torch.equal(values, state[name])}
        # the step of the alphas leaves weights and the moments of BatchNorm as they were, and the other way round
        assert all(("alphas" in name) != alphas for name in changed)
        assert changed
        return losses

    monkeypatch.setattr(Learner, "_step", step)
    train = samples()
    built().search(train)
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(range(64))
    assert len(seen[0]) == len(seen[1]) == 32


def test_a_development_set_is_never_searched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    train = samples()
    development = np.arange(64) % 4 == 0
    ids = []
    fitted = NetworkBaseline.fit_folds

    def watched(self: NetworkBaseline, train: TrainingSet) -> Any:
        ids.append(set(train.samples.ids.to_pylist()))
        return fitted(self, train)

    monkeypatch.setattr(NetworkBaseline, "fit_folds", watched)
    built(Setup(0, 1, "cpu")).fit_folds(replace(train, selection="dev", development=development))
    searched, trained = ids
    assert len(searched) == 48
    assert not searched & {f"{i:03}" for i in range(0, 64, 4)}
    assert len(trained) == 64


class Interrupted(Exception):
    """An interruption."""


@pytest.mark.parametrize("after", [2, 4])
def test_an_interrupted_search_goes_on_with_the_same_bytes(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = samples()
    whole = built()
    result = whole.fit_folds(train)
    monkeypatch.setattr("merbench.training.networks.checkpoints.SECONDS", 0.0)
    epochs, own = [0], Learner.epoch

    def epoch(self: Learner, number: int) -> Any:
        epochs[0] += 1
        if epochs[0] > after:
            raise Interrupted
        return own(self, number)

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(Learner, "epoch", epoch)
        built(Setup(0, 2, "cpu", state=tmp_path)).fit_folds(train)
    trained = [0]

    def counted(self: Learner, number: int) -> Any:
        trained[0] += 1
        return own(self, number)

    monkeypatch.setattr(Learner, "epoch", counted)
    resumed = built(Setup(0, 2, "cpu", state=tmp_path))
    again = resumed.fit_folds(train)
    # three epochs of the search, and two of each fold; folds take turns and are stored after both
    assert trained[0] == 3 + 4 - {2: 2, 4: 3}[after]
    assert again.details == result.details
    for name, values in whole.weights().items():
        assert resumed.weights()[name].tobytes() == values.tobytes()


def test_a_search_is_not_continued_in_another_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merbench.training.networks.checkpoints.SECONDS", 0.0)
    setup = Setup(0, 2, "cpu", state=tmp_path)
    built(setup).search(samples())
    with pytest.raises(UsageError, match=r"the state of another training; what differs: .*space"):
        built(setup, nodes=2).search(samples())


def test_the_same_seed_finds_the_same_and_controls_do_not_depend_on_it(tmp_path: Path) -> None:
    train, space = samples(), built().space({"audio": 4, "text": 4})

    def genotype(named: str, seed: int = 0) -> str:
        result = built(Setup(seed, 2, "cpu"), genotype=named).fit_folds(train)
        assert ("search" in result.details) == (named in ("searched", "permuted"))
        return str(result.details["genotype"])

    assert genotype("searched") == genotype("searched")
    assert genotype("random", 3) == random_genotypes(space, 1, 3)[0].toml(space)
    path = tmp_path / "genotype.toml"
    path.write_text(genotype("random", 4), encoding="utf-8")
    assert genotype(str(path)) == path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace("bm-nas", "darts"), encoding="utf-8")
    with pytest.raises(DeclarationError, match="is a genotype of 'darts', not of 'bm-nas'"):
        genotype(str(path))
    with pytest.raises(UsageError, match="cannot be read"):
        genotype(str(tmp_path / "no.toml"))


def test_permuted_alphas_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    train, space = samples(), built().space({"audio": 4, "text": 4})
    result = built(genotype="permuted").fit_folds(train)
    alphas = {name: np.array(values) for name, values in result.details["search"]["alphas"].items()}
    assert result.details["genotype"] == decoded(space, permuted(alphas, 0)).toml(space)
    again = built().fit_folds(train).details
    assert again["search"] == result.details["search"]
    assert again["genotype"] == decoded(space, alphas).toml(space)


def test_samples_of_the_search_are_counted() -> None:
    # the search has 64 samples in 3 epochs, and each of two folds learns from 32 in 2 epochs
    assert built().fit_folds(samples()).sample_epochs == 3 * 64 + 2 * 2 * 32


def test_weights_without_a_genotype_are_refused() -> None:
    train, fitted = samples(), built()
    fitted.fit_folds(train)
    weights = fitted.weights()
    restored = built(genotype="random")
    restored.restore(weights, train.track, {"audio": 4, "text": 4})
    assert restored.genotype == fitted.genotype
    del weights["network.genotype"]
    with pytest.raises(UsageError, match="the weights have no genotype"):
        built().restore(weights, train.track, {"audio": 4, "text": 4})


def test_every_parameter_is_a_weight_or_an_alpha() -> None:
    train = samples()
    made = built()
    made._make_networks(train.samples.widths, train.track, 1)
    (network,) = made.networks
    alphas = [*cells_of(network).alphas.parameters()]
    assert len(alphas) + len([*weight_parameters(network)]) == len([*network.parameters()])
    batch: Mapping[str, torch.Tensor] = {"audio": torch.randn(5, 4), "text": torch.randn(5, 4)}
    network(Batch(batch, {}, {}, torch.arange(5)))["discrete"].square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
