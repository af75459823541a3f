"""Many samples at once against each by itself, and seeds against those that NumPy makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corrupt.steps import Corrupted, corrupt
from merbench.corruptions import Step, generator
from merbench.corruptions.batches import corrupted_vectors
from merbench.corruptions.drawing import NORMAL_UNIT, generators, normals, seeded_states
from merbench.errors import Inapplicable, UsageError

IDS = [f"sample_{i:08d}" for i in range(70)]


def matrix(n: int, d: int) -> np.ndarray:
    return (normals(generator(0, "matrix", ""), n * d) * NORMAL_UNIT).reshape(n, d).astype(np.float32)


def one_by_one(
    step: Step, vectors: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]], dict[str, str]]:
    rows: dict[str, list[np.ndarray]] = {name: [] for name in vectors}
    drawn, problems = [], {}
    for i, sample_id in enumerate(IDS[: len(next(iter(vectors.values())))]):
        signal = {name: values[i].astype(np.float64) for name, values in vectors.items()}
        try:
            done = corrupt(signal, [step], seed=7, sample_id=sample_id)
        except Inapplicable as error:
            done, problems[sample_id] = Corrupted(signal, {}), str(error)
        for name, values in done.signal.items():
            rows[name].append(values.astype(np.float32))
        drawn.append(done.values)
    corrupted = {name: np.array(rows[name], np.float32).reshape(values.shape) for name, values in vectors.items()}
    return corrupted, drawn, problems


@pytest.mark.parametrize(
    ("shape", "modalities"), [((70, 37), ("text", "audio", "video")), ((3, 1), ("video",)), ((0, 5), ("audio",))]
)
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
        ("gcnet_missing", {"rate": 0.5}),
        ("modality_pattern", {"pattern": {"choice": ["a", "v"]}}),
        ("step_drop", {"rate": 0.5}),
    ],
)
def test_a_row_equals_its_sample_corrupted_by_itself(
    name: str, parameters: dict[str, Any], modalities: tuple[str, ...], shape: tuple[int, int]
) -> None:
    vectors = {modality: matrix(shape[0], shape[1] + 3 * i) for i, modality in enumerate(modalities)}
    before = {modality: values.copy() for modality, values in vectors.items()}
    step = Step(name, parameters, "step")
    corrupted = corrupted_vectors(step, vectors, IDS[: shape[0]], seed=7)
    expected, drawn, problems = one_by_one(step, vectors)
    assert list(corrupted.vectors) == list(vectors)
    for modality, values in corrupted.vectors.items():
        assert values.dtype == np.float32
        assert values.tobytes() == expected[modality].tobytes()
        assert np.array_equal(vectors[modality], before[modality])
    assert corrupted.values == drawn
    assert corrupted.problems == problems


def test_a_step_without_a_rate_leaves_even_the_sign_of_zero_and_measures_nothing() -> None:
    values = np.array([[-0.0, 1.0], [0.0, -1.0]], np.float32)
    corrupted = corrupted_vectors(Step("random_drop", {"rate": 0}), {"audio": values}, IDS[:2], seed=7)
    assert corrupted.vectors["audio"].tobytes() == values.tobytes()
    drawn = {"random_drop.rate": 0, "random_drop.unit": "element", "random_drop.modalities": "all"}
    assert corrupted.values == [drawn, drawn]


def test_rows_that_cannot_be_corrupted_stay_with_a_reason() -> None:
    values = matrix(2, 8)
    corrupted = corrupted_vectors(Step("step_drop", {"rate": 0.5}, "gaps"), {"audio": values}, IDS[:2], seed=7)
    assert corrupted.vectors["audio"].tobytes() == values.tobytes()
    assert corrupted.values == [{}, {}]
    reason = "gaps: audio has one vector per sample and no time steps that could be missing"
    assert corrupted.problems == {IDS[0]: reason, IDS[1]: reason}


@pytest.mark.parametrize(
    ("name", "n_ids", "message"),
    [
        ("word_deletion", 2, "corruption 'word_deletion' does not apply to the features of single samples"),
        ("tfrnet_drop", 2, "corruption 'tfrnet_drop' does not apply to the features of single samples"),
        ("random_drop", 1, "2 rows of features of audio have 1 ids"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, n_ids: int, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        corrupted_vectors(Step(name, {"rate": 0.5}), {"audio": matrix(2, 3)}, IDS[:n_ids], seed=0)


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
        """A digest whose first four bytes are zero, which no available id has."""

        def __init__(self, data: bytes = b"") -> None:
            self.data = data

        def copy(self) -> Digest:
            return Digest(self.data)

        def update(self, data: bytes) -> None:
            self.data += data

        def digest(self) -> bytes:
            return bytes(4) + bytes(range(28))

    monkeypatch.setattr("merbench.corruptions.drawing.hashlib.sha256", Digest)
    monkeypatch.setattr("merbench.corruptions.drawing.sha256_bytes", lambda data: Digest(data).digest().hex())
    (rng,) = generators(1, "step", ["a"])
    assert rng.state == np.random.PCG64(int.from_bytes(Digest().digest(), "big")).state
