"""A small model is trained on one thread, whatever the environment sets; a large one as the environment sets it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from merbench.engine import threads
from merbench.features import text
from merbench.robustness import Settings, robustness
from merbench.training import RunSettings, run_baseline
from tests.training.conftest import SmallTrack
from tests.training.test_declaration import write

WITNESS = """
from dataclasses import dataclass
import numpy as np
import torch
from threadpoolctl import threadpool_info
from merbench.training import Predictions

seen = set()

@dataclass(frozen=True)
class Options:
    value: float

class Witness:
    def fit(self, train):
        seen.add((torch.get_num_threads(), max(pool["num_threads"] for pool in threadpool_info())))
    predict_of = staticmethod(lambda n: {"discrete": np.full((n, 3), 1 / 3), "valence": np.zeros(n)})
    def predict(self, test):
        self.fit(None)
        return Predictions(self.predict_of(len(test)))

def build(options, setup):
    return Witness()
"""


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Set two threads, as a user or the number of processors does."""
    before = torch.get_num_threads()
    with threadpool_limits(2):
        torch.set_num_threads(2)
        yield
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "n_threads"), [(threads.ONE_THREAD_UP_TO, 1), (0, 2)])
@pytest.mark.usefixtures("two_threads")
def test_threads_go_by_the_size_of_the_work(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, n_threads: int
) -> None:
    # A library may be loaded later, and one that was loaded with a single thread keeps it.
    before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    monkeypatch.setattr(threads, "ONE_THREAD_UP_TO", limit)
    toml = 'title = "Witness"\ndefaults = { value = 1.0 }\nselect = { value = [1.0, 2.0] }\n'
    folder = write(tmp_path / "witness", toml, WITNESS)
    track = small_track()
    run_baseline(track, folder, RunSettings(intervals=False), output=tmp_path / "run")
    assert sys.modules["merbench_baseline_witness"].seen == {(n_threads, n_threads)}
    names = {"loud": "audio", "quiet": "video"}
    settings = Settings(corruption="feature_noise", parameters={"factor": 1}, modalities=names, intervals=False)
    robustness(track, folder, {"snr_db": [0]}, settings, output=tmp_path / "curve")
    assert sys.modules["merbench_baseline_witness"].seen == {(n_threads, n_threads)}
    assert torch.get_num_threads() == 2
    after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert {path: after[path] for path in before} == before


@pytest.mark.usefixtures("two_threads")
def test_texts_are_projected_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def project(table: Any, learned: Any, width: int) -> np.ndarray:
        seen.append({pool["num_threads"] for pool in threadpool_info()})
        return np.zeros((table.shape[0], width))

    monkeypatch.setattr(text, "_exact", project)
    text.text_vectors([["a happy day", "a happy night"]], np.ones(2, dtype=np.bool_), dimensions=2)
    assert seen == [{1}]
