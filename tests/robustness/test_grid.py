from __future__ import annotations

import re

import pytest

from merbench.errors import DeclarationError, UnknownName, UsageError
from merbench.robustness import parse_grid
from merbench.robustness.grid import planned
from tests.robustness.conftest import FEATURE_NOISE, CorruptedTrack

TWICE = FEATURE_NOISE + FEATURE_NOISE.replace("snr_db", 'step = "again"\nsnr_db')

THRICE = TWICE.replace("snr_db", 'step = "hum"\nsnr_db', 1)


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("snr_db=20,10,5,0", "snr_db", (20, 10, 5, 0)),
        ("severity=1..5", "severity", (1, 2, 3, 4, 5)),
        ("rate=0..0.7:0.1", "rate", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
        ("snr_db=-5..5:5", "snr_db", (-5, 0, 5)),
        ("factor=1,4..6,16", "factor", (1, 4, 5, 6, 16)),
        ("pattern=a,v,t,av,at,vt", "pattern", ("a", "v", "t", "av", "at", "vt")),
        (" rate = 1e-1 , 0.5 ", "rate", (0.1, 0.5)),
        ('kind="gaussian",impulse', "kind", ("gaussian", "impulse")),
        ("flag=true,false", "flag", (True, False)),
    ],
)
def test_a_grid_is_a_name_and_values(text: str, name: str, values: tuple[object, ...]) -> None:
    parsed = parse_grid(text)
    assert parsed == (name, values)
    assert list(map(type, parsed[1])) == list(map(type, values))


FORM = "write NAME=VALUES, such as snr_db=20,10,5,0 or severity=1..5 or rate=0..0.7:0.1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("snr_db", f"grid 'snr_db': {FORM}"),
        ("=1", f"grid '=1': {FORM}"),
        ("a=", f"grid 'a=': {FORM}"),
        ("a=1,,2", "grid 'a=1,,2': a value between commas is missing"),
        ("a=0..0.7", "grid 'a=0..0.7': 0..0.7 needs a step, such as 0..0.7:0.1"),
        ("a=1..2:0", "grid 'a=1..2:0': the step of 1..2:0 must be above 0"),
        ("a=0..1:0.0001", "grid 'a=0..1:0.0001': 0..1:0.0001 gives 10,001 values; a curve has at most 1,000"),
        ("a=0..1e99999999", "grid 'a=0..1e99999999': 0..1e99999999 has a number outside of 1e-20 to 1e20"),
        ("a=0..1:1e-99", "grid 'a=0..1:1e-99': 0..1:1e-99 has a number outside of 1e-20 to 1e20"),
    ],
)
def test_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        parse_grid(text)


def test_the_track_says_what_a_parameter_belongs_to_and_the_other_values(corrupted_track: CorruptedTrack) -> None:
    (curve,) = planned(corrupted_track(), {"snr_db": [10, 0]})
    assert (curve.step, curve.corruption.name) == ("feature_noise", "feature_noise")
    assert [condition.step.parameters for condition in curve.conditions] == [
        {"factor": 1, "snr_db": 10},
        {"factor": 1, "snr_db": 0},
    ]
    assert curve.signature == "feature_noise(snr_db=10,0;factor=1)"
    grids = {"factor": [2], "snr_db": [3]}
    distributed, named = planned(corrupted_track(name="two"), grids, parameters={"factor": 4})
    assert distributed.signature == "feature_noise(factor=2;snr_db={integers:[5,10]})"
    assert named.signature == "feature_noise(snr_db=3;factor=4)"  # a value given holds where no grid varies it


def test_a_named_corruption_needs_no_declaration(corrupted_track: CorruptedTrack) -> None:
    track = corrupted_track("")
    (curve,) = planned(track, {"snr_db": [10]}, "feature_noise", {"factor": 2})
    assert curve.conditions[0].step.parameters == {"factor": 2, "snr_db": 10}
    (step,) = planned(corrupted_track(TWICE, "two"), {"snr_db": [10]}, "again")
    assert step.step == "again"
    assert step.signature == "again:feature_noise(snr_db=10;factor=1)"


def test_there_is_a_curve_for_each_corruption_that_has_the_parameter_of_a_grid(corrupted_track: CorruptedTrack) -> None:
    names = ["coloured_noise", "jpeg", "babble"]
    grids = {"severity": [1, 5], "snr_db": [20, 0]}
    parameters = {"colour": "pink", "noise": "synthetic/babble", "start": 0.5, "jpeg.start": 0.25}
    curves = planned(corrupted_track(""), grids, names, parameters)
    assert [curve.signature for curve in curves] == [
        "coloured_noise(severity=1,5;colour=pink;start=0.5)",
        "jpeg(severity=1,5;start=0.25)",
        "babble(severity=1,5;noise=synthetic/babble;start=0.5)",
        "coloured_noise(snr_db=20,0;colour=pink;start=0.5)",
        "babble(snr_db=20,0;noise=synthetic/babble;start=0.5)",
    ]
    assert curves[1].conditions[1].step.parameters == {"start": 0.25, "severity": 5}


def test_a_value_for_one_corruption_takes_precedence_over_one_for_all(corrupted_track: CorruptedTrack) -> None:
    both = ("feature_noise", "again")
    first, second = planned(corrupted_track(TWICE), {"snr_db": [1]}, both, {"again.factor": 2, "factor": 4})
    assert (first.step, first.declared) == ("feature_noise", {"factor": 4})
    assert (second.step, second.declared) == ("again", {"factor": 2})
    # the name of a step takes precedence over that of a corruption
    first, second = planned(corrupted_track(TWICE, "two"), {"snr_db": [1]}, both, {"feature_noise.factor": 8})
    assert (first.declared, second.declared) == ({"factor": 8}, {"factor": 1})
    # a corruption names its step where no other step is of it
    (curve,) = planned(corrupted_track(TWICE, "three"), {"snr_db": [1]}, ["again"], {"feature_noise.factor": 8})
    assert curve.signature == "again:feature_noise(snr_db=1;factor=8)"


def test_a_severity_and_the_values_it_sets_exclude_each_other(corrupted_track: CorruptedTrack) -> None:
    declared = '[[corruptions]]\nname = "gaussian_noise_features"\nsnr_db = 5\n'
    (curve,) = planned(corrupted_track(declared), {"severity": [1, 5]})
    assert "snr_db" not in curve.declared
    declared = '[[corruptions]]\nname = "gaussian_noise_features"\nseverity = 2\n'
    (curve,) = planned(corrupted_track(declared, "two"), {"snr_db": [1, 5]})
    assert "severity" not in curve.declared


@pytest.mark.parametrize(
    ("corruptions", "grids", "corruption", "parameters", "message"),
    [
        (FEATURE_NOISE, {}, [], {}, "give at least one grid, such as snr_db=20,10,5,0"),
        (FEATURE_NOISE, {"snr_db": []}, [], {}, "grid snr_db: no values given"),
        (FEATURE_NOISE, {"snr_db": [5, 3, 5]}, [], {}, "grid snr_db: duplicate: 5"),
        (FEATURE_NOISE, {"snr": [5]}, [], {}, "grid snr: no corruption has this parameter; did you mean 'snr_db'?"),
        (FEATURE_NOISE, {"colour": ["pink"]}, [], {}, "grid colour: small declares no corruption with this parameter; name one that has it: coloured_noise"),
        (TWICE, {"snr_db": [5]}, [], {}, "grid snr_db: small declares several corruptions with this parameter; name one: feature_noise, again"),
        (FEATURE_NOISE, {"snr_db": [5]}, [], {"snr_db": 3}, "snr_db: no curve has this parameter besides its grid; feature_noise has factor, snr_db"),
        (FEATURE_NOISE, {"snr_db": [5]}, [], {"facto": 3}, "facto: no curve has this parameter besides its grid; feature_noise has factor, snr_db; did you mean 'factor'?"),
        ("", {"severity": [1]}, ["word_deletion", "feature_noise"], {}, "no grid fits feature_noise; feature_noise has factor, snr_db"),
        ("", {"snr": [1]}, "feature_noise", {}, "no grid fits feature_noise; feature_noise has factor, snr_db; did you mean 'snr_db'?"),
        ("", {"snr_db": [1], "rate": [0.1]}, "feature_noise", {}, "grid rate: unknown parameter; feature_noise has factor, snr_db"),
        ("", {"rate": [0.1], "severty": [1]}, ["word_deletion", "homophones"], {}, "grid severty: unknown parameter; homophones, word_deletion have rate, severity; did you mean 'severity'?"),
        ("", {"snr_db": [1]}, ["feature_noise", "feature_noise"], {"factor": 1}, "duplicate corruption: feature_noise"),
        (FEATURE_NOISE.replace("snr_db", 'step = "hum"\nsnr_db'), {"snr_db": [1]}, ["feature_noise", "hum"], {}, "duplicate corruption: hum"),
        ("", {"snr_db": [1]}, ["feature_noise", "gaussian_noise_features"], {"facto": 1, "factor": 1}, "facto: no curve has this parameter besides its grid; feature_noise, gaussian_noise_features have factor, modalities, severity, snr_db; did you mean 'factor'?"),
        ("", {"snr_db": [1]}, ["feature_noise", "gaussian_noise_features"], {"factor": 1, "gaussian_noise_features.factor": 1}, "gaussian_noise_features.factor: no curve has this parameter besides its grid; gaussian_noise_features has modalities, severity, snr_db"),
        (FEATURE_NOISE, {"snr_db": [1]}, [], {"feature_nois.factor": 1}, "feature_nois.factor: no curve uses 'feature_nois'; did you mean 'feature_noise'? (curves use feature_noise)"),
        ("", {"rate": [0.1]}, "symmetric_flips", {}, "grid rate: symmetric_flips corrupts training labels; a curve needs a corruption of the inputs"),
        (TWICE, {"snr_db": [1]}, ["feature_noise", "again"], {".factor": 1}, ".factor: no curve uses '' (curves use feature_noise, again)"),
        (THRICE, {"snr_db": [1]}, ["hum", "again"], {"feature_noise.factor": 1}, "feature_noise.factor: several curves use 'feature_noise'; name a step: hum, again"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_reported(
    corrupted_track: CorruptedTrack,
    corruptions: str,
    grids: dict[str, list[int]],
    corruption: str | list[str],
    parameters: dict[str, int],
    message: str,
) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        planned(corrupted_track(corruptions), grids, corruption, parameters)
    with pytest.raises(UnknownName, match=r"^no corruption named 'feature_nois'; did you mean 'feature_noise'"):
        planned(corrupted_track("", "two"), {"snr_db": [5]}, "feature_nois")


def test_all_values_are_checked_before_anything_is_done(corrupted_track: CorruptedTrack) -> None:
    with pytest.raises(DeclarationError) as caught:
        planned(corrupted_track(""), {"snr_db": [70, 10, "loud"]}, "feature_noise")
    assert str(caught.value) == (
        "grid snr_db of feature_noise: 3 problems\n"
        "  E207  factor is missing: feature_noise needs it, an integer in [1, 64] neighbouring dimensions\n"
        "  E207  snr_db: 70 is not a number in [-20, 60] dB or a distribution of such values\n"
        "  E207  snr_db: 'loud' is not a number in [-20, 60] dB or a distribution of such values"
    )
