"""Submissions: a participant's file or table, read, checked and aligned with the candidates.

Nothing here reads a reference: what a participant sees depends only on the submission, the track and the candidates.

Problems have codes: E1xx the file, E2xx columns and cells, E3xx ids, W… warnings. `docs/submission-format.md`
lists them.
"""

from __future__ import annotations

from merbench.submission.content import EXPANSION
from merbench.submission.reading import Submission, read_submission
from merbench.targets.categorical import SUM_TOLERANCE

__all__ = ["EXPANSION", "SUM_TOLERANCE", "Submission", "read_submission"]
