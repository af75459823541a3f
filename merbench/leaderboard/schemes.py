"""Other ways to rank the rows of a board, as challenge platforms rank, and how far each agrees with the board.

Conventions:
    N rows. values: `(M, N)` values of M metrics; samples: `(N, n)` how right every answer is (`sample_values`); draws:
    `(M, N, B)` values under B resamples. Higher is better in all of them.
    A scheme returns `(N,)` scores; of most, a lower one is better (see `LOWER`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from merbench.leaderboard.board import Scheme
from merbench.leaderboard.ranking import AT_ONCE, Floats, competition_ranks
from merbench.resampling import DECIMALS
from merbench.significance import holm
from merbench.student import student_p

ALPHA = 0.05
"""The level of the tests by which challengeR and EuroEval rank, whatever the level of a board's intervals."""

LOWER = ("mean_rank", "median_rank", "rank_then_aggregate", "mean_rank_score")
"""The schemes in which a lower score is better."""


def schemes_of(scores: Mapping[str, Sequence[float]], ranks: Sequence[int | None]) -> tuple[Scheme, ...]:
    """Return the schemes that have scores, compared at ten decimals.

    Args:
        scores: by the name of a scheme, the scores of the ranked rows, in order.
        ranks: the ranks of all rows on the board; None for a row that is not ranked.
    """
    places = [number for number, rank in enumerate(ranks) if rank is not None]
    own = np.array([rank for rank in ranks if rank is not None])
    schemes = []
    for name, values in scores.items():
        rounded = np.round(values, DECIMALS) + 0.0
        turned = competition_ranks((rounded if name in LOWER else -rounded)[None])[0]
        rank_at = dict(zip(places, turned.tolist(), strict=True))
        score_at = dict(zip(places, rounded.tolist(), strict=True))
        rows, tau = range(len(ranks)), kendall_tau(own, turned)
        schemes.append(
            Scheme(
                name=name,
                ranks=tuple(rank_at.get(row) for row in rows),
                scores=tuple(score_at.get(row) for row in rows),
                tau=None if tau is None else round(tau, DECIMALS),
            )
        )
    return tuple(schemes)


def mean_rank(values: Floats) -> Floats:
    """Return the mean rank over metrics; ties share the smallest rank (Grand Challenge, `mean` of positions)."""
    return np.asarray(competition_ranks(-values).mean(axis=0))


def median_rank(values: Floats) -> Floats:
    """Return the median rank over metrics; ties share the smallest rank (Grand Challenge, `median` of positions)."""
    return np.asarray(np.median(competition_ranks(-values), axis=0))


def borda(values: Floats) -> Floats:
    """Return the Borda count: the sum over metrics of N − rank, ties sharing their average rank (MTEB).

    A missing value, NaN, is worth 0.
    """
    known = np.where(np.isnan(values), -np.inf, values)
    smallest, largest = competition_ranks(-known), values.shape[1] + 1 - competition_ranks(known)
    counts = np.where(np.isnan(values), 0.0, values.shape[1] - (smallest + largest) / 2)
    return np.asarray(counts.sum(axis=0))


def aggregate_then_rank(samples: Floats) -> Floats:
    """Return the mean over samples (challengeR, `aggregateThenRank` with `FUN = mean`)."""
    return np.array([math.fsum(own.tolist()) / len(own) for own in samples])


def rank_then_aggregate(samples: Floats) -> Floats:
    """Return the mean over samples of the rank on the sample (challengeR, `rankThenAggregate` with `FUN = mean`).

    Ties share the smallest rank, the default of its `ties.method`.
    """
    step = max(1, AT_ONCE // len(samples))
    total = np.zeros(len(samples), dtype=np.int64)
    for start in range(0, samples.shape[1], step):
        total += competition_ranks(-samples[:, start : start + step].T).sum(axis=0)
    return np.asarray(total / samples.shape[1])


def significant_wins(samples: Floats, adjust: Literal["none", "holm"] = "none") -> Floats:
    """Return the number of rows that a row is significantly better than (challengeR, `testThenRank`).

    Args:
        samples: how right every answer is.
        adjust: how the p values of all ordered pairs are adjusted, challengeR's `p.adjust.method`; its default is none.
    """
    p = better_p(samples)
    tested = np.isfinite(p)
    if adjust == "holm":
        p[tested] = holm(p[tested].tolist())
    return np.asarray(np.count_nonzero(tested & (p <= ALPHA), axis=1), dtype=np.float64)


def better_p(samples: Floats) -> Floats:
    """Return the one-sided p, `(N, N)`, that a row is better than another by the signed-rank test (Wilcoxon, 1945).

    As R's `wilcox.test(paired = TRUE, exact = FALSE)`: samples without a difference are left out, ties share their
    average rank, and the normal distribution is corrected for ties and continuity. NaN without a difference.
    """
    n_rows = len(samples)
    n, rank_sum, ties = (np.zeros((n_rows, n_rows)) for _ in range(3))
    if ((samples == 0) | (samples == 1)).all():  # all differences are of one size
        wins = samples @ (1 - samples).T
        n = wins + wins.T
        rank_sum, ties = wins * (n + 1) / 2, n**3 - n
    else:
        for a in range(n_rows):
            for b in range(a + 1, n_rows):
                differences = np.round(samples[a] - samples[b], DECIMALS)
                differences = differences[differences != 0]
                _, size, counts = np.unique(np.abs(differences), return_inverse=True, return_counts=True)
                ranks = np.cumsum(counts) - (counts - 1) / 2
                positive = np.bincount(size[differences > 0], minlength=len(counts))
                n[a, b] = n[b, a] = len(differences)
                rank_sum[a, b], rank_sum[b, a] = ranks @ positive, ranks @ (counts - positive)
                ties[a, b] = ties[b, a] = (counts.astype(np.float64) ** 3 - counts).sum()
    variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (rank_sum - n * (n + 1) / 4 - 0.5) / np.sqrt(variance)
    lines = np.where(n > 0, z, np.nan).tolist()
    return np.array([[math.erfc(own / math.sqrt(2)) / 2 for own in line] for line in lines])


def mean_rank_score(draws: Floats) -> Floats:
    """Return the mean over metrics of a rank that grows only where a row is significantly worse (EuroEval).

    From the best mean downwards, a row that is worse than the one that began the current rank, by a one-sided Welch
    test, adds the difference of their means to the rank, in standard deviations of all rows' means (over N); others
    share the rank. EuroEval's values are those of ten bootstrapped test sets; here, of as many resamples.
    """
    scores = np.empty(draws.shape[:2])
    # Squares of very large errors would not be finite; a metric's unit has no effect on ranks.
    units = np.abs(draws).max(axis=(1, 2), keepdims=True)
    for metric, own in enumerate(draws / np.where(units > 0, units, 1.0)):
        means, variances = own.mean(axis=1), own.var(axis=1, ddof=1) / own.shape[1]
        spread, rank = means.std(), 1.0
        order = np.argsort(-means, kind="stable")
        first = order[0]
        for row in order:
            if _is_worse(means[first] - means[row], variances[first], variances[row], own.shape[1] - 1):
                rank += (means[first] - means[row]) / spread
                first = row
            scores[metric, row] = rank
    return np.asarray(scores.mean(axis=0))


def _is_worse(difference: float, variance: float, other: float, degrees: int) -> bool:
    """Return whether a difference of means with these variances is significantly above 0 (Welch, 1947)."""
    total = variance + other
    if not total or difference <= 0:
        return difference > 0
    satterthwaite = total**2 * degrees / (variance**2 + other**2)
    return student_p(difference / math.sqrt(total), satterthwaite) / 2 < ALPHA


def kendall_tau(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return Kendall's τ-b of two rankings (Kendall, 1945); None where all ranks of either are equal."""
    first, second = np.sign(a[:, None] - a), np.sign(b[:, None] - b)
    n_untied = np.count_nonzero(first) * np.count_nonzero(second)
    return float((first * second).sum()) / math.sqrt(n_untied) if n_untied else None


OF_VALUES: Mapping[str, Callable[[Floats], Floats]] = {
    "mean_rank": mean_rank,
    "median_rank": median_rank,
    "borda": borda,
}
"""The schemes that need only the values of metrics."""

OF_SAMPLES: Mapping[str, Callable[[Floats], Floats]] = {
    "aggregate_then_rank": aggregate_then_rank,
    "rank_then_aggregate": rank_then_aggregate,
    "test_then_rank": significant_wins,
    "test_then_rank_holm": partial(significant_wins, adjust="holm"),
}
"""The schemes that need how right every answer is."""

OF_PAIRS = ("test_then_rank", "test_then_rank_holm")
"""Those of them that test every pair of rows."""
