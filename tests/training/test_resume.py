"""A run that was interrupted goes on: what was trained is not trained again, and the result is the same, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from merbench.errors import MerbenchError, UsageError
from merbench.track import Track
from merbench.training import RunSettings, run_baseline
from merbench.training.resume import unfinished
from merbench.training.run import kept_run
from tests.training.conftest import SmallTrack
from tests.training.test_plan import parted

COUNTING = '''
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merbench.training import FeatureSet, Predictions, Setup, TrainingSet

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    bias: float


class Counting:
    """The mean of the first feature of every fit, and a log of fits; it ends itself where a file says so."""

    def __init__(self, options: Options, setup: Setup) -> None:
        self.options, self.setup = options, setup

    def fit(self, train: TrainingSet) -> None:
        log = HERE / "fits"
        fits = log.read_text().split() if log.exists() else []
        ends = HERE / "ends-after"
        if ends.exists() and len(fits) == int(ends.read_text()):
            ends.unlink()
            if (HERE / "kill").exists():
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        log.write_text(" ".join([*fits, f"{self.setup.seed}/{len(train)}"]))
        self.track, self.mean = train.track, next(iter(train.features.values())).mean() + self.options.bias

    def predict(self, test: FeatureSet) -> Predictions:
        first = next(iter(test.features.values()))[:, 0] + self.mean + self.setup.seed
        share = 1 / (1 + np.exp(-first.astype(np.float64)))
        return Predictions({"discrete": np.stack([share, (1 - share) / 2, (1 - share) / 2], axis=1), "valence": share})


def build(options: Options, setup: Setup) -> Counting:
    return Counting(options, setup)
'''


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    folder = tmp_path / "counting"
    folder.mkdir()
    (folder / "model.py").write_text(COUNTING)
    (folder / "baseline.toml").write_text(
        'title = "Counting"\nseeds = [0, 1]\nfolds = 2\ndefaults = { bias = 0.0 }\nselect = { bias = [0.0, 0.5] }\n'
    )
    return folder


def fits(counting: Path) -> list[str]:
    log = counting / "fits"
    done = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return done


def without_time(folder: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads((folder / "run.json").read_text())
    return {key: value for key, value in record.items() if key != "wall_time_s"}


@pytest.mark.parametrize("ends_after", [5, 13, 15, 23])
def test_an_interrupted_run_goes_on_where_it_was(
    ends_after: int, small_track: SmallTrack, counting: Path, tmp_path: Path
) -> None:
    track = parted(small_track)
    expected = run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "expected")
    whole = fits(counting)
    # Three parts: selection tries two values in two folds; then two seeds, each two folds and all samples of the part.
    assert len(whole) == 3 * (2 * 2) + 2 * 3 * 3
    assert expected.n_resumed == 0

    (counting / "ends-after").write_text(str(ends_after))
    with pytest.raises(KeyboardInterrupt):
        run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(fits(counting)) == ends_after
    again = run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "run")
    selected, trained = min(ends_after // 4, 3), max(0, ends_after - 12) // 3
    assert again.n_resumed == trained
    assert fits(counting) == whole[4 * selected : 12] + whole[12 + 3 * trained :]
    for name in ("submission.csv", "seed-1/submission.csv", "probabilities.parquet"):
        assert (again.folder / name).read_bytes() == (expected.folder / name).read_bytes()
    assert without_time(again.folder) == without_time(expected.folder)
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_a_run_of_other_inputs_does_not_use_what_was_trained(
    small_track: SmallTrack, counting: Path, tmp_path: Path
) -> None:
    track = small_track()
    (counting / "ends-after").write_text("7")  # the first seed is trained
    with pytest.raises(KeyboardInterrupt):
        run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "run")
    assert (tmp_path / ".run.unfinished").is_dir()
    run = run_baseline(track, counting, RunSettings(options={"bias": 0.5}, intervals=False), output=tmp_path / "run")
    assert run.n_resumed == 0
    assert (run.folder / "run.json").is_file()
    fits(counting)
    again = run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "run", replace=True)
    assert again.n_resumed == 1  # a run with other inputs does not remove it
    assert not (tmp_path / ".run.unfinished").exists()


def test_a_selection_that_is_interrupted_keeps_its_trials(
    small_track: SmallTrack, counting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    track = small_track()
    expected = run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "expected")
    every = fits(counting)  # two trials in two folds, then two seeds
    (counting / "ends-after").write_text("3")
    with pytest.raises(KeyboardInterrupt):
        run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "run")
    fits(counting)
    kept = tmp_path / ".run.unfinished"
    assert capsys.readouterr().err == f"kept in {kept}: 1 selection; the same command goes on\n"
    run = run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "run")
    assert fits(counting) == every[2:]
    assert without_time(run.folder) == without_time(expected.folder)


def test_a_run_that_appeared_meanwhile_is_kept(small_track: SmallTrack, counting: Path, tmp_path: Path) -> None:
    def appear(*_: object) -> None:
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "run.json").write_text("another's")

    with pytest.raises(UsageError, match="run: already contains a run; --force replaces it"):
        run_baseline(small_track(), counting, RunSettings(intervals=False), output=tmp_path / "run", progress=appear)
    assert (tmp_path / "run" / "run.json").read_text() == "another's"


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"{}"])
def test_what_cannot_be_read_is_trained_again(
    content: bytes, small_track: SmallTrack, counting: Path, tmp_path: Path
) -> None:
    track = small_track()
    expected = run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "expected")
    fits(counting)
    (counting / "ends-after").write_text("7")
    with pytest.raises(KeyboardInterrupt):
        run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "run")
    stored = list((tmp_path / ".run.unfinished").rglob("trained.safetensors"))
    stored += list((tmp_path / ".run.unfinished").rglob("selected.json"))
    assert len(stored) == 2
    for path in stored:
        path.write_bytes(content)
    run = run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "run")
    assert run.n_resumed == 0
    assert without_time(run.folder) == without_time(expected.folder)


@pytest.mark.parametrize("digest", ["0" * 64, "1" * 64])
def test_two_processes_do_not_train_into_the_same_folder(digest: str, tmp_path: Path) -> None:
    with (
        unfinished(tmp_path / "run", "0" * 64),
        pytest.raises(UsageError, match=r"run: another process is training a run into this folder$"),
        unfinished(tmp_path / "run", digest),
    ):
        pass


def test_nothing_is_left_where_nothing_was_trained(small_track: SmallTrack, counting: Path, tmp_path: Path) -> None:
    (counting / "ends-after").write_text("0")
    with pytest.raises(KeyboardInterrupt):
        run_baseline(small_track(), counting, RunSettings(intervals=False), output=tmp_path / "run")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_run_goes_on_after_kill_9(small_track: SmallTrack, counting: Path, tmp_path: Path) -> None:
    track = small_track()
    expected = run_baseline(track, counting, RunSettings(intervals=False), output=tmp_path / "expected")
    fits(counting)
    (counting / "ends-after").write_text("8")
    (counting / "kill").touch()
    command = [sys.executable, "-m", "merbench", "run-baseline", str(track.folder), "--baseline", str(counting)]
    command += ["--output", str(tmp_path / "run"), "--no-intervals"]
    killed = subprocess.run(command, check=False, capture_output=True, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    assert "went on from an interrupted run: 1 of 2 models had been trained" in done.stdout
    own, others = (without_time(folder) | {"versions": None} for folder in (tmp_path / "run", expected.folder))
    assert own == others  # this process has imported more packages


def test_a_lock_that_its_owner_removed_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = tmp_path / ".run.unfinished"
    locked: list[int] = []

    def lock(descriptor: int, message: str) -> None:
        locked.append(descriptor)
        if len(locked) == 1:  # the other process ends between opening and locking
            shutil.rmtree(every)

    monkeypatch.setattr("merbench.training.resume.require_alone", lock)
    with unfinished(tmp_path / "run", "0" * 64):
        assert (every / "lock").is_file()
    assert len(locked) == 2
    assert not every.exists()


def test_a_run_is_kept_as_long_as_its_seeds_and_inputs_are_the_same(
    small_track: SmallTrack, counting: Path, tmp_path: Path
) -> None:
    track, folder = small_track(), tmp_path / "run"
    how = RunSettings(options={"bias": 0.5}, intervals=False)
    seconds = []

    def kept(settings: RunSettings, track: Track = track) -> list[str]:
        """Return what was trained."""
        stored = kept_run(track, counting, settings, output=folder)
        seconds.append(stored.content["wall_time_s"])
        assert stored.folder == folder and [run.seed for run in stored.record.runs] == list(settings.seeds or (0, 1))
        return fits(counting)

    # two folds and the model of all samples, for each seed
    first = kept(how)
    assert len(first) == 6
    before = without_time(folder)
    assert kept(how) == [] and without_time(folder) == before and seconds[0] == seconds[1]
    assert kept(replace(how, intervals=True, workers=2)) == []  # which the models do not depend on
    for other in (
        replace(how, seeds=[0]),
        replace(how, seeds=[1, 0]),
        replace(how, options={"bias": 0.25}),
        replace(how, options={}),
        replace(how, learning={"folds": 3}),
        replace(how, features=["loud"]),
    ):
        assert kept(other) and without_time(folder) != before
        assert kept(other) == []
    assert kept(how) == first and without_time(folder) == before
    assert kept(how, small_track("other", columns={"speaker": [f"p{n % 9}" for n in range(90)]})) != []
    assert kept(how) == first
    (counting / "model.py").write_text(COUNTING + "# changed\n")
    assert kept(how) == first and without_time(folder) != before


def test_what_is_not_a_run_is_not_replaced_by_one(small_track: SmallTrack, counting: Path, tmp_path: Path) -> None:
    track = small_track()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty and has no run\.json"):
        kept_run(track, counting, RunSettings(), output=tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("mine")
    with pytest.raises(MerbenchError, match=r"run\.json"):
        kept_run(track, counting, RunSettings(), output=tmp_path / "run")
    assert not fits(counting) and (tmp_path / "run" / "mine.txt").read_text() == "mine"
