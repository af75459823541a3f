"""A population of speakers who differ in difficulty, in the offset of their valence and in the class they mostly show.

A wrong answer costs in both targets: the predicted valence follows the predicted class. Six classes, equal or in the
shares of MER 2023's test2. Where samples are independent, each has its own speaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.coverage.populations import Array, SimulatedTestSet, chosen, class_scores, simulated, sizes_of, track
from merbench.track import OVERALL, Track

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
SHARES = {"equal": np.full(6, 1 / 6), "as test2": np.array([123, 98, 87, 40, 52, 12]) / 412}
VALENCE = np.array([0.0, -1.5, 1.8, -1.2, -0.8, 0.4])
REFERENCE_NOISE, PREDICTION_NOISE, SHRINKAGE = 0.8, 0.6, 0.8

# How often each class is answered right on the easiest and on the most difficult speaker, and where the others go.
EASY, DIFFICULT = np.array([0.90, 0.88, 0.90, 0.75, 0.80, 0.70]), np.array([0.60, 0.55, 0.60, 0.40, 0.45, 0.35])
CONFUSED = np.array(
    [
        [0, 3, 3, 2, 2, 1],
        [4, 0, 1, 2, 3, 1],
        [5, 1, 0, 1, 1, 1],
        [4, 2, 1, 0, 3, 0.5],
        [4, 3, 1, 3, 0, 0.5],
        [3, 2, 3, 1, 2, 0],
    ]
)

ACCURACY = {"name": "accuracy", "target": "discrete"}
WAF = {"name": "weighted_f1", "target": "discrete", "weight": 1.0}
UAR = {"name": "unweighted_average_recall", "target": "discrete"}
F1 = {"name": "f1", "target": "discrete", "parameters": {"label": "surprise"}}
MSE = {"name": "mse", "target": "valence", "weight": -0.25}
CCC = {"name": "ccc", "target": "valence"}
TARGETS: dict[str, dict[str, Any]] = {
    "discrete": {"type": "categorical", "labels": LABELS},
    "valence": {"type": "continuous"},
}
COVERED, COMPARED = track(TARGETS, ACCURACY, WAF, UAR, F1, MSE, CCC), track(TARGETS, ACCURACY, WAF, MSE)


def answers(right: Array) -> Array:
    """Return the chances of every answer (columns) for every class (rows)."""
    elsewhere = CONFUSED / CONFUSED.sum(axis=1, keepdims=True)
    return np.asarray(np.diag(right) + elsewhere * (1 - right)[:, None])


ANSWERS = np.stack([answers(EASY), answers(DIFFICULT)])


@dataclass(frozen=True)
class Speakers:
    """Speakers of a kind.

    Attributes:
        shares: key of `SHARES`.
        n: samples; about so many where there are speakers.
        n_speakers: speakers; None gives each sample its own.
        sizes: `similar`, speakers have between half and one and a half times the mean number of samples; `equal`;
            `unequal`, numbers as in `sizes_of`, whatever n; `tied`, the same, the more samples the easier the speaker.
        concentration: speakers' difficulties follow Beta(c, c): the smaller c, the more they differ.
        offset: standard deviation of the offsets that speakers bring to the valence of a prediction.
        favourite: share of a speaker's samples that are of the speaker's favourite class.
    """

    shares: str
    n: int
    n_speakers: int | None = None
    sizes: Literal["similar", "equal", "unequal", "tied"] = "similar"
    concentration: float = 2.0
    offset: float = 0.5
    favourite: float = 0.3

    @property
    def track(self) -> Track:
        """The track that scores it."""
        return COVERED

    def truth(self) -> dict[str, float]:
        """Return the true scores; sizes that are tied to difficulty are only for pairs of systems."""
        shares = SHARES[self.shares]
        joint = shares[:, None] * ANSWERS.mean(axis=0)
        answered, scores = joint.sum(axis=0), class_scores(joint)
        means = VALENCE, SHRINKAGE * VALENCE
        reference_mean, prediction_mean = shares @ means[0], answered @ means[1]
        reference_variance = shares @ means[0] ** 2 - reference_mean**2 + REFERENCE_NOISE**2
        noise = PREDICTION_NOISE**2 + self.offset**2
        prediction_variance = answered @ means[1] ** 2 - prediction_mean**2 + noise
        covariance = means[0] @ joint @ means[1] - reference_mean * prediction_mean
        apart = reference_variance + prediction_variance + (reference_mean - prediction_mean) ** 2
        mse = float(apart - 2 * covariance)
        surprise = float(2 * joint[-1, -1] / (shares[-1] + answered[-1]))
        return {
            **{name: scores[name] for name in ("accuracy", "weighted_f1", "unweighted_average_recall")},
            "f1": surprise,
            "mse": mse,
            "ccc": float(2 * covariance / apart),
            OVERALL: scores["weighted_f1"] - 0.25 * mse,
        }

    def draw(self, rng: np.random.Generator) -> SimulatedTestSet:
        """Return a test set."""
        of_speakers = rng.beta(self.concentration, self.concentration, self.n_speakers or self.n)
        speakers = self._speakers(rng, of_speakers)
        classes, valence = self._references(rng, speakers)
        answer = _answer(rng.random(len(speakers)) < of_speakers[speakers], classes, rng.random(len(speakers)))
        noise = PREDICTION_NOISE * rng.standard_normal(len(speakers)) + self._offsets(rng, speakers)
        predicted = SHRINKAGE * VALENCE[answer] + noise
        clusters = speakers if self.n_speakers else None
        return simulated(COVERED, clusters, discrete=(classes, answer), valence=(valence, predicted))

    def equals(self, rng: np.random.Generator) -> tuple[SimulatedTestSet, SimulatedTestSet]:
        """Return two systems of equal quality, whose errors are correlated: half of their answers have one cause.

        Each has difficulties and offsets of its own for every speaker.
        """
        of_speakers = rng.beta(self.concentration, self.concentration, self.n_speakers or self.n)
        speakers = self._speakers(rng, of_speakers)
        n = len(speakers)
        classes, valence = self._references(rng, speakers)
        shared, common = rng.random(n) < 0.5, 0.4 * rng.standard_normal(n)
        difficult, chance = rng.random(n) < of_speakers[speakers], rng.random(n)

        def system() -> SimulatedTestSet:
            own = rng.random(n) < rng.beta(self.concentration, self.concentration, len(of_speakers))[speakers]
            answer = _answer(np.where(shared, difficult, own), classes, np.where(shared, chance, rng.random(n)))
            noise = common + 0.45 * rng.standard_normal(n) + self._offsets(rng, speakers)
            predicted = SHRINKAGE * VALENCE[answer] + noise
            clusters = speakers if self.n_speakers else None
            return simulated(COMPARED, clusters, discrete=(classes, answer), valence=(valence, predicted))

        return system(), system()

    def _speakers(self, rng: np.random.Generator, difficulties: Array) -> Array:
        """Return the speaker of every sample."""
        if self.n_speakers is None:
            return np.arange(self.n)
        mean = self.n / self.n_speakers
        if self.sizes == "equal":
            sizes = np.full(self.n_speakers, round(mean))
        elif self.sizes == "similar":
            sizes = rng.integers(round(0.5 * mean), round(1.5 * mean) + 1, self.n_speakers)
        else:
            sizes = sizes_of(rng.standard_normal(self.n_speakers))
        if self.sizes == "tied":
            sizes = np.sort(sizes)[np.argsort(np.argsort(-difficulties))]
        return np.repeat(np.arange(self.n_speakers), sizes)

    def _references(self, rng: np.random.Generator, speakers: Array) -> tuple[Array, Array]:
        """Return classes and valences of the speakers' samples."""
        shares, n = SHARES[self.shares], len(speakers)
        own = chosen(rng, np.tile(shares, (speakers.max() + 1, 1)))[speakers]
        classes = np.where(rng.random(n) < self.favourite, own, chosen(rng, np.tile(shares, (n, 1))))
        return classes, VALENCE[classes] + REFERENCE_NOISE * rng.standard_normal(n)

    def _offsets(self, rng: np.random.Generator, speakers: Array) -> Array:
        """Return the offset of every sample's speaker."""
        of_speakers: Array = self.offset * rng.standard_normal(speakers.max() + 1)
        return of_speakers[speakers]


def _answer(difficult: Array, classes: Array, chance: Array) -> Array:
    edges = np.cumsum(ANSWERS, axis=2)[difficult.astype(np.intp), classes, :-1]
    return np.asarray((chance[:, None] >= edges).sum(axis=1), dtype=np.int32)
