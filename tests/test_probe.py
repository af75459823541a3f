"""The linear probe learns what a ridge of scikit-learn learns, and nothing from the group that is left out."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.probes.probe import PENALTIES, difference, group_folds, leave_one_group_out, predictions, scored

sklearn_linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")


def test_a_ridge_with_a_chosen_penalty_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    features, noise = rng.normal(size=(90, 12)), rng.normal(size=90)
    target = features @ rng.normal(size=12) + noise
    folds = np.arange(90) % 3
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    errors = []
    for penalty in PENALTIES["ridge"]:
        error = 0.0
        for fold in range(3):
            inside, outside = folds == fold, folds != fold
            mean, deviation = features[outside].mean(axis=0), features[outside].std(axis=0)
            model = sklearn_linear.Ridge(penalty).fit((features[outside] - mean) / deviation, target[outside])
            error += np.sum((model.predict((features[inside] - mean) / deviation) - target[inside]) ** 2)
        errors.append(error)
    best = sklearn_linear.Ridge(PENALTIES["ridge"][int(np.argmin(errors))]).fit(standard, target)
    np.testing.assert_allclose(predictions(features, target, folds, features), best.predict(standard), rtol=1e-9)


@pytest.mark.parametrize("model", ["ridge", "logistic"])
def test_the_group_that_is_left_out_teaches_nothing(model: str) -> None:
    """One column has the label of a group's samples, in another order of labels for each group."""
    rng = np.random.default_rng(1)
    labels = np.tile(["calm", "glad"], 40)
    groups = np.repeat(["a", "b", "c", "d"], 20)
    sign = np.where(np.isin(groups, ["a"]), 1, -1)
    features = np.column_stack([np.where(labels == "glad", 1, -1) * sign, rng.normal(size=80)])
    answers = leave_one_group_out(features, labels, groups, model)
    assert (answers[groups == "a"] != labels[groups == "a"]).all()
    assert (answers[groups == "b"] == labels[groups == "b"]).mean() == 1


def test_folds_keep_groups_together() -> None:
    folds = group_folds(["v", "u", "v", "w", "u"], 2)
    assert folds.tolist() == [1, 0, 1, 0, 0]


def test_scores_are_merbenchs_own_with_wider_intervals_by_speaker() -> None:
    from sklearn.metrics import f1_score

    speakers = np.repeat([f"s{i}" for i in range(8)], 30)
    reference = np.tile(["x", "y", "z"], 80)
    is_wrong = (np.arange(240) % 30) < np.repeat([0, 2, 4, 6, 8, 10, 12, 14], 30)
    prediction = np.where(is_wrong, "x", reference)
    score = scored("weighted_f1", reference, prediction, speakers)
    single = scored("weighted_f1", reference, prediction, None)
    assert score.value == pytest.approx(f1_score(reference, prediction, average="weighted"), abs=1e-12)
    assert score.value == single.value
    assert score.low < single.low < score.value < single.high < score.high
    assert str(scored("mae", np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.5, 4.5]), None)).startswith("1.000 [")


def test_a_difference_is_paired_and_its_interval_is_by_cluster() -> None:
    """Accuracy is a mean: the error of its difference is that of the 40 sums over clusters (Cochran, 1977), here d."""
    from scipy.stats import t

    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(40), 10)
    reference = np.tile(["x", "y"], 200)
    chances = rng.uniform(0, 1, 40) * rng.uniform(0.2, 1, (2, 40))  # shared by both predictions, and their own
    is_right = rng.random((2, 400)) < np.repeat(chances, 10, axis=1)
    first, second = (np.where(right, reference, "z") for right in is_right)
    d = (is_right[0].astype(float) - is_right[1]).reshape(40, 10).sum(axis=1)
    mean, half = d.sum() / 400, t.ppf(0.975, 39) * np.sqrt(np.square(d - d.mean()).sum()) / 400
    score = difference("accuracy", reference, first, second, clusters)
    assert score.value == pytest.approx(mean, abs=1e-12)
    # 1,000 resamples: the deviation has an error of 2.2 %
    np.testing.assert_allclose([score.low, score.high], [mean - half, mean + half], atol=0.1 * half)
    opposite = difference("accuracy", reference, second, first, clusters)
    np.testing.assert_allclose([-opposite.value, -opposite.high, -opposite.low], score, atol=1e-9)
    assert str(score._replace(value=-0.25)).startswith("-.250 [")
    assert np.isnan(difference("accuracy", reference, first, first, clusters).low)
