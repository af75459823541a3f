"""Feature noise against arithmetic by hand, against its definition, and as a pure function."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from merbench.corruptions import CORRUPTIONS, generator
from merbench.corruptions.drawing import NORMAL_UNIT, normals
from merbench.corruptions.features import feature_noise


def rng(sample_id: str = "sample_00000001") -> np.random.PCG64:
    return generator(2023, "feature_noise", sample_id)


def signal() -> dict[str, np.ndarray]:
    return {
        "audio": np.array([3.0, -4.0, 0.0, 5.0, 1.0, -7.0, 0.0, 0.0]),
        "video": np.array([1.0, 3.0, 2.0, 6.0, 5.0]),
        "text": np.array([1.0, 2.0]),
    }


def test_it_is_registered_under_its_name() -> None:
    assert CORRUPTIONS["feature_noise"].function is feature_noise
    assert CORRUPTIONS["feature_noise"].modality == "features"


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1, [1, 3, 2, 6, 5]),
        (2, [2, 2, 4, 4, 5]),  # (1 + 3) / 2, (2 + 6) / 2, and 5 alone
        (4, [3, 3, 3, 3, 5]),  # (1 + 3 + 2 + 6) / 4, and 5 alone
        (8, [3.4, 3.4, 3.4, 3.4, 3.4]),  # 17 / 5
    ],
)
def test_video_becomes_the_means_of_neighbours(factor: int, expected: list[float]) -> None:
    damaged = feature_noise(signal(), rng(), {"snr_db": 5, "factor": factor})
    assert damaged["video"].tolist() == expected


def test_frames_of_video_are_averaged_one_by_one() -> None:
    frames = np.array([[1.0, 3.0, 2.0], [0.0, 8.0, -1.0]])
    damaged = feature_noise({"video": frames}, rng(), {"snr_db": 5, "factor": 2})
    assert damaged["video"].tolist() == [[2, 2, 2], [4, 4, -1]]


def test_audio_gets_noise_of_the_stated_deviation() -> None:
    # rms = sqrt((9 + 16 + 25 + 1 + 49) / 8) = sqrt(12.5); at 20 dB the noise has a tenth of it: sqrt(0.125)
    damaged = feature_noise(signal(), rng(), {"snr_db": 20, "factor": 1})
    noise = normals(rng(), 8) * NORMAL_UNIT * 0.125**0.5
    np.testing.assert_allclose(damaged["audio"], signal()["audio"] + noise, rtol=0, atol=1e-12)


@pytest.mark.parametrize("snr_db", [-5, 0, 5, 7.5, 10])
def test_the_realised_ratio_is_the_declared_one(snr_db: float) -> None:
    clean = normals(generator(0, "clean", ""), 100_000) * NORMAL_UNIT + 2
    noise = feature_noise({"audio": clean}, rng(), {"snr_db": snr_db, "factor": 1})["audio"] - clean
    realised = 20 * np.log10(np.sqrt(np.mean(clean**2)) / np.sqrt(np.mean(noise**2)))
    assert realised == pytest.approx(snr_db, abs=0.05)  # 100,000 draws: deviation of the rms 0.22 %, 0.02 dB
    assert abs(np.corrcoef(clean, noise)[0, 1]) < 0.015


def test_text_and_the_input_stay_as_they_are() -> None:
    given = signal()
    damaged = feature_noise(given, rng(), {"snr_db": 5, "factor": 4})
    assert damaged["text"] is given["text"]
    for modality, vector in signal().items():
        assert np.array_equal(given[modality], vector)


def test_silence_stays_silent() -> None:
    damaged = feature_noise({"audio": np.zeros(8)}, rng(), {"snr_db": 5, "factor": 1})
    assert damaged["audio"].tolist() == [0] * 8


def test_a_missing_modality_is_none_of_its_business() -> None:
    assert set(feature_noise({"text": np.ones(2)}, rng(), {"snr_db": 5, "factor": 2})) == {"text"}
    alone = feature_noise({"audio": signal()["audio"]}, rng(), {"snr_db": 5, "factor": 2})
    together = feature_noise(signal(), rng(), {"snr_db": 5, "factor": 2})
    assert np.array_equal(alone["audio"], together["audio"])


def test_the_same_generator_gives_the_same_bytes() -> None:
    parameters = {"snr_db": 5, "factor": 2}
    first, second = (feature_noise(signal(), rng("a"), parameters) for _ in range(2))
    other = feature_noise(signal(), rng("b"), parameters)
    assert first["audio"].tobytes() == second["audio"].tobytes() != other["audio"].tobytes()


def test_the_damage_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for number in range(200):
        sample_id = f"sample_{number:08d}"
        clean = {
            name: normals(generator(0, name, sample_id), 96) * NORMAL_UNIT + 1 for name in ("audio", "video", "text")
        }
        drawing = rng(sample_id)
        drawn = CORRUPTIONS["feature_noise"].draw(
            {"snr_db": {"uniform": [-5, 20]}, "factor": {"integers": [1, 8]}}, drawing
        )
        for vector in feature_noise(clean, drawing, drawn).values():
            digest.update(np.rint(vector * 2**20).astype("<i8").tobytes())
    assert digest.hexdigest() == "56a44a991caf0683d15b9f9f3a9bef67e70dbba6519109408319f90b45fa2183"
