"""How performance drops as corruption increases: one baseline scored under a grid of conditions."""

from merbench.robustness.experiment import Settings
from merbench.robustness.grid import parse_grid
from merbench.robustness.report import RobustnessReport
from merbench.robustness.run import default_folder, robustness

__all__ = ["RobustnessReport", "Settings", "default_folder", "parse_grid", "robustness"]
