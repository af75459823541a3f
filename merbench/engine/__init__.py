"""A function and named units of work go in, results come out as they complete, whoever does the work."""

from merbench.engine.run import require_engine, run, suitable_threads
from merbench.engine.tasks import Done, ShowProgress, WorkerDied

__all__ = ["Done", "ShowProgress", "WorkerDied", "require_engine", "run", "suitable_threads"]
