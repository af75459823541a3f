from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from merbench.corpus.candidates import open_candidates
from merbench.scoring import compare
from merbench.training import RunSettings, feature_set, load_baseline, run_baseline, training_set
from merbench.training.protocol import Setup
from tests.training.conftest import SmallTrack


def test_it_is_standardised_logistic_and_ridge_regression(small_track: SmallTrack) -> None:
    track = small_track()
    train = training_set(open_candidates(track, "train"), ["loud", "quiet"])
    test = feature_set(open_candidates(track), ["loud", "quiet"])
    logistic = load_baseline("logistic").build({"scale": "each", "C": 0.1, "alpha": 10.0}, Setup())
    logistic.fit(train)
    outputs = logistic.predict(test).outputs

    fused, unseen = (np.hstack([x.features["loud"], x.features["quiet"]]).astype(float) for x in (train, test))
    labels = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(fused, train.targets["discrete"])
    numbers = make_pipeline(StandardScaler(), Ridge(alpha=10.0)).fit(fused, train.targets["valence"])
    # both solvers stop at a tolerance of 1e-4 on the gradient
    np.testing.assert_allclose(outputs["discrete"], labels.predict_proba(unseen), atol=1e-3)
    np.testing.assert_allclose(outputs["valence"], numbers.predict(unseen), atol=1e-9)


def test_one_scale_for_a_feature_keeps_its_proportions(small_track: SmallTrack) -> None:
    model = load_baseline("logistic").module
    x = np.array([[0.0, 5.0, 1.0], [2.0, 5.0, 5.0]])  # deviations 1, 0, 2
    mean, each = model.scale_of(x, "each")
    np.testing.assert_array_equal(mean, [1.0, 5.0, 3.0])
    np.testing.assert_array_equal(each, [1.0, 1.0, 2.0])
    np.testing.assert_allclose(model.scale_of(x, "all")[1], np.sqrt([5 / 3] * 3), rtol=1e-15)


def test_a_label_without_a_training_sample_has_no_probability(small_track: SmallTrack) -> None:
    track = small_track()
    train = training_set(open_candidates(track, "train"), ["loud"])
    train = train.select(np.flatnonzero(train.targets["discrete"] != 1))
    logistic = load_baseline("logistic").build({"scale": "each", "C": 0.1, "alpha": 10.0}, Setup())
    logistic.fit(train)
    table = logistic.predict(feature_set(open_candidates(track), ["loud"])).outputs["discrete"]
    np.testing.assert_array_equal(table[:, 1], 0.0)
    np.testing.assert_allclose(table.sum(1), 1.0)


@pytest.mark.slow
def test_on_the_sample_fusion_pays(sample_home: Path, tmp_path: Path) -> None:
    options, runs = {"scale": "each", "C": 0.01, "alpha": 1000.0}, {}  # none is selected, to save time
    for names in (["audio"], ["video"], ["text"], ["audio", "video", "text"]):
        name = "-".join(names)
        runs[name] = run_baseline(
            "mer-multi",
            "logistic",
            RunSettings(features=names, options=options, intervals=False),
            output=tmp_path / name,
        )
    f1 = {name: run.report["weighted_f1"].value for name, run in runs.items() if run.report}
    fused = f1.pop("audio-video-text")
    best = max(f1, key=lambda name: f1[name])
    assert 0.65 <= fused <= 0.85
    assert fused >= f1[best] + 0.05
    files = {name: runs[name].folder / "submission.csv" for name in ("audio-video-text", best)}
    differences = compare("mer-multi", files, n_permutations=1000).differences
    assert next(item.p for item in differences if item.name == "weighted_f1") < 0.01


def test_where_all_samples_have_one_label_it_is_answered(small_track: SmallTrack) -> None:
    track = small_track()
    train = training_set(open_candidates(track, "train"), ["loud"])
    same = replace(train, targets={**train.targets, "discrete": np.full(len(train), 2, dtype=np.int32)})
    loaded, test = load_baseline("logistic"), feature_set(open_candidates(track), ["loud"])
    trained: Any = loaded.build(loaded.options("small", {}), Setup())
    trained.fit(same)
    assert trained.predict(test).outputs["discrete"].tolist() == [[0, 0, 1]] * 30
    restored: Any = loaded.build(loaded.options("small", {}), Setup())
    restored.restore(trained.weights(), track, test.widths)
    assert restored.predict(test).outputs["discrete"].tolist() == [[0, 0, 1]] * 30
