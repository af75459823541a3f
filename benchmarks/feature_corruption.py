"""100,000 feature vectors corrupted at once, compared with copying them and with making the generators.

Inputs: 100,000 vectors of 1,024 float32; every sample has its own generator, from (seed, step, id).
Timed: `corrupted_vectors` with its three rules, with one value for all samples and with one sampled for each; the
measured values of Gaussian noise and random drop are included. Compared in the same run: a copy of the matrix (memory);
as many normals and uniforms of NumPy in float32 from a single stream; only the generators of all samples and their
words; the same with the words as normals; and the corruption sample by sample, on fewer of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measuring import machine, race, seconds, table
from merbench.corruptions import CORRUPTIONS, Step, generator
from merbench.corruptions.batches import corrupted_vectors
from merbench.corruptions.drawing import NORMAL_UNIT, generators, normal_quantiles

N, D, SEED = 100_000, 1_024, 2023
N_ALONE = 2_000
BLOCK = 16
COPY, NUMPY_NORMALS, NUMPY_UNIFORMS = (
    "copy of the matrix",
    "NumPy: normals of one stream",
    "NumPy: uniforms of one stream",
)
WORDS, NORMALS = "generators and words of all samples", "the same, words turned into normals"
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "diffusion noise, t = 20": ("diffusion_noise", {"t": 20}),
    "diffusion noise, impulses": ("diffusion_noise", {"t": 20, "kind": "impulse"}),
    "diffusion noise, t drawn": ("diffusion_noise", {"t": {"integers": [0, 99]}}),
    "Gaussian noise, 5 dB": ("gaussian_noise_features", {"snr_db": 5}),
    "random drop, 0.3": ("random_drop", {"rate": 0.3}),
}


def main() -> None:
    """Print the table."""
    values = np.random.default_rng(0).standard_normal((N, D), dtype=np.float32)
    out = np.empty_like(values)
    ids = [f"sample_{i:08d}" for i in range(N)]
    stream = np.random.Generator(np.random.PCG64(SEED))

    def words() -> None:
        for rng in generators(SEED, "step", ids):
            rng.random_raw(D // 4)

    def normals() -> None:
        quantiles = normal_quantiles() * NORMAL_UNIT
        drawn, block = np.empty((BLOCK, D // 4), "<u8"), np.empty((BLOCK, D))
        for i, rng in enumerate(generators(SEED, "step", ids)):
            drawn[i % BLOCK] = rng.random_raw(D // 4)
            if i % BLOCK == BLOCK - 1:
                np.take(quantiles, drawn.view("<u2"), out=block, mode="clip")

    def one_by_one() -> None:
        known = CORRUPTIONS["diffusion_noise"]
        for sample_id, row in zip(ids[:N_ALONE], values, strict=False):
            rng = generator(SEED, "step", sample_id)
            known({"audio": row.astype(np.float64)}, rng, known.draw({"t": 20}, rng))

    def corrupt(name: str, parameters: dict[str, Any]) -> Callable[[], object]:
        return lambda: corrupted_vectors(Step(name, parameters), {"audio": values}, ids, seed=SEED)

    sample_by_sample = f"diffusion noise sample by sample, {N_ALONE:,} of them"
    times = race(
        {
            COPY: lambda: np.copyto(out, values),
            NUMPY_NORMALS: lambda: stream.standard_normal(out=out, dtype=np.float32),
            NUMPY_UNIFORMS: lambda: stream.random(out=out, dtype=np.float32),
            WORDS: words,
            NORMALS: normals,
            **{label: corrupt(name, parameters) for label, (name, parameters) in STEPS.items()},
            sample_by_sample: one_by_one,
        },
        rounds=3,
    )
    times[sample_by_sample] *= N / N_ALONE
    references = (COPY, NUMPY_NORMALS, WORDS, NORMALS)
    rows = [
        (name, seconds(t), f"{t / N * 1e6:.1f} µs", *(f"{times[reference] / t:.0%}" for reference in references))
        for name, t in times.items()
    ]
    print(f"{N:,} vectors of {D:,} float32\n" + machine(["numpy"]) + "\n")
    print(table(["", "median", "a vector", "speed of copy", "of NumPy's normals", "of words", "of normals"], rows))


if __name__ == "__main__":
    main()
