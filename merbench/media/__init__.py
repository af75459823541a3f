"""The one pass over a media file: find it, read what is in it, damage sound and pictures, write them again."""

from merbench.media.finding import MediaFiles, find_media
from merbench.media.reading import MediaInfo, probe, read_audio, read_video
from merbench.media.transcode import MediaRecord, pcm_digest, planes_digest, target_suffix, write_damaged

__all__ = [
    "MediaFiles",
    "MediaInfo",
    "MediaRecord",
    "find_media",
    "pcm_digest",
    "planes_digest",
    "probe",
    "read_audio",
    "read_video",
    "target_suffix",
    "write_damaged",
]
