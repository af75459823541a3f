"""A search from its trials to the report."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

pytest.importorskip("optuna")

from merbench.cli import run as command
from merbench.corpus.candidates import Candidates
from merbench.errors import IntegrityError, UsageError
from merbench.files.writing import exclusive, require_alone
from merbench.scoring import compare
from merbench.track import Track, load_track
from merbench.training import (
    RunSettings,
    Setup,
    cross_validate,
    load_baseline,
    ranking_value,
    run_baseline,
    training_set,
)
from merbench.training.data import training_candidates
from merbench.training.tuning.report import TuningReport
from merbench.training.tuning.trials import SearchSettings, Trials, _TrialLog, tune
from tests.training.conftest import SmallTrack
from tests.training.test_declaration import write

TOML = """
title = "Own"
[defaults]
shrink = 0.5
epochs = 3
fails = false
"""

# It predicts the mean of the training values, shrunk; and label 0. Its validation value falls with the shrinkage.
MODEL = """
from dataclasses import dataclass
import numpy as np
from merbench.errors import UsageError
from merbench.training import CrossFit, Predictions

@dataclass(frozen=True)
class Options:
    shrink: float
    epochs: int
    fails: bool

class Own:
    def __init__(self, options, setup):
        self.options, self.setup = options, setup
    def fit(self, train):
        self.fit_folds(train)
    def fit_folds(self, train):
        if self.options.fails:
            raise UsageError("training diverged")
        n_folds = self.setup.n_folds
        for epoch in range(1, self.options.epochs + 1):
            values = {"loss": np.ones(n_folds), "value": np.full(n_folds, 1 - self.options.shrink)}
            self.setup.log.epoch(epoch, values)
        self.mean = train.targets["valence"].mean() * self.options.shrink
        return CrossFit(self.predict(train.samples))
    def predict(self, test):
        chances = np.zeros((len(test), 3))
        chances[:, 0] = 1
        return Predictions({"discrete": chances, "valence": np.full(len(test), self.mean)})

def build(options, setup):
    return Own(options, setup)
"""

QUICK = SearchSettings(trials=6, runs=2, device="cpu", search={"alpha": [1.0, 10.0, 1000.0], "C": [0.01, 1.0]})
QUICK = replace(QUICK, options={"scale": "each"})


def searched(track: Track, folder: Path, settings: SearchSettings = QUICK, baseline: Any = "logistic") -> TuningReport:
    report = tune(track, baseline, settings, output=folder)
    assert report is not None
    return report


def without_time(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "tuning.json").read_text("utf-8"))
    assert content.pop("wall_time_s") >= 0
    return content


@pytest.mark.slow
def test_a_search_selects_the_best_cross_validated_options_and_scores_them(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    track, folder = small_track(), tmp_path / "search"
    report = searched(track, folder)
    (search,) = report.searches
    train = training_set(training_candidates(track), ["loud", "quiet"])
    loaded, values = load_baseline("logistic"), []
    for trial in search.trials:
        options = {"scale": "each", **trial.options}
        predictions = cross_validate(partial(loaded.build, options), train, Setup(0, 5, "cpu"))
        answers = predictions.answers(track)
        values.append(ranking_value(track, train.targets, answers, train.groups, predictions.outputs))
        assert trial.value == pytest.approx(values[-1], abs=1e-12)
    assert search.best == values.index(max(values))
    # every fold learns from 4/5 of 60 samples; a model without epochs sees them once
    assert {trial.sample_epochs for trial in search.trials if trial.same_as is None} == {240}
    drawn = [trial.options for trial in search.trials]
    assert [trial.same_as for trial in search.trials] == [
        None if drawn.index(own) == n else drawn.index(own) for n, own in enumerate(drawn)
    ]

    records = {name: json.loads((folder / name / "run.json").read_text("utf-8")) for name in ("best", "default")}
    assert records["best"]["options"] == {"scale": "each", **search.best_trial.options}
    for item in report.compared:
        for own, record in zip(item.test or (), records.values(), strict=True):
            assert own.mean == fmean(run["test"][item.key] for run in record["runs"])
    assert report.uncertainty is not None and report.uncertainty.method == "t"
    assert report.n_scored == 1
    assert "scored on test 1 time in this folder; not counted" in report.to_text()
    assert TuningReport.from_json(report.to_json()) == report
    assert {"tuning.json", "tuning.md", "tuning.svg", "tuning.png", "study.jsonl"} <= {p.name for p in folder.iterdir()}
    for text in (report.to_text(), report.to_markdown(), report.to_html(), report.to_latex()):
        assert "the best options and the default ones" in text


def test_with_one_training_each_the_difference_is_that_of_a_comparison(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    report = searched(track, tmp_path / "s", replace(QUICK, runs=1, trials=3))
    files = {name: tmp_path / "s" / name / "submission.csv" for name in ("best", "default")}
    for item, other in zip(report.compared, compare(track, files).differences, strict=True):
        assert (item.key, item.p) == (other.key, other.p)
        assert item.difference == pytest.approx(other.difference, abs=1e-12)
        assert (item.low, item.high) == pytest.approx((other.low, other.high), abs=1e-9)


def test_trials_read_no_reference_of_the_test_split(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    stored = Candidates.references.func  # type: ignore[attr-defined]

    def noted(candidates: Candidates) -> Any:
        read.append(candidates.split)
        return stored(candidates)

    track, finished = small_track(), []
    trial = Trials.__call__
    monkeypatch.setattr(Candidates, "references", property(noted))
    monkeypatch.setattr(Trials, "__call__", lambda self, part: (trial(self, part), finished.append(list(read)))[0])
    searched(track, tmp_path / "search", replace(QUICK, trials=3))
    assert len(finished) == 3
    assert {split for reads in finished for split in reads} == {"train"}
    assert "test" in read


@pytest.mark.slow
def test_a_search_does_not_depend_on_test_references(small_track: SmallTrack, tmp_path: Path) -> None:
    orders = [None, np.arange(30)[::-1]]
    reports = [
        searched(small_track(f"t{n}", test_order=order), tmp_path / f"s{n}", replace(QUICK, trials=4))
        for n, order in enumerate(orders)
    ]
    withheld = searched(small_track("t2", withheld=True), tmp_path / "s2", replace(QUICK, trials=4))
    assert reports[0].searches == reports[1].searches == withheld.searches
    assert reports[0].compared != reports[1].compared
    assert all(item.test is None and item.difference is None for item in withheld.compared)
    assert withheld.n_scored == 0 and withheld.uncertainty is None
    assert "withheld" in withheld.to_text()


@pytest.mark.slow
def test_an_interrupted_search_goes_on(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    track = small_track()
    searched(track, tmp_path / "whole")
    calls = iter(range(6))
    trial = Trials._result

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return trial(*arguments)

    monkeypatch.setattr(Trials, "_result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        searched(track, tmp_path / "again")
    assert f"kept in {tmp_path / 'again'}: 3 trials; the same command goes on\n" == capsys.readouterr().err
    monkeypatch.setattr(Trials, "_result", trial)
    steps: list[tuple[str, int, int]] = []
    tune(track, "logistic", QUICK, output=tmp_path / "again", progress=lambda *step: steps.append(step))
    assert [step for step in steps if step[0] == "trials"] == [("trials", n, 6) for n in range(3, 7)]
    assert without_time(tmp_path / "again") == without_time(tmp_path / "whole")


def test_the_last_process_writes_the_report(small_track: SmallTrack, tmp_path: Path) -> None:
    track, folder = small_track(), tmp_path / "search"
    few = replace(QUICK, trials=2, runs=1)
    trials = Trials.of(track, load_baseline("logistic"), few, folder)
    with trials.study(0).take(2) as taken:
        assert taken is not None
        assert tune(track, "logistic", few, output=folder) is None  # it trains the other draw
        assert [record.draw for record in trials.study(0).records()] == [1]
    with (folder / "locks/finish").open("ab") as file:
        require_alone(file.fileno(), "")
        assert tune(track, "logistic", few, output=folder) is None
    assert not (folder / "best").exists()
    assert searched(track, folder, few).searches[0].count("complete") == 2


@pytest.mark.parametrize("lock", ["process-0", "study-0", "finish"])
def test_a_search_is_not_removed_while_a_process_takes_part(small_track: SmallTrack, tmp_path: Path, lock: str) -> None:
    track, folder = small_track(), tmp_path / "search"
    few = replace(QUICK, trials=2, runs=1)
    searched(track, folder, few)
    before = (folder / "study.jsonl").read_bytes()
    with exclusive(folder / "locks" / lock):
        with pytest.raises(UsageError, match=r"another process searches here; stop it first"):
            tune(track, "logistic", replace(few, seed=1), output=folder, replace=True)
        assert (folder / "study.jsonl").read_bytes() == before and (folder / "best/run.json").is_file()
    again = tune(track, "logistic", replace(few, seed=1), output=folder, replace=True)
    assert again is not None and again.seed == 1


def test_epochs_of_folds_that_train_one_after_the_other_are_not_added_up() -> None:
    log = _TrialLog(None, 1)
    for fold in range(2):
        for epoch in range(1, 4):
            values = np.where(np.arange(2) == fold, 0.5, np.nan)
            log.epoch(epoch, {"loss": values, "value": values})
    assert (log.epochs, log.n_trainings) == (3, 6)


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    searched(track, tmp_path / "single")
    searched(track, tmp_path / "several", replace(QUICK, workers=2))
    assert without_time(tmp_path / "several") == without_time(tmp_path / "single")


@pytest.mark.slow
def test_a_cluster_searches_the_same_from_folders_named_here(
    small_track: SmallTrack, tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = small_track()
    searched(track, tmp_path / "single")
    monkeypatch.chdir(tmp_path)  # the processes of the cluster are elsewhere
    searched(load_track(track.folder.relative_to(tmp_path)), Path("cluster"), replace(QUICK, engine=cluster))
    assert without_time(tmp_path / "cluster") == without_time(tmp_path / "single")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster", "single", "tracks"]


SEQUENCES = {
    "gru": {"hidden": 4, "window": 2},
    "context-gru": {"hidden": 4, "encoded": 4, "layers": [4]},
}


@pytest.mark.parametrize("baseline", SEQUENCES)
def test_baselines_of_sequences_and_dialogues_are_searched(
    small_track: SmallTrack, tmp_path: Path, baseline: str
) -> None:
    dialogues = [f"d{n // 6}" for n in range(90)]
    track = small_track(columns={"dialogue": dialogues, "position": [n % 6 for n in range(90)]})
    fixed = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, **SEQUENCES[baseline]}
    how = SearchSettings(trials=2, runs=1, device="cpu", options=fixed, search={"dropout": [0.1, 0.5]})
    report = searched(track, tmp_path / "search", how, baseline)
    (search,) = report.searches
    assert [trial.state for trial in search.trials] == ["complete"] * 2
    # every fold learns twice from 4/5 of 60 samples
    assert [(trial.epochs, trial.sample_epochs) for trial in search.trials] == [(2, 480)] * 2
    assert {item.key for item in report.compared} == {"overall", "weighted_f1(discrete)", "mse(valence)"}
    record = json.loads((tmp_path / "search/best/run.json").read_text("utf-8"))
    assert record["options"].items() >= {**fixed, **search.best_trial.options}.items()
    assert search.best_trial.value == pytest.approx(
        tuple(record["runs"][0]["cross_validated"][key] for key in ("overall", "weighted_f1(discrete)")), abs=1e-12
    )


@pytest.mark.slow
def test_more_trials_are_added_to_a_search_and_its_scorings_counted(small_track: SmallTrack, tmp_path: Path) -> None:
    track, few = small_track(), replace(QUICK, trials=1, search={"alpha": {"low": 1, "high": 1e6, "log": True}})
    first = searched(track, tmp_path / "search", few)
    assert searched(track, tmp_path / "search", few).n_scored == 1
    default = tmp_path / "search/default/run.json"
    trained = default.stat().st_mtime_ns
    more = searched(track, tmp_path / "search", replace(few, trials=8))
    assert default.stat().st_mtime_ns == trained  # the default options are trained once
    assert more.searches[0].trials[:1] == first.searches[0].trials
    assert more.searches[0].best != 0
    assert more.n_scored == 2
    with pytest.raises(UsageError, match=r"has 8 trials, 5 are asked for; ask for 8 or more"):
        searched(track, tmp_path / "search", replace(few, trials=5))


@pytest.mark.slow
def test_another_search_is_not_continued(small_track: SmallTrack, tmp_path: Path) -> None:
    track, folder = small_track(), tmp_path / "search"
    small = replace(QUICK, trials=2, runs=1)
    searched(track, folder, small)
    for other, named in [
        (replace(small, seed=1), "seed: 0, now 1"),
        (replace(small, options={"scale": "all"}), "options: "),
        (replace(small, search={"alpha": [1.0]}), "search: "),
        (replace(small, learning={"folds": 3}), "folds: .* training: "),
        (replace(small, features=["loud"]), "features: "),
    ]:
        with pytest.raises(IntegrityError, match=rf"different inputs \({named}.*--force begins again"):
            searched(track, folder, other)
    with pytest.raises(IntegrityError, match=r"different inputs \(baseline: logistic, now majority"):
        searched(
            track, folder, replace(small, search={}, options={}), write(tmp_path / "majority", TOML + SHRINK, MODEL)
        )
    tune(track, "logistic", replace(small, seed=1), output=folder, replace=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty and has no study.jsonl"):
        tune(track, "logistic", small, output=tmp_path / "notes", replace=True)


SHRINK = "[search]\nshrink = { low = 0.0, high = 1.0 }\n"


def test_trials_that_fail_are_listed(small_track: SmallTrack, tmp_path: Path) -> None:
    own = write(tmp_path / "own", TOML + "[search]\nfails = [false, true]\n", MODEL)
    track = small_track()
    report = searched(track, tmp_path / "search", SearchSettings(trials=6, runs=1), own)
    states = [trial.state for trial in report.searches[0].trials]
    assert set(states) == {"complete", "failed"}
    assert report.n_failed == states.count("failed")
    assert any("failed: training diverged" in note for note in report.notes())
    assert report.searches[0].best_of[-1].expected is None
    with pytest.raises(UsageError, match=r"none of 2 trials has a value\ntraining diverged"):
        searched(track, tmp_path / "none", SearchSettings(trials=2, search={"fails": [True]}), own)


@pytest.mark.slow
def test_pruned_trials_cost_less_and_are_never_the_best(small_track: SmallTrack, tmp_path: Path) -> None:
    own = write(tmp_path / "own", TOML.replace("epochs = 3", "epochs = 20") + SHRINK, MODEL)
    settings = SearchSettings(trials=12, runs=1, pruning=True)
    track = small_track()
    search = searched(track, tmp_path / "search", settings, own).searches[0]
    pruned = [trial for trial in search.trials if trial.state == "pruned"]
    assert pruned and search.best_trial.state == "complete"
    for trial in search.trials:
        assert (trial.epochs, trial.sample_epochs) == ((10, 2400) if trial in pruned else (20, 4800))
        assert bool(trial.value) == (trial not in pruned)
    without = searched(track, tmp_path / "without", replace(settings, pruning=False), own).searches[0]
    assert {trial.state for trial in without.trials} == {"complete"}


@pytest.mark.parametrize(("sign", "reported"), [(1, [3.0, 4.5]), (-1, [-3.0, -2.5])])
def test_pruning_is_reported_the_best_values_so_far_of_the_folds(sign: int, reported: list[float]) -> None:
    given: list[float] = []

    class Watched:
        def should_stop(self, epoch: int, value: float) -> bool:
            given.append(value)
            return False

    log = _TrialLog(Watched(), sign)  # type: ignore[arg-type]
    for values in ([4.0, 2.0], [3.0, 5.0]):  # the best of (4, 3) and (2, 5): 4 and 5, or 3 and 2 if lower is better
        log.epoch(1, {"loss": np.ones(2), "value": np.array(values)})
    assert given == reported


def test_the_best_options_are_those_of_the_trial(small_track: SmallTrack, tmp_path: Path) -> None:
    own = write(tmp_path / "own", TOML + SHRINK + "[select]\nepochs = [5, 7]\n", MODEL)
    report = searched(small_track(), tmp_path / "search", SearchSettings(trials=2, runs=1, device="cpu"), own)
    records = {name: json.loads((tmp_path / "search" / name / "run.json").read_text("utf-8")) for name in BOTH}
    best = report.searches[0].best_trial
    assert records["best"]["options"] == {"shrink": best.options["shrink"], "epochs": 3, "fails": False}
    assert records["best"]["selection"] == [] and best.epochs == 3
    # the default ones are those of `run-baseline`, which selects
    assert len(records["default"]["selection"]) == 2
    assert "of the default options, epochs are selected" in " ".join(report.notes())


def test_a_run_of_another_baseline_is_not_taken_for_the_default_one(small_track: SmallTrack, tmp_path: Path) -> None:
    track, folder, few = small_track(), tmp_path / "search", replace(QUICK, trials=1, runs=1)
    first = searched(track, folder, few)
    own = write(tmp_path / "own", TOML, MODEL)
    run_baseline(track, own, RunSettings(seeds=[0], device="cpu"), output=folder / "default", replace=True)
    again = searched(track, folder, few)
    assert json.loads((folder / "default/run.json").read_text("utf-8"))["baseline"]["name"] == "logistic"
    assert again.compared == first.compared


BOTH = ("best", "default")


@pytest.mark.slow
def test_left_out_groups_are_searched_by_themselves(small_track: SmallTrack, tmp_path: Path) -> None:
    groups: dict[str, list[str | None]] = {"group": [f"g{n % 3}" for n in range(90)]}
    track = small_track(columns=groups)
    report = searched(track, tmp_path / "search", replace(QUICK, trials=4, learning={"leave_out": "group"}))
    assert [search.left_out for search in report.searches] == ["g0", "g1", "g2"]
    assert [len(search.trials) for search in report.searches] == [4, 4, 4]
    record = json.loads((tmp_path / "search/best/run.json").read_text("utf-8"))
    for search, part in zip(report.searches, record["parts"], strict=True):
        assert part["options"] == {"scale": "each", **search.best_trial.options}
    assert "the best options for each part" in report.to_text()


def test_the_command(
    small_track: SmallTrack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    track = str(small_track().folder)
    options = ["--trials", "3", "--runs", "1", "--set", "scale=each"]
    assert command(["tune", track, "--baseline", "logistic", *options, "--search", "alpha=[1.0, 10.0]"]) == 0
    printed = capsys.readouterr().out
    assert "3 trials (3 complete)" in printed and "searched: alpha: 1.0, 10.0" in printed
    assert "wrote runs/small/tuning-logistic" in printed
    own = str(write(tmp_path / "own", TOML + "[search]\nfails = [false, true]\n", MODEL))
    assert command(["tune", track, "--baseline", own, "--trials", "6", "--runs", "1"]) == 5
    assert "failed: 4 of the trials" in capsys.readouterr().err
    for wrong, message in [
        (["--set", "alpha=1.0", "--search", "alpha=[1.0]"], "both given and searched"),
        (["--search", "alfa=[1.0]"], "alfa: is not an option of baseline 'logistic'"),
        (["--search", "alpha=1.0"], "neither a list of values nor a range"),
        (["--baseline", "majority"], "no option is searched"),
        (["--trials", "0"], "must be at least 1"),
    ]:
        assert command(["tune", track, "--baseline", "logistic", "--output", str(tmp_path / "x"), *wrong]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(("uses_seed", "seeds"), [("true", (0, 1)), ("false", (0,))])
def test_options_are_trained_once_where_another_seed_gives_the_same(
    small_track: SmallTrack, tmp_path: Path, uses_seed: str, seeds: tuple[int, ...]
) -> None:
    own = write(tmp_path / "own", f"uses_seed = {uses_seed}\n" + TOML + SHRINK, MODEL)
    report = searched(small_track(), tmp_path / "search", SearchSettings(trials=1, runs=2, device="cpu"), own)
    assert report.seeds == seeds
    record = json.loads((tmp_path / "search" / "best" / "run.json").read_text("utf-8"))
    assert [run["seed"] for run in record["runs"]] == list(seeds)
