"""Models of the `transformers` library: layers and pooling are those that hooks on their blocks and arithmetic give.

The models are random ones of two blocks, made here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corruptions.signals import Audio, Frame
from merbench.errors import Inapplicable, MissingExtra, UsageError
from merbench.features.extractor import Face, Picture
from merbench.features.models import WaveformModel, batches, pooled, receptive_field
from merbench.features.outputs import Recipe

torch = pytest.importorskip("torch", reason="the extra language-models is not installed")
transformers = pytest.importorskip("transformers", reason="the extra language-models is not installed")

pytestmark = pytest.mark.slow  # the library takes seconds to import

SIZES: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24
}  # fmt: skip
# Convolutions of 10/5 and 4/4: a row every 20 samples, of 25 samples.
WAVES: dict[str, Any] = {
    **SIZES, "conv_dim": (8, 8), "conv_kernel": (10, 4), "conv_stride": (5, 4), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


def saved(folder: Path, model: Any, *processors: Any) -> Path:
    """Save a model in a folder, with what prepares its input."""
    logging = transformers.utils.logging
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)
    return folder


def waveform_model(folder: Path, kind: str = "WavLM", **changed: Any) -> Path:
    torch.manual_seed(1)
    normed = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    config = getattr(transformers, f"{kind}Config")(**{**WAVES, **normed, **changed})
    processor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    return saved(folder, getattr(transformers, f"{kind}Model")(config), processor)


def whisper_model(folder: Path) -> Path:
    torch.manual_seed(2)
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=80, max_source_positions=1500, vocab_size=20,
        max_target_positions=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        begin_suppress_tokens=None,
    )  # fmt: skip
    return saved(folder, transformers.WhisperModel(config), transformers.WhisperFeatureExtractor())


def clip_model(folder: Path) -> Path:
    torch.manual_seed(3)
    vision = {**SIZES, "image_size": 32, "patch_size": 16, "projection_dim": 12}
    config = transformers.CLIPConfig(
        vision_config=vision, text_config={**SIZES, "vocab_size": 30, "projection_dim": 12}, projection_dim=12
    )
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return saved(folder, transformers.CLIPModel(config), processor)


def dino_model(folder: Path) -> Path:
    torch.manual_seed(4)
    config = transformers.Dinov2Config(**SIZES, image_size=28, patch_size=14)
    processor = transformers.BitImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    return saved(folder, transformers.Dinov2Model(config), processor)


def video_model(folder: Path) -> Path:
    torch.manual_seed(5)
    config = transformers.VideoMAEConfig(**SIZES, image_size=32, patch_size=16, num_frames=16)
    processor = transformers.VideoMAEImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return saved(folder, transformers.VideoMAEModel(config), processor)


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "i", "am", "so", "happy", "sad", "today"]


def text_model(folder: Path, positions: int = 12) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(6)
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = transformers.BertConfig(**SIZES, vocab_size=len(WORDS), max_position_embeddings=positions)
    return saved(folder, transformers.BertModel(config), fast)


def recipe(folder: Path, **options: Any) -> Recipe:
    made = Recipe("own", str(folder), options)
    made.require_options()
    return made


def noise(n: int, seed: int = 0) -> Audio:
    return Audio(np.random.default_rng(seed).normal(0, 0.1, (1, n)).astype(np.float32), 16_000)


def picture(seed: int, time_s: float, height: int = 40, width: int = 48) -> Picture:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = Picture(Frame((rgb[..., 0],), time_s=time_s))
    made.__dict__["rgb"] = rgb
    return made


def blocks_of(model: Any, blocks: Any, run: Callable[[], Any]) -> list[Any]:
    """Return what entered the first block, and what each returned, by hooks."""
    seen: list[Any] = []
    hooks = [blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))]
    for block in blocks:
        hooks.append(
            block.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
        )
    with torch.inference_mode():
        run()
    for hook in hooks:
        hook.remove()
    return [states.numpy()[0] for states in seen]


def normalised(audio: Audio) -> Any:
    samples = audio.samples[0]
    return torch.from_numpy(((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))[None])


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM"])
def test_layers_of_sound_are_what_the_blocks_of_the_network_return(tmp_path: Path, kind: str) -> None:
    folder, sound = waveform_model(tmp_path / "model", kind), noise(1_000)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    states = blocks_of(model, model.encoder.layers, lambda: model(normalised(sound)))
    for number in range(3):
        output = recipe(folder, layer=number).constructed(sound)
        np.testing.assert_allclose(output.values, states[number], rtol=0, atol=1e-6)  # float32, another order of sums
    mean = recipe(folder, layer=[1, 2]).constructed(sound).values
    np.testing.assert_allclose(mean, (states[1] + states[2]) / 2, rtol=0, atol=1e-6)
    with torch.inference_mode():
        last = model(normalised(sound)).last_hidden_state.numpy()[0]
    output = recipe(folder).constructed(sound)
    np.testing.assert_allclose(output.values, last, rtol=0, atol=1e-6)
    # (1000 - 10) // 5 + 1 = 199, (199 - 4) // 4 + 1 = 49 rows; the first sees samples 0 to 24, the next 20 later.
    assert output.values.shape == (49, 16)
    np.testing.assert_allclose(output.times[:2], [12.5 / 16_000, 32.5 / 16_000], rtol=1e-12)


def test_what_an_extractor_of_sound_is_comes_from_its_configuration(tmp_path: Path) -> None:
    extractor = recipe(waveform_model(tmp_path / "my-wavlm")).extractor
    facts = extractor.name, extractor.input, extractor.unit, extractor.dimension, extractor.rate_hz, extractor.extra
    assert facts == ("my-wavlm", "sound", "frame", 16, 800.0, "language-models")
    assert extractor.modality == "audio"
    assert list(extractor.options) == ["layer", "pool", "batch", "half", "device"]


def test_a_sound_has_the_same_numbers_in_every_batch(tmp_path: Path) -> None:
    sounds = [noise(n, n) for n in (900, 1_300, 500, 900, 2_000)]
    layer = waveform_model(tmp_path / "layer")
    group = waveform_model(
        tmp_path / "group", "Hubert", feat_extract_norm="group", do_stable_layer_norm=False, conv_bias=False
    )
    for folder in (layer, group):
        single = recipe(folder).constructed
        separate = [single(sound).values for sound in sounds]
        for values, output in zip(separate, single.many(sounds), strict=True):
            np.testing.assert_array_equal(values, output.values)
        together = recipe(folder, batch=4).constructed
        order = [3, 0, 4, 2, 1]
        for place, output in zip(order, together.many([sounds[k] for k in order]), strict=True):
            # Padding is masked; sums of float32 have more terms, all of them 0, in another order.
            np.testing.assert_allclose(output.values, separate[place], rtol=0, atol=2e-6)


def test_long_sound_is_read_in_windows_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, sound = waveform_model(tmp_path / "model"), noise(16_000 * 31)
    made: WaveformModel = recipe(folder).constructed
    spans = list(made._spans(0, 16_000 * 80))
    assert [(span.start, span.stop) for span in spans] == [
        (0, 480_000), (416_000, 896_000), (832_000, 1_280_000)
    ]  # fmt: skip
    assert [(span.first, span.last) for span in spans] == [(0, 22_400), (1_600, 22_400), (1_600, None)]
    calls: list[Any] = []
    monkeypatch.setattr(
        made, "_rows", lambda input_values: (calls.append(input_values.shape), _places(input_values))[1]
    )
    monkeypatch.setattr("merbench.features.models._scale", lambda wave: (np.float32(0), np.float32(1)))
    ramp = Audio(np.arange(16_000 * 31, dtype=np.float32)[None], 16_000)
    output = made(ramp)
    assert calls == [(1, 480_000), (1, 80_000)]
    expected = np.arange((16_000 * 31 - 25) // 20 + 1) * 20  # the first sample of every row
    np.testing.assert_array_equal(output.values[:, 0], expected)
    assert len(output.times) == len(expected)
    assert sound.samples.shape == ramp.samples.shape


def _places(values: Any) -> Any:
    n = (values.shape[1] - 25) // 20 + 1
    return values[:, np.arange(n) * 20][:, :, None]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(24), "the sound is too short: 24 samples at 16 kHz of the 25 that are needed"),
        (np.full(100, np.nan), "100 of the 100 samples of the sound are not finite numbers"),
    ],
)
def test_sound_that_cannot_be_measured_is_a_problem(tmp_path: Path, samples: Any, message: str) -> None:
    made = recipe(waveform_model(tmp_path / "model")).constructed
    with pytest.raises(Inapplicable, match=message):
        made(Audio(samples[None].astype(np.float32), 16_000))


def test_whisper_has_a_row_for_every_20_ms_of_sound(tmp_path: Path) -> None:
    folder, sound = whisper_model(tmp_path / "whisper"), noise(16_000 * 31 + 100)
    output = recipe(folder, batch=2).constructed(sound)
    # 30 s are 1,500 rows; the second window has 16,100 samples, which reach into row 51 (16,100 / 320 = 50.3).
    assert output.values.shape == (1_551, 16)
    np.testing.assert_allclose(output.times[[0, 1, 1_500]], [0, 0.02, 30], rtol=1e-12)
    model = transformers.WhisperModel.from_pretrained(folder).eval().get_encoder()
    spectra = transformers.WhisperFeatureExtractor()(
        sound.samples[0, :480_000], sampling_rate=16_000, return_tensors="pt"
    )
    states = blocks_of(model, model.layers, lambda: model(spectra["input_features"]))
    first = recipe(folder, layer=1).constructed(sound).values
    np.testing.assert_allclose(first[:1_500], states[1], rtol=0, atol=2e-6)  # float32, another order of sums


def test_a_picture_has_its_class_token_its_patches_or_the_embedding(tmp_path: Path) -> None:
    folder = clip_model(tmp_path / "clip")
    pictures = [picture(k, k / 10) for k in range(3)]
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor(images=pictures[1].rgb, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        embedding = model.visual_projection(model.vision_model(pixels).pooler_output).numpy()[0]
    states = blocks_of(model, model.vision_model.encoder.layers, lambda: model.vision_model(pixels))
    for options, expected in (
        ({}, embedding),
        ({"layer": 1}, states[1][0]),
        ({"layer": [0, 2]}, (states[0][0] + states[2][0]) / 2),
        ({"layer": 1, "tokens": "mean"}, states[1][1:].mean(axis=0)),
    ):
        own = recipe(folder, batch=2, **options)
        reader = own.reader()
        for item in pictures:
            reader.add(item)
        result = own.of_reader(reader)
        assert result.sequence is not None
        np.testing.assert_allclose(result.sequence[1], expected, rtol=0, atol=1e-6)
        assert own.extractor.dimension == len(expected)
        np.testing.assert_array_equal(result.times, [0, 0.1, 0.2])


def test_faces_are_read_instead_of_pictures_if_that_is_asked_for(tmp_path: Path) -> None:
    folder = dino_model(tmp_path / "dino")
    plain, faces = recipe(folder), recipe(folder, faces=True)
    assert (plain.extractor.input, faces.extractor.input) == ("pictures", "faces")
    crop = picture(1, 0.5, 256, 256).rgb
    reader = faces.reader()
    reader.add(Face(crop, 0.5, 0.9, np.zeros(4, np.float32), np.zeros((6, 2), np.float32)))
    result = faces.of_reader(reader)
    model = transformers.Dinov2Model.from_pretrained(folder).eval()
    pixels = transformers.BitImageProcessorPil.from_pretrained(folder)(images=crop, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        expected = model(pixels).last_hidden_state.numpy()[0, 0]
    np.testing.assert_allclose(result.vector, expected, rtol=0, atol=1e-6)


def test_segments_of_16_pictures_follow_one_another(tmp_path: Path) -> None:
    folder = video_model(tmp_path / "videomae")
    own = recipe(folder)
    assert (own.extractor.unit, own.picture_rate_hz) == ("segment", 8.0)
    pictures = [picture(k, k / 8) for k in range(20)]
    reader = own.reader()
    for item in pictures:
        reader.add(item)
    result = own.of_reader(reader)
    assert result.sequence is not None and result.sequence.shape == (2, 16)
    # Means of 0, 1/8, … 15/8 and of 16/8, … 19/8.
    np.testing.assert_allclose(result.times, [0.9375, 2.1875], rtol=1e-12)
    model = transformers.VideoMAEModel.from_pretrained(folder).eval()
    processor = transformers.VideoMAEImageProcessorPil.from_pretrained(folder)
    shown = [item.rgb for item in pictures[16:]] + [pictures[19].rgb] * 12
    with torch.inference_mode():
        states = model(processor(shown, return_tensors="pt")["pixel_values"]).last_hidden_state.numpy()[0]
    np.testing.assert_allclose(result.sequence[1], states.mean(axis=0), rtol=0, atol=1e-6)


def test_tokens_of_texts_are_the_blocks_rows_in_every_batch(tmp_path: Path) -> None:
    folder = text_model(tmp_path / "bert")
    texts = ["i am so happy", "sad", "", "so so so so so so so so so so so so today", "i am \ud800"]
    model = transformers.BertModel.from_pretrained(folder).eval()
    ids = torch.tensor([[2, 4, 5, 6, 7, 3]])
    states = blocks_of(model, model.encoder.layer, lambda: model(ids))
    outputs = recipe(folder, layer=1).constructed(texts)
    np.testing.assert_allclose(outputs[0].values, states[1], rtol=0, atol=1e-6)
    # 12 positions are 10 tokens and two of the tokenizer's: 13 tokens are 12 rows and 5 rows.
    assert [len(output.values) for output in outputs] == [6, 3, 2, 17, 5]
    order = [3, 1, 4, 0, 2]
    again = recipe(folder, layer=1, batch=3).constructed([texts[k] for k in order])
    for place, output in zip(order, again, strict=True):
        np.testing.assert_allclose(output.values, outputs[place].values, rtol=0, atol=1e-6)
    results = recipe(folder, pool="first").of_columns([(text,) for text in texts])
    with torch.inference_mode():
        np.testing.assert_allclose(results[0].vector, model(ids).last_hidden_state.numpy()[0, 0], rtol=0, atol=1e-6)


def test_pooling_is_what_arithmetic_gives() -> None:
    rows = np.array([[1, 8], [2, 0], [6, 4]], np.float32)
    # Deviations: squares of −2, −1, 3 and of 4, −4, 0 are 14 / 3 and 32 / 3 in the mean.
    expected = {"mean": [3, 4], "max": [6, 8], "first": [1, 8], "last": [6, 4]}
    for way, vector in expected.items():
        np.testing.assert_array_equal(pooled(rows, way), vector)  # type: ignore[arg-type]
    np.testing.assert_allclose(pooled(rows, "mean-std"), [3, 4, (14 / 3) ** 0.5, (32 / 3) ** 0.5], rtol=1e-12)
    np.testing.assert_array_equal(pooled(rows[:0], "mean-std"), [0, 0, 0, 0])


def test_batches_have_similar_or_equal_lengths() -> None:
    assert list(batches([5, 9, 5, 7, 5], 2, may_pad=True)) == [[1, 3], [0, 2], [4]]
    assert list(batches([5, 9, 5, 7, 5], 2, may_pad=False)) == [[1], [3], [0, 2], [4]]


def test_the_standard_convolutions_see_400_samples() -> None:
    # wav2vec 2.0 (Baevski et al., 2020): kernels 10, 3, 3, 3, 3, 2, 2 and strides 5, 2, 2, 2, 2, 2, 2: 25 ms every 20 ms
    assert receptive_field([(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)]) == 400


def test_the_digest_is_that_of_weights_and_settings(tmp_path: Path) -> None:
    folder = text_model(tmp_path / "bert")
    before = recipe(folder).extractor.digest
    assert before is not None
    (folder / "README.md").write_text("anything")
    first = before()
    assert recipe(folder).extractor.digest() == first  # type: ignore[misc]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    assert recipe(folder).extractor.digest() != first  # type: ignore[misc]


def broken(folder: Path, how: str) -> dict[str, Any]:
    """Break a model of texts; return the options it is used with."""
    weights, config = folder / "model.safetensors", json.loads((folder / "config.json").read_text())
    match how:
        case "layer":
            return {"layer": [1, 3, 7]}
        case "no weights":
            weights.unlink()
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-1_000])
        case "part":
            weights.unlink()
            index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        case "missing weights":
            from safetensors.torch import load_file, save_file

            tensors = load_file(weights)
            del tensors["encoder.layer.0.output.dense.weight"]
            save_file(tensors, weights, {"format": "pt"})
        case "kind":
            (folder / "config.json").write_text(json.dumps({**config, "model_type": "wavlmm"}))
        case "not texts":
            (folder / "config.json").write_text(json.dumps({"model_type": "segformer"}))
        case "no kind":
            (folder / "config.json").write_text("[]")
        case "not JSON":
            (folder / "config.json").write_text("{")
        case "half":
            return {"half": True, "device": "cpu"}
        case "pickle":
            weights.unlink()
            torch.save({"encoder": Evil()}, folder / "pytorch_model.bin")
    return {}


MARK = "was-executed"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(MARK),)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("layer", r"no layer 3, 7; allowed: 0 to 2, or last$"),
        ("no weights", r"no weights; needed: model\.safetensors or pytorch_model\.bin, or the parts"),
        ("truncated", r"model\.safetensors: not a complete file of safetensors: "),
        ("part", r"2 of 2 files of weights are missing: model-1\.safetensors, model-2\.safetensors$"),
        ("missing weights", r"1 weights of a bert are missing: encoder\.layer\.0\.output\.dense\.weight$"),
        ("kind", r"config\.json: model_type 'wavlmm' is not known .* did you mean 'wavlm'"),
        (
            "not texts",
            r"config\.json: model_type 'segformer' is not one that features can be extracted with; allowed: ",
        ),
        ("no kind", r"config\.json: has no model_type; it is not a configuration of the transformers library$"),
        ("not JSON", r"config\.json: cannot be read: "),
        ("half", r"half precision needs CUDA, and the device is the processor$"),
        ("pickle", r"its weights are a file with more than tensors, which is not read$"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = text_model(tmp_path / "bert")
    options = broken(folder, how)
    with pytest.raises(UsageError, match=message):
        _ = recipe(folder, **options).constructed
    assert not (tmp_path / MARK).exists()


def test_code_in_a_folder_is_not_executed(tmp_path: Path) -> None:
    folder = text_model(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    remote = {"auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps({**config, **remote}))
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / MARK)!r}).touch()\n")
    assert len(recipe(folder).constructed(["i am sad"])[0].values) == 5
    assert not (tmp_path / MARK).exists()


def test_the_device_that_was_used_is_recorded(tmp_path: Path) -> None:
    made = recipe(text_model(tmp_path / "bert")).extractor.make
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert made.settled({"device": "auto", "layer": 1}) == {"device": expected, "layer": 1}  # type: ignore[attr-defined]


def test_a_model_without_what_prepares_its_input_is_one_message(tmp_path: Path) -> None:
    folder = waveform_model(tmp_path / "model")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UsageError, match=r"its processor \(preprocessor_config\.json\) cannot be read: "):
        recipe(folder)


def test_a_rate_that_sound_does_not_have_is_one_message(tmp_path: Path) -> None:
    folder = waveform_model(tmp_path / "model")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sampling_rate": "16 kHz"}))
    with pytest.raises(UsageError, match="sampling_rate of its processor is '16 kHz'; allowed: 1,000 to 384,000"):
        recipe(folder)


def test_a_missing_library_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = text_model(tmp_path / "bert")
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'merbench\[language-models\]'"):
        recipe(folder)


def test_a_checkpoint_of_pytorch_is_read_as_tensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = text_model(tmp_path / "bert")
    expected = recipe(folder).constructed(["i am sad"])[0].values
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    np.testing.assert_array_equal(recipe(folder).constructed(["i am sad"])[0].values, expected)
