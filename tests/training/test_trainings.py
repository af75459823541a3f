"""Processes share the trainings of a run; the files are the same with any number of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.errors import UsageError
from merbench.training import RunSettings, run_baseline
from merbench.training.resume import Unfinished
from tests.training.conftest import SmallTrack
from tests.training.test_declaration import write
from tests.training.test_plan import parted
from tests.training.test_run import QUICK

TOML = (
    'title = "Where"\nseeds = [0, 1]\nfolds = 2\ndefaults = { bias = 0.0, fails_with = -1 }\n'
    "select = { bias = [0.0, 0.5] }\n"
)

WHERE = '''
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merbench.errors import UsageError
from merbench.training import Predictions


@dataclass(frozen=True)
class Options:
    bias: float
    fails_with: int


class Where:
    """The mean of the first feature, with a weight; every fit leaves the number of its process."""

    def __init__(self, options, setup):
        self.options, self.setup = options, setup

    def fit(self, train):
        if self.setup.seed == self.options.fails_with:
            raise UsageError("nothing can be learned with this seed")
        (Path(__file__).parent / f"process-{os.getpid()}").touch()
        self.mean = next(iter(train.features.values())).mean(dtype=np.float64) + self.options.bias + self.setup.seed

    def predict(self, test):
        first = next(iter(test.features.values()))[:, 0] + self.mean
        share = 1 / (1 + np.exp(-first.astype(np.float64)))
        return Predictions({"discrete": np.stack([share, (1 - share) / 2, (1 - share) / 2], axis=1), "valence": share})

    def weights(self):
        return {"mean": np.array([self.mean])}

    def restore(self, weights, track, widths):
        self.mean = weights["mean"][0]


def build(options, setup):
    return Where(options, setup)
'''


def contents(folder: Path) -> dict[str, Any]:
    """Return the files of a run: their bytes; the record without the time, and without what this process imported."""
    files: dict[str, Any] = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    record = json.loads(files.pop("run.json"))
    return {**files, "run.json": {key: record[key] for key in record if key not in ("wall_time_s", "versions")}}


def processes(folder: Path) -> set[str]:
    numbers = {path.name.removeprefix("process-") for path in folder.glob("process-*")}
    for path in folder.glob("process-*"):
        path.unlink()
    return numbers


@pytest.mark.slow
def test_processes_share_seeds_and_parts_and_write_the_same(small_track: SmallTrack, tmp_path: Path) -> None:
    track, where = parted(small_track), write(tmp_path / "where", TOML, WHERE)
    runs = []
    for workers in (1, 2):
        steps: list[tuple[str, int, int]] = []
        runs.append(
            run_baseline(
                track,
                where,
                RunSettings(intervals=False, workers=workers),
                output=tmp_path / str(workers),
                progress=lambda *step, steps=steps: steps.append(step),  # type: ignore[misc]
            )
        )
        assert (processes(where) == {str(os.getpid())}) == (workers == 1)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert "models/seed-1-2.safetensors" in contents(tmp_path / "2")
    # Of two processes: options of three parts, then two seeds of each.
    assert steps == [("selection", n, 3) for n in range(4)] + [("models", n, 6) for n in range(7)]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_cluster_trains_the_same_from_folders_named_here(
    small_track: SmallTrack, tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parted(small_track)
    write(tmp_path / "where", TOML, WHERE)
    monkeypatch.chdir(tmp_path)  # the processes of the cluster are elsewhere
    (track,) = Path("tracks").glob("*/*/")
    for name, engine in (("here", "local"), ("there", cluster)):
        how = RunSettings(intervals=False, engine=engine)
        run_baseline(track, Path("where"), how, output=name)
        assert (processes(tmp_path / "where") == {str(os.getpid())}) == (name == "here")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there", "tracks", "where"]


class Kept:
    """A log of the epochs of every training."""

    def __init__(self) -> None:
        self.epochs: dict[str, list[tuple[int, dict[str, list[float]]]]] = {}

    def __call__(self, name: str) -> Kept.One:
        return self.One(self.epochs.setdefault(name, []))

    class One:
        def __init__(self, epochs: list[tuple[int, dict[str, list[float]]]]) -> None:
            self.epochs = epochs

        def epoch(self, epoch: int, values: Mapping[str, np.ndarray]) -> None:
            self.epochs.append((epoch, {name: own.tolist() for name, own in values.items()}))


@pytest.mark.slow
def test_networks_of_several_processes_are_the_same_and_logged(small_track: SmallTrack, tmp_path: Path) -> None:
    track, logs = small_track(), [Kept(), Kept()]
    for workers, log in enumerate(logs, start=1):
        how = RunSettings(seeds=[0, 3], device="cpu", options=QUICK, intervals=False, workers=workers)
        run_baseline(track, "attention", how, output=tmp_path / str(workers), log=log)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert logs[0].epochs == logs[1].epochs
    assert sorted(logs[0].epochs) == ["small/attention/seed-0", "small/attention/seed-3"]
    versions = [json.loads((tmp_path / name / "run.json").read_text())["versions"] for name in "12"]
    assert versions[0] == versions[1]


@pytest.mark.slow
def test_what_others_trained_is_kept_where_one_fails(small_track: SmallTrack, tmp_path: Path) -> None:
    track, where = small_track(), write(tmp_path / "where", TOML, WHERE)
    how = RunSettings(options={"bias": 0.0, "fails_with": 1}, intervals=False, workers=2)
    with pytest.raises(UsageError, match="nothing can be learned with this seed"):
        run_baseline(track, where, how, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_packages_that_only_another_process_imported_are_in_the_record(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merbench.training.trainings.versions", lambda: {"only-there": "0.1"})
    run = run_baseline(small_track(), "majority", RunSettings(intervals=False), output=tmp_path / "run")
    versions = json.loads((run.folder / "run.json").read_text())["versions"]
    assert (versions["only-there"], versions["numpy"]) == ("0.1", np.__version__)
    state = Unfinished(tmp_path / "state")
    state.keep_trained(0, 0, run.seeds[0].parts[0])
    stored = state.trained(0, 0)
    assert stored is not None
    assert stored.versions == {"only-there": "0.1"}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"workers": 0}, "^the number of workers must be at least 1, not 0$"),
        ({"engine": "cluster"}, "^'cluster' is not an engine; allowed: local and dask://host:port$"),
    ],
)
def test_wrong_executions_are_reported(
    how: dict[str, Any], message: str, small_track: SmallTrack, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        run_baseline(small_track(), "majority", RunSettings(**how), output=tmp_path / "run")
