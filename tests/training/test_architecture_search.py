"""`merbench search`: what it sees, what it compares, and that it goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from merbench.cli import run
from merbench.errors import IntegrityError, UsageError
from merbench.training import RunSettings, run_baseline
from merbench.training.architecture.report import ArchitectureReport
from merbench.training.architecture.search import (
    ArchitectureSettings,
    _Work,
    best_by_others,
    mean_interval,
    rank_interval,
    search,
)
from merbench.training.architecture.space import decoded, parse_genotype, permuted
from tests.training.conftest import SmallTrack

OPTIONS: dict[str, Any] = {
    "hidden": 6, "channels": 3, "length": 2, "search_epochs": 2, "epochs": 2, "batch_size": 16, "patience": 0
}  # fmt: skip


def settings(**changed: Any) -> ArchitectureSettings:
    options = {**OPTIONS, **changed.pop("options", {})}
    return ArchitectureSettings(**{"runs": 1, "options": options, "learning": {"folds": 2}, "device": "cpu", **changed})


def test_the_interval_of_a_mean_difference_is_the_corrected_one() -> None:
    differences = np.array([0.1, 0.3, -0.1, 0.2])
    # mean .125, s² = (.025² + .175² + .225² + .075²) / 3 = .0875 / 3; two folds: one validated for each learned from
    half = stats.t.ppf(0.975, 3) * math.sqrt((1 / 4 + 1) * 0.0875 / 3)
    assert mean_interval(differences, 1.0) == pytest.approx((0.125, 0.125 - half, 0.125 + half), rel=1e-9)
    assert mean_interval(differences[:1], 1.0) == (0.1, None, None)


def test_the_best_of_others_is_not_chosen_by_the_value_that_it_is_compared_by() -> None:
    values = np.array([[9.0, 0.0, 1.0], [1.0, 2.0, 0.0]])
    # the first: others 1 and 2, the second one, 1; the second: 10 and 1, 0; the third: 9 and 3, 1
    assert best_by_others(values).tolist() == [1.0, 0.0, 1.0]
    assert best_by_others(values[:, :1]).tolist() == [5.0]


def test_ranks_by_hand() -> None:
    constant = np.array([[0.5, 0.5], [0.9, 0.9], [0.1, 0.1], [0.6, 0.6]])
    assert rank_interval(constant, "key") == (3, 3, 3)
    # by one of two folds it is the first, by the other the last of three; resamples have each of them alone
    mixed = np.array([[1.0, 0.0], [0.0, 0.6], [0.0, 0.7]])
    assert rank_interval(mixed, "key") == (1, 1, 3)


@pytest.mark.slow
def test_a_search_is_compared_with_its_controls_and_reads_no_test_reference(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    track = small_track(withheld=True)
    report = search(track, "bm-nas", settings(), output=tmp_path / "search")
    assert report.found is not None and report.permuted is not None
    assert [item.name for item in report.random] == [f"random-{n + 1}" for n in range(10)]
    # two folds: a search of 2 epochs and a training of 2 each; the others only train; the search of all adds 2
    assert (report.found.epochs, report.permuted.epochs, report.random[0].epochs) == (8, 4, 4)
    assert report.candidate_epochs == 8 + 4 + 10 * 4 + 2
    assert report.affordable == 2
    assert len(report.loss) == len(report.value) == 2
    rank = 1 + sum(item.mean > report.found.mean for item in report.random)
    assert report.found.rank == rank
    differences = np.array(report.found.values) - np.mean([item.values for item in report.random], axis=0)
    assert report.gaps[0].difference == pytest.approx(differences.mean(), abs=1e-12)
    folder = tmp_path / "search"
    work = _Work(track, "bm-nas", settings())
    rows = {row["unit"]: row for row in map(json.loads, (folder / "search.jsonl").read_text().splitlines()[1:])}
    for fold in (1, 2):
        found, shuffled = (rows[f"{item}-fold-{fold}-seed-0"] for item in ("found", "permuted"))
        alphas = {name: np.array(values) for name, values in found["alphas"].items()}
        assert found["genotype"] == decoded(work.space, alphas).toml(work.space)
        assert shuffled["genotype"] == decoded(work.space, permuted(alphas, 0)).toml(work.space)
    assert (
        len({parse_genotype("x", item.genotypes[0].encode(), work.space).key(work.space) for item in report.random})
        == 10
    )
    assert ArchitectureReport.from_json((folder / "search.json").read_text("utf-8")) == report
    assert not (folder / "unfinished").exists()
    # what was found is trained by run-baseline
    options = {**OPTIONS, "genotype": str(folder / "genotype.toml")}
    trained = run_baseline(
        small_track("two"),
        "bm-nas",
        RunSettings(intervals=False, options=options, device="cpu"),
        output=tmp_path / "run",
    )
    assert trained.seeds[0].parts[0].fit.details["genotype"] == report.genotype


@pytest.mark.slow
def test_it_goes_on_with_the_same_bytes_and_with_more(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = small_track()
    whole = search(track, "bm-nas", settings(), output=tmp_path / "whole")
    trained, done = _Work._trained, [0]

    def stopped(self: _Work, *given: Any) -> Any:
        done[0] += 1
        if done[0] == 5:
            raise KeyboardInterrupt
        return trained(self, *given)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(_Work, "_trained", stopped)
        search(track, "bm-nas", settings(), output=tmp_path / "parts")
    done[0] = -100
    monkeypatch.setattr(_Work, "_trained", stopped)
    again = search(track, "bm-nas", settings(), output=tmp_path / "parts")
    assert done[0] == -100 + 2 * 12 - 4
    for name in ("search.json", "genotype.toml", "alphas.json", "search.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    done[0] = -100
    more = search(track, "bm-nas", settings(random=11), output=tmp_path / "parts")
    assert done[0] == -100 + 2
    assert more.random[:10] == again.random == whole.random
    with pytest.raises(
        IntegrityError, match=r"has a run with different inputs \(space: bm-nas: .*; --force begins again"
    ):
        search(track, "bm-nas", settings(options={"nodes": 2}), output=tmp_path / "parts")


def test_it_can_be_searched_only(small_track: SmallTrack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, given = (
        tmp_path / "search",
        [word for name, value in OPTIONS.items() for word in ("--set", f"{name}={value}")],
    )
    track = str(small_track(withheld=True).folder)
    assert run(["search", track, "--random", "0", "--device", "cpu", *given, "-o", str(folder)]) == 0
    assert "the last epoch of the search" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {
        "search.json", "search.jsonl", "search.md", "search.svg", "genotype.toml", "alphas.json"
    }  # fmt: skip


def test_what_cannot_be_searched_is_refused(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    with pytest.raises(UsageError, match=r"baseline 'lf-dnn' searches no architecture; those that do: .*bm-nas"):
        search(track, "lf-dnn", ArchitectureSettings(), output=tmp_path / "search")
    with pytest.raises(UsageError, match="5 random architectures and 3 seeds; needed: none, or at least 10"):
        ArchitectureSettings(random=5)
    # one feature with two layers has one pair of four operations
    with pytest.raises(UsageError, match="the space 'bm-nas' has only 4 different networks, 10 are wanted"):
        search(track, "bm-nas", settings(features=["loud"]), output=tmp_path / "search")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UsageError, match=r"is not empty and has no search\.jsonl"):
        search(track, "bm-nas", settings(), output=tmp_path / "other")
