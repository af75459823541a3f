"""The vectors of many samples go in as one matrix, the damaged matrix comes out: the numbers that each would get alone.

Conventions:
    values: `(n, d)` floats, one row per id; returned is float32. Each row is damaged in float64 and then rounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import PCG64
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from merbench.corruptions.declaration import CORRUPTIONS, SEVERITY, Corruption
from merbench.corruptions.drawing import draw, generator, shared_draw
from merbench.corruptions.features import RULES, damaged_modalities, to_stretch
from merbench.errors import UsageError

Words = NDArray[np.uint32]

_BLOCK_VALUES = 1 << 14
"""So many numbers are damaged at once: they stay in the cache of one core."""

_CHUNK = 1 << 12
"""So many samples are seeded at once."""


def damaged_matrix(
    name: str,
    values: NDArray[Any],
    ids: Sequence[str],
    *,
    modality: str,
    seed: int,
    parameters: Mapping[str, Any],
    step: str | None = None,
    out: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
    """Return the damaged vectors of many samples, and what was drawn for each.

    Row i is what the corruption makes of `{modality: values[i]}` with `generator(seed, step, ids[i])`, rounded to
    float32. Diffusion noise, Gaussian noise and the random drop of elements go through by blocks; every other
    corruption is called row by row.

    Args:
        name: a corruption of features whose scope is a sample.
        values: the vectors.
        ids: an id for each row.
        modality: which modality the vectors are of.
        seed: seed of the track.
        parameters: as declared, already checked: values or distributions.
        step: name of the step; None is that of the corruption.
        out: `(n, d)` array that is written to, such as a mapped file; it must not share memory with `values`.

    Raises:
        UsageError: the corruption is none of single samples' features, or a row has no id of its own.
        Inapplicable: a row cannot be damaged so.
    """
    known = CORRUPTIONS[name]
    if known.modality != "features" or known.scope != "sample":
        raise UsageError(f"corruption '{name}' is none of a single sample's features")
    if len(ids) != len(values):
        raise UsageError(f"{len(values)} rows of features have {len(ids)} ids")
    damaged = np.empty(values.shape, dtype=np.float32) if out is None else out
    of_samples = _Samples(known, parameters, seed, step or name)
    rows = _by_blocks if _goes_by_blocks(name, parameters) else _one_by_one
    return damaged, rows(of_samples, values, ids, modality, damaged)


class _Samples:
    """One step of damage, seen from the samples: the generator of each, and what is drawn from it."""

    def __init__(self, known: Corruption, declared: Mapping[str, Any], seed: int, step: str) -> None:
        self.known, self.declared, self.seed, self.step = known, declared, seed, step
        plain = {name: value for name, value in declared.items() if not isinstance(value, Mapping)}
        self.same = known.draw(plain, generator(seed, step, ""))
        self.drawn_names = [name for name in known.parameters if isinstance(declared.get(name), Mapping)]
        self.is_same_for_all = plain.keys() == declared.keys()

    def generators(self, ids: Sequence[str]) -> Iterator[PCG64]:
        return generators(self.seed, self.step, ids)

    def drawn(self, rng: PCG64, sample_id: str) -> dict[str, Any]:
        if self.is_same_for_all:
            return self.same
        shared = shared_draw(self.seed, sample_id)
        if isinstance(self.declared.get(SEVERITY), Mapping):
            return self.known.draw(self.declared, rng, shared)
        return self.same | {name: draw(self.declared[name], rng, shared) for name in self.drawn_names}


def _goes_by_blocks(name: str, declared: Mapping[str, Any]) -> bool:
    is_drawn = any(isinstance(declared.get(key), Mapping) for key in ("kind", "schedule", "unit", "modalities"))
    return name in RULES and not is_drawn and declared.get("unit") != "frame"


def _one_by_one(
    samples: _Samples, values: NDArray[Any], ids: Sequence[str], modality: str, out: NDArray[np.float32]
) -> list[dict[str, Any]]:
    found = []
    for i, (sample_id, rng) in enumerate(zip(ids, samples.generators(ids), strict=True)):
        drawn = samples.drawn(rng, sample_id)
        found.append(drawn)
        signal = {modality: values[i].astype(np.float64)}
        out[i] = signal[modality] if samples.known.is_left(drawn) else samples.known(signal, rng, drawn)[modality]
    return found


def _by_blocks(
    samples: _Samples, values: NDArray[Any], ids: Sequence[str], modality: str, out: NDArray[np.float32]
) -> list[dict[str, Any]]:
    n, d = values.shape
    which = samples.declared.get("modalities", samples.known.parameters["modalities"].default)
    is_damaged = bool(damaged_modalities({modality: None}, which))
    if not is_damaged:
        out[:] = values
    rule = RULES[samples.known.name]
    n_words = -(-d // 4)
    height = max(1, _BLOCK_VALUES // max(d, 1))
    words = np.empty((height, n_words), dtype="<u8")
    rngs = samples.generators(ids)
    found: list[dict[str, Any]] = []
    for start in range(0, n, height):
        block = slice(start, min(start + height, n))
        drawn = []
        for i, sample_id in enumerate(ids[block]):
            rng = next(rngs)
            drawn.append(samples.drawn(rng, sample_id))
            if is_damaged:
                to_stretch(rng, modality)
                words[i] = rng.random_raw(n_words)
        if is_damaged:
            draws = words.view("<u2")[: len(drawn), :d]
            out[block] = rule(values[block].astype(np.float64), draws, drawn[:1] if samples.is_same_for_all else drawn)
        found += drawn
    return found


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
