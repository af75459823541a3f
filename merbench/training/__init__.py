"""A track and the name of a baseline go in, a run comes out: trained, cross-validated, written as a submission, scored.

Only `merbench.training.batched` needs torch; it is imported by the baselines that use it.
"""

from merbench.training.data import FeatureSet, Predictions, TrainingSet, feature_set, random_folds, training_set
from merbench.training.declaration import BaselineDeclaration, LoadedBaseline, list_baselines, load_baseline
from merbench.training.ensemble import ensemble
from merbench.training.protocol import Baseline, CrossFit, Curve, FoldEnsemble, Setup
from merbench.training.run import BaselineRun, SeedRun, run_baseline
from merbench.training.selection import cross_validate, ranking_value

__all__ = [
    "Baseline",
    "BaselineDeclaration",
    "BaselineRun",
    "CrossFit",
    "Curve",
    "FeatureSet",
    "FoldEnsemble",
    "LoadedBaseline",
    "Predictions",
    "SeedRun",
    "Setup",
    "TrainingSet",
    "cross_validate",
    "ensemble",
    "feature_set",
    "list_baselines",
    "load_baseline",
    "random_folds",
    "ranking_value",
    "run_baseline",
    "training_set",
]
