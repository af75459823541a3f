"""Metrics by kind of target; importing this package registers every metric shipped with merbench."""

from merbench.metrics import categorical, continuous, detection, label_set, multilabel, ranked, segments, sentiment
from merbench.metrics.metric import METRICS, Metric, metric

__all__ = [
    "METRICS",
    "Metric",
    "categorical",
    "continuous",
    "detection",
    "label_set",
    "metric",
    "multilabel",
    "ranked",
    "segments",
    "sentiment",
]
