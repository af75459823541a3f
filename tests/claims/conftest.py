"""Two baselines, one of which is better, and the small track of the training tests, all found by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.conftest import SmallTrack, small_track

__all__ = ["small_track"]

MODEL = """
from dataclasses import dataclass

import numpy as np

from merbench.training import Predictions

@dataclass(frozen=True)
class Options:
    share: float = 1.0

class Means:
    def __init__(self, options, setup):
        self.options, self.seed = options, setup.seed

    def fit(self, train):
        self.track, codes = train.track, train.targets["discrete"]
        rng = np.random.default_rng(self.seed)
        kept = rng.random(len(codes)) < 0.8
        x = np.hstack(list(train.features.values()))[kept]
        self.means = np.stack([x[codes[kept] == code].mean(0) for code in range(3)]) * self.options.share
        self.valence = np.array([train.targets["valence"][codes == code].mean() for code in range(3)]) * self.options.share

    def predict(self, test):
        x = np.hstack(list(test.features.values()))
        near = np.exp(-((x[:, None] - self.means) ** 2).sum(2) - 1e-9 * np.arange(3)) + 1e-9
        near /= near.sum(1, keepdims=True)
        return Predictions({"discrete": near, "valence": near @ self.valence})

def build(options, setup):
    return Means(options, setup)
"""

TOML = """
title = "Class means"
[defaults]
share = 1.0
[search]
share = [0.0, 0.5, 1.0]
"""

Claimant = Callable[..., Path]


@pytest.fixture
def claimant(tmp_path: Path, small_track: SmallTrack, monkeypatch: pytest.MonkeyPatch) -> Claimant:
    """Return a function that writes a baseline called `means` with claims, and returns its folder."""
    small_track()
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path / "tracks" / "one"))
    monkeypatch.setenv("MERBENCH_BASELINES", str(tmp_path / "baselines"))
    monkeypatch.chdir(tmp_path)

    def write(*claims: str, model: str = MODEL, toml: str = TOML, code: str | None = None) -> Path:
        folder = tmp_path / "baselines" / "means"
        folder.mkdir(parents=True, exist_ok=True)
        head = 'name = "{}"\nsays = "It is so."\nsource = "Table {}"\n'
        tables = [f"[[claims]]\n{head.format(f'claim-{n}', n)}{claim}\n" for n, claim in enumerate(claims)]
        (folder / "baseline.toml").write_text("\n".join([toml, *tables]), encoding="utf-8")
        (folder / "model.py").write_text(model, encoding="utf-8")
        if code is not None:
            (folder / "claims.py").write_text(code, encoding="utf-8")
        return folder

    return write


BETTER = """
check = "inequality"
control = { options = { share = 0.0 } }
on = [{ track = "small" }]
"""
