"""A track, a baseline and a grid of conditions go in, what the system scores as the damage grows comes out."""

from merbench.robustness.grid import parse_grid
from merbench.robustness.report import ConditionRow, CurveReport, Estimate, MeanError, RobustnessReport, Summary
from merbench.robustness.run import default_folder, robustness

__all__ = [
    "ConditionRow",
    "CurveReport",
    "Estimate",
    "MeanError",
    "RobustnessReport",
    "Summary",
    "default_folder",
    "parse_grid",
    "robustness",
]
