"""Sets of labels to learn from: how they reach a baseline, and what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from merbench.corpus.candidates import open_candidates
from merbench.errors import DeclarationError, UsageError
from merbench.track import Track
from merbench.training import RunSettings, Setup, load_baseline, run_baseline, training_set
from merbench.training.data import drawn_candidates, training_candidates
from merbench.training.networks.batches import Batch
from merbench.training.networks.checkpoints import training_signature
from merbench.training.networks.losses import Objective
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.plan import make_plan, with_learning
from merbench.training.samples import TrainingSet, label_measure
from tests.training.conftest import N_TRAIN, SmallTrack

PARTIAL = {"name": "partial_labels", "q": 0.4}


def of_sets(track: Track, *steps: dict[str, Any]) -> TrainingSet:
    learned = with_learning(track, {"corruptions": list(steps or (PARTIAL,))})
    return training_set(training_candidates(learned), ["loud"], sets=True)


def test_sets_have_the_label_and_the_target_is_one_label_of_each_drawn_with_the_seed(small_track: SmallTrack) -> None:
    track = small_track()
    clean, train = training_set(training_candidates(track), ["loud"]), of_sets(track)
    sets, right, drawn = train.sets["discrete"], clean.targets["discrete"], train.targets["discrete"]
    rows = np.arange(N_TRAIN)
    assert (sets.shape, sets.dtype) == ((N_TRAIN, 3), np.bool_)
    assert sets[rows, right].all() and sets[rows, drawn].all()
    assert train.label_corruption["partial_labels.mean_candidates"] == pytest.approx(sets.sum(1).mean(), abs=1e-6)
    # expected: 1 + 2 q labels, and of a set of k the label itself is drawn in a share 1 / k
    assert sets.sum(1).mean() == pytest.approx(1.8, abs=0.3)
    assert np.mean(drawn == right) == pytest.approx((1 / sets.sum(1)).mean(), abs=0.2)
    assert np.mean(drawn == right) < 1
    assert np.array_equal(of_sets(track).targets["discrete"], drawn)
    assert not np.array_equal(drawn_candidates(sets, track.seed + 1), drawn)
    assert np.array_equal(train.targets["valence"], clean.targets["valence"])


def test_each_label_of_a_set_is_drawn_equally_often() -> None:
    sets = np.tile([[True, False, True, True], [False, True, False, False], [False] * 4], (6000, 1))
    drawn = drawn_candidates(sets, seed=1)
    # 6,000 sets of three labels: 2,000 each, deviation 37
    assert np.bincount(drawn[::3], minlength=4).tolist() == pytest.approx([2000, 0, 2000, 2000], abs=150)
    assert (set(drawn[1::3].tolist()), set(drawn[2::3].tolist())) == ({1}, {-1})


def test_a_development_set_keeps_its_labels(small_track: SmallTrack) -> None:
    track = small_track(n_dev=20)
    track = with_learning(track, {"selection": "dev", "development": ["dev"]})
    clean = training_set(training_candidates(track), ["loud"])
    train = of_sets(track, {"name": "noisy_partial_labels", "q": 0.5, "eta": 0.5})
    rows = train.validated
    assert len(rows) == 20
    assert np.array_equal(train.targets["discrete"][rows], clean.targets["discrete"][rows])
    assert np.array_equal(train.sets["discrete"][rows], np.eye(3, dtype=bool)[clean.targets["discrete"][rows]])
    is_in = train.sets["discrete"][train.learned, clean.targets["discrete"][train.learned]]
    assert 0.2 < is_in.mean() < 0.8  # half of 40 sets lack the label


def test_a_baseline_of_single_labels_refuses_sets_and_names_those_that_take_them(small_track: SmallTrack) -> None:
    track = with_learning(small_track(), {"corruptions": [PARTIAL]})
    message = "^small: partial_labels gives each training sample a set of labels, and a baseline learns from one; those"
    with pytest.raises(UsageError, match=message):
        make_plan(track, load_baseline("majority"))
    with pytest.raises(UsageError, match=message):
        training_set(training_candidates(track), ["loud"])


def test_corruptions_of_training_follow_those_of_the_track_and_features_stay_apart(small_track: SmallTrack) -> None:
    steps = [PARTIAL, {"name": "gcnet_missing", "rate": 0.5}]
    train = of_sets(small_track(), *steps)
    assert train.corruption is not None
    assert [step.step_name for step in train.corruption.steps] == ["gcnet_missing"]
    # a track's own set of labels cannot be flipped any more
    track = small_track("two")
    tailed = of_sets(track, {"name": "long_tail", "gamma": 5}, PARTIAL)
    assert len(tailed) < N_TRAIN and tailed.sets["discrete"].shape == (len(tailed), 3)
    test = open_candidates(with_learning(track, {"corruptions": [PARTIAL]}), "test")
    assert not training_set(test, ["loud"]).label_corruption  # `[training]` corrupts what is learned from only


def test_means_of_sets_and_labels_by_hand() -> None:
    right = np.array([0, 0, 0, 1, 1, 2, -1])
    sets = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=bool)
    measure = label_measure(right, right, 3)
    # 9 labels in six sets; five have the right one: 2 of 3, 2 of 2, and 1 of 1
    sets[5, 2] = False
    assert measure(sets, np.arange(7)) == pytest.approx(
        {"size": 9 / 6, "right": 4 / 6, "many": 2 / 3, "medium": 1.0, "few": 0.0}
    )
    assert measure(np.array([0, 1, 1, 1]), np.array([0, 1, 2, 3])) == pytest.approx(
        {"size": 1.0, "right": 0.5, "many": 1 / 3, "medium": 1.0}
    )
    assert measure(np.array([0]), np.array([6])) == {}
    # of seven classes three are many, two medium and two few; sizes decide, then the order of the labels
    sizes = np.array([1, 5, 5, 2, 9, 3, 4])
    many = np.repeat(np.arange(7), sizes)
    one = label_measure(many, many, 7)
    for classes, name in (([4, 1, 2], "many"), ([6, 5], "medium"), ([3, 0], "few")):
        answers = np.where(np.isin(many, classes), many, (many + 1) % 7)
        found = one(answers, np.arange(len(many)))
        assert (found[name], found["many"] + found["medium"] + found["few"]) == (1.0, 1.0)


def test_selected_samples_keep_their_sets_and_are_measured_by_their_own_labels(small_track: SmallTrack) -> None:
    track = small_track()
    right, train = training_set(training_candidates(track), []).targets["discrete"], of_sets(track)
    rows = np.array([3, 7, 20, 41])
    part = train.select(rows).select(np.array([1, 3]))
    assert np.array_equal(part.sets["discrete"], train.sets["discrete"][[7, 41]])
    assert part.measure_labels is not None
    assert part.measure_labels(right[[7, 41]], np.arange(2))["right"] == 1.0
    assert part.measure_labels((right[[41]] + 1) % 3, np.array([1]))["right"] == 0.0
    labelled = train.partly_labelled(0.5, unlabelled=False)
    assert len(labelled.sets["discrete"]) == len(labelled) < len(train)
    # no attribute has the right labels
    held = [np.asarray(part.targets["discrete"]), *part.sets.values()]
    assert not any(values.shape == (2,) and np.array_equal(values, right[[7, 41]]) for values in held[1:])


def test_single_labels_are_measured_too_and_other_baselines_get_nothing(small_track: SmallTrack) -> None:
    track = with_learning(small_track(), {"corruptions": [{"name": "symmetric_flips", "rate": 0.5}]})
    candidates = training_candidates(track)
    train, other = training_set(candidates, [], sets=True), training_set(candidates, [])
    assert not train.sets and train.measure_labels is not None and other.measure_labels is None
    measured = train.measure_labels(train.targets["discrete"], np.arange(len(train)))
    rate = train.label_corruption["symmetric_flips.realised_rate"]
    assert measured["right"] == pytest.approx(1 - rate, abs=1e-6)


def test_wrong_sets_are_refused_with_all_their_samples(small_track: SmallTrack) -> None:
    train = of_sets(small_track())
    sets, drawn = train.sets["discrete"].copy(), train.targets["discrete"]
    sets[4] = False
    sets[5] = np.arange(3) == (drawn[5] + 1) % 3
    with pytest.raises(UsageError) as error:
        replace(train, sets={"discrete": sets})
    assert "1 of 60 samples have an empty set of labels; a set has at least one: s004" in str(error.value)
    assert "1 of 60 samples have a set without the label that was drawn of it: s005" in str(error.value)
    with pytest.raises(UsageError, match=r"are bool \(60, 2\); needed: bool \(60, 3\)"):
        replace(train, sets={"discrete": sets[:, :2]})
    with pytest.raises(UsageError, match="a set of labels, and no label: s000"):
        replace(train, targets={**train.targets, "discrete": np.where(np.arange(60) == 0, -1, drawn)})


class Own(nn.Module):
    """It learns the target by a loss of its own, and notes the sets that it is given."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(shape.widths["loud"], 3), dict[int, Tensor]()

    def forward(self, batch: Batch) -> Any:
        outputs = {"discrete": self.layer(batch.inputs["loud"]), "valence": self.layer(batch.inputs["loud"])[..., 0]}
        if not self.training:
            assert not batch.sets
            return outputs
        sets = batch.sets["discrete"]
        for row, own in zip(batch.samples.tolist(), sets, strict=True):
            self.seen[row] = own
        own = -outputs["discrete"].log_softmax(-1).masked_fill(~sets, -torch.inf).logsumexp(-1)
        return outputs, {"loss": own[batch.real].mean()}


def test_a_network_is_given_the_sets_of_its_batch_and_its_own_loss_replaces_that_of_the_target(
    small_track: SmallTrack,
) -> None:
    train = of_sets(small_track())
    losses = {"discrete": "none", "valence": "none"}
    schedule = Schedule(epochs=2, batch_size=7, learning_rate=1e-2, losses=losses)
    model = NetworkBaseline(Own, schedule, Setup(0, 3, "cpu"))
    curve = model.fit_folds(train).curve
    assert curve is not None
    for network, division in zip(model.networks, train.divisions(3, 0), strict=True):
        assert isinstance(network, Own)
        assert sorted(key for key in network.seen if key >= 0) == division.learn.tolist()
        assert all(np.array_equal(network.seen[row], train.sets["discrete"][row]) for row in division.learn.tolist())
    # the logged loss is the network's own: at first about -log of the mean share of a set, 0.6
    assert (0 < curve.loss).all() and (curve.loss[0] < 1.2).all()


def test_only_a_target_with_its_own_loss_is_switched_off() -> None:
    references = {"labels": torch.tensor([0, 1]), "numbers": torch.tensor([1.0, 3.0])}
    both = Objective.of(references, {"labels": "none", "numbers": "squared_error"})
    outputs = {"labels": torch.zeros(1, 2, 2), "numbers": torch.zeros(1, 2)}
    rows = torch.tensor([[0, 1]])
    assert both.loss(outputs, rows, both.weights(rows)).tolist() == [5.0]  # (1 + 9) / 2
    with pytest.raises(UsageError, match=r"cannot have the loss 'ccc'; allowed: cross_entropy, none"):
        Objective.of(references, {"labels": "ccc", "numbers": "none"})


def test_another_draw_is_another_training(small_track: SmallTrack) -> None:
    train = of_sets(small_track())
    divisions, wider = train.divisions(3, 0), train.sets["discrete"].copy()
    wider[0] = True
    signatures = [training_signature(each, divisions) for each in (train, replace(train, sets={"discrete": wider}))]
    assert signatures[0]["references"] != signatures[1]["references"]


def test_training_corrupts_labels_and_features_and_nothing_else(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    message = "pyramid_blur corrupts video; in training, only features and labels are corrupted"
    with pytest.raises(DeclarationError, match=message):
        with_learning(track, {"corruptions": [{"name": "pyramid_blur", "factor": 2}]})
    with pytest.raises(DeclarationError, match=r"corruptions\[0\]: .*q is missing"):
        with_learning(track, {"corruptions": [{"name": "partial_labels"}]})
    flipped = {"corruptions": [{"name": "symmetric_flips", "rate": 0.2}]}
    run = run_baseline(track, "majority", RunSettings(learning=flipped, intervals=False), output=tmp_path / "run")
    assert run.label_corruption["symmetric_flips.rate"] == 0.2
