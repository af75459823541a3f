from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merbench.training import RunSettings, load_baseline, run_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape

N_FOLDS = 2


def network(widths: list[int], *, softmax: bool = False, **heads: int | None) -> torch.nn.Module:
    loaded = load_baseline("attention")
    options = loaded.module.Options(**{**loaded.options("any", {}), "softmax": softmax})
    rngs = [generator("cpu", fold) for fold in range(N_FOLDS)]
    shape = Shape({f"f{i}": width for i, width in enumerate(widths)}, heads, rngs, generator("cpu", "noise"))
    model: torch.nn.Module = loaded.module.Network(options, shape)
    return model.eval()


def batch(inputs: list[torch.Tensor]) -> Batch:
    return Batch({f"f{i}": x for i, x in enumerate(inputs)}, {}, {}, torch.zeros(N_FOLDS, 6, dtype=torch.int64))


def test_the_declared_model_is_that_of_the_challenge() -> None:
    loaded = load_baseline("attention")
    paper = loaded.declaration.presets["paper"]
    assert paper.seeds == (0, 1, 2)
    options = loaded.options("mer2023-multi", paper.options)
    assert options == {
        "hidden": [256, 128],
        "dropout": 0.3,
        "softmax": False,
        "standardise": False,
        "learning_rate": 1e-3,
        "weight_decay": 1e-5,
        "batch_size": 32,
        "epochs": 100,
        "patience": 0,
    }
    # per slot d·256 + 256 + 256·128 + 128; attention 384·256 + 256 + 256·128 + 128 + 128·3 + 3; heads 128·6 + 6, 128 + 1
    encoders = 3 * (1024 * 256 + 256 + 256 * 128 + 128)
    attention = 384 * 256 + 256 + 256 * 128 + 128 + 128 * 3 + 3
    heads = 128 * 6 + 6 + 128 + 1
    model = network([1024] * 3, discrete=6, valence=None)
    assert sum(p.numel() for p in model.parameters()) == N_FOLDS * (encoders + attention + heads)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("widths", [[5], [5, 3], [5, 3, 4, 2]])
def test_the_weighted_sum_of_encodings_feeds_the_heads(widths: list[int], softmax: bool) -> None:
    model = network(widths, softmax=softmax, discrete=3, valence=None)
    inputs = [torch.randn(N_FOLDS, 6, width, generator=torch.Generator().manual_seed(width)) for width in widths]
    outputs = model(batch(inputs))
    inputs = inputs * 3 if len(inputs) == 1 else inputs  # a single feature fills three slots
    assert outputs["discrete"].shape == (N_FOLDS, 6, 3)
    assert outputs["valence"].shape == (N_FOLDS, 6)

    def through(layers: torch.nn.Module, x: torch.Tensor, fold: int) -> torch.Tensor:
        for layer in layers:
            x = (x @ layer.weight[fold] + layer.bias[fold]).relu()
        return x

    for fold in range(N_FOLDS):
        encodings = [through(encoder, x[fold], fold) for encoder, x in zip(model.encoders, inputs, strict=True)]
        hidden, last = model.attention
        weights = through(hidden, torch.cat(encodings, 1), fold) @ last.weight[fold] + last.bias[fold]
        if softmax:
            weights = weights.exp() / weights.exp().sum(1, keepdim=True)
        fused = sum(weights[:, [slot]] * encoding for slot, encoding in enumerate(encodings))
        for output, head in zip((outputs["discrete"], outputs["valence"][..., None]), model.heads.layers, strict=True):
            torch.testing.assert_close(output[fold], fused @ head.weight[fold] + head.bias[fold], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_on_the_sample_it_reaches_its_band(sample_home: Path, tmp_path: Path) -> None:
    run = run_baseline(
        "mer-semi",
        "attention",
        RunSettings(seeds=[0], options={"epochs": 6}, device="cpu", intervals=False),
        output=tmp_path / "run",
    )
    assert run.report is not None
    assert 0.65 <= (run.report["weighted_f1"].value or 0.0) <= 0.85
    assert run.report.synthetic
