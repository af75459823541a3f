"""Media files: find them, read what is in them, write them with corrupted sound and pictures."""

from merbench.media.finding import MediaFiles, find_media
from merbench.media.reading import MediaFile, MediaInfo, opened, probe, read_audio, read_video
from merbench.media.transcode import MediaRecord, pcm_digest, planes_digest, target_suffix, write_corrupted

__all__ = [
    "MediaFile",
    "MediaFiles",
    "MediaInfo",
    "MediaRecord",
    "find_media",
    "opened",
    "pcm_digest",
    "planes_digest",
    "probe",
    "read_audio",
    "read_video",
    "target_suffix",
    "write_corrupted",
]
