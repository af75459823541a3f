"""Corruptions of sound: noise, events, filters, levels, transmission.

Conventions:
    A function takes an `Audio`, `(channels, n)` float32 at any rate, and returns one of the same shape and rate. It
    never writes into its input. A parameter declared by the name of a noise bank is the `Audio` taken from the bank.
"""

from merbench.corruptions.audio.events import recorded_events, sudden_events
from merbench.corruptions.audio.filters import high_pass, low_pass, reverberation, telephone_band
from merbench.corruptions.audio.levels import clipping, gain, mute
from merbench.corruptions.audio.noise import babble, background_noise, coloured_noise
from merbench.corruptions.audio.rates import resampling_loss
from merbench.corruptions.audio.transmission import lossy_codec, packet_loss

__all__ = [
    "babble",
    "background_noise",
    "clipping",
    "coloured_noise",
    "gain",
    "high_pass",
    "lossy_codec",
    "low_pass",
    "mute",
    "packet_loss",
    "recorded_events",
    "resampling_loss",
    "reverberation",
    "sudden_events",
    "telephone_band",
]
