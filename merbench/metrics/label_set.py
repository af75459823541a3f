"""Metrics of sets of labels: by the sectors of emotion wheels, by word forms, and by the words themselves.

Conventions:
    reference, prediction, weights: as in `metric.py`, `Lists` of trimmed, lower-cased words. A label that is in a
    set twice counts once; order does not matter.
    Everything depends on three counts per sample: distinct items of the reference, of the prediction, and of both. They
    are made once, by `prepare`, as `(w, n)` arrays for the `w` wheels of a lexicon, or the `w` runs of a model that
    grouped synonyms (else w = 1); then every metric is a few weighted sums (`sums.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UnknownName
from merbench.lexicon import Lexicon
from merbench.metrics.lists import Lists, Offsets
from merbench.metrics.metric import metric
from merbench.metrics.sums import Floats, Weights, total_weight, weighted_mean, weighted_sums

Counts = NDArray[np.integer]
Grouped = Sequence[tuple[Lists, Lists]]
Masks = NDArray[np.uint64]
Level = Literal[1, 2]
Form = Literal["base", "synonym"]
Average = Literal["sample", "micro"]

ALL = "all"
"""The mean over all wheels."""

FREQUENT = 10
"""How many of the most frequent unknown words a coverage names."""

_UNKNOWN_REFERENCES = "no sample that carries weight has a reference label that the lexicon knows"
_WORD = 64


@dataclass(frozen=True, eq=False, slots=True)
class Overlap:
    """How many distinct items every sample has, `(w, n)` each."""

    reference: Counts  # in the reference set
    prediction: Counts  # in the predicted set
    both: Counts  # in both of them

    @property
    def precision(self) -> Floats:
        """Share of predicted items that are right; 0 if nothing is predicted."""
        return _ratio(self.both, self.prediction)

    @property
    def recall(self) -> Floats:
        """Share of reference items that are predicted; 0 if there is none."""
        return _ratio(self.both, self.reference)


@dataclass(frozen=True, eq=False, slots=True)
class KnownSets:
    """The values of every sample after a lexicon; a sample without a known reference label is skipped."""

    names: tuple[str, ...]  # names of the wheels
    kept: Floats  # `(w, n)` 1.0 for a sample that counts, 0.0 for one that is skipped
    precision: Floats  # `(w, n)`, 0 where a sample is skipped
    recall: Floats  # likewise

    @classmethod
    def of(cls, names: tuple[str, ...], overlap: Overlap) -> KnownSets:
        """Return the values of samples from their counts; `both` is 0 where the reference is empty."""
        return cls(names, (overlap.reference > 0).astype(np.float64), overlap.precision, overlap.recall)

    def rows(self, wheel: str) -> Sequence[int]:
        """Return the rows of one wheel, or of all."""
        if wheel == ALL:
            return range(len(self.names))
        if wheel not in self.names:
            raise UnknownName("wheel", wheel, (*self.names, ALL))
        return [self.names.index(wheel)]

    def means(self, weights: Weights, rows: Sequence[int], *columns: Floats) -> list[Floats]:
        """Return the `(len(rows), b)` weighted means of columns over the samples that count."""
        own = [column[row] for row in rows for column in (self.kept, *columns)]
        sums = np.stack(weighted_sums(weights, *own)).reshape(len(rows), 1 + len(columns), -1)
        with np.errstate(invalid="ignore"):
            return [sums[:, 1 + place] / sums[:, 0] for place in range(len(columns))]


def wheel_sets(reference: Lists, prediction: Lists, *, lexicon: Lexicon, level: Level = 1) -> KnownSets:
    """Return the values of every sample on every wheel; labels become sectors, those without one vanish.

    Args:
        level: the ring of the wheels whose sectors count: 1 is the inner one, 2 the one around it.
    """
    return _on_wheels(reference, prediction, lexicon, level, among_candidates=False)


def hit_sets(reference: Lists, prediction: Lists, *, lexicon: Lexicon, level: Level = 1) -> KnownSets:
    """Return the values of every sample as `wheel_sets` does, predicted sectors that no reference has left out."""
    return _on_wheels(reference, prediction, lexicon, level, among_candidates=True)


def _on_wheels(
    reference: Lists, prediction: Lists, lexicon: Lexicon, level: Level, *, among_candidates: bool
) -> KnownSets:
    places = list(_places(lexicon, level))
    sectors = lexicon.sectors((*reference.words, *prediction.words), level)
    own, theirs = np.split(sectors, [len(reference.words)], axis=1)
    true, predicted = _sector_bits(reference, own, places), _sector_bits(prediction, theirs, places)
    if among_candidates:
        predicted &= np.bitwise_or.reduce(true, axis=1, keepdims=True)
    shared = true & predicted
    counts = [np.stack([_count(bits, place) for place in places]) for bits in (true, predicted, shared)]
    return KnownSets.of(lexicon.wheels, Overlap(*counts))


def form_sets(reference: Lists, prediction: Lists, *, lexicon: Lexicon, form: Form = "base") -> KnownSets:
    """Return the values of every sample by base forms or synonyms; labels that the lexicon does not know vanish.

    Args:
        form: what a label becomes: `base`, its first base form (case 1), or `synonym`, the first wheel word of that
            form (case 2).
    """
    coded = lexicon.base_forms if form == "base" else lexicon.synonyms
    true, predicted = (_items(lists, coded(lists.words), len(lexicon.labels)) for lists in (reference, prediction))
    return KnownSets.of(("",), _overlap(true, predicted, len(lexicon.labels), len(reference)))


def exact_sets(reference: Lists, prediction: Lists, *, grouped: Grouped | None = None) -> Overlap:
    """Return the counts of every sample by the words themselves.

    With `grouped`, both sides once for every run of a model that grouped synonyms, words replaced by their
    representatives: a row of counts per run.
    """
    runs = [_same_words(true, predicted) for true, predicted in grouped or [(reference, prediction)]]
    return Overlap(*(np.concatenate([getattr(run, name) for run in runs]) for name in Overlap.__slots__))


def _same_words(reference: Lists, prediction: Lists) -> Overlap:
    code_of = {word: code for code, word in enumerate(reference.words)}
    own = np.arange(len(code_of))
    theirs = np.array([code_of.setdefault(word, len(code_of)) for word in prediction.words], dtype=np.int64)
    n_codes = max(len(code_of), 1)
    return _overlap(_items(reference, own, n_codes), _items(prediction, theirs, n_codes), n_codes, len(reference))


_wheel_metric = partial(metric, target="label_set", sums_only=True, undefined=_UNKNOWN_REFERENCES, prepare=wheel_sets)
_hit_metric = partial(metric, target="label_set", sums_only=True, undefined=_UNKNOWN_REFERENCES, prepare=hit_sets)
_form_metric = partial(metric, target="label_set", sums_only=True, undefined=_UNKNOWN_REFERENCES, prepare=form_sets)
_set_metric = partial(metric, target="label_set", sums_only=True, prepare=exact_sets)


@_wheel_metric(formula="2PR / (P + R) of the mean precision and recall over samples, by sectors; mean over wheels")
def emotion_wheel_f1(prepared: KnownSets, weights: Weights, *, wheel: str = ALL) -> Floats:
    """Emotion-wheel F of the fine-grained tracks (Lian et al., 2025, MER 2025; the same in MER 2026).

    Every label becomes its sector on a wheel; labels without one vanish on both sides, and a sample whose reference
    set is then empty is skipped. Precision and recall are means over samples, F comes from the two means, and the
    score is the mean of F over the wheels.

    An empty prediction has precision and recall 0. Precision and recall both 0: 0. Not one sample left: undefined.

    Args:
        wheel: one wheel by its name, or `all`.
    """
    precision, recall = prepared.means(weights, prepared.rows(wheel), prepared.precision, prepared.recall)
    return _mean(_harmonic(precision, recall))


@_wheel_metric(formula="mean share of predicted sectors that are right; mean over wheels")
def emotion_wheel_precision(prepared: KnownSets, weights: Weights, *, wheel: str = ALL) -> Floats:
    """Emotion-wheel precision; labels, samples, parameters and degenerate cases as in `emotion_wheel_f1`."""
    return _mean(prepared.means(weights, prepared.rows(wheel), prepared.precision)[0])


@_wheel_metric(formula="mean share of reference sectors that are predicted; mean over wheels")
def emotion_wheel_recall(prepared: KnownSets, weights: Weights, *, wheel: str = ALL) -> Floats:
    """Emotion-wheel recall; labels, samples, parameters and degenerate cases as in `emotion_wheel_f1`."""
    return _mean(prepared.means(weights, prepared.rows(wheel), prepared.recall)[0])


@_hit_metric(formula="share of samples whose reference's sector is predicted; mean over wheels")
def hit_rate(prepared: KnownSets, weights: Weights, *, wheel: str = ALL) -> Floats:
    """Hit rate of free words where the reference is one label (Lian et al., 2025, AffectGPT and MER-UniBench).

    The reference and every predicted word become sectors of a wheel. A sample whose reference has none, such as neutral
    on most wheels, is skipped; any other is worth 1 if the sector of its reference is among the predicted ones, else 0.
    The score is the mean of the wheels' means. Of a reference of several labels, it is the share of their sectors.

    Nothing punishes long predictions, a word of each sector hits everything: see `set_size` next to it. Undefined if a
    wheel skips all samples that carry weight.

    Args:
        wheel: one wheel by its name, or `all`.
    """
    return _mean(prepared.means(weights, prepared.rows(wheel), prepared.recall)[0])


@_hit_metric(formula="mean share of predicted sectors that are right, of those that references have; mean over wheels")
def hit_precision(prepared: KnownSets, weights: Weights, *, wheel: str = ALL) -> Floats:
    """The second number next to `hit_rate`: how many of the predicted candidates are right (AffectGPT, 2025).

    Candidates are the sectors of all references that are scored, whatever their weight; predicted sectors outside them
    do not count. A sample without any candidate among its predicted sectors is worth 0. Samples, parameters and
    degenerate cases as in `hit_rate`.
    """
    return _mean(prepared.means(weights, prepared.rows(wheel), prepared.precision)[0])


@_form_metric(formula="2PR / (P + R) of the mean precision and recall over samples, by base forms or synonyms")
def word_form_f1(prepared: KnownSets, weights: Weights) -> Floats:
    """F by word forms, without a wheel (MER 2025: "case 1" and "case 2").

    Every label becomes its alphabetically first base form (`form = "base"`, case 1), or the alphabetically first wheel
    word of that base form (`form = "synonym"`, case 2). What vanishes, what is skipped, and the degenerate cases are
    as in `emotion_wheel_f1`.
    """
    precision, recall = prepared.means(weights, [0], prepared.precision, prepared.recall)
    return _mean(_harmonic(precision, recall))


@_form_metric(formula="mean share of predicted base forms or synonyms that are right")
def word_form_precision(prepared: KnownSets, weights: Weights) -> Floats:
    """Precision by word forms; everything else as in `word_form_f1`."""
    return _mean(prepared.means(weights, [0], prepared.precision)[0])


@_form_metric(formula="mean share of reference base forms or synonyms that are predicted")
def word_form_recall(prepared: KnownSets, weights: Weights) -> Floats:
    """Recall by word forms; everything else as in `word_form_f1`."""
    return _mean(prepared.means(weights, [0], prepared.recall)[0])


@_set_metric(formula="mean share of predicted labels that are right")
def set_accuracy(prepared: Overlap, weights: Weights) -> Floats:
    """Set-level accuracy: mean share of predicted labels that are in the reference (Lian et al., 2024, MER 2024).

    Labels are compared as they are, or, where the target names stored groups, as representatives of their synonyms, and
    the mean over the runs of the model that grouped them is taken. An empty prediction is worth
    0, whatever the reference.
    """
    return _mean(np.stack([weighted_mean(weights, run) for run in prepared.precision]))


@_set_metric(formula="mean share of reference labels that are predicted")
def set_recall(prepared: Overlap, weights: Weights) -> Floats:
    """Set-level recall: mean share of reference labels that are predicted (Lian et al., 2024, MER 2024).

    An empty prediction is worth 0, and so is an empty reference, for which the released scorer divides by zero.
    """
    return _mean(np.stack([weighted_mean(weights, run) for run in prepared.recall]))


@_set_metric(formula="(set_accuracy + set_recall) / 2")
def set_average(prepared: Overlap, weights: Weights) -> Floats:
    """Mean of set-level accuracy and recall, by which MER 2024 ranks (Lian et al., 2024)."""
    return (set_accuracy(prepared, weights) + set_recall(prepared, weights)) / 2


@_set_metric(formula="mean number of predicted labels", bounds=(0, math.inf), higher_is_better=False)
def set_size(prepared: Overlap, weights: Weights) -> Floats:
    """Mean number of distinct labels that are predicted, whatever the references: what long predictions cost.

    With stored groups, synonyms of a sample count once.
    """
    return _mean(np.stack([weighted_mean(weights, run) for run in prepared.prediction.astype(np.float64)]))


@_set_metric(formula="labels of both sets / labels of either set")
def set_jaccard(prepared: Overlap, weights: Weights, *, average: Average = "sample") -> Floats:
    """Overlap of the two sets (Jaccard, 1901).

    Two empty sets agree perfectly: 1.

    Args:
        average: `sample`: the mean over samples; `micro`: the ratio of the sums over samples.
    """
    either = prepared.reference + prepared.prediction - prepared.both
    return _averaged(weights, prepared.both, either, average)


@_set_metric(formula="2 · labels of both sets / (labels of one + labels of the other)")
def set_f1(prepared: Overlap, weights: Weights, *, average: Average = "sample") -> Floats:
    """F1 of the two sets (Dice, 1945), of every sample and not of averages.

    Two empty sets agree perfectly: 1. The parameter is that of `set_jaccard`.
    """
    return _averaged(weights, 2 * prepared.both, prepared.reference + prepared.prediction, average)


def sample_columns(prepared: object) -> dict[str, Floats] | None:
    """Return precision, recall and F1 of every sample's sets, `(n,)`, means over the wheels or runs that count it.

    NaN where none does; two empty sets that are compared without a lexicon agree perfectly: 1. None for a metric that
    has not prepared sets.
    """
    if isinstance(prepared, KnownSets):
        kept, precision, recall = prepared.kept, prepared.precision, prepared.recall
    elif isinstance(prepared, Overlap):
        empty = (prepared.reference == 0) & (prepared.prediction == 0)
        kept = np.ones(empty.shape)
        precision, recall = (np.where(empty, 1.0, each) for each in (prepared.precision, prepared.recall))
    else:
        return None
    n_kept, columns = kept.sum(axis=0), {"precision": precision, "recall": recall, "f1": _harmonic(precision, recall)}
    return {
        name: np.where(n_kept > 0, (kept * values).sum(axis=0) / np.maximum(n_kept, 1), np.nan)
        for name, values in columns.items()
    }


def with_representatives(lists: Lists, first: Sequence[Mapping[str, str]]) -> Lists:
    """Return sets with every word replaced by the representative of its synonyms (MER 2024).

    Args:
        lists: `n` sets.
        first: of every sample, its words → their representatives; other words are their own representatives.
    """
    return Lists.of([[of.get(word, word) for word in words] for words, of in zip(lists, first, strict=True)])


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of some labels a lexicon knows."""

    n_labels: int  # number of labels, repetitions included
    n_unknown: int  # how many of them have no sector on any wheel
    # the most frequent unknown words and their counts, ties in alphabetical order
    frequent: tuple[tuple[str, int], ...]


def coverage(lists: Lists, lexicon: Lexicon) -> Coverage:
    """Return how many labels a lexicon does not know, and which ones most often."""
    unknown = np.flatnonzero((lexicon.sectors(lists.words) < 0).all(axis=0))
    counts = np.bincount(lists.codes, minlength=len(lists.words))[unknown].tolist()
    frequency = Counter({lists.words[code]: n for code, n in zip(unknown.tolist(), counts, strict=True) if n})
    ordered = sorted(frequency.items(), key=lambda item: (-item[1], item[0]))
    return Coverage(len(lists.codes), frequency.total(), tuple(ordered[:FREQUENT]))


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of a wheel's sectors in the bits of a sample."""

    word: int  # which of the sample's 64-bit words
    shift: int  # its first bit there
    size: int


def _places(lexicon: Lexicon, level: Level) -> Iterator[_Place]:
    """Yield the place of every wheel; wheels share a word as long as they fit."""
    word = filled = 0
    for wheel in lexicon.wheels:
        size = len(lexicon.sector_names(wheel, level))
        if filled + size > _WORD:
            word, filled = word + 1, 0
        yield _Place(word, filled, size)
        filled += size


def _sector_bits(lists: Lists, sectors: NDArray[np.int8], places: Sequence[_Place]) -> Masks:
    """Return the sectors of every sample, of the words `(n_wheels, n_words)`, as bits."""
    bits = np.zeros((places[-1].word + 1, len(lists.words)), dtype=np.uint64)
    for wheel, place in zip(sectors, places, strict=True):
        own = np.left_shift(np.uint64(1), (wheel + place.shift).astype(np.uint64))
        bits[place.word] |= np.where(wheel >= 0, own, np.uint64(0))
    return np.stack([_any_of(word[lists.codes], lists.offsets) for word in bits])


def _any_of(bits: Masks, offsets: Offsets) -> Masks:
    """Return the bits that any item of a sample has; none of a sample without items, which `reduceat` misreads."""
    of_samples = np.zeros(len(offsets) - 1, dtype=np.uint64)
    filled = np.diff(offsets) > 0
    if filled.any():
        of_samples[filled] = np.bitwise_or.reduceat(bits, offsets[:-1][filled])
    return of_samples


def _count(bits: Masks, place: _Place) -> NDArray[np.uint8]:
    own = ((1 << place.size) - 1) << place.shift
    return np.asarray(np.bitwise_count(bits[place.word] & np.uint64(own)))


def _items(lists: Lists, codes: NDArray[np.integer], n_codes: int) -> NDArray[np.int64]:
    """Return the distinct items of samples as sorted numbers, sample · n_codes + code; a code of −1 does not count."""
    coded = codes[lists.codes].astype(np.int64)
    samples = np.repeat(np.arange(len(lists)), np.diff(lists.offsets))
    return distinct((samples * n_codes + coded)[coded >= 0])


def distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct numbers, sorted; `np.unique` takes several times as long."""
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _overlap(true: NDArray[np.int64], predicted: NDArray[np.int64], n_codes: int, n: int) -> Overlap:
    both = np.intersect1d(true, predicted, assume_unique=True)
    return Overlap(*(np.bincount(items // n_codes, minlength=n)[None] for items in (true, predicted, both)))


def _ratio(numerator: Counts, denominator: Counts) -> Floats:
    return np.asarray(numerator / np.maximum(denominator, 1))


def _harmonic(precision: Floats, recall: Floats) -> Floats:
    """Return 2PR / (P + R), 0 where both are 0."""
    total = precision + recall
    return np.asarray(2 * precision * recall / np.where(total == 0, 1.0, total))


def _mean(wheels: Floats) -> Floats:
    """Return the mean over wheels or runs, the first axis."""
    return np.asarray(wheels.mean(axis=0))


def _averaged(weights: Weights, numerator: Counts, denominator: Counts, average: Average) -> Floats:
    """Return the mean over runs of numerator / denominator, the mean over samples or of the sums.

    0 / 0 is 1 as long as there is weight.
    """
    if average == "sample":
        shares = np.where(denominator == 0, 1.0, _ratio(numerator, denominator))
        return _mean(np.stack([weighted_mean(weights, run) for run in shares]))
    total = total_weight(weights)
    runs = []
    for own, all_items in zip(numerator, denominator, strict=True):
        above, below = weighted_sums(weights, own.astype(np.float64), all_items.astype(np.float64))
        runs.append(np.where(below == 0, 1.0, above / np.where(below == 0, 1.0, below)))
    return np.where(total > 0, _mean(np.stack(runs)), np.nan)
