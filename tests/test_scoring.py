"""Scores, intervals, groups and comparisons, against scikit-learn and arithmetic."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from checked_tracks import FORMULAS
from made_corpus import made_corpus
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import confusion_matrix, f1_score, mean_squared_error, precision_recall_fscore_support
from toy_track import write_toy_track

from merbench.corpus import CORPORA, IMPORTERS
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import IntegrityError, UndefinedMetric, UsageError, WithheldReference
from merbench.files import reading
from merbench.metrics.metric import METRICS, Metric
from merbench.metrics.metric import metric as register
from merbench.metrics.sums import spread
from merbench.report import Comparison, ScoreReport
from merbench.resampling import poisson_weights
from merbench.scoring import aligned, compare, evaluation, public_score, score
from merbench.scoring.comparison import named_sources
from merbench.submission import read_submission
from merbench.track import load_track

LABELS = ("neutral", "angry", "happy")

TRACK = """
id = "small"
version = "1.0"
title = "Small"
corpus = "./corpus"

[splits]
test = {split}

[targets.discrete]
type = "categorical"
labels = ["neutral", "angry", "happy"]
out_of_vocabulary = "wrong"

[targets.valence]
type = "continuous"

[[metrics]]
name = "weighted_f1"
target = "discrete"
weight = 1.0

[[metrics]]
name = "mse"
target = "valence"
weight = -0.25

[[metrics]]
name = "f1"
target = "discrete"
label = "happy"

[ranking]
by = ["overall", "weighted_f1"]
"""

Make = Callable[..., Candidates]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes a track and its corpus and opens the candidates."""

    def make(
        n: int = 60,
        references: np.ndarray | None = None,
        hidden: bool = False,
        scored: int | None = None,
        **columns: Any,
    ) -> Candidates:
        folder = tmp_path / "small"
        rng = np.random.default_rng(1)
        ids = [f"s{i:04d}" for i in range(n)]
        codes = rng.integers(0, 3, n) if references is None else references
        samples = pa.table(
            {"sample_id": ids, "split": ["test"] * n, "speaker": [f"p{i % 12}" for i in range(n)], **columns}
        )
        reference = pa.table(
            {"sample_id": ids, "discrete": [LABELS[c] for c in codes], "valence": rng.normal(0, 2, n).round(2)}
        )
        made_corpus(folder / "corpus", name="small", samples=samples, reference=reference[:scored], replace=True)
        split = '{ source = "test", hidden = true }' if hidden else '"test"'
        (folder / "track.toml").write_text(TRACK.replace("{split}", split))
        return open_candidates(load_track(folder))

    return make


def answers(candidates: Candidates, seed: int = 2, wrong: float = 0.4) -> pa.Table:
    """Return a submission that is right but for a share of random answers."""
    rng = np.random.default_rng(seed)
    n = len(candidates)
    codes = np.resize(candidates.references.values["discrete"], n)
    codes = np.where(rng.random(n) < wrong, rng.integers(0, 3, n), codes)
    valence = np.resize(candidates.references.values["valence"], n) + rng.normal(0, 1, n)
    return pa.table({"sample_id": candidates.ids, "discrete": [LABELS[c] for c in codes], "valence": valence})


def changed(candidates: Candidates, **reference: Any) -> Candidates:
    """Return the candidates with another table of references, or without any."""
    corpus = candidates.corpus
    table = {"reference": pa.table({"sample_id": candidates.ids, **reference})} if reference else {}
    made_corpus(corpus.folder, name="small", samples=corpus.samples(), replace=True, **table)
    return open_candidates(load_track(candidates.track.folder))


def test_values_are_those_of_scikit_learn(make: Make) -> None:
    candidates = make()
    table = answers(candidates)
    report = score(candidates, table, intervals=False)
    reference = candidates.references.values["discrete"]
    prediction = np.array([LABELS.index(x) for x in table["discrete"].to_pylist()])
    waf, f1 = (f1_score(reference, prediction, average=average) for average in ("weighted", None))
    mse = mean_squared_error(candidates.references.values["valence"], table["valence"].to_numpy())
    values = {item.name: item.value for item in report.scores}
    expected = {"overall": waf - 0.25 * mse, "weighted_f1": waf, "mse": mse, "f1": f1[2]}
    assert values == pytest.approx(expected, abs=1e-12)
    assert report["f1"].low is None and report.uncertainty is None
    assert [row.f1 for row in report.per_class] == pytest.approx(f1, abs=1e-12)
    assert report.confusions[0].counts == tuple((*row, 0) for row in confusion_matrix(reference, prediction).tolist())


def test_an_answer_outside_the_vocabulary_is_wrong_and_counted(make: Make) -> None:
    candidates = make(n=4, references=np.array([0, 0, 1, 2]))
    table = pa.table(
        {"sample_id": candidates.ids, "discrete": ["neutral", "bored", "angry", "happy"], "valence": [0.0] * 4}
    )
    report = score(candidates, table, intervals=False)
    # Hits 1, 1, 1 of references 2, 1, 1; no false alarm: F1 = 2/3, 1, 1, weighted (2 * 2/3 + 1 + 1) / 4 = 5/6.
    assert report["weighted_f1"].value == pytest.approx(5 / 6, abs=1e-12)
    assert report.counts["out_of_vocabulary"] == 1
    assert report.confusions[0].counts[0] == (1, 0, 0, 1)


def test_intervals_contain_the_value_and_belong_to_a_seed_and_a_method(make: Make) -> None:
    candidates = make()
    table = answers(candidates)
    first, again, other = (score(candidates, table, method="percentile", seed=seed) for seed in (0, 0, 1))
    assert first.to_json() == again.to_json()
    assert first["overall"].low != other["overall"].low and first["overall"].value == other["overall"].value
    assert all(item.low <= item.value <= item.high for item in first.scores)  # type: ignore[operator]
    assert "bootstrap_seed:0" in first.signature and "bootstrap_seed:1" in other.signature
    bca = score(candidates, table, method="bca")
    assert "ci:bca,0.95" in bca.signature
    assert bca["mse"].low != first["mse"].low and bca["mse"].value == first["mse"].value
    assert [row.f1_low for row in bca.per_class] != [row.f1_low for row in first.per_class]


def test_classes_have_intervals_from_the_draws_of_the_scores(make: Make) -> None:
    candidates = make()
    table = answers(candidates)
    report = score(candidates, table, method="percentile", cluster="none", n_resamples=200)
    reference = candidates.references.values["discrete"]
    prediction = np.array([LABELS.index(x) for x in table["discrete"].to_pylist()])
    weights = np.concatenate(list(poisson_weights("small@1.0|test|0", 60, 200)))
    draws = [
        precision_recall_fscore_support(reference, prediction, sample_weight=row, zero_division=0)[:3]
        for row in weights
    ]
    # Ranks 5 and 196 of 200: 201 * 0.025 rounded down, 201 * 0.975 rounded up.
    low, high = np.sort(draws, axis=0)[[4, 195]]
    for code, row in enumerate(report.per_class):
        # The ends are rounded to 10 decimals.
        assert [row.precision_low, row.recall_low, row.f1_low] == pytest.approx(low[:, code], abs=1e-10)
        assert [row.precision_high, row.recall_high, row.f1_high] == pytest.approx(high[:, code], abs=1e-10)


def test_groups_are_scores_of_their_rows(make: Make) -> None:
    columns = {"place": ["a", "b", None] * 20, "noise.snr_db": [float(i) for i in range(60)]}
    candidates = make(**columns)
    table = answers(candidates)
    report = score(candidates, table, by=["place", "snr_db"])  # the last part of a column's name is enough
    groups = {(group.column, group.value): group for group in report.groups}
    assert [value for column, value in groups if column == "place"] == ["a", "b", "(none)"]
    # 60 numbers 0 … 59 in quarters.
    assert [value for column, value in groups if column == "snr_db"] == ["[0, 15)", "[15, 30)", "[30, 45)", "[45, 59]"]
    prediction = np.array([LABELS.index(x) for x in table["discrete"].to_pylist()])
    chosen = np.arange(60) % 3 == 0
    expected = f1_score(candidates.references.values["discrete"][chosen], prediction[chosen], average="weighted")
    own = next(item for item in groups["place", "a"].scores if item.name == "weighted_f1")
    assert groups["place", "a"].n == 20 and own.value == pytest.approx(expected, abs=1e-12)
    assert own.low is not None and own.low <= expected <= own.high  # type: ignore[operator]
    assert len(report.to_frame()) == 4 * (1 + 7)


@pytest.mark.parametrize("cluster", ["none", "speaker"])
def test_groups_have_intervals_of_the_method_asked_for(cluster: str, make: Make) -> None:
    candidates = make(half=["a", "b"] * 30)
    table = answers(candidates)
    percentile, bca = (
        score(candidates, table, by=["half"], method=method, cluster=cluster).groups for method in ("percentile", "bca")
    )
    for one, other in zip(percentile, bca, strict=True):
        assert [item.value for item in one.scores] == [item.value for item in other.scores]
        assert [item.low for item in one.scores] != [item.low for item in other.scores]


@pytest.mark.parametrize("sizes", [None, [20, 10, 10, 5, 5, 4, 3, 2, 1]])
def test_default_intervals_are_students_on_the_scale_of_the_metric(sizes: list[int] | None, make: Make) -> None:
    speakers = np.arange(60) if sizes is None else np.repeat(np.arange(9), sizes)
    candidates = make(speaker=[f"p{code}" for code in speakers])
    table = answers(candidates)
    report = score(candidates, table, cluster="none" if sizes is None else "speaker", level=0.9)
    reference, valence = (candidates.references.values[name] for name in ("discrete", "valence"))
    prediction = np.array([LABELS.index(x) for x in table["discrete"].to_pylist()])
    squares = (table["valence"].to_numpy() - valence) ** 2

    def values(rows: np.ndarray) -> tuple[float, float, float]:
        f1, mse = f1_score(reference[rows], prediction[rows], average="weighted"), squares[rows].mean()
        return f1, mse, f1 - 0.25 * mse

    plain = np.array(values(speakers >= 0))
    n = int(speakers.max()) + 1
    without = np.array([values(speakers != code) for code in range(n)])
    counts = np.bincount(speakers)
    deviations = without - without.mean(axis=0)
    kurtosis = (deviations**4).sum(axis=0) / (deviations**2).sum(axis=0) ** 2
    of_sizes = (counts**1.5).sum() ** 2 / (counts**3).sum() - 1
    degrees = np.minimum(of_sizes, np.maximum(2 / (kurtosis - 1 / n), 6))
    half = stats.t.ppf(0.95, degrees) * np.sqrt((n - 1) / n * ((without - plain) ** 2).sum(axis=0))
    ends = plain - (n - 1) * (without.mean(axis=0) - plain) + np.array([[-1.0], [1.0]]) * half - plain
    f1, mse, overall = report["weighted_f1"], report["mse"], report["overall"]
    assert (f1.method, mse.method, overall.method) == ("jackknife_t",) * 3
    # Degrees of freedom have three digits.
    expected = expit(logit(plain[0]) + ends[:, 0] / (plain[0] * (1 - plain[0])))
    assert [f1.low, f1.high] == pytest.approx(expected, rel=1e-3)
    assert [mse.low, mse.high] == pytest.approx(plain[1] * np.exp(ends[:, 1] / plain[1]), rel=1e-3)
    # The overall score is at most 1, by its parts: the scale is the logarithm of the distance from 1.
    distance = 1 - plain[2]
    assert [overall.low, overall.high] == pytest.approx(1 - distance * np.exp(-ends[:, 2] / distance), abs=1e-3)


def test_a_warning_where_clusters_are_fewer_or_more_uneven_than_twenty_equal_ones(make: Make) -> None:
    def warned(*sizes: int) -> list[str]:
        candidates = make(n=sum(sizes), speaker=[f"p{code}" for code, size in enumerate(sizes) for _ in range(size)])
        return [str(each) for each in score(candidates, answers(candidates), cluster="speaker").warnings]

    assert warned(*[3] * 20) == []
    assert warned(*[4] * 19) == ["W701  19 clusters of 'speaker', effective number 19: " + FEW]
    # One speaker of 40 samples next to 20 of 2.
    n_equal = (20 * 2**1.5 + 40**1.5) ** 2 / (20 * 2**3 + 40**3)
    assert warned(*[2] * 20, 40) == [f"W701  21 clusters of 'speaker', effective number {n_equal:.3g}: " + FEW]


FEW = "with fewer than 20, intervals are wide, and those of squared errors and correlations may be too narrow"


@pytest.mark.parametrize("index", [1.69, 1.71])
def test_a_warning_where_squared_errors_have_heavy_tails(index: float, make: Make) -> None:
    candidates = make(n=120)
    # Of squared errors (120 / i)^(1 / a) the mean of log(x_i / x_13) over i = 1 … 12 is (log 13 − log(12!) / 12) / a.
    squares = (120 / np.arange(1, 121)) ** (1 / (index * (math.log(13) - math.lgamma(13) / 12)))
    valence = candidates.references.values["valence"] + np.sqrt(squares)
    table = answers(candidates).set_column(2, "valence", pa.array(valence))
    warnings = [str(each) for each in score(candidates, table).warnings]
    message = "W705  valence: a few errors make most of the squared ones (tail index 1.69, below 1.7)"
    assert warnings == ([f"{message}: the intervals of mse(valence) may be too narrow"] if index < 1.7 else [])


def test_a_perfect_answer_and_none_have_exact_intervals(make: Make) -> None:
    candidates = make()
    truth = {"discrete": [LABELS[code] for code in candidates.references.values["discrete"]]}
    wrong = {"discrete": [LABELS[(LABELS.index(label) + 1) % 3] for label in truth["discrete"]]}
    valence = candidates.references.values["valence"]
    right = score(candidates, pa.table({"sample_id": candidates.ids, **truth, "valence": valence}))
    item = right["weighted_f1"]
    # Clopper and Pearson: 60 of 60.
    low = stats.binomtest(60, 60).proportion_ci(0.95, "exact").low
    assert (item.method, item.high) == ("exact", 1) and item.low == pytest.approx(low, abs=1e-10)
    n_happy = int((candidates.references.values["discrete"] == LABELS.index("happy")).sum())
    assert right["f1"].low == pytest.approx(0.025 ** (1 / n_happy), abs=1e-10)
    assert "exact intervals (Clopper & Pearson, 1934), on a bound of the range: weighted_f1" in right.to_text()
    # No bound says how large a squared error might have been.
    assert (right["mse"].low, right["mse"].method, right["overall"].low) == (None, None, None)
    message = "no interval of overall, mse(valence): no resample changes the value, and nothing else shows what other"
    assert f"W706  {message} samples would change" in str(right.warnings[-1])
    none = score(candidates, pa.table({"sample_id": candidates.ids, **wrong, "valence": valence + 1}))
    assert none["weighted_f1"].low == 0 and none["weighted_f1"].high == pytest.approx(1 - low, abs=1e-10)
    assert score(candidates, pa.table({"sample_id": candidates.ids, **truth, "valence": valence}), cluster="speaker")[
        "weighted_f1"
    ].low == pytest.approx(0.025 ** (1 / 12), abs=1e-10)


def test_two_samples_or_one_class_have_intervals_within_the_range(make: Make) -> None:
    candidates = make(n=2, references=np.array([0, 0]))
    report = score(candidates, answers(candidates, wrong=0))
    assert report["weighted_f1"].method == "exact" and report["weighted_f1"].low == round(0.025**0.5, 10)
    mse = report["mse"]
    assert 0 < mse.low < mse.value < mse.high < math.inf  # type: ignore[operator]


def test_a_level_is_named_with_all_of_its_digits(make: Make) -> None:
    candidates = make()
    for level, head in ((0.999, "99.9% interval"), (0.999999999999, "99.9999999999% interval")):
        report = score(candidates, answers(candidates), level=level)
        assert report.interval_head == head and f",{level}|bs:" in report.signature


def test_a_single_sample_or_cluster_says_why_there_are_no_intervals(make: Make) -> None:
    one = make(n=1, references=np.array([0]))
    warnings = [str(each) for each in score(one, answers(one, wrong=0)).warnings]
    assert warnings == ["W706  no intervals: a single sample does not show what others would change"]
    candidates = make(speaker=["p0"] * 60)
    report = score(candidates, answers(candidates), cluster="speaker")
    assert [str(each) for each in report.warnings] == [
        "W706  no intervals: a single cluster of 'speaker' does not show what others would change"
    ]
    assert "intervals: " not in report.interval_note()


def test_a_perfect_answer_on_the_only_bound_of_a_range_has_no_interval(make: Make) -> None:
    # Without p1, the references are all equal: R2 is then 0, and the jackknife has a deviation.
    columns = {"discrete": list(LABELS) * 20, "valence": [0.0] * 30 + [float(i) for i in range(30)]}
    candidates = make(speaker=["p0"] * 30 + ["p1"] * 30)
    path = candidates.track.folder / "track.toml"
    path.write_text(path.read_text().replace('"mse"', '"r2"').replace("-0.25", "0.25"))
    candidates = changed(candidates, **columns)
    report = score(candidates, pa.table({"sample_id": candidates.ids, **columns}), cluster="speaker")
    assert (report["r2"].value, report["r2"].low) == (1, None)
    assert "W706  no interval of overall, r2(valence)" in str(report)


def test_clusters_are_resampled_together(make: Make) -> None:
    candidates = make(dialogue=[f"p{i % 6}" if i < 30 else None for i in range(60)])
    table = answers(candidates)
    report = score(candidates, table, cluster="speaker")
    assert report.uncertainty is not None and report.uncertainty.n_clusters == 12
    assert "cluster:speaker" in report.signature
    assert [warning.code for warning in report.warnings] == ["W701"]
    single = score(candidates, table, cluster="none").uncertainty
    assert single is not None and single.cluster is None


def test_samples_without_a_cluster_are_clusters_of_their_own(make: Make) -> None:
    candidates = make(dialogue=[f"p{i % 6}" if i < 30 else None for i in range(60)])
    uncertainty = score(candidates, answers(candidates), cluster="dialogue").uncertainty
    assert uncertainty is not None and uncertainty.n_clusters == 6 + 30


def test_too_few_samples_or_clusters_have_no_interval(make: Make) -> None:
    candidates = make(part=["few"] * 9 + ["many"] * 51)
    few, many = score(candidates, answers(candidates), by=["part"]).groups
    assert few.scores[0].value is not None and few.scores[0].low is None and many.scores[0].low is not None
    by_speaker = score(candidates, answers(candidates), by=["speaker"], cluster="speaker")
    assert all(item.low is None for group in by_speaker.groups for item in group.scores)
    assert by_speaker["overall"].low is not None
    one = make(n=1, references=np.array([2]))
    report = score(one, pa.table({"sample_id": one.ids, "discrete": ["happy"], "valence": [0.0]}))
    assert report["weighted_f1"].value == 1 and all(item.low is None for item in report.scores)
    assert [row.f1_low for row in report.per_class] == [None, None, None]


def test_references_that_are_not_labels_are_reported(make: Make) -> None:
    candidates = make()
    table = answers(candidates)
    other = changed(candidates, discrete=[1.5] * 60, valence=[1.0] * 60)
    message = r"the references of discrete .* 1\.5; the track declares neutral, angry, happy"
    with pytest.raises(UsageError, match=message):
        score(other, table)


def test_an_unknown_column_names_the_nearest(make: Make) -> None:
    candidates = make()
    with pytest.raises(
        UsageError, match="no column 'speeker' to break down by; it has speaker; did you mean 'speaker'"
    ):
        score(candidates, answers(candidates), by=["speeker"])
    with pytest.raises(UsageError, match="no column 'speakers' to cluster by; it has speaker; did you mean 'speaker'"):
        score(candidates, answers(candidates), cluster="speakers")


def test_columns_that_a_breakdown_cannot_show_are_refused(make: Make) -> None:
    candidates = make(n=201, box=[["a"]] * 201, name=[f"n{i}" for i in range(201)])
    for column, message in (
        ("box", "column 'box' contains list<.*>: a breakdown needs text or numbers"),
        ("name", "column 'name' has 201 different values; a breakdown shows 200"),
    ):
        with pytest.raises(UsageError, match=message):
            score(candidates, answers(candidates), by=column)


def test_a_submission_that_was_read_for_another_track_is_refused(make: Make, tmp_path: Path) -> None:
    candidates = make()
    read = read_submission(answers(candidates), candidates)
    message = "the submission was read for small@1.0, split test; this is toy@1.0, split test"
    with pytest.raises(UsageError, match=message):
        score(write_toy_track(tmp_path / "tracks"), read)


def test_row_order_and_format_change_no_byte(make: Make, tmp_path: Path) -> None:
    candidates = make()
    table = answers(candidates)
    shuffled = table.take(pa.array(np.random.default_rng(3).permutation(60)))
    pq.write_table(shuffled, tmp_path / "x.parquet")
    shuffled.to_pandas().to_csv(tmp_path / "x.csv", index=False)
    sources = (table, shuffled, tmp_path / "x.parquet", tmp_path / "x.csv")
    assert len({score(candidates, source).to_json() for source in sources}) == 1


def test_a_named_track_stays_open_until_a_file_changes(make: Make, tmp_path: Path, monkeypatch: Any) -> None:
    table, folder = answers(make()), tmp_path / "small"
    opened: list[str] = []
    monkeypatch.setattr(aligned, "load_track", lambda folder: opened.append(str(folder)) or load_track(folder))
    first = score(folder, table, intervals=False)
    score(folder, table, intervals=False)
    assert len(opened) == 2  # files this new may change again without showing it
    monkeypatch.setattr(reading, "_CLOCK_STEP_NS", 0)
    assert [score(folder, table, intervals=False).to_json() for _ in range(3)] == [first.to_json()] * 3
    assert len(opened) == 3
    reference = folder / "corpus" / "reference.parquet"
    data = bytearray(reference.read_bytes())
    data[len(data) // 2] ^= 1
    reference.write_bytes(data)
    with pytest.raises(IntegrityError, match="the file changed"):
        score(folder, table, intervals=False)


def test_withheld_references_are_named(make: Make) -> None:
    candidates = make()
    table = answers(candidates)
    withheld = changed(candidates)
    assert len(read_submission(table, withheld).values["discrete"]) == 60
    with pytest.raises(WithheldReference, match="the references of split 'test' of small are withheld"):
        score(withheld, table)


def test_permuted_references_change_no_byte_that_a_participant_sees(make: Make) -> None:
    seen = []
    for references in (np.arange(60) % 3, np.arange(60)[::-1] % 3):
        candidates = make(references=references, hidden=True, scored=30)
        words = {"discrete": ["happy"] * 59 + ["strange"], "note": ["x"] * 60}
        table = pa.table({"sample_id": candidates.ids, **words, "valence": [0.5] * 60})
        other = table.set_column(1, "discrete", pa.array(["angry"] * 60))
        read = read_submission(table, candidates)
        public = score(candidates, table).public()
        valueless = replace(public, scores=tuple(replace(item, value=None) for item in public.scores))
        compared = compare(candidates, {"a": table, "b": other}, n_permutations=100, n_resamples=100).public()
        equal = [replace(row, value_a=0.0, value_b=0.0, difference=0.0) for row in compared.differences]
        different = replace(compared, differences=tuple(equal))
        forms = (different.to_json(), different.to_text(), different.to_markdown(), different.to_html())
        seen.append((read.warnings, read.digest, valueless.to_json(), *forms))
    assert seen[0] == seen[1]


def test_a_public_comparison_of_a_hidden_split_shows_the_differences_of_what_score_shows(make: Make) -> None:
    candidates = make(hidden=True, scored=30)
    tables = {"a": answers(candidates), "b": answers(candidates, seed=3)}
    compared = compare(candidates, tables, n_permutations=100, n_resamples=100)
    public = compared.public()
    reports = {name: public_score(read_submission(table, candidates)) for name, table in tables.items()}
    assert public.signature == reports["a"].signature == reports["b"].signature
    for row in public.differences:
        shown = [reports[name][row.key].value or 0.0 for name in "ab"]
        assert [row.value_a, row.value_b] == shown
        assert row.difference == pytest.approx(shown[0] - shown[1], abs=1e-12)
        assert (row.low, row.high, row.p, row.p_holm) == (None,) * 4
    assert "permutation" not in public.to_text() and "interval" not in public.to_text()
    assert "organizers only" in compared.to_text()
    assert "organizers only" not in public.to_text()
    assert compare(make(), tables, n_permutations=100).public().uncertainty is not None
    few = compare(make(hidden=True, scored=6), tables, n_permutations=100)
    assert few.exact and few.public() == replace(few.public(), exact=False, n_permutations=100)


def test_an_error_of_a_hidden_split_does_not_quote_its_references(make: Make) -> None:
    candidates = make(hidden=True)
    huge = answers(candidates).set_column(2, "valence", pa.array([1e200] * 60))
    with pytest.raises(UndefinedMetric, match="on these 60 references"):
        score(candidates, huge)
    with pytest.raises(UndefinedMetric) as caught:
        public_score(read_submission(huge, candidates))
    assert str(caught.value) == "no value for these predictions; a hidden split does not show why"


def test_the_public_view_of_a_hidden_split_shows_nothing_of_the_references(make: Make) -> None:
    candidates = make(hidden=True, scored=30)
    report = score(candidates, answers(candidates), by=["speaker"])
    public = report.public()
    assert report.counts["scored"] == 30 and "|n:30|" in report.signature
    assert not {"scored", "out_of_vocabulary"} & set(public.counts)
    assert "|n:60|" in public.signature and "|n:30" not in public.signature
    assert (public.per_class, public.groups, public.confusions, public.uncertainty) == ((), (), (), None)
    assert all(item.low is None for item in public.scores)
    # Many decimals over many submissions would show references one by one: only what is displayed is released.
    assert [item.value for item in public.scores] == [round(item.value or 0, 4) for item in report.scores]


def test_a_metric_without_a_value_is_an_error_that_names_it(make: Make) -> None:
    candidates = make()
    toml = candidates.track.folder / "track.toml"  # type: ignore[operator]
    toml.write_text(toml.read_text().replace('name = "mse"', 'name = "r2"').replace("-0.25", "0.25"))
    other = changed(candidates, discrete=["happy"] * 60, valence=[1.0] * 60)
    with pytest.raises(UndefinedMetric, match=r"r2\(valence\) has no value on these 60 references: "):
        score(other, pa.table({"sample_id": candidates.ids, "discrete": ["happy"] * 60, "valence": [0.0] * 60}))


def test_a_comparison_has_paired_differences_p_values_and_holm(make: Make) -> None:
    candidates = make(n=200)
    good, bad = answers(candidates, seed=5, wrong=0.1), answers(candidates, seed=6, wrong=0.7)
    comparison = compare(candidates, {"good": good, "bad": bad, "same": good}, n_permutations=999)
    rows = {(row.a, row.b, row.name): row for row in comparison.differences}
    better = rows["good", "bad", "weighted_f1"]
    expected = score(candidates, good)["weighted_f1"].value - score(candidates, bad)["weighted_f1"].value
    assert better.difference == pytest.approx(expected, abs=1e-12)
    assert better.p == 1 / 1000 and better.low > 0
    # Of three pairs, the two different ones have p = 0.001 and the equal one 1: Holm gives 3 * 0.001, 2 * 0.001 (raised
    # to 0.003) and 1.
    assert better.p_holm == pytest.approx(0.003, abs=1e-12)
    equal = rows["good", "same", "weighted_f1"]
    assert (equal.difference, equal.low, equal.high, equal.p, equal.p_holm) == (0, None, None, 1, 1)


@pytest.mark.parametrize("cluster", [None, "speaker"])
def test_one_pass_for_all_pairs_gives_what_each_pair_gives(
    cluster: str | None, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = make()
    systems = {name: answers(candidates, seed) for seed, name in enumerate("abcd")}
    together = compare(candidates, systems, n_permutations=300, n_resamples=100, cluster=cluster)
    monkeypatch.setattr(Metric, "sums_only", property(lambda metric: False), raising=False)
    assert compare(candidates, systems, n_permutations=300, n_resamples=100, cluster=cluster) == together


@pytest.mark.parametrize("cluster", [None, "speaker"])
def test_the_interval_of_a_difference_is_that_of_students_t(cluster: str | None, make: Make) -> None:
    speakers = np.array([0] * 30 + [1] * 10 + [2] * 10 + [3] * 10)
    candidates = make(speaker=[f"p{code}" for code in speakers])
    good, bad = answers(candidates, seed=5, wrong=0.1), answers(candidates, seed=6, wrong=0.7)
    comparison = compare(candidates, {"good": good, "bad": bad}, cluster=cluster, n_permutations=100)
    row = next(row for row in comparison.differences if row.name == "mse")
    truth = candidates.references.values["valence"]
    gaps = (good["valence"].to_numpy() - truth) ** 2 - (bad["valence"].to_numpy() - truth) ** 2
    clusters = None if cluster is None else speakers
    blocks = poisson_weights("small@1.0|test|0", 60, 1_000, clusters=clusters)
    weights = np.concatenate([spread(block) for block in blocks]).astype(float)
    with np.errstate(invalid="ignore"):
        deviation = np.nanstd(weights @ gaps / weights.sum(axis=1), ddof=1)
    # 60 samples, or (30^1.5 + 3 · 10^1.5)² / (30³ + 3 · 10³) effective clusters.
    n_effective = 60 if cluster is None else (30**1.5 + 3 * 10**1.5) ** 2 / 30_000
    half = stats.t.ppf(0.975, n_effective - 1) * deviation
    # Draws are taken to 21 binary digits of the largest deviation.
    assert [row.low, row.high] == pytest.approx([row.difference - half, row.difference + half], rel=1e-5)
    assert "|ci:t,0.95|" in comparison.signature and comparison.uncertainty.method == "t"


def test_a_warning_where_no_p_can_be_small_enough(make: Make) -> None:
    def codes(*systems: int, n_clusters: int | None, n_permutations: int = 10_000) -> list[str]:
        cluster = None if n_clusters is None else "group"
        candidates = make(group=[f"g{i % (n_clusters or 1)}" for i in range(60)])
        tables = {f"s{seed}": answers(candidates, seed) for seed in systems}
        warnings = compare(candidates, tables, cluster=cluster, n_permutations=n_permutations, n_resamples=100).warnings
        return [str(warning) for warning in warnings if warning.code == "W711"]

    # The smallest p of m clusters is 2 / 2^m: 0.0625 of five, 0.03125 of six, and three times as much of three pairs.
    assert codes(1, 2, n_clusters=5) == [
        "W711  5 clusters of 'group': no p can be below 0.062: no difference can be significant"
    ]
    assert not codes(1, 2, n_clusters=6)
    (three,) = codes(1, 2, 3, n_clusters=6)
    assert "below 0.031, nor an adjusted one of 3 pairs below 0.094: no difference" in three
    # The smallest p of 100 permutations is 1 / 101, and of ten pairs ten times as much; ten of 201 are below 0.05.
    (ten,) = codes(*range(5), n_clusters=None, n_permutations=100)
    assert ten.endswith("below 0.099: no difference can be significant; 200 permutations are enough")
    assert not codes(*range(5), n_clusters=None, n_permutations=200)


def test_one_cluster_has_no_interval_and_two_equal_systems_no_difference(make: Make) -> None:
    candidates = make(group=["all"] * 60)
    table = answers(candidates)
    comparison = compare(candidates, {"a": table, "b": answers(candidates, 7), "c": table}, cluster="group")
    assert {(row.low, row.high, row.p) for row in comparison.differences} == {(None, None, 1.0)}
    assert comparison.exact and "two-sided, all permutations" in comparison.to_text()
    assert [warning.code for warning in comparison.warnings] == ["W706", "W711"]


def test_the_interval_of_a_difference_is_within_the_range_or_explained(make: Make) -> None:
    candidates = make(references=np.repeat([0, 1], 30))
    path = candidates.track.folder / "track.toml"
    path.write_text(
        path.read_text().replace('"weighted_f1"\ntarget', '"cohen_kappa"\ntarget').replace('", "weighted_f1', "")
    )
    candidates = open_candidates(load_track(path.parent))
    truth = candidates.references.values
    systems = {
        name: pa.table(
            {"sample_id": candidates.ids, "discrete": [LABELS[code] for code in codes], "valence": truth["valence"]}
        )
        for name, codes in {"right": truth["discrete"], "wrong": 1 - truth["discrete"]}.items()
    }
    comparison = compare(candidates, systems, n_permutations=100)
    [kappa] = [row for row in comparison.differences if row.name == "cohen_kappa"]
    # From 1 to -1 at most.
    assert kappa.difference == kappa.high == 2 and 1 < kappa.low < 2  # type: ignore[operator]
    assert [row.name for row in comparison.differences if row.low is None] == ["mse", "f1"]
    message = "W706  no interval of differences of mse, f1 (right - wrong): no resample changes them"
    assert message in str(comparison)


@pytest.mark.parametrize(("seed", "tied"), [(34, True), (2727, False)])
def test_a_warning_where_the_difference_depends_on_the_size_of_a_cluster(seed: int, tied: bool, make: Make) -> None:
    sizes = np.arange(1, 21)
    speakers = np.repeat(np.arange(20), sizes)
    candidates = make(n=210, speaker=[f"p{code:02}" for code in speakers])
    truth = candidates.references.values["valence"]
    error = np.random.default_rng(seed).integers(0, 40, 20) / 10
    # In one case the mean difference of a speaker goes with the number of samples, in the other only its sum.
    means = error**2 - (error**2)[speakers].mean()
    both = [stats.spearmanr(sizes, each).pvalue < 0.05 for each in (means, means * sizes)]
    assert both == [tied, not tied]
    discrete = pa.array([LABELS[code] for code in candidates.references.values["discrete"]])
    a = pa.table({"sample_id": candidates.ids, "discrete": discrete, "valence": truth})
    b = pa.table({"sample_id": candidates.ids, "discrete": discrete, "valence": truth + error[speakers]})
    warnings = compare(candidates, {"a": a, "b": b}, cluster="speaker", n_permutations=1_000).warnings
    expected = "the difference depends on the number of samples of a cluster of 'speaker' in 1 of 1 significant "
    lines = [warning.message for warning in warnings if warning.code == "W712"]
    assert len(lines) == (2 if tied else 0)
    assert all(expected in line and line.endswith("(a - b): p may be too small") for line in lines)


def test_a_metric_that_needs_the_weights_themselves_is_compared_pair_by_pair(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METRICS, "_items", dict(METRICS._items))

    @register(target="continuous", higher_is_better=False, bounds=(0, np.inf), formula="")
    def largest_error(reference: Any, prediction: Any, weights: Any) -> Any:
        return np.max(np.abs(prediction - reference) * (weights > 0), axis=1)

    path = make().track.folder / "track.toml"
    path.write_text(path.read_text() + '\n[[metrics]]\nname = "largest_error"\ntarget = "valence"\n')
    candidates = open_candidates(load_track(path.parent))
    good = answers(candidates)
    bad = good.set_column(2, "valence", pc.add(good["valence"], 100.0))
    rows = compare(candidates, {"good": good, "bad": bad}, n_permutations=99, n_resamples=100).differences
    # An exchange leaves errors of 100 on both sides, so no permutation has as large a difference: (0 + 1) / (99 + 1).
    assert [row.p for row in rows if row.name.startswith("largest_error")] == [0.01]


def test_of_many_systems_tables_show_the_best_against_each(make: Make) -> None:
    candidates = make()
    systems = {f"s{seed:02}": answers(candidates, seed) for seed in range(11)}
    comparison = compare(candidates, systems, n_permutations=100, n_resamples=100)
    assert len(comparison.differences) == 4 * 55
    waf, mse = comparison.tables()[2:4]  # after those of the systems and of the overall score
    assert waf.title == "weighted_f1 (higher is better), the best against each: 10 of 55 pairs"
    values = {name: score(candidates, table, intervals=False) for name, table in systems.items()}
    best = max(values, key=lambda name: values[name]["weighted_f1"].value)
    assert all(best in row[:2] for row in waf.rows) and len(waf.rows) == 10
    assert abs(float(waf.rows[0][4])) <= abs(float(waf.rows[-1][4]))
    lowest = min(values, key=lambda name: values[name]["mse"].value)
    assert all(lowest in row[:2] for row in mse.rows)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a/submission.csv", "runs/b/submission.csv"], ["a", "b"]),
        (["runs/a/x.csv", "runs/b/y.csv"], ["a/x.csv", "b/y.csv"]),
        (["x.csv", "y.csv"], ["x.csv", "y.csv"]),
        (["runs/x.csv", "x.csv"], ["runs/x.csv", "x.csv"]),
    ],
)
def test_files_are_named_by_the_part_that_differs(paths: list[str], names: list[str]) -> None:
    assert list(named_sources(paths)) == names
    assert list(named_sources(paths, ["ours", "theirs"])) == ["ours", "theirs"]


@pytest.mark.parametrize(
    ("sources", "names", "message"),
    [
        (["x.csv", "x.csv"], None, "duplicate: x.csv"),
        (["x.csv", "y.csv"], ["ours"], "1 name for 2 files: give one for each"),
        (["x.csv", "y.csv"], ["ours", "ours"], "two systems are named ours"),
        (["x.csv", "y.csv"], ["ours", " "], "' ' is not the name of a system: it needs a visible character, and no"),
        (["x.csv", "y.csv"], ["ours", "a\x1b[2J"], "'a\\x1b[2J' is not the name of a system: "),
        ("a.csv", None, "a comparison takes a list of submissions, or a mapping of them by name, not only 'a.csv'"),
        (pa.table({}), None, "a comparison takes a list of submissions, or a mapping of them by name, not only a Table"),
    ],
)  # fmt: skip
def test_sources_and_names_that_do_not_fit_are_refused(sources: Any, names: list[str] | None, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        named_sources(sources, names)


def test_a_comparison_needs_two_submissions(make: Make) -> None:
    candidates = make()
    with pytest.raises(UsageError, match="a comparison needs two submissions or more, not 1"):
        compare(candidates, {"one": answers(candidates)})


MANY_LABELS = """
import sys
from pathlib import Path
import pyarrow as pa
from made_corpus import made_corpus
from peak_memory import peak_bytes
from merbench.corpus.candidates import open_candidates
from merbench.scoring import compare, score
from merbench.track import load_track

folder = Path(sys.argv[1]) / "many"
labels, ids = [f"l{i:04}" for i in range(5000)], [f"s{i:05}" for i in range(21_000)]
made_corpus(
    folder / "corpus", name="many",
    samples=pa.table({"sample_id": ids, "split": ["test"] * 21_000}),
    reference=pa.table({"sample_id": ids, "emotion": labels[:600] * 35}),
)
(folder / "track.toml").write_text(
    f'''
id = "many"
version = "1.0"
title = "Many"
corpus = "./corpus"
splits = {{ test = "test" }}
ranking.by = ["accuracy"]
metrics = [{{ name = "accuracy", target = "emotion" }}, {{ name = "macro_f1", target = "emotion" }}]
targets.emotion = {{ type = "categorical", labels = {labels} }}
'''
)
candidates = open_candidates(load_track(folder))
given = pa.table({"sample_id": ids, "emotion": [labels[i if i % 3 else 4000 + i] for i in range(600)] * 35})
(folder / "report.json").write_text(score(candidates, given, n_resamples=200).to_json())
compare(candidates, {"a": given, "b": given}, n_permutations=300, n_resamples=100)
print(peak_bytes())
"""


@pytest.mark.slow
def test_a_vocabulary_of_thousands_is_scored_in_little_memory(tmp_path: Path) -> None:
    # Counts of 5,000 x 5,001 pairs take 200 MB, and for every resample 200 GB; 15,000 counts of every one of 42,000 rows
    # take 5 GB. Memory has one peak for each process.
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", MANY_LABELS, str(tmp_path)]
    peak = int(subprocess.check_output(command, env={**os.environ, **paths}, text=True))
    assert peak < 1e9
    text = (tmp_path / "many" / "report.json").read_text(encoding="utf-8")
    report = ScoreReport.from_json(text)
    assert len(text) < 3e6 and report.to_json() == text
    # Of 600 labels with 35 references each, 400 are always right; the F1 of these labels is 1, of all others 0.
    assert [item.value for item in report.scores] == pytest.approx([2 / 3, 400 / 5000], abs=1e-15)
    assert report.confusions[0].cells[:2] == ((0, 4000, 35), (1, 1, 35)) and len(report.confusions[0].cells) == 600
    classes, confusions, _ = report.tables()[1:]  # the last one is of the worst samples
    assert classes.title == "emotion, per class, the 100 of 5,000 labels with the most references"
    assert confusions.title == "emotion, the 100 most frequent of 200 confusions"
    assert confusions.rows[0] == ("l0000", "l4000", "35")


def test_a_stored_report_is_read_back(make: Make) -> None:
    candidates = make()
    report = score(candidates, answers(candidates), by=["speaker"])
    text = report.to_json()
    assert ScoreReport.from_json(text) == report and ScoreReport.from_json(text).to_json() == text
    comparison = compare(candidates, [answers(candidates), answers(candidates, 3)], n_permutations=100)
    assert Comparison.from_json(comparison.to_json()) == comparison
    with pytest.raises(UsageError, match=r"not a report of the form merbench\.comparison/1"):
        Comparison.from_json(text)
    content = json.loads(text)
    # More labels than are written with all counts today.
    labels = [f"l{i}" for i in range(150)]
    counts = [[int(row == column) * (row + 1) for column in range(151)] for row in range(150)]
    content["confusions"] = [{"target": "discrete", "labels": labels, "counts": counts}]
    confusion = ScoreReport.from_json(json.dumps(content)).confusions[0]
    assert confusion.counts == tuple(map(tuple, counts)) and confusion.cells[1] == (1, 1, 2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scores.0.value", "0.5", "scores.0.value: Input should be a valid number"),
        ("scores.0.value", math.nan, ""),
        ("scores.0.extra", 1, "scores.0.extra: Unexpected keyword argument"),
        ("scores", [], "no scores"),
        ("counts", {}, "the number of candidates is missing"),
        ("decimals", 400, "0 to 10 are allowed, not 400"),
        ("confusions.0.counts", [[1] * 9] * 3, "confusions.0: Value error, a cell outside the 3 labels of 'discrete'"),
        ("confusions.0.counts", 3, "not iterable"),
        ("uncertainty.cluster", "speaker", "the number of clusters is missing"),
        ("groups.0.scores", [], "a group without the scores of the others"),
        ("warnings", [{"code": "W701"}], "warnings.0.message: Field required"),
        ("schema", "merbench.report/2", "schema"),
    ],
)
def test_a_stored_report_that_could_not_be_shown_is_refused(key: str, value: Any, message: str, make: Make) -> None:
    candidates = make(half=["a", "b"] * 30)
    content = json.loads(score(candidates, answers(candidates), by=["half"]).to_json())
    *path, last = (int(part) if part.isdigit() else part for part in key.split("."))
    place = content
    for part in path:
        place = place[part]
    place[last] = value
    with pytest.raises(UsageError, match=rf"not a report of the form merbench\.report/1: .*{re.escape(message)}"):
        ScoreReport.from_json(json.dumps(content))


@pytest.mark.parametrize("beyond", [1e-6, 0.5])
def test_a_metric_that_leaves_its_bounds_is_an_error(beyond: float, make: Make) -> None:
    spec = make().track.metrics[0]  # weighted F1, from 0 to 1
    assert evaluation.checked(spec, np.array([1 + 1e-12]), 1).tolist() == [1 + 1e-12]
    for value in (1 + beyond, -beyond):
        with pytest.raises(UsageError, match=r"outside its declared bounds \[0, 1\]"):
            evaluation.checked(spec, np.array([0.5, value]), 2)
    with pytest.raises(UsageError, match=r"returned int64 of shape \(1,\); a metric returns float64 of shape \(2,\)"):
        evaluation.checked(spec, np.array([1]), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "x"}, "level is a number, not 'x'"),
        ({"cluster": ["speaker"]}, "cluster is the name of one column, or 'none', not ['speaker']"),
        ({"method": 1}, "method is the name of a method, not 1"),
        ({"seed": -1}, "seed is a whole number from 0 on, not -1"),
        ({"seed": 1.5}, "seed is a whole number from 0 on, not 1.5"),
        ({"seed": True}, "seed is a whole number from 0 on, not True"),
        ({"n_resamples": "many"}, "n_resamples is a whole number from 0 on, not 'many'"),
    ],
)
def test_arguments_of_another_type_are_reported(arguments: dict[str, Any], message: str, make: Make) -> None:
    candidates = make()
    table = answers(candidates)
    with pytest.raises(UsageError) as caught:
        score(candidates, table, intervals=False, **arguments)
    assert str(caught.value) == message
    if "method" not in arguments:
        with pytest.raises(UsageError) as caught:
            compare(candidates, {"a": table, "b": table}, **arguments)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "bcb"},
            "no interval method 'bcb'; allowed: default, jackknife_t, bca_t, bca, percentile; did you mean 'bca'?",
        ),
        ({"level": 0.5}, "the level of an interval is between 0.5 and 1, not 0.5"),
        ({"n_resamples": 99}, "the number of resamples is between 100 and 1,000,000, not 99"),
    ],
)
def test_what_is_not_allowed_for_intervals_is_refused_where_there_are_any(
    arguments: dict[str, Any], message: str, make: Make
) -> None:
    candidates = make()
    table = answers(candidates)
    with pytest.raises(UsageError, match=re.escape(message)):
        score(candidates, table, **arguments)
    assert score(candidates, table, intervals=False, **arguments).uncertainty is None


def test_numbers_of_numpy_and_a_single_column_are_accepted(make: Make) -> None:
    candidates = make()
    table = answers(candidates)
    given: dict[str, Any] = {"seed": np.int64(3), "n_resamples": np.int32(200), "level": np.float64(0.9)}
    report = score(candidates, table, by="speaker", **given)
    assert report.to_json() == score(candidates, table, by=["speaker"], seed=3, n_resamples=200, level=0.9).to_json()
    assert len(report.groups) == 12


def test_a_track_may_be_named_everywhere(make: Make, tmp_path: Path) -> None:
    candidates = make()
    table, folder = answers(candidates), tmp_path / "small"
    assert open_candidates(folder, "test").ids.equals(candidates.ids)
    assert read_submission(table, str(folder)).digest == read_submission(table, candidates).digest
    with pytest.raises(UsageError) as caught:
        open_candidates(7)  # type: ignore[arg-type]
    assert str(caught.value) == "a track is named by text or by the path of its folder, not by 7"


def test_reports_print_as_tables_and_show_as_html(make: Make) -> None:
    candidates = make()
    table = answers(candidates)
    report = score(candidates, table, intervals=False)
    comparison = compare(candidates, {"a": table, "b": table}, n_permutations=100, n_resamples=100)
    assert repr(report) == f"<ScoreReport small@1.0, split test: overall {report.scores[0].value:.4f}>"
    assert repr(comparison) == "<Comparison small@1.0, split test: a, b>"
    for each in (report, comparison):
        assert str(each) == each.to_text()
        assert "<table" in each._repr_html_() and "http:" not in each.to_html()
    assert report.to_frame()["key"].iloc[0] == "overall" and len(comparison.to_frame()) == 4
    assert "| metric | target | value | weight | better |\n|---|---|---:|---:|---:|\n" in report.to_markdown()
    assert "|---|---|---:|---:|" in comparison.to_markdown()


SCRIPT = """
import sys
from merbench.scoring import compare, score
from merbench.corpus.candidates import open_candidates
from merbench.track import load_track
candidates = open_candidates(load_track(sys.argv[1]))
sys.stdout.write(score(candidates, sys.argv[2], cluster="speaker", by=["speaker"], method="bca").to_json())
sys.stdout.write(compare(candidates, sys.argv[2:], n_permutations=500).to_json())
"""


@pytest.mark.slow
def test_the_same_bytes_on_every_kernel_and_thread_count(make: Make, tmp_path: Path) -> None:
    candidates = make(n=500)
    for name, seed in (("a.csv", 5), ("b.csv", 6)):
        answers(candidates, seed=seed).to_pandas().to_csv(tmp_path / name, index=False)
    environments = [
        {},
        {"OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_CORETYPE": "Nehalem", "PYTHONHASHSEED": "7", "OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX"},
    ]
    arguments = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(candidates.track.folder), "a.csv", "b.csv"]
    outputs = {
        subprocess.run(arguments, cwd=tmp_path, env={**os.environ, **extra}, check=True, capture_output=True).stdout
        for extra in environments
    }
    assert len(outputs) == 1 and len(outputs.pop()) > 1000


EXPECTED = Path("golden") / "mer2023" / "expected.json"


@pytest.mark.real_data
@pytest.mark.checks(FORMULAS, of="mer2023-{name}")
@pytest.mark.parametrize("letter", "abc")
@pytest.mark.parametrize("name", ["multi", "noise", "semi"])
def test_the_released_scorer_is_reproduced(
    name: str, letter: str, test_data: Path, tmp_path_factory: pytest.TempPathFactory, mer2023: Path
) -> None:
    expected = json.loads((test_data / EXPECTED).read_text())[f"{name}-{letter}"]
    track = load_track(f"mer2023-{name}")
    report = score(track, test_data / "golden" / "mer2023" / f"{name}-{letter}.csv", intervals=False)
    assert report.counts["scored"] == expected["n"]
    for metric in ("weighted_f1", "mse", "overall", "accuracy", "macro_f1"):
        if metric in expected:
            assert report[metric].value == pytest.approx(expected[metric], abs=1e-12)


@pytest.fixture(scope="session")
def mer2023(test_data: Path, data_home: Path) -> Path:
    """Return the data home with the released MER 2023 files imported."""
    IMPORTERS["mer2023"](test_data / "data" / "mer2023" / "release", CORPORA.home / "mer2023", replace=True)
    return data_home
