"""A share of the samples keeps its labels, and the others are unlabelled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from merbench.errors import DeclarationError, UsageError
from merbench.track import Training
from merbench.training import FeatureSet, PseudoLabels, RunSettings, TrainingSet, run_baseline, training_set
from merbench.training.data import training_candidates
from merbench.training.folds import labelled_rows
from merbench.training.plan import with_learning
from merbench.training.pseudo_labels import HIDDEN, against_hidden, codes_of
from merbench.training.results import PartRun
from merbench.training.resume import Unfinished
from merbench.training.trainings import Trainings
from tests.training.conftest import DECLARATION, N_TEST, N_TRAIN, SmallTrack

NONE = np.empty(0, dtype=np.int64)
SPEAKERS: dict[str, list[str | None]] = {"speaker": [f"p{i // 6:02}" for i in range(N_TRAIN + N_TEST)]}


@pytest.mark.parametrize(
    ("share", "wanted"),
    # 20 of one label, 10 of another, 1 of a third: halves are rounded to even numbers, and each has one at least
    [(0.1, [2, 1, 1]), (0.25, [5, 2, 1]), (0.5, [10, 5, 1]), (0.01, [1, 1, 1]), (1.0, [20, 10, 1])],
)
def test_every_label_keeps_its_share_and_at_least_one_sample(share: float, wanted: list[int]) -> None:
    labels = np.repeat([0, 1, 2], [20, 10, 1])
    rows = labelled_rows(NONE, labels, share, seed=3)
    assert np.bincount(labels[rows]).tolist() == wanted
    assert (np.diff(rows) > 0).all()


@given(st.integers(0, 50), st.lists(st.integers(0, 5), min_size=1, max_size=40), st.booleans())
def test_a_smaller_share_keeps_some_of_what_a_larger_one_keeps(seed: int, codes: list[int], grouped: bool) -> None:
    groups = np.array(codes) if grouped else NONE
    before: set[int] = set()
    for share in (0.05, 0.1, 0.2, 0.5, 0.9, 1.0):
        rows = labelled_rows(groups, np.array(codes), share, seed)
        assert before <= set(rows.tolist())
        before = set(rows.tolist())
        if grouped:  # as a whole
            assert set(np.array(codes)[rows]).isdisjoint(np.delete(np.array(codes), rows))
    assert len(before) == len(codes)


def test_groups_are_kept_until_the_share_is_reached_as_closely_as_possible() -> None:
    groups = np.repeat(np.arange(10), 10)
    for share, n in ((0.04, 10), (0.1, 10), (0.16, 20), (0.3, 30), (0.96, 100)):
        rows = labelled_rows(groups, np.zeros(100, dtype=np.int64), share, seed=1)
        assert len(rows) == n
    others = [labelled_rows(groups, np.zeros(100, dtype=np.int64), 0.1, seed)[0] for seed in range(20)]
    assert len(set(others)) > 5


def test_a_development_set_keeps_its_labels_and_is_not_unlabelled(small_track: SmallTrack) -> None:
    train = training_set(training_candidates(small_track()), ["loud"])
    development = np.arange(N_TRAIN) % 3 == 0
    dev = replace(train, selection="dev", development=development)
    part = dev.partly_labelled(0.25, unlabelled=True)
    assert part.development is not None and part.unlabelled is not None
    assert part.samples.ids.take(np.flatnonzero(part.development)).to_pylist() == (
        train.samples.ids.take(np.flatnonzero(development)).to_pylist()
    )
    ids = [set(part.samples.ids.to_pylist()), set(part.unlabelled.ids.to_pylist())]
    assert ids[0].isdisjoint(ids[1]) and ids[0] | ids[1] == set(train.samples.ids.to_pylist())
    assert part.unlabelled.ids.to_pylist() == sorted(ids[1])
    row = part.samples.ids.to_pylist().index(min(ids[0]))
    own = train.samples.ids.to_pylist().index(min(ids[0]))
    assert part.targets["discrete"][row] == train.targets["discrete"][own]
    np.testing.assert_array_equal(part.features["loud"][row], train.features["loud"][own])
    first = train.samples.ids.to_pylist().index(part.unlabelled.ids[0].as_py())
    np.testing.assert_array_equal(part.unlabelled.features["loud"][0], train.features["loud"][first])
    without = dev.partly_labelled(0.25, unlabelled=False)
    assert without.unlabelled is None and without.samples.ids.equals(part.samples.ids)
    assert train.partly_labelled(1, unlabelled=True) is train


def test_no_model_is_given_what_it_answers_where_groups_are_left_out(small_track: SmallTrack) -> None:
    declaration = DECLARATION + '\n[training]\nlabelled = 0.2\nleave_out = "speaker"\n'
    trainings = Trainings(small_track(declaration=declaration, columns=SPEAKERS), "pseudo-label", RunSettings())
    assert len(trainings.plan.parts) == 5  # of 30 test samples
    labelled = []
    for n in range(5):
        train, answered = trainings.learned(n), set(trainings.answered(n).ids.to_pylist())
        assert train.unlabelled is not None
        given = {*train.samples.ids.to_pylist(), *train.unlabelled.ids.to_pylist()}
        assert len(given) == 24 and given.isdisjoint(answered)
        assert len(train) == 6  # one of four speakers
        labelled.append(train.samples.ids.to_pylist())
    plain = Trainings(trainings.track, "logistic", RunSettings())
    assert [plain.learned(n).samples.ids.to_pylist() for n in range(5)] == labelled
    assert plain.learned(0).unlabelled is None


def test_the_share_is_declared_printed_and_recorded(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track(declaration=DECLARATION + '\n[training]\nunlabelled = ["test"]\n', columns=SPEAKERS)

    def run(name: str, learning: Mapping[str, Any]) -> dict[str, Any]:
        options = {"base": "logistic", "base_options": {"C": 1.0}} if name == "pseudo-label" else {"C": 1.0}
        settings = RunSettings(options=options, learning=learning, intervals=False)
        result = run_baseline(track, name, settings, output=tmp_path / "run", replace=True)
        record: dict[str, Any] = json.loads((result.folder / "run.json").read_text())
        return record

    semi, plain, every = (run(*how) for how in (
        ("pseudo-label", {"labelled": 0.3}), ("logistic", {"labelled": 0.3}), ("logistic", {}),
    ))  # fmt: skip
    assert semi["n_train"] == plain["n_train"] == 18 and every["n_train"] == N_TRAIN  # three of ten speakers
    assert semi["training"]["labelled"] == 0.3 and semi["training"]["replaced"] == ["labelled"]
    assert semi["cross_validation"]["n_folds"] == 3 and semi["cross_validation"]["n_folds_asked"] == 5
    assert semi["runs"][0]["details"]["n_unlabelled"] == 42 + N_TEST
    transductive = [text for text in semi["warnings"] if text.startswith("transductive: 30 of 30 candidates")]
    assert len(transductive) == 1 and "warnings" not in plain and "labelled" not in every["training"]
    shown = semi["runs"][0]["details"]["diagnostics"]
    assert shown.keys() == {f"{what}.discrete" for what in HIDDEN} and all(
        len(values) == 3 for values in shown.values()
    )
    assert "diagnostics" not in run("pseudo-label", {})["runs"][0]["details"]  # no label is hidden


def test_what_is_kept_is_compared_with_hidden_labels_by_hand(small_track: SmallTrack) -> None:
    def samples(*ids: str) -> FeatureSet:
        return FeatureSet.of_vectors(pa.array(ids), {"loud": np.zeros((len(ids), 1), dtype=np.float32)})

    codes = np.array([0, 1, 2, 0, -1, 1], dtype=np.int32)
    every = TrainingSet(small_track(), samples(*"abcdef"), {"discrete": codes})
    # of the unlabelled ones, "0" is of another split, e has no label, and b, c and d have the labels 1, 2 and 0
    given = replace(every.select(np.array([0, 5])), unlabelled=samples(*"0bcde"))
    predicted = PseudoLabels(
        np.array([[2, 1, 0, 0, 0], [2, 1, 2, 1, 1], [2, 1, 2, 0, 0]]),
        np.array([[1, 1, 1, 0, 1], [1, 1, 0, 0, 1], [1, 0, 0, 0, 1]], dtype=np.bool_),
    )
    shown = against_hidden({"discrete": predicted}, given, every)
    assert {name: pytest.approx(values, abs=1e-12) for name, values in {
        "kept_unlabelled.discrete": [2 / 3, 1 / 3, 0],
        "accuracy_unlabelled.discrete": [2 / 3, 2 / 3, 1],  # b and d, b and c, all
        "accuracy_of_kept_unlabelled.discrete": [1 / 2, 1, None],  # b of b and c, b, nothing is kept
        "gain_of_kept_unlabelled.discrete": [-1 / 6, 1 / 3, None],
    }.items()} == shown  # fmt: skip
    assert (
        against_hidden({"discrete": predicted}, replace(given, unlabelled=samples("0", "1", "2", "3", "e")), every)
        == {}
    )
    assert codes_of(np.array([[0.2, 0.8], [np.nan, np.nan], [0.5, 0.5]])).tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pseudo-label", {"base": "logistic", "base_options": {"C": 1.0}}),
        pytest.param(
            "fixmatch",
            {"threshold": 0.4, "base_options": {"epochs": 4, "batch_size": 4, "learning_rate": 0.01}},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "flexmatch",
            {"threshold": 0.4, "base_options": {"epochs": 4, "batch_size": 4, "learning_rate": 0.01}},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_hidden_labels_change_what_is_shown_and_nothing_else(
    name: str, options: dict[str, Any], small_track: SmallTrack, tmp_path: Path
) -> None:
    # groups keep their labels, so that labels do not decide which are hidden
    track = small_track(declaration=DECLARATION + "\n[training]\nlabelled = 0.3\n", columns=SPEAKERS)

    def trained(path: str, shift: int) -> tuple[PartRun, NDArray[np.int64]]:
        """Return what a training results in whose hidden labels are all moved by some, and these labels."""
        trainings = Trainings(track, name, RunSettings(options=options, device="cpu"))
        train, given = trainings.train, trainings.learned(0)
        assert given.unlabelled is not None
        rows = np.isin(train.samples.ids.to_pylist(), given.unlabelled.ids.to_pylist())
        targets = {target: np.array(values) for target, values in train.targets.items()}
        targets["discrete"][rows] = (targets["discrete"][rows] + shift) % 3
        targets["valence"][rows] *= 1 - shift
        trainings.__dict__["train"] = replace(train, targets=targets)
        return trainings.fit(Unfinished(tmp_path / path), (0, 0, trainings.options)), targets["discrete"][rows]

    runs = [trained("first", 0), trained("second", 1)]
    weights = [run.weights or {} for run, _ in runs]
    assert weights[0] and weights[0].keys() == weights[1].keys()
    for key, values in weights[0].items():
        np.testing.assert_array_equal(weights[1][key], values, strict=True)
    own = runs[0][0].fit.pseudo_labels["discrete"]
    assert own.labels.shape == (3, 42) and own.kept.any()
    shown = [run.fit.details["diagnostics"] for run, _ in runs]
    for each, (_, hidden) in zip(shown, runs, strict=True):
        np.testing.assert_allclose(each["accuracy_unlabelled.discrete"], (own.labels == hidden).mean(1), rtol=1e-12)
        np.testing.assert_allclose(each["kept_unlabelled.discrete"], own.kept.mean(1), rtol=1e-12)
    assert shown[0]["accuracy_unlabelled.discrete"] != shown[1]["accuracy_unlabelled.discrete"]
    others = [key for key in shown[0] if "_unlabelled." not in key]
    assert [shown[0][key] for key in others] == [shown[1][key] for key in others]


def test_a_track_without_the_key_keeps_its_digest() -> None:
    assert Training(labelled=1.0).digest == Training().digest != Training(labelled=0.5).digest


def test_a_share_that_leaves_a_single_group_to_leave_out_is_reported(small_track: SmallTrack) -> None:
    learning = {"selection": "leave-one-group-out", "group": "speaker", "labelled": 0.1}  # one of ten speakers
    settings = RunSettings(learning=learning, intervals=False)
    message = (
        "^training samples of a single group; leaving one out needs at least 2; only a share of 0.1 keeps its labels"
    )
    with pytest.raises(UsageError, match=message):
        run_baseline(small_track(columns=SPEAKERS), "majority", settings, output="unwritten")


@pytest.mark.parametrize("share", [0, 1.5, "half"])
def test_other_shares_are_refused(small_track: SmallTrack, share: Any) -> None:
    with pytest.raises(DeclarationError, match="labelled"):
        with_learning(small_track(), {"labelled": share})
