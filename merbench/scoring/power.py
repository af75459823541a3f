"""Which difference between two systems a test set can show, from a pilot of two runs or of two simulated systems.

The difference d of two systems on n samples has the standard deviation σ / √n. The paired permutation test at α shows
it with the probability `power` if d ≥ (t(1 − α/2) + t(power)) · σ / √n, with Student's t at one degree of freedom less
than there are samples or clusters (Lachin, 1981; for rates Connor, 1987). σ is measured as the intervals of differences
are: from resamples, here of a pilot of two systems of equal score, which are real, or simulated as `Target.simulated`
defines. With clusters the variance is 1 + (m − 1) · ρ times as large, where m is the mean size of a sample's cluster
and ρ the intraclass correlation of the difference (Kish, 1965).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from merbench.corpus.candidates import Candidates, candidate_column
from merbench.errors import PolicyError, UndefinedMetric, UsageError, WithheldReference, did_you_mean, listed
from merbench.report import Agreement, Power, PowerRow
from merbench.resampling import DECIMALS, cluster_codes, uniforms
from merbench.scoring.aligned import Aligned, align, candidates_of, grouping_of, groups_of, read_for
from merbench.scoring.comparison import named_sources, with_metric
from merbench.scoring.evaluation import plain_values
from merbench.scoring.samples import cell_text, require_visible
from merbench.scoring.signatures import minor_version
from merbench.scoring.uncertainty import Resampling, bootstrap, resampling_of
from merbench.significance import detectable, pair_deviations
from merbench.student import student_quantile
from merbench.track import OVERALL, MetricSpec, Track

if TYPE_CHECKING:
    from merbench.scoring.aligned import Codes, Source

N_PILOT, N_DRAWS = 10_000, 4_000
"""Samples of a simulated pilot, and its resamples: they give σ within about 1 %."""

QUALITY, SHARED, INTRACLASS = 0.6, 0.5, 0.1
"""What is assumed where neither an option nor a run says more."""

RATES = frozenset({"accuracy", "exact_match", "majority_agreement", "micro_f1"})
"""Metrics that are a share of right answers: half of a difference of two samples is lost to their steps."""

REFERENCE_FREE = frozenset({"accuracy", "micro_f1", "ccc", "pcc"})
"""Metrics whose power does not depend on the references: of any classes; of any numbers that are normal."""

SIZES = {"this split": 1, "2 ×": 2, "4 ×": 4, "8 ×": 8}


@dataclass(frozen=True, slots=True)
class Design:
    """The size of a test set."""

    n: float  # samples
    clusters: float | None  # None for samples one by one
    spread: float  # mean size of a sample's cluster by that of a cluster: 1 where all are equal

    def resized(self, n: float | None, clusters: float | None) -> Design:
        """Return another size; what is not given follows the other one, at the size that clusters have now."""
        if self.clusters is None:
            return replace(self, n=n or self.n)
        n = n or self.n * (clusters or self.clusters) / self.clusters
        return replace(self, n=n, clusters=clusters or self.clusters * n / self.n)

    def inflation(self, intraclass: float | None) -> float:
        """Return how many times larger clusters make the variance of a difference."""
        if self.clusters is None or intraclass is None:
            return 1.0
        return 1 + (self.spread * self.n / self.clusters - 1) * intraclass


@dataclass(frozen=True, slots=True)
class Pilot:
    """What two systems of about equal score show."""

    scores: tuple[float, ...]
    agreements: tuple[Agreement, ...]
    deviation: float  # σ: standard deviation of their difference, times √n
    intraclass: float | None  # of the difference; None without clusters
    largest: float | None = None  # about how far apart such systems can be; None where it is not known


def power_of(  # noqa: PLR0913
    track: str | Path | Track | Candidates,
    *,
    split: str = "test",
    metric: str | None = None,
    n_samples: int | None = None,
    n_clusters: int | None = None,
    cluster: str | None = None,
    score: float | None = None,
    agreement: float | None = None,
    power: float = 0.8,
    level: float | None = None,
    runs: Mapping[str, Source] | Sequence[Source] = (),
    seed: int = 0,
) -> Power:
    """Return which difference between two systems a test set can show, as it is and at other sizes.

    Args:
        track: as for `score`.
        split: which split of the track. Of one whose references are withheld or hidden, none is used.
        metric: short name of a metric, or `overall`; None is the first ranking key.
        n_samples: a size to add to those of the report.
        n_clusters: the number of clusters of that size.
        cluster: corpus column whose samples are exchanged together; None takes what the track declares.
        score: the score of the two systems.
        agreement: how far they agree: the share of samples on which both are right or both are wrong; of numbers, the
            correlation of their answers.
        power: probability that the test shows the difference.
        level: 1 minus the error rate of the test; None takes what the track declares.
        runs: two submissions as a pilot, in place of score and agreement.
        seed: seed of what is simulated.

    Raises:
        UsageError: an argument that is not allowed, or a score that no simulated system has.
        PolicyError: the power depends on references that the split hides.
        WithheldReference: the power depends on references that are withheld.
        UndefinedMetric: the metric has no value on these data, or two such systems never differ.
    """
    candidates = candidates_of(track, split)
    how = resampling_of(candidates, "percentile", level, N_DRAWS, cluster, seed).in_range()
    key, name = _asked(candidates.track, metric)
    _require_numbers(n_samples, n_clusters, power, agreement, how)
    if runs and (score is not None or agreement is not None):
        raise UsageError("two runs have their own score and agreement: give either runs, or score and agreement")
    sources = named_sources(runs) if runs else {}
    pilot, of_systems = (
        _measured(candidates, sources, key, how) if sources else _simulated(candidates, key, how, score, agreement)
    )
    size = _design(candidates, how)
    sizes = _sizes(size, n_samples, n_clusters)
    is_rate = key.partition("(")[0] in RATES
    shown = {each: smallest_difference(pilot, design, how.level, power, is_rate) for each, design in sizes.items()}
    return Power(
        track=candidates.track.key,
        title=candidates.track.title,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        hidden=candidates.hidden,
        n_candidates=len(candidates),
        signature="|".join(_signature(candidates, key, power, how, of_systems)),
        decimals=candidates.track.ranking.decimals,
        key=key,
        name=name,
        score=pilot.scores[0] if not sources and score is not None else math.fsum(pilot.scores) / len(pilot.scores),
        scores=pilot.scores if sources else (),
        agreements=pilot.agreements,
        assumed=() if sources else _assumed(score, agreement, how),
        runs=tuple(sources),
        cluster=how.cluster,
        intraclass=pilot.intraclass,
        largest=pilot.largest,
        level=how.level,
        power=power,
        rows=tuple(
            PowerRow(each, round(design.n), None if design.clusters is None else round(design.clusters), shown[each])
            for each, design in sizes.items()
        ),
    )


def smallest_difference(pilot: Pilot, design: Design, level: float, power: float, is_rate: bool) -> float | None:
    """Return the smallest difference that a test set shows; None where it shows none.

    Of a rate, the difference is at most the share of samples on which the systems differ, and it moves by steps: half
    a step of two samples is added.
    """
    units = design.n if design.clusters is None else design.clusters
    variance = pilot.deviation**2 * design.inflation(pilot.intraclass)
    difference = detectable(math.sqrt(variance * units / design.n), units, level, power)
    if math.isinf(difference):
        return None
    if is_rate and design.clusters is None:
        at_level, at_power = (student_quantile(each, units - 1) for each in ((1 + level) / 2, power))
        for _ in range(50):
            rest = math.sqrt(max(0.0, variance - difference**2))
            difference = (at_level * math.sqrt(variance) + at_power * rest) / math.sqrt(design.n) + 1 / design.n
    return None if is_rate and difference > pilot.deviation**2 else round(difference, 10)


def _require_numbers(
    n_samples: int | None, n_clusters: int | None, power: float, agreement: float | None, how: Resampling
) -> None:
    if not 0.5 < power < 1:
        raise UsageError(f"power is a probability above 0.5 and below 1, not {power:g}")
    for argument, value in (("samples", n_samples), ("clusters", n_clusters)):
        if value is not None and value < 2:
            raise UsageError(f"{argument}: at least 2 are needed, not {value:,}")
    if agreement is not None and not agreement < 1:
        raise UsageError(f"agreement: {agreement:g} is not below 1, where two systems never differ")
    if n_clusters is not None and how.cluster is None:
        raise UsageError("a number of clusters needs the column that they are of: cluster, --cluster COLUMN")
    if n_clusters is not None and n_samples is not None and n_clusters > n_samples:
        raise UsageError(f"{n_samples:,} samples cannot have {n_clusters:,} clusters")


def _asked(track: Track, metric: str | None) -> tuple[str, str]:
    """Return the key and the short name of the metric that is asked for."""
    names = {track.metric_label(spec): spec.key for spec in track.metrics}
    if any(spec.weight is not None for spec in track.metrics):
        names = {OVERALL: OVERALL, **names}
    name = track.ranked_by[0] if metric is None else metric
    by_key = {key: label for label, key in names.items()}
    name = by_key.get(name, name)
    if name not in names:
        raise UsageError(f"{track.key} has no metric '{name}'; it has {listed(list(names))}{did_you_mean(name, names)}")
    return names[name], name


def _design(candidates: Candidates, how: Resampling) -> Design:
    """Return the size of the split: of the scored samples, or of all candidates where it is not known which are."""
    if (rows := _visible(candidates)) is not None:
        n, clusters = len(rows), how.clusters
    else:
        n, clusters = len(candidates), None
        if how.cluster is not None:
            column = candidate_column(candidates, how.cluster, "to cluster by").to_pylist()
            names = [f"#{i}" if value is None else f"={value}" for i, value in enumerate(column)]
            clusters = cluster_codes(names)
    if clusters is None:
        return Design(n, None, 1.0)
    n_clusters = int(clusters.max()) + 1
    return Design(n, n_clusters, size_around(clusters) * n_clusters / n)


def size_around(clusters: Codes) -> float:
    """Return the mean number of samples in a sample's cluster: Σn² / Σn of the clusters' sizes."""
    sizes = np.bincount(clusters).astype(np.float64)
    return float(sizes @ sizes / sizes.sum())


def _visible(candidates: Candidates) -> Codes | None:
    """Return the scored rows; None where the split hides them, or the references are withheld."""
    try:
        return None if candidates.hidden else candidates.references.index
    except WithheldReference:
        return None


def _assumed(score: float | None, agreement: float | None, how: Resampling) -> tuple[str, ...]:
    given = {"score": score, "agreement": agreement, "intraclass correlation": None if how.cluster else how}
    return tuple(name for name, value in given.items() if value is None)


def _signature(
    candidates: Candidates, key: str, power: float, how: Resampling, of_systems: Sequence[str]
) -> Iterator[str]:
    """Yield the parts of the signature; the first of the systems' is the digest of the corpus, where it was used."""
    digest, *systems = of_systems
    yield f"{candidates.track.key}#{candidates.track.fingerprint[:8]}"
    yield f"corpus:{candidates.corpus.name}{digest}"
    yield f"split:{candidates.split}"
    yield f"power:{key},{power:.15g},{how.level:.15g}"
    yield from systems
    yield f"cluster:{how.cluster or 'none'}"
    yield f"seed:{how.seed}"
    yield f"merbench:{minor_version()}"


def _sizes(size: Design, n_samples: int | None, n_clusters: int | None) -> dict[str, Design]:
    """Return the sizes of a report by name."""
    sizes = {name: size.resized(times * size.n, None) for name, times in SIZES.items()}
    if n_samples is not None or n_clusters is not None:
        asked = sizes["as asked"] = size.resized(n_samples, n_clusters)
        if asked.clusters is not None and round(asked.clusters) < 2:
            raise UsageError(f"{n_samples:,} samples would be less than two clusters: give --clusters")
    return sizes


def _simulated(
    candidates: Candidates, key: str, how: Resampling, score: float | None, agreement: float | None
) -> tuple[Pilot, list[str]]:
    """Return what two simulated systems show, and their parts of the signature."""
    pilot = Simulation(candidates, key, how.stream).pilot(score, agreement, how)
    given = {"score": score, "agreement": agreement, "intraclass": pilot.intraclass}
    return pilot, ["", *(f"{name}:{value:g}" for name, value in given.items() if value is not None)]


def _measured(
    candidates: Candidates, sources: Mapping[str, Source], key: str, how: Resampling
) -> tuple[Pilot, list[str]]:
    """Return what two runs show, and their parts of the signature."""
    if len(sources) != 2:
        raise UsageError(f"a pilot is two runs, not {len(sources)}")
    require_visible(candidates, "a pilot of two runs")
    reads = [read_for(candidates, source) for source in sources.values()]
    pair = [replace(align(read), track=with_metric(candidates.track, key)) for read in reads]
    if pair[0].n < 2:
        raise UndefinedMetric("a pilot of one sample has no deviation")
    values = np.array([plain_values(each)[key] for each in pair])
    samples = replace(how, cluster=None)
    deviation, intraclass = _deviation(pair, values, key, samples), None
    if how.clusters is not None:
        inflation = (_deviation(pair, values, key, how) / deviation) ** 2
        others = size_around(how.clusters) - 1
        intraclass = min(1.0, max(0.0, (inflation - 1) / others)) if others else 0.0
    pilot = Pilot(tuple(values.tolist()), _agreements(*pair), deviation, intraclass)
    return pilot, [f"#{candidates.corpus.digest[:8]}", *(f"run:{read.digest[:8]}" for read in reads)]


def _deviation(
    pair: Sequence[Aligned], values: Any, key: str, how: Resampling, why: str = "the two systems do not differ"
) -> float:
    """Return the standard deviation of a difference, times √n; `why` is the reason for one of 0."""
    draws = np.stack([bootstrap(each, how)[0][key] for each in pair])
    deviation = float(pair_deviations(draws, values)[0, 1])
    if not math.isfinite(deviation):
        raise UndefinedMetric(f"{key} has no value in more than a fifth of the resamples: too few to say how it varies")
    if deviation < 10.0**-DECIMALS:
        raise UndefinedMetric(f"{key}: {why}, so nothing shows how their difference varies")
    return deviation * math.sqrt(pair[0].n)


def _agreements(a: Aligned, b: Aligned) -> tuple[Agreement, ...]:
    """Return how far two systems agree on every target that is scored."""
    scored = dict.fromkeys(spec.target for spec in a.track.metrics)
    made = []
    for name in scored:
        part, target = a.part(name), a.track.targets[name]
        value = target.agreement(part.reference, part.prediction, b.part(name).prediction)
        shown = round(value, DECIMALS) if math.isfinite(value) else None
        made.append(Agreement(name, shown, target.metric_kind in ("continuous", "scores")))
    return tuple(made)


def _mean(agreements: Sequence[Agreement]) -> float:
    return math.fsum(each.value or 0.0 for each in agreements) / len(agreements)


class Simulation:
    """Two systems that do not exist, on samples like those of a split; see `Target.simulated`."""

    def __init__(self, candidates: Candidates, key: str, stream: str) -> None:
        self.key, self.track = key, with_metric(candidates.track, key)
        self.stream = f"power|{stream}"
        self.like = _references(candidates, self.track, key)
        n = self.like.n
        # The rows of the pilot: all in turn, or as many at even steps.
        self.rows = np.arange(N_PILOT) % n if n <= N_PILOT else np.arange(N_PILOT) * n // N_PILOT
        # A metric without a value on the split itself says why.
        plain_values(self.pair(np.arange(n), (QUALITY, QUALITY), SHARED, self.stream)[0])

    def pair(self, rows: Codes, qualities: tuple[float, float], shared: float, stream: str) -> list[Aligned]:
        """Return the answers of two systems for samples like some rows, whatever the seed in `stream`."""
        like = self.like.select(rows)
        pair = []
        for number, quality in enumerate(qualities):
            answers = {}
            for name in dict.fromkeys(spec.target for spec in self.track.metrics):
                common, own = (uniforms(f"{stream}|{name}|{who}", 3, len(rows)) for who in ("all", number))
                noise = np.concatenate([common, own[:2]])
                answers[name] = self.track.targets[name].simulated(like.reference[name], quality, shared, noise)
            pair.append(replace(like, prediction=answers))
        return pair

    def value(self, quality: float) -> float:
        """Return the score of a system."""
        return plain_values(self.pair(self.rows, (quality, quality), 0.0, self.stream)[0])[self.key]

    def agreement(self, qualities: tuple[float, float], shared: float) -> float:
        """Return the mean agreement of two systems over the targets that are scored."""
        return _mean(_agreements(*self.pair(self.rows, qualities, shared, self.stream)))

    def systems(
        self, score: float | None, agreement: float | None, qualities: tuple[float, float] | None = None
    ) -> tuple[float, float]:
        """Return the quality of systems of a score, and how much two of some qualities share if they agree so far."""
        quality, shared = QUALITY, SHARED
        if score is not None:
            quality = _solved(self.value, score, self.key)
        if agreement is not None:
            both = qualities or (quality, quality)
            what = "agreement of two such systems" if score is None else f"agreement of two systems of score {score:g}"
            shared = _solved(lambda shared: self.agreement(both, shared), agreement, what)
        return quality, shared

    def pilot(self, score: float | None, agreement: float | None, how: Resampling) -> Pilot:
        """Return what two systems of one score show."""
        quality, shared = self.systems(score, agreement)
        pair = self.pair(self.rows, (quality, quality), shared, self.stream)
        values = np.array([plain_values(each)[self.key] for each in pair])
        why = "simulated systems of this score do not differ"
        if quality == 1:
            why = "systems of this score make no errors and do not differ"
        elif alike := self._alike():
            why = f"all references are {alike}, and so are all answers"
        deviation = _deviation(pair, values, self.key, replace(how, cluster=None), why)
        reached = round(float(values.mean()), 10) if score is None else score
        agreements = _agreements(*pair)
        largest = None if self.key.partition("(")[0] in RATES else self._largest(quality, _mean(agreements))
        return Pilot((reached,), agreements, deviation, None if how.cluster is None else INTRACLASS, largest)

    def _largest(self, quality: float, agreement: float) -> float:
        """Return how far apart systems are that agree so far, where all that they do not agree on favours the same."""

        def qualities(step: float) -> tuple[float, float]:
            return min(1.0, quality + step), max(0.0, quality - step)

        def agreed(step: float) -> float:
            return self.agreement(qualities(step), 1.0)

        step = 1.0 if agreement <= agreed(1.0) else _solved(agreed, agreement, "agreement")
        better, worse = map(self.value, qualities(step))
        return round(abs(better - worse), DECIMALS)

    def _alike(self) -> str:
        """Return what the references of a target are that are all the same; empty without."""
        for name, values in self.like.reference.items():
            if isinstance(values, np.ndarray) and (values == values[:1]).all():
                return f"'{cell_text(self.track.targets[name].shown(values[:1]).to_pylist()[0])}'"
        return ""


def _solved(value: Callable[[float], float], wanted: float, what: str) -> float:
    """Return where between 0 and 1 a function that rises, or falls, has a value."""
    first, last = round(value(0.0), DECIMALS), round(value(1.0), DECIMALS)
    if not min(first, last) <= wanted <= max(first, last):
        least, most = sorted((first, last))
        raise UsageError(f"{what}: not {wanted:g}; simulated systems reach {least:.4g} to {most:.4g}")
    if wanted in (first, last):
        return float(wanted == last)
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if (value(middle) < wanted) == (first < last) else (low, middle)
    return (low + high) / 2


def _references(candidates: Candidates, track: Track, key: str) -> Aligned:
    """Return the references of a split, or made-up ones for a metric that does not depend on them."""
    scored = dict.fromkeys(spec.target for spec in track.metrics)
    grouped = [name for name in groups_of(track) if name in scored]
    if grouped or track.scored_by_probabilities:
        names, whose = grouped, "words are grouped by stored synonyms"
        if not grouped:
            names, whose = list(track.scored_by_probabilities), "labels are scored by their probabilities"
        raise UndefinedMetric(
            f"{key}: no system is simulated for {listed(names)}, whose {whose}; measure two runs instead: "
            "--runs FILE --runs FILE"
        )
    if _visible(candidates) is not None:
        references = candidates.references
        columns = sorted({spec.per for spec in track.metrics if spec.per is not None})
        groupings = {name: grouping_of(candidates, name, binned=False) for name in columns}
        return Aligned(track, references.values, references.values, references.known, groupings)
    if not all(_is_reference_free(spec) for spec in track.metrics):
        labels = [candidates.track.metric_label(spec) for spec in candidates.track.metrics if _is_reference_free(spec)]
        others = f", or a metric whose power depends on none: --metric {' or '.join(labels)}" if labels else ""
        why = "keeps secret" if candidates.hidden else "does not have"
        error = PolicyError if candidates.hidden else WithheldReference
        raise error(
            f"{candidates.track.key}: the power of {key} depends on references that split '{candidates.split}' {why}; "
            f"name a split that has them, --split NAME --samples N{others}"
        )
    normal = NormalDist()
    numbers = np.array([normal.inv_cdf((i + 0.5) / N_PILOT) for i in range(N_PILOT)])
    values: dict[str, Any] = {}
    for name in scored:
        classes = track.targets[name].classes
        values[name] = (np.arange(N_PILOT) % len(classes)).astype(np.int32) if classes else numbers
    return Aligned(track, values, values)


def _is_reference_free(spec: MetricSpec) -> bool:
    return spec.name in REFERENCE_FREE and spec.per is None
