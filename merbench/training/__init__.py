"""Baselines: trained on a track, cross-validated, written as a submission, scored.

What needs torch is in `merbench.training.networks`, which the baselines that use it import.
"""

from merbench.training.data import feature_set, training_set
from merbench.training.declaration import BaselineDeclaration, LoadedBaseline, list_baselines, load_baseline
from merbench.training.ensemble import ensemble
from merbench.training.folds import random_folds
from merbench.training.history import TensorBoard
from merbench.training.prediction import Prediction, predict
from merbench.training.protocol import (
    Baseline,
    CrossFit,
    Curve,
    FoldEnsemble,
    Log,
    Predictions,
    Setup,
    Storable,
)
from merbench.training.pseudo_labels import PseudoLabels
from merbench.training.records import StoredRun, find_runs, read_run
from merbench.training.results import BaselineRun
from merbench.training.run import run_baseline
from merbench.training.samples import Division, FeatureSet, TrainingSet
from merbench.training.selection import cross_validate, ranking_value
from merbench.training.sequences import Dialogues, Sequences
from merbench.training.stored_models import Models, open_models
from merbench.training.trainings import RunSettings

__all__ = [
    "Baseline",
    "BaselineDeclaration",
    "BaselineRun",
    "CrossFit",
    "Curve",
    "Dialogues",
    "Division",
    "FeatureSet",
    "FoldEnsemble",
    "LoadedBaseline",
    "Log",
    "Models",
    "Prediction",
    "Predictions",
    "PseudoLabels",
    "RunSettings",
    "Sequences",
    "Setup",
    "Storable",
    "StoredRun",
    "TensorBoard",
    "TrainingSet",
    "cross_validate",
    "ensemble",
    "feature_set",
    "find_runs",
    "list_baselines",
    "load_baseline",
    "open_models",
    "predict",
    "random_folds",
    "ranking_value",
    "read_run",
    "run_baseline",
    "training_set",
]
