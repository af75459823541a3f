from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.files.reading import sha256_file
from merbench.training import (
    FeatureSet,
    FoldEnsemble,
    Predictions,
    RunSettings,
    Setup,
    TrainingSet,
    feature_set,
    load_baseline,
    open_models,
    predict,
    run_baseline,
)
from merbench.training.data import training_candidates, training_set
from merbench.training.needs import require_answers
from merbench.training.plan import make_plan
from merbench.training.resume import inputs_digest
from merbench.training.tuning.trials import SearchSettings, Trials
from tests.training.conftest import DECLARATION, SmallTrack
from tests.training.test_declaration import write

UNLABELLED = DECLARATION + '\n[training]\nunlabelled = ["test"]\n'

LOGISTIC = {"base": "logistic", "base_options": {"C": 1.0}}


def given(track: Any) -> TrainingSet:
    return training_set(training_candidates(track), ["loud", "quiet"], unlabelled=True)


def module() -> Any:
    return load_baseline("pseudo-label").module


# of class 0, correct .9 .6 .5, wrong .8 · of class 1, correct .7 .55 · of class 2, none correct
REFERENCE = np.array([0, 0, 0, 1, 1, 1, 2])
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.6, 0.2, 0.2],
        [0.5, 0.3, 0.2],
        [0.8, 0.1, 0.1],
        [0.1, 0.7, 0.2],
        [0.25, 0.55, 0.2],
        [0.4, 0.35, 0.25],
    ]
)


@pytest.mark.parametrize(
    ("eta", "thresholds"),
    # sorted: .5 .6 .9 and .55 .7; at .5 the middle one, and half way between two
    [(0.0, (0.5, 0.55)), (0.5, (0.6, 0.625)), (0.75, (0.75, 0.6625)), (1.0, (0.9, 0.7))],
)
def test_the_threshold_of_a_class_is_a_quantile_of_its_correct_predictions(
    eta: float, thresholds: tuple[float, float]
) -> None:
    values = module().quantiles(REFERENCE, PROBABILITIES, eta)
    np.testing.assert_allclose(values, [*thresholds, np.inf], rtol=1e-12)


def test_kept_is_what_is_strictly_above_the_threshold_of_the_class_predicted_for_every_target() -> None:
    above = module().above
    outputs = np.array([[0.5, 0.4, 0.1], [0.51, 0.3, 0.19], [0.3, 0.56, 0.14], [0.0, 0.1, 0.9]])
    thresholds = module().quantiles(REFERENCE, PROBABILITIES, 0.0)
    assert above({"a": thresholds}, {"a": outputs}).tolist() == [False, True, True, False]
    both = {"a": thresholds, "b": np.array([0.0, 0.8, 0.0])}
    assert above(both, {"a": outputs, "b": outputs}).tolist() == [False, True, False, False]


def test_each_division_learns_from_its_samples_and_from_what_its_own_model_is_sure_of(small_track: SmallTrack) -> None:
    train = given(small_track(declaration=UNLABELLED))
    assert train.unlabelled is not None
    setup, base = Setup(seed=3, n_folds=3), load_baseline("logistic")
    ours = load_baseline("pseudo-label").build({**LOGISTIC, "eta": 0.4}, setup)
    assert isinstance(ours, FoldEnsemble)
    result = ours.fit_folds(train)
    expected, n_kept, parts = [], [], []
    for division in train.divisions(3, 3):

        def model() -> Any:
            return base.build({**base.declaration.defaults, "C": 1.0}, setup)

        teacher, learned = model(), train.select(division.learn)
        teacher.fit(learned)
        # the rule in plain Python
        held_out, codes = (
            teacher.predict(train.samples.select(division.validate)).outputs["discrete"].tolist(),
            train.targets["discrete"][division.validate].tolist(),
        )
        correct: dict[int, list[float]] = {}
        for row, code in zip(held_out, codes, strict=True):
            if row.index(max(row)) == code:
                correct.setdefault(code, []).append(max(row))
        predicted = teacher.predict(train.unlabelled).outputs
        kept = [
            i
            for i, row in enumerate(predicted["discrete"].tolist())
            if (own := correct.get(row.index(max(row)))) and max(row) > np.quantile(own, 0.4)
        ]
        n_kept.append(len(kept))
        x = {name: np.concatenate([learned.features[name], train.unlabelled.features[name][kept]]) for name in x_names}
        student = model()
        student.fit(
            TrainingSet(
                train.track,
                FeatureSet.of_vectors(pa.array([""] * len(x["loud"])), x),
                {
                    "discrete": np.append(learned.targets["discrete"], predicted["discrete"].argmax(1)[kept]),
                    "valence": np.append(learned.targets["valence"], predicted["valence"].clip(-2, 2)[kept]),
                },
            )
        )
        parts.append((division.validate, student.predict(train.samples.select(division.validate))))
        expected.append(student.predict(train.unlabelled).outputs)
    # logistic sees each sample once: the teacher 2 of 3 folds of 60 samples, the student also what was kept
    assert result.sample_epochs == 2 * 120 + sum(n_kept)
    assert result.details["n_kept"] == n_kept and all(0 < n < len(train.unlabelled) for n in n_kept)
    answers = ours.predict(train.unlabelled).outputs
    for name in ("discrete", "valence"):
        mean = np.mean([each[name] for each in expected], axis=0)
        np.testing.assert_allclose(answers[name], mean, atol=1e-6)
        np.testing.assert_allclose(
            result.out_of_fold.outputs[name], Predictions.gathered(parts).outputs[name], atol=1e-6
        )


x_names = ("loud", "quiet")


def test_a_network_selects_its_epochs_on_labelled_samples_only(small_track: SmallTrack) -> None:
    train = given(small_track(declaration=UNLABELLED))
    seen: list[Mapping[str, np.ndarray]] = []

    class Log:
        def epoch(self, epoch: int, values: Mapping[str, np.ndarray]) -> None:
            seen.append(values)

    options = {"base": "attention", "base_options": {"hidden": [8], "epochs": 2}, "eta": 0.0}
    steps: list[tuple[int, int]] = []
    setup = Setup(n_folds=2, log=Log(), progress=lambda done, total: steps.append((done, total)))
    ours = load_baseline("pseudo-label").build(options, setup)
    assert isinstance(ours, FoldEnsemble)
    result = ours.fit_folds(train)
    assert result.curve.loss.shape == result.curve.value.shape == (2, 2)
    assert len(result.out_of_fold.outputs["discrete"]) == len(train) == 60
    # of two divisions after one another, the log has two epochs each; the first trainings are not in it
    assert [np.isnan(values["loss"]).tolist() for values in seen] == [[False, True]] * 2 + [[True, False]] * 2
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_development_set_is_one_division(small_track: SmallTrack) -> None:
    train = given(small_track(declaration=UNLABELLED))
    train = replace(train, selection="dev", development=np.arange(60) % 3 == 0)
    ours = load_baseline("pseudo-label").build({**LOGISTIC, "eta": 0.5}, Setup(n_folds=5))
    assert isinstance(ours, FoldEnsemble)
    result = ours.fit_folds(train)
    assert len(result.details["n_kept"]) == 1 and len(result.out_of_fold.outputs["discrete"]) == 20


def test_what_it_keeps_is_more_often_right_than_what_it_does_not(sample_home: Path, tmp_path: Path) -> None:
    run = run_baseline(
        "mer-semi", "pseudo-label", RunSettings(options={"base": "logistic"}, intervals=False), output=tmp_path / "run"
    )
    record = json.loads((run.folder / "run.json").read_text())
    details = record["runs"][0]["details"]
    accuracy = details["targets"]["discrete"]["accuracy"]
    assert accuracy["kept"] > 0.95 > 0.85 > accuracy["all"] > 0.75
    assert details["n_unlabelled"] == 2400 and all(600 < n < 1800 for n in details["n_kept"])
    kept = details["targets"]["discrete"]["kept"]
    assert [sum(counts) for counts in zip(*kept.values(), strict=True)] == details["n_kept"]
    assert run.report is not None and (run.report["weighted_f1"].value or 0) > 0.78


def test_a_stored_model_answers_as_it_did(small_track: SmallTrack) -> None:
    track = small_track(declaration=UNLABELLED)
    loaded, test = load_baseline("pseudo-label"), feature_set(open_candidates(track), x_names)
    options, setup = {**LOGISTIC, "eta": 0.5}, Setup(n_folds=2)
    trained: Any = loaded.build(options, setup)
    trained.fit(given(track))
    weights = trained.weights()
    restored: Any = loaded.build(options, setup)
    restored.restore(weights, track, test.widths)
    for name, values in trained.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[name], values)
    with pytest.raises(UsageError, match="not those of models with the numbers 0, 1, 2"):
        restored.restore({"3.x": np.zeros(1)}, track, test.widths)


NOT_STORABLE = """
from dataclasses import dataclass
import numpy as np
import pyarrow as pa
from merbench.training import Predictions

@dataclass(frozen=True)
class Options:
    pass

class Uniform:
    def fit(self, train): self.n = len(train.track.targets["discrete"].classes)
    def predict(self, test):
        return Predictions({"discrete": np.full((len(test), self.n), 1 / self.n), "valence": np.zeros(len(test))})

def build(options, setup): return Uniform()
"""


def test_around_a_baseline_of_a_folder_that_cannot_be_stored(small_track: SmallTrack, tmp_path: Path) -> None:
    folder = write(tmp_path / "uniform", 'title = "Uniform"', NOT_STORABLE)
    ours = load_baseline("pseudo-label").build({"base": str(folder), "base_options": {}, "eta": 0.0}, Setup(n_folds=2))
    assert isinstance(ours, FoldEnsemble)
    result = ours.fit_folds(given(small_track(declaration=UNLABELLED)))
    # All have the same confidence, and none is above a quantile of it.
    assert result.details["n_kept"] == [0, 0]
    assert result.details["targets"]["discrete"]["accuracy"]["kept"] is None
    assert not hasattr(ours, "weights")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "pseudo-label"}, "base 'pseudo-label' is not given one vector per feature only; those that can be: "),
        ({"base": "lexicon-ov"}, "base 'lexicon-ov' is not given one vector per feature only"),
        ({"base": "attentoin"}, "did you mean 'attention'"),
        ({"base": "logistic", "base_options": {"epochs": 3}}, "epochs: is not an option of baseline 'logistic'"),
        ({"base": "logistic", "eta": 1.5}, r"1.5 is not a number in \[0, 1\]"),
        ({"base": "logistic", "base_options": 3}, "3 is not a table of options of the base"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        load_baseline("pseudo-label").build({"base_options": {}, "eta": 0.5, **options}, Setup())


def test_without_unlabelled_samples_or_labels_it_does_not_train(small_track: SmallTrack) -> None:
    ours: Any = load_baseline("pseudo-label").build({**LOGISTIC, "eta": 0.5}, Setup(n_folds=2))
    with pytest.raises(UsageError, match=r"\[training\] of small declares none"):
        ours.fit_folds(training_set(open_candidates(small_track(), "train"), ["loud"]))
    track = small_track("numbers", declaration=UNLABELLED)
    numbers = track.model_copy(update={"targets": {"valence": track.targets["valence"]}})
    with pytest.raises(UsageError, match="'pseudo-label' needs a target of type categorical or preference; small"):
        require_answers(load_baseline("pseudo-label"), numbers)


def test_the_baseline_that_it_trains_is_part_of_its_inputs(small_track: SmallTrack, tmp_path: Path) -> None:
    own = tmp_path / "base2"
    shutil.copytree(load_baseline("logistic").folder, own)
    options = {"base": str(own), "base_options": {"C": 1.0}}
    track = small_track(declaration=UNLABELLED)
    run = run_baseline(track, "pseudo-label", RunSettings(options=options, intervals=False), output=tmp_path / "run")
    record = json.loads((run.folder / "run.json").read_text())["baseline"]
    assert record["stages"] == ["teacher", "student"]
    assert record["trains"]["base"]["name"] == "base2"
    assert record["trains"]["base"]["options"] == {"scale": "each", "C": 1.0, "alpha": 1000.0}
    assert record["files"]["base2/model.py"] == sha256_file(own / "model.py")

    def digest() -> str:
        loaded = load_baseline("pseudo-label")
        how = {"baseline": loaded.files(loaded.options(track.id, options))}
        return inputs_digest(make_plan(track, loaded), how)

    before, search = digest(), SearchSettings(options=options)
    trials = Trials.of(track, load_baseline("pseudo-label"), search, tmp_path / "search")
    assert trials.inputs(0)["files"] == record["files"]
    (own / "model.py").write_text((own / "model.py").read_text() + "\n# changed\n")
    assert digest() != before
    prediction = predict(open_models(run.folder), track.folder, intervals=False)
    assert prediction.warnings[-1] == "baseline 'pseudo-label' changed since the run: base2/model.py"
