"""Single samples: their answers, their influence, and what of them a report and a file may show."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_corpus import made_corpus
from sklearn.metrics import f1_score, mean_squared_error, roc_auc_score
from toy_track import predictions, write_toy_track

from merbench.cli import run
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import PolicyError, UsageError, WithheldReference
from merbench.metrics.detection import ranking
from merbench.metrics.sums import LeftOut, cell_counts, total_weight, weighted_sum
from merbench.scoring import align, evaluate, per_sample, score
from merbench.scoring.samples import influences, write_samples
from merbench.submission import read_submission
from merbench.track import load_track

TRACK = """
id = "mine"
version = "1.0"
title = "Mine"
corpus = "./corpus"
splits = { test = SPLIT }
metrics = [
  { name = "weighted_f1", target = "emotion", weight = 1.0 },
  { name = "mse", target = "valence", weight = -0.25 },
  { name = "matthews_correlation", target = "emotion" },
  { name = "accuracy", target = "emotion", per = "speaker" },
  { name = "ccc", target = "valence" },
  { name = "r2", target = "valence", per = "speaker" },
  { name = "mosi_non0_accuracy", target = "valence" },
  { name = "set_f1", target = "words", average = "micro" },
  { name = "set_recall", target = "words" },
  { name = "multilabel_f1", target = "units" },
  { name = "exact_match", target = "units" },
  { name = "auroc", target = "real" },
  { name = "equal_error_rate", target = "real" },
  { name = "aupr", target = "real" },
  { name = "detection_error", target = "real" },
  { name = "top_k_accuracy", target = "face", k = 2 },
  { name = "segment_f1", target = "parts", label = "fake" },
]
ranking.by = ["overall"]
[targets]
emotion = { type = "categorical", labels = ["calm", "glad", "=sad"], out_of_vocabulary = "wrong" }
valence = { type = "continuous", required = false }
words = { type = "label_set", empty = "allow" }
units = { type = "multilabel", labels = ["AU1", "AU2"], invalid = -1 }
real = { type = "scores", positive = "genuine", negative = "fake" }
face = { type = "ranked", labels = ["happy", "sad", "neutral"] }
parts = { type = "segments", labels = ["real", "fake"] }
"""
N = 30


@pytest.fixture
def candidates(tmp_path: Path) -> Candidates:
    return written(tmp_path)


def written(tmp_path: Path, split: str = '"test"', with_references: bool = True) -> Candidates:
    """Return the candidates of a track with a target of every kind."""
    folder, rng = tmp_path / "mine", np.random.default_rng(3)
    ids = [f"s{i:02}" for i in range(N)]
    fake = [f"fake-0-{i % 3}" if i % 3 else "" for i in range(N)]
    reference = {
        "emotion": rng.choice(["calm", "glad", "=sad"], N),
        "valence": [None if i % 7 == 3 else float(value) for i, value in enumerate(rng.normal(size=N).round(2))],
        "words": [["happy"], ["sad", "low"]] * (N // 2),
        "AU1": rng.choice([0, 1, -1], N),
        "AU2": rng.choice([0, 1], N),
        "real": rng.choice(["genuine", "fake"], N),
        "face": rng.choice(["happy", "sad", "neutral"], N),
        "parts": fake,
    }
    made_corpus(
        folder / "corpus",
        name="mine",
        samples=pa.table({"sample_id": ids, "split": ["test"] * N, "speaker": [f"p{i % 4}" for i in range(N)]}),
        reference=pa.table({"sample_id": ids, **reference}) if with_references else None,
        replace=True,
    )
    (folder / "track.toml").write_text(TRACK.replace("SPLIT", split), encoding="utf-8")
    return open_candidates(load_track(folder))


def answers(candidates: Candidates, seed: int = 4) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "emotion": rng.choice(["calm", "glad", "=sad", "bored"], N),
        "valence": rng.normal(size=N).round(2),
        "words": [["happy"], ["sad", "@x"], []] * (N // 3),
        "AU1": rng.choice([0, 1], N),
        "AU2": rng.choice([0, 1], N),
        "real": rng.normal(size=N).round(1),
        "face": rng.choice(["happy, sad", "sad", "neutral, happy"], N),
        "parts": ["fake-0.5-1.0"] * N,
    }
    return pa.table({"sample_id": candidates.ids, **columns})


def test_an_influence_is_the_value_with_a_sample_minus_that_without(candidates: Candidates) -> None:
    aligned = align(read_submission(answers(candidates), candidates))
    moved, complete = influences(aligned), evaluate(aligned, np.ones((1, N), np.uint8))
    assert set(moved) == set(complete)
    for row in range(N):
        rest = np.delete(np.arange(N), row)
        others = evaluate(aligned.select(rest), np.ones((1, N - 1), np.uint8))
        for key, values in moved.items():  # rounded to 12 decimals
            assert values[row] == pytest.approx(float(complete[key][0] - others[key][0]), abs=1e-12), (key, row)


def test_an_influence_is_that_of_scikit_learn(candidates: Candidates) -> None:
    table = per_sample(candidates, answers(candidates)).to_pandas()
    given = table["emotion.prediction"].fillna("(outside)")
    score_of: dict[str, Callable[[Any], float]] = {
        "weighted_f1": lambda rows: f1_score(
            table["emotion.reference"][rows], given[rows], labels=["calm", "glad", "=sad"], average="weighted"
        ),
        "auroc": lambda rows: roc_auc_score(table["real.reference"][rows] == "genuine", table["real.prediction"][rows]),
    }
    for name, value in score_of.items():
        rows = np.arange(N)
        expected = [value(rows) - value(np.delete(rows, i)) for i in rows]
        assert table[f"influence.{name}"].tolist() == pytest.approx(expected, abs=1e-12)
    known = table["valence.error"].notna()
    assert known.sum() == N - 4 and (table["influence.mse"][~known] == 0).all()
    first = int(np.flatnonzero(known)[0])
    errors = table["valence.error"][known]
    assert all(error == float(f"{error:.12f}") for error in errors)
    assert table["influence.mse"][first] == pytest.approx(np.mean(errors**2) - np.mean(errors[1:] ** 2), abs=1e-12)
    assert np.mean(errors**2) == pytest.approx(score(candidates, answers(candidates))["mse"].value)
    assert mean_squared_error(table["valence.reference"][known], table["valence.prediction"][known]) == pytest.approx(
        np.mean(errors**2)
    )


def test_a_row_says_what_was_answered_and_how_right_that_is(candidates: Candidates) -> None:
    given = answers(candidates)
    row = per_sample(candidates, given).to_pylist()[1]
    assert row["sample_id"] == "s01"
    assert (row["words.reference"], row["words.prediction"]) == (["sad", "low"], ["sad", "@x"])
    assert (row["words.precision"], row["words.recall"], row["words.f1"]) == (0.5, 0.5, 0.5)
    # Fake from 0 to 1 s, predicted from 0.5 to 1 s: all that is predicted is right, and half of what there is.
    assert row["parts.reference"] == ["fake 0–1 s"]
    assert (row["parts.precision"], row["parts.recall"], row["parts.f1"]) == (1, 0.5, pytest.approx(2 / 3))
    table = per_sample(candidates, given).to_pandas()
    outside = np.array(given["emotion"].to_pylist()) == "bored"
    assert table["emotion.prediction"][outside].isna().all() and not table["emotion.correct"][outside].any()
    assert table["valence.reference"][3] != table["valence.reference"][3]  # no reference
    # Mean shares of the other class that a sample is ranked right against are the area under the curve.
    for label in ("genuine", "fake"):
        share = table["real.ranked_right"][table["real.reference"] == label].mean()
        assert share == pytest.approx(score(candidates, given)["auroc"].value, abs=1e-12)
    position = [
        cell.split(", ").index(right) + 1 if right in cell else math.nan
        for cell, right in zip(given["face"].to_pylist(), table["face.reference"].str[0], strict=True)
    ]
    assert table["face.rank"].tolist() == pytest.approx(position, nan_ok=True)
    known = table["units.correct.AU1"].notna()
    assert 0 < known.sum() < N and set(table["units.correct.AU1"][known]) == {0.0, 1.0}


def test_worst_samples_are_the_costliest_of_the_ranking_score(candidates: Candidates) -> None:
    assert score(candidates, answers(candidates), intervals=False).worst == ()  # values only
    report = score(candidates, answers(candidates), n_resamples=100)
    table = per_sample(candidates, answers(candidates)).to_pandas().set_index("sample_id")
    parts = [
        (-value, sample_id, target)
        for target, values in (
            ("emotion", table["influence.weighted_f1"]),
            ("valence", -0.25 * table["influence.mse"]),
        )
        for sample_id, value in values.items()
        if value < 0
    ]
    expected = sorted(parts, key=lambda part: (-round(part[0], 12), part[1]))[:20]
    assert [(item.id, item.target) for item in report.worst] == [(key, target) for _, key, target in expected]
    assert [-item.influence for item in report.worst] == pytest.approx([cost for cost, _, _ in expected], abs=1e-12)
    first = next(item for item in report.worst if item.target == "emotion")
    assert first.reference == table["emotion.reference"][first.id] != first.prediction
    assert type(report).from_json(report.to_json()).worst == report.worst


def test_without_mistakes_there_are_no_worst_samples(candidates: Candidates) -> None:
    right = answers(candidates).to_pydict()
    part = candidates.corpus.reference()
    assert part is not None
    right["emotion"], right["valence"] = part["emotion"].to_pylist(), [v or 0.0 for v in part["valence"].to_pylist()]
    assert score(candidates, pa.table(right), n_resamples=100).worst == ()


def test_a_value_that_is_not_defined_without_a_sample_gives_no_influence(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(predictions([1]), encoding="utf-8")
    for ids, moved, worst in ((["s00"], [None], []), (["s00", "s01"], [0.5, -0.5], ["s01"])):
        candidates = open_candidates(write_toy_track(tmp_path, scored=ids))
        assert per_sample(candidates, path)["influence.accuracy"].to_pylist() == moved
        assert [item.id for item in score(candidates, path).worst] == worst


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_samples_are_written_in_three_formats(suffix: str, candidates: Candidates, tmp_path: Path) -> None:
    table, path = per_sample(candidates, answers(candidates)), tmp_path / f"out.{suffix}"
    write_samples(table, path)
    rows = table.to_pylist()
    if suffix == "parquet":
        assert pq.read_table(path).to_pylist() == rows
    elif suffix == "jsonl":
        assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    else:
        with path.open(newline="") as file:
            cells = list(csv.DictReader(file))
        assert [float(row["influence.overall"]) for row in cells] == table["influence.overall"].to_pylist()
        for cell, row in zip(cells, rows, strict=True):  # a cell that a spreadsheet would run has a quote in front
            text = row["emotion.prediction"] or ""
            assert cell["emotion.prediction"] == ("'" if text.startswith("=") else "") + text
            assert cell["words.prediction"] == ", ".join(row["words.prediction"])


def test_a_split_with_a_hidden_part_shows_no_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hidden = written(tmp_path, '{ source = "test", hidden = true }')
    with pytest.raises(PolicyError, match="keeps secret which candidates are scored"):
        per_sample(hidden, answers(hidden))
    report = score(hidden, answers(hidden), n_resamples=100)
    assert report.worst and not report.public().worst
    monkeypatch.chdir(tmp_path)
    pq.write_table(answers(hidden), "mine.parquet")
    assert run(["score", "./mine", "mine.parquet", "--per-sample", "out.csv"]) == 4
    assert capfd.readouterr().out == "" and not Path("out.csv").exists()
    withheld = written(tmp_path, with_references=False)
    with pytest.raises(WithheldReference):
        per_sample(withheld, answers(withheld))


def test_the_file_of_samples_is_neither_the_submission_nor_the_report(
    candidates: Candidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(answers(candidates), "mine.parquet")
    for path, *more, message in (
        ("mine.parquet", "is the submission itself"),
        ("out.txt", "unknown suffix '.txt'; allowed: .csv, .parquet, .jsonl"),
        ("out.csv", "--format", "json", "-o", "./out.csv", "is the file of the report"),
    ):
        assert run(["score", "./mine", "mine.parquet", "--no-intervals", "--per-sample", path, *more]) == 2
        assert message in capfd.readouterr().err
    assert run(["score", "./mine", "mine.parquet", "--no-intervals", "--per-sample", "out.csv"]) == 0
    assert len(Path("out.csv").read_text().splitlines()) == N + 1
    with pytest.raises(UsageError):
        write_samples(per_sample(candidates, answers(candidates)), tmp_path / "out.xls")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=12), st.data())
def test_sums_without_a_sample_are_those_of_the_others(values: list[float], data: st.DataObject) -> None:
    n = len(values)
    rows = np.array(data.draw(st.lists(st.integers(-1, n - 1), min_size=1, max_size=5)))
    cells = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    chosen = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    weights = LeftOut(rows, n)
    for part, samples in ((weights, np.arange(n)), (weights[:, chosen], chosen)):
        dense = part.spread()
        assert dense.tolist() == [[int(sample != row) for sample in samples] for row in rows]
        assert total_weight(part).tolist() == total_weight(dense).tolist()
        assert cell_counts(part, cells[samples], 3).tolist() == cell_counts(dense, cells[samples], 3).tolist()
        column = np.array(values)[samples]
        # One more rounding than that of the sum.
        assert weighted_sum(part, column) == pytest.approx(weighted_sum(dense, column), rel=4e-16, abs=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=1, max_size=14))
def test_scores_that_are_alike_leave_the_same_ranking(pairs: list[tuple[int, int]]) -> None:
    reference, scores = (np.array(column) for column in zip(*pairs, strict=True))
    codes, left = ranking(reference, scores.astype(np.float64)).alike, {}
    for row, code in enumerate(codes.tolist()):
        rest = ranking(np.delete(reference, row), np.delete(scores, row).astype(np.float64))
        content = (rest.positive.tolist(), rest.ends.tolist())
        assert left.setdefault(code, content) == content
