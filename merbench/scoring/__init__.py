"""A track and a submission go in, a `ScoreReport` comes out; two submissions or more, a `Comparison`."""

from merbench.scoring.aligned import Pair, scored_pair
from merbench.scoring.comparison import compare, mean_difference_p, mean_intervals
from merbench.scoring.draws import bootstrap, permuted_differences
from merbench.scoring.evaluation import evaluate
from merbench.scoring.scorecard import public_score, score
from merbench.scoring.uncertainty import Resampling, resampling_of, signature

__all__ = [
    "Pair",
    "Resampling",
    "bootstrap",
    "compare",
    "evaluate",
    "mean_difference_p",
    "mean_intervals",
    "permuted_differences",
    "public_score",
    "resampling_of",
    "score",
    "scored_pair",
    "signature",
]
