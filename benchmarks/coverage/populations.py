"""Populations whose true scores are arithmetic, and test sets sampled from them.

Conventions:
    A population draws a test set with a generator. Its `truth` has what a system would score on endless data of the
    same kind, by the name of the metric; where samples come in clusters, over all samples of endless clusters.
    joint: `(K, K)` chances of every pair of reference (rows) and prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.lists import Lists, Values, offsets_of
from merbench.scoring import Aligned
from merbench.scoring.calibration import bin_key
from merbench.track import Track

Array = NDArray[Any]
Targets = Mapping[str, Mapping[str, Any]]

MOST = 600
"""The most samples of a speaker where numbers are very different."""

_below = np.vectorize(lambda x: math.erfc(-x / math.sqrt(2)) / 2, otypes=[np.float64])


@dataclass(frozen=True, eq=False)
class SimulatedTestSet:
    """What a population gives.

    Attributes:
        aligned: one system's predictions.
        clusters: the cluster of every sample; None where they are independent.
        groups: the rows of a breakdown group whose intervals are asked for; empty for those of all rows.
    """

    aligned: Aligned
    clusters: Array | None = None
    groups: tuple[Array, ...] = ()


def simulated(
    scored_by: Track, clusters: Array | None = None, groups: tuple[Array, ...] = (), **sides: tuple[Values, Values]
) -> SimulatedTestSet:
    """Return a test set from the references and the predictions of every target."""
    reference = {name: own for name, (own, _) in sides.items()}
    prediction = {name: theirs for name, (_, theirs) in sides.items()}
    return SimulatedTestSet(Aligned(scored_by, reference, prediction), clusters, groups)


class Population(Protocol):
    """Endless data of one kind, and a system."""

    @property
    def n(self) -> int | None:
        """The number of samples of a test set; None where it varies."""

    @property
    def track(self) -> Track:
        """The track that scores it."""

    def truth(self) -> Mapping[str, float]:
        """Return the true score of every metric, by name."""

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""


def track(targets: Targets, *metrics: Mapping[str, Any]) -> Track:
    """Return a track of these targets and metrics."""
    declaration = {
        "id": "population",
        "version": "1.0",
        "title": "A simulated population",
        "corpus": "none",
        "splits": {"test": "test"},
        "targets": targets,
        "metrics": metrics,
        "ranking": {"by": [metrics[0]["name"]]},
        "folder": Path(),
    }
    return Track.model_validate(declaration)


def class_scores(joint: Array) -> dict[str, float]:
    """Return the scores of a confusion matrix of chances."""
    shares, answered, right = joint.sum(axis=1), joint.sum(axis=0), np.diag(joint)
    f1, accuracy, chance = 2 * right / (shares + answered), right.sum(), shares @ answered
    spread = (1 - shares @ shares) * (1 - answered @ answered)
    return {
        "accuracy": float(accuracy),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(shares @ f1),
        "unweighted_average_recall": float((right / shares).mean()),
        "cohen_kappa": float((accuracy - chance) / (1 - chance)),
        "matthews_correlation": float((accuracy - chance) / math.sqrt(spread)),
    }


def sizes_of(normal: Array) -> NDArray[np.int64]:
    """Return very different numbers of samples: exp(3 + 1.2 x) of standard normal x, rounded, from 1 to 600."""
    return np.asarray(np.exp(3 + 1.2 * normal).round().clip(1, MOST), dtype=np.int64)


def chosen(rng: np.random.Generator, chances: Array) -> Array:
    """Return a random choice `(n,)` for each row of chances."""
    edges = np.cumsum(chances, axis=1)[:, :-1]
    return np.asarray((rng.random(len(chances))[:, None] >= edges).sum(axis=1), dtype=np.int32)


@dataclass(frozen=True)
class Classes:
    """Independent samples of K classes, each answered right with a chance of its class.

    Attributes:
        shares: share of every class.
        recalls: chance of a right answer for every class; wrong ones are spread by a Dirichlet(1) row of each class.
        n: samples.
        metrics: names of the metrics.
        group: share of the samples in a breakdown group, whose intervals are asked for; None asks for those of all.
    """

    shares: tuple[float, ...]
    recalls: tuple[float, ...]
    n: int
    metrics: tuple[str, ...]
    group: float | None = None

    @property
    def track(self) -> Track:
        """The track that scores it."""
        labels = [f"class-{number}" for number in range(len(self.shares))]
        targets: Targets = {"discrete": {"type": "categorical", "labels": labels}}
        return track(targets, *({"name": name, "target": "discrete"} for name in self.metrics))

    @property
    def answers(self) -> Array:
        """Chances of every answer (columns) for every class (rows)."""
        rng, n_classes = np.random.default_rng(5), len(self.shares)
        wrong = np.zeros((n_classes, n_classes))
        wrong[~np.eye(n_classes, dtype=np.bool_)] = rng.dirichlet(np.ones(n_classes - 1), n_classes).ravel()
        recalls = np.array(self.recalls)
        return np.asarray(np.diag(recalls) + wrong * (1 - recalls)[:, None])

    def truth(self) -> dict[str, float]:
        """Return the true scores."""
        scores = class_scores(np.array(self.shares)[:, None] * self.answers)
        return {name: scores[name] for name in self.metrics}

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""
        reference = chosen(rng, np.tile(self.shares, (self.n, 1)))
        prediction = chosen(rng, self.answers[reference])
        groups = () if self.group is None else (np.flatnonzero(rng.random(self.n) < self.group),)
        return simulated(self.track, groups=groups, discrete=(reference, prediction))


@dataclass(frozen=True)
class Numbers:
    """Independent references a and noise e, both t-distributed; the prediction is 0.7 a + 0.5 e + 0.2.

    Attributes:
        degrees: degrees of freedom of both; infinite for normal ones. With 4 or fewer a squared error has no variance.
        n: samples.
        metrics: names of the metrics.
    """

    degrees: float
    n: int
    metrics: tuple[str, ...]

    @property
    def track(self) -> Track:
        """The track that scores it."""
        return track(
            {"valence": {"type": "continuous"}}, *({"name": name, "target": "valence"} for name in self.metrics)
        )

    def truth(self) -> dict[str, float]:
        """Return the true scores; the mean absolute error is that of normal numbers."""
        variance = 1.0 if math.isinf(self.degrees) else self.degrees / (self.degrees - 2)
        mse, error = 0.34 * variance + 0.04, NormalDist(0.2, math.sqrt(0.34))
        scores = {
            "mse": mse,
            "rmse": math.sqrt(mse),
            "mae": _mean_magnitude(error),
            "ccc": 1.4 * variance / (1.74 * variance + 0.04),
            "pcc": 0.7 / math.sqrt(0.74),
            "r2": 1 - mse / variance,
        }
        return {name: scores[name] for name in self.metrics}

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""
        normal = math.isinf(self.degrees)
        a, e = rng.standard_normal((2, self.n)) if normal else rng.standard_t(self.degrees, (2, self.n))
        return simulated(self.track, valence=(a, 0.7 * a + 0.5 * e + 0.2))


def _mean_magnitude(normal: NormalDist) -> float:
    """Return the mean of |x| of a normal x."""
    ratio, standard = normal.mean / normal.stdev, NormalDist()
    return 2 * normal.stdev * standard.pdf(ratio) + normal.mean * (2 * standard.cdf(ratio) - 1)


@dataclass(frozen=True)
class Scores:
    """Independent scores, standard normal of negative samples and about `distance` of positive ones."""

    positive: float  # share of positive samples
    distance: float
    n: int
    metrics: tuple[str, ...]

    @property
    def track(self) -> Track:
        """The track that scores it."""
        targets: Targets = {"deception": {"type": "scores", "positive": "lie", "negative": "truth"}}
        return track(targets, *({"name": name, "target": "deception"} for name in self.metrics))

    def truth(self) -> dict[str, float]:
        """Return the true scores; the area under the precision–recall curve is a trapezoidal sum of 20,001 points."""
        standard, d, share = NormalDist(), self.distance, self.positive
        best = d / 2 + math.log((1 - share) / share) / d
        at = np.linspace(-9, d + 9, 20_001)
        recall, alarm = _below(d - at), _below(-at)
        precision = share * recall / (share * recall + (1 - share) * alarm)
        scores = {
            "auroc": standard.cdf(d / math.sqrt(2)),
            "aupr": float(((precision[1:] + precision[:-1]) / 2 * -np.diff(recall)).sum()),
            "fpr_at_95tpr": standard.cdf(standard.inv_cdf(0.95) - d),
            "detection_error": share * standard.cdf(best - d) + (1 - share) * standard.cdf(-best),
            "equal_error_rate": standard.cdf(-d / 2),
        }
        return {name: scores[name] for name in self.metrics}

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""
        reference = (rng.random(self.n) < self.positive).astype(np.int8)
        prediction = rng.standard_normal(self.n) + self.distance * reference
        return simulated(self.track, deception=(reference, prediction))


@dataclass(frozen=True)
class Sentiment:
    """Independent samples with references from −3 to 3 in steps of 0.2, as in CMU-MOSI; 0.7 of it and noise predicted.

    The noise is normal, of standard deviation `NOISE`.
    """

    n: int

    METRICS = ("mosi_accuracy_7", "mosi_non0_accuracy", "mae", "pcc")
    VALUES = np.round(np.arange(-15, 16) * 0.2, 1)
    NOISE = 0.8

    @property
    def track(self) -> Track:
        """The track that scores it."""
        return track({"label": {"type": "continuous"}}, *({"name": name, "target": "label"} for name in self.METRICS))

    def truth(self) -> dict[str, float]:
        """Return the true scores."""
        values, predicted = self.VALUES, 0.7 * self.VALUES
        classes = np.rint(values)
        upper = np.where(classes == 3, np.inf, (classes + 0.5 - predicted) / self.NOISE)
        lower = np.where(classes == -3, -np.inf, (classes - 0.5 - predicted) / self.NOISE)
        variance = float((values**2).mean())
        scores = (
            float((_below(upper) - _below(lower)).mean()),
            float(_below(np.abs(predicted[values != 0]) / self.NOISE).mean()),
            float(np.mean([_mean_magnitude(NormalDist(0.3 * value, self.NOISE)) for value in values])),
            0.7 * variance / math.sqrt(variance * (0.49 * variance + self.NOISE**2)),
        )
        return dict(zip(self.METRICS, scores, strict=True))

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""
        reference = self.VALUES[rng.integers(0, len(self.VALUES), self.n)]
        prediction = 0.7 * reference + self.NOISE * rng.standard_normal(self.n)
        return simulated(self.track, label=(reference, prediction))


@dataclass(frozen=True)
class LabelSets:
    """Independent samples with at least one of six emotions each, scored label by label and set by set."""

    n: int

    METRICS = ("multilabel_f1", "hamming_loss", "exact_match", "set_jaccard", "set_average")
    LABELS = ("happy", "sad", "angry", "afraid", "disgusted", "surprised")
    PREVALENCE = np.array([0.5, 0.3, 0.25, 0.1, 0.15, 0.06])
    HIT, ALARM = np.array([0.8, 0.7, 0.7, 0.5, 0.6, 0.5]), np.array([0.15, 0.1, 0.1, 0.05, 0.05, 0.03])
    STATES = (np.arange(64)[:, None] >> np.arange(6)) & 1

    @property
    def track(self) -> Track:
        """The track that scores it."""
        targets: Targets = {
            "each": {"type": "multilabel", "labels": self.LABELS},
            "all": {"type": "label_set", "empty": "allow"},
        }
        of = {name: "all" if name.startswith("set_") else "each" for name in self.METRICS}
        return track(targets, *({"name": name, "target": target} for name, target in of.items()))

    @cached_property
    def shares(self) -> Array:
        """Chances of the 64 sets, the empty one never."""
        chances = np.where(self.STATES, self.PREVALENCE, 1 - self.PREVALENCE).prod(axis=1)
        chances[0] = 0
        return np.asarray(chances / chances.sum())

    def truth(self) -> dict[str, float]:
        """Return the true scores, by going through all pairs of sets."""
        own, theirs = self.STATES[:, None, :], self.STATES[None, :, :]
        predicted = np.where(own, self.HIT, self.ALARM)
        joint = self.shares[:, None] * np.where(theirs, predicted, 1 - predicted).prod(axis=2)
        both, n_own, n_theirs = (own & theirs).sum(axis=2), own.sum(axis=2), theirs.sum(axis=2)
        hits, marks = np.einsum("st,stk->k", joint, own & theirs), np.einsum("st,stk->k", joint, own + theirs)
        precision, recall = both / np.maximum(n_theirs, 1), both / np.maximum(n_own, 1)
        values = (
            (own != theirs).mean(axis=2),
            n_own + n_theirs == 2 * both,
            both / np.maximum(n_own + n_theirs - both, 1),
        )
        means = [float((joint * value).sum()) for value in (*values, (precision + recall) / 2)]
        return dict(zip(self.METRICS, (float((2 * hits / marks).mean()), *means), strict=True))

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""
        own = self.STATES[rng.choice(64, self.n, p=self.shares)].astype(np.int8)
        theirs = (rng.random(own.shape) < np.where(own, self.HIT, self.ALARM)).astype(np.int8)
        return simulated(self.track, each=(own, theirs), all=(self._sets(own), self._sets(theirs)))

    def _sets(self, bits: Array) -> Values:
        codes = np.nonzero(bits)[1].astype(np.int32)
        return Lists(self.LABELS, codes, offsets_of(bits.sum(axis=1)))


@dataclass(frozen=True)
class Chances:
    """Samples of four classes with probabilities of them, one of 4,000 rows that are fixed.

    Logits of a row are normal, of standard deviation 2. The true chances of its classes are those of the logits times
    `sharpness`: with 1 the system is calibrated, with less it is too sure, with more not sure enough. Of speakers, who
    have equal numbers of samples, it is half or, as probably, one and a half times as large.
    """

    sharpness: float
    n: int
    n_speakers: int | None = None

    METRICS = ("brier_score", "cross_entropy", "expected_calibration_error")
    LABELS = ("neutral", "angry", "happy", "sad")
    N_ROWS, N_BINS = 4_000, 15

    @property
    def track(self) -> Track:
        """The track that scores it."""
        targets: Targets = {"discrete": {"type": "categorical", "labels": self.LABELS}}
        return track(targets, *({"name": name, "target": "discrete"} for name in self.METRICS))

    @cached_property
    def rows(self) -> tuple[Array, Array]:
        """Probabilities `(rows, K)`, and true chances `(2, rows, K)` of the two kinds of speakers."""
        logits = np.random.default_rng(5).normal(0, 2, (self.N_ROWS, len(self.LABELS)))
        kinds = np.array([1, 1] if self.n_speakers is None else [0.5, 1.5])[:, None, None]
        stated, true = np.exp(logits), np.exp(self.sharpness * kinds * logits)
        return stated / stated.sum(axis=1, keepdims=True), true / true.sum(axis=2, keepdims=True)

    def truth(self) -> dict[str, float]:
        """Return the true scores, and the true share right of every bin by its key."""
        stated, true = self.rows[0], self.rows[1].mean(axis=0)
        largest = stated.max(axis=1)
        right = true[np.arange(self.N_ROWS), stated.argmax(axis=1)]
        place = np.ceil(largest * self.N_BINS).astype(np.int64) - 1
        n, n_right, gaps = (np.bincount(place, each, self.N_BINS) for each in (None, right, right - largest))
        scores = (
            float((np.square(stated).sum(axis=1) + 1 - 2 * (true * stated).sum(axis=1)).mean()),
            float(-(true * np.log(stated)).sum(axis=1).mean()),
            float(np.abs(gaps).sum() / self.N_ROWS),
        )
        bins = {bin_key("discrete", each): float(n_right[each] / n[each]) for each in np.flatnonzero(n).tolist()}
        return dict(zip(self.METRICS, scores, strict=True)) | bins

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""
        speakers = np.arange(self.n) % (self.n_speakers or self.n)
        kind, row = rng.integers(0, 2, self.n_speakers or self.n)[speakers], rng.integers(0, self.N_ROWS, self.n)
        stated, true = self.rows[0][row], self.rows[1][kind, row]
        sides = {"discrete": chosen(rng, true)}, {"discrete": stated.argmax(axis=1).astype(np.int32)}
        aligned = Aligned(self.track, *sides, probabilities={"discrete": stated}, detailed=True)
        return SimulatedTestSet(aligned, speakers if self.n_speakers else None)


@dataclass(frozen=True)
class UnequalSpeakers:
    """Speakers of different skill z with very different numbers of samples; six classes and a valence.

    A speaker's own shares of the classes are Dirichlet(4 · SHARES). The right answer has the chance logistic(0.6 + 0.9
    z), else it is sampled by SHARES. Valences are a ~ N(0, 1), predicted as 0.7 a, + N(0, 0.5) of the speaker, + N(0,
    0.5).

    Attributes:
        n_speakers: speakers.
        tied: correlation of the logarithm of a speaker's number of samples, N(3, 1.2), with z.
        n_each: samples of every speaker; None for those numbers, rounded, from 1 to 600.
        metrics: names of the metrics.
    """

    n_speakers: int
    tied: float = 0.0
    n_each: int | None = None
    metrics: tuple[str, ...] = ("accuracy", "macro_f1", "weighted_f1", "unweighted_average_recall", "ccc")

    SHARES = np.array([0.3, 0.23, 0.2, 0.1, 0.12, 0.05])

    @property
    def n(self) -> int | None:
        """The number of samples; None where it varies."""
        return self.n_each and self.n_speakers * self.n_each

    @property
    def track(self) -> Track:
        """The track that scores it."""
        labels = ["neutral", "angry", "happy", "sad", "worried", "surprise"]
        targets: Targets = {"discrete": {"type": "categorical", "labels": labels}, "valence": {"type": "continuous"}}
        of = {name: "valence" if name == "ccc" else "discrete" for name in self.metrics}
        return track(targets, *({"name": name, "target": target} for name, target in of.items()))

    def truth(self) -> dict[str, float]:
        """Return the true scores over samples, so that a speaker counts by the number of samples."""
        z = np.linspace(-9, 9, 3_601)
        density = np.exp(-np.square(z) / 2) * self._mean_size(z)
        right = float((density * _logistic(z)).sum() / density.sum())
        joint = right * np.diag(self.SHARES) + (1 - right) * np.outer(self.SHARES, self.SHARES)
        scores = class_scores(joint) | {"ccc": 1.4 / (1 + 0.49 + 0.25 + 0.25)}
        return {name: scores[name] for name in self.metrics}

    def _mean_size(self, z: Array) -> Array:
        """Return the mean number of samples of speakers of skill z: the sum of the chances of at least 1, 2, …."""
        if self.n_each is not None or not self.tied:
            return np.ones(len(z))
        at_least = (np.log(np.arange(2, MOST + 1) - 0.5)[:, None] - 3) / 1.2
        return np.asarray(1 + _below((self.tied * z - at_least) / math.sqrt(1 - self.tied**2)).sum(axis=0))

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""
        z, other = rng.standard_normal((2, self.n_speakers))
        sizes = sizes_of(self.tied * z + math.sqrt(1 - self.tied**2) * other)
        sizes = np.full(self.n_speakers, self.n_each) if self.n_each else sizes
        speakers = np.repeat(np.arange(self.n_speakers), sizes)
        n = len(speakers)
        classes = chosen(rng, rng.dirichlet(4 * self.SHARES, self.n_speakers)[speakers])
        guess = chosen(rng, np.tile(self.SHARES, (n, 1)))
        answer = np.where(rng.random(n) < _logistic(z)[speakers], classes, guess).astype(np.int32)
        valence = rng.standard_normal(n)
        own = 0.5 * rng.standard_normal(self.n_speakers)[speakers]
        predicted = 0.7 * valence + own + 0.5 * rng.standard_normal(n)
        return simulated(self.track, speakers, discrete=(classes, answer), valence=(valence, predicted))


def _logistic(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-(0.6 + 0.9 * z))))
