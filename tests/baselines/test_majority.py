from __future__ import annotations

from pathlib import Path

import numpy as np

from merbench.corpus.candidates import open_candidates
from merbench.training import RunSettings, feature_set, load_baseline, run_baseline, training_set
from merbench.training.protocol import Setup
from tests.training.conftest import SmallTrack


def test_the_most_frequent_class_and_the_mean_value(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    train = training_set(open_candidates(track, "train"), [])
    test = feature_set(open_candidates(track), [])
    majority = load_baseline("majority").build({}, Setup())
    majority.fit(train)
    outputs = majority.predict(test).outputs
    counts = [train.targets["discrete"].tolist().count(code) for code in range(3)]
    np.testing.assert_array_equal(outputs["discrete"], [[count / 60 for count in counts]] * 30)
    np.testing.assert_allclose(outputs["valence"], [sum(train.targets["valence"].tolist()) / 60] * 30, rtol=1e-12)

    run = run_baseline(track, "majority", RunSettings(intervals=False), output=tmp_path / "run")
    lines = (run.folder / "submission.csv").read_text().splitlines()[1:]
    label = ("calm", "glad", "sad")[counts.index(max(counts))]
    assert {tuple(line.split(",")[1:]) for line in lines} == {(label, str(round(outputs["valence"][0], 6)))}
    assert not (run.folder / "curve.svg").exists()
    assert run.features == ()
