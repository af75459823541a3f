"""A declaration's steps and one sample's signal go in, the damaged signal comes out, with what was drawn and realised.

Draws of a step come from (seed of the track, name of the step, id of the sample) alone: never from the order of
samples, the time or the process. A number that several steps share comes from its name in place of the step's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merbench.banks.bank import Bank
from merbench.corruptions import Audio, FromBank, FromColumn, Step, Video, generator, window_s
from merbench.errors import Inapplicable

OpenBank = Callable[[str], Bank]


@dataclass(frozen=True, eq=False)
class Damaged:
    """A damaged signal.

    Attributes:
        signal: the signal.
        values: `<step>.<name>` -> what was drawn, which sounds of a bank were taken, what the damage came to.
    """

    signal: Any
    values: dict[str, Any]


def drawn_values(steps: Sequence[Step], seed: int, sample_id: str) -> dict[str, Any]:
    """Return `<step>.<parameter>` -> what is drawn for one sample, without touching any signal."""
    return {f"{step.step_name}.{key}": value for step in steps for key, value in step.draws(seed, sample_id).items()}


def leaves(steps: Sequence[Step], seed: int, sample_id: str) -> bool:
    """Return whether what is drawn for one sample damages nothing."""
    return all(step.corruption.changes_nothing(step.draws(seed, sample_id)) for step in steps)


def damage(
    signal: Any,
    steps: Sequence[Step],
    *,
    seed: int,
    sample_id: str,
    known: Mapping[str, Any] | None = None,
    banks: OpenBank | None = None,
) -> Damaged:
    """Return the signal of one sample with all steps applied, one after the other.

    Args:
        signal: `Audio`, `Video`, a text, or vectors by modality.
        steps: steps of this signal's modality, each of the scope of one sample.
        seed: seed of the track.
        sample_id: id of the sample.
        known: what the corpus knows of the sample, such as its speaker, or a box around the face.
        banks: name of a noise bank -> the bank; None takes those of the data home.

    Raises:
        Inapplicable: the signal cannot be damaged so.
        UsageError: a bank cannot be opened.
    """
    values: dict[str, Any] = {}
    known = known or {}
    for step in steps:
        rng = generator(seed, step.step_name, sample_id)
        drawn = step.draws(seed, sample_id, rng)
        values |= {f"{step.step_name}.{key}": value for key, value in drawn.items()}
        if step.corruption.changes_nothing(drawn):
            continue
        try:
            parameters, taken = _with_sounds(step, drawn, signal, seed, sample_id, known, banks)
            parameters |= _boxes(step, drawn, known)
            damaged = step.corruption(signal, rng, parameters)
            if not isinstance(signal, Video):
                taken |= step.corruption.measure(*_inside(signal, damaged, drawn), parameters)
        except Inapplicable as error:
            raise Inapplicable(f"{step.step_name}: {error}") from error
        values |= {f"{step.step_name}.{key}": value for key, value in taken.items()}
        signal = damaged
    return Damaged(signal, values)


def damage_split(
    signals: Sequence[Any],
    ids: Sequence[str],
    steps: Sequence[Step],
    *,
    seed: int,
    known: Mapping[str, Sequence[Any]] | None = None,
) -> list[Damaged]:
    """Return the signals of all samples of a split, in the order of their sorted ids, with all steps applied.

    Steps of either scope are taken; one of the scope of a split draws from (seed, step) alone.
    """
    found = [Damaged(signal, {}) for signal in signals]
    for step in steps:
        if step.corruption.scope == "split":
            found = _damage_all(found, step, seed)
            continue
        columns = known or {}
        for row, sample_id in enumerate(ids):
            of_sample = {name: column[row] for name, column in columns.items()}
            one = damage(found[row].signal, [step], seed=seed, sample_id=sample_id, known=of_sample)
            found[row] = Damaged(one.signal, {**found[row].values, **one.values})
    return found


def _damage_all(found: Sequence[Damaged], step: Step, seed: int) -> list[Damaged]:
    rng = generator(seed, step.step_name, "")
    drawn = step.draws(seed, "", rng)
    before = [one.signal for one in found]
    try:
        after = before if step.corruption.changes_nothing(drawn) else step.corruption(before, rng, drawn)
    except Inapplicable as error:
        raise Inapplicable(f"{step.step_name}: {error}") from error
    results = []
    for one, signal in zip(found, after, strict=True):
        values = drawn | step.corruption.measure(one.signal, signal, drawn)
        results.append(
            Damaged(signal, {**one.values, **{f"{step.step_name}.{key}": item for key, item in values.items()}})
        )
    return results


def _inside(before: Any, after: Any, drawn: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the parts of two signals that lie in the window of a step."""
    if not isinstance(before, Audio):
        return before, after
    begin, end = _window_samples(before, drawn)
    return (
        before.with_samples(before.samples[:, begin:end]),
        after.with_samples(after.samples[:, begin:end]),
    )


def _window_samples(audio: Audio, drawn: Mapping[str, Any]) -> tuple[int, int]:
    """Return first sample and end of the window, as `edited_audio` cuts it."""
    start_s, end_s = window_s(drawn, audio.duration_s)
    n = audio.samples.shape[1]
    return min(round(start_s * audio.rate_hz), n), n if math.isinf(end_s) else min(round(end_s * audio.rate_hz), n)


def _with_sounds(
    step: Step,
    drawn: Mapping[str, Any],
    signal: Any,
    seed: int,
    sample_id: str,
    known: Mapping[str, Any],
    banks: OpenBank | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters with a sound drawn in place of every bank's name, and which sounds were taken."""
    parameters, taken = dict(drawn), dict[str, Any]()
    for name, parameter in step.corruption.parameters.items():
        bank = parameter.mark(FromBank)
        if bank is None:
            continue
        assert isinstance(signal, Audio)
        begin, end = _window_samples(signal, drawn)
        if begin >= end:
            raise Inapplicable("its window holds no sound")
        sounds = (banks or _of_the_data_home)(drawn[name]).draw(
            generator(seed, f"{step.step_name}.{name}", sample_id),
            end - begin,
            signal.rate_hz,
            n_sources=drawn.get("n_speakers", 1),
            fill="entire" if bank.whole else drawn.get("fill", "concatenate"),
            other_than_speaker=known.get("speaker"),
        )
        parameters[name] = sounds.audio
        taken["source"] = "; ".join(sounds.sources)
        if not bank.whole:
            taken["offset_s"] = list(sounds.offsets_s) if "n_speakers" in drawn else sounds.offsets_s[0]
    return parameters, taken


def _of_the_data_home(name: str) -> Bank:
    from merbench.banks.home import open_bank  # with tables, which a process that has its banks already does not need

    return open_bank(name)


def _boxes(step: Step, drawn: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return the sample's own box for every parameter that names the column which holds it."""
    names = [name for name, parameter in step.corruption.parameters.items() if parameter.mark(FromColumn)]
    return {name: _box(known.get(drawn[name]), drawn[name]) for name in names}


def _box(held: object, column: str) -> tuple[float, ...]:
    if held is None or held == "":
        raise Inapplicable(f"the corpus holds no box of this sample in a column '{column}'")
    try:
        box = tuple(float(part) for part in str(held).replace(",", " ").split())
    except ValueError:
        box = ()
    if len(box) != 4:
        raise Inapplicable(f"'{held}' in column '{column}' is no box, four fractions x, y, width and height")
    return box
