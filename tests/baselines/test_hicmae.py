"""HiCMAE: streams, fusion, skips and contrast, against hand values, arithmetic and torch's own layers."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from made_corpus import made_corpus
from torch import nn

from merbench.claims import computed
from merbench.cli import run as command
from merbench.corpus import ExtractionRecord, Feature, open_corpus
from merbench.errors import UsageError
from merbench.files.tensors import read_tensors
from merbench.track import load_track
from merbench.training import RunSettings, Setup, load_baseline, run_baseline
from merbench.training.networks.optimisation import optimiser
from merbench.training.networks.pretrained import depth_groups
from merbench.training.networks.video import Grid, standardised
from merbench.training.pretraining import PretrainingSettings, pretrain
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

SMALL = {
    **{"width": 16, "heads": 2, "layers": 3, "levels": [0, 2], "steps": 256},
    **{"decoder_width": 8, "decoder_heads": 2},
}
WIDTHS = {"crops": 3 * SIZE**2, "mel": 128}


def module() -> ModuleType:
    return load_baseline("hicmae").module


def made(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(module(), kind)(options_of("hicmae", **{**SMALL, **options}), shape_of({"crops": 3}, WIDTHS))


@pytest.mark.parametrize(
    ("n", "temperature", "expected"),
    # Orthonormal pairs: a vector finds its own, with e^(1/T), among B - 1 others, with 1: log(1 + (B - 1) e^(-1/T)).
    [(4, 1.0, 0.743668), (4, 0.5, math.log(1 + 3 * math.exp(-2))), (8, 0.07, math.log(1 + 7 * math.exp(-1 / 0.07)))],
)
def test_contrast_of_orthonormal_pairs(n: int, temperature: float, expected: float) -> None:
    vectors = torch.eye(n, 10) * torch.arange(1.0, n + 1)[:, None]  # cosines, whatever the lengths
    assert float(module().info_nce(vectors, 3 * vectors, temperature)) == pytest.approx(expected, abs=5e-7)


def test_contrast_is_the_mean_of_both_directions() -> None:
    one, other = torch.randn(5, 4), torch.randn(5, 4)
    cosines = torch.tensor([[float(nn.functional.cosine_similarity(a, b, 0)) for b in other] for a in one]) / 0.1
    both = sum(-math.log(math.exp(row[n]) / sum(map(math.exp, row))) for table in (cosines, cosines.T) for n, row in enumerate(table.tolist()))  # fmt: skip
    assert float(module().info_nce(one, other, 0.1)) == pytest.approx(both / 10, rel=1e-5)
    assert float(module().info_nce(one, other, 0.1)) == pytest.approx(float(module().info_nce(other, one, 0.1)))


def test_tokens_of_a_spectrogram_are_those_of_a_convolution() -> None:
    stream, sounds = made("Network").encoder.audio, torch.randn(2, 256, 128)
    expected = stream.embedding.layer(sounds[:, None]).flatten(2).mT + stream.embedding.positions
    torch.testing.assert_close(stream.embedding(sounds), expected)
    assert expected.shape == (2, 16 * 8, 16)


def test_spectrograms_begin_where_the_pictures_do_and_short_ones_are_filled() -> None:
    rows = torch.arange(400.0).view(1, 400, 1).expand(3, -1, 128).contiguous()
    lengths = torch.tensor([400, 256, 100])
    rows[2, 100:] = 0
    taken = module().spectrograms(rows, lengths, 256, torch.tensor([0.5, 0.5, 1.0]))
    back = (taken * 2 * 4.5689974 - 4.2677393)[..., 0]
    # The middle of 400 - 256 = 144 possible steps is 72.
    torch.testing.assert_close(back[0], torch.arange(72.0, 328.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(back[1], torch.arange(256.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(back[2], torch.cat([torch.arange(100.0), torch.zeros(156)]), atol=1e-3, rtol=0)


def test_both_streams_of_a_fusion_read_what_the_other_was_before() -> None:
    fusion = made("Network", fusion_layers=2).encoder.fusion.eval()
    video, audio = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    first = fusion.video[0](video, audio), fusion.audio[0](audio, video)
    second = fusion.video[1](first[0], first[1]), fusion.audio[1](first[1], first[0])
    got = fusion(video, audio)
    torch.testing.assert_close(got[0], fusion.video_norm(second[0]))
    torch.testing.assert_close(got[1], fusion.audio_norm(second[1]))


def test_the_answer_is_read_from_weighted_layers_and_the_fusion() -> None:
    network = made("Network").eval()
    clips, sounds = torch.rand(2, 3, 16, SIZE, SIZE), torch.randn(2, 256, 128)
    read: list[torch.Tensor] = []
    network.norm.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    with torch.no_grad():
        network.video_weights.copy_(torch.tensor([0.0, 0.0, 2.0]))
    network.answered(clips, sounds)
    layers = network.encoder.video(standardised(clips))
    shares = [share / (2 + math.exp(2)) for share in (1, 1, math.exp(2))]
    expected = sum(share * layer.mean(1) for share, layer in zip(shares, layers, strict=True))
    assert read[0].shape == (2, 4 * 16)
    torch.testing.assert_close(read[0][:, :16], expected)


def test_decoders_read_layers_from_the_last_to_the_first() -> None:
    network = made("Pretraining").eval()
    read: list[torch.Tensor] = []
    for reader in network.audio_decoder.blocks[1:]:
        reader.before_context.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    layers: list[torch.Tensor] = []
    network.encoder.audio.register_forward_hook(lambda _, __, output: layers.extend(output))
    network(clip_batch("crops", "mel"))
    inputs = network.audio_decoder.inputs
    assert len(read) == 2
    # Positions of the visible tokens are added to both alike.
    torch.testing.assert_close(read[0] - inputs(layers[2]), read[1] - inputs(layers[0]), atol=1e-5, rtol=1e-5)


def test_the_losses_of_decoders_that_return_what_is_hidden_are_0(monkeypatch: pytest.MonkeyPatch) -> None:
    network, wanted = made("Pretraining"), dict[str, torch.Tensor]()
    functions = type(network).forward.__globals__
    for name in ("targets", "sound_targets"):

        def remembered(*given: Any, name: str = name, original: Any = functions[name], **more: Any) -> torch.Tensor:
            wanted[name] = original(*given, **more)
            return wanted[name]

        monkeypatch.setitem(functions, name, remembered)

    def restored(name: str) -> Any:
        return Returning(lambda tokens, mask, _: wanted[name][mask].view(len(mask), -1, wanted[name].shape[-1]))

    network.video_decoder, network.audio_decoder = restored("targets"), restored("sound_targets")
    _, losses = network(clip_batch("crops", "mel"))
    assert (float(losses["video"]), float(losses["audio"])) == (0, 0)
    assert float(losses["contrast"].detach()) > 0


def test_targets_of_a_spectrogram_have_mean_0_and_variance_1() -> None:
    sounds = torch.randn(2, 256, 128) * 3 + 1
    got = module().sound_targets(sounds, 16)
    square = sounds[1, 16:32, 32:48].flatten()  # step 1, band 2: token 1 · 8 + 2
    torch.testing.assert_close(got[1, 10], (square - square.mean()) / (square.std() + 1e-6))
    torch.testing.assert_close(got.var(-1), torch.ones(2, 128), atol=1e-4, rtol=0)


def test_masks_hide_102_of_128_tokens_of_sound() -> None:
    seen: list[int] = []
    network = made("Pretraining", masked_sound=0.8).eval()
    network.encoder.audio.blocks[0].register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    network(clip_batch("crops", "mel"))
    assert seen == [26]


@pytest.mark.parametrize("kind", ["Network", "Pretraining"])
def test_every_parameter_is_trained(kind: str) -> None:
    network = made(kind).train()
    returned = network(clip_batch("crops", "mel"))
    outputs, losses = returned if isinstance(returned, tuple) else (returned, {})
    sum(value.square().sum() for value in (*outputs.values(), *losses.values())).backward()
    assert [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_without_contrast_there_is_no_such_loss() -> None:
    assert {*made("Pretraining", contrast=0.0)(clip_batch("crops", "mel"))[1]} == {"video", "audio"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": [1, 4]}, "levels: 4: the last of 4 layers is 3"),
        ({"levels": [1]}, "decoder_layers: 3; 1 levels need 2, as every block but the first reads one"),
        ({"sound_patch": 12}, "sound_patch: 12 does not divide bands, which is 128"),
    ],
)
def test_layers_and_tokens_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    loaded = load_baseline("hicmae")
    with pytest.raises(UsageError, match=message):
        loaded.build({**loaded.options("", {}), **options}, Setup(device_name="cpu"))


@pytest.mark.parametrize("widths", [{"a": 300}, {"a": 300, "b": 27}, {"a": 128, "b": 128}])
def test_features_that_are_not_pictures_and_sound_are_refused(widths: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="one feature of pictures, and one of sound with rows of 128 numbers"):
        module().Network(options_of("hicmae", **SMALL), shape_of({"x": 3}, widths))


def test_a_spectrogram_has_the_grid_of_its_tokens() -> None:
    assert options_of("hicmae", steps=256).sound_grid == Grid(1, 16, 8)


def test_products_of_all_sizes_are_those_of_arithmetic() -> None:
    def attention(n: int, m: int, d: int) -> int:
        return 2 * n * d**2 + 2 * m * d**2 + 2 * n * m * d

    def stream(n: int, n_in: int, d: int) -> int:
        return n * n_in * d + 10 * (attention(n, n, d) + 8 * n * d**2)

    def crossed(n: int, m: int, d: int) -> int:
        return attention(n, m, d) + attention(n, n, d) + 8 * n * d**2

    expected = tuple(
        stream(800, 1536, d)
        + stream(128, 256, d)
        + 2 * (crossed(800, 128, d) + crossed(128, 800, d))
        + 4 * d * 6  # torch counts products of matrices: not the weighted means of ten layers, 20 d
        for d in (256, 384, 512)
    )
    loaded = load_baseline("hicmae")
    [claim] = [each for each in loaded.declaration.claims if each.name == "products"]
    assert computed(loaded, claim).values == expected == claim.value


@pytest.mark.parametrize("pretrained", [True, False])
def test_released_weights_become_those_of_the_encoder(pretrained: bool, tmp_path: Path) -> None:
    shapes = patch_embedding(16, "encoder.") | patch_embedding(16, "encoder_audio.", (1, 16, 16))
    for stream in ("encoder", "encoder_audio"):
        shapes |= layer(f"{stream}.norm", 16)
        for n in range(3):
            shapes |= block(f"{stream}.blocks.{n}.", 16)
    for part in ("", "_audio"):
        shapes |= layer(f"encoder_fusion.norm{part}", 16) | cross_block(f"encoder_fusion.blocks{part}.0.", 16)
    others = {"video_layer_weights": (3,), "audio_layer_weights": (3,)} | layer("fc_norm", 64) | layer("head", 7, 64)
    if pretrained:
        others = {"mask_token": (1, 1, 8), "mask_token_audio": (1, 1, 8)}
        for part in ("", "_audio"):
            others |= block(f"decoder{part}.blocks.0.", 8) | {f"encoder_to_decoder{part}.weight": (8, 16)}
    arrays = stored(tmp_path / "released.pth", shapes | others)
    encoder = made("Network").encoder
    weights = loaded_weights("hicmae", tmp_path / "released.pth", encoder, **SMALL)
    crossing = [arrays[f"encoder_fusion.blocks_audio.0.cross_attn.{name}.weight"] for name in ("q", "kv")]
    assert torch.equal(weights["fusion.audio.0.crossing.inputs.weight"], torch.cat(crossing))
    assert torch.equal(weights["fusion.video_norm.bias"], arrays["encoder_fusion.norm.bias"])
    assert torch.equal(weights["audio.blocks.2.units.0.weight"], arrays["encoder_audio.blocks.2.mlp.fc1.weight"])


def test_layer_decay_is_that_of_the_depth_in_both_streams() -> None:
    network = made("Network")
    groups = {group.prefix: group.learning_rate for group in depth_groups(network, 0.5)}
    # From the output: fusion 1/2, blocks 1/4, 1/8, 1/16, embeddings 1/32.
    assert {prefix: rate for prefix, rate in groups.items() if ".audio." in prefix} == {
        "encoder.fusion.audio.0.": 0.5,
        "encoder.audio.blocks.2.": 0.25,
        "encoder.audio.blocks.1.": 0.125,
        "encoder.audio.blocks.0.": 0.0625,
        "encoder.audio.embedding.": 0.03125,
    }
    names = [name for name, _ in network.named_parameters()]
    assert all(any(name.startswith(prefix) for name in names) for prefix in groups)
    assert optimiser(network, options_of("hicmae", groups=[asdict(group) for group in depth_groups(network, 0.5)]))


SIDE, N = 16, 24

TRACK = """
id = "talk"
version = "1.0"
title = "Talk"
corpus = "./corpus"
splits = { train = "train", test = "test" }
targets.discrete = { type = "categorical", labels = ["calm", "glad"] }
metrics = [{ name = "accuracy", target = "discrete" }]
ranking = { by = ["accuracy"] }
"""

TINY: dict[str, Any] = {
    **{"width": 8, "heads": 2, "layers": 2, "levels": [1], "patch": 4, "frames": 4, "masked": 0.5, "steps": 32},
    **{"decoder_width": 8, "decoder_heads": 2, "decoder_layers": 2, "epochs": 3, "batch_size": 4, "warmup_epochs": 0},
}


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Return the folder of a track, and of a corpus with pictures and sound; s03 has no face, s04 and s20 no sound."""
    ids, rng = [f"s{n:02}" for n in range(N)], np.random.default_rng(0)
    faces = [name for name in ids if name != "s03"]
    pictures = [rng.integers(0, 256, (3 + n % 5, SIDE * SIDE * 3)).astype(np.uint8) for n in range(len(faces))]
    heard = [name for name in ids if name not in ("s04", "s20")]
    sounds = [rng.normal(-4, 4, (20 + n, 128)).astype(np.float32) for n in range(len(heard))]
    record = {
        "face-crops.frames": ExtractionRecord(
            extractor="face-crops", version="1", modality="video", unit="frame", pictures=True
        ),
        "log-mel.frames": ExtractionRecord(extractor="log-mel", version="1", modality="audio", unit="frame"),
    }
    made_corpus(
        tmp_path / "talk" / "corpus",
        name="talk",
        samples=pa.table({"sample_id": ids, "split": ["train"] * 16 + ["test"] * 8}),
        reference=pa.table({"sample_id": ids, "discrete": ["glad" if n % 2 else "calm" for n in range(N)]}),
        features={
            "face-crops.frames": Feature.from_frames(faces, pictures, pictures=True),
            "log-mel.frames": Feature.from_frames(heard, sounds),
        },
        extracted=record,
    )
    (tmp_path / "talk" / "track.toml").write_text(TRACK, encoding="utf-8")
    return tmp_path / "talk"


@pytest.mark.slow
def test_it_is_pretrained_on_samples_with_both_and_fine_tuned_on_all(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = open_corpus(talk / "corpus")
    how = PretrainingSettings(options=TINY, device="cpu")
    made, again = (pretrain("hicmae", corpus, how, output=tmp_path / name) for name in ("one", "two"))
    assert made.features == ("face-crops.frames", "log-mel.frames")
    assert (made.n_samples, made.left_out) == (14, ("s03", "s04"))
    assert {*made.losses} == {"video", "audio", "contrast"}
    one, two = ((each.folder / "pretrained.safetensors").read_bytes() for each in (made, again))
    assert one == two
    options = {**TINY, "epochs": 1, "learning_rate": 1e-12, "pretrained": str(made.folder)}
    settings = RunSettings(options=options, learning={"folds": 2}, intervals=False, device="cpu")
    run = run_baseline(load_track(talk), "hicmae", settings, output=tmp_path / "run")
    weights, _ = read_tensors(run.folder / "models" / "seed-0.safetensors")
    before, _ = read_tensors(made.folder / "pretrained.safetensors")
    of_encoder = [name for name in before if name.startswith("encoder.")]
    assert {name.split(".")[1] for name in of_encoder} == {"video", "audio", "fusion"}
    for name in of_encoder:
        np.testing.assert_allclose(weights[f"network.{name}"][1], before[name], atol=1e-9)
    rows = (run.folder / "submission.csv").read_text().splitlines()
    assert len(rows) == 1 + 8  # s20, which has no sound, is answered, too
    # Stored weights do not say which feature has pictures: its rows do.
    (made.folder / "pretrained.safetensors").rename(tmp_path / "elsewhere.safetensors")
    monkeypatch.chdir(tmp_path)
    assert command(["predict", str(run.folder), str(talk), "--output", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "submission.csv").read_text().splitlines() == rows


def test_it_needs_both_features(talk: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"baseline 'hicmae' reads 2 features, not 1: log-mel\.frames"):
        pretrain(
            "hicmae",
            open_corpus(talk / "corpus"),
            PretrainingSettings(options=TINY, features=["log-mel.frames"]),
            output=tmp_path / "run",
        )
