from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corpus import CORPORA, Contents, write_corpus
from merbench.engine import ShowProgress
from merbench.errors import DeclarationError, MissingExtra, UsageError, WithheldReference
from merbench.files.reading import sha256_file
from merbench.scoring import score
from merbench.track import Track
from merbench.training import BaselineRun, RunSettings, run_baseline
from merbench.training.plan import with_learning
from merbench.training.trainings import Trainings
from tests.training.conftest import DECLARATION, LABELS, N_TEST, N_TRAIN, SmallTrack
from tests.training.test_declaration import write

QUICK = {"hidden": [8, 4], "epochs": 4, "batch_size": 8, "learning_rate": 0.01}


def attention(track: Track, output: Path, progress: ShowProgress | None = None, **settings: Any) -> BaselineRun:
    settings = {"seeds": [0], "device": "cpu", "intervals": False, "options": QUICK, **settings}
    return run_baseline(track, "attention", RunSettings(**settings), output=output, progress=progress)


@pytest.mark.slow
def test_a_run_is_a_folder_with_its_record(small_track: SmallTrack, tmp_path: Path) -> None:
    track, out = small_track(), tmp_path / "run"
    steps: list[tuple[str, int, int]] = []
    run = attention(track, out, seeds=[0, 3], progress=lambda *step: steps.append(step))
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "curve.png", "curve.svg", "history.parquet", "models/seed-0.safetensors", "models/seed-3.safetensors",
        "probabilities.parquet", "run.json", "seed-0/probabilities.parquet", "seed-0/submission.csv",
        "seed-3/probabilities.parquet", "seed-3/submission.csv", "submission.csv",
    ]  # fmt: skip
    assert (out / "submission.csv").read_bytes() == (out / "seed-0/submission.csv").read_bytes()
    head, *lines = (out / "submission.csv").read_text(encoding="utf-8").splitlines()
    assert head == "sample_id,discrete,valence"
    assert [line.split(",")[0] for line in lines] == sorted(line.split(",")[0] for line in lines)
    assert len(lines) == N_TEST
    assert {line.split(",")[1] for line in lines} <= set(LABELS)

    text = (out / "run.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert text == json.dumps(record, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    assert record["track"] == {"key": "small@1.0", "fingerprint": track.fingerprint, "content": track.content}
    assert record["options"]["hidden"] == [8, 4]
    assert list(record["features"]) == ["loud", "quiet"]
    assert [seed["seed"] for seed in record["runs"]] == [0, 3]
    digests = [sha256_file(out / f"seed-{seed}/submission.csv") for seed in (0, 3)]
    assert [seed["submission"] for seed in record["runs"]] == digests
    assert record["cross_validation"] == {"selection": "folds", "n_folds": 5, "n_folds_asked": 5, "by": None}
    assert {"merbench", "python", "numpy", "torch"} <= set(record["versions"])
    assert record["wall_time_s"] > 0
    overall = [seed["test"]["overall"] for seed in record["runs"]]
    assert record["test"]["overall"]["mean"] == pytest.approx(np.mean(overall), abs=1e-12)
    assert record["test"]["overall"]["deviation"] == pytest.approx(np.std(overall, ddof=1), abs=1e-12)

    assert run.report is not None and run.report.source == str(out / "submission.csv")
    assert run.report == score(track, out / "submission.csv", intervals=False)
    for seed in run.seeds:
        expected = score(track, out / f"seed-{seed.seed}/submission.csv", intervals=False)
        assert seed.test == {item.key: item.value for item in expected.scores}
    assert steps[:4] == [("seed 0", 1, 4), ("seed 0", 2, 4), ("seed 0", 3, 4), ("seed 0", 4, 4)]
    # probabilities are a submission themselves, with the same answers
    with_probabilities = score(track, out / "probabilities.parquet", intervals=False)
    assert with_probabilities["weighted_f1"].value == run.report["weighted_f1"].value

    again, other = (attention(track, tmp_path / f"{seed}", seeds=[seed]) for seed in (0, 1))
    for name in ("submission.csv", "curve.svg"):
        assert (out / name).read_bytes() == (again.folder / name).read_bytes()
        assert (out / name).read_bytes() != (other.folder / name).read_bytes()


def test_every_submission_is_scored_once(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[Any] = []

    def score_once(test: Any, submission: Any, **arguments: Any) -> Any:
        scored.append(submission)
        return score(test, submission, **arguments)

    monkeypatch.setattr("merbench.training.output.score", score_once)
    run_baseline(small_track(), "majority", RunSettings(seeds=[0, 1]), output=tmp_path / "run")
    assert len(scored) == 2


@pytest.mark.parametrize("baseline", ["attention", "logistic", "majority"])
def test_nothing_is_learned_or_selected_from_the_test_split(
    baseline: str, small_track: SmallTrack, tmp_path: Path
) -> None:
    order = np.random.default_rng(1).permutation(N_TEST)
    options = QUICK if baseline == "attention" else {}
    first, second = (
        run_baseline(track, baseline, RunSettings(seeds=[0], options=options, intervals=False), output=tmp_path / name)
        for name, track in {"a": small_track("a"), "b": small_track("b", test_order=order)}.items()
    )
    assert (first.folder / "submission.csv").read_bytes() == (second.folder / "submission.csv").read_bytes()
    assert first.options == second.options
    assert first.seeds[0].cross_validated == second.seeds[0].cross_validated
    if baseline != "majority":  # its answers are all equal, in whatever order they are scored
        assert first.seeds[0].test != second.seeds[0].test


def test_without_test_references_there_is_a_submission_and_the_reason(small_track: SmallTrack, tmp_path: Path) -> None:
    run = attention(small_track(withheld=True), tmp_path / "run", features=["loud"])  # one feature fills every slot
    assert run.features == ("loud",)
    assert run.report is None
    assert run.seeds[0].test is None
    assert run.withheld.startswith("the references of split 'test' of small are withheld")
    assert json.loads((run.folder / "run.json").read_text())["test"] is None
    known = attention(small_track("known"), tmp_path / "known", features=["loud"])
    assert known.report is not None
    assert (run.folder / "submission.csv").read_bytes() == (known.folder / "submission.csv").read_bytes()


def test_the_package_for_the_curve_is_required_before_training(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    steps: list[tuple[str, int, int]] = []
    with pytest.raises(MissingExtra, match=r"a chart \(matplotlib\) needs the extra 'charts'"):
        attention(small_track(), tmp_path / "run", progress=lambda *step: steps.append(step))
    assert steps == []
    monkeypatch.undo()
    run_baseline(
        small_track("two"),
        "majority",
        RunSettings(learning={"folds": 3}, intervals=False),
        output=tmp_path / "majority",
    )
    assert json.loads((tmp_path / "majority" / "run.json").read_text())["n_folds"] == 3


@pytest.mark.parametrize(
    ("column", "remedy"), [("transcript", "--with tfidf-svd"), ("media", "--with voice --media DIR")]
)
def test_without_features_the_remedy_fits_the_corpus(small_track: SmallTrack, column: str, remedy: str) -> None:
    track = small_track(columns={column: ["x"] * (N_TRAIN + N_TEST)})
    corpus = CORPORA.read(track.folder / "corpus")
    write_corpus(corpus.folder, corpus.declaration, Contents(corpus.samples(), corpus.reference()), replace=True)
    with pytest.raises(UsageError, match=f"has no features.*`merbench extract small {remedy}` computes some"):
        run_baseline(track, "logistic", RunSettings(intervals=False))


def test_a_run_is_replaced_only_if_asked_and_nothing_else_ever_is(
    small_track: SmallTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    track = small_track()
    run = run_baseline(track, "majority", RunSettings(intervals=False))
    assert run.folder == Path("runs/small/majority")
    (run.folder / "submission.csv").write_text("mine")
    message = "^runs/small/majority: already contains a run; --force replaces it, --output names another folder$"
    with pytest.raises(UsageError, match=message):
        run_baseline(track, "majority", RunSettings(intervals=False))
    assert (run.folder / "submission.csv").read_text() == "mine"
    run_baseline(track, "majority", RunSettings(intervals=False), replace=True)
    assert (run.folder / "submission.csv").read_text() != "mine"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    for path, message in (
        (mine, r"mine: is not empty and has no run\.json; only a run is replaced by a run$"),
        (mine / "thesis.txt", r"thesis\.txt: is a file, not a folder$"),
    ):
        with pytest.raises(UsageError, match=message):
            run_baseline(track, "majority", output=path, replace=True)
    assert (mine / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seeds": [-1]}, UsageError, r"^seeds must be integers of at least 0, one or more, not \[-1\]$"),
        ({"seeds": [1.5]}, UsageError, r"^seeds must be integers of at least 0, one or more, not \[1\.5\]$"),
        ({"learning": {"folds": 1000}}, UsageError, r"^1000 folds of \d+ training samples; needed: at least 2 folds"),
        ({"options": {"depth": 1}}, DeclarationError, "depth: is not an option of baseline 'majority'; allowed: n_words"),
        ({"device": "gpu"}, UsageError, r"^'gpu' is not a device; allowed: auto, cpu, cuda, cuda:<number>$"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_reported(
    small_track: SmallTrack, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_baseline(small_track(), "majority", RunSettings(**arguments), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def with_splits(track: Track, **sources: str) -> Track:
    return track.model_copy(update={"splits": {name: track.splits[source] for name, source in sources.items()}})


def test_the_splits_are_those_of_the_track(small_track: SmallTrack, tmp_path: Path) -> None:
    track, withheld = small_track(), small_track("hidden", withheld=True)
    with pytest.raises(
        UsageError, match=r"^small: there is nothing to learn from: it declares no split 'train', and no \[training\]$"
    ):
        run_baseline(with_splits(track, test="test"), "majority", output=tmp_path / "run")
    swapped = with_splits(track, train="test", test="train")
    assert (
        run_baseline(swapped, "majority", RunSettings(intervals=False), output=tmp_path / "swapped").report is not None
    )
    with pytest.raises(WithheldReference, match="the references of split 'train' of small are withheld"):
        run_baseline(with_splits(withheld, train="test", test="train"), "majority", output=tmp_path / "run")


@pytest.mark.parametrize("baseline", ["attention", "logistic"])
def test_the_record_says_what_folds_keep_together(small_track: SmallTrack, tmp_path: Path, baseline: str) -> None:
    track = small_track(columns={"speaker": [f"p{i % 3}" for i in range(N_TRAIN + N_TEST)]})
    options = QUICK if baseline == "attention" else {"C": 1.0, "alpha": 1.0, "scale": "each"}
    run = run_baseline(
        track, baseline, RunSettings(seeds=[0], options=options, intervals=False), output=tmp_path / "run"
    )
    record = json.loads((run.folder / "run.json").read_text())
    assert record["cross_validation"] == {
        "selection": "folds",
        "n_folds": 3,
        "n_folds_asked": 5,
        "by": "speaker",
        "n_clusters": 3,
    }
    assert record["n_folds"] == 3


@pytest.mark.parametrize("baseline", ["majority", "logistic", "attention"])
def test_preferences_and_trajectories_are_learned(small_track: SmallTrack, tmp_path: Path, baseline: str) -> None:
    declaration = DECLARATION
    for old, new in (
        ('{ type = "categorical", labels = ["calm", "glad", "sad"] }', '{ type = "preference", same = "class" }'),
        ('type = "continuous"', 'type = "trajectory"'),
        ('target = "discrete", weight', 'target = "discrete", per = "recording", weight'),
        ('target = "valence", weight', 'target = "valence", per = "recording", weight'),
    ):
        declaration = declaration.replace(old, new)
    columns = {"recording": [f"r{i % 4}" for i in range(N_TRAIN + N_TEST)]}
    track = small_track(columns=columns, declaration=declaration, labels=("a1", "a2", "same"))
    options = QUICK if baseline == "attention" else {}
    run = run_baseline(
        track, baseline, RunSettings(seeds=[0], options=options, intervals=False), output=tmp_path / "run"
    )
    assert run.report is not None
    lines = (run.folder / "submission.csv").read_text().splitlines()[1:]
    assert {line.split(",")[1] for line in lines} <= {"a1", "a2", "same"}


def test_a_run_record_does_not_show_which_samples_of_a_hidden_split_are_scored(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    track = small_track()
    hidden = track.splits["test"].model_copy(update={"hidden": True})
    track = track.model_copy(update={"splits": {**track.splits, "test": hidden}})
    run = run_baseline(track, "majority", RunSettings(intervals=False), output=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    for values in (record["runs"][0]["test"], {key: item["mean"] for key, item in record["test"].items()}):
        assert all(len(repr(value)) <= len("-0.1234") for value in values.values())
    assert sorted(record["corpus"]) == ["name", "synthetic", "version"]
    assert run.report is not None
    assert "organizers only: with --public, `score` and `compare` leave out what" in run.report.to_text()


SHOWN = """
from dataclasses import dataclass

from torch import nn

from merbench.training.networks.layers import Heads
from merbench.training.networks.network import NetworkBaseline
from merbench.training.networks.optimisation import Schedule


@dataclass(frozen=True)
class Options(Schedule):
    pass


class Network(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads = Heads(shape.widths["loud"], shape.labels)

    def forward(self, batch):
        return self.heads(batch.inputs["loud"])

    def diagnostics(self, batch):
        return {"loudness": batch.inputs["loud"].mean()}


def build(options, setup):
    return NetworkBaseline(Network, options, setup)
"""


@pytest.mark.parametrize("learning", [{}, {"leave_out": "speaker"}])
def test_what_a_network_shows_of_itself_is_in_the_record(
    small_track: SmallTrack, tmp_path: Path, learning: dict[str, str]
) -> None:
    own = write(tmp_path / "shown", 'title = "Shown"\nfolds = 3\nextra = "baselines"\n', SHOWN)
    track = small_track(columns={"speaker": [f"p{n % 6}" for n in range(N_TRAIN + N_TEST)]})
    how = RunSettings(
        device="cpu", intervals=False, learning=learning, options={"epochs": 1, "batch_size": 8, "learning_rate": 0.01}
    )
    record = json.loads((run_baseline(track, own, how, output=tmp_path / "run").folder / "run.json").read_text())
    trainings = Trainings(with_learning(track, learning), own, how)
    parts = [record["runs"][0]] if not learning else record["runs"][0]["parts"]
    assert len(parts) == len(trainings.plan.parts) == (6 if learning else 1)
    for n, part in enumerate(parts):
        train = trainings.learned(n)
        expected = [train.features["loud"][division.validate].mean() for division in train.divisions(3, 0)]
        assert part["details"].keys() == {"diagnostics"} and part["details"]["diagnostics"].keys() == {"loudness"}
        np.testing.assert_allclose(part["details"]["diagnostics"]["loudness"], expected, rtol=1e-5)
