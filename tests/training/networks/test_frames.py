"""Frames: losses of those that are annotated, filters equal to other libraries', and windows chosen on validation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy.ndimage import correlate1d

from merbench.errors import UsageError
from merbench.track import load_track
from merbench.training import Dialogues, FeatureSet, Predictions, Sequences, Setup, TrainingSet, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.frames import (
    FrameOptions,
    concordance_loss,
    filtered,
    frame_loss,
    smoothed,
    weighted_cross_entropy,
)

OPTIONS = FrameOptions(epochs=1, batch_size=1, learning_rate=0.1, window=0, overlap=0)
NAN = float("nan")


def test_the_loss_of_numbers_is_that_of_every_window_or_of_all_frames() -> None:
    # 1, 2, 3, 5 for 0, 1, 2, 3: covariance 1.625, variances 2.1875 and 1.25, means 2.75 and 1.5: CCC 0.65.
    # Cut in two windows: 1, 2 for 0, 1: 2 · .25 / (.25 + .25 + 1) = 1/3; 3, 5 for 2, 3: 2 · .5 / (1 + .25 + 2.25) = 2/7.
    output, numbers = torch.tensor([[1.0, 2], [3, 5]]), torch.tensor([[0.0, 1], [2, 3]])
    known = torch.ones(2, 2, dtype=torch.bool)
    assert concordance_loss(output, numbers, known, over="batch").item() == pytest.approx(0.35, abs=1e-6)
    by_window = concordance_loss(output, numbers, known).item()
    assert by_window == pytest.approx(1 - (1 / 3 + 2 / 7) / 2, abs=1e-6)
    # a frame without a reference, and a window without any, have no part in it
    more = torch.tensor([[1.0, 7, 2], [3, 5, 7], [7, 7, 7]])
    marked = torch.tensor([[0.0, NAN, 1], [2, 3, NAN], [NAN, NAN, NAN]])
    assert concordance_loss(more, marked, ~marked.isnan()).item() == pytest.approx(by_window, abs=1e-6)


def test_cross_entropies_have_the_weights_of_labels() -> None:
    rng = torch.Generator().manual_seed(0)
    scores, codes, weights = torch.randn(7, 3, generator=rng), torch.randint(0, 3, (7,), generator=rng), [0.5, 2.0, 7.0]
    logs = scores.double().log_softmax(1).numpy()
    own = np.array(weights)[codes.numpy()]
    wanted = -(own * logs[np.arange(7), codes.numpy()]).sum() / own.sum()
    assert weighted_cross_entropy(scores, codes, torch.tensor(weights)).item() == pytest.approx(wanted, rel=1e-5)
    # of several labels: the weight is of both answers, and the mean is over the 3 that are known
    several = torch.tensor([[1, -1], [0, 1]])
    scores = torch.tensor([[0.0, 9.0], [0.0, 2.0]])
    wanted = (3 * np.log(2) + 3 * np.log(2) + 5 * np.log1p(np.exp(-2.0))) / 3
    assert weighted_cross_entropy(scores, several, torch.tensor([3.0, 5.0])).item() == pytest.approx(wanted, rel=1e-5)


def batch(**targets: list[list[Any]]) -> Batch:
    """Return two windows, the second with one frame only."""
    references = {name: torch.tensor(values) for name, values in targets.items()}
    return Batch({}, {}, {}, torch.tensor([[0, 1, 2], [3, -1, -1]]), targets=references, epoch=1)


def test_what_is_not_annotated_has_no_loss_and_no_gradient() -> None:
    known = {"valence": [[0.1, NAN, 0.4], [0.3, 0.9, 0.9]], "units": [[[1, 0], [-1, 1], [-1, -1]], [[0, 0]] * 3]}
    outputs = {
        "valence": torch.randn(2, 3, requires_grad=True),
        "emotion": torch.randn(2, 3, 4, requires_grad=True),
        "units": torch.randn(2, 3, 2, requires_grad=True),
    }

    def of_labels(name: str, scores: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return weighted_cross_entropy(scores, references)

    every = batch(**known, emotion=[[-1, -1, -1], [-1, 2, 2]])
    loss = frame_loss(outputs, every, OPTIONS, of_labels)
    loss.backward()
    others = frame_loss(outputs, batch(**known), OPTIONS, of_labels)
    assert torch.isfinite(loss) and loss.item() == others.item()  # padding is not annotated, whatever stands there
    gradients = {name: output.grad for name, output in outputs.items()}
    assert gradients["emotion"] is not None and not gradients["emotion"].any()
    valence, units = gradients["valence"], gradients["units"]
    assert valence is not None and (valence != 0).tolist() == [[True, False, True], [False, False, False]]
    assert units is not None and (units != 0).any(-1).tolist() == [[True, True, False], [True, False, False]]
    nothing = batch(valence=[[NAN] * 3] * 2, emotion=[[-1] * 3] * 2, units=[[[-1, -1]] * 3] * 2)
    for output in outputs.values():
        output.grad = None
    loss = frame_loss(outputs, nothing, OPTIONS, of_labels)
    loss.backward()
    assert loss.item() == 0
    assert not any(output.grad.any() for output in outputs.values() if output.grad is not None)
    # a target with another loss of the schedule is left to it
    left = replace(OPTIONS, losses={"valence": "squared_error", "units": "binary_cross_entropy"})
    assert frame_loss(outputs, every, left, of_labels).item() == 0


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("length", [3, 9])
def test_filters_are_those_of_pandas_and_scipy(n: int, length: int) -> None:
    values = np.random.default_rng(n).normal(size=(n, 2))
    rolling = pd.DataFrame(values).rolling(length, center=True, min_periods=1)
    np.testing.assert_allclose(filtered(values, "box", length), rolling.mean(), atol=1e-12)
    np.testing.assert_allclose(filtered(values, "median", length), rolling.median(), atol=1e-12)
    kernel = np.exp(-0.5 * (np.arange(length) - length // 2) ** 2 / ((length - 1) / 6) ** 2)
    sums = correlate1d(values, kernel, axis=0, mode="constant")
    inside = correlate1d(np.ones(n), kernel, mode="constant")
    np.testing.assert_allclose(filtered(values, "gaussian", length), sums / inside[:, None], atol=1e-12)
    for kind in ("median", "gaussian", "box"):
        np.testing.assert_array_equal(filtered(values[:, 0], kind, 1), values[:, 0])
        np.testing.assert_array_equal(filtered(values[:, 0], kind, length), filtered(values, kind, length)[:, 0])


def test_videos_are_smoothed_one_by_one_in_the_order_of_their_frames() -> None:
    # video 0 has the frames 3 0 1 (0, 3, 6), video 1 the frame 2
    videos = Dialogues(np.array([0, 0, 1, 0]), np.array([1, 2, 0, 0]), np.zeros(4, np.int64))
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    given = Predictions({"valence": np.array([3.0, 6, 9, 0]), "discrete": chances})
    box = smoothed(given, videos, load_track("mer-multi"), "box", 3).outputs
    assert box["valence"].tolist() == [3, 4.5, 9, 1.5]
    assert box["discrete"].sum(1) == pytest.approx(1)
    median = smoothed(given, videos, load_track("mer-multi"), "median", 3).outputs
    # of the last frame of video 0 the medians of .9 and .2 and of .1 and .8 are .55 and .45
    assert median["discrete"][[0, 2]].tolist() == [[0.9, 0.1], [0.5, 0.5]]
    assert median["discrete"][1] == pytest.approx([0.55, 0.45])


def jitter(n_videos: int = 12, length: int = 30) -> tuple[TrainingSet, FeatureSet]:
    """Return videos of a slow valence whose feature is noisy; those of the last third are for validation."""
    rng = np.random.default_rng(0)
    video, position = np.divmod(np.arange(n_videos * length), length)
    valence = np.sin(position / 8 + video)
    x = (valence + rng.normal(0, 1.0, valence.shape)).astype(np.float32)[:, None]
    ids = pa.array([f"{i:05}" for i in range(len(x))])
    samples = FeatureSet(ids, {"x": Sequences.of_vectors(x)}, dialogues=Dialogues(video, position, position * 0))
    track = load_track("abaw6-va")
    targets = {"valence": valence, "arousal": -valence}
    train = TrainingSet(track, samples, targets, selection="dev", development=video >= 2 * n_videos // 3)
    return train, samples


SMALL = {"hidden": 4, "epochs": 6, "learning_rate": 0.02, "window": 10, "overlap": 5}
TOKENS = {"epochs": 2, "tokens": 3, "width": 4}


def test_the_filter_is_chosen_by_validation_samples_and_stored() -> None:
    train, samples = jitter()
    loaded = load_baseline("abaw-fusion")
    options = {**SMALL, "smoothing": "box", "smoothing_windows": [3, 9]}
    fitted, restored, plain = (
        loaded.build(loaded.options("abaw6-va", {**options, "smoothing": kind}), Setup(0, 1, "cpu"))
        for kind in ("box", "box", "none")
    )
    shown = fitted.fit_folds(train).details["smoothing"]
    raw = plain.fit_folds(train).out_of_fold
    # the reference is slow and the feature noisy: smoothing helps, and the values are those of the development set
    assert shown["window"] > 1 and shown["filter"] == "box"
    rows = np.flatnonzero(train.development)
    videos = train.samples.select(rows).dialogues
    assert videos is not None
    for length, value in shown["values"].items():
        each = smoothed(raw, videos, train.track, "box", int(length)).outputs
        pooled = [ccc_of(each[name].clip(-1, 1), train.targets[name][rows]) for name in ("valence", "arousal")]
        assert value == pytest.approx(np.mean(pooled), abs=1e-6)
    assert shown["window"] == max(map(int, shown["values"]), key=lambda length: shown["values"][str(length)])
    answers = fitted.predict(samples).outputs
    restored.restore(fitted.weights(), train.track, samples.widths)
    for name, values in restored.predict(samples).outputs.items():
        np.testing.assert_array_equal(values, answers[name])
    assert (
        np.abs(np.diff(answers["valence"])).mean() < np.abs(np.diff(plain.predict(samples).outputs["valence"])).mean()
    )
    wrong = {**fitted.weights(), "smoothing": np.array([4])}
    with pytest.raises(UsageError, match=r"the weights have a filter of 4 frames; allowed: odd, up to 100,001"):
        restored.restore(wrong, train.track, samples.widths)


def ccc_of(prediction: np.ndarray, reference: np.ndarray) -> float:
    cov = np.cov(prediction, reference, bias=True)
    return float(2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + (prediction.mean() - reference.mean()) ** 2))


def test_a_task_without_any_annotated_frame_is_an_error() -> None:
    train, _ = jitter()
    arousal = np.where(train.development, 0.5, np.nan)
    loaded = load_baseline("abaw-fusion")
    baseline = loaded.build(loaded.options("abaw6-va", SMALL), Setup(0, 1, "cpu"))
    message = r"abaw6-va: none of the 240 frames that are learned from has a reference of arousal; leave the target out"
    with pytest.raises(UsageError, match=message):
        baseline.fit_folds(replace(train, targets={**train.targets, "arousal": arousal}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing_windows": [3, 4, 6]}, "smoothing_windows: 4, 6: a filter has an odd number of frames"),
        ({"window": 8, "overlap": 8}, "windows of 8 samples cannot overlap by 8; the overlap is less"),
    ],
)
def test_windows_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    loaded = load_baseline("abaw-mtl")
    with pytest.raises(UsageError, match=message):
        loaded.build(loaded.options("abaw6-va", options), Setup())


def test_videos_of_one_frame_are_learned_from_and_answered() -> None:
    train, samples = jitter(n_videos=9, length=1)
    for name, options in (("abaw-fusion", SMALL), ("abaw-mtl", TOKENS)):
        loaded = load_baseline(name)
        baseline = loaded.build(loaded.options("abaw6-va", options), Setup(0, 1, "cpu"))
        fitted = baseline.fit_folds(train)
        assert fitted.curve is not None and np.isfinite(fitted.curve.loss).all()
        assert all(np.isfinite(values).all() for values in baseline.predict(samples).outputs.values())


def test_every_parameter_is_trained() -> None:
    # the heads, μ and the initial state, too, which the released code leaves as they are
    train, samples = jitter()
    for name, options in (("abaw-fusion", {**SMALL, "softmax": False}), ("abaw-mtl", {**TOKENS, "window": 8})):
        loaded = load_baseline(name)
        trained = loaded.module.build(loaded.module.Options(**loaded.options("abaw6-va", options)), Setup(0, 1, "cpu"))
        trained._make_networks(samples.widths, train.track, 1)
        before = {key: value.clone() for key, value in trained.networks[0].state_dict().items()}
        trained.fit_folds(train)
        same = [key for key, value in trained.networks[0].named_parameters() if torch.equal(value, before[key])]
        assert not same, name
