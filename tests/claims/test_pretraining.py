"""Claims about networks that begin from weights, which are learned first, once for all seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from merbench.claims import Settings, check_claims, write_results
from merbench.files.paths import find_folder
from tests.training.test_pretraining import TINY, folder

__all__ = ["folder"]

CLAIM = """
[[claims]]
name = "above-scratch"
says = "It is better with pre-training."
source = "-"
check = "inequality"
system = { pretraining = { width = 8, heads = 2, layers = 1, patch = 4, frames = 4, masked = 0.5, decoder_width = 8, decoder_heads = 2, epochs = 2 } }
control = {}
on = [{ track = "faces", folds = 2 }]
"""


@pytest.mark.slow
def test_weights_are_learned_once_and_all_seeds_begin_from_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, defaults = tmp_path / "baselines" / "mine", find_folder("baseline", "videomae")
    own.mkdir(parents=True)
    (own / "model.py").write_text((defaults / "model.py").read_text())
    declared = (defaults / "baseline.toml").read_text().partition("[[claims]]")[0]
    for name, value in {**TINY, "epochs": 1}.items():
        declared = declared.replace(f"\n{name} = ", f"\n{name} = {value} # ", 1)
    (own / "baseline.toml").write_text(declared + CLAIM)
    monkeypatch.setenv("MERBENCH_TRACKS", str(folder.parent))
    monkeypatch.setenv("MERBENCH_BASELINES", str(own.parent))
    root = tmp_path / "runs"
    settings = Settings(device="cpu", root=root)
    [row] = check_claims(["mine"], settings).results
    assert row.measured is not None, row.why
    [weights] = (root / "pretrained" / "faces").iterdir()
    record = json.loads((weights / "pretraining.json").read_text())
    assert (record["seed"], record["options"]["epochs"], record["n_samples"]) == (0, 2, 15)
    runs = [json.loads(path.read_text()) for path in (root / "faces").glob("mine-*/run.json")]
    assert sorted(run["options"]["pretrained"] for run in runs) == ["", str(weights)]
    assert "pretraining" in row.signature["system"] and "pretraining" not in row.signature["control"]
    assert str(root) not in json.dumps(row.signature)  # a result may be stored, and shown where no weights are
    written = weights.stat().st_mtime_ns
    write_results(check_claims(["mine"], settings), ["mine"])
    assert weights.stat().st_mtime_ns == written
    for path in sorted(root.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    [again] = check_claims(["mine"], settings).results
    assert again.stored and not list(root.glob("pretrained/*"))
