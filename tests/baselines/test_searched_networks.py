"""What holds for every network whose architecture is searched: of all operations, and of a genotype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from merbench.track import load_track
from merbench.training import Dialogues, FeatureSet, Sequences, Setup, Storable, TrainingSet, load_baseline
from merbench.training.architecture.cells import Cells, cells_of
from merbench.training.architecture.darts import Convolved, Gate, Pooled, RecurrentRows, activations, recurrent_space
from merbench.training.architecture.space import Genotype, Node, Space, random_genotypes
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape

SEQUENCES: dict[str, tuple[str, dict[str, Any]]] = {
    "darts": ("darts", {"hidden": 4, "nodes": 2, "layers": 2}),
    "recurrent": ("darts", {"cell": "recurrent", "hidden": 4, "nodes": 2}),
    "after-emotion-nas": ("after-emotion-nas", {"hidden": 4, "nodes": 2, "layers": 1}),
    "after-mfas": ("after-mfas", {"codes": 8, "channels": 4, "length": 3}),
}
RMNAS: dict[str, Any] = {"hidden": 8, "heads": 2, "channels": 4, "length": 2}
WIDTHS = {"audio": 5, "text": 3, "video": 2}
LENGTHS = {"audio": [8, 3, 1, 0, 4], "text": [4, 3, 1, 0, 0], "video": [5, 3, 1, 0, 9]}
LABELS: dict[str, int | None] = {"discrete": 3, "valence": None, "only": 1}


def made(name: str, widths: dict[str, int], *, searched: bool, seed: int = 0, **options: Any) -> nn.Module:
    """Return the network of all operations, or one of a random genotype, in evaluation."""
    loaded = load_baseline(name)
    chosen = loaded.module.Options(**loaded.options("any", options))
    genotype = None if searched else random_genotypes(loaded.module.space(chosen, widths), 1, seed)[0]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        shape = Shape(widths, LABELS, [generator("cpu", 0)], generator("cpu", "noise"))
        network: nn.Module = loaded.module.Network(chosen, shape, genotype)
        for normal in network.modules():  # as after training: those of one batch would hide what depends on it
            if isinstance(normal, nn.BatchNorm1d) and normal.running_mean is not None:
                normal.running_mean.uniform_(-0.5, 0.5)
    return network.eval()


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(hash(shape) % 1000))


def batch(order: list[int], widths: dict[str, int] = WIDTHS) -> Batch:
    inputs, lengths = {}, {}
    for name, width in widths.items():
        every = [random(length, width) for length in LENGTHS[name]]
        padded = nn.utils.rnn.pad_sequence([every[i] for i in order], batch_first=True)
        inputs[name] = padded if padded.shape[1] else padded.new_zeros(len(order), 1, width)
        lengths[name] = torch.tensor(LENGTHS[name])[order]
    return Batch(inputs, lengths, {name: own > 0 for name, own in lengths.items()}, torch.tensor(order))


@pytest.mark.parametrize("kind", SEQUENCES)
@pytest.mark.parametrize("searched", [True, False])
@pytest.mark.parametrize("window", [1, 2])
def test_padding_and_the_samples_next_to_it_change_nothing(kind: str, searched: bool, window: int) -> None:
    name, options = SEQUENCES[kind]
    for seed in range(1 if searched else 4):
        model = made(name, WIDTHS, searched=searched, seed=seed, window=window, **options)
        with torch.no_grad():
            every = model(batch([0, 1, 2, 3, 4]))
            for order in ([4, 3, 2, 1, 0], [0], [2], [3], [4]):
                for target, values in model(batch(order)).items():
                    torch.testing.assert_close(values, every[target][order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SEQUENCES)
@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_it_learns_from_any_of_its_features(kind: str, n_features: int) -> None:
    name, options = SEQUENCES[kind]
    widths = dict(list(WIDTHS.items())[:n_features])
    for searched in (True, False):
        model = made(name, widths, searched=searched, **options).train()
        for own in (batch([0, 1], widths), batch([3], widths)):
            outputs = model(own)
            assert {target: tuple(part.shape) for target, part in outputs.items()} == {
                "discrete": (len(own.samples), 3), "valence": (len(own.samples),), "only": (len(own.samples), 1)
            }  # fmt: skip
            model.zero_grad()
            sum(output.square().sum() for output in outputs.values()).backward()
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def dialogues(order: list[int], widths: dict[str, int]) -> Batch:
    """Return dialogues of 3, 1 and 5 utterances; of the last one the third utterance has no text."""
    lengths = [(3, 1, 5)[i] for i in order]
    samples = torch.full((len(order), max(lengths)), -1)
    inputs = {name: torch.zeros(*samples.shape, width) for name, width in widths.items()}
    present = {name: torch.zeros(samples.shape, dtype=torch.bool) for name in widths}
    for row, (i, n) in enumerate(zip(order, lengths, strict=True)):
        samples[row, :n] = 10 * i + torch.arange(n)
        for name, width in widths.items():
            inputs[name][row, :n] = random(n, width)
            present[name][row, :n] = True
            if (i, name) == (2, "text"):
                inputs[name][row, 2], present[name][row, 2] = 0, False
    return Batch(inputs, {}, present, samples, samples.clamp(-1, 0))


@pytest.mark.parametrize("searched", [True, False])
@pytest.mark.parametrize("variation", [True, False])
def test_dialogues_do_not_depend_on_padding_and_others(searched: bool, variation: bool) -> None:
    for seed in range(1 if searched else 5):
        model = made("after-rmnas", WIDTHS, searched=searched, seed=seed, variation=variation, **RMNAS)
        with torch.no_grad():
            every = model(dialogues([0, 1, 2], WIDTHS))
            for place, n in enumerate((3, 1, 5)):
                for target, values in model(dialogues([place], WIDTHS)).items():
                    torch.testing.assert_close(values[0, :n], every[target][place, :n], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_features", [1, 3])
def test_dialogues_are_learned_from(n_features: int) -> None:
    widths = dict(list(WIDTHS.items())[:n_features])
    for searched in (True, False):
        model = made("after-rmnas", widths, searched=searched, **RMNAS).train()
        for order in ([0, 2], [1]):
            outputs = model(dialogues(order, widths))
            model.zero_grad()
            sum(output.square().sum() for output in outputs.values()).backward()
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_the_variation_of_an_utterance_reaches_its_block() -> None:
    model: Any = made("after-rmnas", {"audio": 2}, searched=False, **RMNAS)
    before = dialogues([0], {"audio": 2})
    with torch.no_grad():
        for block in model.modules():
            if type(block).__name__ == "Shared":
                block.variation.weight.mul_(10)
        with_variation = model(before)["valence"]
        for block in model.modules():
            if type(block).__name__ == "Shared":
                block.variation.weight.zero_()
        assert not torch.allclose(model(before)["valence"], with_variation)


def test_pooling_counts_real_rows_only_by_hand() -> None:
    rows = torch.tensor([[[1.0], [5.0], [3.0], [9.0]]])
    real = torch.tensor([[True, True, True, False]])
    assert Pooled(largest=False)(rows, real).flatten().tolist() == pytest.approx([3, 3, 4, 0])
    assert Pooled(largest=True)(rows - 10, real).flatten().tolist() == [-5, -5, -5, 0]


@pytest.mark.parametrize(("kernel", "dilation", "reach"), [(3, 1, 1), (5, 1, 2), (3, 2, 2), (5, 2, 4)])
def test_convolutions_read_as_far_as_kernel_and_dilation_say(kernel: int, dilation: int, reach: int) -> None:
    layer = Convolved(2, kernel, dilation, 1)
    x = random(1, 13, 2).abs().requires_grad_()  # what is below 0 is not passed on
    layer(x, torch.ones(1, 13, dtype=torch.bool))[0, 6, 0].backward()
    assert x.grad is not None
    read = x.grad.abs().sum(-1)[0].nonzero().flatten().tolist()
    assert read == [6 + dilation * n for n in range(-(kernel // 2), kernel // 2 + 1)]
    assert (read[0], read[-1]) == (6 - reach, 6 + reach)


def test_a_recurrent_genotype_step_by_step() -> None:
    # node-1 is the sigmoid of the first state, node-2 the ReLU of node-1; the state is the mean of both
    space = Space("darts", {"recurrent": recurrent_space(2)})
    nodes = (Node(("state",), ("sigmoid",)), Node(("node-1",), ("relu",)))
    torch.manual_seed(0)
    cells = Cells(space, {"recurrent": activations(3)}, Genotype("darts", {"recurrent": nodes}))
    layer, rows = RecurrentRows(2, 3), random(1, 2, 2)
    ours = layer(cells, rows, torch.tensor([2]), cells.weights())[0]

    def gate(weight: Tensor, given: Tensor, state: Tensor, function: Any) -> Tensor:
        share, new = (weight @ given).chunk(2)
        return state + share.sigmoid() * (function(new) - state)

    gates: list[Any] = [cells.cells[0].edges[n][0] for n in range(2)]
    assert all(isinstance(own, Gate) for own in gates)
    state = torch.zeros(3)
    for x in rows[0]:
        first = gate(layer.first.weight, torch.cat([x, state]), state, torch.tanh)
        one = gate(gates[0].linear.weight, first, first, torch.sigmoid)
        two = gate(gates[1].linear.weight, one, one, torch.relu)
        state = (one + two) / 2
    torch.testing.assert_close(ours, state)


def test_copies_of_a_cell_share_alphas_only() -> None:
    model = made("darts", WIDTHS, searched=True, hidden=4, nodes=2, layers=3)
    cells = cells_of(model)
    assert len(cells.cells) == 3
    assert [tuple(alphas.shape) for alphas in cells.alphas.values()] == [(2 + 3, 8)]
    first, second = ({id(parameter) for parameter in cells.cells[n].parameters()} for n in (0, 1))
    assert not first & second


def data(kind: str, n: int = 48) -> TrainingSet:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n).astype(np.int32)
    sequences, steps = {}, 1 if kind == "dialogues" else 3
    for name in ("audio", "text"):
        rows = (labels.repeat(steps)[:, None] + rng.normal(0, 1, (n * steps, 4))).astype(np.float32)
        sequences[name] = Sequences(rows, steps * np.arange(n), np.full(n, steps))
    own = None
    if kind == "dialogues":
        own = Dialogues(np.arange(n) // 4, np.arange(n) % 4, np.arange(n) % 2)
    ids = pa.array([f"{i:03}" for i in range(n)])
    return TrainingSet(load_track("mer2023-semi"), FeatureSet(ids, sequences, dialogues=own), {"discrete": labels})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*SEQUENCES, "after-rmnas"])
def test_it_is_searched_trained_and_restored(kind: str) -> None:
    name, options = SEQUENCES.get(kind, (kind, RMNAS))
    train = data("dialogues" if name == "after-rmnas" else "sequences")
    loaded = load_baseline(name)
    chosen = loaded.options("any", {**options, "search_epochs": 2, "epochs": 2, "batch_size": 8})
    fitted, restored = (loaded.build(chosen, Setup(0, 2, "cpu")) for _ in range(2))
    result = fitted.fit_folds(train)
    assert f'space = "{name}"' in result.details["genotype"]
    assert isinstance(fitted, Storable) and isinstance(restored, Storable)
    restored.restore(fitted.weights(), train.track, {"audio": 4, "text": 4})
    predicted = fitted.predict(train.samples).outputs["discrete"]
    assert np.ptp(predicted, axis=0).max() > 0
    np.testing.assert_array_equal(restored.predict(train.samples).outputs["discrete"], predicted)
