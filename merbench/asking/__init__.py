"""Language models asked for the answers of a track."""

from merbench.asking.rescoring import Rescored, rescore
from merbench.asking.run import AskedRun, Estimate, Files, Given, ask, estimate
from merbench.asking.settings import How

__all__ = ["AskedRun", "Estimate", "Files", "Given", "How", "Rescored", "ask", "estimate", "rescore"]
