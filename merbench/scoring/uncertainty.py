"""Draws go in, intervals, their description and their warnings come out; and the signature of comparable values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates
from merbench.errors import Problem, UsageError, did_you_mean, listed, plural
from merbench.lexicon import open_lexicon
from merbench.report import Uncertainty
from merbench.resampling import (
    Interval,
    bca_interval,
    cluster_codes,
    percentile_interval,
)
from merbench.scoring.aligned import Codes, Pair, groups_of, with_confusion
from merbench.scoring.breakdown import scored_column
from merbench.scoring.draws import bootstrap, jackknifed
from merbench.scoring.evaluation import Draws, ones, with_classes
from merbench.track import Track

FEW_CLUSTERS = 50
"""Below this many clusters, the report warns that cluster intervals are too narrow (`docs/uncertainty.md`)."""


MOST_LEFT_OUT = 0.2
"""The largest share of resamples without a value that an interval may leave out; the others are no fair sample."""

FEW_REFERENCES = 10
"""A class with fewer references than this brings a warning; a group of fewer samples has no interval."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How samples are drawn again: method, level, how often, by which cluster (None: one by one), from which seed."""

    method: str
    level: float
    n_resamples: int
    cluster: str | None
    seed: int


def resampling_of(
    track: Track, method: str | None, level: float | None, n_resamples: int | None, cluster: str | None, seed: int
) -> Resampling:
    """Return how to resample: what is given, else what the track declares."""
    declared = track.intervals
    how = Resampling(
        method=declared.method if method is None else method,
        level=declared.level if level is None else level,
        n_resamples=declared.n_resamples if n_resamples is None else n_resamples,
        cluster=declared.cluster if cluster is None else (None if cluster == "none" else cluster),
        seed=seed,
    )
    if how.method not in ("percentile", "bca"):
        known = ("percentile", "bca")
        raise UsageError(
            f"no interval method '{how.method}'; allowed: {', '.join(known)}{did_you_mean(how.method, known)}"
        )
    if not 0.5 < how.level < 1:
        raise UsageError(f"the level of an interval is between 0.5 and 1, not {how.level:g}")
    if not 100 <= how.n_resamples <= 1_000_000:
        raise UsageError(f"the number of resamples is between 100 and 1,000,000, not {how.n_resamples:,}")
    return how


def signature(candidates: Candidates, how: Resampling | None) -> str:
    """Return what must be equal for two values to stand in one table."""
    track, corpus = candidates.track, candidates.corpus
    made = "ci:none"
    if how is not None:
        made = f"ci:{how.method},{how.level:g}|bs:{how.n_resamples}|cluster:{how.cluster or 'none'}"
        made += f"|bootstrap_seed:{how.seed}"
    return "|".join(
        [
            f"{track.key}#{track.fingerprint[:8]}",
            f"corpus:{corpus.name}#{corpus.digest[:8]}",
            *_readings(track),
            *(f"groups:{groups.name}:{groups.signature}" for groups in groups_of(track).values()),
            f"split:{candidates.split}",
            f"n:{len(candidates.references)}",
            "+".join(spec.key for spec in track.metrics),
            made,
            f"merbench:{_minor_version()}",
        ]
    )


def _readings(track: Track) -> list[str]:
    """Return the lexicons of a track's targets, with what they say, and how their words are found in descriptions."""
    names = dict.fromkeys(target.lexicon_name for target in track.targets.values())
    extractors = dict.fromkeys(target.extractor_name for target in track.targets.values())
    lexicons = [f"lexicon:{name}#{open_lexicon(name).digest[:8]}" for name in names if name is not None]
    return [*lexicons, *(f"extractor:{name}" for name in extractors if name is not None)]


def stream_name(candidates: Candidates, seed: int) -> str:
    """Return the name of the random stream that belongs to track, split and seed, whatever the system."""
    return f"{candidates.track.key}|{candidates.split}|{seed}"


@lru_cache
def _minor_version() -> str:
    from importlib.metadata import version

    return ".".join(version("merbench").split(".")[:2])


def intervals_of(
    pair: Pair, how: Resampling | None, clusters: Codes | None, selections: Sequence[Codes], stream: str
) -> list[dict[str, Interval]]:
    """Return intervals by key, first of all rows, then of every selection; empty without resampling.

    A single sample, or a single cluster, tells nothing of how others would differ: it has no interval. Nor has a
    selection of fewer than `FEW_REFERENCES` samples.
    """
    if how is None:
        return [{} for _ in range(1 + len(selections))]
    draws = bootstrap(pair, how.n_resamples, clusters, stream, selections)
    parts = [(pair, clusters)]
    for rows in selections:
        parts.append(
            (pair.select(rows), None if clusters is None else np.unique(clusters[rows], return_inverse=True)[1])
        )
    return [
        {} if part is not pair and part.n < FEW_REFERENCES else _bounds_of_part(part, units, values, how)
        for (part, units), values in zip(parts, draws, strict=True)
    ]


def _bounds_of_part(part: Pair, clusters: Codes | None, draws: Draws, how: Resampling) -> dict[str, Interval]:
    if part.n < 2 or (clusters is not None and clusters.max() < 1):
        return {}
    if how.method == "percentile":
        return bounds_of(draws, how, {}, dict)
    estimates = {key: float(values[0]) for key, values in with_classes(part, ones(part)).items() if key in draws}
    return bounds_of(draws, how, estimates, lambda: jackknifed(part, clusters))


def bounds_of(
    draws: Draws, how: Resampling, plain: Mapping[str, float], jackknife: Callable[[], Draws]
) -> dict[str, Interval]:
    """Return the interval of every key by the method asked for; BCa ones need the plain values and a jackknife."""
    bounds = {key: _percentile(values, how.level) for key, values in draws.items()}
    if how.method == "bca":
        left_out = jackknife()
        usable = [key for key in plain if math.isfinite(bounds[key].low)]
        bounds.update({key: bca_interval(draws[key], how.level, plain[key], left_out[key]) for key in usable})
    return bounds


def _percentile(draws: NDArray[np.float64], level: float) -> Interval:
    """Return the percentile interval; one without ends where too many draws have no value."""
    left_out = int(np.isnan(draws).sum())
    if left_out > MOST_LEFT_OUT * len(draws):
        return Interval(math.nan, math.nan, left_out)
    return percentile_interval(draws, level)


def clusters_of(candidates: Candidates, how: Resampling | None) -> Codes | None:
    """Return the cluster of every scored row; a row without one is a cluster of its own."""
    if how is None or how.cluster is None:
        return None
    values = scored_column(candidates, how.cluster, "to cluster by").cast(pa.string()).to_pylist()
    ids = candidates.ids.take(pa.array(candidates.references.index)).to_pylist()
    return cluster_codes(
        [f"={value}" if value is not None else f"#{id_}" for value, id_ in zip(values, ids, strict=True)]
    )


def uncertainty_of(how: Resampling | None, clusters: Codes | None) -> Uncertainty | None:
    """Return how intervals were made, as a report tells it."""
    if how is None:
        return None
    n_clusters = None if clusters is None else int(clusters.max()) + 1
    return Uncertainty(how.method, how.level, how.n_resamples, how.cluster, n_clusters, how.seed)


def warnings_of(
    pair: Pair, how: Resampling | None, clusters: Codes | None, bounds: Mapping[str, Interval]
) -> Iterator[Problem]:
    """Yield what makes values or intervals less trustworthy; all of it looks at references, so its codes are W7xx."""
    for name, n in pair.ungrouped.items():
        if n:
            message = f"{plural(n, 'word')} of samples in none of the stored groups: each stands for itself"
            yield Problem("W704", f"{message}; the groups may have been made for another submission", column=name)
    if how is None:
        return
    if clusters is not None and (n := int(clusters.max()) + 1) < FEW_CLUSTERS:
        yield Problem(
            "W701", f"{n} clusters of '{how.cluster}': with fewer than {FEW_CLUSTERS} the intervals are too narrow"
        )
    for name, labels in with_confusion(pair.track):
        counts = np.bincount(pair.codes(name).reference, minlength=len(labels))
        few = [f"{label} ({n})" for label, n in zip(labels, counts, strict=True) if n < FEW_REFERENCES]
        if few:
            message = (
                f"fewer than {FEW_REFERENCES} references of {listed(few)}: intervals of averages over classes are rough"
            )
            yield Problem("W702", message, column=name)
    left_out = {
        key: bound.n_left_out for key, bound in bounds.items() if bound.n_left_out and not key.startswith("f1(")
    }
    for n in sorted(set(left_out.values())):
        keys = [key for key, count in left_out.items() if count == n]
        message = f"{n:,} of {how.n_resamples:,} resamples are left out: no value there of {listed(keys)}"
        too_many = n > MOST_LEFT_OUT * how.n_resamples
        yield Problem("W703", f"{message}; too many for an interval" if too_many else message)
