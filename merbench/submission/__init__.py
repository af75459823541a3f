"""Submissions: a participant's file or table, read, checked and aligned with the candidates.

Nothing here reads a reference: what a participant sees depends only on the submission, the track and the candidates.

Problems have codes: E1xx the file, E2xx columns and cells, E3xx ids, W… warnings. `docs/submission-format.md`
lists them.
"""

from __future__ import annotations

from merbench.submission.reading import Submission, read_submission

__all__ = ["Submission", "read_submission"]
