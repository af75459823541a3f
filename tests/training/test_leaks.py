"""Nothing that is to be answered is learned: no reference of it is read before the last prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from merbench.corpus.candidates import Candidates
from merbench.training import RunSettings, run_baseline
from merbench.training.output import write_predictions
from merbench.training.run import _seed_run as seed_run
from tests.training.conftest import SmallTrack
from tests.training.test_run import QUICK


@pytest.mark.parametrize("hold_out", [(), ("glad",)])
@pytest.mark.parametrize("selection", ["folds", "dev"])
@pytest.mark.parametrize("baseline", ["attention", "logistic", "majority"])
def test_no_reference_of_the_test_split_is_read_before_the_last_prediction(
    baseline: str,
    selection: str,
    hold_out: tuple[str, ...],
    small_track: SmallTrack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    read = Candidates.__dict__["references"].func

    def watched(self: Candidates) -> Any:
        events.append(f"references of {self.split}")
        return read(self)

    def written(*arguments: Any) -> str:
        events.append("predictions are written")
        return write_predictions(*arguments)

    def answered(*arguments: Any) -> Any:
        events.append("a seed has answered")
        return seed_run(*arguments)

    monkeypatch.setattr("merbench.training.run._seed_run", answered)
    monkeypatch.setattr(Candidates.__dict__["references"], "func", watched)
    monkeypatch.setattr("merbench.training.run.write_predictions", written)
    declaration_of_dev: dict[str, Any] = (
        {} if selection == "folds" else {"learning": {"selection": "dev", "source": ["train"], "development": ["dev"]}}
    )
    track = small_track(n_dev=20)
    options = QUICK if baseline == "attention" else {}
    run_baseline(
        track,
        baseline,
        RunSettings(seeds=[0, 1], options=options, hold_out=hold_out, intervals=False, **declaration_of_dev),
        output=tmp_path / "run",
    )
    first = events.index("references of test")
    assert events[:first].count("a seed has answered") == 2
    # Known and unknown are what the references say: the track that scores them is made before predictions are written.
    assert events[:first].count("predictions are written") == (0 if hold_out else 3)
    assert set(events[:first]) == {
        "references of train",
        "a seed has answered",
        *([] if hold_out else ["predictions are written"]),
    }
