"""Sound that is sent in packets, of which some do not arrive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.drawing import uniforms
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable


def _measured_loss(before: Audio, after: Audio, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    changed = (before.samples != after.samples).any(axis=0)
    starts = np.arange(0, len(changed), _frame_length(before, parameters["frame_ms"]))
    lost = np.logical_or.reduceat(changed, starts) if len(starts) else changed
    return {"realised_loss": float(lost.mean()) if len(lost) else 0.0}


@corruption(
    modality="audio",
    summary="packets are lost in bursts (Gilbert-Elliott)",
    parameters={
        "loss_rate": Parameter("number", low=0, high=0.95, unit="of the packets"),
        "mean_burst": Parameter("number", low=1, high=100, unit="packets", default=2),
        "frame_ms": Parameter("number", low=1, high=1000, unit="ms", default=20),
        "concealment": Parameter("string", choices=("zero", "repeat"), default="zero"),
    },
    source="Gilbert 1960; Elliott 1963; Hasslinger and Hohlfeld 2008",
    leaves=lambda parameters: parameters["loss_rate"] == 0,
    measured=_measured_loss,
)
def packet_loss(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Lose packets of equal length in bursts, in all channels at once.

    The model has two states, in one of which every packet arrives and in the other none (Gilbert 1960, with h = 0 and
    k = 1). A burst ends with the probability r = 1 / mean_burst after each packet, and begins with p = r π / (1 − π),
    so that the share π = loss_rate is lost in the long run; the first packet is drawn from the long run. As
    `realised_loss` the share of packets that came out changed is stored: a lost packet that was silent, or like the
    one repeated, is not among them.

    Args:
        signal: the sound.
        rng: draws one uniform number a packet.
        parameters: `loss_rate`; `mean_burst`, how many packets a burst has in the mean; `frame_ms`, the length of a
            packet; `concealment`, what is heard instead: zeros, or the last packet that arrived (zeros before the
            first).

    Raises:
        Inapplicable: the loss rate cannot be reached with bursts as short as these.
    """
    loss_rate, mean_burst = parameters["loss_rate"], parameters["mean_burst"]
    ends = 1 / mean_burst
    begins = ends * loss_rate / (1 - loss_rate)
    if begins > 1:
        shortest = loss_rate / (1 - loss_rate)
        raise Inapplicable(f"a loss rate of {loss_rate:g} takes bursts of at least {shortest:.4g} packets in the mean")
    length = _frame_length(signal, parameters["frame_ms"])
    repeats = parameters["concealment"] == "repeat"
    samples, n = signal.samples.copy(), signal.samples.shape[1]
    arrived: int | None = None
    is_lost, threshold = False, loss_rate
    for start, u in zip(range(0, n, length), uniforms(rng, -(-n // length)).tolist(), strict=True):
        is_lost = u < threshold
        threshold = 1 - ends if is_lost else begins
        if not is_lost:
            arrived = start
            continue
        end = min(start + length, n)
        heard = repeats and arrived is not None
        samples[:, start:end] = signal.samples[:, arrived : arrived + end - start] if heard else 0
    return signal.with_samples(samples)


def _frame_length(audio: Audio, frame_ms: float) -> int:
    return max(round(audio.rate_hz * frame_ms / 1000), 1)
