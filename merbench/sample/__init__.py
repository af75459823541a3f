"""The synthetic sample corpus: nothing goes in, the same small corpus comes out on every machine, and clips of it."""

from merbench.sample.build import VERSION, SampleValues, build_sample, sample_values
from merbench.sample.captions import CAPTION, captions
from merbench.sample.clips import CLIPS_VERSION, WrittenClips, clip, write_clips

__all__ = [
    "CAPTION",
    "CLIPS_VERSION",
    "VERSION",
    "SampleValues",
    "WrittenClips",
    "build_sample",
    "captions",
    "clip",
    "sample_values",
    "write_clips",
]
