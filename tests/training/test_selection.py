from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from released_files import release
from sklearn.metrics import f1_score, mean_squared_error

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.track import Track
from merbench.training import (
    FeatureSet,
    Predictions,
    RunSettings,
    Setup,
    TrainingSet,
    cross_validate,
    load_baseline,
    random_folds,
    ranking_value,
    run_baseline,
    training_set,
)
from merbench.training.selection import fit, scores, select_options
from tests.training.conftest import DECLARATION, N_TEST, N_TRAIN, SmallTrack
from tests.training.test_declaration import write


def test_the_ranking_value_is_the_tracks_own(small_track: SmallTrack) -> None:
    track = small_track()
    rng = np.random.default_rng(0)
    reference = {"discrete": rng.integers(0, 3, 50).astype(np.int32), "valence": rng.normal(size=50)}
    answers = {"discrete": rng.integers(0, 3, 50).astype(np.int32), "valence": rng.normal(size=50)}
    f1 = f1_score(reference["discrete"], answers["discrete"], average="weighted")
    mse = mean_squared_error(reference["valence"], answers["valence"])
    assert ranking_value(track, reference, answers) == pytest.approx((f1 - 0.25 * mse, f1), abs=1e-12)
    assert scores(track, reference, answers)["mse(valence)"] == pytest.approx(mse, abs=1e-12)
    ranked = track.model_copy(update={"ranking": track.ranking.model_copy(update={"by": ("mse",)})})
    assert ranking_value(ranked, reference, answers) == pytest.approx((-mse,), abs=1e-12)
    answers["valence"][0] = np.nan
    assert ranking_value(ranked, reference, answers) == (-np.inf,)


class Witness:
    """Remembers what it was fitted on, and predicts for every sample whether it was part of it."""

    def __init__(self, seen: list[set[str]]) -> None:
        self.seen = seen

    def fit(self, train: TrainingSet) -> None:
        self.ids = set(train.samples.ids.to_pylist())
        self.seen.append(self.ids)

    def predict(self, test: FeatureSet) -> Predictions:
        known = np.array([float(name in self.ids) for name in test.ids.to_pylist()])
        return Predictions({"valence": known})


def test_cross_validation_never_predicts_what_was_seen(small_track: SmallTrack) -> None:
    train = training_set(open_candidates(small_track(), "train"), ["loud"])
    seen: list[set[str]] = []
    steps: list[tuple[int, int]] = []
    setup = Setup(seed=4, n_folds=3, progress=lambda done, total: steps.append((done, total)))
    predictions = cross_validate(lambda setup: Witness(seen), train, setup)
    assert predictions.outputs["valence"].tolist() == [0.0] * len(train)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    folds = random_folds(len(train), 3, seed=4)
    ids = np.array(train.samples.ids.to_pylist())
    assert seen == [set(ids[folds != fold]) for fold in range(3)]
    _, result = fit(lambda setup: Witness(seen), train, setup)
    assert seen[-1] == set(ids)
    assert result.out_of_fold.outputs["valence"].tolist() == [0.0] * len(train)


CONSTANT = """
from dataclasses import dataclass
import numpy as np
from merbench.training import Predictions

@dataclass(frozen=True)
class Options:
    label: int
    value: float

class Constant:
    def __init__(self, options):
        self.options = options
    def fit(self, train):
        pass
    def predict(self, test):
        table = np.tile(np.eye(3)[self.options.label], (len(test), 1))
        return Predictions({"discrete": table, "valence": np.full(len(test), self.options.value)})

def build(options, setup):
    return Constant(options)
"""


def test_options_are_selected_one_after_the_other(small_track: SmallTrack, tmp_path: Path) -> None:
    train = training_set(open_candidates(small_track(), "train"), [])
    toml = 'title = "Constant"\ndefaults = { label = 0, value = 9.0 }\nselect = { label = [0, 1, 2], value = [9.0, 0.0] }\n'
    loaded = load_baseline(write(tmp_path / "constant", toml, CONSTANT))
    options = loaded.options("small", {})
    steps: list[tuple[int, int]] = []
    setup = Setup(progress=lambda done, total: steps.append((done, total)))
    chosen, trials = select_options(loaded, options, loaded.choices("small", {}), train, setup)
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    frequent = int(np.bincount(train.targets["discrete"]).argmax())
    assert chosen == {"label": frequent, "value": 0.0}
    # three labels, then two values of which one is the current one
    assert [trial.options for trial in trials] == [
        {"label": 0, "value": 9.0},
        {"label": 1, "value": 9.0},
        {"label": 2, "value": 9.0},
        {"label": frequent, "value": 0.0},
    ]
    with pytest.raises(UsageError, match=r"baseline 'constant': select\.lable is not among its defaults"):
        select_options(loaded, options, {"lable": (1,)}, train, Setup())


def test_an_option_that_changes_nothing_keeps_its_default(small_track: SmallTrack, tmp_path: Path) -> None:
    train = training_set(open_candidates(small_track(), "train"), [])
    toml = 'title = "Constant"\ndefaults = { label = 0, value = 9.0 }\n'
    loaded = load_baseline(write(tmp_path / "constant", toml, CONSTANT))
    # Beyond the range [-2, 2] every value is the answer 2, so that all of these are equals.
    for values, kept in (((5.0, 9.0, 7.0), 9.0), ((5.0, 7.0), 5.0)):
        chosen, _ = select_options(loaded, {"label": 0, "value": 9.0}, {"value": values}, train, Setup())
        assert chosen == {"label": 0, "value": kept}


WITHIN = """
metrics = [
    { name = "accuracy", target = "discrete", per = "fold" },
    { name = "accuracy", target = "discrete" },
    { name = "mse", target = "valence", per = "round", shares = { a = 0.75, b = 0.25 } },
]
ranking = { by = ["accuracy(per=fold)"] }
"""


def within(columns: dict[str, list[str | None]], small_track: SmallTrack, name: str = "one") -> Track:
    start = DECLARATION[: DECLARATION.index("metrics = [")]
    return small_track(name, columns=columns, declaration=start + WITHIN)


@pytest.mark.slow
def test_a_metric_per_column_is_computed_so_in_cross_validation(small_track: SmallTrack, tmp_path: Path) -> None:
    n = N_TRAIN + N_TEST
    fold, rounds = ["a" if i % 3 else "b" for i in range(n)], ["a" if i % 5 else "b" for i in range(n)]
    track = within({"fold": fold, "round": rounds}, small_track)
    train = training_set(open_candidates(track, "train"), ["loud"])
    rng = np.random.default_rng(1)
    answers = {"discrete": rng.integers(0, 3, len(train)).astype(np.int32), "valence": rng.normal(size=len(train))}
    right = answers["discrete"] == train.targets["discrete"]
    error = (answers["valence"] - train.targets["valence"]) ** 2
    by_fold, by_round = np.array(fold)[:N_TRAIN], np.array(rounds)[:N_TRAIN]
    by_key = scores(track, train.targets, answers, train.groups)
    per_fold = (right[by_fold == "a"].mean() + right[by_fold == "b"].mean()) / 2
    assert by_key["accuracy(discrete,per=fold,aggregate=mean)"] == pytest.approx(per_fold, abs=1e-12)
    assert by_key["accuracy(discrete)"] == pytest.approx(right.mean(), abs=1e-12)
    shared = 0.75 * error[by_round == "a"].mean() + 0.25 * error[by_round == "b"].mean()
    assert by_key["mse(valence,per=round,aggregate=a:0.75+b:0.25)"] == pytest.approx(shared, abs=1e-12)
    assert ranking_value(track, train.targets, answers, train.groups) == pytest.approx((per_fold,), abs=1e-12)
    for baseline, options in (("logistic", {}), ("attention", {"epochs": 1, "hidden": [4, 4]})):
        run = run_baseline(
            track, baseline, RunSettings(seeds=[0], options=options, intervals=False), output=tmp_path / baseline
        )
        assert set(run.seeds[0].cross_validated) == set(by_key)


def test_without_the_column_a_metric_is_computed_over_all_training_samples(small_track: SmallTrack) -> None:
    n = N_TRAIN + N_TEST
    only_a: list[str | None] = ["a"] * N_TRAIN + ["a", "b"] * (N_TEST // 2)
    track = within({"fold": [None] * 3 + ["a"] * (n - 3), "round": only_a}, small_track)
    train = training_set(open_candidates(track, "train"), [])
    assert set(train.groups) == {"round"}
    answers = {"discrete": train.targets["discrete"] * 0, "valence": train.targets["valence"] + 2.0}
    by_key = scores(track, train.targets, answers, train.groups)
    assert by_key["accuracy(discrete,per=fold,aggregate=mean)"] == by_key["accuracy(discrete)"]
    assert by_key["mse(valence,per=round,aggregate=a:0.75+b:0.25)"] == pytest.approx(4.0, abs=1e-12)
    assert by_key == scores(track, train.targets, answers)


@pytest.mark.real_data
@pytest.mark.slow
def test_known_actors_are_easier_than_unseen_ones(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path))
    release("ravdess")(test_data / "data" / "features", tmp_path / "corpora" / "ravdess")
    train = training_set(open_candidates("ravdess", "test"), ["audio", "face"])
    assert train.folds_by == "speaker"
    logistic = load_baseline("logistic")

    def accuracy(train: TrainingSet) -> float:
        options = logistic.options("ravdess", {"scale": "each", "C": 0.1})
        predictions = cross_validate(partial(logistic.build, options), train, Setup())
        return scores(train.track, train.targets, predictions.answers(train.track), train.groups)["accuracy(discrete)"]

    unseen, seen = accuracy(train), accuracy(replace(train, clusters={}))
    assert unseen == pytest.approx(0.565, abs=0.01)
    assert seen == pytest.approx(0.685, abs=0.01)
