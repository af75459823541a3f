"""Resampling and what comes of it: draws of every key, their intervals, and warnings.

Conventions:
    As in `evaluation`. The weights of a stream are the same whatever the system, so differences of draws are paired.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral, Real
from typing import Any, NamedTuple, get_args

import numpy as np
import pyarrow as pa

from merbench.corpus.candidates import Candidates
from merbench.errors import Problem, UsageError, did_you_mean, listed, plural
from merbench.intervals import (
    NO_ENDS,
    Interval,
    Jackknife,
    bca_interval,
    effective_number,
    exact_interval,
    jackknife_t_interval,
    jackknives,
    percentile_interval,
    size_degrees,
    tail_index,
    with_width,
)
from merbench.metrics.metric import IntervalMethod
from merbench.metrics.sums import Clustered, Exchanges, Weights
from merbench.report import Uncertainty
from merbench.resampling import (
    DECIMALS,
    MOST_LEFT_OUT,
    cluster_codes,
    jackknife_weights,
    poisson_weights,
    swapped_pair,
    swaps,
)
from merbench.scoring.aligned import Aligned, Codes, scored_column
from merbench.scoring.calibration import calibration_values, reliabilities
from merbench.scoring.ceilings import ceiling_key, ceiling_values
from merbench.scoring.evaluation import (
    CLASS_MEASURES,
    Draws,
    Values,
    class_key,
    classes_of,
    evaluate,
    joined,
    label_counts,
    n_at_once,
    ones,
    portions,
    with_classes,
)
from merbench.track import OVERALL

METHODS = ("default", *get_args(IntervalMethod))

FEW_CLUSTERS = 20
"""With an effective number of clusters below this, the report warns of the intervals (`docs/uncertainty.md`)."""

HEAVY_TAIL = 1.7
"""Below this tail index, the report warns of the intervals of squared errors, whose variance may be infinite."""

FEW_REFERENCES = 10
"""A class with fewer references than this brings a warning; a group of fewer samples has no interval."""

AT_ONCE = 1 << 17
"""Values of a permutation test that are computed at once: two of every pair under every permutation."""


@dataclass(frozen=True, eq=False)
class Resampling:
    """How the scored samples of a split are resampled."""

    candidates: Candidates = field(repr=False)
    method: str  # one of `METHODS`; `default` is the own one of each metric
    level: float
    n_resamples: int
    cluster: str | None  # corpus column whose samples are resampled together; None resamples them one by one
    seed: int  # seed of the random stream

    @cached_property
    def clusters(self) -> Codes | None:
        """The cluster of every scored row; a row without one is a cluster of its own."""
        if self.cluster is None:
            return None
        values = scored_column(self.candidates, self.cluster, "to cluster by").cast(pa.string()).to_pylist()
        ids = self.candidates.ids.take(pa.array(self.candidates.references.index)).to_pylist()
        return cluster_codes(
            [f"={value}" if value is not None else f"#{id_}" for value, id_ in zip(values, ids, strict=True)]
        )

    @property
    def n_clusters(self) -> int | None:
        """The number of clusters; None if rows are resampled one by one."""
        return None if self.clusters is None else int(self.clusters.max()) + 1

    @property
    def n_units(self) -> int:
        """The number of clusters, or of rows, that are resampled and exchanged."""
        return len(self.candidates.references) if self.n_clusters is None else self.n_clusters

    @property
    def degrees(self) -> float:
        """The degrees of freedom of Student's t: the effective number of units minus 1."""
        return effective_number(len(self.candidates.references), self.clusters) - 1

    @property
    def stream(self) -> str:
        """The name of the random stream of track, split and seed, whatever the system."""
        return f"{self.candidates.track.key}|{self.candidates.split}|{self.seed}"

    @property
    def uncertainty(self) -> Uncertainty:
        """What a report has of it."""
        return Uncertainty(
            self.method,
            self.level,
            self.n_resamples,
            self.cluster,
            self.n_clusters,
            self.seed,
            tuple(dict.fromkeys(self.methods.values())),
        )

    @cached_property
    def methods(self) -> dict[str, str]:
        """The method of the interval of every key of the track, in its order; that of the overall score first."""
        metrics = self.candidates.track.metrics
        keys = ([OVERALL] if any(spec.weight is not None for spec in metrics) else []) + [spec.key for spec in metrics]
        own: dict[str, str] = {spec.key: spec.metric.interval for spec in metrics}
        weighted = {own[spec.key] for spec in metrics if spec.weight is not None}
        if "distance" in weighted:
            own[OVERALL] = "distance"
        elif weighted:
            own[OVERALL] = "jackknife_t" if weighted == {"jackknife_t"} else "bca_t"
        given = None if self.method == "default" else self.method
        return {key: own[key] if own[key] == "distance" else given or own[key] for key in keys}

    def method_of(self, key: str) -> str:
        """Return the method of the interval of a key; precision, recall and F1 of a class are smooth."""
        return self.methods.get(key, "jackknife_t" if self.method == "default" else self.method)

    def in_range(self) -> Resampling:
        """Return it as it is; raise `UsageError` for a method, level or number of resamples that is not allowed."""
        if (method := self.method) not in METHODS:
            allowed = f"allowed: {', '.join(METHODS)}{did_you_mean(method, METHODS)}"
            raise UsageError(f"no interval method '{method}'; {allowed}")
        if not 0.5 < self.level < 1:
            raise UsageError(f"the level of an interval is between 0.5 and 1, not {self.level:.15g}")
        if not 100 <= self.n_resamples <= 1_000_000:
            raise UsageError(f"the number of resamples is between 100 and 1,000,000, not {self.n_resamples:,}")
        return self


def resampling_of(
    candidates: Candidates,
    method: Any = None,
    level: Any = None,
    n_resamples: Any = None,
    cluster: Any = None,
    seed: Any = 0,
) -> Resampling:
    """Return how to resample: what is given, else what the track declares; a cluster `none` is none.

    Raises:
        UsageError: a value of another type; ranges are checked by `in_range`.
    """
    declared = candidates.track.intervals
    method = declared.method if method is None else _name("method", "a method", method)
    level = declared.level if level is None else level
    if isinstance(level, bool) or not isinstance(level, Real):
        raise UsageError(f"level is a number, not {level!r}")
    n_resamples = declared.n_resamples if n_resamples is None else whole_number("n_resamples", n_resamples)
    cluster = declared.cluster if cluster is None else _name("cluster", "one column, or 'none'", cluster)
    cluster = None if cluster == "none" else cluster
    return Resampling(candidates, method, float(level), n_resamples, cluster, whole_number("seed", seed))


def whole_number(argument: str, value: Any) -> int:
    """Return a whole number from 0 on, of whichever integer type; anything else is a `UsageError`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise UsageError(f"{argument} is a whole number from 0 on, not {value!r}")
    return int(value)


def _name(argument: str, of: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{argument} is the name of {of}, not {value!r}")
    return value


def with_details(aligned: Aligned, weights: Weights) -> Draws:
    """Return the values of every key: the metrics, the classes, and where they are wanted calibration and ceilings."""
    values = with_classes(aligned, weights)
    if aligned.detailed:
        values = calibration_values(aligned, weights) | ceiling_values(aligned, weights) | values
    return values


def bootstrap(aligned: Aligned, how: Resampling, selections: Sequence[Codes] = ()) -> list[Draws]:
    """Return the draws of all rows, then those of every selection of rows, from the same weights in one pass."""
    parts = [aligned.select(rows) for rows in selections]
    blocks: list[list[Draws]] = [[] for _ in range(1 + len(parts))]
    for block in poisson_weights(how.stream, aligned.n, how.n_resamples, clusters=how.clusters):
        for weights in portions(aligned, block):
            blocks[0].append(with_details(aligned, weights))
            for own, part, rows in zip(blocks[1:], parts, selections, strict=True):
                own.append(evaluate(part, weights[:, rows]))
    return [joined(own) for own in blocks]


def jackknifed(aligned: Aligned, clusters: Codes | None, *, with_plain: bool = False) -> Draws:
    """Return the values of every key, of classes too, with one group of rows left out at a time; or the plain first."""
    blocks = jackknife_weights(aligned.n, clusters=clusters, with_plain=with_plain)
    return joined([with_details(aligned, masks) for block in blocks for masks in portions(aligned, block)])


def permuted_differences(
    systems: Sequence[Aligned], pairs: Sequence[tuple[int, int]], n_permutations: int, how: Resampling
) -> Iterator[Draws]:
    """Yield blocks of differences of every key, `(pairs, permutations)`, under random permutations.

    Args:
        systems: the systems, aligned.
        pairs: numbers of two systems each; the difference is that of the first and the second.
        n_permutations: permutations in all, shared by all pairs.
        how: the clusters whose samples are exchanged together, and the random stream.
    """
    blocks = swaps(how.stream, systems[0].n, n_permutations, clusters=how.clusters)
    if not all(spec.metric.sums_only for spec in systems[0].track.metrics):
        both = [systems[a].beside([systems[b]]) for a, b in pairs]
        for block in blocks:
            sides = [[evaluate(pair, weights) for weights in swapped_pair(block)] for pair in both]
            yield {key: np.stack([first[key] - second[key] for first, second in sides]) for key in sides[0][0]}
        return
    everything, n = systems[0].beside(systems[1:]), systems[0].n
    first, second = np.array(pairs, dtype=np.intp).T
    for block in blocks:
        draws, unit = (block, np.arange(n)) if not isinstance(block, Clustered) else (block.counts, block.clusters)
        units = (np.arange(len(systems))[:, None] * draws.shape[1] + unit).ravel()
        step = max(1, min(AT_ONCE, n_at_once(everything.track)) // (2 * len(pairs)))
        for start in range(0, len(draws), step):
            weights = Exchanges(draws[start : start + step], units, len(systems), first, second).both_sides()
            values = {key: each.reshape(2, len(pairs), -1) for key, each in evaluate(everything, weights).items()}
            yield {key: own - other for key, (own, other) in values.items()}


def intervals_of(
    aligned: Aligned, how: Resampling | None, selections: Sequence[Codes]
) -> tuple[list[dict[str, Interval]], Draws]:
    """Return intervals by key, first of all rows, then of every selection, and the draws of all rows; empty without.

    A single sample, or a single cluster, does not show how others would differ: it has no interval. Nor has a
    selection of fewer than `FEW_REFERENCES` samples.
    """
    if how is None:
        return [{} for _ in range(1 + len(selections))], {}
    draws, *of_parts = bootstrap(aligned, how, selections)
    bounds = [bounds_of([aligned], how, how.clusters, draws)]
    for rows, part in zip(selections, of_parts, strict=True):
        clusters = None if how.clusters is None else np.unique(how.clusters[rows], return_inverse=True)[1]
        few = len(rows) < FEW_REFERENCES
        bounds.append({} if few else bounds_of([aligned.select(rows)], how, clusters, part))
    return bounds, draws if bounds[0] else {}


def is_single(n: int, clusters: Codes | None) -> bool:
    """Return whether there is only one sample, or one cluster, which has no interval."""
    return n < 2 or (clusters is not None and bool(clusters.max() < 1))


def bounds_of(systems: Sequence[Aligned], how: Resampling, clusters: Codes | None, draws: Draws) -> dict[str, Interval]:
    """Return the interval of every key, each by its method, of one system or of the mean of several runs.

    Empty of a single sample, or a single cluster, which does not show how others would differ.

    Args:
        systems: the systems, aligned, of the same rows.
        how: the methods and the level.
        clusters: the clusters of the rows, numbered from 0; None without.
        draws: the mean draws of the systems, by key.
    """
    first = systems[0]
    if is_single(first.n, clusters):
        return {}
    if how.method != "default" and all(how.method_of(key) == "percentile" for key in draws):
        return {key: percentile_bounds(values, how.level) for key, values in draws.items()}
    values_of = mean_of([jackknifed(system, clusters, with_plain=True) for system in systems])
    estimates, *left_out = np.stack([values_of[key] for key in draws], axis=1)
    made = jackknives(np.array(left_out), estimates, size_degrees(first.n, clusters))
    ranges = ranges_of(first)
    samples = {
        key: _Sample(values, estimate, jackknife, ranges.get(key, (0, 1)))
        for (key, values), estimate, jackknife in zip(draws.items(), estimates.tolist(), made, strict=True)
    }
    bounds = {key: _interval(how, how.method_of(key), sample) for key, sample in samples.items()}
    if any(each.method == "exact" for each in bounds.values()):
        _add_exact_ends(bounds, samples, first, how.level, effective_number(first.n, clusters))
    return bounds


def _add_exact_ends(
    bounds: dict[str, Interval], samples: Mapping[str, _Sample], aligned: Aligned, level: float, n_most: float
) -> None:
    """Give ends to the intervals of values on a bound, where it is known how many answers they depend on.

    An overall score is at most as far from its bound as all of its parts together.
    """
    sizes = _sizes(aligned)
    for key in [key for key, each in bounds.items() if each.method == "exact" and key != OVERALL]:
        _, estimate, _, ends = samples[key]
        n = np.minimum(sizes.get(key, aligned.n), n_most)
        interval = exact_interval(estimate, level, ends, n) if np.all(n > 0) else NO_ENDS
        bounds[key] = replace(interval, n_left_out=bounds[key].n_left_out)
    if OVERALL in bounds and bounds[OVERALL].method == "exact":
        parts = [(spec.weight, bounds[spec.key]) for spec in aligned.track.weighted_metrics]
        of_parts = [(weight * part.low, weight * part.high) for weight, part in parts if weight is not None]
        is_known = all(part.method == "exact" for _, part in parts)
        low, high = sum(map(min, of_parts)), sum(map(max, of_parts))
        exact = Interval(round(low, DECIMALS), round(high, DECIMALS), bounds[OVERALL].n_left_out, "exact")
        bounds[OVERALL] = exact if is_known else NO_ENDS


class _Sample(NamedTuple):
    """What an interval is made of."""

    draws: Values
    estimate: float  # the plain value
    jackknife: Jackknife
    bounds: tuple[float, float]  # lowest and highest possible value


def _interval(how: Resampling, method: str, sample: _Sample) -> Interval:
    """Return an interval by a method; one without ends where too many draws have no value, or where it is `exact`."""
    draws, estimate, jackknife, (low, high) = sample
    n_missing = int(np.isnan(draws).sum())
    if n_missing > MOST_LEFT_OUT * len(draws) or not math.isfinite(estimate) or method == "distance":
        return replace(NO_ENDS, n_left_out=n_missing)
    if round(estimate, DECIMALS) in (low, high) and how.method not in ("bca", "percentile"):
        # A range without a second bound has no share that would be on the other side.
        return Interval(math.nan, math.nan, n_missing, "exact" if math.isfinite(high - low) else None)
    if method == "percentile":
        return percentile_bounds(draws, how.level)
    if method != "jackknife_t" or jackknife.n < 2:
        return with_width(bca_interval(draws, how.level, estimate, jackknife, t=method != "bca"))
    interval = jackknife_t_interval(estimate, jackknife, how.level, (low, high))
    return with_width(replace(interval, n_left_out=n_missing))


def ranges_of(aligned: Aligned) -> dict[str, tuple[float, float]]:
    """Return the lowest and the highest possible value of every key whose range is not 0 to 1."""
    everything = (-math.inf, math.inf)
    specs = (*aligned.track.metrics, *(spec for _, made in reliabilities(aligned) for spec in made.specs))
    ranges = {spec.key: everything if spec.aggregate == "auilc" else spec.metric.bounds for spec in specs}
    parts = [[spec.weight * end for end in ranges[spec.key]] for spec in aligned.track.metrics if spec.weight]
    ranges[OVERALL] = (sum(map(min, parts)), sum(map(max, parts)))
    return ranges | {ceiling_key(key): bounds for key, bounds in ranges.items()}


def _sizes(aligned: Aligned) -> dict[str, Any]:
    """Return how many answers a key depends on, where it is not on all: `(K,)` of a mean over classes; 0: unknown.

    Of a class that is its references, or for precision its answers; of scores the smaller class of them. Nothing bounds
    how far a correlation moves, nor a value that is made of those of groups.
    """
    sizes: dict[str, Any] = {}
    counts = classes_of(aligned, ones(aligned)) | label_counts(aligned, ones(aligned))
    for name, of_classes in counts.items():
        labels = aligned.track.targets[name].scored_labels
        for measure in CLASS_MEASURES:
            n = (of_classes.predicted if measure == "precision" else of_classes.n)[0].tolist()
            sizes.update({class_key(measure, name, label): own for label, own in zip(labels, n, strict=True)})
    for spec in aligned.track.metrics:
        if spec.per is not None or spec.metric.bounds[0] < 0:
            sizes[spec.key] = 0
        elif spec.metric.over_classes and spec.target in counts:
            references = counts[spec.target].n[0]
            sizes[spec.key] = references[references > 0]
        elif spec.metric.target == "scores":
            sizes[spec.key] = int(np.bincount(aligned.part(spec.target).reference, minlength=2).min())
        elif "label" in spec.parameters and spec.key not in sizes:
            sizes[spec.key] = sizes.get(class_key("recall", spec.target, str(spec.parameters["label"])), 0)
        else:
            sizes.setdefault(spec.key, aligned.n_scored(spec.target))
    return sizes


def mean_of(runs: Sequence[Draws]) -> Draws:
    """Return the mean of the draws of several runs, key by key."""
    return {key: sum((run[key] for run in runs), np.zeros(len(runs[0][key]))) / len(runs) for key in runs[0]}


def percentile_bounds(draws: Values, level: float) -> Interval:
    """Return the percentile interval; one without ends where too many draws have no value, or all have the same."""
    left_out = int(np.isnan(draws).sum())
    if left_out > MOST_LEFT_OUT * len(draws):
        return replace(NO_ENDS, n_left_out=left_out)
    return with_width(percentile_interval(draws, level))


def warnings_of(aligned: Aligned, how: Resampling | None, bounds: Mapping[str, Interval]) -> Iterator[Problem]:
    """Yield what makes values or intervals less reliable; all of it depends on references, so its codes are W7xx."""
    for name, synonyms in aligned.synonyms.items():
        if n := synonyms.n_ungrouped:
            message = f"{plural(n, 'word')} of samples in none of the stored groups: each is a group of its own"
            yield Problem("W704", f"{message}; the groups may have been made for another submission", column=name)
    if how is None:
        return
    if single := is_single(aligned.n, how.clusters):
        unit = "sample" if how.n_clusters is None else f"cluster of '{how.cluster}'"
        yield Problem("W706", f"no intervals: a single {unit} does not show what others would change")
    elif how.n_clusters is not None and (n_equal := effective_number(aligned.n, how.clusters)) < FEW_CLUSTERS:
        message = f"{how.n_clusters} clusters of '{how.cluster}', effective number {n_equal:.3g}: with fewer than"
        which = f"{FEW_CLUSTERS}, intervals are wide, and those of squared errors and correlations may be too narrow"
        yield Problem("W701", f"{message} {which}")
    for name, target in aligned.track.targets.items():
        if not (labels := target.reference_labels):
            continue
        counts = np.bincount(aligned.codes(name).reference, minlength=len(labels))
        few = [f"{label} ({n})" for label, n in zip(labels, counts, strict=True) if n < FEW_REFERENCES]
        if few and not single:
            message = f"fewer than {FEW_REFERENCES} references of {listed(few)}"
            rough = "averages over classes" if target.confusion_labels else "areas under curves and error rates"
            yield Problem("W702", f"{message}: intervals of {rough} are rough", column=name)
    calibrated = [spec.key for _, reliability in reliabilities(aligned) for spec in reliability.specs]
    reported = dict.fromkeys([*how.methods, *calibrated])
    left_out = {key: each.n_left_out for key, each in bounds.items() if each.n_left_out and key in reported}
    for n in sorted(set(left_out.values())):
        keys = [key for key, count in left_out.items() if count == n]
        message = f"{n:,} of {how.n_resamples:,} resamples are left out, which have no value of {listed(keys)}"
        too_many = n > MOST_LEFT_OUT * how.n_resamples
        yield Problem("W703", f"{message}; too many for an interval" if too_many else message)
    for name, target in aligned.track.targets.items():
        squared = [spec.key for spec in aligned.track.metrics if spec.target == name and spec.metric.squares]
        errors = target.sample_values(*aligned.part(name)[:2], None) if squared else None
        if errors is not None and (index := tail_index(-errors)) < HEAVY_TAIL:
            message = f"a few errors make most of the squared ones (tail index {index:.2f}, below {HEAVY_TAIL:g})"
            yield Problem("W705", f"{message}: the intervals of {listed(squared)} may be too narrow", column=name)
    empty = [key for key in reported if key in bounds and math.isnan(bounds[key].low)]
    few = [key for key in empty if bounds[key].n_left_out <= MOST_LEFT_OUT * how.n_resamples]
    if parts := [key for key in few if how.method_of(key) == "distance" and key not in calibrated]:
        message = f"no interval of {listed(parts)}: of calibration errors only the first of a target has one, and none"
        yield Problem("W706", f"{message} within groups or in an overall score")
    if flat := [key for key in few if key not in parts]:
        message = f"no interval of {listed(flat)}: no resample changes the value, and nothing else shows"
        yield Problem("W706", f"{message} what other samples would change")
