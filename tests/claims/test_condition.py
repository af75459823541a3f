"""Claims about corrupted test samples, which the models of kept runs answer."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from merbench.claims import Settings, check_claims, stored_claims, write_results
from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.scoring import public_score
from merbench.submission import read_submission
from merbench.track import load_track
from merbench.training import open_models, read_run
from merbench.training.data import feature_set, training_candidates
from merbench.training.output import submission_table
from merbench.training.samples import FeatureSet
from merbench.training.sequences import Sequences
from tests.claims.conftest import BETTER, Claimant

PLACE = '{{ track = "mer-multi", options = {{ scale = "each", alpha = 10.0 }}{} }}'
ABSENT = ', condition = { corruption = "modality_absence", modality = "audio", rate = 1.0 }'
CLAIM = """
check = "inequality"
system = {{ baseline = "logistic", options = {{ C = 0.1 }} }}
control = {{ baseline = "logistic", options = {{ C = 1e-6 }} }}
metric = "weighted_f1"
on = [{}]
"""


def vectors(samples: FeatureSet, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(samples.features[name])


def test_models_of_kept_runs_answer_corrupted_samples(claimant: Claimant) -> None:
    claimant(CLAIM.format(f"{PLACE.format('')}, {PLACE.format(ABSENT)}"))
    clean, corrupted = check_claims(["means"]).results
    assert corrupted.place == "mer-multi under modality_absence, modality audio, rate 1.0"
    folders = sorted(path.parent for path in Path("runs").rglob("run.json"))
    assert len(folders) == 2  # nothing is trained for a condition
    assert clean.measured is not None and corrupted.measured is not None
    assert clean.measured.system != corrupted.measured.system
    # Nothing of the sound is left: every vector is the mean of those that were learned from.
    (folder,) = (each for each in folders if read_run(each).record.options["C"] == 0.1)
    models, track = open_models(folder), load_track("mer-multi")
    candidates = open_candidates(track)
    samples, train = models.samples(candidates), feature_set(training_candidates(track), ["audio"])
    mean = np.broadcast_to(vectors(train, "audio").mean(axis=0), vectors(samples, "audio").shape)
    samples = replace(samples, sequences={**samples.sequences, "audio": Sequences.of_vectors(mean)})
    read = read_submission(submission_table(candidates, models.predict(samples)), candidates)
    expected = {each.key: each.value for each in public_score(read).scores}["weighted_f1(discrete)"]
    assert corrupted.measured.system == pytest.approx(expected, abs=1e-9)


def test_a_condition_is_in_the_signature(claimant: Claimant) -> None:
    claimant(CLAIM.format(PLACE.format(ABSENT)))
    write_results(check_claims(["means"], Settings()), ["means"])
    assert stored_claims(["means"]).results[0].stored
    claimant(CLAIM.format(PLACE.format(ABSENT.replace("1.0", "0.5"))))
    assert not stored_claims(["means"]).results[0].stored


BAD = [
    (CLAIM.format(PLACE.format(ABSENT.replace("_absence", "_absense"))), "claims[0].on[0].condition: no corruption of features named 'modality_absense'; did you mean 'modality_absence'?"),
    (CLAIM.format(PLACE.format(ABSENT.replace("rate", "rat"))), "claims[0].on[0].condition: modality_absence: "),
    (CLAIM.format(PLACE.format(', condition = { corruption = "white_noise" }')), "no corruption of features named 'white_noise'"),
    ('check = "number"\nvalue = 1\ntolerance = 1\non = [' + PLACE.format(ABSENT) + "]", "claims[0].on[0].condition: a condition is for differences of a metric, and not for numbers and diagnostics"),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "message"), BAD)
def test_a_condition_that_does_not_exist_is_one_message(claimant: Claimant, claim: str, message: str) -> None:
    claimant(claim)
    with pytest.raises(UsageError, match=re.escape(message)):
        check_claims(["means"])


def test_features_without_a_modality_cannot_be_corrupted(claimant: Claimant) -> None:
    claimant(BETTER.replace('"small"', '"small"' + ABSENT))
    (row,) = check_claims(["means"]).failures
    assert row.why == "small: none of the features has a known modality, so nothing is corrupted"
