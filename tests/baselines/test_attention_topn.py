from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, mean_squared_error

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.training import FoldEnsemble, Setup, TrainingSet, feature_set, load_baseline
from merbench.training.data import training_candidates, training_set
from tests.baselines.networks import batch_of, network_of
from tests.training.conftest import SmallTrack

SETUP = Setup(n_folds=2, device_name="cpu")
SMALL = {"hidden": 8, "batch_size": 10, "learning_rate": 0.02, "epochs": 5, "patience": 0}


def built(setup: Setup = SETUP, **options: Any) -> Any:
    loaded = load_baseline("attention-topn")
    baseline = loaded.build(loaded.options("small", {**SMALL, **options}), setup)
    assert isinstance(baseline, FoldEnsemble)
    return baseline


def given(track: Any, **modalities: str) -> TrainingSet:
    train = training_set(training_candidates(track), ["quiet", "loud"])
    return replace(train, samples=replace(train.samples, modalities=modalities))


def test_features_are_ranked_by_what_each_does_alone_on_the_folds_it_did_not_learn_from(
    small_track: SmallTrack,
) -> None:
    train, values = given(small_track()), {}
    for name in ("quiet", "loud"):
        alone = replace(train, samples=replace(train.samples, sequences={name: train.samples.sequences[name]}))
        result = built().fit_folds(alone)
        assert result.details == {"ranking": {}, "fused": [name]}  # there is nothing to rank
        outputs = result.out_of_fold.outputs
        f1 = f1_score(train.targets["discrete"], outputs["discrete"].argmax(1), average="weighted")
        mse = mean_squared_error(train.targets["valence"], outputs["valence"].clip(-2, 2))
        values[name] = f1 - 0.25 * mse
    # the centres of loud have twice the distance, in deviations, and more dimensions
    assert values["loud"] > values["quiet"]
    result = built(n_best=1).fit_folds(train)
    assert result.details["fused"] == ["loud"]
    assert list(result.details["ranking"]["unknown"]) == ["loud", "quiet"]
    assert result.details["ranking"]["unknown"] == pytest.approx(values, abs=1e-12)
    # three trainings of two folds that learn from 30 samples each, five epochs
    assert result.sample_epochs == 3 * 2 * 30 * 5


@pytest.mark.parametrize(
    ("modalities", "n_best", "fused"),
    [
        ({"loud": "audio", "quiet": "audio"}, 1, ["loud"]),
        ({"loud": "audio", "quiet": "audio"}, 6, ["quiet", "loud"]),
        ({"loud": "audio", "quiet": "text"}, 1, ["quiet", "loud"]),
        ({"quiet": "text"}, 1, ["quiet", "loud"]),  # what is of no known modality is one more
    ],
)
def test_the_best_of_each_modality_are_fused_in_the_order_given(
    small_track: SmallTrack, modalities: dict[str, str], n_best: int, fused: list[str]
) -> None:
    ours = built(n_best=n_best)
    assert ours.fit_folds(given(small_track(), **modalities)).details["fused"] == fused
    encoders = {name.split(".")[2] for name in ours.weights() if name.startswith("network.encoders.")}
    assert len(encoders) == (3 if len(fused) == 1 else len(fused))


def test_of_equally_good_features_the_first_is_better(small_track: SmallTrack) -> None:
    train = given(small_track())
    sequences = train.samples.sequences["loud"]
    for names in (["b", "a"], ["a", "b"]):
        twice = replace(train.samples, sequences=dict.fromkeys(names, sequences))
        assert built(n_best=1, epochs=2).fit_folds(replace(train, samples=twice)).details["fused"] == names[:1]


def test_a_stored_model_answers_as_it_did_from_the_features_that_it_fuses(small_track: SmallTrack) -> None:
    track = small_track()
    test = feature_set(open_candidates(track), ["quiet", "loud"])
    trained, restored = built(n_best=1), built(n_best=1)
    trained.fit(given(track))
    weights = trained.weights()
    assert weights["fused"].tolist() == ["loud"]
    restored.restore(weights, track, test.widths)
    for name, values in trained.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[name], values)
    for wrong in (["loud", "loud"], ["shrill"], []):
        with pytest.raises(UsageError, match="do not name features that are fused, each once, of those given"):
            restored.restore({**weights, "fused": np.array(wrong, dtype=np.str_)}, track, test.widths)
    with pytest.raises(UsageError, match="the weights are those of another network"):
        restored.restore({**weights, "fused": np.array(["quiet"])}, track, test.widths)


@pytest.mark.parametrize("step", [2, 5, 12])  # of three trainings of five epochs: the first, its end, and the fusion
def test_an_interrupted_training_goes_on(small_track: SmallTrack, tmp_path: Path, step: int) -> None:
    train, steps = given(small_track()), list[tuple[int, int]]()

    def interrupt(done: int, total: int) -> None:
        steps.append((done, total))
        if len(steps) == step:
            raise KeyboardInterrupt

    setup = replace(SETUP, state=tmp_path / "state", progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        built(setup, n_best=1).fit_folds(train)
    assert steps[-1] == (step, 15)
    again = built(setup, n_best=1).fit_folds(train)
    assert steps[-1] == (15, 15)
    expected = built(n_best=1).fit_folds(train)
    assert again.details == expected.details and again.sample_epochs == expected.sample_epochs
    for name, values in expected.out_of_fold.outputs.items():
        np.testing.assert_array_equal(again.out_of_fold.outputs[name], values)


@pytest.mark.parametrize("widths", [{"a": 4}, {"a": 4, "b": 2}])
def test_the_weighted_sum_of_encodings_feeds_the_heads(widths: dict[str, int]) -> None:
    model, batch = network_of("attention-topn", widths, {"label": 1, "value": None}, hidden=5), batch_of(widths)
    every = model(batch)

    def through(layers: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        for layer in list(layers)[1:]:  # the first drops inputs
            x = (x @ layer.weight[0] + layer.bias[0, 0]).relu()
        return x

    for row in range(6):
        given = [x[row] for x in batch.inputs.values()] * (3 if len(widths) == 1 else 1)
        encoded = [through(encoder, x) for encoder, x in zip(model.network.encoders, given, strict=True)]
        hidden, last = model.network.attention
        weights = through(hidden, torch.cat(encoded)) @ last.weight[0] + last.bias[0, 0]
        fused = torch.stack(encoded, 1) @ weights
        for output, head in zip((every["label"][row], every["value"][[row]]), model.network.heads.layers, strict=True):
            torch.testing.assert_close(output, fused @ head.weight[0] + head.bias[0, 0], rtol=1e-4, atol=1e-5)


def test_dropped_inputs_depend_on_the_generator_of_fold_layers_only() -> None:
    model, batch = (
        network_of("attention-topn", {"a": 4}, {"value": None}, hidden=5, dropout=0.5).train(),
        batch_of({"a": 4}),
    )
    noise, outputs = model.network.encoders[0][0].noise, []
    for seed, state in ((0, 1), (1, 1), (1, 2)):
        torch.manual_seed(seed)
        noise.manual_seed(state)
        outputs.append(model(batch)["value"])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=0)
    assert not torch.equal(outputs[1], outputs[2])
