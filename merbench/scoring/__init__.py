"""A track and a submission become a `ScoreReport`; two submissions or more, a `Comparison`."""

from merbench.scoring.aligned import Aligned, Grouping, align
from merbench.scoring.comparison import compare, mean_difference_p, mean_differences, mean_intervals
from merbench.scoring.evaluation import area, evaluate, sample_values
from merbench.scoring.items import items
from merbench.scoring.power import power_of
from merbench.scoring.samples import per_sample
from merbench.scoring.scorecard import public_score, public_score_and_draws, score, score_and_draws
from merbench.scoring.seeds import SeedDraws, seed_differences, seed_draws, seed_interval, seed_intervals, weighted_sum
from merbench.scoring.signatures import signature
from merbench.scoring.uncertainty import Resampling, bootstrap, percentile_bounds, resampling_of

__all__ = [
    "Aligned",
    "Grouping",
    "Resampling",
    "SeedDraws",
    "align",
    "area",
    "bootstrap",
    "compare",
    "evaluate",
    "items",
    "mean_difference_p",
    "mean_differences",
    "mean_intervals",
    "per_sample",
    "percentile_bounds",
    "power_of",
    "public_score",
    "public_score_and_draws",
    "resampling_of",
    "sample_values",
    "score",
    "score_and_draws",
    "seed_differences",
    "seed_draws",
    "seed_interval",
    "seed_intervals",
    "signature",
    "weighted_sum",
]
