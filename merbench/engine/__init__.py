"""Named units of work, run in this process, in local worker processes or on a cluster; results as they complete."""

from merbench.engine.local import interrupted_afterwards
from merbench.engine.running import Execution, require_engine, run
from merbench.engine.tasks import Done, ShowProgress, WorkerDied
from merbench.engine.threads import suitable_threads

__all__ = [
    "Done",
    "Execution",
    "ShowProgress",
    "WorkerDied",
    "interrupted_afterwards",
    "require_engine",
    "run",
    "suitable_threads",
]
