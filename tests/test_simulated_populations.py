"""The populations of `benchmarks/coverage`: their true scores, against arithmetic and against large test sets."""

from __future__ import annotations

from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import entropy, norm
from sklearn.metrics import log_loss

from benchmarks.coverage.__main__ import CALIBRATION, FURTHER, HARD
from benchmarks.coverage.populations import Chances, Classes, LabelSets, Numbers, Scores, Sentiment, UnequalSpeakers
from benchmarks.coverage.ranks import Systems
from benchmarks.coverage.simulations import Case, covered
from benchmarks.coverage.speakers import Speakers
from merbench.scoring.uncertainty import with_details

KINDS = {type(case.population): case.population for cases in (HARD | FURTHER | CALIBRATION).values() for case in cases}
LARGE = {
    Classes: replace(KINDS[Classes], n=20_000, group=None),
    Numbers: replace(KINDS[Numbers], n=20_000),
    Scores: Scores(0.1, 2, 20_000, ("auroc", "aupr", "fpr_at_95tpr", "detection_error", "equal_error_rate")),
    Sentiment: Sentiment(20_000),
    LabelSets: LabelSets(20_000),
    Chances: Chances(0.5, 20_000, 2_000),
    UnequalSpeakers: UnequalSpeakers(600, 0.6),
    Speakers: Speakers("as test2", 20_000, concentration=0.5, offset=1.0),
}


def test_a_population_of_every_kind_is_compared() -> None:
    assert set(KINDS) | {Speakers} == set(LARGE)


@pytest.mark.slow
@pytest.mark.parametrize("population", LARGE.values(), ids=[kind.__name__ for kind in LARGE])
def test_the_mean_of_large_test_sets_approaches_the_true_scores(population: Any) -> None:
    rng, keys, truth = np.random.default_rng(0), Case(population).keys, population.truth()
    sets = [population.draw(rng).aligned for _ in range(12)]
    values = [with_details(aligned, np.ones((1, aligned.n), np.uint8)) for aligned in sets]
    for name, key in keys.items():
        of_sets = np.array([value[key][0] for value in values])
        # five standard errors, and the bias of a mean of ratios, which falls with 1 / n
        assert abs(of_sets.mean() - truth[name]) < 5 * of_sets.std() / sqrt(len(of_sets)) + 2e-4, name


def test_true_scores_of_numbers_by_hand() -> None:
    names = ("mse", "rmse", "ccc", "pcc", "r2")
    # t with 3 degrees has variance 3: errors −0.3 a + 0.5 e + 0.2 have 0.34 · 3 + 0.04, predictions 0.74 · 3
    expected = (1.06, sqrt(1.06), 2 * 2.1 / (3 + 2.22 + 0.04), 0.7 / sqrt(0.74), 1 - 1.06 / 3)
    assert Numbers(3, 500, names).truth() == pytest.approx(dict(zip(names, expected, strict=True)), abs=1e-12)
    # the mean of |x| of a normal x, by numerical integration
    x = np.linspace(-8, 8, 400_001)
    mean = np.trapezoid(np.abs(x) * norm.pdf(x, 0.2, sqrt(0.34)), x)
    assert Numbers(inf, 500, ("mae",)).truth()["mae"] == pytest.approx(mean, abs=1e-9)


def test_true_scores_of_detection_by_another_way() -> None:
    truth = Scores(0.1, 2, 500, ("auroc", "aupr", "fpr_at_95tpr", "detection_error", "equal_error_rate")).truth()
    # a difference of two independent normal scores is N(2, 2)
    assert truth["auroc"] == pytest.approx(norm.sf(0, 2, sqrt(2)), abs=1e-12)
    assert truth["fpr_at_95tpr"] == pytest.approx(norm.sf(norm.ppf(0.05, 2)), abs=1e-12)
    best = minimize_scalar(lambda at: 0.1 * norm.cdf(at, 2) + 0.9 * norm.sf(at), bounds=(0, 4), method="bounded")
    assert truth["detection_error"] == pytest.approx(best.fun, abs=1e-9)
    # the mean over positive scores of the precision at each of them
    at = np.linspace(-6, 10, 400_001)
    precision = 0.1 * norm.sf(at, 2) / (0.1 * norm.sf(at, 2) + 0.9 * norm.sf(at))
    assert truth["aupr"] == pytest.approx(np.trapezoid(precision * norm.pdf(at, 2), at), abs=1e-6)


def test_true_scores_of_two_classes_by_hand() -> None:
    names = ("accuracy", "macro_f1", "unweighted_average_recall", "cohen_kappa", "matthews_correlation")
    truth = Classes((0.8, 0.2), (0.9, 0.6), 100, names).truth()
    # right 0.72 and 0.12, answered 0.8 and 0.2 of each class, as often as they occur
    accuracy, chance = 0.84, 0.8 * 0.8 + 0.2 * 0.2
    kappa = (accuracy - chance) / (1 - chance)
    expected = (accuracy, (0.9 + 0.6) / 2, 0.75, kappa, kappa)
    assert truth == pytest.approx(dict(zip(names, expected, strict=True)), abs=1e-12)


def test_true_ranks_and_accuracies_of_systems() -> None:
    assert Systems((0.7, 0.6, 0.6, 0.8, 0.6), 9).true_ranks.tolist() == [[2, 3, 3, 1, 3], [2, 5, 5, 1, 5]]
    systems = Systems((0.7, 0.6), 40_000, 4_000)
    right = [
        (each.aligned.reference["discrete"] == each.aligned.prediction["discrete"]).reshape(10, 4_000).mean(axis=0)
        for each in systems.boards(np.random.default_rng(0))
    ]
    for own, accuracy in zip(right, systems.accuracies, strict=True):
        assert abs(own.mean() - accuracy) < 4 * own.std() / sqrt(4_000)


def test_true_scores_of_probabilities_by_another_way() -> None:
    population = Chances(1.5, 9)
    (stated, true), truth = population.rows, population.truth()
    # Calibrated probabilities have the Brier score Σ p (1 − p) and the entropy as log loss, and no calibration error.
    assert Chances(1, 9).truth()["brier_score"] == pytest.approx((stated * (1 - stated)).sum(axis=1).mean(), abs=1e-12)
    assert Chances(1, 9).truth()["cross_entropy"] == pytest.approx(entropy(stated, axis=1).mean(), abs=1e-12)
    assert Chances(1, 9).truth()["expected_calibration_error"] == pytest.approx(0, abs=1e-12)
    # Every label once as the reference, weighted by its chance.
    everything = np.tile(np.arange(4), len(stated))
    sides = np.repeat(stated, 4, axis=0), true[0].ravel()
    loss = log_loss(everything, sides[0], sample_weight=sides[1])
    assert truth["cross_entropy"] == pytest.approx(loss, abs=1e-12)


def test_counts_of_simulations_do_not_depend_on_how_they_are_divided() -> None:
    case = Case(Classes((0.8, 0.2), (0.9, 0.6), 60, ("accuracy",)))
    (first, _), (second, _), (both, methods) = (covered(case, numbers) for numbers in (range(2), range(2, 4), range(4)))
    assert (first + second).tolist() == both.tolist() and len(methods) == 1
    assert (both[:, :3] <= 4).all() and (both[:, 3] <= both[:, 1]).all()
