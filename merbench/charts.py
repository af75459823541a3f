"""Numbers go in, pictures come out: SVG or PNG, by the suffix of the path.

Conventions:
    The same numbers give the same bytes with one version of matplotlib: no date, no random ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import MissingExtra
from merbench.files import atomic_path

LOSS, VALUE, SPREAD = "#b3531c", "#1f5f99", 0.18


def training_curve(
    path: Path,
    loss: NDArray[np.float64],
    value: NDArray[np.float64],
    best_epoch: Sequence[int],
    *,
    value_name: str,
) -> None:
    """Draw how folds trained: mean and range of the loss, and of the value on the folds left out, with the epochs kept.

    Args:
        path: `.svg` or `.png` file to write.
        loss: `(epochs, folds)` training loss.
        value: `(epochs, folds)` value on the fold left out.
        best_epoch: the epoch kept of every fold, from 1.
        value_name: what the value is.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure = _figure(6.4, 3.6)
    axes = figure.add_subplot()
    epochs = np.arange(1, len(loss) + 1)
    _band(axes, epochs, loss, LOSS)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss", color=LOSS)
    right = axes.twinx()
    _band(right, epochs, value, VALUE)
    kept = [value[epoch - 1, fold] for fold, epoch in enumerate(best_epoch)]
    right.plot(best_epoch, kept, "o", color=VALUE, markersize=4, label="epoch kept, per fold")
    right.set_ylabel(f"{value_name} on the fold left out", color=VALUE)
    right.legend(loc="center right", frameon=False, fontsize="small")
    _save(figure, path)


def _band(axes: Any, x: NDArray[Any], values: NDArray[np.float64], colour: str) -> None:
    finite = np.where(np.isfinite(values), values, np.nan)
    held = ~np.isnan(finite).all(1)
    axes.plot(x[held], np.nanmean(finite[held], 1), color=colour)
    axes.fill_between(
        x[held], np.nanmin(finite[held], 1), np.nanmax(finite[held], 1), color=colour, alpha=SPREAD, linewidth=0
    )


def require_matplotlib() -> None:
    """Raise `MissingExtra` where there is nothing to draw with: before long work whose result is to be drawn."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingExtra("a chart (matplotlib)", "baselines")


def _figure(width: float, height: float) -> Any:
    """Return an empty figure, in inches; pyplot and its global state are left out."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    form = path.suffix.removeprefix(".")
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": "merbench"}), atomic_path(path) as target:
        figure.savefig(target, format=form, dpi=150, metadata=metadata)
