"""Classes that are held out: what is learned without them, and how known their samples look."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from merbench.cli import run as command
from merbench.corpus.candidates import open_candidates
from merbench.errors import UnknownName, UsageError
from merbench.scoring import compare, score
from merbench.track import load_track
from merbench.training import RunSettings, Setup, load_baseline, run_baseline
from merbench.training.hold_out import hold_out_warnings, without_classes
from merbench.training.plan import make_plan
from merbench.training.unknown.detectors import DETECTORS
from merbench.training.unknown.in_turn import hold_out_in_turn
from merbench.training.unknown.observation import observed
from merbench.training.unknown.report import UnknownReport
from merbench.training.unknown.scores import detected, wanted
from tests.training.conftest import DECLARATION, LABELS, N_TEST, N_TRAIN, SmallTrack
from tests.training.test_plan import OTHER, crossed, parted

FIXED = {"C": 1.0, "alpha": 1.0, "scale": "each"}


def test_samples_of_the_class_are_not_learned(small_track: SmallTrack) -> None:
    track = small_track()
    left = without_classes(track, ["glad"])
    assert left.targets["discrete"].classes == ("calm", "sad")
    assert list(left.targets) == ["discrete"]
    assert left.ranked_by == ("weighted_f1",)
    every = make_plan(track, load_baseline("majority")).training_set()
    train = make_plan(left, load_baseline("majority")).training_set()
    codes = np.asarray(every.targets["discrete"])
    assert train.samples.ids.to_pylist() == every.samples.ids.filter(pa.array(codes != 1)).to_pylist()
    np.testing.assert_array_equal(train.targets["discrete"], codes[codes != 1] // 2)


def test_the_run_is_scored_by_ood_emotion_as_scikit_learn_would(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    run = run_baseline(
        track, "logistic", RunSettings(options=FIXED, hold_out=["glad"], seeds=[0, 1]), output=tmp_path / "run"
    )
    assert run.report is not None
    lines = (run.folder / "submission.csv").read_text().splitlines()
    assert lines[0] == "sample_id,score"
    assert len(lines) == N_TEST + 1
    scores = np.array([float(line.split(",")[1]) for line in lines[1:]])
    assert scores.min() >= 0.5  # the larger one of two probabilities
    references = np.asarray(open_candidates(track).references.values["discrete"])
    assert run.report["auroc"].value == pytest.approx(roc_auc_score(references != 1, scores), abs=1e-12)
    again = score(load_track(run.folder / "ood-emotion"), run.folder / "submission.csv")
    assert again["auroc"].value == run.report["auroc"].value
    record = json.loads((run.folder / "run.json").read_text())
    assert record["hold_out"] == ["glad"]
    assert record["test"]["auroc(score)"]["mean"] == pytest.approx(run.report["auroc"].value)


def test_groups_are_left_out_and_classes_held_out_together(small_track: SmallTrack, tmp_path: Path) -> None:
    track = parted(small_track)
    run = run_baseline(
        track, "logistic", RunSettings(options=FIXED, hold_out=["sad"], intervals=False), output=tmp_path / "run"
    )
    assert len(run.parts) == 3
    lines = (run.folder / "submission.csv").read_text().splitlines()
    assert len(lines) == 91  # all samples are answered, those of the class too


def test_utterances_of_a_class_that_is_held_out_stay_in_their_dialogues(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    n = N_TRAIN + N_TEST
    columns: Any = {"dialogue": [f"d{i // 5}" for i in range(n)], "position": [i % 5 for i in range(n)]}
    track = small_track(columns=columns)
    left, loaded = without_classes(track, ["glad"]), load_baseline("context-gru")
    train = make_plan(left, loaded).training_set()
    n_known = len(make_plan(left, load_baseline("majority")).training_set())
    assert (len(train), train.n_learned) == (N_TRAIN, n_known)
    assert train.samples.dialogues is not None
    assert sorted({len(rows) for rows in train.samples.dialogues.units()}) == [5]
    small = {"epochs": 1, "hidden": 4, "encoded": 4, "layers": [4]}
    settings = RunSettings(options=small, hold_out=["glad"], intervals=False)
    run = run_baseline(track, "context-gru", settings, output=tmp_path / "run")
    assert run.parts[0].n_train == n_known < N_TRAIN


def test_labels_of_another_corpus_are_held_out(tmp_path: Path) -> None:
    assert 'joy = "glad"' in OTHER
    left = without_classes(crossed(tmp_path), ["glad"])
    train = make_plan(left, load_baseline("majority")).training_set()
    assert np.bincount(train.targets["discrete"]).tolist() == [15, 15]  # calm and sad; joy is not learned


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["gald"], "small has no class 'gald' to hold out; it has calm, glad, sad; did you mean 'glad'?"),
        (["glad", "sad"], "without glad, sad, fewer than two classes of small are left to learn"),
    ],
)
def test_classes_that_cannot_be_held_out(small_track: SmallTrack, classes: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_baseline(small_track(), "majority", RunSettings(hold_out=classes))
    assert str(caught.value) == message


def test_tracks_without_classes_and_secret_ones_are_refused(small_track: SmallTrack) -> None:
    numbers = DECLARATION.replace('targets.discrete = { type = "categorical", labels = ["calm", "glad", "sad"] }\n', "")
    numbers = numbers.replace('    { name = "weighted_f1", target = "discrete", weight = 1.0 },\n', "")
    numbers = numbers.replace('["overall", "weighted_f1"]', '["mse"]')
    with pytest.raises(UsageError, match="small has no categorical target, whose classes can be held out"):
        without_classes(small_track("numbers", declaration=numbers), ["glad"])
    hidden = DECLARATION.replace('test = "test"', 'test = { source = "test", hidden = true }')
    with pytest.raises(UsageError, match="small: which candidates are scored is secret"):
        without_classes(small_track("hidden", declaration=hidden), ["glad"])


def test_without_test_references_there_is_a_submission(small_track: SmallTrack, tmp_path: Path) -> None:
    run = run_baseline(small_track(withheld=True), "majority", RunSettings(hold_out=["glad"]), output=tmp_path / "run")
    assert run.report is None
    assert "withheld" in run.withheld
    assert len((run.folder / "submission.csv").read_text().splitlines()) == N_TEST + 1


def test_the_command_prints_what_was_not_learned(
    small_track: SmallTrack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run-baseline", str(small_track().folder), "--baseline", "majority", "--hold-out", "glad"]
    assert command([*arguments, "--no-intervals"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "majority, small@1.0 without glad"
    assert lines[1].split() == ["cross-validated"]
    assert "Unknown emotions · Small (ood-emotion@1.0, split test)" in lines
    assert Path("runs/small/majority-without-glad/ood-emotion/corpus/corpus.toml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lf-dnn", {"hidden": 8, "epochs": 3}),
        ("tfn", {"hidden": 4, "epochs": 2}),
        ("attention-topn", {"hidden": 8, "epochs": 2}),
        ("imputation", {"base": "lf-dnn", "base_options": {"hidden": 8, "epochs": 2}}),
        ("pseudo-label", {"base": "lf-dnn", "base_options": {"hidden": 8, "epochs": 2}}),
    ],
)
def test_all_detectors_score_all_samples(
    small_track: SmallTrack, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    track = small_track()
    learning = {"folds": 3, "labelled": 0.6} if name == "pseudo-label" else {"folds": 3}
    settings = RunSettings(options=options, hold_out=["glad"], learning=learning, device="cpu", intervals=False)
    run = run_baseline(track, name, settings, output=tmp_path / "run")
    assert run.unknown is not None
    assert [row.name for row in run.unknown.detectors] == list(DETECTORS)
    assert all((row.forward, row.backward) == (1, 0) for row in run.unknown.detectors)
    references = np.asarray(open_candidates(track).references.values["discrete"])
    for row in run.unknown.detectors:
        lines = (run.folder / "detectors" / f"{row.name}.csv").read_text().splitlines()[1:]
        scores = np.array([float(line.split(",")[1]) for line in lines])
        assert row.scores[0].name == "auroc"
        assert row.scores[0].value == pytest.approx(roc_auc_score(references != 1, scores), abs=1e-12)
    row = run.unknown.held_out[0]
    assert (row.n_unknown, row.n_known) == ((references == 1).sum(), (references != 1).sum())


def test_scores_of_folds_are_averaged_and_detectors_are_fitted_on_what_each_learned(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    track = without_classes(small_track(), ["glad"])
    loaded = load_baseline("lf-dnn")
    plan = make_plan(track, loaded)
    train, test = plan.training_set(), plan.test_set()
    setup = Setup(seed=3, n_folds=2, device_name="cpu")
    baseline = loaded.build(loaded.options("small", {"hidden": 6, "epochs": 2}), setup)
    baseline.fit(train)
    found = {each.detector.name: each.scores for each in detected(baseline, train, setup, test, wanted([]))}
    network = baseline.built  # type: ignore[attr-defined]
    outputs = [torch.tensor(each["discrete"]).double() for each in network.outputs(test)]
    np.testing.assert_allclose(found["msp"], np.mean([o.softmax(-1).max(-1)[0] for o in outputs], axis=0), rtol=1e-6)
    energies = np.mean([o.logsumexp(-1) for o in outputs], axis=0)
    np.testing.assert_allclose(found["energy"], energies, rtol=1e-6)
    # by hand: the features before the last layer of each fold, of the rows that this fold learned from
    folds = observed(baseline, train.samples, "discrete")
    expected = []
    for own, of_test, division in zip(folds, observed(baseline, test, "discrete"), train.divisions(2, 3), strict=True):
        learned, others = (
            each / np.linalg.norm(each, axis=1, keepdims=True)
            for each in (own.features[division.learn], of_test.features)
        )
        expected.append(-np.sort(cdist(others, learned, "sqeuclidean"), axis=1)[:, 2])
    knn = detected(baseline, train, setup, test, wanted(["knn:k=3"]))[1]
    np.testing.assert_allclose(knn.scores, np.mean(expected, axis=0), atol=1e-5)
    moved = detected(baseline, train, setup, test, wanted(["odin:epsilon=0.05"]))[1]
    assert (moved.forward, moved.backward) == (2, 1)


def test_the_difference_from_msp_has_the_interval_of_a_comparison(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    options = {"hidden": 8, "epochs": 2}
    settings = RunSettings(
        options=options, hold_out=["glad"], detectors=["energy", "knn:k=3"], seeds=[0, 1], device="cpu"
    )
    run = run_baseline(track, "lf-dnn", settings, output=tmp_path / "run")
    assert run.unknown is not None
    msp, energy, knn = run.unknown.detectors
    assert (msp.name, energy.name, knn.name) == ("msp", "energy", "knn:k=3")
    assert msp.differences == ()
    [name] = [each.name for each in (tmp_path / "run" / "seed-1" / "detectors").iterdir() if "knn" in each.name]
    assert name == "knn-k-3.csv"
    one = run_baseline(track, "lf-dnn", replace(settings, seeds=[0], detectors=["energy"]), output=tmp_path / "one")
    assert one.unknown is not None
    folder = one.folder / "detectors"
    known = load_track(one.folder / "ood-emotion")
    expected = compare(known, {"a": folder / "energy.csv", "b": folder / "msp.csv"}, n_permutations=100)
    auroc = expected.differences[0]
    own = one.unknown.detectors[1].differences[0]
    # draws are rounded to ten decimals before or after the difference is taken
    assert (own.value, own.low, own.high) == pytest.approx((auroc.difference, auroc.low, auroc.high), abs=1e-8)
    stored = UnknownReport.from_json((one.folder / "unknown.json").read_text())
    assert stored == one.unknown
    assert "Difference from msp" in (one.folder / "unknown.md").read_text()
    assert json.loads((one.folder / "run.json").read_text())["detectors"][1]["settings"] == {"temperature": 1.0}


def test_a_baseline_without_a_last_layer_has_only_the_probability_of_its_answers(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    track = small_track()
    run = run_baseline(track, "majority", RunSettings(hold_out=["sad"], intervals=False), output=tmp_path / "run")
    assert run.unknown is not None
    assert [row.name for row in run.unknown.detectors] == ["msp"]
    message = "baseline 'majority' has no last linear layer: it is not a network; only msp"
    assert run.unknown.remarks[0].startswith(message)
    settings = RunSettings(hold_out=["sad"], detectors=["msp", "energy"], intervals=False)
    with pytest.raises(UsageError) as caught:
        run_baseline(track, "majority", settings, output=tmp_path / "other")
    assert str(caught.value) == f"{message} can be computed, and not energy"
    assert not (tmp_path / "other").exists()


def test_names_of_detectors_are_checked_before_training(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    with pytest.raises(UnknownName, match="no detector named 'energi'"):
        run_baseline(track, "majority", RunSettings(hold_out=["sad"], detectors=["energi"]))
    with pytest.raises(UsageError, match="a detector is named twice: energy"):
        run_baseline(track, "majority", RunSettings(hold_out=["sad"], detectors=["energy", "energy"]))
    with pytest.raises(UsageError, match="detectors score classes that are held out"):
        RunSettings(detectors=["energy"])


def test_the_most_frequent_class_may_be_held_out_with_a_warning(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    train = make_plan(track, load_baseline("majority")).training_set()
    counts = np.bincount(train.targets["discrete"])
    most = int(counts.argmax())
    assert hold_out_warnings(track, [LABELS[(most + 1) % 3]]) == []
    [warning] = hold_out_warnings(track, [LABELS[most]])
    start = f"the most frequent class, {LABELS[most]}, is held out: {counts[most]} of {N_TRAIN} labelled samples"
    assert warning.startswith(start)


def test_a_class_of_no_test_sample_is_not_unknown_there(small_track: SmallTrack) -> None:
    declaration = DECLARATION.replace('"calm", "glad", "sad"]', '"calm", "glad", "sad", "shy"]')
    with pytest.raises(UsageError, match="small: no sample of split 'test' is of shy: nothing is unknown there"):
        run_baseline(small_track(declaration=declaration), "majority", RunSettings(hold_out=["shy"]))


def test_every_class_is_held_out_in_turn(small_track: SmallTrack, tmp_path: Path) -> None:
    declaration = DECLARATION.replace('"calm", "glad", "sad"]', '"calm", "glad", "sad", "shy"]')
    track = small_track(declaration=declaration)
    how = RunSettings(options=FIXED)
    made = hold_out_in_turn(track, "logistic", how, output=tmp_path / "all")
    assert [row.classes for row in made.report.held_out] == [("calm",), ("glad",), ("sad",)]
    values = []
    for label in LABELS:
        single = run_baseline(track, "logistic", replace(how, hold_out=[label]), output=tmp_path / label)
        assert single.unknown is not None
        values.append(single.unknown.detectors[0].scores[0].value)
    score = made.report.detectors[0].scores[0]
    assert score.value == pytest.approx(np.mean(values), abs=1e-12)
    assert score.low is not None and score.high is not None and score.low < score.value < score.high
    assert any("no sample of split 'test' is of shy" in each for each in made.report.remarks)
    assert UnknownReport.from_json((tmp_path / "all" / "unknown.json").read_text()) == made.report
    with pytest.raises(UsageError, match="already contains such runs; --force replaces them"):
        hold_out_in_turn(track, "logistic", how, output=tmp_path / "all")
    before = (tmp_path / "all" / "glad" / "run.json").stat().st_mtime_ns
    again = hold_out_in_turn(track, "logistic", how, output=tmp_path / "all", replace_runs=True)
    assert again.report == made.report
    assert (tmp_path / "all" / "glad" / "run.json").stat().st_mtime_ns == before  # the same run is not trained again
    (tmp_path / "all" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="has something else than runs without a class: notes"):
        hold_out_in_turn(track, "logistic", how, output=tmp_path / "all", replace_runs=True)


def test_each_is_an_option_of_the_command(
    small_track: SmallTrack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run-baseline", str(small_track().folder), "--baseline", "majority", "--hold-out", "each"]
    assert command([*arguments, "--no-intervals"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "wrote runs/small/majority-without-each: 3 runs, each without a class"
    assert lines[2] == "Small (ood-emotion@1.0, split test): majority without each class in turn"
    assert command([*arguments, "--hold-out", "glad"]) == 2
    assert "holds out every class in turn" in capsys.readouterr().err
