"""How performance drops as corruption increases: one baseline, or several, scored under a grid of conditions."""

from merbench.robustness.comparison import RobustnessComparison
from merbench.robustness.experiment import Settings
from merbench.robustness.grid import parse_grid
from merbench.robustness.report import RobustnessReport
from merbench.robustness.run import compare_robustness, default_folder, robustness
from merbench.training.systems import System

__all__ = [
    "RobustnessComparison",
    "RobustnessReport",
    "Settings",
    "System",
    "compare_robustness",
    "default_folder",
    "parse_grid",
    "robustness",
]
