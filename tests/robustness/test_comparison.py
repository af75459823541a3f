"""Several systems under the same conditions, against the reports on each of them and values by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from scipy import stats

from merbench.corruptions import generator
from merbench.corruptions.missing import gcnet_masks
from merbench.errors import Inapplicable, UsageError
from merbench.robustness import RobustnessComparison, Settings, System, compare_robustness, conditions
from merbench.robustness.comparison import SystemValues
from merbench.robustness.report import Estimate
from merbench.robustness.reports import differences
from tests.robustness.conftest import FIXED, N_TEST, N_TRAIN, CorruptedTrack, ids, scored, values

LOGISTIC = System(name="logistic", baseline="logistic", options=FIXED)
WEAK = System(name="weak", baseline="logistic", options={**FIXED, "C": 1e-4})
SOUND = System(name="sound", baseline="logistic", options=FIXED)


def compared(
    track: Any, grids: dict[str, Any], systems: Any = (LOGISTIC, WEAK), *, output: str = "all", **settings: Any
) -> RobustnessComparison:
    given = Settings(**{"intervals": False, **settings})
    with patch("merbench.robustness.run.condition_curve"):
        return compare_robustness(track, list(systems), grids, given, output=output, replace=True)


GCNET: dict[str, Any] = {"corruption": "gcnet_missing", "intervals": True}


def test_each_system_has_the_report_that_it_has_by_itself(corrupted_track: CorruptedTrack) -> None:
    track, rates = corrupted_track(""), {"rate": [0.0, 0.3, 0.7]}
    report = compared(track, rates, **GCNET)
    single = scored(track, rates, "logistic", output="single", **GCNET)
    assert Path("all/logistic/robustness.json").read_bytes() == Path("single/robustness.json").read_bytes()
    (curve,) = report.curves
    metric = next(metric for metric in curve.metrics if metric.name == "weighted_f1")
    own = next(each for each in metric.systems if each.system == "logistic")
    assert [each and each.value for each in own.values] == values(single)
    assert own.over == next(item.over for item in single.curves[0].summary if item.name == "weighted_f1")
    assert RobustnessComparison.from_json(Path("all/robustness.json").read_text(encoding="utf-8")) == report
    assert Path("all/robustness.md").read_text(encoding="utf-8") == report.to_markdown()


def test_systems_are_ordered_and_compared_with_the_best(corrupted_track: CorruptedTrack) -> None:
    report = compared(corrupted_track(""), {"rate": [0.0, 0.5]}, (WEAK, LOGISTIC), **GCNET)
    metric = next(metric for metric in report.curves[0].metrics if metric.key == report.ranked_by)
    weak, strong = metric.systems
    assert (weak.rank, strong.rank) == (2, 1)
    (row,) = metric.differences
    assert (row.system, row.best) == ("weak", "logistic")
    assert weak.over and strong.over
    assert row.difference == weak.over.value - strong.over.value < 0
    assert row.low is not None and row.low < row.difference
    shown = [line.split()[0] for line in report.to_text().splitlines() if line.split()[:1] in (["weak"], ["logistic"])]
    assert shown[:4] == ["logistic", "weak"] * 2


ON_A_GRID = 1e-7
"""Deviations are of draws that are rounded to a grid, on which the order of sums has no effect."""


def test_a_difference_has_the_interval_and_p_of_students_t_over_the_same_resamples() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 0.05, 500)
    draws = {
        "a": 0.60 + shared,
        "b": 0.55 + shared + rng.normal(0, 0.02, 500),
        "c": 0.58 + shared + rng.normal(0, 0.01, 500),
    }
    rows = [
        SystemValues(name, (), Estimate(value), rank)
        for name, value, rank in (("b", 0.55, 3), ("a", 0.6, 1), ("c", 0.58, 2))
    ]

    class How:
        level, degrees = 0.95, 30.0

    by_system = {row.system: row for row in differences(How, rows, draws)}  # type: ignore[arg-type]
    assert set(by_system) == {"b", "c"}
    p = {}
    for name, difference in (("b", -0.05), ("c", -0.02)):
        deviation = (draws[name] - draws["a"]).std(ddof=1)
        half = stats.t.ppf(0.975, 30) * deviation
        assert (by_system[name].low, by_system[name].high) == pytest.approx(
            (difference - half, difference + half), abs=ON_A_GRID
        )
        p[name] = 2 * stats.t.sf(abs(difference) / deviation, 30)
        assert by_system[name].p == pytest.approx(p[name], abs=ON_A_GRID)
    p["b-c"] = 2 * stats.t.sf(0.03 / (draws["b"] - draws["c"]).std(ddof=1), 30)
    # Holm over the three pairs, by hand: the smallest three times, the next one twice, and none below one before it
    first, second, third = sorted(p, key=p.__getitem__)
    adjusted = {first: 3 * p[first]}
    adjusted[second] = max(adjusted[first], 2 * p[second])
    adjusted[third] = max(adjusted[second], p[third])
    assert by_system["b"].p_holm == pytest.approx(min(1, adjusted["b"]), abs=ON_A_GRID)
    assert by_system["c"].p_holm == pytest.approx(min(1, adjusted["c"]), abs=ON_A_GRID)


def test_systems_of_other_features_lack_the_same_modalities(corrupted_track: CorruptedTrack) -> None:
    """One modality by itself is complete at any rate; next to systems of three it is missing where these lack it."""
    track, rates = corrupted_track(""), {"rate": [0.5]}
    features = {"sound": ["audio"]}
    report = compared(track, rates, (LOGISTIC, SOUND), corruption="gcnet_missing", features=features)
    alone = scored(track, rates, corruption="gcnet_missing", features=["audio"])
    metric = report.curves[0].metrics[1]
    own = [each and each.value for each in metric.systems[1].values]
    assert values(alone)[0] == values(alone)[1] == own[0]
    kept = [
        gcnet_masks(1, 3, 0.5, generator(11, "gcnet_missing", name))[0, 0]  # audio, text, video
        for name in ids()[N_TRAIN:]
    ]
    assert 0 < sum(kept) < N_TEST
    assert own[1] != own[0]
    without = compared(
        track,
        {"rate": [1.0]},
        (LOGISTIC, SOUND),
        corruption="modality_absence",
        parameters={"modality": "audio"},
        features=features,
        output="b",
    )
    # what is answered for a sample that lacks the audio is the same for each
    assert without.curves[0].metrics[1].systems[1].values[1] is not None
    text = json.loads(Path("all/sound/robustness.json").read_text(encoding="utf-8"))
    assert "|compared_with:text+video|" in text["signature"]


def test_a_system_that_a_corruption_does_not_apply_to_is_listed(corrupted_track: CorruptedTrack) -> None:
    track = corrupted_track("")
    frames = System(name="frames", baseline="logistic", options=FIXED)
    features = {"frames": ["text-frames"], "sound": ["audio"]}
    settings = {"corruption": "step_drop", "features": features}
    report = compared(track, {"rate": [0.0, 0.5]}, (frames, SOUND), **settings)
    line = "sound: rate = 0.5 of step_drop: step_drop: audio has one vector per sample and no time steps that could be missing"
    assert report.problems == [line]
    assert f"not scored: {line}" in report.to_text()
    (metric, *_) = report.curves[0].metrics
    assert [each.over is None for each in metric.systems] == [False, True]
    assert metric.systems[1].values[2] is None
    with pytest.raises(Inapplicable):
        compared(track, {"rate": [0.5]}, (SOUND,), output="b", **settings)
    report = compared(track, {"rate": [0.5]}, (frames, SOUND), output="c", **settings)
    assert [each.problem != "" for each in report.systems] == [False, True]
    assert not Path("c/sound").exists()


def test_equity_is_reported_where_patterns_show_it(corrupted_track: CorruptedTrack) -> None:
    patterns = ["av", "at", "vt"]
    report = compared(corrupted_track(""), {"pattern": patterns}, corruption="modality_pattern", intervals=True)
    found = next(each for each in report.equity if each.system == "logistic" and each.name == "weighted_f1")
    metric = next(metric for metric in report.curves[0].metrics if metric.name == "weighted_f1")
    clean, *without = (each.value for each in metric.systems[0].values if each is not None)
    drops = dict(zip(("text", "video", "audio"), (clean - value for value in without), strict=True))
    assert found.drops == pytest.approx(drops, abs=1e-12)
    lost = np.maximum(list(drops.values()), 0)
    assert found.index is not None
    assert found.index.value == pytest.approx((lost.sum() ** 2 / (lost**2).sum() - 1) / 2, abs=1e-12)
    assert found.index.low is not None and found.index.low <= found.index.value
    assert "modality equity of overall, by modality_pattern" in report.to_text()


def test_one_model_for_all_conditions_learns_from_values_of_the_grid(corrupted_track: CorruptedTrack) -> None:
    rates = [0.3, 0.6]
    mixed = scored(corrupted_track(""), {"rate": rates}, corruption="gcnet_missing", weights="mixed")
    declared = f'[[training.corruptions]]\nname = "gcnet_missing"\nrate = {{ choice = {rates} }}\n'
    shared = scored(corrupted_track(declared, "two"), {"rate": rates}, corruption="gcnet_missing")
    assert values(mixed) == values(shared)
    assert mixed.weights == "mixed"
    assert "|weights:mixed|" in mixed.signature and "|training:" in mixed.signature
    assert (
        "weights: one model for all conditions, trained on samples each of which is corrupted under one of them"
        in mixed.to_text()
    )


@pytest.mark.parametrize(
    ("training", "grids", "settings", "message"),
    [
        ("", {"rate": [0.3]}, {"corruption": ["gcnet_missing", "random_drop"], "parameters": {"unit": "element"}}, "weights mixed: 2 curves, and one model learns from samples under the conditions of one; give one grid and one corruption"),
        ("", {"rate": [0.3]}, {"corruption": "tfrnet_drop"}, "weights mixed: tfrnet_drop cannot be drawn for each sample in training; it must be a corruption of features, and of single samples"),
        ('[[training.corruptions]]\nname = "gcnet_missing"\nrate = 0.1\n', {"rate": [0.3]}, {"corruption": "gcnet_missing"}, "weights mixed: small declares corruptions of training samples, gcnet_missing; give shared"),
    ],
)  # fmt: skip
def test_what_one_model_for_all_conditions_cannot_learn_is_reported(
    corrupted_track: CorruptedTrack, training: str, grids: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        scored(corrupted_track(training), grids, weights="mixed", **settings)
    assert str(caught.value) == message


def test_systems_have_distinct_names(corrupted_track: CorruptedTrack) -> None:
    message = "two systems are named logistic; give one of them another name: NAME=BASELINE"
    with pytest.raises(UsageError, match=f"^{message}$"):
        compared(corrupted_track(""), {"rate": [0.3]}, ("logistic", "logistic"), corruption="gcnet_missing")
    with pytest.raises(UsageError, match=r"^'logistic' is compared with itself"):
        compared(corrupted_track("", "two"), {"rate": [0.3]}, corruption="gcnet_missing", relative_to="logistic")


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["shared", "per-condition"])
def test_any_number_of_processes_writes_the_same(corrupted_track: CorruptedTrack, weights: str) -> None:
    track, rates = corrupted_track(""), {"rate": [0.0, 0.5]}
    network = System(name="network", baseline="attention", options={"epochs": 2, "hidden": [4], "batch_size": 16})
    for workers in (1, 2):
        systems = (LOGISTIC, network)
        compared(
            track,
            rates,
            systems,
            output=f"{workers}",
            workers=workers,
            weights=weights,
            relative_to="majority",
            **GCNET,
        )
    names = sorted(str(path.relative_to("1")) for path in Path("1").rglob("robustness.*"))
    assert len(names) == 6
    for name in names:
        assert (Path("1") / name).read_bytes() == (Path("2") / name).read_bytes()


def test_a_system_that_fails_on_clean_samples_is_tried_once(
    corrupted_track: CorruptedTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    failing = {"weak"}
    fit = conditions._fitted

    def fail(system: Any, train: Any) -> Any:
        tried.append(system.name)
        if system.name in failing:
            raise UsageError("too weak")
        return fit(system, train)

    monkeypatch.setattr(conditions, "_fitted", fail)
    track, settings = corrupted_track(""), {"corruption": "gcnet_missing", "weights": "per-condition"}
    report = compared(track, {"rate": [0.3, 0.5]}, **settings)
    assert tried == ["logistic", "weak", "logistic", "logistic"]
    assert report.problems == ["weak: too weak"]
    assert [each.system for each in report.curves[0].metrics[0].systems] == ["logistic"]
    failing.add("majority")
    with pytest.raises(UsageError, match=r"^too weak$"):  # what all others are compared with
        compared(track, {"rate": [0.3]}, output="b", relative_to="majority", **settings)
