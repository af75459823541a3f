from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from merbench.training import RunSettings, load_baseline, run_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape
from tests.training.conftest import SmallTrack

LENGTHS = {"audio": torch.tensor([3, 9, 0, 1]), "text": torch.tensor([4, 0, 0, 2])}
WIDTHS = {"audio": 5, "text": 3}


def network(widths: dict[str, int], **options: object) -> nn.Module:
    loaded = load_baseline("gru")
    rngs = [generator("cpu", 0)]
    shape = Shape(widths, {"discrete": 6, "valence": None}, rngs, generator("cpu", "noise"))
    torch.manual_seed(0)
    model: nn.Module = loaded.module.Network(loaded.module.Options(**loaded.options("any", options)), shape)
    return model.eval()


def sequences(name: str) -> list[Tensor]:
    rng = torch.Generator().manual_seed(WIDTHS[name])
    return [torch.randn(length, WIDTHS[name], generator=rng) for length in LENGTHS[name].tolist()]


def batch(order: list[int]) -> Batch:
    inputs = {name: nn.utils.rnn.pad_sequence([sequences(name)[i] for i in order], batch_first=True) for name in WIDTHS}
    inputs = {
        name: rows if rows.shape[1] else rows.new_zeros(len(order), 1, rows.shape[2]) for name, rows in inputs.items()
    }
    lengths = {name: values[order] for name, values in LENGTHS.items()}
    return Batch(inputs, lengths, {name: values > 0 for name, values in lengths.items()}, torch.tensor(order))


def test_it_has_the_parameters_of_its_parts() -> None:
    # a GRU 3 h (d + h + 2) per feature, fusion 2 h · h + h, heads 6 h + 6 and h + 1, with h = 64
    grus = sum(3 * 64 * (width + 64 + 2) for width in (1024, 512))
    heads = 64 * 6 + 6 + 64 + 1
    model = network({"audio": 1024, "text": 512})
    assert sum(parameter.numel() for parameter in model.parameters()) == grus + 2 * 64 * 64 + 64 + heads


@pytest.mark.parametrize("window", [1, 4])
def test_each_sequence_is_read_by_itself_and_last_states_are_fused(window: int) -> None:
    model = network(WIDTHS, window=window)
    outputs = model(batch([0, 1, 2, 3]))
    for sample in range(4):
        last = []
        for reader, name in zip(model.readers, WIDTHS, strict=True):
            rows = sequences(name)[sample]
            means = torch.stack([part.mean(0) for part in rows.split(window)]) if len(rows) else rows
            last.append(reader.forwards(means[None])[0][0, -1] if len(rows) else torch.zeros(64))
        fused = model.fusion(torch.cat(last)).relu()
        for output, head in zip((outputs["discrete"], outputs["valence"][:, None]), model.heads.layers, strict=True):
            torch.testing.assert_close(output[sample], head(fused), rtol=1e-5, atol=1e-6)


def test_the_samples_next_to_it_change_nothing() -> None:
    model = network(WIDTHS, window=2)
    every = model(batch([0, 1, 2, 3]))
    for order in ([3, 2, 1, 0], [0], [2], [3, 0]):
        for name, values in model(batch(order)).items():
            torch.testing.assert_close(values, every[name][order], rtol=1e-5, atol=1e-6)


def test_dropout_acts_in_training_alone() -> None:
    model = network(WIDTHS)
    fixed = batch([0, 1])
    assert torch.equal(model(fixed)["valence"], model(fixed)["valence"])
    model.train()
    assert not torch.equal(model(fixed)["valence"], model(fixed)["valence"])


@pytest.mark.slow
def test_vectors_are_sequences_of_one_row(small_track: SmallTrack, tmp_path: Path) -> None:
    options = {"epochs": 12, "hidden": 16, "batch_size": 8, "learning_rate": 0.01}
    run = run_baseline(
        small_track(),
        "gru",
        RunSettings(seeds=[0], options=options, device="cpu", intervals=False),
        output=tmp_path / "run",
    )
    # three classes of vectors around distinct centres: guessing would be right for a third
    assert run.report is not None
    assert (run.report["weighted_f1"].value or 0.0) > 0.6
    first = run.seeds[0].predictions.outputs["discrete"]
    again = run_baseline(
        small_track("two"),
        "gru",
        RunSettings(seeds=[0], options=options, device="cpu", intervals=False),
        output=tmp_path / "again",
    )
    np.testing.assert_array_equal(again.seeds[0].predictions.outputs["discrete"], first)
