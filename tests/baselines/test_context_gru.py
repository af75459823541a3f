from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from merbench.track import load_track
from merbench.training import (
    Dialogues,
    FeatureSet,
    RunSettings,
    Sequences,
    Setup,
    TrainingSet,
    load_baseline,
    run_baseline,
)
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import NetworkBaseline, Shape
from tests.training.conftest import N_TEST, N_TRAIN, SmallTrack

WIDTHS = {"audio": 5, "text": 3}
LENGTHS = [4, 1, 6]
SPEAKERS = [0, 1, 0, 2, 1, 1]


def network(widths: dict[str, int], **options: object) -> nn.Module:
    loaded = load_baseline("context-gru")
    shape = Shape(widths, {"discrete": 6, "valence": None}, [generator("cpu", 0)], generator("cpu", "noise"))
    torch.manual_seed(0)
    model: nn.Module = loaded.module.Network(loaded.module.Options(**loaded.options("any", options)), shape)
    return model.eval()


def dialogue(number: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(number)
    return {name: torch.randn(LENGTHS[number], width, generator=rng) for name, width in WIDTHS.items()}


def batch(order: list[int]) -> Batch:
    longest = max(LENGTHS[i] for i in order)
    samples = torch.full((len(order), longest), -1)
    speaker = samples.clone()
    inputs = {name: torch.zeros(len(order), longest, width) for name, width in WIDTHS.items()}
    for place, i in enumerate(order):
        samples[place, : LENGTHS[i]] = 10 * i + torch.arange(LENGTHS[i])
        speaker[place, : LENGTHS[i]] = torch.tensor(SPEAKERS[: LENGTHS[i]])
        for name, values in dialogue(i).items():
            inputs[name][place, : LENGTHS[i]] = values
    return Batch(inputs, {}, dict.fromkeys(WIDTHS, samples >= 0), samples, speaker)


@pytest.mark.parametrize(("shared", "speakers"), [(True, 0), (False, 0), (True, 4)])
def test_it_has_the_parameters_of_its_parts(shared: bool, speakers: int) -> None:
    # a cell 3 h (d + h + 2), once or for each direction; 2 h · e + e per feature; layers; heads; h = e = 100
    n_cells = 1 if shared else 2
    readers = sum(n_cells * 3 * 100 * (width + 102) for width in (512, 88, 200 + speakers))
    encoders = 2 * (200 * 100 + 100)
    layers = 3 * (200 * 200 + 200)
    model = network({"text": 512, "audio": 88}, shared=shared, speakers=speakers)
    assert sum(p.numel() for p in model.parameters()) == readers + encoders + layers + 200 * 6 + 6 + 201


def test_a_dialogue_is_read_in_both_directions() -> None:
    model = network(WIDTHS, layers=[7], speakers=2)

    def both(cell: nn.GRU, rows: Tensor) -> Tensor:
        return torch.cat([cell(rows[None])[0][0], cell(rows.flip(0)[None])[0][0].flip(0)], -1)

    outputs = model(batch([0, 1, 2]))
    for number, length in enumerate(LENGTHS):
        parts = [
            encoder(both(reader.gru.forwards, rows)).tanh()
            for reader, encoder, rows in zip(model.readers, model.encoders, dialogue(number).values(), strict=True)
        ]
        # the third speaker is coded as the last that is told apart
        codes = torch.eye(2)[[min(code, 1) for code in SPEAKERS[:length]]]
        x = both(model.fusion.gru.forwards, torch.cat([*parts, codes], -1))
        x = model.layers[0][0](x).relu()
        for output, head in zip((outputs["discrete"], outputs["valence"][..., None]), model.heads.layers, strict=True):
            torch.testing.assert_close(output[number, :length], head(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"shared": False, "speakers": 3}, {"context": False}])
def test_the_dialogues_next_to_it_change_nothing(options: dict[str, object]) -> None:
    model = network(WIDTHS, **options)
    every = model(batch([0, 1, 2]))
    for order in ([2, 1, 0], [1], [0, 1]):
        for name, values in model(batch(order)).items():
            for place, i in enumerate(order):
                ours, wanted = values[place, : LENGTHS[i]], every[name][i, : LENGTHS[i]]
                torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-6)


def test_without_context_an_utterance_is_a_dialogue_of_its_own() -> None:
    apart, together = network(WIDTHS, context=False), network(WIDTHS)
    dialogues = batch([0, 2])
    inputs = {name: values.flatten(0, 1)[:, None] for name, values in dialogues.inputs.items()}
    samples, speaker = dialogues.samples.view(-1, 1), dialogues.speaker
    assert speaker is not None
    single = Batch(inputs, {}, dict.fromkeys(WIDTHS, samples >= 0), samples, speaker.view(-1, 1))
    real = dialogues.real
    alone, ours = together(single)["valence"].view(real.shape), apart(dialogues)["valence"]
    torch.testing.assert_close(ours[real], alone[real], rtol=1e-5, atol=1e-6)
    assert (together(dialogues)["valence"] - ours)[real].abs().min() > 0


@pytest.mark.slow
def test_only_with_context_it_learns_what_was_before() -> None:
    # The label is what the utterance before it has; the first one has its own. Guessing is right for a third.
    rng = np.random.default_rng(0)
    n_dialogues, length = 40, 6
    seen = rng.integers(0, 3, (n_dialogues, length))
    labels = np.concatenate([seen[:, :1], seen[:, :-1]], axis=1).ravel().astype(np.int32)
    values = (np.eye(3)[seen.ravel()] + rng.normal(0, 0.1, (labels.size, 3))).astype(np.float32)
    dialogue, position = np.divmod(np.arange(labels.size), length)
    samples = FeatureSet(
        pa.array([f"{i:03}" for i in range(labels.size)]),
        {"text": Sequences.of_vectors(values)},
        dialogues=Dialogues(dialogue, position, position % 2),
    )
    train = TrainingSet(load_track("mer2023-semi"), samples, {"discrete": labels}, clusters={"dialogue": dialogue})
    small = {"hidden": 16, "encoded": 8, "layers": [16], "learning_rate": 0.01, "batch_size": 4, "epochs": 25}
    shares = []
    for context in (True, False):
        loaded = load_baseline("context-gru")
        options = loaded.options("any", {**small, "context": context})
        fitted = loaded.build(options, Setup(0, 2, "cpu")).fit_folds(train)
        shares.append((fitted.out_of_fold.outputs["discrete"].argmax(1) == labels).mean())
    assert shares[0] > 0.9
    # 1/6 are first; of the others a third: 0.44
    assert 0.3 < shares[1] < 0.6


@pytest.mark.slow
def test_it_runs_on_a_track_of_dialogues(small_track: SmallTrack, tmp_path: Path) -> None:
    sizes = (N_TRAIN + N_TEST) // 10
    dialogues = np.repeat([f"d{i}" for i in range(sizes)], 10).tolist()
    track = small_track(columns={"dialogue": dialogues, "position": list(range(10)) * sizes})
    options = {"epochs": 20, "hidden": 16, "encoded": 16, "layers": [16], "learning_rate": 0.01, "batch_size": 2}
    run = run_baseline(
        track,
        "context-gru",
        RunSettings(seeds=[0], options=options, device="cpu", intervals=False),
        output=tmp_path / "run",
    )
    assert run.report is not None
    assert (run.report["weighted_f1"].value or 0.0) > 0.6


def mosi(folder: Path, split: str) -> tuple[FeatureSet, np.ndarray, np.ndarray]:
    """Return the utterances of a part, whether their sentiment is not negative, and their videos."""
    with np.load(folder / "mosi_trimodal.npz") as archive:
        arrays = {name: archive[name][archive["split_feature"] == split] for name in archive.files}
    videos, _, numbers = zip(*(name.rpartition("_") for name in arrays["id"]), strict=True)
    video = np.unique(videos, return_inverse=True)[1]
    features = FeatureSet(
        pa.array(arrays["id"].tolist()),
        {name: Sequences.of_vectors(arrays[name]) for name in ("text", "audio", "video")},
        dialogues=Dialogues.of(video, np.array(numbers, dtype=np.int64), np.zeros(len(video), dtype=np.int64)),
    )
    return features, arrays["label_nonneg"].astype(np.int32), video


@pytest.mark.slow
def test_on_the_videos_of_mosi_it_is_as_right_as_published(test_data: Path) -> None:
    """The released code was right for .738 to .770 of these 752 utterances, in six runs; above .80, suspect a leak."""
    folder = test_data / "data" / "features"
    samples, positive, video = mosi(folder, "train")
    # epochs cannot be selected here: the vectors of the training part know its labels; a video has to be watched
    train = TrainingSet(
        load_track("mer2023-semi"), samples, {"discrete": positive}, selection="dev", development=video == 0
    )
    loaded = load_baseline("context-gru")
    options = loaded.module.Options(**loaded.options("any", {}))
    baseline = NetworkBaseline(
        partial(loaded.module.Network, options),
        replace(options, keep="last", patience=0),
        Setup(0, 1, "cpu"),
        kind="dialogues",
        standardise=True,
    )
    baseline.fit(train)
    test, references, _ = mosi(folder, "test")
    assert len(references) == 752
    assert 0.73 < (baseline.predict(test).outputs["discrete"].argmax(1) == references).mean() < 0.8
