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
from merbench.claims.condition import corrupted_samples
from merbench.corpus.candidates import open_candidates
from merbench.corruptions import Step, generator
from merbench.corruptions.missing import gcnet_masks
from merbench.errors import UsageError
from merbench.robustness import Settings as Robust
from merbench.robustness import robustness
from merbench.scoring import public_score
from merbench.submission import read_submission
from merbench.track import load_track
from merbench.training import open_models, read_run
from merbench.training.data import feature_set, training_candidates
from merbench.training.declaration import load_baseline
from merbench.training.output import submission_table
from merbench.training.plan import make_plan
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


def test_a_side_that_learned_from_candidates_is_transductive_in_the_remark(claimant: Claimant) -> None:
    base = 'base = "logistic", base_options = { C = 0.1, alpha = 10.0, scale = "each" }'
    semi = f'{{ baseline = "pseudo-label", options = {{ {base} }}, training = {{ unlabelled = ["test"] }} }}'
    other = CLAIM.format(PLACE.format(ABSENT)).replace('{ baseline = "logistic", options = { C = 0.1 } }', semi)
    claimant(CLAIM.format(PLACE.format(ABSENT)), other)
    report = check_claims(["means"])
    assert [row.measured.remark if row.measured else row.why for row in report.results] == [
        "",
        "the system is transductive: it learned from candidates without their references",
    ]


def test_a_condition_is_in_the_signature(claimant: Claimant) -> None:
    claimant(CLAIM.format(PLACE.format(ABSENT)))
    write_results(check_claims(["means"], Settings()), ["means"])
    assert stored_claims(["means"]).results[0].stored
    claimant(CLAIM.format(PLACE.format(ABSENT.replace("1.0", "0.5"))))
    assert not stored_claims(["means"]).results[0].stored


def under(condition: str) -> str:
    return PLACE.format(f", condition = {{ {condition} }}")


def values(*places: str) -> list[float]:
    """Return the difference that a claim has at each of some places."""
    rows = check_claims(["means"]).results
    assert [row.why for row in rows] == [""] * len(rows) and len(rows) == len(places)
    return [row.measured.values[0] for row in rows if row.measured is not None]


def test_several_rates_are_an_area_and_several_patterns_a_mean(claimant: Claimant) -> None:
    rates = [under(f'corruption = "gcnet_missing", rate = {rate}') for rate in (0.0, 0.3, 0.7, "[0.0, 0.3, 0.7]")]
    patterns = [under(f'corruption = "modality_pattern", pattern = {each}') for each in ('"a"', '"vt"', '["a", "vt"]')]
    claimant(CLAIM.format(", ".join([*rates, *patterns])))
    zero, low, high, area, single, double, mean = values(*rates, *patterns)
    # by trapezoids: 0.3 * (zero + low) / 2 + 0.4 * (low + high) / 2
    assert area == pytest.approx(0.15 * zero + 0.35 * low + 0.2 * high, abs=1e-12)
    assert mean == pytest.approx((single + double) / 2, abs=1e-12)
    every = check_claims(["means"]).results
    assert [row.place.partition(" under ")[2] for row in (every[3], every[6])] == [
        "gcnet_missing, rate 0.0 0.3 0.7",
        "modality_pattern, pattern a vt",
    ]
    remarks = [row.measured.remark for row in every if row.measured is not None]
    assert remarks == ["", "", "", "area over rates", "", "", "mean of 2 conditions"]
    assert len(list(Path("runs").rglob("run.json"))) == 2  # one model of each side for all


def test_a_model_for_every_condition_is_trained_under_it_and_rate_0_is_the_clean_run(claimant: Claimant) -> None:
    own = 'corruption = "gcnet_missing", weights = "per-condition", rate = '
    places = [PLACE.format(""), under(own + "0.5"), under(own + "[0.0, 0.5]")]
    claimant(CLAIM.format(", ".join(places)))
    clean, half, area = values(*places)
    assert area == pytest.approx(0.25 * clean + 0.25 * half, abs=1e-12)
    runs = [read_run(path.parent) for path in Path("runs").rglob("run.json")]
    declared = [run.track().training.corruptions for run in runs]
    assert sorted(len(each) for each in declared) == [0, 0, 1, 1]
    assert {(each[0].name, each[0].parameters["rate"]) for each in declared if each} == {("gcnet_missing", 0.5)}


@pytest.mark.parametrize(
    ("side", "rate"),
    [
        (
            'training = { corruptions = [{ name = "gcnet_missing", rate = { uniform = [0.0, 0.7] } }] }',
            "{'uniform': [0.0, 0.7]}",
        ),
        ('weights = "mixed"', "{'choice': [0.3, 0.5]}"),
    ],
)
def test_a_side_may_be_trained_otherwise(claimant: Claimant, side: str, rate: str) -> None:
    claim = CLAIM.replace("{{ C = 0.1 }}", "{{ C = 0.1 }}, " + side.replace("{", "{{").replace("}", "}}"))
    claim = claim.replace("{{ C = 1e-6 }}", '{{ C = 0.1 }}, weights = "per-condition"')
    claimant(claim.format(under('corruption = "gcnet_missing", rate = [0.3, 0.5]')))
    values("")
    runs = [read_run(path.parent).track().training.corruptions for path in Path("runs").rglob("run.json")]
    assert sorted(str(each[0].parameters["rate"]) for each in runs) == ["0.3", "0.5", rate]


@pytest.mark.parametrize(
    "step",
    [
        Step("gcnet_missing", {"rate": 0.5}),
        Step("gaussian_noise_features", {"snr_db": 0}),
    ],
)
def test_the_value_is_that_of_robustness(claimant: Claimant, step: Step) -> None:
    ((parameter, value),) = step.parameters.items()
    claimant(CLAIM.format(under(f'corruption = "{step.name}", {parameter} = {value}')))
    (row,) = check_claims(["means"]).results
    settings = Robust(corruption=step.name, options={"scale": "each", "alpha": 10.0, "C": 0.1})
    report = robustness("mer-multi", "logistic", {parameter: [value]}, settings)
    scores = report.curves[0].rows[0].scores
    assert row.measured is not None
    assert row.measured.system == pytest.approx({each.name: each.value for each in scores}["weighted_f1"], abs=1e-9)


def test_a_monotone_claim_is_decided_by_one_pair(claimant: Claimant) -> None:
    claim = CLAIM.replace("inequality", "monotone").replace("control", "# control")
    places = [
        under(f'corruption = "modality_pattern", pattern = {each}')
        for each in ('["a", "avt", "av"]', '["avt", "av"]', '["av", "a"]')
    ]
    claimant(claim.format(", ".join(places)))
    both, first, second = (row.measured for row in check_claims(["means"]).results)
    assert both is not None and first is not None and second is not None
    assert both in (replace(each, remark=both.remark) for each in (first, second))
    assert both.remark.endswith(", which decides of 2 differences")
    assert first.system is not None and first.control is not None
    assert first.values[0] == pytest.approx(first.system - first.control, abs=1e-12)
    # an exact copy of the rule: what does not hold comes first, then the lowest end
    order = [(each.high > 0, each.low if each.high > 0 else each.high) for each in (first, second)]
    assert replace(both, remark="") == replace((first, second)[order.index(min(order))], remark="")


BAD = [
    (CLAIM.format(under('corruption = "gcnet_missing", rate = [0.1, 0.1]')), "claims[0].on[0].condition: rate: needs one value or more, each once"),
    (CLAIM.format(under('corruption = "imbalanced_missing", audio = [0.1, 0.2], text = [0.1, 0.2]')), "one parameter may have several values, and not audio, text"),
    (CLAIM.format(under('corruption = "gcnet_missing", rate = 0.5, weights = "per-conditoin"')), "no weights named 'per-conditoin'; did you mean 'per-condition'?"),
    (CLAIM.format(PLACE.format(", training = { fold = 3 }")), "claims[0].on[0]: mer-multi: [training]"),
    (CLAIM.replace("1e-6 }}", '1e-6 }}, weights = "shared"').format(PLACE.format("")), "weights of a side need a condition"),
    (CLAIM.replace("inequality", "monotone").replace("control", "# control").format(under('corruption = "modality_pattern", pattern = ["a", "v"]')), "a monotone claim needs several values of one parameter"),
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


@pytest.mark.parametrize("name", ["context-gru", "logistic"])
def test_vectors_and_dialogues_are_corrupted_as_they_are(name: str) -> None:
    plan = make_plan(load_track("mer-multi"), load_baseline(name))
    clean, declared = plan.test_set(), plan.loaded.declaration
    samples = corrupted_samples(plan, Step("gcnet_missing", {"rate": 0.5}), plan.features)
    assert (samples.dialogues is None) == (declared.samples != "dialogues")
    if samples.dialogues is not None and clean.dialogues is not None:
        np.testing.assert_array_equal(samples.dialogues.dialogue, clean.dialogues.dialogue)
    by_modality = {clean.modalities[feature]: feature for feature in plan.features}
    assert list(samples.sequences) == list(plan.features) and len(by_modality) == 3
    learned = plan.training_set().samples.sequences
    removed = 0
    for row, sample_id in enumerate(clean.ids.to_pylist()):
        kept = gcnet_masks(1, 3, 0.5, generator(plan.track.seed, "gcnet_missing", sample_id))[0]
        for modality, is_kept in zip(("audio", "text", "video"), kept, strict=True):
            feature = by_modality[modality]
            before, after = (each.sequences[feature].of(row) for each in (clean, samples))
            if is_kept:
                np.testing.assert_array_equal(after, before)  # bit for bit
                continue
            removed += 1
            if declared.handles_missing:
                assert len(after) == 0
            else:
                rows = np.concatenate([learned[feature].of(each) for each in range(len(learned[feature]))])
                np.testing.assert_allclose(
                    after, np.tile(rows.mean(axis=0, dtype=np.float64), (len(after), 1)), atol=1e-6
                )
    assert removed


def test_a_side_of_one_feature_lacks_it_where_all_features_do() -> None:
    track = load_track("mer-multi")
    every, single = (make_plan(track, load_baseline("boosting"), features) for features in (None, ["audio"]))
    step = Step("gcnet_missing", {"rate": 0.5})
    expected = corrupted_samples(every, step, every.features).sequences["audio"].present
    own = corrupted_samples(single, step, every.features)
    assert list(own.sequences) == ["audio"] and 0 < expected.sum() < len(expected)
    np.testing.assert_array_equal(own.sequences["audio"].present, expected)
    assert corrupted_samples(single, step, single.features).sequences["audio"].present.all()  # one is always left
