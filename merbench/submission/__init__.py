"""A participant's file or table and the candidates go in, a checked `Submission` comes out, or all its problems.

Nothing here reads a reference: what a participant sees depends on the submission, the track and the candidates alone.

Problems have codes: E1xx the file, E2xx columns and cells, E3xx ids, W… warnings. `docs/submission-format.md`
lists them.
"""

from __future__ import annotations

from merbench.submission.checking import Submission, read_submission
from merbench.submission.content import EXPANSION
from merbench.targets.categorical import SUM_TOLERANCE

__all__ = ["EXPANSION", "SUM_TOLERANCE", "Submission", "read_submission"]
