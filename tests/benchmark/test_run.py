"""Systems × tracks, on small corpora of their own, with baselines whose values are known."""

from __future__ import annotations

import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus
from toy_track import ANSWERS, IDS, LABELS

from merbench.benchmark import BenchmarkReport, BenchmarkSettings, System, benchmark
from merbench.benchmark.cells import planned
from merbench.cli import run as command
from merbench.corpus import Feature
from merbench.corpus.candidates import open_candidates
from merbench.errors import DeclarationError, UnknownName, UsageError
from merbench.scoring import resampling_of, seed_draws, seed_intervals
from merbench.submission import read_submission
from merbench.training import RunSettings, open_models, predict, run_baseline
from tests.training.test_declaration import write

Capture = pytest.CaptureFixture[str]

DECLARATION = """
id = "NAME"
version = "1.0"
title = "Toy"
corpus = "./corpus"
splits = { train = "train", test = TEST }
targets.discrete = { type = "categorical", labels = ["calm", "glad", "sad"] }
metrics = [{ name = "accuracy", target = "discrete" }]
ranking = { by = ["accuracy"] }
"""

TOML = """
title = "Own"
[defaults]
wrong = 0
[presets.paper]
seeds = [3]
options = { wrong = 20 }
"""

# It answers all but `wrong` plus `seed` of 40 samples as the feature says, which is the label's code.
MODEL = """
from dataclasses import dataclass
import numpy as np
from merbench.errors import UsageError
from merbench.training import Predictions

@dataclass(frozen=True)
class Options:
    wrong: int

class Own:
    def __init__(self, options, setup):
        self.n = options.wrong + setup.seed
    def fit(self, train):
        if self.n > 90:
            raise RuntimeError("diverged")
    def predict(self, test):
        codes = test.features["code"][:, 0].astype(int)
        codes[:self.n] = (codes[:self.n] + 1) % 3
        return Predictions({"discrete": np.eye(3)[codes]})

def build(options, setup):
    return Own(options, setup)
"""


def write_track(
    folder: Path, *, hidden: bool = False, withheld: bool = False, feature: str = "code", all_calm: bool = False
) -> Path:
    """Write a track of 20 training samples and 40 test samples, whose labels are in a feature."""
    ids, answers = [*(f"t{i:02}" for i in range(20)), *IDS], [*ANSWERS[:20], *ANSWERS]
    codes = np.array([[LABELS.index(answer)] for answer in answers], dtype=np.float64)
    answers = [*answers[:20], *(["calm"] * 40 if all_calm else ANSWERS)]
    n_known = 20 if withheld else len(ids)
    order = np.argsort(ids)
    shutil.rmtree(folder, ignore_errors=True)
    made_corpus(
        folder / "corpus",
        name=folder.name,
        samples=pa.table({"sample_id": ids, "split": ["train"] * 20 + ["test"] * 40}),
        reference=pa.table({"sample_id": ids[:n_known], "discrete": answers[:n_known]}),
        features={feature: Feature.from_vectors([ids[i] for i in order], codes[order])},
    )
    test = '{ source = "test", hidden = true }' if hidden else '"test"'
    text = DECLARATION.replace("NAME", folder.name).replace("TEST", test)
    (folder / "track.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tracks(tmp_path: Path) -> list[Path]:
    return [write_track(tmp_path / "tracks" / name) for name in ("one", "two")]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write(tmp_path / "own", TOML, MODEL)


def systems(own: Path, **wrong: int) -> list[Path | str | System]:
    return [System(name=name, baseline=own, options={"wrong": n}) for name, n in wrong.items()]


TWO_SEEDS = BenchmarkSettings(seeds=(0, 2))


def content(folder: Path) -> dict[str, Any]:
    """Return a report as JSON, without the only numbers that time decides."""
    made: dict[str, Any] = json.loads((folder / "benchmark.json").read_text("utf-8"))
    for cell in made["cells"]:
        assert cell.pop("wall_time_s") is None or cell["values"]
    return made


def test_values_ranks_and_intervals(tracks: list[Path], own: Path) -> None:
    report = benchmark(tracks, [*systems(own, few=2, many=20), "majority"], TWO_SEEDS)
    # Seeds 0 and 2 answer 38 and 36, 20 and 18 of 40 samples right; 14 samples are of the most frequent label.
    assert report.cell("few", "one").values == (0.95, 0.9)
    assert report.cell("few", "one").mean == pytest.approx(0.925)
    assert report.cell("few", "one").deviation == pytest.approx(statistics.stdev([0.95, 0.9]))
    assert report.cell("many", "two").mean == pytest.approx(0.475)
    assert report.cell("majority", "two").values == (14 / 40,)  # the same with every seed
    assert [(row.name, row.mean_rank) for row in report.systems] == [("few", 1), ("many", 2), ("majority", 3)]
    assert report.cell("few", "one").rank == 1
    # the differences of 18 and 22 samples of 40 are in no resample as large as they would have to be to change places
    assert (report.systems[0].low, report.systems[0].high) == (1, 1)
    assert report.friedman is not None
    assert (report.friedman.chi_square, report.friedman.p) == (4, None)  # n (k - 1): both tracks agree
    assert report.critical_difference == pytest.approx(2.3437 * (3 * 4 / (6 * 2)) ** 0.5, abs=1e-4)
    candidates = open_candidates(tracks[0])
    folder = Path("runs/benchmark/one/few")
    read = [read_submission(folder / f"seed-{seed}" / "submission.csv", candidates) for seed in (0, 2)]
    how = resampling_of(candidates)
    interval = seed_intervals(read, seed_draws(read, "few", how), how)["accuracy(discrete)"]
    assert (report.cell("few", "one").low, report.cell("few", "one").high) == (interval.low, interval.high)
    assert BenchmarkReport.from_json(report.to_json()) == report


def test_close_systems_have_an_interval_of_their_rank_that_shows_it(tracks: list[Path], own: Path) -> None:
    report = benchmark(tracks, systems(own, a=10, b=11), replace(TWO_SEEDS, seeds=(0,)))
    first, second = report.systems
    assert (first.mean_rank, second.mean_rank) == (1, 2)
    # The one sample on which they differ is in about 63 % of the resamples of a track; in none are they the other way
    # round, and without it they share 1.5.
    assert (first.low, first.high, second.low, second.high) == (1, 1.5, 1.5, 2)
    assert report.groups == [(0, 1)]


def test_every_form_has_the_values_and_pictures_are_the_same_bytes_again(tracks: list[Path], own: Path) -> None:
    benchmark(tracks, systems(own, few=2, many=20), TWO_SEEDS)
    folder = Path("runs/benchmark")
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    names = {f"benchmark.{suffix}" for suffix in ("json", "md", "html", "tex")}
    assert set(first) == names | {"critical-difference.svg", "critical-difference.png"}
    for name in names - {"benchmark.json"}:
        assert b"0.9250 " in first[name] and b"0.0354" in first[name], name
    benchmark(tracks, systems(own, few=2, many=20), TWO_SEEDS)
    assert first == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_runs_are_kept_and_can_be_predicted_from(tracks: list[Path], own: Path) -> None:
    given: list[Path | str | System] = ["logistic", *systems(own, few=2)]
    settings = BenchmarkSettings(seeds=(0,), options={"scale": "each", "C": 0.1, "alpha": 1.0})
    benchmark(tracks, given, settings)
    records = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("run.json")}
    assert len(records) == 4
    benchmark(tracks, given, settings)
    assert records == {path: path.stat().st_mtime_ns for path in Path("runs").rglob("run.json")}
    models = open_models(Path("runs/benchmark/one/logistic"))
    assert predict(models, tracks[1], output="predicted").report is not None
    # the same as `run-baseline` gives
    alone = run_baseline(tracks[0], "logistic", RunSettings(seeds=(0,), options=settings.options), output="alone")
    assert alone.report is not None
    assert Path("alone/submission.csv").read_bytes() == Path("runs/benchmark/one/logistic/submission.csv").read_bytes()


def test_runs_of_other_options_are_not_lost(tracks: list[Path], own: Path) -> None:
    benchmark(tracks, systems(own, few=2, many=20), TWO_SEEDS)
    before = content(Path("runs/benchmark"))
    with pytest.raises(UsageError, match=r"^runs/benchmark/one/few, runs/benchmark/two/few: 2 runs with other options"):
        benchmark(tracks, systems(own, few=3, many=20), TWO_SEEDS)
    with pytest.raises(UsageError, match=r"4 runs with other options, seeds"):
        benchmark(tracks, systems(own, few=2, many=20), BenchmarkSettings(seeds=(0,)))
    assert content(Path("runs/benchmark")) == before
    report = benchmark(tracks, systems(own, few=3, many=20), TWO_SEEDS, replace=True)
    assert report.cell("few", "one").values == (37 / 40, 35 / 40)
    write_track(tracks[0], all_calm=True)
    with pytest.raises(UsageError, match=r"2 runs with other options, seeds, features, data or versions"):
        benchmark(tracks, systems(own, few=3, many=20), TWO_SEEDS)


@pytest.mark.slow
def test_a_cluster_gives_the_same(tracks: list[Path], own: Path, cluster: str) -> None:
    given: list[Path | str | System] = [*systems(own, few=2, broken=91), "majority"]
    benchmark(tracks, given, TWO_SEEDS, output="here")
    benchmark(tracks, given, replace(TWO_SEEDS, engine=cluster), output="apart")
    assert content(Path("here")) == content(Path("apart"))


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same(tracks: list[Path], own: Path) -> None:
    given: list[Path | str | System] = [*systems(own, few=2, many=20, broken=91), "majority"]
    benchmark(tracks, given, TWO_SEEDS, output="here")
    benchmark(tracks, given, replace(TWO_SEEDS, workers=2), output="apart")
    assert content(Path("here")) == content(Path("apart"))
    for name in ("one/few/submission.csv", "two/many/seed-2/submission.csv"):
        assert (Path("here") / name).read_bytes() == (Path("apart") / name).read_bytes()


def test_a_cell_that_fails_says_why_and_the_others_are_finished(
    tmp_path: Path, tracks: list[Path], own: Path, capsys: Capture
) -> None:
    three = write_track(tmp_path / "tracks" / "three", feature="other")
    arguments = ["benchmark", *map(str, [*tracks, three]), "--baseline", "majority", "--baseline", f"few={own}"]
    arguments += ["--baseline", f"broken={own}", "--set", "broken.wrong=91", "--set", "wrong=2", "--seeds", "1"]
    assert command(arguments) == 5
    out, err = capsys.readouterr()
    report = BenchmarkReport.from_json(Path("runs/benchmark/benchmark.json").read_text("utf-8"))
    assert err.endswith("no value: 4 of 9 cells\n")
    why = {(cell.system, cell.track): cell.problem for cell in report.cells if cell.problem}
    assert set(why) == {("broken", "one"), ("broken", "two"), ("broken", "three"), ("few", "three")}
    assert "diverged" in why["broken", "one"]
    assert "KeyError" in why["few", "three"] or "'code'" in why["few", "three"]
    # two systems on two tracks are more values than one on three
    assert [(row.name, row.mean_rank) for row in report.systems] == [("few", 1), ("majority", 2), ("broken", None)]
    assert "not ranked, since values are missing: system broken, track three\n" in out
    assert report.cell("majority", "three").rank is None
    assert report.cell("majority", "three").mean == 14 / 40
    assert f"{report.to_text()}\nwrote runs/benchmark\n" == out


def test_without_two_tracks_or_systems_nothing_is_tested(tracks: list[Path], own: Path) -> None:
    report = benchmark(tracks[:1], systems(own, few=2, many=20), TWO_SEEDS)
    assert [row.mean_rank for row in report.systems] == [1, 2]
    assert (report.friedman, report.critical_difference) == (None, None)
    assert "no test of mean ranks: it needs two systems or more with values on two tracks or more" in report.notes()
    assert not Path("runs/benchmark/critical-difference.svg").exists()
    report = benchmark(tracks, systems(own, few=2), TWO_SEEDS)
    assert [row.mean_rank for row in report.systems] == [None]
    assert report.cell("few", "two").mean == pytest.approx(0.925)
    assert "mean rank" not in report.to_text()


def test_a_hidden_split_has_no_intervals_and_its_runs_are_kept(tmp_path: Path, own: Path) -> None:
    track = write_track(tmp_path / "tracks" / "one", hidden=True)
    report = benchmark([track], systems(own, few=2, many=20), TWO_SEEDS)
    assert report.cell("few", "one").values == (0.95, 0.9)
    assert report.cell("few", "one").low is None
    assert [(row.mean_rank, row.low) for row in report.systems] == [(1, None), (2, None)]
    assert "mean ranks have no intervals: the split of one is hidden, and not resampled" in report.notes()
    assert "ci:" not in report.to_json() and "#" not in report.tracks[0].signature.split("|")[1]
    before = [path.stat().st_mtime_ns for path in Path("runs").rglob("run.json")]
    benchmark([track], systems(own, few=2, many=20), TWO_SEEDS)
    assert before == [path.stat().st_mtime_ns for path in Path("runs").rglob("run.json")]
    # Nothing that is stored depends on the references, and values are those of the references as they are now.
    write_track(tmp_path / "tracks" / "one", hidden=True, all_calm=True)
    report = benchmark([track], systems(own, few=2, many=20), TWO_SEEDS)
    assert before == [path.stat().st_mtime_ns for path in Path("runs").rglob("run.json")]
    answered = [read_submission(path, open_candidates(track)) for path in sorted(Path("runs").rglob("few/s*/*.csv"))]
    n_calm = [int((each.values["discrete"] == 0).sum()) for each in answered]
    assert report.cell("few", "one").values == tuple(n / 40 for n in n_calm)


def test_withheld_references_are_the_reason(tmp_path: Path, own: Path) -> None:
    first, second = write_track(tmp_path / "tracks" / "one"), write_track(tmp_path / "tracks" / "two", withheld=True)
    report = benchmark([first, second], systems(own, few=2, many=20), TWO_SEEDS)
    assert "withheld" in report.cell("few", "two").problem
    assert report.cell("few", "one").rank == 1
    assert Path("runs/benchmark/two/few/submission.csv").is_file()


def test_seeds_and_options_of_presets_and_systems(tracks: list[Path], own: Path) -> None:
    paper, plain = System(name="paper", baseline=own, preset="paper"), System(name="plain", baseline=own)
    settings = BenchmarkSettings(options={"wrong": 1, "C": 0.5})
    cells = planned(tracks[:1], [paper, plain, "logistic"], settings, Path("out"), replace=False)
    given = [(list(cell.settings.seeds or ()), dict(cell.settings.options)) for cell in cells]
    assert given == [([3], {"wrong": 1}), ([0, 1, 2, 3, 4], {"wrong": 1}), ([0], {"C": 0.5})]
    (cell,) = planned(tracks[:1], [paper], BenchmarkSettings(), Path("out"), replace=False)
    report = benchmark(tracks[:1], [paper, plain], replace(TWO_SEEDS, options={}))
    assert cell.settings.options == {}
    assert report.cell("paper", "one").values == (20 / 40, 18 / 40)  # wrong = 20 of the preset
    once = replace(report, cells=(replace(report.cells[0], seeds=(0,)), *report.cells[1:]))
    assert [note for each in (report, once) for note in each.notes() if note.startswith("seeds: ")] == [
        "seeds: 0, 2", "seeds: 0 (paper); 0, 2 (plain)"
    ]  # fmt: skip


def test_folds_are_those_of_tracks_that_select_on_folds(tracks: list[Path], own: Path) -> None:
    text = (tracks[1] / "track.toml").read_text("utf-8")
    changed = text.replace('train = "train"', 'train = "train", dev = "test"') + 'training = { selection = "dev" }\n'
    (tracks[1] / "track.toml").write_text(changed, encoding="utf-8")
    cells = planned(tracks, [own], BenchmarkSettings(folds=3), Path("out"), replace=False)
    assert [cell.settings.learning for cell in cells] == [{"folds": 3}, {}]


def test_features_of_the_most_specific_place_count(tracks: list[Path], own: Path) -> None:
    features = {"": ["a"], "two": ["b"], "few": ["c"], "few.two": ["d"]}
    cells = planned(tracks, systems(own, few=1, many=2), BenchmarkSettings(features=features), Path("o"), replace=False)
    given = {cell.name: cell.settings.features for cell in cells}
    assert given == {"few on one": ["c"], "few on two": ["d"], "many on one": ["a"], "many on two": ["b"]}


def test_the_longest_cells_are_first(tmp_path: Path, tracks: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    toml = TOML.replace("wrong = 0", "wrong = 0\nepochs = 3")
    longer = write(tmp_path / "longer", toml, MODEL.replace("wrong: int", "wrong: int\n    epochs: int"))
    trained: list[str] = []
    monkeypatch.setattr("merbench.benchmark.cells._train", lambda unit, show: trained.append(unit[3].name))
    given: list[Path | str | System] = [
        System(name="short", baseline=longer, options={"epochs": 1}),
        System(name="long", baseline=longer),
    ]
    with pytest.raises(UsageError, match="no system has a value on any track"):
        benchmark(tracks[:1], given, TWO_SEEDS)
    assert trained == ["long", "short"]


def wrong(
    tracks: list[Any], given: list[Any], message: str, kind: type[Exception] = UsageError, **settings: Any
) -> None:
    with pytest.raises(kind, match=message):
        benchmark(tracks, given, BenchmarkSettings(**settings))
    assert not Path("runs").exists()


def test_bad_input_is_reported_before_anything_is_trained(tracks: list[Path], own: Path) -> None:
    wrong([], ["majority"], "needs at least one track")
    wrong(tracks, [], "needs at least one system")
    wrong([tracks[0], tracks[0]], ["majority"], "^two tracks are named one$")
    wrong(tracks, ["majority", "majority"], "^two systems are named majority; give one of them another name")
    wrong(["mer-mutli"], ["majority"], "did you mean 'mer-multi'", UnknownName)
    wrong(tracks, ["majorty"], "did you mean 'majority'", UnknownName)
    wrong(tracks, [own], "no system has the option wrnog; they have wrong; did you mean 'wrong'", options={"wrnog": 1})
    wrong(tracks, [System(name="a", baseline=own, options={"wrnog": 1})], "wrnog", DeclarationError)
    wrong(tracks, [System(name="a", baseline=own, preset="papr")], "did you mean 'paper'", UnknownName)
    wrong(tracks, [System(name="a b", baseline=own)], "^system 'a b': a name is of lower-case words")
    wrong(
        tracks, [own], "^features of 'tow': the tracks are one, two, the systems own; did", features={"tow": ["code"]}
    )
    wrong(tracks, [own], "must be integers of at least 0", seeds=())
    wrong(tracks, [own], "workers", workers=0)
    Path("taken").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="taken: is a file, not a folder"):
        benchmark(tracks, [own], output="taken")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "few.wrong=1"], "--set few.wrong: no system 'few'; the systems are majority"),
        (["--preset", "majorit=paper"], "--preset majorit=paper: no system 'majorit'; the systems are majority; did you mean 'majority'?"),
        (["--preset", "a", "--preset", "b"], "--preset b: write NAME or SYSTEM=NAME, once for each system"),
        (["--feature", "=x"], "--feature =x: write NAME or WHERE=NAME, such as meld=sentence"),
        (["--baseline", "x="], "--baseline x=: write BASELINE or NAME=BASELINE, such as no-context=context-gru"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_reported_in_a_line(
    tracks: list[Path], arguments: list[str], message: str, capsys: Capture
) -> None:
    assert command(["benchmark", str(tracks[0]), "--baseline", "majority", *arguments]) == 2
    assert capsys.readouterr().err == f"{message}\n"
