from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.errors import DeclarationError, MissingExtra, UsageError, WithheldReference
from merbench.files.reading import sha256_file
from merbench.scoring import score
from merbench.track import Track
from merbench.training import BaselineRun, run_baseline
from tests.training.conftest import DECLARATION, LABELS, N_TEST, N_TRAIN, SmallTrack

QUICK = {"hidden": [8, 4], "epochs": 4, "batch_size": 8, "learning_rate": 0.01}


def attention(track: Track, output: Path, **arguments: Any) -> BaselineRun:
    arguments = {"seeds": [0], "device": "cpu", "intervals": False, "options": QUICK, **arguments}
    return run_baseline(track, "attention", output=output, **arguments)


def test_a_run_is_a_folder_that_says_everything(small_track: SmallTrack, tmp_path: Path) -> None:
    track, out = small_track(), tmp_path / "run"
    told: list[tuple[str, int, int]] = []
    run = attention(track, out, seeds=[0, 3], progress=lambda *step: told.append(step))
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "curve.png",
        "curve.svg",
        "probabilities.parquet",
        "run.json",
        "seed-0/probabilities.parquet",
        "seed-0/submission.csv",
        "seed-3/probabilities.parquet",
        "seed-3/submission.csv",
        "submission.csv",
    ]
    assert (out / "submission.csv").read_bytes() == (out / "seed-0/submission.csv").read_bytes()
    lines = (out / "submission.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "sample_id,discrete,valence"
    assert [line.split(",")[0] for line in lines[1:]] == sorted(line.split(",")[0] for line in lines[1:])
    assert len(lines) == 1 + N_TEST
    assert {line.split(",")[1] for line in lines[1:]} <= set(LABELS)

    text = (out / "run.json").read_text(encoding="utf-8")
    card = json.loads(text)
    assert text == json.dumps(card, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    assert card["track"] == {"key": "small@1.0", "fingerprint": track.fingerprint}
    assert card["options"]["hidden"] == [8, 4]
    assert list(card["features"]) == ["loud", "quiet"]
    assert [one["seed"] for one in card["runs"]] == [0, 3]
    assert [one["submission"] for one in card["runs"]] == [
        sha256_file(out / f"seed-{seed}/submission.csv") for seed in (0, 3)
    ]
    assert card["cross_validation"] == {"n_folds": 5, "n_folds_asked": 5, "by": None}
    assert {"merbench", "python", "numpy", "torch"} <= set(card["versions"])
    assert card["wall_time_s"] > 0
    overall = [one["test"]["overall"] for one in card["runs"]]
    assert card["test"]["overall"]["mean"] == pytest.approx(np.mean(overall), abs=1e-12)
    assert card["test"]["overall"]["deviation"] == pytest.approx(np.std(overall, ddof=1), abs=1e-12)

    assert run.report is not None
    assert run.report == score(track, out / "submission.csv", intervals=False)
    assert run.seeds[0].test is not None
    assert run.seeds[0].test["overall"] == run.report["overall"].value
    assert told[:4] == [("seed 0", 1, 4), ("seed 0", 2, 4), ("seed 0", 3, 4), ("seed 0", 4, 4)]
    # probabilities are a submission themselves, with the same answers
    with_probabilities = score(track, out / "probabilities.parquet", intervals=False)
    assert with_probabilities["weighted_f1"].value == run.report["weighted_f1"].value


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    first, again = (attention(track, tmp_path / name) for name in ("a", "b"))
    other = attention(track, tmp_path / "c", seeds=[1])
    for name in ("submission.csv", "curve.svg"):
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes()
        assert (first.folder / name).read_bytes() != (other.folder / name).read_bytes()


@pytest.mark.parametrize("baseline", ["attention", "logistic", "majority"])
def test_nothing_is_learned_or_chosen_from_the_test_split(
    baseline: str, small_track: SmallTrack, tmp_path: Path
) -> None:
    order = np.random.default_rng(1).permutation(N_TEST)
    options = QUICK if baseline == "attention" else {}
    runs = [
        run_baseline(track, baseline, seeds=[0], options=options, output=tmp_path / name, intervals=False)
        for name, track in {"a": small_track("a"), "b": small_track("b", test_order=order)}.items()
    ]
    first, second = runs
    assert (first.folder / "submission.csv").read_bytes() == (second.folder / "submission.csv").read_bytes()
    assert first.options == second.options
    assert first.seeds[0].cross_validated == second.seeds[0].cross_validated
    if baseline != "majority":  # its answers are all alike, in whatever order they are scored
        assert first.seeds[0].test != second.seeds[0].test


def test_without_test_references_there_is_a_submission_and_the_reason(small_track: SmallTrack, tmp_path: Path) -> None:
    run = attention(small_track(withheld=True), tmp_path / "run")
    assert (run.folder / "submission.csv").is_file()
    assert run.report is None
    assert run.seeds[0].test is None
    assert run.withheld.startswith("the references of split 'test' of small are withheld")
    assert json.loads((run.folder / "run.json").read_text())["test"] is None
    # the same as with references: they are not looked at
    held = attention(small_track("held"), tmp_path / "held")
    assert (run.folder / "submission.csv").read_bytes() == (held.folder / "submission.csv").read_bytes()


def test_what_the_curve_needs_is_asked_for_before_training(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told: list[tuple[str, int, int]] = []
    with pytest.raises(MissingExtra, match=r"a chart \(matplotlib\) needs the extra 'baselines'"):
        attention(small_track(), tmp_path / "run", progress=lambda *step: told.append(step))
    assert told == []
    monkeypatch.undo()
    run_baseline(small_track("two"), "majority", output=tmp_path / "majority")


def test_a_few_samples_need_fewer_folds(small_track: SmallTrack, tmp_path: Path) -> None:
    run_baseline(small_track(), "majority", folds=3, output=tmp_path / "run", intervals=False)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["n_folds"] == 3


def test_one_feature_fills_every_slot_of_attention(small_track: SmallTrack, tmp_path: Path) -> None:
    run = attention(small_track(), tmp_path / "run", features=["loud"])
    assert run.features == ("loud",)
    assert run.report is not None


def test_nothing_is_replaced_without_being_asked(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    track = small_track()
    run = run_baseline(track, "majority", intervals=False)
    assert run.folder == Path("runs/small/majority")
    (run.folder / "submission.csv").write_text("mine")
    message = "^runs/small/majority: already holds a run; --force replaces it, --output names another folder$"
    with pytest.raises(UsageError, match=message):
        run_baseline(track, "majority", intervals=False)
    assert (run.folder / "submission.csv").read_text() == "mine"
    run_baseline(track, "majority", intervals=False, replace=True)
    assert (run.folder / "submission.csv").read_text() != "mine"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match=r"mine: is not empty and has no run\.json; only a run is replaced by a run$"):
        run_baseline(track, "majority", output=mine, replace=True)
    with pytest.raises(UsageError, match=r"thesis\.txt: is a file, not a folder$"):
        run_baseline(track, "majority", output=mine / "thesis.txt", replace=True)
    assert (mine / "thesis.txt").read_text() == "years"


def test_what_cannot_be_run(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    with pytest.raises(UsageError, match=r"^seeds must be integers of at least 0, one or more, not \[-1\]$"):
        run_baseline(track, "majority", seeds=[-1], output=tmp_path / "run")
    with pytest.raises(UsageError, match=r"^1000 folds of \d+ training samples; needed are at least 2 folds"):
        run_baseline(track, "majority", folds=1000, output=tmp_path / "run")
    with pytest.raises(DeclarationError, match="depth: is not a parameter of baseline 'majority'; allowed: n_words"):
        run_baseline(track, "majority", options={"depth": 1}, output=tmp_path / "run")
    with pytest.raises(UsageError, match=r"^small declares no split 'train', which a baseline learns from$"):
        run_baseline(
            track.model_copy(update={"splits": {"test": track.splits["test"]}}), "majority", output=tmp_path / "r"
        )
    swapped = track.model_copy(update={"splits": {"train": track.splits["test"], "test": track.splits["train"]}})
    assert run_baseline(swapped, "majority", output=tmp_path / "swapped", intervals=False).report is not None
    hidden = small_track("hidden", withheld=True)
    splits = {"train": hidden.splits["test"], "test": hidden.splits["train"]}
    with pytest.raises(WithheldReference, match="the references of split 'train' of small are withheld"):
        run_baseline(hidden.model_copy(update={"splits": splits}), "majority", output=tmp_path / "run")


def test_the_signature_reads_as_text() -> None:
    assert str(inspect.signature(run_baseline).parameters["progress"]).endswith(" = None")
    with pytest.raises(UsageError) as caught:
        run_baseline("mer-multi", "majority", seeds=[1.5])  # type: ignore[list-item]
    assert str(caught.value) == "seeds must be integers of at least 0, one or more, not [1.5]"


@pytest.mark.parametrize("baseline", ["attention", "logistic"])
def test_the_record_says_what_folds_keep_together(small_track: SmallTrack, tmp_path: Path, baseline: str) -> None:
    track = small_track(columns={"speaker": [f"p{i % 3}" for i in range(N_TRAIN + N_TEST)]})
    options = QUICK if baseline == "attention" else {"C": 1.0, "alpha": 1.0, "scale": "each"}
    run = run_baseline(track, baseline, seeds=[0], options=options, output=tmp_path / "run", intervals=False)
    record = json.loads((run.folder / "run.json").read_text())
    assert record["cross_validation"] == {"n_folds": 3, "n_folds_asked": 5, "by": "speaker", "n_clusters": 3}
    assert record["n_folds"] == 3


@pytest.mark.parametrize("baseline", ["majority", "logistic", "attention"])
def test_preferences_and_trajectories_are_learned(small_track: SmallTrack, tmp_path: Path, baseline: str) -> None:
    declaration = (
        DECLARATION.replace(
            '{ type = "categorical", labels = ["calm", "glad", "sad"] }', '{ type = "preference", same = "class" }'
        )
        .replace('type = "continuous"', 'type = "trajectory"')
        .replace('target = "discrete", weight', 'target = "discrete", per = "recording", weight')
        .replace('target = "valence", weight', 'target = "valence", per = "recording", weight')
    )
    columns = {"recording": [f"r{i % 4}" for i in range(N_TRAIN + N_TEST)]}
    track = small_track(columns=columns, declaration=declaration, labels=("a1", "a2", "same"))
    options = QUICK if baseline == "attention" else {}
    run = run_baseline(track, baseline, seeds=[0], options=options, output=tmp_path / "run", intervals=False)
    assert run.report is not None
    assert {line.split(",")[1] for line in (run.folder / "submission.csv").read_text().splitlines()[1:]} <= {
        "a1",
        "a2",
        "same",
    }


def test_a_run_card_holds_nothing_that_shows_who_is_scored(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    hidden = track.splits["test"].model_copy(update={"hidden": True})
    track = track.model_copy(update={"splits": {**track.splits, "test": hidden}})
    run = run_baseline(track, "majority", output=tmp_path / "run", intervals=False)
    card = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    for values in (card["runs"][0]["test"], {key: item["mean"] for key, item in card["test"].items()}):
        assert all(len(repr(value)) <= len("-0.1234") for value in values.values())
    assert sorted(card["corpus"]) == ["name", "synthetic", "version"]
    assert run.report is not None
    assert "organizers only: with --public, `score` and `compare` leave out what" in run.report.to_text()
