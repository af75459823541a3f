"""Language models asked for the answers of a track."""

from merbench.asking.rescoring import Rescored, rescore
from merbench.asking.run import AskedRun, Estimate, Files, Given, ask, estimate
from merbench.asking.settings import How
from merbench.asking.spread import Grid, SpreadReport, estimate_spread, prompt_spread

__all__ = [
    "AskedRun",
    "Estimate",
    "Files",
    "Given",
    "Grid",
    "How",
    "Rescored",
    "SpreadReport",
    "ask",
    "estimate",
    "estimate_spread",
    "prompt_spread",
    "rescore",
]
