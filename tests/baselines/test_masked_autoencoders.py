"""VideoMAE and MAE-DFER: full sizes, locality, order of tokens, and released weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from merbench.claims.exact import computed
from merbench.errors import UsageError
from merbench.training import Setup, load_baseline
from merbench.training.claim import Exact
from merbench.training.networks.network import Shape
from merbench.training.networks.pretrained import encoder_weights, read_weights

SMALL: dict[str, Any] = {
    "width": 8,
    "heads": 2,
    "layers": 2,
    "patch": 4,
    "frames": 4,
    "decoder_width": 8,
    "decoder_heads": 2,
    "masked": 0.5,
}
OF_REGIONS: dict[str, dict[str, Any]] = {"videomae": {}, "mae-dfer": {"region": (2, 2, 2)}}
NAMES = tuple(OF_REGIONS)


def options_of(name: str, preset: str | None = None, **given: Any) -> Any:
    loaded = load_baseline(name)
    own = loaded.preset(preset).options if preset else {**SMALL, **OF_REGIONS[name], **given}
    options = loaded.options("", own)
    if "region" in options:
        options["region"] = tuple(options["region"])
    return loaded.module.Options(**options)


def shape_of(size: int, labels: int = 0) -> Shape:
    rng = torch.Generator()
    return Shape({"crops": 3 * size * size}, {"discrete": labels} if labels else {}, [rng], rng)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
def test_exact_claims_hold(name: str) -> None:
    loaded = load_baseline(name)
    claims = [claim for claim in loaded.declaration.claims if isinstance(claim, Exact)]
    assert len(claims) >= 4
    for claim in claims:
        assert computed(loaded, claim).values == claim.value, claim.name


def test_full_sizes_are_those_of_the_formulas() -> None:
    with torch.device("meta"):
        for name, labels, expected in (
            ("videomae", 7, 86_232_583),
            ("mae-dfer", 7, 84_878_343),
            ("mae-dfer", 11, 84_880_395),
        ):
            network = load_baseline(name).module.answers(options_of(name, "paper"), shape_of(160, labels))
            assert sum(part.numel() for part in network.parameters()) == expected
        network = load_baseline("mae-dfer").module.pretraining(options_of("mae-dfer", "paper"), shape_of(160))
        assert sum(part.numel() for part in network.parameters()) == 92_760_192
        block = load_baseline("mae-dfer").module.Block(512, 8)
        assert sum(part.numel() for part in block.parameters()) == 20 * 512**2 + 24 * 512


def test_regions_are_boxes_of_tokens() -> None:
    model = load_baseline("mae-dfer").module
    from merbench.training.networks.video import Grid

    # Times 0 to 1, rows 0 to 1, columns 0 to 3, boxes of 2 × 1 × 2; token = 8 time + 4 row + column.
    expected = [[0, 1, 8, 9], [2, 3, 10, 11], [4, 5, 12, 13], [6, 7, 14, 15]]
    assert model.regions(Grid(2, 2, 4), (2, 1, 2)).tolist() == expected
    with pytest.raises(
        UsageError, match=r"region: \[2, 3, 10\] does not divide the tokens of a clip, which are \[8, 10"
    ):
        model.regions(Grid(8, 10, 10), (2, 3, 10))


@torch.no_grad()
def test_a_token_changes_others_only_of_its_region_before_representatives_meet() -> None:
    block = load_baseline("mae-dfer").module.Block(8, 2).eval()
    tokens = noise(1, 4, 5, 8)
    other = tokens.clone()
    other[0, 0, 2] = noise(8, seed=3)  # a token of region 1
    before, after = block.local(tokens), block.local(other)
    assert not torch.equal(before[0, 0], after[0, 0])
    torch.testing.assert_close(before[0, 1:], after[0, 1:], rtol=0, atol=0)
    assert (block(tokens) != block(other)).flatten(2).any(-1).all()


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_visible_tokens_are_in_their_order_and_hidden_ones_do_not_count(name: str) -> None:
    model = load_baseline(name).module
    network = model.pretraining(options_of(name), shape_of(16)).eval()
    encoder, clips = network.encoder, noise(8, 3, 4, 16, 16)
    torch.manual_seed(0)
    mask = network.mask(8, network.grid, 0.5, torch.device("cpu"))
    tokens = encoder(clips, mask)
    assert tokens.shape == (8, 16, 8)
    pixels = clips.clone()
    pixels[:, :, :2, :4, :4] += 1  # token 0
    changed = (encoder(pixels, mask) != tokens).flatten(1).any(1)
    assert changed.tolist() == (~mask[:, 0]).tolist()
    assert 0 < mask[:, 0].sum() < 8
    blocks, encoder.blocks = encoder.blocks, nn.ModuleList()
    torch.testing.assert_close(encoder(clips, mask), encoder.embedding.visible(clips, mask))
    encoder.blocks = blocks


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_the_mean_of_what_the_encoder_returns(name: str) -> None:
    network = load_baseline(name).module.answers(options_of(name, head_scale=0.001), shape_of(16, 3)).eval()
    clips = torch.rand(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    from merbench.training.networks.video import standardised

    returned = network.encoder(standardised(clips))
    assert returned.shape[1] == (8 if name == "mae-dfer" else 32) // (2 if name == "mae-dfer" else 1)
    layer = network.heads.layers[0]
    expected = layer(network.norm(returned.mean(1)))
    torch.testing.assert_close(network.answered(clips)["discrete"], expected)
    assert 0 < float(layer.weight.std()) < 0.02 * 0.001 * 1.5


RELEASED_BLOCK = {
    "videomae": {
        "norm1.weight": (1,), "norm1.bias": (1,), "attn.q_bias": (1,), "attn.v_bias": (1,), "attn.qkv.weight": (3, 1),
        "attn.proj.weight": (1, 1), "attn.proj.bias": (1,), "norm2.weight": (1,), "norm2.bias": (1,),
        "mlp.fc1.weight": (4, 1), "mlp.fc1.bias": (4,), "mlp.fc2.weight": (1, 4), "mlp.fc2.bias": (1,),
    },
    "mae-dfer": {
        **{
            f"{part}_attn.{name}": shape
            for part in ("first", "second", "third")
            for name, shape in {
                "q_bias": (1,), "v_bias": (1,), "q.weight": (1, 1), "kv.weight": (2, 1), "proj.weight": (1, 1),
                "proj.bias": (1,),
            }.items()
        },
        **{
            f"{norm}.{name}": (1,)
            for norm in ("first_attn_norm0", "second_attn_norm0", "third_attn_norm0", "third_attn_norm1", "norm2")
            for name in ("weight", "bias")
        },
        "mlp.fc1.weight": (4, 1), "mlp.fc1.bias": (4,), "mlp.fc2.weight": (1, 4), "mlp.fc2.bias": (1,),
    },
}  # fmt: skip
"""Names and shapes, in widths, of the arrays of a released block, as the two repositories name them."""


def released_state(
    name: str, width: int, layers: int, patch: int, *, regions: int, prefix: str = ""
) -> dict[str, Tensor]:
    """Return arrays of the names and shapes that a released file has, with different values in each."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (width, 3, 2, patch, patch),
        "patch_embed.proj.bias": (width,),
        **({"lg_region_tokens": (regions, width)} if name == "mae-dfer" else {}),
    }
    for n in range(layers):
        own = RELEASED_BLOCK[name].items()
        shapes |= {f"blocks.{n}.{part}": tuple(side * width for side in sides) for part, sides in own}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,)} if prefix else {"fc_norm.weight": (width,)}
    others = {"decoder.head.bias": (4,), "mask_token": (1, 1, 4)} if prefix else {"head.bias": (7,)}
    names = {f"{prefix}{part}": shape for part, shape in shapes.items()} | others
    return {part: torch.full(shape, float(n)) for n, (part, shape) in enumerate(names.items(), 1)}


@pytest.mark.parametrize("prefix", ["", "encoder."])
@pytest.mark.parametrize("name", NAMES)
def test_released_weights_reach_their_places(name: str, prefix: str, tmp_path: Path) -> None:
    state = released_state(name, 8, 2, 4, regions=4, prefix=prefix)
    for key in state:  # a row each
        if state[key].ndim == 2:
            state[key] = state[key] + torch.arange(len(state[key]))[:, None] / 100
    torch.save({"model": state, "args": argparse.Namespace(lr=1e-3)}, tmp_path / "released.pth")
    model = load_baseline(name).module
    options = options_of(name, pretrained=str(tmp_path))
    built = model.build(options, Setup(device_name="cpu"))
    network = built.make(shape_of(16, 3))
    built._load([network])
    own = dict(network.encoder.named_parameters())
    block = own["blocks.1.before_units.weight"]
    assert bool((block == state[f"{prefix}blocks.1.norm2.weight"]).all())
    if name == "videomae":
        packed = state[f"{prefix}blocks.1.attn.qkv.weight"]
        torch.testing.assert_close(own["blocks.1.attention.inputs.weight"], packed)
    else:
        packed = torch.cat([state[f"{prefix}blocks.1.third_attn.{part}.weight"] for part in ("q", "kv")])
        torch.testing.assert_close(own["blocks.1.across.inputs.weight"], packed)
        torch.testing.assert_close(own["representatives"], state[f"{prefix}lg_region_tokens"])
    # Every parameter was filled: a released array has one whole number, and hundredths of its rows.
    assert all(float(part.detach().min()) >= 1 for part in own.values())


def test_shapes_of_the_full_size_fit_the_released_ones() -> None:
    for name, (width, layers) in {"videomae": (768, 12), "mae-dfer": (512, 16)}.items():
        model = load_baseline(name).module
        with torch.device("meta"):
            encoder = model.encoder(options_of(name, "paper"), shape_of(160))
            given = released_state(name, width, layers, 16, regions=8, prefix="encoder.")
            weights = encoder_weights(encoder.state_dict(), given, "x", model.released(layers).prefixed("encoder."))
        assert {key: part.shape for key, part in weights.items()} == {
            key: part.shape for key, part in encoder.state_dict().items()
        }


def test_all_that_does_not_fit_is_listed_at_once(tmp_path: Path) -> None:
    state = released_state("mae-dfer", 8, 2, 4, regions=4)
    del state["blocks.0.second_attn.proj.bias"], state["lg_region_tokens"]
    state["blocks.1.mlp.fc1.weight"] = torch.zeros(16, 8)
    state["blocks.1.first_attn.q.weight"] = torch.zeros(8, 9)
    state["blocks.2.norm2.weight"] = torch.zeros(8)
    torch.save(state, tmp_path / "released.pt")
    model = load_baseline("mae-dfer").module
    built = model.build(options_of("mae-dfer", pretrained=str(tmp_path / "released.pt")), Setup(device_name="cpu"))
    with pytest.raises(UsageError) as caught:
        built._load([built.make(shape_of(16, 3))])
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("released.pt does not have the weights of this network")
    assert "2 of 70 missing: " in lines[1] and "blocks.0.second_attn.proj.bias" in lines[1] and "lg_region" in lines[1]
    assert "2 of 70 of another shape: " in lines[2]
    assert "blocks.1.mlp.fc1.weight (16, 8), not (32, 8)" in lines[2]
    assert "blocks.1.first_attn.q.weight + blocks.1.first_attn.kv.weight (8, 9) + (16, 8)" in lines[2]
    assert "1 of 70 not known: blocks.2.norm2.weight" in lines[3]


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pretrained: .*none does not exist"):
        read_weights(tmp_path / "none")
    with pytest.raises(
        UsageError, match=r"needs one file of weights, pretrained.safetensors or another one; it has none"
    ):
        read_weights(tmp_path)
    for name, content in {"a.pth": b"\x80\x04.", "b.safetensors": b"no", "c.pt": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=f"{name}: not a file of weights"):
            read_weights(tmp_path / name)
    with pytest.raises(UsageError, match=r"it has a.pth, b.safetensors, c.pt"):
        read_weights(tmp_path)
    torch.save({"model": {"a": 1}}, tmp_path / "d.pth")
    with pytest.raises(UsageError, match="it has no table of arrays, at the top or under model, module, state_dict"):
        read_weights(tmp_path / "d.pth")


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("/tmp/merbench-executed"),)


def test_nothing_in_a_file_of_weights_is_executed(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(1)}, "args": _Harmful()}, tmp_path / "a.pth")
    with pytest.raises(UsageError, match="not a file of weights"):
        read_weights(tmp_path / "a.pth")
    assert not Path("/tmp/merbench-executed").exists()
