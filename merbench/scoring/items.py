"""The samples of a track over many systems: which all miss, which separate systems, which references look wrong.

Conventions:
    S systems answer n samples that count for all of them. worth: `(S, n)` how right every answer is, as `sample_values`
    measures it, higher is better: int8 0 or 1 of labels, else float64. codes: `(S, n)` answers as codes 0 … K − 1 of
    labels, −1 outside the vocabulary. A value that is not defined is NaN here and None in a report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates
from merbench.errors import UnknownName, UsageError
from merbench.metrics.label_set import distinct
from merbench.metrics.lists import Lists
from merbench.report.items import LEAST_SYSTEMS, Item, ItemReport
from merbench.resampling import DECIMALS
from merbench.scoring.aligned import Aligned, align, candidates_of, read_for, scored_column
from merbench.scoring.comparison import named_sources
from merbench.scoring.evaluation import parameters_of, sample_values
from merbench.scoring.samples import cell_text, how_right, require_visible
from merbench.scoring.signatures import signature
from merbench.student import student_quantile
from merbench.targets import Target
from merbench.track import OVERALL, MetricSpec, Track

if TYPE_CHECKING:
    from merbench.scoring.aligned import Source

Codes = NDArray[np.integer]
Floats = NDArray[np.float64]

WRONG_REFERENCES = 0.05
"""The share of references taken to be wrong before the systems are asked.

Northcutt, Athalye & Mueller, 2021, *Pervasive label errors in test sets*, estimate 3.3 % in ten test sets of images,
texts and sounds; emotions are harder to label.
"""

FAR = 3.0
"""A number is contradicted beyond so many robust standard deviations."""

HALF = 0.5
"""A word belongs to what the systems say if their skill on its side is at least this share of all."""

CELLS = 1 << 21
"""How many values are worked on at once, 16 MB as float64."""


def items(
    track: str | Path | Track | Candidates,
    submissions: Mapping[str, Source] | Sequence[Source],
    *,
    split: str = "test",
    target: str | None = None,
    top: int = 10,
    columns: Sequence[str] = (),
) -> ItemReport:
    """Return which samples all systems miss, which separate good systems from bad, and which references look wrong.

    Args:
        track: as for `score`.
        submissions: sources by name, or sources that are named by their file.
        split: which split of the track.
        target: one of the track's targets; None is that of the first metric by which the track ranks.
        top: how many samples each list has at most.
        columns: corpus columns that are shown with each sample.

    Raises:
        PolicyError: it is secret which samples of the split are scored.
        WithheldReference: the references are withheld.
        InvalidSubmission: the first file that has problems; all of its problems are listed.
        UsageError: no submission, a name that does not exist, or a target without a value of single samples.
    """
    candidates = candidates_of(track, split)
    require_visible(candidates, "what systems make of single samples")
    spec = _metric_of(candidates.track, target)
    shown = [scored_column(candidates, column, "to show").to_pylist() for column in columns]
    systems = _read(candidates, named_sources(submissions), spec)
    against = _against(candidates.track.targets[spec.target], spec, systems)
    separates, best = discrimination(systems.worth), systems.worth.max(axis=0)
    table = _Table(candidates, systems, against, separates, shown)
    is_error = systems.measure == RMS
    hardest = np.lexsort((-against.strength, best))
    hardest = hardest[best[hardest] < 0] if is_error else hardest[best[hardest] <= systems.missed_at]
    # Of equal ones first those that about half of the systems answer well.
    middle = np.zeros(len(best)) if is_error else np.abs(systems.worth.mean(axis=0) - 0.5)
    separating = np.lexsort((middle, -separates))
    separating = separating[separates[separating] > 0]
    last = separates[separating[top - 1 : top + 1]]
    is_tied = len(last) == 2 and last[0] == last[1]
    contradicted = np.argsort(-against.strength, kind="stable")
    contradicted = contradicted[against.strength[contradicted] > 0]
    return ItemReport(
        track=candidates.track.key,
        title=candidates.track.title,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        signature=signature(candidates, None),
        decimals=candidates.track.ranking.decimals,
        target=spec.target,
        measure=systems.measure,
        systems=systems.names,
        equal=systems.equal,
        n_items=len(systems.rows),
        n_left_out=len(candidates.references.index) - len(systems.rows),
        columns=tuple(columns),
        missed=table.items(hardest[:top]),
        separating=table.items(separating[:top]),
        contradicted=table.items(contradicted[:top]),
        n_missed=None if is_error else len(hardest),
        n_contradicted=len(contradicted) if against.applies else None,
        chance=_by_chance(len(systems.names)),
        n_tied=int((separates == last[0]).sum()) if is_tied else 0,
    )


def discrimination(worth: NDArray[Any]) -> Floats:
    """Return of every sample the corrected item-total correlation `(n,)`, NaN where it is not defined.

    Over the systems, Pearson's correlation of what the sample is worth with the sum over all other samples; of right
    and wrong answers a point-biserial correlation (Henrysson, 1963, *Correction of item-total correlations in item
    analysis*). With fewer than three systems, and where all systems are equal on the sample or on the rest, there is
    none.
    """
    n_systems, n = worth.shape
    result = np.full(n, np.nan)
    if n_systems < LEAST_SYSTEMS:
        return result
    total = worth.sum(axis=1, dtype=np.float64)
    centred, large = n_systems * total - total.sum(), n_systems * np.abs(total).max()
    step = max(1, CELLS // n_systems)
    for start in range(0, n, step):
        own = worth[:, start : start + step].astype(np.float64)
        # Times S, all of it is whole numbers where answers are right or wrong: what is constant is exactly 0.
        own = n_systems * own - own.sum(axis=0)
        rest = centred[:, None] - own
        between, of_own, of_rest = ((a * b).sum(axis=0) for a, b in ((own, rest), (own, own), (rest, rest)))
        varies = np.minimum(of_own, of_rest) > n_systems * (1e-13 * large) ** 2
        scale = np.sqrt(of_own) * np.sqrt(of_rest)
        result[start : start + step] = np.where(varies, between / np.where(varies, scale, 1.0), np.nan)
    return np.asarray(np.clip(result, -1, 1))


def _by_chance(n_systems: int) -> float | None:
    """Return the correlation beyond which those of two unrelated normal values are once in twenty."""
    if n_systems < LEAST_SYSTEMS:
        return None
    t = student_quantile(0.975, n_systems - 2)
    return _number(t / math.sqrt(t * t + n_systems - 2))


def contradictions(reference: Codes, codes: Codes, n_labels: int, per: int) -> tuple[Codes, Floats, Floats]:
    """Return what speaks against every reference: another label, the share of systems that give it, its log odds.

    The label is that with the most votes besides the reference, a vote weighted by its system's skill, log((K − 1) p /
    (1 − p)) of its share right p, not below 0 (Nitzan & Paroush, 1982; Grofman, Owen & Feld, 1983). The odds that it is
    right and the reference wrong are those of Dawid & Skene, 1979, *Maximum likelihood estimation of observer
    error-rates*: `WRONG_REFERENCES` times how frequent the label is, and of every system the chance of its answer under
    the one truth over that under the other, from its own confusions with all other references. Systems that err alike
    are not independent: the log of the chances is divided by the design effect (Kish, 1965), the variance over samples
    of how many are right over what it would be if they were.

    Args:
        reference: `(n,)` codes.
        codes: `(S, n)` answers.
        n_labels: number of labels, K.
        per: how many labels exclude each other: K, or 2 where codes 2j and 2j + 1 answer question j.

    Returns:
        `(n,)` codes, −1 where no system gives another label; shares, NaN there; log odds, −inf there.
    """
    n, right = len(reference), codes == reference
    hits = right.sum(axis=1)
    share_right = (hits + 0.5) / (n + 1)
    # Among equal votes, and where no system is better than chance, the number of systems decides.
    skill = np.maximum(np.log((per - 1) * share_right / (1 - share_right)), 0) + 1e-9
    alternative = _most_voted(reference, codes, skill, n_labels)
    independent = float((hits / n * (1 - hits / n)).sum())
    effect = max(1.0, float(right.sum(axis=0).var()) / independent) if independent else 1.0
    sizes = np.bincount(reference, minlength=n_labels)
    evidence, smoothing = np.zeros(n), 1 / (n_labels + 1)
    for answers in codes:
        pairs = reference.astype(np.int64) * (n_labels + 1) + answers + 1
        known, place, counts = np.unique(pairs, return_inverse=True, return_counts=True)
        wanted = alternative * (n_labels + 1) + answers + 1
        at = np.searchsorted(known, wanted).clip(max=len(known) - 1)
        as_other = np.where(known[at] == wanted, counts[at], 0)
        # Without the sample itself, which its own reference must not defend.
        evidence += np.log((as_other + smoothing) / (sizes[alternative] + 1))
        evidence -= np.log((counts[place] - 1 + smoothing) / sizes[reference])
    groups = sizes.reshape(-1, per).sum(axis=1)[reference // per]
    frequent = (sizes[alternative] + 1 / per) / (groups - sizes[reference] + (per - 1) / per)
    odds = np.log(WRONG_REFERENCES / (1 - WRONG_REFERENCES) * frequent) + evidence / effect
    share = np.where(alternative < 0, np.nan, (codes == alternative).mean(axis=0))
    return alternative, share, np.where(alternative < 0, -np.inf, odds)


def _most_voted(reference: Codes, codes: Codes, skill: Floats, n_labels: int) -> NDArray[np.int64]:
    """Return the label besides the reference with the most votes by skill, `(n,)`; −1 without any."""
    result, step = np.full(len(reference), -1), max(1, CELLS // n_labels)
    for start in range(0, len(reference), step):
        own = reference[start : start + step]
        at = np.arange(len(own))
        votes = np.zeros((len(own), n_labels + 1))  # the last one is that of −1
        for answers, weight in zip(codes[:, start : start + step], skill.tolist(), strict=True):
            votes[at, answers] += weight
        votes[at, own] = votes[:, -1] = 0
        best = votes.argmax(axis=1)
        result[start : start + step] = np.where(votes[at, best] > 0, best, -1)
    return result


@dataclass(frozen=True, eq=False, slots=True)
class _Systems:
    """What the systems answer."""

    names: tuple[str, ...]
    equal: tuple[tuple[str, ...], ...]  # names of those that give the same answers
    target: str
    first: Aligned  # the first system
    rows: Codes  # `(n,)` the samples that count for all, among the scored rows
    reference: Any  # their references
    given: Sequence[Any]  # the answers of each system
    worth: NDArray[Any]
    measure: str  # what is shown of it
    missed_at: float  # what an answer that misses is worth at most


@dataclass(frozen=True, eq=False, slots=True)
class _Against:
    """What the systems say against the references, `(n,)` each."""

    answers: Sequence[str]
    share: Floats
    probability: Floats
    deviation: Floats
    strength: Floats  # above 0 where they contradict the reference
    applies: bool = True


@dataclass(frozen=True, eq=False, slots=True)
class _Table:
    """What an item shows."""

    candidates: Candidates
    systems: _Systems
    against: _Against
    separates: Floats
    columns: Sequence[Sequence[Any]]  # by scored row

    def items(self, order: NDArray[np.intp]) -> tuple[Item, ...]:
        """Return the items of some samples, in their order."""
        systems, against, rows = self.systems, self.against, self.systems.rows[order]
        values = systems.worth[:, order].mean(axis=0)
        is_error = systems.measure == RMS
        values = np.sqrt(-values) if is_error else values
        smallest = np.sqrt(-systems.worth[:, order].max(axis=0)) if is_error else np.full(len(order), np.nan)
        target = self.candidates.track.targets[systems.target]
        texts = target.shown(systems.reference[order]).to_pylist()
        ids = self.candidates.ids.take(pa.array(self.candidates.references.index[rows])).to_pylist()
        return tuple(
            Item(
                id=ids[place],
                reference=cell_text(texts[place]),
                value=_number(values[place]),
                discrimination=_number(self.separates[item]),
                answer=against.answers[item],
                share=_number(against.share[item]),
                probability=_number(against.probability[item]),
                smallest_error=_number(smallest[place]),
                deviation=_number(against.deviation[item]),
                columns=tuple(cell_text(column[rows[place]]) for column in self.columns),
            )
            for place, item in enumerate(order.tolist())
        )


def _metric_of(track: Track, name: str | None) -> MetricSpec:
    """Return the first metric of a target, or, without a name, the first by which the track ranks."""
    if name is not None and name not in track.targets:
        raise UnknownName("target", name, track.targets)
    first = track.ranked_by[0]

    def ranks(spec: MetricSpec) -> bool:
        return bool(spec.weight) if first == OVERALL else track.metric_label(spec) == first

    for spec in sorted(track.metrics, key=ranks, reverse=True):
        if name in (None, spec.target):
            return spec
    raise UsageError(f"{track.key}: no metric scores target '{name}'; name another one with --target")


RMS = "rms error"

_MEASURES = {"correct": "share right", "error": RMS, "ranked_right": "share ranked right"}


def _read(candidates: Candidates, sources: Mapping[str, Source], spec: MetricSpec) -> _Systems:
    """Return what the systems answer; memory grows with the systems by one value, and one answer, a sample."""
    if not sources:
        raise UsageError("no submission: give one file or more")
    target, first, worth, given = candidates.track.targets[spec.target], None, [], []
    right_or_wrong = bool(target.confusion_labels)
    by_digest: dict[str, list[str]] = {}
    for name, source in sources.items():
        aligned = align(read := read_for(candidates, source))
        by_digest.setdefault(read.digest, []).append(name)
        first = first or aligned
        values = sample_values(aligned, spec.key)
        if values is None:
            values = _first_column(aligned, spec.target)
        worth.append(values)
        given.append(aligned.prediction[spec.target])
        if right_or_wrong:
            worth[-1] = np.where(np.isnan(values), -1, values).astype(np.int8)
            given[-1] = _codes(given[-1]).astype(np.min_scalar_type(-len(target.confusion_labels)))
    assert first is not None
    table = np.stack(worth)
    counts = (table >= 0 if right_or_wrong else ~np.isnan(table)).all(axis=0)
    if not counts.any():
        raise UsageError(f"no sample counts for all of the {len(sources):,} submissions under '{spec.target}'")
    names, rows = list(how_right(first, spec.target)), np.flatnonzero(counts)
    column = "f1" if "f1" in names else names[0] if names else "value"
    return _Systems(
        names=tuple(sources),
        equal=tuple(tuple(same) for same in by_digest.values() if len(same) > 1),
        target=spec.target,
        first=first,
        rows=rows,
        reference=first.reference[spec.target][rows],
        given=[answers[rows] for answers in given],
        worth=table if counts.all() else table[:, rows],
        measure=_MEASURES.get(column, column),
        missed_at=math.nextafter(0.5, 0) if column == "ranked_right" else 0.0,
    )


def _first_column(aligned: Aligned, name: str) -> Floats:
    columns, rows = list(how_right(aligned, name).values()), aligned.part(name).rows
    if not columns:
        raise UsageError(f"'{name}': the answers of this target only count together; name another one with --target")
    values = np.full(aligned.n, np.nan)
    values[slice(None) if rows is None else rows] = columns[0]
    return values


def _codes(values: Any) -> Codes:
    """Return labels as codes; of ranked answers the first."""
    return values.first() if isinstance(values, Lists) else np.asarray(values)


def _against(target: Target, spec: MetricSpec, systems: _Systems) -> _Against:
    """Return what the systems say against the references, for a kind of target of which they can say it."""
    if labels := target.confusion_labels:
        return _labels_against(labels, _codes(systems.reference), np.stack(systems.given))
    if labels := target.label_columns:
        return _applying_against(labels, systems)
    if target.loss == "squared_error":
        return _numbers_against(systems.reference, np.stack(systems.given), systems.worth)
    if target.has_word_sets:
        return _words_against(spec, systems)
    none = np.full(len(systems.rows), np.nan)
    return _Against([""] * len(none), none, none, none, np.zeros(len(none)), applies=False)


def _labels_against(labels: Sequence[str], reference: Codes, codes: Codes) -> _Against:
    alternative, share, odds = contradictions(reference, codes, len(labels), len(labels))
    answers = ["" if code < 0 else labels[code] for code in alternative.tolist()]
    return _Against(answers, share, _probability(odds), np.full(len(odds), np.nan), odds)


def _applying_against(labels: Sequence[str], systems: _Systems) -> _Against:
    """Return the label of every sample about which the systems contradict the reference most."""
    reference, n_labels = systems.reference, len(labels)
    known = reference >= 0
    coded = [(2 * np.arange(n_labels) + values)[known] for values in (reference, *systems.given)]
    _, shares, odds = contradictions(coded[0], np.stack(coded[1:]), 2 * n_labels, 2)
    table, share = np.full(reference.shape, -np.inf), np.full(reference.shape, np.nan)
    table[known], share[known] = odds, shares
    at, worst = np.arange(len(table)), table.argmax(axis=1)
    applies = reference[at, worst] == 0
    answers = [f"{'' if own else 'not '}{labels[place]}" for own, place in zip(applies, worst.tolist(), strict=True)]
    strength = table[at, worst]
    answers = ["" if value == -np.inf else text for text, value in zip(answers, strength.tolist(), strict=True)]
    return _Against(answers, share[at, worst], _probability(strength), np.full(len(at), np.nan), strength)


def _probability(odds: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.where(odds == -np.inf, np.nan, 1 / (1 + np.exp(-odds)))


def _numbers_against(reference: Floats, numbers: Floats, worth: Floats) -> _Against:
    """Return the mean answer of the systems, each weighted by its inverse mean squared error, for every number.

    A least-squares line takes that mean to the references, since systems avoid extremes. The deviation of a reference
    from it is in units of 1.4826 times the median absolute deviation (Hampel, 1974). NaN where that is 0.
    """
    errors = -worth.mean(axis=1)
    largest = float(errors.max())
    weights = 1 / np.maximum(errors / largest, 1e-12) if 0 < largest < math.inf else np.ones(len(errors))
    weights = weights / weights.sum()
    mean = (weights[:, None] * numbers).sum(axis=0)
    apart = mean - mean.mean()
    spread = float((apart * apart).sum())
    slope = float((apart * (reference - reference.mean())).sum()) / spread if spread else 0.0
    expected = reference.mean() + slope * apart
    residual = reference - expected
    unit = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    # A system that is always right leaves rounding errors.
    is_apart = unit > 1e-9 * float(np.ptp(reference))
    deviation = residual / unit if is_apart else np.full(len(residual), np.nan)
    same_side = np.sign(numbers - reference) == np.sign(expected - reference)
    answers = [cell_text(value) for value in expected.tolist()]
    strength = np.nan_to_num(np.abs(deviation) - FAR)
    nothing = np.full(len(residual), np.nan)
    return _Against(answers, (weights[:, None] * same_side).sum(axis=0), nothing, deviation, strength)


def _words_against(spec: MetricSpec, systems: _Systems) -> _Against:
    """Return the words of most systems by skill, their mean F1, and where the metric finds none of them right."""
    skill = systems.worth.mean(axis=1)
    skill = skill / skill.sum() if skill.sum() else np.full(len(skill), 1 / len(skill))
    words = tuple(dict.fromkeys(word for lists in systems.given for word in lists.words))
    given: list[list[str]] = []
    share = np.full(len(systems.rows), np.nan)
    step = max(1, CELLS // (4 * len(skill)))
    for start in range(0, len(systems.rows), step):
        rows = np.arange(start, min(start + step, len(systems.rows)))
        for voted in _voted([lists[rows] for lists in systems.given], words, skill):
            share[len(given)] = sum(voted.values()) / len(voted) if voted else np.nan
            given.append(list(voted))
    parameters = parameters_of(systems.first.track, spec) | systems.first.supplied(spec, None) | {"grouped": None}
    target, prepare, sets = systems.first.track.targets[spec.target], spec.metric.prepare, Lists.of(given)
    prepared = prepare(systems.reference, sets, **spec.metric.preparing(parameters)) if prepare else None
    right, nothing = target.sample_values(systems.reference, sets, prepared), np.full(len(given), np.nan)
    strength = np.nan_to_num(np.where(right == 0, share, 0.0))
    return _Against([", ".join(own) for own in given], share, nothing, nothing, strength)


def _voted(given: Sequence[Lists], words: Sequence[str], skill: Floats) -> list[dict[str, float]]:
    """Return the words of every sample that systems with at least `HALF` of the skill name, with that share."""
    pairs, weights = [], []
    for lists, weight in zip(given, skill.tolist(), strict=True):
        sample = np.repeat(np.arange(len(lists)), np.diff(lists.offsets))
        pairs.append(distinct(sample * len(words) + lists.recoded(words)))
        weights.append(np.full(len(pairs[-1]), weight))
    known, place = np.unique(np.concatenate(pairs), return_inverse=True)
    votes = np.bincount(place, np.concatenate(weights), len(known))
    voted: list[dict[str, float]] = [{} for _ in range(len(given[0]))]
    for pair, share in zip(known[votes >= HALF].tolist(), votes[votes >= HALF].tolist(), strict=True):
        voted[pair // len(words)][words[pair % len(words)]] = share
    return voted


def _number(value: float) -> float | None:
    """Return a number as a report has it: rounded, so that it has the same bytes everywhere, or None."""
    return round(float(value), DECIMALS) + 0.0 if math.isfinite(value) else None
