"""The sound of a room: convolution with an impulse response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from merbench.corruptions.audio.mixing import at_rate_of, rms
from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable, MissingExtra


@corruption(
    modality="audio",
    summary="the sound is put into a room: convolution with an impulse response of a bank, its energy kept",
    parameters={"impulse_response": Parameter("bank", whole=True)},
    source="Allen and Berkley 1979; Ko et al. 2017 for recordings damaged so",
)
def reverberation(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Convolve every channel with an impulse response.

    The direct path, the largest magnitude of the response, lies at time 0, so that the sound stays where it was; what
    rings on after the end is cut off; the result has the rms of the sound, over all channels together. Bits rest on
    SciPy's FFT. Silence stays silent.

    Args:
        signal: the sound.
        rng: unused; whoever draws the response from its bank draws which.
        parameters: `impulse_response`, an `Audio` of any length, of which the first channel is taken.

    Raises:
        Inapplicable: the impulse response is silent or at another rate.
        MissingExtra: SciPy is not installed.
    """
    response = at_rate_of(signal, parameters["impulse_response"], "impulse response").samples[0].astype(np.float64)
    if rms(response) == 0.0:
        raise Inapplicable("the impulse response is silent")
    level = rms(signal.samples)
    if level == 0.0:
        return signal
    try:
        from scipy.signal import oaconvolve
    except ModuleNotFoundError as error:
        raise MissingExtra("a reverberation (SciPy)", "media") from error
    direct = int(np.abs(response).argmax())
    n = signal.samples.shape[1]
    ringing = oaconvolve(signal.samples.astype(np.float64), response[None], axes=1)[:, direct : direct + n]
    return signal.with_samples(ringing * (level / np.sqrt(np.mean(np.square(ringing)))))
