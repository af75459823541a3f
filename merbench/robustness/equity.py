"""The modality equity index: how evenly the performance of a system depends on its modalities.

The index is merbench's own definition. The drop of a modality is what a metric loses on average where exactly this
modality is missing, compared with clean samples, and 0 where it loses nothing. With p the shares of M modalities in the
sum of their drops, the index is (1 / Σ p² − 1) / (M − 1): the effective number of modalities (Laakso and Taagepera,
1979, *"Effective" number of parties*), on a scale from 0, where the performance depends on one modality only, to 1,
where it depends on all of them equally. Without any drop there is no index.

Conventions:
    Tables are `(1 + conditions, b)` as in `summary`, clean samples first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.robustness.report import CurveReport
from merbench.robustness.summary import Values

_LETTERS = {"a": "audio", "v": "video", "t": "text"}


class Absences(NamedTuple):
    """Conditions under which exactly one modality of a system is missing, all of the same corruption."""

    title: str  # the corruption, and the rates where there are some
    places: Mapping[str, Sequence[tuple[int, int]]]  # modality -> numbers of curve and condition, which count from 1


def absences(curves: Sequence[CurveReport], modalities: Collection[str]) -> Iterator[Absences]:
    """Yield every set of conditions that shows the drop of each modality of a system.

    These are the patterns that lack one modality (`modality_pattern`); each modality's absence (`modality_absence`), at
    the same rates; and the rates of each modality while the others are complete (`imbalanced_missing`), the same ones.

    Args:
        curves: all curves of a report.
        modalities: those of the system; with fewer than two there is nothing to compare.
    """
    by_title: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for number, curve in enumerate(curves):
        for place, row in enumerate(curve.rows, start=1):
            if (missing := _missing(curve, row.value, modalities)) is not None:
                title, modality = missing
                by_title.setdefault(title, {}).setdefault(modality, []).append((number, place))
    by_corruption: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for title, places in by_title.items():
        if len(modalities) > 1 and set(places) == set(modalities):
            joined = by_corruption.setdefault(title.partition(" ")[0], {})
            for modality, own in places.items():
                joined.setdefault(modality, []).extend(own)
    for title, places in by_corruption.items():
        yield Absences(title, places)


def _missing(curve: CurveReport, value: object, modalities: Collection[str]) -> tuple[str, str] | None:
    """Return at which rate the only modality of a system is missing that a condition removes; None for another one."""
    parameters = {**curve.declared, curve.parameter: value}
    if curve.corruption == "modality_pattern":
        pattern = parameters["pattern"]
        lacking = {name for letter, name in _LETTERS.items() if name in modalities and letter not in pattern}
        is_one = isinstance(pattern, str) and len(lacking) == 1
        return (curve.corruption, lacking.pop()) if is_one else None
    if curve.corruption == "modality_absence":
        modality, rate = str(parameters["modality"]), parameters.get("rate", 1.0)
        is_one = modality in modalities and isinstance(rate, int | float) and rate > 0
        return (f"{curve.corruption} {rate}", modality) if is_one else None
    if curve.corruption == "imbalanced_missing":
        rates = {name: parameters.get(name, 0.0) for name in modalities}
        positive = [name for name, rate in rates.items() if rate != 0]
        if len(positive) == 1 and isinstance(rates[positive[0]], int | float):
            return f"{curve.corruption} {rates[positive[0]]}", positive[0]
    return None


def equity(drops: Values) -> NDArray[np.float64]:
    """Return the modality equity index, `(b,)`, NaN where nothing is lost.

    Args:
        drops: `(M, b)` by modality, what a metric loses without it; below 0 where it gains.
    """
    lost = np.maximum(drops, 0.0)
    total = lost.sum(axis=0)
    shares = lost / np.where(total > 0, total, 1.0)
    squares = np.square(shares).sum(axis=0)
    index = (1 / np.where(total > 0, squares, 1.0) - 1) / (len(drops) - 1)
    return np.where(total > 0, np.clip(index, 0.0, 1.0), np.nan)


def drops_of(tables: Sequence[Values], places: Mapping[str, Sequence[tuple[int, int]]], sign: float) -> Values:
    """Return the drop of every modality, `(M, b)`, in the order of `places`.

    Args:
        tables: of every curve.
        places: modality -> numbers of curve and condition.
        sign: 1 where higher values are better, else -1.
    """
    rows = []
    for own in places.values():
        without = np.mean([tables[curve][place] for curve, place in own], axis=0)
        rows.append(sign * (tables[own[0][0]][0] - without))
    return np.stack(rows)
