"""Feature vectors of many samples corrupted at once: each row gets the values it would get by itself.

Conventions:
    Vectors are `(n, d)` floats by modality, one row per id; corrupted ones are float32. Each row is corrupted in
    float64 and then rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import Step
from merbench.corruptions.drawing import generators
from merbench.corruptions.features import RULES, Vector, chosen_modalities, own_stretches
from merbench.corruptions.missing import ORDER, gcnet_rows
from merbench.errors import Inapplicable, UsageError

_BLOCK_VALUES = 1 << 14
"""So many numbers are corrupted at once: they stay in the cache of one core."""


@dataclass(frozen=True, eq=False)
class CorruptedVectors:
    """The vectors of many samples after one step."""

    # modality -> the corrupted matrix; a row that could not be corrupted is as it was
    vectors: dict[str, NDArray[np.float32]] = field(repr=False)
    # for each row, `<step>.<name>` -> the sampled parameters and the measured values; empty if the row could not be
    # corrupted
    values: list[dict[str, Any]] = field(repr=False)
    problems: dict[str, str]  # id -> why its row could not be corrupted


def corrupted_vectors(
    step: Step, vectors: Mapping[str, NDArray[Any]], ids: Sequence[str], *, seed: int
) -> CorruptedVectors:
    """Return the vectors of many samples that have the same modalities, after one step.

    Row i is what the corruption returns for `{modality: vectors[modality][i]}` with `generator(seed, step_name,
    ids[i])`, rounded to float32. Those of `RULES` work on blocks of rows, every other corruption row by row.

    Raises:
        UsageError: the corruption does not apply to the features of single samples, or a row has no id.
    """
    if step.corruption.modality != "features" or step.corruption.scope != "sample":
        raise UsageError(f"corruption '{step.name}' does not apply to the features of single samples")
    for modality, values in vectors.items():
        if len(ids) != len(values):
            raise UsageError(f"{len(values)} rows of features of {modality} have {len(ids)} ids")
    corrupted = CorruptedVectors({name: values.astype(np.float32) for name, values in vectors.items()}, [], {})
    corrupt = _by_blocks if _has_blocks(step) else _row_by_row
    corrupt(step, vectors, _samples(step, ids, seed), corrupted)
    return corrupted


@dataclass(frozen=True, slots=True)
class _Sample:
    """One row: its id, its generator after its parameters were sampled, these, and whether they change nothing."""

    id: str
    rng: PCG64
    sampled: dict[str, Any]
    is_unchanged: bool


def _samples(step: Step, ids: Sequence[str], seed: int) -> Iterator[_Sample]:
    differs = step.differs
    sampled = {} if differs else step.draws(seed, "")
    is_unchanged = not differs and step.corruption.changes_nothing(sampled)
    for sample_id, rng in zip(ids, generators(seed, step.step_name, ids), strict=True):
        if differs:
            sampled = step.draws(seed, sample_id, rng)
            is_unchanged = step.corruption.changes_nothing(sampled)
        yield _Sample(sample_id, rng, sampled, is_unchanged)


def _has_blocks(step: Step) -> bool:
    is_drawn = any(isinstance(step.parameters.get(key), Mapping) for key in ("kind", "schedule", "unit", "modalities"))
    return step.name in RULES and not is_drawn and step.parameters.get("unit") != "frame"


def _row_by_row(
    step: Step, vectors: Mapping[str, NDArray[Any]], samples: Iterator[_Sample], corrupted: CorruptedVectors
) -> None:
    corruption = step.corruption
    for i, sample in enumerate(samples):
        before = {name: values[i].astype(np.float64) for name, values in vectors.items()}
        try:
            after = before if sample.is_unchanged else corruption.apply(before, sample.rng, sample.sampled)
        except Inapplicable as error:
            corrupted.problems[sample.id] = f"{step.step_name}: {error}"
            corrupted.values.append({})
            continue
        for name, values in after.items():
            corrupted.vectors[name][i] = values
        realised = {} if sample.is_unchanged else corruption.measure(before, after, sample.sampled)
        corrupted.values.append(_named(step, sample.sampled | realised))


def _named(step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{step.step_name}.{name}": value for name, value in values.items()}


def _by_blocks(
    step: Step, vectors: Mapping[str, NDArray[Any]], samples: Iterator[_Sample], corrupted: CorruptedVectors
) -> None:
    corruption = step.corruption
    which = step.parameters.get("modalities", corruption.parameters["modalities"].default)
    names = chosen_modalities(vectors, which)
    widest = max((vectors[name].shape[1] for name in names), default=0)
    height, start = max(1, _BLOCK_VALUES // max(widest, 1)), 0
    while block := list(islice(samples, height)):
        rows = slice(start, start + len(block))
        before = {name: vectors[name][rows].astype(np.float64) for name in names}
        after = _corrupted_block(step, before, block)
        for name in names:
            corrupted.vectors[name][rows] = after[name]
        for i, sample in enumerate(block):
            if sample.is_unchanged:
                for name in names:
                    corrupted.vectors[name][start + i] = vectors[name][start + i]
            is_measured = corruption.measured is not None and not sample.is_unchanged
            realised = corruption.measure(_row(before, i), _row(after, i), sample.sampled) if is_measured else {}
            corrupted.values.append(_named(step, sample.sampled | realised))
        start += len(block)


GCNET = "gcnet_missing"
"""The corruption whose masks are drawn for many samples at once."""

_REMOVING = (GCNET, "imbalanced_missing", "modality_absence", "modality_pattern")
_AT_ONCE = 1024


def removes_modalities(step: Step) -> bool:
    """Return whether a step leaves every modality of a sample as it is, or nothing of it."""
    return step.name in _REMOVING and step.parameters.get("absent", "zeros") == "zeros"


def removed_modalities(step: Step, names: Sequence[str], ids: Sequence[str], *, seed: int) -> NDArray[np.bool_]:
    """Return which modalities a step removes of samples that have the same ones, `(n, len(names))`.

    Row i is what the corruption sets to zero with `generator(seed, step_name, ids[i])`; nothing, if it is inapplicable.

    Raises:
        Inapplicable: it is inapplicable to every sample.
    """
    if step.name == GCNET:
        return _removed_by_gcnet(step, names, ids, seed)
    removed, problems = np.zeros((len(ids), len(names)), dtype=np.bool_), list[Inapplicable]()
    signal = {name: np.ones(1) for name in names}
    for row, sample in enumerate(_samples(step, ids, seed)):
        if not sample.is_unchanged:
            try:
                after = step.corruption.apply(signal, sample.rng, sample.sampled)
            except Inapplicable as error:
                problems.append(error)
                continue
            removed[row] = [not after[name].any() for name in names]
    if problems and len(problems) == len(ids):
        raise problems[0]
    return removed


def _removed_by_gcnet(step: Step, names: Sequence[str], ids: Sequence[str], seed: int) -> NDArray[np.bool_]:
    removed = np.zeros((len(ids), len(names)), dtype=np.bool_)
    taking_part = [name for name in ORDER if name in names]
    columns = [list(names).index(name) for name in taking_part]
    samples = _samples(step, ids, seed)
    for start in range(0, len(ids) if columns else 0, _AT_ONCE):
        block = list(islice(samples, _AT_ONCE))
        rates = np.array([sample.sampled["rate"] for sample in block], dtype=np.float64)
        kept = gcnet_rows(len(columns), rates, [sample.rng for sample in block])
        removed[start : start + len(block), columns] = ~kept & (rates > 0)[:, None]
    return removed


def _row(matrices: Mapping[str, Vector], i: int) -> dict[str, Vector]:
    return {name: values[i] for name, values in matrices.items()}


def _corrupted_block(step: Step, before: Mapping[str, Vector], block: Sequence[_Sample]) -> dict[str, Vector]:
    words = {name: np.empty((len(block), -(-values.shape[1] // 4)), dtype="<u8") for name, values in before.items()}
    for i, sample in enumerate(block):
        for name in own_stretches(sample.rng, list(before)):
            words[name][i] = sample.rng.random_raw(words[name].shape[1])
    sampled = [sample.sampled for sample in (block if step.differs else block[:1])]
    rule = RULES[step.name]
    return {
        name: rule(values, words[name].view("<u2")[:, : values.shape[1]], sampled) for name, values in before.items()
    }
