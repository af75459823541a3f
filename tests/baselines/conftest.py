"""The small track of the training tests serves here too."""

from __future__ import annotations

from tests.training.conftest import small_track

__all__ = ["small_track"]
