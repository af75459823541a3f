"""The difference that a test set can show, against formulas, `compare` and merbench's own permutation test."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus
from scipy import optimize, stats

from merbench.cli import run
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import PolicyError, UndefinedMetric, UsageError, WithheldReference
from merbench.metrics.lists import Lists
from merbench.report import Power
from merbench.resampling import n_swaps, uniforms
from merbench.scoring import compare, power_of, resampling_of
from merbench.scoring.evaluation import plain_values
from merbench.scoring.power import Design, Pilot, Simulation, smallest_difference
from merbench.scoring.uncertainty import permuted_differences
from merbench.significance import n_as_large, permutation_p
from merbench.submission import read_submission
from merbench.targets import declared_target
from merbench.track import load_track

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

[targets.valence]
type = "continuous"

[[metrics]]
name = "weighted_f1"
target = "discrete"
weight = 1.0

[[metrics]]
name = "mse"
target = "valence"
weight = -0.1

[[metrics]]
name = "accuracy"
target = "discrete"

[[metrics]]
name = "pcc"
target = "valence"

[ranking]
by = ["overall"]
"""

LABELS = ("neutral", "angry", "happy")
Make = Callable[..., Candidates]
Z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)

# The deviation comes from 4,000 resamples of 10,000 samples: 1.5 % is about one standard error, all told.
ROUGH = 0.05


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes a track and its corpus and opens the candidates."""

    def make(n: int = 300, hidden: bool = False, valence: Any = None, classes: int = 3, **columns: Any) -> Candidates:
        folder, rng = tmp_path / "small", np.random.default_rng(1)
        ids = [f"s{i:04d}" for i in range(n)]
        samples = {"sample_id": ids, "split": ["test"] * n, "speaker": [f"p{i % 20}" for i in range(n)], **columns}
        reference = {
            "sample_id": ids,
            "discrete": [LABELS[code] for code in rng.choice(classes, n, p=[0.6, 0.3, 0.1] if classes == 3 else None)],
            "valence": rng.normal(0, 2, n) if valence is None else valence,
        }
        made_corpus(
            folder / "corpus", name="small", samples=pa.table(samples), reference=pa.table(reference), replace=True
        )
        split = '{ source = "test", hidden = true }' if hidden else '"test"'
        (folder / "track.toml").write_text(TRACK.replace("{split}", split))
        return open_candidates(load_track(folder))

    return make


def answers(candidates: Candidates, seed: int, wrong: float = 0.4) -> pa.Table:
    """Return a submission that is right but for a share of random answers."""
    rng, references = np.random.default_rng(seed), candidates.references.values
    n = len(candidates)
    codes = np.where(rng.random(n) < wrong, rng.integers(0, 3, n), references["discrete"])
    labels = [LABELS[code] for code in codes]
    return pa.table(
        {"sample_id": candidates.ids, "discrete": labels, "valence": references["valence"] + rng.normal(0, 1, n)}
    )


def smallest(report: Power, name: str = "this split") -> float | None:
    """Return the smallest difference of a size."""
    return next(row.difference for row in report.rows if row.name == name)


@pytest.mark.parametrize(("n", "discordant"), [(400, 0.2), (60, 0.3)])
def test_of_a_rate_it_is_that_of_mcnemars_test(n: int, discordant: float) -> None:
    # Connor, 1987: (d − 1/n) √n = t(.975) √ψ + t(.8) √(ψ − d²), for the share ψ of discordant pairs.
    at_level, at_power = stats.t.ppf([0.975, 0.8], n - 1)
    expected = optimize.brentq(
        lambda d: (
            (d - 1 / n) * math.sqrt(n) - at_level * math.sqrt(discordant) - at_power * math.sqrt(discordant - d * d)
        ),
        0.01,
        discordant,
    )
    pilot = Pilot(0.6, (), math.sqrt(discordant), None)
    assert smallest_difference(pilot, Design(n, None, 1.0), 0.95, 0.8, is_rate=True) == pytest.approx(
        expected, abs=1e-9
    )


def test_an_agreement_is_the_share_of_concordant_answers(make: Make) -> None:
    report = power_of(make(), metric="accuracy", score=0.7, agreement=0.75)
    # n · d² is about Z² · ψ, for ψ = 1 − 0.75, and half a step of two samples is lost.
    assert smallest(report) - 1 / 300 == pytest.approx(Z * math.sqrt(0.25 / 300), rel=ROUGH)
    assert report.agreements[0].value == pytest.approx(0.75, abs=1e-3) and not report.agreements[0].is_correlation
    assert (report.score, report.assumed) == (0.7, ())


def test_of_squared_errors_it_is_that_of_normal_ones(make: Make) -> None:
    # Numbers of correlation q with the references: e = (q − 1) z + √(1 − q²) u, of variance v = 2 (1 − q), in units of
    # the references' variance s²; two systems' errors covary by c = (1 − q)² + (A − q²) for answers that correlate by A.
    # Normal errors: var(e² − e'²) = 4 (v² − c²).
    candidates = make(valence=2 * stats.norm.ppf((np.arange(300) + 0.5) / 300))
    s2, correlation = candidates.references.values["valence"].var(), 0.7
    quality = 1 - 1.6 / (2 * s2)
    variance, covariance = 2 * (1 - quality), (1 - quality) ** 2 + correlation - quality**2
    expected = Z * s2 * math.sqrt(4 * (variance**2 - covariance**2) / 300)
    report = power_of(candidates, metric="mse", score=1.6, agreement=correlation)
    assert smallest(report) == pytest.approx(expected, rel=ROUGH)
    assert "answers for valence correlate by 0.70" in report.to_text()


def test_of_correlations_it_is_that_of_dependent_ones(make: Make) -> None:
    # Olkin & Siotani, 1964: n var(r) = (1 − r²)²; n cov = ½ (2A − r²)(1 − A² − 2 r²) + A³.
    r, agreement = 0.6, 0.6
    covariance = (2 * agreement - r**2) * (1 - agreement**2 - 2 * r**2) / 2 + agreement**3
    expected = Z * math.sqrt(2 * ((1 - r**2) ** 2 - covariance) / 300)
    report = power_of(make(hidden=True), metric="pcc", score=r, agreement=agreement)
    assert smallest(report) == pytest.approx(expected, rel=ROUGH)


@pytest.mark.parametrize("cluster", [None, "speaker"])
def test_a_pilot_of_two_runs_agrees_with_their_comparison(cluster: str | None, make: Make) -> None:
    # Half of the speakers suit one of the systems; 20 speakers of 15 samples.
    candidates = make()
    systems = {"a": answers(candidates, 2, 0.3), "b": answers(candidates, 3, 0.4)}
    report = power_of(candidates, metric="mse", runs=systems, cluster=cluster)
    compared = compare(candidates, systems, n_resamples=4_000, cluster=cluster, n_permutations=100)
    row = next(row for row in compared.differences if row.name == "mse")
    degrees = 299 if cluster is None else 19
    at_level, at_power = stats.t.ppf([0.975, 0.8], degrees)
    error = (row.high - row.low) / 2 / at_level
    # No fewer than no variance is between clusters; then clusters cost only degrees of freedom.
    independent = compare(candidates, systems, n_resamples=4_000, n_permutations=100)
    plain = next(row for row in independent.differences if row.name == "mse")
    error = max(error, (plain.high - plain.low) / 2 / stats.t.ppf(0.975, 299))
    assert smallest(report) == pytest.approx((at_level + at_power) * error, rel=1e-8)
    assert report.score == pytest.approx((row.value_a + row.value_b) / 2, abs=1e-10)
    assert report.scores == pytest.approx((row.value_a, row.value_b), abs=1e-10)
    assert report.runs == ("a", "b") and report.assumed == ()
    digests = [read_submission(table, candidates).digest[:8] for table in systems.values()]
    assert f"|run:{digests[0]}|run:{digests[1]}|" in report.signature
    assert f"|corpus:{candidates.corpus.name}#{candidates.corpus.digest[:8]}|" in report.signature


def test_clusters_that_differ_less_than_their_samples_have_no_intraclass_correlation(make: Make) -> None:
    candidates = make(group=[f"g{i // 2}" for i in range(300)])
    truth, table = candidates.references.values["valence"], answers(candidates, 2)
    # Of both samples of a cluster, one has an error of about 1 and the other none.
    errors = np.arange(300) % 2 + np.random.default_rng(1).normal(0, 0.1, 300)
    right, wrong = (table.set_column(2, "valence", pa.array(truth + each)) for each in (0 * errors, errors))
    report = power_of(candidates, metric="mse", cluster="group", runs={"a": right, "b": wrong})
    assert report.intraclass == 0


def test_a_pilot_has_samples_of_the_whole_split(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = make()
    for n, expected in ((100, [*range(0, 300, 3)]), (400, [*range(300), *range(100)])):
        monkeypatch.setattr("merbench.scoring.power.N_PILOT", n)
        assert Simulation(candidates, candidates.track.metrics[0].key, "test").rows.tolist() == expected


def test_a_constant_system_has_no_correlation_and_says_so_in_every_form(make: Make) -> None:
    candidates = make()
    constant = answers(candidates, 3).set_column(2, "valence", pa.array(np.zeros(300)))
    report = power_of(candidates, runs={"a": answers(candidates, 2), "b": constant})
    assert [each.value is None for each in report.agreements] == [False, True]
    assert Power.from_json(report.to_json()) == report
    for text in (report.to_text(), report.to_markdown(), report.to_html(), report.to_latex()):
        assert "the correlation of answers for valence is not defined" in text and "nan" not in text
    # The constant system is far worse: nothing says how two systems of its score differ.
    assert "the two runs differ by more than this split shows" in report.to_text()


def test_the_signature_has_what_is_asked_of_the_systems(make: Make) -> None:
    candidates = make()
    asked = power_of(candidates, metric="accuracy", score=0.8, agreement=0.85).signature
    assert "|score:0.8|agreement:0.85|cluster:none|seed:0|merbench:" in asked
    assert asked != power_of(candidates, metric="accuracy").signature


def test_perfect_systems_never_differ(make: Make) -> None:
    with pytest.raises(UndefinedMetric, match="overall: systems of this score make no errors"):
        power_of(make(), score=1.0)


def test_other_sizes_and_clusters(make: Make) -> None:
    pilot = Pilot(0.6, (), 0.5, 0.1)
    # 20 clusters of 15: √((1 + 14 · 0.1) / 300) · 0.5, and Student's t at 19 degrees.
    expected = sum(stats.t.ppf([0.975, 0.8], 19)) * 0.5 * math.sqrt(2.4 / 300)
    assert smallest_difference(pilot, Design(300, 20, 1.0), 0.95, 0.8, False) == pytest.approx(expected, abs=1e-9)
    # A rate of clusters has no steps of whole samples.
    assert smallest_difference(pilot, Design(300, 20, 1.0), 0.95, 0.8, True) == pytest.approx(expected, abs=1e-9)
    # Two systems that differ on 0.15² of the samples have no rate that differs by more: 0.04 would be needed.
    rare = replace(pilot, deviation=0.15)
    assert smallest_difference(rare, Design(300, 20, 1.0), 0.95, 0.8, True) is None
    assert smallest_difference(rare, Design(300, 20, 1.0), 0.95, 0.8, False) == pytest.approx(0.3 * expected, abs=1e-9)
    # Of such sizes that a sample's cluster has 30 samples on average: 1 + 29 · 0.1.
    expected *= math.sqrt(3.9 / 2.4)
    assert smallest_difference(pilot, Design(300, 20, 2.0), 0.95, 0.8, False) == pytest.approx(expected, abs=1e-9)
    # Sizes 30 and 10, half of 20 clusters each: Σn² / n = (10 · 900 + 10 · 100) / 400 = 25, in place of 20.
    unequal = make(n=400, group=[f"g{i % 10}" if i < 300 else f"h{i % 10}" for i in range(400)])
    report = power_of(unequal, metric="pcc", cluster="group", n_clusters=10)
    assert [(row.n_samples, row.n_clusters) for row in report.rows] == [
        (400, 20),
        (800, 40),
        (1600, 80),
        (3200, 160),
        (200, 10),
    ]
    ratio = sum(stats.t.ppf([0.975, 0.8], 9)) / sum(stats.t.ppf([0.975, 0.8], 19)) * math.sqrt(2)
    assert smallest(report, "as asked") / smallest(report) == pytest.approx(ratio, rel=1e-6)
    alone = smallest(power_of(unequal, metric="pcc", cluster="none"))
    ratio = sum(stats.t.ppf([0.975, 0.8], 19)) / sum(stats.t.ppf([0.975, 0.8], 399)) * math.sqrt(1 + 24 * 0.1)
    assert smallest(report) / alone == pytest.approx(ratio, rel=1e-6)
    assert report.assumed == ("score", "agreement", "intraclass correlation") and report.intraclass == 0.1
    assert [row.n_samples for row in power_of(make(), metric="pcc", n_samples=77).rows][-1] == 77
    one_by_one = power_of(unequal, metric="pcc", cluster="group", n_samples=9, n_clusters=9)
    assert one_by_one.rows[-1].n_clusters == 9


def test_a_test_set_that_shows_nothing(make: Make) -> None:
    # Of 5 clusters no p is below 2 / 2^5 = 0.0625, of 6 it is 0.031; a single cluster has no degrees of freedom.
    five, six, one = ([f"g{i % m}" for i in range(300)] for m in (5, 6, 1))
    candidates = make(five=five, six=six, one=one)
    shown = [smallest(power_of(candidates, metric="pcc", cluster=name)) for name in ("five", "six", "one")]
    assert shown[0] is None and shown[1] is not None and shown[2] is None
    few = power_of(make(n=2), metric="accuracy")
    assert smallest(few) is None
    assert "–: too few samples or clusters for any difference to show" in few.to_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "wf1"}, "small@1.0 has no metric 'wf1'; it has overall, weighted_f1, mse, accuracy, pcc"),
        ({"metric": "accuracy", "score": 0.01}, "accuracy.*: not 0.01; simulated systems reach 0.4.* to 1"),
        (
            {"metric": "accuracy", "agreement": 0.1},
            "agreement of two such systems: not 0.1; simulated systems reach 0.6.* to 1",
        ),
        ({"metric": "accuracy", "score": 0.9, "agreement": 0.1}, "agreement of two systems of score 0.9: not 0.1;"),
        ({"agreement": 1.0}, "agreement: 1 is not below 1, where two systems never differ"),
        ({"cluster": "speaker", "n_samples": 3}, "3 samples would be less than two clusters: give --clusters"),
        ({"power": 1.0}, "power is a probability above 0.5 and below 1, not 1"),
        ({"power": 0.5}, "power is a probability above 0.5 and below 1, not 0.5"),
        ({"n_samples": 1}, "samples: at least 2 are needed, not 1"),
        ({"n_clusters": 9}, "a number of clusters needs the column that they are of: cluster, --cluster COLUMN"),
        ({"n_clusters": 9, "n_samples": 8, "cluster": "speaker"}, "8 samples cannot have 9 clusters"),
        ({"runs": ["x.csv", "y.csv"], "score": 0.5}, "two runs have their own score and agreement"),
    ],
)
def test_arguments_that_are_not_allowed(arguments: dict[str, Any], message: str, make: Make) -> None:
    with pytest.raises(UsageError, match=message):
        power_of(make(), **arguments)


def test_pilots_that_show_nothing(make: Make) -> None:
    candidates = make()
    table = answers(candidates, 2)
    with pytest.raises(UndefinedMetric, match="the two systems do not differ, so nothing shows how their difference"):
        power_of(candidates, runs={"a": table, "b": table})
    with pytest.raises(UsageError, match="a pilot is two runs, not 1"):
        power_of(candidates, runs={"a": table})
    path = make(valence=["no"] * 300).track.folder / "track.toml"
    scores = path.read_text().replace('"continuous"', '"scores"\npositive = "yes"\nnegative = "no"')
    path.write_text(scores.replace('"pcc"', '"auroc"').replace('"mse"', '"aupr"').replace("-0.1", "0.1"))
    with pytest.raises(
        UndefinedMetric, match=r"auroc\(valence\) has no value on these 300 references: no reference is"
    ):
        power_of(path.parent, metric="auroc")
    with pytest.raises(UndefinedMetric, match=r"pcc\(valence\): all references are '1.?', and so are all answers"):
        power_of(make(valence=[1.0] * 300), metric="pcc")
    with pytest.raises(UndefinedMetric, match=r"weighted_f1\(discrete\): all references are 'neutral', and so are"):
        power_of(make(classes=1), metric="weighted_f1")
    with pytest.raises(UndefinedMetric, match="systems of this score make no errors and do not differ, so nothing"):
        power_of(make(), metric="weighted_f1", score=1)


def test_differences_that_two_such_systems_can_hardly_have(make: Make) -> None:
    # On 2 % of the samples one of the two is right and the other wrong: accuracies differ by 0.02 at most, and a
    # weighted F1, which is about a share of right answers, by little more.
    arguments: dict[str, Any] = {"score": 0.6, "agreement": 0.98, "n_samples": 60}
    report = power_of(make(), metric="weighted_f1", **arguments)
    assert report.largest == pytest.approx(0.02, rel=0.2)
    assert report.largest < smallest(report, "as asked") < 0.1
    note = f"that agree so far differ by about {report.largest:.4f} at most: larger differences can hardly occur"
    assert note in str(report) and "hardly" not in str(replace(report, rows=report.rows[2:3]))
    assert smallest(power_of(make(), metric="accuracy", **arguments), "as asked") is None


def test_what_a_split_hides_is_not_used(make: Make) -> None:
    hidden = make(hidden=True)
    message = (
        r"power of weighted_f1\(discrete\) depends on references that split 'test' keeps secret; name a split that "
        "has them, --split NAME --samples N, or a metric whose power depends on none: --metric accuracy or pcc"
    )
    with pytest.raises(PolicyError, match=message):
        power_of(hidden, metric="weighted_f1")
    with pytest.raises(PolicyError, match="a pilot of two runs would show it"):
        power_of(hidden, runs=["a.csv", "b.csv"])
    shown = power_of(hidden, metric="accuracy", cluster="speaker").to_json()
    assert (
        power_of(make(hidden=True, valence=[1.0] * 300, classes=1), metric="accuracy", cluster="speaker").to_json()
        == shown
    )
    assert run(["power", str(hidden.track.folder)]) == PolicyError.exit_code == 4
    # Within the speakers, an accuracy depends on how many samples of which class each of them has.
    path = hidden.track.folder / "track.toml"
    path.write_text(path.read_text().replace('name = "accuracy"', 'name = "accuracy"\nper = "speaker"'))
    with pytest.raises(PolicyError, match=r"the power of accuracy.*per=speaker.*depends on references"):
        power_of(path.parent, metric="accuracy")


def test_withheld_references_are_not_needed_for_a_rate(make: Make) -> None:
    candidates = make()
    visible = smallest(power_of(candidates, metric="accuracy", score=0.6, agreement=0.7))
    corpus = candidates.corpus.folder
    made_corpus(corpus, name="small", samples=candidates.samples, replace=True)
    withheld = open_candidates(load_track(candidates.track.folder))
    assert smallest(power_of(withheld, metric="accuracy", score=0.6, agreement=0.7)) == pytest.approx(
        visible, rel=ROUGH
    )
    with pytest.raises(WithheldReference, match="depends on references that split 'test' does not have"):
        power_of(withheld, metric="mse")


def test_a_report_on_power_is_read_back(make: Make) -> None:
    report = power_of(make(), cluster="speaker", n_samples=50)
    assert Power.from_json(report.to_json()) == report
    assert "| test set | samples | clusters | smallest difference |" in report.to_markdown()


def test_names_of_runs_are_escaped(make: Make) -> None:
    candidates = make()
    hostile = "<b>*x*|\x1b[31m"
    report = power_of(candidates, runs={hostile: answers(candidates, 2), "b": answers(candidates, 3)})
    assert "&lt;b&gt;*x*|\\x1b[31m and b" in report.to_html() and "<b>" not in report.to_html()
    assert r"\*x\*\|" in report.to_markdown() and "\x1b" not in report.to_text() + report.to_latex()
    assert r"\x1b[31m" in report.to_text()


N = 400
SETS = Lists.of([["a", "b"] if i % 2 else ["c"] for i in range(N)])
SHARES = np.repeat([[0.8, 0.2], [0.2, 0.8]], N // 2, axis=0)


@pytest.mark.parametrize(
    ("declaration", "reference", "independent"),
    [
        # With a quality of 0.4, an answer is right by chance, too: 0.4 + 0.6 / 2 = 0.7; both or neither: 0.49 + 0.09.
        ({"type": "categorical", "labels": ["x", "y"]}, np.arange(N, dtype=np.int32) % 2, 0.58),
        ({"type": "label_set"}, SETS, 0.58),
        ({"type": "distribution", "labels": ["x", "y"]}, SHARES, 0.58),
        ({"type": "multilabel", "labels": ["x", "y"]}, (np.arange(2 * N).reshape(N, 2) % 4 == 0).astype(np.int8), 0.58),
        # 0.4², the part that is due to the references
        ({"type": "continuous"}, np.random.default_rng(3).normal(size=N), 0.16),
        ({"type": "scores", "positive": "p", "negative": "q"}, (np.arange(N) % 2).astype(np.int8), 0.16),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_simulated_systems_of_every_kind(declaration: dict[str, Any], reference: Any, independent: float) -> None:
    target = declared_target(declaration)
    noise, other = uniforms("a", 5, N), uniforms("b", 5, N)
    other[:3] = noise[:3]  # what all systems share
    perfect = target.simulated(reference, 1.0, 0.5, noise)
    assert target.agreement(reference, perfect, reference) == pytest.approx(1, abs=1e-12)

    def agreement(shared: float) -> float:
        pair = (target.simulated(reference, 0.4, shared, each) for each in (noise, other))
        return target.agreement(reference, *pair)

    assert agreement(1.0) == pytest.approx(1, abs=1e-12)
    # Four standard errors of a share, or of a correlation, of 400 samples.
    assert agreement(0.0) == pytest.approx(independent, abs=4 * 0.05)
    assert agreement(0.0) < agreement(0.5) < 1


VOTES = """
targets.v = { type = "distribution", labels = ["neutral", "angry", "happy"], votes = ["v_0", "v_1", "v_2"] }
metrics = [
  { name = "cross_entropy", target = "v" },
  { name = "majority_agreement", target = "v" },
  { name = "brier_score", target = "discrete" },
]
targets.discrete = { type = "categorical", labels = ["neutral", "angry", "happy"] }
ranking.by = ["cross_entropy"]
"""


@pytest.fixture
def votes(make: Make, tmp_path: Path) -> Candidates:
    """Return candidates with ten votes each, and a metric of probabilities of labels."""
    folder = make().track.folder
    ids = [f"s{i:04d}" for i in range(300)]
    of_labels = np.random.default_rng(5).multinomial(10, [0.6, 0.3, 0.1], 300)
    reference = pa.table(
        {
            "sample_id": ids,
            "discrete": [LABELS[code] for code in of_labels.argmax(1)],
            **{f"v_{i}": of_labels[:, i] for i in range(3)},
        }
    )
    made_corpus(
        folder / "corpus",
        name="small",
        samples=pa.table({"sample_id": ids, "split": ["test"] * 300}),
        reference=reference,
        replace=True,
    )
    head = TRACK.partition("[splits]")[0] + 'splits = { test = "test" }\n'
    (folder / "track.toml").write_text(head + VOTES)
    return open_candidates(load_track(folder))


def test_votes(votes: Candidates) -> None:
    truth = votes.references.values["v"]
    rng, runs = np.random.default_rng(4), {}
    for name, weight in (("a", 0.5), ("b", 3.0)):
        shares = truth + weight * rng.dirichlet(np.ones(3), 300)
        shares /= shares.sum(axis=1, keepdims=True)
        chances = {f"p_{label}": shares[:, i] for i, label in enumerate(LABELS)}
        runs[name] = pa.table(
            {"sample_id": votes.ids, **{f"v_{label}": shares[:, i] for i, label in enumerate(LABELS)}, **chances}
        )
    # Both right, or both wrong: by the largest share, of m equal ones among the votes each 1 / m.
    largest = truth == truth.max(axis=1, keepdims=True)
    right = {}
    for name, table in runs.items():
        answer = np.stack([table[f"v_{label}"].to_numpy() for label in LABELS], axis=1).argmax(axis=1)
        right[name] = largest[np.arange(300), answer] / largest.sum(axis=1)
    expected = 1 - np.mean(np.abs(right["a"] - right["b"]))
    [agreed] = power_of(votes, metric="majority_agreement", runs=runs).agreements
    assert agreed.value == pytest.approx(expected, abs=1e-9) and expected < 0.95
    # An answer that is wrong is not sure: no label that somebody chose has a share near 0.
    assert power_of(votes).score < 2


def test_no_system_is_simulated_that_answers_with_probabilities(votes: Candidates) -> None:
    with pytest.raises(UndefinedMetric, match="no system is simulated for discrete, whose labels are scored by their"):
        power_of(votes, metric="brier_score")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "score", "agreement", "n"),
    [("accuracy", 0.6, 0.75, 150), ("mse", 3.0, 0.7, 80), ("weighted_f1", 0.6, 0.75, 150)],
)
def test_the_permutation_test_shows_as_much_as_is_claimed(
    metric: str, score: float, agreement: float, n: int, make: Make
) -> None:
    candidates = make(n=4_000)
    difference = smallest(
        power_of(candidates, metric=metric, score=score, agreement=agreement, n_samples=n), "as asked"
    )
    key = next(spec.key for spec in candidates.track.metrics if spec.name == metric)
    simulation, how = Simulation(candidates, key, "test"), resampling_of(candidates)
    qualities = tuple(simulation.systems(score + sign * difference / 2, None)[0] for sign in (1, -1))
    shared = simulation.systems(None, agreement, qualities)[1]
    rng, n_shown, n_simulations = np.random.default_rng(8), 0, 400
    for number in range(n_simulations):
        pair = simulation.pair(rng.integers(0, 4_000, n), qualities, shared, f"{number}")
        observed = np.subtract(*(plain_values(each)[key] for each in pair))
        blocks = permuted_differences(pair, [(0, 1)], 499, replace(how, seed=number))
        n_large = sum(int(n_as_large(observed, block[key][0])) for block in blocks)
        n_shown += permutation_p(n_large, n_swaps(n, 499)) <= 0.05
    # Three standard errors of 400 simulations, and 1.5 points for the error of the deviation.
    assert n_shown / n_simulations == pytest.approx(0.8, abs=3 * 0.02 + 0.015)
