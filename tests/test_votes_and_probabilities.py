"""Calibration of submitted probabilities, the target of votes, and what one annotator reaches, from files to reports."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss

from merbench.cli import run
from merbench.corpus import Feature
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import DeclarationError, InvalidSubmission, UsageError
from merbench.intervals import distance_interval
from merbench.report import ScoreReport
from merbench.resampling import poisson_weights
from merbench.scoring import compare, score
from merbench.submission import read_submission
from merbench.track import load_track
from merbench.training import RunSettings, ensemble, run_baseline

LABELS = ("angry", "happy", "sad")
CATEGORICAL = """
ranking.by = ["accuracy"]
metrics = [{ name = "accuracy", target = "e" }, { name = "weighted_f1", target = "e" }]
targets.e = { type = "categorical", labels = ["angry", "happy", "sad"] }
"""
VOTED = CATEGORICAL.replace('"sad"] }', '"sad"], votes = ["v_angry", "v_happy", "v_sad"] }')
DISTRIBUTION = """
ranking.by = ["cross_entropy"]
metrics = [
  { name = "cross_entropy", target = "v" },
  { name = "jensen_shannon_divergence", target = "v" },
  { name = "majority_agreement", target = "v" },
  { name = "brier_score", target = "v" },
]
targets.v = { type = "distribution", labels = ["angry", "happy", "sad"] }
"""

Make = Callable[..., Candidates]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes a track with its corpus and opens the candidates."""

    def make(toml: str, hidden: bool = False, split: str = "test", **reference: Any) -> Candidates:
        folder, n = tmp_path / "mine", len(next(iter(reference.values())))
        ids = pa.array([f"s{i:04d}" for i in range(n)])
        splits = ["train", "test"] * (n // 2) if split == "train" else ["test"] * n
        samples = pa.table({"sample_id": ids, "split": splits, "speaker": [f"p{i % 4}" for i in range(n)]})
        values = np.eye(3)[np.arange(n) % 3] + np.arange(n)[:, None] % 2
        features = {"x": Feature(ids, values.astype(np.float32))}
        made_corpus(folder / "corpus", name="mine", samples=samples, reference=pa.table({"sample_id": ids, **reference}), features=features, replace=True)  # fmt: skip
        declared = f'train = "train", test = {{ source = "test", hidden = {str(hidden).lower()} }}'
        head = f'id = "mine"\nversion = "1.0"\ntitle = "Mine"\ncorpus = "./corpus"\nsplits = {{ {declared} }}\n'
        (folder / "track.toml").write_text(head + toml, encoding="utf-8")
        return open_candidates(load_track(folder), split)

    return make


def columns(prefix: str, table: Any) -> dict[str, Any]:
    return {f"{prefix}_{label}": column for label, column in zip(LABELS, np.asarray(table).T, strict=True)}


def submitted(candidates: Candidates, prefix: str, table: Any, **others: Any) -> pa.Table:
    return pa.table({"sample_id": candidates.ids, **others, **columns(prefix, table)})


def random_case(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of references, and probabilities that are right more often than not."""
    rng = np.random.default_rng(8)
    codes = rng.integers(0, 3, n)
    scores = np.exp(rng.normal(0, 1, (n, 3)) + 1.5 * np.eye(3)[codes])
    return codes, scores / scores.sum(axis=1, keepdims=True)


def problems(candidates: Candidates, table: pa.Table) -> list[str]:
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, candidates)
    return [str(problem) for problem in caught.value.problems]


def test_probabilities_bring_calibration(make: Make) -> None:
    codes, scores = random_case()
    candidates = make(CATEGORICAL, e=[LABELS[code] for code in codes])
    report = score(candidates, submitted(candidates, "p", scores))
    [calibration] = report.calibration
    assert (calibration.target, calibration.n) == ("e", 90)
    by_name = {item.name: item for item in calibration.scores}
    assert list(by_name) == ["brier_score", "log_loss", "expected_calibration_error"]
    assert by_name["log_loss"].value == pytest.approx(log_loss(codes, scores), abs=1e-12)
    for item in calibration.scores:
        assert item.low is not None and item.low <= item.value <= item.high and not item.higher_is_better
    top, right = scores.max(axis=1), scores.argmax(axis=1) == codes
    for place in calibration.bins:
        inside = (top > place.low) & (top <= place.high)
        assert place.n == inside.sum()
        assert place.mean_probability == pytest.approx(top[inside].mean(), abs=1e-12)
        assert place.share_right == pytest.approx(right[inside].mean(), abs=1e-12)
        if place.n < 10:
            assert place.share_low is None
        elif place.share_right == 1:
            assert place.share_low == pytest.approx(0.025 ** (1 / place.n), abs=1e-10)  # rounded to 10 decimals
        else:
            assert place.share_low < place.share_right < place.share_high
    assert sum(place.n for place in calibration.bins) == 90
    assert ScoreReport.from_json(report.to_json()) == report
    labels = pa.table({"sample_id": candidates.ids, "e": [LABELS[code] for code in scores.argmax(axis=1)]})
    without = score(candidates, labels)
    assert without.calibration == () and without.scores == report.scores


def test_calibration_has_the_intervals_of_the_same_metrics_declared(make: Make) -> None:
    codes, scores = random_case()
    references = [LABELS[code] for code in codes]
    table = submitted(candidates := make(CATEGORICAL, e=references), "p", scores)
    undeclared = {
        item.key: (item.value, item.low, item.high) for item in score(candidates, table).calibration[0].scores
    }
    toml = CATEGORICAL.replace("metrics = [", "metrics = [" + "".join(f'{{ name = "{key.split("(")[0]}", target = "e" }}, ' for key in undeclared))  # fmt: skip
    declared = score(make(toml, e=references), table)
    assert {item.key: (item.value, item.low, item.high) for item in declared.scores[:3]} == undeclared
    assert declared.calibration[0].scores[0].value == declared.scores[0].value


def test_bins_are_those_that_a_track_declares(make: Make) -> None:
    codes, scores = random_case()
    extra = '{ name = "expected_calibration_error", target = "e", bins = 4, binning = "equal_count" }, '
    candidates = make(CATEGORICAL.replace("metrics = [", f"metrics = [{extra}"), e=[LABELS[code] for code in codes])
    report = score(candidates, submitted(candidates, "p", scores))
    assert [place.n for place in report.calibration[0].bins] == [23, 22, 23, 22]  # 90 · m / 4, rounded up
    gaps = [place.n / 90 * abs(place.share_right - place.mean_probability) for place in report.calibration[0].bins]
    assert report["expected_calibration_error"].value == pytest.approx(sum(gaps), abs=1e-12)
    # One within the speakers has bins of its own.
    extra = extra.replace(" }", ', per = "speaker" }')
    within = CATEGORICAL.replace("metrics = [", f"metrics = [{extra}")
    candidates = make(within, e=[LABELS[code] for code in codes])
    assert len(score(candidates, submitted(candidates, "p", scores)).calibration[0].bins) > 4


def test_a_calibration_error_has_an_interval_of_its_own_or_none(make: Make) -> None:
    codes, scores = random_case()
    toml = """
ranking.by = ["overall"]
metrics = [
  { name = "expected_calibration_error", target = "e", weight = -1.0 },
  { name = "expected_calibration_error", target = "e", bins = 3 },
]
targets.e = { type = "categorical", labels = ["angry", "happy", "sad"] }
"""
    candidates = make(toml, e=[LABELS[code] for code in codes])
    table = submitted(candidates, "p", scores)
    methods = [item.method for item in score(candidates, table, method="percentile").scores]
    assert methods == [None, "distance", None]  # of a sum with it, and with other bins, there is none
    assert score(candidates, table).scores[1] == score(candidates, table, method="percentile").scores[1]
    report = score(candidates, table)
    assert report.uncertainty.methods == ("distance",)
    none = (
        "no interval of overall, expected_calibration_error(e,binning=equal_width,bins=3): of calibration errors only"
    )
    assert [str(each).partition(" the first")[0] for each in report.warnings] == [f"W706  {none}"]
    assert report.interval_note().startswith("95% intervals: distance from 1,000 Poisson resamples of samples")


@pytest.mark.parametrize("kind", ["uniform", "certain", "all right", "two samples", "one class"])
def test_probabilities_without_information(make: Make, kind: str) -> None:
    n = 2 if kind == "two samples" else 60
    codes = np.zeros(n, dtype=int) if kind == "one class" else np.arange(n) % 3
    scores = (
        np.full((n, 3), 1 / 3)
        if kind in ("uniform", "two samples")
        else np.eye(3)[codes if kind == "all right" else 0 * codes]
    )
    candidates = make(CATEGORICAL, e=[LABELS[code] for code in codes])
    report = score(candidates, submitted(candidates, "p", scores))
    [calibration], [place] = report.calibration, report.calibration[0].bins
    brier, _, error = (item.value for item in calibration.scores)
    # Uniform: (2/3)² + 2 (1/3)² = 2/3, and each label right with 1/3. Certain, a third right: 2 for each wrong one.
    expected = {"uniform": (2 / 3, 0), "two samples": (2 / 3, 0), "certain": (4 / 3, 2 / 3)}.get(kind, (0, 0))
    assert (brier, error) == pytest.approx(expected, abs=1e-12)
    assert place.n == n and place.share_right == pytest.approx(
        1 - expected[1] if kind != "uniform" and n > 2 else 1 / 3
    )
    impossible = [str(warning) for warning in report.warnings if warning.code == "W722"]
    assert impossible == (
        [
            "W722  e: the right label of 40 of 60 samples has a probability below 1e-15, which counts as 1e-15 in the log loss"
        ]
        if kind == "certain"
        else []
    )
    assert "nan" not in report.to_json().lower()
    unsure = [str(warning) for warning in report.warnings if warning.code == "W706"]
    assert len(unsure) == int(any(item.low is None for item in (*report.scores, *calibration.scores)))
    assert (
        kind != "uniform"
        or "W706  no interval of brier_score(e), cross_entropy(e,epsilon=1e-15), expected" in unsure[0]
    )


def test_a_bin_without_an_error_is_worth_its_samples_or_its_speakers(make: Make) -> None:
    codes = np.arange(60) % 3
    candidates = make(CATEGORICAL, e=[LABELS[code] for code in codes])
    table = submitted(candidates, "p", np.eye(3)[codes])
    for cluster, n in (("none", 60), ("speaker", 4)):  # Clopper and Pearson: n of n
        [place] = score(candidates, table, cluster=cluster).calibration[0].bins
        low = binomtest(n, n).proportion_ci(0.95, "exact").low
        assert (place.share_low, place.share_high) == (pytest.approx(low, abs=1e-10), 1)


def test_a_bin_of_ten_samples_has_an_interval_and_one_of_nine_has_none(make: Make) -> None:
    # Nine samples in the bin from 0.67 to 0.73, and ten in that from 0.87 to 0.93, all of which are wrong.
    candidates = make(CATEGORICAL, e=["angry", "sad", "happy"] * 3 + ["happy"] * 10)
    report = score(candidates, submitted(candidates, "p", [[0.7, 0.1, 0.2]] * 9 + [[0.9, 0.05, 0.05]] * 10))
    nine, ten = report.calibration[0].bins
    assert (nine.n, nine.share_low, nine.share_high) == (9, None, None)
    high = binomtest(0, 10).proportion_ci(0.95, "exact").high
    assert (ten.n, ten.share_low, ten.share_high) == (10, 0, pytest.approx(high, abs=1e-10))
    assert "W722" not in {warning.code for warning in report.warnings}  # a probability of 0.05 is not 0


def test_samples_without_probabilities_are_left_out_of_calibration(make: Make) -> None:
    codes, scores = random_case(30)
    toml = CATEGORICAL + 'submission.missing_ids = "wrong"\n'
    candidates = make(toml, e=[LABELS[code] for code in codes])
    report = score(candidates, submitted(candidates, "p", scores).slice(10))
    assert report.counts["scored"] == 30
    assert report.calibration[0].n == 20
    assert report.calibration[0].scores[1].value == pytest.approx(log_loss(codes[10:], scores[10:]), abs=1e-12)
    # And so are their weights in every resample.
    weights = np.concatenate(list(poisson_weights("mine@1.0|test|0", 30, 1000)))[:, 10:].astype(float)
    losses = -np.log(scores[np.arange(30), codes])[10:]
    draws = np.sort(weights @ losses / weights.sum(axis=1))
    item = score(candidates, submitted(candidates, "p", scores).slice(10), method="percentile").calibration[0].scores[1]
    assert [item.low, item.high] == pytest.approx([draws[24], draws[975]], abs=1e-9)
    # Where no scored sample has any, there is no calibration.
    candidates = make(toml, e=[None] * 10 + [LABELS[code] for code in codes[10:]])
    assert score(candidates, submitted(candidates, "p", scores).slice(0, 10)).calibration == ()


BRIER = CATEGORICAL.replace("metrics = [", 'metrics = [{ name = "brier_score", target = "e", weight = -1.0 }, ')


def test_a_metric_of_probabilities_needs_them(make: Make) -> None:
    codes, scores = random_case(30)
    candidates = make(BRIER, e=[LABELS[code] for code in codes])
    labels = pa.table({"sample_id": candidates.ids, "e": [LABELS[code] for code in codes]})
    assert problems(candidates, labels) == [
        "E202  e: the columns of its probabilities are missing: p_angry, p_happy, p_sad; brier_score needs them"
    ]
    other = submitted(candidates, "p", np.roll(scores, 1, axis=1))
    report = score(candidates, table := submitted(candidates, "p", scores))
    expected = np.mean(((scores - np.eye(3)[codes]) ** 2).sum(axis=1))
    assert report.overall.value == pytest.approx(-expected, abs=1e-12)
    difference = compare(candidates, {"a": table, "b": other}, n_permutations=99).differences[0]
    assert difference.p == 0.01 and difference.difference > 0


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (BRIER + 'submission.missing_ids = "wrong"', "a missing answer has no probabilities"),
        (
            CATEGORICAL + 'targets.p = { type = "distribution", labels = ["sad", "calm"] }',
            "targets.p: its columns p_sad are those of the probabilities of 'e'; rename it",
        ),
        (BRIER + 'targets.f = { type = "categorical", labels = ["sad", "calm"] }', "'e' and 'f' share labels"),
        (DISTRIBUTION.replace('"cross_entropy", target', '"accuracy", target'), "'v' is distribution; allowed: brier"),
        (DISTRIBUTION.replace('"sad"] }', '"sad"], votes = ["a", "b"] }'), "votes: names 2 columns; 3 are needed"),
    ],
)
def test_declarations_that_contradict_themselves(make: Make, toml: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        make(toml, e=["sad"], v_angry=[1])


def by_every_annotator(votes: np.ndarray) -> tuple[list[int], list[int], list[float]]:
    """Return references, answers and weights of every annotator against each of the most frequent labels of the others."""
    rows = []
    for row in votes.astype(int):
        everyone = [label for label, n in enumerate(row) for _ in range(n)]
        for place, answer in enumerate(everyone):
            others = everyone[:place] + everyone[place + 1 :]
            counts = [others.count(label) for label in range(len(row))]
            most = [label for label, n in enumerate(counts) if others and n == max(counts)]
            rows += [(label, answer, 1 / len(everyone) / len(most)) for label in most]
    return tuple(map(list, zip(*rows, strict=True)))


VOTES = np.array([[3, 1, 0], [2, 2, 0], [0, 1, 4], [1, 1, 1], [0, 0, 2], [1, 0, 0]] * 5)
"""Of the last of every six samples there is a single vote, which nothing can be compared with."""


def test_one_annotator_is_compared_with_the_others(make: Make) -> None:
    candidates = make(VOTED, e=[LABELS[code] for code in VOTES.argmax(axis=1)], **columns("v", VOTES))
    table = pa.table({"sample_id": candidates.ids, "e": ["sad"] * 30})
    report = score(candidates, table)
    accuracy, f1 = report.ceilings
    reference, answer, weights = by_every_annotator(VOTES)
    # By hand, of the first six: (3/4 · 1 + 0) + 0 + (4/5 + 0) + 0 + 1, of five samples.
    assert accuracy.value == pytest.approx((3 / 4 + 4 / 5 + 1) / 5, abs=1e-12)
    assert accuracy.value == pytest.approx(accuracy_score(reference, answer, sample_weight=weights), abs=1e-12)
    assert f1.value == pytest.approx(f1_score(reference, answer, sample_weight=weights, average="weighted"), abs=1e-12)
    assert [item.key for item in report.ceilings] == ["accuracy(e)", "weighted_f1(e)"]
    assert {(item.name, item.n) for item in report.ceilings} == {("one annotator", 25)}
    assert all(item.low < item.value < item.high for item in report.ceilings)
    other = score(candidates, table.set_column(1, "e", pa.array(["angry"] * 30)))
    assert other.ceilings == report.ceilings  # they depend on references and draws only
    with_brier = VOTED.replace("metrics = [", 'metrics = [{ name = "brier_score", target = "e" }, ')
    candidates = make(with_brier, e=["sad"] * 30, **columns("v", VOTES))  # the reference of probabilities is the label
    scored = score(candidates, submitted(candidates, "p", random_case(30)[1]))
    assert scored.ceilings == report.ceilings


def test_ceilings_of_shares_and_of_the_overall_score(make: Make) -> None:
    toml = DISTRIBUTION.replace(
        '"majority_agreement", target = "v"', '"majority_agreement", target = "v", weight = 2.0'
    )
    candidates = make(toml.replace('["cross_entropy"]', '["overall"]'), **columns("v", VOTES))
    report = score(candidates, submitted(candidates, "v", VOTES / VOTES.sum(axis=1, keepdims=True)))
    ceilings = {item.key: item.value for item in report.ceilings}
    assert list(ceilings) == ["overall", "jensen_shannon_divergence(v)", "majority_agreement(v)", "brier_score(v)"]
    reference, answer, weights = by_every_annotator(VOTES)
    agreement = accuracy_score(reference, answer, sample_weight=weights)
    assert (ceilings["overall"], ceilings["majority_agreement(v)"]) == pytest.approx(
        (2 * agreement, agreement), abs=1e-12
    )
    distances = []
    for row in VOTES[VOTES.sum(axis=1) > 1]:
        parts = [(n, (row - (np.arange(3) == label)) / (row.sum() - 1), label) for label, n in enumerate(row) if n]
        distances.append(sum(n * ((shares - np.eye(3)[label]) ** 2).sum() for n, shares, label in parts) / row.sum())
    assert ceilings["brier_score(v)"] == pytest.approx(np.mean(distances), abs=1e-12)
    assert report.scores[1].value == pytest.approx(report["cross_entropy"].value, abs=0)


@pytest.mark.parametrize("votes", [np.eye(3), [[0.5, 0.25, 0.25]] * 3], ids=["one vote", "shares"])
@pytest.mark.parametrize("toml", [DISTRIBUTION, VOTED], ids=["distribution", "categorical"])
def test_one_vote_or_shares_without_counts_have_no_ceiling(make: Make, votes: Any, toml: str) -> None:
    candidates = make(toml, e=list(LABELS), **columns("v", votes))
    if toml == VOTED and np.asarray(votes).max() < 1:
        with pytest.raises(UsageError, match="votes are not all whole numbers of annotators"):
            _ = candidates.references
        return
    answers = submitted(candidates, "v" if toml == DISTRIBUTION else "p", np.full((3, 3), 1 / 3))
    assert score(candidates, answers).ceilings == ()


def test_a_hidden_split_shows_neither_calibration_nor_ceilings(make: Make) -> None:
    seen = []
    for shift in (0, 1):
        codes = (np.arange(30) + shift) % 3
        references = {"e": [LABELS[code] for code in codes], **columns("v", np.roll(VOTES, shift, axis=1))}
        candidates = make(VOTED, hidden=True, **references)
        scores = random_case(30)[1]
        report = score(candidates, submitted(candidates, "p", scores))
        assert report.calibration and not report.ceilings  # the organizers' view, and that has no ceilings either
        public = report.public()
        assert public.calibration == public.ceilings == ()
        seen.append(replace(public, scores=tuple(replace(item, value=None) for item in public.scores)).to_json())
    assert seen[0] == seen[1]


def test_votes_bring_calibration(make: Make) -> None:
    # Of the sure answers four votes in five are for the label; of the others two in five.
    votes, answers = [[4, 1, 0], [2, 3, 0]] * 20, [[0.9, 0.1, 0.0], [0.4, 0.3, 0.3]] * 20
    toml = DISTRIBUTION.replace("]\ntargets", '  { name = "expected_calibration_error", target = "v" },\n]\ntargets')
    candidates = make(toml, **columns("v", votes))
    report = score(candidates, submitted(candidates, "v", answers))
    [calibration] = report.calibration
    assert [(place.n, place.share_right) for place in calibration.bins] == [
        (20, pytest.approx(0.4)),
        (20, pytest.approx(0.8)),
    ]
    assert [item.name for item in calibration.scores] == ["brier_score", "cross_entropy", "expected_calibration_error"]
    error = report["expected_calibration_error"]
    # (0 + 0.1) / 2
    assert error.value == pytest.approx(0.05, abs=1e-12) and error.method == calibration.scores[-1].method == "distance"
    assert error.low == calibration.scores[-1].low
    assert report.interval_note().count("distance") == 1


def test_votes_that_sum_to_0_are_no_reference(make: Make) -> None:
    candidates = make(DISTRIBUTION, **columns("v", [[2, 1, 0], [0, 0, 0], [0, 3, 3]]))
    report = score(candidates, submitted(candidates, "v", [[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]]), intervals=False)
    assert report.counts["scored"] == 2
    assert [str(warning) for warning in report.warnings] == [
        "W721  v: the votes of 1 of 3 samples sum to 0; they are not scored: s0001",
        "W722  v: a label with votes of 1 of 2 samples has a probability below 1e-15, which counts as 1e-15 in the "
        "cross-entropy",
    ]
    # −2/3 log 1 − 1/3 log 1e-15, and log 2.
    assert report["cross_entropy"].value == pytest.approx((np.log(1e15) / 3 + np.log(2)) / 2, abs=1e-12)


def test_votes_that_all_sum_to_0_are_not_called_withheld(make: Make) -> None:
    candidates = make(DISTRIBUTION, **columns("v", np.zeros((2, 3), dtype=int)))
    with pytest.raises(
        UsageError, match=r"^corpus 'mine': v: the votes of 2 of 2 samples sum to 0; they are not scored: s0000, s0001"
    ):
        _ = candidates.references


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([[2, -1, 0], [1, 1, 1]], "the references of v: 1 of 2 samples have votes below 0: -1"),
        ([[2, None, 0], [1, 1, 1]], "1 of 2 samples have votes for some labels and no number for happy; write 0"),
        # 1e308 twice is beyond float64; 9007199254740994 is 2^53 + 2.
        ([[1e308, 1e308, 0.0], [1.0, 1.0, 1.0]], r"1 of 2 samples have more than 9,007,199,254,740,992 votes: 1e\+308"),
        ([[9007199254740994, 0, 0], [10**18, 0, 0]], "2 of 2 samples have more than 9,007,199,254,740,992 votes: 9.0"),
    ],
)
def test_votes_that_are_not_votes(make: Make, votes: list[list[int | None]], message: str) -> None:
    table = {f"v_{label}": [row[i] for row in votes] for i, label in enumerate(LABELS)}
    with pytest.raises(UsageError, match=message):
        _ = make(DISTRIBUTION, **table).references


@pytest.mark.filterwarnings("error")
def test_probabilities_whose_sum_is_beyond_float64(make: Make) -> None:
    candidates = make(DISTRIBUTION, **columns("v", [[1, 0, 0]]))
    found = problems(candidates, submitted(candidates, "v", [[1e308, 1e308, 0]]))
    assert found[0].startswith("E209") and "1e+308" in found[0]


def test_a_distribution_is_read_and_described(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    candidates = make(DISTRIBUTION, **columns("v", [[2, 1, 0], [0, 3, 3]]))
    read = read_submission(submitted(candidates, "v", [[0.5, 0.25, 0.2501], [0, 0, 1]]), candidates)
    assert read.values["v"].sum(axis=1) == pytest.approx([1, 1], abs=1e-15)  # divided by their sum
    assert problems(candidates, submitted(candidates, "v", [[0.5, 0.25, 0.2], [0, -1, 1]])) == [
        "E209  v_happy: row 2: '-1' is not a probability in [0, 1]",
        "E209  v: row 1: the probabilities sum to 0.95; they must sum to 1 within 0.001",
    ]
    counts = problems(candidates, submitted(candidates, "v", [[2, 1, 0], [0, 3, 3]]))
    assert counts[0] == (
        "E209  v_angry: row 1: '2' is not a probability in [0, 1]; divide counts by the sum of their row"
    )
    table = submitted(candidates, "v", [[1, 0, 0], [0, 1, 0]])
    table = table.rename_columns([name.replace("v_", "p_") for name in table.column_names])
    assert "; if it is 'p_happy': --rename p_happy=v_happy" in problems(candidates, table)[1]
    assert run(["describe", str(candidates.track.folder)]) == 0
    out = capsys.readouterr().out
    assert "v: the shares of votes for angry, happy, sad, which sum to 1" in out
    assert "  sample_id,v_angry,v_happy,v_sad\n  s0000,1.0,0.0,0.0" in out


def test_init_proposes_one_target_for_columns_of_votes(make: Make, tmp_path: Path) -> None:
    make(DISTRIBUTION, **columns("v", [[2, 1, 0], [0, 3, 3]]))
    assert run(["init", str(tmp_path / "drafted"), "--corpus", str(tmp_path / "mine" / "corpus")]) == 0
    text = (tmp_path / "drafted" / "track.toml").read_text(encoding="utf-8")
    assert '# [targets.v]\n# type = "distribution"\n# labels = ["angry", "happy", "sad"]\n' in text
    assert "hold whole numbers. Where they are the votes of annotators for labels,\n# take these lines instead" in text


@pytest.mark.parametrize("name", ["majority", "logistic", pytest.param("attention", marks=pytest.mark.slow)])
def test_a_baseline_learns_shares(make: Make, tmp_path: Path, name: str) -> None:
    votes = np.array([[4, 1, 0], [0, 4, 1], [1, 0, 4]] * 20)
    candidates = make(DISTRIBUTION, split="train", **columns("v", votes))
    options = {"attention": {"epochs": 3}, "logistic": {"scale": "each", "C": 0.5, "alpha": 1.0}}.get(name, {})
    done = run_baseline(candidates.track, name, RunSettings(options=options, seeds=[0], intervals=False, learning={"folds": 3}), output=tmp_path / "run")  # fmt: skip
    with (tmp_path / "run" / "submission.csv").open(encoding="utf-8", newline="") as file:
        rows = [[float(row[f"v_{label}"]) for label in LABELS] for row in csv.DictReader(file)]
    assert np.sum(rows, axis=1) == pytest.approx(np.ones(30), abs=1e-12)
    shares = votes[::2] / 5
    if name == "majority":
        np.testing.assert_allclose(rows, np.tile(shares.mean(axis=0), (30, 1)), atol=1e-12)
    if name == "logistic":  # every vote as a sample of its own
        x = np.eye(3)[np.arange(60) % 3] + np.arange(60)[:, None] % 2
        train = (x[::2] - x[::2].mean(axis=0)) / x[::2].std(axis=0)
        repeated = [
            (row, label) for row, counts in enumerate(votes[::2]) for label, n in enumerate(counts) for _ in range(n)
        ]
        places, labels = map(list, zip(*repeated, strict=True))
        model = LogisticRegression(C=0.1, max_iter=5000).fit(train[places], labels)
        test = (x[1::2] - x[::2].mean(axis=0)) / x[::2].std(axis=0)
        np.testing.assert_allclose(rows, model.predict_proba(test), atol=1e-4)  # two solutions of an optimiser
    assert done.report is not None and np.isfinite(done.report["cross_entropy"].value)


def test_runs_of_a_distribution_are_averaged(make: Make, tmp_path: Path) -> None:
    candidates = make(DISTRIBUTION, **columns("v", [[2, 1, 0], [0, 3, 3]]))
    for name, table in {"a": [[1, 0, 0], [0, 1, 0]], "b": [[0, 0, 1], [0, 1, 0]]}.items():
        frame = submitted(candidates, "v", np.array(table, dtype=float)).to_pandas()
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    runs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    done = ensemble(candidates.track, runs, weights=[3, 1], output=tmp_path / "both", intervals=False)
    read = read_submission(done.folder / "submission.csv", candidates)
    assert read.values["v"].tolist() == [[0.75, 0, 0.25], [0, 1, 0]]


@pytest.mark.slow
def test_the_interval_of_a_calibration_error_covers_where_percentiles_fail() -> None:
    # Perfectly calibrated: the true value is 0. Of 200 simulations with 95 % coverage, 178 or more cover in 999 of 1,000
    # cases; a percentile interval covers in none.
    rng, bins, n = np.random.default_rng(2), 10, 300
    covered = 0
    for _ in range(200):
        top = rng.uniform(0.2, 1, n)
        gaps, place = (rng.random(n) < top) - top, (top * bins).astype(int)
        indicators = np.eye(bins)[place] * gaps[:, None]
        weights = rng.poisson(1, (400, n))
        draws = (weights @ indicators / weights.sum(axis=1, keepdims=True)).T
        covered += distance_interval(draws, indicators.mean(axis=0), 0.95).low <= 0
    assert covered >= 178


@pytest.mark.real_data
def test_the_votes_of_crema_d(test_data: Path, make: Make) -> None:
    """Single annotators, drawn in plain loops, against what the report shows; and the known share of right answers."""
    with (test_data / "data" / "features" / "cremad_votes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    codes = "ADFHNS"
    votes = np.array([[int(row[f"av_votes_{code}"]) for code in codes] for row in rows])
    heard = np.array(
        [[int(row[f"{kind}_votes_{code}"]) for kind in ("voice", "face") for code in codes] for row in rows]
    )
    folds, emotions = np.array([row["fold"] for row in rows]), np.array([row["emotion"] for row in rows])
    names = ["angry", "disgust", "fear", "happy", "neutral", "sad"]
    toml = f"""
ranking.by = ["weighted_f1"]
metrics = [
  {{ name = "accuracy", target = "e" }}, {{ name = "weighted_f1", target = "e" }},
  {{ name = "majority_agreement", target = "v" }}, {{ name = "jensen_shannon_divergence", target = "v" }},
]
targets.e = {{ type = "categorical", labels = {names}, votes = {[f"v_{name}" for name in names]} }}
targets.v = {{ type = "distribution", labels = {names} }}
""".replace("'", '"')
    candidates = make(toml, e=emotions, **{f"v_{name}": votes[:, i] for i, name in enumerate(names)})
    shares = np.zeros(votes.shape)
    for fold in np.unique(folds):
        train = folds != fold
        mean, deviation = heard[train].mean(axis=0), heard[train].std(axis=0)
        model = LogisticRegression(C=1.0, max_iter=5000).fit((heard[train] - mean) / deviation, emotions[train])
        shares[~train] = model.predict_proba((heard[~train] - mean) / deviation)
    table = {f"{prefix}_{name}": shares[:, i] for prefix in "pv" for i, name in enumerate(names)}
    report = score(candidates, pa.table({"sample_id": candidates.ids, **table}))
    assert report["accuracy"].value == pytest.approx(0.780, abs=5e-4)  # as published with the data
    reference, answer, weights = by_every_annotator(votes)
    expected = accuracy_score(reference, answer, sample_weight=weights)
    ceilings = {item.key: item.value for item in report.ceilings}
    assert ceilings["accuracy(e)"] == pytest.approx(expected, abs=1e-12)
    assert ceilings["majority_agreement(v)"] == pytest.approx(expected, abs=1e-12)
    f1 = f1_score(reference, answer, sample_weight=weights, average="weighted")
    assert ceilings["weighted_f1(e)"] == pytest.approx(f1, abs=1e-12)
    assert len(report.calibration[0].bins) == 12
