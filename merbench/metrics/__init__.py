"""Metrics by kind of target; importing this package registers every metric shipped with merbench."""

from merbench.metrics import (
    categorical,
    continuous,
    detection,
    distribution,
    label_set,
    multilabel,
    ranked,
    segments,
    sentiment,
)
from merbench.metrics.listing import metrics_page, metrics_table
from merbench.metrics.metric import METRICS, Metric, metric

__all__ = [
    "METRICS",
    "Metric",
    "categorical",
    "continuous",
    "detection",
    "distribution",
    "label_set",
    "metric",
    "metrics_page",
    "metrics_table",
    "multilabel",
    "ranked",
    "segments",
    "sentiment",
]
