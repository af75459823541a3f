"""Named units of work, run in this process, in local worker processes or on a cluster; results as they complete."""

from merbench.engine.local import interrupted_afterwards
from merbench.engine.running import Execution, is_shared, require_engine, run, run_here_or_apart
from merbench.engine.tasks import Done, Raised, ShowProgress, WorkerDied, named_progress
from merbench.engine.threads import suitable_threads

__all__ = [
    "Done",
    "Execution",
    "Raised",
    "ShowProgress",
    "WorkerDied",
    "interrupted_afterwards",
    "is_shared",
    "named_progress",
    "require_engine",
    "run",
    "run_here_or_apart",
    "suitable_threads",
]
