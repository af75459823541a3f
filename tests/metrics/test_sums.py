"""Weighted sums are `math.fsum` bit for bit; counts are exact; neither depends on how the work is cut up."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from merbench.metrics import sums
from merbench.metrics.sums import (
    Clustered,
    Exchanges,
    cell_counts,
    spread,
    total_weight,
    weighted_mean,
    weighted_sum,
    weighted_sums,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MODERATE = st.floats(-1e3, 1e3)


def fsums(weights: NDArray[np.integer], values: NDArray[np.float64]) -> list[float]:
    return [math.fsum(np.repeat(values, row).tolist()) for row in weights]


@pytest.fixture(params=[(64, 1 << 15), (2, 3)], ids=["one tile", "many tiles"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, samples = request.param
    monkeypatch.setattr(sums, "ROWS", rows)
    monkeypatch.setattr(sums, "SAMPLES", samples)


@given(st.lists(st.tuples(MODERATE, st.integers(0, 5), st.integers(0, 1)), max_size=60))
def test_a_sum_is_fsum_of_the_repeated_values_bit_for_bit(samples: list[tuple[float, int, int]]) -> None:
    values = np.array([value for value, _, _ in samples])
    weights = np.array([[w for _, w, _ in samples], [m for _, _, m in samples]], dtype=np.uint8)
    assert weighted_sum(weights, values).tolist() == fsums(weights, values)


@given(st.lists(FINITE.filter(lambda x: abs(x) < 1e306), min_size=1, max_size=40))
def test_a_sum_is_fsum_for_values_of_any_size(samples: list[float]) -> None:
    values, ones = np.array(samples), np.ones((1, len(samples)), dtype=bool)
    assert weighted_sum(ones, values).tolist() == [math.fsum(samples)]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("scale", ["normal", "wide", "very wide", "huge", "subnormal"])
@pytest.mark.usefixtures("tiles")
def test_bootstrap_counts_give_correctly_rounded_sums(scale: str, dtype: DTypeLike) -> None:
    rng = np.random.default_rng(1)
    span = {"wide": 20, "very wide": 290}.get(scale, 1)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-span, span, 500)
    values *= {"huge": 1e300, "subnormal": 1e-310}.get(scale, 1.0)
    weights = rng.poisson(1, (20, 500))
    assert weighted_sum(weights.astype(dtype), values).tolist() == fsums(weights, values)


def test_what_cancels_is_not_lost() -> None:
    values = np.array([1e16, 1.0, -1e16, 1e-30])
    assert weighted_sum(np.array([[1, 1, 1, 1], [1, 0, 1, 1]]), values).tolist() == [1.0, 1e-30]


def test_large_counts_are_exact() -> None:
    values = np.array([0.1, 0.7, -0.3])
    weights = np.array([[3_000_000, 1, 65_000]])
    assert weighted_sum(weights, values).tolist() == fsums(weights, values)


def test_several_columns_are_summed_as_each_by_itself() -> None:
    rng = np.random.default_rng(3)
    columns, weights = rng.normal(size=(3, 200)) ** 3, rng.poisson(1, (12, 200)).astype(np.uint8)
    together = weighted_sums(weights, *columns)
    assert [column.tolist() for column in together] == [fsums(weights, values) for values in columns]


def test_sums_beyond_float64_are_infinite_and_opposite_infinities_have_none() -> None:
    weights = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1]])
    assert weighted_sum(weights, np.full(3, 1e308)).tolist() == [math.inf, math.inf, 1e308]
    signed = weighted_sum(weights, np.array([math.inf, -math.inf, 1.0]))
    assert np.isnan(signed[0]) and signed[1:].tolist() == [-math.inf, 1.0]


def test_a_mean_of_nothing_is_not_a_number() -> None:
    assert np.isnan(weighted_mean(np.array([[0, 0]]), np.array([1.0, 2.0]))).all()
    assert np.isnan(weighted_mean(np.ones((2, 0)), np.array([]))).tolist() == [True, True]
    assert weighted_mean(np.array([[1, 3]]), np.array([1.0, 2.0])).tolist() == [1.75]


@pytest.mark.parametrize("n_rows", [1, 7, 150])
@pytest.mark.parametrize("n_cells", [1, 500])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
@pytest.mark.usefixtures("tiles")
def test_counts_are_those_of_bincount(n_rows: int, n_cells: int, dtype: DTypeLike) -> None:
    rng = np.random.default_rng(4)
    cells, weights = rng.integers(0, n_cells, 700), rng.poisson(1, (n_rows, 700)).astype(dtype)
    expected = [np.bincount(np.repeat(cells, row.astype(int)), minlength=n_cells).tolist() for row in weights]
    assert cell_counts(weights, cells, n_cells).tolist() == expected


def test_counts_too_large_for_float32_are_exact() -> None:
    # 60,000 * 65,535 and 60,001 * 65,535 differ by less than float32 resolves at this size.
    weights = np.full((9, 60_001), 65_535, dtype=np.uint16)
    weights[1, 0] = 65_534
    counts = cell_counts(weights, np.zeros(60_001, dtype=np.intp), 2)
    assert counts[0].tolist() == [60_001 * 65_535, 0]
    assert counts[1].tolist() == [60_001 * 65_535 - 1, 0]


@given(seed=st.integers(0, 2**32), n=st.integers(1, 200), m=st.integers(1, 12), b=st.integers(1, 9))
def test_clusters_that_share_a_weight_give_the_sums_of_their_samples(seed: int, n: int, m: int, b: int) -> None:
    rng = np.random.default_rng(seed)
    weights = Clustered(rng.integers(0, 9, (b, m)).astype(np.uint8), rng.integers(0, m, n))
    assert weights.shape == weights.spread().shape == (b, n) and len(weights) == b
    values, cells = rng.normal(0, 10, n), rng.integers(0, 5, n)
    assert weighted_sum(weights, values) == pytest.approx(weighted_sum(weights.spread(), values), rel=1e-13, abs=1e-11)
    assert (cell_counts(weights, cells, 5) == cell_counts(weights.spread(), cells, 5)).all()
    assert (total_weight(weights) == weights.spread().sum(axis=1)).all()
    rows = np.flatnonzero(rng.random(n) < 0.5)
    assert (weights[1:, rows].spread() == weights.spread()[1:, rows]).all()


@pytest.mark.parametrize("most_empty", [0, 1000], ids=["sorted", "table"])
@pytest.mark.parametrize("clustered", [False, True], ids=["by row", "by cluster"])
@pytest.mark.parametrize("scale", [1.0, 1e200, math.inf])
def test_exchanges_give_the_sums_of_what_they_say(
    scale: float, clustered: bool, most_empty: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merbench.metrics.sums.MOST_EMPTY", most_empty)
    # Three systems of 30 rows, of which 7 in all are left out; the exchange written out row by row.
    rng = np.random.default_rng(12)
    n, m, draws = 30, 3, rng.integers(0, 2, (5, 4 if clustered else 30)).astype(np.uint8)
    unit = rng.integers(0, 4, n) if clustered else np.arange(n)
    first, second = np.array([0, 0, 2]), np.array([1, 2, 1])
    whole = Exchanges(draws, (np.arange(m)[:, None] * draws.shape[1] + unit).ravel(), m, first, second)
    kept = np.sort(rng.permutation(n * m)[7:])
    system, expected = np.repeat(np.arange(m), n)[kept], []
    for a, b in zip(first, second, strict=True):
        for draw in draws:
            moved = np.tile(draw[unit], m)[kept]
            expected.append(np.where(moved, system == b, system == a).astype(int))
    weights = whole[:, kept]
    assert isinstance(weights, Exchanges) and weights.shape == (15, 83) and len(weights) == 15
    assert spread(weights).tolist() == np.array(expected).tolist()
    assert spread(weights[3:7, :]).tolist() == np.array(expected[3:7]).tolist()
    values, cells = rng.normal(0, 10, 83), rng.integers(0, 5, (2, 83))
    values[0] *= scale
    for result, column in zip(weighted_sums(weights, values, np.ones(83)), (values, np.ones(83)), strict=True):
        sums = [math.fsum(column[row > 0]) for row in np.array(expected)]
        assert result.tolist() == pytest.approx(sums, rel=1e-13, abs=1e-12)
    assert total_weight(weights).tolist() == np.sum(expected, axis=1).tolist()
    counts = [np.bincount(np.concatenate(cells[:, row > 0]), minlength=5).tolist() for row in np.array(expected)]
    assert cell_counts(weights, cells, 5).tolist() == counts
    # A row of a pair that does not count for one side counts for the other.
    among = np.repeat([np.isin(system, pair) for pair in zip(first, second, strict=True)], len(draws), axis=0)
    assert spread(weights.both_sides()).tolist() == [
        *np.array(expected).tolist(),
        *(among - np.array(expected)).tolist(),
    ]


@pytest.mark.parametrize("n", [65_535, 65_536])
def test_exchanges_of_many_rows_in_one_cell(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Under the second of three draws all rows move, and under the last one all but one of them do.
    draws = np.ones((3, n), dtype=np.uint8)
    draws[0], draws[2, 7] = 0, 0
    weights = Exchanges(draws, np.arange(n), 2, np.array([1]), np.array([0]))
    monkeypatch.setattr("merbench.metrics.sums.MOST_EMPTY", 0)
    assert cell_counts(weights, np.full(n, 2), 4).tolist() == [[0, 0, 0, 0], [0, 0, n, 0], [0, 0, n - 1, 0]]


def test_exchanges_of_many_cells_take_no_table() -> None:
    # 2 systems, 3,000 units and 3,000 cells would be a table of 144 MB; 4 rows count.
    units = np.array([0, 7, 3_000, 3_007])
    weights = Exchanges(np.ones((2, 3_000), dtype=np.uint8), units, 2, np.array([0]), np.array([1]))
    tracemalloc.start()
    counts = cell_counts(weights, np.array([5, 2_999, 6, 2_999]), 3_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [np.flatnonzero(row).tolist() for row in counts] == [[6, 2_999], [6, 2_999]]
    assert peak < 2e6
