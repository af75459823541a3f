"""Clipping, gain and mute by hand."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions import Audio, generator
from merbench.corruptions.audio import clipping, gain, mute
from merbench.corruptions.drawing import NORMAL_UNIT, normals
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


@given(st.floats(0.001, 1), st.integers(1, 300))
def test_at_least_the_quantile_of_samples_stays_as_it_is(quantile: float, n: int) -> None:
    signal = Audio(np.random.default_rng(n).standard_normal((1, n)).astype(np.float32), 16_000)
    result = clipping(signal, RNG, quantile=quantile).samples
    assert np.mean(result == signal.samples) >= quantile - 1e-9
    assert np.all(np.sign(result) == np.sign(signal.samples))


def test_clipping_that_would_mute_is_refused() -> None:
    message = r"^the quantile 0.5 of the magnitudes is 0: clipping there would mute$"
    with pytest.raises(Inapplicable, match=message):
        clipping(audio([0, 0, 0, 1]), RNG, quantile=0.5)


def test_gain_by_hand() -> None:
    assert gain(audio([0.5, -0.25]), RNG, gain_db=20).samples.tolist() == [[5, -2.5]]
    assert gain(audio([0.5, -0.25]), RNG, gain_db=0).samples.tolist() == [[0.5, -0.25]]
    np.testing.assert_allclose(gain(audio([0.5]), RNG, gain_db=-6.0206).samples, 0.25, rtol=1e-5)


def test_mute_leaves_zeros() -> None:
    assert mute(
        audio([0.5, -0.25], [1, 2]),
        RNG,
    ).samples.tolist() == [[0, 0], [0, 0]]


def test_levels_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for number in range(20):
        drawn = normals(generator(0, "sound", str(number)), 600).reshape(2, 300) * NORMAL_UNIT
        signal = Audio(drawn.astype(np.float32), 16_000)
        digest.update(gain(signal, RNG, gain_db=number - 10.5).samples.astype("<f4").tobytes())
        digest.update(clipping(signal, RNG, quantile=(number + 1) / 20).samples.astype("<f4").tobytes())
    assert digest.hexdigest() == "45c0fdcc39a9f0e8cbbfe7b4601040e3c80c2699f80c54888f89befb607d9731"
