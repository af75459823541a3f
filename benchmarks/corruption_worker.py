"""What the workers of `corruption.py` do, in its own module: they would load everything next to it, too."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.measuring import mapped_bytes, peak_bytes
from merbench.banks.bank import Bank
from merbench.corrupt.clip import Clip, corrupt_clip


def imported(_: int) -> str:
    """Import what a worker needs before it can corrupt its first clip."""
    import av
    import cv2
    import soundfile
    import soxr

    return f"{av.__version__} {cv2.__version__} {soundfile.__version__} {soxr.__version__} {corrupt_clip.__module__}"


def corrupted_with_peak(clip: Clip, banks: Mapping[str, Bank]) -> tuple[int, int]:
    """Corrupt a clip; return the peak of this worker's memory so far and the memory of its files, both in bytes."""
    corrupt_clip(clip, banks)
    return peak_bytes(), mapped_bytes()
