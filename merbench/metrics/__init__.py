"""Metrics by kind of target; importing this package registers every metric shipped with merbench."""

from merbench.metrics import categorical, continuous, detection, segments, sentiment
from merbench.metrics.metric import METRICS, Metric, metric

__all__ = ["METRICS", "Metric", "categorical", "continuous", "detection", "metric", "segments", "sentiment"]
