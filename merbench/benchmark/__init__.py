"""Systems × tracks: every system trained on every track, mean ranks, and whether the systems differ."""

from merbench.benchmark.cells import BenchmarkSettings
from merbench.benchmark.report import BenchmarkReport
from merbench.benchmark.run import benchmark
from merbench.training.systems import System

__all__ = ["BenchmarkReport", "BenchmarkSettings", "System", "benchmark"]
