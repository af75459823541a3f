"""Nothing that is to be answered is learned: neither its references nor its features have a part in a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corpus import Feature, add_features
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.track import Track
from merbench.training import (
    FeatureSet,
    Predictions,
    RunSettings,
    Setup,
    TrainingSet,
    load_baseline,
    open_models,
    predict,
    run_baseline,
)
from merbench.training.output import write_predictions
from merbench.training.plan import make_plan
from merbench.training.run import _seed_run as seed_run
from merbench.training.selection import fit
from tests.training.conftest import DECLARATION, N_TEST, N_TRAIN, SmallTrack
from tests.training.test_plan import crossed


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what happens, in its order: references of a split are read, answers are there, and are written."""
    events: list[str] = []
    read = Candidates.__dict__["references"].func

    def watched(self: Candidates) -> Any:
        events.append(f"references of {self.split}")
        return read(self)

    def written(*arguments: Any) -> str:
        events.append("predictions are written")
        return write_predictions(*arguments)

    def answered(*arguments: Any) -> Any:
        events.append("a seed has answered")
        return seed_run(*arguments)

    monkeypatch.setattr("merbench.training.run._seed_run", answered)
    monkeypatch.setattr(Candidates.__dict__["references"], "func", watched)
    monkeypatch.setattr("merbench.training.run.write_predictions", written)
    monkeypatch.setattr("merbench.training.prediction.write_predictions", written)
    return events


SHORT: dict[str, dict[str, Any]] = {
    "attention": {"epochs": 1, "hidden": [8]},
    "attention-topn": {"epochs": 1, "hidden": 4, "n_best": 1},
    "boosting": {"iterations": 2, "samples_of_a_leaf": 5, "components": 2},
    "context-gru": {"epochs": 1, "hidden": 4, "encoded": 4, "layers": [4]},
    "gru": {"epochs": 1, "hidden": 4},
    "logistic": {"C": 1.0, "alpha": 1.0, "scale": "each"},
    "majority": {},
    "self-mm": {"epochs": 2, "hidden": 4},
    "pseudo-label": {"base": "logistic", "base_options": {"C": 1.0}},
}

DEV = {"selection": "dev", "source": ["train"], "development": ["dev"]}


@pytest.mark.parametrize(
    ("baseline", "learning", "hold_out"),
    [
        *((name, learning, ()) for name in SHORT for learning in ({}, DEV)),
        *((name, learning, ("glad",)) for name in ("attention", "logistic", "majority") for learning in ({}, DEV)),
    ],
)
def test_no_reference_of_the_test_split_is_read_before_the_last_prediction(
    baseline: str,
    learning: dict[str, Any],
    hold_out: tuple[str, ...],
    small_track: SmallTrack,
    tmp_path: Path,
    events: list[str],
) -> None:
    n = N_TRAIN + N_TEST
    columns: Any = {"dialogue": [f"d{i // 5}" for i in range(n)], "position": [i % 5 for i in range(n)]}
    track = small_track(n_dev=20, columns=columns)
    settings = RunSettings(
        seeds=[0, 1],
        options=SHORT[baseline],
        hold_out=hold_out,
        intervals=False,
        learning={**learning, "unlabelled": ["test"]},
    )
    run_baseline(track, baseline, settings, output=tmp_path / "run")
    first = events.index("references of test")
    assert events[:first].count("a seed has answered") == 2
    # Known and unknown are what the references say: the track that scores them is made before predictions are written.
    assert events[:first].count("predictions are written") == (0 if hold_out else 3)
    assert set(events[:first]) == {
        "references of train",
        "a seed has answered",
        *([] if hold_out else ["predictions are written"]),
    }


def test_no_reference_of_the_samples_that_another_corpus_teaches_to_answer_is_read_before(
    tmp_path: Path, events: list[str]
) -> None:
    run = run_baseline(
        crossed(tmp_path),
        "logistic",
        RunSettings(options=SHORT["logistic"], intervals=False),
        output=tmp_path / "run",
    )
    assert run.report is not None
    assert events.index("references of test") > events.index("predictions are written")


def test_no_reference_is_read_before_stored_models_have_predicted(
    small_track: SmallTrack, tmp_path: Path, events: list[str]
) -> None:
    track = small_track()
    run = run_baseline(
        track, "logistic", RunSettings(options=SHORT["logistic"], intervals=False), output=tmp_path / "run"
    )
    events.clear()
    assert predict(open_models(run.folder), track.folder, intervals=False).report is not None
    assert events[0] == "predictions are written" and "references of test" in events


STEPS = """
training = { corruptions = [
    { name = "gcnet_missing", rate = 0.5 },
    { name = "gaussian_noise_features", snr_db = 5 },
], %s }
"""


def shifted(small_track: SmallTrack, name: str, learning: str, rows: Any, **arguments: Any) -> Track:
    """Return the track with corruptions in training, the features of some of whose 90 samples are 100 higher."""
    text = DECLARATION.replace('{ train = "train", test = "test" }', '{ train = "train", dev = "dev", test = "test" }')
    n = N_TRAIN + N_TEST
    columns: dict[str, list[str | None]] = {"fold": [f"{i % 3}" for i in range(n)]}
    track = small_track(name, declaration=text + STEPS % learning, columns=columns, **arguments)
    corpus, rng = open_candidates(track).corpus, np.random.default_rng(1)
    values = {feature: rng.normal(size=(n, 3)) for feature in ("audio-x", "text-y")}
    for array in values.values():
        array[rows] += 100
    ids = [f"s{i:03}" for i in range(n)]
    add_features(corpus, {feature: Feature.from_vectors(ids, array) for feature, array in values.items()})
    return track


@pytest.mark.parametrize(
    "baseline", ["attention", "attention-topn", "boosting", "gru", "logistic", "pseudo-label", "self-mm"]
)
def test_features_of_a_group_have_no_part_in_the_model_that_answers_it(
    baseline: str, small_track: SmallTrack, tmp_path: Path
) -> None:
    learning = 'leave_out = "fold", source = ["train", "test"], unlabelled = ["dev"]'
    runs = [
        run_baseline(
            shifted(small_track, name, learning, rows, n_dev=20),
            baseline,
            RunSettings(features=["audio-x", "text-y"], options=SHORT[baseline], intervals=False),
            output=tmp_path / name,
        )
        for name, rows in (("clean", []), ("shifted", slice(21, None, 3)))  # all of fold '0' but those of `dev`
    ]
    clean, other = (run.seeds[0].parts for run in runs)
    assert [part.left_out for part in runs[0].parts] == ["0", "1", "2"]
    assert same(clean[0].weights, other[0].weights)
    assert not same(clean[1].weights, other[1].weights)


def same(weights: Any, others: Any) -> bool:
    assert weights and set(weights) == set(others)
    return all(np.array_equal(array, others[name]) for name, array in weights.items())


class Witness:
    """A baseline that stores what each of its models learns from, and what it predicts."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def fit(self, train: TrainingSet) -> None:
        assert train.corruption is None
        self.seen.append(train.features["audio-x"])

    def predict(self, test: FeatureSet) -> Predictions:
        self.seen.append(test.features["audio-x"])
        return Predictions({"discrete": np.ones((len(test), 3)) / 3, "valence": np.zeros(len(test))})


@pytest.mark.parametrize("baseline", ["attention", "gru", "witness"])
def test_features_that_a_fold_is_validated_on_have_no_part_in_its_model(baseline: str, small_track: SmallTrack) -> None:
    """Those of the samples of the first fold are 100 higher: its model is the same, the others' are not."""
    loaded = load_baseline("logistic" if baseline == "witness" else baseline)

    def models(name: str, rows: Any) -> tuple[TrainingSet, list[Any]]:
        track = shifted(small_track, name, 'unlabelled = ["test"]', rows)
        train = make_plan(track, loaded, ["audio-x", "text-y"]).training_set()
        seen: list[Any] = []

        def build(setup: Setup) -> Any:
            return Witness(seen) if baseline == "witness" else loaded.build(options, setup)

        options = loaded.options("small", SHORT.get(baseline, {}))
        model, _ = fit(build, train, Setup(n_folds=3))
        if baseline == "witness":
            return train, [{"learned": learned} for learned in seen[:6:2]]
        return train, [{name: array[fold] for name, array in model.weights().items()} for fold in range(3)]

    train, clean = models("clean", [])
    _, other = models("shifted", train.divisions(3, 0)[0].validate)
    assert [same(*pair) for pair in zip(clean, other, strict=True)] == [True, False, False]


@pytest.mark.parametrize("baseline", ["attention", "attention-topn", "boosting", "gru", "pseudo-label", "self-mm"])
def test_references_of_a_group_have_no_part_in_the_model_that_answers_it(
    baseline: str, small_track: SmallTrack, tmp_path: Path
) -> None:
    """References of samples of one fold are exchanged among them: its model stays the same, those of others do not."""
    order = np.arange(N_TEST)
    order[::3] = order[::3][::-1]  # sample 60 and every third one after it are in the fold '0'
    learning = 'leave_out = "fold", source = ["train", "test"], unlabelled = ["dev"]'
    runs = [
        run_baseline(
            shifted(small_track, name, learning, [], n_dev=20, test_order=given),
            baseline,
            RunSettings(features=["audio-x", "text-y"], options=SHORT[baseline], intervals=False),
            output=tmp_path / name,
        )
        for name, given in (("a", None), ("b", order))
    ]
    first, second = (run.seeds[0].parts for run in runs)
    assert [same(a.weights, b.weights) for a, b in zip(first, second, strict=True)] == [True, False, False]
