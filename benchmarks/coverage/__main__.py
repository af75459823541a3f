"""The tables of coverage and false positives, printed, and with `--full` written into `docs/uncertainty.md`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.coverage.populations import Chances, Classes, LabelSets, Numbers, Scores, Sentiment, UnequalSpeakers
from benchmarks.coverage.ranks import ranks
from benchmarks.coverage.simulations import Case, Coverage, coverages, rejected, run
from benchmarks.coverage.speakers import Speakers
from benchmarks.measuring import table
from merbench.files.writing import write_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "uncertainty.md"
QUICK, FULL = 30, 1_000

NAMES = {
    "accuracy": "accuracy",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "unweighted_average_recall": "UAR",
    "cohen_kappa": "Cohen's κ",
    "matthews_correlation": "MCC",
    "f1": "F1 of *surprise*",
    "mse": "MSE",
    "rmse": "RMSE",
    "mae": "MAE",
    "ccc": "CCC",
    "pcc": "Pearson",
    "r2": "R²",
    "overall": "WAF − 0.25·MSE",
    "auroc": "AUROC",
    "aupr": "AUPR",
    "fpr_at_95tpr": "FPR@95",
    "detection_error": "detection error",
    "equal_error_rate": "EER",
    "mosi_accuracy_7": "Acc-7",
    "mosi_non0_accuracy": "Acc-2",
    "multilabel_f1": "mean F1 of labels",
    "hamming_loss": "Hamming loss",
    "exact_match": "exact match",
    "set_jaccard": "Jaccard",
    "set_average": "set average",
    "brier_score": "Brier score",
    "cross_entropy": "log loss",
    "expected_calibration_error": "calibration error",
    "right": "share right in a bin",
}

RARE = (0.55, 0.25, 0.1, 0.05, 0.02, 0.015, 0.01, 0.005), (0.97, 0.95, 0.9, 0.8, 0.6, 0.5, 0.4, 0.3)
SIX = (0.3, 0.23, 0.2, 0.1, 0.12, 0.05), (0.8, 0.7, 0.75, 0.6, 0.55, 0.5)
AREAS = ("auroc", "aupr", "fpr_at_95tpr", "detection_error")
OF_CLASSES = ("accuracy", "macro_f1", "unweighted_average_recall", "cohen_kappa", "matthews_correlation")
NORMAL = math.inf

HARD = {
    "eight classes, the rarest 0.5 %": [Case(Classes(*RARE, n, ("macro_f1",))) for n in (600, 4_000)],
    "errors and references t₃": [Case(Numbers(3, 500, ("ccc", "rmse")))],
    "errors and references t₅": [Case(Numbers(5, n, ("rmse",))) for n in (500, 2_000)],
    "scores, 10 % positive, d = 2": [Case(Scores(0.1, 2, 500, ("auroc", "fpr_at_95tpr", "detection_error")))],
    "scores, 50 % positive, d = 4.5": [Case(Scores(0.5, 4.5, 1_000, AREAS))],
    "30 unequal speakers": [Case(UnequalSpeakers(30))],
    "30 unequal speakers, size tied to skill": [Case(UnequalSpeakers(30, 0.6))],
    "60 unequal speakers": [Case(UnequalSpeakers(60))],
}
"""Cases in which percentile intervals fail."""

FURTHER = {
    "six classes": [Case(Classes(*SIX, n, OF_CLASSES)) for n in (100, 500)],
    "the same at the level 90 %": [Case(Classes(*SIX, 500, ("macro_f1",)), 0.9)],
    "a breakdown group, 20 % of 500": [Case(Classes(*SIX, 500, ("accuracy", "macro_f1"), 0.2))],
    "only a rare class, 37 of 600, is answered wrong": [
        Case(
            Classes(
                (0.2345, 0.2345, 0.2345, 0.2345, 0.062),
                (1, 1, 1, 1, 0.95),
                600,
                ("macro_f1", "unweighted_average_recall"),
            )
        )
    ],
    "99 % of answers right": [Case(Classes((0.4, 0.3, 0.3), (0.99, 0.99, 0.99), 200, ("accuracy", "macro_f1")))],
    "normal errors": [Case(Numbers(NORMAL, n, ("mae", "mse", "ccc", "pcc", "r2"))) for n in (50, 400)],
    "sentiment as in MOSI": [Case(Sentiment(600))],
    "six labels, sets of them": [Case(LabelSets(300))],
    "scores, 30 % positive, d = 1.5": [Case(Scores(0.3, 1.5, 400, (*AREAS, "equal_error_rate")))],
    "scores, 3 % positive, d = 2.5": [Case(Scores(0.03, 2.5, 1_000, ("auroc", "aupr", "equal_error_rate")))],
    "60 unequal speakers, size tied to skill": [Case(UnequalSpeakers(60, 0.6))],
    "200 unequal speakers": [Case(UnequalSpeakers(200))],
    "24 speakers of 20 samples": [Case(UnequalSpeakers(24, n_each=20))],
    "12 speakers of 20 samples": [Case(UnequalSpeakers(12, n_each=20))],
    "10 speakers of 200 samples": [Case(UnequalSpeakers(10, n_each=200))],
    "5 speakers of 60 samples": [Case(UnequalSpeakers(5, n_each=60))],
}
"""Further cases."""


CALIBRATION = {
    "calibrated": [Case(Chances(1, n)) for n in (300, 2_000)],
    "too sure": [Case(Chances(0.5, n)) for n in (300, 2_000)],
    "not sure enough": [Case(Chances(1.5, n)) for n in (300, 2_000)],
    "calibrated on average, 12 speakers": [Case(Chances(1, 600, 12))],
    "calibrated on average, 40 speakers": [Case(Chances(1, 800, 40))],
}
"""Cases of probabilities."""


def hard(n_simulations: int, workers: int) -> str:
    """Return the coverage in the cases in which percentile intervals fail."""
    return _case_table(HARD, n_simulations, workers)


def further(n_simulations: int, workers: int) -> str:
    """Return the coverage in further cases."""
    return _case_table(FURTHER, n_simulations, workers)


def calibration(n_simulations: int, workers: int) -> str:
    """Return the coverage of the scores of probabilities, and of the share right in a bin, all bins together."""
    return _case_table(CALIBRATION, n_simulations, workers)


def _case_table(titled: Mapping[str, Sequence[Case]], n_simulations: int, workers: int) -> str:
    cases = [(title, case) for title, cases in titled.items() for case in cases]
    results = coverages([case for _, case in cases], n_simulations, workers)
    rows = [
        [title, _n(case), NAMES[name], f"{each.percentile:.1f}", f"{each.default:.1f}", each.method, *_warned(each)]
        for (title, case), of_metrics in zip(cases, results, strict=True)
        for name, each in of_metrics.items()
    ]
    return table(["case", "n", "metric", "percentile", "default", "method", "warned", "without warning"], rows)


def _n(case: Case) -> str:
    population = case.population
    if not isinstance(population, UnequalSpeakers):
        return f"{population.n:,}"
    return (
        f"{population.n_speakers * population.n_each:,}" if population.n_each else f"≈ {population.n_speakers * 37:,}"
    )


def _warned(coverage: Coverage) -> tuple[str, str]:
    return f"{coverage.warned:.0f}", "" if math.isnan(coverage.unwarned) else f"{coverage.unwarned:.1f}"


def independent(n_simulations: int, workers: int) -> str:
    """Return the coverage where samples are independent."""
    populations = [Speakers(shares, n) for shares in ("equal", "as test2") for n in (100, 400, 2_000)]
    rows = {(f"{each.n:,}", each.shares): Case(each) for each in populations}
    return _wide_table(("n", "classes"), rows, n_simulations, workers)


def speakers(n_simulations: int, workers: int) -> str:
    """Return the coverage where speakers differ, resampled by sample and by speaker."""
    return _by_speakers([Speakers("as test2", 834, m) for m in (24, 50, 200)], n_simulations, workers)


def extreme(n_simulations: int, workers: int) -> str:
    """Return the same where few speakers make most of the squared error."""
    populations = [Speakers("as test2", 834, m, concentration=0.5, offset=1.0) for m in (12, 24, 50, 200)]
    return _by_speakers(populations, n_simulations, workers)


def _by_speakers(populations: Sequence[Speakers], n_simulations: int, workers: int) -> str:
    ways = {"samples": False, "speakers": True}
    rows = {(f"{each.n_speakers}", way): Case(each, is_clustered=ways[way]) for each in populations for way in ways}
    return _wide_table(("speakers", "resampled"), rows, n_simulations, workers)


def _wide_table(head: tuple[str, str], rows: Mapping[tuple[str, str], Case], n_simulations: int, workers: int) -> str:
    """Return a table with a column for every metric, of the coverage of the percentile and of the default method."""
    results = coverages(list(rows.values()), n_simulations, workers)
    cells = [[f"{each.percentile:.1f} → {each.default:.1f}" for each in of_metrics.values()] for of_metrics in results]
    return table(
        [*head, *(NAMES[name] for name in results[0])], [[*row, *own] for row, own in zip(rows, cells, strict=True)]
    )


def nulls(n_simulations: int, workers: int) -> str:
    """Return how often the paired test rejects two systems of equal quality."""
    populations = {
        "none": Speakers("as test2", 834),
        **{f"{m}, similar": Speakers("as test2", 834, m) for m in (5, 8, 12, 50)},
        **{f"{m}, unequal": Speakers("as test2", 37 * m, m, "unequal") for m in (30, 60)},
        "30, unequal, the easier the more samples": Speakers("as test2", 37 * 30, 30, "tied"),
    }
    counts = [
        sum(parts) * 100 / n_simulations for parts in run(rejected, list(populations.values()), n_simulations, workers)
    ]
    rows = [
        [title, unit, *(f"{value:.1f}" for value in values)]
        for title, of_units in zip(populations, counts, strict=True)
        for unit, values in zip(("samples", "speakers")[: 1 if title == "none" else 2], of_units, strict=False)
    ]
    return table(["speakers", "exchanged", "accuracy", "WAF", "WAF − 0.25·MSE"], rows)


TABLES = {made.__name__: made for made in (hard, further, calibration, independent, speakers, extreme, ranks, nulls)}


def written_into(page: str, name: str, text: str) -> str:
    """Return the page with the text between the markers of a table replaced."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.partition(start)
    return f"{before}{start}\n{text}\n\n{end}{rest.partition(end)[2]}"


def main() -> None:
    """Simulate, print the tables, and with `--full` write them into the page."""
    parser = argparse.ArgumentParser(description="Coverage of intervals and false positives of p values.")
    parser.add_argument("tables", nargs="*", help=f"some of {', '.join(TABLES)}; all without a name")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} simulations a row; rewrites docs/uncertainty.md")
    parser.add_argument("--simulations", type=int, help="simulations a row; only printed without --full")
    parser.add_argument("--workers", type=int, default=1, help="processes (the numbers do not depend on it)")
    options = parser.parse_args()
    n_simulations = options.simulations or (FULL if options.full else QUICK)
    for name in options.tables or TABLES:
        made = TABLES[name](n_simulations, options.workers)
        text = f"{made}\n\n{n_simulations:,} simulations a row, numpy {version('numpy')}."
        print(f"### {name}\n\n{text}\n", flush=True)
        if options.full:
            write_text(PAGE, written_into(PAGE.read_text(encoding="utf-8"), name, text))


if __name__ == "__main__":
    main()
