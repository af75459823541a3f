"""Resampling loss: what of tones is left, and that nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

from merbench.corruptions import Audio, generator
from merbench.corruptions.audio.transmission import resampling_loss

RNG = generator(0, "resampling_loss", "a")


def tone(frequency: float, rate_hz: int, n: int) -> Audio:
    return Audio(0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / rate_hz)[None].astype(np.float32), rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100])
def test_what_is_above_half_of_the_lower_rate_goes_and_the_rest_stays(rate_hz: int) -> None:
    middle = slice(2000, 8000)
    kept, lost = tone(1000, rate_hz, 10_000), tone(5000, rate_hz, 10_000)
    after_kept, after_lost = (resampling_loss(one, RNG, rate_hz=8000).samples[0, middle] for one in (kept, lost))
    np.testing.assert_allclose(after_kept, kept.samples[0, middle], atol=1e-3)
    assert np.abs(after_lost).max() < 1e-3


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_a_sound_at_that_rate_or_below_stays(rate_hz: int) -> None:
    signal = tone(1000, 16_000, 100)
    assert resampling_loss(signal, RNG, rate_hz=rate_hz) is signal
