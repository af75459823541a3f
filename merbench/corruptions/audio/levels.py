"""Sound that is too loud, too soft, or not there: clipping, gain, mute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.powers import amplitude_ratio
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable


@corruption(
    modality="audio",
    summary="samples beyond a quantile of the magnitudes are cut off there",
    parameters={"quantile": Parameter("number", low=0.001, high=1, unit="of the magnitudes")},
    leaves=lambda parameters: parameters["quantile"] == 1,
)
def clipping(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Cut samples off at plus and minus a quantile of the magnitudes, those of all channels together.

    The quantile is the smallest magnitude that at least this share of samples do not exceed. A silence, and a sound
    without samples, stay as they are.

    Args:
        signal: the sound.
        rng: unused.
        parameters: `quantile`, the share of samples that stay as they are; 1 leaves all.

    Raises:
        Inapplicable: so many samples are zero that the sound would be muted.
    """
    magnitudes = np.abs(signal.samples)
    if not magnitudes.any():
        return signal
    threshold = np.quantile(magnitudes, parameters["quantile"], method="inverted_cdf")
    if threshold == 0:
        raise Inapplicable(f"the quantile {parameters['quantile']:g} of the magnitudes is 0: clipping there would mute")
    return signal.with_samples(np.clip(signal.samples, -threshold, threshold))


@corruption(
    modality="audio",
    summary="the sound is made louder or softer",
    parameters={"gain_db": Parameter("number", low=-60, high=60, unit="dB")},
    leaves=lambda parameters: parameters["gain_db"] == 0,
)
def gain(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Multiply all samples by `10^(gain_db / 20)`; they may go beyond full scale.

    Args:
        signal: the sound.
        rng: unused.
        parameters: `gain_db`; 0 leaves the sound as it is.
    """
    return signal.with_samples(signal.samples.astype(np.float64) * amplitude_ratio(parameters["gain_db"]))


@corruption(modality="audio", summary="the sound is silenced; with a window, a part of it", parameters={})
def mute(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Replace all samples by zeros.

    Args:
        signal: the sound.
        rng: unused.
        parameters: none but the window.
    """
    return signal.with_samples(np.zeros_like(signal.samples))
