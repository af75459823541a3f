"""After EmoCapCLIP: the contrast of its own embeddings, prompts, the probe, captions that are odd, a folder of CLIP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from torch.nn.functional import cross_entropy, normalize

from merbench.errors import DeclarationError, UsageError
from merbench.track import Track, load_track
from merbench.training import FeatureSet, Sequences, Setup, TrainingSet, load_baseline
from merbench.training.networks.batches import Batch, Data
from merbench.training.networks.pairs import alike

SIDE = 16
LABELS = ("calm", "glad", "sad")
SMALL: dict[str, Any] = {
    **{"width": 32, "channels": 4, "layers": 1, "pictures": 2, "sentences": 2, "shift": 0.0, "batch_size": 16},
    "epochs": 30,
    "learning_rate": 0.005,
    "prompts": {
        "calm": ["A face in the middle."],
        "glad": ["A face at the top."],
        "sad": ["A face at the bottom."],
        "valence.low": ["at the bottom"],
        "valence.high": ["at the top"],
    },
}

TRACK = """
id = "small"
version = "1.0"
title = "Small"
corpus = "./corpus"
splits = { train = "train", test = "test" }
targets.discrete = { type = "categorical", labels = ["calm", "glad", "sad"] }
targets.valence = { type = "continuous", range = [-2.0, 2.0] }
metrics = [{ name = "weighted_f1", target = "discrete" }]
ranking = { by = ["weighted_f1"] }
"""

loaded = load_baseline("after-emocapclip")
model = loaded.module


@pytest.fixture
def track(tmp_path: Path) -> Track:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "track.toml").write_text(TRACK, encoding="utf-8")
    return load_track(tmp_path / "small")


def said(code: int) -> str:
    place = ("in the middle", "at the top", "at the bottom")[code]
    return f"A face {place}. Its brightest rows are {place}. Nothing else."


def clips(n: int = 48, seed: int = 0) -> tuple[NDArray[np.int64], Sequences]:
    """Return codes of samples, and clips of one to three pictures with a band of rows by the code."""
    rng = np.random.default_rng(seed)
    codes, lengths = rng.integers(0, 3, n), rng.integers(1, 4, n)
    pictures = rng.integers(0, 60, (lengths.sum(), SIDE, SIDE, 3))
    for picture, code in zip(pictures, np.repeat(codes, lengths), strict=True):
        top = (6, 1, 11)[code]
        picture[top : top + 4] += 150
    values = pictures.astype(np.uint8).reshape(len(pictures), -1)
    return codes, Sequences(cast(Any, values), np.cumsum(lengths) - lengths, lengths)


def training(track: Track, captions: Sequence[str | None] | None = None, n: int = 48) -> TrainingSet:
    codes, pictures = clips(n)
    column = [said(code) for code in codes] if captions is None else captions
    columns = {"caption": pa.array(column, pa.string())}
    samples = FeatureSet(pa.array([f"s{i:03}" for i in range(n)]), {"face-crops.frames": pictures}, columns)
    targets = {"discrete": codes.astype(np.int32), "valence": np.array([0.0, 1.5, -1.5])[codes]}
    return TrainingSet(track, samples, targets)


def unseen() -> tuple[NDArray[np.int64], FeatureSet]:
    """Return codes and clips of other samples, the first of which has no picture; they have no captions."""
    codes, pictures = clips(30, seed=1)
    lacking = pictures.select(np.array([-1, *range(1, 30)]))
    return codes, FeatureSet(pa.array([f"t{i:03}" for i in range(30)]), {"face-crops.frames": lacking})


def built(**options: Any) -> Any:
    chosen = loaded.options("small", {**SMALL, **options})
    from pydantic import TypeAdapter

    return model.build(TypeAdapter(model.Options).validate_python(chosen), Setup(n_folds=2, device_name="cpu"))


def fitted(track: Track, captions: Sequence[str | None] | None = None, **options: Any) -> tuple[Any, Any]:
    baseline = built(**options)
    return baseline, baseline.fit_folds(training(track, captions))


def batch_of(train: TrainingSet, epoch: int = 1) -> Batch:
    return Data(train.samples, "sequences").batch(torch.arange(len(train)), epoch=epoch)


@pytest.mark.slow
def test_prompts_find_faces_that_were_never_labelled(track: Track) -> None:
    baseline, result = fitted(track)
    codes, test = unseen()
    answers = baseline.predict(test).outputs
    assert (answers["discrete"].argmax(1) == codes)[1:].mean() > 0.9  # a third by chance
    assert np.corrcoef(answers["valence"][1:], np.array([0.0, 1.5, -1.5])[codes[1:]])[0, 1] > 0.8
    assert answers["discrete"][0] == pytest.approx([1 / 3] * 3)  # without a face, nothing is known
    assert answers["valence"][0] == 0
    assert result.details["pairs"]["n"] == 48 and result.details["pairs"]["sentences"] == 3


def test_labels_change_nothing_of_what_prompts_answer_with(track: Track) -> None:
    train = training(track)
    others = {"discrete": np.roll(train.targets["discrete"], 7), "valence": np.roll(train.targets["valence"], 5)}
    weights = []
    for targets in (train.targets, others):
        baseline = built(epochs=2)
        # the same division for both: folds are stratified by labels
        development = np.arange(48) >= 30
        baseline.fit_folds(TrainingSet(track, train.samples, targets, selection="dev", development=development))
        weights.append(baseline.weights())
    assert all(np.array_equal(values, weights[1][name]) for name, values in weights[0].items())


@pytest.mark.parametrize("quantile", [1.0, 0.6])
def test_the_contrast_is_that_of_its_embeddings_and_of_clip_where_nothing_is_guided(
    track: Track, quantile: float
) -> None:
    train, baseline = training(track), built(quantile=quantile, guided_epoch=1, local_weight=0.0)
    baseline.captions = [[f"{said(code)} {row}"] for row, code in enumerate(train.targets["discrete"])]
    baseline._make_networks(train.samples.widths, track, 1)
    [network] = baseline.networks
    baseline._give_captions(network)
    rows = Data(train.samples.select(np.flatnonzero(train.samples.sequences["face-crops.frames"].lengths == 1)))
    single = np.flatnonzero(train.samples.sequences["face-crops.frames"].lengths == 1)
    batch = Data(train.samples, "sequences").batch(torch.from_numpy(single), epoch=1)
    losses = network(batch)[1]
    with torch.no_grad():
        pictures = network.encoded(batch)[1]
        texts = normalize(network.encoder.texts(network.encoder.words([baseline.captions[i][0] for i in single])))
    assert rows.n == len(single) > 8
    logits, labels = pictures @ texts.T / 0.07, torch.arange(len(single))
    wanted: Any = labels, labels
    if quantile < 1:
        right = alike(pictures, texts, quantile).float()
        assert right.sum() > len(single)
        wanted = right / right.sum(1, keepdim=True), right.T / right.T.sum(1, keepdim=True)
    direct = (cross_entropy(logits, wanted[0]) + cross_entropy(logits.T, wanted[1])) / 2
    assert float(losses["contrast"].detach()) == pytest.approx(float(direct), rel=1e-6)
    assert set(losses) == {"contrast"}


def test_everything_learns_the_temperature_too_and_it_stays_below_a_hundred(track: Track) -> None:
    train, baseline = training(track), built()
    baseline._read_captions(train.samples, "small", [np.arange(48)])
    baseline._make_networks(train.samples.widths, track, 1)
    [network] = baseline.networks
    baseline._give_captions(network)
    torch.stack(list(network.train()(batch_of(train))[1].values())).sum().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []
    assert network.encoder.log_scale.grad != 0
    with torch.no_grad():
        network.encoder.log_scale.fill_(7)
    network.stepped(1)
    assert float(network.encoder.log_scale.detach().exp()) == pytest.approx(100)


def test_the_probe_is_logistic_and_ridge_regression_on_features(track: Track) -> None:
    train = training(track)
    baseline, result = fitted(track, answer="probe", epochs=2, penalty=0.1)
    divisions = train.divisions(2, 0)
    for fold, division in enumerate(divisions):
        features, _ = baseline._features(baseline.networks[fold], train.samples)
        learned = features[division.learn]
        x = (features - learned.mean(0)) / learned.std(0)
        codes, numbers = (train.targets[name][division.learn] for name in ("discrete", "valence"))
        labels = LogisticRegression(C=0.1, max_iter=5000).fit(x[division.learn], codes)
        values = Ridge(alpha=10).fit(x[division.learn], numbers)
        wanted = labels.predict_proba(x[division.validate]), values.predict(x[division.validate])
        np.testing.assert_allclose(result.out_of_fold.outputs["discrete"][division.validate], wanted[0], atol=1e-4)
        np.testing.assert_allclose(result.out_of_fold.outputs["valence"][division.validate], wanted[1], atol=1e-4)


@pytest.mark.parametrize("n_labels", [1, 2])
def test_a_probe_never_answers_labels_that_it_did_not_see(track: Track, n_labels: int) -> None:
    train = training(track)
    codes = (train.targets["discrete"] % n_labels).astype(np.int32)
    baseline = built(answer="probe", pairs=False)
    baseline.fit_folds(TrainingSet(track, train.samples, {**train.targets, "discrete": codes}))
    answers = baseline.predict(unseen()[1]).outputs["discrete"]
    assert answers[:, n_labels:].max() < 1e-9


def test_without_a_face_prompts_know_nothing(track: Track) -> None:
    baseline, _ = fitted(track, pairs=False)
    answers = baseline.predict(unseen()[1]).outputs
    assert answers["discrete"][0] == pytest.approx([1 / 3] * 3) != answers["discrete"][1]
    assert answers["valence"][0] == 0 != answers["valence"][1]


def test_a_sample_without_a_face_has_the_answer_of_the_mean(track: Track) -> None:
    baseline, _ = fitted(track, answer="probe", pairs=False)
    answers = baseline.outputs(unseen()[1])
    for network, outputs in zip(baseline.networks, answers, strict=True):
        biases = [layer.bias.detach().numpy() for layer in network.heads.layers]
        assert outputs["discrete"][0] == pytest.approx(biases[0])
        assert outputs["valence"][0] == pytest.approx(biases[1][0])


@pytest.mark.parametrize("options", [{}, {"answer": "probe"}, {"pairs": False}])
def test_stored_weights_predict_the_same(track: Track, options: dict[str, Any]) -> None:
    baseline, _ = fitted(track, epochs=1, **options)
    restored, test = built(epochs=1, **options), unseen()[1]
    restored.restore(baseline.weights(), track, test.widths)
    for name, values in baseline.predict(test).outputs.items():
        assert np.ptp(values, axis=0).max() > 0
        np.testing.assert_array_equal(restored.predict(test).outputs[name], values)


def test_samples_without_a_caption_or_a_face_are_named_and_left_out(track: Track) -> None:
    train = training(track)
    texts = [None, " ", "...", *train.samples.columns["caption"].to_pylist()[3:]]
    pictures = train.samples.sequences["face-crops.frames"].select(np.array([*range(40), -1, *range(41, 48)]))
    samples = FeatureSet(train.samples.ids, {"face-crops.frames": pictures}, {"caption": pa.array(texts)})
    baseline = built(epochs=1)
    result = baseline.fit_folds(TrainingSet(track, samples, train.targets))
    assert result.notes == (
        "3 of 48 samples have no caption, and are not learned from as pairs: s000, s001, s002",
        "1 of 48 samples have no face, and are not learned from as pairs: s040",
    )
    assert result.details["pairs"]["n"] == 44


@pytest.mark.parametrize("captions", [[None] * 48, [*["One."] * 1, *[None] * 47]])
def test_without_captions_there_is_one_message(track: Track, captions: list[str | None]) -> None:
    with pytest.raises(
        UsageError, match=r"of the samples that are learned from have a face and a caption.*pairs=false"
    ):
        fitted(track, captions)


def test_a_corpus_without_the_column_has_the_same_message(track: Track) -> None:
    train = training(track)
    samples = FeatureSet(train.samples.ids, train.samples.sequences)
    with pytest.raises(UsageError, match="small: 0 of the samples that are learned from have a face and a caption"):
        built().fit_folds(TrainingSet(track, samples, train.targets))


def test_of_2000_words_all_sentences_are_read_and_of_one_sentence_the_beginning(track: Track) -> None:
    long = ["A face at the top. " + "The brows are raised high. The eyes are wide. " * 200, "word " * 2000 + "."]
    texts = [*long, *training(track).samples.columns["caption"].to_pylist()[2:]]
    baseline, result = fitted(track, texts, epochs=1)
    assert result.notes == ("captions: of 1 sentence only the beginning is read",)
    assert [len(own) for own in baseline.captions[:3]] == [401, 1, 3]
    [network, _] = baseline.networks
    assert network.remembered.codes.shape[1] == model.LONGEST
    # the summary, then one of its 400 sentences; the second caption has none besides its only one
    summary, part = network.remembered.drawn(torch.tensor([0, 1]), 1)
    assert summary.tolist() == [0, 3]
    assert part[0] in (1, 2) and part[1] == -1


def test_words_are_read_in_lower_case_and_those_without_spaces_one_by_one() -> None:
    words = model.SmallEncoders(built().own).words(["Eyes, EYES wide", "\u773c\u775b", ""])
    assert words.lengths.tolist() == [3, 2, 1]
    assert words.codes[0, 0] == words.codes[0, 1] != words.codes[0, 2]
    assert words.codes[2].tolist() == [0, 0, 0]


def test_padding_changes_no_embedding() -> None:
    encoders = model.SmallEncoders(built().own).eval()
    alone, both = encoders.words(["wide eyes"]), encoders.words(["wide eyes", "the inner ends of the brows"])
    torch.testing.assert_close(encoders.texts(alone)[0], encoders.texts(both)[0])


def test_prompts_are_averaged_and_normalised(track: Track) -> None:
    baseline = built(prompts={"calm, glad": ["one.", "two."], "valence.low": ["low"], "valence.high": ["high"]})
    baseline._make_networks({"face-crops.frames": 3 * SIDE**2}, track, 1)
    [network] = baseline.networks
    with torch.no_grad():
        own = network.classes("discrete")
        one, two = normalize(network.encoder.texts(network.encoder.words(["one.", "two."])), dim=1)
        torch.testing.assert_close(own[0], normalize(one + two, dim=0))
    assert torch.equal(own[0], own[1])
    texts = model.class_prompts(baseline.own, track)
    assert texts["discrete"][2] == ["A face that looks sad.", "The expression of someone who feels sad."]
    with pytest.raises(UsageError, match="prompts: there is none for sad, and no template"):
        model.class_prompts(built(prompts=baseline.own.prompts, template=[]).own, track)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantile": 1.5}, "quantile"),
        ({"answer": "both"}, "answer"),
        ({"prompts": {"calm": "text"}}, "prompts"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        loaded.options("small", {**SMALL, **options})


def test_a_template_needs_a_place_for_the_label() -> None:
    with pytest.raises(UsageError, match=r"template: no place has no \{label\}"):
        loaded.build(loaded.options("small", {**SMALL, "template": ["no place"]}), Setup())


def test_a_feature_that_is_no_picture_is_refused(track: Track) -> None:
    with pytest.raises(UsageError, match="a row has 770 numbers, and is no square picture of 3 colours"):
        built()._make_networks({"other": 770}, track, 1)


WORDS = ["[PAD]", "[UNK]", "<s>", "</s>", "a", "face", "at", "the", "top", "bottom", "in", "middle", "low", "high"]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small CLIP model with random weights."""
    transformers = pytest.importorskip("transformers", reason="language-models: transformers is not installed")

    def write(positions: int = 16) -> Path:
        from tokenizers import Tokenizer, models, pre_tokenizers, processors

        torch.manual_seed(0)
        tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
        )
        fast = transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", bos_token="<s>", eos_token="</s>"
        )
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.CLIPConfig(
            vision_config={**sizes, "image_size": 32, "patch_size": 16, "projection_dim": 8},
            text_config={
                **{**sizes, "vocab_size": len(WORDS), "projection_dim": 8, "max_position_embeddings": positions},
                **{"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
            },
            projection_dim=8,
        )
        path = tmp_path / "clip"
        transformers.CLIPModel(config).save_pretrained(path)
        fast.save_pretrained(path)
        transformers.CLIPImageProcessorPil().save_pretrained(path)
        return path

    return write


def test_a_folder_answers_as_the_library_does(track: Track, folder: Callable[..., Path]) -> None:
    import transformers

    path = folder()
    baseline, _ = fitted(track, pairs=False, encoders=str(path), pictures=1)
    _, test = unseen()
    own = transformers.CLIPModel.from_pretrained(path).eval()
    network = baseline.networks[0]
    batch = Data(test, "sequences").batch(torch.arange(1, 30))
    pixels = torch.nn.functional.interpolate(
        network.chosen(batch, torch.full((29, 1), 0.5))[:, 0], (32, 32), mode="bicubic", antialias=True
    )
    mean, deviation = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    pixels = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)
    # neither "A" nor "." is known
    tokens = [[2, 1, 5, 10, 7, 11, 1, 3], [2, 1, 5, 6, 7, 8, 1, 3], [2, 1, 5, 6, 7, 9, 1, 3]]
    with torch.no_grad():
        wanted = own(input_ids=torch.tensor(tokens), pixel_values=pixels).logits_per_image.softmax(1)
    np.testing.assert_allclose(baseline.predict(test).outputs["discrete"][1:], wanted, rtol=1e-4)
    assert float(network.encoder.log_scale.detach()) == pytest.approx(2.6592)  # of the configuration, 1 / 0.07


@pytest.mark.slow
def test_a_folder_is_trained_and_long_sentences_are_cut(track: Track, folder: Callable[..., Path]) -> None:
    path = folder(positions=8)
    baseline, result = fitted(track, encoders=str(path), epochs=1)
    assert result.notes == ("captions: of 3 sentences only the beginning is read",)  # those of ten tokens
    before = load_file(path)
    after = baseline.weights()["network.encoder.model.visual_projection.weight"][0]
    assert np.abs(after - before["visual_projection.weight"]).max() > 1e-4
    assert baseline.networks[0].encoder.longest == 8


def load_file(path: Path) -> dict[str, NDArray[np.float32]]:
    from safetensors.numpy import load_file as load

    return cast(Any, load(path / "model.safetensors"))


def test_a_folder_of_another_kind_is_refused(track: Track, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(UsageError, match="is a model of type 'bert'; encoders of pairs are of type 'clip'"):
        built(encoders=str(tmp_path))._make_networks({"face": 768}, track, 1)
    with pytest.raises(UsageError, match=r"config\.json: cannot be read"):
        built(encoders=str(tmp_path / "absent"))._make_networks({"face": 768}, track, 1)


@pytest.mark.slow
def test_encoders_that_were_pretrained_on_pairs_answer_without_captions(track: Track, tmp_path: Path) -> None:
    from merbench.files.tensors import write_tensors

    train = training(track)
    made = built().pretrain(train.samples)
    assert made.n_samples == 48 and all(name.startswith("encoder.") for name in made.weights)
    write_tensors(tmp_path / "pretrained.safetensors", made.weights, {"schema": "merbench.pretrained/1"})
    baseline = built(pairs=False, pretrained=str(tmp_path))
    samples = FeatureSet(train.samples.ids, train.samples.sequences)
    baseline.fit_folds(TrainingSet(track, samples, train.targets))
    codes, test = unseen()
    assert (baseline.predict(test).outputs["discrete"].argmax(1) == codes)[1:].mean() > 0.9
    with pytest.raises(UsageError, match="pre-training: 0 of the samples"):
        built().pretrain(samples)
