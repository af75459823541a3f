"""Language models asked for the answers of a track."""

from merbench.asking.run import AskedRun, Estimate, Files, Given, ask, estimate
from merbench.asking.settings import How

__all__ = ["AskedRun", "Estimate", "Files", "Given", "How", "ask", "estimate"]
