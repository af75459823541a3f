"""How damaged media are written, as plain data that travels between processes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from merbench.track import MediaSpec


@dataclass(frozen=True)
class Encoding:
    """What a track declares in `[media]`; `merbench.track.MediaSpec` says what each means, and has the defaults."""

    video_codec: Literal["mpeg4", "h264"]
    quality: int | None
    audio_codec: Literal["aac", "flac"]
    audio_bit_rate: int
    sample_rate_hz: int | None
    channels: Literal[1] | None
    unchanged: Literal["copy", "encode"]

    @classmethod
    def of(cls, spec: MediaSpec) -> Encoding:
        """Return what a track declares."""
        return cls(**{item.name: getattr(spec, item.name) for item in fields(cls)})
