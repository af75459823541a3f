"""SVFAP: what each part of the pyramid returns, against torch's own layers, arithmetic and perturbed pixels."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from merbench.claims import computed
from merbench.errors import UsageError
from merbench.training import Setup, load_baseline
from merbench.training.networks.masked import tube_mask
from tests.baselines.clips import (
    SIZE,
    Returning,
    block,
    clip_batch,
    cross_block,
    layer,
    loaded_weights,
    options_of,
    patch_embedding,
    shape_of,
    stored,
)

SMALL = {"width": 16, "heads": 2, "layers": 2, "stages": [2, 2], "bottleneck": 3, "selector": 5, "decoder_layers": 2}


def module() -> ModuleType:
    return load_baseline("svfap").module


def pyramid(**options: Any) -> Any:
    torch.manual_seed(0)
    return module().Pyramid(options_of("svfap", **{**SMALL, **options}), SIZE).eval()


def test_times_are_halved_as_by_a_convolution_over_time_of_every_place() -> None:
    stage = pyramid().stages[0]
    tokens = torch.randn(2, 8 * 5, 16)
    halved = stage(tokens, 8, [lambda few, every: few, lambda every, few: every])
    by_place = tokens.view(2, 8, 5, 16).permute(0, 2, 3, 1).flatten(0, 1)
    expected = stage.halve(by_place).view(2, 5, 16, 4).permute(0, 3, 1, 2).flatten(1, 2)
    torch.testing.assert_close(halved, expected)


def test_a_bottleneck_token_is_a_weighted_mean_of_the_places_of_its_time() -> None:
    bottleneck = pyramid().stages[0].bottleneck
    tokens = torch.randn(2, 4 * 5, 16)
    few = bottleneck(tokens, 4).view(2, 4, 3, 16)
    scores = bottleneck.selector(bottleneck.norm(tokens)).view(2, 4, 5, 3)
    for time in range(4):
        for token in range(3):
            weights = scores[1, time, :, token].exp() / scores[1, time, :, token].exp().sum()
            expected = sum(weights[place] * tokens[1, time * 5 + place] for place in range(5))
            torch.testing.assert_close(few[1, time, token], expected)
    # Tokens of another time change nothing.
    tokens[:, 5:10] += 1
    torch.testing.assert_close(bottleneck(tokens, 4).view(2, 4, 3, 16)[:, [0, 2, 3]], few[:, [0, 2, 3]])


def test_the_last_stage_has_a_quarter_of_the_times() -> None:
    encoder = pyramid()
    assert encoder(torch.randn(2, 3, 16, SIZE, SIZE)).shape == (2, 2 * 16, 16)


def test_every_stage_is_added_to_the_visible_tokens_for_the_times_it_is_of() -> None:
    encoder, clips = pyramid(), torch.randn(1, 3, 16, SIZE, SIZE)
    mask = tube_mask(1, encoder.grid, 0.75, torch.device("cpu"))
    returned: list[torch.Tensor] = []
    for part in (encoder.blocks[1], *encoder.stages):
        part.register_forward_hook(lambda _, __, output: returned.append(output))
    summed = encoder(clips, mask)
    first, second, third = (part[0] for part in returned)  # 8, 4 and 2 times of 4 places
    for time in range(8):
        for place in range(4):
            expected = first[4 * time + place] + second[4 * (time // 2) + place] + third[4 * (time // 4) + place]
            torch.testing.assert_close(summed[0, 4 * time + place], expected)


def test_hidden_pixels_reach_no_visible_token() -> None:
    encoder, clips = pyramid(), torch.rand(2, 3, 16, SIZE, SIZE)
    mask = tube_mask(2, encoder.grid, 0.75, torch.device("cpu"))
    hidden = mask.view(2, 8, 4, 4).repeat_interleave(2, 1).repeat_interleave(16, 2).repeat_interleave(16, 3)
    changed = torch.where(hidden[:, None], torch.rand_like(clips), clips)
    assert not torch.equal(changed, clips)
    assert torch.equal(encoder(changed, mask), encoder(clips, mask))


@pytest.mark.parametrize("kind", ["Network", "Pretraining"])
def test_every_parameter_is_trained(kind: str) -> None:
    torch.manual_seed(0)
    network = getattr(module(), kind)(options_of("svfap", **SMALL), shape_of({"crops": 3}))
    returned = network.train()(clip_batch("crops"))
    outputs, losses = returned if isinstance(returned, tuple) else (returned, {})
    sum(value.square().sum() for value in (*outputs.values(), *losses.values())).backward()
    assert [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_the_loss_of_a_decoder_that_returns_what_is_hidden_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    network = module().Pretraining(options_of("svfap", **SMALL), shape_of({"crops": 3}))
    wanted: list[torch.Tensor] = []

    def targets(*given: Any, **named: Any) -> torch.Tensor:
        wanted.append(original(*given, **named))
        return wanted[0]

    from merbench.training.networks import masked

    original = masked.targets
    monkeypatch.setattr(masked, "targets", targets)
    network.decoder = Returning(lambda tokens, mask: wanted[0][mask].view(len(mask), -1, wanted[0].shape[-1]))
    assert float(network(clip_batch("crops"))[1]["loss"]) == 0


def test_times_that_cannot_be_halved_as_often_are_refused() -> None:
    with pytest.raises(UsageError, match="frames: 12 is not a multiple of 8: 2 further stages halve its 6 times"):
        load_baseline("svfap").build({**load_baseline("svfap").options("", {}), "frames": 12}, Setup(device_name="cpu"))


def test_products_of_the_size_of_the_paper_are_those_of_arithmetic() -> None:
    d = 512

    def attention(n: int, m: int) -> int:
        return 2 * n * d**2 + 2 * m * d**2 + 2 * n * m * d

    def crossed(n: int, m: int) -> int:
        return attention(n, m) + attention(n, n) + 8 * n * d**2

    def stage(n: int, few: int, n_blocks: int) -> int:
        bottleneck = n * (d * 128 + 128 * 8) + n * 8 * d
        return n * 2 * d**2 + bottleneck + (n_blocks - 1) * crossed(few, n) + crossed(n, few)

    first = 800 * 1536 * d + 12 * (attention(800, 800) + 8 * 800 * d**2)
    expected = first + stage(400, 32, 6) + stage(200, 16, 3) + 7 * d
    loaded = load_baseline("svfap")
    [claim] = [each for each in loaded.declaration.claims if each.name == "products"]
    assert computed(loaded, claim).values == (expected,) == claim.value


def released(d: int, layers: int, stages: list[int]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the arrays of an encoder in the released code."""
    shapes = patch_embedding(d) | {}
    for n in range(layers + sum(stages)):
        shapes |= block(f"blocks.{n}.", d) if n < layers else cross_block(f"blocks.{n}.", d)
    for n in range(len(stages)):
        shapes |= {f"temporal_downsamples.{n}.weight": (d, d, 2), f"temporal_downsamples.{n}.bias": (d,)}
        shapes |= layer(f"spatial_downsamples.{n}.norm", d)
        shapes |= layer(f"spatial_downsamples.{n}.mlp.fc1", 5, d) | layer(f"spatial_downsamples.{n}.mlp.fc2", 3, 5)
    return shapes


@pytest.mark.parametrize("pretrained", [True, False])
def test_released_weights_become_those_of_the_encoder(pretrained: bool, tmp_path: Path) -> None:
    shapes = released(16, 2, [2, 2])
    if pretrained:
        shapes = {f"encoder.{name}": shape for name, shape in (shapes | layer("norm", 16)).items()}
        others = layer("decoder.norm", 48) | block("decoder.blocks.0.", 48) | {"mask_token": (1, 1, 48)}
    else:
        others = layer("fc_norm", 16) | layer("head", 7, 16)
    arrays = stored(tmp_path / "released.pth", shapes | others)
    weights = loaded_weights("svfap", tmp_path / "released.pth", pyramid(), **SMALL)
    prefix = "encoder." if pretrained else ""
    crossing = [arrays[f"{prefix}blocks.4.cross_attn.{name}.weight"] for name in ("q", "kv")]
    assert torch.equal(weights["blocks.4.crossing.inputs.weight"], torch.cat(crossing))
    assert torch.equal(weights["stages.1.halve.weight"], arrays[f"{prefix}temporal_downsamples.1.weight"])
    assert torch.equal(weights["blocks.0.attention.value_bias"], arrays[f"{prefix}blocks.0.attn.v_bias"])
    assert {name: value.shape for name, value in weights.items()} == {
        name: value.shape for name, value in pyramid().state_dict().items()
    }


def test_all_arrays_that_do_not_fit_are_named(tmp_path: Path) -> None:
    shapes = released(16, 2, [2, 2])
    del shapes["blocks.4.cross_attn.q.weight"]
    shapes |= {"temporal_downsamples.0.weight": (16, 16, 3), "cls_token": (1, 1, 16)}
    stored(tmp_path / "released.pth", shapes)
    with pytest.raises(UsageError) as error:
        loaded_weights("svfap", tmp_path / "released.pth", pyramid(), **SMALL)
    message = str(error.value)
    assert "missing: blocks.4.cross_attn.q.weight" in message
    assert "temporal_downsamples.0.weight (16, 16, 3), not (16, 16, 2)" in message
    assert "not known: cls_token" in message
