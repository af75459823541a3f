"""Corruption of vectors against arithmetic by hand, against its definition, and as a pure function."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from scipy import special

from merbench.corruptions import CORRUPTIONS, generator
from merbench.corruptions.drawing import NORMAL_UNIT, normals
from merbench.corruptions.features import (
    alpha_bar,
    diffusion_noise,
    feature_noise,
    gaussian_noise_features,
    random_drop,
    structural_drop,
)


def rng(sample_id: str = "sample_00000001") -> np.random.PCG64:
    return generator(2023, "feature_noise", sample_id)


def signal() -> dict[str, np.ndarray]:
    return {
        "audio": np.array([3.0, -4.0, 0.0, 5.0, 1.0, -7.0, 0.0, 0.0]),
        "video": np.array([1.0, 3.0, 2.0, 6.0, 5.0]),
        "text": np.array([1.0, 2.0]),
    }


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1, [1, 3, 2, 6, 5]),
        (2, [2, 2, 4, 4, 5]),  # (1 + 3) / 2, (2 + 6) / 2, and only 5
        (4, [3, 3, 3, 3, 5]),  # (1 + 3 + 2 + 6) / 4, and only 5
        (8, [3.4, 3.4, 3.4, 3.4, 3.4]),  # 17 / 5
    ],
)
def test_video_becomes_the_means_of_neighbours(factor: int, expected: list[float]) -> None:
    corrupted = feature_noise(signal(), rng(), snr_db=5, factor=factor)
    assert corrupted["video"].tolist() == expected


def test_audio_gets_noise_of_the_stated_deviation() -> None:
    # rms = sqrt((9 + 16 + 25 + 1 + 49) / 8) = sqrt(12.5); at 20 dB the noise has a tenth of it: sqrt(0.125)
    corrupted = feature_noise(signal(), rng(), snr_db=20, factor=1)
    noise = normals(rng(), 8) * NORMAL_UNIT * 0.125**0.5
    np.testing.assert_allclose(corrupted["audio"], signal()["audio"] + noise, rtol=0, atol=1e-12)


FRAMES = {
    "audio": np.arange(1.0, 13.0).reshape(4, 3),
    "video": np.array([1.0, -2.0, 3.0, -4.0]),
    "text": np.array([[1.0, 2.0]]),
}

DIFFUSION = {"kind": "gaussian", "schedule": "scaled_linear", "t": 20, "modalities": "all"}


@pytest.mark.parametrize(
    ("t", "kept", "noise"),
    # of NMER's own scheduler, six decimals
    [
        (0, 0.994987, 0.100000),
        (5, 0.960296, 0.278984),
        (10, 0.907658, 0.419711),
        (20, 0.746344, 0.665560),
        (30, 0.530251, 0.847841),
        (50, 0.142792, 0.989753),
        (99, 0.000008, 1.000000),
    ],
)
def test_scaled_linear_diffusion_is_that_of_nmer(t: int, kept: float, noise: float) -> None:
    left = alpha_bar("scaled_linear")[t]
    assert left**0.5 == pytest.approx(kept, abs=5.1e-7)
    assert (1 - left) ** 0.5 == pytest.approx(noise, abs=5.1e-7)


@pytest.mark.parametrize(
    ("schedule", "betas"),
    [
        ("linear", np.linspace(0.01, 0.5, 100)),
        ("scaled_linear", np.linspace(0.01**0.5, 0.5**0.5, 100) ** 2),
        ("sigmoid", 0.01 + 0.49 * special.expit(np.linspace(-6, 6, 100))),
    ],
)
def test_other_schedules_are_products_of_their_betas(schedule: str, betas: np.ndarray) -> None:
    # betas of the sigmoid are rounded to 12 decimals
    np.testing.assert_allclose(alpha_bar(schedule), np.cumprod(1 - betas), rtol=1e-9)


def test_the_squared_cosine_follows_its_curve_until_beta_is_capped() -> None:
    curve = np.cos((np.arange(101) / 100 + 0.008) / 1.008 * np.pi / 2) ** 2
    left = alpha_bar("squaredcos_cap_v2")
    np.testing.assert_allclose(left[:99], curve[1:100] / curve[0], rtol=1e-8)
    assert left[99] / left[98] == pytest.approx(0.001)  # the curve ends at 0; beta may be 0.999 at most


def test_no_other_schedule_is_known() -> None:
    with pytest.raises(ValueError, match=r"schedule must be one of .*, not 'cosine'"):
        alpha_bar("cosine")


def test_diffusion_noise_is_the_stated_mixture() -> None:
    corrupted = diffusion_noise({"audio": FRAMES["audio"]}, rng(), **DIFFUSION)["audio"]
    n = normals(rng(), 12).reshape(4, 3) * NORMAL_UNIT
    np.testing.assert_allclose(corrupted, 0.746344 * FRAMES["audio"] + 0.665560 * n, atol=1e-5)


def test_impulses_are_of_either_sign_on_three_tenths() -> None:
    zeros = {"video": np.zeros(100_000)}
    corrupted = diffusion_noise(zeros, rng(), **{**DIFFUSION, "kind": "impulse", "t": 99})["video"]
    up, down = (np.count_nonzero(corrupted * sign > 0.9) for sign in (1, -1))
    assert up + down == np.count_nonzero(corrupted)
    # 100,000 draws: 15,000 of each sign, deviation 113; five deviations allowed
    assert abs(up - 15_000) < 565
    assert abs(down - 15_000) < 565
    assert np.unique(np.abs(corrupted)).tolist() == [0, pytest.approx(1)]


@pytest.mark.parametrize("snr_db", [-5, 20])
def test_gaussian_noise_has_the_declared_ratio_in_every_modality(snr_db: float) -> None:
    clean = {name: normals(generator(0, name, ""), 60_000).reshape(200, 300) * 2e-3 + 1 for name in ("audio", "text")}
    parameters = {"snr_db": snr_db, "modalities": "all"}
    corrupted = gaussian_noise_features(clean, rng(), **parameters)
    for name, values in clean.items():
        noise = corrupted[name] - values
        realised = 20 * np.log10(np.sqrt(np.mean(values**2)) / np.sqrt(np.mean(noise**2)))
        assert realised == pytest.approx(snr_db, abs=0.08)  # 60,000 draws: deviation of the rms 0.29 %, 0.025 dB
        measured = CORRUPTIONS["gaussian_noise_features"].measure
        assert measured(clean, corrupted, parameters)[f"realised_snr_db_{name}"] == round(realised, 6)


def test_gaussian_noise_leaves_and_does_not_measure_vectors_of_zeros() -> None:
    silence = {"audio": np.zeros(5), "video": np.zeros((0, 5))}
    parameters = {"snr_db": 0, "modalities": "all"}
    corrupted = gaussian_noise_features(silence, rng(), **parameters)
    assert corrupted["audio"].tolist() == [0] * 5
    assert corrupted["video"].shape == (0, 5)
    measured = CORRUPTIONS["gaussian_noise_features"].measure
    assert measured(silence, corrupted, parameters) == {}


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_elements_are_dropped_at_the_declared_rate(rate: float) -> None:
    signal = {"audio": np.full((100, 200), -3.0)}
    parameters = {"rate": rate, "unit": "element", "modalities": "all"}
    corrupted = random_drop(signal, rng(), **parameters)["audio"]
    assert set(corrupted.ravel().tolist()) == {-3, 0}
    assert not np.signbit(corrupted[corrupted == 0]).any()
    # 20,000 draws: deviation at most 0.0036; five deviations allowed
    assert np.mean(corrupted == 0) == pytest.approx(rate, abs=0.018)
    measured = CORRUPTIONS["random_drop"].measure
    assert measured(signal, {"audio": corrupted}, parameters) == {"realised_rate": np.mean(corrupted == 0)}


def test_frames_are_dropped_as_a_whole_and_a_vector_is_one_frame() -> None:
    signal = {"audio": np.ones((2000, 3)), "video": np.ones(7)}
    parameters = {"rate": 0.3, "unit": "frame", "modalities": "all"}
    corrupted = random_drop(signal, rng(), **parameters)["audio"]
    assert (corrupted == corrupted[:, :1]).all()
    assert np.mean(corrupted[:, 0] == 0) == pytest.approx(0.3, abs=0.052)  # deviation 0.0102; five allowed
    vectors = [random_drop(signal, rng(str(i)), **parameters)["video"] for i in range(500)]
    assert {tuple(vector) for vector in vectors} == {(0.0,) * 7, (1.0,) * 7}


@pytest.mark.parametrize("name", ["random_drop", "structural_drop"])
def test_rates_of_0_and_1_drop_nothing_and_everything(name: str) -> None:
    known = CORRUPTIONS[name]
    for unit in ("element", "frame"):
        parameters = taken(name, {"unit": unit, "modalities": "all"})
        nothing, everything = (known(FRAMES, rng(), {**parameters, "rate": rate}) for rate in (0, 1))
        for modality, values in FRAMES.items():
            assert np.array_equal(nothing[modality], values)
            assert np.array_equal(everything[modality], np.zeros_like(values))
    assert known.changes_nothing({"rate": 0})
    assert not known.changes_nothing({"rate": 0.1})


def test_a_structural_drop_is_one_stretch_anywhere() -> None:
    result = set()
    for number in range(200):
        corrupted = structural_drop(FRAMES, rng(str(number)), rate=0.5, modalities="audio")["audio"]
        lost = np.flatnonzero((corrupted == 0).all(axis=1)).tolist()
        assert np.array_equal(np.delete(corrupted, lost, axis=0), np.delete(FRAMES["audio"], lost, axis=0))
        result.add(tuple(lost))
    assert result == {(0, 1), (1, 2), (2, 3)}  # 2 of 4 frames


def test_a_structural_drop_of_a_vector_takes_dimensions() -> None:
    result = {tuple(structural_drop(FRAMES, rng(str(i)), rate=0.75, modalities="video")["video"]) for i in range(50)}
    assert result == {(0, 0, 0, -4), (1, 0, 0, 0)}


def taken(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return those of many parameters that a corruption has."""
    return {key: value for key, value in parameters.items() if key in CORRUPTIONS[name].parameters}


@pytest.mark.parametrize("name", ["diffusion_noise", "gaussian_noise_features", "random_drop", "structural_drop"])
class TestEveryCorruption:
    PARAMETERS: ClassVar = {**DIFFUSION, "snr_db": 3, "rate": 0.6, "unit": "element"}

    @pytest.mark.parametrize("which", ["audio", "video+text", "all"])
    def test_corrupts_what_it_is_reported_to_and_nothing_else(self, name: str, which: str) -> None:
        before = {modality: values.copy() for modality, values in FRAMES.items()} | {"other": np.ones(3)}
        corrupted = CORRUPTIONS[name](before, rng(), taken(name, {**self.PARAMETERS, "modalities": which}))
        for modality, values in FRAMES.items():
            assert np.array_equal(before[modality], values)
            is_corrupted = which == "all" or modality in which.split("+")
            if not is_corrupted:
                assert corrupted[modality] is before[modality]
            elif values.size > 2:
                assert not np.array_equal(corrupted[modality], values)
            assert corrupted[modality].shape == values.shape
        assert corrupted["other"] is before["other"]

    def test_one_modality_does_not_depend_on_the_others(self, name: str) -> None:
        together = CORRUPTIONS[name](FRAMES, rng(), taken(name, self.PARAMETERS))
        for modality, values in FRAMES.items():
            alone = CORRUPTIONS[name]({modality: values}, rng(), taken(name, self.PARAMETERS))[modality]
            assert alone.tobytes() == together[modality].tobytes()

    def test_takes_signals_without_numbers(self, name: str) -> None:
        corrupted = CORRUPTIONS[name](
            {"audio": np.zeros((0, 3)), "video": np.zeros(0)}, rng(), taken(name, self.PARAMETERS)
        )
        assert corrupted["audio"].shape == (0, 3)
        assert corrupted["video"].shape == (0,)
        assert CORRUPTIONS[name]({}, rng(), taken(name, self.PARAMETERS)) == {}
