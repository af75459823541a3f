"""The synthetic sample corpus: nothing goes in, the same small corpus comes out on every machine."""

from merbench.sample.build import VERSION, SampleValues, build_sample, sample_values

__all__ = ["VERSION", "SampleValues", "build_sample", "sample_values"]
