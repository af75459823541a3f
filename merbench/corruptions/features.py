"""Corruptions of feature vectors: what stands in for damaged media where only features are at hand.

Conventions:
    signal: a mapping from modality to that sample's vector, `(d,)`, or frames, `(m, d)`, of finite float64;
    returned is a new mapping of the same shapes. Modalities that a corruption does not name pass through as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.drawing import NORMAL_UNIT, normals

Vector = NDArray[np.float64]

_DECIMALS = Context(prec=28)
"""Powers of 10 are taken in decimals, where they are the same on every machine; those of the C library need not be."""


@corruption(
    modality="features",
    summary="a proxy of noisy media: Gaussian noise on the audio vector, block averages of the video vector",
    parameters={
        "snr_db": Parameter("number", low=-20, high=60, unit="dB"),
        "factor": Parameter("integer", low=1, high=64, unit="neighbouring dimensions"),
    },
)
def feature_noise(
    signal: Mapping[str, Vector], rng: np.random.PCG64, parameters: Mapping[str, Any]
) -> dict[str, Vector]:
    """Damage the audio and video vectors of one sample; text stays as it is.

    A proxy, by merbench's own definition, of the noise of MER 2023 (speech noise, blurred frames) for those who hold
    vectors instead of media. Audio: `x + N(0, rms(x) / 10^(snr_db / 20))` in every dimension; a vector of zeros stays.
    Video: every run of `factor` neighbouring dimensions is replaced by its mean (the last run may be shorter).

    Args:
        signal: vectors by modality.
        rng: the generator of this sample and step; only noise for audio is drawn.
        parameters: `snr_db`, the expected ratio of the rms of the vector to that of the noise; `factor`, the length
            of the runs, 1 for no damage.
    """
    damaged = dict(signal)
    if "audio" in signal:
        damaged["audio"] = _with_noise(signal["audio"], rng, parameters["snr_db"])
    if "video" in signal:
        damaged["video"] = _block_means(signal["video"], parameters["factor"])
    return damaged


def _with_noise(vector: Vector, rng: np.random.PCG64, snr_db: float) -> Vector:
    rms = math.sqrt(math.fsum(np.square(vector).ravel().tolist()) / vector.size)
    ratio = _DECIMALS.power(Decimal(10), _DECIMALS.divide(Decimal(snr_db), Decimal(20)))
    deviation = rms / float(ratio)
    return vector + deviation * (normals(rng, vector.size).reshape(vector.shape) * NORMAL_UNIT)


def _block_means(vector: Vector, factor: int) -> Vector:
    n_dimensions = vector.shape[-1]
    starts = np.arange(0, n_dimensions, factor)
    lengths = np.diff(starts, append=n_dimensions)
    means = np.add.reduceat(vector, starts, axis=-1) / lengths
    return np.repeat(means, lengths, axis=-1)
