"""The baseline that `baselines/README.md` writes is found, trained and scored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from merbench.files.paths import shipped_folder
from merbench.track import load_track
from merbench.training import RunSettings, run_baseline
from tests.training.conftest import DECLARATION, SmallTrack


@pytest.fixture
def guides_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of the guide's baseline, which is found as a stranger's would be."""
    guide = (shipped_folder("baselines") / "README.md").read_text(encoding="utf-8")
    folder = tmp_path / "baselines" / "nearest-mean"
    folder.mkdir(parents=True)
    for language, name in (("toml", "baseline.toml"), ("python", "model.py")):
        block, *_ = re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)
        (folder / name).write_text(block, encoding="utf-8")
    monkeypatch.setenv("MERBENCH_BASELINES", str(tmp_path / "baselines"))
    return folder.name


def test_the_guides_baseline_runs(sample_home: Path, tmp_path: Path, guides_baseline: str) -> None:
    run = run_baseline("mer-multi", guides_baseline, RunSettings(intervals=False), output=tmp_path / "run")
    assert run.report is not None
    assert (run.report["weighted_f1"].value or 0.0) > 0.65


@pytest.mark.parametrize(("target", "metric"), [("discrete", "weighted_f1"), ("valence", "mse")])
def test_it_runs_on_a_track_of_one_target_and_with_a_label_nobody_has(
    small_track: SmallTrack, tmp_path: Path, guides_baseline: str, target: str, metric: str
) -> None:
    folder = small_track().folder
    text = re.sub(
        rf'^targets\.(?!{target}).*\n|^    \{{ name = "(?!{metric}").*\n', "", DECLARATION, flags=re.MULTILINE
    )
    text = text.replace('labels = ["calm"', 'labels = ["bored", "calm"').replace(
        'by = ["overall", "weighted_f1"]', 'by = ["overall"]'
    )
    (folder / "track.toml").write_text(text, encoding="utf-8")
    track = load_track(folder)
    assert list(track.targets) == [target]
    run = run_baseline(track, guides_baseline, RunSettings(intervals=False), output=tmp_path / "run")
    assert run.report is not None and run.report[metric].value is not None
    if target == "discrete":
        assert run.seeds[0].predictions.outputs[target].shape == (30, 4)
        assert run.report[metric].value > 0.7  # a third by chance


def test_the_guides_network_runs(small_track: SmallTrack, tmp_path: Path) -> None:
    guide = (shipped_folder("baselines") / "README.md").read_text(encoding="utf-8")
    _, block = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    folder = tmp_path / "mean-of-frames"
    folder.mkdir()
    (folder / "model.py").write_text(block, encoding="utf-8")
    declaration = """
title = "Mean of frames"
extra = "baselines"
samples = "sequences"
defaults = { hidden = 16, epochs = 30, batch_size = 8, learning_rate = 0.01 }
"""
    (folder / "baseline.toml").write_text(declaration, encoding="utf-8")
    run = run_baseline(small_track(), folder, RunSettings(intervals=False), output=tmp_path / "run")
    assert run.report is not None
    assert (run.report["weighted_f1"].value or 0.0) > 0.6  # a third by chance
