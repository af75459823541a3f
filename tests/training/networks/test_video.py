"""Transformers of clips are those of torch; pictures are taken, changed and averaged as declared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.network import Shape
from merbench.training.networks.optimisation import Schedule, optimiser
from merbench.training.networks.video import (
    Attention,
    Block,
    Clips,
    DropPath,
    Embedding,
    Grid,
    averaged,
    clips_of,
    mixed,
    mixed_loss,
    picture_size,
    rectangles,
)

video = load_baseline("videomae")


def options_of(**given: Any) -> Any:
    small = {"width": 8, "heads": 2, "layers": 2, "patch": 4, "frames": 4, "decoder_width": 8, "decoder_heads": 2}
    return video.module.Options(**video.options("", {**small, **given}))


def shape_of(size: int = 8, **labels: int | None) -> Shape:
    rng = torch.Generator()
    return Shape({"crops": 3 * size * size}, labels, [rng], rng)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def batch_of(lengths: list[int], size: int = 8, **targets: Tensor) -> Batch:
    rows = torch.rand(len(lengths), max(1, *lengths), 3 * size * size, generator=torch.Generator().manual_seed(1)) * 255
    own = torch.tensor(lengths)
    rows = rows * (torch.arange(rows.shape[1]) < own[:, None])[..., None]
    return Batch({"crops": rows}, {"crops": own}, {"crops": own > 0}, torch.arange(len(own)), targets=targets)


def randomised(module: nn.Module) -> None:
    for n, parameter in enumerate(module.parameters()):
        parameter.data = noise(*parameter.shape, seed=n)


@torch.no_grad()
def test_a_block_is_a_layer_of_torch_without_a_bias_of_keys() -> None:
    block = Block(8, 2).eval()
    randomised(block)
    peer = nn.TransformerEncoderLayer(8, 2, 32, batch_first=True, norm_first=True, activation="gelu").eval()
    peer.norm1.eps = peer.norm2.eps = 1e-6
    peer.norm1.load_state_dict(block.before_attention.state_dict())
    peer.norm2.load_state_dict(block.before_units.state_dict())
    peer.linear1.load_state_dict(block.units[0].state_dict())
    peer.linear2.load_state_dict(block.units[2].state_dict())
    own = block.attention
    peer.self_attn.in_proj_weight.copy_(own.inputs.weight)
    peer.self_attn.in_proj_bias.copy_(torch.cat([own.query_bias, torch.zeros(8), own.value_bias]))
    peer.self_attn.out_proj.load_state_dict(own.output.state_dict())
    tokens = noise(3, 5, 8)
    torch.testing.assert_close(block(tokens), peer(tokens), rtol=1e-4, atol=1e-4)
    assert sum(part.numel() for part in block.parameters()) == 12 * 64 + 12 * 8


@torch.no_grad()
def test_attention_to_a_context_is_that_of_torch() -> None:
    own, peer = Attention(8, 2).eval(), nn.MultiheadAttention(8, 2, batch_first=True).eval()
    randomised(own)
    peer.in_proj_weight.copy_(own.inputs.weight)
    peer.in_proj_bias.copy_(torch.cat([own.query_bias, torch.zeros(8), own.value_bias]))
    peer.out_proj.load_state_dict(own.output.state_dict())
    tokens, context = noise(3, 5, 8), noise(3, 2, 8, seed=5)
    expected, _ = peer(tokens, context, context, need_weights=False)
    torch.testing.assert_close(own(tokens, context), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_tokens_are_the_convolution_of_tubes_and_a_mask_takes_some_of_them() -> None:
    embedding, clips = Embedding(8, 4, Grid(2, 2, 2)), noise(2, 3, 4, 8, 8)
    convolved = nn.functional.conv3d(clips, embedding.layer.weight, embedding.layer.bias, stride=(2, 4, 4))
    expected = convolved.flatten(2).transpose(1, 2) + embedding.positions
    torch.testing.assert_close(embedding(clips), expected)
    mask = torch.tensor([[True, False, True, False, True, True, True, True]]).repeat(2, 1)
    torch.testing.assert_close(embedding.visible(clips, mask), expected[:, [1, 3]])


def test_positions_are_sines_and_cosines_from_0() -> None:
    # Position 1, four numbers: sin 1, cos 1, sin .01, cos .01.
    np.testing.assert_allclose(
        Embedding(4, 4, Grid(1, 1, 2)).positions[1],
        [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)],
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("length", "place", "expected"),
    [
        (3, 0.5, [0, 0, 0, 1, 1, 1, 2, 2]),  # ⌊3 t / 8⌋
        (1, 0.0, [0] * 8),
        (8, 0.9, list(range(8))),
        (20, 0.0, list(range(8))),
        (20, 1.0, list(range(12, 20))),
        (20, 0.5, list(range(6, 14))),  # ⌊.5 · 13⌋ of the starts 0 … 12
    ],
)
def test_pictures_follow_each_other_and_a_short_clip_is_spread(length: int, place: float, expected: list[int]) -> None:
    rows = torch.arange(20.0)[None, :, None].expand(1, -1, 12)
    clips = clips_of(rows, torch.tensor([length]), 8, torch.tensor([place]))
    assert clips.shape == (1, 3, 8, 2, 2)
    assert (clips[0, 0, :, 0, 0] * 255).round().tolist() == expected


def test_colours_are_the_last_axis_of_a_stored_picture() -> None:
    rows = torch.arange(12.0)[None, None]
    clips = clips_of(rows, torch.tensor([1]), 2, torch.zeros(1)) * 255
    torch.testing.assert_close(clips[0, 0, 0], torch.tensor([[0.0, 3.0], [6.0, 9.0]]))
    torch.testing.assert_close(clips[0, 2, 1], torch.tensor([[2.0, 5.0], [8.0, 11.0]]))


def test_a_row_that_is_no_square_picture_is_refused() -> None:
    with pytest.raises(UsageError, match="a row has 100 numbers, and is no square picture of 3 colours"):
        picture_size(100)
    with pytest.raises(UsageError, match="patch: 3 does not divide the side of the pictures, which is 8"):
        Grid.of(options_of(patch=3), 8)
    with pytest.raises(UsageError) as caught:
        options_of(frames=5, heads=3, decoder_heads=5)
    assert "width: 8 is not divisible by heads, which is 3" in str(caught.value)
    assert "decoder_width: 8 is not divisible by decoder_heads, which is 5" in str(caught.value)
    assert "frames: 5 is not a multiple of 2" in str(caught.value)


def test_a_path_is_left_out_for_a_share_of_the_samples_and_scaled_for_the_others() -> None:
    torch.manual_seed(0)
    path, added = DropPath(0.25), torch.ones(4000, 2, 3)
    kept = path.train()(added)
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert bool((kept == kept[:, :1, :1]).all())
    assert float((kept[:, 0, 0] == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert path.eval()(added) is added


def test_views_are_averaged_as_probabilities() -> None:
    views = [torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])]  # (1/4, 3/4) and (1/2, 1/2)
    np.testing.assert_allclose(averaged(views, labels=True).softmax(-1), [[0.375, 0.625]], atol=1e-6)
    np.testing.assert_allclose(averaged([torch.tensor([1.0]), torch.tensor([2.0])], labels=False), [1.5])


@torch.no_grad()
def test_four_views_begin_at_both_ends_and_are_mirrored() -> None:
    network = video.module.answers(options_of(), shape_of(discrete=3, valence=None)).eval()
    batch = batch_of([9, 4])
    one = network(batch)
    network.views = 4
    rows, lengths = batch.inputs["crops"], batch.lengths["crops"]
    ends = [clips_of(rows, lengths, 4, torch.full((2,), place)) for place in (0.0, 1.0)]
    outputs = [network.answered(clips) for end in ends for clips in (end, end.flip(-1))]
    four = network(batch)
    expected = torch.stack([output["discrete"].softmax(-1) for output in outputs]).mean(0)
    torch.testing.assert_close(four["discrete"].softmax(-1), expected)
    torch.testing.assert_close(four["valence"], torch.stack([output["valence"] for output in outputs]).mean(0))
    assert not torch.equal(one["discrete"], four["discrete"])


@torch.no_grad()
def test_a_sample_without_pictures_is_answered_as_a_black_one_and_others_do_not_matter() -> None:
    network = video.module.answers(options_of(), shape_of(discrete=3)).eval()
    both = network(batch_of([9, 0]))["discrete"]
    alone = batch_of([9, 0])
    alone = Batch({"crops": alone.inputs["crops"][:1]}, {"crops": alone.lengths["crops"][:1]}, {}, alone.samples[:1])
    torch.testing.assert_close(both[:1], network(alone)["discrete"])
    assert bool(torch.isfinite(both).all())


def test_mixed_labels_have_the_cross_entropy_of_their_shares() -> None:
    # Scores ln (1, 3): probabilities 1/4 and 3/4; labels 0 and 1, three quarters of the own one.
    outputs = {"discrete": torch.tensor([[0.0, math.log(3)]] * 2), "valence": torch.tensor([1.0, 2.0])}
    targets = {"discrete": torch.tensor([0, 1]), "valence": torch.tensor([0.0, 4.0])}
    other, share = torch.tensor([1, 0]), torch.tensor(0.75)
    first = -(0.75 * math.log(1 / 4) + 0.25 * math.log(3 / 4))
    second = -(0.25 * math.log(1 / 4) + 0.75 * math.log(3 / 4))
    squares = ((1 - 0.25 * 4) ** 2 + (2 - 0.75 * 4) ** 2) / 2
    expected = (first + second) / 2 + squares
    assert float(mixed_loss(outputs, targets, other, share, 0.0)) == pytest.approx(expected, abs=1e-6)
    # Smoothing by .2 leaves .9 and .1 of a label of two.
    smooth = -(0.9 * math.log(1 / 4) + 0.1 * math.log(3 / 4) + 0.1 * math.log(1 / 4) + 0.9 * math.log(3 / 4)) / 2
    own = {"discrete": outputs["discrete"]}
    assert float(mixed_loss(own, targets, other, torch.tensor(1.0), 0.2)) == pytest.approx(smooth, abs=1e-6)


def test_clips_are_mixed_or_rectangles_of_them_exchanged() -> None:
    torch.manual_seed(0)
    clips = torch.stack([torch.zeros(3, 2, 8, 8), torch.ones(3, 2, 8, 8)])
    blended, other, share = mixed(clips, options_of(mixup=0.8))
    assert other.tolist() == [1, 0]
    np.testing.assert_allclose(blended[0], np.full((3, 2, 8, 8), 1 - float(share)), atol=1e-6)
    cut, _, share = mixed(clips, options_of(cutmix=1.0))
    assert set(cut.unique().tolist()) <= {0.0, 1.0}
    assert float(cut[0].mean()) == pytest.approx(1 - float(share), abs=1e-6)
    assert mixed(clips, options_of())[0] is clips


def test_a_rectangle_has_a_share_of_the_picture() -> None:
    torch.manual_seed(0)
    inside = rectangles(torch.full((400,), 0.25), 32)
    assert bool((inside.flatten(1).sum(1) <= 17 * 17).all())  # a side of 16 pixels, and one more by rounding
    assert 0.1 < float(inside.float().mean()) < 0.25  # some are cut off at an edge


def test_clips_in_training_are_changed_alike_in_all_pictures_and_differ_between_samples() -> None:
    torch.manual_seed(0)
    changing = options_of(flip=True, smallest=0.5, operations=6, erase=1.0)
    batch = batch_of([4, 4], 16)
    rows = batch.inputs["crops"]
    rows[:] = rows[:1, :1]  # the same picture everywhere
    clips = Clips(changing, "crops").drawn(batch)
    assert clips.shape == (2, 3, 4, 16, 16)
    assert 0 <= float(clips.min()) <= float(clips.max()) <= 1
    assert not torch.equal(clips[0], clips[1])
    plain = Clips(changing, "crops", plain=True).drawn(batch)
    torch.testing.assert_close(plain[:, :, :1].expand_as(plain), plain)
    mirrored = Clips(options_of(flip=True), "crops").drawn(batch)
    whole = clips_of(rows, batch.lengths["crops"], 4, torch.zeros(2))
    assert all(
        torch.equal(own, full) or torch.equal(own, full.flip(-1)) for own, full in zip(mirrored, whole, strict=True)
    )


def test_weight_decay_leaves_out_vectors_and_rates_decay_to_a_share() -> None:
    layer = nn.Linear(3, 2)
    schedule = Schedule(
        epochs=10,
        batch_size=1,
        learning_rate=1.0,
        weight_decay=0.5,
        matrices=True,
        second_moment=0.95,
        decay="cosine",
        last_rate=0.1,
    )
    groups = optimiser(layer, schedule).param_groups
    assert {group["params"][0].ndim: group["weight_decay"] for group in groups} == {2: 0.5, 1: 0.0}
    assert [group["betas"] for group in groups] == [(0.9, 0.95)] * 2
    assert schedule.rate(0, 1) == 1.0
    assert schedule.rate(5, 1) == pytest.approx(0.1 + 0.9 * 0.5)  # half of the cosine
