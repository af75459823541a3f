"""Detectors of unknown classes: how known a sample looks, from features, last layer and scores of a classifier.

Each is a function of arrays, and is fitted on samples that the classifier learned from, never on unknown ones. Default
settings are those of papers on pictures; quantiles are taken of the features of these samples.

Conventions:
    n samples, d penultimate features, K known classes. features `(n, d)` and logits `(n, K)` are floats, finite.
    Scores are float64 `(n,)`, higher for samples that look known. Products and features are computed in the type of
    the features, exponentials of logits in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import Problem, UnknownName, UsageError, problem_lines
from merbench.parameters import Parameter, Within, declared, definition, parameter_problems, printed

Floats = NDArray[Any]
Scores = NDArray[np.float64]
Score = Callable[[Floats, Floats], Scores]
"""Returns how known samples look, from their features and logits."""

Quantile = Annotated[float, Within(0, 1)]
Percentile = Annotated[float, Within(0, 100)]
Above0 = Annotated[float, Within(1e-6)]

BLOCK = 1 << 17
"""How many features are changed at once, so that they stay in the cache until they are multiplied."""

DISTANCES = 1 << 22
"""How many distances are computed at once; bounds memory."""

TINY = 1e-12


class NoLastLayer(UsageError):
    """A baseline has no last linear layer, so that a detector cannot look behind its answers."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The last layer of a classifier: logits are `features @ weight.T + bias`."""

    weight: Floats  # (K, d)
    bias: Floats  # (K,)

    def logits(self, features: Floats) -> Floats:
        """Return `(n, K)` logits of features."""
        return self.changed(features, lambda part: part)

    def changed(self, features: Floats, change: Callable[[Floats], Floats]) -> Floats:
        """Return the logits of features that are changed, some rows at a time."""
        parts = [change(features[rows]) @ self.weight.T.astype(features.dtype, copy=False) for rows in _rows(features)]
        return np.concatenate([*parts, np.empty((0, len(self.weight)), features.dtype)]) + self.bias


@dataclass(frozen=True, eq=False)
class Known:
    """What a detector is fitted on: features of samples that the classifier learned from, their classes, its layer."""

    features: Floats  # (m, d)
    codes: NDArray[np.int64]  # (m,) of the known classes
    layer: Layer

    @cached_property
    def by_feature(self) -> Floats:
        """The values of every feature in rising order, `(d, m)`."""
        return np.sort(self.features.T, axis=1)

    def quantile(self, share: float) -> Floats:
        """Return the quantile of every feature, `(d,)`."""
        place = share * (len(self.features) - 1)
        low = int(place)
        rising = self.by_feature
        below, above = rising[:, low], rising[:, min(low + 1, len(self.features) - 1)]
        return np.asarray(below + (above - below) * (place - low), self.features.dtype)


def _rows(features: Floats) -> list[slice]:
    step = max(1, BLOCK // max(1, features.shape[1]))
    return [slice(start, start + step) for start in range(0, len(features), step)]


def _by_rows(features: Floats, value: Callable[[Floats], Floats]) -> Scores:
    """Return a value of every sample, computed for some rows at a time."""
    parts = [value(features[rows]) for rows in _rows(features)]
    return np.concatenate([np.empty(0), *parts]).astype(np.float64)


def msp(logits: Floats, temperature: float = 1.0) -> Scores:
    """Return the largest softmax probability (Hendrycks & Gimpel, 2017)."""
    columns = np.asarray(logits.T, np.float64, order="C") / temperature
    return np.asarray(1 / np.exp(columns - columns.max(axis=0)).sum(axis=0))


def max_logit(logits: Floats) -> Scores:
    """Return the largest logit (Hendrycks et al., 2022)."""
    return np.asarray(np.asarray(logits.T, np.float64, order="C").max(axis=0))


def energy(logits: Floats, temperature: float = 1.0) -> Scores:
    """Return the negative free energy, T · log Σ exp(z / T) (Liu et al., 2020)."""
    columns = np.asarray(logits.T, np.float64, order="C") / temperature
    largest = columns.max(axis=0)
    return np.asarray(temperature * (largest + np.log(np.exp(columns - largest).sum(axis=0))))


def norms(features: Floats, ceiling: float = np.inf) -> Scores:
    """Return the sum of the absolute values of each sample, none of which counts more than the ceiling."""
    ones = np.ones(features.shape[1], features.dtype)

    def norm(part: Floats) -> Floats:
        sizes = np.abs(part)
        return np.asarray((sizes if ceiling == np.inf else np.minimum(sizes, ceiling, out=sizes)) @ ones)

    return _by_rows(features, norm)


def gradient_norm(features: Floats, logits: Floats) -> Scores:
    """Return the L1 norm of the gradient of KL(uniform ‖ softmax) by the last weights, times K (Huang et al., 2021)."""
    columns = np.asarray(logits.T, np.float64, order="C")
    chances = np.exp(columns - columns.max(axis=0))
    chances *= len(columns) / chances.sum(axis=0)
    return np.asarray(norms(features) * np.abs(chances - 1).sum(axis=0))


def react(features: Floats, layer: Layer, ceiling: float) -> Scores:
    """Return the energy of features that are clipped at a ceiling (Sun et al., 2021)."""
    return energy(layer.changed(features, lambda part: np.minimum(part, part.dtype.type(ceiling))))


def rectified(features: Floats, low: Floats | float, high: Floats | float, added: float = 0.0) -> Floats:
    """Return features: 0 below `low`, at most `high`, and others with something added (Xu et al., 2023, VRA and VRA+).

    What is above `high` is `high`, also where something is added to what is below it.
    """
    changed = np.minimum(features, high)
    if added:
        changed += features.dtype.type(added) * (features <= high)
    changed *= features >= low
    return np.asarray(changed, features.dtype)


def vra(features: Floats, layer: Layer, low: Floats | float, high: Floats | float, added: float = 0.0) -> Scores:
    """Return the energy of rectified features."""
    return energy(layer.changed(features, lambda part: rectified(part, low, high, added)))


def squared_distances_from(features: Floats, centre: float) -> Scores:
    """Return the sum over features of the squared distance from a number, of each sample."""

    def squared(part: Floats) -> Floats:
        shifted = part - part.dtype.type(centre)
        return np.asarray(np.einsum("ij,ij->i", shifted, shifted))

    return _by_rows(features, squared)


def sparse(layer: Layer, means: Floats, percentile: float) -> Layer:
    """Return a layer with those weights only whose mean contribution is above a percentile (Sun & Li, 2022, DICE)."""
    contributions = layer.weight * means
    return Layer(np.where(contributions > np.percentile(contributions, percentile), layer.weight, 0), layer.bias)


def shaped(features: Floats, percentile: float, form: str) -> Floats:
    """Return features without the smallest ones of each sample (Djurisic et al., 2023, ASH).

    Of d features, d - round(d · percentile / 100) are kept, and all that equal the smallest of these. `p` leaves
    them as they are, `s` multiplies them by exp(sum of all / sum of kept ones), and `b` makes each that is not 0
    the sum of all divided by how many these are. The ratio of sums is within 1 and d / kept ones, as it is of
    features that are not negative: of others it has no bound.
    """
    d = features.shape[1]
    n_removed = min(round(d * percentile / 100), d - 1)
    if n_removed:
        least = np.partition(features, n_removed, axis=1)[:, n_removed, None]
        kept = features * (features >= least)
    else:
        kept = features.copy()
    if form == "p":
        return kept
    ones = np.ones(d, features.dtype)
    total = features @ ones
    if form == "b":
        filled = (kept != 0).astype(features.dtype)
        filled *= (total / np.maximum(filled @ ones, 1))[:, None]
        return np.asarray(filled)
    left = kept @ ones
    ratio = (total / np.where(left == 0, 1, left)).clip(1, d / (d - n_removed))
    kept *= np.exp(ratio)[:, None]
    return kept


def normalised(features: Floats) -> Floats:
    """Return features of length 1; those of length 0 as they are."""
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features))[:, None]
    return np.asarray(features / np.maximum(lengths, features.dtype.type(TINY)))


def neighbour_distances(features: Floats, stored: Floats, k: int) -> Scores:
    """Return the squared distance of normalised features to the k-th nearest of stored ones (Sun et al., 2022, KNN).

    Args:
        features: `(n, d)`; they are normalised here.
        stored: `(m, d)`, normalised.
        k: from 1; the farthest of fewer than k.
    """
    squares = np.einsum("ij,ij->i", stored, stored)
    halves = squares / 2 if len(squares) and squares.min() < 0.5 else None  # of features that are all 0
    step, distances = max(1, DISTANCES // max(1, len(stored))), np.empty(len(features))
    for start in range(0, len(features), step):
        own = normalised(features[start : start + step])
        near = own @ stored.T
        if halves is not None:
            near -= halves
        half = 0.5 if halves is None else 0.0
        lengths = np.einsum("ij,ij->i", own, own)
        distances[start : start + step] = lengths + 2 * (half - largest(near, k).astype(np.float64))
    return np.maximum(distances, 0)


def largest(values: Floats, k: int) -> Floats:
    """Return the k-th largest number of every row, the smallest of fewer.

    In groups of numbers, the k largest ones are in those k groups whose largest ones are: the others are not looked at.
    """
    size = math.isqrt(len(values.T) // k)  # so that as few numbers as possible are partitioned, in both steps together
    if size > 1:
        n = len(values.T) // size
        groups = values[:, : n * size].reshape(len(values), size, n)
        best = np.argpartition(groups.max(axis=1), n - k, axis=1)[:, None, n - k :]
        places = best + n * np.arange(size)[:, None] + len(values.T) * np.arange(len(values))[:, None, None]
        among = values.reshape(-1).take(places.reshape(len(values), -1))
        values = np.hstack([among, values[:, n * size :]])
    place = max(len(values.T) - k, 0)
    return np.asarray(np.partition(values, place, axis=1)[:, place])


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """Means of the classes, and what makes distances from them those by the tied covariance within classes."""

    whitening: Floats  # (d, r)
    means: Floats  # (classes, r) whitened

    @classmethod
    def of(cls, features: Floats, codes: NDArray[np.int64]) -> ClassMeans:
        """Return those of samples; directions in which nothing varies within classes are left out (pseudo-inverse)."""
        exact, present = features.astype(np.float64), np.unique(codes)
        means = np.stack([exact[codes == code].mean(axis=0) for code in present])
        within = exact - means[np.searchsorted(present, codes)]
        variances, directions = np.linalg.eigh(within.T @ within / len(within))
        used = variances > variances.max(initial=0) * len(variances) * np.finfo(features.dtype).eps
        whitening = directions[:, used] / np.sqrt(variances[used])
        return cls(whitening.astype(features.dtype), (means @ whitening).astype(features.dtype))

    def distances(self, features: Floats) -> Scores:
        """Return the squared Mahalanobis distance to the nearest mean (Lee et al., 2018)."""
        centre = self.means.mean(axis=0)
        means = self.means - centre
        squares = np.einsum("ij,ij->i", means, means)

        def nearest(part: Floats) -> Floats:
            own = part @ self.whitening
            own -= centre
            to_means = squares[:, None] - 2 * (means @ own.T)
            return np.asarray(np.einsum("ij,ij->i", own, own) + to_means.min(axis=0))

        return np.maximum(_by_rows(features, nearest), 0)


Fit = Callable[..., Score]


@dataclass(frozen=True)
class Detector:
    """A detector with its settings.

    Attributes:
        name: its name.
        fit: returns the score from what it is fitted on, and settings as keyword arguments.
        settings: settings that differ from the defaults.
    """

    name: str
    fit: Fit = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """What its settings may be."""
        return declared(self.fit)

    @property
    def values(self) -> dict[str, Any]:
        """All settings."""
        return {name: each.default for name, each in self.parameters.items()} | dict(self.settings)

    @property
    def label(self) -> str:
        """Its name with the settings that differ: `knn:k=20`."""
        own = ",".join(f"{name}={printed(value)}" for name, value in self.settings.items())
        return f"{self.name}:{own}" if own else self.name

    @property
    def title(self) -> str:
        """What it is, in a sentence."""
        return definition(self.fit)[0]

    @property
    def epsilon(self) -> float:
        """How far inputs are moved first, as ODIN does; 0: they are not."""
        return float(self.values.get("epsilon", 0.0))

    def fitted(self, known: Known) -> Score:
        """Return the score, fitted on known samples."""
        return self.fit(known, **self.settings)


DETECTORS: dict[str, Detector] = {}
"""All detectors by name; `msp` is the first, with which the others are compared."""


def _detector(name: str) -> Callable[[Fit], Fit]:
    def registered(fit: Fit) -> Fit:
        DETECTORS[name] = Detector(name, fit)
        return fit

    return registered


def detector(text: str) -> Detector:
    """Return the detector of a name, with settings: `knn`, `knn:k=20`, `vra:low=0.5,high=0.8`.

    Raises:
        UnknownName: there is no such detector.
        UsageError: a setting is unknown, or not allowed; all problems are listed.
    """
    name, _, rest = text.partition(":")
    if name not in DETECTORS:
        raise UnknownName("detector", name, DETECTORS)
    pairs = [pair.partition("=") for pair in rest.split(",") if pair.strip()]
    parameters = DETECTORS[name].parameters
    given = {key.strip(): _number(value.strip()) for key, _, value in pairs}
    if messages := list(parameter_problems(name, parameters, given, noun="setting")):
        problems = [Problem("E207", message, column=key) for key, message in messages]
        raise UsageError(*problem_lines(f"detector '{text}'", problems))
    settings = {key: float(value) if parameters[key].kind is float else value for key, value in given.items()}
    return Detector(name, DETECTORS[name].fit, settings)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


@_detector("msp")
def fit_msp(known: Known) -> Score:
    """Largest softmax probability (Hendrycks & Gimpel, 2017)."""
    return lambda features, logits: msp(logits)


@_detector("max-logit")
def fit_max_logit(known: Known) -> Score:
    """Largest logit (Hendrycks et al., 2022)."""
    return lambda features, logits: max_logit(logits)


@_detector("energy")
def fit_energy(known: Known, *, temperature: Above0 = 1.0) -> Score:
    """T · log Σ exp(z / T) (Liu et al., 2020)."""
    return lambda features, logits: energy(logits, temperature)


@_detector("odin")
def fit_odin(known: Known, *, temperature: Above0 = 1000.0, epsilon: Annotated[float, Within(0)] = 0.0) -> Score:
    """Largest softmax probability at a temperature, of inputs that are moved first (Liang, Li & Srikant, 2018).

    Inputs are moved by epsilon in the direction that makes it larger, which takes a second forward pass and a backward
    one. Papers choose epsilon with unknown samples; there are none to choose with, so it is 0 unless it is given.
    """
    return lambda features, logits: msp(logits, temperature)


@_detector("mahalanobis")
def fit_mahalanobis(known: Known) -> Score:
    """Negative distance to the nearest class mean, by the tied covariance within classes (Lee et al., 2018)."""
    means = ClassMeans.of(known.features, known.codes)
    return lambda features, logits: -means.distances(features)


@_detector("knn")
def fit_knn(known: Known, *, k: Annotated[int, Within(1)] = 50) -> Score:
    """Negative squared distance to the k-th nearest known sample, of normalised features (Sun et al., 2022)."""
    stored = normalised(known.features)
    return lambda features, logits: -neighbour_distances(features, stored, k)


@_detector("react")
def fit_react(known: Known, *, quantile: Quantile = 0.9) -> Score:
    """Energy of features clipped at a quantile of all of them (Sun et al., 2021)."""
    ceiling = float(np.quantile(known.features, quantile))
    return lambda features, logits: react(features, known.layer, ceiling)


@_detector("gradnorm")
def fit_gradient_norm(known: Known) -> Score:
    """L1 norm of the gradient of KL(uniform ‖ softmax) by the last weights, in closed form (Huang et al., 2021)."""
    return lambda features, logits: gradient_norm(features, logits)


@_detector("after-rg")
def fit_after_rg(known: Known, *, quantile: Quantile = 0.9) -> Score:
    """Log of the L1 norm of clipped features, plus the energy (after the abstract of arXiv:2302.11716, version 1).

    It names both parts, and not how they are combined: a product of norm and Σ exp z, as GradNorm multiplies a norm
    and a term of the outputs, is a sum of logs, which no unit of the features changes but for a constant.
    """
    ceiling = float(np.quantile(np.abs(known.features), quantile))
    return lambda features, logits: clipped_norm_with_energy(features, logits, ceiling)


def clipped_norm_with_energy(features: Floats, logits: Floats, ceiling: float) -> Scores:
    """Return the log of the L1 norm of features whose absolute values are clipped, plus the energy of the logits."""
    return np.asarray(np.log(norms(features, ceiling) + TINY) + energy(logits))


@_detector("vra")
def fit_vra(known: Known, *, low: Quantile = 0.6, high: Quantile = 0.9) -> Score:
    """Energy of features that are 0 below a quantile of each, and clipped at another (Xu et al., 2023)."""
    ends = known.quantile(low), known.quantile(high)
    return lambda features, logits: vra(features, known.layer, *ends)


@_detector("vra-plus")
def fit_vra_plus(known: Known, *, low: Quantile = 0.6, high: Quantile = 0.95, added: float = 0.6) -> Score:
    """The same with a number added to the features in between (Xu et al., 2023)."""
    ends = known.quantile(low), known.quantile(high)
    return lambda features, logits: vra(features, known.layer, *ends, added)


@_detector("vra-plus-plus")
def fit_vra_plus_plus(
    known: Known,
    *,
    low: Quantile = 0.5,
    high: Quantile = 0.85,
    scale: Annotated[float, Within(0)] = 0.01,
    centre: float = 4.0,
) -> Score:
    """VRA, less a multiple of the squared distance of the features from a number (Xu et al., 2023)."""
    ends = known.quantile(low), known.quantile(high)
    return lambda features, logits: vra(features, known.layer, *ends) - scale * squared_distances_from(features, centre)


@_detector("dice")
def fit_dice(known: Known, *, percentile: Percentile = 90.0) -> Score:
    """Energy by the weights only whose mean contribution is above a percentile (Sun & Li, 2022)."""
    layer = sparse(known.layer, known.features.mean(axis=0), percentile)
    return lambda features, logits: energy(layer.logits(features))


def _ash(known: Known, percentile: float, form: str) -> Score:
    change = partial(shaped, percentile=percentile, form=form)
    return lambda features, logits: energy(known.layer.changed(features, change))


@_detector("ash-p")
def fit_ash_p(known: Known, *, percentile: Percentile = 90.0) -> Score:
    """Energy of the largest features of each sample (Djurisic et al., 2023)."""
    return _ash(known, percentile, "p")


@_detector("ash-s")
def fit_ash_s(known: Known, *, percentile: Percentile = 90.0) -> Score:
    """Energy of these, scaled by exp(sum of all features / sum of those that are kept)."""
    return _ash(known, percentile, "s")


@_detector("ash-b")
def fit_ash_b(known: Known, *, percentile: Percentile = 90.0) -> Score:
    """Energy of these, each made their share of the sum of all features."""
    return _ash(known, percentile, "b")
