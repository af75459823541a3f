"""The values of every epoch: kept whatever their order, written as a table, and as events that TensorBoard reads."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from merbench.cli import run as command
from merbench.errors import MissingExtra, OutputError
from merbench.training import Curve, RunSettings, run_baseline
from merbench.training.history import Epochs, TensorBoard, TrainingHistory, joined, write_history
from tests.training.conftest import SmallTrack

NAN = float("nan")


def values(*folds: float) -> np.ndarray:
    return np.array(folds)


def test_epochs_are_kept_in_order_and_the_last_value_of_each_counts() -> None:
    passed: list[int] = []

    class Further:
        def epoch(self, epoch: int, values: Any) -> None:
            passed.append(epoch)

    log, loss = Epochs(Further()), values(3.0, 4.0)
    assert log.arrays() == {}
    log.epoch(1, {"value": values(0.1, 0.2), "loss": loss})
    loss[:] = 9  # the caller's array is its own
    log.epoch(2, {"loss": values(9.0, 9.0), "value": values(9.0, 9.0)})
    # an interrupted training goes on: its epochs are logged again; a new loss, and a fold that stopped
    log.epoch(2, {"loss": values(2.0, NAN), "value": values(0.3, NAN), "alignment": values(0.5, 0.6)})
    arrays = log.arrays()
    assert list(arrays) == ["loss", "value", "alignment"]
    np.testing.assert_array_equal(arrays["loss"], [[3, 4], [2, NAN]])
    np.testing.assert_array_equal(arrays["value"], [[0.1, 0.2], [0.3, NAN]])
    np.testing.assert_array_equal(arrays["alignment"], [[NAN, NAN], [0.5, 0.6]])
    assert passed == [1, 2, 2]


def test_a_history_has_a_row_per_training_epoch_and_fold(tmp_path: Path) -> None:
    first = {"loss": np.array([[3.0, 4.0], [2.0, NAN]]), "value": np.array([[0.1, 0.2], [0.3, NAN]])}
    second = {"loss": np.array([[1.0, 1.5]]), "own": np.array([[7.0, 8.0]])}
    write_history(
        tmp_path, [TrainingHistory(0, "a", first), TrainingHistory(5, "b", second), TrainingHistory(6, "c", {})]
    )
    table = pq.read_table(tmp_path / "history.parquet").to_pydict()
    assert table == {
        "seed": [0, 0, 0, 5, 5],
        "left_out": ["a", "a", "a", "b", "b"],
        "epoch": [1, 1, 2, 1, 1],
        "fold": [1, 2, 1, 1, 2],
        "loss": [3.0, 4.0, 2.0, 1.0, 1.5],
        "value": [0.1, 0.2, 0.3, None, None],
        "own": [None, None, None, 7.0, 8.0],
    }
    empty = tmp_path / "empty"
    empty.mkdir()
    write_history(empty, [TrainingHistory(0, None, {})])
    assert list(empty.iterdir()) == []


def test_curves_of_several_trainings_are_next_to_each_other() -> None:
    first = Curve(np.array([[3.0, 4.0], [1.0, 2.0]]), np.array([[0.1, 0.2], [0.3, 0.4]]), (2, 1))
    second = Curve(np.array([[5.0]]), np.array([[0.5]]), (1,))
    curve = joined([first, second])
    np.testing.assert_array_equal(curve.loss, [[3, 4, 5], [1, 2, NAN]])
    np.testing.assert_array_equal(curve.value, [[0.1, 0.2, 0.5], [0.3, 0.4, NAN]])
    assert curve.best_epoch == (2, 1, 1)


def test_a_run_has_the_values_that_its_curve_shows(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    options = {"hidden": [4], "epochs": 3}
    run = run_baseline(
        track, "attention", RunSettings(options=options, seeds=[0, 2], intervals=False), output=tmp_path / "run"
    )
    table = pq.read_table(run.folder / "history.parquet")
    assert table.column_names[:3] == ["seed", "epoch", "fold"] and table.num_rows == 2 * 3 * 5
    curve = run.seeds[0].parts[0].fit.curve
    assert curve is not None
    np.testing.assert_array_equal(table["loss"].to_numpy()[:15].reshape(3, 5), curve.loss)
    np.testing.assert_array_equal(table["value"].to_numpy()[:15].reshape(3, 5), curve.value)
    majority = run_baseline(track, "majority", RunSettings(intervals=False), output=tmp_path / "majority")
    assert not (majority.folder / "history.parquet").exists()


def shown(folder: Path, name: str) -> list[tuple[int, float]]:
    """Return the steps and values that TensorBoard reads from a folder."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(name)]


def test_events_are_what_tensorboard_reads(tmp_path: Path) -> None:
    for _ in range(2):  # a second training of the name replaces the first
        with TensorBoard(tmp_path) as board:
            log = board("small/attention/seed-0")
            log.epoch(1, {"loss": values(0.5, 0.25), "value": values(0.75, NAN)})
            log.epoch(2, {"loss": values(0.125, NAN), "value": values(1.0, -np.inf)})
    first, second = (tmp_path / "small" / "attention" / "seed-0" / f"fold-{fold}" for fold in (1, 2))
    assert shown(first, "loss") == [(1, 0.5), (2, 0.125)] and shown(first, "value") == [(1, 0.75), (2, 1.0)]
    assert shown(second, "loss") == [(1, 0.25)]
    assert len(list(tmp_path.rglob("events.*"))) == 2
    (tmp_path / "file").touch()
    with (
        TensorBoard(tmp_path / "file") as board,
        pytest.raises(OutputError, match="cannot be written: Not a directory"),
    ):
        board("x").epoch(1, {"loss": values(0.5)})


@pytest.mark.slow
def test_a_run_is_followed_while_it_trains(small_track: SmallTrack, tmp_path: Path) -> None:
    track, board = small_track(), tmp_path / "board"
    words = ["run-baseline", str(track.folder), "--set", "epochs=2", "--seed", "3", "--output", str(tmp_path / "run")]
    assert command([*words, "--no-intervals", "--tensorboard", str(board)]) == 0
    table = pq.read_table(tmp_path / "run" / "history.parquet").to_pydict()
    expected = [
        (epoch, loss)
        for epoch, fold, loss in zip(table["epoch"], table["fold"], table["loss"], strict=True)
        if fold == 2
    ]
    steps = shown(board / "small" / "attention" / "seed-3" / "fold-2", "loss")
    assert [step for step, _ in steps] == [1, 2]
    np.testing.assert_allclose([value for _, value in steps], [loss for _, loss in expected], rtol=1e-6)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **others: Any) -> Any:
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return imported(name, *rest, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"merbench\[tensorboard\]"):
        TensorBoard(tmp_path)
