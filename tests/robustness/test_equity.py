"""The modality equity index against values by hand, and which conditions show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.robustness.equity import absences, drops_of, equity
from merbench.robustness.report import ConditionRow, CurveReport


def index(*drops: float) -> float:
    return float(equity(np.array(drops)[:, None])[0])


@pytest.mark.parametrize(
    ("drops", "expected"),
    [
        ((0.2, 0.1), 0.8),  # shares 2/3 and 1/3: 1 / (4/9 + 1/9) = 1.8, of two modalities 0.8
        ((0.3, 0.2, 0.1), 11 / 14),  # shares 1/2, 1/3, 1/6: 1 / (14/36) = 18/7, and (18/7 - 1) / 2
        ((0.1, 0.1, 0.1), 1.0),
        ((0.4, 0.0, 0.0), 0.0),
        ((0.2, 0.2, 0.0), 0.5),  # two of three modalities, equally
        ((0.2, 0.2, -0.7), 0.5),  # what is gained without a modality is no dependence on it
    ],
)
def test_the_index_is_the_effective_number_of_modalities(drops: tuple[float, ...], expected: float) -> None:
    assert index(*drops) == pytest.approx(expected, abs=1e-12)


def test_without_any_drop_there_is_no_index() -> None:
    assert np.isnan(equity(np.array([[0.0, -0.1], [0.0, 0.0]]))).all()


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=4), st.floats(0.01, 100), st.randoms())
def test_the_index_depends_on_shares_only(drops: list[float], scale: float, random: Any) -> None:
    value = index(*drops)
    assert 0 <= value <= 1
    assert index(*(scale * drop for drop in drops)) == pytest.approx(value, abs=1e-9)
    random.shuffle(drops)
    assert index(*drops) == pytest.approx(value, abs=1e-9)


def curve(corruption: str, parameter: str, values: list[Any], **declared: Any) -> CurveReport:
    rows = tuple(ConditionRow(value, ()) for value in values)
    return CurveReport(parameter, "", corruption, corruption, "features", declared, rows, ())


TWO, THREE = ("audio", "text"), ("audio", "text", "video")
PATTERNS = curve("modality_pattern", "pattern", ["a", "v", "t", "av", "at", "vt"])


def places(
    curves: list[CurveReport], modalities: tuple[str, ...]
) -> list[tuple[str, dict[str, list[tuple[int, int]]]]]:
    return [
        (group.title, {name: list(own) for name, own in group.places.items()}) for group in absences(curves, modalities)
    ]


def test_of_six_patterns_those_that_lack_one_modality_show_its_drop() -> None:
    assert places([PATTERNS], THREE) == [("modality_pattern", {"text": [(0, 4)], "video": [(0, 5)], "audio": [(0, 6)]})]
    # of two modalities, `a` and `av` lack the text, `t` and `vt` the audio
    assert places([PATTERNS], TWO) == [("modality_pattern", {"text": [(0, 1), (0, 4)], "audio": [(0, 3), (0, 6)]})]
    assert places([PATTERNS], ("audio",)) == []


def test_the_absence_of_each_modality_is_compared_at_the_same_rates() -> None:
    absent = curve("modality_absence", "modality", ["audio", "text", "video"], rate=0.5)
    assert places([absent], THREE) == [("modality_absence", {"audio": [(0, 1)], "text": [(0, 2)], "video": [(0, 3)]})]
    assert places([curve("modality_absence", "modality", ["audio", "video"])], THREE) == []
    drawn = curve("modality_absence", "modality", ["audio", "text"], rate={"uniform": [0, 1]})
    assert places([drawn], TWO) == []
    assert places([curve("feature_noise", "snr_db", [1, 2])], TWO) == []


def test_imbalanced_rates_show_it_where_the_other_modalities_are_complete() -> None:
    audio = curve("imbalanced_missing", "audio", [0.0, 0.4, 0.8])
    text = curve("imbalanced_missing", "text", [0.4, 0.6, 0.8])
    # 0.6 is a rate of one of them only
    assert places([audio, text], TWO) == [("imbalanced_missing", {"audio": [(0, 2), (0, 3)], "text": [(1, 1), (1, 3)]})]
    both = curve("imbalanced_missing", "audio", [0.4, 0.8], text=0.2)
    assert places([both, text], TWO) == []


def test_the_drop_is_from_clean_samples_to_the_mean_without_a_modality() -> None:
    table = np.array([[0.9], [0.5], [0.7], [0.8]])
    drops = drops_of([table], {"audio": [(0, 1), (0, 2)], "text": [(0, 3)]}, 1.0)
    assert drops[:, 0] == pytest.approx([0.3, 0.1], abs=1e-12)
    assert drops_of([table], {"audio": [(0, 1)]}, -1.0)[0] == pytest.approx(-0.4, abs=1e-12)
