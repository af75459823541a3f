"""1,000 resamples of 20,000 rows in one process, compared with scipy.stats.bootstrap with scikit-learn's metrics.

Inputs: six classes in the shares of MER 2023's test2, 70 % answered right, valence with errors; arrays in memory. Each
contender ends with a 95 % percentile interval of weighted F1, or of weighted F1 − 0.25 · MSE where both targets are
resampled jointly. The peer draws rows with replacement and calls `f1_score` (and `mean_squared_error`) once a resample.
Intervals must agree to a tenth of their width: two bootstraps of 1,000 draws never agree to the digit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score, mean_squared_error

from benchmarks.measuring import machine, race, seconds, table
from merbench.intervals import percentile_interval
from merbench.metrics.categorical import weighted_f1
from merbench.metrics.continuous import mse
from merbench.resampling import poisson_weights

N, N_RESAMPLES, LEVEL, ROUNDS = 20_000, 1_000, 0.95, 3
SHARES = np.array([123, 98, 87, 40, 52, 12]) / 412

Ends = tuple[float, float]


def contenders() -> dict[str, Callable[[], Ends | None]]:
    """Return all that is raced, by name."""
    rng = np.random.default_rng(2023)
    codes = rng.choice(6, N, p=SHARES).astype(np.int32)
    answers = np.where(rng.random(N) < 0.7, codes, rng.integers(0, 6, N)).astype(np.int32)
    valence = rng.normal(0, 2, N)
    predicted = valence + rng.normal(0, 1, N)

    def ours(joint: bool) -> Ends:
        draws = []
        for weights in poisson_weights("bench|test|0", N, N_RESAMPLES):
            values = weighted_f1(codes, answers, weights, n_labels=6)
            draws.append(values - 0.25 * mse(valence, predicted, weights) if joint else values)
        found = percentile_interval(np.concatenate(draws), LEVEL)
        return found.low, found.high

    def peer(joint: bool) -> Ends:
        def overall(index: NDArray[np.int64]) -> float:
            value = float(f1_score(codes[index], answers[index], average="weighted"))
            return value - 0.25 * float(mean_squared_error(valence[index], predicted[index])) if joint else value

        found = stats.bootstrap(
            (np.arange(N),),
            overall,
            vectorized=False,
            n_resamples=N_RESAMPLES,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        return float(found.low), float(found.high)

    def drawing() -> None:
        for _ in poisson_weights("bench|test|0", N, N_RESAMPLES):
            pass

    return {
        "merbench, WAF": lambda: ours(False),
        "SciPy, WAF": lambda: peer(False),
        "merbench, WAF and MSE": lambda: ours(True),
        "SciPy, WAF and MSE": lambda: peer(True),
        "drawing the weights": drawing,
    }


def main() -> None:
    """Check that the contenders agree, race them and print the table."""
    racing = contenders()
    for statistic in ("WAF", "WAF and MSE"):
        found, expected = (np.array(racing[f"{who}, {statistic}"]()) for who in ("merbench", "SciPy"))
        if np.abs(found - expected).max() > 0.1 * np.ptp(expected):
            raise SystemExit(f"{statistic}: merbench {found} and SciPy {expected} do not agree")
    times = race(racing, ROUNDS)
    drawing = times["drawing the weights"]
    rows = []
    for statistic in ("WAF", "WAF and MSE"):
        ours, theirs = times[f"merbench, {statistic}"], times[f"SciPy, {statistic}"]
        rows.append([statistic, seconds(ours), seconds(theirs), f"{theirs / ours:.0f} ×", f"{drawing / ours:.0%}"])
    print(f"{N_RESAMPLES:,} resamples of {N:,} rows, one process, medians of {ROUNDS} rounds\n")
    print(table(["statistic", "merbench", "scipy.stats.bootstrap", "faster", "share of drawing"], rows))
    print(f"\nDrawing {N * N_RESAMPLES:,} weights: {seconds(drawing)}. {machine(['numpy', 'scipy', 'scikit-learn'])}")


if __name__ == "__main__":
    main()
