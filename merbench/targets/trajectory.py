"""A target that is a number at every step of a recording: `trajectory`."""

from __future__ import annotations

from typing import Literal

from merbench.targets.continuous import NumberTarget
from merbench.targets.target import target_type


@target_type
class TrajectoryTarget(NumberTarget):
    """A number at every step of a recording; a sample is one step."""

    type: Literal["trajectory"]
    group: str = "recording"  # the corpus column that names the recording; metrics may be averaged over it (`per`)

    def described(self) -> str:
        return f"{super().described()} at every step of a {self.group}"
