"""Steps of a declaration applied to one sample's signal, with their sampled parameters and measured values.

The parameters of a step depend only on the seed of the track, the name of the step and the id of the sample: never on
the order of samples, the time or the process. A number that several steps share comes from its name instead of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import PCG64

from merbench.banks.bank import Bank
from merbench.corruptions import Audio, FromBank, FromColumn, Step, Video, generator, window_s
from merbench.corruptions.batches import GCNET, removed_modalities
from merbench.errors import Inapplicable

OpenBank = Callable[[str], Bank]


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A corrupted signal."""

    signal: Any
    # `<step>.<name>` -> the sampled parameters, the sounds taken from a bank, and what the step came to
    values: dict[str, Any]


class SampledStep:
    """A step with the parameters that were sampled for one sample.

    `sample_id` is empty for a step that corrupts all samples of a split at once.
    """

    def __init__(self, step: Step, seed: int, sample_id: str) -> None:
        self.step, self.seed, self.sample_id = step, seed, sample_id
        self._rng: PCG64 | None
        self.parameters, self._rng = self._sampled()

    def _sampled(self) -> tuple[dict[str, Any], PCG64]:
        rng = generator(self.seed, self.step.step_name, self.sample_id)
        return self.step.draws(self.seed, self.sample_id, rng), rng

    @property
    def changes_nothing(self) -> bool:
        """Whether every signal stays as it is."""
        return self.step.corruption.changes_nothing(self.parameters)

    def rng(self) -> PCG64:
        """Return the generator behind the sampled parameters, in the same state each time."""
        rng, self._rng = self._rng or self._sampled()[1], None
        return rng

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values under the step's name: `<step>.<name>`."""
        return {f"{self.step.step_name}.{key}": value for key, value in values.items()}


def sample_steps(steps: Sequence[Step], seed: int, sample_id: str) -> tuple[SampledStep, ...]:
    """Return the steps with their parameters for one sample, without touching any signal."""
    return tuple(SampledStep(step, seed, sample_id) for step in steps)


def sampled_values(steps: Sequence[SampledStep]) -> dict[str, Any]:
    """Return `<step>.<parameter>` -> the sampled value."""
    return {key: value for step in steps for key, value in step.named(step.parameters).items()}


def corrupt(
    signal: Any,
    steps: Sequence[Step],
    *,
    seed: int,
    sample_id: str,
    known: Mapping[str, Any] | None = None,
    banks: OpenBank | None = None,
) -> Corrupted:
    """Return the signal of one sample after all steps; see `apply_steps` for what is raised.

    Args:
        signal: `Audio`, `Video`, a text, or vectors by modality.
        steps: steps of this signal's modality, each of the scope of one sample.
        seed: seed of the track.
        sample_id: id of the sample.
        known: what the corpus knows of the sample, such as its speaker, or a box around the face.
        banks: name of a noise bank -> the bank; None takes those of the data home.
    """
    return apply_steps(signal, sample_steps(steps, seed, sample_id), known or {}, banks)


def apply_steps(
    signal: Any, steps: Sequence[SampledStep], known: Mapping[str, Any], banks: OpenBank | None = None
) -> Corrupted:
    """Return the signal of one sample after all steps; see `corrupt` for the arguments.

    Raises:
        Inapplicable: the signal cannot be corrupted so.
        UsageError: a bank cannot be opened.
    """
    values: dict[str, Any] = {}
    for sampled in steps:
        values |= sampled.named(sampled.parameters)
        if sampled.changes_nothing:
            continue
        corruption = sampled.step.corruption
        try:
            parameters, further = _with_sounds(sampled, signal, known, banks or _of_the_data_home)
            parameters |= _boxes(sampled, known)
            corrupted = corruption.apply(signal, sampled.rng(), parameters)
            if not isinstance(signal, Video):
                inside = _in_window(sampled, signal), _in_window(sampled, corrupted)
                further |= corruption.measure(*inside, parameters)
        except Inapplicable as error:
            raise Inapplicable(f"{sampled.step.step_name}: {error}") from error
        values |= sampled.named(further)
        signal = corrupted
    return Corrupted(signal, values)


def corrupt_split(
    signals: Sequence[Any],
    ids: Sequence[str],
    steps: Sequence[Step],
    *,
    seed: int,
    known: Mapping[str, Sequence[Any]] | None = None,
) -> list[Corrupted]:
    """Return the signals of all samples of a split, in the order of their sorted ids, after all steps.

    Steps of either scope may be given; the parameters of one of the scope of a split depend only on seed and step.
    """
    results = [Corrupted(signal, {}) for signal in signals]
    for step in steps:
        if step.corruption.scope == "split":
            results = _corrupt_all(results, SampledStep(step, seed, ""))
            continue
        if step.name == GCNET and len({frozenset(result.signal) for result in results}) == 1:
            results = _without_modalities(results, ids, step, seed)
            continue
        for row, sample_id in enumerate(ids):
            of_sample = {name: column[row] for name, column in (known or {}).items()}
            after = corrupt(results[row].signal, [step], seed=seed, sample_id=sample_id, known=of_sample)
            results[row] = Corrupted(after.signal, {**results[row].values, **after.values})
    return results


def _without_modalities(results: Sequence[Corrupted], ids: Sequence[str], step: Step, seed: int) -> list[Corrupted]:
    """Return vectors of the same modalities without those that are missing, which are drawn for all samples at once.

    One by one, a sample takes milliseconds. What it lacks is the same.
    """
    names = list(results[0].signal)
    removed, done = removed_modalities(step, names, ids, seed=seed), []
    for result, sample_id, lacks in zip(results, ids, removed.tolist(), strict=True):
        sampled, before = SampledStep(step, seed, sample_id), result.signal
        after, values = before, dict(sampled.parameters)
        if not sampled.changes_nothing:
            missing = {name for name, is_missing in zip(names, lacks, strict=True) if is_missing}
            after = {name: np.zeros_like(own) if name in missing else own for name, own in before.items()}
            values |= step.corruption.measure(before, after, sampled.parameters)
        done.append(Corrupted(after, result.values | sampled.named(values)))
    return done


def _corrupt_all(results: Sequence[Corrupted], sampled: SampledStep) -> list[Corrupted]:
    corruption = sampled.step.corruption
    before = [result.signal for result in results]
    try:
        after = before if sampled.changes_nothing else corruption.apply(before, sampled.rng(), sampled.parameters)
    except Inapplicable as error:
        raise Inapplicable(f"{sampled.step.step_name}: {error}") from error
    measured = (corruption.measure(*pair, sampled.parameters) for pair in zip(before, after, strict=True))
    return [
        Corrupted(signal, result.values | sampled.named({**sampled.parameters, **values}))
        for result, signal, values in zip(results, after, measured, strict=True)
    ]


def _in_window(sampled: SampledStep, signal: Any) -> Any:
    """Return the part of a signal that lies in the time window of a step; only sound has one here."""
    if not isinstance(signal, Audio):
        return signal
    begin, end = _window_samples(signal, sampled.parameters)
    return signal.with_samples(signal.samples[:, begin:end])


def _window_samples(audio: Audio, parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Return the first sample and the end of the window, as `edited_audio` cuts it."""
    start_s, end_s = window_s(parameters, audio.duration_s)
    n = audio.samples.shape[1]
    return min(round(start_s * audio.rate_hz), n), n if math.isinf(end_s) else min(round(end_s * audio.rate_hz), n)


def _with_sounds(
    sampled: SampledStep, signal: Any, known: Mapping[str, Any], banks: OpenBank
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters with a sound instead of every bank's name, and which sounds were taken."""
    parameters, sources = dict(sampled.parameters), dict[str, Any]()
    for name, parameter in sampled.step.corruption.parameters.items():
        bank = parameter.mark(FromBank)
        if bank is None:
            continue
        assert isinstance(signal, Audio)
        begin, end = _window_samples(signal, parameters)
        if begin >= end:
            raise Inapplicable("its window contains no sound")
        sounds = banks(sampled.parameters[name]).draw(
            generator(sampled.seed, f"{sampled.step.step_name}.{name}", sampled.sample_id),
            end - begin,
            signal.rate_hz,
            n_sources=parameters.get("n_speakers", 1),
            fill="entire" if bank.entire else parameters.get("fill", "concatenate"),
            other_than_speaker=known.get("speaker"),
        )
        parameters[name] = sounds.audio
        sources["source"] = "; ".join(sounds.sources)
        if not bank.entire:
            sources["offset_s"] = list(sounds.offsets_s) if "n_speakers" in parameters else sounds.offsets_s[0]
    return parameters, sources


def _of_the_data_home(name: str) -> Bank:
    from merbench.banks.folder import open_bank  # imports tables, which a process that has its banks does not need

    return open_bank(name)


def _boxes(sampled: SampledStep, known: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return the sample's own box for every parameter that names the column with it."""
    names = [name for name, item in sampled.step.corruption.parameters.items() if item.mark(FromColumn)]
    columns = {name: sampled.parameters[name] for name in names}
    return {name: _box(known.get(column), column) for name, column in columns.items()}


def _box(cell: object, column: str) -> tuple[float, ...]:
    if cell is None or cell == "":
        raise Inapplicable(f"the corpus has no box of this sample in a column '{column}'")
    try:
        box = tuple(float(part) for part in str(cell).replace(",", " ").split())
    except ValueError:
        box = ()
    if len(box) != 4:
        raise Inapplicable(f"'{cell}' in column '{column}' is not a box, four fractions x, y, width and height")
    return box
