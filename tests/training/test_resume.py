"""A run that was interrupted goes on: what was trained is not trained again, and the result is the same, byte for byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from merbench.errors import UsageError
from merbench.training import run_baseline
from merbench.training.resume import unfinished
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
    expected = run_baseline(track, counting, output=tmp_path / "expected", intervals=False)
    whole = fits(counting)
    # Three parts: selection tries two values in two folds; then two seeds, each two folds and all samples of the part.
    assert len(whole) == 3 * (2 * 2) + 2 * 3 * 3
    assert expected.n_resumed == 0

    (counting / "ends-after").write_text(str(ends_after))
    with pytest.raises(KeyboardInterrupt):
        run_baseline(track, counting, output=tmp_path / "run", intervals=False)
    assert not (tmp_path / "run").exists()
    assert len(fits(counting)) == ends_after
    again = run_baseline(track, counting, output=tmp_path / "run", intervals=False)
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
        run_baseline(track, counting, output=tmp_path / "run", intervals=False)
    assert (tmp_path / ".run.unfinished").is_dir()
    run = run_baseline(track, counting, options={"bias": 0.5}, output=tmp_path / "run", intervals=False)
    assert run.n_resumed == 0
    assert not (tmp_path / ".run.unfinished").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"{}"])
def test_what_cannot_be_read_is_trained_again(
    content: bytes, small_track: SmallTrack, counting: Path, tmp_path: Path
) -> None:
    track = small_track()
    expected = run_baseline(track, counting, output=tmp_path / "expected", intervals=False)
    fits(counting)
    (counting / "ends-after").write_text("7")
    with pytest.raises(KeyboardInterrupt):
        run_baseline(track, counting, output=tmp_path / "run", intervals=False)
    stored = list((tmp_path / ".run.unfinished").rglob("trained.safetensors"))
    stored += list((tmp_path / ".run.unfinished").rglob("selected.json"))
    assert len(stored) == 2
    for path in stored:
        path.write_bytes(content)
    run = run_baseline(track, counting, output=tmp_path / "run", intervals=False)
    assert run.n_resumed == 0
    assert without_time(run.folder) == without_time(expected.folder)


def test_two_processes_do_not_train_the_same_run(tmp_path: Path) -> None:
    with (
        unfinished(tmp_path / "run", "0" * 64),
        pytest.raises(UsageError, match=r"run: another process is training this run$"),
        unfinished(tmp_path / "run", "0" * 64),
    ):
        pass


def test_nothing_is_left_where_nothing_was_trained(small_track: SmallTrack, counting: Path, tmp_path: Path) -> None:
    (counting / "ends-after").write_text("0")
    with pytest.raises(KeyboardInterrupt):
        run_baseline(small_track(), counting, output=tmp_path / "run", intervals=False)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_run_goes_on_after_kill_9(small_track: SmallTrack, counting: Path, tmp_path: Path) -> None:
    track = small_track()
    expected = run_baseline(track, counting, output=tmp_path / "expected", intervals=False)
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
