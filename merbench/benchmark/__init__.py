"""Systems × tracks: every system trained on every track, mean ranks, and whether the systems differ."""

from merbench.benchmark.cells import BenchmarkSettings, System
from merbench.benchmark.report import BenchmarkReport
from merbench.benchmark.run import benchmark

__all__ = ["BenchmarkReport", "BenchmarkSettings", "System", "benchmark"]
