"""Many samples at once against each alone, and seeds against those that NumPy makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions import CORRUPTIONS, generator, shared_draw
from merbench.corruptions.batches import damaged_matrix, generators, seeded_states
from merbench.corruptions.drawing import NORMAL_UNIT, normals
from merbench.errors import UsageError

IDS = [f"sample_{i:08d}" for i in range(70)]


def matrix(n: int, d: int) -> np.ndarray:
    return (normals(generator(0, "matrix", ""), n * d) * NORMAL_UNIT).reshape(n, d).astype(np.float32)


def one_by_one(
    name: str, values: np.ndarray, modality: str, parameters: dict[str, Any]
) -> tuple[np.ndarray, list[Any]]:
    rows, drawn = [], []
    for sample_id, row in zip(IDS, values, strict=False):
        rng = generator(7, "step", sample_id)
        known = CORRUPTIONS[name].draw(parameters, rng, shared_draw(7, sample_id))
        rows.append(CORRUPTIONS[name]({modality: row.astype(np.float64)}, rng, known)[modality].astype(np.float32))
        drawn.append(known)
    return np.array(rows).reshape(values.shape), drawn


@pytest.mark.parametrize("shape", [(70, 1024), (70, 37), (3, 1), (0, 5)])
@pytest.mark.parametrize("modality", ["audio", "video"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("diffusion_noise", {"t": 20}),
        ("diffusion_noise", {"t": {"integers": [0, 99]}, "kind": "impulse", "schedule": "linear"}),
        ("diffusion_noise", {"t": {"integers": [0, 99], "shared": "rain"}}),
        ("diffusion_noise", {"t": 20, "kind": {"choice": ["gaussian", "impulse"]}}),
        ("diffusion_noise", {"t": 20, "modalities": "video+text"}),
        ("gaussian_noise_features", {"severity": {"integers": [1, 5]}}),
        ("gaussian_noise_features", {"snr_db": 5}),
        ("random_drop", {"rate": {"choice": [0, 0.3, 1]}}),
        ("random_drop", {"rate": 0.3, "unit": "frame"}),
        ("structural_drop", {"rate": {"uniform": [0, 1]}}),
        ("feature_noise", {"snr_db": 5, "factor": {"choice": [1, 2]}}),
    ],
)
def test_a_row_is_what_its_sample_would_be_alone(
    name: str, parameters: dict[str, Any], modality: str, shape: tuple[int, int]
) -> None:
    values = matrix(*shape)
    before = values.copy()
    damaged, drawn = damaged_matrix(
        name, values, IDS[: len(values)], modality=modality, seed=7, parameters=parameters, step="step"
    )
    expected, expected_draws = one_by_one(name, values, modality, parameters)
    assert damaged.dtype == np.float32
    assert damaged.tobytes() == expected.tobytes()
    assert drawn == expected_draws
    assert np.array_equal(values, before)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("diffusion_noise", {"t": 20}), ("gaussian_noise_features", {"snr_db": 5}), ("random_drop", {"rate": 0.3})],
)
def test_vectors_without_numbers_stay_so(name: str, parameters: dict[str, Any]) -> None:
    damaged, drawn = damaged_matrix(name, matrix(2, 0), IDS[:2], modality="audio", seed=7, parameters=parameters)
    assert damaged.shape == (2, 0)
    assert len(drawn) == 2


def test_it_writes_where_it_is_told_to_and_names_the_step_after_the_corruption() -> None:
    out = np.empty((3, 8), np.float32)
    given_ = {"modality": "audio", "seed": 7, "parameters": {"snr_db": 5}}
    damaged, _ = damaged_matrix("gaussian_noise_features", matrix(3, 8), IDS[:3], **given_, out=out)
    again, _ = damaged_matrix(
        "gaussian_noise_features", matrix(3, 8), IDS[:3], **given_, step="gaussian_noise_features"
    )
    assert damaged is out
    assert out.tobytes() == again.tobytes()


@pytest.mark.parametrize(
    ("name", "n_ids", "message"),
    [
        ("word_deletion", 2, "corruption 'word_deletion' is none of a single sample's features"),
        ("tfrnet_drop", 2, "corruption 'tfrnet_drop' is none of a single sample's features"),
        ("random_drop", 1, "2 rows of features have 1 ids"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, n_ids: int, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        damaged_matrix(name, matrix(2, 3), IDS[:n_ids], modality="audio", seed=0, parameters={"rate": 0.5})


def test_generators_of_many_samples_are_those_of_each() -> None:
    ids = [f"clip {i}" for i in range(5000)]
    for sample_id, rng in zip(ids[::7], list(generators(2023, "step", ids))[::7], strict=True):
        assert rng.state == generator(2023, "step", sample_id).state
    assert list(generators(2023, "step", [])) == []


@given(st.lists(st.integers(2**224, 2**256 - 1), min_size=1, max_size=20))
def test_seeds_are_spread_as_numpy_spreads_them(seeds: list[int]) -> None:
    words = np.array([[seed >> 32 * i & 0xFFFFFFFF for i in range(8)] for seed in seeds], dtype=np.uint32)
    expected = [np.random.SeedSequence(seed).generate_state(4, np.uint64).tolist() for seed in seeds]
    assert seeded_states(words).tolist() == expected


def test_a_seed_with_a_leading_zero_word_is_made_as_numpy_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Digest:
        """A digest whose first four bytes are zero, which no id at hand has."""

        def __init__(self, data: bytes = b"") -> None:
            self.data = data

        def copy(self) -> Digest:
            return Digest(self.data)

        def update(self, data: bytes) -> None:
            self.data += data

        def digest(self) -> bytes:
            return bytes(4) + bytes(range(28))

    monkeypatch.setattr("merbench.corruptions.batches.hashlib.sha256", Digest)
    monkeypatch.setattr("merbench.corruptions.drawing.sha256_bytes", lambda data: Digest(data).digest().hex())
    (rng,) = generators(1, "step", ["a"])
    assert rng.state == np.random.PCG64(int.from_bytes(Digest().digest(), "big")).state
