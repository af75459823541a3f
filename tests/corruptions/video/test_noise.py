"""Noise: its moments and distributions, and draws that are the same on every machine."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from merbench.corruptions import Frame, generator
from merbench.corruptions.video.noise import poisson_quantiles
from tests.corruptions.video.conftest import corrupted_one, laid_out, made_frame, rgb_of_444, values_of

SLICES = 1 << 16


def flat(value: float, size: tuple[int, int] = (120, 160), depth: int = 12) -> Frame:
    """Return a grey picture in full range, fine enough to tell the noise from the rounding of planes."""
    top = (1 << depth) - 1
    middle = 1 << (depth - 1)
    planes = [np.full(size, level, np.uint16) for level in (round(value * top), middle, middle)]
    return Frame(tuple(map(laid_out, planes)), depth=depth, full_range=True)


def noise_of(name: str, value: float, **declared: Any) -> NDArray[np.float64]:
    frame = flat(value)
    return rgb_of_444(corrupted_one(name, frame, **declared)) - rgb_of_444(frame)


def test_gaussian_noise_has_its_deviation_in_every_channel() -> None:
    noise = noise_of("gaussian_noise", 0.5, sigma=0.08)
    assert noise.std(axis=(0, 1)) == pytest.approx([0.08] * 3, rel=0.02)
    assert noise.mean(axis=(0, 1)) == pytest.approx([0] * 3, abs=0.003)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.03
    assert stats.kstest(noise[:, :, 0].ravel() / 0.08, "norm").pvalue > 0.01


def test_the_corrupted_picture_is_clipped() -> None:
    # half of the draws go beyond white; of a normal variable cut off at its mean, the mean is -sigma / sqrt(2 pi)
    noise = noise_of("gaussian_noise", 1.0, sigma=0.1)
    assert noise.max() < 0.001
    assert (np.abs(noise) < 0.001).mean() == pytest.approx(0.5, abs=0.02)
    assert noise.mean() == pytest.approx(-0.1 / np.sqrt(2 * np.pi), rel=0.03)


def test_draws_go_row_by_row_four_to_a_word() -> None:
    word = generator(0, "gaussian_noise", "a").random_raw()
    slices = [(word >> shift) & 0xFFFF for shift in (0, 16, 32)]
    expected = 0.1 * stats.norm.ppf((np.array(slices) + 0.5) / SLICES)
    assert noise_of("gaussian_noise", 0.5, sigma=0.1)[0, 0] == pytest.approx(expected, abs=0.001)


def test_subsampled_colours_keep_the_mean_of_their_noise() -> None:
    like = flat(0.5, depth=12)
    size = (60, 80)
    frame = like.with_planes([like.planes[0], *[laid_out(np.full(size, 2048, np.uint16)) for _ in range(2)]])
    full, half = (corrupted_one("gaussian_noise", given, sigma=0.08) for given in (like, frame))
    assert np.array_equal(full.planes[0], half.planes[0])
    means = full.planes[1].reshape(60, 2, 80, 2).mean(axis=(1, 3))
    assert np.abs(half.planes[1] - means).max() <= 1.1


def test_speckle_noise_is_in_proportion_to_the_value() -> None:
    for value in (0.2, 0.5):
        noise = noise_of("speckle_noise", value, sigma=0.15)
        assert noise.std(axis=(0, 1)) == pytest.approx([0.15 * value] * 3, rel=0.02)
        assert noise.mean() == pytest.approx(0, abs=0.003)


@pytest.mark.parametrize(("value", "photons"), [(0.2, 60), (0.4, 12), (0.1, 3)])
def test_shot_noise_is_poisson(value: float, photons: float) -> None:
    noise = noise_of("shot_noise", value, photons=photons)
    mean = photons * round(value * 255) / 255
    counts = np.rint((noise + round(value * 255) / 255) * photons).astype(int)
    result = np.bincount(counts.ravel(), minlength=photons + 1)[: photons + 1]
    expected = stats.poisson.pmf(np.arange(photons + 1), mean) * counts.size
    expected[photons] += stats.poisson.sf(photons, mean) * counts.size  # what is above white is clipped to it
    many = expected >= 5
    result, expected = np.append(result[many], result[~many].sum()), np.append(expected[many], expected[~many].sum())
    result, expected = result[expected > 0], expected[expected > 0]
    assert stats.chisquare(result, expected).pvalue > 0.001


@pytest.mark.slow
@pytest.mark.parametrize("photons", [0.1, 3, 60, 500])
def test_quantiles_of_counts_are_those_of_scipy(photons: float) -> None:
    table = poisson_quantiles(photons).reshape(256, SLICES)
    middles = (np.arange(SLICES) + 0.5) / SLICES
    for level in (0, 1, 100, 255):
        assert np.array_equal(table[level], stats.poisson.ppf(middles, photons * level / 255))


def test_quantiles_of_counts_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(poisson_quantiles(12.0).astype(np.uint8).tobytes()).hexdigest()
    assert digest == "150b3a36c733435adde02fd1940e420b6d2ff2e6bf3496f221623bf59df327cd"


def test_impulse_noise_hits_a_fraction_black_as_often_as_white() -> None:
    noise = noise_of("impulse_noise", 0.25, fraction=0.2)
    assert (np.abs(noise - 0.75) < 0.002).mean() == pytest.approx(0.1, abs=0.005)
    assert (np.abs(noise + 0.25) < 0.002).mean() == pytest.approx(0.1, abs=0.005)
    assert (np.abs(noise) < 0.002).mean() == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize(
    ("name", "parameter", "values"),
    [
        ("gaussian_noise", "sigma", (0.08, 0.12, 0.18, 0.26, 0.38)),
        ("speckle_noise", "sigma", (0.15, 0.2, 0.35, 0.45, 0.6)),
        ("shot_noise", "photons", (60, 25, 12, 5, 3)),
        ("impulse_noise", "fraction", (0.03, 0.06, 0.09, 0.17, 0.27)),
    ],
)
def test_severities_are_those_of_imagenet_c(name: str, parameter: str, values: tuple[float, ...]) -> None:
    frame = made_frame(12, 12)
    for severity, value in enumerate(values, start=1):
        by_severity = corrupted_one(name, frame, severity=severity)
        assert values_of([by_severity]) == values_of([corrupted_one(name, frame, **{parameter: value})])
