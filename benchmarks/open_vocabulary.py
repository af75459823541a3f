"""The emotion-wheel metric over five wheels, from two columns of strings against the walk through nested dictionaries.

Inputs: 20,000 samples of one to six labels on either side, drawn from a lexicon made for this run (five wheels of six
sectors with 36 words of level 2 and 72 of level 3, 1,200 base forms with some synonyms, 7,000 surface forms) and from
words that it does not know; the word of rank r is drawn 1/r times as often as the first, as words of real sets are.
The peer does what organizers' scorers do: for each wheel it cuts the strings again, and takes every label through
dictionaries of base forms, synonyms and sectors. Both compute the F of the mean precision and recall, mean over the
wheels, and must agree to 1e-12.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from benchmarks.measuring import machine, race, seconds, table
from merbench.lexicon import Content, Lexicon
from merbench.metrics.label_set import KnownSets, emotion_wheel_f1, wheel_sets
from merbench.metrics.lists import Lists
from merbench.resampling import poisson_weights
from merbench.targets.label_set import read_label_lists

N = 20_000
RESAMPLES = 1_000
N_WHEELS, N_SECTORS, N_SECOND, N_THIRD = 5, 6, 36, 72
N_BASES, N_FORMS, N_UNKNOWN = 1_200, 7_000, 500
QUOTES_AND_COMMAS = re.compile(r"['\",]")

ONE = np.ones((1, N), dtype=np.uint8)


def make_content(rng: np.random.Generator) -> Content:
    """Return a lexicon of the size of the released ones."""
    bases = [f"base{i}" for i in range(N_BASES)]
    wheels: dict[str, list[tuple[str, str, str]]] = {}
    for wheel in range(N_WHEELS):
        words = rng.choice(bases[:250], N_SECTORS + N_SECOND + N_THIRD, replace=False).tolist()
        first, second, third = words[:N_SECTORS], words[N_SECTORS : N_SECTORS + N_SECOND], words[-N_THIRD:]
        rows = [(first[i * N_SECTORS // N_THIRD], second[i * N_SECOND // N_THIRD], third[i]) for i in range(N_THIRD)]
        wheels[f"wheel{wheel + 1}"] = rows
    on_wheels = sorted({word for rows in wheels.values() for row in rows for word in row})
    synonyms = [(base, word) for base in bases for word in rng.choice(on_wheels, 3).tolist()]
    forms = [(f"form{i}", base) for i in range(N_FORMS) for base in rng.choice(bases, 1 + i % 2).tolist()]
    return Content.of(forms, synonyms, wheels)


def make_column(rng: np.random.Generator, words: Sequence[str]) -> list[str]:
    """Return cells as a list prints itself; the word of rank r comes 1/r times as often as the first."""
    shares = 1 / np.arange(1, len(words) + 1)
    counts = rng.integers(1, 7, N)
    drawn = iter(rng.choice(words, counts.sum(), p=shares / shares.sum()).tolist())
    return [str([next(drawn) for _ in range(n)]) for n in counts.tolist()]


def by_dictionaries(content: Content, reference: Sequence[str], prediction: Sequence[str]) -> float:
    """Score wheel by wheel, cell by cell, label by label."""
    forms, synonyms = content.forms, content.synonyms
    values = []
    for wheel in content.wheels:
        sector_of = {word: pair[0] for word, pair in content.sectors(wheel).items()}
        precisions, recalls = [], []
        for true_cell, predicted_cell in zip(reference, prediction, strict=True):
            true = sectors_of_cell(true_cell, forms, synonyms, sector_of)
            predicted = sectors_of_cell(predicted_cell, forms, synonyms, sector_of)
            if not true:
                continue
            precisions.append(len(true & predicted) / len(predicted) if predicted else 0.0)
            recalls.append(len(true & predicted) / len(true))
        precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
        values.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return float(np.mean(values))


def sectors_of_cell(
    cell: str,
    forms: Mapping[str, Sequence[str]],
    synonyms: Mapping[str, Sequence[str]],
    sector_of: Mapping[str, str],
) -> set[str]:
    """Return the sectors of a cell's labels on one wheel."""
    labels = {label.strip().lower() for label in QUOTES_AND_COMMAS.split(cell.strip().strip("[]"))} - {""}
    sectors = set()
    for label in labels:
        candidates = {word for base in forms.get(label, ()) for word in synonyms.get(base, ())}
        for word in sorted(candidates):
            if word in sector_of:
                sectors.add(sector_of[word])
                break
    return sectors


def from_strings(lexicon: Lexicon, reference: pa.Array, prediction: pa.Array) -> float:
    """Score two columns of strings."""
    return from_lists(lexicon, *(read_label_lists(column).lists for column in (reference, prediction)))


def from_lists(lexicon: Lexicon, reference: Lists, prediction: Lists) -> float:
    """Score two columns whose cells are cut already."""
    return float(emotion_wheel_f1(wheel_sets(reference, prediction, lexicon=lexicon), ONE)[0])


def resampled(prepared: KnownSets) -> int:
    """Draw the weights of 1,000 resamples and score under each."""
    blocks = poisson_weights("benchmark", N, RESAMPLES)
    return sum(len(emotion_wheel_f1(prepared, block)) for block in blocks)


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(2025)
    content = make_content(rng)
    words = rng.permutation([*content.forms, *(f"unknown{i}" for i in range(N_UNKNOWN))]).tolist()
    cells = [make_column(rng, words) for _ in range(2)]
    lexicon = Lexicon.compile(content, name="benchmark", source="made up")
    columns = [pa.array(side) for side in cells]
    lists = [read_label_lists(column).lists for column in columns]
    prepared = wheel_sets(*lists, lexicon=lexicon)
    peer, ours = "dictionaries, cell by cell", "merbench, from two columns of strings"
    contenders: dict[str, Callable[[], object]] = {
        peer: partial(by_dictionaries, content, *cells),
        ours: partial(from_strings, lexicon, *columns),
        "splitting alone": lambda: [read_label_lists(column) for column in columns],
        "after splitting": partial(from_lists, lexicon, *lists),
        f"{RESAMPLES:,} resamples, weights drawn": partial(resampled, prepared),
        "compiling the lexicon": partial(Lexicon.compile, content, name="benchmark", source="made up"),
    }
    values = [by_dictionaries(content, *cells), from_strings(lexicon, *columns)]
    if abs(values[0] - values[1]) > 1e-12:
        raise SystemExit(f"the peer computes {values[0]}, merbench {values[1]}")
    times = race(contenders, rounds=5)
    rows = [(name, seconds(time), f"{times[peer] / time:.1f}×") for name, time in times.items()]
    print(machine(["numpy", "pyarrow"]), end="\n\n")
    print(f"{N:,} samples, {N_WHEELS} wheels, level 1\n\n{table(['', 'median', 'faster than the peer'], rows)}")


if __name__ == "__main__":
    main()
