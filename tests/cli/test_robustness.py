"""`merbench robustness` as it is typed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from merbench.cli import run
from merbench.robustness import RobustnessComparison, RobustnessReport
from merbench.robustness.samples import Inputs

Capture = pytest.CaptureFixture[str]

COMMAND = ["robustness", "mer-multi", "--baseline", "majority", "--corruption", "feature_noise", "--no-intervals"]


def test_a_curve_is_printed_and_written(here: Path, capsys: Capture) -> None:
    assert run([*COMMAND, "--grid", "snr_db=20,0", "--param", "factor=1"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "Sample · MER-MULTI (mer-multi@1.0, split test) · synthetic sample: majority under corruption"
    assert lines[2] == "majority, by snr_db of feature_noise, factor = 1"
    assert lines[3].split() == ["snr_db", "(dB)", "overall", "weighted_f1", "mse", "accuracy", "macro_f1", "ccc"]
    # the value of this track in the README of the baseline
    assert [line.split()[:4] for line in lines[4:7]] == [
        [name, "-0.6087", "0.1123", "2.8838"] for name in ("clean", "20", "0")
    ]
    folder = Path("runs/mer-multi/robustness-majority")
    assert lines[-1] == f"wrote {folder}"
    report = RobustnessReport.from_json((folder / "robustness.json").read_text(encoding="utf-8"))
    assert f"{report.to_text()}\nwrote {folder}\n" == out


def test_a_condition_that_fails_is_named_and_counted(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Inputs.differs
    calls: list[int] = []

    def differ(*given: Any) -> bool:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return before(*given)

    monkeypatch.setattr(Inputs, "differs", differ)
    assert run([*COMMAND, "--grid", "snr_db=20,0", "--param", "factor=1"]) == 5
    out, err = capsys.readouterr()
    assert err == "failed: 1 condition\n"
    assert "\nnot scored: snr_db = 0 of feature_noise: MemoryError\n" in out
    assert out.endswith("wrote runs/mer-multi/robustness-majority\n")


@pytest.mark.slow
def test_several_corruptions_are_named_and_set_apart(here: Path, capsys: Capture) -> None:
    more = ["--corruption", "gaussian_noise_features", "--relative-to", "logistic"]
    assert run([*COMMAND, *more, "--grid", "snr_db=20,0", "--param", "feature_noise.factor=1"]) == 0
    out = capsys.readouterr().out
    titles = [line for line in out.splitlines() if ", by " in line or line.startswith("over ")]
    assert titles == [
        "majority, by snr_db of feature_noise, factor = 1",
        "logistic, by snr_db of feature_noise, factor = 1",
        "over snr_db of feature_noise",
        "majority, by snr_db of gaussian_noise_features",
        "logistic, by snr_db of gaussian_noise_features",
        "over snr_db of gaussian_noise_features",
        "over 2 curves, / logistic",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "snr_db"], "grid 'snr_db': write NAME=VALUES, such as snr_db=20,10,5,0 or severity=1..5 or rate=0..0.7:0.1"),
        (["--grid", "snr_db=1", "--grid", "snr_db=2"], "--grid snr_db=2: a second grid of snr_db; write all values in one"),
        (["--grid", "snr_db=1", "--corruption", "word_deletion"], "no grid fits word_deletion; word_deletion has rate, severity"),
        (["--grid", "snr_db=1", "--param", "jpg.factor=1"], "jpg.factor: no curve uses 'jpg' (curves use feature_noise)"),
        (["--grid", "snr_db=1", "--param", "factor"], "--param factor: write NAME=VALUE, such as factor=1"),
        (["--grid", "snr_db=1", "--set", "factor=1"], "--set factor: not an option of majority; --param factor=VALUE is for corruptions"),
        (["--grid", "severity=1..2", "--baseline", "logistic", "--corruption", "pixelate", "--set", "scale=all"], "--set scale: an option of logistic; give --param scale=VALUE for pixelate as well"),
        (["--grid", "snr_db=1", "--set", "C"], "--set C: write NAME=VALUE, such as learning_rate=0.0001"),
        (["--grid", "snr_db=1", "--feature-of", "audio"], "--feature-of audio: write MODALITY=NAME, such as audio=hubert"),
        (["--grid", "snr_db=1", "--feature-of", "audio="], "--feature-of audio=: write MODALITY=NAME, such as audio=hubert"),
        (["--grid", "snr_db=1", "--feature-of", "audio=x", "--feature-of", "video=x"], "--feature-of video=x: duplicate 'x'"),
        (["--grid", "snr_db=1", "--param", "factor=65"], "grid snr_db of feature_noise: 1 problem\n  E207  factor: 65 is not an integer in [1, 64] neighbouring dimensions or a distribution of such values"),
        (["--grid", "snr_db=1", "--param", "factor=1", "--relative-to", "majorty"], "no baseline named 'majorty'; did you mean 'majority'?"),
        (["--grid", "snr_db=1", "--param", "factor=1", "--feature-of", "sound=audio"], "the modality of feature 'audio' must be one of audio, video, text, other, not 'sound'"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_reported_in_a_line(
    here: Path, arguments: list[str], message: str, capsys: Capture
) -> None:
    assert run([*COMMAND, *arguments]) == 2
    without_baselines = re.sub(r" \(known: .*attention, .*\)", "", capsys.readouterr().err)
    assert without_baselines == f"{message}\n"
    assert not list(here.iterdir())


def test_several_features_may_be_of_one_modality(here: Path, capsys: Capture) -> None:
    given = ["--feature-of", "other=audio", "--feature-of", "other=video"]
    assert run([*COMMAND, "--grid", "snr_db=0", "--param", "factor=1", *given]) == 0
    capsys.readouterr()


SYSTEMS = ["--baseline", "majority", "--baseline", "low=logistic", "--set", "low.C=0.0001", "--set", "alpha=1000"]
MISSING = ["--corruption", "modality_pattern", "--grid", "pattern=av,at,vt", "--no-intervals"]


def test_several_systems_are_compared(here: Path, capsys: Capture) -> None:
    assert run(["robustness", "mer-multi", *SYSTEMS, *MISSING, "--feature", "low=audio", "--feature", "low=text"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == ("Sample · MER-MULTI (mer-multi@1.0, split test) · synthetic sample: 2 systems under corruption")
    assert lines[2] == "overall ↑ by pattern of modality_pattern"
    assert lines[3].split() == ["system", "clean", "av", "at", "vt"]
    assert [line.split()[0] for line in lines[4:6]] == ["low", "majority"]
    assert lines[5].split()[1:] == ["-0.6087"] * 4  # the value of this track in the README of the baseline
    clean, _, complete, _ = map(float, lines[4].split()[1:])
    assert clean == complete  # without the video, which it does not read
    folder = Path("runs/mer-multi/robustness")
    assert lines[-1] == f"wrote {folder}"
    report = RobustnessComparison.from_json((folder / "robustness.json").read_text(encoding="utf-8"))
    assert f"{report.to_text()}\nwrote {folder}\n" == out
    assert [each.options for each in report.systems] == [{}, {"alpha": 1000, "C": 0.0001}]
    assert (folder / "curve-pattern.svg").is_file() and (folder / "low" / "curve-pattern.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "lo.C=1"], "--set lo.C: no system 'lo'; the systems are majority, low; did you mean 'low'?"),
        (["--set", "epochs=1"], "no system has the option epochs; they have C, alpha, n_words, scale"),
        (["--baseline", "majority"], "two systems are named majority; give one of them another name: NAME=BASELINE"),
        (["--baseline", "=majority"], "--baseline =majority: write BASELINE or NAME=BASELINE, such as no-context=context-gru"),
    ],
)  # fmt: skip
def test_wrong_systems_are_reported_in_a_line(here: Path, arguments: list[str], message: str, capsys: Capture) -> None:
    assert run(["robustness", "mer-multi", *SYSTEMS, *MISSING, *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not list(here.iterdir())


def test_clips_are_asked_for(here: Path, capsys: Capture) -> None:
    command = ["robustness", "mer-multi", "--baseline", "logistic", "--grid", "severity=1..5", "--corruption", "jpeg"]
    assert run(command) == 2
    assert capsys.readouterr().err == "corrupting video needs the clips: --media DIR\n"
