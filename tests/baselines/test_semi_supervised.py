"""FixMatch, FlexMatch, mean teacher and virtual adversarial training, around networks of both kinds of layers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from merbench.claims.scored import _diagnostic
from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.training import Setup, TrainingSet, feature_set, load_baseline
from merbench.training.data import training_candidates, training_set
from merbench.training.networks import checkpoints
from merbench.training.networks.batches import Batch
from merbench.training.networks.matching import matching_loss, sure_labels
from merbench.training.networks.network import Shape
from merbench.training.networks.semi_supervised import strong_view, weak_view
from tests.baselines.networks import batch_of
from tests.training.conftest import DECLARATION, SmallTrack
from tests.training.networks.test_checkpoints import Epochs, Interrupted

SYSTEMS = ("fixmatch", "flexmatch", "mean-teacher", "vat")
QUICK: dict[str, Any] = {
    "hidden": 8,
    "epochs": 4,
    "batch_size": 16,
    "patience": 0,
    "standardise": True,
    "learning_rate": 0.01,
}
BASES = {  # of fold layers, and of torch's own, with losses of its own
    "lf-dnn": QUICK,
    "misa": QUICK,
}


def made(name: str, setup: Setup | None = None, base: str = "lf-dnn", **options: Any) -> Any:
    """Return a baseline of four epochs without a warm-up, which is sure of much."""
    loaded = load_baseline(name)
    sure = {"threshold": 0.34} if "threshold" in loaded.declaration.defaults else {}
    own = {"base": base, "base_options": BASES[base], "warmup": 0.0, "ratio": 2, **sure, **options}
    return loaded.build(loaded.options("small", own), setup or Setup(n_folds=2, device_name="cpu"))


@pytest.fixture
def train(small_track: SmallTrack) -> TrainingSet:
    track = small_track(declaration=DECLARATION + '\n[training]\nunlabelled = ["test"]\n')
    return training_set(training_candidates(track), ["loud", "quiet"], unlabelled=True)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_with_a_weight_of_0_it_is_the_base_bit_for_bit(name: str, base: str, train: TrainingSet) -> None:
    loaded = load_baseline(base)
    alone: Any = loaded.build(loaded.options("small", BASES[base]), Setup(n_folds=2, device_name="cpu"))
    wanted = alone.fit_folds(train)
    nothing = {"weight": 0.0, **({"entropy": 0.0} if name == "vat" else {})}
    # the mean of the mean teacher after a step is the student where the past has next to no weight
    average = {"average": 1e-12} if name == "mean-teacher" else {"average": 0.0}
    ours = made(name, base=base, **nothing, **average)
    result = ours.fit_folds(train)
    for target, values in wanted.out_of_fold.outputs.items():
        if name == "mean-teacher":
            np.testing.assert_allclose(result.out_of_fold.outputs[target], values, atol=1e-6)
        else:
            np.testing.assert_array_equal(result.out_of_fold.outputs[target], values)
    assert "diagnostics" not in result.details


@pytest.mark.parametrize("base", ["lf-dnn", pytest.param("misa", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SYSTEMS)
def test_it_learns_from_unlabelled_samples_is_stored_and_goes_on(
    name: str, base: str, train: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    setup = Setup(n_folds=2, device_name="cpu", state=tmp_path)
    nothing = {"weight": 0.0, **({"entropy": 0.0} if name == "vat" else {})}
    supervised = made(name, base=base, **nothing)
    supervised.fit_folds(train)
    through = made(name, base=base)
    wanted = through.fit_folds(train)
    assert wanted.details["n_unlabelled"] == 30
    with pytest.raises(Interrupted):
        made(name, replace(setup, log=Epochs(3)), base).built.fit_folds(train)
    log = Epochs()
    resumed = made(name, replace(setup, log=log), base)
    resumed.fit_folds(train)
    weights = through.weights()
    assert {key: part.tobytes() for key, part in resumed.weights().items()} == {
        key: part.tobytes() for key, part in weights.items()
    }
    losses = {"vat": ["divergence", "entropy"]}.get(name, ["unlabelled"])
    for loss in losses:
        values = np.array([epoch[loss] for epoch in log.values])
        assert np.isfinite(values).all() and (values > -1e-7).all() and (values[0] > 0).all()
    test = feature_set(open_candidates(train.track), ["loud", "quiet"])
    restored = made(name, base=base)
    restored.restore(weights, train.track, test.widths)
    for target, outputs in through.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[target], outputs)
        assert np.abs(outputs - supervised.predict(test).outputs[target]).max() > 1e-6


def one_network(name: str, labels: dict[str, int | None], widths: dict[str, int] | None = None, **options: Any) -> Any:
    """Return the untrained network of one fold of a baseline around torch's own layers, in training."""
    baseline = made(name, base="misa", **options).built
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        shape = Shape(widths or {"audio": 3, "text": 2}, labels, [torch.Generator()], torch.Generator(), {})
        network = baseline.make(shape)
    network.remember_unlabelled(6, [])
    return network.train()


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("widths", [{"text": 3}, {"audio": 3, "text": 2}, {"a": 1, "b": 2, "c": 3}])
def test_gradients_are_finite_for_any_features_labels_and_rows(name: str, widths: dict[str, int]) -> None:
    network = one_network(name, {"label": 1, "emotion": 3, "valence": None}, widths, threshold=0.0) if (
        name.endswith("match")
    ) else one_network(name, {"label": 1, "emotion": 3, "valence": None}, widths)  # fmt: skip
    batch = batch_of(widths)
    same = {key: x[:1].expand_as(x).clone() for key, x in batch.inputs.items()}
    absent = {key: torch.zeros(6, dtype=torch.bool) for key in widths}
    single = Batch({key: x[:1] for key, x in batch.inputs.items()}, {}, {key: torch.ones(1) > 0 for key in widths},
                   torch.zeros(1, dtype=torch.int64))  # fmt: skip
    zeros = {key: torch.zeros_like(x) for key, x in batch.inputs.items()}
    for given in (
        batch, replace(batch, inputs=same, complete={}), single,
        replace(batch, inputs=zeros, present=absent, complete={}),
    ):  # fmt: skip
        network.zero_grad()
        losses = network.losses(given, 1.0)
        assert all(loss.shape == () and loss > -1e-6 for loss in losses.values())
        torch.stack(list(losses.values())).sum().backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_the_loss_of_matching_is_its_definition() -> None:
    rng = torch.Generator().manual_seed(0)
    weak, strong = torch.randn(2, 5, 3, generator=rng) * 2, torch.randn(2, 5, 3, generator=rng)
    thresholds = torch.tensor([[0.5, 0.6, 0.7], [0.0, 1.0, 0.9]])
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    labels, sure = sure_labels(weak, thresholds)
    assert sure_labels(torch.zeros(1, 2), torch.tensor([0.5, 1.0]))[1].item()  # a confidence of the threshold is enough
    losses = matching_loss(strong, labels, sure, real)
    for fold in range(2):
        total = 0.0
        for row in range(int(real[fold].sum())):
            chances = weak[fold, row].exp() / weak[fold, row].exp().sum()
            best = max(range(3), key=chances.tolist().__getitem__)
            if chances[best] >= thresholds[fold, best]:
                total -= float((strong[fold, row].exp() / strong[fold, row].exp().sum())[best].log())
        assert float(losses[fold]) == pytest.approx(total / int(real[fold].sum()), abs=1e-6)


def test_flexmatch_remembers_labels_that_reach_the_fixed_threshold_only() -> None:
    network = one_network("flexmatch", {"label": 2, "emotion": 3}, threshold=0.9)
    stored = network.remembered.labels
    assert stored.shape == (2, 6) and (stored == -1).all()
    assert network.thresholds("emotion").tolist() == [0, 0, 0]  # as long as no label is learned, all samples count
    network.note("emotion", torch.tensor([4, 1, 2]), torch.tensor([2, 0, 2]), torch.tensor([True, False, True]))
    assert stored.tolist() == [[-1] * 6, [-1, -1, 2, -1, 2, -1]]
    # counts 0, 0, 2, and 4 unused: β = 2/4, and .9 · .5 / 1.5 = .3
    torch.testing.assert_close(network.thresholds("emotion"), torch.tensor([0, 0, 0.3]))
    network.note("emotion", torch.tensor([4, 0]), torch.tensor([0, 0]), torch.tensor([True, True]))
    assert stored[1].tolist() == [0, -1, 2, -1, 0, -1]


def test_the_teacher_is_the_running_mean_of_the_student_and_answers() -> None:
    network = one_network("mean-teacher", {"emotion": 3}, average=0.75)
    batch, mean = batch_of({"audio": 3, "text": 2}), None
    for step in range(1, 6):
        with torch.no_grad():
            for parameter in network.network.parameters():
                parameter.add_(step)
        network.stepped(step)
        (student, *_), (teacher, *_) = (list(each.parameters()) for each in (network.network, network.mean))
        past = min(0.75, 1 - 1 / step)
        mean = student.detach().clone() if mean is None else past * mean + (1 - past) * student.detach()
        torch.testing.assert_close(teacher, mean)
        assert not teacher.requires_grad
    network.eval()
    torch.testing.assert_close(network(batch)["emotion"], network.mean(batch)["emotion"])
    assert (network(batch)["emotion"] - network.network(batch)["emotion"]).abs().max() > 1e-3


class Linear(torch.nn.Module):
    """Scores that are a linear map of all features, or do not depend on them."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"emotion": torch.cat([*batch.inputs.values()], -1) @ self.weight}


def test_a_move_has_its_length_and_the_direction_of_the_largest_change() -> None:
    network = one_network("vat", {"emotion": 2}, epsilon=0.1, xi=1e-3)
    # With two labels, the divergence is a function of the difference of the scores: its direction is that of the weights.
    weight = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, -4.0], [0.0, 0.0]])
    network.network = Linear(weight)
    batch = batch_of({"audio": 3, "text": 2})
    move = network.adversarial(batch, {name: x.detach() for name, x in network.network(batch).items()})
    joined = torch.cat([*move.values()], -1)
    torch.testing.assert_close(joined.norm(dim=-1), torch.full((6,), 0.1))
    direction = torch.tensor([3.0, 0, 0, 4.0, 0]) / 5
    torch.testing.assert_close((joined @ direction).abs(), torch.full((6,), 0.1), rtol=1e-3, atol=1e-5)
    network.network = Linear(torch.zeros(5, 2))
    losses = {key: loss.item() for key, loss in network.losses(batch, 1.0).items()}
    assert losses["divergence"] == 0
    assert losses["entropy"] == pytest.approx(0.06 * np.log(2), abs=1e-6)
    assert network.network.training
    half = network.adversarial(replace(batch, present={**batch.present, "text": torch.arange(6) < 3}),
                               {name: x.detach() for name, x in Linear(weight)(batch).items()})  # fmt: skip
    assert all(not part[3:].any() for name, part in half.items() if name == "text")


def test_views_change_only_what_a_sample_has() -> None:
    torch.manual_seed(0)
    n = 4000
    batch = batch_of({"audio": 4, "voice": 3, "text": 2}, n)
    present = {**batch.present, "text": torch.arange(n) % 2 == 0}
    inputs = {**batch.inputs, "text": batch.inputs["text"] * present["text"][:, None]}
    batch = replace(batch, inputs=inputs, present=present, complete={})
    weak = weak_view(batch, 0.5)
    noise = weak.inputs["audio"] - batch.inputs["audio"]
    assert abs(float(noise.std()) - 0.5) < 0.01 and abs(float(noise.mean())) < 0.02
    assert not weak.inputs["text"][1::2].any()
    strong = strong_view(batch, 0.0, 0.25, [["audio", "voice"], ["text"]])
    assert torch.equal(strong.present["audio"], strong.present["voice"])  # of one modality
    assert strong.present["audio"][1::2].all()  # a sample that has only this modality keeps it
    two = ~strong.present["audio"][::2]
    assert torch.equal(two, strong.present["text"][::2])  # exactly one of two is missing
    assert 0.45 < float(two.float().mean()) < 0.55
    kept = strong.inputs["audio"][strong.present["audio"]]
    before = batch.inputs["audio"][strong.present["audio"]]
    assert torch.equal(kept[kept != 0], before[kept != 0])
    assert 0.72 < float((kept != 0).float().mean()) < 0.78
    assert not strong.inputs["audio"][~strong.present["audio"]].any()
    assert torch.equal(strong_view(batch, 0.0, 0.0, []).inputs["audio"], batch.inputs["audio"])


def test_what_is_kept_is_counted_and_compared(train: TrainingSet) -> None:
    trained = {**QUICK, "hidden": 16, "epochs": 12}
    ours = made("fixmatch", threshold=0.6, base_options=trained)
    result = ours.fit_folds(train)
    shown = result.details["diagnostics"]
    assert [*shown] == ["kept.discrete", "accuracy.discrete", "accuracy_of_kept.discrete", "gain_of_kept.discrete"]
    hidden = [f"{what}_unlabelled.discrete" for what in ("kept", "accuracy", "accuracy_of_kept", "gain_of_kept")]
    assert ours.built.measured({"discrete": 3, "valence": None}) == [*shown, *hidden]
    outputs = result.out_of_fold.outputs["discrete"]
    for fold, division in enumerate(train.divisions(2, 0)):
        chances, codes = outputs[division.validate], train.targets["discrete"][division.validate]
        right, sure = chances.argmax(1) == codes, chances.max(1) >= 0.6
        assert shown["accuracy.discrete"][fold] == pytest.approx(right.mean())
        assert shown["accuracy_of_kept.discrete"][fold] == pytest.approx(right[sure].mean())
        assert shown["gain_of_kept.discrete"][fold] == pytest.approx(right[sure].mean() - right.mean())
    (own,) = result.pseudo_labels.values()
    assert own.labels.shape == own.kept.shape == (2, 30)
    np.testing.assert_allclose(shown["kept.discrete"], own.kept.mean(1), rtol=1e-12)
    mean = ours.predict(train.unlabelled).outputs["discrete"].argmax(1)
    agreed = own.labels[0] == own.labels[1]  # so that the mean of both models has the same label
    assert agreed.any() and (own.labels[0] == mean)[agreed].all()
    assert all(0 < share <= 1 for share in shown["kept.discrete"])


def test_where_nothing_is_sure_it_learns_from_labels_only_and_reports_it(train: TrainingSet) -> None:
    ours = made("fixmatch", threshold=1.0)
    result = ours.fit_folds(train)
    assert result.details["diagnostics"]["kept.discrete"] == [0, 0]
    assert result.notes[-1] == "in 2 of 2 folds the network is sure of no unlabelled sample"
    assert result.details["diagnostics"]["accuracy_of_kept.discrete"] == [None, None]
    with pytest.raises(UsageError, match=r"'gain_of_kept.discrete' has no value in any of 2 folds"):
        _diagnostic({"details": result.details}, "gain_of_kept.discrete")
    some = {"details": {"diagnostics": {"gain": [None, 0.25, 0.75]}}}
    assert _diagnostic(some, "gain") == 0.5  # of the folds that keep something


def test_options_of_the_base_are_added_to_those_declared_unless_another_base_is_given() -> None:
    loaded = load_baseline("fixmatch")
    assert loaded.options("any", {"base_options": {"epochs": 5}})["base_options"] == {"standardise": True, "epochs": 5}
    assert loaded.options("any", {"base_options": {"standardise": False}})["base_options"] == {"standardise": False}
    assert loaded.options("any", {"base": "lmf", "base_options": {"epochs": 5}})["base_options"] == {"epochs": 5}
    assert loaded.options("any", {"base_options": {}})["base_options"] == {"standardise": True}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vat", {"base": "logistic", "base_options": {}}, "vat: base 'logistic' is not a network of vectors, or has a training of its own; "
         "baselines that are: .*attention, .*lf-dnn"),
        ("fixmatch", {"base": "self-mm", "base_options": {}}, "fixmatch: base 'self-mm' is not a network of vectors"),
        ("fixmatch", {"base": "gru", "base_options": {}}, "fixmatch: base 'gru' is not a network of vectors"),
        ("flexmatch", {"base_options": {"standardise": False}}, "'lf-dnn' does not standardise features, .*standardise = true"),
        ("mean-teacher", {"average": 0.0}, "average: 0 leaves no running mean"),
        ("vat", {"epsilon": 0.0}, "epsilon: 0.0 is not a number above 0"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(name: str, options: dict[str, Any], message: str) -> None:
    loaded = load_baseline(name)
    with pytest.raises(Exception, match=re.compile(message, re.DOTALL)):
        loaded.build({**loaded.declaration.defaults, "base_options": {"standardise": True}, **options}, Setup())


def test_without_unlabelled_samples_it_does_not_train(small_track: SmallTrack) -> None:
    train = training_set(open_candidates(small_track(), "train"), ["loud"])
    with pytest.raises(UsageError, match=r"small: \[training\] leaves no unlabelled samples"):
        made("fixmatch").fit_folds(train)
