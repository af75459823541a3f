"""The vectors of many samples go in as matrices, the damaged matrices come out: the numbers each sample gets alone.

Conventions:
    Vectors are `(n, d)` floats by modality, one row per id; damaged ones are float32. Each row is damaged in float64
    and then rounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.random import PCG64
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from merbench.corruptions.drawing import generator
from merbench.corruptions.features import RULES, Vector, damaged_modalities, own_stretches
from merbench.corruptions.step import Step
from merbench.errors import Inapplicable, UsageError

Words = NDArray[np.uint32]

_BLOCK_VALUES = 1 << 14
"""So many numbers are damaged at once: they stay in the cache of one core."""

_CHUNK = 1 << 12
"""So many samples are seeded at once."""


@dataclass(frozen=True, eq=False)
class DamagedVectors:
    """The vectors of many samples after one step of damage.

    Attributes:
        vectors: modality -> the damaged matrix; a row that could not be damaged is as it was.
        values: for each row, `<step>.<name>` -> what was drawn and what the damage came to; nothing where the row could
            not be damaged.
        problems: id -> why its row could not be damaged.
    """

    vectors: dict[str, NDArray[np.float32]] = field(repr=False)
    values: list[dict[str, Any]] = field(repr=False)
    problems: dict[str, str]


def damaged_vectors(
    step: Step, vectors: Mapping[str, NDArray[Any]], ids: Sequence[str], *, seed: int
) -> DamagedVectors:
    """Return what one step makes of the vectors of many samples that have the same modalities.

    Row i is what the corruption makes of `{modality: vectors[modality][i]}` with `generator(seed, step_name, ids[i])`,
    rounded to float32. Diffusion noise, Gaussian noise and the random drop of elements go through by blocks; every
    other corruption is called row by row.

    Args:
        step: a step whose corruption is one of features and of the scope of a sample.
        vectors: modality -> a matrix with a row per id.
        ids: an id for each row.
        seed: seed of the track.

    Raises:
        UsageError: the corruption is none of single samples' features, or a row has no id of its own.
    """
    if step.corruption.modality != "features" or step.corruption.scope != "sample":
        raise UsageError(f"corruption '{step.name}' is none of a single sample's features")
    for modality, values in vectors.items():
        if len(ids) != len(values):
            raise UsageError(f"{len(values)} rows of features of {modality} have {len(ids)} ids")
    damaged = DamagedVectors({name: values.astype(np.float32) for name, values in vectors.items()}, [], {})
    samples = _samples(step, ids, seed)
    rows = _by_blocks if _goes_by_blocks(step) else _one_by_one
    rows(step, vectors, samples, damaged)
    return damaged


@dataclass(frozen=True, slots=True)
class _Sample:
    """One row: its id, its generator behind what was drawn, its parameters, and whether they damage nothing."""

    id: str
    rng: PCG64
    drawn: dict[str, Any]
    is_left: bool


def _samples(step: Step, ids: Sequence[str], seed: int) -> Iterator[_Sample]:
    differs = step.differs
    drawn = {} if differs else step.draws(seed, "")
    is_left = not differs and step.corruption.is_left(drawn)
    for sample_id, rng in zip(ids, generators(seed, step.step_name, ids), strict=True):
        if differs:
            drawn = step.draws(seed, sample_id, rng)
            is_left = step.corruption.is_left(drawn)
        yield _Sample(sample_id, rng, drawn, is_left)


def _goes_by_blocks(step: Step) -> bool:
    is_drawn = any(isinstance(step.parameters.get(key), Mapping) for key in ("kind", "schedule", "unit", "modalities"))
    return step.name in RULES and not is_drawn and step.parameters.get("unit") != "frame"


def _one_by_one(
    step: Step, vectors: Mapping[str, NDArray[Any]], samples: Iterator[_Sample], damaged: DamagedVectors
) -> None:
    measured = step.corruption.measured
    for i, sample in enumerate(samples):
        before = {name: values[i].astype(np.float64) for name, values in vectors.items()}
        try:
            after = before if sample.is_left else step.corruption(before, sample.rng, sample.drawn)
        except Inapplicable as error:
            damaged.problems[sample.id] = f"{step.step_name}: {error}"
            damaged.values.append({})
            continue
        for name, values in after.items():
            damaged.vectors[name][i] = values
        realised = {} if measured is None or sample.is_left else measured(before, after, sample.drawn)
        damaged.values.append(_named(step, {**sample.drawn, **realised}))


def _named(step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{step.step_name}.{name}": value for name, value in values.items() if value is not None}


def _by_blocks(
    step: Step, vectors: Mapping[str, NDArray[Any]], samples: Iterator[_Sample], damaged: DamagedVectors
) -> None:
    which = step.parameters.get("modalities", step.corruption.parameters["modalities"].default)
    names = damaged_modalities(vectors, which)
    widest = max((vectors[name].shape[1] for name in names), default=0)
    height = max(1, _BLOCK_VALUES // max(widest, 1))
    measured, start = step.corruption.measured, 0
    while block := list(islice(samples, height)):
        rows = slice(start, start + len(block))
        before = {name: vectors[name][rows].astype(np.float64) for name in names}
        after = _damaged_block(step, before, block)
        for name in names:
            damaged.vectors[name][rows] = after[name]
        for i, sample in enumerate(block):
            realised: Mapping[str, Any] = {}
            if sample.is_left:
                for name in names:
                    damaged.vectors[name][start + i] = vectors[name][start + i]
            elif measured is not None:
                realised = measured(_row(before, i), _row(after, i), sample.drawn)
            damaged.values.append(_named(step, {**sample.drawn, **realised}))
        start += len(block)


def _row(matrices: Mapping[str, Vector], i: int) -> dict[str, Vector]:
    return {name: values[i] for name, values in matrices.items()}


def _damaged_block(step: Step, before: Mapping[str, Vector], block: Sequence[_Sample]) -> dict[str, Vector]:
    words = {name: np.empty((len(block), -(-values.shape[1] // 4)), dtype="<u8") for name, values in before.items()}
    for i, sample in enumerate(block):
        for name in own_stretches(sample.rng, list(before)):
            words[name][i] = sample.rng.random_raw(words[name].shape[1])
    drawn = [sample.drawn for sample in (block if step.differs else block[:1])]
    rule = RULES[step.name]
    return {name: rule(values, words[name].view("<u2")[:, : values.shape[1]], drawn) for name, values in before.items()}


def generators(seed: int, step: str, ids: Iterable[str]) -> Iterator[PCG64]:
    """Go through the generators of many samples for one step: those of `generator`, seeded many at a time.

    NumPy takes most of a generator's time to spread its seed over the state; here that is done for thousands at once,
    with the same result.
    """
    prefix = hashlib.sha256(f"{seed}\0{step}\0".encode())
    ids = list(ids)
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        digests = []
        for sample_id in chunk:
            digest = prefix.copy()
            digest.update(sample_id.encode())
            digests.append(digest.digest())
        entropy = np.frombuffer(b"".join(digests), dtype=">u4").reshape(-1, 8)[:, ::-1].astype(np.uint32)
        states = seeded_states(entropy)
        for sample_id, state, highest in zip(chunk, states, entropy[:, -1].tolist(), strict=True):
            if highest:
                yield PCG64(_Seeded(state))  # type: ignore[arg-type] # any such interface is taken; NumPy's types say less
            else:  # NumPy leaves out the leading words of a seed that are zero, which changes what it makes of it
                yield generator(seed, step, sample_id)


class _Seeded(ISeedSequence):
    """A seed that has been spread already."""

    def __init__(self, state: NDArray[np.uint64]) -> None:
        self.state = state

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        return self.state


def seeded_states(entropy: Words) -> NDArray[np.uint64]:
    """Return what `numpy.random.SeedSequence(seed).generate_state(4, numpy.uint64)` gives for every seed.

    It is the algorithm of O'Neill's `seed_seq_fe` (2015), which NumPy promises to keep, on whole columns.

    Args:
        entropy: `(n, k)` seeds of k >= 4 words each, the lowest word first.
    """
    columns = entropy.T.astype(np.uint32)
    hashed = _Hash(0x43B0D7E5, 0x931E8875)
    pool = [hashed(column) for column in columns[:4]]
    for source in range(4):
        for target in range(4):
            if source != target:
                pool[target] = _mixed(pool[target], hashed(pool[source]))
    for column in columns[4:]:
        for target in range(4):
            pool[target] = _mixed(pool[target], hashed(column))
    hashed = _Hash(0x8B51F9DD, 0x58F38DED)
    state = np.stack([hashed(pool[i % 4]) for i in range(8)], axis=1)
    return state.astype("<u4").view("<u8").astype(np.uint64)


class _Hash:
    """The hash of `seed_seq_fe`, whose constant moves on with every call."""

    def __init__(self, constant: int, multiplier: int) -> None:
        self.constant, self.multiplier = constant, multiplier

    def __call__(self, words: Words) -> Words:
        before, self.constant = self.constant, self.constant * self.multiplier & 0xFFFFFFFF
        return _folded((words ^ np.uint32(before)) * np.uint32(self.constant))


def _mixed(a: Words, b: Words) -> Words:
    return _folded(a * np.uint32(0xCA01F9DD) - b * np.uint32(0x4973F715))


def _folded(words: Words) -> Words:
    return words ^ (words >> np.uint32(16))
