"""Random numbers against SHA-256, PCG64, SciPy and arithmetic by hand; powers in decimals."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from merbench.corruptions.drawing import (
    NORMAL_UNIT,
    amplitude_ratio,
    below,
    draw,
    generator,
    normal_quantiles,
    normals,
    one_below,
    permutation,
    power,
    shared_draw,
    slices,
    uniforms,
)

ALL_SLICES = 1 << 16


def test_the_generator_comes_from_the_sha_256_of_seed_step_and_sample() -> None:
    digest = hashlib.sha256(b"2023\0feature_noise\0sample_00000007").digest()
    expected = np.random.PCG64(int.from_bytes(digest, "big")).random_raw(5)
    assert generator(2023, "feature_noise", "sample_00000007").random_raw(5).tolist() == expected.tolist()


def test_raw_words_are_those_numpy_promises() -> None:
    words = generator(2023, "feature_noise", "sample_00000007").random_raw(2).tolist()
    assert words == [5957837261637929884, 7486441481538741987]


def test_uniforms_are_the_upper_53_bits() -> None:
    words = generator(1, "x", "y").random_raw(100).tolist()
    assert uniforms(generator(1, "x", "y"), 100).tolist() == [(word >> 11) / 2**53 for word in words]


@given(st.integers(1, 1 << 36), st.integers(0, 20))
def test_whole_numbers_below_a_bound_are_the_upper_53_bits_times_the_bound(bound: int, n: int) -> None:
    words = generator(1, "x", "y").random_raw(n).tolist()
    expected = [(word >> 11) * bound // 2**53 for word in words]
    assert below(generator(1, "x", "y"), n, bound).tolist() == expected
    rng = generator(1, "x", "y")
    assert [one_below(rng, bound) for _ in range(n)] == expected


def test_one_whole_number_may_be_below_any_bound() -> None:
    word = generator(1, "x", "y").random_raw()
    assert one_below(generator(1, "x", "y"), 10**30) == (word >> 11) * 10**30 // 2**53


def test_normal_quantiles_are_those_of_scipy() -> None:
    expected = stats.norm.ppf((np.arange(ALL_SLICES) + 0.5) / ALL_SLICES)
    assert np.abs(normal_quantiles() * NORMAL_UNIT - expected).max() <= NORMAL_UNIT / 2 + 1e-9


def test_normal_quantiles_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(normal_quantiles().astype("<i4").tobytes()).hexdigest()
    assert digest == "65adb44855f8b71385141d120e46bcbbe7ab553ca422fa6c389f204db6da226b"


def test_four_normals_come_from_one_word_lowest_bits_first() -> None:
    word = generator(3, "x", "y").random_raw()
    table = normal_quantiles()
    expected = [table[(word >> shift) & 0xFFFF] for shift in (0, 16, 32, 48)]
    assert normals(generator(3, "x", "y"), 4).tolist() == expected
    assert normals(generator(3, "x", "y"), 3).tolist() == expected[:3]


def test_slices_are_the_words_in_fours_lowest_bits_first() -> None:
    words = generator(3, "x", "y").random_raw(3).tolist()
    expected = [word >> shift & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    assert slices(generator(3, "x", "y"), 12).tolist() == expected
    assert slices(generator(3, "x", "y"), 9).tolist() == expected[:9]
    assert slices(generator(3, "x", "y"), 0).tolist() == []


def test_a_permutation_is_the_order_of_words() -> None:
    words = generator(3, "x", "y").random_raw(10).tolist()
    assert permutation(generator(3, "x", "y"), 10).tolist() == sorted(range(10), key=words.__getitem__)
    assert permutation(generator(3, "x", "y"), 0).tolist() == []


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ({"choice": ["a", "b"]}, {"a", "b"}),
        ({"integers": [-1, 1]}, {-1, 0, 1}),
        ({"integers": [7, 7]}, {7}),
        ({"integers": [1, -1]}, {-1, 0, 1}),
    ],
)
def test_draws_stay_within_the_declared_values(value: object, allowed: set[object]) -> None:
    rng = generator(5, "x", "y")
    assert {draw(value, rng) for _ in range(200)} == allowed


def test_ends_that_descend_run_the_other_way() -> None:
    def shared(name: str) -> float:
        return 0.25

    rng = generator(6, "x", "y")
    assert draw({"uniform": [0, 20], "shared": "rain"}, rng, shared) == 5.0
    assert draw({"uniform": [20, 0], "shared": "rain"}, rng, shared) == 15.0
    # Five whole numbers: the second of each direction.
    assert draw({"integers": [1, 5], "shared": "rain"}, rng, shared) == 2
    assert draw({"integers": [5, 1], "shared": "rain"}, rng, shared) == 4


def test_a_shared_number_must_be_known() -> None:
    with pytest.raises(ValueError, match=r"^no shared number 'rain'$"):
        draw({"integers": [1, 5], "shared": "rain"}, generator(0, "step", "a"))


def test_every_shared_number_is_one_of_its_own() -> None:
    first, other = shared_draw(7, "a"), shared_draw(7, "b")
    assert first("rain") == first("rain") != first("wind")
    assert other("rain") != first("rain")


@pytest.mark.parametrize(("decibels", "ratio"), [(0, 1.0), (20, 10.0), (-20, 0.1), (60, 1000.0), (40, 100.0)])
def test_ratios_of_amplitudes_are_right_to_the_last_bit(decibels: float, ratio: float) -> None:
    assert amplitude_ratio(decibels) == ratio


@given(st.floats(-60, 60))
def test_ratios_of_amplitudes_are_powers_of_ten(decibels: float) -> None:
    assert amplitude_ratio(decibels) == pytest.approx(10 ** (decibels / 20), rel=1e-14)


@pytest.mark.parametrize(
    ("base", "numerator", "denominator", "expected"),
    [(8, 1, 3, "2"), (4, -3, 2, "0.125"), (10_000, -1, 1, "0.0001"), (3, 0, 5, "1")],
)
def test_powers_by_hand(base: float, numerator: float, denominator: float, expected: str) -> None:
    assert abs(power(base, numerator, denominator) - Decimal(expected)) < Decimal("1e-25")
