"""Media files: find them, read what is in them, write them with corrupted sound and pictures."""

from merbench.media.finding import Clips, find_clips
from merbench.media.reading import MediaFile, opened, read_audio, read_video
from merbench.media.transcode import MediaRecord, pcm_digest, planes_digest, target_suffix, write_corrupted

__all__ = [
    "Clips",
    "MediaFile",
    "MediaRecord",
    "find_clips",
    "opened",
    "pcm_digest",
    "planes_digest",
    "read_audio",
    "read_video",
    "target_suffix",
    "write_corrupted",
]
