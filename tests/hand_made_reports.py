"""A report with every part that there is, made by hand, for the tests of its forms."""

from __future__ import annotations

from merbench.errors import Problem
from merbench.report import (
    Bin,
    Calibration,
    Ceiling,
    ClassRow,
    Comparison,
    Confusion,
    CoverageRow,
    Difference,
    Group,
    Score,
    ScoreReport,
    Uncertainty,
    WorstSample,
)

UNCERTAINTY = Uncertainty("percentile", 0.95, 1000, None, None, 0)
SCORES = (
    Score("accuracy(emotion)", "accuracy", "emotion", 0.625, 0.5, 0.75),
    Score("mse(valence)", "mse", "valence", 0.31, 0.22, 0.43, higher_is_better=False),
)


def full_report(name: str = "a name", n_labels: int = 3, n_groups: int = 2, **changes: object) -> ScoreReport:
    """Return a report with every part; `name` is in every text that comes from files."""
    labels = tuple(f"{name} {i}" for i in range(n_labels))
    cells = ((0, 0, 3), (0, n_labels, 1), *((i, i, 2) for i in range(1, n_labels)))
    content: dict[str, object] = {
        "track": "toy@1.0",
        "title": name,
        "corpus": "toy",
        "split": "test",
        "synthetic": False,
        "hidden": False,
        "signature": "toy@1.0#0|n:8",
        "uncertainty": UNCERTAINTY,
        "formula": "",
        "scores": SCORES,
        "counts": {"candidates": 8, "scored": 8, "rows": 8},
        "digests": {},
        "per_class": tuple(
            ClassRow("emotion", label, 4, 0.5, 0.4, 0.44, 0.3, 0.6, 0.2, 0.8, 0.1, 0.7) for label in labels
        ),
        "confusions": (Confusion("emotion", labels, cells),),
        "coverage": (CoverageRow("emotion", "reference", 8, 1, 0.125, ((name, 1),)),),
        "groups": tuple(Group("speaker", f"{name} {i}", 4, SCORES) for i in range(n_groups)),
        "worst": (WorstSample(name, "emotion", labels[0], "", -0.005),),
        "calibration": (
            Calibration(
                "emotion",
                8,
                (Score("brier_score", "brier_score", "emotion", 0.4, 0.3, 0.5, higher_is_better=False),),
                (Bin(0.4, 0.5, 2, 0.45, 0.5, 0.25, 0.75), Bin(0.9, 1.0, 4, 0.95, 1.0, 0.75, 1.0)),
            ),
        ),
        "ceilings": (Ceiling("accuracy(emotion)", name, 0.8, 0.7, 0.9, 8),),
        "warnings": (Problem("W701", name),),
    }
    return ScoreReport(**{**content, **changes})  # type: ignore[arg-type]


def three_systems(**names: str) -> Comparison:
    """Return a comparison of three systems: b is best, a is significantly different from it, c is not."""
    values = {"a": 0.5, "b": 0.75, "c": 0.7}
    pairs = [("a", "b", 0.001), ("a", "c", 0.2), ("b", "c", 0.6)]
    differences = [
        Difference(
            a=names.get(a, a),
            b=names.get(b, b),
            key="accuracy(emotion)",
            name="accuracy",
            value_a=values[a],
            value_b=values[b],
            difference=values[a] - values[b],
            low=values[a] - values[b] - 0.125,
            high=values[a] - values[b] + 0.125,
            p=p,
            p_holm=p,
            higher_is_better=True,
        )
        for a, b, p in pairs
    ]
    return Comparison(
        track="toy@1.0",
        title="Toy",
        split="test",
        synthetic=False,
        signature="toy@1.0#0|n:8",
        uncertainty=UNCERTAINTY,
        hidden=False,
        n_candidates=8,
        n_permutations=1000,
        differences=tuple(differences),
    )
