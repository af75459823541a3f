from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape
from tests.baselines.networks import batch_of, network_of

WIDTHS = {"audio": 5, "video": 3, "text": 4}
LABELS = {"discrete": 3, "valence": None}
SMALL = {"hidden": 8, "alpha": 0.5, "beta": 0.25, "memory": 2, "batch_size": 6}

model = load_baseline("mmim").module


def training_batch(n: int, widths: dict[str, int] = WIDTHS, seed: int = 0) -> Batch:
    targets = {"discrete": torch.arange(n) % 3, "valence": torch.zeros(n)}
    return replace(batch_of(widths, n, seed=seed), targets=targets, epoch=1)


def remembering(widths: dict[str, int] = WIDTHS, **options: Any) -> Any:
    network = network_of("mmim", widths, LABELS, **{**SMALL, **options})
    network.remember(6, training_batch(6).targets, torch.arange(6))
    return network


def test_without_weights_it_is_a_plain_network() -> None:
    outputs, own = remembering(alpha=0.0, beta=0.0)(training_batch(6))
    assert own == {}
    weighted, terms = remembering()(training_batch(6))
    assert set(terms) == {"contrast", "likelihood", "entropy"}
    assert set(remembering(memory=0)(training_batch(6))[1]) == {"contrast", "likelihood"}
    assert all(torch.equal(outputs[name], weighted[name]) for name in LABELS)


def total(returned: tuple[dict[str, Tensor], dict[str, Tensor]]) -> Tensor:
    outputs, terms = returned
    return torch.stack([*(x.square().sum() for x in outputs.values()), *terms.values()]).sum()


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("features", [["audio"], ["audio", "video"], ["audio", "video", "text"]])
def test_gradients_of_identical_rows_are_finite(n: int, features: list[str], bounded: bool) -> None:
    widths = {name: WIDTHS[name] for name in features}
    network, batch = remembering(widths, bounded=bounded).train(), training_batch(n, widths)
    for layer in network.encoders:  # dead units: a modality of zeros has no direction
        torch.nn.init.constant_(layer[-2].bias, -100.0)
    same = replace(batch, inputs={name: x[:1].expand_as(x) for name, x in batch.inputs.items()})
    for _ in range(2):
        loss = total(network(same))
        loss.backward()
        assert loss.isfinite()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_padding_is_no_part_of_the_terms() -> None:
    batch = training_batch(6)
    padded = replace(batch, samples=torch.tensor([0, 1, -1, 3, 4, -1]))
    keep = padded.real
    real = Batch(
        {name: x[keep] for name, x in batch.inputs.items()},
        {},
        {},
        torch.arange(4),
        None,
        {name: x[keep] for name, x in batch.targets.items()},
        1,
    )
    for name, term in remembering()(real)[1].items():
        torch.testing.assert_close(remembering()(padded)[1][name], term)
        assert not torch.isclose(remembering()(batch)[1][name], term)


def test_the_entropy_is_that_of_a_gaussian_of_every_group() -> None:
    rows = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, -1, -1])  # one row has no variance, two are in no group
    wanted = [
        np.linalg.slogdet(np.cov(rows[groups == group].double().numpy().T, bias=True) + 1e-4 * np.eye(3))[1] / 2
        for group in (0, 1)
    ]
    assert float(model.entropy(rows, groups, 3)) == pytest.approx(np.mean(wanted), rel=1e-4)
    assert float(model.entropy(rows, torch.full((12,), -1), 3)) == 0


def test_groups_are_labels_largest_shares_and_signs() -> None:
    assert model.groups_of(torch.tensor([2, 0, -1])).tolist() == [2, 0, -1]
    assert model.groups_of(torch.tensor([[0.2, 0.8], [0.9, 0.1]])).tolist() == [1, 0]
    assert model.groups_of(torch.tensor([0.5, -3.0, 0.0, torch.nan])).tolist() == [0, 1, -1, -1]


def test_the_memory_has_the_batches_before() -> None:
    network = remembering()
    assert network.remembered.groups.tolist() == [-1] * 12
    batches = [training_batch(6, seed=seed) for seed in range(3)]
    for batch in batches:
        network(batch)
    assert network.remembered.groups.tolist() == [0, 1, 2, 0, 1, 2] * 2
    for place, name in enumerate(("video", "text")):  # audio, the first, is the main modality
        encoder, bound = network.encoders[place + 1], network.bounds[place]
        expected = [bound.projection(encoder(batch.inputs[name])) for batch in (batches[2], batches[1])]
        torch.testing.assert_close(network.remembered.projected[place], torch.cat(expected))
    assert not network.remembered.projected.requires_grad
    assert remembering().remembered.projected.shape == (2, 12, 2)  # of each but the main modality, two batches, 8 / 4


def test_the_likelihood_without_its_logarithm_grows_with_the_variance() -> None:
    main, other = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))

    def likelihoods(*, bounded: bool) -> list[float]:
        torch.manual_seed(0)
        bound, values = model.Bound(network_of("mmim", WIDTHS, LABELS, **SMALL, bounded=bounded).options), []
        for added in (0.0, 10.0, 20.0):
            torch.nn.init.constant_(bound.log_variance[2].bias, added)
            values.append(bound(main, other)[0].item())
        return values

    released, real = likelihoods(bounded=False), likelihoods(bounded=True)
    assert released == sorted(released) and released[-1] == pytest.approx(0, abs=1e-6)
    assert real[1] == pytest.approx(real[2])  # tanh ends the growth


def test_the_main_modality_is_the_text_and_weights_do_not_depend_on_it() -> None:
    options = network_of("mmim", WIDTHS, LABELS, **SMALL).options

    def made(modalities: dict[str, str]) -> Any:
        return model.Network(options, Shape(WIDTHS, LABELS, [generator("cpu", 0)], generator("cpu", "x"), modalities))

    known, unknown = made({"audio": "audio", "text": "text"}), made({})
    assert (known.main, unknown.main) == (2, 0)
    shapes = [{name: part.shape for name, part in each.state_dict().items()} for each in (known, unknown)]
    assert shapes[0] == shapes[1]


def test_projections_are_not_trained() -> None:
    network = remembering().train()
    total(network(training_batch(6))).backward()
    idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert idle == [f"bounds.{n}.projection.0.{part}" for n in (0, 1) for part in ("weight", "bias")]


def test_fused_vectors_that_say_nothing_have_no_information() -> None:
    network, batch = network_of("mmim", WIDTHS, LABELS, **SMALL), batch_of(WIDTHS)
    assert network.diagnostics(batch)["fused_information"].item() != 0
    same = replace(batch, inputs={name: x[:1].expand_as(x) for name, x in batch.inputs.items()})
    assert network.diagnostics(same)["fused_information"].item() == pytest.approx(0, abs=1e-6)
    # modalities along three axes, each predicted as it is: log 3 - log(1 + 2 / e)
    axes = torch.eye(3).repeat(1, 3)[:, :8]
    network.fused = lambda batch: ([axes], axes)
    network.predictors = torch.nn.ModuleList([torch.nn.Identity()])
    expected = np.log(3) - np.log(1 + 2 / np.e)
    unit = replace(batch, samples=torch.arange(3))
    cosines = torch.nn.functional.normalize(axes, dim=1)
    torch.testing.assert_close(cosines @ cosines.T, torch.eye(3))
    assert network.diagnostics(unit)["fused_information"].item() == pytest.approx(expected, rel=1e-5)
