"""The baseline that `baselines/README.md` writes is found, trained and scored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from merbench.files import shipped_folder
from merbench.training import run_baseline


def test_the_guides_baseline_runs(sample_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (shipped_folder("baselines") / "README.md").read_text(encoding="utf-8")
    folder = tmp_path / "baselines" / "nearest-mean"
    folder.mkdir(parents=True)
    for language, name in (("toml", "baseline.toml"), ("python", "model.py")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)
        (folder / name).write_text(block, encoding="utf-8")
    monkeypatch.setenv("MERBENCH_BASELINES", str(tmp_path / "baselines"))
    run = run_baseline("mer-multi", "nearest-mean", output=tmp_path / "run", intervals=False)
    assert run.report is not None
    assert (run.report["weighted_f1"].value or 0.0) > 0.65
