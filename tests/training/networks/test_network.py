"""Networks of ordinary and of fold layers as baselines, on vectors, sequences and dialogues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.track import load_track
from merbench.training import Dialogues, FeatureSet, Sequences, Setup, TrainingSet
from merbench.training.networks import batches, order
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import FoldHidden, FoldLinear
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.scaling import Kind

N, WIDTH, SCHEDULE = 48, 4, Schedule(epochs=3, batch_size=8, learning_rate=0.01)


class Recurrent(nn.Module):
    """The mean of a GRU's states over the real rows of sequences, or over a dialogue one state per sample."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gru = nn.GRU(shape.widths["x"], 6, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.discrete = nn.Linear(6, shape.labels["discrete"] or 1)
        self.valence = nn.Linear(6, 1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.inputs["x"]
        states, _ = self.gru(x)
        if batch.lengths:
            lengths = batch.lengths["x"]
            real = torch.arange(x.shape[1]) < lengths[:, None]
            states = (states * real[..., None]).sum(1) / lengths.clamp_min(1)[:, None]
        states = self.dropout(states)
        return {"discrete": self.discrete(states), "valence": self.valence(states).squeeze(-1)}


class Layered(nn.Module):
    """A hidden layer per fold, on vectors."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.hidden = FoldHidden(shape.widths["x"], 6, shape.rngs, dropout=0.2, noise=shape.noise)
        self.discrete = FoldLinear(6, shape.labels["discrete"] or 1, shape.rngs)
        self.valence = FoldLinear(6, 1, shape.rngs)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        x = self.hidden(batch.inputs["x"])
        return {"discrete": self.discrete(x), "valence": self.valence(x).squeeze(-1)}


def training_set(kind: Kind) -> TrainingSet:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 6, N).astype(np.int32)
    lengths = rng.integers(1, 9, N) if kind == "sequences" else np.ones(N, dtype=np.int64)
    values = (rng.standard_normal((lengths.sum(), WIDTH)) + np.repeat(codes, lengths)[:, None]).astype(np.float32)
    dialogue = np.arange(N) // 5
    dialogues = Dialogues(dialogue, np.arange(N) % 5, np.arange(N) % 2) if kind == "dialogues" else None
    samples = FeatureSet(
        pa.array([f"s{i:02}" for i in range(N)]),
        {"x": Sequences(values, np.cumsum(lengths) - lengths, lengths)},
        dialogues=dialogues,
    )
    clusters = {"dialogue": dialogue} if dialogues else {}
    targets = {"discrete": codes, "valence": rng.standard_normal(N)}
    return TrainingSet(load_track("mer2023-multi"), samples, targets, clusters=clusters)


def baseline(kind: Kind, schedule: Schedule = SCHEDULE, seed: int = 0) -> NetworkBaseline:
    if kind == "vectors":
        return NetworkBaseline(Layered, schedule, Setup(seed, 3, "cpu"), together=True)
    return NetworkBaseline(Recurrent, schedule, Setup(seed, 3, "cpu"), kind=kind)


class Remembering(Recurrent):
    """It keeps its last answers for the samples it learns from, and its own loss is how far it has moved since."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.remembered = nn.Module()

    def remember(self, n: int, targets: Mapping[str, Tensor], learned: Tensor) -> None:
        self.remembered.register_buffer("answers", targets["valence"].clone())
        self.remembered.register_buffer("learned", torch.zeros(n, dtype=torch.bool).index_fill(0, learned, True))

    def forward(self, batch: Batch) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Tensor]]:
        outputs = super().forward(batch)
        if not self.training:
            return outputs
        assert self.remembered.learned[batch.samples[batch.real]].all()
        before, now = self.remembered.answers[batch.samples], outputs["valence"]
        self.remembered.answers[batch.samples[batch.real]] = now.detach()[batch.real]
        return outputs, {"moved": ((now - before) ** 2)[batch.real].mean()}


KINDS: tuple[Kind, ...] = ("vectors", "sequences", "dialogues")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_network_and_another_seed_another(kind: Kind) -> None:
    train = training_set(kind)
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(outputs))  # what others drew from torch's generator does not matter
        one = baseline(kind, seed=seed)
        fitted = one.fit_folds(train)
        assert fitted.curve is not None
        assert fitted.curve.loss.shape == (3, 3)
        outputs.append(one.predict(train.samples).outputs["discrete"])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_do_not_depend_on_the_samples_next_to_them(kind: Kind) -> None:
    train = training_set(kind)
    one = baseline(kind)
    one.fit(train)
    every = one.predict(train.samples).outputs
    rows = np.random.default_rng(1).permutation(N)
    if kind == "dialogues":  # a dialogue is one thing: others may be left out, and samples come in any order
        rows = np.random.default_rng(1).permutation(np.flatnonzero(np.arange(N) // 5 % 2))
    elif kind == "sequences":
        rows = rows[: N // 2]
    some = one.predict(train.samples.select(rows)).outputs
    for name, values in some.items():
        np.testing.assert_allclose(values, every[name][rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_restore_a_baseline(kind: Kind) -> None:
    train = training_set(kind)
    one, other = baseline(kind), baseline(kind, seed=7)
    one.fit(train)
    weights = one.weights()
    assert {len(values) for values in weights.values()} == {3}
    other.restore(weights, train.track, train.samples.widths)
    for name, values in one.predict(train.samples).outputs.items():
        np.testing.assert_array_equal(other.predict(train.samples).outputs[name], values)


def test_weights_of_another_network_are_refused() -> None:
    train = training_set("sequences")
    one = baseline("sequences")
    one.fit(train)
    weights = dict(one.weights())
    with pytest.raises(
        UsageError, match=r"another network \(1 of 8 arrays differ\): network.gru.weight_ih_l0; the options"
    ):
        one.restore(weights, train.track, {"x": WIDTH + 1})
    with pytest.raises(UsageError, match="do not have one fold dimension"):
        one.restore(weights | {"more": np.zeros(2)}, train.track, {"x": WIDTH})
    # 10,000 networks are not made for a small file; a bias of one number is the only array that fits
    many = {name: np.zeros((10_000, 1), np.float32) for name in weights}
    with pytest.raises(UsageError, match=r"another network \(7 of 8 arrays differ\)"):
        one.restore(many, train.track, {"x": WIDTH})
    texts = {name: np.zeros(values.shape, "U1") for name, values in weights.items()}
    with pytest.raises(UsageError, match=r"another network \(8 of 8 arrays differ\)"):
        one.restore(texts, train.track, {"x": WIDTH})


def test_the_out_of_fold_outputs_are_those_of_the_network_that_did_not_learn_from_the_sample() -> None:
    train = training_set("sequences")
    one = baseline("sequences", replace(SCHEDULE, epochs=2))
    outputs = one.fit_folds(train).out_of_fold.outputs["valence"]
    for fold, division in enumerate(train.divisions(3, 0)):
        alone = baseline("sequences")
        weights = {name: values[[fold]] for name, values in one.weights().items()}
        alone.restore(weights, train.track, {"x": WIDTH})
        predicted = alone.predict(train.samples.select(division.validate)).outputs["valence"]
        np.testing.assert_allclose(outputs[division.validate], predicted, rtol=1e-5, atol=1e-6)


def test_a_batch_with_too_many_padded_rows_is_computed_in_pieces_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = training_set("sequences")
    schedule = replace(SCHEDULE, class_weights="balanced", losses={"valence": "absolute_error"})
    seen: list[tuple[int, int]] = []

    class Watched(Recurrent):
        def __init__(self, shape: Shape) -> None:
            super().__init__(shape)
            self.dropout = nn.Dropout(0.0)  # the pieces draw other entries to drop

        def forward(self, batch: Batch) -> dict[str, Tensor]:
            if self.training:
                seen.append(tuple(batch.inputs["x"].shape[:2]))
            return super().forward(batch)

    outputs = []
    for rows in (1 << 17, 20):
        monkeypatch.setattr(batches, "ROWS_OF_A_PIECE", rows)
        one = NetworkBaseline(Watched, schedule, Setup(0, 3, "cpu"), kind="sequences")
        outputs.append(one.fit_folds(train).out_of_fold.outputs["valence"])
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-3, atol=1e-4)
    assert max(n for n, _ in seen) == 8
    assert all(n * steps <= 20 or n == 1 for n, steps in seen[len(seen) // 2 :][-20:])


def test_a_network_sees_references_in_training_only() -> None:
    train = training_set("sequences")
    seen = set[tuple[bool, tuple[str, ...]]]()

    class Watched(Recurrent):
        def forward(self, batch: Batch) -> dict[str, Tensor]:
            seen.add((self.training, tuple(batch.targets)))
            return super().forward(batch)

    model = NetworkBaseline(Watched, SCHEDULE, Setup(0, 3, "cpu"), kind="sequences")
    model.fit(train)
    model.predict(train.samples)
    assert seen == {(True, ("discrete", "valence")), (False, ())}


def test_a_note_says_where_the_ranking_value_is_not_defined() -> None:
    train = training_set("vectors")
    train = replace(train, targets={**train.targets, "valence": np.full(N, np.nan)})
    fitted = baseline("vectors").fit_folds(train)
    assert fitted.curve is not None
    assert np.isnan(fitted.curve.value).all()
    # weighted F1 ranks next, and is defined
    assert fitted.notes == (
        "overall is not defined on the validation samples of 3 of 3 folds: 1, 2, 3; the epochs kept of them, "
        f"{', '.join(map(str, fitted.curve.best_epoch))}, are not selected by it",
    )


def test_histories_of_errors_are_not_negated() -> None:
    train = training_set("vectors")
    ranking = train.track.ranking.model_copy(update={"by": ("mse",)})
    track = train.track.model_copy(update={"ranking": ranking})
    fitted = baseline("vectors").fit_folds(replace(train, track=track))
    assert fitted.curve is not None
    assert (fitted.curve.value > 0).all()
    best = [epoch - 1 for epoch in fitted.curve.best_epoch]
    np.testing.assert_array_equal(fitted.curve.value.argmin(0), best)


def test_a_note_says_that_ccc_is_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    train, schedule = training_set("sequences"), replace(SCHEDULE, epochs=1, losses={"valence": "ccc"})
    assert not baseline("sequences", schedule).fit_folds(train).notes
    monkeypatch.setattr(batches, "ROWS_OF_A_PIECE", 20)
    assert baseline("sequences", schedule).fit_folds(train).notes == (
        "batches were too large to be computed at once: their loss 'ccc' is the mean of that of their pieces",
    )


def test_a_loss_of_a_target_that_the_track_does_not_have_is_refused() -> None:
    schedule = replace(SCHEDULE, losses={"valance": "ccc"})
    with pytest.raises(UsageError, match="no target named 'valance'; did you mean 'valence'"):
        baseline("vectors", schedule).fit(training_set("vectors"))


@pytest.mark.parametrize("kind", ["sequences", "dialogues"])
def test_what_a_network_remembers_of_samples_is_not_stored_with_its_weights(kind: Kind) -> None:
    train = training_set(kind)
    model, other = (NetworkBaseline(Remembering, SCHEDULE, Setup(seed, 3, "cpu"), kind=kind) for seed in (0, 7))
    model.fit(train)
    plain = baseline(kind)
    plain.fit(train)
    assert model.weights().keys() == plain.weights().keys()
    # its answers are remembered of every fold, and of the samples that the fold learned from only
    for network, division in zip(model.networks, train.divisions(3, 0), strict=True):
        moved = (network.remembered.answers.numpy() != train.targets["valence"].astype(np.float32)).nonzero()[0]
        assert moved.tolist() == sorted(division.learn.tolist())
    other.restore(model.weights(), train.track, train.samples.widths)
    for name, values in model.predict(train.samples).outputs.items():
        np.testing.assert_array_equal(other.predict(train.samples).outputs[name], values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_knows_the_epoch_in_training_only(kind: Kind) -> None:
    seen = set[tuple[bool, int]]()

    def watched(network: nn.Module, batches: tuple[Batch]) -> None:
        seen.add((network.training, batches[0].epoch))

    def make(shape: Shape) -> nn.Module:
        network = Layered(shape) if kind == "vectors" else Recurrent(shape)
        network.register_forward_pre_hook(watched)
        return network

    model = NetworkBaseline(make, SCHEDULE, Setup(0, 3, "cpu"), kind=kind, together=kind == "vectors")
    model.fit(training_set(kind))
    model.predict(training_set(kind).samples)
    assert seen == {(True, 1), (True, 2), (True, 3), (False, 0)}


class Shown(Recurrent):
    """It shows the mean of the first number of samples, and one that is the same for all."""

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        assert not self.training and not torch.is_grad_enabled() and not batch.targets and batch.epoch == 0
        real = batch.inputs["x"][batch.real]
        return {"first": real[..., 0].mean(), "half": torch.tensor(0.5)}


@pytest.mark.parametrize("at_once", [512, 5])
def test_diagnostics_are_means_over_the_samples_that_an_epoch_is_selected_on(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = training_set("dialogues")
    monkeypatch.setattr(order, "FRAMES_AT_ONCE", at_once)  # all dialogues of a fold at once, or one after the other
    fitted = NetworkBaseline(Shown, SCHEDULE, Setup(0, 3, "cpu"), kind="dialogues").fit_folds(train)
    assert fitted.details.keys() == {"diagnostics"}
    shown = fitted.details["diagnostics"]
    assert shown.keys() == {"first", "half"}
    firsts = [train.features["x"][division.validate, 0].mean() for division in train.divisions(3, 0)]
    np.testing.assert_allclose(shown["first"], firsts, rtol=1e-5)
    assert shown["half"] == pytest.approx([0.5] * 3, abs=1e-12)


def test_a_network_that_shows_nothing_has_no_details() -> None:
    assert not baseline("sequences").fit_folds(training_set("sequences")).details


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda out: out["valence"], "a value of type 'Tensor'; needed: a dict of one tensor per target, discrete, valence"),
        (lambda out: (out, {}, {}), "a value of type 'tuple'; needed: a dict of one tensor per target"),
        (lambda out: {"valence": None}, "a value of type 'dict'; needed: a dict of one tensor per target"),
        (lambda out: {"discrete": out["discrete"]}, "no output for target 'valence'; returned: discrete; needed: discrete, valence"),
        (lambda out: {**out, "x": out["valence"]}, "outputs for what is no target; returned: discrete, valence, x; needed"),
        (lambda out: {**out, "valence": out["valence"][:, None]}, r"the shape \(8, 1\) for target 'valence'; needed: \(8,\)"),
        (lambda out: {**out, "discrete": out["discrete"][:, 1:]}, r"the shape \(8, 5\) for target 'discrete'; needed: \(8, 6\)"),
    ],
)  # fmt: skip
def test_outputs_that_are_not_those_of_the_targets_are_named(returned: Callable[..., Any], message: str) -> None:
    class Other(Recurrent):
        def forward(self, batch: Batch) -> Any:
            return returned(super().forward(batch))

    own = NetworkBaseline(Other, SCHEDULE, Setup(n_folds=3, device_name="cpu"), kind="sequences")
    with pytest.raises(UsageError, match=f"the network returned {message}"):
        own.fit(training_set("sequences"))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no kind of samples named 'sequence'; did you mean 'sequences'\?"):
        NetworkBaseline(Recurrent, SCHEDULE, Setup(device_name="cpu"), kind="sequence")
