"""Clipping, gain and mute by hand; sums of products, mixtures and their ratios against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from merbench.corruptions import Audio, generator
from merbench.corruptions.audio.levels import (
    clipping,
    dot,
    gain,
    mixed,
    realised_snr,
)
from merbench.errors import Inapplicable

RNG = generator(0, "levels", "a")


def audio(*channels: list[float]) -> Audio:
    return Audio(np.array(channels, np.float32), 16_000)


@pytest.mark.parametrize(
    ("quantile", "expected"),
    [
        (1, [[1, -8, 3, 0], [-2, 5, -4, 6]]),
        (0.5, [[1, -3, 3, 0], [-2, 3, -3, 3]]),  # magnitudes 0 1 2 3 4 5 6 8: the fourth of eight is 3
        (0.51, [[1, -4, 3, 0], [-2, 4, -4, 4]]),
        (0.75, [[1, -5, 3, 0], [-2, 5, -4, 5]]),
        (0.25, [[1, -1, 1, 0], [-1, 1, -1, 1]]),
    ],
)
def test_magnitudes_are_cut_at_their_quantile(quantile: float, expected: list[list[float]]) -> None:
    signal = audio([1, -8, 3, 0], [-2, 5, -4, 6])
    assert clipping(signal, RNG, quantile=quantile).samples.tolist() == expected


def test_clipping_that_would_mute_is_refused() -> None:
    message = r"^the quantile 0.5 of the magnitudes is 0: clipping there would mute$"
    with pytest.raises(Inapplicable, match=message):
        clipping(audio([0, 0, 0, 1]), RNG, quantile=0.5)


def test_gain_by_hand() -> None:
    assert gain(audio([0.5, -0.25]), RNG, gain_db=20).samples.tolist() == [[5, -2.5]]
    assert gain(audio([0.5, -0.25]), RNG, gain_db=0).samples.tolist() == [[0.5, -0.25]]
    np.testing.assert_allclose(gain(audio([0.5]), RNG, gain_db=-6.0206).samples, 0.25, rtol=1e-5)


vectors = arrays.arrays(np.float32, st.integers(0, 30), elements=st.floats(-4, 4, width=32))


def sound_of(*channels: list[float], rate_hz: int = 16_000) -> Audio:
    return Audio(np.array(channels, np.float32), rate_hz)


@given(vectors)
def test_a_sum_of_squares_is_exact_before_it_is_rounded(vector: np.ndarray) -> None:
    squares = [Fraction(float(value)) ** 2 for value in vector]
    if not squares:
        assert dot(vector, vector) == 0.0
        return
    # 2 × (53 − 5) bits below the largest square are kept of each of at most 30 squares, and a double keeps 53
    exact = sum(squares)
    assert abs(Fraction(dot(vector, vector)) - exact) <= max(exact / 2**53, max(squares) * 30 / 2**96)


def test_products_of_long_arrays_are_those_of_fsum() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, 100_000)).astype(np.float32)
    exact = math.fsum((first.astype(float) * second).tolist())
    assert dot(first, second) == pytest.approx(exact, rel=1e-15)


def test_noise_is_added_at_the_ratio() -> None:
    # the sound's rms over both channels is 5, the noise's 1; at 20 dB noise of 0.5 is added
    result = mixed(sound_of([1, 1], [-7, 7]), np.array([1, -1], np.float32), 20)
    assert result.samples.tolist() == [[1.5, 0.5], [-6.5, 6.5]]


@given(st.floats(-20, 60), st.floats(0.01, 1), st.integers(1, 3))
def test_what_a_mixture_came_to_does_not_depend_on_its_scale(snr_db: float, scale: float, n_channels: int) -> None:
    rng = np.random.default_rng(7)
    before = Audio(rng.standard_normal((n_channels, 500)).astype(np.float32), 16_000)
    noise = (rng.standard_normal(500) + 0.3 * before.samples[0]).astype(np.float32)  # one that resembles the sound
    after = mixed(before, noise, snr_db)
    scaled = after.with_samples(after.samples * scale)
    realised = realised_snr(before, scaled, noise)["realised_snr_db"]
    assert realised == pytest.approx(snr_db, abs=1e-3)  # float32 rounds at −150 dB, 90 below noise at 60 dB


def test_a_mixture_that_has_no_ratio() -> None:
    before, noise = sound_of([1, 2, 3]), np.array([1, 0, -1], np.float32)
    assert realised_snr(before, sound_of([3, 6, 9]), np.array([2, 4, 6], np.float32)) == {"realised_snr_db": None}
    assert realised_snr(before, before, noise) == {"realised_snr_db": None}
    assert realised_snr(before, sound_of([1, 0, -1]), noise) == {"realised_snr_db": None}
