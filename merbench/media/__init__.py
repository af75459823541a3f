"""Media files: find them, read what is in them, write them with corrupted sound and pictures."""

from merbench.media.reading import MediaFile, opened, read_audio, read_video

__all__ = ["MediaFile", "opened", "read_audio", "read_video"]
