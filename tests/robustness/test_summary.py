from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.report import Score
from merbench.robustness.report import Estimate, MeanError, Summary
from merbench.robustness.summary import Outcomes, best_values, mean_errors, summaries
from merbench.scoring import Resampling, area
from merbench.track import load_track
from tests.robustness.conftest import CorruptedTrack

HOW = Resampling(None, "percentile", 0.95, 100, None, 0)  # type: ignore[arg-type]
F1, MSE, ACCURACY = "weighted_f1(discrete)", "mse(valence)", "accuracy(discrete)"


Scores = tuple[Score, ...]


def scored(f1: float, mse: float) -> Scores:
    values = {"overall": f1 - 0.25 * mse, F1: f1, MSE: mse, ACCURACY: f1}
    return tuple(
        Score(key, key.split("(")[0], None, value, higher_is_better=key != MSE) for key, value in values.items()
    )


def outcomes(*values: tuple[float, float]) -> Outcomes:
    """Return the outcomes of one system, F1 and MSE: on clean samples, then under every condition."""
    return Outcomes([scored(*pair) for pair in values], [{} for _ in values])


SYSTEM = outcomes((0.9, 0.5), (0.8, 1.0), (0.5, 2.0), (0.2, 3.0))
REFERENCE = outcomes((0.6, 2.0), (0.5, 2.5), (0.4, 3.0), (0.4, 4.5))


def test_missing_rates_have_an_area_and_all_other_grids_a_mean(corrupted_track: CorruptedTrack) -> None:
    track = corrupted_track("")
    rates = [0.0, 0.5, 0.6]
    by_area = {item.key: item for item in summaries(track, rates, [SYSTEM], None)}
    by_mean = {item.key: item for item in summaries(track, None, [SYSTEM], None)}
    assert {item.kind for item in by_area.values()} == {"auilc"}
    assert by_area[F1].over.value == pytest.approx(np.trapezoid([0.8, 0.5, 0.2], rates), abs=1e-15)
    assert by_area[F1].over.value == pytest.approx(0.65 * 0.5 + 0.35 * 0.1, abs=1e-15)
    assert by_mean[F1].over.value == pytest.approx(0.5, abs=1e-15)  # without the clean 0.9
    assert by_mean[MSE].over.value == pytest.approx(2.0, abs=1e-15)
    assert by_mean[F1].corruption_error is None


def test_corruption_errors_are_ratios_of_sums_of_errors(corrupted_track: CorruptedTrack) -> None:
    rows = {item.key: item for item in summaries(corrupted_track(""), None, [SYSTEM, REFERENCE], None)}
    # F1, errors 0.2 + 0.5 + 0.8 of the system and 0.5 + 0.6 + 0.6 of the other
    assert rows[F1].corruption_error == Estimate(pytest.approx(1.5 / 1.7, abs=1e-15))
    # above the clean errors 0.1 and 0.4: 0.1 + 0.4 + 0.7 and 0.1 + 0.2 + 0.2
    assert rows[F1].relative_corruption_error == Estimate(pytest.approx(1.2 / 0.5, abs=1e-14))
    # an error of 0 is best: the values themselves
    assert rows[MSE].corruption_error == Estimate(pytest.approx(6 / 10, abs=1e-15))
    assert rows[MSE].relative_corruption_error == Estimate(
        pytest.approx((0.5 + 1.5 + 2.5) / (0.5 + 1 + 2.5), abs=1e-14)
    )
    # the best overall score is 1 * 1 - 0.25 * 0, so its error is 1 - value
    total = (1 - 0.55) + (1 - 0.0) + (1 - -0.55)
    other = (1 - -0.125) + (1 - -0.35) + (1 - -0.725)
    assert rows["overall"].corruption_error == Estimate(pytest.approx(total / other, abs=1e-14))


def test_without_an_error_to_compare_with_there_is_no_ratio(corrupted_track: CorruptedTrack) -> None:
    perfect = outcomes((1.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 0.0))
    rows = {item.key: item for item in summaries(corrupted_track(""), None, [SYSTEM, perfect], None)}
    assert rows[F1].corruption_error is None
    assert rows[MSE].relative_corruption_error is None


def test_metrics_without_a_best_value_have_no_error(corrupted_track: CorruptedTrack) -> None:
    best = best_values(corrupted_track(""))
    assert best == {F1: 1.0, MSE: 0.0, ACCURACY: 1.0, "overall": 1.0}
    metrics = 'metrics = [{ name = "weighted_f1", target = "discrete", per = "speaker", aggregate = "auilc", weight = 1.0 }]\n'
    track = corrupted_track("", "two")
    text = (
        (track.folder / "track.toml").read_text().split("metrics = [")[0] + metrics + 'ranking = { by = ["overall"] }\n'
    )
    (track.folder / "track.toml").write_text(text)
    assert best_values(load_track(track.folder)) == {}  # an area is not bounded by 1, nor is what it is summed into


def test_intervals_are_of_the_combination_within_each_draw(corrupted_track: CorruptedTrack) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0, 1, (3, 100))
    draws = [{F1: rng.uniform(0, 1, 100)}, *({F1: row} for row in drawn)]
    system = Outcomes([scored(0.9, 0.5), *[scored(0.5, 1.0)] * 3], draws)
    rows = next(item for item in summaries(corrupted_track(""), None, [system], HOW) if item.key == F1)
    means = np.sort(drawn.mean(0))
    # of 100 draws the ranks are 101 * 2.5 % rounded down and 101 * 97.5 % rounded up: 2 and 99
    assert (rows.over.low, rows.over.high) == (pytest.approx(means[1], abs=1e-9), pytest.approx(means[98], abs=1e-9))


def test_the_mean_error_needs_every_curve() -> None:
    first = Summary("a", "a", "mean", Estimate(0.5), Estimate(0.4), Estimate(1.0))
    second = Summary("a", "a", "mean", Estimate(0.5), Estimate(0.8), None)
    assert mean_errors([[first], [second]]) == (MeanError("a", "a", pytest.approx(0.6), None),)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8, unique=True))
def test_the_area_does_not_depend_on_the_order_of_rates(rates: list[float]) -> None:
    values = np.linspace(1, 0, len(rates))
    order = np.random.default_rng(len(rates)).permutation(len(rates))
    ordered = area(np.array(rates), values[:, None])
    assert ordered == pytest.approx(area(np.array(rates)[order], values[order][:, None]), abs=1e-12)
    by_numpy = np.trapezoid(values[np.argsort(rates)], np.sort(rates))
    assert ordered[0] == pytest.approx(by_numpy, abs=1e-8)  # steps are rounded to 10 decimals
