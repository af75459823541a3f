"""Band limits: what is left of tones, against the Butterworth formula; what lies above half the rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal as filters

from merbench.corruptions import CORRUPTIONS, Audio, generator
from merbench.errors import Inapplicable


def damaged(name: str, signal: Audio, **parameters: Any) -> np.ndarray:
    corruption = CORRUPTIONS[name]
    rng = generator(0, name, "a")
    return corruption(signal, rng, corruption.draw(parameters, rng)).samples


def tone(frequency: float, rate_hz: int, n: int = 16_000) -> Audio:
    return Audio(0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / rate_hz)[None].astype(np.float32), rate_hz)


def share_left(name: str, frequency: float, rate_hz: int, **parameters: Any) -> float:
    signal = tone(frequency, rate_hz)
    middle = slice(4000, 12_000)
    result = damaged(name, signal, **parameters)[0, middle].astype(float)
    return float(np.sqrt((result**2).mean() / (signal.samples[0, middle].astype(float) ** 2).mean()))


def warped(frequency: float, rate_hz: int) -> float:
    return float(np.tan(np.pi * frequency / rate_hz))


@pytest.mark.parametrize("order", [1, 4, 8])
@pytest.mark.parametrize("rate_hz", [8000, 44_100])
@pytest.mark.parametrize("frequency", [200, 800, 1000, 1500, 3000])
def test_tones_fall_as_butterworth_says_twice(frequency: float, rate_hz: int, order: int) -> None:
    # once forward and once backward: the square of 1 / √(1 + (f / f₀)^2N), f warped by the bilinear transform
    ratio = warped(frequency, rate_hz) / warped(1000, rate_hz)
    low = 1 / (1 + ratio ** (2 * order))
    assert share_left("low_pass", frequency, rate_hz, cutoff_hz=1000, order=order) == pytest.approx(low, abs=2e-3)
    high = 1 / (1 + ratio ** (-2 * order))
    assert share_left("high_pass", frequency, rate_hz, cutoff_hz=1000, order=order) == pytest.approx(high, abs=2e-3)


@pytest.mark.parametrize(
    ("frequency", "low", "high"),
    [(100, 0, 0.01), (300, 0.48, 0.52), (1000, 0.99, 1.01), (2000, 0.99, 1.01), (3400, 0.48, 0.52), (6000, 0, 0.01)],
)
def test_a_telephone_lets_speech_through(frequency: float, low: float, high: float) -> None:
    assert low <= share_left("telephone_band", frequency, 16_000) <= high


def test_nothing_is_delayed() -> None:
    signal = Audio(np.random.default_rng(1).standard_normal((1, 4000)).astype(np.float32), 16_000)
    for name, parameters in [
        ("telephone_band", {}),
        ("low_pass", {"cutoff_hz": 2000}),
        ("high_pass", {"cutoff_hz": 500}),
    ]:
        result = damaged(name, signal, **parameters)
        correlation = filters.correlate(result[0], signal.samples[0])
        assert int(correlation.argmax()) == 3999


def test_channels_are_filtered_one_by_one() -> None:
    rng = np.random.default_rng(2)
    signal = Audio(rng.standard_normal((3, 500)).astype(np.float32), 16_000)
    together = damaged("low_pass", signal, cutoff_hz=1000)
    for channel in range(3):
        alone = damaged("low_pass", Audio(signal.samples[channel : channel + 1], 16_000), cutoff_hz=1000)
        assert np.array_equal(together[channel], alone[0])


@pytest.mark.parametrize("n", [1, 2, 5, 27, 28])
@pytest.mark.parametrize("name", ["telephone_band", "low_pass", "high_pass"])
def test_short_sounds_are_filtered_too(name: str, n: int) -> None:
    parameters = {} if name == "telephone_band" else {"cutoff_hz": 500}
    result = damaged(name, tone(1000, 16_000, n), **parameters)
    assert result.shape == (1, n)
    assert np.isfinite(result).all()


def test_a_constant_passes_low_and_not_high() -> None:
    constant = Audio(np.full((1, 2000), 0.25, np.float32), 16_000)
    np.testing.assert_allclose(damaged("low_pass", constant, cutoff_hz=100), 0.25, atol=1e-6)
    np.testing.assert_allclose(damaged("high_pass", constant, cutoff_hz=100), 0, atol=1e-6)


@pytest.mark.parametrize("cutoff_hz", [4000, 20_000])
def test_nothing_lies_above_half_of_the_rate(cutoff_hz: float) -> None:
    signal = tone(1000, 8000)
    assert damaged("low_pass", signal, cutoff_hz=cutoff_hz) is signal.samples
    message = f"^there is nothing above {cutoff_hz} Hz in a sound at 8,000 samples a second$"
    with pytest.raises(Inapplicable, match=message):
        damaged("high_pass", signal, cutoff_hz=cutoff_hz)


def test_a_telephone_at_a_low_rate_cuts_the_low_end_alone() -> None:
    signal = tone(1000, 6000)
    assert np.array_equal(damaged("telephone_band", signal), damaged("high_pass", signal, cutoff_hz=300))
    with pytest.raises(Inapplicable, match=r"^there is nothing above 300 Hz in a sound at 500 samples a second$"):
        damaged("telephone_band", tone(100, 500))


def test_a_band_has_a_low_and_a_high_end() -> None:
    with pytest.raises(Inapplicable, match=r"^low_hz = 3000 is not below high_hz = 3000$"):
        damaged("telephone_band", tone(1000, 16_000), low_hz=3000, high_hz=3000)
