"""The values of every epoch of training: kept for the run's `history.parquet`, and passed on, to TensorBoard for one.

Conventions:
    Values of an epoch are `(folds,)` float64 by name: `loss`, `value` (the ranking value on the samples that the epoch
    is selected on), and a model's own losses. NaN is not a value: a fold that has stopped, or an epoch without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from merbench.errors import MissingExtra, OutputError, fault
from merbench.files.reading import arrow_file
from merbench.files.writing import atomic_path
from merbench.training.protocol import NO_LOG, Curve, Log

Values = Mapping[str, NDArray[np.float64]]

OpenLog = Callable[[str], Log]
"""Opens the log of a training by its name: `<track>/<baseline>/seed-0`; `…/seed-0/part-2` of several parts."""

FIRST = ("loss", "value")
"""The names that come first; the others follow by name."""

HISTORY = "history.parquet"


class Epochs:
    """A log that keeps the values of a training, and passes them on to another one.

    An epoch that is logged again, by a training that was interrupted and goes on, replaces what was kept of it.
    """

    def __init__(self, further: Log = NO_LOG) -> None:
        self.further = further
        self._kept: dict[int, dict[str, NDArray[np.float64]]] = {}

    def epoch(self, epoch: int, values: Values) -> None:
        """Keep the values of an epoch, from 1, and pass them on."""
        self._kept[epoch] = {name: np.array(each, dtype=np.float64) for name, each in values.items()}
        self.further.epoch(epoch, values)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the values by name, `(epochs, folds)`, from the first epoch to the last."""
        if not self._kept:
            return {}
        names = {name for values in self._kept.values() for name in values}
        n_folds = max(len(each) for values in self._kept.values() for each in values.values())
        arrays = {name: np.full((max(self._kept), n_folds), np.nan) for name in _ordered(names)}
        for epoch, values in self._kept.items():
            for name, each in values.items():
                arrays[name][epoch - 1, : len(each)] = each
        return arrays


def _ordered(names: set[str]) -> list[str]:
    return [name for name in FIRST if name in names] + sorted(names.difference(FIRST))


@dataclass(frozen=True, eq=False, slots=True)
class TrainingHistory:
    """The values of the epochs of one training of a run."""

    seed: int
    left_out: str | None  # the value whose samples it did not learn from, where values are left out in turn
    values: Values = field(repr=False)  # by name, `(epochs, folds)`


def write_history(folder: Path, histories: Sequence[TrainingHistory]) -> None:
    """Write `history.parquet` with a row per training, epoch and fold; nothing, if no training had epochs.

    Its columns are `seed`, `left_out` if values are left out in turn, `epoch` and `fold` from 1, and the values.
    """
    filled = [history for history in histories if history.values]
    if not filled:
        return
    names = _ordered({name for history in filled for name in history.values})
    tables = [_table(history, names) for history in filled]
    table = pa.concat_tables(tables)
    if all(history.left_out is None for history in filled):
        table = table.drop_columns(["left_out"])
    with atomic_path(folder / HISTORY) as temporary, arrow_file(temporary, "wb") as file:
        pq.write_table(table, file)


def _table(history: TrainingHistory, names: Sequence[str]) -> pa.Table:
    n_epochs, n_folds = next(iter(history.values.values())).shape
    nothing, n = np.full((n_epochs, n_folds), np.nan), n_epochs * n_folds
    columns: dict[str, Any] = {
        "seed": np.full(n, history.seed, dtype=np.int64),
        "left_out": pa.array([history.left_out] * n, pa.string()),
        "epoch": np.repeat(np.arange(1, n_epochs + 1, dtype=np.int32), n_folds),
        "fold": np.tile(np.arange(1, n_folds + 1, dtype=np.int32), n_epochs),
    }
    values = {name: pa.array(history.values.get(name, nothing).reshape(-1), from_pandas=True) for name in names}
    table = pa.table({**columns, **values})
    is_empty = np.logical_and.reduce([values[name].is_null().to_numpy(zero_copy_only=False) for name in names])
    return table.filter(pa.array(~is_empty))


def joined(curves: Sequence[Curve]) -> Curve:
    """Return the curves of several trainings as one, their folds next to each other; a shorter one ends in NaN."""
    n_epochs = max(len(curve.loss) for curve in curves)

    def side_by_side(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        longer = [np.pad(each, ((0, n_epochs - len(each)), (0, 0)), constant_values=np.nan) for each in arrays]
        return np.concatenate(longer, axis=1)

    best = tuple(epoch for curve in curves for epoch in curve.best_epoch)
    return Curve(side_by_side([curve.loss for curve in curves]), side_by_side([curve.value for curve in curves]), best)


class TensorBoard:
    """Writes event files that TensorBoard shows, one folder per training and fold; open it in a `with` block.

    What an earlier training of the same name wrote is replaced.

    Args:
        folder: what `tensorboard --logdir` is given; a training is in `<folder>/<name>/fold-<n>`.

    Raises:
        MissingExtra: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.summary import Writer
        except ImportError:
            raise MissingExtra("a log for TensorBoard", "tensorboard") from None
        self.folder = folder
        self._writer = Writer
        self._open: list[Any] = []

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._open:
            with suppress(OSError):
                writer.close()

    def __call__(self, name: str) -> Log:
        """Return the log of a training."""
        return _Events(self, self.folder / name)

    def opened(self, folder: Path) -> Any:
        """Return a writer into a folder."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            writer = self._writer(str(folder))
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written: {fault(error)}") from error
        self._open.append(writer)
        return writer


class _Events:
    def __init__(self, board: TensorBoard, folder: Path) -> None:
        self._board, self._folder = board, folder
        self._writers: dict[int, Any] = {}

    def epoch(self, epoch: int, values: Values) -> None:
        try:
            for name, each in values.items():
                for fold in np.flatnonzero(np.isfinite(each)).tolist():
                    self._writer(fold).add_scalar(name, each[fold], epoch)
            for writer in self._writers.values():
                writer.flush()
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be written: {fault(error)}") from error

    def _writer(self, fold: int) -> Any:
        if fold not in self._writers:
            self._writers[fold] = self._board.opened(self._folder / f"fold-{fold + 1}")
        return self._writers[fold]
