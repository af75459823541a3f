"""The record that the decorator makes: what a track may declare, and what scoring calls."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from merbench.errors import UnknownName, UsageError
from merbench.metrics import METRICS
from merbench.metrics.continuous import ccc
from merbench.metrics.metric import Array, metric


def test_the_number_of_labels_is_supplied_and_other_parameters_are_declared() -> None:
    assert dict(METRICS["weighted_f1"].parameters) == {}
    labels = METRICS["macro_f1"].parameters["labels"]
    assert (labels.default, labels.annotation) == ("declared", Literal["declared", "present"])
    label = METRICS["f1"].parameters["label"]
    assert (label.is_required, label.allowed) == (True, "one of the labels")
    assert METRICS["ccc"].parameters["form"].annotation == Literal["population", "unbiased"]


def test_an_unknown_metric_is_reported_with_its_nearest_match() -> None:
    with pytest.raises(UnknownName, match=r"no metric named 'wieghted_f1'; did you mean 'weighted_f1'\? \(known: "):
        METRICS["wieghted_f1"]


def test_a_metric_of_another_package_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "largest_error"

        @staticmethod
        def load() -> object:
            @metric(target="continuous", higher_is_better=False, bounds=(0, np.inf), formula="largest error")
            def largest_error(reference: Array, prediction: Array, weights: Array) -> Array:
                return np.asarray((np.abs(reference - prediction) * (weights > 0)).max(axis=1))

            return largest_error

    monkeypatch.setattr("merbench.registry._entry_points", lambda group: [Point] if group == "merbench.metrics" else [])
    monkeypatch.setattr(METRICS, "_items", dict(METRICS._items))
    assert "largest_error" in METRICS
    values = METRICS["largest_error"](np.array([1.0, 2.0]), np.array([1.5, 5.0]), np.array([[1, 1], [1, 0]]))
    assert values.tolist() == [3.0, 0.5]


def test_a_name_is_taken_once() -> None:
    with pytest.raises(UsageError, match="metric 'ccc' is registered twice"):
        metric(target="continuous", higher_is_better=True, bounds=(-1, 1), formula="")(ccc)


def test_parameters_that_no_track_could_declare_are_refused() -> None:
    def by_place(reference: Array, prediction: Array, weights: Array, k: int = 1) -> Array:
        return weights[:, 0]

    def untyped(reference: Array, prediction: Array, weights: Array, *, k=1) -> Array:  # type: ignore[no-untyped-def]
        return weights[:, 0]

    decorator = metric(target="continuous", higher_is_better=True, bounds=(0, 1), formula="")
    with pytest.raises(UsageError, match=r"^by_place: parameter 'k' must follow a '\*'"):
        decorator(by_place)
    with pytest.raises(UsageError, match=r"^untyped: parameter 'k' needs an annotation"):
        decorator(untyped)
    with pytest.raises(UsageError, match=r"not 'categoric'$"):
        metric(target="categoric", higher_is_better=True, bounds=(0, 1), formula="")  # type: ignore[arg-type]
    assert "by_place" not in METRICS
