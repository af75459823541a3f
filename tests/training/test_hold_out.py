"""Classes that are held out: what is learned without them, and how known their samples look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from merbench.cli import run as command
from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.scoring import score
from merbench.track import load_track
from merbench.training import RunSettings, load_baseline, run_baseline
from merbench.training.hold_out import without_classes
from merbench.training.plan import make_plan
from tests.training.conftest import DECLARATION, N_TEST, N_TRAIN, SmallTrack
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
