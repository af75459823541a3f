"""Masks of missing modalities: those of a set of 1,000,000 samples at once, and those of each sample by its own draws.

Inputs: three modalities; ids `sample_00000000` and on; constant rates. Masks of a set come from one generator, as GCNet
and CPM-Nets make them. Those of a sample depend on its id only, so that they are the same in any set, batch and run: a
SHA-256 and a generator for each, and for GCNet's masks 32 rows that are sampled until their share is near the rate.
Lower bounds: NumPy's uniform numbers for all entries of the masks of a set; seeding the generators of single samples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measuring import machine, race, seconds, table
from merbench.corruptions import Step, generator
from merbench.corruptions.batches import removed_modalities
from merbench.corruptions.drawing import generators
from merbench.corruptions.missing import gcnet_masks

N, N_SINGLE = 1_000_000, 20_000
MODALITIES = ("audio", "text", "video")
STEPS: dict[str, dict[str, Any]] = {
    "gcnet_missing": {"rate": 0.5},
    "imbalanced_missing": {"audio": 0.3, "text": 0.2, "video": 0.5},
    "modality_absence": {"modality": "audio", "rate": 0.5},
    "modality_pattern": {"pattern": "at"},
}


def main() -> None:
    """Print the tables."""
    contenders: dict[str, Callable[[], object]] = {
        f"set of {N:,}, rate {rate}": partial(_of_a_set, rate) for rate in (0.1, 0.3, 0.5, 0.7)
    }
    contenders["uniforms of a set"] = partial(np.random.default_rng(0).random, (N, len(MODALITIES)))
    ids = [f"sample_{i:08d}" for i in range(N_SINGLE)]
    for name, parameters in STEPS.items():
        step = Step(name, parameters)
        contenders[f"{N_SINGLE:,} single samples, {name}"] = partial(removed_modalities, step, MODALITIES, ids, seed=0)
    contenders[f"{N_SINGLE:,} generators"] = lambda: sum(1 for _ in generators(0, "step", ids))
    times = race(contenders, rounds=3)
    rows = [(name, seconds(value)) for name, value in times.items()]
    print(machine(["numpy"]) + "\n")
    print(table(("masks", "time"), rows))
    worst = max(value for name, value in times.items() if name.startswith("set"))
    print(f"\nmasks of a set of {N:,}: {seconds(worst)} at most; wanted: 1 s")


def _of_a_set(rate: float) -> object:
    return gcnet_masks(N, len(MODALITIES), rate, generator(0, "masks", ""))


if __name__ == "__main__":
    main()
