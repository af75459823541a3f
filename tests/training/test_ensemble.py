from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.files.reading import sha256_file
from merbench.track import Track
from merbench.training import RunSettings, ensemble, run_baseline
from tests.training.conftest import N_TEST, SmallTrack


def write_run(track: Track, path: Path, probabilities: list[float], value: float) -> Path:
    columns = {"sample_id": open_candidates(track).ids, "valence": [value] * N_TEST}
    columns |= {f"p_{name}": [p] * N_TEST for name, p in zip(("calm", "glad", "sad"), probabilities, strict=True)}
    pa_csv.write_csv(pa.table(columns), path)
    return path


def test_probabilities_and_values_are_averaged(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    a = write_run(track, tmp_path / "a.csv", [0.5, 0.3, 0.2], 1.0)
    b = write_run(track, tmp_path / "b.csv", [0.1, 0.5, 0.4], -0.5)
    # means: calm 0.30, glad 0.40, sad 0.30; valence 0.25
    averaged = ensemble(track, [a, b], output=tmp_path / "even", intervals=False)
    lines = (averaged.folder / "submission.csv").read_text().splitlines()
    assert lines[:2] == ["sample_id,discrete,valence", "s060,glad,0.25"]
    assert averaged.n_runs == 2
    assert averaged.report is not None
    with pytest.raises(UsageError, match=r"even: already contains a run; --force replaces it"):
        ensemble(track, [b, b], output=tmp_path / "even", intervals=False)
    assert (averaged.folder / "submission.csv").read_text().splitlines() == lines
    ensemble(track, [a, b], output=tmp_path / "even", intervals=False, replace=True)
    # weights 3 : 1: calm 0.40, glad 0.35, sad 0.25; valence 0.625
    averaged = ensemble(track, [a, b], weights=[3, 1], output=tmp_path / "uneven", intervals=False)
    assert (averaged.folder / "submission.csv").read_text().splitlines()[1] == "s060,calm,0.625"
    record = json.loads((averaged.folder / "run.json").read_text())
    assert [(part["run"], part["weight"]) for part in record["runs"]] == [("a.csv", 0.75), ("b.csv", 0.25)]


def test_an_ensemble_of_runs_is_a_run(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track(withheld=True)
    run = run_baseline(track, "majority", output=tmp_path / "run")
    averaged = ensemble(track, [run.folder, run.folder], output=tmp_path / "both")
    assert averaged.report is None
    assert "withheld" in averaged.withheld
    assert (averaged.folder / "submission.csv").read_bytes() == (run.folder / "submission.csv").read_bytes()
    again = ensemble(track, [averaged.folder, run.folder], output=tmp_path / "again")
    assert (again.folder / "submission.csv").read_bytes() == (run.folder / "submission.csv").read_bytes()


def test_what_cannot_be_averaged(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    out = tmp_path / "out"
    run = run_baseline(track, "majority", RunSettings(intervals=False), output=tmp_path / "run")
    with pytest.raises(UsageError, match=r"^an ensemble needs at least two runs, not 1$"):
        ensemble(track, [run.folder], output=out)
    for weights in ([1.0], [1.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(UsageError, match=r"^2 runs need as many weights above 0, not "):
            ensemble(track, [run.folder, run.folder], weights=weights, output=out)
    labels = run.folder / "submission.csv"
    with pytest.raises(UsageError, match=r"submission\.csv: discrete has only labels; averaging needs a"):
        ensemble(track, [labels, run.folder], output=out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty: no probabilities\.parquet in this folder; name the file"):
        ensemble(track, [tmp_path / "empty", run.folder], output=out)
    assert not out.exists()


def test_a_run_that_is_averaged_is_not_replaced(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    runs = [run_baseline(track, "majority", output=tmp_path / "runs" / name).folder for name in "ab"]
    before = sha256_file(runs[0] / "probabilities.parquet")
    with pytest.raises(UsageError) as caught:
        ensemble(track, runs, output=runs[0])
    assert str(caught.value) == f"{runs[0]} is one of the runs; name another output"
    (tmp_path / "runs" / "run.json").touch()  # as the folder of several seeds has it
    with pytest.raises(UsageError) as caught:
        ensemble(track, runs, output=tmp_path / "runs")
    assert str(caught.value) == f"{tmp_path / 'runs'} contains one of the runs; name another output"
    assert sha256_file(runs[0] / "probabilities.parquet") == before
