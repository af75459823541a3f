"""What is stored of a run is enough to predict as it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.files.reading import sha256_file
from merbench.files.tensors import read_tensors
from merbench.track import Track, load_track
from merbench.track.validation import parse_track
from merbench.training import FeatureSet, Setup, Storable, feature_set, load_baseline, run_baseline, training_set
from tests.training.conftest import SmallTrack
from tests.training.test_declaration import write
from tests.training.test_plugin_errors import MODEL
from tests.training.test_sets import open_track

__all__ = ["open_track"]


@pytest.mark.parametrize(
    ("name", "options"), [("majority", {}), ("logistic", {"scale": "each", "C": 0.1, "alpha": 10.0})]
)
def test_a_restored_baseline_predicts_as_the_fitted_one(
    small_track: SmallTrack, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    track = small_track()
    run = run_baseline(track, name, options=options, output=tmp_path / "run", intervals=False)
    record = json.loads((run.folder / "run.json").read_text())
    path = run.folder / "models" / "seed-0.safetensors"
    assert record["runs"][0]["models"] == {"models/seed-0.safetensors": sha256_file(path)}
    arrays, metadata = read_tensors(path)
    assert metadata["options"] == record["options"] and metadata["files"] == record["baseline"]["files"]
    restored = load_baseline(name).build(metadata["options"], Setup())
    assert isinstance(restored, Storable)
    restored.restore(arrays, track, record["widths"])
    outputs = restored.predict(feature_set(open_candidates(track), run.features)).outputs
    for target, values in run.seeds[0].predictions.outputs.items():
        np.testing.assert_array_equal(outputs[target], values)


def test_words_are_stored_with_the_rest(open_track: Track) -> None:
    train, test = (open_candidates(open_track, split) for split in ("train", "test"))
    rng = np.random.default_rng(0)

    def seen(samples: FeatureSet) -> FeatureSet:
        vectors = {"own": rng.normal(size=(len(samples), 3)).astype(np.float32)}
        return FeatureSet(samples.ids, FeatureSet.of_vectors(samples.ids, vectors).sequences, samples.columns)

    learned = training_set(train, [], ["transcript"])
    object.__setattr__(learned, "samples", seen(learned.samples))
    unseen = seen(feature_set(test, [], ["transcript"]))
    loaded, options = load_baseline("lexicon-ov"), {"C": 0.1, "threshold": 0.2}
    fitted, restored = (loaded.build(options, Setup()) for _ in range(2))
    fitted.fit(learned)
    assert isinstance(fitted, Storable) and isinstance(restored, Storable)
    restored.restore(fitted.weights(), open_track, {"own": 3})
    assert list(restored.predict(unseen).sets["openset"]) == list(fitted.predict(unseen).sets["openset"])


def test_a_track_is_rebuilt_from_what_a_run_records() -> None:
    # of each sort: metrics with parameters, corruptions with parameters, several splits of a corpus, views
    for name in ("mer-multi", "mer-noise", "mer2023-noise", "add2023-rl", "ger-samm"):
        track = load_track(name)
        assert parse_track(json.loads(json.dumps(track.content)), track.folder) == track


def test_what_is_no_array_is_refused(small_track: SmallTrack, tmp_path: Path) -> None:
    methods = """
    def weights(self):
        return {"shape": self.shape, "mean": np.zeros(2)}
    def restore(self, weights, track, widths):
        self.shape = int(weights["shape"])
"""
    model = MODEL.replace("\ndef build", f"{methods}\ndef build")
    own = write(tmp_path / "own", 'title = "Own"\n', model)
    with pytest.raises(
        UsageError, match="weights: shape is a value of type 'int'; allowed: NumPy arrays of numbers, or"
    ):
        run_baseline(small_track(), own, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
